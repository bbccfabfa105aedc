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


BY_HAND = {
    "sigmoid": lambda x: 1 / (1 + (-x).exp()),
    "tanh": lambda x: 2 / (1 + (-2 * x).exp()) - 1,
    "relu": lambda x: x.clamp(min=0),
    "leaky_relu": lambda x: torch.where(x > 0, x, x / 100),
    "prelu": lambda x: torch.where(x > 0, x, x / 4),
    "maxout": lambda x: torch.maximum(x[:, ::2], x[:, 1::2]),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("entry", ["mlp", "cifar10_cuda_convnet"])
def test_networks_take_every_activation(entry, name):
    torch.manual_seed(0)
    net, images = build(entry, 4, activation=name), torch.rand(2, 3, 32, 32)
    width = {"mlp": 500, "cifar10_cuda_convnet": 1024}[entry]
    assert net.features(images).shape == (2, width)
    expected = BY_HAND[name]
    if entry == "mlp":
        assert torch.allclose(net.features(images), expected(net.hidden(images.flatten(1))), atol=1e-6)
    else:
        assert torch.allclose(net.active2(net.conv2.weight), expected(net.conv2.weight), atol=1e-6)
    net(images).sum().backward()
    assert all(weights.grad is not None for weights in net.parameters())


def test_unknown_ones_are_refused():
    with pytest.raises(UnknownName, match=r"there is no activation named 'rel' \(did you mean relu\?\)"):
        build("mlp", activation="rel")
    assert activation("maxout")[1] == 2
