"""What every provider has to pass. Usable from outside, with any pytest::

    from wattledger.payments.conformance import ProviderConformance

    class TestMyProvider(ProviderConformance):
        @contextmanager
        def rig(self):
            with my_test_server() as server:
                yield MyRig(server)

The author brings a :class:`Rig`: the provider with something to talk to, people who pay, and levers that make it fail.
What a provider has not, and what a rig cannot show, is skipped.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import date, timedelta
from typing import Protocol
from unittest import SkipTest

from wattledger.kernel import Clock, Money, zone_named
from wattledger.payments.ports import (
    FRESH,
    Callback,
    CallbackRefused,
    Order,
    Payment,
    Provider,
    ProviderUnreachable,
    Refund,
    TamperedCallback,
    UnknownCertificate,
)

_NAME_LENGTH_MAX = 40
_REFERENCE_LENGTH_MAX = 200
_PLACES_TRIED = 97  # bytes of a body that are changed, one after another


class Rig(Protocol):
    """A provider, and the other side of it."""

    @property
    def provider(self) -> Provider:
        """The provider under test."""
        ...

    @property
    def clock(self) -> Clock:
        """The clock it was given."""
        ...

    @property
    def secrets(self) -> Collection[bytes]:
        """Its keys: none may show."""
        ...

    def order(self) -> Order:
        """An order that it takes, each time another one."""
        ...

    def pay(self, order: Order, *, amount: Money | None = None) -> Callback:
        """Somebody pays ``order``, or another amount for it; what is sent to us about it."""
        ...

    def tell_again(self, callback: Callback) -> Callback:
        """The same news, sent and signed once more."""
        ...

    def by_stranger(self, callback: Callback) -> Callback:
        """The same news, well signed by somebody else."""
        ...

    def prepare_statement(self) -> bool:
        """Have the list of today ready; False when this rig has none."""
        ...

    def go_down(self) -> bool:
        """Answer nothing any more; False when nothing has to answer."""
        ...


def _expect(holds: bool, said: str) -> None:  # noqa: FBT001 - reads as the assert that it is
    if not holds:
        raise AssertionError(said)


class ProviderConformance:
    """Inherit, and say in :meth:`rig` what to talk to. Every test makes a rig of its own."""

    def rig(self) -> AbstractContextManager[Rig]:
        """A fresh provider."""
        raise NotImplementedError

    def test_it_has_a_name_and_a_zone(self) -> None:
        """The name goes into accounts and tables."""
        with self.rig() as rig:
            _expect(0 < len(rig.provider.name) <= _NAME_LENGTH_MAX, f"called {rig.provider.name!r}")
            zone_named(rig.provider.zone)

    def test_an_order_is_made_once(self) -> None:
        """Asked again after an answer was lost, it is the same one."""
        with self.rig() as rig:
            order = rig.order()
            first, again = rig.provider.create(order), rig.provider.create(order)
            _expect(first.reference == again.reference, f"{first.reference} and then {again.reference}")
            _expect(
                0 < len(first.reference) <= _REFERENCE_LENGTH_MAX,
                f"the reference has {len(first.reference)} characters",
            )
            json.dumps(first.hand_over)

    def test_an_unpaid_order_has_no_payment(self) -> None:
        """Known, and not paid."""
        with self.rig() as rig:
            order = self._made(rig)
            _expect(rig.provider.query(order) is None, "a payment that nobody made")

    def test_a_payment_is_told_as_it_was(self) -> None:
        """Order, amount and instant, exactly."""
        with self.rig() as rig:
            order = self._made(rig)
            payment = self._told(rig, rig.pay(order))
            _expect(payment.order_id == order.id, f"paid {order.id}, told {payment.order_id}")
            _expect(payment.amount == order.amount, f"paid {order.amount}, told {payment.amount}")
            _expect(type(payment.amount.micro) is int, "the amount is no whole number")
            off = abs(rig.clock.now() - payment.paid_at)
            _expect(off <= timedelta(minutes=1), f"the payment is {off} off")

    def test_another_amount_is_told_as_it_is(self) -> None:
        """Whether it is enough is not for the provider to say."""
        with self.rig() as rig:
            order = self._made(rig)
            other = Money(order.amount.micro * 3, order.amount.currency)
            payment = self._told(rig, rig.pay(order, amount=other))
            _expect(payment.amount == other, f"paid {other}, told {payment.amount}")

    def test_asking_tells_the_same_payment(self) -> None:
        """By call-back or by query, it is one payment."""
        with self.rig() as rig:
            order = self._made(rig)
            told = self._told(rig, rig.pay(order))
            asked = rig.provider.query(order)
            if asked is None:
                raise SkipTest("this provider cannot be asked")
            _expect((asked.id, asked.order_id, asked.amount) == (told.id, told.order_id, told.amount), f"{asked}")

    def test_it_is_known_when_a_call_back_was_signed(self) -> None:
        """By the clock that it was given."""
        with self.rig() as rig:
            told = rig.provider.verify(rig.pay(self._made(rig)))
            off = abs(rig.clock.now() - told.signed_at)
            _expect(off < FRESH, f"signed just now, told as {told.signed_at}")

    def test_the_same_message_is_the_same_whatever_is_not_signed(self) -> None:
        """So that a replay is known for what it is."""
        with self.rig() as rig:
            callback = rig.pay(self._made(rig))
            shouted = {name.upper(): value for name, value in callback.headers.items()}
            other = replace(callback, headers={**shouted, "X-FORWARDED-FOR": "192.0.2.1"})
            first, again = rig.provider.verify(callback), rig.provider.verify(other)
            _expect(first == again, "one message, verified twice, is two")

    def test_told_again_it_is_the_same_payment_in_another_message(self) -> None:
        """A provider that tells again signs again."""
        with self.rig() as rig:
            callback = rig.pay(self._made(rig))
            again = rig.tell_again(callback)
            first, second = rig.provider.verify(callback), rig.provider.verify(again)
            _expect(first.payment == second.payment, f"{first.payment} and then {second.payment}")
            _expect(first.event_id == second.event_id, f"{first.event_id} and then {second.event_id}")
            _expect(first.signed != second.signed, "two messages are one")

    def test_two_payments_are_two(self) -> None:
        """Whatever they have in common."""
        with self.rig() as rig:
            first, second = (self._told(rig, rig.pay(self._made(rig))) for _ in range(2))
            _expect(first.id != second.id, f"two payments are called {first.id}")

    def test_a_changed_body_is_tampered_with(self) -> None:
        """Every byte of it is signed."""
        with self.rig() as rig:
            callback = rig.pay(self._made(rig))
            step = max(1, len(callback.body) // _PLACES_TRIED)
            for place in range(0, len(callback.body), step):
                body = bytearray(callback.body)
                body[place] ^= 1
                self._refused(rig, replace(callback, body=bytes(body)), (TamperedCallback,))
            for body_ in (b"", callback.body + b"\n", callback.body[:-1]):
                self._refused(rig, replace(callback, body=body_), (TamperedCallback,))

    def test_a_changed_or_missing_header_proves_nothing_else(self) -> None:
        """It is refused, or is one that nobody looks at."""
        with self.rig() as rig:
            callback = rig.pay(self._made(rig))
            told = rig.provider.verify(callback)
            for name, value in callback.headers.items():
                others = {key: kept for key, kept in callback.headers.items() if key != name}
                for changed in (None, "", "0", value[:-1], value + "0", f"{value},{value}", "é"):
                    headers = others if changed is None else {**others, name: changed}
                    try:
                        got = rig.provider.verify(replace(callback, headers=headers))
                    except CallbackRefused:
                        continue
                    _expect(got == told, f"with {name}: {changed!r} it tells something else")

    def test_a_stranger_is_not_believed(self) -> None:
        """However well it is signed."""
        with self.rig() as rig:
            callback = rig.by_stranger(rig.pay(self._made(rig)))
            self._refused(rig, callback, (UnknownCertificate, TamperedCallback))

    def test_noise_is_refused_in_words(self) -> None:
        """Anybody can send anything."""
        with self.rig() as rig:
            for body in (b"", b"{", b"[]", b"null", b"\xff\x00", b'{"id": 1}', b"<xml/>"):
                self._refused(rig, Callback({}, body), (CallbackRefused,))

    def test_a_refund_goes_back_once(self) -> None:
        """Asked again, it is the same one."""
        with self.rig() as rig:
            refund = self._refund(rig)
            first, again = rig.provider.refund(refund), rig.provider.refund(refund)
            _expect(first.id == refund.id, f"asked for {refund.id}, answered {first.id}")
            _expect(first.state != "refused", "it was refused")
            _expect(first.reference == again.reference, f"{first.reference} and then {again.reference}")
            if first.state == "done" and rig.prepare_statement():
                lines = [line for line in rig.provider.statement(self._today(rig)) if line.kind == "refund"]
                _expect([line.id for line in lines] == [refund.id], f"listed as {lines}")
                _expect(lines[0].amount == refund.amount, f"listed as {lines[0].amount}")

    def test_a_day_is_listed_whole(self) -> None:
        """By the same names that call-backs use."""
        with self.rig() as rig:
            paid = [self._told(rig, rig.pay(self._made(rig))) for _ in range(3)]
            if not rig.prepare_statement():
                raise SkipTest("this rig has no list")
            lines = rig.provider.statement(self._today(rig))
            wanted = sorted((one.id, one.order_id, one.amount.micro) for one in paid)
            got = sorted((one.id, one.order_id, one.amount.micro) for one in lines if one.kind == "payment")
            _expect(got == wanted, f"listed as {got}")

    def test_silence_is_told_apart_from_no(self) -> None:
        """What was asked may have been done."""
        with self.rig() as rig:
            order = self._made(rig)
            refund = self._refund(rig)
            if not rig.go_down():
                raise SkipTest("nothing has to answer")
            for ask in (
                lambda: rig.provider.create(rig.order()),
                lambda: rig.provider.query(order),
                lambda: rig.provider.refund(refund),
                lambda: rig.provider.statement(self._today(rig)),
            ):
                try:
                    ask()
                except ProviderUnreachable:
                    continue
                raise AssertionError("it answered for somebody who is silent")

    def test_no_secret_shows(self) -> None:
        """Not in its repr, not in what it hands over, not in a refusal."""
        with self.rig() as rig:
            order = rig.order()
            shown = repr(rig.provider) + json.dumps(dict(rig.provider.create(order).hand_over))
            try:
                rig.provider.verify(Callback({}, b"{}"))
            except CallbackRefused as refusal:
                shown += str(refusal)
            for secret in rig.secrets:
                _expect(secret.decode("latin-1") not in shown and repr(secret) not in shown, "a secret shows")

    def _made(self, rig: Rig) -> Order:
        order = rig.order()
        return replace(order, reference=rig.provider.create(order).reference)

    def _told(self, rig: Rig, callback: Callback) -> Payment:
        payment = rig.provider.verify(callback).payment
        if payment is None:
            raise AssertionError("a payment was made, and none is told")
        return payment

    def _refund(self, rig: Rig) -> Refund:
        paid = self._told(rig, rig.pay(self._made(rig)))
        return Refund(f"ref_{paid.order_id[-20:]}", paid.order_id, paid.id, paid.amount, paid.amount, "a test")

    def _today(self, rig: Rig) -> date:
        return rig.clock.now().astimezone(zone_named(rig.provider.zone)).date()

    def _refused(self, rig: Rig, callback: Callback, kinds: tuple[type[CallbackRefused], ...]) -> None:
        try:
            rig.provider.verify(callback)
        except kinds:
            return
        except CallbackRefused as refusal:
            raise AssertionError(f"refused as {type(refusal).__name__}") from refusal
        raise AssertionError("it was believed")
