"""``wattledger tariff``: proofs, pictures, comparisons and imports on the command line."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import pytest

from wattledger.app import main
from wattledger.tariffs import load_tariff, shipped_tariffs

ROOT = Path(__file__).parents[2]
HOME_TOU = ROOT / "tests/cli/tariffs/home-tou.yaml"


@dataclass(frozen=True)
class Result:
    code: object
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["wattledger", "tariff", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        written = capsys.readouterr()
        return Result(ended.value.code or 0, written.out, written.err)

    return command


def test_a_sound_tariff_is_one_line_that_says_what_it_asks_for(run: Run) -> None:
    result = run("check", shipped_tariffs()["in-kerala-domestic"])
    assert result.code == 0
    assert result.out.count("\n") == 1
    assert "every minute has one price; to be told when rating: the fact phases" in result.out


def test_each_fault_is_a_line_with_file_line_clause_and_cause(run: Run, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(
        "id: x\nversion: '1'\nzone: Europe/Berln\nperiods:\n  peak: {times: 16:00-21:00}\n"
        "charges:\n  - {name: e, kind: energy, price: 0.1}\n"
    )
    result = run("check", bad, HOME_TOU)
    assert result.code == 1
    lines = result.err.splitlines()
    assert any(line.startswith(f"{bad}:3: zone: ") for line in lines)
    assert any(line.startswith(f"{bad}:4: periods: no period covers ") for line in lines)
    assert any("'currency' is missing" in line for line in lines)
    assert "home-tou" in result.out  # the sound one is told beside it
    found = json.loads(run("check", bad, "--json").out)
    assert {fault["clause"] for fault in found[0]["faults"]} >= {"zone", "periods"}


def test_the_week_is_drawn_within_80_columns(run: Run) -> None:
    result = run("show", HOME_TOU)
    assert result.code == 0
    lines = result.out.splitlines()
    assert max(map(len, lines)) <= 80
    week = next(line for line in lines if line.startswith("Mon-Fri"))
    assert week.split()[1] == "O" * 7 + "S" * 9 + "P" * 4 + "S" * 3 + "O"
    assert {"winter", "summer"} <= {line.strip() for line in lines}


def test_a_comparison_says_what_changed_and_for_whom(run: Run, tmp_path: Path) -> None:
    newer = tmp_path / "newer.yaml"
    newer.write_text(HOME_TOU.read_text().replace('"2026-01"', '"2026-07"').replace("0.4520", "0.5085"))
    result = run("diff", HOME_TOU, newer)
    assert "standing charge, price: 0.452 becomes 0.5085 (+12.5 %)" in result.out
    assert run("diff", HOME_TOU, HOME_TOU).out.endswith("say the same\n")
    assert json.loads(run("diff", HOME_TOU, newer, "--json").out)[0]["percent"] == "12.5"


def test_the_schema_is_one_and_knows_the_shipped_tariffs(run: Run) -> None:
    schema = json.loads(run("schema").out)
    jsonschema.Draft202012Validator.check_schema(schema)
    listed = run("list").out
    assert all(name in listed for name in shipped_tariffs())


def test_a_urdb_rate_is_written_in_our_language(run: Run, shared: Path, tmp_path: Path) -> None:
    source = shared / "data/urdb/reopt_tiered_tou_demand.json"
    out = tmp_path / "ours.yaml"
    result = run("import", "urdb", source, "--zone", "America/Denver", "--tiers", "chronological", "--out", out)
    assert result.code == 0, result.err
    assert (result.out, out.name in result.err) == ("", True)
    tariff = load_tariff(out)
    assert (tariff.zone, tariff.currency) == ("America/Denver", "USD")
    assert run("import", "urdb", source).out.startswith("#")
    kept = out.read_text()
    again = run("import", "urdb", source, "--out", out)
    assert (again.code, again.err.count("\n"), out.read_text()) == (2, 1, kept)
    assert "is there already" in again.err
    assert run("import", "urdb", source, "--out", out, "--force").code == 0
    assert out.read_text() != kept


def test_what_cannot_be_honoured_is_refused_by_name(run: Run, tmp_path: Path) -> None:
    rate = {"energyratestructure": [[{"rate": 0.1}]], "coincidentratestructure": [[{"rate": 5}]]}
    (tmp_path / "rate.json").write_text(json.dumps(rate))
    result = run("import", "urdb", tmp_path / "rate.json")
    assert (result.code, result.out) == (2, "")
    assert "coincidentratestructure" in result.err
    assert result.err.count("\n") == 1


def test_two_files_cannot_be_one_version(run: Run, tmp_path: Path) -> None:
    changed = tmp_path / "changed.yaml"
    changed.write_text(HOME_TOU.read_text().replace("0.4520", "0.5085"))
    same = tmp_path / "same.yaml"
    same.write_text(HOME_TOU.read_text())
    assert run("check", HOME_TOU, same).code == 0
    result = run("check", HOME_TOU, changed)
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert result.err.startswith(f"{changed}: version: a version never changes: ")
    for path in (HOME_TOU, changed):
        assert f"{path} ({load_tariff(path).hash[:12]})" in result.err


def shown(run: Run, file: Path, text: str) -> list[str]:
    file.write_text("id: t\nversion: '1'\ncurrency: EUR\nzone: Europe/Berlin\n" + text)
    result = run("show", file)
    assert result.code == 0, result.err
    assert max(map(len, result.out.splitlines())) <= 80
    return result.out.splitlines()


def test_windows_off_the_half_hour_are_drawn_and_listed(run: Run, tmp_path: Path) -> None:
    lines = shown(
        run,
        tmp_path / "t.yaml",
        "periods: {peak: {times: 16:10-21:00}, off: otherwise}\n"
        "charges:\n  - {name: e, kind: energy, price: {peak: 0.3, off: 0.1}}\n"
        "  - {name: VAT, kind: tax, rate: 19, of: all}\n",
    )
    assert [line.split()[1] for line in lines if line.startswith("Mon-Sun")] == [
        "O" * 33 + "P" * 9 + "O" * 6,  # at 16:00 it is off yet
        "00:00-16:10",
    ]
    assert "             16:10-21:00  peak" in lines
    assert any(line.split() == ["VAT", "tax", "19", "%;", "of", "all"] for line in lines)


def test_holidays_are_shown_by_their_dates(run: Run, tmp_path: Path) -> None:
    rest = (
        "day_types: {working: {days: mon-fri, holidays: excluded}}\n"
        "periods: {day: {days: working, times: 08:00-20:00}, rest: otherwise}\n"
        "charges:\n  - {name: e, kind: energy, price: {day: 0.3, rest: 0.1}}\n"
    )
    listed = shown(run, tmp_path / "a.yaml", "holidays: [2026-05-01, 2026-12-24]\n" + rest)
    assert "Holidays: 2026-05-01, 2026-12-24" in listed
    rule = (
        "valid: {from: 2026-01-01, to: 2026-05-02}\nholidays: {country: DE, also: [2026-02-02], except: 2026-04-03}\n"
    )
    ruled = shown(run, tmp_path / "b.yaml", rule + rest)
    place = ruled.index("Holidays: those of DE, also 2026-02-02, except 2026-04-03")
    assert ruled[place + 1] == "  2026-01-01, 2026-02-02, 2026-04-06, 2026-05-01"


@pytest.mark.parametrize("command", [["-m", "wattledger"], ["benchmarks/rating.py"]])
def test_help_is_help(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, *command, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage" in done.stdout.lower()
