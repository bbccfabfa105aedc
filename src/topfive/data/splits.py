"""Divide class folders into train and test by what the images hold, not by chance and not by name.

An image belongs to test when the first 8 bytes of BLAKE2b over its file, read as a fraction, lie below 0.2. So the
division needs no seed and no list to keep, is the same on every machine, survives renaming, gives copies of one file
to one side, and an added file moves no other.

A class that this leaves without test images (or, rarer, without training images) gives the side its one picture whose
fraction lies nearest to that side, and is named. In such a class a later file can take the place of that picture: no
rule that fills both sides and sees only the files could avoid it.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from topfive.errors import BadData

TEST_SHARE = 0.2
READERS = 4  # threads; hashing and reading both run outside Python's lock


@dataclass(frozen=True)
class Division:
    """Class key -> images, on either side, and one sentence on classes that had to be helped ('' where none)."""

    train: dict[str, list[Path]]
    test: dict[str, list[Path]]
    note: str = ""


def fraction(path: Path) -> float:
    """The place of a file in [0, 1) by its content: the first 8 bytes of its BLAKE2b digest, divided by 2^64.

    A file that cannot be read has the place of its name: it stays in the set, to be found broken and named there.
    """
    try:
        if not path.is_file():  # a link to nothing, or a pipe, which would never end
            raise FileNotFoundError(path)
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "blake2b").digest()
    except OSError:
        digest = hashlib.blake2b(f"{path.parent.name}/{path.name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_by_content(where: Path, images: Mapping[str, Sequence[Path]]) -> Division:
    """Divide the images of each class by content; every class is on both sides and copies, across classes too, on one.

    images: class key -> files. Raises BadData, naming `where` and the class, when a class does not hold two different
    pictures of its own.
    """
    with ThreadPoolExecutor(READERS) as pool:
        places = {key: list(pool.map(fraction, paths)) for key, paths in images.items()}
    classes_with = Counter(place for own in places.values() for place in set(own))
    is_test = {place: place < TEST_SHARE for place in classes_with}
    helped = []
    for key, own in places.items():
        sides = {is_test[place] for place in own}
        if len(sides) == 2:
            continue
        unshared = sorted(place for place in set(own) if classes_with[place] == 1)  # to move one touches no other class
        if len(set(own)) == 1 or not unshared:
            raise BadData(_too_few(where, key, len(own), len(set(own))))
        moved = unshared[-1] if True in sides else unshared[0]
        is_test[moved] = not is_test[moved]
        helped.append(key)
    train: dict[str, list[Path]] = {}
    test: dict[str, list[Path]] = {}
    for key, paths in images.items():
        for path, place in zip(paths, places[key], strict=True):
            (test if is_test[place] else train).setdefault(key, []).append(path)
    note = f"small classes were given one picture for the side that chance left empty: {', '.join(helped)}"
    return Division(train, test, note if helped else "")


def _too_few(where: Path, key: str, files: int, pictures: int) -> str:
    found = "only one" if pictures == 1 else "only copies of other classes' images"
    return (
        f"{where / key}: expected two or more different pictures of class {key!r}, to train and to test on, got "
        f"{found} in {files} file(s); add pictures or remove the folder"
    )
