"""GoogLeNet's table: its lines, their cost, and what of it is kept."""

from pathlib import Path

import pytest
import torch
from slow_judge import linear, photos

from topfive.evaluation import judge, score
from topfive.evaluation.ensemble import average
from topfive.evaluation.table import table, to_text
from topfive.models.modelfile import load, save


def test_a_line_is_so_many_models_on_so_many_crops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, models = photos(tmp_path), []
    for seed in range(2):
        model = linear()
        torch.manual_seed(seed)
        torch.nn.init.normal_(model.classifier.classifier.weight)
        models.append(load(save(model, tmp_path / f"{seed}.safetensors")))
    rows = table(models, data, None, ["1", "10"], tmp_path / "kept")
    assert [(row.models, row.crops, row.cost) for row in rows] == [(1, 1, 1), (1, 10, 10), (2, 1, 2), (2, 10, 20)]
    assert rows[0].report.top1_error == judge(score(models[0], data)).top1_error
    both = average([score(model, data, crops="10") for model in models])
    assert rows[3].report.top1_error == judge(both).top1_error
    assert rows[0].gain is None
    assert rows[3].gain == pytest.approx(rows[0].report.top1_error - rows[3].report.top1_error)
    assert len(list((tmp_path / "kept").iterdir())) == 4
    text = to_text(rows).splitlines()
    assert len(text) == 5
    assert text[1].endswith("base")
    assert "not told apart" in text[4]  # 40 images of guesses
    monkeypatch.setattr("topfive.evaluation.table.score", lambda *_: 1 / 0)
    assert [row.report.document for row in table(models, data, None, ["1", "10"], tmp_path / "kept")] == [
        row.report.document for row in rows
    ]
    with pytest.raises(ZeroDivisionError):  # the models have changed places: what is kept is not theirs
        table(models[::-1], data, None, ["1"], tmp_path / "kept")
