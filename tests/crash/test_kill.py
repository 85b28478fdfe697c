"""``kill -9`` loses nothing and doubles nothing: a real process, killed for real, on both databases."""

import os
from collections.abc import Callable
from datetime import timedelta

import pytest
from grid import APRIL, MARCH, Grid
from victim import DAYS, HOMES, late_use, raise_grid, use

from wattledger import billing, ledger, prepay, readings, registry, tariffs
from wattledger.kernel import Money, Period
from wattledger.store import Store
from wattledger.worker import WalletDeductions

MONTH = Period(MARCH, APRIL)
KILLS = int(os.environ.get("WATTLEDGER_KILLS", "1"))
AT_A_TIME = min(KILLS, 8)
SEEDS = range(1, KILLS // AT_A_TIME + 1)
"""Each kills up to eight times; ``WATTLEDGER_KILLS=200`` kills that often in each test."""


def expected_total(store: Store, home: int) -> Money:
    with store.read() as tx:
        (segment,) = registry.segments(tx, contract_ids=[f"h{home}"], period=MONTH)
    return tariffs.rate(tariff=segment.tariff, series=use(home), period=segment.period).total


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_in_ingest(database_url: str, kill_until_done: Callable[..., int], seed: int) -> None:
    killed = kill_until_done("ingest_victim.py", database_url, kills=AT_A_TIME, seed=seed, lines_max=72)
    assert killed == AT_A_TIME
    store = Store(database_url)
    with store.read() as tx:
        assert ledger.check_book(tx) == []
        assert readings.collected(tx).stored_total == HOMES * DAYS * 96
        for home in range(HOMES):
            kept = readings.series(tx, service_point_id=f"h{home}", period=MONTH)
            assert kept.values.tolist() == use(home).values.tolist()
        recharged = ledger.total_posted(tx, purpose="recharge", period=Period(MARCH, APRIL + timedelta(days=1)))
        assert recharged == {"CNY": Money.of("24.50", "CNY")}  # seven times 3.50
    for home in range(HOMES // 2):
        with store.write() as tx:
            segments = registry.segments(tx, contract_ids=[f"h{home}"], period=MONTH)
            deducted = prepay.close_month(tx, segments=segments, now=APRIL)
        assert deducted == {f"h{home}": expected_total(store, home)}
    store.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_in_a_bill_run(database_url: str, kill_until_done: Callable[..., int], seed: int) -> None:
    store = Store(database_url)
    grid = raise_grid(store)
    grid.clock.move_to(APRIL)
    grid.deliver("march", {f"h{home}": use(home) for home in range(HOMES)})
    killed = kill_until_done("bill_run_victim.py", database_url, kills=min(AT_A_TIME, 5), seed=seed, lines_max=14)
    assert killed >= min(AT_A_TIME, 3)
    with store.read() as tx:
        assert ledger.check_book(tx) == []
        run = billing.bill_run_with_id(tx, run_id="run_2026-03")
        assert (run.state, run.posted, run.held, run.statements_agreeing) == ("finished", HOMES, 0, HOMES // 2)
    for home in range(HOMES):
        with store.read() as tx:
            (bill,) = billing.bills_of(tx, contract_id=f"h{home}")
            receivable = ledger.balances(tx, account_ids=[f"receivable:h{home}"])
        assert bill.total == expected_total(store, home)
        if bill.kind == "bill":
            assert receivable == {f"receivable:h{home}": -bill.total}
    store.close()


def test_killed_in_a_correction(database_url: str, kill_until_done: Callable[..., int]) -> None:
    store = Store(database_url)
    grid = raise_grid(store)
    grid.clock.move_to(APRIL)
    grid.deliver("march", {f"h{home}": use(home) for home in range(HOMES)})
    with store.write() as tx:
        run = billing.start_run(tx, month="2026-03", now=APRIL)
        homes = [f"h{home}" for home in range(HOMES)]
        billing.bill_contracts(tx, run_id=run.id, contract_ids=homes, deductions=WalletDeductions(), now=APRIL)
    killed = kill_until_done("correction_victim.py", database_url, kills=min(AT_A_TIME, 4), seed=5, lines_max=60)
    assert killed >= min(AT_A_TIME, 3)
    for home in range(HOMES):
        with store.read() as tx:
            assert ledger.check_book(tx) == []
            assert not billing.corrections_due(tx)
            history = readings.series(tx, service_point_id=f"h{home}", period=MONTH)
            (segment,) = registry.segments(tx, contract_ids=[f"h{home}"], period=MONTH)
            bills = billing.bills_of(tx, contract_id=f"h{home}")
            account = f"wallet:h{home}" if home < HOMES // 2 else f"receivable:h{home}"
            balance = ledger.balance(tx, account_id=account)
        late = sum(len(late_use(home, number).values) for number in range(2))
        assert int(history.values.sum()) == int(use(home).values.sum()) + 500 * late
        total = tariffs.rate(tariff=segment.tariff, series=history, period=segment.period).total
        assert (bills[0].state, bills[0].corrected_total, balance) == ("posted", total, -total)
        if home < HOMES // 2:
            assert [one.way for one in bills[0].corrections] == ["wallet", "wallet"]
        else:
            # A victim that died before it corrected the second batch is followed by one that begins with the first way.
            ways = [one.way for bill in bills for one in bill.corrections]
            assert ways in (["next_bill", "rebill"], ["next_bill", "next_bill"])
            assert len(bills) == 1 + ways.count("rebill")
    store.close()


def test_the_victims_grid_is_the_one_that_is_expected(grid: Grid) -> None:
    raise_grid(grid.store)
    raise_grid(grid.store)
    with grid.store.read() as tx:
        assert registry.contract_count(tx, at=MARCH) == HOMES
