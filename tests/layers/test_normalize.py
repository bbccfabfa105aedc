import pytest
import torch

from topfive.errors import BadShape, Misused
from topfive.layers import Normalize

RED, GREEN = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
RED[:, 0], GREEN[:, 1] = 1, 1


def test_a_fresh_one_is_the_identity():
    images = torch.rand(2, 3, 4, 5)
    assert torch.equal(Normalize()(images), images)


def test_luma_weighs_the_channels_as_bt601():
    assert Normalize(luma=True)(RED).flatten().tolist() == pytest.approx([0.299] * 4)
    assert Normalize(luma=True)(GREEN).flatten().tolist() == pytest.approx([0.587] * 4)
    assert Normalize(luma=True)(torch.ones(1, 3, 2, 2)).flatten().tolist() == pytest.approx([1.0] * 4)


def test_mean_per_channel_and_std_by_hand():
    normalize = Normalize()
    normalize.set_values(torch.tensor([0.5, 0.25, 0.0]).view(3, 1, 1), torch.tensor([0.5, 0.25, 2.0]).view(3, 1, 1))
    assert normalize(torch.ones(1, 3, 1, 1)).flatten().tolist() == [1.0, 3.0, 0.5]


def test_mean_image_is_subtracted_pixel_by_pixel():
    normalize, mean = Normalize(), torch.arange(12.0).view(3, 2, 2)
    normalize.set_values(mean, torch.full((3, 1, 1), 0.5))
    assert torch.equal(normalize(torch.zeros(1, 3, 2, 2))[0], -2 * mean)


def test_values_are_copies():
    normalize, mean = Normalize(), torch.zeros(3, 1, 1)
    normalize.set_values(mean, torch.ones(3, 1, 1))
    mean += 1
    assert normalize.mean.abs().max() == 0


@pytest.mark.parametrize("luma", [False, True])
def test_state_dict_carries_a_mean_image_into_a_fresh_one_and_back(luma):
    channels = 1 if luma else 3
    trained, fresh, images = Normalize(luma), Normalize(luma), torch.rand(2, 3, 6, 5)
    identity = {name: held.clone() for name, held in fresh.state_dict().items()}
    trained.set_values(torch.rand(channels, 6, 5), torch.full((channels, 1, 1), 0.3))
    fresh.load_state_dict(trained.state_dict())
    assert torch.equal(fresh(images), trained(images))
    fresh.load_state_dict(identity)
    assert torch.equal(fresh(images), Normalize(luma)(images))


def test_refusals_say_what_is_wrong():
    normalize, ones = Normalize(), torch.ones(3, 1, 1)
    with pytest.raises(BadShape, match=r"mean must be \(3, 1, 1\) or \(3, H, W\), got \(1, 1, 1\)"):
        normalize.set_values(torch.zeros(1, 1, 1), ones)
    with pytest.raises(BadShape, match=r"std must be \(3, 1, 1\), got \(3, 2, 2\)"):
        normalize.set_values(ones, torch.ones(3, 2, 2))
    with pytest.raises(Misused, match="every std must be above 0"):
        normalize.set_values(ones, torch.tensor([1.0, 0.0, 1.0]).view(3, 1, 1))
    normalize.set_values(torch.zeros(3, 4, 4), ones)
    with pytest.raises(BadShape, match="the mean image is 4 x 4, got images"):
        normalize(torch.rand(1, 3, 5, 5))


def test_a_mean_of_other_channels_is_not_loaded():
    with pytest.raises(RuntimeError, match="size mismatch for mean"):
        Normalize().load_state_dict(Normalize(luma=True).state_dict())
