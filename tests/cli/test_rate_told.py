"""``wattledger rate`` with what a tariff asks for: facts, events, published prices, versions, channels, days."""

import json
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from wattledger.app import main
from wattledger.kernel import zone_named

HEAD = "id: t\nversion: '{version}'\ncurrency: EUR\nzone: Europe/Berlin\n"
Rate = Callable[..., dict[str, Any]]


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """A tariff of these lines."""

    def write(lines: str, version: str = "1") -> Path:
        file = tmp_path / f"tariff-{version}.yaml"
        file.write_text(HEAD.format(version=version) + lines)
        return file

    return write


@pytest.fixture
def use(tmp_path: Path) -> Path:
    """A kWh an hour through July 2026 in Berlin, but 5 kWh at 18:00 on the 15th."""
    start = datetime(2026, 7, 1, tzinfo=zone_named("Europe/Berlin"))
    rows = ["start,kwh"]
    for hour in range(744):
        at = start + timedelta(hours=hour)
        rows.append(f"{at.isoformat()},{5 if (at.day, at.hour) == (15, 18) else 1}")
    file = tmp_path / "use.csv"
    file.write_text("\n".join(rows))
    return file


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[object, str, str]]:
    def command(*arguments: object) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["wattledger", "rate", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return ended.value.code or 0, captured.out, captured.err

    return command


@pytest.fixture
def rate(run: Callable[..., tuple[object, str, str]]) -> Rate:
    def command(*arguments: object) -> dict[str, Any]:
        code, out, err = run(*arguments, "--json")
        assert code == 0, err
        found: dict[str, Any] = json.loads(out)
        return found

    return command


def lines(document: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(line["charge"], line["quantity"], line["amount"]) for bill in document["bills"] for line in bill["lines"]]


def test_facts_multiply_and_decide(rate: Rate, run: Any, written: Any, use: Path) -> None:  # noqa: ANN401 - fixtures
    tariff = written(
        "charges:\n  - {name: energy, kind: energy, price: 0.10}\n"
        "  - {name: capacity, kind: fixed, price: 2.50, per: month, times: contracted_kw}\n"
        "  - {name: three, kind: fixed, price: 4, per: month, when: {facts: {phases: 3}}}\n"
    )
    told = ("--fact", "contracted_kw=6", "--fact", "phases=3")
    assert lines(rate(use, "--tariff", tariff, *told)) == [
        ("energy", "748", "74.80"),
        ("capacity", "6", "15.00"),
        ("three", "1", "4.00"),
    ]
    code, _, err = run(use, "--tariff", tariff, "--fact", "phases=3")
    assert (code, err.count("\n")) == (2, 1)
    assert "contracted_kw" in err
    assert "tells nothing" in run(use, "--tariff", tariff, "--fact", "phases")[2]


def test_an_event_day_and_an_event_hour(rate: Rate, run: Any, written: Any, use: Path) -> None:  # noqa: ANN401 - fixtures
    tariff = written(
        "events: [alert]\nperiods:\n  critical: {events: alert, times: 17:00-20:00}\n  plain: otherwise\n"
        "charges:\n  - {name: energy, kind: energy, price: {critical: 2, plain: 0.10}}\n"
    )
    assert lines(rate(use, "--tariff", tariff, "--event", "alert=2026-07-15")) == [
        ("energy", "7", "14.00"),
        ("energy", "741", "74.10"),
    ]
    hour = "alert=2026-07-15T18:00+02:00/2026-07-15T19:00+02:00"
    assert lines(rate(use, "--tariff", tariff, "--event", hour))[0] == ("energy", "5", "10.00")
    assert "neither a day nor" in run(use, "--tariff", tariff, "--event", "alert=tomorrow")[2]


def test_published_prices_come_from_a_file(rate: Rate, run: Any, written: Any, use: Path, tmp_path: Path) -> None:  # noqa: ANN401 - fixtures
    tariff = written(
        "charges:\n  - name: energy\n    kind: energy\n"
        "    index: {series: spot, scale: 1, adder: 0.01, cap: 0.30, missing: last}\n"
    )
    prices = tmp_path / "spot.csv"
    prices.write_text(
        "start,price\n2026-07-01T00:00+02:00,0.10\n2026-07-15T18:00+02:00,0.90\n2026-07-15T19:00+02:00,-0.05\n"
    )
    (line,) = rate(use, "--tariff", tariff, "--prices", f"spot={prices}")["bills"][0]["lines"]
    # 354 h at 0.11, 5 kWh at the cap, 389 h at -0.04
    assert (line["quantity"], line["amount"]) == ("748", "24.88")
    _, text, _ = run(use, "--tariff", tariff, "--prices", f"spot={prices}", "--explain")
    assert "energy: charges[0].index says series spot, adder 0.01, cap 0.3, missing last" in text
    code, _, err = run(use, "--tariff", tariff)
    assert (code, "no price of spot is known" in err) == (2, True)
    prices.write_text("start,price\n2026-07-01T00:00+02:00,ten\n2026-07-01T00:00+02:00,x\n")
    assert f"{prices}: line 2" in run(use, "--tariff", tariff, "--prices", f"spot={prices}")[2]


def test_versions_split_the_bill_by_date_and_the_counter_goes_on(rate: Rate, run: Any, written: Any, use: Path) -> None:  # noqa: ANN401 - fixtures
    charge = (
        "charges:\n  - name: energy\n    kind: energy\n    tiers: {{counter: all_periods, basis: month, "
        "allocation: chronological, limits: [300], proration: none}}\n    price: [{low}, {high}]\n"
    )
    old = written("valid: {to: 2026-07-11}\n" + charge.format(low="0.10", high="0.20"), "1")
    new = written("valid: {from: 2026-07-11}\n" + charge.format(low="0.30", high="0.40"), "2")
    document = rate(use, "--tariff", old, "--tariff", new)
    assert lines(document) == [("energy", "240", "24.00"), ("energy", "60", "18.00"), ("energy", "448", "179.20")]
    assert [bill["tariff_version"] for bill in document["bills"]] == ["1", "2"]
    both = written(charge.format(low="0.30", high="0.40"), "3")
    assert "both in force" in run(use, "--tariff", old, "--tariff", both)[2]


def test_a_bill_of_any_days(rate: Rate, run: Any, written: Any, use: Path) -> None:  # noqa: ANN401 - fixtures
    tariff = written(
        "charges:\n  - {name: energy, kind: energy, price: 0.10}\n"
        "  - {name: fixed, kind: fixed, price: 31, per: month}\n"
    )
    assert lines(rate(use, "--tariff", tariff, "--bill", "2026-07-05/2026-07-11")) == [
        ("energy", "168", "16.80"),
        ("fixed", "0.225806451612903226", "7.00"),
    ]
    assert "no span of days" in run(use, "--tariff", tariff, "--bill", "2026-07-11/2026-07-05")[2]


def test_registers_are_channels(rate: Rate, run: Any, written: Any, tmp_path: Path) -> None:  # noqa: ANN401 - fixtures
    zeros = ",".join(["0.5"] * 48)
    file = tmp_path / "meter.csv"
    file.write_text(
        "100,NEM12,202607020000,A,B\n"
        f"200,NMI1234567,E1E2B1,1,E1,N1,M1,KWH,30,20260703\n300,20260701,{zeros},A,,,20260702000000,\n"
        f"200,NMI1234567,E1E2B1,2,E2,N2,M1,KWH,30,20260703\n300,20260701,{zeros},A,,,20260702000000,\n"
        f"200,NMI1234567,E1E2B1,3,B1,N3,M1,KWH,30,20260703\n300,20260701,{zeros},A,,,20260702000000,\n900\n"
    )
    tariff = written(
        "netting: {per: none}\ncharges:\n  - {name: energy, kind: energy, price: 0.30}\n"
        "  - {name: hot water, kind: energy, channel: controlled, price: 0.15}\n"
        "  - {name: feed-in, kind: export, price: 0.05}\n"
    )
    tariff.write_text(tariff.read_text().replace("Europe/Berlin", "Australia/Brisbane"))
    assert lines(rate(file, "--tariff", tariff, "--channel", "E2=controlled")) == [
        ("energy", "24", "7.20"),
        ("hot water", "24", "3.60"),
        ("feed-in", "24", "-1.20"),
    ]
    assert "no register of the file is called E9" in run(file, "--tariff", tariff, "--channel", "E9=controlled")[2]


def test_every_line_is_taken_apart(rate: Rate, run: Any, written: Any, use: Path) -> None:  # noqa: ANN401 - fixtures
    tariff = written(
        "charges:\n  - {name: energy, kind: energy, price: 0.10}\n"
        "  - {name: demand, kind: demand, window: 60, price: 3}\n  - {name: tax, kind: tax, rate: 19, of: all}\n"
    )
    document = rate(use, "--tariff", tariff, "--explain")
    energy, demand, tax = document["bills"][0]["lines"]
    assert (len(energy["parts"]), energy["says"], energy["recomputed"]) == (744, "0.1", energy["amount"])
    assert [part["quantity"] for part in energy["parts"][:2]] == ["1", "1"]
    assert (demand["at"], demand["evidence"][0]["quantity"]) == ("2026-07-15T16:00:00+00:00", "5")
    assert [part["what"] for part in tax["parts"]] == ["energy", "demand"]
    _, text, _ = run(use, "--tariff", tariff, "--explain")
    assert "744 intervals" in text
    assert "5 kW from 2026-07-15 18:00" in text
    assert text.count("adds up to") == 3
    assert "DOES NOT" not in text


def test_what_no_tariff_knows_is_refused(run: Any, written: Any, use: Path, tmp_path: Path) -> None:  # noqa: ANN401 - fixtures
    tariff = written(
        "events: [critical]\nperiods:\n  hot: {events: critical}\n  plain: otherwise\n"
        "eligibility: {class: home}\n"
        "charges:\n  - {name: energy, kind: energy, price: {hot: 2, plain: 0.10}}\n"
        "  - {name: three, kind: fixed, price: 4, per: month, when: {facts: {phases: 3}}}\n"
    )
    prices = tmp_path / "spot.csv"
    prices.write_text("start,price\n2026-07-01T00:00+02:00,0.10\n")
    told = ("--tariff", tariff, "--fact", "phases=3")
    for option, name, known in (
        ("--event", "critcal=2026-07-01", "--event critcal: t knows no such event; known: critical"),
        ("--fact", "phase=3", "--fact phase: t knows no such fact; known: class, phases"),
        ("--prices", f"spot={prices}", "--prices spot: t knows no such series of prices; known: none"),
    ):
        code, out, err = run(use, *told, option, name)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert known in err
    assert run(use, *told, "--fact", "class=home", "--event", "critical=2026-07-01")[0] == 0


FLAT = "charges:\n  - {{name: energy, kind: energy, price: {price}}}\n"


def test_a_version_never_changes(run: Any, written: Any, use: Path, tmp_path: Path) -> None:  # noqa: ANN401 - fixtures
    old = written("valid: {to: 2026-07-11}\n" + FLAT.format(price="0.10"))
    other = tmp_path / "other.yaml"
    other.write_text(old.read_text().replace("{to: 2026-07-11}", "{from: 2026-07-11}"))
    code, out, err = run(use, "--tariff", old, "--tariff", other)
    assert (code, out, err.count("\n")) == (2, "", 1)
    for path in (old, other):
        assert f"{path} (" in err
    assert "version 1" in err


def test_versions_in_two_currencies_are_no_bill(run: Any, written: Any, use: Path) -> None:  # noqa: ANN401 - fixtures
    old = written("valid: {to: 2026-07-11}\n" + FLAT.format(price="0.10"), "1")
    new = written("valid: {from: 2026-07-11}\n" + FLAT.format(price="0.10"), "2")
    new.write_text(new.read_text().replace("EUR", "USD"))
    code, out, err = run(use, "--tariff", old, "--tariff", new)
    assert (code, out, "EUR and USD" in err) == (2, "", True)


def test_a_bill_of_two_versions_is_one_bill(rate: Rate, run: Any, written: Any, use: Path) -> None:  # noqa: ANN401 - fixtures
    old = written("valid: {to: 2026-07-11}\n" + FLAT.format(price="0.10"), "1")
    new = written("valid: {from: 2026-07-11}\n" + FLAT.format(price="0.20"), "2")
    told = ("--tariff", old, "--tariff", new)
    document = rate(use, *told, "--bill", "2026-07-01/2026-07-20")
    first, second = document["versions"]
    whole = {"from": "2026-07-01T00:00:00+02:00", "to": "2026-07-21T00:00:00+02:00"}
    assert [bill["part_of"] for bill in document["bills"]] == [whole, whole]
    _, out, _ = run(use, *told, "--bill", "2026-07-01/2026-07-20")
    head = " ".join(out[: out.index("July")].split())
    assert f"version 1, {first['hash'][:12]}; version 2, {second['hash'][:12]}" in head
    assert "The bill of 2026-07-01 to 2026-07-20, 2 parts: 72.80 EUR" in out
    assert "Total of 1 bill: 72.80 EUR" in out


def test_two_events_at_once_are_told_with_the_bill(rate: Rate, written: Any, use: Path) -> None:  # noqa: ANN401 - fixtures
    tariff = written(
        "events: [storm, heat]\nperiods:\n  hot: {events: heat}\n  wild: {events: storm}\n  plain: otherwise\n"
        "charges:\n  - {name: energy, kind: energy, price: {hot: 3, wild: 2, plain: 0.10}}\n"
    )
    told = ("--tariff", tariff, "--event", "heat=2026-07-04", "--event")
    both = rate(use, *told, "storm=2026-07-04T12:00+02:00/2026-07-05T12:00+02:00")
    assert sorted(lines(both)) == [("energy", "12", "36.00"), ("energy", "24", "48.00"), ("energy", "712", "71.20")]
    assert (
        "storm and heat are both on 2026-07-04 12:00 to 2026-07-05 00:00; storm, which is listed first, goes before."
        in both["assumptions"]
    )
    apart = rate(use, *told, "storm=2026-07-05")
    assert not [one for one in apart["assumptions"] if "both on" in one]


def test_what_looks_further_back_than_the_readings_is_told(rate: Rate, written: Any, use: Path) -> None:  # noqa: ANN401 - fixtures
    def assumed(charges: str, *told: object) -> list[str]:
        document = rate(use, "--tariff", written(charges), *told)
        return [one for one in document["assumptions"] if "looks back" in one]

    ladder = (
        "charges:\n  - name: energy\n    kind: energy\n    price: [0.10, 0.20]\n    tiers: {{counter: all_periods, "
        "basis: {basis}, allocation: pro_rata, limits: [500], proration: {proration}}}\n"
    )
    nothing = "but begins from nothing on 2026-07-01: nothing earlier is known."
    year = ladder.format(basis="year", proration="none")
    assert assumed(year) == [f"energy looks back since 2026-01-01, {nothing}"]
    assert assumed(year.replace("year, ", "year, starts: 07-01, ")) == []
    assert assumed(ladder.format(basis="{rolling: 3}", proration="none")) == [
        f"energy looks back since 2026-05-01, {nothing}"
    ]
    month = ladder.format(basis="month", proration="none")
    assert assumed(month) == []
    assert assumed(month, "--bill", "2026-07-05/2026-07-11") == [
        "energy looks back since 2026-07-01, but begins from nothing on 2026-07-05: nothing earlier is known."
    ]
    assert assumed(ladder.format(basis="month", proration="days"), "--bill", "2026-07-05/2026-07-11") == []
    assert assumed(
        "charges:\n  - {name: energy, kind: energy, price: 0.10}\n"
        "  - {name: demand, kind: demand, window: 60, price: 3, ratchet: {percent: 80, months: 11}}\n"
        "  - {name: least, kind: minimum, per: year, price: 100, proration: none, covers: all}\n"
    ) == [f"demand looks back since 2025-08-01, {nothing}", f"least looks back since 2026-01-01, {nothing}"]


def test_a_fact_for_which_no_charge_is_is_told(rate: Rate, written: Any, use: Path) -> None:  # noqa: ANN401 - fixtures
    tariff = written(
        "charges:\n  - {name: energy, kind: energy, price: 0.10}\n"
        "  - {name: one, kind: fixed, price: 2, per: month, when: {facts: {phases: 1}}}\n"
        "  - {name: three, kind: fixed, price: 4, per: month, when: {facts: {phases: 3}}}\n"
        "  - {name: large, kind: fixed, price: 9, per: month, when: {facts: {class: large}}}\n"
    )

    def told(phases: int) -> list[str]:
        found = rate(use, "--tariff", tariff, "--fact", f"phases={phases}", "--fact", "class=home")
        return [one for one in found["assumptions"] if "no charge is" in one]

    assert told(3) == []
    assert told(9) == ["phases is 9, for which no charge is; the charges that depend on phases are left out."]


ONE_BILL = {
    "slab": "charges:\n  - {name: energy, kind: energy, price: [0.1, 0.5], tiers: {counter: all_periods, basis: month, "
    "allocation: reached_slab, limits: [400], proration: none}}\n",
    "usage": "charges:\n  - {name: low, kind: energy, price: 0.1, when: {usage: {up_to: 400}}}\n"
    "  - {name: high, kind: energy, price: 0.5, when: {usage: {over: 400}}}\n"
    "  - {name: small, kind: fixed, price: 7, per: bill, when: {usage: {up_to: 400}}}\n",
    "minimum": "charges:\n  - {name: energy, kind: energy, price: 0.1}\n"
    "  - {name: least, kind: minimum, price: 150, per: bill, covers: energy}\n",
    "credit": "charges:\n  - {name: energy, kind: energy, price: 0.1}\n"
    "  - {name: grant, kind: credit, rate: 50, of: energy, most: 20}\n",
}


@pytest.mark.parametrize("name", ONE_BILL)
def test_versions_that_say_the_same_cost_what_one_costs(
    rate: Rate,
    run: Any,  # noqa: ANN401 - a fixture
    written: Any,  # noqa: ANN401 - a fixture
    use: Path,
    name: str,
) -> None:
    old = written("valid: {to: 2026-07-16}\n" + ONE_BILL[name], "1")
    new = written("valid: {from: 2026-07-16}\n" + ONE_BILL[name], "2")
    one = written(ONE_BILL[name], "3")
    whole, split = rate(use, "--tariff", one), rate(use, "--tariff", old, "--tariff", new, "--explain")
    assert split["total"] == whole["total"]
    assert len(split["bills"]) == 2
    text = run(use, "--tariff", old, "--tariff", new, "--explain")[1]
    assert "DOES NOT" not in text
    assert ("what the part before costs by the whole bill" in text) == (name in {"slab", "usage", "minimum"})
