"""The Challenge's crops of one image: which squares are cut, in which order, mirrored or not.

`5`: the four corners and the middle of the image's central square; `10`: these and their mirror images (Krizhevsky,
Sutskever, Hinton 2012, secs. 2 and 4.1). The square is that of the model's geometry, 256 px for crops of 224 as for
AlexNet's of 227, so that the middle is what `1` sees. `144`: at four scales, three squares along the longer side, of
each the four corners, the middle and the whole square made smaller, and the mirror images of all (Szegedy et al. 2014,
arXiv:1409.4842, sec. 7). Its sides are the paper's for a crop of 224 px and grow and shrink with it, and so does the
square of a model that sees whole images, so that small images have the protocols too.
"""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, TypeVar, get_args

import numpy as np

from topfive.data.decode import decoding_pool
from topfive.data.dense import Dense, dense_of
from topfive.data.geometry import (
    Geometry,
    Pixels,
    resize_box,
    resize_short,
    resized,
    short_side_to_crop,
    to_pixels,
)
from topfive.data.imageset import Broken, Split
from topfive.errors import BadFile, Misused

Crops = Literal["1", "5", "10", "144"]
CROPS: tuple[Crops, ...] = get_args(Crops)
SCALES = (256, 288, 320, 352)  # the shorter side, px, for crops of 224
Made = TypeVar("Made")


class View(NamedTuple):
    """A square of `side` px at (left, top) of the image whose shorter side was made `short` px; brought to the crop."""

    short: int
    left: int
    top: int
    side: int


def views(crops: Crops, height: int, width: int, geometry: Geometry) -> list[View]:
    """The squares of an image, in the protocol's order, without their mirror images.

    >>> [(view.left, view.top) for view in views("10", 375, 500, Geometry(256, 224))]
    [(42, 0), (74, 0), (42, 32), (74, 32), (58, 16)]
    >>> len(views("144", 375, 500, Geometry(256, 224)))
    72
    """
    crop = geometry.crop
    if crops == "144":
        return [view for scale in SCALES for view in _at_scale(round(crop * scale / 224), height, width, crop)]
    short = geometry.resize_short if geometry.resize_short > crop else short_side_to_crop(crop)
    rows, columns = resized(height, width, short)
    left, top = (columns - short) // 2, (rows - short) // 2  # the nets were trained on central squares (sec. 2)
    *corners, _ = _corners_and_middle(short, short, crop)
    middle = View(short, (columns - crop) // 2, (rows - crop) // 2, crop)  # the image's: two roundings may miss it by 1
    return [*(View(short, left + x, top + y, crop) for x, y in corners), middle]


def check_crops(name: str) -> Crops | Dense:
    """The protocol of that name; Misused for another."""
    for crops in CROPS:
        if crops == name:
            return crops
    if dense := dense_of(name):
        return dense
    raise Misused(f"--crops: expected {', '.join(CROPS)} or dense, got {name}; choose one of these")


def mirrors(crops: Crops | Dense) -> bool:
    """Whether the mirror image of each square, or of the whole image, is seen too, right after it."""
    return isinstance(crops, Dense) or crops in ("10", "144")


def _corners_and_middle(width: int, height: int, side: int) -> list[tuple[int, int]]:
    """Left and top: both upper corners, both lower, the middle."""
    right, below = width - side, height - side
    return [(0, 0), (right, 0), (0, below), (right, below), (right // 2, below // 2)]


def _at_scale(short: int, height: int, width: int, crop: int) -> list[View]:
    rows, columns = resized(height, width, short)
    far = max(rows, columns) - short
    found = []
    for start in (0, far // 2, far):  # left, middle and right square, or top, middle and bottom
        left, top = (start, 0) if columns >= rows else (0, start)
        found += [View(short, left + x, top + y, crop) for x, y in _corners_and_middle(short, short, crop)]
        found.append(View(short, left, top, short))
    return found


def cut(image: Pixels, crops: Crops, geometry: Geometry) -> Pixels:
    """All squares of an (H, W, C) image: (views, crop, crop, C) uint8. `1` is the geometry's central crop."""
    crop = geometry.crop
    if crops == "1":
        return geometry.apply(image)[None]
    found, short, scaled = [], 0, image
    for view in views(crops, image.shape[0], image.shape[1], geometry):
        if view.short != short:
            short, scaled = view.short, resize_short(image, view.short, geometry.interpolation)
        square = scaled[view.top : view.top + view.side, view.left : view.left + view.side]
        if view.side != crop:
            square = resize_box(square, (0, 0, view.side, view.side), (crop, crop), geometry.interpolation)
        found.append(square)
    return np.stack(found)


def made_of_each(
    split: Split, make: Callable[[Pixels], Made], images: int, workers: int | None = None
) -> Iterator[tuple[list[int], list[Made], list[Broken]]]:
    """What `make` cuts from every image of a split once, in order, `images` at a time, each image decoded once.

    Yields the rows, what was made of each, and the images that could not be decoded, which have no row.
    """
    with decoding_pool(workers) as pool:

        def read(row: int) -> Made | Broken:
            try:
                return make(to_pixels(split.image(row)))
            except BadFile as error:
                return Broken(split.ids[row], str(error))

        for start in range(0, len(split), images):
            rows = list(range(start, min(start + images, len(split))))
            answers = list(pool.map(read, rows))
            broken = [answer for answer in answers if isinstance(answer, Broken)]
            good = [(row, answer) for row, answer in zip(rows, answers, strict=True) if not isinstance(answer, Broken)]
            yield [row for row, _ in good], [made for _, made in good], broken
