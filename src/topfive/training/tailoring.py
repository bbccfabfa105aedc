"""A recipe tailored to the images at hand: the crop, the entry's arguments, whether to mirror, and the batch."""

import numpy as np

from topfive.data.decode import shape
from topfive.data.geometry import Geometry, short_side, short_side_to_crop
from topfive.data.imageset import ImageSet, evenly
from topfive.errors import BadFile, Misused, look_up
from topfive.models.card import Card
from topfive.models.zoo import ZOO, arguments_of, options
from topfive.recipes.reading import open_recipe, published
from topfive.recipes.recipe import Recipe
from topfive.recipes.stages import Fit, Sgd, Svm, Values

LEAST_BATCHES = 8  # an epoch, which a recipe for tens of thousands of images would not have on a few hundred
LEAST_BATCH = 16


def photo_side(data: ImageSet) -> int:
    """The shorter side that most of the training images have at least, px: the median over up to 200 of them."""
    split = data.split("train")
    if split.pixels is not None:
        return int(min(split.pixels.shape[-2:]))
    sides = []
    for path in evenly(split, 200).paths or ():
        try:
            sides.append(min(shape(path)))
        except BadFile:
            continue  # named when it is to be decoded
    return int(np.median(sides)) if sides else 0


def crop_side(card: Card, side: int) -> int:
    """The side of the crop that an entry sees of images of this shorter side, px.

    An entry with one published size keeps it. Of those that take a range, one for small images sees them as they are,
    up to 64 px, and one for photos its paper's crop, or of smaller photos the largest that they fill; both in steps of
    32 px as the documented stem rules have them.
    """
    lowest, highest = card.sides
    if lowest == highest:
        return card.image
    if lowest > 64:
        return card.image if side >= card.image else max(lowest, side // 32 * 32)
    return max(lowest, min(highest, 64 if side >= 64 else 32))


def default_recipe(name: str) -> str | None:
    """The recipe that trains an entry where none is asked for: `small` where there is one, else `paper`."""
    own = ZOO[name].trained_as or name
    return next((f"{own}.{variant}" for variant in ("small", "paper") if f"{own}.{variant}" in published()), None)


def fit_recipe(
    name: str, data: ImageSet, recipe: str | None = None, settings: dict[str, str] | None = None
) -> tuple[Recipe, list[str]]:
    """The recipe to train an entry by on these images, and what was changed in it, said in words.

    recipe: a recipe's name, its variant (`paper`), or a TOML file; the small-image recipe of the entry when left out.
    Raises Misused when the images are too small for the entry.
    """
    card = look_up(name, ZOO, kind="entry")
    side = photo_side(data)
    if side and side < card.smallest_photo:
        raise Misused(
            f"{name}: expected images of at least {card.smallest_photo} px, those of {data.name} are {side} px; "
            + (f"use {card.small}, for small images" if card.small else "choose an entry for small images")
        )
    known, own = published(), card.trained_as or name
    wanted = recipe or default_recipe(name)
    if wanted is None:
        raise Misused(
            f"{name}: expected --recipe FILE, since no recipe for it is published yet; docs/recipes.md shows one"
        )
    loaded = open_recipe(f"{own}.{wanted}" if f"{own}.{wanted}" in known else wanted, settings)
    changes = []
    if loaded.entry == own != name:
        # Of the other's arguments those that this one has too, and all that were asked for, to be refused by name.
        has = {*options(card), *(key.removeprefix("model.") for key in settings or {})}
        kept = {argument: value for argument, value in loaded.model.items() if argument in has}
        loaded = loaded.model_copy(update={"entry": name, "model": kept})
        changes.append(f"trained by the recipe of {own}")
    if loaded.entry != name:
        raise Misused(
            f"recipe {wanted}: is for {loaded.entry}, not for {name}; choose one of {name}'s with topfive show {name}"
        )
    if card.fitted_by == "svm" and "values" not in loaded.model_fields_set:
        loaded = loaded.model_copy(update={"values": Values(subtract="none", unit="one")})  # see `set_values`
    if loaded.mirrors and not data.mirror:
        loaded = loaded.without_mirror()
        changes.append("mirroring turned off: a mirrored character is another character")
    if not any(key.endswith("batch_size") for key in settings or {}):
        loaded, smaller = _with_small_batches(loaded, len(data.split("train")))
        changes += smaller
    crop = loaded.geometry.crop or crop_side(card, side)
    if loaded.geometry.crop is None and card.sides[0] > 64 and crop != card.image:
        changes.append(f"crops of {crop} px in place of {card.image}: the images are {side} px")
    default_short = short_side(crop)
    if any(isinstance(stage, Sgd) and stage.augment.kind == "random_crop" for stage in loaded.stage):
        default_short = short_side_to_crop(crop)
    short = loaded.geometry.resize_short or default_short
    geometry = loaded.geometry.model_copy(update={"crop": crop, "resize_short": short})
    arguments = dict(loaded.model)
    if card.sides[0] != card.sides[1]:
        arguments.setdefault("image", crop)
    if "landmarks" in options(card):
        arguments.setdefault("landmarks", min(arguments_of(card)["landmarks"], max(1, len(data.split("train")))))
    if name == "lenet5" and [label.key for label in data.classes] == [str(digit) for digit in range(10)]:
        arguments.setdefault("digit_codes", True)
    return loaded.model_copy(update={"geometry": geometry, "model": arguments}), changes


def _with_small_batches(recipe: Recipe, images: int) -> tuple[Recipe, list[str]]:
    """The recipe with batches halved, and the learning rate with them, until an epoch has LEAST_BATCHES of them.

    The rate goes with the batch as in Goyal et al. 2017, arXiv:1706.02677, sec. 2.1.
    """
    stages: list[Sgd | Svm | Fit] = []
    changes = []
    for stage in recipe.stage:
        if isinstance(stage, Sgd):
            size = stage.batch_size
            while size // 2 >= LEAST_BATCH and images // size < LEAST_BATCHES:
                size //= 2
            lr = stage.optimizer.lr * size / stage.batch_size
            if size < stage.batch_size:
                changes.append(
                    f"batches of {size} images and a learning rate of {lr:g} in place of {stage.batch_size} and "
                    f"{stage.optimizer.lr:g}: there are {images:,} images only"
                )
            optimizer = stage.optimizer.model_copy(update={"lr": lr})
            stage = stage.model_copy(update={"batch_size": size, "optimizer": optimizer})
        stages.append(stage)
    return recipe.model_copy(update={"stage": tuple(stages)}), changes


def geometry_of(recipe: Recipe) -> Geometry:
    """The geometry of a recipe that `fit_recipe` has fitted to its images."""
    assert recipe.geometry.resize_short is not None and recipe.geometry.crop is not None
    return Geometry(recipe.geometry.resize_short, recipe.geometry.crop, recipe.geometry.interpolation)
