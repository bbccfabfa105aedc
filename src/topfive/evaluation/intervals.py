"""Which differences are real: intervals and paired tests on counts of right and wrong answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from torch import Tensor

from topfive.errors import BadShape

AT_A_TIME = 5_000_000  # numbers of a bootstrap's draws, 40 MB
Z95 = 1.959963984540054  # the normal distribution's 97.5 % point


def wilson(errors: int, images: int, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval of an error rate, both ends in [0, 1]; 95 % unless `z` says otherwise.

    Source: Wilson 1927, J. Am. Stat. Assoc. 22, 209-212.

    >>> tuple(round(end, 4) for end in wilson(20, 100))
    (0.1334, 0.2888)
    """
    rate = errors / images
    middle = (rate + z * z / (2 * images)) / (1 + z * z / images)
    half = z / (1 + z * z / images) * np.sqrt(rate * (1 - rate) / images + z * z / (4 * images * images))
    # At 0 and at all errors the formula's end is 0 and 1 exactly; rounding would leave 1e-18.
    return 0.0 if errors == 0 else float(middle - half), 1.0 if errors == images else float(middle + half)


def bootstrap(
    values: Tensor, strata: Tensor | None = None, clusters: Tensor | None = None, draws: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """The 95 % percentile interval of the mean of `values` (N,): of wrong answers, or of differences between entries.

    strata: (N,) integers; each stratum keeps its number of images, as a set with as many of each class does. clusters:
    (N,) integers; images that belong together (one burst, one patient) are drawn together. One of the two at most.
    Efron 1979, Ann. Statist. 7(1); Davison, Hinkley 1997, secs. 3.2 and 3.8.

    Images that are alike in stratum and value are counted, not drawn one by one: how often such a group is drawn is
    multinomial. That is the same distribution in far fewer random numbers.
    """
    if strata is not None and clusters is not None:
        raise BadShape("bootstrap: expected strata or clusters, got both; give one of them")
    groups = strata if clusters is None else clusters
    numbers = values.double().numpy()
    if values.ndim != 1 or not len(numbers) or not np.isfinite(numbers).all():
        raise BadShape(
            f"bootstrap: expected finite values (N,), N > 0, got {tuple(values.shape)}; leave out the others"
        )
    if groups is not None and groups.shape != values.shape:
        raise BadShape(f"bootstrap: expected a group for each of {len(numbers)} values, got {tuple(groups.shape)}")
    generator = np.random.default_rng(seed)
    homes = np.zeros(len(numbers), dtype=np.int64)
    if groups is not None:
        homes = np.unique(groups.numpy(), return_inverse=True)[1]
    if clusters is not None:
        sums, sizes = (np.bincount(homes, weights=one) for one in (numbers, np.ones_like(numbers)))
        kinds, counts = np.unique(np.stack([sums, sizes]), axis=1, return_counts=True)
        totals = _drawn(generator, counts, np.asarray(kinds.T, np.float64), draws)
        means = totals[:, 0] / totals[:, 1]
    else:
        means = np.zeros(draws)
        for home in range(homes.max() + 1):
            kinds, counts = np.unique(numbers[homes == home], return_counts=True)
            means += _drawn(generator, counts, np.asarray(kinds[:, None], np.float64), draws)[:, 0] / len(numbers)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _drawn(
    generator: np.random.Generator, counts: NDArray[np.int64], kinds: NDArray[np.float64], draws: int
) -> NDArray[np.float64]:
    """Sums over what is drawn, (draws, S), a bounded part of the draws at a time. kinds: (K, S), as often as counts."""
    parts = []
    few = max(1, AT_A_TIME // len(counts))
    for start in range(0, draws, few):
        size = min(few, draws - start)
        parts.append(generator.multinomial(counts.sum(), counts / counts.sum(), size=size) @ kinds)
    return np.concatenate(parts)


def mcnemar(only_a_right: int, only_b_right: int) -> float:
    """Exact p of McNemar's test: how likely so unequal a count of disagreements is if both err equally often.

    Source: McNemar 1947; the exact form is the binomial test on the discordant pairs.
    """
    discordant = only_a_right + only_b_right
    return 1.0 if discordant == 0 else float(binomtest(only_a_right, discordant, 0.5).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment: p-values that hold for all comparisons together. Source: Holm 1979.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


@dataclass(frozen=True)
class Comparison:
    """Two entries on the same images: the images only one of them got right, and what follows."""

    a: str
    b: str
    only_a_right: int
    only_b_right: int
    p: float
    p_holm: float

    @property
    def significant(self) -> bool:
        """Whether the difference is real at 5 % over all comparisons together."""
        return self.p_holm < 0.05


def compare_all(right: dict[str, Tensor]) -> list[Comparison]:
    """Every pair of entries compared by McNemar's test, Holm over all pairs. right: (N,) bool each, same images."""
    pairs = list(combinations(right, 2))
    counts = [(int((right[a] & ~right[b]).sum()), int((~right[a] & right[b]).sum())) for a, b in pairs]
    p_values = [mcnemar(*count) for count in counts]
    return [
        Comparison(a, b, only_a, only_b, p, p_holm)
        for (a, b), (only_a, only_b), p, p_holm in zip(pairs, counts, p_values, holm(p_values), strict=True)
    ]


def ranks(names: Sequence[str], comparisons: Sequence[Comparison]) -> dict[str, int]:
    """1 + the number of entries that are significantly better (law 7)."""
    beaten = dict.fromkeys(names, 0)
    for pair in comparisons:
        if pair.significant:
            beaten[pair.b if pair.only_a_right > pair.only_b_right else pair.a] += 1
    return {name: 1 + count for name, count in beaten.items()}
