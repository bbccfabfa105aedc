"""Residual blocks and their shortcuts: He, Zhang, Ren, Sun 2015, arXiv:1512.03385, sec. 3 and Figs. 2, 5."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.functional import relu

from topfive.layers.init import init_he

Option = Literal["A", "B", "C", "plain"]


class ZeroPadShortcut(nn.Module):
    """Option A: every stride-th pixel, and maps of zeros for those that the input lacks."""

    def __init__(self, maps_in: int, maps: int, stride: int) -> None:
        super().__init__()
        self.new_maps, self.stride = maps - maps_in, stride

    def forward(self, maps: Tensor) -> Tensor:
        """maps: (N, C, H, W). Returns (N, C + new maps, H/stride, W/stride)."""
        return F.pad(maps[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new_maps))


class ProjectionShortcut(nn.Sequential):
    """A 1x1 convolution with batch normalization."""

    def __init__(self, maps_in: int, maps: int, stride: int) -> None:
        super().__init__(nn.Conv2d(maps_in, maps, 1, stride, bias=False), nn.BatchNorm2d(maps))


def shortcut(option: Option, maps_in: int, maps: int, stride: int) -> nn.Module | None:
    """What brings a block's input to the shape of its branch (sec. 3.3 and 4.1).

    "A": the identity, padded with zeros where the shape changes. "B": a projection there, the identity elsewhere. "C":
    projections everywhere. "plain": none, for the nets that residual ones are compared with.
    """
    if option == "plain":
        return None
    if option == "C" or (option == "B" and (stride != 1 or maps_in != maps)):
        return ProjectionShortcut(maps_in, maps, stride)
    return nn.Identity() if stride == 1 and maps_in == maps else ZeroPadShortcut(maps_in, maps, stride)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, each with batch normalization, added to a shortcut; ReLU after the sum (Fig. 5, left).

    The first convolution strides. option: see `shortcut`.
    """

    def __init__(self, maps_in: int, maps: int, stride: int, option: Option) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(maps_in, maps, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(maps)
        self.conv2 = nn.Conv2d(maps, maps, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(maps)
        self.shortcut = shortcut(option, maps_in, maps, stride)

    def forward(self, maps: Tensor) -> Tensor:
        """maps: (N, maps_in, H, W). Returns (N, maps, H/stride, W/stride)."""
        short = None if self.shortcut is None else self.shortcut(maps)  # -> (N, maps, H/stride, W/stride)
        branch = relu(self.bn1(self.conv1(maps)))  # -> (N, maps, H/stride, W/stride)
        branch = self.bn2(self.conv2(branch))  # -> (N, maps, H/stride, W/stride)
        return relu(branch if short is None else short + branch)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions, each with batch normalization, added to a shortcut (Fig. 5, right).

    width: maps of the first two. strided: the convolution that strides, 1 (as published) or 2 (as in most weights that
    are passed on). groups: of the 3x3 (ResNeXt). gate: scales the maps of
    the branch before the sum (SENet).
    """

    def __init__(
        self,
        maps_in: int,
        maps: int,
        stride: int,
        option: Option,
        *,
        width: int,
        strided: Literal[1, 2] = 1,
        groups: int = 1,
        gate: nn.Module | None = None,
    ) -> None:
        super().__init__()
        first, second = (stride, 1) if strided == 1 else (1, stride)
        self.conv1 = nn.Conv2d(maps_in, width, 1, first, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, second, padding=1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, maps, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(maps)
        self.gate = gate
        self.shortcut = shortcut(option, maps_in, maps, stride)

    def forward(self, maps: Tensor) -> Tensor:
        """maps: (N, maps_in, H, W). Returns (N, maps, H/stride, W/stride)."""
        short = None if self.shortcut is None else self.shortcut(maps)  # -> (N, maps, H/stride, W/stride)
        branch = relu(self.bn1(self.conv1(maps)))  # -> (N, width, H or H/stride, W or W/stride)
        branch = relu(self.bn2(self.conv2(branch)))  # -> (N, width, H/stride, W/stride)
        branch = self.bn3(self.conv3(branch))  # -> (N, maps, H/stride, W/stride)
        if self.gate is not None:
            branch = self.gate(branch)
        return relu(branch if short is None else short + branch)


def init_residual(network: nn.Module, classifier: nn.Linear) -> None:
    """Draw the weights of a residual network as its paper does, from torch's global generator.

    Convolutions: N(0, 2 / fan_in), He et al. 2015, arXiv:1502.01852, eq. 10 (the paper's reference [13]). Batch
    normalization: scale 1, shift 0. classifier: N(0, 0.01^2), bias 0; the paper is silent, this is Goyal et al. 2017,
    arXiv:1706.02677, sec. 5.1.
    """
    init_he(module for module in network.modules() if isinstance(module, nn.Conv2d))
    nn.init.normal_(classifier.weight, std=0.01)
    nn.init.zeros_(classifier.bias)
