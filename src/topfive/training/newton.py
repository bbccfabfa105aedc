"""Linear SVMs by Newton's method, with preconditioned conjugate gradients.

Keerthi, DeCoste 2005, JMLR 6; Lin, Weng, Keerthi 2008, JMLR 9.
"""

import logging
from typing import NamedTuple, Self

import torch
from torch import Tensor

from topfive.progress import Beat
from topfive.training.codes import KeptCodes
from topfive.training.hinge import add_products, blocks_of, margins_of, picked

log = logging.getLogger("topfive")

ROUNDED = 1e-5  # of the greatest eigenvalue: what is too small to be told from rounding in float32
# Of a class's value: what a last step promises, and brings. At c as recipes try them less is left above the minimum; at
# one so large that a plane nearly divides the codes, steps that are solved roughly promise too little.
CONVERGED = 5e-4
NEAR = 0.2  # of the gradient: what conjugate gradients leave of it
PRODUCTS = 50  # of conjugate gradients, at most
LOOKED_AT, SHOWN = 8, 2000  # every eighth code says in which directions codes differ most, so many at most,
KEPT = 4  # of whose directions a quarter is kept
LOOKED = 1 << 26  # numbers of them at most, 256 MiB
HALVINGS, ENOUGH = 20, 0.01  # of a step, at most; share of what its slope promises that it must bring (Armijo's rule)
AT_ONCE = 1 << 25  # classes times codes that are solved together, 128 MiB of numbers


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
        most = max(1, min(SHOWN, LOOKED // codes.shape[1]))
        rows = torch.linspace(0, len(codes) - 1, min(-(-len(codes) // LOOKED_AT), most)).long()
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

    A class ends where a step promises less than CONVERGED of its value; after `iterations` steps at most, which is then
    said. Besides weights and codes it holds some ten times (classes, N) numbers, but for AT_ONCE at most, and LOOKED
    numbers of codes twice.
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

    Along a step the margins change evenly: how far to go is found without a look at the codes. A class that has
    converged takes no part in the steps that follow, so that it is solved the same beside any others.
    """
    found, left = weights.clone(), torch.arange(len(weights))
    margins, beat = margins_of(codes, weights).T.contiguous(), Beat()
    for taken in range(iterations):
        slack = (1 - signs * margins).clamp_min_(0)
        values = 0.5 * weights.square().sum(1) + c * slack.square().sum(1)
        gradient = weights.clone()
        for part, block in blocks_of(codes):
            add_products(gradient, slack[:, part] * signs[:, part], block, -2 * c)
        if not bool((values + gradient.square().sum(1)).isfinite().all()):
            return torch.full_like(found, torch.nan), True
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
        found[left] = weights = weights + share * step
        promised = -slope / 2 / values
        going = promised >= CONVERGED
        if not bool(going.any()):
            return found, True
        left, weights, signs, margins = left[going], weights[going], signs[going], (margins + share * change)[going]
        if beat.due():
            log.info("  c = %g: step %d, with up to %.2g %% of a class's objective to gain; it ends below %g %%", c,
                     taken + 1, 100 * float(promised.max()), 100 * CONVERGED)  # fmt: skip
    return found, False


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
        for part, block in blocks_of(codes):
            moved[:, part] = torch.addmm(along[:, -1:], along[:, :-1], block.T)
            add_products(curved, moved[:, part] * active[left, part], block, 2 * c)
        length = (size[left] / (along * curved).sum(1))[:, None]
        step[left] += length * along
        change[left] += length * moved
        residual[left] -= length * curved
        level = steep.levelled(residual[left], pull[left])
        before, size[left] = size[left], (residual[left] * level).sum(1)
        direction[left] = level + (size[left] / before)[:, None] * along
    return step, change
