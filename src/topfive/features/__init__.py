"""Descriptors and codes of images, as tensor modules."""

from topfive.features.hog import Hog

__all__ = ["Hog"]
