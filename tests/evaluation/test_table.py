"""GoogLeNet's table: its lines, their cost, and what of it is kept."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from scipy.stats import binomtest
from slow_judge import BROKEN, linear, photos

from topfive.data.imageset import subset
from topfive.data.loader import central_crops
from topfive.errors import BadData, BadFile, Misused
from topfive.evaluation import Scores, judge, load_scores, score
from topfive.evaluation.ensemble import Selection, average, select
from topfive.evaluation.table import table, to_text
from topfive.models.modelfile import Model, load, save


def test_a_line_is_so_many_models_on_so_many_crops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, models = photos(tmp_path), two_models(tmp_path)
    rows = table(models, data, None, ["1", "10"], tmp_path / "kept")
    assert [(row.models, row.crops, row.cost) for row in rows] == [
        ((1,), 1, 1), ((1,), 10, 10), ((1, 2), 1, 2), ((1, 2), 10, 20)
    ]  # fmt: skip
    assert [row.alone for row in rows] == [
        judge(score(model, data, crops=crops)).top1_error for model in models for crops in ("1", "10")
    ]
    assert rows[0].report.top1_error == judge(score(models[0], data)).top1_error
    both = average([score(model, data, crops="10") for model in models])
    assert rows[3].report.top1_error == judge(both).top1_error
    assert rows[0].gain is None
    assert rows[3].gain == pytest.approx(rows[0].report.top1_error - rows[3].report.top1_error)
    assert len(list((tmp_path / "kept").iterdir())) == 4
    assert [row.report.document["crops"] for row in rows] == [1, 10, 1, 10]
    text = to_text(rows, ["runs/a", "runs/b"]).splitlines()
    assert " ".join(text[0].split()).startswith("models crops cost top-1 error (95 % interval) top-1 gain top-5 error")
    low, high = rows[3].report.document["top1_interval"]
    error = f"{100 * rows[3].report.top1_error:.2f} % ({100 * low:.2f} to {100 * high:.2f})"
    assert " ".join(text[4].split()).startswith(f"2 10 20 {error} {100 * rows[3].gain:+.2f} n.s. ")
    assert "(base)" in text[1]
    ends = binomtest(round(40 * rows[2].alone), 40).proportion_ci(method="wilson")
    assert rows[2].alone_interval == pytest.approx((ends.low, ends.high))
    assert text[3].endswith(f" 2: {100 * rows[2].alone:.2f} % ({100 * ends.low:.2f} to {100 * ends.high:.2f})")
    assert text[5] == "evaluated 40 of 40 images; of the models 1 is runs/a, 2 is runs/b"
    told = [image["reason"] for image in rows[0].report.document["broken"]]
    assert len(told) == len(BROKEN)
    assert text[6 : 6 + len(told)] == [f"counted as an error: {reason}" for reason in told]
    monkeypatch.setattr("topfive.evaluation.kept.score", lambda *_: 1 / 0)
    same = table(models[::-1][::-1], data, None, ["1", "10"], tmp_path / "kept")
    assert [row.report.document for row in same] == [row.report.document for row in rows]
    assert all("confusion" not in row.report.document for row in rows)
    image = data.split("val").paths[0]
    os.utime(image, (1, 1))  # another file, for all that is known
    with pytest.raises(ZeroDivisionError):
        table(models, data, None, ["1"], tmp_path / "kept")
    (tmp_path / "file").write_text("")
    with pytest.raises(Misused, match="file: is a file; of several models or protocols --scores is a folder"):
        table(models, data, None, ["1"], tmp_path / "file")


def two_models(tmp_path: Path) -> list[Model]:
    found = []
    for seed in range(2):
        model = linear()
        torch.manual_seed(seed)
        torch.nn.init.normal_(model.classifier.classifier.weight)
        found.append(load(save(model, tmp_path / f"{seed}.safetensors")))
    return found


def test_a_selection_is_judged_on_images_that_did_not_choose_it(tmp_path: Path) -> None:
    data, models = photos(tmp_path), two_models(tmp_path)
    *lines, first, second = table(models, data, None, ["1", "10"], selection=True)
    assert [row.selected for row in lines] == [False] * 4
    for row, crops in ((first, "1"), (second, "10")):
        each = [score(model, data, crops=crops) for model in models]
        chosen = select(each)
        weights = [float(chosen.models.count(place)) for place in range(2)]
        wanted = judge(average(each, weights).of(chosen.judges)).document
        assert (row.models, row.selected) == (tuple(sorted(place + 1 for place in chosen.models)), True)
        assert row.report.document["top1_error"] == wanted["top1_error"]
        assert row.report.document["of"] == len(chosen.judges) < 40
        base = judge(score(models[0], data).of(chosen.judges)).top1_error
        assert row.gain == pytest.approx(base - row.report.top1_error)
        singles = [judge(one.of(chosen.judges)).top1_error for one in each]
        ends = binomtest(round(row.alone * len(chosen.judges)), len(chosen.judges)).proportion_ci(method="wilson")
        assert row.alone_interval == pytest.approx((ends.low, ends.high))
        assert row.alone == pytest.approx(min(singles)) == pytest.approx(singles[row.single - 1])
    text = to_text([*lines, first, second], ["runs/a", "runs/b"]).splitlines()
    assert text[5].split()[:2] == ["chosen", "+".join(map(str, first.models))]
    judged = first.report.document["of"]
    [note] = [line for line in text if line.startswith("chosen: ")]
    assert note.startswith(f"chosen: one by one on {40 - judged} images")
    assert f"its gain are of the other {judged}, beside it" in note


def test_a_model_that_is_chosen_twice_counts_twice_and_costs_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, models = photos(tmp_path), two_models(tmp_path)
    judges = list(range(5, 40))
    monkeypatch.setattr("topfive.evaluation.table.select", lambda _: Selection([1, 0, 1], list(range(5)), judges))
    row = table(models, data, None, ["5"], selection=True)[-1]
    wanted = judge(average([score(model, data, crops="5") for model in models], [1, 2]).of(judges)).document
    assert (row.models, row.cost, row.report.document["of"]) == ((1, 2, 2), 10, 35)
    assert row.report.document["calibration"] == wanted["calibration"]
    assert "chosen 1+2+2 " in to_text([row], ["a", "b"])


def test_lines_are_told_from_the_base_all_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By Holm's correction: a chance of 0.03 is below 5 % for one line, and not for each of three."""
    data, models = photos(tmp_path), two_models(tmp_path)
    monkeypatch.setattr("topfive.evaluation.table.mcnemar", lambda *_: 0.03)
    assert [row.significant for row in table(models, data, None, ["1"])] == [False, True]
    assert [row.significant for row in table(models, data, None, ["1", "5"])] == [False] * 4


def test_what_is_given_twice_or_alone_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, (first, second) = photos(tmp_path), two_models(tmp_path)
    monkeypatch.setattr("topfive.evaluation.kept.score", lambda *_: pytest.fail("an image is judged"))
    with pytest.raises(Misused, match="--crops: 10 is given twice; give each once"):
        table([first], data, None, ["10", "1", "10"])
    with pytest.raises(Misused, match="model 3 of 3: is the same file as model 1, and an average with itself"):
        table([first, second, first], data, None, ["1"])
    with pytest.raises(Misused, match="--select: expected several models to choose among, got one"):
        table([first], data, None, ["1"], selection=True)
    few = replace(data, splits={"val": subset(data.split("val"), [0])})
    with pytest.raises(BadData, match="ensemble: expected images enough to choose and to judge, got 1; give more"):
        table([first, second], few, None, ["1"], selection=True)


def other_scores(file: Path, change: str, other: Scores) -> None:
    """Put something else where scores are kept."""
    mine = load_scores(file)
    if change == "cut short":
        file.write_bytes(file.read_bytes()[:-9])
    elif change == "no scores":
        file.write_text("my diary")
    elif change == "another model's":
        other.save(file)
    elif change == "other images":
        replace(mine, ids=mine.ids[::-1]).save(file)
    else:
        replace(mine, scores=other.scores, **{change: 10 if change == "each" else "x"}).save(file)


@pytest.mark.parametrize(
    "change", ["cut short", "no scores", "another model's", "other images", "model", "data", "split", "each"]
)
def test_what_is_kept_is_compared_and_made_anew_where_it_is_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, change: str
) -> None:
    data, (model, other) = photos(tmp_path), two_models(tmp_path)
    [right] = table([model], data, None, ["1"], tmp_path / "kept")
    [file] = (tmp_path / "kept").iterdir()
    before = file.read_bytes()
    other_scores(file, change, score(other, data))
    assert file.read_bytes() != before
    [again] = table([model], data, None, ["1"], tmp_path / "kept")
    wanted = judge(score(model, data)).document
    assert again.report.document == right.report.document == {k: v for k, v in wanted.items() if k != "confusion"}
    assert f"{file}: holds no whole scores of this model on these images; they are made anew" in caplog.text
    assert load_scores(file).scores.nan_to_num(9).equal(score(model, data).scores.nan_to_num(9))
    assert [file] == [*(tmp_path / "kept").iterdir()]


def test_a_folder_that_cannot_be_written_is_refused_before_an_image_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, models = photos(tmp_path), two_models(tmp_path)
    table(models, data, None, ["1"], tmp_path / "kept")
    monkeypatch.setattr("topfive.evaluation.kept.score", lambda *_: pytest.fail("an image is judged"))
    (tmp_path / "file").write_text("")
    with pytest.raises(BadFile, match=r"file/kept/.*: could not be written .*; free some space or choose"):
        table(models, data, None, ["1"], tmp_path / "file" / "kept")
    monkeypatch.setattr(Path, "touch", lambda *_: (_ for _ in ()).throw(OSError(30, "Read-only file system")))
    assert len(table(models, data, None, ["1"], tmp_path / "kept")) == 2  # all is there
    with pytest.raises(BadFile, match=r"kept/pixels_linear_5_crops_.*: could not be written \(Read-only file system\)"):
        table(models, data, None, ["1", "5"], tmp_path / "kept")


def test_a_real_gain_is_marked(tmp_path: Path) -> None:
    """A model that answers one class always, and one that knows the 40 photos by heart, or nearly."""
    data = photos(tmp_path, broken=())
    worst, best = linear(), linear()
    torch.nn.init.zeros_(worst.classifier.classifier.weight)
    torch.nn.init.zeros_(worst.classifier.classifier.bias)
    found = score(best, data)
    pixels = torch.cat(
        [best.classifier.features(batch.images) for batch, _ in central_crops(data.split("val"), best.geometry)]
    )
    wanted = torch.nn.functional.one_hot(found.labels, 8).float()
    solved = torch.linalg.lstsq(torch.cat([pixels, torch.ones(40, 1)], 1), wanted).solution
    with torch.no_grad():
        best.classifier.classifier.weight.copy_(solved[:-1].T)
        best.classifier.classifier.bias.copy_(solved[-1])
    rows = table([worst, best], data, None, ["1"])
    assert rows[1].report.top1_error < 0.1
    assert rows[1].significant
    assert "n.s." not in to_text(rows, ["a", "b"]).splitlines()[2]
