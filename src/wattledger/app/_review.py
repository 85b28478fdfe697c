"""What the commands about exceptions do, over a system that nobody serves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from wattledger import readings
from wattledger.app._system import opened
from wattledger.app._validation import known_points
from wattledger.cli import SystemOptions, Verdict
from wattledger.kernel import Period
from wattledger.readings import vee

_DAY = timedelta(days=1)


def validate_days(
    options: SystemOptions, *, first: date | None, last: date | None, points: Sequence[str] | None
) -> readings.Validated:
    """Validate whole days, UTC, both included; yesterday when none is named."""
    with opened(options) as system:
        begin = first or last or system.clock.now().date() - _DAY
        end = max(last or begin, begin) + _DAY
        return system.desk.validate(period=Period(_midnight(begin), _midnight(end)), points=points)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def exception_queue(
    options: SystemOptions,
    *,
    states: Sequence[readings.State] | None,
    rule: str | None,
    point: str | None,
    limit: int,
) -> tuple[Sequence[readings.ReadingException], int]:
    """The head of the queue, and how long it is."""
    asked = states or readings.ASKING
    with opened(options) as system, system.store.read() as tx:
        known_points(tx, named=[] if point is None else [point])
        found = readings.exceptions(tx, states=asked, rule=rule, service_point_id=point, limit=limit)
        return found, readings.exception_count(tx, states=asked, rule=rule, service_point_id=point)


def decide_exception(options: SystemOptions, verdict: Verdict) -> readings.Decided:
    """Carry a decision out, or tell what it would come to."""
    decision = readings.Decision(
        action=verdict.action,
        actor=verdict.actor,
        reason=verdict.reason,
        wh=None if verdict.kwh is None else readings.watt_hours(verdict.kwh),
        method=None if verdict.method is None else vee.Method(verdict.method),
    )
    with opened(options) as system:
        return system.desk.decide(exception_id=verdict.exception_id, decision=decision, preview=verdict.preview)
