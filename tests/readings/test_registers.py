"""Reads of cumulative registers: stored once, every version kept; they bound estimates and prove the intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from grid import Grid
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wattledger import readings, registry
from wattledger.kernel import IntervalSeries, Period, Quality, epoch, from_epoch
from wattledger.readings import ImportRules, plan_import, read_file, vee
from wattledger.readings.formats import FileFormat

SLOT, DAY = 900, 86_400
FIRST = epoch(datetime(2026, 3, 1, tzinfo=UTC))
DAYS = 6
ALL = Period.of_epochs(FIRST, FIRST + DAYS * DAY)
RULES = vee.shipped_rules()
GAP = range(3 * 96 + 40, 3 * 96 + 48)
USED = 100 + (np.arange(DAYS * 96, dtype=np.int64) * 37) % 211


class Meters:
    """Homes with quarter-hours and registers."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        grid.publish()
        grid.homes(2, mode="postpay")
        grid.clock.move_to(ALL.end)

    def intervals(self, *, without: Sequence[int] = (), point: str = "h0") -> None:
        kept = np.setdiff1d(np.arange(len(USED)), np.array(without, dtype=np.int64))
        qualities = np.full(len(kept), Quality.ACTUAL, np.uint8)
        of_point = IntervalSeries(FIRST + SLOT * kept, USED[kept], qualities, SLOT)
        self.grid.deliver(f"intervals of {point}", {point: of_point})

    def reads(
        self,
        batch: str,
        of: Mapping[int, int],
        *,
        meter: str = "",
        step: int = 1,
        point: str = "h0",
    ) -> readings.Receipt:
        """``of``: what the register stood at, by slot."""
        slots = np.array(sorted(of), dtype=np.int64)
        wh = np.array([of[slot] for slot in sorted(of)], dtype=np.int64)
        register = readings.PointRegister(point, readings.IMPORT, FIRST + SLOT * slots, wh, meter, step)
        with self.grid.store.write() as tx:
            return readings.ingest(
                tx,
                batch=readings.IntervalBatch(id=batch, source="test", registers=[register]),
                now=self.grid.clock.now(),
            )

    def known(self, *, as_of: datetime | None = None) -> dict[int, int]:
        with self.grid.store.read() as tx:
            found = readings.registers_of_points(
                tx, service_point_ids=["h0", "h1"], channel=readings.IMPORT, as_of=as_of
            )
        if "h0" not in found:
            return {}
        return dict(zip(((found["h0"].at - FIRST) // SLOT).tolist(), found["h0"].wh.tolist(), strict=True))

    def validate(self) -> readings.Validated:
        with self.grid.store.write() as tx:
            return readings.validate(tx, period=ALL, rules=RULES, now=ALL.end)

    def values(self, slots: Sequence[int]) -> list[int]:
        with self.grid.store.read() as tx:
            known = readings.series(tx, service_point_id="h0", period=ALL)
        at = dict(zip(((known.starts - FIRST) // SLOT).tolist(), known.values.tolist(), strict=True))
        return [at.get(slot, 0) for slot in slots]

    def verify(self) -> list[str]:
        with self.grid.store.read() as tx:
            return readings.verify(tx)


@pytest.fixture
def meters(grid: Grid) -> Meters:
    return Meters(grid)


def counter(slots: Sequence[int], *, begin: int = 5_000) -> dict[int, int]:
    running = np.concatenate(([0], np.cumsum(USED)))
    return {slot: begin + int(running[slot]) for slot in slots}


DAILY = [day * 96 for day in range(DAYS + 1)]


def test_reads_are_stored_once_and_every_version_stays(meters: Meters) -> None:
    receipt = meters.reads("a", {0: 100, 96: 200})
    assert (receipt.registers_stored, receipt.registers_duplicate, receipt.registers_revised) == (2, 0, 0)
    again = meters.reads("a", {0: 100, 96: 200})
    assert (again.registers_stored, again.registers_duplicate, again.registers_revised) == (0, 2, 0)
    meters.grid.clock.move_to(ALL.end + timedelta(hours=1))
    revised = meters.reads("b", {0: 100, 96: 250, 192: 300})
    assert (revised.registers_stored, revised.registers_duplicate, revised.registers_revised) == (1, 1, 1)
    assert meters.known() == {0: 100, 96: 250, 192: 300}
    assert meters.known(as_of=ALL.end) == {0: 100, 96: 200}
    assert meters.verify() == []


@pytest.mark.parametrize(
    ("of", "point", "cause"),
    [({0: -1}, "h0", "below nothing"), ({0: 1}, "nobody", "do not exist")],
)
def test_what_cannot_be_a_read_is_refused_and_nothing_is_stored(
    meters: Meters, of: dict[int, int], point: str, cause: str
) -> None:
    with pytest.raises((readings.BatchRefused, registry.ServicePointUnknown), match=cause):
        meters.reads("bad", of, point=point)
    assert meters.known() == {}
    assert meters.verify() == []


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(0, 30), max_size=6, unique=True), max_size=6))
def test_whatever_comes_when_the_reads_are_the_same(meters: Meters, batches: list[list[int]]) -> None:
    before = meters.known()
    brought = dict(before)
    for number, slots in enumerate(batches):
        meters.reads(f"{number} {slots}", {slot: 100 * slot for slot in slots})
        brought |= {slot: 100 * slot for slot in slots}
    assert meters.known() == dict(sorted(brought.items()))


def test_intervals_that_agree_with_the_register_are_proved(meters: Meters) -> None:
    meters.intervals(without=GAP)
    meters.reads("daily", counter(DAILY))
    assert meters.verify() == []  # where intervals lack nothing can be said
    meters.reads("wrong", {2 * 96: counter(DAILY)[2 * 96] + 3})
    faults = meters.verify()
    assert [fault.split(": intervals")[0].split(", ")[1][:10] for fault in faults] == ["2026-03-02", "2026-03-03"]
    assert "the register counted" in faults[0]
    meters.validate()
    assert meters.verify() == []  # the queue has it
    with meters.grid.store.read() as tx:
        found = readings.exceptions(tx, states=readings.LIVE, rule="register_sum")
    assert sorted(one.period.start for one in found) == [from_epoch(FIRST + DAY), from_epoch(FIRST + 2 * DAY)]


def test_a_coarse_register_is_held_to_its_last_digit(meters: Meters) -> None:
    meters.intervals()
    exact = counter(DAILY)
    meters.reads("daily", {slot: wh // 1000 * 1000 for slot, wh in exact.items()}, step=1000)
    assert meters.verify() == []
    assert meters.validate().found == {}


def test_an_estimate_between_reads_sums_to_the_register(meters: Meters) -> None:
    meters.intervals(without=GAP)
    meters.reads("daily", counter(DAILY))
    done = meters.validate()
    assert done.estimated == len(GAP)
    assert sum(meters.values(GAP)) == int(USED[GAP.start : GAP.stop].sum())
    again = meters.validate()
    assert (again.estimated, again.opened, again.changed) == (0, 0, 0)
    assert meters.verify() == []


def test_a_register_of_whole_kilowatt_hours_scales_no_gap_of_two_hours(meters: Meters) -> None:
    meters.intervals(without=GAP)
    meters.validate()
    by_neighbours = meters.values(GAP)
    meters.reads("daily", {slot: wh // 1000 * 1000 for slot, wh in counter(DAILY).items()}, step=1000)
    meters.validate()
    assert meters.values(GAP) == by_neighbours


def test_reads_that_come_later_scale_what_was_estimated(meters: Meters) -> None:
    meters.intervals(without=GAP)
    meters.validate()
    before = meters.values(GAP)
    meters.reads("daily", counter(DAILY))
    meters.validate()
    assert meters.values(GAP) != before
    assert sum(meters.values(GAP)) == int(USED[GAP.start : GAP.stop].sum())


def test_a_person_who_estimates_gets_what_the_register_says(meters: Meters) -> None:
    gap = range(2 * 96 + 10, 2 * 96 + 90)  # longer than a run may fill by itself
    meters.intervals(without=gap)
    meters.reads("daily", counter(DAILY))
    meters.validate()
    with meters.grid.store.write() as tx:
        (one,) = readings.exceptions(tx, states=readings.LIVE, rule="missing")
        decision = readings.Decision(action="estimate", actor="ann", reason="the meter was out")
        readings.decide(tx, exception_id=one.id, decision=decision, rules=RULES, now=ALL.end)
    assert sum(meters.values(gap)) == int(USED[gap.start : gap.stop].sum())


def test_another_meter_begins_anew(meters: Meters) -> None:
    meters.intervals()
    exact = counter(DAILY, begin=90_000)
    meters.reads("old", {slot: exact[slot] for slot in DAILY[:4]}, meter="old")
    meters.reads("new", {slot: exact[slot] - exact[DAILY[3]] for slot in DAILY[4:]}, meter="new")
    assert meters.verify() == []
    assert meters.validate().found == {"exchange": 1}


NEM13 = """100,NEM13,200401101030,MDA1,Ret1
250,1234567890,11,1,11,E1,METSER66,E,100.5,20260301000000,A,,,120.5,20260302000000,A,,,20.0,kWh,,,
250,1234567890,11,1,11,E1,METSER66,E,120.5,20260302000000,A,,,150.0,20260303000000,A,,,29.5,kWh,,,
250,1234567890,11,1,11,E1,METSER66,E,150.0,20260303000000,A,,,170.0,20260304000000,E64,77,,20.0,kWh,,,
250,1234567890,21,2,21,B1,METSER66,E,10,20260301000000,A,,,12,20260302000000,A,,,80,kWh,,,
900
"""


def test_a_file_of_registers_is_accounted_for_and_stored_once(meters: Meters, tmp_path: Path) -> None:
    path = tmp_path / "registers.csv"
    path.write_text(NEM13)
    file = read_file(path)
    assert file.format is FileFormat.NEM13
    plan = plan_import(file, rules=ImportRules(points={"": "h0"}))
    assert plan.taken == 2
    causes = sorted(one.cause for one in plan.refused)
    assert [cause[:36] for cause in causes] == [
        "a register read that is estimated; i",
        "a register that counts in units of i",
    ]
    for stored in (2, 0):
        for batch in plan.batches():
            with meters.grid.store.write() as tx:
                receipt = readings.ingest(tx, batch=batch, now=ALL.end)
        assert (receipt.registers_stored, receipt.registers_duplicate) == (stored, 2 - stored)
    with meters.grid.store.read() as tx:
        found = readings.registers_of_points(tx, service_point_ids=["h0"], channel=readings.IMPORT)["h0"]
        assert readings.stats(tx).registers == 2
    assert (found.wh.tolist(), list(found.meters), found.steps.tolist()) == (
        [120_500, 150_000],
        ["METSER66"] * 2,
        [100] * 2,
    )
