"""The readers on real sets: TOPFIVE_DATA names a folder that holds caltech20/ and cifar-10-batches-bin/."""

import os
from pathlib import Path

import pytest

from topfive.data import find_broken, open_data
from topfive.data.decode import shape


def real(name: str) -> Path:
    folder = os.environ.get("TOPFIVE_DATA")
    if not folder:
        pytest.skip("TOPFIVE_DATA is not set: it names the folder of real image sets")
    if not (Path(folder) / name).is_dir():
        pytest.skip(f"TOPFIVE_DATA holds no {name}/")
    return Path(folder) / name


def test_caltech20_is_whole() -> None:
    data = open_data(real("caltech20"))
    assert data.layout == "class folders with train/ and val/: 20 classes, 600 + 300 images"
    val = data.split("val")
    assert val.labels.bincount().tolist() == [15] * 20
    assert find_broken(val) == []
    assert val.paths is not None
    for index in range(0, 300, 30):
        assert shape(val.paths[index]) == tuple(val.image(index).shape[1:])
        assert val.ids[index].split("/")[1] == data.classes[int(val.labels[index])].key


def test_cifar_10_is_whole() -> None:
    data = open_data(real("cifar-10-batches-bin"))
    train = data.split("train")
    assert [label.key for label in data.classes][:3] == ["airplane", "automobile", "bird"]
    assert train.labels.bincount().tolist() == [5000] * 10
    assert train.pixels is not None
    means = train.pixels[::10].double().mean((0, 2, 3)) / 255
    assert means.tolist() == pytest.approx([0.4914, 0.4822, 0.4465], abs=0.005)  # the channel means everyone publishes
