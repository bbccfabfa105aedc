"""What happened in a run, as it happened: `metrics.jsonl`, one JSON object a line, and TensorBoard where installed."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from topfive.errors import BadFile

FILE_NAME = "metrics.jsonl"


class History:
    """Appends records to `metrics.jsonl` of a run.

    After a kill the file may be ahead of the checkpoint: `bytes` kept there says where to cut it (`resume_at`), so that
    a resumed run leaves the same history as one that was never stopped. step: that it goes on from.
    """

    def __init__(self, folder: Path, resume_at: int = 0, step: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / FILE_NAME
        try:
            self.file = self.path.open("ab")  # until close()
            kept = min(resume_at, self.path.stat().st_size)
            self.file.truncate(kept)
            self.file.seek(kept)  # where `bytes` counts from; the cut alone leaves it at the old end
        except OSError as error:
            raise BadFile(f"{self.path}: could not be written ({error.strerror})") from error
        self.board = _tensorboard(folder, step)

    @property
    def bytes(self) -> int:
        """How long the file is now."""
        return self.file.tell()

    def add(self, step: int, **figures: Any) -> None:
        """Append one record; numbers also go to TensorBoard."""
        try:
            self.file.write(json.dumps({"step": step, **figures}).encode() + b"\n")
            self.file.flush()
            os.fsync(self.file.fileno())  # before a checkpoint relies on it
        except OSError as error:
            raise BadFile(
                f"{self.path}: could not be written ({error.strerror}); free some space and use --resume"
            ) from error
        for name, value in figures.items():
            if self.board is not None and isinstance(value, int | float):
                self.board.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close."""
        with contextlib.suppress(OSError):  # what could not be written has been said by `add`
            self.file.close()
        if self.board is not None:
            self.board.close()


def _tensorboard(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:  # the extra `tensorboard` is not installed
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else None)


def read(folder: Path) -> list[dict[str, Any]]:
    """The records of a run, oldest first; a last line cut short by a kill is left out."""
    path = folder / FILE_NAME
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    return [json.loads(line) for line in lines[:-1]]
