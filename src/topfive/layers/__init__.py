"""Bricks that two or more models share."""

from topfive.layers.classifier import Classifier
from topfive.layers.init import init_he
from topfive.layers.linear import FullPrecisionLinear
from topfive.layers.lrn import LocalResponseNorm
from topfive.layers.normalize import Normalize
from topfive.layers.precision import full_precision
from topfive.layers.residual import BasicBlock, Bottleneck, Option, ProjectionShortcut, ZeroPadShortcut, init_residual
from topfive.layers.squeeze_excite import SqueezeExcite

__all__ = [
    "BasicBlock",
    "Bottleneck",
    "Classifier",
    "FullPrecisionLinear",
    "LocalResponseNorm",
    "Normalize",
    "Option",
    "ProjectionShortcut",
    "SqueezeExcite",
    "ZeroPadShortcut",
    "full_precision",
    "init_he",
    "init_residual",
]
