"""Augmentation: boxes stay inside and follow the papers' ranges; cutting agrees with a plain loop to the byte."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy import stats

from topfive.data.augment import (
    BOX,
    COLOUR,
    DRAWS,
    MIRROR,
    ORDER,
    Augmentation,
    colour_shift,
    cut_photo,
    cut_squares,
    cut_squares_on_device,
)
from topfive.data.geometry import Geometry

ALMOST_ONE = 1 - 2.0**-53  # the largest draw there is
KINDS = ("none", "pad_crop", "random_crop", "resized_crop", "scale_jitter")


def draws(count: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).random((count, DRAWS))


def sizes(count: int, height: int, width: int) -> NDArray[np.int64]:
    return np.tile(np.array([height, width]), (count, 1))


def noise(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def sides(boxes: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]


# Boxes

unit = st.sampled_from([0.0, 0.5, ALMOST_ONE]) | st.floats(0, ALMOST_ONE)


@pytest.mark.parametrize("kind", KINDS)
@given(
    height=st.integers(1, 700), width=st.integers(1, 700), crop=st.integers(1, 40), margin=st.integers(0, 12),
    four=st.lists(unit, min_size=4, max_size=4),
)  # fmt: skip
@settings(deadline=None, max_examples=150)
def test_every_box_lies_inside_its_image(
    kind: str, height: int, width: int, crop: int, margin: int, four: list[float]
) -> None:
    augmentation = Augmentation(kind, padding=margin, short=(crop, crop + margin))
    if augmentation.whole_pixels:  # cut from squares of one size
        height = width = {"none": crop, "pad_crop": crop + 2 * margin, "random_crop": crop + margin}[kind]
    drawn = np.zeros((1, DRAWS))
    drawn[0, BOX] = four
    ((left, top, right, bottom),) = augmentation.boxes(sizes(1, height, width), crop, drawn).tolist()
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    if augmentation.whole_pixels:
        assert (right - left, bottom - top) == (crop, crop)
        assert left == int(left) and top == int(top)
    else:
        cut_photo(noise(height, width, 3), np.array([left, top, right, bottom]), False, crop, "bilinear")


@pytest.mark.parametrize(("kind", "margin"), [("pad_crop", 8), ("random_crop", 32)])
def test_whole_pixel_crops_take_every_offset_equally_often(kind: str, margin: int) -> None:
    """32 px padded by 4 has 9 x 9 crops (He et al.); 256 px have 33 x 33 of 224 px."""
    crop = {"pad_crop": 32, "random_crop": 224}[kind]
    boxes = Augmentation(kind).boxes(sizes(100_000, crop + margin, crop + margin), crop, draws(100_000))
    counts = np.zeros((margin + 1, margin + 1))
    np.add.at(counts, (boxes[:, 0].astype(int), boxes[:, 1].astype(int)), 1)
    assert stats.chisquare(counts.ravel()).pvalue > 1e-4


def test_resized_crops_have_the_area_and_the_ratio_of_szegedy() -> None:
    """Area uniform in 8 % to 100 % of the image, ratio 3/4 to 4/3, in equal logarithmic steps."""
    height, width = 400, 500
    boxes = Augmentation("resized_crop", area=(0.08, 0.5)).boxes(sizes(20_000, height, width), 224, draws(20_000))
    box_w, box_h = sides(boxes)  # at most sqrt(0.5 * 4/3 * 5/4) of a side: none is clipped
    area, ratio = box_w * box_h / (height * width), box_w / box_h
    assert stats.kstest(area, stats.uniform(0.08, 0.42).cdf).pvalue > 1e-4
    log = np.log(ratio) / np.log(4 / 3)
    assert stats.kstest(log, stats.uniform(-1, 2).cdf).pvalue > 1e-4
    assert abs(stats.pearsonr(area, log).statistic) < 4 / np.sqrt(20_000)
    across = boxes[:, 0] / (width - box_w)
    assert stats.kstest(across, "uniform").pvalue > 1e-4
    assert stats.kstest(boxes[:, 1] / (height - box_h), "uniform").pvalue > 1e-4
    assert abs(stats.pearsonr(area, across).statistic) < 4 / np.sqrt(20_000)


def test_a_resized_crop_that_would_stick_out_is_clipped_to_the_image() -> None:
    boxes = Augmentation("resized_crop").boxes(sizes(20_000, 100, 300), 224, draws(20_000))
    box_w, box_h = sides(boxes)
    clipped = np.isclose(box_h, 100)
    assert 0.1 < clipped.mean() < 0.9
    whole = box_w[~clipped] * box_h[~clipped] / 30_000
    assert whole.min() >= 0.08 and whole.max() <= 1
    assert (box_w / box_h).max() <= 3 + 1e-9


def test_scale_jitter_draws_every_shorter_side_from_256_to_480() -> None:
    """Simonyan & Zisserman 2014, sec. 3.1: S in [256, 512]; here the 225 sides of He et al., [256, 480]."""
    boxes = Augmentation("scale_jitter").boxes(sizes(50_000, 375, 500), 224, draws(50_000))
    box_w, box_h = sides(boxes)
    assert np.allclose(box_w, box_h)
    shorter_side = 375 * 224 / box_w
    assert np.abs(shorter_side - shorter_side.round()).max() < 1e-6
    counts = np.bincount(shorter_side.round().astype(int))
    assert (counts.nonzero()[0] == np.arange(256, 481)).all()
    assert stats.chisquare(counts[256:]).pvalue > 1e-4
    assert stats.kstest(boxes[:, 0] / (500 - box_w), "uniform").pvalue > 1e-4
    assert stats.kstest(boxes[:, 1] / (375 - box_h), "uniform").pvalue > 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_a_box_follows_from_its_own_draws_alone(kind: str) -> None:
    augmentation, drawn, all_sizes = Augmentation(kind), draws(50), sizes(50, 300, 300)
    all_ = augmentation.boxes(all_sizes, 224, drawn)
    assert augmentation.boxes(all_sizes[7:9], 224, drawn[7:9]).tolist() == all_[7:9].tolist()
    other = drawn.copy()
    other[:, :2] = other[:, 6:] = 0.5  # order, mirror and colour have columns of their own
    assert augmentation.boxes(all_sizes, 224, other).tolist() == all_.tolist()


def test_order_mirror_box_and_colour_each_have_columns_of_their_own() -> None:
    columns = [ORDER, MIRROR, *range(DRAWS)[BOX], *range(DRAWS)[COLOUR]]
    assert sorted(columns) == list(range(DRAWS))


# What is kept of an image


def test_pad_crop_keeps_the_crop_in_a_black_frame() -> None:
    image = noise(48, 64, 3)
    kept = Augmentation("pad_crop", padding=4).prepare(image, Geometry(32, 32))
    square = torch.from_numpy(Geometry(32, 32).apply(image).copy())
    assert kept.tolist() == torch.nn.functional.pad(square, (0, 0, 4, 4, 4, 4)).tolist()


def test_the_other_kinds_keep_all_that_their_boxes_reach() -> None:
    image, geometry = noise(48, 64, 3), Geometry(40, 32)
    assert Augmentation("none").prepare(image, geometry).tolist() == geometry.apply(image).tolist()
    square = Image.fromarray(image).resize((53, 40), Image.Resampling.BILINEAR).crop((6, 0, 46, 40))
    assert Augmentation("random_crop").prepare(image, geometry).tolist() == np.asarray(square).tolist()
    for kind in ("resized_crop", "scale_jitter"):
        assert Augmentation(kind).prepare(image, geometry).tolist() == image.tolist()


# Cutting


@given(count=st.integers(1, 9), channels=st.sampled_from([1, 3]), crop=st.integers(1, 8), seed=st.integers(0, 999))
@settings(deadline=None, max_examples=50)
def test_cutting_agrees_with_a_plain_loop_on_host_and_device(count: int, channels: int, crop: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    squares = noise(5, 8, 8, channels, seed=seed)
    rows, mirror = rng.integers(0, 5, count), rng.random(count) < 0.5
    boxes = Augmentation("random_crop").boxes(sizes(count, 8, 8), crop, draws(count, seed))
    loop = []
    for row, (left, top, right, bottom), flip in zip(rows, boxes.astype(int), mirror, strict=True):
        piece = torch.from_numpy(squares)[row, top:bottom, left:right]
        loop.append(piece.flip(1) if flip else piece)
    expected = torch.stack(loop).tolist()
    assert cut_squares(squares, rows.tolist(), boxes, mirror, crop).tolist() == expected
    assert cut_squares(list(squares), rows.tolist(), boxes, mirror, crop).tolist() == expected
    on_device = cut_squares_on_device(torch.from_numpy(squares), torch.from_numpy(rows), boxes, mirror, crop)
    assert (on_device.dtype, on_device.tolist()) == (torch.uint8, expected)


def test_mirroring_twice_is_the_identity_and_once_is_not() -> None:
    squares, rows = noise(6, 9, 9, 3), list(range(6))
    whole, every = np.tile([0.0, 0.0, 9.0, 9.0], (6, 1)), np.ones(6, bool)
    once = cut_squares(squares, rows, whole, every, 9)
    assert once.tolist() == squares[:, :, ::-1].tolist() != squares.tolist()
    assert cut_squares(once, rows, whole, every, 9).tolist() == squares.tolist()


def test_a_photo_is_cut_as_pillow_cuts_it() -> None:
    photo, box = noise(60, 90, 3), np.array([10.25, 5.5, 70.75, 41.0])
    expected = np.asarray(Image.fromarray(photo).resize((24, 24), Image.Resampling.BILINEAR, box=tuple(box)))
    assert cut_photo(photo, box, False, 24, "bilinear").tolist() == expected.tolist()
    assert cut_photo(photo, box, True, 24, "bilinear").tolist() == expected[:, ::-1].tolist()


# Colour


def test_colour_noise_has_a_tenth_of_each_eigenvalue_along_its_eigenvector() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.random((2000, 3)) @ rng.random((3, 3))
    values, vectors = np.linalg.eigh(np.cov(pixels.T))
    shift = colour_shift(draws(200_000), torch.from_numpy(vectors * values))
    assert shift.shape == (200_000, 3, 1, 1)
    along = shift[:, :, 0, 0].numpy() @ vectors / values  # (N, 3): the paper's alphas
    assert np.abs(np.cov(along.T) - 0.01 * np.eye(3)).max() < 1e-4
    for alphas in along.T:
        assert stats.kstest(alphas, stats.norm(scale=0.1).cdf).pvalue > 1e-4


def test_colour_noise_by_hand() -> None:
    basis = torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0], [4.0, 0.0, 0.0]])
    drawn = np.full((2, DRAWS), 0.5)
    drawn[1, COLOUR] = stats.norm.cdf([1.0, -1.0, 2.0])  # alphas 0.1, -0.1, 0.2
    shift = colour_shift(drawn, basis)[:, :, 0, 0]
    assert shift[0].tolist() == [0, 0, 0]
    assert shift[1].tolist() == pytest.approx([0.1 + 0.4, -0.3, 0.4])


def test_colour_noise_is_finite_for_the_draws_at_the_ends() -> None:
    for end in (0.0, ALMOST_ONE):
        assert colour_shift(np.full((1, DRAWS), end), torch.eye(3)).abs().max() < 1
