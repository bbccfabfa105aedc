"""Whether an answer's probability means what it says: calibration errors, temperature, and when to abstain.

Probabilities are softmax of scores. Guo, Pleiss, Sun, Weinberger 2017, arXiv:1706.04599; Brier 1950, Monthly Weather
Review 78(1); Geifman, El-Yaniv 2017, arXiv:1705.08500.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from topfive.errors import BadShape
from topfive.metrics import check_pair, label_ranks

BINS = 15  # Guo et al., sec. 2
SHARPEST = 100.0  # where all answers are right, or all wrong, no factor is best


class Bin(NamedTuple):
    """Answers of like confidence: how many, their mean confidence, and the share of them that is right."""

    images: int
    confidence: float
    accuracy: float


class Calibration(NamedTuple):
    """ece: expected calibration error in bins of equal width. ece_mass: in bins of as many images each.

    brier: mean squared distance of the probabilities from the truth, in [0, 2]. nll: mean negative log-likelihood.
    bins: of equal width, those that hold answers, least confident first: a reliability plot.
    """

    ece: float
    ece_mass: float
    brier: float
    nll: float
    bins: tuple[Bin, ...]


def calibration(probabilities: Tensor, labels: Tensor, bins: int = BINS) -> Calibration:
    """probabilities: (N, classes), rows that sum to 1. Raises BadShape for others, NaN among them.

    ECE is biased upwards on few images: a calibrated classifier's is above 0.
    """
    check_pair("calibration", probabilities, labels)
    if not bool(((probabilities.sum(1) - 1).abs() < 1e-3).all()):  # false for NaN too
        raise BadShape("calibration: expected rows of probabilities that sum to 1; take softmax of the scores first")
    exact = probabilities.double()
    confidence, right = exact.amax(1), label_ranks(exact, labels) == 0  # a tie is no right answer
    width = _binned(confidence, right, (confidence * bins).ceil().long().clamp(1, bins) - 1)
    ranks = torch.searchsorted(confidence.sort().values, confidence)  # one for all that are equally confident
    mass = _binned(confidence, right, ranks * bins // len(labels))
    own = exact.gather(1, labels[:, None])[:, 0]
    return Calibration(
        ece=_gap(width, len(labels)),
        ece_mass=_gap(mass, len(labels)),
        brier=float((exact.square().sum(1) - 2 * own + 1).mean()),
        nll=abs(float(own.clamp_min(torch.finfo(torch.float64).tiny).log().mean())),  # at most 708 an image; not -0.0
        bins=width,
    )


def _binned(confidence: Tensor, right: Tensor, homes: Tensor) -> tuple[Bin, ...]:
    images = homes.bincount()
    total = torch.zeros(len(images), dtype=torch.float64)
    sums, hits = total.index_add(0, homes, confidence), total.index_add(0, homes, right.double())
    return tuple(
        Bin(int(number), float(sums[home] / number), float(hits[home] / number))
        for home, number in enumerate(images)
        if number
    )


def _gap(bins: tuple[Bin, ...], images: int) -> float:
    return sum(one.images * abs(one.confidence - one.accuracy) for one in bins) / images


def fit_sharpness(scores: Tensor, labels: Tensor) -> float:
    """The factor that makes softmax(factor x scores) most likely on these images: 1 over Guo's temperature (4.2).

    scores: (N, classes) of one crop. Fit it on images that neither train nor judge (law 10). Raises BadShape for NaN.
    """
    if not bool(scores.isfinite().all()):
        raise BadShape("fit_sharpness: expected finite scores, found others; leave out images that were not answered")
    log_factor = torch.zeros((), dtype=torch.float64, requires_grad=True)
    solver: torch.optim.Optimizer = torch.optim.LBFGS([log_factor], max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> float:
        solver.zero_grad()
        value = nn.functional.cross_entropy(log_factor.exp() * scores.double(), labels)
        torch.autograd.backward(value)
        return float(value.detach())

    solver.step(closure)
    return float(log_factor.detach().exp().clamp(1 / SHARPEST, SHARPEST))


class Coverage(NamedTuple):
    """If only the `share` most confident answers were given, `error` of them would be wrong: two (N,), float64.

    confidence: (N,) that the least confident of these answers has, falling.
    """

    share: Tensor
    error: Tensor
    confidence: Tensor


def risk_coverage(confidence: Tensor, right: Tensor) -> Coverage:
    """confidence: (N,), any monotone figure. right: (N,) bool. NaN is the least confidence there is.

    Answers of equal confidence are given together, so a constant confidence has one point.
    """
    if confidence.shape != right.shape or confidence.ndim != 1 or not len(right):
        raise BadShape(
            f"risk_coverage: expected confidence (N,) and right (N,), got {tuple(confidence.shape)} and "
            f"{tuple(right.shape)}"
        )
    surest, order = confidence.double().nan_to_num(nan=float("-inf")).sort(descending=True, stable=True)
    given = torch.arange(1, len(right) + 1, dtype=torch.float64)
    wrong = (~right[order]).double().cumsum(0)
    last = torch.cat([surest[1:] != surest[:-1], torch.ones(1, dtype=torch.bool)])
    return Coverage((given / len(right))[last], (wrong / given)[last], surest[last])


def threshold_for(curve: Coverage, error: float) -> float | None:
    """The least confidence to answer from, so that at most `error` of the answers are wrong; None if none will do.

    What has no confidence is never answered.
    """
    fits = ((curve.error <= error) & curve.confidence.isfinite()).nonzero()
    return float(curve.confidence[fits[-1, 0]]) if len(fits) else None
