"""The Challenge's submissions: lines worked by hand, each form read back, and every odd line named."""

from pathlib import Path

import pytest
import torch

from topfive.data import ClassLabel, Split
from topfive.data.imageset import ImageSet
from topfive.errors import BadFile, Misused
from topfive.evaluation import Scores
from topfive.evaluation.boxes import Detections, Guesses
from topfive.evaluation.submissions import (
    best_five,
    in_order,
    read_classification,
    read_detection,
    read_localisation,
    write_classification,
    write_detection,
    write_localisation,
)

NUMBERS = {f"n{10 - number:08d}": number for number in range(1, 8)}  # the order of the wnids is another
IMAGES = [f"val/ILSVRC2012_val_{number:08d}.JPEG" for number in (1, 2, 3)]


def images(*numbers: int, known: bool = True, last: int = 0) -> ImageSet:
    ids = tuple(f"val/n{number % 3}/ILSVRC2012_val_{number:08d}.JPEG" for number in numbers)
    split = Split(ids, torch.zeros(len(ids), dtype=torch.int64), pixels=torch.zeros(len(ids), 1, 2, 2))
    classes = tuple(ClassLabel(wnid, wnid) for wnid in sorted(NUMBERS))
    return ImageSet("set", "", classes, {"val": split}, numbers=NUMBERS if known else {}, last={"val": last})


def test_five_numbers_a_line_in_the_order_of_the_images(tmp_path: Path) -> None:
    scores = torch.tensor([[[7.0, 6, 5, 4, 3, 2, 1]], [[torch.nan] * 7], [[1.0, 2, 3, 4, 5, 6, 7]]])
    classes = tuple(ClassLabel(wnid, wnid) for wnid in sorted(NUMBERS))
    scored = Scores("mlp", "val", scores, torch.zeros(3, dtype=torch.int64), tuple(IMAGES), classes, "logits")
    answers = best_five(scored, NUMBERS)
    text = write_classification(tmp_path / "a.txt", answers, NUMBERS)
    assert text.read_text() == "7 6 5 4 3\n0 0 0 0 0\n1 2 3 4 5\n"
    table = write_classification(tmp_path / "a.csv", answers, NUMBERS)
    assert table.read_text().splitlines() == [
        "ImageId,PredictionString",
        "ILSVRC2012_val_00000001,n00000003 n00000004 n00000005 n00000006 n00000007",
        "ILSVRC2012_val_00000002,",
        "ILSVRC2012_val_00000003,n00000009 n00000008 n00000007 n00000006 n00000005",
    ]
    for path in (text, table):
        assert read_classification(path, IMAGES, NUMBERS) == answers
    table.write_text("\n".join(table.read_text().splitlines()[:1] + table.read_text().splitlines()[:0:-1]))
    assert read_classification(table, IMAGES, NUMBERS) == answers  # rows of a table have no order
    named = IMAGES[0].replace(".JPEG", "_n00000003.JPEG")  # as on Hugging Face
    write_classification(tmp_path / "b.csv", {named: [7]}, NUMBERS)
    assert (tmp_path / "b.csv").read_text().splitlines()[1] == "ILSVRC2012_val_00000001,n00000003"
    text.write_text("7\n0 0 0 0 0 4\n1 2 3 4 5 6\n")  # short lines, and guesses beyond five
    assert list(read_classification(text, IMAGES, NUMBERS).values()) == [[7], [], [1, 2, 3, 4, 5]]


def test_images_stand_in_the_order_of_their_numbers_and_none_may_be_missing() -> None:
    data = images(3, 1, 2)
    assert [id_[-6] for id_ in in_order(data, "val")] == ["1", "2", "3"]
    with pytest.raises(Misused, match=r"expected images 1 to 4 of val, found no 2; a submission has a line for each"):
        in_order(images(1, 3, 4), "val")
    assert len(in_order(images(1, 2, 3, last=3), "val")) == 3
    with pytest.raises(Misused, match=r"1 to 50,000 of val, found no 4 and 49,996 more are missing; a submission has"):
        in_order(images(3, 1, 2, last=50_000), "val")
    with pytest.raises(Misused, match="expected the Challenge's numbered images and classes, found another image set"):
        in_order(images(1, 2, known=False), "val")


@pytest.mark.parametrize("name", ["a.txt", "a.csv"])
def test_a_class_and_its_box_follow_each_other(tmp_path: Path, name: str) -> None:
    answers = {
        IMAGES[0]: Guesses(torch.tensor([4, 2]), torch.tensor([[1, 2, 30, 40], [0.5, 2, 3, 4]])),
        IMAGES[1]: Guesses(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 4)),
        IMAGES[2]: Guesses(torch.tensor([7]), torch.tensor([[5, 6, 7, 8]])),
    }
    path = write_localisation(tmp_path / name, answers, NUMBERS)
    assert (
        path.read_text().splitlines()
        == {
            "a.txt": ["4 1 2 30 40 2 0.5 2 3 4", "0 0 0 0 0", "7 5 6 7 8"],
            "a.csv": [
                "ImageId,PredictionString",
                "ILSVRC2012_val_00000001,n00000006 1 2 30 40 n00000008 0.5 2 3 4",
                "ILSVRC2012_val_00000002,",
                "ILSVRC2012_val_00000003,n00000003 5 6 7 8",
            ],
        }[name]
    )
    for id_, found in read_localisation(path, IMAGES, NUMBERS).items():
        assert found.labels.tolist() == answers[id_].labels.tolist()
        assert found.boxes.tolist() == answers[id_].boxes.tolist()


@pytest.mark.parametrize("name", ["a.txt", "a.csv"])
def test_a_line_of_detection_is_an_object(tmp_path: Path, name: str) -> None:
    found = {
        2: Detections([IMAGES[2], IMAGES[0]], torch.tensor([0.5, -1.25]), torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8.5]])),
        7: Detections([IMAGES[0]], torch.tensor([3.0]), torch.tensor([[1, 1, 2, 2]])),
    }
    path = write_detection(tmp_path / name, found, IMAGES, NUMBERS)
    assert (
        path.read_text().splitlines()
        == {
            "a.txt": ["1 2 -1.25 5 6 7 8.5", "1 7 3 1 1 2 2", "3 2 0.5 1 2 3 4"],
            "a.csv": [
                "ImageId,PredictionString",
                "ILSVRC2012_val_00000001,n00000008 -1.25 5 6 7 8.5 n00000003 3 1 1 2 2",
                "ILSVRC2012_val_00000002,",
                "ILSVRC2012_val_00000003,n00000008 0.5 1 2 3 4",
            ],
        }[name]
    )
    again = read_detection(path, IMAGES, NUMBERS)
    assert {number: list(own.images) for number, own in again.items()} == {2: [IMAGES[0], IMAGES[2]], 7: [IMAGES[0]]}
    assert again[2].confidence.tolist() == [-1.25, 0.5]
    assert again[2].boxes.tolist() == [[5, 6, 7, 8.5], [1, 2, 3, 4]]


HEAD = "ImageId,PredictionString\n"


@pytest.mark.parametrize(
    ("name", "read", "content", "message"),
    [
        ("a.txt", read_classification, "1\n2\n", "expected a line for each of 3 images, found 2"),
        ("a.txt", read_classification, "1\n8\n2\n", "line 2: expected the number or the wnid of a class, found '8'"),
        (
            "a.txt",
            read_classification,
            "1\ncat\n2\n",
            "line 2: expected the number or the wnid of a class, found 'cat'",
        ),
        ("a.txt", read_localisation, "1 1 1 2 2\n1 2 3\n\n", "line 2: expected `class left top right bottom`, 5 words"),
        ("a.txt", read_localisation, "\n\n1 a 1 2 2\n", "line 3: expected numbers, found 'a 1 2 2'"),
        ("a.txt", read_localisation, "\n\n1 nan 1 2 2\n", "line 3: expected numbers, found 'nan 1 2 2'"),
        ("a.txt", read_detection, "1 2 0.5 1 2 3\n", "line 1: expected `image class confidence box`, 7 words each"),
        ("a.txt", read_detection, "4 2 0.5 1 2 3 4\n", "line 1: expected an image from 1 to 3, found '4'"),
        ("a.txt", read_detection, "0 2 0.5 1 2 3 4\n", "line 1: expected an image from 1 to 3, found '0'"),
        ("a.txt", read_detection, "1 0 0.5 1 2 3 4\n", "line 1: expected the number or the wnid of a class, found '0'"),
        (
            "a.csv",
            read_classification,
            "id,answer\n",
            "expected the columns ImageId,PredictionString, found 'id,answer'",
        ),
        ("a.csv", read_classification, HEAD + "ILSVRC2012_val_00000001,1\n", "found none of ILSVRC2012_val_00000002"),
        ("a.csv", read_classification, HEAD + "other,1\n", "line 2: expected one of the images, once, and its answer"),
        ("a.csv", read_classification, "", "expected the columns ImageId,PredictionString, found ''"),
    ],
)
def test_odd_lines_are_named(tmp_path: Path, name: str, read: object, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(BadFile, match=rf"^/.*{message}.*; (mend|add) it$"):
        read(tmp_path / name, IMAGES, NUMBERS)
