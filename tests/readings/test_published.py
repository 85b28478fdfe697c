"""Published as Delta tables, history is read by others as we read it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from store_story import FIRST, POINTS, day_of

from wattledger import readings, registry, worker
from wattledger.kernel import ManualClock, Period
from wattledger.store import Store

pytest.importorskip("deltalake")


def compacted(store: Store, folder: Path, *, days: int) -> None:
    settings = worker.CompactionSettings(
        files=str(folder), day_settles=timedelta(0), month_settles=timedelta(0), grace=timedelta(0), late=True
    )
    worker.compact(store, clock=ManualClock(FIRST + timedelta(days=days)), settings=settings)


def published(store: Store) -> readings.PublishedTable:
    with store.read() as tx:
        (table,) = readings.publish_delta(tx)
    return table


def test_others_read_what_is_published(store: Store, tmp_path: Path) -> None:
    with store.write() as tx:
        registry.add_premise(tx, premise_id="here", kind="home", address="Here", zone="UTC")
        for point in POINTS:
            registry.add_service_point(tx, service_point_id=point, premise_id="here")
        for day in range(3):
            table = readings.TableIntervals("import", POINTS, FIRST + timedelta(days=day), 900, day_of(day))
            batch = readings.IntervalBatch(f"day-{day}", "test", tables=[table])
            readings.ingest(tx, batch=batch, now=FIRST + timedelta(days=day + 1))
    compacted(store, tmp_path / "files", days=2)
    assert (published(store).added, published(store).added) == (2, 0)
    compacted(store, tmp_path / "files", days=3)
    compacted(store, tmp_path / "files", days=10)  # the month: one file for all
    last = published(store)
    assert (last.added, last.removed, last.files) == (0, 0, 1)  # each compaction published what it folded
    compacted(store, tmp_path / "files", days=11)  # sweeps nothing of what was published
    found = (
        pl.scan_delta(last.uri)
        .filter(pl.col("flag") > 0)
        .join(pl.scan_delta(str(tmp_path / "files" / "_series")), on="point")
        .sort("service_point_id", "start")
        .collect()
    )
    with store.read() as tx:
        period = Period(FIRST, FIRST + timedelta(days=3))
        known = readings.series_of_points(tx, service_point_ids=POINTS, period=period)
        assert readings.verify(tx) == []
    assert found["wh"].to_list() == np.concatenate([known[point].values for point in sorted(POINTS)]).tolist()
