"""One-vs-rest linear SVMs with squared hinge loss, all classes in one matrix product.

Minimised is the sum over classes of 1/2 |w|^2 + C sum_i max(0, 1 - y_i (w.x_i + b))^2, liblinear's L2-regularised
squared hinge loss (Fan et al. 2008, JMLR 9, sec. 2); the bias is regularised with the weights, as there. By L-BFGS, or
by averaged SGD (Xu 2011, arXiv:1107.2490) as the winners of 2010 and 2011 did, whose few looks at the codes pay where
these are kept at one bit a number and must be unpacked for each.
"""

import logging
from typing import NamedTuple, Self

import torch
from torch import Tensor

from topfive.errors import Diverged
from topfive.recipes.recipe import Svm
from topfive.training.codes import KeptCodes

log = logging.getLogger("topfive")

BLOCK = 2_000_000  # numbers of a block of codes, 8 MB
LEAST = 0.01  # deviation of a number that codes are divided by, as a share of the root mean square of all numbers
NOTHING = 1e-7  # of the greatest eigenvalue: what rounding leaves in a direction that no code has
LOOK = 10  # iterations of L-BFGS, after which its progress is looked at
CONVERGED = 5e-5  # of the value: a fall by less in LOOK iterations; some 0.05 % above the minimum at most, on digits
ROWS = 128  # codes of a block at least; of fewer, the weights would be read more often than the codes
BATCH = 32  # codes a step of averaged SGD: near the minimum it comes by the number of its steps
STEPS = 1000  # of averaged SGD at least
RATES = (1.0, 4.0, 16.0, 64.0)  # first steps of averaged SGD that are tried; 1 is safe for codes of like length
TRIED = 4096  # codes that they are tried on, twice each


def objective(weights: Tensor, codes: Tensor | KeptCodes, labels: Tensor, c: float) -> tuple[Tensor, Tensor]:
    """The sum over classes of the squared-hinge objectives, and its gradient.

    weights: (D + 1, classes), the last row the biases. codes: (N, D). labels: (N,). The codes are gone through in
    blocks that stay in the processor's cache, so that each is read from memory (and unpacked) once for both results.
    """
    value, gradient = 0.5 * weights.square().sum(), weights.clone()
    rows = max(ROWS, BLOCK // codes.shape[1])
    for start in range(0, len(codes), rows):
        block, truth = codes[start : start + rows], labels[start : start + rows]
        slack, pull = _hinge(weights, block, truth)
        value = value + c * slack
        gradient[:-1].addmm_(block.T, pull, alpha=-2 * c)
        gradient[-1] -= 2 * c * pull.sum(0)
    return value, gradient


def _hinge(weights: Tensor, codes: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The sum of the squared hinges, and minus half its derivative by the margins (N, classes)."""
    margins = torch.addmm(weights[-1], codes, weights[:-1])  # (N, D) -> (N, classes)
    signs = torch.full_like(margins, -1.0).scatter_(1, labels[:, None], 1.0)
    slack = (1 - signs * margins).clamp_min_(0)
    value = slack.square().sum()
    return value, slack.mul_(signs)


def fit_weights(codes: Tensor | KeptCodes, labels: Tensor, start: Tensor, c: float, iterations: int) -> Tensor:
    """The weights (D + 1, classes) that minimise `objective`, float32. codes: (N, D) float32. start: where to begin.

    Ends where LOOK iterations bring less than CONVERGED of the value; after `iterations` at most, which is then said.
    """
    weights, values = start.clone(), list[float]()
    solver: torch.optim.Optimizer = torch.optim.LBFGS(
        [weights], history_size=10, tolerance_grad=0, tolerance_change=1e-9, line_search_fn="strong_wolfe",
        max_eval=4 * LOOK,
    )  # fmt: skip

    def closure() -> float:
        value, weights.grad = objective(weights, codes, labels, c)
        values.append(float(value))
        return values[-1]

    before = float("inf")
    with torch.no_grad():
        for done in range(0, iterations, LOOK):
            solver.param_groups[0]["max_iter"] = min(LOOK, iterations - done)
            solver.step(closure)
            least = min(values)
            if not before - least > CONVERGED * least:  # also where the values are no numbers
                return weights
            before = least
    log.warning("  c = %g: stopped after %d iterations, not converged; set iterations higher", c, iterations)
    return weights


def fit_by_sgd(codes: Tensor | KeptCodes, labels: Tensor, start: Tensor, c: float, passes: int, seed: int) -> Tensor:
    """As `fit_weights`, but only near the minimum: the mean of the weights in the latter half of a few passes.

    Over so few codes that `passes` would be fewer than STEPS steps, there are as many passes as these take. The first
    step is the best of RATES after two passes over TRIED codes, or as many over fewer.
    """
    order = torch.randperm(len(codes), generator=torch.Generator().manual_seed(seed))
    few, truth = picked(codes, order[:TRIED]), labels[order[:TRIED]]
    safe = 0.5 / (1 + float(few.square().sum(1).mean()))
    decay = 1 / (c * len(codes))  # of the objective divided by C N, whose hinges are a mean over the codes
    met = []
    for rate in RATES:
        found = _averaged(few, truth, start, decay, 2 * TRIED // len(few), rate * safe, seed)
        value = float(objective(found, few, truth, 1 / (decay * len(few)))[0])
        met.append((value if value == value else float("inf"), rate))
    passes = max(passes, -(-STEPS * BATCH // len(codes)))
    return _averaged(codes, labels, start, decay, passes, min(met)[1] * safe, seed)


def _averaged(
    codes: Tensor | KeptCodes, labels: Tensor, start: Tensor, decay: float, passes: int, rate: float, seed: int
) -> Tensor:  # fmt: skip
    """Averaged SGD; its step falls as (1 + decay x rate x t)^-3/4. decay: of the weights."""
    weights, mean, averaged = start.clone(), torch.zeros_like(start), 0
    generator, step = torch.Generator().manual_seed(seed), 0
    before = passes * -(-len(codes) // BATCH) // 2  # steps that are not averaged: they begin far away
    for _ in range(passes):
        for rows in torch.split(torch.randperm(len(codes), generator=generator), BATCH):
            size = rate * (1 + decay * rate * step) ** -0.75
            batch = picked(codes, rows)
            _, pull = _hinge(weights, batch, labels[rows])
            weights.mul_(1 - size * decay)
            weights[:-1].addmm_(batch.T, pull, alpha=2 * size / len(rows))
            weights[-1] += 2 * size / len(rows) * pull.sum(0)
            step += 1
            if step > before:
                averaged += 1
                mean += (weights - mean) / averaged
    return mean


def picked(codes: Tensor | KeptCodes, rows: Tensor) -> Tensor:
    """Some of the codes, unpacked."""
    chosen = codes[rows]
    return chosen if isinstance(chosen, Tensor) else chosen[:]


def margins_of(codes: Tensor | KeptCodes, weights: Tensor) -> Tensor:
    """(N, D), (D + 1, classes) -> (N, classes)."""
    rows = max(ROWS, BLOCK // codes.shape[1])
    blocks = [codes[start : start + rows] for start in range(0, len(codes), rows)]
    return torch.cat([torch.addmm(weights[-1], block, weights[:-1]) for block in blocks])


class Scale(NamedTuple):
    """What brings each number of a code to mean 0 and deviation 1: two (D,)."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, codes: Tensor) -> Self:
        """That of these codes; a number that never changes keeps its own, one that hardly does is not blown up."""
        deviation, mean = torch.std_mean(codes, 0)
        least = LEAST * deviation.square().mean().sqrt()
        return cls(mean, torch.where(deviation > 0, deviation.clamp_min(least), 1.0))

    def __call__(self, codes: Tensor) -> Tensor:
        """(N, D) -> (N, D)."""
        return (codes - self.mean) / self.deviation

    def undone(self, weights: Tensor) -> Tensor:
        """Weights (D + 1, classes) of scaled codes, as weights of the codes as they are."""
        plain = weights[:-1] / self.deviation[:, None]
        return torch.cat([plain, (weights[-1] - self.mean @ plain)[None]])


class Span(NamedTuple):
    """The space that a few long codes lie in. coordinates: (N, R) of the codes. turn: (N, R), from these to weights.

    An SVM's weights are a sum of codes. In the coordinates of their span it is the same machine, with the same margins
    and the same |w|, and its arithmetic is that of N numbers a code in place of D.
    """

    codes: Tensor
    coordinates: Tensor
    turn: Tensor

    @classmethod
    def of(cls, codes: Tensor) -> Self:
        """codes: (N, D), N of a few thousand at most. Their products are summed in float64."""
        products = torch.zeros(len(codes), len(codes), dtype=torch.float64)
        for block in torch.split(codes, max(1, BLOCK // len(codes)), 1):
            products += block @ block.T
        values, vectors = torch.linalg.eigh(products)
        kept = values > NOTHING * values[-1]
        kept[-1] = True  # where all codes are 0, too
        roots, vectors = values[kept].clamp_min(1e-30).sqrt(), vectors[:, kept]
        return cls(codes, (vectors * roots).float(), (vectors / roots).float())

    def undone(self, weights: Tensor) -> Tensor:
        """Weights (R + 1, classes) for coordinates, as weights (D + 1, classes) for the codes."""
        return torch.cat([self.codes.T @ (self.turn @ weights[:-1]), weights[-1:]])


class Chosen(NamedTuple):
    """The best c, weights of its SVM (D + 1, classes) to start from, and its margins (held out, classes) in order."""

    c: float
    weights: Tensor
    margins: Tensor


def choose_c(codes: Tensor | KeptCodes, labels: Tensor, folds: Tensor, stage: Svm, classes: int, seed: int) -> Chosen:
    """The c whose SVMs are wrong about fewest images that they have not seen.

    folds: (N,), the fold in which each code is held out, -1 for none. The smallest of the best, since a smaller c is
    the simpler machine. Without held-out codes the smallest of all, weights of 0 and no margins.
    """
    start = torch.zeros(codes.shape[1] + 1, classes)
    best, fewest = Chosen(stage.costs[0], start, torch.zeros(0, classes)), len(codes) + 1
    judged = [fold for fold in range(int(folds.max()) + 1) if 0 < (folds == fold).sum() < len(codes)]
    if not judged:
        return best
    held_out, starts = folds >= 0, dict.fromkeys(judged, start)
    for c in stage.costs:
        margins = torch.zeros(int(held_out.sum()), classes)
        for fold in judged:
            known, unknown = folds != fold, folds == fold
            starts[fold] = solve(codes[known], labels[known], starts[fold], c, stage, seed)
            margins[unknown[held_out]] = margins_of(codes[unknown], starts[fold])
        wrong = int((margins.argmax(1) != labels[held_out]).sum())
        if wrong < fewest:
            best, fewest = Chosen(c, starts[judged[-1]], margins), wrong
        if len(stage.costs) > 1:
            by = "of the held-out images" if len(judged) == 1 else f"in {len(judged)} folds"
            log.info("  c = %g: %d of %d wrong %s", c, wrong, int(held_out.sum()), by)
    return best


def solve(
    codes: Tensor | KeptCodes, labels: Tensor, start: Tensor, c: float, stage: Svm, seed: int
) -> Tensor:  # fmt: skip
    """The weights by the stage's solver. Raises Diverged where they are not finite."""
    if by_sgd(stage, packed=isinstance(codes, KeptCodes)):
        weights = fit_by_sgd(codes, labels, start, c, stage.passes, seed)
    else:
        weights = fit_weights(codes, labels, start, c, stage.iterations)
    if not bool(weights.isfinite().all()):
        raise Diverged(
            f"training: the SVM's weights are not finite at c = {c:g}; give a smaller c, or standardise = true"
        )
    return weights


def by_sgd(stage: Svm, packed: bool) -> bool:
    """Whether the stage is solved by averaged SGD: where it leaves that open, for codes that are kept packed."""
    return packed if stage.solver == "auto" else stage.solver == "sgd"
