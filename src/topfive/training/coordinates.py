"""What codes are solved in: each number scaled, or a few long codes in the coordinates of the space that they span.

Either way the weights are turned back into weights of the codes as they are.
"""

from typing import NamedTuple, Self

import torch
from torch import Tensor

LEAST = 0.01  # deviation of a number that codes are divided by, as a share of the root mean square of all numbers
NOTHING = 1e-7  # of the greatest eigenvalue: what rounding leaves in a direction that no code has
BLOCK = 2_000_000  # products of codes at a time


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
