"""The stages of a hand-made system in the order that an image goes through them: dimensions, numbers, bytes."""

from dataclasses import dataclass

from torch import nn

from topfive.features import Hog
from topfive.models.coded import Channel, CodedSvm, places_of
from topfive.models.hog_svm import KernelHog

FLOAT = 4  # bytes of a number


@dataclass(frozen=True)
class Stage:
    """What one stage gives of an image, and what it has learned.

    output: rows and columns: descriptors and their numbers, regions and theirs, or of a vector 1 and its length.
    learned: numbers that a fit gives it, weights and biases of the SVM.
    """

    name: str
    op: str
    output: tuple[int, int]
    learned: int

    @property
    def numbers(self) -> int:
        """How many it gives of an image."""
        return self.output[0] * self.output[1]

    @property
    def bytes(self) -> int:
        """Of what it gives of an image, in float32."""
        return FLOAT * self.numbers

    @property
    def learned_bytes(self) -> int:
        """Of what it has learned, in float32."""
        return FLOAT * self.learned


def stages_of(machine: CodedSvm, image: int) -> list[Stage]:
    """The stages of a system for images of that side, those of a channel side by side. It may be on the meta device."""
    found = [stage for name, part in machine.channels.items() for stage in _channel(name, part, image)]
    return [*found, Stage("svm", "linear SVMs", (1, machine.svm.out_features), _learned(machine.svm))]


def _channel(name: str, part: nn.Module, image: int) -> list[Stage]:
    if isinstance(part, Channel):
        describe, project, code = part.describe, part.project, part.code
        number = len(places_of(describe, image))
        seen = code.dimensions if project is None else project.basis.shape[0]
        stages = [Stage(f"{name}.describe", _said(describe), (number, seen), _learned(describe))]
        if project is not None:
            stages.append(Stage(f"{name}.project", "Projection", (number, code.dimensions), _learned(project)))
        regions = len(part.regions.counts)
        return [*stages, Stage(f"{name}.code", f"{type(code).__name__}, {regions} regions", (regions, code.length),
                               _learned(code))]  # fmt: skip
    hog = part.describe if isinstance(part, KernelHog) else part
    assert isinstance(hog, Hog)
    stages = [Stage(f"{name}.describe", _said(hog), (1, hog.length(image, image)), 0)]
    if isinstance(part, KernelHog):
        compare = part.compare
        stages.append(Stage(f"{name}.compare", _said(compare), (1, len(compare.turn)), _learned(compare)))
    return stages


def _said(part: nn.Module) -> str:
    return f"{type(part).__name__}({part.extra_repr()})"


def _learned(part: nn.Module) -> int:
    return sum(tensor.numel() for tensor in part.state_dict().values())
