from collections.abc import Callable
from datetime import timedelta

import pytest
from grid import MARCH, Grid, intervals

from wattledger import control, notices
from wattledger.store import recent_facts
from wattledger.worker import Worker

WARNING = timedelta(hours=1)


@pytest.fixture
def home(grid: Grid, worker_of: Callable[[Grid], Worker]) -> tuple[Grid, Worker]:
    grid.publish()
    grid.homes(1, mode="prepay")
    return grid, worker_of(grid)


def supply(grid: Grid) -> control.SupplyState:
    with grid.store.read() as tx:
        return control.supply_of(tx, service_point_id="h0")


def story(grid: Grid) -> list[str]:
    with grid.store.read() as tx:
        return [fact.kind for fact in reversed(recent_facts(tx, limit=100))]


def told(grid: Grid) -> list[str]:
    with grid.store.read() as tx:
        return [notice.kind for notice in reversed(notices.notices_of(tx, contract_id="h0", limit=50))]


def exhaust(grid: Grid, worker: Worker) -> None:
    grid.deliver("use", {"h0": intervals([1000])})
    worker.settle()


def test_warn_then_cut_off_then_restore(home: tuple[Grid, Worker]) -> None:
    grid, worker = home
    exhaust(grid, worker)
    assert supply(grid).state == "on"
    assert supply(grid).cut_off_at == MARCH + WARNING
    assert told(grid) == ["cut_off_warning"]

    grid.clock.advance(WARNING)
    worker.settle()
    assert supply(grid).state == "off"
    assert supply(grid).reason == "balance_exhausted"
    assert grid.meters.open == {"m-h0"}
    assert ("m-h0", "read") in grid.meters.asked
    assert told(grid)[-1] == "disconnected"

    grid.clock.advance(timedelta(minutes=5))
    done = grid.recharge("h0", "5")
    worker.settle()
    assert supply(grid).state == "on"
    assert grid.meters.open == set()
    assert set(told(grid)[-2:]) == {"recharge_receipt", "reconnected"}
    with grid.store.read() as tx:
        (command,) = control.commands_caused_by(tx, cause=done.id)
    assert (command.state, command.action) == ("confirmed", "reconnect")


def test_money_before_the_time_calls_the_cut_off_off(home: tuple[Grid, Worker]) -> None:
    grid, worker = home
    exhaust(grid, worker)
    grid.recharge("h0", "5")
    worker.settle()
    grid.clock.advance(2 * WARNING)
    worker.settle()
    assert supply(grid).state == "on"
    assert grid.meters.asked == []
    assert "DisconnectCalledOff" in story(grid)


def test_a_recharge_that_does_not_cover_the_debt_leaves_the_supply_off(home: tuple[Grid, Worker]) -> None:
    grid, worker = home
    exhaust(grid, worker)
    grid.clock.advance(WARNING)
    worker.settle()
    grid.recharge("h0", "0.60")  # exactly what is owed: nothing is available
    worker.settle()
    assert supply(grid).state == "off"
    grid.recharge("h0", "0.01", key="more")
    worker.settle()
    assert supply(grid).state == "on"


def test_a_silent_meter_is_asked_again_until_it_is_known_to_be_off(home: tuple[Grid, Worker]) -> None:
    grid, worker = home
    exhaust(grid, worker)
    grid.meters.silent.add("m-h0")
    grid.clock.advance(WARNING)
    worker.settle()
    assert supply(grid).state == "disconnecting"
    assert "SwitchFailed" in story(grid)
    grid.meters.silent.clear()
    worker.settle()
    assert supply(grid).state == "disconnecting"  # patience first
    grid.clock.advance(timedelta(minutes=5))
    worker.settle()
    assert supply(grid).state == "off"


def test_a_relay_that_says_ready_is_not_on(home: tuple[Grid, Worker]) -> None:
    grid, worker = home
    exhaust(grid, worker)
    grid.clock.advance(WARNING)
    worker.settle()
    grid.meters.stuck.add("m-h0")
    grid.recharge("h0", "5")
    worker.settle()
    assert supply(grid).state == "reconnecting"
    grid.meters.stuck.clear()
    grid.clock.advance(timedelta(minutes=5))
    worker.settle()
    assert supply(grid).state == "on"


def test_money_that_comes_while_a_silent_meter_is_being_cut_off_ends_with_the_light_on(
    home: tuple[Grid, Worker],
) -> None:
    grid, worker = home
    exhaust(grid, worker)
    grid.meters.silent.add("m-h0")
    grid.clock.advance(WARNING)
    worker.settle()
    grid.meters.open.add("m-h0")  # the command arrived, the answer did not
    grid.meters.silent.clear()
    grid.recharge("h0", "5")
    grid.clock.advance(timedelta(minutes=5))
    worker.settle()
    assert supply(grid).state == "on"
    assert grid.meters.open == set()


def test_nobody_is_told_the_same_twice_in_an_hour(grid: Grid) -> None:
    grid.publish()
    grid.homes(1, mode="prepay")

    def tell(about: str) -> bool:
        with grid.store.write() as tx:
            return notices.notify(
                tx, contract_id="h0", kind="reconnected", values={}, about=about, now=grid.clock.now()
            )

    assert tell("a")
    assert not tell("a")
    assert not tell("b")
    grid.clock.advance(timedelta(hours=1))
    assert not tell("a")
    assert tell("c")
