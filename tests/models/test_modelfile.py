"""Model files: what is saved is loaded, whatever is damaged is named, and nothing in them is ever executed."""

import errno
import hashlib
import json
import os
import pickle
import struct
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from topfive import files
from topfive.data.geometry import Geometry
from topfive.data.imageset import ClassLabel, ImageSet, Split
from topfive.errors import BadData, BadFile, Misused, UnknownName
from topfive.models import modelfile
from topfive.models.modelfile import Model, find, load, save
from topfive.models.zoo import build

CLASSES = tuple(ClassLabel(f"n{i:08d}", "crane" if i in (1, 4) else f"name {i} é") for i in range(7))
NAMES = {label.key: label.name for label in CLASSES}
ENTRIES = ("pixels_linear", "mlp", "hog_svm", "lenet5", "cifar_resnet20", "resnet18_b_small")


def make(
    entry: str = "pixels_linear", classes: tuple[ClassLabel, ...] = CLASSES, seed: int = 0, **arguments: Any
) -> Model:
    torch.manual_seed(seed)
    classifier = build(entry, len(classes), **arguments)
    for weights in classifier.parameters():
        if not weights.any():
            nn.init.normal_(weights)  # where a builder begins at 0
    return Model(
        entry, arguments, classes, Geometry(36, arguments.get("image", 32), "bicubic"), classifier,
        recipe={"source": "ours", "stage": [{"kind": "sgd", "epochs": 1.5}]}, data={"name": "my photos", "images": 12},
        figures={"top1_error": 0.25}, versions={"torch": "2"}, external_data=True,
    )  # fmt: skip


def some_images(side: int = 32) -> torch.Tensor:
    return torch.rand(5, 3, side, side, generator=torch.Generator().manual_seed(1))


def rewritten(path: Path, change: Any = None, drop_header: bool = False, **tensors: torch.Tensor | None) -> Path:
    """The file again with its document changed, or some tensors replaced or (None) removed."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        document = json.loads(json.loads(file.read(length))["__metadata__"]["topfive"])
    held = {name: tensor for name, tensor in (load_file(path) | tensors).items() if tensor is not None}
    text = change if isinstance(change, str) else json.dumps(document if change is None else change(document))
    save_file(held, path, metadata=None if drop_header else {"topfive": text})
    return path


# There and back


@pytest.mark.parametrize("entry", ENTRIES)
def test_what_is_saved_is_loaded(tmp_path: Path, entry: str) -> None:
    model = make(entry)
    loaded = load(save(model, tmp_path / "model.safetensors"))
    assert loaded.to_header() == model.to_header()
    assert (loaded.classes, loaded.geometry, loaded.external_data) == (CLASSES, Geometry(36, 32, "bicubic"), True)
    assert torch.equal(loaded.scores(some_images()), model.scores(some_images()))
    assert not loaded.classifier.training
    assert os.listdir(tmp_path) == ["model.safetensors"]


def test_arguments_and_a_mean_image_come_back(tmp_path: Path) -> None:
    model = make("pixels_linear", image=16)
    model.classifier.normalize.set_values(torch.rand(3, 16, 16), torch.full((3, 1, 1), 0.3))
    loaded = load(save(model, tmp_path / "m.safetensors"))
    assert loaded.arguments == {"image": 16}
    assert torch.equal(loaded.scores(some_images(16)), model.scores(some_images(16)))


def test_the_file_is_plain_safetensors_with_one_json_document(tmp_path: Path) -> None:
    model = make()
    path = save(model, tmp_path / "m.safetensors")
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])  # the format's own words: u64, JSON, bytes
    header = json.loads(content[8 : 8 + length])
    document = json.loads(header["__metadata__"]["topfive"])
    assert (document["format"], document["entry"], document["figures"]) == (1, "pixels_linear", {"top1_error": 0.25})
    assert document["classes"][1] == {"key": "n00000001", "name": "crane"}
    state = model.classifier.state_dict()
    assert set(header) - {"__metadata__"} == set(state)
    begin, end = header["classifier.bias"]["data_offsets"]
    stored = np.frombuffer(content[8 + length :][begin:end], "<f4")
    assert stored.tolist() == state["classifier.bias"].tolist()
    assert load(path).sha256 == hashlib.sha256(content).hexdigest()


def test_loading_draws_nothing(tmp_path: Path) -> None:
    """The generator of the caller stays where it was, and every tensor is the file's, what is not in it included."""
    for entry in ("lenet5", "alexnet_small", "cifar_resnet20", "facenet_nn2_small", "sift_bow_2009_small"):
        model = make(entry)
        path = save(model, tmp_path / f"{entry}.safetensors")
        before = torch.get_rng_state()
        loaded = load(path)
        assert torch.equal(torch.get_rng_state(), before)
        assert torch.equal(loaded.scores(some_images()), model.scores(some_images()))


def test_a_run_folder_stands_for_the_model_in_it(tmp_path: Path) -> None:
    save(make(), tmp_path / "run" / "model.safetensors")
    assert find(tmp_path / "run") == find(str(tmp_path / "run" / "model.safetensors"))
    assert load(tmp_path / "run").entry == "pixels_linear"


@pytest.mark.parametrize("place", ["missing.safetensors", "empty"])
def test_where_there_is_none_it_says_so(tmp_path: Path, place: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        UnknownName, match=f"{place}: expected a model file or a run folder with model.safetensors, found"
    ):
        load(tmp_path / place)


def test_a_run_that_was_stopped_is_to_be_finished(tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoint").mkdir(parents=True)
    with pytest.raises(UnknownName, match=r"run: .* found none; finish its training with topfive train --resume"):
        load(tmp_path / "run")


# Damage


@pytest.mark.parametrize("share", [0, 0.00001, 0.001, 0.01, 0.3, 0.99, 0.999999])
def test_a_file_cut_short_is_refused(tmp_path: Path, share: float) -> None:
    path = save(make(), tmp_path / "m.safetensors")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(BadFile, match=r"m\.safetensors: is not a whole model file of topfive \(.+\); copy or"):
        load(path)


@pytest.mark.parametrize("zeroed", [slice(0, 8), slice(0, 512), slice(8, 512), slice(0, None)])
def test_zeros_in_place_of_the_header_are_refused(tmp_path: Path, zeroed: slice) -> None:
    path = save(make(), tmp_path / "m.safetensors")
    content = bytearray(path.read_bytes())
    content[zeroed] = bytes(len(content[zeroed]))
    path.write_bytes(content)
    with pytest.raises(BadFile, match=r"m\.safetensors: is not a whole model file"):
        load(path)


class Bomb:
    """What a pickle can do to who opens it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("packed", [pickle.dumps, None])
def test_a_pickle_under_another_name_is_refused_and_not_executed(tmp_path: Path, packed: Any) -> None:
    path, mark = tmp_path / "m.safetensors", tmp_path / "was executed"
    if packed:
        path.write_bytes(packed(Bomb(mark)))
    else:
        torch.save(Bomb(mark), path)
    with pytest.raises(BadFile, match=r"m\.safetensors: is not a whole model file"):
        load(path)
    assert not mark.exists()
    if packed:
        pickle.loads(path.read_bytes())
        assert mark.exists()  # it would have gone off


def test_a_safetensors_file_of_another_program_is_refused(tmp_path: Path) -> None:
    path = save(make(), tmp_path / "m.safetensors")
    with pytest.raises(BadFile, match=r"m\.safetensors: is not a whole model file of topfive .*no header of topfive's"):
        load(rewritten(path, drop_header=True))
    save_file({"a": torch.zeros(1)}, path, metadata={"format": "pt"})
    with pytest.raises(BadFile, match=r"m\.safetensors: is not a whole model file of topfive .*no header of topfive's"):
        load(path)


HEADER_KEYS = ["format", "entry", "arguments", "classes", "geometry", "recipe", "data", "figures", "versions"]
HEADER_KEYS += ["external_data"]


def without(key: str) -> Any:
    return lambda document: {name: value for name, value in document.items() if name != key}


def with_(**values: Any) -> Any:
    return lambda document: document | values


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_(format=2), "expected format 1, got 2; use the topfive that wrote it"),
        (with_(format="1"), "expected format 1, got 1"),
        (with_(entry="alexnett"), "cannot use .there is no entry named 'alexnett' .did you mean alexnet"),
        (with_(entry=["mlp"]), "broken header or tensors that do not fit it"),
        (with_(arguments={"deep": 3}), "cannot use .pixels_linear has no argument 'deep'"),
        (with_(arguments={"image": 4}), "cannot use .pixels_linear: image must be 8 to 256 px, got 4"),
        (with_(arguments=None), "broken header or tensors that do not fit it"),
        (with_(geometry={"resize_short": 20, "crop": 0}), "geometry: expected crop and resize_short above 0"),
        (with_(geometry={"crop": 32}), "broken header or tensors that do not fit it .*resize_short"),
        (with_(geometry={"resize_short": "a", "crop": "b"}), "broken header or tensors that do not fit it"),
        (with_(classes=[]), "cannot use .pixels_linear: classes must be a number of at least 2, got 0"),
        (with_(classes=["a", "b"]), "broken header or tensors that do not fit it"),
        (with_(classes=5), "broken header or tensors that do not fit it"),
        (with_(classes=[{"key": f"n{i}", "name": ""} for i in range(6)]), "do not fit it .*PixelsLinear"),
        (with_(classes=[{"key": "n1", "name": ""}] * 7), "7 classes of which 'n1' stands more than once"),
        *[(without(key), f"broken header or tensors that do not fit it .no key '{key}'.; copy") for key in HEADER_KEYS],
        ("[1, 2]", "broken header"),
        ("null", "broken header"),
        ("{", "broken header"),
        ("", "broken header"),
    ],
)  # fmt: skip
def test_a_header_that_cannot_be_used_is_named(tmp_path: Path, change: Any, message: str) -> None:
    path = save(make(), tmp_path / "m.safetensors")
    with pytest.raises(BadFile, match=rf"m\.safetensors: .*{message}"):
        load(rewritten(path, change))


@pytest.mark.parametrize(
    "tensors",
    [
        {"classifier.bias": None},
        {"classifier.weight": torch.zeros(7, 12)},
        {"classifier.bias": torch.zeros(8)},
        {"more": torch.zeros(1)},
        {"normalize.mean": torch.zeros(1, 1, 1)},
    ],
    ids=["one missing", "one of another shape", "one too long", "one too many", "a mean of one channel"],
)
def test_tensors_that_do_not_fit_are_refused(tmp_path: Path, tensors: dict[str, torch.Tensor | None]) -> None:
    path = save(make(), tmp_path / "m.safetensors")
    with pytest.raises(BadFile, match=r"broken header or tensors that do not fit it \(Error.* PixelsLinear"):
        load(rewritten(path, **tensors))


# A disk that fails


def test_a_full_disk_while_saving_leaves_the_old_model_whole(
    tmp_path: Path, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    path = save(make(), tmp_path / "m.safetensors")
    before = path.read_bytes()
    for left in (0, 100, 5_000, len(before) - 1):
        with full_disk(left), pytest.raises(BadFile, match=r"m\.safetensors: could not be written .*; free some space"):
            save(make(seed=1), path)
        assert (path.read_bytes(), os.listdir(tmp_path)) == (before, ["m.safetensors"])
    with full_disk(len(before)):
        save(make(seed=1), path)
    assert path.read_bytes() != before


def test_a_flush_that_fails_leaves_the_old_model_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = save(make(), tmp_path / "m.safetensors")
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(BadFile, match=r"m\.safetensors: could not be written \(No space left on device\)"):
        save(make(seed=1), path)
    assert (path.read_bytes(), os.listdir(tmp_path)) == (before, ["m.safetensors"])


# Predicting


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def by_hand(model: Model, image: np.ndarray, top: int) -> list[tuple[str, float]]:
    """Pillow's resize, a matrix product, exp and sort: no line of ours."""
    height, width = image.shape[:2]
    short, crop = 36, 32
    size = (round(width * short / min(height, width)), round(height * short / min(height, width)))
    left, top_ = (size[0] - crop) // 2, (size[1] - crop) // 2
    square = Image.fromarray(image).convert("RGB").resize(size, Image.Resampling.BICUBIC)
    pixels = np.asarray(square.crop((left, top_, left + crop, top_ + crop)), dtype=np.float64) / 255
    state = model.classifier.state_dict()
    weight, bias = state["classifier.weight"].double().numpy(), state["classifier.bias"].double().numpy()
    scores = weight @ pixels.transpose(2, 0, 1).ravel() + bias
    probs = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    return [(model.classes[index].key, probs[index]) for index in np.argsort(-probs)[:top]]


@pytest.mark.parametrize("top", [1, 5])
def test_predictions_are_those_worked_out_by_hand(tmp_path: Path, top: int) -> None:
    model = make()
    with torch.no_grad():
        model.classifier.classifier.weight /= 50
    images = [noise(40, 50, 3, seed=1), noise(90, 36, 3, seed=2), noise(36, 36, seed=3), noise(33, 70, 1, seed=4)]
    paths = []
    for index, image in enumerate(images):
        Image.fromarray(image.squeeze()).save(tmp_path / f"{index}.png")
        paths.append(tmp_path / f"{index}.png")
    found = model.predict(images, top)
    for image, guesses in zip(images, found, strict=True):
        expected = by_hand(model, image.squeeze(), top)
        assert [guess.key for guess in guesses] == [key for key, _ in expected]
        assert [guess.probability for guess in guesses] == pytest.approx([prob for _, prob in expected], rel=1e-4)
        assert [guess.name for guess in guesses] == [NAMES[key] for key, _ in expected]
    assert model.predict(paths, top) == found
    assert model.predict([str(path) for path in paths], top) == found
    assert model.predict([paths[0], images[1]], top) == found[:2]


def test_an_array_is_only_read() -> None:
    image = noise(40, 60, 3)
    image.setflags(write=False)  # to write into it raises
    before = image.copy()
    make().predict([image])
    assert (image == before).all()


def test_more_names_than_classes_are_all_the_classes() -> None:
    (guesses,) = make().predict([noise(40, 40, 3)], top=50)
    assert sorted(guess.key for guess in guesses) == [label.key for label in CLASSES]
    assert sum(guess.probability for guess in guesses) == pytest.approx(1)
    probs = [guess.probability for guess in guesses]
    assert probs == sorted(probs, reverse=True)


def test_no_images_have_no_names() -> None:
    assert make().predict([]) == []


def test_predicting_in_batches_changes_nothing() -> None:
    model, images = make(), [noise(32 + i % 5, 40, 3, seed=i) for i in range(70)]
    many = model.predict(images, top=3)
    for image, guesses in zip(images, many, strict=True):
        (alone,) = model.predict([image], top=3)
        assert [guess.key for guess in alone] == [guess.key for guess in guesses]


@pytest.mark.parametrize(
    ("wrong", "got"),
    [
        (noise(20, 20, 3).astype(np.float32), r"float32 \(20, 20, 3\)"),
        (noise(20, 20, 3).astype(np.int64), r"int64 \(20, 20, 3\)"),
        (noise(20, 20, 4), r"uint8 \(20, 20, 4\)"),
        (noise(2, 20, 20, 3), r"uint8 \(2, 20, 20, 3\)"),
        (noise(20), r"uint8 \(20,\)"),
        (noise(0, 20, 3), r"uint8 \(0, 20, 3\)"),
    ],
)
def test_an_array_that_is_no_image_is_refused(wrong: np.ndarray, got: str) -> None:
    with pytest.raises(Misused, match=rf"predict: expected a uint8 array \(H, W, 3\) or \(H, W\).*, got {got}; conv"):
        make().predict([noise(20, 20, 3), wrong])


@pytest.mark.parametrize("top", [0, -1])
def test_fewer_than_one_name_is_refused(top: int) -> None:
    with pytest.raises(Misused, match=f"predict: expected top of at least 1, got {top}"):
        make().predict([noise(20, 20, 3)], top=top)


def test_a_path_that_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("hello")
    with pytest.raises(BadFile, match=r"a\.jpg: is not a readable image"):
        make().predict([tmp_path / "a.jpg"])
    with pytest.raises(BadFile, match=r"b\.jpg: expected an image, could not read the file"):
        make().predict([tmp_path / "b.jpg"])


# Matching classes


def image_set(*keys: str) -> ImageSet:
    split = Split(("a#0",), torch.tensor([0]), pixels=torch.zeros(1, 1, 8, 8, dtype=torch.uint8))
    return ImageSet("mine", "", tuple(ClassLabel(key, key) for key in keys), {"test": split})


def test_classes_are_matched_by_key_in_any_order() -> None:
    keys = [label.key for label in CLASSES]
    assert make().align(image_set(*keys)).tolist() == list(range(7))
    shuffled = [keys[i] for i in (3, 0, 6, 1, 5, 2, 4)]
    assert make().align(image_set(*shuffled)).tolist() == [3, 0, 6, 1, 5, 2, 4]


def test_a_class_that_only_one_side_knows_is_named() -> None:
    keys = [label.key for label in CLASSES]
    with pytest.raises(
        BadData, match=r"mine: expected the 7 classes .*pixels_linear.* the model does not know 'zebra'; "
    ):
        make().align(image_set(*keys[:-1], "zebra"))
    with pytest.raises(
        BadData, match=r"mine: .* the model also knows 'n00000002', 'n00000003'; give the class folders"
    ):
        make().align(image_set(*keys[:2], *keys[4:]))
    with pytest.raises(BadData, match=r"does not know 'a0', 'a1', 'a2', 'a3', 'a4' \.\.\.; give"):
        make().align(image_set(*keys, *(f"a{i}" for i in range(6))))


def test_format_is_the_one_that_is_documented() -> None:
    assert (modelfile.FORMAT, files.HEADER, modelfile.FILE_NAME) == (1, "topfive", "model.safetensors")
