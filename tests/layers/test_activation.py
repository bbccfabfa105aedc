import pytest
import torch

from topfive.errors import UnknownName
from topfive.layers import ACTIVATIONS, Maxout, activation
from topfive.models import build


def test_maxout_is_the_greatest_of_neighbours():
    states = torch.randn(4, 6)
    by_hand = [[max(row[3 * unit : 3 * unit + 3]) for unit in range(2)] for row in states.tolist()]
    assert torch.allclose(Maxout(3)(states), torch.tensor(by_hand))
    maps = torch.randn(2, 4, 3, 3)
    assert torch.equal(Maxout()(maps)[:, 1], torch.maximum(maps[:, 2], maps[:, 3]))


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("entry", ["mlp", "cifar10_cuda_convnet"])
def test_networks_take_every_activation(entry, name):
    torch.manual_seed(0)
    net, images = build(entry, 4, activation=name), torch.rand(2, 3, 32, 32)
    width = {"mlp": 500, "cifar10_cuda_convnet": 1024}[entry]
    assert net.features(images).shape == (2, width)
    net(images).sum().backward()
    assert all(weights.grad is not None for weights in net.parameters())


def test_unknown_ones_are_refused():
    with pytest.raises(UnknownName, match=r"there is no activation named 'rel' \(did you mean relu\?\)"):
        build("mlp", activation="rel")
    assert activation("maxout")[1] == 2
