"""Blocks of memory are used again."""

import platform
import subprocess
import sys

import pytest

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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the limits are those of glibc")
def test_freed_blocks_are_used_again():
    assert 20 * faults("reuse") < faults("as it is")
