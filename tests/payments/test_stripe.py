"""Stripe: what it signs, what it lists, and what it does not know any more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from payments_desk import yuan
from stripe_pay import KEY, WEBHOOK_SECRET, StripeServer, signed

from wattledger import payments
from wattledger.kernel import ManualClock, Money, epoch
from wattledger.payments import Order
from wattledger.payments.stripe import Stripe, stripe

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ORDER = Order("pay_0123456789", yuan("50"), "Electricity", None, NOON, NOON + timedelta(minutes=30))


@dataclass(slots=True)
class Shop:
    server: StripeServer
    clock: ManualClock
    provider: Stripe

    def made(self, order: Order = ORDER) -> Order:
        return replace(order, reference=self.provider.create(order).reference)

    def paid(self, order: Order = ORDER) -> dict[str, Any]:
        return self.server.pay(str(self.made(order).reference))


@pytest.fixture
def shop() -> Iterator[Shop]:
    clock = ManualClock(NOON)
    server = StripeServer(clock)
    with server.client() as client:
        yield Shop(server, clock, Stripe(KEY, WEBHOOK_SECRET, "https://power.example/", clock, client))


@pytest.mark.parametrize(
    ("amount", "units"),
    [("50 CNY", 5000), ("50 JPY", 50), ("1.234 KWD", 1234), ("50 ISK", 5000), ("50 UGX", 5000), ("50 MGA", 50)],
)
def test_amounts_are_counted_as_stripe_counts_them(shop: Shop, amount: str, units: int) -> None:
    number, currency = amount.split()
    money = Money.of(number, currency)
    event = shop.paid(replace(ORDER, amount=money))
    (_, _, content), *_ = shop.server.asked
    assert content["line_items[0][price_data][unit_amount]"] == str(units)
    told = shop.provider.verify(shop.server.call_back(event)).payment
    assert told is not None
    assert told.amount == money


def test_an_order_may_be_taken_to_the_page_in_its_last_second(shop: Shop) -> None:
    shop.clock.move_to(ORDER.expires_at)
    assert shop.provider.create(ORDER).hand_over["url"].startswith("https://")


def test_the_page_and_the_payment_behind_it_are_one_payment(shop: Shop) -> None:
    event = shop.paid()
    session = event["data"]["object"]
    intent = {
        "id": session["payment_intent"],
        "metadata": {"order": ORDER.id},
        "amount_received": 5000,
        "currency": "cny",
    }
    page = shop.provider.verify(shop.server.call_back(event))
    behind = shop.provider.verify(shop.server.call_back(shop.server.event("payment_intent.succeeded", intent)))
    assert page.payment == behind.payment
    assert page.event_id != behind.event_id


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        ("checkout.session.completed", {"payment_status": "unpaid"}),  # the bank takes its time
        ("checkout.session.completed", {"client_reference_id": None}),  # sold by somebody else
        ("checkout.session.expired", {}),
        ("customer.created", {}),
    ],
)
def test_what_brings_us_no_money_is_left_alone(shop: Shop, kind: str, changed: dict[str, object]) -> None:
    thing = {**shop.paid()["data"]["object"], **changed}
    told = shop.provider.verify(shop.server.call_back(shop.server.event(kind, thing)))
    assert (told.payment, told.refund) == (None, None)


def test_a_bank_that_takes_its_time_pays_in_the_end(shop: Shop) -> None:
    thing = shop.paid()["data"]["object"]
    event = shop.server.event("checkout.session.async_payment_succeeded", thing)
    assert shop.provider.verify(shop.server.call_back(event)).payment is not None


@pytest.mark.parametrize(
    ("header", "refusal"),
    [
        ("v1=00", payments.MalformedCallback),
        ("t=1,t=2,v1=00", payments.MalformedCallback),
        ("t=x,v1=00", payments.MalformedCallback),
        ("t=-1,v1=00", payments.MalformedCallback),
        ("t=1", payments.TamperedCallback),
        ("t=1,v1=", payments.TamperedCallback),
        ("t=1,v0=00", payments.TamperedCallback),
        ("", payments.MalformedCallback),
    ],
)
def test_odd_signatures_are_refused(shop: Shop, header: str, refusal: type[payments.CallbackRefused]) -> None:
    with pytest.raises(refusal):
        shop.provider.verify(payments.Callback({"Stripe-Signature": header}, b"{}"))


def test_an_older_scheme_is_not_taken_for_the_present_one(shop: Shop) -> None:
    good = shop.server.call_back(shop.paid())
    older = good.headers["Stripe-Signature"].replace("v0=", "x=").replace("v1=", "v0=")
    with pytest.raises(payments.TamperedCallback):
        shop.provider.verify(replace(good, headers={"Stripe-Signature": older}))


def test_while_a_secret_is_changed_either_signature_will_do(shop: Shop) -> None:
    good = shop.server.call_back(shop.paid())
    both = good.headers["Stripe-Signature"].replace("v1=", f"v1={'0' * 64},v1=")
    assert shop.provider.verify(replace(good, headers={"Stripe-Signature": both})).payment is not None


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"id":"e","type":"x","created":1,"data":3}'])
def test_signed_nonsense_is_malformed(shop: Shop, body: bytes) -> None:
    with pytest.raises(payments.MalformedCallback):
        shop.provider.verify(signed(body, at=epoch(NOON)))


def test_amounts_with_a_point_are_malformed(shop: Shop) -> None:
    event = shop.paid()
    event["data"]["object"]["amount_total"] = 5000.0
    with pytest.raises(payments.MalformedCallback):
        shop.provider.verify(shop.server.call_back(event))


def refund(shop: Shop) -> payments.Refund:
    intent = shop.paid()["data"]["object"]["payment_intent"]
    return payments.Refund("ref_1", ORDER.id, intent, yuan("50"), yuan("50"), "moved out")


def test_a_refund_is_found_again_when_its_key_is_forgotten(shop: Shop) -> None:
    asked = refund(shop)
    first = shop.provider.refund(asked)
    shop.server.forgetful = True
    assert shop.provider.refund(asked) == first
    assert len(shop.server.refunds) == 1


@pytest.mark.parametrize(("status", "state"), [("pending", "under_way"), ("failed", "refused"), ("succeeded", "done")])
def test_a_refund_is_told_as_far_as_it_is(shop: Shop, status: str, state: str) -> None:
    shop.server.refund_status = status
    assert shop.provider.refund(refund(shop)).state == state
    event = shop.server.event("refund.updated", shop.server.refunds[0])
    told = shop.provider.verify(shop.server.call_back(event)).refund
    assert told == payments.RefundAnswer("ref_1", "re_0", state)


def test_a_refund_of_no_payment_is_refused(shop: Shop) -> None:
    with pytest.raises(payments.ProviderRefused, match="resource_missing"):
        shop.provider.refund(payments.Refund("ref_1", "o", "pi_none", yuan("50"), yuan("50"), "-"))


def test_a_wrong_key_says_nothing_of_what_was_asked(shop: Shop) -> None:
    wrong = Stripe("sk_wrong", WEBHOOK_SECRET, "https://power.example/", shop.clock, shop.provider.client)
    with pytest.raises(payments.ProviderUnreachable, match="401"):
        wrong.create(ORDER)


@pytest.mark.parametrize(("status", "content"), [(500, "{}"), (429, "{}"), (409, "{}"), (200, "<html>"), (302, "{}")])
def test_an_answer_that_is_none_is_unreachable(status: int, content: str) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, text=content))
    with httpx.Client(base_url="https://api.stripe.test", transport=transport) as client:
        provider = Stripe(KEY, WEBHOOK_SECRET, "https://power.example/", ManualClock(NOON), client)
        with pytest.raises(payments.ProviderUnreachable):
            provider.create(ORDER)


def test_a_day_is_read_page_after_page_and_without_what_others_sold(shop: Shop) -> None:
    for number in range(5):
        shop.paid(replace(ORDER, id=f"pay_{number}"))
    shop.server.charges[2]["metadata"] = {}
    shop.server.charges[3]["status"] = "failed"
    shop.clock.move_to(datetime(2026, 3, 2, tzinfo=UTC))
    shop.paid(replace(ORDER, id="pay_next", expires_at=shop.clock.now()))
    lines = shop.provider.statement(date(2026, 3, 1))
    assert [line.order_id for line in lines] == ["pay_0", "pay_1", "pay_4"]
    assert [line.order_id for line in shop.provider.statement(date(2026, 3, 2))] == ["pay_next"]


def test_a_refund_by_hand_is_listed_by_its_own_name(shop: Shop) -> None:
    shop.provider.refund(refund(shop))
    shop.server.refunds[0]["metadata"] = {}
    (line,) = [line for line in shop.provider.statement(NOON.date()) if line.kind == "refund"]
    assert (line.id, line.order_id, line.amount) == ("re_0", ORDER.id, yuan("50"))


def test_settings_make_a_provider(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    (tmp_path / "hook").write_bytes(WEBHOOK_SECRET)
    told = {"key": str(tmp_path / "key"), "webhook_secret": str(tmp_path / "hook"), "return_url": "https://x.example"}
    made = stripe(told, clock=ManualClock(NOON))
    with made.client:
        assert (made.key, made.webhook_secret) == (KEY, WEBHOOK_SECRET)
        assert KEY not in repr(made)
    for name in told:
        with pytest.raises(payments.SettingsWrong):
            stripe({**told, name: ""}, clock=ManualClock(NOON))
    with pytest.raises(payments.SettingsWrong):
        stripe({**told, "key": str(tmp_path / "none")}, clock=ManualClock(NOON))


def test_the_body_is_signed_as_it_came(shop: Shop) -> None:
    """Re-written JSON of the same content is another body."""
    good = shop.server.call_back(shop.paid())
    with pytest.raises(payments.TamperedCallback):
        shop.provider.verify(replace(good, body=json.dumps(json.loads(good.body)).encode()))
