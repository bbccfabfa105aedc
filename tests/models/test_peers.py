"""Networks that torchvision or timm has too: with its weights they give its scores (in evaluation, float32)."""

import importlib

import pytest
import torch
from torch import nn

from topfive.models import ZOO, build
from topfive.models.foreign import fill, match

TIMMS = {  # in what timm's differ from ours unless asked
    "se_resnet50": {"ceil_pool": True}, "se_resnext50_32x4d": {"ceil_pool": True},
    "mobilenet_v1_1.0_224": {"relu6": True},
}  # fmt: skip
INSTALLS = "is not installed; `make test` installs it"


@pytest.fixture(scope="module")
def operators():
    """Two operators that torchvision's wheel lacks beside the CPU's torch, declared."""
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    yield
    del library


@pytest.fixture(scope="module")
def torchvision(operators):
    """A network of torchvision's by its name."""
    pytest.importorskip("torchvision", reason=f"torchvision {INSTALLS}")
    models = importlib.import_module("torchvision.models")
    return lambda name, **given: getattr(models, name)(weights=None, num_classes=10, **given)


@pytest.fixture(scope="module")
def timm(torchvision):
    """A network of timm's by its name."""
    timm = pytest.importorskip("timm", reason=f"timm {INSTALLS}")
    return lambda name: timm.create_model(name, pretrained=False, num_classes=10)


def compare(name, other, **arguments):
    """Ours gets the other's weights, normalizations that do something included; both see the same images.

    Its arrays are found in the order of their names too, as a safetensors file holds them.
    """
    for part in other.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean, std=0.1)
            nn.init.uniform_(part.running_var, 0.5, 1.5)
            if name.startswith("mobilenet"):  # beyond 6, where its rectifier ends
                nn.init.uniform_(part.weight, 1, 8)
    ours, theirs = build(name, 10, **arguments).eval(), other.eval()
    weights = {key: value for key, value in theirs.state_dict().items() if not key.endswith("num_batches_tracked")}
    matching = match(ours, weights, name)
    assert dict(match(ours, dict(sorted(weights.items())), name).pairs) == dict(matching.pairs)
    fill(ours, weights, matching)
    images = torch.rand(2, 3, ZOO[name].image, ZOO[name].image)
    with torch.no_grad():
        expected, scores = theirs(images), ours(images)
    scale = max(1.0, expected.abs().max().item())  # untrained, the deepest nets' scores are of thousands
    assert expected.std() > 1e-3
    assert (scores - expected).abs().max() <= 1e-4 * scale


@pytest.mark.parametrize(
    ("name", "peer"),
    [
        ("alexnet_owt", "alexnet"), ("vgg11", "vgg11"), ("vgg11_bn", "vgg11_bn"), ("vgg16", "vgg16"),
        ("resnet18_b", "resnet18"), ("resnet34_b", "resnet34"), ("resnet50_v1_5", "resnet50"),
        ("resnet101_v1_5", "resnet101"), ("resnext50_32x4d", "resnext50_32x4d"),
        ("googlenet_torchvision", "googlenet"), ("inception_v3", "inception_v3"),
    ],
)  # fmt: skip
def test_torchvisions_weights_give_its_scores(torchvision, name, peer):
    torch.manual_seed(0)
    quickly = {"init_weights": False} if peer in ("googlenet", "inception_v3") else {}
    compare(name, torchvision(peer, **quickly))


@pytest.mark.parametrize(
    ("name", "peer"),
    [
        ("vgg13", "vgg13"), ("vgg16_bn", "vgg16_bn"), ("resnet50_v1_5", "resnet50"),
        ("resnext101_32x8d", "resnext101_32x8d"), ("resnext101_64x4d", "resnext101_64x4d"),
        ("se_resnet50", "legacy_seresnet50"), ("se_resnext50_32x4d", "legacy_seresnext50_32x4d"),
        ("senet154", "legacy_senet154"), ("inception_resnet_v2", "inception_resnet_v2"),
        ("mobilenet_v1_1.0_224", "mobilenetv1_100"),
    ],
)  # fmt: skip
def test_timms_weights_give_its_scores(timm, name, peer):
    torch.manual_seed(0)
    compare(name, timm(peer), **TIMMS.get(name, {}))
