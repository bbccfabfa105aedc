"""The number in an image's name: the one reading of it that kits, label files, ReaL and submissions share."""

import pytest

from topfive.data.challenge import numbered


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("ILSVRC2012_val_00000001.JPEG", (2012, "val", 1)),
        ("val/n01440764/ILSVRC2012_val_00050000.jpeg", (2012, "val", 50_000)),
        ("ILSVRC2010_test_00000020", (2010, "test", 20)),  # as Kaggle's ImageId
        ("ilsvrc2012_VAL_00000007.png", (2012, "val", 7)),
        ("ILSVRC2012_val_00000293_n01440764.JPEG", (2012, "val", 293)),
        ("ILSVRC2012_test_0100000.JPEG", None),  # a misprint of the kit's readme: eight digits are right
        ("ILSVRC2012_val_000000011.JPEG", None),
        ("ILSVRC2012_validation_ground_truth.txt", None),
        ("n01440764_10026.JPEG", None),
        ("val_00000001.JPEG", None),
    ],
)
def test_an_images_number_is_in_its_name(name: str, found: tuple[int, str, int] | None) -> None:
    assert numbered(name) == found
