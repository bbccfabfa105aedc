"""ResNets for CIFAR-10: He, Zhang, Ren, Sun 2015, arXiv:1512.03385, sec. 4.2.

6n + 2 layers: a 3x3 convolution, three stages of n basic blocks with 16, 32 and 64 maps, global average pooling, one
fully connected layer. Shortcuts without parameters (option A) throughout.
"""

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.functional import relu

from topfive.layers import BasicBlock, FullPrecisionLinear, Normalize, check_images, init_residual

STAGES = [(16, 1), (32, 2), (64, 2)]  # maps, stride of the first block


class ZeroPadShortcut(nn.Module):
    """Option A: every second pixel, and maps of zeros for those that the input lacks."""

    def __init__(self, maps_in: int, maps: int, stride: int) -> None:
        super().__init__()
        self.new_maps, self.stride = maps - maps_in, stride

    def forward(self, maps: Tensor) -> Tensor:
        """maps: (N, C, H, W). Returns (N, C + new maps, H/stride, W/stride)."""
        return F.pad(maps[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new_maps))


class CifarResNet(nn.Module):
    """6n + 2 layers with weights. Takes any image whose sides are multiples of 4 and at least 16 px."""

    def __init__(self, name: str, n: int, classes: int) -> None:
        super().__init__()
        self.name = name
        self.normalize = Normalize()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        stages, maps_in = [], 16
        for maps, stride in STAGES:
            shortcut = nn.Identity() if stride == 1 else ZeroPadShortcut(maps_in, maps, stride)
            blocks = [BasicBlock(maps_in, maps, stride, shortcut)]
            blocks += [BasicBlock(maps, maps, 1, nn.Identity()) for _ in range(n - 1)]
            stages.append(nn.Sequential(*blocks))
            maps_in = maps
        self.stage1, self.stage2, self.stage3 = stages
        self.fc = FullPrecisionLinear(maps_in, classes)
        init_residual(self, self.fc)

    def features(self, images: Tensor) -> Tensor:
        """The mean of each map of the last stage: (N, 3, H, W) -> (N, 64). Raises BadShape."""
        check_images(self.name, images, at_least=16, multiple_of=4)
        maps: Tensor = relu(self.bn1(self.conv1(self.normalize(images))))  # (N, 3, H, W) -> (N, 16, H, W)
        maps = self.stage1(maps)  # -> (N, 16, H, W)
        maps = self.stage2(maps)  # -> (N, 32, H/2, W/2)
        maps = self.stage3(maps)  # -> (N, 64, H/4, W/4)
        return maps.mean((2, 3))  # -> (N, 64)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes), float32, of images (N, 3, H, W) in [0, 1]. Raises BadShape."""
        logits: Tensor = self.fc(self.features(images))
        return logits


def cifar_resnet20(classes: int = 10, *, image: int = 32) -> CifarResNet:
    """n = 3. `image` changes nothing: global average pooling takes every size."""
    return CifarResNet("cifar_resnet20", 3, classes)
