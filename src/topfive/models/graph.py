"""The body of a network as a graph of its smallest modules: who gets what from whom."""

from typing import Any

from torch import fx, nn

from topfive.layers import Classifier
from topfive.models.coded import Channel
from topfive.models.hog_svm import KernelHog

PREFIX = "classifier."


def leaf_graph(classifier: Classifier) -> fx.Graph:
    """Traced without an image; modules that have no children are nodes, everything else is seen through."""
    return _Leaves().trace(_Body(classifier))


def leaf_name(node: fx.Node) -> str:
    """What a network calls the module of a node."""
    return str(node.target).removeprefix(PREFIX)


def leaf(classifier: Classifier, node: fx.Node) -> nn.Module:
    """The module of a node."""
    return classifier.get_submodule(leaf_name(node))


class _Body(nn.Module):
    """`body` as a forward pass; the checks before it cannot be traced and see no pixels."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, maps: Any) -> Any:
        return self.classifier.body(maps)


class _Leaves(fx.Tracer):
    """Traces down to modules without children, and to channels of codes, which are no network."""

    def is_leaf_module(self, module: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(module, Channel | KernelHog) or not any(True for _ in module.children())
