"""Networks that train by more than one loss, or by none of scores: what they leave behind."""

from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image

from topfive.data.geometry import Geometry
from topfive.data.imageset import ImageSet, Split
from topfive.models import build
from topfive.recipes.recipe import Recipe
from topfive.training import train
from topfive.training.codes import extract_codes
from topfive.training.history import read
from topfive.training.tailoring import geometry_of


def test_auxiliary_losses_are_in_the_history(
    tmp_path: Path, few_digits: ImageSet, quick: Callable[..., Recipe]
) -> None:
    recipe = quick("googlenet_small", epochs=1, schedule__warmup=0)
    train("googlenet_small", few_digits, tmp_path / "run", recipe=recipe)
    [record] = read(tmp_path / "run")
    assert record["auxiliary_loss"] > record["loss"] > 0  # of two classifiers against one


def test_centres_are_the_mean_codes_of_the_classes(
    tmp_path: Path, few_digits: ImageSet, quick: Callable[..., Recipe]
) -> None:
    recipe = quick("facenet_nn2_small", epochs=1, schedule__warmup=0)
    run = train("facenet_nn2_small", few_digits, tmp_path / "run", recipe=recipe)
    found = extract_codes(run.model.classifier, few_digits.split("train"), geometry_of(recipe))
    means = torch.stack([found.codes[found.labels == label].mean(0) for label in range(10)])
    assert torch.allclose(run.model.classifier.centres.centres, means, atol=1e-5)
    [record] = read(tmp_path / "run")
    assert record.keys() == {"step", "epoch", "loss", "strangers", "lr"}  # and no top-1 error, which codes have not
    assert 0 < record["strangers"] <= 1


def test_a_last_batch_that_is_all_broken_costs_nothing(tmp_path: Path) -> None:
    """256 images go together, and the 257th cannot be decoded."""
    paths = [tmp_path / f"{index}.png" for index in range(257)]
    for index, path in enumerate(paths):
        Image.new("RGB", (32, 32), (index % 256, 0, 0)).save(path)
    paths[-1].write_bytes(b"no image")
    split = Split(tuple(path.name for path in paths), torch.arange(257) % 2, paths=tuple(paths))
    found = extract_codes(build("nec_2010_small", 2, words=10, vector_words=4), split, Geometry(32, 32))
    assert found.rows == list(range(256)) and len(found.codes) == 256
    assert [image.id for image in found.broken] == ["256.png"]
