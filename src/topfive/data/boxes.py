"""`boxes.csv` beside the class folders: where the objects of an image set lie, one a line.

Columns, in any order and beside any others: `file`, an image's path below the folder of boxes.csv, so that it is the
image's id; `xmin`, `ymin`, `xmax`, `ymax` in px of the upright image, from 0, borders included; and, where an image
shows objects of several classes, the object's class key as `label`, `class` or `synset`.
"""

import csv
import math
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from topfive.errors import BadData

FILE = "boxes.csv"
LABEL = ("label", "class", "synset")
NUMBERS = ("xmin", "ymin", "xmax", "ymax")


class Box(NamedTuple):
    """left, top, right, bottom in px, borders included. label: the class key of what is in it; None: the image's."""

    left: float
    top: float
    right: float
    bottom: float
    label: str | None = None


def read_boxes(path: Path) -> dict[str, tuple[Box, ...]]:
    """The boxes of every image that has any, by image id, in the file's order.

    Raises BadData where the file cannot be read or lacks a column, and for a line that holds no box.
    """
    found: dict[str, list[Box]] = {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if missing := [name for name in ("file", *NUMBERS) if name not in (rows.fieldnames or ())]:
                raise BadData(
                    f"{path}: expected a first line with file,xmin,ymin,xmax,ymax, found no {missing[0]}; name the "
                    "columns"
                )
            label = next((name for name in LABEL if name in (rows.fieldnames or ())), None)
            for row in rows:
                own = row[label] or None if label else None
                box = to_box(f"{path}, line {rows.line_num}", [row[name] for name in NUMBERS], own)
                found.setdefault(unicodedata.normalize("NFC", row["file"] or ""), []).append(box)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadData(f"{path}: could not be read ({error}); give a CSV file with a box a line") from error
    return {image: tuple(boxes) for image, boxes in found.items()}


def to_box(where: str, cells: Sequence[str | None], label: str | None) -> Box:
    """The box that four words say, as NUMBERS has them. BadData for others, which names where they stand."""
    try:
        left, top, right, bottom = (float(cell or "") for cell in cells)
    except ValueError:
        left = top = right = bottom = math.nan
    if not (0 <= left <= right < math.inf and 0 <= top <= bottom < math.inf):  # false for NaN
        raise BadData(f"{where}: expected numbers with 0 <= xmin <= xmax and 0 <= ymin <= ymax, found {cells}; mend it")
    return Box(left, top, right, bottom, label)
