"""The end of AlexNet, ZFNet and VGG: three fully connected layers (Krizhevsky et al. 2012, secs. 3.5 and 4.2)."""

from abc import abstractmethod

from torch import Tensor, nn
from torch.nn.functional import relu

from topfive.layers.classifier import Classifier
from topfive.layers.linear import FullPrecisionLinear
from topfive.layers.windows import flat_windows


class FullyConnectedEnd(Classifier):
    """A classifier that ends in fc6 and fc7, with ReLU and dropout after each, and fc8, which scores.

    A paper's file writes `maps_of`, the layers before fc6.
    """

    head = "fc8"

    def set_end(self, length: int, units: int, classes: int, dropout: float) -> None:
        """Make the three layers, after those that come before them.

        length: of a flattened image's maps. units: of fc6 and fc7. dropout: share of their outputs set to 0 in training
        (the others are scaled up by 1 / (1 - dropout) then, where the paper scales by 0.5 at test).
        """
        self.fc6 = nn.Linear(length, units)
        self.fc7 = nn.Linear(units, units)
        self.fc8 = FullPrecisionLinear(units, classes)
        self.dropout = nn.Dropout(dropout)
        self.slides = True

    @abstractmethod
    def maps_of(self, images: Tensor) -> Tensor:
        """What fc6 sees: normalized images (N, 3, H, W) -> (N, C, h, w), with C * h * w = length for crops."""

    def body(self, maps: Tensor) -> Tensor:
        """fc7: (N, 3, image, image) -> (N, units)."""
        return self._fc7(self.maps_of(maps).flatten(1))

    def everywhere(self, maps: Tensor) -> Tensor:
        """fc7 of each window of the last maps that is as large as a crop's: (N, rows, columns, units)."""
        return self._fc7(flat_windows(self.maps_of(maps), self.fc6.in_features))

    def _fc7(self, flat: Tensor) -> Tensor:
        units: Tensor = self.dropout(relu(self.fc6(flat)))  # (..., length) -> (..., units)
        units = self.dropout(relu(self.fc7(units)))  # -> (..., units)
        return units
