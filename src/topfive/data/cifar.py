"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009) as their author hands them out: the binary version and the Python version.

Binary, a record an image: CIFAR-10 `label, 3072 pixels`; CIFAR-100 `coarse label, fine label, 3072 pixels`; pixels are
the red plane, then green, then blue, each row by row. Python: pickled dictionaries with the same rows as one array.
Any number of records a file is read, so that a part of the set, or one's own set in the same form, will do.

A pickle is a program. `read_plain_pickle` runs it with every name that it may call replaced by a stand-in of ours:
what comes out is made of dictionaries, lists, strings, numbers and uint8 arrays, and nothing in the file is executed.
"""

import math
import pickle
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from topfive.data.imageset import ClassLabel, ImageSet, Split
from topfive.errors import BadData, BadFile

SIDE = 32
PIXELS = 3 * SIDE * SIDE

Rows = tuple[NDArray[np.uint8], NDArray[np.int64]]  # (N, 3072) pixels, (N,) labels


@dataclass(frozen=True)
class Version:
    """What the files of one version are called. train, test: without the ending `.bin` of the binary form."""

    title: str
    train: tuple[str, ...]
    test: str
    label_bytes: int  # before the pixels of a binary record; the last is the label that is used
    classes: int
    meta: str
    names_key: str
    labels_key: str
    names_file: str
    coarse: str = ""  # of CIFAR-100: the key, and with .txt the file, of the 20 coarse names


CIFAR10 = Version(
    title="CIFAR-10",
    train=tuple(f"data_batch_{batch}" for batch in range(1, 6)),
    test="test_batch",
    label_bytes=1,
    classes=10,
    meta="batches.meta",
    names_key="label_names",
    labels_key="labels",
    names_file="batches.meta.txt",
)
CIFAR100 = Version(
    title="CIFAR-100",
    train=("train",),
    test="test",
    label_bytes=2,
    classes=100,
    meta="meta",
    names_key="fine_label_names",
    labels_key="fine_labels",
    names_file="fine_label_names.txt",
    coarse="coarse_label_names",
)


def is_binary(names: Collection[str]) -> bool:
    """Whether files of these names are CIFAR's binary version."""
    cifar10 = any(f"{batch}.bin" in names for batch in (*CIFAR10.train, CIFAR10.test))
    return cifar10 or {"train.bin", "test.bin"} <= set(names)


def is_python(names: Collection[str]) -> bool:
    """Whether files of these names are CIFAR's Python version."""
    cifar10 = any(batch in names for batch in (*CIFAR10.train, CIFAR10.test))
    return cifar10 or {"train", "test", "meta"} <= set(names)


def read_binary(root: Path) -> ImageSet:
    """The image set in a folder of CIFAR's binary files; BadData or BadFile where one is missing or damaged."""
    version = CIFAR100 if (root / "train.bin").exists() else CIFAR10
    names = _lines(root / version.names_file)
    coarse = _lines(root / f"{version.coarse}.txt") if version.coarse else []
    return _assemble(root, version, "binary", ".bin", names, coarse, lambda path: _read_records(path, version))


def read_python(root: Path) -> ImageSet:
    """The image set in a folder of CIFAR's pickled files; BadData or BadFile where one is missing or damaged."""
    version = CIFAR100 if (root / "train").exists() else CIFAR10
    meta = _read_dictionary(root / version.meta) if (root / version.meta).exists() else {}
    names = _strings(root / version.meta, meta.get(version.names_key, []))
    coarse = _strings(root / version.meta, meta.get(version.coarse, []))
    return _assemble(root, version, "Python", "", names, coarse, lambda path: _read_batch(path, version))


def _assemble(
    root: Path,
    version: Version,
    form: str,
    ending: str,
    names: list[str],
    coarse: list[str],
    read: Callable[[Path], Rows],
) -> ImageSet:
    notes = []
    if not names:
        names = [str(label) for label in range(version.classes)]
        notes.append("no file of class names was found, so classes bear their numbers")
    train = [root / f"{batch}{ending}" for batch in version.train]
    test = root / f"{version.test}{ending}"
    present = [path for path in train if path.exists()]
    if not present or not test.exists():
        missing = test if present else train[0]
        raise BadData(f"{root}: expected {missing.name} among the files of {version.title}, found none; unpack again")
    if len(present) < len(train):
        notes.append(f"only {len(present)} of {len(train)} training files are there")
    if coarse:
        notes.append(f"classes are the fine labels; the {len(coarse)} coarse ones are not used: {', '.join(coarse)}")
    splits = {"train": _split(present, len(names), read), "test": _split([test], len(names), read)}
    return ImageSet(
        name=root.name,
        layout=f"{form} files of {version.title}: {len(names):,} classes, {len(splits['train']):,} train + "
        f"{len(splits['test']):,} test images of {SIDE} x {SIDE} px",
        classes=tuple(ClassLabel(name, name) for name in names),
        splits=splits,
        notes=tuple(notes),
    )


def _split(paths: list[Path], classes: int, read: Callable[[Path], Rows]) -> Split:
    files = [read(path) for path in paths]
    for path, (_, labels) in zip(paths, files, strict=True):
        if len(wrong := np.flatnonzero((labels < 0) | (labels >= classes))):
            raise BadFile(
                f"{path}: expected labels from 0 to {classes - 1}, got {labels[wrong[0]]} in record {wrong[0]}; fetch "
                "the file again, or mend the file of class names"
            )
    return Split(
        ids=tuple(f"{path.name}#{i}" for path, (_, own) in zip(paths, files, strict=True) for i in range(len(own))),
        labels=torch.from_numpy(np.concatenate([labels for _, labels in files])),
        pixels=torch.from_numpy(np.concatenate([pixels for pixels, _ in files]).reshape(-1, 3, SIDE, SIDE)),
    )


def _read_records(path: Path, version: Version) -> Rows:
    """The records of one binary file."""
    record = version.label_bytes + PIXELS
    try:
        content = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise _unreadable(path, error) from error
    if len(content) == 0 or len(content) % record:
        raise BadFile(
            f"{path}: expected records of {record:,} bytes, got {len(content):,} bytes, no multiple of it; fetch the "
            "file again"
        )
    rows = content.reshape(-1, record)
    return rows[:, version.label_bytes :], rows[:, version.label_bytes - 1].astype(np.int64)


def _read_batch(path: Path, version: Version) -> Rows:
    """The arrays of one pickled file."""
    batch = _read_dictionary(path)
    pixels, labels = batch.get("data"), batch.get(version.labels_key)
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.shape[1] != PIXELS or not len(pixels):
        raise BadFile(f"{path}: expected an array 'data' of {PIXELS:,} columns, found none; fetch the file again")
    numbers = isinstance(labels, list) and all(isinstance(label, int) and 0 <= label < 256 for label in labels)
    if not isinstance(labels, list) or not numbers or len(labels) != len(pixels):
        raise BadFile(
            f"{path}: expected a list {version.labels_key!r} of {len(pixels):,} small numbers, found none; fetch the "
            "file again"
        )
    return pixels, np.array(labels, dtype=np.int64)


def _lines(path: Path) -> list[str]:
    """The names in a text file, one a line; none where there is no such file."""
    if not path.exists():
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    return _distinct(path, [line.strip() for line in lines if line.strip()])


def _strings(path: Path, names: object) -> list[str]:
    texts = [_text(name) for name in names] if isinstance(names, list) else [None]
    if not all(isinstance(text, str) for text in texts):
        raise BadFile(f"{path}: expected a list of class names, got something else; fetch the file again")
    return _distinct(path, [str(text) for text in texts])


def _distinct(path: Path, names: list[str]) -> list[str]:
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise BadFile(f"{path}: expected class names that differ, got {twice[0]!r} twice; rename one")
    return names


def _text(value: object) -> object:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _read_dictionary(path: Path) -> dict[object, Any]:
    """The dictionary pickled in `path`, its keys as text: Python 2 wrote them as bytes."""
    content = read_plain_pickle(path)
    if not isinstance(content, dict):
        raise BadFile(f"{path}: expected a pickled dictionary, got a {type(content).__name__}; fetch the file again")
    return {_text(key): value for key, value in content.items()}


def _unreadable(path: Path, reason: object) -> BadFile:
    reason = (reason.strerror if isinstance(reason, OSError) else None) or reason
    return BadFile(f"{path}: is not a readable CIFAR file ({reason}); fetch it again")


# ---------------------------------------------------------------------------------------------------------------------
# The pickle reader


def read_plain_pickle(path: Path) -> Any:
    """What is pickled in `path`, of dictionaries, lists, tuples, strings, bytes, numbers and uint8 arrays only.

    Raises BadFile, and has executed nothing, when the file names anything else.
    """
    try:
        with open(path, "rb") as file:
            return _PlainUnpickler(file, encoding="bytes").load()
    except Exception as error:  # a damaged pickle fails in any way: KeyError, IndexError, ValueError, MemoryError, ...
        raise _unreadable(path, error) from error


class _StandIn:
    """What a global name in a pickle becomes: something to call, which the pickle cannot alter."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., object]) -> None:
        self._make = make

    def __call__(self, *arguments: object) -> object:
        return self._make(*arguments)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("it alters what it may only call")


class _Bytes:
    """Stands for numpy.dtype("u1"), the only kind of array in these files."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        """Byte order and alignment: nothing that a byte has."""


class _Array:
    """Stands for an array while it is read; `_PlainUnpickler.load` gives the array itself."""

    __slots__ = ("values",)

    def __setstate__(self, state: tuple[object, ...]) -> None:
        _, lengths, kind, fortran, content = state
        if not isinstance(kind, _Bytes) or not isinstance(content, bytes) or not isinstance(lengths, tuple):
            raise pickle.UnpicklingError("it holds an array that is not of bytes")
        if any(type(length) is not int or length < 0 for length in lengths) or math.prod(lengths) != len(content):
            raise pickle.UnpicklingError(f"it claims {lengths} for an array of {len(content):,} bytes")
        self.values = np.frombuffer(content, dtype=np.uint8).reshape(lengths, order="F" if fortran else "C")


def _refuse(*arguments: object) -> object:
    raise pickle.UnpicklingError("it calls what it may only mention")


def _byte_type(code: object, *_: object) -> _Bytes:
    if code not in ("u1", b"u1"):
        raise pickle.UnpicklingError(f"it holds an array of type {code!r}, and only bytes ('u1') are read")
    return _Bytes()


def _encode(text: str, encoding: str) -> bytes:
    if not isinstance(text, str) or encoding != "latin1":  # how Python 3 writes bytes for Python 2
        raise pickle.UnpicklingError("it encodes text other than bytes")
    return text.encode("latin1")


ALLOWED: dict[tuple[str, str], Callable[..., object]] = {
    ("numpy.core.multiarray", "_reconstruct"): lambda *_: _Array(),
    ("numpy._core.multiarray", "_reconstruct"): lambda *_: _Array(),  # since NumPy 2
    ("numpy", "ndarray"): _refuse,
    ("numpy", "dtype"): _byte_type,
    ("_codecs", "encode"): _encode,
}


class _PlainUnpickler(pickle.Unpickler):
    """Python's own unpickler, with no way to reach a module."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        if (module_name, global_name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it names {module_name}.{global_name}, which no file of CIFAR needs")
        return _StandIn(ALLOWED[module_name, global_name])

    def load(self) -> Any:
        content = super().load()
        if isinstance(content, dict):
            return {key: value.values if isinstance(value, _Array) else value for key, value in content.items()}
        return content
