"""GoogLeNet's table for any models: how many of them, how many crops, what that costs, and what it gains.

Szegedy et al. 2014, arXiv:1409.4842, table 3: 1 and 7 models on 1, 10 and 144 crops, the cost as models times crops.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from topfive.data.crops import Crops
from topfive.data.dense import Dense
from topfive.data.imageset import ImageSet
from topfive.errors import BadData, Misused
from topfive.evaluation.ensemble import average, choosers_among, select
from topfive.evaluation.intervals import holm, mcnemar, wilson
from topfive.evaluation.kept import places, scores_of
from topfive.evaluation.report import Report, judge, right_answers, say_if_learned
from topfive.evaluation.scores import Scores, check_sees
from topfive.models.modelfile import Model

log = logging.getLogger("topfive")


class Row(NamedTuple):
    """One line: the average of some models on so many crops, or dense.

    models: by their places from 1; a selection may have one several times, by which it is weighted. cost: forward
    passes of a crop an image. report: without the confusion, which is a million numbers for 1,000 classes. single: the
    place of one model to compare with: the one that this line adds, of a selection the best by itself. alone: its top-1
    error, on the same images, and alone_interval Wilson's of 95 %. gain: the base's top-1 error minus this one's, on
    the images of this line; None for the base. significant: whether McNemar's test tells it from the base, at 5 % over
    all lines together (Holm). selected: whether `ensemble.select` chose the models, on images that are not judged in
    this line.
    """

    models: tuple[int, ...]
    crops: int | str
    cost: float
    report: Report
    single: int
    alone: float
    alone_interval: tuple[float, float]
    gain: float | None
    significant: bool
    selected: bool


def table(
    models: Sequence[Model], data: ImageSet, split: str | None, crops: Sequence[Crops | Dense],
    folder: Path | None = None, selection: bool = False,
) -> list[Row]:  # fmt: skip
    """Every number of models, from the first alone to all, on every protocol; the first line is the base.

    folder: where scores are kept, so that they are not made again for the same model files and images. selection: a
    line more for each protocol, of the models that greedy selection takes. Raises Misused where `folder` is a file, for
    a model or protocol given twice, a selection among fewer than two, and crops that a model cannot be shown; BadData
    for other classes, and for images too few to choose and to judge; BadFile where the folder cannot be written.
    """
    split = split or data.judged
    _check(models, data, split, crops, selection)  # before hours are spent on the first
    files = places(models, data, split, crops, folder)
    for model in models:
        say_if_learned(model, data, split)
    lines, chosen = list[_Line](), list[_Line]()
    for protocol in crops:  # one by one: of five models on ILSVRC a protocol's scores are a gigabyte
        scored = list[Scores]()
        for place, model in enumerate(models, start=1):
            log.info("model %d of %d:", place, len(models))
            scored.append(scores_of(model, data, split, protocol, files))
        lines += [_line(scored, range(number)) for number in range(1, len(models) + 1)]
        if selection:
            taken = select(scored)
            chosen.append(_line(scored, sorted(taken.models), taken.judges))
    base, *others = sorted(lines, key=lambda line: len(line.models)) + chosen
    chances = [
        mcnemar(int((base.right[line.judges] & ~line.right).sum()), int((line.right & ~base.right[line.judges]).sum()))
        for line in others
    ]
    gains = [line.right.double().mean().item() - base.right[line.judges].double().mean().item() for line in others]
    significant = [p < 0.05 for p in holm(chances)]
    return [
        Row(
            line.models, line.seen, line.cost, line.report, line.single, line.wrong / len(line.judges),
            wilson(line.wrong, len(line.judges)), gain, told, line.selected,
        )
        for line, gain, told in zip([base, *others], [None, *gains], [False, *significant], strict=True)
    ]  # fmt: skip


def _check(
    models: Sequence[Model], data: ImageSet, split: str, crops: Sequence[Crops | Dense], selection: bool
) -> None:  # fmt: skip
    names, places_of = [str(protocol) for protocol in crops], dict[str, int]()
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise Misused(f"--crops: {twice} is given twice; give each once")
    if selection and len(models) < 2:
        raise Misused("--select: expected several models to choose among, got one; give more, or leave it out")
    if selection:
        choosers_among(data.split(split).ids)  # which refuses too few
    for place, model in enumerate(models, start=1):
        first = places_of.setdefault(model.sha256 or str(place), place)
        if first != place:
            raise Misused(
                f"model {place} of {len(models)}: is the same file as model {first}, and an average with itself is no "
                "ensemble; give each once"
            )
        try:
            model.align(data)
        except BadData as error:
            raise BadData(f"model {place} of {len(models)}: {error}") from error
        for protocol in crops:
            check_sees(model, protocol)


class _Line(NamedTuple):
    """What a row is made of. wrong: how many images the single model gets wrong. judges: the rows of its images among
    all. right: (judges,) bool, those answered right."""

    models: tuple[int, ...]
    seen: int | str
    cost: float
    report: Report
    single: int
    wrong: int
    judges: list[int]
    right: Tensor
    selected: bool


def _line(scored: Sequence[Scores], taken: Sequence[int], judges: list[int] | None = None) -> _Line:
    """Of the average of the scores at the places `taken`; judges: the images, all unless given."""
    weights = Counter(taken)
    ones = [scored[place] for place in weights]
    scores = average(ones, [*weights.values()]) if len(ones) > 1 else ones[0]
    images = list(range(len(scores.ids))) if judges is None else judges
    singles = [taken[-1]] if judges is None else range(len(scored))
    wrong, single = min((int((~right_answers(scored[at])[images]).sum()), at) for at in singles)
    judged = scores if judges is None else scores.of(judges)
    report = judge(judged)
    del report.document["confusion"]
    return _Line(
        tuple(place + 1 for place in taken), ones[0].seen, sum(one.cost for one in ones), report, single + 1, wrong,
        images, right_answers(judged), judges is not None,
    )  # fmt: skip


def to_text(rows: Sequence[Row], files: Sequence[str]) -> str:
    """The table for a terminal. files: of the models, which are named by their places in it."""
    top5 = rows[0].report.document["top5_error"] is not None
    names = ["chosen " + "+".join(map(str, row.models)) if row.selected else str(len(row.models)) for row in rows]
    wide, names_wide = max(5, *(len(str(row.crops)) for row in rows)), max(6, *map(len, names))
    lines = [
        f"{'models':>{names_wide}}  {'crops':>{wide}}   cost  top-1 error (95 % interval)  top-1 gain"
        + "  top-5 error (95 % interval)" * top5 + "  one model alone (95 % interval)"
    ]  # fmt: skip
    for row, name in zip(rows, names, strict=True):
        gain = "(base)" if row.gain is None else f"{100 * row.gain:+.2f}" + ("" if row.significant else " n.s.")
        cost = f"{row.cost:.{1 if isinstance(row.crops, str) else 0}f}"
        line = f"{name:>{names_wide}}  {row.crops!s:>{wide}}  {cost:>5}  {_error(row.report, 'top1'):>27}  {gain:>10}"
        alone = f"{row.single}: {_percent(row.alone, row.alone_interval)}"
        lines.append(line + (f"  {_error(row.report, 'top5'):>27}" if top5 else "") + f"  {alone:>31}")
    done, whole = (rows[0].report.document[key] for key in ("evaluated", "of"))
    broken = dict[str, str]()
    for row in rows:
        broken |= {image["id"]: image["reason"] for image in row.report.document["broken"]}
    if not top5:
        lines.append(f"top-5 error not defined for {len(rows[0].report.document['classes'])} classes")
    called = [f"{place} is {file}" for place, file in enumerate(files, start=1)]
    lines.append(f"evaluated {done} of {whole} images; of the models {', '.join(called)}")
    lines += [f"counted as an error: {reason}" for reason in broken.values()]
    lines.append("one model alone: the one that a line adds")
    if any(row.selected for row in rows):
        judged = rows[-1].report.document["evaluated"]
        lines.append(
            f"chosen: one by one on {done - judged} images, by their places, a model twice counts twice; the line and "
            f"its gain are of the other {judged}, beside it the model that is best alone on these"
        )
    if any(isinstance(row.crops, str) for row in rows):
        lines.append("cost of dense: pixels of the whole images over those of a crop")
    lines.append("gain: points below the first line; n.s.: not told from it at 5 % (McNemar, Holm over all lines)")
    return "\n".join(lines)


def _error(report: Report, key: str) -> str:
    return _percent(report.document[f"{key}_error"], report.document[f"{key}_interval"])


def _percent(error: float, interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{100 * error:.2f} % ({100 * low:.2f} to {100 * high:.2f})"
