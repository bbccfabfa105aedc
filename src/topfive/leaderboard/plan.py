"""The plan of a contest: who runs by which recipe for how long, fixed before training and kept in `plan.json`.

The budget is divided by forecast need. An entry whose whole recipe fits into an equal share gets it whole; what it
leaves goes to the others, which get shares in proportion to what their recipes need. An entry's recipe shrinks in
epochs (an SVM's in images), with its warm-up and drops in proportion; every change is said and kept.
"""

import logging
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from topfive.data.imageset import ImageSet, subset
from topfive.errors import BadFile, Misused
from topfive.files import read_json, write_json
from topfive.models.modelfile import load
from topfive.models.zoo import ZOO, build
from topfive.recipes.recipe import Recipe, Sgd, Svm, parse
from topfive.training.run import try_out, workers_here
from topfive.training.svm import extract_codes, objective
from topfive.training.tailoring import fit_recipe, geometry_of, photo_side

log = logging.getLogger("topfive")

FORMAT = 1
OVERHEAD = 2.0  # seconds an entry takes beside training and answering: opening, statistics, timing, writing
SLACK = 0.25  # of its forecast that a whole recipe may take longer
LEAST_SHARE = 0.05  # of its recipe that an entry must get to be in a contest that did not name its entries
LEAST_IMAGES = 200  # that an SVM is fitted on, however short its share
PROBE = 64  # images of a forecast


@dataclass
class Slot:
    """One entry of a contest.

    model: path of a model file that is judged as it is, or empty. need: seconds its whole recipe is forecast to train.
    fixed: seconds it takes besides. seconds: its share for training. legs: its length in steps, once it has run.
    """

    entry: str
    model: str = ""
    recipe: dict[str, Any] = field(default_factory=dict)
    recipe_epochs: float | None = None
    need: float = 0.0
    fixed: float = 0.0
    seconds: float = 0.0
    choice: dict[str, str] | None = None
    legs: list[tuple[int, int]] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What the entry is called on the leaderboard: two models of one entry are told apart by their files."""
        return (
            self.entry
            if not self.model
            else f"{self.entry} ({Path(self.model).stem if Path(self.model).is_file() else Path(self.model).name})"
        )

    def opened(self) -> Recipe:
        """The recipe, validated."""
        return parse(self.recipe, where=self.entry)


@dataclass
class Plan:
    """A contest's entries in the order in which they run, cheapest first. spent: seconds used before the entries."""

    name: str
    data: str
    minutes: float
    asked: list[str]
    slots: list[Slot]
    spent: float = 0.0
    left_out: list[str] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write `plan.json`, whole or not at all."""
        write_json(path, {"format": FORMAT, **asdict(self)})

    def to_text(self) -> str:
        """What is announced before training."""
        lines = [f"plan: {self.minutes:g} minutes for {len(self.slots)} entries on {self.name}"]
        for slot in self.slots:
            whole = min(1.0, slot.seconds / max(slot.need, 1e-9))
            share = (
                f"at most {slot.seconds / 60:.1f} min, {whole:.0%} of its recipe ({slot.need / 60:.1f} min forecast)"
            )
            lines.append(f"  {slot.name}: {'judged as it is' if slot.model else share}")
        return "\n".join(lines + [f"  {reason}" for reason in self.left_out])


def load_plan(path: Path) -> Plan:
    """The plan in a `plan.json`; BadFile when it is none."""
    document = read_json(path)
    try:
        if document.pop("format") != FORMAT:
            raise BadFile(f"{path}: is a plan of another format; use the topfive that wrote it")
        slots = [Slot(**slot) for slot in document.pop("slots")]
        for slot in slots:
            slot.legs = [(start, end) for start, end in slot.legs]
        return Plan(slots=slots, **document)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadFile(f"{path}: is not a plan of topfive ({error}); give the plan.json of a contest") from error


def divide(needs: list[float], seconds: float) -> list[float]:
    """Shares of `seconds`, none above its need; see the top of this file.

    >>> divide([1.0, 30.0, 60.0], 31.0)
    [1.0, 10.0, 20.0]
    """
    shares = [0.0] * len(needs)
    open_ = sorted(range(len(needs)), key=lambda index: needs[index])
    left = max(0.0, seconds)
    while open_ and needs[open_[0]] <= left / len(open_):
        shares[open_[0]] = needs[open_[0]]
        left -= needs[open_.pop(0)]
    whole = sum(needs[index] for index in open_)
    for index in open_:
        shares[index] = left * needs[index] / whole
    return shares


def make_plan(data: ImageSet, asked: list[str], minutes: float, started: float) -> Plan:
    """Forecast every entry on this machine and divide the minutes. asked: entries and model files; all entries if empty.

    started: when the contest began, by `time.perf_counter`. Raises Misused for an entry that these images do not suit.
    """
    side = photo_side(data)
    names = asked or [name for name, card in ZOO.items() if side >= card.smallest_photo]
    if len(set(names)) < len(names):
        raise Misused(f"--entries: names an entry twice in {','.join(names)}; name each once")
    # Faults of an entry come to light here, before the first is trained.
    prepared: list[tuple[str, tuple[Recipe, list[str]] | None]] = []
    for name in names:
        if _is_model_file(name):
            load(name).align(data)
            prepared.append((name, None))
        else:
            prepared.append((name, fit_recipe(name, data)))
    log.info("forecasting %d entries", len(names))
    slots = [
        Slot(load(name).entry, model=name, fixed=OVERHEAD + _answering_seconds(load(name).classifier, load(name).geometry.crop, data))
        if fitted is None else _forecast(name, data, *fitted)
        for name, fitted in prepared
    ]  # fmt: skip
    plan = Plan(data.name, data.manifest, minutes, asked, slots)
    if not asked:
        _leave_out_hopeless(plan, time.perf_counter() - started)
    plan.slots.sort(key=lambda slot: slot.need)
    plan.spent = time.perf_counter() - started
    share_out(plan.slots, minutes * 60 - plan.spent)
    return plan


def share_out(slots: list[Slot], seconds: float) -> None:
    """Divide the seconds that are left over these slots, after what each takes besides training.

    Where all recipes fit, what is over is slack for all; else an entry with its whole recipe has a little slack, because
    forecasts err, and the others live with what it leaves.
    """
    left = seconds - sum(slot.fixed for slot in slots)
    shares = divide([slot.need for slot in slots], left)
    over = max(0.0, left - sum(shares)) / max(sum(shares), 1e-9)
    for slot, share in zip(slots, shares, strict=True):
        slot.seconds = share * (1 + max(over, SLACK if share >= slot.need else 0.0))


def _leave_out_hopeless(plan: Plan, spent: float) -> None:
    """Drop the dearest entries while the dearest would get almost nothing of its recipe; say which."""
    while len(plan.slots) > 1:
        share_out(plan.slots, plan.minutes * 60 - spent)
        dearest = max(plan.slots, key=lambda slot: slot.need)
        if dearest.seconds >= LEAST_SHARE * dearest.need:
            return
        plan.slots.remove(dearest)
        plan.left_out.append(
            f"{dearest.entry}: left out, its recipe is forecast to take {dearest.need / 60:.0f} minutes; name it in --entries to have it"
        )


def _is_model_file(name: str) -> bool:
    return name not in ZOO and (name.endswith(".safetensors") or Path(name).exists())


def _forecast(name: str, data: ImageSet, recipe: Recipe, changes: list[str]) -> Slot:
    """What the whole recipe needs on this machine, from a few measured steps; the recipe then keeps what was chosen."""
    classifier = build(name, len(data.classes), **dict(recipe.model)).eval()
    answering = _answering_seconds(classifier, geometry_of(recipe).crop, data)
    choice = None
    if isinstance(recipe.stage[0], Sgd):
        log.info("%s:", name)
        uncompiled = recipe.stage[0].precision.model_copy(update={"compile": "no"})
        trial = recipe.model_copy(update={"stage": (recipe.stage[0].model_copy(update={"precision": uncompiled}),)})
        found, seconds, steps, _ = try_out(name, data, trial)
        need = seconds * steps
        choice = found.to_json()
        kept = {"layout": found.layout, "autocast": found.autocast}
        precision = recipe.stage[0].precision.model_copy(update=kept)
        recipe = recipe.model_copy(
            update={"stage": (recipe.stage[0].model_copy(update={"precision": precision}), *recipe.stage[1:])}
        )
    else:
        need = _svm_seconds(classifier, recipe.stage[0], recipe, data)
    return Slot(
        name, recipe=recipe.model_dump(mode="json"), recipe_epochs=recipe.epochs, need=need, fixed=OVERHEAD + answering,
        choice=choice, changes=changes,
    )  # fmt: skip


def _answering_seconds(classifier: torch.nn.Module, crop: int, data: ImageSet) -> float:
    """Forecast of one pass over the judged images."""
    images = torch.zeros(PROBE, 3, crop, crop)
    with torch.inference_mode():
        classifier(images[:1])
        started = time.perf_counter()
        classifier(images)
    return (time.perf_counter() - started) / PROBE * len(data.split(data.judged))


def _svm_seconds(classifier: torch.nn.Module, stage: Svm, recipe: Recipe, data: ImageSet) -> float:
    """Forecast of an `svm` stage: codes once (twice with mirror images), then two fits."""
    split = data.split("train")
    few = subset(split, list(range(0, len(split), max(1, len(split) // PROBE)))[:PROBE])
    started = time.perf_counter()
    found = extract_codes(classifier, few, geometry_of(recipe), workers_here())
    coding = (time.perf_counter() - started) / len(few)
    weights = torch.zeros(found.codes.shape[1] + 1, len(data.classes), requires_grad=True)
    codes, labels = found.codes.repeat(8, 1), found.labels.repeat(8)
    started = time.perf_counter()
    objective(weights, codes, labels, stage.c).backward()  # type: ignore[no-untyped-call]
    fitting = (time.perf_counter() - started) / len(codes) * 1.25 * stage.iterations * 2
    images = min(len(split), stage.images or len(split)) * (2 if stage.mirror else 1)
    return images * (coding + fitting)


def shrunk(slot: Slot, images: int) -> tuple[Recipe, list[str]]:
    """The slot's recipe as its share allows, and what was changed in words. images: of the training split.

    A network's length is settled while it trains (`training.pace`); this is where an SVM's images are cut.
    """
    recipe = slot.opened()
    stage = recipe.stage[0]
    if isinstance(stage, Sgd) or slot.seconds >= slot.need:
        return recipe, []
    whole = min(images, stage.images or images)
    fewer = min(whole, max(LEAST_IMAGES, int(whole * slot.seconds / slot.need)))
    cut = stage.model_copy(update={"images": fewer})
    return recipe.model_copy(update={"stage": (cut, *recipe.stage[1:])}), [f"fitted on {fewer:,} of {whole:,} images"]
