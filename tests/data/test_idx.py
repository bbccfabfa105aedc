"""MNIST's files, packed here byte by byte."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from topfive.data import open_data
from topfive.data.idx import read_array
from topfive.errors import BadData, BadFile


def idx(array: NDArray[np.uint8]) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def images(count: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 5, 4), dtype=np.uint8)


def labels(*numbers: int) -> NDArray[np.uint8]:
    return np.array(numbers, dtype=np.uint8)


def mnist(root: Path, dot: str = "-", test: str = "t10k", packed: bool = False) -> Path:
    root.mkdir(parents=True)
    for split, count, numbers in (("train", 4, (3, 10, 3, 9)), (test, 2, (9, 3))):
        for name, array in ((f"images{dot}idx3", images(count, count)), (f"labels{dot}idx1", labels(*numbers))):
            content = idx(array)
            path = root / f"{split}-{name}-ubyte{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(content) if packed else content)
    return root


@pytest.mark.parametrize("dot", ["-", "."])
@pytest.mark.parametrize("test", ["t10k", "test"])
@pytest.mark.parametrize("packed", [False, True])
def test_the_four_files_are_read_however_they_are_named(tmp_path: Path, dot: str, test: str, packed: bool) -> None:
    data = open_data(mnist(tmp_path / "MNIST" / "raw", dot, test, packed).parent)
    assert data.layout == "IDX files of MNIST's form: 3 classes, 4 train + 2 test grey images of 5 x 4 px"
    assert [label.key for label in data.classes] == ["3", "9", "10"]  # as numbers
    assert (data.mirror, data.judged) == (False, "test")
    train = data.split("train")
    assert train.pixels is not None
    assert train.pixels.tolist() == images(4, 4)[:, None].tolist()
    assert train.labels.tolist() == [0, 2, 0, 1]
    assert data.split("test").labels.tolist() == [1, 0]
    assert train.ids == tuple(f"train-images{dot}idx3-ubyte#{i}" for i in range(4))  # packed or not


def test_emnists_names_are_read_one_set_at_a_time(tmp_path: Path) -> None:
    root = mnist(tmp_path / "raw", test="test")
    for path in sorted(root.iterdir()):
        path.rename(root / f"emnist-letters-{path.name}")
    assert len(open_data(root).split("train")) == 4
    (root / "emnist-digits-train-images-idx3-ubyte").write_bytes(idx(images(4)))
    with pytest.raises(
        BadData, match=r"expected one image set in IDX files, got \['emnist-digits', 'emnist-letters'\]"
    ):
        open_data(root)


def test_a_plain_file_is_taken_before_its_packed_twin(tmp_path: Path) -> None:
    root = mnist(tmp_path / "raw")
    (root / "train-images-idx3-ubyte.gz").write_bytes(b"not looked at")
    assert len(open_data(root).split("train")) == 4


@pytest.mark.parametrize("name", ["train-labels-idx1-ubyte", "t10k-images-idx3-ubyte"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    root = mnist(tmp_path / "raw")
    (root / name).unlink()
    with pytest.raises(BadData, match=f"raw: expected the four files of MNIST, found none of .*; add {name}"):
        open_data(root)


def test_files_that_do_not_match_are_refused(tmp_path: Path) -> None:
    root = mnist(tmp_path / "raw")
    (root / "train-labels-idx1-ubyte").write_bytes(idx(labels(1, 2, 3)))
    with pytest.raises(BadData, match="train-labels-idx1-ubyte: expected 4 labels, one an image, got 3"):
        open_data(root)
    (root / "train-labels-idx1-ubyte").write_bytes(idx(labels(3, 9, 3, 9)))
    (root / "t10k-labels-idx1-ubyte").write_bytes(idx(labels(3, 7)))
    with pytest.raises(BadData, match=r"t10k-labels-idx1-ubyte: expected the classes of train, got also \[7\]"):
        open_data(root)
    (root / "train-labels-idx1-ubyte").write_bytes(idx(labels(3, 3, 3, 3)))
    (root / "t10k-labels-idx1-ubyte").write_bytes(idx(labels(3, 3)))
    with pytest.raises(BadData, match=r"train-labels-idx1-ubyte: expected two or more classes, got \[3\]"):
        open_data(root)


WHOLE = idx(images(4))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (WHOLE[:-1], r"expected 80 values for \(4, 5, 4\), got 79"),
        (WHOLE + b"\0", r"expected 80 values for \(4, 5, 4\), got more"),
        (WHOLE[:10], "expected a whole IDX file, got unpack requires"),
        (b"", "expected a whole IDX file, got unpack requires"),
        (idx(labels(1, 2)), "expected a header of 3 dimension.s. of bytes, got type 8 in 1"),
        (b"\0\0\x0d\3" + WHOLE[4:], "expected a header of 3 dimension.s. of bytes, got type 13 in 3"),
        (b"\x89PNG" + WHOLE[4:], "expected a header of 3 dimension.s. of bytes"),
        (b"\0\0\x08\3" + b"\xff" * 12, "expected 1 to 4,294,967,296 values, got a header that claims"),
        (b"\0\0\x08\3" + b"\0" * 12, "expected 1 to 4,294,967,296 values, got a header that claims"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes, message: str, packed: bool) -> None:
    path = tmp_path / ("x-idx3-ubyte" + (".gz" if packed else ""))
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(BadFile, match=message):
        read_array(path, dimensions=3)


def test_a_damaged_gzip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x-idx3-ubyte.gz"
    whole = gzip.compress(WHOLE)
    torn = whole[:30] + bytes([whole[30] ^ 0xFF]) + whole[31:]
    for content in (b"no gzip at all", whole[:-20], whole[:5], torn):
        path.write_bytes(content)
        with pytest.raises(BadFile, match=r"x-idx3-ubyte\.gz: expected a whole IDX file, got .+; fetch the file again"):
            read_array(path, dimensions=3)


def test_folders_named_like_the_files_are_passed_over(tmp_path: Path) -> None:
    """As some archives of MNIST have them beside the files."""
    root = mnist(tmp_path / "mnist", dot=".")
    for name in ("train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        (root / name).mkdir()
    assert len(open_data(root).split("train")) == 4
