"""Delivers weeks with corrections between, folds days and months; starts over from the beginning at every run."""

from __future__ import annotations

import sys
from datetime import timedelta

import numpy as np
from store_story import CORRECTIONS, DAYS, FIRST, POINTS, corrected, day_of
from victim import say, thinking_aloud

from wattledger import readings, registry, worker
from wattledger.kernel import IntervalSeries, ManualClock, epoch
from wattledger.readings import Folder
from wattledger.store import Store

_write = Folder.write


def _write_aloud(folder: Folder, path: str, data: bytes) -> None:
    say("writes")
    _write(folder, path, data)
    say("written")


Folder.write = _write_aloud  # type: ignore[method-assign, assignment]  # only so that kills fall between files too


def deliver(store: Store, batch: readings.IntervalBatch, clock: ManualClock) -> None:
    with store.write() as tx:
        readings.ingest(tx, batch=batch, now=clock.now())


def main(url: str, folder: str) -> None:
    store, clock = thinking_aloud(url), ManualClock(FIRST)
    store.migrate()
    with store.write() as tx:
        if registry.unknown_points(tx, service_point_ids=POINTS):
            registry.add_premise(tx, premise_id="here", kind="home", address="Here", zone="UTC")
            for point in POINTS:
                registry.add_service_point(tx, service_point_id=point, premise_id="here")
    settings = worker.CompactionSettings(
        files=folder, day_settles=timedelta(0), month_settles=timedelta(0), grace=timedelta(0), late=True
    )
    for day in range(DAYS):
        clock.move_to(FIRST + timedelta(days=day + 1))
        table = readings.TableIntervals("import", POINTS, FIRST + timedelta(days=day), 900, day_of(day))
        deliver(store, readings.IntervalBatch(f"day-{day}", "victim", tables=[table]), clock)
        if day % 3 == 2:
            number = day // 3
            points = [
                readings.PointIntervals(
                    POINTS[row],
                    "import",
                    IntervalSeries(
                        epoch(FIRST) + 900 * slots, corrected(row, slots, number), np.ones(len(slots), np.uint8), 900
                    ),
                )
                for row, slots in CORRECTIONS[number]
            ]
            deliver(store, readings.IntervalBatch(f"late-{number}", "victim", points=points), clock)
        if day % 2:
            worker.compact(store, clock=clock, settings=settings)
    worker.compact(store, clock=clock, settings=settings)
    say("done")


if __name__ == "__main__":
    main(*sys.argv[1:])
