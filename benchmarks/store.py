"""The interval store beside others in the same process: ingest, compaction, bulk scan, point read, corrections, size.

A month of quarter-hours of many points is ingested slot by slot and day by day with a commit each, folded to Parquet,
and added up by price period. Polars and DuckDB add up the same Parquet files; a plain int32 sum of memory says what the
machine can deliver, and rows of one reading each, through SQLAlchemy Core, what the store stands for.
``--points N`` (20,000), ``--json`` prints the figures alone.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from wattledger import readings, registry, worker
from wattledger.kernel import ManualClock, Period
from wattledger.store import Store, Transaction

THREADS = len(os.sched_getaffinity(0))
SECONDS, DAYS, SLOTS = 900, 31, 96
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
MONTH = Period(MARCH, MARCH + timedelta(days=DAYS))
ROUNDS = 5
POINT_READS = 300
CORRECTED = 0.001
PEAK = range(16, 21)
SHOULDER = range(7, 16)


def loads(points: int) -> NDArray[np.int32]:
    """Watt-hours of (points, slots): a base load, a daily shape, appliances that come on and go off."""
    random = np.random.default_rng(7)
    slots = DAYS * SLOTS
    hour = np.arange(slots) % SLOTS / 4
    shape = 1 + 0.8 * np.exp(-((hour - 19) ** 2) / 6) + 0.4 * np.exp(-((hour - 8) ** 2) / 3)
    base = random.uniform(20, 90, (points, 1))
    found = np.empty((points, slots), dtype=np.int32)
    for at in range(0, points, 1000):  # a thousand at a time, for memory's sake
        part = base[at : at + 1000]
        noise = random.gamma(2.0, 0.35, (len(part), slots))
        bursts = (random.random((len(part), slots)) < 0.04) * random.uniform(100, 500, (len(part), slots))
        found[at : at + 1000] = part * shape * noise + bursts
    return found


class Bench:
    """One store, filled and measured."""

    def __init__(self, folder: Path, points: int) -> None:
        self.figures: dict[str, Any] = {"points": points, "intervals": points * DAYS * SLOTS, "threads": THREADS}
        self.points = [f"p{number:07}" for number in range(points)]
        self.wh = loads(points)
        self.store = Store(f"sqlite:///{folder / 'wattledger.db'}")
        self.store.migrate()
        self.clock = ManualClock(MONTH.end + timedelta(days=10))
        self.folder = folder
        self.add_days = add_days()
        with self.store.write() as tx:
            registry.add_premise(tx, premise_id="here", kind="home", address="Here", zone="UTC")
            for point in self.points:
                registry.add_service_point(tx, service_point_id=point, premise_id="here")

    def _ingest(self, batch_id: str, rows: slice, first: int, count: int) -> int:
        table = readings.TableIntervals(
            channel=readings.IMPORT,
            service_point_ids=self.points[rows],
            first=MARCH + timedelta(seconds=SECONDS * first),
            seconds=SECONDS,
            wh=self.wh[rows, first : first + count],
        )
        with self.store.write() as tx:
            batch = readings.IntervalBatch(id=batch_id, source="benchmark", tables=[table])
            return readings.ingest(tx, batch=batch, now=self.clock.now()).stored

    def ingest(self) -> None:
        """The first day slot by slot (all points, one reading each), the others by profile (all points, a day).

        The first two slots make the points known to the store and to this process; they are told apart.
        """
        began = time.perf_counter()
        for slot in range(2):
            self._ingest(f"slot{slot}", slice(None), slot, 1)
        self.figures["ingest_new_points_per_s"] = len(self.points) / (time.perf_counter() - began)
        began, stored = time.perf_counter(), 0
        for slot in range(2, SLOTS):
            stored += self._ingest(f"slot{slot}", slice(None), slot, 1)
        self.figures["ingest_slots_per_s"] = stored / (time.perf_counter() - began)
        began, stored, times = time.perf_counter(), 0, []
        for day in range(1, DAYS):
            for at in range(0, len(self.points), 2_000):
                one = time.perf_counter()
                rows = slice(at, at + 2_000)
                stored += self._ingest(f"day{day}:{at}", rows, day * SLOTS, SLOTS)
                times.append(time.perf_counter() - one)
        self.figures["ingest_profiles_per_s"] = stored / (time.perf_counter() - began)
        self.figures["ingest_readings_a_batch"] = min(2_000, len(self.points)) * SLOTS
        self.figures["ingest_p50_batch_ms"] = statistics.median(times) * 1000

    def ingest_rows(self) -> None:
        """The same as a row a reading, in batches of as many, for a quarter of a million readings."""
        engine = sa.create_engine(f"sqlite:///{self.folder / 'rows.db'}")
        table = sa.Table(
            "reading",
            sa.MetaData(),
            sa.Column("point", sa.Integer, primary_key=True),
            sa.Column("start", sa.Integer, primary_key=True),
            sa.Column("wh", sa.Integer),
        )
        table.create(engine)
        began, done = time.perf_counter(), 0
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
            connection.exec_driver_sql("PRAGMA synchronous = FULL")
        for batch in range(2):
            values = self.wh[:1_300, batch * SLOTS : (batch + 1) * SLOTS].tolist()
            rows = [
                {"point": point, "start": SECONDS * (batch * SLOTS + slot), "wh": wh}
                for point, of in enumerate(values)
                for slot, wh in enumerate(of)
            ]
            with engine.begin() as connection:
                connection.execute(table.insert(), rows)
            done += len(rows)
        self.figures["ingest_rows_per_s"] = done / (time.perf_counter() - began)
        engine.dispose()

    def compact(self) -> None:
        """Days to files, and the days' files to the month's."""
        cpu, began = time.process_time(), time.perf_counter()
        early = ManualClock(MONTH.end)
        done = worker.compact(
            self.store, clock=early, settings=worker.CompactionSettings(day_settles=timedelta(0), grace=timedelta(0))
        )
        wall = time.perf_counter() - began
        self.figures["compaction_days_per_s"] = done.intervals / wall
        self.figures["compaction_days_per_cpu_s"] = done.intervals / (time.process_time() - cpu)
        cpu, began = time.process_time(), time.perf_counter()
        done = worker.compact(self.store, clock=self.clock, settings=worker.CompactionSettings(grace=timedelta(0)))
        wall = time.perf_counter() - began
        self.figures["compaction_month_per_s"] = done.intervals / wall
        self.figures["compaction_month_per_cpu_s"] = done.intervals / (time.process_time() - cpu)
        with self.store.read() as tx:
            (channel,) = readings.stats(tx).channels
        self.figures["bytes_per_interval"] = channel.bytes_per_interval
        self.paths = [str(path) for path in sorted((self.folder / "readings").glob("**/*-current-*.parquet"))]
        self.paths = [path for path in self.paths if f"+{DAYS}/" in path]

    # --- What is scanned: watt-hours by point and price period ---

    def ours(self) -> NDArray[np.int64]:
        """By our store, in as many threads as there are cores."""
        hours = np.arange(SLOTS) // 4
        period = np.select([np.isin(hours, PEAK), np.isin(hours, SHOULDER)], [2, 1], 0)

        def added(block: readings.IntervalBlock) -> NDArray[np.int64]:
            found = np.zeros((len(block.wh), 3), dtype=np.int64)
            self.add_days(block.wh, SLOTS, period, found)
            return found

        with self.store.read() as tx, ThreadPoolExecutor(THREADS) as pool:
            return np.concatenate(list(readings.scan_each(tx, added, period=MONTH, together=0, executor=pool)))

    def duckdb(self, duckdb: Any) -> NDArray[np.int64]:  # noqa: ANN401 - a peer's module
        """By DuckDB on the same files."""
        connection = duckdb.connect()
        connection.execute(f"SET threads = {THREADS}; SET TimeZone = 'UTC'")
        hour = "epoch_us(start) // 3600000000 % 24"
        rows = connection.execute(
            f"SELECT point, CASE WHEN {hour} BETWEEN 16 AND 20 THEN 2 WHEN {hour} BETWEEN 7 AND 15 THEN 1 ELSE 0 END p,"  # noqa: S608 - numbers
            " sum(wh) wh FROM read_parquet(?) GROUP BY ALL",
            [self.paths],
        ).fetchnumpy()
        return by_point(rows["point"], rows["p"], rows["wh"])

    def polars(self, polars: Any) -> NDArray[np.int64]:  # noqa: ANN401 - a peer's module
        """By Polars on the same files."""
        hour = polars.col("start").dt.hour()
        period = polars.when(hour.is_between(16, 20)).then(2).when(hour.is_between(7, 15)).then(1).otherwise(0)
        read = polars.scan_parquet(self.paths).with_columns(p=period)
        found = read.group_by("point", "p").agg(polars.col("wh").sum()).collect(engine="streaming")
        return by_point(found["point"].to_numpy(), found["p"].to_numpy(), found["wh"].to_numpy())

    def scan(self) -> None:
        """All in turn, several rounds; every answer must be the same."""
        runners: dict[str, Callable[[], NDArray[np.int64]]] = {"scan": self.ours}
        for name in ("duckdb", "polars"):
            try:
                module = importlib.import_module(name)
            except ImportError:
                print(f"{name} is not installed: left out", file=sys.stderr)
                continue
            runners[name] = partial(getattr(self, name), module)
        self._bandwidth()
        wanted = self.ours()
        times: dict[str, list[float]] = {name: [] for name in runners}
        for _ in range(ROUNDS):
            for name, run in runners.items():
                gc.collect()
                began = time.perf_counter()
                found = run()
                times[name].append(time.perf_counter() - began)
                assert np.array_equal(found, wanted), name
        for name, taken in times.items():
            self.figures[f"{name}_intervals_per_s"] = self.figures["intervals"] / statistics.median(taken)
        for peer in ("duckdb", "polars"):
            if peer in times:
                ratios = [theirs / ours for theirs, ours in zip(times[peer], times["scan"], strict=True)]
                self.figures[f"scan_times_{peer}"] = statistics.median(ratios)
        share = 4 * self.figures["scan_intervals_per_s"] / self.figures["memory_bytes_per_s"]
        self.figures["scan_share_of_memory"] = share

    def _bandwidth(self) -> None:
        block = np.ones(64 << 20, dtype=np.int32)
        parts = np.array_split(block, THREADS)
        with ThreadPoolExecutor(THREADS) as pool:
            rates = []
            for _ in range(ROUNDS):
                began = time.perf_counter()
                assert sum(pool.map(lambda part: int(part.sum(dtype=np.int32)), parts)) == len(block)
                rates.append(block.nbytes / (time.perf_counter() - began))
        self.figures["memory_bytes_per_s"] = statistics.median(rates)

    def point_reads(self, name: str) -> None:
        """One point's month, cold and warm in turn as chance has it."""
        random, times = np.random.default_rng(3), []
        for number in random.integers(0, len(self.points), POINT_READS).tolist():
            began = time.perf_counter()
            with self.store.read() as tx:
                one = readings.series(tx, service_point_id=self.points[number], period=MONTH)
            times.append(time.perf_counter() - began)
            assert len(one) == DAYS * SLOTS
        self.figures[f"{name}_p50_ms"] = statistics.median(times) * 1000
        self.figures[f"{name}_p99_ms"] = statistics.quantiles(times, n=100)[98] * 1000

    def corrections(self) -> None:
        """One in a thousand values corrected: ingested, then scanned over."""
        random = np.random.default_rng(5)
        count = int(self.figures["intervals"] * CORRECTED)
        cells = np.unique(random.integers(0, self.figures["intervals"], count))
        rows, slots = np.divmod(cells, DAYS * SLOTS)
        points = []
        for row in np.unique(rows).tolist():
            a, b = rows.searchsorted((row, row + 1))
            of = slots[a:b]
            self.wh[row, of] += 1
            starts = int(MARCH.timestamp()) + SECONDS * of
            quality = np.ones(len(of), dtype=np.uint8)
            series = readings_series(starts, self.wh[row, of].astype(np.int64), quality)
            points.append(readings.PointIntervals(self.points[row], readings.IMPORT, series))
        began = time.perf_counter()
        with self.store.write() as tx:
            batch = readings.IntervalBatch(id="corrections", source="benchmark", points=points)
            receipt = readings.ingest(tx, batch=batch, now=self.clock.now())
        assert receipt.revised == len(cells)
        self.figures["corrections"] = len(cells)
        self.figures["corrections_ms"] = (time.perf_counter() - began) * 1000
        began = time.perf_counter()
        found = self.ours()
        self.figures["scan_corrected_first_intervals_per_s"] = self.figures["intervals"] / (time.perf_counter() - began)
        began = time.perf_counter()
        found = self.ours()
        self.figures["scan_corrected_intervals_per_s"] = self.figures["intervals"] / (time.perf_counter() - began)
        assert int(found.sum()) == int(self.wh.sum(dtype=np.int64))
        with self.store.read() as tx:
            self._as_of(tx)

    def _as_of(self, tx: Transaction) -> None:
        began = time.perf_counter()
        before = readings.series(
            tx, service_point_id=self.points[0], period=MONTH, as_of=self.clock.now() - timedelta(days=1)
        )
        self.figures["as_of_ms"] = (time.perf_counter() - began) * 1000
        assert len(before) in (0, DAYS * SLOTS)


def by_point(points: NDArray[Any], periods: NDArray[Any], wh: NDArray[Any]) -> NDArray[np.int64]:
    """Sums by (point, period) from a peer's rows."""
    found = np.zeros((int(points.max()) + 1, 3), dtype=np.int64)
    found[points.astype(np.int64), periods.astype(np.int64)] = wh.astype(np.int64)
    return found


def readings_series(starts: NDArray[np.int64], wh: NDArray[np.int64], quality: NDArray[np.uint8]) -> Any:  # noqa: ANN401
    """A series of these columns."""
    from wattledger.kernel import IntervalSeries  # noqa: PLC0415 - beside its only use

    return IntervalSeries(starts, wh, quality, SECONDS)


AddDays = Callable[[NDArray[np.int32], int, NDArray[np.int64], NDArray[np.int64]], None]


def add_days_loop(wh: NDArray[np.int32], slots: int, period: NDArray[np.int64], found: NDArray[np.int64]) -> None:
    """Add up days of ``slots`` intervals by the period of each slot, in 64 bits: a loop for Numba."""
    total = np.empty(slots, dtype=np.int64)
    for row in range(wh.shape[0]):
        total[:] = 0
        for first in range(0, wh.shape[1], slots):
            day = wh[row, first : first + slots]  # of a slice Numba adds several values at a time
            for slot in range(slots):
                total[slot] += day[slot]
        for slot in range(slots):
            found[row, period[slot]] += total[slot]


def add_days_plainly(wh: NDArray[np.int32], slots: int, period: NDArray[np.int64], found: NDArray[np.int64]) -> None:
    """The same without Numba."""
    day = wh.reshape(len(wh), -1, slots).sum(axis=1, dtype=np.int64)
    for number in range(found.shape[1]):
        found[:, number] += day[:, period == number].sum(axis=1)


def add_days() -> AddDays:
    """By Numba where it is installed."""
    try:
        numba = importlib.import_module("numba")
    except ImportError:
        return add_days_plainly
    compiled: AddDays = numba.njit(nogil=True)(add_days_loop)
    return compiled


def main() -> None:
    """Run it and tell."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--points", type=int, default=20_000)
    arguments.add_argument("--json", action="store_true")
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), asked.points)
        bench.ingest()
        bench.ingest_rows()
        bench.point_reads("open_point_read")
        bench.compact()
        bench.point_reads("point_read")
        bench.scan()
        bench.corrections()
        bench.store.close()
    if asked.json:
        print(json.dumps(bench.figures, indent=2))
        return
    for name, value in bench.figures.items():
        print(f"{name:40} {value:>18,.2f}" if isinstance(value, float) else f"{name:40} {value:>18,}")


if __name__ == "__main__":
    main()
