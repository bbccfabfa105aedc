"""The SVM of the hand-made years beside scikit-learn's LinearSVC (liblinear), on codes like Fisher vectors.

Each side fits all classes in a process of its own, one thread, and says its seconds, the extra memory at its peak and
the objective it reached. Ours ends where it has converged, which is to be within 0.1 % of liblinear's. The codes are
read from a file: had the process made them, it would have had the memory before that a fit takes.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from conditions import conditions, options, publish, set_up
from rounds import by_turns, ratio
from topfive.training.averaged_sgd import fit_by_sgd
from topfive.training.hinge import margins_of, objective
from topfive.training.newton import fit_weights

CLASSES, IMAGES, TEST, LENGTH = 10, 10_000, 2_000, 8_192
C = 0.1
WITHIN = 1.001
NOISE = 1.5


def codes_like_fishers() -> tuple[Tensor, Tensor]:
    """Codes (IMAGES + TEST, LENGTH) of length 1 with heavy tails, signed roots as Fisher vectors have, and labels."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(CLASSES, (IMAGES + TEST,), generator=generator)
    middles = torch.randn(CLASSES, 64, generator=generator)
    hidden = middles[labels] + NOISE * 3 * torch.randn(len(labels), 64, generator=generator)
    codes = hidden @ torch.randn(64, LENGTH, generator=generator) / 8
    codes += NOISE * torch.randn(len(labels), LENGTH, generator=generator)
    codes = codes.sign() * codes.abs().sqrt()
    return torch.nn.functional.normalize(codes, dim=1), labels


def liblinear(codes: Tensor, labels: Tensor) -> Tensor:
    from sklearn.svm import LinearSVC

    machine = LinearSVC(C=C, loss="squared_hinge", dual=True, intercept_scaling=1, tol=1e-4, random_state=0)
    machine.fit(codes.numpy(), labels.numpy())
    return torch.from_numpy(np.column_stack([machine.coef_, machine.intercept_])).float()


def newton(codes: Tensor, labels: Tensor) -> Tensor:
    return fit_weights(codes, labels, torch.zeros(CLASSES, LENGTH + 1), C, 100)


def averaged_sgd(codes: Tensor, labels: Tensor) -> Tensor:
    return fit_by_sgd(codes, labels, torch.zeros(CLASSES, LENGTH + 1), C, 5, 0)


SIDES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "LinearSVC": liblinear, "topfive, Newton's method": newton, "topfive, averaged SGD": averaged_sgd,
}  # fmt: skip


def measured(side: str, folder: Path) -> dict[str, float]:
    """In a process of its own, so that its peak of memory is its own."""
    ended = subprocess.run([sys.executable, __file__, "--side", side, str(folder)], capture_output=True, check=True)
    return json.loads(ended.stdout)


def write_codes(folder: Path) -> None:
    codes, labels = codes_like_fishers()
    for name, rows in (("learned", slice(IMAGES)), ("unseen", slice(IMAGES, None))):
        np.save(folder / f"{name}.npy", codes[rows].numpy())
        np.save(folder / f"{name}_labels.npy", labels[rows].numpy())


def run_side(side: str, folder: Path) -> None:
    codes, labels, unseen, truth = (
        torch.from_numpy(np.load(folder / f"{name}.npy"))
        for name in ("learned", "learned_labels", "unseen", "unseen_labels")
    )
    fit = SIDES[side]
    fit(codes[:50], labels[:50])  # loads what is loaded once
    before = peak()
    started = time.perf_counter()
    weights = fit(codes, labels)
    seconds = time.perf_counter() - started
    print(json.dumps({
        "seconds": seconds, "mib": (peak() - before) / 2**20,
        "objective": float(objective(weights, codes, labels, C)[0]),
        "accuracy": float((margins_of(unseen, weights).argmax(1) == truth).float().mean()),
    }))  # fmt: skip


def peak() -> float:
    """Bytes of memory that this process held at most. Linux's own count: getrusage begins with the parent's."""
    status = Path("/proc/self/status").read_text()
    return 1024.0 * int(status.partition("VmHWM:")[2].split()[0])


def main() -> None:
    parser = options(__doc__, rounds=3)
    parser.add_argument("--side", nargs=2, metavar=("NAME", "FOLDER"), help="one side's figures; for the script itself")
    asked = parser.parse_args()
    set_up(threads=1)
    if asked.side:
        run_side(asked.side[0], Path(asked.side[1]))
        return
    under = conditions(asked.rounds)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in SIDES}

    with TemporaryDirectory() as folder:
        write_codes(Path(folder))

        def turn(name: str) -> float:
            found[name].append(measured(name, Path(folder)))
            return found[name][-1]["seconds"]

        seconds = by_turns({name: lambda name=name: turn(name) for name in SIDES}, asked.rounds)
    rows, figures = [], dict[str, Any]()
    best = found["LinearSVC"][0]["objective"]
    for name, each in found.items():
        faster = ratio(seconds["LinearSVC"], seconds[name])
        near = each[0]["objective"] / best
        rows.append([
            name, f"{min(seconds[name]):.1f} to {max(seconds[name]):.1f} s", str(faster), f"{each[0]['mib']:,.0f} MiB",
            f"{near - 1:+.2%}", f"{each[0]['accuracy']:.1%}",
        ])  # fmt: skip
        figures[name] = {"runs": each, "times_as_fast": vars(faster)}
    head = ["one thread", "time", "times as fast", "extra memory", "objective", "accuracy"]
    publish("svm", head, rows, figures, under, asked.record)
    print(f"asked of Newton's method: 3x, a quarter of the memory, within {WITHIN - 1:.1%} of the objective")


if __name__ == "__main__":
    main()
