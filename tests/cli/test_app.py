"""The verbs as a person types them: what they print, where they print it, and how they end."""

import csv
import io
import json
import logging
import resource
import shutil
import struct
import subprocess
import sys
import tarfile
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

import topfive
from topfive.cli import measure_yourself
from topfive.cli.app import app, main
from topfive.data import open_data
from topfive.evaluation import evaluate, load_scores
from topfive.models import load
from topfive.models.zoo import ZOO, build
from topfive.recipes.reading import open_recipe, published
from topfive.serving.sitting import Sitting

FIXED = ["--set", "precision.layout=contiguous", "--set", "precision.autocast=float32", "--set", "precision.compile=no"]


@dataclass
class Ended:
    """code, and what was printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Call = Callable[..., Ended]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    """Run `topfive ...` in this process."""
    root, ours = logging.getLogger(), logging.getLogger("topfive")
    handlers, level = root.handlers[:], ours.level
    monkeypatch.setenv("COLUMNS", "100")

    def run(*words: object) -> Ended:
        root.handlers[:] = []
        monkeypatch.setattr(sys, "argv", ["topfive", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        return Ended(int(code or 0), *capsys.readouterr())

    yield run
    root.handlers[:] = handlers
    ours.setLevel(level)


def picture(path: Path, shade: int, side: int = 12) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(shade).integers(0, 255, (side, side, 3), dtype=np.uint8)).save(path)
    return path


def grow(root: Path, *folders: str) -> Path:
    for number, folder in enumerate(folders):
        for index in range(4):
            picture(root / folder / f"{index}.png", 10 * number + index)
    return root


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return grow(tmp_path_factory.mktemp("photos"), "train/cat, grey", "train/dog", "val/cat, grey", "val/dog")


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on the photos."""
    from topfive.training import train
    from topfive.training.tailoring import fit_recipe

    data, folder = open_data(photos), tmp_path_factory.mktemp("runs") / "run"
    settings = {"precision.layout": "contiguous", "precision.autocast": "float32", "precision.compile": "no"}
    train("pixels_linear", data, folder, recipe=fit_recipe("pixels_linear", data, settings=settings)[0])
    return folder


def whole_tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_help_comes_at_once_and_without_torch() -> None:
    code = (
        "import sys; sys.argv = ['topfive', '--help']\nfrom topfive.cli import main\n"
        "try: main()\nfinally: print('torch' in sys.modules, file=sys.stderr)"
    )
    seconds = []
    for _ in range(3):  # the best of three, in processor time, since the machine may be shared
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert done.stderr.strip() == "False"
    assert all(verb in done.stdout for verb in ("contest", "train", "evaluate", "predict", "list", "show"))
    assert min(seconds) < 0.5


def test_version(call: Call) -> None:
    assert call("--version") == Ended(0, f"{topfive.__version__}\n", "")


def test_without_a_verb_the_verbs_are_shown(call: Call) -> None:
    shown = call()
    assert "contest" in shown.out + shown.err


def test_list_names_every_entry(call: Call) -> None:
    text, rows = call("list"), call("list", "--json")
    assert (text.code, rows.code, text.err, rows.err) == (0, 0, "", "")
    assert [row["name"] for row in rows.json] == list(ZOO)
    lenet = next(row for row in rows.json if row["name"] == "lenet5")
    assert (lenet["year"], lenet["params"], lenet["input"]) == (1998, 60_000, "3x32x32")
    for name in ZOO:
        assert name in text.out


def test_show_an_entry_counts_by_layer(call: Call) -> None:
    shown = call("show", "alexnet", "--json").json
    assert shown["params"] == sum(layer["params"] for layer in shown["layers"]) == 60_965_224
    assert shown["recipes"] == ["alexnet.paper"]
    text = call("show", "alexnet").out
    assert "60,965,224" in text and "for small images: alexnet_small" in text


def test_show_cuts_no_count(call: Call) -> None:
    table = call("show", "inception_resnet_v2").out
    assert table.count("13,155,794,016") == 2
    assert "…" not in table


def test_show_a_recipe_and_two(call: Call) -> None:
    assert call("show", "lenet5.small").out.strip() == open_recipe("lenet5.small").to_toml().strip()
    assert call("show", "lenet5.small", "--json").json["entry"] == "lenet5"
    rows = call("show", "cifar_resnet20.paper", "cifar_resnet20.small", "--json").json
    assert {"key", "cifar_resnet20.paper", "cifar_resnet20.small"} == set(rows[0])
    assert all(row["cifar_resnet20.paper"] != row["cifar_resnet20.small"] for row in rows)
    assert rows[0]["key"] in call("show", "cifar_resnet20.paper", "cifar_resnet20.small").out


@pytest.mark.parametrize("name", ["hog_svm", "vgg16", "resnet50_b", "senet154", "mobilenet_conv", *published()])
def test_everything_that_has_a_name_can_be_shown(call: Call, name: str) -> None:
    assert call("show", name, "--json").json


def test_train_evaluate_and_predict_go_together(call: Call, photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    trained = call("train", "pixels_linear", photos, "--out", folder, "--epochs", 2, *FIXED, "--json")
    assert (trained.code, trained.json["run"], trained.json["skipped"]) == (0, str(folder), [])
    assert f"topfive: judge it by: topfive evaluate {folder} {photos}" in trained.err
    judged = call("evaluate", folder, photos, "--json", "--scores", tmp_path / "scores.safetensors")
    expected = evaluate(folder, open_data(photos)).document
    assert judged.json == json.loads(json.dumps(expected))
    assert (tmp_path / "scores.safetensors").exists()
    learned = call("evaluate", folder, photos, "--split", "train")
    assert learned.out.startswith("pixels_linear on train: evaluated 8 of 8 images, 1 crop\n")
    warning = f"pixels_linear: learned from these images, those of train in {photos.name}; its error on them says"
    assert warning in learned.err
    assert warning not in call("evaluate", folder, photos).err
    assert warning in call("evaluate", folder, photos, "--split", "train", "--crops", "1,5").err
    other = shutil.copytree(photos, tmp_path / photos.name)
    next((other / "val").rglob("*.png")).unlink()  # the images that it learned from are the same
    assert warning in call("evaluate", folder, other, "--split", "train").err
    refused = call("evaluate", folder, photos, "--scores", tmp_path)
    assert refused.err.endswith(f"topfive: {tmp_path}: is a folder; of one model on one protocol --scores is a file\n")


def test_predict_answers_a_folder_as_csv(call: Call, photos: Path, run: Path) -> None:
    done = call("predict", run, photos / "val", "--csv")
    assert (done.code, done.err) == (0, "")
    lines = list(csv.DictReader(io.StringIO(done.out)))
    paths = sorted((photos / "val").rglob("*.png"))
    assert [(line["image"], line["place"]) for line in lines] == [(str(path), str(n)) for path in paths for n in (1, 2)]
    model = load(run)
    for path, guesses in zip(paths, model.predict(paths), strict=True):
        found = [line for line in lines if line["image"] == str(path)]
        assert [line["key"] for line in found] == [guess.key for guess in guesses]
        chances = [float(line["probability"]) for line in found]
        assert chances == pytest.approx([guess.probability for guess in guesses], abs=1e-5)
        assert sum(chances) == pytest.approx(1, abs=1e-5)
        assert chances == sorted(chances, reverse=True)


def test_predict_passes_over_what_no_user_put_there(call: Call, photos: Path, run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(photos, tmp_path / "photos")
    paths = [row["image"] for row in call("predict", run, folder, "--json").json]
    grow(folder, "train/__MACOSX", "train/@eaDir", ".thumbnails")
    assert [row["image"] for row in call("predict", run, folder, "--json").json] == paths


def test_scores_are_not_written_over_a_model(call: Call, photos: Path, run: Path) -> None:
    before = (run / "model.safetensors").read_bytes()
    done = call("evaluate", run, photos, "--scores", run / "model.safetensors")
    assert done.code == 2
    assert "model.safetensors: is there already and holds no scores; choose another file" in done.err
    assert (run / "model.safetensors").read_bytes() == before


def test_crops_and_several_models(call: Call, photos: Path, run: Path, tmp_path: Path) -> None:
    ten = call("evaluate", run, photos, "--crops", "10", "--json").json
    assert (ten["crops"], ten["evaluated"]) == (10, 8)
    assert "8 of 8 images, 10 crops averaged after the softmax" in call("evaluate", run, photos, "--crops", "10").out
    again = tmp_path / "again"
    call("train", "pixels_linear", photos, "--out", again, "--epochs", 3, *FIXED)
    lines = call("evaluate", run, again, photos, "--crops", "1,5", "--scores", tmp_path / "kept").out.splitlines()
    assert [line.split()[:3] for line in lines[1:5]] == [
        ["1", "1", "1"],
        ["1", "5", "5"],
        ["2", "1", "2"],
        ["2", "5", "10"],
    ]
    assert len(list((tmp_path / "kept").iterdir())) == 4
    rows = call("evaluate", run, again, photos, "--crops", "1,5", "--select", "--json").json
    assert [(row["models"], row["report"]["crops"]) for row in rows[:4]] == [
        ([1], 1), ([1], 5), ([1, 2], 1), ([1, 2], 5)
    ]  # fmt: skip
    assert [row["selected"] for row in rows] == [False] * 4 + [True] * 2
    assert rows[2]["files"] == [str(run), str(again)]
    for crops in ("1,,10", ""):
        refused = call("evaluate", run, photos, "--crops", crops)
        assert refused.code == 2
        assert f"--crops: expected protocols joined by single commas, got '{crops}'; leave out" in refused.err
    refused = call("evaluate", run, run, photos)
    assert (refused.code, refused.out) == (2, "")
    assert "model 2 of 2: is the same file as model 1, and an average with itself is no ensemble" in refused.err
    refused = call("evaluate", run, photos, "--crops", "3")
    assert (refused.code, refused.err.splitlines()[-1][:56]) == (
        2,
        "topfive: --crops: expected 1, 5, 10, 144 or dense, got 3",
    )


def test_a_tree_adds_what_mistakes_cost(call: Call, photos: Path, run: Path, tmp_path: Path) -> None:
    (tmp_path / "tree.txt").write_text("animal\tcat, grey\nanimal\tdog\n")
    assert (
        "  cost in the tree: of 5 not defined for 2 classes, first answer "
        in call("evaluate", run, photos, "--tree", tmp_path / "tree.txt").out
    )
    found = call("evaluate", run, photos, "--tree", tmp_path / "tree.txt", "--json").json
    assert found["hierarchy"]["distance_1"]["mean"] == found["top1_error"]
    refused = call("evaluate", run, run, photos, "--tree", "folders")
    assert (refused.code, refused.out) == (2, "")
    assert "--tree: is for one model on one protocol, got several" in refused.err


def test_how_the_folder_was_read_is_said(call: Call, photos: Path, run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(photos, tmp_path / "photos")
    (folder / "notes.txt").write_text("dogs")
    for words in (["evaluate", run, folder], ["train", "pixels_linear", folder, "--dry-run", *FIXED]):
        err = call(*words).err
        assert "class folders with train/ and val/" in err
        assert "passed over 1 file(s) that are not images" in err


def test_a_folder_that_may_not_be_entered_is_one_sentence(
    call: Call, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*given: Any, **more: Any) -> None:
        raise PermissionError(13, "Permission denied", "/locked/photos")

    monkeypatch.setattr("topfive.cli.evaluate.open_data", locked)
    done = call("evaluate", run, "/locked/photos")
    assert done.code == 1
    assert done.err == "topfive: /locked/photos: Permission denied; check that you may read and write there\n"


def test_predict_answers_as_json_and_text(call: Call, photos: Path, run: Path) -> None:
    image = photos / "val/dog/0.png"
    [row] = call("predict", run, image, "--json", "--top", 1).json
    assert row["image"] == str(image)
    assert len(row["guesses"]) == 1
    first, guess, *_ = call("predict", run, image).out.splitlines()
    assert first == str(image)
    assert row["guesses"][0]["key"] in guess


def test_predict_answers_the_others_when_one_is_broken(call: Call, photos: Path, run: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_text("text")
    done = call("predict", run, tmp_path / "broken.jpg", photos / "val/dog/0.png", "--json")
    assert done.code == 1
    assert [row["image"] for row in done.json] == [str(photos / "val/dog/0.png")]
    assert done.err.startswith(f"topfive: {tmp_path / 'broken.jpg'}: is not a readable image")


def test_a_dry_run_forecasts_and_writes_nothing(
    call: Call, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    forecast = call("train", "pixels_linear", photos, "--dry-run", "--json", *FIXED).json
    assert 0 < forecast["forecast_minutes"] < 5
    assert forecast["choice"] == "contiguous, float32, eager"
    fitted = call("train", "hog_svm", photos, "--dry-run", "--json").json
    assert fitted["stages"] == ["svm"] and 0 < fitted["forecast_minutes"] < 5
    plain = call("train", "hog_svm", photos, "--dry-run").out
    assert plain.startswith("entry: hog_svm\nstages: svm\nforecast minutes: ")
    assert not list(tmp_path.iterdir())


def test_contest_prints_its_board_and_fails_when_an_entry_does(
    call: Call, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from topfive.leaderboard import contest as holding

    plain = holding.train

    def fail(name: str, *given: Any, **more: Any) -> Any:
        if name == "mlp":
            raise RuntimeError("no luck")
        return plain(name, *given, **more)

    monkeypatch.setattr(holding, "train", fail)
    words = ["contest", photos, "--entries", "mlp, pixels_linear", "--minutes", 0.5, "--out", tmp_path / "out"]
    done = call(*words, "--json")
    assert done.code == 1
    assert {row["entry"]: row["status"] for row in done.json["entries"]} == {"mlp": "failed", "pixels_linear": "done"}
    assert "mlp: failed inside topfive (RuntimeError: no luck)" in done.err
    monkeypatch.setattr(holding, "train", plain)
    again = call(*words)
    assert again.code == 0
    assert f"report: {tmp_path / 'out/report.html'}" in again.out
    assert "pick: " in again.out and "topfive predict" in again.out


# --- how it ends -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", ["2", "nan", "-0.1"])
def test_an_error_that_is_no_share_is_one_sentence(call: Call, photos: Path, run: Path, share: str) -> None:
    done = call("evaluate", run, photos, "--max-error", share)
    assert (done.code, done.out) == (2, "")
    assert f"topfive: --max-error: expected a share from 0 to 1, got {share}" in done.err


@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_ctrl_c_is_130_and_one_sentence(
    call: Call, photos: Path, run: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    def stop(*given: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("topfive.models.modelfile.Model.scores", stop)
    done = call(verb, run, photos)
    assert done.code == 130
    assert done.err.splitlines()[-1] == "topfive: stopped; the same command begins anew, but for what it has written"


@pytest.mark.parametrize(
    "words",
    [
        ["trian"],
        ["train", "mlp"],
        ["train", "mlp", "digits", "--epochs", "0"],
        ["train", "mlp", "digits", "--epochs", "-1"],
        ["contest", "digits", "--minutes", "0"],
        ["predict", "model", "image", "--top", "0"],
    ],
)
def test_misuse_is_2_and_no_traceback(call: Call, words: list[str]) -> None:
    done = call(*words)
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err


def bomb(path: Path, width: int, height: int) -> Path:
    """A PNG of a few bytes whose header claims so many px."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def cut(path: Path, to: Path, share: float) -> Path:
    content = path.read_bytes()
    to.write_bytes(content[: int(share * len(content))])
    return to


Case = Callable[[Path, Path, Path], list[object]]  # (a new folder, a finished run, photos) -> the words to type


def missing_path(new: Path, run: Path, photos: Path) -> list[object]:
    return ["train", "mlp", new / "nowhere"]


def missing_path_to_judge(new: Path, run: Path, photos: Path) -> list[object]:
    return ["evaluate", run, new / "nowhere"]


def empty_class_folder(new: Path, run: Path, photos: Path) -> list[object]:
    grow(new, "train/cat", "train/dog", "val/cat", "val/dog")
    (new / "train/emu").mkdir()
    return ["train", "mlp", new]


def one_class(new: Path, run: Path, photos: Path) -> list[object]:
    return ["contest", grow(new, "cat"), "--out", new / "out"]


def class_in_val_alone(new: Path, run: Path, photos: Path) -> list[object]:
    return ["contest", grow(new, "train/cat", "train/dog", "val/cat", "val/dog", "val/emu"), "--out", new / "out"]


def no_image_that_can_be_read(new: Path, run: Path, photos: Path) -> list[object]:
    for path in grow(new, "train/cat", "train/dog", "val/cat", "val/dog").rglob("*.png"):
        path.write_text("text")
    return ["train", "hog_svm", new, "--out", new.parent / "out"]


def cut_image(new: Path, run: Path, photos: Path) -> list[object]:
    return ["predict", run, cut(photos / "val/dog/0.png", new / "cut.png", 0.6)]


def text_as_jpg(new: Path, run: Path, photos: Path) -> list[object]:
    (new / "notes.jpg").write_text("milk, eggs")
    return ["predict", run, new / "notes.jpg", "--csv"]


def image_bomb(new: Path, run: Path, photos: Path) -> list[object]:
    return ["predict", run, bomb(new / "bomb.png", 60_000, 60_000)]


def model_cut_short(new: Path, run: Path, photos: Path) -> list[object]:
    return ["predict", cut(run / "model.safetensors", new / "m.safetensors", 0.5), photos / "val/dog/0.png"]


def model_without_header(new: Path, run: Path, photos: Path) -> list[object]:
    content = (run / "model.safetensors").read_bytes()
    (new / "m.safetensors").write_bytes(content[:8] + b"?" + content[9:])
    return ["evaluate", new / "m.safetensors", photos]


def model_with_broken_document(new: Path, run: Path, photos: Path) -> list[object]:
    content = (run / "model.safetensors").read_bytes()
    assert content.count(rb"\"format\"") == 1
    (new / "m.safetensors").write_bytes(content.replace(rb"\"format\"", rb"\"farmot\""))
    return ["predict", new / "m.safetensors", photos / "val/dog/0.png"]


def empty_model(new: Path, run: Path, photos: Path) -> list[object]:
    (new / "m.safetensors").write_bytes(b"")
    return ["contest", photos, "--entries", new / "m.safetensors", "--out", new / "out"]


def unknown_entry(new: Path, run: Path, photos: Path) -> list[object]:
    return ["train", "lenet", "digits"]


def unknown_entry_in_a_contest(new: Path, run: Path, photos: Path) -> list[object]:
    return ["contest", "digits", "--entries", "mlp,lenet", "--out", new / "out"]


def unknown_recipe_key(new: Path, run: Path, photos: Path) -> list[object]:
    return ["train", "lenet5", "digits", "--set", "optimizer.rl=3"]


def value_of_the_wrong_kind(new: Path, run: Path, photos: Path) -> list[object]:
    return ["train", "lenet5", "digits", "--set", "epochs=many"]


def setting_without_a_value(new: Path, run: Path, photos: Path) -> list[object]:
    return ["train", "lenet5", "digits", "--set", "epochs"]


def unknown_name_to_show(new: Path, run: Path, photos: Path) -> list[object]:
    return ["show", "alexnett"]


def a_run_in_the_way(new: Path, run: Path, photos: Path) -> list[object]:
    return ["train", "pixels_linear", photos, "--out", run]


def no_model_in_the_folder(new: Path, run: Path, photos: Path) -> list[object]:
    return ["predict", new, photos / "val/dog/0.png"]


def other_classes(new: Path, run: Path, photos: Path) -> list[object]:
    return ["evaluate", run, grow(new, "train/cat", "train/dog", "val/cat", "val/dog")]


def missing_tree(new: Path, run: Path, photos: Path) -> list[object]:
    return ["evaluate", run, photos, "--tree", new / "tree.txt"]


def unknown_split(new: Path, run: Path, photos: Path) -> list[object]:
    return ["evaluate", run, photos, "--split", "tset"]


BAD: list[tuple[Case, int, str]] = [
    (missing_path, 2, "expected digits or an existing folder, found neither; check it"),
    (missing_path_to_judge, 2, "expected digits or an existing folder, found neither; check it"),
    (empty_class_folder, 1, "expected images of class 'emu', got none"),
    (one_class, 1, "expected two or more class folders, got only cat/"),
    (class_in_val_alone, 1, "expected the classes of train/, got also 'emu'"),
    (no_image_that_can_be_read, 1, "no image of the training split could be decoded"),
    (cut_image, 1, "cut.png: is not a readable image"),
    (text_as_jpg, 1, "notes.jpg: is not a readable image (its content, which begins with b'milk, eggs'"),
    (image_bomb, 1, "bomb.png: is not a readable image (its header claims"),
    (model_cut_short, 1, "m.safetensors: is not a whole model file"),
    (model_without_header, 1, "m.safetensors: is not a whole model file"),
    (model_with_broken_document, 1, "m.safetensors: has a broken header"),
    (empty_model, 1, "m.safetensors: is not a whole model file"),
    (unknown_entry, 2, "there is no entry named 'lenet' (did you mean lenet5?)"),
    (unknown_entry_in_a_contest, 2, "there is no entry named 'lenet' (did you mean lenet5?)"),
    (unknown_recipe_key, 2, "unknown key 'stage.0.optimizer.rl' (did you mean lr?)"),
    (value_of_the_wrong_kind, 2, "stage.0.epochs: Input should be a valid number"),
    (setting_without_a_value, 2, "--set epochs: expected KEY=VALUE"),
    (unknown_name_to_show, 2, "there is no entry or recipe named 'alexnett' (did you mean alexnet?)"),
    (a_run_in_the_way, 2, "already holds a run; go on with it by --resume"),
    (no_model_in_the_folder, 2, "expected a model file or a run folder with model.safetensors, found none"),
    (other_classes, 1, "the model does not know 'cat'"),
    (unknown_split, 2, "there is no split of"),
    (missing_tree, 2, "tree.txt: expected a text file with a parent and a child a line, a development kit or the word"),
]


@pytest.mark.parametrize(("case", "code", "said"), BAD, ids=lambda value: getattr(value, "__name__", ""))
def test_bad_input_gets_one_sentence_and_nothing_is_lost(
    call: Call,
    run: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    case: Case,
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new").mkdir()
    words = case(tmp_path / "new", run, photos)
    before = whole_tree(run) | whole_tree(tmp_path / "new")
    done = call(*words)
    sentences = [line for line in done.err.splitlines() if line.startswith("topfive: ")]
    assert done.code == code
    assert len(sentences) == 1
    assert said in sentences[0]
    assert done.err.splitlines()[-1] == sentences[0]
    assert "Traceback" not in done.err
    assert "error" not in done.out.lower()
    assert whole_tree(run) | whole_tree(tmp_path / "new") == before


def test_an_image_bomb_is_refused_without_a_warning_of_the_reader(call: Call, run: Path, tmp_path: Path) -> None:
    """Pillow warns from 89 million px on, and refuses only twice as many; ours is refused from 100 million on."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        done = call("predict", run, bomb(tmp_path / "bomb.png", 12_000, 12_000))
    assert done.code == 1
    assert "more than 100,000,000 px are not decoded" in done.err
    assert [str(warning.message) for warning in caught] == []


def test_broken_training_images_are_skipped_and_listed(call: Call, tmp_path: Path) -> None:
    grow(tmp_path / "data", "train/cat", "train/dog", "val/cat", "val/dog")
    (tmp_path / "data/train/dog/1.png").write_text("text")
    (tmp_path / "data/val/cat/2.png").write_text("text")
    done = call("train", "pixels_linear", tmp_path / "data", "--out", tmp_path / "run", "--epochs", 1, *FIXED, "--json")
    assert (done.code, done.json["skipped"]) == (0, ["train/dog/1.png"])
    assert "skipped in training: " in done.err
    judged = call("evaluate", tmp_path / "run", tmp_path / "data", "--json").json
    assert (judged["evaluated"], judged["of"]) == (8, 8)
    assert [image["id"] for image in judged["broken"]] == ["val/cat/2.png"]
    assert judged["top1_error"] >= 1 / 8


FULL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # no file can grow beyond, as on a full disk
import torch
torch.set_num_threads(1)
from topfive.cli import main
import json
for words in json.loads(sys.argv[1]):
    sys.argv = ["topfive", *words]
    try:
        main()
    except SystemExit as ended:
        print("ended", ended.code, file=sys.stderr)
"""


def test_a_full_disk_is_said_and_the_last_good_files_stay(run: Path, photos: Path, tmp_path: Path) -> None:
    """The system itself refuses to write: a limit on the size of files."""
    scores = tmp_path / "scores.safetensors"
    grow(tmp_path / "many", "train/cat, grey", "train/dog", "val/cat, grey", "val/dog")
    for index in range(200):
        picture(tmp_path / "many/val/dog" / f"with a long name that fills the scores file {index:090}.png", index)
    evaluate(run, open_data(photos), out=scores)
    kept = scores.read_bytes()
    begun = shutil.copytree(run, tmp_path / "begun")
    (begun / "run.json").unlink()  # as after a kill at its last moment
    before = whole_tree(begun)
    commands = [
        ["train", "pixels_linear", str(photos), "--out", str(tmp_path / "new"), *FIXED],
        ["train", "pixels_linear", str(photos), "--out", str(begun), "--resume", *FIXED],
        ["evaluate", str(run), str(tmp_path / "many"), "--scores", str(scores)],
    ]
    done = subprocess.run([sys.executable, "-c", FULL, json.dumps(commands)], capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    sentences = [line for line in done.stderr.splitlines() if line.startswith(("topfive: ", "ended"))]
    assert sentences[1::2] == ["ended 1"] * 3
    for sentence, file in zip(sentences[::2], ("new/checkpoint", str(begun), "scores.safetensors"), strict=True):
        assert file in sentence
        assert "could not be written" in sentence and "free some space" in sentence
    assert scores.read_bytes() == kept
    after = whole_tree(begun)
    assert after["model.safetensors"] == before["model.safetensors"]
    assert after["checkpoint/state.safetensors"] == before["checkpoint/state.safetensors"]
    assert not [*tmp_path.rglob("*.part")]


def test_the_examples_of_help_run_as_they_stand(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def answer(sitting: Sitting, *_: object) -> None:
        """A person who takes every image for a 0."""
        while shown := sitting.now():
            sitting.answer(shown.place, [0])

    monkeypatch.setattr(measure_yourself, "serve", answer)
    weights = build("resnet18_b", 1000).state_dict()
    torch.save({name: value for name, value in weights.items() if not name.startswith("normalize")}, "r.pth")
    Image.fromarray(open_data("digits").split("test").pixels[0, 0].numpy()).save("scan.png")
    shorter = {"contest": ["--entries", "pixels_linear"], "train": [*FIXED, "--set", "epochs=2"]}
    verbs = [verb.callback.__doc__ or "" for verb in app.registered_commands if verb.callback]
    for _, words in [text.split("Example: topfive ") for text in verbs]:
        verb, *rest = words.split()
        ended = call(verb, *rest, *shorter.get(verb, []))
        assert (ended.code, ended.out != "") == (0, True), (words, ended.err)


def test_two_forms_of_answer_are_refused(call: Call, photos: Path, run: Path) -> None:
    ended = call("predict", run, photos, "--csv", "--json")
    assert (ended.code, ended.out) == (2, "")
    assert "expected one form of answer, got --csv and --json" in ended.err


def test_weights_of_another_library_become_a_model_file(call: Call, tmp_path: Path, photos: Path) -> None:
    draw = np.random.default_rng(0).standard_normal
    np.savez(tmp_path / "w.npz", first=draw((2, 3072), np.float32), second=draw(2, np.float32))
    (tmp_path / "names.txt").write_text("cat Felis catus\ndog\n")
    given = ["import", tmp_path / "w.npz", "--as", "pixels_linear", "--classes", tmp_path / "names.txt"]
    done = call(*given, "--mean", "0,0,0", "--std", "1,1,1", "--out", tmp_path / "m.safetensors", "--json").json
    assert (done["entry"], done["classes"]) == ("pixels_linear", 2)
    assert done["matching"][1].split() == ["first", "->", "classifier.weight", "(2,", "3072)"]
    picture = next(photos.rglob("*.png"))
    [answer] = call("predict", tmp_path / "m.safetensors", picture, "--json").json
    assert {guess["name"] for guess in answer["guesses"]} == {"Felis catus", "dog"}
    assert call(*given).code == 2  # preprocessing is not known
    assert "expected --source, or --mean and --std" in call(*given).err
    assert (
        "there is no source named 'torchvison' (did you mean torchvision?)"
        in call(*given, "--source", "torchvison").err
    )
    assert "--mean: expected three numbers" in call(*given, "--mean", "0", "--std", "1,1,1").err
    assert "--mean: expected numbers in [0, 1]" in call(*given, "--mean", "9,nan,0", "--std", "1,1,1").err
    again = call(*given, "--mean", "0,0,0", "--std", "1,1,1", "--out", tmp_path / "m.safetensors")
    assert (again.code, "m.safetensors: is there already" in again.err) == (2, True)


def test_a_kits_tree_has_its_own_heights_for_any_images_of_its_classes(call: Call, tmp_path: Path) -> None:
    """Class folders named by wnid; every mistake costs the height of the node above both."""
    folders = [f"{split}/n0000000{number}" for split in ("train", "val") for number in (1, 2)]
    data, run = grow(tmp_path / "data", *folders), tmp_path / "run"
    shutil.copytree(data / "train/n00000001", data / "val/n00000002", dirs_exist_ok=True)  # surely answered wrong
    (tmp_path / "kit" / "data").mkdir(parents=True)
    rows = [(1, "n00000002", "b", np.array([]), 3), (2, "n00000001", "a", np.array([]), 0),
            (3, "n00000009", "top", np.array([2, 1]), 12)]  # fmt: skip
    fields = [(name, object) for name in ("ILSVRC2010_ID", "WNID", "words", "children", "wordnet_height")]
    savemat(tmp_path / "kit" / "data" / "meta.mat", {"synsets": np.array(rows, dtype=fields)})
    assert call("train", "pixels_linear", data, "--out", run, *FIXED).code == 0
    found = call("evaluate", run, data, "--tree", tmp_path / "kit", "--json").json
    assert found["top1_error"] > 0
    assert found["hierarchy"]["distance_1"]["mean"] == pytest.approx(12 * found["top1_error"])
    assert found["hierarchy"]["mistake_severity"]["mean"] == 12


def test_real_is_judged_beside_the_old_labels(call: Call, tmp_path: Path) -> None:
    """Its error counted by a loop over the kept scores: of four images the third has no label in ReaL."""
    np.savez(tmp_path / "w.npz", first=np.random.default_rng(0).normal(size=(1000, 3072)).astype(np.float32),
             second=np.zeros(1000, np.float32))  # fmt: skip
    model, kept = tmp_path / "m.safetensors", tmp_path / "kept.safetensors"
    given = ["import", tmp_path / "w.npz", "--as", "pixels_linear", "--classes", "ilsvrc2012", "--out", model]
    assert call(*given, "--mean", "0,0,0", "--std", "1,1,1").code == 0
    for number in (1, 2, 3, 4):
        picture(tmp_path / "data/val/one.png", number).rename(tmp_path / f"data/val/ILSVRC2012_val_{number:08d}.JPEG")
    (tmp_path / "data" / "val.txt").write_text("65\n970\n230\n809\n")
    told = call("evaluate", model, tmp_path / "data", "--json", "--scores", kept)
    assert told.json["real"] is None
    best = [int(row.argmax()) for row in load_scores(kept).averaged]
    lists = [[7, best[0]], [best[0]], [], [best[3]]]
    (tmp_path / "real.json").write_text(json.dumps(lists))
    wrong = sum(answer not in labels for answer, labels in zip(best, lists, strict=True) if labels)
    done = call("evaluate", model, tmp_path / "data", "--real", tmp_path / "real.json", "--json").json["real"]
    assert (done["error"], done["images"], done["of"]) == (wrong / 3, 3, 4)
    assert done["interval"][0] < done["error"] < done["interval"][1] or wrong == 0
    text = call("evaluate", model, tmp_path / "data", "--real", tmp_path / "real.json").out
    assert f"  ReaL: top-1 error {100 * wrong / 3:.2f} % (95 % interval " in text
    assert " on the 3 of 4 images that have a label there\n" in text
    assert call("evaluate", model, tmp_path / "data", "--real", tmp_path / "none.json").code == 2
    (tmp_path / "data" / "real.json").write_text("[[1], [2]]")
    refused = call("evaluate", model, tmp_path / "data", "--real", tmp_path / "data" / "real.json")
    assert (refused.code, "expected names such as ILSVRC2012_val_00000001.JPEG up to 2" in refused.err) == (1, True)


@pytest.fixture
def challenge(tmp_path: Path) -> Path:
    """Two classes as the Challenge hands them out: a kit, numbered images, tars of classes."""
    root = tmp_path / "challenge"
    wnids = {1: "n00000002", 2: "n00000001"}
    (root / "kit" / "data").mkdir(parents=True)
    rows = [(number, wnid, f"name {number}", np.array([])) for number, wnid in wnids.items()]
    fields = [(name, object) for name in ("ILSVRC2012_ID", "WNID", "words", "children")]
    savemat(root / "kit" / "data" / "meta.mat", {"synsets": np.array(rows, dtype=fields)})
    (root / "kit" / "data" / "ILSVRC2012_validation_ground_truth.txt").write_text("1\n2\n2\n")
    for number in (1, 2, 3):
        picture(root / "val" / "one.png", number).rename(root / "val" / f"ILSVRC2012_val_{number:08d}.JPEG")
    (root / "train").mkdir()
    for wnid in wnids.values():
        with tarfile.open(root / "train" / f"{wnid}.tar", "w") as archive:
            for number in range(4):
                archive.add(picture(tmp_path / "one.png", number), f"{wnid}_{number}.JPEG")
    return root


def test_a_submission_is_written_in_the_kits_numbers(call: Call, challenge: Path, tmp_path: Path) -> None:
    run, file = tmp_path / "run", tmp_path / "answers.txt"
    trained = call("train", "pixels_linear", challenge, "--out", run, *FIXED)
    assert (trained.code, "ILSVRC-2012 with train/ and val/, labels of val by kit" in trained.err) == (0, True)
    judged = call("evaluate", run, challenge, "--submission", file, "--scores", tmp_path / "scores", "--json")
    assert judged.code == 0
    scores = load_scores(tmp_path / "scores")
    order = [{"n00000002": "1", "n00000001": "2"}[label.key] for label in scores.classes]
    best = [f"{order[row.argmax()]} {order[row.argmin()]}" for row in scores.averaged]
    assert file.read_text().splitlines() == best
    wrong = sum(line[0] != truth for line, truth in zip(best, "122", strict=True))
    assert judged.json["top1_error"] == pytest.approx(wrong / 3)
    again = call("evaluate", run, challenge, "--submission", file)
    assert (again.code, "expected a new file, found one of that name" in again.err) == (2, True)
    several = call("evaluate", run, challenge, "--submission", tmp_path / "b.txt", "--crops", "1,5")
    assert (several.code, "is for one model on one protocol" in several.err) == (2, True)
    for number in (3, 1):  # the last, which the kit has a label of, and the first
        (challenge / "val" / f"ILSVRC2012_val_{number:08d}.JPEG").unlink()
        fewer = call("evaluate", run, challenge, "--submission", tmp_path / "b.txt")
        assert (fewer.code, f"expected images 1 to 3 of val, found no {number}" in fewer.err) == (2, True)
    assert not (tmp_path / "b.txt").exists()
