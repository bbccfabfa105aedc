"""Square patches on a grid: where they stand, and the means of their 4x4 cells (Lowe 2004, IJCV 60(2), sec. 6.1)."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from topfive.errors import Misused
from topfive.features.door import check_counts

CELLS = 4  # along each side of a patch


def rows_of(side: int, patch: int, step: int) -> int:
    """Patches along a side of that many px.

    >>> rows_of(32, 8, 2), rows_of(7, 8, 2)
    (13, 0)
    """
    return max(0, (side - patch) // step + 1)


def middles_of(height: int, width: int, patch: int, step: int) -> Tensor:
    """The middles of the patches as shares of the image's sides: (M, 2), down and right, in (0, 1)."""
    down, right = (
        (torch.arange(rows_of(side, patch, step)) * step + patch / 2) / side for side in (height, width)
    )  # fmt: skip
    return torch.cartesian_prod(down, right)


def check_patch(where: str, patch: int, step: int) -> None:
    """Misused unless a patch of that many px has cells of whole px, and patches step on."""
    check_counts(where, patch=patch, step=step)
    if patch % CELLS:
        raise Misused(f"{where}: patch: expected a multiple of {CELLS} px, got {patch}; change the value")


class Patches(nn.Module):
    """What describes square patches of one size, `patch` px, on a grid of `step` px."""

    def __init__(self, patch: int, step: int) -> None:
        super().__init__()
        self.patch, self.step = patch, step

    def places(self, height: int, width: int) -> Tensor:
        """The middles of the patches as shares of the image's sides: (M, 2), down and right, in (0, 1)."""
        return middles_of(height, width, self.patch, self.step)

    def extra_repr(self) -> str:
        """The constants, for print(network)."""
        return f"patch={self.patch}, step={self.step}"


class PatchesOfSizes(nn.Module):
    """What describes square patches of several sizes, one size after the other.

    sizes: of the patches, px, multiples of 4. step: px between neighbours.
    """

    def __init__(self, sizes: tuple[int, ...], step: int) -> None:
        super().__init__()
        if not sizes:
            raise Misused(f"{type(self).__name__}: sizes: expected one at least, got none; give the sides of patches")
        for size in sizes:
            check_patch(type(self).__name__, size, step)
        self.sizes, self.step = sizes, step

    def places(self, height: int, width: int) -> Tensor:
        """The middles of the patches, as `middles_of` has them, of all sizes."""
        return torch.cat([middles_of(height, width, size, self.step) for size in self.sizes])

    def extra_repr(self) -> str:
        """The constants, for print(network)."""
        return f"sizes={self.sizes}, step={self.step}"


def cell_means(maps: Tensor, patch: int, step: int) -> Tensor:
    """The mean of each map in the 4x4 cells of each patch: (N, C, H, W) -> (N, M, C, 4, 4).

    Cells of neighbouring patches that stand in the same place are computed once. Maps that are smaller than a
    patch have none.
    """
    if min(maps.shape[-2:]) < patch:
        return maps.new_zeros(maps.shape[0], 0, maps.shape[1], CELLS, CELLS)
    cell = patch // CELLS
    apart = math.gcd(cell, step)
    stride, hop = cell // apart, step // apart
    means = F.avg_pool2d(maps, cell, apart)
    reach = (CELLS - 1) * stride + 1
    patches = means.unfold(2, reach, hop).unfold(3, reach, hop)[..., ::stride, ::stride]  # (N, C, R, S, 4, 4)
    return patches.permute(0, 2, 3, 1, 4, 5).flatten(1, 2)
