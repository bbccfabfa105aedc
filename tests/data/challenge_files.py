"""The Challenge's files in small, for tests: development kits of every year, numbered images, tars."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import savemat

WORDS = {3: ("n02000000", "crane, heron"), 1: ("n03000000", "crane"), 2: ("n01000000", "tench, Tinca tinca")}
ABOVE = {4: ("n00000004", "entity", [5, 1]), 5: ("n00000005", "animal", [2, 3])}
TRUTH = [2, 3, 1, 2]  # of images 1 to 4: n01, n02, n03, n01


def picture(shade: int) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (6, 4), (shade, 9, 9)).save(content, "JPEG")
    return content.getvalue()


def meta(
    year: int, flat: bool = False, number: str = "", heights: Mapping[int, int] | None = None,
    above: Mapping[int, tuple[str, str, list[int]]] = ABOVE,
) -> bytes:  # fmt: skip
    """A meta.mat as MATLAB writes it; flat: that of 2015, without the tree. heights: by number, in all WordNet."""
    number = number or f"ILSVRC{year}_ID"
    rows: list[dict[str, Any]] = [
        {number: key, "WNID": wnid, "words": words, "num_children": 0, "children": np.array([])}
        for key, (wnid, words) in WORDS.items()
    ]
    rows += [
        {number: key, "WNID": wnid, "words": words, "num_children": len(below), "children": np.array(below)}
        for key, (wnid, words, below) in above.items()
    ]
    if heights:
        rows = [{**row, "wordnet_height": heights[row[number]]} for row in rows]
    if flat:
        rows = [{number: row[number], "WNID": row["WNID"], "name": row["words"]} for row in rows[:3]]
    table = np.array([[tuple(row.values())] for row in rows], dtype=[(name, object) for name in rows[0]])
    content = io.BytesIO()
    savemat(content, {"synsets": table})
    return content.getvalue()


def lines(*words: object) -> bytes:
    return "".join(f"{word}\n" for word in words).encode()


KITS: dict[int, tuple[str, dict[str, bytes]]] = {
    2010: (
        "devkit-1.0",
        {"meta.mat": meta(2010), "ILSVRC2010_validation_ground_truth.txt": lines(*TRUTH)},
    ),
    2011: (
        "ILSVRC2011_devkit-2.0",
        {"meta.mat": meta(2011), "ILSVRC2011_validation_ground_truth.txt": lines(*TRUTH)},
    ),
    2012: (
        "ILSVRC2012_devkit_t12",
        {"meta.mat": meta(2012), "ILSVRC2012_validation_ground_truth.txt": lines(*TRUTH)},
    ),
    2014: (
        "ILSVRC2014_devkit",
        {
            "meta_clsloc.mat": meta(2014),
            "meta_det.mat": b"another task's",
            "ILSVRC2014_clsloc_validation_ground_truth.txt": lines(*TRUTH),
            "ILSVRC2014_clsloc_validation_blacklist.txt": lines(2, 4),
            "ILSVRC2014_det_validation_blacklist.txt": lines("77 1"),
        },
    ),
    2015: (
        "ILSVRC2015_devkit",
        {
            "meta_clsloc.mat": meta(2015, flat=True, number="ILSVRC2015_CLSLOC_ID"),
            "ILSVRC2015_clsloc_validation_ground_truth.txt": lines(*TRUTH),
        },
    ),
}


def write(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def tar(files: Mapping[str, bytes], mode: Any = "w:") -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as archive:
        for name, inside in files.items():
            one = tarfile.TarInfo(name)
            one.size = len(inside)
            archive.addfile(one, io.BytesIO(inside))
    return content.getvalue()


def kit(root: Path, year: int = 2012) -> Path:
    name, files = KITS[year]
    return write(root, {f"{name}/data/{file}": content for file, content in files.items()}) / name


def val(year: int = 2012, images: int = 4, split: str = "val") -> dict[str, bytes]:
    return {f"ILSVRC{year}_{split}_{number:08d}.JPEG": picture(50 * number) for number in range(1, images + 1)}
