"""The leaderboard: what `leaderboard.json` holds, computed from the entries' scores, and its CSV."""

import csv
import io
import os
import platform
import shlex
import statistics
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.nn.utils import convert_conv2d_weight_memory_format

import topfive
from topfive.data.geometry import to_pixels
from topfive.data.imageset import ImageSet
from topfive.errors import BadFile
from topfive.evaluation.intervals import compare_all, ranks
from topfive.evaluation.report import judge, right_answers
from topfive.evaluation.scores import Scores
from topfive.leaderboard import terminal
from topfive.leaderboard.confidence import answers_by_confidence
from topfive.leaderboard.mistakes import find_mistakes, wrong_answers
from topfive.leaderboard.thumbnail import thumbnail
from topfive.models.count import count_layers, total
from topfive.models.modelfile import Model
from topfive.models.zoo import ZOO
from topfive.recipes.recipe import Recipe

FORMAT = 1
HARDEST = 24  # images shown
CONFUSED = 200  # classes up to which an entry's whole confusion is kept
COLUMNS = (
    "rank", "entry", "year", "status", "top1_error", "top1_low", "top1_high", "top5_error", "top5_low", "top5_high",
    "evaluated", "of", "ece", "brier", "nll", "calibration_images", "external_data", "train_minutes", "params", "macs",
    "ms_per_image", "file_mb", "epochs", "recipe_epochs", "recipe", "reason",
)  # fmt: skip


@dataclass
class Result:
    """One entry after its turn: a model with its scores, or the sentence that says why there is none."""

    name: str
    entry: str
    file: Path | None = None
    model: Model | None = None
    scores: Scores | None = None
    reason: str = ""
    judged_as_it_is: bool = False
    train_seconds: float | None = None
    ms_per_image: float | None = None
    machine: dict[str, Any] | None = None
    epochs: float | None = None
    recipe_epochs: float | None = None
    recipe: Recipe | None = None
    changes: list[str] = field(default_factory=list)
    choice: str = ""
    curve: list[dict[str, Any]] = field(default_factory=list)


def milliseconds_an_image(model: Model) -> float:
    """Median time of one image alone through the classifier, float32, on this machine's CPU, in ms."""
    convert_conv2d_weight_memory_format(model.classifier, torch.channels_last)
    image = torch.rand(1, 3, model.geometry.crop, model.geometry.crop)
    times: list[float] = []
    until = time.perf_counter() + 0.5
    while len(times) < 5 or (time.perf_counter() < until and len(times) < 100):
        started = time.perf_counter()
        model.scores(image)
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times[2:])


def build_board(
    data: ImageSet, results: list[Result], broken: list[dict[str, str]], minutes: float, spent: float, began: str,
    out: Path, max_mb: float | None, max_ms: float | None,
) -> dict[str, Any]:  # fmt: skip
    """The content of leaderboard.json. spent: seconds. broken: images of all splits that could not be decoded."""
    scored = {result.name: result.scores for result in results if result.scores is not None}
    comparisons = compare_all({name: right_answers(scores) for name, scores in scored.items()})
    rank = ranks(list(scored), comparisons)
    entries = [_row(result, rank.get(result.name), data, out) for result in results]
    entries.sort(key=lambda row: (row["rank"] is None, row["rank"], row["top1_error"]))
    found = find_mistakes(data, scored, terminal.ranked({"entries": entries}))
    if len(data.classes) > CONFUSED:
        for row in entries:  # a million numbers each, of which `mistakes` has what matters
            row["confusion"] = []
    return {
        "format": FORMAT,
        "name": data.name,
        "data": {
            "name": data.name,
            "layout": data.layout,
            "classes": [vars(label) for label in data.classes],
            "counts": {name: len(split) for name, split in data.splits.items()},
            "per_class_images": data.split(data.judged).labels.bincount(minlength=len(data.classes)).tolist(),
            "judged": data.judged,
            "notes": list(data.notes),
            "broken": broken,
            "manifest": data.manifest,
        },
        "budget": {"minutes": minutes, "spent_minutes": spent / 60},
        "machine": machine(),
        "started_at": began,
        "seed": next((result.recipe.seed for result in results if result.recipe), 0),
        "entries": entries,
        "comparisons": [{**asdict(pair), "significant": pair.significant} for pair in comparisons],
        "pick": pick(entries, out, max_mb, max_ms),
        "hardest": hardest(data, scored),
        "mistakes": found,
    }


def machine() -> dict[str, Any]:
    """What this process computes on, and by which versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else 0.0
    return {
        "processor": f"{platform.machine()} ({torch.backends.cpu.get_cpu_capability()})",
        "cores": os.cpu_count() or 1,
        "memory_gib": round(memory, 1),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "topfive": topfive.__version__,
    }


def _row(result: Result, rank: int | None, data: ImageSet, out: Path) -> dict[str, Any]:
    card = ZOO[result.entry]
    row: dict[str, Any] = {
        "entry": result.name, "year": card.year, "family": card.family, "depth": card.depth, "source": card.source,
        "status": "failed" if result.model is None else "judged" if result.judged_as_it_is else "done",
        "reason": result.reason, "rank": rank, "top1_error": None, "top1_interval": None, "top5_error": None,
        "top5_interval": None, "smaller_k": None, "evaluated": None, "of": None, "broken": None, "calibration": None,
        "risk_coverage": None, "external_data": None, "image": None, "train_minutes": None, "params": None,
        "macs": None, "ms_per_image": result.ms_per_image, "file_mb": None, "epochs": result.epochs,
        "recipe_epochs": result.recipe_epochs,
        "recipe": result.recipe.source if result.recipe else "", "changes": result.changes,
        "departs": list(result.recipe.departs) if result.recipe else [], "choice": result.choice,
        "curve": result.curve, "per_class_error": [], "per_class_top5_error": None, "confusion": [], "model_file": None,
        "versions": None, "machine": None,
    }  # fmt: skip
    if result.model is None or result.scores is None or result.file is None:
        return row
    report = judge(result.scores).document
    side = result.model.geometry.crop
    counts = total(count_layers(result.model.classifier, (3, side, side)))
    copied = (
        "top1_error",
        "top1_interval",
        "top5_error",
        "top5_interval",
        "smaller_k",
        "evaluated",
        "of",
        "calibration",
    )
    own = {label.key: index for index, label in enumerate(result.scores.classes)}
    order = [own[label.key] for label in data.classes]  # a model file may hold its classes in another one
    top5 = report["per_class_top5_error"]
    inside = result.file.is_relative_to(out)
    fitted_elsewhere = result.judged_as_it_is and learned_elsewhere(result.model, data)
    return row | {key: report[key] for key in copied} | {
        "per_class_error": [report["per_class_error"][index] for index in order],
        "per_class_top5_error": top5 and [top5[index] for index in order],
        "confusion": [[report["confusion"][truth][answer] for answer in order] for truth in order],
        "risk_coverage": answers_by_confidence(result.scores),
        "broken": len(report["broken"]),
        "external_data": result.model.external_data or fitted_elsewhere,
        "train_minutes": None if result.train_seconds is None else result.train_seconds / 60,
        "image": side,
        "params": counts.params,
        "macs": None if ZOO[result.entry].fitted_by == "svm" else counts.macs,  # theirs are the SVM's alone
        "file_mb": result.file.stat().st_size / 1e6,
        "model_file": str(result.file.relative_to(out) if inside else result.file.resolve()),
        "versions": result.model.versions,
        "machine": result.machine,
    }  # fmt: skip


def learned_elsewhere(model: Model, data: ImageSet) -> bool:
    """Whether a model learned from anything other than the images in `train`, whatever the other splits hold.

    A file of before, and a set without `train`, is compared by the manifest of all splits.
    """
    learned = model.data.get("learned")
    if learned is None or "train" not in data.splits:
        return bool(model.data.get("manifest") != data.manifest)
    return bool(learned != data.manifest_of("train"))


def pick(entries: list[dict[str, Any]], out: Path, max_mb: float | None, max_ms: float | None) -> dict[str, Any] | None:
    """The entry to recommend: of those within the limits the one of lowest top-1 error; None when none is within."""
    fitting = [
        row for row in entries
        if row["top1_error"] is not None
        and (max_mb is None or row["file_mb"] <= max_mb)
        and (max_ms is None or row["ms_per_image"] <= max_ms)
    ]  # fmt: skip
    if not fitting:
        return None
    best = min(fitting, key=lambda row: (row["top1_error"], row["ms_per_image"]))
    asked = [
        f"at most {limit:g} {unit}" for limit, unit in ((max_mb, "MB"), (max_ms, "ms an image")) if limit is not None
    ]
    within = f" within {' and '.join(asked)}" if asked else ""
    why = f"lowest top-1 error of the {len(fitting)} entries{within}" if len(fitting) > 1 else f"the only entry{within}"
    return {
        "entry": best["entry"],
        "of": len(fitting),
        "why": why,
        "command": f"topfive predict {shlex.quote(str(out / best['model_file']))} photo.jpg",
        "limits": {"max_mb": max_mb, "max_ms": max_ms},
    }


def hardest(data: ImageSet, scored: dict[str, Scores]) -> list[dict[str, Any]]:
    """The images that most entries got wrong, with what each answered and a thumbnail; broken ones are left out."""
    if not scored:
        return []
    right = {name: right_answers(scores) for name, scores in scored.items()}
    misses = torch.stack([~one for one in right.values()]).sum(0)
    first = next(iter(scored.values()))
    broken = {image.id for image in first.broken}
    readable = torch.tensor([id_ not in broken for id_ in first.ids])
    order = torch.argsort(torch.where(readable, misses, -1), descending=True, stable=True)[:HARDEST].tolist()
    split = data.split(data.judged)
    found = []
    for row in order:
        if misses[row] == 0 or not readable[row]:
            break
        with suppress(BadFile):  # it was read when it was judged; a page is not worth failing for
            found.append({
                "id": first.ids[row],
                "label": first.classes[int(first.labels[row])].key,
                "missed_by": int(misses[row]),
                "of": len(scored),
                "answers": {
                    name: _answer(data, scores, row, bool(right[name][row])) for name, scores in scored.items()
                },
                "image": thumbnail(to_pixels(split.image(row))),
            })  # fmt: skip
    return found


def _answer(data: ImageSet, scores: Scores, row: int, right: bool) -> str:
    """The class key that was answered on an image: the label where it counts as right, and "" where nothing was."""
    if right:
        return scores.classes[int(scores.labels[row])].key
    place = int(wrong_answers(data, scores, torch.tensor([row])).answered[0])
    return data.classes[place].key if place >= 0 else ""


def to_csv(board: dict[str, Any]) -> str:
    """The leaderboard as CSV, a row an entry, fractions as fractions."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in board["entries"]:
        ends = {
            f"{top}_{end}": row[f"{top}_interval"][side] if row[f"{top}_interval"] else None
            for top in ("top1", "top5")
            for side, end in enumerate(("low", "high"))
        }
        known = row["calibration"] or {}
        worth = {key: known.get(key) for key in ("ece", "brier", "nll")} | {"calibration_images": known.get("images")}
        writer.writerow(row | ends | worth)
    return text.getvalue()
