"""From ingest to committed deduction: 10,000 intervals of 200 prepaid contracts on SQLite.

Beside a peer in the same run: SQLAlchemy Core writing one row per interval and updating one balance per contract, which
neither prices nor checks anything. ``--json`` prints the figures alone.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from grid import MARCH, Grid

from wattledger.kernel import IntervalSeries, epoch
from wattledger.store import Store
from wattledger.tariffs import load_tariff

CONTRACTS = 200
INTERVALS = 50
ROUNDS = 12


def ours(folder: Path, tariff: dict[str, object]) -> list[float]:
    grid = Grid(Store(f"sqlite:///{folder / 'ours.db'}"))
    grid.store.migrate()
    grid.publish(tariff)
    homes = grid.homes(CONTRACTS, mode="prepay", tariff=str(tariff["id"]))
    rng = np.random.default_rng(1)
    taken = []
    for number in range(ROUNDS):
        starts = epoch(MARCH) + 900 * np.arange(number * INTERVALS, (number + 1) * INTERVALS, dtype=np.int64)
        quality = np.ones(INTERVALS, dtype=np.uint8)
        series = {h: IntervalSeries(starts, rng.integers(0, 700, INTERVALS), quality, 900) for h in homes}
        begun = time.perf_counter()
        receipt = grid.deliver(f"batch-{number}", series)
        taken.append(time.perf_counter() - begun)
        assert receipt.stored == CONTRACTS * INTERVALS
    grid.store.close()
    return taken


def peer(folder: Path) -> list[float]:
    store = Store(f"sqlite:///{folder / 'peer.db'}")
    metadata = sa.MetaData()
    row = sa.Table(
        "row",
        metadata,
        sa.Column("point", sa.Integer, primary_key=True),
        sa.Column("start", sa.Integer, primary_key=True),
        sa.Column("wh", sa.Integer),
    )
    balance = sa.Table(
        "balance", metadata, sa.Column("point", sa.Integer, primary_key=True), sa.Column("micro", sa.Integer)
    )
    metadata.create_all(store.engine)
    with store.write() as tx:
        tx.execute(balance.insert(), [{"point": n, "micro": 0} for n in range(CONTRACTS)])
    rng = np.random.default_rng(1)
    taken = []
    for number in range(ROUNDS):
        values = rng.integers(0, 700, (CONTRACTS, INTERVALS)).tolist()
        begun = time.perf_counter()
        with store.write() as tx:
            tx.execute(
                row.insert(),
                [
                    {"point": n, "start": number * INTERVALS + i, "wh": wh}
                    for n, series in enumerate(values)
                    for i, wh in enumerate(series)
                ],
            )
            tx.execute(
                balance.update()
                .where(balance.c.point == sa.bindparam("key"))
                .values(micro=balance.c.micro - sa.bindparam("charge")),
                [{"key": n, "charge": sum(series)} for n, series in enumerate(values)],
            )
        taken.append(time.perf_counter() - begun)
    store.close()
    return taken


def main() -> None:
    file = Path(__file__).parents[1] / "src/wattledger/demo/tariffs/home-tou.yaml"
    tariff = load_tariff(file).document
    with tempfile.TemporaryDirectory() as folder:
        mine, theirs = ours(Path(folder), tariff), peer(Path(folder))
    figures = {
        "intervals": CONTRACTS * INTERVALS,
        "contracts": CONTRACTS,
        "seconds_median": round(statistics.median(mine), 4),
        "seconds_worst": round(max(mine), 4),
        "intervals_per_second": round(CONTRACTS * INTERVALS / statistics.median(mine)),
        "peer_seconds_median": round(statistics.median(theirs), 4),
        "times_the_peer": round(statistics.median(theirs) / statistics.median(mine), 2),
    }
    if "--json" in sys.argv:
        print(json.dumps(figures))
        return
    print(f"{figures['intervals']:,} intervals of {CONTRACTS} contracts, ingest to committed deduction, SQLite:")
    print(f"  Wattledger   {figures['seconds_median']:.3f} s median, {figures['seconds_worst']:.3f} s worst")
    print(f"  plain rows   {figures['peer_seconds_median']:.3f} s median (stores only: no checks, no prices)")


if __name__ == "__main__":
    main()
