"""From scores to the Challenge's figures: top-1 and top-5 error with intervals, N of N, per class, confusion."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from topfive.data.crops import Crops
from topfive.data.dense import Dense
from topfive.data.imageset import ImageSet
from topfive.errors import Misused
from topfive.evaluation.abstention import halves, judge_abstention
from topfive.evaluation.calibration import calibration
from topfive.evaluation.hierarchy import Hierarchy, judge_mistakes
from topfive.evaluation.intervals import wilson
from topfive.evaluation.localisation import Placed, judge_places, place
from topfive.evaluation.objects import in_words
from topfive.evaluation.ranks import ranks_here
from topfive.evaluation.reassessed import check_real, real_error
from topfive.evaluation.scores import GUESSES, Scores, check_scores, score, unfitted
from topfive.evaluation.submissions import best_five, in_order, write_classification
from topfive.files import check_place
from topfive.metrics import confusion, label_ranks, per_class_error
from topfive.models.modelfile import Model, load

log = logging.getLogger("topfive")


@dataclass(frozen=True)
class Report:
    """`document` is the truth, what `topfive evaluate --json` prints; text is a view of it."""

    document: dict[str, Any]

    @property
    def top1_error(self) -> float:
        """Fraction in [0, 1]."""
        return float(self.document["top1_error"])

    def to_text(self) -> str:
        """A few lines for a terminal."""
        figures = self.document
        crops = f"{figures['crops']} crops averaged after the softmax"
        if isinstance(figures["crops"], str):
            crops = f"{figures['crops']} with mirror images, averaged over positions and after the softmax"
        elif figures["kind"] == GUESSES:
            crops = "guessed"
        elif figures["crops"] == 1:
            crops = "1 crop"
        counted = f"evaluated {figures['evaluated']} of {figures['of']} images, {crops}"
        lines = [
            f"{figures['entry']} on {figures['split']}: {counted}",
            f"  top-1 error {_percent(figures['top1_error'], figures['top1_interval'])}",
        ]
        if figures["top5_error"] is None:
            lines.append(f"  top-5 error not defined for {len(figures['classes'])} classes")
        else:
            lines.append(f"  top-5 error {_percent(figures['top5_error'], figures['top5_interval'])}")
        if figures["smaller_k"]:
            smaller = figures["smaller_k"]
            lines.append(f"  top-{smaller['k']} error {_percent(smaller['error'], smaller['interval'])}")
        if real := figures["real"]:
            on = f"on the {real['images']} of {real['of']} images that have a label there"
            lines.append(f"  ReaL: top-1 error {_percent(real['error'], real['interval'])} {on}")
        if known := figures["calibration"]:
            mean = f"Brier {known['brier']:.3f}, log-loss {known['nll']:.3f}"
            at = f" at temperature {known['temperature']:.3g}" if known["temperature"] != 1 else ""
            unread = known["images"] < figures["evaluated"] and figures["broken"]
            which = " and ".join(["can be read"] * bool(unread) + ["did not fit it"] * bool(at))
            on = f", on {known['images']} images that {which}" if which else ""
            lines.append(f"  probabilities{at}: calibration error {100 * known['ece']:.1f} %, {mean}{on}")
        if sure := figures["abstention"]:
            lines.append(_if_sure(sure))
        if tree := figures["hierarchy"]:
            lines += _in_the_tree(tree, len(figures["classes"]))
        if boxes := figures["localisation"]:
            lines += [_in_the_image(boxes), _by_scale(boxes["by_scale"])]
        if worst := worst_classes(figures):
            lines.append("  worst classes: " + ", ".join(f"{name} {wrong} of {of}" for name, wrong, of in worst))
        lines += [f"  counted as an error: {image['reason']}" for image in figures["broken"]]
        return "\n".join(lines)


def worst_classes(figures: dict[str, Any], most: int = 5) -> list[tuple[str, int, int]]:
    """Name, wrong and judged images of the classes with errors whose 95 % interval begins highest."""
    rows = [
        (label["name"], round(error * of), of)
        for label, error, of in zip(
            figures["classes"], figures["per_class_error"], figures["per_class_images"], strict=True
        )
        if error
    ]
    return sorted(rows, key=lambda row: wilson(row[1], row[2])[0], reverse=True)[:most]


def _percent(rate: float, interval: tuple[float, float]) -> str:
    return f"{100 * rate:.2f} % (95 % interval {100 * interval[0]:.2f} to {100 * interval[1]:.2f})"


def _in_the_tree(tree: dict[str, Any], classes: int) -> list[str]:
    """Lines on the costs of mistakes."""
    best, five = tree["hierarchical_cost"], tree["distance_5"]
    of_five = f"best of 5 {_cost(best)}, mean of 5 {_cost(five)}" if best else f"of 5 not defined for {classes} classes"
    lines = [
        f"  cost in the tree: {of_five}, first answer {_cost(tree['distance_1'])}",
        f"  severity of mistakes: {_severity(tree)}",
    ]
    if careful := tree["least_cost"]:
        lines.append(
            f"  answers of least expected cost on {careful['images']} images: top-1 error "
            f"{_percent(careful['top1_error'], careful['top1_interval'])}, cost {_cost(careful['distance_1'])}, "
            f"severity {_severity(careful)}"
        )
    return lines


def _if_sure(sure: dict[str, Any]) -> str:
    """A line on abstention."""
    asked = f"  abstaining, for an error of at most {100 * sure['max_error']:g} % on {sure['chosen_on']} images: "
    if sure["confidence"] is None:
        return f"{asked}no confidence will do"
    part = f"{asked}from {100 * sure['confidence']:.1f} % confidence on {sure['answered']} of {sure['images']} others"
    error = _percent(sure["error"], sure["interval"]) if sure["answered"] else "not defined"
    return f"{part} are answered ({_percent(sure['coverage'], sure['coverage_interval'])}), top-1 error {error}"


def _in_the_image(boxes: dict[str, Any]) -> str:
    """A line on class and box."""
    errors = [
        f"{name} {_percent(boxes[f'{key}_error'], boxes[f'{key}_interval'])}"
        for key, name in (("top1", "top-1 error"), ("top5", "top-5 error"), ("box", "box alone"))
        if boxes[f"{key}_error"] is not None
    ]
    images = f"{boxes['images']} of {boxes['of']} images have boxes"
    images += f", {boxes['blacklisted']} on the blacklist are left out" if boxes["blacklisted"] else ""
    return f"  localisation, box {boxes['predictor']} ({images}): {', '.join(errors)}"


def _by_scale(found: list[dict[str, Any]]) -> str:
    """A line on errors by the scale of objects."""
    parts = [
        f"{in_words(one)} {100 * one['top1_error']:.1f} % ({100 * low:.1f} to {100 * high:.1f}) of {one['images']}"
        for one in found
        if one["images"]
        for low, high in [one["top1_interval"]]
    ]
    said = ", ".join(parts) or "no image can be read"
    return f"  top-1 error (95 % interval) by the object's share of the image: {said}"


def _severity(figures: dict[str, Any]) -> str:
    found = figures["mistake_severity"]
    return f"{_cost(found)} over {found['images']} wrong answers" if found else "no answer is wrong"


def _cost(found: dict[str, Any]) -> str:
    return f"{found['mean']:.2f} ({found['interval'][0]:.2f} to {found['interval'][1]:.2f})"


def judge(
    scores: Scores, tree: Hierarchy | None = None, placed: Placed | None = None, max_error: float | None = None,
    real: Sequence[Sequence[int]] | None = None,
) -> Report:  # fmt: skip
    """Every figure of one model on one split, from its scores.

    tree: for what mistakes cost. placed: for localisation. max_error: for abstention. real: ReaL's lists, see
    `reassessed.read_real`. Raises BadData where a class is not in the tree, and what `check_real` raises.

    Top-5 error is not defined for five classes or fewer (law 6): then the largest k that is, if above 1, is given too.
    An image that could not be decoded counts as an error. Guesses (`evaluation.person`) have no probabilities, and of
    five classes or fewer one guess each, so no smaller k either.
    """
    averaged, classes = scores.averaged, len(scores.classes)
    label_rank = label_ranks(averaged, scores.labels)
    images, keys = len(scores.labels), [label.key for label in scores.classes]

    def error(k: int) -> tuple[float, tuple[float, float]]:
        wrong = int((label_rank >= k).sum())
        return wrong / images, wilson(wrong, images)

    top1, top1_interval = error(1)
    top5, top5_interval = error(5) if classes > 5 else (None, None)
    smaller = None
    if 2 < classes <= 5 and scores.kind != GUESSES:
        smaller = dict(zip(("k", "error", "interval"), (classes - 1, *error(classes - 1)), strict=True))

    def by_class(k: int) -> list[float | None]:
        errors = per_class_error(label_rank, scores.labels, classes, k).tolist()
        return [None if value != value else value for value in errors]

    return Report(
        {
            "entry": scores.entry,
            "split": scores.split,
            "evaluated": images,
            "of": images if scores.split_images is None else scores.split_images,
            "crops": scores.seen,
            "kind": scores.kind,
            "top1_error": top1,
            "top1_interval": top1_interval,
            "top5_error": top5,
            "top5_interval": top5_interval,
            "smaller_k": smaller,
            "classes": [vars(label) for label in scores.classes],
            "real": {**real_error(scores, real)._asdict(), "of": images} if real is not None else None,
            "per_class_error": by_class(1),
            "per_class_top5_error": by_class(5) if classes > 5 else None,
            "per_class_images": scores.labels.bincount(minlength=classes).tolist(),
            "confusion": confusion(averaged, scores.labels).tolist(),
            "calibration": _calibration(scores),
            "abstention": judge_abstention(scores, max_error) if max_error is not None else None,
            "hierarchy": judge_mistakes(
                averaged, scores.probabilities, scores.labels, tree.costs(keys), scores.unfitted
            )
            if tree
            else None,
            "localisation": judge_places(placed, scores.ids, label_rank, classes, scores.broken) if placed else None,
            "broken": [vars(image) for image in scores.broken],
            "model": scores.model,
            "data": scores.data,
        }
    )


def _calibration(scores: Scores) -> dict[str, Any] | None:
    """What the probabilities are worth on the images that were answered and did not fit the temperature, or None."""
    if scores.kind == GUESSES:
        return None
    probabilities = scores.probabilities
    answered = ~probabilities.isnan().any(1) & scores.unfitted
    if not answered.any():
        return None
    found = calibration(probabilities[answered], scores.labels[answered])
    return {**found._asdict(), "bins": [one._asdict() for one in found.bins], "images": int(answered.sum()),
            "temperature": scores.temperature}  # fmt: skip


def evaluate(
    model: Model | str | Path, data: ImageSet, split: str | None = None, out: Path | None = None,
    crops: Crops | Dense = "1", submission: Path | None = None, tree: Hierarchy | None = None,
    boxes: str | None = None, max_error: float | None = None, real: Sequence[Sequence[int]] | None = None,
) -> Report:  # fmt: skip
    """Judge a model, or the one in a model file, on a split of `data`: its judged one when left out.

    crops: of each image, see `data.crops` and `data.dense`; of several the probabilities are averaged. out: where to
    keep the scores file, from which the report can be computed again. submission: where to write the five best classes
    as the Challenge takes them. tree: for what mistakes cost. boxes: for localisation, one of
    `localisation.PREDICTORS`. max_error: for abstention, see `judge_abstention`. real: ReaL's lists, see
    `reassessed.read_real`. Raises BadData when classes differ, are not in the tree or are not those of ReaL;
    Misused where `out` is a file of another kind, the model cannot be shown such crops, there are no boxes,
    `submission` is there already or the images are not the Challenge's; BadFile where `out` or `submission` cannot be
    written.
    """
    model = model if isinstance(model, Model) else load(model)
    if out is not None and out.exists():
        check_scores(out)
    split = split or data.judged
    if tree is not None:
        tree.costs([label.key for label in model.classes])  # before an image is read
    if real is not None:
        check_real([label.key for label in model.classes], data.split(split).ids, real)
    placed = place(data, split, boxes) if boxes else None
    if max_error is not None and not 0 <= max_error <= 1:
        raise Misused(f"--max-error: expected a share from 0 to 1, got {max_error:g}")
    if max_error is not None:
        ids = data.split(split).ids
        halves(ids, unfitted(ids, model.calibration), split)
    if submission is not None and (submission.exists() or submission == out):
        raise Misused(f"--submission {submission}: expected a new file, found one of that name; choose another")
    images = in_order(data, split) if submission is not None else []  # before hours are spent
    if images:
        log.info("submission: of images 1 to %s of %s", f"{len(images):,}", split)
    say_if_learned(model, data, split)
    writes = ranks_here().writes
    for file in (out, submission):
        if file is not None and writes:
            check_place(file)
    scores = score(model, data, split, crops)
    if out is not None and writes:
        scores.save(out)
    if submission is not None and writes:
        answers = best_five(scores, data.numbers)
        write_classification(submission, {id_: answers[id_] for id_ in images}, data.numbers)
        log.info("submission: %s", submission)
    return judge(scores, tree, placed, max_error, real)


def say_if_learned(model: Model, data: ImageSet, split: str) -> None:
    """Warn where the model is judged on the images that it learned from."""
    if model.data.get("learned") == data.manifest_of(split):
        log.warning(
            "%s: learned from these images, those of %s in %s; its error on them says nothing of new images",
            model.entry, split, data.name,
        )  # fmt: skip


def right_answers(scores: Scores) -> torch.Tensor:
    """Which images were answered right at top 1, (N,) bool."""
    return label_ranks(scores.averaged, scores.labels) == 0
