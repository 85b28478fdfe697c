"""Orders: what somebody is going to pay, in states that one table allows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from wattledger import prepay
from wattledger.kernel import Money, Problem, stable_id
from wattledger.payments import _tables as t
from wattledger.payments.ports import Checkout, Order, Provider, minor_units
from wattledger.store import Row, Store, Transaction

_KEY_LENGTH_MAX = 200
_TEXT_LENGTH_MAX = 120
_AMOUNT_MAX = 1_000_000  # whole units; a slip of the finger, not a recharge
_VALID_MAX = timedelta(hours=2)  # the shortest life that a provider gives what it hands over


class OrderNotFound(Problem):
    """There is no such order."""

    slug = "payment-order-not-found"
    title = "No such payment order"
    status = 404


class OrderConflict(Problem):
    """A key was used before for another order."""

    slug = "idempotency-key-reused"
    title = "This Idempotency-Key was used before for another payment order"
    status = 409


class OrderRefused(Problem):
    """An order cannot be taken as it is asked for."""

    slug = "payment-order-refused"
    title = "This payment order cannot be taken"
    status = 422


class OrderClosed(Problem):
    """An order is past what is asked of it."""

    slug = "payment-order-closed"
    title = "This payment order can no longer do that"
    status = 409


class OrderState(StrEnum):
    """How far an order is."""

    CREATED = "created"
    PAID = "paid"
    CREDITED = "credited"
    DIFFERS = "differs"
    REFUNDED = "refunded"
    EXPIRED = "expired"


MOVES: Mapping[OrderState, frozenset[OrderState]] = {
    OrderState.CREATED: frozenset({OrderState.PAID, OrderState.DIFFERS, OrderState.EXPIRED}),
    # Whoever pays at the last second has paid; whoever paid a wrong amount may still pay the right one.
    OrderState.EXPIRED: frozenset({OrderState.PAID, OrderState.DIFFERS}),
    OrderState.DIFFERS: frozenset({OrderState.PAID, OrderState.REFUNDED}),
    # Paid and not credited is an order whose wallet could not be credited: an operator has it in the queue.
    OrderState.PAID: frozenset({OrderState.CREDITED, OrderState.REFUNDED}),
    OrderState.CREDITED: frozenset({OrderState.REFUNDED}),
    OrderState.REFUNDED: frozenset(),
}
"""From which state to which an order may go: all there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOrder:
    """An order that somebody asks for. ``key`` is made by the payer's side and makes a repeat harmless."""

    contract_id: str
    provider: str
    amount: Money
    key: str
    description: str = "Electricity"
    payer: str | None = None
    valid_for: timedelta = timedelta(minutes=30)

    @property
    def hash(self) -> str:
        """SHA-256 of the content, in hexadecimal."""
        content = [
            self.contract_id,
            self.provider,
            self.amount.micro,
            self.amount.currency,
            self.description,
            self.payer,
            self.valid_for // timedelta(seconds=1),
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class PaymentOrder:
    """An order as it is kept; ``recharge_id`` names the recharge that it became."""

    order: Order
    contract_id: str
    provider: str
    key: str
    state: OrderState
    changed_at: datetime
    hand_over: Mapping[str, Any] | None
    recharge_id: str | None

    @property
    def id(self) -> str:
        """The order's id, which the provider knows too."""
        return self.order.id


def place_order(tx: Transaction, *, wanted: NewOrder, now: datetime) -> PaymentOrder:
    """Take an order on; the same key with the same content gives the first one again, as it is by now.

    Raises :class:`OrderConflict`, :class:`OrderRefused`, :class:`~wattledger.payments.AmountNotPayable` and what the
    wallet raises: nobody is asked to pay what could not be credited.
    """
    for name, text, longest in (
        ("key", wanted.key, _KEY_LENGTH_MAX),
        ("description", wanted.description, _TEXT_LENGTH_MAX),
        ("payer", wanted.payer or "-", _TEXT_LENGTH_MAX),
    ):
        if not 0 < len(text) <= longest:
            raise OrderRefused(f"the {name} has {len(text)} characters", remedy=f"send 1 to {longest} characters")
    if not 0 < wanted.amount.micro <= _AMOUNT_MAX * 10**Money.PLACES:
        raise OrderRefused(f"{wanted.amount} cannot be paid", remedy=f"send more than 0 and up to {_AMOUNT_MAX}")
    if not timedelta(0) < wanted.valid_for <= _VALID_MAX:
        raise OrderRefused(f"an order is not valid for {wanted.valid_for}", remedy=f"up to {_VALID_MAX} are")
    minor_units(wanted.amount)
    currency = prepay.wallet(tx, contract_id=wanted.contract_id, now=now).available.currency
    if currency != wanted.amount.currency:
        raise OrderRefused(f"the wallet is kept in {currency}, not in {wanted.amount.currency}")

    order_id = stable_id("pay", wanted.contract_id, wanted.key)
    tx.insert_new(
        t.order,
        [
            {
                "id": order_id,
                "provider": wanted.provider,
                "contract_id": wanted.contract_id,
                "key": wanted.key,
                "request_hash": wanted.hash,
                "amount": wanted.amount.micro,
                "currency": wanted.amount.currency,
                "description": wanted.description,
                "payer": wanted.payer,
                "state": OrderState.CREATED.value,
                "created_at": now,
                "expires_at": now + wanted.valid_for,
                "changed_at": now,
            }
        ],
    )
    row = tx.execute(sa.select(t.order).where(t.order.c.id == order_id)).one()
    if row.request_hash != wanted.hash:
        raise OrderConflict(
            f"the key was used at {row.created_at.isoformat()} to pay {Money(row.amount, row.currency)} "
            f"by {row.provider}",
            remedy="make a new key for a new order",
        )
    return shaped(row)


def begin_checkout(store: Store, *, provider: Provider, order_id: str, now: datetime) -> Checkout:
    """Make an order known to its provider and get what the payer's side needs to pay.

    Asked again it gives the same. Raises :class:`OrderNotFound`, :class:`OrderClosed` and what the provider raises;
    after :class:`~wattledger.payments.ProviderUnreachable` it may be asked again.
    """
    with store.read() as tx:
        found = order_with_id(tx, order_id=order_id)
    if found.provider != provider.name:
        raise OrderNotFound(f"order {order_id} is not paid by {provider.name}", remedy=f"ask {found.provider}")
    if found.state is not OrderState.CREATED or now >= found.order.expires_at:
        raise OrderClosed(f"order {order_id} is {found.state} and was to be paid by {found.order.expires_at}")
    if found.order.reference is not None and found.hand_over is not None:
        return Checkout(found.order.reference, found.hand_over)
    made = provider.create(found.order)
    with store.write() as tx:
        # Two that ask at once get two answers for one order; the first that is written down stands.
        tx.execute(
            t.order.update()
            .where(t.order.c.id == order_id, t.order.c.reference.is_(None))
            .values(reference=made.reference, hand_over=dict(made.hand_over))
        )
        kept = order_with_id(tx, order_id=order_id)
    if kept.order.reference is None or kept.hand_over is None:
        raise OrderClosed(f"order {order_id} has nothing to hand over")
    return Checkout(kept.order.reference, kept.hand_over)


def expire_due(tx: Transaction, *, now: datetime) -> int:
    """Close the orders that nobody has paid in time; returns how many. One that is paid later is still credited."""
    done = tx.execute(
        t.order.update()
        .where(t.order.c.state == OrderState.CREATED.value, t.order.c.expires_at <= now)
        .values(state=OrderState.EXPIRED.value, changed_at=now)
    )
    return done.rowcount


def order_with_id(tx: Transaction, *, order_id: str) -> PaymentOrder:
    """One order; raises :class:`OrderNotFound`."""
    row = tx.execute(sa.select(t.order).where(t.order.c.id == order_id)).one_or_none()
    if row is None:
        raise OrderNotFound(f"no payment order is called {order_id!r}")
    return shaped(row)


def locked_order(tx: Transaction, *, order_id: str, provider: str) -> PaymentOrder | None:
    """An order of this provider, locked to the end of the unit of work."""
    row = tx.execute(
        tx.locked(sa.select(t.order).where(t.order.c.id == order_id, t.order.c.provider == provider))
    ).one_or_none()
    return None if row is None else shaped(row)


def move(
    tx: Transaction, order: PaymentOrder, *, to: OrderState, now: datetime, recharge_id: str | None = None
) -> None:
    """Carry a locked order over to a state that :data:`MOVES` allows; raises :class:`OrderClosed`."""
    if to not in MOVES[order.state]:
        raise OrderClosed(f"order {order.id} is {order.state} and cannot become {to}")
    values: dict[str, object] = {"state": to.value, "changed_at": now}
    if recharge_id is not None:
        values["recharge_id"] = recharge_id
    tx.execute(t.order.update().where(t.order.c.id == order.id).values(**values))


def shaped(row: Row) -> PaymentOrder:
    """An order from its row."""
    return PaymentOrder(
        order=Order(
            id=row.id,
            amount=Money(row.amount, row.currency),
            description=row.description,
            payer=row.payer,
            created_at=row.created_at,
            expires_at=row.expires_at,
            reference=row.reference,
        ),
        contract_id=row.contract_id,
        provider=row.provider,
        key=row.key,
        state=OrderState(row.state),
        changed_at=row.changed_at,
        hand_over=row.hand_over,
        recharge_id=row.recharge_id,
    )
