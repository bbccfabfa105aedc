"""One person's sitting of the exam: which images, which comes next, and each answer kept as soon as it is given."""

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from topfive.data.draws import id_keys, uniform
from topfive.data.geometry import to_pixels
from topfive.data.imageset import Broken, ClassLabel, ImageSet, Split
from topfive.errors import BadFile, Misused
from topfive.evaluation.person import PERSON, guessed
from topfive.evaluation.scores import GUESSES, Scores, check_scores, load_scores
from topfive.files import check_place

SIDE = 1024  # px: larger pictures are made smaller for the page


class Shown(NamedTuple):
    """The image that is asked for. place: how many came before it. picture: PNG, pixels and nothing else."""

    place: int
    picture: bytes


class Sitting:
    """The images of one person's exam and the answers so far, which lie in a scores file at any moment.

    An image that cannot be decoded is never shown nor replaced: it counts as an error when its turn comes, as it does
    for machines. Raises Misused where `file` holds something else than answers to these images, BadFile where it cannot
    be written.
    """

    def __init__(self, data: ImageSet, images: int, seed: int, file: Path) -> None:
        self.data, self.file = data, file
        self.split = data.split(data.judged)
        self.rows = choose(self.split, data.classes, images, seed)
        self.scores: Scores | None = _kept(file, data, [self.split.ids[row] for row in self.rows])
        done = set(self.scores.ids) if self.scores else set()
        self._left = [row for row in self.rows if self.split.ids[row] not in done]
        if self._left:
            check_place(file)  # before anybody is asked
        self._shown: Shown | None = None

    @property
    def place(self) -> int:
        """How many images are answered, or were found broken."""
        return len(self.rows) - len(self._left)

    def now(self) -> Shown | None:
        """The image that waits for an answer; None when all have theirs."""
        while self._shown is None and self._left:
            try:
                self._shown = Shown(self.place, png(to_pixels(self.split.image(self._left[0]))))
            except BadFile as error:
                broken = Broken(self.split.ids[self._left[0]], str(error))
                self._keep(torch.full((len(self.data.classes),), torch.nan), (broken,))
        return self._shown

    def answer(self, place: int, guesses: Sequence[int]) -> None:
        """Keep the guesses for the image at `place`: class indices, the best first.

        Raises Misused for another place than that which waits, as an old tab may send, and for guesses that are none;
        BadFile where they could not be written, and then the image waits still.
        """
        shown = self.now()
        if shown is None or place != shown.place:
            raise Misused(f"guesses: expected those for image {self.place + 1}, got image {place + 1}; reload the page")
        self._keep(guessed(guesses, len(self.data.classes)), ())

    def _keep(self, answer: Tensor, broken: tuple[Broken, ...]) -> None:
        row = self._left[0]
        kept = Scores(
            entry=PERSON, split=self.data.judged, scores=answer[None, None], labels=self.split.labels[[row]],
            ids=(self.split.ids[row],), classes=self.data.classes, kind=GUESSES, broken=broken, data=self.data.manifest,
        )  # fmt: skip
        if before := self.scores:
            kept = replace(
                before, scores=torch.cat([before.scores, kept.scores]), labels=torch.cat([before.labels, kept.labels]),
                ids=before.ids + kept.ids, broken=before.broken + broken,
            )  # fmt: skip
        there = load_scores(self.file).ids if self.file.exists() else ()
        if there != (self.scores.ids if self.scores else ()):
            raise Misused(f"{self.file}: holds answers that another sitting gave meanwhile; stop it, and call again")
        kept.save(self.file)  # before anything else: what follows cannot fail
        self.scores, self._shown = kept, None
        self._left.pop(0)


def choose(split: Split, classes: Sequence[ClassLabel], images: int, seed: int) -> list[int]:
    """So many rows of a split, at most all, in the order they are shown; each image is as likely as any other.

    Stratified in proportion: the classes lie one behind the other in a drawn order, their images in a drawn order too,
    and every so-manieth is taken. So the share of a class is that of the split, up to one image, and the error over
    these images estimates the error over all.
    """
    number = min(images, len(split))
    draws = uniform(seed, 0, id_keys(split.ids), 2)
    turn = uniform(seed, 1, id_keys([label.key for label in classes]), 1)[:, 0].argsort(kind="stable").argsort()
    line = np.lexsort((draws[:, 0], turn[split.labels.numpy()]))
    start = uniform(seed, 2, id_keys(["start"]), 1)[0, 0]
    taken = line[((np.arange(number) + start) * len(split) / number).astype(np.int64)]
    return [int(row) for row in taken[draws[taken, 1].argsort(kind="stable")]]


def png(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    """An (H, W, 1 or 3) image as PNG, at most SIDE px wide and high; its file's name and notes are not in it."""
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    picture.thumbnail((SIDE, SIDE))
    content = io.BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()


def _kept(file: Path, data: ImageSet, ids: Sequence[str]) -> Scores | None:
    """The answers of an earlier call; None where there are none yet."""
    if not file.exists():
        return None
    check_scores(file)
    scores = load_scores(file)
    if (scores.kind, scores.data, scores.split) != (GUESSES, data.manifest, data.judged):
        raise Misused(f"{file}: holds scores of others or on other images than {data.name}'s; choose another --out")
    if not set(scores.ids) <= set(ids):
        raise Misused(
            f"{file}: holds {len(scores.ids)} answers to another choice of images; give its --images and --seed, or "
            "choose another --out"
        )
    return scores
