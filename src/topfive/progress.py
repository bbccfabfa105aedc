"""Lines that say how far long work has come: one in EVERY seconds, with what is left at the pace so far."""

import logging
import time

log = logging.getLogger("topfive")

EVERY = 10.0  # seconds between lines


class Beat:
    """When to say the next line."""

    def __init__(self) -> None:
        self.said_at = time.perf_counter()

    def due(self) -> bool:
        """Whether EVERY seconds have passed since it was begun, or since it last said so."""
        now = time.perf_counter()
        due = now - self.said_at > EVERY
        if due:
            self.said_at = now
        return due


class Countdown:
    """How much of some work is done: `what: 300 of 900 images, 40 s left`. whole: how much there is."""

    def __init__(self, what: str, whole: int, things: str = "images") -> None:
        self.what, self.whole, self.things = what, whole, things
        self.beat, self.started = Beat(), time.perf_counter()

    def at(self, done: int) -> None:
        """So much of it is done by now."""
        if done and self.beat.due():
            left = (time.perf_counter() - self.started) / done * (self.whole - done)
            log.info("  %s: %d of %d %s, %s left", self.what, done, self.whole, self.things, spoken(left))


def of_images(seconds: float, images: int) -> str:
    """What work on so many images took, as `90 s, 1.8 ms an image`."""
    return f"{spoken(seconds)}, {1000 * seconds / images:.3g} ms an image"


def spoken(seconds: float) -> str:
    """`0.4 s`, `90 s` or `2.5 min`."""
    if seconds >= 120:
        return f"{seconds / 60:.1f} min"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
