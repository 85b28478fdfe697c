"""The gap ledger: what is due of each meter's profiles, and what has come.

Delivering rows and closing the gap they fill is one unit of work, so a gap is open exactly as long as its rows are not
kept. What came is not asked for again; what did not come is, until the meter has said often enough that it has it not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias

import sqlalchemy as sa

from wattledger.headend import _tables as t
from wattledger.headend._coverage import Coverage, Hole, Stretch, merged, range_reads, runs_of
from wattledger.headend._queue import RetryPolicy, linked, reschedule
from wattledger.headend.ports import Delivery, ReadingSink
from wattledger.kernel import Period, Problem, epoch
from wattledger.store import Transaction, chunked

_ROWS_MAX = 3_000
_BRIDGE = 8  # rows: to ask for a few that came already is cheaper than to ask twice


class PlanRefused(Problem):
    """A profile cannot be expected as it was described."""

    slug = "profile-plan-refused"
    title = "The profile cannot be expected so"
    status = 422


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfilePlan:
    """What is expected of a profile.

    ``start``  the first instant that is due; on the grid of ``seconds``
    ``every``  how much of it is collected at a time (a schedule: an hour's rows, a day's)
    ``grace``  how long after an interval ended its row may take to be in the meter
    """

    meter_id: str
    profile: str
    seconds: int
    start: datetime
    every: timedelta = timedelta(days=1)
    grace: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A stretch that is due and has not come.

    ``asked``  how often the meter answered about it without these rows
    ``given_up``  whether it is not asked for any more; rows that come all the same close it
    """

    meter_id: str
    profile: str
    period: Period
    asked: int
    given_up: bool


@dataclass(frozen=True, slots=True)
class RangeRead:
    """A read that is to be made: the rows of ``profile`` that start in ``[start, end)``, epoch seconds."""

    profile: str
    seconds: int
    start: int
    end: int


_Key: TypeAlias = tuple[str, str]


@dataclass(slots=True)
class _Expected:
    """A profile as it stands: its row, and what has come."""

    seconds: int
    stop: int | None
    every: int
    grace: int
    coverage: Coverage

    def due(self, now: datetime) -> int:
        """Everything before is due."""
        due = (epoch(now) - self.grace) // self.seconds * self.seconds
        return due if self.stop is None else min(due, self.stop)


def expect(tx: Transaction, *, plans: Sequence[ProfilePlan], now: datetime) -> None:
    """Expect these profiles from now on.

    A profile that is expected already keeps what has come of it; an earlier ``start`` opens a gap before it.
    """
    linked(tx, meter_ids={plan.meter_id for plan in plans})
    told = {(plan.meter_id, plan.profile) for plan in plans}
    known = {key: one for key, one in _expected(tx, [key[0] for key in told], lock=True).items() if key in told}
    before = {key: expected.coverage for key, expected in known.items()}
    for plan in plans:
        start, key = epoch(plan.start), (plan.meter_id, plan.profile)
        every, grace = int(plan.every.total_seconds()), int(plan.grace.total_seconds())
        if plan.seconds < 1 or start % plan.seconds or every < plan.seconds or grace < 0:
            raise PlanRefused(
                f"{plan.meter_id} {plan.profile}: intervals of {plan.seconds} s from {plan.start}, every {plan.every}",
                remedy="start where an interval starts, and collect at least one at a time",
            )
        old = known.get(key)
        if old is not None and old.seconds != plan.seconds:
            raise PlanRefused(
                f"{plan.meter_id} {plan.profile} is kept in intervals of {old.seconds} s, not {plan.seconds}",
                remedy="expect it under another name",
            )
        coverage = Coverage(start, start) if old is None else _from(old.coverage, start, now)
        known[key] = _Expected(plan.seconds, None, every, grace, coverage)
    _keep(tx, known, before)
    reschedule(tx, meter_ids={plan.meter_id for plan in plans}, now=now)


def stop_expecting(tx: Transaction, *, meter_id: str, at: datetime, now: datetime) -> None:
    """Expect nothing of this meter from ``at`` on: it was taken down. What is due from before stays due."""
    tx.execute(
        t.profile.update()
        .where(t.profile.c.meter_id == meter_id)
        .values(stop=epoch(at) // t.profile.c.seconds * t.profile.c.seconds)
    )
    reschedule(tx, meter_ids=[meter_id], now=now)


def take_deliveries(
    tx: Transaction, *, deliveries: Sequence[Delivery], sink: ReadingSink, retry: RetryPolicy, now: datetime
) -> None:
    """Hand deliveries to the sink and close the gaps they fill, in this unit of work.

    In any order and any cut, and twice as well as once. What a meter answered without counts as asked once more.
    The caller has the meters looked at for what is next (``release`` or ``reschedule``).
    """
    if not deliveries:
        return
    known = _expected(tx, [one.meter_id for one in deliveries], lock=True)
    before = {key: expected.coverage for key, expected in known.items()}
    sink.take(tx, deliveries=deliveries, now=now)
    for one in deliveries:
        expected = known.get((one.meter_id, one.profile))
        if expected is None:
            continue  # nobody expects it; the sink may still want it
        # Rows from the future are the work of a clock gone wrong: all between now and then would seem to be missing.
        starts = one.rows.within(expected.coverage.start, epoch(now) + 1).starts
        coverage = expected.coverage.came(runs_of(starts, seconds=expected.seconds), now=now)
        if not one.pushed:
            # A slot that is not over yet is not missing.
            asked = (one.start, min(one.end, expected.due(now)))
            coverage = coverage.answered(asked, wait=lambda count: retry.ask_again(count, now=now), now=now)
        expected.coverage = coverage
    _keep(tx, {key: one for key, one in known.items() if one.coverage != before[key]}, before)


def gaps(tx: Transaction, *, meter_ids: Collection[str] | None = None, now: datetime) -> list[Gap]:
    """All that is due and has not come, of these meters or of all, by meter, profile and time."""
    found: list[Gap] = []
    for (meter_id, profile), expected in sorted(_expected(tx, meter_ids).items()):
        coverage, due = expected.coverage, expected.due(now)
        pieces = [replace(hole, end=min(hole.end, due)) for hole in coverage.holes if hole.start < due]
        if due > coverage.until:
            pieces.append(Hole(coverage.until, due, 0, now))
        found += [
            Gap(
                meter_id=meter_id,
                profile=profile,
                period=Period.of_epochs(hole.start, hole.end),
                asked=hole.asked,
                given_up=hole.retry_at is None,
            )
            for hole in pieces
        ]
    return found


def wanted_reads(
    tx: Transaction, *, meter_ids: Collection[str], now: datetime, rows_max: int = _ROWS_MAX, bridge: int = _BRIDGE
) -> dict[str, list[RangeRead]]:
    """The reads that would close the open gaps of these meters, newest profile rows last."""
    reads: dict[str, list[RangeRead]] = defaultdict(list)
    for (meter_id, profile), expected in sorted(_expected(tx, meter_ids).items()):
        wanted = expected.coverage.wanted(expected.due(now), now=now)
        for start, end in range_reads(wanted, seconds=expected.seconds, bridge=bridge, rows_max=rows_max):
            reads[meter_id].append(RangeRead(profile, expected.seconds, start, end))
    return dict(reads)


def expected_seconds(tx: Transaction, *, meter_ids: Collection[str]) -> dict[tuple[str, str], int]:
    """The seconds of an interval, by meter and profile, of what is expected of these meters."""
    select = sa.select(t.profile.c.meter_id, t.profile.c.profile, t.profile.c.seconds)
    rows = tx.rows(select.where(tx.among(t.profile.c.meter_id, meter_ids)))
    return {(row.meter_id, row.profile): row.seconds for row in rows}


def shortest_intervals(tx: Transaction, *, meter_ids: Collection[str]) -> dict[str, int]:
    """The seconds of the shortest interval that is expected of each of these meters."""
    select = sa.select(t.profile.c.meter_id, sa.func.min(t.profile.c.seconds).label("seconds"))
    select = select.where(tx.among(t.profile.c.meter_id, meter_ids)).group_by(t.profile.c.meter_id)
    return {row.meter_id: row.seconds for row in tx.rows(select)}


def come(tx: Transaction, *, meter_id: str, profile: str) -> list[Period]:
    """What has come of a profile: coalesced, ascending."""
    expected = _expected(tx, [meter_id]).get((meter_id, profile))
    if expected is None:
        return []
    coverage = expected.coverage
    cuts: list[Stretch] = [(hole.start, hole.end) for hole in coverage.holes]
    edges = [coverage.start, *(edge for cut in merged(cuts) for edge in cut), coverage.until]
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return [Period.of_epochs(start, end) for start, end in pairs if start < end]


def _from(coverage: Coverage, start: int, now: datetime) -> Coverage:
    """The same, due from another start on."""
    if start < coverage.start:
        return replace(coverage, start=start, holes=(Hole(start, coverage.start, 0, now), *coverage.holes))
    holes = tuple(replace(hole, start=max(hole.start, start)) for hole in coverage.holes if hole.end > start)
    return Coverage(start, max(coverage.until, start), holes)


def _expected(tx: Transaction, meter_ids: Collection[str] | None, *, lock: bool = False) -> dict[_Key, _Expected]:
    """What is expected of these meters, or of all, and what of it has come."""
    pieces: Iterable[Sequence[str] | None] = [None] if meter_ids is None else chunked(sorted(set(meter_ids)))
    found: dict[_Key, _Expected] = {}
    for piece in pieces:
        profiles = sa.select(t.profile).order_by(t.profile.c.meter_id, t.profile.c.profile)
        holes = sa.select(t.gap).order_by(t.gap.c.meter_id, t.gap.c.profile, t.gap.c.start)
        if piece is not None:
            profiles = profiles.where(tx.among(t.profile.c.meter_id, piece))
            holes = holes.where(tx.among(t.gap.c.meter_id, piece))
        rows = tx.rows(tx.locked(profiles) if lock else profiles)
        missing: dict[_Key, list[Hole]] = defaultdict(list)
        for row in tx.rows(holes):
            missing[row.meter_id, row.profile].append(Hole(row.start, row.end, row.asked, row.retry_at))
        for row in rows:
            key = (row.meter_id, row.profile)
            coverage = Coverage(row.start, row.until, tuple(missing.get(key, ())))
            found[key] = _Expected(row.seconds, row.stop, row.every, row.grace, coverage)
    return found


def _keep(tx: Transaction, known: Mapping[_Key, _Expected], before: Mapping[_Key, Coverage]) -> None:
    """Write down what is expected now, where ``before`` stood."""
    told = sorted(known)
    tx.upsert(
        t.profile,
        [
            {
                "meter_id": key[0],
                "profile": key[1],
                "seconds": known[key].seconds,
                "start": known[key].coverage.start,
                "stop": known[key].stop,
                "until": known[key].coverage.until,
                "every": known[key].every,
                "grace": known[key].grace,
            }
            for key in told
        ],
        update=["start", "stop", "until", "every", "grace"],
    )
    gone, new = [], []
    for key in told:
        old = set(before[key].holes) if key in before else set()
        holes = set(known[key].coverage.holes)
        gone += [{"m": key[0], "p": key[1], "s": hole.start} for hole in old - holes]
        new += [
            {
                "meter_id": key[0],
                "profile": key[1],
                "start": hole.start,
                "end": hole.end,
                "asked": hole.asked,
                "retry_at": hole.retry_at,
            }
            for hole in known[key].coverage.holes
            if hole not in old
        ]
    if gone:
        tx.execute(
            t.gap.delete().where(
                t.gap.c.meter_id == sa.bindparam("m"),
                t.gap.c.profile == sa.bindparam("p"),
                t.gap.c.start == sa.bindparam("s"),
            ),
            gone,
        )
    tx.insert(t.gap, new)
