import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattledger.kernel import (
    IntervalSeries,
    ManualClock,
    Period,
    Problem,
    Quality,
    epoch,
    from_epoch,
    local_days,
    local_months,
    stable_id,
    zone_named,
)

LONDON = ZoneInfo("Europe/London")
ZONES = st.sampled_from(["Europe/London", "Asia/Shanghai", "America/New_York", "Australia/Lord_Howe", "UTC"])


def day(month: int, number: int) -> datetime:
    return datetime(2026, month, number, tzinfo=UTC)


def test_days_have_23_to_25_hours() -> None:
    spring = next(local_days(Period(day(3, 29), day(3, 30)), zone=LONDON))
    autumn = next(local_days(Period(day(10, 25), day(10, 26)), zone=LONDON))
    assert spring.seconds == 23 * 3600
    assert autumn.seconds == 25 * 3600


@given(st.integers(0, 4 * 10**9), st.integers(1, 10**8), ZONES)
def test_months_follow_each_other_and_cover_the_period(start: int, length: int, zone: str) -> None:
    period = Period.of_epochs(start, start + length)
    months = list(local_months(period, zone=zone_named(zone)))
    assert months[0].start <= period.start < months[0].end
    assert months[-1].start < period.end <= months[-1].end
    assert all(a.end == b.start for a, b in itertools.pairwise(months))
    assert all(month.start.astimezone(zone_named(zone)).day == 1 for month in months)


def test_periods_are_half_open() -> None:
    period = Period(day(1, 1), day(1, 2))
    assert period.start in period
    assert period.end not in period
    assert period.intersection(Period(day(1, 2), day(1, 3))) is None
    with pytest.raises(ValueError, match="end"):
        Period(day(1, 2), day(1, 1))
    with pytest.raises(ValueError, match="aware"):
        Period(datetime(2026, 1, 1), day(1, 2))  # noqa: DTZ001 - the mistake itself


@given(st.integers(0, 4 * 10**9))
def test_epochs_go_there_and_back(seconds: int) -> None:
    assert epoch(from_epoch(seconds)) == seconds


def test_a_zone_that_is_none_is_refused_in_words() -> None:
    with pytest.raises(Problem, match="no time zone is called 'Mars/Olympus'"):
        zone_named("Mars/Olympus")


def test_a_clock_never_goes_back() -> None:
    clock = ManualClock(day(1, 2))
    clock.advance(timedelta(hours=1))
    with pytest.raises(ValueError, match="cannot go back"):
        clock.move_to(day(1, 1))


def test_a_stable_id_knows_its_parts_apart() -> None:
    assert stable_id("x", "a", "b") == stable_id("x", "a", "b")
    assert (
        len({stable_id("x", "a", "b"), stable_id("x", "ab"), stable_id("x", "b", "a"), stable_id("y", "a", "b")}) == 4
    )


def test_a_series_refuses_overlaps_and_sums_what_is_known() -> None:
    starts = np.array([0, 900, 1800], dtype=np.int64)
    values = np.array([5, 7, 9], dtype=np.int64)
    quality = np.array([Quality.ACTUAL, Quality.MISSING, Quality.ESTIMATED], dtype=np.uint8)
    series = IntervalSeries(starts, values, quality, 900)
    assert series.kilowatt_hours * 1000 == 14
    assert series.period == Period.of_epochs(0, 2700)
    assert series.within(Period.of_epochs(900, 1800)).values.tolist() == [7]
    with pytest.raises(ValueError, match="overlap"):
        IntervalSeries(starts[::-1], values, quality, 900)
    with pytest.raises(ValueError, match="differ in length"):
        IntervalSeries(starts[:2], values, quality, 900)
