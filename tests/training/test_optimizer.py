"""SGD as the papers write it, worked by hand, and its state as named tensors."""

import pytest
import torch
from torch import nn
from torch.nn.utils import convert_conv2d_weight_memory_format

from topfive.models import build
from topfive.recipes.stages import Optimizer
from topfive.training.optimizer import build_optimizer, momenta, set_momenta


class Two(nn.Module):
    """A weight matrix and a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[2.0]]))
        self.bias = nn.Parameter(torch.tensor([3.0]))


def step(net: Two, optimizer: torch.optim.SGD, weight: float, bias: float) -> None:
    net.weight.grad, net.bias.grad = torch.tensor([[weight]]), torch.tensor([bias])
    optimizer.step()


def test_two_steps_are_the_papers() -> None:
    """Sutskever et al. 2013, eq. 1 and 2, in torch's form: v = m v + (g + d w), w = w - lr v."""
    net = Two()
    optimizer = build_optimizer(net, Optimizer(lr=0.1, momentum=0.5, weight_decay=0.01))
    step(net, optimizer, 1.0, -2.0)
    # v = 1 + 0.02 = 1.02, w = 2 - 0.102; v = -2 + 0.03 = -1.97, b = 3 + 0.197
    assert (net.weight.item(), net.bias.item()) == pytest.approx((1.898, 3.197))
    step(net, optimizer, 3.0, 1.0)
    # v = 0.51 + 3 + 0.01898 = 3.52898; v = -0.985 + 1 + 0.03197 = 0.04697
    assert (net.weight.item(), net.bias.item()) == pytest.approx((1.898 - 0.352898, 3.197 - 0.004697))
    assert momenta(net, optimizer)["weight"].item() == pytest.approx(3.52898)
    assert momenta(net, optimizer)["bias"].item() == pytest.approx(0.04697)


def test_nesterov_looks_ahead() -> None:
    net = Two()
    optimizer = build_optimizer(net, Optimizer(lr=0.1, momentum=0.5, nesterov=True))
    step(net, optimizer, 1.0, 0.0)
    assert net.weight.item() == pytest.approx(2 - 0.1 * (1 + 0.5 * 1))
    step(net, optimizer, 3.0, 0.0)  # v = 0.5 + 3
    assert net.weight.item() == pytest.approx(1.85 - 0.1 * (3 + 0.5 * 3.5))


@pytest.mark.parametrize(("on_vectors", "bias"), [(True, 3 - 0.1 * 0.3), (False, 3.0)])
def test_decay_spares_vectors_where_the_recipe_says_so(on_vectors: bool, bias: float) -> None:
    net = Two()
    settings = Optimizer(lr=0.1, momentum=0.9, weight_decay=0.1, decay_norm_and_bias=on_vectors)
    step(net, build_optimizer(net, settings), 0.0, 0.0)
    assert (net.weight.item(), net.bias.item()) == pytest.approx((2 - 0.1 * 0.2, bias))


def test_frozen_parameters_stay() -> None:
    net = Two()
    net.bias.requires_grad_(False)
    step(net, build_optimizer(net, Optimizer(lr=0.1, weight_decay=0.1)), 1.0, 5.0)
    assert net.bias.item() == 3.0


def test_momenta_put_back_go_on_as_if_never_stopped() -> None:
    settings = Optimizer(lr=0.1, momentum=0.9, weight_decay=0.01, decay_norm_and_bias=False)
    through, stopped = Two(), Two()
    ours, first = build_optimizer(through, settings), build_optimizer(stopped, settings)
    for net, optimizer in ((through, ours), (stopped, first)):
        step(net, optimizer, 1.0, -2.0)
    kept = {name: tensor.clone() for name, tensor in momenta(stopped, first).items()}
    again = build_optimizer(stopped, settings)
    assert momenta(stopped, again) == {}
    set_momenta(stopped, again, kept)
    step(through, ours, 0.3, 0.7)
    step(stopped, again, 0.3, 0.7)
    assert torch.equal(through.weight, stopped.weight) and torch.equal(through.bias, stopped.bias)


def test_momenta_take_the_layout_of_their_weights() -> None:
    net = convert_conv2d_weight_memory_format(nn.Conv2d(4, 8, 3), torch.channels_last)
    optimizer = build_optimizer(net, Optimizer(lr=0.1))
    kept = {"weight": torch.randn(8, 4, 3, 3), "bias": torch.randn(8)}
    set_momenta(net, optimizer, kept)
    found = momenta(net, optimizer)
    assert torch.equal(found["weight"], kept["weight"]) and torch.equal(found["bias"], kept["bias"])
    assert found["weight"].is_contiguous(memory_format=torch.channels_last)


def test_slopes_of_prelu_are_never_pulled_towards_relu() -> None:
    net = build("prelu_net_a_small")
    optimizer = build_optimizer(net, Optimizer(lr=0.1, weight_decay=0.01))
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    slopes = [part.weight for part in net.modules() if isinstance(part, nn.PReLU)]
    assert {decays[id(slope)] for slope in slopes} == {0.0}
    assert decays[id(net.fc3.bias)] == 0.01
