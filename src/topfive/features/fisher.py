"""Improved Fisher vectors: Perronnin, Sánchez, Mensink 2010, ECCV 2010; Sánchez et al. 2013, IJCV 105(3), Table 1.

How a Gaussian mixture, fitted to descriptors of all images, would have to change to fit those of one region: the
gradients of the log-likelihood by the means and the deviations, each with unit Fisher information, then the signed
square root and length 1.

Coding takes two float32 matrix products, of descriptors and their squares. Descriptors are first moved to the mean of
the mixture, so that squares of numbers far from 0 are not subtracted from one another.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from topfive.features.pyramid import Code
from topfive.features.words import signed_root


class FisherVector(Code):
    """2 K D numbers a region: gradients by the means, then by the deviations, component by component.

    weights (K,), means (K, D), variances (K, D): of the mixture, fitted before it is used. flip: turn the sign of the
    gradient by the deviations, which is that of scikit-image's `fisher_vector`. raw: no root, no scaling.
    """

    weights: Tensor
    means: Tensor
    variances: Tensor

    def __init__(self, components: int, dimensions: int, *, flip: bool = False, raw: bool = False) -> None:
        super().__init__()
        self.length, self.flip, self.raw = 2 * components * dimensions, flip, raw
        self.register_buffer("weights", torch.full((components,), 1 / components))
        self.register_buffer("means", torch.zeros(components, dimensions))
        self.register_buffer("variances", torch.ones(components, dimensions))

    def posteriors(self, descriptors: Tensor) -> Tensor:
        """How probable each component is for each descriptor, less the middle: (N, M, D) -> (N, M, K)."""
        middle, precision = self.middle(), 1 / self.variances
        means = self.means - middle
        constant = self.weights.log() - 0.5 * (
            self.variances.log().sum(1) + (means.square() * precision).sum(1) + means.shape[1] * math.log(2 * math.pi)
        )
        coefficients = torch.cat([means * precision, -0.5 * precision], 1).T  # (2D, K)
        both = torch.cat([descriptors, descriptors.square()], -1)  # (N, M, 2D)
        return torch.softmax(both @ coefficients + constant, -1)

    def middle(self) -> Tensor:
        """The mean of the mixture, (D,)."""
        return self.weights @ self.means

    def statistics(self, descriptors: Tensor) -> Tensor:
        """Sums of posteriors, of them times descriptors and times squares: (N, M, D) -> (N, K * (1 + 2D))."""
        moved = descriptors - self.middle()
        chances = self.posteriors(moved)  # (N, M, K)
        both = torch.cat([torch.ones_like(moved[..., :1]), moved, moved.square()], -1)  # (N, M, 1 + 2D)
        return (chances.transpose(1, 2) @ both).flatten(1)

    def finish(self, statistics: Tensor, counts: Tensor) -> Tensor:
        """(N, R, K * (1 + 2D)) -> (N, R, 2 K D) of length 1, or 0 where there is no descriptor."""
        sums = statistics.view(*statistics.shape[:2], len(self.weights), -1)  # (N, R, K, 1 + 2D)
        zeroth, first, second = torch.split(sums, [1, *[self.means.shape[1]] * 2], -1)
        means, variances = self.means - self.middle(), self.variances
        by_mean = (first - zeroth * means) / variances.sqrt()
        by_deviation = (second - 2 * means * first + zeroth * (means.square() - variances)) / variances
        if self.flip:
            by_deviation = -by_deviation
        scale = counts.clamp_min(1)[:, None, None] * self.weights.sqrt()[:, None]  # (R, K, 1)
        gradients = torch.cat(
            [(by_mean / scale).flatten(2), (by_deviation / (math.sqrt(2) * scale)).flatten(2)], -1
        )  # (N, R, 2KD)
        return gradients if self.raw else F.normalize(signed_root(gradients), dim=-1)

    def extra_repr(self) -> str:
        """The sizes, for print(network)."""
        return "components={}, dimensions={}".format(*self.means.shape)
