"""Geometry against the Challenge's 144-crop tables, Pillow asked directly, and sums over blocks of pixels."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from topfive.data.geometry import (
    INTERPOLATION,
    WIDEST,
    Geometry,
    center,
    resize_box,
    resize_short,
    to_images,
    to_pixels,
)
from topfive.errors import BadFile

PILLOWS_NAME = {"bilinear": "BILINEAR", "bicubic": "BICUBIC", "area": "BOX"}
PROTOCOLS = Path(__file__).parents[1] / "facts" / "protocols"
CROPS = [
    pytest.param(size, {key: int(cell) if cell.isdigit() else cell for key, cell in row.items()},
                 id=f"{size[0]}x{size[1]} at {row['scale']}, {row['view']}")
    for size in ((500, 375), (375, 500))
    for row in csv.DictReader((PROTOCOLS / f"crops144_{size[0]}x{size[1]}.csv").read_text().splitlines())
    if row["square"] == "center" and row["view"] in ("cc", "whole square") and row["flip"] == "0"
]  # fmt: skip


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def signed(height: int, width: int) -> np.ndarray:
    """Every pixel holds its own place: (column, row, 256s of column and row)."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns % 256, rows % 256, columns // 256 * 16 + rows // 256], 2).astype(np.uint8)


def place(pixel: np.ndarray) -> tuple[int, int]:
    column, row, above = pixel.tolist()
    return column + 256 * (above // 16), row + 256 * (above % 16)


@pytest.mark.parametrize(("size", "row"), CROPS)
def test_sides_and_offsets_are_those_of_the_144_crop_tables(size: tuple[int, int], row: dict) -> None:
    resized = resize_short(noise(size[1], size[0]), row["scale"])
    assert resized.shape == (row["resized_h"], row["resized_w"], 3)
    crop = Geometry(row["scale"], row["crop"]).apply(signed(row["resized_h"], row["resized_w"]))
    assert crop.shape == (row["crop"], row["crop"], 3)
    assert place(crop[0, 0]) == (row["x0"], row["y0"])
    assert place(crop[-1, -1]) == (row["x0"] + row["crop"] - 1, row["y0"] + row["crop"] - 1)


@pytest.mark.parametrize("interpolation", INTERPOLATION)
@pytest.mark.parametrize("channels", [1, 3])
def test_resizing_is_pillows(interpolation: str, channels: int) -> None:
    image = noise(75, 100, channels)
    for short, size in ((48, (64, 48)), (150, (200, 150))):  # smaller, with antialiasing; and larger
        picture = Image.fromarray(image if channels == 3 else image[..., 0])
        expected = np.asarray(picture.resize(size, getattr(Image.Resampling, PILLOWS_NAME[interpolation])))
        assert (resize_short(image, short, interpolation) == expected.reshape(size[1], size[0], channels)).all()


def test_area_averages_blocks() -> None:
    image = noise(60, 84)
    blocks = image.reshape(20, 3, 28, 3, 3).mean((1, 3))
    assert np.abs(resize_short(image, 20, "area") - blocks).max() < 1  # Pillow rounds twice, along and across


@pytest.mark.parametrize("interpolation", INTERPOLATION)
@given(height=st.integers(1, 60), width=st.integers(1, 60), short=st.integers(1, 40), value=st.integers(0, 255))
@settings(deadline=None, max_examples=30)
def test_a_flat_image_stays_flat_and_the_short_side_is_as_asked(
    interpolation: str, height: int, width: int, short: int, value: int
) -> None:
    resized = resize_short(np.full((height, width, 3), value, np.uint8), short, interpolation)
    assert min(resized.shape[:2]) == short
    assert (resized == value).all()
    longer = short * min(max(height, width) / min(height, width), WIDEST)
    assert abs(max(resized.shape[:2]) - longer) <= 0.5


@given(
    height=st.integers(1, 80), width=st.integers(1, 80), crop=st.integers(1, 20), margin=st.integers(0, 9),
    channels=st.sampled_from([1, 3]),
)  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_any_image_becomes_a_crop(height: int, width: int, crop: int, margin: int, channels: int) -> None:
    image = noise(height, width, channels)
    before = image.copy()
    geometry = Geometry(crop + margin, crop)
    square = geometry.apply(image)
    assert (square.shape, square.dtype) == ((crop, crop, channels), np.uint8)
    turned = geometry.apply(image.transpose(1, 0, 2))
    assert np.abs(turned.transpose(1, 0, 2).astype(int) - square).max() <= 1  # height and width are treated alike
    assert (image == before).all()  # the caller's array is left alone


def test_an_image_of_the_right_size_is_not_resampled() -> None:
    image = noise(32, 32)
    assert Geometry(32, 32).apply(image).tolist() == image.tolist()
    assert resize_short(noise(32, 100), 32).tolist() == noise(32, 100).tolist()


def test_an_odd_margin_leaves_the_extra_pixel_right_and_below() -> None:
    assert place(center(signed(35, 40), 32)[0, 0]) == (4, 1)


@pytest.mark.parametrize(("height", "width"), [(1, 30_000), (30_000, 1), (3, 20_000), (20_000, 2)])
def test_a_thread_of_an_image_is_cut_to_its_middle_and_takes_no_more_memory_than_others(
    height: int, width: int
) -> None:
    resized = resize_short(noise(height, width), 256)
    assert sorted(resized.shape[:2]) == [256, WIDEST * 256]
    assert Geometry(256, 224).apply(noise(height, width)).shape == (224, 224, 3)


def test_the_middle_is_what_is_kept_of_it() -> None:
    long = signed(2, 100)
    assert resize_short(long, 2).tolist() == long[:, 46:54].tolist()
    assert resize_short(long.transpose(1, 0, 2), 2).tolist() == long[:, 46:54].transpose(1, 0, 2).tolist()


def test_a_box_is_cut_before_it_is_resized_as_pillow_does() -> None:
    image, box = noise(40, 50), (3.25, 4.5, 33.75, 21.125)
    expected = Image.fromarray(image).resize((16, 12), Image.Resampling.BICUBIC, box=box)
    assert (resize_box(image, box, (12, 16), "bicubic") == np.asarray(expected)).all()
    assert resize_box(image, (5, 7, 25, 17), (10, 20)).tolist() == image[7:17, 5:25].tolist()


def test_a_view_of_an_image_is_resized_like_a_copy() -> None:
    image = noise(50, 40).transpose(1, 0, 2)[:, ::-1]
    assert resize_short(image, 20).tolist() == resize_short(image.copy(), 20).tolist()


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_bytes_over_255_in_rgb_stored_channels_last(channels: int) -> None:
    pixels = noise(2 * 5, 7, channels).reshape(2, 5, 7, channels)
    tensor = torch.from_numpy(pixels)
    planes = tensor.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)  # as a split in memory holds them
    for given_ in (pixels, tensor, planes):
        images = to_images(given_)
        assert (images.shape, images.dtype) == ((2, 3, 5, 7), torch.float32)
        assert images.is_contiguous(memory_format=torch.channels_last)
        for channel in range(3):
            expected = pixels[..., channel if channels == 3 else 0].astype(np.float32) / np.float32(255)
            assert images[:, channel].tolist() == expected.tolist()


def test_to_pixels_puts_the_channels_last() -> None:
    image = torch.arange(2 * 3 * 4, dtype=torch.uint8).reshape(2, 3, 4)
    assert to_pixels(image)[1, 2].tolist() == image[:, 1, 2].tolist()
    assert to_pixels(image).shape == (3, 4, 2)


@pytest.mark.parametrize("wrong", [{"crop": 0}, {"resize_short": -1, "crop": -2}, {"interpolation": "nearest"}])
def test_a_geometry_that_cannot_be_is_refused(wrong: dict) -> None:
    with pytest.raises(
        BadFile, match="geometry: expected crop and resize_short above 0 and interpolation one of bilinear"
    ):
        Geometry(**{"resize_short": 32, "crop": 32} | wrong)


def test_the_json_form_gives_the_geometry_back() -> None:
    geometry = Geometry(256, 224, "bicubic")
    assert geometry.to_json() == {"resize_short": 256, "crop": 224, "interpolation": "bicubic"}
    assert Geometry(**geometry.to_json()) == geometry


def test_a_crop_larger_than_the_image_gets_a_black_border() -> None:
    """LeCun et al. 1998, sec. II-B: 28-px digits in a field of 32 px."""
    image = np.full((28, 28, 1), 200, np.uint8)
    square = Geometry(28, 32).apply(image)
    assert square.shape == (32, 32, 1)
    assert (square[2:30, 2:30] == 200).all()
    assert int(square.sum()) == 28 * 28 * 200
    wide = Geometry(28, 33).apply(np.full((28, 40, 1), 200, np.uint8))  # black above and below alone
    assert (wide[2:30] == 200).all()
    assert int(wide.sum()) == 28 * 33 * 200
