"""The entries of the lineage, collected from the files of their papers, and the one way to build them."""

import inspect
from typing import Any

from torch import nn

from topfive.errors import Misused, look_up, nearest
from topfive.layers import Normalize
from topfive.models import (
    alexnet,
    cifar_resnet,
    cuda_convnet,
    hog_svm,
    lenet5,
    mlp,
    mobilenet,
    nin,
    pixels_linear,
    preact_resnet,
    resnet,
    resnext,
    senet,
    vgg,
    zfnet,
)
from topfive.models.card import Card

LINEAGE = (
    pixels_linear, mlp, hog_svm, lenet5, cuda_convnet, alexnet, zfnet, nin, vgg, cifar_resnet, resnet, preact_resnet,
    resnext, senet, mobilenet,
)  # fmt: skip

ZOO: dict[str, Card] = dict(
    sorted(((name, card) for paper in LINEAGE for name, card in paper.CARDS.items()), key=lambda named: named[1].year)
)
"""Every entry, oldest idea first."""


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
