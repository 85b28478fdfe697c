"""What meters say becomes intervals: whatever came when, in whatever cut, and nothing that was not measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from grid import MARCH, ZONE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wattledger import readings, registry
from wattledger.app._headend import MeterNotInstalled, ReadingsSink
from wattledger.app._system import deliver_in
from wattledger.headend import Channel, Delivery, ProfileRows, Register, RowStatus
from wattledger.kernel import Period, Quality, epoch, from_epoch, new_id
from wattledger.store import Store

IMPORT, EXPORT, COUNTED = "1-0:1.8.0", "1-0:2.8.0", "1-0:1.29.0"
START = epoch(MARCH)
DAY = Period(MARCH - timedelta(days=1), MARCH + timedelta(days=3))


class Wall:
    """A service point of its own in the store, with one meter after another on it."""

    def __init__(self, store: Store) -> None:
        self.store, self.point = store, new_id("sp")
        self.sink = ReadingsSink(deliver_in)
        with store.write() as tx:
            registry.add_premise(tx, premise_id=self.point, kind="home", address="", zone=ZONE)
            registry.add_service_point(tx, service_point_id=self.point, premise_id=self.point)

    def hang(self, slot: int = -96) -> str:
        meter = new_id("m")
        with self.store.write() as tx:
            registry.install_meter(
                tx,
                meter_id=meter,
                serial=meter,
                service_point_id=self.point,
                interval_seconds=900,
                at=from_epoch(START + 900 * slot),
            )
        return meter

    def take(self, *deliveries: Delivery) -> None:
        with self.store.write() as tx:
            self.sink.take(tx, deliveries=deliveries, now=MARCH + timedelta(days=2))

    def kept(self, channel: str = readings.IMPORT) -> dict[int, tuple[int, Quality]]:
        """Wh and quality by slot, counted from midnight."""
        with self.store.read() as tx:
            series = readings.series(tx, service_point_id=self.point, period=DAY, channel=channel)
        return {
            (start - START) // 900: (value, Quality(quality))
            for start, value, quality in zip(
                series.starts.tolist(), series.values.tolist(), series.qualities.tolist(), strict=True
            )
            if quality != Quality.MISSING
        }

    def wh(self) -> dict[int, int]:
        return {slot: value for slot, (value, _) in self.kept().items()}


@pytest.fixture
def wall(store: Store) -> Callable[[], Wall]:
    return lambda: Wall(store)


def rows(
    meter: str,
    first: int,
    values: Sequence[int],
    *,
    name: str = IMPORT,
    scale: int = 0,
    status: Sequence[int] | None = None,
    unit: str = "Wh",
) -> Delivery:
    """Rows of successive slots. Of a register: what it stands at when the slot ends."""
    starts = START + 900 * np.arange(first, first + len(values), dtype=np.int64)
    content = ProfileRows(
        channels=(Channel(name=name, scale=scale, unit=unit),),
        starts=starts,
        values=np.array(values, dtype=np.int64).reshape(-1, 1),
        status=np.array(status or [0] * len(values), dtype=np.uint8),
    )
    return Delivery(
        meter_id=meter,
        profile="1-0:99.1.0",
        seconds=900,
        start=int(starts[0]),
        end=int(starts[-1]) + 900,
        rows=content,
        read_at=MARCH,
    )


def test_the_use_of_a_slot_is_the_difference_of_the_registers_at_its_edges(wall: Callable[[], Wall]) -> None:
    home = wall()
    meter = home.hang()
    home.take(rows(meter, 0, [1000, 1100, 1100, 1250]))
    assert home.kept() == {slot: (value, Quality.ACTUAL) for slot, value in ((1, 100), (2, 0), (3, 150))}
    home.take(rows(meter, 4, [1300]))  # the next read bridges from the last
    home.take(rows(meter, -1, [990]))  # and so does one from before
    assert home.wh() == {0: 10, 1: 100, 2: 0, 3: 150, 4: 50}


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    used=st.lists(st.integers(0, 5_000), min_size=2, max_size=30),
    cuts=st.lists(st.integers(0, 30), max_size=6),
    order=st.randoms(use_true_random=False),
    again=st.booleans(),
)
def test_any_cut_in_any_order_and_twice_gives_the_same(
    wall: Callable[[], Wall], used: list[int], cuts: list[int], order: Random, *, again: bool
) -> None:
    home = wall()
    meter = home.hang()
    register = [7_000 + sum(used[: slot + 1]) for slot in range(len(used))]
    edges = sorted({0, len(used), *(cut for cut in cuts if cut < len(used))})
    parts = [rows(meter, first, register[first:end]) for first, end in pairwise(edges)]
    order.shuffle(parts)
    for part in parts:
        home.take(part)
    if again:
        home.take(*parts)
    assert home.wh() == dict(enumerate(used[1:], start=1))


def test_a_register_that_begins_anew_goes_on_counting(wall: Callable[[], Wall]) -> None:
    home = wall()
    meter = home.hang()
    home.take(rows(meter, 0, [99_800, 99_950, 30, 130]))
    assert home.wh() == {1: 150, 2: 80, 3: 100}


def test_of_a_register_that_falls_for_no_reason_nothing_is_made_up(wall: Callable[[], Wall]) -> None:
    home = wall()
    meter = home.hang()
    home.take(rows(meter, 0, [50_000, 50_100, 400, 500]))
    assert home.wh() == {1: 100, 3: 100}


def test_an_exchange_of_meters_is_no_use(wall: Callable[[], Wall]) -> None:
    home = wall()
    old = home.hang()
    home.take(rows(old, 0, [1000, 1100, 1200]))
    new = home.hang(slot=3)
    home.take(rows(new, 3, [5, 25, 65]), rows(old, 2, [1200, 1300]))  # what hangs nowhere any more does not count
    assert home.wh() == {1: 100, 2: 100, 4: 20, 5: 40}


def test_the_edge_at_which_a_meter_was_exchanged_belongs_to_the_interval_before(wall: Callable[[], Wall]) -> None:
    home = wall()
    old = home.hang()
    new = home.hang(slot=2)
    home.take(rows(old, 0, [100, 200, 300]), rows(new, 1, [1, 2, 5]))
    assert home.wh() == {1: 100, 3: 3}


def test_what_the_meter_itself_doubts_is_suspect(wall: Callable[[], Wall]) -> None:
    home = wall()
    meter = home.hang()
    home.take(rows(meter, 0, [10, 20, 40, 70], status=[0, RowStatus.CLOCK_INVALID, RowStatus.DST, 0]))
    assert {slot: quality for slot, (_, quality) in home.kept().items()} == {
        1: Quality.SUSPECT,
        2: Quality.ACTUAL,
        3: Quality.ACTUAL,
    }


def test_energy_that_is_counted_by_interval_is_taken_as_it_is(wall: Callable[[], Wall]) -> None:
    home = wall()
    meter = home.hang()
    home.take(rows(meter, 0, [100, 0, 250], name=COUNTED, status=[0, RowStatus.NOT_VALID, 0]))
    assert home.kept() == {0: (100, Quality.ACTUAL), 1: (0, Quality.SUSPECT), 2: (250, Quality.ACTUAL)}


def test_a_profile_that_tells_registers_and_intervals_is_taken_by_its_intervals(wall: Callable[[], Wall]) -> None:
    home = wall()
    meter = home.hang()
    counted = rows(meter, 0, [100, 150, 250], name=COUNTED)
    home.take(rows(meter, 0, [1, 151, 402]), counted)
    assert home.wh() == {0: 100, 1: 150, 2: 250}


def test_scales_units_and_other_channels(wall: Callable[[], Wall]) -> None:
    home = wall()
    meter = home.hang()
    home.take(rows(meter, 0, [1, 3, 4], scale=3))  # kWh
    assert home.wh() == {1: 2_000, 2: 1_000}
    home.take(rows(meter, 3, [40_019, 40_030], scale=-1))  # tenths: what is left off comes with the next
    assert home.wh() == {1: 2_000, 2: 1_000, 3: 1, 4: 2}
    home.take(rows(meter, 0, [500, 600], name=EXPORT))
    assert {slot: wh for slot, (wh, _) in home.kept(readings.EXPORT).items()} == {1: 100}
    home.take(rows(meter, 9, [1, 2], name="1-0:31.7.0", unit="A"))
    assert len(home.wh()) == 4


def test_registers_between_two_profiles_are_kept(wall: Callable[[], Wall]) -> None:
    home = wall()
    meter = home.hang()
    read = Register(channel=Channel(name=IMPORT, scale=1), value=77, at=START + 100)
    voltage = Register(channel=Channel(name="1-0:32.7.0", unit="V"), value=230, at=START + 100)
    for _ in range(2):
        with home.store.write() as tx:
            home.sink.take_registers(tx, registers=[(meter, [read, voltage]), ("nobody", [read])], now=MARCH)
    with home.store.read() as tx:
        kept = readings.registers_of_points(tx, service_point_ids=[home.point], channel=readings.IMPORT)
    assert kept[home.point].wh.tolist() == [770]
    assert list(kept[home.point].meters) == [meter]


def test_a_read_that_brought_nothing_changes_nothing(wall: Callable[[], Wall]) -> None:
    home = wall()
    meter = home.hang(slot=5)
    home.take(rows(meter, 0, [1, 2]))  # before it hung there
    assert home.kept() == {}
    home.take(rows(meter, 4, [1, 2, 4]), rows(meter, 0, [1, 2]))
    assert home.wh() == {6: 2}


def test_only_registers_that_a_later_read_can_join_are_kept(wall: Callable[[], Wall]) -> None:
    home = wall()
    meter = home.hang()
    for first in (0, 4, 12, 8):
        home.take(rows(meter, first, [100 + slot for slot in range(first, first + 4)]))
    assert home.wh() == dict.fromkeys(range(1, 16), 1)
    with home.store.read() as tx:
        kept = readings.registers_of_points(tx, service_point_ids=[home.point], channel=readings.IMPORT)[home.point]
    assert ((kept.at - START) // 900).tolist() == [1, 4, 8, 13, 16]


def test_rows_of_a_meter_that_hangs_nowhere_are_refused_and_nothing_is_kept(wall: Callable[[], Wall]) -> None:
    home = wall()
    meter = home.hang()
    with pytest.raises(MeterNotInstalled, match="stray"):
        home.take(rows(meter, 0, [1, 2]), rows("stray", 0, [1, 2]))
    assert home.wh() == {}


def test_half_hours_and_quarter_hours_in_one_batch(wall: Callable[[], Wall]) -> None:
    home, other = wall(), wall()
    meter, half = home.hang(), other.hang()
    slow = rows(half, 0, [10, 30])
    starts = START + 1_800 * np.arange(2, dtype=np.int64)
    content = ProfileRows(channels=slow.rows.channels, starts=starts, values=slow.rows.values, status=slow.rows.status)
    longer = Delivery(
        meter_id=half, profile="p", seconds=1_800, start=START, end=START + 3_600, rows=content, read_at=MARCH
    )
    home.take(rows(meter, 0, [1, 3]), longer)
    assert home.wh() == {1: 2}
    assert other.wh() == {2: 20}
