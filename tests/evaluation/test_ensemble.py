"""Ensembles beside a loop over images; what must not be averaged is refused by name."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from topfive.data import ClassLabel
from topfive.data.imageset import Broken
from topfive.errors import BadData, BadFile, Misused
from topfive.evaluation import Scores, judge
from topfive.evaluation.ensemble import average, select
from topfive.files import read_rows

LABELS = tuple(ClassLabel(key, key) for key in "uvwxyz")


def made_up(entry: str, seed: int, images: int = 400, crops: int = 1, help_: float = 1.0) -> Scores:
    """Scores that know the label a little, each model in its own way."""
    labels = torch.arange(images) % 6
    scores = torch.randn(images, crops, 6, generator=torch.Generator().manual_seed(seed))
    scores += help_ * torch.nn.functional.one_hot(labels, 6)[:, None]
    return Scores(entry, "val", scores, labels, tuple(map(str, range(images))), LABELS, "logits", data="d", model="m")


def test_an_average_is_the_loops() -> None:
    models = [made_up("a", 0), made_up("b", 1, crops=10), made_up("c", 2)]
    found = average(models, [1, 2, 1])
    assert (found.entry, found.kind, found.scores.shape) == ("a + b + c", "log-probabilities", (400, 1, 6))
    for row in range(0, 400, 37):
        mean = sum(
            share * torch.stack([view.double().softmax(0) for view in one.scores[row]]).mean(0)
            for share, one in zip((0.25, 0.5, 0.25), models, strict=True)
        )
        torch.testing.assert_close(found.probabilities[row], mean, rtol=0, atol=1e-6)
    assert judge(found).document["crops"] == 10
    torch.testing.assert_close(average([found]).averaged, found.averaged)
    alone = average(models, [0, 1, 0])
    torch.testing.assert_close(alone.probabilities, models[1].probabilities, rtol=0, atol=1e-6)


def test_classes_in_another_order_are_matched_by_key() -> None:
    a, b = made_up("a", 0), made_up("b", 1)
    turned = replace(b, classes=LABELS[::-1], scores=b.scores.flip(2), labels=5 - b.labels)
    assert torch.equal(average([a, turned]).averaged, average([a, b]).averaged)


def test_an_ensemble_of_equals_errs_less() -> None:
    models = [made_up(str(seed), seed) for seed in range(5)]
    alone = [judge(one).top1_error for one in models]
    assert judge(average(models)).top1_error < min(alone) - 0.05


def test_an_image_that_one_could_not_answer_is_answered_by_none() -> None:
    broken = made_up("b", 1)
    broken.scores[3] = torch.nan
    found = average([made_up("a", 0), replace(broken, broken=(Broken("3", "3: is cut short"),))])
    assert found.averaged[3].isnan().all()
    assert [image.id for image in found.broken] == ["3"]


def test_what_does_not_belong_together_is_named() -> None:
    a, b = made_up("a", 0), made_up("b", 1)
    with pytest.raises(BadData, match="expected one list of classes, got two of a and b"):
        average([a, replace(b, classes=(*LABELS[:5], ClassLabel("other", "other")))])
    with pytest.raises(BadData, match="expected the same images, those of a and b differ in 7"):
        average([a, replace(b, ids=(*a.ids[:7], "other", *a.ids[8:]))])
    with pytest.raises(BadData, match="expected the same labels, those of a and b differ"):
        average([a, replace(b, labels=b.labels.flip(0))])
    for weights in ([1.0], [-1.0, 2.0], [0.0, 0.0]):
        with pytest.raises(Misused, match="expected 2 weights, none below 0 and one above"):
            average([a, b], weights)


def test_selection_takes_what_helps_and_keeps_its_images_apart() -> None:
    models = [made_up("useless", 0, help_=0.0), *(made_up(str(seed), seed, help_=1.5) for seed in range(1, 5))]
    taken, chosen = select(models)
    assert 0 not in taken
    assert len(set(taken)) > 1
    assert 40 < len(chosen) < 120
    labels = models[0].labels[chosen]
    mean = sum(models[one].probabilities[chosen] for one in taken)
    best_alone = min(int((one.probabilities[chosen].argmax(1) != labels).sum()) for one in models)
    assert int((mean.argmax(1) != labels).sum()) <= best_alone
    shuffled = torch.randperm(400, generator=torch.Generator().manual_seed(5))
    mixed = [
        replace(one, scores=one.scores[shuffled], labels=one.labels[shuffled],
                ids=tuple(one.ids[row] for row in shuffled.tolist()))
        for one in models
    ]  # fmt: skip
    again, rows = select(mixed)
    assert again == taken
    assert sorted(mixed[0].ids[row] for row in rows) == sorted(str(row) for row in chosen)
    with pytest.raises(BadData, match="expected images enough to choose and to judge, got 1"):
        select([made_up("a", 0, images=1)])


def test_a_selection_is_made_on_what_the_average_is_of() -> None:
    """An ensemble takes no temperature: one that sharpens a model must not get it chosen."""
    models = [made_up(str(seed), seed) for seed in range(4)]
    warm = [replace(one, calibration={"temperature": 20.0 if one is models[0] else 0.05}) for one in models]
    assert select(warm) == select(models)


def test_files_are_averaged_as_what_they_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = made_up("a", 0, crops=10), made_up("b", 1)
    b = replace(b, classes=LABELS[::-1], scores=b.scores.flip(2), labels=5 - b.labels)
    b.scores[7] = torch.nan
    files = [one.save(tmp_path / one.entry) for one in (a, b)]
    whole = average([a, b], [1, 2])
    for elements in (1, 60 * 7, 60 * 400, 1 << 22):  # rows at a time: 1, 7, all
        monkeypatch.setattr("topfive.evaluation.ensemble.AT_ONCE", elements)
        found = average([*files], [1, 2])
        assert torch.equal(found.scores.nan_to_num(9), whole.scores.nan_to_num(9))
        assert vars(found) | {"scores": 0, "labels": 0} == vars(whole) | {"scores": 0, "labels": 0}
    assert average([files[0], b], [1, 2]).scores[:7].equal(whole.scores[:7])
    assert average([files[0]]).crops == 10


def test_a_file_that_is_cut_short_is_named(tmp_path: Path) -> None:
    file = made_up("a", 0).save(tmp_path / "a")
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(BadFile, match="a: is not a whole scores file"):
        average([file])
    with pytest.raises(BadFile, match="a: ends before its scores do"):
        list(read_rows(file, "scores", 1000))
