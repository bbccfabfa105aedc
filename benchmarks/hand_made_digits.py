"""Each era's code on scikit-learn's digits: first 1,000 train, last 797 judge; accuracy, and the seconds of the fit.

Systems are put together from the parts of `topfive.features` at the scale of scans of 32 px. The entries, whose
recipes ship, are `hog_svm`, `sift_bow_2009_small` and so on; here one SVM is fitted with c chosen by cross-validation.
--choose tries cells of HOG and LBP and patches of k-means on the training scans alone: fitted on the first FEW, so that
there are errors to count, judged on the others, k-means with three seeds. The best is taken, of equals the smallest.
"""

import time
from collections.abc import Callable
from statistics import fmean
from typing import Any

import torch

from conditions import conditions, options, publish, set_up
from topfive.data import open_data
from topfive.data.geometry import Geometry
from topfive.data.imageset import Split, subset
from topfive.data.loader import central_crops
from topfive.evaluation.intervals import wilson
from topfive.features import (
    BagOfWords,
    DenseSift,
    FisherVector,
    Hog,
    KmeansTriangle,
    Lbp,
    Llc,
    WhitenedPatches,
)  # fmt: skip
from topfive.features.kernel_map import Kernel, kernel_map
from topfive.models.coded import Channel, CodedSvm, Projection
from topfive.recipes.stages import Fit, Svm
from topfive.training.codebook import fit_channels
from topfive.training.svm import fit_svm

SIDE, FEW = 32, 300
PYRAMID, QUARTERS = ((1, 1), (2, 2), (4, 4)), ((2, 2),)
SECONDS = 20


class Grey(torch.nn.Module):
    """A descriptor of whole images, on their first channel: scans are grey. kernel: whose map its numbers get."""

    def __init__(self, describe: torch.nn.Module, kernel: Kernel) -> None:
        super().__init__()
        self.describe, self.kernel = describe, kernel

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) -> (N, D)."""
        return kernel_map(self.describe(images[:, :1]), self.kernel)


def whole(describe: Any, kernel: Kernel = "linear") -> tuple[torch.nn.Module, int]:
    return Grey(describe, kernel), describe.length(SIDE, SIDE)


def channel(*given: Any, **named: Any) -> tuple[torch.nn.Module, int]:
    made = Channel(*given, SIDE, **named)
    return made, made.length


def patches(side: int = 8) -> tuple[torch.nn.Module, int]:
    return channel(WhitenedPatches(3, side, 1), KmeansTriangle(400, 3 * side**2), QUARTERS, colour=True)


Make = Callable[[], tuple[torch.nn.Module, int]]
PATCHES = [Fit(kind="whitening"), Fit(kind="kmeans")]

SYSTEMS: dict[str, tuple[Make, list[Fit], float]] = {
    "HOG": (lambda: whole(Hog(4)), [], 0.955),
    "LBP": (lambda: whole(Lbp(8), "hellinger"), [], 0.975),
    "bag of 256 SIFT words": (
        lambda: channel(DenseSift(8, 2), BagOfWords(256, 128, "hellinger"), PYRAMID), [Fit(kind="kmeans")], 0.978,
    ),
    "LLC of 256 SIFT words": (
        lambda: channel(DenseSift(8, 2), Llc(256, 128), PYRAMID), [Fit(kind="kmeans")], 0.98,
    ),
    "Fisher vectors of 16 Gaussians": (
        lambda: channel(DenseSift(8, 2), FisherVector(16, 48), PYRAMID, project=Projection(128, 48)),
        [Fit(kind="pca"), Fit(kind="gmm")], 0.98,
    ),
    "k-means triangle of 400 words": (patches, PATCHES, 0.975),
}  # fmt: skip
CHOICES: dict[str, tuple[Make, list[Fit]]] = {
    **{f"HOG, cells of {cell} px": (lambda cell=cell: whole(Hog(cell)), []) for cell in (4, 8)},
    **{f"LBP, cells of {cell} px": (lambda cell=cell: whole(Lbp(cell), "hellinger"), []) for cell in (2, 4, 8)},
    **{f"k-means, patches of {side} px": (lambda side=side: patches(side), PATCHES) for side in (6, 8, 10)},
}


def right(name: str, make: Make, fits: list[Fit], train: Split, judged: Split, seed: int = 0) -> int:
    """How many of the judged scans a system of that make is right about."""
    part, length = make()
    system, geometry = CodedSvm(name, 10, SIDE, {"only": part}, length).eval(), Geometry(SIDE, SIDE)
    for stage in fits:
        fit_channels(system, stage.model_copy(update={"descriptors": 50_000}), train, geometry, seed)
    machine = Svm(c=(0.1, 1.0, 10.0), folds=3)
    if isinstance(part, Channel) and isinstance(part.code, KmeansTriangle):  # as the recipe of kmeans_2011 has it
        machine = Svm(c=(0.01, 0.03, 0.1), folds=3, standardise=True)
    fit_svm(system, machine, train, geometry, seed)
    with torch.inference_mode():
        answers = torch.cat([system(batch.images).argmax(1) for batch, _ in central_crops(judged, geometry)])
    return int((answers == judged.labels).sum())


def main() -> None:
    parser = options(__doc__, rounds=1)
    parser.add_argument("--choose", action="store_true", help="try cells and patches on the training scans")
    asked = parser.parse_args()
    set_up()
    under = conditions(1)
    digits = open_data("digits")
    train, judged = digits.split("train"), digits.split("test")
    if asked.choose:
        known, held = subset(train, list(range(FEW))), subset(train, list(range(FEW, len(train))))
        tried = {
            name: [right(name, make, fits, known, held, seed) for seed in (range(3) if fits else [0])]
            for name, (make, fits) in CHOICES.items()
        }
        rows = [[name, f"{fmean(found):.1f} of {len(held)}"] for name, found in tried.items()]
        publish("hand_made_digits", ["code", "right"], rows, {"choice": tried, "of": len(held)}, under, asked.record)
        return
    rows, figures = [], dict[str, Any]()
    for name, (make, fits, accuracy) in SYSTEMS.items():
        started = time.perf_counter()
        found = right(name, make, fits, train, judged)
        seconds, length = time.perf_counter() - started, make()[1]
        low, high = wilson(found, len(judged))
        rows.append([
            name, f"{length:,}", f"{found / len(judged):.1%}", f"{low:.1%} to {high:.1%}", f"{accuracy:.1%}",
            f"{seconds:.1f} s", f"{SECONDS} s",
        ])  # fmt: skip
        figures[name] = {"numbers": length, "right": found, "of": len(judged), "seconds": seconds}
        print(*rows[-1], flush=True)
    head = ["code", "numbers", "accuracy", "95 % interval", "asked", "fitted and judged in", "asked"]
    publish("hand_made_digits", head, rows, figures, under, asked.record)


if __name__ == "__main__":
    main()
