"""Locality-constrained linear coding: Wang, Yang, Yu, Lv, Huang, Gong 2010, CVPR 2010, sec. 3 (the fast form, sec. 4).

A descriptor is written as a sum of its five nearest words with weights that add up to 1, found in closed form; each
region keeps the greatest weight that any of its descriptors gave to a word.

Departs from the paper, which scales the whole pyramid's code to length 1: here each region's is.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from topfive.features.door import check_counts
from topfive.features.pyramid import Pooling
from topfive.features.words import Words, nearest

RIDGE = 1e-4  # of the trace, added to the diagonal before solving


class Llc(Words):
    """Max-pooled weights of the words, K numbers, of length 1. neighbours: words that a descriptor is written with.

    The weight of a word that a descriptor is not written with is 0, and the greatest is sought over all of them.
    """

    pooling: Pooling = "max"

    def __init__(self, number: int, dimensions: int, neighbours: int = 5) -> None:
        super().__init__(number, dimensions)
        check_counts("Llc", neighbours=neighbours)
        self.length, self.neighbours = number, min(neighbours, number)

    def weights(self, descriptors: Tensor) -> tuple[Tensor, Tensor]:
        """(N, M, D) -> the nearest words and their weights, which sum to 1: two (N, M, neighbours)."""
        near = nearest(descriptors, self.words, self.neighbours)
        apart = self.words[near] - descriptors[:, :, None]  # (N, M, k, D)
        products = apart @ apart.transpose(2, 3)  # (N, M, k, k)
        trace = products.diagonal(dim1=2, dim2=3).sum(-1)[..., None, None]
        ridge = torch.where(trace > 0, RIDGE * trace, 1.0)  # all words equal to the descriptor: equal weights
        eye = torch.eye(self.neighbours, device=products.device, dtype=products.dtype)
        solved = torch.linalg.solve(products + ridge * eye, torch.ones_like(products[..., 0]))
        return near, solved / solved.sum(-1, keepdim=True)

    def statistics(self, descriptors: Tensor) -> Tensor:
        """The greatest weight of each word: (N, M, D) -> (N, K)."""
        near, weights = self.weights(descriptors)
        pooled = descriptors.new_zeros(descriptors.shape[0], len(self.words))
        return pooled.scatter_reduce_(1, near.flatten(1), weights.flatten(1), "amax")

    def finish(self, statistics: Tensor, counts: Tensor) -> Tensor:
        """(N, R, K) -> (N, R, K) of length 1."""
        return F.normalize(statistics, dim=-1)
