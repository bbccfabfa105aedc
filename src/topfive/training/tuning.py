"""How to compute on this machine: memory layout, arithmetic and compilation, measured on the run's own steps.

Never assumed: on one CPU bfloat16 is twice as fast as float32, on another it is emulated and ten times slower.
"""

import copy
import logging
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn.utils import convert_conv2d_weight_memory_format

from topfive.recipes.stages import Precision
from topfive.training.loss import Output, loss_of

log = logging.getLogger("topfive")

PROBE = 16  # images of the first, cheap look at a choice
HOPELESS = 0.5  # a choice slower than this share of the best is not timed further
EMULATED = 0.2  # arithmetic slower than this share of the best is not tried in another layout either
COMPILE_GAIN = 1.3  # forecast before compiling; what it really gains is measured after
COMPILE_SECONDS = (5.0, 0.5)  # forecast: so many seconds, and so many more a layer


@dataclass(frozen=True)
class Choice:
    """layout: `contiguous` or `channels_last`. autocast: `float32`, `bfloat16` or `float16`. compile: `yes` or `no`."""

    layout: str = "contiguous"
    autocast: str = "float32"
    compile: str = "no"

    def __str__(self) -> str:
        return f"{self.layout}, {self.autocast}, {'compiled' if self.compile == 'yes' else 'eager'}"

    def to_json(self) -> dict[str, str]:
        """The JSON form kept in checkpoints and plans."""
        return asdict(self)

    def place(self, classifier: nn.Module) -> nn.Module:
        """The classifier with its weights in this layout, in place."""
        return convert_conv2d_weight_memory_format(classifier, self.memory_format)

    @property
    def memory_format(self) -> torch.memory_format:
        """The layout as torch names it."""
        return torch.channels_last if self.layout == "channels_last" else torch.contiguous_format

    def arithmetic(self, device: torch.device) -> AbstractContextManager[object]:
        """The context to run a forward pass in."""
        dtype = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}[self.autocast]
        return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)

    def run(self, classifier: nn.Module) -> Callable[[Tensor], Output]:
        """The function to call on images."""
        return torch.compile(classifier) if self.compile == "yes" else classifier


@dataclass(frozen=True)
class Trial:
    """One measured choice."""

    choice: Choice
    images_per_second: float
    complete: bool = True  # false where a few images were enough to see that it is slow


def choices(wanted: Precision, device: torch.device) -> list[Choice]:
    """The eager choices that the recipe leaves open, sensible on this kind of device."""
    layouts = ["contiguous", "channels_last"] if wanted.layout == "auto" else [wanted.layout]
    dtypes = ["float32", "bfloat16"] + (["float16"] if device.type == "cuda" else [])
    return [
        Choice(layout, dtype)
        for dtype, layout in product(dtypes if wanted.autocast == "auto" else [wanted.autocast], layouts)
    ]


def time_steps(
    classifier: nn.Module, choice: Choice, images: Tensor, labels: Tensor, least_seconds: float = 0.3
) -> float:
    """Seconds of one optimizer step on `images`, after one for warming up; the classifier is changed."""
    forward = choice.run(choice.place(classifier))
    images = images.contiguous(memory_format=choice.memory_format)
    optimizer = torch.optim.SGD(classifier.parameters(), lr=1e-6, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad()
        with choice.arithmetic(images.device):
            output = forward(images)
        loss = loss_of(output, labels).total
        torch.autograd.backward(loss)
        optimizer.step()
        if images.device.type == "cuda":
            torch.cuda.synchronize()

    step()
    if choice.compile == "yes":
        step()
    seconds: list[float] = []
    while (sum(seconds) < least_seconds and len(seconds) < 10) or len(seconds) < 2:
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def choose(
    classifier: nn.Module, images: Tensor, labels: Tensor, wanted: Precision, steps: Callable[[float], int]
) -> tuple[Choice, float, list[Trial]]:
    """The fastest choice for steps like this one, its seconds a step, and all that was tried.

    steps: from seconds a step, how many are to come; only then can it be said whether compiling pays. The classifier
    itself is left as it is: trials run on copies.
    """
    open_choices = choices(wanted, images.device)
    best, best_seconds, best_probe, trials = open_choices[0], float("inf"), 0.0, list[Trial]()
    emulated: set[str] = set()
    for choice in open_choices:
        if choice.autocast in emulated:
            continue
        few = images[:PROBE]
        probe = time_steps(copy.deepcopy(classifier).train(), choice, few, labels[:PROBE], least_seconds=0)
        probe_rate = len(few) / probe
        if probe_rate < EMULATED * best_probe:
            emulated.add(choice.autocast)
        if probe_rate < HOPELESS * best_probe:
            trials.append(Trial(choice, probe_rate, complete=False))
            continue
        best_probe = max(best_probe, probe_rate)
        seconds = time_steps(copy.deepcopy(classifier).train(), choice, images, labels)
        trials.append(Trial(choice, len(images) / seconds))
        if seconds < best_seconds:
            best, best_seconds = choice, seconds
    if wanted.compile != "no":
        best, best_seconds = _compile(classifier, images, labels, best, best_seconds, wanted, steps, trials)
    for trial in trials if len(trials) > 1 else []:
        log.info(
            "  tried %s: %.0f images/s%s",
            trial.choice,
            trial.images_per_second,
            "" if trial.complete else " (first look)",
        )
    if len(trials) > 1:
        log.info("  taken: %s", best)
    return best, best_seconds, trials


def has_compiler() -> bool:
    """Whether this machine has a C++ compiler, which `torch.compile` calls."""
    return any(shutil.which(compiler) for compiler in ("c++", "g++", "clang++"))


def _compile(
    classifier: nn.Module, images: Tensor, labels: Tensor, best: Choice, seconds: float, wanted: Precision,
    steps: Callable[[float], int], trials: list[Trial],
) -> tuple[Choice, float]:  # fmt: skip
    """Compile the best eager choice if that is asked for or forecast to pay, and keep it if it is faster."""
    compiled = replace(best, compile="yes")
    if not has_compiler():
        log.info("  not compiled: no C++ compiler on this machine")
        return best, seconds
    layers = sum(1 for module in classifier.modules() if not list(module.children()))
    cost = COMPILE_SECONDS[0] + COMPILE_SECONDS[1] * layers
    saving = steps(seconds) * seconds * (1 - 1 / COMPILE_GAIN)
    if wanted.compile == "auto" and saving <= 2 * cost:
        log.info("  not compiled: about %.0f s of compiling would save about %.0f s, and twice as much is asked", cost,
                 saving)  # fmt: skip
        return best, seconds
    try:
        torch.compiler.reset()  # all entries share one `forward`, of which torch keeps eight compiled forms
        compiled_seconds = time_steps(copy.deepcopy(classifier).train(), compiled, images, labels)
    except Exception as error:  # the compiler's own failures have no common class; eager always works
        reason = (str(error) or type(error).__name__).splitlines()[0]
        log.warning("  not compiled: torch.compile failed (%s)", reason)
        return best, seconds
    trials.append(Trial(compiled, len(images) / compiled_seconds))
    if wanted.compile == "yes" or compiled_seconds < seconds:
        return compiled, compiled_seconds
    return best, seconds
