"""What figures cost once the scores are there, at the Challenge's size: 50,000 images, 1,000 classes.

    python benchmarks/bench_judging.py --folder DISK

Ranks for every k; the costs of a class tree; the bootstrap; and the average of five models on ten crops from their
scores files (10 GB, written into --folder first), beside reading the same bytes. The files are put out of the system's
cache before each reading, and the average is taken in a process of its own, whose greatest memory is told.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from conditions import conditions, options, publish, set_up
from rounds import ratio
from topfive.data import ClassLabel
from topfive.evaluation import Scores
from topfive.evaluation.ensemble import average
from topfive.evaluation.hierarchy import Hierarchy
from topfive.evaluation.intervals import bootstrap
from topfive.metrics import label_ranks

IMAGES, CLASSES, CROPS, MODELS = 50_000, 1_000, 10, 5
ASKED = {"ranks, every k": 0.15, "costs of a tree": 1.0, "bootstrap": 5.0, "bootstrap, by class": 5.0,
         "bootstrap, in tens": 5.0}  # fmt: skip
READ = 1 << 24  # bytes


def main() -> None:
    parser = options(__doc__, rounds=3)
    parser.add_argument("--folder", type=Path, help="where 10 GB may lie for a few minutes; without it no files")
    parser.add_argument("--average", type=Path, nargs="+", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    set_up()
    if asked.average:
        print(json.dumps(averaged(asked.average)))
        return
    under = conditions(asked.rounds)
    rows, figures = [], {}
    for name, run in in_memory().items():
        seconds = [timed(run) for _ in range(asked.rounds)]
        figures[name] = seconds
        rows.append([name, f"{statistics.median(seconds):.3f} s", f"{min(seconds):.3f} to {max(seconds):.3f}",
                     f"{ASKED[name]:g} s"])  # fmt: skip
    if asked.folder:
        read, ours, memory = from_disk(asked.folder, asked.rounds)
        figures |= {"read_gb_per_s": read, "average_gb_per_s": ours, "average_memory_gib": memory}
        for name, speeds in (("files read", read), ("files averaged", ours)):
            rows.append([name, f"{statistics.median(speeds):.2f} GB/s", f"{min(speeds):.2f} to {max(speeds):.2f}", ""])
        rows.append(["averaged over read", str(ratio(ours, read)), "", "0.70x"])
        rows.append(["memory of averaging", f"{max(memory):.2f} GiB", "", "1 GiB"])
    head = [f"{IMAGES:,} images, {CLASSES:,} classes", "median", "range", "asked"]
    publish("judging", head, rows, figures, under, asked.record)


def in_memory() -> dict[str, Callable[[], object]]:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(IMAGES, CLASSES, generator=generator)
    labels = torch.arange(IMAGES) % CLASSES
    wrong = torch.rand(IMAGES, generator=generator) < 0.24
    tree = made_up_tree()
    keys = [str(leaf) for leaf in range(CLASSES)]
    return {
        "ranks, every k": lambda: label_ranks(scores, labels).bincount(minlength=CLASSES).cumsum(0),
        "costs of a tree": lambda: tree.costs(keys),
        "bootstrap": lambda: bootstrap(wrong),
        "bootstrap, by class": lambda: bootstrap(wrong, strata=labels),
        "bootstrap, in tens": lambda: bootstrap(wrong, clusters=torch.arange(IMAGES) // 10),
    }


def made_up_tree() -> Hierarchy:
    """1,000 leaves below 860 inner nodes, of which each hangs from one of the 40 before it, as deep as WordNet."""
    draw = torch.Generator().manual_seed(1)

    def above(node: int) -> int:
        return int(torch.randint(max(0, node - 40), node, (1,), generator=draw))

    inner = [(f"n{above(node)}", f"n{node}") for node in range(1, 860)]
    return Hierarchy.of([*inner, *((f"n{above(860)}", str(leaf)) for leaf in range(CLASSES))])


def timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def from_disk(folder: Path, rounds: int) -> tuple[list[float], list[float], list[float]]:
    """GB/s of reading and of averaging, and GiB in memory, of each round."""
    read, ours, memory = [], [], []
    with tempfile.TemporaryDirectory(dir=folder) as place:
        files = [written(Path(place), number) for number in range(MODELS)]
        size = sum(file.stat().st_size for file in files) / 1e9
        for _ in range(rounds):
            forget(files)
            read.append(size / timed(lambda: [read_all(file) for file in files]))
            forget(files)
            told = subprocess.run(
                [sys.executable, __file__, "--average", *map(str, files)], capture_output=True, text=True, check=True
            )
            found = json.loads(told.stdout)
            ours.append(size / found["seconds"])
            memory.append(found["gib"])
    return read, ours, memory


def written(folder: Path, number: int) -> Path:
    scores = torch.randn(IMAGES, CROPS, CLASSES, generator=torch.Generator().manual_seed(number))
    classes = tuple(ClassLabel(str(key), str(key)) for key in range(CLASSES))
    ids = tuple(f"val/ILSVRC2012_val_{image + 1:08d}.JPEG" for image in range(IMAGES))
    made = Scores(f"net{number}", "val", scores, torch.arange(IMAGES) % CLASSES, ids, classes, "logits")
    return made.save(folder / f"{number}.safetensors")


def forget(files: list[Path]) -> None:
    """Put the files out of the system's cache, where the system can be told so."""
    for file in files:
        with open(file, "rb") as opened:
            os.fsync(opened.fileno())
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_all(file: Path) -> None:
    room = bytearray(READ)
    with open(file, "rb", buffering=0) as opened:
        while opened.readinto(room):
            pass


def averaged(files: list[Path]) -> dict[str, float]:
    """Seconds, and the greatest memory that this process has held so far in GiB."""
    seconds = timed(lambda: average(files))
    with contextlib.suppress(OSError):
        held = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return {"seconds": seconds, "gib": int(held.split()[1]) / 2**20}
    return {"seconds": seconds, "gib": float("nan")}


if __name__ == "__main__":
    main()
