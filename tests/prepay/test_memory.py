"""Wallets under tariffs that remember: a year's steps, ratchets, yearly minimums, versions in mid-month, late news."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from grid import APRIL, MARCH, ZONE, Grid, intervals
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wattledger import billing, control, ledger, prepay, pricing, readings, registry, tariffs
from wattledger.kernel import IntervalSeries, Money, Period, local_months, zone_named
from wattledger.store import dispatch_outbox, metadata, recent_facts
from wattledger.worker import WalletDeductions
from wattledger.worker._reactions import reactions

JUNE = datetime.fromisoformat("2026-06-01T00:00+08:00")
SPRING = Period(MARCH, JUNE)

_runs = itertools.count()


def steps(**more: Any) -> dict[str, Any]:  # noqa: ANN401 - a document's members
    """Steps by the year, demand with a ratchet, a monthly and a yearly minimum, a surcharge and a tax."""
    return {
        "id": "steps",
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
                    "limits": ["40", "90.5"],
                    "adders": ["0", "0.05", "0.30"],
                    "proration": "none",
                },
                "price": {"peak": "0.5683", "valley": "0.2883"},
            },
            {
                "name": "demand",
                "kind": "demand",
                "window": 30,
                "price": "3.1",
                "ratchet": {"percent": 80, "months": 2},
            },
            {"name": "standing charge", "kind": "fixed", "price": "0.20", "per": "day"},
            {"name": "least", "kind": "minimum", "price": "30", "per": "month", "covers": ["energy", "demand"]},
            {"name": "fund", "kind": "percentage", "rate": "1.5", "of": ["energy", "least"]},
            {"name": "tax", "kind": "tax", "rate": "9", "of": "all"},
        ],
        **more,
    }


def one_after_the_other(segments: Sequence[registry.Segment], series: IntervalSeries) -> list[Money]:
    """What the segments cost, reckoned from the first to the last in one go."""
    history = tariffs.NO_HISTORY
    totals = []
    for segment in segments:
        state = tariffs.open_state(
            tariff=segment.tariff, period=segment.period, bill=segment.bill, facts=segment.facts, history=history
        )
        state = tariffs.advance(tariff=segment.tariff, state=state, series=series.within(segment.period))
        totals.append(tariffs.settle(tariff=segment.tariff, state=state).total)
        history = tariffs.history_after(tariff=segment.tariff, state=state)
    return totals


def whole_days(values: Sequence[int]) -> IntervalSeries:
    """A spring in which each quarter hour takes the next of some values, round and round."""
    count = SPRING.seconds // 900
    return intervals([values[n % len(values)] for n in range(count)])


def close(grid: Grid, contract: str) -> list[Money]:
    """What each segment of the spring was deducted once it is over."""
    with grid.store.write() as tx:
        segments = registry.segments(tx, contract_ids=[contract], period=SPRING)
        found = [prepay.close_month(tx, segments=[s], now=grid.clock.now())[contract] for s in segments]
        assert ledger.check_book(tx) == []
    return found


def expected(grid: Grid, contract: str) -> list[Money]:
    with grid.store.read() as tx:
        segments = registry.segments(tx, contract_ids=[contract], period=SPRING)
        return one_after_the_other(segments, readings.series(tx, service_point_id=contract, period=SPRING))


def bills(grid: Grid, contract: str) -> list[billing.Bill]:
    """The spring's documents, oldest first."""
    grid.clock.move_to(max(grid.clock.now(), JUNE))
    for month in ("2026-03", "2026-04", "2026-05"):
        with grid.store.write() as tx:
            begun = billing.start_run(tx, month=month, now=grid.clock.now())
            billing.bill_contracts(
                tx, run_id=begun.id, contract_ids=[contract], deductions=WalletDeductions(), now=grid.clock.now()
            )
            billing.finish_run(tx, run_id=begun.id, now=grid.clock.now())
    with grid.store.read() as tx:
        return billing.bills_of(tx, contract_id=contract)[::-1]


@pytest.fixture
def home(grid: Grid) -> Grid:
    grid.publish(steps())
    grid.homes(1, mode="prepay", tariff="steps")
    return grid


def test_a_years_steps_go_on_from_month_to_month(home: Grid) -> None:
    home.deliver("a", {"h0": whole_days([7, 30, 11])})
    deducted = close(home, "h0")
    assert deducted == expected(home, "h0")
    written = bills(home, "h0")
    assert [one.state for one in written] == ["posted"] * 3
    assert [one.total for one in written] == deducted == [one.deducted for one in written]
    tiers = [{line.tier for part in one.parts for line in part.lines if line.charge == "energy"} for one in written]
    assert tiers == [{1, 2}, {2, 3}, {3}]


def test_a_correction_of_march_prices_april_and_may_again(home: Grid) -> None:
    series = whole_days([12])
    home.deliver("a", {"h0": series})
    before = close(home, "h0")
    home.deliver("b", {"h0": intervals([2000] * 40, start=MARCH + timedelta(days=3))})
    after = close(home, "h0")
    assert after == expected(home, "h0")
    assert all(new > old for new, old in zip(after, before, strict=True))
    assert [one.total for one in bills(home, "h0")] == after
    assert home.wallet("h0").available == -sum(after, start=Money.zero("CNY"))


def test_what_came_late_and_what_came_next_are_taken_up_in_one_batch(home: Grid) -> None:
    series = whole_days([9])
    gap = Period(MARCH + timedelta(days=5), MARCH + timedelta(days=9))
    later = Period(APRIL + timedelta(days=3), JUNE)
    home.deliver("a", {"h0": series.within(Period(MARCH, gap.start))})
    home.deliver("b", {"h0": series.within(Period(gap.end, later.start))})
    both = series.picked((series.starts >= 0) & _in(series, gap, later))
    home.deliver("c", {"h0": both})
    assert close(home, "h0") == expected(home, "h0")


def _in(series: IntervalSeries, *periods: Period) -> Any:  # noqa: ANN401 - a mask
    masks = [(series.starts >= p.start.timestamp()) & (series.starts < p.end.timestamp()) for p in periods]
    return masks[0] | masks[1]


def test_a_version_that_changes_in_mid_month_goes_on_counting(home: Grid) -> None:
    series = whole_days([11])
    until = APRIL + timedelta(days=20)
    home.deliver("a", {"h0": series.within(Period(MARCH, until))})
    dearer = steps(version="2")
    dearer["charges"][0]["price"] = {"peak": "1.5683", "valley": "0.2883"}
    home.publish(dearer, valid_from=APRIL + timedelta(days=10))
    home.deliver("b", {"h0": series.within(Period(until, JUNE))})
    deducted = close(home, "h0")
    assert len(deducted) == 4
    assert deducted == expected(home, "h0")
    march, april, _may = bills(home, "h0")
    assert march.total == deducted[0]
    assert april.total == deducted[1] + deducted[2]
    assert [part.tariff_version for part in april.parts] == ["1", "2"]


def test_steps_go_on_when_who_paid_after_pays_before(grid: Grid) -> None:
    grid.publish(steps())
    grid.homes(1, mode="postpay", tariff="steps")
    term = metadata.tables["contract_term"]
    with grid.store.write() as tx:
        tx.execute(term.update().values(valid_to=APRIL))
        row = {"contract_id": "h0", "valid_from": APRIL, "mode": "prepay", "tariff_id": "steps"}
        tx.execute(term.insert().values(**row))
    grid.deliver("a", {"h0": whole_days([12])})
    with grid.store.read() as tx:
        prepaid = registry.segments(tx, contract_ids=["h0"], period=SPRING)[1:]

    def deducted() -> list[Money]:
        with grid.store.write() as tx:
            return [prepay.close_month(tx, segments=[s], now=grid.clock.now())["h0"] for s in prepaid]

    before = deducted()
    assert before == expected(grid, "h0")[1:]
    grid.deliver("b", {"h0": intervals([1500] * 40, start=MARCH)})  # of a month that the wallet never saw
    assert deducted() == expected(grid, "h0")[1:]
    assert before != deducted()


def test_a_month_of_steps_does_not_begin_anew_with_a_version(grid: Grid, tou_tariff: dict[str, Any]) -> None:
    grid.publish(tou_tariff)
    grid.homes(1, mode="prepay", tariff="tou-tiers")
    grid.deliver("a", {"h0": intervals([500] * 96 * 31)})  # 1,488 kWh: the last step is reached on the fifth day
    grid.publish({**tou_tariff, "version": "2"}, valid_from=MARCH + timedelta(days=15))
    grid.deliver("b", {"h0": intervals([500], start=APRIL)})
    with grid.store.read() as tx:
        first, second, *_ = registry.segments(tx, contract_ids=["h0"], period=SPRING)
        (rating,) = pricing.running(tx, segment=second, untils=[second.period.end])
    assert second.bill == first.bill == first.month
    assert {line.tier for line in rating.lines if line.kind == "energy"} == {3}


def test_a_yearly_minimum_is_settled_in_the_last_month(grid: Grid) -> None:
    grid.publish(
        {
            "id": "minimum",
            "version": "1",
            "currency": "CNY",
            "zone": ZONE,
            "charges": [
                {"name": "energy", "kind": "energy", "price": "1"},
                {
                    "name": "least",
                    "kind": "minimum",
                    "price": "1000",
                    "per": "year",
                    "starts": "06-01",
                    "proration": "none",
                    "covers": ["energy"],
                },
            ],
        }
    )
    grid.homes(1, mode="prepay", tariff="minimum")
    grid.deliver("a", {"h0": whole_days([10])})
    kwh = Decimal(SPRING.seconds // 900) / 100
    assert sum((one.amount for one in close(grid, "h0")), start=Decimal(0)) == 1000
    assert kwh < 1000
    grid.deliver("b", {"h0": intervals([10_010], start=MARCH)})  # 10 kWh more in March: 10 less in May
    deducted = close(grid, "h0")
    assert sum((one.amount for one in deducted), start=Decimal(0)) == 1000
    assert deducted == expected(grid, "h0")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_deductions_are_bills_whatever_came_when(grid: Grid, data: st.DataObject) -> None:
    grid.publish(steps())
    run = next(_runs)
    point = f"h{run}"
    grid.homes(1, mode="prepay", tariff="steps", first=run)
    pattern = data.draw(st.lists(st.integers(0, 60), min_size=1, max_size=50))
    series = whole_days(pattern)
    days = data.draw(st.lists(st.integers(1, 91), max_size=5, unique=True))
    edges = [MARCH, *(MARCH + timedelta(days=day) for day in sorted(days)), JUNE]
    pieces = [series.within(Period(a, b)) for a, b in itertools.pairwise(edges)]
    for number in data.draw(st.permutations(range(len(pieces)))):
        grid.deliver(f"{run}:{number}", {point: pieces[number]})
        if data.draw(st.booleans()):
            day = data.draw(st.integers(0, 91))
            corrected = intervals(
                data.draw(st.lists(st.integers(0, 900), min_size=1, max_size=9)), start=MARCH + timedelta(days=day)
            )
            grid.deliver(f"{run}:{number}:again", {point: corrected})
    deducted = close(grid, point)
    assert deducted == expected(grid, point)
    with grid.store.read() as tx:
        assert ledger.balance(tx, account_id=f"wallet:{point}") == -sum(deducted, start=Money.zero("CNY"))


def test_a_month_has_the_segments_that_the_calendar_has(home: Grid) -> None:
    with home.store.read() as tx:
        segments = registry.segments(tx, contract_ids=["h0"], period=SPRING)
    assert [s.bill for s in segments] == list(local_months(SPRING, zone=zone_named(ZONE)))
    assert {s.since for s in segments} == {MARCH}


# --- events, published prices, facts ---------------------------------------------------------------------------------

CRITICAL = {
    "id": "critical",
    "version": "1",
    "currency": "CNY",
    "zone": ZONE,
    "events": ["critical peak"],
    "periods": {"critical": {"events": "critical peak", "times": "14:00-20:00"}, "other": "otherwise"},
    "charges": [{"name": "energy", "kind": "energy", "price": {"critical": "5", "other": "0.5"}}],
}

DYNAMIC = {
    "id": "dynamic",
    "version": "1",
    "currency": "CNY",
    "zone": ZONE,
    "charges": [{"name": "energy", "kind": "energy", "index": {"series": "spot", "missing": "refuse"}}],
}

BY_FACT = {
    "id": "by-fact",
    "version": "1",
    "currency": "CNY",
    "zone": ZONE,
    "charges": [
        {"name": "energy", "kind": "energy", "price": "1"},
        {
            "name": "capacity",
            "kind": "fixed",
            "price": "10",
            "per": "month",
            "times": "contracted_kw",
            "proration": "none",
        },
    ],
}


def told(grid: Grid) -> None:
    """Let the worker's reactions follow the facts."""
    dispatch_outbox(grid.store, handlers=reactions(control.CutOffPolicy()), now=grid.clock.now())


def test_an_event_announced_too_late_is_priced_when_it_is_known(grid: Grid) -> None:
    grid.publish(CRITICAL)
    grid.homes(1, mode="prepay", tariff="critical")
    grid.deliver("a", {"h0": intervals([1000] * 96)})
    assert grid.wallet("h0").accrued == Money.of("48", "CNY")
    day = Period(MARCH, MARCH + timedelta(days=1))
    with grid.store.write() as tx:
        pricing.announce_event(tx, name="critical peak", period=day, now=grid.clock.now())
        pricing.announce_event(tx, name="critical peak", period=day, now=grid.clock.now())
    told(grid)
    assert grid.wallet("h0").accrued == Money.of("156", "CNY")  # 24 of 96 quarter hours at 5
    with grid.store.write() as tx:
        pricing.call_off_event(tx, name="critical peak", start=day.start, now=grid.clock.now())
    told(grid)
    assert grid.wallet("h0").accrued == Money.of("48", "CNY")
    with grid.store.read() as tx:
        assert [fact.kind for fact in recent_facts(tx, limit=9)].count("EventAnnounced") == 2


def test_an_event_announced_in_time_is_priced_as_readings_come(grid: Grid) -> None:
    grid.publish(CRITICAL)
    grid.homes(1, mode="prepay", tariff="critical")
    with grid.store.write() as tx:
        day = Period(MARCH + timedelta(days=1), MARCH + timedelta(days=2))
        pricing.announce_event(tx, name="critical peak", period=day, now=grid.clock.now())
    for number in range(2):
        grid.deliver(str(number), {"h0": intervals([1000] * 96, start=MARCH + timedelta(days=number))})
    assert grid.wallet("h0").accrued == Money.of("204", "CNY")


def test_readings_wait_for_their_price(grid: Grid) -> None:
    grid.publish(DYNAMIC)
    grid.homes(1, mode="prepay", tariff="dynamic")
    grid.homes(1, mode="prepay", tariff="dynamic", first=1)
    hours = [(MARCH + timedelta(hours=n), Decimal("0.10") * n) for n in range(4)]

    def publish(prices: list[tuple[datetime, Decimal]]) -> int:
        with grid.store.write() as tx:
            new = pricing.publish_prices(tx, series="spot", prices=prices, seconds=3600, now=grid.clock.now())
        told(grid)
        return new

    grid.deliver("a", {"h0": intervals([1000] * 8), "h1": intervals([0])})
    assert grid.wallet("h0").accrued == Money.zero("CNY")
    assert publish(hours[:2]) == 2
    assert grid.wallet("h0").accrued == Money.of("0.40", "CNY")  # 4 kWh at 0 and 4 at 0.10
    grid.deliver("b", {"h0": intervals([1000] * 8, start=MARCH + timedelta(hours=2))})
    assert grid.wallet("h0").accrued == Money.of("0.40", "CNY")
    assert publish(hours) == 2
    assert grid.wallet("h0").accrued == Money.of("2.40", "CNY")
    assert publish([(MARCH, Decimal("-0.05"))]) == 1  # revised, and below zero
    assert grid.wallet("h0").accrued == Money.of("2.20", "CNY")
    assert publish(hours[1:]) == 0


def test_prices_that_hold_for_different_times_are_each_their_own(grid: Grid) -> None:
    grid.publish(DYNAMIC)
    grid.homes(1, mode="prepay", tariff="dynamic")
    with grid.store.write() as tx:
        pricing.publish_prices(tx, series="spot", prices=[(MARCH, 1)], seconds=3600, now=grid.clock.now())
        quarter = MARCH + timedelta(hours=1)
        pricing.publish_prices(tx, series="spot", prices=[(quarter, "2.0")], seconds=900, now=grid.clock.now())
    grid.deliver("a", {"h0": intervals([1000] * 5)})
    assert grid.wallet("h0").accrued == Money.of("6", "CNY")
    grid.deliver("b", {"h0": intervals([1000], start=MARCH + timedelta(minutes=75))})  # nothing is published for it
    assert grid.wallet("h0").accrued == Money.of("6", "CNY")


def test_a_fact_told_late_is_charged_from_when_it_holds(grid: Grid) -> None:
    grid.publish(BY_FACT)
    grid.homes(1, mode="prepay", tariff="by-fact")
    grid.homes(1, mode="prepay", tariff="by-fact", first=1)
    grid.deliver("a", {"h0": intervals([1000] * 2)})
    assert grid.wallet("h0").accrued == Money.zero("CNY")  # nobody told the contracted power: it waits
    grid.clock.advance(timedelta(days=2))
    for kw in (6, 6, 9):
        with grid.store.write() as tx:
            registry.tell_fact(
                tx, contract_id="h0", name="contracted_kw", value=kw, valid_from=MARCH, now=grid.clock.now()
            )
        told(grid)
        assert grid.wallet("h0").accrued == Money.of(2 + 10 * kw, "CNY")


def test_a_bill_without_a_price_is_held_and_says_why(grid: Grid) -> None:
    grid.publish(DYNAMIC)
    grid.homes(1, mode="postpay", tariff="dynamic")
    grid.deliver("a", {"h0": whole_days([10])})
    (march, *_) = bills(grid, "h0")
    assert (march.state, march.held_because) == ("held", "missing_prices")
    prices = [(MARCH, Decimal("0.5"))]
    with grid.store.write() as tx:
        pricing.publish_prices(tx, series="spot", prices=prices, seconds=200 * 86_400, now=grid.clock.now())
    (march, *_) = bills(grid, "h0")
    assert (march.state, march.total) == ("posted", Money.of("14.88", "CNY"))


# --- channels --------------------------------------------------------------------------------------------------------

SOLAR = {
    "id": "solar",
    "version": "1",
    "currency": "CNY",
    "zone": ZONE,
    "netting": {"per": "none"},
    "charges": [
        {"name": "energy", "kind": "energy", "price": "0.5"},
        {"name": "heat", "kind": "energy", "channel": "controlled", "price": "0.2"},
        {"name": "feed-in", "kind": "export", "price": "0.1"},
    ],
}


def test_every_channel_that_the_tariff_prices_is_charged_and_no_other(grid: Grid) -> None:
    grid.publish(SOLAR)
    grid.homes(1, mode="prepay", tariff="solar")
    for channel in ("import", "controlled", "export", "reactive"):
        grid.deliver(channel, {"h0": intervals([1000] * 10)}, channel=channel)
    assert grid.wallet("h0").accrued == Money.of("6", "CNY")
    grid.deliver("again", {"h0": intervals([2000])}, channel="export")  # corrected
    assert grid.wallet("h0").accrued == Money.of("5.90", "CNY")


def test_what_is_netted_by_the_interval_may_come_channel_by_channel(grid: Grid) -> None:
    netted = {**SOLAR, "id": "netted", "netting": {"per": "interval"}}
    grid.publish(netted)
    grid.homes(1, mode="prepay", tariff="netted")
    grid.deliver("a", {"h0": intervals([1000, 3000])})
    grid.deliver("b", {"h0": intervals([2000, 1000])}, channel="export")
    assert grid.wallet("h0").accrued == Money.of("0.90", "CNY")  # 2 kWh at 0.50, 1 given back at 0.10
