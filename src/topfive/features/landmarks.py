"""The Gaussian kernel by landmarks: Williams, Seeger 2001, NIPS 13 (Nyström's method).

A code becomes its kernel with each of a few codes of training images, turned so that dot products of the new vectors
are the kernel where both are landmarks, and near it elsewhere. With all training images as landmarks a linear SVM on
these vectors is the kernel machine itself.
"""

import torch
from torch import Tensor, nn

from topfive.features.door import check_counts, check_width


class Landmarks(nn.Module):
    """Codes (N, D) -> (N, L). landmarks (L, D), turn (L, L), sharpness (): fitted before they are used.

    The kernel is exp(-sharpness |x - y|^2).
    """

    landmarks: Tensor
    turn: Tensor
    sharpness: Tensor

    def __init__(self, number: int, length: int) -> None:
        super().__init__()
        check_counts("Landmarks", number=number, length=length)
        self.register_buffer("landmarks", torch.zeros(number, length))
        self.register_buffer("turn", torch.zeros(number, number))
        self.register_buffer("sharpness", torch.ones(()))

    def forward(self, codes: Tensor) -> Tensor:
        """(N, D) -> (N, L)."""
        check_width("Landmarks", codes, self.landmarks.shape[1], "codes")
        squares = codes.square().sum(1, keepdim=True) + self.landmarks.square().sum(1)
        apart = torch.addmm(squares, codes, self.landmarks.T, alpha=-2).clamp_min(0)  # squared distances
        near: Tensor = torch.exp(-self.sharpness * apart) @ self.turn
        return near

    def extra_repr(self) -> str:
        """The sizes, for print(network)."""
        return "number={}, length={}".format(*self.landmarks.shape)
