"""Lines of progress: how often, what they say."""

import pytest

from topfive import progress
from topfive.progress import Beat, Countdown, say_took, spoken


class Clock:
    now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_a_line_is_due_once_in_so_many_seconds(clock: Clock) -> None:
    beat, due = Beat(), []
    for clock.now in (101, 110, 110.1, 111, 120, 120.2, 140, 150.1):
        due.append(beat.due())
    assert due == [False, False, True, False, False, True, True, True]


def test_a_countdown_tells_what_is_left_at_the_pace_so_far(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="topfive")
    countdown = Countdown("codes", 900)
    for clock.now, done in ((105, 50), (111, 0), (120, 200), (121, 250), (140, 800), (160, 900)):
        countdown.at(done)
    assert caplog.messages == ["  codes: 200 of 900 images, 70 s left", "  codes: 800 of 900 images, 5.0 s left"]


def test_seconds_as_a_person_says_them() -> None:
    assert [spoken(seconds) for seconds in (0.42, 9, 12.4, 119, 150)] == ["0.4 s", "9.0 s", "12 s", "119 s", "2.5 min"]


def test_what_work_took_is_said_and_kept_unrounded(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="topfive")
    say_took("kmeans", 150.0)
    say_took("coding", 90.04, 50_000)
    assert caplog.messages == ["  kmeans took 2.5 min", "  coding took 90 s, 1.8 ms an image"]
    assert vars(caplog.records[1])["took"] == ("coding", 90.04, 50_000)
