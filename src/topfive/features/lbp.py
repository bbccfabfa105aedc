"""Local binary patterns: Ojala, Pietikäinen, Mäenpää 2002, IEEE TPAMI 24(7), sec. 2.

Each pixel becomes a number of eight bits, one for each neighbour that is at least as bright. Of the 256 numbers 58 are
"uniform", with at most two changes between 0 and 1 around the circle; a histogram counts each of them and all others
together (59 bins), or with rotations taken for one, how many bits are set (10 bins).
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from topfive.features.door import check_counts, check_images, check_name

Kind = Literal["uniform", "rotation_invariant", "all"]
# Neighbours as (rows down, columns right), anticlockwise from the right, as the paper numbers them.
NEIGHBOURS = [(0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1)]
AXES = [place for place in NEIGHBOURS if 0 in place]
DIAGONALS_FIRST = sorted(enumerate(NEIGHBOURS), key=lambda one: 0 in one[1])  # they are interpolated from the others
DIAGONAL = 2**-0.5  # how far down and right the neighbours between the axes lie on a circle of radius 1
OUTSIDE = DIAGONAL / (1 - DIAGONAL)  # weight of the pixel beyond such a neighbour, where the two beside it have 1


def changes(code: int) -> int:
    """How often neighbouring bits of an 8-bit code differ, around the circle.

    >>> changes(0b00011100), changes(0b01010101)
    (2, 8)
    """
    turned = (code >> 1) | (code & 1) << 7
    return (code ^ turned).bit_count()


def bins_of(kind: Kind) -> list[int]:
    """The bin of each of the 256 codes.

    >>> len(set(bins_of("uniform"))), len(set(bins_of("rotation_invariant"))), len(set(bins_of("all")))
    (59, 10, 256)
    """
    if kind == "all":
        return list(range(256))
    uniform = [code for code in range(256) if changes(code) <= 2]
    if kind == "rotation_invariant":
        return [code.bit_count() if changes(code) <= 2 else 9 for code in range(256)]
    place = {code: number for number, code in enumerate(uniform)}
    return [place.get(code, len(uniform)) for code in range(256)]


class Lbp(nn.Module):
    """Grey images to histograms of local binary patterns in cells.

    cell: side of a cell in px; a remainder at the right and at the bottom is left out. kind: which codes share a bin.
    circle: the diagonal neighbours at distance 1, interpolated, as the paper has them; otherwise those of the grid,
    which is faster. Neighbours beyond the border are the pixels of the border.
    """

    bins: Tensor

    def __init__(self, cell: int, kind: Kind = "uniform", circle: bool = False) -> None:
        super().__init__()
        check_counts("Lbp", cell=cell)
        check_name("Lbp", kind, "kind", Kind)
        self.cell, self.kind, self.circle = cell, kind, circle
        with torch.device("cpu"):  # also where the rest is built without numbers, to be counted
            bins = F.one_hot(torch.tensor(bins_of(kind))).float()  # (256, width)
        bins = bins.to(torch.get_default_device())
        self.register_buffer("bins", bins, persistent=False)
        self.width = bins.shape[1]

    def length(self, height: int, width: int) -> int:
        """D, how many numbers describe an image of height x width px."""
        return (height // self.cell) * (width // self.cell) * self.width

    def codes(self, images: Tensor) -> Tensor:
        """The code of each pixel: (N, 1, H, W) -> (N, H, W), int32."""
        check_images("Lbp", images, 1)
        height, width = images.shape[-2:]
        around = F.pad(images.detach(), (1, 1, 1, 1), mode="replicate")[:, 0]  # (N, H + 2, W + 2)

        def at(down: int, right: int) -> Tensor:
            return around[:, 1 + down : 1 + down + height, 1 + right : 1 + right + width]

        centre = at(0, 0)
        codes = torch.zeros_like(centre)  # in floating point, where comparing takes half the time
        apart = {place: at(*place) - centre for place in AXES} if self.circle else {}
        for bit, (down, right) in DIAGONALS_FIRST:
            found = apart.get((down, right))
            brighter = at(down, right) - centre if found is None else found
            if self.circle and down and right:  # of differences 0 is interpolated exactly, as no brightness is
                brighter = torch.add(apart[0, right], brighter, alpha=OUTSIDE).add_(apart[down, 0])
            codes.add_(brighter.ge_(0), alpha=1 << bit)
        return codes.int()

    def forward(self, images: Tensor) -> Tensor:
        """images: (N, 1, H, W). Returns (N, D), the share of each bin in each cell: D runs over row, column, bin."""
        check_images("Lbp", images, 1, self.cell)
        number, _, height, width = images.shape
        rows, columns = height // self.cell, width // self.cell
        codes = self.codes(images)[:, : rows * self.cell, : columns * self.cell]
        blocks = codes.reshape(number, rows, self.cell, columns, self.cell)
        kind = torch.int32 if number * rows * columns < 1 << 23 else torch.int64  # half the memory to go through
        cells = torch.arange(number * rows * columns, dtype=kind, device=images.device).view(
            number, rows, 1, columns, 1
        )
        counts = torch.bincount((cells * 256 + blocks).flatten(), minlength=number * rows * columns * 256)
        shares = counts.view(-1, 256).float() / self.cell**2
        return (shares @ self.bins).view(number, -1)

    def extra_repr(self) -> str:
        """The constants, for print(network)."""
        return f"cell={self.cell}, kind={self.kind}, circle={self.circle}"
