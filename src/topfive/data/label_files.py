"""Files with the label of each validation image of ILSVRC-2012, in any of the ways in which people number the classes.

A line is `NAME LABEL` or, in the order of the images' numbers, `LABEL`; spaces, tabs or a comma between, and further
words (the boxes of Kaggle's LOC_val_solution.csv) are passed over. A label is a wnid or a number. Numbers are of two
kinds that look the same: from 0 in the order of the wnids (Caffe, torchvision), or from 1 in the development kits'.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from topfive.data.challenge import Numbered, challenge_classes, challenge_numbers, numbered
from topfive.errors import BadData, BadFile

NAME = re.compile(r"^(?!.*(blacklist|synset)).*(val|label|ground_truth).*\.(txt|csv)$", re.IGNORECASE)
WNID = re.compile(r"n\d{8}$")
FIRST = (490, 361, 171, 822, 297, 482, 13, 704, 599, 164)
"""The development kits' labels of the first validation images; in the order of the wnids 65, 970, 230, 809, ..."""


class LabelFile(NamedTuple):
    """wnids: of each image, by its number. numbering: how the labels of the file are to be understood, in words."""

    wnids: Mapping[int, str]
    numbering: str


def is_label_file(name: str) -> bool:
    """Whether a file is named as one of validation labels is."""
    return bool(NAME.match(name))


def read_label_file(path: Path) -> LabelFile:
    """The labels in a file. BadFile for a line that is none, BadData where the numbering cannot be told."""
    labels = _labels(path)
    known = {label.key for label in challenge_classes()}
    if all(WNID.match(label) for label in labels.values()):
        for number, label in labels.items():
            if label not in known:
                raise BadData(
                    f"{path}: expected wnids of ILSVRC-2012, found {label} for image {number}; give its labels"
                )
        return LabelFile(labels, "wnids")
    numbers = {image: int(label) for image, label in labels.items() if label.isdecimal()}
    if len(numbers) < len(labels):
        odd = next(label for label in labels.values() if not label.isdecimal())
        raise BadFile(f"{path}: expected wnids or numbers throughout, found {odd[:40]!r} among numbers; mend it")
    by_wnid = challenge_numbers()
    ways = {
        "numbers from 0, in the order of the wnids": dict(enumerate(by_wnid)),
        "numbers from 1, in the order of the development kits": {number: wnid for wnid, number in by_wnid.items()},
    }
    fitting = [(numbering, wnids) for numbering, wnids in ways.items() if _fits(numbers, wnids, by_wnid)]
    if len(fitting) != 1:
        found = f"{min(numbers.values())} to {max(numbers.values())}, which both fit" if fitting else "others"
        raise BadData(
            f"{path}: expected labels from 0 in the order of the wnids or from 1 in that of the development kits, "
            f"found {found}; give the development kit, or wnids in their place"
        )
    [(numbering, wnids)] = fitting
    return LabelFile({image: wnids[number] for image, number in numbers.items()}, numbering)


def _fits(numbers: Mapping[int, int], wnids: Mapping[int, str], by_wnid: Mapping[str, int]) -> bool:
    """Whether every number is one of a class, and the first images are labelled as they are known to be."""
    return all(number in wnids for number in numbers.values()) and all(
        by_wnid[wnids[numbers[image]]] == truth for image, truth in enumerate(FIRST, 1) if image in numbers
    )


def _labels(path: Path) -> dict[int, str]:
    """The label of each image, by its number."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"{path}: could not be read ({error}); give a text file with a label a line") from error
    rows = [(line, re.split(r"[,\s]+", text.strip())) for line, text in enumerate(lines, 1)]
    while rows and rows[-1][1] == [""]:
        rows.pop()
    if rows and path.suffix.lower() == ".csv" and not _image(rows[0][1][0]) and not _is_label(rows[0][1][0]):
        del rows[0]  # the names of the columns
    found: dict[int, str] = {}
    for place, (line, words) in enumerate(rows, 1):
        image = _image(words[0])
        label = words[1] if image and len(words) > 1 else words[0]
        number = image.number if image else place
        if not _is_label(label) or (len(words) > 1 and not image) or number in found or not number:
            raise BadFile(
                f"{path}, line {line:,}: expected the name of a validation image and its label, or a label alone, "
                f"found {' '.join(words)[:60]!r}{' again' if number in found else ''}; mend it"
            )
        found[number] = label
    if not found:
        raise BadFile(f"{path}: expected a label a line, found none; give the labels of the validation images")
    return found


def _image(word: str) -> Numbered | None:
    """The validation image of 2012 that a word names."""
    found = numbered(word)
    return found if found and found[:2] == (2012, "val") else None


def _is_label(word: str) -> bool:
    return word.isdecimal() or bool(WNID.match(word))
