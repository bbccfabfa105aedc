"""Each era's code on scikit-learn's digits: first 1,000 train, last 797 judge; accuracy, and the seconds of the fit.

Systems are put together from the parts of `topfive.features` at the scale of scans of 32 px. The entries, whose
recipes ship, are `hog_svm`, `sift_bow_2009_small` and so on; here one SVM is fitted with c chosen by cross-validation.
Cells of LBP and patches of k-means were chosen so too, on the training scans alone.
"""

import time
from collections.abc import Callable
from typing import Any

import torch

from conditions import conditions, options, publish, set_up
from topfive.data import open_data
from topfive.data.geometry import Geometry
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

SIDE, SEED = 32, 0
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


def patches() -> tuple[torch.nn.Module, int]:
    code = KmeansTriangle(400, 192)
    return channel(WhitenedPatches(3, 8, 1), code, QUARTERS, colour=True)


SYSTEMS: dict[str, tuple[Callable[[], tuple[torch.nn.Module, int]], list[Fit], float]] = {
    "HOG": (lambda: whole(Hog(4)), [], 0.955),
    "LBP": (lambda: whole(Lbp(4), "hellinger"), [], 0.975),
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
    "k-means triangle of 400 words": (patches, [Fit(kind="whitening"), Fit(kind="kmeans")], 0.975),
}  # fmt: skip


def main() -> None:
    asked = options(__doc__, rounds=1).parse_args()
    set_up()
    under = conditions(1)
    digits, geometry = open_data("digits"), Geometry(SIDE, SIDE)
    train, judged = digits.split("train"), digits.split("test")
    rows, figures = [], dict[str, Any]()
    for name, (make, fits, accuracy) in SYSTEMS.items():
        part, length = make()
        system = CodedSvm(name, 10, SIDE, {"only": part}, length).eval()
        started = time.perf_counter()
        for stage in fits:
            fit_channels(system, stage.model_copy(update={"descriptors": 50_000}), train, geometry, SEED)
        machine = Svm(c=(0.1, 1.0, 10.0), folds=3)
        if isinstance(part, Channel) and isinstance(part.code, KmeansTriangle):  # as the recipe of kmeans_2011 has it
            machine = Svm(c=(0.01, 0.03, 0.1), folds=3, standardise=True)
        fit_svm(system, machine, train, geometry, SEED)
        with torch.inference_mode():
            answers = torch.cat([system(batch.images).argmax(1) for batch, _ in central_crops(judged, geometry)])
        seconds = time.perf_counter() - started
        right = int((answers == judged.labels).sum())
        low, high = wilson(right, len(judged))
        rows.append([
            name, f"{length:,}", f"{right / len(judged):.1%}", f"{low:.1%} to {high:.1%}", f"{accuracy:.1%}",
            f"{seconds:.1f} s", f"{SECONDS} s",
        ])  # fmt: skip
        figures[name] = {"numbers": length, "right": right, "of": len(judged), "seconds": seconds}
        print(*rows[-1], flush=True)
    head = ["code", "numbers", "accuracy", "95 % interval", "asked", "fitted and judged in", "asked"]
    publish("hand_made_digits", head, rows, figures, under, asked.record)


if __name__ == "__main__":
    main()
