"""The image set: images with labels by class key, in splits, decoded lazily or held in memory."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from torch import Tensor

from topfive.data.decode import decode
from topfive.data.draws import id_keys, uniform
from topfive.data.tars import Packed
from topfive.errors import Misused, look_up


@dataclass(frozen=True)
class ClassLabel:
    """A class: `key` is unique (a wnid or folder path), `name` is for people (two ILSVRC classes are both "crane")."""

    key: str
    name: str


@dataclass(frozen=True)
class Broken:
    """An image that cannot be decoded, and the sentence that says why."""

    id: str
    reason: str


@dataclass(frozen=True, eq=False)
class Split:
    """Images and labels of one split, either in memory (`pixels`) or on disk (`paths`, also into tars), never both.

    ids: one stable name an image, its relative path or `file#index`. labels: (N,) int64 indices into the set's classes.
    pixels: uint8 (N, 1 or 3, H, W).
    """

    ids: tuple[str, ...]
    labels: Tensor
    pixels: Tensor | None = None
    paths: tuple[Path | Packed, ...] | None = None

    def __post_init__(self) -> None:
        """Hold our own readers to the contract."""
        assert (self.pixels is None) != (self.paths is None)
        images = len(self.pixels) if self.pixels is not None else len(self.paths or ())
        assert images == len(self.ids) == len(self.labels)

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.ids)

    def image(self, index: int) -> Tensor:
        """Image `index` as uint8 (1 or 3, H, W), upright, by the colour rule of `decode`; BadFile if it is broken."""
        if self.pixels is not None:
            return self.pixels[index]
        assert self.paths is not None
        return decode(self.paths[index])


@dataclass(frozen=True, eq=False)
class ImageSet:
    """A named set of labelled images.

    layout: one sentence that says how the folder was read. mirror: whether a mirrored image keeps its class (not so
    for characters). notes: what a user should know about the reading (files passed over, classes moved). numbers: of
    the Challenge's images, class key -> its number in the development kit, which submissions are written in. boxes: the
    file or folder that says where objects lie, if there is one (see `data.challenge_boxes`). blacklist: ids of images
    that localisation, and nothing else, leaves out. last: split -> the highest number of an image that a label is known
    of, whether it lies here or not.
    """

    name: str
    layout: str
    classes: tuple[ClassLabel, ...]
    splits: dict[str, Split]
    mirror: bool = True
    notes: tuple[str, ...] = ()
    numbers: Mapping[str, int] = field(default_factory=dict)
    boxes: Path | None = None
    blacklist: frozenset[str] = frozenset()
    last: Mapping[str, int] = field(default_factory=dict)

    def to_text(self) -> str:
        """How the folder was read, and the notes, a line each."""
        return "\n  ".join([f"{self.name}: {self.layout}", *self.notes])

    def split(self, name: str) -> Split:
        """The split of that name; UnknownName lists those that exist."""
        return look_up(name, self.splits, kind=f"split of {self.name}")

    @property
    def judged(self) -> str:
        """The split that figures are reported on: `test` where there is one, else `val`."""
        for name in ("test", "val"):
            if name in self.splits:
                return name
        raise Misused(f"{self.name}: has no test or val split to be judged on; it holds {', '.join(self.splits)}")

    @cached_property
    def manifest(self) -> str:
        """That of all splits."""
        return self.manifest_of(*self.splits)

    def manifest_of(self, *splits: str) -> str:
        """SHA-256 over class keys and, split by split, every image id with its label (not over the pixels).

        UnknownName for a split that there is none of.
        """
        digest = hashlib.sha256()
        for label in self.classes:
            digest.update(f"class\t{label.key}\n".encode())
        for name in sorted(splits):
            split = self.split(name)
            for id_, index in zip(split.ids, split.labels.tolist(), strict=True):
                digest.update(f"{name}\t{id_}\t{index}\n".encode())
        return digest.hexdigest()


def fingerprint(split: Split) -> str:
    """SHA-256 that changes when an image does: over its file's size and time, or over pixels that are in memory."""
    digest = hashlib.sha256()
    if split.pixels is not None:
        digest.update(split.pixels.contiguous().numpy().tobytes())
    for path in split.paths or ():
        file = path.archive if isinstance(path, Packed) else path
        found = file.stat() if file.exists() else None
        digest.update(f"{path}\t{found and (found.st_size, found.st_mtime_ns)}\n".encode())
    return digest.hexdigest()


def evenly(split: Split, images: int) -> Split:
    """So many images from all over a split, at most all: class folders come class by class."""
    number = min(images, len(split))
    return subset(split, [place * len(split) // number for place in range(number)])


def drawn(split: Split, images: int, seed: int) -> Split:
    """So many images, at most all, chosen by their ids, in the split's order."""
    draws = uniform(seed, 0, id_keys(split.ids), 1)[:, 0]
    return subset(split, sorted(draws.argsort(kind="stable")[:images].tolist()))


def subset(split: Split, rows: list[int]) -> Split:
    """The images of a split at these positions."""
    return Split(
        ids=tuple(split.ids[row] for row in rows),
        labels=split.labels[rows],
        pixels=None if split.pixels is None else split.pixels[rows],
        paths=None if split.paths is None else tuple(split.paths[row] for row in rows),
    )
