"""The four-layer CIFAR-10 net of cuda-convnet: Krizhevsky 2012, as Caffe's examples/cifar10/cifar10_full carries it.

AlexNet's paper speaks of "a four-layer CNN" of this family in sec. 3.1 and 3.3 without printing its layers; this is the
public one. Departs from Caffe: its two within-map normalization layers are left out, and the weights start as He et al.
2015 draw them unless `init` is "caffe".

Caffe's first weights, N(0, 1e-4^2) in conv1, are made for pixels of 0..255 less their mean and for a rate of 0.001. On
1,200 digits of 8x8 px, scaled up to 32, 8 epochs of SGD: on that scale (`normalize.std` at 1/255) they learned (85 %
right); on pixels normalized to a deviation near 1, at rate 0.01, they stayed at chance (10 %) and He's got 90 % right
after 5 epochs (one run each).
"""

from typing import Literal

from torch import Tensor, nn

from topfive.layers import Classifier, FullPrecisionLinear, flat_windows, init_he
from topfive.layers import activation as make_activation
from topfive.models.card import Card

CAFFE_STD = [1e-4, 0.01, 0.01, 0.01]  # conv1, conv2, conv3, ip1


class CudaConvnet(Classifier):
    """Three 5x5 convolutions, each pooled 3x3 by 2 (in ceil mode, as Caffe), and one fully connected layer.

    image: side of the crop in px, from which the inputs of ip1 follow. init: "he" or "caffe". activation: by name.
    """

    head = "ip1"

    def __init__(
        self, name: str, classes: int, image: int, *, init: Literal["he", "caffe"] = "he", activation: str = "relu"
    ) -> None:
        super().__init__(name, image)
        (self.active1, pieces), (self.active2, _), (self.active3, _) = (make_activation(activation) for _ in range(3))
        self.conv1 = nn.Conv2d(3, 32 * pieces, 5, padding=2)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = nn.Conv2d(32, 32 * pieces, 5, padding=2)
        self.pool2 = nn.AvgPool2d(3, 2, ceil_mode=True)
        self.conv3 = nn.Conv2d(32, 64 * pieces, 5, padding=2)
        self.pool3 = nn.AvgPool2d(3, 2, ceil_mode=True)
        side = image
        for _ in range(3):
            side = side // 2  # ceil((side - 3) / 2) + 1
        self.ip1 = FullPrecisionLinear(64 * side * side, classes)
        self.slides = True
        layers: list[nn.Conv2d | nn.Linear] = [self.conv1, self.conv2, self.conv3, self.ip1]
        init_he(layers)
        if init == "caffe":  # biases are 0 in both
            for layer, std in zip(layers, CAFFE_STD, strict=True):
                nn.init.normal_(layer.weight, std=std)

    def body(self, maps: Tensor) -> Tensor:
        """pool3, flat: (N, 3, image, image) -> (N, 64 * (image/8)^2)."""
        return self._maps_of(maps).flatten(1)

    def everywhere(self, maps: Tensor) -> Tensor:
        """pool3, each window of it that is as large as a crop's: (N, rows, columns, length)."""
        return flat_windows(self._maps_of(maps), self.ip1.in_features)

    def _maps_of(self, maps: Tensor) -> Tensor:
        """Sizes at line ends are those of 32 px."""
        maps = self.active1(self.pool1(self.conv1(maps)))  # (N, 3, 32, 32) -> (N, 32, 16, 16)
        maps = self.pool2(self.active2(self.conv2(maps)))  # -> (N, 32, 8, 8)
        maps = self.pool3(self.active3(self.conv3(maps)))  # -> (N, 64, 4, 4)
        return maps


CARDS: dict[str, Card] = {
    "cifar10_cuda_convnet": Card(
        CudaConvnet,
        family="alexnet",
        year=2012,
        source="Krizhevsky 2012, cuda-convnet; Caffe's examples/cifar10/cifar10_full.prototxt without its LRN",
        image=32,
        sides=(24, 96),
        classes=10,
        params=89_578,
        macs=12_298_240,
        depth=4,
        published="13 % top-1 error, CIFAR-10 test, for a four-layer net without LRN (NIPS 2012, sec. 3.3)",
        note="three 5x5 convolutions and one fully connected layer; the public net of AlexNet's toolkit",
    ),
}
