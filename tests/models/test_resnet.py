import pytest
import torch
from torch import nn

from topfive.errors import BadShape
from topfive.layers import BasicBlock, ZeroPadShortcut
from topfive.models import build, count
from topfive.models.cifar_resnet import CifarResNet

# n, depth, params, macs: the paper's Table 6 by facts/layers/cifar_resnet_table.csv
TABLE_6 = [(3, 20, 269_722), (5, 32, 464_154), (7, 44, 658_586), (9, 56, 853_018), (18, 110, 1_727_962)]


@pytest.mark.parametrize(("n", "depth", "params"), TABLE_6)
def test_6n_plus_2_layers(n, depth, params):
    with torch.device("meta"):
        net = CifarResNet("net", 10, 32, n=n, option="A")
    assert sum(p.numel() for p in net.parameters()) == params
    assert sum(isinstance(part, nn.Conv2d | nn.Linear) for part in net.modules()) == depth == 6 * n + 2


def test_option_a_takes_every_second_pixel_and_adds_empty_maps():
    maps = torch.arange(32.0).view(1, 2, 4, 4)
    short = ZeroPadShortcut(2, 5, 2)(maps)
    assert short[0, 0].tolist() == [[0.0, 2.0], [8.0, 10.0]]
    assert short[0, 1].tolist() == [[16.0, 18.0], [24.0, 26.0]]
    assert short[0, 2:].abs().sum() == 0
    assert short.shape == (1, 5, 2, 2)


def test_a_block_whose_branch_is_silent_is_its_shortcut():
    block = BasicBlock(4, 4, 1, "B").eval()
    nn.init.zeros_(block.bn2.weight)
    maps = torch.randn(2, 4, 6, 6)
    assert torch.equal(block(maps), maps.relu())


def test_a_block_is_eq_1_with_the_order_of_fig_2():
    torch.manual_seed(0)
    block = BasicBlock(3, 5, 2, "A")
    maps = torch.randn(4, 3, 8, 8)

    def normal(x):
        centred = x - x.mean((0, 2, 3), keepdim=True)
        return centred / (x.var((0, 2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()

    branch = nn.functional.conv2d(maps, block.conv1.weight, stride=2, padding=1)
    branch = normal(nn.functional.conv2d(normal(branch).clamp(min=0), block.conv2.weight, padding=1))
    short = torch.cat([maps[:, :, ::2, ::2], torch.zeros(4, 2, 4, 4)], 1)
    assert torch.allclose(block(maps), (branch + short).clamp(min=0), atol=1e-5)


@pytest.mark.parametrize("name", ["cifar_resnet20", "resnet18_b_small", "resnet18_b"])
def test_first_weights_are_he(name):
    torch.manual_seed(0)
    net = build(name, 20)
    for part in net.modules():
        if isinstance(part, nn.Conv2d):
            fan_in = part.weight[0].numel()
            assert part.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.12)
        if isinstance(part, nn.BatchNorm2d):
            assert part.weight.unique().tolist() == [1.0]
    assert net.fc.weight.std().item() == pytest.approx(0.01, rel=0.1)


def test_signals_keep_their_size_through_the_paper_net():
    torch.manual_seed(0)
    with torch.no_grad():
        features = build("cifar_resnet20").features(torch.randn(8, 3, 32, 32))
    assert 0.1 < features.std().item() < 10


@pytest.mark.parametrize(("height", "width"), [(16, 16), (20, 32), (64, 48)])
def test_cifar_resnet_takes_every_multiple_of_4(height, width):
    net, seen = build("cifar_resnet20").eval(), []
    net.stage3.register_forward_hook(lambda _module, _inputs, maps: seen.append(tuple(maps.shape)))
    net(torch.rand(1, 3, height, width))
    assert seen == [(1, 64, height // 4, width // 4)]


def test_cifar_resnet_refuses_other_sides():
    with pytest.raises(BadShape, match=r"cifar_resnet20: image sides must be at least 16 px and a multiple of 4, got"):
        build("cifar_resnet20")(torch.rand(1, 3, 30, 32))


def test_only_shape_changes_are_projected():
    with torch.device("meta"):
        net = build("resnet18_b")
    projected = [name for name, part in net.named_modules() if name.endswith("shortcut") and list(part.children())]
    assert projected == ["conv3_x.0.shortcut", "conv4_x.0.shortcut", "conv5_x.0.shortcut"]


@pytest.mark.parametrize(("image", "side"), [(32, 32), (48, 24), (64, 32), (96, 32)])
def test_small_form_keeps_its_first_stage_near_32_px(image, side):
    rows = {row.name: row for row in count("resnet18_b_small", image=image)}
    assert rows["conv1"].output == (32, side, side)
    assert rows["conv2_x.1.conv2"].output == (32, side, side)
    assert rows["conv5_x.1.conv2"].output == (256, side // 8, side // 8)


def test_resnet18_takes_every_image_from_32_px():
    net, seen = build("resnet18_b_small").eval(), []
    net.conv5_x.register_forward_hook(lambda _module, _inputs, maps: seen.append((maps.shape[2:], maps.mean((2, 3)))))
    features = net.features(torch.rand(1, 3, 40, 72))
    assert seen[0][0] == (5, 9)
    assert torch.equal(features, seen[0][1])
    with pytest.raises(BadShape, match="resnet18_b_small: image sides must be at least 32 px"):
        net(torch.rand(1, 3, 24, 32))


@pytest.mark.parametrize(("option", "projected"), [("A", 0), ("B", 4), ("C", 16)])
def test_options_differ_in_what_is_projected(option, projected):
    with torch.device("meta"):
        net = build(f"resnet50_{option.lower()}")
    found = [part for name, part in net.named_modules() if name.endswith("shortcut") and list(part.children())]
    assert len(found) == projected


def test_a_plain_block_is_its_branch():
    torch.manual_seed(0)
    plain, residual = BasicBlock(3, 3, 1, "plain").eval(), BasicBlock(3, 3, 1, "B").eval()
    residual.load_state_dict(plain.state_dict())
    maps = torch.randn(2, 3, 5, 5)
    branch = plain.bn2(plain.conv2(plain.bn1(plain.conv1(maps)).relu()))
    assert torch.equal(plain(maps), branch.relu())
    assert torch.equal(residual(maps), (maps + branch).relu())
