"""VGG nets: Simonyan, Zisserman 2014, arXiv:1409.1556, Table 1 (configurations A to E).

Departs from the paper: all weights are drawn as He et al. 2015 do, where the paper starts the deeper nets from the
weights of configuration A (sec. 3.1). The `_bn` forms, with batch normalization after every convolution and biases kept
beside it, are not in the paper; they are those whose weights are passed on with torchvision.

vgg16_small, for crops of 32, 64 or 96 px, is configuration D with a quarter of its maps and 512 units in fc6 and fc7;
its five stages stand as they are, so that the last maps are of 1, 2 or 3 px (the paper's of 7).
"""

from collections.abc import Iterator
from functools import partial
from typing import Literal

from torch import Tensor, nn

from topfive.layers import FullyConnectedEnd, LocalResponseNorm, init_he
from topfive.models.card import Card, small_card

# Table 1, a column a row: the maps of the convolutions of the five stages, all 3x3 but those marked 1x1.
ONE = "1x1"
Row = list[int | tuple[int, str]]
TABLE_1: dict[str, list[Row]] = {
    "A": [[64], [128], [256, 256], [512, 512], [512, 512]],
    "B": [[64, 64], [128, 128], [256, 256], [512, 512], [512, 512]],
    "C": [[64, 64], [128, 128], [256, 256, (256, ONE)], [512, 512, (512, ONE)], [512, 512, (512, ONE)]],
    "D": [[64, 64], [128, 128], [256, 256, 256], [512, 512, 512], [512, 512, 512]],
    "E": [[64, 64], [128, 128], [256] * 4, [512] * 4, [512] * 4],
}
Norm = Literal["none", "lrn", "bn"]


class Vgg(FullyConnectedEnd):
    """Five stages of convolutions, each with a 2x2 pooling after it, and three fully connected layers.

    column: of Table 1. norm: "bn" after every convolution, "lrn" after the first alone (configuration A-LRN), or
    "none". share: of the maps of Table 1. units: of fc6 and fc7. dropout: after both, in training.
    """

    def __init__(
        self,
        name: str,
        classes: int,
        image: int,
        *,
        column: str,
        norm: Norm,
        share: float = 1.0,
        units: int = 4096,
        dropout: float = 0.5,
    ) -> None:
        super().__init__(name, image)
        rows = [[scaled(cell, share) for cell in row] for row in TABLE_1[column]]
        last = round(512 * share)
        maps_in = [3, *(round(maps * share) for maps in (64, 128, 256, 512))]
        self.conv1, self.conv2, self.conv3, self.conv4, self.conv5 = (
            nn.Sequential(*stage(number, maps, row, norm))
            for number, (maps, row) in enumerate(zip(maps_in, rows, strict=True), start=1)
        )
        self.set_end(last * (image // 32) ** 2, units, classes, dropout)
        init_he(module for module in self.modules() if isinstance(module, nn.Conv2d | nn.Linear))

    def maps_of(self, images: Tensor) -> Tensor:
        """conv5: (N, 3, image, image) -> (N, 512, 7, 7). Sizes at line ends are those of 224-px crops."""
        maps: Tensor = self.conv1(images)  # (N, 3, 224, 224) -> (N, 64, 112, 112)
        maps = self.conv2(maps)  # -> (N, 128, 56, 56)
        maps = self.conv3(maps)  # -> (N, 256, 28, 28)
        maps = self.conv4(maps)  # -> (N, 512, 14, 14)
        maps = self.conv5(maps)  # -> (N, 512, 7, 7)
        return maps


def scaled(cell: int | tuple[int, str], share: float) -> int | tuple[int, str]:
    """A cell of Table 1 with `share` of its maps."""
    return round(cell * share) if isinstance(cell, int) else (round(cell[0] * share), cell[1])


def stage(number: int, maps_in: int, row: Row, norm: Norm) -> Iterator[nn.Module]:
    """The layers of one stage: convolutions, each with its normalization and ReLU, and the pooling."""
    for place, cell in enumerate(row):
        maps, kernel = (cell, 3) if isinstance(cell, int) else (cell[0], 1)
        yield nn.Conv2d(maps_in, maps, kernel, padding=kernel // 2)
        if norm == "bn":
            yield nn.BatchNorm2d(maps)
        yield nn.ReLU()
        if norm == "lrn" and (number, place) == (1, 0):
            yield LocalResponseNorm()
        maps_in = maps
    yield nn.MaxPool2d(2)


def card(column: str, depth: int, params: int, macs: int, published: str, norm: Norm = "none") -> Card:
    """The card of a column of Table 1."""
    extra = {"none": "", "lrn": " with one LRN after the first convolution", "bn": " with batch normalization"}[norm]
    return Card(
        partial(Vgg, column=column, norm=norm, share=1.0),
        family="vgg",
        year=2016 if norm == "bn" else 2014,
        source="Simonyan, Zisserman 2014, arXiv:1409.1556, Table 1"
        + (", batch normalization by torchvision" if norm == "bn" else ""),
        sides=(224, 224),
        smallest_photo=128,
        small="vgg16_small",
        params=params,
        macs=macs,
        depth=depth,
        published=published,
        note=f"configuration {column}{extra}: 3x3 convolutions alone, {depth} layers",
    )


ONE_SCALE = "ILSVRC-2012 val, dense, Q = S = 256"
JITTER = "ILSVRC-2012 val, dense, S in 256..512, Q = 384"
CROP = "ILSVRC-2012 val, 1 crop, weights of torchvision"

CARDS: dict[str, Card] = {
    "vgg16_small": small_card(
        partial(Vgg, column="D", norm="none", share=0.25, units=512),
        family="vgg",
        year=2014,
        source="Simonyan, Zisserman 2014, arXiv:1409.1556, Table 1; a quarter of its maps",
        params=1_254_618,
        macs=20_239_360,
        trained_as="alexnet_small",
        depth=16,
        note="vgg16 for images of 32 to 96 px: a quarter of the maps, 512 units in fc6 and fc7; crops of a multiple "
        "of 32 px",
    ),
    "vgg11": card("A", 11, 132_863_336, 7_609_090_048, f"10.4 % top-5 error (29.6 % top-1), {ONE_SCALE}"),
    "vgg11_lrn": card("A", 11, 132_863_336, 7_609_090_048, f"10.5 % top-5 error (29.7 % top-1), {ONE_SCALE}", "lrn"),
    "vgg13": card("B", 13, 133_047_848, 11_308_466_176, f"9.9 % top-5 error (28.7 % top-1), {ONE_SCALE}"),
    "vgg16_c": card("C", 16, 133_638_952, 11_770_888_192, f"8.8 % top-5 error (27.3 % top-1), {JITTER}"),
    "vgg16": card("D", 16, 138_357_544, 15_470_264_320, f"8.1 % top-5 error (25.6 % top-1), {JITTER}"),
    "vgg19": card("E", 19, 143_667_240, 19_632_062_464, f"8.0 % top-5 error (25.5 % top-1), {JITTER}"),
    "vgg11_bn": card("A", 11, 132_868_840, 7_609_090_048, f"10.19 % top-5 error (29.63 % top-1), {CROP}", "bn"),
    "vgg13_bn": card("B", 13, 133_053_736, 11_308_466_176, f"9.63 % top-5 error (28.41 % top-1), {CROP}", "bn"),
    "vgg16_bn": card("D", 16, 138_365_992, 15_470_264_320, f"8.48 % top-5 error (26.64 % top-1), {CROP}", "bn"),
    "vgg19_bn": card("E", 19, 143_678_248, 19_632_062_464, f"8.16 % top-5 error (25.78 % top-1), {CROP}", "bn"),
}
