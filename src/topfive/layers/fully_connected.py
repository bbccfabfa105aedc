"""The end of AlexNet, ZFNet and VGG: three fully connected layers (Krizhevsky et al. 2012, secs. 3.5 and 4.2)."""

from torch import Tensor, nn
from torch.nn.functional import relu

from topfive.layers.classifier import Classifier
from topfive.layers.linear import FullPrecisionLinear
from topfive.layers.windows import flat_windows


class FullyConnectedEnd(Classifier):
    """A classifier that ends in fc6 and fc7, with ReLU and dropout after each, and fc8, which scores."""

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

    def fc7_of(self, maps: Tensor) -> Tensor:
        """Maps (N, C, H, W) with C * H * W = length -> (N, units); of larger ones (N, rows, columns, units)."""
        units: Tensor = self.dropout(relu(self.fc6(flat_windows(maps, self.fc6.in_features))))  # -> (N, units)
        units = self.dropout(relu(self.fc7(units)))  # -> (N, units)
        return units
