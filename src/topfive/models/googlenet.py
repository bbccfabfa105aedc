"""GoogLeNet: Szegedy et al. 2014, arXiv:1409.4842, Table 1, Fig. 3 and sec. 5.

Nine inception modules, local response normalization in the stem, global average pooling, and two auxiliary classifiers
on 4a and 4d whose losses count 0.3 each in training and which are not asked afterwards. Table 1 prints 2.7K parameters
for its first convolution, where a 7x7 across three colours has 9.4K; here it is the full one, as in the Caffe model
zoo's replica, whose constants of normalization these are too; the paper gives none. Sizes of pools are rounded up, as
Table 1's maps want it. Weights start as He et al. 2015 draw them; the paper is silent.

googlenet_small, for crops of 32 to 96 px, has a quarter of the maps in every layer but those of the auxiliary
classifiers. Its rule: conv1 is 3x3 with stride round(image / 32), and no pooling follows, so that conv2 works on maps
of about 32x32 (the paper's on 56x56).

googlenet_torchvision is not the paper's net but the one whose weights are passed on with torchvision: batch
normalization in place of local response normalization and biases, and 3x3 convolutions in the 5x5 branch. (Its
auxiliary classifiers pool to 4x4 by windows that overlap by one; here they are the paper's.) googlenet_train and
googlenet_torchvision_train are the same nets, counted with their auxiliary classifiers.
"""

import math
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn.functional import relu

from topfive.layers import (
    AuxiliaryClassifier,
    ConvUnit,
    FullPrecisionLinear,
    Inception,
    Leg,
    LocalResponseNorm,
    init_he,
)
from topfive.models.card import Card, photo_card, small_card


class Row(NamedTuple):
    """A row of Table 1: the maps of an inception module's branches, and of the 1x1 reductions before them."""

    one: int
    reduce3: int
    three: int
    reduce5: int
    five: int
    pool: int

    @property
    def maps(self) -> int:
        """What the module gives."""
        return self.one + self.three + self.five + self.pool


TABLE_1 = {
    "3a": Row(64, 96, 128, 16, 32, 32),
    "3b": Row(128, 128, 192, 32, 96, 64),
    "4a": Row(192, 96, 208, 16, 48, 64),
    "4b": Row(160, 112, 224, 24, 64, 64),
    "4c": Row(128, 128, 256, 24, 64, 64),
    "4d": Row(112, 144, 288, 32, 64, 64),
    "4e": Row(256, 160, 320, 32, 128, 128),
    "5a": Row(256, 160, 320, 32, 128, 128),
    "5b": Row(384, 192, 384, 48, 128, 128),
}


class Form(NamedTuple):
    """In what the paper's net, torchvision's and the small one differ."""

    bn: bool = False
    kernel5: int = 5  # of the 5x5 branch
    pool4: int = 3
    dropout: float = 0.4
    share: float = 1.0  # of the paper's maps
    small_stem: bool = False


PAPER = Form()
TORCHVISION = Form(bn=True, kernel5=3, pool4=2, dropout=0.2)
SMALL = Form(share=0.25, small_stem=True)


def module(maps_in: int, row: Row, form: Form) -> Inception:
    """Fig. 2 (b)."""
    unit = partial(ConvUnit, bn=form.bn, eps=1e-3)
    return Inception(
        one=unit(maps_in, row.one, 1),
        three=nn.Sequential(unit(maps_in, row.reduce3, 1), unit(row.reduce3, row.three, 3)),
        five=nn.Sequential(unit(maps_in, row.reduce5, 1), unit(row.reduce5, row.five, form.kernel5)),
        pool=nn.Sequential(nn.MaxPool2d(3, 1, padding=1), unit(maps_in, row.pool, 1)),
    )


class PooledClassifier(nn.Module):
    """Average pooling 5x5 by 3, a 1x1 convolution, and two fully connected layers with dropout between (sec. 5)."""

    def __init__(self, maps_in: int, side: int, classes: int, bn: bool) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(5, 3)
        self.conv = ConvUnit(maps_in, 128, 1, bn=bn, eps=1e-3)
        self.fc1 = nn.Linear(128 * ((side - 5) // 3 + 1) ** 2, 1024)
        self.dropout = nn.Dropout(0.7)
        self.fc2 = FullPrecisionLinear(1024, classes)

    def forward(self, maps: Tensor) -> Tensor:
        """maps: (N, C, side, side). Returns (N, classes)."""
        maps = self.conv(self.pool(maps))  # (N, 512, 14, 14) -> (N, 128, 4, 4)
        units = self.dropout(relu(self.fc1(maps.flatten(1))))  # -> (N, 1024)
        scores: Tensor = self.fc2(units)  # -> (N, classes)
        return scores


class GoogLeNet(AuxiliaryClassifier):
    """A stem, nine inception modules in three stages, global average pooling, one fully connected layer.

    form: the paper's or torchvision's. image: side of the crop in training, px, which the auxiliary classifiers are
    made for; the rest takes any image of at least 32 px. auxiliary: have them, and give `WithAuxiliary` in training.
    """

    auxiliary_weight = 0.3  # sec. 5

    def __init__(
        self, name: str, classes: int, image: int, *, form: Form = PAPER, auxiliary: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(name, at_least=32)
        self.watched_sides = image, image
        unit, pool = partial(ConvUnit, bn=form.bn, eps=1e-3), partial(nn.MaxPool2d, stride=2, ceil_mode=True)
        low, high = round(64 * form.share), round(192 * form.share)
        rows = {key: Row(*(round(maps * form.share) for maps in row)) for key, row in TABLE_1.items()}
        stem_stride = max(1, round(image / 32)) if form.small_stem else 2
        self.conv1 = unit(3, low, 3 if form.small_stem else 7, stem_stride)
        self.pool1 = nn.Identity() if form.small_stem else pool(3)
        self.norm1, self.norm2 = (nn.Identity() if form.bn else LocalResponseNorm.of_caffe() for _ in range(2))
        self.conv2 = nn.Sequential(unit(low, low, 1), unit(low, high, 3))
        self.pool2, self.pool3, self.pool4 = pool(3), pool(3), pool(form.pool4)
        maps_in = [high, *(row.maps for row in rows.values())]
        modules = {key: module(maps, row, form) for maps, (key, row) in zip(maps_in, rows.items(), strict=False)}
        self.inception3 = nn.Sequential(*(modules[key] for key in ("3a", "3b")))
        self.inception4a = modules["4a"]
        self.inception4bcd = nn.Sequential(*(modules[key] for key in ("4b", "4c", "4d")))
        self.inception4e = modules["4e"]
        self.inception5 = nn.Sequential(*(modules[key] for key in ("5a", "5b")))
        self.dropout = nn.Dropout(form.dropout)
        self.auxiliary1: nn.Module | None = None
        self.auxiliary2: nn.Module | None = None
        if auxiliary:
            side = math.ceil(image / stem_stride) // (4 if form.small_stem else 8)  # the pools round down
            self.auxiliary1 = PooledClassifier(rows["4a"].maps, side, classes, form.bn)
            self.auxiliary2 = PooledClassifier(rows["4d"].maps, side, classes, form.bn)
        self.fc = FullPrecisionLinear(rows["5b"].maps, classes)
        init_he(part for part in self.modules() if isinstance(part, nn.Conv2d | nn.Linear))

    def to_4a(self, maps: Tensor) -> Tensor:
        """Sizes at line ends, here and below, are those of 224-px crops."""
        maps = self.norm1(self.pool1(self.conv1(maps)))  # (N, 3, 224, 224) -> (N, 64, 56, 56)
        maps = self.pool2(self.norm2(self.conv2(maps)))  # -> (N, 192, 28, 28)
        maps = self.pool3(self.inception3(maps))  # -> (N, 480, 14, 14)
        maps = self.inception4a(maps)  # -> (N, 512, 14, 14)
        return maps

    def to_4d(self, maps: Tensor) -> Tensor:
        """From 4a: (N, 512, 14, 14) -> (N, 528, 14, 14)."""
        maps = self.inception4bcd(maps)
        return maps

    def to_code(self, maps: Tensor) -> Tensor:
        """From 4d: (N, 528, 14, 14) -> (N, 1024)."""
        maps = self.pool4(self.inception4e(maps))  # -> (N, 832, 7, 7)
        code: Tensor = self.dropout(self.inception5(maps).mean((2, 3)))  # -> (N, 1024)
        return code

    def legs(self) -> list[Leg]:
        """To 4a, to 4d, to the mean of each map of 5b."""
        return [Leg(self.to_4a, self.auxiliary1), Leg(self.to_4d, self.auxiliary2), Leg(self.to_code)]


PUBLISHED = "ILSVRC-2012 val, 1 net, 1 crop"
FACTS: dict[str, Any] = {
    "family": "inception", "year": 2014, "source": "Szegedy et al. 2014, arXiv:1409.4842, Table 1", "depth": 22,
}  # fmt: skip
paper_card = partial(photo_card, partial(GoogLeNet, form=PAPER), **FACTS, small="googlenet_small")
torchvision_card = partial(
    photo_card, partial(GoogLeNet, form=TORCHVISION), family="inception", year=2018,
    source="torchvision 0.28, googlenet", depth=22, small="googlenet_small",
)  # fmt: skip

CARDS: dict[str, Card] = {
    "googlenet_small": small_card(
        partial(GoogLeNet, form=SMALL), **FACTS, params=377_126, macs=30_315_008, trained_as="alexnet_small",
        note="googlenet for images of 32 to 96 px: a quarter of the maps, 3x3 conv1 with stride round(image / 32), "
        "no pool1",
    ),
    "googlenet": paper_card(
        params=6_998_552, macs=1_582_671_872,
        published=f"10.07 % top-5 error, {PUBLISHED}",
        note="inception modules, LRN; two auxiliary classifiers in training, which are not counted",
    ),
    "googlenet_train": paper_card(
        params=13_378_280, macs=1_591_044_096, counted="training",
        note="googlenet, counted with its auxiliary classifiers",
    ),
    "googlenet_torchvision": torchvision_card(
        params=6_624_904, macs=1_498_376_192,
        published="10.47 % top-5 error (30.22 % top-1), ILSVRC-2012 val, 1 crop, weights of torchvision",
        note="batch normalization and 3x3 in the 5x5 branch: the form whose weights are passed on",
    ),
    "googlenet_torchvision_train": torchvision_card(
        params=13_004_888, macs=1_506_748_416, counted="training",
        note="googlenet_torchvision, counted with its auxiliary classifiers",
    ),
}  # fmt: skip
