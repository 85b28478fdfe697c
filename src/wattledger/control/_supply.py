"""The supply's state machine.

::

              balance exhausted            due, still exhausted        read back: off
    on ─────────────► (waiting: warned) ─────────► disconnecting ─────────► off
    ▲                     │ money came: called off                           │ money came
    └───── read back: on ─┴──────────────── reconnecting ◄───────────────────┘

A command is ``waiting`` until its time, ``sent`` while the meter is asked, then ``confirmed`` by reading the
disconnector back. A meter that does not answer, or answers otherwise, puts the command back to ``waiting`` with growing
patience.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, cast

import sqlalchemy as sa

from wattledger import prepay, registry
from wattledger.control._hours import hours_at
from wattledger.control._protection import Protected, held_until, protection_of
from wattledger.control._tables import load_limit, protection, supply, supply_command
from wattledger.control.ports import RelayState
from wattledger.kernel import Problem, new_id, zone_named
from wattledger.store import Fact, Row, Transaction, chunked

SupplyStateName = Literal["on", "off", "disconnecting", "reconnecting"]
Action = Literal["disconnect", "reconnect"]
CommandState = Literal["waiting", "sent", "confirmed", "void", "failed"]

BALANCE_EXHAUSTED = "balance_exhausted"
BALANCE_RESTORED = "balance_restored"
PROTECTED = "protected"
TEMPORARY_NOT_BEGUN = "temporary_not_begun"
TEMPORARY_BEGINS = "temporary_begins"
TEMPORARY_OVER = "temporary_over"

_RETRY_FIRST = timedelta(seconds=5)
_RETRY_MAX = timedelta(minutes=5)
_HOLDS_MAX = 20  # one after the other, with hours between them


class CommandNotFound(Problem):
    """There is no such supply command."""

    slug = "supply-command-not-found"
    title = "No such supply command"
    status = 404


@dataclass(frozen=True, slots=True)
class CutOffPolicy:
    """The rules of a cut-off: how long after the warning it may come."""

    warning: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class SupplyState:
    """A supply as the last read-back left it, and why. ``cut_off_at`` is set while a cut-off is announced."""

    service_point_id: str
    state: SupplyStateName
    reason: str | None
    since: datetime | None
    cut_off_at: datetime | None


@dataclass(frozen=True, slots=True)
class SupplyCommand:
    """A command with its times."""

    id: str
    service_point_id: str
    contract_id: str
    action: Action
    reason: str
    cause: str
    state: CommandState
    requested_at: datetime
    sent_at: datetime | None
    done_at: datetime | None
    attempts: int
    detail: str | None


@dataclass(frozen=True, slots=True)
class SupplyCounts:
    """How many supplies are in which state; those that never were switched are on."""

    off: int
    disconnecting: int
    reconnecting: int


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be asked of a meter now."""

    command_id: str
    meter_id: str
    action: Action


@dataclass(frozen=True, slots=True, kw_only=True)
class DisconnectPlanned(Fact):
    """The customer is to be warned: the supply goes off at ``cut_off_at`` unless money comes."""

    service_point_id: str
    cut_off_at: str
    available_micro: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOffWithheld(Fact):
    """Nothing is left, and the supply stays on: the customer is protected, or may not be cut off now."""

    service_point_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadLimitWanted(Fact):
    """A protected supply without credit is to be held to so many watts."""

    service_point_id: str
    watts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadLimitLifted(Fact):
    """A supply is not to be limited any more."""

    service_point_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DisconnectCalledOff(Fact):
    """A planned disconnect will not take place."""

    service_point_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconnectRequested(Fact):
    """The supply is to come back."""

    service_point_id: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SupplyDisconnected(Fact):
    """The disconnector was read back open."""

    service_point_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SupplyReconnected(Fact):
    """The disconnector was read back closed."""

    service_point_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchFailed(Fact):
    """A meter did not do, or did not answer, what was asked; it is asked again. Told at the first failure only."""

    service_point_id: str
    action: str
    detail: str


def plan_cut_off(tx: Transaction, *, contract_id: str, policy: CutOffPolicy, cause: str, now: datetime) -> None:
    """Announce the cut-off of an exhausted wallet's supply, after the policy's warning time and in allowed hours.

    Nothing happens when the wallet has money again, the supply is off already, a cut-off is announced already, the
    credit is kept by the meter, which cuts off by itself, or the contract has ended. Who is protected is not cut off:
    :class:`CutOffWithheld` is told, and :class:`LoadLimitWanted` where the supply is to be limited instead.
    """
    wallet = prepay.wallet(tx, contract_id=contract_id, now=now)
    contract = _in_force(tx, contract_id, now)
    if wallet.available.micro > 0 or wallet.kept != prepay.WALLET or contract is None:
        return
    point = contract.service_point_id
    state = _locked(tx, point).state
    if state in ("off", "disconnecting") or _open_commands(tx, point, "disconnect"):
        return
    protected = protection_of(tx, contract_id=contract_id, at=now)
    if protected is not None:
        _withhold(tx, protected, point, now)
        return
    due = _first_allowed(tx, contract, now + policy.warning)
    _add_command(tx, contract_id, point, action="disconnect", reason=BALANCE_EXHAUSTED, cause=cause, due=due, now=now)
    tx.emit(
        DisconnectPlanned(
            at=now,
            contract_id=contract_id,
            service_point_id=point,
            cut_off_at=due.isoformat(),
            available_micro=wallet.available.micro,
            currency=wallet.available.currency,
        )
    )


def _withhold(tx: Transaction, protected: Protected, point: str, now: datetime) -> None:
    tx.emit(CutOffWithheld(at=now, contract_id=protected.contract_id, service_point_id=point, reason=protected.reason))
    if protected.watts is None:
        return
    row = {
        "service_point_id": point,
        "contract_id": protected.contract_id,
        "watts": protected.watts,
        "since": now,
    }
    tx.upsert(load_limit, [row], update=("contract_id", "watts", "since"))
    tx.emit(LoadLimitWanted(at=now, contract_id=protected.contract_id, service_point_id=point, watts=protected.watts))


def _lift_limit(tx: Transaction, contract_id: str, point: str, now: datetime) -> None:
    gone = tx.execute(load_limit.delete().where(load_limit.c.service_point_id == point))
    if gone.rowcount:
        tx.emit(LoadLimitLifted(at=now, contract_id=contract_id, service_point_id=point))


def limited_to(tx: Transaction, *, service_point_id: str) -> int | None:
    """The watts that a supply is to be held to, while it is."""
    found = tx.execute(
        sa.select(load_limit.c.watts).where(load_limit.c.service_point_id == service_point_id)
    ).scalar_one_or_none()
    return cast("int | None", found)


def _in_force(tx: Transaction, contract_id: str, now: datetime) -> registry.Contract | None:
    try:
        return registry.contract(tx, contract_id=contract_id, at=now)
    except registry.ContractNotFound:
        return None


def _first_allowed(tx: Transaction, contract: registry.Contract, at: datetime) -> datetime:
    """The first instant from ``at`` on at which this supply may be cut off for money."""
    hours, zone = hours_at(tx, at=at), zone_named(contract.zone)
    for _ in range(_HOLDS_MAX):
        at = hours.next_allowed(at, zone=zone)
        until = held_until(tx, contract_id=contract.id, at=at)
        if until is None:
            break
        at = until
    return at


def end_protection(tx: Transaction, *, contract_id: str, policy: CutOffPolicy, now: datetime) -> None:
    """Protect a contract's supply no longer; if nothing is left its cut-off is announced now, as ever."""
    tx.execute(protection.delete().where(protection.c.contract_id == contract_id))
    contract = _in_force(tx, contract_id, now)
    if contract is not None:
        _lift_limit(tx, contract_id, contract.service_point_id, now)
        if contract.mode == "prepay":
            cause = f"protection-ended:{contract_id}:{now.isoformat()}"
            plan_cut_off(tx, contract_id=contract_id, policy=policy, cause=cause, now=now)


def lapse_protections(tx: Transaction, *, policy: CutOffPolicy, now: datetime) -> int:
    """End every protection whose time is over; returns how many."""
    over = tx.rows(
        sa.select(protection.c.contract_id).where(protection.c.until <= now).order_by(protection.c.contract_id)
    )
    for row in over:
        end_protection(tx, contract_id=row.contract_id, policy=policy, now=now)
    return len(over)


def protections_lapse(tx: Transaction, *, now: datetime) -> bool:
    """Whether :func:`lapse_protections` has anything to do."""
    return tx.execute(sa.select(protection.c.contract_id).where(protection.c.until <= now).limit(1)).first() is not None


def restore(tx: Transaction, *, contract_id: str, cause: str, now: datetime) -> None:
    """Money came: call off what is announced and, if the wallet has credit, bring a supply that is off back."""
    wallet = prepay.wallet(tx, contract_id=contract_id, now=now)
    if wallet.available.micro <= 0:
        return
    contract = _in_force(tx, contract_id, now)
    if contract is None:
        return
    point = contract.service_point_id
    held = _locked(tx, point)
    _lift_limit(tx, contract_id, point, now)
    for command in _open_commands(tx, point, "disconnect"):
        if command.state == "waiting" and command.reason == BALANCE_EXHAUSTED:
            _void(tx, command, reason=BALANCE_RESTORED, now=now)
    if held.reason in (TEMPORARY_NOT_BEGUN, TEMPORARY_OVER):
        return  # it is not for want of money
    if held.state in ("off", "disconnecting") and not _open_commands(tx, point, "reconnect"):
        _add_command(tx, contract_id, point, action="reconnect", reason=BALANCE_RESTORED, cause=cause, due=now, now=now)
        tx.emit(ReconnectRequested(at=now, contract_id=contract_id, service_point_id=point, cause=cause))


def due_commands(tx: Transaction, *, now: datetime, limit: int = 200) -> list[tuple[str, int]]:
    """The waiting commands whose time has come, oldest first: ``(command id, attempts so far)``.

    A supply with a command under way has none that is due: a meter is asked one thing at a time.
    """
    under_way = sa.select(supply_command.c.service_point_id).where(supply_command.c.state == "sent")
    rows = tx.rows(
        sa.select(supply_command.c.id, supply_command.c.attempts)
        .where(
            supply_command.c.state == "waiting",
            supply_command.c.not_before <= now,
            supply_command.c.service_point_id.not_in(under_way),
        )
        .order_by(supply_command.c.not_before, supply_command.c.id)
        .limit(limit)
    )
    return [(row.id, row.attempts) for row in rows]


def begin_command(tx: Transaction, *, command_id: str, now: datetime) -> Order | None:
    """Mark a waiting command as sent and say what to ask of which meter; ``None`` when it is not to be sent any more.

    A disconnect is looked at once more: it is called off when the wallet has money by now or the customer is protected,
    and waits for allowed hours when it comes late (nobody worked until now) or a hold is on.
    """
    row = _locked_command(tx, command_id)
    if row.state not in ("waiting", "sent"):
        return None
    _locked(tx, row.service_point_id)
    if row.action == "disconnect" and row.reason == BALANCE_EXHAUSTED:
        available = prepay.wallet(tx, contract_id=row.contract_id, now=now).available
        if available.micro > 0:
            _void(tx, row, reason=BALANCE_RESTORED, now=now)
            # If it had been tried, whether the meter took it is not known: ask for what is wanted instead.
            restore(tx, contract_id=row.contract_id, cause=row.cause, now=now)
            return None
        if row.state == "waiting" and not _may_go(tx, row, now):
            return None
    meter = registry.meter_at(tx, service_point_id=row.service_point_id, at=now)
    tx.execute(
        supply_command.update()
        .where(supply_command.c.id == command_id)
        .values(state="sent", sent_at=now, attempts=row.attempts + (row.state == "waiting"))
    )
    _set_supply(
        tx, row.service_point_id, "disconnecting" if row.action == "disconnect" else "reconnecting", row.reason, now
    )
    return Order(command_id=command_id, meter_id=meter.meter_id, action=row.action)


def _may_go(tx: Transaction, row: Row, now: datetime) -> bool:
    contract = _in_force(tx, row.contract_id, now)
    if contract is None:
        _void(tx, row, reason="contract_ended", now=now)
        return False
    protected = protection_of(tx, contract_id=row.contract_id, at=now)
    if protected is not None:
        _void(tx, row, reason=PROTECTED, now=now)
        _withhold(tx, protected, row.service_point_id, now)
        return False
    allowed = _first_allowed(tx, contract, now)
    if allowed > now:
        tx.execute(supply_command.update().where(supply_command.c.id == row.id).values(not_before=allowed))
        return False
    return True


def finish_command(
    tx: Transaction, *, command_id: str, relay: RelayState | None, detail: str | None, now: datetime
) -> None:
    """Record what the disconnector, read back, says; ``relay`` is ``None`` when the meter did not answer."""
    row = _locked_command(tx, command_id)
    if row.state != "sent":
        return
    _locked(tx, row.service_point_id)
    wanted_on = row.action == "reconnect"
    if relay is not None and relay.output_on == wanted_on:
        tx.execute(
            supply_command.update()
            .where(supply_command.c.id == command_id)
            .values(state="confirmed", done_at=now, detail=relay.control_state)
        )
        _set_supply(tx, row.service_point_id, "on" if wanted_on else "off", None if wanted_on else row.reason, now)
        done = SupplyReconnected if wanted_on else SupplyDisconnected
        tx.emit(done(at=now, contract_id=row.contract_id, service_point_id=row.service_point_id, reason=row.reason))
        _follow_up(tx, row, now)
        return
    said = detail or (f"read back {relay.control_state}" if relay else "no answer")
    wait = min(_RETRY_FIRST * 2 ** min(row.attempts - 1, 10), _RETRY_MAX)
    tx.execute(
        supply_command.update()
        .where(supply_command.c.id == command_id)
        .values(state="waiting", not_before=now + wait, detail=said)
    )
    if row.attempts == 1:
        tx.emit(
            SwitchFailed(
                at=now,
                contract_id=row.contract_id,
                service_point_id=row.service_point_id,
                action=row.action,
                detail=said,
            )
        )


def _follow_up(tx: Transaction, row: Row, now: datetime) -> None:
    # Money may have come while the disconnect was on its way: what is off without cause comes back at once.
    if row.action == "disconnect" and row.reason == BALANCE_EXHAUSTED:
        restore(tx, contract_id=row.contract_id, cause=row.cause, now=now)


def switch_off(tx: Transaction, *, contract_id: str, service_point_id: str, reason: str, now: datetime) -> None:
    """Have a supply switched off at once, for another reason than money; once."""
    state = _locked(tx, service_point_id).state
    for action in ("disconnect", "reconnect"):
        for command in _open_commands(tx, service_point_id, action):
            if command.state == "waiting":
                _void(tx, command, reason=reason, now=now)
    if state == "off":
        _set_supply(tx, service_point_id, "off", reason, now)
        return
    cause = f"{reason}:{contract_id}"
    _add_command(tx, contract_id, service_point_id, action="disconnect", reason=reason, cause=cause, due=now, now=now)


def switch_on(tx: Transaction, *, contract_id: str, service_point_id: str, reason: str, now: datetime) -> None:
    """Have a supply that is off switched on at once, for another reason than money; once."""
    state = _locked(tx, service_point_id).state
    for command in _open_commands(tx, service_point_id, "disconnect"):
        if command.state == "waiting":
            _void(tx, command, reason=reason, now=now)
    if state in ("off", "disconnecting") and not _open_commands(tx, service_point_id, "reconnect"):
        cause = f"{reason}:{contract_id}"
        _add_command(
            tx, contract_id, service_point_id, action="reconnect", reason=reason, cause=cause, due=now, now=now
        )


def hold_off(tx: Transaction, *, contract_id: str, service_point_id: str, now: datetime) -> None:
    """Have a supply off until it begins: what money brings back is not this."""
    switch_off(tx, contract_id=contract_id, service_point_id=service_point_id, reason=TEMPORARY_NOT_BEGUN, now=now)


def _locked(tx: Transaction, point: str) -> Row:
    tx.insert_new(supply, [{"service_point_id": point, "state": "on", "reason": None, "since": None}])
    return tx.execute(tx.locked(sa.select(supply).where(supply.c.service_point_id == point))).one()


def _locked_command(tx: Transaction, command_id: str) -> Row:
    row = tx.execute(tx.locked(sa.select(supply_command).where(supply_command.c.id == command_id))).one_or_none()
    if row is None:
        raise CommandNotFound(f"no supply command is called {command_id!r}")
    return row


def _open_commands(tx: Transaction, point: str, action: Action) -> list[Row]:
    return list(
        tx.rows(
            sa.select(supply_command).where(
                supply_command.c.service_point_id == point,
                supply_command.c.action == action,
                supply_command.c.state.in_(("waiting", "sent")),
            )
        )
    )


def _add_command(  # noqa: PLR0913 - a command's facts, all of them
    tx: Transaction,
    contract_id: str,
    point: str,
    *,
    action: Action,
    reason: str,
    cause: str,
    due: datetime,
    now: datetime,
) -> None:
    tx.execute(
        supply_command.insert().values(
            id=new_id("cmd"),
            service_point_id=point,
            contract_id=contract_id,
            action=action,
            reason=reason,
            cause=cause,
            state="waiting",
            requested_at=now,
            not_before=due,
            attempts=0,
        )
    )


def _void(tx: Transaction, row: Row, *, reason: str, now: datetime) -> None:
    tx.execute(
        supply_command.update().where(supply_command.c.id == row.id).values(state="void", done_at=now, detail=reason)
    )
    if row.action == "reconnect":
        return
    tx.emit(
        DisconnectCalledOff(at=now, contract_id=row.contract_id, service_point_id=row.service_point_id, reason=reason)
    )


def _set_supply(tx: Transaction, point: str, state: SupplyStateName, reason: str | None, now: datetime) -> None:
    tx.execute(supply.update().where(supply.c.service_point_id == point).values(state=state, reason=reason, since=now))


def supplies(tx: Transaction, *, service_point_ids: Collection[str]) -> dict[str, SupplyState]:
    """The supplies of these points; one that never was switched is on."""
    found: dict[str, SupplyState] = {}
    cut_offs: dict[str, datetime] = {}
    for piece in chunked(sorted(set(service_point_ids))):
        for row in tx.rows(
            sa.select(supply_command.c.service_point_id, supply_command.c.not_before).where(
                supply_command.c.service_point_id.in_(piece),
                supply_command.c.action == "disconnect",
                supply_command.c.state == "waiting",
            )
        ):
            cut_offs[row.service_point_id] = row.not_before
        for row in tx.rows(sa.select(supply).where(supply.c.service_point_id.in_(piece))):
            found[row.service_point_id] = SupplyState(
                service_point_id=row.service_point_id,
                state=cast("SupplyStateName", row.state),
                reason=row.reason,
                since=row.since,
                cut_off_at=cut_offs.get(row.service_point_id),
            )
    return {
        point: found.get(point, SupplyState(point, "on", None, None, cut_offs.get(point)))
        for point in service_point_ids
    }


def supply_of(tx: Transaction, *, service_point_id: str) -> SupplyState:
    """One supply."""
    return supplies(tx, service_point_ids=[service_point_id])[service_point_id]


def supply_counts(tx: Transaction) -> SupplyCounts:
    """How many supplies are not simply on."""
    rows = tx.rows(sa.select(supply.c.state, sa.func.count()).group_by(supply.c.state))
    counts = {state: int(count) for state, count in rows}
    return SupplyCounts(
        off=counts.get("off", 0),
        disconnecting=counts.get("disconnecting", 0),
        reconnecting=counts.get("reconnecting", 0),
    )


def commands_caused_by(tx: Transaction, *, cause: str) -> list[SupplyCommand]:
    """The commands that a recharge (or another cause) led to, oldest first."""
    rows = tx.rows(
        sa.select(supply_command)
        .where(supply_command.c.cause == cause)
        .order_by(supply_command.c.requested_at, supply_command.c.id)
    )
    return [
        SupplyCommand(
            id=row.id,
            service_point_id=row.service_point_id,
            contract_id=row.contract_id,
            action=row.action,
            reason=row.reason,
            cause=row.cause,
            state=row.state,
            requested_at=row.requested_at,
            sent_at=row.sent_at,
            done_at=row.done_at,
            attempts=row.attempts,
            detail=row.detail,
        )
        for row in rows
    ]
