"""Class folders: an image's class is the folder it lies in, whole (`a/dog` and `b/dog` are two classes, both "dog").

Classes are ordered by key and images by id, code point by code point: the same on every machine. Names are compared in
Unicode's composed form (NFC), since one and the same folder name arrives decomposed from a Mac.
"""

import os
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import torch

from topfive.data import boxes
from topfive.data.decode import has_image_ending
from topfive.data.imageset import ClassLabel, ImageSet, Split
from topfive.data.splits import TEST_SHARE, split_by_content
from topfive.errors import BadData, listed

SKIPPED = frozenset({"__MACOSX", "__pycache__", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"})
"""Folders that archivers, file servers and file systems leave behind; hidden ones, `.` first, are skipped as well."""

SPLIT_FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Folder name in lower case -> the split that its class folders form."""

NAMED_AT_MOST = 5  # offenders listed in one sentence


@dataclass
class Tree:
    """Class folders below one folder: class key -> its images, and how many other files lay among them."""

    images: dict[str, list[Path]] = field(default_factory=dict)
    passed_over: int = 0

    @property
    def count(self) -> int:
        """How many images there are."""
        return sum(map(len, self.images.values()))


def visible(folder: Path) -> tuple[list[Path], list[Path]]:
    """The sub-folders and the files of a folder, each by name, without hidden ones and those of SKIPPED.

    A link to a folder is a folder; a link that leads nowhere is a file, so that it is found broken and not lost.
    Raises BadData where the folder cannot be listed or holds a name that is not Unicode.
    """
    folders: list[Path] = []
    files: list[Path] = []
    try:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.name.startswith(".") or entry.name in SKIPPED:
                    continue
                if entry.name != os.fsencode(entry.name).decode(errors="replace"):
                    raise BadData(f"{folder}: expected names in UTF-8, got {os.fsencode(entry.name)!r}; rename it")
                (folders if entry.is_dir() else files).append(folder / entry.name)
    except OSError as error:
        raise BadData(
            f"{folder}: expected a folder of images, could not list it ({error.strerror or error}); check that you "
            "may read it"
        ) from error
    return folders, files


def grow(root: Path) -> Tree:
    """Walk the class folders below `root`; links are followed, except into a folder that is being walked.

    Raises BadData for a class folder without an image, and for images beside class folders, which have no class.
    """
    tree = Tree()
    for folder, images, others, subfolders in _walk(root, ancestors=()):
        key = _composed(folder.relative_to(root))
        tree.passed_over += others
        if images and subfolders:
            raise BadData(
                f"{folder}: expected images or class folders, got both ({len(images)} images such as {images[0].name} "
                f"beside {subfolders[0].name}/); move the images into a class folder of their own"
            )
        if not images and not subfolders:
            raise BadData(
                f"{folder}: expected images of class {key!r}, got none with an ending such as .jpg or .png; add images "
                "or remove the folder"
            )
        if images:
            if key in tree.images:
                raise BadData(f"{folder}: expected one folder named {key!r}, got two that differ only in Unicode form")
            tree.images[key] = images
    return tree


def _walk(folder: Path, ancestors: tuple[tuple[int, int], ...]) -> Iterator[tuple[Path, list[Path], int, list[Path]]]:
    """Each folder below, its images, its count of other files, its sub-folders (a link to an ancestor is none)."""
    status = folder.stat()
    ancestors = (*ancestors, (status.st_dev, status.st_ino))
    subfolders, files = visible(folder)
    subfolders = [sub for sub in subfolders if (s := sub.stat()) and (s.st_dev, s.st_ino) not in ancestors]
    images = [file for file in files if has_image_ending(file.name)]
    yield folder, images, len(files) - len(images), subfolders
    for subfolder in subfolders:
        yield from _walk(subfolder, ancestors)


def images_below(folder: Path) -> list[Path]:
    """All images in a folder and below it, by name; what `visible` leaves out is left out here too."""
    return sorted(image for _, images, _, _ in _walk(folder, ancestors=()) for image in images)


def read_one_folder(root: Path) -> ImageSet:
    """One folder of class folders, divided into train and test by the content of each image (see `splits`).

    Image ids begin at `root`. Raises BadData where a class is empty, alone or too small to divide.
    """
    return _divided(root, root)


def read_split_folders(root: Path, folders: Mapping[str, Path]) -> ImageSet:
    """Class folders in split folders. folders: the split's name, `train`, `val` or `test` -> its folder below `root`.

    `train/` alone is divided like one folder. Raises BadData where the splits do not hold the same classes.
    """
    if set(folders) == {"train"}:
        return _divided(root, folders["train"])
    trees = {split: grow(folder) for split, folder in folders.items()}
    first, *rest = folders
    classes = _class_labels(folders[first], trees[first])
    for split in rest:
        _check_same_classes(first, set(trees[first].images), folders[split], set(trees[split].images))
    splits = {split: to_split(root, classes, tree.images) for split, tree in trees.items()}
    counts = " + ".join(f"{len(split):,}" for split in splits.values())
    return ImageSet(
        name=root.name,
        layout=f"class folders with {listed([f'{folder.name}/' for folder in folders.values()])}: "
        f"{len(classes):,} classes, {counts} images",
        classes=classes,
        splits=splits,
        notes=_notes(root, list(folders.values()), sum(tree.passed_over for tree in trees.values())),
        boxes=_boxes(root),
    )


def _divided(root: Path, parent: Path) -> ImageSet:
    """The class folders in `parent`, which is `root` or its train/, with test images taken out by content."""
    tree = grow(parent)
    for key in tree.images:
        if any(part.lower() in SPLIT_FOLDERS for part in key.split("/")[:-1]):
            raise BadData(
                f"{parent}: expected one image set, got a split folder further down ({key}/); give the folder of "
                "train/ and val/ or test/, or rename it if it is a class"
            )
    classes = _class_labels(parent, tree)
    division = split_by_content(parent, tree.images)
    splits = {"train": to_split(root, classes, division.train), "test": to_split(root, classes, division.test)}
    place = "one folder of class folders" if parent == root else f"class folders in {parent.name}/ alone"
    notes = [
        f"{len(splits['test']):,} of {tree.count:,} images are set apart as test, some {TEST_SHARE:.0%} of each class, "
        "chosen by content: copies of a picture stay together, and an added file moves no other",
        *([division.note] if division.note else []),
    ]
    return ImageSet(
        name=root.name,
        layout=f"{place}: {len(classes):,} classes, {tree.count:,} images, divided by content into "
        f"{len(splits['train']):,} train + {len(splits['test']):,} test",
        classes=classes,
        splits=splits,
        notes=(*notes, *_notes(root, [parent], tree.passed_over)),
        boxes=_boxes(root),
    )


def _class_labels(parent: Path, tree: Tree) -> tuple[ClassLabel, ...]:
    keys = sorted(tree.images)
    if len(keys) == 1:
        raise BadData(f"{parent}: expected two or more class folders, got only {keys[0]}/; add one for each class")
    return tuple(ClassLabel(key, key.rsplit("/", 1)[-1]) for key in keys)


def _check_same_classes(first: str, known: set[str], folder: Path, found: set[str]) -> None:
    if unknown := sorted(found - known):
        raise BadData(
            f"{folder}: expected the classes of {first}/, got also {_named(unknown)}; rename or remove the folders, or "
            f"add them to {first}/"
        )
    if missing := sorted(known - found):
        raise BadData(
            f"{folder}: expected the classes of {first}/, found no folder for {_named(missing)}; add images of each, "
            f"or remove the folders from {first}/"
        )


def to_split(root: Path, classes: tuple[ClassLabel, ...], images: Mapping[str, list[Path]]) -> Split:
    """The images of each class key, by id: the path below `root`. BadData for ids that differ only in Unicode form."""
    index = {label.key: position for position, label in enumerate(classes)}
    rows = sorted(
        (_composed(path.relative_to(root)), index[key], path) for key, paths in images.items() for path in paths
    )
    for (id_, _, path), (following, _, _) in pairwise(rows):
        if id_ == following:
            raise BadData(f"{path}: expected names that differ, got this one in two Unicode forms; rename one")
    return Split(
        ids=tuple(id_ for id_, _, _ in rows),
        labels=torch.tensor([label for _, label, _ in rows], dtype=torch.int64),
        paths=tuple(path for _, _, path in rows),
    )


def _notes(root: Path, read: list[Path], passed_over: int) -> tuple[str, ...]:
    """What lay in the folder and was not read as an image of a class."""
    notes = []
    if root not in read:
        folders, files = visible(root)
        images = sum(has_image_ending(file.name) for file in files)
        passed_over += len(files) - images
        if images:
            notes.append(f"passed over {images:,} image(s) that lie beside {read[0].name}/ and have no class")
        if others := [f"{folder.name}/" for folder in folders if folder not in read]:
            notes.append(f"passed over {listed(others)}, which hold no split")
    if _boxes(root):
        notes.append(f"{boxes.FILE} says where objects lie")
        passed_over -= 1
    if passed_over:
        notes.append(f"passed over {passed_over:,} file(s) that are not images by their ending")
    return tuple(notes)


def _boxes(root: Path) -> Path | None:
    file = root / boxes.FILE
    return file if file.is_file() else None


def _composed(path: Path) -> str:
    return unicodedata.normalize("NFC", path.as_posix())


def _named(keys: list[str]) -> str:
    more = f" and {len(keys) - NAMED_AT_MOST} more" if len(keys) > NAMED_AT_MOST else ""
    return ", ".join(map(repr, keys[:NAMED_AT_MOST])) + more
