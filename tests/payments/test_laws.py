"""In whatever order, however often and by whatever way it is told: each paid order is credited exactly once."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from payments_desk import Desk

from wattledger import payments
from wattledger.kernel import Money
from wattledger.payments import OrderState
from wattledger.payments.ports import minor_units, of_minor_units
from wattledger.tariffs import MINOR_PLACES


@dataclass(frozen=True)
class Telling:
    """One of the payments, told: anew, by its very first message again, or by our asking."""

    payment: int
    how: str


AMOUNTS = st.integers(1, 10**8).map(lambda fen: of_minor_units(fen, "CNY"))
ORDERS = st.lists(
    st.tuples(AMOUNTS, st.lists(st.one_of(st.none(), AMOUNTS), min_size=1, max_size=3)), min_size=1, max_size=3
)
TELLINGS = st.lists(
    st.builds(Telling, st.integers(0, 11), st.sampled_from(["anew", "replay", "ask", "tamper"])), max_size=25
)


@given(orders=ORDERS, tellings=TELLINGS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_paid_order_is_credited_exactly_once(
    desk: Desk, orders: list[tuple[Money, list[Money | None]]], tellings: list[Telling]
) -> None:
    before, queued_before = desk.available(), len(desk.queue())
    made = [(desk.ready(amount.text).id, amount, paid) for amount, paid in orders]
    came = [desk.provider.pay(order, amount=amount) for order, _, paid in made for amount in paid]
    first = [desk.provider.call_back(payment) for payment in came]
    told: set[str] = set()
    for telling in tellings:
        payment = came[telling.payment % len(came)]
        if telling.how == "ask":
            answer = desk.provider.query(desk.order(payment.order_id).order)
            assert answer is not None
            told.add(answer.id)
            payments.check_order(
                desk.store, provider=desk.provider, order_id=payment.order_id, now=desk.grid.clock.now()
            )
        elif telling.how == "anew":
            told.add(payment.id)
            desk.take(desk.provider.call_back(payment))
        elif telling.how == "replay":
            told.add(payment.id)
            with suppress(payments.ReplayedCallback):
                desk.take(first[telling.payment % len(came)])
        else:
            callback = first[telling.payment % len(came)]
            with pytest.raises(payments.TamperedCallback):
                desk.take(payments.Callback(callback.headers, callback.body + b"\n"))

    credited = Money.zero("CNY")
    stray = 0
    for order, amount, _ in made:
        known = [payment for payment in came if payment.order_id == order and payment.id in told]
        right = any(payment.amount == amount for payment in known)
        if right:
            credited += amount
        stray += len(known) - right
        state = OrderState.CREDITED if right else OrderState.DIFFERS if known else OrderState.CREATED
        assert desk.order(order).state is state
    assert desk.available() - before == credited
    assert len(desk.queue()) - queued_before == stray  # every other payment waits, none is lost
    desk.recharges()


@given(units=st.integers(-(10**12), 10**12), currency=st.sampled_from(sorted(MINOR_PLACES)))
def test_minor_units_there_and_back(units: int, currency: str) -> None:
    assert minor_units(of_minor_units(units, currency)) == units


@given(micro=st.integers(1, 10**12), currency=st.sampled_from(sorted(MINOR_PLACES)))
def test_an_amount_is_whole_minor_units_or_refused(micro: int, currency: str) -> None:
    money = Money(micro, currency)
    try:
        units = minor_units(money)
    except payments.AmountNotPayable:
        assert micro % 10 ** (6 - MINOR_PLACES[currency])
    else:
        assert of_minor_units(units, currency) == money


@pytest.mark.parametrize("units", [1.0, 0.1, "5", None, True, [1]])
def test_only_whole_numbers_are_minor_units(units: object) -> None:
    with pytest.raises(ValueError, match="no whole number"):
        of_minor_units(units, "CNY")
