"""Geometry: the half of preprocessing that a model file states as JSON and a crop protocol varies (law 3).

Resize the shorter side to `resize_short`, cut the central square of side `crop`. Where `crop` is the larger, a black
border fills it: LeNet-5 sees 28-px digits in a field of 32 px (LeCun et al. 1998, sec. II-B). Rounding is the
Challenge's, as its 144-crop tables have it: the longer side is rounded to the nearest pixel, an odd margin leaves the
extra pixel right and below.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from topfive.errors import BadFile

Pixels = NDArray[np.uint8]
INTERPOLATION = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "area": Image.Resampling.BOX,
}
WIDEST = 4  # an image wider than this times its height is cut to its middle before it is resized, to bound memory


@dataclass(frozen=True)
class Geometry:
    """resize_short, crop: px. interpolation: `bilinear`, `bicubic` or `area`, each with antialiasing."""

    resize_short: int
    crop: int
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        if self.crop < 1 or self.resize_short < 1 or self.interpolation not in INTERPOLATION:
            raise BadFile(
                "geometry: expected crop and resize_short above 0 and interpolation one of "
                f"{', '.join(INTERPOLATION)}, got {self}"
            )

    def to_json(self) -> dict[str, Any]:
        """The JSON form kept in a model file."""
        return asdict(self)

    def apply(self, image: Pixels) -> Pixels:
        """(H, W, C) uint8 -> (crop, crop, C) uint8, the central crop."""
        return center(self.resize(image), self.crop)

    def resize(self, image: Pixels) -> Pixels:
        """(H, W, C) uint8 -> the same with its shorter side at `resize_short` px."""
        return resize_short(image, self.resize_short, self.interpolation)


def to_pixels(image: Tensor) -> Pixels:
    """uint8 tensor (C, H, W) -> array (H, W, C), a view."""
    return image.permute(1, 2, 0).numpy()


def to_images(pixels: Pixels | Tensor, device: torch.device | str = "cpu") -> Tensor:
    """uint8 (N, H, W, 1 or 3) -> float32 RGB (N, 3, H, W) in [0, 1], stored channels last."""
    batch = torch.as_tensor(pixels).to(device).permute(0, 3, 1, 2)
    images = batch.to(torch.float32, memory_format=torch.channels_last) / 255
    return images if images.shape[1] == 3 else images.repeat(1, 3, 1, 1).contiguous(memory_format=torch.channels_last)


def short_side(crop: int) -> int:
    """What the shorter side is resized to where nothing else is said, px: small crops see whole images.

    >>> short_side(32), short_side(224)
    (32, 256)
    """
    return crop if crop <= 96 else short_side_to_crop(crop)


def short_side_to_crop(crop: int) -> int:
    """The shorter side that leaves room to move a crop in: the Challenge's 256 px for crops of 224."""
    return round(crop * 256 / 224)


def center(image: Pixels, side: int) -> Pixels:
    """The central square of `side` px of an (H, W, C) image; where the image ends before it, black."""
    missing = [max(0, side - length) for length in image.shape[:2]]
    if any(missing):
        image = np.pad(image, [(short // 2, short - short // 2) for short in missing] + [(0, 0)])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return image[top : top + side, left : left + side]


def resize_short(image: Pixels, short: int, interpolation: str = "bilinear") -> Pixels:
    """Resize an (H, W, C) image so that its shorter side is `short` px; unchanged when it is so already."""
    height, width = image.shape[:2]
    if min(height, width) == short and max(height, width) <= WIDEST * short:
        return image
    reach = WIDEST * min(height, width)
    top, left = max(0, height - reach) // 2, max(0, width - reach) // 2
    image = image[top : top + reach, left : left + reach]
    return resize_box(image, (0, 0, image.shape[1], image.shape[0]), resized(height, width, short), interpolation)


def resized(height: int, width: int, short: int) -> tuple[int, int]:
    """Height and width of an image after `resize_short`, px.

    >>> resized(375, 500, 256), resized(10, 1000, 20)
    ((256, 341), (20, 80))
    """
    reach = WIDEST * min(height, width)
    ratio = short / min(height, width)
    return round(min(height, reach) * ratio), round(min(width, reach) * ratio)


def resize_box(
    image: Pixels, box: tuple[float, float, float, float], size: tuple[int, int], interpolation: str = "bilinear"
) -> Pixels:
    """Cut `box` (left, top, right, bottom) in px or fractions of it out of an (H, W, C) image, resized to `size`.

    size: height and width, px.
    """
    squeezed = image[..., 0] if image.shape[-1] == 1 else image
    picture = Image.fromarray(np.ascontiguousarray(squeezed))
    resized = np.asarray(picture.resize((size[1], size[0]), INTERPOLATION[interpolation], box=box))
    return resized.reshape(*size, image.shape[-1])
