"""Histograms of oriented gradients: Dalal, Triggs 2005, CVPR 2005, in batches.

The descriptor is that of scikit-image's `hog(..., block_norm="L2-Hys")`, number for number: the gradient of the
strongest colour channel, nine unsigned orientations, blocks normalized by clipped L2.

Departs from the paper, as scikit-image does: a pixel votes into one orientation of one cell, where the paper shares the
vote between neighbouring orientations and cells; no Gaussian window weighs a block. Departs from scikit-image, which
leaves out the last row and column of a cell whose side is odd: here every pixel of the cell votes.

Gradients and angles are computed in float64. In the dark parts of 8-bit images, where the roots of 0, 1 and 3 stand
side by side, many gradients lie within 1e-6 degrees of the border between two bins, and float32 would decide by
accident of the machine: a sixth of the descriptor of scikit-learn's flower.jpg differed. It costs a quarter more time.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLIP = 0.2  # L2-Hys: no entry of a block above this before the second normalization (sec. 6.4)
EPSILON = 1e-5  # of a block's norm; without it a flat block would be 0 / 0


class Hog(nn.Module):
    """Images to HOG descriptors.

    cell: side of a cell in px; a remainder at the right and at the bottom is left out. block: side of a block in cells;
    blocks step by one cell. orientations: bins over 180 degrees. square_root: take the root of the pixels first, the
    paper's gamma compression.
    """

    def __init__(self, cell: int, block: int = 2, orientations: int = 9, square_root: bool = True) -> None:
        super().__init__()
        self.cell, self.block, self.orientations, self.square_root = cell, block, orientations, square_root

    def length(self, height: int, width: int) -> int:
        """D, how many numbers describe an image of height x width px."""
        blocks = (height // self.cell - self.block + 1) * (width // self.cell - self.block + 1)
        return blocks * self.block**2 * self.orientations

    def forward(self, images: Tensor) -> Tensor:
        """images: (N, C, H, W), not negative, at least one block high and wide. Returns (N, D) in [0, 1].

        D runs over block row, block column, cell row, cell column, orientation. A flat image gives zeros. Gradients
        with respect to the images are finite everywhere.
        """
        pixels = images if images.device.type == "mps" else images.double()  # Apple's device has no float64
        if self.square_root:
            pixels = pixels.clamp(min=1e-36).sqrt()  # not 0, whose root has an infinite slope
        down, across = strongest_gradient(pixels)  # (N, C, H, W) -> 2 x (N, H, W)
        cells = self.histograms(down, across)  # -> (N, orientations, H/cell, W/cell)
        windows = cells.unfold(2, self.block, 1).unfold(3, self.block, 1)  # -> (N, orientations, R, S, block, block)
        blocks = windows.permute(0, 2, 3, 4, 5, 1).flatten(3)  # -> (N, R, S, block * block * orientations)
        return clipped_l2(blocks).flatten(1)  # -> (N, D)

    def histograms(self, down: Tensor, across: Tensor) -> Tensor:
        """Mean gradient magnitude by orientation in each cell.

        down, across: (N, H, W). Returns (N, orientations, H/cell, W/cell), float32.
        Orientation 0 is that of a gradient from left to right (or right to left); bins go up as it turns downwards.
        """
        magnitude = (down.square() + across.square() + 1e-36).sqrt().float()  # not 0, where the root has no slope
        angle = torch.atan2(down.abs(), torch.where(down < 0, -across, across))  # in [0, pi]: opposite ways are one
        bins = (angle * (self.orientations / math.pi)).floor().float() % self.orientations  # pi is 0 again
        every_bin = torch.arange(self.orientations, device=bins.device)[:, None, None]
        votes = magnitude[:, None] * (bins[:, None] == every_bin)  # (N, H, W) -> (N, orientations, H, W)
        return F.avg_pool2d(votes, self.cell)

    def extra_repr(self) -> str:
        """The constants, for print(network)."""
        return (f"cell={self.cell}, block={self.block}, orientations={self.orientations}, "
                f"square_root={self.square_root}")  # fmt: skip


def strongest_gradient(images: Tensor) -> tuple[Tensor, Tensor]:
    """Centred differences downwards and rightwards, each pixel's from the channel where they are longest.

    images: (N, C, H, W). Returns two tensors (N, H, W); a difference that would reach over the border is 0.
    """
    down = F.pad(images[:, :, 2:] - images[:, :, :-2], (0, 0, 1, 1))
    across = F.pad(images[..., 2:] - images[..., :-2], (1, 1))
    lengths = down.square() + across.square()  # (N, C, H, W)
    best_down, best_across, best = down[:, 0], across[:, 0], lengths[:, 0]
    for channel in range(1, images.shape[1]):  # three comparisons take a fraction of an argmax over strided channels
        longer = lengths[:, channel] > best
        best_down = torch.where(longer, down[:, channel], best_down)
        best_across = torch.where(longer, across[:, channel], best_across)
        best = torch.where(longer, lengths[:, channel], best)
    return best_down, best_across


def clipped_l2(blocks: Tensor) -> Tensor:
    """L2-Hys over the last dimension: scale to length 1, clip at 0.2, scale to length 1 again."""
    for ceiling in (CLIP, math.inf):
        length = (blocks.square().sum(-1, keepdim=True) + EPSILON**2).sqrt()
        blocks = (blocks / length).clamp(max=ceiling)
    return blocks
