"""The town in the real house: started as a person starts it, watched through its own words and its own store."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest
import sqlalchemy as sa

from wattledger import billing, control, ledger, prepay, readings
from wattledger.demo import LoadModel, Town, TownPlan
from wattledger.kernel import Money, Period, epoch
from wattledger.store import Store

SEED, HOMES, DAYS = 2, 24, 4
SPEED = 3600
_WATTLEDGER = (sys.executable, "-c", "from wattledger.app import main; main()")


def start(data: Path, *more: str, seed: int = SEED) -> subprocess.Popen[str]:
    options = ("--seed", seed, "--homes", HOMES, "--days", DAYS, "--speed", SPEED, "--data", data)
    return subprocess.Popen(
        [*_WATTLEDGER, "demo", *map(str, options), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )


def lines_of(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    for line in process.stdout:
        yield line.rstrip("\n")


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return output


def plan() -> TownPlan:
    return TownPlan(seed=SEED, homes=HOMES, days=DAYS)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A town that has lived some seconds, billed a month over its API and been asked to stop; what it said."""
    data = tmp_path_factory.mktemp("town") / "demo"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = start(data, "--port", str(port), "--for", "120")
    said: list[str] = []
    for line in lines_of(process):
        said.append(line)
        if re.search(r"Bills of 2026-07: \d+ posted, 0 held", line):
            health = httpx.get(f"http://127.0.0.1:{port}/api/v1/health", timeout=10, trust_env=False).json()
            assert health["clock_speed"] == SPEED
            break
    process.send_signal(signal.SIGTERM)
    said += finish(process).split("\n")
    return "\n".join(said), data


def test_the_whole_story_is_told(lived: tuple[str, Path]) -> None:
    said, _ = lived
    for words in (
        f"Raising a town: {HOMES} homes, 15 others, seed {SEED}, {DAYS} days of history",
        "intervals ingested, priced and settled in",
        "/console",
        "low-balance message at",
        "warned: supply goes off at",
        "disconnected (read back)",
        "recharged",
        "reconnected (read back)",
        "intervals of today are in",
        "Bills of 2026-07: run started: 39 contracts",
        "Bills of 2026-07: run started again: 39 contracts",
        "Bills of 2026-07: 39 posted, 0 held",
        "The town stopped at",
    ):
        assert words in said, f"{words!r} is not in\n{said}"
    first_run = re.search(r"Bills of 2026-07: (\d+) posted, (\d+) held", said)
    assert first_run is not None
    assert int(first_run[2]) >= 2, "two meters are silent over the month's end: their bills have to wait"


def test_every_interval_is_there_and_true(lived: tuple[str, Path]) -> None:
    town, loads = Town.of(plan()), LoadModel(Town.of(plan()))
    store = Store(f"sqlite:///{lived[1] / 'wattledger.db'}")
    period = Period(town.plan.start, town.plan.live_from)
    cut = 0
    with store.read() as tx:
        for supply in town.supplies:
            stored = readings.series(tx, service_point_id=supply.service_point_id, period=period)
            assert len(stored) == period.seconds // 900, supply.tag
            loaded = loads.watt_hours(supply.index, epoch(period.start), epoch(period.end))[0]
            assert (stored.values <= loaded).all()
            if supply.mode == "postpay":
                assert np.array_equal(stored.values, loaded)
            cut += int((stored.values < loaded).sum())
            given = readings.series(tx, service_point_id=supply.service_point_id, period=period, channel="export")
            assert bool(len(given)) == supply.has_export
    store.close()
    assert cut > 0, "somebody was without supply for a while"


def test_the_money_adds_up(lived: tuple[str, Path]) -> None:
    town = Town.of(plan())
    store = Store(f"sqlite:///{lived[1] / 'wattledger.db'}")
    with store.read() as tx:
        assert ledger.check_book(tx) == []
        run = billing.latest_run(tx)
        assert run is not None
        assert (run.month, run.posted, run.held) == ("2026-07", len(town.supplies), 0)
        assert run.statements == run.statements_agreeing == len(town.prepaid)
        now = town.plan.live_from + timedelta(days=2)
        for supply in town.prepaid:
            wallet = prepay.wallet(tx, contract_id=supply.contract_id, now=now)
            assert wallet.available > Money.of(-40, "CNY"), "nobody is left to run up a debt"
        switched = control.supplies(tx, service_point_ids=[supply.service_point_id for supply in town.supplies])
    store.close()
    assert sum(state.since is not None for state in switched.values()) >= 1


def test_a_second_start_goes_on_where_the_first_stopped(lived: tuple[str, Path]) -> None:
    _, data = lived
    store = Store(f"sqlite:///{data / 'wattledger.db'}")
    with store.read() as tx:
        before = readings.collected(tx)
    said = finish(start(data, "--no-serve", "--for", "2"))
    with store.read() as tx:
        after = readings.collected(tx)
        assert ledger.check_book(tx) == []
    store.close()
    assert said.startswith("Going on with the town (24 homes, 15 others, seed 2) at Sat 01 Aug 2026")
    assert before.last_batch_at is not None
    assert after.last_batch_at is not None
    assert after.last_batch_at > before.last_batch_at
    assert after.stored_total > before.stored_total


def test_another_town_is_not_put_on_top(lived: tuple[str, Path]) -> None:
    process = start(lived[1], seed=SEED + 1)
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "--fresh" in output
    assert "seed 2" in output


def stored(database: Path) -> int:
    """How many intervals a town has stored by now, seen from outside."""
    if not database.exists():
        return 0
    store = Store(f"sqlite:///{database}")
    try:
        with store.read() as tx:
            return readings.collected(tx).stored_total
    except sa.exc.OperationalError:
        return 0  # its tables are being made
    finally:
        store.close()


def test_killed_while_history_is_made_it_makes_the_same_history(tmp_path: Path) -> None:
    data = tmp_path / "demo"
    town = Town.of(plan())
    loads, period = LoadModel(town), Period(town.plan.start, town.plan.live_from)
    whole = len(town.supplies) * period.seconds // 900
    process = start(data, "--no-serve")
    while stored(data / "wattledger.db") <= whole // 2:
        assert process.poll() is None, process.communicate()[0]
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.15)
    process.kill()
    process.communicate()
    assert whole // 2 < stored(data / "wattledger.db") < whole, "it was killed while history was made"
    assert "Going on with the town" in finish(start(data, "--no-serve", "--for", "1"))
    store = Store(f"sqlite:///{data / 'wattledger.db'}")
    with store.read() as tx:
        assert ledger.check_book(tx) == []
        for supply in town.supplies:
            kept = readings.series(tx, service_point_id=supply.service_point_id, period=period)
            assert len(kept) == period.seconds // 900
            if supply.mode == "postpay":
                loaded = loads.watt_hours(supply.index, epoch(period.start), epoch(period.end))[0]
                assert np.array_equal(kept.values, loaded)
    store.close()
