"""Localisation by simple boxes: a count by hand on ten images, the Challenge's own function, and a plain loop."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import binomtest

from topfive.data import ImageSet, open_data
from topfive.data.boxes import read_boxes
from topfive.data.decode import shape
from topfive.errors import BadData, Misused, UnknownName
from topfive.evaluation import Scores, judge
from topfive.evaluation.boxes import Detections, Guesses, Instances, average_precision, localisation_error, objects_of
from topfive.evaluation.localisation import centre, place, whole
from topfive.evaluation.objects import Shown

KEYS = "abcdefg"
# Images of 20 x 10 px, 200 px in all. centre is 15 x 8 px, from (2, 1) to (16, 8).
# id, true class, label in boxes.csv, box; on the object: the whole image, the centre; rank of the true class
TEN = [
    ("val/a/0.png", "", (0, 0, 19, 9), True, True, 0),  # 200 of 200; 120 of 200
    ("val/a/1.png", "", (0, 0, 9, 9), True, False, 0),  # 100 of 200, half is enough; 8 x 8 of 156
    ("val/b/0.png", "", (0, 0, 9, 8), False, False, 0),  # 90 of 200
    ("val/b/1.png", "", (2, 1, 16, 8), True, True, 1),  # 120 of 200; itself
    ("val/c/0.png", "", (5, 1, 14, 8), False, True, 4),  # 80 of 200; 80 of 120
    ("val/c/1.png", "d", (0, 0, 19, 9), None, None, 0),  # a box of another class: no object of its own
    ("val/d/0.png", "d", (0, 0, 19, 9), True, True, 5),
    ("val/e/0.png", "", (0, 0, 1, 1), False, False, 6),
    ("val/f/0.png", "", (2, 0, 19, 9), True, True, 2),  # 180 of 200; 15 x 8 of 180
    ("val/g/0.png", "", None, None, None, 0),  # in no line
]


def ten(tmp_path: Path) -> ImageSet:
    rows = ["file,label,xmin,ymin,xmax,ymax"]
    for number, (id_, label, box, *_) in enumerate(TEN):
        (tmp_path / id_).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((10, 20), number, np.uint8)).save(tmp_path / id_)
        if box:
            rows.append(",".join(map(str, (id_, label, *box))))
    (tmp_path / "boxes.csv").write_text("\n".join(rows) + "\n")
    return open_data(tmp_path)


def answers(data: ImageSet) -> Scores:
    """Scores by which the true class has its rank in TEN."""
    split = data.split("val")
    scores = torch.zeros(10, 1, 7)
    for row, (label, (*_, rank)) in enumerate(zip(split.labels.tolist(), TEN, strict=True)):
        order = [other for other in range(7) if other != label]
        order.insert(rank, label)
        scores[row, 0, order] = torch.arange(7, 0, -1.0)
    return Scores("mlp", "val", scores, split.labels, split.ids, data.classes, "logits")


def test_ten_images_counted_by_hand(tmp_path: Path) -> None:
    """whole: top 1 right on 2 of 8, top 5 on 4, the box on 5. centre: on 1, 4 and 5."""
    data = ten(tmp_path)
    assert data.split("val").ids == tuple(id_ for id_, *_ in TEN)
    for predictor, column, right in (("whole", 3, (2, 4, 5)), ("centre", 4, (1, 4, 5))):
        placed = place(data, "val", predictor)
        assert placed.on_object == {row[0]: row[column] for row in TEN if row[column] is not None}
        report = judge(answers(data), placed=placed)
        found = report.document["localisation"]
        assert (found["predictor"], found["images"], found["of"]) == (predictor, 8, 10)
        for name, number in zip(("top1", "top5", "box"), right, strict=True):
            assert found[f"{name}_error"] == 1 - number / 8
            interval = binomtest(8 - number, 8).proportion_ci(method="wilson")
            assert found[f"{name}_interval"] == pytest.approx((interval.low, interval.high))
        assert f"  localisation, box {predictor} (8 of 10 images have boxes): top-1 error " in report.to_text()
    assert judge(answers(data)).document["localisation"] is None


def test_ten_images_by_the_scale_of_their_object_counted_by_hand(tmp_path: Path) -> None:
    """Shares of 200 px: 4; 80; 90, 100, 120, 180, 200, 200. Ranks above 0 are errors."""
    data = ten(tmp_path)
    report = judge(answers(data), placed=place(data, "val", "whole"))
    found = report.document["localisation"]["by_scale"]
    # e/0 of 4 px is wrong; c/0 of 80 px and b/0 of 90 px are wrong and right; of six, a/0 and a/1 alone are right
    assert [(one["from"], one["to"], one["images"]) for one in found] == [
        (0, 1 / 16, 1), (1 / 16, 1 / 8, 0), (1 / 8, 1 / 4, 0), (1 / 4, 1 / 2, 2), (1 / 2, 1, 5)
    ]  # fmt: skip
    assert [one["top1_error"] for one in found] == [1, None, None, 1 / 2, 3 / 5]
    said = ", ".join(
        f"{name} {100 * wrong / of:.1f} % ({100 * interval.low:.1f} to {100 * interval.high:.1f}) of {of}"
        for name, wrong, of in (("below 1/16", 1, 1), ("1/4 to 1/2", 1, 2), ("1/2 and more", 3, 5))
        for interval in [binomtest(wrong, of).proportion_ci(method="wilson")]
    )
    assert f"top-1 error (95 % interval) by the object's share of the image: {said}\n" in report.to_text()


def test_a_scale_is_the_mean_of_an_images_objects() -> None:
    two = torch.tensor([[0.0, 0, 9, 9], [0, 0, 4, 9]])
    assert Shown(0, two, (10, 20)).scale == (100 + 50) / 2 / 200
    assert Shown(0, two, None).scale is None
    assert Shown(0, torch.tensor([[0.0, 0, 99, 99]]), (10, 20)).scale == 1.0  # a box beyond the image's border


@pytest.mark.parametrize(("name", "say"), [("whole", whole), ("centre", centre)])
def test_it_is_the_challenges_error_where_all_five_guesses_have_that_box(
    tmp_path: Path, name: str, say: Callable[[int, int], tuple[float, ...]]
) -> None:
    data = ten(tmp_path)
    scores = answers(data)
    box = torch.tensor(say(10, 20)[:4]).expand(5, 4)
    rows = [row for row, one in enumerate(TEN) if one[3] is not None]
    guesses = [Guesses(scores.averaged[row].argsort(descending=True)[:5], box) for row in rows]
    truths = [Instances(int(scores.labels[row]), torch.tensor([TEN[row][2]])) for row in rows]
    found = judge(scores, placed=place(data, "val", name)).document["localisation"]
    assert found["top1_error"] == localisation_error(guesses, truths, 1)
    assert found["top5_error"] == localisation_error(guesses, truths)


def test_a_broken_image_is_an_error_and_five_classes_have_no_top5(tmp_path: Path) -> None:
    data = ten(tmp_path)
    (tmp_path / TEN[0][0]).write_bytes(b"no image")
    placed = place(data, "val", "whole")
    assert placed.on_object[TEN[0][0]] is False and len(placed.on_object) == 8
    scores = answers(data)
    few = Scores(
        "mlp", "val", scores.scores[:6, :, :5], scores.labels[:6], scores.ids[:6], scores.classes[:5], "logits"
    )
    found = judge(few, placed=placed).document["localisation"]
    assert (found["top5_error"], found["images"], found["of"]) == (None, 5, 6)


def test_a_blacklist_that_leaves_nothing_to_judge_is_refused(tmp_path: Path) -> None:
    data = ten(tmp_path)
    some, every = (frozenset(id_ for id_, *_ in TEN[first:]) for first in (1, 0))
    placed = place(replace(data, blacklist=some), "val", "whole")
    assert (list(placed.on_object), placed.blacklisted) == ([TEN[0][0]], 9)
    with pytest.raises(
        BadData, match=r"boxes\.csv: expected boxes of images to judge, found all that val has on the blacklist; leave"
    ):
        place(replace(data, blacklist=every), "val", "whole")


def test_the_centre_holds_half_the_image_at_least() -> None:
    for height, width in ((1, 1), (2, 3), (10, 20), (64, 64), (333, 500)):
        left, top, right, bottom, _ = centre(height, width)
        sides = right - left + 1, bottom - top + 1
        assert sides[0] * sides[1] / (height * width) >= 0.5
        assert (sides[0] - 1) ** 2 < 0.5 * width**2 < sides[0] ** 2
        assert 0 <= left <= width - 1 - right <= left + 1 and 0 <= top <= height - 1 - bottom <= top + 1


def test_what_cannot_be_placed_is_refused(tmp_path: Path) -> None:
    data = ten(tmp_path)
    with pytest.raises(UnknownName, match=r"there is no box named 'center' \(did you mean centre\?\)"):
        place(data, "val", "center")
    (tmp_path / "boxes.csv").write_text("file,xmin,ymin,xmax,ymax\na/0.png,0,0,1,1\n")
    with pytest.raises(
        BadData, match=r"expected boxes of val's images such as val/a/0\.png, found boxes of 1 other image"
    ):
        place(data, "val", "whole")
    (tmp_path / "boxes.csv").unlink()
    with pytest.raises(Misused, match=r"expected boxes\.csv beside the class folders, found none"):
        place(open_data(tmp_path), "val", "whole")


def test_objects_of_a_class_are_found_by_whole_image_detections(tmp_path: Path) -> None:
    """Of d there are two objects, one in an image of c; whole images find both, and the false ones come last."""
    ten(tmp_path)
    truths = objects_of("d", read_boxes(tmp_path / "boxes.csv"))
    assert sum(len(one.boxes) for one in truths.values()) == 2
    said = ["val/c/1.png", "val/a/0.png", "val/d/0.png"]
    found = Detections(said, torch.tensor([0.9, 0.8, 0.7]), torch.tensor([[0.0, 0, 19, 9]] * 3))
    assert average_precision(found, truths, "voc2012") == pytest.approx((1 + 2 / 3) / 2)


def half_of(one: list[int], other: list[int]) -> bool:
    """Whether two boxes share half of what they cover, pixels counted on their borders too."""
    sides = [min(one[2 + i], other[2 + i]) - max(one[i], other[i]) + 1 for i in (0, 1)]
    shared = max(sides[0], 0) * max(sides[1], 0)
    areas = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (one, other)]
    return 2 * shared >= sum(areas) - shared


def test_real_boxes_beside_a_plain_loop(real_data: Callable[[str], Path]) -> None:
    folder = real_data("tiny-imagenet-50")
    with open(folder / "boxes.csv", newline="") as file:
        rows = {row["file"]: [int(row[n]) for n in ("xmin", "ymin", "xmax", "ymax")] for row in csv.DictReader(file)}
    data = open_data(folder)
    for name, box in (("whole", [0, 0, 63, 63]), ("centre", [9, 9, 54, 54])):
        placed = place(data, "val", name).on_object
        assert placed == {id_: half_of(box, own) for id_, own in rows.items() if id_.startswith("val/")}
        assert len(placed) == 1000


def test_real_detections_by_whole_images(real_data: Callable[[str], Path]) -> None:
    """Each photo is one detection, all equally sure: the precision of the first n is that of a loop over them."""
    folder = real_data("raccoon")
    boxes = read_boxes(folder / "boxes.csv")
    truths = objects_of("raccoon", boxes)
    sizes = {id_: shape(folder / id_) for id_ in boxes}
    said = torch.tensor([[0, 0, width - 1, height - 1] for height, width in sizes.values()])
    found = average_precision(Detections(list(boxes), torch.ones(len(boxes)), said), truths, "voc2012")
    hits, points = 0, []
    objects = sum(map(len, boxes.values()))
    for number, (id_, own) in enumerate(boxes.items(), start=1):
        height, width = sizes[id_]
        best = max(own, key=lambda box: (box.right - box.left + 1) * (box.bottom - box.top + 1))
        hits += half_of([0, 0, width - 1, height - 1], [int(edge) for edge in best[:4]])
        points.append((hits / objects, hits / number))
    area = 0.0
    for place_, (recall, _) in enumerate(points):
        before = points[place_ - 1][0] if place_ else 0.0
        area += (recall - before) * max(precision for _, precision in points[place_:])
    assert found == pytest.approx(area)
    assert 0.05 < area < 0.95
