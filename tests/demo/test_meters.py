from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wattledger.control import MeterUnreachable, SwitchPort
from wattledger.demo import LoadModel, MeterMemory, Supply, Town, TownPlan, VirtualMeters
from wattledger.demo._meters import Outages
from wattledger.demo._town import CONCENTRATORS
from wattledger.kernel import Energy, ManualClock, epoch
from wattledger.readings import IntervalBatch

Numbers = NDArray[np.int64]
HOUR = timedelta(hours=1)
SLOT = timedelta(minutes=15)


def awake(town: Town, *, since: datetime, hours: int = 30, push_button: bool = False, mode: str = "prepay") -> Supply:
    """A supply whose meter is in reach for so long."""
    outages = Outages(town)
    return next(
        supply
        for supply in town.supplies
        if supply.push_button == push_button
        and supply.mode == mode
        and not any(outages.silent(supply, epoch(since + step * SLOT)) for step in range(hours * 4))
    )


def of_point(batches: Sequence[IntervalBatch | None], supply: Supply) -> Numbers:
    found = [
        point.series.values
        for batch in batches
        if batch is not None
        for point in batch.points
        if point.service_point_id == supply.service_point_id and point.channel == "import"
    ]
    return np.concatenate([np.empty(0, dtype=np.int64), *found])


def test_they_are_what_control_switches(town: Town) -> None:
    port: SwitchPort = VirtualMeters(town=town, clock=ManualClock(town.plan.start))
    assert port.read_relay(meter_id=awake(town, since=town.plan.start).meter_id).output_on


def test_delivered_once_and_in_full(town: Town) -> None:
    clock = ManualClock(town.plan.start)
    meters = VirtualMeters(town=town, clock=clock)
    batches = []
    for _ in range(48):
        clock.advance(HOUR)
        for number in range(CONCENTRATORS):
            batch = meters.collect(until=clock.now(), concentrator=number)
            if batch is not None:
                meters.acknowledge(batch)
                assert meters.collect(until=clock.now(), concentrator=number) is None
                batches.append(batch)
    assert len({batch.id for batch in batches}) == len(batches)
    start = epoch(town.plan.start)
    loads = LoadModel(town)
    late = 0
    for supply in town.supplies:
        values = of_point(batches, supply)
        late += len(values) < 48 * 4
        assert np.array_equal(values, loads.watt_hours(supply.index, start, start + len(values) * 900)[0])
    assert 0 <= late < 8


def test_the_same_intervals_make_the_same_batch_and_others_another(town: Town) -> None:
    clock = ManualClock(town.plan.start + 6 * HOUR)
    one, other = (VirtualMeters(town=town, clock=clock) for _ in range(2))
    first, again, repeat = (meters.collect(until=clock.now()) for meters in (one, one, other))
    assert first is not None
    assert again is not None
    assert repeat is not None
    assert first.id == again.id == repeat.id
    part = one.collect(until=clock.now(), concentrator=1)
    earlier = one.collect(until=clock.now() - HOUR)
    assert part is not None
    assert earlier is not None
    assert len({first.id, part.id, earlier.id}) == 3


@settings(max_examples=30)
@given(off_after=st.integers(0, 4000), off_for=st.integers(0, 20_000), every=st.sampled_from([1, 8]))
def test_no_energy_flows_while_the_disconnector_is_open(town: Town, off_after: int, off_for: int, every: int) -> None:
    start = town.plan.start
    clock = ManualClock(start)
    meters = VirtualMeters(town=town, clock=clock)
    supply = awake(town, since=start)
    batches = []
    moments = [(start + timedelta(seconds=off_after), "off"), (start + timedelta(seconds=off_after + off_for), "on")]
    moments += [(start + hour * HOUR, "read") for hour in range(every, 9, every)]
    for at, what in sorted(moments):
        clock.move_to(at)
        if what == "off":
            meters.disconnect(meter_id=supply.meter_id)
        elif what == "on":
            meters.reconnect(meter_id=supply.meter_id)
        else:
            batch = meters.collect(until=at)
            if batch is not None:
                meters.acknowledge(batch)
            batches.append(batch)
    first = epoch(start)
    full = LoadModel(town).watt_hours(supply.index, first, first + 8 * 3600)[0]
    dark = np.zeros(8 * 3600, dtype=bool)
    dark[off_after : off_after + off_for] = True
    lit = (~dark).reshape(-1, 900).sum(axis=1)
    assert np.array_equal(of_point(batches, supply), full * lit // 900)


def test_registers_only_rise_and_meet_the_intervals(town: Town) -> None:
    clock = ManualClock(town.plan.start)
    meters = VirtualMeters(town=town, clock=clock)
    supply = awake(town, since=town.plan.start)
    before = meters.register(supply.meter_id)
    assert before.wh > 0
    seen, batches = [before], []
    for _ in range(12):
        clock.advance(HOUR)
        seen.append(meters.register(supply.meter_id))
        batches.append(meters.collect(until=clock.now()))
        assert batches[-1] is not None
        meters.acknowledge(batches[-1])
        assert meters.register(supply.meter_id) == seen[-1]
    assert seen == sorted(seen)
    assert (seen[-1] - before).wh == of_point(batches, supply).sum()


def test_a_button_has_to_be_pressed_after_a_remote_reconnect(town: Town) -> None:
    big = Town.of(TownPlan(seed=town.plan.seed, homes=300, days=3))
    clock = ManualClock(big.plan.start)
    meters = VirtualMeters(town=big, clock=clock)
    meter = awake(big, since=big.plan.start, push_button=True).meter_id
    meters.disconnect(meter_id=meter)
    clock.advance(HOUR)
    meters.reconnect(meter_id=meter)
    assert meters.read_relay(meter_id=meter).control_state == "ready_for_reconnection"
    assert not meters.read_relay(meter_id=meter).output_on
    clock.advance(timedelta(minutes=1))
    meters.reconnect(meter_id=meter)
    clock.advance(timedelta(minutes=14))
    assert meters.read_relay(meter_id=meter).control_state == "connected"


def test_a_silent_meter_answers_nobody_and_delivers_everything_later(town: Town) -> None:
    outages, start = Outages(town), town.plan.start
    silent_at = next(
        (supply, start + step * SLOT)
        for step in range(4, 96 * 3)
        for supply in town.supplies
        if outages.silent(supply, epoch(start + step * SLOT))
        and not any(outages.silent(supply, epoch(start + earlier * SLOT)) for earlier in range(step))
    )
    supply, at = silent_at
    clock = ManualClock(start)
    meters = VirtualMeters(town=town, clock=clock)
    clock.move_to(at)
    for ask in (meters.disconnect, meters.reconnect, meters.read_relay):
        with pytest.raises(MeterUnreachable, match=supply.meter_id):
            ask(meter_id=supply.meter_id)
    batch = meters.collect(until=at)
    assert not len(of_point([batch], supply))
    back = next(at + step * SLOT for step in range(100) if not outages.silent(supply, epoch(at + step * SLOT)))
    clock.move_to(back)
    expected = LoadModel(town).watt_hours(supply.index, epoch(start), epoch(back) // 900 * 900)[0]
    assert np.array_equal(of_point([meters.collect(until=back)], supply), expected)


def test_few_are_silent_at_a_time_and_two_over_a_months_end() -> None:
    big = Town.of(TownPlan(seed=5))
    outages = Outages(big)
    silent = [
        sum(outages.silent(supply, epoch(big.plan.start + hour * HOUR)) for supply in big.supplies)
        for hour in range(0, 24 * 7, 3)
    ]
    assert 0 < sum(silent) / len(silent) < 0.04 * len(big.supplies)
    month_end = big.plan.live_from + timedelta(hours=7)
    over = {
        supply.index
        for supply in big.supplies
        if all(outages.silent(supply, epoch(month_end + minutes * timedelta(minutes=1))) for minutes in (-200, 0, 300))
    }
    chosen = [big.supplies[index] for index in over]
    assert {"home", "shop"} <= {supply.kind for supply in chosen}
    assert all(supply.mode == "postpay" for supply in chosen if supply.index in outages._silent_over(2026, 8))
    later = epoch(month_end + timedelta(hours=5, minutes=15))
    assert not outages._over_month_end(later)


@settings(max_examples=20)
@given(stop_at=st.integers(1, 40), off_at=st.none() | st.integers(0, 39), minutes=st.integers(0, 14))
def test_a_restart_forgets_nothing(town: Town, stop_at: int, off_at: int | None, minutes: int) -> None:
    """Some minutes after slot ``off_at`` a supply goes off; at slot ``stop_at`` the program is killed."""
    start = town.plan.start
    supply = awake(town, since=start)

    def live(*, killed: bool) -> tuple[Numbers, Energy, bool]:
        clock = ManualClock(start)
        meters = VirtualMeters(town=town, clock=clock)
        batches: list[IntervalBatch | None] = []
        off_since = None
        for slot in range(60):
            clock.move_to(start + slot * SLOT)
            if killed and slot == stop_at:
                sent = of_point(batches, supply)
                meters = VirtualMeters(town=town, clock=clock)
                memory = MeterMemory(
                    sent_until=start + len(sent) * SLOT,
                    sent=Energy(int(sent.sum())),
                    output_on=off_since is None,
                    since=off_since,
                )
                meters.restore({supply.meter_id: memory})
            if slot % 3 == 0:  # what comes in a while after a switch is not yet delivered when the kill comes
                batch = meters.collect(until=clock.now())
                if batch is not None:
                    meters.acknowledge(batch)
                    batches.append(batch)
            if slot == off_at:
                clock.advance(timedelta(minutes=minutes))
                meters.disconnect(meter_id=supply.meter_id)
                off_since = clock.now()
        relay = meters.read_relay(meter_id=supply.meter_id)
        return of_point(batches, supply), meters.register(supply.meter_id), relay.output_on

    (whole, register, on), (pieces, register_after, on_after) = live(killed=False), live(killed=True)
    assert np.array_equal(whole, pieces)
    assert register == register_after
    assert on == on_after


def test_an_answer_takes_its_time_when_the_town_is_live(town: Town) -> None:
    meters = VirtualMeters(town=town, clock=ManualClock(town.plan.start))
    paused: list[float] = []
    meters.pause = paused.append
    meter = awake(town, since=town.plan.start).meter_id
    meters.disconnect(meter_id=meter)
    meters.read_relay(meter_id=meter)
    assert len(paused) == 2
    assert all(0.1 < seconds < 1 for seconds in paused)
