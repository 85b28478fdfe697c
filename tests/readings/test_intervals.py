import itertools
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from grid import MARCH, SLOT, Grid, intervals
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wattledger import readings, registry
from wattledger.kernel import IntervalSeries, Period, Quality, epoch

_runs = itertools.count()

DAY = Period(MARCH, MARCH + timedelta(days=1))


def stored(grid: Grid, point: str = "h0", period: Period = DAY) -> IntervalSeries:
    with grid.store.read() as tx:
        return readings.series(tx, service_point_id=point, period=period)


def ingest(grid: Grid, batch_id: str, series: dict[str, IntervalSeries]) -> readings.Receipt:
    with grid.store.write() as tx:
        return readings.ingest(tx, batch=grid.batch(batch_id, series), now=grid.clock.now())


@pytest.fixture
def two(grid: Grid) -> Grid:
    grid.publish()
    grid.homes(2, mode="postpay")
    return grid


def test_what_went_in_comes_out(two: Grid) -> None:
    receipt = ingest(two, "b", {"h0": intervals([5, 6, 7]), "h1": intervals([1])})
    assert (receipt.stored, receipt.duplicate, receipt.revised) == (4, 0, 0)
    assert stored(two).values.tolist() == [5, 6, 7]
    assert stored(two).kilowatt_hours * 1000 == 18
    assert stored(two, period=Period(MARCH + SLOT, MARCH + 2 * SLOT)).values.tolist() == [6]


def test_a_batch_across_utc_days_and_a_gap(two: Grid) -> None:
    series = intervals(list(range(200)))
    keep = np.r_[0:50, 100:200]
    gappy = IntervalSeries(series.starts[keep], series.values[keep], series.qualities[keep], 900)
    assert ingest(two, "b", {"h0": gappy}).stored == 150
    out = stored(two, period=Period(MARCH, MARCH + timedelta(days=3)))
    assert out.starts.tolist() == gappy.starts.tolist()
    assert out.values.tolist() == gappy.values.tolist()


def test_the_same_batch_again_changes_nothing(two: Grid) -> None:
    ingest(two, "b", {"h0": intervals([5, 6])})
    again = ingest(two, "b", {"h0": intervals([5, 6])})
    other_id = ingest(two, "c", {"h0": intervals([5, 6, 7])})
    assert (again.stored, again.duplicate, again.changes) == (0, 2, ())
    assert (other_id.stored, other_id.duplicate) == (1, 2)
    assert other_id.changes[0].series.values.tolist() == [7]


def test_the_same_id_with_other_content_is_refused(two: Grid) -> None:
    ingest(two, "b", {"h0": intervals([5, 6])})
    with pytest.raises(readings.BatchConflict, match="other content"):
        ingest(two, "b", {"h0": intervals([5, 9])})
    assert stored(two).values.tolist() == [5, 6]


def test_another_value_replaces_and_the_first_is_kept(two: Grid) -> None:
    ingest(two, "b", {"h0": intervals([5, 6], quality=Quality.ESTIMATED)})
    receipt = ingest(two, "c", {"h0": intervals([5, 9])})
    assert (receipt.stored, receipt.revised) == (0, 2)
    assert receipt.changes[0].revised
    assert stored(two).values.tolist() == [5, 9]
    with two.store.read() as tx:
        rows = readings.revisions(tx, service_point_id="h0", period=DAY)
    assert [(r.wh_before, r.quality_before, r.wh_after, r.quality_after) for r in rows] == [
        (5, Quality.ESTIMATED, 5, Quality.ACTUAL),
        (6, Quality.ESTIMATED, 9, Quality.ACTUAL),
    ]


@pytest.mark.parametrize(
    ("series", "problem", "said"),
    [
        ({"nowhere": intervals([1])}, registry.ServicePointUnknown, "nowhere"),
        ({"h0": intervals([1], start=MARCH + timedelta(minutes=7))}, readings.BatchRefused, "grid"),
        ({"h0": intervals([-1])}, readings.BatchRefused, "less than no energy"),
        ({"h0": intervals([2**31])}, readings.BatchRefused, "2,147,483,647"),
    ],
)
def test_a_bad_batch_is_refused_whole(
    two: Grid, series: dict[str, IntervalSeries], problem: type[Exception], said: str
) -> None:
    with pytest.raises(problem, match=said):
        ingest(two, "b", {"h1": intervals([3]), **series})
    assert len(stored(two, "h1")) == 0


def of_length(seconds: int, count: int, *, start: datetime = MARCH, wh: int = 5) -> IntervalSeries:
    starts = epoch(start) + seconds * np.arange(count, dtype=np.int64)
    return IntervalSeries(starts, np.full(count, wh, dtype=np.int64), np.ones(count, dtype=np.uint8), seconds)


def test_intervals_of_two_lengths_for_one_time_are_refused(two: Grid) -> None:
    ingest(two, "before", {"h0": of_length(1800, 2, start=MARCH - timedelta(days=9))})
    ingest(two, "b", {"h0": of_length(900, 3, start=MARCH + timedelta(days=1, minutes=45))})
    for minutes in (30, 60, 75):
        at = MARCH + timedelta(days=1, minutes=minutes // 30 * 30)
        with pytest.raises(readings.BatchRefused, match=r"h0 import has 900-second"):
            ingest(two, "c", {"h0": of_length(1800, 1, start=at)})
    # Several points and days in one batch: the clash is on the first point's second day.
    with pytest.raises(readings.BatchRefused, match=r"h0 import has 900-second"):
        ingest(two, "d", {home: of_length(1800, 96) for home in ("h0", "h1")})
    assert len(stored(two, "h1")) == 0


def test_the_interval_length_may_change_within_a_day(two: Grid) -> None:
    noon = MARCH + timedelta(hours=12)
    ingest(two, "after", {"h0": of_length(300, 144, start=noon)})
    receipt = ingest(two, "before", {"h0": of_length(1800, 24), "h1": of_length(1800, 48)})
    assert receipt.stored == 72
    with two.store.read() as tx:
        lengths = readings.series_by_length(tx, service_point_ids=["h0", "h1", "h2"], period=DAY)
        at_end = readings.series(tx, service_point_id="h0", period=DAY)
    assert [(one.seconds, len(one)) for one in lengths["h0"]] == [(1800, 24), (300, 144)]
    assert [(one.seconds, len(one)) for one in lengths["h1"]] == [(1800, 48)]
    assert at_end.seconds == 300
    assert "h2" not in lengths
    gone = IntervalSeries(np.array([epoch(noon)]), np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.uint8), 300)
    for six in range(6):
        ingest(two, f"gone {six}", {"h0": replace(gone, starts=gone.starts + 300 * six)})
    assert ingest(two, "instead", {"h0": of_length(1800, 1, start=noon)}).stored == 1


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(st.integers(0, 10**6), min_size=1, max_size=250),
    cuts=st.lists(st.integers(0, 250), max_size=6),
    shuffle=st.randoms(use_true_random=False),
)
def test_any_cut_in_any_order_twice_gives_the_same_history(
    two: Grid, values: list[int], cuts: list[int], shuffle: object
) -> None:
    whole, run = intervals(values), next(_runs)
    with two.store.write() as tx:  # a fresh point for each example
        point = f"p{run}"
        registry.add_service_point(tx, service_point_id=point, premise_id="h0")
    edges = sorted({0, len(values), *(c for c in cuts if c < len(values))})
    pieces = [
        IntervalSeries(whole.starts[a:b], whole.values[a:b], whole.qualities[a:b], 900)
        for a, b in itertools.pairwise(edges)
    ]
    order = list(enumerate(pieces)) * 2
    shuffle.shuffle(order)  # type: ignore[attr-defined]  # Hypothesis's Random
    counted = 0
    for number, piece in order:
        receipt = ingest(two, f"{run}:{number}", {point: piece})
        assert receipt.stored + receipt.duplicate == len(piece)
        counted += receipt.stored
    assert counted == len(values)
    assert stored(two, point, Period(MARCH, MARCH + timedelta(days=4))).values.tolist() == values


def test_arrivals_count_channels_by_slot(two: Grid) -> None:
    ingest(two, "b", {"h0": intervals([5, 6, 7]), "h1": intervals([1])})
    with two.store.read() as tx:
        slots = readings.arrivals(tx, period=Period(MARCH, MARCH + 4 * SLOT))
        assert [slot.count for slot in slots] == [2, 1, 1, 0]
        assert readings.collected(tx).stored_total == 4
        assert readings.collected(tx).last_interval_start == MARCH + 2 * SLOT
