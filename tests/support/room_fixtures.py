"""Fixtures that several rooms' tests share; loaded by tests/conftest.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from grid import ZONE, Grid

from wattledger import control, notices
from wattledger.kernel import new_id
from wattledger.store import Store
from wattledger.worker import Jobs, Worker, launch_jobs, stop_jobs


@pytest.fixture
def grid(store: Store) -> Grid:
    return Grid(store)


@pytest.fixture
def worker_of() -> Callable[[Grid], Worker]:
    def build(grid: Grid) -> Worker:
        return Worker(
            store=grid.store,
            clock=grid.clock,
            jobs=Jobs(store=grid.store, clock=grid.clock, switch=grid.meters, name=new_id("jobs")),
            channels=(notices.LogChannel(),),
            policy=control.CutOffPolicy(),
        )

    return build


@pytest.fixture
def jobs_of() -> Iterator[Callable[[Grid], Jobs]]:
    launched = False

    def build(grid: Grid) -> Jobs:
        nonlocal launched
        jobs = Jobs(store=grid.store, clock=grid.clock, switch=grid.meters, name=new_id("jobs"))
        launch_jobs(store=grid.store)
        launched = True
        return jobs

    yield build
    if launched:
        stop_jobs()


@pytest.fixture
def tou_tariff() -> dict[str, Any]:
    return {
        "id": "tou-tiers",
        "version": "1",
        "name": "Time of use with tiers",
        "currency": "CNY",
        "zone": ZONE,
        "seasons": {"cool": "10-01 to 03-30", "warm": "03-31 to 09-30"},
        "periods": {"peak": {"times": "08:00-22:00"}, "valley": "otherwise"},
        "charges": [
            {
                "name": "energy",
                "kind": "energy",
                "tiers": {
                    "counter": "all_periods",
                    "basis": "month",
                    "allocation": "chronological",
                    "limits": ["50.5", "200"],
                    "proration": "none",
                },
                "price": {
                    "cool": {"peak": ["0.5683", "0.6183", "0.8683"], "valley": ["0.2883", "0.3383", "0.5883"]},
                    "warm": {"peak": ["0.7", "0.8", "0.9"], "valley": ["0.3", "0.4", "0.5"]},
                },
            },
            {"name": "standing charge", "kind": "fixed", "price": "7.77", "per": "month"},
        ],
    }
