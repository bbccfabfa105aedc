"""One-vs-rest linear SVMs with squared hinge loss, all classes in one matrix product.

Weights are (classes, D + 1), the last column the biases: a row a class, as torch.nn.Linear has them. With ten classes a
look at the codes takes a fifth of the time that it takes with a column a class (10,000 codes of 8,192 numbers).

Minimised is the sum over classes of 1/2 |w|^2 + C sum_i max(0, 1 - y_i (w.x_i + b))^2, liblinear's L2-regularised
squared hinge loss (Fan et al. 2008, JMLR 9, sec. 2); the bias is regularised with the weights, as there. By Newton's
method, or by averaged SGD (Xu 2011, arXiv:1107.2490) as the winners of 2010 and 2011 did, whose few looks at the codes
pay where these are kept at one bit a number and must be unpacked for each.
"""

import logging
from collections.abc import Iterator
from typing import NamedTuple, Self

import torch
from torch import Tensor

from topfive.errors import Diverged
from topfive.progress import Beat, Countdown
from topfive.recipes.stages import Svm
from topfive.training.codes import KeptCodes

log = logging.getLogger("topfive")

BLOCK = 2_000_000  # numbers of a block of codes, 8 MB
LEAST = 0.01  # deviation of a number that codes are divided by, as a share of the root mean square of all numbers
NOTHING = 1e-7  # of the greatest eigenvalue: what rounding leaves in a direction that no code has
ROUNDED = 1e-5  # of it: what is too small to be told from rounding in float32
CONVERGED = 5e-4  # of the value: what a last step promises, and brings; what is left above the minimum is less
NEAR = 0.2  # of the gradient: what conjugate gradients leave of it
PRODUCTS = 50  # of conjugate gradients, at most
LOOKED_AT, SHOWN = 8, 2000  # every eighth code says in which directions codes differ most, so many at most,
KEPT = 4  # of whose directions a quarter is kept
HALVINGS, ENOUGH = 20, 0.01  # of a step, at most; share of what its slope promises that it must bring (Armijo's rule)
AT_ONCE = 1 << 25  # classes times codes that are solved together, 128 MiB of numbers
ROWS = 128  # codes of a block at least; of fewer, the weights would be read more often than the codes
BATCH = 32  # codes a step of averaged SGD: near the minimum it comes by the number of its steps
STEPS = 1000  # of averaged SGD at least
RATES = (1.0, 4.0, 16.0, 64.0)  # first steps of averaged SGD that are tried; 1 is safe for codes of like length
TRIED = 4096  # codes that they are tried on, twice each
WORSE = 2  # values of c in a row that were worse than the best, after which larger ones are not tried


def objective(weights: Tensor, codes: Tensor | KeptCodes, labels: Tensor, c: float) -> tuple[Tensor, Tensor]:
    """The sum over classes of the squared-hinge objectives, and its gradient.

    weights: (classes, D + 1). codes: (N, D). labels: (N,). The codes are gone through in blocks that stay in the
    processor's cache, so that each is read from memory (and unpacked) once for both results.
    """
    value, gradient = 0.5 * weights.square().sum(), weights.clone()
    for part, block in _blocks(codes):
        slack, pull = _hinge(weights, block, labels[part])
        value = value + c * slack
        _add_products(gradient, pull, block, -2 * c)
    return value, gradient


def _hinge(weights: Tensor, codes: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The sum of the squared hinges, and minus half its derivative by the margins (classes, N)."""
    margins = torch.addmm(weights[:, -1:], weights[:, :-1], codes.T)  # (classes, N)
    signs = torch.full_like(margins, -1.0).scatter_(0, labels[None], 1.0)
    slack = (1 - signs * margins).clamp_min_(0)
    value = slack.square().sum()
    return value, slack.mul_(signs)


class Steep(NamedTuple):
    """The directions in which codes differ most. Along them the objective is steep, and hides the slope of the others.

    directions: (K, D + 1), orthonormal. squares: (K,), the mean square of the codes along each, largest first.
    A Nystrom preconditioner (Frangella, Tropp, Udell 2023, SIAM J. Matrix Anal. Appl. 44): without it the codes of
    k-means, whose numbers rise and fall together, take eight times as many looks.
    """

    directions: Tensor
    squares: Tensor

    @classmethod
    def of(cls, codes: Tensor | KeptCodes) -> Self:
        """Those of some of the codes, evenly chosen, with the 1 of the bias."""
        rows = torch.linspace(0, len(codes) - 1, min(-(-len(codes) // LOOKED_AT), SHOWN)).long()
        few = torch.nn.functional.pad(picked(codes, rows), (0, 1), value=1.0)
        values, vectors = torch.linalg.eigh(few @ few.T)
        kept = values > ROUNDED * values[-1]
        kept[: len(few) * (KEPT - 1) // KEPT] = False
        values, vectors = values[kept].flip(0), vectors[:, kept].flip(1)
        return cls((vectors / values.sqrt()).T @ few, values / len(few))

    def levelled(self, gradient: Tensor, pull: Tensor) -> Tensor:
        """Gradients (classes, D + 1), along these directions shorter by as much as the objective is steeper there.

        pull: (classes,), 2 C times the open hinges.
        """
        curve = 1 + pull[:, None] * self.squares  # (classes, K)
        beyond = 1 - curve[:, -1:] / curve
        return gradient - (gradient @ self.directions.T * beyond) @ self.directions


def fit_weights(codes: Tensor | KeptCodes, labels: Tensor, start: Tensor, c: float, iterations: int) -> Tensor:
    """The weights (classes, D + 1) that minimise `objective`, float32. codes: (N, D) float32. start: where to begin.

    By Newton's method, each step found by conjugate gradients (Keerthi, DeCoste 2005, JMLR 6; Lin, Weng, Keerthi 2008,
    JMLR 9). Ends where a step promises less than CONVERGED of the value; after `iterations` steps at most, which is
    then said. Besides weights and codes it holds some ten times (classes, N) numbers, but for AT_ONCE at most.
    """
    found, whole, steep = list[Tensor](), True, Steep.of(codes)
    for classes in torch.split(torch.arange(len(start)), max(1, AT_ONCE // len(codes))):
        signs = torch.where(labels[None] == classes[:, None], 1.0, -1.0)
        weights, converged = _by_newton(codes, signs, start[classes], c, iterations, steep)
        found.append(weights)
        whole &= converged
    if not whole:
        log.warning("  c = %g: stopped after %d iterations, not converged; set iterations higher", c, iterations)
    return torch.cat(found)


def _by_newton(
    codes: Tensor | KeptCodes, signs: Tensor, weights: Tensor, c: float, iterations: int, steep: Steep
) -> tuple[Tensor, bool]:
    """Weights of some classes, each on its own but for the products, and whether they converged. signs: (classes, N).

    Along a step the margins change evenly: how far to go is found without a look at the codes.
    """
    margins, beat = margins_of(codes, weights).T.contiguous(), Beat()
    for taken in range(iterations):
        slack = (1 - signs * margins).clamp_min_(0)
        values = 0.5 * weights.square().sum(1) + c * slack.square().sum(1)
        gradient = weights.clone()
        for part, block in _blocks(codes):
            _add_products(gradient, slack[:, part] * signs[:, part], block, -2 * c)
        if not bool((values + gradient.square().sum(1)).isfinite().all()):
            return torch.full_like(weights, torch.nan), True
        step, change = _newton_step(codes, gradient, slack > 0, c, steep)
        slope = (gradient * step).sum(1)
        share = torch.ones(len(weights), 1)
        for _ in range(HALVINGS):
            slack = (1 - signs * (margins + share * change)).clamp_min_(0)
            reached = 0.5 * (weights + share * step).square().sum(1) + c * slack.square().sum(1)
            far = reached > values + ENOUGH * share[:, 0] * slope
            if not bool(far.any()):
                break
            share[far] /= 2
        weights, margins = weights + share * step, margins + share * change
        promised = -float(slope.sum()) / 2 / float(values.sum())
        if promised < CONVERGED:
            return weights, True
        if beat.due():
            log.info("  c = %g: step %d, with %.2g %% of the objective to gain; it ends below %g %%", c, taken + 1,
                     100 * promised, 100 * CONVERGED)  # fmt: skip
    return weights, False


def _newton_step(
    codes: Tensor | KeptCodes, gradient: Tensor, active: Tensor, c: float, steep: Steep
) -> tuple[Tensor, Tensor]:
    """The step (classes, D + 1) and what it changes in the margins (classes, N). active: where a hinge is open.

    Preconditioned conjugate gradients on the second derivative, 1 + 2 C X'X over the open hinges, until the residual is
    NEAR of the gradient; a class that is there takes no part in the products that follow.
    """
    step, change = torch.zeros_like(gradient), torch.zeros(active.shape)
    pull = 2 * c * active.sum(1)
    residual = -gradient
    direction = steep.levelled(residual, pull)
    size = (residual * direction).sum(1)
    enough = NEAR**2 * size
    for _ in range(PRODUCTS):
        left = (size > enough).nonzero()[:, 0]
        if not len(left):
            break
        along = direction[left]
        curved, moved = along.clone(), torch.empty(len(left), len(codes))
        for part, block in _blocks(codes):
            moved[:, part] = torch.addmm(along[:, -1:], along[:, :-1], block.T)
            _add_products(curved, moved[:, part] * active[left, part], block, 2 * c)
        length = (size[left] / (along * curved).sum(1))[:, None]
        step[left] += length * along
        change[left] += length * moved
        residual[left] -= length * curved
        level = steep.levelled(residual[left], pull[left])
        before, size[left] = size[left], (residual[left] * level).sum(1)
        direction[left] = level + (size[left] / before)[:, None] * along
    return step, change


def _blocks(codes: Tensor | KeptCodes) -> Iterator[tuple[slice, Tensor]]:
    """The codes, unpacked, in parts that stay in the processor's cache, with their places."""
    rows = max(ROWS, BLOCK // codes.shape[1])
    for start in range(0, len(codes), rows):
        yield slice(start, start + rows), codes[start : start + rows]


def _add_products(into: Tensor, factors: Tensor, block: Tensor, scale: float) -> None:
    """To (classes, D + 1) the sum of the codes of a block, times factors (classes, rows) and scale."""
    into[:, :-1].addmm_(factors, block, alpha=scale)
    into[:, -1] += scale * factors.sum(1)


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
    countdown = Countdown(f"c = {c:g}, averaged SGD", passes * -(-len(codes) // BATCH), "steps")
    return _averaged(codes, labels, start, decay, passes, min(met)[1] * safe, seed, countdown)


def _averaged(
    codes: Tensor | KeptCodes, labels: Tensor, start: Tensor, decay: float, passes: int, rate: float, seed: int,
    countdown: Countdown | None = None,
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
            _add_products(weights, pull, batch, 2 * size / len(rows))
            step += 1
            if countdown is not None:
                countdown.at(step)
            if step > before:
                averaged += 1
                mean += (weights - mean) / averaged
    return mean


def picked(codes: Tensor | KeptCodes, rows: Tensor) -> Tensor:
    """Some of the codes, unpacked."""
    chosen = codes[rows]
    return chosen if isinstance(chosen, Tensor) else chosen[:]


def margins_of(codes: Tensor | KeptCodes, weights: Tensor) -> Tensor:
    """(N, D), (classes, D + 1) -> (N, classes)."""
    return torch.cat([torch.addmm(weights[:, -1], block, weights[:, :-1].T) for _, block in _blocks(codes)])


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
        """Weights (classes, D + 1) of scaled codes, as weights of the codes as they are."""
        plain = weights[:, :-1] / self.deviation
        return torch.cat([plain, (weights[:, -1] - (plain * self.mean).sum(1))[:, None]], 1)


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
        """Weights (classes, R + 1) for coordinates, as weights (classes, D + 1) for the codes."""
        return torch.cat([weights[:, :-1] @ self.turn.T @ self.codes, weights[:, -1:]], 1)


class Chosen(NamedTuple):
    """The best c, weights of its SVM (classes, D + 1) to start from, and its margins (held out, classes) in order."""

    c: float
    weights: Tensor
    margins: Tensor


def choose_c(codes: Tensor | KeptCodes, labels: Tensor, folds: Tensor, stage: Svm, classes: int, seed: int) -> Chosen:
    """The c whose SVMs are wrong about fewest images that they have not seen.

    folds: (N,), the fold in which each code is held out, -1 for none. The smallest of the best, since a smaller c is
    the simpler machine. They are tried from the smallest on, and those after WORSE in a row that were worse than the
    best are not: Newton's method takes longer the larger c is. Without held-out codes the smallest of all, weights of 0
    and no margins.
    """
    start = torch.zeros(classes, codes.shape[1] + 1)
    best, fewest = Chosen(stage.costs[0], start, torch.zeros(0, classes)), len(codes) + 1
    judged = [fold for fold in range(int(folds.max()) + 1) if 0 < (folds == fold).sum() < len(codes)]
    if not judged:
        return best
    held_out, starts, worse = folds >= 0, dict.fromkeys(judged, start), 0
    for c in stage.costs:
        margins = torch.zeros(int(held_out.sum()), classes)
        for fold in judged:
            known, unknown = folds != fold, folds == fold
            starts[fold] = solve(codes[known], labels[known], starts[fold], c, stage, seed)
            margins[unknown[held_out]] = margins_of(codes[unknown], starts[fold])
        wrong = int((margins.argmax(1) != labels[held_out]).sum())
        worse = worse + 1 if wrong > fewest else 0
        if wrong < fewest:
            best, fewest = Chosen(c, starts[judged[-1]], margins), wrong
        if len(stage.costs) > 1:
            by = ", held out" if len(judged) == 1 else f" in {len(judged)} folds"
            log.info("  c = %g: %d of %d codes wrong%s", c, wrong, int(held_out.sum()), by)
        if worse == WORSE:
            break
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
