"""Money back: off the wallet first, then by the provider; what fails in between leaves nothing twice or nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from payments_desk import Desk, yuan

from wattledger import ledger, payments, prepay
from wattledger.payments import OrderState
from wattledger.payments.simulated import Simulated
from wattledger.store import recent_facts


@dataclass
class Moody(Simulated):
    """Answers refunds as it is told to."""

    moods: list[payments.RefundAnswer | Exception] = field(default_factory=list)
    asked: list[payments.Refund] = field(default_factory=list)

    def refund(self, refund: payments.Refund) -> payments.RefundAnswer:
        self.asked.append(refund)
        mood = self.moods.pop(0) if self.moods else "done"
        if isinstance(mood, Exception):
            raise mood
        return Simulated.refund(self, refund) if isinstance(mood, str) else mood


@pytest.fixture
def moody(desk: Desk) -> Moody:
    made = Moody(key=desk.provider.key, clock=desk.grid.clock)
    desk.provider = made
    return made


def refund(desk: Desk, payment: payments.Payment) -> payments.RefundRecord:
    return payments.refund_payment(
        desk.store,
        provider=desk.provider,
        payment_id=payment.id,
        reason="moved out",
        by="Li",
        now=desk.grid.clock.now(),
    )


def resume(desk: Desk) -> int:
    return payments.resume_refunds(desk.store, provider=desk.provider, now=desk.grid.clock.now())


def kinds(desk: Desk) -> Sequence[str]:
    with desk.store.read() as tx:
        assert ledger.check_book(tx) == []
        return [fact.kind for fact in recent_facts(tx, limit=9)]


def test_a_credited_payment_goes_back_once(desk: Desk) -> None:
    payment = desk.paid("50")
    done = refund(desk, payment)
    assert (done.state, done.contract_id) == ("done", desk.home)
    assert refund(desk, payment) == done
    assert desk.available() == yuan("0")
    assert desk.order(payment.order_id).state is OrderState.REFUNDED
    assert kinds(desk) == ["PaymentRefunded", "BalanceExhausted", "RechargeCredited"]
    with desk.store.read() as tx:
        assert payments.refunds_of(tx, order_id=payment.order_id) == [done]


def test_what_is_used_is_not_given_back(desk: Desk) -> None:
    payment = desk.paid("50")
    with desk.store.write() as tx:
        prepay.take_back(
            tx, contract_id=desk.home, amount=yuan("1"), method="simulated", refund_id="x", now=desk.grid.clock.now()
        )
    with pytest.raises(prepay.RefundNotCovered, match="has only"):
        refund(desk, payment)
    assert desk.available() == yuan("49")
    assert desk.order(payment.order_id).state is OrderState.CREDITED


def test_a_queued_payment_goes_back_and_leaves_the_queue(desk: Desk) -> None:
    payment = desk.paid("50", came="60")
    done = refund(desk, payment)
    assert (done.state, done.refund.amount, done.contract_id) == ("done", yuan("60"), None)
    assert desk.queue() == []
    assert desk.order(payment.order_id).state is OrderState.REFUNDED
    assert desk.available() == yuan("0")


def test_a_second_payment_goes_back_and_the_order_stays_credited(desk: Desk) -> None:
    first = desk.paid("50")
    second = desk.provider.pay(first.order_id)
    desk.take(desk.provider.call_back(second))
    refund(desk, second)
    assert desk.order(first.order_id).state is OrderState.CREDITED
    assert desk.available() == yuan("50")
    assert desk.queue() == []


def test_a_refusal_puts_the_money_back_on_the_wallet(desk: Desk, moody: Moody) -> None:
    payment = desk.paid("50")
    moody.moods = [payments.ProviderRefused("not enough on the merchant's account")]
    assert refund(desk, payment).state == "refused"
    assert desk.available() == yuan("50")
    assert desk.order(payment.order_id).state is OrderState.CREDITED
    assert [one.reason for one in desk.queue()] == ["refund_refused"]
    assert kinds(desk)[:3] == ["PaymentQueued", "BalanceRestored", "BalanceExhausted"]
    desk.grid.clock.advance(timedelta(days=1))
    assert refund(desk, payment).state == "done"  # asked for again, it is another one
    assert len({one.id for one in moody.asked}) == 2
    assert desk.available() == yuan("0")
    assert desk.queue() == []


def test_an_answer_that_was_lost_is_asked_for_again_under_the_same_id(desk: Desk, moody: Moody) -> None:
    payment = desk.paid("50")
    moody.moods = [payments.ProviderUnreachable("it is silent")]
    with pytest.raises(payments.ProviderUnreachable):
        refund(desk, payment)
    assert desk.available() == yuan("0")  # it may have gone out: nobody may use it
    assert resume(desk) == 1
    assert resume(desk) == 0
    assert len({one.id for one in moody.asked}) == 1
    assert desk.order(payment.order_id).state is OrderState.REFUNDED


def test_a_refund_may_take_its_time(desk: Desk, moody: Moody) -> None:
    payment = desk.paid("50")
    moody.moods = [payments.ProviderUnreachable("silent")]
    with pytest.raises(payments.ProviderUnreachable):
        refund(desk, payment)
    refund_id = moody.asked[0].id
    moody.moods = [payments.RefundAnswer(refund_id, "r", "under_way")]
    assert resume(desk) == 0
    assert resume(desk) == 1
    assert desk.order(payment.order_id).state is OrderState.REFUNDED


def test_what_is_being_given_back_cannot_be_credited(desk: Desk, moody: Moody) -> None:
    payment = desk.paid("50", came="60")
    moody.moods = [payments.ProviderUnreachable("silent")]
    with pytest.raises(payments.ProviderUnreachable):
        refund(desk, payment)
    (waiting,) = desk.queue()
    with pytest.raises(payments.OrderClosed), desk.store.write() as tx:
        payments.retry_credit(tx, queued_id=waiting.id, by="Li", now=desk.grid.clock.now())
    # And told again meanwhile, it is the payment that was counted.
    assert desk.take(desk.provider.call_back(payment)).outcome == "duplicate"


def test_a_payment_that_nobody_told_of_is_a_problem(desk: Desk) -> None:
    with pytest.raises(payments.PaymentNotFound):
        refund(desk, payments.Payment("none", "none", yuan("1"), desk.grid.clock.now()))
