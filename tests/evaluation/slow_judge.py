"""Awkward photos, a linear classifier that NumPy can follow, and the slow judge: Pillow and NumPy, image by image."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from topfive.data import ClassLabel, ImageSet, open_data
from topfive.data.geometry import Geometry
from topfive.models.modelfile import Model
from topfive.models.zoo import build

KEYS = ("a/dog", "b/cat", "b/dog", "c", "d", "e", "f", "g")  # two classes are both "dog"
IMAGES = 5  # of each class
BROKEN = ("val/a/dog/1.jpg", "val/e/0.jpg", "val/e/4.jpg")


@dataclass(frozen=True)
class Answer:
    """What the slow loop makes of one image: how many classes beat or tie its own; None if it cannot be read."""

    id: str
    key: str
    rank: int | None
    best: str | None


def photos(tmp_path: Path, keys: tuple[str, ...] = KEYS, broken: tuple[str, ...] = BROKEN) -> ImageSet:
    """open_data on `keys` with IMAGES photos of many shapes in val/, some of them broken."""
    rng = np.random.default_rng(7)
    for split, count in (("train", 1), ("val", IMAGES)):
        for key in keys:
            folder = tmp_path / "photos" / split / key
            folder.mkdir(parents=True)
            for index in range(count):
                shape = (*rng.integers(10, 40, 2), 3) if index != 3 else tuple(rng.integers(10, 40, 2))
                image = Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))
                image.save(folder / f"{index}.jpg", quality=95)
    for number, id_ in enumerate(broken):
        path = tmp_path / "photos" / id_
        path.write_bytes(path.read_bytes()[:-60] if number % 2 else b"not an image")
    return open_data(tmp_path / "photos")


def linear(keys: tuple[str, ...] = KEYS, order: list[int] | None = None) -> Model:
    """A softmax regression with drawn weights; `order` puts its classes, and their weights with them, elsewhere."""
    order = list(range(len(keys))) if order is None else order
    classifier = build("pixels_linear", len(keys), image=8)
    generator = torch.Generator().manual_seed(3)
    last = classifier.classifier
    with torch.no_grad():
        last.weight.copy_(torch.randn(last.weight.shape, generator=generator)[order])
        last.bias.copy_(torch.randn(last.bias.shape, generator=generator)[order])
    classes = tuple(ClassLabel(keys[index], keys[index].split("/")[-1]) for index in order)
    return Model("pixels_linear", {"image": 8}, classes, Geometry(10, 8), classifier)


def slow(model: Model, root: Path, keys: tuple[str, ...] = KEYS) -> list[Answer]:
    """What the model answers on every image of val/, worked out without a line of ours."""
    state = model.classifier.state_dict()
    weight, bias = state["classifier.weight"].double().numpy(), state["classifier.bias"].double().numpy()
    order = [label.key for label in model.classes]
    answers = []
    for key in keys:
        for path in sorted((root / "val" / key).iterdir()):
            id_ = path.relative_to(root).as_posix()
            try:
                with Image.open(path) as file:
                    picture = file.convert("RGB")
            except (UnidentifiedImageError, OSError):
                answers.append(Answer(id_, key, None, None))
                continue
            width, height = picture.size
            size = (round(10 * width / min(picture.size)), round(10 * height / min(picture.size)))
            left, top = (size[0] - 8) // 2, (size[1] - 8) // 2
            square = picture.resize(size, Image.Resampling.BILINEAR).crop((left, top, left + 8, top + 8))
            scores = weight @ (np.asarray(square, dtype=np.float64) / 255).transpose(2, 0, 1).ravel() + bias
            own = scores[order.index(key)]
            answers.append(Answer(id_, key, int((scores > own).sum()), order[int(scores.argmax())]))
    return answers


def error(answers: list[Answer], k: int) -> float:
    """Top-k error in which an image that cannot be read is an error."""
    return sum(answer.rank is None or answer.rank >= k for answer in answers) / len(answers)
