"""Abstention: the half that chooses, the half that judges, counted by plain loops."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from scipy.stats import binomtest
from slow_judge import linear, photos

from topfive.data import ClassLabel
from topfive.data.draws import choosing
from topfive.errors import BadData
from topfive.evaluation import Scores, evaluate, judge
from topfive.evaluation.scores import marked


def made_up(images: int = 400) -> Scores:
    """Three classes; the surer an answer, the likelier it is right; the last five images could not be decoded."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(images) % 3
    sure = torch.rand(images, generator=generator)
    right = torch.rand(images, generator=generator) < 0.3 + 0.7 * sure
    answers = torch.where(right, labels, (labels + 1) % 3)
    scores = torch.zeros(images, 1, 3)
    scores[torch.arange(images), 0, answers] = 4 * sure
    scores[-5:] = torch.nan
    ids = tuple(f"{index}.png" for index in range(images))
    return Scores("mlp", "val", scores, labels, ids, tuple(ClassLabel(k, k) for k in "abc"), "logits", data="m")


def test_one_half_chooses_and_the_other_is_judged() -> None:
    scores = made_up()
    report = judge(scores, max_error=0.2)
    found = report.document["abstention"]
    rows = [
        (float(p.max()), not p.isnan().any() and int(p.argmax()) == label, bool(chooses))
        for p, label, chooses in zip(
            scores.probabilities, scores.labels.tolist(), choosing(scores.ids).tolist(), strict=True
        )
    ]
    chosen = [
        level for level, _, half in rows if half
        and (own := [ok for p, ok, other in rows if other and p >= level]) and own.count(False) <= 0.2 * len(own)
    ]  # fmt: skip
    assert found["confidence"] == min(chosen)
    others = [(p, ok) for p, ok, half in rows if not half]
    given = [ok for p, ok in others if p >= min(chosen)]
    assert (found["chosen_on"], found["images"]) == (400 - len(others), len(others))
    assert (found["answered"], found["coverage"]) == (len(given), len(given) / len(others))
    assert found["error"] == given.count(False) / len(given)
    interval = binomtest(given.count(False), len(given)).proportion_ci(method="wilson")
    assert found["interval"] == pytest.approx((interval.low, interval.high))
    assert 20 < len(given) < len(others) - 20
    assert found["risk_coverage"][-1] == {
        "coverage": 1.0, "error": pytest.approx(sum(not ok for _, ok in others) / len(others))
    }  # fmt: skip
    for point in found["risk_coverage"]:
        surest = sorted(others, key=lambda one: -one[0] if one[0] == one[0] else 1)[
            : round(point["coverage"] * len(others))
        ]
        assert point["error"] == pytest.approx(sum(not ok for _, ok in surest) / len(surest))
    assert f"on {len(given)} of {len(others)} others are answered (" in report.to_text()
    assert judge(scores).document["abstention"] is None


def test_where_no_confidence_will_do_nothing_is_answered() -> None:
    scores = made_up()
    wrong = replace(scores, labels=(scores.averaged.nan_to_num().argmax(1) + 1) % 3)
    report = judge(wrong, max_error=0.5)
    found = report.document["abstention"]
    assert (found["confidence"], found["answered"], found["coverage"], found["error"]) == (None, 0, 0, None)
    assert "no confidence will do" in report.to_text()


def test_images_that_fitted_the_temperature_do_not_judge() -> None:
    scores = made_up()
    half = [id_ for id_, own in zip(scores.ids, choosing(scores.ids), strict=True) if own]
    fitted = {"temperature": 2.0, "fitted": marked(half)}
    found = judge(replace(scores, calibration=fitted), max_error=0.2).document["abstention"]
    plain = judge(scores, max_error=0.2).document["abstention"]
    assert found["images"] == plain["images"]
    with pytest.raises(BadData, match=r"others that fitted nothing to judge it, found .* and 0; give another split"):
        judge(replace(scores, calibration={**fitted, "fitted": marked(scores.ids)}), max_error=0.2)


def test_an_image_without_an_answer_is_never_answered_however_large_the_error_may_be() -> None:
    found = judge(made_up(), max_error=1.0).document["abstention"]
    assert 0 <= found["confidence"] <= 1
    assert found["answered"] < found["images"]


def test_a_split_that_fitted_the_temperature_is_refused_before_an_image_is_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = photos(tmp_path)
    model = linear()
    model.calibration = {"temperature": 2.0, "fitted": marked(data.split("val").ids)}
    monkeypatch.setattr("topfive.evaluation.report.score", lambda *_: pytest.fail("images were scored"))
    with pytest.raises(BadData, match="val: expected images to choose a confidence on and others that fitted nothing"):
        evaluate(model, data, max_error=0.2)
