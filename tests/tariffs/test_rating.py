"""Published bills and the traps: tiers, seasons, clock changes, short months, rounding, gaps."""

import doctest
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wattledger.kernel import IntervalSeries, Money, Period, Quality, epoch, local_months, zone_named
from wattledger.tariffs import (
    ChargeLine,
    NegativeEnergy,
    OutOfOrder,
    RatingState,
    Tariff,
    TariffNotInForce,
    TariffWithoutZone,
    _exact,
    advance,
    open_state,
    parse_tariff,
    rate,
    settle,
)

LONDON = zone_named("Europe/London")
Build = Callable[..., Tariff]
Even = Callable[..., IntervalSeries]


def month(year: int, number: int, zone: str = "UTC") -> Period:
    place = zone_named(zone)
    start = datetime(year, number, 1, tzinfo=place)
    return next(local_months(Period(start, start + timedelta(days=1)), zone=place))


def energy(lines: tuple[ChargeLine, ...]) -> dict[tuple[str | None, int | None], Decimal]:
    return {(line.period, line.tier): line.quantity for line in lines if line.kind == "energy"}


def amounts(lines: tuple[ChargeLine, ...]) -> list[str]:
    return [line.amount.text if isinstance(line.amount, Money) else str(line.amount) for line in lines]


def tiers(limits: list[str], **other: str) -> dict[str, Any]:
    named = {"counter": "all_periods", "basis": "month", "allocation": "chronological", "proration": "none", **other}
    return {"limits": limits, **{key: value for key, value in named.items() if value}}


# --- published bills ---


@pytest.mark.parametrize(
    ("counter", "allocation", "january", "july"),
    [
        ("per_period", "chronological", "65.07", "169.90"),
        ("per_period", "pro_rata", "65.07", "169.90"),
        ("all_periods", "pro_rata", "70.85", "186.62"),
        ("all_periods", "chronological", "70.80", "186.55"),
    ],
)
def test_one_load_three_answers(
    tariff_of: Build,
    hourly_kw: Callable[[str], IntervalSeries],
    counter: str,
    allocation: str,
    january: str,
    july: str,
) -> None:
    tariff = tariff_of(
        day_types={"weekday": "mon-fri"},
        periods={"peak": {"days": "weekday", "times": "16:00-21:00"}, "other": "otherwise"},
        charges=[
            {
                "name": "energy",
                "kind": "energy",
                "tiers": tiers(["300"], counter=counter, allocation=allocation),
                "price": {"peak": ["0.25", "0.35"], "other": ["0.15", "0.22"]},
            }
        ],
    )
    load = hourly_kw("data/loads/us_residential_hourly_kw.csv")
    for number, expected in ((1, january), (7, july)):
        bill = rate(tariff=tariff, series=load, period=month(2018, number), exact=True)
        assert round(bill.total, 2) == Decimal(expected)
        assert bill.missing == 0


def slabs(limits: list[str], prices: list[str], **clauses: Any) -> dict[str, Any]:  # noqa: ANN401 - a document
    charge = {"name": "energy", "kind": "energy", "tiers": tiers(limits), "price": prices}
    return {"currency": "INR", "charges": [charge], **clauses}


def worked(shared: Path, name: str) -> dict[str, Any]:
    examples = json.loads((shared / "vectors/worked_bills.json").read_text(), parse_float=Decimal)["examples"]
    found: dict[str, Any] = next(example for example in examples if example["id"] == name)
    return found


def used(period: Period, kwh: int) -> IntervalSeries:
    """``kwh`` spread over a period, a little unevenly, in whole watt-hours."""
    starts = np.arange(epoch(period.start), epoch(period.end), 3600, dtype=np.int64)
    values = np.full(len(starts), kwh * 1000 // len(starts), dtype=np.int64)
    values[: kwh * 1000 - int(values.sum())] += 1
    return IntervalSeries(starts, values, np.ones(len(starts), dtype=np.uint8), 3600)


def test_kerala_telescopic_slabs_of_a_month(tariff_of: Build, shared: Path) -> None:
    bill = worked(shared, "kseb_117kwh_month")
    steps = bill["tariff"]["slabs"]
    tariff = tariff_of(**slabs([str(limit) for limit, _ in steps[:-1]], [str(price) for _, price in steps]))
    period = month(2020, 7)
    rating = rate(tariff=tariff, series=used(period, bill["usage_kwh"]), period=period)
    assert rating.total.amount == bill["expected"]["energy"]


def test_kerala_slabs_doubled_for_two_months(tariff_of: Build, shared: Path) -> None:
    bill = worked(shared, "kseb_396kwh_bimonthly_energy")
    steps = bill["tariff"]["slabs_bimonthly"]
    tariff = tariff_of(**slabs([str(limit) for limit, _ in steps[:-1]], [str(price) for _, price in steps]))
    period = month(2020, 7)
    rating = rate(tariff=tariff, series=used(period, bill["usage_kwh"]), period=period)
    assert [Decimal(amount) for amount in amounts(rating.lines)] == bill["expected"]["lines"]
    assert rating.total.amount == bill["expected"]["energy"]


@pytest.mark.parametrize(("kwh", "expected"), [(350, "733.85"), (374, "791.57")])
def test_johannesburg_prepaid_blocks_before_tax(tariff_of: Build, kwh: int, expected: str) -> None:
    # City Power 2023/24: 733.85 for the first 350 kWh, 57.72 for the next 24.
    prices = ["2.09671428571428571428571428571428571429", "2.405"]
    tariff = tariff_of(**slabs(["350"], prices, currency="ZAR"))
    period = month(2023, 7, "UTC")
    assert rate(tariff=tariff, series=used(period, kwh), period=period).total.text == expected


# --- tiers ---


def test_an_interval_across_a_limit_is_split(tariff_of: Build, even: Even) -> None:
    period = month(2026, 1)
    tariff = tariff_of(
        periods={"day": {"times": "08:00-20:00"}, "night": "otherwise"},
        charges=[
            {
                "name": "energy",
                "kind": "energy",
                "tiers": tiers(["10.0004", "20"]),
                "price": {"day": ["1", "2", "3"], "night": ["0.1", "0.2", "0.3"]},
            }
        ],
    )
    # 3 kWh an hour from midnight: the limits fall within the fourth and the seventh hour; the first is finer than Wh.
    rating = rate(tariff=tariff, series=even(period, wh=3000), period=period, exact=True)
    assert energy(rating.lines)["night", 1] == Decimal("10.0004")
    assert energy(rating.lines)["night", 2] == Decimal("9.9996")
    assert sum(energy(rating.lines).values()) == 744 * 3
    assert ("day", 1) not in energy(rating.lines)


def test_one_interval_may_cross_several_limits(tariff_of: Build, even: Even) -> None:
    period = month(2026, 1)
    charge = {"name": "e", "kind": "energy", "tiers": tiers(["1", "2", "3"]), "price": ["1", "10", "100", "1000"]}
    first = Period(period.start, period.start + timedelta(hours=1))
    state = open_state(tariff=tariff_of(charges=[charge]), period=period)
    state = advance(tariff=tariff_of(charges=[charge]), state=state, series=even(first, wh=3500))
    rating = settle(tariff=tariff_of(charges=[charge]), state=state)
    assert amounts(rating.lines) == ["1.00", "10.00", "100.00", "500.00"]


def test_a_limit_between_two_watt_hours_is_kept_to(tariff_of: Build, even: Even) -> None:
    period = month(2026, 1)
    price = {"first": ["1", "2"], "other": ["3", "4"]}
    charge = {"name": "e", "kind": "energy", "tiers": tiers(["0.0105"]), "price": price}
    tariff = tariff_of(periods={"first": {"times": "00:00-01:00"}, "other": "otherwise"}, charges=[charge])
    day = Period(period.start, period.start + timedelta(days=1))
    rating = rate(tariff=tariff, series=even(day, wh=10), period=period, exact=True)
    assert energy(rating.lines) == {
        ("first", 1): Decimal("0.01"),
        ("other", 1): Decimal("0.0005"),
        ("other", 2): Decimal("0.2295"),
    }


def test_a_counter_that_stands_on_a_limit_fills_the_next_tier(tariff_of: Build, even: Even) -> None:
    period = month(2026, 1)
    halves = {"day": {"times": "00:00-12:00"}, "night": "otherwise"}
    price = {"day": ["1", "2"], "night": ["10", "20"]}
    tariff = tariff_of(
        periods=halves, charges=[{"name": "e", "kind": "energy", "tiers": tiers(["12"]), "price": price}]
    )
    first_day = Period(period.start, period.start + timedelta(days=1))
    rating = rate(tariff=tariff, series=even(first_day), period=period)
    assert energy(rating.lines) == {("day", 1): Decimal(12), ("night", 2): Decimal(12)}


def test_limits_of_a_short_bill_as_the_tariff_says(tariff_of: Build, even: Even) -> None:
    whole = month(2026, 1)
    short = Period(whole.start, whole.start + timedelta(days=10))
    series = even(short, wh=10_000)

    def first_tier(**clauses: str) -> Decimal:
        charge = {"name": "e", "kind": "energy", "tiers": tiers(["31"], **clauses), "price": ["1", "2"]}
        rating = rate(tariff=tariff_of(charges=[charge]), series=series, period=short)
        return next(line.quantity for line in rating.lines if line.tier == 1)

    assert first_tier(proration="none") == 31
    assert first_tier(proration="days") == 10
    assert first_tier(basis="day", proration="") == 310


def test_limits_may_differ_by_season_and_share_a_counter_in_the_month_they_change(tariff_of: Build, even: Even) -> None:
    period = month(2026, 4)
    tariff = tariff_of(
        seasons={"cold": "11-01 to 04-10", "warm": "04-11 to 10-31"},
        charges=[
            {
                "name": "e",
                "kind": "energy",
                "tiers": tiers([]) | {"limits": {"cold": ["300"], "warm": ["480"]}},
                "price": {"cold": ["1", "2"], "warm": ["3", "4"]},
            }
        ],
    )
    rating = rate(tariff=tariff, series=even(period), period=period)
    # 240 kWh in ten days of cold, then from 240 on: 240 more up to 480, then the second tier of warm.
    assert [(line.season, line.tier, line.quantity) for line in rating.lines] == [
        ("cold", 1, Decimal(240)),
        ("warm", 1, Decimal(240)),
        ("warm", 2, Decimal(240)),
    ]


def test_pro_rata_shares_are_exact_ratios(tariff_of: Build, even: Even) -> None:
    period = month(2026, 2)
    tariff = tariff_of(
        periods={"day": {"times": "08:00-16:00"}, "night": "otherwise"},
        charges=[
            {
                "name": "e",
                "kind": "energy",
                "tiers": tiers(["100"], allocation="pro_rata"),
                "price": {"day": ["3", "6"], "night": ["1", "2"]},
            }
        ],
    )
    assert not tariff.order_matters
    rating = rate(tariff=tariff, series=even(period, wh=1000), period=period, exact=True)
    third = Decimal("33.333333333333333333")
    assert energy(rating.lines)["day", 1] == third
    assert rating.lines[0].amount == Decimal(100)  # of 100/3 x 3, not of a rounded third
    assert rating.total == Decimal(100) + Decimal(1144) + Decimal("66.666666666666666667") + Decimal(
        "762.666666666666666667"
    )


# --- the calendar in the bill ---


def test_days_of_23_and_25_hours(tariff_of: Build, even: Even) -> None:
    tariff = tariff_of(
        zone="Europe/London",
        periods={"night": {"times": "00:00-03:00"}, "day": "otherwise"},
        charges=[{"name": "e", "kind": "energy", "price": {"night": "1", "day": "2"}}],
    )
    for number, hours, night in ((3, 743, 31 * 3 - 1), (10, 745, 31 * 3 + 1)):
        period = month(2026, number, "Europe/London")
        rating = rate(tariff=tariff, series=even(period), period=period)
        assert (rating.expected, rating.missing) == (hours, 0)
        assert energy(rating.lines)["night", None] == night


def test_a_season_changes_within_a_bill(tariff_of: Build, even: Even) -> None:
    tariff = tariff_of(
        seasons={"winter": "12-16 to 03-15", "summer": "03-16 to 12-15"},
        periods={"day": {"times": "06:00-18:00"}, "night": "otherwise"},
        charges=[
            {"name": "e", "kind": "energy", "price": {"winter": {"day": "4", "night": "1"}, "summer": "2"}},
            {"name": "levy", "kind": "energy", "price": "0.01"},
        ],
    )
    period = month(2026, 3)
    rating = rate(tariff=tariff, series=even(period), period=period)
    assert [(line.charge, line.season, line.period, line.quantity) for line in rating.lines] == [
        ("e", "winter", "day", Decimal(180)),
        ("e", "winter", "night", Decimal(180)),
        ("e", "summer", None, Decimal(384)),
        ("levy", None, None, Decimal(744)),
    ]
    assert amounts(rating.lines) == ["720.00", "180.00", "768.00", "7.44"]


def test_an_hour_across_a_change_of_price_is_priced_at_its_start_and_counted(tariff_of: Build, even: Even) -> None:
    tariff = tariff_of(
        periods={"peak": {"times": "16:30-18:00"}, "other": "otherwise"},
        charges=[{"name": "e", "kind": "energy", "price": {"peak": "2", "other": "1"}}],
    )
    period = month(2026, 1)
    rating = rate(tariff=tariff, series=even(period), period=period)
    assert rating.crossing == 31
    assert energy(rating.lines)["peak", None] == 31
    fine = rate(tariff=tariff, series=even(period, wh=500, seconds=1800), period=period)
    assert fine.crossing == 0
    assert energy(fine.lines)["peak", None] == Decimal("46.5")


def test_the_tariffs_zone_wins_and_one_is_needed(tariff_of: Build, even: Even) -> None:
    period = month(2026, 1, "Asia/Shanghai")
    own = tariff_of(zone="Asia/Shanghai")
    assert rate(tariff=own, series=even(period), period=period, zone="America/New_York").missing == 0
    bare = tariff_of(zone=None)
    for zone in ("Asia/Shanghai", timezone(timedelta(hours=8)), zone_named("Asia/Shanghai")):
        assert rate(tariff=bare, series=even(period), period=period, zone=zone).missing == 0
    with pytest.raises(TariffWithoutZone, match="names no time zone"):
        rate(tariff=bare, series=even(period), period=period)
    elsewhere = rate(tariff=bare, series=even(period), period=period, zone="America/New_York")
    assert elsewhere.total == rate(tariff=bare, series=even(period), period=period, zone="UTC").total


def test_outside_its_validity_a_version_rates_nothing(tariff_of: Build, even: Even) -> None:
    tariff = tariff_of(valid={"from": "2026-01-01", "to": "2026-03-01"})
    for number in (1, 2):
        rate(tariff=tariff, series=even(month(2026, number)), period=month(2026, number))
    for year, number in ((2025, 12), (2026, 3)):
        with pytest.raises(TariffNotInForce, match="valid from 2026-01-01 to before 2026-03-01"):
            rate(tariff=tariff, series=even(month(year, number)), period=month(year, number))


# --- fixed charges ---


def fixed(tariff_of: Build, period: Period, clause: dict[str, str], until: datetime | None = None) -> list[ChargeLine]:
    charges = [{"name": "e", "kind": "energy", "price": "1"}, {"name": "f", "kind": "fixed", **clause}]
    tariff = tariff_of(charges=charges, zone="Europe/London")
    return list(settle(tariff=tariff, state=open_state(tariff=tariff, period=period), until=until).lines)


@pytest.mark.parametrize(
    ("clause", "days", "quantity", "amount"),
    [
        ({"price": "0.45", "per": "day"}, 31, "31", "13.95"),
        ({"price": "0.45", "per": "day"}, 14, "14", "6.30"),
        ({"price": "150", "per": "month"}, 31, "1", "150.00"),
        ({"price": "150", "per": "month"}, 14, "0.451612903225806452", "67.74"),
        ({"price": "150", "per": "month", "proration": "none"}, 14, "1", "150.00"),
        ({"price": "120", "per": "year"}, 31, "0.083333333333333333", "10.00"),
        ({"price": "120", "per": "year"}, 14, "0.037634408602150538", "4.52"),
        ({"price": "120", "per": "year", "proration": "none"}, 14, "0.083333333333333333", "10.00"),
    ],
)
def test_fixed_charges_of_whole_and_short_months(
    tariff_of: Build, clause: dict[str, str], days: int, quantity: str, amount: str
) -> None:
    # 14 days of 31 of 150 are 67.74: the fixed charge of the Delhi bill in worked_bills.json, 25 x 6 kW.
    whole = month(2026, 7, "Europe/London")
    (line,) = fixed(tariff_of, Period(whole.start, whole.start + timedelta(days=days)), clause)
    assert (line.unit, line.quantity, amounts((line,))) == (clause["per"], Decimal(quantity), [amount])


def test_a_year_of_twelfths_is_a_year(tariff_of: Build) -> None:
    bills = [
        fixed(tariff_of, month(2026, n, "Europe/London"), {"price": "100.08", "per": "year"}) for n in range(1, 13)
    ]
    assert sum(Decimal(amounts((line,))[0]) for (line,) in bills) == Decimal("100.08")


def test_a_day_counts_from_its_first_second(tariff_of: Build) -> None:
    whole = month(2026, 7, "Europe/London")
    midnight = datetime(2026, 7, 10, tzinfo=LONDON)
    for until, days in ((midnight, 9), (midnight + timedelta(seconds=1), 10), (whole.start, 0), (whole.end, 31)):
        lines = fixed(tariff_of, whole, {"price": "1", "per": "day"}, until)
        assert [line.quantity for line in lines] == ([Decimal(days)] if days else [])
    clipped = Period(whole.start + timedelta(hours=23), whole.start + timedelta(hours=25))
    assert fixed(tariff_of, clipped, {"price": "1", "per": "day"})[0].quantity == 2


# --- rounding ---


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("half_up", ["0.03", "0.02"]),
        ("half_even", ["0.02", "0.02"]),
        ("half_down", ["0.02", "0.02"]),
        ("up", ["0.03", "0.02"]),
        ("down", ["0.02", "0.01"]),
    ],
)
def test_rounding_as_the_tariff_says(tariff_of: Build, even: Even, mode: str, expected: list[str]) -> None:
    period = month(2026, 1)
    hour = Period(period.start, period.start + timedelta(hours=1))
    charges = [{"name": n, "kind": "energy", "price": p} for n, p in (("a", "0.025"), ("b", "0.0151"))]
    tariff = tariff_of(charges=charges, rounding={"line": {"places": "2", "mode": mode}})
    rating = rate(tariff=tariff, series=even(hour), period=period)
    assert amounts(rating.lines) == expected
    assert rating.total == Money.of(sum(map(Decimal, expected)), "EUR")


@pytest.mark.parametrize(
    ("currency", "expected"), [("JPY", "1235.00"), ("EUR", "1234.57"), ("KWD", "1234.568"), ("UYW", "1234.5679")]
)
def test_the_currencys_minor_unit_when_nothing_is_said(
    tariff_of: Build, even: Even, currency: str, expected: str
) -> None:
    period = month(2026, 1)
    hour = Period(period.start, period.start + timedelta(hours=1))
    charges = [{"name": "e", "kind": "energy", "price": "1234.56789"}]
    assert rate(tariff=tariff_of(currency=currency, charges=charges), series=even(hour), period=period).total.text == (
        expected
    )


def test_unrounded_amounts_keep_every_digit(tariff_of: Build, even: Even) -> None:
    price = "0.123456789012345678901234567890123456"
    tariff = tariff_of(charges=[{"name": "e", "kind": "energy", "price": price}])
    period = month(2026, 1)
    rating = rate(tariff=tariff, series=even(period, wh=1001), period=period, exact=True)
    assert f"{rating.total:f}".rstrip("0") == f"{_exactly(744 * 1001, price):f}".rstrip("0")
    assert rating.total == rating.lines[0].amount


def _exactly(wh: int, price: str) -> Decimal:
    digits = price.replace("0.", "", 1)
    return Decimal(f"{wh * int(digits)}e-{len(digits) + 3}")


def test_the_arithmetic_is_what_its_docstrings_say() -> None:
    assert doctest.testmod(_exact) == doctest.TestResults(failed=0, attempted=3)


def test_a_negative_price_pays_back(tariff_of: Build, even: Even) -> None:
    tariff = tariff_of(charges=[{"name": "e", "kind": "energy", "price": "-0.105"}])
    period = month(2026, 1)
    rating = rate(tariff=tariff, series=even(Period(period.start, period.start + timedelta(hours=3))), period=period)
    assert rating.total == Money.of("-0.32", "EUR")  # half up is away from zero


# --- what is not known is not priced ---


def test_missing_and_doubtful_intervals_are_counted(tariff_of: Build, even: Even) -> None:
    period = month(2026, 1)
    full = even(period)
    qualities = full.qualities.copy()
    qualities[0:5] = Quality.MISSING
    qualities[5:7] = Quality.ESTIMATED
    qualities[7:8] = Quality.SUBSTITUTED
    qualities[8:11] = Quality.SUSPECT
    keep = np.ones(744, dtype=bool)
    keep[700:710] = False  # not even listed
    series = IntervalSeries(full.starts[keep], full.values[keep], qualities[keep], 3600)
    rating = rate(tariff=tariff_of(), series=series, period=period)
    assert (rating.expected, rating.missing) == (744, 15)
    assert (rating.estimated, rating.substituted, rating.suspect) == (2, 1, 3)
    assert energy(rating.lines) == {("any time", None): Decimal(729)}


def test_a_meter_whose_intervals_change_their_length_misses_none(tariff_of: Build, even: Even) -> None:
    period = month(2026, 1)
    middle = period.start + timedelta(days=10)
    parts = [even(Period(period.start, middle), seconds=1800), even(Period(middle, period.end - timedelta(hours=2)))]
    for order in (parts, parts[::-1]):
        state = open_state(tariff=tariff_of(), period=period)
        for part in order:
            state = advance(tariff=tariff_of(), state=state, series=part)
        assert settle(tariff=tariff_of(), state=state).missing == 4  # half-hours, the shortest that was seen


def test_without_any_reading_all_is_missing_and_fixed_charges_stand(tariff_of: Build) -> None:
    period = month(2026, 2)
    charges = [
        {"name": "e", "kind": "energy", "price": "1"},
        {"name": "f", "kind": "fixed", "price": "1", "per": "day"},
    ]
    rating = rate(tariff=tariff_of(charges=charges), series=IntervalSeries.empty(), period=period)
    assert rating.missing == rating.expected == 28 * 96
    assert amounts(rating.lines) == ["28.00"]


def test_what_lies_outside_the_period_is_not_of_this_bill(tariff_of: Build, even: Even) -> None:
    long = Period(datetime(2025, 12, 25, tzinfo=UTC), datetime(2026, 2, 5, tzinfo=UTC))
    period = month(2026, 1)
    assert rate(tariff=tariff_of(), series=even(long), period=period) == rate(
        tariff=tariff_of(), series=even(period), period=period
    )


def test_energy_given_back_has_no_price(tariff_of: Build, even: Even) -> None:
    period = month(2026, 1)
    with pytest.raises(NegativeEnergy, match=r"from 2026-01-01T01:00:00\+00:00 has -0.005 kWh and 371 more"):
        rate(tariff=tariff_of(), series=even(period, wh=[10, -5]), period=period)


def test_late_readings_are_refused_where_order_matters_and_welcome_where_not(tariff_of: Build, even: Even) -> None:
    period = month(2026, 1)
    first, second = (Period(period.start + timedelta(days=d), period.start + timedelta(days=d + 1)) for d in (0, 1))
    charge = {"name": "e", "kind": "energy", "tiers": tiers(["5"]), "price": {"day": ["1", "2"], "night": ["3", "4"]}}
    ordered = tariff_of(periods={"day": {"times": "06:00-18:00"}, "night": "otherwise"}, charges=[charge])
    assert ordered.order_matters
    state = advance(tariff=ordered, state=open_state(tariff=ordered, period=period), series=even(second))
    with pytest.raises(OutOfOrder, match="comes after one that ended 2026-01-03"):
        advance(tariff=ordered, state=state, series=even(first))
    free = tariff_of(charges=[{"name": "e", "kind": "energy", "tiers": tiers(["5"]), "price": ["1", "2"]}])
    assert not free.order_matters  # one price: only the sum tells
    state = advance(tariff=free, state=open_state(tariff=free, period=period), series=even(second))
    state = advance(tariff=free, state=state, series=even(first))
    assert energy(settle(tariff=free, state=state).lines) == {("any time", 1): Decimal(5), ("any time", 2): Decimal(43)}


def test_a_state_is_of_one_tariff(tariff_of: Build, even: Even) -> None:
    period = month(2026, 1)
    state = open_state(tariff=tariff_of(), period=period)
    with pytest.raises(ValueError, match="counted under another tariff"):
        advance(tariff=tariff_of(version="2"), state=state, series=even(period))


def test_a_state_is_small_and_of_integers_and_text(tariff_of: Build, even: Even) -> None:
    period = month(2026, 1)
    state = advance(tariff=tariff_of(), state=open_state(tariff=tariff_of(), period=period), series=even(period))
    text = json.dumps(state.to_json())
    assert len(text) < 300
    assert "." not in text
    assert RatingState.from_json(json.loads(text)) == state


def test_energy_beyond_64_bits_is_counted_exactly(tariff_of: Build) -> None:
    period = month(2026, 1)
    starts = np.arange(epoch(period.start), epoch(period.end), 3600, dtype=np.int64)
    values = np.full(len(starts), 2**62, dtype=np.int64)
    charge = {"name": "e", "kind": "energy", "tiers": tiers(["1e11"]), "price": {"a": ["1", "2"], "b": ["3", "4"]}}
    tariff = tariff_of(periods={"a": {"times": "00:00-12:00"}, "b": "otherwise"}, charges=[charge])
    series = IntervalSeries(starts, values, np.ones(len(starts), dtype=np.uint8), 3600, decimals=9)
    rating = rate(tariff=tariff, series=series, period=period, exact=True)
    assert sum(energy(rating.lines).values()) == Decimal(744 * 2**62).scaleb(-9)
    assert energy(rating.lines)["a", 1] + energy(rating.lines)["b", 1] == 10**11


def test_yaml_and_rating_meet() -> None:
    text = "id: a\nversion: 1\ncurrency: CNY\nzone: Asia/Shanghai\ncharges: [{name: e, kind: energy, price: 0.538}]\n"
    period = month(2026, 1, "Asia/Shanghai")
    series = IntervalSeries.of([(period.start, 1500)], seconds=3600)
    rating = rate(tariff=parse_tariff(text, source="a.yaml"), series=series, period=period)
    assert (rating.total.text, rating.missing) == ("0.81", 743)
