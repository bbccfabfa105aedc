"""Scores files: what a model answered on every image of a split; every figure is computed from them in seconds."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from topfive.data.crops import Crops, cut_all, mirrors
from topfive.data.geometry import to_images
from topfive.data.imageset import Broken, ClassLabel, ImageSet, Split
from topfive.data.loader import central_crops
from topfive.errors import BadFile, Misused
from topfive.files import read_tensors, write_tensors
from topfive.models.modelfile import Model, best_device

log = logging.getLogger("topfive")

FORMAT = 1
SAY_EVERY = 10.0  # seconds between lines of progress


@dataclass(frozen=True)
class Scores:
    """scores: float32 (N, crops, classes), NaN for an image that could not be decoded. labels: (N,), in score order.

    kind: what the scores are: `logits`, `margins`, or `probabilities` of an ensemble. model, data: SHA-256 of the model
    file and of the data's manifest.
    """

    entry: str
    split: str
    scores: Tensor
    labels: Tensor
    ids: tuple[str, ...]
    classes: tuple[ClassLabel, ...]
    kind: str
    broken: tuple[Broken, ...] = ()
    model: str = ""
    data: str = ""

    @property
    def averaged(self) -> Tensor:
        """The scores over the crops as one, (N, classes): of several crops the mean of their probabilities.

        After the softmax, as GoogLeNet's (Szegedy et al. 2014, sec. 7).
        """
        return self.scores[:, 0] if self.scores.shape[1] == 1 else self.scores.softmax(2).mean(1)

    @property
    def probabilities(self) -> Tensor:
        """(N, classes) float64: the softmax of one crop's scores, the mean of several crops'; NaN for broken images."""
        done = self.kind == "probabilities" or self.scores.shape[1] > 1
        return self.averaged.double() if done else self.averaged.double().softmax(1)

    def save(self, path: Path) -> Path:
        """Write the scores file, whole or not at all."""
        document = {
            "format": FORMAT, "entry": self.entry, "split": self.split, "ids": self.ids, "kind": self.kind,
            "classes": [vars(label) for label in self.classes], "broken": [vars(image) for image in self.broken],
            "model": self.model, "data": self.data, "crops": self.scores.shape[1],
        }  # fmt: skip
        return write_tensors(path, {"scores": self.scores, "labels": self.labels}, document)


def check_scores(path: Path) -> None:
    """Misused for a file that is there and holds no scores: it is not to be written over."""
    try:
        load_scores(path)
    except BadFile:
        raise Misused(f"{path}: is there already and holds no scores; choose another file for them") from None


def load_scores(path: Path) -> Scores:
    """The scores in a scores file; BadFile when it is missing, cut short or of another kind."""
    tensors, document = read_tensors(path, "scores file", "evaluate the model again")
    try:
        scores, labels = tensors["scores"], tensors["labels"]
        if document["format"] != FORMAT:
            raise ValueError(f"expected format {FORMAT}, got {document['format']}")
        shape = (len(document["ids"]), document["crops"], len(document["classes"]))
        if scores.shape != shape or labels.shape != shape[:1]:
            raise ValueError(f"expected scores {shape}, got {tuple(scores.shape)} and labels {tuple(labels.shape)}")
        return Scores(
            entry=document["entry"],
            split=document["split"],
            scores=scores,
            labels=labels,
            ids=tuple(document["ids"]),
            classes=tuple(ClassLabel(**label) for label in document["classes"]),
            kind=document["kind"],
            broken=tuple(Broken(**image) for image in document["broken"]),
            model=document["model"],
            data=document["data"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadFile(f"{path}: is not a whole scores file of topfive ({error}); evaluate the model again") from error


def score(
    model: Model, data: ImageSet, split: str | None = None, crops: Crops = "1", batch_size: int = 250
) -> Scores:  # fmt: skip
    """What `model` answers on every image of a split, each exactly once, in the split's order.

    split: the judged one when left out. crops: of each image, see `data.crops`. batch_size: crops seen at a time.
    Raises BadData when the classes of the two are not the same.
    """
    split = split or data.judged
    images = data.split(split)
    columns = model.align(data)
    answers = torch.full((len(images), int(crops), len(model.classes)), torch.nan)
    broken: list[Broken] = []
    if mirrors(crops) and not data.mirror:
        log.warning("%s: mirror images of characters are other characters; --crops 5 has none", data.name)
    device = best_device()
    model.classifier.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # no types for it alone
    answered = 0
    started = said_at = time.perf_counter()
    for rows, found, bad in _answers(model, images, crops, batch_size, device):
        if rows:
            answers[rows] = found
        answered, broken = answered + len(rows), broken + bad
        now = time.perf_counter()
        if now - said_at > SAY_EVERY and rows:
            said_at, done = now, rows[-1] + 1
            log.info("  %s: %d of %d images, %.0f s left", model.entry, done, len(images),
                     (now - started) / done * (len(images) - done))  # fmt: skip
    model.classifier.to("cpu")
    assert answered + len(broken) == len(images), "an image was judged twice or not at all"
    return Scores(
        entry=model.entry,
        split=split,
        scores=answers,
        labels=columns[images.labels],
        ids=images.ids,
        classes=model.classes,
        kind=model.card.scores,
        broken=tuple(broken),
        model=model.sha256,
        data=data.manifest,
    )


def _answers(
    model: Model, images: Split, crops: Crops, batch_size: int, device: torch.device
) -> Iterator[tuple[list[int], Tensor, list[Broken]]]:
    """Rows, their scores (N, crops, classes), and the images that could not be decoded, part by part."""
    if crops == "1":
        for batch, bad in central_crops(images, model.geometry, batch_size, device=device):
            yield batch.rows, model.scores(batch.images)[:, None].cpu() if batch.rows else torch.empty(0), bad
        return
    for rows, squares, bad in cut_all(images, model.geometry, crops, max(1, batch_size // int(crops))):
        if not rows:
            yield rows, torch.empty(0), bad
            continue
        seen = [to_images(squares[:, view], device) for view in range(squares.shape[1])]
        seen = [one for view in seen for one in ((view, view.flip(3)) if mirrors(crops) else (view,))]
        found = [model.scores(part) for part in torch.split(torch.cat(seen), batch_size)]  # view by view
        yield rows, torch.cat(found).view(len(seen), len(rows), -1).transpose(0, 1).cpu(), bad
