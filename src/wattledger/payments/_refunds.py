"""Money that goes back: taken off the wallet first, then asked of the provider, then written down as done."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from wattledger import prepay
from wattledger.kernel import Money, Problem, stable_id
from wattledger.payments import _tables as t
from wattledger.payments._orders import OrderState, PaymentOrder, locked_order, move
from wattledger.payments._queue import ToQueue, close_queued_payment, enqueue
from wattledger.payments.ports import Provider, ProviderRefused, Refund, RefundAnswer, RefundState
from wattledger.store import Fact, Row, Store, Transaction

_REASON_LENGTH_MAX = 80


class PaymentNotFound(Problem):
    """No such payment was counted."""

    slug = "payment-not-found"
    title = "No such payment came in"
    status = 404


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRefunded(Fact):
    """A payment was given back. ``contract_id`` is whose wallet it left; none if it never was in one."""

    refund_id: str
    provider: str
    payment_id: str
    amount_micro: int
    currency: str


@dataclass(frozen=True, slots=True)
class RefundRecord:
    """A refund and how far it is."""

    refund: Refund
    provider: str
    contract_id: str | None
    state: RefundState
    by: str


def refund_payment(
    store: Store, *, provider: Provider, payment_id: str, reason: str, by: str, now: datetime
) -> RefundRecord:
    """Give back a whole payment, whether it was credited or waits in the queue; asked again it goes on.

    What was credited leaves the wallet before the provider is asked, so that it is not used meanwhile; if the provider
    refuses, it comes back. Raises :class:`PaymentNotFound`, :class:`~wattledger.prepay.RefundNotCovered` and
    :class:`~wattledger.payments.ProviderUnreachable`, after which :func:`resume_refunds` goes on.
    """
    with store.write() as tx:
        asked = _ask(tx, provider.name, payment_id, reason[:_REASON_LENGTH_MAX], by, now)
    return _carry_out(store, provider, asked, now)


def resume_refunds(store: Store, *, provider: Provider, now: datetime) -> int:
    """Ask again about the refunds that are under way, after a crash or because the provider takes its time.

    Returns how many have come to an end.
    """
    with store.read() as tx:
        rows = tx.rows(
            sa.select(t.refund)
            .where(t.refund.c.provider == provider.name, t.refund.c.state == "under_way")
            .order_by(t.refund.c.asked_at)
        )
    return sum(_carry_out(store, provider, _shaped(row), now).state != "under_way" for row in rows)


def _ask(tx: Transaction, provider: str, payment_id: str, reason: str, by: str, now: datetime) -> RefundRecord:
    key = (t.receipt.c.provider == provider, t.receipt.c.payment_id == payment_id)
    order_id = tx.execute(sa.select(t.receipt.c.order_id).where(*key)).scalar_one_or_none()
    if order_id is None:
        raise PaymentNotFound(f"{provider} told of no payment {payment_id!r}")
    order = locked_order(tx, order_id=order_id, provider=provider)  # first, as whoever counts a payment does
    came = tx.execute(tx.locked(sa.select(t.receipt).where(*key))).one()
    if came.state == "refunded":
        select = sa.select(t.refund).where(t.refund.c.provider == provider, t.refund.c.payment_id == payment_id)
        return _shaped(tx.execute(select.where(t.refund.c.state != "refused")).one())
    refused = tx.execute(
        sa.select(sa.func.count()).where(t.refund.c.provider == provider, t.refund.c.payment_id == payment_id)
    ).scalar_one()
    refund_id = stable_id("ref", provider, payment_id, refused)
    amount = Money(came.amount, came.currency)
    contract_id = None
    if came.state == "credited" and order is not None:
        contract_id = order.contract_id
        prepay.take_back(tx, contract_id=contract_id, amount=amount, method=provider, refund_id=refund_id, now=now)
    tx.insert(
        t.refund,
        [
            {
                "id": refund_id,
                "provider": provider,
                "payment_id": payment_id,
                "order_id": order_id,
                "contract_id": contract_id,
                "amount": amount.micro,
                "currency": amount.currency,
                "reason": reason,
                "by": by,
                "state": "under_way",
                "asked_at": now,
                "changed_at": now,
            }
        ],
    )
    tx.execute(t.receipt.update().where(*key).values(state="refunded"))
    return _shaped(tx.execute(sa.select(t.refund).where(t.refund.c.id == refund_id)).one())


def _carry_out(store: Store, provider: Provider, asked: RefundRecord, now: datetime) -> RefundRecord:
    if asked.state != "under_way":
        return asked
    try:
        answer = provider.refund(asked.refund)
    except ProviderRefused as refusal:
        answer = RefundAnswer(asked.refund.id, "", "refused")
        detail = refusal.detail
    else:
        detail = "the provider said so later"
    with store.write() as tx:
        settle_refund(tx, provider=provider.name, answer=answer, now=now, detail=detail)
        return _shaped(tx.execute(sa.select(t.refund).where(t.refund.c.id == asked.refund.id)).one())


def settle_refund(
    tx: Transaction, *, provider: str, answer: RefundAnswer, now: datetime, detail: str = ""
) -> str | None:
    """Write down how far a refund is; returns the order it is of. One that we did not ask for goes to the queue."""
    where = (t.refund.c.id == answer.id, t.refund.c.provider == provider)
    order_id: str | None = tx.execute(sa.select(t.refund.c.order_id).where(*where)).scalar_one_or_none()
    if order_id is None:
        if answer.state == "done":
            detail = f"refund {answer.id!r} was made, and we did not ask for it"
            enqueue(
                tx,
                item=ToQueue(
                    provider=provider,
                    reason="unknown_refund",
                    order_id="",
                    payment_id=answer.reference,
                    detail=detail,
                ),
                now=now,
            )
        return None
    order = locked_order(tx, order_id=order_id, provider=provider)
    row = tx.execute(tx.locked(sa.select(t.refund).where(*where))).one()
    if row.state == "refused" and answer.state == "done":
        detail = f"refund {answer.id} had been refused and its money put back, and is now done all the same"
        enqueue(
            tx,
            item=ToQueue(
                provider=provider,
                reason="unknown_refund",
                order_id=order_id,
                payment_id=row.payment_id,
                detail=detail,
                came=Money(row.amount, row.currency),
                contract_id=row.contract_id,
            ),
            now=now,
        )
    if row.state != "under_way" or answer.state == "under_way":
        return order_id
    tx.execute(
        t.refund.update()
        .where(t.refund.c.id == row.id)
        .values(state=answer.state, reference=answer.reference or None, changed_at=now)
    )
    if answer.state == "refused":
        _undo(tx, row, detail, now)
    else:
        _done(tx, row, order, now)
    return order_id


def _done(tx: Transaction, row: Row, order: PaymentOrder | None, now: datetime) -> None:
    close_queued_payment(
        tx, provider=row.provider, payment_id=row.payment_id, by=row.by, note=f"refunded by {row.id}", now=now
    )
    # A second payment that went back leaves the order as credited as the first has made it.
    others = tx.execute(
        sa.select(sa.func.count()).where(
            t.receipt.c.provider == row.provider,
            t.receipt.c.order_id == row.order_id,
            t.receipt.c.state != "refunded",
        )
    ).scalar_one()
    open_states = (OrderState.DIFFERS, OrderState.PAID, OrderState.CREDITED)
    if order is not None and order.state in open_states and (row.contract_id is not None or not others):
        move(tx, order, to=OrderState.REFUNDED, now=now)
    tx.emit(
        PaymentRefunded(
            at=now,
            contract_id=row.contract_id,
            refund_id=row.id,
            provider=row.provider,
            payment_id=row.payment_id,
            amount_micro=row.amount,
            currency=row.currency,
        )
    )


def _undo(tx: Transaction, row: Row, detail: str, now: datetime) -> None:
    amount = Money(row.amount, row.currency)
    if row.contract_id is not None:
        prepay.give_again(
            tx, contract_id=row.contract_id, amount=amount, method=row.provider, refund_id=row.id, now=now
        )
    tx.execute(
        t.receipt.update()
        .where(t.receipt.c.provider == row.provider, t.receipt.c.payment_id == row.payment_id)
        .values(state="queued" if row.contract_id is None else "credited")
    )
    enqueue(
        tx,
        item=ToQueue(
            provider=row.provider,
            reason="refund_refused",
            order_id=row.order_id,
            payment_id=row.payment_id,
            detail=f"refund {row.id} was refused: {detail}"[:500],
            came=amount,
            contract_id=row.contract_id,
        ),
        now=now,
    )


def refunds_of(tx: Transaction, *, order_id: str) -> list[RefundRecord]:
    """The refunds of an order, oldest first."""
    rows = tx.rows(sa.select(t.refund).where(t.refund.c.order_id == order_id).order_by(t.refund.c.asked_at))
    return [_shaped(row) for row in rows]


def _shaped(row: Row) -> RefundRecord:
    amount = Money(row.amount, row.currency)
    return RefundRecord(
        refund=Refund(row.id, row.order_id, row.payment_id, amount, amount, row.reason),
        provider=row.provider,
        contract_id=row.contract_id,
        state=row.state,
        by=row.by,
    )
