"""Intervals and paired tests against SciPy, exact fractions, a slow literal loop, and a simulation."""

from fractions import Fraction
from itertools import combinations
from math import comb

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, chi2, norm

from topfive.errors import BadShape
from topfive.evaluation.intervals import Z95, Comparison, bootstrap, compare_all, holm, mcnemar, ranks, wilson


@given(data=st.data(), images=st.integers(1, 100_000))
@settings(deadline=None)
def test_wilson_is_scipys(data: st.DataObject, images: int) -> None:
    errors = data.draw(st.integers(0, images))
    interval = binomtest(errors, images).proportion_ci(0.95, method="wilson")
    assert wilson(errors, images) == pytest.approx((interval.low, interval.high), abs=1e-12)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_wilson_at_other_levels(level: float) -> None:
    interval = binomtest(7, 50).proportion_ci(level, method="wilson")
    assert wilson(7, 50, norm.ppf(0.5 + level / 2)) == pytest.approx((interval.low, interval.high))
    assert norm.ppf(0.975) == pytest.approx(Z95, abs=1e-15)


@given(data=st.data(), images=st.integers(1, 10_000))
@settings(deadline=None)
def test_wilson_holds_the_rate_and_stays_in_the_unit_interval(data: st.DataObject, images: int) -> None:
    errors = data.draw(st.integers(0, images))
    low, high = wilson(errors, images)
    assert 0 <= low <= errors / images <= high <= 1
    assert (low == 0) == (errors == 0) and (high == 1) == (errors == images)
    assert [1 - end for end in wilson(images - errors, images)] == pytest.approx([high, low])


@pytest.mark.parametrize(("images", "rate"), [(100, 0.1), (100, 0.5), (1000, 0.02), (360, 0.25)])
def test_about_95_of_100_intervals_hold_the_true_rate(images: int, rate: float) -> None:
    draws = np.random.default_rng(0).binomial(images, rate, 20_000)
    held = {errors: wilson(errors, images)[0] <= rate <= wilson(errors, images)[1] for errors in set(draws.tolist())}
    assert 0.93 < np.mean([held[errors] for errors in draws.tolist()]) < 0.97


@given(a=st.integers(0, 60), b=st.integers(0, 60))
@settings(deadline=None)
def test_mcnemar_is_the_two_sided_binomial_sum(a: int, b: int) -> None:
    tail = Fraction(sum(comb(a + b, k) for k in range(min(a, b) + 1)), 2 ** (a + b))
    assert mcnemar(a, b) == pytest.approx(float(min(Fraction(1), 2 * tail)))
    assert mcnemar(a, b) == mcnemar(b, a)


def test_mcnemar_by_hand_and_in_the_limit_of_many() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(0, 5) == pytest.approx(2 / 32)  # five heads or five tails in a row
    assert mcnemar(0, 6) == pytest.approx(2 / 64)
    corrected = (abs(5200 - 4900) - 1) ** 2 / (5200 + 4900)  # the test in McNemar's own form, chi-squared
    assert mcnemar(5200, 4900) == pytest.approx(chi2.sf(corrected, 1), rel=0.01)


def slow_holm(p_values: list[float]) -> list[float]:
    """An adjusted p is the smallest level at which Holm's procedure, done step by step, rejects that hypothesis."""

    def rejected(level: float) -> set[int]:
        left, out = list(range(len(p_values))), set()
        while left:
            least = min(left, key=lambda index: p_values[index])
            if p_values[least] * len(left) > level:
                return out
            out.add(least)
            left.remove(least)
        return out

    levels = sorted({p * factor for p in p_values for factor in range(1, len(p_values) + 1)})
    return [next((level for level in levels if index in rejected(level) and level <= 1), 1.0)
            for index in range(len(p_values))]  # fmt: skip


@given(st.lists(st.integers(0, 64).map(lambda n: n / 64), max_size=7))
@settings(deadline=None)
def test_holm_is_the_step_down_procedure(p_values: list[float]) -> None:
    assert holm(p_values) == slow_holm(p_values)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_holm_only_raises_and_does_not_see_the_order(p_values: list[float], random) -> None:
    adjusted = holm(p_values)
    assert all(p <= raised <= 1 for p, raised in zip(p_values, adjusted, strict=True))
    assert all(raised <= min(1, p * len(p_values)) for p, raised in zip(p_values, adjusted, strict=True))  # Bonferroni
    order = list(range(len(p_values)))
    random.shuffle(order)
    assert holm([p_values[index] for index in order]) == [adjusted[index] for index in order]


def test_all_pairs_are_compared_image_by_image() -> None:
    rng = np.random.default_rng(3)
    right = {name: torch.from_numpy(rng.random(200) < rate) for name, rate in [("a", 0.9), ("b", 0.6), ("c", 0.55)]}
    found = compare_all(right)
    assert [(pair.a, pair.b) for pair in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    for pair in found:
        table = list(zip(right[pair.a].tolist(), right[pair.b].tolist(), strict=True))
        assert (pair.only_a_right, pair.only_b_right) == (table.count((True, False)), table.count((False, True)))
        p = binomtest(pair.only_a_right, pair.only_a_right + pair.only_b_right).pvalue
        assert pair.p == pytest.approx(p)
    assert [pair.p_holm for pair in found] == slow_holm([pair.p for pair in found])
    assert [pair.significant for pair in found] == [True, True, False]
    assert ranks("abc", found) == {"a": 1, "b": 2, "c": 2}
    assert compare_all({"alone": torch.tensor([True])}) == []
    assert ranks(["alone"], []) == {"alone": 1}


@given(st.data())
@settings(deadline=None)
def test_a_rank_is_one_more_than_those_significantly_better(data: st.DataObject) -> None:
    names = "abcde"
    pairs = [
        Comparison(a, b, *data.draw(st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(lambda n: n[0] != n[1])),
                   p=0.0, p_holm=data.draw(st.sampled_from([0.001, 0.049, 0.05, 0.5])))
        for a, b in combinations(names, 2)
    ]  # fmt: skip
    better = dict.fromkeys(names, 0)
    for pair in pairs:
        loser = pair.b if pair.only_a_right > pair.only_b_right else pair.a
        better[loser] += pair.p_holm < 0.05
    assert ranks(names, pairs) == {name: 1 + count for name, count in better.items()}


def test_under_no_difference_few_contests_find_one() -> None:
    """Holm keeps the chance of any false difference among all pairs below 5 %."""
    rng, false_alarms = np.random.default_rng(0), 0
    for _ in range(120):
        right = {name: torch.from_numpy(rng.random(300) < 0.7) for name in "abcd"}
        false_alarms += any(pair.significant for pair in compare_all(right))
    assert false_alarms / 120 <= 0.08


def drawn_anew(values: np.ndarray, groups: np.ndarray, whole_groups: bool, draws: int = 4000) -> list[float]:
    """The bootstrap as its text says it, an image or a group at a time."""
    generator = np.random.default_rng(1)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    means = []
    for _ in range(draws):
        if whole_groups:
            rows = np.concatenate([members[pick] for pick in generator.integers(len(members), size=len(members))])
        else:
            rows = np.concatenate([generator.choice(rows, size=len(rows)) for rows in members])
        means.append(values[rows].mean())
    return list(np.quantile(means, [0.025, 0.975]))


@pytest.mark.parametrize("kind", ["plain", "strata", "clusters"])
def test_bootstrap_is_drawing_images_anew(kind: str) -> None:
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), np.arange(2, 14)) if kind != "plain" else np.zeros(90, dtype=int)
    values = (generator.random(90) < 0.1 + 0.7 * (groups % 2)).astype(float) - (generator.random(90) < 0.2)
    named = {} if kind == "plain" else {kind: torch.from_numpy(groups)}
    found = bootstrap(torch.from_numpy(values), **named)
    assert found == pytest.approx(drawn_anew(values, groups, kind == "clusters"), abs=0.012)
    assert bootstrap(torch.from_numpy(values), **named) == found


def test_strata_narrow_and_clusters_widen_the_interval() -> None:
    """Classes of unlike error, as many of each; and images that are copies of each other, five by five."""
    wrong = torch.tensor([0.0] * 95 + [1.0] * 5 + [1.0] * 95 + [0.0] * 5)
    classes = torch.arange(200) // 100
    width = {name: high - low for name, (low, high) in {
        "plain": bootstrap(wrong), "strata": bootstrap(wrong, strata=classes),
    }.items()}  # fmt: skip
    assert width["strata"] < 0.5 * width["plain"]
    copies = (torch.arange(200) % 3 == 0).double().repeat_interleave(5)
    low, high = bootstrap(copies, clusters=torch.arange(1000) // 5)
    assert bootstrap(copies[::5]) == pytest.approx((low, high), abs=0.006)


def test_a_bootstrap_of_nothing_or_of_both_kinds_is_refused() -> None:
    some = torch.zeros(4, dtype=torch.long)
    with pytest.raises(BadShape, match="expected strata or clusters, got both"):
        bootstrap(torch.rand(4), strata=some, clusters=some)
    with pytest.raises(BadShape, match=r"expected a group for each of 4 values, got \(3,\)"):
        bootstrap(torch.rand(4), strata=some[:3])
    for values in (torch.zeros(0), torch.tensor([1.0, float("nan")]), torch.rand(3, 2)):
        with pytest.raises(BadShape, match="expected finite values"):
            bootstrap(values)
