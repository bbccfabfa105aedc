"""Several true labels: the figures published with ReaL, names that must carry their number, ties against the labels."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from scipy.stats import binomtest
from torch import Tensor

from topfive.data import ClassLabel
from topfive.data.challenge import challenge_classes
from topfive.errors import BadData, BadFile, BadShape, Misused
from topfive.evaluation import Scores
from topfive.evaluation.reassessed import places, read_real, real_error
from topfive.metrics import any_label_ranks, label_ranks

NAMES = [f"val/ILSVRC2012_val_{number:08d}.JPEG" for number in (3, 1, 2)]
KEYS = sorted(label.key for label in challenge_classes())


def scored(scores: Tensor, keys: Sequence[str] = KEYS, ids: Sequence[str] = NAMES) -> Scores:
    classes = tuple(ClassLabel(key, key) for key in keys)
    return Scores("mlp", "val", scores[:, None], torch.zeros(len(ids)).long(), tuple(ids), classes, "logits")


def test_an_image_is_found_by_its_number_and_not_by_its_place() -> None:
    lists = [[1], [2, 4], []]
    assert places(NAMES, 3) == [2, 0, 1]
    scores = torch.zeros(3, 1000)
    scores[1, 1] = 1  # image 1
    scores[2, 4] = 1  # image 2
    found = real_error(scored(scores), lists)
    assert (found.error, found.wrong, found.images) == (0, 0, 2)
    assert real_error(scored(scores.roll(1, 0)), lists).wrong == 2
    turned = real_error(scored(scores.flip(1), KEYS[::-1]), lists)
    assert turned == found  # the classes in another order, as the development kits have them
    with pytest.raises(BadData, match="got 10 of them and 0 other keys; give a model of these"):
        real_error(scored(scores[:, :10], KEYS[:10]), lists)
    with pytest.raises(BadData, match="by their wnids, got 0 of them and 1000 other keys"):
        real_error(scored(scores, [str(place) for place in range(1000)]), lists)  # whose order as text is another
    for name in (
        "val/1.jpg",
        "ILSVRC2012_val_00000004.JPEG",
        "ILSVRC2012_val_00000000.JPEG",
        "ILSVRC2012_val_000000012",
        "ILSVRC2012_test_00000001.JPEG",
        "ILSVRC2011_val_00000001.JPEG",
    ):
        with pytest.raises(BadData, match=f"expected names such as .* up to 3, found {name}"):
            places([name], 3)
    with pytest.raises(BadData, match="expected an image with a label, found none"):
        real_error(scored(scores[:1], ids=NAMES[:1]), lists)


def test_the_interval_is_wilsons_over_the_images_that_count() -> None:
    """Of 9 images 3 have no label, which leaves 6; two are wrong, one of them a tie, one could not be decoded."""
    ids = [f"ILSVRC2012_val_{number:08d}.JPEG" for number in range(1, 10)]
    lists = [[number, 500] if number % 3 else [] for number in range(1, 10)]
    scores = torch.zeros(9, 1000)
    for row in range(9):
        scores[row, row + 1] = 1
    scores[0, 7] = 1
    scores[1] = torch.nan
    found = real_error(scored(scores, ids=ids), lists)
    interval = binomtest(2, 6).proportion_ci(method="wilson")
    assert (found.error, found.wrong, found.images) == (2 / 6, 2, 6)
    assert found.interval == pytest.approx((interval.low, interval.high))
    assert real_error(scored(scores, ids=ids), lists, k=2).wrong == 1


def test_with_one_label_ranks_are_the_usual_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(0, 4, (300, 7), generator=generator).float()  # many ties
    scores[5, 2] = torch.nan
    labels = torch.arange(300) % 7
    truths = torch.nn.functional.one_hot(labels, 7).bool()
    assert torch.equal(any_label_ranks(scores, truths), label_ranks(scores, labels))


def test_several_labels_are_those_of_a_loop() -> None:
    """Of k answers one is true if it is true however ties are broken."""
    generator = torch.Generator().manual_seed(1)
    scores = torch.randint(0, 5, (200, 6), generator=generator).float()
    truths = torch.rand(200, 6, generator=generator) < 0.4
    truths[:, 0] |= ~truths.any(1)
    found = any_label_ranks(scores, truths)
    for row in range(200):
        order = sorted(range(6), key=lambda c: (-float(scores[row, c]), bool(truths[row, c])))  # the worst order
        assert int(found[row]) == next(place for place, c in enumerate(order) if truths[row, c])
    truths[7] = False
    with pytest.raises(BadShape, match="image 7 has no true label; leave such images out"):
        any_label_ranks(scores, truths)
    with pytest.raises(BadShape, match=r"expected scores and truths \(N, classes\)"):
        any_label_ranks(scores, truths[:, :5])


@pytest.mark.parametrize("content", ["{", "{}", "[]", "[[1000]]", '[["a"]]', "[1]"])
def test_another_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "real.json").write_text(content)
    with pytest.raises(BadFile, match=r"real\.json: .*; give ReaL's real\.json"):
        read_real(tmp_path / "real.json")
    with pytest.raises(Misused, match=r"none\.json: expected ReaL's real\.json, found nothing there; check it"):
        read_real(tmp_path / "none.json")


def test_the_published_figures_come_out(real_data: Callable[[str], Path]) -> None:
    """Of the ground truth 90.02 % is in its list; of a real network's answers, 72.73 % right, 77.61 %."""
    folder = real_data("imagenet-meta")
    lists = read_real(folder / "real.json")
    assert sum(not one for one in lists) == 3163
    names = [f"ILSVRC2012_val_{number:08d}.JPEG" for number in range(1, 50_001)]
    figures = {}
    for name in ("ground_truth", "model_predictions"):
        answers = [int(line) for line in (folder / f"ilsvrc2012_val_{name}.txt").read_text().split()]
        wrong = judged = 0
        for start in range(0, 50_000, 5000):
            part = slice(start, start + 5000)
            scores = torch.nn.functional.one_hot(torch.tensor(answers[part]), 1000).float()
            found = real_error(scored(scores, ids=names[part]), lists)
            wrong, judged = wrong + found.wrong, judged + found.images
        figures[name] = round(100 - 100 * wrong / judged, 2)
    assert judged == 50_000 - 3163
    assert figures == {"ground_truth": 90.02, "model_predictions": 77.61}
