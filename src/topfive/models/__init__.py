"""Classifiers, one file a paper; the cards of all entries; their counts."""

from topfive.layers import Classifier
from topfive.models.card import Card
from topfive.models.count import Layer, count, count_layers, total
from topfive.models.modelfile import Guess, Model, load, save
from topfive.models.zoo import ZOO, build

__all__ = [
    "ZOO",
    "Card",
    "Classifier",
    "Guess",
    "Layer",
    "Model",
    "build",
    "count",
    "count_layers",
    "load",
    "save",
    "total",
]
