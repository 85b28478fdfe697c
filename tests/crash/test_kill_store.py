"""``kill -9`` while readings come and are folded: nothing is lost, nothing doubled, nothing left lying about."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from store_story import DAYS, FIRST, POINTS, as_it_ends, day_of

from wattledger import readings, registry, worker
from wattledger.kernel import ManualClock, Period
from wattledger.store import Store

KILLS = int(os.environ.get("WATTLEDGER_KILLS", "1"))
ROUNDS = max(1, KILLS // 3)
"""Each kills about three times; ``WATTLEDGER_KILLS=200`` kills that often."""
WHOLE = Period(FIRST, FIRST + timedelta(days=DAYS))


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_killed_while_readings_come_and_are_folded(
    database_url: str, tmp_path: Path, kill_until_done: Callable[..., int], seed: int
) -> None:
    files = tmp_path / "files"
    assert kill_until_done("store_victim.py", database_url, str(files), kills=min(KILLS, 5), seed=seed, lines_max=200)
    store = Store(database_url)
    with store.read() as tx:
        assert readings.verify(tx) == []
        found = readings.series_of_points(tx, service_point_ids=POINTS, period=WHOLE)
        assert np.array_equal(np.stack([found[point].values for point in POINTS]), as_it_ends())
        then = readings.series_of_points(
            tx, service_point_ids=POINTS, period=WHOLE, as_of=FIRST + timedelta(days=1, hours=1)
        )
        assert np.array_equal(np.stack([then[point].values for point in POINTS]), day_of(0))
        told = readings.stats(tx)
        assert [channel.segments for channel in told.channels] == [0]
        listed = {str(files / path) for path in readings.listed_files(tx)}
    assert {str(path) for path in files.rglob("*") if path.is_file()} == listed
    store.close()


def test_two_compactors_at_once_do_the_work_of_one(store: Store, tmp_path: Path) -> None:
    clock = ManualClock(FIRST + timedelta(days=DAYS))
    with store.write() as tx:
        registry.add_premise(tx, premise_id="here", kind="home", address="Here", zone="UTC")
        for point in POINTS:
            registry.add_service_point(tx, service_point_id=point, premise_id="here")
        for day in range(DAYS):
            table = readings.TableIntervals("import", POINTS, FIRST + timedelta(days=day), 900, day_of(day))
            batch = readings.IntervalBatch(f"day-{day}", "test", tables=[table])
            readings.ingest(tx, batch=batch, now=clock.now())
    settings = worker.CompactionSettings(files=str(tmp_path / "files"), day_settles=timedelta(0))
    done: list[readings.Compacted] = []
    threads = [
        threading.Thread(target=lambda: done.append(worker.compact(store, clock=clock, settings=settings)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.intervals for one in done) == [0, len(POINTS) * (28 * 96 + 5 * 96)]
    with store.read() as tx:
        assert readings.verify(tx) == []
