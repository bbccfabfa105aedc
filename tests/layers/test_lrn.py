import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from topfive.layers import LocalResponseNorm


def plain_loop(column, n, k, alpha, beta):
    """The formula of sec. 3.3 at one position; column: activations of all maps there."""
    last = len(column) - 1
    return [
        a / (k + alpha * sum(column[j] ** 2 for j in range(max(0, i - n // 2), min(last, i + n // 2) + 1))) ** beta
        for i, a in enumerate(column)
    ]


@settings(max_examples=60, deadline=None)
@given(
    column=st.lists(st.floats(-300, 300, width=32), min_size=1, max_size=12),
    n=st.sampled_from([1, 3, 5]),
    beta=st.sampled_from([0.75, 0.5]),
)
def test_agrees_with_the_formula_map_by_map(column, n, beta):
    ours = LocalResponseNorm(n, 2.0, 1e-2, beta)(torch.tensor(column).view(1, -1, 1, 1))
    assert ours.flatten().tolist() == pytest.approx(plain_loop(column, n, 2.0, 1e-2, beta), rel=1e-5, abs=1e-5)


def test_constants_are_alexnets_and_alpha_is_not_divided_by_n():
    maps = torch.randn(2, 7, 3, 3, generator=torch.Generator().manual_seed(0)) * 100
    ours = LocalResponseNorm()(maps)
    assert ours[1, :, 2, 0].tolist() == pytest.approx(plain_loop(maps[1, :, 2, 0].tolist(), 5, 2, 1e-4, 0.75), rel=1e-5)
    theirs = torch.nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)(maps)  # theirs divides alpha by n
    assert torch.allclose(ours, theirs, rtol=1e-5)


def test_gradient_is_right():
    maps = torch.randn(1, 6, 2, 1, dtype=torch.float32, generator=torch.Generator().manual_seed(1))
    norm, step = LocalResponseNorm(alpha=0.5), 1e-2
    gradient = torch.autograd.functional.jacobian(norm, maps).view(12, 12)
    for i in range(12):
        nudge = torch.zeros(12).index_fill(0, torch.tensor(i), step).view_as(maps)
        slope = ((norm(maps + nudge) - norm(maps - nudge)) / (2 * step)).flatten()
        assert torch.allclose(gradient[:, i], slope, atol=1e-3)


def test_bfloat16_is_computed_in_float32_even_under_autocast():
    maps = (torch.randn(2, 16, 3, 3, generator=torch.Generator().manual_seed(2)) * 50).bfloat16()
    exact = LocalResponseNorm()(maps.float())
    with torch.autocast("cpu", torch.bfloat16):
        ours = LocalResponseNorm()(maps)
        unharmed = LocalResponseNorm()(maps.float())
    assert ours.dtype == torch.bfloat16
    assert torch.equal(ours, exact.bfloat16())
    assert torch.equal(unharmed, exact)


def test_channels_last_stays_channels_last():
    maps = torch.randn(2, 8, 4, 5)
    ours = LocalResponseNorm()(maps.contiguous(memory_format=torch.channels_last))
    assert ours.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(ours, LocalResponseNorm()(maps))


def test_caffes_has_another_constant_and_divides_alpha():
    maps = torch.randn(2, 7, 3, 3, generator=torch.Generator().manual_seed(0)) * 100
    theirs = torch.nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)(maps)
    assert torch.allclose(LocalResponseNorm.of_caffe()(maps), theirs, rtol=1e-5)


def test_towers_do_not_see_each_other():
    maps = torch.randn(2, 12, 3, 3, generator=torch.Generator().manual_seed(3)) * 100
    apart = torch.cat([LocalResponseNorm()(half) for half in maps.chunk(2, 1)], 1)
    assert torch.allclose(LocalResponseNorm(groups=2)(maps), apart)
    assert not torch.allclose(LocalResponseNorm()(maps), apart)
