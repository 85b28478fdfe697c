"""The store: files and segments laid over each other answer as a plain list of everything that came would."""

from __future__ import annotations

import itertools
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from grid import Grid
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wattledger import readings, registry, worker
from wattledger.kernel import IntervalSeries, ManualClock, Period, Quality, epoch, from_epoch

DAY, SLOT = 86_400, 900
FIRST = epoch(datetime.fromisoformat("2026-01-30T00:00:00+00:00"))  # two days before a month's end
WHOLE = Period.of_epochs(FIRST, FIRST + 5 * DAY)
_runs = itertools.count()


@pytest.fixture
def net(grid: Grid) -> Grid:
    grid.publish()
    grid.homes(1, mode="postpay")
    return grid


class Remembered:
    """What a store should answer: every value that came, in order."""

    def __init__(self) -> None:
        self.given: dict[tuple[str, int], list[tuple[int, int, int]]] = defaultdict(list)

    def bring(self, version: int, point: str, values: dict[int, tuple[int, int]]) -> None:
        for start, value in values.items():
            before = self.given[point, start]
            last = before[-1][1:] if before else (0, 0)
            if last[1] != value[1] or (value[1] and last != value):
                before.append((version, *value))

    def at(self, point: str, version: int) -> dict[int, tuple[int, int]]:
        found = {}
        for (of, start), given_ in self.given.items():
            known = [value for value in given_ if value[0] <= version]
            if of == point and known and known[-1][2]:
                found[start] = known[-1][1:]
        return found


def told(series: IntervalSeries) -> dict[int, tuple[int, int]]:
    columns = (series.starts.tolist(), series.values.tolist(), series.qualities.tolist())
    return {start: (value, quality) for start, value, quality in zip(*columns, strict=True)}


values = st.dictionaries(
    st.integers(0, 4 * 96 - 1).map(lambda slot: FIRST + SLOT * slot),
    st.tuples(st.integers(0, 9), st.sampled_from([1, 1, 1, 2, 3, 0])),
    min_size=1,
    max_size=40,
)
batch = st.tuples(st.just("batch"), st.dictionaries(st.integers(0, 3), values, min_size=1, max_size=3))
compaction = st.tuples(st.just("compact"), st.sampled_from([1, 2, 3, 8, 40]))
steps = st.lists(st.one_of(batch, batch, compaction), min_size=1, max_size=9)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_whatever_came_and_was_folded_when_the_answer_is_the_same(
    net: Grid, tmp_path: Path, steps: list[tuple[str, object]]
) -> None:
    run, kept = next(_runs), Remembered()
    points = [f"{run}-{number}" for number in range(4)]
    with net.store.write() as tx:
        for point in points:
            registry.add_service_point(tx, service_point_id=point, premise_id="h0")
    marks: list[tuple[int, datetime]] = []
    version = 0
    for number, (what, content) in enumerate(steps):
        net.clock.advance(timedelta(seconds=1))
        if what == "compact":
            then = ManualClock(from_epoch(FIRST + int(content) * DAY))  # type: ignore[call-overload]
            worker.compact(
                net.store, clock=then, settings=worker.CompactionSettings(files=str(tmp_path / "files"), late=True)
            )
        else:
            version += 1
            series = {}
            for which, cells in content.items():  # type: ignore[attr-defined]
                kept.bring(version, points[which], cells)
                starts = np.array(sorted(cells), dtype=np.int64)
                wh = np.array([cells[start][0] for start in starts.tolist()], dtype=np.int64)
                quality = np.array([cells[start][1] for start in starts.tolist()], dtype=np.uint8)
                series[points[which]] = IntervalSeries(starts, wh, quality, SLOT)
            with net.store.write() as tx:
                receipt = readings.ingest(tx, batch=net.batch(f"{run}:{number}", series), now=net.clock.now())
                assert receipt.stored + receipt.duplicate + receipt.revised == sum(map(len, series.values()))
                # Who ingested sees it at once.
                for point in points:
                    one = readings.series(tx, service_point_id=point, period=WHOLE)
                    assert told(one) == kept.at(point, version)
            marks.append((version, net.clock.now()))
        _agree(net, kept, points, version, marks)
    with net.store.read() as tx:
        assert readings.verify(tx) == []


def _agree(net: Grid, kept: Remembered, points: list[str], version: int, marks: list[tuple[int, datetime]]) -> None:
    with net.store.read() as tx:
        found = readings.series_of_points(tx, service_point_ids=points, period=WHOLE)
        for point in points:
            assert told(found.get(point, IntervalSeries.empty())) == kept.at(point, version)
        for then, instant in marks[-3:]:
            past = readings.series_of_points(tx, service_point_ids=points, period=WHOLE, as_of=instant)
            for point in points:
                assert told(past.get(point, IntervalSeries.empty())) == kept.at(point, then)
        scanned = {}
        for block in readings.scan(tx, period=WHOLE, service_point_ids=points, together=3):
            starts = epoch(block.first) + block.seconds * np.arange(block.wh.shape[1])
            for row, point in enumerate(block.service_point_ids):
                known = block.quality[row] != Quality.MISSING
                columns = (starts[known], block.wh[row][known], block.quality[row][known])
                scanned[point] = {s: (w, q) for s, w, q in zip(*(c.tolist() for c in columns), strict=True)}
        assert scanned == {point: kept.at(point, version) for point in points if kept.at(point, version)}
        for point in points:
            every = readings.versions(tx, service_point_id=point, period=WHOLE)
            expected = sorted(
                (start, value) for (of, start), given_ in kept.given.items() if of == point for value in given_
            )
            assert [(epoch(one.start), (one.wh, one.quality)) for one in every] == [
                (start, value[1:]) for start, value in expected
            ]
