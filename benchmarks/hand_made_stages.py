"""What each stage of the hand-made systems takes on few images and on many: an image's share must not grow with them.

    python benchmarks/hand_made_stages.py DIR/cifar-10-batches-bin --images 500,1500,4500 --set mirror=false

Each system is trained on so many images, drawn by their ids, and judges JUDGED. Stages that fit on a bounded sample of
descriptors are in seconds, the others in milliseconds an image. Beyond 5,000 images c is chosen on a tenth of them in
place of five folds, and codes beyond `memory_gb` are packed: compare numbers of images on one side.
"""

import logging
import tempfile
import time
from collections import defaultdict
from dataclasses import replace

from conditions import conditions, options_of_runs, publish, set_up, settings_of
from topfive.data import open_data
from topfive.data.imageset import ImageSet, drawn
from topfive.evaluation import evaluate
from topfive.progress import say_took
from topfive.training import train
from topfive.training.tailoring import fit_recipe

ENTRIES = "hog_svm,sift_bow_2009_small,nec_2010_small,xrce_2011_small,kmeans_2011"
JUDGED = 500
SEED = 0


class Listener(logging.Handler):
    """What `progress.say_took` says: milliseconds an image, or seconds where there is no image; of one name the sum."""

    def __init__(self) -> None:
        super().__init__()
        self.took = defaultdict[str, float](float)

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line."""
        if hasattr(record, "took"):
            what, seconds, images = record.took
            self.took[f"{what}, {'ms an image' if images else 's'}"] += 1000 * seconds / images if images else seconds


def took(entry: str, data: ImageSet, settings: dict[str, str]) -> dict[str, float]:
    """What the stages of an entry took, and judging."""
    recipe, _ = fit_recipe(entry, data, settings=settings)
    log, listener = logging.getLogger("topfive"), Listener()
    log.addHandler(listener)
    with tempfile.TemporaryDirectory() as folder:
        model = train(entry, data, folder, recipe=recipe).model
    started = time.perf_counter()
    evaluate(model, data)
    say_took("judging", time.perf_counter() - started, len(data.split(data.judged)))
    log.removeHandler(listener)
    del listener.took["svm, s"]  # coding and solving
    return dict(listener.took)


def main() -> None:
    parser = options_of_runs(__doc__)
    parser.add_argument("--entries", default=ENTRIES)
    parser.add_argument("--images", default="500,1500,4500", help="numbers of training images, fewest first")
    asked = parser.parse_args()
    set_up(asked.threads)
    logging.getLogger("topfive").setLevel(logging.INFO)
    under, whole, settings = conditions(1), open_data(asked.data), settings_of(asked)
    judged = drawn(whole.split(whole.judged), JUDGED, SEED)
    parts = [drawn(whole.split("train"), int(number), SEED) for number in asked.images.split(",")]
    entries = asked.entries.split(",")
    took(entries[0], replace(whole, splits={"train": parts[0], whole.judged: judged}), settings)  # warms up
    rows, figures = [], dict[str, dict[str, list[float]]]()
    for entry in entries:
        runs = [took(entry, replace(whole, splits={"train": part, whole.judged: judged}), settings) for part in parts]
        figures[entry] = {stage: [run[stage] for run in runs] for stage in runs[0]}
        for stage, each in figures[entry].items():
            rows.append([entry, stage, *(f"{value:.2f}" for value in each), f"{each[-1] / each[0]:.2f}x"])
            print(*rows[-1], flush=True)
    head = ["entry", "stage", *(f"{len(part):,} images" for part in parts), "last / first"]
    figures_of = {"data": whole.name, "settings": settings, "images": [len(part) for part in parts], "took": figures}
    publish("hand_made_stages", head, rows, figures_of, under, asked.record)


if __name__ == "__main__":
    main()
