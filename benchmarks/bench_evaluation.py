"""Evaluating 5,000 images of 32 px with cifar_resnet20: `score` beside the bare forward pass.

The bare pass is given float batches that are ready in memory, as large as those of `score`, in both memory layouts; the
ratio is taken to the faster of the two. `score` begins with uint8 pixels and ends with a `Scores`. Ten crops of a tenth
of the images are as many forward passes; they are cut from images made larger.
"""

import copy
import statistics
import time
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from conditions import conditions, options, publish, set_up
from peers import random_pictures
from rounds import by_turns, rate, ratio
from topfive.data.crops import Crops
from topfive.data.geometry import Geometry
from topfive.data.imageset import ClassLabel, ImageSet, Split, subset
from topfive.evaluation import score
from topfive.models import build
from topfive.models.modelfile import Model

ENTRY, BATCH, SIDE, CLASSES = "cifar_resnet20", 250, 32, 10


def bare(net: nn.Module, batches: list[Tensor]) -> float:
    """Images per second of forward passes alone."""
    started = time.perf_counter()
    with torch.inference_mode():
        for batch in batches:
            net(batch)
    return sum(map(len, batches)) / (time.perf_counter() - started)


def scored(model: Model, data: ImageSet, crops: Crops = "1") -> float:
    """Crops per second of `score`."""
    started = time.perf_counter()
    answers = score(model, data, crops=crops, batch_size=BATCH)
    seconds = time.perf_counter() - started
    assert answers.scores.isfinite().all()
    return int(crops) * len(answers.ids) / seconds


def main() -> None:
    parser = options(__doc__, rounds=7)
    parser.add_argument("--images", type=int, default=5000)
    asked = parser.parse_args()
    set_up()
    under = conditions(asked.rounds)
    torch.manual_seed(0)
    net = build(ENTRY, CLASSES).eval()
    pictures = random_pictures(asked.images)
    classes = tuple(ClassLabel(str(index), str(index)) for index in range(CLASSES))
    ids = tuple(f"noise#{row}" for row in range(asked.images))
    data = ImageSet("noise", "noise", classes, {"test": Split(ids, torch.arange(asked.images) % CLASSES, pictures)})
    tenth = replace(data, splits={"test": subset(data.split("test"), list(range(0, asked.images, 10)))})
    model = Model(ENTRY, {}, classes, Geometry(SIDE, SIDE), copy.deepcopy(net))
    contiguous = [part.float() / 255 for part in pictures.split(BATCH)]
    channels_last = [part.contiguous(memory_format=torch.channels_last) for part in contiguous]
    net_channels_last = copy.deepcopy(net).to(memory_format=torch.channels_last)
    sides = {
        "contiguous": lambda: bare(net, contiguous),
        "channels_last": lambda: bare(net_channels_last, channels_last),
        "score": lambda: scored(model, data),
        "ten crops": lambda: scored(model, tenth, "10"),
    }
    by_turns(sides, 1)
    report(by_turns(sides, asked.rounds), under, asked.record)


def report(speeds: dict[str, list[float]], under: dict[str, Any], record: bool) -> None:
    faster = max(("contiguous", "channels_last"), key=lambda name: statistics.median(speeds[name]))
    found, ten = (ratio(speeds[name], speeds[faster]) for name in ("score", "ten crops"))
    rows = [
        [f"bare forward pass, {name}", *rate(speeds[name]), "1" if name == faster else ""]
        for name in ("contiguous", "channels_last")
    ]
    rows.append(["topfive: score, from uint8 to Scores", *rate(speeds["score"]), str(found)])
    rows.append(["topfive: ten crops of a tenth of them", *rate(speeds["ten crops"]), str(ten)])
    figures = {"images_per_second": speeds, "beside": faster, "ratio": vars(found), "ratio_ten_crops": vars(ten)}
    publish(
        "evaluation", [f"{ENTRY}, batch {BATCH}", "crops/s", "range", "ratio (range)"], rows, figures, under, record
    )


if __name__ == "__main__":
    main()
