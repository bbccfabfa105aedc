"""ResNets with pre-activation: He, Zhang, Ren, Sun 2016, arXiv:1603.05027, Fig. 4 (e) and the appendix.

Batch normalization and ReLU come before each convolution, and nothing after the sum, so that a signal passes through
all identities untouched. In the first unit after the stem, and where a unit changes the shape, the first normalization
and ReLU come before the shortcut too (appendix); projections have no normalization of their own. The last maps are
normalized once more before the pooling.
"""

from functools import partial
from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import relu

from topfive.layers import Classifier, FullPrecisionLinear, Recomputed, ZeroPadShortcut, init_residual
from topfive.models.card import Card, cifar_card, photo_card

Kind = Literal["basic", "bottleneck"]
BLOCKS = {50: [3, 4, 6, 3], 101: [3, 4, 23, 3], 152: [3, 8, 36, 3], 200: [3, 24, 36, 3]}
CIFAR_STAGES = [(16, 1), (32, 2), (64, 2)]  # maps of a basic unit, a quarter of a bottleneck's; stride of the first


class PreactUnit(nn.Module):
    """Normalized and rectified convolutions, two 3x3 or 1x1, 3x3 and 1x1, added to a shortcut.

    strided: the convolution that strides, 1 or 2; the authors' code takes the first in nets for CIFAR and the 3x3 of a
    bottleneck in those for photos. activate: whether the input is still to be normalized; the first unit after a stem
    that does so itself takes it as it is. first: after the stem. Basic units pad their shortcuts with zeros,
    bottlenecks project them.
    """

    def __init__(
        self, kind: Kind, maps_in: int, maps: int, stride: int, strided: Literal[1, 2], activate: bool = True,
        first: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.bn1 = nn.BatchNorm2d(maps_in) if activate else None
        changes = stride != 1 or maps_in != maps
        self.shared = first or changes  # the first activation is the shortcut's too
        self.shortcut: nn.Module = nn.Identity()
        if changes and kind == "bottleneck":
            self.shortcut = nn.Conv2d(maps_in, maps, 1, stride, bias=False)
        elif changes:
            self.shortcut = ZeroPadShortcut(maps_in, maps, stride)
        width = maps // 4 if kind == "bottleneck" else maps
        kernels = [1, 3, 1] if kind == "bottleneck" else [3, 3]
        inner: list[nn.Module] = []
        for place, kernel in enumerate(kernels):
            last, step = place == len(kernels) - 1, stride if place == strided - 1 else 1
            if place:
                inner += [nn.BatchNorm2d(width), nn.ReLU()]
            inner.append(
                nn.Conv2d(
                    width if place else maps_in, maps if last else width, kernel, step, padding=kernel // 2, bias=False
                )
            )
        self.branch = nn.Sequential(*inner)

    def forward(self, maps: Tensor) -> Tensor:
        """maps: (N, maps_in, H, W). Returns (N, maps, H/stride, W/stride)."""
        active = maps if self.bn1 is None else relu(self.bn1(maps))  # -> (N, maps_in, H, W)
        short = self.shortcut(active if self.shared else maps)  # -> (N, maps, H/stride, W/stride)
        total: Tensor = short + self.branch(active)
        return total


def units(
    kind: Kind, maps_in: int, maps: int, stride: int, count: int, strided: Literal[1, 2], recompute: bool,
    activate: bool = True, first: bool = False,
) -> nn.Sequential:  # fmt: skip
    """`count` units, the first of which may stride and change the number of maps."""
    stack = Recomputed if recompute else nn.Sequential
    return stack(
        PreactUnit(kind, maps_in, maps, stride, strided, activate, first),
        *(PreactUnit(kind, maps, maps, 1, strided) for _ in range(count - 1)),
    )


class PreactResNet(Classifier):
    """A stem, stages of units, a last normalization, global average pooling, one fully connected layer."""

    def __init__(
        self, name: str, classes: int, stem: nn.Module, stages: list[nn.Module], maps: int, *,
        at_least: int, multiple_of: int = 1,
    ) -> None:  # fmt: skip
        super().__init__(name, at_least=at_least, multiple_of=multiple_of)
        self.stem = stem
        self.stages = nn.Sequential(*stages)
        self.bn = nn.BatchNorm2d(maps)
        self.fc = FullPrecisionLinear(maps, classes)
        init_residual(self, self.fc)

    def body(self, maps: Tensor) -> Tensor:
        """The mean of each map of the last stage: (N, 3, H, W) -> (N, maps)."""
        maps = self.stages(self.stem(maps))  # (N, 3, H, W) -> (N, maps, H/4, W/4) for CIFAR, H/32 for photos
        return relu(self.bn(maps)).mean((2, 3))  # -> (N, maps)


def cifar(name: str, classes: int, image: int, *, kind: Kind, n: int, recompute: bool = False) -> PreactResNet:
    """6n + 2 or 9n + 2 layers. `image` changes nothing: global average pooling takes every size.

    recompute: keep less in memory while training, for more time (see `layers.Recomputed`).
    """
    stem = nn.Conv2d(3, 16, 3, padding=1, bias=False)
    wider, maps_in, stages = 4 if kind == "bottleneck" else 1, 16, list[nn.Module]()
    for maps, stride in CIFAR_STAGES:
        stages.append(units(kind, maps_in, wider * maps, stride, n, 1, recompute, first=not stages))
        maps_in = wider * maps
    return PreactResNet(name, classes, stem, stages, maps_in, at_least=16, multiple_of=4)


def large(name: str, classes: int, image: int, *, depth: int, recompute: bool = False) -> PreactResNet:
    """A net for photos. `image` changes nothing: global average pooling takes every size. recompute: as in `cifar`."""
    stem = nn.Sequential(
        nn.Conv2d(3, 64, 7, 2, padding=3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)
    )
    one, two, three, four = BLOCKS[depth]
    stages: list[nn.Module] = [
        units("bottleneck", 64, 256, 1, one, 2, recompute, activate=False),
        units("bottleneck", 256, 512, 2, two, 2, recompute),
        units("bottleneck", 512, 1024, 2, three, 2, recompute),
        units("bottleneck", 1024, 2048, 2, four, 2, recompute),
    ]
    return PreactResNet(name, classes, stem, stages, 2048, at_least=32)


def small_images(kind: Kind, n: int, depth: int, params: int, macs: int, top1: str) -> Card:
    """The card of a net for CIFAR."""
    return cifar_card(
        partial(cifar, kind=kind, n=n),
        family="resnet_preact",
        year=2016,
        source="He, Zhang, Ren, Sun 2016, arXiv:1603.05027, Table 3",
        params=params,
        macs=macs,
        depth=depth,
        trained_as="cifar_resnet20",
        published=f"{top1} % top-1 error, CIFAR-10 test, one view",
        note=f"{depth} layers, normalization and ReLU before each convolution; crops of a multiple of 4 px",
    )


def large_card(depth: int, params: int, macs: int, published: str | None = None) -> Card:
    """The card of a net for photos."""
    return photo_card(
        partial(large, depth=depth),
        small="resnet18_b_small",
        family="resnet_preact",
        year=2016,
        source="He, Zhang, Ren, Sun 2016, arXiv:1603.05027, Table 5",
        params=params,
        macs=macs,
        depth=depth,
        trained_as="resnet18_b",
        published=published and f"{published}, ILSVRC-2012 val, 1 crop of 320 px",
        note=f"{depth} layers, normalization and ReLU before each convolution",
    )


CARDS: dict[str, Card] = {
    "cifar_preact_resnet110": small_images("basic", 18, 110, 1_727_962, 252_887_680, "6.37"),
    "cifar_preact_resnet164": small_images("bottleneck", 18, 164, 1_703_258, 244_500_992, "5.46"),
    "cifar_preact_resnet1001": small_images("bottleneck", 111, 1001, 10_327_706, 1_487_849_984, "4.92"),
    "preact_resnet50": large_card(50, 25_549_352, 4_089_184_256),
    "preact_resnet101": large_card(101, 44_541_480, 7_801_405_440),
    "preact_resnet152": large_card(152, 60_185_128, 11_513_626_624, "5.5 % top-5 error (21.1 % top-1)"),
    "preact_resnet200": large_card(200, 64_666_152, 15_007_481_856, "5.3 % top-5 error (20.7 % top-1)"),
}
