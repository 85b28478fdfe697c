"""``wattledger meter serve`` and ``wattledger headend read`` as a person runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from wattledger.app import main

KEY, AUTH_KEY = bytes(range(16)).hex(), bytes(range(0xD0, 0xE0)).hex()
SECURE = {"WATTLEDGER_DLMS_KEY": KEY, "WATTLEDGER_DLMS_AUTH_KEY": AUTH_KEY}


class Result(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["wattledger", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        written = capsys.readouterr()
        return Result(int(ended.value.code or 0), written.out, written.err)

    return command


def served(*arguments: str, **environment: str) -> Iterator[str]:
    """The address of meters in a process of their own, on a free port."""
    command = [sys.executable, "-m", "wattledger", "meter", "serve", "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}) as meters:
        assert meters.stdout is not None
        said = meters.stdout.readline()
        yield said.split(" at ")[1].split()[0].rstrip(",")
        meters.send_signal(signal.SIGTERM)
        assert meters.wait(timeout=30) == 0


@pytest.fixture(scope="module")
def fleet() -> Iterator[str]:
    yield from served("--count", "30", "--seed", "3", "--fault", "refusing=10%", "--zone", "Asia/Shanghai", **SECURE)


@pytest.fixture(scope="module")
def alone() -> Iterator[str]:
    yield from served("--own-ports", "--mode", "1")


def test_a_meter_of_many_is_read_with_its_keys(run: Run, fleet: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECURE.items():
        monkeypatch.setenv(name, value)
    result = run(
        *("headend", "read", fleet, "--server", 17, "--register", "1-0:1.8.0", "--register", "1-0:9.9.9"),
        *("--profile", "1-0:99.1.0", "--log", "0-0:99.98.0", "--json"),
    )
    assert result.code == 0, result.err
    told = json.loads(result.out)
    assert told["missing"] == ["1-0:9.9.9"]
    assert abs(told["clock"]["off_seconds"]) < 5
    rows = told["profile"]["rows"]
    assert len(rows) in {95, 96}
    readings = [row["values"][0] for row in rows]
    assert readings == sorted(readings)
    assert readings[-1] <= told["registers"][0]["value"]
    assert told["events"] == []


def test_a_meter_alone_is_read_in_either_framing(run: Run, alone: str) -> None:
    for framing in ("wrapper", "hdlc"):
        result = run("headend", "read", alone, "--framing", framing, "--client", 3, "--register", "1-0:1.8.0")
        assert result.code == 0, result.err
        assert result.out.startswith("clock     20")
        assert "1-0:1.8.0" in result.out


def test_a_file_of_intervals_is_what_is_used(run: Run, tmp_path: Path) -> None:
    start = "2026-03-0"
    rows = "".join(f"{start}{1 + slot // 24}T{slot % 24:02}:00:00Z,0.5\n" for slot in range(48))
    (tmp_path / "load.csv").write_text("start,kwh\n" + rows)
    for address in served("--own-ports", "--load", str(tmp_path / "load.csv"), "--days", "3650"):
        result = run("headend", "read", address, "--client", 3, "--register", "1-0:1.8.0", "--json")
        assert json.loads(result.out)["registers"][0]["value"] == 1_000 + 48 * 500


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["headend", "read", "nowhere"], "the address is host:port"),
        (["headend", "read", "127.0.0.1:1"], "nothing answers at 127.0.0.1:1"),
        (["headend", "read", "127.0.0.1:1", "--key", "00"], "--key is no key"),
        (["headend", "read", "127.0.0.1:1", "--key", KEY], "--key and --auth-key go together"),
        (["headend", "read", "127.0.0.1:1", "--from", "soon"], "--from 'soon' is no instant"),
        (["meter", "serve", "--fault", "tired"], "--fault 'tired' names no fault"),
        (["meter", "serve", "--fault", "slow=300%"], "has no share"),
        (["meter", "serve", "--zone", "Europe/Atlantis"], "Europe/Atlantis"),
        (["meter", "serve", "--port", "65535", "--own-ports", "--count", "2"], "cannot listen"),
    ],
)
def test_what_is_wrong_is_one_line(run: Run, arguments: list[str], said: str) -> None:
    result = run(*arguments)
    assert result.code == 2
    assert said in result.err
    assert len(result.err.splitlines()) == 1
    assert KEY not in result.err


def test_a_meter_that_refuses_is_told_from_one_that_has_other_keys(
    run: Run, fleet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECURE.items():
        monkeypatch.setenv(name, value)
    refusing = run("headend", "read", fleet, "--server", 1)
    assert "read write denied" in refusing.err
    other = run("headend", "read", fleet, "--server", 17, "--auth-key", "00" * 16)
    assert "authentication failure" in other.err
    nobody = run("headend", "read", fleet, "--server", 31, "--timeout", 1)
    assert "did not tell all within 1 s" in nobody.err
    assert {refusing.code, other.code, nobody.code} == {2}


def test_a_meter_without_a_secret_tells_anybody_all(run: Run, alone: str) -> None:
    told = run("headend", "read", alone, "--profile", "1-0:99.1.0", "--json")
    assert told.code == 0, told.err
    assert len(json.loads(told.out)["profile"]["rows"]) in {95, 96}
