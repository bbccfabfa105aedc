"""The named arrays of a file that another library wrote; nothing in it is run.

Read: `.safetensors`, `.pth`, `.pt` and `.bin` (torch's restricted reader, which runs no code), `.npz` of named arrays.
"""

import pickle
import struct
import textwrap
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.npyio import NpzFile
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from topfive.errors import BadFile, Misused

Arrays = dict[str, Tensor]
WRAPPERS = ("state_dict", "model", "model_state", "net", "params")  # under which checkpoints keep their tensors
PREFIXES = ("module.", "_orig_mod.", "model.", "network.", "net.", "backbone.")  # of all names, by what wrapped the net
COUNTERS = "num_batches_tracked"


def read_arrays(path: Path) -> Arrays:
    """The arrays of a file, as they stand in it; BadFile for what cannot be read, is cut short or would run code."""
    readers: dict[str, Callable[[Path], Any]] = {
        ".safetensors": load_file, ".pth": _read_torch, ".pt": _read_torch, ".bin": _read_torch, ".npz": _read_numpy
    }  # fmt: skip
    if not path.is_file():
        raise Misused(f"{path}: expected a file of weights, found {'a folder' if path.is_dir() else 'none'}")
    if path.suffix.lower() not in readers:
        raise BadFile(
            f"{path}: expected one of {', '.join(readers)}, got {path.suffix or 'no ending'}; convert it first"
        )
    try:
        found = readers[path.suffix.lower()](path)
    except pickle.UnpicklingError as error:
        raise BadFile(
            f"{path}: holds something other than tensors, which was not run; save its state_dict alone"
        ) from error
    except (
        SafetensorError,
        OSError,
        EOFError,
        ValueError,
        TypeError,
        RuntimeError,
        KeyError,
        AttributeError,
        IndexError,
        struct.error,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        if str(error).startswith("Object arrays"):  # NumPy's words for arrays of Python's objects
            raise BadFile(f"{path}: holds objects, of which none was run; save arrays of numbers alone") from error
        said = str(error).partition("\n")[0]
        reason = type(error).__name__ if not said or said.isdigit() else textwrap.shorten(said, 120, placeholder=" ...")
        raise BadFile(f"{path}: cannot be read ({reason}); copy it again") from error
    for wrapper in WRAPPERS:
        if isinstance(found, dict) and isinstance(found.get(wrapper), dict):
            found = found[wrapper]
    items = found.items() if isinstance(found, dict) else []
    tensors = {key: value for key, value in items if isinstance(key, str) and isinstance(value, Tensor)}
    arrays = {key: value for key, value in tensors.items() if not key.endswith(COUNTERS)}
    while arrays and (prefix := next((one for one in PREFIXES if all(key.startswith(one) for key in arrays)), "")):
        arrays = {key.removeprefix(prefix): value for key, value in arrays.items()}
    arrays = {key: value for key, value in arrays.items() if not key.startswith("normalize.")}  # ours: stated apart
    if not arrays:
        raise BadFile(f"{path}: expected named arrays, found none; save the state_dict of the network")
    return arrays


def _read_torch(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pickle protocols; what cannot be read is said anyway
        return torch.load(path, map_location="cpu", weights_only=True)


def _read_numpy(path: Path) -> Arrays:
    archive = np.load(path, allow_pickle=False)
    if not isinstance(archive, NpzFile):
        raise ValueError("it is one array without a name")
    with archive:
        return {name: torch.from_numpy(np.array(archive[name])) for name in archive.files}
