"""Which differences are real: intervals and paired tests on counts of right and wrong answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import binomtest
from torch import Tensor

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
