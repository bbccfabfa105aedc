"""Dense evaluation from images to figures: what is seen, what is averaged, what it costs."""

import dataclasses
import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from slow_judge import BROKEN, KEYS, photos
from typer.testing import CliRunner

from topfive.cli.app import app
from topfive.data import ClassLabel, ImageSet, Split
from topfive.data.dense import Dense
from topfive.data.geometry import Geometry, to_images
from topfive.errors import Misused
from topfive.evaluation import judge, load_scores, score
from topfive.evaluation.ensemble import average
from topfive.evaluation.table import table, to_text
from topfive.models.modelfile import Model, save
from topfive.models.zoo import build


def net(name: str = "cifar10_cuda_convnet", seed: int = 0, side: int = 32) -> Model:
    """An entry with drawn weights, on crops of `side` px out of 37 where it is 32."""
    torch.manual_seed(seed)
    classes = tuple(ClassLabel(key, key.split("/")[-1]) for key in KEYS)
    geometry = Geometry(round(side * 256 / 224), side)
    return Model(name, {"image": side}, classes, geometry, build(name, len(KEYS), image=side).eval())


@pytest.mark.parametrize("name", ["cifar10_cuda_convnet", "cifar_resnet20"])  # fully connected; in steps of 4 px
def test_images_are_scored_as_one_at_a_time_would_be(tmp_path: Path, name: str) -> None:
    """Every image by Pillow at each side; then the mean of the probabilities over sides and mirror images."""
    data, model, dense = photos(tmp_path), net(name), Dense((256, 320))
    found = score(model, data, crops=dense, batch_size=7, apart=True)
    split, step = data.split("val"), model.classifier.multiple_of
    pixels = []
    for row in range(len(split)):
        if split.ids[row] in BROKEN:
            assert found.scores[row].isnan().all()
            continue
        assert split.paths is not None
        picture = Image.open(split.paths[row]).convert("RGB")
        slow = []
        for short in (37, 46):
            ratio = short / min(picture.size)
            width, height = (round(length * ratio) for length in picture.size)
            whole = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))
            top, left = (height % step) // 2, (width % step) // 2
            whole = whole[top : top + height // step * step, left : left + width // step * step]
            pixels.append(whole.shape[0] * whole.shape[1])
            slow += [model.classifier.dense(to_images(view[None].copy())) for view in (whole, whole[:, ::-1])]
        slow_scores = torch.cat(slow).detach()
        torch.testing.assert_close(found.scores[row], slow_scores, rtol=0, atol=1e-5)
        torch.testing.assert_close(found.probabilities[row], slow_scores.double().softmax(1).mean(0), rtol=0, atol=1e-6)
    assert (found.scores.shape[1], found.crops, found.seen, found.kind) == (4, 4, "dense@256+320", "logits")
    assert found.cost == pytest.approx(4 * np.mean(pixels) / 32**2)  # the images' mean, two views a side
    assert [image.id for image in found.broken] == list(BROKEN)

    whole_scores = score(model, data, crops=dense)
    assert (whole_scores.scores.shape[1], whole_scores.kind) == (1, "log-probabilities")
    torch.testing.assert_close(whole_scores.averaged, found.averaged, rtol=0, atol=1e-5, equal_nan=True)
    kept = load_scores(whole_scores.save(tmp_path / "s.safetensors"))
    assert (kept.seen, kept.cost) == ("dense@256+320", pytest.approx(found.cost))
    report = judge(kept)
    assert (report.document["crops"], report.document["evaluated"]) == ("dense@256+320", 40)
    assert "40 of 40 images, dense@256+320 with mirror images, averaged over positions" in report.to_text()


def test_an_image_of_the_crop_s_size_scores_as_its_crop_and_mirror_image() -> None:
    pixels = torch.randint(0, 256, (9, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    split = Split(tuple(f"f#{index}" for index in range(9)), torch.arange(9) % 8, pixels=pixels)
    data = ImageSet("mine", "", tuple(ClassLabel(key, key) for key in KEYS), {"test": split})
    model = net()
    found = score(model, data, crops=Dense((224,)), batch_size=4)
    images = pixels.float() / 255
    both = (model.scores(images).double().softmax(1) + model.scores(images.flip(3)).double().softmax(1)) / 2
    torch.testing.assert_close(found.probabilities, both, rtol=0, atol=1e-6)
    assert found.cost == 2


def test_a_model_that_cannot_slide_is_refused_by_name_before_any_other_is_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, whole = photos(tmp_path), net("mlp", side=8)
    message = "--crops: mlp has no dense form, it scores a crop of 8 px as a whole; give 1, 5, 10 or 144"
    with pytest.raises(Misused, match=message):
        score(whole, data, crops=Dense())
    bordered = dataclasses.replace(net(), geometry=Geometry(28, 32))
    with pytest.raises(Misused, match=r"--crops: cifar10_cuda_convnet sees images in a border, .*; give 1"):
        score(bordered, data, crops=Dense())
    monkeypatch.setattr("topfive.evaluation.kept.score", lambda *_: 1 / 0)
    with pytest.raises(Misused, match=message):
        table([net(), whole], data, None, ["1", Dense()])


def test_the_mirror_images_of_characters_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = dataclasses.replace(photos(tmp_path, broken=()), mirror=False)
    with caplog.at_level(logging.WARNING):
        score(net(), data, crops=Dense())
    assert "mirror images of characters are other characters" in caplog.text


def test_the_table_counts_pixels_and_keeps_each_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, models = photos(tmp_path), [net(seed=seed) for seed in range(2)]
    for seed, model in enumerate(models):
        model.sha256 = f"{seed}"
    protocols = ["10", Dense((256, 288))]
    rows = table(models, data, None, protocols, tmp_path / "kept")
    assert [(row.models, row.crops) for row in rows] == [
        ((1,), 10), ((1,), "dense@256+288"), ((1, 2), 10), ((1, 2), "dense@256+288"),
    ]  # fmt: skip
    cost = score(models[0], data, crops=protocols[1]).cost
    assert 4 * 37 * 37 / 32**2 < cost < 16 * 41 * 41 / 32**2  # no image is more than four times as long as wide
    assert [row.cost for row in rows] == [10, pytest.approx(cost), 20, pytest.approx(2 * cost)]
    text = to_text(rows, ["a", "b"]).splitlines()
    assert text[2].split()[:3] == ["1", "dense@256+288", f"{cost:.1f}"]
    assert text[0].index("cost") + len("cost") == text[2].index(f"{cost:.1f}") + len(f"{cost:.1f}")  # columns end alike
    assert text[-2] == "cost of dense: pixels of the whole images over those of a crop"
    monkeypatch.setattr("topfive.evaluation.kept.score", lambda *_: 1 / 0)
    again = table(models, data, None, protocols, tmp_path / "kept")
    assert [row._replace(report=None) for row in again] == [row._replace(report=None) for row in rows]


def test_an_ensemble_notes_what_its_costliest_model_saw(tmp_path: Path) -> None:
    data = photos(tmp_path, broken=())
    one, ten, dense = (score(net(), data, crops=crops) for crops in ("1", "10", Dense((512, 640))))
    assert dense.cost > 10
    assert average([one, dense, ten]).seen == "dense@512+640"
    assert average([one, ten]).seen == 10


def test_dense_on_the_command_line(tmp_path: Path) -> None:
    photos(tmp_path)
    file = save(net(), tmp_path / "net.safetensors")
    asked = ["evaluate", str(file), str(tmp_path / "photos"), "--crops", "dense@256+384", "--json"]
    answer = CliRunner().invoke(app, asked)
    assert answer.exit_code == 0
    assert json.loads(answer.stdout)["crops"] == "dense@256+384"
