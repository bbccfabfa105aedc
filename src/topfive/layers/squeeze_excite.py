"""Squeeze and excitation: Hu, Shen, Sun 2017, arXiv:1709.01507, sec. 3."""

import torch
from torch import Tensor, nn
from torch.nn.functional import relu


class SqueezeExcite(nn.Module):
    """Scales each map by a number in (0, 1) that is computed from the means of all maps. reduction: the paper's r."""

    def __init__(self, maps: int, reduction: int = 16) -> None:
        super().__init__()
        self.fc1 = nn.Linear(maps, maps // reduction)
        self.fc2 = nn.Linear(maps // reduction, maps)

    def forward(self, maps: Tensor) -> Tensor:
        """maps: (N, C, H, W). Returns (N, C, H, W)."""
        squeezed = maps.mean((2, 3))  # -> (N, C)
        gates = torch.sigmoid(self.fc2(relu(self.fc1(squeezed))))  # -> (N, C/r) -> (N, C)
        return maps * gates[:, :, None, None]
