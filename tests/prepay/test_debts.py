"""Debts, fees and emergency credit on the books: both databases."""

from datetime import timedelta
from decimal import Decimal

import pytest
from grid import MARCH, Grid, intervals

from wattledger import ledger, prepay
from wattledger.kernel import Money
from wattledger.prepay import DebtTerms
from wattledger.store import Transaction, recent_facts

POLICY = """
currency: CNY
order: [fees, debts, overdraft, emergency]
fees: [{name: service, fixed: 0.50}]
debts: {month_most: 12}
emergency: {amount: 5, offer: %s, below: 1}
"""


def cny(text: str) -> Money:
    return Money.of(text, "CNY")


def home(grid: Grid, *, offer: str = "automatic") -> None:
    grid.publish()
    grid.homes(1, mode="prepay")
    with grid.store.write() as tx:
        prepay.publish_policy(tx, text=POLICY % offer, source="test", valid_from=MARCH)


def owe(tx: Transaction, amount: str, *, terms: DebtTerms, key: str = "bills", grid: Grid) -> prepay.Debt:
    ledger.open_accounts(tx, accounts=[ledger.Account("receivable:h0", "receivable", "CNY")])
    return prepay.agree_debt(
        tx,
        contract_id="h0",
        name="old bills",
        amount=cny(amount),
        owed_to="receivable:h0",
        terms=terms,
        key=key,
        now=grid.clock.now(),
    )


def parts(done: prepay.Recharge) -> list[tuple[str, str]]:
    return [(part.kind, part.amount.text) for part in done.parts]


def owed(grid: Grid) -> list[str]:
    with grid.store.read() as tx:
        assert ledger.check_book(tx) == []
        return [debt.owed.text for debt in prepay.debts_of(tx, contract_id="h0")]


def test_each_part_of_a_recharge_is_a_transfer_of_its_own(grid: Grid) -> None:
    home(grid)
    with grid.store.write() as tx:
        debt = owe(tx, "20", terms=DebtTerms(percent=Decimal(25)), grid=grid)
        assert owe(tx, "20", terms=DebtTerms(percent=Decimal(25)), grid=grid) == debt  # asked for again
        with pytest.raises(prepay.DebtConflict):
            owe(tx, "21", terms=DebtTerms(percent=Decimal(25)), grid=grid)
        shown = prepay.preview(tx, contract_id="h0", amount=cny("20"), method="simulated", now=grid.clock.now())
    done = grid.recharge("h0", "20", key="1")
    assert parts(done) == [("fee", "0.50"), ("debt", "5.00"), ("wallet", "14.50")]
    assert done.parts == shown
    assert grid.recharge("h0", "20", key="1") == done
    assert (done.balance_after, owed(grid)) == (cny("14.50"), ["15.00"])
    with grid.store.read() as tx:
        moved = ledger.transfers_of(tx, account_id="wallet:h0")
        assert [(one.purpose, one.amount.text, one.reference) for one in reversed(moved)] == [
            ("recharge", "20.00", done.id),
            ("recharge_fee", "0.50", done.id),
            ("debt_share", "5.00", done.id),
        ]
    # The month's cap of 12 leaves 7 of the next, and nothing of the one after it; a new month begins anew.
    assert [part for part in parts(grid.recharge("h0", "40", key="2")) if part[0] == "debt"] == [("debt", "7.00")]
    assert [part for part in parts(grid.recharge("h0", "40", key="3")) if part[0] == "debt"] == []
    grid.clock.advance(timedelta(days=31))
    assert [part for part in parts(grid.recharge("h0", "40", key="4")) if part[0] == "debt"] == [("debt", "8.00")]
    assert owed(grid) == ["0.00"]


def test_debts_are_paid_by_day_as_standing_charges_are_and_never_overpaid(grid: Grid) -> None:
    home(grid)
    with grid.store.write() as tx:
        owe(tx, "1", terms=DebtTerms(per_day=300_000), grid=grid)
    grid.clock.advance(timedelta(days=2))
    for _ in range(2):  # whoever comes again the same day takes nothing
        with grid.store.write() as tx:
            prepay.settle_due(tx, now=grid.clock.now())
    assert owed(grid) == ["0.40"]
    grid.clock.advance(timedelta(days=5))  # nobody came for days
    with grid.store.write() as tx:
        prepay.settle_due(tx, now=grid.clock.now())
    assert owed(grid) == ["0.00"]
    wallet = grid.wallet("h0")
    # 7 days' standing charge of 0.10 and 1 of debt, on emergency credit of 5.
    assert wallet.available == cny("3.30")


def test_emergency_credit_is_lent_once_and_again_when_it_was_repaid(grid: Grid) -> None:
    home(grid)
    grid.deliver("a", {"h0": intervals([1000])})  # 0.60
    assert (grid.wallet("h0").available, grid.wallet("h0").state) == (cny("4.40"), "low")
    grid.deliver("b", {"h0": intervals([10_000], start=MARCH + timedelta(minutes=15))})
    assert (grid.wallet("h0").available, grid.wallet("h0").state) == (cny("-0.60"), "empty")  # once, not twice
    assert parts(grid.recharge("h0", "4", key="1")) == [("fee", "0.50"), ("overdraft", "0.60"), ("emergency", "2.90")]
    assert grid.wallet("h0").available == cny("0")
    assert parts(grid.recharge("h0", "3", key="2")) == [("fee", "0.50"), ("emergency", "2.10"), ("wallet", "0.40")]
    assert grid.wallet("h0").available == cny("0.40")
    grid.deliver("c", {"h0": intervals([1000], start=MARCH + timedelta(minutes=30))})
    assert grid.wallet("h0").available == cny("4.90")
    with grid.store.read() as tx:
        assert prepay.emergency_owed(tx, contract_id="h0", currency="CNY") == cny("5")
        assert ledger.check_book(tx) == []


def test_emergency_credit_may_be_for_who_asks(grid: Grid) -> None:
    home(grid, offer="on_request")

    def ask() -> Money:
        with grid.store.write() as tx:
            return prepay.take_emergency_credit(tx, contract_id="h0", now=grid.clock.now())

    with pytest.raises(prepay.EmergencyNotOffered, match="no wallet"):
        ask()
    grid.recharge("h0", "10", key="1")
    with pytest.raises(prepay.EmergencyNotOffered, match="available"):
        ask()
    grid.deliver("a", {"h0": intervals([20_000])})
    assert grid.wallet("h0").state == "empty"
    assert ask() == cny("4.40")
    with pytest.raises(prepay.EmergencyNotOffered, match="not paid back"):
        ask()


def test_warnings_come_by_days_left_and_a_second_time_and_once_each(grid: Grid) -> None:
    grid.publish()
    grid.homes(1, mode="prepay")
    with grid.store.write() as tx:
        text = "{currency: CNY, low: 8, second: 3, days: 3}"
        prepay.publish_policy(tx, text=text, source="test", valid_from=MARCH)

    def warned() -> list[tuple[int, int | None]]:
        with grid.store.read() as tx:
            told = [fact for fact in reversed(recent_facts(tx, limit=200)) if fact.kind == "BalanceLow"]
        return [(fact.data["available_micro"] // 10**6, fact.data["days_left"]) for fact in told]

    grid.recharge("h0", "50", key="1")
    for day in range(4):  # some 10 a day
        grid.clock.move_to(MARCH + timedelta(days=day, hours=12))
        for half in range(2):
            start = MARCH + timedelta(days=day, hours=half)
            grid.deliver(f"{day}-{half}", {"h0": intervals([4950 + 9900 * half], start=start)})
    assert warned() == [(17, 1)]  # far above 8, but it does not last
    grid.clock.move_to(MARCH + timedelta(days=4, hours=12))
    for step in range(4):
        start = MARCH + timedelta(days=4, hours=step)
        grid.deliver(f"4-{step}", {"h0": intervals([5000], start=start)})
    assert [available for available, _ in warned()[1:]] == [2]
