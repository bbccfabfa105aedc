"""ResNets for ImageNet: He, Zhang, Ren, Sun 2015, arXiv:1512.03385, sec. 4.1 and Table 1; and a small form.

18, 34, 50, 101 and 152 layers with the shortcuts A, B and C of sec. 4.1, and the plain nets of 18 and 34 layers that
they are compared with. Takes any image of at least 32 px, so that it can be judged on several scales.

The `_v1_5` forms let the 3x3 convolution of a bottleneck stride in place of the first 1x1, as Gross and Wilber's
fb.resnet.torch of 2016 does. Most weights that are passed on are of that form; it has more multiplications.

resnet18_b_small, for crops of 32 to 96 px, is the 18-layer net with half of the maps in every stage (32, 64, 128, 256).
Its rule: conv1 is 3x3 with stride round(image / 32), and no pooling follows, so that the first stage works on maps of
about 32x32 (the paper's on 56x56).
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

from torch import Tensor, nn
from torch.nn.functional import relu

from topfive.layers import (
    BasicBlock,
    Bottleneck,
    Classifier,
    FullPrecisionLinear,
    Option,
    Recomputed,
    init_residual,
)
from topfive.models.card import Card, photo_card, small_card

# Table 1: blocks of conv2_x to conv5_x, and the maps they give; the first block of all stages but conv2_x strides by 2.
BLOCKS = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3], 50: [3, 4, 6, 3], 101: [3, 4, 23, 3], 152: [3, 8, 36, 3]}
MAPS = [64, 128, 256, 512]
SMALL_MAPS = [maps // 2 for maps in MAPS]
BOTTLENECK_MAPS = [4 * maps for maps in MAPS]

MakeBlock = Callable[[int, int, int], nn.Module]  # maps in, maps, stride -> block


class Stem(NamedTuple):
    """What stands before conv2_x: a convolution without bias, the pooling after it, and the maps it gives."""

    conv1: nn.Module
    pool1: nn.Module
    maps: int


class ResNet(Classifier):
    """conv1, four stages of blocks, global average pooling, one fully connected layer.

    make_block: makes the blocks of all stages. maps, blocks: of the four stages. recompute: keep less in memory while
    training, for more time (see `layers.Recomputed`).
    """

    def __init__(
        self, name: str, classes: int, stem: Stem, make_block: MakeBlock, maps: list[int], blocks: list[int],
        recompute: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(name, at_least=32)
        stack = Recomputed if recompute else nn.Sequential
        self.conv1 = stem.conv1
        self.bn1 = nn.BatchNorm2d(stem.maps)
        self.pool1 = stem.pool1
        self.conv2_x = stack(*stage(make_block, stem.maps, maps[0], 1, blocks[0]))
        self.conv3_x = stack(*stage(make_block, maps[0], maps[1], 2, blocks[1]))
        self.conv4_x = stack(*stage(make_block, maps[1], maps[2], 2, blocks[2]))
        self.conv5_x = stack(*stage(make_block, maps[2], maps[3], 2, blocks[3]))
        self.fc = FullPrecisionLinear(maps[3], classes)
        init_residual(self, self.fc)

    def body(self, maps: Tensor) -> Tensor:
        """The mean of each map of conv5_x: (N, 3, H, W) -> (N, maps[3]).

        Sizes at line ends are those of resnet18_b on 224-px crops.
        """
        maps = relu(self.bn1(self.conv1(maps)))  # (N, 3, 224, 224) -> (N, 64, 112, 112)
        maps = self.conv2_x(self.pool1(maps))  # -> (N, 64, 56, 56)
        maps = self.conv3_x(maps)  # -> (N, 128, 28, 28)
        maps = self.conv4_x(maps)  # -> (N, 256, 14, 14)
        maps = self.conv5_x(maps)  # -> (N, 512, 7, 7)
        return maps.mean((2, 3))  # -> (N, 512)


def stage(make_block: MakeBlock, maps_in: int, maps: int, stride: int, blocks: int) -> list[nn.Module]:
    """`blocks` blocks, the first of which may stride and change the number of maps."""
    return [make_block(maps_in, maps, stride), *(make_block(maps, maps, 1) for _ in range(blocks - 1))]


def large_stem() -> Stem:
    """The stem of Table 1."""
    return Stem(nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False), nn.MaxPool2d(3, 2, padding=1), 64)


def bottleneck(maps_in: int, maps: int, stride: int, *, option: Option, strided: Literal[1, 2]) -> Bottleneck:
    """The block of the nets with 50 and more layers: a quarter of the maps within."""
    return Bottleneck(maps_in, maps, stride, option, width=maps // 4, strided=strided)


def large(
    name: str, classes: int, image: int, *, depth: int, option: Option, strided: Literal[1, 2], recompute: bool = False
) -> ResNet:
    """A net of Table 1. `image` changes nothing: global average pooling takes every size."""
    make: MakeBlock = partial(BasicBlock, option=option)
    if depth >= 50:
        make = partial(bottleneck, option=option, strided=strided)
    maps = BOTTLENECK_MAPS if depth >= 50 else MAPS
    return ResNet(name, classes, large_stem(), make, maps, BLOCKS[depth], recompute)


def small(name: str, classes: int, image: int) -> ResNet:
    """The 18-layer net with half the maps, on crops of 32 to 96 px; `image` sets the stride of conv1."""
    make = partial(BasicBlock, option="B")
    return ResNet(name, classes, small_stem(image, SMALL_MAPS[0]), make, SMALL_MAPS, BLOCKS[18])


def small_stem(image: int, maps: int) -> Stem:
    """3x3 with stride round(image / 32), and no pooling."""
    conv1 = nn.Conv2d(3, maps, 3, stride=max(1, round(image / 32)), padding=1, bias=False)
    return Stem(conv1, nn.Identity(), maps)


def small_bottlenecks(name: str, classes: int, image: int, *, make_block: MakeBlock) -> ResNet:
    """26 layers of bottlenecks: a quarter of the maps of Table 1, two blocks a stage, on crops of 32 to 96 px."""
    maps = [maps // 4 for maps in BOTTLENECK_MAPS]
    return ResNet(name, classes, small_stem(image, 16), make_block, maps, [2, 2, 2, 2])


def card(
    depth: int, option: Option, params: int, macs: int, published: str | None = None, *,
    strided: Literal[1, 2] = 1, trained_as: str = "resnet18_b",
) -> Card:  # fmt: skip
    """The card of a net of Table 1."""
    ways = {
        "plain": "no shortcuts",
        "A": "shortcuts padded with zeros where the shape changes",
        "B": "projections where the shape changes",
        "C": "projections as all shortcuts",
    }
    return photo_card(
        partial(large, depth=depth, option=option, strided=strided),
        small="resnet18_b_small",
        family="resnet",
        year=2015 if strided == 1 else 2016,
        source="He, Zhang, Ren, Sun 2015, arXiv:1512.03385, Table 1",
        params=params,
        macs=macs,
        depth=depth,
        trained_as=trained_as,
        published=published,
        note=f"{depth} layers, {ways[option]}" + (", the 3x3 convolutions stride" if strided == 2 else ""),
    )


VAL = "ILSVRC-2012 val, 1 net, 10 crops"
CROP = "ILSVRC-2012 val, 1 crop, weights of torchvision"

CARDS: dict[str, Card] = {
    "resnet18_b_small": small_card(
        small,
        family="resnet",
        year=2015,
        source="He, Zhang, Ren, Sun 2015, arXiv:1512.03385, Table 1; half of its maps",
        params=2_797_610,
        macs=139_299_328,
        depth=18,
        note="resnet18_b for images of 32 to 96 px: half the maps, 3x3 conv1 with stride round(image / 32), no pooling",
    ),
    "plain18": card(18, "plain", 11_515_688, 1_794_805_760, f"27.94 % top-1 error, {VAL}"),
    "plain34": card(34, "plain", 21_623_848, 3_644_493_824, f"28.54 % top-1 error, {VAL}"),
    "resnet18_a": card(18, "A", 11_515_688, 1_794_805_760, f"27.88 % top-1 error, {VAL}"),
    "resnet18_b": card(18, "B", 11_689_512, 1_814_073_344, trained_as=""),
    "resnet18_c": card(18, "C", 12_043_816, 1_878_298_624),
    "resnet34_a": card(34, "A", 21_623_848, 3_644_493_824, f"7.76 % top-5 error (25.03 % top-1), {VAL}"),
    "resnet34_b": card(34, "B", 21_797_672, 3_663_761_408, f"7.46 % top-5 error (24.52 % top-1), {VAL}"),
    "resnet34_c": card(34, "C", 22_716_840, 3_830_747_136, f"7.40 % top-5 error (24.19 % top-1), {VAL}"),
    "resnet50_a": card(50, "A", 22_780_456, 3_498_311_680),
    "resnet50_b": card(50, "B", 25_557_032, 3_857_973_248, f"6.71 % top-5 error (22.85 % top-1), {VAL}"),
    "resnet50_c": card(50, "C", 40_128_552, 6_324_224_000),
    "resnet101_a": card(101, "A", 41_772_584, 7_210_532_864),
    "resnet101_b": card(101, "B", 44_549_160, 7_570_194_432, f"6.05 % top-5 error (21.75 % top-1), {VAL}"),
    "resnet101_c": card(101, "C", 76_981_288, 13_530_300_416),
    "resnet152_a": card(152, "A", 57_416_232, 10_922_754_048),
    "resnet152_b": card(152, "B", 60_192_808, 11_282_415_616, f"5.71 % top-5 error (21.43 % top-1), {VAL}"),
    "resnet152_c": card(152, "C", 107_335_720, 20_736_376_832),
    "resnet50_v1_5": card(50, "B", 25_557_032, 4_089_184_256, f"7.14 % top-5 error (23.87 % top-1), {CROP}", strided=2),
    "resnet101_v1_5": card(
        101, "B", 44_549_160, 7_801_405_440, f"6.45 % top-5 error (22.63 % top-1), {CROP}", strided=2
    ),
    "resnet152_v1_5": card(
        152, "B", 60_192_808, 11_513_626_624, f"5.95 % top-5 error (21.69 % top-1), {CROP}", strided=2
    ),
}
