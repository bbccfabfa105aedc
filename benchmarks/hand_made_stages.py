"""What each stage of the hand-made systems takes an image, on few images and on many: it must not grow with them.

    python benchmarks/hand_made_stages.py DIR/cifar-10-batches-bin --images 500,2000,8000

Each system is trained on so many images, drawn by their ids, and judges JUDGED. The figures are those that a run says
as it goes. Stages that fit on a bounded sample of descriptors take the longer an image the fewer images there are;
`svm` is what the stage takes beside its coding.
"""

import logging
import re
import tempfile
import time
from collections import defaultdict
from dataclasses import replace

from conditions import conditions, options_of_runs, publish, set_up
from topfive.data import open_data
from topfive.data.imageset import ImageSet, drawn
from topfive.evaluation import evaluate
from topfive.training import train
from topfive.training.tailoring import fit_recipe

ENTRIES = "hog_svm,sift_bow_2009_small,nec_2010_small,xrce_2011_small,kmeans_2011"
JUDGED = 500
SEED = 0


class Listener(logging.Handler):
    """Milliseconds an image by stage, as a run says them; those of one name are added up."""

    def __init__(self) -> None:
        super().__init__()
        self.took = defaultdict[str, float](float)

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line such as `  kmeans took 90 s, 1.8 ms an image`."""
        if found := re.fullmatch(r"  (\w+) took .*, (\S+) ms an image", record.getMessage()):
            self.took[found[1]] += float(found[2])


def milliseconds(entry: str, data: ImageSet, settings: dict[str, str]) -> dict[str, float]:
    """Milliseconds an image of each stage of an entry, and of judging."""
    recipe, _ = fit_recipe(entry, data, settings=settings)
    log, listener = logging.getLogger("topfive"), Listener()
    log.addHandler(listener)
    with tempfile.TemporaryDirectory() as folder:
        model = train(entry, data, folder, recipe=recipe).model
    log.removeHandler(listener)
    started = time.perf_counter()
    evaluate(model, data)
    judging = 1000 * (time.perf_counter() - started) / len(data.split(data.judged))
    took = listener.took
    return {**took, "svm": took["svm"] - took["coding"], "judging": judging}


def main() -> None:
    parser = options_of_runs(__doc__)
    parser.add_argument("--entries", default=ENTRIES)
    parser.add_argument("--images", default="500,2000,8000", help="numbers of training images, fewest first")
    asked = parser.parse_args()
    set_up(asked.threads)
    logging.getLogger("topfive").setLevel(logging.INFO)
    under, whole = conditions(1), open_data(asked.data)
    numbers = [int(number) for number in asked.images.split(",")]
    settings = dict(setting.split("=") for setting in asked.settings)
    judged = drawn(whole.split(whole.judged), JUDGED, SEED)
    rows, figures = [], dict[str, dict[int, dict[str, float]]]()
    for entry in asked.entries.split(","):
        figures[entry] = {}
        for number in numbers:
            few = {"train": drawn(whole.split("train"), number, SEED), whole.judged: judged}
            figures[entry][number] = milliseconds(entry, replace(whole, splits=few), settings)
        for stage in figures[entry][numbers[0]]:
            each = [figures[entry][number][stage] for number in numbers]
            rows.append([entry, stage, *(f"{value:.2f}" for value in each), f"{each[-1] / each[0]:.2f}x"])
            print(*rows[-1], flush=True)
    head = ["ms an image", "stage", *(f"{number:,} images" for number in numbers), "last / first"]
    publish("hand_made_stages", head, rows, {"data": whole.name, "settings": settings, "milliseconds": figures}, under,
            asked.record)  # fmt: skip


if __name__ == "__main__":
    main()
