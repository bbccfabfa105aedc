"""Classifiers beside the last one, on maps below it, in training: Szegedy et al. 2014, arXiv:1409.4842, sec. 5."""

from abc import abstractmethod
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

from topfive.errors import BadShape
from topfive.layers.classifier import Classifier


class WithAuxiliary(NamedTuple):
    """The scores (N, classes), those of the auxiliary classifiers, and the weight of their losses in the sum."""

    scores: Tensor
    auxiliary: tuple[Tensor, ...]
    weight: float


class Leg(NamedTuple):
    """A piece of a body, and the auxiliary classifier that looks at what it gives, if there is one."""

    piece: Callable[[Tensor], Tensor]
    watched_by: nn.Module | None = None


class AuxiliaryClassifier(Classifier):
    """A classifier whose body is a chain of legs, and which gives `WithAuxiliary` in training if any leg is watched.

    A paper's file writes `legs` and sets `auxiliary_weight` and `watched_sides`, the least and the greatest side of
    images, px, that the auxiliary classifiers take.
    """

    auxiliary_weight: float
    watched_sides: tuple[int, int]

    @abstractmethod
    def legs(self) -> list[Leg]:
        """The body in order: the first takes (N, C, H, W), the last gives (N, length)."""

    def body(self, maps: Tensor) -> Tensor:
        """All legs: (N, C, H, W) -> (N, length)."""
        for leg in self.legs():
            maps = leg.piece(maps)
        return maps

    def forward(self, images: Tensor) -> Tensor | WithAuxiliary:
        """Scores (N, classes), float32, of images (N, 3, H, W) in [0, 1]; in training with the auxiliary ones.

        Raises BadShape for images that they cannot take.
        """
        if not self.training or all(leg.watched_by is None for leg in self.legs()):
            return self.score(self.features(images))
        maps = self.prepare(images)
        low, high = self.watched_sides
        if not low <= min(images.shape[2:]) <= max(images.shape[2:]) <= high:
            meant = f"{low} px" if low == high else f"at least {low} px"
            raise BadShape(
                f"{self.name}: in training images must have sides of {meant}, which its auxiliary classifiers are made "
                f"for, got {tuple(images.shape)}; resize and crop them, or build it with auxiliary=False"
            )
        auxiliary: list[Tensor] = []
        for leg in self.legs():
            maps = leg.piece(maps)
            if leg.watched_by is not None:
                auxiliary.append(leg.watched_by(maps))
        return WithAuxiliary(self.score(maps), tuple(auxiliary), self.auxiliary_weight)
