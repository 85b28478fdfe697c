"""What the crash tests' victims share: a small town that is the same in every run, and a database that thinks aloud."""

from __future__ import annotations

import sys
from datetime import timedelta

import numpy as np
import sqlalchemy as sa
from grid import APRIL, FLAT, MARCH, Grid

from wattledger import registry
from wattledger.kernel import IntervalSeries, epoch
from wattledger.store import Store, Transaction

HOMES = 12
DAYS = 31
MODES: tuple[registry.PaymentMode, ...] = ("prepay", "postpay")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def thinking_aloud(url: str) -> Store:
    store = Store(url)
    sa.event.listen(store.engine, "begin", lambda _connection: say("begin"))
    sa.event.listen(store.engine, "commit", lambda _connection: say("commit"))
    return store


def raise_grid(store: Store) -> Grid:
    grid = Grid(store)
    store.migrate()
    with store.read() as tx:
        there = _there(tx)
    if not there:
        grid.publish(FLAT)
        grid.homes(HOMES // 2, mode=MODES[0])
    if there <= HOMES // 2:
        grid.homes(HOMES // 2, mode=MODES[1], first=HOMES // 2)
    return grid


def _there(tx: Transaction) -> int:
    return registry.contract_count(tx, at=MARCH)


def use(home: int) -> IntervalSeries:
    """A home's whole month: whole hours of one watt-hour count, so that every loss or doubling shows in the sum."""
    count = int((APRIL - MARCH) / timedelta(minutes=15))
    starts = epoch(MARCH) + 900 * np.arange(count, dtype=np.int64)
    values = np.random.default_rng(home).integers(0, 700, count)
    return IntervalSeries(starts, values, np.ones(count, dtype=np.uint8), 900)


def late_use(home: int, number: int) -> IntervalSeries:
    """What comes late for a home, after its month was billed: some hours that were not what they had seemed."""
    known = use(home)
    some = slice(100 * number, 100 * number + 10 + home)
    return IntervalSeries(known.starts[some], known.values[some] + 500, known.qualities[some], 900)
