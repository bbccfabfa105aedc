"""SIFT descriptors on a dense grid: Lowe 2004, IJCV 60(2), sec. 6, without its key-points and turning.

A patch is divided into 4x4 cells, and each cell holds the gradients in it by eight orientations. A gradient is shared
between the two orientations beside it by writing it as a sum of two vectors along these: Lowe shares it by angle, which
gives 0.50 of a gradient halfway where this gives 0.54, and needs an arc tangent where this needs none. As his, cells
overlap as triangles, a Gaussian over the patch weighs them (by its value at the middle of a cell, as VLFeat does), and
the 128 numbers are scaled to length 1, clipped at 0.2 and scaled again.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from topfive.features.door import check_images
from topfive.features.grid import CELLS, Patches, check_patch, rows_of

ORIENTATIONS = 8
CLIP = 0.2
FLAT = 1e-8  # a patch whose gradients are shorter than this together is flat: zeros, not noise made long
LENGTH = CELLS * CELLS * ORIENTATIONS


class DenseSift(Patches):
    """Grey images to descriptors of square patches on a grid.

    patch: side in px, a multiple of 4. step: px between neighbouring patches. root: take the square root after scaling
    to sum 1 (RootSIFT: Arandjelovic, Zisserman 2012, CVPR 2012), so that dot products compare histograms.
    """

    window: Tensor

    def __init__(self, patch: int, step: int, root: bool = False) -> None:
        check_patch("DenseSift", patch, step)
        super().__init__(patch, step)
        self.root = root
        middles = (torch.arange(CELLS) - (CELLS - 1) / 2) / CELLS  # of cells, from the middle of the patch, in patches
        bell = torch.exp(-2 * middles.square())  # deviation of half a patch (sec. 6.1)
        self.register_buffer("window", (bell[:, None] * bell).view(CELLS, CELLS, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """images: (N, 1, H, W) in [0, 1]. Returns (N, M, 128): M runs over rows and columns of patches.

        A patch's numbers run over row and column of the cell and orientation; orientation 0 is that of a gradient from
        left to right, and they turn downwards. A flat patch gives zeros.
        """
        return self.of_maps(self.maps(images))

    def maps(self, images: Tensor) -> Tensor:
        """What patches of all sizes are described from: `orientation_maps`, (N, 8, H, W)."""
        check_images("DenseSift", images, 1)
        return orientation_maps(images)

    def of_maps(self, maps: Tensor) -> Tensor:
        """The patches' numbers, from `maps`."""
        height, width = maps.shape[-2:]
        if not rows_of(height, self.patch, self.step) or not rows_of(width, self.patch, self.step):
            return maps.new_zeros(maps.shape[0], 0, LENGTH)
        down, across = self.pooling(height), self.pooling(width)
        cells = (down.to(maps) @ maps) @ across.to(maps).T  # -> (N, 8, cell rows, cell columns)
        cells = cells.permute(0, 2, 3, 1).contiguous()  # the numbers of a cell side by side, as patches want them
        stride = self.patch // CELLS // math.gcd(self.patch // CELLS, self.step)
        hop = self.step // math.gcd(self.patch // CELLS, self.step)
        reach = (CELLS - 1) * stride + 1
        patches = cells.unfold(1, reach, hop).unfold(2, reach, hop)[..., ::stride, ::stride]  # (N, R, S, 8, 4, 4)
        descriptors = patches.permute(0, 1, 2, 4, 5, 3).contiguous().mul_(self.window)  # -> (N, R, S, 4, 4, 8)
        return self.normalized(descriptors.flatten(1, 2).flatten(2))

    def pooling(self, side: int) -> Tensor:
        """The weight of each pixel in each row of cells, triangles of two cells' width: (cell rows, side).

        Cells of neighbouring patches that stand in the same place are one row.
        """
        width = self.patch // CELLS
        apart = math.gcd(width, self.step)
        span = (rows_of(side, self.patch, self.step) - 1) * self.step + self.patch - width
        middles = torch.arange(span // apart + 1) * apart + (width - 1) / 2
        return (1 - (torch.arange(side) - middles[:, None]).abs() / width).clamp_min(0)

    def normalized(self, descriptors: Tensor) -> Tensor:
        """Scaled to length 1, clipped, scaled again; with `root` to sum 1, and the root."""
        length = descriptors.norm(dim=-1, keepdim=True)
        descriptors = (descriptors * ((length > FLAT) / length.clamp_min(FLAT))).clamp_max_(CLIP)
        if self.root:
            return F.normalize(descriptors, p=1, dim=-1).sqrt()
        length = descriptors.norm(dim=-1, keepdim=True)
        clipped: Tensor = descriptors / length.clamp_min(FLAT)
        return clipped

    def extra_repr(self) -> str:
        """The constants, for print(network)."""
        return f"{super().extra_repr()}, root={self.root}"


def orientation_maps(images: Tensor) -> Tensor:
    """How much of each pixel's gradient lies along each of eight directions: (N, 1, H, W) -> (N, 8, H, W).

    Of a gradient g between the directions u and v, 45 degrees apart, g = a u + b v: a and b are its shares. For u that
    is the dot product of g and u less the length of what is across u, where that is above 0.
    """
    across = F.pad(images[..., 2:] - images[..., :-2], (1, 1))[:, 0] / 2
    down = F.pad(images[:, :, 2:] - images[:, :, :-2], (0, 0, 1, 1))[:, 0] / 2
    half = math.sqrt(0.5)
    falling, rising = (across + down) * half, (down - across) * half  # along the two diagonals
    along = torch.stack([across, falling, down, rising], 1)  # (N, 4, H, W)
    aside = torch.stack([down, rising, across, falling], 1).abs_()
    return torch.cat([along - aside, -along - aside], 1).clamp_min_(0)
