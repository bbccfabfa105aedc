"""Fully connected layers at every position of maps that are larger than the crop's.

Such a layer is a convolution whose kernel is as large as the maps that it was made for: Sermanet et al. 2013,
arXiv:1312.6229, sec. 3.5 (OverFeat); Simonyan, Zisserman 2014, arXiv:1409.1556, sec. 3.2. It is computed as
convolutions are, as a product with the windows laid flat, so that the layer and its weights stay as they are.
"""

import math

from torch import Tensor


def windows(maps: Tensor, side: int) -> Tensor:
    """Every square of `side` px of maps (N, C, H, W): (N, H - side + 1, W - side + 1, C, side, side), a view."""
    return maps.unfold(2, side, 1).unfold(3, side, 1).permute(0, 2, 3, 1, 4, 5)


def flat_windows(maps: Tensor, length: int) -> Tensor:
    """What a fully connected layer of `length` inputs sees of maps (N, C, H, W): (N, rows, columns, length)."""
    return windows(maps, math.isqrt(length // maps.shape[1])).flatten(3)
