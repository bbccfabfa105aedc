"""`topfive measure-yourself` from the command line, with the browser's part played by a function."""

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from topfive.cli import measure_yourself
from topfive.cli.app import main
from topfive.data import open_data
from topfive.data.imageset import ImageSet
from topfive.evaluation.scores import Scores, load_scores
from topfive.files import write_json
from topfive.serving.sitting import Sitting

Call = Callable[..., int]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Run `topfive measure-yourself ...` in an empty folder; its exit code."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> int:
        logging.getLogger().handlers[:] = []
        monkeypatch.setattr(sys, "argv", ["topfive", "measure-yourself", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    return run


def answering(monkeypatch: pytest.MonkeyPatch, most: int, guess: Callable[[int], list[int]]) -> None:
    """A person who answers `most` images by `guess` of the truth, and then presses Ctrl-C unless all are answered."""

    def serve(sitting: Sitting, placed: Any, say: Any) -> None:
        say("http://127.0.0.1:1/token/")
        for _ in range(most):
            shown = sitting.now()
            if shown is None:
                return
            sitting.answer(shown.place, guess(int(sitting.split.labels[sitting.rows[shown.place]])))
        if sitting.now() is not None:
            raise KeyboardInterrupt

    monkeypatch.setattr(measure_yourself, "serve", serve)


def hold(folder: Path, data: ImageSet, right: dict[str, bool]) -> None:
    """A contest's folder whose entries are right, or wrong, on every image."""
    split = data.split("test")
    for name, is_right in right.items():
        answers = split.labels if is_right else (split.labels + 1) % len(data.classes)
        scores = torch.eye(len(data.classes))[answers][:, None]
        Scores(name, "test", scores, split.labels, split.ids, data.classes, "logits", data=data.manifest).save(
            folder / "entries" / name.replace("/", "_") / "scores.safetensors"
        )
    rows = [{"entry": name, "top1_error": 1.0 - is_right} for name, is_right in right.items()]
    write_json(folder / "leaderboard.json", {"entries": [*rows, {"entry": "failed_one", "top1_error": None}]})


def test_stopped_and_called_again_it_goes_on_and_ranks(
    call: Call, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hold(Path("runs/digits"), open_data("digits"), {"good": True, "old/bad.safetensors": False})
    answering(monkeypatch, 12, lambda truth: [truth])
    assert call("digits", "--images", "20") == 130
    said = capsys.readouterr()
    assert "http://127.0.0.1:1/token/" in said.err
    assert "the same command begins anew, but for what it has written" in said.err
    assert said.out == ""
    file = Path("runs/digits/person.safetensors")
    assert len(load_scores(file).ids) == 12
    assert call("digits", "--images", "20", "--json") == 0
    said = capsys.readouterr()
    assert f"going on after 12 of 20 images, which {file} holds" in said.err
    placed = json.loads(said.out)
    assert (placed["images"], placed["of"]) == (20, 797)
    ranks = {row["entry"]: (row["rank"], row["top1_error"]) for row in placed["entries"]}
    assert ranks == {"a person": (1, 0.0), "good": (1, 0.0), "old/bad.safetensors": (3, 1.0)}
    monkeypatch.setattr(measure_yourself, "serve", lambda *_: pytest.fail("all is answered"))
    assert call("digits", "--images", "20") == 0
    said = capsys.readouterr()
    assert "a person" in said.out
    assert "you alone right on 20, it alone on 0" in said.out


def test_a_board_that_is_none_or_of_other_images_is_refused(
    call: Call, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(measure_yourself, "serve", lambda *_: pytest.fail("nobody is asked"))
    assert call("digits", "--board", "nowhere") == 2
    assert "--board nowhere: expected the folder of a finished contest" in capsys.readouterr().err
    digits = open_data("digits")
    other = ImageSet("digits", "", digits.classes, {"test": digits.split("train")})
    hold(Path("other"), other, {"good": True})
    assert call("digits", "--board", "other") == 2
    assert "--board other: is a contest on other images than digits's" in capsys.readouterr().err
    write_json(Path("other/leaderboard.json"), ["no board"])
    assert call("digits", "--board", "other") == 1
    assert "leaderboard.json: is no leaderboard of topfive" in capsys.readouterr().err


def test_another_contest_that_nobody_named_is_passed_over(
    call: Call, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    digits = open_data("digits")
    hold(Path("runs/digits"), ImageSet("digits", "", digits.classes, {"test": digits.split("train")}), {"good": True})
    answering(monkeypatch, 3, lambda truth: [(truth + 1) % 10, truth])
    assert call("digits", "--images", "3", "--out", "me.safetensors") == 0
    said = capsys.readouterr()
    assert "runs/digits: is a contest on other images and is passed over" in said.err
    assert "100.0 % (43.9 to 100.0)" in said.out
    assert "0.0 % (0.0 to 56.1)" in said.out
    assert "no machines to compare with" in said.out
    assert load_scores(Path("me.safetensors")).kind == "guesses"


def test_without_the_extra_nothing_is_opened(
    call: Call, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert call("nowhere") == 1
    assert "pip install 'topfive[serve]'" in capsys.readouterr().err
