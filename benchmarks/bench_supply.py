"""Batches of 32-px images out of memory: topfive's loader beside per-image torchvision transforms.

Each turn is one epoch of shuffled batches of 128, padded by 4 px, cropped at random, mirrored at random, as float32 in
[0, 1]. The peer is a DataLoader with two workers and RandomCrop(32, 4), RandomHorizontalFlip, ToTensor, with images
held in memory as torchvision's CIFAR-10 holds them; its workers live through all epochs, and a first epoch is not
counted. Beside them a batched gather by fancy indexing, in one process. Needs torchvision (`make bench` installs it).
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

import torch

from conditions import conditions, options, publish, set_up
from peers import PADDING, GatheredBatches, random_pictures, torchvision_batches
from rounds import by_turns, rate, ratio
from topfive.data.augment import Augmentation
from topfive.data.geometry import Geometry
from topfive.data.imageset import Split
from topfive.data.loader import TrainingLoader

BATCH, WORKERS, SIDE = 128, 2, 32


def images_per_second(epoch: Callable[[], Iterable[Any]], images: int) -> float:
    """How fast one epoch is supplied; what a batch holds is thrown away."""
    started, batches = time.perf_counter(), sum(1 for _ in epoch())
    assert batches == images // BATCH
    return batches * BATCH / (time.perf_counter() - started)


def main() -> None:
    parser = options(__doc__, rounds=5)
    parser.add_argument("--images", type=int, default=50_000)
    asked = parser.parse_args()
    set_up()
    under = conditions(asked.rounds)
    pictures, labels = random_pictures(asked.images), torch.arange(asked.images) % 10
    split = Split(tuple(f"noise#{row}" for row in range(asked.images)), labels, pixels=pictures)
    cut = Augmentation("pad_crop", padding=PADDING, mirror=True)
    ours = TrainingLoader(split, Geometry(SIDE, SIDE), cut, BATCH)
    peer = torchvision_batches(pictures, labels, BATCH, WORKERS)
    gather = GatheredBatches(pictures, labels, BATCH)
    epochs = {"torchvision": lambda: peer, "gather": lambda: gather, "topfive": lambda: ours.epoch(0)}
    sides = {name: lambda epoch=epoch: images_per_second(epoch, asked.images) for name, epoch in epochs.items()}
    for side in sides.values():
        side()  # workers start, memory is touched
    speeds = by_turns(sides, asked.rounds)
    report(speeds, under, asked.record)


def report(speeds: dict[str, list[float]], under: dict[str, Any], record: bool) -> None:
    said = {
        "torchvision": f"DataLoader, {WORKERS} workers, torchvision transforms",
        "gather": "fancy indexing by the batch",
        "topfive": "topfive: slices by the batch",
    }
    found = {name: ratio(speeds[name], speeds["torchvision"]) for name in speeds}
    rows = [
        [text, *rate(speeds[name]), "1" if name == "torchvision" else str(found[name])] for name, text in said.items()
    ]
    figures = {"images_per_second": speeds, "ratio": {name: vars(one) for name, one in found.items()}}
    publish("supply", [f"32 px, batch {BATCH}", "images/s", "range", "ratio (range)"], rows, figures, under, record)


if __name__ == "__main__":
    main()
