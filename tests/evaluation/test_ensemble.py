"""Ensembles beside a loop over images; what must not be averaged is refused by name."""

import math
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
    pair = [made_up("a", 0), replace(broken, broken=(Broken("3", "3: is cut short"),))]
    for found in (average(pair), average(pair[::-1])):
        assert found.averaged[3].isnan().all()
        assert [image.id for image in found.broken] == ["3"]


def test_what_does_not_belong_together_is_named() -> None:
    """Which models, by their places since two may bear one name, and what is the first that differs."""
    a, b, c = made_up("a", 0), made_up("b", 1), made_up("a", 2)
    for classes, told in (
        ((*LABELS[:5], ClassLabel("other", "")), r"of model 1 \(a\) and model 3 \(a\) only model 1 has z"),
        ((*LABELS, ClassLabel("other", "")), r"of model 1 \(a\) and model 3 \(a\) only model 3 has other"),
    ):
        with pytest.raises(BadData, match=f"expected the same classes, {told}; score both on the same data"):
            average([a, b, replace(c, classes=classes)])
    with pytest.raises(BadData, match=r"same images, model 1 \(a\) and model 2 \(b\) have 7 and other in one place"):
        average([a, replace(b, ids=(*a.ids[:7], "other", *a.ids[8:])), c])
    with pytest.raises(BadData, match=r"the same images, model 1 \(a\) and model 3 \(a\) have 400 and 399; score both"):
        select([a, b, c.of(range(399))])
    labels = b.labels.clone()
    labels[[77, 99]] = 0  # of 77 the label is 5, of 99 it is 3
    with pytest.raises(BadData, match=r"same labels, those of model 1 \(a\) and model 2 \(b\) differ for 77; score"):
        average([a, replace(b, labels=labels)])


@pytest.mark.parametrize("weights", [[1], [-1, 2], [0, 0], [math.nan, 1], [math.inf, 1], [1e308, 1e308], []])
def test_weights_that_are_none_are_refused(weights: list[float]) -> None:
    with pytest.raises(Misused, match="expected 2 finite weights, none below 0 and one above, got"):
        average([made_up("a", 0), made_up("b", 1)], weights)


def test_of_no_scores_there_is_no_ensemble() -> None:
    for make in (average, select):
        with pytest.raises(Misused, match="ensemble: expected scores of a model or of several, got none; give"):
            make([])


def test_the_images_that_are_picked_keep_all_that_is_theirs() -> None:
    scores = made_up("a", 0, images=6, crops=2)
    scores = replace(scores, broken=tuple(Broken(id_, f"{id_}: is cut short") for id_ in "14"), calibration={"k": 1})
    picked = scores.of((4, 0, 3))
    assert (picked.ids, picked.labels.tolist()) == (("4", "0", "3"), [4, 0, 3])
    assert all(picked.scores[place].equal(scores.scores[row]) for place, row in enumerate((4, 0, 3)))
    assert [image.id for image in picked.broken] == ["4"]
    same = {"scores": 0, "labels": 0, "ids": 0, "broken": 0}
    assert vars(picked) | same == vars(scores) | same


def test_selection_takes_what_helps_and_keeps_its_images_apart() -> None:
    models = [made_up("useless", 0, help_=0.0), *(made_up(str(seed), seed, help_=1.5) for seed in range(1, 5))]
    taken, chosen, judges = select(models)
    assert sorted(chosen + judges) == list(range(400))
    assert 0 not in taken
    assert len(set(taken)) > 1
    assert 56 <= len(chosen) <= 104  # 80, within three deviations
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
    again, rows, _ = select(mixed)
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
    named = average([*map(str, files)], [1, 2])
    assert torch.equal(named.scores.nan_to_num(9), whole.scores.nan_to_num(9))
    assert select([*map(str, files)]) == select(files) == select([a, b])


def test_a_file_that_is_cut_short_is_named(tmp_path: Path) -> None:
    file = made_up("a", 0).save(tmp_path / "a")
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(BadFile, match="a: is not a whole scores file"):
        average([file])
    with pytest.raises(BadFile, match="a: ends before its scores do"):
        list(read_rows(file, "scores", 1000))
