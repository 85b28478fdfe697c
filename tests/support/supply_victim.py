"""A whole system whose customers use, run out, are cut off, pay and get light again; goes on from where it died."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import numpy as np
from grid import MARCH, Grid
from payments_victim import Numbers
from victim import say, thinking_aloud

from wattledger import control, payments, prepay, readings, registry
from wattledger.app._system import System
from wattledger.control import RelayState
from wattledger.kernel import IntervalSeries, ManualClock, Money, Period, epoch
from wattledger.payments.simulated import Simulated
from wattledger.store import Store, undelivered
from wattledger.worker import stop_jobs

HOMES = ("h0", "h1", "h2")
ROUNDS = 6
ROUND = timedelta(hours=3)
WARNING = timedelta(hours=1)
SLOTS = ROUND // timedelta(minutes=15)


class FileMeters:
    """Disconnectors that outlive whoever switches them: a file is there while its relay is open."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def disconnect(self, *, meter_id: str) -> None:
        (self.folder / f"{meter_id}.off").touch()

    def reconnect(self, *, meter_id: str) -> None:
        (self.folder / f"{meter_id}.off").unlink(missing_ok=True)

    def read_relay(self, *, meter_id: str) -> RelayState:
        on = self.is_on(meter_id)
        return RelayState(output_on=on, control_state="connected" if on else "disconnected")

    def is_on(self, meter_id: str) -> bool:
        return not (self.folder / f"{meter_id}.off").exists()


def used(number: int, home: int) -> IntervalSeries:
    """What a home uses in a round: 3 kWh or more, 1.50 and more of its money."""
    starts = epoch(MARCH) + 900 * np.arange(number * SLOTS, (number + 1) * SLOTS, dtype=np.int64)
    values = np.random.default_rng((number, home)).integers(250, 700, SLOTS)
    return IntervalSeries(starts, values, np.ones(SLOTS, dtype=np.uint8), 900)


def paid(number: int, home: int) -> Money | None:
    """What a home pays in a round, if it does: never for as long as it needs."""
    return Money.of(f"{3 + home}.1{number}", "CNY") if (number + home) % 2 == 0 else None


def at(number: int) -> ManualClock:
    return ManualClock(MARCH + (number + 1) * ROUND)


def main(url: str, folder: str) -> None:
    store, meters = thinking_aloud(url), FileMeters(Path(folder))
    store.migrate()
    grid = Grid(store)
    with store.read() as tx:
        there = registry.contract_count(tx, at=MARCH)
        span = Period(MARCH, MARCH + ROUNDS * ROUND)
        known = readings.series(tx, service_point_id=HOMES[0], period=span) if there else ()
    if not there:
        grid.publish()
        grid.homes(len(HOMES), mode="prepay")
    first = max(len(known) // SLOTS - 1, 0)  # the last one may not have come to its end
    clock = at(first)
    system = System(
        store=store,
        clock=clock,
        data=Path(folder),
        switch=meters,
        policy=control.CutOffPolicy(warning=WARNING),
        poll=timedelta(seconds=0.02),
    )
    system.launch_jobs()
    system.worker.start()
    for number in range(first, ROUNDS):
        clock.move_to(at(number).now())
        settled(system)
        system.deliver(batch=grid.batch(f"round-{number}", {h: used(number, n) for n, h in enumerate(HOMES)}))
        settled(system)
        for home in range(len(HOMES)):
            pay(system, number, home)
        settled(system)
        with_credit_is_on(store, meters, clock)
    clock.move_to(at(ROUNDS).now())
    settled(system)
    system.worker.stop()
    stop_jobs()
    say("done")


def pay(system: System, number: int, home: int) -> None:
    """An order, and its call-back twice; the bank names a payment the same in every run."""
    amount = paid(number, home)
    if amount is None:
        return
    bank = Simulated(key=b"a key of the victims", clock=system.clock, chance=Named(f"{number}-{home}"))
    wanted = payments.NewOrder(contract_id=HOMES[home], provider="simulated", amount=amount, key=f"round {number}")
    with system.store.write() as tx:
        placed = payments.place_order(tx, wanted=wanted, now=system.clock.now())
    bank.create(placed.order)
    payment = bank.pay(placed.id, amount=amount)
    for callback in (bank.call_back(payment), bank.call_back(payment)):
        with suppress(payments.ReplayedCallback):
            payments.take_callback(system.store, provider=bank, callback=callback, now=system.clock.now())
    system.wake()


class Named(Numbers):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def __call__(self) -> str:
        return f"{self.name}-{super().__call__()}"


def settled(system: System) -> None:
    """Wait until nothing is left to be told, sent or confirmed."""
    system.wake()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        now = system.clock.now()
        with system.store.read() as tx:
            counts = control.supply_counts(tx)
            left = undelivered(tx) + len(control.due_commands(tx, now=now)) + counts.disconnecting + counts.reconnecting
        if not left:
            return
        time.sleep(0.01)
    raise TimeoutError(f"{left} things are left to do at {now}")


def with_credit_is_on(store: Store, meters: FileMeters, clock: ManualClock) -> None:
    with store.read() as tx:
        for home in HOMES:
            wallet = prepay.wallet(tx, contract_id=home, now=clock.now())
            if wallet.available.micro > 0 and not meters.is_on(f"m-{home}"):
                raise AssertionError(f"{home} is dark with {wallet.available}")


if __name__ == "__main__":
    main(*sys.argv[1:])
