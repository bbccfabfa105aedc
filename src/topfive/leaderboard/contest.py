"""The contest, the main job: every entry trained within the minutes, judged on the same images, ranked, shown."""

import logging
import math
import threading
import time
import traceback
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from topfive.data.faults import find_broken
from topfive.data.imageset import ImageSet, fingerprint
from topfive.data.layouts import open_data
from topfive.errors import BadData, BadFile, Interrupted, Misused, TopfiveError, listed
from topfive.evaluation.report import judge
from topfive.evaluation.scores import Scores, load_scores, score, versions
from topfive.files import alone_in, read_json, write_json, write_text
from topfive.leaderboard.board import Result, build_board, machine, milliseconds_an_image, to_csv
from topfive.leaderboard.page import render
from topfive.leaderboard.plan import PLAN, Plan, Slot, check_name, load_plan, make_plan, share_out
from topfive.models.modelfile import FILE_NAME, Model, find, load
from topfive.progress import Countdown
from topfive.training import history
from topfive.training.pace import Pace
from topfive.training.run import RUN_FILE, train
from topfive.training.tuning import Choice

log = logging.getLogger("topfive")

SCORES = "scores.safetensors"
PAGE = "report.html"  # written last: a contest that has it is finished
MINUTES = 10.0
PAGE_SECONDS = 8.0  # kept back for the report
KEEP_EVERY = 5.0  # seconds between notes of the time that is spent


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
    limits of the pick. A contest that was stopped goes on at the entry it was in when it is called again; without
    `entries` and `minutes` whatever contest is in `out` goes on, which is said.
    Returns the content of leaderboard.json. Raises Misused when `out` holds another contest, or one that `plan` would
    repeat and that is finished, or when another process holds one there.
    """
    started = time.perf_counter()
    for option, limit in (("--max-mb", max_mb), ("--max-ms", max_ms)):
        if limit is not None and not 0 <= limit < math.inf:
            raise Misused(f"{option}: expected a number from 0 on, got {limit:g}; leave it out for no limit")
    if minutes is not None and not 0 < minutes < math.inf:
        raise Misused(
            f"--minutes: expected a number above 0, got {minutes:g}; give the minutes for everything together"
        )
    for name in entries or []:
        check_name(name)  # before any image is opened
    if plan is not None and (entries or minutes is not None):
        raise Misused("--plan: brings its own entries and minutes; leave out --entries and --minutes")
    images = data if isinstance(data, ImageSet) else open_data(data)
    folder = Path(out) if out is not None else Path("runs") / images.name
    log.info("%s", images.to_text())
    repeated = Path(plan) if plan else None
    with alone_in(folder):
        kept = _plan_of(images, entries or [], minutes, repeated, folder)
        return _held(images, entries or [], minutes, kept, folder, started, max_mb, max_ms)


def _held(
    images: ImageSet, entries: list[str], minutes: float | None, kept: Plan | None, folder: Path, started: float,
    max_mb: float | None, max_ms: float | None,
) -> dict[str, Any]:  # fmt: skip
    """Of `contest`, what is done in its folder, by the plan that is kept there or by a new one."""
    broken = _check(images)
    found = kept or make_plan(images, entries, MINUTES if minutes is None else minutes, started)
    found.save(folder / PLAN)
    log.info("%s", found.to_text())
    with _Clock(folder, started, over=_is_over(found, folder)) as clock:
        results = [_take_turn(slot, found, images, folder, clock) for slot in found.slots]
    board = build_board(images, results, broken, found.minutes, clock.spent, clock.began, folder, max_mb, max_ms)
    write_json(folder / "leaderboard.json", board)
    write_text(folder / "leaderboard.csv", to_csv(board))
    write_text(folder / PAGE, render(board))
    return board


def _check(data: ImageSet) -> list[dict[str, str]]:
    """The images of all splits that cannot be decoded; each is said."""
    broken = []
    for name, split in data.splits.items():
        for image in find_broken(split, progress=Countdown(f"looking for broken images of {name}", len(split)).at):
            log.warning("%s: %s", "skipped in training" if name == "train" else "counted as an error", image.reason)
            broken.append({"split": name, "id": image.id, "reason": image.reason})
    return broken


class _Clock:
    """Seconds of the contest, over all the processes it took: kept on disk all the time, since any may be killed.

    over: every entry has been trained and judged before, and what is done now is no part of the contest.
    """

    def __init__(self, folder: Path, started: float, over: bool = False) -> None:
        self.started, self.file, self.stopped = started, folder / "spent.json", over
        kept = read_json(self.file) if self.file.exists() else {}
        self.before = float(kept.get("seconds", 0.0))
        now = datetime.now(UTC) - timedelta(seconds=time.perf_counter() - started)
        self.began: str = kept.get("began", now.isoformat(timespec="seconds").replace("+00:00", "Z"))
        self.over = threading.Event()
        self.keeper = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> Self:
        if not self.stopped:
            self.keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        if not self.stopped:
            self.keeper.join()

    @property
    def spent(self) -> float:
        return self.before if self.stopped else self.before + time.perf_counter() - self.started

    def _keep(self) -> None:
        last = False
        while not last:
            last = self.over.wait(KEEP_EVERY)
            with suppress(TopfiveError):  # a full disk is met, and said, by what is worth more
                write_json(self.file, {"seconds": self.spent, "began": self.began})


def _plan_of(
    data: ImageSet, entries: list[str], minutes: float | None, repeat: Path | None, folder: Path
) -> Plan | None:  # fmt: skip
    """The plan in `folder` where this is the same contest, or that of `repeat`; None where one is to be made.

    Raises Misused for another contest in `folder`, and for one by the plan `repeat` that is finished.
    """
    path = folder / PLAN
    if (folder / RUN_FILE).exists() or (folder / "checkpoint").exists():
        raise Misused(f"{folder}: holds a run of topfive train; choose another --out")
    wanted = None if repeat is None else load_plan(repeat)
    if path.exists():
        plan = load_plan(path)
        same_entries = not entries or sorted(plan.asked) == sorted(entries)
        same = plan.data == data.manifest and same_entries and minutes in (None, plan.minutes)
        if not same or (wanted is not None and wanted.content != plan.content):
            raise Misused(f"{folder}: holds a contest with other images, entries or minutes; choose another --out")
        if wanted is not None:
            _check_repeats(plan, wanted, repeat, folder)
        names = listed([slot.name for slot in plan.slots])
        log.info("%s: going on with its contest of %s, %g minutes; another --out begins a new one", folder, names,
                 plan.minutes)  # fmt: skip
        return plan
    if next(folder.glob(f"entries/*/{RUN_FILE}"), None) is not None:
        raise Misused(f"{folder}: holds the runs of a contest whose {PLAN} is gone; choose another --out")
    if wanted is not None and wanted.data != data.manifest:
        raise Misused(f"{repeat}: is the plan of a contest on other images ({wanted.name}); give the same data")
    if wanted is not None:
        wanted.repeats = wanted.mark  # as it is now: by this a repeat that is stopped knows the same call
    return wanted


def _check_repeats(plan: Plan, wanted: Plan, repeat: Path | None, folder: Path) -> None:
    """Misused unless the contest in `folder`, by `plan`, is a repeat of `wanted`, or `wanted` itself, not yet over."""
    if wanted.mark not in (plan.mark, plan.repeats):
        raise Misused(
            f"{folder}: holds a contest by another plan than {repeat} (recipes, seeds or lengths); choose another --out"
        )
    if (folder / PAGE).exists():
        raise Misused(
            f"{folder}: holds the finished contest of {repeat}, so nothing would be repeated; choose another --out, or "
            "leave out --plan to see it"
        )


def _home(name: str, folder: Path) -> Path:
    """The folder of an entry's run and scores."""
    return folder / "entries" / name.replace("/", "_")


def scores_of(folder: Path) -> dict[str, Scores]:
    """What each entry of the finished contest in `folder` answered on the judged images, by its name.

    Raises BadFile where the folder holds no such contest, or not all of it.
    """
    board = read_json(folder / "leaderboard.json")
    try:
        names = [row["entry"] for row in board["entries"] if row["top1_error"] is not None]
    except (KeyError, TypeError) as error:
        raise BadFile(
            f"{folder / 'leaderboard.json'}: is no leaderboard of topfive; give a contest's folder"
        ) from error
    return {name: load_scores(_home(name, folder) / SCORES) for name in names}


def _is_over(plan: Plan, folder: Path) -> bool:
    """Whether every entry has been trained and judged, or cannot be."""
    homes = [(slot, _home(slot.name, folder)) for slot in plan.slots]
    return all(
        bool(slot.failed) or ((home / SCORES).exists() and (bool(slot.model) or (home / RUN_FILE).exists()))
        for slot, home in homes
    )


def _take_turn(slot: Slot, plan: Plan, data: ImageSet, folder: Path, clock: _Clock) -> Result:
    """Train and judge one entry, or find that it is done; a failure becomes its result, and the others go on."""
    home = _home(slot.name, folder)
    result = Result(slot.name, slot.entry, judged_as_it_is=bool(slot.model), recipe_epochs=slot.recipe_epochs)
    try:
        if slot.failed:
            raise BadData(slot.failed)
        if slot.model:
            result.file = find(slot.model)
        else:
            if not (home / RUN_FILE).exists():
                _train(slot, plan, data, home, clock)
            _read_run(slot, plan, home, result)
            plan.save(folder / PLAN)
            result.file = home / FILE_NAME
        result.model = load(result.file)
        result.scores = _scores(result.model, data, home / SCORES)
        result.ms_per_image, result.machine = _speed(result.model, home / "speed.json")
    except (Interrupted, KeyboardInterrupt):
        raise Interrupted(f"{folder}: stopped in {slot.name}; call the same command again to go on") from None
    except TopfiveError as error:
        result.model, result.scores, result.reason = None, None, str(error)
    except Exception as error:  # an entry's own fault must not take the others with it
        log.debug("%s", traceback.format_exc())
        fault = f"{type(error).__name__}: {error}"
        result.model, result.scores = None, None
        result.reason = f"{slot.name}: failed inside topfive ({fault}); please report it"
    if result.scores is None or result.model is None:
        log.error("%s failed: %s", slot.name, result.reason)
    else:
        figures = judge(result.scores).to_text().splitlines()[1].strip()
        log.info("%s: %s; %.1f of %g minutes spent", slot.name, figures, clock.spent / 60, plan.minutes)
    return result


def _train(slot: Slot, plan: Plan, data: ImageSet, home: Path, clock: _Clock) -> None:
    """Settle a slot's share of the time that is left and train its entry, or go on with its run."""
    if not slot.settled:
        planned = slot.seconds
        share_out(plan.slots[plan.slots.index(slot) :], plan.minutes * 60 - clock.spent - PAGE_SECONDS)
        log.info("%s: at most %.1f min (planned %.1f)", slot.name, slot.seconds / 60, planned / 60)
        slot.settle(len(data.split("train")))
        plan.save(home.parents[1] / PLAN)
    pace = Pace(most=0, seconds=None if slot.legs else slot.seconds, replay=slot.legs)
    train(slot.entry, data, home, recipe=slot.opened(), resume=True, pace=pace)  # from the start if none was begun


def _read_run(slot: Slot, plan: Plan, home: Path, result: Result) -> None:
    """What a finished run says of itself, into the result and into the plan, by which it can be repeated."""
    run = read_json(home / RUN_FILE)
    result.recipe, result.train_seconds, result.curve = slot.opened(), run["seconds"], history.read(home)
    result.changes = list(slot.changes)
    if run["choice"] is None:
        return
    slot.keep_run([(start, end) for start, end in run["legs"]], run["choice"])
    result.choice, result.epochs = str(Choice(**run["choice"])), run["epochs"]
    whole = run["full_steps"] / run["legs"][-1][1]
    result.recipe_epochs = run["epochs"] * whole  # which a limit of steps may have cut
    if run["legs"][-1][1] < run["full_steps"]:
        result.changes.append(f"epochs {result.recipe_epochs:.3g} -> {run['epochs']:.1f}, to keep to the minutes")


def _speed(model: Model, file: Path) -> tuple[float, dict[str, Any]]:
    """Milliseconds an image, and on what they were measured, once: a contest that is called again says the same."""
    kept = read_json(file) if file.exists() else {}
    if kept.get("model") != model.sha256 or "machine" not in kept:
        kept = {"model": model.sha256, "ms_per_image": milliseconds_an_image(model), "machine": machine()}
        write_json(file, kept)
    return float(kept["ms_per_image"]), kept["machine"]


def _scores(model: Model, data: ImageSet, file: Path) -> Scores:
    """The model's scores on the judged images: those in `file` if they are still true, else new ones, kept there."""
    note = file.with_suffix(".json")
    images = fingerprint(data.split(data.judged))
    truth = {"model": model.sha256, "data": data.manifest, "images": images, "versions": versions()}
    if file.exists() and note.exists() and read_json(note) == truth:
        return load_scores(file)
    scores = score(model, data)
    scores.save(file)
    write_json(note, truth)
    return scores
