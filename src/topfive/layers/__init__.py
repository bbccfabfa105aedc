"""Bricks that two or more models share."""

from topfive.layers.init import init_he
from topfive.layers.linear import FullPrecisionLinear
from topfive.layers.lrn import LocalResponseNorm
from topfive.layers.normalize import Normalize
from topfive.layers.precision import full_precision
from topfive.layers.residual import BasicBlock, init_residual
from topfive.layers.shape import check_images

__all__ = [
    "BasicBlock",
    "FullPrecisionLinear",
    "LocalResponseNorm",
    "Normalize",
    "check_images",
    "full_precision",
    "init_he",
    "init_residual",
]
