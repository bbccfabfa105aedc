"""Recipes fitted to the images at hand: nothing is substituted or changed in silence."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from topfive.data import open_data
from topfive.data.imageset import ClassLabel, ImageSet, Split
from topfive.errors import BadRecipe, Misused, UnknownName
from topfive.models.zoo import ZOO, build
from topfive.recipes.reading import open_recipe, published
from topfive.recipes.stages import Fit, Sgd, Svm
from topfive.training.tailoring import crop_side, fit_recipe, geometry_of, photo_side

SMALL = sorted(name.removesuffix(".small") for name in published() if name.endswith(".small"))


@pytest.fixture
def photos(tmp_path: Path) -> ImageSet:
    """Pictures of 300 x 200, 90 x 400 and 160 x 170 px: shorter sides 200, 90 and 160."""
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            for index, size in enumerate(((300, 200), (90, 400), (160, 170))):
                Image.new("RGB", size, (9 * index, len(split), len(name))).save(
                    tmp_path / split / name / f"{index}.png"
                )
    return open_data(tmp_path)


def test_there_are_no_more_landmarks_than_images(digits: ImageSet) -> None:
    assert fit_recipe("hog_rbf", digits)[0].model["landmarks"] == 1000
    assert fit_recipe("hog_rbf", digits, settings={"model.landmarks": "30"})[0].model["landmarks"] == 30


@pytest.mark.parametrize(("entry", "small"), [("alexnet", "alexnet_small"), ("resnet18_b", "resnet18_b_small")])
def test_an_entry_for_photos_names_its_form_for_small_images(digits: ImageSet, entry: str, small: str) -> None:
    with pytest.raises(
        Misused, match=rf"{entry}: expected images of at least 128 px, those of digits are 8 px; use {small}"
    ):
        fit_recipe(entry, digits)


@pytest.mark.parametrize("entry", SMALL)
def test_digits_are_never_mirrored_and_that_is_said(digits: ImageSet, entry: str) -> None:
    recipe, changes = fit_recipe(entry, digits)
    for stage in recipe.stage:
        assert isinstance(stage, Fit) or not (stage.mirror if isinstance(stage, Svm) else stage.augment.mirror)
    mirrored = open_recipe(f"{entry}.small").mirrors
    said = [change for change in changes if "mirror" in change]
    assert said == (["mirroring turned off: a mirrored character is another character"] if mirrored else [])


def test_photos_are_mirrored_as_the_recipe_says(photos: ImageSet) -> None:
    recipe, changes = fit_recipe("mlp", photos)
    assert recipe.mirrors
    assert not any("mirror" in change for change in changes)


def test_lenet5_gets_the_codes_of_its_paper_on_digits_alone(digits: ImageSet, photos: ImageSet) -> None:
    assert fit_recipe("lenet5", digits)[0].model == {"digit_codes": True}
    assert fit_recipe("lenet5", digits, settings={"model.digit_codes": "false"})[0].model == {"digit_codes": False}
    assert "digit_codes" not in fit_recipe("lenet5", photos)[0].model


def test_the_shorter_side_is_the_median_one(photos: ImageSet, digits: ImageSet) -> None:
    assert photo_side(photos) == 160
    assert photo_side(digits) == 8


def test_the_crop_follows_the_images_within_what_the_entry_takes(photos: ImageSet, digits: ImageSet) -> None:
    assert [crop_side(ZOO["mlp"], side) for side in (8, 32, 63, 64, 500)] == [32, 32, 32, 64, 64]
    assert [crop_side(ZOO["lenet5"], side) for side in (8, 500)] == [32, 32]
    assert crop_side(ZOO["alexnet"], 500) == 227
    assert fit_recipe("mlp", photos)[0].model["image"] == 64
    assert fit_recipe("mlp", digits)[0].model["image"] == 32


@pytest.mark.parametrize(
    ("entry", "side", "crop"),
    [
        ("mobilenet_v1_1.0_224", 375, 224), ("mobilenet_v1_1.0_224", 224, 224), ("mobilenet_v1_1.0_224", 223, 192),
        ("mobilenet_v1_1.0_224", 130, 128), ("mobilenet_v1_1.0_160", 375, 160), ("inception_v3", 375, 299),
        ("inception_v3", 200, 299), ("facenet_nn2", 200, 192), ("bn_inception", 250, 224),
    ],
)  # fmt: skip
def test_an_entry_for_photos_has_the_crop_of_its_paper_where_they_fill_it(entry: str, side: int, crop: int) -> None:
    assert crop_side(ZOO[entry], side) == crop


def test_another_crop_than_the_papers_is_said(photos: ImageSet, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    small = open_recipe("mlp.small")
    file.write_text(small.model_copy(update={"entry": "mobilenet_v1_1.0_224", "model": {}}).to_toml())
    recipe, changes = fit_recipe("mobilenet_v1_1.0_224", photos, str(file))
    assert (geometry_of(recipe).crop, recipe.model["image"]) == (160, 160)
    said = "crops of 160 px in place of 224: the images are 160 px"
    assert said in changes
    asked, changes = fit_recipe("mobilenet_v1_1.0_224", photos, str(file), {"geometry.crop": "224"})
    assert geometry_of(asked).crop == 224 and said not in changes


def test_a_given_crop_reaches_the_net(photos: ImageSet) -> None:
    recipe, _ = fit_recipe("mlp", photos, settings={"geometry.crop": "48"})
    assert recipe.model["image"] == 48
    assert (geometry_of(recipe).crop, geometry_of(recipe).resize_short) == (48, 48)


def test_large_crops_come_from_the_256_px_of_the_papers(photos: ImageSet) -> None:
    recipe, _ = fit_recipe("resnet18_b", photos)
    assert (geometry_of(recipe).crop, geometry_of(recipe).resize_short) == (224, 256)


def test_random_crops_leave_room_to_move(photos: ImageSet) -> None:
    recipe, _ = fit_recipe("mlp", photos, settings={"augment.kind": "random_crop"})
    assert geometry_of(recipe).resize_short == 73  # 64 x 256 / 224


def test_a_recipe_is_found_by_variant_name_or_file(digits: ImageSet, tmp_path: Path) -> None:
    by_variant = fit_recipe("cifar_resnet20", digits, "paper")[0]
    assert by_variant == fit_recipe("cifar_resnet20", digits, "cifar_resnet20.paper")[0]
    assert by_variant != fit_recipe("cifar_resnet20", digits)[0]
    file = tmp_path / "mine.toml"
    file.write_text(by_variant.to_toml())
    assert fit_recipe("cifar_resnet20", digits, str(file))[0] == by_variant


def test_what_is_no_recipe_of_the_entry_is_refused(digits: ImageSet) -> None:
    with pytest.raises(Misused, match=r"recipe mlp\.small: is for mlp, not for lenet5"):
        fit_recipe("lenet5", digits, "mlp.small")
    with pytest.raises(UnknownName, match="there is no recipe named 'papier'"):
        fit_recipe("lenet5", digits, "papier")
    with pytest.raises(UnknownName, match=r"there is no entry named 'lenet' \(did you mean lenet5\?\)"):
        fit_recipe("lenet", digits)
    with pytest.raises(BadRecipe, match=r"unknown key 'stage.0.epoch' \(did you mean epochs\?\)"):
        fit_recipe("lenet5", digits, settings={"epoch": "3"})


def test_settings_reach_the_stage(digits: ImageSet) -> None:
    stage = fit_recipe("lenet5", digits, settings={"epochs": "3", "optimizer.lr": "0.5"})[0].stage[0]
    assert isinstance(stage, Sgd)
    assert (stage.epochs, stage.optimizer.lr) == (3, 0.5)


@pytest.mark.parametrize(
    ("images", "size", "lr"), [(1000, 64, 0.1), (1024, 128, 0.2), (511, 32, 0.05), (512, 64, 0.1), (90, 16, 0.025)]
)
def test_few_images_come_in_smaller_batches_and_that_is_said(images: int, size: int, lr: float) -> None:
    pixels = torch.zeros(images, 3, 32, 32, dtype=torch.uint8)
    split = Split(tuple(map(str, range(images))), torch.arange(images) % 2, pixels=pixels)
    data = ImageSet("few", "", (ClassLabel("a", "a"), ClassLabel("b", "b")), {"train": split})
    recipe, changes = fit_recipe("cifar_resnet20", data)
    [stage] = recipe.stage
    assert isinstance(stage, Sgd)
    assert (stage.batch_size, stage.optimizer.lr) == (size, pytest.approx(lr))
    said = (
        f"batches of {size} images and a learning rate of {lr:g} in place of 128 and 0.2: there are {images:,} images"
    )
    assert changes == ([] if size == 128 else [said + " only"])
    asked, _ = fit_recipe("cifar_resnet20", data, settings={"batch_size": "128"})
    assert isinstance(asked.stage[0], Sgd) and asked.stage[0].batch_size == 128


def test_an_entry_of_a_family_is_trained_by_the_familys_recipe(digits: ImageSet) -> None:
    recipe, changes = fit_recipe("cifar_plain20", digits)
    assert recipe.entry == "cifar_plain20"
    assert changes[0] == "trained by the recipe of cifar_resnet20"
    assert recipe.stage == fit_recipe("cifar_resnet20", digits)[0].stage


def test_of_another_entrys_arguments_those_that_it_has_are_taken(digits: ImageSet) -> None:
    assert (
        fit_recipe("vgg16_small", digits)[0].model["dropout"] == fit_recipe("alexnet_small", digits)[0].model["dropout"]
    )
    assert "dropout" not in fit_recipe("googlenet_small", digits)[0].model
    asked, _ = fit_recipe("googlenet_small", digits, settings={"model.dropout": "0.5"})
    with pytest.raises(Misused, match="googlenet_small has no argument 'dropout'"):
        build("googlenet_small", 10, **asked.model)


def test_an_entry_without_a_recipe_asks_for_one(photos: ImageSet) -> None:
    with pytest.raises(Misused, match="vgg16: expected --recipe FILE, since no recipe for it is published yet"):
        fit_recipe("vgg16", photos)


def test_a_hand_made_entrys_own_values_are_taken_where_a_recipe_has_none(digits: ImageSet, tmp_path: Path) -> None:
    bare = tmp_path / "bare.toml"
    bare.write_text('source = "ours"\nentry = "hog_svm"\n[[stage]]\nkind = "svm"\n')
    recipe, _ = fit_recipe("hog_svm", digits, recipe=str(bare))
    assert (recipe.values.subtract, recipe.values.unit) == ("none", "one")
    net, _ = fit_recipe("hog_svm", digits, recipe=str(bare), settings={"values.unit": "byte"})
    assert (net.values.subtract, net.values.unit) == ("channel", "byte")  # as asked, to be refused by name
