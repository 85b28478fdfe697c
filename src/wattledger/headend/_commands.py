"""Commands to meters, each proved by reading back what it was to change.

::

                       ┌────────── try again ──────────┐
                       ▼                               │ not done, time and tries left
    queued ── send ─► sent ── accept ─► accepted ─ lose ─► unknown
      │                 │                  │                 │
      ├ expire          ├ refuse           └───── read back ─┤
      ▼                 ▼                                    ▼
    expired           failed       confirmed | not performed | ready for reconnection

A meter's "success" is its word that it heard. Only what is read back says what it did: a stuck relay and one that waits
for somebody to press its button are outcomes of their own, and never "done".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Literal, TypeAlias, cast, get_args

import sqlalchemy as sa

from wattledger.headend import _tables as t
from wattledger.headend._queue import OPEN_COMMANDS, hurry, linked
from wattledger.headend.ports import Relay
from wattledger.kernel import Problem
from wattledger.store import Fact, Row, Transaction

Action: TypeAlias = Literal["switch_on", "switch_off", "set_limit"]
CommandState: TypeAlias = Literal[
    "queued",
    "sent",
    "accepted",
    "unknown",
    "confirmed",
    "not_performed",
    "ready_for_reconnection",
    "failed",
    "expired",
    "withdrawn",
]
CommandEvent: TypeAlias = Literal[
    "request",
    "send",
    "accept",
    "refuse",
    "lose",
    "see_done",
    "see_undone",
    "see_ready",
    "try_again",
    "expire",
    "withdraw",
]

TRANSITIONS: Mapping[tuple[CommandState | None, CommandEvent], CommandState] = MappingProxyType(
    {
        (None, "request"): "queued",
        ("queued", "send"): "sent",
        ("queued", "expire"): "expired",
        ("queued", "withdraw"): "withdrawn",
        ("sent", "accept"): "accepted",
        ("sent", "refuse"): "failed",
        ("sent", "lose"): "unknown",
        ("accepted", "lose"): "unknown",
        ("accepted", "see_done"): "confirmed",
        ("accepted", "see_undone"): "not_performed",
        ("accepted", "see_ready"): "ready_for_reconnection",
        ("unknown", "see_done"): "confirmed",
        ("unknown", "see_undone"): "not_performed",
        ("unknown", "see_ready"): "ready_for_reconnection",
        ("unknown", "try_again"): "queued",
        ("ready_for_reconnection", "see_done"): "confirmed",
    }
)
"""The whole state machine; what does not stand here does not happen."""

HEADEND = "head-end"
"""The actor of what the head-end does by itself."""

_ATTEMPTS_MAX = 5
_ID_MAX = 120
_RELAY_ACTIONS = ("switch_on", "switch_off")
_UNDER_WAY = ("sent", "accepted")
_WATTS_MAX = 2**32 - 1


class CommandUnknown(Problem):
    """There is no command with this id."""

    slug = "meter-command-not-found"
    title = "No such command"
    status = 404


class CommandRefused(Problem):
    """A command makes no sense as it was asked for."""

    slug = "meter-command-refused"
    title = "The command makes no sense"
    status = 422


class CommandConflict(Problem):
    """A command came again under the same id with other content."""

    slug = "meter-command-conflict"
    title = "A command with this id was given before with other content"
    status = 409


class CommandUnderWay(Problem):
    """A command has gone too far to be taken back, or to do what was asked of it."""

    slug = "meter-command-under-way"
    title = "The command cannot be changed any more"
    status = 409


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRequest:
    """What a client asks. ``id`` is made by the client: a repeat of the request repeats the id.

    ``watts``      the limit, for ``set_limit`` alone
    ``valid_for``  after this time it is not sent any more
    """

    id: str
    meter_id: str
    action: Action
    watts: int | None = None
    actor: str
    reason: str
    valid_for: timedelta = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command as it stands.

    ``seen``      what was read back last
    ``attempts``  how often it was sent
    ``done_at``   when its outcome was known; ``None`` while it is open
    """

    id: str
    meter_id: str
    action: Action
    watts: int | None
    state: CommandState
    actor: str
    reason: str
    requested_at: datetime
    expires_at: datetime
    attempts: int
    sent_at: datetime | None
    accepted_at: datetime | None
    done_at: datetime | None
    seen: str | None
    detail: str | None

    @property
    def is_open(self) -> bool:
        """Whether the head-end still works on it."""
        return self.state in OPEN_COMMANDS


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandStep:
    """One line of a command's audit; never changed."""

    at: datetime
    actor: str
    event: CommandEvent
    before: CommandState | None
    after: CommandState
    detail: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSettled(Fact):
    """A command's outcome is known, or another than was known before."""

    command_id: str
    meter_id: str
    action: str
    state: str
    seen: str | None
    detail: str | None


def submit(tx: Transaction, *, request: CommandRequest, now: datetime) -> Command:
    """Queue a command and let its meter be talked to at once; the same request again is the same command.

    Raises :class:`CommandConflict` when the id was used with other content.
    """
    digest = _hash(request)
    known = tx.execute(sa.select(t.command).where(t.command.c.id == request.id)).one_or_none()
    if known is None:
        _check(request)
        linked(tx, meter_ids=[request.meter_id])
        # The meter's row is the lock under which its commands are numbered.
        tx.execute(tx.locked(sa.select(t.meter.c.meter_id).where(t.meter.c.meter_id == request.meter_id)))
        last = tx.execute(
            sa.select(sa.func.max(t.command.c.number)).where(t.command.c.meter_id == request.meter_id)
        ).scalar_one()
        fresh = tx.insert_new(
            t.command,
            [
                {
                    "id": request.id,
                    "number": (last or 0) + 1,
                    "meter_id": request.meter_id,
                    "action": request.action,
                    "watts": request.watts,
                    "request_hash": digest,
                    "state": "queued",
                    "actor": request.actor,
                    "reason": request.reason,
                    "requested_at": now,
                    "expires_at": now + request.valid_for,
                    "attempts": 0,
                }
            ],
        )
        if fresh:
            _step(tx, request.id, actor=request.actor, event="request", before=None, detail=request.reason, now=now)
            hurry(tx, meter_ids=[request.meter_id], now=now)
        known = _row(tx, request.id)
    if known.request_hash != digest:
        raise CommandConflict(
            f"the command {request.id} was given on {known.requested_at:%Y-%m-%d %H:%M:%S} UTC with other content",
            remedy="give a new command a new id",
        )
    return _command(known)


def command(tx: Transaction, *, command_id: str) -> Command:
    """One command; raises :class:`CommandUnknown`."""
    return _command(_row(tx, command_id))


def commands(tx: Transaction, *, meter_id: str, limit: int = 100) -> list[Command]:
    """The newest commands of a meter, newest first."""
    select = sa.select(t.command).where(t.command.c.meter_id == meter_id)
    return [_command(row) for row in tx.rows(select.order_by(t.command.c.number.desc()).limit(limit))]


def command_steps(tx: Transaction, *, command_id: str) -> list[CommandStep]:
    """The audit of a command, oldest first."""
    select = sa.select(t.command_step).where(t.command_step.c.command_id == command_id).order_by(t.command_step.c.id)
    return [
        CommandStep(
            at=row.at,
            actor=row.actor,
            event=row.event,
            before=row.state_before,
            after=row.state_after,
            detail=row.detail,
        )
        for row in tx.rows(select)
    ]


def withdraw(tx: Transaction, *, command_id: str, actor: str, reason: str, now: datetime) -> Command:
    """Take a command back that was not sent yet; raises :class:`CommandUnderWay` when it was."""
    return advance(tx, command_id=command_id, event="withdraw", actor=actor, detail=reason, now=now)


def advance(
    tx: Transaction,
    *,
    command_id: str,
    event: CommandEvent,
    now: datetime,
    actor: str = HEADEND,
    detail: str | None = None,
    seen: str | None = None,
) -> Command:
    """Let one event happen to a command, with its line in the audit; raises :class:`CommandUnderWay` if it cannot."""
    row = _row(tx, command_id, lock=True)
    after = TRANSITIONS.get((row.state, event))
    if after is None:
        raise CommandUnderWay(f"the command {command_id} is {row.state}: it is too late to {event.replace('_', ' ')}")
    changes: dict[str, object] = {"state": after}
    if detail is not None:
        changes["detail"] = detail
    if seen is not None:
        changes["seen"] = seen
    if event == "send":
        changes |= {"sent_at": now, "accepted_at": None, "attempts": row.attempts + 1}
    if event == "accept":
        changes["accepted_at"] = now
    if after not in OPEN_COMMANDS:
        changes["done_at"] = now
    tx.execute(t.command.update().where(t.command.c.id == command_id).values(**changes))
    _step(tx, command_id, actor=actor, event=event, before=row.state, detail=detail or seen, now=now)
    found = _command(_row(tx, command_id))
    if not found.is_open:
        tx.emit(
            CommandSettled(
                at=now,
                command_id=found.id,
                meter_id=found.meter_id,
                action=found.action,
                state=found.state,
                seen=found.seen,
                detail=found.detail,
            )
        )
    return found


def open_commands(tx: Transaction, *, meter_ids: Collection[str], now: datetime) -> dict[str, list[Command]]:
    """What is to be done at meters that were just leased: their open commands, in the order they were given.

    Nobody else talks to these meters, so a command that is under way was left by a process that died: whether the meter
    did it is not known, and it is read back before anything is sent. What was not sent in its time is expired.
    """
    among = tx.among(t.command.c.meter_id, meter_ids)
    for row in tx.rows(sa.select(t.command.c.id).where(among, t.command.c.state.in_(_UNDER_WAY))):
        advance(tx, command_id=row.id, event="lose", detail="the head-end was stopped on the way", now=now)
    late = sa.select(t.command.c.id).where(among, t.command.c.state == "queued", t.command.c.expires_at <= now)
    for row in tx.rows(late):
        advance(tx, command_id=row.id, event="expire", now=now)
    found: dict[str, list[Command]] = {}
    select = sa.select(t.command).where(among, t.command.c.state.in_(OPEN_COMMANDS))
    for row in tx.rows(select.order_by(t.command.c.meter_id, t.command.c.number)):
        found.setdefault(row.meter_id, []).append(_command(row))
    return found


def expire_commands(tx: Transaction, *, now: datetime, limit: int = 1000) -> int:
    """Expire what was not sent in its time, at any meter; returns how many."""
    late = sa.select(t.command.c.id).where(t.command.c.state == "queued", t.command.c.expires_at <= now)
    rows = tx.rows(tx.locked(late.order_by(t.command.c.id).limit(limit)))
    for row in rows:
        advance(tx, command_id=row.id, event="expire", now=now)
    return len(rows)


def judge_unknown(tx: Transaction, *, command_id: str, event: CommandEvent, seen: str, now: datetime) -> Command:
    """Settle a command of which nobody knew whether it was done, by what was read back.

    One that was not done goes back to the queue; unless its time is over, it was tried often enough, or a later command
    wants something else of the same part of the meter.
    """
    if event == "see_undone":
        row = _row(tx, command_id, lock=True)
        same_part = _RELAY_ACTIONS if row.action in _RELAY_ACTIONS else (row.action,)
        later = tx.rows(
            sa.select(t.command.c.id)
            .where(
                t.command.c.meter_id == row.meter_id,
                t.command.c.number > row.number,
                t.command.c.action.in_(same_part),
                t.command.c.state.not_in(("expired", "withdrawn")),
            )
            .limit(1)
        )
        if row.expires_at > now and row.attempts < _ATTEMPTS_MAX and not later:
            event = "try_again"
    return advance(tx, command_id=command_id, event=event, seen=seen, now=now)


def note_relay(tx: Transaction, *, meter_id: str, relay: Relay, now: datetime) -> None:
    """A relay was read for any reason: a reconnect that waited for its button may be done by now."""
    select = sa.select(t.command).where(t.command.c.meter_id == meter_id, t.command.c.action.in_(_RELAY_ACTIONS))
    last = tx.execute(select.order_by(t.command.c.number.desc()).limit(1)).one_or_none()
    if last is not None and last.state == "ready_for_reconnection":
        event, seen = verdict_on_relay(action=last.action, relay=relay)
        if event == "see_done":
            advance(tx, command_id=last.id, event=event, seen=seen, now=now)


def verdict_on_relay(*, action: Action, relay: Relay) -> tuple[CommandEvent, str]:
    """What a disconnector, read back, says about a command, and the words for it.

    Attributes 2 and 3 of class 70 have to agree: an output that is off while the state says *connected* proves nothing.
    """
    seen = (
        f"output {'on' if relay.output_state else 'off'}, {relay.control_state.replace('_', ' ')}, "
        f"mode {relay.control_mode}"
    )
    wanted = (True, "connected") if action == "switch_on" else (False, "disconnected")
    if (relay.output_state, relay.control_state) == wanted:
        return "see_done", seen
    if not relay.output_state and relay.control_state == "ready_for_reconnection":
        return "see_ready", seen
    return "see_undone", seen


def verdict_on_limit(*, wanted: int, watts: int) -> tuple[CommandEvent, str]:
    """What a limiter, read back, says about a command, and the words for it."""
    return ("see_done" if watts == wanted else "see_undone"), f"limit {watts} W"


def _check(request: CommandRequest) -> None:
    if not request.id.strip() or len(request.id) > _ID_MAX:
        raise CommandRefused("a command needs an id of at most 120 characters", remedy="make one for each command")
    if request.action not in get_args(Action):
        raise CommandRefused(f"no command is called {request.action!r}", remedy=f"use {', '.join(get_args(Action))}")
    if not request.actor.strip() or not request.reason.strip():
        raise CommandRefused(f"the command {request.id} says not who wants it, or why", remedy="say both")
    if request.valid_for <= timedelta():
        raise CommandRefused(f"the command {request.id} would be expired at once", remedy="let it be valid for a while")
    if (request.watts is not None) != (request.action == "set_limit"):
        raise CommandRefused(f"{request.action} of {request.watts} W", remedy="give watts to set_limit, and only to it")
    if request.watts is not None and not 0 <= request.watts <= _WATTS_MAX:
        raise CommandRefused(f"a limit of {request.watts} W", remedy="give 0 to 4294967295 watts")


def _hash(request: CommandRequest) -> str:
    content = [
        request.meter_id,
        request.action,
        request.watts,
        request.actor,
        request.reason,
        request.valid_for // timedelta(microseconds=1),
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _row(tx: Transaction, command_id: str, *, lock: bool = False) -> Row:
    select = sa.select(t.command).where(t.command.c.id == command_id)
    row = tx.execute(tx.locked(select) if lock else select).one_or_none()
    if row is None:
        raise CommandUnknown(f"no command has the id {command_id!r}")
    return row


def _step(
    tx: Transaction,
    command_id: str,
    *,
    actor: str,
    event: CommandEvent,
    before: CommandState | None,
    detail: str | None,
    now: datetime,
) -> None:
    row = {
        "command_id": command_id,
        "at": now,
        "actor": actor,
        "event": event,
        "state_before": before,
        "state_after": TRANSITIONS[before, event],
        "detail": detail,
    }
    tx.insert(t.command_step, [row])


def _command(row: Row) -> Command:
    return Command(
        id=row.id,
        meter_id=row.meter_id,
        action=cast("Action", row.action),
        watts=row.watts,
        state=cast("CommandState", row.state),
        actor=row.actor,
        reason=row.reason,
        requested_at=row.requested_at,
        expires_at=row.expires_at,
        attempts=row.attempts,
        sent_at=row.sent_at,
        accepted_at=row.accepted_at,
        done_at=row.done_at,
        seen=row.seen,
        detail=row.detail,
    )
