"""Call-backs: believed or refused, and each payment counts once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
from grid import intervals
from payments_desk import Desk, yuan

from wattledger import ledger, payments, prepay
from wattledger.kernel import Money
from wattledger.payments import Callback, OrderState
from wattledger.store import recent_facts


def header(callback: Callback, name: str, value: str) -> Callback:
    return replace(callback, headers={**callback.headers, name: value})


def test_a_payment_is_credited_with_its_order(desk: Desk) -> None:
    order = desk.ready("50")
    taken = desk.take(desk.provider.call_back(desk.provider.pay(order.id)))
    assert (taken.outcome, taken.order_id) == ("credited", order.id)
    kept = desk.order(order.id)
    assert kept.state is OrderState.CREDITED
    assert desk.available() == yuan("50")
    assert desk.recharges() == 1
    with desk.store.read() as tx:
        recharge = prepay.recharge_with_id(tx, recharge_id=kept.recharge_id or "")
    assert (recharge.amount, recharge.method) == (yuan("50"), "simulated")
    assert [line.outcome for line in desk.audit()] == ["credited"]


def test_a_payment_told_again_counts_once(desk: Desk) -> None:
    payment = desk.paid("50")
    again = desk.take(desk.provider.call_back(payment))  # signed anew, as a provider does
    assert again.outcome == "duplicate"
    assert desk.available() == yuan("50")
    assert [line.outcome for line in desk.audit()] == ["duplicate", "credited"]


@pytest.mark.parametrize(
    ("spoil", "refusal", "reason"),
    [
        (lambda c: replace(c, body=c.body.replace(b"5000", b"9000")), payments.TamperedCallback, "tampered"),
        (lambda c: replace(c, body=c.body + b" "), payments.TamperedCallback, "tampered"),
        (lambda c: header(c, "Sim-Nonce", "other"), payments.TamperedCallback, "tampered"),
        (lambda c: header(c, "Sim-Timestamp", "1"), payments.TamperedCallback, "tampered"),
        (lambda c: header(c, "Sim-Signature", ""), payments.TamperedCallback, "tampered"),
        (lambda c: header(c, "Sim-Signature", "é"), payments.TamperedCallback, "tampered"),
        (lambda c: header(c, "Sim-Key", "simulated-2"), payments.UnknownCertificate, "unknown_certificate"),
        (lambda c: replace(c, headers={}), payments.MalformedCallback, "malformed"),
    ],
)
def test_what_is_not_the_providers_is_refused_and_written_down(
    desk: Desk,
    spoil: Callable[[Callback], Callback],
    refusal: type[payments.CallbackRefused],
    reason: str,
) -> None:
    order = desk.ready("50")
    good = desk.provider.call_back(desk.provider.pay(order.id))
    with pytest.raises(refusal):
        desk.take(spoil(good))
    assert desk.order(order.id).state is OrderState.CREATED
    assert desk.recharges() == 0
    assert [(line.outcome, line.reason) for line in desk.audit()] == [("refused", reason)]
    assert desk.take(good).outcome == "credited"  # the true one still counts


@pytest.mark.parametrize("seconds", [301, 3600, 86_400])
def test_an_old_call_back_is_refused_and_written_down(desk: Desk, seconds: int) -> None:
    order = desk.ready("50")
    callback = desk.provider.call_back(desk.provider.pay(order.id))
    desk.grid.clock.advance(timedelta(seconds=seconds))
    with pytest.raises(payments.StaleCallback):
        desk.take(callback)
    assert desk.recharges() == 0
    assert [(line.outcome, line.reason) for line in desk.audit()] == [("refused", "stale")]


@pytest.mark.parametrize(("seconds", "fresh"), [(-301, False), (-300, True), (300, True), (301, False)])
def test_fresh_is_three_hundred_seconds_either_way(desk: Desk, seconds: int, fresh: bool) -> None:  # noqa: FBT001 - a case
    callback = desk.provider.call_back(desk.provider.pay(desk.ready("50").id))
    now = desk.grid.clock.now() + timedelta(seconds=seconds)

    def take() -> payments.Taken:
        return payments.take_callback(desk.store, provider=desk.provider, callback=callback, now=now)

    if fresh:
        assert take().outcome == "credited"
    else:
        with pytest.raises(payments.StaleCallback):
            take()


def test_the_very_same_message_is_refused_the_second_time(desk: Desk) -> None:
    callback = desk.provider.call_back(desk.provider.pay(desk.ready("50").id))
    desk.take(callback)
    with pytest.raises(payments.ReplayedCallback):
        desk.take(replace(callback, headers={key.upper(): value for key, value in callback.headers.items()}))
    assert desk.recharges() == 1
    assert [(line.outcome, line.reason) for line in desk.audit()] == [("refused", "replayed"), ("credited", None)]


@pytest.mark.parametrize("came", ["49.99", "50.01", "0.01", "5000"])
def test_another_amount_goes_to_the_queue_and_to_no_wallet(desk: Desk, came: str) -> None:
    payment = desk.paid("50", came=came)
    assert desk.order(payment.order_id).state is OrderState.DIFFERS
    assert desk.recharges() == 0
    (waiting,) = desk.queue()
    assert (waiting.reason, waiting.expected, waiting.came) == ("amount_differs", yuan("50"), yuan(came))
    with desk.store.read() as tx:
        assert [(fact.kind, fact.contract_id) for fact in recent_facts(tx, limit=9)] == [("PaymentQueued", desk.home)]


def test_another_currency_is_another_amount(desk: Desk) -> None:
    order = desk.ready("50")
    payment = desk.provider.pay(order.id, amount=Money.of("50", "USD"))
    assert desk.take(desk.provider.call_back(payment)).outcome == "queued"
    assert desk.recharges() == 0
    assert desk.queue()[0].came == Money.of("50", "USD")


def test_the_right_amount_after_a_wrong_one_is_credited(desk: Desk) -> None:
    wrong = desk.paid("50", came="5")
    right = desk.provider.pay(wrong.order_id)
    assert desk.take(desk.provider.call_back(right)).outcome == "credited"
    assert desk.available() == yuan("50")
    assert [one.payment_id for one in desk.queue()] == [wrong.id]


def test_a_second_payment_of_one_order_goes_to_the_queue(desk: Desk) -> None:
    first = desk.paid("50")
    second = desk.provider.pay(first.order_id)
    assert desk.take(desk.provider.call_back(second)).outcome == "queued"
    assert [(one.reason, one.payment_id) for one in desk.queue()] == [("paid_twice", second.id)]
    assert desk.available() == yuan("50")


def test_a_payment_of_no_order_goes_to_the_queue_once(desk: Desk) -> None:
    stray = payments.Payment("stray", "pay_not_ours", yuan("7"), desk.grid.clock.now())
    assert desk.take(desk.provider.call_back(stray)).outcome == "queued"
    assert desk.take(desk.provider.call_back(stray)).outcome == "duplicate"
    assert [one.reason for one in desk.queue()] == ["unknown_order"]


def test_a_counted_payment_told_with_another_amount_moves_nothing(desk: Desk) -> None:
    payment = desk.paid("50")
    assert desk.take(desk.provider.call_back(replace(payment, amount=yuan("60")))).outcome == "queued"
    assert [one.reason for one in desk.queue()] == ["told_differently"]
    assert desk.available() == yuan("50")


def test_an_order_of_another_provider_is_not_paid_by_this_one(desk: Desk) -> None:
    wanted = payments.NewOrder(contract_id=desk.home, provider="wechat", amount=yuan("50"), key="w")
    with desk.store.write() as tx:
        order = payments.place_order(tx, wanted=wanted, now=desk.grid.clock.now())
    told = payments.Payment("p", order.id, yuan("50"), desk.grid.clock.now())
    assert desk.take(desk.provider.call_back(told)).outcome == "queued"
    assert desk.order(order.id).state is OrderState.CREATED
    assert desk.recharges() == 0


@pytest.mark.parametrize("amount", ["0", "-50"])
def test_nothing_and_less_are_no_payments(desk: Desk, amount: str) -> None:
    order = desk.ready("50")
    with pytest.raises(payments.MalformedCallback):
        desk.take(desk.provider.call_back(desk.provider.pay(order.id, amount=yuan(amount))))
    assert desk.queue() == []


def test_what_the_wallet_cannot_take_waits_and_is_credited_once_it_can(desk: Desk) -> None:
    order = desk.ready("50")
    move_wallet = sa.text("UPDATE wallet SET currency = :currency WHERE contract_id = :home")
    with desk.store.write() as tx:
        prepay.open_wallet(tx, contract_id=desk.home, currency="CNY", now=desk.grid.clock.now())
        tx.execute(move_wallet, {"currency": "USD", "home": desk.home})
    assert desk.take(desk.provider.call_back(desk.provider.pay(order.id))).outcome == "queued"
    assert desk.order(order.id).state is OrderState.PAID
    (waiting,) = desk.queue()
    assert waiting.reason == "cannot_credit"
    with desk.store.write() as tx:
        assert payments.retry_credit(tx, queued_id=waiting.id, by="Li", now=desk.grid.clock.now()) == "queued"
    assert [one.id for one in desk.queue()] == [waiting.id]
    with desk.store.write() as tx:
        tx.execute(move_wallet, {"currency": "CNY", "home": desk.home})
        assert payments.retry_credit(tx, queued_id=waiting.id, by="Li", now=desk.grid.clock.now()) == "credited"
    assert desk.queue() == []
    assert desk.order(order.id).state is OrderState.CREDITED
    assert desk.recharges() == 1


def test_a_recharge_that_is_refused_half_way_leaves_nothing(desk: Desk) -> None:
    desk.grid.deliver("used", {desk.home: intervals([1000] * 8)})
    order = desk.ready("50")
    with desk.store.write() as tx:  # a till that cannot take this money
        ledger.open_accounts(tx, accounts=[ledger.Account("cash:simulated:CNY", "cash", "USD")])
    before = desk.grid.wallet(desk.home)
    assert before.accrued.micro > 0
    assert desk.take(desk.provider.call_back(desk.provider.pay(order.id))).outcome == "queued"
    assert desk.order(order.id).state is OrderState.PAID
    assert desk.grid.wallet(desk.home) == before  # nor was what is used posted
    assert [one.reason for one in desk.queue()] == ["cannot_credit"]


def test_what_differs_cannot_be_credited_by_trying_again(desk: Desk) -> None:
    desk.paid("50", came="60")
    (waiting,) = desk.queue()
    with pytest.raises(payments.OrderClosed), desk.store.write() as tx:
        payments.retry_credit(tx, queued_id=waiting.id, by="Li", now=desk.grid.clock.now())
    with desk.store.write() as tx:
        payments.close_queued(tx, queued_id=waiting.id, by="Li", note="paid back in cash", now=desk.grid.clock.now())
    with pytest.raises(payments.QueuedNotFound), desk.store.write() as tx:
        payments.close_queued(tx, queued_id=waiting.id, by="Li", note="again", now=desk.grid.clock.now())
    assert desk.recharges() == 0


def test_a_lost_call_back_is_made_up_for_by_asking(desk: Desk) -> None:
    order = desk.ready("50")
    now = desk.grid.clock.now()
    assert payments.check_order(desk.store, provider=desk.provider, order_id=order.id, now=now).state == "created"
    payment = desk.provider.pay(order.id)
    assert payments.check_order(desk.store, provider=desk.provider, order_id=order.id, now=now).state == "credited"
    assert desk.take(desk.provider.call_back(payment)).outcome == "duplicate"
    assert desk.recharges() == 1


def at_once(count: int, work: Callable[[int], object]) -> list[BaseException]:
    errors: list[BaseException] = []
    barrier = threading.Barrier(count)

    def run(number: int) -> None:
        barrier.wait()
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_the_same_call_back_from_eight_threads_counts_once(desk: Desk) -> None:
    callback = desk.provider.call_back(desk.provider.pay(desk.ready("50").id))
    errors = at_once(8, lambda _: desk.take(callback))
    assert [type(error) for error in errors] == [payments.ReplayedCallback] * 7
    assert desk.recharges() == 1
    assert desk.available() == yuan("50")


def test_one_payment_told_eight_times_at_once_counts_once(desk: Desk) -> None:
    payment = desk.provider.pay(desk.ready("50").id)
    callbacks = [desk.provider.call_back(payment) for _ in range(8)]
    outcomes: list[str] = []
    assert at_once(8, lambda number: outcomes.append(desk.take(callbacks[number]).outcome)) == []
    assert sorted(outcomes) == ["credited"] + ["duplicate"] * 7
    assert desk.recharges() == 1


def test_eight_payments_of_one_order_at_once_credit_it_once(desk: Desk) -> None:
    order = desk.ready("50")
    callbacks = [desk.provider.call_back(desk.provider.pay(order.id)) for _ in range(8)]
    assert at_once(8, lambda number: desk.take(callbacks[number])) == []
    assert desk.recharges() == 1
    assert [one.reason for one in desk.queue()] == ["paid_twice"] * 7


def test_a_stray_payment_told_eight_times_at_once_is_queued_once(desk: Desk) -> None:
    stray = payments.Payment("stray", "pay_not_ours", yuan("7"), desk.grid.clock.now())
    callbacks = [desk.provider.call_back(stray) for _ in range(8)]
    assert at_once(8, lambda number: desk.take(callbacks[number])) == []
    assert len(desk.queue()) == 1


@pytest.mark.parametrize("verb", ["UPDATE payment_callback SET outcome = 'ignored'", "DELETE FROM payment_callback"])
def test_the_audit_is_never_changed(desk: Desk, verb: str) -> None:
    desk.paid("50")
    with pytest.raises(sa.exc.DBAPIError, match="never changed"), desk.store.write() as tx:
        tx.execute(sa.text(verb))
