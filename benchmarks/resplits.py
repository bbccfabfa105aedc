"""The systems of 2009 to 2011 on one set of photos, split anew ten times: which differences are real?

    python benchmarks/resplits.py DIR/caltech20 --lessons docs/images/lessons_2011.png

All photos are put together and, class by class, two thirds of them drawn to train on. A system of several sets of codes
gives an SVM for each set and the mean of their margins. Words and mixtures are learned from DESCRIPTORS descriptors, a
quarter of what the recipes say, and photos are not mirrored. Differences are paired by split. The interval is that of
each difference by itself; an order is claimed where p is below 0.05 for all differences of one question together (Holm
1979, Scand. J. Statist. 6): which year, which set of a year. With --lessons: Fisher vectors of SIFT with more
Gaussians, whose mixtures have seen all training photos, and SVMs that have seen fewer; whether larger codes help is
asked of the mean over all numbers of photos, then of each of them, and so the other way round. A finished split of
unchanged code is kept in results/ and not done again by the same commit, nor those that --commit adds.
"""

import json
import math
from collections import defaultdict
from collections.abc import Callable
from itertools import combinations, product
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple, Self

import torch
from scipy import stats
from torch import Tensor

from conditions import RESULTS, THREADS, conditions, options, publish, set_up
from topfive.data import open_data
from topfive.data.draws import id_keys, uniform
from topfive.data.geometry import Geometry
from topfive.data.imageset import ImageSet, Split, subset
from topfive.evaluation.calibration import fit_sharpness
from topfive.evaluation.intervals import holm
from topfive.models import build
from topfive.models.coded import CodedSvm
from topfive.recipes.stages import Fit, Svm
from topfive.training.codebook import fit_channels
from topfive.training.codes import extract_codes
from topfive.training.coordinates import Span
from topfive.training.linear_svm import choose_c, solve
from topfive.training.svm import draw_folds
from topfive.training.tailoring import fit_recipe, geometry_of

ENTRIES = ("sift_bow_2009", "nec_2010", "xrce_2011")
SHARE = 2 / 3
DESCRIPTORS = 50_000
GAUSSIANS, PHOTOS = (4, 16, 64), (5, 10, 20, 30)
ALPHA = 0.05
FILE = RESULTS / "resplits_each.jsonl"


def together(data: ImageSet) -> Split:
    """The photos of all splits as one."""
    parts = list(data.splits.values())
    paths = tuple(path for part in parts for path in part.paths or ())
    return Split(tuple(id_ for part in parts for id_ in part.ids), torch.cat([p.labels for p in parts]), paths=paths)


def halves(photos: Split, seed: int, classes: int) -> tuple[list[int], list[int]]:
    """Rows to train on and rows to judge, drawn class by class."""
    counts = photos.labels.bincount(minlength=classes).tolist()
    train = drawn_by_class(photos, seed, [round(SHARE * count) for count in counts])
    return train, sorted(set(range(len(photos))) - set(train))


def drawn_by_class(photos: Split, seed: int, numbers: list[int]) -> list[int]:
    """So many rows of each class, drawn by ids, in order. Fewer of one seed are among the more."""
    draws = torch.from_numpy(uniform(seed, 7, id_keys(photos.ids), 1)[:, 0])
    rows: list[int] = []
    for label, number in enumerate(numbers):
        of_class = (photos.labels == label).nonzero()[:, 0]
        rows += of_class[draws[of_class].argsort()][:number].tolist()
    return sorted(rows)


def fitted(name: str, data: ImageSet, known: Split, **model: Any) -> tuple[CodedSvm, Svm, Geometry]:
    """A system whose channels have learned from these photos, and how its SVMs are to be fitted."""
    recipe, _ = fit_recipe(name, data, settings={f"model.{key}": str(value) for key, value in model.items()})
    stage = recipe.stage[recipe.main]
    system, geometry = build(name, len(data.classes), **recipe.model).eval(), geometry_of(recipe)
    assert isinstance(system, CodedSvm) and isinstance(stage, Svm)
    for fit in recipe.stage:
        if isinstance(fit, Fit):
            fit_channels(system, fit.model_copy(update={"descriptors": DESCRIPTORS}), known, geometry, recipe.seed)
    return system, stage, geometry


def sharp_margins(codes: Tensor, known: Split, answers: Tensor, stage: Svm, classes: int) -> Tensor:
    """Margins (judged, classes) of SVMs on codes of the known photos, whose softmax is a probability."""
    folds, span = draw_folds(known, stage, 0), Span.of(codes)
    c, start, margins = choose_c(span.coordinates, known.labels, folds, stage, classes, 0)
    weights = span.undone(solve(span.coordinates, known.labels, start, c, stage, 0))
    return fit_sharpness(margins, known.labels[folds >= 0]) * torch.addmm(weights[:, -1], answers, weights[:, :-1].T)


def of_split(name: str, data: ImageSet, photos: Split, seed: int) -> dict[str, float]:
    """Accuracies of a system and of each of its sets where there are several."""
    known, judged = (subset(photos, rows) for rows in halves(photos, seed, len(data.classes)))
    system, stage, geometry = fitted(name, data, known)
    margins = {}
    for key, channel in system.channels.items():
        codes, answers = (extract_codes(system, split, geometry, part=channel).codes for split in (known, judged))
        margins[key] = sharp_margins(codes, known, answers, stage, len(data.classes))
    each = {name: torch.stack(list(margins.values())).mean(0)}
    if len(margins) > 1:
        each |= {f"{name}: {key}": one for key, one in margins.items()}
    return {key: accuracy(one, judged.labels) for key, one in each.items()}


def lessons_of_split(data: ImageSet, photos: Split, seed: int, gaussians: int) -> dict[str, float]:
    """Accuracies of Fisher vectors of SIFT, by how many photos of a class the SVMs have seen."""
    known, judged = (subset(photos, rows) for rows in halves(photos, seed, len(data.classes)))
    system, stage, geometry = fitted(ENTRIES[2], data, known, components=gaussians, colour=False)
    codes, answers = (extract_codes(system, split, geometry).codes for split in (known, judged))
    found, classes = {}, len(data.classes)
    for few in PHOTOS:
        rows = drawn_by_class(known, seed, [few] * classes)
        margins = sharp_margins(codes[rows], subset(known, rows), answers, stage, classes)
        found[str(few)] = accuracy(margins, judged.labels)
    return found


def accuracy(margins: Tensor, labels: Tensor) -> float:
    return float((margins.argmax(1) == labels).float().mean())


def kept(commit: str, data: ImageSet) -> dict[str, dict[str, float]]:
    """Accuracies of finished pieces of work, by what they are."""
    lines = FILE.read_text().splitlines() if FILE.exists() else []
    done = [json.loads(line) for line in lines]
    return {one["work"]: one["accuracy"] for one in done if (one["commit"], one["data"]) == (commit, data.manifest)}


def is_changed(commit: str) -> bool:
    """Whether a name of code does not say what the code was."""
    return commit.endswith("-dirty") or commit == "unknown"


class Estimate(NamedTuple):
    """A mean over splits, its 95 % interval, and how often as large a one would come by chance if it were 0.

    Student's t with the variance of Nadeau, Bengio 2003 (Machine Learning 52): the splits share their photos, so ten of
    them say less than ten sets of photos would.
    """

    mean: float
    low: float
    high: float
    p: float

    @classmethod
    def of(cls, values: list[float]) -> Self:
        """That of a value a split, of two at least."""
        shared = (1 - SHARE) / SHARE  # photos judged over photos to learn from
        spread = torch.tensor(values, dtype=torch.float64)
        mean, error = float(spread.mean()), float(spread.std()) * math.sqrt(1 / len(values) + shared)
        student = stats.t(len(values) - 1)
        half = float(student.ppf(0.975)) * error
        p = 2 * float(student.sf(abs(mean) / error)) if error else float(mean == 0)
        return cls(mean, mean - half, mean + half, p)


def rows_of_differences(pairs: list[tuple[str, str, list[float], list[float]]]) -> list[list[str]]:
    """Of each pair the second minus the first, split by split; which is better, if all that is said here may be."""
    found = [Estimate.of([b - a for a, b in zip(one, other, strict=True)]) for *_, one, other in pairs]
    rows = []
    for (one, other, *_), it, p in zip(pairs, found, holm([it.p for it in found]), strict=True):
        verdict = "not told apart" if p >= ALPHA else f"{other if it.mean > 0 else one} is better"
        rows.append([f"{other} - {one}", f"{it.mean:+.1%}", f"{it.low:+.1%} to {it.high:+.1%}", f"{p:.3f}", verdict])
    return rows


def lesson(one: str, other: str, by: dict[int, tuple[list[float], list[float]]], kind: str) -> list[list[str]]:
    """Of the mean over everything that was tried with both, then with each of it."""
    means = [list(map(fmean, zip(*side, strict=True))) for side in zip(*by.values(), strict=True)]
    each = [(f"{one}, {number} {kind}", f"{other}, {number} {kind}", *pair) for number, pair in by.items()]
    return rows_of_differences([(one, other, *means)]) + rows_of_differences(each)


def draw(lessons: dict[tuple[int, int], list[float]], path: Path) -> None:
    """Error against training photos a class, a line for each number of Gaussians: means and deviations over splits."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for colour, marker, gaussians in zip(("#0072B2", "#E69F00", "#009E73"), "os^", GAUSSIANS, strict=True):
        errors = 100 - 100 * torch.tensor([lessons[gaussians, photos] for photos in PHOTOS], dtype=torch.float64)
        deviation, middle = torch.std_mean(errors, 1)
        axes.plot(PHOTOS, middle, marker=marker, color=colour, label=f"{gaussians} Gaussians")
        axes.fill_between(PHOTOS, middle - deviation, middle + deviation, color=colour, alpha=0.15, linewidth=0)
    axes.set(xlabel="training photos a class", ylabel="top-1 error (%)", xticks=PHOTOS, ylim=(0, None))
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = options(__doc__, rounds=10)
    parser.add_argument("data", help="a folder of class folders of photos")
    parser.add_argument("--lessons", type=Path, metavar="PNG", help="where to draw more images and larger codes")
    parser.add_argument(
        "--commit", help="whose finished splits count too: give it where nothing that they depend on has changed since"
    )
    parser.add_argument("--threads", type=int, default=THREADS)
    asked = parser.parse_args()
    set_up(asked.threads)
    under = conditions(asked.rounds)
    data = open_data(asked.data)
    photos = together(data)
    done = {} if is_changed(under["commit"]) else kept(under["commit"], data)
    if asked.commit:
        older = kept(asked.commit, data)
        under["also_of"] = f"{asked.commit}: {len(older.keys() - done.keys())} pieces of work"
        done = older | done

    def work(what: str, run: Callable[..., dict[str, float]], *given: Any) -> dict[str, float]:
        if what not in done:
            done[what] = run(*given)
            line = {"work": what, "accuracy": done[what], "commit": under["commit"], "data": data.manifest}
            if not is_changed(under["commit"]):
                with FILE.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
            print(what, {key: f"{value:.1%}" for key, value in done[what].items()}, flush=True)
        return done[what]

    found = defaultdict[str, list[float]](list)
    for seed in range(asked.rounds):
        for name in ENTRIES:
            for key, value in work(f"{name} {seed}", of_split, name, data, photos, seed).items():
                found[key].append(value)
    rows = []
    for key, values in found.items():
        it = Estimate.of(values)
        rows.append([key, f"{it.mean:.1%}", f"{it.low:.1%} to {it.high:.1%}", "", ""])
    sets = [(key, key.split(":")[0]) for key in found if ":" in key]  # a set of codes, and the mean of all
    for question in (list(combinations(ENTRIES, 2)), sets):
        rows += rows_of_differences([(one, other, found[one], found[other]) for one, other in question])
    figures = {"accuracy": dict(found), "data": data.name, "photos": len(photos)}
    if asked.lessons:
        lessons = defaultdict[tuple[int, int], list[float]](list)
        for gaussians, seed in product(GAUSSIANS, range(asked.rounds)):
            each = work(f"lesson {gaussians} {seed}", lessons_of_split, data, photos, seed, gaussians)
            for number in PHOTOS:
                lessons[gaussians, number].append(each[str(number)])
        draw(lessons, asked.lessons)
        names = {key: f"{key[0]} Gaussians, {key[1]} photos" for key in lessons}
        figures["lessons"] = {names[key]: values for key, values in lessons.items()}
        fewer, more = GAUSSIANS[0], GAUSSIANS[-1]
        by_codes = [(lessons[fewer, number], lessons[more, number]) for number in PHOTOS]
        rows += lesson(f"{fewer} Gaussians", f"{more} Gaussians", dict(zip(PHOTOS, by_codes, strict=True)), "photos")
        fewer, more = PHOTOS[0], PHOTOS[-1]
        by_photos = [(lessons[number, fewer], lessons[number, more]) for number in GAUSSIANS]
        rows += lesson(f"{fewer} photos", f"{more} photos", dict(zip(GAUSSIANS, by_photos, strict=True)), "Gaussians")
    head = [f"{asked.rounds} splits", "accuracy", "95 % interval", "p, Holm's", ""]
    publish("resplits", head, rows, figures, under, asked.record)


if __name__ == "__main__":
    main()
