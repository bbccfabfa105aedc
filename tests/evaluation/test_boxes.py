"""The Challenge's rules beside a literal transcription, hand-worked cases, and scikit-learn's."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import jaccard_score
from torch import Tensor

from topfive.errors import BadShape
from topfive.evaluation.boxes import (
    Detections,
    Guesses,
    Instances,
    Objects,
    average_precision,
    is_found,
    localisation_error,
    overlaps,
    segmentation_iou,
    thresholds,
)  # fmt: skip


def boxes(*rows: tuple[float, ...]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def objects(*rows: tuple[float, ...], ignored: tuple[int, ...] = ()) -> Objects:
    return Objects(boxes(*rows), torch.tensor([row in ignored for row in range(len(rows))], dtype=torch.bool))


def found(*rows: tuple[str, float, tuple[float, ...]]) -> Detections:
    return Detections(
        [row[0] for row in rows], torch.tensor([row[1] for row in rows]), boxes(*[row[2] for row in rows])
    )


def test_overlaps_count_the_pixels_on_the_border() -> None:
    """2 x 2 px, of which one is shared: 1 of 7; one pixel on itself: 1."""
    assert overlaps(boxes((0, 0, 1, 1)), boxes((1, 1, 2, 2), (5, 5, 6, 6)))[0].tolist() == [1 / 7, 0]
    assert overlaps(boxes((3, 3, 3, 3)), boxes((3, 3, 3, 3))).item() == 1


def test_overlaps_are_those_of_counted_pixels() -> None:
    generator = torch.Generator().manual_seed(0)
    corners = torch.randint(0, 12, (40, 2), generator=generator)
    some = torch.cat([corners, corners + torch.randint(0, 8, (40, 2), generator=generator)], 1)
    for one, other in zip(some[:20], some[20:], strict=True):
        pixels = [
            {(x, y) for x in range(int(b[0]), int(b[2]) + 1) for y in range(int(b[1]), int(b[3]) + 1)}
            for b in (one, other)
        ]
        expected = len(pixels[0] & pixels[1]) / len(pixels[0] | pixels[1])
        assert overlaps(one[None], other[None]).item() == pytest.approx(expected)


def test_boxes_that_are_none_are_named() -> None:
    with pytest.raises(BadShape, match=r"box 1: expected left, top, right, bottom with right >= left .* got \[5.0, 0"):
        overlaps(boxes((0, 0, 1, 1), (5, 0, 4, 1)), boxes((0, 0, 1, 1)))
    with pytest.raises(BadShape, match=r"expected boxes \(N, 4\)"):
        overlaps(torch.zeros(3), boxes((0, 0, 1, 1)))
    with pytest.raises(BadShape, match="box 0"):
        overlaps(boxes((0, 0, math.nan, 1)), boxes((0, 0, 1, 1)))


TRUTH = Instances(7, boxes((0, 0, 9, 9), (100, 100, 119, 119)))


@pytest.mark.parametrize(
    ("labels", "rows", "right"),
    [
        ([7], [(0, 0, 9, 9)], True),
        ([7], [(102, 100, 119, 119)], True),  # any instance
        ([7], [(0, 0, 9, 4)], True),  # half of it, exactly
        ([7], [(0, 0, 9, 3)], False),
        ([8], [(0, 0, 9, 9)], False),  # another class
        ([8, 7], [(0, 0, 9, 9), (50, 50, 60, 60)], False),  # the class in one guess and the box in another
        ([1, 2, 3, 4, 7], [(0, 0, 9, 9)] * 5, True),
        ([1, 2, 3, 4, 5, 7], [(0, 0, 9, 9)] * 6, False),  # the sixth does not count
        ([], [], False),
    ],
)
def test_an_object_is_found_by_class_and_box_together(
    labels: list[int], rows: list[tuple[float, ...]], right: bool
) -> None:
    assert is_found(Guesses(torch.tensor(labels), boxes(*rows)), TRUTH) == right


def test_blacklisted_images_are_not_judged() -> None:
    right, wrong = Guesses(torch.tensor([7]), TRUTH.boxes[:1]), Guesses(torch.tensor([8]), TRUTH.boxes[:1])
    listed = TRUTH._replace(blacklisted=True)
    assert localisation_error([right, wrong, wrong], [TRUTH, TRUTH, listed]) == 0.5
    with pytest.raises(BadShape, match="one image to judge, got 1 and 1 of which 1 are blacklisted"):
        localisation_error([right], [listed])
    with pytest.raises(BadShape, match="expected guesses for every image"):
        localisation_error([right], [TRUTH, TRUTH])


def test_small_objects_ask_for_less() -> None:
    """10 x 10 px: 100 / 400; 25 x 25 px: 625 / 1225, above a half."""
    assert thresholds(boxes((0, 0, 9, 9), (0, 0, 24, 24))).tolist() == [0.25, 0.5]


def test_a_second_detection_takes_the_next_object_or_is_wrong() -> None:
    """Two objects that overlap; both detections lie nearest to the first."""
    truths = {"a": objects((0, 0, 99, 99), (0, 10, 99, 109))}
    two = found(("a", 0.9, (0, 0, 99, 99)), ("a", 0.8, (0, 1, 99, 100)))
    assert average_precision(two, truths, "ilsvrc") == 1
    assert average_precision(two, truths, "voc2012") == 0.5
    again = found(("a", 0.9, (0, 0, 99, 99)), ("a", 0.8, (0, 0, 99, 99)), ("a", 0.7, (200, 0, 299, 99)))
    apart = {"a": objects((0, 0, 99, 99), (200, 0, 299, 99))}
    assert average_precision(again, apart, "ilsvrc") == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)  # the second is wrong
    before = found(("b", 0.9, (0, 0, 9, 9)), ("a", 0.8, (0, 0, 99, 99)))
    assert average_precision(before, {"a": objects((0, 0, 99, 99))}, "ilsvrc") == 0.5


def test_ignored_objects_and_blacklisted_images_do_not_count() -> None:
    truths = {"a": objects((0, 0, 99, 99), (200, 200, 299, 299), ignored=(1,)), "b": objects((0, 0, 99, 99))}
    some = found(
        ("a", 0.9, (200, 200, 299, 299)), ("a", 0.8, (200, 200, 299, 299)), ("b", 0.7, (50, 50, 60, 60)),
        ("a", 0.6, (0, 0, 99, 99)),
    )  # fmt: skip
    assert average_precision(some, truths, "voc2012", frozenset("b")) == 1
    assert average_precision(some, truths, "voc2012") == pytest.approx(0.25)  # a miss, then 1 of 2 at recall 1 / 2
    assert average_precision(some, {"a": objects((0, 0, 9, 9), ignored=(0,))}) is None
    assert average_precision(found(), truths) == 0


def test_eleven_points_by_hand() -> None:
    """Right, wrong, right of four objects: precision 1 up to recall 0.25, then 2 / 3 up to 0.5."""
    truths = {"a": objects(*[(200 * n, 0, 200 * n + 99, 99) for n in range(4)])}
    some = found(("a", 0.9, (0, 0, 99, 99)), ("a", 0.8, (0, 500, 9, 509)), ("a", 0.7, (200, 0, 299, 99)))
    assert average_precision(some, truths, "voc2007") == pytest.approx((3 * 1 + 3 * 2 / 3) / 11)
    assert average_precision(some, truths, "voc2012") == pytest.approx(0.25 * 1 + 0.25 * 2 / 3)


def literal_ilsvrc(some: Detections, truths: dict[str, Objects]) -> float:
    """The rule as its text says it, with loops and no tensors."""
    total, tp, fp = sum(len(one.boxes) for one in truths.values()), [], []
    free = {image: list(range(len(one.boxes))) for image, one in truths.items()}
    for row in sorted(range(len(some.images)), key=lambda row: -float(some.confidence[row])):
        image, (x1, y1, x2, y2) = some.images[row], some.boxes[row].tolist()
        best, most = None, -1.0
        for place in free.get(image, []):
            a1, b1, a2, b2 = truths[image].boxes[place].tolist()
            w, h = min(x2, a2) - max(x1, a1) + 1, min(y2, b2) - max(y1, b1) + 1
            if w <= 0 or h <= 0:
                continue
            union = (x2 - x1 + 1) * (y2 - y1 + 1) + (a2 - a1 + 1) * (b2 - b1 + 1) - w * h
            width, height = a2 - a1 + 1, b2 - b1 + 1
            if w * h / union >= min(0.5, width * height / ((width + 10) * (height + 10))) and w * h / union > most:
                best, most = place, w * h / union
        if best is not None:
            free[image].remove(best)
        tp.append(best is not None)
        fp.append(best is None)
    recall = [0.0, *(np.cumsum(tp) / total), 1.0]
    precision = [0.0, *(np.cumsum(tp) / (np.cumsum(tp) + np.cumsum(fp))), 0.0]
    for place in range(len(precision) - 2, -1, -1):
        precision[place] = max(precision[place], precision[place + 1])
    return sum((recall[place] - recall[place - 1]) * precision[place] for place in range(1, len(recall)))


def test_random_detections_are_judged_as_the_rule_reads() -> None:
    generator = torch.Generator().manual_seed(4)

    def some_boxes(number: int) -> Tensor:
        corners = torch.randint(0, 60, (number, 2), generator=generator).float()
        return torch.cat([corners, corners + torch.randint(3, 45, (number, 2), generator=generator)], 1)

    for _ in range(30):
        truths = {image: Objects(rows := some_boxes(4), torch.zeros(len(rows), dtype=torch.bool)) for image in "abc"}
        near = torch.cat([one.boxes for one in truths.values()]).repeat(2, 1)
        near[:, 2:] += torch.randint(0, 9, (24, 2), generator=generator)
        some = Detections(list("aaaabbbbcccc" * 2), torch.rand(24, generator=generator), near)
        assert average_precision(some, truths) == pytest.approx(literal_ilsvrc(some, truths), abs=1e-12)


def test_segmentation_is_scikit_learns_jaccard_without_void() -> None:
    generator = torch.Generator().manual_seed(0)
    truths, answers = (torch.randint(0, 4, (2, 9, 9), generator=generator) for _ in range(2))
    kept = truths != 3
    truths[~kept] = 255
    expected = jaccard_score(truths[kept].numpy(), answers[kept].numpy(), labels=range(4), average=None)
    assert segmentation_iou(answers, truths, 4).tolist() == pytest.approx(expected.tolist())
    assert segmentation_iou(torch.zeros(2, 2), torch.zeros(2, 2), 2).isnan().tolist() == [False, True]
    with pytest.raises(BadShape, match="expected answers from 0 to 3, got 0 to 5"):
        segmentation_iou(torch.tensor([0, 5]), torch.tensor([0, 0]), 4)
    with pytest.raises(BadShape, match="expected maps of one shape"):
        segmentation_iou(answers, truths[0], 4)
