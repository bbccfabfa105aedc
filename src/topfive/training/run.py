"""A run: one entry trained on one image set by one recipe, in one folder that can be resumed at any moment."""

import logging
import os
import platform
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import topfive
from topfive.data.augment import Augmentation
from topfive.data.geometry import Geometry
from topfive.data.imageset import Broken, ImageSet, Split
from topfive.data.loader import TrainingLoader
from topfive.errors import Misused
from topfive.files import write_json, write_text
from topfive.models.modelfile import FILE_NAME, Model, best_device, save
from topfive.models.zoo import build
from topfive.recipes.recipe import Recipe, Sgd
from topfive.training import checkpoint
from topfive.training.checkpoint import Progress, under
from topfive.training.loop import SgdLoop, supply_seconds
from topfive.training.pace import Pace
from topfive.training.statistics import colour_basis, set_values
from topfive.training.svm import fit_svm
from topfive.training.tailoring import fit_recipe, geometry_of
from topfive.training.tuning import Choice, Trial, choose

log = logging.getLogger("topfive")


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
    device = best_device()
    found = checkpoint.load(out)
    if (found or (out / FILE_NAME).exists()) and not resume:
        raise Misused(f"{out}: already holds a run; go on with it by --resume, or choose another --out")
    progress, stored = found or (Progress(data=data.manifest, recipe=recipe.to_toml(), conditions=versions()), {})
    if progress.data != data.manifest or progress.recipe != recipe.to_toml():
        what = "other images" if progress.data != data.manifest else "another recipe"
        raise Misused(f"{out}: holds a run with {what}; resume it as it was begun, or choose another --out")
    if found is None:
        checkpoint.save(out, progress, {})  # says what this folder is a run of, before anything in it is changed
    if progress.conditions != versions():
        log.warning("%s: goes on under other conditions than it began (%s); it will not be equal to the bit", out,
                    _difference(progress.conditions, versions()))  # fmt: skip
    write_text(out / "recipe.toml", recipe.to_toml())

    torch.manual_seed(recipe.seed)
    geometry = geometry_of(recipe)
    split = data.split("train")
    arguments = dict(recipe.model)
    classifier = build(name, len(data.classes), **arguments)
    weights = under("classifier", stored)
    if weights:
        classifier.load_state_dict(weights)
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
    classifier = build(name, len(data.classes), **dict(recipe.model)).to(best_device())
    loader = training_loader(data.split("train"), geometry, stage, recipe.seed, workers_here(), best_device())
    batch = next(loader.epoch(0))
    size = stage.micro_batch or len(batch.images)
    steps = stage.steps(len(loader))
    choice, seconds, trials = choose(
        classifier, batch.images[:size], batch.labels[:size], stage.precision, lambda _: steps
    )
    return choice, seconds * -(-len(batch.images) // size) + supply_seconds(loader), steps, trials


def _with_most(pace: Pace | None, steps: int) -> Pace:
    if pace is None:
        return Pace(steps)
    pace.most = min(pace.most, steps) if pace.most else steps
    return pace


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    return ", ".join(f"{key} {before.get(key)} -> {now[key]}" for key in now if before.get(key) != now[key])
