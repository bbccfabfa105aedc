"""The mistakes of a contest, to be looked at: confused pairs, the surest wrong answers, what each era alone misses,
errors by the scale of objects.

A high probability for a wrong answer is a fault of the entry or of the label; an image that all entries miss is a hard
one or has a wrong label. Both are for the reader's eye, so a thumbnail of each is kept.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import torch
from torch import Tensor

from topfive.data.geometry import to_pixels
from topfive.data.imageset import ImageSet
from topfive.errors import BadData, BadFile
from topfive.evaluation.hierarchy import Hierarchy
from topfive.evaluation.intervals import wilson
from topfive.evaluation.objects import errors_by_scale, objects_shown
from topfive.evaluation.report import right_answers
from topfive.evaluation.scores import Scores
from topfive.leaderboard.thumbnail import thumbnail
from topfive.metrics import label_ranks

log = logging.getLogger("topfive")
STRIP = 12  # images shown of one kind
PAIRS = 20  # confused pairs kept
AT_ONCE = 4096  # images whose probabilities are computed together
LEARNED_SINCE = 2012  # AlexNet's year: ideas before it are the old era, those from then on the new one


class WrongAnswers(NamedTuple):
    """Of the images asked for: answered (M,) places in the image set's classes, -1 for none; probability (M,)."""

    answered: Tensor
    probability: Tensor


def find_mistakes(data: ImageSet, scored: dict[str, Scores], ranked: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """What leaderboard.json holds under `mistakes`; None where no entry was judged.

    scored: the entries' answers on the judged split. ranked: the rows of these entries, best first.
    """
    if not ranked:
        return None
    best = min(ranked, key=lambda row: row["top1_error"])
    keys = [label.key for label in data.classes]
    missed = {name: ~right_answers(scores) for name, scores in scored.items()}
    return {
        "entry": best["entry"],
        "confused": confused_pairs(best["confusion"], keys),
        "by_height": wrong_by_height(best["confusion"], keys),
        "surest": surest(data, scored[best["entry"]], missed[best["entry"]]),
        "eras": compare_eras(data, scored, missed, ranked),
        "by_scale": by_scale(data, scored),
    }


def tree_of(keys: Sequence[str]) -> Hierarchy | None:
    """The tree above the classes that nested class folders give; None where they are not nested."""
    return Hierarchy.of_keys(keys) if any("/" in key for key in keys) else None


def confused_pairs(confusion: Sequence[Sequence[int]], keys: Sequence[str]) -> list[dict[str, Any]]:
    """The most frequent wrong answers, by class keys: truth, answer, count, of how many of the true class.

    confusion: rows the truth, columns the answer, in the order of `keys`. Where a tree is known, `ancestor` is the
    lowest node above both classes, an empty string for the root, and `height` its height; else both are None.
    """
    counts = torch.tensor(confusion)
    totals = counts.sum(1)
    wrong = counts.clone().fill_diagonal_(0)
    pairs = [(int(wrong[truth, answer]), truth, answer) for truth, answer in wrong.nonzero().tolist()]
    pairs.sort(key=lambda pair: (-pair[0], -pair[0] / int(totals[pair[1]])))
    tree = tree_of(keys)
    heights = tree.heights() if tree else {}
    found = []
    for count, truth, answer in pairs[:PAIRS]:
        above = tree.lowest_common_ancestor(keys[truth], keys[answer]) if tree else None
        found.append({
            "truth": keys[truth], "answer": keys[answer], "count": count, "of": int(totals[truth]),
            "ancestor": above, "height": None if above is None else heights[above],
        })  # fmt: skip
    return found


def wrong_by_height(confusion: Sequence[Sequence[int]], keys: Sequence[str]) -> list[dict[str, int]] | None:
    """How many wrong answers have their lowest common ancestor with the truth at each height; None without a tree."""
    tree = tree_of(keys)
    if tree is None:
        return None
    wrong = torch.tensor(confusion).fill_diagonal_(0).flatten()
    counts = torch.bincount(tree.costs(keys).long().flatten(), weights=wrong.double()).long().tolist()
    return [{"height": height, "count": count} for height, count in enumerate(counts) if count]


def by_scale(data: ImageSet, scored: dict[str, Scores]) -> dict[str, list[dict[str, Any]]] | None:
    """Each entry's errors by the scale of objects, see `objects.errors_by_scale`; None where there are no boxes.

    Boxes that cannot be read do not end a contest: a line says so.
    """
    if data.boxes is None:
        return None
    try:
        shown = objects_shown(data, data.judged)
    except BadData as error:
        log.warning("no errors by the scale of objects: %s", error)
        return None
    scales = {image: one.scale for image, one in shown.items() if one.scale is not None}
    return {
        name: errors_by_scale(label_ranks(scores.averaged, scores.labels), scores.ids, scales)
        for name, scores in scored.items()
    }


def surest(data: ImageSet, scores: Scores, missed: Tensor) -> list[dict[str, Any]]:
    """The wrong answers of greatest probability, those first. missed: (N,) bool."""
    rows = missed.nonzero()[:, 0]
    given = wrong_answers(data, scores, rows)
    answered = given.answered >= 0
    return _strip(data, rows[answered], WrongAnswers(given.answered[answered], given.probability[answered]))


def wrong_answers(data: ImageSet, scores: Scores, rows: Tensor) -> WrongAnswers:
    """What was answered in place of the label on images that were missed, and with which probability.

    rows: (M,) places in the split. A label that ties with another class was not answered: the other was. An image with
    a NaN among its scores has no answer, and the probability 0.
    """
    place = {label.key: index for index, label in enumerate(data.classes)}
    columns = torch.tensor([place[label.key] for label in scores.classes])
    averaged = scores.averaged
    answered, probability = [torch.empty(0, dtype=torch.long)], [torch.empty(0, dtype=torch.double)]
    for part in torch.split(rows, AT_ONCE):
        found = averaged[part].double() / scores.temperature
        whole = ~found.isnan().any(1)
        rivals = found.scatter(1, scores.labels[part, None], float("-inf"))
        top, column = rivals.max(1)
        answered.append(torch.where(whole, columns[column], -1))
        probability.append(torch.where(whole, (top - found.logsumexp(1)).exp().nan_to_num(), 0.0))
    return WrongAnswers(torch.cat(answered), torch.cat(probability))


def compare_eras(
    data: ImageSet, scored: dict[str, Scores], missed: dict[str, Tensor], ranked: Sequence[dict[str, Any]]
) -> dict[str, Any] | None:
    """The images that only the old era's best entry misses, only the new era's, and all entries of the board.

    missed: (N,) bool by entry. Images that could not be decoded are in none of the three: there is nothing to look at.
    None where all entries are of one year.
    """
    sides = eras(ranked)
    if sides is None:
        return None
    old, new = (side["entry"] for side in sides)
    first = next(iter(scored.values()))
    broken = {image.id for image in first.broken}
    readable = torch.tensor([id_ not in broken for id_ in first.ids])

    def kind(misses: Tensor, images: list[dict[str, Any]]) -> dict[str, Any]:
        count = int(misses.sum())
        return {"count": count, "interval": wilson(count, len(misses)), "images": images}

    found: dict[str, Any] = {"old": sides[0], "new": sides[1], "entries": len(scored), "of": len(readable)}
    for name, one, other in (("only_old_misses", old, new), ("only_new_misses", new, old)):
        misses = missed[one] & ~missed[other] & readable
        rows = misses.nonzero()[:, 0]
        found[name] = kind(misses, _strip(data, rows, wrong_answers(data, scored[one], rows)))
    misses = torch.stack(list(missed.values())).all(0) & readable
    return found | {"all_miss": kind(misses, _agreed(data, list(scored.values()), misses.nonzero()[:, 0]))}


def eras(ranked: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The old and the new era, each with its entry of least top-1 error; None where all entries are of one year.

    The eras part at 2012. Where all entries lie on one side of it, the earliest year stands against the latest.
    """
    years = [row["year"] for row in ranked]
    if min(years) == max(years):
        return None
    parted = min(years) < LEARNED_SINCE <= max(years)
    last, first = (LEARNED_SINCE - 1, LEARNED_SINCE) if parted else (min(years), max(years))
    old = min((row for row in ranked if row["year"] <= last), key=lambda row: row["top1_error"])
    new = min((row for row in ranked if row["year"] >= first), key=lambda row: row["top1_error"])
    return (
        {"era": f"before {first}" if parted else str(last), "entry": old["entry"], "year": old["year"]},
        {"era": f"{first} and later" if parted else str(first), "entry": new["entry"], "year": new["year"]},
    )


def _strip(data: ImageSet, rows: Tensor, given: WrongAnswers) -> list[dict[str, Any]]:
    """The pictures of the surest wrong answers. rows: (M,), as in `given`."""
    order = given.probability.argsort(descending=True, stable=True)[:STRIP].tolist()
    return [
        shown | {"answer": _key(data, int(given.answered[i])), "probability": float(given.probability[i])}
        for i in order
        if (shown := _picture(data, int(rows[i])))
    ]


def _agreed(data: ImageSet, scored: Sequence[Scores], rows: Tensor) -> list[dict[str, Any]]:
    """The pictures of images that all entries miss, with the answer most entries gave; first those of most votes.

    Where votes are equal, that answer counts, and that image comes first, whose votes have most probability together.
    """
    if not len(rows):
        return []
    given = [wrong_answers(data, scores, rows) for scores in scored]
    answers = torch.stack([one.answered for one in given])  # (entries, M)
    probability = torch.stack([one.probability for one in given])
    same = (answers[:, None] == answers[None]) & (answers >= 0)  # (entries, entries, M): who said the same
    votes = same.sum(0).double()
    # A sum of probabilities, below 1, parts equal votes.
    weight = votes + (same * probability[:, None]).sum(0) / (len(scored) + 1)
    top, voter = weight.max(0)
    order = top.argsort(descending=True, stable=True)[:STRIP].tolist()
    return [
        shown | {"answer": _key(data, int(answers[voter[i], i])), "votes": int(votes[voter[i], i])}
        for i in order
        if (shown := _picture(data, int(rows[i])))
    ]


def _picture(data: ImageSet, row: int) -> dict[str, Any] | None:
    """A judged image as the page shows it; None if its file is gone by now: a page is not worth failing for."""
    split = data.split(data.judged)
    with suppress(BadFile):
        label = data.classes[int(split.labels[row])].key
        return {"id": split.ids[row], "label": label, "image": thumbnail(to_pixels(split.image(row)))}
    return None


def _key(data: ImageSet, place: int) -> str | None:
    return data.classes[place].key if place >= 0 else None
