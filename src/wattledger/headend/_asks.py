"""Reads on demand: somebody waits for the answer, so the meter is talked to before all others."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias, get_args

import sqlalchemy as sa

from wattledger.headend import _tables as t
from wattledger.headend._queue import hurry, linked
from wattledger.headend.ports import LoggedEvent, MeterClock, ProfileRows, Register, Relay
from wattledger.kernel import Period, Problem, epoch
from wattledger.store import Row, Transaction

What: TypeAlias = Literal["clock", "registers", "profile", "events", "relay", "limit"]
AskState: TypeAlias = Literal["waiting", "done", "failed", "expired"]


class AskRefused(Problem):
    """A read on demand makes no sense as it was asked for."""

    slug = "meter-read-refused"
    title = "The read makes no sense"
    status = 422


class AskConflict(Problem):
    """A read came again under the same id with other content."""

    slug = "meter-read-conflict"
    title = "A read with this id was asked for before with other content"
    status = 409


class AskUnknown(Problem):
    """There is no read with this id."""

    slug = "meter-read-not-found"
    title = "No such read"
    status = 404


@dataclass(frozen=True, slots=True, kw_only=True)
class AskRequest:
    """What somebody wants to know. ``id`` is made by the client: a repeat of the request repeats the id.

    Registers need ``names``; a profile needs its name, the ``seconds`` of its intervals and a ``period``; events need
    the name of their ``log``, and may have a ``since``.
    """

    id: str
    meter_id: str
    what: What
    names: Sequence[str] = ()
    profile: str | None = None
    seconds: int | None = None
    period: Period | None = None
    log: str | None = None
    since: datetime | None = None
    valid_for: timedelta = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A read on demand as it stands.

    ``arguments``  for registers ``{"names": [...]}``, for a profile ``{"profile", "seconds", "start", "end"}``, for
                   events ``{"log", "since"}``
    ``answer``     what the meter said: whole numbers, epoch seconds, names; a profile's rows went to the readings, and
                   entries of a log to the events, too
    """

    id: str
    meter_id: str
    what: What
    arguments: Mapping[str, Any]
    state: AskState
    asked_at: datetime
    done_at: datetime | None
    answer: Mapping[str, Any] | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """How a read on demand ended: with what the meter said, or with why it did not."""

    content: Mapping[str, Any] | None
    detail: str | None = None


def ask(tx: Transaction, *, request: AskRequest, now: datetime) -> Ask:
    """Ask a meter now, before all others; the same request again is the same read."""
    arguments = _arguments(request)
    linked(tx, meter_ids=[request.meter_id])
    row = {
        "id": request.id,
        "meter_id": request.meter_id,
        "what": request.what,
        "arguments": arguments,
        "asked_at": now,
        "expires_at": now + request.valid_for,
        "state": "waiting",
    }
    if tx.insert_new(t.ask, [row]):
        hurry(tx, meter_ids=[request.meter_id], now=now)
    found = asked(tx, ask_id=request.id)
    if (found.meter_id, found.what, dict(found.arguments)) != (request.meter_id, request.what, arguments):
        raise AskConflict(f"the read {request.id} was asked for before with other content", remedy="give it a new id")
    return found


def asked(tx: Transaction, *, ask_id: str) -> Ask:
    """One read on demand; raises :class:`AskUnknown`."""
    row = tx.execute(sa.select(t.ask).where(t.ask.c.id == ask_id)).one_or_none()
    if row is None:
        raise AskUnknown(f"no read has the id {ask_id!r}")
    return _ask(row)


def waiting_asks(tx: Transaction, *, meter_ids: Collection[str], now: datetime) -> dict[str, list[Ask]]:
    """What somebody waits for at these meters, oldest first; what waited too long is expired."""
    waiting = sa.and_(tx.among(t.ask.c.meter_id, meter_ids), t.ask.c.state == "waiting")
    tx.execute(t.ask.update().where(waiting, t.ask.c.expires_at <= now).values(state="expired", done_at=now))
    found: dict[str, list[Ask]] = {}
    for row in tx.rows(sa.select(t.ask).where(waiting).order_by(t.ask.c.asked_at, t.ask.c.id)):
        found.setdefault(row.meter_id, []).append(_ask(row))
    return found


def keep_answers(tx: Transaction, *, answers: Mapping[str, Answer], now: datetime) -> None:
    """Write down how reads on demand ended."""
    for ask_id, answer in sorted(answers.items()):
        state = "failed" if answer.content is None else "done"
        content = None if answer.content is None else dict(answer.content)
        tx.execute(
            t.ask.update()
            .where(t.ask.c.id == ask_id, t.ask.c.state == "waiting")
            .values(state=state, done_at=now, answer=sa.null() if content is None else content, detail=answer.detail)
        )


def told_clock(clock: MeterClock, *, off: int) -> dict[str, object]:
    """A clock as an answer; ``off`` seconds ahead of ours."""
    return {"at": clock.at, "valid": clock.valid, "off": off}


def told_registers(registers: Sequence[Register]) -> dict[str, object]:
    """Registers as an answer."""
    return {
        "registers": [
            {
                "name": one.channel.name,
                "value": one.value,
                "scale": one.channel.scale,
                "unit": one.channel.unit,
                "at": one.at,
            }
            for one in registers
        ]
    }


def told_rows(rows: ProfileRows) -> dict[str, object]:
    """Profile rows as an answer: of each its start, its values (``None`` where one misses) and its status."""
    values: list[list[int | None]] = rows.values.tolist()
    if rows.present is not None:
        values = [
            [value if there else None for value, there in zip(*both, strict=True)]
            for both in zip(values, rows.present.tolist(), strict=True)
        ]
    return {
        "channels": [{"name": one.name, "scale": one.scale, "unit": one.unit} for one in rows.channels],
        "rows": [list(row) for row in zip(rows.starts.tolist(), values, rows.status.tolist(), strict=True)],
    }


def told_events(events: Sequence[LoggedEvent]) -> dict[str, object]:
    """Entries of a log as an answer, with the codes of the meter."""
    return {"events": [{"at": one.at, "code": one.code} for one in events]}


def told_relay(relay: Relay) -> dict[str, object]:
    """A disconnector as an answer."""
    return {"output": relay.output_state, "control_state": relay.control_state, "control_mode": relay.control_mode}


def _arguments(request: AskRequest) -> dict[str, object]:
    if request.what not in get_args(What):
        raise AskRefused(f"nothing is called {request.what!r}", remedy=f"use {', '.join(get_args(What))}")
    if not request.id.strip() or request.valid_for <= timedelta():
        raise AskRefused("a read needs an id, and time to be made in", remedy="give both")
    if request.what == "registers":
        if not request.names:
            raise AskRefused("registers are read by their names", remedy="name at least one")
        return {"names": list(request.names)}
    if request.what == "profile":
        profile, seconds, period = request.profile, request.seconds, request.period
        if profile is None or seconds is None or seconds < 1 or period is None or period.seconds < 1:
            raise AskRefused(
                "a profile is read by its name, the seconds of its intervals and a period", remedy="give all three"
            )
        return {"profile": profile, "seconds": seconds, "start": epoch(period.start), "end": epoch(period.end)}
    if request.what == "events":
        if not request.log:
            raise AskRefused("events are read from a log", remedy="name it, 0-0:99.98.0 for instance")
        return {"log": request.log, "since": 0 if request.since is None else epoch(request.since)}
    return {}


def _ask(row: Row) -> Ask:
    return Ask(
        id=row.id,
        meter_id=row.meter_id,
        what=row.what,
        arguments=row.arguments,
        state=row.state,
        asked_at=row.asked_at,
        done_at=row.done_at,
        answer=row.answer,
        detail=row.detail,
    )
