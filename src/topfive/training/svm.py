"""The `svm` stage: one-vs-rest linear SVMs on a classifier's features, all classes in one matrix product.

Minimises sum over classes of 1/2 |w|^2 + C sum_i max(0, 1 - y_i (w.x_i + b))^2, liblinear's L2-regularised squared
hinge loss (Fan et al. 2008, JMLR 9, sec. 2), by L-BFGS; the bias is regularised with the weights, as there.
"""

import logging
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from topfive.data.draws import id_keys, uniform
from topfive.data.geometry import Geometry
from topfive.data.imageset import Broken, Split, subset
from topfive.errors import Misused
from topfive.features.quantiser import PIECE
from topfive.models.coded import CodedSvm
from topfive.recipes.recipe import Svm
from topfive.training.codebook import fit_quantiser, fitted_channels
from topfive.training.codes import KeptCodes, extract_codes

log = logging.getLogger("topfive")

BLOCK = 2_000_000  # numbers of a block of codes, 8 MB
SAMPLE = 2000  # images whose codes set the scale and the quantiser


def objective(weights: Tensor, codes: Tensor | KeptCodes, labels: Tensor, c: float) -> tuple[Tensor, Tensor]:
    """The sum over classes of the squared-hinge objectives, and its gradient.

    weights: (D + 1, classes), the last row the biases. codes: (N, D). labels: (N,). The codes are gone through in
    blocks that stay in the processor's cache, so that each is read from memory (and unpacked) once for both results.
    """
    value, gradient = 0.5 * weights.square().sum(), weights.clone()
    rows = max(1, BLOCK // codes.shape[1])
    for start in range(0, len(codes), rows):
        block, truth = codes[start : start + rows], labels[start : start + rows]
        margins = torch.addmm(weights[-1], block, weights[:-1])  # (rows, D) -> (rows, classes)
        signs = torch.full_like(margins, -1.0).scatter_(1, truth[:, None], 1.0)
        slack = (1 - signs * margins).clamp_min_(0)
        value = value + c * slack.square().sum()
        pull = slack.mul_(signs)  # half of minus the hinge's derivative by the margins
        gradient[:-1].addmm_(block.T, pull, alpha=-2 * c)
        gradient[-1] -= 2 * c * pull.sum(0)
    return value, gradient


def fit_weights(codes: Tensor | KeptCodes, labels: Tensor, start: Tensor, c: float, iterations: int) -> Tensor:
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

    With `late_fusion` each channel has SVMs of its own, and the margin of an image is the mean of theirs, each as sharp
    as its own images say; together they are one layer again. A sharpness is chosen on a share of the images that the
    SVM of that moment has not seen; then the SVM is fitted again on all of them (law 10).
    """
    if stage.images is not None and stage.images < len(split):
        chosen = uniform(seed, 0, id_keys(split.ids), 1)[:, 0].argsort(kind="stable")[: stage.images]
        split = subset(split, sorted(chosen.tolist()))
    machine = coded_of(classifier)
    # Another column than the one that chose the images: the lowest of that one would all be held out.
    withheld = torch.from_numpy(uniform(seed, 0, id_keys(split.ids), 2)[:, 1] < stage.held_out)
    parts: list[Part] = [Part(machine.body, machine.svm.in_features)]
    if stage.late_fusion and len(machine.channels) > 1:
        parts = [Part(channel, channel.length) for channel in fitted_channels(machine, None).values()]
    fits = [fit_part(part, machine, stage, split, geometry, withheld, workers) for part in parts]
    scales, sharpness = [1.0], fits[0].sharpness
    if len(fits) > 1:
        scales = [fit.sharpness / len(fits) for fit in fits]
        margins = torch.stack([scale * fit.margins for scale, fit in zip(scales, fits, strict=True)]).sum(0)
        sharpness = fit_sharpness(margins, fits[0].held_out_labels) if len(margins) else 1.0
    with torch.no_grad():
        scaled = [scale * fit.weights for scale, fit in zip(scales, fits, strict=True)]
        machine.svm.weight.copy_(torch.cat([weights[:-1] for weights in scaled]).T)
        machine.svm.bias.copy_(torch.stack([weights[-1] for weights in scaled]).sum(0))
        machine.sharpness.fill_(sharpness)
    return fits[0].broken


class Part(NamedTuple):
    """What gives `length` of the numbers of a code: all channels, or one."""

    give: Callable[[Tensor], Tensor]
    length: int


class PartFit(NamedTuple):
    """SVMs on one part of the codes. weights: (D + 1, classes). margins: (held out, classes), before the last fit."""

    weights: Tensor
    sharpness: float
    margins: Tensor
    held_out_labels: Tensor
    broken: list[Broken]


def fit_part(
    part: Part, machine: CodedSvm, stage: Svm, split: Split, geometry: Geometry, withheld: Tensor, workers: int | None,
) -> PartFit:  # fmt: skip
    """Fit SVMs on what `part` gives of the training images. withheld: (images,) those that choose the sharpness."""
    views = [False, True] if stage.mirror else [False]
    gigabytes = len(split) * len(views) * part.length * 4 / 2**30
    too_large = gigabytes > stage.memory_gb and part.length % PIECE == 0
    scale, quantiser = Scale(torch.zeros(part.length), torch.ones(part.length)), None
    if stage.standardise or too_large:
        few = subset(split, list(range(0, len(split), max(1, len(split) // SAMPLE)))[:SAMPLE])
        sample = extract_codes(machine, few, geometry, workers, part=part.give).codes
        scale = scale_of(sample) if stage.standardise else scale
        if too_large:
            log.info("  %.1f GiB of codes, more than %g: kept at one bit a number", gigabytes, stage.memory_gb)
            quantiser = fit_quantiser(scale(sample))

    def kept(images: Tensor) -> Tensor:
        scaled = scale(part.give(images)) if stage.standardise else part.give(images)
        return scaled if quantiser is None else quantiser.encode(scaled)

    found = [extract_codes(machine, split, geometry, workers, mirror=mirror, part=kept) for mirror in views]
    packed = torch.cat([one.codes for one in found]) if len(found) > 1 else found[0].codes
    codes = packed if quantiser is None else KeptCodes(quantiser, packed)
    labels, held_out = (one.repeat(len(views)) for one in (found[0].labels, withheld[found[0].rows]))
    log.info("  %d codes of %d dimensions for %d SVMs", len(codes), part.length, machine.svm.out_features)
    c, start, margins = choose_c(codes, labels, held_out, stage, machine.svm.out_features)
    sharpness = fit_sharpness(margins, labels[held_out]) if len(margins) else 1.0
    weights = scale.undone(fit_weights(codes, labels, start, c, stage.iterations))
    return PartFit(weights, sharpness, margins, labels[held_out][: len(margins)], found[0].broken)


class Scale(NamedTuple):
    """What brings each number of a code to mean 0 and deviation 1: two (D,)."""

    mean: Tensor
    deviation: Tensor

    def __call__(self, codes: Tensor) -> Tensor:
        """(N, D) -> (N, D)."""
        return (codes - self.mean) / self.deviation

    def undone(self, weights: Tensor) -> Tensor:
        """Weights (D + 1, classes) of scaled codes, as weights of the codes as they are."""
        plain = weights[:-1] / self.deviation[:, None]
        return torch.cat([plain, (weights[-1] - self.mean @ plain)[None]])


def scale_of(codes: Tensor) -> Scale:
    """The scale of these codes; a number that never changes keeps its own."""
    deviation, mean = torch.std_mean(codes, 0)
    return Scale(mean, torch.where(deviation > 0, deviation, 1.0))


def margins_of(codes: Tensor | KeptCodes, weights: Tensor) -> Tensor:
    """(N, D), (D + 1, classes) -> (N, classes)."""
    rows = max(1, BLOCK // codes.shape[1])
    blocks = [codes[start : start + rows] for start in range(0, len(codes), rows)]
    return torch.cat([torch.addmm(weights[-1], block, weights[:-1]) for block in blocks])


def choose_c(
    codes: Tensor | KeptCodes, labels: Tensor, held_out: Tensor, stage: Svm, classes: int
) -> tuple[float, Tensor, Tensor]:  # fmt: skip
    """The c whose SVM is wrong about fewest held-out images, its weights, and its margins for these.

    The smallest of the best, since a smaller c is the simpler machine. Without held-out images the smallest of all,
    weights of 0 and no margins.
    """
    start = torch.zeros(codes.shape[1] + 1, classes)
    if held_out.all() or not held_out.any():
        return stage.costs[0], start, torch.zeros(0, classes)
    rest, truth, seen, best = codes[~held_out], labels[~held_out], codes[held_out], []
    for c in stage.costs:
        start = fit_weights(rest, truth, start, c, stage.iterations)
        margins = margins_of(seen, start)
        wrong = int((margins.argmax(1) != labels[held_out]).sum())
        best.append((wrong, c, start, margins))
        if len(stage.costs) > 1:
            log.info("  c = %g: %d of %d held-out images wrong", c, wrong, len(margins))
    _, c, start, margins = min(best, key=lambda one: one[:2])
    return c, start, margins


def coded_of(classifier: nn.Module) -> CodedSvm:
    """The classifier as one whose `svm` and `sharpness` are fitted; Misused for a network."""
    if not isinstance(classifier, CodedSvm):
        raise Misused(
            f"recipe: an svm stage fits hand-made entries such as hog_svm, got {type(classifier).__name__}; use sgd"
        )
    return classifier
