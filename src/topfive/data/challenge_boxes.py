"""Boxes of the Challenge's validation images in the files that they are handed out in, where there is no boxes.csv.

ILSVRC2012_bbox_val_v3.tgz, or the folder that it unpacks into, holds an XML file of PASCAL VOC's form for each image:
ILSVRC2012_val_00000001.xml, each <object> with its wnid as <name> and a <bndbox>. Kaggle's LOC_val_solution.csv has the
columns ImageId and PredictionString, `wnid left top right bottom` an object. Coordinates are taken as they stand.
"""

import csv
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from topfive.data import boxes
from topfive.data.boxes import NUMBERS, Box, to_box
from topfive.data.challenge import numbered
from topfive.data.folders import visible
from topfive.data.tars import read_archive
from topfive.errors import BadData, BadFile

ANNOTATIONS = re.compile(r"((ILSVRC\d{4}_)?bbox(_val)?(_v\d+)?|Annotations)$", re.IGNORECASE)
ARCHIVE = re.compile(r"ILSVRC\d{4}_bbox_val(_v\d+)?\.(tgz|tar\.gz|tar)$", re.IGNORECASE)
KAGGLE = "LOC_val_solution.csv"
COLUMNS = ["ImageId", "PredictionString"]


def find_boxes(root: Path, folders: Sequence[Path], files: Sequence[Path], images: Path | None) -> Path | None:
    """What of these says where objects lie, or None: boxes.csv, a folder or archive of XML, XML among the validation
    images themselves (where unpacking in place leaves it), or Kaggle's table; the first of them counts."""
    named = [root / boxes.FILE] if root / boxes.FILE in files else []
    named += [one for one in folders if ANNOTATIONS.match(one.name)]
    named += [one for one in files if ARCHIVE.match(one.name)]
    if images and images.is_dir() and any(is_annotation(file.name) for file in visible(images)[1]):
        named.append(images)
    named += [one for one in files if one.name == KAGGLE]
    return named[0] if named else None


def is_annotation(name: str) -> bool:
    """Whether a file is named as the boxes of a numbered image are."""
    return name.lower().endswith(".xml") and numbered(name) is not None


def open_boxes(source: Path) -> dict[str, tuple[Box, ...]]:
    """The boxes in what `find_boxes` found, by image id (boxes.csv) or by `Numbered.name` (the others).

    Raises BadData for what cannot be read or holds something else.
    """
    if source.is_dir():
        return _annotations(source)
    if source.name == KAGGLE:
        return _table(source)
    return _archive(source) if ARCHIVE.match(source.name) else boxes.read_boxes(source)


def read_annotation(where: str, content: bytes) -> tuple[Box, ...]:
    """The boxes in one image's XML. BadData for other files, and for a document type, which could name any other file
    or unfold into gigabytes."""
    try:
        text = content.decode("utf-8-sig")
        if "<!DOCTYPE" in text:
            raise ValueError("it declares a document type")
        root = ElementTree.fromstring(text)
    except (ValueError, ElementTree.ParseError) as error:
        raise BadData(
            f"{where}: expected XML with the boxes of an image, could not read it ({error}); get it again"
        ) from error
    return tuple(
        to_box(where, [one.findtext(f"bndbox/{name}") for name in NUMBERS], _wnid(where, one.findtext("name")))
        for one in root.iter("object")
    )


def _wnid(where: str, name: str | None) -> str:
    if not name or not name.strip():
        raise BadData(f"{where}: expected a <name> with the wnid of each <object>, found none; get the file again")
    return name.strip()


def _annotations(folder: Path) -> dict[str, tuple[Box, ...]]:
    found = {}
    for file in sorted(folder.rglob("*")):
        if is_annotation(file.name) and (image := numbered(file.name)):
            try:
                content = file.read_bytes()
            except OSError as error:
                raise BadData(f"{file}: could not be read ({error.strerror or error}); check that you may") from error
            found[image.name] = read_annotation(str(file), content)
    return found


def _archive(path: Path) -> dict[str, tuple[Box, ...]]:
    try:
        files = read_archive(path)
    except BadFile as error:
        raise BadData(str(error)) from error
    return {
        image.name: read_annotation(f"{path}: {name}", content)
        for name, content in files.items()
        if is_annotation(PurePosixPath(name).name) and (image := numbered(PurePosixPath(name).name))
    }


def _table(path: Path) -> dict[str, tuple[Box, ...]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            header, *rows = list(csv.reader(file)) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadData(f"{path}: could not be read ({error}); give Kaggle's table") from error
    if header != COLUMNS:
        raise BadData(f"{path}: expected the columns {','.join(COLUMNS)}, found {','.join(header)[:60]!r}; mend it")
    found: dict[str, tuple[Box, ...]] = {}
    for line, cells in enumerate(rows, 2):
        where = f"{path}, line {line:,}"
        image = numbered(cells[0]) if len(cells) == 2 else None
        words = cells[1].split() if image else []
        if image is None or image.name in found or not words or len(words) % 5:
            raise BadData(
                f"{where}: expected an image, once, and `wnid left top right bottom` for each object, found "
                f"{','.join(cells)[:60]!r}; mend it"
            )
        objects = [words[start : start + 5] for start in range(0, len(words), 5)]
        found[image.name] = tuple(to_box(where, box, wnid) for wnid, *box in objects)
    return found
