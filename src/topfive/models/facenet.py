"""FaceNet: Schroff, Kalenichenko, Philbin 2015, arXiv:1503.03832, Tables 1 and 2, sec. 3.

A network that maps an image to a point on a sphere in 128 dimensions, trained by triplets: an image is to lie nearer
to those of its own class than to any of another, by a margin (eq. 3). NN1 is a Zeiler-Fergus net with 1x1 convolutions
and maxout units, NN2 an inception net with L2 pooling. Here a class is scored by minus the squared distance of the code
from the mean code of its training images; the paper, which compares pairs of faces, has no classes. It gives no
constants of normalization, which are AlexNet's here, and no first weights, which are as He et al. 2015 draw them.

facenet_nn2_small, for crops of 32 to 96 px, has a quarter of the maps. Its rule: conv1 is 3x3 with stride
round(image / 32), and no pooling follows. It is batch-normalized, as OpenFace's port of NN2 is: without, triplets of a
few thousand small images were not seen to train.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.functional import normalize

from topfive.layers import (
    Centres,
    Classifier,
    ConvUnit,
    Embeddings,
    Inception,
    LocalResponseNorm,
    Maxout,
    init_he,
)
from topfive.models.card import Card, photo_card, small_card

CODE = 128


class L2Pool2d(nn.Module):
    """The root of the sum of squares in each 3x3 window."""

    kernel_size, stride, padding = 3, 1, 1

    def forward(self, maps: Tensor) -> Tensor:
        """maps: (N, C, H, W). Returns the same shape."""
        mean = F.avg_pool2d(maps.float().square(), self.kernel_size, self.stride, self.padding)
        return (9 * mean + 1e-12).sqrt().to(maps.dtype)  # the small number keeps the gradient finite at 0


class FaceNet(Classifier):
    """A trunk that ends in one vector, the code, and the centres of the classes. In training it gives `Embeddings`."""

    head = "centres"

    def __init__(self, name: str, classes: int, side: int | None, at_least: int, trunk: nn.Module, inputs: int) -> None:
        super().__init__(name, side, at_least=at_least)
        self.slides = False  # a code is of one image, not of a position
        self.trunk = trunk
        self.fc = nn.Linear(inputs, CODE)
        self.centres = Centres(CODE, classes)
        init_he(part for part in self.modules() if isinstance(part, nn.Conv2d | nn.Linear))

    def body(self, maps: Tensor) -> Tensor:
        """The code, of unit length: (N, 3, H, W) -> (N, 128)."""
        states = self.trunk(maps)  # -> (N, 4096) or (N, 1024)
        return normalize(self.fc(states).float())  # -> (N, 128)

    def forward(self, images: Tensor) -> Tensor | Embeddings:
        """Minus squared distances (N, classes), float32, of images (N, 3, H, W) in [0, 1]; in training the codes."""
        codes = self.features(images)
        return Embeddings(codes) if self.training else self.score(codes)


def nn1(name: str, classes: int, image: int) -> FaceNet:
    """Table 1, on crops of 220 px."""
    unit, pool = partial(ConvUnit, bn=False), partial(nn.MaxPool2d, 3, 2)
    trunk = nn.Sequential(
        unit(3, 64, 7, 2), pool(ceil_mode=True), LocalResponseNorm(),  # -> (N, 64, 55, 55)
        unit(64, 64, 1), unit(64, 192, 3), LocalResponseNorm(), pool(padding=1),  # -> (N, 192, 28, 28)
        unit(192, 192, 1), unit(192, 384, 3), pool(ceil_mode=True),  # -> (N, 384, 14, 14)
        unit(384, 384, 1), unit(384, 256, 3),  # -> (N, 256, 14, 14)
        unit(256, 256, 1), unit(256, 256, 3),
        unit(256, 256, 1), unit(256, 256, 3), pool(ceil_mode=True), nn.Flatten(),  # -> (N, 256 * 7 * 7)
        nn.Linear(256 * 7 * 7, 2 * 4096), Maxout(), nn.Linear(4096, 2 * 4096), Maxout(),  # -> (N, 4096)
    )  # fmt: skip
    return FaceNet(name, classes, image, 1, trunk, 4096)


class Row(NamedTuple):
    """A row of Table 2: maps of the branches and of the 1x1 before them; pool 0 is max pooling that passes through.

    A module without a 1x1 branch halves the maps' sides.
    """

    one: int
    reduce3: int
    three: int
    reduce5: int
    five: int
    pooling: Literal["max", "l2"]
    pool: int


TABLE_2 = [
    Row(64, 96, 128, 16, 32, "max", 32),
    Row(64, 96, 128, 32, 64, "l2", 64),
    Row(0, 128, 256, 32, 64, "max", 0),
    Row(256, 96, 192, 32, 64, "l2", 128),
    Row(224, 112, 224, 32, 64, "l2", 128),
    Row(192, 128, 256, 32, 64, "l2", 128),
    Row(160, 144, 288, 32, 64, "l2", 128),
    Row(0, 160, 256, 64, 128, "max", 0),
    Row(384, 192, 384, 48, 128, "l2", 128),
    Row(384, 192, 384, 48, 128, "max", 128),
]


def module(maps_in: int, row: Row, share: float, unit: Callable[..., ConvUnit]) -> tuple[Inception, int]:
    """An inception module with `share` of a row's maps, and the maps it gives."""
    one, reduce3, three, reduce5, five, projected = (
        round(cell * share) for cell in (row.one, row.reduce3, row.three, row.reduce5, row.five, row.pool)
    )
    stride = 1 if one else 2
    branches: dict[str, nn.Module] = {"one": unit(maps_in, one, 1)} if one else {}
    branches["three"] = nn.Sequential(unit(maps_in, reduce3, 1), unit(reduce3, three, 3, stride))
    branches["five"] = nn.Sequential(unit(maps_in, reduce5, 1), unit(reduce5, five, 5, stride))
    pool = L2Pool2d() if row.pooling == "l2" else nn.MaxPool2d(3, stride, padding=1)
    branches["pool"] = nn.Sequential(pool, unit(maps_in, projected, 1)) if projected else pool
    return Inception(**branches), one + three + five + (projected or maps_in)


def nn2(name: str, classes: int, image: int, *, share: float, small_stem: bool, bn: bool) -> FaceNet:
    """Table 2. share: of its maps. small_stem: for crops of 32 to 96 px. bn: batch normalization in place of LRN."""
    unit, low, high = partial(ConvUnit, bn=bn), round(64 * share), round(192 * share)
    layers: list[nn.Module] = [unit(3, low, 7, 2), nn.MaxPool2d(3, 2, padding=1)]  # -> (N, 64, 56, 56)
    if small_stem:
        layers = [unit(3, low, 3, max(1, round(image / 32)))]  # -> (N, 32, 32, 32)
    norms: list[nn.Module] = [] if bn else [LocalResponseNorm()]
    layers += [*norms, unit(low, low, 1), unit(low, high, 3), *norms, nn.MaxPool2d(3, 2, padding=1)]
    maps = high  # (N, 192, 28, 28)
    for row in TABLE_2:
        part, maps = module(maps, row, share, unit)
        layers.append(part)
    return FaceNet(
        name, classes, None, 32, nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), maps
    )  # (N, 1024)


FACTS: dict[str, Any] = {"family": "facenet", "year": 2015}
FACES = "Schroff, Kalenichenko, Philbin 2015, arXiv:1503.03832"

CARDS: dict[str, Card] = {
    "facenet_nn2_small": small_card(
        partial(nn2, share=0.25, small_stem=True, bn=True), source=f"{FACES}, Table 2; a quarter of its maps",
        **FACTS, classes=1000, params=494_024, macs=30_646_272, trained_as="resnet18_b_small",
        note="facenet_nn2 for images of 32 to 96 px: a quarter of the maps, 3x3 conv1 with stride round(image / 32), "
        "no pool after it, batch normalization",
    ),
    "facenet_nn1": photo_card(
        nn1, source=f"{FACES}, Table 1", **FACTS, image=220, sides=(220, 220),
        small="facenet_nn2_small", params=140_025_664, macs=1_605_944_064, depth=14,
        note="a code of 128 numbers by triplets: 1x1 convolutions and maxout",
    ),
    "facenet_nn2": photo_card(
        partial(nn2, share=1.0, small_stem=False, bn=False), source=f"{FACES}, Table 2", **FACTS,
        small="facenet_nn2_small", params=7_456_304, macs=1_596_530_688, depth=24,
        note="a code of 128 numbers by triplets: inception modules with L2 pooling",
    ),
}  # fmt: skip
