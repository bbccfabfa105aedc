"""The basic residual block: He, Zhang, Ren, Sun 2015, arXiv:1512.03385, Figs. 2 and 5 (left), eq. 1."""

from torch import Tensor, nn
from torch.nn.functional import relu

from topfive.layers.init import init_he


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, each with batch normalization, added to a shortcut; ReLU after the sum.

    The first convolution strides. shortcut: the module that brings (N, maps_in, H, W) to the branch's shape: the
    identity, or the paper's option A (`models/cifar_resnet.py`) or B (`models/resnet.py`).
    """

    def __init__(self, maps_in: int, maps: int, stride: int, shortcut: nn.Module) -> None:
        super().__init__()
        self.shortcut = shortcut
        self.conv1 = nn.Conv2d(maps_in, maps, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(maps)
        self.conv2 = nn.Conv2d(maps, maps, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(maps)

    def forward(self, maps: Tensor) -> Tensor:
        """maps: (N, maps_in, H, W). Returns (N, maps, H/stride, W/stride)."""
        short = self.shortcut(maps)  # (N, maps_in, H, W) -> (N, maps, H/stride, W/stride)
        branch = relu(self.bn1(self.conv1(maps)))  # -> (N, maps, H/stride, W/stride)
        branch = self.bn2(self.conv2(branch))  # -> (N, maps, H/stride, W/stride)
        return relu(short + branch)


def init_residual(network: nn.Module, classifier: nn.Linear) -> None:
    """Draw the weights of a residual network as its paper does, from torch's global generator.

    Convolutions: N(0, 2 / fan_in), He et al. 2015, arXiv:1502.01852, eq. 10 (the paper's reference [13]). Batch
    normalization: scale 1, shift 0. classifier: N(0, 0.01^2), bias 0; the paper is silent, this is Goyal et al. 2017,
    arXiv:1706.02677, sec. 5.1.
    """
    init_he(module for module in network.modules() if isinstance(module, nn.Conv2d))
    nn.init.normal_(classifier.weight, std=0.01)
    nn.init.zeros_(classifier.bias)
