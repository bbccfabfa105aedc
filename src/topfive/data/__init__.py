"""Images on disk -> batches: what is in a folder, how a file becomes a picture, and which are broken."""

from topfive.data.decode import decode
from topfive.data.faults import find_broken
from topfive.data.imageset import Broken, ClassLabel, ImageSet, Split
from topfive.data.layouts import open_data

__all__ = ["Broken", "ClassLabel", "ImageSet", "Split", "decode", "find_broken", "open_data"]
