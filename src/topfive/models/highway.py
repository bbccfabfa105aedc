"""Highway networks: Srivastava, Greff, Schmidhuber 2015, arXiv:1505.00387 and 1507.06228, sec. 2 and 3.

y = H(x) T(x) + x (1 - T(x)), with a transform gate T that starts nearly closed, so that a signal passes through a
hundred layers before any of them has learned something (eq. 3).

highway_fc10 to highway_fc100 and their plain twins plain_fc10 to plain_fc100 are the nets of the depth study (sec. 3.1
of the first paper) on scans of 28 px: 50 units a layer with gates, 71 without, so that a layer of either has about
5,000 weights. Gates start from a bias of -1 for every 10 layers; the paper searched -1 to -10.

highway1_cifar10 to highway4_cifar10 are the convolutional nets of Table 1. The paper prints about 236 thousand, 2.3,
1.4 and 1.25 million parameters, and neither the gates of layers that change the number of maps nor all widths; such
layers are plain here. The widths of 1 and 2 are those of the FitNets that they follow (Romero et al. 2014,
arXiv:1412.6550); 3 and 4 are widths chosen here for their depth and about their published size. So their counts are
ours, not the paper's. Their layers are 10, 18, 18 and 31 with the last, where Table 1 says 11, 19, 19 and 32.
`gated=False` builds the plain twin.
"""

from functools import partial
from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import relu, sigmoid

from topfive.layers import Classifier, FullPrecisionLinear, init_he
from topfive.models.card import Card

SCAN = 28  # px, the side of MNIST's images
UNITS, PLAIN_UNITS = 50, 71  # a layer, with gates and without

# Maps of the 3x3 convolutions of the three stages; a 2x2 pooling stands between stages.
Stages = list[list[int]]
STAGES: dict[int, Stages] = {
    1: [[16] * 3, [32] * 3, [48, 48, 64]],
    2: [[32] * 3 + [48] * 2, [80] * 6, [128] * 6],
    3: [[32] * 3 + [48] * 2, [64] * 6, [96] * 6],
    4: [[32] * 10, [48] * 10, [64] * 10],
}


class Highway(nn.Module):
    """H and, if gated, T over the same input; `make` builds either. bias: that the gates start from."""

    def __init__(self, h: nn.Conv2d | nn.Linear, t: nn.Conv2d | nn.Linear | None, bias: float) -> None:
        super().__init__()
        self.h, self.t = h, t
        self.bias = bias

    def forward(self, states: Tensor) -> Tensor:
        """states: (N, units) or (N, C, H, W). Returns the same shape."""
        changed = relu(self.h(states))
        if self.t is None:
            return changed
        gate = sigmoid(self.t(states))
        return changed * gate + states * (1 - gate)


def start(net: nn.Module) -> None:
    """He's weights, and gates nearly closed."""
    init_he(part for part in net.modules() if isinstance(part, nn.Conv2d | nn.Linear))
    for part in net.modules():
        if isinstance(part, Highway) and part.t is not None:
            assert part.t.bias is not None
            nn.init.constant_(part.t.bias, part.bias)


class HighwayFc(Classifier):
    """One fully connected layer, depth - 1 highway layers or plain ones of the same size, and the last."""

    def __init__(self, name: str, classes: int, image: int, *, depth: int, gated: bool) -> None:
        super().__init__(name, image, luma=True)
        units = UNITS if gated else PLAIN_UNITS
        self.first = nn.Linear(image * image, units)
        self.layers = nn.Sequential(
            *(
                Highway(nn.Linear(units, units), nn.Linear(units, units) if gated else None, -depth / 10)
                for _ in range(depth - 1)
            )
        )
        self.fc = FullPrecisionLinear(units, classes)
        start(self)

    def body(self, maps: Tensor) -> Tensor:
        """The last highway layer: (N, 1, 28, 28) -> (N, units)."""
        states: Tensor = relu(self.first(maps.flatten(1)))  # -> (N, 50)
        states = self.layers(states)  # -> (N, 50)
        return states


class HighwayConv(Classifier):
    """Three stages of 3x3 highway layers, the first layer of a width plain; a 1x1 convolution, its maps averaged.

    gated: false for the plain twin, whose layers have no gates. dropout: after each stage in training.
    """

    head = "classifier"

    def __init__(
        self, name: str, classes: int, image: int, *, stages: Stages, gated: bool = True, dropout: float = 0.2
    ) -> None:
        super().__init__(name, at_least=16)
        depth = sum(map(len, stages)) + 1
        layers: list[nn.Module] = []
        widths = [3, *(maps for stage in stages for maps in stage)]
        ends = {sum(map(len, stages[: place + 1])) for place in range(len(stages))}
        for place, (maps_in, maps) in enumerate(pairwise(widths), start=1):
            gate = nn.Conv2d(maps, maps, 3, padding=1) if gated and maps_in == maps else None
            layers.append(Highway(nn.Conv2d(maps_in, maps, 3, padding=1), gate, -max(1.0, depth / 10)))
            if place in ends:
                layers += [nn.MaxPool2d(2), nn.Dropout(dropout)] if place < depth - 1 else [nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers)
        self.classifier = FullPrecisionLinear(widths[-1], classes)
        start(self)

    def body(self, maps: Tensor) -> Tensor:
        """The mean of each map of the last layer: (N, 3, H, W) -> (N, 64 to 128)."""
        maps = self.layers(maps)  # (N, 3, 32, 32) -> (N, 64, 8, 8)
        return maps.mean((2, 3))  # -> (N, 64)


FIRST = "Srivastava, Greff, Schmidhuber 2015, arXiv:1505.00387"
fc_card = partial(Card, family="highway", year=2015, source=f"{FIRST}, sec. 3.1", image=SCAN, sides=(SCAN, SCAN))
conv_card = partial(Card, family="highway", year=2015, source=f"{FIRST}, Table 1", image=32, sides=(16, 96), classes=10)


def study(depth: int, gated: bool, params: int, macs: int) -> Card:
    """The card of a net of the depth study."""
    return fc_card(
        partial(HighwayFc, depth=depth, gated=gated), classes=10, params=params, macs=macs, depth=depth,
        trained_as="mlp",
        note=f"{depth} fully connected layers and the last, " + ("with gates" if gated else "the plain twin"),
    )  # fmt: skip


def conv(number: int, depth: int, params: int, macs: int, published: str) -> Card:
    """The card of a net of Table 1."""
    return conv_card(
        partial(HighwayConv, stages=STAGES[number]), counted_here=True, params=params, macs=macs, depth=depth,
        trained_as="alexnet_small",
        published=f"{published} % top-1 error, CIFAR-10 test",
        note=f"{depth} layers, gates on those that keep the number of maps; gated=false builds the plain twin",
    )  # fmt: skip


CARDS: dict[str, Card] = {
    "highway1_cifar10": conv(1, 10, 135_162, 25_805_440, "10.82"),
    "highway2_cifar10": conv(2, 18, 2_274_186, 351_831_296, "7.76"),
    "highway3_cifar10": conv(3, 18, 1_377_082, 253_330_368, "9.32"),
    "highway4_cifar10": conv(4, 31, 1_248_410, 314_081_920, "9.66"),
    "highway_fc10": study(10, True, 85_660, 84_700),
    "highway_fc20": study(20, True, 136_660, 134_700),
    "highway_fc50": study(50, True, 289_660, 284_700),
    "highway_fc100": study(100, True, 544_660, 534_700),
    "plain_fc10": study(10, False, 102_463, 101_743),
    "plain_fc20": study(20, False, 153_583, 152_153),
    "plain_fc50": study(50, False, 306_943, 303_383),
    "plain_fc100": study(100, False, 562_543, 555_433),
}
