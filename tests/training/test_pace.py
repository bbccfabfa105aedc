"""The length of a run: the share that is done never jumps, the minutes are kept, and a repeated run is the same run."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topfive.training.pace import Cold, Course, Leg, Pace


@st.composite
def legs(draw: st.DrawFn) -> list[Leg]:
    """Changes of length as a run makes them: each later than the last, before its end, to an end still ahead."""
    found = [(0, draw(st.integers(1, 400)))]
    for _ in range(draw(st.integers(0, 4))):
        start, end = found[-1]
        if end - start < 2:
            break
        change = draw(st.integers(start + 1, end - 1))
        found.append((change, draw(st.integers(change + 1, change + 400))))
    return found


def test_done_by_hand() -> None:
    course = Course([(0, 100), (40, 80), (60, 100)])
    # 40 of 100 steps; of the other 0.6, 20 of 40 steps: 0.7; of the other 0.3, in 40 steps.
    assert [course.done(step) for step in (0, 10, 40, 50, 60, 80, 100)] == pytest.approx(
        [0, 0.1, 0.4, 0.55, 0.7, 0.85, 1]
    )
    assert course.steps == 100


@given(legs())
def test_done_rises_from_0_to_1_without_a_jump(found: list[Leg]) -> None:
    course = Course(found)
    shares = [course.done(step) for step in range(course.steps + 1)]
    assert shares[0] == 0
    assert shares[-1] == pytest.approx(1)
    for step, (before, after) in enumerate(pairwise(shares)):
        start, end = max(leg for leg in found if leg[0] <= step)
        # One step of a leg is 1 / (steps of the leg) of what was left at its start, and nothing happens between steps.
        assert after - before == pytest.approx((1 - shares[start]) / (end - start))


@given(legs(), st.integers(0, 800), st.integers(1, 400))
def test_a_change_of_length_leaves_what_is_done_as_it_was(found: list[Leg], at: int, more: int) -> None:
    start, end = found[-1]
    step = start + 1 + at % max(1, end - start)
    if step < end:
        changed = Course([*found, (step, step + more)])
        for earlier in range(step + 1):
            assert changed.done(earlier) == pytest.approx(Course(found).done(earlier))


def run(pace: Pace, seconds_of: list[float], guess: float) -> tuple[float, list[Leg]]:
    """Steps that take `seconds_of` (the last for ever), as the loop takes them: the time they took, and the legs."""
    spent, recent, step = 0.0, guess, 0
    course = Course([(0, pace.first(guess))])
    while step < course.steps:
        took = seconds_of[min(step, len(seconds_of) - 1)]
        spent, step, recent = spent + took, step + 1, 0.9 * recent + 0.1 * took
        steps = pace.again(step, spent, recent, course.steps)
        if steps != course.steps:
            course.legs.append((step, steps))
    return spent, course.legs


@pytest.mark.parametrize("slower", [1.0, 1.5, 2.0, 4.0])
@pytest.mark.parametrize("at", [0, 100, 500, 900])
def test_a_run_keeps_its_limit_when_the_machine_slows_down(slower: float, at: int) -> None:
    pace = Pace(most=100_000, seconds=100.0)
    spent, _ = run(pace, [0.1] * at + [0.1 * slower], guess=0.1)
    assert 90 <= spent <= 105


def test_a_run_on_a_machine_that_speeds_up_uses_its_minutes() -> None:
    spent, found = run(Pace(most=100_000, seconds=100.0), [0.2] * 100 + [0.1], guess=0.2)
    assert 90 <= spent <= 105
    assert found[-1][1] > 600  # 500 steps of 0.2 s were planned


@given(st.floats(1e-3, 10), st.floats(0.2, 5), st.integers(1, 500))
def test_no_run_is_longer_than_its_recipe_or_shorter_than_a_step(seconds: float, wrong: float, most: int) -> None:
    _, found = run(Pace(most=most, seconds=seconds), [0.01 * wrong], guess=0.01)
    assert all(1 <= end <= most for _, end in found)


def test_without_a_limit_a_run_is_as_long_as_its_recipe() -> None:
    assert run(Pace(most=40), [1.0, 9.0], guess=1e-9)[1] == [(0, 40)]


def test_a_replay_repeats_the_legs_at_any_speed() -> None:
    _, found = run(Pace(most=100_000, seconds=100.0), [0.1] * 300 + [0.25] * 200 + [0.15], guess=0.1)
    assert len(found) > 2
    for seconds in (1e-6, 50.0):
        assert run(Pace(most=7, replay=found), [seconds], guess=seconds)[1] == found


@pytest.mark.parametrize(
    ("cold", "steps"),
    # 50 steps of 1.1 s and 450 of 0.1 s; all the time goes into first steps; none is cold
    [(Cold(50, 1.0), 500), (Cold(200, 1.0), 90), (Cold(0, 1.0), 1000), (None, 1000)],
)
def test_images_that_are_met_first_take_longer(cold: Cold | None, steps: int) -> None:
    assert Pace(most=5000, seconds=100.0).first(0.1, 0.0, cold) == pytest.approx(steps, abs=1)


def test_decoding_in_the_first_epoch_is_not_taken_for_the_speed_of_the_run() -> None:
    pace = Pace(most=100_000, seconds=300.0)
    steps = pace.first(0.2, 0.0, Cold(100, 1.8))
    assert steps == pytest.approx(600, abs=1)
    for step in range(1, 101):
        assert pace.again(step, 2.0 * step, 0.2, steps, Cold(100 - step, 1.8)) == steps
