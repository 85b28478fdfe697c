"""A meter's clock drifts, is set, and shows local time; its rows stay what they are."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattledger.dlms import ActionResult, DateTime, int16, octets
from wattledger.virtual_meter import DriftingClock, Fault

VIENNA = "Europe/Vienna"


@pytest.mark.parametrize(("day", "rows"), [((2026, 3, 29), 92), ((2026, 4, 1), 96), ((2026, 10, 25), 100)])
def test_a_local_day_has_its_rows(made: Callable[..., Any], day: tuple[int, int, int], rows: int) -> None:
    begins = datetime(*day, tzinfo=ZoneInfo(VIENNA)).astimezone(UTC)
    ends = (datetime(*day, tzinfo=ZoneInfo(VIENNA)) + timedelta(days=1)).astimezone(UTC)
    bench = made(zone=VIENNA, now=begins - timedelta(hours=3))
    bench.clock.move_to(ends + timedelta(hours=1))
    found = bench.between("1-0:99.1.0", begins + timedelta(minutes=15), ends)
    moments = [DateTime.decode(row[0]) for row in found]
    instants = [moment.instant() for moment in moments]
    assert len(found) == rows
    assert instants == [begins + timedelta(minutes=15 * (place + 1)) for place in range(rows)]
    summer = [bool(instant.astimezone(ZoneInfo(VIENNA)).dst()) for instant in instants]
    assert [moment.status == 0x80 for moment in moments] == summer
    assert [row[1] == 0x08 for row in found] == summer
    assert [moment.deviation_minutes for moment in moments] == [-120 if one else -60 for one in summer]


@given(ppm=st.integers(-500, 500), ahead=st.integers(-600, 600), passed=st.integers(0, 10**7))
def test_what_is_shown_leads_back_to_the_instant(ppm: int, ahead: int, passed: int) -> None:
    clock = DriftingClock(zone=UTC, ppm=ppm, ahead=ahead, since=10**9)
    at = 10**9 + passed
    assert abs(clock.shown(at) - at - ahead) <= 500 * passed // 10**6 + 1
    assert abs(clock.really(clock.shown(at)) - at) <= 2


@given(
    steps=st.lists(st.tuples(st.integers(1, 10**6), st.integers(-3_600, 3_600)), max_size=6), ppm=st.integers(-500, 500)
)
def test_a_clock_that_is_set_shows_what_it_was_told(steps: list[tuple[int, int]], ppm: int) -> None:
    clock, at = DriftingClock(zone=UTC, ppm=ppm, since=10**9), 10**9
    for passed, ahead in steps:
        at += passed
        clock.set(at=at, to=at + ahead)
        assert clock.shown(at) == at + ahead
        assert clock.really(at + ahead) == at


def test_setting_the_clock_is_logged_and_marks_the_row(made: Callable[..., Any]) -> None:
    bench = made(ahead=40)
    begun = bench.clock.now()
    bench.wait(hours=1, minutes=7)
    assert DateTime.decode(bench.read(8, "0-0:1.0.0")).instant() == bench.clock.now() + timedelta(seconds=40)
    now = DateTime.at(bench.clock.now()).encoded
    assert bench.write(8, "0-0:1.0.0", 2, octets(now)) == 0
    bench.wait(hours=1)
    assert bench.codes(0) == [4, 5]
    rows = bench.between("1-0:99.1.0", begun, bench.clock.now())
    assert [row[1] for row in rows] == [0] * 4 + [0x20] + [0] * 3


def test_the_clock_is_shifted_and_put_to_the_minute(made: Callable[..., Any]) -> None:
    bench = made(ahead=40)
    assert bench.invoke(8, "0-0:1.0.0", 6, int16(-15)) is ActionResult.SUCCESS
    assert DateTime.decode(bench.read(8, "0-0:1.0.0")).instant() == bench.clock.now() + timedelta(seconds=25)
    assert bench.invoke(8, "0-0:1.0.0", 3) is ActionResult.SUCCESS
    assert DateTime.decode(bench.read(8, "0-0:1.0.0")).instant() == bench.clock.now()
    assert bench.invoke(8, "0-0:1.0.0", 6, int16(1_000)) is ActionResult.TYPE_UNMATCHED


def test_a_clock_that_does_not_trust_itself_says_so(made: Callable[..., Any]) -> None:
    bench = made()
    begun = bench.clock.now()
    bench.wait(minutes=20)
    bench.meter.show_fault(Fault.CLOCK_INVALID)
    assert bench.read(8, "0-0:1.0.0", 4) == 0x01
    bench.wait(minutes=20)
    bench.meter.show_fault(Fault.CLOCK_INVALID, shown=False)
    bench.wait(minutes=20)
    rows = bench.between("1-0:99.1.0", begun, bench.clock.now())
    assert [row[1] for row in rows] == [0, 0x02, 0, 0]
    assert [DateTime.decode(row[0]).status for row in rows] == [0, 1, 0, 0]
    assert bench.codes(0) == [6]
    assert bench.read(8, "0-0:1.0.0", 4) == 0
