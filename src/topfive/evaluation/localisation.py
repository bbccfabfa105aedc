"""Localisation by a classifier that says no box: its five classes, all with one box that no pixel was asked for.

A baseline that a localiser has to beat, since many objects fill their photo. `whole` is the whole image, `centre` the
smallest box of whole px in its middle that has its shape and half its area at least. Judged as Russakovsky et al. 2015,
arXiv:1409.0575, sec. 4.2: class right, and a box on any of the image's objects of that class by half or more.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from topfive.data.boxes import Box
from topfive.data.challenge import numbered
from topfive.data.imageset import Broken, ImageSet
from topfive.errors import BadData, Misused, look_up
from topfive.evaluation.boxes import Guesses, Instances, is_found
from topfive.evaluation.intervals import wilson
from topfive.evaluation.objects import errors_by_scale, objects_shown, own_boxes


def whole(height: int, width: int) -> Box:
    """The box of all pixels."""
    return Box(0, 0, width - 1, height - 1)


def centre(height: int, width: int) -> Box:
    """The box in the middle of sqrt(1/2) of each side, rounded up to whole px.

    >>> centre(64, 100)
    Box(left=14, top=9, right=84, bottom=54, label=None)
    """
    sides = [math.ceil(side * math.sqrt(0.5)) for side in (width, height)]
    left, top = (width - sides[0]) // 2, (height - sides[1]) // 2
    return Box(left, top, left + sides[0] - 1, top + sides[1] - 1)


PREDICTORS: dict[str, Callable[[int, int], Box]] = {"whole": whole, "centre": centre}


class Placed(NamedTuple):
    """on_object: image id -> whether the predictor's box lies on an object of the image's class; without the images
    that have no such object. scales: of these, but unreadable ones, see `Shown.scale`. blacklisted: images that are
    left out for being on the Challenge's blacklist."""

    predictor: str
    on_object: Mapping[str, bool]
    scales: Mapping[str, float]
    blacklisted: int = 0


def place(data: ImageSet, split: str, predictor: str) -> Placed:
    """The boxes of PREDICTORS on the images of a split; one that cannot be read has none, and is wrong.

    Raises UnknownName for another predictor, BadData where the blacklist leaves no image to judge, and what
    `objects_shown` raises.
    """
    say = look_up(predictor, PREDICTORS, kind="box")
    on_object, scales = {}, {}
    for id_, shown in objects_shown(data, split).items():
        if shown.scale is not None:
            scales[id_] = shown.scale
        said = [say(*shown.size)[:4]] if shown.size else []
        guess = Guesses(torch.full((len(said),), shown.label), torch.tensor(said, dtype=torch.float64).view(-1, 4))
        on_object[id_] = is_found(guess, Instances(shown.label, shown.boxes))
    if not on_object:
        raise BadData(
            f"{data.boxes}: expected boxes of images to judge, found all that {split} has on the blacklist; leave "
            "--boxes out or give other images"
        )
    return Placed(predictor, on_object, scales, sum(id_ in data.blacklist for id_ in data.split(split).ids))


def truths(data: ImageSet, split: str) -> dict[str, Instances]:
    """What is true of each of the Challenge's images, by id in the order of their numbers, to judge a submission by.

    Labels are the development kit's numbers, as `submissions.read_localisation` has them. An image without a box of its
    class cannot be found. Raises Misused where the image set is another or has no boxes, BadData where they are of
    other images.
    """
    if not data.numbers:
        raise Misused(f"{data.name}: expected the Challenge's images and classes, found another image set; give these")
    own, images = own_boxes(data, split), data.split(split)
    return {
        id_: Instances(data.numbers[data.classes[label].key], own.get(id_, torch.empty(0, 4)), id_ in data.blacklist)
        for id_, label in sorted(
            zip(images.ids, images.labels.tolist(), strict=True), key=lambda row: numbered(row[0]) or ()
        )
    }


def judge_places(
    placed: Placed, ids: tuple[str, ...], ranks: Tensor, classes: int, broken: Sequence[Broken] = ()
) -> dict[str, Any]:  # fmt: skip
    """The figures of a report, as JSON. ranks: (N,), see `metrics.label_ranks`. broken: wrong in every figure.

    images: those with an object of their class; errors are shares of them. blacklisted: those left out by the
    Challenge. box_error: of the box alone. Top-5 is None
    where it is not defined (law 6). by_scale: see `objects.errors_by_scale`, of the class alone.
    """
    rows = [row for row, id_ in enumerate(ids) if id_ in placed.on_object]
    unread = {image.id for image in broken}
    lies = torch.tensor([placed.on_object[ids[row]] and ids[row] not in unread for row in rows])

    def error(name: str, right: Tensor) -> dict[str, Any]:
        wrong = int((~(right & lies)).sum())
        return {f"{name}_error": wrong / len(rows), f"{name}_interval": wilson(wrong, len(rows))}

    five = error("top5", ranks[rows] < 5) if classes > 5 else {"top5_error": None, "top5_interval": None}
    return {
        "predictor": placed.predictor,
        "images": len(rows),
        "of": len(ids),
        "blacklisted": placed.blacklisted,
        **error("top1", ranks[rows] < 1),
        **five,
        **error("box", torch.ones_like(lies)),
        "by_scale": errors_by_scale(ranks, ids, placed.scales),
    }
