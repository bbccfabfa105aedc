"""The entries of the lineage, collected from the files of their papers, and the one way to build them."""

import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any, Literal, get_args, get_origin

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from topfive.errors import Misused, UnknownName, look_up, nearest
from topfive.layers import Classifier
from topfive.models import (
    alexnet,
    bn_inception,
    cifar_resnet,
    cuda_convnet,
    facenet,
    googlenet,
    highway,
    hog_svm,
    inception_resnet_v2,
    inception_v3,
    kmeans_2011,
    lenet5,
    mlp,
    mobilenet,
    nec_2010,
    nin,
    pixels_linear,
    preact_resnet,
    prelu_net,
    resnet,
    resnext,
    senet,
    sift_bow_2009,
    sparse_coding_2010,
    vgg,
    xrce_2011,
    zfnet,
)
from topfive.models.card import Card

LINEAGE = (
    pixels_linear, mlp, hog_svm, lenet5, sift_bow_2009, nec_2010, sparse_coding_2010, xrce_2011, kmeans_2011,
    cuda_convnet, alexnet, zfnet, nin, vgg, googlenet, highway, prelu_net,
    bn_inception, facenet, inception_v3, cifar_resnet, resnet, preact_resnet, inception_resnet_v2, resnext, senet,
    mobilenet,
)  # fmt: skip

DRAWS = {nn.init.kaiming_uniform_, nn.init.uniform_, nn.init.normal_, Tensor.uniform_, Tensor.normal_}

ZOO: dict[str, Card] = dict(
    sorted(((name, card) for paper in LINEAGE for name, card in paper.CARDS.items()), key=lambda named: named[1].year)
)
"""Every entry, oldest idea first."""


def build(name: str, classes: int | None = None, **arguments: Any) -> Classifier:
    """The classifier `name` with fresh weights, drawn from torch's global generator.

    classes: how many, at least 2; the paper's if None. arguments: the builder's own, `image` (side of the crop, px)
    among them. Raises UnknownName for a name that is not in ZOO, and Misused for an argument that the entry does not
    have, for an image side that it does not take, and for fewer than 2 classes.

    >>> build("lenet5", classes=26).f6
    Linear(in_features=120, out_features=84, bias=True)
    """
    card = look_up(name, ZOO, kind="entry")
    classes = card.classes if classes is None else classes
    if not isinstance(classes, int) or classes < 2:
        raise Misused(
            f"{name}: classes must be a number of at least 2, got {classes!r}; an image set needs two classes to tell "
            "apart"
        )
    known = options(card)
    for argument in arguments:
        if argument not in known:
            raise Misused(f"{name} has no argument {argument!r}{nearest(argument, known)}; known: {', '.join(known)}")
    for argument, value in arguments.items():
        _check_kind(name, argument, value, card)
        _check_size(name, argument, value, card)
    image = arguments.pop("image", card.image)
    check_side(name, card, image)
    try:
        return card.builder(name, classes, image, **arguments)
    except UnknownName:  # which says all by itself
        raise
    except (ValueError, Misused) as error:  # a value out of range, such as a dropout of 2
        raise Misused(f"{name}: cannot be built with {arguments} ({error}); change the value") from error


class Undrawn(TorchFunctionMode):
    """Within it `build` leaves first weights undrawn, since those of a file replace them: it is quick, and torch's
    global generator stays as it was."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # fmt: skip
        """Give back the tensor that was to be drawn; call everything else."""
        given = kwargs or {}
        if func in DRAWS:
            return args[0] if args else given["tensor"]
        return func(*args, **given)


def _check_kind(name: str, argument: str, value: Any, card: Card) -> None:
    """Misused for a value of another kind than the argument's default: the word "False" is true to Python."""
    parameters = inspect.signature(card.builder).parameters
    hint = parameters[argument].annotation if argument in parameters else None
    if get_origin(hint) is Literal and value not in get_args(hint):
        raise Misused(f"{name}: {argument} must be one of {', '.join(map(str, get_args(hint)))}, got {value!r}")
    default = card.image if argument == "image" else parameters[argument].default
    if default is inspect.Parameter.empty or default is None or not isinstance(default, bool | int | float | str):
        return
    number = isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool)
    if type(value) is not type(default) and not number:
        raise Misused(f"{name}: {argument} must be of the kind of {default!r}, got {value!r}; change the value")


def _check_size(name: str, argument: str, value: Any, card: Card) -> None:
    """Misused for a count or a length in px below 1, and for a number below 0."""
    if argument == "image" or isinstance(value, bool) or not isinstance(value, int | float):
        return
    if isinstance(inspect.signature(card.builder).parameters[argument].default, int) and value < 1:
        raise Misused(f"{name}: {argument} must be at least 1, got {value}; change the value")
    if not 0 <= value < math.inf:
        raise Misused(f"{name}: {argument} must be a number from 0 on, got {value:g}; change the value")


def options(card: Card) -> list[str]:
    """The arguments of `build` for an entry: `image`, and those of its builder that its paper's table leaves open."""
    fixed = getattr(card.builder, "keywords", {})  # of a partial
    parameters = inspect.signature(card.builder).parameters.values()
    return ["image", *(one.name for one in parameters if one.kind is one.KEYWORD_ONLY and one.name not in fixed)]


def arguments_of(card: Card) -> dict[str, Any]:
    """The arguments of `build` for an entry, as `options` has them, with their defaults."""
    parameters = inspect.signature(card.builder).parameters
    return {name: card.image if name == "image" else parameters[name].default for name in options(card)}


def choices_of(card: Card) -> dict[str, list[Any]]:
    """All values of those arguments of an entry that have a closed list of them."""
    parameters = inspect.signature(card.builder).parameters
    hints = {name: parameters[name].annotation for name in options(card) if name in parameters}
    return {name: list(get_args(hint)) for name, hint in hints.items() if get_origin(hint) is Literal}


def check_side(name: str, card: Card, image: int) -> None:
    """Misused if crops of `image` px are outside the card's sides, naming the small form where there is one."""
    low, high = card.sides
    if low <= image <= high and image % card.multiple_of == 0:
        return
    meant = f"{low} px" if low == high else f"{low} to {high} px"
    meant += f" and a multiple of {card.multiple_of}" if card.multiple_of > 1 else ""
    small = ZOO[card.small].sides if card.small else (0, 0)
    instead = f"use {card.small}" if small[0] <= image <= small[1] else f"resize the crops to {meant}"
    raise Misused(f"{name}: image must be {meant}, got {image}; {instead}")
