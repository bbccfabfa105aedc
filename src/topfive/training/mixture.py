"""Mixtures of Gaussians with diagonal covariances, by expectation and maximisation: Dempster, Laird, Rubin 1977.

In float64, a block of descriptors at a time: memory beside the descriptors does not grow with their number.
scikit-learn's `GaussianMixture` takes the same steps and holds several tables of descriptors times Gaussians.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

BLOCK = 1 << 20  # descriptors times Gaussians at a time, 8 MiB of numbers
ENOUGH = 1e-3  # gain in the mean logarithm of the likelihood below which it ends
DEAD = 1e-9  # descriptors that a Gaussian holds at least, to move


class Mixture(NamedTuple):
    """weights: (K,), of sum 1. means, variances: (K, D). All float64."""

    weights: Tensor
    means: Tensor
    variances: Tensor

    def scores(self, block: Tensor) -> Tensor:
        """log(weight x density) of each Gaussian at each descriptor: (B, D) -> (B, K)."""
        sharp = 1 / self.variances
        constant = self.weights.log() - 0.5 * (
            (self.means.square() * sharp).sum(1) + self.variances.log().sum(1) + block.shape[1] * math.log(2 * math.pi)
        )
        return torch.addmm(constant, block, (self.means * sharp).T).addmm_(block.square(), sharp.T, alpha=-0.5)


def fit_gaussians(sample: Tensor, start: Mixture, floor: float, iterations: int) -> Mixture:
    """The mixture that makes a sample (S, D) likeliest near `start`, no variance below `floor`; float64.

    Ends before `iterations` where a round brings less than ENOUGH. A Gaussian that nothing is near stays as it is.
    """
    found, before = start, -math.inf
    rows = max(1, BLOCK // len(start.weights))
    for _ in range(iterations):
        counts, sums, squares = (torch.zeros_like(one) for one in start)
        likelihood = 0.0
        for block in torch.split(sample, rows):
            scores = found.scores(block)
            likelihood += float(scores.logsumexp(1).sum())
            shares = scores.softmax(1)
            counts += shares.sum(0)
            sums.addmm_(shares.T, block)
            squares.addmm_(shares.T, block.square())
        held = counts[:, None].clamp_min(DEAD)
        means = torch.where(counts[:, None] > DEAD, sums / held, found.means)
        variances = torch.where(counts[:, None] > DEAD, squares / held - means.square(), found.variances)
        found = Mixture(counts.clamp_min(DEAD) / counts.clamp_min(DEAD).sum(), means, variances.clamp_min(floor))
        likelihood /= len(sample)
        if likelihood - before < ENOUGH:
            break
        before = likelihood
    return found
