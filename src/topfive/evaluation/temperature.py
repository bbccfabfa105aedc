"""The temperature of a model: fitted on images that neither train nor judge, and kept in the model file.

Guo, Pleiss, Sun, Weinberger 2017, arXiv:1706.04599, sec. 4.2. It changes what an answer's probability says and no
answer. Where a set has `val` beside `test`, all of val fits it; else the half of the judged split that
`draws.choosing` gives, and figures of probabilities are those of the other half (law 10).
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from topfive.data.draws import choosing
from topfive.data.imageset import ImageSet
from topfive.errors import BadData, Misused
from topfive.evaluation.calibration import fit_sharpness
from topfive.evaluation.scores import marked, score
from topfive.models.modelfile import find, load, save


def calibrate(path: str | Path, data: ImageSet, split: str | None = None) -> dict[str, Any]:
    """Fit the temperature of the model in a file or run folder, write it there, whole or not at all, and tell of it.

    The file keeps with it which images fitted it; they never judge it, in whatever set they are met again.

    split: `val` when left out, else the judged one. Raises Misused for train, BadData where too few images are left or
    the classes are not the model's.
    """
    split = split or ("val" if "val" in data.splits else data.judged)
    if split == "train":
        raise Misused("calibrate: expected a split that did not train, got train; leave --split out or give val")
    file = find(path)
    model = load(file)
    scores = score(model, data, split)
    half = split == data.judged
    rows = torch.from_numpy(choosing(scores.ids)) if half else torch.ones(len(scores.ids), dtype=torch.bool)
    rows &= ~scores.averaged.isnan().any(1)
    images = int(rows.sum())
    if images < len(scores.classes):
        raise BadData(
            f"{data.name}: expected an image for each of {len(scores.classes)} classes to fit a temperature on, found "
            f"{images} in {'half of ' if half else ''}{split}; add images"
        )
    temperature = 1 / fit_sharpness(scores.averaged[rows], scores.labels[rows])
    found = {"temperature": temperature, "data": data.manifest, "split": split, "half": half, "images": images}
    images_of_it = [id_ for id_, own in zip(scores.ids, rows.tolist(), strict=True) if own]
    save(replace(model, calibration=found | {"fitted": marked(images_of_it)}), file)
    return found
