import itertools
import math

import numpy as np
import pytest
import torch
from skimage.feature import hog as skimage_hog
from skimage.filters import gaussian
from sklearn.datasets import load_sample_image

from topfive.features import Hog
from topfive.features.hog import clipped_l2, strongest_gradient


def oracle(image, cell, block, square_root):
    """scikit-image's descriptor of (H, W, 3) in [0, 1], in float64."""
    return skimage_hog(image.astype(np.float64), 9, (cell, cell), (block, block), "L2-Hys", False, square_root, True,
                       channel_axis=-1)  # fmt: skip


def smooth_colours(seed, height, width):
    noise = gaussian(np.random.default_rng(seed).random((height, width, 3)), sigma=(2, 2, 0))
    return ((noise - noise.min()) / np.ptp(noise)).astype(np.float32)


def share_equal(image, cell, block, square_root):
    ours = Hog(cell, block, square_root=square_root)(torch.from_numpy(image).permute(2, 0, 1)[None])[0].numpy()
    expected = oracle(image, cell, block, square_root)
    assert ours.shape == expected.shape
    return (np.abs(ours - expected) <= 1e-6).mean()


@pytest.mark.parametrize(("cell", "block"), [(4, 2), (8, 2), (8, 3)])
@pytest.mark.parametrize("square_root", [True, False])
def test_equals_scikit_image_on_random_smooth_colours(cell, block, square_root):
    for seed in range(3):
        assert share_equal(smooth_colours(seed, 64, 48), cell, block, square_root) >= 0.99


@pytest.mark.parametrize("name", ["china.jpg", "flower.jpg"])
def test_equals_scikit_image_on_a_photo(name):
    photo = (load_sample_image(name) / 255).astype(np.float32)[:420, :630]  # cells do not divide it: a rest is left out
    assert share_equal(photo, 8, 2, True) >= 0.99


def test_equals_scikit_image_on_a_grey_image():
    grey = smooth_colours(7, 40, 40)[..., 0]
    expected = skimage_hog(grey.astype(np.float64), 9, (8, 8), (2, 2), "L2-Hys", False, True, True)
    ours = Hog(8)(torch.from_numpy(grey)[None, None])[0].numpy()
    assert (np.abs(ours - expected) <= 1e-6).mean() >= 0.99


@pytest.mark.parametrize(("slope", "orientation"), [((1, 0), 0), ((-1, 0), 0), ((0, 1), 4), ((0, -1), 4), ((1, -1), 6)])
def test_a_ramp_votes_for_one_orientation_whichever_way_it_rises(slope, orientation):
    across, down = slope
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="ij")
    ramp = (0.5 + 0.01 * (across * columns + down * rows))[None, None]
    inner = Hog(8, block=1, square_root=False)(ramp).view(3, 3, 9)[1, 1]
    assert inner.argmax().item() == orientation
    assert inner.sum().item() == pytest.approx(1.0, rel=1e-3)


def test_the_strongest_gradient_is_that_of_a_slow_loop_and_ties_go_to_the_first_channel():
    images = torch.randint(0, 4, (2, 3, 9, 7), generator=torch.Generator().manual_seed(0)).float()  # many are equal
    expected = torch.zeros(2, 2, 9, 7)
    for number, row, column in itertools.product(range(2), range(9), range(7)):
        best = -1.0
        for channel in images[number]:
            down = channel[row + 1, column] - channel[row - 1, column] if 0 < row < 8 else torch.zeros(())
            across = channel[row, column + 1] - channel[row, column - 1] if 0 < column < 6 else torch.zeros(())
            if down**2 + across**2 > best:
                best, expected[:, number, row, column] = down**2 + across**2, torch.stack([down, across])
    for layout in (torch.contiguous_format, torch.channels_last):
        found = strongest_gradient(images.contiguous(memory_format=layout))
        assert torch.equal(torch.stack(found), expected)


def test_what_is_not_a_number_stays_so():
    image = torch.rand(1, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    image[..., 12, 12] = math.nan
    assert Hog(8, block=1, square_root=False)(image).view(9, 9).isnan().all(1).nonzero().flatten().tolist() == [4]


def test_every_pixel_of_an_odd_cell_votes():
    image = torch.zeros(1, 1, 9, 9)
    image[..., 5, 2] = 1.0  # the only gradients: rows 4 and 6 downwards (columns 2), columns 1 and 3 across (row 5)
    histograms = Hog(3, block=1, square_root=False).histograms(*strongest_gradient(image))
    assert histograms.sum().item() * 9 == pytest.approx(4.0)
    assert histograms[0, 1, 0, 0].item() * 9 == pytest.approx(1.0)  # (5, 1) is in the middle left cell, in its last row


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_flat_images_give_zeros_and_finite_gradients(level):
    images = torch.full((2, 3, 32, 32), level, requires_grad=True)
    described = Hog(4)(images)
    described.sum().backward()
    assert (described == 0).all()
    assert images.grad is not None
    assert images.grad.isfinite().all()


@pytest.mark.parametrize(("height", "width", "blocks"), [(10, 10, 0), (19, 40, 0), (20, 20, 1), (79, 20, 6)])
def test_the_length_is_that_of_the_blocks_that_fit(height, width, blocks):
    assert Hog(10, 2).length(height, width) == blocks * 36


def test_a_batch_is_its_images_one_by_one():
    images = torch.stack([torch.from_numpy(smooth_colours(seed, 32, 32)).permute(2, 0, 1) for seed in range(4)])
    hog = Hog(4)
    together = hog(images)
    assert together.shape == (4, hog.length(32, 32)) == (4, 7 * 7 * 36)
    assert all(torch.allclose(together[i], hog(images[i : i + 1])[0], atol=1e-6) for i in range(4))


def test_clipped_l2_by_hand():
    block = torch.tensor([3.0, 4.0, 0.0])  # length 5 -> .6 .8 0 -> clipped .2 .2 0 -> .7071 .7071 0
    assert clipped_l2(block).tolist() == pytest.approx([0.5**0.5, 0.5**0.5, 0.0], abs=1e-6)


@pytest.mark.parametrize("signed", [False, True])
def test_shared_votes_are_those_of_a_slow_loop(signed):
    image = torch.from_numpy(smooth_colours(0, 20, 16)).permute(2, 0, 1)[None].double()
    module = Hog(4, orientations=6, square_root=False, signed=signed, shared=True)
    down, across = strongest_gradient(image)
    expected = torch.zeros(5, 4, 6).double()
    period = 2 * math.pi if signed else math.pi
    for row in range(20):
        for column in range(16):
            size = torch.hypot(down[0, row, column], across[0, row, column])
            place = (math.atan2(down[0, row, column], across[0, row, column]) % period) / period * 6
            for i, j, k in itertools.product(range(5), range(4), range(6)):
                apart = abs(place - k - 0.5)
                share = max(0, 1 - min(apart, 6 - apart))
                share *= max(0, 1 - abs(row - 4 * i - 1.5) / 4) * max(0, 1 - abs(column - 4 * j - 1.5) / 4)
                expected[i, j, k] += size * share / 16
    assert torch.allclose(module.histograms(down, across)[0].double(), expected, atol=1e-5)


def test_signed_bins_tell_a_gradient_from_its_opposite():
    image = torch.from_numpy(smooth_colours(0, 32, 32)).permute(2, 0, 1)[None]
    plain, signed = (Hog(8, square_root=False, signed=one) for one in (False, True))
    down, across = strongest_gradient(image)
    assert torch.allclose(plain.histograms(down, across), plain.histograms(-down, -across), atol=1e-6)
    assert not torch.allclose(signed.histograms(down, across), signed.histograms(-down, -across), atol=1e-3)
    assert torch.allclose(plain.histograms(down, across).sum(3), signed.histograms(down, across).sum(3), atol=1e-6)
