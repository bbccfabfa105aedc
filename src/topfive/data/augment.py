"""Augmentation by the batch: which box of an image is cut, and whether it is mirrored, from keyed draws.

Every kind of augmentation is a rule for boxes, so there is one way to cut them:

    none           the central crop
    pad_crop       `padding` px of black around the crop-sized image, a random crop   He et al. 2015, sec. 4.2
    random_crop    a random crop of the central square of side `resize_short`         Krizhevsky et al. 2012, sec. 4.1
    resized_crop   area and aspect ratio at random, resized to the crop               Szegedy et al. 2014, sec. 6
    scale_jitter   shorter side at random in `short` px, then a random crop           Simonyan, Zisserman 2014, sec. 3.1

The first three cut whole pixels out of squares of one size and therefore out of memory by slicing; the last two resize
each image.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri
from torch import Tensor

from topfive.data.geometry import Geometry, Pixels, resize_box

ORDER, MIRROR, BOX, COLOUR = 0, 1, slice(2, 6), slice(6, 9)  # columns of one image's draws in one epoch
DRAWS = 9
WHOLE_PIXELS = ("none", "pad_crop", "random_crop")
Draws = NDArray[np.float64]
Boxes = NDArray[np.float64]


@dataclass(frozen=True)
class Augmentation:
    """padding: px. area, ratio: ranges of `resized_crop`. short: px, range of `scale_jitter`. colour: `none`, `pca`."""

    kind: str = "none"
    padding: int = 0
    area: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    short: tuple[int, int] = (256, 480)
    mirror: bool = False
    colour: str = "none"

    @property
    def whole_pixels(self) -> bool:
        """Whether boxes are cut from squares of one size without resizing."""
        return self.kind in WHOLE_PIXELS

    def prepare(self, image: Pixels, geometry: Geometry) -> Pixels:
        """What is kept of an (H, W, C) image between epochs: all that the boxes of this kind can reach."""
        if not self.whole_pixels:
            return image
        if self.kind == "random_crop":
            return Geometry(geometry.resize_short, geometry.resize_short, geometry.interpolation).apply(image)
        square = geometry.apply(image)
        return np.pad(square, ((self.padding,) * 2, (self.padding,) * 2, (0, 0))) if self.kind == "pad_crop" else square

    def boxes(self, sizes: NDArray[np.int64], crop: int, draws: Draws) -> Boxes:
        """Boxes (left, top, right, bottom) in px, (N, 4), inside images of `sizes` (N, 2: height, width).

        draws: (N, DRAWS) in [0, 1). Source of each rule: the table above.
        """
        heights, widths = sizes[:, 0].astype(float), sizes[:, 1].astype(float)
        across, down, scale, shape = draws[:, BOX].T
        if self.whole_pixels:
            left, top = np.floor(across * (widths - crop + 1)), np.floor(down * (heights - crop + 1))
            return np.stack([left, top, left + crop, top + crop], 1)
        if self.kind == "resized_crop":
            # A box that would stick out is clipped to the image; the original draws up to ten times instead.
            area = (self.area[0] + scale * (self.area[1] - self.area[0])) * heights * widths
            ratio = np.exp(np.log(self.ratio[0]) + shape * np.log(self.ratio[1] / self.ratio[0]))
            box_w, box_h = np.minimum(np.sqrt(area * ratio), widths), np.minimum(np.sqrt(area / ratio), heights)
        else:
            shorter_side = np.floor(self.short[0] + scale * (self.short[1] - self.short[0] + 1))
            box_w = box_h = np.minimum(heights, widths) * crop / shorter_side
        left, top = across * (widths - box_w), down * (heights - box_h)
        return np.stack([left, top, left + box_w, top + box_h], 1)


def cut_squares(
    squares: Sequence[Pixels] | Pixels, rows: Sequence[int], boxes: Boxes, mirror: NDArray[np.bool_], crop: int
) -> Pixels:
    """Whole-pixel boxes out of equal squares, (N, crop, crop, C): plain slices, which beat any gather on a CPU."""
    batch = np.empty((len(rows), crop, crop, squares[0].shape[-1]), np.uint8)
    lefts, tops = boxes[:, 0].astype(int).tolist(), boxes[:, 1].astype(int).tolist()
    for slot, row, left, top, flip in zip(batch, rows, lefts, tops, mirror.tolist(), strict=True):
        piece = squares[row][top : top + crop, left : left + crop]
        slot[:] = piece[:, ::-1] if flip else piece
    return batch


def cut_squares_on_device(squares: Tensor, rows: Tensor, boxes: Boxes, mirror: NDArray[np.bool_], crop: int) -> Tensor:
    """The same bytes by one gather, for squares (M, H, W, C) that lie on an accelerator."""
    span = torch.arange(crop, device=squares.device)
    left, top = (torch.from_numpy(boxes[:, side]).to(squares.device, torch.long) for side in (0, 1))
    flip = torch.from_numpy(mirror).to(squares.device)
    columns = left[:, None] + torch.where(flip[:, None], crop - 1 - span, span)
    return squares[rows[:, None, None], (top[:, None] + span)[:, :, None], columns[:, None, :]]


def cut_photo(image: Pixels, box: NDArray[np.float64], flip: bool, crop: int, interpolation: str) -> Pixels:
    """One box with fractional sides out of one image, resized to (crop, crop, C)."""
    left, top, right, bottom = box.tolist()
    piece = resize_box(image, (left, top, right, bottom), (crop, crop), interpolation)
    return piece[:, ::-1] if flip else piece


def colour_shift(draws: Draws, basis: Tensor) -> Tensor:
    """AlexNet's PCA colour noise, (N, 3, 1, 1): [p1 p2 p3][a1 l1, a2 l2, a3 l3] with a ~ N(0, 0.1), sec. 4.1.

    basis: (3, 3), eigenvectors of the RGB covariance in columns, each times its eigenvalue, for pixels in [0, 1].
    """
    alphas = torch.from_numpy(ndtri(np.clip(draws[:, COLOUR], 1e-12, 1 - 1e-12))).to(basis) * 0.1
    return (alphas @ basis.T)[:, :, None, None]
