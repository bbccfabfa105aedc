"""How long a run is, in steps, and how that is kept within a time budget.

A run's length may change while it goes on, because machines are not equally fast all the time. The share of the run
that is done never jumps: after a change it goes on from where it was, in steps of another size, so that schedules stay
continuous. The changes are recorded as legs, and a run repeated with the same legs is the same run.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

CHECKS = 25  # times that a run with a limit looks at its clock

Leg = tuple[int, int]  # from this step on, the run is that many steps long


@dataclass(frozen=True)
class Cold:
    """The next `steps` steps take `seconds` each more than others: their images are met, and decoded, first."""

    steps: int
    seconds: float


@dataclass
class Course:
    """The legs of a run, the first from step 0."""

    legs: list[Leg]

    @property
    def steps(self) -> int:
        """The run's length as it stands now."""
        return self.legs[-1][1]

    def done(self, step: int) -> float:
        """The share of the run that is behind it before `step`, in [0, 1]; continuous across legs."""
        share = 0.0
        for (start, end), (following, _) in zip(self.legs, [*self.legs[1:], (step, 0)], strict=True):
            reached = min(step, following)
            if reached > start:
                share += (1 - share) * (reached - start) / max(1, end - start)
        return min(1.0, share)


@dataclass
class Pace:
    """Decides how long a run is: as its recipe says, or as long as `seconds` allow, or as it was the last time.

    most: steps of the full recipe. seconds: for measuring, compiling and all steps; None for no limit. replay: the legs
    to repeat.
    """

    most: int
    seconds: float | None = None
    replay: Sequence[Leg] = field(default_factory=list)

    def first(self, seconds_per_step: float, spent: float = 0.0, cold: Cold | None = None) -> int:
        """The steps to set out for, given what one was measured to take and what is spent already."""
        if self.replay:
            return self.replay[0][1]
        return self.most if self.seconds is None else self._fitting(0, spent, seconds_per_step, cold)

    def again(self, step: int, spent: float, seconds_per_step: float, steps: int, cold: Cold | None = None) -> int:
        """The length to go on with: `steps`, unless the forecast misses the limit or leaves a tenth of it unused."""
        if self.replay:
            return next((end for start, end in self.replay[1:] if start == step), steps)
        if self.seconds is None or step >= steps or step % max(1, steps // CHECKS):
            return steps
        fitting = self._fitting(step, spent, seconds_per_step, cold)
        too_long, much_too_short = steps - fitting > 0.02 * steps, fitting - step > 1.1 * (steps - step)
        return fitting if too_long or much_too_short else steps

    def _fitting(self, step: int, spent: float, seconds_per_step: float, cold: Cold | None) -> int:
        assert self.seconds is not None
        left, a_step, first = max(0.0, self.seconds - spent), max(seconds_per_step, 1e-9), 0.0
        if cold is not None:
            first = min(cold.steps, left / (a_step + cold.seconds))
            left -= first * (a_step + cold.seconds)
        return max(1, min(self.most, step + max(1, int(first + left / a_step))))
