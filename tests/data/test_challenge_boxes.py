"""The Challenge's own boxes and its blacklist: every form of one truth by hand, and what is no such file."""

import re
from pathlib import Path

import pytest
import torch
from challenge_files import kit, lines, tar, val, write

from topfive.data import open_data
from topfive.data.challenge_boxes import open_boxes
from topfive.errors import BadData, Misused
from topfive.evaluation import Scores, judge
from topfive.evaluation.boxes import localisation_error
from topfive.evaluation.localisation import place, truths
from topfive.evaluation.submissions import read_localisation

# Images of 6 x 4 px. Of 1 the upper half, a px and an object of another class; of 2 all of it; of 3 ten px.
OBJECTS = {
    1: [("n01000000", (0, 0, 5, 1)), ("n03000000", (0, 0, 0, 0)), ("n01000000", (5, 3, 5, 3))],
    2: [("n02000000", (0, 0, 5, 3))],
    3: [("n03000000", (0, 0, 4, 1))],
}


def annotation(objects: list[tuple[str, tuple[int, ...]]]) -> bytes:
    """As the Challenge's file ILSVRC2012_val_00000001.xml is."""
    said = "".join(
        f"<object><name>{wnid}</name><pose>Unspecified</pose><bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}</ymin>"
        f"<xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>\n"
        for wnid, box in objects
    )
    return f"<annotation><folder>val</folder><size><width>6</width></size>\n{said}</annotation>\n".encode()


XML = {f"ILSVRC2012_val_{number:08d}.xml": annotation(objects) for number, objects in OBJECTS.items()}
TABLE = ["ImageId,PredictionString"] + [
    f"ILSVRC2012_val_{number:08d},{' '.join(f'{wnid} {x} {y} {right} {low}' for wnid, (x, y, right, low) in own)} "
    for number, own in reversed(OBJECTS.items())
]
ROWS = ["file,label,xmin,ymin,xmax,ymax"] + [
    ",".join(map(str, (f"val/ILSVRC2012_val_{number:08d}.JPEG", wnid, *box)))
    for number, own in OBJECTS.items()
    for wnid, box in own
]


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({"boxes.csv": lines(*ROWS), "LOC_val_solution.csv": b"not read"}, "boxes.csv"),
        ({f"bbox_val/val/{name}": content for name, content in XML.items()}, "bbox_val/"),
        ({f"Annotations/CLS-LOC/val/{name}": content for name, content in XML.items()}, "Annotations/"),
        ({"ILSVRC2012_bbox_val_v3.tgz": tar({f"val/{name}": one for name, one in XML.items()}, "w:gz")}, "_v3.tgz"),
        ({f"val/{name}": content for name, content in XML.items()}, "val/"),
        ({"LOC_val_solution.csv": lines(*TABLE)}, "LOC_val_solution.csv"),
    ],
)
def test_localisation_on_the_challenges_own_boxes_and_without_its_blacklist(
    tmp_path: Path, files: dict[str, bytes], name: str
) -> None:
    """Images 2 and 4 are blacklisted. The whole image lies on half of 1, which is enough, and on 10 of 24 px of 3."""
    kit(tmp_path, 2014)
    write(tmp_path / "val", val())
    write(tmp_path, files)
    data = open_data(tmp_path)
    assert any(note.endswith(f"{name} says where objects lie") for note in data.notes)
    assert not any("passed over" in note for note in data.notes)
    scores = torch.nn.functional.one_hot(torch.tensor([0, 1, 2, 1]), 3).float()[:, None]  # of 4 another class
    split = data.split("val")
    scored = Scores("mlp", "val", scores, split.labels, split.ids, data.classes, "logits")
    report = judge(scored, placed=place(data, "val", "whole"))
    found = report.document["localisation"]
    assert (found["images"], found["of"], found["blacklisted"]) == (2, 4, 2)
    assert (found["top1_error"], found["box_error"]) == (1 / 2, 1 / 2)
    assert report.document["top1_error"] == 1 / 4  # classification judges all
    assert "(2 of 4 images have boxes, 2 on the blacklist are left out)" in report.to_text()


def test_a_submission_of_boxes_is_judged_by_the_challenges_own(tmp_path: Path) -> None:
    """In the kit's numbers: n01000000 is 2, n02000000 is 3, n03000000 is 1."""
    kit(tmp_path)
    write(tmp_path / "val", val())
    write(tmp_path, {"LOC_val_solution.csv": lines(*TABLE)})
    data = open_data(tmp_path)
    known, images = truths(data, "val"), data.split("val").ids
    assert [(truth.label, len(truth.boxes)) for truth in known.values()] == [(2, 2), (3, 1), (1, 1), (2, 0)]
    # 1: the second of its objects; 2: the box right and the class wrong; 3: the second guess; 4: it has no box
    (tmp_path / "a.txt").write_text("2 5 3 5 3\n1 0 0 5 3\n1 0 3 5 3 1 0 0 4 1\n2 0 0 5 3\n")
    guesses = list(read_localisation(tmp_path / "a.txt", images, data.numbers).values())
    assert localisation_error(guesses, list(known.values())) == 2 / 4
    assert localisation_error(guesses, list(known.values()), k=1) == 3 / 4
    write(tmp_path / "ILSVRC2012_devkit_t12" / "data", {"ILSVRC2012_validation_blacklist.txt": lines(4)})
    for number, wnid in enumerate(("n01000000", "n02000000", "n03000000", "n01000000"), 1):  # sorted: 1, 4, 2, 3
        name = f"ILSVRC2012_val_{number:08d}.JPEG"
        (tmp_path / "val" / wnid).mkdir(exist_ok=True)
        (tmp_path / "val" / name).rename(tmp_path / "val" / wnid / name)
    listed = list(truths(open_data(tmp_path), "val").values())
    assert localisation_error(guesses, listed) == 1 / 3


def test_the_challenges_images_without_boxes_say_which_are_taken(tmp_path: Path) -> None:
    kit(tmp_path)
    write(tmp_path / "val", val())
    said = r"expected boxes\.csv, ILSVRC2012_bbox_val_v3\.tgz or LOC_val_solution\.csv beside the images, found none"
    with pytest.raises(Misused, match=said):
        place(open_data(tmp_path), "val", "whole")
    write(tmp_path, {"bbox_val/ILSVRC2012_val_00000009.xml": annotation(OBJECTS[1])})
    with pytest.raises(BadData, match=r"bbox_val: expected boxes of val's images .* found boxes of 1 other image"):
        place(open_data(tmp_path), "val", "whole")


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
    b"<annotation><object><name>&b;</name></object></annotation>"
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BOMB, "expected XML with the boxes of an image, could not read it (it declares a document type)"),
        (BOMB.decode().encode("utf-16"), "could not read it ('utf-8' codec can't decode"),
        (annotation(OBJECTS[1])[:-20], "could not read it (unclosed token"),
        (b"<a><object><bndbox/></object></a>", "expected a <name> with the wnid of each <object>, found none"),
        (b"<a><object><name>n1</name></object></a>", "expected numbers with 0 <= xmin <= xmax"),
        (annotation([("n1", (5, 0, 4, 0))]), "found ['5', '0', '4', '0']; mend it"),
    ],
)
def test_odd_annotations_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    file = "ILSVRC2012_val_00000001.xml"
    write(tmp_path, {f"bbox_val/{file}": content})
    with pytest.raises(BadData, match=rf"^/[^\n]*bbox_val/{file}: .*{re.escape(message)}"):
        open_boxes(tmp_path / "bbox_val")
    packed = tmp_path / "ILSVRC2012_bbox_val_v3.tgz"
    packed.write_bytes(tar({f"val/{file}": content}, "w:gz"))
    with pytest.raises(BadData, match=rf"^/[^\n]*_v3\.tgz: val/{file}: .*{re.escape(message)}"):
        open_boxes(packed)
    packed.write_bytes(packed.read_bytes()[:60])
    with pytest.raises(BadData, match=r"_v3\.tgz: expected a tar, could not read it"):
        open_boxes(packed)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file,x\n", "expected the columns ImageId,PredictionString, found 'file,x'; mend it"),
        ("", "expected the columns ImageId,PredictionString, found ''; mend it"),
        (f"{TABLE[0]}\n{TABLE[1]}\n{TABLE[1]}\n", "line 3: expected an image, once, and"),
        (f"{TABLE[0]}\nILSVRC2012_val_00000001,n01000000\n", "line 2: .* found 'ILSVRC2012_val_00000001,n01000000'"),
        (f"{TABLE[0]}\nILSVRC2012_val_00000001,\n", "line 2: .* for each object, found"),
        (f"{TABLE[0]}\nn01000000_1,n01000000 1 2 3 4\n", "line 2: expected an image, once, and"),
        (f"{TABLE[0]}\nILSVRC2012_val_00000001,n01000000 1 2 3 x\n", "line 2: expected numbers with 0 <= xmin"),
    ],
)
def test_odd_lines_of_kaggles_table_are_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "LOC_val_solution.csv").write_text(content)
    with pytest.raises(BadData, match=rf"LOC_val_solution\.csv[:,].*{message}"):
        open_boxes(tmp_path / "LOC_val_solution.csv")
