"""Sides measured by turns in one run, so that what changes on the machine meanwhile meets all of them."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    """Ours over the peer's, once a round: the median of the rounds, the least and the greatest."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f}x ({self.low:.2f} to {self.high:.2f})"


def by_turns(sides: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """What each side returned in each round; every second round runs in reverse order."""
    figures: dict[str, list[float]] = {name: [] for name in sides}
    for round_ in range(rounds):
        for name in list(sides) if round_ % 2 == 0 else reversed(sides):
            figures[name].append(sides[name]())
    return figures


def ratio(ours: list[float], peer: list[float]) -> Ratio:
    """The ratio of two sides measured by turns."""
    each = [mine / theirs for mine, theirs in zip(ours, peer, strict=True)]
    return Ratio(statistics.median(each), min(each), max(each))


def rate(images_per_second: list[float]) -> list[str]:
    """Two cells: the median, and the least to the greatest."""
    low, high = min(images_per_second), max(images_per_second)
    return [f"{statistics.median(images_per_second):,.0f}", f"{low:,.0f} to {high:,.0f}"]
