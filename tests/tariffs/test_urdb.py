"""URDB's rates: SAM's bills, the shapes found in the wild, and what is refused by name."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from wattledger.kernel import IntervalSeries, Period, local_months
from wattledger.tariffs import Tariff, TariffRefused, TierConvention, import_urdb, load_tariff, rate

YEAR = Period(datetime(2018, 1, 1, tzinfo=UTC), datetime(2019, 1, 1, tzinfo=UTC))
ACCEPTED = 10  # of SAM's 24 cases; the others have demand charges or minimum bills

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


def test_bills_agree_with_sam(shared: Path, hourly_kw: Callable[[str], IntervalSeries]) -> None:
    cases = json.loads((shared / "vectors/sam_bills.json").read_text())["cases"]
    accepted = 0
    for case in cases:
        try:
            tariff = load_tariff(shared / case["tariff"])
        except TariffRefused as refused:
            assert all("not supported yet" in fault.cause for fault in refused.faults)  # noqa: PT017 - some are
            continue
        accepted += 1
        for number, month in enumerate(local_months(YEAR, zone=UTC)):
            rating = rate(tariff=tariff, series=hourly_kw(case["load"]), period=month, zone="UTC", exact=True)
            for kind in ("energy", "fixed"):
                ours = sum(
                    line.amount for line in rating.lines if line.kind == kind and isinstance(line.amount, Decimal)
                )
                assert abs(ours - Decimal(case["monthly"][kind][number])) < Decimal("0.005")
            assert rating.missing == 0
    assert accepted == ACCEPTED


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
    assert import_urdb({**TWO_PERIODS, **never}).hash == import_urdb(TWO_PERIODS).hash
    with pytest.raises(TariffRefused, match=r"demand at demandratestructure\[1\]\[0\]"):
        import_urdb({**TWO_PERIODS, **never, "demandweekendschedule": WORKDAY})


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


def test_periods_with_the_same_label_stay_apart() -> None:
    tariff = import_urdb({**TWO_PERIODS, "energytoulabels": ["Energy", "Energy"]})
    assert set(tariff.period_names) == {"Energy (period-0)", "Energy (period-1)"}


@pytest.mark.parametrize(
    ("fields", "per", "price"),
    [
        ({"fixedchargefirstmeter": 21.28, "fixedchargeunits": "$/month"}, "month", "21.28"),
        ({"fixedchargefirstmeter": 0.31, "fixedchargeunits": "$ / Day"}, "day", "0.31"),
        ({"fixedchargefirstmeter": 120, "fixedchargeunits": "$/year"}, "year", "120"),
        ({"fixedchargefirstmeter": 5}, "month", "5"),
        ({"fixedmonthlycharge": 35.28}, "month", "35.28"),
        ({"fixedmonthlycharge": 5, "fixedchargefirstmeter": 5.0, "fixedchargeunits": "$/month"}, "month", "5"),
    ],
)
def test_fixed_charges(fields: dict[str, Any], per: str, price: str) -> None:
    charge = same(TWO_PERIODS, **fields).document["charges"][1]
    assert (charge["kind"], charge["per"], charge["price"]) == ("fixed", per, price)


def test_tiers_by_the_day() -> None:
    tiers = [[{"rate": 0.1, "max": 11.7, "unit": "kWh daily"}, {"rate": 0.2, "unit": "kWh daily"}]]
    document = {"energyratestructure": tiers, "energyweekdayschedule": FLAT, "energyweekendschedule": FLAT}
    written = import_urdb(document).document["charges"][0]["tiers"]
    assert written == {"counter": "all_periods", "basis": "day", "allocation": "pro_rata", "limits": ["11.7"]}


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


def tiers_of(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"energyratestructure": [list(steps)], "energyweekdayschedule": FLAT, "energyweekendschedule": FLAT}


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ({**TWO_PERIODS, "mincharge": 5}, "clause not supported yet: minimum at mincharge"),
        ({**TWO_PERIODS, "minmonthlycharge": 5}, "minimum at minmonthlycharge"),
        ({**TWO_PERIODS, "annualmincharge": 12.0}, "minimum at annualmincharge"),
        ({**TWO_PERIODS, "demandreactivepowercharge": 0.66}, "reactive at demandreactivepowercharge"),
        ({**TWO_PERIODS, "fueladjustmentsmonthly": [0] * 11 + [0.01]}, "fuel adjustment at fueladjustmentsmonthly"),
        ({**TWO_PERIODS, "flatdemandstructure": [[{"rate": 4}]]}, "demand at flatdemandstructure[0][0]"),
        ({**TWO_PERIODS, "coincidentratestructure": [[{"rate": 4}]]}, "demand at coincidentratestructure[0][0]"),
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
            "a number of a period from 0 to 1 is expected, not '2'",
        ),
        ({**TWO_PERIODS, "energyweekendschedule": None}, "12 months are expected, not nothing"),
        ({**TWO_PERIODS, "energyratestructure": []}, "a list of periods is expected"),
        ({"energyweekdayschedule": FLAT}, "a list of periods is expected, not nothing at energyratestructure"),
        (tiers_of({"unit": "kWh"}), "a price is expected, not nothing at energyratestructure[0][0].rate"),
        (tiers_of({"rate": 1, "max": 500}), "energy above '500' kWh has no price at energyratestructure[0][0].max"),
        (tiers_of({"rate": 1}, {"rate": 2}), "a limit above the tier before is expected, not nothing"),
        (
            tiers_of({"rate": 1, "max": 9}, {"rate": 1, "max": 9}, {"rate": 2}),
            "a limit above the tier before is expected",
        ),
        (tiers_of({"rate": 1, "max": 9, "unit": "kWh/kW"}, {"rate": 2}), "clause not supported yet: tiers in kWh/kW"),
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


def test_a_file_is_recognised_by_content(tmp_path: Path) -> None:
    path = tmp_path / "rate.txt"
    path.write_text(json.dumps({"items": [TIERED]}))
    assert load_tariff(path) == import_urdb(TIERED, source=str(path))
    assert load_tariff(path, tiers="chronological") == import_urdb(TIERED, tiers="chronological", source=str(path))
    ours = tmp_path / "ours.yaml"
    ours.write_text("id: a\nversion: 1\ncurrency: EUR\ncharges: [{name: e, kind: energy, price: 1}]\n")
    with pytest.raises(TariffRefused, match="only a URDB document leaves the tiers' convention open"):
        load_tariff(ours, tiers="sam")
