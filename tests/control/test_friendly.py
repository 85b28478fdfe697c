"""Whom and when a cut-off spares, and supplies that last for a time only; with the worker, on both databases."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from grid import MARCH, Grid, intervals

from wattledger import control, headend, ledger, prepay, registry
from wattledger.kernel import Money, Period
from wattledger.store import recent_facts
from wattledger.worker import Worker

HOUR = timedelta(hours=1)


@pytest.fixture
def home(grid: Grid, worker_of: Callable[[Grid], Worker]) -> tuple[Grid, Worker]:
    grid.publish()
    grid.homes(1, mode="prepay")
    return grid, worker_of(grid)


def supply(grid: Grid) -> control.SupplyState:
    with grid.store.read() as tx:
        return control.supply_of(tx, service_point_id="h0")


def told(grid: Grid) -> list[str]:
    with grid.store.read() as tx:
        return [fact.kind for fact in reversed(recent_facts(tx, limit=100))]


def go(grid: Grid, worker: Worker, hours: int) -> None:
    grid.clock.advance(hours * HOUR)
    worker.settle()


def exhaust(grid: Grid, worker: Worker) -> None:
    grid.deliver("use", {"h0": intervals([1000])})
    worker.settle()


def test_nobody_is_cut_off_at_night_however_late_the_worker_comes(home: tuple[Grid, Worker]) -> None:
    grid, worker = home
    with grid.store.write() as tx:
        for _ in range(2):
            control.publish_hours(tx, text="{from: '08:00', to: '15:00'}", source="t", valid_from=MARCH)
        with pytest.raises(control.HoursConflict):
            control.publish_hours(tx, text="{from: '09:00'}", source="t", valid_from=MARCH)
    exhaust(grid, worker)  # at midnight, local time
    assert supply(grid).cut_off_at == MARCH + 8 * HOUR
    grid.clock.advance(16 * HOUR)  # nobody worked until 16:00
    worker.settle()
    assert (supply(grid).state, supply(grid).cut_off_at) == ("on", MARCH + 32 * HOUR)
    go(grid, worker, 16)
    assert supply(grid).state == "off"


def test_a_hold_for_all_or_for_one_keeps_the_supply_on_until_it_is_over(home: tuple[Grid, Worker]) -> None:
    grid, worker = home
    with grid.store.write() as tx:
        frost = control.hold_cut_offs(tx, reason="frost", since=MARCH, until=MARCH + 9 * HOUR)
        control.hold_cut_offs(tx, reason="payment", since=MARCH + 8 * HOUR, until=MARCH + 10 * HOUR, contract_id="h0")
        control.hold_cut_offs(tx, reason="dispute", since=MARCH, until=MARCH + 90 * HOUR, contract_id="h1")
        with pytest.raises(control.ProtectionRefused):
            control.hold_cut_offs(tx, reason="frost", since=MARCH, until=MARCH)
    exhaust(grid, worker)
    assert supply(grid).cut_off_at == MARCH + 10 * HOUR
    with grid.store.write() as tx:
        control.release_hold(tx, hold_id=frost, now=grid.clock.now())
        control.hold_cut_offs(tx, reason="storm", since=MARCH + 10 * HOUR, until=MARCH + 12 * HOUR)
    go(grid, worker, 10)
    assert (supply(grid).state, supply(grid).cut_off_at) == ("on", MARCH + 12 * HOUR)
    go(grid, worker, 2)
    assert supply(grid).state == "off"


def test_who_is_protected_is_not_cut_off_until_the_protection_is_over(home: tuple[Grid, Worker]) -> None:
    grid, worker = home
    exhaust(grid, worker)
    with grid.store.write() as tx:
        control.protect(tx, contract_id="h0", kind="never", reason="dialysis", until=MARCH + 5 * HOUR)
        with pytest.raises(control.ProtectionRefused):
            control.protect(tx, contract_id="h0", kind="limited", reason="x")
    go(grid, worker, 1)  # announced before it was known
    assert (supply(grid).state, supply(grid).cut_off_at) == ("on", None)
    assert told(grid)[-2:] == ["DisconnectCalledOff", "CutOffWithheld"]
    go(grid, worker, 4)
    assert supply(grid).cut_off_at == MARCH + 6 * HOUR
    go(grid, worker, 1)
    assert supply(grid).state == "off"


def test_a_supply_may_be_limited_instead(home: tuple[Grid, Worker]) -> None:
    grid, worker = home

    def limit() -> int | None:
        with grid.store.read() as tx:
            return control.limited_to(tx, service_point_id="h0")

    with grid.store.write() as tx:
        control.protect(tx, contract_id="h0", kind="limited", watts=500, reason="children")
        link = headend.MeterLink(meter_id="m-h0", driver="paper", address="h0")
        headend.put_meters(tx, links=[link], now=grid.clock.now())
    exhaust(grid, worker)
    go(grid, worker, 2)
    assert (supply(grid).state, limit()) == ("on", 500)
    assert "LoadLimitWanted" in told(grid)
    grid.recharge("h0", "20")
    worker.settle()
    assert limit() is None
    assert "LoadLimitLifted" in told(grid)
    with grid.store.read() as tx:
        commands = headend.commands(tx, meter_id="m-h0")
    assert sorted((one.action, one.watts) for one in commands) == [("set_limit", 500), ("set_limit", 1_000_000)]


def test_emergency_credit_is_used_before_anybody_is_cut_off(home: tuple[Grid, Worker]) -> None:
    grid, worker = home
    with grid.store.write() as tx:
        prepay.publish_policy(tx, text="{currency: CNY, emergency: {amount: 1}}", source="t", valid_from=MARCH)
    exhaust(grid, worker)
    assert supply(grid).cut_off_at is None
    grid.deliver("more", {"h0": intervals([1000], start=MARCH + timedelta(minutes=15))})
    worker.settle()
    assert supply(grid).cut_off_at == MARCH + HOUR


def test_a_temporary_supply_is_on_while_it_lasts_and_is_closed_with_a_refund(home: tuple[Grid, Worker]) -> None:
    grid, worker = home
    fair = Period(MARCH + 10 * HOUR, MARCH + 20 * HOUR)

    def temporary() -> control.Temporary:
        with grid.store.read() as tx:
            found = control.temporary_of(tx, contract_id="h0")
        assert found is not None
        return found

    def plan(deposit: str) -> None:
        with grid.store.write() as tx:
            control.plan_temporary(
                tx, contract_id="h0", period=fair, deposit=Money.of(deposit, "CNY"), now=grid.clock.now()
            )

    plan("100")
    plan("100")
    with pytest.raises(control.TemporaryRefused):
        plan("50")
    worker.settle()
    assert supply(grid).state == "off"
    grid.recharge("h0", "30")
    go(grid, worker, 10)
    assert (supply(grid).state, temporary().state) == ("off", "planned")  # money alone does not begin it
    with grid.store.write() as tx:
        prepay.take_deposit(
            tx, contract_id="h0", amount=Money.of(100, "CNY"), method="bank", key="d", now=grid.clock.now()
        )
    grid.clock.advance(timedelta(minutes=1))
    worker.settle()
    assert (supply(grid).state, temporary().state) == ("on", "on")
    grid.clock.move_to(fair.end)
    worker.settle()
    assert (supply(grid).state, temporary().state) == ("off", "over")
    with grid.store.read() as tx, pytest.raises(registry.ContractNotFound):
        registry.contract(tx, contract_id="h0", at=grid.clock.now())
    grid.deliver("all", {"h0": intervals([500] * 80)})
    grid.clock.advance(timedelta(minutes=1))
    worker.settle()
    assert temporary().state == "closed"
    assert temporary().refund == Money.of("109.90", "CNY")  # 30 and 100 less 40 kWh at 0.50 and a day
    with grid.store.read() as tx:
        assert ledger.check_book(tx) == []
