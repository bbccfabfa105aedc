"""Answering only where the model is sure: the confidence is chosen on one half of the images, judged on the other.

Geifman, El-Yaniv 2017, arXiv:1705.08500, without their bound: the error that is asked for holds on the half that chose,
and what it is on the other half is what is reported, with its interval (laws 7 and 10).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from topfive.data.draws import choosing
from topfive.errors import BadData
from topfive.evaluation.calibration import Coverage, risk_coverage, threshold_for
from topfive.evaluation.intervals import wilson
from topfive.evaluation.scores import Scores
from topfive.metrics import label_ranks

POINTS = 100  # of the curve of risk against coverage


def judge_abstention(scores: Scores, max_error: float) -> dict[str, Any]:
    """The figures of a report, as JSON. max_error: the most of the answers that may be wrong, in [0, 1].

    confidence: answers are given from there on, None where no confidence will do. chosen_on, images: of the two halves;
    coverage and error are of the second, which `risk_coverage` is of too. An image that could not be decoded is never
    answered where a confidence is asked for. Raises BadData where a half is empty.
    """
    confidence, right = scores.probabilities.amax(1), label_ranks(scores.averaged, scores.labels) == 0
    chooses, judges = halves(scores.ids, scores.unfitted, scores.split)
    least = threshold_for(risk_coverage(confidence[chooses], right[chooses]), max_error)
    given = judges & (confidence >= least) if least is not None else torch.zeros_like(judges)
    images, answered, wrong = int(judges.sum()), int(given.sum()), int((given & ~right).sum())
    return {
        "max_error": max_error,
        "confidence": least,
        "chosen_on": int(chooses.sum()),
        "images": images,
        "answered": answered,
        "coverage": answered / images,
        "coverage_interval": wilson(answered, images),
        "error": wrong / answered if answered else None,
        "interval": wilson(wrong, answered) if answered else None,
        "risk_coverage": _points(risk_coverage(confidence[judges], right[judges])),
    }


def halves(ids: Sequence[str], unfitted: Tensor, split: str) -> tuple[Tensor, Tensor]:
    """Which images choose a confidence and which judge it, (N,) bool each; BadData where a half is empty.

    unfitted: (N,) bool, the images that did not fit the model's temperature; others do not judge (law 10).
    """
    chooses = torch.from_numpy(choosing(ids))
    judges = ~chooses & unfitted
    if not (chooses.any() and judges.any()):
        raise BadData(
            f"{split}: expected images to choose a confidence on and others that fitted nothing to judge it, "
            f"found {int(chooses.sum())} and {int(judges.sum())}; give another split or more images"
        )
    return chooses, judges


def _points(curve: Coverage) -> list[dict[str, float]]:
    """Of each hundredth of coverage the point that reaches it first."""
    rows = torch.searchsorted(curve.share, torch.arange(1, POINTS + 1, dtype=torch.float64) / POINTS - 1e-12)
    return [
        {"coverage": float(curve.share[row]), "error": float(curve.error[row])} for row in sorted(set(rows.tolist()))
    ]
