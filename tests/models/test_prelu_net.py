import pytest
import torch
from torch import nn

from topfive.models import build, count, total
from topfive.models.prelu_net import SpatialPyramidPool


@pytest.mark.parametrize(("name", "printed"), [("a", 1.90e10), ("b", 2.32e10), ("c", 5.30e10)])
def test_operations_are_those_that_table_3_prints(name, printed):
    assert total(count(f"prelu_net_{name}")).macs == pytest.approx(printed, rel=0.01)


def test_slopes_start_at_a_quarter_one_a_map_and_weights_allow_for_them():
    torch.manual_seed(0)
    net = build("prelu_net_a_small")
    slopes = [part for part in net.modules() if isinstance(part, nn.PReLU)]
    assert [len(part.weight) for part in slopes[:2]] == [24, 64]
    assert {value for part in slopes for value in part.weight.tolist()} == {0.25}
    second = net.stage1[3].weight
    assert second.std().item() == pytest.approx((2 / (1 + 0.25**2) / (64 * 9)) ** 0.5, rel=0.02)


def test_the_relu_nets_that_it_is_compared_with_have_no_slopes():
    torch.manual_seed(0)
    net = build("prelu_net_a_small", activation="relu")
    slopes = sum(part.num_parameters for part in build("prelu_net_a_small").modules() if isinstance(part, nn.PReLU))
    assert not any(isinstance(part, nn.PReLU) for part in net.modules())
    assert sum(p.numel() for p in net.parameters()) == 3_211_586 - slopes
    assert sum(isinstance(part, nn.ReLU) for part in net.modules()) == 18
    weight = net.stage2[1].weight
    assert weight.std().item() == pytest.approx((2 / weight[0].numel()) ** 0.5, rel=0.02)
    images = torch.rand(2, 3, 32, 32)
    before = images.clone()
    assert net(images).isfinite().all() and torch.equal(images, before)


def test_the_pyramid_holds_the_maxima_of_its_bins():
    maps = torch.randn(1, 2, 4, 4)
    pooled = SpatialPyramidPool((2, 1))(maps)
    assert pooled.shape == (1, 2 * 5)
    assert torch.equal(pooled[0, -2:], maps.amax((2, 3))[0])
    assert pooled[0, 0] == maps[0, 0, :2, :2].max()
