"""Several models as one: averages of saved scores, weights, and greedy selection on a share that does not judge.

The Challenge's winners were ensembles: of 5 to 7 nets in 2012 and 2014, their probabilities averaged (Krizhevsky,
Sutskever, Hinton 2012, table 2; Szegedy et al. 2014, arXiv:1409.4842, sec. 7). Greedy selection: Caruana,
Niculescu-Mizil, Crew, Ksikes 2004, ICML 2004.
"""

from collections.abc import Iterator, Sequence
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
    keys = [label.key for label in first.classes]
    found = []
    for other in each:
        names = f"{first.entry} and {other.entry}"
        theirs = {label.key: place for place, label in enumerate(other.classes)}
        if sorted(keys) != sorted(theirs):
            raise BadData(f"ensemble: expected one list of classes, got two of {names}; score both on the same data")
        if first.ids != other.ids:
            different = next((a for a, b in zip(first.ids, other.ids, strict=False) if a != b), "their number")
            raise BadData(f"ensemble: expected the same images, those of {names} differ in {different}; score anew")
        columns = torch.tensor([theirs[key] for key in keys])
        if not torch.equal(columns[first.labels], other.labels):
            raise BadData(f"ensemble: expected the same labels, those of {names} differ; score them anew")
        found.append(columns)
    return found


def average(each: Sequence[Scores | Path], weights: Sequence[float] | None = None) -> Scores:
    """The weighted mean of the models' probabilities, each first averaged over its own crops; as logarithms.

    each: in memory, or scores files, which are read part by part: however many crops they hold, what is in memory is
    the mean. An image that one of them could not answer is answered by none. Of models that saw different things the
    costliest is noted. Raises BadData where images or classes differ, Misused for guesses, BadFile for what is no
    scores file.
    """
    opened = [load_scores(one) if isinstance(one, Path) else one for one in each]
    first, columns = opened[0], matched(opened)
    for one in opened:
        one.check_probabilities()
    shares = torch.tensor(weights if weights is not None else [1.0] * len(each), dtype=torch.float64)
    if len(shares) != len(each) or bool((shares < 0).any()) or not float(shares.sum()) > 0:
        raise Misused(f"ensemble: expected {len(each)} weights, none below 0 and one above, got {shares.tolist()}")
    taken = [place for place, share in enumerate(shares.tolist()) if share > 0]
    shares = shares[taken] / shares.sum()
    rows = max(1, AT_ONCE // max(1, *(opened[place].scores[:1].numel() for place in taken)))
    parts = [_parts(each[place], columns[place], rows) for place in taken]
    found = torch.empty(len(first.ids), len(first.classes))
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


def _parts(source: Scores | Path, columns: Tensor, rows: int) -> Iterator[Tensor]:
    """The scores (rows, views, classes) of so many images at a time, classes in the order of `columns`."""
    parts = read_rows(source, "scores", rows) if isinstance(source, Path) else torch.split(source.scores, rows)
    in_order = bool((columns.diff() == 1).all())
    return (part if in_order else part[..., columns] for part in parts)


class Selection(NamedTuple):
    """models: by their places, one as often as it was taken. choosers: the rows of the images that chose them."""

    models: list[int]
    choosers: list[int]


def select(each: Sequence[Scores], seed: int = 0, most: int = 20) -> Selection:
    """Greedy forward selection: which models to average, a model as often as it helps.

    In each turn the model that leaves fewest wrong is added, of those alike the earlier one; it ends where none helps.
    SELECTING of the images choose, by their ids, and must not judge what they chose (law 10).
    """
    columns = matched(each)
    chosen = torch.from_numpy(uniform(seed, 3, id_keys(each[0].ids), 1)[:, 0] < SELECTING)
    if not chosen.any() or chosen.all():
        raise BadData(f"ensemble: expected images enough to choose and to judge, got {len(chosen)}; give more images")
    for one in each:
        one.check_probabilities()
    answers = [  # as `average` takes them
        one.averaged[chosen][:, own].double().softmax(1) for one, own in zip(each, columns, strict=True)
    ]
    labels = each[0].labels[chosen]
    total, taken, fewest = torch.zeros_like(answers[0]), list[int](), len(labels) + 1
    while len(taken) < most:
        wrong = [int((label_ranks(total + one, labels) > 0).sum()) for one in answers]
        best = min(range(len(each)), key=wrong.__getitem__)
        if wrong[best] >= fewest:
            break
        fewest = wrong[best]
        taken.append(best)
        total += answers[best]
    return Selection(taken, chosen.nonzero()[:, 0].tolist())
