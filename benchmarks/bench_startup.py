"""How long `topfive --help` takes; with --demo also the minutes and the peak memory of the demo's contest.

`--help` is timed as a user waits for it, from starting the process to its end; beside it a Python that does nothing.
The demo is the command of `make demo`, installed already, with an output folder of its own.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from conditions import conditions, options, publish, set_up
from rounds import by_turns

DEMO = ["contest", "digits", "--minutes", "2.5", "--out"]
LIMITS = {"help": "0.5 s", "demo": "4 min", "memory": "2 GiB"}


def seconds(command: list[str]) -> float:
    """Wall time of one process."""
    started = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def demo() -> tuple[float, float]:
    """Wall minutes, and GiB resident at most, of the demo's contest."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-m", "topfive", *DEMO, str(Path(folder) / "digits")])
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the demo ended with {process.returncode}")
    unit = 2**30 if sys.platform == "darwin" else 2**20  # bytes there, KiB elsewhere
    return (time.perf_counter() - started) / 60, used.ru_maxrss / unit


def main() -> None:
    parser = options(__doc__, rounds=10)
    parser.add_argument("--demo", action="store_true", help="hold the demo's contest too, 3 minutes")
    asked = parser.parse_args()
    set_up()
    under = conditions(asked.rounds)
    sides = {
        "python -c pass": lambda: seconds([sys.executable, "-c", "pass"]),
        "topfive --help": lambda: seconds([sys.executable, "-m", "topfive", "--help"]),
    }
    by_turns(sides, 1)  # files come into the system's cache
    times = by_turns(sides, asked.rounds)
    figures: dict[str, Any] = {"seconds": times}
    rows = [[name, f"{min(took):.3f} s", f"{statistics.median(took):.3f} s", ""] for name, took in times.items()]
    rows[-1][-1] = LIMITS["help"]
    if asked.demo:
        minutes, gib = demo()
        figures |= {"demo_minutes": minutes, "demo_gib": gib}
        rows += [["demo: contest on digits", "", f"{minutes:.2f} min", LIMITS["demo"]]]
        rows += [["demo: peak resident memory", "", f"{gib:.2f} GiB", LIMITS["memory"]]]
    publish("startup", ["command", "best", "median", "at most"], rows, figures, under, asked.record)


if __name__ == "__main__":
    main()
