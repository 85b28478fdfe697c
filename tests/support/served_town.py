"""A small town on a real server, for tests that look at its pages: one home is dark because its wallet is empty."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import numpy as np
from grid import MARCH, ZONE, Grid, slots

from wattledger.app._system import System
from wattledger.cli import ServeOptions
from wattledger.kernel import IntervalSeries, Quality
from wattledger.store import Store
from wattledger.tariffs import load_tariff
from wattledger.worker import UpkeepSettings, launch_jobs, stop_jobs

PREPAID, BILLED = 8, 4
DAYS = 20
IN_THE_DARK = "h0"
LOW = "h1"
TARIFF = Path(__file__).parents[2] / "src/wattledger/demo/tariffs/home-tou.yaml"


@contextmanager
def served_town(folder: Path) -> Iterator[str]:
    """The URL of a town of twelve homes with twenty days of history, at 19:00 of the twenty-first."""
    grid = Grid(Store(f"sqlite:///{folder / 'town.db'}"))
    grid.store.migrate()
    system = System(
        store=grid.store,
        clock=grid.clock,
        data=folder,
        switch=grid.meters,
        zone=ZONE,
        clock_speed=600,
        upkeep=UpkeepSettings(validation=False),
    )
    _raise(grid, system)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch_jobs(store=grid.store)
    system.start_work()
    system.start_api(ServeOptions(host="127.0.0.1", port=port))
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        system.stop()
        stop_jobs()
        grid.store.close()


def _raise(grid: Grid, system: System) -> None:
    tariff = grid.publish(load_tariff(TARIFF).document)
    prepaid = grid.homes(PREPAID, mode="prepay", tariff=tariff.id)
    billed = grid.homes(BILLED, mode="postpay", tariff=tariff.id, first=PREPAID)
    for number, home in enumerate(prepaid):
        grid.deliver(f"opening-{home}", {home: _day(number, day=0).picked(slice(0, 1))})
        grid.recharge(home, {IN_THE_DARK: "20", LOW: "75"}.get(home, "300"), key="opening")
    for day in range(DAYS):
        grid.clock.move_to(MARCH + timedelta(days=day + 1))
        grid.deliver(f"day-{day}", {home: _day(n, day=day) for n, home in enumerate([*prepaid, *billed])})
        system.worker.settle()
    grid.clock.advance(timedelta(hours=19))
    evening = {home: _until_seven(_day(n, day=DAYS)) for n, home in enumerate([*prepaid, *billed])}
    grid.deliver("evening", evening)
    system.worker.settle()


def _day(number: int, *, day: int) -> IntervalSeries:
    """A home's day in quarter-hours: little at night, more in the evening; one value of the last day is estimated."""
    hours = np.arange(96) // 4
    base = np.where(hours < 7, 40, np.where(hours < 17, 70, np.where(hours < 22, 190, 60)))
    values = base + np.random.default_rng((number, day)).integers(0, 60, 96)
    quality = np.full(96, Quality.ACTUAL, dtype=np.uint8)
    if day == DAYS:
        quality[30] = Quality.ESTIMATED
    return IntervalSeries(slots(96, start=MARCH + timedelta(days=day)), values.astype(np.int64), quality, 900)


def _until_seven(day: IntervalSeries) -> IntervalSeries:
    """The day up to 19:00, without one quarter-hour that is missing."""
    return day.picked(np.r_[0:50, 51:76])


if __name__ == "__main__":
    with served_town(Path(sys.argv[1])) as address:
        sys.stdout.write(address + "\n")
        sys.stdout.flush()
        sys.stdin.read()  # until whoever started us lets go
