"""Forward passes of our networks beside torchvision's or timm's of the same definition: evaluation, float32.

Both get the same weights and the same batch, contiguous, without gradients, by turns; the ratio is ours over theirs.
Needs both libraries (`make bench` installs them).
"""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from conditions import conditions, options, publish, set_up
from peers import peer_network
from rounds import by_turns, rate, ratio
from topfive.models import ZOO, build
from topfive.models.foreign import fill, match

PEERS = {
    "alexnet_owt": "torchvision alexnet", "vgg11": "torchvision vgg11", "vgg16": "torchvision vgg16",
    "vgg16_bn": "torchvision vgg16_bn", "googlenet_torchvision": "torchvision googlenet",
    "inception_v3": "torchvision inception_v3", "resnet18_b": "torchvision resnet18",
    "resnet34_b": "torchvision resnet34", "resnet50_v1_5": "torchvision resnet50",
    "resnet101_v1_5": "torchvision resnet101", "resnet152_v1_5": "torchvision resnet152",
    "resnext50_32x4d": "torchvision resnext50_32x4d", "resnext101_32x8d": "torchvision resnext101_32x8d",
    "resnext101_64x4d": "timm resnext101_64x4d", "inception_resnet_v2": "timm inception_resnet_v2",
    "se_resnet50": "timm legacy_seresnet50", "se_resnet101": "timm legacy_seresnet101",
    "se_resnext50_32x4d": "timm legacy_seresnext50_32x4d", "senet154": "timm legacy_senet154",
    "mobilenet_v1_1.0_224": "timm mobilenetv1_100",
}  # fmt: skip
AS_THEIRS = {  # in what timm's differ from the papers
    "se_resnet50": {"ceil_pool": True}, "se_resnet101": {"ceil_pool": True}, "se_resnext50_32x4d": {"ceil_pool": True},
    "mobilenet_v1_1.0_224": {"relu6": True},
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
    theirs = peer_network(peer).eval()
    ours = build(name, **AS_THEIRS.get(name, {})).eval()
    weights = {key: value for key, value in theirs.state_dict().items() if not key.endswith("num_batches_tracked")}
    fill(ours, weights, match(ours, weights, peer))
    return ours, theirs


def main() -> None:
    parser = options(__doc__, rounds=15)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--entries", default=",".join(PEERS))
    asked = parser.parse_args()
    set_up()
    under = conditions(asked.rounds)
    rows, figures = [], dict[str, Any]()
    for name in asked.entries.split(","):
        peer = PEERS[name]
        torch.manual_seed(0)
        ours, theirs = pair(name, peer)
        images = torch.rand(asked.batch, 3, ZOO[name].image, ZOO[name].image)
        with torch.inference_mode():
            apart = (ours(images) - theirs(images)).abs().max().item()
            scale = max(1.0, theirs(images).abs().max().item())  # untrained, the deepest nets' scores are of thousands
        assert apart < 1e-4 * scale, (name, apart)
        sides = {"peer": forward(theirs, images), "topfive": forward(ours, images)}
        by_turns(sides, 1)
        speeds = by_turns(sides, asked.rounds)
        found = ratio(speeds["topfive"], speeds["peer"])
        rows.append([name, peer, rate(speeds["peer"])[0], *rate(speeds["topfive"]), str(found)])
        figures[name] = {"peer": peer, "images_per_second": speeds, "ratio": vars(found), "largest_difference": apart}
        print(*rows[-1], flush=True)
    head = [f"batch {asked.batch}", "peer", "its images/s", "topfive images/s", "range", "ratio (range)"]
    publish("networks", head, rows, figures, under, asked.record)


if __name__ == "__main__":
    main()
