"""ResNets for CIFAR-10: He, Zhang, Ren, Sun 2015, arXiv:1512.03385, sec. 4.2 and Table 6.

6n + 2 layers: a 3x3 convolution, three stages of n basic blocks with 16, 32 and 64 maps, global average pooling, one
fully connected layer. Shortcuts without parameters (option A) throughout; the plain nets have none.
"""

from functools import partial

from torch import Tensor, nn
from torch.nn.functional import relu

from topfive.layers import BasicBlock, Classifier, FullPrecisionLinear, Option, Recomputed, init_residual
from topfive.models.card import Card, cifar_card

STAGES = [(16, 1), (32, 2), (64, 2)]  # maps, stride of the first block


class CifarResNet(Classifier):
    """6n + 2 layers with weights. Takes any image whose sides are multiples of 4 and at least 16 px.

    recompute: keep less in memory while training, for more time (see `layers.Recomputed`).
    """

    def __init__(self, name: str, classes: int, image: int, *, n: int, option: Option, recompute: bool = False) -> None:
        super().__init__(name, at_least=16, multiple_of=4)
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        stages, maps_in = [], 16
        for maps, stride in STAGES:
            blocks = [BasicBlock(maps_in, maps, stride, option)]
            blocks += [BasicBlock(maps, maps, 1, option) for _ in range(n - 1)]
            stages.append(Recomputed(*blocks) if recompute else nn.Sequential(*blocks))
            maps_in = maps
        self.stage1, self.stage2, self.stage3 = stages
        self.fc = FullPrecisionLinear(maps_in, classes)
        init_residual(self, self.fc)

    def body(self, maps: Tensor) -> Tensor:
        """The mean of each map of the last stage: (N, 3, H, W) -> (N, 64)."""
        maps = relu(self.bn1(self.conv1(maps)))  # (N, 3, H, W) -> (N, 16, H, W)
        maps = self.stage1(maps)  # -> (N, 16, H, W)
        maps = self.stage2(maps)  # -> (N, 32, H/2, W/2)
        maps = self.stage3(maps)  # -> (N, 64, H/4, W/4)
        return maps.mean((2, 3))  # -> (N, 64)


def card(
    n: int, option: Option, params: int, macs: int, published: str | None = None, trained_as: str = "cifar_resnet20"
) -> Card:
    """The card of a net of 6n + 2 layers."""
    return cifar_card(
        partial(CifarResNet, n=n, option=option),
        family="resnet_cifar",
        year=2015,
        source="He, Zhang, Ren, Sun 2015, arXiv:1512.03385, sec. 4.2",
        params=params,
        macs=macs,
        depth=6 * n + 2,
        trained_as=trained_as,
        published=published and f"{published} % top-1 error, CIFAR-10 test, one view",
        note=f"6n + 2 layers, n = {n}; {'no' if option == 'plain' else 'parameter-free'} shortcuts; "
        "crops of a multiple of 4 px",
    )


CARDS: dict[str, Card] = {
    "cifar_resnet20": card(3, "A", 269_722, 40_551_040, "8.75", trained_as=""),
    "cifar_resnet32": card(5, "A", 464_154, 68_862_592, "7.51"),
    "cifar_resnet44": card(7, "A", 658_586, 97_174_144, "7.17"),
    "cifar_resnet56": card(9, "A", 853_018, 125_485_696, "6.97"),
    "cifar_resnet110": card(18, "A", 1_727_962, 252_887_680, "6.43"),
    "cifar_resnet1202": card(200, "A", 19_421_274, 2_829_238_912, "7.93"),
    "cifar_plain20": card(3, "plain", 269_722, 40_551_040),
    "cifar_plain32": card(5, "plain", 464_154, 68_862_592),
    "cifar_plain44": card(7, "plain", 658_586, 97_174_144),
    "cifar_plain56": card(9, "plain", 853_018, 125_485_696),
    "cifar_plain110": card(18, "plain", 1_727_962, 252_887_680),
}
