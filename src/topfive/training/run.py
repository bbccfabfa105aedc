"""A run: one entry trained on one image set by one recipe, in one folder that can be resumed at any moment."""

import logging
import platform
import time
import tomllib
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path

import torch
from torch import nn

import topfive
from topfive.data.augment import Augmentation
from topfive.data.geometry import Geometry
from topfive.data.imageset import Broken, ImageSet, Split
from topfive.data.loader import TrainingLoader
from topfive.errors import Interrupted, Misused
from topfive.files import alone_in, read_json, write_json, write_text
from topfive.layers import Classifier
from topfive.models.modelfile import FILE_NAME, Model, best_device, load, save
from topfive.models.zoo import build
from topfive.progress import say_took
from topfive.recipes.reading import parse
from topfive.recipes.recipe import Recipe, compare
from topfive.recipes.stages import Sgd, Svm
from topfive.training import checkpoint, history
from topfive.training.checkpoint import Progress, under
from topfive.training.codebook import fit_channels
from topfive.training.codes import fit_centres
from topfive.training.loop import SgdLoop, measure
from topfive.training.pace import Pace
from topfive.training.statistics import colour_basis, set_values
from topfive.training.svm import drop_codes, fit_svm
from topfive.training.tailoring import fit_recipe, geometry_of
from topfive.training.tuning import Choice, Trial

log = logging.getLogger("topfive")

RUN_FILE = "run.json"  # written last: a run that has it is finished


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
        **{name: metadata.version(name) for name in ("numpy", "scipy", "scikit-learn", "pillow")},
        "python": platform.python_version(),
        "processor": _processor(),
        "device": best_device().type,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
    }


def _processor() -> str:
    """The processor's model, as Linux names it, or what Python knows of it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


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
    Raises Misused when `out` already holds a run and `resume` is false, or holds a run of other data or another recipe,
    or when another process is training there, Interrupted after Ctrl-C.
    """
    out = Path(out)
    changes: list[str] = []
    if recipe is None:
        recipe, changes = fit_recipe(name, data)
    if (out / "leaderboard.json").exists() or (out / "plan.json").exists():
        raise Misused(f"{out}: holds a contest; choose another --out")
    with alone_in(out):
        return _train(name, data, out, recipe, changes, resume, workers, pace)


def _train(
    name: str, data: ImageSet, out: Path, recipe: Recipe, changes: list[str], resume: bool, workers: int | None,
    pace: Pace | None,
) -> Run:  # fmt: skip
    """Of `train`, what is done in the run folder."""
    progress, stored = _open_folder(out, data, recipe, resume)
    if (out / RUN_FILE).exists():
        drop_codes(out)  # of a run that was killed before it could
        return _finished(out, recipe, changes)
    write_text(out / "recipe.toml", recipe.to_toml())
    try:
        classifier, progress, lengths = _stages(name, data, out, recipe, progress, stored, workers, pace)
    except KeyboardInterrupt:
        raise Interrupted(f"{out}: stopped; go on with --resume") from None
    curve = history.read(out)
    model = Model(
        entry=name,
        arguments=dict(recipe.model),
        classes=data.classes,
        geometry=geometry_of(recipe),
        classifier=classifier.cpu().eval(),
        recipe=recipe.model_dump(mode="json"),
        data={
            "name": data.name,
            "manifest": data.manifest,
            "learned": data.manifest_of("train"),
            "train": len(data.split("train")),
        },
        figures={"training": curve[-1]} if curve else {},
        versions=versions(),
    )
    save(model, out / FILE_NAME)
    write_json(out / RUN_FILE, {
        "entry": name, "seconds": progress.seconds, **lengths, "legs": progress.legs, "choice": progress.choice,
        "conditions": progress.conditions, "broken": progress.broken,
    })  # fmt: skip
    drop_codes(out)
    return _finished(out, recipe, changes, model)


def _stages(
    name: str, data: ImageSet, out: Path, recipe: Recipe, progress: Progress, stored: dict[str, torch.Tensor],
    workers: int | None, pace: Pace | None,
) -> tuple[Classifier, Progress, dict[str, float]]:  # fmt: skip
    """Go through the stages that are left: the fitted classifier, where the run stands then, and its length."""
    torch.manual_seed(recipe.seed)
    geometry, split, device = geometry_of(recipe), data.split("train"), best_device()
    fresh = build(name, len(data.classes), **recipe.model)
    weights = under("classifier", stored)
    if weights:
        fresh.load_state_dict(weights)
    else:
        started = time.perf_counter()
        set_values(fresh, recipe, split, geometry, workers)
        progress.seconds += time.perf_counter() - started
    classifier: nn.Module = fresh.to(device)
    lengths = {"epochs": 0.0, "full_steps": 0.0}
    for index, stage in enumerate(recipe.stage[progress.stage :], progress.stage):
        if isinstance(stage, Sgd):
            loader = training_loader(split, geometry, stage, recipe.seed, workers, device)
            full_steps = stage.steps(len(loader))
            most = _with_most(pace, full_steps)
            classifier = SgdLoop(classifier.to(device), stage, loader, out, progress, most, stored).fit()
            lengths = {"epochs": progress.step / len(loader), "full_steps": full_steps}
        else:
            started = time.perf_counter()
            classifier = classifier.cpu()
            if isinstance(stage, Svm):
                skipped = fit_svm(classifier, stage, split, geometry, recipe.seed, workers, out)
            else:
                skipped = fit_channels(classifier, stage, split, geometry, recipe.seed, workers)
            progress.broken |= {image.id: image.reason for image in skipped}
            seconds = time.perf_counter() - started
            say_took(stage.kind, seconds)
            progress.seconds += seconds
        if stage is not recipe.stage[-1]:  # a finished stage is kept and not done again
            progress = replace(progress, stage=index + 1, step=0, legs=[], choice=None, sums={}, scaler={})
            stored = {f"classifier/{key}": tensor for key, tensor in classifier.state_dict().items()}
            checkpoint.save(out, progress, stored)
    started = time.perf_counter()
    fit_centres(classifier, split, geometry, workers)
    progress.seconds += time.perf_counter() - started
    assert isinstance(classifier, Classifier), "a stage gives back its classifier, or a copy of it"
    return classifier, progress, lengths


def _open_folder(out: Path, data: ImageSet, recipe: Recipe, resume: bool) -> tuple[Progress, dict[str, torch.Tensor]]:
    """Where the run in `out` stands and its tensors; a fresh start where there is none."""
    found = checkpoint.load(out)
    if found and not found[1] and not (out / FILE_NAME).exists():
        found = None  # begun, but nothing was learned yet that could be lost
    if (found or (out / FILE_NAME).exists()) and not resume:
        raise Misused(f"{out}: already holds a run; go on with it by --resume, or choose another --out")
    if resume and found is None and not (out / "checkpoint").exists():
        log.info("%s: holds no run yet, one is begun", out)
    if found is None and (out / RUN_FILE).exists():
        raise Misused(f"{out}: holds a finished run whose checkpoint is gone, which told of what; choose another --out")
    now = versions()
    progress, stored = found or (Progress(data=data.manifest, recipe=recipe.to_toml(), conditions=[now]), {})
    if progress.data != data.manifest or progress.recipe != recipe.to_toml():
        what = "other images" if progress.data != data.manifest else _other_recipe(progress.recipe, recipe)
        raise Misused(f"{out}: holds a run with {what}; resume it as it was begun, or choose another --out")
    for stale in out.rglob(".*.part"):  # what a killed process was writing: no other is here, see `alone_in`
        stale.unlink(missing_ok=True)
    if found is None:
        checkpoint.save(out, progress, {})  # says what this folder is a run of, before anything in it is changed
    elif changed := _difference(progress.conditions[-1], now):
        log.warning("%s: goes on under other conditions than before (%s); it will not be equal to the bit", out,
                    changed)  # fmt: skip
        progress.conditions.append(now)
    return progress, stored


def _other_recipe(begun: str, recipe: Recipe) -> str:
    """In which keys the recipe that a run was begun with differs from this one."""
    before = parse(tomllib.loads(begun), where="checkpoint")
    if before.entry != recipe.entry:
        return f"another recipe (of {before.entry}, not {recipe.entry})"
    rows = [row for row in compare(before, recipe) if row[0] not in ("source", "departs")]
    return "another recipe (" + ", ".join(f"{key} {before}, not {now}" for key, before, now in rows[:3]) + ")"


def _finished(out: Path, recipe: Recipe, changes: list[str], model: Model | None = None) -> Run:
    """The run that is kept in `out`."""
    kept = read_json(out / RUN_FILE)
    legs = [(start, steps) for start, steps in kept["legs"]]
    broken = [Broken(id_, reason) for id_, reason in kept["broken"].items()]
    return Run(out, model or load(out), recipe, kept["seconds"], legs, kept["choice"], broken, changes)


def training_loader(
    split: Split, geometry: Geometry, stage: Sgd, seed: int, workers: int | None, device: torch.device
) -> TrainingLoader:
    """The batches of an `sgd` stage."""
    augmentation = Augmentation(**stage.augment.model_dump())
    basis = colour_basis(split, geometry, seed, workers) if augmentation.colour == "pca" else None
    return TrainingLoader(split, geometry, augmentation, stage.batch_size, seed, workers, device, basis)


@dataclass(frozen=True)
class Tryout:
    """What a few steps showed of a recipe's first `sgd` stage. seconds: that the whole stage is forecast to take."""

    choice: Choice
    seconds: float
    steps: int
    trials: list[Trial]


def try_out(name: str, data: ImageSet, recipe: Recipe) -> Tryout:
    """Measure the first `sgd` stage on this machine without training."""
    geometry, device = geometry_of(recipe), best_device()
    stage = next(stage for stage in recipe.stage if isinstance(stage, Sgd))
    classifier = build(name, len(data.classes), **recipe.model).to(device)
    started = time.perf_counter()
    loader = training_loader(data.split("train"), geometry, stage, recipe.seed, None, device)
    opening = time.perf_counter() - started
    steps = stage.steps(len(loader))
    found = measure(classifier, loader, stage, lambda _: steps)
    seconds = opening + found.a_step * steps + found.decoding * min(steps, len(loader))
    return Tryout(found.choice, seconds, steps, found.trials)


def _with_most(pace: Pace | None, steps: int) -> Pace:
    if pace is None:
        return Pace(steps)
    pace.most = min(pace.most, steps) if pace.most else steps
    return pace


def _difference(before: dict[str, str], now: dict[str, str]) -> str:
    """What changed, in words; nothing of what was not noted before."""
    return ", ".join(f"{key} {before[key]} -> {now[key]}" for key in now if before.get(key, now[key]) != now[key])
