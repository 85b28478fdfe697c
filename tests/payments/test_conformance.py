"""The providers that are shipped pass what every provider has to pass."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from stripe_pay import KEY, WEBHOOK_SECRET, StripeServer
from wechat_pay import API_KEY, APPID, MCHID, MERCHANT_SERIAL, WeChatServer, rsa_key, wechat_server

from wattledger.kernel import ManualClock, Money, epoch
from wattledger.payments import Callback, Checkout, Order, Payment, Refund, RefundAnswer, StatementLine, Told
from wattledger.payments.agent import Agents, tell
from wattledger.payments.conformance import ProviderConformance, Rig
from wattledger.payments.ports import minor_units
from wattledger.payments.simulated import Simulated
from wattledger.payments.stripe import Stripe
from wattledger.payments.wechat import Merchant, WeChatPay

NOON = datetime(2026, 3, 1, 4, tzinfo=UTC)


@dataclass
class Orders:
    """Fresh orders, each of another amount."""

    clock: ManualClock = field(default_factory=lambda: ManualClock(NOON))
    count: int = 0

    def order(self) -> Order:
        self.count += 1
        amount = Money.of(f"{self.count}.{self.count:02}", "CNY")
        now = self.clock.now()
        return Order(f"pay_{self.count:020}", amount, "电费", "openid", now, now + timedelta(minutes=30))

    def prepare_statement(self) -> bool:
        return True

    def go_down(self) -> bool:
        return False


@dataclass
class SimulatedRig(Orders):
    secrets: ClassVar[Collection[bytes]] = [b"a key of the tests"]

    def __post_init__(self) -> None:
        self.provider = Simulated(key=b"a key of the tests", clock=self.clock)

    def pay(self, order: Order, *, amount: Money | None = None) -> Callback:
        return self.provider.call_back(self.provider.pay(order.id, amount=amount))

    def tell_again(self, callback: Callback) -> Callback:
        payment = self.provider.verify(callback).payment
        assert payment is not None
        return self.provider.call_back(payment)

    def by_stranger(self, callback: Callback) -> Callback:
        stranger = Simulated(key=b"a key of a stranger", clock=self.clock)
        payment = self.provider.verify(callback).payment
        assert payment is not None
        return stranger.call_back(payment)


class TestSimulated(ProviderConformance):
    test_silence_is_told_apart_from_no = None  # type: ignore[assignment]  # nothing has to answer

    @contextmanager
    def rig(self) -> Iterator[Rig]:
        yield SimulatedRig()


@dataclass
class WeChatRig(Orders):
    server: WeChatServer = field(init=False)
    provider: WeChatPay = field(init=False)

    @property
    def secrets(self) -> Collection[bytes]:
        private = rsa_key("merchant").private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return [API_KEY, private]

    def pay(self, order: Order, *, amount: Money | None = None) -> Callback:
        total = None if amount is None else minor_units(amount)
        return self.server.call_back(self.server.notify(self.server.pay(order.id, total=total)))

    def tell_again(self, callback: Callback) -> Callback:
        return self.server.call_back(callback.body)

    def by_stranger(self, callback: Callback) -> Callback:
        return self.server.call_back(callback.body, by="stranger")

    def go_down(self) -> bool:
        self.server.troubles.add("down")
        return True


class TestWeChat(ProviderConformance):
    @contextmanager
    def rig(self) -> Iterator[Rig]:
        rig = WeChatRig()
        merchant = Merchant(
            appid=APPID,
            mchid=MCHID,
            serial=MERCHANT_SERIAL,
            private_key=rsa_key("merchant"),
            api_key=API_KEY,
            notify_url="https://power.example/notify",
        )
        with (
            wechat_server(rig.clock) as rig.server,
            httpx.Client(base_url=rig.server.address, trust_env=False) as client,
        ):
            rig.provider = WeChatPay(merchant, rig.clock, client)
            yield rig


@dataclass
class StripeRig(Orders):
    secrets: ClassVar[Collection[bytes]] = [KEY.encode(), WEBHOOK_SECRET]

    def __post_init__(self) -> None:
        self.server = StripeServer(self.clock)
        self.provider = Stripe(KEY, WEBHOOK_SECRET, "https://power.example/", self.clock, self.server.client())

    def pay(self, order: Order, *, amount: Money | None = None) -> Callback:
        assert order.reference is not None
        units = None if amount is None else minor_units(amount)
        return self.server.call_back(self.server.pay(order.reference, units=units))

    def tell_again(self, callback: Callback) -> Callback:
        return self.server.call_back(json.loads(callback.body), at=epoch(self.clock.now()) + 1)

    def by_stranger(self, callback: Callback) -> Callback:
        return self.server.call_back(json.loads(callback.body), secret=b"whsec_other")

    def go_down(self) -> bool:
        self.server.down = True
        return True


class TestStripe(ProviderConformance):
    @contextmanager
    def rig(self) -> Iterator[Rig]:
        rig = StripeRig()
        with rig.provider.client:
            yield rig


@dataclass
class AgentRig(Orders):
    folder: Path = field(default_factory=Path)
    secrets: ClassVar[Collection[bytes]] = [b"the key of a till"]
    taken: list[StatementLine] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.provider = Agents({"corner shop": b"the key of a till"}, self.folder)

    def pay(self, order: Order, *, amount: Money | None = None) -> Callback:
        came = amount or order.amount
        receipt = str(len(self.taken))
        self.taken.append(StatementLine("payment", f"corner shop:{receipt}", order.id, came, self.clock.now()))
        return self._told(
            {
                "kind": "payment",
                "receipt": receipt,
                "order": order.id,
                "minor": minor_units(came),
                "currency": came.currency,
                "paid_at": epoch(self.clock.now()),
            }
        )

    def tell_again(self, callback: Callback) -> Callback:
        return self._told(json.loads(callback.body))

    def by_stranger(self, callback: Callback) -> Callback:
        return tell(
            till="corner shop", key=b"another key of a till", clock=self.clock, content=json.loads(callback.body)
        )

    def _told(self, content: dict[str, object]) -> Callback:
        return tell(till="corner shop", key=b"the key of a till", clock=self.clock, content=content)

    def prepare_statement(self) -> bool:
        lines = [
            f"{one.kind},{one.id},{one.order_id},{minor_units(one.amount)},{one.amount.currency},{epoch(one.at)}"
            for one in self.taken
        ]
        text = "\n".join(["kind,id,order,minor,currency,at", *lines, ""])
        (self.folder / f"{self.clock.now():%F}.csv").write_text(text)
        return True


class TestAgents(ProviderConformance):
    test_silence_is_told_apart_from_no = None  # type: ignore[assignment]  # nothing has to answer
    test_asking_tells_the_same_payment = None  # type: ignore[assignment]  # nobody can be asked

    @contextmanager
    def rig(self) -> Iterator[Rig]:
        with TemporaryDirectory() as folder:
            yield AgentRig(folder=Path(folder))


# --- The suite can fail ---


class Gullible(Simulated):
    """Believes whatever it is sent."""

    def verify(self, callback: Callback) -> Told:
        told = json.loads(callback.body or b"{}")
        payment = Payment(str(told.get("payment")), str(told.get("order")), Money(10_000, "CNY"), self.clock.now())
        return Told("e", self.clock.now(), callback.body, payment)


class Forgetful(Simulated):
    """Makes another order every time it is asked."""

    def create(self, order: Order) -> Checkout:
        return replace(Simulated.create(self, order), reference=self.chance())


class Spendthrift(Simulated):
    """Gives money back as often as it is asked."""

    def refund(self, refund: Refund) -> RefundAnswer:
        return Simulated.refund(self, replace(refund, id=self.chance()))


class Timeless(Simulated):
    """Cannot tell a message that was recorded from one that was signed anew."""

    def verify(self, callback: Callback) -> Told:
        return replace(Simulated.verify(self, callback), signed=callback.body)


class Absent(Simulated):
    """Has no list."""

    def statement(self, day: date) -> Sequence[StatementLine]:  # noqa: ARG002 - the port's signature
        return []


@pytest.mark.parametrize(
    ("kind", "seen_by"),
    [
        (Gullible, "test_a_changed_body_is_tampered_with"),
        (Gullible, "test_a_stranger_is_not_believed"),
        (Gullible, "test_noise_is_refused_in_words"),
        (Gullible, "test_a_payment_is_told_as_it_was"),
        (Timeless, "test_told_again_it_is_the_same_payment_in_another_message"),
        (Forgetful, "test_an_order_is_made_once"),
        (Spendthrift, "test_a_refund_goes_back_once"),
        (Absent, "test_a_day_is_listed_whole"),
    ],
)
def test_a_provider_that_is_wrong_is_seen(kind: type[Simulated], seen_by: str) -> None:
    class Wrong(ProviderConformance):
        @contextmanager
        def rig(self) -> Iterator[Rig]:
            rig = SimulatedRig()
            rig.provider = kind(key=b"a key of the tests", clock=rig.clock)
            yield rig

    with pytest.raises((AssertionError, AttributeError, ValueError)):
        getattr(Wrong(), seen_by)()
