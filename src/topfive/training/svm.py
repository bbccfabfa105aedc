"""The `svm` stage: one-vs-rest linear SVMs on a classifier's features, all classes in one matrix product.

Minimises sum over classes of 1/2 |w|^2 + C sum_i max(0, 1 - y_i (w.x_i + b))^2, liblinear's L2-regularised squared
hinge loss (Fan et al. 2008, JMLR 9, sec. 2), by L-BFGS; the bias is regularised with the weights, as there.
"""

import logging

import torch
from torch import Tensor, nn

from topfive.data.draws import id_keys, uniform
from topfive.data.geometry import Geometry
from topfive.data.imageset import Broken, Split, subset
from topfive.errors import Misused
from topfive.models.hog_svm import HogSvm
from topfive.recipes.recipe import Svm
from topfive.training.codes import extract_codes

log = logging.getLogger("topfive")

BLOCK = 2_000_000  # numbers of a block of codes, 8 MB


def objective(weights: Tensor, codes: Tensor, labels: Tensor, c: float) -> tuple[Tensor, Tensor]:
    """The sum over classes of the squared-hinge objectives, and its gradient.

    weights: (D + 1, classes), the last row the biases. codes: (N, D). labels: (N,). The codes are gone through in
    blocks that stay in the processor's cache, so that each is read from memory once for both results.
    """
    value, gradient = 0.5 * weights.square().sum(), weights.clone()
    rows = max(1, BLOCK // codes.shape[1])
    for block, truth in zip(torch.split(codes, rows), torch.split(labels, rows), strict=True):
        margins = torch.addmm(weights[-1], block, weights[:-1])  # (rows, D) -> (rows, classes)
        signs = torch.full_like(margins, -1.0).scatter_(1, truth[:, None], 1.0)
        slack = (1 - signs * margins).clamp_min_(0)
        value = value + c * slack.square().sum()
        pull = slack.mul_(signs)  # half of minus the hinge's derivative by the margins
        gradient[:-1].addmm_(block.T, pull, alpha=-2 * c)
        gradient[-1] -= 2 * c * pull.sum(0)
    return value, gradient


def fit_weights(codes: Tensor, labels: Tensor, start: Tensor, c: float, iterations: int) -> Tensor:
    """The weights (D + 1, classes) that minimise `objective`, float32. codes: (N, D) float32. start: where to begin."""
    weights = start.clone()
    solver = torch.optim.LBFGS(
        [weights], max_iter=iterations, history_size=10, tolerance_grad=1e-4, tolerance_change=1e-9,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> Tensor:
        value, weights.grad = objective(weights, codes, labels, c)
        return value

    with torch.no_grad():
        # torch has no types for this call
        solver.step(closure)  # type: ignore[no-untyped-call]
    return weights


def fit_sharpness(margins: Tensor, labels: Tensor) -> float:
    """The factor that makes softmax(factor x margins) most likely on these images: temperature scaling, inverted.

    Source: Guo et al. 2017, arXiv:1706.04599, sec. 4.2.
    """
    log_factor = torch.zeros((), dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([log_factor], max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        solver.zero_grad()
        value = nn.functional.cross_entropy(log_factor.exp() * margins.double(), labels)
        # torch has no types for this call
        value.backward()  # type: ignore[no-untyped-call]
        return value

    # torch has no types for this call
    solver.step(closure)  # type: ignore[no-untyped-call]
    return float(log_factor.detach().exp().clamp(1e-2, 1e2))


def fit_svm(
    classifier: nn.Module, stage: Svm, split: Split, geometry: Geometry, seed: int, workers: int | None = None
) -> list[Broken]:
    """Fit `classifier.svm` and `classifier.sharpness` in place; the training images that could not be read.

    The sharpness is chosen on a share of the images that the SVM of that moment has not seen; then the SVM is fitted
    again on all of them (law 10).
    """
    if stage.images is not None and stage.images < len(split):
        chosen = uniform(seed, 0, id_keys(split.ids), 1)[:, 0].argsort(kind="stable")[: stage.images]
        split = subset(split, sorted(chosen.tolist()))
    found = extract_codes(classifier, split, geometry, workers)
    # Another column than the one that chose the images: the lowest of that one would all be held out.
    held_out = torch.from_numpy(uniform(seed, 0, id_keys(split.ids), 2)[found.rows, 1] < stage.held_out)
    codes, labels = found.codes, found.labels
    if stage.mirror:
        codes = torch.cat([codes, extract_codes(classifier, split, geometry, workers, mirror=True).codes])
        labels, held_out = labels.repeat(2), held_out.repeat(2)
    machine = svm_of(classifier)
    classes = machine.svm.out_features
    log.info("  %d codes of %d dimensions for %d SVMs", *codes.shape, classes)
    sharpness, weights = 1.0, torch.zeros(codes.shape[1] + 1, classes)
    if held_out.any() and not held_out.all():
        weights = fit_weights(codes[~held_out], labels[~held_out], weights, stage.c, stage.iterations)
        sharpness = fit_sharpness(codes[held_out] @ weights[:-1] + weights[-1], labels[held_out])
    weights = fit_weights(codes, labels, weights, stage.c, stage.iterations)
    with torch.no_grad():
        machine.svm.weight.copy_(weights[:-1].T)
        machine.svm.bias.copy_(weights[-1])
        machine.sharpness.fill_(sharpness)
    return found.broken


def svm_of(classifier: nn.Module) -> HogSvm:
    """The classifier as one whose `svm` and `sharpness` are fitted; Misused for a network."""
    if not isinstance(classifier, HogSvm):
        raise Misused(
            f"recipe: an svm stage fits hand-made entries such as hog_svm, got {type(classifier).__name__}; use sgd"
        )
    return classifier
