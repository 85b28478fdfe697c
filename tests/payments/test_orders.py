"""Orders: taken once, in allowed states only, and never such that nobody could credit them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from grid import Grid
from payments_desk import Desk, yuan

from wattledger import payments, prepay
from wattledger.kernel import Money, Problem
from wattledger.payments import NewOrder, OrderState

WANTED = NewOrder(contract_id="h0", provider="simulated", amount=yuan("50"), key="one")


def test_the_same_key_gives_the_first_order_again(desk: Desk) -> None:
    first = desk.place("50", key="k")
    assert desk.place("50", key="k") == first
    with pytest.raises(payments.OrderConflict, match="was used at"):
        desk.place("51", key="k")
    assert desk.place("50", key="other").id != first.id


def test_an_order_that_came_far_is_shown_as_it_is_by_now(desk: Desk) -> None:
    order = desk.place("50", key="k")
    desk.provider.create(order.order)
    desk.take(desk.provider.call_back(desk.provider.pay(order.id)))
    again = desk.place("50", key="k")
    assert again.state is OrderState.CREDITED
    assert again.recharge_id is not None


@pytest.mark.parametrize(
    ("wanted", "refusal"),
    [
        (replace(WANTED, amount=yuan("0")), payments.OrderRefused),
        (replace(WANTED, amount=yuan("-1")), payments.OrderRefused),
        (replace(WANTED, amount=yuan("1000000.01")), payments.OrderRefused),
        (replace(WANTED, amount=yuan("0.001")), payments.AmountNotPayable),
        (replace(WANTED, amount=Money.of("50", "EUR")), payments.OrderRefused),
        (replace(WANTED, amount=Money.of("50", "ZZZ")), payments.AmountNotPayable),
        (replace(WANTED, key=""), payments.OrderRefused),
        (replace(WANTED, key="k" * 201), payments.OrderRefused),
        (replace(WANTED, description=""), payments.OrderRefused),
        (replace(WANTED, payer="p" * 121), payments.OrderRefused),
        (replace(WANTED, valid_for=timedelta(0)), payments.OrderRefused),
        (replace(WANTED, valid_for=timedelta(days=1)), payments.OrderRefused),
        (replace(WANTED, contract_id="nobody"), Problem),
    ],
)
def test_what_could_not_be_credited_is_not_taken(desk: Desk, wanted: NewOrder, refusal: type[Problem]) -> None:
    with pytest.raises(refusal), desk.store.write() as tx:
        payments.place_order(tx, wanted=wanted, now=desk.grid.clock.now())


def test_who_is_billed_afterwards_has_no_wallet_to_pay_into(desk: Desk) -> None:
    (billed,) = desk.grid.homes(1, mode="postpay", first=1)
    with pytest.raises(prepay.WalletNotFound), desk.store.write() as tx:
        payments.place_order(tx, wanted=replace(WANTED, contract_id=billed), now=desk.grid.clock.now())


def test_a_checkout_is_made_once(desk: Desk) -> None:
    order = desk.place()
    now = desk.grid.clock.now()
    first = payments.begin_checkout(desk.store, provider=desk.provider, order_id=order.id, now=now)
    again = payments.begin_checkout(desk.store, provider=desk.provider, order_id=order.id, now=now)
    assert again == first
    assert desk.order(order.id).order.reference == first.reference


def test_nobody_is_sent_to_pay_what_is_over(desk: Desk) -> None:
    order = desk.place()
    desk.grid.clock.advance(timedelta(minutes=30))
    now = desk.grid.clock.now()
    with pytest.raises(payments.OrderClosed):
        payments.begin_checkout(desk.store, provider=desk.provider, order_id=order.id, now=now)
    with desk.store.write() as tx:
        assert payments.expire_due(tx, now=now) == 1
        assert payments.expire_due(tx, now=now) == 0
    assert desk.order(order.id).state is OrderState.EXPIRED


def test_a_minute_before_its_end_an_order_stands(desk: Desk) -> None:
    order = desk.place()
    desk.grid.clock.advance(timedelta(minutes=29))
    with desk.store.write() as tx:
        assert payments.expire_due(tx, now=desk.grid.clock.now()) == 0
    assert desk.order(order.id).state is OrderState.CREATED


def test_whoever_pays_late_has_paid(desk: Desk) -> None:
    order = desk.ready("50")
    desk.grid.clock.advance(timedelta(minutes=31))
    with desk.store.write() as tx:
        payments.expire_due(tx, now=desk.grid.clock.now())
    assert desk.take(desk.provider.call_back(desk.provider.pay(order.id))).outcome == "credited"
    assert desk.available() == yuan("50")


def test_every_state_has_its_row_and_money_never_goes_back_to_the_beginning() -> None:
    assert set(payments.MOVES) == set(OrderState)
    assert all(OrderState.CREATED not in targets for targets in payments.MOVES.values())
    assert not payments.MOVES[OrderState.REFUNDED]


def test_an_order_that_is_not_there_is_a_problem(grid: Grid) -> None:
    with pytest.raises(payments.OrderNotFound), grid.store.read() as tx:
        payments.order_with_id(tx, order_id="pay_none")
