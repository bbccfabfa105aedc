"""Class folders of every shape that people have on disk, told apart or refused with the folder's name."""

import unicodedata
from pathlib import Path

import pytest
import torch
from PIL import Image

from topfive.data import open_data
from topfive.data.imageset import ImageSet
from topfive.errors import BadData


def draw(path: Path, shade: int) -> Path:
    """A small picture of that shade: the same shade gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), (shade % 256, shade // 256, 7)).save(path, "PNG")
    return path


def grow(root: Path, **images: int) -> Path:
    """root/<folder>/<i>.png for each folder: `train__cat=3` is three pictures in train/cat."""
    shade = 0
    for folder, count in images.items():
        for index in range(count):
            draw(root / folder.replace("__", "/") / f"{index}.png", shade := shade + 1)
    return root


def keys(data: ImageSet) -> list[str]:
    return [label.key for label in data.classes]


def test_train_and_val_share_one_class_list(tmp_path: Path) -> None:
    data = open_data(grow(tmp_path / "pets", train__cat=3, train__dog=2, val__cat=1, val__dog=2))
    assert data.layout == "class folders with train/ and val/: 2 classes, 5 + 3 images"
    assert (data.name, data.judged, data.mirror, data.notes) == ("pets", "val", True, ())
    train, val = data.split("train"), data.split("val")
    assert train.ids == ("train/cat/0.png", "train/cat/1.png", "train/cat/2.png", "train/dog/0.png", "train/dog/1.png")
    assert train.labels.tolist() == [0, 0, 0, 1, 1]
    assert train.labels.dtype == torch.int64
    assert val.ids == ("val/cat/0.png", "val/dog/0.png", "val/dog/1.png")
    assert val.labels.tolist() == [0, 1, 1]
    assert train.image(0)[:, 0, 0].tolist() == [1, 0, 7]
    assert val.image(2)[:, 0, 0].tolist() == [8, 0, 7]


@pytest.mark.parametrize(
    ("folder", "split"), [("valid", "val"), ("validation", "val"), ("Test", "test"), ("VAL", "val")]
)
def test_split_folders_go_by_their_usual_names(tmp_path: Path, folder: str, split: str) -> None:
    data = open_data(grow(tmp_path, train__a=1, train__b=1, **{f"{folder}__a": 1, f"{folder}__b": 1}))
    assert list(data.splits) == ["train", split]
    assert data.split(split).ids == (f"{folder}/a/0.png", f"{folder}/b/0.png")


def test_val_and_test_may_both_be_there_and_test_is_judged(tmp_path: Path) -> None:
    data = open_data(grow(tmp_path, train__a=1, train__b=1, val__a=2, val__b=1, test__a=1, test__b=1))
    assert data.layout.endswith("with train/, val/ and test/: 2 classes, 2 + 3 + 2 images")
    assert data.judged == "test"


def test_a_split_to_judge_needs_no_train(tmp_path: Path) -> None:
    data = open_data(grow(tmp_path, val__a=1, val__b=2))
    assert list(data.splits) == ["val"]
    assert len(data.split("val")) == 3


def test_equal_leaf_names_are_two_classes(tmp_path: Path) -> None:
    data = open_data(grow(tmp_path, a__dog=6, b__dog=6))
    assert keys(data) == ["a/dog", "b/dog"]
    assert [label.name for label in data.classes] == ["dog", "dog"]
    for split in data.splits.values():
        for id_, label in zip(split.ids, split.labels.tolist(), strict=True):
            assert id_.startswith("ab"[label] + "/dog/")


def test_keys_are_sorted_by_code_point_and_not_as_numbers(tmp_path: Path) -> None:
    data = open_data(grow(tmp_path, train__10=1, train__9=1, train__a=1, train__B=1, train__é=1, val__10=1, val__9=1,
                          val__a=1, val__B=1, val__é=1))  # fmt: skip
    assert keys(data) == ["10", "9", "B", "a", "é"]


def test_unicode_and_spaces_in_names_and_endings_in_any_case(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for name in ("größe 1/Ein Bild.JPG", "größe 1/写真.jPeG", "кот/1.Png"):
            draw(tmp_path / split / name, 1)
    data = open_data(tmp_path)
    assert keys(data) == ["größe 1", "кот"]
    assert data.split("val").ids == ("val/größe 1/Ein Bild.JPG", "val/größe 1/写真.jPeG", "val/кот/1.Png")


def test_a_name_decomposed_by_a_mac_is_the_same_class(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    assert composed != decomposed
    grow(tmp_path, **{f"train__{composed}": 1, "train__tea": 1, f"val__{decomposed}": 1, "val__tea": 1})
    data = open_data(tmp_path)
    assert keys(data) == [composed, "tea"]
    assert data.split("val").ids[0] == f"val/{composed}/0.png"
    assert data.split("val").image(0).shape == (3, 4, 4)
    grow(tmp_path, **{f"train__{decomposed}": 1})
    with pytest.raises(BadData, match="two that differ only in Unicode form"):
        open_data(tmp_path)


def test_other_files_are_counted_and_hidden_ones_skipped(tmp_path: Path) -> None:
    grow(tmp_path, train__a=1, train__b=1, val__a=1, val__b=1)
    (tmp_path / "train" / "a" / "notes.txt").write_text("x")
    (tmp_path / "labels.csv").write_text("x")
    draw(tmp_path / "train" / "a" / "._0.png", 9)
    draw(tmp_path / ".cache" / "a" / "0.png", 9)
    draw(tmp_path / "train" / "__MACOSX" / "a" / "1.png", 9)
    draw(tmp_path / "extra" / "a.png", 9)
    draw(tmp_path / "cover.png", 9)
    data = open_data(tmp_path)
    assert keys(data) == ["a", "b"]
    assert len(data.split("train")) == 2
    assert data.notes == (
        "passed over 1 image(s) that lie beside train/ and have no class",
        "passed over extra/, which hold no split",
        "passed over 2 file(s) that are not images by their ending",
    )


def test_links_are_followed_but_not_in_a_circle(tmp_path: Path) -> None:
    grow(tmp_path / "set", a=6)
    grow(tmp_path / "elsewhere", b=6)
    (tmp_path / "set" / "b").symlink_to(tmp_path / "elsewhere" / "b")
    (tmp_path / "set" / "a" / "round").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "self").symlink_to(tmp_path / "set" / "a" / "..")
    data = open_data(tmp_path / "set")
    assert keys(data) == ["a", "b"]
    assert sum(map(len, data.splits.values())) == 12


def test_a_link_to_nothing_stays_in_the_set_as_a_broken_image(tmp_path: Path) -> None:
    grow(tmp_path, train__a=1, train__b=1, val__a=1, val__b=1)
    (tmp_path / "val" / "a" / "lost.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert "val/a/lost.jpg" in open_data(tmp_path).split("val").ids


# Refusals


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_class_only_in_val_is_refused_by_name(tmp_path: Path, split: str) -> None:
    grow(tmp_path, train__a=1, train__b=1, **{f"{split}__a": 1, f"{split}__b": 1, f"{split}__wolf": 1})
    with pytest.raises(BadData, match=rf"{split}: expected the classes of train/, got also 'wolf'; rename"):
        open_data(tmp_path)


def test_a_class_missing_from_val_is_refused_by_name(tmp_path: Path) -> None:
    grow(tmp_path, train__a=1, train__b=1, train__wolf=1, val__a=1, val__b=1)
    with pytest.raises(BadData, match="val: expected the classes of train/, found no folder for 'wolf'; add"):
        open_data(tmp_path)


def test_many_offenders_are_cut_short(tmp_path: Path) -> None:
    grow(tmp_path, train__a=1, train__b=1, val__a=1, val__b=1, **{f"val__x{i}": 1 for i in range(8)})
    with pytest.raises(BadData, match="got also 'x0', 'x1', 'x2', 'x3', 'x4' and 3 more; "):
        open_data(tmp_path)


@pytest.mark.parametrize("place", ["train/c", "val/c", "train/a/deep"])
def test_an_empty_class_folder_is_refused_by_name(tmp_path: Path, place: str) -> None:
    grow(tmp_path, train__b=1, val__b=1, train__a__deep2=1, val__a__deep2=1)
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / "readme.txt").write_text("none here")
    key = place.split("/", 1)[1]
    with pytest.raises(BadData, match=rf"{place}: expected images of class '{key}', got none with an ending"):
        open_data(tmp_path)


def test_images_beside_class_folders_are_refused(tmp_path: Path) -> None:
    grow(tmp_path, a=2, b=2, b__bad=1)
    with pytest.raises(
        BadData, match=r"b: expected images or class folders, got both \(2 images such as 0.png beside bad"
    ):
        open_data(tmp_path)
    stray = draw(grow(tmp_path / "other", a=2, b=2) / "stray.png", 1)
    with pytest.raises(BadData, match=r"other: .*got both \(1 images such as stray.png beside a/\)"):
        open_data(stray.parent)


def test_one_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="expected two or more class folders, got only cat/; add one"):
        open_data(grow(tmp_path / "one", cat=3))
    with pytest.raises(BadData, match="train: expected two or more class folders, got only cat/"):
        open_data(grow(tmp_path / "two", train__cat=3, val__cat=1))


def test_a_name_that_is_not_unicode_is_refused(tmp_path: Path) -> None:
    grow(tmp_path, a=2, b=2)
    draw(tmp_path / "a" / "caf\udce9.png", 5)
    with pytest.raises(BadData, match=r"expected names in UTF-8, got b'caf\\xe9\.png'; rename"):
        open_data(tmp_path)


# The manifest


def test_the_manifest_sees_labels_and_ids_and_not_the_place_on_disk(tmp_path: Path) -> None:
    def manifest(name: str, **images: int) -> str:
        return open_data(grow(tmp_path / name, train__a=2, train__b=2, val__a=1, **images)).manifest

    same, again = manifest("one", val__b=1), manifest("two", val__b=1)
    assert same == again
    assert len(same) == 64
    assert manifest("three", val__b=2) != same
    (tmp_path / "one" / "val" / "a" / "0.png").rename(tmp_path / "one" / "val" / "b" / "9.png")
    draw(tmp_path / "one" / "val" / "a" / "1.png", 99)
    assert open_data(tmp_path / "one").manifest != same


def test_the_manifest_changes_when_only_a_label_moves() -> None:
    digits = open_data("digits")
    train = digits.split("train")
    labels = train.labels.clone()
    labels[17] = (labels[17] + 1) % 10
    moved = type(train)(train.ids, labels, pixels=train.pixels)
    other = ImageSet(digits.name, digits.layout, digits.classes, {**digits.splits, "train": moved})
    renamed = ImageSet(digits.name, digits.layout, digits.classes[::-1], digits.splits)
    assert len({digits.manifest, other.manifest, renamed.manifest}) == 3
    assert digits.manifest == open_data("digits").manifest
