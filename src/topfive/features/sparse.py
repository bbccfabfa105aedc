"""Sparse coding: Yang, Yu, Gong, Huang 2009, CVPR 2009 (ScSPM); and two cheaper encoders with the same dictionary.

A descriptor x is written as D z with few numbers in z that are not 0. `lasso` finds the z that makes
|x - D z|^2 / 2 + penalty |z|_1 least, by Douglas-Rachford splitting with over-relaxation (Eckstein, Bertsekas 1992,
Mathematical Programming 55); `omp` takes up one word after another, each the one nearest in direction to what is left
(orthogonal matching pursuit: Pati et al. 1993); `threshold` keeps what of D'x is above a threshold, both signs apart
(Coates, Ng 2011, ICML 2011, sec. 3.2). Each region keeps the greatest size of each number.

Steps along the gradient, as FISTA's, are no way to the lasso here: words of SIFT are alike, so that a hundred of them
end up to 0.5 away from codes whose numbers are 0.1. A splitting solves the squares exactly in each step.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch._higher_order_ops import while_loop
from torch.nn import functional as F

from topfive.features.door import check_counts, check_name, check_weights
from topfive.features.pyramid import Pooling
from topfive.features.words import Words

Encoder = Literal["lasso", "omp", "threshold"]
STEPS = 500  # of the lasso at most
LOOK = 25  # steps of the lasso, after which codes that stand still are taken out
STILL = 80  # times the rounding of 1: a step by less of a code's length ends it. Of SIFT it is then within 0.001
SHRUNK = 0.075  # of a descriptor of length 1: by how much a step shrinks numbers; about as large as they are
RELAXED = 1.9  # of a step, which converges below 2
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
        check_name("SparseCode", encoder, "encoder", Encoder)
        check_counts("SparseCode", atoms=atoms)
        check_weights("SparseCode", penalty=penalty)
        self.length = 2 * number if encoder == "threshold" else number
        self.encoder, self.penalty, self.atoms = encoder, penalty, atoms

    def by_set(self, sets: Sequence[Tensor]) -> Tensor:
        """The greatest size of each number in each set: (N, sets, K or 2K), descriptors of all sets coded at once."""
        sizes = self.sizes(torch.cat(list(sets), 1))
        return torch.stack([one.amax(1) for one in torch.split(sizes, [one.shape[1] for one in sets], 1)], 1)

    def statistics(self, descriptors: Tensor) -> Tensor:
        """The greatest size of each number: (N, M, D) -> (N, K or 2K)."""
        return self.sizes(descriptors).amax(1)

    def sizes(self, descriptors: Tensor) -> Tensor:
        """The size of each number of each descriptor's code: (N, M, D) -> (N, M, K or 2K)."""
        if self.encoder == "threshold":
            likeness = descriptors @ self.words.T
            return (torch.cat([likeness, -likeness], -1) - self.penalty).clamp_min(0)
        flat = descriptors.flatten(0, 1)
        codes = lasso(flat, self.words, self.penalty) if self.encoder == "lasso" else omp(flat, self.words, self.atoms)
        return codes.abs().view(*descriptors.shape[:2], -1)

    def finish(self, statistics: Tensor, counts: Tensor) -> Tensor:
        """(N, R, K) -> (N, R, K) of length 1, or 0."""
        return F.normalize(statistics, dim=-1)


def lasso(descriptors: Tensor, words: Tensor, penalty: float, steps: int = STEPS) -> Tensor:
    """The codes that make |x - z @ words|^2 / 2 + penalty |z|_1 least: (M, D), (K, D) -> (M, K).

    The penalty is that of descriptors of length 1. A descriptor ends where its code stands still, whatever the others
    do; in a graph that is compiled or exported, all end together.
    """
    weight = max(penalty, NOTHING) / SHRUNK  # of how far a step may go
    exact = words if words.device.type == "mps" else words.double()  # Apple's device has no float64
    products = exact.T @ exact  # (D, D)
    solver = torch.linalg.solve(products + weight * torch.eye(len(products)).to(products), exact.T).to(descriptors)

    def step(left: Tensor, moving: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # near makes |left - near @ words|^2 / 2 + weight |near - moving|^2 / 2 least
        near = torch.addmm(moving, torch.addmm(left, moving, words, alpha=-1), solver)
        shrunk = F.softshrink(2 * near - moving, penalty / weight)
        moved = shrunk - near
        going = moved.norm(dim=1) > STILL * torch.finfo(moved.dtype).eps * shrunk.norm(dim=1)
        return moving + RELAXED * moved, shrunk, going

    number = descriptors.shape[0]  # `len` would write it into a graph
    codes = descriptors.new_zeros(number, len(words))
    if torch.compiler.is_compiling():

        def once_more(taken: Tensor, moving: Tensor, shrunk: Tensor, going: Tensor) -> tuple[Tensor, ...]:
            moving, shrunk, each = step(descriptors, moving)
            return taken + 1, moving, shrunk, each.any()

        none = torch.zeros((), dtype=torch.long, device=codes.device)
        begin = none, codes, torch.zeros_like(codes), none == 0
        loop: Callable[..., tuple[Tensor, ...]] = while_loop  # torch gives it no types
        return loop(lambda taken, *rest: (taken < steps) & rest[-1], once_more, begin)[2]
    if codes.is_meta:  # numbers that are not there do not stand still; they are here to be counted
        return codes
    left, moving, rows = descriptors, codes, torch.arange(number, device=descriptors.device)
    for taken in range(1, steps + 1):
        moving, shrunk, going = step(left, moving)
        if taken % LOOK == 0 or taken == steps:
            codes[rows] = shrunk
            left, moving, rows = left[going], moving[going], rows[going]
        if not len(rows):
            break
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
