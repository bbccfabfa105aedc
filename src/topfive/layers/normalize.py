"""The values half of preprocessing, as the first submodule of every classifier."""

from typing import Any

import torch
from torch import Tensor, nn

from topfive.errors import BadShape, Misused

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue: ITU-R BT.601


class Normalize(nn.Module):
    """(images - mean) / std, after an optional step to one luma channel. Begins as the identity: mean 0, std 1.

    luma: if true, R, G and B are first weighed into one channel, 0.299, 0.587, 0.114 (ITU-R BT.601), and C below is 1;
    otherwise C is 3. `mean` is a buffer (C, 1, 1), or (C, H, W) for a mean image; `std` is a buffer (C, 1, 1). Both are
    in units of the pixels, which lie in [0, 1]; a paper that works on 0..255 has std = 1/255.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, luma: bool = False) -> None:
        super().__init__()
        self.luma = luma
        self.channels = 1 if luma else 3
        self.register_buffer("mean", torch.zeros(self.channels, 1, 1))
        self.register_buffer("std", torch.ones(self.channels, 1, 1))

    def set_values(self, mean: Tensor, std: Tensor) -> None:
        """Replace the buffers by copies. mean: (C, 1, 1) or (C, H, W). std: (C, 1, 1), every entry above 0.

        Raises BadShape for other shapes and Misused for a std that cannot be divided by.
        """
        if mean.dim() != 3 or mean.shape[0] != self.channels:
            raise BadShape(f"normalize: mean must be ({self.channels}, 1, 1) or ({self.channels}, H, W), "
                           f"got {tuple(mean.shape)}")  # fmt: skip
        if std.shape != (self.channels, 1, 1):
            raise BadShape(f"normalize: std must be ({self.channels}, 1, 1), got {tuple(std.shape)}")
        if not bool((std > 0).all()):
            raise Misused(
                f"normalize: every std must be above 0, got {std.flatten().tolist()}; use 1 for a flat channel"
            )
        self.mean = mean.detach().to(self.mean, copy=True)
        self.std = std.detach().to(self.std, copy=True)

    def forward(self, images: Tensor) -> Tensor:
        """images: (N, 3, H, W) float in [0, 1]. Returns (N, C, H, W).

        Raises BadShape if the mean is an image of another size.
        """
        if self.mean.shape[1:] != (1, 1) and self.mean.shape[1:] != images.shape[2:]:
            height, width = self.mean.shape[1:]
            raise BadShape(f"normalize: the mean image is {height} x {width}, got images {tuple(images.shape)}; "
                           f"crop them to {height} x {width}, or train with a mean per channel")  # fmt: skip
        return self._normalized(images, self.mean)

    def of_any_size(self, images: Tensor) -> Tensor:
        """The same of images that may be larger than a mean image, which then counts by its mean colour."""
        if self.mean.shape[1:] in ((1, 1), images.shape[2:]):
            normalized: Tensor = self(images)
            return normalized
        return self._normalized(images, self.mean.mean((1, 2), keepdim=True))

    def _normalized(self, images: Tensor, mean: Tensor) -> Tensor:
        if self.luma:
            red, green, blue = images.unbind(1)
            images = (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue).unsqueeze(1)  # (N, 3, H, W) -> (N, 1, H, W)
        return (images - mean) / self.std

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Take the stored mean's H and W as they are: a mean per channel and a mean image are both legal."""
        stored = state_dict.get(prefix + "mean")
        if isinstance(stored, Tensor) and stored.dim() == 3 and stored.shape[0] == self.channels:
            self.mean = self.mean.new_empty(stored.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extra_repr(self) -> str:
        """What the buffers hold, for print(network)."""
        return f"luma={self.luma}, mean={tuple(self.mean.shape)}"
