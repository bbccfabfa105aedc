"""What `open_data` makes of a name or a path, and what it says when it can make nothing of it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from topfive.data import open_data
from topfive.errors import BadData, TopfiveError, UnknownName


def fill(root: Path, *folders: str) -> Path:
    """Eight different pictures in each folder."""
    for number, folder in enumerate(folders):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for index in range(8):
            Image.new("L", (2, 2), 8 * number + index).save(root / folder / f"{index}.png")
    return root


def test_digits_are_scikit_learns_in_their_order() -> None:
    data, scans = open_data("digits"), load_digits()
    train, test = data.split("train"), data.split("test")
    assert (len(train), len(test), data.mirror, data.judged) == (1000, 797, False, "test")
    assert [label.key for label in data.classes] == list("0123456789")
    assert train.labels.tolist() + test.labels.tolist() == scans.target.tolist()
    assert train.ids[0] == "digits#0"
    assert test.ids[0] == "digits#1000"
    assert test.ids[-1] == "digits#1796"
    assert train.pixels is not None
    assert train.pixels.shape == (1000, 1, 8, 8)
    levels = [round(value * 255 / 16) for value in range(17)]
    assert test.image(3)[0].tolist() == [[levels[int(value)] for value in row] for row in scans.images[1003]]
    assert int(train.pixels.max()) == 255


def test_a_mistyped_name_or_path_is_told_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "Photos", "a", "b")
    for given in ("Digits", "DIGITS", "digit"):
        with pytest.raises(UnknownName, match=rf"{given}: expected digits or .* \(did you mean digits\?\)"):
            open_data(given)
    for given in ("photos", "Photo", str(tmp_path / "photoz")):
        with pytest.raises(UnknownName, match=r"found neither \(did you mean Photos\?\)"):
            open_data(given)
    with pytest.raises(
        UnknownName, match=r"nowhere/at/all: expected digits or an existing folder, found neither; check"
    ):
        open_data("nowhere/at/all")


def test_a_path_wins_where_it_is_given_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "digits", "a", "b")
    assert open_data("digits").layout.startswith("scans of handwritten digits")
    assert open_data("./digits").layout.startswith("one folder of class folders")
    assert open_data(Path("digits")).layout.startswith("one folder of class folders")


def test_what_is_no_folder_of_classes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set.zip").write_bytes(b"PK")
    with pytest.raises(BadData, match=r"set\.zip: expected a folder, got a file; .* unpack an archive first"):
        open_data(tmp_path / "set.zip")
    with pytest.raises(BadData, match=r"expected class folders, .* got 1 file.s. of other kinds"):
        open_data(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadData, match=r"empty: expected class folders, .* got an empty folder; put"):
        open_data(tmp_path / "empty")
    fill(tmp_path, "flat")
    with pytest.raises(
        BadData, match=r"flat: expected a folder for each class, got 8 image\(s\) directly inside; sort"
    ):
        open_data(tmp_path / "flat")


def test_a_folder_around_the_set_is_opened(tmp_path: Path) -> None:
    fill(tmp_path / "download" / "pets", "train/a", "train/b", "val/a", "val/b")
    data = open_data(tmp_path)
    assert data.name == "pets"
    assert data.split("val").ids[0] == "val/a/0.png"


def test_a_class_may_be_named_train(tmp_path: Path) -> None:
    data = open_data(fill(tmp_path, "bus", "train", "tram"))
    assert [label.key for label in data.classes] == ["bus", "train", "tram"]


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("train", "test"), "t[a-z]+: expected class folders, got images without a class; sort them"),
        (("train/a", "train/b", "test"), "test: expected class folders as in train/, got none; sort its images"),
        (("train/a", "train/b", "bus"), "expected val/ or test/ beside train/, or class folders alone, got bus/"),
        (("train/a", "val/a", "valid/a"), "expected one val/, got valid/ too; merge them or remove one"),
        (("x/train/a", "x/val/a", "y/a"), "expected one image set, got a split folder further down"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(tmp_path: Path, folders: tuple[str, ...], message: str) -> None:
    with pytest.raises(BadData, match=message):
        open_data(fill(tmp_path, *folders))


def test_every_refusal_is_one_sentence_that_says_what_to_do(tmp_path: Path) -> None:
    fill(tmp_path, "flat", "one/cat", "mixed/a", "mixed/a/b", "split/train/a", "split/train/b", "split/val/a")
    (tmp_path / "empty").mkdir()
    for given in ("flat", "one", "mixed", "split", "empty", "gone", "flat/0.png"):
        with pytest.raises(TopfiveError, match=r"^/[^;\n]+: expected [^;\n]+, (got|found) [^;\n]+; [^;\n]+$"):
            open_data(tmp_path / given)


def test_pixels_in_memory_are_not_copied_by_image() -> None:
    split = open_data("digits").split("test")
    assert split.pixels is not None
    assert np.shares_memory(split.image(5).numpy(), split.pixels.numpy())
