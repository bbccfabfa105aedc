"""The Challenge's images as they are handed out, on copies of a few images: kits, tars, numbered images, labels."""

import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from challenge_files import KITS, TRUTH, kit, lines, meta, picture, tar, val, write

from topfive.data import open_data
from topfive.data.challenge import challenge_classes, challenge_numbers
from topfive.data.decode import shape
from topfive.data.devkit import read_devkit
from topfive.data.imageset import ImageSet, fingerprint
from topfive.data.label_files import read_label_file
from topfive.data.tars import Packed, members, read_archive
from topfive.errors import BadData, BadFile, Misused
from topfive.evaluation import Scores
from topfive.evaluation.hierarchy import Hierarchy
from topfive.evaluation.reassessed import real_error

TRAIN = {
    wnid: {f"{wnid}_{number}.JPEG": picture(10 * row + number) for number in (7, 36)}
    for row, wnid in enumerate(("n01000000", "n02000000", "n03000000"))
}


def keys(data: ImageSet, split: str) -> dict[str, str]:
    found = data.split(split)
    return {id_: data.classes[label].key[:3] for id_, label in zip(found.ids, found.labels.tolist(), strict=True)}


@pytest.mark.parametrize("year", KITS)
@pytest.mark.parametrize("packed", [False, True])
def test_kits_of_every_year_are_read(tmp_path: Path, year: int, packed: bool) -> None:
    name, files = KITS[year]
    path = kit(tmp_path, year)
    if packed:
        path = tmp_path / f"{name}.tar.gz"
        path.write_bytes(tar({f"{name}/data/{file}": content for file, content in files.items()}, "w:gz"))
    found = read_devkit(path)
    assert found.year == min(year, 2012)
    assert found.numbers == {"n03000000": 1, "n01000000": 2, "n02000000": 3}
    assert [(label.key, label.name) for label in found.classes] == [
        ("n01000000", "tench"), ("n02000000", "crane"), ("n03000000", "crane")
    ]  # fmt: skip
    assert found.truth == {"val": tuple(TRUTH)}
    assert found.blacklist == ({2, 4} if year == 2014 else set())
    if year == 2015:
        assert found.edges == []
        return
    costs = Hierarchy.of(found.edges).costs([label.key for label in found.classes])
    assert costs.tolist() == [[0, 1, 2], [1, 0, 2], [2, 2, 0]]


def test_validation_images_in_one_folder_are_labelled_by_their_numbers(tmp_path: Path) -> None:
    write(tmp_path / "val", val())
    (tmp_path / "val" / "ILSVRC2012_val_00000002.JPEG").unlink()  # the others keep their labels
    kit(tmp_path)
    data = open_data(tmp_path)
    assert keys(data, "val") == {
        "val/ILSVRC2012_val_00000001.JPEG": "n01",
        "val/ILSVRC2012_val_00000003.JPEG": "n03",
        "val/ILSVRC2012_val_00000004.JPEG": "n01",
    }
    assert data.layout == "ILSVRC-2012 with val/, labels of val by ILSVRC2012_devkit_t12: 3 classes, 3 images"
    assert data.notes == ("val: 3 of the 4 images that have a label are here; the others are not judged",)
    assert data.numbers["n03000000"] == 1


def test_tars_and_folders_of_the_same_images_are_one_image_set(tmp_path: Path) -> None:
    class_tars = {f"{wnid}.tar": tar(images) for wnid, images in TRAIN.items()}
    name, files = KITS[2012]
    kit_tar = tar({f"{name}/data/{file}": content for file, content in files.items()}, "w:gz")
    unpacked = write(tmp_path / "unpacked" / "val", val()).parent
    for wnid, images in TRAIN.items():
        write(unpacked / "train" / wnid, images)
    kit(unpacked)
    packed = write(tmp_path / "packed", {
        "ILSVRC2012_img_train.tar": tar(class_tars),
        "ILSVRC2012_img_val.tar": tar({f"./{image}": content for image, content in val().items()}),
        "ILSVRC2012_devkit_t12.tar.gz": kit_tar,
    })  # fmt: skip
    half = write(tmp_path / "half", {f"train/{file}": content for file, content in class_tars.items()})
    write(half / "ILSVRC2012_img_val", val())
    kit(half)
    sets = [open_data(root) for root in (unpacked, packed, half)]
    assert len({data.manifest for data in sets}) == 1
    assert sets[1].layout == (
        "ILSVRC-2012 with ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar, labels of val by "
        "ILSVRC2012_devkit_t12.tar.gz: 3 classes, 6 + 4 images"
    )
    assert keys(sets[1], "train")["train/n02000000/n02000000_36.JPEG"] == "n02"
    for split in ("train", "val"):
        for row in range(len(sets[0].split(split))):
            assert all(torch.equal(sets[0].split(split).image(row), data.split(split).image(row)) for data in sets)
    assert all(isinstance(path, Packed) for path in sets[1].split("val").paths or ())
    with ThreadPoolExecutor(8) as pool:  # threads share no position in the archive
        train = sets[1].split("train")
        rows = [row for _ in range(50) for row in range(len(train))]
        for row, image in zip(rows, pool.map(train.image, rows), strict=True):
            assert torch.equal(image, sets[0].split("train").image(row))
    assert (tmp_path / "packed").exists() and sorted(path.name for path in packed.iterdir()) == [
        "ILSVRC2012_devkit_t12.tar.gz", "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
    ]  # fmt: skip


def test_a_tar_beside_its_own_folder_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, {"ILSVRC2012_img_val.tar": b"not looked at", "val/notes.txt": b""})
    write(tmp_path / "val", val())
    kit(tmp_path)
    assert open_data(tmp_path).notes == (
        "passed over 1 file(s) in val that are not images by their ending",
        "passed over ILSVRC2012_img_val.tar, which lie here unpacked as well",
    )


def test_a_packed_image_is_as_one_alone(tmp_path: Path) -> None:
    content = picture(1)
    path = write(tmp_path, {"a.tar": tar({"x/one.JPEG": content, "two.JPEG": content[:200]})}) / "a.tar"
    one = members(path)[0]
    assert (one.read_bytes(), str(one), shape(one)) == (content, f"{path}:x/one.JPEG", (4, 6))
    data = write(
        tmp_path / "set", {"train/n01000000.tar": path.read_bytes(), "train/n02000000.tar": tar({"b.jpg": content})}
    )
    split = open_data(data).split("train")
    before = fingerprint(split)
    with pytest.raises(BadFile, match=r"n01000000\.tar:two\.JPEG: is not a readable image"):
        split.image(1)
    with open(data / "train" / "n01000000.tar", "r+b") as file:
        file.truncate(600)
    assert fingerprint(split) != before
    with pytest.raises(BadFile, match=r"two\.JPEG: expected an image, could not read the file \(n01.*ends before it"):
        split.image(1)


@pytest.mark.parametrize("length", [700, 1536, 2048, 2600])
def test_a_tar_that_is_cut_short_is_refused(tmp_path: Path, length: int) -> None:
    """Inside an image, between two and inside a header: the images before the cut must not pass for all of them."""
    whole = tar({"ILSVRC2012_val_00000001.JPEG": b"x" * 1000, "ILSVRC2012_val_00000002.JPEG": b"x" * 1000})
    kit(tmp_path)
    write(tmp_path, {"ILSVRC2012_img_val.tar": whole[:length]})
    with pytest.raises(BadFile, match=r"img_val\.tar: expected a (whole tar|tar that is not compressed)"):
        open_data(tmp_path)
    write(tmp_path, {"ILSVRC2012_img_val.tar": tar(val(), "w:gz")})
    with pytest.raises(BadFile, match=r"img_val\.tar: expected a tar that is not compressed, .*; unpack it"):
        open_data(tmp_path)


def test_hard_links_are_images_and_sparse_files_are_refused(tmp_path: Path) -> None:
    """GNU tar stores a file that has two names once."""
    (tmp_path / "a.txt").write_bytes(b"one")
    (tmp_path / "b.txt").hardlink_to(tmp_path / "a.txt")
    (tmp_path / "c.txt").symlink_to("a.txt")
    path = tmp_path / "links.tar"
    with tarfile.open(path, "w") as tar:
        for name in "abc":
            tar.add(tmp_path / f"{name}.txt", f"{name}.txt")
        assert tar.getmember("b.txt").islnk()
    assert [(one.name, one.read_bytes()) for one in members(path)] == [("a.txt", b"one"), ("b.txt", b"one")]
    header = tarfile.TarInfo("holes")
    header.type = tarfile.GNUTYPE_SPARSE
    with tarfile.open(path, "w") as tar:
        tar.addfile(header)
    with pytest.raises(BadFile, match=r"links\.tar: expected a tar .*\(holes is stored as a sparse file"):
        members(path)


def test_a_tar_cut_short_in_another_does_not_run_into_the_next(tmp_path: Path) -> None:
    short = tar(TRAIN["n01000000"]).rstrip(b"\0")
    short += bytes(-len(short) % 512)  # whole images, and no end
    inner = {"n01000000.tar": short, "n02000000.tar": tar(TRAIN["n02000000"])}
    write(tmp_path, {"ILSVRC2012_img_train.tar": tar(inner)})
    with pytest.raises(BadFile, match=r"n01000000\.tar: expected a whole tar, found it cut short"):
        open_data(tmp_path)


def test_of_2010_the_test_images_have_labels(tmp_path: Path) -> None:
    kit(tmp_path, 2010)
    write(tmp_path, {
        "ILSVRC2010_images_val.tar": tar({f"val/{name}": content for name, content in val(2010).items()}),
        "ILSVRC2010_images_test.tar": tar({f"test/{name}": content for name, content in val(2010, 3, "test").items()}),
    })  # fmt: skip
    without = open_data(tmp_path)
    assert list(without.splits) == ["val"]
    assert without.notes == ("passed over ILSVRC2010_images_test.tar, whose images have no labels here",)
    write(tmp_path, {"ILSVRC2010_test_ground_truth.txt": lines(3, 1, 2)})
    data = open_data(tmp_path)
    assert data.judged == "test"
    assert list(keys(data, "test").values()) == ["n02", "n03", "n01"]


def test_images_of_another_year_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "val", val(2010))
    kit(tmp_path)
    with pytest.raises(
        BadData, match=r"expected images of 2012, .* found one of 2010; give the development kit of 2010"
    ):
        open_data(tmp_path)


def test_images_sorted_into_wrong_classes_are_refused(tmp_path: Path) -> None:
    kit(tmp_path)
    wnids = ("n01000000", "n02000000", "n03000000", "n01000000")
    for wnid, (name, content) in zip(wnids, val().items(), strict=True):
        write(tmp_path / "val" / wnid, {name: content})
    assert list(keys(open_data(tmp_path), "val").values()) == ["n01", "n01", "n02", "n03"]
    (tmp_path / "val" / wnids[0] / "ILSVRC2012_val_00000001.JPEG").rename(
        tmp_path / "val" / wnids[1] / "ILSVRC2012_val_00000001.JPEG"
    )
    with pytest.raises(BadData, match=r"expected it in n01000000, .* found it in n02000000; sort the images again"):
        open_data(tmp_path)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"val/ILSVRC2012_val_00000001.JPEG": b""}, "expected the development kit .* found neither; put one of them"),
        ({"kit/data/meta.mat": b"", "val/ILSVRC2012_val_00000001.JPEG": b""}, "meta.mat: expected MATLAB's file"),
        ({"k/data/meta.mat": meta(2012), "val/x.png": b""}, "x.png: expected an image named ILSVRC2012_val_00000001"),
        ({"k/data/meta.mat": meta(2012), "val/n00000001/x.png": b""}, "expected one of the 3 classes, found n00000001"),
        ({"k/data/meta.mat": meta(2012), "val/n01000000/x.png": b""}, "found none of n02000000 and 1 more"),
        (
            {"k/data/meta.mat": meta(2012), "val/ILSVRC2012_val_00000003.JPEG": b"",
             "val/ILSVRC2012_val_00000003 (1).JPEG": b""},
            "expected one image of val with number 3, found two; remove one",
        ),
        ({"k/data/meta.mat": b"", "k2/data/meta.mat": b"", "val/x.png": b""}, "expected one development kit, got k"),
        (
            {"k/data/meta.mat": meta(2012), "val/ILSVRC2012_val_00000001.JPEG": b"",
             "k/data/ILSVRC2012_validation_ground_truth.txt": b"4\n"},
            "line 1: expected the number of a class, 1 to 3, found 4",
        ),
        (
            {"k/data/meta.mat": meta(2012), "val/ILSVRC2012_val_00000003.JPEG": b"",
             "k/data/ILSVRC2012_validation_ground_truth.txt": b"1\n1\n"},
            "00000003.JPEG: expected one of the 2 images that k has a label for",
        ),
        (
            {"k/data/meta.mat": meta(2012), "val/ILSVRC2012_val_00000003.JPEG": b"",
             "k/data/ILSVRC2012_validation_ground_truth.txt": b"1\n\n1\n"},
            "line 2: expected a number, found ''",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_labelled_is_refused(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    with pytest.raises((BadData, BadFile), match=rf"^/[^\n]*{message}[^\n]*$"):
        open_data(write(tmp_path, files))


def by_numbers(first: int) -> dict[str, bytes]:
    return {f"ILSVRC2012_val_{number:08d}.JPEG": picture(number) for number in range(first, first + 4)}


SORTED = [0, 65, 970, 999]
WNIDS = [label.key for label in challenge_classes()]
NUMBERS = challenge_numbers()
KIT = [NUMBERS[WNIDS[label]] for label in SORTED]


@pytest.mark.parametrize(
    ("name", "labels", "said"),
    [
        ("val.txt", SORTED, "numbers from 0, in the order of the wnids"),
        ("ILSVRC2012_validation_ground_truth.txt", [*KIT[:3], 1000], "numbers from 1, in the order of the development"),
        ("LOC_val_solution.csv", [WNIDS[label] for label in SORTED], "wnids"),
    ],
)
def test_the_numbering_of_a_label_file_is_told_and_said(
    tmp_path: Path, name: str, labels: list[Any], said: str
) -> None:
    rows = [f"ILSVRC2012_val_{number:08d}.JPEG {label}" for number, label in enumerate(labels, 20)]
    if name.endswith("csv"):
        rows = ["ImageId,PredictionString"] + [row.replace(".JPEG ", ",") + " 1 2 3 4" for row in rows]
    write(tmp_path / "val", by_numbers(20))
    write(tmp_path, {name: lines(*rows)})
    data = open_data(tmp_path)
    assert f"labels of val by {name} ({said}" in data.layout
    last = WNIDS.index("n03255030") if "ground" in name else 999  # the kits' 1000 is the dumbbell
    assert data.split("val").labels.tolist() == [0, 65, 970, last]
    assert len(data.classes) == len(data.numbers) == 1000


def test_the_first_images_tell_the_numbering_where_the_labels_do_not(tmp_path: Path) -> None:
    """Labels of the first images are known; those from 1 in the order of the wnids are neither numbering."""
    write(tmp_path / "val", by_numbers(1))
    first = [65, 970, 230, 809]
    for labels in (first, [NUMBERS[WNIDS[label]] for label in first]):
        write(tmp_path, {"val.txt": lines(*labels)})
        assert open_data(tmp_path).split("val").labels.tolist() == first
    write(tmp_path, {"val.txt": lines(*(label + 1 for label in first))})
    with pytest.raises(BadData, match=r"val\.txt: expected labels from 0 .* found others; give the development kit"):
        open_data(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("ILSVRC2012_val_00000020.JPEG 5\n", "found 5 to 5, which both fit; give the development kit"),
        ("ILSVRC2012_val_00000020.JPEG 0\nILSVRC2012_val_00000021.JPEG 1000\n", "found others"),
        ("ILSVRC2012_val_00000020.JPEG 5\nILSVRC2012_val_00000020.JPEG 5\n", "line 2: .* again; mend it"),
        ("ILSVRC2012_val_00000020.JPEG cat\n", "line 1: expected the name of a validation image and its label"),
        ("ILSVRC2012_val_00000020.JPEG n99999999\n", "found n99999999 for image 20"),
        ("ILSVRC2012_val_00000020.JPEG n01440764\nILSVRC2012_val_00000021.JPEG 3\n", "found 'n01440764' among numbers"),
        ("\n", "expected a label a line, found none"),
        ("cat.jpg 5\n", "line 1: expected the name of a validation image"),
    ],
)
def test_labels_that_cannot_be_understood_are_refused(tmp_path: Path, content: str, message: str) -> None:
    write(tmp_path / "val", by_numbers(20))
    write(tmp_path, {"val.txt": content.encode()})
    with pytest.raises((BadData, BadFile), match=rf"^/[^\n]*val\.txt[^\n]*{message}[^\n]*$"):
        open_data(tmp_path)


def test_tars_of_classes_alone_train_and_are_not_judged(tmp_path: Path) -> None:
    write(tmp_path, {f"{wnid}.tar": tar(images) for wnid, images in TRAIN.items()})
    data = open_data(tmp_path)
    assert keys(data, "train")["train/n03000000/n03000000_7.JPEG"] == "n03"
    with pytest.raises(Misused, match="has no test or val split to be judged on"):
        _ = data.judged


def test_real_is_judged_on_the_folder_by_numbers(tmp_path: Path) -> None:
    """The second image is missing: lists that were taken in the files' order would be those of others."""
    write(tmp_path / "val", by_numbers(1))
    (tmp_path / "val" / "ILSVRC2012_val_00000002.JPEG").unlink()
    write(tmp_path, {"val.txt": lines(65, 970, 230, 809)})
    data = open_data(tmp_path)
    split, answers = data.split("val"), [[65], [970], [230, 5], [7]]
    scores = torch.nn.functional.one_hot(split.labels, 1000).float()
    found = real_error(Scores("mlp", "val", scores[:, None], split.labels, split.ids, data.classes, "logits"), answers)
    assert (found.wrong, found.images) == (1, 3)


def test_folders_of_imagenet_v2_are_places_and_not_text(tmp_path: Path) -> None:
    for place in range(1000):
        folder = tmp_path / "imagenetv2" / str(place)
        folder.mkdir(parents=True)
        for number in range(10):
            (folder / f"{place}_{number}.jpeg").touch()
    data = open_data(tmp_path)
    assert data.layout == (
        "ImageNet-V2, its folders 0/ to 999/ as places in the order of the wnids: 1,000 classes, 10,000 images"
    )
    split = data.split("test")
    assert data.classes == challenge_classes()
    for id_, label in zip(split.ids, split.labels.tolist(), strict=True):
        assert int(id_.split("/")[0]) == label
    (tmp_path / "imagenetv2" / "10" / "10_0.jpeg").unlink()  # other classes that are named by numbers
    with pytest.raises(BadData, match="expected two or more different pictures of class '0'"):
        open_data(tmp_path)


def test_a_damaged_kit_is_refused_and_not_read_with_other_labels(tmp_path: Path) -> None:
    packed = tar({"kit/data/a.txt": lines(*range(1, 2000))}, "w:gz")
    file = tmp_path / "kit.tar.gz"
    file.write_bytes(packed)
    assert read_archive(file)["kit/data/a.txt"].splitlines()[1998] == b"1999"
    for place in range(40, len(packed), 97):
        file.write_bytes(packed[:place] + bytes([packed[place] ^ 4]) + packed[place + 1 :])
        with pytest.raises(BadFile, match="expected a tar"):
            read_archive(file)
    plain = tar({"kit/data/a.txt": b"1\n", "kit/data/b.txt": b"2\n"})
    file.write_bytes(plain[: 2 * 512])  # between two members
    with pytest.raises(BadFile, match=r"cut short after 1 file\(s\); get it again"):
        read_archive(file)


def test_an_empty_line_among_labels_is_named(tmp_path: Path) -> None:
    """Without it all later labels would be those of other images."""
    file = tmp_path / "val.txt"
    file.write_text("n01440764\n\nn01443537\n\n")
    with pytest.raises(BadFile, match="line 2: expected the name of a validation image and its label"):
        read_label_file(file)
