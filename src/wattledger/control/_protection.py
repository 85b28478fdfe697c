"""Who may not be cut off: protected customers for good or for a time, everybody while a hold is on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast

import sqlalchemy as sa

from wattledger.control import _tables as t
from wattledger.kernel import Problem, stable_id
from wattledger.store import Transaction

Protection = Literal["never", "limited"]
_REASON_MAX = 120


class ProtectionRefused(Problem):
    """A protection or a hold cannot be kept as it is asked for."""

    slug = "protection-refused"
    title = "This protection cannot be kept"
    status = 422


@dataclass(frozen=True, slots=True)
class Protected:
    """A protected customer: never cut off, or only ``limited`` to so many ``watts``; ``until`` is the end, if any."""

    contract_id: str
    kind: Protection
    watts: int | None
    reason: str
    until: datetime | None


def protect(
    tx: Transaction,
    *,
    contract_id: str,
    kind: Protection,
    reason: str,
    watts: int | None = None,
    until: datetime | None = None,
) -> None:
    """Protect a contract's supply from being cut off for money, in place of what protected it before.

    ``limited`` is to be held to ``watts`` instead (see :class:`~wattledger.control.LoadLimitWanted`). What is owed goes
    on growing. Raises :class:`ProtectionRefused`.
    """
    if not 0 < len(reason) <= _REASON_MAX or (kind == "limited") != (watts is not None and watts > 0):
        raise ProtectionRefused(
            f"{kind} with {watts} W because of {reason!r}",
            remedy="a reason in up to 120 characters, and watts for a limited supply only",
        )
    tx.upsert(
        t.protection,
        [{"contract_id": contract_id, "kind": kind, "watts": watts, "reason": reason, "until": until}],
        update=("kind", "watts", "reason", "until"),
    )


def protection_of(tx: Transaction, *, contract_id: str, at: datetime) -> Protected | None:
    """What protects a contract at ``at``, if anything."""
    row = tx.execute(sa.select(t.protection).where(t.protection.c.contract_id == contract_id)).one_or_none()
    if row is None or (row.until is not None and row.until <= at):
        return None
    return Protected(row.contract_id, cast("Protection", row.kind), row.watts, row.reason, row.until)


def hold_cut_offs(
    tx: Transaction, *, reason: str, since: datetime, until: datetime, contract_id: str | None = None
) -> str:
    """Cut nobody off for money within ``[since, until)``, or not this contract; returns the hold's id.

    For extreme weather, a payment under way, a dispute. What is announced waits for the end. The same again changes
    nothing. Raises :class:`ProtectionRefused`.
    """
    if not 0 < len(reason) <= _REASON_MAX or until <= since:
        raise ProtectionRefused(
            f"from {since.isoformat()} to {until.isoformat()} because of {reason!r}",
            remedy="a reason in up to 120 characters, and an end after the beginning",
        )
    hold_id = stable_id("hld", contract_id, reason, since.isoformat(), until.isoformat())
    tx.insert_new(
        t.cut_off_hold,
        [{"id": hold_id, "contract_id": contract_id, "reason": reason, "since": since, "until": until}],
    )
    return hold_id


def release_hold(tx: Transaction, *, hold_id: str, now: datetime) -> None:
    """End a hold before its time."""
    hold = t.cut_off_hold
    tx.execute(hold.update().where(hold.c.id == hold_id, hold.c.until > now).values(until=now))


def held_until(tx: Transaction, *, contract_id: str, at: datetime) -> datetime | None:
    """Until when holds that are on at ``at`` keep a contract from being cut off."""
    hold = t.cut_off_hold.c
    found = tx.execute(
        sa.select(sa.func.max(hold.until).label("until")).where(
            hold.since <= at,
            hold.until > at,
            sa.or_(hold.contract_id.is_(None), hold.contract_id == contract_id),
        )
    ).scalar_one_or_none()
    return cast("datetime | None", found)
