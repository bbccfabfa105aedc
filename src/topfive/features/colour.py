"""Local colour statistics: Clinchant, Csurka, Perronnin, Renders 2007, ImageEval; as the 2011 winner used them.

The mean and the deviation of each colour in each of 4x4 cells of a patch: 96 numbers.
"""

import torch
from torch import Tensor

from topfive.features.door import check_images
from topfive.features.grid import Patches, cell_means, check_patch


class ColourStatistics(Patches):
    """Colour images to means and deviations in the cells of square patches on a grid.

    patch: side in px, a multiple of 4. step: px between neighbouring patches.
    """

    def __init__(self, patch: int, step: int) -> None:
        check_patch("ColourStatistics", patch, step)
        super().__init__(patch, step)

    def forward(self, images: Tensor) -> Tensor:
        """images: (N, 3, H, W) in [0, 1]. Returns (N, M, 96), patches as those of `DenseSift`."""
        return self.of_maps(self.maps(images))

    def maps(self, images: Tensor) -> Tensor:
        """What patches of all sizes are described from: the colours and their squares, (N, 6, H, W)."""
        check_images("ColourStatistics", images, 3)
        return torch.cat([images, images.square()], 1)

    def of_maps(self, maps: Tensor) -> Tensor:
        """The patches' numbers, from `maps`."""
        means, squares = cell_means(maps, self.patch, self.step).chunk(2, 2)  # (N, M, 3, 4, 4)
        spread = (squares - means.square()).clamp_min(0).sqrt()
        return torch.cat([means, spread], 2).flatten(2)
