"""Answers as the Challenge takes them: text of numbers, a line an image in order, or Kaggle's CSV with wnids.

Text: classification `class` up to five times; localisation `class left top right bottom` up to five times; detection
a line an object, `image class confidence left top right bottom`, images counted from 1. Classes are the development
kit's numbers (its readme of 2014, secs. 2.4 and 3.3). A file named .csv has the columns ImageId, the image's name
without its ending, and PredictionString, the words of the image's line with wnids; an object of detection is `wnid
confidence left top right bottom`. An image without an answer is a line of zeros, since no class is 0.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import torch

from topfive.data.challenge import numbered
from topfive.data.imageset import ImageSet
from topfive.errors import BadFile, Misused
from topfive.evaluation.boxes import Detections, Guesses
from topfive.evaluation.scores import Scores
from topfive.files import write_text

GUESSES = 5
AT_ONCE = 4096  # images whose answers are ordered together
COLUMNS = ["ImageId", "PredictionString"]

Numbers = Mapping[str, int]  # wnid -> the development kit's number


def in_order(data: ImageSet, split: str) -> list[str]:
    """The ids of a split's images by their numbers. Misused where a submission would be of other images.

    Each number from 1 on must be there, to the last that has a label where that is known, and the classes must have
    numbers: a line more or less moves all that follow.
    """
    found = {image.number: id_ for id_ in data.split(split).ids if (image := numbered(id_))}
    if not data.numbers or len(found) < len(data.split(split)):
        raise Misused(
            f"--submission: expected the Challenge's numbered images and classes, found another image set in "
            f"{data.name}; leave it out"
        )
    last = max(*found, data.last.get(split, 0))
    if missing := sorted(set(range(1, last + 1)) - set(found)):
        more = f" and {len(missing) - 1:,} more are missing" if len(missing) > 1 else ""
        raise Misused(
            f"--submission: expected images 1 to {last:,} of {split}, found no {missing[0]:,}{more}; a submission has "
            "a line for each: add it"
        )
    return [found[number] for number in sorted(found)]


def best_five(scores: Scores, numbers: Numbers) -> dict[str, list[int]]:
    """The numbers of the five best classes of each image by its id, best first; none where it could not be decoded."""
    classes = [numbers[label.key] for label in scores.classes]
    averaged = scores.averaged
    order = [
        best
        for part in torch.split(averaged, AT_ONCE)
        for best in part.argsort(dim=1, descending=True, stable=True)[:, :GUESSES].tolist()
    ]
    answered = (~averaged.isnan().any(1)).tolist()
    return {
        id_: [classes[column] for column in best] if known else []
        for id_, best, known in zip(scores.ids, order, answered, strict=True)
    }


def write_classification(path: Path, answers: Mapping[str, Sequence[int]], numbers: Numbers) -> Path:
    """answers: image -> numbers of classes, best first, in the order of the images' numbers."""
    names = {number: wnid for wnid, number in numbers.items()}
    return _write(path, {
        id_: [names[one] if _is_csv(path) else str(one) for one in own[:GUESSES]] for id_, own in answers.items()
    }, blank=GUESSES)  # fmt: skip


def read_classification(path: Path, images: Sequence[str], numbers: Numbers) -> dict[str, list[int]]:
    """What `write_classification` wrote. images: their ids, in order. BadFile that names the line that is none."""
    found, codes = {}, _codes(numbers)
    for where, id_, words in _rows(path, images):
        labels = [_class(where, word, codes) for word in words]
        found[id_] = [number for number in labels[:GUESSES] if number]  # what stands beyond five does not count
    return found


def write_localisation(path: Path, answers: Mapping[str, Guesses], numbers: Numbers) -> Path:
    """answers: image -> numbers of classes with their boxes, best first, in the order of the images' numbers."""
    names = {number: wnid for wnid, number in numbers.items()}
    rows: dict[str, list[str]] = {}
    for id_, own in answers.items():
        rows[id_] = []
        for number, box in zip(own.labels[:GUESSES].tolist(), own.boxes[:GUESSES].tolist(), strict=True):
            rows[id_] += [names[number] if _is_csv(path) else str(number), *map(_figure, box)]
    return _write(path, rows, blank=5)


def read_localisation(path: Path, images: Sequence[str], numbers: Numbers) -> dict[str, Guesses]:
    """What `write_localisation` wrote; guesses beyond five are left out. BadFile that names the line that is none."""
    found, codes = {}, _codes(numbers)
    for where, id_, words in _rows(path, images):
        groups = _groups(where, words, 5, "class left top right bottom")
        kept = [(_class(where, word, codes), _figures(where, box)) for word, *box in groups]
        kept = [(number, box) for number, box in kept[:GUESSES] if number]
        found[id_] = Guesses(
            torch.tensor([number for number, _ in kept], dtype=torch.int64),
            torch.tensor([box for _, box in kept], dtype=torch.float64).reshape(-1, 4),
        )
    return found


def write_detection(path: Path, found: Mapping[int, Detections], images: Sequence[str], numbers: Numbers) -> Path:
    """found: the detections of each class, by its number. images: ids in order; the first is image 1."""
    names = {number: wnid for wnid, number in numbers.items()}
    place = {id_: row for row, id_ in enumerate(images, 1)}
    rows: dict[str, list[str]] = {id_: [] for id_ in images}
    lines = []
    for number, own in sorted(found.items()):
        for id_, confidence, box in zip(own.images, own.confidence.tolist(), own.boxes.tolist(), strict=True):
            if id_ not in place:
                raise Misused(f"submission: expected detections on the {len(images):,} images, got one on {id_}")
            figures = [_figure(confidence), *map(_figure, box)]
            rows[id_] += [names[number], *figures]
            lines.append((place[id_], " ".join([str(place[id_]), str(number), *figures])))
    if _is_csv(path):
        return _write(path, rows, blank=0)
    return write_text(path, "".join(f"{line}\n" for _, line in sorted(lines, key=lambda line: line[0])))


def read_detection(path: Path, images: Sequence[str], numbers: Numbers) -> dict[int, Detections]:
    """What `write_detection` wrote: the detections of each class, by its number. BadFile that names another line."""
    named: list[tuple[str, str, list[str]]] = []
    if _is_csv(path):
        for where, id_, words in _rows(path, images):
            named += [(where, id_, group) for group in _groups(where, words, 6, "class confidence box")]
    else:
        for line, text in enumerate(_text(path).splitlines(), 1):
            where, words = f"{path}, line {line:,}", text.split()
            [[image, *group]] = _groups(where, words, 7, "image class confidence box", exactly=True)
            if not image.isdecimal() or not 1 <= int(image) <= len(images):
                raise BadFile(f"{where}: expected an image from 1 to {len(images):,}, found {image[:20]!r}; mend it")
            named.append((where, images[int(image) - 1], group))
    codes = {word: number for word, number in _codes(numbers).items() if number}
    by_class: dict[int, list[tuple[str, list[float]]]] = {}
    for where, id_, (word, *figures) in named:
        by_class.setdefault(_class(where, word, codes), []).append((id_, _figures(where, figures)))
    return {
        number: Detections(
            [id_ for id_, _ in own],
            torch.tensor([figures[0] for _, figures in own], dtype=torch.float64),
            torch.tensor([figures[1:] for _, figures in own], dtype=torch.float64),
        )
        for number, own in sorted(by_class.items())
    }


def _is_csv(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def _write(path: Path, rows: Mapping[str, Sequence[str]], blank: int) -> Path:
    """A row an image. blank: zeros of a text line without an answer."""
    if not _is_csv(path):
        return write_text(path, "".join(f"{' '.join(words or ['0'] * blank)}\n" for words in rows.values()))
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((_image_id(id_), " ".join(words)) for id_, words in rows.items())
    return write_text(path, table.getvalue())


def _rows(path: Path, images: Sequence[str]) -> list[tuple[str, str, list[str]]]:
    """Where it stands, the image's id and the words of each row; every image once."""
    if not _is_csv(path):
        lines = _text(path).splitlines()
        if len(lines) != len(images):
            raise BadFile(f"{path}: expected a line for each of {len(images):,} images, found {len(lines):,}; mend it")
        return [
            (f"{path}, line {line:,}", id_, text.split())
            for line, (id_, text) in enumerate(zip(images, lines, strict=True), 1)
        ]
    header, *table = list(csv.reader(io.StringIO(_text(path)))) or [[]]
    if header != COLUMNS:
        raise BadFile(f"{path}: expected the columns {','.join(COLUMNS)}, found {','.join(header)[:60]!r}; mend it")
    ids = {_image_id(id_): id_ for id_ in images}
    found: dict[str, tuple[str, str, list[str]]] = {}
    for line, cells in enumerate(table, 2):
        where = f"{path}, line {line:,}"
        if len(cells) != 2 or cells[0] not in ids or cells[0] in found:
            raise BadFile(f"{where}: expected one of the images, once, and its answer, found {cells[:1]}; mend it")
        found[cells[0]] = (where, ids[cells[0]], cells[1].split())
    if missing := [name for name in ids if name not in found]:
        raise BadFile(f"{path}: expected a row for each of {len(images):,} images, found none of {missing[0]}; add it")
    return [found[name] for name in ids]


def _image_id(id_: str) -> str:
    """Kaggle's name of an image: without folders, its ending and a wnid that some hand out behind the number."""
    image = numbered(id_)
    return image.name if image else PurePosixPath(id_).stem


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"{path}: could not be read ({error}); give a submission") from error


def _groups(where: str, words: list[str], size: int, form: str, exactly: bool = False) -> list[list[str]]:
    if len(words) % size or (exactly and len(words) != size):
        raise BadFile(f"{where}: expected `{form}`, {size} words each, found {len(words)} words; mend it")
    return [words[start : start + size] for start in range(0, len(words), size)]


def _codes(numbers: Numbers) -> dict[str, int]:
    """Every word for a class, its number and its wnid, and 0 for no answer."""
    return {"0": 0, **{str(number): number for number in numbers.values()}, **numbers}


def _class(where: str, word: str, codes: Mapping[str, int]) -> int:
    if word not in codes:
        raise BadFile(f"{where}: expected the number or the wnid of a class, found {word[:20]!r}; mend it")
    return codes[word]


def _figures(where: str, words: Sequence[str]) -> list[float]:
    try:
        found = [float(word) for word in words]
    except ValueError:
        found = [math.nan]
    if not all(map(math.isfinite, found)):
        raise BadFile(f"{where}: expected numbers, found {' '.join(words)[:60]!r}; mend it")
    return found


def _figure(value: float) -> str:
    """A number with no digit more than it needs. Misused for one that is not finite."""
    if not math.isfinite(value):
        raise Misused(f"submission: expected finite confidences and boxes, got {value}; leave such guesses out")
    return str(int(value)) if value == int(value) else repr(value)
