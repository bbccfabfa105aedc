"""GoogLeNet's table: its lines, their cost, and what of it is kept."""

import os
from pathlib import Path

import pytest
import torch
from slow_judge import linear, photos

from topfive.data.loader import central_crops
from topfive.errors import Misused
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
    assert [row.report.document["crops"] for row in rows] == [1, 10, 1, 10]
    text = to_text(rows).splitlines()
    assert " ".join(text[0].split()).startswith("models crops cost top-1 error (95 % interval) top-1 gain top-5 error")
    low, high = rows[3].report.document["top1_interval"]
    error = f"{100 * rows[3].report.top1_error:.2f} % ({100 * low:.2f} to {100 * high:.2f})"
    assert " ".join(text[4].split()).startswith(f"2 10 20 {error} {100 * rows[3].gain:+.2f} n.s. ")
    assert "(base)" in text[1]
    monkeypatch.setattr("topfive.evaluation.table.score", lambda *_: 1 / 0)
    same = table(models[::-1][::-1], data, None, ["1", "10"], tmp_path / "kept")
    assert [row.report.document for row in same] == [row.report.document for row in rows]
    image = data.split("val").paths[0]
    os.utime(image, (1, 1))  # another file, for all that is known
    with pytest.raises(ZeroDivisionError):
        table(models, data, None, ["1"], tmp_path / "kept")
    (tmp_path / "file").write_text("")
    with pytest.raises(Misused, match="file: is a file; of several models or protocols --scores is a folder"):
        table(models, data, None, ["1"], tmp_path / "file")


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
    assert rows[1].real
    assert "n.s." not in to_text(rows).splitlines()[2]
