"""The systems of 2009 to 2011 on one set of photos, split anew ten times: which differences are real?

    python benchmarks/resplits.py DIR/caltech20 --image 128

All photos are put together and, class by class, two thirds of them drawn to train on. A system of several sets of codes
gives an SVM for each set and the mean of their margins. A finished split is kept in results/ and not done again by the
same commit. Differences are paired by split; their interval is Student's, and an order is claimed where 0 lies outside.
With --lessons: Fisher vectors of more Gaussians, and fewer training photos, as a picture.
"""

import json
import math
from collections import defaultdict
from itertools import combinations, product
from pathlib import Path
from typing import Any

import torch
from scipy import stats
from torch import Tensor

from conditions import RESULTS, conditions, options, publish, set_up
from topfive.data import open_data
from topfive.data.draws import id_keys, uniform
from topfive.data.imageset import ImageSet, Split, subset
from topfive.evaluation.calibration import fit_sharpness
from topfive.models import build
from topfive.models.coded import CodedSvm
from topfive.recipes.recipe import Fit, Svm
from topfive.training.codebook import fit_channels
from topfive.training.codes import extract_codes
from topfive.training.linear_svm import Span, choose_c, solve
from topfive.training.svm import draw_folds
from topfive.training.tailoring import fit_recipe, geometry_of

ENTRIES = ("sift_bow_2009", "nec_2010", "xrce_2011")
SHARE = 2 / 3
GAUSSIANS, PHOTOS = (4, 16, 64), (5, 10, 20, 30)
FILE = RESULTS / "resplits_each.jsonl"


def together(data: ImageSet) -> Split:
    """The photos of all splits as one."""
    parts = list(data.splits.values())
    paths = tuple(path for part in parts for path in part.paths or ())
    return Split(tuple(id_ for part in parts for id_ in part.ids), torch.cat([p.labels for p in parts]), paths=paths)


def halves(photos: Split, seed: int, classes: int) -> tuple[list[int], list[int]]:
    """Rows to train on and rows to judge, drawn class by class."""
    draws = torch.from_numpy(uniform(seed, 7, id_keys(photos.ids), 1)[:, 0])
    train: list[int] = []
    for label in range(classes):
        rows = (photos.labels == label).nonzero()[:, 0]
        train += rows[draws[rows].argsort()][: round(SHARE * len(rows))].tolist()
    return sorted(train), sorted(set(range(len(photos))) - set(train))


def margins_by_set(
    name: str, data: ImageSet, photos: Split, seed: int, image: int, few: int | None = None, **model: Any
) -> tuple[dict[str, Tensor], Tensor]:  # fmt: skip
    """Sharp margins (judged, classes) of each set of codes, and the labels. few: photos of a class to train on."""
    classes = len(data.classes)
    settings = {"geometry.crop": str(image), "geometry.resize_short": str(image)}
    recipe, _ = fit_recipe(name, data, settings=settings | {f"model.{key}": str(value) for key, value in model.items()})
    stage = recipe.stage[recipe.main]
    system, geometry = build(name, classes, **recipe.model).eval(), geometry_of(recipe)
    assert isinstance(system, CodedSvm) and isinstance(stage, Svm)
    train, judged = halves(photos, seed, classes)
    known = subset(photos, train)
    for fit in recipe.stage:
        if isinstance(fit, Fit):
            fit_channels(system, fit, known, geometry, recipe.seed)
    if few is not None:
        by_class = [[row for row in train if photos.labels[row] == label][:few] for label in range(classes)]
        known = subset(photos, sorted(row for rows in by_class for row in rows))
    folds = draw_folds(known, stage, recipe.seed)
    seen = {False: known, True: subset(photos, judged)}
    found = {}
    for key, channel in system.channels.items():
        codes, answers = (extract_codes(system, split, geometry, part=channel) for split in seen.values())
        span = Span.of(codes.codes)
        c, start, margins = choose_c(span.coordinates, codes.labels, folds, stage, classes, 0)
        weights = span.undone(solve(span.coordinates, codes.labels, start, c, stage, 0))
        sharp = fit_sharpness(margins, codes.labels[folds >= 0])
        found[key] = sharp * torch.addmm(weights[-1], answers.codes, weights[:-1])
    return found, seen[True].labels


def accuracies(name: str, margins: dict[str, Tensor], labels: Tensor) -> dict[str, float]:
    """Of the whole system, and of each of its sets where there are several."""
    whole = torch.stack(list(margins.values())).mean(0)
    each = {name: whole} | ({f"{name}: {key}": one for key, one in margins.items()} if len(margins) > 1 else {})
    return {key: float((one.argmax(1) == labels).float().mean()) for key, one in each.items()}


def kept(commit: str, data: ImageSet, image: int) -> dict[str, dict[str, float]]:
    """Accuracies of finished pieces of work, by what they are."""
    lines = FILE.read_text().splitlines() if FILE.exists() else []
    done = [json.loads(line) for line in lines]
    same = [one for one in done if (one["commit"], one["data"], one["image"]) == (commit, data.manifest, image)]
    return {one["work"]: one["accuracy"] for one in same}


def interval(values: list[float]) -> tuple[float, float, float]:
    """Their mean and its 95 % interval by Student's t."""
    spread = torch.tensor(values, dtype=torch.float64)
    half = float(stats.t.ppf(0.975, len(values) - 1)) * float(spread.std()) / math.sqrt(len(values))
    return float(spread.mean()), float(spread.mean()) - half, float(spread.mean()) + half


def draw(lessons: dict[tuple[int, int], list[float]], path: Path) -> None:
    """Error against training photos a class, a line for each number of Gaussians."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for colour, gaussians in zip(("#0072B2", "#E69F00", "#009E73"), GAUSSIANS, strict=True):
        points = [interval([100 - 100 * value for value in lessons[gaussians, photos]]) for photos in PHOTOS]
        middle, low, high = zip(*points, strict=True)
        axes.plot(PHOTOS, middle, "o-", color=colour)
        axes.fill_between(PHOTOS, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.annotate(f"{gaussians} Gaussians", (PHOTOS[-1], middle[-1]), (6, -3), textcoords="offset points")
    axes.set(xlabel="training photos a class", ylabel="top-1 error, %", xticks=PHOTOS, xlim=(4, 39))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = options(__doc__, rounds=10)
    parser.add_argument("data", help="a folder of class folders of photos")
    parser.add_argument("--image", type=int, default=256, help="side of the photos, px")
    parser.add_argument("--lessons", type=Path, metavar="PNG", help="where to draw more images and larger codes")
    asked = parser.parse_args()
    set_up()
    under = conditions(asked.rounds)
    data = open_data(asked.data)
    photos = together(data)
    done = kept(under["commit"], data, asked.image)

    def work(what: str, name: str, seed: int, few: int | None = None, **model: Any) -> dict[str, float]:
        if what not in done:
            done[what] = accuracies(name, *margins_by_set(name, data, photos, seed, asked.image, few, **model))
            line = {"work": what, "accuracy": done[what], "commit": under["commit"], "data": data.manifest}
            with FILE.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line | {"image": asked.image}) + "\n")
            print(what, {key: f"{value:.1%}" for key, value in done[what].items()}, flush=True)
        return done[what]

    found = defaultdict[str, list[float]](list)
    for seed in range(asked.rounds):
        for name in ENTRIES:
            for key, value in work(f"{name} {seed}", name, seed).items():
                found[key].append(value)
    rows = []
    for key, values in found.items():
        mean, low, high = interval(values)
        rows.append([key, f"{mean:.1%}", f"{low:.1%} to {high:.1%}", ""])
    for one, other in combinations(ENTRIES, 2):
        mean, low, high = interval([b - a for a, b in zip(found[one], found[other], strict=True)])
        verdict = "not told apart" if low <= 0 <= high else f"{other if mean > 0 else one} is better"
        rows.append([f"{other} - {one}", f"{mean:+.1%}", f"{low:+.1%} to {high:+.1%}", verdict])
    figures = {"accuracy": dict(found), "image": asked.image, "data": data.name, "photos": len(photos)}
    publish("resplits", [f"{asked.rounds} splits", "accuracy", "95 % interval", ""], rows, figures, under, asked.record)
    if asked.lessons:
        name, lessons = ENTRIES[2], {}
        for gaussians, few in product(GAUSSIANS, PHOTOS):
            each = [
                work(f"lesson {gaussians} {few} {seed}", name, seed, few, components=gaussians, colour=False)
                for seed in range(asked.rounds)
            ]
            lessons[gaussians, few] = [accuracy[name] for accuracy in each]
        draw(lessons, asked.lessons)


if __name__ == "__main__":
    main()
