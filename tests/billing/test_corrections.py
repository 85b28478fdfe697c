"""Late truth: what comes late for a month that was billed, by the next bill, by a new bill, through the wallet."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import numpy as np
import pytest
import sqlalchemy as sa
from grid import APRIL, FLAT, MARCH, ZONE, Grid, intervals
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wattledger import billing, control, ledger, prepay, pricing, readings, registry, tariffs
from wattledger.billing import Bill, Correction, CorrectionPolicy
from wattledger.kernel import IntervalSeries, Money, Period, Quality, epoch
from wattledger.store import dispatch_outbox, metadata
from wattledger.worker import WalletDeductions
from wattledger.worker._reactions import reactions

MAY = datetime.fromisoformat("2026-05-01T00:00+08:00")
JUNE = datetime.fromisoformat("2026-06-01T00:00+08:00")
SPRING = Period(MARCH, JUNE)
HOURS = SPRING.seconds // 3600
MONTHS = ("2026-03", "2026-04", "2026-05")

LADDER: dict[str, Any] = {
    "id": "ladder",
    "version": "1",
    "currency": "CNY",
    "zone": ZONE,
    "periods": {"peak": {"times": "08:00-22:00"}, "valley": "otherwise"},
    "charges": [
        {
            "name": "energy",
            "kind": "energy",
            "tiers": {
                "counter": "all_periods",
                "basis": "year",
                "allocation": "chronological",
                "limits": ["400", "905.5"],
                "adders": ["0", "0.05", "0.30"],
                "proration": "none",
            },
            "price": {"peak": "0.5683", "valley": "0.2883"},
        },
        {"name": "standing charge", "kind": "fixed", "price": "0.20", "per": "day"},
        {"name": "tax", "kind": "tax", "rate": "9", "of": "all"},
    ],
}

FLOOR: dict[str, Any] = {
    "id": "floor",
    "version": "1",
    "currency": "CNY",
    "zone": ZONE,
    "charges": [
        {"name": "energy", "kind": "energy", "price": "1"},
        {"name": "least", "kind": "minimum", "price": "100", "per": "month", "covers": ["energy"]},
    ],
}

CNY = Money.zero("CNY")
HOUR = timedelta(hours=1)


def hours(values: Sequence[int] | np.ndarray[Any, Any], *, first: int = 0) -> IntervalSeries:
    """Hourly values from the spring's hour ``first`` on; below zero stands for one that is missing."""
    given_ = np.asarray(values, dtype=np.int64)
    starts = epoch(MARCH) + 3600 * (first + np.arange(len(given_), dtype=np.int64))
    quality = np.where(given_ < 0, int(Quality.MISSING), int(Quality.ACTUAL)).astype(np.uint8)
    return IntervalSeries(starts, np.maximum(given_, 0), quality, 3600)


def hour_of(instant: datetime) -> int:
    return (epoch(instant) - epoch(MARCH)) // 3600


def bill_month(grid: Grid, month: str, *, policy: CorrectionPolicy = "next_bill") -> billing.BillRun:
    grid.clock.move_to(max(grid.clock.now(), JUNE))
    with grid.store.write() as tx:
        run = billing.start_run(tx, month=month, now=grid.clock.now())
    with grid.store.read() as tx:
        contracts = billing.run_contracts(tx, run_id=run.id)
    with grid.store.write() as tx:
        billing.bill_contracts(
            tx,
            run_id=run.id,
            contract_ids=contracts,
            deductions=WalletDeductions(),
            now=grid.clock.now(),
            policy=policy,
        )
    with grid.store.write() as tx:
        return billing.finish_run(tx, run_id=run.id, now=grid.clock.now())


def correct(grid: Grid, *, policy: CorrectionPolicy = "next_bill", limit: int = 200) -> list[Correction]:
    made: list[Correction] = []
    due = True
    while due:
        with grid.store.write() as tx:
            made += billing.correct_due(
                tx, deductions=WalletDeductions(), now=grid.clock.now(), policy=policy, limit=limit
            )
            due = billing.corrections_due(tx)
    return made


def documents(grid: Grid, contract: str = "h0") -> list[Bill]:
    """A contract's bills, oldest first."""
    with grid.store.read() as tx:
        assert ledger.check_book(tx) == []
        return billing.bills_of(tx, contract_id=contract)[::-1]


def owed(grid: Grid, contract: str = "h0") -> Money:
    with grid.store.read() as tx:
        return -ledger.balance(tx, account_id=billing.receivable_account(contract))


def transfers(grid: Grid, account: str) -> list[ledger.Transfer]:
    with grid.store.read() as tx:
        return ledger.transfers_of(tx, account_id=account)[::-1]


@pytest.mark.parametrize("tariff", [FLAT, LADDER], ids=lambda one: one["id"])
def test_a_month_whose_interval_length_changed_is_priced_whole(grid: Grid, tariff: dict[str, Any]) -> None:
    grid.publish(tariff)
    grid.homes(1, mode="postpay", tariff=tariff["id"])
    grid.homes(1, mode="prepay", tariff=tariff["id"], first=1)
    grid.homes(1, mode="postpay", tariff=tariff["id"], first=2)  # the same energy in quarter-hours throughout
    grid.clock.move_to(JUNE)
    change, whole = 20 * 24 + 14, hour_of(APRIL)  # not at a day's end of UTC
    for home in ("h1", "h0"):
        grid.deliver(f"hours {home}", {home: hours([1200] * change)})
        grid.deliver(f"quarters {home}", {home: intervals([300] * 4 * (whole - change), start=MARCH + change * HOUR)})
    grid.deliver("all", {"h2": intervals([300] * 4 * whole)})
    bill_month(grid, "2026-03")
    mine, steady = documents(grid)[0], documents(grid, "h2")[0]
    assert (mine.state, mine.missing, mine.total) == ("posted", 0, steady.total)
    assert documents(grid, "h1")[0].deducted == steady.total
    late = {home: hours([1600], first=5) for home in ("h0", "h1")} | {
        "h2": intervals([400] * 4, start=MARCH + 5 * HOUR)
    }
    grid.deliver("late", late)
    correct(grid)
    assert documents(grid)[0].corrected_total == documents(grid, "h2")[0].corrected_total > steady.total
    assert grid.wallet("h1").available == -documents(grid, "h2")[0].corrected_total


def told(bills: Sequence[Bill]) -> Money:
    """What a contract's documents and their corrections come to."""
    return sum((one.corrected_total for one in bills if one.state == "posted"), start=CNY)


def from_scratch(grid: Grid, contract: str, series: IntervalSeries) -> list[Money]:
    """What each month costs, reckoned from the first to the last in one go over a history without any story."""
    with grid.store.read() as tx:
        segments = registry.segments(tx, contract_ids=[contract], period=SPRING)
    history, totals = tariffs.NO_HISTORY, []
    for segment in segments:
        state = tariffs.open_state(
            tariff=segment.tariff, period=segment.period, bill=segment.bill, facts=segment.facts, history=history
        )
        state = tariffs.advance(tariff=segment.tariff, state=state, series=series.within(segment.period))
        totals.append(tariffs.settle(tariff=segment.tariff, state=state).total)
        history = tariffs.history_after(tariff=segment.tariff, state=state)
    return totals


@pytest.fixture
def home(grid: Grid) -> Grid:
    """One home on the flat tariff that used 1 kWh in each hour of the spring; March is billed."""
    grid.publish()
    grid.homes(1, mode="postpay")
    grid.deliver("spring", {"h0": hours([1000] * HOURS)})
    bill_month(grid, "2026-03")
    return grid


# --- The next bill ----------------------------------------------------------------------------------------------------


def test_the_next_bill_shows_what_march_cost_more(home: Grid) -> None:
    (march,) = documents(home)
    home.deliver("late", {"h0": hours([5000, 1000], first=48)})
    assert documents(home) == [march]  # the batch itself only notes it
    (made,) = correct(home)
    assert (made.bill_id, made.number, made.way) == (march.id, 1, "next_bill")
    assert (made.old_total, made.new_total, made.difference) == (
        march.total,
        march.total + Money.of("2", "CNY"),
        Money.of("2", "CNY"),
    )
    (line,) = made.lines
    assert (line.charge, line.old_quantity, line.new_quantity) == ("energy", "744", "748")
    assert (line.old_amount, line.new_amount, line.difference) == ("372.00", "374.00", "2.00")
    (cause,) = made.causes
    assert (cause.kind, cause.about, cause.channel, cause.intervals, cause.revised) == (
        "readings",
        "late",
        "import",
        1,  # the second value of the batch is the one that was known
        True,
    )
    assert (cause.start, cause.end) == (MARCH + timedelta(hours=48), MARCH + timedelta(hours=49))
    bill_month(home, "2026-04")
    march_now, april = documents(home)
    assert (march_now.total, march_now.parts, march_now.state) == (march.total, march.parts, "posted")
    assert march_now.corrected_total == made.new_total
    (carried,) = april.carried
    assert (carried.bill_id, carried.difference, carried.carried_by) == (march.id, made.difference, april.id)
    assert april.total == Money.of("363.00", "CNY")
    assert april.to_pay == Money.of("365.00", "CNY")
    assert owed(home) == march.total + april.to_pay
    last = transfers(home, billing.receivable_account("h0"))[1]
    assert (last.id, last.purpose, last.reference, last.corrects) == (
        f"bill:{march.id}:correction:1",
        "bill_correction",
        march.id,
        f"bill:{march.id}",
    )
    bill_month(home, "2026-05")
    assert documents(home)[2].carried == []


def test_a_bill_run_corrects_what_is_due_before_it_bills(home: Grid) -> None:
    home.deliver("late", {"h0": hours([0] * 24)})
    bill_month(home, "2026-04")
    march, april = documents(home)
    assert [one.difference for one in march.corrections] == [Money.of("-12", "CNY")]
    assert april.carried == march.corrections
    assert april.to_pay == april.total - Money.of("12", "CNY")


def test_several_corrections_of_a_bill_telescope(home: Grid) -> None:
    for number, value in enumerate((3000, 500, 1000, 1200)):
        home.deliver(f"late {number}", {"h0": hours([value], first=3)})
        correct(home)
    (march,) = documents(home)
    assert [one.number for one in march.corrections] == [1, 2, 3, 4]
    assert [one.difference.text for one in march.corrections] == ["1.00", "-1.25", "0.25", "0.10"]
    for before, after in itertools.pairwise(march.corrections):
        assert after.old_total == before.new_total
    assert owed(home) == march.corrected_total == march.total + Money.of("0.10", "CNY")


def test_batches_that_come_between_two_looks_make_one_correction(home: Grid) -> None:
    for number in range(3):
        home.deliver(f"late {number}", {"h0": hours([2000], first=number)})
    (made,) = correct(home)
    assert [cause.about for cause in made.causes] == ["late 0", "late 1", "late 2"]
    assert made.difference == Money.of("1.50", "CNY")


def test_the_same_batch_again_changes_nothing(home: Grid) -> None:
    batch = {"h0": hours([5000], first=48)}
    home.deliver("late", batch)
    correct(home)
    before = documents(home)
    home.deliver("late", batch)
    home.deliver("the same values", batch)
    assert correct(home) == []
    assert documents(home) == before


def test_a_trickle_of_a_month_is_told_in_a_few_causes(home: Grid) -> None:
    for number in range(45):
        home.deliver(f"late {number}", {"h0": hours([2000], first=2 * number)})
    (made,) = correct(home)
    assert len(made.causes) == 40
    assert made.causes[-1].more == 5
    assert sum(cause.intervals for cause in made.causes) == 45
    assert made.causes[-1].end == MARCH + timedelta(hours=89)


def test_a_correction_of_nothing_is_kept_and_moves_nothing(grid: Grid) -> None:
    grid.publish(FLOOR)
    grid.homes(1, mode="postpay", tariff="floor")
    grid.deliver("spring", {"h0": hours([100] * HOURS)})
    bill_month(grid, "2026-03", policy="rebill")
    grid.deliver("late", {"h0": hours([2100])})
    (made,) = correct(grid, policy="rebill")  # a bill that asks for the same is not cancelled
    assert (made.difference, made.way) == (CNY, "next_bill")
    assert {line.charge: line.difference for line in made.lines} == {"energy": "2.00", "least": "-2.00"}
    assert len(transfers(grid, billing.receivable_account("h0"))) == 1


def test_an_estimate_that_was_right_is_no_correction(home: Grid) -> None:
    same = hours([1000], first=5)
    home.deliver("verified", {"h0": IntervalSeries(same.starts, same.values, same.qualities + 1, 3600)})
    assert correct(home) == []
    assert documents(home)[0].corrections == []


def test_what_was_taken_back_waits_for_what_is_right(home: Grid) -> None:
    home.deliver("taken back", {"h0": hours([-1], first=5)})
    assert correct(home) == []
    with home.store.write() as tx:
        assert not billing.corrections_due(tx)
        assert billing.take_up_waiting(tx) == 1
        assert billing.corrections_due(tx)
    assert correct(home) == []
    home.deliver("put right", {"h0": hours([3000], first=5)})
    (made,) = correct(home)
    assert made.difference == Money.of("1", "CNY")
    assert [cause.about for cause in made.causes] == ["taken back", "put right"]


# --- The price that was in force then ---------------------------------------------------------------------------------


def test_late_readings_cost_what_they_cost_then(home: Grid) -> None:
    dearer = {**LADDER, "id": "flat", "version": "2"}
    home.publish(dearer, valid_from=APRIL)
    home.deliver("late", {"h0": hours([2000], first=1)})
    (made,) = correct(home)
    assert made.difference == Money.of("0.50", "CNY")
    assert {part.tariff_version for part in made.parts} == {"1"}


def test_months_that_remember_are_corrected_too(grid: Grid) -> None:
    grid.publish(LADDER)
    grid.homes(1, mode="postpay", tariff="ladder")
    use = np.full(HOURS, 400)
    grid.deliver("spring", {"h0": hours(use)})
    for month in MONTHS:
        bill_month(grid, month)
    use[30:60] += 2000
    grid.deliver("late", {"h0": hours(use[30:60], first=30)})
    assert [one.number for one in correct(grid)] == [1, 1, 1]
    bills = documents(grid)
    assert [one.corrected_total for one in bills] == from_scratch(grid, "h0", hours(use))
    assert all(one.corrected_total > one.total for one in bills)
    assert owed(grid) == told(bills)
    assert {cause.about for one in bills for made in one.corrections for cause in made.causes} == {"late"}


def test_a_tier_by_the_month_is_of_its_month_alone(grid: Grid, tou_tariff: dict[str, Any]) -> None:
    grid.publish(tou_tariff)
    grid.homes(1, mode="postpay", tariff="tou-tiers")
    use = np.full(HOURS, 300)
    grid.deliver("spring", {"h0": hours(use)})
    for month in MONTHS:
        bill_month(grid, month)
    use[800] = 40_000
    grid.deliver("late", {"h0": hours([40_000], first=800)})
    (made,) = correct(grid)
    assert made.bill_id == documents(grid)[1].id
    assert told(documents(grid)) == sum(from_scratch(grid, "h0", hours(use)), start=CNY)


def test_a_month_that_was_held_corrects_those_that_were_billed_without_it(grid: Grid) -> None:
    grid.publish(LADDER)
    grid.homes(1, mode="postpay", tariff="ladder")
    use = np.full(HOURS, 400)
    gap = slice(100, 110)
    use[gap] = -1
    grid.deliver("spring", {"h0": hours(use)})
    for month in MONTHS:
        bill_month(grid, month)
    assert [one.state for one in documents(grid)] == ["held", "posted", "posted"]
    use[gap] = 5000
    grid.deliver("found", {"h0": hours(use[gap], first=100)})
    assert len(correct(grid)) == 2
    bill_month(grid, "2026-03")
    bills = documents(grid)
    assert [one.corrected_total for one in bills] == from_scratch(grid, "h0", hours(use))
    assert bills[0].corrections == []
    assert [one.bill_id for one in bills[0].carried] == [bills[1].id, bills[2].id]
    assert owed(grid) == told(bills)


def test_a_fact_told_late_corrects_the_bills_since(grid: Grid) -> None:
    by_fact = {
        "id": "by-fact",
        "version": "1",
        "currency": "CNY",
        "zone": ZONE,
        "charges": [
            {"name": "energy", "kind": "energy", "price": "1"},
            {"name": "capacity", "kind": "fixed", "price": "10", "per": "month", "times": "contracted_kw"},
        ],
    }
    grid.publish(by_fact)
    grid.homes(1, mode="postpay", tariff="by-fact")
    grid.deliver("spring", {"h0": hours([0] * HOURS)})

    def tell(kw: int) -> None:
        with grid.store.write() as tx:
            registry.tell_fact(
                tx, contract_id="h0", name="contracted_kw", value=kw, valid_from=MARCH, now=grid.clock.now()
            )
        dispatch_outbox(grid.store, handlers=reactions(control.CutOffPolicy()), now=grid.clock.now())

    tell(6)
    for month in MONTHS[:2]:
        bill_month(grid, month)
    tell(9)
    made = correct(grid)
    assert [one.difference for one in made] == [Money.of("30", "CNY")] * 2
    assert {(cause.kind, cause.about) for one in made for cause in one.causes} == {("fact", "contracted_kw")}


def test_an_event_and_a_price_told_late_correct_the_bills_of_those_they_concern(grid: Grid) -> None:
    critical = {
        "id": "critical",
        "version": "1",
        "currency": "CNY",
        "zone": ZONE,
        "events": ["critical peak"],
        "periods": {"critical": {"events": "critical peak"}, "other": "otherwise"},
        "charges": [{"name": "energy", "kind": "energy", "price": {"critical": "5", "other": "0.5"}}],
    }
    dynamic = {
        "id": "dynamic",
        "version": "1",
        "currency": "CNY",
        "zone": ZONE,
        "charges": [{"name": "energy", "kind": "energy", "index": {"series": "spot", "missing": "refuse"}}],
    }
    for number, document in enumerate((FLAT, critical, dynamic)):
        grid.publish(document)
        grid.homes(1, mode="postpay", tariff=str(document["id"]), first=number)
    grid.deliver("spring", {f"h{number}": hours([1000] * HOURS) for number in range(3)})

    def tell() -> None:
        dispatch_outbox(grid.store, handlers=reactions(control.CutOffPolicy()), now=grid.clock.now())

    with grid.store.write() as tx:
        pricing.publish_prices(tx, series="spot", prices=[(MARCH, "1")], seconds=100 * 86_400, now=grid.clock.now())
    bill_month(grid, "2026-03")
    with grid.store.write() as tx:
        day = Period(MARCH, MARCH + timedelta(hours=2))
        pricing.announce_event(tx, name="critical peak", period=day, now=grid.clock.now())
    tell()
    made = correct(grid)
    assert [(one.contract_id, one.difference.text) for one in made] == [("h1", "9.00")]
    assert [(cause.kind, cause.about) for cause in made[0].causes] == [("event", "critical peak")]
    with grid.store.write() as tx:
        pricing.publish_prices(tx, series="spot", prices=[(MARCH, "2")], seconds=100 * 86_400, now=grid.clock.now())
    tell()
    made = correct(grid)
    assert [(one.contract_id, one.difference.text) for one in made] == [("h2", "744.00")]
    assert [(cause.kind, cause.about) for cause in made[0].causes] == [("prices", "spot")]
    with grid.store.write() as tx:
        pricing.announce_event(tx, name="critical peak", period=Period(JUNE, JUNE + timedelta(hours=2)), now=JUNE)
    tell()
    with grid.store.read() as tx:
        assert not billing.corrections_due(tx)


# --- A new bill -------------------------------------------------------------------------------------------------------


def test_a_bill_is_cancelled_and_made_anew(home: Grid) -> None:
    (before,) = documents(home)
    home.deliver("late", {"h0": hours([5000], first=48)})
    (made,) = correct(home, policy="rebill")
    cancelled, new = documents(home)
    assert (cancelled.state, cancelled.replaced_by, cancelled.total) == ("cancelled", new.id, before.total)
    assert (new.state, new.replaces, new.edition, new.corrections) == ("posted", cancelled.id, 2, [])
    assert new.id != cancelled.id
    assert new.total == made.new_total == from_scratch(home, "h0", hours([1000] * HOURS))[0] + Money.of("2", "CNY")
    assert cancelled.corrections == [made]
    assert owed(home) == new.total
    assert [(t.id, t.purpose, t.corrects) for t in transfers(home, billing.receivable_account("h0"))] == [
        (f"bill:{cancelled.id}", "bill", None),
        (f"bill:{cancelled.id}:cancelled", "bill_cancelled", f"bill:{cancelled.id}"),
        (f"bill:{new.id}", "bill", None),
    ]
    run = bill_month(home, "2026-03", policy="rebill")
    assert (run.posted, run.amounts) == (1, {"CNY": new.total})
    assert len(documents(home)) == 2
    home.deliver("later", {"h0": hours([1000], first=48)})
    correct(home, policy="rebill")
    assert [one.state for one in documents(home)] == ["cancelled", "cancelled", "posted"]
    assert owed(home) == before.total


def test_what_was_corrected_before_is_reversed_with_its_bill(home: Grid) -> None:
    home.deliver("late", {"h0": hours([5000], first=48)})
    correct(home)
    home.deliver("later", {"h0": hours([6000], first=48)})
    correct(home, policy="rebill")
    cancelled, new = documents(home)
    assert [one.way for one in cancelled.corrections] == ["next_bill", "rebill"]
    assert owed(home) == new.total == cancelled.corrected_total
    bill_month(home, "2026-04")
    assert documents(home)[-1].carried == []  # it went with the bill that it was of


def test_a_new_bill_shows_what_the_cancelled_one_had_shown(home: Grid) -> None:
    home.deliver("late", {"h0": hours([5000], first=48)})
    bill_month(home, "2026-04")
    home.deliver("later", {"h0": hours([5000], first=hour_of(APRIL))})
    correct(home, policy="rebill")
    _, cancelled, new = documents(home)
    assert cancelled.carried == new.carried != []
    assert new.to_pay == new.total + Money.of("2", "CNY")


# --- Statements and wallets -------------------------------------------------------------------------------------------


def test_a_stated_month_is_corrected_through_the_wallet(grid: Grid) -> None:
    grid.publish()
    grid.homes(1, mode="prepay")
    grid.deliver("spring", {"h0": hours([1000] * HOURS)})
    bill_month(grid, "2026-03")
    (stated,) = documents(grid)
    settled = transfers(grid, "wallet:h0")[-1]
    grid.deliver("late", {"h0": hours([5000], first=48)})
    (made,) = correct(grid, policy="rebill")
    assert (made.way, made.old_total, made.difference) == ("wallet", stated.total, Money.of("2", "CNY"))
    moved = transfers(grid, "wallet:h0")[-1]
    assert (moved.amount, moved.purpose, moved.reference) == (made.difference, "deduction_corrected", stated.id)
    assert moved.corrects is not None
    assert moved.corrects.startswith("deduction:h0:2026-02-28T16:00Z:")
    assert moved.debit_account == "wallet:h0"
    assert moved.corrects in {one.id for one in transfers(grid, "wallet:h0")}
    assert settled.purpose == "deduction"
    (now,) = documents(grid)
    assert (now.total, now.deducted, now.corrected_total) == (stated.total, stated.deducted, made.new_total)
    grid.deliver("right after all", {"h0": hours([1000], first=48)})
    correct(grid)
    back = transfers(grid, "wallet:h0")[-1]
    assert (back.credit_account, back.purpose, back.corrects) == ("wallet:h0", "deduction_corrected", moved.id)
    bill_month(grid, "2026-04")
    april = documents(grid)[1]
    assert [one.difference.text for one in april.carried] == ["2.00", "-2.00"]
    assert april.to_pay == CNY


def test_a_difference_that_was_posted_overnight_is_a_correction_as_well(grid: Grid) -> None:
    grid.publish()
    grid.homes(1, mode="prepay")
    grid.deliver("spring", {"h0": hours([1000] * HOURS)})
    bill_month(grid, "2026-03")
    grid.deliver("late", {"h0": hours([5000], first=48)})
    grid.clock.advance(timedelta(days=1))
    with grid.store.write() as tx:
        prepay.post_accrual(tx, contract_ids=["h0"], now=grid.clock.now())
    (stated,) = documents(grid)
    of_march = [one for one in transfers(grid, "wallet:h0") if one.reference == stated.id]
    assert [one.amount for one in of_march] == [Money.of("2", "CNY")]
    (made,) = correct(grid)
    assert made.difference == Money.of("2", "CNY")
    assert [one for one in transfers(grid, "wallet:h0") if one.reference == stated.id] == of_march


# --- What it costs ----------------------------------------------------------------------------------------------------


def statements_of(grid: Grid, batch_id: str, series: dict[str, IntervalSeries]) -> list[str]:
    """The statements that noting what is late in a batch takes."""
    receipt = grid.deliver(batch_id, series)
    seen: list[str] = []
    listener = lambda _c, _cursor, statement, *_: seen.append(statement)  # noqa: E731 - to be removed again
    with grid.store.write() as tx:
        sa.event.listen(tx.connection, "before_cursor_execute", listener)
        billing.note_late(tx, changes=receipt.changes, batch_id=batch_id, now=grid.clock.now())
        sa.event.remove(tx.connection, "before_cursor_execute", listener)
    return seen


def test_new_readings_cost_one_look(home: Grid) -> None:
    assert len(statements_of(home, "new", {"h0": hours([1100], first=hour_of(MAY))})) == 1
    assert statements_of(home, "repeated", {"h0": hours([1100], first=hour_of(MAY))}) == []
    assert len(statements_of(home, "late", {"h0": hours([1100], first=1)})) == 3


def test_no_reading_slips_in_between_counting_and_posting(home: Grid) -> None:
    """A bill run waits for a batch under way that is late for it, and the batch that comes after is noted."""
    with home.store.write() as tx:
        run = billing.start_run(tx, month="2026-04", now=home.clock.now())
    begun = threading.Event()

    def bill_april() -> None:
        begun.set()
        with home.store.write() as tx:
            billing.bill_contracts(
                tx, run_id=run.id, contract_ids=["h0"], deductions=WalletDeductions(), now=home.clock.now()
            )

    other = threading.Thread(target=bill_april)
    with home.store.write() as tx:
        batch = home.batch("late", {"h0": hours([2000], first=hour_of(APRIL))})
        receipt = readings.ingest(tx, batch=batch, now=home.clock.now())
        billing.note_late(tx, changes=receipt.changes, batch_id="late", now=home.clock.now())
        other.start()
        begun.wait()
        other.join(timeout=0.3)  # without the lock it would be done by now, and the reading lost to the bill
        assert other.is_alive()
    other.join()
    correct(home)
    april = documents(home)[1]
    assert april.corrected_total == Money.of("363.50", "CNY")


# --- Laws -------------------------------------------------------------------------------------------------------------

_runs = itertools.count()


@dataclass(slots=True)
class Story:
    """Four homes with the same use, billed and paid for in four ways, and whatever may happen to their readings."""

    grid: Grid
    data: st.DataObject
    homes: Sequence[str]
    use: np.ndarray[Any, Any]
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def deliver(self, first: int, last: int) -> None:
        batch = {home: hours(self.use[first:last], first=first) for home in self.homes}
        name = f"{self.homes[0]}:{next(self.numbers)}"
        for _ in range(self.data.draw(st.integers(1, 2), label="times")):
            self.grid.deliver(name, batch)

    def policy(self) -> CorrectionPolicy:
        return self.data.draw(st.sampled_from(("next_bill", "rebill")), label="policy")

    def happen(self, what: str, first: int, last: int) -> None:
        if what == "bill":
            bill_month(self.grid, self.data.draw(st.sampled_from(MONTHS), label="month"), policy=self.policy())
        elif what == "correct":
            correct(self.grid, policy=self.policy(), limit=self.data.draw(st.integers(1, 4), label="limit"))
        else:
            at = self.data.draw(st.integers(first, last - 1), label="at")
            until = min(at + self.data.draw(st.integers(1, 40), label="for"), last)
            self.use[at:until] = self.data.draw(st.integers(0, 3000), label="wh")
            self.deliver(at, until)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_came_when_all_ends_as_from_scratch(
    grid: Grid, tou_tariff: dict[str, Any], data: st.DataObject
) -> None:
    grid.publish(LADDER)
    grid.publish(tou_tariff)
    first = 4 * next(_runs)
    ways = itertools.product(("ladder", "tou-tiers"), cast("list[registry.PaymentMode]", ["postpay", "prepay"]))
    for number, (tariff, mode) in enumerate(ways):
        grid.homes(1, mode=mode, tariff=tariff, first=first + number)
    pattern = data.draw(st.lists(st.integers(0, 900), min_size=1, max_size=30), label="pattern")
    use = np.array([pattern[n % len(pattern)] for n in range(HOURS)])
    story = Story(grid, data, [f"h{first + n}" for n in range(4)], use)
    cuts = data.draw(st.lists(st.integers(1, HOURS - 1), max_size=4, unique=True), label="cuts")
    for piece in data.draw(st.permutations(list(itertools.pairwise([0, *sorted(cuts), HOURS]))), label="order"):
        story.deliver(*piece)
        for step in data.draw(st.lists(st.sampled_from(("bill", "revise", "correct")), max_size=3), label="steps"):
            story.happen(step, *piece)
    for month in MONTHS:
        bill_month(grid, month, policy=story.policy())
    correct(grid, policy=story.policy())
    for home in story.homes:
        assert_as_from_scratch(grid, home, from_scratch(grid, home, hours(use)))


def assert_as_from_scratch(grid: Grid, home: str, scratch: Sequence[Money]) -> None:
    bills = documents(grid, home)
    valid = [one for one in bills if one.state != "cancelled"]
    assert [one.state for one in valid] == ["posted"] * 3
    assert [one.corrected_total for one in valid] == scratch
    for one in bills:
        assert one.corrected_total == one.total + sum((c.difference for c in one.corrections), start=CNY)
        for made in one.corrections:
            assert sum((Decimal(line.difference) for line in made.lines), start=Decimal(0)) == made.difference.amount
    account = f"wallet:{home}" if valid[0].kind == "statement" else billing.receivable_account(home)
    with grid.store.read() as tx:
        assert ledger.balances(tx, account_ids=[account]).get(account, CNY) == -sum(scratch, start=CNY)
        assert tx.rows(sa.select(metadata.tables["late_news"].c.id)) == []
