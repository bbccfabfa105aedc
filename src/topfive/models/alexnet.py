"""AlexNet: Krizhevsky, Sutskever, Hinton 2012, NIPS 2012, sec. 3 and Fig. 2; and one of its towers for small images.

caffenet pools before it normalizes, with Caffe's constants of normalization, as its model zoo's reference net of that
name; its first weights are the paper's, where that net draws those of fc6 and fc7 half as wide.
alexnet_single_tower has the same widths without groups. alexnet_owt is the single tower of Krizhevsky 2014,
arXiv:1404.5997, with 64, 192, 384, 256 and 256 maps and without LRN; torchvision passes its weights on as "alexnet".

`alexnet_towers.TwoTowers` puts the two towers on two devices, as the paper trained them.

Departs from the paper: images are 227 px, which is what its 55x55 maps of conv1 take without padding (it prints 224).

The paper feeds pixels of 0..255 less their mean; the constants of its LRN and of its first weights are made for that
scale. Pixels here lie in [0, 1], so the paper's recipe sets `normalize.std` to 1/255.

alexnet_small, for crops of 32 to 96 px, is one of the two towers: half of the maps in every layer, no groups. Its rule:
conv1 is 5x5 with stride round(image / 32) and padding 2, so that its maps are about 32x32; the other layers and the
pools are the paper's; fc6 and fc7 have 1024 units. conv3 sees this tower alone, where the paper's sees both. It starts
from He's weights, because its layers have too few inputs for the paper's: on 1,200 digits of 8x8 px, scaled up to 32
and normalized to a deviation near 1, with SGD at 0.01 for 6 epochs, it stayed at chance (10 % right) from the paper's
weights and got 90 % right from He's (one run each).
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

from torch import Tensor, nn
from torch.nn.functional import relu

from topfive.layers import FullyConnectedEnd, LocalResponseNorm, init_he
from topfive.models.card import Card, photo_card, small_card


class Conv(NamedTuple):
    """One row of the tables; `bias` is what the biases start from (sec. 5)."""

    maps: int
    kernel: int
    stride: int
    padding: int
    groups: int
    bias: float


TWO_TOWERS = [
    Conv(96, 11, 4, 0, 1, 0.0),
    Conv(256, 5, 1, 2, 2, 1.0),
    Conv(384, 3, 1, 1, 1, 0.0),
    Conv(384, 3, 1, 1, 2, 1.0),
    Conv(256, 3, 1, 1, 2, 1.0),
]
FC_BIASES = [1.0, 1.0, 0.0]
SINGLE_TOWER = [row._replace(groups=1) for row in TWO_TOWERS]
ONE_WEIRD_TRICK = [
    Conv(64, 11, 4, 2, 1, 0.0),
    Conv(192, 5, 1, 2, 1, 1.0),
    Conv(384, 3, 1, 1, 1, 0.0),
    Conv(256, 3, 1, 1, 1, 1.0),
    Conv(256, 3, 1, 1, 1, 1.0),
]

EACH_TOWER = partial(LocalResponseNorm, groups=2)  # normalizes its own maps alone, as each of the paper's devices did


def one_tower(image: int) -> list[Conv]:
    """The rows of alexnet_small for crops of `image` px."""
    conv1, *others = TWO_TOWERS
    first = conv1._replace(maps=conv1.maps // 2, kernel=5, stride=max(1, round(image / 32)), padding=2)
    return [first, *(row._replace(maps=row.maps // 2, groups=1) for row in others)]


class AlexNet(FullyConnectedEnd):
    """Five convolutions, three fully connected layers.

    rows: the convolutions. units: of fc6 and fc7. dropout: after fc6 and fc7, in training. lrn: normalize after conv1
    and conv2. norm: makes these layers. pool_first: pool before that, as CaffeNet. init: "paper" or "he".
    image: side of the crop in px.
    """

    def __init__(
        self, name: str, classes: int, image: int, *, rows: list[Conv], units: int = 4096, dropout: float = 0.5,
        lrn: bool = True, norm: Callable[[], nn.Module] = LocalResponseNorm, pool_first: bool = False,
        init: Literal["paper", "he"] = "paper",
    ) -> None:  # fmt: skip
        super().__init__(name, image)
        self.pool_first = pool_first
        maps_in = [3, *(row.maps for row in rows)]
        convs = [nn.Conv2d(c, r.maps, r.kernel, r.stride, r.padding, groups=r.groups)
                 for c, r in zip(maps_in, rows, strict=False)]  # fmt: skip
        self.conv1, self.conv2, self.conv3, self.conv4, self.conv5 = convs
        self.norm1, self.norm2 = (norm() if lrn else nn.Identity() for _ in range(2))
        self.pool1, self.pool2, self.pool5 = (nn.MaxPool2d(3, 2) for _ in range(3))
        self.set_end(rows[-1].maps * last_side(rows, image) ** 2, units, classes, dropout)
        layers: list[nn.Conv2d | nn.Linear] = [*convs, self.fc6, self.fc7, self.fc8]
        if init == "paper":
            init_paper(layers, [row.bias for row in rows] + FC_BIASES)
        else:
            init_he(layers)

    def maps_of(self, images: Tensor) -> Tensor:
        """pool5: (N, 3, image, image) -> (N, 256, 6, 6). Sizes at line ends are those of alexnet."""
        maps = self._shrink(relu(self.conv1(images)), self.norm1, self.pool1)  # (N, 3, 227, 227) -> (N, 96, 27, 27)
        maps = self._shrink(relu(self.conv2(maps)), self.norm2, self.pool2)  # -> (N, 256, 13, 13)
        maps = relu(self.conv3(maps))  # -> (N, 384, 13, 13)
        maps = relu(self.conv4(maps))  # -> (N, 384, 13, 13)
        pooled: Tensor = self.pool5(relu(self.conv5(maps)))  # -> (N, 256, 6, 6)
        return pooled

    def _shrink(self, maps: Tensor, norm: nn.Module, pool: nn.Module) -> Tensor:
        shrunk: Tensor = norm(pool(maps)) if self.pool_first else pool(norm(maps))
        return shrunk


def init_paper(layers: list[nn.Conv2d | nn.Linear], biases: list[float]) -> None:
    """Weights from N(0, 0.01^2); biases 0, or 1 where it feeds ReLUs with positive inputs from the start (sec. 5)."""
    for layer, bias in zip(layers, biases, strict=True):
        nn.init.normal_(layer.weight, std=0.01)
        assert layer.bias is not None
        nn.init.constant_(layer.bias, bias)


def last_side(rows: list[Conv], image: int) -> int:
    """Side in maps after pool5 for crops of `image` px."""
    side = image
    for number, row in enumerate(rows, start=1):
        side = (side + 2 * row.padding - row.kernel) // row.stride + 1
        if number in (1, 2, 5):
            side = (side - 3) // 2 + 1
    return side


def small(
    name: str, classes: int, image: int, *, units: int = 1024, dropout: float = 0.5, lrn: bool = True,
    init: Literal["paper", "he"] = "he",
) -> AlexNet:  # fmt: skip
    """One tower with `units` in fc6 and fc7, on crops of 32 to 96 px."""
    rows = one_tower(image)
    return AlexNet(name, classes, image, rows=rows, units=units, dropout=dropout, lrn=lrn, init=init)


PAPER = "Krizhevsky, Sutskever, Hinton 2012, NIPS 2012"
large_card = partial(photo_card, family="alexnet", image=227, sides=(227, 227), small="alexnet_small", depth=8)

CARDS: dict[str, Card] = {
    "alexnet_small": small_card(
        small,
        family="alexnet",
        year=2012,
        source=f"{PAPER}; one of its two towers",
        depth=8,
        params=3_172_554,
        macs=78_417_920,
        note="alexnet for images of 32 to 96 px: one tower, conv1 5x5 with stride round(image / 32), He weights",
    ),
    "alexnet": large_card(
        partial(AlexNet, rows=TWO_TOWERS, norm=EACH_TOWER),
        year=2012,
        source=PAPER,
        params=60_965_224,
        macs=724_406_816,
        published="18.2 % top-5 error (40.7 % top-1), ILSVRC-2012 val, 1 net, 10 crops",
        note="two towers as groups, LRN, overlapping pooling, dropout",
    ),
    "caffenet": large_card(
        partial(AlexNet, rows=TWO_TOWERS, norm=LocalResponseNorm.of_caffe, pool_first=True),
        year=2014,
        source="Jia et al. 2014, arXiv:1408.5093, BVLC reference CaffeNet",
        params=60_965_224,
        macs=724_406_816,
        trained_as="alexnet",
        published="19.6 % top-5 error (42.6 % top-1), ILSVRC-2012 val, 1 crop",
        note="alexnet with pooling before normalization",
    ),
    "alexnet_single_tower": large_card(
        partial(AlexNet, rows=SINGLE_TOWER, norm=LocalResponseNorm),
        year=2012,
        source=f"{PAPER}; its widths without groups",
        params=62_378_344,
        macs=1_135_256_096,
        trained_as="alexnet",
        note="alexnet without its split into two towers",
    ),
    "alexnet_owt": large_card(
        partial(AlexNet, rows=ONE_WEIRD_TRICK, norm=LocalResponseNorm, lrn=False, init="he"),
        year=2014,
        source="Krizhevsky 2014, arXiv:1404.5997",
        image=224,
        sides=(224, 224),
        params=61_100_840,
        macs=714_188_480,
        published="20.93 % top-5 error (43.48 % top-1), ILSVRC-2012 val, 1 crop, weights of torchvision",
        note="one narrower tower without LRN",
    ),
}
