"""Blocks of memory are used again."""

import platform
import subprocess
import sys

import pytest

from topfive.cli import memory

PROBE = """
import resource, sys
import numpy as np
from topfive.cli.memory import reuse_maps
if sys.argv[1] == "reuse" and not reuse_maps():
    sys.exit("the C library refused")
np.ones(100 << 20, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    np.ones(100 << 20, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(way):
    """How many pages the system had to hand out for five blocks of 100 MiB, after a first one was freed."""
    run = subprocess.run([sys.executable, "-c", PROBE, way], capture_output=True, text=True, check=True)
    return int(run.stdout)


class Refusing:
    """A C library of before, which takes no first limit above 32 MiB."""

    def __init__(self, *_: object) -> None:
        self.asked: list[int] = []

    def mallopt(self, name: int, value: int) -> int:
        self.asked.append(name)
        return int(name != memory.M_MMAP_THRESHOLD)


def test_where_the_first_limit_is_refused_the_second_is_left(monkeypatch):
    library = Refusing()
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: library)
    assert not memory.reuse_maps()
    assert library.asked == [memory.M_MMAP_THRESHOLD]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the limits are those of glibc")
def test_freed_blocks_are_used_again():
    assert 20 * faults("reuse") < faults("as it is")
