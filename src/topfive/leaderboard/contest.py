"""The contest, the main job: every entry trained within the minutes, judged on the same images, ranked, shown."""

import logging
import time
import traceback
from pathlib import Path
from typing import Any

from topfive.data.faults import find_broken
from topfive.data.imageset import ImageSet
from topfive.data.layouts import open_data
from topfive.errors import BadFile, Misused, TopfiveError
from topfive.evaluation.scores import load_scores, score
from topfive.files import read_json, write_json, write_text
from topfive.leaderboard.board import Result, build_board, milliseconds_an_image, to_csv
from topfive.leaderboard.page import render
from topfive.leaderboard.plan import Plan, Slot, load_plan, make_plan, share_out, shrunk
from topfive.models.modelfile import FILE_NAME, load
from topfive.training import checkpoint, history
from topfive.training.pace import Pace
from topfive.training.run import train
from topfive.training.tuning import Choice

log = logging.getLogger("topfive")

MINUTES = 10.0
PAGE_SECONDS = 8.0  # kept back for the report


def contest(
    data: str | Path | ImageSet,
    entries: list[str] | None = None,
    minutes: float | None = None,
    plan: str | Path | None = None,
    out: str | Path | None = None,
    max_mb: float | None = None,
    max_ms: float | None = None,
) -> dict[str, Any]:
    """Train, judge and rank entries on `data` and write leaderboard.json, leaderboard.csv and report.html into `out`.

    entries: names of entries, and model files that are judged as they are; all that suit the images when left out.
    minutes: for everything together, ten when left out. plan: the plan.json of a contest to repeat. max_mb, max_ms:
    limits of the pick. A contest that was stopped goes on at the entry it was in when it is called again.
    Returns the content of leaderboard.json. Raises Misused when `out` holds another contest.
    """
    started = time.perf_counter()
    images = data if isinstance(data, ImageSet) else open_data(data)
    folder = Path(out) if out is not None else Path("runs") / images.name
    log.info("%s: %s", images.name, images.layout)
    for note in images.notes:
        log.info("  %s", note)
    broken = [
        {"split": name, "id": image.id, "reason": image.reason}
        for name, split in images.splits.items()
        for image in find_broken(split)
    ]
    for image in broken:
        log.warning(
            "%s: %s", "skipped in training" if image["split"] == "train" else "counted as an error", image["reason"]
        )
    found = _settle_plan(images, entries or [], minutes, Path(plan) if plan else None, folder, started)
    log.info("%s", found.to_text())
    clock = _Clock(found, folder, started)
    results = [_take_turn(slot, position, found, images, folder, clock) for position, slot in enumerate(found.slots)]
    board = build_board(images, results, broken, found.minutes, clock.spent(), folder, max_mb, max_ms)
    write_json(folder / "leaderboard.json", board)
    write_text(folder / "leaderboard.csv", to_csv(board))
    write_text(folder / "report.html", render(board))
    return board


class _Clock:
    """Seconds of the contest, over all the processes it took."""

    def __init__(self, plan: Plan, folder: Path, started: float) -> None:
        self.started = started
        self.file = folder / "spent.json"
        self.before = read_json(self.file)["seconds"] if self.file.exists() else 0.0

    def spent(self) -> float:
        return float(self.before) + time.perf_counter() - self.started

    def keep(self) -> None:
        write_json(self.file, {"seconds": self.spent()})


def _settle_plan(
    data: ImageSet, entries: list[str], minutes: float | None, repeat: Path | None, folder: Path, started: float
) -> Plan:
    """The plan in `folder` where this is the same contest, that of `repeat`, or a new one."""
    path = folder / "plan.json"
    if path.exists():
        plan = load_plan(path)
        same = plan.data == data.manifest and (not entries or plan.asked == entries) and minutes in (None, plan.minutes)
        if not same:
            raise Misused(f"{folder}: holds a contest with other images, entries or minutes; choose another --out")
        log.info("going on with the contest in %s", folder)
        return plan
    if repeat is not None:
        plan = load_plan(repeat)
        if entries or minutes is not None:
            raise Misused("--plan: brings its own entries and minutes; leave out --entries and --minutes")
        if plan.data != data.manifest:
            raise Misused(f"{repeat}: is the plan of a contest on other images ({plan.name}); give the same data")
    else:
        plan = make_plan(data, entries, MINUTES if minutes is None else minutes, started)
    plan.save(path)
    return plan


def _take_turn(slot: Slot, position: int, plan: Plan, data: ImageSet, folder: Path, clock: _Clock) -> Result:
    """Train and judge one entry, or find that it is done; a failure becomes its result, and the others go on."""
    home = folder / "entries" / slot.name.replace("/", "_")
    result = Result(slot.name, slot.entry, changes=list(slot.changes), judged_as_it_is=bool(slot.model),
                    recipe_epochs=slot.recipe_epochs)  # fmt: skip
    try:
        if slot.model:
            file = Path(slot.model)
            result.model, result.file = load(file), (file / FILE_NAME if file.is_dir() else file)
        else:
            _train(slot, position, plan, data, home, clock, result)
        assert result.model is not None
        scores_file = home / "scores.safetensors"
        if scores_file.exists() and load_scores(scores_file).model == result.model.sha256:
            result.scores = load_scores(scores_file)
        else:
            result.scores = score(result.model, data)
            result.scores.save(scores_file)
        result.ms_per_image = milliseconds_an_image(result.model)
    except TopfiveError as error:
        if not isinstance(error, Misused | BadFile) and error.exit_code == 130:
            clock.keep()
            raise
        result.model, result.reason = None, str(error)
    except KeyboardInterrupt:
        clock.keep()
        raise
    except Exception as error:  # an entry's own fault must not take the others with it
        log.debug("%s", traceback.format_exc())
        result.model, result.reason = (
            None,
            f"{slot.name}: failed inside topfive ({type(error).__name__}: {error}); please report it",
        )
    clock.keep()
    if result.reason:
        log.error("%s: failed: %s", slot.name, result.reason)
    elif result.scores is not None:
        wrong = float((~result.scores.averaged.argmax(1).eq(result.scores.labels)).float().mean())
        log.info(
            "%s: top-1 error %.2f %%, %.1f of %g minutes spent",
            slot.name,
            100 * wrong,
            clock.spent() / 60,
            plan.minutes,
        )
    return result


def _train(slot: Slot, position: int, plan: Plan, data: ImageSet, home: Path, clock: _Clock, result: Result) -> None:
    """Train a slot's entry in its run folder, or read the run that is there already."""
    if not (home / "run.json").exists():
        resumed = checkpoint.load(home)
        replay = list(slot.legs)
        if not replay and resumed is None:
            before = slot.seconds
            remaining = plan.minutes * 60 - clock.spent() - PAGE_SECONDS
            share_out(plan.slots[position:], remaining)
            log.info("%s: %.1f min (planned %.1f)", slot.name, slot.seconds / 60, before / 60)
        recipe, changes = shrunk(slot, len(data.split("train")))
        slot.recipe = recipe.model_dump(mode="json")
        slot.changes += changes
        plan.save(home.parent.parent / "plan.json")
        pace = Pace(most=0, seconds=None if replay else slot.seconds, replay=replay)
        run = train(slot.entry, data, home, recipe=recipe, resume=resumed is not None, pace=pace)
        slot.legs = run.legs
        if run.choice is not None:
            slot.choice = run.choice
            stage = recipe.stage[0]
            compiled = stage.precision.model_copy(update=run.choice)  # type: ignore[union-attr]
            slot.recipe["stage"][0]["precision"] = compiled.model_dump(mode="json")
        plan.save(home.parent.parent / "plan.json")
    document = read_json(home / "run.json")
    result.file, result.model, result.recipe = home / FILE_NAME, load(home), slot.opened()
    result.train_seconds = document["seconds"]
    result.curve = history.read(home)
    result.choice = str(Choice(**document["choice"])) if document["choice"] else ""
    if slot.recipe_epochs is not None:
        result.epochs = document["epochs"]
        if document["legs"][-1][1] < document["full_steps"]:
            slot_change = f"epochs {slot.recipe_epochs:g} -> {result.epochs:.1f}"
            result.changes = [*slot.changes, slot_change]
        else:
            result.changes = list(slot.changes)
    else:
        result.changes = list(slot.changes)
