"""How dense evaluation is written, and which images it sees."""

import re

import numpy as np
import pytest
from PIL import Image

from topfive.data.crops import check_crops, mirrors
from topfive.data.dense import Dense
from topfive.data.geometry import Geometry
from topfive.errors import Misused


def test_dense_is_a_protocol_with_mirror_images() -> None:
    assert check_crops("dense") == check_crops("dense@256") == Dense((256,))
    assert check_crops("dense@256+384+512") == Dense((256, 384, 512))
    assert str(check_crops("dense")) == "dense@256"
    assert mirrors(Dense())


@pytest.mark.parametrize(
    "name", ["dense@", "dense@200", "dense@2000", "dense@256+256", "dense@256+", "dense@a", "dense@-256"]
)
def test_other_sides_are_refused(name: str) -> None:
    with pytest.raises(
        Misused,
        match=r"--crops: expected dense@ with different sides of 224 to 1024 px, .* got " + re.escape(name) + ";",
    ):
        check_crops(name)


@pytest.mark.parametrize("name", ["densely", "Dense", "", "256", "10@256"])
def test_other_names_are_no_protocol(name: str) -> None:
    with pytest.raises(Misused, match=f"--crops: expected 1, 5, 10, 144 or dense, got {name}; choose one of these"):
        check_crops(name)


@pytest.mark.parametrize(("size", "shapes"), [((30, 45), [(37, 56), (55, 82)]), ((90, 31), [(107, 37), (160, 55)])])
def test_the_whole_image_is_seen_at_each_side(size: tuple[int, int], shapes: list[tuple[int, int]]) -> None:
    """Of crops of 32 px 256 and 384 are 37 and 55 px; the longer side follows."""
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    found = Dense((256, 384)).whole(image, Geometry(32, 32))
    for whole, shape in zip(found, shapes, strict=True):
        resized = Image.fromarray(image).resize(shape[::-1], Image.Resampling.BILINEAR)
        assert np.array_equal(whole, np.asarray(resized))


def test_the_middle_is_seen_where_sides_must_be_multiples() -> None:
    image = np.random.default_rng(0).integers(0, 256, (37, 59, 3), dtype=np.uint8)
    [found] = Dense().whole(image, Geometry(37, 32), step=4)
    assert np.array_equal(found, image[0:36, 1:57])
