"""Improved Fisher vectors: Perronnin, Sánchez, Mensink 2010, ECCV 2010; Sánchez et al. 2013, IJCV 105(3), Table 1.

How a Gaussian mixture, fitted to descriptors of all images, would have to change to fit those of one region: the
gradients of the log-likelihood by the means and the deviations, each with unit Fisher information, then the signed
square root and length 1.

Coding takes two float32 matrix products, of descriptors and their squares. Descriptors are first moved to the mean of
the mixture, so that squares of numbers far from 0 are not subtracted from one another.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from topfive.features.door import check_counts
from topfive.features.pyramid import Code
from topfive.features.words import signed_root


class Coefficients(NamedTuple):
    """What follows from a mixture alone. x is a descriptor less the middle of the mixture.

    A component's part in the logarithm of the likelihood is likelihood @ [x, x^2] + constant. The gradient by its mean
    is slope * x + offset, that by its deviation square * x^2 + slope * x + offset, each times the posterior.
    """

    middle: Tensor  # (D,)
    likelihood: Tensor  # (K, 2D)
    constant: Tensor  # (K,)
    by_mean: tuple[Tensor, Tensor]  # slope, offset: (K, D)
    by_deviation: tuple[Tensor, Tensor, Tensor]  # square, slope, offset: (K, D)


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
        check_counts("FisherVector", components=components, dimensions=dimensions)
        self.dimensions = dimensions
        self.length, self.flip, self.raw = 2 * components * dimensions, flip, raw
        self.register_buffer("weights", torch.full((components,), 1 / components))
        self.register_buffer("means", torch.zeros(components, dimensions))
        self.register_buffer("variances", torch.ones(components, dimensions))

    def by_set(self, sets: Sequence[Tensor]) -> Tensor:
        """The gradients, summed over each set, with what follows from the mixture alone made once."""
        mixture = self.coefficients()
        return torch.stack([self.gradients(one, mixture) for one in sets], 1)

    def statistics(self, descriptors: Tensor) -> Tensor:
        """The gradients, summed over the descriptors: (N, M, D) -> (N, 2 K D)."""
        return self.gradients(descriptors, self.coefficients())

    def coefficients(self) -> Coefficients:
        """What follows from the mixture alone."""
        middle, variances = self.weights @ self.means, self.variances
        means, precision = self.means - middle, 1 / variances
        constant = self.weights.log() - 0.5 * (
            variances.log().sum(1) + (means.square() * precision).sum(1) + means.shape[1] * math.log(2 * math.pi)
        )
        by_mean = (variances * self.weights[:, None]).rsqrt()  # over the roots of the Fisher information
        by_deviation = precision * (2 * self.weights[:, None]).rsqrt()
        if self.flip:
            by_deviation = -by_deviation
        return Coefficients(
            middle=middle,
            likelihood=torch.cat([means * precision, -0.5 * precision], 1),
            constant=constant,
            by_mean=(by_mean, -means * by_mean),
            by_deviation=(by_deviation, -2 * means * by_deviation, (means.square() - variances) * by_deviation),
        )

    def gradients(self, descriptors: Tensor, mixture: Coefficients) -> Tensor:
        """The gradients, summed over the descriptors: (N, M, D) -> (N, 2 K D)."""
        moved = descriptors - mixture.middle
        both = torch.cat([moved, moved.square()], -1)  # (N, M, 2D)
        chances = torch.softmax(F.linear(both, mixture.likelihood, mixture.constant), -1)  # (N, M, K), the posteriors
        number, sums = chances.sum(1)[..., None], chances.transpose(1, 2) @ both  # (N, K, 1), (N, K, 2D)
        first, second = sums.chunk(2, -1)
        slope, offset = mixture.by_mean
        by_mean = torch.addcmul(first * slope, number, offset)  # (N, K, D)
        square, slope, offset = mixture.by_deviation
        by_deviation = torch.addcmul(torch.addcmul(second * square, first, slope), number, offset)
        return torch.stack([by_mean, by_deviation], 1).flatten(1)

    def finish(self, statistics: Tensor, counts: Tensor) -> Tensor:
        """(N, R, 2 K D) -> (N, R, 2 K D) of length 1, or 0 where there is no descriptor."""
        if self.raw:
            return statistics / counts.clamp_min(1)[:, None]
        return F.normalize(signed_root(statistics), dim=-1)

    def extra_repr(self) -> str:
        """The sizes, for print(network)."""
        return "components={}, dimensions={}".format(*self.means.shape)
