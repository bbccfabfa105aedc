"""GoogLeNet's table for any models: how many of them, how many crops, what that costs, and what it gains.

Szegedy et al. 2014, arXiv:1409.4842, table 3: 1 and 7 models on 1, 10 and 144 crops, the cost as models times crops.
"""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from topfive.data.crops import Crops
from topfive.data.dense import Dense
from topfive.data.imageset import ImageSet
from topfive.errors import BadData
from topfive.evaluation.ensemble import average
from topfive.evaluation.intervals import holm, mcnemar
from topfive.evaluation.kept import places, scores_of
from topfive.evaluation.report import Report, judge, right_answers
from topfive.evaluation.scores import check_sees
from topfive.models.modelfile import Model


class Row(NamedTuple):
    """One line: the first `models` of the list on so many crops, or dense. cost: forward passes of a crop an image.

    gain: the base's top-1 error minus this one's; None for the base. real: whether McNemar's test tells it from the
    base, at 5 % over all lines together (Holm).
    """

    models: int
    crops: int | str
    cost: float
    report: Report
    gain: float | None
    real: bool


def table(
    models: Sequence[Model], data: ImageSet, split: str | None, crops: Sequence[Crops | Dense],
    folder: Path | None = None,
) -> list[Row]:  # fmt: skip
    """Every number of models, from the first alone to all, on every protocol; the first line is the base.

    folder: where scores are kept, so that they are not made again for the same model files and images. Raises Misused
    where that is a file, and for crops that a model cannot be shown; BadFile where the folder cannot be written.
    """
    split = split or data.judged
    for place, model in enumerate(models, start=1):  # before hours are spent on the first
        try:
            model.align(data)
        except BadData as error:
            raise BadData(f"model {place} of {len(models)}: {error}") from error
        for protocol in crops:
            check_sees(model, protocol)
    files = places(models, data, split, crops, folder)
    lines = {}
    for protocol in crops:  # one by one: of five models on ILSVRC a protocol's scores are a gigabyte
        scored = [scores_of(model, data, split, protocol, files) for model in models]
        for number in range(1, len(models) + 1):
            scores = average(scored[:number]) if number > 1 else scored[0]
            cost = sum(one.cost for one in scored[:number])
            lines[number, protocol] = _Line(number, scored[0].seen, cost, judge(scores), right_answers(scores))
    base, *others = ordered = [lines[line] for line in product(range(1, len(models) + 1), crops)]
    chances = [mcnemar(int((base.right & ~one.right).sum()), int((one.right & ~base.right).sum())) for one in others]
    real = [False, *(p < 0.05 for p in holm(chances))]
    return [
        Row(
            line.models, line.seen, line.cost, line.report,
            None if line is base else base.report.top1_error - line.report.top1_error, told,
        )
        for line, told in zip(ordered, real, strict=True)
    ]  # fmt: skip


class _Line(NamedTuple):
    """What a row is made of. right: (N,) bool, the images that were answered right."""

    models: int
    seen: int | str
    cost: float
    report: Report
    right: Tensor


def to_text(rows: Sequence[Row]) -> str:
    """The table for a terminal."""
    top5 = rows[0].report.document["top5_error"] is not None
    wide = max(5, *(len(str(row.crops)) for row in rows))
    lines = [
        f"models  {'crops':>{wide}}   cost  top-1 error (95 % interval)  top-1 gain"
        + "  top-5 error (95 % interval)" * top5
    ]
    for row in rows:
        gain = "(base)" if row.gain is None else f"{100 * row.gain:+.2f}" + ("" if row.real else " n.s.")
        cost = f"{row.cost:.{1 if isinstance(row.crops, str) else 0}f}"
        line = f"{row.models:6}  {row.crops!s:>{wide}}  {cost:>5}  {_error(row.report, 'top1'):>27}  {gain:>10}"
        lines.append(line + (f"  {_error(row.report, 'top5'):>27}" if top5 else ""))
    if any(isinstance(row.crops, str) for row in rows):
        lines.append("cost of dense: pixels of the whole images over those of a crop")
    lines.append("gain: points below the first line; n.s.: not told from it at 5 % (McNemar, Holm over all lines)")
    return "\n".join(lines)


def _error(report: Report, key: str) -> str:
    low, high = report.document[f"{key}_interval"]
    return f"{100 * report.document[f'{key}_error']:.2f} % ({100 * low:.2f} to {100 * high:.2f})"
