"""The page of measure-yourself: what reaches the browser, from whom guesses are taken, and the keys of a person."""

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from topfive.data import open_data
from topfive.data.imageset import ClassLabel, ImageSet, Split
from topfive.errors import MissingExtra
from topfive.evaluation.person import place
from topfive.evaluation.scores import load_scores
from topfive.serving.page import build_app, check_extra, names_of, serve
from topfive.serving.sitting import Sitting

HOME = "http://127.0.0.1:8000"
NAMES = ("crane", "crane", "</script><b>", "tench", "dog", "wild dog", "cat")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def images(classes: int = 7) -> ImageSet:
    """Four test images of each class, whose ids tell it."""
    labels = torch.arange(4 * classes) // 4
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 255, (4 * classes, 3, 6, 9), dtype=np.uint8))
    ids = tuple(f"secret_{label}/{row}.png" for row, label in enumerate(labels.tolist()))
    shown = tuple(ClassLabel(f"k{index}", name) for index, name in enumerate(NAMES[:classes]))
    return ImageSet("toy", "made", shown, {"test": Split(ids, labels, pixels=pixels)})


class Exam:
    """A page, and a browser's way to it."""

    def __init__(self, sitting: Sitting) -> None:
        self.sitting, self.ended = sitting, 0
        app = build_app(sitting, self.placed, "token", self.end)
        self.client = TestClient(app, base_url=HOME, headers={"Origin": HOME})

    def placed(self) -> dict[str, Any]:
        assert self.sitting.scores is not None
        return place(self.sitting.scores, {}, 28)

    def end(self) -> None:
        self.ended += 1

    def post(self, place: int, guesses: Any, **headers: str) -> Any:
        return self.client.post("/token/answer", json={"place": place, "guesses": guesses}, headers=headers)


@pytest.fixture
def exam(tmp_path: Path) -> Exam:
    return Exam(Sitting(images(), 3, 0, tmp_path / "person.safetensors"))


def test_three_answers_and_the_place(exam: Exam) -> None:
    for done in range(3):
        page = exam.client.get("/token/").text
        assert f"Image {done + 1} of 3" in page
        truth = int(exam.sitting.split.labels[exam.sitting.rows[done]])
        assert exam.post(done, [truth, (truth + 1) % 7]).json() == {"answered": done + 1}
        assert len(load_scores(exam.sitting.file).ids) == done + 1
        assert exam.ended == 0
    page = exam.client.get("/token/").text
    assert "Your place on toy" in page
    assert "0.0 % (0.0 to 56.1)" in page  # Wilson's interval of none in three
    assert "5.1 % on 1,500 images" in page
    assert exam.ended == 1


def test_neither_labels_nor_file_names_reach_the_browser(exam: Exam) -> None:
    page, image = exam.client.get("/token/"), exam.client.get("/token/image/0")
    answer = exam.post(0, [1])
    for sent in (page, image, answer):
        assert b"secret" not in sent.content
        assert "secret" not in str(sent.headers)
    assert answer.json() == {"answered": 1}  # not whether it was right
    [names] = re.findall(r"const names = (\[.*?\]), most = 5, place = 0;", page.text)
    assert json.loads(names) == names_of(exam.sitting.data.classes)
    without = re.sub(r'nonce="[^"]+"', "", page.text.replace(names, ""))  # which may spell anything
    assert [name for name in ("tench", "wild dog", "k3") if name in without] == []
    other = Exam(Sitting(images(), 3, 0, exam.sitting.file.with_name("other")))
    row = other.sitting.rows[0]
    other.sitting.split.labels[row] = (other.sitting.split.labels[row] + 1) % 7
    again = other.client.get("/token/").text
    nonces = [re.findall(r'nonce="([^"]+)"', text)[0] for text in (page.text, again)]
    assert page.text.replace(nonces[0], "") == again.replace(nonces[1], "")  # whatever the label is


def test_the_picture_is_its_pixels_and_nothing_else(tmp_path: Path) -> None:
    notes = PngInfo()
    notes.add_text("class", "secret")
    for split, shade in (("train", 0), ("test", 90)):
        for name in ("secret_cat", "secret_dog"):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            Image.new("RGB", (3000, 1000), (shade, 20, 30)).save(folder / "0.png", pnginfo=notes)
    exam = Exam(Sitting(open_data(tmp_path / "data"), 1, 0, tmp_path / "p"))
    sent = exam.client.get("/token/image/0")
    assert sent.headers["content-type"] == "image/png"
    assert b"secret" not in sent.content
    with Image.open(io.BytesIO(sent.content)) as picture:
        assert picture.size == (1024, 341)
        assert picture.getpixel((5, 5)) == (90, 20, 30)
        assert picture.info == {}


def test_only_the_image_that_is_asked_for_is_shown(exam: Exam) -> None:
    assert [exam.client.get(f"/token/image/{place}").status_code for place in (0, 1, -1, 2)] == [200, 404, 404, 404]
    exam.post(0, [1])
    assert [exam.client.get(f"/token/image/{place}").status_code for place in (0, 1)] == [404, 200]


def test_names_are_text_and_equal_ones_are_told_apart(exam: Exam) -> None:
    assert "</script><b>" not in exam.client.get("/token/").text
    assert names_of(exam.sitting.data.classes)[:3] == ["crane (k0)", "crane (k1)", "</script><b>"]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8000", "192.168.0.2:8000"])
def test_other_host_names_get_nothing(exam: Exam, host: str) -> None:
    for way in ("/token/", "/token/image/0"):
        sent = exam.client.get(way, headers={"Host": host})
        assert (sent.status_code, sent.text) == (400, "Invalid host header")
    assert exam.post(0, [1], Host=host, Origin=f"http://{host}").status_code == 400
    assert exam.sitting.place == 0
    assert exam.client.get("/token/", headers={"Host": "localhost:8000"}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "", "http://127.0.0.1:9000", "https://127.0.0.1:8000"]
)
def test_guesses_from_other_origins_are_refused(exam: Exam, origin: str) -> None:
    assert exam.post(0, [1], Origin=origin).status_code == 403
    del exam.client.headers["origin"]
    assert exam.post(0, [1]).status_code == 403
    assert exam.sitting.place == 0


def test_without_the_token_there_is_nothing(exam: Exam) -> None:
    ways = ["/", "/answer", "/image/0", "/other/", "/docs", "/openapi.json", "/token/../"]
    assert [exam.client.get(way).status_code for way in ways] == [404] * 7
    assert exam.client.post("/other/answer", json={"place": 0, "guesses": [1]}).status_code == 404
    assert exam.client.get("/token/answer").status_code == 405
    assert exam.sitting.place == 0


@pytest.mark.parametrize(
    ("place", "guesses", "code"),
    [(1, [1], 409), (0, [], 409), (0, [1, 1], 409), (0, [7], 409), (0, [*range(6)], 409), (0, ["a"], 422), (0, 1, 422)],
)  # fmt: skip
def test_what_is_no_answer_is_refused_with_a_reason(exam: Exam, place: int, guesses: Any, code: int) -> None:
    sent = exam.post(place, guesses)
    assert sent.status_code == code
    if code == 409:
        assert sent.json()["error"].startswith("guesses: expected")
    assert exam.sitting.place == 0


def test_an_answer_that_cannot_be_written_is_said(exam: Exam, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    sent = exam.post(0, [1])
    assert sent.status_code == 500
    assert "No space left on device" in sent.json()["error"]
    monkeypatch.undo()
    assert exam.post(0, [1]).status_code == 200


def test_the_page_may_ask_for_nothing_from_elsewhere(exam: Exam) -> None:
    page = exam.client.get("/token/")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; img-src 'self' data:; connect-src 'self'; script-src 'nonce-")
    assert "unsafe" not in policy
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["cross-origin-resource-policy"] == "same-origin"
    assert re.findall(r"(?:https?:)?//\w", page.text) == []
    assert re.search(r'\son\w+="', page.text) is None


def test_five_classes_have_one_guess(tmp_path: Path) -> None:
    exam = Exam(Sitting(images(5), 1, 0, tmp_path / "p"))
    assert "most = 1," in exam.client.get("/token/").text
    assert exam.post(0, [1, 2]).status_code == 409
    assert exam.post(0, [1]).status_code == 200
    page = exam.client.get("/token/").text
    assert "one guess each" in page
    assert "Top-5" not in page
    assert "5.1 %" not in page


@pytest.mark.parametrize("name", ["fastapi", "uvicorn"])
def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    check_extra()
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=r"pip install 'topfive\[serve\]'"):
        check_extra()


class Browser:
    """Headless Chromium, spoken to by its DevTools protocol over a pipe: the test itself opens no connection."""

    def __init__(self, profile: Path) -> None:
        assert CHROMIUM is not None
        ours, self.say = os.pipe()
        self.hear, theirs = os.pipe()
        command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                   "--disable-background-networking", "--disable-component-update", "--no-first-run",
                   f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"]  # fmt: skip
        # The shell moves the two ends of the pipes to 3 and 4, where Chromium looks for them.
        moved = f'exec 8<&{ours} 9>&{theirs}; exec 3<&8 4>&9; exec "$@"'
        self.process = subprocess.Popen(
            ["bash", "-c", moved, "bash", *command], pass_fds=(ours, theirs), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(ours)
        os.close(theirs)
        self.number, self.heard, self.session, self.asked = 0, b"", "", list[str]()
        [page] = [one for one in self.call("Target.getTargets")["targetInfos"] if one["type"] == "page"]
        self.session = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        self.call("Network.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self.number += 1
        message = {"id": self.number, "method": method, "params": params} | (
            {"sessionId": self.session} if self.session else {}
        )
        os.write(self.say, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.heard:
                part = os.read(self.hear, 65536)
                assert part, "the browser ended"
                self.heard += part
            text, self.heard = self.heard.split(b"\0", 1)
            found = json.loads(text)
            if found.get("method") == "Network.requestWillBeSent":
                self.asked.append(found["params"]["request"]["url"])
            if found.get("id") == self.number:
                assert "error" not in found, found
                return dict(found["result"])

    def see(self, script: str) -> Any:
        return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def wait(self, script: str) -> None:
        until = time.monotonic() + 20
        while not self.see(script):
            assert time.monotonic() < until, f"{script} did not come true; {self.see('document.body.innerText')}"
            time.sleep(0.02)

    def press(self, *keys: str) -> None:
        codes = {"Enter": 13, "ArrowDown": 40, "ArrowUp": 38, "Backspace": 8, "Escape": 27}
        for key in keys:
            if key not in codes:
                self.call("Input.insertText", text=key)
                continue
            for kind in ("rawKeyDown", "keyUp"):
                self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key])

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        os.close(self.say)
        os.close(self.hear)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    if CHROMIUM is None or shutil.which("bash") is None:
        pytest.skip("no Chromium is installed: the page's keys are tried in a real one")
    one = Browser(tmp_path / "profile")
    yield one
    one.close()


def test_a_person_answers_by_keyboard_in_a_real_browser(browser: Browser, tmp_path: Path) -> None:
    sitting = Sitting(images(), 2, 0, tmp_path / "person.safetensors")
    addresses: list[str] = []

    def placed() -> dict[str, Any]:
        assert sitting.scores is not None
        return place(sitting.scores, {}, 28)

    def run(say: Callable[[str], None]) -> None:
        serve(sitting, placed, say)

    server = threading.Thread(target=run, args=(addresses.append,), daemon=True)
    server.start()
    while not addresses:
        time.sleep(0.02)
    browser.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)
    browser.call("Page.navigate", url=addresses[0])
    browser.wait("document.title.startsWith('Image 1 of 2') && document.activeElement.id === 'field'")
    shown = browser.call("Page.captureScreenshot", format="png")["data"]
    with Image.open(io.BytesIO(base64.b64decode(shown))) as picture:
        assert picture.convert("L").getpixel((2, 400)) > 240  # light
    assert browser.see("document.documentElement.scrollWidth") == 390
    assert browser.see("document.querySelector('img').naturalWidth") == 9

    browser.press("dog")
    assert browser.see("[...list.children].map((one) => one.textContent).join()") == "dog,wild dog"
    browser.press("ArrowDown")
    assert browser.see("document.getElementById(field.getAttribute('aria-activedescendant')).textContent") == "wild dog"
    browser.press("Enter", "tench", "Enter", "cat", "Enter")
    assert browser.see("guesses.join()") == "5,3,6"
    assert browser.see("status.textContent") == "Guess 3: cat"
    browser.press("Backspace", "zebra", "Enter", "Escape", "ArrowDown", "Enter")
    assert browser.see("guesses.join()") == "5,3,0"
    assert browser.see("document.title").startswith("Image 1")
    browser.press("Enter")
    browser.wait("document.title.startsWith('Image 2 of 2') && document.activeElement.id === 'field'")
    kept = load_scores(sitting.file).scores
    assert kept[0, 0].tolist() == [3.0, 0.0, 0.0, 4.0, 0.0, 5.0, 0.0]

    browser.press(*["ArrowDown", "Enter"] * 6)  # of which the sixth guess is none: the twelfth key sends the five
    browser.wait("document.title.startsWith('Your place')")
    assert browser.see("document.documentElement.scrollWidth") == 390
    server.join(20)
    assert not server.is_alive()
    assert load_scores(sitting.file).scores[1, 0].tolist() == [5.0, 4.0, 3.0, 2.0, 1.0, 0.0, 0.0]
    assert browser.asked
    assert {url for url in browser.asked if not url.startswith(("http://127.0.0.1:", "data:"))} == set()
