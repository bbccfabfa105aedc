"""Several models as one: averages of saved scores, weights, and greedy selection on a share that does not judge.

The Challenge's winners were ensembles: of 5 to 7 nets in 2012 and 2014, their probabilities averaged (Krizhevsky,
Sutskever, Hinton 2012, table 2; Szegedy et al. 2014, arXiv:1409.4842, sec. 7). Greedy selection: Caruana,
Niculescu-Mizil, Crew, Ksikes 2004, ICML 2004.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from topfive.data.draws import id_keys, uniform
from topfive.errors import BadData, Misused
from topfive.evaluation.scores import Scores, load_scores, log_mean_probability
from topfive.files import read_rows
from topfive.metrics import label_ranks

AT_ONCE = 1 << 20  # scores of a model that are averaged together: 4 MiB of them
SELECTING = 0.2  # share of the images that choose an ensemble; the others judge it


def matched(each: Sequence[Scores]) -> list[Tensor]:
    """For each model the columns of its scores in the order of the first one's classes, matched by key (law 1).

    Raises BadData, which names what differs, unless all are of the same images, labels and classes.
    """
    first = each[0]
    keys, found = [label.key for label in first.classes], []
    known = set(keys)
    for number, other in enumerate(each, start=1):
        names = f"model 1 ({first.entry}) and model {number} ({other.entry})"
        theirs = {label.key: place for place, label in enumerate(other.classes)}
        lone = next((key for key in [*keys, *theirs] if key not in theirs or key not in known), None)
        if lone is not None:
            raise BadData(
                f"ensemble: expected the same classes, of {names} only model {number if lone in theirs else 1} has "
                f"{lone}; score both on the same data"
            )
        if len(first.ids) != len(other.ids):
            counts = f"{len(first.ids):,} and {len(other.ids):,}"
            raise BadData(f"ensemble: expected the same images, {names} have {counts}; score both on the same data")
        if first.ids != other.ids:
            pair = next(pair for pair in zip(first.ids, other.ids, strict=True) if pair[0] != pair[1])
            raise BadData(
                f"ensemble: expected the same images, {names} have {pair[0]} and {pair[1]} in one place; score both on "
                "the same data"
            )
        columns = torch.tensor([theirs[key] for key in keys])
        wrong = (columns[first.labels] != other.labels).nonzero()
        if len(wrong):
            raise BadData(
                f"ensemble: expected the same labels, those of {names} differ for {first.ids[int(wrong[0])]}; "
                "score both on the same data"
            )
        found.append(columns)
    return found


def average(each: Sequence[Scores | str | Path], weights: Sequence[float] | None = None) -> Scores:
    """The weighted mean of the models' probabilities, each first averaged over its own crops; as logarithms.

    each: in memory, or scores files, which are read part by part: however many crops they hold, what is in memory is
    the mean. An image that one of them could not answer is answered by none. Of models that saw different things the
    costliest is noted. Raises BadData where images or classes differ, Misused for no scores, guesses and weights that
    are none, BadFile for what is no scores file.
    """
    opened = _opened(each)
    first, columns = opened[0], matched(opened)
    shares = torch.tensor(weights if weights is not None else [1.0] * len(each), dtype=torch.float64)
    whole = bool((shares >= 0).all()) and 0 < float(shares.sum()) < math.inf  # false for NaN
    if len(shares) != len(each) or not whole:
        raise Misused(
            f"ensemble: expected {len(each)} finite weights, none below 0 and one above, got {shares.tolist()}; give "
            "one a model, or leave them out"
        )
    taken = [place for place, share in enumerate(shares.tolist()) if share > 0]
    shares = shares[taken] / shares.sum()
    rows = max(1, AT_ONCE // max(1, *(opened[place].scores[:1].numel() for place in taken)))
    parts = [_parts(each[place], columns[place], rows) for place in taken]
    found = torch.empty(len(first.ids), len(first.classes))
    with _one_thread():
        for into, *models in zip(torch.split(found, rows), *parts, strict=True):
            into.copy_(log_mean_probability(models, shares.tolist()))
    judged = [opened[place] for place in taken]
    costliest = max(judged, key=lambda one: one.cost)
    broken = {image.id: image for one in judged for image in one.broken}
    return replace(
        first, entry=" + ".join(one.entry for one in opened), scores=found[:, None], kind="log-probabilities",
        model="", broken=tuple(broken[id_] for id_ in first.ids if id_ in broken),
        each=costliest.crops, dense=costliest.dense, area=costliest.area, calibration={},
    )  # fmt: skip


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch compute in this thread alone: one keeps up with a disk, and more would wait for each other on the cores
    that the threads need which read (benchmarks/bench_judging.py)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _opened(each: Sequence[Scores | str | Path]) -> list[Scores]:
    """The scores, those in files too; Misused where there are none, or none that can be averaged."""
    if not each:
        raise Misused("ensemble: expected scores of a model or of several, got none; give scores or scores files")
    opened = [one if isinstance(one, Scores) else load_scores(Path(one)) for one in each]
    for one in opened:
        one.check_probabilities()
    return opened


def _parts(source: Scores | str | Path, columns: Tensor, rows: int) -> Iterator[Tensor]:
    """The scores (rows, views, classes) of so many images at a time, classes in the order of `columns`."""
    parts = torch.split(source.scores, rows) if isinstance(source, Scores) else read_rows(Path(source), "scores", rows)
    in_order = bool((columns.diff() == 1).all())
    return (part if in_order else part[..., columns] for part in parts)


class Selection(NamedTuple):
    """models: by their places, one as often as it was taken. choosers, judges: the rows of the images that chose them,
    and of all others, which may judge them."""

    models: list[int]
    choosers: list[int]
    judges: list[int]


def choosers_among(ids: Sequence[str], seed: int = 0) -> Tensor:
    """Which images choose an ensemble, (N,) bool: SELECTING of them, by their ids; BadData where none or all would."""
    chosen = torch.from_numpy(uniform(seed, 3, id_keys(ids), 1)[:, 0] < SELECTING)
    if not chosen.any() or chosen.all():
        raise BadData(f"ensemble: expected images enough to choose and to judge, got {len(chosen)}; give more images")
    return chosen


def select(each: Sequence[Scores | str | Path], seed: int = 0, most: int = 20) -> Selection:
    """Greedy forward selection: which models to average, a model as often as it helps.

    In each turn the model that leaves fewest wrong is added, of those alike the earlier one; it ends where none helps.
    SELECTING of the images choose, by their ids, and must not judge what they chose (law 10). Raises what `average`
    raises.
    """
    opened = _opened(each)
    first, columns = opened[0], matched(opened)
    chosen = choosers_among(first.ids, seed)
    choosers, judges = chosen.nonzero()[:, 0].tolist(), (~chosen).nonzero()[:, 0].tolist()
    answers = [  # as `average` takes them
        one.of(choosers).averaged[:, own].double().softmax(1) for one, own in zip(opened, columns, strict=True)
    ]
    labels = first.labels[choosers]
    total, taken, fewest = torch.zeros_like(answers[0]), list[int](), len(labels) + 1
    while len(taken) < most:
        wrong = [int((label_ranks(total + one, labels) > 0).sum()) for one in answers]
        best = min(range(len(each)), key=wrong.__getitem__)
        if wrong[best] >= fewest:
            break
        fewest = wrong[best]
        taken.append(best)
        total += answers[best]
    return Selection(taken, choosers, judges)
