"""MobileNet: Howard, Zhu, Chen, Kalenichenko, Wang, Weyand, Andreetto, Adam 2017, arXiv:1704.04861, Table 1.

Depthwise separable convolutions: a 3x3 for each map alone, then a 1x1 across them, each with batch normalization and
ReLU (the authors' release caps it at 6: `relu6`). The width multiplier thins every layer, the resolution multiplier is
the side of the crop (sec. 3.3, 3.4).

Departs from Table 1: its last separable layer is printed with stride 2 on 7x7 maps; with stride 1 its output is the
printed one. Weights start as He et al. 2015 draw them; the paper is silent.

mobilenet_v1_small, for crops of 32 to 96 px, has half of the maps. Its rule: conv1 strides by round(image / 32), and
the first separable layer that strides in Table 1 does not, so that the last maps are of about 4 px (the paper's of 7).
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.functional import relu

from topfive.layers import Classifier, FullPrecisionLinear, init_he
from topfive.models.card import Card, photo_card, small_card

# Table 1 after the first convolution: maps, stride.
TABLE_1 = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
SMALL = [(maps, 1 if maps <= 128 else stride) for maps, stride in TABLE_1]
SHALLOW = [row for place, row in enumerate(TABLE_1) if not 6 <= place <= 10]  # Table 5: without the five alike


class TensorFlowConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME does: an odd number of lines goes right and below."""

    def forward(self, maps: Tensor) -> Tensor:
        """maps: (N, C, H, W). Returns (N, C', ceil(H/stride), ceil(W/stride))."""
        edges = []
        for side, kernel, stride in zip(maps.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            missing = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
            edges += [missing // 2, missing - missing // 2]
        return F.conv2d(F.pad(maps, edges), self.weight, self.bias, self.stride, groups=self.groups)


class Form(NamedTuple):
    """How convolutions with windows are padded, what batch normalization adds to variances, and what follows it."""

    conv: type[nn.Conv2d] = nn.Conv2d
    eps: float = 1e-5
    rectify: Callable[[Tensor], Tensor] = relu


TENSORFLOW = Form(TensorFlowConv2d, 1e-3, F.relu6)


class Separable(nn.Module):
    """3x3 depthwise and 1x1 pointwise convolutions, each with batch normalization and ReLU (Fig. 3, right)."""

    def __init__(self, maps_in: int, maps: int, stride: int, form: Form) -> None:
        super().__init__()
        self.depthwise = form.conv(maps_in, maps_in, 3, stride, padding=1, groups=maps_in, bias=False)
        self.bn1 = nn.BatchNorm2d(maps_in, form.eps)
        self.pointwise = nn.Conv2d(maps_in, maps, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(maps, form.eps)
        self.rectify = form.rectify

    def forward(self, maps: Tensor) -> Tensor:
        """maps: (N, maps_in, H, W). Returns (N, maps, H/stride, W/stride)."""
        maps = self.rectify(self.bn1(self.depthwise(maps)))  # -> (N, maps_in, H/stride, W/stride)
        return self.rectify(self.bn2(self.pointwise(maps)))  # -> (N, maps, H/stride, W/stride)


class Full(nn.Module):
    """A 3x3 convolution across all maps, for the net that separable ones are compared with (Table 4)."""

    def __init__(self, maps_in: int, maps: int, stride: int, form: Form) -> None:
        super().__init__()
        self.conv = form.conv(maps_in, maps, 3, stride, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(maps, form.eps)
        self.rectify = form.rectify

    def forward(self, maps: Tensor) -> Tensor:
        """maps: (N, maps_in, H, W). Returns (N, maps, H/stride, W/stride)."""
        return self.rectify(self.bn(self.conv(maps)))


class MobileNet(Classifier):
    """A 3x3 convolution, the rows of a table as blocks, global average pooling, one fully connected layer.

    tensorflow: pad, normalize and rectify as the authors' released weights want it. relu6: rectify as they do, up to 6,
    which timm's weights want too; the paper says ReLU.
    """

    def __init__(
        self, name: str, classes: int, image: int, *, block: type[Separable | Full], rows: list[tuple[int, int]],
        width: float, small_stem: bool = False, tensorflow: bool = False, relu6: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(name, at_least=32)
        stride = max(1, round(image / 32)) if small_stem else 2
        form = TENSORFLOW if tensorflow else Form(rectify=F.relu6 if relu6 else relu)
        self.rectify = form.rectify
        maps_in = int(32 * width)
        self.conv1 = form.conv(3, maps_in, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(maps_in, form.eps)
        blocks: list[nn.Module] = []
        for maps, stride in rows:
            blocks.append(block(maps_in, int(maps * width), stride, form))
            maps_in = int(maps * width)
        self.blocks = nn.Sequential(*blocks)
        self.fc = FullPrecisionLinear(maps_in, classes)
        init_he(module for module in self.modules() if isinstance(module, nn.Conv2d))
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)

    def body(self, maps: Tensor) -> Tensor:
        """The mean of each map of the last block: (N, 3, H, W) -> (N, 1024 * width).

        Sizes at line ends are those of width 1 on 224-px crops.
        """
        maps = self.rectify(self.bn1(self.conv1(maps)))  # (N, 3, 224, 224) -> (N, 32, 112, 112)
        maps = self.blocks(maps)  # -> (N, 1024, 7, 7)
        return maps.mean((2, 3))  # -> (N, 1024)


# Tables 6 and 7, and the release for the rest: width -> parameters, and by side multiply-adds and top-1 error in %.
PARAMS = {1.0: 4_231_976, 0.75: 2_585_560, 0.5: 1_331_592, 0.25: 470_072}
MACS = {
    1.0: {224: 568_740_352, 192: 418_121_728, 160: 290_675_200, 128: 186_400_768},
    0.75: {224: 325_400_448, 192: 239_273_472, 160: 166_396_800, 128: 106_770_432},
    0.5: {224: 149_497_088, 192: 109_970_432, 160: 76_524_800, 128: 49_160_192},
    0.25: {224: 41_030_272, 192: 30_212_608, 160: 21_059_200, 128: 13_570_048},
}
TOP1 = {
    (1.0, 224): 29.4, (1.0, 192): 30.9, (1.0, 160): 32.8, (1.0, 128): 35.6,
    (0.75, 224): 31.6, (0.5, 224): 36.3, (0.5, 160): 39.8, (0.25, 224): 49.4,
}  # fmt: skip


def card(
    depth: int, params: int, macs: int, top1: float | None, note: str, *, width: float = 1.0,
    side: int = 224, block: type[Separable | Full] = Separable, rows: list[tuple[int, int]] = TABLE_1,
) -> Card:  # fmt: skip
    """The card of a net of the paper."""
    return photo_card(
        partial(MobileNet, block=block, rows=rows, width=width, small_stem=False),
        family="mobilenet",
        year=2017,
        source="Howard et al. 2017, arXiv:1704.04861, Table 1",
        image=side,
        small="mobilenet_v1_small",
        params=params,
        macs=macs,
        depth=depth,
        published=None if top1 is None else f"{top1} % top-1 error, ILSVRC-2012 val, 1 crop",
        note=note,
    )


CARDS: dict[str, Card] = {
    f"mobilenet_v1_{width}_{side}": card(
        28, PARAMS[width], macs, TOP1.get((width, side)),
        f"depthwise separable convolutions, width {width:g}, {side}-px crops", width=width, side=side,
    )
    for width, by_side in MACS.items() for side, macs in by_side.items()
}  # fmt: skip
CARDS["mobilenet_v1_small"] = small_card(
    partial(MobileNet, block=Separable, rows=SMALL, width=0.5, small_stem=True), family="mobilenet", year=2017,
    source="Howard et al. 2017, arXiv:1704.04861, Table 1; half of its maps",
    params=823_722, macs=45_310_976, trained_as="resnet18_b_small", depth=28,
    note="mobilenet_v1_1.0_224 for images of 32 to 96 px: half the maps, two layers fewer that stride",
)  # fmt: skip
CARDS["mobilenet_v1_shallow"] = card(
    18, 2_887_976, 307_323_392, 34.7, "without the five layers of 14x14x512 (Table 5)",
    rows=SHALLOW,
)  # fmt: skip
CARDS["mobilenet_conv"] = card(
    15, 29_294_088, 4_867_293_184, 28.3, "full 3x3 convolutions in place of separable ones (Table 4)",
    block=Full,
)  # fmt: skip
