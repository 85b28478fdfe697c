"""A home with a wallet, and a company that takes money in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from grid import MARCH, Grid

from wattledger import ledger, payments, prepay
from wattledger.kernel import Money
from wattledger.payments.simulated import Simulated
from wattledger.store import Store

KEY = b"a key of the tests"


def yuan(amount: str) -> Money:
    return Money.of(amount, "CNY")


@dataclass(slots=True)
class Desk:
    """Orders of one home, paid with the simulated provider."""

    grid: Grid
    home: str
    provider: Simulated
    orders: int = field(default=0)

    @property
    def store(self) -> Store:
        return self.grid.store

    def place(self, amount: str = "50", *, key: str | None = None) -> payments.PaymentOrder:
        self.orders += 1
        wanted = payments.NewOrder(
            contract_id=self.home, provider="simulated", amount=yuan(amount), key=key or f"key {self.orders}"
        )
        with self.store.write() as tx:
            return payments.place_order(tx, wanted=wanted, now=self.grid.clock.now())

    def ready(self, amount: str = "50") -> payments.PaymentOrder:
        order = self.place(amount)
        payments.begin_checkout(self.store, provider=self.provider, order_id=order.id, now=self.grid.clock.now())
        return order

    def take(self, callback: payments.Callback) -> payments.Taken:
        return payments.take_callback(self.store, provider=self.provider, callback=callback, now=self.grid.clock.now())

    def paid(self, amount: str = "50", *, came: str | None = None) -> payments.Payment:
        """An order, paid and told."""
        payment = self.provider.pay(self.ready(amount).id, amount=None if came is None else yuan(came))
        self.take(self.provider.call_back(payment))
        return payment

    def order(self, order_id: str) -> payments.PaymentOrder:
        with self.store.read() as tx:
            return payments.order_with_id(tx, order_id=order_id)

    def queue(self) -> list[payments.Queued]:
        with self.store.read() as tx:
            return list(payments.queue_of(tx))

    def audit(self) -> list[payments.CallbackRecord]:
        with self.store.read() as tx:
            return list(payments.callbacks_of(tx))

    def available(self) -> Money:
        return self.grid.wallet(self.home).available

    def recharges(self) -> int:
        """How many transfers put money on the wallet; the book has to add up as well."""
        with self.store.read() as tx:
            assert ledger.check_book(tx) == []
            return sum(
                one.purpose == "recharge"
                for one in ledger.transfers_of(tx, account_id=prepay.wallet_account(self.home), limit=1000)
            )


def desk_at(grid: Grid) -> Desk:
    grid.publish()
    (home,) = grid.homes(1, mode="prepay")
    grid.clock.move_to(MARCH + timedelta(hours=10))
    return Desk(grid, home, Simulated(key=KEY, clock=grid.clock))
