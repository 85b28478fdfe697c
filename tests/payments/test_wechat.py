"""WeChat Pay, against a server that signs and seals as the real one does."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from grid import Grid
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from payments_desk import Desk, desk_at, yuan
from wechat_pay import API_KEY, APPID, MCHID, MERCHANT_SERIAL, WeChatServer, rsa_key, wechat_server

from wattledger import payments
from wattledger.kernel import ManualClock, Money
from wattledger.payments import Callback, Order, OrderState
from wattledger.payments.wechat import Merchant, WeChatPay, wechat

NOON = datetime(2026, 3, 1, 4, tzinfo=UTC)  # in Shanghai
MERCHANT = Merchant(
    appid=APPID,
    mchid=MCHID,
    serial=MERCHANT_SERIAL,
    private_key=rsa_key("merchant"),
    api_key=API_KEY,
    notify_url="https://power.example/notify",
)
ORDER = Order("pay_0123456789", yuan("50"), "电费", "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o", NOON, NOON + timedelta(minutes=30))


@dataclass(slots=True)
class Shop:
    server: WeChatServer
    clock: ManualClock
    provider: WeChatPay


@pytest.fixture
def shop() -> Iterator[Shop]:
    clock = ManualClock(NOON)
    with wechat_server(clock) as server, httpx.Client(base_url=server.address, trust_env=False) as client:
        yield Shop(server, clock, WeChatPay(MERCHANT, clock, client))


def paid(shop: Shop) -> Callback:
    """A notification of a payment."""
    shop.provider.create(ORDER)
    return shop.server.call_back(shop.server.notify(shop.server.pay(ORDER.id)))


# --- Orders ---


def test_an_order_is_made_and_signed_for_the_mini_program(shop: Shop) -> None:
    checkout = shop.provider.create(ORDER)
    assert shop.server.orders[ORDER.id] == {
        "appid": APPID,
        "mchid": MCHID,
        "description": "电费",
        "out_trade_no": ORDER.id,
        "time_expire": "2026-03-01T12:30:00+08:00",
        "notify_url": "https://power.example/notify",
        "amount": {"total": 5000, "currency": "CNY"},
        "payer": {"openid": ORDER.payer},
    }
    given = checkout.hand_over
    assert set(given) == {"timeStamp", "nonceStr", "package", "signType", "paySign"}
    assert (given["package"], given["signType"]) == (f"prepay_id={checkout.reference}", "RSA")
    message = f"{APPID}\n{given['timeStamp']}\n{given['nonceStr']}\n{given['package']}\n".encode()
    rsa_key("merchant").public_key().verify(
        base64.b64decode(given["paySign"]), message, padding.PKCS1v15(), hashes.SHA256()
    )
    assert shop.provider.create(ORDER).reference == checkout.reference


def test_who_pays_has_to_be_known(shop: Shop) -> None:
    with pytest.raises(payments.ProviderRefused, match="who pays"):
        shop.provider.create(replace(ORDER, payer=None))


def test_a_refusal_says_why(shop: Shop) -> None:
    shop.provider.create(ORDER)
    with pytest.raises(payments.ProviderRefused, match="INVALID_REQUEST"):
        shop.provider.create(replace(ORDER, amount=yuan("51")))


def test_an_order_is_asked_about(shop: Shop) -> None:
    assert shop.provider.query(ORDER) is None
    shop.provider.create(ORDER)
    assert shop.provider.query(ORDER) is None
    told = shop.server.pay(ORDER.id)
    assert shop.provider.query(ORDER) == payments.Payment(told["transaction_id"], ORDER.id, yuan("50"), NOON)


@pytest.mark.parametrize("trouble", ["down", "old_answers", "strange_answers", "spoilt_answers"])
def test_an_answer_that_proves_nothing_is_no_answer(shop: Shop, trouble: str) -> None:
    shop.provider.create(ORDER)
    shop.server.troubles.add(trouble)
    with pytest.raises(payments.ProviderUnreachable):
        shop.provider.query(ORDER)
    shop.server.troubles.clear()
    assert shop.provider.query(ORDER) is None


def test_our_own_wrong_key_says_nothing_of_what_was_asked(shop: Shop) -> None:
    wrong = WeChatPay(replace(MERCHANT, private_key=rsa_key("other")), shop.clock, shop.provider.client)
    with pytest.raises(payments.ProviderUnreachable, match="SIGN_ERROR"):
        wrong.query(ORDER)


def test_nobody_there_is_unreachable() -> None:
    with httpx.Client(base_url="http://127.0.0.1:1", trust_env=False) as client:
        provider = WeChatPay(MERCHANT, ManualClock(NOON), client)
        with pytest.raises(payments.ProviderUnreachable):
            provider.create(ORDER)


# --- Notifications ---


def test_a_notification_is_proved_and_opened(shop: Shop) -> None:
    told = shop.provider.verify(paid(shop))
    (transaction,) = shop.server.transactions.values()
    assert told.payment == payments.Payment(transaction["transaction_id"], ORDER.id, yuan("50"), NOON)
    assert told.signed_at == NOON
    assert told.refund is None


def test_what_is_about_something_else_is_proved_and_left_alone(shop: Shop) -> None:
    body = shop.server.notify({"mchid": MCHID}, kind="COUPON.USE")
    told = shop.provider.verify(shop.server.call_back(body))
    assert (told.payment, told.refund) == (None, None)


def test_a_refund_is_told(shop: Shop) -> None:
    body = shop.server.notify(
        {"mchid": MCHID, "out_refund_no": "ref_1", "refund_id": "500", "refund_status": "SUCCESS"},
        kind="REFUND.SUCCESS",
    )
    assert shop.provider.verify(shop.server.call_back(body)).refund == payments.RefundAnswer("ref_1", "500", "done")


def other(callback: Callback, **headers: str) -> Callback:
    return replace(callback, headers={**callback.headers, **{f"Wechatpay-{k}": v for k, v in headers.items()}})


SPOILT: list[tuple[Callable[[Shop, Callback], Callback], type[payments.CallbackRefused]]] = [
    (lambda _, c: replace(c, body=c.body.replace(b"TRANSACTION", b"TRANSACTIOM")), payments.TamperedCallback),
    (lambda _, c: replace(c, body=c.body + b"\n"), payments.TamperedCallback),
    (lambda _, c: other(c, Timestamp=str(int(c.headers["Wechatpay-Timestamp"]) + 1)), payments.TamperedCallback),
    (lambda _, c: other(c, Nonce="other"), payments.TamperedCallback),
    (lambda _, c: other(c, Signature="WECHATPAY/SIGNTEST/abc"), payments.TamperedCallback),
    (lambda _, c: other(c, Signature=""), payments.TamperedCallback),
    (lambda _, c: other(c, Signature="签名"), payments.TamperedCallback),
    (lambda _, c: other(c, Timestamp="soon"), payments.MalformedCallback),
    (lambda _, c: other(c, Timestamp="٣"), payments.MalformedCallback),
    (lambda _, c: replace(c, headers={}), payments.MalformedCallback),
    (lambda _, c: other(c, Serial="0123"), payments.UnknownCertificate),
    (lambda _, c: other(c, Serial="PUB_KEY_ID_1"), payments.UnknownCertificate),
    # Well signed, by a certificate of the same name that is not WeChat Pay's.
    (lambda shop, c: shop.server.call_back(c.body, by="stranger"), payments.UnknownCertificate),
    (lambda shop, c: other(shop.server.call_back(c.body, by="stranger"), Serial=shop.server.serial("platform")),
     payments.TamperedCallback),
    # Well signed by WeChat Pay, and not meant for us.
    (lambda shop, _: resealed(shop, mchid="1900000001"), payments.MalformedCallback),
    (lambda shop, _: resealed(shop, appid="wx0000000000000000"), payments.MalformedCallback),
    (lambda shop, _: resealed(shop, key=b"another merchant's key of 32 byte"[:32]), payments.TamperedCallback),
    (lambda shop, _: resealed(shop, amount={"total": 50.0, "currency": "CNY"}), payments.MalformedCallback),
    (lambda shop, _: resealed(shop, amount={"total": "5000", "currency": "CNY"}), payments.MalformedCallback),
    (lambda shop, _: resealed(shop, amount={"total": 5000, "currency": "???"}), payments.MalformedCallback),
    (lambda shop, _: resealed(shop, amount=5000), payments.MalformedCallback),
    (lambda shop, _: resealed(shop, success_time="yesterday"), payments.MalformedCallback),
    (lambda shop, _: shop.server.call_back(b"[]"), payments.MalformedCallback),
    (lambda shop, _: shop.server.call_back(b"{"), payments.MalformedCallback),
    (lambda shop, _: shop.server.call_back(b"\xff"), payments.MalformedCallback),
    (lambda shop, _: shop.server.call_back(b'{"id":"1","event_type":"TRANSACTION.SUCCESS","resource":7}'),
     payments.MalformedCallback),
]  # fmt: skip


def resealed(shop: Shop, *, key: bytes = API_KEY, **changed: Any) -> Callback:  # noqa: ANN401 - any value of JSON
    return shop.server.call_back(shop.server.notify({**shop.server.transactions[ORDER.id], **changed}, key=key))


@pytest.mark.parametrize(("spoil", "refusal"), SPOILT)
def test_a_spoilt_notification_is_refused(
    shop: Shop, spoil: Callable[[Shop, Callback], Callback], refusal: type[payments.CallbackRefused]
) -> None:
    good = paid(shop)
    with pytest.raises(refusal) as refused:
        shop.provider.verify(spoil(shop, good))
    assert type(refused.value) is refusal
    assert shop.provider.verify(good).payment is not None


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bit_of_a_notification_can_be_changed(shop: Shop, place: int, bit: int) -> None:
    good = paid(shop)
    body = bytearray(good.body)
    body[place % len(body)] ^= 1 << bit
    with pytest.raises(payments.TamperedCallback):
        shop.provider.verify(replace(good, body=bytes(body)))


# --- Certificates ---


def fetches(shop: Shop) -> int:
    return sum(path == "/v3/certificates" for _, path, _ in shop.server.asked)


def test_certificates_are_fetched_once_and_strangers_do_not_make_us_ask(shop: Shop) -> None:
    good = paid(shop)
    for _ in range(3):
        shop.provider.verify(good)
    with pytest.raises(payments.UnknownCertificate):
        shop.provider.verify(other(good, Serial="BAD"))
    assert fetches(shop) == 1


def test_a_new_certificate_is_found_within_a_minute(shop: Shop) -> None:
    body = paid(shop).body
    shop.provider.verify(shop.server.call_back(body))
    shop.server.platform.append("next")
    shop.clock.advance(timedelta(seconds=61))
    assert shop.provider.verify(shop.server.call_back(body, by="next")).payment is not None
    assert fetches(shop) == 2


def test_a_certificate_that_was_withdrawn_is_dropped_within_half_a_day(shop: Shop) -> None:
    body = paid(shop).body
    shop.provider.verify(shop.server.call_back(body))
    shop.server.platform[:] = ["next"]
    shop.clock.advance(timedelta(hours=12, seconds=1))
    with pytest.raises(payments.UnknownCertificate):
        shop.provider.verify(shop.server.call_back(body, by="platform"))


def test_known_certificates_serve_while_new_ones_cannot_be_fetched(shop: Shop) -> None:
    body = paid(shop).body
    shop.provider.verify(shop.server.call_back(body))
    shop.clock.advance(timedelta(hours=13))
    shop.server.troubles.add("down")
    assert shop.provider.verify(shop.server.call_back(body)).payment is not None


def test_a_certificate_that_ran_out_proves_nothing(shop: Shop) -> None:
    body = paid(shop).body
    shop.clock.advance(timedelta(days=30))
    with pytest.raises(payments.UnknownCertificate, match="is good from"):
        shop.provider.verify(shop.server.call_back(body))


def test_certificates_sealed_with_another_key_are_not_believed(shop: Shop) -> None:
    good = paid(shop)
    wrong = WeChatPay(replace(MERCHANT, api_key=b"0" * 32), shop.clock, shop.provider.client)
    with pytest.raises(payments.ProviderUnreachable, match="cannot be believed"):
        wrong.verify(good)


def test_a_public_key_takes_the_place_of_certificates(shop: Shop) -> None:
    body = paid(shop).body
    keys = {"PUB_KEY_ID_01": rsa_key("wechat").public_key()}
    provider = WeChatPay(replace(MERCHANT, public_keys=keys), shop.clock, shop.provider.client)
    asked = fetches(shop)
    signed = other(shop.server.call_back(body, by="wechat"), Serial="PUB_KEY_ID_01")
    assert provider.verify(signed).payment is not None
    assert fetches(shop) == asked


# --- Refunds ---

REFUND = payments.Refund("ref_1", ORDER.id, "42000", yuan("50"), yuan("50"), "moved out")


def test_a_refund_is_made_once(shop: Shop) -> None:
    first = shop.provider.refund(REFUND)
    assert shop.provider.refund(REFUND) == first
    assert first == payments.RefundAnswer("ref_1", first.reference, "done")
    assert shop.server.refunds["ref_1"]["amount"] == {"refund": 5000, "total": 5000, "currency": "CNY"}


def test_a_refund_may_take_its_time(shop: Shop) -> None:
    shop.server.troubles.add("slow_refunds")
    assert shop.provider.refund(REFUND).state == "under_way"
    shop.server.troubles.clear()
    assert shop.provider.refund(REFUND).state == "done"


def test_no_counts_only_if_no_earlier_attempt_went_through(shop: Shop) -> None:
    shop.server.troubles.add("not_enough")
    with pytest.raises(payments.ProviderRefused, match="NOT_ENOUGH"):
        shop.provider.refund(REFUND)
    shop.server.troubles.clear()
    shop.provider.refund(REFUND)
    shop.server.troubles.add("not_enough")
    assert shop.provider.refund(REFUND).state == "done"


# --- The bill of a day ---


def test_the_bill_of_a_day_is_read(shop: Shop) -> None:
    shop.provider.create(ORDER)
    told = shop.server.pay(ORDER.id)
    shop.provider.refund(replace(REFUND, payment_id=told["transaction_id"]))
    assert shop.provider.statement(date(2026, 3, 1)) == [
        payments.StatementLine("payment", told["transaction_id"], ORDER.id, yuan("50"), NOON),
        payments.StatementLine("refund", "ref_1", "order", yuan("50"), NOON),
    ]
    assert shop.provider.statement(date(2026, 3, 2)) == []


@pytest.mark.parametrize("trouble", ["spoilt_bill", "foreign_bill"])
def test_a_bill_that_is_not_the_one_announced_is_not_read(shop: Shop, trouble: str) -> None:
    shop.provider.create(ORDER)
    shop.server.pay(ORDER.id)
    shop.server.troubles.add(trouble)
    with pytest.raises(payments.ProviderUnreachable):
        shop.provider.statement(date(2026, 3, 1))


# --- From end to end ---


@pytest.fixture
def town(grid: Grid) -> Iterator[tuple[Desk, WeChatServer, WeChatPay]]:
    desk = desk_at(grid)
    with wechat_server(grid.clock) as server, httpx.Client(base_url=server.address, trust_env=False) as client:
        yield desk, server, WeChatPay(MERCHANT, grid.clock, client)


def ordered(desk: Desk, provider: WeChatPay) -> payments.PaymentOrder:
    wanted = payments.NewOrder(contract_id=desk.home, provider="wechat", amount=yuan("50"), key="w", payer="openid")
    with desk.store.write() as tx:
        order = payments.place_order(tx, wanted=wanted, now=desk.grid.clock.now())
    payments.begin_checkout(desk.store, provider=provider, order_id=order.id, now=desk.grid.clock.now())
    return order


def test_from_the_order_to_the_wallet_and_back(town: tuple[Desk, WeChatServer, WeChatPay]) -> None:
    desk, server, provider = town
    order = ordered(desk, provider)
    told = server.pay(order.id)
    body = server.notify(told)

    def take(callback: Callback) -> str:
        return payments.take_callback(
            desk.store, provider=provider, callback=callback, now=desk.grid.clock.now()
        ).outcome

    first = server.call_back(body)
    hour_old = server.call_back(body, at=desk.grid.clock.now() - timedelta(hours=1))
    with pytest.raises(payments.StaleCallback):
        take(hour_old)
    with pytest.raises(payments.TamperedCallback):
        take(replace(first, body=first.body + b" "))
    with pytest.raises(payments.UnknownCertificate):
        take(server.call_back(body, by="stranger"))
    assert desk.recharges() == 0
    assert take(first) == "credited"
    assert take(server.call_back(body)) == "duplicate"
    with pytest.raises(payments.ReplayedCallback):
        take(first)
    assert desk.recharges() == 1
    assert desk.available() == yuan("50")
    assert [(line.outcome, line.reason) for line in reversed(desk.audit())] == [
        ("refused", "stale"),
        ("refused", "tampered"),
        ("refused", "unknown_certificate"),
        ("credited", None),
        ("duplicate", None),
        ("refused", "replayed"),
    ]
    now = desk.grid.clock.now()
    today = (now + timedelta(hours=8)).date()
    assert payments.reconcile(desk.store, provider=provider, day=today).differences == ()

    server.troubles.add("slow_refunds")
    refund = payments.refund_payment(
        desk.store, provider=provider, payment_id=told["transaction_id"], reason="-", by="Li", now=now
    )
    assert refund.state == "under_way"
    assert desk.available() == yuan("0")
    done = {"mchid": MCHID, "out_refund_no": refund.refund.id, "refund_id": "500", "refund_status": "SUCCESS"}
    assert take(server.call_back(server.notify(done, kind="REFUND.SUCCESS"))) == "refund"
    assert desk.order(order.id).state is OrderState.REFUNDED
    report = payments.reconcile(desk.store, provider=provider, day=today)
    assert (report.differences, report.there) == ((), (Money.zero("CNY"),))


def test_another_amount_than_ordered_is_queued(town: tuple[Desk, WeChatServer, WeChatPay]) -> None:
    desk, server, provider = town
    order = ordered(desk, provider)
    callback = server.call_back(server.notify(server.pay(order.id, total=1)))
    now = desk.grid.clock.now()
    assert payments.take_callback(desk.store, provider=provider, callback=callback, now=now).outcome == "queued"
    assert [(one.reason, one.came) for one in desk.queue()] == [("amount_differs", yuan("0.01"))]
    assert desk.recharges() == 0


def test_a_refund_that_was_refused_and_is_made_after_all_is_an_operators(
    town: tuple[Desk, WeChatServer, WeChatPay],
) -> None:
    desk, server, provider = town
    order, now = ordered(desk, provider), desk.grid.clock.now()
    paid_ = server.pay(order.id)
    payments.take_callback(desk.store, provider=provider, callback=server.call_back(server.notify(paid_)), now=now)
    server.troubles.add("not_enough")
    refund = payments.refund_payment(
        desk.store, provider=provider, payment_id=paid_["transaction_id"], reason="-", by="Li", now=now
    )
    assert refund.state == "refused"
    done = {"mchid": MCHID, "out_refund_no": refund.refund.id, "refund_id": "500", "refund_status": "SUCCESS"}
    told = server.call_back(server.notify(done, kind="REFUND.SUCCESS"))
    assert payments.take_callback(desk.store, provider=provider, callback=told, now=now).outcome == "refund"
    assert desk.available() == yuan("50")
    assert sorted(one.reason for one in desk.queue()) == ["refund_refused", "unknown_refund"]


# --- Settings and secrets ---


def test_nothing_secret_is_logged_or_shown(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shop.provider.verify(paid(shop))
    shown = caplog.text + repr(shop.provider) + repr(shop.provider.merchant)
    assert API_KEY.decode() not in shown
    assert ORDER.payer is not None
    assert ORDER.payer not in shown
    assert "BEGIN" not in shown


def settings_in(folder: Path) -> dict[str, str]:
    private = rsa_key("merchant").private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = (
        rsa_key("wechat")
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    for name, content in {"merchant.pem": private, "api.key": API_KEY + b"\n", "wechat.pem": public}.items():
        (folder / name).write_bytes(content)
    return {
        "appid": APPID,
        "mchid": MCHID,
        "serial": MERCHANT_SERIAL,
        "private_key": str(folder / "merchant.pem"),
        "api_key": str(folder / "api.key"),
        "notify_url": "https://power.example/notify",
        "public_key_id": "PUB_KEY_ID_01",
        "public_key": str(folder / "wechat.pem"),
    }


def test_settings_make_a_provider(tmp_path: Path) -> None:
    made = wechat(settings_in(tmp_path), clock=ManualClock(NOON))
    with made.client:
        assert (made.name, str(made.client.base_url)) == ("wechat", "https://api.mch.weixin.qq.com")
        assert made.merchant.api_key == API_KEY
        assert list(made.merchant.public_keys) == ["PUB_KEY_ID_01"]


@pytest.mark.parametrize(
    "changed",
    [
        {"mchid": ""},
        {"private_key": "nowhere.pem"},
        {"api_key": "nowhere.key"},
        {"notify_url": "http://power.example"},
        {"public_key": "nowhere.pem"},
    ],
)
def test_wrong_settings_are_told_without_a_secret(tmp_path: Path, changed: dict[str, str]) -> None:
    with pytest.raises(payments.SettingsWrong) as refused:
        wechat({**settings_in(tmp_path), **changed}, clock=ManualClock(NOON))
    assert API_KEY.decode() not in str(refused.value)


def test_a_short_key_is_refused(tmp_path: Path) -> None:
    told = settings_in(tmp_path)
    (tmp_path / "api.key").write_bytes(b"short")
    with pytest.raises(payments.SettingsWrong, match="32 bytes"):
        wechat(told, clock=ManualClock(NOON))


def test_what_is_sent_is_what_is_signed(shop: Shop) -> None:
    """The server checks each signature over the bytes that it got; Chinese text among them."""
    shop.provider.create(replace(ORDER, description='电费 "引号" \\ 😀'))
    assert json.dumps(shop.server.orders[ORDER.id]["description"], ensure_ascii=False) == '"电费 \\"引号\\" \\\\ 😀"'
