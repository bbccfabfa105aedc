"""ReaL: the labels of ILSVRC-2012's validation images, looked at again. Beyer et al. 2020, arXiv:2006.07159.

`real.json` holds a list for each of the 50,000 images, in the order of the numbers in their names: the first is that of
ILSVRC2012_val_00000001.JPEG. An image whose list is empty has no label that people agreed on and is left out.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from topfive.data.challenge import challenge_classes, numbered
from topfive.errors import BadData, BadFile
from topfive.metrics import any_label_ranks


def read_real(path: Path) -> list[list[int]]:
    """The true classes of every image, by their places in the sorted list of wnids. BadFile for another file."""
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


def real_error(
    scores: Tensor, keys: Sequence[str], ids: Sequence[str], lists: Sequence[Sequence[int]], k: int = 1
) -> tuple[float, int]:  # fmt: skip
    """The share of the images none of whose true labels is among the k best, and how many images have any.

    scores: (N, 1000). keys: the classes' wnids, in the order of the scores: ReaL counts them in sorted order, the
    development kits in another (law 1). Ties and NaN count against the labels. Raises BadData for other classes.
    """
    known = {label.key for label in challenge_classes()}
    if set(keys) != known or scores.shape[1] != len(keys):
        raise BadData(
            f"ReaL: expected ILSVRC's 1,000 classes by their wnids, got {len(known & set(keys))} of them, "
            f"{len(set(keys) - known)} other keys and scores of {scores.shape[1]}; give a model of these"
        )
    column = {key: place for place, key in enumerate(keys)}
    columns = [column[key] for key in sorted(keys)]
    truths = torch.zeros(scores.shape, dtype=torch.bool)
    for row, place in enumerate(places(ids, len(lists))):
        truths[row, [columns[label] for label in lists[place]]] = True
    labelled = truths.any(1)
    if not labelled.any():
        raise BadData("ReaL: expected an image with a label, found none; give more images")
    ranks = any_label_ranks(scores[labelled], truths[labelled])
    return float((ranks >= k).double().mean()), int(labelled.sum())
