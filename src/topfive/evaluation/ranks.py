"""Several processes that torchrun started: each judges a share of the images, and each is told what all have found.

`torchrun --nproc-per-node 4 -m topfive evaluate MODEL DATA` (docs/protocol.md, "Several processes").
"""

import atexit
import os
from typing import NamedTuple, TypeVar, cast

import torch
from torch import distributed

Found = TypeVar("Found")


class Ranks(NamedTuple):
    """rank: of this process, in [0, ranks). ranks: how many there are, 1 without torchrun."""

    rank: int = 0
    ranks: int = 1

    @property
    def writes(self) -> bool:
        """Whether this process is the one that prints and writes files."""
        return self.rank == 0

    def share(self, images: int) -> range:
        """The rows that this process judges; together the processes have every row once, in order.

        >>> [list(Ranks(rank, 3).share(7)) for rank in range(3)]
        [[0, 1], [2, 3], [4, 5, 6]]
        """
        return range(images * self.rank // self.ranks, images * (self.rank + 1) // self.ranks)

    def of_all(self, found: Found) -> list[Found]:
        """What every process found, in their order; waits for the slowest."""
        if self.ranks == 1:
            return [found]
        gathered: list[Found | None] = [None] * self.ranks
        distributed.all_gather_object(gathered, found)
        return cast(list[Found], gathered)


def ranks_here() -> Ranks:
    """The processes of this run; the first call joins them, and gives each of a machine its accelerator."""
    if not distributed.is_available() or not distributed.is_torchelastic_launched():
        return Ranks()
    if not distributed.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        distributed.init_process_group("gloo")  # what is exchanged lies in the processor's memory
        atexit.register(distributed.destroy_process_group)  # its threads, left running, abort some exits
    return Ranks(distributed.get_rank(), distributed.get_world_size())
