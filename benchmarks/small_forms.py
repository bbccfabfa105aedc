"""What the small form of every family does with 64 images, seen until it knows them by heart: is it able to learn?

    python benchmarks/small_forms.py DIR/cifar-10-batches-bin

The images are the first 64 of CIFAR-10, without augmentation or dropout, by the entry's own recipe with another length,
in batches of 16 and the learning rate that goes with them; the error is that on the same 64. How the forms compare on
images that they have not seen is a contest's matter.
"""

import tempfile
import time
from pathlib import Path

from conditions import conditions, options, publish, set_up
from topfive.data import open_data
from topfive.data.imageset import ImageSet, subset
from topfive.evaluation import evaluate
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
SETTINGS = {
    "epochs": "100", "augment.kind": "none", "augment.mirror": "false", "schedule.warmup": "1",
    "label_smoothing": "0.0", "precision.compile": "no",
}  # fmt: skip


def main() -> None:
    parser = options(__doc__, rounds=1)
    parser.add_argument("data", help="CIFAR-10's folder")
    parser.add_argument("--entries", default=",".join(ENTRIES))
    asked = parser.parse_args()
    set_up()
    under = conditions(1)
    whole = open_data(asked.data)
    few = subset(whole.split("train"), list(range(64)))
    data = ImageSet("64 of CIFAR-10", whole.layout, whole.classes, {"train": few, "test": few})
    rows, figures = [], {}
    for name in asked.entries.split(","):
        started = time.perf_counter()
        plain = {"model.dropout": "0.0"} if "dropout" in options_of(ZOO[name]) else {}
        recipe, _ = fit_recipe(name, data, settings=SETTINGS | plain)
        with tempfile.TemporaryDirectory() as folder:
            run = train(name, data, Path(folder) / "run", recipe=recipe)
            error = evaluate(run.model, data).top1_error
        rows.append([name, f"{100 * error:.1f} %", f"{time.perf_counter() - started:.0f} s"])
        figures[name] = {"error": error, "seconds": time.perf_counter() - started}
        print(*rows[-1], flush=True)
    publish("small_forms", ["64 images", "error on them", "time"], rows, figures, under, asked.record)


if __name__ == "__main__":
    main()
