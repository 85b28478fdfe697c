from collections.abc import Callable
from datetime import timedelta

import pytest
from grid import APRIL, MARCH, Grid, intervals

from wattledger import billing, ledger
from wattledger.billing import Bill
from wattledger.kernel import Money, Period
from wattledger.worker import WalletDeductions

WHOLE_MARCH = 31 * 96


def run(grid: Grid) -> billing.BillRun:
    with grid.store.write() as tx:
        begun = billing.start_run(tx, month="2026-03", now=grid.clock.now())
    with grid.store.read() as tx:
        contracts = billing.run_contracts(tx, run_id=begun.id)
    for contract in contracts:
        with grid.store.write() as tx:
            billing.bill_contracts(
                tx,
                run_id=begun.id,
                contract_ids=[contract],
                deductions=WalletDeductions(),
                now=grid.clock.now(),
            )
    with grid.store.write() as tx:
        return billing.finish_run(tx, run_id=begun.id, now=grid.clock.now())


def bill(grid: Grid, contract: str) -> Bill:
    with grid.store.read() as tx:
        (only,) = billing.bills_of(tx, contract_id=contract)
    return only


@pytest.fixture
def street(grid: Grid) -> Grid:
    grid.publish()
    grid.homes(2, mode="postpay")
    grid.homes(1, mode="prepay", first=2)
    return grid


def test_a_month_of_one_kilowatt_hour_an_hour(street: Grid) -> None:
    full = intervals([250] * WHOLE_MARCH)
    street.deliver("a", {"h0": full, "h1": full, "h2": full})
    street.clock.move_to(APRIL)
    done = run(street)
    assert (done.state, done.contracts, done.posted, done.held) == ("finished", 3, 3, 0)
    assert (done.statements, done.statements_agreeing) == (1, 1)
    expected = Money.of("375.10", "CNY")  # 744 kWh at 0.50 and 31 days at 0.10
    assert bill(street, "h0").total == expected
    assert bill(street, "h2").deducted == bill(street, "h2").total == expected
    assert [(line.charge, line.quantity, line.amount) for line in bill(street, "h0").parts[0].lines] == [
        ("energy", "744", "372.00"),
        ("standing charge", "31", "3.10"),
    ]
    with street.store.read() as tx:
        assert ledger.balance(tx, account_id="receivable:h0") == -expected
        assert ledger.balance(tx, account_id="wallet:h2") == -expected
        assert ledger.check_book(tx) == []


def test_missing_readings_hold_a_bill_until_they_come(street: Grid) -> None:
    full = intervals([250] * WHOLE_MARCH)
    street.deliver("a", {"h1": full, "h2": full, "h0": full.within(Period(MARCH, APRIL - timedelta(hours=1)))})
    street.clock.move_to(APRIL)
    first = run(street)
    assert (first.posted, first.held, dict(first.held_by_reason)) == (2, 1, {"missing_readings": 1})
    assert (bill(street, "h0").state, bill(street, "h0").missing) == ("held", 4)
    street.deliver("b", {"h0": full.within(Period(APRIL - timedelta(hours=1), APRIL))})
    second = run(street)
    assert (second.attempt, second.posted, second.held) == (2, 3, 0)
    assert bill(street, "h0").total == bill(street, "h1").total
    with street.store.read() as tx:
        assert ledger.check_book(tx) == []


def test_a_run_again_bills_nobody_twice(street: Grid) -> None:
    full = intervals([250] * WHOLE_MARCH)
    street.deliver("a", {"h0": full, "h1": full, "h2": full})
    street.clock.move_to(APRIL)
    run(street)
    before = bill(street, "h0")
    run(street)
    assert bill(street, "h0") == before
    with street.store.read() as tx:
        assert len(ledger.transfers_of(tx, account_id="receivable:h0")) == 1


def test_a_month_that_is_not_over_is_not_billed(street: Grid) -> None:
    street.clock.move_to(APRIL - timedelta(seconds=1))
    with pytest.raises(billing.MonthNotOver, match="2026-03 ends at 2026-04-01T00:00:00"):
        run(street)


@pytest.mark.parametrize("month", ["2026-13", "March", "2026-3", ""])
def test_a_month_that_is_none_is_refused(month: str) -> None:
    with pytest.raises(billing.MonthNotOver, match="YYYY-MM"):
        billing.month_period(month, zone="UTC")


def test_the_durable_run_does_the_same(street: Grid, jobs_of: Callable[[Grid], object]) -> None:
    full = intervals([250] * WHOLE_MARCH)
    street.deliver("a", {"h0": full, "h1": full, "h2": full})
    street.clock.move_to(APRIL)
    jobs = jobs_of(street)
    done = jobs.wait_for_bill_run(run=jobs.start_bill_run(month="2026-03"))  # type: ignore[attr-defined]  # worker.Jobs
    assert (done.posted, done.state) == (3, "finished")
