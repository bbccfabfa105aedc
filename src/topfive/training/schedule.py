"""The learning rate as a pure function of how far a run has come, so that it can be plotted and tested alone."""

import math

from topfive.errors import look_up
from topfive.recipes.stages import Schedule


def constant(done: float, schedule: Schedule, epochs: float) -> float:
    """1 throughout."""
    return 1.0


def step(done: float, schedule: Schedule, epochs: float) -> float:
    """`factor` once for each epoch of `drop_at` that has passed."""
    return schedule.factor ** sum(done * epochs >= drop for drop in schedule.drop_at)


def linear(done: float, schedule: Schedule, epochs: float) -> float:
    """From 1 after the warm-up straight down to 0 at the end."""
    start = schedule.warmup / epochs
    return (1 - done) / (1 - start) if done > start else 1.0


def cosine(done: float, schedule: Schedule, epochs: float) -> float:
    """Half a cosine from 1 after the warm-up down to 0 at the end (Loshchilov & Hutter 2016, eq. 5, one cycle)."""
    start = schedule.warmup / epochs
    return 0.5 * (1 + math.cos(math.pi * max(0.0, done - start) / (1 - start)))


KINDS = {"constant": constant, "step": step, "linear": linear, "cosine": cosine}


def rate(done: float, schedule: Schedule, epochs: float) -> float:
    """The learning rate as a multiple of the optimizer's, when the share `done` in [0, 1] of a run is behind it.

    epochs: the length of the recipe's run, in which its warm-up and its drops are given; never negative.
    """
    warmth = 1.0
    if done * epochs < schedule.warmup:
        warmth = schedule.warmup_from + (1 - schedule.warmup_from) * done * epochs / schedule.warmup
    return warmth * look_up(schedule.kind, KINDS, kind="schedule")(done, schedule, epochs)
