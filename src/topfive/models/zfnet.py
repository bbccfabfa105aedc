"""ZFNet: Zeiler, Fergus 2013, arXiv:1311.2901, Fig. 3; and (b) of Table 2, with wider middle layers.

AlexNet with a smaller window and stride in conv1 and conv2, found by looking at what its filters see (sec. 4.1). The
paper gives the sizes of all maps but not all paddings; those here give its maps (110, 55, 26, 13, 6 px). Departs: its
contrast normalization is AlexNet's local response normalization, whose layer the paper speaks of without constants.

zfnet_small, for crops of 32 to 96 px, has a quarter of the maps and 512 units in fc6 and fc7. Its rule: conv1 is 3x3
with stride round(image / 32), conv2 does not stride; weights start as He et al. 2015 draw them.
"""

import math
from functools import partial

from torch import Tensor, nn
from torch.nn.functional import relu

from topfive.layers import FullyConnectedEnd, LocalResponseNorm, init_he
from topfive.models.card import Card, small_card

Maps = tuple[int, int, int, int, int]  # of conv1 to conv5

A: Maps = (96, 256, 384, 384, 256)
B: Maps = (96, 256, 512, 1024, 512)
SIDE = 224  # px: what the fully connected layers are made for


class ZfNet(FullyConnectedEnd):
    """Five convolutions, three fully connected layers, overlapping pools in ceil mode.

    maps: of the convolutions. units: of fc6 and fc7. small_stem: for crops of 32 to 96 px. dropout: after fc6
    and fc7, in training. input_dropout: share of the pixels set to 0 in training; a slide of the
    lectures shows it, the paper does not.
    """

    def __init__(
        self, name: str, classes: int, image: int, *, maps: Maps, small_stem: bool, units: int = 4096,
        dropout: float = 0.5, input_dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(name, image)
        self.input_dropout = nn.Dropout(input_dropout)
        self.conv1 = nn.Conv2d(3, maps[0], 7, 2, padding=1)
        self.conv2 = nn.Conv2d(maps[0], maps[1], 5, 2)
        side = 6
        if small_stem:
            stride = max(1, round(image / 32))
            self.conv1 = nn.Conv2d(3, maps[0], 3, stride, padding=1)
            self.conv2 = nn.Conv2d(maps[0], maps[1], 5, padding=2)
            side = math.ceil(image / stride) // 8  # the pools round down
        self.conv3 = nn.Conv2d(maps[1], maps[2], 3, padding=1)
        self.conv4 = nn.Conv2d(maps[2], maps[3], 3, padding=1)
        self.conv5 = nn.Conv2d(maps[3], maps[4], 3, padding=1)
        self.pool1, self.pool2, self.pool5 = (nn.MaxPool2d(3, 2, ceil_mode=True) for _ in range(3))
        self.norm1, self.norm2 = LocalResponseNorm(), LocalResponseNorm()
        self.set_end(maps[4] * side**2, units, classes, dropout)
        layers = [module for module in self.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
        init_he(layers)  # biases 0, as in sec. 3
        if not small_stem:
            for layer in layers:
                nn.init.normal_(layer.weight, std=0.01)  # sec. 3

    def maps_of(self, images: Tensor) -> Tensor:
        """pool5: (N, 3, 224, 224) -> (N, 256, 6, 6). Sizes at line ends are those of (a)."""
        images = self.input_dropout(images)
        maps: Tensor = self.norm1(self.pool1(relu(self.conv1(images))))  # (N, 3, 224, 224) -> (N, 96, 55, 55)
        maps = self.norm2(self.pool2(relu(self.conv2(maps))))  # -> (N, 256, 13, 13)
        maps = relu(self.conv3(maps))  # -> (N, 384, 13, 13)
        maps = relu(self.conv4(maps))  # -> (N, 384, 13, 13)
        maps = self.pool5(relu(self.conv5(maps)))  # -> (N, 256, 6, 6)
        return maps


def card(maps: Maps, params: int, macs: int, published: str, note: str) -> Card:
    """The card of (a) or (b)."""
    return Card(
        partial(ZfNet, maps=maps, small_stem=False),
        family="zfnet",
        year=2013,
        source="Zeiler, Fergus 2013, arXiv:1311.2901, Fig. 3 and Table 2",
        sides=(SIDE, SIDE),
        smallest_photo=128,
        small="zfnet_small",
        params=params,
        macs=macs,
        depth=8,
        published=f"{published}, ILSVRC-2012 val, 1 net, 10 crops",
        note=note,
    )


SMALL: Maps = (24, 64, 96, 96, 64)

CARDS: dict[str, Card] = {
    "zfnet_small": small_card(
        partial(ZfNet, maps=SMALL, small_stem=True, units=512), family="zfnet", year=2013,
        source="Zeiler, Fergus 2013, arXiv:1311.2901, Fig. 3; a quarter of its maps",
        params=1_025_514, macs=23_671_808, trained_as="alexnet_small", depth=8,
        note="zfnet for images of 32 to 96 px: a quarter of the maps, 3x3 conv1 with stride round(image / 32), He "
        "weights",
    ),
    "zfnet": card(
        A, 62_357_608, 1_168_032_896, "16.5 % top-5 error (38.4 % top-1)",
        "alexnet with 7x7 windows and stride 2 in conv1",
    ),
    "zfnet_b": card(
        B, 107_627_624, 2_476_704_896, "16.0 % top-5 error (37.5 % top-1)",
        "zfnet with 512, 1024 and 512 maps in conv3 to conv5",
    ),
}  # fmt: skip
