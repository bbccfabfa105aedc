"""One hidden layer of sigmoid units: Rumelhart, Hinton, Williams 1986, Nature 323, 533-536.

Departs from the paper: the output is a softmax, fitted by cross-entropy, where the paper fits logistic outputs by
squared error. The paper starts from "small random weights" and gives no range; here it is uniform within
+-1/sqrt(fan_in), so that a unit's total input has a deviation of about 0.6 for inputs of deviation 1 and no unit starts
out saturated.
"""

from torch import Tensor, nn

from topfive.layers import Classifier, FullPrecisionLinear
from topfive.layers import activation as make_activation
from topfive.models.card import Card


class Mlp(Classifier):
    """Pixels, `hidden` units, classes. image: side of the crop in px. activation: of the units, by name."""

    head = "classifier"

    def __init__(self, name: str, classes: int, image: int, *, hidden: int = 500, activation: str = "sigmoid") -> None:
        super().__init__(name, image)
        self.activation, pieces = make_activation(activation)
        self.hidden = nn.Linear(3 * image * image, hidden * pieces)
        self.classifier = FullPrecisionLinear(hidden, classes)
        for layer in (self.hidden, self.classifier):
            nn.init.uniform_(layer.weight, -(layer.in_features**-0.5), layer.in_features**-0.5)
            nn.init.zeros_(layer.bias)

    def body(self, maps: Tensor) -> Tensor:
        """The hidden units: (N, 3, image, image) -> (N, hidden), in (0, 1) for sigmoids."""
        pixels = maps.flatten(1)  # -> (N, 3 * image * image)
        code: Tensor = self.activation(self.hidden(pixels))  # -> (N, hidden)
        return code


CARDS: dict[str, Card] = {
    "mlp": Card(
        Mlp,
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
