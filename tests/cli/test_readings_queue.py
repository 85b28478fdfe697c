"""``wattledger readings validate|queue|accept|edit|estimate|reject`` as a person runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from entry_point import Result, run_command

from wattledger import registry
from wattledger.store import Store
from wattledger.tariffs import parse_tariff

SPIKE = 9 * 96 + 60
GAP = range(9 * 96 + 10, 9 * 96 + 14)
LAST = ("--from", "2026-03-10")
TARIFF = {
    "id": "flat",
    "version": "1",
    "name": "Flat",
    "currency": "EUR",
    "zone": "UTC",
    "charges": [{"name": "energy", "kind": "energy", "price": "0.5"}],
}


def table(spike: int, *, without: range = range(0)) -> str:
    """Ten days of quarter-hours."""
    return "start,kwh\n" + "".join(
        f"2026-03-{1 + slot // 96:02}T{slot % 96 // 4:02}:{slot % 4 * 15:02}:00Z,"
        f"{spike if slot == SPIKE else 0}.{150 + slot % 96 % 37}\n"
        for slot in range(10 * 96)
        if slot not in without
    )


def run(*arguments: str | Path, data: Path) -> Result:
    return run_command("readings", *arguments, "--data", data)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five homes with a spike, each smaller than the one before; the first lacks an hour; a tariff prices the last."""
    folder = tmp_path_factory.mktemp("queue")
    for number in range(1, 6):
        path = folder / f"{number}.csv"
        path.write_text(table(11 - number, without=GAP if number == 1 else range(0)))
        imported = run("import", path, "--point", f"h{number}", "--register", data=folder)
        assert f"{956 if number == 1 else 960} stored\n" in imported.out, imported
    store = Store(f"sqlite:///{folder / 'wattledger.db'}")
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    with store.write() as tx:
        registry.publish_tariff(tx, tariff=parse_tariff(TARIFF, source="test"), valid_from=begun)
        registry.add_account(tx, account_id="h5", name="Family", language="en", phone=None)
        registry.open_contract(
            tx,
            contract_id="h5",
            account_id="h5",
            service_point_id="h5",
            mode="postpay",
            tariff_id="flat",
            currency="EUR",
            valid_from=begun,
        )
    store.close()
    done = run("validate", *LAST, data=folder)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "2026-03-10 00:00 to 2026-03-11 00:00 UTC: 480 intervals of 5 channels",
        "  found: 1 missing, 5 spike",
        "  exceptions: 6 new, 0 changed, 0 closed by itself",
        "  intervals: 4 estimated, 5 doubted",
        "             0 put aside, 0 given back",
    ]
    return folder


@pytest.fixture
def of(data: Path) -> Callable[[str], dict[str, Any]]:
    """The exception that asks about a point."""

    def of_point(point: str) -> dict[str, Any]:
        (one,) = run("queue", "--point", point, "--json", data=data).json["items"]
        return dict(one)

    return of_point


BY_ANN = ("--actor", "ann", "--reason", "a test of the meter")


def test_the_queue_goes_by_money_then_by_energy(data: Path, of: Callable[[str], dict[str, Any]]) -> None:
    told = run("validate", *LAST, "--json", data=data).json
    assert (told["opened"], told["estimated"], told["found"]) == (0, 0, {"missing": 1, "spike": 5})
    assert run("validate", *LAST, "--point", "h2", "--json", data=data).json["points"] == 1
    first = run("queue", "--state", "open", "--state", "filled", "--json", "--limit", "2", data=data).json
    assert (first["total"], len(first["items"])) == (6, 2)
    assert first["items"][0] == of("h5")  # it alone has a price
    assert Decimal(first["items"][0]["stake"]) > 0
    shown = run("queue", "--rule", "spike", data=data).out
    assert of("h5")["id"] in shown
    assert "2026-03-10 15:00 to 15:15 UTC" in shown
    assert shown.count("not priced") == shown.count(" spike ") - 1


def test_a_preview_changes_nothing_and_an_edit_what_it_said(data: Path, of: Callable[[str], dict[str, Any]]) -> None:
    one = of("h1")
    decided = (*BY_ANN, "--kwh", "0.175")
    before = run("edit", one["id"], *decided, "--preview", data=data)
    assert before.out.splitlines() == [
        f"{one['id']} would be carried out",
        "  h1 import, 2026-03-10 15:00 to 15:15 UTC",
        "  10.173 -> 0.175 kWh; no tariff prices it",
    ]
    assert of("h1") == one
    assert run("edit", one["id"], *decided, data=data).out.startswith(f"{one['id']} edited\n")
    assert run("queue", "--point", "h1", data=data).out == "nothing asks for a person\n"
    edited = run("queue", "--state", "edited", "--json", data=data).json
    assert [item["id"] for item in edited["items"]] == [one["id"]]
    again = run("accept", one["id"], "--actor", "bob", "--reason", "no", data=data)
    assert (again.code, again.out, again.err.count("\n")) == (2, "", 1)
    assert "was edited on" in again.err


@pytest.mark.parametrize(
    ("point", "action", "options", "state", "after"),
    [
        ("h2", "accept", (), "accepted", "9.173"),
        ("h3", "estimate", ("--method", "like days"), "estimated", "0.173"),
        ("h4", "reject", (), "rejected", "0.000"),
    ],
)
def test_decisions_as_json(
    data: Path,
    of: Callable[[str], dict[str, Any]],
    point: str,
    action: str,
    options: tuple[str, ...],
    state: str,
    after: str,
) -> None:
    one = of(point)
    shown = run(action, one["id"], *BY_ANN, *options, "--preview", "--json", data=data).json
    assert (shown["preview"], shown["exception"]) == (True, one)
    told = run(action, one["id"], *BY_ANN, *options, "--json", data=data).json
    assert (told["exception"]["state"], told["exception"]["revision"]) == (state, one["revision"] + 1)
    assert (told["energy_before"], told["energy_after"]) == (shown["energy_before"], shown["energy_after"])
    assert told["energy_after"] == after
    assert (told["effect"], told["currency"], told["waits"], told["preview"]) == (None, None, False, False)


def test_much_money_takes_two(data: Path, of: Callable[[str], dict[str, Any]]) -> None:
    one = of("h5")
    asked = ("edit", one["id"], "--second-person-above", "1", "--reason", "tested")
    first = run(*asked, "--actor", "ann", "--kwh", "0.173", data=data)
    assert first.out.splitlines() == [
        f"{one['id']} waits for a second person",
        "  h5 import, 2026-03-10 15:00 to 15:15 UTC",
        "  6.173 -> 0.173 kWh; -3.00 EUR on the bill, by the price",
    ]
    assert "    ann proposes to edit: tested\n" in run("queue", data=data).out
    same = run(*asked, "--actor", "ANN", data=data)
    assert (same.code, same.err.count("\n")) == (2, 1)
    assert "somebody else has to agree" in same.err
    second = run(*asked, "--actor", "bob", "--json", data=data).json
    assert (second["waits"], second["exception"]["state"]) == (False, "edited")
    assert (second["effect"], second["currency"]) == ("-3.00", "EUR")


def test_what_is_wrong_is_one_line(data: Path) -> None:
    by = ("exc_0", "--actor", "a", "--reason", "b")
    for arguments, cause in (
        (("validate", "--from", "yesterday"), "--from 'yesterday' is no day"),
        (("validate", "--to", "2026-02-30"), "--to '2026-02-30' is no day"),
        (("validate", "--from", "0001-01-01"), "--from '0001-01-01' is no day"),
        (("validate", "--from", "2026-03-01", "--to", "9999-12-31"), "--to '9999-12-31' is no day"),
        (("validate", "--from", "2026-03-10", "--to", "2026-03-01"), "--to 2026-03-01 is before --from 2026-03-10"),
        (("validate", "--from", "2024-01-01", "--to", "2026-03-01"), "are more than 400 days"),
        (("validate", *LAST, "--point", "h9"), "no service point is called 'h9'"),
        (("validate", *LAST, "--point", "\udcff"), "no service point is called"),
        (("validate", *LAST, "--rules", data / "none.yaml"), "none.yaml"),
        (("queue", "--state", "lost"), "--state 'lost' is none"),
        (("queue", "--rule", "spikes"), "--rule 'spikes' is none"),
        (("queue", "--point", "h9"), "no service point is called 'h9'"),
        (("accept", *by), "no exception is called 'exc_0'"),
        (("accept", "\udcff", *by[1:]), "no exception is called"),
        (("edit", *by, "--kwh", "0.1,x"), "value 2 of 2: 'x' is no whole number of watt-hours"),
        (("edit", *by, "--kwh", "1e999999"), "value 1 of 1: '1e999999' is no whole number"),
        (("accept", *by, "--second-person-above", "much"), "--second-person-above 'much' is no amount"),
        (("reject", *by, "--second-person-above", "-1"), "--second-person-above '-1' is no amount"),
    ):
        told = run(*arguments, data=data)
        assert (told.code, told.out, arguments) == (2, "", arguments)
        assert told.err.startswith("wattledger: "), told.err
        assert cause in told.err
        assert told.err.count("\n") == 1, told.err


def test_what_is_refused_ends_the_process_with_2(data: Path) -> None:
    command = [sys.executable, "-c", "from wattledger.app import main; main()", "readings", "accept", "exc_0"]
    told = subprocess.run(
        [*command, "--actor", "a", "--reason", "b", "--data", str(data)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "100"},
    )
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr == "wattledger: no exception is called 'exc_0'\n"
