"""A run that is killed, stopped or continued is the run that was never touched; one that is another run is refused."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from topfive.data import open_data
from topfive.data.imageset import ImageSet
from topfive.errors import BadFile, Interrupted, Misused
from topfive.files import write_tensors
from topfive.models import load
from topfive.recipes.recipe import Recipe
from topfive.training import checkpoint, train
from topfive.training.history import read
from topfive.training.loop import SgdLoop
from topfive.training.pace import Pace
from topfive.training.tailoring import fit_recipe

SETTINGS = {
    "epochs": "5", "batch_size": "125", "ema_decay": "0.9", "precision.layout": "contiguous",
    "precision.autocast": "float32", "precision.compile": "no",
}  # fmt: skip

DRIVER = """
import os, sys, time, torch
torch.set_num_threads(1)
import sklearn.datasets, torch.utils.tensorboard, topfive.training.run
from topfive.cli import main
from topfive.training import loop
loop.SAVE_EVERY = 0.0
plain = loop.SgdLoop._step
def step(self, *given):
    print("step", flush=True)
    time.sleep(0.02)
    return plain(self, *given)
loop.SgdLoop._step = step
for out in map(str.strip, sys.stdin):
    child = os.fork()
    if child == 0:
        sys.stderr = open(out + ".err", "w", buffering=1)
        sys.argv += ["--out", out]
        print(os.getpid(), flush=True)
        main()
    print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Runner:
    """`topfive train lenet5 digits --resume`, slow steps, a checkpoint as often as may be: a new process each time.

    The processes are forked from one that has imported everything, which saves seconds each. What one says on stderr
    is in a file beside the run folder.
    """

    def __init__(self) -> None:
        command = [sys.executable, "-c", DRIVER, "train", "lenet5", "digits", "--resume"]
        for key, value in SETTINGS.items():
            command += ["--set", f"{key}={value}"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(self, folder: Path) -> int:
        """Start a process on that run folder and wait until it trains; its id."""
        assert self.process.stdin and self.process.stdout
        print(folder, file=self.process.stdin, flush=True)
        pid = self.process.stdout.readline().strip()
        assert self.process.stdout.readline() == "step\n", folder.with_name("run.err").read_text()
        return int(pid)

    def end(self) -> int:
        """Wait for that process; its exit code, negative for a signal."""
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith("ended"):
                return int(line.split()[1])
        pytest.fail("the driver died")


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    made = Runner()
    yield made
    made.process.communicate(timeout=60)  # no more folders: it ends
    assert made.process.returncode == 0


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run in one go."""
    folder, digits = tmp_path_factory.mktemp("untouched") / "run", open_data("digits")
    train("lenet5", digits, folder, recipe=fit_recipe("lenet5", digits, settings=SETTINGS)[0])
    return folder


def assert_equal_runs(one: Path, other: Path) -> None:
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (one, other))
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name
    assert (one / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()
    assert len((one / "metrics.jsonl").read_bytes().splitlines()) == 5
    runs = [json.loads((folder / "run.json").read_text()) for folder in (one, other)]
    assert runs[0] | {"seconds": 0} == runs[1] | {"seconds": 0}


def test_a_run_killed_at_random_moments_ends_equal_to_the_bit(runner: Runner, untouched: Path, tmp_path: Path) -> None:
    chance, folder, kills, reached = random.Random(2), tmp_path / "run", 0, []
    while not (folder / "run.json").exists():
        process = runner.start(folder)
        if kills < 6:
            time.sleep(chance.uniform(0.02, 0.3))
            os.kill(process, signal.SIGKILL)
        code = runner.end()
        assert code == (-signal.SIGKILL if kills < 6 else 0)
        if code:
            kills += 1
            found = checkpoint.load(folder)
            assert found is not None
            reached.append(found[0].step)
    assert kills == 6
    assert reached == sorted(reached) and 0 < reached[-1] < 40
    assert_equal_runs(folder, untouched)


def test_ctrl_c_ends_cleanly_and_the_run_goes_on(runner: Runner, untouched: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = runner.start(folder)
    time.sleep(0.2)
    os.kill(process, signal.SIGINT)
    assert runner.end() == 130
    said = folder.with_name("run.err").read_text()
    assert "Traceback" not in said
    assert said.splitlines()[-1] == f"topfive: {folder}: stopped; go on with --resume"
    found = checkpoint.load(folder)
    assert found is not None
    assert 0 < found[0].step < 40
    digits = open_data("digits")
    train("lenet5", digits, folder, recipe=fit_recipe("lenet5", digits, settings=SETTINGS)[0], resume=True)
    assert_equal_runs(folder, untouched)


def test_a_stop_at_the_very_last_step_is_heard_and_the_run_is_whole(
    few_digits: ImageSet, quick: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from topfive.training import loop

    recipe = quick("pixels_linear", epochs=1, batch_size=60)
    whole = train("pixels_linear", few_digits, tmp_path / "whole", recipe=recipe)
    plain = loop.SgdLoop._step

    def stop_at_two(self: loop.SgdLoop, *given: Any) -> dict[str, float]:
        if self.progress.step == 1:
            signal.raise_signal(signal.SIGINT)
        return plain(self, *given)

    monkeypatch.setattr(loop.SgdLoop, "_step", stop_at_two)
    with pytest.raises(Interrupted, match=r"run: stopped; go on with --resume"):
        train("pixels_linear", few_digits, tmp_path / "run", recipe=recipe)
    resumed = train("pixels_linear", few_digits, tmp_path / "run", recipe=recipe, resume=True)
    for name, tensor in whole.model.classifier.state_dict().items():
        assert torch.equal(tensor, resumed.model.classifier.state_dict()[name])


def test_a_repeated_run_with_the_same_legs_is_the_same_run(
    few_digits: ImageSet, quick: Callable[..., Recipe], tmp_path: Path
) -> None:
    recipe = quick("mlp", epochs=50, batch_size=20, model__hidden=8)
    legs = [(0, 40), (10, 25), (20, 31)]
    runs = [train("mlp", few_digits, tmp_path / name, recipe=recipe, pace=Pace(0, replay=legs)) for name in "ab"]
    assert [run.legs for run in runs] == [legs, legs]
    weights = [run.model.classifier.state_dict() for run in runs]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert (tmp_path / "a/metrics.jsonl").read_bytes() == (tmp_path / "b/metrics.jsonl").read_bytes()


def test_a_repeated_run_that_is_stopped_before_a_leg_still_takes_it(
    few_digits: ImageSet, quick: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from topfive.training import loop

    recipe = quick("mlp", epochs=50, batch_size=20, model__hidden=8)
    legs, plain = [(0, 40), (20, 31)], loop.SgdLoop._step

    def stop_at_nineteen(self: loop.SgdLoop, *given: Any) -> dict[str, float]:
        if self.progress.step == 18 and self.taken == 18:
            signal.raise_signal(signal.SIGINT)
        return plain(self, *given)

    monkeypatch.setattr(loop.SgdLoop, "_step", stop_at_nineteen)
    with pytest.raises(Interrupted):
        train("mlp", few_digits, tmp_path / "run", recipe=recipe, pace=Pace(0, replay=legs))
    resumed = train("mlp", few_digits, tmp_path / "run", recipe=recipe, pace=Pace(0, replay=legs), resume=True)
    assert resumed.legs == legs


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, few_digits: ImageSet, quick: Callable[..., Recipe]) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "run"
    train("pixels_linear", few_digits, folder, recipe=quick("pixels_linear", epochs=1))
    return folder


def test_a_folder_that_holds_a_run_is_refused(
    finished: Path, few_digits: ImageSet, quick: Callable[..., Recipe]
) -> None:
    before = (finished / "model.safetensors").read_bytes()
    with pytest.raises(Misused, match="run: already holds a run; go on with it by --resume, or choose another --out"):
        train("pixels_linear", few_digits, finished, recipe=quick("pixels_linear", epochs=1))
    assert (finished / "model.safetensors").read_bytes() == before


def test_another_recipe_is_refused(finished: Path, few_digits: ImageSet, quick: Callable[..., Recipe]) -> None:
    with pytest.raises(
        Misused, match=r"run: holds a run with another recipe \(\S+ \S+, not \S+\); resume it as it was begun"
    ):
        train("pixels_linear", few_digits, finished, recipe=quick("pixels_linear", epochs=2), resume=True)


def test_other_images_are_refused(finished: Path, digits: ImageSet, quick: Callable[..., Recipe]) -> None:
    with pytest.raises(Misused, match="run: holds a run with other images"):
        train("pixels_linear", digits, finished, recipe=quick("pixels_linear", epochs=1), resume=True)


def kept_in(folder: Path) -> tuple[checkpoint.Progress, dict[str, torch.Tensor]]:
    found = checkpoint.load(folder)
    assert found is not None
    return found


def test_other_conditions_are_said_and_the_run_goes_on(
    finished: Path, few_digits: ImageSet, quick: Callable[..., Recipe], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    progress, tensors = kept_in(finished)
    folder, [here] = tmp_path / "run", progress.conditions
    assert {"numpy", "scipy", "scikit-learn", "pillow", "torch"} < here.keys()
    elsewhere = here | {"threads": "77"}  # the run began here, went on there and comes back
    checkpoint.save(folder, replace(progress, conditions=[here, elsewhere]), tensors)
    train("pixels_linear", few_digits, folder, recipe=quick("pixels_linear", epochs=1), resume=True)
    assert f"under other conditions than before (threads 77 -> {here['threads']});" in caplog.text
    assert json.loads((folder / "run.json").read_text())["conditions"] == [here, elsewhere, here]
    assert json.loads((finished / "run.json").read_text())["conditions"] == [here]


def test_conditions_that_an_older_checkpoint_did_not_note_are_no_change(
    finished: Path, few_digits: ImageSet, quick: Callable[..., Recipe], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    progress, tensors = kept_in(finished)
    first = {key: version for key, version in progress.conditions[0].items() if key != "pillow"}
    folder = tmp_path / "run"
    write_tensors(folder / checkpoint.FILE_NAME, tensors, asdict(progress) | {"conditions": first})
    train("pixels_linear", few_digits, folder, recipe=quick("pixels_linear", epochs=1), resume=True)
    assert "other conditions" not in caplog.text
    assert json.loads((folder / "run.json").read_text())["conditions"] == [first]


def test_a_broken_checkpoint_says_what_to_do(
    finished: Path, few_digits: ImageSet, quick: Callable[..., Recipe], tmp_path: Path
) -> None:
    state = tmp_path / "run" / checkpoint.FILE_NAME
    state.parent.mkdir(parents=True)
    state.write_bytes((finished / checkpoint.FILE_NAME).read_bytes()[:-10])
    with pytest.raises(
        BadFile, match=r"state.safetensors: is not a whole checkpoint of topfive .*delete the run folder"
    ):
        train("pixels_linear", few_digits, tmp_path / "run", recipe=quick("pixels_linear", epochs=1), resume=True)


def test_a_run_folder_says_what_was_done(finished: Path, few_digits: ImageSet) -> None:
    run = json.loads((finished / "run.json").read_text())
    assert (run["entry"], run["epochs"], run["broken"]) == ("pixels_linear", 1.0, {})
    assert run["legs"] == [[0, run["full_steps"]]]
    model = load(finished)
    assert model.data == {
        "name": "digits", "manifest": few_digits.manifest, "learned": few_digits.manifest_of("train"), "train": 120
    }  # fmt: skip
    assert few_digits.manifest_of("train") != few_digits.manifest
    [figures] = read(finished)
    assert model.figures == {"training": figures} and figures["epoch"] == 1.0
    assert (finished / "recipe.toml").read_text().startswith("source = ")


def test_a_finished_run_is_given_back_as_it_was(
    tmp_path: Path, quick: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(12):
        for split in ("train", "val"):
            folder = tmp_path / "photos" / split / "ab"[index % 2]
            folder.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (20 * index, 0, len(split))).save(folder / f"{index}.png")
    (tmp_path / "photos/train/b/5.png").write_bytes(b"no image")
    data, recipe = open_data(tmp_path / "photos"), quick("pixels_linear", epochs=2)
    first = train("pixels_linear", data, tmp_path / "run", recipe=recipe)
    monkeypatch.setattr(SgdLoop, "fit", lambda self: pytest.fail("trained again"))
    again = train("pixels_linear", data, tmp_path / "run", recipe=recipe, resume=True)
    assert [image.id for image in first.broken] == ["train/b/5.png"]
    assert (again.broken, again.seconds, again.legs, again.choice) == (
        first.broken, first.seconds, first.legs, first.choice,
    )  # fmt: skip
    assert again.model.sha256 == load(tmp_path / "run").sha256


def test_a_finished_run_without_its_checkpoint_is_not_taken_for_another(
    finished: Path, few_digits: ImageSet, tmp_path: Path, quick: Callable[..., Recipe]
) -> None:
    folder = shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(folder / "checkpoint")
    with pytest.raises(Misused, match="holds a finished run whose checkpoint is gone"):
        train("mlp", few_digits, folder, recipe=quick("mlp", epochs=2), resume=True)
    assert not (folder / "checkpoint").exists()


def test_what_a_killed_process_was_writing_is_cleaned_away(
    few_digits: ImageSet, tmp_path: Path, quick: Callable[..., Recipe]
) -> None:
    stale = tmp_path / "run" / "checkpoint" / ".state.safetensors.123.part"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"half a checkpoint")
    train("mlp", few_digits, tmp_path / "run", recipe=quick("mlp", epochs=2))
    assert not stale.exists()


def test_a_second_process_is_refused_and_touches_nothing(runner: Runner, tmp_path: Path) -> None:
    folder, digits = tmp_path / "run", open_data("digits")
    recipe = fit_recipe("lenet5", digits, settings=SETTINGS)[0]
    process = runner.start(folder)
    os.kill(process, signal.SIGSTOP)  # as long as we look
    writing = folder / "checkpoint" / f".state.safetensors.{process}.part"
    writing.write_bytes(b"half a checkpoint")
    said = rf"run: another process is at work here \(pid {process}\); wait for it or choose another --out"
    with pytest.raises(Misused, match=said):
        train("lenet5", digits, folder, recipe=recipe, resume=True)
    assert writing.exists()
    os.kill(process, signal.SIGKILL)
    assert runner.end() == -signal.SIGKILL
    assert train("lenet5", digits, folder, recipe=recipe, resume=True).model.entry == "lenet5"
    assert not writing.exists()


def test_a_first_attempt_that_failed_leaves_the_folder_free(
    few_digits: ImageSet, tmp_path: Path, quick: Callable[..., Recipe]
) -> None:
    recipe = quick("mlp", epochs=2)
    with pytest.raises(Misused, match="mlp has no argument 'hiden'"):
        train("mlp", few_digits, tmp_path / "run", recipe=recipe.model_copy(update={"model": {"hiden": 8}}))
    assert train("mlp", few_digits, tmp_path / "run", recipe=recipe).model.entry == "mlp"
