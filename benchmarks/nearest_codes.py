"""FaceNet's code of 128 numbers beside raw pixels: how often an image's nearest neighbour is of its class.

    python benchmarks/nearest_codes.py DIR/cifar-10-batches-bin --epochs 3

Trains facenet_nn2_small by triplets on the training images, then finds for each of the judged images the nearest of as
many training images, by the code and by pixels (both by squared distance). The classes are those it was trained on.
"""

import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor

from conditions import THREADS, conditions, options, publish, set_up
from topfive.data import open_data
from topfive.data.geometry import Geometry
from topfive.data.imageset import Split, subset
from topfive.data.loader import central_crops
from topfive.evaluation.intervals import wilson
from topfive.models import Classifier
from topfive.training import train
from topfive.training.codes import extract_codes
from topfive.training.tailoring import fit_recipe, geometry_of

ENTRY = "facenet_nn2_small"
BLOCK = 500  # images that are compared with all neighbours at once


def pixels_of(split: Split, geometry: Geometry) -> Tensor:
    """All pixels of each image in a row, (N, 3 * side * side)."""
    return torch.cat([batch.images.flatten(1) for batch, _ in central_crops(split, geometry)])


def right(codes: Tensor, labels: Tensor, neighbours: Tensor, theirs: Tensor) -> int:
    """How many codes have a nearest neighbour of their own class."""
    near = [torch.cdist(block, neighbours).argmin(1) for block in codes.split(BLOCK)]
    return int((theirs[torch.cat(near)] == labels).sum())


def main() -> None:
    parser = options(__doc__, rounds=1)
    parser.add_argument("data", help="an image set")
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--neighbours", type=int, default=5000, help="training images to look among")
    parser.add_argument("--threads", type=int, default=THREADS)
    asked = parser.parse_args()
    set_up(asked.threads)
    under = conditions(1)
    data = open_data(asked.data)
    recipe, _ = fit_recipe(ENTRY, data)
    recipe, geometry = recipe.with_epochs(asked.epochs), geometry_of(recipe)
    known, judged = data.split("train"), data.split(data.judged)
    known = subset(known, list(range(0, len(known), max(1, len(known) // asked.neighbours))))
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run = train(ENTRY, data, Path(folder) / "run", recipe=recipe)
    seconds = time.perf_counter() - started
    network = run.model.classifier
    assert isinstance(network, Classifier)
    ours = [extract_codes(network, split, geometry).codes for split in (judged, known)]
    raw = [pixels_of(split, geometry) for split in (judged, known)]
    rows, figures = [], {"entry": ENTRY, "data": data.name, "epochs": asked.epochs, "seconds": seconds}
    for name, (codes, neighbours) in {"pixels": raw, "code of 128 numbers": ours}.items():
        found = right(codes, judged.labels, neighbours, known.labels)
        low, high = wilson(found, len(judged))
        rows.append([name, f"{found / len(judged):.1%}", f"{low:.1%} to {high:.1%}", f"{found} of {len(judged)}"])
        figures[name] = {"right": found, "of": len(judged), "among": len(known)}
    publish("nearest_codes", ["nearest by", "of its class", "95 % interval", ""], rows, figures, under, asked.record)


if __name__ == "__main__":
    main()
