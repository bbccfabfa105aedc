"""Squeeze-and-excitation nets: Hu, Shen, Sun 2017, arXiv:1709.01507, Table 1 and sec. 6.

The ResNets and ResNeXts of their papers with a gate on every residual branch before the sum (Fig. 3), and Inception
nets with one after every module (Fig. 2). SENet-154, the net of the 2017 challenge, changes more (appendix of the
paper): the first 1x1 of a bottleneck is half as wide, the first 7x7 is three 3x3, projections that stride are 3x3, and
dropout comes before the last layer.

`ceil_pool` does not pad the pool before conv2_x but rounds its size up, as Caffe does: the authors' weights want it.

se_resnet50_small, for crops of 32 to 96 px, has a quarter of the maps and two blocks a stage (26 layers), on the stem
of resnet18_b_small; its gates squeeze by 4, so that the narrowest has 16 units.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from torch import Tensor, nn
from torch.nn.functional import relu

from topfive.layers import Bottleneck, Classifier, SqueezeExcite
from topfive.models.bn_inception import PHOTO_STEP, BnInception
from topfive.models.card import Card, photo_card, small_card
from topfive.models.inception_resnet_v2 import InceptionResNetV2
from topfive.models.inception_v3 import large_stem as inception_stem
from topfive.models.resnet import (
    BLOCKS,
    BOTTLENECK_MAPS,
    MakeBlock,
    ResNet,
    Stem,
    large_stem,
    small_bottlenecks,
)

PAPER = "Hu, Shen, Sun 2017, arXiv:1709.01507"
BLOCKS_154 = [3, 8, 36, 3]


def gated(maps_in: int, maps: int, stride: int) -> Bottleneck:
    """The bottleneck of a ResNet with a gate."""
    return Bottleneck(maps_in, maps, stride, "B", width=maps // 4, gate=SqueezeExcite(maps))


def gated_groups(maps_in: int, maps: int, stride: int) -> Bottleneck:
    """The bottleneck of a ResNeXt 32x4d with a gate."""
    return Bottleneck(maps_in, maps, stride, "B", width=maps // 2, strided=2, groups=32, gate=SqueezeExcite(maps))


def small_gated(maps_in: int, maps: int, stride: int) -> Bottleneck:
    """The bottleneck of se_resnet50_small."""
    return Bottleneck(maps_in, maps, stride, "B", width=maps // 4, gate=SqueezeExcite(maps, reduction=4))


class Bottleneck154(nn.Module):
    """The block of SENet-154: 64 groups, and a first 1x1 of half the width."""

    def __init__(self, maps_in: int, maps: int, stride: int) -> None:
        super().__init__()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or maps_in != maps:
            kernel = 1 if stride == 1 else 3
            self.shortcut = nn.Sequential(
                nn.Conv2d(maps_in, maps, kernel, stride, padding=kernel // 2, bias=False), nn.BatchNorm2d(maps)
            )
        self.conv1 = nn.Conv2d(maps_in, maps // 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(maps // 2)
        self.conv2 = nn.Conv2d(maps // 2, maps, 3, stride, padding=1, groups=64, bias=False)
        self.bn2 = nn.BatchNorm2d(maps)
        self.conv3 = nn.Conv2d(maps, maps, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(maps)
        self.gate = SqueezeExcite(maps)

    def forward(self, maps: Tensor) -> Tensor:
        """maps: (N, maps_in, H, W). Returns (N, maps, H/stride, W/stride)."""
        short = self.shortcut(maps)  # -> (N, maps, H/stride, W/stride)
        branch = relu(self.bn1(self.conv1(maps)))  # -> (N, maps/2, H, W)
        branch = relu(self.bn2(self.conv2(branch)))  # -> (N, maps, H/stride, W/stride)
        branch = self.gate(self.bn3(self.conv3(branch)))  # -> (N, maps, H/stride, W/stride)
        return relu(short + branch)


class SENet154(ResNet):
    """A ResNet of 154 layers with three 3x3 convolutions at its start and dropout before its last layer."""

    def __init__(self, name: str, classes: int, image: int, *, dropout: float = 0.2, recompute: bool = False) -> None:
        conv1 = nn.Sequential(
            nn.Conv2d(3, 64, 3, 2, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
            nn.Conv2d(64, 128, 3, padding=1, bias=False),
        )  # fmt: skip
        stem = Stem(conv1, nn.MaxPool2d(3, 2, ceil_mode=True), 128)
        super().__init__(name, classes, stem, Bottleneck154, BOTTLENECK_MAPS, BLOCKS_154, recompute)
        self.dropout = nn.Dropout(dropout)

    def body(self, maps: Tensor) -> Tensor:
        """The mean of each map of conv5_x: (N, 3, H, W) -> (N, 2048)."""
        means: Tensor = self.dropout(super().body(maps))
        return means


def gated_net(
    name: str, classes: int, image: int, *, depth: int, block: MakeBlock, ceil_pool: bool = False,
    recompute: bool = False,
) -> ResNet:  # fmt: skip
    """A ResNet or ResNeXt with gates. `image` changes nothing: global average pooling takes every size."""
    stem = large_stem()
    if ceil_pool:
        stem = stem._replace(pool1=nn.MaxPool2d(3, 2, ceil_mode=True))
    return ResNet(name, classes, stem, block, BOTTLENECK_MAPS, BLOCKS[depth], recompute)


def card(builder: Callable[..., Classifier], depth: int, params: int, macs: int, errors: tuple[str, str]) -> Card:
    """The card of a net with gates. errors: top-1 and top-5, %."""
    top1, top5 = errors
    return photo_card(
        builder,
        small="se_resnet50_small",
        family="senet",
        year=2017,
        source=PAPER,
        params=params,
        macs=macs,
        depth=depth,
        published=f"{top5} % top-5 error ({top1} % top-1), ILSVRC-2012 val, 1 crop",
        note=f"{depth} layers, a gate on every residual branch, r = 16",
    )


CARDS: dict[str, Card] = {
    "se_resnet50_small": small_card(
        partial(small_bottlenecks, make_block=small_gated),
        family="senet",
        year=2017,
        source=f"{PAPER}; a quarter of the maps",
        params=1_232_954,
        macs=41_427_968,
        trained_as="resnet18_b_small",
        depth=26,
        note="se_resnet50 for images of 32 to 96 px: a quarter of the maps, 2 blocks a stage, r = 4, small stem",
    ),
    "se_resnet50": card(partial(gated_net, depth=50, block=gated), 50, 28_088_024, 3_860_488_192, ("23.29", "6.62")),
    "se_resnet101": card(partial(gated_net, depth=101, block=gated), 101, 49_326_872, 7_574_937_600, ("22.38", "6.07")),
    "se_resnet152": card(
        partial(gated_net, depth=152, block=gated), 152, 66_821_848, 11_288_993_792, ("21.57", "5.73")
    ),
    "se_resnext50_32x4d": card(
        partial(gated_net, depth=50, block=gated_groups), 50, 27_559_896, 4_232_994_816, ("21.10", "5.49")
    ),
    "se_resnext101_32x4d": card(
        partial(gated_net, depth=101, block=gated_groups), 101, 48_955_416, 7_974_739_968, ("20.70", "5.01")
    ),
    "se_bn_inception": replace(
        card(
            partial(BnInception, share=1.0, small_stem=False, gated=True),
            31,
            11_931_622,
            2_033_239_424,
            ("24.23", "7.14"),
        ),
        multiple_of=PHOTO_STEP,
        note="31 layers, a gate on every module",
    ),
    "se_inception_resnet_v2": photo_card(
        partial(InceptionResNetV2, stem=inception_stem, blocks=(10, 20, 10), share=1.0, at_least=75, gated=True),
        small="se_resnet50_small",
        family="senet",
        year=2017,
        source=PAPER,
        image=299,
        sides=(299, 640),
        smallest_photo=160,
        counted_here=True,
        params=65_092_718,
        macs=13_164_990_944,
        published="4.79 % top-5 error (19.80 % top-1), ILSVRC-2012 val, 1 crop of 299 px",
        note="a reconstruction: gates on every module, r = 16; no definition of the paper's net was released",
    ),
    "senet154": card(SENet154, 154, 115_088_984, 20_688_363_520, ("18.68", "4.47")),
}
