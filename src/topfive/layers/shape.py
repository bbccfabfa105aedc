"""The check at the door of every classifier."""

import torch
from torch import Tensor

from topfive.errors import BadShape

FLOATS = (torch.float32, torch.float16, torch.bfloat16)


def check_images(
    entry: str, images: Tensor, side: int | None = None, *, at_least: int = 1, multiple_of: int = 1
) -> None:
    """Refuse what the classifier named `entry` cannot take, in one sentence that says what to do.

    images: should be floating point (N, 3, side, side); or, where `side` is None, (N, 3, H, W) with H and W at least
    `at_least` px and multiples of `multiple_of`. Only static sizes are compared, so it leaves no trace in a compiled or
    exported program. Raises BadShape.
    """
    if not isinstance(images, Tensor) or images.dtype not in FLOATS:
        got = images.dtype if isinstance(images, Tensor) else f"a {type(images).__name__}"
        raise BadShape(f"{entry}: images must be float32 in [0, 1], got {got}; divide bytes by 255")
    shape = tuple(images.shape)
    if side is not None:
        if len(shape) != 4 or shape[1:] != (3, side, side):
            raise BadShape(f"{entry}: images must be (N, 3, {side}, {side}), got {shape}; "
                           f"resize and crop them to {side} px")  # fmt: skip
        return
    if len(shape) != 4 or shape[1] != 3:
        raise BadShape(f"{entry}: images must be (N, 3, H, W), got {shape}; give a batch of RGB images")
    if min(shape[2:]) < at_least or shape[2] % multiple_of or shape[3] % multiple_of:
        grid = f" and a multiple of {multiple_of}" if multiple_of > 1 else ""
        raise BadShape(f"{entry}: image sides must be at least {at_least} px{grid}, got {shape}; resize the images")
