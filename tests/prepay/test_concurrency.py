"""Readings, recharges and the daily posting at once, from several threads: nothing is lost, doubled or deadlocked."""

import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from grid import MARCH, Grid, intervals

from wattledger import ledger, prepay
from wattledger.kernel import Money, Period

HOMES, BATCHES, RECHARGES = 6, 12, 4


def readings_of(grid: Grid, part: list[str]) -> None:
    for number in range(BATCHES):
        start = MARCH + timedelta(hours=1) + number * timedelta(hours=1)
        grid.deliver(f"{part[0]}-{number}", {home: intervals([1000] * 4, start=start) for home in part})


def recharges_of(grid: Grid, part: list[str]) -> None:
    for number in range(RECHARGES):
        for home in part:
            grid.recharge(home, "10", key=str(number))
            grid.recharge(home, "10", key=str(number))  # an impatient customer


def daily(grid: Grid) -> None:
    for _ in range(3):
        with grid.store.write() as tx:
            prepay.settle_due(tx, now=grid.clock.now())


def at_once(*works: Callable[[], None]) -> list[BaseException]:
    errors: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - shown by the test
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_everything_at_once_adds_up(grid: Grid) -> None:
    grid.publish()
    homes = grid.homes(HOMES, mode="prepay")
    grid.deliver("first", {home: intervals([0]) for home in homes})
    now = MARCH + timedelta(days=1)
    grid.clock.move_to(now)
    errors = at_once(
        partial(readings_of, grid, homes[:3]),
        partial(readings_of, grid, homes[3:]),
        partial(recharges_of, grid, homes),
        partial(recharges_of, grid, homes[::-1]),
        partial(daily, grid),
    )
    assert errors == []

    used = Money.of("24.10", "CNY")  # 48 kWh at 0.50 and the day's standing charge
    for home in homes:
        assert grid.wallet(home).available == Money.of(10 * RECHARGES, "CNY") - used
    with grid.store.read() as tx:
        assert ledger.check_book(tx) == []
        day = Period(now, now + timedelta(days=1))
        assert ledger.total_posted(tx, purpose="recharge", period=day) == {
            "CNY": Money.of(10 * RECHARGES * HOMES, "CNY")
        }
