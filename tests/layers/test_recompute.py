import pytest
import torch
from torch import nn

from topfive.models import build


@pytest.mark.parametrize("name", ["cifar_resnet20", "cifar_preact_resnet110"])
def test_training_is_the_same_to_the_bit(name):
    """Two steps, with their gradients and running statistics."""
    torch.manual_seed(0)
    images, labels = torch.rand(8, 3, 16, 16), torch.arange(8) % 4
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
