"""Scores that are kept in a folder from one call to the next, by all that they follow from."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

from topfive.data.crops import Crops
from topfive.data.dense import Dense
from topfive.data.imageset import ImageSet, fingerprint
from topfive.errors import BadFile, Misused
from topfive.evaluation.ranks import ranks_here
from topfive.evaluation.scores import Scores, load_scores, score, versions
from topfive.files import check_place
from topfive.models.modelfile import Model

log = logging.getLogger("topfive")


def places(
    models: Sequence[Model], data: ImageSet, split: str, crops: Sequence[Crops | Dense], folder: Path | None
) -> dict[tuple[str, str], Path]:
    """Where scores are kept, by a model's checksum and a protocol; a model that was never saved has no place.

    A file is named by all that its scores follow from. Raises Misused where `folder` is a file, BadFile where a new
    file cannot be written.
    """
    if folder is None:
        return {}
    if folder.exists() and not folder.is_dir():
        raise Misused(f"{folder}: is a file; of several models or protocols --scores is a folder")
    images, found = fingerprint(data.split(split)), dict[tuple[str, str], Path]()
    for model, protocol in product(models, map(str, crops)):
        if model.sha256:
            follows = (model.sha256, data.manifest, images, split, protocol, *versions().values())
            digest = hashlib.sha256("\n".join(follows).encode()).hexdigest()
            found[model.sha256, protocol] = folder / f"{model.entry}_{protocol}_crops_{digest[:12]}.safetensors"
    new = [file for file in found.values() if not file.exists()]
    if new and ranks_here().writes:
        check_place(new[0])
    return found


def scores_of(
    model: Model, data: ImageSet, split: str, crops: Crops | Dense, files: Mapping[tuple[str, str], Path]
) -> Scores:
    """Of one model on one protocol, its views as one: those that are kept, or made and kept. files: see `places`."""
    file = files.get((model.sha256, str(crops)))
    if file is not None and file.exists():
        kept = _kept(file)
        follows = (model.sha256, data.manifest, split, str(crops), data.split(split).ids)
        if kept and (kept.model, kept.data, kept.split, str(kept.seen), kept.ids) == follows:
            return kept
        log.warning("%s: holds no whole scores of this model on these images; they are made anew", file)
    log.info("%s on %s", model.entry, crops if isinstance(crops, Dense) else f"{crops} crop(s)")
    scores = score(model, data, split, crops)
    if file is not None and ranks_here().writes:
        scores.save(file)
    return scores


def _kept(file: Path) -> Scores | None:
    """The scores in a file of ours; None where it is damaged: what it held can be made again."""
    try:
        return load_scores(file)
    except BadFile:
        return None
