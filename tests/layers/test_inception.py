import pytest
import torch
from torch import nn
from torch.nn import functional as F

from topfive.layers import ConvUnit, Inception, chain, scaled_unit


@pytest.mark.parametrize("bn", [False, True])
def test_a_unit_is_a_convolution_then_relu_with_normalization_between(bn):
    torch.manual_seed(0)
    unit, maps = ConvUnit(3, 5, 3, 2, bn=bn, eps=1e-3), torch.randn(4, 3, 8, 8)
    plain = F.conv2d(maps, unit.conv.weight, unit.conv.bias, 2, 1)
    if bn:
        centred = plain - plain.mean((0, 2, 3), keepdim=True)
        plain = centred / (plain.var((0, 2, 3), unbiased=False, keepdim=True) + 1e-3).sqrt()
    assert (unit.conv.bias is None) == bn
    assert torch.allclose(unit(maps), plain.clamp(min=0), atol=1e-5)


def test_windows_that_are_not_square_keep_the_size():
    assert ConvUnit(2, 3, (1, 7), bn=True)(torch.randn(2, 2, 9, 9)).shape == (2, 3, 9, 9)
    assert ConvUnit(2, 3, (7, 1), bn=True).conv.padding == (3, 0)


def test_branches_see_the_same_maps_and_are_stacked_in_order():
    module, maps = Inception(a=nn.Identity(), b=nn.ReLU()), torch.randn(2, 3, 4, 4)
    assert torch.equal(module(maps), torch.cat([maps, maps.relu()], 1))


def test_a_share_of_the_maps_is_taken_everywhere_but_of_the_images():
    assert scaled_unit(0.25, 3, 32, 3).conv.weight.shape == (8, 3, 3, 3)
    assert scaled_unit(0.25, 32, 64, 3).conv.weight.shape == (16, 8, 3, 3)


def test_the_last_of_a_chain_strides_without_padding():
    convs = [unit.conv for unit in chain(lambda *a: ConvUnit(*a, bn=True), [4, 5, 6], [1, 3], stride=2)]
    assert [(conv.in_channels, conv.out_channels, conv.stride, conv.padding) for conv in convs] == [
        (4, 5, (1, 1), (0, 0)),
        (5, 6, (2, 2), (0, 0)),
    ]
