"""Spatial pyramids: Lazebnik, Schmid, Ponce 2006, CVPR 2006; and how a code pools descriptors over their regions.

Regions of several grids overlap. Descriptors are pooled once, in the cells that all the grids cut the image into, and
a region's pool is made of those of its cells, so that a pyramid costs little more than the whole image alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from topfive.errors import BadShape, Misused

Grid = tuple[int, int]  # rows, columns
Pooling = Literal["sum", "max"]
PYRAMID: tuple[Grid, ...] = ((1, 1), (2, 2), (4, 4))  # of the paper, without its weights of the levels


class Regions(nn.Module):
    """The regions of a pyramid over descriptors at given places.

    order: (M,) the descriptors, those of one cell side by side. sizes: how many each cell has, at least one. inside:
    the cells of each region. counts: (R,) descriptors in each region, which may be 0.
    """

    order: Tensor
    member: Tensor
    counts: Tensor

    def __init__(self, order: Tensor, sizes: list[int], inside: list[list[int]]) -> None:
        super().__init__()
        self.sizes, self.inside = sizes, inside
        member = torch.zeros(len(inside), len(sizes))
        for region, cells in enumerate(inside):
            member[region, cells] = 1
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("member", member, persistent=False)
        self.register_buffer("counts", member.long() @ torch.tensor(sizes, dtype=torch.long), persistent=False)

    def pool(self, cells: Tensor, pooling: Pooling) -> Tensor:
        """What is pooled over cells, (N, cells, S), over regions: (N, R, S). An empty region gives zeros."""
        if pooling == "sum":
            return self.member.to(cells) @ cells
        nothing = torch.zeros_like(cells[:, 0])
        return torch.stack([cells[:, inside].amax(1) if inside else nothing for inside in self.inside], 1)


def regions_of(places: Tensor, grids: tuple[Grid, ...]) -> Regions:
    """The regions of the grids, grid by grid and row by row. places: (M, 2), down and right, as shares in [0, 1)."""
    if places.dim() != 2 or places.shape[1] != 2:
        raise BadShape(
            f"regions_of: expected places (M, 2), got {tuple(places.shape)}; give a row and a column for each"
        )
    if not grids or any(min(grid) < 1 for grid in grids):
        raise Misused(f"regions_of: grids: expected rows and columns of at least 1, got {grids}; give ((1, 1),)")
    homes, first = [], 0
    for rows, columns in grids:
        sides = torch.tensor([rows, columns])
        row, column = (places * sides).long().clamp_min(0).minimum(sides - 1).unbind(1)
        homes.append(first + row * columns + column)
        first += rows * columns
    patterns, cell = torch.unique(torch.stack(homes, 1), dim=0, return_inverse=True)  # (cells, grids), (M,)
    sizes = cell.bincount(minlength=len(patterns))
    inside = [(patterns == region).any(1).nonzero()[:, 0].tolist() for region in range(first)]
    return Regions(cell.argsort(stable=True), sizes.tolist(), inside)


class Code(nn.Module, ABC):
    """What makes one vector of a set of descriptors: statistics, pooled over the set, and finished.

    A code's file writes `statistics` and `finish` and says in `pooling` how the statistics of two sets become those of
    both together. length: numbers a region. dimensions: of a descriptor.
    """

    pooling: Pooling = "sum"
    length: int
    dimensions: int

    @abstractmethod
    def statistics(self, descriptors: Tensor) -> Tensor:
        """Of sets of M descriptors, M at least 1: (N, M, D) -> (N, S)."""

    @abstractmethod
    def finish(self, statistics: Tensor, counts: Tensor) -> Tensor:
        """The codes of regions: (N, R, S), and (R,) descriptors in them, -> (N, R, length)."""

    def by_set(self, sets: Sequence[Tensor]) -> Tensor:
        """The statistics of each of several sets: (N, sets, S). A code with work that they share does it once here."""
        return torch.stack([self.statistics(one) for one in sets], 1)

    def forward(self, descriptors: Tensor, regions: Regions) -> Tensor:
        """descriptors: (N, M, D) at the places of `regions`. Returns (N, R * length), zeros where there are none.

        Raises BadShape where there are not as many as places, or they are not as long as those it was built for.
        """
        shape = len(regions.order), self.dimensions
        if descriptors.dim() != 3 or tuple(descriptors.shape[1:]) != shape:
            raise BadShape(
                f"{type(self).__name__}: expected descriptors (N, {shape[0]}, {shape[1]}), as many as the "
                f"regions have places, got {tuple(descriptors.shape)}; make regions of their own places"
            )
        if not regions.sizes:
            return descriptors.new_zeros(descriptors.shape[0], len(regions.counts) * self.length)
        sets = torch.split(descriptors.index_select(1, regions.order), regions.sizes, 1)
        cells = self.by_set(sets)  # -> (N, cells, S)
        pooled = regions.pool(cells, self.pooling)  # -> (N, R, S)
        return self.finish(pooled, regions.counts).flatten(1)
