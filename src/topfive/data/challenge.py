"""The classes of the Challenge from 2012 on: 1,000 WordNet synsets in the order of their ids, which scores follow.

The development kits count them from 1 in another order, their ILSVRC2012_ID: 1 is the kit fox, the tench is 449.
"""

import re
from importlib import resources
from typing import NamedTuple

from topfive.data.imageset import ClassLabel

IMAGE = re.compile(r"ILSVRC(\d{4})_(val|test)_(\d{8})(?!\d)", re.IGNORECASE)


class Numbered(NamedTuple):
    """What the name of a validation or test image says of it. split: `val` or `test`. number: from 1."""

    year: int
    split: str
    number: int

    @property
    def name(self) -> str:
        """The name without folders and ending, as the Challenge has it, Kaggle's ImageId."""
        return f"ILSVRC{self.year}_{self.split}_{self.number:08d}"


def numbered(name: str) -> Numbered | None:
    """The number of an image in its name, path or id, with any ending or none; None where the name has none.

    >>> numbered("val/n01440764/ILSVRC2012_val_00000293.JPEG")
    Numbered(year=2012, split='val', number=293)
    """
    found = IMAGE.search(name)
    return Numbered(int(found[1]), found[2].lower(), int(found[3])) if found else None


def challenge_classes() -> tuple[ClassLabel, ...]:
    """The 1,000 classes; the key is the wnid, the name the first of the synset's words.

    >>> challenge_classes()[0]
    ClassLabel(key='n01440764', name='tench')
    """
    text = (resources.files("topfive.data") / "ilsvrc2012.txt").read_text(encoding="utf-8")
    pairs = (line.split(" ", 1) for line in text.splitlines())
    return tuple(ClassLabel(wnid, words.split(",")[0]) for wnid, words in pairs)


def challenge_numbers() -> dict[str, int]:
    """The development kits' number of each of the 1,000 classes, by wnid.

    >>> challenge_numbers()["n01440764"], challenge_numbers()["n02119789"]
    (449, 1)
    """
    text = (resources.files("topfive.data") / "ilsvrc2012_ids.txt").read_text(encoding="utf-8")
    return {label.key: int(number) for label, number in zip(challenge_classes(), text.split(), strict=True)}
