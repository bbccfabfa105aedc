import torch

from topfive.layers import MaxoutLinear


def test_each_unit_is_the_greatest_of_its_pieces():
    torch.manual_seed(0)
    layer, states = MaxoutLinear(7, 5, pieces=3), torch.randn(4, 7)
    linear = states @ layer.weight.T + layer.bias
    by_hand = [[max(row[3 * unit + piece] for piece in range(3)) for unit in range(5)] for row in linear.tolist()]
    assert torch.allclose(layer(states), torch.tensor(by_hand))
