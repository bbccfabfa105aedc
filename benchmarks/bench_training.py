"""Training cifar_resnet20: topfive's step with its measured choice beside a plain eager PyTorch loop.

Both sides train the same net from the same weights on the same 32-px images in batches as its recipe has them, by SGD
with momentum and label smoothing, on as many threads, and both cut and mirror every image anew (crops of 4 px padding).
The plain loop is float32, contiguous, not compiled, and takes its batches by one fancy index, in its own process:
cheaper than the usual per-image transforms in a DataLoader (see bench_supply), so that the ratio is not owed to a slow
loader.

topfive's side is the step of `training.loop` itself, with loss, wrong answers and seeds counted; measuring the choices
and compiling, which a run does once, come before the clock starts and are printed.

Each side's speed is also given as the share of the multiplications a second that this processor reaches in the product
of two large float32 matrices, which is about the most that float32 can give: what is left to gain.
"""

import copy
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from conditions import conditions, options, publish, set_up
from peers import PADDING, GatheredBatches, random_pictures
from rounds import by_turns, rate, ratio
from topfive.data import open_data
from topfive.data.augment import Augmentation
from topfive.data.geometry import Geometry
from topfive.data.imageset import Split
from topfive.data.loader import Batch, TrainingLoader
from topfive.models import ZOO, build
from topfive.recipes.reading import open_recipe
from topfive.recipes.stages import Sgd
from topfive.training.checkpoint import Progress
from topfive.training.loop import SgdLoop
from topfive.training.optimizer import build_optimizer
from topfive.training.pace import Pace
from topfive.training.tuning import choose

ENTRY, CLASSES, SIDE, LR = "cifar_resnet20", 10, 32, 0.01


class Ours:
    """The `sgd` stage of topfive, a block of steps at a time. steps: that the forecast of compiling is made for."""

    def __init__(self, net: nn.Module, stage: Sgd, split: Split, steps: int, folder: Path) -> None:
        cut = Augmentation("pad_crop", padding=PADDING, mirror=True)
        self.loader = TrainingLoader(split, Geometry(SIDE, SIDE), cut, stage.batch_size)
        self.batches = self._for_ever()
        batch, started = next(self.batches), time.perf_counter()
        self.choice, _, self.trials = choose(net, batch.images, batch.labels, stage.precision, lambda _: steps)
        self.choice.place(net).train()
        self.loop = SgdLoop(net, stage, self.loader, folder, Progress(), Pace(steps), {})
        self.loop.optimizer = build_optimizer(net, stage.optimizer)
        self.loop.scaler = torch.amp.GradScaler("cpu", enabled=False)
        self.forward = self.choice.run(net)
        self.steps(2)
        self.seconds_before = time.perf_counter() - started

    def _for_ever(self) -> Iterator[Batch]:
        for epoch in itertools.count():
            yield from self.loader.epoch(epoch)

    def steps(self, count: int) -> float:
        """Take `count` steps; images per second."""
        started, images = time.perf_counter(), 0
        for batch in itertools.islice(self.batches, count):
            self.loop._step(batch, LR, self.forward, self.choice)
            self.loop.progress.step += 1
            images += len(batch.rows)
        return images / (time.perf_counter() - started)


class Plain:
    """A loop as tutorials write it."""

    def __init__(self, net: nn.Module, stage: Sgd, pictures: Tensor, labels: Tensor) -> None:
        self.net, self.stage = net.train(), stage
        self.supply = GatheredBatches(pictures, labels, stage.batch_size)
        self.batches = self._for_ever()
        self.loss = nn.CrossEntropyLoss(label_smoothing=stage.label_smoothing)
        settings = stage.optimizer.model_dump(include={"momentum", "nesterov", "weight_decay"})
        self.optimizer = torch.optim.SGD(net.parameters(), lr=LR, **settings)
        self.steps(2)

    def _for_ever(self) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield from self.supply

    def steps(self, count: int) -> float:
        """Take `count` steps; images per second."""
        started, images = time.perf_counter(), 0
        for batch, labels in itertools.islice(self.batches, count):
            self.optimizer.zero_grad()
            loss = self.loss(self.net(batch), labels)
            loss.backward()
            self.optimizer.step()
            images += len(labels)
        return images / (time.perf_counter() - started)


def matrix_speed(side: int = 2048) -> float:
    """Multiply-accumulates a second of a product of float32 matrices."""
    left, right = torch.rand(2, side, side)
    started = time.perf_counter()
    left @ right
    return side**3 / (time.perf_counter() - started)


def make_split(images: int, data: str | None) -> Split:
    if data is not None:
        return open_data(data).split("train")
    ids = tuple(f"noise#{row}" for row in range(images))
    return Split(ids, torch.arange(images) % CLASSES, pixels=random_pictures(images))


def main() -> None:
    parser = options(__doc__, rounds=5)
    parser.add_argument("--steps", type=int, default=60, help="optimizer steps of a turn")
    parser.add_argument("--images", type=int, default=10_000, help="of noise")
    parser.add_argument("--data", help="CIFAR-10's folder, in place of noise")
    parser.add_argument("--compile", choices=["auto", "yes", "no"], default="auto", help="as in a recipe")
    asked = parser.parse_args()
    set_up()
    under = conditions(asked.rounds)
    recipe = open_recipe(ENTRY + ".small", {"precision.compile": asked.compile})
    stage = recipe.stage[0]
    assert isinstance(stage, Sgd)
    split = make_split(asked.images, asked.data)
    torch.manual_seed(0)
    net = build(ENTRY, CLASSES)
    with tempfile.TemporaryDirectory() as folder:
        ours = Ours(copy.deepcopy(net), stage, split, stage.steps(50_000 // stage.batch_size), Path(folder))
        plain = Plain(net, stage, split.pixels, split.labels)
        sides = {
            "plain": lambda: plain.steps(asked.steps),
            "topfive": lambda: ours.steps(asked.steps),
            "matrices": lambda: statistics.median(matrix_speed() for _ in range(9)),
        }
        speeds = by_turns(sides, asked.rounds)
    found = ratio(speeds["topfive"], speeds["plain"])
    report(ours, speeds, found, under, asked.record)


def report(ours: Ours, speeds: dict[str, list[float]], found: Any, under: dict[str, Any], record: bool) -> None:
    macs = 3 * (ZOO[ENTRY].macs or 0)  # forward, and backward to the maps and to the weights
    shares = {side: ratio(speeds[side], speeds["matrices"]).median * macs for side in ("plain", "topfive")}
    rows = [
        ["plain eager loop: contiguous, float32", *rate(speeds["plain"]), f"{shares['plain']:.0%}", "1"],
        [f"topfive: {ours.choice}", *rate(speeds["topfive"]), f"{shares['topfive']:.0%}", str(found)],
    ]
    for trial in ours.trials:
        seen = "" if trial.complete else ", a first look"
        print(f"tried {trial.choice}: {trial.images_per_second:,.0f} images/s without loading{seen}")
    print(f"measuring the choices, and compiling: {ours.seconds_before:.0f} s, once a run\n")
    figures = {"choice": ours.choice.to_json(), "images_per_second": speeds, "ratio": vars(found),
               "share_of_matrices": shares, "seconds_before": ours.seconds_before}  # fmt: skip
    head = [f"{ENTRY}, batch 128", "images/s", "range", "of a matrix product's rate", "ratio (range)"]
    publish("training", head, rows, figures, under, record)


if __name__ == "__main__":
    main()
