"""Local colour statistics: Clinchant, Csurka, Perronnin, Renders 2007, ImageEval; as the 2011 winner used them.

The mean and the deviation of each colour in each of 4x4 cells of a patch: 96 numbers.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CELLS = 4


class ColourStatistics(nn.Module):
    """Colour images to means and deviations in the cells of square patches on a grid.

    patch: side in px, a multiple of 4. step: px between neighbouring patches.
    """

    def __init__(self, patch: int, step: int) -> None:
        super().__init__()
        self.patch, self.step = patch, step

    def forward(self, images: Tensor) -> Tensor:
        """images: (N, 3, H, W) in [0, 1]. Returns (N, M, 96), patches as those of `DenseSift`."""
        cell = self.patch // CELLS
        means = F.avg_pool2d(images, cell, 1)  # (N, 3, H - cell + 1, W - cell + 1)
        spread = (F.avg_pool2d(images.square(), cell, 1) - means.square()).clamp_min(0).sqrt()
        both = torch.cat([means, spread], 1)  # (N, 6, ...)
        reach = self.patch - cell + 1
        patches = both.unfold(2, reach, self.step).unfold(3, reach, self.step)[
            ..., ::cell, ::cell
        ]  # (N, 6, R, S, 4, 4)
        return patches.permute(0, 2, 3, 1, 4, 5).flatten(1, 2).flatten(2)
