"""Softmax regression on the pixels: the floor that every other entry has to beat.

A linear classifier of raw pixels is Rosenblatt's perceptron (Psychological Review 65, 1958); the loss that fits this
one, multinomial logistic regression, is Cox 1966, and "softmax" is Bridle's word for it (1990). The loss is convex, so
the weights start at 0: every class is equally likely until an image has been seen.
"""

from torch import Tensor, nn

from topfive.layers import Classifier, FullPrecisionLinear
from topfive.models.card import Card


class PixelsLinear(Classifier):
    """One weight for each pixel, channel and class. image: side of the crop in px."""

    head = "classifier"

    def __init__(self, name: str, classes: int, image: int) -> None:
        super().__init__(name, image)
        self.classifier = FullPrecisionLinear(3 * image * image, classes)
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def body(self, maps: Tensor) -> Tensor:
        """The normalized pixels: (N, 3, image, image) -> (N, 3 * image * image)."""
        return maps.flatten(1)


CARDS: dict[str, Card] = {
    "pixels_linear": Card(
        PixelsLinear,
        family="linear",
        year=1958,
        source="Rosenblatt 1958, Psychological Review 65, 386-408; as a softmax: Cox 1966",
        image=32,
        sides=(8, 256),
        classes=10,
        params=30_730,
        macs=30_720,
        depth=1,
        note="softmax regression on the pixels, the floor that every other entry has to beat",
    ),
}
