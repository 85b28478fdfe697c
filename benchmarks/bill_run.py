"""The whole bill run of a month, from files to posted bills: time of use with tiers on quarter-hours, on SQLite.

A town is taken on, its readings come day by day and are folded to Parquet; that is not measured. Then the durable bill
run is started as ``wattledger bill run`` starts it, and every bill is counted, made, written, posted and told. The time
is told by stage; ``rest`` is what lies outside of any: the workflow, cutting the shards, summing the run up.

``--customers N`` (100,000), ``--quick`` (10,000), ``--json`` prints the figures alone. ``--folder PATH`` keeps the town
there for the next time: to make it takes longer than to bill it. The bills are written to a copy of its database.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattledger import control, ledger, readings, registry, worker
from wattledger.kernel import ManualClock
from wattledger.store import Store
from wattledger.tariffs import parse_tariff

ZONE = "Asia/Shanghai"
MONTH = "2026-03"
MARCH = datetime(2026, 2, 28, 16, tzinfo=UTC)
DAYS, SLOTS, SECONDS = 31, 96, 900
TOGETHER = 5_000
DATABASE = "wattledger.db"
TARIFF = {
    "id": "home-tou",
    "version": "1",
    "name": "Home, time of use with tiers",
    "currency": "CNY",
    "zone": ZONE,
    "periods": {"peak": {"times": "08:00-22:00"}, "valley": "otherwise"},
    "charges": [
        {
            "name": "energy",
            "kind": "energy",
            "tiers": {
                "counter": "all_periods",
                "basis": "month",
                "allocation": "chronological",
                "limits": ["230", "400"],
                "proration": "none",
            },
            "price": {"peak": ["0.5683", "0.6183", "0.8683"], "valley": ["0.2883", "0.3383", "0.5883"]},
        },
        {"name": "standing charge", "kind": "fixed", "price": "7.77", "per": "month"},
    ],
}


class NoMeters:
    """Nobody is switched here."""

    def disconnect(self, *, meter_id: str) -> None:
        raise control.MeterUnreachable(meter_id)

    reconnect = disconnect

    def read_relay(self, *, meter_id: str) -> control.RelayState:
        raise control.MeterUnreachable(meter_id)


def loads(points: int) -> NDArray[np.int32]:
    """Watt-hours of (points, slots) of one day: a base load, a daily shape, appliances that come on and go off."""
    random = np.random.default_rng(7)
    hour = np.arange(SLOTS) / 4
    shape = 1 + 0.8 * np.exp(-((hour - 19) ** 2) / 6) + 0.4 * np.exp(-((hour - 8) ** 2) / 3)
    found = np.empty((points, SLOTS), dtype=np.int32)
    for at in range(0, points, TOGETHER):
        part = found[at : at + TOGETHER]
        base = random.uniform(20, 90, (len(part), 1))
        noise = random.gamma(2.0, 0.35, part.shape)
        part[:] = base * shape * noise + (random.random(part.shape) < 0.04) * random.uniform(100, 500, part.shape)
    return found


def town(store: Store, customers: int) -> None:
    """A town of homes, their readings folded to files as they would be when a month's bills are made."""
    points = [f"p{number:07}" for number in range(customers)]
    with store.write() as tx:
        registry.publish_tariff(tx, tariff=parse_tariff(TARIFF, source="benchmark"), valid_from=MARCH)
        registry.take_on(
            tx,
            supplies=[
                registry.Supply(
                    service_point_id=point,
                    premise_id=f"h{point}",
                    premise_kind="home",
                    address=f"{point} street",
                    zone=ZONE,
                    account_id=f"a{point}",
                    account_name=f"Family {point}",
                    language="en",
                    phone=None,
                    # Contracts are not numbered as points are: bills must not depend on it.
                    contract_id=f"c{(number * 7919) % 9_999_991:07}",
                    mode="postpay",
                    tariff_id="home-tou",
                    currency="CNY",
                    valid_from=MARCH,
                )
                for number, point in enumerate(points)
            ],
        )
    wh = loads(customers)
    clock = ManualClock(MARCH)
    for day in range(DAYS):
        clock.move_to(MARCH + timedelta(days=day + 1))
        table = readings.TableIntervals(
            channel=readings.IMPORT,
            service_point_ids=points,
            first=MARCH + timedelta(days=day),
            seconds=SECONDS,
            wh=np.roll(wh, 997 * day, axis=0),
        )
        with store.write() as tx:
            readings.ingest(
                tx, batch=readings.IntervalBatch(id=f"day{day}", source="benchmark", tables=[table]), now=clock.now()
            )
    clock.move_to(MARCH + timedelta(days=DAYS + 5))
    worker.compact(store, clock=clock, settings=worker.CompactionSettings())


def run(store: Store) -> dict[str, Any]:
    """The bill run, measured; the bills and the book are looked at afterwards."""
    clock = ManualClock(MARCH + timedelta(days=DAYS + 5))
    jobs = worker.Jobs(store=store, clock=clock, switch=NoMeters(), name="jobs")
    worker.launch_jobs(store=store)
    cpu, began = time.process_time(), time.perf_counter()
    done = jobs.wait_for_bill_run(run=jobs.start_bill_run(month=MONTH))
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    worker.stop_jobs()
    with store.read() as tx:
        faults = ledger.check_book(tx)
    assert not faults, faults
    assert (done.state, done.posted, done.held) == ("finished", done.contracts, 0), done
    return {
        "customers": done.contracts,
        "intervals": done.contracts * DAYS * SLOTS,
        "cores": len(os.sched_getaffinity(0)),
        "seconds": wall,
        "cpu_seconds": cpu,
        "us_per_customer": wall / done.contracts * 1e6,
        "cpu_us_per_customer": cpu / done.contracts * 1e6,
        "stages": {**jobs.stages.seconds, "rest": wall - sum(jobs.stages.seconds.values())},
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "total": str(done.amounts["CNY"]),
    }


def make_town(folder: Path, customers: int) -> None:
    """As :func:`town`, in a database of its own in ``folder``."""
    store = Store(f"sqlite:///{folder / DATABASE}")
    store.migrate()
    town(store, customers)
    store.close()


def made_town(folder: Path, customers: int) -> Path:
    """The folder of a town of so many homes within ``folder``, made unless it is there already."""
    place = folder / f"town-{customers}"
    if place.exists():
        return place
    began = time.perf_counter()
    coming = folder / f"town-{customers}-{os.getpid()}"  # gets its name when it is whole
    coming.mkdir(parents=True)
    # In a process of its own: the memory that it takes is none of the bill run's.
    making = multiprocessing.get_context("spawn").Process(target=make_town, args=(coming, customers))
    making.start()
    making.join()
    if making.exitcode:
        sys.exit(making.exitcode)
    coming.rename(place)
    print(f"{customers:,} customers made ready in {time.perf_counter() - began:.1f} s", file=sys.stderr)
    return place


def billed(place: Path) -> dict[str, Any]:
    """The figures of a bill run of the town at ``place``, which stays as it is."""
    with tempfile.TemporaryDirectory(prefix="billed-", dir=place.parent) as name:
        copy = Path(name)
        shutil.copyfile(place / DATABASE, copy / DATABASE)
        (copy / "readings").symlink_to(place / "readings")  # a bill run only reads them
        store = Store(f"sqlite:///{copy / DATABASE}")
        figures = run(store)
        store.close()
    return figures


def table(figures: dict[str, Any]) -> str:
    """The figures as a person reads them."""
    seconds, customers = figures["seconds"], figures["customers"]
    lines = [
        f"{customers:,} bills of {figures['intervals']:,} quarter-hours in {seconds:.1f} s on {figures['cores']} cores",
        "",
        f"{'stage':<12}{'seconds':>9}{'share':>8}{'us/bill':>9}",
        *(
            f"{stage:<12}{took:>9.2f}{took / seconds:>8.0%}{took / customers * 1e6:>9.1f}"
            for stage, took in figures["stages"].items()
        ),
        f"{'together':<12}{seconds:>9.2f}{1:>8.0%}{figures['us_per_customer']:>9.1f}",
        f"{'CPU':<12}{figures['cpu_seconds']:>9.2f}{'':>8}{figures['cpu_us_per_customer']:>9.1f}",
        "",
        f"most memory {figures['peak_rss_mb']:.0f} MB; the bills come to {figures['total']}",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    customers = asked.customers or (10_000 if asked.quick else 100_000)
    with tempfile.TemporaryDirectory(prefix="bill-run-") as name:
        figures = billed(made_town((asked.folder or Path(name)).resolve(), customers))
    print(json.dumps(figures, indent=2) if asked.json else table(figures))


if __name__ == "__main__":
    main()
