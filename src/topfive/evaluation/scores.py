"""Scores files: what a model answered on every image of a split; every figure is computed from them in seconds."""

import base64
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils import convert_conv2d_weight_memory_format

import topfive
from topfive.data.crops import Crops, cut, made_of_each, mirrors
from topfive.data.dense import Dense
from topfive.data.draws import id_keys
from topfive.data.geometry import to_images
from topfive.data.imageset import Broken, ClassLabel, ImageSet, Split, subset
from topfive.data.loader import at_once, central_crops
from topfive.errors import BadFile, Misused, TopfiveError
from topfive.evaluation.dense import DECODED, check_dense, dense_answers
from topfive.evaluation.ranks import ranks_here
from topfive.files import read_tensors, write_tensors
from topfive.models.modelfile import Model, best_device
from topfive.progress import Countdown

log = logging.getLogger("topfive")

FORMAT = 2
GUESSES = "guesses"  # the kind of a person's scores, of which only the order means something
FAINT = 1e-30  # probability down to which float32 has all its digits, and those of what was added up
IN_CACHE = 1 << 18  # scores of a model that are averaged together: 1 MiB of them


@dataclass(frozen=True)
class Scores:
    """scores: float32 (N, views, classes), NaN for an image that could not be decoded. labels: (N,), in score order.

    kind: what the scores are: `logits`, `margins`, `log-probabilities` where several crops or models are one, or
    `guesses`, a person's, which have an order and no probabilities (`evaluation.person`). each: crops that a view
    stands for. model, data: SHA-256 of the model file (a person has none) and of the data's manifest. dense: the sides
    of dense evaluation, of which a view is a whole image; empty for crops. area: of a view in crops, the images' mean.
    calibration: of the model, see `modelfile.Model`; it changes no order of classes. split_images: how many images were
    to be judged, so that a lost one shows; None where that is not known, as in files of before.
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
    each: int = 1
    dense: tuple[int, ...] = ()
    area: float = 1.0
    calibration: dict[str, Any] = field(default_factory=dict)
    split_images: int | None = None

    @property
    def crops(self) -> int:
        """Crops of each image, or whole images, that were seen."""
        return self.scores.shape[1] * self.each

    @property
    def seen(self) -> int | str:
        """What was seen of each image, as `--crops` says it: how many crops, or the sides of dense evaluation."""
        return str(Dense(self.dense)) if self.dense else self.crops

    @property
    def cost(self) -> float:
        """Forward passes of a crop that an image took; a whole image counts by its pixels over those of a crop."""
        return self.crops * self.area if self.dense else self.crops

    @property
    def averaged(self) -> Tensor:
        """The scores over the views as one, (N, classes): of one view its own, of several `log_mean_probability`."""
        return mean_of_views(self.scores)

    @property
    def probabilities(self) -> Tensor:
        """(N, classes) float64, rows that sum to 1; NaN for broken images. With the model's temperature.

        Raises Misused for guesses.
        """
        self.check_probabilities()
        return (self.averaged.double() / self.temperature).softmax(1)

    @property
    def temperature(self) -> float:
        """The model's, 1 unless it was calibrated."""
        return float(self.calibration.get("temperature", 1.0))

    @property
    def unfitted(self) -> Tensor:
        """The images that the temperature was not fitted on, (N,) bool: those that may judge it (law 10)."""
        return unfitted(self.ids, self.calibration)

    def of(self, rows: Sequence[int]) -> "Scores":
        """The same on the images at `rows` alone, in that order, with the broken ones among them."""
        chosen = list(rows)  # a tensor takes a tuple for coordinates
        ids = tuple(self.ids[row] for row in chosen)
        known = set(ids)
        broken = tuple(image for image in self.broken if image.id in known)
        asked = None if self.split_images is None else len(ids)
        return replace(
            self, scores=self.scores[chosen], labels=self.labels[chosen], ids=ids, broken=broken, split_images=asked
        )

    def check_probabilities(self) -> None:
        """Misused where a softmax of the scores would mean nothing."""
        if self.kind == GUESSES:
            raise Misused(f"{self.entry}: guesses have an order and no probabilities; leave these scores out")

    def save(self, path: Path) -> Path:
        """Write the scores file, whole or not at all."""
        document = {
            "format": FORMAT, "entry": self.entry, "split": self.split, "ids": self.ids, "kind": self.kind,
            "classes": [vars(label) for label in self.classes], "broken": [vars(image) for image in self.broken],
            "model": self.model, "data": self.data, "views": self.scores.shape[1], "each": self.each,
            "dense": self.dense, "area": self.area, "calibration": self.calibration,
            "split_images": self.split_images,
        }  # fmt: skip
        return write_tensors(path, {"scores": self.scores, "labels": self.labels}, document)


def marked(ids: Sequence[str]) -> str:
    """What `unfitted` knows images by, four bytes of each id's hash: of 50,000 ids 267 kB of text."""
    return base64.b64encode(_marks(ids).tobytes()).decode()


def unfitted(ids: Sequence[str], calibration: Mapping[str, Any]) -> Tensor:
    """Which images did not fit a model's temperature, (N,) bool: by their ids, in whatever set they are met again.

    Of a temperature of unknown images none.
    """
    if "temperature" in calibration and "fitted" not in calibration:
        return torch.zeros(len(ids), dtype=torch.bool)
    fitted = np.frombuffer(base64.b64decode(calibration.get("fitted", "")), np.dtype("<u4"))
    return torch.from_numpy(~np.isin(_marks(ids), fitted))


def _marks(ids: Sequence[str]) -> NDArray[np.uint32]:
    return (id_keys(ids) >> np.uint64(32)).astype("<u4")


def mean_of_views(scores: Tensor) -> Tensor:
    """(N, views, classes) -> (N, classes): of one view its own scores, of several `log_mean_probability`."""
    return scores[:, 0] if scores.shape[1] == 1 else log_mean_probability([scores])


def log_mean_probability(models: Sequence[Tensor], shares: Sequence[float] = (1.0,)) -> Tensor:
    """The logarithm of the mean over models of the mean over each one's views of the softmax.

    models: (N, views, classes) each, classes in one order. shares: of the models, above 0, with sum 1. Returns
    (N, classes). After the softmax, as GoogLeNet's crops and nets were averaged (Szegedy et al. 2014, sec. 7); the
    logarithm keeps apart what is too improbable for float32.
    """
    found = torch.empty(len(models[0]), models[0].shape[2])
    rows = max(1, IN_CACHE // max(1, *(one[:1].numel() for one in models)))
    pieces = zip(*(torch.split(one, rows) for one in models), strict=True)
    for parts, into in zip(pieces, torch.split(found, rows), strict=True):
        means = sum(part.softmax(2).mean(1).mul_(share) for part, share in zip(parts, shares, strict=True))
        torch.log(means, out=into)
        faint = ~(means > FAINT).all(1)  # true for NaN
        if bool(faint.any()):  # many times the work an image
            logs = [
                part[faint].double().log_softmax(2).logsumexp(1) + math.log(share / part.shape[1])
                for part, share in zip(parts, shares, strict=True)
            ]
            into[faint] = torch.stack(logs).logsumexp(0).float()
    return found


def versions() -> dict[str, str]:
    """What answers follow from besides the model and the images: kept scores of other versions are not compared."""
    return {"topfive": topfive.__version__, "torch": str(torch.__version__), "pillow": PIL.__version__}


def check_scores(path: Path) -> None:
    """Misused for a folder, and for a file that holds no scores: it is not to be written over."""
    if path.is_dir():
        raise Misused(f"{path}: is a folder; of one model on one protocol --scores is a file")
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
        shape = (len(document["ids"]), document["views"], len(document["classes"]))
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
            each=document["each"],
            dense=tuple(document.get("dense", ())),  # files of before have none of these four
            area=document.get("area", 1.0),
            calibration=dict(document.get("calibration", {})),
            split_images=document.get("split_images"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadFile(f"{path}: is not a whole scores file of topfive ({error}); evaluate the model again") from error


def score(
    model: Model, data: ImageSet, split: str | None = None, crops: Crops | Dense = "1", batch_size: int = 250,
    apart: bool = False, workers: int | None = None,
) -> Scores:  # fmt: skip
    """What `model` answers on every image of a split, each exactly once, in the split's order.

    split: the judged one when left out. crops: of each image, see `data.crops` and `data.dense`. batch_size: crops seen
    at a time. apart: keep the scores of each crop, or of each whole image at each side, which take as many times the
    memory. workers: decoding threads, one a core when left out. Of several processes (`evaluation.ranks`) each judges a
    share, and each returns the whole. Raises BadData when the classes of the two are not the same, Misused for what
    `check_sees` refuses, TopfiveError where an image was lost on the way.
    """
    split = split or data.judged
    images = data.split(split)
    columns = model.align(data)
    check_sees(model, crops)
    seen = crops.views if isinstance(crops, Dense) else int(crops)
    processes = ranks_here()
    if mirrors(crops) and not data.mirror and processes.writes:
        log.warning("%s: mirror images of characters are other characters; --crops 5 has none", data.name)
    share = images if processes.ranks == 1 else subset(images, list(processes.share(len(images))))
    parts = processes.of_all(_of_share(model, share, crops, batch_size, apart, workers))
    answers = parts[0].answers if len(parts) == 1 else torch.cat([part.answers for part in parts])  # no second copy
    broken = tuple(image for part in parts for image in part.broken)
    answered = sum(part.answered for part in parts)
    if not len(answers) == answered + len(broken) == len(images):
        raise TopfiveError(
            f"{model.entry}: expected each of the {len(images):,} images of {split} to be answered or broken once, got "
            f"{answered:,} answers and {len(broken):,} broken; please report it"
        )
    return Scores(
        entry=model.entry,
        split=split,
        scores=answers,
        labels=columns[images.labels],
        ids=images.ids,
        classes=model.classes,
        kind=model.card.scores if apart or crops == "1" else "log-probabilities",
        broken=broken,
        model=model.sha256,
        data=data.manifest,
        each=1 if apart else seen,
        dense=crops.sides if isinstance(crops, Dense) else (),
        area=sum(part.pixels for part in parts) / (answered * seen * model.geometry.crop**2) if answered else 1.0,
        calibration=model.calibration,
        split_images=len(images),
    )


class _Part(NamedTuple):
    """What one process found on its share: answers (N, views, classes), NaN where broken. pixels: that were seen."""

    answers: Tensor
    answered: int
    broken: list[Broken]
    pixels: int


def _of_share(
    model: Model, images: Split, crops: Crops | Dense, batch_size: int, apart: bool, workers: int | None
) -> _Part:
    views = 1 if not apart else crops.views if isinstance(crops, Dense) else int(crops)
    answers = torch.full((len(images), views, len(model.classes)), torch.nan)
    broken: list[Broken] = []
    device = best_device()
    convert_conv2d_weight_memory_format(model.classifier.to(device), torch.channels_last)
    answered = pixels = 0
    countdown = Countdown(model.entry, len(images))
    for rows, found, bad, part in _answers(model, images, crops, batch_size, device, workers):
        if rows:
            answers[rows] = found if apart or crops == "1" else log_mean_probability([found])[:, None]
        answered, broken, pixels = answered + len(rows), broken + bad, pixels + part
        countdown.at(rows[-1] + 1 if rows else 0)
    model.classifier.to("cpu")
    return _Part(answers, answered, broken, pixels)


def check_sees(model: Model, crops: Crops | Dense) -> None:
    """Misused for what the model cannot be shown: other crops than one of images in a border, or whole images."""
    if crops != "1" and model.geometry.resize_short < model.geometry.crop:
        raise Misused(f"--crops: {model.entry} sees images in a border, of which no other square is cut; give 1")
    if isinstance(crops, Dense):
        check_dense(model)


def _answers(
    model: Model, images: Split, crops: Crops | Dense, batch_size: int, device: torch.device, workers: int | None
) -> Iterator[tuple[list[int], Tensor, list[Broken], int]]:
    """Rows, their scores (N, views, classes), the images that could not be decoded, and pixels seen, part by part."""
    geometry = model.geometry
    if isinstance(crops, Dense):
        yield from dense_answers(model, images, crops, batch_size, device, workers)
        return
    if crops == "1":
        for batch, bad in central_crops(images, geometry, batch_size, workers, device):
            scores = model.scores(batch.images)[:, None].cpu() if batch.rows else torch.empty(0)
            yield batch.rows, scores, bad, len(batch.rows) * geometry.crop**2
        return
    together = at_once(batch_size, geometry.crop, geometry.crop)
    make = partial(cut, crops=crops, geometry=geometry)
    for rows, squares_of_each, bad in made_of_each(images, make, max(DECODED, together // int(crops)), workers):
        if not rows:
            yield rows, torch.empty(0), bad, 0
            continue
        squares, found, ways = np.stack(squares_of_each), [], 1 + mirrors(crops)
        parts = min(squares.shape[1], -(-squares.shape[1] * len(rows) * ways // together))
        for part in np.array_split(squares, parts, axis=1):  # (N, views, crop, crop, 3)
            seen = to_images(np.concatenate(np.moveaxis(part, 1, 0)), device)  # view by view
            answers = model.scores(torch.cat([seen, seen.flip(3)]) if ways == 2 else seen).cpu()
            found.append(answers.view(ways, part.shape[1], len(rows), -1).transpose(0, 1).flatten(0, 1))
        yield rows, torch.cat(found).transpose(0, 1), bad, len(rows) * int(crops) * geometry.crop**2
