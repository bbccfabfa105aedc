"""Writing files whole or not at all (law 9), one process a folder, and reading the JSON and the tensors that we wrote.

A file is written beside its place, flushed to the disk and renamed: a kill, a power cut or a full disk leaves the last
good file as it was.
"""

import errno
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from topfive.errors import BadFile, Misused

HEADER = "topfive"  # the one key of a safetensors header that is ours
LOCK = ".lock"  # in a run folder; it holds the id of the process that was the last to train there


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Let `write` fill a temporary file beside `path`, then rename it into place.

    Raises BadFile when the disk is full or the folder cannot be written; `path` then holds what it held before.
    """
    aside = _aside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.touch()
        mode = aside.stat().st_mode  # as the user's umask has it; some writers take a stricter one
        write(aside)
        aside.chmod(mode)
        with open(aside, "r+b") as file:  # for writing: Windows flushes no other
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError as error:
        raise _refusal(path, error) from error
    finally:
        with suppress(OSError):  # a place that cannot be written cannot be cleaned either, and has nothing to clean
            aside.unlink()
    return path


def check_place(path: Path) -> None:
    """BadFile where no file can be written at `path`: at the door, before the work whose result it is to hold.

    A file is made beside it and removed again, and so are folders that were not there.
    """
    aside, made = _aside(path), list[Path]()
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        made = [folder for folder in path.parents if not folder.exists()]  # the deepest first
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.touch()
    except OSError as error:
        raise _refusal(path, error) from error
    finally:
        with suppress(OSError):
            aside.unlink()
        for folder in made:
            with suppress(OSError):  # it was never made, or another process wrote into it meanwhile
                folder.rmdir()


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes out of a run folder until the end; Misused where one is in it.

    The system gives the lock of a process back that ends in whatever way. Where it has none (Windows, some network
    disks), and in a folder that cannot be written, as the first write to it will say, nobody is kept out.
    """
    made = [one for one in (folder, *folder.parents) if not one.exists()]  # the deepest first
    before = set(os.listdir(folder)) if folder.is_dir() else set[str]()
    lock = _locked(folder / LOCK)
    try:
        yield
    finally:
        if lock is not None:
            with suppress(OSError):
                if set(os.listdir(folder)) == before | {LOCK} != before:  # what was refused leaves nothing behind
                    (folder / LOCK).unlink()
                    for one in made:
                        one.rmdir()
            os.close(lock)


def _locked(path: Path) -> int | None:
    """The open file whose lock is held; None where there is no such thing."""
    try:
        import fcntl

        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except (ImportError, OSError):
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        process = os.read(file, 20).decode() or "unknown"
        os.close(file)
        raise Misused(
            f"{path.parent}: another process is at work here (pid {process}); wait for it or choose another --out"
        ) from None
    except OSError:
        os.close(file)
        return None
    with suppress(OSError):  # a full disk, which is said where something is lost by it
        os.ftruncate(file, 0)
        os.write(file, str(os.getpid()).encode())
    return file


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def _refusal(path: Path, error: OSError) -> BadFile:
    return BadFile(
        f"{path}: could not be written ({error.strerror or error}); free some space or choose another place; what was "
        "there before is untouched"
    )


def write_bytes(path: Path, content: bytes) -> Path:
    """Write `content` to `path`, whole or not at all."""
    return write_whole(path, lambda aside: aside.write_bytes(content))


def write_text(path: Path, content: str) -> Path:
    """Write `content` to `path` as UTF-8, whole or not at all."""
    return write_bytes(path, content.encode())


def write_tensors(path: Path, tensors: dict[str, Tensor], document: Any) -> Path:
    """Write a safetensors file with `document` as JSON in its header under HEADER, whole or not at all."""
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = {HEADER: json.dumps(document, ensure_ascii=False, allow_nan=False)}

    def write(aside: Path) -> None:
        try:
            save_file(stored, aside, metadata=header)
        except SafetensorError as error:  # what it raises for a full disk
            raise OSError(str(error)) from error

    return write_whole(path, write)


def read_tensors(path: Path, kind: str, todo: str) -> tuple[dict[str, Tensor], Any]:
    """The tensors and the document of a file that `write_tensors` wrote; BadFile when it is cut short or another's.

    kind, todo: what the file should be and what to do when it is not, for the error.
    """
    try:
        with safe_open(path, framework="pt") as archive:
            header = (archive.metadata() or {}).get(HEADER)
            names: list[str] = archive.keys()
            tensors = {name: archive.get_tensor(name) for name in names}
        if header is None:
            raise ValueError("it has no header of topfive's")
        return tensors, json.loads(header)
    except json.JSONDecodeError as error:
        raise BadFile(f"{path}: is not a whole {kind} of topfive (broken header: {error}); {todo}") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise BadFile(f"{path}: is not a whole {kind} of topfive ({error}); {todo}") from error


def mapped(path: Path, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A tensor whose numbers lie in the file `path`: the system keeps in memory what there is room for.

    They are those that the file holds, if it is there. Raises BadFile where the disk has no room for it.
    """
    size = math.prod(shape)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "r+b" if path.exists() else "w+b") as file:
            before = os.fstat(file.fileno()).st_size
            try:
                if hasattr(
                    os, "posix_fallocate"
                ):  # a full disk is met here, and not by a signal when a number is written
                    os.posix_fallocate(file.fileno(), 0, size * dtype.itemsize)
            except OSError:
                file.truncate(before)  # it keeps what it got, which others need now
                raise
    except OSError as error:
        raise _refusal(path, error) from error
    return torch.from_file(str(path), shared=True, size=size, dtype=dtype).view(shape)


def flush(path: Path) -> None:
    """Bring what was written into a mapped file to the disk."""
    with open(path, "r+b") as file:
        os.fsync(file.fileno())


def read_rows(path: Path, name: str, rows: int) -> Iterator[Tensor]:
    """A float32 tensor of a file that `write_tensors` wrote, `rows` of it at a time, the next part read ahead.

    It is read, not mapped: however large the file, two parts are in memory. Raises BadFile where it ends too early.
    """
    with open(path, "rb", buffering=0) as file, ThreadPoolExecutor(1) as ahead:
        size = int.from_bytes(file.read(8), "little")
        own = json.loads(file.read(size))[name]
        file.seek(8 + size + own["data_offsets"][0])

        def read(count: int) -> Tensor:
            part = torch.empty(count, *own["shape"][1:])
            if file.readinto(part.numpy().reshape(-1).data) < part.nbytes:
                raise BadFile(f"{path}: ends before its {name} do; make it again")
            return part

        counts = [min(rows, own["shape"][0] - start) for start in range(0, own["shape"][0], rows)]
        following = ahead.submit(read, counts[0]) if counts else None
        for count in [*counts[1:], 0]:
            part = following.result() if following else None
            following = ahead.submit(read, count) if count else None
            if part is not None:
                yield part


def sha256(path: Path) -> str:
    """The checksum of a file, read piece by piece."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, document: Any) -> Path:
    """Write `document` to `path` as indented JSON, whole or not at all; NaN is refused."""
    return write_text(path, json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The JSON document in `path`; BadFile when it is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadFile(f"{path}: could not be read ({error.strerror or error})") from error
    except ValueError as error:
        raise BadFile(f"{path}: is not valid JSON ({error}); delete it or restore it from a copy") from error
