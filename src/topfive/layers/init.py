"""First weights that keep a signal's size: He, Zhang, Ren, Sun 2015, arXiv:1502.01852, eq. 10."""

from collections.abc import Iterable

from torch import nn


def init_he(layers: Iterable[nn.Conv2d | nn.Linear]) -> None:
    """Draw weights from N(0, 2 / fan_in), by torch's global generator, and set biases to 0."""
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
