"""One hidden layer of sigmoid units: Rumelhart, Hinton, Williams 1986, Nature 323, 533-536.

Departs from the paper: the output is a softmax, fitted by cross-entropy, where the paper fits logistic outputs by
squared error. The paper starts from "small random weights" and gives no range; here it is uniform within
+-1/sqrt(fan_in), so that a unit's total input has a deviation of about 0.6 for inputs of deviation 1 and no unit starts
out saturated.
"""

import torch
from torch import Tensor, nn

from topfive.layers import FullPrecisionLinear, Normalize, check_images
from topfive.models.card import Card


class Mlp(nn.Module):
    """Pixels, `hidden` sigmoid units, classes. image: side of the crop in px."""

    def __init__(self, classes: int, image: int, hidden: int) -> None:
        super().__init__()
        self.image = image
        self.normalize = Normalize()
        self.hidden = nn.Linear(3 * image * image, hidden)
        self.classifier = FullPrecisionLinear(hidden, classes)
        for layer in (self.hidden, self.classifier):
            nn.init.uniform_(layer.weight, -(layer.in_features**-0.5), layer.in_features**-0.5)
            nn.init.zeros_(layer.bias)

    def features(self, images: Tensor) -> Tensor:
        """The hidden units: (N, 3, image, image) -> (N, hidden) in (0, 1). Raises BadShape."""
        check_images("mlp", images, self.image)
        pixels = self.normalize(images).flatten(1)  # (N, 3, image, image) -> (N, 3 * image * image)
        return torch.sigmoid(self.hidden(pixels))  # -> (N, hidden)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes), float32, of images (N, 3, image, image) in [0, 1]. Raises BadShape."""
        logits: Tensor = self.classifier(self.features(images))
        return logits


def mlp(classes: int = 10, *, image: int = 32, hidden: int = 500) -> Mlp:
    """The two-layer network with `hidden` units on crops of `image` px."""
    return Mlp(classes, image, hidden)


CARDS: dict[str, Card] = {
    "mlp": Card(
        mlp,
        family="mlp",
        year=1986,
        source="Rumelhart, Hinton, Williams 1986, Nature 323, 533-536",
        image=32,
        sides=(8, 256),
        classes=10,
        params=1_541_510,
        macs=1_541_000,
        depth=2,
        note="one hidden layer of 500 sigmoid units, trained by back-propagation",
    ),
}
