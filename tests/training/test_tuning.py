"""The choice of how to compute: what is tried, what is left alone, and what is not worth a try."""

import copy
import logging
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from topfive.models import build
from topfive.recipes.stages import Precision
from topfive.training import tuning
from topfive.training.tuning import Choice, choices, choose

CPU, GPU = torch.device("cpu"), torch.device("cuda")
EAGER = Precision(compile="no")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Choice, int]]:
    """Steps that take as long as SECONDS says, an image; what was timed, and on how many images."""
    timed: list[tuple[Choice, int]] = []

    def pretend(net: nn.Module, choice: Choice, images: Tensor, labels: Tensor, least_seconds: float = 0.3) -> float:
        timed.append((choice, len(images)))
        return len(images) * SECONDS[choice.autocast, choice.layout, choice.compile]

    monkeypatch.setattr(tuning, "time_steps", pretend)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    return timed


SECONDS = {
    ("float32", "contiguous", "no"): 1e-3,
    ("float32", "channels_last", "no"): 0.8e-3,
    ("bfloat16", "contiguous", "no"): 3e-3,
    ("bfloat16", "channels_last", "no"): 0.5e-3,
    ("bfloat16", "channels_last", "yes"): 0.4e-3,
}
NET = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
BATCH = torch.zeros(64, 3, 2, 2), torch.zeros(64, dtype=torch.long)


def test_what_is_open_is_tried_in_every_combination() -> None:
    both = ["contiguous", "channels_last"]
    assert choices(Precision(), CPU) == [Choice(lay, dtype) for dtype in ("float32", "bfloat16") for lay in both]
    assert {choice.autocast for choice in choices(Precision(), GPU)} == {"float32", "bfloat16", "float16"}
    assert choices(Precision(layout="contiguous"), CPU) == [Choice("contiguous", d) for d in ("float32", "bfloat16")]
    assert choices(Precision(layout="channels_last", autocast="float16"), CPU) == [Choice("channels_last", "float16")]


def test_the_fastest_wins_and_a_hopeless_choice_gets_a_look_only(clock: list[tuple[Choice, int]]) -> None:
    best, seconds, trials = choose(NET, *BATCH, EAGER, lambda _: 10)
    assert best == Choice("channels_last", "bfloat16")
    assert seconds == pytest.approx(64 * 0.5e-3)
    slow = Choice("contiguous", "bfloat16")
    assert [images for choice, images in clock if choice == slow] == [tuning.PROBE]
    assert [images for choice, images in clock if choice == best] == [tuning.PROBE, 64]
    rates = {trial.choice: (round(trial.images_per_second), trial.complete) for trial in trials}
    assert rates == {
        Choice("contiguous", "float32"): (1000, True),
        Choice("channels_last", "float32"): (1250, True),
        slow: (333, False),
        best: (2000, True),
    }


def test_arithmetic_that_is_emulated_is_tried_in_one_layout_only(
    clock: list[tuple[Choice, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SECONDS, ("bfloat16", "contiguous", "no"), 9e-3)
    best, _, trials = choose(NET, *BATCH, EAGER, lambda _: 10)
    assert best == Choice("channels_last", "float32")
    assert [trial.choice.autocast for trial in trials] == ["float32", "float32", "bfloat16"]


def test_what_was_tried_is_said(clock: list[tuple[Choice, int]], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="topfive"):
        choose(NET, *BATCH, EAGER, lambda _: 10)
    assert "tried contiguous, bfloat16, eager: 333 images/s (first look)" in caplog.text
    assert "taken: channels_last, bfloat16, eager" in caplog.text


@pytest.mark.parametrize(
    ("compilers", "steps", "said", "compiled"),
    [
        ([], 10**9, "not compiled: no C++ compiler on this machine", "no"),
        # Two layers: 5 + 2 x 0.5 s to compile, in vain unless more than twice that, 12 s, is forecast to be saved.
        # A step of 64 images takes 32 ms, of which 1 - 1/1.3 is saved, 7.385 ms: that is so after 1,625 steps.
        (
            ["c++"],
            1_624,
            "not compiled: about 6 s of compiling would save about 12 s, and twice as much is asked",
            "no",
        ),
        (["clang++"], 1_626, "taken: channels_last, bfloat16, compiled", "yes"),
    ],
)
def test_compiling_must_pay(
    clock: list[tuple[Choice, int]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    compilers: list[str], steps: int, said: str, compiled: str,
) -> None:  # fmt: skip
    monkeypatch.setattr("shutil.which", lambda name: name if name in compilers else None)
    with caplog.at_level(logging.INFO, logger="topfive"):
        best, _, _ = choose(NET, *BATCH, Precision(), lambda _: steps)
    assert said in caplog.text
    assert best.compile == compiled
    assert any(choice.compile == "yes" for choice, _ in clock) == (compiled == "yes")


def test_a_compiled_net_that_is_slower_is_dropped(
    clock: list[tuple[Choice, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SECONDS, ("bfloat16", "channels_last", "yes"), 0.6e-3)
    assert choose(NET, *BATCH, Precision(), lambda _: 10**6)[0].compile == "no"
    assert choose(NET, *BATCH, Precision(compile="yes"), lambda _: 1)[0].compile == "yes"  # asked for, taken


def test_a_compiler_that_fails_is_said_and_eager_stays(
    clock: list[tuple[Choice, int]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delitem(SECONDS, ("bfloat16", "channels_last", "yes"))
    assert choose(NET, *BATCH, Precision(), lambda _: 10**6)[0] == Choice("channels_last", "bfloat16")
    assert "torch.compile failed" in caplog.text


@pytest.mark.parametrize("entry", ["lenet5", "cifar_resnet20"])
def test_measuring_leaves_the_classifier_as_it_was(entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "time_steps", lambda *given, **more: plain(*given, least_seconds=0.0))
    monkeypatch.setattr(tuning, "PROBE", 2)
    net = build(entry, 10).eval()
    before = copy.deepcopy(net.state_dict())
    best, seconds, trials = choose(net, torch.rand(4, 3, 32, 32), torch.arange(4), EAGER, lambda _: 10)
    assert len(trials) >= 3  # a processor without bfloat16 is not asked twice
    assert seconds > 0
    assert best in choices(EAGER, CPU)
    after: dict[str, Any] = net.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert all(after[name].stride() == before[name].stride() for name in before)
    assert not net.training
    assert all(parameter.grad is None for parameter in net.parameters())


plain = tuning.time_steps


def test_a_choice_computes_as_it_says() -> None:
    net = nn.Conv2d(3, 8, 3)
    Choice("channels_last").place(net)
    assert net.weight.is_contiguous(memory_format=torch.channels_last)
    seen = []
    for autocast in ("float32", "bfloat16"):
        with Choice(autocast=autocast).arithmetic(CPU):
            seen.append(net(torch.zeros(1, 3, 8, 8)).dtype)
    assert seen == [torch.float32, torch.bfloat16]
    assert Choice(**Choice("channels_last", "bfloat16", "yes").to_json()) == Choice("channels_last", "bfloat16", "yes")
