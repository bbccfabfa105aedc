"""The entries of the lineage: one card each, and the one way to build them."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from topfive.errors import Misused, look_up, nearest
from topfive.layers import Normalize
from topfive.models.alexnet import alexnet, alexnet_small
from topfive.models.cifar_resnet import cifar_resnet20
from topfive.models.cuda_convnet import cifar10_cuda_convnet
from topfive.models.hog_svm import hog_svm
from topfive.models.lenet5 import lenet5
from topfive.models.mlp import mlp
from topfive.models.pixels_linear import pixels_linear
from topfive.models.resnet import resnet18_b, resnet18_b_small


@dataclass(frozen=True)
class Card:
    """What is known of an entry before it is built.

    builder: (classes, *, image, ...) -> classifier. year: of the source. image: default side of the crop, px. sides:
    smallest and largest side of a crop that it is meant for, px. smallest_photo: images whose shorter side is below
    this, px, are too small for it; 0 takes any. small: the entry to use for those instead. classes, params, macs, depth
    (layers with weights): the paper's net at `image`; None if it has no single count. scores: what the outputs are.
    fitted_by: the kind of the recipe's main stage. published: the source's error figure with its protocol.
    """

    builder: Callable[..., nn.Module]
    family: str
    year: int
    source: str
    image: int
    sides: tuple[int, int]
    smallest_photo: int
    small: str | None
    classes: int
    params: int | None
    macs: int | None
    depth: int | None
    scores: Literal["logits", "margins"]
    fitted_by: Literal["sgd", "svm"]
    published: str | None
    note: str


ZOO: dict[str, Card] = {
    "pixels_linear": Card(
        pixels_linear,
        family="linear",
        year=1958,
        source="Rosenblatt 1958, Psychological Review 65, 386-408; as a softmax: Cox 1966",
        image=32,
        sides=(8, 256),
        smallest_photo=0,
        small=None,
        classes=10,
        params=30_730,
        macs=30_720,
        depth=1,
        scores="logits",
        fitted_by="sgd",
        published=None,
        note="softmax regression on the pixels, the floor that every other entry has to beat",
    ),
    "mlp": Card(
        mlp,
        family="mlp",
        year=1986,
        source="Rumelhart, Hinton, Williams 1986, Nature 323, 533-536",
        image=32,
        sides=(8, 256),
        smallest_photo=0,
        small=None,
        classes=10,
        params=1_541_510,
        macs=1_541_000,
        depth=2,
        scores="logits",
        fitted_by="sgd",
        published=None,
        note="one hidden layer of 500 sigmoid units, trained by back-propagation",
    ),
    "hog_svm": Card(
        hog_svm,
        family="hog",
        year=2005,
        source="Dalal, Triggs 2005, CVPR 2005",
        image=32,
        sides=(16, 256),
        smallest_photo=0,
        small=None,
        classes=10,
        params=17_650,
        macs=17_640,
        depth=1,
        scores="margins",
        fitted_by="svm",
        published=None,
        note="oriented gradients in 8x8 cells and one linear SVM for each class; MACs are the SVM's alone",
    ),
    "lenet5": Card(
        lenet5,
        family="lenet",
        year=1998,
        source="LeCun, Bottou, Bengio, Haffner 1998, Proc. IEEE 86(11)",
        image=32,
        sides=(32, 32),
        smallest_photo=0,
        small=None,
        classes=10,
        params=60_000,
        macs=325_680,
        depth=7,
        scores="logits",
        fitted_by="sgd",
        published="0.95 % top-1 error, MNIST test (0.8 % with distorted training images)",
        note="the 1998 net: grey images, trainable sub-sampling, incomplete C3, RBF output",
    ),
    "cifar10_cuda_convnet": Card(
        cifar10_cuda_convnet,
        family="alexnet",
        year=2012,
        source="Krizhevsky 2012, cuda-convnet; Caffe's examples/cifar10/cifar10_full.prototxt without its LRN",
        image=32,
        sides=(24, 96),
        smallest_photo=0,
        small=None,
        classes=10,
        params=89_578,
        macs=12_298_240,
        depth=4,
        scores="logits",
        fitted_by="sgd",
        published="13 % top-1 error, CIFAR-10 test, for a four-layer net without LRN (NIPS 2012, sec. 3.3)",
        note="three 5x5 convolutions and one fully connected layer; the public net of AlexNet's toolkit",
    ),
    "cifar_resnet20": Card(
        cifar_resnet20,
        family="resnet_cifar",
        year=2015,
        source="He, Zhang, Ren, Sun 2015, arXiv:1512.03385, sec. 4.2",
        image=32,
        sides=(16, 128),
        smallest_photo=0,
        small=None,
        classes=10,
        params=269_722,
        macs=40_551_040,
        depth=20,
        scores="logits",
        fitted_by="sgd",
        published="8.75 % top-1 error, CIFAR-10 test, one view",
        note="6n + 2 layers, n = 3; parameter-free shortcuts; crops of a multiple of 4 px",
    ),
    "alexnet_small": Card(
        alexnet_small,
        family="alexnet",
        year=2012,
        source="Krizhevsky, Sutskever, Hinton 2012, NIPS 2012; one of its two towers",
        image=32,
        sides=(32, 96),
        smallest_photo=0,
        small=None,
        classes=10,
        params=3_172_554,
        macs=78_417_920,
        depth=8,
        scores="logits",
        fitted_by="sgd",
        published=None,
        note="alexnet for images of 32 to 96 px: one tower, conv1 5x5 with stride round(image / 32), He weights",
    ),
    "alexnet": Card(
        alexnet,
        family="alexnet",
        year=2012,
        source="Krizhevsky, Sutskever, Hinton 2012, NIPS 2012",
        image=227,
        sides=(227, 227),
        smallest_photo=128,
        small="alexnet_small",
        classes=1000,
        params=60_965_224,
        macs=724_406_816,
        depth=8,
        scores="logits",
        fitted_by="sgd",
        published="18.2 % top-5 error (40.7 % top-1), ILSVRC-2012 val, 1 net, 10 crops",
        note="two towers as groups, LRN, overlapping pooling, dropout",
    ),
    "resnet18_b_small": Card(
        resnet18_b_small,
        family="resnet",
        year=2015,
        source="He, Zhang, Ren, Sun 2015, arXiv:1512.03385, Table 1; half of its maps",
        image=32,
        sides=(32, 96),
        smallest_photo=0,
        small=None,
        classes=10,
        params=2_797_610,
        macs=139_299_328,
        depth=18,
        scores="logits",
        fitted_by="sgd",
        published=None,
        note="resnet18_b for images of 32 to 96 px: half the maps, 3x3 conv1 with stride round(image / 32), no pooling",
    ),
    "resnet18_b": Card(
        resnet18_b,
        family="resnet",
        year=2015,
        source="He, Zhang, Ren, Sun 2015, arXiv:1512.03385, Table 1",
        image=224,
        sides=(128, 640),
        smallest_photo=128,
        small="resnet18_b_small",
        classes=1000,
        params=11_689_512,
        macs=1_814_073_344,
        depth=18,
        scores="logits",
        fitted_by="sgd",
        published="27.88 % top-1 error, ILSVRC-2012 val, 1 net, 10 crops, with option A (Table 2)",
        note="18 layers, basic blocks, projections where the shape changes (option B)",
    ),
}


def build(name: str, classes: int | None = None, **arguments: Any) -> nn.Module:
    """The classifier `name` with fresh weights, drawn from torch's global generator.

    classes: how many, at least 2; the paper's if None. arguments: the builder's own, `image` (side of the crop, px)
    among them. Raises UnknownName for a name that is not in ZOO, and Misused for an argument that the entry does not
    have, for an image side that it does not take, and for fewer than 2 classes.

    >>> build("lenet5", classes=26).f6
    Linear(in_features=120, out_features=84, bias=True)
    """
    card = look_up(name, ZOO, kind="entry")
    classes = card.classes if classes is None else classes
    if classes < 2:
        raise Misused(
            f"{name}: classes must be at least 2, got {classes}; an image set needs two classes to tell apart"
        )
    known = [argument for argument in inspect.signature(card.builder).parameters if argument != "classes"]
    for argument in arguments:
        if argument not in known:
            raise Misused(f"{name} has no argument {argument!r}{nearest(argument, known)}; known: {', '.join(known)}")
    check_side(name, card, arguments.get("image", card.image))
    return card.builder(classes, **arguments)


def check_side(name: str, card: Card, image: int) -> None:
    """Misused if crops of `image` px are outside the card's sides, naming the small form where there is one."""
    low, high = card.sides
    if low <= image <= high:
        return
    meant = f"{low} px" if low == high else f"{low} to {high} px"
    instead = f"use {card.small}" if card.small and image < low else f"resize the crops to {meant}"
    raise Misused(f"{name}: image must be {meant}, got {image}; {instead}")


def normalize_of(classifier: nn.Module) -> Normalize:
    """The values half of a classifier's preprocessing, its first submodule."""
    normalize = classifier.normalize
    assert isinstance(normalize, Normalize)
    return normalize
