"""Learning rates against values worked by hand, and what holds for every schedule."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topfive.errors import UnknownName
from topfive.recipes.stages import Schedule
from topfive.training.schedule import KINDS, rate

WHOLE = st.floats(0, 1)


@pytest.mark.parametrize(
    ("schedule", "epochs", "by_hand"),
    [
        (Schedule(kind="constant"), 10, {0.0: 1, 0.5: 1, 1.0: 1}),
        # He et al. 2015, sec. 4.2: divided by 10 at 32k and at 48k of 64k iterations.
        (Schedule(kind="step", drop_at=(32, 48), factor=0.1), 64,
         {0: 1, 0.499: 1, 0.5: 0.1, 0.74: 0.1, 0.75: 0.01, 1: 0.01}),
        (Schedule(kind="linear"), 4, {0: 1, 0.25: 0.75, 0.5: 0.5, 1: 0}),
        (Schedule(kind="linear", warmup=1), 5, {0: 0, 0.1: 0.5, 0.2: 1, 0.6: 0.5, 0.9: 0.125, 1: 0}),
        (Schedule(kind="cosine"), 3, {0: 1, 1 / 3: 0.75, 0.5: 0.5, 2 / 3: 0.25, 1: 0}),
        (Schedule(kind="cosine", warmup=2), 10, {0.1: 0.5, 0.2: 1, 0.6: 0.5, 0.4: (1 + math.sqrt(0.5)) / 2, 1: 0}),
        # Goyal et al. 2017, sec. 2.2: from 1/32 of the rate up to it in 5 of 90 epochs.
        (Schedule(kind="constant", warmup=5, warmup_from=1 / 32), 90,
         {0: 1 / 32, 2.5 / 90: (1 + 1 / 32) / 2, 5 / 90: 1}),
    ],
)  # fmt: skip
def test_each_kind_gives_the_values_worked_by_hand(
    schedule: Schedule, epochs: float, by_hand: dict[float, float]
) -> None:
    for done, expected in by_hand.items():
        assert rate(done, schedule, epochs) == pytest.approx(expected, abs=1e-12), done


@st.composite
def schedules(draw: st.DrawFn) -> tuple[Schedule, float]:
    epochs = draw(st.floats(0.5, 300))
    warmup = draw(st.floats(0, 0.9)) * epochs
    drops = tuple(draw(st.lists(st.floats(0.1, 300), max_size=3)))
    kind = draw(st.sampled_from(sorted(KINDS)))
    return Schedule(kind=kind, warmup=warmup, warmup_from=draw(WHOLE), drop_at=drops, factor=draw(WHOLE)), epochs


@given(schedules(), WHOLE)
def test_no_rate_is_negative_or_above_the_optimizers(case: tuple[Schedule, float], done: float) -> None:
    schedule, epochs = case
    assert 0 <= rate(done, schedule, epochs) <= 1 + 1e-12


@given(schedules())
def test_warm_up_meets_the_schedule_without_a_jump(case: tuple[Schedule, float]) -> None:
    schedule, epochs = case
    end = schedule.warmup / epochs
    if schedule.kind != "step" and end > 1e-3:  # a step may drop at any moment
        assert rate(end * (1 - 1e-6), schedule, epochs) == pytest.approx(rate(end, schedule, epochs), abs=1e-4)
        assert rate(0.0, schedule, epochs) == pytest.approx(schedule.warmup_from)


@given(schedules(), WHOLE, WHOLE)
def test_after_warm_up_no_rate_rises(case: tuple[Schedule, float], a: float, b: float) -> None:
    schedule, epochs = case
    start = schedule.warmup / epochs
    early, late = sorted((start + a * (1 - start), start + b * (1 - start)))
    assert rate(late, schedule, epochs) <= rate(early, schedule, epochs) + 1e-6


def test_a_schedule_that_does_not_exist_is_named() -> None:
    odd = Schedule().model_copy(update={"kind": "cosin"})
    with pytest.raises(UnknownName, match=r"no schedule named 'cosin' \(did you mean cosine\?\)"):
        rate(0.5, odd, 10)
