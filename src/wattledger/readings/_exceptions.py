"""The queue of exceptions: what checks found in stored readings, what is at stake, and every step of what became of it.

::

    found ──► told      severity info: nothing is doubted
         ├──► open      asks for a person
         └──► filled    the rules estimated all of it; the reading replaces it when it comes
    open, filled ──► waiting ──► edited, estimated, rejected, accepted     (a second person, above a limit)
    told, open, filled, waiting ──► superseded                              by itself, when its cause is gone
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self, cast, get_args

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from wattledger.kernel import Money, Period, Problem, Quality, from_epoch, new_id
from wattledger.readings import vee
from wattledger.readings._exception_tables import reading_exception, reading_exception_step
from wattledger.store import Row, Transaction

State = Literal["told", "open", "filled", "waiting", "accepted", "edited", "estimated", "rejected", "superseded"]
Action = Literal["accept", "edit", "estimate", "reject"]

STATES: tuple[State, ...] = get_args(State)

LIVE: tuple[State, ...] = ("told", "open", "filled", "waiting")
"""The states of an exception that nobody has decided and that is not over."""

ASKING: tuple[State, ...] = ("open", "waiting")
"""The states of an exception that asks for a person."""

EDIT_REPLACED = "edit_replaced"
"""Beside the rules of the checks: a reading came for time of which a person had decided the value."""

MACHINE = "vee"
"""The actor of steps that nobody took."""


class ExceptionNotFound(Problem):
    """There is no such exception."""

    slug = "exception-not-found"
    title = "No such exception"
    status = 404


@dataclass(frozen=True, slots=True)
class Stake:
    """Energy of a channel in a stretch of time that may be wrong: what it is worth, pricing tells."""

    service_point_id: str
    channel: str
    period: Period
    wh: int


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """The values of a stretch of intervals: watt-hours (int32) and :class:`Quality` (uint8)."""

    wh: NDArray[np.int32]
    quality: NDArray[np.uint8]

    @classmethod
    def none(cls) -> Self:
        """Of no interval."""
        return cls(np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.uint8))

    @classmethod
    def unpacked(cls, packed: bytes) -> Self:
        """As :meth:`packed` wrote them."""
        data = zlib.decompress(packed) if packed else b""
        count = len(data) // 5
        wh = np.frombuffer(data, dtype="<i4", count=count).astype(np.int32)
        return cls(wh, np.frombuffer(data, dtype=np.uint8, offset=4 * count))

    def packed(self) -> bytes:
        """As bytes: all watt-hours, then all qualities, compressed."""
        return zlib.compress(self.wh.astype("<i4").tobytes() + self.quality.tobytes(), 1)

    def __len__(self) -> int:
        return len(self.wh)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Values) and len(self) == len(other) and bool(self.same(other).all())

    __hash__ = None  # type: ignore[assignment]  # as of the arrays

    def same(self, other: Values) -> NDArray[np.bool_]:
        """Where both say the same; what is missing has no value."""
        same = (self.quality == other.quality) & ((self.wh == other.wh) | (self.quality == Quality.MISSING))
        return cast("NDArray[np.bool_]", same)

    def part(self, first: int, last: int) -> Values:
        """Some of them."""
        return Values(self.wh[first:last], self.quality[first:last])

    @property
    def known_wh(self) -> int:
        """The sum of what is not missing."""
        return int(self.wh[self.quality != Quality.MISSING].sum(dtype=np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """A change that waits for a second person, with its effect on the bill."""

    action: Action
    by: str
    reason: str
    at: datetime
    values: Values
    effect: Money | None
    method: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadingException:
    """Something that a check found about a stretch of a channel, and what became of it.

    ``rule``       a :class:`~wattledger.readings.vee.Rule`'s name, or :data:`EDIT_REPLACED`
    ``measured``   and ``allowed``: as a finding's ``measured`` and ``limit``
    ``stake_wh``   the energy that may be wrong; ``stake`` what it is worth, ``None`` where no tariff prices it
    ``seen``       the values as they came, ``made`` those that stand in their place (none for severity info)
    ``revision``   counts what changed about it: who decides says which one they looked at
    """

    id: str
    service_point_id: str
    channel: str
    seconds: int
    rule: str
    severity: vee.Severity
    period: Period
    measured: int
    allowed: int
    state: State
    stake_wh: int
    stake: Money | None
    seen: Values
    made: Values
    method: str
    proposal: Proposal | None
    revision: int
    decided_by: str
    found_at: datetime
    changed_at: datetime
    closed_at: datetime | None

    @property
    def words(self) -> str:
        """What was found, as a person reads it."""
        if self.rule == EDIT_REPLACED:
            was, came = vee.amount(self.allowed, 3, self.unit), vee.amount(self.measured, 3, self.unit)
            return f"the meter says {came} for time of which a person had said {was}"
        return vee.in_words(
            vee.Rule(self.rule), self.measured, self.allowed, seconds=self.period.seconds, unit=self.unit
        )

    @property
    def unit(self) -> str:
        """What the channel counts."""
        return "kvarh" if self.channel == "reactive" else "kWh"

    @property
    def live(self) -> bool:
        """Whether nobody has decided it and its cause is not gone."""
        return self.state in LIVE


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExceptionStep:
    """Who did what to an exception, when, why, and what stood in the store before and after.

    ``effect`` on the bill by the tariff's price: ``None`` where nothing was changed or no tariff prices it.
    """

    at: datetime
    actor: str
    action: str
    reason: str
    state_before: State | None
    state_after: State
    period: Period
    before: Values | None
    after: Values | None
    effect: Money | None
    batch_id: str | None


# --- The queue ------------------------------------------------------------------------------------------------------


def exceptions(
    tx: Transaction,
    *,
    states: Collection[State] = ASKING,
    rule: str | None = None,
    service_point_id: str | None = None,
    channel: str | None = None,
    limit: int = 50,
    offset: int = 0,
) -> list[ReadingException]:
    """A page of the queue: most money at stake first, whatever the currency; then most energy, then the oldest."""
    e = reading_exception.c
    select = sa.select(reading_exception).where(*_narrowed(states, rule, service_point_id, channel))
    order = (e.money.desc(), e.wh.desc(), e.found_at, e.id)
    return [exception_of(row) for row in tx.rows(select.order_by(*order).limit(limit).offset(offset))]


def exception_count(
    tx: Transaction,
    *,
    states: Collection[State] = ASKING,
    rule: str | None = None,
    service_point_id: str | None = None,
    channel: str | None = None,
) -> int:
    """How many exceptions :func:`exceptions` would page through."""
    where = _narrowed(states, rule, service_point_id, channel)
    return int(tx.execute(sa.select(sa.func.count()).select_from(reading_exception).where(*where)).scalar_one())


def _narrowed(
    states: Collection[State], rule: str | None, service_point_id: str | None, channel: str | None
) -> list[sa.ColumnElement[bool]]:
    e = reading_exception.c
    told = ((e.rule, rule), (e.service_point_id, service_point_id), (e.channel, channel))
    return [e.state.in_(sorted(states)), *(column == value for column, value in told if value is not None)]


def exception_with_id(tx: Transaction, *, exception_id: str) -> ReadingException:
    """One exception; raises :class:`ExceptionNotFound`."""
    select = sa.select(reading_exception).where(reading_exception.c.id == exception_id)
    row = tx.execute(select).one_or_none() if exception_id.isprintable() else None  # no database is asked for others
    if row is None:
        raise ExceptionNotFound(f"no exception is called {exception_id!r}")
    return exception_of(row)


def exception_steps(tx: Transaction, *, exception_id: str) -> list[ExceptionStep]:
    """Everything that was done about an exception, in order."""
    step = reading_exception_step.c
    rows = tx.rows(sa.select(reading_exception_step).where(step.exception_id == exception_id).order_by(step.id))
    return [
        ExceptionStep(
            at=row.at,
            actor=row.actor,
            action=row.action,
            reason=row.reason,
            state_before=row.state_before,
            state_after=row.state_after,
            period=Period(row.start, row.end),
            before=None if row.before is None else Values.unpacked(row.before),
            after=None if row.after is None else Values.unpacked(row.after),
            effect=None if row.effect is None or row.currency is None else Money(row.effect, row.currency),
            batch_id=row.batch_id,
        )
        for row in rows
    ]


# --- Rows -----------------------------------------------------------------------------------------------------------


def exception_of(row: Row) -> ReadingException:
    """A row as a value."""
    return ReadingException(
        id=row.id,
        service_point_id=row.service_point_id,
        channel=row.channel,
        seconds=row.seconds,
        rule=row.rule,
        severity=vee.Severity[row.severity.upper()],
        period=Period(row.start, row.end),
        measured=row.measured,
        allowed=row.allowed,
        state=row.state,
        stake_wh=row.wh,
        stake=None if row.currency is None else Money(row.money, row.currency),
        seen=Values.unpacked(row.seen),
        made=Values.unpacked(row.made),
        method=row.method,
        proposal=None if row.proposal is None else _proposal_of(row.proposal),
        revision=row.revision,
        decided_by=row.decided_by,
        found_at=row.found_at,
        changed_at=row.changed_at,
        closed_at=row.closed_at,
    )


def row_of(one: ReadingException) -> dict[str, object]:
    """The other way round."""
    return {
        "id": one.id,
        "service_point_id": one.service_point_id,
        "channel": one.channel,
        "seconds": one.seconds,
        "rule": one.rule,
        "severity": one.severity.name.lower(),
        "start": one.period.start,
        "end": one.period.end,
        "measured": one.measured,
        "allowed": one.allowed,
        "state": one.state,
        "wh": one.stake_wh,
        "money": 0 if one.stake is None else one.stake.micro,
        "currency": None if one.stake is None else one.stake.currency,
        "seen": one.seen.packed() if len(one.seen) else b"",
        "made": one.made.packed() if len(one.made) else b"",
        "method": one.method,
        "proposal": None if one.proposal is None else _proposal_row(one.proposal),
        "revision": one.revision,
        "decided_by": one.decided_by,
        "found_at": one.found_at,
        "changed_at": one.changed_at,
        "closed_at": one.closed_at,
    }


_KEPT = ("id", "service_point_id", "channel", "seconds", "rule", "found_at")


def write_exceptions(tx: Transaction, written: Sequence[ReadingException]) -> None:
    """Put exceptions down, new ones and changed ones."""
    changing = [column.name for column in reading_exception.columns if column.name not in _KEPT]
    tx.upsert(reading_exception, [row_of(one) for one in written], update=changing)


def write_steps(tx: Transaction, taken: Iterable[tuple[str, ExceptionStep]]) -> None:
    """Add steps, each with its exception's id; never changed afterwards."""
    rows = [
        {
            "exception_id": exception_id,
            "at": step.at,
            "actor": step.actor,
            "action": step.action,
            "reason": step.reason,
            "state_before": step.state_before,
            "state_after": step.state_after,
            "start": step.period.start,
            "end": step.period.end,
            "before": None if step.before is None else step.before.packed(),
            "after": None if step.after is None else step.after.packed(),
            "effect": None if step.effect is None else step.effect.micro,
            "currency": None if step.effect is None else step.effect.currency,
            "batch_id": step.batch_id,
        }
        for exception_id, step in taken
    ]
    if rows:
        tx.execute(reading_exception_step.insert(), rows)


def exceptions_about(
    tx: Transaction,
    *,
    period: Period,
    states: Collection[State],
    channel: str | None = None,
    service_point_ids: Collection[str] | None = None,
) -> list[ReadingException]:
    """The exceptions that overlap a period, by point and start; of the points named, or of all."""
    e = reading_exception.c
    where = [e.state.in_(sorted(states)), e.end > period.start, e.start < period.end]
    if channel is not None:
        where.append(e.channel == channel)
    if service_point_ids is not None:
        where.append(tx.among(e.service_point_id, service_point_ids))
    select = sa.select(reading_exception).where(*where).order_by(e.service_point_id, e.start, e.id)
    return [exception_of(row) for row in tx.rows(select)]


def any_exception_after(tx: Transaction, *, instant: datetime) -> bool:
    """Whether any exception is about time after ``instant``."""
    return (
        tx.execute(sa.select(reading_exception.c.id).where(reading_exception.c.end > instant).limit(1)).first()
        is not None
    )


def new_exception(  # noqa: PLR0913 - what is found
    *,
    service_point_id: str,
    channel: str,
    seconds: int,
    rule: str,
    severity: vee.Severity,
    span: tuple[int, int],
    measured: int,
    allowed: int,
    state: State,
    seen: Values,
    made: Values,
    now: datetime,
    method: str = "",
    stake_wh: int = 0,
) -> ReadingException:
    """An exception that was just found; ``span`` in epoch seconds."""
    return ReadingException(
        id=new_id("exc"),
        service_point_id=service_point_id,
        channel=channel,
        seconds=seconds,
        rule=rule,
        severity=severity,
        period=Period(from_epoch(span[0]), from_epoch(span[1])),
        measured=measured,
        allowed=allowed,
        state=state,
        stake_wh=stake_wh,
        stake=None,
        seen=seen,
        made=made,
        method=method,
        proposal=None,
        revision=1,
        decided_by="",
        found_at=now,
        changed_at=now,
        closed_at=None,
    )


def machine_step(
    *,
    action: str,
    reason: str,
    before: ReadingException | None,
    after: ReadingException,
    now: datetime,
    values: tuple[Values, Values] | None = None,
) -> tuple[str, ExceptionStep]:
    """A step that nobody took, beside its exception's id; ``values`` before and after where some were changed."""
    return after.id, ExceptionStep(
        at=now,
        actor=MACHINE,
        action=action,
        reason=reason,
        state_before=None if before is None else before.state,
        state_after=after.state,
        period=after.period,
        before=None if values is None else values[0],
        after=None if values is None else values[1],
        effect=None,
        batch_id=None,
    )


def _proposal_row(one: Proposal) -> dict[str, Any]:
    return {
        "action": one.action,
        "by": one.by,
        "reason": one.reason,
        "at": one.at.isoformat(),
        "wh": one.values.wh.tolist(),
        "quality": one.values.quality.tolist(),
        "effect": None if one.effect is None else one.effect.micro,
        "currency": None if one.effect is None else one.effect.currency,
        "method": one.method,
    }


def _proposal_of(said: Mapping[str, Any]) -> Proposal:
    return Proposal(
        action=said["action"],
        by=said["by"],
        reason=said["reason"],
        at=datetime.fromisoformat(said["at"]),
        values=Values(np.array(said["wh"], dtype=np.int32), np.array(said["quality"], dtype=np.uint8)),
        effect=None if said["effect"] is None else Money(said["effect"], said["currency"]),
        method=said["method"],
    )
