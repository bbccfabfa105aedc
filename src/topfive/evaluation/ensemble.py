"""Several models as one: averages of saved scores, weights, and greedy selection on a share that does not judge.

The Challenge's winners were ensembles: of 5 to 7 nets in 2012 and 2014, their probabilities averaged (Krizhevsky,
Sutskever, Hinton 2012, table 2; Szegedy et al. 2014, arXiv:1409.4842, sec. 7). Greedy selection: Caruana,
Niculescu-Mizil, Crew, Ksikes 2004, ICML 2004.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch

from topfive.data.draws import id_keys, uniform
from topfive.errors import BadData, Misused
from topfive.evaluation.scores import Scores
from topfive.metrics import label_ranks

SELECTING = 0.2  # share of the images that choose an ensemble; the others judge it


def check_together(each: Sequence[Scores]) -> None:
    """Raise BadData, which names what differs, unless all scores are of the same images, labels and classes."""
    first = each[0]
    for other in each[1:]:
        names = f"{first.entry} and {other.entry}"
        if [label.key for label in first.classes] != [label.key for label in other.classes]:
            raise BadData(f"ensemble: expected one list of classes, got two of {names}; score both on the same data")
        if first.ids != other.ids:
            different = next((a for a, b in zip(first.ids, other.ids, strict=False) if a != b), "their number")
            raise BadData(
                f"ensemble: expected the same images, those of {names} differ in {different}; score them anew"
            )
        if not torch.equal(first.labels, other.labels):
            raise BadData(f"ensemble: expected the same labels, those of {names} differ; score them anew")


def average(each: Sequence[Scores], weights: Sequence[float] | None = None) -> Scores:
    """The weighted mean of the models' probabilities, each first averaged over its own crops.

    An image that one of them could not answer is answered by none. Raises BadData where images or classes differ.
    """
    check_together(each)
    shares = torch.tensor(weights if weights is not None else [1.0] * len(each), dtype=torch.float64)
    if len(shares) != len(each) or bool((shares < 0).any()) or not float(shares.sum()) > 0:
        raise Misused(f"ensemble: expected {len(each)} weights, none below 0 and one above, got {shares.tolist()}")
    shares = shares / shares.sum()
    mean = torch.zeros(each[0].averaged.shape, dtype=torch.float64)
    for share, one in zip(shares, each, strict=True):
        mean += share * one.probabilities
    broken = {image.id: image for one in each for image in one.broken}
    names = " + ".join(one.entry for one in each)
    return replace(
        each[0], entry=names, scores=mean.float()[:, None], kind="probabilities", model="",
        broken=tuple(broken[id_] for id_ in each[0].ids if id_ in broken),
    )  # fmt: skip


def select(each: Sequence[Scores], seed: int = 0, most: int = 20) -> tuple[list[int], list[int]]:
    """Greedy forward selection: which models to average, a model as often as it helps, and the rows that chose them.

    In each turn the model that leaves fewest wrong is added, of those alike the earlier one; it ends where none helps.
    SELECTING of the images choose, by their ids, and must not judge what they chose (law 10).
    """
    check_together(each)
    chosen = torch.from_numpy(uniform(seed, 3, id_keys(each[0].ids), 1)[:, 0] < SELECTING)
    if not chosen.any() or chosen.all():
        raise BadData(f"ensemble: expected images enough to choose and to judge, got {len(chosen)}; give more images")
    answers = [one.probabilities[chosen] for one in each]
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
    return taken, chosen.nonzero()[:, 0].tolist()
