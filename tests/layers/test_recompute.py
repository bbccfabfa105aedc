import copy

import pytest
import torch
from torch import nn

from topfive.layers import Recomputed
from topfive.models import build


@pytest.mark.parametrize(
    ("name", "side"),
    [("cifar_resnet20", 16), ("cifar_preact_resnet110", 16), ("resnet50_b", 32), ("resnext50_32x4d", 32),
     ("se_resnet50", 32)],
)  # fmt: skip
def test_training_is_the_same_to_the_bit(name, side):
    """Two steps, with their gradients and running statistics."""
    torch.manual_seed(0)
    images, labels = torch.rand(8, 3, side, side), torch.arange(8) % 4
    states = []
    for recompute in (False, True):
        torch.manual_seed(1)
        net = build(name, 4, recompute=recompute)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(images), labels).backward()
            optimizer.step()
        states.append(net.state_dict())
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_less_is_kept():
    """What autograd saves for the gradients, in numbers."""
    kept = []
    for recompute in (False, True):
        net, sizes = build("cifar_resnet20", 4, recompute=recompute), []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, s=sizes: s.append(t.numel()) or t, lambda t: t):
            net(torch.rand(2, 3, 32, 32))
        kept.append(sum(sizes))
    assert kept[1] < kept[0] / 2


def test_normalization_that_is_frozen_stays_as_it_is():
    net = build("cifar_resnet20", 4, recompute=True).train()
    norms = [part.eval() for part in net.modules() if isinstance(part, nn.BatchNorm2d)]
    for _ in range(2):
        net(torch.rand(2, 3, 32, 32)).sum().backward()
    assert {int(norm.num_batches_tracked) for norm in norms} == {0}


def test_it_compiles_in_training_without_a_graph_break():
    """A compiled network recomputes what its compiler chooses; scores and statistics are the same."""
    torch.manual_seed(0)
    net, images = build("cifar_resnet20", 4, recompute=True).train(), torch.rand(2, 3, 32, 32)
    plain = copy.deepcopy(net)
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    for one in (compiled, plain):
        one(images).sum().backward()
    torch.testing.assert_close(net.fc.weight.grad, plain.fc.weight.grad)
    torch.testing.assert_close(net.state_dict(), plain.state_dict())


@pytest.mark.parametrize("name", ["resnet152_b", "resnext101_64x4d", "se_resnet152", "senet154", "inception_resnet_v2"])
def test_deep_networks_have_it(name):
    with torch.device("meta"):
        plain, net = build(name), build(name, recompute=True)
    assert sum(isinstance(part, Recomputed) for part in net.modules()) >= 3
    assert list(net.state_dict()) == list(plain.state_dict())
