"""Sparse coding: Yang, Yu, Gong, Huang 2009, CVPR 2009 (ScSPM); and two cheaper encoders with the same dictionary.

A descriptor x is written as D z with few numbers in z that are not 0. `lasso` finds the z that makes
|x - D z|^2 / 2 + penalty |z|_1 least, by FISTA (Beck, Teboulle 2009, SIAM J. Imaging Sciences 2(1)); `omp` takes up
one word after another, each the one nearest in direction to what is left (orthogonal matching pursuit: Pati et al.
1993); `threshold` keeps what of D'x is above a threshold, both signs apart (Coates, Ng 2011, ICML 2011, sec. 3.2). Each
region keeps the greatest size of each number.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from topfive.features.pyramid import Pooling
from topfive.features.words import Words

Encoder = Literal["lasso", "omp", "threshold"]
STEPS = 100  # of FISTA
NOTHING = 1e-6  # of a descriptor's length, or of a word's squared: what rounding leaves where nothing is left or new


class SparseCode(Words):
    """Max-pooled sparse codes, of length 1: K numbers a region, 2K with the threshold.

    The words are the dictionary's, of length 1. penalty: of the lasso, or the threshold. atoms: that OMP takes up.
    """

    pooling: Pooling = "max"

    def __init__(
        self, number: int, dimensions: int, encoder: Encoder, *, penalty: float = 0.15, atoms: int = 10
    ) -> None:
        super().__init__(number, dimensions)
        self.length = 2 * number if encoder == "threshold" else number
        self.encoder, self.penalty, self.atoms = encoder, penalty, atoms

    def statistics(self, descriptors: Tensor) -> Tensor:
        """The greatest size of each number: (N, M, D) -> (N, K or 2K)."""
        if self.encoder == "threshold":
            likeness = descriptors @ self.words.T
            both = torch.cat([likeness, -likeness], -1)
            return (both - self.penalty).clamp_min(0).amax(1)
        flat = descriptors.flatten(0, 1)
        codes = lasso(flat, self.words, self.penalty) if self.encoder == "lasso" else omp(flat, self.words, self.atoms)
        return codes.abs().view(*descriptors.shape[:2], -1).amax(1)

    def finish(self, statistics: Tensor, counts: Tensor) -> Tensor:
        """(N, R, K) -> (N, R, K) of length 1, or 0."""
        return F.normalize(statistics, dim=-1)


def lasso(descriptors: Tensor, words: Tensor, penalty: float, steps: int = STEPS) -> Tensor:
    """The codes that make |x - z @ words|^2 / 2 + penalty |z|_1 least: (M, D), (K, D) -> (M, K)."""
    products, likeness = words @ words.T, descriptors @ words.T
    smaller = products if len(words) <= words.shape[1] else words.T @ words  # of the same greatest eigenvalue
    step = 1 / torch.linalg.matrix_norm(smaller, 2).clamp_min(1e-12)
    codes = ahead = torch.zeros_like(likeness)
    momentum = 1.0
    for _ in range(steps):
        moved = ahead - step * (ahead @ products - likeness)
        shrunk = F.softshrink(moved, float(step) * penalty)
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        ahead = shrunk + (momentum - 1) / following * (shrunk - codes)
        codes, momentum = shrunk, following
    return codes


def omp(descriptors: Tensor, words: Tensor, atoms: int) -> Tensor:
    """Codes with at most `atoms` numbers that are not 0: (M, D), (K, D) of length 1 -> (M, K).

    A descriptor that is written in full, or whose best word says nothing that its others do not, takes up no more.
    The inverse of the chosen words' products grows by a row at a time, as that of a bordered matrix does, for all
    descriptors at once. Where each descriptor's own matrix meets one vector, `matmul` takes longer than products and
    their sums.
    """
    number, most = descriptors.shape[0], min(atoms, *words.shape)
    chosen = torch.zeros(number, most, dtype=torch.long, device=descriptors.device)
    held = descriptors.new_zeros(number, most, words.shape[1])  # the chosen words
    inverse = descriptors.new_zeros(number, most, most)
    weights = products = descriptors.new_zeros(number, most)  # products: of the chosen words and the descriptor
    rest, least = descriptors, NOTHING * descriptors.norm(dim=1)
    going = torch.ones_like(least, dtype=torch.bool)
    for taken in range(most):
        likeness = (rest @ words.T).abs_().scatter_(1, chosen[:, :taken], -1.0)  # a word is taken up once
        best = likeness.argmax(1)
        new = words[best]  # (M, D)
        overlap = (held * new[:, None]).sum(2)  # (M, most), 0 where no word is held yet
        turned = (inverse * overlap[:, None]).sum(2)
        left = 1 - (overlap * turned).sum(1)  # what of the new word is new, squared
        going = going & (left > NOTHING) & (rest.norm(dim=1) > least)
        border = -turned
        border[:, taken] = 1
        grown = border * (going / left.clamp_min(NOTHING))[:, None]  # 0 where nothing is taken up: so is the weight
        inverse.addcmul_(border[:, :, None], grown[:, None])
        chosen[:, taken], held[:, taken], products[:, taken] = best, new, (new * descriptors).sum(1)
        weights = (inverse * products[:, None]).sum(2)
        rest = descriptors - (weights[:, None] @ held)[:, 0]
    return descriptors.new_zeros(number, len(words)).scatter_(1, chosen, weights)
