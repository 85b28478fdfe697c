"""Credit on its way: to the wallet, where it is at once, or to a meter that keeps its own.

A wallet whose credit a meter keeps stays on the books as its mirror: recharges are credited and use is deducted as
ever, and what a recharge leaves for the wallet is a *delivery* to the meter. The meter cuts off by itself, so nobody
here does. A delivery is never repeated before it was asked what became of the attempt before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, cast

import sqlalchemy as sa

from wattledger import ledger, registry
from wattledger.kernel import Money, Problem, stable_id
from wattledger.prepay import _tables as t
from wattledger.prepay._wallets import (
    WALLET,
    ensure_wallets,
    locked_wallets,
    post_accrual,
    prepaid_currency,
    wallet_account,
)
from wattledger.prepay.ports import CreditDelivery, Delivered, Delivery, DeliveryDelayed, DeliveryFailed
from wattledger.store import Row, Store, Transaction

_RETRY_FIRST = timedelta(seconds=5)
_RETRY_MAX = timedelta(minutes=5)
_DETAIL_MAX = 500

DeliveryState = Literal["waiting", "sent", "delivered", "failed"]


class PlaceRefused(Problem):
    """A wallet's credit cannot be kept where it is asked for."""

    slug = "credit-place-refused"
    title = "The credit cannot be kept there"
    status = 422


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """A delivery with its state and times; one that ``failed`` waits for an operator."""

    id: str
    contract_id: str
    via: str
    amount: Money
    cause: str
    state: DeliveryState
    attempts: int
    asked_at: datetime
    done_at: datetime | None
    receipt: str | None
    detail: str


class WalletDelivery:
    """Credit that is where it belongs as soon as it is in the wallet."""

    def earlier(self, delivery: Delivery) -> Delivered | None:  # noqa: ARG002 - the port's signature
        """It always was."""
        return Delivered()

    def deliver(self, delivery: Delivery) -> Delivered:  # noqa: ARG002 - the port's signature
        """Nothing has to be brought anywhere."""
        return Delivered()


def keep_credit(tx: Transaction, *, contract_id: str, via: str, now: datetime) -> None:
    """Keep a contract's credit in its wallet (``wallet``) or at its meter, brought there by what is called ``via``.

    What is available goes to the meter as a first delivery. Back to the wallet the meter's own credit has to be cleared
    by whoever keeps the meter. Raises :class:`PlaceRefused` for a wallet that is overdrawn and could not start at zero.
    """
    currency = prepaid_currency(tx, contract_id=contract_id, now=now)
    ensure_wallets(tx, contracts={contract_id: currency}, now=now)
    row = locked_wallets(tx, [contract_id])[contract_id]
    if row.delivery == via:
        return
    post_accrual(tx, contract_ids=[contract_id], now=now)
    available = ledger.balance(tx, account_id=wallet_account(contract_id))
    if via != WALLET and available.micro < 0:
        raise PlaceRefused(
            f"contract {contract_id} has {available}: a meter cannot keep less than nothing",
            remedy="make a debt of it first, or recharge",
        )
    tx.execute(t.wallet.update().where(t.wallet.c.contract_id == contract_id).values(delivery=via))
    if via != WALLET:
        ask_delivery(tx, contract_id=contract_id, via=via, amount=available, cause=f"moved:{now.isoformat()}", now=now)


def ask_delivery(tx: Transaction, *, contract_id: str, via: str, amount: Money, cause: str, now: datetime) -> None:
    """Have ``amount`` brought to where a contract's credit is kept; once for each ``cause``."""
    if amount.micro <= 0:
        return
    row = {
        "id": stable_id("dlv", contract_id, cause),
        "contract_id": contract_id,
        "via": via,
        "amount": amount.micro,
        "currency": amount.currency,
        "cause": cause,
        "state": "waiting",
        "attempts": 0,
        "asked_at": now,
        "not_before": now,
        "detail": "",
    }
    tx.insert_new(t.credit_delivery, [row])


def deliveries_of(tx: Transaction, *, contract_id: str, limit: int = 50) -> list[DeliveryStatus]:
    """A contract's deliveries, the newest first."""
    kept = t.credit_delivery.c
    rows = tx.rows(
        sa.select(t.credit_delivery)
        .where(kept.contract_id == contract_id)
        .order_by(kept.asked_at.desc(), kept.id)
        .limit(limit)
    )
    return [_status(row) for row in rows]


def failed_deliveries(tx: Transaction, *, limit: int = 50) -> list[DeliveryStatus]:
    """The operators' queue: what cannot be brought, the oldest first."""
    kept = t.credit_delivery.c
    rows = tx.rows(
        sa.select(t.credit_delivery).where(kept.state == "failed").order_by(kept.asked_at, kept.id).limit(limit)
    )
    return [_status(row) for row in rows]


def _status(row: Row) -> DeliveryStatus:
    return DeliveryStatus(
        row.id,
        row.contract_id,
        row.via,
        Money(row.amount, row.currency),
        row.cause,
        cast("DeliveryState", row.state),
        row.attempts,
        row.asked_at,
        row.done_at,
        row.receipt,
        row.detail,
    )


def deliver_due(store: Store, *, ways: Mapping[str, CreditDelivery], now: datetime, limit: int = 100) -> int:
    """Bring what is due by the ``ways`` that there are; returns how many deliveries came to an end.

    Meters are talked to outside of any unit of work. A delivery that was under way when a process died is ``sent``: it
    is asked about before it is done again, like one that was delayed.
    """
    kept = t.credit_delivery.c
    with store.read() as tx:
        due = tx.rows(
            sa.select(kept.id)
            .where(kept.state.in_(("waiting", "sent")), kept.not_before <= now, kept.via.in_(sorted(ways)))
            .order_by(kept.asked_at, kept.id)
            .limit(limit)
        )
    return sum(_deliver(store, row.id, ways, now) for row in due)


def _deliver(store: Store, delivery_id: str, ways: Mapping[str, CreditDelivery], now: datetime) -> bool:
    with store.write() as tx:
        row = tx.execute(tx.locked(sa.select(t.credit_delivery).where(t.credit_delivery.c.id == delivery_id))).one()
        if row.state not in ("waiting", "sent") or row.not_before > now:
            return False  # another process was faster
        # Whoever takes it has it to himself for as long as a slow meter may take.
        _write(tx, row.id, state="sent", attempts=row.attempts + 1, not_before=now + _patience(row.attempts + 1))
        contract = registry.contract(tx, contract_id=row.contract_id, at=row.asked_at)
        meter = registry.meter_at(tx, service_point_id=contract.service_point_id, at=now)
    amount = Money(row.amount, row.currency)
    delivery = Delivery(row.id, row.contract_id, meter.meter_id, amount, row.cause, row.asked_at)
    way = ways[row.via]
    try:
        done = (way.earlier(delivery) if row.attempts else None) or way.deliver(delivery)
    except DeliveryDelayed as problem:
        with store.write() as tx:
            _write(tx, row.id, state="sent", detail=str(problem)[:_DETAIL_MAX])
        return False
    except DeliveryFailed as problem:
        with store.write() as tx:
            _write(tx, row.id, state="failed", detail=str(problem)[:_DETAIL_MAX])
        return True
    with store.write() as tx:
        _write(tx, row.id, state="delivered", done_at=now, receipt=done.receipt, detail=done.detail[:_DETAIL_MAX])
    return True


def _patience(attempts: int) -> timedelta:
    return min(_RETRY_FIRST * (1 << min(attempts, 10)), _RETRY_MAX)


def _write(tx: Transaction, delivery_id: str, **values: object) -> None:
    tx.execute(t.credit_delivery.update().where(t.credit_delivery.c.id == delivery_id).values(**values))
