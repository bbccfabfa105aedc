"""Histograms of oriented gradients: Dalal, Triggs 2005, CVPR 2005, in batches.

The descriptor is that of scikit-image's `hog(..., block_norm="L2-Hys")`, number for number: the gradient of the
strongest colour channel, nine unsigned orientations, blocks normalized by clipped L2.

Departs from the paper, as scikit-image does: a pixel votes into one orientation of one cell, where the paper shares the
vote between neighbouring orientations and cells (`shared` does); no Gaussian window weighs a block. Departs from
scikit-image, which leaves out the last row and column of a cell whose side is odd: here every pixel of the cell votes.

Roots and their gradients are computed in float64. In the dark parts of 8-bit images, where the roots of 0, 1 and 3
stand side by side, many gradients lie within 1e-6 degrees of the border between two bins, and float32 would decide by
accident of the machine: a sixth of the descriptor of scikit-learn's flower.jpg differed. It costs two thirds more time.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from topfive.features.door import check_counts, check_images

CLIP = 0.2  # L2-Hys: no entry of a block above this before the second normalization (sec. 6.4)
EPSILON = 1e-5  # of a block's norm; without it a flat block would be 0 / 0
MICRO = 200_000  # numbers of images that are described at a time: what is computed of them stays in the cache


class Hog(nn.Module):
    """Images to HOG descriptors.

    cell: side of a cell in px; a remainder at the right and at the bottom is left out. block: side of a block in cells;
    blocks step by one cell. orientations: bins over 180 degrees, or with `signed` over 360. square_root: take the root
    of the pixels first, the paper's gamma compression. shared: a vote is shared between the two orientations and the
    four cells whose middles lie around it (sec. 6.3).
    """

    def __init__(
        self, cell: int, block: int = 2, orientations: int = 9, square_root: bool = True, *, signed: bool = False,
        shared: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        check_counts("Hog", cell=cell, block=block, orientations=orientations)
        self.cell, self.block, self.orientations, self.square_root = cell, block, orientations, square_root
        self.signed, self.shared = signed, shared

    def length(self, height: int, width: int) -> int:
        """D, how many numbers describe an image of height x width px."""
        rows, columns = (max(0, side // self.cell - self.block + 1) for side in (height, width))
        return rows * columns * self.block**2 * self.orientations

    def forward(self, images: Tensor) -> Tensor:
        """images: (N, C, H, W), not negative, at least one block and 2 px high and wide. Returns (N, D) in [0, 1].

        D runs over block row, block column, cell row, cell column, orientation. A flat image gives zeros. Gradients
        with respect to the images are finite everywhere.
        """
        check_images("Hog", images, least=max(2, self.cell * self.block))
        if torch.compiler.is_compiling():  # a graph is of one batch of any size
            return self.described(images)
        few = max(1, MICRO // max(1, images.shape[1:].numel()))
        return torch.cat([self.described(part) for part in torch.split(images, few)])

    def described(self, images: Tensor) -> Tensor:
        """As `forward`, all images at once."""
        pixels = images
        if self.square_root:
            exact = images if images.device.type == "mps" else images.double()  # Apple's device has no float64
            pixels = exact.clamp(min=1e-36).sqrt()  # not 0, whose root has an infinite slope
        cells = self.histograms(*strongest_gradient(pixels))  # -> (N, H/cell, W/cell, orientations)
        windows = cells.unfold(1, self.block, 1).unfold(2, self.block, 1)  # -> (N, R, S, orientations, block, block)
        blocks = windows.permute(0, 1, 2, 4, 5, 3).flatten(3)  # -> (N, R, S, block * block * orientations)
        return clipped_l2(blocks).flatten(1)  # -> (N, D)

    def histograms(self, down: Tensor, across: Tensor) -> Tensor:
        """Mean gradient magnitude by orientation in each cell.

        down, across: (N, H, W). Returns (N, H/cell, W/cell, orientations), float32.
        Orientation 0 is that of a gradient from left to right (or right to left); bins go up as it turns downwards.
        """
        number, rows, columns = down.shape[0], down.shape[1] // self.cell, down.shape[2] // self.cell
        if self.shared:
            return self.shared_histograms(down, across)
        down, across = (one[:, : rows * self.cell, : columns * self.cell] for one in (down, across))
        squares = torch.addcmul(down * down, across, across).float()
        magnitude = root(squares)
        bins = self.orientations + 1  # the last one is the first again, after half a turn
        cells = torch.arange(number * rows * columns, device=down.device).view(number, rows, 1, columns, 1)
        blocks = number, rows, self.cell, columns, self.cell
        turn = self.turn(down, across).long().clamp_(0, self.orientations)  # what is not a number has a bin, too
        places = torch.add(turn.reshape(blocks), cells, alpha=bins)
        votes = magnitude.new_zeros(number * rows * columns * bins)
        votes = votes.scatter_add_(0, places.flatten(), magnitude.reshape(-1)).view(number, rows, columns, bins)
        first, last = torch.split(votes, [self.orientations, 1], -1)
        return (first + F.pad(last, (0, self.orientations - 1))) / self.cell**2

    def turn(self, down: Tensor, across: Tensor) -> Tensor:
        """Where gradients (N, H, W) point, in bins: [0, orientations], both ends the same."""
        if self.signed:
            return torch.atan2(down, across).detach() * (self.orientations / (2 * math.pi)) % self.orientations
        angle = torch.atan2(down.abs(), across * down.sign())  # in [0, pi]: opposite ways are one
        return angle.detach() * (self.orientations / math.pi)

    def shared_histograms(self, down: Tensor, across: Tensor) -> Tensor:
        """As `histograms`, each vote shared between the two bins and the four cells with the nearest middles."""
        magnitude = root(torch.addcmul(down * down, across, across).float())
        middles = torch.arange(self.orientations, device=down.device).view(-1, 1, 1) + 0.5
        apart = (self.turn(down, across).float()[:, None] - middles).abs()
        votes = magnitude[:, None] * (1 - torch.minimum(apart, self.orientations - apart)).clamp_min(0)  # (N, O, H, W)
        below, right = (self.cell_shares(side).to(votes) for side in down.shape[1:])
        return (below @ votes @ right.T).permute(0, 2, 3, 1) / self.cell**2  # -> (N, H/cell, W/cell, O)

    def cell_shares(self, side: int) -> Tensor:
        """How much of its vote each of `side` pixels gives to each row of cells: (side / cell, side)."""
        middles = (torch.arange(side // self.cell) + 0.5) * self.cell - 0.5
        return (1 - (torch.arange(side) - middles[:, None]).abs() / self.cell).clamp_min(0)

    def extra_repr(self) -> str:
        """The constants, for print(network)."""
        return (f"cell={self.cell}, block={self.block}, orientations={self.orientations}, "
                f"square_root={self.square_root}, signed={self.signed}, shared={self.shared}")  # fmt: skip


def root(squares: Tensor) -> Tensor:
    """Their square roots, whose slope at 0 is 0 in place of infinite."""
    return squares.clamp_min(1e-36).sqrt() * (squares > 0)


def strongest_gradient(images: Tensor) -> tuple[Tensor, Tensor]:
    """Centred differences downwards and rightwards, each pixel's from the channel where they are longest.

    images: (N, C, H, W). Returns two tensors (N, H, W); a difference that would reach over the border is 0.
    """
    padded = F.pad(images.contiguous(), (1, 1, 1, 1), mode="reflect")  # a difference of two equal pixels is 0
    down = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
    across = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
    lengths = (down * down + across * across).detach()  # (N, C, H, W); not `addcmul`, whose rounding would decide ties
    best_down, best_across, best = down[:, 0], across[:, 0], lengths[:, 0]
    for channel in range(1, images.shape[1]):
        longer = (lengths[:, channel] - best).sign().clamp_min(0)  # 1 or 0
        best_down = torch.lerp(best_down, down[:, channel], longer)  # exact at 0 and 1; `where` takes ten times as long
        best_across = torch.lerp(best_across, across[:, channel], longer)
        best = torch.maximum(best, lengths[:, channel])
    return best_down, best_across


def clipped_l2(blocks: Tensor) -> Tensor:
    """L2-Hys over the last dimension: scale to length 1, clip at 0.2, scale to length 1 again."""
    for ceiling in (CLIP, math.inf):
        length = (blocks.square().sum(-1, keepdim=True) + EPSILON**2).sqrt()
        blocks = (blocks / length).clamp(max=ceiling)
    return blocks
