"""Thumbnails: pictures that the page carries in itself."""

import base64
import io
from typing import Any

from PIL import Image

SIDE = 96  # px, the longer one


def thumbnail(pixels: Any) -> str:
    """A small PNG of an (H, W, C) image as a data address for the page."""
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    picture.thumbnail((SIDE, SIDE))
    content = io.BytesIO()
    picture.save(content, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
