"""Networks that give a code for each image, and classes that are places among the codes."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from topfive.layers.precision import full_precision


class Embeddings(NamedTuple):
    """What such a network gives in training in place of scores: codes (N, D) of unit length."""

    codes: Tensor


class Centres(nn.Module):
    """Scores codes by minus their squared distance from the centre of each class, as a nearest-centre classifier does.

    centres: (classes, D), a buffer that training fills with the means of the classes' codes.
    """

    centres: Tensor

    def __init__(self, length: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("centres", torch.zeros(classes, length))

    def forward(self, codes: Tensor) -> Tensor:
        """codes: (N, D). Returns (N, classes), float32, at most 0."""
        with full_precision(codes.device):
            squares = codes.float().square().sum(1, keepdim=True) + self.centres.square().sum(1)  # (N, classes)
            return 2 * codes.float() @ self.centres.T - squares
