"""When a cut-off may come: pure laws over days, clock changes and holidays."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattledger.control import CutOffHours, HoursRefused, read_hours

ZONES = st.sampled_from(["Europe/Berlin", "Asia/Shanghai", "America/New_York", "Australia/Lord_Howe", "UTC"])
INSTANTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - given a zone


@st.composite
def hours(draw: st.DrawFn) -> CutOffHours:
    begin = draw(st.integers(0, 1439))
    return CutOffHours(
        begin=begin,
        end=draw(st.integers(begin + 1, 1440)),
        weekdays=draw(st.frozensets(st.integers(0, 6), min_size=2)),
        holidays=draw(st.frozensets(st.dates(date(2026, 1, 1), date(2026, 12, 31)), max_size=5)),
        eves=draw(st.booleans()),
    )


def open_at(rules: CutOffHours, at: datetime, zone: ZoneInfo) -> bool:
    """The same said the other way round: what the clock on the wall shows."""
    local = at.astimezone(zone)

    def friendly(day: date) -> bool:
        return day.weekday() not in rules.weekdays or day in rules.holidays

    day = local.date()
    if friendly(day) or (not rules.eves and friendly(day + timedelta(days=1))):
        return False
    return rules.begin <= local.hour * 60 + local.minute < rules.end


@given(hours(), INSTANTS, ZONES)
def test_the_next_allowed_instant_is_allowed_and_none_before_it_is(rules: CutOffHours, at: datetime, name: str) -> None:
    zone = ZoneInfo(name)
    try:
        found = rules.next_allowed(at, zone=zone)
    except HoursRefused:
        assert not rules.eves  # no two days of work in a row
        return
    assert found >= at
    assert found.tzinfo is UTC
    assert rules.next_allowed(found, zone=zone) == found
    changes = [found.astimezone(zone).utcoffset(), (found - timedelta(hours=3)).astimezone(zone).utcoffset()]
    if changes[0] == changes[1]:  # a wall clock that jumps within the hours is tested below
        assert open_at(rules, found, zone)
    step = max(timedelta(minutes=7), (found - at) / 50)
    earlier = at
    while earlier < found:
        same = (earlier - timedelta(hours=3)).astimezone(zone).utcoffset() == (earlier + timedelta(hours=3)).astimezone(
            zone
        ).utcoffset()
        assert not (same and open_at(rules, earlier, zone))
        earlier += step


@pytest.mark.parametrize(
    ("at", "begins"),
    [
        ("2026-03-28T20:00", "2026-03-29T01:30"),  # 02:30 does not exist: an hour later by the wall clock
        ("2026-10-24T20:00", "2026-10-25T00:30"),  # 02:30 comes twice: the first
        ("2026-07-01T20:00", "2026-07-02T00:30"),
    ],
)
def test_hours_that_begin_where_the_clocks_change(at: str, begins: str) -> None:
    rules = CutOffHours(begin=150, end=600)
    found = rules.next_allowed(datetime.fromisoformat(at).replace(tzinfo=UTC), zone=ZoneInfo("Europe/Berlin"))
    assert found == datetime.fromisoformat(begins).replace(tzinfo=UTC)


def test_hours_of_office_spare_nights_weekends_and_holidays() -> None:
    rules = read_hours(
        "{from: '08:00', to: '15:00', days: [mon, tue, wed, thu, fri], eves: false, country: DE,"
        " holidays: [2026-12-23]}",
        source="test",
    )
    zone = ZoneInfo("Europe/Berlin")

    def first(text: str) -> str:
        return f"{rules.next_allowed(datetime.fromisoformat(text), zone=zone).astimezone(zone):%a %d %H:%M}"

    assert first("2026-12-15T09:30+01:00") == "Tue 15 09:30"
    assert first("2026-12-15T15:00+01:00") == "Wed 16 08:00"
    assert first("2026-12-17T15:00+01:00") == "Mon 21 08:00"  # no Friday: nobody could help on the day after
    assert first("2026-12-21T16:00+01:00") == "Mon 28 08:00"  # 22 is an eve, 23 ours, 24 an eve, 25 and 26 holidays


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[]", "a mapping is wanted"),
        ("{at: '08:00'}", "at: is none of"),
        ("{from: '8'}", "from: '8' is no time"),
        ("{from: '15:00', to: '08:00'}", "to: it has to be after from"),
        ("{to: '24:30'}", "to: '24:30' is no time"),
        ("{days: []}", "nobody could ever be cut off"),
        ("{days: [monday]}", "days: 'monday'"),
        ("{eves: 1}", "eves"),
        ("{holidays: [christmas]}", "holidays: 'christmas' is no date"),
        ("{country: Atlantis}", "the holidays of Atlantis"),
    ],
)
def test_hours_that_cannot_be_are_refused_and_say_where(text: str, fault: str) -> None:
    with pytest.raises(HoursRefused) as refused:
        read_hours(text, source="hours.yaml")
    assert fault in refused.value.detail
