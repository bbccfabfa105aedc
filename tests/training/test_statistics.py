"""Means, deviations and principal colours against NumPy on the raw pixels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from topfive.data.geometry import Geometry
from topfive.data.imageset import ImageSet, Split
from topfive.errors import BadData, Misused
from topfive.models import build
from topfive.recipes.recipe import Recipe
from topfive.recipes.stages import Values
from topfive.training import statistics
from topfive.training.statistics import colour_basis, set_values
from topfive.training.tailoring import fit_recipe


@pytest.fixture(scope="module")
def colours() -> Split:
    """40 pictures of 8 x 8 px whose channels go together."""
    rng = np.random.default_rng(4)
    base = rng.integers(0, 200, (40, 1, 8, 8))
    pixels = np.concatenate([base, base // 2 + rng.integers(0, 50, base.shape), rng.integers(0, 256, base.shape)], 1)
    return Split(tuple(map(str, range(40))), torch.arange(40) % 2, pixels=torch.from_numpy(pixels.astype(np.uint8)))


@pytest.fixture(scope="module")
def recipe(quick: Callable[..., Recipe]) -> Recipe:
    return quick("mlp")


def values(recipe: Recipe, split: Split, **wanted: str) -> tuple[np.ndarray, np.ndarray]:
    net = build("mlp", 2, image=8)
    given = recipe.model_copy(update={"values": Values.model_validate(wanted)})
    set_values(net, given, split, Geometry(8, 8), 1)
    return net.normalize.mean.numpy(), net.normalize.std.numpy()


def test_values_are_numpys(recipe: Recipe, colours: Split) -> None:
    assert colours.pixels is not None
    pixels = colours.pixels.numpy().astype(np.float64) / 255
    mean, std = values(recipe, colours, subtract="channel", unit="std")
    np.testing.assert_allclose(mean[:, 0, 0], pixels.mean((0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(std[:, 0, 0], pixels.std((0, 2, 3)), rtol=1e-5)
    mean, std = values(recipe, colours, subtract="image", unit="byte")
    np.testing.assert_allclose(mean, pixels.mean(0), rtol=1e-5)
    np.testing.assert_allclose(std.flatten(), [1 / 255] * 3, rtol=1e-6)
    mean, std = values(recipe, colours, subtract="none", unit="std")
    np.testing.assert_array_equal(mean, 0)
    np.testing.assert_allclose(std[:, 0, 0], pixels.std((0, 2, 3)), rtol=1e-5)
    mean, std = values(recipe, colours, subtract="none", unit="one")
    assert (mean.max(), std.min(), std.max()) == (0, 1, 1)
    assert values(recipe, colours, subtract="none", unit="byte")[1].flatten() == pytest.approx([1 / 255] * 3)


def test_a_flat_channel_is_not_divided_by_nothing(recipe: Recipe) -> None:
    flat = Split(("a", "b"), torch.tensor([0, 1]), pixels=torch.full((2, 3, 8, 8), 90, dtype=torch.uint8))
    assert values(recipe, flat, subtract="channel", unit="std")[1].flatten() == pytest.approx([1e-3] * 3)


def test_a_luma_step_comes_first(quick: Callable[..., Recipe], few_digits: ImageSet) -> None:
    net = build("lenet5", 10)
    split = few_digits.split("train")
    set_values(net, quick("lenet5"), split, Geometry(32, 32), 1)
    assert split.pixels is not None
    enlarged = [Image.fromarray(scan[0].numpy()).resize((32, 32), Image.Resampling.BILINEAR) for scan in split.pixels]
    pixels = np.stack([np.asarray(scan) for scan in enlarged]) / 255
    assert net.normalize.mean.item() == pytest.approx(pixels.mean(), rel=1e-5)
    assert net.normalize.std.item() == pytest.approx(pixels.std(), rel=1e-5)


def test_many_images_are_sampled_by_their_ids(recipe: Recipe, colours: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    assert colours.pixels is not None
    monkeypatch.setattr(statistics, "IMAGES", 10)
    back = list(range(40))[::-1]
    turned = Split(tuple(colours.ids[i] for i in back), colours.labels[back], pixels=colours.pixels[back])
    some, again = values(recipe, colours)[0], values(recipe, turned)[0]
    np.testing.assert_allclose(some, again, rtol=1e-6)
    monkeypatch.setattr(statistics, "IMAGES", 40)
    assert np.abs(values(recipe, colours)[0] - some).max() > 1e-4


def test_principal_colours_are_the_covariances(colours: Split) -> None:
    assert colours.pixels is not None
    pixels = colours.pixels.numpy().transpose(1, 0, 2, 3).reshape(3, -1) / 255
    covariance = np.cov(pixels)
    basis = colour_basis(colours, Geometry(8, 8), 0, 1).double().numpy()
    # Columns l p: their outer products, each divided by its l, sum to the covariance (its spectral decomposition).
    lengths = np.linalg.norm(basis, axis=0)
    np.testing.assert_allclose((basis / lengths) @ basis.T, covariance, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(np.sort(lengths), np.sort(np.linalg.eigvalsh(covariance)), rtol=1e-4)


def test_no_readable_image_is_said(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("text")
    split = Split(("a.png",), torch.tensor([0]), paths=(tmp_path / "a.png",))
    with pytest.raises(BadData, match="no image of the training split could be decoded; "):
        values(recipe, split, subtract="channel")


def test_hand_made_systems_see_pixels_as_they_are(few_digits: ImageSet, colours: Split) -> None:
    own, _ = fit_recipe("hog_svm", few_digits)
    given = own.model_copy(update={"values": Values()})
    net = build("hog_svm", 2, image=16)
    with pytest.raises(Misused, match=r'hog_svm describes pixels in \[0, 1\], so expected subtract = "none" and unit'):
        set_values(net, given, colours, Geometry(16, 16), 1)
    set_values(net, own, colours, Geometry(16, 16), 1)
    assert (net.normalize.mean == 0).all() and (net.normalize.std == 1).all()
