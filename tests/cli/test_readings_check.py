"""``wattledger readings check``: what is in a file, for people and as JSON, and an exit code for scripts."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from wattledger.app import main

DATA = Path(__file__).parents[2].parent / "shared" / "data"
SAMPLES = pytest.mark.skipif(not DATA.exists(), reason="the sample data is not there")
START = datetime(2026, 1, 5, tzinfo=UTC)


@dataclass(frozen=True)
class Result:
    code: object
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.out)
        return document


Run = Callable[..., Result]
Write = Callable[..., Path]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["wattledger", "readings", "check", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        written = capsys.readouterr()
        return Result(ended.value.code or 0, written.out, written.err)

    return command


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Three weeks of hours; what lacks is left out, what is told otherwise stands so."""

    def written(lacking: range = range(0), *, told: dict[int, str] | None = None, naive: bool = False) -> Path:
        values = {hour: f"0.{3 + (hour % 24 >= 18) * 4}{hour % 7}" for hour in range(21 * 24) if hour not in lacking}
        values |= told or {}
        stamps = {hour: START + timedelta(hours=hour) for hour in values}
        lines = [
            f"{(at.replace(tzinfo=None) if naive else at).isoformat()},{values[hour]}" for hour, at in stamps.items()
        ]
        path = tmp_path / "home.csv"
        path.write_text("start,kwh\n" + "\n".join(lines) + "\n", encoding="utf-8")
        return path

    return written


def test_a_sound_file_is_said_to_be_sound(run: Run, write: Write) -> None:
    result = run(write())
    assert (result.code, result.err) == (0, "")
    assert "504 of 504 intervals, none lacks" in result.out
    assert result.out.endswith("Nothing lacks and nothing is doubted.\n")
    assert "Found" not in result.out


def test_what_lacks_is_drawn_named_and_estimated(run: Run, write: Write) -> None:
    result = run(write(range(48, 72)))
    assert result.code == 1
    assert "  2026-01      ██·██████████████████        24 lack\n" in result.out
    assert "  missing         fail          1\n      2026-01-07: no value for 1 day\n" in result.out
    assert "2026-01-07: 1 day: the mean of 3 like days (2026-01-05, 2026-01-06, 2026-01-08); " in result.out
    assert result.out.endswith("1 fault to look at.\n")


def test_years_without_a_value_are_one_line_of_the_bar(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    stamps = [start + timedelta(hours=n) for start in (START, START.replace(year=2036)) for n in range(48)]
    path.write_text("start,kwh\n" + "".join(f"{at.isoformat()},0.5\n" for at in stamps), encoding="utf-8")
    result = run(path)
    assert "\n  2026-02  nothing until 2035-12\n" in result.out
    assert ": not estimated: no like day is near\n" in result.out
    assert len(result.out.splitlines()) < 30


def test_json_tells_the_same_in_decimal_strings(run: Run, write: Write) -> None:
    result = run(write(range(50, 53), told={300: "30.5"}), "--json")
    assert result.code == 1
    document = result.json
    assert document["faults"] == 2
    assert document["readings"] == {"file": 501, "stored": 501, "duplicates": 0, "superseded": 0, "refused": 0}
    [channel] = document["channels"]
    assert (channel["class"], channel["expected"], channel["present"]) == ("import", 504, 501)
    assert channel["incomplete_days"] == [{"day": "2026-01-07", "expected": 24, "present": 21}]
    missing, spike = (one for one in channel["findings"] if one["severity"] != "info")
    assert (missing["rule"], missing["measured"], missing["unit"]) == ("missing", "10800", "s")
    assert (spike["rule"], spike["measured"], spike["unit"]) == ("spike", "30.500", "kWh")
    assert Decimal(spike["limit"]) < Decimal("30.5")
    [estimate] = channel["estimates"]
    assert (estimate["method"], estimate["quality"], estimate["intervals"]) == ("linear", "estimated", 3)
    assert estimate["from"] == "2026-01-07T02:00:00+00:00"
    assert Decimal(estimate["total"]) > 0


def test_failed_values_are_estimated_as_missing_ones_are(run: Run, write: Write) -> None:
    [channel] = run(write(told={100: "200000"}), "--json").json["channels"]
    assert [one["rule"] for one in channel["findings"] if one["severity"] == "fail"] == ["bound"]
    assert [one["intervals"] for one in channel["estimates"]] == [1]


def test_rules_of_ones_own_decide(run: Run, write: Write, tmp_path: Path) -> None:
    shipped = resources.files("wattledger.readings.vee").joinpath("rules.yaml").read_text(encoding="utf-8")
    mine = tmp_path / "mine.yaml"
    mine.write_text(shipped.replace("  missing: {severity: fail}", "  missing: {severity: off}"), encoding="utf-8")
    assert run(write(range(50, 53)), "--rules", mine).code == 0
    mine.write_text(shipped.replace("limit: 1.55", "limit: none"), encoding="utf-8")
    refused = run(write(), "--rules", mine)
    assert (refused.code, refused.out) == (2, "")
    line = shipped[: shipped.index("limit: 1.55")].count("\n") + 1
    assert f"mine.yaml: line {line}: 'none' is no number at defaults.spike.limit" in refused.err


def test_times_without_offset_need_no_zone_but_it_is_said(run: Run, write: Write) -> None:
    path = write(naive=True)
    assert "Times carry no offset and were taken as UTC" in run(path).out
    assert "taken as UTC" not in run(path, "--zone", "Asia/Shanghai").out
    assert run(path, "--zone", "Nowhere/Land").code == 2


def test_a_day_of_the_local_clock_has_as_many_hours_as_it_has(run: Run, tmp_path: Path) -> None:
    first = datetime(2026, 3, 28, tzinfo=UTC)
    lines = [f"{(first + timedelta(hours=n)).isoformat()},0.5" for n in range(71) if n != 30]
    path = tmp_path / "spring.csv"
    path.write_text("start,kwh\n" + "\n".join(lines) + "\n", encoding="utf-8")
    [channel] = run(path, "--zone", "Europe/London", "--json").json["channels"]
    assert channel["incomplete_days"] == [{"day": "2026-03-29", "expected": 23, "present": 22}]


def test_duplicates_are_counted_and_contradictions_refused_by_line(run: Run, write: Write) -> None:
    path = write()
    text = path.read_text(encoding="utf-8")
    path.write_text(text + text.splitlines()[1] + "\n", encoding="utf-8")
    result = run(path)
    assert result.code == 0
    assert result.out.startswith("home.csv: CSV, 505 readings, 504 taken, 1 duplicate\n")
    path.write_text(f"{text}{START.isoformat()},9.9\n", encoding="utf-8")
    refused = run(path)
    assert (refused.code, refused.out) == (2, "")
    assert "line 506" in refused.err


def test_what_is_no_file_of_readings_is_one_line_and_code_2(run: Run, tmp_path: Path) -> None:
    result = run(tmp_path / "none.csv")
    assert (result.code, result.out) == (2, "")
    assert result.err.count("\n") == 1


@SAMPLES
@pytest.mark.parametrize("zone", [(), ("--zone", "UTC"), ("--zone", "Europe/London")])
def test_the_london_household_lacks_three_days(run: Run, zone: tuple[str, ...]) -> None:
    path = DATA / "loads" / "london_household_30min.csv"
    result = run(path, "--json", *zone)
    [channel] = result.json["channels"]
    missing = [one for one in channel["findings"] if one["rule"] == "missing"]
    assert [one["from"][:10] for one in missing] == ["2012-10-18", "2012-12-12", "2012-12-29"]
    assert {one["words"] for one in missing} == {"no value for 1 day"}
    assert [one["method"] for one in channel["estimates"]] == ["like days"] * 3
    spikes = [one for one in channel["findings"] if one["rule"] == "spike"]
    assert len(spikes) < 0.03 * 808
    assert result.code == 1


@SAMPLES
@pytest.mark.parametrize(
    "name",
    [
        "nem12/Example_NEM12_month_solar.csv",
        "nem12/NEM12_SCENARIO1_UNITEDDP.zip",
        "greenbutton/openespi_test_usage_data_1.xml",
    ],
)
def test_sound_samples_are_sound(run: Run, name: str) -> None:
    result = run(DATA / name)
    assert result.code == 0, result.out


@SAMPLES
def test_refused_samples_stay_refused(run: Run) -> None:
    for path in sorted((DATA / "nem12").glob("invalid__*")):
        assert run(path).code == 2, path
