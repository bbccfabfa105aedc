"""One thread and sleeping waits: tests are many small tensors, and share their machine."""

import os
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
import torch

torch.set_num_threads(1)

RealData = Callable[[str], Path]
FullDisk = Callable[[int], AbstractContextManager[None]]


@pytest.fixture(scope="session", autouse=True)
def offline() -> Iterator[None]:
    """No test connects to anything: nothing is fetched, and nothing is told to anyone."""

    def refuse(self: socket.socket, address: object) -> None:
        raise AssertionError(f"a test wanted to connect to {address}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket.socket, "connect_ex", refuse)
        yield


@pytest.fixture(autouse=True)
def seeded() -> None:
    """What a test draws without a generator of its own is the same each time, in whatever order tests run."""
    torch.manual_seed(0)


@pytest.fixture
def full_disk() -> FullDisk:
    """`with full_disk(n)`: no file may grow beyond n bytes, as on a full disk; the kernel refuses, not a stand-in."""

    @contextmanager
    def filled(bytes_left: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return filled


@pytest.fixture
def real_data() -> RealData:
    """Where a real image set lies: a folder of that name in the one that TOPFIVE_DATA names. Skips where it is not."""

    def real(name: str) -> Path:
        folder = os.environ.get("TOPFIVE_DATA")
        if not folder:
            pytest.skip("TOPFIVE_DATA is not set: it names the folder of real image sets")
        if not (Path(folder) / name).is_dir():
            pytest.skip(f"TOPFIVE_DATA holds no {name}/")
        return Path(folder) / name

    return real
