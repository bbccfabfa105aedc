"""The model file: one safetensors file with the tensors and, in its header, one JSON document.

Everything that predicts reads this file and nothing else: it names the entry and its arguments, the classes in score
order, the geometry, the recipe, the data it was fitted on, its figures and the versions. No pickle anywhere (law 5).
"""

import base64
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from topfive.data.decode import decode
from topfive.data.geometry import Geometry, to_images, to_pixels
from topfive.data.imageset import ClassLabel, ImageSet
from topfive.errors import BadData, BadFile, Misused, TopfiveError, UnknownName
from topfive.files import read_tensors, sha256, write_tensors
from topfive.layers import Classifier
from topfive.models.card import Card
from topfive.models.zoo import ZOO, Undrawn, build

FORMAT = 1
FILE_NAME = "model.safetensors"


@dataclass(frozen=True)
class Guess:
    """One of a prediction's names: its class and its probability, in [0, 1]."""

    key: str
    name: str
    probability: float


@dataclass
class Model:
    """A classifier with all that is needed to use it.

    classes: in score order. data: name, manifests (of all, and of the split that it learned from) and image counts of
    what it was fitted on. figures: what it reached there. recipe: the recipe it was trained by, as a document.
    calibration: the temperature by which scores are divided before the softmax and the images that it was fitted on, or
    nothing. sha256: of the file it was read from, or empty.
    """

    entry: str
    arguments: dict[str, Any]
    classes: tuple[ClassLabel, ...]
    geometry: Geometry
    classifier: Classifier
    recipe: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    external_data: bool = False
    calibration: dict[str, Any] = field(default_factory=dict)
    sha256: str = ""

    @property
    def card(self) -> Card:
        """The entry's card."""
        return ZOO[self.entry]

    @property
    def temperature(self) -> float:
        """By which scores are divided before the softmax: 1 unless the model was calibrated."""
        return float(self.calibration.get("temperature", 1.0))

    def scores(self, images: Tensor) -> Tensor:
        """float32 RGB images (N, 3, crop, crop) in [0, 1] -> float32 scores (N, classes), in eval mode, no grad."""
        self.classifier.eval()
        with torch.inference_mode():
            scores: Tensor = self.classifier(images)
        return scores.float()

    def dense_scores(self, images: Tensor) -> Tensor:
        """The same of whole images (N, 3, H, W), averaged over positions: see `Classifier.dense`."""
        self.classifier.eval()
        with torch.inference_mode():
            return self.classifier.dense(images)

    def predict(self, images: Sequence[str | Path | NDArray[np.uint8]], top: int = 5) -> list[list[Guess]]:
        """The `top` most probable classes of each image, best first (fewer when there are fewer classes).

        images: paths, or uint8 arrays (H, W, 3) or (H, W), of any size. Probabilities are the softmax of the scores
        divided by the temperature.
        Raises BadFile for an image that cannot be decoded, Misused for an array that is no image and a `top` below 1.
        """
        if top < 1:
            raise Misused(f"predict: expected top of at least 1, got {top}; ask for one name or more")
        return [guesses for batch in _in_batches(images) for guesses in self._predict(batch, top)]

    def _predict(self, images: Sequence[str | Path | NDArray[np.uint8]], top: int) -> Iterator[list[Guess]]:
        squares = np.stack([self.geometry.apply(_pixels(image)) for image in images])
        probs = (self.scores(to_images(squares)).double() / self.temperature).softmax(1)
        best = probs.topk(min(top, len(self.classes)), dim=1)
        for row_probs, row_classes in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            labels = [self.classes[index] for index in row_classes]
            yield [Guess(label.key, label.name, prob) for label, prob in zip(labels, row_probs, strict=True)]

    def align(self, data: ImageSet) -> Tensor:
        """Where each class of `data` stands among this model's scores, (classes,) int64, matched by key (law 1).

        Raises BadData that names a class which only one of the two knows.
        """
        ours, theirs = {label.key: index for index, label in enumerate(self.classes)}, [c.key for c in data.classes]
        for kind, extra in (("does not know", set(theirs) - set(ours)), ("also knows", set(ours) - set(theirs))):
            if extra:
                raise BadData(
                    f"{data.name}: expected the {len(ours)} classes that {self.entry} was fitted on, but the model "
                    f"{kind} {', '.join(repr(key) for key in sorted(extra)[:5])}{' ...' if len(extra) > 5 else ''}; "
                    "give the class folders the same names"
                )
        return torch.tensor([ours[key] for key in theirs])

    def to_header(self) -> dict[str, Any]:
        """The JSON document of the file's header."""
        return {
            "format": FORMAT,
            "entry": self.entry,
            "arguments": self.arguments,
            "classes": [{"key": label.key, "name": label.name} for label in self.classes],
            "geometry": self.geometry.to_json(),
            "recipe": self.recipe,
            "data": self.data,
            "figures": self.figures,
            "versions": self.versions,
            "external_data": self.external_data,
            "calibration": self.calibration,
        }


def _in_batches(images: Sequence[Any], size: int = 64) -> Iterator[Sequence[Any]]:
    for start in range(0, len(images), size):
        yield images[start : start + size]


def _pixels(image: str | Path | NDArray[np.uint8]) -> NDArray[np.uint8]:
    if isinstance(image, str | Path):
        return to_pixels(decode(Path(image)))
    is_picture = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 3))
    if image.dtype != np.uint8 or not is_picture or not image.size:
        raise Misused(
            f"predict: expected a uint8 array (H, W, 3) or (H, W), got {image.dtype} {image.shape}; convert it first"
        )
    return np.repeat(image.reshape(*image.shape[:2], -1), 3 if image.ndim == 2 or image.shape[2] == 1 else 1, axis=2)


def save(model: Model, path: Path) -> Path:
    """Write a model file, whole or not at all; raises BadFile when the disk is full."""
    return write_tensors(path, model.classifier.state_dict(), model.to_header())


def best_device() -> torch.device:
    """The accelerator where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def find(path: str | Path) -> Path:
    """The model file that `path` means: itself, or the one in that run folder. UnknownName when there is none."""
    path = Path(path)
    file = path / FILE_NAME if path.is_dir() else path
    if not file.is_file():
        begun = (path / "checkpoint").is_dir()
        todo = "finish its training with topfive train --resume" if begun else "train one with topfive train"
        raise UnknownName(f"{path}: expected a model file or a run folder with {FILE_NAME}, found none; {todo}")
    return file


def load(path: str | Path) -> Model:
    """The model in a model file or run folder, in eval mode on the CPU.

    Raises UnknownName when it is missing, BadFile when it is cut short, has a broken header, or its tensors do not fit
    its entry.
    """
    file = find(path)
    tensors, document = read_tensors(file, "model file", "copy or train it again")
    try:
        if document["format"] != FORMAT:
            raise BadFile(f"{file}: expected format {FORMAT}, got {document['format']}; use the topfive that wrote it")
        classes = tuple(ClassLabel(label["key"], label["name"]) for label in document["classes"])
        (key, count), *_ = Counter(label.key for label in classes).most_common(1) or [("", 0)]
        if count > 1:
            raise ValueError(f"{len(classes)} classes of which {key!r} stands more than once")
        with Undrawn():
            classifier = build(document["entry"], len(classes), **document["arguments"])
        model = Model(
            entry=document["entry"],
            arguments=document["arguments"],
            classes=classes,
            geometry=Geometry(**document["geometry"]),
            classifier=classifier,
            recipe=document["recipe"],
            data=document["data"],
            figures=document["figures"],
            versions=document["versions"],
            external_data=bool(document["external_data"]),
            calibration=dict(document.get("calibration", {})),  # files of before have none
            sha256=sha256(file),
        )
        if not 0 < model.temperature < math.inf:
            raise ValueError(f"a temperature of {model.temperature}")
        base64.b64decode(model.calibration.get("fitted", ""), validate=True)
        model.classifier.load_state_dict(tensors)
    except TopfiveError as error:
        raise BadFile(f"{file}: has a header that this topfive cannot use ({error})") from error
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = f"no key {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
        raise BadFile(
            f"{file}: has a broken header or tensors that do not fit it ({reason}); copy or train it again"
        ) from error
    model.classifier.eval()
    return model
