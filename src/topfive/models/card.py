"""The card of an entry: what is known of it before it is built."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from topfive.layers import Classifier

Mode = Literal["judging", "training"]


@dataclass(frozen=True)
class Card:
    """What is known of an entry before it is built.

    builder: (name, classes, image, *, ...) -> classifier. year: of the source. image: default side of the crop, px.
    sides: smallest and largest side of a crop that it is meant for, px, in steps of multiple_of. smallest_photo: images
    whose shorter side is below this, px, are too small for it; 0 takes any. small: the entry to use for those instead.
    classes, params, macs, depth (layers with weights): the paper's net at `image`; None if it has no single count.
    counted_here: no definition was published that has these counts. counted: as it judges, or as it trains, with what
    is dropped afterwards. scores: what the outputs are. fitted_by: the kind of the recipe's main stage. trained_as: the
    entry whose recipe trains it, if it has none itself. published: the source's error figure with its protocol.
    """

    builder: Callable[..., Classifier]
    family: str
    year: int
    source: str
    sides: tuple[int, int]
    multiple_of: int = 1
    image: int = 224
    smallest_photo: int = 0
    small: str | None = None
    classes: int = 1000
    params: int | None = None
    macs: int | None = None
    depth: int | None = None
    counted: Mode = "judging"
    scores: Literal["logits", "margins"] = "logits"
    counted_here: bool = False
    fitted_by: Literal["sgd", "svm"] = "sgd"
    trained_as: str = ""
    published: str | None = None
    note: str = ""


photo_card = partial(Card, sides=(128, 640), smallest_photo=128)  # of a net that takes photos of many sizes
small_card = partial(Card, image=32, sides=(32, 96), classes=10, counted_here=True)  # of a small form of a net
cifar_card = partial(Card, image=32, sides=(16, 128), multiple_of=4, classes=10)  # of a net with three stages
