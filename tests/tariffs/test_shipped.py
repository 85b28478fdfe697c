"""Each shipped tariff says where it is from, and makes the bill that was worked out by hand beside it."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from loads import amounts, at, months, quantities, used

from wattledger.kernel import IntervalSeries, Money, Period, Quality, epoch, zone_named
from wattledger.tariffs import (
    FactUnknown,
    IndexPrices,
    Signals,
    Tariff,
    TariffNotInForce,
    inverse,
    load_tariff,
    monthly,
    open_state,
    rate,
    settle,
    shipped_tariffs,
)

SHIPPED = shipped_tariffs()


def shipped(name: str) -> Tariff:
    return load_tariff(SHIPPED[name])


def daily(period: Period, hours: Mapping[int, str], *, zone: str, seconds: int = 3600) -> IntervalSeries:
    """The same kWh at the same local hours of every day, and nothing in between."""
    starts = np.arange(epoch(period.start), epoch(period.end), seconds, dtype=np.int64)
    local = [datetime.fromtimestamp(start, tz=zone_named(zone)) for start in starts.tolist()]
    wh = {hour: int(Decimal(kwh) * 1000) for hour, kwh in hours.items()}
    values = np.array([wh.get(time.hour, 0) if time.minute == 0 else 0 for time in local], dtype=np.int64)
    return IntervalSeries(starts, values, np.full(len(starts), Quality.ACTUAL, dtype=np.uint8), seconds)


def with_more(series: IntervalSeries, start: datetime, kwh: str) -> IntervalSeries:
    """One interval with another energy."""
    values = series.values.copy()
    values[int(np.flatnonzero(series.starts == epoch(start))[0])] = int(Decimal(kwh) * 1000)
    return IntervalSeries(series.starts, values, series.qualities, series.seconds)


def test_there_is_one_of_each_pattern() -> None:
    assert list(SHIPPED) == [
        "au-ergon-tou-controlled-load",
        "cn-zhejiang-residential",
        "flat",
        "gb-octopus-agile",
        "in-kerala-domestic",
        "us-tucson-tou-tiers-demand",
        "za-city-power-prepaid",
    ]


@pytest.mark.parametrize("path", SHIPPED.values(), ids=lambda path: path.stem)
def test_every_one_is_sound_and_names_its_source(path: Path) -> None:
    tariff = load_tariff(path)
    assert tariff.id == path.stem
    assert not tariff.remarks
    head = path.read_text(encoding="utf-8").partition("\nid:")[0]
    assert all(line.startswith("#") for line in head.splitlines())
    assert "http" in head or ".com/" in head


# --- mainland China: peak, flat, valley, and steps by the year ---


def test_zhejiang_through_a_year() -> None:
    year = Period(at("2026-01-01", "Asia/Shanghai"), at("2027-01-01", "Asia/Shanghai"))
    # A day: 2 kWh at peak, 5 flat, 3 in the valley: 2 x 0.568 + 5 x 0.538 + 3 x 0.288 = 4.69; on the second step 5.19.
    load = daily(year, {10: "2", 13: "5", 23: "3"}, zone="Asia/Shanghai")
    bills = monthly(tariff=shipped("cn-zhejiang-residential"), series=load)
    january = {(line.period, line.tier): int(line.quantity) for line in bills[0].lines}
    assert january == {("peak", 1): 62, ("flat", 1): 155, ("valley", 1): 93}
    # 62 x 0.568 = 35.216, 155 x 0.538 = 83.39, 93 x 0.288 = 26.784
    assert bills[0].total.text == "145.39"
    # 2,760 kWh are reached after 276 days, with 3 October. Of October's days 3 are on the first step, 28 on the second.
    october = {(line.period, line.tier): str(line.amount) for line in bills[9].lines}
    assert october == {
        ("peak", 1): "3.41 CNY",  # 6 x 0.568
        ("peak", 2): "34.61 CNY",  # 56 x 0.618
        ("flat", 1): "8.07 CNY",  # 15 x 0.538
        ("flat", 2): "82.32 CNY",  # 140 x 0.588
        ("valley", 1): "2.59 CNY",  # 9 x 0.288
        ("valley", 2): "28.39 CNY",  # 84 x 0.338
    }
    # 276 x 4.69 + 89 x 5.19 = 1,756.35, but for the cents of the lines' rounding.
    assert abs(sum(bill.total.amount for bill in bills) - Decimal("1756.35")) < Decimal("0.20")


def test_zhejiang_third_step_and_who_moved_in() -> None:
    tariff = shipped("cn-zhejiang-residential")
    july = months("2026-07-01", zone="Asia/Shanghai")
    everything = daily(july, {13: "200"}, zone="Asia/Shanghai")  # 6,200 kWh, all flat
    bill = rate(tariff=tariff, series=everything, period=july)
    assert quantities(bill) == [2760, 2040, 1400]
    assert amounts(bill) == ["1484.88", "1199.52", "1173.20"]  # at 0.538, 0.588, 0.838


# --- a US plan: periods, tiers, demand, seasons, holidays ---


def tucson_july() -> tuple[Period, IntervalSeries]:
    """1,200 kWh: 47 on peak, among them an hour of 9 kWh; 36 kW at night, which no demand charge sees."""
    period = months("2023-07-01", zone="America/Phoenix")
    load = daily(period, {3: "36", 16: "2"}, zone="America/Phoenix")  # 31 x 38 = 1,178
    load = with_more(load, at("2023-07-10T16:00", "America/Phoenix"), "9")
    return period, with_more(load, at("2023-07-01T05:00", "America/Phoenix"), "15")


def test_tucson_in_july() -> None:
    period, load = tucson_july()
    bill = rate(tariff=shipped("us-tucson-tou-tiers-demand"), series=load, period=period)
    # 21 weekdays less the 4th: 19 x 2 + 9 = 47 kWh on peak. The month's tiers of 500, 500 and 200 of 1,200 are every
    # period's: 47 x 5/12 = 19.583 at 0.1416 and 0.1528, 47 x 2/12 = 7.833 at 0.1592; 1,153 kWh likewise off-peak.
    lines = {(line.charge, line.period, line.tier): str(line.amount) for line in bill.lines}
    assert lines == {
        ("basic service", None, None): "10.00 USD",
        ("energy", "on-peak", 1): "2.77 USD",
        ("energy", "on-peak", 2): "2.99 USD",
        ("energy", "on-peak", 3): "1.25 USD",
        ("energy", "off-peak", 1): "50.73 USD",  # 480.417 x 0.1056
        ("energy", "off-peak", 2): "56.16 USD",  # 480.417 x 0.1169
        ("energy", "off-peak", 3): "23.67 USD",  # 192.167 x 0.1232
        ("demand", "on-peak", 1): "71.26 USD",  # 7 kW x 10.18
        ("demand", "on-peak", 2): "29.58 USD",  # 2 kW x 14.79
    }
    assert bill.total.text == "248.41"


def test_tucson_winter_has_two_peaks_a_day_and_the_next_year_other_holidays() -> None:
    tariff = shipped("us-tucson-tou-tiers-demand")
    period = months("2023-11-01", zone="America/Phoenix")
    load = daily(period, {6: "1", 8: "1", 9: "1", 15: "1", 18: "1", 20: "1", 21: "1"}, zone="America/Phoenix")
    bill = rate(tariff=tariff, series=load, period=period)
    peak = sum(line.quantity for line in bill.lines if line.kind == "energy" and line.period == "on-peak")
    assert peak == 21 * 4  # 22 weekdays less Thanksgiving
    assert {line.season for line in bill.lines if line.kind == "energy"} == {"winter"}
    with pytest.raises(TariffNotInForce):
        rate(tariff=tariff, series=load, period=months("2024-01-01", zone="America/Phoenix"))


# --- Britain: another price each half-hour ---


def test_agile_on_a_day() -> None:
    midnight = at("2021-01-14", "Europe/London")
    day = Period(midnight, midnight + timedelta(days=1))
    load = daily(day, {3: "1", 12: "1", 17: "1"}, zone="Europe/London", seconds=1800)
    load = with_more(load, at("2021-01-14T17:30", "Europe/London"), "1")
    wholesale = {midnight + timedelta(minutes=30 * n): Decimal("0.08") for n in range(48)}
    wholesale[at("2021-01-14T03:00", "Europe/London")] = Decimal("-0.03")
    wholesale[at("2021-01-14T17:30", "Europe/London")] = Decimal("0.12")
    signals = Signals(prices={"day-ahead half-hour": IndexPrices.of(wholesale.items())})
    bill = rate(tariff=shipped("gb-octopus-agile"), series=load, period=day, signals=signals)
    # 03:00: 2.1 x -3 p = -6.3 p; 12:00: 2.1 x 8 = 16.8; 17:00: 16.8 + 13 = 29.8; 17:30: 25.2 + 13 = 38.2, capped 33.33.
    lines = {(line.charge, line.period): str(line.amount) for line in bill.lines}
    assert lines == {
        ("energy", "other"): "0.11 GBP",  # 0.105
        ("energy", "evening"): "0.63 GBP",  # 0.6313
        ("standing charge", None): "0.20 GBP",
        ("VAT", None): "0.05 GBP",  # 5 % of 0.94
    }
    assert bill.total.text == "0.99"
    exact = rate(tariff=shipped("gb-octopus-agile"), series=load, period=day, signals=signals, exact=True)
    assert exact.total == (Decimal("0.7363") + Decimal("0.20")) * Decimal("1.05")


# --- Kerala: slabs, and the cliff at 250 kWh ---


@pytest.mark.parametrize(
    ("kwh", "phases", "lines", "total"),
    [
        # 50 x 3.35, 4.25, 5.35, 7.20 and 30 x 8.50; fixed 160; duty of 1,262.50; rent and its tax; 1,555.83 rounded.
        (
            230,
            1,
            "167.50 212.50 267.50 360.00 255.00 160.00 126.25 6.00 1.08 0.17",
            "1556.00",
        ),
        # The same with three phases: fixed 235.
        (
            230,
            3,
            "167.50 212.50 267.50 360.00 255.00 235.00 126.25 6.00 1.08 0.17",
            "1631.00",
        ),
        # 250 kWh: 1,432.50 + 160 + 143.25 + 7.08 = 1,742.83.
        (
            250,
            1,
            "167.50 212.50 267.50 360.00 425.00 160.00 143.25 6.00 1.08 0.17",
            "1743.00",
        ),
        # One more: 251 x 6.75 + 220 + 169.43 + 7.08 = 2,090.76, 348 rupees for a kWh.
        (251, 1, "1694.25 220.00 169.43 6.00 1.08 0.24", "2091.00"),
        # 390 x 7.95 + 260 + 310.05 + 7.08 = 3,677.63.
        (390, 1, "3100.50 260.00 310.05 6.00 1.08 0.37", "3678.00"),
        # 40 x 3.35 + 50 + 13.40 + 7.08 = 204.48.
        (40, 1, "134.00 50.00 13.40 6.00 1.08 -0.48", "204.00"),
        # 600 x 9.20 + 310 + 552 + 7.08 = 6,389.08.
        (600, 3, "5520.00 310.00 552.00 6.00 1.08 -0.08", "6389.00"),
    ],
)
def test_kerala_in_a_month(kwh: int, phases: int, lines: str, total: str) -> None:
    period = months("2025-06-01", zone="Asia/Kolkata")
    bill = rate(tariff=shipped("in-kerala-domestic"), series=used(period, kwh), period=period, facts={"phases": phases})
    assert amounts(bill) == lines.split()
    assert bill.total.text == total


def test_kerala_read_after_two_months_is_twice_a_month() -> None:
    period = months("2025-06-01", 2, zone="Asia/Kolkata")
    bill = rate(tariff=shipped("in-kerala-domestic"), series=used(period, 460), period=period, facts={"phases": 1})
    assert amounts(bill)[:5] == ["335.00", "425.00", "535.00", "720.00", "510.00"]
    # 2,525.00 + 320 + 252.50 + 12 + 2.16 = 3,111.66
    assert amounts(bill)[5:] == ["320.00", "252.50", "12.00", "2.16", "0.34"]
    assert bill.total.text == "3112.00"


def test_kerala_asks_how_many_phases() -> None:
    period = months("2025-06-01", zone="Asia/Kolkata")
    with pytest.raises(FactUnknown, match="phases"):
        rate(tariff=shipped("in-kerala-domestic"), series=used(period, 230), period=period)


# --- Queensland: time of use with a controlled load and feed-in, and the plainest plan ---


def test_ergon_with_controlled_load_and_feed_in() -> None:
    period = months("2024-07-01", zone="Australia/Brisbane")
    series = {
        "import": daily(period, {12: "1", 17: "2", 22: "3"}, zone="Australia/Brisbane"),
        "controlled": daily(period, {1: "4"}, zone="Australia/Brisbane"),
        "export": daily(period, {12: "5"}, zone="Australia/Brisbane"),
    }
    bill = rate(tariff=shipped("au-ergon-tou-controlled-load"), series=series, period=period)
    lines = {(line.charge, line.period): str(line.amount) for line in bill.lines}
    assert lines == {
        ("energy", "peak"): "27.06 AUD",  # 62 x 0.436513 = 27.063806
        ("energy", "off-peak"): "8.54 AUD",  # 31 x 0.275561 = 8.542391
        ("energy", "shoulder"): "28.02 AUD",  # 93 x 0.301246 = 28.015878
        ("controlled load", None): "29.14 AUD",  # 124 x 0.2350
        ("supply", None): "41.73 AUD",  # 31 x 1.346 = 41.726
        ("feed-in", None): "-19.18 AUD",  # 155 x 0.12377 = 19.18435
    }
    assert bill.total.text == "115.31"


def test_ergon_flat() -> None:
    period = months("2018-08-01", zone="Australia/Brisbane")
    bill = rate(tariff=shipped("flat"), series=used(period, 310), period=period)
    assert amounts(bill) == ["86.27", "30.33"]  # 310 x 0.27828 = 86.2668; 31 x 0.97843 = 30.33133
    assert bill.total.text == "116.60"


# --- Johannesburg: prepaid ---


def test_johannesburg_800_kwh_are_the_published_2360_57_before_vat() -> None:
    period = months("2024-07-01", zone="Africa/Johannesburg")
    bill = rate(tariff=shipped("za-city-power-prepaid"), series=used(period, 800), period=period)
    assert amounts(bill) == ["70.00", "130.00", "827.19", "406.65", "926.73", "354.09"]
    assert (bill.total - Money.of("354.09", "ZAR")).text == "2360.57"
    assert bill.total.text == "2714.66"


def test_johannesburgs_fixed_charge_is_due_with_the_months_first_purchase() -> None:
    tariff = shipped("za-city-power-prepaid")
    period = months("2024-07-01", zone="Africa/Johannesburg")
    state = open_state(tariff=tariff, period=period)
    owed = settle(tariff=tariff, state=state, until=period.start + timedelta(minutes=1)).total
    assert owed.text == "230.00"  # (70 + 130) x 1.15, from the first minute of the month on
    # R400 leave 170.00: 147.83 of energy (with VAT on 347.83 of 52.17), so what stays below 147.835 at 2.3634.
    bought = inverse(tariff=tariff, state=state, amount=Money.of("400", "ZAR") - owed, at=period.start)
    assert bought.kilowatt_hours == Decimal("62.551")
    assert not settle(tariff=tariff, state=state, until=period.start).lines
