"""Inception-v3: Szegedy, Vanhoucke, Ioffe, Shlens, Wojna 2015, arXiv:1512.00567, Table 1 and Figs. 5 to 7, 10.

Convolutions are factored: 5x5 into two 3x3 (on 35x35 maps), 7x7 into 1x7 and 7x1 (on 17x17), 3x3 into 1x3 beside 3x1
(on 8x8). One auxiliary classifier with batch normalization sits on the last 17x17 maps. The widths are those of the
authors' release, which the paper's figures leave open; so is the weight of the auxiliary loss, 0.4, and one 5x5 in each
of the first modules. The stem is that release's too: a 1x1 convolution to 80 maps, a 3x3 to 192 and a pooling, where
Table 1 has three 3x3 convolutions to 80, 192 (strided) and 288 maps. Dropout is that release's, 0.2; weights start as
He et al. 2015 draw them. Average pools count the padding, as torchvision's port does, whose weights are passed on, and
the release does not. inception_v3_train is the same net, counted with its auxiliary classifier.

inception_v3_small, for crops of 32 to 96 px, has a quarter of the maps in every module. Its rule: the stem is two 3x3
convolutions, the first with stride round(image / 32), and one pooling, so that the three stages work on maps of about
16, 7 and 3 px (the paper's on 35, 17 and 8).
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from topfive.layers import (
    AuxiliaryClassifier,
    FullPrecisionLinear,
    Inception,
    Leg,
    Unit,
    chain,
    init_he,
    scaled_unit,
)
from topfive.models.card import Card, photo_card, small_card


def pooled(unit: Unit, maps_in: int, maps: int) -> nn.Sequential:
    """Average pooling and a 1x1 convolution."""
    return nn.Sequential(nn.AvgPool2d(3, 1, padding=1), unit(maps_in, maps, 1))


def module35(unit: Unit, maps_in: int, pool: int) -> Inception:
    """On 35x35 maps (Fig. 5); 224 + pool maps."""
    return Inception(
        one=unit(maps_in, 64, 1),
        five=chain(unit, [maps_in, 48, 64], [1, 5]),
        twice=chain(unit, [maps_in, 64, 96, 96], [1, 3, 3]),
        pool=pooled(unit, maps_in, pool),
    )


def module17(unit: Unit, maps_in: int, inner: int) -> Inception:
    """On 17x17 maps (Fig. 6, n = 7); 768 maps."""
    return Inception(
        one=unit(maps_in, 192, 1),
        seven=chain(unit, [maps_in, inner, inner, 192], [1, (1, 7), (7, 1)]),
        twice=chain(unit, [maps_in, *[inner] * 4, 192], [1, (7, 1), (1, 7), (7, 1), (1, 7)]),
        pool=pooled(unit, maps_in, 192),
    )


def module8(unit: Unit, maps_in: int) -> Inception:
    """On 8x8 maps (Fig. 7); 2048 maps."""

    def crossed() -> Inception:
        return Inception(wide=unit(384, 384, (1, 3)), high=unit(384, 384, (3, 1)))

    return Inception(
        one=unit(maps_in, 320, 1),
        three=nn.Sequential(unit(maps_in, 384, 1), crossed()),
        twice=nn.Sequential(unit(maps_in, 448, 1), unit(448, 384, 3), crossed()),
        pool=pooled(unit, maps_in, 192),
    )


def reduction35(unit: Unit, maps_in: int) -> Inception:
    """From 35x35 to 17x17 (Fig. 10)."""
    return Inception(
        three=chain(unit, [maps_in, 384], [3], stride=2),
        twice=chain(unit, [maps_in, 64, 96, 96], [1, 3, 3], stride=2),
        pool=nn.MaxPool2d(3, 2),
    )


def reduction17(unit: Unit, maps_in: int) -> Inception:
    """From 17x17 to 8x8."""
    return Inception(
        three=chain(unit, [maps_in, 192, 320], [1, 3], stride=2),
        seven=chain(unit, [maps_in, 192, 192, 192, 192], [1, (1, 7), (7, 1), 3], stride=2),
        pool=nn.MaxPool2d(3, 2),
    )


class PooledClassifier(nn.Module):
    """Average pooling 5x5 by 3, a 1x1 and a 5x5 convolution, one fully connected layer (Fig. 8)."""

    def __init__(self, unit: Unit, classes: int) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(5, 3)
        self.conv0 = unit(768, 128, 1)
        self.conv1 = unit(128, 768, 5, padding=0)
        self.fc = FullPrecisionLinear(768, classes)

    def forward(self, maps: Tensor) -> Tensor:
        """maps: (N, 768, 17, 17) or larger. Returns (N, classes)."""
        maps = self.conv1(self.conv0(self.pool(maps)))  # (N, 768, 17, 17) -> (N, 768, 1, 1)
        scores: Tensor = self.fc(maps.mean((2, 3)))  # -> (N, classes)
        return scores


class InceptionV3(AuxiliaryClassifier):
    """A stem of five convolutions, eleven inception modules, global average pooling, one fully connected layer.

    stem: up to 192 maps, of 35x35 for the paper's. share: of the paper's maps. auxiliary: have the auxiliary
    classifier, and give `WithAuxiliary` in training; it wants crops of at least 299 px. dropout: of the code.
    """

    auxiliary_weight = 0.4
    watched_sides = 299, sys.maxsize

    def __init__(
        self, name: str, classes: int, image: int, *, stem: Callable[[Unit, int], nn.Module], share: float = 1.0,
        at_least: int = 75, auxiliary: bool = True, dropout: float = 0.2,
    ) -> None:  # fmt: skip
        super().__init__(name, at_least=at_least)
        unit = partial(scaled_unit, share)
        self.stem = stem(unit, image)
        self.mixed5 = nn.Sequential(module35(unit, 192, 32), module35(unit, 256, 64), module35(unit, 288, 64))
        self.mixed6a = reduction35(unit, 288)
        self.mixed6 = nn.Sequential(*(module17(unit, 768, inner) for inner in (128, 160, 160, 192)))
        self.auxiliary = PooledClassifier(unit, classes) if auxiliary else None
        self.mixed7a = reduction17(unit, 768)
        self.mixed7 = nn.Sequential(module8(unit, 1280), module8(unit, 2048))
        self.dropout = nn.Dropout(dropout)
        self.fc = FullPrecisionLinear(round(2048 * share), classes)
        init_he(part for part in self.modules() if isinstance(part, nn.Conv2d | nn.Linear))

    def to_17(self, maps: Tensor) -> Tensor:
        """Sizes at line ends, here and below, are those of 299-px crops."""
        maps = self.mixed5(self.stem(maps))  # (N, 3, 299, 299) -> (N, 288, 35, 35)
        maps = self.mixed6(self.mixed6a(maps))  # -> (N, 768, 17, 17)
        return maps

    def to_code(self, maps: Tensor) -> Tensor:
        """From the last 17x17 maps: (N, 768, 17, 17) -> (N, 2048)."""
        maps = self.mixed7(self.mixed7a(maps))  # -> (N, 2048, 8, 8)
        code: Tensor = self.dropout(maps.mean((2, 3)))  # -> (N, 2048)
        return code

    def legs(self) -> list[Leg]:
        """To the last 17x17 maps, to the mean of each 8x8 map."""
        return [Leg(self.to_17, self.auxiliary), Leg(self.to_code)]


def large_stem(unit: Unit, image: int) -> nn.Sequential:
    """That of the authors' release; also of Inception-ResNet-v2."""
    return nn.Sequential(
        unit(3, 32, 3, 2, padding=0), unit(32, 32, 3, padding=0), unit(32, 64, 3), nn.MaxPool2d(3, 2),
        unit(64, 80, 1), unit(80, 192, 3, padding=0), nn.MaxPool2d(3, 2),
    )  # fmt: skip


def small_stem(unit: Unit, image: int) -> nn.Sequential:
    """To maps of about 16x16."""
    return nn.Sequential(
        unit(3, 64, 3, max(1, round(image / 32))), unit(64, 192, 3), nn.MaxPool2d(3, 2, padding=1)
    )  # fmt: skip


FACTS: dict[str, Any] = {
    "family": "inception", "year": 2015, "source": "Szegedy et al. 2015, arXiv:1512.00567, Table 1", "depth": 42,
}  # fmt: skip
paper_card = partial(
    photo_card, partial(InceptionV3, stem=large_stem, share=1.0, at_least=75), **FACTS, image=299, sides=(299, 640),
    smallest_photo=160, small="inception_v3_small",
)  # fmt: skip

CARDS: dict[str, Card] = {
    "inception_v3_small": small_card(
        partial(InceptionV3, stem=small_stem, share=0.25, at_least=32, auxiliary=False), **FACTS,
        params=1_369_714, macs=55_135_040, trained_as="resnet18_b_small",
        note="inception_v3 for images of 32 to 96 px: a quarter of the maps, a stem of two 3x3 convolutions with "
        "stride round(image / 32) and a pooling, no auxiliary classifier",
    ),
    "inception_v3": paper_card(
        params=23_834_568, macs=5_713_216_096,
        published="5.6 % top-5 error (21.2 % top-1), ILSVRC-2012 val without the blacklist, 1 crop",
        note="factored convolutions; one auxiliary classifier in training, which is not counted",
    ),
    "inception_v3_train": paper_card(
        params=27_161_264, macs=5_718_899_296, counted="training",
        note="inception_v3, counted with its auxiliary classifier",
    ),
}  # fmt: skip
