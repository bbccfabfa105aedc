"""Bricks that two or more models share."""

from topfive.layers.activation import ACTIVATIONS, Maxout, activation
from topfive.layers.auxiliary import AuxiliaryClassifier, Leg, WithAuxiliary
from topfive.layers.classifier import Classifier
from topfive.layers.embedding import Centres, Embeddings
from topfive.layers.fully_connected import FullyConnectedEnd
from topfive.layers.inception import ConvUnit, Inception, Unit, chain, scaled_unit
from topfive.layers.init import init_he
from topfive.layers.linear import FullPrecisionLinear
from topfive.layers.lrn import LocalResponseNorm
from topfive.layers.normalize import LUMA, Normalize
from topfive.layers.precision import full_precision
from topfive.layers.recompute import Recomputed
from topfive.layers.residual import BasicBlock, Bottleneck, Option, ProjectionShortcut, ZeroPadShortcut, init_residual
from topfive.layers.squeeze_excite import SqueezeExcite
from topfive.layers.windows import flat_windows, windows

__all__ = [
    "ACTIVATIONS",
    "LUMA",
    "AuxiliaryClassifier",
    "BasicBlock",
    "Bottleneck",
    "Centres",
    "Classifier",
    "ConvUnit",
    "Embeddings",
    "FullPrecisionLinear",
    "FullyConnectedEnd",
    "Inception",
    "Leg",
    "LocalResponseNorm",
    "Maxout",
    "Normalize",
    "Option",
    "ProjectionShortcut",
    "Recomputed",
    "SqueezeExcite",
    "Unit",
    "WithAuxiliary",
    "ZeroPadShortcut",
    "activation",
    "chain",
    "flat_windows",
    "full_precision",
    "init_he",
    "init_residual",
    "scaled_unit",
    "windows",
]
