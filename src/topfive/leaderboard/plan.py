"""The plan of a contest: who runs by which recipe for how long, fixed before training and kept in `plan.json`.

The budget is divided by forecast need. An entry whose whole recipe fits into an equal share gets it whole; what it
leaves goes to the others, which get shares in proportion to what their recipes need. An entry's recipe shrinks in
epochs (an SVM's in images), with its warm-up and drops in proportion; every change is said and kept.
"""

import hashlib
import json
import logging
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from topfive.data.imageset import ImageSet
from topfive.errors import BadFile, Interrupted, Misused, TopfiveError, look_up
from topfive.files import read_json, write_json
from topfive.leaderboard.forecast import answering_seconds, forecast, glance, with_precision
from topfive.models.modelfile import FILE_NAME, load
from topfive.models.zoo import ZOO
from topfive.recipes.reading import parse
from topfive.recipes.recipe import Recipe
from topfive.recipes.stages import Fit, Stage, Svm
from topfive.training.tailoring import default_recipe, fit_recipe, photo_side

log = logging.getLogger("topfive")

FORMAT = 1
PLAN = "plan.json"
OVERHEAD = 2.0  # seconds an entry takes beside training and answering: opening, statistics, timing, writing
SLACK = 0.25  # of its forecast that a whole recipe may take longer
LEAST_SLACK = 3.0  # seconds besides, which the measuring at the start of a run takes
LEAST_SHARE = 0.25  # of its recipe that an entry must get to be in a contest that did not name its entries
LEAST_IMAGES = 200  # that an SVM is fitted on, however short its share
LEAST_DESCRIPTORS = 20_000  # that a codebook is learned from
# Others stand for their years: the same codes, but with a kernel, with an extra's key-points, without locality.
ONLY_ASKED = {"hog_rbf", "sift_keypoints_2009", "sparse_coding_2010"}


@dataclass
class Slot:
    """One entry of a contest.

    model: path of a model file that is judged as it is, or empty. need: seconds its whole recipe is forecast to train.
    fixed: seconds it takes besides. seconds: its share for training. settled: whether that is final and the recipe cut
    to it. legs: its length in steps, once it has run. failed: why it could not even be measured.
    """

    entry: str
    model: str = ""
    recipe: dict[str, Any] = field(default_factory=dict)
    recipe_epochs: float | None = None
    need: float = 0.0
    fixed: float = 0.0
    seconds: float = 0.0
    settled: bool = False
    legs: list[tuple[int, int]] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    failed: str = ""

    @property
    def name(self) -> str:
        """What the entry is called on the leaderboard: two models of one entry are told apart by their files."""
        if not self.model:
            return self.entry
        path = Path(self.model).resolve()
        called = path.parent.name if path.name == FILE_NAME else path.name.removesuffix(".safetensors")
        return f"{self.entry} ({called})"

    @property
    def share(self) -> str:
        """What the entry gets, in words."""
        if self.failed:
            return f"cannot take part: {self.failed}"
        if self.model:
            return "judged as it is"
        if self.legs:
            return f"{self.legs[-1][1]:,} steps, as it was trained"
        whole = min(1.0, self.seconds / max(self.need, 1e-9))
        return f"at most {self.seconds / 60:.1f} min, {whole:.0%} of its recipe ({self.need / 60:.1f} min forecast)"

    def settle(self, images: int) -> None:
        """Fix the recipe as the share allows. images: of the training split.

        A network's length follows while it trains (`training.pace`); here an SVM's images are cut.
        """
        recipe = self.opened()
        stage = recipe.stage[recipe.main]
        self.settled = True
        if self.seconds <= 0:
            self.changes.append("no minutes were left at its turn; give more --minutes")
            log.warning("%s: no minutes are left, it is trained for as little as can be", self.name)
        if not isinstance(stage, Svm) or self.seconds >= self.need:
            return
        share, said = max(0.0, self.seconds) / self.need, []
        whole = min(images, stage.images or images)
        fewer = min(whole, max(LEAST_IMAGES, int(whole * share)))
        if fewer < whole:
            recipe = recipe.with_main(stage.model_copy(update={"images": fewer}))
            said.append(f"fitted on {fewer:,} of {whole:,} images")
        shorter = [_on_fewer(one, share) for one in recipe.stage]
        if learned := [one.descriptors for one in shorter if isinstance(one, Fit) and one not in recipe.stage]:
            recipe = recipe.model_copy(update={"stage": tuple(shorter)})
            said.append(f"what is learned before on {max(learned):,} descriptors at most")
        self.recipe = recipe.model_dump(mode="json")
        if said:
            self.changes.append(", ".join([*said, "to keep to the minutes"]))

    def keep_run(self, legs: list[tuple[int, int]], choice: dict[str, str]) -> None:
        """Note how the entry was trained, so that the plan repeats it."""
        self.legs = legs
        self.recipe = with_precision(self.opened(), **choice).model_dump(mode="json")

    def opened(self) -> Recipe:
        """The recipe, validated."""
        return parse(self.recipe, where=self.entry)


@dataclass
class Plan:
    """A contest's entries in the order in which they run, cheapest first.

    repeats: the mark of the plan that it began as, where it repeats one: its slots may be settled since.
    """

    name: str
    data: str
    minutes: float
    asked: list[str]
    slots: list[Slot]
    left_out: list[str] = field(default_factory=list)
    repeats: str = ""

    def leave_out(self, slot: Slot, why: str) -> None:
        """Drop an entry that nobody asked for, and note why."""
        self.slots.remove(slot)
        self.left_out.append(f"{slot.entry}: left out, {why}; name it in --entries to have it")

    @property
    def content(self) -> tuple[str, float, list[str]]:
        """What makes it the plan of one contest and not of another: images, minutes and entries."""
        return self.data, self.minutes, [slot.name for slot in self.slots]

    @property
    def mark(self) -> str:
        """SHA-256 of all that it says, recipes, seeds and legs too, but for what it repeats."""
        document = asdict(self) | {"repeats": ""}
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()

    def save(self, path: Path) -> None:
        """Write `plan.json`, whole or not at all."""
        write_json(path, {"format": FORMAT, **asdict(self)})

    def to_text(self) -> str:
        """What is announced before training."""
        lines = [f"plan: {self.minutes:g} minutes for {len(self.slots)} entries on {self.name}"]
        lines += [f"  {slot.name}: {slot.share}" for slot in self.slots]
        return "\n".join(lines + [f"  {reason}" for reason in self.left_out])


def _on_fewer(stage: Stage, share: float) -> Stage:
    """A stage that learns from that share of its descriptors, from LEAST_DESCRIPTORS at least; others as they are."""
    if not isinstance(stage, Fit) or stage.kind == "landmarks" or stage.descriptors <= LEAST_DESCRIPTORS:
        return stage
    return stage.model_copy(update={"descriptors": max(LEAST_DESCRIPTORS, int(stage.descriptors * share))})


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
    """Forecast every entry on this machine and divide the minutes.

    asked: entries and model files; all entries that suit the images if empty. started: when the contest began, by
    `time.perf_counter`. Raises Misused for an entry that these images do not suit.
    """
    if not asked and "train" not in data.splits:
        raise Misused(f"{data.name}: has no train split; name model files to be judged in --entries")
    names = asked or lineage(data)
    if len(set(names)) < len(names):
        raise Misused(f"--entries: names an entry twice in {','.join(names)}; name each once")
    # Faults of an entry come to light here, before the first is trained.
    models = {name: load(name) for name in names if _is_model_file(name)}
    for model in models.values():
        model.align(data)
    fitted = {name: fit_recipe(name, data) for name in names if name not in models}
    plan = Plan(data.name, data.manifest, minutes, asked, [])
    for name, model in models.items():
        answering = answering_seconds(model.classifier, model.geometry, data)
        plan.slots.append(Slot(model.entry, model=name, fixed=OVERHEAD + answering))
    for name, (recipe, changes) in fitted.items():
        document = recipe.model_dump(mode="json")
        plan.slots.append(Slot(name, recipe=document, recipe_epochs=recipe.epochs, fixed=OVERHEAD, changes=changes))
    if not asked:  # a first look, so that nothing dear is measured that is left out anyway
        for slot in plan.slots:
            with _kept_as_failure(slot):
                slot.need = glance(slot.entry, data, slot.opened())
        _leave_out_hopeless(plan, time.perf_counter() - started, certainty=0.5)
    log.info("forecasting %d entries", len(plan.slots))
    for slot in plan.slots:
        if slot.model or slot.failed:
            continue
        with _kept_as_failure(slot):
            found = forecast(slot.entry, data, slot.opened())
            slot.need, slot.fixed = found.need, OVERHEAD + found.answering
            slot.recipe = found.recipe.model_dump(mode="json")
    called = [slot.name for slot in plan.slots]
    if len(set(called)) < len(called):
        raise Misused(f"--entries: two models go by one name in {', '.join(called)}; rename a file or its folder")
    if not asked:
        _leave_out_hopeless(plan, time.perf_counter() - started)
        _leave_out_doubles(plan)
    plan.slots.sort(key=lambda slot: slot.need)
    share_out(plan.slots, minutes * 60 - (time.perf_counter() - started))
    return plan


@contextmanager
def _kept_as_failure(slot: Slot) -> Iterator[None]:
    """What goes wrong inside is the slot's own: it takes no time from the others, who go on."""
    try:
        yield
    except Interrupted:
        raise
    except TopfiveError as error:
        slot.failed = str(error)
    except Exception as error:
        log.debug("%s", traceback.format_exc())
        slot.failed = f"{slot.name}: failed while it was measured ({type(error).__name__}: {error})"
    if slot.failed:
        slot.need = slot.fixed = 0.0


def lineage(data: ImageSet) -> list[str]:
    """The entries of a contest that names none: those that suit the images and have a recipe of their own."""
    side = photo_side(data)
    return [
        name for name, card in ZOO.items()
        if side >= card.smallest_photo and not card.trained_as and default_recipe(name) is not None
        and name.removesuffix("_small") not in ONLY_ASKED
    ]  # fmt: skip


def share_out(slots: list[Slot], seconds: float) -> None:
    """Divide the seconds that are left over these slots, after what each takes besides training.

    Where all recipes fit, what is over is slack for all; else an entry with its whole recipe has a little slack,
    because forecasts err, and the others live with what it leaves.
    """
    left = seconds - sum(slot.fixed for slot in slots)
    shares = divide([slot.need for slot in slots], left)
    over = max(0.0, left - sum(shares)) / max(sum(shares), 1e-9)
    for slot, share in zip(slots, shares, strict=True):
        slack = max(over * share, SLACK * share + LEAST_SLACK) if share >= slot.need > 0 else over * share
        slot.seconds = min(max(0.0, left), share + slack)


def _leave_out_hopeless(plan: Plan, spent: float, certainty: float = 1.0) -> None:
    """Drop the dearest entry while it would get less than LEAST_SHARE of its recipe; say which.

    An entry that has a form for small images must get its whole recipe: it needs far more images and time than that.
    certainty: of the forecasts; a rough one leaves out only what is that much too dear.
    """
    while len(plan.slots) > 1:
        share_out(plan.slots, plan.minutes * 60 - spent)
        dearest = max(plan.slots, key=lambda slot: slot.need)
        if dearest.seconds >= certainty * dearest.need * (1.0 if ZOO[dearest.entry].small else LEAST_SHARE):
            return
        plan.leave_out(dearest, f"its recipe is forecast to take {dearest.need / 60:.0f} minutes")


def _leave_out_doubles(plan: Plan) -> None:
    """Drop the small form of a hand-made system that takes part itself.

    Both forms of a network stay: from few photos its small form often learns more.
    """
    here = {slot.entry for slot in plan.slots}
    for slot in list(plan.slots):
        whole = slot.entry.removesuffix("_small")
        if ZOO[slot.entry].family == "hand_made" and whole != slot.entry and whole in here:
            plan.leave_out(slot, f"{whole} is the same system for photos of this size")


def check_name(name: str) -> None:
    """UnknownName unless `name` is an entry's or a model file's."""
    if not _is_model_file(name):
        look_up(name, ZOO, kind="entry")


def _is_model_file(name: str) -> bool:
    return name not in ZOO and (name.endswith(".safetensors") or Path(name).exists())
