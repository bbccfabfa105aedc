"""Local response normalization: Krizhevsky, Sutskever, Hinton 2012, NIPS 2012, sec. 3.3."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from topfive.layers.precision import full_precision


class LocalResponseNorm(nn.Module):
    """Each activation divided by a power of the energy of its neighbours among the maps, as AlexNet prints it.

    b_i = a_i / (k + alpha * sum_j a_j^2)^beta, j over the n maps around i (fewer at the two ends), at one position.
    With `groups` the maps are so many towers, each of which ends where the next begins.
    `torch.nn.LocalResponseNorm` is not this layer: it divides alpha by n, as Caffe does.
    """

    def __init__(self, n: int = 5, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75, groups: int = 1) -> None:
        super().__init__()
        self.n, self.k, self.alpha, self.beta, self.groups = n, k, alpha, beta, groups

    def forward(self, maps: Tensor) -> Tensor:
        """maps: (N, C, H, W). Returns the same shape, type and memory format; computed in float32."""
        activations = maps.float()
        with full_precision(maps.device):
            # The sum over neighbours is a product with a band of ones, which trains faster than five shifted sums.
            tower = maps.shape[1] // self.groups
            band = torch.ones(tower, tower, device=maps.device).tril(self.n // 2).triu(-(self.n // 2))
            band = torch.kron(torch.eye(self.groups, device=maps.device), band)  # a block for each tower
            energy = F.linear(activations.square().permute(0, 2, 3, 1), band).permute(0, 3, 1, 2)
            base = self.k + self.alpha * energy
            if self.beta == 0.75:  # two square roots are quicker than a power
                root = base.rsqrt()
                scale = root * root.sqrt()
            else:
                scale = base.pow(-self.beta)
            return (activations * scale).to(maps.dtype)

    @classmethod
    def of_caffe(cls) -> "LocalResponseNorm":
        """The layer as Caffe's model zoo states it: k is 1 there, and alpha is divided by n."""
        return cls(k=1.0, alpha=1e-4 / 5)

    def extra_repr(self) -> str:
        """The constants, for print(network)."""
        return f"n={self.n}, k={self.k}, alpha={self.alpha}, beta={self.beta}, groups={self.groups}"
