"""A person's guesses as scores, and the person's place among machines that answered the same images.

A person was measured on the Challenge by Russakovsky et al. 2015, arXiv:1409.0575, sec. 6.4. The rules are those for
machines: five guesses an image, in order, and an image is answered right at top k when its class is among the first k.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from topfive.errors import BadData, Misused
from topfive.evaluation.intervals import Comparison, compare_all, ranks
from topfive.evaluation.report import judge, right_answers
from topfive.evaluation.scores import Scores

PERSON = "a person"
MOST = 5
PUBLISHED = {  # sec. 6.4: the annotator who had trained for it, on test images of 2012 to 2014
    "top5_error": 0.051,
    "images": 1500,
    "classes": 1000,
    "source": "Russakovsky et al. 2015, arXiv:1409.0575, sec. 6.4",
}


def guesses_of(classes: int) -> int:
    """How many guesses an image has: five, or one where five would name every class (law 6)."""
    return MOST if classes > MOST else 1


def guessed(guesses: Sequence[int], classes: int) -> Tensor:
    """Guesses in order, the best first, as scores (classes,): falling from the number that was allowed, 0 elsewhere.

    A class that was not named ties with all such classes, and a tie counts against it: no figure up to that of all
    guesses gives it anything. Raises Misused for none, too many, one twice or one that is no class.

    >>> guessed([2, 0], 6).tolist()
    [4.0, 0.0, 5.0, 0.0, 0.0, 0.0]
    """
    most = guesses_of(classes)
    if not 1 <= len(set(guesses)) == len(guesses) <= most or not all(0 <= guess < classes for guess in guesses):
        allowed = "one class" if most == 1 else f"1 to {most} different classes"
        raise Misused(f"guesses: expected {allowed} by numbers below {classes}, got {list(guesses)}; choose again")
    scores = torch.zeros(classes)
    scores[list(guesses)] = torch.arange(most, most - len(guesses), -1).float()
    return scores


def place(person: Scores, machines: Mapping[str, Scores], of: int) -> dict[str, Any]:
    """The person among machines, all judged on the images that the person saw; ranks by law 7, over all pairs.

    machines: by their names, their scores on all judged images. of: how many these are. Raises BadData for scores of
    other images.
    """
    each = {PERSON: person} | {name: seen(machine, person, name) for name, machine in machines.items()}
    comparisons = compare_all({name: right_answers(scores) for name, scores in each.items()})
    rank = ranks(list(each), comparisons)
    beside = {pair.b: pair for pair in comparisons if pair.a == PERSON}  # who stands first in all pairs
    rows = [_row(name, scores, rank[name], beside.get(name)) for name, scores in each.items()]
    top5 = len(person.classes) > MOST
    return {
        "split": person.split,
        "images": len(person.ids),
        "of": of,
        "guesses": guesses_of(len(person.classes)),
        "broken": [vars(image) for image in person.broken],
        "entries": sorted(rows, key=lambda row: (row["rank"], row["top1_error"])),
        "published": PUBLISHED if top5 else None,
    }


def seen(machine: Scores, person: Scores, name: str) -> Scores:
    """A machine's scores on the images that the person saw, in that order."""
    rows = {id_: row for row, id_ in enumerate(machine.ids)}
    if machine.data != person.data or not set(person.ids) <= set(rows):
        raise BadData(f"{name}: expected scores of the images that the person saw, got others; hold the contest anew")
    return machine.of([rows[id_] for id_ in person.ids])


def _row(name: str, scores: Scores, rank: int, beside: Comparison | None) -> dict[str, Any]:
    report = judge(scores).document
    figures = {key: report[key] for key in ("top1_error", "top1_interval", "top5_error", "top5_interval")}
    row: dict[str, Any] = {"entry": name, "rank": rank, **figures, "beside": None}
    if beside is not None:
        better = "better" if beside.only_b_right > beside.only_a_right else "worse"
        row["beside"] = {
            "only_person_right": beside.only_a_right,
            "only_it_right": beside.only_b_right,
            "p": beside.p,
            "p_holm": beside.p_holm,
            "verdict": better if beside.significant else "not told apart",
        }
    return row


def to_text(placed: dict[str, Any]) -> str:
    """The place for a terminal."""
    top5 = placed["published"] is not None
    wide = max(len(row["entry"]) for row in placed["entries"])
    compared = len(placed["entries"]) > 1
    heads = ["rank", "entry".ljust(wide), f"{'top-1 error (95 % interval)':>30}"]
    heads += [f"{'top-5 error (95 % interval)':>30}"] * top5 + ["beside you"] * compared
    lines = [head_line(placed), "  ".join(heads)]
    for row in placed["entries"]:
        cells = [f"{row['rank']:4}", row["entry"].ljust(wide), f"{error(row, 'top1'):>30}"]
        lines.append("  ".join([*cells, *[f"{error(row, 'top5'):>30}"] * top5, in_words(row["beside"])]).rstrip())
    return "\n".join([*lines, *notes(placed)])


def head_line(placed: dict[str, Any]) -> str:
    """Which images, how many of them, and how often each could be guessed."""
    often = "one guess each" if placed["guesses"] == 1 else f"up to {placed['guesses']} guesses each"
    return f"{placed['images']} of {placed['of']} {placed['split']} images, {often}"


def error(row: dict[str, Any], key: str) -> str:
    """An error with its interval, in percent."""
    low, high = row[f"{key}_interval"]
    return f"{100 * row[f'{key}_error']:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def in_words(beside: dict[str, Any] | None) -> str:
    """How a machine compares with the person; '' for the person."""
    if beside is None:
        return ""
    counts = f"you alone right on {beside['only_person_right']}, it alone on {beside['only_it_right']}"
    return f"{beside['verdict']} ({counts}; p = {beside['p_holm']:.2g})"


def notes(placed: dict[str, Any]) -> list[str]:
    """What is to be known about the figures, a sentence each."""
    lines = [f"counted as an error: {image['reason']}" for image in placed["broken"]]
    if len(placed["entries"]) > 1:
        lines.append(
            "rank = 1 + the number of entries significantly better (exact paired McNemar test on top-1, Holm over all "
            "pairs), on the images that you saw"
        )
    else:
        lines.append("no machines to compare with: hold a contest on the same images, or name its folder by --board")
    if found := placed["published"]:
        lines.append(
            f"published: a person's top-5 error was {100 * found['top5_error']:.1f} % on {found['images']:,} images of "
            f"ILSVRC's {found['classes']:,} classes ({found['source']}); other images and classes than yours"
        )
    return lines
