"""The limiter opens after long enough over its threshold, closes where the mode says so, and minds no looking."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattledger.dlms import DateTime, array, octets, structure, uint16, uint32
from wattledger.virtual_meter import DayLoad, Fault, Prepayment, SeriesLoad, State, TokenStatus, Typed

HOUR_OVER = SeriesLoad(start=1_773_122_400, seconds=60, values=np.array([10] * 30 + [50] * 60 + [10] * 60))
"""600 W for half an hour, 3,000 W for an hour, 600 W again."""


def refuses(_digits: str, *, room: int) -> Typed:
    return Typed(TokenStatus.FORMAT_FAILURE, f"room for {room}")


def limited(bench: Any, *, over: int = 300, under: int = 600, watts: int = 2_000) -> None:  # noqa: ANN401 - a bench
    for attribute, value in ((6, over), (7, under), (4, watts)):
        assert bench.write(71, "0-0:17.0.0", attribute, uint32(value)) == 0


def test_it_opens_after_the_minutes_over_and_not_before(made: Callable[..., Any]) -> None:
    bench = made(load=HOUR_OVER)
    limited(bench)
    bench.wait(minutes=34)
    assert bench.read(70, "0-0:96.3.10") is True
    bench.wait(minutes=1)
    assert bench.read(70, "0-0:96.3.10") is False
    assert bench.read(70, "0-0:96.3.10", 3) == State.READY
    assert bench.codes(2) == [67, 65, 64]


def test_a_load_over_the_limit_for_too_short_does_nothing(made: Callable[..., Any]) -> None:
    bench = made(load=HOUR_OVER)
    limited(bench, over=3_601)
    bench.wait(hours=2)
    assert bench.codes(2) == [67]


def test_minutes_over_have_to_follow_each_other(made: Callable[..., Any]) -> None:
    load = SeriesLoad(start=1_773_122_400, seconds=60, values=np.array(([50] * 4 + [10]) * 12))
    bench = made(load=load)
    limited(bench, over=300)
    bench.wait(hours=1)
    assert bench.codes(2) == [67]
    limited(bench, over=240)
    assert bench.meter.limiter.passed(*_minutes(bench)) == bench.at - 3_600 + 240


def _minutes(bench: Any) -> tuple[Any, Any]:  # noqa: ANN401 - a bench, and instants
    edges = np.arange(bench.at - 3_600, bench.at + 1, 60, dtype=np.int64)
    return edges, bench.meter.imported(edges)


@pytest.mark.parametrize(
    ("mode", "state", "codes"), [(4, State.READY, [67, 65, 64]), (6, State.CONNECTED, [67, 65, 64, 66, 69])]
)
def test_it_closes_again_only_where_the_mode_has_that(
    made: Callable[..., Any], mode: int, state: State, codes: list[int]
) -> None:
    bench = made(load=HOUR_OVER, mode=mode)
    limited(bench, over=3_600, under=600)
    bench.wait(minutes=99)
    assert bench.read(70, "0-0:96.3.10", 3) == State.READY
    bench.wait(minutes=1)
    assert bench.read(70, "0-0:96.3.10", 3) == state
    assert bench.codes(2) == codes


def test_the_button_closes_what_the_limiter_opened(made: Callable[..., Any]) -> None:
    bench = made(load=HOUR_OVER)
    limited(bench)
    bench.wait(hours=2)
    bench.meter.press_button()
    assert bench.read(70, "0-0:96.3.10") is True
    assert bench.codes(2)[-1] == 61


def test_an_emergency_has_its_own_threshold_for_its_time(made: Callable[..., Any]) -> None:
    bench = made(watts=1_200)
    limited(bench, over=60, watts=2_400)
    bench.write(71, "0-0:17.0.0", 5, uint32(600))
    begins: datetime = bench.clock.now() + timedelta(minutes=10)
    profile = structure(uint16(1), octets(DateTime.at(begins).encoded), uint32(1_200))
    assert bench.write(71, "0-0:17.0.0", 8, profile) == 0
    assert (bench.read(71, "0-0:17.0.0", 10), bench.read(71, "0-0:17.0.0", 3)) == (False, 2_400)
    bench.wait(minutes=10)
    assert (bench.read(71, "0-0:17.0.0", 10), bench.read(71, "0-0:17.0.0", 3)) == (True, 600)
    assert bench.read(71, "0-0:17.0.0", 8)[2] == 1_200
    bench.wait(minutes=2)
    assert bench.codes(2)[-2:] == [65, 64]
    bench.meter.press_button()
    bench.wait(minutes=1)
    assert bench.codes(2)[-3:] == [61, 65, 64]
    bench.wait(minutes=20)
    assert bench.read(71, "0-0:17.0.0", 10) is False
    bench.meter.press_button()
    bench.wait(minutes=30)
    assert bench.read(70, "0-0:96.3.10") is True


def test_a_stuck_relay_is_told_once_and_does_not_open(made: Callable[..., Any]) -> None:
    bench = made(load=HOUR_OVER)
    bench.meter.show_fault(Fault.STUCK_RELAY)
    limited(bench)
    bench.wait(hours=2)
    assert bench.read(70, "0-0:96.3.10") is True
    assert bench.codes(2) == [67, 65, 68]


def test_a_relay_that_moves_again_is_watched_again(made: Callable[..., Any]) -> None:
    bench = made(watts=3_000)
    bench.meter.show_fault(Fault.STUCK_RELAY)
    limited(bench)
    bench.wait(hours=1)
    bench.read(70, "0-0:96.3.10")
    bench.meter.show_fault(Fault.STUCK_RELAY, shown=False)
    bench.invoke(70, "0-0:96.3.10", 1)
    bench.invoke(70, "0-0:96.3.10", 2)
    bench.wait(minutes=6)
    assert bench.codes(2) == [67, 65, 68, 62, 63, 65, 64]


def test_a_schedule_switches_at_its_time(made: Callable[..., Any]) -> None:
    bench = made(watts=600)
    bench.write(22, "0-0:15.0.1", 2, structure(octets(bytes(6)), uint16(1)))
    when = DateTime.at(bench.clock.now() + timedelta(hours=1)).encoded
    assert bench.write(22, "0-0:15.0.1", 4, array([structure(octets(when[5:9]), octets(when[:5]))])) == 0
    bench.wait(hours=3)
    assert bench.register == 600
    assert bench.codes(2) == [62]


@settings(max_examples=40, deadline=None)
@given(
    day=st.lists(st.integers(0, 60), min_size=48, max_size=48),
    looks=st.lists(st.integers(1, 90), max_size=12),
    mode=st.sampled_from((0, 4, 6)),
    over=st.sampled_from((60, 600, 3_000)),
    credit=st.integers(1, 2_000),
)
def test_it_does_not_matter_how_often_one_looks(
    make_meter: Callable[..., Any], day: list[int], looks: list[int], mode: int, over: int, credit: int
) -> None:
    load = DayLoad(np.repeat(np.array(day, dtype=np.int64), 30))
    benches = [make_meter(load=load, mode=mode, prepayment=Prepayment(refuses, credit_wh=credit)) for _ in range(2)]
    for bench in benches:
        limited(bench, over=over)
    for minutes in looks:
        benches[0].wait(minutes=minutes)
        benches[0].meter.now()
    benches[0].wait(hours=20)
    benches[1].clock.move_to(benches[0].clock.now())
    asked, unasked = ((bench.register, bench.meter.logs, bench.meter.disconnector.state) for bench in benches)
    assert asked == unasked
