"""The squared hinge loss of one-vs-rest linear SVMs, all classes in one matrix product.

Weights are (classes, D + 1), the last column the biases: a row a class, as torch.nn.Linear has them. With ten classes a
look at the codes takes a fifth of the time that it takes with a column a class (10,000 codes of 8,192 numbers).

Minimised is the sum over classes of 1/2 |w|^2 + C sum_i max(0, 1 - y_i (w.x_i + b))^2, liblinear's L2-regularised
squared hinge loss (Fan et al. 2008, JMLR 9, sec. 2); the bias is regularised with the weights, as there.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from topfive.training.codes import KeptCodes

BLOCK = 2_000_000  # numbers of a block of codes, 8 MB
ROWS = 128  # codes of a block at least; of fewer, the weights would be read more often than the codes


def objective(weights: Tensor, codes: Tensor | KeptCodes, labels: Tensor, c: float) -> tuple[Tensor, Tensor]:
    """The sum over classes of the squared-hinge objectives, and its gradient.

    weights: (classes, D + 1). codes: (N, D). labels: (N,). The codes are gone through in blocks that stay in the
    processor's cache, so that each is read from memory (and unpacked) once for both results.
    """
    value, gradient = 0.5 * weights.square().sum(), weights.clone()
    for part, block in blocks_of(codes):
        slack, pull = hinge(weights, block, labels[part])
        value = value + c * slack
        add_products(gradient, pull, block, -2 * c)
    return value, gradient


def hinge(weights: Tensor, codes: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The sum of the squared hinges, and minus half its derivative by the margins (classes, N)."""
    margins = torch.addmm(weights[:, -1:], weights[:, :-1], codes.T)  # (classes, N)
    signs = torch.full_like(margins, -1.0).scatter_(0, labels[None], 1.0)
    slack = (1 - signs * margins).clamp_min_(0)
    value = slack.square().sum()
    return value, slack.mul_(signs)


def blocks_of(codes: Tensor | KeptCodes) -> Iterator[tuple[slice, Tensor]]:
    """The codes, unpacked, in parts that stay in the processor's cache, with their places."""
    rows = max(ROWS, BLOCK // codes.shape[1])
    for start in range(0, len(codes), rows):
        yield slice(start, start + rows), codes[start : start + rows]


def add_products(into: Tensor, factors: Tensor, block: Tensor, scale: float) -> None:
    """To (classes, D + 1) the sum of the codes of a block, times factors (classes, rows) and scale."""
    into[:, :-1].addmm_(factors, block, alpha=scale)
    into[:, -1] += scale * factors.sum(1)


def picked(codes: Tensor | KeptCodes, rows: Tensor) -> Tensor:
    """Some of the codes, unpacked."""
    chosen = codes[rows]
    return chosen if isinstance(chosen, Tensor) else chosen[:]


def margins_of(codes: Tensor | KeptCodes, weights: Tensor) -> Tensor:
    """(N, D), (classes, D + 1) -> (N, classes)."""
    return torch.cat([torch.addmm(weights[:, -1], block, weights[:, :-1].T) for _, block in blocks_of(codes)])
