"""Dense SIFT beside a slow loop over pixels, and Lowe's sharing by angle."""

import math

import cv2
import pytest
import torch
from sklearn.datasets import load_sample_image

from topfive.features.colour import ColourStatistics
from topfive.features.grid import rows_of
from topfive.features.patches import WhitenedPatches
from topfive.features.sift import CLIP, DenseSift, orientation_maps


def grey(height=40, width=48):
    photo = torch.from_numpy(load_sample_image("china.jpg")[100 : 100 + height, 200 : 200 + width].copy())
    return photo.double().mean(2).div(255)[None, None]


def by_hand(image, top, left, patch, share):
    """One descriptor, pixel by pixel; share: (angle) -> the two orientations and their parts."""
    height, width = image.shape
    cells = torch.zeros(4, 4, 8, dtype=torch.float64)
    middles = [(cell + 0.5) * patch / 4 - 0.5 for cell in range(4)]
    for row in range(height):
        for column in range(width):
            across = (image[row, column + 1] - image[row, column - 1]) / 2 if 0 < column < width - 1 else 0.0
            down = (image[row + 1, column] - image[row - 1, column]) / 2 if 0 < row < height - 1 else 0.0
            size, angle = math.hypot(across, down), math.atan2(down, across) % (2 * math.pi)
            for i, below in enumerate(middles):
                for j, right in enumerate(middles):
                    near = max(0, 1 - abs(row - top - below) / (patch / 4)) * max(
                        0, 1 - abs(column - left - right) / (patch / 4)
                    )
                    if near and size:
                        bell = math.exp(-2 * (((i - 1.5) / 4) ** 2 + ((j - 1.5) / 4) ** 2))
                        for orientation, part in share(angle):
                            cells[i, j, orientation % 8] += near * bell * size * part
    flat = cells.flatten()
    flat = (flat / flat.norm()).clamp_max(CLIP)
    return flat / flat.norm()


def two_vectors(angle):
    first, rest = divmod(angle, math.pi / 4)
    return [(int(first), math.sin(math.pi / 4 - rest) / math.sin(math.pi / 4)),
            (int(first) + 1, math.sin(rest) / math.sin(math.pi / 4))]  # fmt: skip


def by_angle(angle):
    first, rest = divmod(angle, math.pi / 4)
    return [(int(first), 1 - rest / (math.pi / 4)), (int(first) + 1, rest / (math.pi / 4))]


def test_a_gradient_is_the_sum_of_its_shares():
    image = grey()
    maps = orientation_maps(image)[0]
    angles = torch.arange(8) * math.pi / 4
    across = (maps * angles.cos()[:, None, None]).sum(0)
    assert torch.allclose(across[:, 1:-1], (image[0, 0, :, 2:] - image[0, 0, :, :-2]) / 2, atol=1e-6)
    assert (maps > 0).sum(0).max() <= 2
    assert (maps >= 0).all()


@pytest.mark.parametrize(("patch", "step"), [(16, 4), (8, 4), (16, 8), (12, 5), (16, 6)])
def test_descriptors_are_those_of_a_slow_loop(patch, step):
    image, module = grey(30, 34), DenseSift(patch, step)
    found = module(image)[0]
    rows, columns = (rows_of(side, module.patch, module.step) for side in (30, 34))
    assert found.shape == (rows * columns, 128) == (len(module.places(30, 34)), 128)
    for row, column in [(0, 0), (rows - 1, columns - 1), (rows // 2, 1)]:
        expected = by_hand(image[0, 0], row * step, column * step, patch, two_vectors)
        assert torch.allclose(found[row * columns + column], expected, atol=1e-6)
        lowe = by_hand(image[0, 0], row * step, column * step, patch, by_angle)
        assert found[row * columns + column] @ lowe > 0.998  # sharing by angle


def test_descriptors_are_nearly_opencvs() -> None:
    """Three differences are named: OpenCV blurs first, turns its orientations upwards, and cuts its circle to a disc.

    It counts orientations from right against the clock, so ours run backwards in it and start one later; its image is
    blurred to a deviation of 1.6 px from an assumed 0.5.
    """
    photo = cv2.cvtColor(load_sample_image("china.jpg")[:256, :256], cv2.COLOR_RGB2GRAY)
    module = DenseSift(16, 8)
    places = (module.places(256, 256) * 256 - 0.5).tolist()
    points = [cv2.KeyPoint(right, down, 16 / 6, 0.0) for down, right in places]  # a patch is 6 sizes wide
    _, found = cv2.SIFT_create().compute(photo, points)
    theirs = torch.from_numpy(found).view(-1, 16, 8).flip(2).roll(1, 2).flatten(1)
    blurred = cv2.GaussianBlur(photo.astype("float32") / 255, (0, 0), math.sqrt(1.6**2 - 0.5**2))
    ours, sharp = (
        torch.cosine_similarity(module(torch.as_tensor(image)[None, None])[0], theirs)
        for image in (blurred, photo.astype("float32") / 255)
    )
    assert ours.mean() > 0.97
    assert ours.quantile(0.05) > 0.95
    assert sharp.mean() < ours.mean() - 0.1  # without the blur they are further apart than all else together


def test_places_are_the_middles_of_patches():
    places = DenseSift(16, 4).places(32, 24)
    assert places[0].tolist() == pytest.approx([8 / 32, 8 / 24])
    assert places[-1].tolist() == pytest.approx([24 / 32, 16 / 24])


def test_flat_and_small_images_are_defined():
    assert (DenseSift(16, 4)(torch.full((1, 1, 20, 20), 0.7)) == 0).all()
    assert (DenseSift(16, 4, root=True)(torch.full((1, 1, 20, 20), 0.7)) == 0).all()
    assert DenseSift(16, 4)(torch.rand(1, 1, 12, 40)).shape == (1, 0, 128)
    assert ColourStatistics(16, 4)(torch.rand(1, 3, 12, 40)).shape == (1, 0, 96)
    assert WhitenedPatches(3, 16)(torch.rand(1, 3, 12, 40)).shape == (1, 0, 768)
    for describe in (DenseSift(16, 4), ColourStatistics(16, 4), WhitenedPatches(3, 16)):
        assert describe.places(12, 40).shape == (0, 2)


def test_root_descriptors_have_length_one_and_are_roots_of_shares():
    plain, rooted = DenseSift(16, 8)(grey()), DenseSift(16, 8, root=True)(grey())
    assert torch.allclose(rooted.square(), plain / plain.sum(-1, keepdim=True), atol=1e-9)


def test_colour_statistics_are_those_of_each_cell():
    images = torch.rand(2, 3, 32, 40, dtype=torch.float64)
    found = ColourStatistics(16, 4)(images)
    assert found.shape == (2, 5 * 7, 96)
    patch = images[1, :, 8:24, 12:28]  # row 2, column 3
    cells = patch.unfold(1, 4, 4).unfold(2, 4, 4).flatten(3)  # (3, 4, 4, 16)
    expected = torch.cat([cells.mean(3), cells.std(3, correction=0)]).flatten()
    assert torch.allclose(found[1, 2 * 7 + 3], expected, atol=1e-9)
