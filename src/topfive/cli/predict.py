"""What `topfive predict` reads and writes: images by path, part by part, and lines of CSV."""

import csv
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from topfive.data.folders import images_below
from topfive.errors import BadFile, UnknownName

BATCH = 32  # images read at once


def answers(model: Any, paths: list[Path], top: int) -> Iterator[tuple[Path, Any]]:
    """Each path with its guesses, or with None and a sentence on stderr where it is no readable image."""
    for start in range(0, len(paths), BATCH):
        batch = paths[start : start + BATCH]
        try:
            yield from zip(batch, model.predict(batch, top), strict=True)
        except BadFile:  # one of them is broken: the others are still answered
            for path in batch:
                try:
                    yield path, model.predict([path], top)[0]
                except BadFile as error:
                    print(f"topfive: {error}", file=sys.stderr)
                    yield path, None


def pictures(path: Path) -> list[Path]:
    """The image at a path, or all below a folder; UnknownName, BadFile where there is none."""
    if not path.exists():
        raise UnknownName(f"{path}: no such file or folder; give images or folders of images")
    if not path.is_dir():
        return [path]
    found = images_below(path)
    if not found:
        raise BadFile(f"{path}: holds no images; give images or folders of images")
    return found


def csv_line(*cells: Any) -> str:
    """Cells as one line of CSV, without its end."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()
