"""Money that comes in: a call-back is believed or refused, and each payment counts once."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

import sqlalchemy as sa

from wattledger import prepay
from wattledger.kernel import Money, Problem
from wattledger.payments import _tables as t
from wattledger.payments._orders import MOVES, OrderClosed, OrderState, PaymentOrder, locked_order, move, order_with_id
from wattledger.payments._queue import QueueReason, ToQueue, close_queued, enqueue, locked_queued
from wattledger.payments._refunds import settle_refund
from wattledger.payments.ports import (
    Callback,
    CallbackRefused,
    MalformedCallback,
    Payment,
    Provider,
    ReplayedCallback,
    Told,
    require_fresh,
)
from wattledger.store import Row, Store, Transaction

_log = logging.getLogger(__name__)
_NAME_LENGTH_MAX = 120
_DETAIL_LENGTH_MAX = 500

Outcome: TypeAlias = Literal["credited", "queued", "duplicate", "refund", "ignored", "refused"]


@dataclass(frozen=True, slots=True)
class Taken:
    """What a call-back did. ``duplicate``: the payment counts already, by another call-back or a query."""

    outcome: Outcome
    event_id: str
    order_id: str | None


@dataclass(frozen=True, slots=True)
class CallbackRecord:
    """A line of the audit: a call-back that came, and why it was refused if it was."""

    seq: int
    at: datetime
    provider: str
    outcome: Outcome
    reason: str | None
    detail: str
    body_hash: str
    event_id: str | None
    order_id: str | None


def take_callback(store: Store, *, provider: Provider, callback: Callback, now: datetime) -> Taken:
    """Believe a call-back and do what it says, or refuse it; either way the audit has a line about it.

    It has to be signed by the provider, within 300 seconds of ``now``, and not the very same message as one that was
    taken before. What it tells counts in one transaction: the payment is written down, the order becomes ``credited``
    and the wallet gets the money, or none of it. A payment counts once by the provider's id of it, however often and
    in whatever order it is told. Whatever does not fit its order goes to the operators' queue and to no wallet.

    Raises a :class:`~wattledger.payments.CallbackRefused`, or :class:`~wattledger.payments.ProviderUnreachable` when
    the provider's certificates cannot be fetched: nothing was done then, and the provider will tell again.
    """
    body_hash = hashlib.sha256(callback.body).hexdigest()
    try:
        told = provider.verify(callback)
        require_fresh(told.signed_at, now=now)
        _require_names(told)
    except CallbackRefused as refusal:
        with store.write() as tx:
            _audit_refusal(tx, provider=provider.name, refusal=refusal, body_hash=body_hash, now=now)
        raise
    with store.write() as tx:
        taken = _take(tx, provider.name, told, body_hash, now)
        replay = ReplayedCallback(f"event {told.event_id} came before in the very same message")
        if taken is None:
            _audit_refusal(tx, provider=provider.name, refusal=replay, body_hash=body_hash, now=now)
    if taken is None:
        raise replay
    return taken


def _require_names(told: Told) -> None:
    names = [told.event_id]
    if told.payment is not None:
        names += [told.payment.id, told.payment.order_id]
        if told.payment.amount.micro <= 0:
            raise MalformedCallback(f"payment {told.payment.id} is of {told.payment.amount}")
    if told.refund is not None:
        names += [told.refund.id, told.refund.reference]
    if not all(0 < len(name) <= _NAME_LENGTH_MAX for name in names):
        raise MalformedCallback(f"a name in it has not 1 to {_NAME_LENGTH_MAX} characters")


def _take(tx: Transaction, provider: str, told: Told, body_hash: str, now: datetime) -> Taken | None:
    """Do what was told; ``None`` if the very same message did so before."""
    outcome: Outcome
    order_id: str | None = None
    if told.payment is not None:
        order_id = told.payment.order_id
        outcome = count(tx, provider=provider, payment=told.payment, now=now)
    elif told.refund is not None:
        outcome, order_id = "refund", settle_refund(tx, provider=provider, answer=told.refund, now=now)
    else:
        outcome = "ignored"
    # Only now: all before changes nothing the second time, and of two at once the later has waited for the earlier.
    new = tx.insert_new(
        t.callback,
        [
            {
                "at": now,
                "provider": provider,
                "outcome": outcome,
                "detail": "",
                "body_hash": body_hash,
                "event_id": told.event_id,
                "order_id": order_id,
                "fingerprint": hashlib.sha256(told.signed).hexdigest(),
            }
        ],
    )
    return Taken(outcome, told.event_id, order_id) if new else None


def _audit_refusal(tx: Transaction, *, provider: str, refusal: CallbackRefused, body_hash: str, now: datetime) -> None:
    _log.warning("a call-back of %s was refused (%s): %s", provider, refusal.reason, refusal.detail)
    tx.insert(
        t.callback,
        [
            {
                "at": now,
                "provider": provider,
                "outcome": "refused",
                "reason": refusal.reason,
                "detail": refusal.detail[:_DETAIL_LENGTH_MAX],
                "body_hash": body_hash,
            }
        ],
    )


def count(tx: Transaction, *, provider: str, payment: Payment, now: datetime) -> Outcome:
    """Count a payment that the provider vouches for, once; credit its order or queue it.

    The order's lock, taken first, puts all that is told about one order into a row.
    """
    order = locked_order(tx, order_id=payment.order_id, provider=provider)
    new = tx.insert_new(
        t.receipt,
        [
            {
                "provider": provider,
                "payment_id": payment.id,
                "order_id": payment.order_id,
                "amount": payment.amount.micro,
                "currency": payment.amount.currency,
                "paid_at": payment.paid_at,
                "counted_at": now,
                "state": "queued",
            }
        ],
    )
    if not new:
        return _counted_before(tx, provider, payment, now)
    if order is None:
        return _queue(tx, _about(provider, payment, "unknown_order", detail="no order of ours has this name"), now)
    if OrderState.PAID not in MOVES[order.state]:
        return _queue(tx, _about(provider, payment, "paid_twice", f"the order is {order.state}", order=order), now)
    if payment.amount != order.order.amount:
        if order.state is not OrderState.DIFFERS:
            move(tx, order, to=OrderState.DIFFERS, now=now)
        detail = f"{order.order.amount} were to be paid, {payment.amount} came"
        return _queue(tx, _about(provider, payment, "amount_differs", detail, order=order), now)
    move(tx, order, to=OrderState.PAID, now=now)
    return _credit(tx, order_with_id(tx, order_id=order.id), payment, now)


def _credit(tx: Transaction, order: PaymentOrder, payment: Payment, now: datetime) -> Outcome:
    """Credit the wallet of an order that is paid; what the wallet refuses waits for an operator."""
    try:
        # A savepoint: what a recharge did before it was refused is undone, that the order is paid is not.
        with tx.connection.begin_nested():
            done = prepay.recharge(
                tx,
                contract_id=order.contract_id,
                amount=order.order.amount,
                method=order.provider,
                key=f"payment:{order.id}",
                now=now,
            )
    except Problem as problem:
        return _queue(tx, _about(order.provider, payment, "cannot_credit", str(problem), order=order), now)
    move(tx, order, to=OrderState.CREDITED, now=now, recharge_id=done.id)
    tx.execute(
        t.receipt.update()
        .where(t.receipt.c.provider == order.provider, t.receipt.c.payment_id == payment.id)
        .values(state="credited")
    )
    return "credited"


def _counted_before(tx: Transaction, provider: str, payment: Payment, now: datetime) -> Outcome:
    row = _receipt(tx, provider=provider, payment_id=payment.id)
    if (row.order_id, row.amount, row.currency) == (
        payment.order_id,
        payment.amount.micro,
        payment.amount.currency,
    ):
        return "duplicate"
    counted = Money(row.amount, row.currency)
    detail = f"it was counted as {counted} for {row.order_id}, and is now told as {payment.amount}"
    return _queue(tx, _about(provider, payment, "told_differently", detail), now)


def _about(
    provider: str, payment: Payment, reason: QueueReason, detail: str, *, order: PaymentOrder | None = None
) -> ToQueue:
    return ToQueue(
        provider=provider,
        reason=reason,
        order_id=payment.order_id,
        payment_id=payment.id,
        detail=detail,
        expected=None if order is None else order.order.amount,
        came=payment.amount,
        contract_id=None if order is None else order.contract_id,
    )


def _queue(tx: Transaction, item: ToQueue, now: datetime) -> Outcome:
    enqueue(tx, item=item, now=now)
    return "queued"


def retry_credit(tx: Transaction, *, queued_id: str, by: str, now: datetime) -> Outcome:
    """Try again to credit an order that is paid and whose wallet could not take it; closes it if that went well.

    Raises :class:`~wattledger.payments.QueuedNotFound` and :class:`~wattledger.payments.OrderClosed`.
    """
    item = locked_queued(tx, queued_id=queued_id)
    order = locked_order(tx, order_id=item.order_id, provider=item.provider)
    row = _receipt(tx, provider=item.provider, payment_id=item.payment_id) if item.reason == "cannot_credit" else None
    # One that is being given back is not credited meanwhile.
    if row is None or row.state != "queued" or order is None or order.state is not OrderState.PAID:
        raise OrderClosed(
            f"what waits is {item.reason}: no wallet gets it", remedy="refund it, or say what was done about it"
        )
    payment = Payment(row.payment_id, row.order_id, Money(row.amount, row.currency), row.paid_at)
    outcome = _credit(tx, order, payment, now)
    if outcome == "credited":
        close_queued(tx, queued_id=queued_id, by=by, note="credited", now=now)
    return outcome


def check_order(store: Store, *, provider: Provider, order_id: str, now: datetime) -> PaymentOrder:
    """Ask the provider about an order whose call-back may be lost, and count what it says; safe at any time."""
    with store.read() as tx:
        found = order_with_id(tx, order_id=order_id)
    payment = provider.query(found.order)
    if payment is None:
        return found
    with store.write() as tx:
        count(tx, provider=provider.name, payment=payment, now=now)
        return order_with_id(tx, order_id=order_id)


def callbacks_of(
    tx: Transaction, *, order_id: str | None = None, outcome: Outcome | None = None, limit: int = 100
) -> Sequence[CallbackRecord]:
    """The audit of call-backs, newest first; of one order, or of one outcome."""
    select = sa.select(t.callback).order_by(t.callback.c.seq.desc()).limit(limit)
    if order_id is not None:
        select = select.where(t.callback.c.order_id == order_id)
    if outcome is not None:
        select = select.where(t.callback.c.outcome == outcome)
    return [
        CallbackRecord(
            row.seq,
            row.at,
            row.provider,
            row.outcome,
            row.reason,
            row.detail,
            row.body_hash,
            row.event_id,
            row.order_id,
        )
        for row in tx.rows(select)
    ]


def _receipt(tx: Transaction, *, provider: str, payment_id: str) -> Row:
    return tx.execute(
        sa.select(t.receipt).where(t.receipt.c.provider == provider, t.receipt.c.payment_id == payment_id)
    ).one()
