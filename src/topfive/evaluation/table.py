"""GoogLeNet's table for any models: how many of them, how many crops, what that costs, and what it gains.

Szegedy et al. 2014, arXiv:1409.4842, table 3: 1 and 7 models on 1, 10 and 144 crops, the cost as models times crops.
"""

import logging
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

from topfive.data.crops import Crops
from topfive.data.imageset import ImageSet
from topfive.errors import BadFile
from topfive.evaluation.ensemble import average
from topfive.evaluation.intervals import holm, mcnemar
from topfive.evaluation.report import Report, judge, right_answers
from topfive.evaluation.scores import Scores, load_scores, score
from topfive.models.modelfile import Model

log = logging.getLogger("topfive")


class Row(NamedTuple):
    """One line: the first `models` of the list on so many crops. cost: forward passes an image.

    gain: the base's top-1 error minus this one's; None for the base. real: whether McNemar's test tells it from the
    base, at 5 % over all lines together (Holm).
    """

    models: int
    crops: int
    cost: int
    report: Report
    gain: float | None
    real: bool


def table(
    models: Sequence[Model], data: ImageSet, split: str | None, crops: Sequence[Crops], folder: Path | None = None
) -> list[Row]:
    """Every number of models, from the first alone to all, on every protocol; the first line is the base.

    folder: where the scores of each model and protocol are kept; those that are there and still true are used again.
    """
    scored = {
        (place, protocol): _scores(model, place, data, split, protocol, folder)
        for protocol in crops
        for place, model in enumerate(models)
    }
    lines = [
        (number, protocol, average([scored[place, protocol] for place in range(number)]) if number > 1 else
         scored[0, protocol])
        for number, protocol in product(range(1, len(models) + 1), crops)
    ]  # fmt: skip
    base, *others = [right_answers(scores) for _, _, scores in lines]
    chances = [mcnemar(int((base & ~one).sum()), int((one & ~base).sum())) for one in others]
    real = [False, *(p < 0.05 for p in holm(chances))]
    reports = [judge(scores) for _, _, scores in lines]
    return [
        Row(
            number, int(protocol), number * int(protocol), report,
            reports[0].top1_error - report.top1_error if line else None, real[line],
        )
        for line, ((number, protocol, _), report) in enumerate(zip(lines, reports, strict=True))
    ]  # fmt: skip


def _scores(
    model: Model, place: int, data: ImageSet, split: str | None, crops: Crops, folder: Path | None
) -> Scores:  # fmt: skip
    file = None if folder is None else folder / f"{place}_{model.entry}_{crops}_crops.safetensors"
    if file is not None and file.exists():
        try:
            kept = load_scores(file)
        except BadFile as error:
            log.warning("%s", error)
        else:
            if (kept.model, kept.data, kept.split) == (model.sha256, data.manifest, split or data.judged):
                return kept
    log.info("%s on %s crop(s)", model.entry, crops)
    scores = score(model, data, split, crops)
    if file is not None:
        scores.save(file)
    return scores


def to_text(rows: Sequence[Row]) -> str:
    """The table for a terminal."""
    defined = rows[0].report.document["top5_error"] is not None
    k, key = (5, "top5") if defined else (1, "top1")
    lines = [f"models  crops   cost  top-{k} error (95 % interval)  top-1 error   against the base"]
    for row in rows:
        figures = row.report.document
        low, high = figures[f"{key}_interval"]
        cell = f"{100 * figures[f'{key}_error']:.2f} % ({100 * low:.2f} to {100 * high:.2f})"
        gain = "base" if row.gain is None else f"{-100 * row.gain:+.2f}" + ("" if row.real else ", not told apart")
        lines.append(
            f"{row.models:6}  {row.crops:5}  {row.cost:5}  {cell:>27}  {100 * row.report.top1_error:9.2f} %   {gain}"
        )
    return "\n".join(lines)
