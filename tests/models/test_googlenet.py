import pytest
import torch
from torch import nn
from torch.nn import functional as F

from topfive.errors import BadShape
from topfive.layers import LocalResponseNorm, WithAuxiliary
from topfive.models import ZOO, build, count

WITH_AUXILIARY = ["googlenet_small", "googlenet_torchvision", "inception_v3"]


@pytest.mark.parametrize("name", WITH_AUXILIARY)
def test_auxiliary_classifiers_speak_in_training_only(name):
    torch.manual_seed(0)
    net, side = build(name, classes=4), ZOO[name].image
    images = torch.rand(2, 3, side, side)
    output = net(images)
    assert isinstance(output, WithAuxiliary)
    assert output.weight == (0.4 if name == "inception_v3" else 0.3)
    assert [scores.shape for scores in output.auxiliary] == [(2, 4)] * (1 if name == "inception_v3" else 2)
    assert net.eval()(images).shape == (2, 4)
    assert build(name, classes=4, auxiliary=False)(images).shape == (2, 4)


def test_auxiliary_losses_reach_the_lower_modules_alone():
    torch.manual_seed(0)
    net = build("googlenet_small", classes=4)
    first, second = net(torch.rand(2, 3, 32, 32)).auxiliary
    first.sum().backward(retain_graph=True)
    assert net.inception4a.one.conv.weight.grad.abs().sum() > 0
    assert net.inception4bcd[0].one.conv.weight.grad is None
    second.sum().backward()
    assert net.inception4bcd[0].one.conv.weight.grad.abs().sum() > 0
    assert net.inception4e.one.conv.weight.grad is None


@pytest.mark.parametrize(
    ("name", "side", "meant"),
    [("googlenet_small", 48, "32 px"), ("googlenet", 128, "224 px"), ("inception_v3", 160, "at least 299 px")],
)
def test_in_training_sides_that_auxiliary_classifiers_cannot_take_are_refused(name, side, meant):
    net, images = build(name, 4), torch.zeros(2, 3, side, side)
    with pytest.raises(BadShape, match=f"{name}: in training images must have sides of {meant}"):
        net.train()(images)
    with torch.no_grad():
        assert net.eval()(images).shape == (2, 4)


def test_an_inception_module_is_fig_2_b():
    torch.manual_seed(0)
    module = build("googlenet").inception3[0]
    maps = torch.randn(1, 192, 8, 8)

    def conv(unit, x):
        return F.conv2d(x, unit.conv.weight, unit.conv.bias, padding=unit.conv.kernel_size[0] // 2).relu()

    by_hand = [
        conv(module.one, maps),
        conv(module.three[1], conv(module.three[0], maps)),
        conv(module.five[1], conv(module.five[0], maps)),
        conv(module.pool[1], F.max_pool2d(maps, 3, 1, 1)),
    ]
    assert torch.allclose(module(maps), torch.cat(by_hand, 1), atol=1e-5)


def test_the_papers_form_has_lrn_biases_and_5x5_and_torchvisions_has_not():
    paper, port = build("googlenet"), build("googlenet_torchvision")
    assert sum(isinstance(part, LocalResponseNorm) for part in paper.modules()) == 2
    assert not any(isinstance(part, nn.BatchNorm2d) for part in paper.modules())
    assert all(part.bias is not None for part in paper.modules() if isinstance(part, nn.Conv2d))
    assert any(row.kernel == 5 for row in count("googlenet") if row.op == "conv")
    assert not any(isinstance(part, LocalResponseNorm) for part in port.modules())
    assert not any(row.kernel == 5 for row in count("googlenet_torchvision") if row.op == "conv")


@pytest.mark.parametrize("name", ["googlenet_small", "bn_inception_small"])
@pytest.mark.parametrize(("image", "side"), [(32, 32), (48, 24), (64, 32), (96, 32)])
def test_small_forms_keep_their_first_maps_near_32_px(name, image, side):
    rows = {row.name: row for row in count(name, image=image)}
    assert rows["conv1.conv"].output == (16, side, side)
    assert rows["conv2.1.conv"].output == (48, side, side)


def test_the_small_inception_v3_works_on_16_7_and_3_px():
    rows = {row.name: row for row in count("inception_v3_small")}
    assert rows["mixed5.0.one.conv"].output == (16, 16, 16)
    assert rows["mixed6.0.one.conv"].output == (48, 7, 7)
    assert rows["mixed7.0.one.conv"].output == (80, 3, 3)


def test_the_last_block_of_inception_resnet_is_neither_scaled_nor_rectified():
    torch.manual_seed(0)
    net = build("inception_resnet_v2_small").eval()
    maps = torch.randn(1, 520, 3, 3)
    for block, scale in zip(net.blocks8, (0.2, 1.0), strict=True):
        total = maps + scale * F.conv2d(block.branches(maps), block.up.weight, block.up.bias)
        assert torch.allclose(block(maps), total.relu() if scale == 0.2 else total, atol=1e-5)
