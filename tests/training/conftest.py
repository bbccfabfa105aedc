"""Small runs that every test here starts from."""

from collections.abc import Callable
from typing import Any

import pytest

from topfive.data import open_data
from topfive.data.imageset import ImageSet, subset
from topfive.recipes.recipe import Recipe
from topfive.training.tailoring import fit_recipe

FIXED = {"precision.layout": "contiguous", "precision.autocast": "float32", "precision.compile": "no"}


@pytest.fixture(scope="session")
def digits() -> ImageSet:
    return open_data("digits")


@pytest.fixture(scope="session")
def few_digits(digits: ImageSet) -> ImageSet:
    """The first 120 to train on and the first 60 to judge."""
    splits = {
        "train": subset(digits.split("train"), list(range(120))),
        "test": subset(digits.split("test"), list(range(60))),
    }
    return ImageSet(digits.name, digits.layout, digits.classes, splits, mirror=False)


@pytest.fixture(scope="session")
def quick(few_digits: ImageSet) -> Callable[..., Recipe]:
    """A recipe for few digits that measures nothing; settings as for --set, with `__` for a dot."""

    def make(entry: str, **settings: Any) -> Recipe:
        given = {key.replace("__", "."): str(value) for key, value in settings.items()}
        return fit_recipe(entry, few_digits, settings=FIXED | given)[0]

    return make
