"""The clocks of meters: measured at each visit, set within limits, and never across an interval's edge unnoticed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

import sqlalchemy as sa

from wattledger.headend import _tables as t
from wattledger.kernel import epoch
from wattledger.store import Transaction

_PATIENCE = timedelta(days=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockPolicy:
    """When a meter's clock is set.

    Less than ``tolerance`` off it is right enough; more than ``reach`` off nobody sets it but a person, for then it is
    not drift, and readings may carry wrong times.
    """

    tolerance: timedelta = timedelta(seconds=10)
    reach: timedelta = timedelta(minutes=5)
    active: bool = True

    def at_speed(self, speed: int) -> ClockPolicy:
        """The same where the clock runs so many times as fast as life, and an answer is minutes on its way."""
        return replace(self, tolerance=self.tolerance * speed, reach=self.reach * speed)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStep:
    """What became of a clock that was off by ``off`` seconds (ahead, if positive).

    ``set``      it was set; ``crossed`` when the step passed an edge between two intervals: one of them is longer or
                 shorter, or comes twice
    ``put_off``  setting it now would pass such an edge; it is set at the next visit, if need be across one
    ``too_far``  it is off by more than may be set
    """

    meter_id: str
    at: datetime
    off: int
    outcome: Literal["set", "put_off", "too_far"]
    crossed: bool


def plan_step(
    *, off: int, now: datetime, policy: ClockPolicy, seconds: int, put_off_before: bool
) -> tuple[Literal["set", "put_off", "too_far"], bool] | None:
    """What is to be done with a clock that is ``off`` seconds ahead, whether that crosses an edge; ``None``: nothing.

    ``seconds`` is the length of the meter's intervals.
    """
    apart = timedelta(seconds=abs(off))
    if not policy.active or apart <= policy.tolerance:
        return None
    if apart > policy.reach:
        return "too_far", False
    right = epoch(now)
    crossed = right // seconds != (right + off) // seconds
    return ("put_off" if crossed and not put_off_before else "set"), crossed


def keep_clocks(tx: Transaction, *, offs: Mapping[str, int], steps: Sequence[ClockStep], now: datetime) -> None:
    """Write down how far clocks were off, and what was done about it."""
    tx.execute_many(
        t.meter.update()
        .where(t.meter.c.meter_id == sa.bindparam("key"))
        .values(clock_off=sa.bindparam("ahead"), clock_read_at=sa.bindparam("seen")),
        [{"key": meter_id, "ahead": off, "seen": now} for meter_id, off in sorted(offs.items())],
    )
    tx.insert(
        t.clock_step,
        [
            {
                "meter_id": step.meter_id,
                "at": step.at,
                "off": step.off,
                "outcome": step.outcome,
                "crossed": step.crossed,
            }
            for step in steps
        ],
    )


def put_off(tx: Transaction, *, meter_ids: Collection[str], now: datetime) -> set[str]:
    """The meters whose clock was not set at the last visit that found it off."""
    last = (
        sa.select(sa.func.max(t.clock_step.c.id))
        .where(tx.among(t.clock_step.c.meter_id, meter_ids), t.clock_step.c.at > now - _PATIENCE)
        .group_by(t.clock_step.c.meter_id)
    )
    select = sa.select(t.clock_step.c.meter_id).where(t.clock_step.c.id.in_(last), t.clock_step.c.outcome == "put_off")
    return {row.meter_id for row in tx.rows(select)}


def clock_steps(tx: Transaction, *, meter_id: str, limit: int = 100) -> list[ClockStep]:
    """What was done about a meter's clock, newest first."""
    select = sa.select(t.clock_step).where(t.clock_step.c.meter_id == meter_id)
    return [
        ClockStep(meter_id=row.meter_id, at=row.at, off=row.off, outcome=row.outcome, crossed=row.crossed)
        for row in tx.rows(select.order_by(t.clock_step.c.id.desc()).limit(limit))
    ]
