"""Takes orders, payments and refunds for some homes; starts over from the beginning at every run, as clients do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

from grid import MARCH, Grid
from victim import say, thinking_aloud

from wattledger import payments, registry
from wattledger.kernel import ManualClock, Money
from wattledger.payments.simulated import Simulated
from wattledger.store import Store

HOMES = ("h0", "h1", "h2")
ORDERS = 4
NOW = MARCH + timedelta(hours=10)


@dataclass
class Numbers:
    """Names by number, the same in every run: what a provider remembers while we die."""

    count: int = field(default=0)

    def __call__(self) -> str:
        self.count += 1
        return f"n{self.count}"


def provider() -> Simulated:
    return Simulated(key=b"a key of the victims", clock=ManualClock(NOW), chance=Numbers())


def wanted(home: str, number: int) -> payments.NewOrder:
    amount = Money.of(f"{10 + number}.{HOMES.index(home)}1", "CNY")
    return payments.NewOrder(contract_id=home, provider="simulated", amount=amount, key=f"order {number}")


def came(order: payments.NewOrder, number: int) -> Iterator[Money]:
    """What is paid for an order: the third is paid a wrong amount first, the second is paid twice."""
    if number == 2:
        yield order.amount + Money.of("1", "CNY")
    yield order.amount
    if number == 1:
        yield order.amount


def is_given_back(number: int) -> bool:
    return number == 3


def main(url: str) -> None:
    store, bank = thinking_aloud(url), provider()
    store.migrate()
    grid = Grid(store)
    with store.read() as tx:
        there = registry.contract_count(tx, at=MARCH)
    if not there:
        grid.publish()
        grid.homes(len(HOMES), mode="prepay")
    for number in range(ORDERS):
        for home in HOMES:
            one_order(store, bank, wanted(home, number), number)
    payments.resume_refunds(store, provider=bank, now=NOW)
    say("done")


def one_order(store: Store, bank: Simulated, order: payments.NewOrder, number: int) -> None:
    with store.write() as tx:
        placed = payments.place_order(tx, wanted=order, now=NOW)
    bank.create(placed.order)
    with suppress(payments.OrderClosed):
        payments.begin_checkout(store, provider=bank, order_id=placed.id, now=NOW)
    for amount in came(order, number):
        payment = bank.pay(placed.id, amount=amount)
        for callback in (bank.call_back(payment), bank.call_back(payment)):
            with suppress(payments.ReplayedCallback):
                payments.take_callback(store, provider=bank, callback=callback, now=NOW)
        if is_given_back(number):
            payments.refund_payment(store, provider=bank, payment_id=payment.id, reason="-", by="Li", now=NOW)
    payments.check_order(store, provider=bank, order_id=placed.id, now=NOW)


if __name__ == "__main__":
    main(*sys.argv[1:])
