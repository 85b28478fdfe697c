"""``kill -9`` while payments come and go: money in equals money credited, queued or given back, each exactly once."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from payments_victim import HOMES, NOW, ORDERS, came, is_given_back, provider, wanted

from wattledger import ledger, payments, prepay
from wattledger.kernel import Money
from wattledger.payments import OrderState
from wattledger.store import Store

KILLS = int(os.environ.get("WATTLEDGER_KILLS", "1"))
ROUNDS = max(1, KILLS // 3)
"""Each kills about three times; ``WATTLEDGER_KILLS=200`` kills that often."""


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_killed_while_payments_come_and_go(database_url: str, kill_until_done: Callable[..., int], seed: int) -> None:
    assert kill_until_done("payments_victim.py", database_url, kills=min(KILLS, 3), seed=seed, lines_max=170)
    store = Store(database_url)
    bank = provider()
    with store.read() as tx:
        for home in HOMES:
            credited = Money.zero("CNY")
            for number in range(ORDERS):
                order = wanted(home, number)
                credited += Money.zero("CNY") if is_given_back(number) else order.amount
            assert prepay.wallet(tx, contract_id=home, now=NOW).available == credited
            moved = ledger.transfers_of(tx, account_id=prepay.wallet_account(home))
            assert sorted(one.purpose for one in moved) == ["recharge"] * ORDERS + ["refund"]
        assert ledger.check_book(tx) == []
        queued = list(payments.queue_of(tx))
        assert sorted(one.reason for one in queued) == ["amount_differs"] * 3 + ["paid_twice"] * 3
        states = {
            number: payments.order_with_id(tx, order_id=one.order_id).state
            for one in payments.callbacks_of(tx, limit=500)
            for number in range(ORDERS)
            if one.order_id and payments.order_with_id(tx, order_id=one.order_id).key == f"order {number}"
        }
    assert states == {
        0: OrderState.CREDITED,
        1: OrderState.CREDITED,
        2: OrderState.CREDITED,
        3: OrderState.REFUNDED,
    }
    # The bank's own day, from a run of its own that nobody killed.
    for number in range(ORDERS):
        for home in HOMES:
            with store.write() as tx:
                placed = payments.place_order(tx, wanted=wanted(home, number), now=NOW)
            bank.create(placed.order)
            for amount in came(wanted(home, number), number):
                payment = bank.pay(placed.id, amount=amount)
                for _ in range(2):
                    bank.call_back(payment)
                if is_given_back(number):
                    with store.read() as tx:
                        (back,) = payments.refunds_of(tx, order_id=placed.id)
                    assert back.state == "done"
                    bank.refund(back.refund)
    report = payments.reconcile(store, provider=bank, day=NOW.date())
    assert (report.differences, report.payments, report.refunds) == ((), 18, 3)
    assert report.here == report.there
    store.close()
