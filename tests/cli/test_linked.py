"""The commands about linked meters, as a person runs them.

The meters are served by a process of their own; nothing is kept between two commands but the database.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from entry_point import Result, run_command

from wattledger import readings
from wattledger.store import Store

KEY, AUTH_KEY, MASTER_KEY = (bytes(range(first, first + 16)).hex() for first in (0x00, 0xD0, 0x40))
SECURE = {
    "WATTLEDGER_DLMS_KEY": KEY,
    "WATTLEDGER_DLMS_AUTH_KEY": AUTH_KEY,
    "WATTLEDGER_DLMS_MASTER_KEY": MASTER_KEY,
}


def served(*arguments: str) -> Iterator[str]:
    """The address of meters in a process of their own, on a free port."""
    command = [sys.executable, "-m", "wattledger", "meter", "serve", "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **SECURE}) as meters:
        assert meters.stdout is not None
        said = meters.stdout.readline()
        yield said.split(" at ")[1].split()[0].rstrip(",")
        meters.send_signal(signal.SIGTERM)
        assert meters.wait(timeout=30) == 0


@pytest.fixture(scope="module")
def fleet() -> Iterator[str]:
    yield from served("--count", "12", "--seed", "3", "--fault", "refusing=20%")


@pytest.fixture(autouse=True)
def secure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys of the meters are in the environment."""
    for name, value in SECURE.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def link(fleet: str, tmp_path: Path) -> str:
    """The system has meter 5 as "m5"; later commands need no key."""
    done = run("meter", "link", "m5", fleet, "--server", 5, data=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"m5 is reached at dlms {fleet} and hangs at m5\n"
    return "m5"


def run(*arguments: object, data: Path) -> Result:
    return run_command(*map(str, arguments), "--data", data)


def test_a_linked_meter_is_read(link: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECURE:
        monkeypatch.delenv(name)
    asked = ("--register", "1-0:1.8.0", "--register", "1-0:9.9.9", "--relay", "--limit", "--profile", "1-0:99.1.0")
    told = run("meter", "read", link, *asked, "--json", data=tmp_path).json
    assert told["missing"] == ["1-0:9.9.9"]
    assert told["relay"]["output"] is True
    assert told["limit"] == {"watts": 0}
    assert len(told["profile"]["rows"]) in {95, 96}
    assert told["done"] is True
    store = Store(f"sqlite:///{tmp_path / 'wattledger.db'}")
    with store.read() as tx:
        kept = readings.collected(tx).stored_total
    store.close()
    # Of import and export; the registers at the start of the first row are not known.
    assert kept == 2 * (len(told["profile"]["rows"]) - 1)
    shown = run("meter", "read", link, "--relay", data=tmp_path)
    assert shown.out.splitlines()[1] == "supply    on, connected"


def test_a_supply_is_switched_and_limited_with_proof(link: str, tmp_path: Path) -> None:
    off = run("meter", "disconnect", link, "--reason", "moved out", data=tmp_path)
    assert (off.code, off.out.splitlines()[0]) == (
        0,
        "m5: switch off confirmed; read back: output off, disconnected, mode 4",
    )
    told = run("meter", "events", link, "--log", "0-0:99.98.2", "--json", data=tmp_path).json
    assert [one["kind"] for one in told["events"]] == ["remote_disconnect"]
    on = run("meter", "connect", link, "--json", data=tmp_path)
    assert (on.code, on.json["state"]) == (0, "confirmed")
    limited = run("meter", "limit", link, 2_500, data=tmp_path)
    assert limited.code == 0
    assert run("meter", "read", link, "--limit", data=tmp_path).out.splitlines()[1] == "limit     2500 W"


def test_what_is_not_proved_is_not_done(fleet: str, tmp_path: Path) -> None:
    ended: dict[str, object] = {}
    for number in range(1, 13):
        assert run("meter", "link", f"s{number}", fleet, "--server", number, data=tmp_path).code == 0
        done = run("meter", "disconnect", f"s{number}", "--json", data=tmp_path)
        ended[done.json["state"]] = done.code
    assert ended == {"confirmed": 0, "unknown": 1}  # who refuses to be read back may have done it
    nobody = run("meter", "link", "nobody", "127.0.0.1:1", data=tmp_path)
    assert nobody.code == 0
    queued = run("meter", "disconnect", "nobody", data=tmp_path)
    assert queued.code == 1
    assert "unreachable" in queued.out
    assert "within 15 minutes" in queued.out
    unread = run("meter", "read", "nobody", data=tmp_path)
    assert (unread.code, len(unread.err.splitlines())) == (2, 1)
    assert unread.err.startswith("wattledger: meter nobody gave no answer (unreachable: ")
    status = run("headend", "status", "--json", data=tmp_path).json
    assert status["linked"] == 13
    assert status["failing"]["unreachable"] == 1
    assert status["commands"] == status["failing"]["refused"] + 1


def test_keys_are_rotated_and_the_old_ones_open_nothing(link: str, fleet: str, tmp_path: Path) -> None:
    rotated = run("meter", "keys", "rotate", link, "--json", data=tmp_path)
    assert [one["state"] for one in rotated.json["keys"]] == ["retired", "active"]
    assert rotated.code == 0
    assert run("meter", "read", link, data=tmp_path).code == 0
    old = run_command("headend", "read", fleet, "--server", "5")
    assert old.code == 2
    for secret in (KEY, AUTH_KEY, MASTER_KEY):
        assert secret not in (tmp_path / "wattledger.db").read_bytes().hex()
    back = run("meter", "link", link, fleet, "--server", 5, data=tmp_path)  # the keys of the environment: the old ones
    assert back.code == 0
    assert run("meter", "read", link, data=tmp_path).code == 2


def test_what_is_linked_is_collected(fleet: str, tmp_path: Path) -> None:
    for number in (7, 8):
        linked = run(
            *("meter", "link", f"c{number}", fleet, "--server", number, "--collect", "1-0:99.1.0"),
            *("--log", "0-0:99.98.0", "--since", "2026-11-01", "--point", f"home {number}"),
            data=tmp_path,
        )
        assert linked.out.splitlines()[1] == "1-0:99.1.0 is collected from 2026-11-01T00:00:00Z on"
    before = run("headend", "status", data=tmp_path).out.splitlines()
    assert before[0].startswith("2 meters, 0 failing; ")
    done = run("headend", "collect", "--json", data=tmp_path)
    assert done.code == 0
    assert done.json["rows"] > 0
    after = run("headend", "status", "--json", data=tmp_path).json
    assert after["rows_due"] == 0
    assert [one["gaps"] for one in after["meters"]] == [0, 0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["meter", "read", "m9"], "does not know how to reach m9"),
        (["headend", "status", "m9"], "does not know how to reach m9"),
        (["meter", "keys", "rotate", "m9"], "does not know how to reach m9"),
        (["meter", "link", "m9", "127.0.0.1:1", "--driver", "morse"], "no driver is called 'morse'"),
        (["meter", "link", "m9", "127.0.0.1:1", "--every", "soon"], "--every 'soon' is no time"),
        (["meter", "link", "m9", "127.0.0.1:1", "--option", "suite"], "--option 'suite' has no value"),
        (["meter", "link", "m9", "127.0.0.1:1", "--since", "soon"], "--since 'soon' is no instant"),
    ],
)
def test_what_is_wrong_is_one_line(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = run(*arguments, data=tmp_path)
    assert done.code == 2
    assert said in done.err
    assert len(done.err.splitlines()) == 1
