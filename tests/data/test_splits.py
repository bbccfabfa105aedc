"""The division by content: what it promises, checked on folders drawn by hypothesis."""

import hashlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from topfive.data import open_data
from topfive.data.splits import TEST_SHARE, fraction, split_by_content
from topfive.errors import BadData

Contents = dict[str, list[int]]  # class -> what its files hold, as numbers

classes = st.dictionaries(st.sampled_from("abcde"), st.lists(st.integers(0, 40), min_size=1, max_size=12), min_size=1)


def place(number: int) -> float:
    """The documented rule, written out a second time."""
    return int.from_bytes(hashlib.blake2b(str(number).encode()).digest()[:8], "big") / 2**64


def write(root: Path, contents: Contents) -> dict[str, list[Path]]:
    for key, numbers in contents.items():
        (root / key).mkdir(parents=True)
        for index, number in enumerate(numbers):
            (root / key / f"{index}.jpg").write_text(str(number))
    return {key: [root / key / f"{index}.jpg" for index in range(len(contents[key]))] for key in sorted(contents)}


def divide(contents: Contents) -> tuple[Contents, Contents, str]:
    """Train and test as the numbers that the files hold."""
    with tempfile.TemporaryDirectory() as folder:
        division = split_by_content(Path(folder), write(Path(folder), contents))
        train, test = (
            {key: sorted(int(path.read_text()) for path in paths) for key, paths in side.items()}
            for side in (division.train, division.test)
        )
    return train, test, division.note


def apart(contents: Contents) -> Contents:
    """The same with contents that no two classes share, and at least two of them in each."""
    return {key: [1000 * ord(key) + n for n in {*numbers, 98, 99}] for key, numbers in contents.items()}


def test_the_place_of_a_file_is_its_blake2b_digest_and_not_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"abc")
    (tmp_path / "b.png").write_bytes(b"abc")
    # RFC 7693, appendix A: BLAKE2b-512("abc") begins BA 80 A5 3F 98 1C 4D 0D
    assert fraction(tmp_path / "a.jpg") == fraction(tmp_path / "b.png") == 0xBA80A53F981C4D0D / 2**64


def test_a_file_that_cannot_be_read_has_a_place_by_name(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "lost.jpg").symlink_to(tmp_path / "nowhere")
    digest = hashlib.blake2b(b"a/lost.jpg").digest()
    assert fraction(tmp_path / "a" / "lost.jpg") == int.from_bytes(digest[:8], "big") / 2**64


@settings(max_examples=40, deadline=None)
@given(classes)
def test_every_image_is_on_one_side_and_every_class_on_both(drawn: Contents) -> None:
    contents = apart(drawn)
    train, test, note = divide(contents)
    assert set(train) == set(test) == set(contents)
    for key, numbers in contents.items():
        assert sorted(train[key] + test[key]) == sorted(numbers)
        by_rule = sorted(number for number in numbers if place(number) < TEST_SHARE)
        if 0 < len(by_rule) < len(numbers):
            assert test[key] == by_rule
        else:  # helped, by one picture, and named
            assert key in note.rsplit(": ", 1)[1].split(", ")
            ordered = sorted(numbers, key=place)
            assert test[key] == sorted(ordered[:1] if not by_rule else ordered[:-1])


@settings(max_examples=40, deadline=None)
@given(classes)
def test_copies_stay_together_within_a_class_and_across(drawn: Contents) -> None:
    contents = {key: [*numbers, *numbers[:3], *apart({key: numbers})[key]] for key, numbers in drawn.items()}
    train, test, _ = divide(contents)
    assert set(train) == set(test) == set(contents)
    assert not {n for numbers in train.values() for n in numbers} & {n for numbers in test.values() for n in numbers}


@settings(max_examples=40, deadline=None)
@given(classes, st.sampled_from("abcde"), st.integers(100, 200))
def test_an_added_file_moves_no_other(drawn: Contents, key: str, added: int) -> None:
    test_side, train_side = (next(n for n in range(10**6) if (place(n) < TEST_SHARE) is side) for side in (True, False))
    contents = {k: [test_side, train_side, *numbers] for k, numbers in drawn.items()}  # no class needs help
    before_train, before_test, note = divide(contents)
    grown = {**contents, key: [*contents.get(key, [test_side, train_side]), added]}
    after_train, after_test, _ = divide(grown)
    assert note == ""
    for k in contents:
        assert [n for n in after_train[k] if n != added or n in contents[k]] == before_train[k]
        assert [n for n in after_test[k] if n != added or n in contents[k]] == before_test[k]
    assert (added in after_test[key]) is (place(added) < TEST_SHARE)


def test_a_class_that_chance_leaves_without_training_images_gives_its_highest(tmp_path: Path) -> None:
    low = sorted((number for number in range(100) if place(number) < TEST_SHARE), key=place)[:4]
    division = split_by_content(tmp_path, write(tmp_path, {"a": [*low, low[3]]}))
    assert [int(path.read_text()) for path in division.train["a"]] == [low[3], low[3]]  # and its copy with it
    assert [int(path.read_text()) for path in division.test["a"]] == low[:3]
    assert division.note.endswith(": a")


def test_a_fifth_is_test(tmp_path: Path) -> None:
    division = split_by_content(tmp_path, write(tmp_path, {"a": list(range(1500))}))
    assert len(division.test["a"]) / 1500 == pytest.approx(TEST_SHARE, abs=0.04)  # four standard deviations
    assert division.note == ""


def test_a_class_of_one_picture_is_refused_by_name(tmp_path: Path) -> None:
    images = write(tmp_path, {"a": [1, 2, 3], "mono": [7, 7, 7]})
    with pytest.raises(BadData, match=r"mono: expected two or more different pictures .* got only one in 3 file\(s\)"):
        split_by_content(tmp_path, images)


def test_a_class_of_pictures_from_other_classes_is_refused_by_name(tmp_path: Path) -> None:
    train_side = [number for number in range(100) if place(number) > TEST_SHARE][:6]
    images = write(tmp_path, {"all": train_side, "some": train_side[:3]})
    with pytest.raises(BadData, match=r"some: .* got only copies of other classes' images in 3 file\(s\)"):
        split_by_content(tmp_path, images)


def test_open_data_divides_one_folder_and_says_so(tmp_path: Path) -> None:
    shade = 0
    for key, count in (("big", 40), ("small", 2)):
        (tmp_path / key).mkdir()
        for index in range(count):
            Image.new("L", (3, 3), shade := shade + 1).save(tmp_path / key / f"{index}.png")
    data = open_data(tmp_path)
    train, test = data.split("train"), data.split("test")
    assert data.layout == (
        f"one folder of class folders: 2 classes, 42 images, divided by content into "
        f"{len(train)} train + {len(test)} test"
    )
    assert set(train.ids) | set(test.ids) == {f"big/{i}.png" for i in range(40)} | {"small/0.png", "small/1.png"}
    assert len(train) + len(test) == 42
    assert {0, 1} == set(train.labels.tolist()) == set(test.labels.tolist())
    assert data.notes[0].startswith(f"{len(test)} of 42 images are set apart as test, some 20% of each class")
    alone = tmp_path.parent / f"{tmp_path.name}-alone"
    alone.mkdir()
    tmp_path.rename(alone / "train")
    nested = open_data(alone)
    assert nested.layout.startswith("class folders in train/ alone: 2 classes, 42 images")
    assert nested.split("test").ids == tuple(f"train/{id_}" for id_ in test.ids)
