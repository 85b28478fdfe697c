"""``wattledger readings import|export|compact|publish|verify|stats`` as a person runs them."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from entry_point import Result, run_command

TABLE = "start,kwh\n" + "".join(
    f"2026-03-{1 + slot // 96:02}T{slot % 96 // 4:02}:{slot % 4 * 15:02}:00Z,0.{100 + slot % 37}\n"
    for slot in range(288)
)


def run(*arguments: str | Path, data: Path) -> Result:
    return run_command("readings", *arguments, "--data", data)


def test_a_file_goes_in_and_comes_out(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(TABLE)
    unknown = run("import", tmp_path / "a.csv", "--point", "h1", data=tmp_path)
    assert unknown.code == 2
    assert unknown.err == (
        "wattledger: no service point is called h1 "
        "(--register makes them, --point NAME_IN_FILE=SERVICE_POINT says whose they are)\n"
    )
    dry = run("import", tmp_path / "a.csv", "--point", "h1", "--register", "--dry-run", data=tmp_path)
    assert "288 would be stored if they are new" in dry.out
    first = run("import", tmp_path / "a.csv", "--point", "h1", "--register", data=tmp_path)
    assert first.out.splitlines() == [
        f"{tmp_path}/a.csv: 288 readings, 288 stored",
        "  assumed: Intervals are 15 minutes long, as the distances of the times show.",
        "  assumed: Nothing says which way the energy flows; a bill takes it as import.",
    ]
    second = run("import", tmp_path / "a.csv", "--point", "h1", "--json", data=tmp_path)
    (told,) = second.json
    assert (told["stored"], told["duplicate"], len(told["assumptions"]), second.code) == (0, 288, 2, 0)
    assert "stretches folded: 2,976 intervals" in run("compact", data=tmp_path).out
    stats = run("stats", "--json", data=tmp_path).json
    assert (stats["intervals"], stats["channels"][0]["segments"], stats["channels"][0]["files"]) == (288, 0, 1)
    assert run("verify", data=tmp_path).out == "the readings agree with themselves\n"
    assert "1 files, 1 new" in run("publish", data=tmp_path).out
    out = run("export", tmp_path / "out.parquet", "--from", "2026-03-02", "--to", "2026-03-03", data=tmp_path)
    assert out.out == f"{tmp_path}/out.parquet: 96 readings of 1 channels\n"
    assert "0 stored, 96 duplicate" in run("import", tmp_path / "out.parquet", data=tmp_path).out
    (file,) = (tmp_path / "readings").glob("import/**/*.parquet")
    file.write_bytes(file.read_bytes()[:-9])
    damaged = run("verify", data=tmp_path)
    assert damaged.code == 1
    assert file.name in damaged.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["export", "x.txt"], "no format that is written"),
        (["export", "x.csv", "--from", "soon"], "--from 'soon' is no day or instant"),
        (["import", "nowhere.csv"], "no such file"),
        (["import", "nowhere.csv", "--channel", "E2"], "--channel 'E2' names nothing"),
        (["export", "x.csv"], "nothing is stored"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = run(*arguments, data=tmp_path)
    assert done.code == 2
    assert said in done.err
    assert len(done.err.splitlines()) == 1


def test_an_import_that_was_killed_is_begun_again(tmp_path: Path) -> None:
    slots, first = 80_000, 1_700_000_100
    head = "point,register,direction,commodity,unit,meter_serial,start,seconds,value,quality\n"
    rows = [
        f"h1,E1,import,active energy,kWh,,{_instant(first + 900 * slot)},900,0.{slot % 900:03},actual\n"
        for slot in range(slots)
    ]
    (tmp_path / "big.csv").write_text(head + "".join(rows))
    command = [sys.executable, "-c", "from wattledger.app import main; main()", "readings", "import"]
    command += [str(tmp_path / "big.csv"), "--register", "--data", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as killed:
        while not (tmp_path / "wattledger.db-wal").exists():
            if killed.poll() is not None:
                break
            with suppress(subprocess.TimeoutExpired):
                killed.wait(timeout=0.02)
        killed.send_signal(signal.SIGKILL)
    again = run("import", tmp_path / "big.csv", "--register", data=tmp_path)
    assert again.code == 0, again.err
    assert run("stats", "--json", data=tmp_path).json["intervals"] == slots
    assert run("verify", data=tmp_path).code == 0


def _instant(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
