"""What the systems before 2012 share: local descriptors, a code of them, and one linear SVM for each class.

A channel describes the patches of an image in one way and codes them over the regions of a pyramid. A system has one
channel or several; its last layer sees all codes in a row. What a channel has learned (projection, words, mixture) lies
in buffers, which the stages of a recipe fit one by one, and then the `svm` stage fits the last layer.
"""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from topfive.features.pyramid import Code, Grid, regions_of
from topfive.layers import LUMA, Classifier, FullPrecisionLinear, full_precision

MICRO = 4_000_000  # numbers that are held for a few images at a time, 16 MB: about what a processor keeps close


class Projection(nn.Module):
    """Principal components: (..., D) -> (..., d). centre (D,), basis (D, d): fitted before they are used."""

    centre: Tensor
    basis: Tensor

    def __init__(self, dimensions: int, kept: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(dimensions))
        self.register_buffer("basis", torch.eye(dimensions, kept))

    def forward(self, descriptors: Tensor) -> Tensor:
        """(..., D) -> (..., d)."""
        projected: Tensor = (descriptors - self.centre) @ self.basis
        return projected


@runtime_checkable
class Describes(Protocol):
    """Images (N, C, H, W) -> descriptors (N, M, D) of patches at `places`."""

    def places(self, height: int, width: int) -> Tensor:
        """The middles of the patches as shares of the image's sides: (M, 2), down and right."""
        ...


class Channel(nn.Module):
    """One kind of descriptor and its code: images (N, 3, side, side) in [0, 1] -> (N, length).

    describe: the descriptor, of grey images unless `colour`. code: of what it gives, or of its projection. grids: of
    the pyramid. side: of the images, px.
    """

    def __init__(
        self, describe: nn.Module, code: Code, grids: tuple[Grid, ...], side: int, *, colour: bool = False,
        project: Projection | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.describe, self.project, self.code, self.colour, self.grids = describe, project, code, colour, grids
        with torch.device("cpu"):  # also where the rest is built without numbers, to be counted
            regions = regions_of(places_of(describe, side), grids)
        self.regions = regions.to(torch.get_default_device())
        self.length = len(self.regions.counts) * code.length
        learned = max(code.buffers(), key=lambda part: part.numel())  # words (K, D), or the means of a mixture
        self.held = len(learned) + 2 * learned.shape[1]  # numbers that are held for a descriptor while it is coded

    def descriptors(self, images: Tensor) -> Tensor:
        """Not yet projected: (N, 3, side, side) -> (N, M, D)."""
        found: Tensor = self.describe(images if self.colour else self.grey(images))
        return found

    @staticmethod
    def grey(images: Tensor) -> Tensor:
        """(N, 3, side, side) -> (N, 1, side, side)."""
        luma = torch.tensor(LUMA, dtype=images.dtype, device=images.device).view(1, 3, 1, 1)
        return (images * luma).sum(1, keepdim=True)

    def projected(self, descriptors: Tensor) -> Tensor:
        """What the code sees: (N, M, D) -> (N, M, d)."""
        found: Tensor = descriptors if self.project is None else self.project(descriptors)
        return found

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, side, side) -> (N, length), in float32, a few images at a time."""
        with full_precision(images.device):
            if torch.compiler.is_compiling():  # a graph is of one batch of any size
                return self.coded(images.float())
            few = max(1, MICRO // max(1, len(self.regions.order) * self.held))
            return torch.cat([self.coded(part.float()) for part in torch.split(images, few)])

    def coded(self, images: Tensor) -> Tensor:
        """(N, 3, side, side) -> (N, length), all images at once."""
        codes: Tensor = self.code(self.projected(self.descriptors(images)), self.regions)
        return codes


def places_of(describe: nn.Module, side: int) -> Tensor:
    """Where a descriptor's patches lie in images of that side."""
    assert isinstance(describe, Describes)
    return describe.places(side, side)


class CodedSvm(Classifier):
    """Channels of codes to one-vs-rest margins.

    The SVM starts at 0 and is fitted by solver, not by gradient descent; `sharpness` scales its margins so that
    softmax(scores) is a probability, and is chosen after the fit. `normalize` stays the identity.
    """

    head = "svm"
    sharpness: Tensor

    def __init__(self, name: str, classes: int, image: int, channels: dict[str, nn.Module], length: int) -> None:
        super().__init__(name, image)
        self.channels = nn.ModuleDict(channels)
        self.svm = FullPrecisionLinear(length, classes)
        nn.init.zeros_(self.svm.weight)
        nn.init.zeros_(self.svm.bias)
        self.register_buffer("sharpness", torch.ones(()))

    def body(self, maps: Tensor) -> Tensor:
        """The codes of all channels in a row: (N, 3, image, image) -> (N, length)."""
        return torch.cat([channel(maps) for channel in self.channels.values()], 1)

    def score(self, features: Tensor) -> Tensor:
        """Margins times sharpness (N, classes), float32, of codes (N, length)."""
        return super().score(features) * self.sharpness


def coded(name: str, classes: int, image: int, channels: dict[str, Channel]) -> CodedSvm:
    """The system with these channels."""
    return CodedSvm(name, classes, image, dict(channels), sum(channel.length for channel in channels.values()))
