"""The readers on real sets: TOPFIVE_DATA names a folder that holds caltech20/ and cifar-10-batches-bin/."""

from collections.abc import Callable
from pathlib import Path

import pytest

from topfive.data import find_broken, open_data
from topfive.data.decode import shape

RealData = Callable[[str], Path]


def test_caltech20_is_whole(real_data: RealData) -> None:
    data = open_data(real_data("caltech20"))
    assert data.layout == "class folders with train/ and val/: 20 classes, 600 + 300 images"
    val = data.split("val")
    assert val.labels.bincount().tolist() == [15] * 20
    assert find_broken(val) == []
    assert val.paths is not None
    for index in range(0, 300, 30):
        assert shape(val.paths[index]) == tuple(val.image(index).shape[1:])
        assert val.ids[index].split("/")[1] == data.classes[int(val.labels[index])].key


def test_cifar_10_is_whole(real_data: RealData) -> None:
    data = open_data(real_data("cifar-10-batches-bin"))
    train = data.split("train")
    assert [label.key for label in data.classes][:3] == ["airplane", "automobile", "bird"]
    assert train.labels.bincount().tolist() == [5000] * 10
    assert train.pixels is not None
    means = train.pixels[::10].double().mean((0, 2, 3)) / 255
    assert means.tolist() == pytest.approx([0.4914, 0.4822, 0.4465], abs=0.005)  # the channel means everyone publishes
