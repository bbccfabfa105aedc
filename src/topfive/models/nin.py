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

from topfive.layers import Normalize, check_images, full_precision, init_he
from topfive.models.card import Card


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


class Nin(nn.Module):
    """Rows of perceptrons that slide, pooled and dropped out between them, and the mean of the last maps.

    dropout: share of what each pooling gives that is set to 0 in training, in `dropout_after` of the rows.
    """

    def __init__(
        self, name: str, rows: list[MlpConv], classes: int, dropout: float, dropout_after: set[int], at_least: int
    ) -> None:
        super().__init__()
        self.name, self.at_least = name, at_least
        self.normalize = Normalize()
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

    def features(self, images: Tensor) -> Tensor:
        """The mean of each map below the classes': (N, 3, H, W) -> (N, 192 or 1024). Raises BadShape."""
        return self._last_maps(images).mean((2, 3))

    def _last_maps(self, images: Tensor) -> Tensor:
        check_images(self.name, images, at_least=self.at_least)
        maps: Tensor = self.maps(self.normalize(images))  # (N, 3, 32, 32) -> (N, 192, 8, 8)
        return maps

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes), float32, of images (N, 3, H, W) in [0, 1]. Raises BadShape."""
        maps = self._last_maps(images)
        with full_precision(maps.device):
            scores: Tensor = self.classifier(maps.float())  # -> (N, classes, 8, 8)
        return scores.mean((2, 3))  # -> (N, classes)


def nin_cifar(name: str, classes: int = 10, *, image: int = 32, dropout: float = 0.5) -> Nin:
    """Three rows. `image` changes nothing: global average pooling takes every size."""
    return Nin(name, CIFAR, classes, dropout, {0, 1}, 16)


def nin_imagenet(classes: int = 1000, *, image: int = 224, dropout: float = 0.5) -> Nin:
    """Four rows. `image` changes nothing: global average pooling takes every size."""
    return Nin("nin_imagenet", IMAGENET, classes, dropout, {2}, 64)


def cifar_card(name: str, classes: int, params: int, macs: int, published: str) -> Card:
    """The card of the net for CIFAR-10 or CIFAR-100."""
    return Card(
        partial(nin_cifar, name),
        family="nin",
        year=2013,
        source="Lin, Chen, Yan 2013, arXiv:1312.4400",
        image=32,
        sides=(16, 96),
        classes=classes,
        params=params,
        macs=macs,
        depth=9,
        trained_as="cifar10_cuda_convnet",
        published=published,
        note="three small perceptrons that slide over the maps; no fully connected layer",
    )


CARDS: dict[str, Card] = {
    "nin_cifar10": cifar_card(
        "nin_cifar10", 10, 966_986, 222_486_528, "10.41 % top-1 error, CIFAR-10 test, one view, without augmentation"
    ),
    "nin_cifar100": cifar_card(
        "nin_cifar100", 100, 984_356, 223_592_448, "35.68 % top-1 error, CIFAR-100 test, one view"
    ),
    "nin_imagenet": Card(
        nin_imagenet,
        family="nin",
        year=2014,
        source="NIN-ImageNet, Caffe model zoo 2014, after arXiv:1312.4400",
        sides=(128, 640),
        smallest_photo=128,
        params=7_595_176,
        macs=1_100_188_800,
        depth=12,
        published="40.64 % top-1 error, ILSVRC-2012 val, 1 crop",
        note="four small perceptrons that slide over the maps; no fully connected layer",
    ),
}
