"""What the benchmark of re-splits claims, by its own words: intervals, several claims together, photos drawn."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from scipy import stats

from topfive.data.imageset import Split

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def resplits() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import resplits

        yield resplits
        for name in ("resplits", "conditions"):
            sys.modules.pop(name)


def test_the_interval_is_students_for_splits_that_share_their_photos(resplits: ModuleType) -> None:
    """Nadeau and Bengio: 1 / n in the variance of the mean becomes 1 / n + photos judged over photos learned from."""
    values = [0.03, 0.01, 0.05, 0.02, 0.04, -0.01, 0.03, 0.02, 0.06, 0.00]
    plain = stats.ttest_1samp(values, 0)
    wider = np.sqrt((1 / 10 + 0.5) / (1 / 10))
    low, high = plain.confidence_interval()
    mean = np.mean(values)
    found = resplits.Estimate.of(values)
    assert found[:3] == pytest.approx((mean, mean - wider * (mean - low), mean + wider * (high - mean)))
    assert found.p == pytest.approx(2 * stats.t.sf(plain.statistic / wider, 9))
    assert resplits.Estimate.of([0.1, 0.1, 0.1])[:3] == pytest.approx((0.1, 0.1, 0.1))
    assert (resplits.Estimate.of([0.1, 0.1]).p, resplits.Estimate.of([0.0, 0.0]).p) == (0.0, 1.0)


def test_several_claims_are_made_together(resplits: ModuleType) -> None:
    a, b, c = [0.0, 0.1, 0.2, 0.1], [0.5, 0.62, 0.7, 0.58], [0.0, 0.2, 0.1, 0.1]
    rows = resplits.rows_of_differences([("a", "b", a, b), ("a", "c", a, c)])
    assert [row[-1] for row in rows] == ["b is better", "not told apart"]


def test_a_lesson_is_asked_of_the_mean_and_then_of_each(resplits: ModuleType) -> None:
    by = {5: ([0.5, 0.6, 0.5], [0.6, 0.7, 0.7]), 30: ([0.8, 0.7, 0.9], [0.8, 0.9, 0.9])}
    rows = resplits.lesson("4 words", "64 words", by, "photos")
    names = ["64 words - 4 words", "64 words, 5 photos - 4 words, 5 photos", "64 words, 30 photos - 4 words, 30 photos"]
    assert [row[0] for row in rows] == names
    assert [row[1] for row in rows] == ["+10.0%", "+13.3%", "+6.7%"]
    assert float(rows[0][3]) == pytest.approx(resplits.Estimate.of([0.05, 0.15, 0.1]).p, abs=1e-3)  # one claim


def test_photos_are_drawn_class_by_class_and_fewer_are_among_more(resplits: ModuleType) -> None:
    labels = torch.arange(90) % 3
    paths = tuple(Path(f"{number}.jpg") for number in range(90))
    photos = Split(tuple(map(str, paths)), labels, paths=paths)
    known, judged = resplits.halves(photos, 4, 3)
    assert sorted(known + judged) == list(range(90))
    assert labels[known].bincount().tolist() == [20, 20, 20]
    assert known != resplits.halves(photos, 5, 3)[0]
    few, more = (resplits.drawn_by_class(photos, 4, [number] * 3) for number in (5, 10))
    assert set(few) < set(more)
    assert few != list(range(15))  # not the first of each


def test_a_split_of_changed_code_is_not_kept(resplits: ModuleType) -> None:
    assert [resplits.is_changed(name) for name in ("0a1b2c3d4e", "0a1b2c3d4e-dirty", "unknown")] == [False, True, True]
