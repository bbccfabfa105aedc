import math

import pytest
import torch

from topfive.errors import Misused
from topfive.models import build
from topfive.models.lenet5 import C3_TABLE, RadialBasis, SubSampling, TableConv2d, digit_bitmaps, squash

# Table I read by columns: the maps of S2 that feed map 0, 1, ... 15 of C3.
FEEDS = [
    "012", "123", "234", "345", "045", "015",
    "0123", "1234", "2345", "0345", "0145", "0125", "0134", "1245", "0235",
    "012345",
]  # fmt: skip


def test_c3_table_is_the_papers():
    columns = zip(*(row.split() for row in C3_TABLE), strict=True)
    assert ["".join(str(i) for i, mark in enumerate(column) if mark == "X") for column in columns] == FEEDS


def test_c3_is_one_small_convolution_for_each_map():
    torch.manual_seed(0)
    net = build("lenet5")
    maps, start = torch.randn(2, 6, 14, 14), 0
    ours = net.c3(maps)
    for number, feeds in enumerate(FEEDS):
        kernels = net.c3.weight[start : start + len(feeds)]
        start += len(feeds)
        expected = torch.nn.functional.conv2d(maps[:, [int(i) for i in feeds]], kernels[None])[:, 0]
        assert torch.allclose(ours[:, number], expected + net.c3.bias[number], atol=1e-5)
    assert start == 60
    assert net.c3.weight.numel() == 1500


def test_sub_sampling_adds_scales_and_shifts():
    layer = SubSampling(2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([0.5, -1.0]))
        layer.bias.copy_(torch.tensor([0.25, 3.0]))
    maps = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).expand(1, 2, 2, 2)
    assert layer(maps).flatten().tolist() == [0.5 * 10 + 0.25, -10 + 3.0]


def test_squash_is_the_scaled_tanh():
    assert squash(torch.tensor([1.0, -1.0, 0.0])).tolist() == pytest.approx([1.0, -1.0, 0.0], abs=1e-4)
    assert squash(torch.tensor(2.0)).item() == pytest.approx(1.7159 * math.tanh(4 / 3))


def test_output_is_minus_the_squared_distance():
    output = RadialBasis([[1.0, -1.0], [-1.0, -1.0]])
    assert output(torch.tensor([[0.5, 2.0]])).tolist() == [[-(0.25 + 9.0), -(2.25 + 9.0)]]


def test_trainable_numbers_are_the_papers_layer_by_layer():
    net = build("lenet5")
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in net.named_children()}
    assert sizes == {"normalize": 0, "c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48_120, "f6": 10_164, "output": 0}


def test_first_weights_are_uniform_within_2_4_over_fan_in():
    torch.manual_seed(0)
    net = build("lenet5")
    for weights, fan_in in [
        (net.c1.weight, 25), (net.c5.weight, 400), (net.c5.bias, 400), (net.f6.weight, 120),
        (net.c3.weight[:3], 75), (net.c3.weight[18:22], 100), (net.c3.weight[54:], 150),
    ]:  # fmt: skip
        largest = weights.abs().max().item() * fan_in
        assert 2.0 < largest <= 2.4001
    assert net.s2.weight.abs().max() <= 0.6


def test_digit_codes_are_ten_bitmaps_that_differ():
    codes = build("lenet5", digit_codes=True).output.codes
    assert torch.equal(codes, torch.tensor(digit_bitmaps()))
    assert codes.shape == (10, 7 * 12)
    assert set(codes.flatten().tolist()) == {-1.0, 1.0}
    differ = (codes[:, None] != codes[None]).sum(2) + 84 * torch.eye(10)
    assert differ.min() >= 8
    one = digit_bitmaps()[1]
    assert [one[row * 7 + 3] for row in range(12)] == [1.0] * 11 + [-1.0]  # the stem of the 1


def test_other_codes_are_fixed_whatever_the_seed():
    torch.manual_seed(0)
    first = build("lenet5", 40).output.codes
    torch.manual_seed(1)
    assert torch.equal(first, build("lenet5", 40).output.codes)
    assert set(first.flatten().tolist()) == {-1.0, 1.0}
    assert (first[:, None] != first[None]).sum(2).add(84 * torch.eye(40)).min() >= 20


def test_codes_are_buffers_and_travel_with_the_weights():
    with_digits, with_random = build("lenet5", digit_codes=True), build("lenet5")
    with_random.load_state_dict(with_digits.state_dict())
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(with_random(images), with_digits(images))


def test_misuse_is_refused():
    with pytest.raises(Misused, match="digit_codes are ten, one for each digit, got classes=26"):
        build("lenet5", 26, digit_codes=True)
    with pytest.raises(Misused, match="lenet5: image must be 32 px, got 28"):
        build("lenet5", image=28)


def test_a_table_of_one_cross_is_one_kernel():
    layer = TableConv2d(["X .", ". X"])
    with torch.no_grad():
        layer.weight.copy_(torch.stack([torch.ones(5, 5), 2 * torch.ones(5, 5)]))
        layer.bias.zero_()
    maps = torch.stack([torch.full((5, 5), 1.0), torch.full((5, 5), 10.0)])[None]
    assert layer(maps).flatten().tolist() == [25.0, 500.0]
