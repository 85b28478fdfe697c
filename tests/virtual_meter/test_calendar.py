"""Rates follow the calendar: seasons, weeks, days, special days; a passive one becomes active at its date."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattledger.dlms import ActionResult, Data, DateTime, array, octets, structure, uint8, uint16
from wattledger.virtual_meter import TWO_RATES, PartDate

CALENDAR, SPECIAL = "0-0:13.0.0", "0-0:11.0.0"
ANY = b"\xff\xff\xff\xff\xff"
CHRISTMAS = b"\xff\xff\x0c\x19\xff"


def day(number: int, *rates: tuple[int, int]) -> Data:
    actions = [structure(octets(bytes((hour, 0, 0, 0))), octets(bytes(6)), uint16(rate)) for hour, rate in rates]
    return structure(uint8(number), array(actions))


def plan(bench: Any, *, seasons: list[tuple[bytes, bytes, bytes]], at: datetime | None = None) -> None:  # noqa: ANN401 - a bench
    """Weekdays rates 1 and 3, from 8 and 20 on; Saturday and Sunday 4; in the week called s, 2 all the time."""
    written = {
        6: octets(b"NEW"),
        7: array(
            [
                structure(octets(name), octets(start + bytes(4) + b"\x80\0\0"), octets(week))
                for name, start, week in seasons
            ]
        ),
        8: array(
            [structure(octets(b"w"), *map(uint8, [1] * 5 + [2] * 2)), structure(octets(b"s"), *map(uint8, [3] * 7))]
        ),
        9: array([day(1, (8, 1), (20, 3)), day(2, (0, 4)), day(3, (0, 2))]),
    }
    for attribute, value in written.items():
        assert bench.write(20, CALENDAR, attribute, value) == 0
    if at is not None:
        assert bench.write(20, CALENDAR, 10, octets(DateTime.at(at).encoded)) == 0


def rates(bench: Any) -> list[int]:  # noqa: ANN401 - a bench
    return [bench.read(3, f"1-0:1.8.{rate}") for rate in (1, 2, 3, 4)]


def test_from_the_works_there_are_day_and_night(made: Callable[..., Any]) -> None:
    bench = made(watts=1_000, register_wh=5)
    assert bench.read(20, CALENDAR) == b"WLG1"
    assert bench.read(1, "0-0:96.14.0") == 2
    bench.wait(hours=24)
    assert rates(bench) == [15_000, 9_005, 0, 0]


def test_a_passive_calendar_becomes_active_at_its_date(made: Callable[..., Any]) -> None:
    bench = made(watts=1_000)  # a Tuesday, 06:00
    begins = datetime(2026, 3, 12, tzinfo=UTC)
    plan(bench, seasons=[(b"1", ANY, b"w")], at=begins)
    bench.wait(hours=12)
    assert (bench.read(20, CALENDAR), bench.read(20, CALENDAR, 6)) == (b"WLG1", b"NEW")
    bench.clock.move_to(begins)
    before = rates(bench)
    assert before == [30_000, 12_000, 0, 0]
    bench.wait(days=3, hours=12)  # to noon of a Sunday
    assert bench.read(20, CALENDAR) == b"NEW"
    assert bench.read(20, CALENDAR, 10) == bytes.fromhex("ffffffffffffffffff8000ff")
    assert bench.read(1, "0-0:96.14.0") == 4
    # Thursday and Friday: 8 to 20 rate 1, before 8 as in the evening before; then the week-end.
    assert [now - then for now, then in zip(rates(bench), before, strict=True)] == [24_000, 0, 24_000, 36_000]
    assert 9 in bench.codes(0)
    assert sum(rates(bench)) == bench.register


def test_when_nobody_looks_it_is_activated_in_time_all_the_same(made: Callable[..., Any]) -> None:
    asked, unasked = made(watts=1_000), made(watts=1_000)
    for bench in (asked, unasked):
        plan(bench, seasons=[(b"1", ANY, b"w")], at=datetime(2026, 3, 12, tzinfo=UTC))
    for _ in range(100):
        asked.wait(hours=1)
        asked.meter.now()
    unasked.wait(hours=100)
    assert rates(asked) == rates(unasked)


def test_an_unfinished_calendar_is_not_activated(made: Callable[..., Any]) -> None:
    bench = made()
    plan(bench, seasons=[(b"1", ANY, b"nowhere")])
    assert bench.invoke(20, CALENDAR, 1) is ActionResult.OTHER_REASON
    assert bench.read(20, CALENDAR) == b"WLG1"
    plan(bench, seasons=[(b"1", ANY, b"w")])
    assert bench.invoke(20, CALENDAR, 1) is ActionResult.SUCCESS
    assert bench.read(20, CALENDAR) == b"NEW"


def test_seasons_take_turns_every_year(made: Callable[..., Any]) -> None:
    bench = made()
    plan(bench, seasons=[(b"winter", b"\xff\xff\x0a\x01\xff", b"s"), (b"summer", b"\xff\xff\x04\x01\xff", b"w")])
    bench.invoke(20, CALENDAR, 1)
    active = bench.meter.timetable.active
    names = {month: active.table(date(2026, month, 15)).number for month in (1, 3, 4, 9, 10, 12)}
    assert names == {1: 3, 3: 3, 4: 1, 9: 1, 10: 3, 12: 3}


def test_a_special_day_has_a_table_of_its_own(made: Callable[..., Any]) -> None:
    bench = made(now=datetime(2026, 12, 23, 0, 0, tzinfo=UTC))
    plan(bench, seasons=[(b"1", ANY, b"w")])
    bench.invoke(20, CALENDAR, 1)
    special = structure(uint16(7), octets(CHRISTMAS), uint8(2))
    assert bench.invoke(11, SPECIAL, 1, special) is ActionResult.SUCCESS
    assert bench.read(11, SPECIAL) == [[7, CHRISTMAS, 2]]
    bench.wait(days=2, hours=12)
    assert bench.read(1, "0-0:96.14.0") == 4  # Christmas, a Friday
    before = rates(bench)
    assert before == [14_400, 0, 14_400, 7_200]  # at 600 W
    assert bench.invoke(11, SPECIAL, 2, uint16(7)) is ActionResult.SUCCESS
    assert bench.read(1, "0-0:96.14.0") == 1
    assert rates(bench) == before  # what is past stays as it was counted
    assert bench.invoke(11, SPECIAL, 2, uint16(7)) is ActionResult.OTHER_REASON


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        (7, uint8(1)),
        (8, array([structure(octets(b"w"), uint8(1))])),
        (9, array([day(1, (0, 9))])),
        (9, array([day(1, (25, 1))])),
        (7, array([structure(octets(b"1"), octets(b"\xff\xff\x0d\x01\xff"), octets(b"w"))])),
        (10, octets(b"1")),
    ],
)
def test_nonsense_is_not_taken(made: Callable[..., Any], attribute: int, value: Data) -> None:
    bench = made()
    assert bench.write(20, CALENDAR, attribute, value) == 12  # type unmatched
    assert bench.read(20, CALENDAR, 6) == b""


@given(day=st.dates(date(2000, 1, 1), date(2099, 12, 31)))
def test_open_dates_match_as_they_say(day: date) -> None:
    tomorrow = day + timedelta(days=1)
    assert PartDate(0xFFFF, 0xFF, 0xFF, 0xFF).matches(day)
    assert PartDate(day.year, day.month, day.day, day.isoweekday()).matches(day)
    assert PartDate(0xFFFF, 0xFF, 0xFE, 0xFF).matches(day) == (tomorrow.day == 1)
    assert PartDate(0xFFFF, 0xFF, 0xFF, 7).matches(day) == (day.weekday() == 6)
    assert not PartDate(0xFFFF, day.month % 12 + 1, 0xFF, 0xFF).matches(day)


def test_the_default_is_whole() -> None:
    assert TWO_RATES.complete
