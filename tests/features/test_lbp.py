"""Local binary patterns beside a slow loop and beside scikit-image's."""

import numpy as np
import pytest
import torch
from skimage.feature import local_binary_pattern
from sklearn.datasets import load_sample_image

from topfive.features.lbp import NEIGHBOURS, Lbp, bins_of, changes


def grey(side=64):
    return torch.from_numpy(load_sample_image("china.jpg")[:side, :side].mean(2)).div(255)[None, None]


def test_the_code_of_a_pixel_by_hand():
    square = torch.tensor([[9.0, 1.0, 5.0], [6.0, 5.0, 4.0], [0.0, 7.0, 5.0]])[None, None]
    # from the right, anticlockwise: 4 5 1 9 6 0 7 5, at least 5: 0 1 0 1 1 0 1 1
    assert Lbp(3).codes(square)[0, 1, 1] == 0b11011010


def test_codes_are_those_of_a_slow_loop():
    image = torch.randint(0, 5, (1, 1, 12, 10)).float()
    padded = np.pad(image[0, 0].numpy(), 1, mode="edge")
    codes = Lbp(4).codes(image)[0]
    for row in range(12):
        for column in range(10):
            bits = [
                padded[row + 1 + down, column + 1 + right] >= padded[row + 1, column + 1] for down, right in NEIGHBOURS
            ]
            assert codes[row, column] == sum(int(bit) << place for place, bit in enumerate(bits))


def test_a_flat_image_has_neighbours_as_bright_as_its_pixels():
    levels = (torch.arange(256) / 255).view(256, 1, 1, 1).expand(256, 1, 3, 3)
    for circle in (False, True):
        assert (Lbp(1, circle=circle).codes(levels) == 255).all()


def test_on_a_circle_they_are_scikit_images():
    image = torch.randint(0, 1000, (1, 1, 40, 40), generator=torch.Generator().manual_seed(0))
    theirs = local_binary_pattern(image[0, 0].numpy(), 8, 1)
    ours = Lbp(8, circle=True).codes(image.double())[0]
    assert (ours[1:-1, 1:-1].numpy() == theirs[1:-1, 1:-1]).all()


def test_uniform_bins_are_scikit_images():
    image = torch.randint(0, 1000, (1, 1, 40, 40), generator=torch.Generator().manual_seed(0))
    turned = local_binary_pattern(image[0, 0].numpy(), 8, 1, method="uniform")[1:-1, 1:-1]
    ours = torch.tensor(bins_of("rotation_invariant"))[Lbp(8, circle=True).codes(image.double())[0].long()][1:-1, 1:-1]
    assert (ours.numpy() == turned).all()
    assert sum(changes(code) <= 2 for code in range(256)) == 58


@pytest.mark.parametrize(("kind", "width"), [("uniform", 59), ("rotation_invariant", 10), ("all", 256)])
def test_histograms_count_each_pixel_of_a_cell_once(kind, width):
    image, module = grey().float(), Lbp(16, kind)
    found = module(torch.cat([image, image.flip(3)]))
    assert found.shape == (2, module.length(64, 64)) == (2, 16 * width)
    assert torch.allclose(found.view(2, 16, width).sum(2), torch.ones(2, 16))
    codes = torch.tensor(bins_of(kind))[module.codes(image)[0].long()]
    assert torch.allclose(
        found[0].view(4, 4, width)[1, 2], codes[16:32, 32:48].flatten().bincount(minlength=width) / 256
    )


def test_a_rotation_by_a_quarter_leaves_rotation_invariant_bins():
    image, module = grey().float(), Lbp(64, "rotation_invariant")
    assert torch.allclose(module(image), module(image.rot90(1, (2, 3))))
    assert not torch.allclose(Lbp(64)(image), Lbp(64)(image.rot90(1, (2, 3))), atol=1e-3)


def test_one_pixel_and_a_flat_image_are_defined():
    assert Lbp(1)(torch.zeros(1, 1, 1, 1)).sum() == 1
    assert Lbp(4)(torch.full((1, 1, 8, 8), 0.3)).isfinite().all()
