"""Activations by name, for the networks in which they are compared."""

from collections.abc import Callable

from torch import Tensor, nn

from topfive.errors import look_up


class Maxout(nn.Module):
    """The greatest of each `pieces` neighbouring maps or units: Goodfellow et al. 2013, arXiv:1302.4389, sec. 3."""

    def __init__(self, pieces: int = 2) -> None:
        super().__init__()
        self.pieces = pieces

    def forward(self, states: Tensor) -> Tensor:
        """states: (N, C * pieces, ...). Returns (N, C, ...)."""
        return states.view(len(states), -1, self.pieces, *states.shape[2:]).amax(2)

    def extra_repr(self) -> str:
        """For print(network)."""
        return f"pieces={self.pieces}"


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "maxout": Maxout,
}


def activation(name: str) -> tuple[nn.Module, int]:
    """A new activation, and how many inputs it wants for each output. Raises UnknownName."""
    made = look_up(name, ACTIVATIONS, kind="activation")()
    return made, made.pieces if isinstance(made, Maxout) else 1
