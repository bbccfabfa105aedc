"""PReLU-nets: He, Zhang, Ren, Sun 2015, arXiv:1502.01852, Table 3 (models A, B and C).

A 7x7 convolution, three stages of 3x3 convolutions, pooling in a spatial pyramid of 7x7, 3x3, 2x2 and 1x1 bins, three
fully connected layers; a slope for negative inputs is learned for every map (sec. 2.1), and weights start so that
signals keep their size through such units (eq. 15). The paper prints no parameters, and no second definition was at
hand: all that could be checked is its count of operations, 1.90, 2.32 and 5.30 times 10^10, which these nets give
within 1 % (1.91, 2.32 and 5.35).

prelu_net_a_small, for crops of 32 to 96 px, has a quarter of the maps and 512 units. Its rule: conv1 is 3x3 with stride
round(image / 32), so that the stages work on maps of about 16, 8 and 4 px; the pyramid has 4x4, 2x2 and 1x1 bins.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from topfive.layers import Classifier, FullPrecisionLinear, windows
from topfive.models.card import Card, photo_card, small_card

# Table 3: maps of conv1 and of the stages, and the convolutions of each stage.
TABLE_3 = {"A": ((96, 256, 512, 512), 5), "B": ((96, 256, 512, 512), 6), "C": ((96, 384, 768, 896), 6)}
PYRAMID, SMALL_PYRAMID = (7, 3, 2, 1), (4, 2, 1)
Activation = Callable[[int], nn.Module]  # maps or units -> their activation
SLOPE = 0.25  # that PReLU starts from (sec. 2.1)


class SpatialPyramidPool(nn.Module):
    """The maxima of a grid of bins, for each of several grids: He et al. 2014, arXiv:1406.4729."""

    def __init__(self, bins: tuple[int, ...]) -> None:
        super().__init__()
        self.grids = nn.ModuleList(nn.AdaptiveMaxPool2d(side) for side in bins)

    def forward(self, maps: Tensor) -> Tensor:
        """maps: (N, C, H, W). Returns (N, C * the number of bins)."""
        return torch.cat([grid(maps).flatten(1) for grid in self.grids], 1)


class PReluNet(Classifier):
    """A convolution, three stages with a 2x2 pooling before each, a pyramid, three fully connected layers.

    row: of Table 3. share: of its maps. units: of fc1 and fc2. dropout: share of their outputs set to 0 in training.
    activation: relu for the nets that the paper compares with (Table 2).
    """

    head = "fc3"

    def __init__(
        self, name: str, classes: int, image: int, *, row: str, share: float = 1.0, small_stem: bool = False,
        units: int = 4096, dropout: float = 0.5, activation: Literal["prelu", "relu"] = "prelu",
    ) -> None:  # fmt: skip
        super().__init__(name, at_least=32)
        widths, count = TABLE_3[row]
        unit = prelu if activation == "prelu" else plain_relu
        maps = [round(width * share) for width in widths]
        pyramid = SMALL_PYRAMID if small_stem else PYRAMID
        stride = max(1, round(image / 32)) if small_stem else 2
        kernel = 3 if small_stem else 7
        self.conv1 = nn.Sequential(nn.Conv2d(3, maps[0], kernel, stride, padding=kernel // 2), unit(maps[0]))
        self.stage1, self.stage2, self.stage3 = (stage(maps[i], maps[i + 1], count, unit) for i in range(3))
        self.pyramid = SpatialPyramidPool(pyramid)
        self.window = math.ceil(image / stride) // 8  # side of the maps that the pyramid sees of a crop
        self.fc1 = nn.Sequential(nn.Linear(maps[3] * sum(side**2 for side in pyramid), units), unit(units))
        self.fc2 = nn.Sequential(nn.Linear(units, units), unit(units))
        self.fc3 = FullPrecisionLinear(units, classes)
        self.dropout = nn.Dropout(dropout)
        for part in self.modules():
            if isinstance(part, nn.Conv2d | nn.Linear):  # eq. 15
                slope = 0.0 if activation == "relu" else SLOPE
                nn.init.kaiming_normal_(part.weight, a=slope, nonlinearity="leaky_relu")
                assert part.bias is not None
                nn.init.zeros_(part.bias)

    def body(self, maps: Tensor) -> Tensor:
        """fc2: (N, 3, H, W) -> (N, 4096)."""
        return self._code_of(self._maps_of(maps))

    def everywhere(self, maps: Tensor) -> Tensor:
        """fc2 of each window of the last maps that is as large as a crop's: the paper's testing (sec. 3)."""
        squares = windows(self._maps_of(maps), self.window)  # -> (N, rows, columns, C, window, window)
        # Row by row, since all windows at once are copied, and would take gigabytes of a large image.
        rows = [self._code_of(row.flatten(0, 1)).view(*row.shape[:2], -1) for row in squares.unbind(1)]
        return torch.stack(rows, 1)  # -> (N, rows, columns, 4096)

    def _maps_of(self, maps: Tensor) -> Tensor:
        """Sizes at line ends, here and below, are those of model A on 224-px crops."""
        maps = self.conv1(maps)  # (N, 3, 224, 224) -> (N, 96, 112, 112)
        maps = self.stage1(maps)  # -> (N, 256, 56, 56)
        maps = self.stage2(maps)  # -> (N, 512, 28, 28)
        maps = self.stage3(maps)  # -> (N, 512, 14, 14)
        return maps

    def _code_of(self, maps: Tensor) -> Tensor:
        units = self.dropout(self.fc1(self.pyramid(maps)))  # -> (N, 512 * 63) -> (N, 4096)
        code: Tensor = self.dropout(self.fc2(units))  # -> (N, 4096)
        return code


def prelu(maps: int) -> nn.PReLU:
    """A learned slope for each map or unit."""
    return nn.PReLU(maps, SLOPE)


def plain_relu(maps: int) -> nn.ReLU:
    """The same for all of them, 0."""
    return nn.ReLU()


def stage(maps_in: int, maps: int, count: int, unit: Activation) -> nn.Sequential:
    """2x2 pooling, then `count` 3x3 convolutions."""
    parts: list[nn.Module] = [nn.MaxPool2d(2)]
    for place in range(count):
        parts += [nn.Conv2d(maps if place else maps_in, maps, 3, padding=1), unit(maps)]
    return nn.Sequential(*parts)


SOURCE = "He, Zhang, Ren, Sun 2015, arXiv:1502.01852, Table 3"
paper_card = partial(
    photo_card,
    family="prelu",
    year=2015,
    source=SOURCE,
    counted_here=True,
    small="prelu_net_a_small",
)

CARDS: dict[str, Card] = {
    "prelu_net_a_small": small_card(
        partial(PReluNet, row="A", share=0.25, small_stem=True, units=512), family="prelu", year=2015,
        source=f"{SOURCE}; a quarter of its maps", depth=19, params=3_211_586, macs=97_858_560,
        trained_as="alexnet_small",
        note="prelu_net_a for images of 32 to 96 px: a quarter of the maps, 3x3 conv1 with stride round(image / 32)",
    ),
    "prelu_net_a": paper_card(
        partial(PReluNet, row="A", share=1.0, small_stem=False), params=178_032_072, macs=19_058_106_368, depth=19,
        note="19 layers, learned slopes, a spatial pyramid",
    ),
    "prelu_net_b": paper_card(
        partial(PReluNet, row="B", share=1.0, small_stem=False), params=183_343_048, macs=23_219_904_512, depth=22,
        note="22 layers",
    ),
    "prelu_net_c": paper_card(
        partial(PReluNet, row="C", share=1.0, small_stem=False), params=330_623_944, macs=53_463_130_112, depth=22,
        published="5.71 % top-5 error (21.59 % top-1), ILSVRC-2012 val, 1 net, dense, several scales",
        note="22 layers, wider",
    ),
}  # fmt: skip
