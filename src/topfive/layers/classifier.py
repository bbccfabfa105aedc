"""What all classifiers share: images in, one vector of features, one last layer, scores out."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from topfive.layers.normalize import Normalize
from topfive.layers.shape import check_images


class Classifier(nn.Module, ABC):
    """`normalize`, a body that ends in one vector for each image, and a last layer that scores it.

    A paper's file writes `body` and names its last layer in `head`. name: of the entry, for messages. side: of the crop
    in px; None for a net that takes any image of at least `at_least` px in steps of `multiple_of`. luma: see Normalize.
    """

    head = "fc"

    def __init__(
        self, name: str, side: int | None = None, *, at_least: int = 1, multiple_of: int = 1, luma: bool = False
    ) -> None:
        super().__init__()
        self.name, self.side, self.at_least, self.multiple_of = name, side, at_least, multiple_of
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

    def forward(self, images: Tensor) -> Tensor:
        """Scores (N, classes), float32, of images (N, 3, H, W) in [0, 1]. Raises BadShape."""
        return self.score(self.features(images))
