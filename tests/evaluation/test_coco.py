"""COCO's figures: hand-worked cases, and a slow loop over its rule."""

import builtins

import numpy as np
import pytest

from topfive.data.boxes import Box
from topfive.errors import BadShape, MissingExtra
from topfive.evaluation.coco import Detection, Truth, coco_figures

pytest.importorskip("pycocotools", reason="pycocotools is not installed; `make test` installs it")
SQUARE = Box(10, 10, 19, 19)  # 10 x 10 px


def test_a_box_counts_at_the_overlaps_that_it_reaches() -> None:
    """Of 10 x 30 px 10 x 25 are shared: 0.83, so it is right at 0.5, 0.55, ... 0.8, which are 7 of 10 overlaps."""
    found = [Detection("a", "cat", 0.9, Box(10, 10, 19, 34))]
    figures = coco_figures(found, [Truth("a", "cat", Box(10, 10, 19, 39))], ["a", "b"])
    assert figures["ap"] == pytest.approx(0.7)
    assert (figures["ap_50"], figures["ap_75"]) == (pytest.approx(1), pytest.approx(1))
    assert (figures["ap_small"], figures["ap_large"]) == (pytest.approx(0.7), None)


def test_another_class_and_an_image_without_objects_are_wrong() -> None:
    truths = [Truth("a", "cat", SQUARE), Truth("a", "dog", Box(40, 40, 59, 59))]
    found = [Detection("a", "cat", 0.5, SQUARE), Detection("b", "cat", 0.9, SQUARE)]
    figures = coco_figures(found, truths, ["a", "b"])
    # cat: the surer detection is wrong, so precision is 1/2 at every recall; dog: nothing was found.
    assert figures["ap"] == pytest.approx((0.5 + 0) / 2)
    assert figures["recall_100"] == pytest.approx(0.5)


def test_nothing_found_is_nothing_right() -> None:
    assert coco_figures([], [Truth("a", "cat", SQUARE)], ["a"])["ap"] == 0


def test_in_a_crowd_detections_do_not_count() -> None:
    crowd = Truth("a", "cat", Box(50, 50, 99, 99), crowd=True)
    found = [Detection("a", "cat", 0.9, Box(60, 60, 69, 69)), Detection("a", "cat", 0.5, SQUARE)]
    assert coco_figures(found, [crowd, Truth("a", "cat", SQUARE)], ["a"])["ap"] == pytest.approx(1)
    assert coco_figures(found, [Truth("a", "cat", SQUARE)], ["a"])["ap"] == pytest.approx(0.5)


def test_masks_are_judged_by_their_pixels() -> None:
    """The same box, and 62 of 100 px of the mask: right at 0.5, 0.55 and 0.6."""
    truth, found = np.zeros((2, 40, 50), dtype=bool)
    truth[10:20, 10:20] = True
    found[10:16, 10:20] = True
    found[16, 10:12] = True
    marks = ([Detection("a", "cat", 0.9, SQUARE, found)], [Truth("a", "cat", SQUARE, mask=truth)], ["a"])
    assert coco_figures(*marks, by="masks")["ap"] == pytest.approx(0.3)
    assert coco_figures(*marks)["ap"] == pytest.approx(1)
    with pytest.raises(BadShape, match="expected a bool mask of each mark, got none on a"):
        coco_figures([Detection("a", "cat", 0.9, SQUARE)], *marks[1:], by="masks")


def slow_precision(found: list[Detection], truths: list[Truth], least: float) -> float:
    """Average precision of one class at one overlap: the best precision from each of 101 recalls on, their mean."""
    taken: set[int] = set()
    hits = []
    for mark in sorted(found, key=lambda mark: -mark.confidence):
        best, row = least, None
        for place, truth in enumerate(truths):
            if truth.image != mark.image or place in taken:
                continue
            wide = min(mark.box.right, truth.box.right) - max(mark.box.left, truth.box.left) + 1
            high = min(mark.box.bottom, truth.box.bottom) - max(mark.box.top, truth.box.top) + 1
            shared = max(wide, 0) * max(high, 0)
            areas = [(b.right - b.left + 1) * (b.bottom - b.top + 1) for b in (mark.box, truth.box)]
            overlap = shared / (sum(areas) - shared)
            if overlap >= best:
                best, row = overlap, place
        hits.append(row is not None)
        taken |= set() if row is None else {row}
    points = [(sum(hits[: n + 1]) / len(truths), sum(hits[: n + 1]) / (n + 1)) for n in range(len(hits))]
    levels = [max([p for r, p in points if r >= level / 100 - 1e-9], default=0.0) for level in range(101)]
    return sum(levels) / 101


def test_random_boxes_against_a_slow_loop() -> None:
    draws = np.random.default_rng(0)

    def box() -> Box:
        left, top, wide, high = draws.integers((0, 0, 8, 8), (12, 12, 24, 24)).tolist()
        return Box(left, top, left + wide, top + high)

    images = [str(number) for number in range(12)]
    truths = [Truth(str(draws.integers(12)), "cat", box()) for _ in range(30)]
    found = [Detection(str(draws.integers(12)), "cat", float(draws.random()), box()) for _ in range(60)]
    figures = coco_figures(found, truths, images)
    assert figures["ap_50"] == pytest.approx(slow_precision(found, truths, 0.5), abs=1e-9)
    assert figures["ap_50"] > 0.02
    expected = np.mean([slow_precision(found, truths, 0.5 + 0.05 * step) for step in range(10)])
    assert figures["ap"] == pytest.approx(expected, abs=1e-9)


def test_an_image_that_is_not_judged_is_refused() -> None:
    with pytest.raises(BadShape, match="expected marks of the 1 images, got one of b"):
        coco_figures([], [Truth("b", "cat", SQUARE)], ["a"])


def test_marks_that_the_library_would_take_in_silence_are_refused() -> None:
    whole, smaller = np.ones((40, 50), dtype=bool), np.ones((40, 49), dtype=bool)
    truth = [Truth("a", "cat", SQUARE, mask=whole)]
    for found, by, said in (
        (Detection("a", "cat", 0.9, SQUARE, smaller), "masks", "expected masks of one size on a"),
        (Detection("a", "cat", 0.9, SQUARE, 255 * whole.astype(np.uint8)), "masks", "got one of uint8 on a"),
        (Detection("a", "cat", 0.9, Box(19, 10, 10, 19)), "boxes", "right >= left"),
        (Detection("a", "cat", float("nan"), SQUARE), "boxes", "expected finite confidences"),
    ):
        with pytest.raises(BadShape, match=said):
            coco_figures([found], truth, ["a"], by)


def test_without_the_library_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *given: object, **named: object) -> object:
        if name.startswith("pycocotools"):
            raise ImportError(name)
        return real(name, *given, **named)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingExtra, match=r"pip install 'topfive\[coco\]'"):
        coco_figures([], [], [])
