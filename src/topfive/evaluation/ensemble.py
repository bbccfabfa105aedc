"""Several models as one: averages of saved scores, weights, and greedy selection on a share that does not judge.

The Challenge's winners were ensembles: of 5 to 7 nets in 2012 and 2014, their probabilities averaged (Krizhevsky,
Sutskever, Hinton 2012, table 2; Szegedy et al. 2014, arXiv:1409.4842, sec. 7). Greedy selection: Caruana,
Niculescu-Mizil, Crew, Ksikes 2004, ICML 2004.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch

from topfive.data.draws import id_keys, uniform
from topfive.errors import BadData, Misused
from topfive.evaluation.scores import Scores
from topfive.metrics import label_ranks

SELECTING = 0.2  # share of the images that choose an ensemble; the others judge it


def together(each: Sequence[Scores]) -> list[Scores]:
    """The scores of several models with their classes in the first one's order, matched by key (law 1).

    Raises BadData, which names what differs, unless all are of the same images, labels and classes.
    """
    first = each[0]
    keys = [label.key for label in first.classes]
    found = []
    for other in each:
        names = f"{first.entry} and {other.entry}"
        theirs = [label.key for label in other.classes]
        if sorted(keys) != sorted(theirs):
            raise BadData(f"ensemble: expected one list of classes, got two of {names}; score both on the same data")
        columns = torch.tensor([theirs.index(key) for key in keys])
        places = torch.tensor([keys.index(key) for key in theirs])
        same = other
        if keys != theirs:
            same = replace(other, classes=first.classes, scores=other.scores[..., columns], labels=places[other.labels])
        if first.ids != other.ids:
            different = next((a for a, b in zip(first.ids, other.ids, strict=False) if a != b), "their number")
            raise BadData(f"ensemble: expected the same images, those of {names} differ in {different}; score anew")
        if not torch.equal(first.labels, same.labels):
            raise BadData(f"ensemble: expected the same labels, those of {names} differ; score them anew")
        found.append(same)
    return found


def average(each: Sequence[Scores], weights: Sequence[float] | None = None) -> Scores:
    """The weighted mean of the models' probabilities, each first averaged over its own crops; as logarithms.

    An image that one of them could not answer is answered by none. Of models that saw different things the
    costliest is noted. Raises BadData where images or classes differ, Misused for guesses.
    """
    each = together(each)
    for one in each:
        one.check_probabilities()
    shares = torch.tensor(weights if weights is not None else [1.0] * len(each), dtype=torch.float64)
    if len(shares) != len(each) or bool((shares < 0).any()) or not float(shares.sum()) > 0:
        raise Misused(f"ensemble: expected {len(each)} weights, none below 0 and one above, got {shares.tolist()}")
    taken = [(float(share / shares.sum()), one) for share, one in zip(shares, each, strict=True) if share > 0]
    total = torch.full(taken[0][1].averaged.shape, -math.inf, dtype=torch.float64)
    for share, one in taken:  # one by one: seven models of 50,000 images x 1,000 classes must fit
        torch.logaddexp(total, one.averaged.double().log_softmax(1) + math.log(share), out=total)
    costliest = max((one for _, one in taken), key=lambda one: one.cost)
    broken = {image.id: image for _, one in taken for image in one.broken}
    return replace(
        each[0], entry=" + ".join(one.entry for one in each), scores=total.float()[:, None], kind="log-probabilities",
        model="", broken=tuple(broken[id_] for id_ in each[0].ids if id_ in broken),
        each=costliest.crops, dense=costliest.dense, area=costliest.area, calibration={},
    )  # fmt: skip


class Selection(NamedTuple):
    """models: by their places, one as often as it was taken. choosers: the rows of the images that chose them."""

    models: list[int]
    choosers: list[int]


def select(each: Sequence[Scores], seed: int = 0, most: int = 20) -> Selection:
    """Greedy forward selection: which models to average, a model as often as it helps.

    In each turn the model that leaves fewest wrong is added, of those alike the earlier one; it ends where none helps.
    SELECTING of the images choose, by their ids, and must not judge what they chose (law 10).
    """
    each = together(each)
    chosen = torch.from_numpy(uniform(seed, 3, id_keys(each[0].ids), 1)[:, 0] < SELECTING)
    if not chosen.any() or chosen.all():
        raise BadData(f"ensemble: expected images enough to choose and to judge, got {len(chosen)}; give more images")
    for one in each:
        one.check_probabilities()
    answers = [one.averaged[chosen].double().softmax(1) for one in each]  # as `average` takes them
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
