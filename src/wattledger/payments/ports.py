"""What payments ask of a provider, and what goes back and forth: the plug point.

A :class:`Provider` speaks with one company that takes money. It knows nothing of databases, wallets or retries: it
makes an order known, says what became of it, proves who sent a call-back, gives money back, and lists a day. Register
what makes one as an entry point of the group ``wattledger.payments`` and prove it with
:mod:`wattledger.payments.conformance`.

Amounts are :class:`~wattledger.kernel.Money`; on the wire they are whole minor units, never floats.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, Literal, Protocol, TypeAlias

from wattledger.kernel import Clock, Money, Problem
from wattledger.tariffs import MINOR_PLACES

FRESH = timedelta(seconds=300)
"""How far from our clock the instant may be at which a message was signed."""

RefundState: TypeAlias = Literal["done", "under_way", "refused"]


# --- What can go wrong ---


class ProviderRefused(Problem):
    """The provider answered, and the answer is no: nothing was done, now or by an earlier attempt."""

    slug = "payment-provider-refused"
    title = "The payment provider refused"
    status = 502


class ProviderUnreachable(Problem):
    """No answer that can be relied on: what was asked may have been done. Asking again under the same id is safe."""

    slug = "payment-provider-unreachable"
    title = "The payment provider cannot be reached"
    status = 503


class SettingsWrong(Problem):
    """A provider cannot work with the settings it was given."""

    slug = "payment-settings-wrong"
    title = "A payment provider is set up wrongly"
    status = 500


class AmountNotPayable(Problem):
    """An amount that no provider can take."""

    slug = "amount-not-payable"
    title = "This amount cannot be paid"
    status = 422


class CallbackRefused(Problem):
    """A call-back that is not believed; ``reason`` is what the audit keeps."""

    slug = "call-back-refused"
    title = "This call-back is not believed"
    status = 401
    reason: ClassVar[str] = "refused"


class TamperedCallback(CallbackRefused):
    """The signature does not fit what was sent."""

    slug = "call-back-tampered"
    title = "The call-back's signature does not fit"
    reason = "tampered"


class UnknownCertificate(CallbackRefused):
    """Signed by a certificate or key that is not the provider's, or no longer."""

    slug = "call-back-certificate-unknown"
    title = "The call-back is signed by an unknown certificate"
    reason = "unknown_certificate"


class StaleCallback(CallbackRefused):
    """Signed too long ago, or in the future."""

    slug = "call-back-stale"
    title = "The call-back is not fresh"
    reason = "stale"


class ReplayedCallback(CallbackRefused):
    """The very same signed message came before. A provider that tells again signs again."""

    slug = "call-back-replayed"
    title = "The call-back was sent before"
    status = 409
    reason = "replayed"


class MalformedCallback(CallbackRefused):
    """Not what this provider sends, or not meant for us."""

    slug = "call-back-malformed"
    title = "The call-back cannot be read"
    status = 400
    reason = "malformed"


# --- What goes back and forth ---


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be paid.

    ``id`` is ours (6 to 32 of letters, digits and ``_``); ``payer`` is the provider's name for the person who pays,
    where it wants one; ``reference`` is the provider's name for this order, once it has one.
    """

    id: str
    amount: Money
    description: str
    payer: str | None
    created_at: datetime
    expires_at: datetime
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Checkout:
    """What the payer's side needs to pay: ``hand_over`` is given to it as it is, JSON-able, and holds no secret."""

    reference: str
    hand_over: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Payment:
    """Money that came in. ``id`` is the provider's, one for each time that money moved; it is what is counted once."""

    id: str
    order_id: str
    amount: Money
    paid_at: datetime


@dataclass(frozen=True, slots=True)
class Refund:
    """Money to give back, of one payment. ``id`` is ours and makes a repeat harmless."""

    id: str
    order_id: str
    payment_id: str
    amount: Money
    paid: Money
    reason: str


@dataclass(frozen=True, slots=True)
class RefundAnswer:
    """How far a refund is. ``id`` is ours; ``reference`` the provider's."""

    id: str
    reference: str
    state: RefundState


@dataclass(frozen=True, slots=True)
class Callback:
    """A request that claims to come from the provider; names of headers in any case."""

    headers: Mapping[str, str]
    body: bytes

    def header(self, name: str) -> str:
        """One header; raises :class:`MalformedCallback` if it is not there."""
        wanted = name.lower()
        for key, value in self.headers.items():
            if key.lower() == wanted:
                return value
        raise MalformedCallback(f"the header {name} is missing")


@dataclass(frozen=True, slots=True)
class Told:
    """What a call-back says, now that its signature was found good.

    ``signed`` is the exact message that the signature covers, its instant and nonce included; ``signed_at`` is that
    instant. A call-back that is about neither money in nor money back has neither ``payment`` nor ``refund``.
    """

    event_id: str
    signed_at: datetime
    signed: bytes
    payment: Payment | None = None
    refund: RefundAnswer | None = None


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One line of a provider's list of a day. ``id`` is the payment's for money in, and our refund's for money back."""

    kind: Literal["payment", "refund"]
    id: str
    order_id: str
    amount: Money
    at: datetime


class Provider(Protocol):
    """One company that takes money.

    Every method may take a while: call it outside of a unit of work. All raise :class:`ProviderUnreachable`, and all
    but :meth:`verify` :class:`ProviderRefused`.
    """

    @property
    def name(self) -> str:
        """The name of its entry point; orders, receipts and tills carry it."""
        ...

    @property
    def zone(self) -> str:
        """The time zone in which this provider's days begin."""
        ...

    def create(self, order: Order) -> Checkout:
        """Make ``order`` known. Asked again with the same order it makes no second one."""
        ...

    def query(self, order: Order) -> Payment | None:
        """The payment of ``order``, or ``None`` while it is not paid."""
        ...

    def verify(self, callback: Callback) -> Told:
        """Prove that ``callback`` is from the provider and meant for us; raises a :class:`CallbackRefused`.

        Freshness and repetition are not looked at here: the room does it for all providers alike.
        """
        ...

    def refund(self, refund: Refund) -> RefundAnswer:
        """Give money back. Asked again with the same id it gives nothing twice and says how far it is."""
        ...

    def statement(self, day: date) -> Sequence[StatementLine]:
        """All that moved on a day of :attr:`zone`."""
        ...


class ProviderFactory(Protocol):
    """What an entry point of the group ``wattledger.payments`` names."""

    def __call__(self, settings: Mapping[str, str], *, clock: Clock) -> Provider:
        """Make the provider; raises :class:`SettingsWrong`."""
        ...


# --- What adapters share ---


def require_fresh(signed_at: datetime, *, now: datetime) -> None:
    """Raise :class:`StaleCallback` unless ``signed_at`` is within :data:`FRESH` of ``now``."""
    if abs(now - signed_at) > FRESH:
        raise StaleCallback(
            f"it was signed at {signed_at.isoformat()}, and it is {now.isoformat()}",
            remedy=f"it has to be within {FRESH // timedelta(seconds=1)} seconds; look at both clocks",
        )


def minor_units(money: Money, *, places: int | None = None) -> int:
    """``money`` in whole minor units (fen, cents); raises :class:`AmountNotPayable` for a finer amount.

    ``places`` is for providers that count other than ISO 4217 does.
    """
    if places is None:
        places = _places(money.currency)
    units, rest = divmod(money.micro, int(10 ** (Money.PLACES - places)))
    if rest:
        raise AmountNotPayable(f"{money} is finer than {money.currency} is paid in", remedy=f"round to {places} places")
    return units


def of_minor_units(units: object, currency: str, *, places: int | None = None) -> Money:
    """The money that ``units`` whole minor units are; raises ``ValueError`` for what is none."""
    if currency not in MINOR_PLACES:
        msg = f"{currency!r} is not a currency"
        raise ValueError(msg)
    if not isinstance(units, int) or isinstance(units, bool):
        msg = f"{units!r} is no whole number of minor units"
        raise ValueError(msg)  # noqa: TRY004 - whoever reads a stranger's bytes catches one kind of error
    return Money(units * int(10 ** (Money.PLACES - (_places(currency) if places is None else places))), currency)


def _places(currency: str) -> int:
    if currency not in MINOR_PLACES:
        raise AmountNotPayable(f"{currency!r} is not a currency")
    return MINOR_PLACES[currency]


def document(body: bytes) -> dict[str, Any]:
    """A JSON object from outside, its decimals exact; raises ``ValueError``."""
    found = json.loads(body, parse_float=Decimal)
    if not isinstance(found, dict):
        msg = "it is not a JSON object"
        raise ValueError(msg)  # noqa: TRY004 - whoever reads a stranger's bytes catches one kind of error
    return found
