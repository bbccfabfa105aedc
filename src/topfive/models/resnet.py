"""ResNets for ImageNet: He, Zhang, Ren, Sun 2015, arXiv:1512.03385, sec. 4.1 and Table 1; and a small form.

Shortcuts that change shape are projections, 1x1 convolutions with batch normalization; all others are the identity
(option B). Takes any image of at least 32 px, so that it can be judged on several scales.

resnet18_b_small, for crops of 32 to 96 px, is the 18-layer net with half of the maps in every stage (32, 64, 128, 256).
Its rule: conv1 is 3x3 with stride round(image / 32), and no pooling follows, so that the first stage works on maps of
about 32x32 (the paper's on 56x56).
"""

from torch import Tensor, nn
from torch.nn.functional import relu

from topfive.layers import BasicBlock, FullPrecisionLinear, Normalize, check_images, init_residual

# Table 1: maps of conv2_x to conv5_x; the first block of all stages but conv2_x strides by 2.
MAPS = [64, 128, 256, 512]
SMALL_MAPS = [maps // 2 for maps in MAPS]
BLOCKS_18 = [2, 2, 2, 2]


class ProjectionShortcut(nn.Sequential):
    """Option B: a 1x1 convolution with batch normalization where the shape changes."""

    def __init__(self, maps_in: int, maps: int, stride: int) -> None:
        super().__init__(nn.Conv2d(maps_in, maps, 1, stride, bias=False), nn.BatchNorm2d(maps))


def stage(maps_in: int, maps: int, stride: int, blocks: int) -> nn.Sequential:
    """`blocks` basic blocks, the first of which may stride and change the number of maps."""
    changes = stride != 1 or maps_in != maps
    shortcut = ProjectionShortcut(maps_in, maps, stride) if changes else nn.Identity()
    return nn.Sequential(
        BasicBlock(maps_in, maps, stride, shortcut),
        *(BasicBlock(maps, maps, 1, nn.Identity()) for _ in range(blocks - 1)),
    )


class ResNet(nn.Module):
    """conv1, four stages of basic blocks, global average pooling, one fully connected layer.

    conv1: without bias, from 3 to maps[0] maps. pool1: what stands between it and conv2_x. maps, blocks: of the four
    stages. name: of the entry, for messages.
    """

    def __init__(
        self, name: str, conv1: nn.Conv2d, pool1: nn.Module, maps: list[int], blocks: list[int], classes: int
    ) -> None:
        super().__init__()
        self.name = name
        self.normalize = Normalize()
        self.conv1 = conv1
        self.bn1 = nn.BatchNorm2d(maps[0])
        self.pool1 = pool1
        self.conv2_x = stage(maps[0], maps[0], 1, blocks[0])
        self.conv3_x = stage(maps[0], maps[1], 2, blocks[1])
        self.conv4_x = stage(maps[1], maps[2], 2, blocks[2])
        self.conv5_x = stage(maps[2], maps[3], 2, blocks[3])
        self.fc = FullPrecisionLinear(maps[3], classes)
        init_residual(self, self.fc)

    def features(self, images: Tensor) -> Tensor:
        """The mean of each map of conv5_x: (N, 3, H, W) -> (N, maps[3]). Raises BadShape.

        Sizes at line ends are those of resnet18_b on 224-px crops.
        """
        check_images(self.name, images, at_least=32)
        maps: Tensor = relu(self.bn1(self.conv1(self.normalize(images))))  # (N, 3, 224, 224) -> (N, 64, 112, 112)
        maps = self.conv2_x(self.pool1(maps))  # -> (N, 64, 56, 56)
        maps = self.conv3_x(maps)  # -> (N, 128, 28, 28)
        maps = self.conv4_x(maps)  # -> (N, 256, 14, 14)
        maps = self.conv5_x(maps)  # -> (N, 512, 7, 7)
        return maps.mean((2, 3))  # -> (N, 512)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes), float32, of images (N, 3, H, W) in [0, 1]. Raises BadShape."""
        logits: Tensor = self.fc(self.features(images))
        return logits


def resnet18_b(classes: int = 1000, *, image: int = 224) -> ResNet:
    """The 18-layer net. `image` changes nothing: global average pooling takes every size."""
    conv1 = nn.Conv2d(3, MAPS[0], 7, stride=2, padding=3, bias=False)
    return ResNet("resnet18_b", conv1, nn.MaxPool2d(3, 2, padding=1), MAPS, BLOCKS_18, classes)


def resnet18_b_small(classes: int = 10, *, image: int = 32) -> ResNet:
    """The 18-layer net with half the maps, on crops of 32 to 96 px; `image` sets the stride of conv1."""
    conv1 = nn.Conv2d(3, SMALL_MAPS[0], 3, stride=max(1, round(image / 32)), padding=1, bias=False)
    return ResNet("resnet18_b_small", conv1, nn.Identity(), SMALL_MAPS, BLOCKS_18, classes)
