"""Inception-ResNet-v2: Szegedy, Ioffe, Vanhoucke, Alemi 2016, arXiv:1602.07261, Figs. 15 to 19, as released.

Inception modules as the branches of residual blocks: each ends in a 1x1 convolution without ReLU, whose output is
scaled down (sec. 3.3) before it is added. Departs from the paper: its figures have the stem of Inception-v4 and 5, 10
and 5 blocks (32.4 million parameters); the net that was released and whose weights are passed on, which is this one,
has the stem of Inception-v3, one more inception module, and 10, 20 and 10 blocks. The last block is neither scaled down
nor rectified. Weights start as He et al. 2015 draw them; the paper is silent.

inception_resnet_v2_small, for crops of 32 to 96 px, has a quarter of the maps and 2, 4 and 2 blocks, on the stem of
inception_v3_small.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import relu

from topfive.layers import (
    Classifier,
    FullPrecisionLinear,
    Inception,
    Recomputed,
    SqueezeExcite,
    Unit,
    chain,
    init_he,
    scaled_unit,
)
from topfive.models.card import Card, photo_card, small_card
from topfive.models.inception_v3 import large_stem, small_stem


class ResidualInception(nn.Module):
    """Branches, a 1x1 convolution back to the width of the input, times `scale`, added to the input.

    maps, inner: of the input and of the branches together. gated: squeeze and excitation before the sum. rectify: ReLU
    after it.
    """

    def __init__(
        self, maps: int, inner: int, scale: float, branches: Inception, gated: bool, rectify: bool = True
    ) -> None:
        super().__init__()
        self.branches = branches
        self.up = nn.Conv2d(inner, maps, 1)
        self.gate = SqueezeExcite(maps) if gated else None
        self.scale, self.rectify = scale, rectify

    def forward(self, maps: Tensor) -> Tensor:
        """maps: (N, C, H, W). Returns (N, C, H, W)."""
        branch = self.up(self.branches(maps))  # -> (N, C, H, W)
        if self.gate is not None:
            branch = self.gate(branch)
        total = maps + self.scale * branch
        return relu(total) if self.rectify else total


def module35(unit: Unit) -> Inception:
    """The module after the stem; 320 maps."""
    return Inception(
        one=unit(192, 96, 1),
        five=chain(unit, [192, 48, 64], [1, 5]),
        twice=chain(unit, [192, 64, 96, 96], [1, 3, 3]),
        pool=nn.Sequential(nn.AvgPool2d(3, 1, padding=1, count_include_pad=False), unit(192, 64, 1)),
    )


def block35(unit: Unit, share: float, gated: bool) -> ResidualInception:
    """On 35x35 maps (Fig. 16)."""
    branches = Inception(
        one=unit(320, 32, 1),
        three=chain(unit, [320, 32, 32], [1, 3]),
        twice=chain(unit, [320, 32, 48, 64], [1, 3, 3]),
    )
    return ResidualInception(round(320 * share), round(128 * share), 0.17, branches, gated)


def block17(unit: Unit, share: float, gated: bool) -> ResidualInception:
    """On 17x17 maps (Fig. 17)."""
    branches = Inception(one=unit(1088, 192, 1), seven=chain(unit, [1088, 128, 160, 192], [1, (1, 7), (7, 1)]))
    return ResidualInception(round(1088 * share), round(384 * share), 0.10, branches, gated)


def block8(unit: Unit, share: float, gated: bool, last: bool) -> ResidualInception:
    """On 8x8 maps (Fig. 19)."""
    branches = Inception(one=unit(2080, 192, 1), three=chain(unit, [2080, 192, 224, 256], [1, (1, 3), (3, 1)]))
    scale = 1.0 if last else 0.20
    return ResidualInception(round(2080 * share), round(448 * share), scale, branches, gated, rectify=not last)


def reduction35(unit: Unit) -> Inception:
    """From 35x35 to 17x17 (Fig. 7 with the numbers of Table 1); 1088 maps."""
    return Inception(
        three=chain(unit, [320, 384], [3], stride=2),
        twice=chain(unit, [320, 256, 256, 384], [1, 3, 3], stride=2),
        pool=nn.MaxPool2d(3, 2),
    )


def reduction17(unit: Unit) -> Inception:
    """From 17x17 to 8x8 (Fig. 18); 2080 maps."""
    return Inception(
        three=chain(unit, [1088, 256, 384], [1, 3], stride=2),
        three_b=chain(unit, [1088, 256, 288], [1, 3], stride=2),
        twice=chain(unit, [1088, 256, 288, 320], [1, 3, 3], stride=2),
        pool=nn.MaxPool2d(3, 2),
    )


class InceptionResNetV2(Classifier):
    """A stem, three stages of residual inception blocks, a 1x1 convolution, global average pooling, one last layer.

    stem: as in `inception_v3`. blocks: of the three stages. share: of the paper's maps. gated: squeeze and excitation
    on every module. dropout: of the code in training. recompute: see `layers.Recomputed`.
    """

    def __init__(
        self, name: str, classes: int, image: int, *, stem: Callable[[Unit, int], nn.Module] = large_stem,
        blocks: tuple[int, int, int] = (10, 20, 10), share: float = 1.0, at_least: int = 75, gated: bool = False,
        dropout: float = 0.2, recompute: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(name, at_least=at_least)
        unit, stack = partial(scaled_unit, share), Recomputed if recompute else nn.Sequential
        self.stem = stem(unit, image)

        def module(part: nn.Module, maps: int) -> nn.Module:
            return nn.Sequential(part, SqueezeExcite(round(maps * share))) if gated else part

        self.mixed5b = module(module35(unit), 320)
        self.blocks35 = stack(*(block35(unit, share, gated) for _ in range(blocks[0])))
        self.mixed6a = module(reduction35(unit), 1088)
        self.blocks17 = stack(*(block17(unit, share, gated) for _ in range(blocks[1])))
        self.mixed7a = module(reduction17(unit), 2080)
        self.blocks8 = stack(*(block8(unit, share, gated, last=n == blocks[2] - 1) for n in range(blocks[2])))
        self.conv7b = unit(2080, 1536, 1)
        self.dropout = nn.Dropout(dropout)
        self.fc = FullPrecisionLinear(round(1536 * share), classes)
        init_he(part for part in self.modules() if isinstance(part, nn.Conv2d | nn.Linear))

    def body(self, maps: Tensor) -> Tensor:
        """The mean of each map of conv7b: (N, 3, H, W) -> (N, 1536). Sizes at line ends are those of 299-px crops."""
        maps = self.mixed5b(self.stem(maps))  # (N, 3, 299, 299) -> (N, 320, 35, 35)
        maps = self.mixed6a(self.blocks35(maps))  # -> (N, 1088, 17, 17)
        maps = self.mixed7a(self.blocks17(maps))  # -> (N, 2080, 8, 8)
        maps = self.conv7b(self.blocks8(maps))  # -> (N, 1536, 8, 8)
        means: Tensor = self.dropout(maps.mean((2, 3)))  # -> (N, 1536)
        return means


FACTS: dict[str, Any] = {
    "family": "inception", "year": 2016, "source": "Szegedy et al. 2016, arXiv:1602.07261, as released"
}  # fmt: skip

CARDS: dict[str, Card] = {
    "inception_resnet_v2_small": small_card(
        partial(InceptionResNetV2, stem=small_stem, blocks=(2, 4, 2), share=0.25, at_least=32, gated=False), **FACTS,
        params=1_194_178, macs=56_344_960, trained_as="resnet18_b_small",
        note="inception_resnet_v2 for images of 32 to 96 px: a quarter of the maps, 2, 4 and 2 blocks, a small stem",
    ),
    "inception_resnet_v2": photo_card(
        partial(InceptionResNetV2, stem=large_stem, blocks=(10, 20, 10), share=1.0, at_least=75, gated=False), **FACTS,
        image=299, sides=(299, 640), smallest_photo=160, small="inception_resnet_v2_small",
        params=55_843_464, macs=13_155_794_016,
        published="4.9 % top-5 error (19.9 % top-1), ILSVRC-2012 val without the blacklist, 1 crop",
        note="inception modules as residual branches, scaled down before the sum; 10, 20 and 10 of them as released, "
        "where the published errors are of the paper's 5, 10 and 5",
    ),
}  # fmt: skip
