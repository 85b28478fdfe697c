"""Collection at scale: one process of virtual meters, one head-end that reads yesterday's 96 rows from each, encrypted.

Of the meters 3 % are offline, 3 % slow, 1 % half open (connected, silent) and 1 % answer with a bit wrong. Then they
recover, and the gap ledger has to become empty. Every conversation is an HLS-GMAC association with authenticated
encryption; keys, counters, gaps and deliveries are kept in SQLite. ``--meters 5000``; ``--json`` prints the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from wattledger.dlms import Keys
from wattledger.headend import (
    CollectionPolicy,
    LocalMasterKey,
    ProfilePlan,
    RetryPolicy,
    Tools,
    Vault,
    VisitLimits,
    collect,
    expect,
    gaps,
    hurry,
    put_keys,
    put_meters,
)
from wattledger.headend.dlms import DlmsDriver
from wattledger.headend.ports import Delivery, KeySet, MeterLink, Register, Secret
from wattledger.kernel import SystemClock, epoch
from wattledger.store import Store, Transaction
from wattledger.virtual_meter import DayLoad, Fault, LineSettings, MeterLine, MeterPlan, VirtualMeter

DAY = 86_400
SHARES = ((Fault.OFFLINE, 30), (Fault.SLOW, 30), (Fault.SILENT, 10), (Fault.CORRUPT, 10))
"""Thousandths of the meters."""
SLOW_SECONDS = 2
PATIENT = RetryPolicy(first=timedelta(hours=1), longest=timedelta(hours=1))
"""Nobody who failed is asked again while the round lasts."""
LIMITS = VisitLimits(opening=10, operation=20, whole=60)


def key(number: int, what: str) -> bytes:
    return hashlib.sha256(f"{number} {what}".encode()).digest()[:16]


def fault_of(number: int) -> Fault | None:
    at = number % 1_000
    for fault, share in SHARES:
        if at < share:
            return fault
        at -= share
    return None


def midnight() -> int:
    return epoch(datetime.now(UTC)) // DAY * DAY


async def serve(count: int) -> None:
    """The meters' process: prints its port, and heals everybody at a line of input."""
    plan = MeterPlan()
    loads = [DayLoad(np.random.default_rng(seed).integers(10, 300, 96)) for seed in range(50)]
    meters = [
        VirtualMeter(
            number=number,
            clock=SystemClock(),
            load=loads[number % len(loads)],
            plan=plan,
            installed=midnight() - 2 * DAY,
            keys=Keys(key(number, "unicast"), key(number, "authentication")),
        )
        for number in range(1, count + 1)
    ]
    for meter in meters:
        fault = fault_of(meter.number)
        if fault is not None:
            meter.show_fault(fault)
    line = MeterLine(meters, settings=LineSettings(chance=secrets.token_bytes, slow_seconds=SLOW_SECONDS))
    async with line.shared(host="127.0.0.1", port=0) as port:
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        for meter in meters:
            for fault in list(meter.faults):
                meter.show_fault(fault, shown=False)
        sys.stdout.write("healed\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)


class Counting:
    """A sink that counts what it is given, by meter."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.doubled = 0

    def take(self, _tx: Transaction, /, *, deliveries: Sequence[Delivery], now: datetime) -> None:  # noqa: ARG002
        for delivery in deliveries:
            self.doubled += delivery.meter_id in self.rows
            self.rows[delivery.meter_id] = self.rows.get(delivery.meter_id, 0) + len(delivery.rows)

    def take_registers(
        self, tx: Transaction, /, *, registers: Sequence[tuple[str, Sequence[Register]]], now: datetime
    ) -> None:
        pass


def linked(store: Store, vault: Vault, *, count: int, port: int) -> None:
    now = datetime.now(UTC)
    start = datetime.fromtimestamp(midnight() - DAY, UTC)
    with store.write() as tx:
        links = [
            MeterLink(
                meter_id=f"m{number}",
                driver="dlms",
                address=f"127.0.0.1:{port}",
                options={"server": str(number)},
            )
            for number in range(1, count + 1)
        ]
        put_meters(tx, links=links, now=now)
        for number in range(1, count + 1):
            unicast, authentication = Secret(key(number, "unicast")), Secret(key(number, "authentication"))
            put_keys(
                tx,
                meter_id=f"m{number}",
                keys=KeySet(unicast=unicast, authentication=authentication),
                vault=vault,
                now=now,
            )
        plans = [
            ProfilePlan(
                meter_id=link.meter_id,
                profile="1-0:99.1.0",
                seconds=900,
                start=start,
                every=timedelta(days=1),
            )
            for link in links
        ]
        expect(tx, plans=plans, now=now)


def yesterdays_gaps(store: Store) -> int:
    with store.read() as tx:
        found = gaps(tx, now=datetime.fromtimestamp(midnight() + 300, UTC))
    return len({gap.meter_id for gap in found})


def measured(count: int, sessions: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--serve", str(count)]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as meters,  # noqa: S603 - ourselves
    ):
        assert meters.stdin is not None
        assert meters.stdout is not None
        port = int(meters.stdout.readline())
        store = Store(f"sqlite:///{Path(folder) / 'headend.db'}")
        store.migrate()
        vault = Vault(LocalMasterKey(secrets.token_bytes(32), random=secrets.token_bytes), random=secrets.token_bytes)
        linked(store, vault, count=count, port=port)
        sink = Counting()
        tools = Tools(
            store=store,
            drivers={"dlms": DlmsDriver()},
            sink=sink,
            vault=vault,
            clock=SystemClock(),
            jitter=lambda _: 0,
        )
        policy = CollectionPolicy(sessions=sessions, per_concentrator=count, retry=PATIENT, limits=LIMITS)
        began = time.perf_counter()
        first = asyncio.run(collect(tools=tools, policy=policy))
        took = time.perf_counter() - began
        missing = yesterdays_gaps(store)
        meters.stdin.write("\n")
        meters.stdin.flush()
        meters.stdout.readline()
        with store.write() as tx:  # once more at once, without the patience that the failures have earned
            late = sorted({gap.meter_id for gap in gaps(tx, now=datetime.now(UTC))})
            hurry(tx, meter_ids=late, now=datetime.now(UTC))
        asyncio.run(collect(tools=tools, policy=policy))
        left = yesterdays_gaps(store)
        meters.stdin.write("\n")
        meters.stdin.flush()
        store.close()
        reached = count - missing
        return {
            "meters": count,
            "seconds": round(took, 2),
            "reached": reached,
            "failed": dict(first.failed),
            "meters_per_second": round(reached / took, 1),
            "rows_per_second": round(first.rows / took),
            "gaps_after_recovery": left,
            "meters_with_96_rows_or_more": sum(rows >= 96 for rows in sink.rows.values()),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--meters", type=int, default=5_000)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--serve", type=int)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    if told.serve:
        asyncio.run(serve(told.serve))
        return
    figures = measured(told.meters, told.sessions)
    if told.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name.replace('_', ' '):32} {value}")


if __name__ == "__main__":
    main()
