"""What an entry's probabilities are worth, small enough for a leaderboard of many entries, and in the page's words.

Figures and reliability bins are those of a single report, on the images that did not fit the model's temperature
(law 10). Guo et al. 2017, arXiv:1706.04599; Geifman, El-Yaniv 2017, arXiv:1705.08500.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch

from topfive.errors import listed
from topfive.evaluation.calibration import BINS, risk_coverage
from topfive.evaluation.scores import GUESSES, Scores
from topfive.leaderboard.terminal import Entry
from topfive.metrics import label_ranks

POINTS = 100  # of a curve, so that its length does not grow with the images
FEW = 4  # entries drawn with names, the best
LEAST = 20  # images of a bin that is drawn


def answers_by_confidence(scores: Scores) -> dict[str, Any] | None:
    """If only the most confident answers were given: how many, and how many of these are wrong; None without images.

    As counts, whole and short: of each hundredth of the images the first point that reaches it. Answers of equal
    confidence are given together. An image that could not be decoded is answered last, wrongly. Guesses have no
    probabilities, hence None.
    """
    judges = scores.unfitted
    if scores.kind == GUESSES or not judges.any():
        return None
    confidence, right = scores.probabilities.amax(1)[judges], label_ranks(scores.averaged, scores.labels)[judges] == 0
    curve, images = risk_coverage(confidence, right), len(right)
    steps = torch.arange(1, POINTS + 1, dtype=torch.float64) / POINTS
    rows = sorted(set(torch.searchsorted(curve.share, steps - 1e-12).tolist()))
    answered = curve.share[rows] * images
    return {
        "images": images,
        "answered": answered.round().long().tolist(),
        "wrong": (curve.error[rows] * answered).round().long().tolist(),
    }


def pooled(bins: Sequence[dict[str, Any]], least: int = LEAST) -> list[tuple[int, float, float]]:
    """Images, mean confidence and share right of bins, neighbours together until they hold `least` images.

    What is left at the top goes to the bin below it.

    >>> pooled([{"images": images, "confidence": c, "accuracy": a} for images, c, a in
    ...         [(3, 0.4, 0.0), (1, 0.8, 1.0), (4, 0.9, 0.75), (2, 1.0, 0.0)]], least=4)
    [(4, 0.5, 0.25), (6, 0.9333333333333332, 0.5)]
    """
    homes: list[list[dict[str, Any]]] = [[]]
    for one in bins:
        if sum(other["images"] for other in homes[-1]) >= least:
            homes.append([])
        homes[-1].append(one)
    if len(homes) > 1 and sum(one["images"] for one in homes[-1]) < least:
        last = homes.pop()
        homes[-1] += last
    found = []
    for home in homes:
        images = sum(one["images"] for one in home)
        means = (sum(one["images"] * one[key] for one in home) / images for key in ("confidence", "accuracy"))
        found.append((images, *means))
    return found


def rows(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """The table of the page: the entries that have figures of calibration, in the order given."""
    return [{"entry": entry["entry"], **entry["calibration"]} for entry in entries if entry.get("calibration")]


def in_words(entries: Sequence[Entry], classes: int) -> str:
    """What the figures of the table mean, and whose are missing or of fewer images than the errors."""
    known = rows(entries)
    said = (
        f"Calibration error is the mean distance between confidence and share right, in {BINS} bins; Brier score and "
        f"log-loss also count how often an answer is right. Lower is better: 0 is perfect, and equal probabilities for "
        f"all {classes:,} classes have {1 - 1 / classes:.3f} and {math.log(classes):.3f}."
    )
    if len({one["images"] for one in known}) == 1:
        said += f" On {known[0]['images']:,} images{', the same for every entry' if len(known) > 1 else ''}."
    if fitted := [f"{one['entry']} ({one['temperature']:.3g})" for one in known if one["temperature"] != 1]:
        said += f" With a temperature, judged on images that did not fit it: {listed(fitted)}."
    if absent := [entry["entry"] for entry in entries if not entry.get("calibration")]:
        said += f" Without figures: {listed(absent)}."
    return said
