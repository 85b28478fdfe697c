"""What bills get wrong: rounding, clocks that change, leap years, demand, exchanged meters, minimums, banks."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from loads import amounts, at, days, joined, kw, months, quantities, used

from wattledger.kernel import IntervalSeries, Money, Period
from wattledger.tariffs import (
    NO_HISTORY,
    History,
    Tariff,
    TariffRefused,
    advance,
    history_after,
    monthly,
    open_state,
    rate,
    settle,
)

Build = Callable[..., Tariff]
Even = Callable[..., IntervalSeries]


def stepped(limits: Sequence[str], prices: Sequence[str], **tiers: Any) -> dict[str, Any]:  # noqa: ANN401 - a document
    clauses = {
        "counter": "all_periods",
        "basis": "month",
        "allocation": "chronological",
        "proration": "none",
        "limits": list(limits),
        **tiers,
    }
    return {"name": "energy", "kind": "energy", "tiers": clauses, "price": list(prices)}


def flat(price: str | dict[str, str], **clauses: Any) -> dict[str, Any]:  # noqa: ANN401 - a document
    return {"name": "energy", "kind": "energy", "price": price, **clauses}


# --- rounding ---


def test_tax_of_each_line_is_a_cent_more_than_tax_of_their_sum(tariff_of: Build) -> None:
    # 15 % of 33.30, 33.30 and 35.61: 5.00 + 5.00 + 5.34 = 15.34, and of 102.21: 15.33.
    charges = [
        {"name": name, "kind": "fixed", "price": price, "per": "bill"}
        for name, price in (("a", "33.30"), ("b", "33.30"), ("c", "35.61"))
    ]
    period = months("2026-01-01")

    def tax(**clauses: str) -> Decimal:
        levy = {"name": "tax", "kind": "tax", "rate": "15", "of": ["a", "b", "c"], **clauses}
        bill = rate(tariff=tariff_of(charges=[flat("0"), *charges, levy]), series=used(period, 1), period=period)
        return sum((Decimal(amount) for amount in amounts(bill, "tax")), start=Decimal(0))

    assert (tax(on="line"), tax()) == (Decimal("15.34"), Decimal("15.33"))


def test_rounding_is_of_the_line_and_not_of_each_interval(tariff_of: Build, even: Even) -> None:
    # 744 hours of 25 and 26 Wh in turn at 0.30: 0.0075 and 0.0078 an hour, a cent each if they were rounded: 7.44.
    period = months("2026-01-01")
    bill = rate(tariff=tariff_of(charges=[flat("0.30")]), series=even(period, wh=[25, 26]), period=period)
    assert bill.total.text == "5.69"  # 18.972 kWh x 0.30 = 5.6916
    hourly = sum(round(Decimal(wh) / 1000 * Decimal("0.30"), 2) for wh in [25, 26] * 372)
    assert hourly == Decimal("7.44")


# --- days of 23 and 25 hours, and leap years ---


@pytest.mark.parametrize(
    ("day", "hours", "night"), [("2026-03-29", 23, 5), ("2026-10-25", 25, 7), ("2026-06-01", 24, 6)]
)
@pytest.mark.parametrize("seconds", [3600, 1800, 900])
def test_days_on_which_the_clock_changes(
    tariff_of: Build, even: Even, day: str, hours: int, night: int, seconds: int
) -> None:
    tariff = tariff_of(
        zone="Europe/London",
        periods={"night": {"times": "00:00-06:00"}, "day": "otherwise"},
        charges=[
            flat({"night": "1", "day": "100"}),
            {"name": "standing", "kind": "fixed", "price": "0.5", "per": "day"},
        ],
    )
    period = days(day, 1, "Europe/London")
    assert period.seconds == hours * 3600
    bill = rate(tariff=tariff, series=even(period, wh=seconds * 1000 // 3600, seconds=seconds), period=period)
    assert {line.period: line.quantity for line in bill.lines if line.charge == "energy"} == {
        "night": night,
        "day": hours - night,
    }
    assert amounts(bill, "standing") == ["0.50"]
    assert (bill.expected, bill.missing) == (hours * 3600 // seconds, 0)


def test_a_leap_year_has_a_29th_of_february(tariff_of: Build) -> None:
    tariff = tariff_of(
        charges=[
            stepped(["10"], ["1", "2"], basis="day") | {"tiers": daily_tiers("10")},
            {"name": "fixed", "kind": "fixed", "price": "29", "per": "month"},
        ]
    )
    february = months("2028-02-01")
    bill = rate(tariff=tariff, series=used(february, 1000), period=february)
    assert quantities(bill, "energy") == [290, 710]
    half = days("2028-02-01", 14)
    assert amounts(rate(tariff=tariff, series=used(half, 1), period=half), "fixed") == ["14.00"]  # 14/29 of 29
    common = days("2026-02-01", 14)
    assert amounts(rate(tariff=tariff, series=used(common, 1), period=common), "fixed") == ["14.50"]  # 14/28


def daily_tiers(limit: str) -> dict[str, Any]:
    return {"counter": "all_periods", "basis": "day", "allocation": "chronological", "limits": [limit]}


# --- demand ---


def demand(price: Any = "10", **clauses: Any) -> dict[str, Any]:  # noqa: ANN401 - a document
    return {"name": "demand", "kind": "demand", "window": 15, "price": price, **clauses}


def test_the_greatest_quarter_hour_is_not_the_greatest_hour(tariff_of: Build) -> None:
    start = at("2026-01-01")
    period = months("2026-01-01")
    load = kw(start, [1, 1, 1, 9, 4, 4, 4, 4])  # means of the two hours: 3 and 4 kW
    by_quarter = rate(tariff=tariff_of(charges=[flat("0"), demand()]), series=load, period=period)
    by_hour = rate(tariff=tariff_of(charges=[flat("0"), demand(window=60)]), series=load, period=period)
    assert (amounts(by_quarter, "demand"), amounts(by_hour, "demand")) == (["90.00"], ["40.00"])
    assert (by_quarter.lines[-1].at, by_hour.lines[-1].at) == (
        start + timedelta(minutes=45),
        start + timedelta(hours=1),
    )
    # Hourly readings hide the peak: their own mean is billed, and the bill says how many were too long.
    hourly = kw(start, [3, 4], seconds=3600)
    hidden = rate(tariff=tariff_of(charges=[flat("0"), demand()]), series=hourly, period=period)
    assert (amounts(hidden, "demand"), hidden.coarse) == (["40.00"], 2)


def test_a_ratchet_looks_back_as_far_as_there_is_history(tariff_of: Build) -> None:
    tariff = tariff_of(charges=[flat("0"), demand(ratchet={"percent": 80, "months": 2})])
    powers = {"2026-01-01": 100, "2026-02-01": 50, "2026-03-01": 50, "2026-04-01": 50, "2026-05-01": 90}
    history = NO_HISTORY
    billed = []
    for first, power in powers.items():
        period = months(first)
        state = open_state(tariff=tariff, period=period, history=history)
        state = advance(tariff=tariff, state=state, series=kw(period.start, [10, power, 20]))
        billed.append(quantities(settle(tariff=tariff, state=state), "demand")[0])
        history = history_after(tariff=tariff, state=state)
    # January has no history: what was measured. 80 % of its 100 holds for two months, then 80 % of 50 is less than 50.
    assert billed == [100, 80, 80, 50, 90]


def test_a_meter_exchanged_in_mid_month_is_one_bill(tariff_of: Build) -> None:
    tariff = tariff_of(
        charges=[
            stepped(["100"], ["1", "2"]),
            {"name": "least", "kind": "minimum", "price": "150", "per": "month", "covers": ["energy"]},
            demand("10", window=60),
        ]
    )
    period = months("2026-01-01")
    exchanged = at("2026-01-15T10:30")  # within an hour of which each meter measured a half
    old = joined(kw(at("2026-01-02"), [8] * 40), kw(at("2026-01-15T10:00"), [6, 6]))  # 80 kWh and 3 kWh
    new = joined(kw(exchanged, [4, 4]), kw(at("2026-01-20"), [6] * 30))  # 2 kWh and 45 kWh
    together = rate(tariff=tariff, series=joined(old, new), period=period)
    # 130 kWh: the first tier goes on where the old meter left it; the peak is the old one's 8 kW, not 8 + 6.
    assert quantities(together, "energy") == [100, 30]
    assert amounts(together) == ["100.00", "60.00", "80.00"]
    assert not amounts(together, "least")  # 160 are above 150, though neither meter's alone are
    state = open_state(tariff=tariff, period=period)
    for meter in (old, new):
        state = advance(tariff=tariff, state=state, series=meter)
    assert settle(tariff=tariff, state=state) == together
    # The hour of the exchange is one window: 6, 6, 4, 4 are a mean of 5 kW.
    hour = Period(at("2026-01-15T10:00"), at("2026-01-15T11:00"))
    around = rate(tariff=tariff, series=joined(old, new).within(hour), period=period)
    assert quantities(around, "demand") == [5]


# --- what a minimum covers ---


@pytest.mark.parametrize(
    ("covers", "total"),
    [
        (["energy"], "100.00"),  # 10 made up to 50, and 20 + 30 beside it
        (["energy", "fixed"], "80.00"),
        (["energy", "fixed", "demand"], "60.00"),  # 60 are above 50: nothing is added
        ("all", "60.00"),
    ],
)
def test_a_minimum_covers_what_it_names(tariff_of: Build, covers: Any, total: str) -> None:  # noqa: ANN401 - a document
    tariff = tariff_of(
        charges=[
            flat("10"),
            {"name": "fixed", "kind": "fixed", "price": "20", "per": "month"},
            demand("30", window=60),
            {"name": "least", "kind": "minimum", "price": "50", "per": "month", "covers": covers},
        ]
    )
    period = months("2026-01-01")
    bill = rate(tariff=tariff, series=kw(period.start, [1], seconds=3600), period=period)
    assert bill.total.text == total


# --- net metering ---


def test_a_bank_of_kwh_serves_later_bills_and_is_paid_out_when_it_expires(tariff_of: Build) -> None:
    tariff = tariff_of(
        netting={"per": "bill", "bank": {"unit": "kwh", "expires": "04-01", "cash_out": "0.03"}},
        charges=[flat("0.20")],
    )
    # kWh taken and given back: 100 go into the bank in January, 60 come out in February, 10 in March; 30 expire.
    expected = [(200, 300, ["0.00"]), (160, 100, ["0.00"]), (50, 40, ["-0.90"]), (50, 0, ["10.00"])]
    history = NO_HISTORY
    banked = []
    for number, (taken, given, total) in enumerate(expected, start=1):
        period = months(f"2026-{number:02d}-01")
        state = open_state(tariff=tariff, period=period, history=history)
        series = {"import": used(period, taken), "export": used(period, given)}
        state = advance(tariff=tariff, state=state, series=series)
        bill = settle(tariff=tariff, state=state)
        assert [bill.total.text] == total
        banked.append(dict(bill.banked))
        history = history_after(tariff=tariff, state=state)
    assert banked == [{"any time": Decimal(100)}, {"any time": Decimal(40)}, {}, {}]


@pytest.mark.parametrize(("across", "total"), [(False, "27.00"), (True, "12.00")])
def test_banked_kwh_serve_their_own_period_first_and_the_dearest_other_if_allowed(
    tariff_of: Build, *, across: bool, total: str
) -> None:
    tariff = tariff_of(
        periods={"peak": {"times": "12:00-24:00"}, "off-peak": "otherwise"},
        netting={"per": "bill", "bank": {"unit": "kwh", "across": across}},
        charges=[flat({"peak": "0.30", "off-peak": "0.10"})],
    )
    history = History(bank={"off-peak": 100 * 10**9})
    start = at("2026-02-01T11:00")
    period = months("2026-02-01")
    # 50 kWh off-peak and 90 at peak: the bank's 100 serve the 50 and, if they may, 50 of the 90.
    series = kw(start, [50, 90], seconds=3600)
    bill = rate(tariff=tariff, series={"import": series, "export": used(period, 0)}, period=period, history=history)
    served = {line.period: line.quantity for line in bill.lines}
    assert served == ({"peak": Decimal(40)} if across else {"peak": Decimal(90)})
    assert bill.total.text == total


def test_banked_kwh_serve_the_dearest_of_the_other_periods_first(tariff_of: Build) -> None:
    tariff = tariff_of(
        periods={"a": {"times": "00:00-08:00"}, "b": {"times": "08:00-16:00"}, "c": "otherwise"},
        netting={"per": "bill", "bank": {"unit": "kwh", "across": True}},
        charges=[flat({"a": "0.20", "b": "0.30", "c": "0.10"})],
    )
    period = months("2026-02-01")
    series = joined(*(kw(at(f"2026-02-01T{hour}:00"), [40], seconds=3600) for hour in ("01", "09")))
    history = History(bank={"c": 60 * 10**9})
    bill = rate(tariff=tariff, series={"import": series, "export": used(period, 0)}, period=period, history=history)
    assert {line.period: int(line.quantity) for line in bill.lines} == {"a": 20}  # all 40 of b, then 20 of the 40 of a
    assert not bill.banked


# --- what stands on what ---


@pytest.mark.parametrize(
    ("surcharge", "duty", "total"),
    [
        (["energy"], ["energy"], "118.00"),
        (["energy"], ["energy", "surcharge"], "118.80"),  # tax on the surcharge too
        (["energy", "fixed"], ["energy", "surcharge"], "119.68"),  # 8 % of 110, 10 % of 108.80
        (["energy"], "all", "119.80"),
    ],
)
def test_the_bases_of_percentages_are_as_they_are_written(
    tariff_of: Build, surcharge: list[str], duty: list[str] | str, total: str
) -> None:
    tariff = tariff_of(
        charges=[
            flat("1"),
            {"name": "fixed", "kind": "fixed", "price": "10", "per": "bill"},
            {"name": "surcharge", "kind": "percentage", "rate": "8", "of": surcharge},
            {"name": "duty", "kind": "tax", "rate": "10", "of": duty},
        ]
    )
    period = months("2026-01-01")
    bill = rate(tariff=tariff, series=used(period, 100), period=period)
    assert (bill.total - Money.of("10", "EUR")).text == total


def test_no_charge_stands_on_one_that_comes_after_it(tariff_of: Build) -> None:
    first = {"name": "surcharge", "kind": "percentage", "rate": "8", "of": ["duty"]}
    second = {"name": "duty", "kind": "tax", "rate": "10", "of": ["surcharge"]}
    with pytest.raises(TariffRefused, match=r"duty.*charges\[1\]\.of"):
        tariff_of(charges=[flat("1"), first, second])


def test_a_price_change_in_mid_month_splits_the_bill_and_the_counter_goes_on(tariff_of: Build) -> None:
    def version(number: str, prices: list[str], fixed: str, **valid: str) -> Tariff:
        charges = [
            stepped(["100"], prices, proration="none"),
            {"name": "fixed", "kind": "fixed", "price": fixed, "per": "month"},
        ]
        return tariff_of(version=number, valid=valid, charges=charges)

    january = months("2026-01-01")
    load = used(january, 310)  # 10 a day
    cut = at("2026-01-16")
    old = version("1", ["1", "2"], "31", to="2026-01-16")
    new = version("2", ["3", "4"], "62", **{"from": "2026-01-16"})
    head = open_state(tariff=old, period=Period(january.start, cut), bill=january)
    head = advance(tariff=old, state=head, series=load)
    before = settle(tariff=old, state=head)
    kept = history_after(tariff=old, state=head)
    tail = open_state(tariff=new, period=Period(cut, january.end), bill=january, history=kept)
    after = settle(tariff=new, state=advance(tariff=new, state=tail, series=load))
    # 15 days: 100 kWh at 1, 50 at 2, 15/31 of 31. 16 days: all 160 kWh are above 100, at 4; 16/31 of 62.
    assert amounts(before) == ["100.00", "100.00", "15.00"]
    assert amounts(after) == ["640.00", "32.00"]


def test_a_minimum_for_the_year_is_settled_where_the_year_ends(tariff_of: Build) -> None:
    least = {"name": "least", "kind": "minimum", "price": "120", "per": "year", "proration": "none", "covers": "all"}
    tariff = tariff_of(charges=[flat("0.1"), least])
    load = joined(*(used(months(f"2026-{number:02d}-01"), 90) for number in range(1, 13)))
    bills = monthly(tariff=tariff, series=load)
    assert [bill.total.text for bill in bills] == ["9.00"] * 11 + ["21.00"]  # 120 - 108 = 12 more in December
