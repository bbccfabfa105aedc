"""What the small form of every family learns: 64 images by heart, or all of an image set within a few minutes.

    python benchmarks/small_forms.py DIR/cifar-10-batches-bin --by-heart
    python benchmarks/small_forms.py DIR/cifar-10-batches-bin --entries vgg16_small --epochs 1

By heart: the first 64 images, without augmentation or dropout, by the entry's own recipe with another length, in
batches of 16; the error is that on the same 64. Otherwise the recipe is the entry's own, only shorter, and the error is
that on the judged images, one crop each.
"""

import tempfile
import time
from pathlib import Path

from conditions import conditions, options_of_runs, publish, set_up, settings_of
from topfive.data import open_data
from topfive.data.imageset import ImageSet, subset
from topfive.evaluation import evaluate
from topfive.evaluation.intervals import wilson
from topfive.models.zoo import ZOO
from topfive.models.zoo import options as options_of
from topfive.training import train
from topfive.training.tailoring import fit_recipe

ENTRIES = [
    "lenet5", "cifar10_cuda_convnet", "alexnet_small", "zfnet_small", "nin_cifar10", "vgg16_small", "googlenet_small",
    "highway1_cifar10", "highway2_cifar10", "prelu_net_a_small", "bn_inception_small", "inception_v3_small",
    "facenet_nn2_small", "cifar_resnet20", "cifar_plain20", "cifar_plain56", "cifar_resnet110", "cifar_plain110",
    "cifar_preact_resnet110", "resnet18_b_small", "inception_resnet_v2_small", "resnext50_32x4d_small",
    "se_resnet50_small", "mobilenet_v1_small",
]  # fmt: skip
BY_HEART = {
    "augment.kind": "none", "augment.mirror": "false", "schedule.warmup": "1", "label_smoothing": "0.0",
    "batch_size": "16",
}  # fmt: skip


def main() -> None:
    parser = options_of_runs(__doc__)
    parser.add_argument("--entries", default=",".join(ENTRIES))
    parser.add_argument("--by-heart", action="store_true", help="64 images, judged on the same")
    parser.add_argument("--epochs", type=float, default=100)
    asked = parser.parse_args()
    set_up(asked.threads)
    under = conditions(1)
    data = open_data(asked.data)
    if asked.by_heart:
        few = subset(data.split("train"), list(range(64)))
        data = ImageSet(f"64 of {data.name}", data.layout, data.classes, {"train": few, "test": few})
    rows, figures = [], {"data": data.name, "epochs": asked.epochs, "settings": asked.settings}
    for name in asked.entries.split(","):
        started = time.perf_counter()
        settings = {"precision.compile": "no"} | settings_of(asked)
        if asked.by_heart:
            settings |= BY_HEART | ({"model.dropout": "0.0"} if "dropout" in options_of(ZOO[name]) else {})
        recipe, _ = fit_recipe(name, data, settings=settings)
        with tempfile.TemporaryDirectory() as folder:
            run = train(name, data, Path(folder) / "run", recipe=recipe.with_epochs(asked.epochs))
            found = evaluate(run.model, data)
        seconds = time.perf_counter() - started
        wrong, of = round(found.top1_error * len(data.split(data.judged))), len(data.split(data.judged))
        low, high = wilson(wrong, of)
        rows.append([name, f"{wrong / of:.1%}", f"{low:.1%} to {high:.1%}", f"{wrong:,} of {of:,}", f"{seconds:.0f} s"])
        figures[name] = {"wrong": wrong, "of": of, "seconds": seconds}
        print(*rows[-1], flush=True)
    head = [f"{asked.epochs:g} epochs of {data.name}", "top-1 error", "95 % interval", "", "time"]
    publish("small_forms", head, rows, figures, under, asked.record)


if __name__ == "__main__":
    main()
