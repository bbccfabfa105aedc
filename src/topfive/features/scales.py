"""One descriptor at several patch sizes, what they share computed once: SIFT and colours, as of 2011's winner."""

from typing import cast

import torch
from torch import Tensor, nn

from topfive.features.colour import ColourStatistics
from topfive.features.grid import PatchesOfSizes
from topfive.features.sift import DenseSift


class Scales(PatchesOfSizes):
    """A descriptor at several patch sizes, one after the other: (N, C, H, W) -> (N, M, D)."""

    def __init__(self, kind: type[DenseSift] | type[ColourStatistics], sizes: tuple[int, ...], step: int) -> None:
        super().__init__(sizes, step)
        self.kind, self.each = kind, nn.ModuleList(kind(size, step) for size in sizes)

    def forward(self, images: Tensor) -> Tensor:
        """images: (N, C, H, W) in [0, 1]."""
        first, *_ = kinds = [cast(DenseSift | ColourStatistics, one) for one in self.each]
        maps = first.maps(images)  # the same for all sizes
        return torch.cat([one.of_maps(maps) for one in kinds], 1)

    def extra_repr(self) -> str:
        """The constants, for print(network)."""
        return f"{self.kind.__name__}, {super().extra_repr()}"
