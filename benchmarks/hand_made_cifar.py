"""One hand-made system on a whole image set: its error, the minutes of each part and the memory.

    python benchmarks/hand_made_cifar.py DIR/cifar-10-batches-bin kmeans_2011 --out RUN --set model.words=4000

One system a process, because the memory is the most that the process has had. The error is that of the judged images,
one crop each; minutes are of the clock and of the processor.
"""

import resource
import time
from pathlib import Path

from conditions import conditions, options_of_runs, publish, set_up, settings_of
from topfive.data import open_data
from topfive.evaluation import evaluate
from topfive.evaluation.intervals import wilson
from topfive.training import train
from topfive.training.tailoring import fit_recipe


def main() -> None:
    parser = options_of_runs(__doc__)
    parser.add_argument("entry")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="of the run, which is kept")
    asked = parser.parse_args()
    set_up(asked.threads)
    under = conditions(1)
    data = open_data(asked.data)
    recipe, _ = fit_recipe(asked.entry, data, settings=settings_of(asked))
    started, before = time.perf_counter(), time.process_time()
    run = train(asked.entry, data, asked.out, recipe=recipe)
    trained = time.perf_counter()
    found = evaluate(run.model, data)
    judged, processor = time.perf_counter(), time.process_time() - before
    of = len(data.split(data.judged))
    wrong = round(found.top1_error * of)
    low, high = wilson(wrong, of)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    name = " ".join([asked.entry, *asked.settings])
    row = [
        name, f"{wrong / of:.1%}", f"{low:.1%} to {high:.1%}", f"{(trained - started) / 60:.1f}",
        f"{(judged - trained) / 60:.1f}", f"{processor / 60:.1f}", f"{memory / 2**30:.1f} GiB",
    ]  # fmt: skip
    figures = {
        "data": data.name, "entry": asked.entry, "settings": asked.settings, "wrong": wrong, "of": of,
        "training_seconds": trained - started, "judging_seconds": judged - trained, "processor_seconds": processor,
        "memory_bytes": memory,
    }  # fmt: skip
    head = [data.name, "top-1 error", "95 % interval", "min to train", "min to judge", "processor min", "memory"]
    publish("hand_made_cifar", head, [row], figures, under, asked.record)


if __name__ == "__main__":
    main()
