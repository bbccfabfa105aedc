import pytest
import torch

from topfive.errors import Misused
from topfive.models import build, count


def test_first_weights_and_biases_are_the_papers():
    torch.manual_seed(0)
    net = build("alexnet", classes=50)
    biases = {name: getattr(net, name).bias.unique().tolist() for name in
              ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")}  # fmt: skip
    ones, zeros = {"conv2", "conv4", "conv5", "fc6", "fc7"}, {"conv1", "conv3", "fc8"}
    assert {name for name, values in biases.items() if values == [1.0]} == ones
    assert {name for name, values in biases.items() if values == [0.0]} == zeros
    for name in biases:
        assert getattr(net, name).weight.std().item() == pytest.approx(0.01, rel=0.02)
        assert abs(getattr(net, name).weight.mean().item()) < 2e-4


def test_small_form_starts_from_he_and_can_start_as_the_paper():
    torch.manual_seed(0)
    he, paper = build("alexnet_small"), build("alexnet_small", init="paper")
    for name, fan_in in [("conv2", 48 * 25), ("conv3", 128 * 9), ("fc6", 128 * 9), ("fc7", 1024)]:
        assert getattr(he, name).weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.02)
        assert getattr(paper, name).weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert he.fc6.bias.unique().tolist() == [0.0]
    assert paper.fc6.bias.unique().tolist() == [1.0]
    with pytest.raises(Misused, match="alexnet_small: init must be one of paper, he, got 'xavier'"):
        build("alexnet_small", init="xavier")


def test_the_two_towers_see_each_other_in_conv3_only():
    with torch.device("meta"):
        net = build("alexnet")
    assert [net.conv1.groups, net.conv2.groups, net.conv3.groups, net.conv4.groups, net.conv5.groups] == [1, 2, 1, 2, 2]


@pytest.mark.parametrize(("image", "side"), [(32, 32), (48, 24), (64, 32), (80, 40), (96, 32)])
def test_small_form_keeps_conv1_near_32_px(image, side):
    rows = {row.name: row for row in count("alexnet_small", image=image)}
    assert rows["conv1"].output == (48, side, side)
    assert rows["conv5"].output[0] == 128
    assert (rows["conv1"].kernel, rows["conv1"].stride) == (5, round(image / 32))


def test_lrn_can_be_left_out_and_changes_the_scores():
    images = torch.rand(2, 3, 32, 32) * 255
    scores = []
    for lrn in (True, False):
        torch.manual_seed(0)
        net = build("alexnet_small", lrn=lrn).eval()
        with torch.no_grad():
            scores.append(net(images))
    assert (scores[0] - scores[1]).abs().max() > 1e-3 * scores[1].abs().max()
    assert not any(row.op == "lrn" for row in count("alexnet_small", lrn=False))
    assert sum(row.op == "lrn" for row in count("alexnet_small")) == 2


def test_dropout_acts_on_fc6_and_fc7_in_training_only():
    torch.manual_seed(0)
    net, images = build("alexnet_small"), torch.rand(1, 3, 32, 32)
    dropped = []
    for layer in (net.fc7, net.fc8):
        layer.register_forward_pre_hook(lambda _layer, inputs: dropped.append((inputs[0] == 0).float().mean().item()))
    for layer, bias in ((net.fc6, 1e3), (net.fc7, 1e6)):
        torch.nn.init.constant_(layer.bias, bias)  # every unit is on, so that only dropout makes zeros
    net(images)
    assert dropped == pytest.approx([0.5, 0.5], abs=0.1)
    net.eval()
    assert torch.equal(net(images), net(images))
    assert build("alexnet_small", dropout=0.0).dropout.p == 0


def test_only_227_px():
    with pytest.raises(Misused, match="alexnet: image must be 227 px, got 224; resize the crops to 227 px"):
        build("alexnet", image=224)
