"""Networks that torchvision has too: with its weights they give its scores (in evaluation, float32)."""

import importlib
import re

import pytest
import torch
from torch import nn

from topfive.models import ZOO, build


@pytest.fixture(scope="module")
def theirs():
    """`torchvision.models`; two operators, which its wheel lacks beside the CPU's torch, are declared first."""
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    pytest.importorskip("torchvision", reason="torchvision is not installed; `make test` installs it")
    yield importlib.import_module("torchvision.models")
    del library


def residual(key):
    """Our name of a residual net's tensor -> torchvision's."""
    found = re.match(r"conv(\d)_x\.(\d+)\.(.*)", key)
    if found is None:
        return key
    stage, block, rest = found.groups()
    return f"layer{int(stage) - 1}.{block}.{rest.replace('shortcut', 'downsample')}"


@pytest.mark.parametrize(
    ("name", "peer", "rename"),
    [
        ("alexnet_owt", "alexnet", None), ("vgg11", "vgg11", None), ("vgg11_bn", "vgg11_bn", None),
        ("resnet18_b", "resnet18", residual), ("resnet34_b", "resnet34", residual),
        ("resnet50_v1_5", "resnet50", residual), ("resnext50_32x4d", "resnext50_32x4d", residual),
        ("googlenet_torchvision", "googlenet", None), ("inception_v3", "inception_v3", None),
    ],
)  # fmt: skip
def test_their_weights_give_their_scores(theirs, name, peer, rename):
    """rename: our key -> theirs; without it both hold the same tensors in the same order."""
    torch.manual_seed(0)
    quickly = {"init_weights": False} if name in ("googlenet_torchvision", "inception_v3") else {}
    ours, other = build(name, 10).eval(), getattr(theirs, peer)(weights=None, num_classes=10, **quickly).eval()
    for part in other.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean, std=0.1)
            nn.init.uniform_(part.running_var, 0.5, 1.5)
    keys, weights = [key for key in ours.state_dict() if not key.startswith("normalize.")], other.state_dict()
    pairs = {key: rename(key) for key in keys} if rename else dict(zip(keys, weights, strict=True))
    assert set(pairs.values()) == set(weights)
    ours.load_state_dict({**ours.state_dict(), **{mine: weights[theirs] for mine, theirs in pairs.items()}})
    images = torch.rand(2, 3, ZOO[name].image, ZOO[name].image)
    with torch.no_grad():
        assert torch.allclose(ours(images), other(images), rtol=1e-4, atol=1e-4)
