"""Several processes judge what one does: every image once, the same error, one answer printed, one file written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from slow_judge import BROKEN, linear, photos

from topfive.data import open_data
from topfive.data.imageset import subset
from topfive.evaluation import evaluate, load_scores
from topfive.evaluation.ranks import Ranks, ranks_here
from topfive.evaluation.scores import _of_share
from topfive.models.modelfile import save

PROGRAM = Path(__file__).with_name("scores_of_ranks.py")


def torchrun(ranks: int, *words: object) -> subprocess.CompletedProcess[str]:
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    return subprocess.run(
        [*start, *map(str, words)], capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


@pytest.fixture(scope="module")
def exam(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model file, and the folder of 40 photos of which three are broken."""
    folder = tmp_path_factory.mktemp("exam")
    data = photos(folder)
    paths = data.split("val").paths
    assert paths is not None and isinstance(paths[0], Path)
    return save(linear(), folder / "linear.safetensors"), paths[0].parents[3]


@pytest.mark.parametrize("images", [0, 1, 2, 40, 41])
@pytest.mark.parametrize("ranks", [1, 2, 3, 7])
def test_every_row_is_in_one_share(images: int, ranks: int) -> None:
    shares = [Ranks(rank, ranks).share(images) for rank in range(ranks)]
    assert [row for share in shares for row in share] == list(range(images))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_without_torchrun_there_is_one_process() -> None:
    assert ranks_here() == Ranks(0, 1)
    assert ranks_here().of_all("found") == ["found"]


def test_any_batch_workers_and_ranks_count_every_image_once(exam: tuple[Path, Path]) -> None:
    """Law 2: {1, 7, 64} images at once, {0, 4} decoding threads, {1, 2, 3} processes; three photos are broken."""
    runs = {1: subprocess.run([sys.executable, PROGRAM, *exam], capture_output=True, text=True)}
    runs |= {ranks: torchrun(ranks, PROGRAM, *exam) for ranks in (2, 3)}
    found = []
    for ranks, ended in runs.items():
        assert ended.returncode == 0, ended.stderr
        lines = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
        assert sorted(line["rank"] for line in lines) == sorted([*range(ranks)] * 6)  # each process is told the whole
        found += [line["told"] for line in lines]
    assert len(found) == 6 * (1 + 2 + 3)
    assert all(one == found[0] for one in found)
    assert (found[0]["evaluated"], found[0]["of"]) == (40, 40)
    assert [image["id"] for image in found[0]["broken"]] == list(BROKEN)


def test_the_command_line_answers_once(exam: tuple[Path, Path], tmp_path: Path) -> None:
    alone = evaluate(exam[0], open_data(str(exam[1]))).document
    ended = torchrun(2, "-m", "topfive", "evaluate", *exam, "--json", "--scores", tmp_path / "s.safetensors")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == json.loads(json.dumps(alone))
    assert os.listdir(tmp_path) == ["s.safetensors"]
    assert load_scores(tmp_path / "s.safetensors").scores.isnan().any(2).sum() == len(BROKEN)


def test_other_verbs_say_that_they_run_alone(exam: tuple[Path, Path]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "topfive", "predict", *exam], capture_output=True, text=True,
        env={**os.environ, "WORLD_SIZE": "2"},
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "topfive: predict: runs as one process, only evaluate as several; leave out torchrun\n"


def test_the_answers_of_an_empty_share_are_none(exam: tuple[Path, Path]) -> None:
    """Two processes and one image: the first has no image."""
    split = subset(open_data(str(exam[1])).split("val"), [])
    found = _of_share(linear(), split, "1", 7, False, None)
    assert (found.answers.shape[0], found.answered, found.broken) == (0, 0, [])
    assert isinstance(found.answers, torch.Tensor)
