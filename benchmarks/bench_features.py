"""Descriptors, codes and the SVM of the hand-made years beside their peers, all on one thread, by turns.

Images are squares out of scikit-learn's two photographs; descriptors are SIFT of these. A turn of the tensor modules is
a batch, as they are used; the peers take one image at a time, as they must. Peers: scikit-image, scikit-learn, and
OpenCV for dense SIFT (opencv-python-headless; `make bench` installs it).
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_sample_image
from sklearn.decomposition import PCA, sparse_encode
from sklearn.mixture import GaussianMixture
from torch import Tensor

from conditions import conditions, options, publish, set_up
from rounds import by_turns, rate, ratio
from topfive.features import DenseSift, FisherVector, Hog, Lbp, regions_of
from topfive.features.sparse import omp

GRIDS = ((1, 1), (2, 2), (3, 1))
COMPONENTS, DIMENSIONS, DESCRIPTORS = 256, 64, 1000
WORDS, ATOMS = 1024, 10
BATCH = 8
Side = tuple[Callable[[], Any], int]  # what is done, and to how many images or descriptors


def photographs(side: int, number: int) -> np.ndarray:
    """Different squares of the two photographs, uint8 (number, side, side, 3)."""
    draw = np.random.default_rng(0)
    squares = []
    for place in range(number):
        photo = load_sample_image(("china.jpg", "flower.jpg")[place % 2])
        top, left = draw.integers(photo.shape[0] - side), draw.integers(photo.shape[1] - side)
        squares.append(photo[top : top + side, left : left + side])
    return np.stack(squares)


def grey_tensor(squares: np.ndarray) -> Tensor:
    return torch.from_numpy(squares).float().mean(3).div(255)[:, None]


def hog(side: int, square_root: bool = False) -> tuple[Side, Side]:
    from skimage.feature import hog as theirs

    squares = photographs(side, BATCH)
    batch, module = torch.from_numpy(squares).permute(0, 3, 1, 2).float() / 255, Hog(8, square_root=square_root)
    given = {"transform_sqrt": square_root, "channel_axis": -1}
    return (
        (lambda: [theirs(one, 9, (8, 8), (2, 2), **given) for one in squares], BATCH),
        (lambda: module(batch), BATCH),
    )


def lbp(circle: bool) -> tuple[Side, Side]:
    from skimage.feature import local_binary_pattern

    squares = photographs(96, BATCH)
    grey, batch, module = squares.mean(3).astype(np.uint8), grey_tensor(squares), Lbp(96, circle=circle)

    def theirs() -> list[Any]:
        codes = [local_binary_pattern(one, 8, 1, "nri_uniform") for one in grey]
        return [np.histogram(one, 59, (0, 59)) for one in codes]

    return (theirs, BATCH), (lambda: module(batch), BATCH)


def sift(step: int) -> tuple[Side, Side]:
    import cv2

    cv2.setNumThreads(1)
    squares = photographs(256, 4)
    grey, batch, module = squares.mean(3).astype(np.uint8), grey_tensor(squares), DenseSift(16, step)
    places = (module.places(256, 256) * 256 - 0.5).tolist()
    points = [cv2.KeyPoint(right, down, 16 / 6) for down, right in places]  # a patch is 6 sizes wide
    machine = cv2.SIFT_create()
    return (lambda: [machine.compute(one, points) for one in grey], 4), (lambda: module(batch), 4)


def descriptors() -> tuple[np.ndarray, Tensor]:
    """SIFT of the photographs, 64 dimensions, float32: a sample, and BATCH images of 1,000 at their places."""
    found = DenseSift(16, 4, root=True)(grey_tensor(photographs(256, 16)))
    flat = found.flatten(0, 1).numpy()
    fitted = PCA(DIMENSIONS, random_state=0).fit(flat[::7])
    chosen = torch.from_numpy(fitted.transform(flat).astype(np.float32)).view(16, -1, DIMENSIONS)[:BATCH]
    picked = torch.linspace(0, chosen.shape[1] - 1, DESCRIPTORS).long()
    return fitted.transform(flat[::7]), chosen[:, picked]


def fisher() -> tuple[Side, Side]:
    from skimage.feature import fisher_vector

    sample, images = descriptors()
    mixture = GaussianMixture(COMPONENTS, covariance_type="diag", max_iter=5, random_state=0, reg_covar=1e-3)
    mixture.fit(sample[:20_000])
    code = FisherVector(COMPONENTS, DIMENSIONS)
    for name in ("weights", "means"):
        getattr(code, name).copy_(torch.from_numpy(getattr(mixture, f"{name}_")))
    code.variances.copy_(torch.from_numpy(mixture.covariances_))
    side = (torch.arange(DESCRIPTORS) + 0.5) / DESCRIPTORS
    places = torch.stack([side, side * 7 % 1], 1)
    regions = regions_of(places, GRIDS)
    inside = [regions_of(places, (grid,)) for grid in GRIDS]
    sets = [one.order.split(one.sizes) for one in inside]
    exact = images.double().numpy()

    def theirs() -> list[Any]:
        return [
            fisher_vector(image[cell.numpy()], mixture, improved=True)
            for image in exact
            for grid in sets
            for cell in grid
        ]

    return (theirs, BATCH), (lambda: code(images, regions), BATCH)


def pursuit() -> tuple[Side, Side]:
    found = DenseSift(16, 8)(grey_tensor(photographs(256, 1)))[0]
    words = torch.nn.functional.normalize(torch.randn(WORDS, 128, generator=torch.Generator().manual_seed(0)), dim=1)
    number = len(found)
    return (
        (lambda: sparse_encode(found.numpy(), words.numpy(), algorithm="omp", n_nonzero_coefs=ATOMS), number),
        (lambda: omp(found, words, ATOMS), number),
    )


CLAIMS: dict[str, tuple[Callable[[], tuple[Side, Side]], str, float]] = {
    "HOG, 96 px": (lambda: hog(96), "scikit-image", 8),
    "HOG, 96 px, roots of the pixels": (lambda: hog(96, square_root=True), "scikit-image", 8),
    "HOG, 256 px": (lambda: hog(256), "scikit-image", 8),
    "LBP, 96 px, on the circle": (lambda: lbp(circle=True), "scikit-image", 10),
    "LBP, 96 px, on the grid": (lambda: lbp(circle=False), "scikit-image, on the circle", 10),
    "dense SIFT, 256 px, step 4": (lambda: sift(4), "OpenCV", 5),
    "dense SIFT, 256 px, step 8": (lambda: sift(8), "OpenCV", 5),
    "Fisher vector, K = 256, 8 regions": (fisher, "scikit-image, float64", 5),
    "OMP, 10 of 1,024 words": (pursuit, "scikit-learn", 8),
}


def main() -> None:
    parser = options(__doc__, rounds=9)
    asked = parser.parse_args()
    set_up(threads=1)
    under = conditions(asked.rounds)
    rows, figures = [], dict[str, Any]()
    for name, (make, peer, claimed) in CLAIMS.items():
        speeds = by_turns({"peer": timed(*(pair := make())[0]), "topfive": timed(*pair[1])}, asked.rounds + 1)
        speeds = {side: values[1:] for side, values in speeds.items()}  # the first turn warms up
        found = ratio(speeds["topfive"], speeds["peer"])
        rows.append([name, peer, rate(speeds["peer"])[0], *rate(speeds["topfive"]), str(found), f"{claimed:g}x"])
        figures[name] = {"per_second": speeds, "ratio": vars(found)}
        print(*rows[-1], flush=True)
    head = ["one thread", "peer", "its images/s", "topfive images/s", "range", "ratio (range)", "asked"]
    publish("features", head, rows, figures, under, asked.record)


def timed(work: Callable[[], Any], number: int) -> Callable[[], float]:
    """Images or descriptors per second of one turn."""

    def once() -> float:
        started = time.perf_counter()
        with torch.inference_mode():
            work()
        return number / (time.perf_counter() - started)

    return once


if __name__ == "__main__":
    main()
