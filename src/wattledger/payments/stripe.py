"""Stripe: a Checkout page for an order, signed webhooks, refunds and the list of a day.

Written from Stripe's own documentation, on ``httpx``. Every object that is ours carries ``metadata[order]``; what else
the same Stripe account sells is left alone.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, ClassVar

import httpx

from wattledger.kernel import Clock, Money, epoch, from_epoch, zone_named
from wattledger.payments.ports import (
    Callback,
    Checkout,
    MalformedCallback,
    Order,
    Payment,
    ProviderRefused,
    ProviderUnreachable,
    Refund,
    RefundAnswer,
    RefundState,
    SettingsWrong,
    StatementLine,
    TamperedCallback,
    Told,
    document,
    minor_units,
    of_minor_units,
)

GATEWAY = "https://api.stripe.com"
_VERSION = "2024-06-20"
_TIMEOUT_SECONDS = 20
_PAGE = 100
_BODY_LENGTH_MAX = 1 << 20
_OK, _BAD, _UNAUTHORIZED, _FORBIDDEN, _CONFLICT, _TOO_MANY, _SERVER_ERROR = 200, 400, 401, 403, 409, 429, 500
# A page may be opened as late as the order ends, and Stripe keeps none open for less than half an hour.
_OPEN_LONGER = timedelta(minutes=35)

# Stripe counts these otherwise than ISO 4217 does.
_PLACES = {"ISK": 2, "UGX": 2, "MGA": 0}

_REFUND_STATES: Mapping[str, RefundState] = {
    "succeeded": "done",
    "pending": "under_way",
    "requires_action": "under_way",
    "failed": "refused",
    "canceled": "refused",
}
_PAID_EVENTS = {"checkout.session.completed", "checkout.session.async_payment_succeeded"}
_REFUND_EVENTS = {"refund.created", "refund.updated", "refund.failed", "charge.refund.updated"}


@dataclass(slots=True)
class Stripe:
    """The provider; safe in many threads. ``client`` has Stripe's address as its base."""

    name: ClassVar[str] = "stripe"
    zone: ClassVar[str] = "UTC"
    key: str = field(repr=False)
    webhook_secret: bytes = field(repr=False)
    return_url: str
    clock: Clock
    client: httpx.Client

    def create(self, order: Order) -> Checkout:
        """A Checkout page; hands over its address."""
        answer = self._asked(
            "POST",
            "/v1/checkout/sessions",
            {
                "mode": "payment",
                "client_reference_id": order.id,
                "metadata[order]": order.id,
                "payment_intent_data[metadata][order]": order.id,
                "line_items[0][quantity]": "1",
                "line_items[0][price_data][currency]": order.amount.currency.lower(),
                "line_items[0][price_data][unit_amount]": str(_units(order.amount)),
                "line_items[0][price_data][product_data][name]": order.description,
                "expires_at": str(epoch(order.expires_at + _OPEN_LONGER)),
                "success_url": self.return_url,
                "cancel_url": self.return_url,
            },
            once=order.id,
        )
        session, url = answer.get("id"), answer.get("url")
        if not isinstance(session, str) or not isinstance(url, str):
            raise ProviderUnreachable("Stripe answered an order without a page to pay on")
        return Checkout(session, {"url": url})

    def query(self, order: Order) -> Payment | None:
        """What became of the order's page."""
        if order.reference is None:
            return None
        target = f"/v1/checkout/sessions/{order.reference}"
        told = self._asked("GET", target, {"expand[]": "payment_intent.latest_charge"})
        try:
            intent = told["payment_intent"]
            if told["payment_status"] != "paid" or intent is None:
                return None
            at = from_epoch(intent["latest_charge"]["created"])
            return Payment(str(intent["id"]), str(told["client_reference_id"]), _money(told, "amount_total"), at)
        except (KeyError, TypeError, ValueError) as error:
            raise ProviderUnreachable(f"Stripe's answer about {order.id} cannot be read") from error

    def verify(self, callback: Callback) -> Told:
        """Prove a webhook by ``Stripe-Signature``: HMAC-SHA256 over the instant, a dot and the body."""
        if len(callback.body) > _BODY_LENGTH_MAX:
            raise MalformedCallback(f"it has {len(callback.body)} bytes")
        parts = [part.strip().partition("=") for part in callback.header("Stripe-Signature").split(",")]
        stamps = [value for name, _, value in parts if name == "t"]
        if len(stamps) != 1 or not re.fullmatch(r"[0-9]{1,11}", stamps[0], re.ASCII):
            raise MalformedCallback("its signature has not one instant in seconds")
        signed = stamps[0].encode() + b"." + callback.body
        made = hmac.new(self.webhook_secret, signed, hashlib.sha256).hexdigest().encode()
        # While a secret is being changed there are two of them.
        if not any(hmac.compare_digest(made, value.encode()) for name, _, value in parts if name == "v1"):
            raise TamperedCallback("no signature fits")
        try:
            event = document(callback.body)
            told = Told(str(event["id"]), from_epoch(int(stamps[0])), signed)
            return _with_content(told, str(event["type"]), event["data"]["object"], from_epoch(event["created"]))
        except (KeyError, TypeError, ValueError) as error:
            raise MalformedCallback(f"it cannot be read: {type(error).__name__}") from error

    def refund(self, refund: Refund) -> RefundAnswer:
        """Give money back; the same ``refund.id`` answers how far it is."""
        made: Mapping[str, Any] | None = self._refund_of(refund)
        if made is None:
            content = {
                "payment_intent": refund.payment_id,
                "amount": str(_units(refund.amount)),
                "metadata[refund]": refund.id,
                "metadata[order]": refund.order_id,
                "metadata[reason]": refund.reason,
            }
            made = self._asked("POST", "/v1/refunds", content, once=refund.id)
        try:
            return RefundAnswer(refund.id, str(made["id"]), _REFUND_STATES[made["status"]])
        except (KeyError, TypeError) as error:
            raise ProviderUnreachable(f"Stripe's answer to refund {refund.id} cannot be read") from error

    def _refund_of(self, refund: Refund) -> Mapping[str, Any] | None:
        # Stripe forgets after a day that it was asked under this key before; what it made, it remembers.
        for one in self._listed("/v1/refunds", {"payment_intent": refund.payment_id}):
            if one.get("metadata", {}).get("refund") == refund.id:
                return one
        return None

    def statement(self, day: date) -> Sequence[StatementLine]:
        """The charges and refunds of a day (UTC) that are ours."""
        start, end = (
            epoch(datetime.combine(day + timedelta(days=n), time(), tzinfo=zone_named(self.zone))) for n in (0, 1)
        )
        within = {"created[gte]": str(start), "created[lt]": str(end)}
        lines: list[StatementLine] = []
        try:
            for one in self._listed("/v1/charges", within):
                if one["metadata"].get("order") and one["status"] == "succeeded":
                    amount, at = _money(one, "amount_captured"), from_epoch(one["created"])
                    lines.append(
                        StatementLine("payment", str(one["payment_intent"]), one["metadata"]["order"], amount, at)
                    )
            for one in self._listed("/v1/refunds", {**within, "expand[]": "data.charge"}):
                order_id = one["charge"]["metadata"].get("order")
                if order_id and one["status"] == "succeeded":
                    name = one["metadata"].get("refund") or one["id"]
                    amount, at = _money(one, "amount"), from_epoch(one["created"])
                    lines.append(StatementLine("refund", str(name), order_id, amount, at))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ProviderUnreachable(f"Stripe's list of {day} cannot be read") from error
        return lines

    def _listed(self, target: str, asked: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """All of a list, page after page."""
        page: dict[str, str] = {**asked, "limit": str(_PAGE)}
        while True:
            answer = self._asked("GET", target, page)
            items, more = answer.get("data"), answer.get("has_more")
            if not isinstance(items, list) or (more and not items):
                raise ProviderUnreachable(f"Stripe's answer to {target} is no list")
            yield from items
            if not more:
                return
            page["starting_after"] = str(items[-1]["id"])

    def _asked(
        self, method: str, target: str, content: Mapping[str, str], *, once: str | None = None
    ) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.key}", "Stripe-Version": _VERSION, "User-Agent": "wattledger"}
        if once is not None:
            headers["Idempotency-Key"] = once
        params, data = (content, None) if method == "GET" else (None, content)
        try:
            answer = self.client.request(method, target, headers=headers, params=params, data=data)
        except httpx.HTTPError as error:
            raise ProviderUnreachable(
                f"Stripe does not answer: {type(error).__name__}", remedy="ask again later"
            ) from error
        try:
            told = document(answer.content)
        except ValueError as error:
            raise ProviderUnreachable(f"Stripe answered {answer.status_code}, and no JSON") from error
        if answer.status_code == _OK:
            return told
        fault = told.get("error")
        fault = fault if isinstance(fault, dict) else {}
        said = f"Stripe answered {answer.status_code} {fault.get('code') or fault.get('type')}"
        unsure = (_UNAUTHORIZED, _FORBIDDEN, _CONFLICT, _TOO_MANY)
        if answer.status_code < _BAD or answer.status_code in unsure or answer.status_code >= _SERVER_ERROR:
            raise ProviderUnreachable(said, remedy="ask again later; for 401 and 403 check the key first")
        raise ProviderRefused(f"{said}: {str(fault.get('message', ''))[:200]}", code=fault.get("code"))


def _with_content(told: Told, kind: str, thing: Mapping[str, Any], at: datetime) -> Told:
    """``told`` with what an event of ours is about."""
    payment: Payment | None = None
    refund: RefundAnswer | None = None
    if kind in _PAID_EVENTS and thing["client_reference_id"] and thing["payment_status"] == "paid":
        order_id, amount = str(thing["client_reference_id"]), _money(thing, "amount_total")
        payment = Payment(str(thing["payment_intent"]), order_id, amount, at)
    elif kind == "payment_intent.succeeded" and thing["metadata"].get("order"):
        order_id, amount = str(thing["metadata"]["order"]), _money(thing, "amount_received")
        payment = Payment(str(thing["id"]), order_id, amount, at)
    elif kind in _REFUND_EVENTS and (thing.get("metadata") or {}).get("refund"):
        state = _REFUND_STATES[thing["status"]]
        refund = RefundAnswer(str(thing["metadata"]["refund"]), str(thing["id"]), state)
    return Told(told.event_id, told.signed_at, told.signed, payment, refund)


def _units(money: Money) -> int:
    return minor_units(money, places=_PLACES.get(money.currency))


def _money(thing: Mapping[str, Any], name: str) -> Money:
    currency = str(thing["currency"]).upper()
    return of_minor_units(thing[name], currency, places=_PLACES.get(currency))


def stripe(settings: Mapping[str, str], *, clock: Clock) -> Stripe:
    """The provider from settings.

    ``key`` and ``webhook_secret`` (paths of files with the secret key and the secret of the webhook), ``return_url``
    (https), optionally ``gateway``. Raises :class:`~wattledger.payments.SettingsWrong`.
    """
    missing = [name for name in ("key", "webhook_secret", "return_url") if not settings.get(name)]
    if missing:
        raise SettingsWrong(f"Stripe lacks {', '.join(missing)}")
    try:
        key = Path(settings["key"]).read_text(encoding="ascii").strip()
        secret = Path(settings["webhook_secret"]).read_bytes().strip()
    except (OSError, ValueError) as error:
        raise SettingsWrong(f"a secret of Stripe cannot be read: {type(error).__name__}") from None
    if not key or not secret:
        raise SettingsWrong("a secret of Stripe is empty")
    client = httpx.Client(base_url=settings.get("gateway", GATEWAY), timeout=_TIMEOUT_SECONDS)
    return Stripe(key, secret, settings["return_url"], clock, client)
