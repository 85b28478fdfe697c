"""Stripe, as far as it is asked here: behind an ``httpx`` client, with pages of two, and its own memory of keys."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import httpx

from wattledger.kernel import Clock, epoch
from wattledger.payments import Callback

KEY, WEBHOOK_SECRET = "sk_test_4eC39HqLyjWDarjtT1zdp7dc", b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass(slots=True)
class StripeServer:
    clock: Clock
    down: bool = False
    refund_status: str = "succeeded"
    forgetful: bool = False  # of idempotency keys, as after a day
    sessions: dict[str, dict[str, Any]] = field(default_factory=dict)
    charges: list[dict[str, Any]] = field(default_factory=list)
    refunds: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    _kept: dict[str, tuple[dict[str, str], httpx.Response]] = field(default_factory=dict)

    def client(self) -> httpx.Client:
        return httpx.Client(base_url="https://api.stripe.test", transport=httpx.MockTransport(self._answer))

    def pay(self, session_id: str, *, units: int | None = None) -> dict[str, Any]:
        """Somebody pays on a page; returns the event ``checkout.session.completed``."""
        session = self.sessions[session_id]
        amount = session["amount_total"] if units is None else units
        intent = f"pi_{len(self.charges)}_{session_id}"
        now = epoch(self.clock.now())
        self.charges.append(
            {
                "id": f"ch_{len(self.charges)}",
                "payment_intent": intent,
                "status": "succeeded",
                "amount_captured": amount,
                "currency": session["currency"],
                "created": now,
                "metadata": dict(session["metadata"]),
            }
        )
        session.update(payment_status="paid", amount_total=amount, payment_intent=intent)
        return self.event("checkout.session.completed", dict(session))

    def event(self, kind: str, thing: dict[str, Any]) -> dict[str, Any]:
        name = hashlib.sha256(f"{kind}{thing['id']}".encode()).hexdigest()[:24]
        created = epoch(self.clock.now())
        return {"id": f"evt_{name}", "object": "event", "type": kind, "created": created, "data": {"object": thing}}

    def call_back(self, event: dict[str, Any], *, at: int | None = None, secret: bytes = WEBHOOK_SECRET) -> Callback:
        body = json.dumps(event, indent=2).encode()
        return signed(body, at=epoch(self.clock.now()) if at is None else at, secret=secret)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if self.down:
            raise httpx.ConnectError("nobody there", request=request)
        if request.headers["Authorization"] != f"Bearer {KEY}":
            return self._no(401, "invalid_api_key")
        content = dict(parse_qsl(request.content.decode() if request.method == "POST" else request.url.query.decode()))
        self.asked.append((request.method, request.url.path, content))
        key = request.headers.get("Idempotency-Key", "")
        if key in self._kept and not self.forgetful:
            first, answer = self._kept[key]
            return answer if first == content else self._no(400, "idempotency_error")
        answer = self._done(request.method, request.url.path, content)
        if key:
            self._kept[key] = content, answer
        return answer

    def _done(self, method: str, path: str, content: dict[str, str]) -> httpx.Response:  # noqa: PLR0911 - a table of all that may be asked
        match method, path:
            case "POST", "/v1/checkout/sessions":
                if int(content["expires_at"]) < epoch(self.clock.now()) + 1800:
                    return self._no(400, "too_short")
                return httpx.Response(200, json=self._session(content))
            case "GET", "/v1/charges":
                return self._page([one for one in self.charges if self._within(one, content)], content)
            case "GET", "/v1/refunds":
                found = [one for one in self.refunds if self._within(one, content)]
                if "payment_intent" in content:
                    found = [one for one in found if one["payment_intent"] == content["payment_intent"]]
                return self._page(found, content)
            case "POST", "/v1/refunds":
                return self._refund(content)
            case "GET", _ if (session := self.sessions.get(path.rpartition("/")[2])) is not None:
                paid = [one for one in self.charges if one["payment_intent"] == session["payment_intent"]]
                intent = {"id": session["payment_intent"], "latest_charge": paid[0]} if paid else None
                return httpx.Response(200, json={**session, "payment_intent": intent})
        return self._no(404, "resource_missing")

    def _session(self, content: dict[str, str]) -> dict[str, Any]:
        name = f"cs_test_{len(self.sessions)}"
        self.sessions[name] = {
            "id": name,
            "url": f"https://checkout.stripe.test/{name}",
            "client_reference_id": content["client_reference_id"],
            "amount_total": int(content["line_items[0][price_data][unit_amount]"]),
            "currency": content["line_items[0][price_data][currency]"],
            "metadata": {"order": content["payment_intent_data[metadata][order]"]},
            "payment_status": "unpaid",
            "payment_intent": None,
        }
        return self.sessions[name]

    def _refund(self, content: dict[str, str]) -> httpx.Response:
        charge = next((one for one in self.charges if one["payment_intent"] == content["payment_intent"]), None)
        if charge is None:
            return self._no(404, "resource_missing")
        if any(one["payment_intent"] == content["payment_intent"] for one in self.refunds):
            return self._no(400, "charge_already_refunded")
        made = {
            "id": f"re_{len(self.refunds)}",
            "payment_intent": content["payment_intent"],
            "charge": charge,
            "amount": int(content["amount"]),
            "currency": charge["currency"],
            "created": epoch(self.clock.now()),
            "status": self.refund_status,
            "metadata": {"refund": content["metadata[refund]"], "order": content["metadata[order]"]},
        }
        self.refunds.append(made)
        return httpx.Response(200, json=made)

    def _within(self, thing: dict[str, Any], content: dict[str, str]) -> bool:
        since, until = int(content.get("created[gte]", 0)), int(content.get("created[lt]", 10**12))
        return since <= int(thing["created"]) < until

    def _page(self, things: list[dict[str, Any]], content: dict[str, str]) -> httpx.Response:
        names = [one["id"] for one in things]
        start = names.index(content["starting_after"]) + 1 if "starting_after" in content else 0
        return httpx.Response(200, json={"data": things[start : start + 2], "has_more": len(things) > start + 2})

    def _no(self, status: int, code: str) -> httpx.Response:
        return httpx.Response(status, json={"error": {"code": code, "message": "no"}})


def signed(body: bytes, *, at: int, secret: bytes = WEBHOOK_SECRET) -> Callback:
    made = hmac.new(secret, f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return Callback({"Stripe-Signature": f"t={at},v1={made},v0=6ffbb59b2300aae63f272406069a9788598b792a"}, body)
