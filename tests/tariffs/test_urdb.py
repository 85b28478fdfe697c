"""URDB's rates: SAM's bills, the shapes found in the wild, and what is refused by name."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wattledger.kernel import IntervalSeries, Period, Quality, epoch, local_months
from wattledger.tariffs import (
    NO_HISTORY,
    Tariff,
    TariffRefused,
    TierConvention,
    advance,
    history_after,
    import_urdb,
    load_tariff,
    open_state,
    rate,
    settle,
)
from wattledger.tariffs._urdb import _HANDLED, _REMARKED

YEAR = Period(datetime(2018, 1, 1, tzinfo=UTC), datetime(2019, 1, 1, tzinfo=UTC))
COMPONENTS = ("energy", "demand_flat", "demand_tou", "fixed", "minimum")
COMPONENT_OF = {"flat demand": "demand_flat", "TOU demand": "demand_tou"}

FLAT = [[0] * 24] * 12
WORKDAY = [[0] * 16 + [1] * 5 + [0] * 3] * 12
TWO_PERIODS: dict[str, Any] = {
    "energyratestructure": [[{"rate": 0.15, "unit": "kWh"}], [{"rate": 0.25, "adj": 0.01, "unit": "kWh"}]],
    "energyweekdayschedule": WORKDAY,
    "energyweekendschedule": FLAT,
}
TIERED: dict[str, Any] = {
    "energyratestructure": [
        [{"rate": 0.15, "max": 300, "unit": "kWh"}, {"rate": 0.22, "unit": "kWh"}],
        [{"rate": 0.25, "max": 300, "unit": "kWh"}, {"rate": 0.35, "unit": "kWh"}],
    ],
    "energyweekdayschedule": WORKDAY,
    "energyweekendschedule": FLAT,
}


def tiers_of(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"energyratestructure": [list(steps)], "energyweekdayschedule": FLAT, "energyweekendschedule": FLAT}


def flat_of(*steps: dict[str, Any], months: list[int] | None = None) -> dict[str, Any]:
    return {"flatdemandstructure": [list(steps)], "flatdemandmonths": months or [0] * 12}


def demand_of(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"demandratestructure": [list(steps)], "demandweekdayschedule": FLAT, "demandweekendschedule": FLAT}


DAILY = [{"rate": 0.25, "max": 10, "unit": "kWh daily"}, {"rate": 0.35}]
HOURS_USE = [{"rate": 0.2, "max": 200, "unit": "kWh/kW"}, {"rate": 0.1, "unit": "kWh/kW"}]
DEARER = [{"rate": 0.3, "max": 200, "unit": "kWh/kW"}, {"rate": 0.1, "unit": "kWh/kW"}]


def year_of_bills(tariff: Tariff, series: IntervalSeries) -> list[dict[str, Decimal]]:
    """A year's exact amounts by month: SAM's components, demand told apart by the charge."""
    found, history = [], NO_HISTORY
    for month in local_months(YEAR, zone=UTC):
        state = open_state(tariff=tariff, period=month, zone="UTC", history=history)
        state = advance(tariff=tariff, state=state, series=series)
        bill = settle(tariff=tariff, state=state, exact=True)
        assert bill.missing == 0
        history = history_after(tariff=tariff, state=state)
        amounts = dict.fromkeys(COMPONENTS, Decimal(0))
        for line in bill.lines:
            assert isinstance(line.amount, Decimal)
            amounts[COMPONENT_OF.get(line.charge, line.kind)] += line.amount
        found.append(amounts)
    return found


def test_every_bill_agrees_with_sam(shared: Path, hourly_kw: Callable[[str], IntervalSeries]) -> None:
    cases = json.loads((shared / "vectors/sam_bills.json").read_text())["cases"]
    assert len(cases) == 24
    for case in cases:
        bills = year_of_bills(load_tariff(shared / case["tariff"]), hourly_kw(case["load"]))
        for number, amounts in enumerate(bills):
            for component in COMPONENTS:
                expected = Decimal(case["monthly"][component][number])
                assert abs(amounts[component] - expected) < Decimal("0.005"), (case["tariff"], component, number)


@pytest.mark.parametrize(
    ("tiers", "january", "july"),
    [("per-period", "65.07", "169.90"), ("sam", "70.85", "186.62"), ("chronological", "70.80", "186.55")],
)
def test_the_convention_is_named(
    hourly_kw: Callable[[str], IntervalSeries], tiers: TierConvention, january: str, july: str
) -> None:
    tariff = import_urdb(TIERED, tiers=tiers)
    assert any(tiers in remark for remark in tariff.remarks)
    months = list(local_months(YEAR, zone=UTC))
    load = hourly_kw("data/loads/us_residential_hourly_kw.csv")
    for month, expected in ((months[0], january), (months[6], july)):
        total = rate(tariff=tariff, series=load, period=month, zone="UTC", exact=True).total
        assert round(total, 2) == Decimal(expected)


def same(document: dict[str, Any], **fields: Any) -> Tariff:  # noqa: ANN401 - JSON
    return import_urdb({**document, **fields})


def test_shapes_found_in_the_wild_are_the_same_tariff() -> None:
    plain = import_urdb(TWO_PERIODS)
    as_numbers = [[float(value) for value in row] for row in WORKDAY]
    variants = [
        {"items": [TWO_PERIODS]},
        {key.upper(): value for key, value in TWO_PERIODS.items()},
        {**TWO_PERIODS, "energyweekdayschedule": json.dumps(WORKDAY)},
        {**TWO_PERIODS, "energyweekdayschedule": as_numbers},
        {**TWO_PERIODS, "energyweekdayschedule": json.dumps(as_numbers)},
        {**TWO_PERIODS, "energyratestructure": [[{"rate": 0.15}], [{"rate": "0.25", "adj": 0.01, "max": 1e38}]]},
        {**TWO_PERIODS, "fixedchargefirstmeter": 0, "mincharge": 0.0, "minchargeunits": "$/month", "eiaid": 5},
        {**TWO_PERIODS, "demandratestructure": [[{"rate": 0}]], "flatdemandstructure": [[{"rate": 0.0, "adj": 0}]]},
        {**TWO_PERIODS, "demandratchetpercentage": [0.8] * 12, "lookbackRange": 11, "demandunits": "kW"},
        {**TWO_PERIODS, "fueladjustmentsmonthly": [0] * 12, "newfield": None, "otherfield": []},
    ]
    for variant in variants:
        assert import_urdb(variant).hash == plain.hash


def test_a_demand_structure_that_never_applies_charges_nothing() -> None:
    never = {"demandratestructure": [[{"rate": 0}], [{"rate": 9}]], "demandweekdayschedule": FLAT}
    never["demandweekendschedule"] = FLAT
    assert import_urdb({**TWO_PERIODS, **never}).hash == import_urdb(TWO_PERIODS).hash
    flat = {"flatdemandstructure": [[{"rate": 0}], [{"rate": 9}]], "flatdemandmonths": [0.0] * 12}
    assert import_urdb({**TWO_PERIODS, **flat}).hash == import_urdb(TWO_PERIODS).hash
    coincident = {"coincidentratestructure": [[{"rate": 0}], [{"rate": 9}]], "coincidentrateschedule": FLAT}
    assert import_urdb({**TWO_PERIODS, **coincident}).hash == import_urdb(TWO_PERIODS).hash
    (charge,) = import_urdb({**TWO_PERIODS, **never, "demandweekendschedule": WORKDAY}).document["charges"][1:]
    assert charge == {
        "name": "TOU demand",
        "kind": "demand",
        "schedule": "demand",
        "window": "15",
        "price": {"period-0": "0", "period-1": "9"},
    }


def test_numbers_are_what_was_written() -> None:
    document = {**TWO_PERIODS, "energyratestructure": [[{"rate": 0.07076899707317352, "adj": 0.1}], [{"rate": 0.1}]]}
    assert import_urdb(document).document["charges"][0]["price"]["period-0"] == "0.17076899707317352"


def test_months_become_seasons_and_labels_become_names() -> None:
    summer = [[1] * 24 if month in {5, 6, 7} else [0] * 24 for month in range(12)]
    document = {
        "name": "Plan B",
        "utility": "City",
        "label": "abc123",
        "startdate": 1727762400,
        "energytoulabels": ["Base", "Summer"],
        "energyratestructure": [[{"rate": 0.1}], [{"rate": 0.2}], [{"rate": 99}]],
        "energyweekdayschedule": summer,
        "energyweekendschedule": summer,
    }
    tariff = import_urdb(document)
    assert (tariff.id, tariff.version, tariff.name, tariff.currency) == (
        "urdb-abc123",
        "2024-10-01",
        "City: Plan B",
        "USD",
    )
    assert tariff.zone is None
    assert tariff.period_names == ("Summer", "Base")
    assert tariff.document["seasons"] == {"sep-may": "09-01 to 05-31", "jun-aug": "06-01 to 08-31"}


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["Energy", "Energy"], {"Energy (period-0)", "Energy (period-1)"}),
        (["period-1"], {"period-1 (period-0)", "period-1 (period-1)"}),
        (["jul", "jan-mar, dec"], {"jul (period-0)", "jan-mar, dec (period-1)"}),  # so that no season is meant
        ([None, " "], {"period-0", "period-1"}),
        ("Peak", {"period-0", "period-1"}),
    ],
)
def test_labels_that_could_be_mistaken_stay_apart(labels: Any, names: set[str]) -> None:  # noqa: ANN401
    assert set(import_urdb({**TWO_PERIODS, "energytoulabels": labels}).period_names) == names


@pytest.mark.parametrize(
    ("unit", "end"), [("kWh", 1e6), ("kWh", 99999), ("kWh daily", 100_000), ("kWh/kW", 745), ("kWh/kW daily", 25)]
)
def test_a_last_limit_that_no_month_can_reach_is_none(unit: str, end: float) -> None:
    rate = [{"rate": 0.1, "max": 11, "unit": unit}, {"rate": 0.2, "unit": unit}]
    ending = [rate[0], {**rate[1], "max": end}]
    assert import_urdb(tiers_of(*ending)).hash == import_urdb(tiers_of(*rate)).hash
    with pytest.raises(TariffRefused, match=r"has no price at energyratestructure\[0\]\[1\]\.max"):
        import_urdb(tiers_of(rate[0], {**rate[1], "max": end - 2}))


def test_seasons_without_tiers_join_the_first_that_has_them() -> None:
    structure = [[{"rate": 0.1}], *steps("kWh", 100), *steps("kWh daily", 5)]
    schedule = [[(0, 0, 1, 1, 1, 1, 3, 3, 3, 3, 0, 0)[month]] * 24 for month in range(12)]
    charges = import_urdb(priced(structure, schedule, schedule)).document["charges"]
    assert [charge["name"] for charge in charges] == ["energy, tiers in kWh", "energy, tiers in kWh daily"]
    assert charges[0]["price"] == {"period-0": ["0.1"], "period-1": ["0.1", "0.24"], "period-3": ["0"]}
    assert charges[1]["price"] == {"period-0": ["0"], "period-1": ["0"], "period-3": ["0.1", "0.24"]}


@pytest.mark.parametrize(
    ("fields", "per", "price"),
    [
        ({"fixedchargefirstmeter": 21.28, "fixedchargeunits": "$/month"}, "month", "21.28"),
        ({"fixedchargefirstmeter": 0.31, "fixedchargeunits": "$ / Day"}, "year", "113.15"),
        ({"fixed_charge_first_meter": "4", "FixedChargeUnits": "$/Year"}, "year", "4"),
        ({"fixedchargefirstmeter": 120, "fixedchargeunits": "$/year"}, "year", "120"),
        ({"fixedchargefirstmeter": 5}, "month", "5"),
        ({"fixedmonthlycharge": 35.28}, "month", "35.28"),
        ({"fixedmonthlycharge": 5, "fixedchargefirstmeter": 5.0, "fixedchargeunits": "$/month"}, "month", "5"),
    ],
)
def test_fixed_charges(fields: dict[str, Any], per: str, price: str) -> None:
    charge = same(TWO_PERIODS, **fields).document["charges"][1]
    assert (charge["kind"], charge["per"], charge["price"]) == ("fixed", per, price)


def test_a_day_has_its_own_length_where_sam_is_not_asked() -> None:
    fields = {"fixedchargefirstmeter": 0.31, "fixedchargeunits": "$/day", "mincharge": 2, "minchargeunits": "$/day"}
    for tiers, per, prices in (("sam", "year", ["113.15", "730"]), ("chronological", "day", ["0.31", "2"])):
        charges = import_urdb({**TWO_PERIODS, **fields}, tiers=tiers).document["charges"][1:]  # type: ignore[arg-type]
        assert [(charge["price"], charge["per"]) for charge in charges] == [(price, per) for price in prices]


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("kWh", {"basis": "month", "proration": "none"}),
        ("kwh daily", {"basis": "day"}),
        ("kWh per day", {"basis": "day"}),
        ("kWh/kW", {"basis": "month", "proration": "none", "per": "demand_kw"}),
        ("kWh/kW Daily", {"basis": "day", "per": "demand_kw"}),
    ],
)
def test_units_of_tiers(unit: str, expected: dict[str, str]) -> None:
    document = tiers_of({"rate": 0.1, "max": 11.7, "unit": unit}, {"rate": 0.2, "unit": unit})
    tiers = import_urdb(document).document["charges"][0]["tiers"]
    assert tiers == {"counter": "all_periods", "allocation": "pro_rata", "limits": ["11.7"], **expected}


def test_fuel_adjustments_are_part_of_the_price() -> None:
    fuel = [0.01 if month in {0, 1} else 0.0 for month in range(12)]
    charge = import_urdb({**TIERED, "fuelAdjustmentsMonthly": fuel}).document["charges"][0]
    assert charge["price"] == {
        "jan-feb": {"period-0": ["0.16", "0.23"], "period-1": ["0.26", "0.36"]},
        "mar-dec": {"period-0": ["0.15", "0.22"], "period-1": ["0.25", "0.35"]},
    }
    everywhere = import_urdb({**TWO_PERIODS, "fueladjustmentsmonthly": json.dumps([0.01] * 12)}).document
    assert everywhere["charges"][0]["price"] == {"period-0": "0.16", "period-1": "0.27"}
    assert "seasons" not in everywhere


@pytest.mark.parametrize(
    ("fields", "ratchet"),
    [
        ({"lookbackPercent": 0.8, "lookbackRange": 11}, {"percent": "80", "months": "11"}),
        ({"lookbackPercent": 80, "lookbackRange": 5.0, "lookbackMonths": [0] * 12}, {"percent": "80", "months": "5"}),
        ({"lookbackPercent": 1, "lookbackRange": 1}, {"percent": "100", "months": "1"}),
        (
            {"lookbackpercent": 0.5, "lookbackmonths": [month in {5, 6} for month in range(12)]},
            {"percent": "50", "months": "11", "of": ["jun", "jul"]},
        ),
        (
            {"demandratchetpercentage": [0.6 if month < 6 else 0 for month in range(12)]},
            {"percent": {"jan-jun": "60", "jul-dec": "0"}, "months": "11"},
        ),
    ],
)
def test_ratchets(fields: dict[str, Any], ratchet: dict[str, Any]) -> None:
    document = import_urdb({**TWO_PERIODS, **flat_of({"rate": 4}), **fields}).document
    assert document["charges"][1]["ratchet"] == ratchet


@pytest.mark.parametrize(
    ("counted", "expected"),
    [  # by PySAM 7.1.1, where each month's own demand counts in full
        (range(12), "297 297 269 207.75 176.25 255 235 191.25 186.75 297 207.75 207.75"),
        ((1, 5, 9), "297 297 269 207.75 55 255 235 191.25 33 297 207.75 207.75"),
        ((0, 2), "297 297 269 186.75 176.25 255 235 55 33 297 33 33"),
    ],
)
def test_a_ratchet_looks_back_as_sam_does(counted: Sequence[int], expected: str) -> None:
    flat = {"flatdemandstructure": [[{"rate": 3, "max": 15}, {"rate": 7}], [{"rate": 5}]]}
    months = {"flatdemandmonths": [0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0]}
    lookback = {
        "lookbackPercent": 0.75,
        "lookbackRange": 2,
        "lookbackMonths": [month in counted for month in range(12)],
    }
    kw = [1 + (7 * i * i + 3 * i) % 11 + (40 if i // 730 % 4 == 1 and i % 24 == 18 else 0) for i in range(8760)]
    bills = year_of_bills(import_urdb({**ONE_PRICE, **flat, **months, **lookback}), load_of(kw, 3600))
    assert [bill["demand_flat"] for bill in bills] == [Decimal(amount) for amount in expected.split()]


def test_a_ratchet_that_is_empty_or_has_nothing_to_hold_is_none() -> None:
    empty = {"lookbackPercent": 0, "lookbackRange": 0, "lookbackMonths": [0] * 12, "demandratchetpercentage": [0] * 12}
    flat = {**TWO_PERIODS, **flat_of({"rate": 4})}
    assert import_urdb({**flat, **empty}).hash == import_urdb(flat).hash
    assert import_urdb({**TWO_PERIODS, "lookbackPercent": 0.8}).hash == import_urdb(TWO_PERIODS).hash


def test_a_reactive_charge_is_for_its_own_channel() -> None:
    tariff = import_urdb({**TWO_PERIODS, "demandreactivepowercharge": 0.66, "demandwindow": 30})
    assert tariff.channels == ("import", "reactive")
    (charge,) = tariff.document["charges"][1:]
    assert charge == {
        "name": "reactive demand",
        "kind": "demand",
        "channel": "reactive",
        "window": "30",
        "price": "0.66",
    }
    assert any("reactive" in remark for remark in tariff.remarks)


@pytest.mark.parametrize(
    ("rules", "allocation"),
    [
        ("Net Metering", "pro_rata"),
        ("Net Billing Instantaneous", "chronological"),
        ("Buy All Sell All", "chronological"),
    ],
)
def test_sam_fills_tiers_in_the_order_of_time_where_it_settles_intervals(rules: str, allocation: str) -> None:
    tariff = import_urdb({**TIERED, "dgrules": rules})
    assert tariff.document["charges"][0]["tiers"]["allocation"] == allocation
    assert import_urdb({**TIERED, "dgrules": rules}, tiers="per-period") == import_urdb(TIERED, tiers="per-period")


def test_one_price_a_tier_is_the_same_in_the_order_of_time() -> None:
    document = tiers_of(*HOURS_USE)
    assert import_urdb(document, tiers="chronological") == import_urdb(document)
    with pytest.raises(TariffRefused, match="the month's peak is known at its end at energyratestructure"):
        import_urdb(priced([HOURS_USE, DEARER]), tiers="chronological")


SUMMER = [[2] * 16 + [3] * 5 + [2] * 3 if 5 <= month <= 8 else [0] * 16 + [1] * 5 + [0] * 3 for month in range(12)]
SUMMER_WEEKEND = [[2] * 24 if 5 <= month <= 8 else [0] * 24 for month in range(12)]
ONE_PRICE = tiers_of({"rate": 0.1})


def steps(unit: str, *limits: float) -> list[list[dict[str, Any]]]:
    """Off-peak and peak, up to three tiers."""
    bounds = [{"max": limit} for limit in limits] + [{}]
    return [
        [{"rate": price, "unit": unit, **bound} for price, bound in zip(prices, bounds, strict=False)]
        for prices in ((0.1, 0.24, 0.52), (0.3, 0.58, 1.28))
    ]


def priced(structure: list[list[dict[str, Any]]], weekday: Any = WORKDAY, weekend: Any = FLAT) -> dict[str, Any]:  # noqa: ANN401
    return {"energyratestructure": structure, "energyweekdayschedule": weekday, "energyweekendschedule": weekend}


DEMAND_BY_PERIOD = {
    "demandratestructure": [
        [{"rate": 2, "adj": 0.5, "max": 10}, {"rate": 4}],
        [{"rate": 9, "max": 10}, {"rate": 7.25}],
        [{"rate": 99}],
    ],
    "demandweekdayschedule": WORKDAY,
    "demandweekendschedule": FLAT,
}
DEMAND_BY_MONTH = {
    "flatdemandstructure": [
        [{"rate": 3, "max": 5.5}, {"rate": 6, "max": 20}, {"rate": 8}],
        [{"rate": 0}],
        [{"rate": 5}],
    ],
    "flatdemandmonths": [0, 0, 0, 2, 2, 1, 1, 1, 2, 0, 0, 0],
}
YEARLY = {"fixedchargefirstmeter": 600, "fixedchargeunits": "$/year", "mincharge": 23, "minchargeunits": "$/day"}
LEAST = {
    "fixedchargefirstmeter": 1.2,
    "fixedchargeunits": "$/day",
    "minmonthlycharge": 700,
    "annualmincharge": 9000,
}


@pytest.mark.parametrize(
    ("document", "component", "january", "july", "december"),
    [  # by PySAM 7.1.1 for the load below
        (priced(steps("kWh", 1500, 4000)), "energy", "874.408889", "1697.643826", "2169.017099"),
        (priced(steps("kWh daily", 60.5, 130)), "energy", "813.174574", "1626.586055", "2098.441148"),
        (priced(steps("kWh/kW", 100, 200.5)), "energy", "776.564444", "1442.674116", "1831.432162"),
        (priced(steps("kWh/kW daily", 4)), "energy", "694.375111", "1082.681982", "1275.886783"),
        (
            priced(steps("kWh", 2000) + steps("kWh daily", 100), SUMMER, SUMMER_WEEKEND),
            *("energy", "792.871852", "1022.540434", "1412.748459"),
        ),
        (
            {**priced(steps("kWh", 1500, 4000)), "dgrules": "Net Billing Instantaneous"},
            *("energy", "872.06", "1697.88", "2163.96"),
        ),
        ({**ONE_PRICE, **DEMAND_BY_PERIOD}, "demand_tou", "202.75", "214", "225.25"),
        ({**ONE_PRICE, **DEMAND_BY_MONTH}, "demand_flat", "111.5", "0", "127.5"),
        ({**ONE_PRICE, **YEARLY}, "fixed", "50", "50", "50"),
        ({**ONE_PRICE, **YEARLY}, "minimum", "271.583333", "128.883333", "51.883333"),
        ({**ONE_PRICE, **LEAST}, "fixed", "36.5", "36.5", "36.5"),
        ({**ONE_PRICE, **LEAST}, "minimum", "285.5", "142.8", "2886.9"),
    ],
)
def test_small_rates_agree_with_sam(
    document: dict[str, Any], component: str, january: str, july: str, december: str
) -> None:
    bills = year_of_bills(import_urdb(document), made_up_load(1))
    for month, expected in ((0, january), (6, july), (11, december)):
        assert abs(bills[month][component] - Decimal(expected)) < Decimal("0.00001")


def test_demand_of_quarter_hours_agrees_with_sam() -> None:
    bills = year_of_bills(import_urdb({**priced(steps("kWh/kW", 100, 200.5)), **DEMAND_BY_PERIOD}), made_up_load(4))
    for month, energy, demand in ((0, "793.021914", "195.5"), (6, "1442.886652", "214"), (11, "1827.509097", "225.25")):
        assert abs(bills[month]["energy"] - Decimal(energy)) < Decimal("0.00001")
        assert bills[month]["demand_tou"] == Decimal(demand)


def made_up_load(steps_per_hour: int) -> IntervalSeries:
    """Whole kW without a pattern, more in some months, most in some evenings."""
    n = steps_per_hour
    kw = [
        1 + (7 * i * i + 3 * i) % 11 + i // (730 * n) % 4 + (9 if i // n % 24 == 18 and i // n % 7 == 3 else 0)
        for i in range(8760 * n)
    ]
    return load_of(kw, 3600 // n)


def load_of(kw: list[int], seconds: int) -> IntervalSeries:
    starts = epoch(YEAR.start) + seconds * np.arange(len(kw))
    qualities = np.full(len(kw), Quality.ACTUAL, dtype=np.uint8)
    return IntervalSeries(starts, np.array(kw, dtype=np.int64) * (1000 * seconds // 3600), qualities, seconds)


def test_what_was_decided_or_left_aside_is_told() -> None:
    document = {
        **TIERED,
        "dgrules": "Net Metering",
        "energyattrs": [{"Fuel": "varies"}],
        "startdate": 1,
        "fixedchargefirstmeter": 3,
    }
    document["energyratestructure"] = json.loads(json.dumps(document["energyratestructure"]))
    document["energyratestructure"][0][0]["sell"] = 0.04
    remarks = " ".join(import_urdb(document).remarks)
    for word in ("dgrules", "energyattrs", "dates", "fixedchargeunits", "sell rates", "'sam'", "less than a month"):
        assert word in remarks


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ({**TWO_PERIODS, "mincharge": 5, "minchargeunits": "$/kW"}, "one of $/month, $/day, $/year is expected"),
        ({**TWO_PERIODS, "mincharge": 5, "minmonthlycharge": 6}, "contradicts mincharge at minmonthlycharge"),
        (
            {**TWO_PERIODS, "minCharge": 5, "minChargeUnits": "$/year", "annualmincharge": 6},
            "contradicts minCharge at annualmincharge",
        ),
        ({**TWO_PERIODS, "mincharge": -5}, "a minimum below zero cannot be honoured at mincharge"),
        ({**TWO_PERIODS, "demandreactivepowercharge": "0.66/kVAR"}, "a number is expected, not '0.66/kVAR'"),
        (
            {**TWO_PERIODS, "demandreactivepowercharge": -1},
            "below zero cannot be honoured at demandreactivepowercharge",
        ),
        ({**TWO_PERIODS, "fueladjustmentsmonthly": [0.01] * 11}, "12 months are expected, not 11 at fueladjustments"),
        ({**TWO_PERIODS, "fueladjustmentsmonthly": ["x"] * 12}, "a number is expected, not 'x' at fueladjustments"),
        ({**TWO_PERIODS, "flatdemandstructure": [[{"rate": 4}]]}, "12 months are expected, not nothing at flatdemandm"),
        ({**TWO_PERIODS, **flat_of({"rate": 4}, months=[1] * 12)}, "a number of a period from 0 to 0 is expected"),
        ({**TWO_PERIODS, **flat_of({"rate": -4})}, "a price per kW below zero cannot be honoured at flatdemands"),
        (
            {**TWO_PERIODS, **flat_of({"rate": 4, "max": 50})},
            "demand above '50' kW has no price at flatdemandstructure",
        ),
        ({**TWO_PERIODS, **flat_of({"rate": 4, "unit": "hp"})}, "one of kW is expected, not 'hp'"),
        ({**TWO_PERIODS, **flat_of({"rate": 4}), "flatdemandunit": "kVA"}, "demand in 'kVA' cannot be honoured"),
        ({**TWO_PERIODS, **flat_of({"rate": 4}), "demandwindow": 7}, "minutes that divide a day are expected, not '7'"),
        ({**TWO_PERIODS, "demandratestructure": [[{"rate": 4}]]}, "12 months are expected, not nothing at demandweekd"),
        (
            {**TWO_PERIODS, **flat_of({"rate": 4}), "lookbackPercent": 0.8, "demandratchetpercentage": [0.7] * 12},
            "contradicts demandratchetpercentage at lookbackPercent",
        ),
        (
            {**TWO_PERIODS, **flat_of({"rate": 4}), "demandratchetpercentage": [-0.1] * 12},
            "a share of the highest demand, from 0 to 1, is expected at demandratchetpercentage",
        ),
        (
            {**TWO_PERIODS, **demand_of({"rate": 4}), "lookbackPercent": 0.8},
            "does not say to which of several periods' demand it looks back at lookbackPercent",
        ),
        (
            {**tiers_of({"rate": 1, "max": 9, "unit": "kWh/kW"}, {"rate": 2, "unit": "kWh/kW"}), "lookbackPercent": 80},
            "does not say whether the tiers' limits per kW look back too",
        ),
        (
            {**TWO_PERIODS, "coincidentratestructure": [[{"rate": 4}]]},
            "demand coincident with the system's peak cannot be honoured at coincidentratestructure",
        ),
        ({**TWO_PERIODS, "gridaccesscharge": 4}, "unknown field at gridaccesscharge"),
        (
            {**TWO_PERIODS, "fixedchargefirstmeter": 4, "fixedchargeunits": "$/kW"},
            "one of $/month, $/day, $/year is expected",
        ),
        ({**TWO_PERIODS, "fixedchargefirstmeter": 4, "fixedmonthlycharge": 5}, "contradicts fixedchargefirstmeter"),
        ({**TWO_PERIODS, "fixedchargefirstmeter": "4 dollars"}, "a number is expected, not '4 dollars'"),
        (
            {**TWO_PERIODS, "energyweekdayschedule": WORKDAY[:11]},
            "12 months are expected, not 11 at energyweekdayschedule",
        ),
        ({**TWO_PERIODS, "energyweekendschedule": [[0] * 23] * 12}, "24 hours are expected, not 23"),
        (
            {**TWO_PERIODS, "energyweekendschedule": [[2] * 24] * 12},
            "from 0 to 1 is expected, not '2' at energyweekendschedule[0][0] and [0][1] and [0][2] and 285 more cells",
        ),
        (
            {**TWO_PERIODS, "energyweekdayschedule": "[[0,0"},
            "written as text here is not valid JSON: Expecting ',' delimiter in column 6 at energyweekdayschedule",
        ),
        ({**TWO_PERIODS, "energyweekendschedule": None}, "12 months are expected, not nothing"),
        ({**TWO_PERIODS, "energyratestructure": []}, "a list of periods is expected, not an empty list"),
        ({"energyweekdayschedule": FLAT}, "a list of periods is expected, not nothing at energyratestructure"),
        (tiers_of({"unit": "kWh"}), "a price is expected, not nothing at energyratestructure[0][0].rate"),
        (tiers_of({"rate": 1, "max": 500}), "energy above '500' kWh has no price at energyratestructure[0][0].max"),
        (tiers_of({"rate": 1}, {"rate": 2}), "a limit above the tier before is expected, not nothing"),
        (
            tiers_of({"rate": 1, "max": 9}, {"rate": 1, "max": 9}, {"rate": 2}),
            "a limit above the tier before is expected",
        ),
        (tiers_of({"rate": 1, "max": 9, "unit": "kWh/kW"}, {"rate": 2}), "the unit is missing after tiers in kWh/kW"),
        (
            tiers_of({"rate": 1, "max": 9, "unit": "kWh/kW"}, {"rate": 2, "unit": "kWh"}),
            "tiers in kWh/kW and kWh cannot be counted together at energyratestructure[0]",
        ),
        (
            tiers_of({"rate": 1, "max": 9, "unit": "kWh daily"}, {"rate": 2, "max": 900}, {"rate": 3}),
            "tiers in kWh daily and kWh cannot be counted together",
        ),
        (
            {**TIERED, "energyratestructure": [TIERED["energyratestructure"][0], DAILY]},
            "tiers in kWh and kWh daily cannot be counted together at energyratestructure",
        ),
        (
            tiers_of({"rate": "1" * 20}),
            "a price is expected, not '11111111111111111111' at energyratestructure[0][0].rate",
        ),
        (tiers_of({"rate": 1e-45}), "a price is expected, not '1e-45'"),
        (tiers_of({"rate": 1, "unit": "therms"}), "one of kWh, kWh/kW, kWh daily, kWh/kW daily is expected"),
        (
            {**TIERED, "energyratestructure": [HOURS_USE, DEARER], "dgrules": "Net Billing Hourly"},
            "tiers in kWh/kW cannot fill in the order of time: the month's peak is known at its end at dgrules",
        ),
        (tiers_of({"rate": 1, "ratchet": 3}), "unknown field at energyratestructure[0][0].ratchet"),
        ({"items": [TWO_PERIODS, TWO_PERIODS]}, "one rate is expected, not 2 at items"),
        ({"items": []}, "one rate is expected, not 0 at items"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(document: dict[str, Any], fault: str) -> None:
    with pytest.raises(TariffRefused) as refused:
        import_urdb(document, source="rate.json")
    assert str(refused.value).startswith("rate.json: ")
    assert fault in str(refused.value)


def test_the_guide_knows_every_field_that_is_not_merely_descriptive() -> None:
    guide = (Path(__file__).parents[2] / "docs/urdb.md").read_text().lower()
    plurals = {"demandrateunits", "flatdemandunits"}  # found in the wild
    assert [key for key in {*_HANDLED, *_REMARKED} - plurals if f"`{key}`" not in guide] == []


def test_a_file_is_recognised_by_content(tmp_path: Path) -> None:
    path = tmp_path / "rate.txt"
    path.write_text(json.dumps({"items": [TIERED]}))
    assert load_tariff(path) == import_urdb(TIERED, source=str(path))
    assert load_tariff(path, tiers="chronological") == import_urdb(TIERED, tiers="chronological", source=str(path))
    ours = tmp_path / "ours.yaml"
    ours.write_text("id: a\nversion: 1\ncurrency: EUR\ncharges: [{name: e, kind: energy, price: 1}]\n")
    with pytest.raises(TariffRefused, match="only a URDB document leaves the tiers' convention open"):
        load_tariff(ours, tiers="sam")
