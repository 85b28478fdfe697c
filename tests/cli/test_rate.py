"""``wattledger rate`` from the command line: bills to read, JSON to use, one line when something is wrong."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from wattledger.app import main

ROOT = Path(__file__).parents[2]
HOME_TOU = ROOT / "tests/cli/tariffs/home-tou.yaml"
FLAT = ROOT / "tests/cli/tariffs/flat.yaml"
DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True)
class Result:
    code: object
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        assert self.code == 0, self.err
        document: dict[str, Any] = json.loads(self.out)
        return document


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["wattledger", "rate", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        written = capsys.readouterr()
        return Result(ended.value.code or 0, written.out, written.err)

    return command


@pytest.fixture
def hours(tmp_path: Path) -> Callable[..., Path]:
    """A CSV of hours of 1 kWh each."""

    def write(
        start: str = "2026-01-01T00:00:00+00:00", *, count: int = 744, naive: bool = False, kwh: str = "1"
    ) -> Path:
        first = datetime.fromisoformat(start)
        stamps = (first + timedelta(hours=n) for n in range(count))
        rows = [f"{stamp:%Y-%m-%d %H:%M}" if naive else stamp.isoformat() for stamp in stamps]
        path = tmp_path / "readings.csv"
        path.write_text("start,kwh\n" + "".join(f"{row},{kwh}\n" for row in rows))
        return path

    return write


@pytest.fixture
def urdb(tmp_path: Path) -> Path:
    """A URDB rate with two periods and tiers, without a zone."""
    path = tmp_path / "rate.json"
    workday = [[0] * 16 + [1] * 5 + [0] * 3] * 12
    rate = {
        "label": "abc",
        "name": "Two periods",
        "energyratestructure": [
            [{"rate": 0.15, "max": 300, "unit": "kWh"}, {"rate": 0.22, "unit": "kWh"}],
            [{"rate": 0.25, "max": 300, "unit": "kWh"}, {"rate": 0.35, "unit": "kWh"}],
        ],
        "energyweekdayschedule": workday,
        "energyweekendschedule": [[0] * 24] * 12,
        "fixedmonthlycharge": 10,
    }
    path.write_text(json.dumps(rate))
    return path


def numbers(value: Any) -> list[str]:  # noqa: ANN401 - JSON
    """All that stands under a key for a number."""
    keys = {"quantity", "price", "amount", "total", "tier", "missing", "estimated", "substituted", "suspect"}
    if isinstance(value, list):
        return [number for item in value for number in numbers(item)]
    if isinstance(value, dict):
        own = [item for key, item in value.items() if key in keys and item is not None]
        return own + [number for key, item in value.items() if key not in keys for number in numbers(item)]
    assert not isinstance(value, int | float)
    return []


# --- JSON ---


def test_json_has_the_promised_shape(run: Run, hours: Callable[..., Path]) -> None:
    document = run(hours(), "--tariff", FLAT, "--json").json
    assert set(document) == {"tariff", "versions", "currency", "bills", "total", "not_rated", "assumptions"}
    assert set(document["tariff"]) == {"id", "version", "hash"}
    assert re.fullmatch(r"[0-9a-f]{64}", document["tariff"]["hash"])
    (bill,) = document["bills"]
    assert {"from", "to", "lines", "total"} < set(bill)
    assert (bill["from"], bill["to"]) == ("2026-01-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00")
    assert bill["lines"] == [
        {
            "charge": "energy",
            "kind": "energy",
            "period": "any time",
            "season": None,
            "tier": None,
            "quantity": "744",
            "unit": "kWh",
            "price": "0.289",
            "amount": "215.02",
            "clause": "charges[0].price",
            "at": None,
        },
        {
            "charge": "standing charge",
            "kind": "fixed",
            "period": None,
            "season": None,
            "tier": None,
            "quantity": "1",
            "unit": "month",
            "price": "9.9",
            "amount": "9.90",
            "clause": "charges[1].price",
            "at": None,
        },
    ]
    assert (bill["total"], document["total"], document["currency"]) == ("224.92", "224.92", "EUR")
    assert (bill["missing"], bill["estimated"]) == ("0", "0")
    assert all(DECIMAL.fullmatch(number) for number in numbers(document))


def test_exact_leaves_amounts_unrounded(run: Run, hours: Callable[..., Path]) -> None:
    document = run(hours(count=24), "--tariff", FLAT, "--json", "--exact").json
    assert [line["amount"] for line in document["bills"][0]["lines"]] == ["6.936", "0.319354838709677419"]
    assert document["total"] == document["bills"][0]["total"] == "7.255354838709677419"
    assert document["bills"][0]["lines"][1]["quantity"] == "0.032258064516129032"


@pytest.mark.parametrize("exact", [[], ["--exact"]])
def test_lines_add_up_to_bills_and_bills_to_the_total(run: Run, hours: Callable[..., Path], exact: list[str]) -> None:
    document = run(hours("2026-01-20T07:00:00+01:00", count=2000), "--tariff", HOME_TOU, "--json", *exact).json
    assert [bill["from"][:10] for bill in document["bills"]] == ["2026-01-20", "2026-02-01", "2026-03-01", "2026-04-01"]
    for bill in document["bills"]:
        assert sum(Decimal(line["amount"]) for line in bill["lines"]) == Decimal(bill["total"])
    assert sum(Decimal(bill["total"]) for bill in document["bills"]) == Decimal(document["total"])
    assert document["bills"][0]["from"] == "2026-01-20T06:00:00+00:00"
    assert document["bills"][-1]["from"] == "2026-04-01T00:00:00+01:00"
    assert (
        sum(Decimal(line["quantity"]) for b in document["bills"] for line in b["lines"] if line["unit"] == "kWh")
        == 2000
    )
    assert [line["quantity"] for b in document["bills"] for line in b["lines"] if line["unit"] == "day"] == [
        "12",
        "28",
        "31",
        "13",
    ]


def test_a_short_month_is_prorated_by_days(run: Run, hours: Callable[..., Path]) -> None:
    document = run(hours(count=14 * 24), "--tariff", FLAT, "--json").json
    line = document["bills"][0]["lines"][1]
    assert (line["quantity"], line["amount"]) == ("0.451612903225806452", "4.47")


# --- zones ---


def test_times_without_offset_are_in_the_tariffs_zone_or_the_given_one(run: Run, hours: Callable[..., Path]) -> None:
    readings = hours("2026-07-01", naive=True)
    document = run(readings, "--tariff", HOME_TOU, "--json").json
    assert document["bills"][0]["from"] == "2026-07-01T00:00:00+01:00"
    assert any("they were taken in the tariff's zone, Europe/London" in told for told in document["assumptions"])
    elsewhere = run(readings, "--tariff", HOME_TOU, "--json", "--zone", "Europe/Athens").json
    assert elsewhere["bills"][0]["from"] == "2026-06-30T22:00:00+01:00"
    assert not any("tariff's zone" in told for told in elsewhere["assumptions"])


def test_a_tariff_without_zone_takes_the_given_one_or_the_readings_own(
    run: Run, hours: Callable[..., Path], urdb: Path
) -> None:
    own = run(hours("2026-01-01T00:00:00-07:00"), "--tariff", urdb, "--json").json
    assert own["bills"][0]["from"] == "2026-01-01T00:00:00-07:00"
    assert any("the readings' own, UTC-07:00" in told for told in own["assumptions"])
    given = run(hours("2026-01-01T00:00:00-07:00"), "--tariff", urdb, "--json", "--zone", "America/Denver").json
    assert given["bills"] == own["bills"]
    told = run(hours("2026-01-01", naive=True), "--tariff", urdb, "--json", "--zone", "America/Denver").json
    assert told["bills"] == own["bills"]
    refused = run(hours("2026-01-01", naive=True), "--tariff", urdb, "--json")
    assert (refused.code, refused.out) == (2, "")
    assert "--zone" in refused.err


def test_a_changing_offset_is_no_zone(run: Run, tmp_path: Path, urdb: Path) -> None:
    path = tmp_path / "summer.csv"
    path.write_text("start,kwh\n" + "".join(f"2026-03-29T0{h}:00:00+0{o}:00,1\n" for h, o in ((0, 1), (1, 1), (3, 2))))
    refused = run(path, "--tariff", urdb)
    assert (refused.code, refused.out) == (2, "")
    assert "names no time zone and the readings name none for it" in refused.err
    assert "--zone" in refused.err


# --- tiers ---


def test_the_convention_of_the_tiers_is_an_option(run: Run, hours: Callable[..., Path], urdb: Path) -> None:
    totals = {
        tiers: run(hours(), "--tariff", urdb, "--json", "--exact", *(["--tiers", tiers] if tiers else [])).json["total"]
        for tiers in ("", "sam", "chronological", "per-period")
    }
    assert totals[""] == totals["sam"]
    assert len(set(totals.values())) == 3
    ours = run(hours(), "--tariff", FLAT, "--tiers", "sam")
    assert (ours.code, ours.out) == (2, "")
    assert "only a URDB document leaves the tiers' convention open" in ours.err


# --- the samples, for real ---


def test_the_london_household(run: Run, shared: Path) -> None:
    path = shared / "data/loads/london_household_30min.csv"
    document = run(path, "--tariff", HOME_TOU, "--json").json
    assert len(document["bills"]) == 27
    assert sum(int(bill["missing"]) for bill in document["bills"]) == 144  # three days
    used = sum(Decimal(line["quantity"]) for b in document["bills"] for line in b["lines"] if line["unit"] == "kWh")
    assert used == sum(Decimal(line.split(",")[1].strip() or 0) for line in path.read_text().splitlines()[1:])
    text = run(path, "--tariff", HOME_TOU)
    assert text.code == 0
    assert "144 intervals: 2012-10-18 01:00 to 2012-10-19 01:00, 2012-12-12, 2012-12-29." in " ".join(text.out.split())
    assert f"Total of 27 bills: {Decimal(document['total']):,} GBP" in text.out


def test_nem12(run: Run, shared: Path) -> None:
    document = run(shared / "data/nem12/Example_NEM12_month_solar.csv", "--tariff", FLAT, "--json").json
    (bill,) = document["bills"]
    assert (bill["point"], bill["from"], bill["to"]) == (
        "NMI1234567",
        "2023-03-01T00:00:00+10:00",
        "2023-04-01T00:00:00+10:00",
    )
    assert bill["lines"][0]["quantity"] == "270.738"
    assert document["not_rated"] == [{"what": "NMI1234567 B1", "why": "energy given back has no price in this tariff"}]


def test_several_registers_of_a_point_are_taken_together(run: Run, shared: Path) -> None:
    document = run(shared / "data/nem12/NEM12_SCENARIO1_UNITEDDP.zip", "--tariff", FLAT, "--json").json
    assert [bill["point"] for bill in document["bills"]] == ["NEM1201009"]
    assert document["bills"][0]["missing"] == "0"
    assert any("the registers E1, E2 are taken together" in told for told in document["assumptions"])


def test_reactive_energy_is_not_rated(run: Run, shared: Path) -> None:
    document = run(shared / "data/nem12/Example_NEM12_actual_interval.csv", "--tariff", FLAT, "--json").json
    assert document["not_rated"][0]["why"] == "reactive energy has no price in this tariff"


def test_substituted_values_are_counted(run: Run, shared: Path) -> None:
    document = run(shared / "data/nem12/Example_NEM12_multiple_quality.csv", "--tariff", FLAT, "--json").json
    assert int(document["bills"][0]["substituted"]) + int(document["bills"][0]["estimated"]) == 44
    text = run(shared / "data/nem12/Example_NEM12_multiple_quality.csv", "--tariff", FLAT).out
    assert "substituted: " in text


@pytest.mark.parametrize("name", ["openespi_test_usage_data_1.xml", "TestGBDataHourlyNineDaysBinnedDaily.xml"])
def test_green_button_in_its_own_local_time(run: Run, shared: Path, name: str) -> None:
    document = run(shared / "data/greenbutton" / name, "--tariff", FLAT, "--json").json
    assert document["bills"][0]["from"].endswith("T00:00:00-05:00")
    assert {bill["missing"] for bill in document["bills"]} == {"0"}


def test_missing_in_one_of_two_registers_is_told(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "two.csv"
    rows = "".join(f"2026-01-01T{h:02d}:00:00+00:00,1,{'' if h == 5 else 2}\n" for h in range(24))
    path.write_text("start,day kwh,night kwh\n" + rows)
    document = run(path, "--tariff", FLAT, "--json").json
    (bill,) = document["bills"]
    assert (bill["missing"], bill["lines"][0]["quantity"]) == ("1", "70")


# --- text ---


def test_a_bill_that_a_person_can_read(run: Run, hours: Callable[..., Path]) -> None:
    text = run(hours("2026-03-01T00:00:00+00:00", count=743), "--tariff", HOME_TOU).out
    for part in (
        "Home, time of use with tiers",
        "home-tou, version 2026-01",
        "Europe/London",
        "March 2026",
        "2026-03-01 to 2026-03-31",
        "off-peak",
        "0.1130"[:5],
        "standing charge",
        "Amount GBP",
        "Total of 1 bill",
        "Assumptions",
    ):
        assert part in text
    assert "\x1b" not in text  # no colour into a pipe
    assert max(len(line) for line in text.splitlines()) <= 100


def test_an_hour_across_a_change_of_price_is_told(run: Run, hours: Callable[..., Path]) -> None:
    text = run(hours("2026-01-01T00:30:00+00:00", count=24), "--tariff", HOME_TOU, "--json").json
    assert (
        "4 intervals run across a change of price; each is priced at what holds when it starts." in text["assumptions"]
    )


def test_names_from_outside_are_printed_as_they_are(run: Run, tmp_path: Path, hours: Callable[..., Path]) -> None:
    tariff = tmp_path / "t.yaml"
    tariff.write_text(FLAT.read_text().replace("name: Flat", 'name: "[red]居民[/red] :smile:"'))
    assert "[red]居民[/red] :smile:" in run(hours(), "--tariff", tariff).out


# --- what is wrong ---


def one_line(result: Result) -> str:
    assert result.code == 2
    assert result.out == ""
    assert result.err.startswith("wattledger: ")
    assert result.err.count("\n") == 1
    return result.err


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("start,kwh\n2026-01-01T00:00:00Z,1\n2026-01-01T01:00:00Z,lots\n2026-01-01T02:00:00Z,1\n", "line 3"),
        ("start,kwh\n2026-01-01T00:00:00Z,1\n2026-13-01T01:00:00Z,1\n", "line 3"),
        ("", "empty"),
    ],
)
def test_broken_readings(run: Run, tmp_path: Path, text: str, cause: str, options: list[str]) -> None:
    path = tmp_path / "broken.csv"
    path.write_text(text)
    told = one_line(run(path, "--tariff", FLAT, *options))
    assert str(path) in told
    assert cause in told


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_every_invalid_sample_is_refused(run: Run, shared: Path, options: list[str]) -> None:
    paths = sorted((shared / "data/nem12").glob("invalid__*"))
    assert len(paths) == 4
    for path in paths:
        assert f"{path}, line " in one_line(run(path, "--tariff", FLAT, *options))


def test_a_broken_tariff(run: Run, tmp_path: Path, hours: Callable[..., Path]) -> None:
    tariff = tmp_path / "broken.yaml"
    tariff.write_text(FLAT.read_text().replace("kind: fixed", "kind: demand").replace("0.2890", "0,2890"))
    told = one_line(run(hours(), "--tariff", tariff, "--json"))
    assert f"{tariff}: line 11: a number is expected, not '0,2890' at charges[0].price" in told
    assert "line 12: 'window' is missing at charges[1]" in told


def test_a_rate_that_cannot_be_honoured(run: Run, tmp_path: Path, hours: Callable[..., Path]) -> None:
    (tmp_path / "rate.json").write_text(
        '{"energyratestructure": [[{"rate": 0.1}]], "coincidentratestructure": [[{"rate": 5}]]}'
    )
    told = one_line(run(hours(), "--tariff", tmp_path / "rate.json", "--zone", "UTC"))
    assert "coincidentratestructure" in told


def test_other_troubles_are_one_line_too(run: Run, tmp_path: Path, hours: Callable[..., Path]) -> None:
    assert "no time zone is called 'Mars/Base'" in one_line(run(hours(), "--tariff", FLAT, "--zone", "Mars/Base"))
    assert "cannot be read" in one_line(run(hours(), "--tariff", tmp_path / "none.yaml"))
    assert "none.csv" in one_line(run(tmp_path / "none.csv", "--tariff", FLAT))
    valid = tmp_path / "old.yaml"
    valid.write_text(FLAT.read_text() + "valid: {to: 2026-01-10}\n")
    assert "is valid to before 2026-01-10" in one_line(run(hours(), "--tariff", valid))


def test_energy_given_back_in_a_net_channel_is_refused(run: Run, hours: Callable[..., Path]) -> None:
    told = one_line(run(hours(kwh="-0.5"), "--tariff", FLAT))
    assert "readings.csv" in told


# --- from outside ---


def test_the_command_itself(hours: Callable[..., Path]) -> None:
    command = [sys.executable, "-c", "from wattledger.app import main; main()", "rate", str(hours()), "--tariff"]
    good = subprocess.run([*command, str(FLAT), "--json"], capture_output=True, text=True, check=False)
    assert good.returncode == 0
    assert json.loads(good.stdout)["total"] == "224.92"
    bad = subprocess.run([*command, "/none.yaml"], capture_output=True, text=True, check=False)
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr.startswith("wattledger: /none.yaml: ")


def test_who_only_reads_files_starts_without_the_database() -> None:
    code = "import sys; from wattledger.readings import read_file; sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
