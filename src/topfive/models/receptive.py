"""Receptive fields: how many pixels of the image, along a side, one number of a layer's output depends on.

After a window of size k that strides by s, a field of r px whose neighbours lie j px apart becomes r + (k - 1) j, and
its neighbours lie s j apart (Simonyan, Zisserman 2014, sec. 2.3, count so). Where branches meet, the largest counts.
"""

from typing import Any, NamedTuple

from torch import fx, nn

from topfive.features import Hog
from topfive.layers import Classifier
from topfive.models.coded import Channel
from topfive.models.graph import leaf, leaf_graph, leaf_name
from topfive.models.hog_svm import KernelHog

WHOLE = (
    nn.Linear,
    nn.Flatten,
    nn.AdaptiveMaxPool2d,
    nn.AdaptiveAvgPool2d,
    Hog,
    KernelHog,
    Channel,
)  # see everything that is given


class Field(NamedTuple):
    """Of one layer: px along (height, width), and the px that neighbours lie apart."""

    size: tuple[int, int]
    step: tuple[int, int]


def receptive_fields(classifier: Classifier) -> dict[str, tuple[int, int]]:
    """Layer -> (height, width), px, for all layers of `body` that see a part of the image; padding counts as image.

    >>> from topfive.models import build
    >>> receptive_fields(build("vgg11"))["conv5.4"]
    (150, 150)
    """
    fields: dict[fx.Node, Field | None] = {}  # None: the whole image
    named: dict[str, tuple[int, int]] = {}
    for node in leaf_graph(classifier).nodes:
        seen = [fields[source] for source in node.all_input_nodes if source in fields]
        if node.op != "placeholder" and not seen:
            continue  # a constant
        field = Field((1, 1), (1, 1)) if node.op == "placeholder" else _largest(seen)
        if node.op == "call_module" and field is not None:
            field = _after(leaf(classifier, node), field)
            if field is not None:
                named[leaf_name(node)] = field.size
        elif node.op == "call_method" and node.target in ("mean", "flatten"):
            field = None  # it sees everything from here on
        fields[node] = field
    return named


def _after(module: nn.Module, field: Field) -> Field | None:
    if isinstance(module, WHOLE):
        return None
    kernel, stride = (_pair(getattr(module, key, 1)) for key in ("kernel_size", "stride"))
    size = tuple(size + (k - 1) * step for size, k, step in zip(field.size, kernel, field.step, strict=True))
    step = tuple(step * s for step, s in zip(field.step, stride, strict=True))
    return Field((size[0], size[1]), (step[0], step[1]))


def _largest(fields: list[Field | None]) -> Field | None:
    known = [field for field in fields if field is not None]
    if len(known) < len(fields):
        return None
    high, wide = (max(field.size[axis] for field in known) for axis in (0, 1))
    return Field((high, wide), known[0].step)


def _pair(value: Any) -> tuple[int, int]:
    return (value[0], value[1]) if isinstance(value, tuple) else (value, value)
