import pytest
import torch

from topfive.errors import Misused
from topfive.models import build
from topfive.models.alexnet_towers import TwoTowers


def test_two_devices_give_the_scores_of_one():
    torch.manual_seed(0)
    net = build("alexnet", classes=20, init="he").eval()
    net.normalize.set_values(torch.full((3, 1, 1), 0.4), torch.full((3, 1, 1), 1 / 255))
    devices = ("cuda:0", "cuda:1") if torch.cuda.device_count() > 1 else ("cpu", "cpu")
    towers, images = TwoTowers(net, devices).eval(), torch.rand(2, 3, 227, 227)
    with torch.no_grad():
        one, two = net(images), towers(images.to(devices[0])).cpu()
    assert (one - two).abs().max() < 1e-5 * one.abs().max()
    assert (one[0] - one[1]).abs().max() > 1e-2 * one.abs().max()


def test_a_net_that_does_not_normalize_by_tower_is_refused():
    with pytest.raises(Misused, match="alexnet: expected an alexnet of two towers"):
        TwoTowers(build("alexnet", lrn=False), ("cpu", "cpu"))


def test_all_weights_of_the_net_are_in_the_towers():
    net = build("alexnet", classes=20)
    towers = TwoTowers(net, ("cpu", "cpu"))
    assert sum(p.numel() for p in towers.parameters()) == sum(p.numel() for p in net.parameters())


def test_a_device_that_is_not_there_is_named():
    for device in ("gpu", "cuda:99"):
        with pytest.raises(Misused, match=f"alexnet: expected two devices of this machine, got {device} "):
            TwoTowers(build("alexnet"), ("cpu", device))


@pytest.mark.parametrize("name", ["caffenet", "alexnet_single_tower", "alexnet_small", "lenet5", "vgg16_small"])
def test_other_forms_are_refused(name):
    with pytest.raises(Misused, match=f"{name}: expected an alexnet of two towers"):
        TwoTowers(build(name), ("cpu", "cpu"))
    with pytest.raises(Misused, match="expected two devices, one for each tower, got 1"):
        TwoTowers(build("alexnet_small"), ("cpu",))
