"""Calibration beside slow loops and scikit-learn; the temperature that spoiled scores is found again."""

import math
import sys

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss

from topfive.errors import BadShape
from topfive.evaluation.calibration import calibration, fit_sharpness, risk_coverage, threshold_for


def answers(images: int = 3000, classes: int = 4, sharp: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits whose softmax, at sharpness 1, is the very probability that labels were drawn with."""
    generator = torch.Generator().manual_seed(0)
    logits = 1.5 * torch.randn(images, classes, generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    return sharp * logits, labels


def slow_ece(probabilities: torch.Tensor, labels: torch.Tensor, bins: int) -> float:
    """Guo et al. 2017, eq. 3, an image at a time: bin m holds confidences in ((m - 1) / M, m / M]."""
    gap = 0.0
    for m in range(1, bins + 1):
        held = [
            (float(row.max()), int(row.argmax()) == int(label))
            for row, label in zip(probabilities.double(), labels, strict=True)
            if (m - 1) / bins < float(row.max()) <= m / bins
        ]
        if held:
            gap += abs(sum(right for _, right in held) - sum(confidence for confidence, _ in held)) / len(labels)
    return gap


def test_figures_are_those_of_slow_loops_and_scikit_learn() -> None:
    logits, labels = answers(500)
    probabilities = logits.double().softmax(1)
    found = calibration(probabilities, labels)
    assert found.ece == pytest.approx(slow_ece(probabilities, labels, 15), abs=1e-9)
    assert found.nll == pytest.approx(log_loss(labels, probabilities.numpy()), rel=1e-6)
    assert found.brier == pytest.approx(brier_score_loss(labels, probabilities.numpy(), scale_by_half=False), rel=1e-6)
    assert sum(one.images for one in found.bins) == 500
    order = probabilities.max(1).values.argsort()
    chunks = [order[[place for place in range(500) if place * 15 // 500 == m]] for m in range(15)]
    right = (probabilities.argmax(1) == labels).double()
    gaps = [float((right[one] - probabilities.max(1).values[one]).sum().abs()) for one in chunks]
    assert found.ece_mass == pytest.approx(sum(gaps) / 500)


def test_by_hand() -> None:
    """Sure and wrong, sure and right: half of the answers at confidence 1."""
    found = calibration(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1]))
    assert found[:3] == (0.5, 0.5, 1.0)
    assert found.nll == pytest.approx(-math.log(sys.float_info.min) / 2)
    assert found.bins == ((2, 1.0, 0.5),)


def test_true_probabilities_are_calibrated_and_sharp_ones_are_not() -> None:
    logits, labels = answers()
    true, sharp = (calibration((factor * logits).softmax(1), labels) for factor in (1.0, 3.0))
    assert true.ece < 0.03
    assert sharp.ece > 0.1
    assert true.nll < sharp.nll


def test_the_sharpness_that_spoiled_scores_is_found() -> None:
    for factor in (0.25, 4.0):
        assert fit_sharpness(*answers(sharp=factor)) == pytest.approx(1 / factor, rel=0.05)


def test_sharpness_is_the_one_weight_of_a_logistic_regression() -> None:
    """With two classes of margins +m and -m, softmax(f m) is a logistic regression on 2 m without a bias."""
    generator = torch.Generator().manual_seed(1)
    margins = torch.randn(400, generator=generator)
    labels = (torch.rand(400, generator=generator) < torch.sigmoid(2 * 3.5 * margins)).long()
    theirs = LogisticRegression(C=1e10, fit_intercept=False, tol=1e-8).fit(2 * margins[:, None].numpy(), labels.numpy())
    both = torch.stack([-margins, margins], 1)
    assert fit_sharpness(both, labels) == pytest.approx(float(theirs.coef_[0, 0]), rel=1e-3)


@pytest.mark.parametrize(("sign", "low", "high"), [(1, 5, 100), (-1, 0.01, 0.2)])
def test_sharpness_stays_finite_where_the_likelihood_has_no_optimum(sign: int, low: float, high: float) -> None:
    """Scores that are all right are best infinitely sharp, and those that are all wrong best flat."""
    labels = torch.arange(50) % 3
    assert low <= fit_sharpness(sign * torch.eye(3)[labels], labels) <= high


def test_ties_are_wrong_and_equal_confidences_share_a_bin() -> None:
    """A constant answer on images sorted by class: never right, and one bin however they are cut."""
    found = calibration(torch.full((100, 10), 0.1), torch.arange(100) // 10)
    assert (found.ece, found.ece_mass) == (pytest.approx(0.1), pytest.approx(0.1))
    assert [one.accuracy for one in found.bins] == [0]


def test_what_are_no_probabilities_is_refused() -> None:
    with pytest.raises(BadShape, match="expected finite scores, found others; leave out images"):
        fit_sharpness(torch.tensor([[0.0, float("nan")]]), torch.tensor([0]))
    for rows in (torch.tensor([[2.0, 1.0]]), torch.tensor([[float("nan"), 1.0]])):
        with pytest.raises(BadShape, match="expected rows of probabilities that sum to 1; take softmax"):
            calibration(rows, torch.tensor([0]))


def test_risk_and_coverage_by_hand() -> None:
    """Surest first: right, wrong, then two together (one right), and one without a figure."""
    confidence = torch.tensor([0.5, 0.9, 0.8, float("nan"), 0.5])
    right = torch.tensor([True, True, False, True, False])
    curve = risk_coverage(confidence, right)
    assert curve.share.tolist() == pytest.approx([0.2, 0.4, 0.8, 1.0])
    assert curve.error.tolist() == pytest.approx([0, 0.5, 0.5, 0.4])
    assert curve.confidence[:3].tolist() == pytest.approx([0.9, 0.8, 0.5])
    assert threshold_for(curve, 0.0) == pytest.approx(0.9)
    assert threshold_for(curve, 0.5) == pytest.approx(0.5)  # all but the one that has no confidence
    assert threshold_for(risk_coverage(torch.ones(4), torch.tensor([True, True, False, False])), 0.4) is None
    with pytest.raises(BadShape, match=r"expected confidence \(N,\) and right \(N,\), got \(2,\) and \(3,\)"):
        risk_coverage(torch.ones(2), torch.ones(3, dtype=torch.bool))


def test_the_log_loss_of_answers_that_are_sure_and_right_has_no_sign() -> None:
    found = calibration(torch.eye(3).double(), torch.arange(3))
    assert (found.nll, math.copysign(1, found.nll)) == (0.0, 1.0)
