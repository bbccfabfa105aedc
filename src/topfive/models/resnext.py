"""ResNeXt: Xie, Girshick, Dollar, Tu, He 2016, arXiv:1611.05431, Table 1; wider ones by Mahajan et al. 2018.

A ResNet of bottlenecks whose 3x3 convolution works in `cardinality` groups of `width` maps each. That convolution
strides. The `_wsl` nets are those of Mahajan et al. 2018, arXiv:1805.00932, which were first trained on 940 million
hashtagged photos: the architecture is here, that training is not.

resnext50_32x4d_small, for crops of 32 to 96 px, has a quarter of the maps and of the groups and two blocks a stage (26
layers), on the stem of resnet18_b_small.
"""

from functools import partial

from topfive.layers import Bottleneck
from topfive.models.card import Card, photo_card, small_card
from topfive.models.resnet import BLOCKS, BOTTLENECK_MAPS, ResNet, large_stem, small_bottlenecks


def block(maps_in: int, maps: int, stride: int, *, cardinality: int, width: int) -> Bottleneck:
    """The block of Fig. 3 (c). `width` is that of conv2_x and doubles with the maps."""
    inner = cardinality * width * maps // BOTTLENECK_MAPS[0]
    return Bottleneck(maps_in, maps, stride, "B", width=inner, strided=2, groups=cardinality)


def small_block(maps_in: int, maps: int, stride: int) -> Bottleneck:
    """That of the 32x4d nets with a quarter of the groups, of the same width at each stage."""
    return Bottleneck(maps_in, maps, stride, "B", width=maps // 2, strided=2, groups=8)


def resnext(
    name: str, classes: int, image: int, *, depth: int, cardinality: int, width: int, recompute: bool = False
) -> ResNet:
    """A net of Table 1. `image` changes nothing: global average pooling takes every size."""
    make = partial(block, cardinality=cardinality, width=width)
    return ResNet(name, classes, large_stem(), make, BOTTLENECK_MAPS, BLOCKS[depth], recompute)


def card(
    depth: int, cardinality: int, width: int, params: int, macs: int, published: str, hashtags: bool = False
) -> Card:  # fmt: skip
    """The card of a net with `cardinality` groups of `width` maps."""
    return photo_card(
        partial(resnext, depth=depth, cardinality=cardinality, width=width),
        small="resnext50_32x4d_small",
        family="weakly_supervised" if hashtags else "resnext",
        year=2018 if hashtags else 2016,
        source="Mahajan et al. 2018, arXiv:1805.00932" if hashtags else "Xie et al. 2016, arXiv:1611.05431, Table 1",
        params=params,
        macs=macs,
        depth=depth,
        trained_as="resnet18_b",
        published=published,
        note=f"{depth} layers, {cardinality} groups of {width} maps"
        + ("; published after training on 940 million hashtagged photos" if hashtags else ""),
    )


CROP = "ILSVRC-2012 val, 1 crop"

CARDS: dict[str, Card] = {
    "resnext50_32x4d_small": small_card(
        partial(small_bottlenecks, make_block=small_block), family="resnext", year=2016,
        source="Xie et al. 2016, arXiv:1611.05431, Table 1; a quarter of its maps", depth=26,
        params=992_858, macs=55_497_728, trained_as="resnet18_b_small",
        note="resnext50_32x4d for images of 32 to 96 px: a quarter of maps and groups, 2 blocks a stage, small stem",
    ),
    "resnext50_32x4d": card(
        50, 32, 4, 25_028_904, 4_230_479_872, f"22.2 % top-1 error, {CROP}"
    ),
    "resnext101_32x4d": card(
        101, 32, 4, 44_177_704, 7_969_996_800, f"5.6 % top-5 error (21.2 % top-1), {CROP}"
    ),
    "resnext101_64x4d": card(
        101, 64, 4, 83_455_272, 15_460_270_080, f"5.3 % top-5 error (20.4 % top-1), {CROP}"
    ),
    "resnext101_32x8d": card(
        101, 32, 8, 88_791_336, 16_414_015_488,
        f"5.47 % top-5 error (20.69 % top-1), {CROP}, weights of torchvision",
    ),
    "resnext101_32x8d_wsl": card(
        101, 32, 8, 88_791_336, 16_414_015_488,
        f"3.6 % top-5 error (17.8 % top-1), {CROP}", True,
    ),
    "resnext101_32x16d_wsl": card(
        101, 32, 16, 194_026_792, 36_163_289_088,
        f"2.8 % top-5 error (15.8 % top-1), {CROP}", True,
    ),
    "resnext101_32x32d_wsl": card(
        101, 32, 32, 468_530_472, 87_106_781_184,
        f"2.5 % top-5 error (14.9 % top-1), {CROP}", True,
    ),
    "resnext101_32x48d_wsl": card(
        101, 32, 48, 828_411_176, 153_310_199_808,
        f"2.4 % top-5 error (14.6 % top-1), {CROP}", True,
    ),
}  # fmt: skip
