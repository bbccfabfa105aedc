"""What descriptors and codes refuse at the door, each in one sentence: sizes, images, descriptors and names."""

from collections.abc import Mapping
from typing import Any, get_args

from torch import Tensor

from topfive.errors import BadShape, Misused, look_up

GREY = "give grey images, such as (images * weights).sum(1, keepdim=True)"
COLOUR = "repeat a grey channel with images.expand(-1, {channels}, -1, -1)"


def check_counts(where: str, **counts: int) -> None:
    """Misused unless each is a whole number of at least 1."""
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise Misused(f"{where}: {name}: expected a whole number of at least 1, got {count!r}; change the value")


def check_weights(where: str, **weights: float) -> None:
    """Misused unless each is a finite number of at least 0."""
    for name, weight in weights.items():
        if not 0 <= weight < float("inf"):
            raise Misused(f"{where}: {name}: expected a number from 0 on, got {weight:g}; change the value")


def check_name(where: str, name: str, kind: str, known: Any) -> None:
    """UnknownName unless it is one of those that a `Literal` lists."""
    table: Mapping[str, str] = {one: one for one in get_args(known)}
    look_up(name, table, kind=f"{kind} of {where}")


def check_images(where: str, images: Tensor, channels: int | None = None, least: int = 1) -> None:
    """BadShape unless images are (N, channels, H, W) of at least `least` px a side, in floating point."""
    wanted = f"images (N, {'C' if channels is None else channels}, H, W)"
    if images.dim() != 4 or images.shape[1] != (images.shape[1] if channels is None else channels):
        what = "give a batch" if images.dim() != 4 else GREY if channels == 1 else COLOUR.format(channels=channels)
        raise BadShape(f"{where}: expected {wanted}, got {tuple(images.shape)}; {what}")
    if not images.is_floating_point():
        raise BadShape(f"{where}: expected {wanted} in [0, 1], got numbers of {images.dtype}; divide them by 255")
    if min(images.shape[2:]) < least:
        raise BadShape(
            f"{where}: expected {wanted} of at least {least} px a side, got {tuple(images.shape)}; enlarge them"
        )


def check_width(where: str, vectors: Tensor, width: int, what: str) -> None:
    """BadShape unless vectors are (N, width)."""
    if vectors.dim() != 2 or vectors.shape[1] != width:
        raise BadShape(
            f"{where}: expected {what} (N, {width}), got {tuple(vectors.shape)}; build it for vectors of that length"
        )
