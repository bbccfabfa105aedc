"""Lines that say how far long work has come, one in SAY_EVERY seconds at most, and what it took."""

import logging
import time

log = logging.getLogger("topfive")

SAY_EVERY = 10.0  # seconds between lines


class Beat:
    """When to say the next line."""

    def __init__(self) -> None:
        self.said_at = time.perf_counter()

    def due(self) -> bool:
        """Whether SAY_EVERY seconds have passed since it was begun, or since it last said so."""
        now = time.perf_counter()
        due = now - self.said_at > SAY_EVERY
        if due:
            self.said_at = now
        return due


class Countdown:
    """How much of some work is done, and what is left at the pace so far: `what: 300 of 900 images, 40 s left`.

    whole: how many `things` there are.
    """

    def __init__(self, what: str, whole: int, things: str = "images") -> None:
        self.what, self.whole, self.things = what, whole, things
        self.beat, self.started_at = Beat(), time.perf_counter()

    def at(self, done: int) -> None:
        """Say that so many are done, if a line is due."""
        if 0 < done < self.whole and self.beat.due():
            left = (time.perf_counter() - self.started_at) / done * (self.whole - done)
            log.info("  %s: %d of %d %s, %s left", self.what, done, self.whole, self.things, spoken(left))


def say_took(what: str, seconds: float, images: int = 0) -> None:
    """Say what work took, and a share of it where it went through `images`; the record's `took` has all three."""
    an_image = f", {1000 * seconds / images:.3g} ms an image" if images else ""
    log.info("  %s took %s%s", what, spoken(seconds), an_image, extra={"took": (what, seconds, images)})


def spoken(seconds: float) -> str:
    """`0.4 s`, `90 s` or `2.5 min`."""
    if seconds >= 120:
        return f"{seconds / 60:.1f} min"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
