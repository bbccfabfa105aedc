"""A fully connected layer at every window is the convolution that it stands for."""

import pytest
import torch
from torch.nn.functional import conv2d, linear

from topfive.layers import flat_windows, windows


@pytest.mark.parametrize("size", [(3, 3), (4, 7), (5, 3)])
def test_a_layer_on_windows_is_a_convolution(size: tuple[int, int]) -> None:
    draws = torch.Generator().manual_seed(0)
    maps, bias = torch.randn(2, 6, *size, generator=draws), torch.randn(5, generator=draws)
    weight = torch.randn(5, 6 * 9, generator=draws)
    found = linear(flat_windows(maps, 6 * 9), weight, bias)
    expected = conv2d(maps, weight.view(5, 6, 3, 3), bias)  # (2, 5, rows, columns)
    torch.testing.assert_close(found, expected.movedim(1, 3), rtol=0, atol=1e-5)


def test_windows_stand_where_they_stood() -> None:
    maps = torch.arange(2 * 3 * 4 * 5).view(2, 3, 4, 5)
    found = windows(maps, 2)
    assert found.shape == (2, 3, 4, 3, 2, 2)
    assert torch.equal(found[1, 2, 3], maps[1, :, 2:4, 3:5])
