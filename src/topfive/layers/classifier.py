"""What all classifiers share: images in, one vector of features, one last layer, scores out."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from topfive.errors import Misused
from topfive.layers.normalize import Normalize
from topfive.layers.shape import check_images


class Classifier(nn.Module, ABC):
    """`normalize`, a body that ends in one vector for each image, and a last layer that scores it.

    A paper's file writes `body` and names its last layer in `head`. name: of the entry, for messages. side: of the crop
    in px; None for a net that takes any image of at least `at_least` px in steps of `multiple_of`. luma: see Normalize.
    slides: whether it can score whole images at every position; see `dense`.
    """

    head = "fc"

    def __init__(
        self, name: str, side: int | None = None, *, at_least: int = 1, multiple_of: int = 1, luma: bool = False
    ) -> None:
        super().__init__()
        self.name, self.side, self.at_least, self.multiple_of = name, side, at_least, multiple_of
        self.slides = side is None
        self.normalize = Normalize(luma)

    def prepare(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) in [0, 1], checked and normalized: (N, C, H, W). Raises BadShape."""
        check_images(self.name, images, self.side, at_least=self.at_least, multiple_of=self.multiple_of)
        prepared: Tensor = self.normalize(images)
        return prepared

    @abstractmethod
    def body(self, maps: Tensor) -> Tensor:
        """All layers between `normalize` and the last: (N, C, H, W) -> (N, length)."""

    def features(self, images: Tensor) -> Tensor:
        """What the last layer sees: images (N, 3, H, W) in [0, 1] -> (N, length). Raises BadShape."""
        return self.body(self.prepare(images))

    def score(self, features: Tensor) -> Tensor:
        """Scores (N, classes), float32, of what `features` gives."""
        scores: Tensor = getattr(self, self.head)(features)
        return scores

    def forward(self, images: Tensor) -> Tensor | tuple[Any, ...]:
        """Scores (N, classes), float32, of images (N, 3, H, W) in [0, 1]. Raises BadShape.

        In training some networks give a tuple in their place, what their loss is of (`training.loss`).
        """
        return self.score(self.features(images))

    def everywhere(self, maps: Tensor) -> Tensor:
        """What the last layer sees at each position of images larger than the crop: (N, rows, columns, length).

        Or (N, length) where the body ends in the mean over positions and the last layer is linear: the score of the
        mean is the mean of the scores.
        """
        return self.body(maps)

    def dense(self, images: Tensor) -> Tensor:
        """Scores (N, classes), float32, averaged over the positions of whole images (N, 3, H, W) in [0, 1].

        Sermanet et al. 2013, arXiv:1312.6229; Simonyan, Zisserman 2014, arXiv:1409.1556, sec. 3.2. Sides are at least
        the crop's, in steps of `multiple_of`. Raises BadShape, and Misused for a classifier that does not slide.
        """
        if not self.slides:
            raise Misused(f"{self.name}: has no dense form, it scores a crop as a whole; give it crops")
        check_images(self.name, images, at_least=self.side or self.at_least, multiple_of=self.multiple_of)
        scores = self.score(self.everywhere(self.normalize.of_any_size(images)))
        return scores.mean((1, 2)) if scores.dim() == 4 else scores  # (N, rows, columns, classes) -> (N, classes)
