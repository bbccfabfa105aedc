"""Network in network: Lin, Chen, Yan 2013, arXiv:1312.4400, sec. 3; the sizes as released with it.

A small perceptron slides over the maps in place of a linear filter: a convolution and two 1x1 convolutions, each with
ReLU (sec. 3.1). There is no fully connected layer: the last maps, one for each class, are averaged (sec. 3.2). The
paper prints no sizes: those for CIFAR are of the authors' release, those for ImageNet of the Caffe model zoo.

Departs from the release: the last 1x1 convolution has no ReLU, so that scores may be negative, as cross entropy wants
them; weights are drawn as He et al. 2015 do.
"""

from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

from topfive.layers import Classifier, full_precision, init_he
from topfive.models.card import Card, photo_card


class MlpConv(NamedTuple):
    """One row of the tables: a k x k convolution, two 1x1 convolutions (maps of all three), and what follows."""

    maps: tuple[int, int, int]
    kernel: int
    stride: int
    padding: int
    pool: str


# The last number of the last row is the number of classes.
CIFAR = [
    MlpConv((192, 160, 96), 5, 1, 2, "max"),
    MlpConv((192, 192, 192), 5, 1, 2, "average"),
    MlpConv((192, 192, 0), 3, 1, 1, "none"),
]
IMAGENET = [
    MlpConv((96, 96, 96), 11, 4, 0, "max"),
    MlpConv((256, 256, 256), 5, 1, 2, "max"),
    MlpConv((384, 384, 384), 3, 1, 1, "max"),
    MlpConv((1024, 1024, 0), 3, 1, 1, "none"),
]


class Nin(Classifier):
    """Rows of perceptrons that slide, pooled and dropped out between them, and the mean of the last maps.

    dropout: share of what each pooling gives that is set to 0 in training, in `dropout_after` of the rows.
    """

    head = "classifier"

    def __init__(
        self, name: str, classes: int, image: int, *, rows: list[MlpConv], dropout_after: set[int], at_least: int,
        dropout: float = 0.5,
    ) -> None:  # fmt: skip
        super().__init__(name, at_least=at_least)
        layers: list[nn.Module] = []
        maps_in = 3
        for number, row in enumerate(rows):
            first, second, third = row.maps
            layers += [nn.Conv2d(maps_in, first, row.kernel, row.stride, row.padding), nn.ReLU()]
            layers += [nn.Conv2d(first, second, 1), nn.ReLU()]
            if row.pool == "none":
                break
            layers += [nn.Conv2d(second, third, 1), nn.ReLU()]
            pool = nn.MaxPool2d if row.pool == "max" else nn.AvgPool2d
            layers.append(pool(3, 2, ceil_mode=True))
            if number in dropout_after:
                layers.append(nn.Dropout(dropout))
            maps_in = third
        self.maps = nn.Sequential(*layers)
        self.classifier = nn.Conv2d(rows[-1].maps[1], classes, 1)
        init_he(module for module in self.modules() if isinstance(module, nn.Conv2d))

    def body(self, maps: Tensor) -> Tensor:
        """The mean of each map below the classes': (N, 3, H, W) -> (N, 192 or 1024)."""
        means: Tensor = self.maps(maps).mean((2, 3))
        return means

    def score(self, features: Tensor) -> Tensor:
        """Logits (N, classes), float32: of 1x1 kernels, the mean of the maps is the map of the means."""
        with full_precision(features.device):
            scores: Tensor = self.classifier(features.float()[:, :, None, None])
        return scores.flatten(1)  # -> (N, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes), float32, of images (N, 3, H, W) in [0, 1]. Raises BadShape."""
        maps = self.maps(self.prepare(images))  # (N, 3, 32, 32) -> (N, 192, 8, 8)
        with full_precision(maps.device):
            scores: Tensor = self.classifier(maps.float())  # -> (N, classes, 8, 8)
        return scores.mean((2, 3))  # -> (N, classes)


cifar_card = partial(
    Card,
    partial(Nin, rows=CIFAR, dropout_after={0, 1}, at_least=16),
    family="nin",
    year=2013,
    source="Lin, Chen, Yan 2013, arXiv:1312.4400",
    image=32,
    sides=(16, 96),
    depth=9,
    trained_as="alexnet_small",
    note="three small perceptrons that slide over the maps; no fully connected layer",
)


CARDS: dict[str, Card] = {
    "nin_cifar10": cifar_card(
        classes=10, params=966_986, macs=222_486_528,
        published="10.41 % top-1 error, CIFAR-10 test, one view, without augmentation",
    ),
    "nin_cifar100": cifar_card(
        classes=100, params=984_356, macs=223_592_448, published="35.68 % top-1 error, CIFAR-100 test, one view"
    ),
    "nin_imagenet": photo_card(
        partial(Nin, rows=IMAGENET, dropout_after={2}, at_least=64),
        small="nin_cifar10",
        family="nin",
        year=2014,
        source="NIN-ImageNet, Caffe model zoo 2014, after arXiv:1312.4400",
        params=7_595_176,
        macs=1_100_188_800,
        depth=12,
        published="40.64 % top-1 error, ILSVRC-2012 val, 1 crop",
        note="four small perceptrons that slide over the maps; no fully connected layer",
    ),
}  # fmt: skip
