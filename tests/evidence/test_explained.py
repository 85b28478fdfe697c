"""A transfer says how its amount came to be, and what it says adds up."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from grid import APRIL, MARCH, Grid, intervals
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wattledger import billing, evidence, ledger, prepay, registry
from wattledger.kernel import Money, Quality
from wattledger.worker import WalletDeductions

DAY = timedelta(days=1)
SOURCES = Path(evidence.__file__).parents[1]


def transfers(grid: Grid, account: str) -> list[ledger.Transfer]:
    with grid.store.read() as tx:
        return ledger.transfers_of(tx, account_id=account, limit=1_000)[::-1]


def told(grid: Grid, transfer_id: str) -> dict[str, Any]:
    with grid.store.read() as tx:
        return evidence.explain_transfer(tx, transfer_id=transfer_id)


def settle(grid: Grid) -> None:
    with grid.store.write() as tx:
        while prepay.settle_due(tx, now=grid.clock.now()):
            pass


def month(grid: Grid) -> None:
    with grid.store.write() as tx:
        run = billing.start_run(tx, month="2026-03", now=grid.clock.now())
        contracts = [one.id for one in registry.contracts(tx, at=MARCH, limit=10)]
        billing.bill_contracts(
            tx, run_id=run.id, contract_ids=contracts, deductions=WalletDeductions(), now=grid.clock.now()
        )


def sums(proof: dict[str, Any]) -> Decimal:
    return sum((Decimal(line["difference"]) for line in proof["lines"]), start=Decimal(0))


def test_a_deduction_is_what_came_since_the_last_by_clause_and_interval(grid: Grid, tou_tariff: dict[str, Any]) -> None:
    tariff = grid.publish(tou_tariff)
    grid.homes(1, mode="prepay", tariff=tou_tariff["id"])
    for day in range(2):
        grid.deliver(f"day {day}", {"h0": intervals([300 + day] * 96, start=MARCH + day * DAY)})
        grid.clock.move_to(MARCH + (day + 1) * DAY + timedelta(hours=9))
        settle(grid)
    first, second = [one for one in transfers(grid, "wallet:h0") if one.purpose == "deduction"]
    for one, watt_hours in ((first, 300), (second, 301)):
        found = told(grid, one.id)
        proof = found["proof"]
        assert proof["proved"], proof["because"]
        assert sums(proof) == Decimal(proof["amount"]) == Decimal(one.amount.text)
        assert len(proof["intervals"]) == 96
        assert {(each["kwh"], each["quality"]) for each in proof["intervals"]} == {(f"0.{watt_hours}", "actual")}
        assert proof["tariff"] == {
            "id": tou_tariff["id"],
            "version": "1",
            "hash": tariff.hash,
            "name": tou_tariff["name"],
        }
        assert proof["meter"] == {"service_point": "h0", "meter": "m-h0", "serial": "serial-h0"}
        assert all(line["clause"] for line in proof["lines"])
        assert found["later"] == []


def test_what_came_late_is_a_transfer_of_its_own_and_leaves_the_earlier_as_it_was(grid: Grid) -> None:
    grid.publish()
    grid.homes(1, mode="prepay")
    grid.deliver("guessed", {"h0": intervals([400] * 96, quality=Quality.ESTIMATED)})
    grid.clock.move_to(MARCH + DAY)
    settle(grid)
    grid.clock.move_to(MARCH + DAY + timedelta(hours=2))
    grid.deliver("read", {"h0": intervals([100] * 96)})
    grid.clock.move_to(MARCH + 2 * DAY)
    settle(grid)
    first, second = transfers(grid, "wallet:h0")
    earlier, later = told(grid, first.id), told(grid, second.id)
    assert earlier["proof"]["proved"]
    assert later["proof"]["proved"], later["proof"]["because"]
    assert {one["quality"] for one in earlier["proof"]["intervals"]} == {"estimated"}
    assert second.purpose == "deduction_returned"
    assert sums(later["proof"]) == -Decimal(second.amount.text)
    changed = later["proof"]["intervals"]
    assert {(one["kwh"], one["was"]["kwh"], one["was"]["quality"]) for one in changed} == {
        ("0.100", "0.400", "estimated")
    }
    assert [one["transfer"] for one in earlier["later"]] == [second.id]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 95), st.integers(0, 3_000), st.booleans()), min_size=1, max_size=8))
def test_every_deduction_of_any_history_is_proved(one_grid: Grid, history: Sequence[tuple[int, int, bool]]) -> None:
    grid = one_grid
    name = f"h{next_number(grid)}"
    grid.homes(1, mode="prepay", first=int(name[1:]))
    for number, (slot, watt_hours, settles) in enumerate(history):
        start = MARCH + timedelta(minutes=15) * slot
        grid.clock.advance(timedelta(hours=7))
        grid.deliver(f"{name} {number}", {name: intervals([watt_hours], start=start)})
        if settles:
            with grid.store.write() as tx:
                prepay.post_accrual(tx, contract_ids=[name], now=grid.clock.now())
    posted = [one for one in transfers(grid, f"wallet:{name}") if one.purpose.startswith("deduction")]
    for one in posted:
        proof = told(grid, one.id)["proof"]
        signed = Decimal(one.amount.text) if one.debit_account == f"wallet:{name}" else -Decimal(one.amount.text)
        assert proof["proved"], proof["because"]
        assert sums(proof) == signed


@pytest.fixture
def one_grid(grid: Grid) -> Grid:
    grid.publish()
    return grid


def next_number(grid: Grid) -> int:
    with grid.store.read() as tx:
        return registry.contract_count(tx, at=MARCH)


def test_a_bill_and_its_correction_are_told(grid: Grid) -> None:
    grid.publish()
    grid.homes(1, mode="postpay")
    grid.deliver("march", {"h0": intervals([250] * 96 * 31)})
    grid.clock.move_to(APRIL + DAY)
    month(grid)
    (bill,) = [one for one in transfers(grid, "receivable:h0") if one.purpose == "bill"]
    found = told(grid, bill.id)
    assert found["proof"]["proved"], found["proof"]["because"]
    assert sums(found["proof"]) == Decimal(bill.amount.text)
    assert len(found["proof"]["intervals"]) == 96 * 31
    assert found["proof"]["quality"] == {"actual": 96 * 31}
    grid.clock.advance(DAY)
    grid.deliver("late", {"h0": intervals([1_250] * 4)})
    with grid.store.write() as tx:
        billing.correct_due(tx, deductions=WalletDeductions(), policy="next_bill", now=grid.clock.now())
    (correction,) = [one for one in transfers(grid, "receivable:h0") if one.purpose == "bill_correction"]
    later = told(grid, correction.id)
    assert sums(later["proof"]) == Decimal(correction.amount.text)
    assert [one["about"] for one in later["proof"]["causes"]] == ["late"]
    again = told(grid, bill.id)
    assert again["proof"]["proved"]  # as it was known then
    assert [one["amount"] for one in again["later"]] == [correction.amount.text]


def test_a_recharge_tells_what_it_paid_first(grid: Grid) -> None:
    grid.publish()
    grid.homes(1, mode="prepay")
    with grid.store.write() as tx:
        ledger.open_accounts(tx, accounts=[ledger.Account("owed:h0", "receivable", "CNY")])
        prepay.agree_debt(
            tx,
            contract_id="h0",
            name="old bills",
            amount=Money.of("30", "CNY"),
            owed_to="owed:h0",
            terms=prepay.DebtTerms(percent=Decimal(20)),
            key="once",
            now=grid.clock.now(),
        )
    grid.recharge("h0", "50")
    for one in transfers(grid, "wallet:h0"):
        found = told(grid, one.id)
        assert [(part["kind"], part["amount"]) for part in found["about"]["parts"]] == [
            ("debt", "10.00"),
            ("wallet", "40.00"),
        ]


def test_a_transfer_that_is_none(grid: Grid) -> None:
    with grid.store.read() as tx, pytest.raises(ledger.TransferUnknown, match="'nothing'"):
        evidence.explain_transfer(tx, transfer_id="nothing")


def test_every_purpose_that_is_posted_anywhere_has_words() -> None:
    posted: set[str] = set()
    for path in SOURCES.rglob("*.py"):
        text = path.read_text()
        posted |= set(re.findall(r'purpose="([a-z_]+)"', text))
    assert posted  # what is not written as purpose="..." is in the list below
    others = {
        *("agent_funded", "agent_lent", "agent_settled", "debt_share", "emergency_repaid", "recharge_fee"),
        *("deposit_returned", "debt_closing", "closing_refund"),
        *("deduction", "deduction_corrected", "deduction_returned"),
    }
    assert posted | others <= evidence.WORDS.keys()
