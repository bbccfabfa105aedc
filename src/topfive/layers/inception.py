"""Inception modules, branches side by side: Szegedy et al. 2014, arXiv:1409.4842, Fig. 2; and what they are made of."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import relu


class ConvUnit(nn.Module):
    """A convolution and ReLU, with batch normalization between them in place of a bias where `bn` is true.

    kernel: one side, or height and width. padding: keeps the size of the maps at stride 1 unless given.
    """

    def __init__(
        self, maps_in: int, maps: int, kernel: int | tuple[int, int], stride: int = 1, padding: int | None = None, *,
        bn: bool, eps: float = 1e-5,
    ) -> None:  # fmt: skip
        super().__init__()
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        keeping = (height // 2, width // 2) if padding is None else (padding, padding)
        self.conv = nn.Conv2d(maps_in, maps, (height, width), stride, keeping, bias=not bn)
        self.bn = nn.BatchNorm2d(maps, eps) if bn else None

    def forward(self, maps: Tensor) -> Tensor:
        """maps: (N, maps_in, H, W). Returns (N, maps, H', W')."""
        maps = self.conv(maps)
        return relu(maps if self.bn is None else self.bn(maps))


class Inception(nn.Module):
    """Branches that see the same maps; what they give is stacked in their order."""

    def __init__(self, **branches: nn.Module) -> None:
        super().__init__()
        for name, branch in branches.items():
            self.add_module(name, branch)

    def forward(self, maps: Tensor) -> Tensor:
        """maps: (N, C, H, W). Returns (N, sum of the branches' maps, H', W')."""
        return torch.cat([branch(maps) for branch in self.children()], 1)


Unit = Callable[..., ConvUnit]  # maps in, maps, kernel, stride, padding


def scaled_unit(
    share: float, maps_in: int, maps: int, kernel: int | tuple[int, int], stride: int = 1, padding: int | None = None
) -> ConvUnit:
    """A normalized convolution of a net with `share` of its paper's maps, which are what is given; images have 3."""
    few_in = maps_in if maps_in == 3 else round(maps_in * share)
    return ConvUnit(few_in, round(maps * share), kernel, stride, padding, bn=True, eps=1e-3)


def chain(unit: Unit, maps: list[int], kernels: list[int | tuple[int, int]], stride: int = 1) -> nn.Sequential:
    """Units one after another; where the last strides it has no padding."""
    steps = list(zip(pairwise(maps), kernels, strict=True))
    units = [unit(a, b, kernel) for (a, b), kernel in steps[:-1]]
    (a, b), kernel = steps[-1]
    return nn.Sequential(*units, unit(a, b, kernel, stride, None if stride == 1 else 0))
