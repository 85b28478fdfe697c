"""What meters logged: each entry kept once, whatever was read how often; a tamper is told to those who look into it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from wattledger.headend import _tables as t
from wattledger.headend._event_codes import TAMPER, EventKind, event_kind, plain_code
from wattledger.headend._queue import linked, reschedule
from wattledger.headend.ports import LoggedEvent
from wattledger.kernel import epoch, from_epoch
from wattledger.store import Fact, Transaction, chunked

_OVERLAP = 86_400  # seconds that are read again: a clock that was set back logs behind what was read
_AROUND = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterEvent:
    """An entry of a meter's log: ``at`` by the meter's own clock."""

    meter_id: str
    log: str
    at: datetime
    code: int
    kind: EventKind
    read_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TamperSuspected(Fact):
    """A meter logged what somebody may have done to it; told once for each entry.

    ``event_at``                     by the meter's clock, ISO 8601, UTC
    ``around_start``, ``around_end``  the readings that may show what it did
    """

    meter_id: str
    kind: str
    log: str
    code: int
    event_at: str
    around_start: str
    around_end: str


@dataclass(frozen=True, slots=True)
class LogRead:
    """A read of an event log that is to be made: the entries at or after ``since``, epoch seconds."""

    log: str
    since: int


def expect_events(
    tx: Transaction, *, meter_ids: Collection[str], log: str, every: timedelta, since: datetime, now: datetime
) -> None:
    """Read this event log of these meters from now on; the first time from ``since`` on."""
    linked(tx, meter_ids=meter_ids)
    seconds = int(every.total_seconds())
    tx.upsert(
        t.event_log,
        [
            {"meter_id": meter_id, "log": log, "since": epoch(since), "every": seconds, "read_at": None}
            for meter_id in sorted(set(meter_ids))
        ],
        update=["every"],
    )
    reschedule(tx, meter_ids=meter_ids, now=now)


def due_logs(tx: Transaction, *, meter_ids: Collection[str], now: datetime) -> dict[str, list[LogRead]]:
    """The event logs of these meters that are to be read now."""
    found: dict[str, list[LogRead]] = {}
    select = sa.select(t.event_log).where(tx.among(t.event_log.c.meter_id, meter_ids))
    for row in tx.rows(select.order_by(t.event_log.c.meter_id, t.event_log.c.log)):
        if row.read_at is None or row.read_at + timedelta(seconds=row.every) <= now:
            found.setdefault(row.meter_id, []).append(LogRead(row.log, row.since))
    return found


def record_events(
    tx: Transaction, *, events: Sequence[tuple[str, LoggedEvent]], read: Sequence[tuple[str, str]] = (), now: datetime
) -> int:
    """Keep entries of event logs, pairs of meter and entry; returns how many were not known.

    ``read`` names the logs, pairs of meter and log, that were read to their end. Two entries of one code in one second
    of one log are one. A tamper that was not known becomes :class:`TamperSuspected` in this unit of work.
    """
    companions = {
        meter_id: link.companion
        for meter_id, link in linked(tx, meter_ids={meter_id for meter_id, _ in (*events, *read)}).items()
    }
    rows: dict[tuple[str, str, int, int], dict[str, object]] = {}
    for meter_id, event in events:
        companion = companions[meter_id]
        code = plain_code(event.code, companion=companion)
        rows[meter_id, event.log, event.at, code] = {
            "meter_id": meter_id,
            "log": event.log,
            "at": event.at,
            "code": code,
            "kind": event_kind(code, companion=companion).value,
            "read_at": now,
        }
    known = _known(tx, rows.keys())
    new = {key: rows[key] for key in sorted(rows.keys() - known)}
    tx.insert(t.event, list(new.values()))
    tx.emit_all([_suspected(key, str(row["kind"]), now) for key, row in new.items() if row["kind"] in TAMPER])
    _advance(tx, events, read, now)
    return len(new)


def events_of(tx: Transaction, *, meter_id: str, limit: int = 100) -> list[MeterEvent]:
    """The newest entries of a meter's logs, newest first."""
    select = sa.select(t.event).where(t.event.c.meter_id == meter_id)
    return [
        MeterEvent(
            meter_id=row.meter_id,
            log=row.log,
            at=from_epoch(row.at),
            code=row.code,
            kind=EventKind(row.kind),
            read_at=row.read_at,
        )
        for row in tx.rows(select.order_by(t.event.c.at.desc(), t.event.c.log, t.event.c.code).limit(limit))
    ]


def _known(tx: Transaction, keys: Collection[tuple[str, str, int, int]]) -> set[tuple[str, str, int, int]]:
    known: set[tuple[str, str, int, int]] = set()
    if not keys:
        return known
    first, last = min(key[2] for key in keys), max(key[2] for key in keys)
    for piece in chunked(sorted({key[0] for key in keys})):
        select = sa.select(t.event.c.meter_id, t.event.c.log, t.event.c.at, t.event.c.code)
        select = select.where(tx.among(t.event.c.meter_id, piece), t.event.c.at.between(first, last))
        known |= {(row.meter_id, row.log, row.at, row.code) for row in tx.rows(select)}
    return known


def _suspected(key: tuple[str, str, int, int], kind: str, now: datetime) -> TamperSuspected:
    meter_id, log, at, code = key
    happened = from_epoch(at)
    return TamperSuspected(
        at=now,
        meter_id=meter_id,
        kind=kind,
        log=log,
        code=code,
        event_at=happened.isoformat(),
        around_start=(happened - _AROUND).isoformat(),
        around_end=(happened + _AROUND).isoformat(),
    )


def _advance(
    tx: Transaction, events: Sequence[tuple[str, LoggedEvent]], read: Sequence[tuple[str, str]], now: datetime
) -> None:
    """Next time only what may be new is read."""
    newest: dict[tuple[str, str], int] = {}
    for meter_id, event in events:
        key = (meter_id, event.log)
        # An entry from the future would hide all that come before it.
        newest[key] = max(newest.get(key, 0), min(event.at, epoch(now)))
    changes = [
        {"key_meter": key[0], "key_log": key[1], "upto": newest[key] - _OVERLAP if key in newest else 0, "seen": now}
        for key in sorted(set(read))
    ]
    if not changes:
        return
    later = sa.case((t.event_log.c.since < sa.bindparam("upto"), sa.bindparam("upto")), else_=t.event_log.c.since)
    tx.execute(
        t.event_log.update()
        .where(t.event_log.c.meter_id == sa.bindparam("key_meter"), t.event_log.c.log == sa.bindparam("key_log"))
        .values(since=later, read_at=sa.bindparam("seen")),
        changes,
    )
