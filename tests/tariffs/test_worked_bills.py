"""Bills and rules that utilities published: each figure under the convention by which it was made."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from loads import amounts, at, days, joined, kw, months, quantities, used

from wattledger.kernel import IntervalSeries, Money, Period, epoch, local_months, zone_named
from wattledger.tariffs import (
    NO_HISTORY,
    History,
    IndexPriceMissing,
    IndexPrices,
    Signals,
    Tariff,
    advance,
    inverse,
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


# --- Kerala: telescopic, and the cliff ---

KERALA_2019 = ["3.15", "3.70", "4.80", "6.40", "7.60"]  # from 08.07.2019; to 50, 100, 150, 200, 250 kWh a month


def test_kerala_117_kwh_with_all_its_components(tariff_of: Build) -> None:
    # ksebinfoportal.blogspot.com/2020/07/kseb-bill-calculation.html, single phase domestic.
    tariff = tariff_of(
        currency="INR",
        charges=[
            stepped(["50", "100", "150", "200"], KERALA_2019),
            {"name": "duty", "kind": "tax", "rate": "10", "of": ["energy"]},
            {"name": "meter rent", "kind": "fixed", "price": "6", "per": "month"},
            {"name": "rent tax", "kind": "tax", "rate": "18", "of": ["meter rent"]},
            {"name": "rent cess", "kind": "tax", "rate": "1", "of": ["meter rent"]},
            {"name": "fuel", "kind": "energy", "price": "0.10"},
            {
                "name": "fixed",
                "kind": "fixed",
                "price": "55",
                "per": "month",
                "when": {"usage": {"over": 100, "up_to": 150}},
            },
            {"name": "fixed next", "kind": "fixed", "price": "70", "per": "month", "when": {"usage": {"over": 150}}},
        ],
    )
    period = months("2020-07-01")
    bill = rate(tariff=tariff, series=used(period, 117), period=period)
    energy = [line.amount for line in bill.lines if line.charge == "energy" and isinstance(line.amount, Money)]
    assert sum((one.amount for one in energy), start=Decimal(0)) == Decimal("424.10")
    components = ["duty", "meter rent", "rent tax", "rent cess", "fuel", "fixed", "fixed next"]
    assert amounts(bill, *components) == ["42.41", "6.00", "1.08", "0.06", "11.70", "55.00"]
    assert bill.total.text == "540.35"


def test_kerala_396_kwh_read_after_two_months_have_twice_the_slabs(tariff_of: Build) -> None:
    # The same page: 315 + 370 + 480 + 614.40 = 1779.40 on slabs of 100 kWh.
    two = {"basis": "bill", "proration": "days"}
    tariff = tariff_of(currency="INR", charges=[stepped(["50", "100", "150", "200"], KERALA_2019, **two)])
    period = months("2020-07-01", 2)
    bill = rate(tariff=tariff, series=used(period, 396), period=period)
    assert amounts(bill) == ["315.00", "370.00", "480.00", "614.40"]
    assert bill.total.text == "1779.40"


def kerala_with_its_cliff(tariff_of: Build, **clauses: Any) -> Tariff:  # noqa: ANN401 - a document
    # github.com/jyothisvjames/kseb-electricity-bill-estimator: above 250 kWh the whole at the reached slab's price.
    below = stepped(["50", "100", "150", "200"], KERALA_2019) | {"when": {"usage": {"up_to": 250}}}
    prices = ["5.80", "6.60", "6.90", "7.10", "7.90"]
    above = stepped(["300", "350", "400", "450"], prices, allocation="reached_slab")
    above |= {"name": "energy above", "when": {"usage": {"over": 250}}}
    return tariff_of(currency="INR", charges=[below, above], **clauses)


@pytest.mark.parametrize(
    ("kwh", "expected"),
    [
        ("390", "2691.00"),  # 390 x 6.90
        ("250", "1282.50"),  # 50 x (3.15 + 3.70 + 4.80 + 6.40 + 7.60)
        ("250.001", "1450.01"),  # one watt-hour more, and every kWh costs 5.80
        ("251", "1455.80"),
        ("300", "1740.00"),
        ("301", "1986.60"),  # 301 x 6.60
        ("500", "3950.00"),
    ],
)
def test_kerala_above_250_kwh_every_kwh_is_at_the_reached_slab(tariff_of: Build, kwh: str, expected: str) -> None:
    period = months("2020-07-01")
    tariff = kerala_with_its_cliff(tariff_of)
    assert rate(tariff=tariff, series=used(period, kwh), period=period).total.text == expected


def test_kerala_totals_are_in_whole_rupees(tariff_of: Build) -> None:
    period = months("2020-07-01")
    tariff = kerala_with_its_cliff(tariff_of, rounding={"bill": {"places": 0}})
    bill = rate(tariff=tariff, series=used(period, 251), period=period)
    assert (bill.total.text, amounts(bill, "rounding")) == ("1456.00", ["0.20"])


def test_a_late_reading_over_the_cliff_changes_every_kwh_counted_before(tariff_of: Build) -> None:
    period = months("2020-07-01")
    tariff = kerala_with_its_cliff(tariff_of)
    state = open_state(tariff=tariff, period=period)
    state = advance(tariff=tariff, state=state, series=used(days("2020-07-01", 30), 250))
    before = settle(tariff=tariff, state=state).total
    state = advance(tariff=tariff, state=state, series=used(days("2020-07-31", 1), 1))
    assert (settle(tariff=tariff, state=state).total - before).text == "173.30"


# --- Tamil Nadu: the total chooses the set of prices ---


@pytest.mark.parametrize(
    ("kwh", "expected"),
    [
        (80, "100.00"),  # published: 80 x 1.00 + 20
        (130, "215.00"),  # published: 130 x 1.50 + 20
        (230, "520.00"),  # published: 200 x 2.00 + 30 x 3.00 + 30
        (100, "120.00"),
        (101, "171.50"),
        (500, "1330.00"),  # 400 + 900 + 30
        (501, "1845.75"),  # 600 + 1200 + 5.75 + 40
    ],
)
def test_tamil_nadu_2012(tariff_of: Build, kwh: int, expected: str) -> None:
    # headlinesnewsworld.blogspot.com/2012/06: the price of the first block depends on the total.
    sets = {
        "a": ({"up_to": 100}, flat("1.00"), "20"),
        "b": ({"over": 100, "up_to": 200}, flat("1.50"), "20"),
        "c": ({"over": 200, "up_to": 500}, stepped(["200"], ["2.00", "3.00"], basis="bill"), "30"),
        "d": ({"over": 500}, stepped(["200", "500"], ["3.00", "4.00", "5.75"], basis="bill"), "40"),
    }
    charges: list[dict[str, Any]] = []
    for name, (usage, energy, fixed) in sets.items():
        charges.append({**energy, "name": f"energy {name}", "when": {"usage": usage}})
        charges.append(
            {"name": f"fixed {name}", "kind": "fixed", "price": fixed, "per": "bill", "when": {"usage": usage}}
        )
    tariff = tariff_of(currency="INR", charges=charges)
    period = months("2012-05-01", 2)
    assert rate(tariff=tariff, series=used(period, kwh), period=period).total.text == expected


# --- Delhi: prorated slabs and fixed charges ---


def delhi(tariff_of: Build, **rounding: Any) -> Tariff:  # noqa: ANN401 - a document
    tiers = {"basis": "bill", "proration": {"standard_days": 31}, **rounding}
    return tariff_of(currency="INR", charges=[stepped(["200", "400"], ["3.70", "5.50", "6.50"], **tiers)])


def test_delhi_405_kwh_in_32_days_fill_a_slab_of_207(tariff_of: Build) -> None:
    # A bill of BSES Delhi, 2014 (nipunbatra.github.io, "Decoding your electricity bill"): 200 x 32/31 = 206.45, billed
    # as 207, and 198 above; 1,854.90.
    period = days("2014-03-01", 32)
    load = used(period, 405)
    whole = rate(tariff=delhi(tariff_of, rounding={"places": 0, "mode": "up"}), series=load, period=period)
    assert quantities(whole) == [207, 198]
    assert amounts(whole) == ["765.90", "1089.00"]
    assert whole.total.text == "1854.90"
    cents = rate(tariff=delhi(tariff_of, rounding={"places": 2}), series=load, period=period)
    assert quantities(cents)[0] == Decimal("206.45")
    unrounded = rate(tariff=delhi(tariff_of), series=load, period=period, exact=True)
    assert abs(Fraction(quantities(unrounded)[0]) - Fraction(200 * 32, 31)) < Fraction(1, 10**9)


def test_delhi_14_days_are_0_4516_months_of_fixed_charge(tariff_of: Build) -> None:
    # alumniagri.in, "Electricity Bill Calculation": 24 July to 6 August, 25 a kW and month, 6 kW: 67.74; and surcharges
    # of 8 % line by line: 402.32 of 5,029.05 and 5.42 of 67.74.
    tariff = tariff_of(
        currency="INR",
        charges=[
            flat("5.02905"),
            {
                "name": "fixed",
                "kind": "fixed",
                "price": "25",
                "per": "month",
                "times": "contracted_kw",
                "proration": {"by": "days", "rounding": {"places": 4}},
            },
            {"name": "surcharge", "kind": "percentage", "rate": "8", "of": ["energy", "fixed"], "on": "line"},
        ],
    )
    period = days("2014-07-24", 14)
    bill = rate(tariff=tariff, series=used(period, 1000), period=period, facts={"contracted_kw": 6})
    assert quantities(bill, "fixed") == [Decimal("0.4516") * 6]
    assert amounts(bill) == ["5029.05", "67.74", "402.32", "5.42"]


# --- Otter Tail: a standard month, and a season that ends within the bill ---


def test_otter_tail_29_days_of_a_twelfth_of_a_year(tariff_of: Build) -> None:
    # otpco.com, "How to read my bill": read 11 December and 9 January, 29 days, 9.75 x 29 / 30.416667 = 9.30; 600 kWh
    # are 20.689655 a day, 413.793103 in 20 days of the old season and 186.206897 in 9 of the new.
    tariff = tariff_of(
        currency="USD",
        seasons={"old": "07-01 to 12-31", "new": "01-01 to 06-30"},
        charges=[
            flat({"old": "0.1", "new": "0.2"}),
            {
                "name": "customer charge",
                "kind": "fixed",
                "price": "9.75",
                "per": "month",
                "proration": {"standard_days": "365/12"},
            },
        ],
    )
    period = days("2018-12-12", 29)
    load = joined(*(used(days(day, 1), "20.689655172") for day in calendar("2018-12-12", 29)))
    bill = rate(tariff=tariff, series=load, period=period)
    assert amounts(bill, "customer charge") == ["9.30"]
    assert {line.season: round(line.quantity, 6) for line in bill.lines if line.charge == "energy"} == {
        "old": Decimal("413.793103"),
        "new": Decimal("186.206897"),
    }
    assert bill.total.text == "87.92"  # 41.38 + 37.24 + 9.30


def calendar(first: str, count: int) -> list[str]:
    return [f"{at(first) + timedelta(days=n):%Y-%m-%d}" for n in range(count)]


# --- Lafayette and Quakertown: only very short and very long bills are cut ---


@pytest.mark.parametrize(
    ("length", "fixed", "first_block", "least"),
    [(24, "8.00", 80, "16.00"), (25, "10.00", 100, "20.00"), (35, "10.00", 100, "20.00"), (36, "12.00", 120, "24.00")],
)
def test_bills_under_25_or_over_35_days_are_cut_on_30(
    tariff_of: Build, length: int, fixed: str, first_block: int, least: str
) -> None:
    # Lafayette, Louisiana, code 94-86; Quakertown, Pennsylvania, code 812.
    rule = {"standard_days": 30, "unless": [25, 35]}
    tariff = tariff_of(
        charges=[
            stepped(["100"], ["0.01", "0.02"], basis="bill", proration=rule),
            {"name": "fixed", "kind": "fixed", "price": "10", "per": "month", "proration": rule},
            {
                "name": "least",
                "kind": "minimum",
                "price": "20",
                "per": "month",
                "proration": rule,
                "covers": ["energy"],
            },
        ]
    )
    period = days("2026-01-01", length)
    bill = rate(tariff=tariff, series=used(period, 200), period=period)
    assert amounts(bill, "fixed") == [fixed]
    assert quantities(bill, "energy")[0] == first_block
    energy = sum(Decimal(amount) for amount in amounts(bill, "energy"))
    assert Decimal(amounts(bill, "least")[0]) + energy == Decimal(least)


@pytest.mark.parametrize(("length", "fixed"), [(49, "16.33"), (50, "20.00"), (70, "20.00"), (71, "23.67")])
def test_bills_of_two_months_are_cut_on_60(tariff_of: Build, length: int, fixed: str) -> None:
    rule = {"standard_days": 60, "unless": [50, 70]}
    charge = {"name": "fixed", "kind": "fixed", "price": "20", "per": "month", "proration": rule}
    period = days("2026-01-01", length)
    bill = rate(tariff=tariff_of(charges=[flat("0"), charge]), series=used(period, 1), period=period)
    assert amounts(bill, "fixed") == [fixed]


# --- Johannesburg: prepaid blocks ---

CITY_POWER_2023 = ["2.0967", "2.4051", "2.7405"]  # published rounded: 2.10 and 2.41


def city_power(tariff_of: Build, prices: Sequence[str] = CITY_POWER_2023, *fixed: str) -> Tariff:
    charges = [
        *(
            {"name": f"fixed {price}", "kind": "fixed", "price": price, "per": "month", "proration": "none"}
            for price in fixed
        ),
        stepped(["350", "500"], prices),
        {"name": "VAT", "kind": "tax", "rate": "15", "of": "all"},
    ]
    return tariff_of(currency="ZAR", zone="Africa/Johannesburg", charges=charges)


@pytest.mark.parametrize(
    ("kwh", "before_vat", "total"), [(350, "733.85", "843.93"), (374, "791.57", "910.31"), (24, "50.32", "57.87")]
)
def test_johannesburg_blocks(tariff_of: Build, kwh: int, before_vat: str, total: str) -> None:
    # businesstech.co.za 701367 (July 2023): 733.85 for 350 kWh, 843.93 with VAT; 791.57 for 374 kWh.
    period = months("2023-07-01", zone="Africa/Johannesburg")
    bill = rate(tariff=city_power(tariff_of), series=used(period, kwh), period=period)
    assert sum(Decimal(amount) for amount in amounts(bill, "energy")) == Decimal(before_vat)
    assert bill.total.text == total


def test_johannesburg_800_kwh_before_vat_unrounded(tariff_of: Build) -> None:
    # citizen.co.za, 8 July 2024: 1,916.76 for 800 kWh in 2023/24.
    period = months("2023-07-01", zone="Africa/Johannesburg")
    bill = rate(tariff=city_power(tariff_of), series=used(period, 800), period=period, exact=True)
    energy = sum(Decimal(amount) for amount in amounts(bill, "energy"))
    assert energy == Decimal("1916.76")


def test_the_first_purchase_of_a_month_pays_its_fixed_charge(tariff_of: Build) -> None:
    # City Power 2024/25: R70 + R130 before VAT at the first purchase of the month (here with the energy of 2023/24).
    tariff = city_power(tariff_of, CITY_POWER_2023, "70", "130")
    period = months("2024-07-01", zone="Africa/Johannesburg")
    state = open_state(tariff=tariff, period=period)
    owed = settle(tariff=tariff, state=state, until=period.start + timedelta(hours=1)).total
    assert owed.text == "230.00"
    # 400 leave 170.00: 147.83 of energy makes 347.83, VAT on it 52.17, together 400.00; a cent of energy more makes
    # 400.02. So as many kWh at 2.0967 as stay below 147.835, which would round up.
    first = inverse(tariff=tariff, state=state, amount=Money.of("400", "ZAR") - owed, at=period.start)
    assert first.kilowatt_hours == Decimal("70.508")
    state = advance(tariff=tariff, state=state, series=kw(period.start, [first.kilowatt_hours], seconds=3600))
    assert settle(tariff=tariff, state=state).total.text == "400.00"
    # A second purchase in the month pays no fixed charge: up to 500.00 are 234.78 of energy, 111.978 kWh in all.
    second = inverse(tariff=tariff, state=state, amount=Money.of("100", "ZAR"), at=period.start)
    assert second.kilowatt_hours == Decimal("111.978") - Decimal("70.508")


def test_money_for_more_than_a_block_buys_the_rest_at_the_next_price(tariff_of: Build) -> None:
    tariff = city_power(tariff_of)
    period = months("2023-07-01", zone="Africa/Johannesburg")
    state = advance(
        tariff=tariff, state=open_state(tariff=tariff, period=period), series=kw(period.start, [300], seconds=3600)
    )
    # 300 kWh are 723.36 with VAT, so 923.36 may be reached: 802.92 before VAT, of which 733.85 for the first block's
    # 350 kWh and 69.07 for 28.720 kWh at 2.4051.
    bought = inverse(tariff=tariff, state=state, amount=Money.of("200", "ZAR"), at=period.start)
    assert bought.kilowatt_hours == Decimal("78.720")
    following = open_state(tariff=tariff, period=months("2023-08-01", zone="Africa/Johannesburg"), history=NO_HISTORY)
    anew = inverse(
        tariff=tariff, state=following, amount=Money.of("200", "ZAR"), at=at("2023-08-01", "Africa/Johannesburg")
    )
    assert anew.kilowatt_hours == Decimal("82.947")  # a new month, the first block again: 173.91 of energy at 2.0967


# --- Zhejiang: a ladder by the year ---

ZHEJIANG = ["0.538", "0.588", "0.838"]  # to 2,760 and 4,800 kWh a year (Zhejiang Price Bureau, quoted in cc01cc/Eru)


def ladder(tariff_of: Build, proration: str = "none") -> Tariff:
    charge = stepped(["2760", "4800"], ZHEJIANG, basis="year", proration=proration)
    return tariff_of(currency="CNY", zone="Asia/Shanghai", charges=[charge])


def year_of(kwh: Sequence[int], first: str = "2026-01-01") -> IntervalSeries:
    """So many kWh in each calendar month."""
    start = at(first, "Asia/Shanghai")
    whole = list(local_months(Period(start, start + timedelta(days=31 * len(kwh))), zone=zone_named("Asia/Shanghai")))
    return joined(*(used(month, use) for month, use in zip(whole, kwh, strict=False)))


def test_a_ladder_counts_the_whole_year(tariff_of: Build) -> None:
    bills = monthly(tariff=ladder(tariff_of), series=year_of([500] * 13))
    assert [amounts(bill) for bill in bills[:4]] == [["269.00"]] * 4
    assert amounts(bills[5]) == ["139.88", "141.12"]  # June ends at 3,000: 260 kWh at 0.538, 240 at 0.588
    assert amounts(bills[9]) == ["176.40", "167.60"]  # October ends at 5,000: 300 at 0.588, 200 at 0.838
    # 2,760 x 0.538 + 2,040 x 0.588 + 1,200 x 0.838
    assert sum(bill.total.amount for bill in bills[:12]) == Decimal("3690.00")
    assert amounts(bills[12]) == ["269.00"]  # the next January begins anew


def test_a_correction_of_march_re_rates_the_bills_after_it(tariff_of: Build) -> None:
    tariff = ladder(tariff_of)
    before = monthly(tariff=tariff, series=year_of([500] * 12))
    after = monthly(tariff=tariff, series=year_of([500, 500, 800, *[500] * 9]))
    changed = [number for number in range(12) if before[number].total != after[number].total]
    # March itself, May (which now reaches 2,760), June (which did before) and October (which now begins at 4,800).
    assert changed == [2, 4, 5, 9]
    assert amounts(after[2]) == ["430.40"]
    assert (amounts(before[4]), amounts(after[4])) == (["269.00"], ["247.48", "23.52"])  # 460 and 40 kWh
    assert (amounts(before[9]), amounts(after[9])) == (["176.40", "167.60"], ["419.00"])
    assert sum(b.total.amount for b in after) - sum(b.total.amount for b in before) == Decimal("251.40")  # 300 x 0.838


def test_who_moves_in_on_1_july_has_the_rest_of_the_ladder_or_all_of_it(tariff_of: Build) -> None:
    july = months("2026-07-01", zone="Asia/Shanghai")
    moved_in = History(since=epoch(july.start))
    load = used(july, 2000)
    share = Fraction(2760 * 184, 365)  # 1391.34...
    by_days = rate(tariff=ladder(tariff_of, "days"), series=load, period=july, history=moved_in, exact=True)
    assert abs(Fraction(quantities(by_days)[0]) - share) < Fraction(1, 10**9)
    assert amounts(rate(tariff=ladder(tariff_of), series=load, period=july, history=moved_in)) == ["1076.00"]
    stayed = rate(tariff=ladder(tariff_of, "days"), series=load, period=july)
    assert amounts(stayed) == ["1076.00"]  # 2,000 x 0.538: nobody moved, the limits are the year's


def test_a_leap_day_is_a_day_of_the_year_that_is_shared_at_moving_in(tariff_of: Build) -> None:
    july = months("2028-07-01", zone="Asia/Shanghai")
    moved_in = History(since=epoch(july.start))
    bill = rate(tariff=ladder(tariff_of, "days"), series=used(july, 2000), period=july, history=moved_in, exact=True)
    assert abs(Fraction(quantities(bill)[0]) - Fraction(2760 * 184, 366)) < Fraction(1, 10**9)


# --- Mauritius: eleven blocks, and Britain: half-hourly prices ---

MAURITIUS = [  # CEB 2023 (github.com/ashvinmotye/electricity-tariff-mauritius): widths and prices
    (25, "3.16"),
    (25, "4.38"),
    (25, "4.74"),
    (25, "5.45"),
    (100, "6.15"),
    (50, "7.02"),
    (50, "7.90"),
    (200, "10.46"),
    (500, "10.68"),
    (500, "10.91"),
    (500, "11.13"),
]


@pytest.mark.parametrize(
    ("kwh", "expected"),
    [
        (25, "79.00"),
        (60, "235.90"),  # 79.00 + 109.50 + 10 x 4.74
        (300, "1804.25"),  # 443.25 + 615.00 + 351.00 + 395.00
        (520, "4109.85"),  # 1804.25 + 2092.00 + 20 x 10.68
        (2000, "20256.25"),  # 1804.25 + 2092.00 + 5340.00 + 5455.00 + 5565.00
    ],
)
def test_mauritius_blocks(tariff_of: Build, kwh: int, expected: str) -> None:
    limits = [str(sum(width for width, _ in MAURITIUS[: n + 1])) for n in range(len(MAURITIUS) - 1)]
    tariff = tariff_of(currency="MUR", charges=[stepped(limits, [price for _, price in MAURITIUS])])
    period = months("2023-02-01")
    assert rate(tariff=tariff, series=used(period, kwh), period=period).total.text == expected


def agile(tariff_of: Build, **index: Any) -> Tariff:  # noqa: ANN401 - a document
    clauses = {
        "series": "auction",
        "scale": "2.205",
        "adder": {"evening": "0.1365", "other": "0"},
        "cap": "0.35",
        "missing": "refuse",
        **index,
    }
    return tariff_of(
        currency="GBP",
        zone="Europe/London",
        periods={"evening": {"times": "16:00-19:00"}, "other": "otherwise"},
        charges=[{"name": "energy", "kind": "energy", "index": clauses}],
    )


@pytest.mark.parametrize(
    ("hour", "wholesale", "pence"),
    [
        ("03:00", "8", "17.64"),  # 1.05 x 2.1 x 8
        ("17:00", "8", "31.29"),  # 1.05 x (2.1 x 8 + 13)
        ("15:30", "8", "17.64"),
        ("16:00", "8", "31.29"),
        ("18:30", "8", "31.29"),
        ("19:00", "8", "17.64"),
        ("17:00", "9.682", "34.99881"),
        ("17:00", "10", "35"),  # 35.70 without the cap
        ("03:00", "90", "35"),
        ("03:00", "-3", "-6.615"),
        ("17:00", "-10", "-8.4"),  # 1.05 x (-21 + 13)
    ],
)
@pytest.mark.parametrize("day", ["2021-01-14", "2021-07-14"])
def test_agile_is_the_formula_on_local_time(tariff_of: Build, day: str, hour: str, wholesale: str, pence: str) -> None:
    # github.com/Johnr24/outgoing_agile_predict, region A: min(35, 1.05 x (2.1 x W + 13 from 16:00 to 19:00)) p/kWh.
    start = at(f"{day}T{hour}", "Europe/London")
    half_hour = Period(start, start + timedelta(minutes=30))
    prices = IndexPrices.of([(start, Decimal(wholesale) / 100)])
    bill = rate(
        tariff=agile(tariff_of),
        series=kw(start, [2], seconds=1800),  # 1 kWh
        period=half_hour,
        signals=Signals(prices={"auction": prices}),
        exact=True,
    )
    assert bill.total * 100 == Decimal(pence)


def test_vat_is_on_negative_prices_too(tariff_of: Build) -> None:
    # Before VAT: 100 kWh at 2.1 x -3 p are -6.30, VAT -0.32 (-0.315, half up and away from zero).
    tariff = tariff_of(
        currency="GBP",
        charges=[
            {"name": "energy", "kind": "energy", "index": {"series": "auction", "scale": "2.1", "missing": "refuse"}},
            {"name": "VAT", "kind": "tax", "rate": "5", "of": ["energy"]},
        ],
    )
    start = at("2021-01-14T03:00")
    prices = Signals(prices={"auction": IndexPrices.of([(start, "-0.03")])})
    series = kw(start, [200], seconds=1800)
    bill = rate(tariff=tariff, series=series, period=Period(start, start + timedelta(minutes=30)), signals=prices)
    assert amounts(bill) == ["-6.30", "-0.32"]
    assert bill.total.text == "-6.62"


def test_a_price_that_is_not_known_is_refused_and_never_guessed(tariff_of: Build) -> None:
    start = at("2021-01-14T03:00", "Europe/London")
    hour = Period(start, start + timedelta(hours=1))
    known = Signals(prices={"auction": IndexPrices.of([(start, "0.08")])})
    with pytest.raises(IndexPriceMissing, match="no price of auction is known for 2021-01-14T03:30"):
        rate(tariff=agile(tariff_of), series=kw(start, [2, 2], seconds=1800), period=hour, signals=known)
    last = rate(
        tariff=agile(tariff_of, missing="last"), series=kw(start, [2, 2], seconds=1800), period=hour, signals=known
    )
    assert last.total.text == "0.35"  # 2 x 17.64 p
    estimate = agile(tariff_of, missing={"estimate": "0.05"})
    guessed = rate(tariff=estimate, series=kw(start, [2, 2], seconds=1800), period=hour, signals=known)
    assert guessed.total.text == "0.29"  # 17.64 p + 2.205 x 5 p
