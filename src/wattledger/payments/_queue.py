"""What an operator has to look at: money that came in and is in no wallet, or left and still is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

import sqlalchemy as sa

from wattledger.kernel import Money, Problem, stable_id
from wattledger.payments import _tables as t
from wattledger.store import Fact, Row, Transaction

QueueReason: TypeAlias = Literal[
    "amount_differs",  # another amount than the order's, or in another currency
    "unknown_order",  # for no order of ours
    "paid_twice",  # a further payment of an order that is paid
    "cannot_credit",  # the wallet could not take it; `retry_credit` tries again
    "told_differently",  # a payment that was counted, told again with another content
    "refund_refused",  # the provider does not give it back; what was credited is back in the wallet
    "unknown_refund",  # the provider gave money back that we did not ask to be given back
]


class QueuedNotFound(Problem):
    """Nothing of this name waits in the queue."""

    slug = "payment-queued-not-found"
    title = "No such thing waits in the queue"
    status = 404


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentQueued(Fact):
    """A payment waits for an operator."""

    queued_id: str
    provider: str
    reason: str
    order_id: str
    payment_id: str


@dataclass(frozen=True, slots=True)
class Queued:
    """Something that waits, or waited: what was expected, what came, and how an operator closed it."""

    id: str
    at: datetime
    provider: str
    reason: QueueReason
    order_id: str
    payment_id: str
    expected: Money | None
    came: Money | None
    detail: str
    closed_at: datetime | None
    closed_by: str | None
    note: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToQueue:
    """What is to be queued; the same of one payment is queued once."""

    provider: str
    reason: QueueReason
    order_id: str
    payment_id: str
    detail: str
    expected: Money | None = None
    came: Money | None = None
    contract_id: str | None = None


def enqueue(tx: Transaction, *, item: ToQueue, now: datetime) -> None:
    """Have an operator look at it."""
    queued_id = stable_id("que", item.provider, item.payment_id, item.reason, item.came)
    new = tx.insert_new(
        t.queued,
        [
            {
                "id": queued_id,
                "at": now,
                "provider": item.provider,
                "reason": item.reason,
                "order_id": item.order_id,
                "payment_id": item.payment_id,
                "expected": item.expected.micro if item.expected else None,
                "expected_currency": item.expected.currency if item.expected else None,
                "came": item.came.micro if item.came else None,
                "came_currency": item.came.currency if item.came else None,
                "detail": item.detail,
            }
        ],
    )
    if new:
        tx.emit(
            PaymentQueued(
                at=now,
                contract_id=item.contract_id,
                queued_id=queued_id,
                provider=item.provider,
                reason=item.reason,
                order_id=item.order_id,
                payment_id=item.payment_id,
            )
        )


def queue_of(tx: Transaction, *, limit: int = 100, closed: bool = False) -> Sequence[Queued]:
    """What waits, oldest first; or what was closed."""
    condition = t.queued.c.closed_at.is_not(None) if closed else t.queued.c.closed_at.is_(None)
    rows = tx.rows(sa.select(t.queued).where(condition).order_by(t.queued.c.at, t.queued.c.id).limit(limit))
    return [_queued(row) for row in rows]


def locked_queued(tx: Transaction, *, queued_id: str) -> Queued:
    """Something that still waits, locked; raises :class:`QueuedNotFound`."""
    row = tx.execute(tx.locked(sa.select(t.queued).where(t.queued.c.id == queued_id))).one_or_none()
    if row is None or row.closed_at is not None:
        raise QueuedNotFound(f"nothing called {queued_id!r} waits" + ("" if row is None else ": it was closed"))
    return _queued(row)


def close_queued(tx: Transaction, *, queued_id: str, by: str, note: str, now: datetime) -> None:
    """Say what was done about it; moves no money. Raises :class:`QueuedNotFound`."""
    locked_queued(tx, queued_id=queued_id)
    tx.execute(t.queued.update().where(t.queued.c.id == queued_id).values(closed_at=now, closed_by=by, note=note))


def close_queued_payment(tx: Transaction, *, provider: str, payment_id: str, by: str, note: str, now: datetime) -> None:
    """Close all that waits about a payment."""
    tx.execute(
        t.queued.update()
        .where(t.queued.c.provider == provider, t.queued.c.payment_id == payment_id, t.queued.c.closed_at.is_(None))
        .values(closed_at=now, closed_by=by, note=note)
    )


def _queued(row: Row) -> Queued:
    return Queued(
        id=row.id,
        at=row.at,
        provider=row.provider,
        reason=row.reason,
        order_id=row.order_id,
        payment_id=row.payment_id,
        expected=None if row.expected is None else Money(row.expected, row.expected_currency),
        came=None if row.came is None else Money(row.came, row.came_currency),
        detail=row.detail,
        closed_at=row.closed_at,
        closed_by=row.closed_by,
        note=row.note,
    )
