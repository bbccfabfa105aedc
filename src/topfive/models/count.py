"""Parameters and multiply-accumulates, layer by layer, without touching a weight.

Conventions: `params` are trainable numbers; batch normalization counts 2 a map (scale and shift), its running
statistics none; fixed codes none. `macs` are the weight multiplications of convolutions and fully connected layers for
one image: no bias, normalization, pooling, activation or sum. One MAC is what most papers call a FLOP.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from topfive.features import ColourStatistics, DenseSift, Hog, KeypointSift, WhitenedPatches
from topfive.layers import Centres, LocalResponseNorm, Normalize, ZeroPadShortcut
from topfive.models.card import Mode
from topfive.models.facenet import L2Pool2d
from topfive.models.lenet5 import RadialBasis, SubSampling, TableConv2d
from topfive.models.zoo import ZOO, build

OPS: dict[type[nn.Module], str] = {
    Normalize: "normalize",
    nn.Conv2d: "conv",
    TableConv2d: "conv",
    nn.Linear: "fc",
    nn.BatchNorm2d: "bn",
    LocalResponseNorm: "lrn",
    nn.MaxPool2d: "maxpool",
    nn.AvgPool2d: "avgpool",
    L2Pool2d: "l2pool",
    SubSampling: "trainable_avgpool",
    ZeroPadShortcut: "identity_zero_pad",
    nn.Dropout: "dropout",
    nn.Identity: "identity",
    Hog: "hog",
    DenseSift: "sift",
    KeypointSift: "sift",
    ColourStatistics: "colour",
    WhitenedPatches: "patches",
    RadialBasis: "rbf_fixed",
    Centres: "centres",
}


Side = int | tuple[int, int] | None


@dataclass(frozen=True)
class Layer:
    """One row: a leaf module in the order of the forward pass.

    output: (C, H, W), with H = W = 1 for a vector. kernel, stride, padding: px on the layer's input, one number, or
    (height, width) where these differ; None where there is no window. params = weights + biases.
    """

    name: str
    op: str
    output: tuple[int, int, int]
    kernel: Side
    stride: Side
    padding: Side
    weights: int
    biases: int
    macs: int

    @property
    def params(self) -> int:
        """Trainable numbers of this layer."""
        return self.weights + self.biases


def count_layers(
    module: nn.Module, image_shape: tuple[int, int, int] = (3, 224, 224), mode: Mode = "judging"
) -> list[Layer]:
    """One row for each leaf module that a forward pass of an image (C, H, W) calls, in order.

    mode: as it judges, or as it trains. Runs on the meta device: no arithmetic, no copy of the weights; the module is
    left as it was.
    """
    rows: list[Layer] = []
    training = {part: part.training for part in module.modules()}
    hooks = [
        part.register_forward_hook(row_hook(name, rows))
        for name, part in module.named_modules()
        if not any(True for _ in part.children())
    ]
    tensors = {name: held.to("meta") for name, held in [*module.named_parameters(), *module.named_buffers()]}
    try:
        module.train(mode == "training")
        # Batch normalization of a single value is refused in training; hand-made entries go through two one by one.
        images = 2 if mode == "training" else 1
        functional_call(module, tensors, torch.empty(images, *image_shape, device="meta"))
    finally:
        for hook in hooks:
            hook.remove()
        for part, was_training in training.items():
            part.training = was_training
    return rows


def row_hook(name: str, rows: list[Layer]) -> Callable[[nn.Module, Any, Tensor], None]:
    """A forward hook that appends the row of the module called `name`."""

    def append(part: nn.Module, _inputs: Any, output: Tensor) -> None:
        op = next((op for kind, op in OPS.items() if isinstance(part, kind)), type(part).__name__.lower())
        sizes = dict(part.named_parameters())
        weights, biases = (sizes[key].numel() if key in sizes else 0 for key in ("weight", "bias"))
        channels, height, width = (*output.shape[1:], 1, 1)[:3]
        rows.append(
            Layer(
                name,
                op,
                (channels, height, width),
                side(part, "kernel_size"),
                side(part, "stride"),
                side(part, "padding"),
                weights,
                biases,
                macs=weights * height * width if op in ("conv", "fc") else 0,  # each weight once at each position
            )
        )

    return append


def side(part: nn.Module, attribute: str) -> Side:
    """kernel_size, stride or padding as one number where both sides are alike, or None where the module has none."""
    value: Side = getattr(part, attribute, None)
    return value[0] if isinstance(value, tuple) and value[0] == value[1] else value


def total(layers: list[Layer]) -> Layer:
    """The sums of all rows, as a row named TOTAL whose output is that of the last layer."""
    weights, biases, macs = (sum(getattr(layer, key) for layer in layers) for key in ("weights", "biases", "macs"))
    return Layer("TOTAL", "total", layers[-1].output, None, None, None, weights, biases, macs)


def count(name: str, classes: int | None = None, **arguments: Any) -> list[Layer]:
    """The rows of entry `name`, built with `arguments` on the meta device, for crops of its `image` side.

    >>> total(count("lenet5")).params
    60000
    """
    with torch.device("meta"):
        module = build(name, classes, **arguments)
    image = arguments.get("image", ZOO[name].image)
    return count_layers(module, (3, image, image), ZOO[name].counted)
