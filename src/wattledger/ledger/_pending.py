"""Money that is set aside before it moves: reserved, then posted, given back, or lapsed.

A reservation is a row that never changes; how it ended is a further row. What is reserved counts towards the bounds of
both accounts, so that what was promised can be kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

import sqlalchemy as sa

from wattledger.kernel import Money, Problem
from wattledger.ledger._book import Account, Transfer, TransferConflict, checked_bounds, content_hash, post
from wattledger.ledger._tables import ledger_account, ledger_pending, ledger_resolution
from wattledger.store import Row, Transaction

PendingState: TypeAlias = Literal["pending", "posted", "voided", "expired"]

_POSTED = ":posted"


class PendingUnknown(Problem):
    """Nothing was reserved under this id."""

    slug = "pending-transfer-unknown"
    title = "No such pending transfer"
    status = 404


class PendingEnded(Problem):
    """A reservation ended already, another way than it is to end now."""

    slug = "pending-transfer-ended"
    title = "The pending transfer has ended"
    status = 409


@dataclass(frozen=True, slots=True)
class Pending:
    """``amount`` set aside to go from the debit side to the credit side; it lapses at ``expires_at``, if ever."""

    id: str
    debit_account: str
    credit_account: str
    amount: Money
    purpose: str
    reference: str
    made_at: datetime
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PendingStatus:
    """A reservation and how it ended; ``transfer_id`` is what was posted of it."""

    pending: Pending
    state: PendingState
    transfer_id: str | None
    ended_at: datetime | None


def reserve(tx: Transaction, *, pending: Sequence[Pending], opening: Collection[Account] = ()) -> int:
    """Set money aside, all or none; returns how many were new.

    One whose id was reserved before with the same content is passed over, whatever became of it. Raises as
    :func:`~wattledger.ledger.post` does. Accounts with shards cannot be reserved on.
    """
    known = {
        row.id: row
        for row in tx.rows(sa.select(ledger_pending).where(tx.among(ledger_pending.c.id, {one.id for one in pending})))
    }
    fresh: list[Pending] = []
    hashes = {identity: bytes(row.content) for identity, row in known.items()}
    for one in pending:
        content = content_hash(_content(one))
        if hashes.get(one.id, content) != content:
            raise TransferConflict(
                f"{one.id} was reserved before with other content", remedy="give every transfer an id of its own"
            )
        if one.id not in hashes:
            hashes[one.id] = content
            fresh.append(one)
    if not fresh:
        return 0
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for one in fresh:
        sums[one.debit_account][0] += one.amount.micro
        sums[one.credit_account][1] += one.amount.micro
    checked_bounds(tx, transfers=[_as_transfer(one) for one in fresh], sums=sums, opening=opening)
    _move_reserved(tx, sums)
    tx.insert(
        ledger_pending,
        [
            {
                "id": one.id,
                "debit_account": one.debit_account,
                "credit_account": one.credit_account,
                "amount": one.amount.micro,
                "currency": one.amount.currency,
                "purpose": one.purpose,
                "reference": one.reference,
                "made_at": one.made_at,
                "expires_at": one.expires_at,
                "content": hashes[one.id],
            }
            for one in fresh
        ],
    )
    return len(fresh)


def post_pending(tx: Transaction, *, pending_id: str, now: datetime, amount: Money | None = None) -> Transfer:
    """Let what was reserved move, whole or ``amount`` of it; the rest is free again. Returns the transfer.

    Its id is the reservation's with ``:posted`` after it. Again with the same amount it is the same transfer. Raises
    :class:`PendingUnknown`, :class:`PendingEnded` and :class:`TransferConflict`.
    """
    status, row = _locked(tx, pending_id)
    pending = status.pending
    moved = amount or pending.amount
    transfer = Transfer(
        id=pending_id + _POSTED,
        debit_account=pending.debit_account,
        credit_account=pending.credit_account,
        amount=moved,
        purpose=pending.purpose,
        reference=pending.reference,
        posted_at=now,
    )
    if status.state == "posted":
        post(tx, transfers=[transfer])  # the same is passed over, another amount is refused
        return transfer
    _still_open(status, now, "posted")
    if not 0 < moved.micro <= pending.amount.micro or moved.currency != pending.amount.currency:
        raise TransferConflict(f"{pending_id} reserved {pending.amount}, {moved} of it cannot be posted")
    _end(tx, row, "posted", transfer_id=transfer.id, now=now)
    post(tx, transfers=[transfer])
    return transfer


def void_pending(tx: Transaction, *, pending_id: str, now: datetime) -> None:
    """Free what was reserved; again it changes nothing. Raises :class:`PendingUnknown` and :class:`PendingEnded`."""
    status, row = _locked(tx, pending_id)
    if status.state != "voided":
        _still_open(status, now, "voided")
        _end(tx, row, "voided", transfer_id=None, now=now)


def expiry_due(tx: Transaction, *, now: datetime) -> bool:
    """Whether a reservation has lapsed that nobody has freed."""
    return bool(tx.execute(sa.select(_lapsed(now).exists())).scalar_one())


def expire_due(tx: Transaction, *, now: datetime, limit: int = 1_000) -> int:
    """Free what has lapsed by ``now``; returns how many reservations. Call again until it is 0."""
    ids = [row[0] for row in tx.rows(_lapsed(now).order_by(ledger_pending.c.id).limit(limit))]
    for pending_id in ids:
        status, row = _locked(tx, pending_id)
        if status.state == "pending":
            _end(tx, row, "expired", transfer_id=None, now=now)
    return len(ids)


def pending_status(tx: Transaction, *, pending_id: str) -> PendingStatus:
    """A reservation and what became of it; raises :class:`PendingUnknown`."""
    row = tx.execute(sa.select(ledger_pending).where(ledger_pending.c.id == pending_id)).one_or_none()
    if row is None:
        raise PendingUnknown(f"nothing was reserved as {pending_id!r}")
    return _status(tx, row)


def reserved(tx: Transaction, *, account_id: str) -> Money:
    """What is reserved to leave an account, by its debit side."""
    row = tx.execute(sa.select(ledger_account).where(ledger_account.c.id == account_id)).one_or_none()
    if row is None:
        raise PendingUnknown(f"{account_id!r} is not open")
    return Money(row.pending_debits, row.currency)


def _lapsed(now: datetime) -> sa.Select[tuple[str]]:
    ended = sa.exists().where(ledger_resolution.c.pending_id == ledger_pending.c.id)
    return sa.select(ledger_pending.c.id).where(ledger_pending.c.expires_at <= now, ~ended)


def _locked(tx: Transaction, pending_id: str) -> tuple[PendingStatus, Row]:
    """The reservation, with its row locked: two that end it wait for each other."""
    row = tx.execute(tx.locked(sa.select(ledger_pending).where(ledger_pending.c.id == pending_id))).one_or_none()
    if row is None:
        raise PendingUnknown(f"nothing was reserved as {pending_id!r}")
    return _status(tx, row), row


def _status(tx: Transaction, row: Row) -> PendingStatus:
    end = tx.execute(sa.select(ledger_resolution).where(ledger_resolution.c.pending_id == row.id)).one_or_none()
    pending = Pending(
        id=row.id,
        debit_account=row.debit_account,
        credit_account=row.credit_account,
        amount=Money(row.amount, row.currency),
        purpose=row.purpose,
        reference=row.reference,
        made_at=row.made_at,
        expires_at=row.expires_at,
    )
    if end is None:
        return PendingStatus(pending, "pending", None, None)
    return PendingStatus(pending, end.state, end.transfer_id, end.at)


def _still_open(status: PendingStatus, now: datetime, wanted: str) -> None:
    pending = status.pending
    if status.state != "pending":
        raise PendingEnded(f"{pending.id} was {status.state} and cannot be {wanted}")
    if wanted == "posted" and pending.expires_at is not None and pending.expires_at <= now:
        raise PendingEnded(
            f"{pending.id} lapsed at {pending.expires_at.isoformat()} and cannot be posted", remedy="reserve it anew"
        )


def _end(tx: Transaction, row: Row, state: PendingState, *, transfer_id: str | None, now: datetime) -> None:
    tx.insert(ledger_resolution, [{"pending_id": row.id, "state": state, "transfer_id": transfer_id, "at": now}])
    _move_reserved(tx, {row.debit_account: [-row.amount, 0], row.credit_account: [0, -row.amount]})


def _move_reserved(tx: Transaction, sums: dict[str, list[int]]) -> None:
    tx.execute_many(
        ledger_account.update()
        .where(ledger_account.c.id == sa.bindparam("key"))
        .values(
            pending_debits=ledger_account.c.pending_debits + sa.bindparam("more_debits"),
            pending_credits=ledger_account.c.pending_credits + sa.bindparam("more_credits"),
        ),
        [{"key": key, "more_debits": sums[key][0], "more_credits": sums[key][1]} for key in sorted(sums)],
    )


def _as_transfer(one: Pending) -> Transfer:
    return Transfer(
        id=one.id,
        debit_account=one.debit_account,
        credit_account=one.credit_account,
        amount=one.amount,
        purpose=one.purpose,
        reference=one.reference,
        posted_at=one.made_at,
    )


def _content(one: Pending) -> tuple[object, ...]:
    expires = None if one.expires_at is None else one.expires_at.isoformat()
    return (
        one.id,
        one.debit_account,
        one.credit_account,
        one.amount.micro,
        one.amount.currency,
        one.purpose,
        one.reference,
        expires,
    )


def pending_content(row: Row) -> tuple[object, ...]:
    """What the hash of a reservation is of."""
    expires = None if row.expires_at is None else row.expires_at.isoformat()
    return (
        row.id,
        row.debit_account,
        row.credit_account,
        row.amount,
        row.currency,
        row.purpose,
        row.reference,
        expires,
    )
