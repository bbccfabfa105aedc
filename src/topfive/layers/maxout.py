"""Maxout: Goodfellow, Warde-Farley, Mirza, Courville, Bengio 2013, arXiv:1302.4389, sec. 3."""

from torch import Tensor, nn


class MaxoutLinear(nn.Linear):
    """The greatest of `pieces` linear units for each output."""

    def __init__(self, inputs: int, outputs: int, pieces: int = 2) -> None:
        super().__init__(inputs, outputs * pieces)
        self.pieces = pieces

    def forward(self, states: Tensor) -> Tensor:
        """states: (N, inputs). Returns (N, outputs)."""
        pieces = super().forward(states).view(len(states), -1, self.pieces)  # -> (N, outputs, pieces)
        return pieces.amax(2)
