"""The Challenge's development kits of 2010 to 2015: its classes, the tree above them, the labels of its images.

A kit is a folder, or the tar of one, with `data/meta.mat` (from 2013 on `data/meta_clsloc.mat`) and text files of
numbers, a line an image in the order of the images' numbers. Classes are the leaves of the tree, counted from 1; the
nodes above them follow. The kit of 2015 has the classes alone. Russakovsky et al. 2015, arXiv:1409.0575, sec. 3.1.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np

from topfive.data.imageset import ClassLabel
from topfive.data.tars import read_archive
from topfive.errors import BadData, BadFile

METAS = ("meta.mat", "meta_clsloc.mat")
ARCHIVE = re.compile(r"devkit.*\.(tar|tgz|gz)$", re.IGNORECASE)
TRUTH = re.compile(r"ILSVRC(\d{4})(?:_clsloc)?_(validation|test)_ground_truth\.txt$")
BLACKLIST = re.compile(r"ILSVRC\d{4}(?:_clsloc)?_validation_blacklist\.txt$")
NUMBER_FIELD = re.compile(r"(?:ILSVRC(\d{4})_)?(?:CLSLOC_)?ID$")
HEIGHT = "wordnet_height"
LASTING = 2012  # the year since which images and classes have been the same
SPLITS = {"validation": "val", "test": "test"}


@dataclass(frozen=True)
class Synset:
    """A node of the tree. number: the kit's. words: synonyms, apart by commas. children: their numbers. height: its
    longest way down to a leaf in all WordNet; None where the kit does not say."""

    number: int
    wnid: str
    words: str
    children: tuple[int, ...] = ()
    height: int | None = None


@dataclass(frozen=True)
class Devkit:
    """name: of its folder or file. year: of the images, 2012 for all later kits; None where the kit does not say.

    truth: split -> the number of the class of every image, in order. blacklist: numbers of validation images that
    localisation, and nothing else, leaves out.
    """

    name: str
    synsets: tuple[Synset, ...]
    year: int | None
    truth: Mapping[str, tuple[int, ...]]
    blacklist: frozenset[int]

    @cached_property
    def leaves(self) -> tuple[Synset, ...]:
        """The classes, by their numbers."""
        return tuple(sorted((one for one in self.synsets if not one.children), key=lambda one: one.number))

    @property
    def classes(self) -> tuple[ClassLabel, ...]:
        """The classes in the order of their wnids; the name is the first of the synset's words."""
        return tuple(
            ClassLabel(one.wnid, one.words.split(",")[0].strip())
            for one in sorted(self.leaves, key=lambda one: one.wnid)
        )

    @property
    def numbers(self) -> dict[str, int]:
        """The number of each class, by wnid."""
        return {one.wnid: one.number for one in self.leaves}

    @property
    def edges(self) -> list[tuple[str, str]]:
        """Pairs of a parent and a child, as `Hierarchy.of` takes them; none in the kit of 2015."""
        wnids = {one.number: one.wnid for one in self.synsets}
        return [(one.wnid, wnids[child]) for one in self.synsets for child in one.children]

    @property
    def heights(self) -> dict[str, int]:
        """Each node's height in all WordNet, by wnid, as `Hierarchy.of` takes them; none in a kit that lacks some."""
        known = {one.wnid: one.height for one in self.synsets if one.height is not None}
        return known if len(known) == len(self.synsets) else {}


def is_devkit(path: Path) -> bool:
    """Whether a folder holds a development kit, or a file is named as the tar of one."""
    if path.is_dir():
        return any((path / "data" / meta).is_file() for meta in METAS)
    return bool(ARCHIVE.search(path.name))


def read_devkit(path: Path) -> Devkit:
    """The kit in a folder or in a tar, packed or not. BadFile where it cannot be read, BadData where parts disagree."""
    files = _files(path)
    meta = next((name for name in METAS if name in files), None)
    if meta is None:
        raise BadData(
            f"{path}: expected a development kit with data/{METAS[0]} or data/{METAS[1]}, found neither; give the kit "
            "of the classification task"
        )
    synsets, year = _synsets(f"{path}: {meta}", files[meta])
    truth: dict[str, tuple[int, ...]] = {}
    blacklist: frozenset[int] = frozenset()
    leaves = {one.number for one in synsets if not one.children}
    for name, content in sorted(files.items()):
        if match := TRUTH.match(name):
            truth[SPLITS[match[2]]] = read_truth(f"{path}: {name}", content, leaves)
            year = int(match[1])
        elif BLACKLIST.match(name):
            blacklist = frozenset(read_numbers(f"{path}: {name}", content))
    if blacklist and max(blacklist) > len(truth.get("val", ())):
        raise BadData(
            f"{path}: expected a blacklist of images up to {len(truth.get('val', ())):,}, found {max(blacklist):,}; "
            "get the kit again"
        )
    return Devkit(path.name, synsets, min(year, LASTING) if year else None, truth, blacklist)


def read_truth(where: str, content: bytes, leaves: set[int]) -> tuple[int, ...]:
    """The number of the class of each image, a line each. BadFile that names the line with another number."""
    found = read_numbers(where, content)
    for line, number in enumerate(found, 1):
        if number not in leaves:
            raise BadFile(
                f"{where}, line {line:,}: expected the number of a class, 1 to {max(leaves):,}, found {number}; "
                "give the labels of this development kit"
            )
    return found


def read_numbers(where: str, content: bytes) -> tuple[int, ...]:
    """A whole number a line. BadFile that names the line with something else."""
    lines = content.decode("utf-8", errors="replace").split("\n")
    found = []
    for line, text in enumerate(lines, 1):
        if not text.strip() and line == len(lines):
            break
        if not text.strip().isdecimal():
            raise BadFile(f"{where}, line {line:,}: expected a number, found {text.strip()[:40]!r}; get the file again")
        found.append(int(text))
    return tuple(found)


def _files(path: Path) -> dict[str, bytes]:
    """The files of the kit's data/ that are read here, by name."""
    if not path.is_dir():
        packed = {PurePosixPath(name): content for name, content in read_archive(path).items()}
        return {name.name: content for name, content in packed.items() if name.parent.name == "data"}
    wanted = [one for one in (path / "data").glob("*") if one.name in METAS or one.suffix == ".txt"]
    try:
        return {one.name: one.read_bytes() for one in wanted if one.is_file()}
    except OSError as error:
        raise BadFile(f"{error.filename}: could not be read ({error.strerror or error}); check that you may") from error


def _synsets(where: str, content: bytes) -> tuple[tuple[Synset, ...], int | None]:
    """The nodes of the tree, and the year that the name of their numbers has, if any."""
    from scipy.io import loadmat

    try:
        table = np.atleast_1d(loadmat(io.BytesIO(content), squeeze_me=True)["synsets"])
        names = table.dtype.names or ()
        field = next(name for name in names if NUMBER_FIELD.match(name))
        words = next(name for name in ("words", "name") if name in names)
        children = table["children"] if "children" in names else [()] * len(table)
        heights = map(int, table[HEIGHT]) if HEIGHT in names else [None] * len(table)
        synsets = tuple(
            Synset(int(number), str(wnid), str(word), tuple(np.atleast_1d(below).astype(int).tolist()), height)
            for number, wnid, word, below, height in zip(
                table[field], table["WNID"], table[words], children, heights, strict=True
            )
        )
    except Exception as error:  # SciPy's reader raises ValueError, TypeError, KeyError, zlib.error, ...
        raise BadFile(
            f"{where}: expected MATLAB's file of the Challenge's synsets, could not read it "
            f"({' '.join(str(error).split()) or type(error).__name__}); get the kit again"
        ) from error
    _check(where, synsets)
    match = NUMBER_FIELD.match(field)
    return synsets, int(match[1]) if match and match[1] else None


def _check(where: str, synsets: Sequence[Synset]) -> None:
    """Numbers and wnids must differ, and children exist, or labels would lead elsewhere."""
    numbers = {one.number for one in synsets}
    if all(one.children for one in synsets):
        raise BadFile(f"{where}: expected classes without children, found none; get the kit again")
    lost = [child for one in synsets for child in one.children if child not in numbers]
    if len(numbers) < len(synsets) or len({one.wnid for one in synsets}) < len(synsets) or lost:
        found = f"a child {lost[0]} that is not there" if lost else "one number or wnid twice"
        raise BadFile(f"{where}: expected synsets that differ, found {found}; get the kit again")
