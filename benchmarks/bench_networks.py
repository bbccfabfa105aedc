"""Forward passes of our networks beside torchvision's of the same definition, in evaluation, float32, no gradients.

Both get the same weights and the same batch, contiguous, by turns; the ratio is ours over theirs. Needs torchvision
(`make bench` installs it).
"""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from conditions import conditions, options, publish, set_up
from peers import torchvision
from rounds import by_turns, rate, ratio
from topfive.models import ZOO, build
from topfive.models.foreign import fill, match

PEERS = {
    "alexnet_owt": "alexnet", "vgg11": "vgg11", "vgg16": "vgg16", "vgg16_bn": "vgg16_bn",
    "googlenet_torchvision": "googlenet", "inception_v3": "inception_v3", "resnet18_b": "resnet18",
    "resnet34_b": "resnet34", "resnet50_v1_5": "resnet50", "resnet101_v1_5": "resnet101",
    "resnet152_v1_5": "resnet152", "resnext50_32x4d": "resnext50_32x4d", "resnext101_32x8d": "resnext101_32x8d",
}  # fmt: skip


def forward(net: nn.Module, images: Tensor) -> Callable[[], float]:
    """Images per second of one forward pass."""

    def once() -> float:
        started = time.perf_counter()
        with torch.inference_mode():
            net(images)
        return len(images) / (time.perf_counter() - started)

    return once


def pair(name: str, peer: str) -> tuple[nn.Module, nn.Module]:
    """Ours and theirs with the same weights."""
    quickly = {"init_weights": False} if peer in ("googlenet", "inception_v3") else {}
    theirs = getattr(torchvision("models"), peer)(weights=None, **quickly).eval()
    ours = build(name).eval()
    weights = {key: value for key, value in theirs.state_dict().items() if not key.endswith("num_batches_tracked")}
    fill(ours, weights, match(ours, weights, peer))
    return ours, theirs


def main() -> None:
    parser = options(__doc__, rounds=7)
    parser.add_argument("--batch", type=int, default=8)
    asked = parser.parse_args()
    set_up()
    under = conditions(asked.rounds)
    rows, figures = [], dict[str, Any]()
    for name, peer in PEERS.items():
        torch.manual_seed(0)
        ours, theirs = pair(name, peer)
        images = torch.rand(asked.batch, 3, ZOO[name].image, ZOO[name].image)
        with torch.inference_mode():
            apart = (ours(images) - theirs(images)).abs().max().item()
        assert apart < 1e-4, (name, apart)
        sides = {"torchvision": forward(theirs, images), "topfive": forward(ours, images)}
        by_turns(sides, 1)
        speeds = by_turns(sides, asked.rounds)
        found = ratio(speeds["topfive"], speeds["torchvision"])
        rows.append([name, rate(speeds["torchvision"])[0], *rate(speeds["topfive"]), str(found)])
        figures[name] = {"images_per_second": speeds, "ratio": vars(found), "largest_difference": apart}
        print(*rows[-1], flush=True)
    head = [f"batch {asked.batch}", "torchvision images/s", "topfive images/s", "range", "ratio (range)"]
    publish("networks", head, rows, figures, under, asked.record)


if __name__ == "__main__":
    main()
