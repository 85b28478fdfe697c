"""What a tariff document may say and what it means."""

import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from wattledger.tariffs import Tariff, TariffRefused, load_tariff, parse_tariff
from wattledger.tariffs._model import (
    BY_DAYS,
    WHOLE,
    Cell,
    Charge,
    Condition,
    CreditCharge,
    DemandCharge,
    EnergyCharge,
    FactTest,
    FixedCharge,
    LoadCharge,
    MinimumCharge,
    PercentageCharge,
    Places,
    Proration,
)

D = Decimal

HOME = """\
id: home
version: 1.10
name: Home
currency: GBP
zone: Europe/London
seasons: {winter: 10-01 to 03-31, summer: 04-01 to 09-30}
day_types: {weekday: mon-fri, weekend: [sat, sun]}
periods:
  peak: {days: weekday, times: 16:00-21:00}
  night: {times: 22:30-06:00}
  day: otherwise
charges:
  - name: energy
    kind: energy
    tiers: {counter: all_periods, basis: month, allocation: chronological, limits: [200], proration: none}
    price:
      winter: {peak: [0.30, 0.40], day: [0.20, 0.25], night: [0.1, 0.1]}
      summer: [0.15, 0.2]
  - {name: standing, kind: fixed, price: 0.45, per: day}
"""


def faults(text: str) -> list[str]:
    with pytest.raises(TariffRefused) as refused:
        parse_tariff(text, source="home.yaml")
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith("home.yaml: ")
    return [str(fault) for fault in refused.value.faults]


def test_a_document_becomes_a_tariff() -> None:
    home = parse_tariff(HOME, source="home.yaml")
    assert (home.id, home.version, home.name, home.currency, home.zone) == (
        "home",
        "1.10",
        "Home",
        "GBP",
        "Europe/London",
    )
    assert home.period_names == ("peak", "day", "night")
    assert home.order_matters
    assert json.loads(json.dumps(home.document)) == home.document


# --- the hash says what the content is, and nothing else ---


def test_neither_form_nor_order_nor_comment_nor_zeros_change_the_hash(tmp_path: Path) -> None:
    home = parse_tariff(HOME, source="home.yaml")
    document = json.loads(json.dumps(home.document))
    in_reverse = _reversed(document)
    as_json = tmp_path / "home.json"
    as_json.write_text(json.dumps(in_reverse))
    dressed = tmp_path / "home.yaml"
    dressed.write_text(
        "# a comment\n" + HOME.replace("0.1, 0.1", "0.10, 1e-1").replace("mon-fri", "[mon, tue, wed-fri]")
    )
    for other in (load_tariff(as_json), load_tariff(dressed), Tariff.from_document(document)):
        assert other.hash == home.hash
        assert other == home
        assert other.cells == home.cells
        assert other.period_names == home.period_names


def _reversed(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return {key: _reversed(value[key]) for key in reversed(value)}
    return [_reversed(item) for item in value] if isinstance(value, list) else value


def test_numbers_in_json_are_exact_and_may_be_numbers_or_text(tmp_path: Path) -> None:
    document = {"id": "a", "version": "1", "currency": "EUR", "charges": [{"name": "e", "kind": "energy", "price": 0}]}
    hashes = set()
    for price in ("0.3", '"0.30"', "3e-1"):
        path = tmp_path / "a.json"
        path.write_text(json.dumps(document).replace('"price": 0', f'"price": {price}'))
        hashes.add(load_tariff(path).hash)
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0.45", "0.451"),
        ("16:00-21:00", "16:00-20:59"),
        ("[200]", "[201]"),
        ("proration: none", "proration: days"),
        ("chronological", "pro_rata"),
        ("GBP", "EUR"),
        ("mon-fri", "mon-thu"),
        ("1.10", "1.1"),
        ("per: day", "per: month"),
    ],
)
def test_any_change_of_content_changes_the_hash(old: str, new: str) -> None:
    assert HOME.count(old) == 1
    assert parse_tariff(HOME.replace(old, new), source="x").hash != parse_tariff(HOME, source="x").hash


def test_the_hash_of_a_version_is_for_ever() -> None:
    # When this fails, every published version has got another hash: leave new clauses out of old documents instead.
    home = parse_tariff(HOME, source="x")
    assert home.hash == "2710abd777b8419e08c3da700e779d68b72bf7212b99510654a8a6aaaf5eb846"


def test_defaults_are_not_part_of_the_content() -> None:
    stated = HOME + "rounding: {line: {places: 2, mode: half_up}}\n"
    assert parse_tariff(stated, source="x").hash == parse_tariff(HOME, source="x").hash
    assert parse_tariff(stated.replace("half_up", "half_even"), source="x").hash != parse_tariff(HOME, source="x").hash


BY_YEAR = "counter: all_periods, basis: year, allocation: pro_rata, limits: 9"
WHOLE_YEAR = "[jan, feb, mar, apr, may, jun, jul, aug, sep, oct, nov, dec]"


@pytest.mark.parametrize(
    ("charge", "default"),
    [
        ("{kind: energy, price: 1}", "channel: import"),
        ("{kind: energy, price: 1}", "channel: [import]"),
        ("{kind: energy, index: {series: s}}", "index: {series: s, scale: 1.0, adder: 0, missing: refuse}"),
        (
            "{kind: energy, price: [1, 2]}",
            f"tiers: {{{BY_YEAR}, starts: 01-01, proration: {{by: days}}}}",
        ),
        ("{kind: fixed, price: 1, per: month}", "proration: days"),
        ("{kind: fixed, price: 1, per: month}", "when: {usage: {over: 1, proration: none}}"),
        ("{kind: demand, window: 15, price: 1}", "statistic: max"),
        ("{kind: demand, window: 15, price: 1}", "per: month"),
        ("{kind: demand, window: 15, price: 1}", "proration: none"),
        ("{kind: demand, window: 15, price: 1}", "window: {minutes: 15, sliding: false}"),
        ("{kind: demand, window: 15, price: 1}", f"ratchet: {{percent: 9, months: 11, of: {WHOLE_YEAR}}}"),
        ("{kind: demand, window: 15, price: 1}", "contracted: {kw: 9, billed: false, bands: {over: 1, factor: 2}}"),
        ("{kind: load, over: 9, window: 15, adder: 1}", "duration: 15"),
        ("{kind: minimum, price: 9, per: year, covers: all}", "starts: 01-01"),
        ("{kind: tax, rate: 9, of: all}", "on: sum"),
        ("{kind: tax, rate: 9, of: all}", "of: [all]"),
    ],
)
def test_a_stated_default_is_not_part_of_a_charge(tariff_of: Callable[..., Tariff], charge: str, default: str) -> None:
    bare = {
        "tiers": f"tiers: {{{BY_YEAR}, proration: days}}",
        "when": "when: {usage: {over: 1.0}}",
        "ratchet": "ratchet: {percent: 9, months: 11}",
        "contracted": "contracted: {kw: 9, bands: [{over: 1, factor: 2}]}",
    }
    key = default.partition(":")[0]
    without = _charge_of(charge, bare.get(key, ""))
    stated = _charge_of(charge, default)
    one, other = (
        tariff_of(charges=[{"name": "energy", "kind": "energy", "price": "1"}, {"name": "it", **members}])
        for members in (without, stated)
    )
    assert without != stated
    assert one.document == other.document
    assert one.charges == other.charges


def _charge_of(charge: str, more: str) -> dict[str, Any]:
    import yaml  # noqa: PLC0415 - a short way to write a mapping

    return {**yaml.load(charge, yaml.BaseLoader), **(yaml.load(f"{{{more}}}", yaml.BaseLoader) or {})}  # noqa: S506


# --- YAML is read as text ---


def test_yaml_surprises_are_none() -> None:
    tariff = parse_tariff(
        "id: no\nversion: 007\ncurrency: EUR\nperiods: {on: {times: 01:00-16:00}, off: otherwise}\n"
        "charges: [{name: yes, kind: energy, price: {on: 0.1, off: 0.2}}]\n",
        source="x",
    )
    assert (tariff.id, tariff.version, tariff.period_names) == ("no", "007", ("off", "on"))
    assert tariff.energy[0].prices == ((Decimal("0.2"),), (Decimal("0.1"),))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (HOME + "id: again\n", "line 20: the key 'id' stands twice in one mapping"),
        (HOME.replace("GBP", "!!python/name:os.system GBP"), "line 4: the tag tag:yaml.org,2002:python/name:os.system"),
        (HOME.replace("currency: GBP", "currency: [GBP"), "not valid YAML"),
        ("a: &a [*a]", "an alias repeats itself without end"),
        ("", "the document is empty"),
        ("- 1\n", "a mapping is expected, not a list"),
        ("? [1, 2]\n: x\n", "a key must be plain text"),
        ("[" * 60, "not valid YAML"),
        ("name: " + "[" * 500 + "]" * 500, "line 1: nested too deeply"),
        ("a:\n  " + "{a: " * 200_000, "line 2: nested too deeply"),
        ("- " * 300 + "1", "nested too deeply"),
        ("a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 500)), "nested too deeply"),
    ],
)
def test_broken_yaml_is_refused_with_its_line(text: str, fault: str) -> None:
    assert fault in faults(text)[0]


def test_aliases_of_aliases_do_not_fill_the_memory() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "an alias repeats itself without end" in faults("\n".join(lines))[0]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"id": "a", "id": "b"}', "the key 'id' stands twice"),
        ('{\n"id": "a",\n}', "line 3: not valid JSON"),
        ('{"id": NaN}', "NaN is not a number"),
        ('{"id": ' + "9" * 5000 + "}", "not valid JSON: a number of thousands of digits"),
        ('{"id": ' + "[" * 5000 + "}", "nested too deeply"),
    ],
)
def test_broken_json_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(TariffRefused, match=r"a\.json") as refused:
        load_tariff(path)
    assert fault in str(refused.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"id: a\nname: \xff\n")
    with pytest.raises(TariffRefused, match="line 2: is not UTF-8 text"):
        load_tariff(path)
    with pytest.raises(TariffRefused, match="cannot be read"):
        load_tariff(tmp_path / "none.yaml")


def test_a_binary_float_is_refused() -> None:
    document = {
        "id": "a",
        "version": "1",
        "currency": "EUR",
        "charges": [{"name": "e", "kind": "energy", "price": 0.1}],
    }
    with pytest.raises(TariffRefused, match="binary float is not exact"):
        parse_tariff(document, source="x")


# --- what each clause becomes ---


def only(tariff: Tariff, kind: type[Charge]) -> Any:  # noqa: ANN401 - one of the charges
    (found,) = [charge for charge in tariff.charges if type(charge) is kind]
    return found


def test_header(tariff_of: Callable[..., Tariff]) -> None:
    tariff = tariff_of(
        supersedes="0",
        valid={"from": "2026-01-01", "to": "2027-01-01"},
        eligibility={"poor": True, "kw": {"up_to": "20.0"}, "phases": 3, "class": ["home", "farm"]},
    )
    assert (tariff.supersedes, tariff.valid_from, tariff.valid_to) == ("0", date(2026, 1, 1), date(2027, 1, 1))
    assert tariff.eligibility == (
        FactTest(fact="class", among=("farm", "home")),
        FactTest(fact="kw", up_to=D(20)),
        FactTest(fact="phases", among=("3",)),
        FactTest(fact="poor", among=("true",)),
    )
    assert tariff.facts == ()  # who may have it is asked before anything is rated


def test_numbers_among_a_facts_texts_have_one_spelling(tariff_of: Callable[..., Tariff]) -> None:
    one, other = (tariff_of(eligibility={"phases": given}) for given in (["3.0", "1"], [1, D("3.00")]))
    assert one.eligibility == other.eligibility == (FactTest(fact="phases", among=("1", "3")),)
    assert one.hash == other.hash


def test_exact_dates_go_before_month_and_day(tariff_of: Callable[..., Tariff]) -> None:
    tariff = tariff_of(
        seasons={"summer": "04-01 to 09-30", "winter": "10-01 to 03-31", "fair": "2026-09-29 to 2026-10-02"},
        charges=[{"name": "e", "kind": "energy", "price": {"summer": 1, "winter": 2, "fair": 3}}],
    )
    assert tariff.season_names == ("winter", "summer", "fair")
    days = [date(2026, 9, 28), date(2026, 9, 29), date(2026, 10, 2), date(2026, 10, 3), date(2027, 9, 29)]
    assert [tariff.season_names[tariff.calendar.season(day)] for day in days] == [
        "summer",
        "fair",
        "fair",
        "winter",
        "summer",
    ]


def test_exact_dates_may_be_all_there_is_where_they_cover_the_validity(tariff_of: Callable[..., Tariff]) -> None:
    clauses = {
        "seasons": {"early": "2026-01-01 to 2026-05-31", "late": "2026-06-01 to 2026-12-31"},
        "valid": {"from": "2026-01-01", "to": "2027-01-01"},
    }
    tariff = tariff_of(**clauses)
    assert [tariff.calendar.season(day) for day in (date(2026, 5, 31), date(2026, 6, 1))] == [0, 1]
    for wrong in ({"valid": {"from": "2026-01-01", "to": "2027-01-02"}}, {"valid": {"from": "2026-01-01"}}):
        with pytest.raises(TariffRefused, match="no season covers"):
            tariff_of(**{**clauses, **wrong})


def test_holidays_by_rule(tariff_of: Callable[..., Tariff]) -> None:
    tariff = tariff_of(
        holidays={"country": "DE", "subdivision": "BY", "also": "2026-12-24", "except": ["2026-01-06"]},
        day_types={"working": {"days": "mon-fri", "holidays": "excluded"}},
        periods={"day": {"days": "working"}, "rest": "otherwise"},
        charges=[{"name": "e", "kind": "energy", "price": {"day": 2, "rest": 1}}],
    )
    holidays = tariff.calendar.holidays
    assert [date(2026, *day) in holidays for day in ((1, 1), (1, 6), (6, 4), (10, 31), (12, 24))] == [
        *(True, False, True, False, True)
    ]
    assert date(2027, 1, 6) in holidays
    assert [tariff.cells[cell].period for _, cell in tariff.calendar.pattern(date(2026, 6, 4))] == ["rest"]
    assert tariff.document["holidays"] == {
        "country": "DE",
        "subdivision": "BY",
        "also": "2026-12-24",
        "except": "2026-01-06",
    }


def test_an_events_periods_go_before_the_others_while_it_is_on(tariff_of: Callable[..., Tariff]) -> None:
    tariff = tariff_of(
        events=["heat"],
        seasons={"summer": "06-01 to 09-30", "rest": "10-01 to 05-31"},
        periods={
            "critical": {"events": "heat", "seasons": "summer", "times": "14:00-20:00"},
            "peak": {"times": "18:00-21:00"},
            "off": "otherwise",
        },
        charges=[
            {
                "name": "e",
                "kind": "energy",
                "price": {"summer": {"critical": 9, "peak": 2, "off": 1}, "rest": {"peak": 2, "off": 1}},
            }
        ],
    )
    july, may = date(2026, 7, 1), date(2026, 5, 1)
    assert tariff.events == ("heat",)
    assert periods_on(tariff, july) == [(0, "off"), (1080, "peak"), (1260, "off")]
    assert periods_on(tariff, july, "heat") == [(0, "off"), (840, "critical"), (1200, "peak"), (1260, "off")]
    assert periods_on(tariff, may, "heat") == periods_on(tariff, may) == periods_on(tariff, july)
    assert Cell("rest", "critical") not in tariff.cells


def periods_on(tariff: Tariff, day: date, event: str | None = None, schedule: int = 0) -> list[tuple[int, str]]:
    pattern = tariff.calendar.pattern(day, event)
    return [(minute, tariff.cells[cell].in_schedule(schedule)) for minute, cell in pattern]


def test_schedules_cut_the_day_at_each_others_edges(tariff_of: Callable[..., Tariff]) -> None:
    tariff = tariff_of(
        events=["heat"],
        periods={"peak": {"times": "16:00-21:00"}, "off": "otherwise"},
        schedules={
            "z": {"periods": {"noon": {"times": "12:00-13:00"}, "hot": {"events": "heat"}, "rest": "otherwise"}},
            "a": {"periods": {"busy": {"times": "12:00-18:00"}, "quiet": "otherwise"}},
        },
        charges=[
            {"name": "e", "kind": "energy", "price": {"peak": 2, "off": 1}},
            {"name": "d", "kind": "demand", "window": 60, "schedule": "a", "price": {"busy": 9, "quiet": 0}},
            {"name": "x", "kind": "energy", "schedule": "z", "price": {"noon": 5, "rest": 0, "hot": 7}},
        ],
    )
    day = date(2026, 7, 1)
    assert tariff.schedules == ("a", "z")
    assert periods_on(tariff, day, schedule=1) == [
        *((0, "quiet"), (720, "busy"), (780, "busy"), (960, "busy"), (1080, "quiet"), (1260, "quiet"))
    ]
    assert [period for _, period in periods_on(tariff, day, schedule=2)] == ["rest", "noon", *["rest"] * 4]
    assert {period for _, period in periods_on(tariff, day, "heat", schedule=2)} == {"hot"}
    demand = only(tariff, DemandCharge)
    assert {(cell.others[0], group) for cell, group in zip(tariff.cells, demand.groups, strict=True)} == {
        ("busy", 0),
        ("quiet", -1),
    }
    extra = next(charge for charge in tariff.energy if charge.name == "x")
    assert extra.schedule == 2
    assert {(cell.others[1], price[0]) for cell, price in zip(tariff.cells, extra.prices, strict=True)} == {
        ("noon", D(5)),
        ("rest", D(0)),
        ("hot", D(7)),
    }


def test_tiers_say_all_of_it(tariff_of: Callable[..., Tariff]) -> None:
    tariff = tariff_of(
        charges=[
            {
                "name": "e",
                "kind": "energy",
                "channel": ["import", "heating"],
                "price": "0.1",
                "tiers": {
                    "counter": "per_channel",
                    "basis": "year",
                    "starts": "07-01",
                    "allocation": "chronological",
                    "limits": ["10", "20"],
                    "per": "person",
                    "adders": ["0", "0.05", "-0.3"],
                    "proration": {
                        "standard_days": "730/24",
                        "unless": ["25", "35"],
                        "rounding": {"places": "4", "mode": "down"},
                    },
                    "rounding": {"places": "0", "mode": "up"},
                },
            }
        ]
    )
    charge = only(tariff, EnergyCharge)
    assert charge.channels == tariff.channels == ("import", "heating")
    assert charge.prices == ((D("0.1"), D("0.15"), D("-0.2")),)
    assert charge.limits == ((D(10), D(20)),)
    tiers = charge.tiers
    assert (tiers.counter, tiers.basis, tiers.starts, tiers.per) == ("per_channel", "year", 7, "person")
    assert tiers.proration == Proration(
        rule="standard_days", days=(365, 12), unless=(25, 35), places=Places(places=4, mode="down")
    )
    assert tiers.rounding == Places(places=0, mode="up")
    assert tariff.facts == ("persons",)
    assert tariff.document["charges"][0]["tiers"]["proration"]["standard_days"] == "365/12"


def test_adders_are_exact_however_many_digits_they_have(tariff_of: Callable[..., Tariff]) -> None:
    base, more = "1234567890123456789012345678901234567890", "0.0000000000000000000000000000000000000001"
    tiers = {"counter": "all_periods", "basis": "day", "allocation": "pro_rata", "limits": 1, "adders": [0, more]}
    tariff = tariff_of(charges=[{"name": "e", "kind": "energy", "price": base, "tiers": tiers}])
    assert f"{tariff.energy[0].prices[0][1]:f}" == base + more[1:]


def test_a_rolling_counter_and_a_standard_length(tariff_of: Callable[..., Tariff]) -> None:
    tiers = {
        "counter": "all_periods",
        "basis": {"rolling": "3"},
        "allocation": "reached_slab",
        "limits": 1,
        "proration": {"by": "exact"},
    }
    tariff = tariff_of(charges=[{"name": "e", "kind": "energy", "price": [1, 2], "tiers": tiers}])
    found = only(tariff, EnergyCharge).tiers
    assert (found.basis, found.months, found.proration) == ("rolling", 3, Proration(rule="exact"))
    assert tariff.document["charges"][0]["tiers"]["basis"] == {"rolling": "3"}


def test_index_prices_branch_where_the_author_did(tariff_of: Callable[..., Tariff]) -> None:
    index = {
        "series": "spot",
        "scale": {"summer": "1.5", "winter": 1},
        "adder": {"evening": "0.12", "other": 0},
        "cap": "0.35",
        "missing": {"estimate": "0.1"},
    }
    tariff = tariff_of(
        seasons={"summer": "04-01 to 09-30", "winter": "10-01 to 03-31"},
        periods={"evening": {"times": "16:00-19:00"}, "other": "otherwise"},
        charges=[{"name": "e", "kind": "energy", "index": index}, {"name": "g", "kind": "export", "index": index}],
    )
    energy, export = tariff.charges
    assert isinstance(energy, EnergyCharge)
    assert isinstance(export, EnergyCharge)
    assert energy.index is not None
    where = [(cell.season, cell.period) for cell in tariff.cells]
    assert dict(zip(where, energy.index.scale, strict=True))["summer", "other"] == D("1.5")
    assert dict(zip(where, energy.index.adder, strict=True))["winter", "evening"] == D("0.12")
    assert energy.lines == (0, 1, 2, 3)
    assert set(energy.prices) == {(D(0),)}
    assert (energy.index.cap, energy.index.floor, energy.index.missing) == (D("0.35"), None, "estimate")
    assert (energy.export, export.export, export.channels) == (False, True, ("export",))
    assert (tariff.index_series, tariff.channels, tariff.period_names) == (
        ("spot",),
        ("import", "export"),
        ("evening", "other"),
    )


def test_demand(tariff_of: Callable[..., Tariff]) -> None:
    tariff = tariff_of(
        periods={"peak": {"times": "16:00-19:00"}, "other": "otherwise"},
        seasons={"summer": "04-01 to 09-30", "winter": "10-01 to 03-31"},
        charges=[
            {"name": "e", "kind": "energy", "price": {"peak": 2, "other": 1}},
            {
                "name": "d",
                "kind": "demand",
                "window": {"minutes": 30, "sliding": True},
                "statistic": {"mean_of_highest": 3, "on_different_days": "true"},
                "price": {"summer": {"peak": [9, 8], "other": [0, 0]}, "winter": [4, 3]},
                "limits": {"summer": 100, "winter": 50},
                "per": "day",
                "minimum": 5,
                "ratchet": {"percent": {"summer": 80, "winter": 0}, "months": 11, "of": ["jul", "jun"]},
                "contracted": {"kw": "fact", "bands": [{"over": 105, "factor": 2}, {"over": 120, "factor": "2.5"}]},
                "rounding": {"places": 1, "mode": "up"},
                "channel": "heating",
            },
        ],
    )
    demand = only(tariff, DemandCharge)
    by_cell = {(c.season, c.period): n for n, c in enumerate(tariff.cells)}
    summer, never, winter, also = (
        by_cell[key] for key in (("summer", "peak"), ("summer", "other"), ("winter", "peak"), ("winter", "other"))
    )
    assert demand.groups[never] == -1
    assert demand.groups[winter] == demand.groups[also] != demand.groups[summer]
    assert (demand.prices[summer], demand.limits[summer], demand.limits[winter]) == ((9, 8), (100,), (50,))
    assert (demand.window, demand.sliding, demand.statistic, demand.highest, demand.days_apart) == (
        *(30, True, "mean_of_highest", 3, True),
    )
    assert (demand.per, demand.proration, demand.minimum, demand.channel) == ("day", WHOLE, 5, "heating")
    assert demand.ratchet is not None
    assert (demand.ratchet.percent[summer], demand.ratchet.percent[winter]) == (80, 0)
    assert (demand.ratchet.months, demand.ratchet.of) == (11, (6, 7))
    assert demand.contracted is not None
    assert (demand.contracted.kw, demand.contracted.billed) == (None, False)
    assert demand.contracted.bands == ((105, 2), (120, D("2.5")))
    assert demand.rounding == Places(places=1, mode="up")
    assert tariff.order_matters
    assert (tariff.facts, tariff.channels) == (("contracted_kw",), ("import", "heating"))


def test_a_maximum_for_all_times_or_by_season_is_measured_even_at_no_price(tariff_of: Callable[..., Tariff]) -> None:
    tariff = tariff_of(
        seasons={"summer": "04-01 to 09-30", "winter": "10-01 to 03-31"},
        charges=[
            {"name": "e", "kind": "energy", "price": 1},
            {"name": "d", "kind": "demand", "window": 60, "price": {"summer": 9, "winter": 0}},
        ],
    )
    assert only(tariff, DemandCharge).groups == (0, 1)
    assert not tariff.order_matters


def test_contracted_power_may_stand_in_the_tariff(tariff_of: Callable[..., Tariff]) -> None:
    contracted = {"kw": "40.0", "billed": True}
    demand = {"name": "d", "kind": "demand", "window": 60, "price": 9, "contracted": contracted}
    tariff = tariff_of(charges=[{"name": "e", "kind": "energy", "price": 1}, demand])
    found = only(tariff, DemandCharge).contracted
    assert (found.kw, found.billed, found.bands) == (D(40), True, ())
    assert tariff.facts == ()


def test_loads(tariff_of: Callable[..., Tariff]) -> None:
    load = {"kind": "load", "over": "10", "window": "15"}
    tariff = tariff_of(
        periods={"peak": {"times": "16:00-19:00"}, "other": "otherwise"},
        charges=[
            {"name": "e", "kind": "energy", "price": {"peak": 2, "other": 1}},
            {"name": "adder", **load, "duration": 30, "during": "peak", "adder": {"peak": "0.4"}},
            {"name": "factor", **load, "over": {"percent": 110}, "factor": {"peak": 2, "other": "1.5"}},
            {"name": "notice", **load, "action": "notice"},
            {"name": "credit", "kind": "credit", "rate": 2, "of": "all"},
        ],
    )
    adder, factor, notice = (charge for charge in tariff.charges if isinstance(charge, LoadCharge))
    peak = [cell.period for cell in tariff.cells].index("peak")
    assert (adder.action, adder.threshold_kw, adder.percent, adder.window, adder.duration) == (
        *("adder", D(10), None, 15, 30),
    )
    assert (adder.watched[peak], adder.watched[1 - peak], adder.prices[peak]) == (True, False, D("0.4"))
    assert (factor.action, factor.threshold_kw, factor.percent, factor.duration) == ("factor", None, D(110), 15)
    assert (factor.prices[peak], factor.prices[1 - peak], factor.watched) == (D(2), D("1.5"), (True, True))
    assert (notice.action, notice.prices) == ("notice", (D(0), D(0)))
    assert only(tariff, CreditCharge).of == ("e", "adder", "factor")  # a notice has no amount
    assert (tariff.facts, tariff.order_matters) == (("contracted_kw",), True)


def test_charges_for_time_and_on_charges(tariff_of: Callable[..., Tariff]) -> None:
    tariff = tariff_of(
        charges=[
            {"name": "e", "kind": "energy", "price": 1},
            {"name": "f", "kind": "fixed", "price": 2, "per": "quarter", "proration": "exact", "times": "meters"},
            {"name": "m", "kind": "minimum", "price": 9, "per": "year", "starts": "04-01", "covers": ["f", "e"]},
            {"name": "p", "kind": "percentage", "rate": "-2", "of": "all", "on": "line"},
            {"name": "t", "kind": "tax", "rate": "0", "of": ["p", "e"]},
            {
                "name": "c",
                "kind": "credit",
                "price": 5,
                "per": "bill",
                "most": "9.5",
                "when": {
                    "usage": {"over": 1, "up_to": "50.0", "proration": "days"},
                    "facts": {"age": {"over": 64}, "class": "home"},
                },
            },
            {"name": "r", "kind": "credit", "rate": 3, "of": "e"},
        ]
    )
    fixed = only(tariff, FixedCharge)
    assert (fixed.per, fixed.proration, fixed.times, fixed.clause) == (
        "quarter",
        Proration(rule="exact"),
        "meters",
        "charges[1]",
    )
    minimum = only(tariff, MinimumCharge)
    assert (minimum.price, minimum.per, minimum.proration, minimum.starts) == (9, "year", WHOLE, 4)
    assert minimum.covers == ("e", "f")
    percentage, tax = (charge for charge in tariff.charges if isinstance(charge, PercentageCharge))
    assert (percentage.rate, percentage.of, percentage.by_line, percentage.kind) == (
        *(D(-2), ("e", "f", "m"), True, "percentage"),
    )
    assert (tax.rate, tax.of, tax.by_line, tax.kind) == (D(0), ("e", "p"), False, "tax")
    credit, rebate = (charge for charge in tariff.charges if isinstance(charge, CreditCharge))
    assert (credit.price, credit.per, credit.rate, credit.of, credit.most) == (D(5), "bill", None, (), D("9.5"))
    assert credit.when == Condition(
        over=D(1),
        up_to=D(50),
        proration=BY_DAYS,
        facts=(FactTest(fact="age", over=D(64)), FactTest(fact="class", among=("home",))),
    )
    assert (rebate.price, rebate.rate, rebate.of) == (None, D(3), ("e",))
    assert tariff.facts == ("age", "class", "meters")


def test_netting_and_the_bank(tariff_of: Callable[..., Tariff]) -> None:
    bank = {"unit": "kwh", "expires": "04-01", "across": True, "cash_out": "0.030"}
    tariff = tariff_of(netting={"per": "bill", "bank": bank})
    assert (tariff.netting.per, tariff.channels) == ("bill", ("import", "export"))
    found = tariff.netting.bank
    assert found is not None
    assert (found.unit, found.expires, found.across, found.cash_out) == ("kwh", 4, True, D("0.03"))
    assert tariff_of(netting={"per": "interval"}).channels == ("import", "export")
    assert tariff_of(netting={"per": "none", "bank": {"unit": "kwh"}}).channels == ("import", "export")
    bare = tariff_of(netting={"per": "none"})
    assert (bare.netting.per, bare.netting.bank, bare.channels) == ("none", None, ("import",))
    assert "netting" not in bare.document


def test_rounding_of_everything(tariff_of: Callable[..., Tariff]) -> None:
    rounding = {
        "quantity": {"places": 1, "mode": "down"},
        "price": {"places": 2},
        "line": {"mode": "half_even"},
        "tax": {"places": 2, "mode": "half_even"},
        "bill": {},
    }
    tariff = tariff_of(currency="KWD", rounding=rounding)
    found = tariff.rounding
    assert (found.quantity, found.price) == (Places(places=1, mode="down"), Places(places=2, mode="half_up"))
    assert (found.line, found.tax) == (Places(places=3, mode="half_even"), Places(places=2, mode="half_even"))
    assert found.bill == Places(places=3, mode="half_up")
    assert tariff_of(currency="KWD", rounding={**rounding, "tax": {"mode": "half_even"}}).rounding.tax is None


@pytest.mark.parametrize(("currency", "places"), [("JPY", 0), ("INR", 2), ("TND", 3), ("CLF", 4), ("ZWG", 2)])
def test_lines_have_the_places_of_the_currency(tariff_of: Callable[..., Tariff], currency: str, places: int) -> None:
    assert tariff_of(currency=currency).rounding.line.places == places


def test_the_order_of_time_matters_only_where_prices_differ_within_a_counter(tariff_of: Callable[..., Tariff]) -> None:
    tiers = {"counter": "all_periods", "basis": "bill", "allocation": "chronological", "limits": 9, "proration": "none"}
    periods = {"peak": {"times": "16:00-19:00"}, "other": "otherwise"}

    def tariff(price: Any, **changed: Any) -> Tariff:  # noqa: ANN401 - JSON
        charge = {"name": "e", "kind": "energy", "price": price, "tiers": {**tiers, **changed}}
        return tariff_of(periods=periods, charges=[charge])

    by_period = {"peak": [2, 3], "other": [1, 2]}
    assert tariff(by_period).order_matters
    assert not tariff([1, 2]).order_matters
    assert not tariff(by_period, counter="per_period").order_matters
    assert not tariff(by_period, allocation="pro_rata").order_matters


@pytest.mark.parametrize(
    ("charge", "fault"),
    [
        ("{name: t, kind: tax, rate: 1e30, of: energy}", "percent is out of all proportion: at most 1000 are"),
        ("{name: t, kind: percentage, rate: -1001, of: energy}", "'-1001' percent is out of all proportion"),
        ("{name: t, kind: credit, rate: 1000.5, of: energy}", "'1000.5' percent is out of all proportion"),
    ],
)
def test_a_percentage_is_in_proportion(charge: str, fault: str) -> None:
    (found,) = faults(f"{HOME}  - {charge}\n")
    assert fault in found
    assert found.endswith("at charges[2].rate")


def test_a_holiday_excepted_that_is_none_is_remarked() -> None:
    def remarks(day: str) -> tuple[str, ...]:
        text = HOME.replace(
            "day_types: {weekday: mon-fri,",
            f"holidays: {{country: DE, subdivision: BY, except: {day}}}\n"
            "day_types: {weekday: {days: mon-fri, holidays: excluded},",
        )
        return parse_tariff(text, source="x").remarks

    assert remarks("2026-01-06") == ()
    assert remarks("2026-08-17") == ("'holidays' excepts 2026-08-17, which is no holiday of DE-BY anyway.",)
