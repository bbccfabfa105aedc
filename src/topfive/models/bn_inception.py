"""Inception with batch normalization: Ioffe, Szegedy 2015, arXiv:1502.03167, Figs. 4 and 5 (its supplement).

GoogLeNet whose 5x5 convolutions are two 3x3, normalized before every ReLU, without local response normalization and
without biases. Departs from the printed table, which gives 576 maps to 4c and 4d: their branches sum to 608, as in the
Caffe nets that were released. Its first convolution was separable there; here it is a full 7x7, as in those nets.
Weights start as He et al. 2015 draw them; the paper is silent.
"""

from functools import partial
from typing import Any, NamedTuple

from torch import Tensor, nn

from topfive.layers import Classifier, ConvUnit, FullPrecisionLinear, Inception, SqueezeExcite, init_he
from topfive.models.card import Card, photo_card, small_card

STEP, PHOTO_STEP = 16, 32  # px: of other sides the branches of 3c and 4e would give maps of two sizes
unit = partial(ConvUnit, bn=True)


class Row(NamedTuple):
    """A row of Fig. 5: maps of the branches (`twice`: two 3x3 convolutions) and of the 1x1 before them.

    pool 0 is max pooling that passes through. A module without a 1x1 branch halves the maps' sides.
    """

    one: int
    reduce3: int
    three: int
    reduce_twice: int
    twice: int
    average: bool
    pool: int


FIG_5 = {
    "3a": Row(64, 64, 64, 64, 96, True, 32),
    "3b": Row(64, 64, 96, 64, 96, True, 64),
    "3c": Row(0, 128, 160, 64, 96, False, 0),
    "4a": Row(224, 64, 96, 96, 128, True, 128),
    "4b": Row(192, 96, 128, 96, 128, True, 128),
    "4c": Row(160, 128, 160, 128, 160, True, 128),
    "4d": Row(96, 128, 192, 160, 192, True, 128),
    "4e": Row(0, 128, 192, 192, 256, False, 0),
    "5a": Row(352, 192, 320, 160, 224, True, 128),
    "5b": Row(352, 192, 320, 192, 224, False, 128),
}


def module(maps_in: int, row: Row, share: float) -> tuple[Inception, int]:
    """An inception module with `share` of a row's maps, and the maps it gives."""
    one, reduce3, three, reduce_twice, twice, projected = (
        round(cell * share) for cell in (row.one, row.reduce3, row.three, row.reduce_twice, row.twice, row.pool)
    )
    stride = 1 if one else 2
    branches: dict[str, nn.Module] = {"one": unit(maps_in, one, 1)} if one else {}
    branches["three"] = nn.Sequential(unit(maps_in, reduce3, 1), unit(reduce3, three, 3, stride))
    branches["twice"] = nn.Sequential(
        unit(maps_in, reduce_twice, 1), unit(reduce_twice, twice, 3), unit(twice, twice, 3, stride)
    )
    if projected:
        pool = (nn.AvgPool2d if row.average else nn.MaxPool2d)(3, 1, padding=1)
        branches["pool"] = nn.Sequential(pool, unit(maps_in, projected, 1))
    else:
        branches["pool"] = nn.MaxPool2d(3, 2, ceil_mode=True)
    return Inception(**branches), one + three + twice + (projected or maps_in)


class BnInception(Classifier):
    """A stem, ten inception modules in three stages, global average pooling, one fully connected layer.

    share: of the paper's maps. small_stem: for crops of 32 to 96 px. gated: squeeze and excitation after each module.
    """

    def __init__(
        self, name: str, classes: int, image: int, *, share: float = 1.0, small_stem: bool = False, gated: bool = False
    ) -> None:
        super().__init__(name, at_least=32, multiple_of=STEP if small_stem else PHOTO_STEP)
        low, high = round(64 * share), round(192 * share)
        if small_stem:
            self.conv1 = unit(3, low, 3, max(1, round(image / 32)))
            self.pool1: nn.Module = nn.Identity()
        else:
            self.conv1 = unit(3, low, 7, 2)
            self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = nn.Sequential(unit(low, low, 1), unit(low, high, 3))
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        stages: dict[str, list[nn.Module]] = {"3": [], "4": [], "5": []}
        maps = high
        for key, row in FIG_5.items():
            part, maps = module(maps, row, share)
            stages[key[0]] += [part, SqueezeExcite(maps)] if gated else [part]
        self.inception3, self.inception4, self.inception5 = (nn.Sequential(*parts) for parts in stages.values())
        self.fc = FullPrecisionLinear(maps, classes)
        init_he(part for part in self.modules() if isinstance(part, nn.Conv2d | nn.Linear))

    def body(self, maps: Tensor) -> Tensor:
        """The mean of each map of 5b: (N, 3, H, W) -> (N, 1024). Sizes at line ends are those of 224-px crops."""
        maps = self.pool1(self.conv1(maps))  # (N, 3, 224, 224) -> (N, 64, 56, 56)
        maps = self.pool2(self.conv2(maps))  # -> (N, 192, 28, 28)
        maps = self.inception3(maps)  # -> (N, 576, 14, 14)
        maps = self.inception4(maps)  # -> (N, 1056, 7, 7)
        maps = self.inception5(maps)  # -> (N, 1024, 7, 7)
        return maps.mean((2, 3))  # -> (N, 1024)


FACTS: dict[str, Any] = {
    "family": "inception", "year": 2015, "source": "Ioffe, Szegedy 2015, arXiv:1502.03167, Figs. 4 and 5", "depth": 31,
}  # fmt: skip

CARDS: dict[str, Card] = {
    "bn_inception_small": small_card(
        partial(BnInception, share=0.25, small_stem=True, gated=False), **FACTS,
        multiple_of=STEP, params=647_434, macs=39_497_216, trained_as="resnet18_b_small",
        note="bn_inception for images of 32 to 96 px: a quarter of the maps, 3x3 conv1 with stride round(image / 32), "
        "no pool1",
    ),
    "bn_inception": photo_card(
        partial(BnInception, share=1.0, small_stem=False, gated=False), **FACTS,
        multiple_of=PHOTO_STEP, small="bn_inception_small",
        params=11_285_224, macs=2_032_600_064,
        published="7.82 % top-5 error (25.2 % top-1), ILSVRC-2012 val, 1 net, 1 crop",
        note="GoogLeNet with batch normalization, two 3x3 convolutions in place of a 5x5",
    ),
}  # fmt: skip
