"""Softmax regression on the pixels: the floor that every other entry has to beat.

A linear classifier of raw pixels is Rosenblatt's perceptron (Psychological Review 65, 1958); the loss that fits this
one, multinomial logistic regression, is Cox 1966, and "softmax" is Bridle's word for it (1990). The loss is convex, so
the weights start at 0: every class is equally likely until an image has been seen.
"""

from torch import Tensor, nn

from topfive.layers import FullPrecisionLinear, Normalize, check_images
from topfive.models.card import Card


class PixelsLinear(nn.Module):
    """One weight for each pixel, channel and class. image: side of the crop in px."""

    def __init__(self, classes: int, image: int) -> None:
        super().__init__()
        self.image = image
        self.normalize = Normalize()
        self.classifier = FullPrecisionLinear(3 * image * image, classes)
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def features(self, images: Tensor) -> Tensor:
        """The normalized pixels: (N, 3, image, image) -> (N, 3 * image * image). Raises BadShape."""
        check_images("pixels_linear", images, self.image)
        pixels: Tensor = self.normalize(images)
        return pixels.flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes), float32, of images (N, 3, image, image) in [0, 1]. Raises BadShape."""
        logits: Tensor = self.classifier(self.features(images))
        return logits


def pixels_linear(classes: int = 10, *, image: int = 32) -> PixelsLinear:
    """Softmax regression on crops of `image` px."""
    return PixelsLinear(classes, image)


CARDS: dict[str, Card] = {
    "pixels_linear": Card(
        pixels_linear,
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
