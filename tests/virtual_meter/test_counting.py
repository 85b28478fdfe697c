"""Whatever happens to a meter, what its rows say and what its registers say is the same energy."""

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattledger.virtual_meter import DayLoad, Fault, SeriesLoad

START = 1_773_122_400  # 2026-03-10 06:00 UTC
DAY = st.lists(st.integers(0, 5_000), min_size=24, max_size=24).map(lambda wh: DayLoad(np.array(wh, dtype=np.int64)))
EVENTS = ("wait", "off", "on", "magnet", "power", "limit", "calendar")


@given(
    day=st.lists(st.integers(0, 10**6), min_size=1, max_size=96).filter(lambda wh: 86_400 % len(wh) == 0),
    at=st.integers(0, 10**9),
)
def test_a_day_has_its_load_wherever_it_begins(day: list[int], at: int) -> None:
    load = DayLoad(np.array(day, dtype=np.int64))
    first, last = load.counted(np.array([at, at + 86_400], dtype=np.int64)).tolist()
    assert last - first == sum(day)


@given(
    values=st.lists(st.integers(0, 10**6), min_size=1, max_size=50),
    cuts=st.lists(st.integers(-(10**4), 10**5), max_size=20),
)
def test_a_series_is_conserved_and_never_falls(values: list[int], cuts: list[int]) -> None:
    load = SeriesLoad(start=START, seconds=900, values=np.array(values, dtype=np.int64))
    edges = np.array([START - 10**5, *sorted(START + cut for cut in cuts), START + 10**6], dtype=np.int64)
    steps = np.diff(load.counted(edges))
    assert (steps >= 0).all()
    assert steps.sum() == sum(values)


def test_a_load_is_refused_that_is_none() -> None:
    for wrong in ([], [1] * 7, [-1, 1]):
        with pytest.raises(ValueError, match="load"):
            DayLoad(np.array(wrong, dtype=np.int64))
    with pytest.raises(ValueError, match="negative"):
        SeriesLoad(start=0, seconds=900, values=np.array([-1]))


@settings(max_examples=25, deadline=None)
@given(load=DAY, events=st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(1, 300)), max_size=10))
def test_the_rows_add_up_to_the_register(
    make_meter: Callable[..., Any], load: DayLoad, events: list[tuple[str, int]]
) -> None:
    bench = make_meter(load=load, register_wh=77, mode=4)
    meter, begun = bench.meter, bench.clock.now()
    bench.wait(minutes=15)
    for event, minutes in events:
        match event:
            case "off":
                meter.switch("remote disconnect")
            case "on":
                meter.switch("remote reconnect")
            case "magnet":
                meter.show_fault(Fault.MAGNET, shown=Fault.MAGNET not in meter.faults)
            case "power":
                meter.show_fault(Fault.POWER_DOWN, shown=Fault.POWER_DOWN not in meter.faults)
            case "limit":
                meter.limit(minutes * 10)
            case "calendar":
                meter.set_special_days(())
        bench.wait(minutes=minutes)
    meter.show_fault(Fault.POWER_DOWN, shown=False)
    bench.wait(minutes=16)
    last = bench.at // 900 * 900
    rows = bench.between("1-0:99.1.0", begun, bench.clock.now())
    registers = [row[2] for row in rows]
    assert all(before <= after for before, after in pairwise(registers))
    used = sum(after - before for before, after in pairwise([77, *registers]))
    counted = meter.imported(np.array([last], dtype=np.int64))[0] - 77
    assert used == counted
    assert sum(meter.by_rate(bench.at).values()) == bench.register
    assert bench.read(3, "1-0:1.8.0") == bench.register


def test_many_switchings_lose_no_energy(made: Callable[..., Any]) -> None:
    bench = made(watts=3_600, exported=DayLoad(np.full(24, 1_800, dtype=np.int64)))
    for _ in range(300):
        bench.wait(minutes=1)
        bench.meter.switch("remote disconnect")
        bench.wait(minutes=1)
        bench.meter.switch("remote reconnect")
    at = np.array([bench.at], dtype=np.int64)
    assert bench.register == 300 * 60
    assert bench.meter.sent_out(at)[0] == 300 * 30
    assert sum(bench.meter.by_rate(bench.at).values()) == 300 * 60


def test_rollover_begins_anew(made: Callable[..., Any]) -> None:
    bench = made(watts=1_000, register_wh=99_900)
    bench.meter.show_fault(Fault.ROLLOVER)
    bench.wait(hours=1)
    assert bench.read(3, "1-0:1.8.0") == 900
    assert bench.register == 100_900


@pytest.mark.parametrize(
    ("fault", "counted", "codes"),
    [(Fault.MAGNET, 600, [42, 43]), (Fault.BYPASS, 500, [40, 41]), (Fault.COVER_OPENED, 1_000, [44, 45])],
)
def test_tampers_are_logged_and_count_less(
    made: Callable[..., Any], fault: Fault, counted: int, codes: list[int]
) -> None:
    bench = made(watts=1_000)
    bench.meter.show_fault(fault)
    assert bench.read(1, "0-0:97.98.0")
    bench.wait(hours=1)
    bench.meter.show_fault(fault, shown=False)
    assert bench.register == counted
    assert bench.codes(1) == codes
    assert not bench.read(1, "0-0:97.98.0")


def test_a_power_failure_leaves_no_rows_and_is_logged(made: Callable[..., Any]) -> None:
    bench = made(watts=1_000)
    begun = bench.clock.now()
    bench.wait(hours=1, minutes=5)
    bench.meter.show_fault(Fault.POWER_DOWN)
    bench.wait(hours=1)
    bench.meter.show_fault(Fault.POWER_DOWN, shown=False)
    bench.wait(minutes=55)
    rows = bench.between("1-0:99.1.0", begun, bench.clock.now())
    assert len(rows) == 12 - 4
    assert [row[1] for row in rows] == [0] * 4 + [0x80] + [0] * 3
    assert bench.codes(0) == [1, 2]
    assert [lasted for _, lasted in bench.read(7, "1-0:99.97.0")] == [3_600]
    assert bench.register == 2_000


@given(period=st.integers(0, 10**8))
def test_demand_is_the_highest_of_the_month(make_meter: Callable[..., Any], period: int) -> None:
    bench = make_meter(load=SeriesLoad(start=START, seconds=900, values=np.array([10, 30, 20], dtype=np.int64)))
    bench.wait(hours=1, seconds=period % 10**6)
    watts, ended = bench.meter.highest_demand(bench.at)
    assert (watts, ended) == (120, START + 1_800)
    assert timedelta(seconds=bench.at - START) >= timedelta(hours=1)
