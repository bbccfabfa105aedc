"""CIFAR's two forms, written here record by record, and pickles that mean harm."""

import collections
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from topfive.data import ImageSet, open_data
from topfive.data.cifar import read_plain_pickle
from topfive.errors import BadData, BadFile

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
FINE = [f"fine_{i:02}" for i in range(100)]
COARSE = [f"coarse_{i:02}" for i in range(20)]


def rows(count: int, seed: int) -> tuple[NDArray[np.uint8], list[int]]:
    """`count` pictures in CIFAR's order, channel by channel, and labels below ten."""
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, 3072), dtype=np.uint8), random.integers(0, 10, count).tolist()


def records(pixels: NDArray[np.uint8], *labels: list[int]) -> bytes:
    return b"".join(bytes(own) + row.tobytes() for *own, row in zip(*labels, pixels, strict=True))


def binary10(root: Path, counts: tuple[int, ...] = (4, 3, 2, 2, 1), test: int = 5) -> Path:
    root.mkdir()
    for batch, count in enumerate(counts, 1):
        (root / f"data_batch_{batch}.bin").write_bytes(records(*rows(count, batch)))
    (root / "test_batch.bin").write_bytes(records(*rows(test, 9)))
    (root / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")
    return root


def python10(root: Path, counts: tuple[int, ...] = (4, 3, 2, 2, 1), test: int = 5) -> Path:
    """Protocol 2 with bytes for keys and names, as Python 2 wrote the official files."""
    root.mkdir()
    names = [(f"data_batch_{batch}", rows(count, batch)) for batch, count in enumerate(counts, 1)]
    for name, (pixels, labels) in [*names, ("test_batch", rows(test, 9))]:
        batch = {
            b"batch_label": name.encode(),
            b"labels": labels,
            b"data": pixels,
            b"filenames": [b"x.png"] * len(labels),
        }
        (root / name).write_bytes(pickle.dumps(batch, protocol=2))
    meta = {b"num_cases_per_batch": 4, b"label_names": [name.encode() for name in NAMES], b"num_vis": 3072}
    (root / "batches.meta").write_bytes(pickle.dumps(meta, protocol=2))
    return root


def check10(data: ImageSet, ending: str) -> None:
    train, test = data.split("train"), data.split("test")
    assert [label.key for label in data.classes] == [label.name for label in data.classes] == NAMES
    assert (len(train), len(test), data.mirror, data.judged) == (12, 5, True, "test")
    assert train.ids[:5] == (*(f"data_batch_1{ending}#{i}" for i in range(4)), f"data_batch_2{ending}#0")
    assert test.ids[-1] == f"test_batch{ending}#4"
    pixels, labels = rows(3, 2)
    assert train.labels[4:7].tolist() == labels
    image = train.image(5)  # the second record of the second file
    assert image.shape == (3, 32, 32)
    for channel, row, column in [(0, 0, 0), (0, 0, 31), (1, 2, 3), (2, 31, 31)]:
        assert image[channel, row, column] == pixels[1, 1024 * channel + 32 * row + column]


def test_the_binary_version_of_cifar_10(tmp_path: Path) -> None:
    data = open_data(binary10(tmp_path / "cifar-10-batches-bin"))
    check10(data, ".bin")
    assert data.layout == "binary files of CIFAR-10: 10 classes, 12 train + 5 test images of 32 x 32 px"
    assert data.notes == ()


def test_the_python_version_of_cifar_10(tmp_path: Path) -> None:
    data = open_data(python10(tmp_path / "cifar-10-batches-py"))
    check10(data, "")
    assert data.layout == "Python files of CIFAR-10: 10 classes, 12 train + 5 test images of 32 x 32 px"


def test_a_folder_around_it_will_do(tmp_path: Path) -> None:
    python10(tmp_path / "cifar-10-batches-py")
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"the archive it came in")
    check10(open_data(tmp_path), "")


def test_both_versions_of_cifar_100_use_the_fine_labels(tmp_path: Path) -> None:
    pixels, coarse = rows(6, 1)
    fine = [99, 0, 42, 7, 7, 13]
    for folder in ("bin", "py"):
        (tmp_path / folder).mkdir()
    for name in ("train", "test"):
        (tmp_path / "bin" / f"{name}.bin").write_bytes(records(pixels, coarse, fine))
        batch = {b"data": pixels, b"coarse_labels": coarse, b"fine_labels": fine}
        (tmp_path / "py" / name).write_bytes(pickle.dumps(batch, protocol=2))
    (tmp_path / "bin" / "fine_label_names.txt").write_text("\n".join(FINE))
    (tmp_path / "bin" / "coarse_label_names.txt").write_text("\n".join(COARSE))
    meta = {b"fine_label_names": [n.encode() for n in FINE], b"coarse_label_names": [n.encode() for n in COARSE]}
    (tmp_path / "py" / "meta").write_bytes(pickle.dumps(meta, protocol=2))
    for folder, form in (("bin", "binary"), ("py", "Python")):
        data = open_data(tmp_path / folder)
        assert data.layout == f"{form} files of CIFAR-100: 100 classes, 6 train + 6 test images of 32 x 32 px"
        assert data.split("test").labels.tolist() == fine
        assert data.classes[42].key == "fine_42"
        assert data.split("train").image(2).flatten().tolist() == pixels[2].tolist()
        assert data.notes == (f"classes are the fine labels; the 20 coarse ones are not used: {', '.join(COARSE)}",)


def test_missing_files_are_named_or_noted(tmp_path: Path) -> None:
    root = binary10(tmp_path / "part")
    (root / "data_batch_4.bin").unlink()
    (root / "batches.meta.txt").unlink()
    data = open_data(root)
    assert len(data.split("train")) == 10
    assert [label.key for label in data.classes] == [str(i) for i in range(10)]
    assert data.notes == (
        "no file of class names was found, so classes bear their numbers",
        "only 4 of 5 training files are there",
    )
    (root / "test_batch.bin").unlink()
    with pytest.raises(BadData, match=r"part: expected test_batch\.bin among the files of CIFAR-10, found none"):
        open_data(root)


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    root = binary10(tmp_path / "cut")
    whole = (root / "data_batch_2.bin").read_bytes()
    for length in (len(whole) - 1, 0):
        (root / "data_batch_2.bin").write_bytes(whole[:length])
        with pytest.raises(BadFile, match=rf"data_batch_2\.bin: expected records of 3,073 bytes, got {length:,} bytes"):
            open_data(root)


def test_a_label_without_a_name_is_refused(tmp_path: Path) -> None:
    root = binary10(tmp_path / "labels")
    (root / "data_batch_3.bin").write_bytes(records(rows(3, 0)[0], [1, 2, 10]))
    with pytest.raises(BadFile, match=r"data_batch_3\.bin: expected labels from 0 to 9, got 10 in record 2"):
        open_data(root)
    (root / "batches.meta.txt").write_text("cat\ncat\n")
    with pytest.raises(BadFile, match=r"batches\.meta\.txt: expected class names that differ, got 'cat' twice"):
        open_data(root)


# Pickles that are not what they should be


class Hostile:
    """Unpickled by a plain reader, it makes a folder: the mark that it has run."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.mark),)


def test_a_hostile_pickle_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "it ran"
    for protocol in range(6):
        for content in (Hostile(mark), {b"data": [Hostile(mark)]}):
            (tmp_path / "p").write_bytes(pickle.dumps(content, protocol=protocol))
            with pytest.raises(
                BadFile, match=r"p: is not a readable CIFAR file \(it names posix\.mkdir, which no file"
            ):
                read_plain_pickle(tmp_path / "p")
            assert not mark.exists()
    pickle.loads((tmp_path / "p").read_bytes())
    assert mark.exists()  # the same bytes do run in a plain reader


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (b"cbuiltins\neval\n(V1\ntR.", "it names builtins.eval"),
        (b"cos\nsystem\n(Vtrue\ntR.", "it names os.system"),
        (b"cnumpy\nload\n(Vx\ntR.", "it names numpy.load"),
        (b"cnumpy\nndarray\n(I9\ntR.", "it calls what it may only mention"),
        (b"c_codecs\nencode\n(VQlpo\nVbz2\ntR.", "it encodes text other than bytes"),
        (b"cnumpy\ndtype\n(VO8\nI0\nI1\ntR.", "it holds an array of type 'O8'"),
        (b"cnumpy\ndtype\n}V__class__\nI1\nsb.", "it alters what it may only call"),
        (b"\x80\x04\x82\x01.", "unregistered extension code 1"),
        (b"Pid\n.", "unsupported persistent id encountered|persistent"),
        (b"", "Ran out of input"),
        (b"\x80\x02}q\x00(", "Ran out of input|truncated"),
    ],
)
def test_a_pickle_can_reach_nothing(tmp_path: Path, program: bytes, reason: str) -> None:
    (tmp_path / "p").write_bytes(program)
    with pytest.raises(BadFile, match=rf"p: is not a readable CIFAR file \(.*({reason})"):
        read_plain_pickle(tmp_path / "p")


def test_an_array_of_anything_but_bytes_or_of_a_false_length_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.write_bytes(pickle.dumps({b"data": np.zeros((2, 3))}, protocol=2))
    with pytest.raises(BadFile, match="it holds an array of type 'f8'"):
        read_plain_pickle(path)
    sound = pickle.dumps({b"data": np.zeros((2, 3), np.uint8)}, protocol=2)
    assert sound.count(b"K\x02K\x03\x86") == 1
    path.write_bytes(sound.replace(b"K\x02K\x03\x86", b"K\xffK\xff\x86"))
    with pytest.raises(BadFile, match=r"it claims \(255, 255\) for an array of 6 bytes"):
        read_plain_pickle(path)


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_come_out_as_they_went_in(tmp_path: Path, order: str) -> None:
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    stored = np.asfortranarray(array) if order == "F" else array
    (tmp_path / "p").write_bytes(pickle.dumps({"data": stored}, protocol=2))
    assert read_plain_pickle(tmp_path / "p")["data"].tolist() == array.tolist()


def test_the_official_files_of_python_2_are_read(tmp_path: Path) -> None:
    """As Python 2 and NumPy 1 wrote them: byte strings, and numpy.core where NumPy 2 has numpy._core."""
    program = (
        b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b"
        b"\x87Rq\x05(K\x01K\x01K\x04\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07(K\x03U\x01|NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tb\x89U\x04\x00\x80\xff\x07tbU\x06labelsq\x08]q\t(K\x06K\teu."
    )
    (tmp_path / "p").write_bytes(program)
    content = read_plain_pickle(tmp_path / "p")
    assert content[b"data"].tolist() == [[0, 128, 255, 7]]
    assert content[b"labels"] == [6, 9]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({b"data": [1, 2]}, "expected an array 'data' of 3,072 columns, found none"),
        ({b"data": np.zeros((4, 3), np.uint8)}, "expected an array 'data' of 3,072 columns"),
        ({b"labels": [1, 2]}, "expected a list 'labels' of 4 small numbers, found none"),
        ({b"labels": [1, 2, 3, "4"]}, "expected a list 'labels' of 4 small numbers"),
        ({b"labels": [1, 2, 3, 10**30]}, "expected a list 'labels' of 4 small numbers"),
        ({b"labels": [1, 2, 3, 11]}, "expected labels from 0 to 9, got 11 in record 3"),
    ],
)
def test_a_batch_of_the_wrong_form_is_refused(tmp_path: Path, change: dict[bytes, object], message: str) -> None:
    root = python10(tmp_path / "odd")
    pixels, labels = rows(4, 1)
    (root / "data_batch_1").write_bytes(pickle.dumps({b"data": pixels, b"labels": labels, **change}, protocol=2))
    with pytest.raises(BadFile, match=f"data_batch_1: {message}"):
        open_data(root)


def test_a_pickle_that_is_no_dictionary_is_refused(tmp_path: Path) -> None:
    root = python10(tmp_path / "odd")
    (root / "batches.meta").write_bytes(pickle.dumps([1, 2], protocol=2))
    with pytest.raises(BadFile, match=r"batches\.meta: expected a pickled dictionary, got a list"):
        open_data(root)
    (root / "batches.meta").write_bytes(pickle.dumps({b"label_names": [1, 2]}, protocol=2))
    with pytest.raises(BadFile, match=r"batches\.meta: expected a list of class names, got something else"):
        open_data(root)
    (root / "batches.meta").write_bytes(pickle.dumps(collections.OrderedDict(), protocol=2))
    with pytest.raises(BadFile, match=r"it names collections\.OrderedDict"):
        open_data(root)
