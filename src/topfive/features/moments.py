"""Mean and covariance of many vectors in float64, a block at a time: memory does not grow with their number."""

import torch
from torch import Tensor

BLOCK = 1 << 20  # numbers at a time, 8 MiB


def moments_of(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """The mean (D,) and the covariance (D, D), over one less than their number, of vectors (S, D), S at least 2."""
    rows = max(1, BLOCK // vectors.shape[1])
    centre = torch.stack([block.double().sum(0) for block in torch.split(vectors, rows)]).sum(0) / len(vectors)
    covariance = torch.zeros(len(centre), len(centre), dtype=torch.float64)
    for block in torch.split(vectors, rows):
        away = block.double() - centre
        covariance.addmm_(away.T, away)
    return centre, covariance / (len(vectors) - 1)
