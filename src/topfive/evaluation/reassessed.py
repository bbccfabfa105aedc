"""ReaL: the labels of ILSVRC-2012's validation images, looked at again. Beyer et al. 2020, arXiv:2006.07159.

`real.json` holds a list for each of the 50,000 images, in the order of the numbers in their names: the first is that of
ILSVRC2012_val_00000001.JPEG. An image whose list is empty has no label that people agreed on and is left out.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from topfive.data.challenge import challenge_classes, numbered
from topfive.errors import BadData, BadFile, Misused
from topfive.evaluation.intervals import wilson
from topfive.evaluation.scores import Scores
from topfive.metrics import any_label_ranks


def read_real(path: Path) -> list[list[int]]:
    """The true classes of every image, by their places in the sorted list of wnids. BadFile for another file."""
    if not path.exists():
        raise Misused(f"{path}: expected ReaL's real.json, found nothing there; check it")
    try:
        lists: list[list[int]] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadFile(f"{path}: could not be read as JSON ({error}); give ReaL's real.json") from error
    whole = isinstance(lists, list) and all(
        isinstance(one, list) and all(isinstance(label, int) and 0 <= label < 1000 for label in one) for one in lists
    )
    if not whole or not lists:
        raise BadFile(f"{path}: expected lists of classes from 0 to 999, found another; give ReaL's real.json")
    return lists


def places(ids: Sequence[str], images: int) -> list[int]:
    """Where each image stands in the lists, from the number in its name: 1 is the first, at 0.

    Raises BadData for a name without a number and for one beyond the lists; numbers are never counted from the order of
    the files.
    """
    found = []
    for id_ in ids:
        image = numbered(id_)
        number = image.number if image and image[:2] == (2012, "val") else 0
        if not 1 <= number <= images:
            raise BadData(
                f"ReaL: expected names such as ILSVRC2012_val_00000001.JPEG up to {images:,}, found {id_}; "
                "keep the validation images' names"
            )
        found.append(number - 1)
    return found


class Reassessed(NamedTuple):
    """error: the share of wrong answers, in [0, 1], with Wilson's 95 % interval. images: those that have true labels,
    of which so many are wrong; the others do not count."""

    error: float
    interval: tuple[float, float]
    wrong: int
    images: int


def check_real(keys: Sequence[str], ids: Sequence[str], lists: Sequence[Sequence[int]]) -> None:
    """Raise BadData unless these are ILSVRC's classes, by wnid, and its numbered images, one of them with labels."""
    known = {label.key for label in challenge_classes()}
    if set(keys) != known:
        raise BadData(
            f"ReaL: expected ILSVRC's 1,000 classes by their wnids, got {len(known & set(keys))} of them and "
            f"{len(set(keys) - known)} other keys; give a model of these"
        )
    if not any(lists[place] for place in places(ids, len(lists))):
        raise BadData("ReaL: expected an image with a label, found none; give more images")


def real_error(scores: Scores, lists: Sequence[Sequence[int]], k: int = 1) -> Reassessed:
    """The error by ReaL's lists, of the images that have any label there: none of it is among the k best answers.

    Classes are found by their wnids: ReaL counts them in sorted order, the development kits in another (law 1). Ties
    and NaN count against the labels. Raises what `check_real` raises.
    """
    keys = [label.key for label in scores.classes]
    check_real(keys, scores.ids, lists)
    column = {key: place for place, key in enumerate(keys)}
    columns = [column[key] for key in sorted(keys)]
    averaged = scores.averaged
    truths = torch.zeros(averaged.shape, dtype=torch.bool)
    for row, place in enumerate(places(scores.ids, len(lists))):
        truths[row, [columns[label] for label in lists[place]]] = True
    labelled = truths.any(1)
    ranks = any_label_ranks(averaged[labelled], truths[labelled])
    wrong, images = int((ranks >= k).sum()), int(labelled.sum())
    return Reassessed(wrong / images, wilson(wrong, images), wrong, images)
