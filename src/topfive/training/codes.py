"""Codes of a training split: what `features` gives for each of its images; and the centres of the classes in them."""

from collections.abc import Callable
from typing import NamedTuple, overload

import torch
from torch import Tensor, nn

from topfive.data.geometry import Geometry
from topfive.data.imageset import Broken, Split
from topfive.data.loader import central_crops
from topfive.errors import BadData
from topfive.features.quantiser import ProductQuantiser
from topfive.layers import Centres
from topfive.models import Classifier
from topfive.progress import Countdown
from topfive.training.statistics import UNREADABLE

MOVED = 1024  # codes at a time, in place of those of images that could not be decoded


class Codes(NamedTuple):
    """Codes (N, D), labels (N,) of the images, where they stand in the split; and those that could not be decoded."""

    codes: Tensor
    labels: Tensor
    rows: list[int]
    broken: list[Broken]


class KeptCodes:
    """Codes (N, D) at one bit a number, which are unpacked a slice at a time.

    kept: (all codes, D / 8), uint8, in memory or in a mapped file. rows: (N,) which of them; all when left out.
    """

    def __init__(self, quantiser: ProductQuantiser, kept: Tensor, rows: Tensor | None = None) -> None:
        self.quantiser, self.kept = quantiser, kept
        self.rows = torch.arange(len(kept)) if rows is None else rows
        self.shape = (len(self.rows), quantiser.length)

    def __len__(self) -> int:
        """How many codes there are."""
        return len(self.rows)

    @overload
    def __getitem__(self, rows: slice) -> Tensor: ...

    @overload
    def __getitem__(self, rows: Tensor) -> "KeptCodes": ...

    def __getitem__(self, rows: slice | Tensor) -> "Tensor | KeptCodes":
        """A slice unpacked, or a choice of rows, whose bytes are not copied."""
        if isinstance(rows, slice):
            return self.quantiser.decode(self.kept[self.rows[rows]])
        return KeptCodes(self.quantiser, self.kept, self.rows[rows])


def extract_codes(
    classifier: nn.Module, split: Split, geometry: Geometry, workers: int | None = None, mirrored: bool = False,
    part: Callable[[Tensor], Tensor] | None = None, what: str = "codes",
    room: Callable[[tuple[int, ...], torch.dtype], Tensor] | None = None,
) -> Codes:  # fmt: skip
    """What `part` gives of every prepared image of a split, in order; all features of the classifier when left out.

    mirrored: and then of all mirrored images, so that there are two codes an image, (2 N, D). what: it is called in
    lines of progress. room: gives an empty tensor for all of it; in memory when left out.
    """
    assert isinstance(classifier, Classifier)
    part = classifier.body if part is None else part
    codes = torch.zeros(0)
    rows: list[int] = []
    broken: list[Broken] = []
    countdown = Countdown(what, len(split))
    classifier.eval()
    device = next(classifier.parameters()).device
    with torch.no_grad():
        for batch, bad in central_crops(split, geometry, workers=workers, device=device):
            broken += bad
            if not batch.rows:
                continue
            views = [batch.images, batch.images.flip(3)] if mirrored else [batch.images]
            for view, images in enumerate(views):
                found = part(classifier.prepare(images))
                if not len(codes):  # one allocation: all codes together may be most of the memory
                    shape = (len(views) * len(split), *found.shape[1:])
                    codes = room(shape, found.dtype) if room else torch.empty(shape, dtype=found.dtype)
                first = view * len(split) + len(rows)
                codes[first : first + len(found)] = found
            rows += batch.rows
            countdown.at(rows[-1] + 1)
    if not rows:
        raise BadData(UNREADABLE)
    if mirrored and len(rows) < len(split):  # those of mirrored images move up
        for some in torch.split(torch.arange(len(rows)), MOVED):
            codes[len(rows) + some] = codes[len(split) + some]
    return Codes(codes[: len(rows) * (2 if mirrored else 1)], split.labels[rows], rows, broken)


def centres_of(classifier: nn.Module) -> Centres | None:
    """The centres of a network that scores by them."""
    layer = getattr(classifier, "centres", None)
    return layer if isinstance(layer, Centres) else None


def fit_centres(classifier: nn.Module, split: Split, geometry: Geometry, workers: int | None = None) -> None:
    """Put the mean code of each class into the `Centres` of a network that has them; others are left."""
    layer = centres_of(classifier)
    if layer is None:
        return
    found = extract_codes(classifier, split, geometry, workers)
    sums = torch.zeros(layer.centres.shape).index_add_(0, found.labels, found.codes)
    counts = found.labels.bincount(minlength=len(sums)).clamp_min(1)
    layer.centres.copy_(sums / counts[:, None])
