"""Scores files: every image once, in the split's order, and every figure computed again from the file."""

import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from slow_judge import BROKEN, IMAGES, KEYS, error, linear, photos, slow

from topfive.data import ClassLabel, Split
from topfive.data.crops import Crops, cut
from topfive.data.decode import decode
from topfive.data.geometry import Geometry, to_images, to_pixels
from topfive.data.imageset import Broken, ImageSet
from topfive.errors import BadData, BadFile, Misused, TopfiveError, UnknownName
from topfive.evaluation import Scores, judge, load_scores, score
from topfive.evaluation import scores as scores_module
from topfive.evaluation.report import right_answers
from topfive.evaluation.scores import log_mean_probability
from topfive.models.modelfile import save

LABELS = tuple(ClassLabel(key, key) for key in "uvwxyz")


def made_up(images: int = 9, crops: int = 2) -> Scores:
    scores = torch.randn(images, crops, 6, generator=torch.Generator().manual_seed(0))
    scores[4] = torch.nan
    ids = tuple(f"val/é {index}.jpg" for index in range(images))
    return Scores("mlp", "val", scores, torch.arange(images) % 6, ids, LABELS, "logits",
                  (Broken(ids[4], "it is cut short"),), model="ab12", data="cd34")  # fmt: skip


# Scoring


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_every_image_is_scored_once_and_a_broken_one_is_counted_and_named(tmp_path: Path, batch_size: int) -> None:
    data = photos(tmp_path)
    found = score(linear(), data, batch_size=batch_size)
    root = data.split("val").paths[0].parents[3]
    answers = slow(linear(), root)
    assert len(found.ids) == len(found.scores) == len(found.labels) == len(KEYS) * IMAGES
    assert list(found.ids) == [answer.id for answer in answers]
    assert [found.classes[label].key for label in found.labels.tolist()] == [answer.key for answer in answers]
    assert tuple(image.id for image in found.broken) == BROKEN
    for answer, scores in zip(answers, found.scores[:, 0], strict=True):
        if answer.rank is None:
            assert answer.id in BROKEN and scores.isnan().all()
        else:
            assert found.classes[int(scores.argmax())].key == answer.best
    report = judge(found)
    assert (report.document["evaluated"], report.document["of"]) == (40, 40)
    assert report.top1_error == pytest.approx(error(answers, 1))
    assert report.document["top5_error"] == pytest.approx(error(answers, 5))


@pytest.mark.parametrize("crops", ["5", "10", "144"])
def test_crops_are_scored_as_one_at_a_time_would_be(tmp_path: Path, crops: Crops) -> None:
    """Every view of every image by itself; then the mean of the probabilities, and the error that follows."""
    data, model = photos(tmp_path), linear()
    found = score(model, data, crops=crops, batch_size=64, apart=True)
    split = data.split("val")
    assert found.scores.shape[1] == found.crops == int(crops)
    for row in range(len(split)):
        if split.ids[row] in BROKEN:
            assert found.scores[row].isnan().all()
            continue
        squares = cut(to_pixels(split.image(row)), crops, model.geometry)
        every = [view for square in squares for view in ((square, square[:, ::-1]) if crops != "5" else (square,))]
        slow_scores = torch.cat([model.scores(to_images(view[None].copy())) for view in every])
        torch.testing.assert_close(found.scores[row], slow_scores, rtol=1e-5, atol=1e-5)
        mean = sum(one.double().softmax(0) for one in slow_scores) / len(every)
        torch.testing.assert_close(found.probabilities[row], mean, rtol=0, atol=1e-6)
    assert f", {crops} crops averaged after the softmax" in judge(found).to_text()
    assert judge(found).document["evaluated"] == 40
    whole = score(model, data, crops=crops, batch_size=64)
    assert (whole.scores.shape[1], whole.crops, whole.kind) == (1, int(crops), "log-probabilities")
    torch.testing.assert_close(whole.probabilities, found.probabilities, rtol=0, atol=1e-6, equal_nan=True)
    ulp = torch.finfo(torch.float32).eps  # logarithms are taken of means in one way or the other, see FAINT
    torch.testing.assert_close(whole.averaged, found.averaged, rtol=2 * ulp, atol=1e-6, equal_nan=True)
    assert f", {crops} crops" in judge(load_scores(whole.save(tmp_path / "s.safetensors"))).to_text()


def test_no_crop_but_one_is_cut_from_images_in_a_border(tmp_path: Path) -> None:
    model = linear()
    bordered = replace(model, geometry=Geometry(model.geometry.crop - 4, model.geometry.crop))
    score(bordered, photos(tmp_path))
    with pytest.raises(Misused, match=r"--crops: pixels_linear sees images in a border, .*; give 1"):
        score(bordered, photos(tmp_path / "again"), crops="5")


def test_what_is_too_improbable_for_float32_keeps_its_rank() -> None:
    """Sharp margins: the second answer's probability is e^-200, and it is still the second."""
    scores = torch.tensor([[[300.0, 100.0, 50.0, 0.0, -50.0, -90.0]] * 2])
    labels = tuple(ClassLabel(key, key) for key in "uvwxyz")
    found = Scores("hog_svm", "val", scores, torch.tensor([1]), ("a",), labels, "margins")
    assert judge(found).document["top5_error"] == 0
    assert found.averaged[0].argsort(descending=True).tolist() == list(range(6))


def test_files_and_memory_are_scored_alike(tmp_path: Path) -> None:
    data = photos(tmp_path, broken=())
    split = data.split("val")
    squares = [linear().geometry.resize(decode(path).permute(1, 2, 0).numpy()) for path in split.paths]
    middle = [torch.from_numpy(Geometry(10, 10).apply(square).copy()).permute(2, 0, 1) for square in squares]
    memory = replace(data, splits={"val": Split(split.ids, split.labels, pixels=torch.stack(middle))})
    assert torch.equal(score(linear(), memory).scores, score(linear(), data).scores)


def test_what_is_scored_is_recorded(tmp_path: Path) -> None:
    data = photos(tmp_path)
    model = linear()
    model.sha256 = "ab" * 32
    found = score(model, data)
    assert (found.entry, found.split, found.kind) == ("pixels_linear", "val", "logits")
    assert (found.model, found.data) == ("ab" * 32, data.manifest)
    assert found.classes == model.classes
    assert found.split_images == len(data.split("val")) == 40
    assert score(model, data, "train").split == "train"
    assert len(score(model, data, "train").ids) == len(KEYS)
    with pytest.raises(UnknownName, match=r"no split of photos named 'tset'.* known: train, val"):
        score(model, data, "tset")


@pytest.mark.parametrize(
    ("ours", "message"),
    [
        ((*KEYS[:-1], "zebra"), "photos: expected the 8 classes .* the model does not know 'g'; "),
        (KEYS[:-2], "photos: expected the 6 classes .* the model does not know 'f', 'g'; "),
        ((*KEYS, "zebra"), "photos: expected the 9 classes .* the model also knows 'zebra'; "),
        (tuple(key.split("/")[-1] + "_" * index for index, key in enumerate(KEYS)), "does not know 'a/dog', 'b/cat'"),
    ],
)
def test_another_set_of_classes_is_refused_and_named(tmp_path: Path, ours: tuple[str, ...], message: str) -> None:
    with pytest.raises(BadData, match=message):
        score(linear(ours), photos(tmp_path))


def test_an_image_that_is_lost_on_the_way_ends_the_judging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, plain = photos(tmp_path), scores_module._answers

    def losing(*given: Any) -> Iterator[Any]:
        for rows, found, bad, pixels in plain(*given):
            yield rows[1:], found[1:], bad, pixels

    monkeypatch.setattr(scores_module, "_answers", losing)
    said = r"pixels_linear: expected each of the 40 images of val to be answered or broken once, got \d+ answers and"
    with pytest.raises(TopfiveError, match=said):
        score(linear(), data)


def test_scoring_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    model = linear()
    before = save(model, tmp_path / "before.safetensors").read_bytes()
    score(model, photos(tmp_path))
    assert save(model, tmp_path / "after.safetensors").read_bytes() == before


# The file


def test_a_scores_file_gives_everything_back(tmp_path: Path) -> None:
    scores = replace(made_up(), split_images=10)
    loaded = load_scores(scores.save(tmp_path / "deep" / "s.safetensors"))
    for name in ("entry", "split", "ids", "classes", "kind", "broken", "model", "data", "split_images"):
        assert getattr(loaded, name) == getattr(scores, name)
    assert torch.equal(loaded.labels, scores.labels)
    assert torch.equal(loaded.scores.nan_to_num(99), scores.scores.nan_to_num(99))
    assert loaded.scores[4].isnan().all()
    assert judge(loaded) == judge(scores)
    assert torch.equal(right_answers(loaded), right_answers(scores))


def test_figures_are_computed_again_from_the_file(tmp_path: Path) -> None:
    scores = score(linear(), photos(tmp_path))
    assert judge(load_scores(scores.save(tmp_path / "s.safetensors"))) == judge(scores)


def test_crops_are_averaged_and_an_answer_is_right_when_it_beats_all_others() -> None:
    scores = torch.tensor([[[4.0, 1.0], [0.0, 2.0]], [[0.0, 1.0], [1.0, 0.0]], [[0.0, 3.0], [0.0, 1.0]]])
    found = Scores("mlp", "val", scores, torch.tensor([0, 1, 1]), ("a", "b", "c"), LABELS[:2], "logits")
    shares = [[1 / (1 + math.exp(b - a)) for a, b in one] for one in scores.tolist()]  # of the first class
    assert found.probabilities[:, 0].tolist() == pytest.approx([sum(one) / 2 for one in shares])
    assert torch.equal(replace(found, scores=scores[:, :1]).averaged, scores[:, 0])  # of one crop as they are
    assert right_answers(found).tolist() == [True, False, True]  # the second is a tie


@pytest.mark.parametrize("share", [0, 0.02, 0.5, 0.99])
def test_a_file_cut_short_is_refused(tmp_path: Path, share: float) -> None:
    path = made_up().save(tmp_path / "s.safetensors")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(BadFile, match=r"s\.safetensors: is not a whole scores file of topfive .*; evaluate the model"):
        load_scores(path)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"m\.safetensors: is not a whole scores file"):
        load_scores(save(linear(), tmp_path / "m.safetensors"))
    with pytest.raises(BadFile, match="none: is not a whole scores file"):
        load_scores(tmp_path / "none")
    (tmp_path / "folder").mkdir()
    with pytest.raises(BadFile, match="folder: is not a whole scores file"):
        load_scores(tmp_path / "folder")
    save_file({"scores": torch.zeros(1, 1, 6), "labels": torch.zeros(1).long()}, tmp_path / "foreign")
    with pytest.raises(BadFile, match="foreign: is not a whole scores file"):
        load_scores(tmp_path / "foreign")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 1}, "expected format 2, got 1"),
        ({"ids": ["a.jpg"]}, r"expected scores \(1, 2, 6\), got \(9, 2, 6\) and labels \(9,\)"),
        ({"views": 10}, r"expected scores \(9, 10, 6\), got \(9, 2, 6\)"),
        ({"classes": [{"key": "u", "name": "u"}]}, r"expected scores \(9, 2, 1\)"),
        ({"classes": [{"key": "u"}] * 6}, "name"),
        ({"broken": [1]}, "mapping"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(tmp_path: Path, change: dict, message: str) -> None:
    path = made_up().save(tmp_path / "s.safetensors")
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    document = json.loads(header["__metadata__"]["topfive"]) | change
    save_file(load_file(path), path, metadata={"topfive": json.dumps(document)})
    with pytest.raises(BadFile, match=f"is not a whole scores file of topfive .*{message}"):
        load_scores(path)


def test_a_full_disk_leaves_the_old_file_whole(
    tmp_path: Path, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    path = made_up().save(tmp_path / "s.safetensors")
    before = path.read_bytes()
    with full_disk(500), pytest.raises(BadFile, match=r"s\.safetensors: could not be written .*; free some space"):
        made_up(images=12).save(path)
    assert (path.read_bytes(), os.listdir(tmp_path)) == (before, ["s.safetensors"])


@pytest.mark.parametrize("spread", [1.0, 20.0, 200.0])
def test_the_mean_over_views_is_the_exact_one_however_improbable_a_class(spread: float) -> None:
    """Beside float64: faint probabilities keep their order, and a row with NaN is NaN."""
    scores = spread * torch.randn(700, 3, 50, generator=torch.Generator().manual_seed(0))
    scores[5, 1] = torch.nan
    exact = scores.double().log_softmax(2).logsumexp(1) - math.log(3)
    found = log_mean_probability([scores])
    torch.testing.assert_close(found.double(), exact, rtol=1e-6, atol=1e-6, equal_nan=True)
    assert found.isfinite().all(1).tolist() == [row != 5 for row in range(700)]
    assert log_mean_probability([scores[:0]]).shape == (0, 50)
    models, shares = [scores[:, :1], scores[:, 1:]], torch.tensor([0.25, 0.75])
    logs = torch.stack([one.double().log_softmax(2).logsumexp(1) - math.log(one.shape[1]) for one in models])
    found = log_mean_probability(models, shares.tolist())
    exact = (logs + shares.log()[:, None, None]).logsumexp(0)
    torch.testing.assert_close(found.double(), exact, rtol=1e-6, atol=1e-6, equal_nan=True)


def test_a_split_in_memory_of_odd_length_loses_nothing() -> None:
    """T12: a last batch that is not full is a batch."""
    pixels = torch.randint(0, 256, (11, 3, 10, 10), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    split = Split(tuple(f"f#{index}" for index in range(11)), torch.arange(11) % 8, pixels=pixels)
    data = ImageSet("mine", "", tuple(ClassLabel(key, key) for key in KEYS), {"test": split})
    whole = score(linear(), data).scores
    assert not whole.isnan().any()
    for batch_size in (1, 2, 4, 10, 11, 12):
        assert torch.allclose(score(linear(), data, batch_size=batch_size).scores, whole, atol=1e-5)
