import pytest
import torch
from torch import nn

from topfive.models import build
from topfive.models.highway import Highway


def test_a_layer_is_eq_3():
    torch.manual_seed(0)
    layer, states = Highway(nn.Linear(4, 4), nn.Linear(4, 4), 0.0), torch.randn(3, 4)
    changed, gate = layer.h(states).relu(), 1 / (1 + (-layer.t(states)).exp())
    assert torch.allclose(layer(states), changed * gate + states * (1 - gate), atol=1e-6)


def test_a_closed_gate_carries_and_an_open_one_transforms():
    layer, states = Highway(nn.Linear(4, 4), nn.Linear(4, 4), 0.0), torch.randn(3, 4)
    nn.init.zeros_(layer.t.weight)
    nn.init.constant_(layer.t.bias, -100)
    assert torch.allclose(layer(states), states)
    nn.init.constant_(layer.t.bias, 100)
    assert torch.allclose(layer(states), layer.h(states).relu())


@pytest.mark.parametrize(("depth", "bias"), [(10, -1.0), (50, -5.0), (100, -10.0)])
def test_gates_start_nearly_closed_and_the_more_so_the_deeper(depth, bias):
    gates = [part.t for part in build(f"highway_fc{depth}").modules() if isinstance(part, Highway)]
    assert len(gates) == depth - 1
    assert {value for gate in gates for value in gate.bias.tolist()} == {bias}


def test_a_signal_passes_a_hundred_layers_with_gates_and_not_without():
    torch.manual_seed(0)
    spreads = []
    for name in ("highway_fc100", "plain_fc100"):
        net = build(name).eval()
        with torch.no_grad():
            codes = net.features(torch.rand(20, 3, 28, 28))
        spreads.append((codes.std(0).mean() / codes.abs().mean()).item())  # how much images still differ
    assert spreads[0] > 2 * spreads[1]


def test_the_plain_twin_has_no_gates():
    gated, twin = (build("highway2_cifar10", gated=gated) for gated in (True, False))
    assert sum(part.t is not None for part in gated.modules() if isinstance(part, Highway)) == 13
    assert not any(part.t is not None for part in twin.modules() if isinstance(part, Highway))
    assert gated(torch.rand(2, 3, 32, 32)).shape == twin(torch.rand(2, 3, 32, 32)).shape == (2, 10)
