"""What ``prepay`` asks of others: to bring credit to where it is used up, and to collect money."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from wattledger.kernel import Money, Problem
from wattledger.prepay._facts import RechargeWanted
from wattledger.store import Transaction


class DeliveryDelayed(Problem):
    """Credit could not be brought now, or it is not known whether it was; it is tried again."""

    slug = "credit-delivery-delayed"
    title = "The credit is not at the meter yet"
    status = 503


class DeliveryFailed(Problem):
    """Credit cannot be brought this way, however often it is tried: an operator has to look at it."""

    slug = "credit-delivery-failed"
    title = "The credit cannot be brought to the meter"
    status = 422


@dataclass(frozen=True, slots=True)
class Delivery:
    """Credit to be brought: ``id`` is the same however often it is tried, ``cause`` the recharge that it is of."""

    id: str
    contract_id: str
    meter_id: str
    amount: Money
    cause: str
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class Delivered:
    """Credit that was brought. ``receipt`` is what the customer needs to have it: the 20 digits of a token, if any."""

    receipt: str | None = None
    detail: str = ""


class CreditDelivery(Protocol):
    """Brings credit to one kind of place. Known to wallets by the name that it is registered under."""

    def earlier(self, delivery: Delivery) -> Delivered | None:
        """What became of an earlier attempt: it was brought, or (``None``) it surely was not.

        Asked before anything is tried again. Raises :class:`DeliveryDelayed` while that cannot be told.
        """
        ...

    def deliver(self, delivery: Delivery) -> Delivered:
        """Bring the credit; raises :class:`DeliveryDelayed` and :class:`DeliveryFailed`."""
        ...


class Collector(Protocol):
    """Collects money for wallets that recharge themselves."""

    def collect(self, tx: Transaction, *, wanted: RechargeWanted) -> None:
        """Begin to collect what is wanted, in the unit of work in which it is told; nobody is talked to in it.

        Safe to repeat by ``wanted.key``, which is this crossing's own. What is collected comes back as a recharge.
        """
        ...
