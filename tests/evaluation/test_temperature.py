"""The temperature: which images fit it, what it changes, and what it leaves as it was."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from slow_judge import linear, photos
from torch import nn

from topfive.data import ClassLabel, ImageSet
from topfive.data.draws import choosing
from topfive.data.imageset import Split, subset
from topfive.errors import BadData, BadFile, Misused
from topfive.evaluation import Scores, evaluate, load_scores, score
from topfive.evaluation.calibration import calibration
from topfive.evaluation.ensemble import average
from topfive.evaluation.scores import marked
from topfive.evaluation.temperature import calibrate
from topfive.files import write_tensors
from topfive.models.modelfile import Model, load, save

LOSS = nn.functional.cross_entropy


def sharp() -> Model:
    """The drawn classifier, ten times too sure."""
    model = linear()
    with torch.no_grad():
        for values in model.classifier.classifier.parameters():
            values *= 10
    return model


def learnt(tmp_path: Path) -> ImageSet:
    """Photos of which two in three have the class that the drawn classifier gives them."""
    data = photos(tmp_path)
    split, best = data.split("val"), score(linear(), data).averaged.nan_to_num().argmax(1)
    labels = torch.where(torch.arange(len(split)) % 3 > 0, best, split.labels)
    data.splits["val"] = replace(split, labels=labels)
    return replace(data)


def test_half_of_the_judged_images_fits_it_and_the_other_half_judges_it(tmp_path: Path) -> None:
    data, file = learnt(tmp_path), save(sharp(), tmp_path / "m.safetensors")
    before = score(load(file), data)
    report = evaluate(file, data).document
    found = calibrate(file, data)
    rows = torch.from_numpy(choosing(before.ids)) & ~before.averaged.isnan().any(1)
    assert 10 < int(rows.sum()) == found["images"] < 30
    assert (found["split"], found["half"], found["data"]) == ("val", True, data.manifest)
    # nothing near it is likelier on the fitting half
    logits, labels = before.averaged[rows].double(), before.labels[rows]
    losses = [float(LOSS(logits / (found["temperature"] * factor), labels)) for factor in (1, 0.97, 1.03)]
    assert losses[0] == min(losses)
    assert 1.5 < found["temperature"] < 90
    after = evaluate(file, data)
    changed = {"calibration", "model"}
    assert {k: v for k, v in after.document.items() if k not in changed} == {
        k: v for k, v in report.items() if k not in changed
    }
    rest = ~torch.from_numpy(choosing(before.ids)) & ~before.averaged.isnan().any(1)
    expected = calibration((before.averaged[rest].double() / found["temperature"]).softmax(1), before.labels[rest])
    assert after.document["calibration"]["nll"] == pytest.approx(expected.nll)
    assert after.document["calibration"]["images"] == int(rest.sum())
    assert f"at temperature {found['temperature']:.3g}: calibration error " in after.to_text()
    assert f", on {int(rest.sum())} images that can be read and did not fit it" in after.to_text()


def test_it_is_kept_in_the_model_file_and_used_by_predict(tmp_path: Path) -> None:
    data, file = photos(tmp_path), save(sharp(), tmp_path / "m.safetensors")
    image = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    weights = load(file).classifier.state_dict()
    [before] = load(file).predict([image], top=8)
    temperature = calibrate(file, data)["temperature"]
    again = load(file)
    assert again.temperature == temperature
    assert all(torch.equal(value, weights[name]) for name, value in again.classifier.state_dict().items())
    [after] = again.predict([image], top=8)
    assert [guess.key for guess in after] == [guess.key for guess in before]
    flatter = np.array([guess.probability for guess in before]) ** (1 / temperature)
    np.testing.assert_allclose([guess.probability for guess in after], flatter / flatter.sum(), rtol=1e-3)
    assert calibrate(file, data)["temperature"] == pytest.approx(temperature)  # on the scores as they were
    scores = score(load(file), data)
    assert load_scores(scores.save(tmp_path / "s.safetensors")).calibration == scores.calibration != {}
    assert average([scores, scores]).temperature == 1


def test_of_val_beside_test_all_images_fit_it_and_test_is_judged_whole(tmp_path: Path) -> None:
    data, file = photos(tmp_path, broken=()), save(sharp(), tmp_path / "m.safetensors")
    data.splits["test"] = data.splits["train"]
    found = calibrate(file, data)
    assert (found["split"], found["half"], found["images"]) == ("val", False, 40)
    assert evaluate(file, data).document["calibration"]["images"] == 8
    assert evaluate(file, data, "val").document["calibration"] is None
    few, test = subset(data.split("val"), list(range(0, 40, 2))), data.split("test")
    mixed = Split(test.ids + few.ids, torch.cat([test.labels, few.labels]), paths=(*test.paths, *few.paths))
    other = ImageSet("other", data.layout, data.classes, {"train": test, "val": mixed})  # with images that fitted it
    known = evaluate(file, other).document["calibration"]
    assert (known["images"], known["temperature"]) == (8, found["temperature"])


def test_what_trains_or_is_too_little_is_refused(tmp_path: Path) -> None:
    data, file = photos(tmp_path), save(sharp(), tmp_path / "m.safetensors")
    before = file.read_bytes()
    with pytest.raises(Misused, match="expected a split that did not train, got train"):
        calibrate(file, data, "train")
    data.splits["test"] = data.splits["train"]
    with pytest.raises(BadData, match=r"an image for each of 8 classes .* found \d in half of test; add images"):
        calibrate(file, data, "test")
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "broken",
    [{"temperature": 0.0}, {"temperature": -1}, {"temperature": "warm"}, ["warm"], {"fitted": "abc"}, {"fitted": 3}],
)
def test_files_of_before_have_none_and_broken_ones_are_refused(tmp_path: Path, broken: object) -> None:
    model = linear()
    document = model.to_header()
    for name, kept in (("old", None), ("new", broken)):
        del document["calibration"]
        if kept is not None:
            document["calibration"] = kept
        write_tensors(tmp_path / f"{name}.safetensors", model.classifier.state_dict(), document)
        document.setdefault("calibration", {})
    assert load(tmp_path / "old.safetensors").temperature == 1
    with pytest.raises(BadFile, match="broken header"):
        load(tmp_path / "new.safetensors")


def test_the_choosing_half_follows_from_each_id_alone() -> None:
    ids = [f"val/{number}.png" for number in range(2000)]
    half = choosing(ids)
    assert 900 < half.sum() < 1100
    assert choosing(ids[::-1]).tolist() == half[::-1].tolist()
    assert choosing(ids[7:8]).tolist() == [half[7]]


def test_images_that_fitted_judge_nothing_in_whatever_set_they_are_met() -> None:
    ids = tuple(f"{index}.png" for index in range(60))
    classes = tuple(ClassLabel(key, key) for key in "abc")
    scores = Scores("mlp", "test", torch.rand(60, 1, 3), torch.arange(60) % 3, ids, classes, "logits", data="after")
    fitted = {"temperature": 2.0, "data": "before", "split": "val", "fitted": marked([*ids[20:40], "gone.png"])}
    assert replace(scores, calibration=fitted).unfitted.tolist() == [True] * 20 + [False] * 20 + [True] * 20
    assert scores.unfitted.all()
    del fitted["fitted"]  # as files of before are
    assert not replace(scores, calibration=fitted).unfitted.any()
