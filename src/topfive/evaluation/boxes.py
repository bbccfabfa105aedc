"""Boxes judged as the Challenge and PASCAL VOC do: localisation by five guesses, detection by average precision.

Boxes are (left, top, right, bottom) in px and hold their borders: one of (3, 3, 3, 3) is one pixel. Russakovsky et al.
2015, arXiv:1409.0575, secs. 4.2 and 4.3 and the development kit of 2014; Everingham et al. 2010, IJCV 88(2), sec. 4.2.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from topfive.data.boxes import Box
from topfive.errors import BadShape

OVERLAP = 0.5
SLACK = 10  # px that a small object's box may be wider and higher than it in detection (sec. 4.3)
Rule = Literal["ilsvrc", "voc2007", "voc2012"]


def check_boxes(where: str, boxes: Tensor) -> None:
    """Raise BadShape unless boxes are (N, 4) with right and bottom not before left and top."""
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise BadShape(f"{where}: expected boxes (N, 4): left, top, right, bottom, got {tuple(boxes.shape)}")
    wrong = (boxes[:, 2:] < boxes[:, :2]).any(1) | ~boxes.isfinite().all(1)
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise BadShape(
            f"{where}, box {row}: expected left, top, right, bottom with right >= left and bottom >= top, "
            f"got {boxes[row].tolist()}"
        )


def overlaps(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of every pair: (N, 4), (M, 4) -> (N, M) float64 in [0, 1]."""
    check_boxes("overlaps", boxes)
    check_boxes("overlaps", others)
    ours, theirs = boxes.double()[:, None], others.double()[None]
    sides = torch.minimum(ours[..., 2:], theirs[..., 2:]) - torch.maximum(ours[..., :2], theirs[..., :2]) + 1
    shared = sides.clamp_min(0).prod(-1)
    areas = [(one[..., 2:] - one[..., :2] + 1).prod(-1) for one in (ours, theirs)]
    return shared / (areas[0] + areas[1] - shared)


class Guesses(NamedTuple):
    """What is said of one image, best first; those beyond five do not count. labels: (G,). boxes: (G, 4)."""

    labels: Tensor
    boxes: Tensor


class Instances(NamedTuple):
    """What is true of one image: one class, and a box for each instance of it. blacklisted: it is not judged."""

    label: int
    boxes: Tensor
    blacklisted: bool = False


def localisation_error(guesses: Sequence[Guesses], truths: Sequence[Instances], k: int = 5) -> float:
    """The share of images none of whose k guesses has the right class and lies on any of its instances by half or more.

    Blacklisted images are left out here, and nowhere else (classification judges them). Raises BadShape where the
    numbers of images differ or no image is judged.
    """
    if len(guesses) != len(truths) or all(truth.blacklisted for truth in truths):
        raise BadShape(
            f"localisation_error: expected guesses for every image and one image to judge, got {len(guesses)} and "
            f"{len(truths)} of which {sum(truth.blacklisted for truth in truths)} are blacklisted"
        )
    judged = [(guess, truth) for guess, truth in zip(guesses, truths, strict=True) if not truth.blacklisted]
    return sum(not is_found(guess, truth, k) for guess, truth in judged) / len(judged)


def is_found(guess: Guesses, truth: Instances, k: int = 5) -> bool:
    """Whether one of the first k guesses has the class and overlaps an instance by OVERLAP."""
    named = guess.boxes[:k][guess.labels[:k] == truth.label]
    return bool(len(named) and len(truth.boxes) and (overlaps(named, truth.boxes) >= OVERLAP).any())


class Detections(NamedTuple):
    """Detections of one class in any images. images: their ids. confidence: (N,). boxes: (N, 4)."""

    images: Sequence[str]
    confidence: Tensor
    boxes: Tensor


class Objects(NamedTuple):
    """The objects of one class in one image. boxes: (M, 4). ignored: (M,) bool, VOC's `difficult`."""

    boxes: Tensor
    ignored: Tensor


def objects_of(label: str | None, boxes: Mapping[str, Sequence[Box]]) -> dict[str, Objects]:
    """The objects of one class in each image, none of them ignored. boxes: image id -> its boxes, see `data.boxes`."""
    own = {image: [box[:4] for box in some if box.label == label] for image, some in boxes.items()}
    return {
        image: Objects(torch.tensor(some, dtype=torch.float64).view(-1, 4), torch.zeros(len(some), dtype=torch.bool))
        for image, some in own.items()
    }


def average_precision(
    found: Detections, truths: Mapping[str, Objects], rule: Rule = "ilsvrc", blacklisted: frozenset[str] = frozenset()
) -> float | None:
    """Average precision of one class, in [0, 1]; None where there is no object to be found.

    ilsvrc: a detection takes the best object that none has taken and that it overlaps by the object's own threshold,
    min(0.5, w h / ((w + 10)(h + 10))); area under the falling envelope. voc2012: it takes the object that it overlaps
    most, by 0.5, and is wrong where that one is taken; the same area. voc2007: the mean of the envelope at recalls of
    0, 0.1, ... 1. Detections of ignored objects, and all in blacklisted images, are neither right nor wrong. Of equal
    confidence the detections keep their order.
    """
    if not len(found.images) == len(found.confidence) == len(found.boxes):
        raise BadShape(
            f"average_precision: expected as many images as figures and boxes, got {len(found.images)}, "
            f"{len(found.confidence)} and {len(found.boxes)}"
        )
    judged = {image: one for image, one in truths.items() if image not in blacklisted}
    objects = sum(int((~one.ignored).sum()) for one in judged.values())
    if not objects:
        return None
    rows = defaultdict[str, list[int]](list)
    for row, image in enumerate(found.images):
        rows[image].append(row)
    claims = {image: Claims.on(one, found.boxes[rows[image]], rule) for image, one in judged.items() if len(one.boxes)}
    places = {row: place for some in rows.values() for place, row in enumerate(some)}  # among those of its image
    verdicts = []
    for row in found.confidence.nan_to_num(nan=float("-inf")).argsort(descending=True, stable=True).tolist():
        image = found.images[row]
        if image in blacklisted:
            continue
        right = claims[image].take(places[row], rule) if image in claims else False
        if right is not None:
            verdicts.append(right)
    hits = np.cumsum(verdicts, dtype=np.float64)
    if not len(hits):
        return 0.0
    recall, precision = hits / objects, hits / np.arange(1, len(hits) + 1)
    return eleven_points(recall, precision) if rule == "voc2007" else area_under(recall, precision)


class Claims(NamedTuple):
    """Of one image: the overlap of each detection with each object (D, M), and of the objects (M,) the least overlap
    that is asked, which are ignored, and which are taken."""

    overlap: NDArray[np.float64]
    least: NDArray[np.float64]
    ignored: NDArray[np.bool_]
    taken: NDArray[np.bool_]

    @classmethod
    def on(cls, objects: Objects, boxes: Tensor, rule: Rule) -> Self:
        """Those of detections (D, 4) on an image's objects, of which none is taken yet."""
        least = thresholds(objects.boxes) if rule == "ilsvrc" else torch.full((len(objects.boxes),), OVERLAP)
        overlap = overlaps(boxes, objects.boxes).double().numpy()
        return cls(overlap, least.double().numpy(), objects.ignored.numpy(), np.zeros(len(least), dtype=np.bool_))

    def take(self, place: int, rule: Rule) -> bool | None:
        """Whether the detection at `place` is right, which takes its object; None where it does not count."""
        overlap = self.overlap[place]
        free = ~self.taken if rule == "ilsvrc" else ~self.taken | self.ignored
        fits = (overlap >= self.least) & free
        best = int((np.where(fits, overlap, -1.0) if rule == "ilsvrc" else overlap).argmax())
        if not fits[best]:
            return False
        if self.ignored[best]:
            return None
        self.taken[best] = True
        return True


def thresholds(boxes: Tensor) -> Tensor:
    """The overlap that is asked for each object: (M, 4) -> (M,); less than half for those below 25 px or so."""
    sides = (boxes[:, 2:] - boxes[:, :2] + 1).double()
    return (sides.prod(1) / (sides + SLACK).prod(1)).clamp_max(OVERLAP)


def area_under(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    """The area under the falling envelope of a curve: at each recall the best precision from there on."""
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))


def eleven_points(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    """The mean of the envelope at recalls of 0, 0.1, ... 1: 0 where the recall is not reached."""
    levels = np.arange(11) / 10
    return float(np.mean([precision[recall >= level - 1e-12].max(initial=0.0) for level in levels]))


def segmentation_iou(answers: Tensor, truths: Tensor, classes: int, void: int = 255) -> Tensor:
    """Intersection over union of each class over all pixels, (classes,) float64, NaN for a class that is nowhere.

    answers, truths: integers of one shape; pixels whose truth is `void` are left out. Everingham et al. 2010, sec. 4.3;
    the figure that is reported is the mean.
    """
    if answers.shape != truths.shape:
        raise BadShape(
            f"segmentation_iou: expected maps of one shape, got {tuple(answers.shape)} and {tuple(truths.shape)}"
        )
    counted = truths != void
    for name, maps in (("answers", answers[counted]), ("truths", truths[counted])):
        if len(maps) and not 0 <= int(maps.min()) <= int(maps.max()) < classes:
            raise BadShape(
                f"segmentation_iou: expected {name} from 0 to {classes - 1}, got {int(maps.min())} to {int(maps.max())}"
            )
    cells = truths[counted].long() * classes + answers[counted].long()
    counts = torch.bincount(cells, minlength=classes * classes).view(classes, classes).double()
    shared = counts.diagonal()
    return shared / (counts.sum(0) + counts.sum(1) - shared)
