"""One image file -> an upright 8-bit RGB picture, by one documented rule, or one sentence that says why not.

The colour rule. Grey is repeated over the three channels. A palette becomes its colours. Transparency (an alpha
channel, a transparent palette entry, a transparent colour) is laid over white. CMYK and YCCK become RGB by Pillow's
arithmetic, and embedded colour profiles are not applied. 16-bit samples keep their high byte, grey as well as colour.
Floating point is read as [0, 1] when nothing exceeds 1, else as [0, 255], and clipped. Of an animation the first frame
is the picture. EXIF orientation is applied, so that width and height are those a person sees.

Damage is refused, never patched: half a file would train as a picture whose lower half is flat. A file that lacks
only what follows its last pixel is whole. Where the machine fails and not the file (a disk, a network, memory, too many
open files), all ends: an image that counted as broken would stay an error of the model for ever.
"""

import errno
import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from topfive.data.tars import Packed
from topfive.errors import BadData, BadFile

MAX_PIXELS = 100_000_000
"""More than any camera frame; a header that claims more is an image bomb and is refused before a pixel is decoded."""

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
"""What Pillow may open (its JPEG includes MPO). Closed, since other readers start programs (EPS) or read no photos."""

IMAGE_ENDINGS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".gif", ".webp", ".bmp", ".tif", ".tiff"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif"}
)
"""File endings, in lower case, that make a file an image of a folder; what it holds is told by its content alone."""

OF_THE_FILE = frozenset({
    errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL,
})  # fmt: skip
"""What the system says of one file alone; whatever else it refuses to read for lies with the machine."""

UPRIGHT = {  # EXIF tag 274 -> the move that undoes it (CIPA DC-008, section 4.6.4)
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = (5, 6, 7, 8)  # those that exchange height and width


def decode(source: Path | Packed | bytes) -> Tensor:
    """The picture in a file, alone or in a tar, or in its bytes: uint8 (3, H, W), RGB, upright, by the colour rule.

    The tensor is a view with channels last in memory, which resizes faster; `.contiguous()` where planes are needed.
    Raises BadFile, which names the file and the reason, for whatever is not one whole image of at most MAX_PIXELS, and
    BadData where the machine failed and not the file.
    """
    where = _name(source)
    content = _read(source)
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check_size(where, image.size)
            image.load()  # before the orientation is asked for: TIFF turns itself upright here
            picture = _rgb(image)
            move = UPRIGHT.get(_orientation(image))
        return torch.from_numpy(np.array(picture if move is None else picture.transpose(move))).permute(2, 0, 1)
    except BadFile:
        raise
    except MemoryError as error:
        raise _no_memory(where) from error
    except Exception as error:  # Pillow's readers raise OSError, SyntaxError, ValueError, struct.error, KeyError, ...
        raise _unreadable(where, _reason(error, content)) from error


def shape(source: Path | Packed) -> tuple[int, int]:
    """(height, width) of the picture that `decode` gives, from the file's header alone: no pixel is decoded.

    Raises BadFile for what is not an image or claims more than MAX_PIXELS, and BadData as `decode` does; damage further
    on is not noticed here.
    """
    where = _name(source)
    try:
        with _opened(source) as file, Image.open(file, formats=FORMATS) as image:
            _check_size(where, image.size)
            width, height = image.size
            if image.format != "TIFF" and _orientation(image) in SIDEWAYS:  # Pillow gives a TIFF's size upright
                width, height = height, width
            return height, width
    except (BadData, BadFile):
        raise
    except MemoryError as error:
        raise _no_memory(where) from error
    except Exception as error:
        if isinstance(error, OSError):
            _check_machine(where, error)
        raise _unreadable(where, _reason(error, _read(source))) from error


def has_image_ending(name: str) -> bool:
    """Whether a file of that name counts as an image of a folder, whatever the case of its ending."""
    return os.path.splitext(name)[1].lower() in IMAGE_ENDINGS


def decoding_pool(workers: int | None = None) -> ThreadPoolExecutor:
    """Threads to decode in; Pillow decodes outside Python's lock. workers: how many, one a core when left out."""
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ThreadPoolExecutor(max(1, workers), thread_name_prefix="decode")


def _name(source: Path | Packed | bytes) -> str:
    return f"image of {len(source)} bytes" if isinstance(source, bytes) else str(source)


def _opened(source: Path | Packed) -> BinaryIO:
    if isinstance(source, Packed):
        return io.BytesIO(_read(source))
    _check_regular(source)
    return open(source, "rb")


def _read(source: Path | Packed | bytes) -> bytes:
    if isinstance(source, bytes):
        return source
    try:
        if isinstance(source, Path):
            _check_regular(source)
        return source.read_bytes()
    except OSError as error:
        _check_machine(str(source), error)
        raise BadFile(
            f"{source}: expected an image, could not read the file ({error.strerror or error}); check that it exists "
            "and that you may read it"
        ) from error


def _check_regular(path: Path) -> None:
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        raise _unreadable(str(path), "it is not a regular file")


def _check_machine(where: str, error: OSError) -> None:
    """BadData for what the system says of more than one file; Pillow's own errors have no number."""
    if error.errno is not None and error.errno not in OF_THE_FILE:
        raise BadData(
            f"{where}: could not be read ({error.strerror}), which lies with the machine and not with the image; mend "
            "that and begin again"
        ) from error


def _no_memory(where: str) -> BadData:
    return BadData(
        f"{where}: could not be decoded for lack of memory; free some, decode in fewer threads (--workers), or remove "
        "the image if it alone takes too much"
    )


def _unreadable(where: str, reason: str) -> BadFile:
    return BadFile(f"{where}: is not a readable image ({reason}); put a good copy in its place or remove it")


def _too_large(claim: str) -> str:
    return f"{claim}, and more than {MAX_PIXELS:,} px are not decoded"


def _reason(error: Exception, content: bytes) -> str:
    """What went wrong, in words for a person who has the file and not the traceback."""
    if not content:
        return "the file is empty"
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return _too_large("its header claims a huge picture")
    if isinstance(error, (UnidentifiedImageError, KeyError)):  # KeyError: an old Pillow does not know AVIF at all
        return f"its content, which begins with {content[:12]!r}, is damaged or of no known image format"
    return " ".join(str(error).split()) or type(error).__name__


def _check_size(where: str, size: tuple[int, int]) -> None:
    width, height = size
    if width * height == 0:
        raise _unreadable(where, f"it is {width} px wide and {height} px high")
    if width * height > MAX_PIXELS:
        raise _unreadable(where, _too_large(f"its header claims {width} x {height} px"))


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8. Cameras and editors write damaged EXIF around sound pixels: it counts as 1, upright."""
    try:
        return int(image.getexif().get(274, 1))
    except MemoryError:
        raise
    except Exception:
        return 1


def _rgb(image: Image.Image) -> Image.Image:
    """The colour rule of this module, for one decoded Pillow image."""
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return image.convert("RGB")


def _eight_bits(samples: NDArray[Any]) -> NDArray[np.uint8]:
    """Grey samples (H, W) wider than 8 bits -> uint8 (H, W)."""
    if samples.dtype.kind == "f":
        finite = np.nan_to_num(samples, nan=0.0)
        return np.asarray(np.rint(np.clip(finite * 255 if finite.max() <= 1 else finite, 0, 255)), dtype=np.uint8)
    if samples.dtype.itemsize > 2:  # Pillow's mode I: 32 bits, of which files fill 8 or 16
        samples = np.clip(samples, 0, 65535)
    wide = samples.dtype.itemsize == 2 or samples.max() > 255
    return np.asarray(samples >> 8 if wide else samples, dtype=np.uint8)
