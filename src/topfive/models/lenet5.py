"""LeNet-5: LeCun, Bottou, Bengio, Haffner 1998, Proc. IEEE 86(11), sec. II.B, Fig. 2, Table I.

60,000 trainable parameters, and 840 fixed ones in the output for ten classes. Sub-sampling, the incomplete connection
of S2 to C3, the scaled tanh and the RBF output are all the paper's.

Departs from the paper: images are RGB and pass a luma step; the codes of the output are seeded random ones unless
`digit_codes` asks for the bitmaps, because other classes have no glyph. The bitmaps here are drawn anew in the manner
of Fig. 3.

lenet5_dense is the form that most libraries call LeNet-5: C3 sees all maps of S2, the pools are plain averages, and the
output is a fully connected layer. lenet_caffe is that of Caffe's MNIST example, wider and with ReLU and maximum pools.
Both are here to compare with weights and figures from elsewhere; they are not the 1998 net.
"""

import random
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from topfive.errors import Misused
from topfive.layers import Classifier, FullPrecisionLinear, full_precision
from topfive.models.card import Card

# Table I: the maps of S2 (one row each) that feed each of the 16 maps of C3 (columns). 60 crosses.
C3_TABLE = [
    "X . . . X X X . . X X X X . X X",
    "X X . . . X X X . . X X X X . X",
    "X X X . . . X X X . . X . X X X",
    ". X X X . . X X X X . . X . X X",
    ". . X X X . . X X X X . X X . X",
    ". . . X X X . . X X X X . X X X",
]

CODE = 84  # 7 x 12, the bitmap that F6 draws

# Fig. 3: ten stylized digits, 7 wide and 12 high; # is +1 and . is -1.
DIGITS = """
.......  ...#...  .......  .......  ....#..  .......  ...##..  .......  .......  .......
..###..  ..##...  ..###..  #######  ...##..  #######  ..##...  #######  ..###..  ..###..
.##.##.  .###...  .##.##.  .....##  ...##..  ##.....  .##....  ##...##  .##.##.  .##.##.
.##.##.  ...#...  ##...##  ....##.  ..###..  ##.....  ##.....  .....##  ##...##  ##...##
##...##  ...#...  .....##  ...##..  ..#.#..  ##.....  ##.....  ....##.  .##.##.  ##...##
##...##  ...#...  ....##.  ..####.  .##.#..  ######.  #####..  ....##.  ..###..  .##..##
##...##  ...#...  ...##..  ....###  .#..#..  .....##  ##..##.  ...##..  .##.##.  ..#####
##...##  ...#...  ..##...  .....##  ##..#..  .....##  ##...##  ...##..  ##...##  .....##
.##.##.  ...#...  .##....  .....##  #######  .....##  ##...##  ..##...  ##...##  .....##
.##.##.  ...#...  ##.....  ##...##  ....#..  ##...##  .##.##.  ..##...  ##...##  ....##.
..###..  .#####.  #######  .#####.  ....#..  .#####.  ..###..  .##....  .##.##.  ...##..
.......  .......  .......  .......  ....#..  .......  .......  .......  ..###..  ..##...
"""


def squash(totals: Tensor) -> Tensor:
    """A tanh(S a) with A = 1.7159 and S = 2/3 (eq. 6), which maps +-1 to +-1."""
    return 1.7159 * torch.tanh(2 / 3 * totals)


class SubSampling(nn.Module):
    """S2 and S4: the sum of each 2x2 window times one coefficient a map, plus one bias a map."""

    kernel_size, stride, padding = 2, 2, 0

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(maps))
        self.bias = nn.Parameter(torch.empty(maps))

    def forward(self, maps: Tensor) -> Tensor:
        """maps: (N, C, H, W). Returns (N, C, H/2, W/2)."""
        sums = 4 * F.avg_pool2d(maps, self.kernel_size)
        return sums * self.weight[:, None, None] + self.bias[:, None, None]


class TableConv2d(nn.Module):
    """C3: a 5x5 convolution that connects only the pairs of maps crossed in `table`; one kernel for each cross.

    weight: (crosses, 5, 5), in the table's order, column by column: all kernels of one output map stand together.
    """

    kernel_size, stride, padding = 5, 1, 0
    crosses: Tensor

    def __init__(self, table: list[str]) -> None:
        super().__init__()
        rows = [row.split() for row in table]
        self.maps_in, self.maps = len(rows), len(rows[0])
        crossed = [[rows[source][map_] == "X" for source in range(self.maps_in)] for map_ in range(self.maps)]
        self.inputs = [sum(row) for row in crossed]  # how many maps feed each map
        self.weight = nn.Parameter(torch.empty(sum(self.inputs), self.kernel_size, self.kernel_size))
        self.bias = nn.Parameter(torch.empty(self.maps))
        places = [
            map_ * self.maps_in + source for map_, row in enumerate(crossed) for source, on in enumerate(row) if on
        ]
        self.register_buffer("crosses", torch.tensor(places), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        """maps: (N, 6, H, W). Returns (N, 16, H - 4, W - 4)."""
        every_pair = self.weight.new_zeros(self.maps * self.maps_in, self.kernel_size, self.kernel_size)
        kernels = every_pair.index_copy(0, self.crosses, self.weight).view(self.maps, self.maps_in, 5, 5)
        return F.conv2d(maps, kernels, self.bias)


class RadialBasis(nn.Module):
    """OUTPUT: minus the squared distance of F6 from the fixed code of each class (eq. 7).

    The paper's outputs are penalties, the smaller the better; with the sign turned, softmax is the posterior of
    Gaussians of equal width. codes: (classes, 84), a buffer of +-1.
    """

    codes: Tensor

    def __init__(self, codes: list[list[float]]) -> None:
        super().__init__()
        self.register_buffer("codes", torch.tensor(codes))

    def forward(self, states: Tensor) -> Tensor:
        """states: (N, 84). Returns (N, classes), float32, at most 0."""
        with full_precision(states.device):
            return -(states.float()[:, None] - self.codes).square().sum(2)


class LeNet5(Classifier):
    """Images (N, 3, 32, 32) to minus squared distances from the codes of the classes.

    digit_codes: the codes are bitmaps of the ten digits, in the order 0 to 9; otherwise seeded random ones.
    """

    head = "output"

    def __init__(self, name: str, classes: int, image: int, *, digit_codes: bool = False) -> None:
        super().__init__(name, image, luma=True)
        if digit_codes and classes != 10:
            raise Misused(
                f"{name}: digit_codes are ten, one for each digit, got classes={classes}; leave digit_codes false"
            )
        self.c1 = nn.Conv2d(1, 6, 5)
        self.s2 = SubSampling(6)
        self.c3 = TableConv2d(C3_TABLE)
        self.s4 = SubSampling(16)
        self.c5 = nn.Conv2d(16, 120, 5)
        self.f6 = nn.Linear(120, CODE)
        self.output = RadialBasis(digit_bitmaps() if digit_codes else random_codes(classes))
        self.init_weights()

    def init_weights(self) -> None:
        """Weights and biases uniform in +-2.4 / fan_in, fan_in the inputs of the unit (Appendix A)."""
        kernels_of_c3 = torch.split(self.c3.weight, self.c3.inputs)  # one group for each map
        for weight, bias, fan_in in [
            (self.c1.weight, self.c1.bias, 25),
            (self.s2.weight, self.s2.bias, 4),
            *[(kernels, self.c3.bias[i : i + 1], 25 * len(kernels)) for i, kernels in enumerate(kernels_of_c3)],
            (self.s4.weight, self.s4.bias, 4),
            (self.c5.weight, self.c5.bias, 400),
            (self.f6.weight, self.f6.bias, 120),
        ]:
            for part in (weight, bias):
                assert part is not None
                nn.init.uniform_(part, -2.4 / fan_in, 2.4 / fan_in)

    def body(self, maps: Tensor) -> Tensor:
        """F6, the drawing that is compared with the codes: (N, 1, 32, 32) -> (N, 84)."""
        maps = squash(self.c1(maps))  # (N, 1, 32, 32) -> (N, 6, 28, 28)
        maps = squash(self.s2(maps))  # -> (N, 6, 14, 14)
        maps = squash(self.c3(maps))  # -> (N, 16, 10, 10)
        maps = squash(self.s4(maps))  # -> (N, 16, 5, 5)
        maps = squash(self.c5(maps))  # -> (N, 120, 1, 1)
        return squash(self.f6(maps.flatten(1)))  # -> (N, 84)


class DenseLeNet(Classifier):
    """Two convolutions with plain pools, and fully connected layers.

    maps: of the two 5x5 convolutions. units: of the fully connected layers below the last. pool, squashing: after each
    convolution, and after each layer.
    """

    head = "output"

    def __init__(
        self, name: str, classes: int, image: int, *, maps: tuple[int, int], units: list[int],
        pool: type[nn.AvgPool2d | nn.MaxPool2d], squashing: type[nn.Tanh | nn.ReLU], squash_maps: bool,
    ) -> None:  # fmt: skip
        super().__init__(name, image, luma=True)
        self.squash_maps = squash_maps
        self.conv1, self.pool1 = nn.Conv2d(1, maps[0], 5), pool(2)
        self.conv2, self.pool2 = nn.Conv2d(maps[0], maps[1], 5), pool(2)
        self.squashing = squashing()
        sizes = [maps[1] * (((image - 4) // 2 - 4) // 2) ** 2, *units]
        layers = ((nn.Linear(inputs, outputs), squashing()) for inputs, outputs in pairwise(sizes))
        self.fcs = nn.Sequential(*(part for pair in layers for part in pair))
        self.output = FullPrecisionLinear(units[-1], classes)

    def body(self, maps: Tensor) -> Tensor:
        """The last layer but one: (N, 1, image, image) -> (N, units[-1]). Sizes: lenet5_dense's."""
        maps = self._squash_maps(self.conv1(maps))  # (N, 1, 32, 32) -> (N, 6, 28, 28)
        maps = self._squash_maps(self.conv2(self.pool1(maps)))  # -> (N, 16, 10, 10)
        units: Tensor = self.pool2(maps).flatten(1)  # -> (N, 400)
        units = self.fcs(units)  # -> (N, 120) -> (N, 84)
        return units

    def _squash_maps(self, maps: Tensor) -> Tensor:
        squashed: Tensor = self.squashing(maps) if self.squash_maps else maps
        return squashed


def digit_bitmaps() -> list[list[float]]:
    """The ten drawings of DIGITS as rows of 84 numbers +-1, from the top left."""
    lines = [line.split() for line in DIGITS.split("\n") if line]
    return [[1.0 if dot == "#" else -1.0 for line in lines for dot in line[digit]] for digit in range(10)]


def random_codes(classes: int) -> list[list[float]]:
    """A code of 84 numbers +-1 for each class, the same at every call; two codes differ in about 42 places."""
    draw = random.Random(1998)
    return [draw.choices((-1.0, 1.0), k=CODE) for _ in range(classes)]


CARDS: dict[str, Card] = {
    "lenet5": Card(
        LeNet5,
        family="lenet",
        year=1998,
        source="LeCun, Bottou, Bengio, Haffner 1998, Proc. IEEE 86(11)",
        image=32,
        sides=(32, 32),
        classes=10,
        params=60_000,
        macs=325_680,
        depth=7,
        published="0.95 % top-1 error, MNIST test (0.8 % with distorted training images)",
        note="the 1998 net: grey images, trainable sub-sampling, incomplete C3, RBF output with drawn codes "
        "for the ten digits and codes of +-1 from a fixed seed for other classes",
    ),
    "lenet5_dense": Card(
        partial(DenseLeNet, maps=(6, 16), units=[120, 84], pool=nn.AvgPool2d, squashing=nn.Tanh, squash_maps=True),
        family="lenet",
        year=1998,
        source="common modern variant of LeCun, Bottou, Bengio, Haffner 1998",
        image=32,
        sides=(32, 32),
        classes=10,
        params=61_706,
        macs=416_520,
        depth=7,
        trained_as="mlp",
        note="dense C3, average pools, softmax output: what most libraries call LeNet-5",
    ),
    "lenet_caffe": Card(
        partial(DenseLeNet, maps=(20, 50), units=[500], pool=nn.MaxPool2d, squashing=nn.ReLU, squash_maps=False),
        family="lenet",
        year=2014,
        source="Jia et al. 2014, arXiv:1408.5093, Caffe's MNIST example",
        image=28,
        sides=(28, 28),
        classes=10,
        params=431_080,
        macs=2_293_000,
        depth=4,
        trained_as="mlp",
        note="wider, with ReLU and maximum pools",
    ),
}
