"""Checkpoints: everything a stage needs to go on as if it had never stopped, in one safetensors file.

The file is replaced whole, so a kill at any moment leaves the last good one (law 9). Images need no state: which
images, in which order, cropped how, follows from the step (law 4).
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path

from torch import Tensor

from topfive.errors import BadFile
from topfive.files import read_tensors, write_tensors

FILE_NAME = "checkpoint/state.safetensors"


@dataclass
class Progress:
    """Where a run stands.

    stage: index of the stage under way; all before it are finished. step: optimizer steps behind it in this stage.
    legs: see `training.pace`. seconds: spent so far, over all its processes. decoding: seconds that it adds to a step
    until all images have been met. choice: the precision it computes in.
    sums: of the epoch under way. history: bytes of `metrics.jsonl`. data, recipe: what it is a run of. conditions: the
    machine and versions on which it is equal to the bit, one after another where it went on under others. broken:
    images that were skipped, id -> reason.
    """

    stage: int = 0
    step: int = 0
    legs: list[tuple[int, int]] = field(default_factory=list)
    seconds: float = 0.0
    decoding: float = 0.0
    choice: dict[str, str] | None = None
    sums: dict[str, float] = field(default_factory=dict)
    history: int = 0
    scaler: dict[str, float] = field(default_factory=dict)
    data: str = ""
    recipe: str = ""
    conditions: list[dict[str, str]] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)


def save(folder: Path, progress: Progress, tensors: dict[str, Tensor]) -> None:
    """Write the checkpoint of a run folder, whole or not at all; raises BadFile when the disk is full."""
    write_tensors(folder / FILE_NAME, tensors, asdict(progress))


def load(folder: Path) -> tuple[Progress, dict[str, Tensor]] | None:
    """The checkpoint of a run folder, or None when there is none yet. BadFile when it cannot be read."""
    path = folder / FILE_NAME
    if not path.exists():
        return None
    todo = "delete the run folder to start again"
    tensors, document = read_tensors(path, "checkpoint", todo)
    try:
        progress = Progress(**document)
    except TypeError as error:
        raise BadFile(f"{path}: is not a checkpoint of this topfive ({error}); {todo}") from error
    progress.legs = [(start, end) for start, end in progress.legs]
    if isinstance(progress.conditions, dict):  # a checkpoint of before, which kept the first alone
        progress.conditions = [progress.conditions]
    return progress, tensors


def under(part: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors stored as `part/name`, by name."""
    return {name.removeprefix(f"{part}/"): tensor for name, tensor in tensors.items() if name.startswith(f"{part}/")}
