"""A company that takes money, in memory: for the demo and for tests. Its call-backs are signed as real ones are.

What it knows is gone with the process; nobody gets real money by it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import ClassVar

from wattledger.kernel import Clock, Money, epoch, from_epoch, new_id, zone_named
from wattledger.payments.ports import (
    Callback,
    Checkout,
    MalformedCallback,
    Order,
    Payment,
    ProviderRefused,
    Refund,
    RefundAnswer,
    SettingsWrong,
    StatementLine,
    TamperedCallback,
    Told,
    UnknownCertificate,
    document,
    minor_units,
    of_minor_units,
)

_KEY_LENGTH_MIN = 16
_KEY_NAME = "simulated-1"


def _chance() -> str:
    return new_id("sim")


@dataclass(slots=True)
class Simulated:
    """The provider, with :meth:`pay` and :meth:`call_back` in place of people and their phones.

    >>> from wattledger.kernel import SystemClock
    >>> Simulated(key=b"sixteen bytes...", clock=SystemClock()).name
    'simulated'
    """

    name: ClassVar[str] = "simulated"
    key: bytes = field(repr=False)
    clock: Clock
    zone: str = "UTC"
    chance: Callable[[], str] = _chance
    _orders: dict[str, Order] = field(default_factory=dict, repr=False)
    _payments: dict[str, Payment] = field(default_factory=dict, repr=False)
    _refunds: dict[str, StatementLine] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def create(self, order: Order) -> Checkout:
        """Know the order; its own id is the reference."""
        with self._lock:
            self._orders.setdefault(order.id, order)
        return Checkout(order.id, {"pay": order.id, "amount": order.amount.text, "currency": order.amount.currency})

    def query(self, order: Order) -> Payment | None:
        """The first payment of the order."""
        with self._lock:
            return next((one for one in self._payments.values() if one.order_id == order.id), None)

    def pay(self, order_id: str, *, amount: Money | None = None) -> Payment:
        """Somebody pays: what was ordered, or another amount. Raises ``KeyError`` for an order that was not made."""
        with self._lock:
            paid = self._orders[order_id].amount if amount is None else amount
            payment = Payment(self.chance(), order_id, paid, self.clock.now())
            self._payments[payment.id] = payment
            return payment

    def call_back(self, payment: Payment) -> Callback:
        """What is sent about a payment, signed anew with every call."""
        body = json.dumps(
            {
                "event": f"evt-{payment.id}",
                "payment": payment.id,
                "order": payment.order_id,
                "minor": minor_units(payment.amount),
                "currency": payment.amount.currency,
                "paid_at": epoch(payment.paid_at),
            }
        ).encode()
        at, nonce = str(epoch(self.clock.now())), self.chance()
        return Callback(
            {
                "Sim-Timestamp": at,
                "Sim-Nonce": nonce,
                "Sim-Key": _KEY_NAME,
                "Sim-Signature": self._sign(at, nonce, body),
            },
            body,
        )

    def verify(self, callback: Callback) -> Told:
        """Prove a call-back by its HMAC-SHA256 over instant, nonce and body."""
        at, nonce = callback.header("Sim-Timestamp"), callback.header("Sim-Nonce")
        if callback.header("Sim-Key") != _KEY_NAME:
            raise UnknownCertificate(f"the key {callback.header('Sim-Key')[:40]!r} is not known")
        made = self._sign(at, nonce, callback.body)
        if not hmac.compare_digest(made.encode(), callback.header("Sim-Signature").encode()):
            raise TamperedCallback("the signature does not fit")
        try:
            told = document(callback.body)
            payment = Payment(
                id=str(told["payment"]),
                order_id=str(told["order"]),
                amount=of_minor_units(told["minor"], str(told["currency"])),
                paid_at=from_epoch(told["paid_at"]),
            )
            return Told(str(told["event"]), from_epoch(int(at)), _message(at, nonce, callback.body), payment)
        except (KeyError, TypeError, ValueError) as error:
            raise MalformedCallback(f"it cannot be read: {error}") from error

    def refund(self, refund: Refund) -> RefundAnswer:
        """Give back at once what was paid here."""
        with self._lock:
            if refund.payment_id not in self._payments:
                raise ProviderRefused(f"no payment is called {refund.payment_id!r}")
            line = StatementLine("refund", refund.id, refund.order_id, refund.amount, self.clock.now())
            self._refunds.setdefault(refund.id, line)
        return RefundAnswer(refund.id, f"back-{refund.id}", "done")

    def statement(self, day: date) -> Sequence[StatementLine]:
        """All that moved on a day."""
        zone = zone_named(self.zone)
        with self._lock:
            lines = [
                StatementLine("payment", one.id, one.order_id, one.amount, one.paid_at)
                for one in self._payments.values()
            ]
            lines += self._refunds.values()
        return [line for line in lines if line.at.astimezone(zone).date() == day]

    def _sign(self, at: str, nonce: str, body: bytes) -> str:
        return hmac.new(self.key, _message(at, nonce, body), hashlib.sha256).hexdigest()


def _message(at: str, nonce: str, body: bytes) -> bytes:
    return f"{at}\n{nonce}\n".encode() + body


def simulated(settings: Mapping[str, str], *, clock: Clock) -> Simulated:
    """The provider with the settings ``key`` (16 characters or more) and, if not UTC, ``zone``."""
    key = settings.get("key", "").encode()
    if len(key) < _KEY_LENGTH_MIN:
        raise SettingsWrong("the simulated provider has no key", remedy=f"give it {_KEY_LENGTH_MIN} characters or more")
    zone_named(settings.get("zone", "UTC"))
    return Simulated(key=key, clock=clock, zone=settings.get("zone", "UTC"))
