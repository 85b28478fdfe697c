from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattledger.demo import SpeedRefused, TownClock

START = datetime(2026, 7, 31, 9, tzinfo=UTC)


class Life:
    """Real time, moved by the test."""

    def __init__(self) -> None:
        self.ns = 10**15

    def __call__(self) -> int:
        return self.ns


def test_it_stands_until_it_runs_and_then_runs_fast() -> None:
    life = Life()
    clock = TownClock(start=START, speed=600, monotonic_ns=life)
    life.ns += 10**9
    assert clock.now() == START
    clock.run()
    life.ns += 1_500_000_000
    assert clock.now() == START + timedelta(minutes=15)
    clock.stand_still()
    life.ns += 10**12
    assert clock.now() == START + timedelta(minutes=15)
    clock.run()
    life.ns += 10**9
    assert clock.now() == START + timedelta(minutes=25)


def test_it_is_moved_by_hand_forwards_only_and_not_while_it_runs() -> None:
    clock = TownClock(start=START, speed=1, monotonic_ns=Life())
    clock.move_to(START + timedelta(hours=1))
    clock.move_to(START)
    assert clock.now() == START + timedelta(hours=1)
    clock.run()
    with pytest.raises(ValueError, match="running"):
        clock.move_to(START + timedelta(hours=2))


def test_who_sleeps_knows_how_long() -> None:
    clock = TownClock(start=START, speed=900, monotonic_ns=Life())
    assert clock.seconds_of_life_until(START + timedelta(minutes=15)) == 1
    assert clock.seconds_of_life_until(START - timedelta(minutes=15)) == 0


@given(speed=st.integers(1, 3600), steps=st.lists(st.integers(0, 10**10), max_size=30))
def test_it_never_goes_back_and_looking_does_not_change_it(speed: int, steps: list[int]) -> None:
    life = Life()
    clock = TownClock(start=START, speed=speed, monotonic_ns=life)
    clock.run()
    seen = [clock.now()]
    for step in steps:
        life.ns += step
        seen.append(clock.now())
        assert clock.now() == seen[-1]
    assert seen == sorted(seen)
    assert seen[-1] == START + timedelta(microseconds=sum(steps) * speed // 1000)


@pytest.mark.parametrize("speed", [0, -1, 100_000])
def test_an_impossible_speed_is_refused(speed: int) -> None:
    with pytest.raises(SpeedRefused, match="--speed"):
        TownClock(start=START, speed=speed, monotonic_ns=Life())
