"""Raw patches, whitened, and the k-means triangle code: Coates, Lee, Ng 2011, AISTATS 2011, secs. 3.2 and 4.

Each patch is brought to mean 0 and deviation 1, then all are whitened together so that neighbouring pixels are no
longer alike. A patch's code is how much nearer than the average it is to each word.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from topfive.errors import BadShape
from topfive.features.door import check_counts, check_images
from topfive.features.grid import Patches
from topfive.features.moments import moments_of
from topfive.features.words import Words

CONTRAST = 10 / 255**2  # added to a patch's variance, of pixels in [0, 1] (10 of pixels in [0, 255])


class WhitenedPatches(Patches):
    """Images to patches with the contrast normalized and whitened: (N, C, H, W) -> (N, M, C * patch * patch).

    patch: side in px; patches step by `step` px. centre (D,), whitening (D, D): fitted on patches of training images.
    """

    centre: Tensor
    whitening: Tensor

    def __init__(self, channels: int, patch: int, step: int = 1) -> None:
        check_counts("WhitenedPatches", channels=channels, patch=patch, step=step)
        super().__init__(patch, step)
        self.channels = channels
        length = channels * patch**2
        self.register_buffer("centre", torch.zeros(length))
        self.register_buffer("whitening", torch.eye(length))

    def forward(self, images: Tensor) -> Tensor:
        """images: (N, C, H, W) in [0, 1]. M runs over rows and columns of patches."""
        return self.whitened(self.contrasted(images))

    def whitened(self, patches: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return (patches - self.centre) @ self.whitening

    def contrasted(self, images: Tensor) -> Tensor:
        """Patches of mean 0 and deviation 1: (N, C, H, W) -> (N, M, D)."""
        check_images("WhitenedPatches", images, self.channels)
        if min(images.shape[2:]) < self.patch:
            return images.new_zeros(images.shape[0], 0, len(self.centre))
        patches = F.unfold(images, self.patch, stride=self.step).transpose(1, 2)  # (N, M, D)
        variance, mean = torch.var_mean(patches, -1, correction=1, keepdim=True)
        return (patches - mean) / (variance + CONTRAST).sqrt()

    def extra_repr(self) -> str:
        """The constants, for print(network)."""
        return f"channels={self.channels}, {super().extra_repr()}"


def whitening_of(patches: Tensor, epsilon: float = 0.1) -> tuple[Tensor, Tensor]:
    """The mean (D,) and the ZCA matrix (D, D) of patches (M, D), float32. epsilon: added to each variance."""
    if patches.dim() != 2 or len(patches) < 2:
        raise BadShape(f"whitening_of: expected two patches (M, D) at least, got {tuple(patches.shape)}; give more")
    centre, covariance = moments_of(patches)
    values, vectors = torch.linalg.eigh(covariance)
    return centre.float(), ((vectors / (values + epsilon).sqrt()) @ vectors.T).float()


class KmeansTriangle(Words):
    """max(0, mean distance - distance) of each word, summed over a region, K numbers (sec. 3.2.2, "triangle")."""

    def __init__(self, number: int, dimensions: int) -> None:
        super().__init__(number, dimensions)
        self.length = number

    def statistics(self, descriptors: Tensor) -> Tensor:
        """Sums of activations: (N, M, D) -> (N, K)."""
        lengths = descriptors.square().sum(-1, keepdim=True) + self.words.square().sum(1)
        distances = torch.add(lengths, descriptors @ self.words.T, alpha=-2).clamp_min_(0).sqrt_()  # (N, M, K)
        return (distances.mean(-1, keepdim=True) - distances).clamp_min_(0).sum(1)

    def finish(self, statistics: Tensor, counts: Tensor) -> Tensor:
        """As they are: (N, R, K)."""
        return statistics
