"""The `sgd` stage against a loop written out by hand, and what it does when the loss is no number."""

import logging
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from topfive.data.draws import step_seed
from topfive.data.geometry import Geometry
from topfive.data.imageset import ImageSet
from topfive.errors import Diverged
from topfive.models import build
from topfive.recipes.recipe import Recipe
from topfive.recipes.stages import Optimizer, Precision, Schedule, Sgd
from topfive.training import checkpoint, train
from topfive.training.checkpoint import Progress
from topfive.training.history import History, read
from topfive.training.loop import SgdLoop, measure_supply
from topfive.training.pace import Pace
from topfive.training.run import training_loader
from topfive.training.tuning import Choice

FIXED = Precision(layout="contiguous", autocast="float32", compile="no")
PLAIN = Sgd(
    epochs=2,
    batch_size=32,
    optimizer=Optimizer(lr=0.2, momentum=0.9, weight_decay=0.01),
    schedule=Schedule(kind="linear", warmup=0.5),
    precision=FIXED,
)


def fresh() -> nn.Module:
    torch.manual_seed(3)
    return build("mlp", 10, image=8, hidden=12)


class Ended(SgdLoop):
    """A loop that keeps the weights it handed on."""

    judged: nn.Module


def fit(stage: Sgd, data: ImageSet, folder: Path, net: nn.Module | None = None, steps: int | None = None) -> Ended:
    """Run the stage on the training images."""
    loader = training_loader(data.split("train"), Geometry(8, 8), stage, 5, 1, torch.device("cpu"))
    pace = Pace(steps or stage.steps(len(loader)))
    loop = Ended(net or fresh(), stage, loader, folder, Progress(), pace, {})
    loop.judged = loop.fit()
    return loop


def by_hand(stage: Sgd, data: ImageSet) -> tuple[list[Tensor], list[Tensor], list[dict[str, float]]]:
    """Weights, averages and epochs' figures: gradients from autograd, everything else as the papers write it."""
    net = fresh()
    loader = training_loader(data.split("train"), Geometry(8, 8), stage, 5, 1, torch.device("cpu"))
    weights = list(net.parameters())
    speed = [torch.zeros_like(w) for w in weights]
    averages = [w.detach().clone() for w in weights]
    epochs, done, length = [], 0, 2 * len(loader)
    for epoch in range(2):
        losses, wrong = 0.0, 0
        for batch in loader.epoch(epoch):
            warm = min(1.0, done / length * 2 / 0.5)
            falling = min(1.0, (1 - done / length) / (1 - 0.25))
            lr = 0.2 * warm * falling
            log_probs = net(batch.images).log_softmax(1)
            right = log_probs[range(32), batch.labels]
            smooth = stage.label_smoothing
            loss = -((1 - smooth) * right + smooth * log_probs.mean(1)).mean()
            losses, wrong = losses + loss.item(), wrong + int((log_probs.argmax(1) != batch.labels).sum())
            slopes = torch.autograd.grad(loss, weights)
            length_of_all = math.sqrt(sum(float(g.square().sum()) for g in slopes))
            shrink = min(1.0, (stage.clip_norm or math.inf) / length_of_all)
            with torch.no_grad():
                for w, v, g in zip(weights, speed, slopes, strict=True):
                    v.mul_(0.9).add_(shrink * g + 0.01 * w)
                    w.sub_(lr * v)
                for average, w in zip(averages, weights, strict=True):
                    decay = min(stage.ema_decay or 0.0, (1 + done) / (10 + done))
                    average.copy_(decay * average + (1 - decay) * w)
            done += 1
        epochs.append({"loss": losses / len(loader), "top1_error": wrong / (32 * len(loader))})
    return [w.detach() for w in weights], averages, epochs


@pytest.mark.parametrize(
    "changes",
    [{}, {"label_smoothing": 0.3}, {"clip_norm": 0.05}, {"ema_decay": 0.8}, {"ema_decay": 0.05, "clip_norm": 0.3}],
    ids=str,
)
def test_weights_are_those_of_a_loop_written_by_hand(
    few_digits: ImageSet, tmp_path: Path, changes: dict[str, float]
) -> None:
    stage = PLAIN.model_copy(update=changes)
    weights, averages, epochs = by_hand(stage, few_digits)
    loop = fit(stage, few_digits, tmp_path)
    for ours, theirs in zip(loop.classifier.parameters(), weights, strict=True):
        torch.testing.assert_close(ours.detach(), theirs, rtol=1e-4, atol=1e-6)
    judged = averages if "ema_decay" in changes else weights
    for ours, theirs in zip(loop.judged.parameters(), judged, strict=True):
        torch.testing.assert_close(ours.detach(), theirs, rtol=1e-4, atol=1e-6)
    said = read(tmp_path)
    assert [record["epoch"] for record in said] == [1, 2]
    for record, figures in zip(said, epochs, strict=True):
        assert record["loss"] == pytest.approx(figures["loss"], rel=1e-5)
        assert record["top1_error"] == figures["top1_error"]


def test_clipping_and_smoothing_matter_to_the_hand_loop(few_digits: ImageSet) -> None:
    plain = by_hand(PLAIN, few_digits)[0]
    for changes in ({"label_smoothing": 0.3}, {"clip_norm": 0.05}):
        other = by_hand(PLAIN.model_copy(update=changes), few_digits)[0]
        assert max(float((a - b).abs().max()) for a, b in zip(plain, other, strict=True)) > 1e-3


@pytest.mark.parametrize("micro_batch", [1, 7, 32, 50])
def test_micro_batches_give_the_update_of_the_whole_batch(
    few_digits: ImageSet, tmp_path: Path, micro_batch: int
) -> None:
    stage = PLAIN.model_copy(update={"clip_norm": 0.5, "label_smoothing": 0.1})
    whole = fit(stage, few_digits, tmp_path / "whole").classifier
    parts = fit(stage.model_copy(update={"micro_batch": micro_batch}), few_digits, tmp_path / "parts").classifier
    for ours, theirs in zip(parts.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    for ours, theirs in zip(read(tmp_path / "parts"), read(tmp_path / "whole"), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)


class Coin(nn.Module):
    """A net whose only randomness is what dropout draws; it remembers the draws."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(10))
        self.draws: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.draws.append(torch.rand(4))
        return self.weight.expand(len(images), 10)


def test_dropout_draws_from_seed_and_step_alone(few_digits: ImageSet, tmp_path: Path) -> None:
    net = Coin()
    torch.manual_seed(99)  # what happened before the stage must not matter
    fit(PLAIN, few_digits, tmp_path, net)
    for step, drawn in enumerate(net.draws):
        assert torch.equal(drawn, torch.rand(4, generator=torch.Generator().manual_seed(step_seed(5, step))))
    assert len(net.draws) == 6


class Fails(nn.Module):
    """A net whose answers are no numbers from the `bad`-th pass on."""

    def __init__(self, bad: int) -> None:
        super().__init__()
        self.weight, self.bad, self.passes = nn.Parameter(torch.zeros(10)), bad, 0

    def forward(self, images: Tensor) -> Tensor:
        self.passes += 1
        scores = self.weight.expand(len(images), 10)
        return scores * math.nan if self.passes >= self.bad else scores


@pytest.mark.parametrize("bad", [1, 4])
def test_a_loss_that_is_no_number_names_its_step(
    few_digits: ImageSet, tmp_path: Path, bad: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("topfive.training.loop.SAVE_EVERY", 0.0)
    net = Fails(bad)
    with pytest.raises(Diverged, match=rf"the loss was nan at step {bad} \(learning rate .*lower optimizer.lr"):
        fit(PLAIN, few_digits, tmp_path / "run", net)
    assert bool(net.weight.isfinite().all())  # the broken step was not taken
    found = checkpoint.load(tmp_path / "run")
    assert found is not None
    assert found[0].step < bad
    assert all(bool(tensor.isfinite().all()) for tensor in found[1].values())


def test_a_recipe_that_diverges_leaves_a_checkpoint_to_go_on_from(
    few_digits: ImageSet, quick: Callable[..., Recipe], tmp_path: Path
) -> None:
    wild = quick("pixels_linear", epochs=2, optimizer__lr=3e38, schedule__kind='"constant"', schedule__warmup=0)
    for again in (False, True):
        with pytest.raises(Diverged, match=r"run: the loss was .* at step 2"):
            train("pixels_linear", few_digits, tmp_path / "run", recipe=wild, resume=again)
        assert not (tmp_path / "run" / "model.safetensors").exists()


def test_a_history_cut_back_counts_from_the_cut(tmp_path: Path) -> None:
    """A kill leaves records that the checkpoint does not know; a second kill must not pad the file with NUL."""
    first = History(tmp_path)
    first.add(1, loss=1.0)
    kept = first.bytes
    first.add(2, loss=0.5)
    first.close()
    second = History(tmp_path, resume_at=kept)
    assert second.bytes == kept
    second.close()
    third = History(tmp_path, resume_at=kept)
    third.add(2, loss=0.25)
    third.close()
    assert read(tmp_path) == [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 0.25}]


def test_a_line_cut_short_by_a_kill_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1}\n{"st')
    assert read(tmp_path) == [{"step": 1}]
    assert read(tmp_path / "nowhere") == []


def test_a_limit_in_seconds_shortens_the_run_and_says_so(
    few_digits: ImageSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stage = PLAIN.model_copy(update={"epochs": 100_000.0})
    loader = training_loader(few_digits.split("train"), Geometry(8, 8), stage, 5, 1, torch.device("cpu"))
    progress = Progress()
    with caplog.at_level(logging.INFO, logger="topfive"):
        SgdLoop(fresh(), stage, loader, tmp_path, progress, Pace(300_000, seconds=1.0), {}).fit()
    assert progress.step == progress.legs[-1][1] < 300_000
    assert progress.seconds < 2.0
    assert read(tmp_path)[-1]["lr"] < 0.2 * 0.1  # the schedule came to its end all the same


def test_a_step_is_timed_without_compiling_and_without_decoding(few_digits: ImageSet, tmp_path: Path) -> None:
    """120 images in batches of 32: an epoch of 3 steps."""
    loader = training_loader(few_digits.split("train"), Geometry(8, 8), PLAIN, 5, 1, torch.device("cpu"))
    loop = SgdLoop(fresh(), PLAIN, loader, tmp_path, Progress(decoding=1.0), Pace(9), {})
    loop._time(50.0)  # the first compiles
    assert loop.recent == 0.0
    loop._time(1.25)
    loop._time(1.25)
    assert loop.recent == pytest.approx(0.25)
    loop._time(0.35)  # the second epoch decodes nothing
    assert loop.recent == pytest.approx(0.26)


def test_images_in_memory_are_not_forecast_to_be_decoded(few_digits: ImageSet) -> None:
    loader = training_loader(few_digits.split("train"), Geometry(8, 8), PLAIN, 5, 1, torch.device("cpu"))
    supply = measure_supply(loader)
    assert supply.decoding == 0.0 < supply.a_step


def test_a_run_begun_compiled_goes_on_without_a_compiler(
    few_digits: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("shutil.which", lambda program: None)
    loader = training_loader(few_digits.split("train"), Geometry(8, 8), PLAIN, 5, 1, torch.device("cpu"))
    progress = Progress(choice=Choice(compile="yes").to_json(), legs=[(0, 2)])
    SgdLoop(fresh(), PLAIN, loader, tmp_path, progress, Pace(2), {}).fit()
    assert progress.step == 2 and progress.choice == Choice().to_json()
    assert "goes on uncompiled, there is no C++ compiler on this machine" in caplog.text
