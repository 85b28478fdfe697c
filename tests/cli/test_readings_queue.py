"""``wattledger readings validate|queue|accept|edit|estimate|reject`` as a person runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SPIKE = 9 * 96 + 60
TABLE = "start,kwh\n" + "".join(
    f"2026-03-{1 + slot // 96:02}T{slot % 96 // 4:02}:{slot % 4 * 15:02}:00Z,"
    f"{'9' if slot == SPIKE else '0'}.{150 + slot % 96 % 37}\n"
    for slot in range(10 * 96)
    if not 9 * 96 + 10 <= slot < 9 * 96 + 14
)


def run(*arguments: str | Path, data: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from wattledger.app import main; main()", "readings", *map(str, arguments)]
    return subprocess.run(
        [*command, "--data", str(data)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "100"},
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a spike and a gap of an hour, imported and validated."""
    folder = tmp_path_factory.mktemp("queue")
    (folder / "a.csv").write_text(TABLE)
    imported = run("import", folder / "a.csv", "--point", "h1", "--register", data=folder)
    assert imported.stdout.endswith("956 readings, 956 stored\n")
    done = run("validate", "--from", "2026-03-10", data=folder)
    assert done.stdout.splitlines() == [
        "2026-03-10 00:00 to 2026-03-11 00:00 UTC: 96 intervals of 1 channels",
        "  found: 1 missing, 1 spike",
        "  exceptions: 2 new, 0 changed, 0 closed by itself",
        "  intervals: 4 estimated, 1 doubted",
        "             0 put aside, 0 given back",
    ]
    return folder


def test_the_queue_and_what_is_decided(data: Path) -> None:
    told = json.loads(run("validate", "--from", "2026-03-10", "--json", data=data).stdout)
    assert (told["opened"], told["found"]) == (0, {"missing": 1, "spike": 1})
    queue = json.loads(run("queue", "--json", data=data).stdout)
    assert queue["total"] == 1  # the gap was short: nobody is asked
    (one,) = queue["items"]
    assert (one["rule"], one["point"], one["state"], one["stake"]) == ("spike", "h1", "open", None)
    shown = run("queue", data=data).stdout
    assert one["id"] in shown
    assert "2026-03-10 15:00 to 15:15 UTC" in shown
    decided = ("--actor", "ann", "--reason", "a test of the meter", "--kwh", "0.175")
    before = run("edit", one["id"], *decided, "--preview", data=data)
    assert before.stdout.splitlines() == [
        f"{one['id']} would be carried out",
        "  h1 import, 2026-03-10 15:00 to 15:15 UTC",
        "  9.173 -> 0.175 kWh; no tariff prices it",
    ]
    assert run("edit", one["id"], *decided, data=data).stdout.startswith(f"{one['id']} edited\n")
    assert run("queue", data=data).stdout == "nothing asks for a person\n"
    edited = json.loads(run("queue", "--state", "edited", "--json", data=data).stdout)
    assert [item["id"] for item in edited["items"]] == [one["id"]]
    again = run("accept", one["id"], "--actor", "bob", "--reason", "no", data=data)
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr.count("\n") == 1
    assert "was edited on" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (("validate", "--from", "yesterday"), "--from 'yesterday' is no day"),
        (("queue", "--state", "lost"), "--state 'lost' is none"),
        (("accept", "exc_0", "--actor", "a", "--reason", "b"), "no exception is called 'exc_0'"),
        (
            ("accept", "exc_0", "--actor", "a", "--reason", "b", "--second-person-above", "much"),
            "--second-person-above 'much' is no amount",
        ),
    ],
)
def test_what_is_wrong_is_one_line(data: Path, arguments: tuple[str, ...], cause: str) -> None:
    told = run(*arguments, data=data)
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.startswith("wattledger: ")
    assert cause in told.stderr
    assert told.stderr.count("\n") == 1
