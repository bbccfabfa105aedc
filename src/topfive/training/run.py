"""A run: one entry trained on one image set by one recipe, in one folder that can be resumed at any moment."""

import logging
import os
import platform
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import topfive
from topfive.data.augment import Augmentation
from topfive.data.decode import shape
from topfive.data.draws import id_keys, uniform
from topfive.data.geometry import Geometry
from topfive.data.imageset import Broken, ImageSet, Split, subset
from topfive.data.loader import TrainingLoader, central_crops
from topfive.errors import BadData, BadFile, Misused, look_up
from topfive.files import write_json, write_text
from topfive.models.modelfile import FILE_NAME, Model, save
from topfive.models.zoo import ZOO, Card, build
from topfive.recipes.recipe import Recipe, Sgd, open_recipe, published
from topfive.training import checkpoint
from topfive.training.checkpoint import Progress, under
from topfive.training.loop import SgdLoop, supply_seconds
from topfive.training.pace import Pace
from topfive.training.svm import fit_svm
from topfive.training.tuning import Choice, Trial, choose

log = logging.getLogger("topfive")

STATISTICS = 10_000  # training images that means and deviations are computed on


@dataclass
class Run:
    """A finished run. seconds: of training in all its processes. broken: training images that were skipped."""

    folder: Path
    model: Model
    recipe: Recipe
    seconds: float
    legs: list[tuple[int, int]] = field(default_factory=list)
    choice: dict[str, str] | None = None
    broken: list[Broken] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)


def photo_side(data: ImageSet) -> int:
    """The shorter side that most of the training images have at least, px: the median over up to 200 of them."""
    split = data.split("train")
    if split.pixels is not None:
        return int(min(split.pixels.shape[-2:]))
    assert split.paths is not None
    sides = []
    for path in split.paths[:: max(1, len(split) // 200)]:
        try:
            sides.append(min(shape(path)))
        except BadFile:
            continue  # named when it is to be decoded
    return int(np.median(sides)) if sides else 0


def crop_side(card: Card, side: int) -> int:
    """The side of the crop that an entry sees of images of this shorter side, px.

    An entry with one published size keeps it. One that takes a range sees the images as they are, up to 64 px, in steps
    of 32 px as the documented stem rules have them.
    """
    lowest, highest = card.sides
    if lowest == highest:
        return card.image
    return max(lowest, min(highest, 64 if side >= 64 else 32))


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
            f"use {card.small}, its form for small images"
        )
    known = published()
    wanted = recipe or next(
        (f"{name}.{variant}" for variant in ("small", "paper") if f"{name}.{variant}" in known), name
    )
    loaded = open_recipe(f"{name}.{wanted}" if f"{name}.{wanted}" in known else wanted, settings)
    if loaded.entry != name:
        raise Misused(
            f"recipe {wanted}: is for {loaded.entry}, not for {name}; choose one of {name}'s with topfive show {name}"
        )
    changes = []
    if loaded.mirrors and not data.mirror:
        loaded = loaded.without_mirror()
        changes.append("mirroring turned off: a mirrored character is another character")
    crop = loaded.geometry.crop or crop_side(card, side)
    default_short = crop if crop <= 96 else round(crop * 256 / 224)
    if any(isinstance(stage, Sgd) and stage.augment.kind == "random_crop" for stage in loaded.stage):
        default_short = round(crop * 256 / 224)
    short = loaded.geometry.resize_short or default_short
    geometry = loaded.geometry.model_copy(update={"crop": crop, "resize_short": short})
    arguments = dict(loaded.model)
    if card.sides[0] != card.sides[1]:
        arguments.setdefault("image", crop)
    if name == "lenet5" and [label.key for label in data.classes] == [str(digit) for digit in range(10)]:
        arguments.setdefault("digit_codes", True)
    return loaded.model_copy(update={"geometry": geometry, "model": arguments}), changes


def set_values(classifier: nn.Module, recipe: Recipe, split: Split, geometry: Geometry, workers: int) -> None:
    """Compute what the recipe says on up to STATISTICS training images and put it into `classifier.normalize`."""
    values, normalize = recipe.values, classifier.normalize
    channels = normalize.mean.shape[0]  # type: ignore[union-attr, index]
    mean, std = torch.zeros(channels, 1, 1), torch.ones(channels, 1, 1)
    if values.subtract != "none" or values.unit == "std":
        chosen = np.sort(np.argsort(uniform(recipe.seed, 0, id_keys(split.ids), 1)[:, 0], kind="stable")[:STATISTICS])
        sums, squares, seen = 0.0, 0.0, 0
        for batch, _ in central_crops(subset(split, chosen.tolist()), geometry, workers=workers):
            images = normalize(batch.images).double()  # still the identity, but for a luma step
            sums, squares, seen = sums + images.sum(0), squares + images.square().sum(0), seen + len(images)
        if not seen:
            raise BadData("training: no image of the training split could be decoded; give another split")
        image_mean, square_mean = torch.as_tensor(sums) / seen, torch.as_tensor(squares) / seen
        channel_mean = image_mean.mean((1, 2), keepdim=True)
        deviation = (square_mean.mean((1, 2), keepdim=True) - channel_mean.square()).clamp_min(0).sqrt()
        mean = {"none": mean, "channel": channel_mean, "image": image_mean}[values.subtract]
        std = {"std": deviation.clamp_min(1e-3), "one": std, "byte": std / 255}[values.unit]
    elif values.unit == "byte":
        std = std / 255
    normalize.set_values(mean.float(), std.float())  # type: ignore[union-attr, operator]


def colour_basis(split: Split, geometry: Geometry, seed: int, workers: int) -> Tensor:
    """Eigenvectors of the RGB covariance of training pixels in columns, each times its eigenvalue, (3, 3).

    Krizhevsky et al. 2012, sec. 4.1; on up to 1,000 images, pixels in [0, 1].
    """
    chosen = np.argsort(uniform(seed, 0, id_keys(split.ids), 1)[:, 0], kind="stable")[:1000]
    pixels = [
        batch.images.permute(0, 2, 3, 1).reshape(-1, 3).double()
        for batch, _ in central_crops(subset(split, chosen.tolist()), geometry, workers=workers)
    ]
    values, vectors = torch.linalg.eigh(torch.cat(pixels).T.cov())
    return (vectors * values).float()


def versions() -> dict[str, str]:
    """What a run's numbers depend on to the last bit."""
    return {
        "topfive": topfive.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "processor": platform.processor() or platform.machine(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
    }


def pick_device() -> torch.device:
    """The accelerator where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def workers_here() -> int:
    """Decoding threads: one a core."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def train(
    name: str,
    data: ImageSet,
    out: str | Path,
    *,
    recipe: Recipe | None = None,
    resume: bool = False,
    workers: int | None = None,
    pace: Pace | None = None,
) -> Run:
    """Train the entry `name` on the `train` split of `data` by `recipe` into the run folder `out`.

    recipe: from `fit_recipe`; its own when left out. resume: go on with the run in `out`. pace: a limit to its length.
    Raises Misused when `out` already holds a run and `resume` is false, or holds a run of other data or another recipe.
    """
    out = Path(out)
    changes: list[str] = []
    if recipe is None:
        recipe, changes = fit_recipe(name, data)
    workers = workers_here() if workers is None else workers
    device = pick_device()
    found = checkpoint.load(out)
    if (found or (out / FILE_NAME).exists()) and not resume:
        raise Misused(f"{out}: already holds a run; go on with it by --resume, or choose another --out")
    progress, stored = found or (Progress(data=data.manifest, recipe=recipe.to_toml(), conditions=versions()), {})
    if progress.data != data.manifest or progress.recipe != recipe.to_toml():
        what = "images" if progress.data != data.manifest else "recipe"
        raise Misused(f"{out}: holds a run with another {what}; resume it as it was begun, or choose another --out")
    if progress.conditions != versions():
        log.warning("%s: goes on under other conditions than it began (%s); it will not be equal to the bit", out,
                    _difference(progress.conditions, versions()))  # fmt: skip
    write_text(out / "recipe.toml", recipe.to_toml())

    torch.manual_seed(recipe.seed)
    geometry = geometry_of(recipe)
    split = data.split("train")
    arguments = dict(recipe.model)
    classifier = build(name, len(data.classes), **arguments)
    if found:
        classifier.load_state_dict(under("classifier", stored))
    else:
        set_values(classifier, recipe, split, geometry, workers)
    classifier.to(device)

    broken: list[Broken] = []
    full_steps, epochs = 0, 0.0
    for index, stage in enumerate(recipe.stage):
        if index < progress.stage:
            continue
        started = time.perf_counter()
        if isinstance(stage, Sgd):
            loader = training_loader(split, geometry, stage, recipe.seed, workers, device)
            full_steps = stage.steps(len(loader))
            loop = SgdLoop(classifier, stage, loader, out, progress, _with_most(pace, full_steps), stored)
            classifier = loop.fit()
            broken, epochs = loader.broken, progress.step / len(loader)
        else:
            broken = fit_svm(classifier.cpu(), stage, split, geometry, recipe.seed, workers)
            progress.seconds += time.perf_counter() - started
        if stage is not recipe.stage[-1]:  # a finished stage is kept and not done again
            progress = Progress(index + 1, seconds=progress.seconds, history=progress.history, data=progress.data,
                                recipe=progress.recipe, conditions=progress.conditions)  # fmt: skip
            stored = {f"classifier/{key}": tensor for key, tensor in classifier.state_dict().items()}
            checkpoint.save(out, progress, stored)
    model = Model(
        entry=name,
        arguments=arguments,
        classes=data.classes,
        geometry=geometry,
        classifier=classifier.cpu().eval(),
        recipe=recipe.model_dump(mode="json"),
        data={"name": data.name, "manifest": data.manifest, "train": len(split)},
        versions=versions(),
    )
    save(model, out / FILE_NAME)
    for image in broken:
        log.warning("skipped in training: %s", image.reason)
    write_json(out / "run.json", {
        "entry": name, "seconds": progress.seconds, "epochs": epochs, "legs": progress.legs, "full_steps": full_steps,
        "choice": progress.choice, "broken": [vars(image) for image in broken],
    })  # fmt: skip
    return Run(out, model, recipe, progress.seconds, progress.legs, progress.choice, broken, changes)


def training_loader(
    split: Split, geometry: Geometry, stage: Sgd, seed: int, workers: int, device: torch.device
) -> TrainingLoader:
    """The batches of an `sgd` stage."""
    augmentation = Augmentation(**stage.augment.model_dump())
    basis = colour_basis(split, geometry, seed, workers) if augmentation.colour == "pca" else None
    return TrainingLoader(split, geometry, augmentation, stage.batch_size, seed, workers, device, basis)


def try_out(name: str, data: ImageSet, recipe: Recipe) -> tuple[Choice, float, int, list[Trial]]:
    """Measure the first `sgd` stage on this machine without training: choice, seconds a step, steps, and all trials."""
    geometry = geometry_of(recipe)
    stage = next(stage for stage in recipe.stage if isinstance(stage, Sgd))
    classifier = build(name, len(data.classes), **dict(recipe.model)).to(pick_device())
    loader = training_loader(data.split("train"), geometry, stage, recipe.seed, workers_here(), pick_device())
    batch = next(loader.epoch(0))
    size = stage.micro_batch or len(batch.images)
    steps = stage.steps(len(loader))
    choice, seconds, trials = choose(classifier, batch.images[:size], batch.labels[:size], stage.precision, lambda _: steps)
    return choice, seconds * -(-len(batch.images) // size) + supply_seconds(loader), steps, trials


def geometry_of(recipe: Recipe) -> Geometry:
    """The geometry of a recipe that `fit_recipe` has fitted to its images."""
    assert recipe.geometry.resize_short is not None and recipe.geometry.crop is not None
    return Geometry(recipe.geometry.resize_short, recipe.geometry.crop, recipe.geometry.interpolation)


def _with_most(pace: Pace | None, steps: int) -> Pace:
    if pace is None:
        return Pace(steps)
    pace.most = min(pace.most, steps) if pace.most else steps
    return pace


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    return ", ".join(f"{key} {before.get(key)} -> {now[key]}" for key in now if before.get(key) != now[key])
