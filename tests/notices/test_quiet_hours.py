from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wattledger.notices import PreferenceRefused, QuietHours

ZONES = ["Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Lagos"]
MINUTE = timedelta(minutes=1)
clocks = st.times().map(lambda clock: clock.strftime("%H:%M"))
instants = st.datetimes(min_value=datetime(2024, 1, 1), max_value=datetime(2027, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - Hypothesis wants bounds without a zone


def quiet(hours: QuietHours, instant: datetime, zone: ZoneInfo) -> bool:
    """Said again in other words: the minutes from the start on, round the dial, up to the end."""

    def minutes(clock: str) -> int:
        return 60 * int(clock[:2]) + int(clock[3:])

    local = instant.astimezone(zone)
    start, end, now = minutes(hours.start), minutes(hours.end), 60 * local.hour + local.minute
    return (now - start) % 1440 < (end - start) % 1440


@given(instants, clocks, clocks, st.sampled_from(ZONES))
# Berlin's clocks go from 02:00 to 03:00, and the quiet ends between the two; then back, and its end comes twice.
@example(datetime(2026, 3, 28, 23, tzinfo=UTC), "22:00", "02:30", "Europe/Berlin")
@example(datetime(2026, 10, 24, 23, tzinfo=UTC), "22:00", "02:30", "Europe/Berlin")
@example(datetime(2026, 10, 25, 1, 10, tzinfo=UTC), "22:00", "02:30", "Europe/Berlin")
def test_they_are_over_at_the_first_instant_that_is_not_quiet(
    now: datetime, start: str, end: str, zone_name: str
) -> None:
    hours, zone = QuietHours(start=start, end=end), ZoneInfo(zone_name)
    over = hours.over_at(now, zone=zone)
    assert over >= now
    assert not quiet(hours, over, zone)
    before = now
    while before < over:
        assert quiet(hours, before, zone)
        before += 7 * MINUTE
    if over > now:
        assert quiet(hours, over - MINUTE, zone)
        assert over.second == over.microsecond == 0


def test_the_usual_night() -> None:
    zone = ZoneInfo("Asia/Shanghai")
    night = datetime(2026, 3, 1, 23, 30, tzinfo=zone)
    assert QuietHours().over_at(night, zone=zone) == datetime(2026, 3, 2, 7, tzinfo=zone)
    evening = datetime(2026, 3, 1, 21, 59, 59, tzinfo=zone)
    assert QuietHours().over_at(evening, zone=zone) == evening


@pytest.mark.parametrize("clock", ["7:00", "24:00", "22", "", "22:60", "22.00"])
def test_what_is_no_time_of_day_is_refused(clock: str) -> None:
    with pytest.raises(PreferenceRefused):
        QuietHours(start=clock)
