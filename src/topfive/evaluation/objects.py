"""The objects that images show of their class, and error by their scale: the share of its image that one covers.

Russakovsky et al. 2015, arXiv:1409.0575, fig. 1, have the scale of a class, the mean over its images; here each image
has its own, in ranges that halve.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from topfive.data.boxes import FILE
from topfive.data.challenge import numbered
from topfive.data.challenge_boxes import KAGGLE, open_boxes
from topfive.data.decode import shape
from topfive.data.imageset import ImageSet
from topfive.errors import BadData, BadFile, Misused
from topfive.evaluation.intervals import wilson

EDGES = (0.0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)  # a share that is an edge belongs to the range above it, 1 to the last


class Shown(NamedTuple):
    """The objects of its class that an image shows. boxes: (M, 4) float64, M > 0. size: height and width in px; None
    where the image cannot be read."""

    label: int
    boxes: Tensor
    size: tuple[int, int] | None

    @property
    def scale(self) -> float | None:
        """The share of the image that an object covers, in (0, 1], the mean of several; None without a size."""
        if self.size is None:
            return None
        areas = (self.boxes[:, 2:] - self.boxes[:, :2] + 1).prod(1)
        return min(1.0, float(areas.mean()) / math.prod(self.size))


def objects_shown(data: ImageSet, split: str) -> dict[str, Shown]:
    """Of a split's images those that have boxes of their class and are not on the blacklist, by id.

    Raises what `own_boxes` raises.
    """
    own, images = own_boxes(data, split), data.split(split)
    found = {}
    for row, (id_, label) in enumerate(zip(images.ids, images.labels.tolist(), strict=True)):
        if id_ in own and id_ not in data.blacklist and images.paths is not None:
            size = None
            with suppress(BadFile):
                size = shape(images.paths[row])
            found[id_] = Shown(label, own[id_], size)
    return found


def own_boxes(data: ImageSet, split: str) -> dict[str, Tensor]:
    """The boxes of its class in each image of a split that has any, by id: (M, 4) float64.

    Raises Misused where the image set has no boxes, BadData where no image of the split has any.
    """
    if data.boxes is None:
        known_as = (
            f"{FILE}, ILSVRC2012_bbox_val_v3.tgz or {KAGGLE} beside the images"
            if data.numbers
            else (f"{FILE} beside the class folders")
        )
        raise Misused(f"{data.name}: expected {known_as}, found none; leave --boxes out or add it")
    known, images = open_boxes(data.boxes), data.split(split)
    found = {}
    for id_, label in zip(images.ids, images.labels.tolist(), strict=True):
        image = numbered(id_)
        said = known.get(id_) or known.get(image.name if image else "", ())
        if own := [box[:4] for box in said if box.label in (None, data.classes[label].key)]:
            found[id_] = torch.tensor(own, dtype=torch.float64)
    if not found:
        raise BadData(
            f"{data.boxes}: expected boxes of {split}'s images such as {images.ids[0]}, found boxes of "
            f"{len(known):,} other image(s); give paths from this folder on, and class keys as labels"
        )
    return found


def errors_by_scale(ranks: Tensor, ids: Sequence[str], scales: Mapping[str, float]) -> list[dict[str, Any]]:
    """Top-1 error in each range of EDGES, with Wilson's 95 % interval; both None where no image lies in it.

    ranks: (N,), see `metrics.label_ranks`. scales: by image id, see `Shown.scale`; images that it lacks are left out.
    """
    wrong, images = [0] * (len(EDGES) - 1), [0] * (len(EDGES) - 1)
    for id_, missed in zip(ids, (ranks >= 1).tolist(), strict=True):
        if id_ in scales:
            place = min(bisect_right(EDGES, scales[id_]), len(EDGES) - 1) - 1
            wrong[place] += missed
            images[place] += 1
    return [
        {
            "from": low, "to": high, "images": of,
            "top1_error": misses / of if of else None, "top1_interval": wilson(misses, of) if of else None,
        }
        for (low, high), misses, of in zip(pairwise(EDGES), wrong, images, strict=True)
    ]  # fmt: skip


def in_words(found: Mapping[str, Any]) -> str:
    """A range of `errors_by_scale`.

    >>> [in_words({"from": low, "to": high}) for low, high in ((0, 1 / 16), (1 / 16, 1 / 8), (0.5, 1))]
    ['below 1/16', '1/16 to 1/8', '1/2 and more']
    """
    low, high = (f"1/{round(1 / found[edge])}" if found[edge] else "" for edge in ("from", "to"))
    return f"below {high}" if not low else f"{low} and more" if found["to"] == 1 else f"{low} to {high}"
