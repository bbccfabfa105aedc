"""The IDX files of MNIST (LeCun, Cortes, Burges), in which Fashion-MNIST, KMNIST and others are handed out too.

A file is `0, 0, type, dimensions`, one big-endian 32-bit length for each dimension, and the values, last dimension
fastest. Images are type 8 (unsigned bytes) in three dimensions, labels type 8 in one.
"""

import gzip
import math
import re
import struct
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import torch
from torch import Tensor

from topfive.data.folders import visible
from topfive.data.imageset import ClassLabel, ImageSet, Split
from topfive.errors import BadData, BadFile

# EMNIST puts the name of one of its sets before MNIST's own names.
FILE = re.compile(r"(?P<set>[\w-]+-)?(?P<split>train|t10k|test)-(?P<kind>images|labels)[-.]idx[13]-ubyte(\.gz)?")
SPLIT = {"train": "train", "t10k": "test", "test": "test"}
UNSIGNED_BYTE = 8
MAX_BYTES = 2**32  # a header that claims more is damaged, or a bomb; the largest such set, EMNIST, holds 0.55 GB


def is_idx(names: Collection[str]) -> bool:
    """Whether files of these names are MNIST's."""
    return any(FILE.fullmatch(name) for name in names)


def read_idx(root: Path) -> ImageSet:
    """The image set in MNIST's four files, packed or not: grey uint8 (N, 1, H, W), classes named by their number.

    Raises BadData or BadFile where a file is missing, damaged or does not match its partner.
    """
    files: dict[tuple[str, str], Path] = {}
    sets = set()
    for path in reversed(visible(root)[1]):  # a plain file comes after its packed twin, and is taken
        if match := FILE.fullmatch(path.name):
            files[SPLIT[match["split"]], match["kind"]] = path
            sets.add((match["set"] or "").removesuffix("-"))
    if len(sets) > 1:
        raise BadData(f"{root}: expected one image set in IDX files, got {sorted(sets)}; give each a folder of its own")
    pixels, numbers = {}, {}
    for split in ("train", "test"):
        for kind in ("images", "labels"):
            if (split, kind) not in files:
                raise BadData(
                    f"{root}: expected the four files of MNIST, found none of {split} {kind}; add "
                    f"{'train' if split == 'train' else 't10k'}-{kind}-idx{3 if kind == 'images' else 1}-ubyte"
                )
        pixels[split] = read_array(files[split, "images"], dimensions=3)
        numbers[split] = read_array(files[split, "labels"], dimensions=1)
        if len(pixels[split]) != len(numbers[split]):
            raise BadData(
                f"{files[split, 'labels']}: expected {len(pixels[split]):,} labels, one an image, got "
                f"{len(numbers[split]):,}; take both files from one set"
            )
    known = torch.bincount(numbers["train"]).nonzero().flatten()  # the numbers that occur, in rising order
    if len(known) < 2:
        raise BadData(f"{files['train', 'labels']}: expected two or more classes, got {known.tolist()}")
    if unknown := sorted(set(numbers["test"].tolist()) - set(known.tolist())):
        raise BadData(f"{files['test', 'labels']}: expected the classes of train, got also {unknown}")
    splits = {
        split: Split(
            ids=tuple(f"{files[split, 'images'].name.removesuffix('.gz')}#{i}" for i in range(len(numbers[split]))),
            labels=torch.searchsorted(known, numbers[split].long()),
            pixels=pixels[split][:, None],
        )
        for split in ("train", "test")
    }
    height, width = pixels["train"].shape[1:]
    return ImageSet(
        name=root.name,
        layout=f"IDX files of MNIST's form: {len(known):,} classes, {len(splits['train']):,} train + "
        f"{len(splits['test']):,} test grey images of {height} x {width} px",
        classes=tuple(ClassLabel(str(number), str(number)) for number in known.tolist()),
        splits=splits,
        mirror=False,  # they hold characters more often than not
    )


def read_array(path: Path, dimensions: int) -> Tensor:
    """The uint8 array in one IDX file, plain or `.gz`; BadFile unless it has so many dimensions and is whole."""
    try:
        with cast(BinaryIO, gzip.open(path) if path.suffix == ".gz" else open(path, "rb")) as file:
            zero, kind, found = struct.unpack(">HBB", file.read(4))
            if (zero, kind, found) != (0, UNSIGNED_BYTE, dimensions):
                raise _damaged(path, f"a header of {dimensions} dimension(s) of bytes", f"type {kind} in {found}")
            lengths = struct.unpack(f">{dimensions}I", file.read(4 * dimensions))
            size = math.prod(lengths)
            if not 0 < size <= MAX_BYTES:
                raise _damaged(path, f"1 to {MAX_BYTES:,} values", f"a header that claims {lengths}")
            content = file.read(size + 1)  # one more, to notice a file that goes on
    except (OSError, EOFError, zlib.error, struct.error) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise _damaged(path, "a whole IDX file", str(reason)) from error
    if len(content) != size:
        raise _damaged(path, f"{size:,} values for {lengths}", f"{'more' if len(content) > size else len(content)}")
    return torch.from_numpy(np.frombuffer(bytearray(content), dtype=np.uint8).reshape(lengths))


def _damaged(path: Path, expected: str, got: str) -> BadFile:
    return BadFile(f"{path}: expected {expected}, got {got}; fetch the file again")
