"""What a figure of time was measured under: set once for both sides, printed with the figure, kept beside it."""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PACKAGES = ("topfive", "torch", "torchvision", "numpy", "pillow")
THREADS = 2


def options(document: str | None, rounds: int) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks share. document: of the script; its first line is the help."""
    parser = argparse.ArgumentParser(description=(document or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=rounds, help=f"turns of each side, {rounds} unless given")
    parser.add_argument("--no-record", dest="record", action="store_false", help="write no line into results/")
    return parser


def options_of_runs(document: str | None) -> argparse.ArgumentParser:
    """As `options`, for scripts that train once: an image set, settings of the recipe and threads."""
    parser = options(document, rounds=1)
    parser.add_argument("data", help="an image set")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE",
                        help="a setting of the recipe, as in topfive train")  # fmt: skip
    parser.add_argument("--threads", type=int, default=THREADS)
    return parser


def settings_of(asked: argparse.Namespace) -> dict[str, str]:
    """The settings that were given, by key. Raises SystemExit for one without a value."""
    for setting in asked.settings:
        if "=" not in setting:
            raise SystemExit(f"--set: expected KEY=VALUE, got {setting!r}")
    return dict(setting.split("=", 1) for setting in asked.settings)


def set_up(threads: int = THREADS) -> None:
    """The same threads, the same way of waiting and of asking for memory for every side, as the command line has them.

    OpenMP reads GOMP_SPINCOUNT when it is loaded, so a script that was started without it starts itself again.
    """
    if "GOMP_SPINCOUNT" not in os.environ:
        os.environ["GOMP_SPINCOUNT"] = "10000"
        os.execv(sys.executable, [sys.executable, *sys.argv])
    import torch

    from topfive.cli.memory import reuse_maps

    reuse_maps()
    torch.set_num_threads(threads)


def conditions(n: int) -> dict[str, Any]:
    """Commit, machine, versions, load and date. n: how often each side was measured. Call it before measuring."""
    import torch

    return {
        "commit": _commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": f"{_processor()} ({platform.machine()})",
        "torch_capability": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gomp_spincount": os.environ.get("GOMP_SPINCOUNT", "unset"),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "n": n,
    }


def publish(
    name: str, head: Sequence[str], rows: Sequence[Sequence[str]], figures: dict[str, Any],
    measured_under: dict[str, Any], record: bool,
) -> None:  # fmt: skip
    """Print the table of a benchmark with its conditions; with `record` add a JSON line to results/<name>.jsonl."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        print("  ".join(cells))
    print()
    for key, value in measured_under.items():
        text = ", ".join(f"{name} {found}" for name, found in value.items()) if isinstance(value, dict) else value
        print(f"{key.replace('_', ' ')}: {text}")
    if record:
        RESULTS.mkdir(exist_ok=True)
        with open(RESULTS / f"{name}.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps({"benchmark": name, **figures, "conditions": measured_under}) + "\n")


def _commit() -> str:
    """The commit of the working copy, marked where files but results differ from it; `unknown` outside a clone."""

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True).stdout

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results").strip()
        return git("rev-parse", "--short=10", "HEAD").strip() + ("-dirty" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _processor() -> str:
    """The processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
