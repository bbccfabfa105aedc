"""The protocols' squares against the papers' tables, coordinate by coordinate; what is cut is what stands there."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from topfive.data.crops import CROPS, check_crops, cut, mirrors, views
from topfive.data.geometry import Geometry, resize_short, resized
from topfive.errors import Misused

FACTS = Path(__file__).parents[1] / "facts" / "protocols"


def rows_of(name: str) -> list[dict[str, str]]:
    with open(FACTS / name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("width", "height"), [(500, 375), (375, 500)])
def test_the_144_crops_are_those_of_the_table(width: int, height: int) -> None:
    table = rows_of(f"crops144_{width}x{height}.csv")
    found = views("144", height, width, Geometry(256, 224))
    assert len(table) == 144 == 2 * len(found)
    for place, row in enumerate(table):
        view = found[place // 2]
        assert int(row["flip"]) == place % 2, "the mirror image comes right after"
        assert (view.short, view.left, view.top, view.side) == tuple(
            int(row[column]) for column in ("scale", "x0", "y0", "crop")
        )
        assert (row["resize_to"] == "224") == (view.side != 224)
        assert resized(height, width, view.short) == (int(row["resized_h"]), int(row["resized_w"]))


def test_the_10_crops_of_a_square_are_those_of_the_table() -> None:
    table, found = rows_of("crops10_256_224.csv"), views("10", 256, 256, Geometry(256, 224))
    assert len(table) == 10 == 2 * len(found)
    for place, row in enumerate(table):
        view = found[place // 2]
        assert (view.left, view.top, view.side) == tuple(int(row[column]) for column in ("x0", "y0", "size"))
        assert (int(row["flip"]), view.short) == (place % 2, 256)


def test_small_images_have_the_protocols_too() -> None:
    """For crops of 32 px: sides of 37, 41, 46 and 50 px."""
    assert [view.short for view in views("144", 32, 32, Geometry(32, 32))[::18]] == [37, 41, 46, 50]
    assert {(view.short, view.side) for view in views("5", 32, 32, Geometry(32, 32))} == {(37, 32)}


@pytest.mark.parametrize("size", [(375, 500), (500, 375), (40, 300), (33, 32)])
@pytest.mark.parametrize("crops", CROPS)
def test_what_is_cut_is_what_stands_there(crops: str, size: tuple[int, int]) -> None:
    protocol = check_crops(crops)
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    geometry = Geometry(37, 32)
    found = cut(image, protocol, geometry)
    assert found.shape == (1 if crops == "1" else len(views(protocol, *size, geometry)), 32, 32, 3)
    assert len(found) * (1 + mirrors(protocol)) == int(crops)
    if crops == "1":
        assert np.array_equal(found[0], geometry.apply(image))
        return
    for square, view in zip(found, views(protocol, *size, geometry), strict=True):
        whole = Image.fromarray(resize_short(image, view.short))
        part = whole.crop((view.left, view.top, view.left + view.side, view.top + view.side))
        if view.side != 32:
            part = part.resize((32, 32), Image.Resampling.BILINEAR)
        assert np.array_equal(square, np.asarray(part))


@pytest.mark.parametrize("size", [(375, 500), (500, 333), (256, 341), (227, 227)])
@pytest.mark.parametrize("geometry", [Geometry(256, 227), Geometry(256, 224), Geometry(342, 299)], ids=str)
def test_the_middle_of_5_is_the_one_crop(geometry: Geometry, size: tuple[int, int]) -> None:
    """AlexNets' crops of 227 px too are cut from 256 px (Krizhevsky et al. 2012, sec. 2), not from 259."""
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    [one], five = cut(image, "1", geometry), cut(image, "5", geometry)
    assert np.array_equal(five[4], one)
    assert {view.short for view in views("10", *size, geometry)} == {geometry.resize_short}


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(Misused, match="--crops: expected 1, 5, 10, 144 or dense, got 12; choose one of these"):
        check_crops("12")
