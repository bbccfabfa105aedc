"""The `sgd` stage: steps of SGD with momentum that can be stopped at any moment and go on equal to the bit."""

import copy
import itertools
import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

import torch
from torch import Tensor, nn

from topfive.data.draws import step_seed
from topfive.data.loader import Batch, TrainingLoader
from topfive.errors import Diverged
from topfive.progress import SAY_EVERY, Beat, spoken
from topfive.recipes.stages import Sgd
from topfive.training import checkpoint
from topfive.training.checkpoint import Progress, under
from topfive.training.history import History
from topfive.training.loss import Output, loss_of
from topfive.training.optimizer import build_optimizer, momenta, set_momenta
from topfive.training.pace import Cold, Course, Pace
from topfive.training.schedule import rate
from topfive.training.tuning import Choice, Trial, choose, has_compiler

log = logging.getLogger("topfive")

Forward = Callable[[Tensor], Output]

SAVE_EVERY = 30.0  # seconds between checkpoints; more where writing one takes long
TIMED = 5  # steps that a process must have taken before its length is looked at


class SgdLoop:
    """One `sgd` stage over a classifier.

    All that a step depends on is in `classifier`, the optimizer's momenta, `average` and `progress`; all of it is in a
    checkpoint. Dropout draws from a generator seeded by (seed, step).
    """

    def __init__(
        self, classifier: nn.Module, stage: Sgd, loader: TrainingLoader, folder: Path, progress: Progress, pace: Pace,
        stored: dict[str, Tensor],
    ) -> None:  # fmt: skip
        self.classifier, self.stage, self.loader = classifier, stage, loader
        self.folder, self.progress, self.pace = folder, progress, pace
        self.device = torch.device(loader.device)
        self.stored = stored
        self.average: nn.Module | None = None
        self.recent = 0.0  # seconds a step of late, without what decoding adds in a process's first epoch
        self.taken = 0  # steps in this process

    def fit(self) -> nn.Module:
        """Take the stage's steps; the classifier with the weights to judge, averaged where the recipe says so.

        Raises Diverged on a loss that is not finite, KeyboardInterrupt on Ctrl-C; a checkpoint is kept in both cases.
        """
        started = time.perf_counter()
        seconds_before = self.progress.seconds
        choice = self._choose()
        choice.place(self.classifier)
        self.optimizer = build_optimizer(self.classifier, self.stage.optimizer)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=choice.autocast == "float16")
        self._restore()
        forward = choice.run(self.classifier)
        history = History(self.folder, self.progress.history, self.progress.step)
        course = Course(self.progress.legs)

        def spend() -> None:
            self.progress.seconds = seconds_before + time.perf_counter() - started
            self.progress.history = history.bytes

        try:
            if not self.progress.step:
                spend()
                self._save()  # so that a run killed from here on keeps its choice
            with stopping_cleanly() as stop:
                self._steps(forward, choice, course, history, stop, spend)
        finally:
            spend()
            history.close()
        return self.average or self.classifier

    def _choose(self) -> Choice:
        """The choice this run was begun with, or the fastest one now; also the run's length."""
        if self.progress.choice is not None:
            choice = Choice(**self.progress.choice)
            if choice.compile == "yes" and not has_compiler():
                log.warning("%s: goes on uncompiled, there is no C++ compiler on this machine; it will not be equal to "
                            "the bit", self.folder)  # fmt: skip
                choice = replace(choice, compile="no")
                self.progress.choice = choice.to_json()
            return choice
        started = time.perf_counter()
        log.info("measuring how to compute %s on this machine", type(self.classifier).__name__)
        found = measure(self.classifier, self.loader, self.stage, self.pace.first)
        self.progress.choice = found.choice.to_json()
        self.recent, self.progress.decoding = found.a_step, found.decoding
        spent = self.progress.seconds + time.perf_counter() - started
        self.progress.legs = [(0, self.pace.first(self.recent, spent, Cold(len(self.loader), found.decoding)))]
        return found.choice

    def _restore(self) -> None:
        if self.stage.ema_decay is not None:
            self.average = copy.deepcopy(self.classifier)
        if not self.progress.step:
            return
        set_momenta(self.classifier, self.optimizer, under("momentum", self.stored))
        if self.average is not None:
            self.average.load_state_dict(under("average", self.stored))
        if self.progress.scaler:
            self.scaler.load_state_dict(self.progress.scaler)

    def _save(self) -> float:
        """Write a checkpoint; the seconds it took."""
        started = time.perf_counter()
        tensors = {f"classifier/{name}": tensor for name, tensor in self.classifier.state_dict().items()}
        tensors |= {f"momentum/{name}": tensor for name, tensor in momenta(self.classifier, self.optimizer).items()}
        if self.average is not None:
            tensors |= {f"average/{name}": tensor for name, tensor in self.average.state_dict().items()}
        self.progress.scaler = self.scaler.state_dict()
        self.progress.broken |= {image.id: image.reason for image in self.loader.broken}
        checkpoint.save(self.folder, self.progress, tensors)
        return time.perf_counter() - started

    def _steps(
        self,
        forward: Forward,
        choice: Choice,
        course: Course,
        history: History,
        stop: threading.Event,
        spend: Callable[[], None],
    ) -> None:
        progress, per_epoch = self.progress, len(self.loader)
        saved_at = length_said_at = time.perf_counter()
        beat = Beat()
        saving, said_steps = 0.0, course.steps
        self.classifier.train()
        began = time.perf_counter()  # of a step, which includes the supply of its batch
        while progress.step < course.steps:
            epoch, first = divmod(progress.step, per_epoch)
            for batch in self.loader.epoch(epoch, first):
                lr = self.stage.optimizer.lr * rate(course.done(progress.step), self.stage.schedule, self.stage.epochs)
                sums = self._step(batch, lr, forward, choice)
                progress.step += 1
                for name, amount in sums.items():
                    progress.sums[name] = progress.sums.get(name, 0.0) + amount
                now = time.perf_counter()
                self._time(now - began)
                spend()
                steps = course.steps
                if self.pace.replay or self.taken >= TIMED:  # what is repeated needs no timing
                    cold = Cold(max(0, per_epoch - self.taken), progress.decoding)
                    steps = self.pace.again(progress.step, progress.seconds, self.recent, steps, cold)
                if steps != course.steps:
                    course.legs.append((progress.step, steps))
                    if abs(steps - said_steps) > 0.1 * said_steps and now - length_said_at > 3 * SAY_EVERY:
                        log.info("  the run is now %d steps long instead of %d, to keep to its time", steps, said_steps)
                        said_steps, length_said_at = steps, now
                over = progress.step >= course.steps
                if progress.step % per_epoch == 0 or over:
                    self._close_epoch(history, lr)
                if self.recent and beat.due():
                    self._say(course, sums["loss"] / sums["images"], lr)
                if stop.is_set() or over or now - saved_at > max(SAVE_EVERY, 20 * saving):
                    spend()
                    saving, saved_at = self._save(), time.perf_counter()
                if stop.is_set():
                    raise KeyboardInterrupt
                if over:
                    return
                began = time.perf_counter()

    def _time(self, seconds: float) -> None:
        """Note what a step took, less the decoding of images that this process met for the first time."""
        self.taken += 1
        if self.taken == 1:  # it compiles, and warms up
            return
        if self.taken <= len(self.loader):
            seconds = max(0.1 * seconds, seconds - self.progress.decoding)
        self.recent = 0.9 * self.recent + 0.1 * seconds if self.recent else seconds

    def _step(self, batch: Batch, lr: float, forward: Forward, choice: Choice) -> dict[str, float]:
        """One optimizer update; the images, and the sums over them of the losses and of wrong answers before it.

        In place of wrong answers strangers, where codes are learned.
        """
        torch.manual_seed(step_seed(self.loader.seed, self.progress.step))
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad(set_to_none=True)
        size, images_in_all = self.stage.micro_batch or len(batch.rows), len(batch.rows)
        sums, total = {"loss": 0.0, "images": float(images_in_all)}, 0.0
        for images, labels in zip(torch.split(batch.images, size), torch.split(batch.labels, size), strict=True):
            images = images.contiguous(memory_format=choice.memory_format)
            with choice.arithmetic(self.device):
                output = forward(images)
            loss = loss_of(output, labels, self.stage.label_smoothing)
            torch.autograd.backward(self.scaler.scale(loss.total * (len(labels) / images_in_all)))
            total += loss.total.item()
            sums["loss"] += loss.own.item() * len(labels)
            if loss.auxiliary is not None:
                sums["auxiliary_loss"] = sums.get("auxiliary_loss", 0.0) + loss.auxiliary.item() * len(labels)
            for name, count in (("wrong", loss.wrong), ("strangers", loss.strangers)):
                if count is not None:
                    sums[name] = sums.get(name, 0.0) + count
        if not math.isfinite(total):
            raise Diverged(
                f"{self.folder.name}: the loss was {total} at step {self.progress.step + 1} (learning rate {lr:g}); "
                "train again into another --out with a lower optimizer.lr or with clip_norm"
            )
        if self.stage.clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.classifier.parameters(), self.stage.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            self._update_average(self.stage.ema_decay or 0.0)
        return sums

    @torch.no_grad()
    def _update_average(self, decay: float) -> None:
        assert self.average is not None
        decay = min(decay, (1 + self.progress.step) / (10 + self.progress.step))  # soon past the random start
        for ours, theirs in zip(self.average.state_dict().values(), self.classifier.state_dict().values(), strict=True):
            if ours.is_floating_point():
                ours.lerp_(theirs, 1 - decay)
            else:
                ours.copy_(theirs)

    def _close_epoch(self, history: History, lr: float) -> None:
        sums = self.progress.sums
        keys = {"loss": "loss", "auxiliary_loss": "auxiliary_loss", "wrong": "top1_error", "strangers": "strangers"}
        means = {key: sums[name] / sums["images"] for name, key in keys.items() if name in sums}
        history.add(self.progress.step, epoch=self.progress.step / len(self.loader), **means, lr=lr)
        self.progress.sums = {}

    def _say(self, course: Course, loss: float, lr: float) -> None:
        left = (course.steps - self.progress.step) * self.recent
        log.info(
            "  %s step %d of %d (epoch %.1f), loss %.3f, lr %.3g, %.0f images/s, %s left",
            self.folder.name, self.progress.step, course.steps, self.progress.step / len(self.loader), loss, lr,
            self.loader.batch_size / self.recent, spoken(left),
        )  # fmt: skip


@dataclass(frozen=True)
class Supply:
    """Seconds that a batch takes to come: `a_step` always, and `decoding` more in the first epoch."""

    a_step: float
    decoding: float


@dataclass(frozen=True)
class Measured:
    """a_step: seconds of a step, its batch included. decoding: what a batch takes besides when its images are new."""

    choice: Choice
    a_step: float
    decoding: float
    trials: list[Trial]


def measure(
    classifier: nn.Module, loader: TrainingLoader, stage: Sgd, steps: Callable[[float], int]
) -> Measured:  # fmt: skip
    """Time the stage's steps on this machine. steps: from the seconds of one, how many are to come."""
    supply, batch = measure_supply(loader), next(loader.epoch(0))
    size = stage.micro_batch or len(batch.images)
    passes = math.ceil(len(batch.images) / size)  # forward and backward, a step
    choice, a_pass, trials = choose(
        classifier, batch.images[:size], batch.labels[:size], stage.precision,
        lambda seconds: steps(seconds * passes + supply.a_step) * passes,
    )  # fmt: skip
    return Measured(choice, a_pass * passes + supply.a_step, supply.decoding, trials)


def measure_supply(loader: TrainingLoader) -> Supply:
    """Forecast from a few batches, taken twice: images that stay decoded come faster the second time."""

    def seconds() -> float:
        started = time.perf_counter()
        for place, _ in enumerate(itertools.islice(loader.epoch(0), 5)):
            if not place and len(loader) > 1:  # the first also draws for the whole epoch
                started = time.perf_counter()
        return (time.perf_counter() - started) / max(1, place)

    cold, warm = seconds(), seconds()
    decoding = 0.0 if loader.in_memory else max(0.0, cold - warm)
    again = decoding * (1 - loader.kept_share)  # images that memory has no room for are decoded every time
    return Supply(warm + again, decoding - again)


@contextmanager
def stopping_cleanly() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets instead of breaking into a step; a second Ctrl-C breaks at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
