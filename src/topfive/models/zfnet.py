"""ZFNet: Zeiler, Fergus 2013, arXiv:1311.2901, Fig. 3; and (b) of Table 2, with wider middle layers.

AlexNet with a smaller window and stride in conv1 and conv2, found by looking at what its filters see (sec. 4.1). The
paper gives the sizes of all maps but not all paddings; those here give its maps (110, 55, 26, 13, 6 px). Departs: its
contrast normalization is AlexNet's local response normalization, whose layer the paper speaks of without constants.
"""

from functools import partial

from torch import Tensor, nn
from torch.nn.functional import relu

from topfive.layers import Classifier, FullPrecisionLinear, LocalResponseNorm
from topfive.models.card import Card

A = (96, 256, 384, 384, 256)  # maps of conv1 to conv5
B = (96, 256, 512, 1024, 512)
SIDE = 224  # px: what the fully connected layers are made for
UNITS = 4096  # of fc6 and fc7


class ZfNet(Classifier):
    """Five convolutions, three fully connected layers, overlapping pools in ceil mode."""

    head = "fc8"

    def __init__(
        self, name: str, classes: int, image: int, *, maps: tuple[int, int, int, int, int], dropout: float = 0.5
    ) -> None:
        super().__init__(name, image)
        self.conv1 = nn.Conv2d(3, maps[0], 7, 2, padding=1)
        self.conv2 = nn.Conv2d(maps[0], maps[1], 5, 2)
        self.conv3 = nn.Conv2d(maps[1], maps[2], 3, padding=1)
        self.conv4 = nn.Conv2d(maps[2], maps[3], 3, padding=1)
        self.conv5 = nn.Conv2d(maps[3], maps[4], 3, padding=1)
        self.pool1, self.pool2, self.pool5 = (nn.MaxPool2d(3, 2, ceil_mode=True) for _ in range(3))
        self.norm1, self.norm2 = LocalResponseNorm(), LocalResponseNorm()
        self.fc6 = nn.Linear(maps[4] * 6 * 6, UNITS)
        self.fc7 = nn.Linear(UNITS, UNITS)
        self.fc8 = FullPrecisionLinear(UNITS, classes)
        self.dropout = nn.Dropout(dropout)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):  # sec. 3: all weights 0.01, biases 0
                nn.init.normal_(module.weight, std=0.01)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def body(self, maps: Tensor) -> Tensor:
        """fc7: (N, 3, 224, 224) -> (N, 4096). Sizes at line ends are those of (a)."""
        maps = self.norm1(self.pool1(relu(self.conv1(maps))))  # (N, 3, 224, 224) -> (N, 96, 55, 55)
        maps = self.norm2(self.pool2(relu(self.conv2(maps))))  # -> (N, 256, 13, 13)
        maps = relu(self.conv3(maps))  # -> (N, 384, 13, 13)
        maps = relu(self.conv4(maps))  # -> (N, 384, 13, 13)
        maps = self.pool5(relu(self.conv5(maps)))  # -> (N, 256, 6, 6)
        units: Tensor = self.dropout(relu(self.fc6(maps.flatten(1))))  # -> (N, 4096)
        units = self.dropout(relu(self.fc7(units)))  # -> (N, 4096)
        return units


def card(maps: tuple[int, int, int, int, int], params: int, macs: int, published: str, note: str) -> Card:
    """The card of (a) or (b)."""
    return Card(
        partial(ZfNet, maps=maps),
        family="zfnet",
        year=2013,
        source="Zeiler, Fergus 2013, arXiv:1311.2901, Fig. 3 and Table 2",
        sides=(SIDE, SIDE),
        smallest_photo=128,
        small="alexnet_small",
        params=params,
        macs=macs,
        depth=8,
        published=f"{published}, ILSVRC-2012 val, 1 net, 10 crops",
        note=note,
    )


CARDS: dict[str, Card] = {
    "zfnet": card(
        A, 62_357_608, 1_168_032_896, "16.5 % top-5 error (38.4 % top-1)",
        "alexnet with 7x7 windows and stride 2 in conv1",
    ),
    "zfnet_b": card(
        B, 107_627_624, 2_476_704_896, "16.0 % top-5 error (37.5 % top-1)",
        "zfnet with 512, 1024 and 512 maps in conv3 to conv5",
    ),
}  # fmt: skip
