"""Images of a split as batches: for training in keyed random order, for judging once each.

What a batch holds is a function of (seed, epoch, step): never of the number of workers, of the device, or of what was
asked before, so a run can resume at any step without replaying one.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from topfive.data.augment import (
    DRAWS,
    MIRROR,
    ORDER,
    Augmentation,
    colour_shift,
    cut_photo,
    cut_squares,
    cut_squares_on_device,
)
from topfive.data.decode import decoding_pool
from topfive.data.draws import id_keys, uniform
from topfive.data.geometry import Geometry, Pixels, to_images, to_pixels
from topfive.data.imageset import Broken, Split
from topfive.errors import BadData, BadFile, BadRecipe, Misused

PIXELS = 2_000_000  # of the crops that go through a classifier together; 64 maps of them are half a gigabyte
MEMORY = 2 << 30  # bytes of prepared pixels that are kept between epochs; the rest are decoded again each time


@dataclass(frozen=True)
class Batch:
    """images: float32 RGB (N, 3, H, W) in [0, 1]. labels: (N,). rows: (N,) positions in the split."""

    images: Tensor
    labels: Tensor
    rows: list[int]


class Prepared:
    """The images of a split as an augmentation needs them, made on first use and kept while memory allows.

    `broken` names the images that could not be decoded; they answer None.
    """

    def __init__(self, split: Split, prepare: Callable[[Pixels], Pixels], workers: int | None) -> None:
        self.split, self.prepare = split, prepare
        self.broken: dict[int, Broken] = {}
        self.kept: dict[int, Pixels] = {}
        self.bytes_kept = 0
        self.lock = threading.Lock()
        self.pool = decoding_pool(workers) if split.paths is not None else None
        # Images already held in memory are prepared at once, into one array that can be sliced by the batch.
        self.block = None if split.pixels is None else self._prepare_block(split.pixels)

    def _prepare_block(self, pixels: Tensor) -> Pixels:
        first = self.prepare(to_pixels(pixels[0]))
        block = np.empty((len(pixels), *first.shape), np.uint8)
        for slot, image in zip(block, pixels, strict=True):
            slot[:] = self.prepare(to_pixels(image))
        return block

    def __call__(self, rows: Sequence[int]) -> list[Pixels | None]:
        """The prepared images of these rows, in order, each (H, W, C) uint8, None where broken."""
        if self.block is not None:
            return [self.block[row] for row in rows]
        assert self.pool is not None
        return list(self.pool.map(self._one, rows))

    def _one(self, row: int) -> Pixels | None:
        if row in self.kept:
            return self.kept[row]
        if row in self.broken:
            return None
        try:
            image = self.prepare(to_pixels(self.split.image(row)))
        except BadFile as error:
            self.broken[row] = Broken(self.split.ids[row], str(error))
            return None
        with self.lock:
            if self.bytes_kept + image.nbytes <= MEMORY:
                self.kept[row] = np.ascontiguousarray(image)
                self.bytes_kept += image.nbytes
        return image


@dataclass
class TrainingLoader:
    """Augmented batches of a split. The last images of an epoch's order that fill no batch wait for another epoch.

    workers: decoding threads, one a core when left out. colour_basis: (3, 3) for `colour="pca"`, see
    `augment.colour_shift`.
    """

    split: Split
    geometry: Geometry
    augmentation: Augmentation
    batch_size: int
    seed: int = 0
    workers: int | None = None
    device: torch.device | str = "cpu"
    colour_basis: Tensor | None = None
    prepared: Prepared = field(init=False)

    def __post_init__(self) -> None:
        if not len(self.split):
            raise BadData("training: expected at least one image, got an empty split; add images to it")
        if self.augmentation.kind == "scale_jitter" and min(self.augmentation.short) < self.geometry.crop:
            raise BadRecipe(
                f"augment.short: expected sides of at least the crop of {self.geometry.crop} px, got "
                f"{min(self.augmentation.short)}; raise it or choose a smaller geometry.crop"
            )
        if self.augmentation.kind == "random_crop" and self.geometry.crop > self.geometry.resize_short:
            raise Misused(
                f"random_crop: expected a crop of at most resize_short = {self.geometry.resize_short} px, "
                f"got {self.geometry.crop}; choose another kind or a larger resize_short"
            )
        self.batch_size = min(self.batch_size, len(self.split))
        self.keys = id_keys(self.split.ids)
        augmentation, geometry = self.augmentation, self.geometry  # not self: a cycle would hold the images for long
        self.prepared = Prepared(self.split, lambda image: augmentation.prepare(image, geometry), self.workers)
        accelerated = torch.device(self.device).type != "cpu"
        on_device = self.prepared.block is not None and accelerated and augmentation.whole_pixels
        self.on_device = torch.from_numpy(self.prepared.block).to(self.device) if on_device else None

    def __len__(self) -> int:
        """Steps in an epoch."""
        return len(self.split) // self.batch_size

    @property
    def in_memory(self) -> bool:
        """Whether no image has to be decoded."""
        return self.prepared.block is not None

    @property
    def kept_share(self) -> float:
        """The share of the images that stay decoded between epochs, judged by those that have been met so far."""
        kept = self.prepared.kept
        if not kept:
            return 1.0
        return min(1.0, MEMORY / (self.prepared.bytes_kept / len(kept) * len(self.split)))

    @property
    def broken(self) -> list[Broken]:
        """The images that were skipped because they could not be decoded, in the split's order."""
        return [self.prepared.broken[row] for row in sorted(self.prepared.broken)]

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from `first_step` on.

        In place of a batch of which no image can be decoded comes the next one that has some, so that an epoch keeps
        its length. Raises BadData when there is none.
        """
        draws = uniform(self.seed, epoch, self.keys, DRAWS)
        order = np.argsort(draws[:, ORDER], kind="stable")
        for step in range(first_step, len(self)):
            yield self._readable(step, order, draws)

    def _readable(self, step: int, order: np.ndarray, draws: np.ndarray) -> Batch:
        """The batch of a step, or the first after it, going round, of which an image can be decoded."""
        for following in range(step, step + len(self)):
            first = following % len(self) * self.batch_size
            rows = order[first : first + self.batch_size]
            if (batch := self.batch(rows.tolist(), draws[rows])) is not None:
                return batch
        raise BadData(f"training: no image of any batch could be decoded; first: {self.broken[0].reason}")

    def batch(self, rows: list[int], draws: np.ndarray) -> Batch | None:
        """The images of `rows`, cut and mirrored as their draws (N, DRAWS) say; broken ones are left out.

        None where all of them are broken.
        """
        mirror = (draws[:, MIRROR] < 0.5) & self.augmentation.mirror
        crop, whole = self.geometry.crop, self.augmentation.whole_pixels
        if self.prepared.block is not None and whole:
            side = self.prepared.block.shape[1:3]
            boxes = self.augmentation.boxes(np.array([side] * len(rows)), crop, draws)
            if self.on_device is not None:
                at = torch.tensor(rows, device=self.device)
                pixels: Pixels | Tensor = cut_squares_on_device(self.on_device, at, boxes, mirror, crop)
            else:
                pixels = cut_squares(self.prepared.block, rows, boxes, mirror, crop)
        else:
            images = self.prepared(rows)
            good = [slot for slot, image in enumerate(images) if image is not None]
            found = [image for image in images if image is not None]
            if not found:
                return None
            rows, draws, mirror = [rows[slot] for slot in good], draws[good], mirror[good]
            boxes = self.augmentation.boxes(np.array([image.shape[:2] for image in found]), crop, draws)
            if whole:
                pixels = cut_squares(found, range(len(found)), boxes, mirror, crop)
            else:
                pixels = self._cut_photos(found, boxes, mirror)
        batch = to_images(pixels, self.device)
        if self.colour_basis is not None:
            batch = batch + colour_shift(draws, self.colour_basis.to(batch.device))
        return Batch(batch, self.split.labels[rows].to(self.device), rows)

    def _cut_photos(self, images: list[Pixels], boxes: np.ndarray, mirror: np.ndarray) -> Pixels:
        crop, interpolation = self.geometry.crop, self.geometry.interpolation

        def cut(image: Pixels, box: np.ndarray, flip: bool) -> Pixels:
            return cut_photo(image, box, flip, crop, interpolation)

        pool_map = map if self.prepared.pool is None else self.prepared.pool.map
        return np.stack(list(pool_map(cut, images, boxes, mirror.tolist())))


def at_once(images: int, height: int, width: int) -> int:
    """How many images go through a classifier together, where so many are wanted: fewer where they are large.

    >>> at_once(250, 32, 32), at_once(250, 224, 224)
    (250, 39)
    """
    return max(1, min(images, PIXELS // (height * width)))


def central_crops(
    split: Split,
    geometry: Geometry,
    batch_size: int = 256,
    workers: int | None = None,
    device: torch.device | str = "cpu",
) -> Iterator[tuple[Batch, list[Broken]]]:
    """Every image of a split once, in order, through the geometry alone; with each batch, its broken images.

    batch_size: at most; large crops come in smaller batches.
    """
    batch_size = at_once(batch_size, geometry.crop, geometry.crop)
    fits = split.pixels is not None and split.pixels.shape[-2:] == (geometry.crop,) * 2 == (geometry.resize_short,) * 2
    with decoding_pool(workers) as pool:

        def read(row: int) -> Pixels | Broken:
            try:
                return geometry.apply(to_pixels(split.image(row)))
            except BadFile as error:
                return Broken(split.ids[row], str(error))

        for start in range(0, len(split), batch_size):
            rows = list(range(start, min(start + batch_size, len(split))))
            if fits:
                assert split.pixels is not None
                pixels: Pixels | Tensor = split.pixels[start : start + batch_size].permute(0, 2, 3, 1)
                broken: list[Broken] = []
            else:
                answers = list(pool.map(read, rows) if split.paths is not None else map(read, rows))
                broken = [answer for answer in answers if isinstance(answer, Broken)]
                rows = [row for row, answer in zip(rows, answers, strict=True) if not isinstance(answer, Broken)]
                squares = [answer for answer in answers if not isinstance(answer, Broken)]
                pixels = np.stack(squares) if squares else np.empty((0, geometry.crop, geometry.crop, 3), np.uint8)
            yield Batch(to_images(pixels, device), split.labels[rows].to(device), rows), broken
