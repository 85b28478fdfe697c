"""The clock: windows, clock changes, zones; and what screens ask."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from wattledger.kernel import IntervalSeries, Period, Quality, epoch, zone_named
from wattledger.tariffs import (
    Signals,
    Tariff,
    TariffNotInForce,
    by_period,
    open_state,
    period_indexes,
    price_at,
    prices_between,
    settle,
)

Build = Callable[..., Tariff]

TWO = {
    "periods": {"day": {"times": "06:00-22:30"}, "night": "otherwise"},
    "charges": [{"name": "e", "kind": "energy", "price": {"day": "0.3", "night": "0.1"}}],
}


def spans(tariff: Tariff, start: datetime, hours: int) -> list[tuple[str, str]]:
    """Local begin and period of each span."""
    zone = zone_named(tariff.zone or "UTC")
    found = prices_between(tariff=tariff, period=Period(start, start + timedelta(hours=hours)))
    return [(f"{span.period.start.astimezone(zone):%d %H:%M}", span.period_name) for span in found]


def test_a_window_across_midnight_is_the_two_ends_of_one_day(tariff_of: Build) -> None:
    tariff = tariff_of(
        day_types={"friday": "fri", "saturday": "sat"},
        periods={"night": {"days": "friday", "times": "22:00-06:00"}, "other": "otherwise"},
        charges=[{"name": "e", "kind": "energy", "price": {"night": "1", "other": "2"}}],
    )
    thursday = datetime(2026, 1, 1, tzinfo=UTC)
    assert spans(tariff, thursday, 72) == [
        ("01 00:00", "other"),
        ("02 00:00", "night"),
        ("02 06:00", "other"),
        ("02 22:00", "night"),
        ("03 00:00", "other"),
    ]


def test_the_hour_that_is_skipped_and_the_hour_that_comes_twice(tariff_of: Build) -> None:
    tariff = tariff_of(
        zone="Europe/London",
        periods={"a": {"times": "01:15-01:45"}, "b": "otherwise"},
        charges=[{"name": "e", "kind": "energy", "price": {"a": "1", "b": "2"}}],
    )
    spring = datetime(2026, 3, 29, tzinfo=ZoneInfo("Europe/London"))
    autumn = datetime(2026, 10, 25, tzinfo=ZoneInfo("Europe/London"))
    assert spans(tariff, spring, 23) == [("29 00:00", "b")]  # 01:15 to 01:45 did not happen
    assert [name for _, name in spans(tariff, autumn, 25)] == ["b", "a", "b", "a", "b"]
    begins = [
        span.period.start for span in prices_between(tariff=tariff, period=Period(autumn, autumn + timedelta(hours=3)))
    ]
    assert [f"{b:%H:%M}" for b in begins[1:]] == ["00:15", "00:45", "01:15", "01:45"]  # UTC


def test_a_clock_put_back_into_a_window(tariff_of: Build) -> None:
    tariff = tariff_of(
        zone="Europe/London",
        periods={"a": {"times": "00:30-01:30"}, "b": "otherwise"},
        charges=[{"name": "e", "kind": "energy", "price": {"a": "1", "b": "2"}}],
    )
    autumn = datetime(2026, 10, 25, tzinfo=ZoneInfo("Europe/London"))
    found = prices_between(tariff=tariff, period=Period(autumn, autumn + timedelta(hours=12)))
    assert [(f"{span.period.start:%H:%M}", span.period_name) for span in found] == [
        ("23:00", "b"),
        ("23:30", "a"),
        ("00:30", "b"),
        ("01:00", "a"),  # the clock shows 01:00 again
        ("01:30", "b"),
    ]


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("America/Sao_Paulo", "2018-11-04", 23),  # clocks skip midnight
        ("Asia/Beirut", "2022-03-27", 23),  # likewise
        ("Australia/Lord_Howe", "2026-04-05", 24.5),  # half an hour back
        ("Africa/Cairo", "2023-10-26", 25),  # midnight twice
        ("Pacific/Apia", "2011-12-29", 24),  # the 30th was left out
        ("Asia/Kathmandu", "2026-01-01", 24),
    ],
)
def test_days_of_any_length_are_unbroken(tariff_of: Build, zone: str, day: str, hours: float) -> None:
    tariff = tariff_of(zone=zone, **TWO)
    start = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone))
    following = start + timedelta(days=1)  # on the wall's clock
    assert epoch(following) - epoch(start) == hours * 3600
    for span in prices_between(tariff=tariff, period=Period(start, following)):
        for moment in (span.period.start, span.period.end - timedelta(seconds=1)):
            clock = f"{moment.astimezone(ZoneInfo(zone)):%H:%M}"
            assert span.period_name == ("day" if "06:00" <= clock < "22:30" else "night")


def test_a_day_that_a_zone_leaves_out_is_not_charged_for(tariff_of: Build) -> None:
    zone = ZoneInfo("Pacific/Apia")
    charges = [
        {"name": "e", "kind": "energy", "price": "1"},
        {"name": "f", "kind": "fixed", "price": "1", "per": "day"},
    ]
    tariff = tariff_of(zone="Pacific/Apia", charges=charges)
    december = Period(datetime(2011, 12, 1, tzinfo=zone), datetime(2012, 1, 1, tzinfo=zone))
    rating = settle(tariff=tariff, state=open_state(tariff=tariff, period=december))
    assert [line.quantity for line in rating.lines] == [30]


def test_a_leap_day_has_its_season(tariff_of: Build) -> None:
    tariff = tariff_of(
        seasons={"winter": "10-01 to 02-29", "summer": "03-01 to 09-30"},
        charges=[{"name": "e", "kind": "energy", "price": {"winter": "1", "summer": "2"}}],
    )
    for year, days in ((2024, 29), (2025, 28)):
        february = Period(datetime(year, 2, 1, tzinfo=UTC), datetime(year, 3, 2, tzinfo=UTC))
        (winter, summer) = prices_between(tariff=tariff, period=february)
        assert (winter.season, winter.period.seconds // 86_400, summer.season) == ("winter", days, "summer")


HOLIDAY = {
    "holidays": ["2026-10-01", "2026-10-03"],
    "day_types": {
        "working": {"days": "mon-fri", "holidays": "excluded"},
        "festive": {"holidays": "only"},
        "saturday": "sat",
    },
    "periods": {
        "peak": {"days": "working", "times": "08:00-20:00"},
        "gift": {"days": "festive", "times": "12:00-13:00"},
        "late": {"days": "saturday", "times": "22:00-24:00"},
        "low": "otherwise",
    },
    "charges": [{"name": "e", "kind": "energy", "price": {"peak": "3", "low": "2", "gift": "1", "late": "0"}}],
}


def test_holidays_are_their_own_days(tariff_of: Build) -> None:
    tariff = tariff_of(**HOLIDAY)
    thursday = datetime(2026, 10, 1, tzinfo=UTC)
    assert spans(tariff, thursday, 24) == [("01 00:00", "low"), ("01 12:00", "gift"), ("01 13:00", "low")]
    assert spans(tariff, thursday + timedelta(days=1), 24)[1] == ("02 08:00", "peak")
    saturday = spans(tariff, thursday + timedelta(days=2), 24)
    assert (saturday[1], saturday[3]) == (("03 12:00", "gift"), ("03 22:00", "late"))  # a Saturday as any other too
    assert spans(tariff, thursday + timedelta(days=9), 24) == [("10 00:00", "low"), ("10 22:00", "late")]


def test_the_price_now_and_what_follows(tariff_of: Build) -> None:
    charges = [
        {
            "name": "e",
            "kind": "energy",
            "tiers": {
                "counter": "all_periods",
                "basis": "month",
                "allocation": "chronological",
                "limits": ["100"],
                "proration": "none",
            },
            "price": {"day": ["0.3", "0.4"], "night": ["0.1", "0.2"]},
        },
        {"name": "levy", "kind": "energy", "price": "0.012"},
    ]
    tariff = tariff_of(zone="Europe/London", **{**TWO, "charges": charges})
    now = datetime(2026, 7, 31, 22, 0, tzinfo=ZoneInfo("Europe/London"))
    point = price_at(tariff=tariff, instant=now)
    assert (point.period_name, point.price, point.currency) == ("day", Decimal("0.312"), "EUR")
    assert point.tier_prices == (Decimal("0.312"), Decimal("0.412"))
    assert (point.until, point.next_period_name, point.next_price) == (
        now + timedelta(minutes=30),
        "night",
        Decimal("0.112"),
    )
    night = price_at(tariff=tariff, instant=now + timedelta(minutes=30))
    assert night.period_name == "night"
    assert night.until == datetime(2026, 8, 1, 6, 0, tzinfo=ZoneInfo("Europe/London"))  # across the month's end


def test_a_price_that_never_changes_says_so(tariff_of: Build) -> None:
    point = price_at(tariff=tariff_of(), instant=datetime(2026, 1, 1, tzinfo=UTC))
    assert (point.period_name, point.until, point.next_period_name, point.next_price) == ("any time", None, None, None)


def test_a_season_far_ahead_is_found(tariff_of: Build) -> None:
    tariff = tariff_of(
        seasons={"a": "01-02 to 12-31", "b": "01-01 to 01-01"},
        charges=[{"name": "e", "kind": "energy", "price": {"a": "1", "b": "2"}}],
    )
    point = price_at(tariff=tariff, instant=datetime(2026, 1, 2, tzinfo=UTC))
    assert (point.season, point.until, point.next_price) == ("a", datetime(2027, 1, 1, tzinfo=UTC), Decimal(2))


def test_prices_outside_the_validity_are_not_told(tariff_of: Build) -> None:
    tariff = tariff_of(valid={"to": "2026-02-01"})
    price_at(tariff=tariff, instant=datetime(2026, 1, 31, 23, 59, tzinfo=UTC))
    with pytest.raises(TariffNotInForce):
        price_at(tariff=tariff, instant=datetime(2026, 2, 1, tzinfo=UTC))
    with pytest.raises(TariffNotInForce):
        prices_between(
            tariff=tariff, period=Period(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, 0, 1, tzinfo=UTC))
        )


def test_energy_by_period_and_the_period_of_each_interval(tariff_of: Build) -> None:
    tariff = tariff_of(**TWO)
    start = epoch(datetime(2026, 1, 1, tzinfo=UTC))
    starts = start + 1800 * np.arange(48 * 40)  # over a month's end
    qualities = np.full(len(starts), Quality.ACTUAL, dtype=np.uint8)
    qualities[:2] = Quality.MISSING
    series = IntervalSeries(starts, np.full(len(starts), 250), qualities, 1800)
    assert by_period(tariff=tariff, series=series) == {"day": Decimal(330), "night": Decimal("149.5")}
    indexes = period_indexes(tariff=tariff, series=series)
    assert [tariff.period_names[i] for i in indexes[10:14]] == ["night", "night", "day", "day"]
    empty = IntervalSeries.empty()
    assert by_period(tariff=tariff, series=empty) == {"day": Decimal(0), "night": Decimal(0)}
    assert len(period_indexes(tariff=tariff, series=empty)) == 0


def test_a_clock_of_fixed_offset(tariff_of: Build) -> None:
    tariff: Any = tariff_of(zone=None, **TWO)
    east = timezone(timedelta(hours=9, minutes=30))
    point = price_at(tariff=tariff, instant=datetime(2026, 1, 1, 21, 0, tzinfo=UTC), zone=east)
    assert (point.period_name, point.until) == ("day", datetime(2026, 1, 2, 22, 30, tzinfo=east))
    state = open_state(
        tariff=tariff, period=Period(datetime(2026, 1, 1, tzinfo=east), datetime(2026, 1, 2, tzinfo=east)), zone=east
    )
    assert state.to_json()["zone"] == "UTC+09:30"


def test_of_two_events_at_once_the_first_listed_goes_before_where_it_changes_anything(tariff_of: Build) -> None:
    tariff = tariff_of(
        events=["storm", "heat"],
        periods={
            "hot": {"events": "heat"},
            "wild": {"events": "storm", "times": "14:00-20:00"},
            "plain": "otherwise",
        },
        charges=[{"name": "e", "kind": "energy", "price": {"hot": "3", "wild": "2", "plain": "1"}}],
    )
    start = datetime(2026, 7, 1, tzinfo=UTC)
    heat = Period(start + timedelta(hours=8), start + timedelta(hours=18))
    storm = Period(start, start + timedelta(hours=24))
    for on, expected in (
        ({"heat": heat}, [("00:00", "plain"), ("08:00", "hot"), ("18:00", "plain")]),
        ({"storm": storm}, [("00:00", "plain"), ("14:00", "wild"), ("20:00", "plain")]),
        (
            {"heat": heat, "storm": storm},
            [("00:00", "plain"), ("08:00", "hot"), ("14:00", "wild"), ("20:00", "plain")],
        ),
    ):
        told = Signals(events={name: (period,) for name, period in on.items()})
        found = prices_between(tariff=tariff, period=storm, signals=told)
        assert [(f"{span.period.start:%H:%M}", span.period_name) for span in found] == expected
