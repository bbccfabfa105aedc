"""HOG and LBP, coded by their neighbours: Lin et al. 2011, CVPR 2011, the winner of 2010 (with Zhou et al. 2010).

Dense HOG and LBP of patches of three sizes; for each, locality-constrained linear codes, max-pooled over a spatial
pyramid, and super-vectors; a linear SVM for each set and the mean of their margins. The winner's codebooks of 8 to 16
thousand words and its third of a million numbers a set are scaled down here.
"""

import math
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from topfive.features import Lbp, Llc, SuperVector
from topfive.features.grid import CELLS, PatchesOfSizes, cell_means
from topfive.features.hog import clipped_l2
from topfive.features.pyramid import PYRAMID, Code
from topfive.models.card import Card, photo_card, small_card
from topfive.models.coded import Channel, CodedSvm, coded

VECTOR_GRIDS = ((1, 1), (3, 1))
HOG, LBP = CELLS * CELLS * 9, 59


class DenseHog(PatchesOfSizes):
    """HOG of patches: 4x4 cells of nine unsigned orientations, clipped L2, (N, 1, H, W) -> (N, M, 144)."""

    def forward(self, images: Tensor) -> Tensor:
        """images: (N, 1, H, W) in [0, 1]."""
        maps = unsigned_maps(images)  # (N, 9, H, W)
        cells = [cell_means(maps, size, self.step) for size in self.sizes]  # (N, M, 9, 4, 4)
        return torch.cat([clipped_l2(one.transpose(2, 4).flatten(2)) for one in cells], 1)


class DenseLbp(PatchesOfSizes):
    """Histograms of uniform LBP of patches, of length 1, (N, 1, H, W) -> (N, M, 59)."""

    def __init__(self, sizes: tuple[int, ...], step: int) -> None:
        super().__init__(sizes, step)
        self.lbp = Lbp(1)
        self.cell = math.gcd(step, *sizes)  # side of the squares that patches of all sizes are made of

    def forward(self, images: Tensor) -> Tensor:
        """images: (N, 1, H, W) in [0, 1]."""
        if min(images.shape[2:]) < min(self.sizes):
            return images.new_zeros(len(images), 0, LBP)
        bins = self.lbp.bins[self.lbp.codes(images).long()]  # (N, H, W, 59)
        cells = F.avg_pool2d(bins.permute(0, 3, 1, 2), self.cell)
        return F.normalize(torch.cat([self.shares(cells, size) for size in self.sizes], 1), dim=-1)  # (N, M, 59)

    def shares(self, cells: Tensor, size: int) -> Tensor:
        """Those of patches of one size: (N, 59, H / cell, W / cell) -> (N, M, 59)."""
        side = size // self.cell
        if min(cells.shape[2:]) < side:
            return cells.new_zeros(len(cells), 0, LBP)
        return F.avg_pool2d(cells, side, self.step // self.cell).flatten(2).transpose(1, 2)


def unsigned_maps(images: Tensor) -> Tensor:
    """Gradients by nine orientations of 180 degrees, each shared by the two beside it: (N, 1, H, W) -> (N, 9, H, W)."""
    across = F.pad(images[..., 2:] - images[..., :-2], (1, 1))[:, 0]
    down = F.pad(images[:, :, 2:] - images[:, :, :-2], (0, 0, 1, 1))[:, 0]
    length = (across.square() + down.square()).sqrt()
    turn = torch.atan2(down, across) / torch.pi * 9 % 9  # in [0, 9)
    middles = torch.arange(9, device=images.device).view(9, 1, 1)
    apart = (turn[:, None] - middles).abs()
    return length[:, None] * (1 - torch.minimum(apart, 9 - apart)).clamp_min(0)


Sets = Literal["all", "llc", "super_vector"]


def nec(
    name: str, classes: int, image: int, *, sizes: tuple[int, ...], step: int, words: int = 1024,
    vector_words: int = 64, sets: Sets = "all",
) -> CodedSvm:  # fmt: skip
    """sizes, step: of the patches, px. words, vector_words: of the codebooks. sets: which codes to have."""
    channels = dict[str, Channel]()
    for kind, width in (("hog", HOG), ("lbp", LBP)):
        for code_name, code, grids in codes(width, words, vector_words):
            if sets in ("all", code_name):
                describe = DenseHog(sizes, step) if kind == "hog" else DenseLbp(sizes, step)
                channels[f"{kind}_{code_name}"] = Channel(describe, code, grids, image)
    return coded(name, classes, image, channels)


def small(
    name: str, classes: int, image: int, *, words: int = 512, vector_words: int = 32, sets: Sets = "all"
) -> CodedSvm:  # fmt: skip
    """For images of 32 to 96 px: smaller patches and fewer words."""
    return nec(name, classes, image, sizes=(8, 12), step=2, words=words, vector_words=vector_words, sets=sets)


def codes(width: int, words: int, vector_words: int) -> list[tuple[str, Code, tuple[tuple[int, int], ...]]]:
    """The two codes of a descriptor of that width, and their pyramids."""
    return [("llc", Llc(words, width), PYRAMID), ("super_vector", SuperVector(vector_words, width), VECTOR_GRIDS)]


SOURCE = "Lin et al. 2011, CVPR 2011; Wang et al. 2010; Zhou et al. 2010"

CARDS: dict[str, Card] = {
    "nec_2010": photo_card(
        partial(nec, sizes=(16, 24, 32), step=8), family="hand_made", year=2010, source=SOURCE, image=256,
        sides=(256, 256), small="nec_2010_small", scores="margins", fitted_by="svm", counted_here=True, depth=1,
        params=95_489_000, macs=95_488_000,
        published="28.2 % top-5 error (47.1 % top-1), ILSVRC-2010 test, six sets of codes",
        note="dense HOG and LBP, LLC and super-vectors, a linear SVM for each set and their mean",
    ),
    "nec_2010_small": small_card(
        small, family="hand_made", year=2010, source=SOURCE,
        scores="margins", fitted_by="svm", depth=1, params=477_450, macs=477_440,
        note="nec_2010 for images of 32 to 96 px: patches of 8 and 12 px by 2 px, half the words",
    ),
}  # fmt: skip
