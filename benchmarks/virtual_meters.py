"""What virtual meters weigh: so many in one process, each with an open encrypted association and a day read from it.

``--meters 5000``; ``--json`` prints the figures.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from wattledger.dlms import (
    Client,
    DateTime,
    Exchange,
    Keys,
    Mechanism,
    Reference,
    Security,
    Selection,
    array,
    obis,
    octets,
    structure,
)
from wattledger.kernel import ManualClock, epoch
from wattledger.virtual_meter import (
    MANAGEMENT,
    Conversation,
    DayLoad,
    Fault,
    LineSettings,
    MeterPlan,
    VirtualMeter,
)

NOW = datetime(2026, 3, 10, 6, 0, tzinfo=UTC)
PROFILE = Reference(7, obis("1-0:99.1.0"), 2)
SETTINGS = LineSettings(chance=lambda size: bytes(range(1, size + 1)))


def carried(exchange: Exchange[Any], talk: Conversation) -> Any:  # noqa: ANN401 - what was read
    asked, waiting = next(exchange), list[bytes]()
    while True:
        if asked is not None:
            waiting += talk.answers(asked, client=MANAGEMENT)
        try:
            asked = exchange.send(waiting.pop(0))
        except StopIteration as done:
            return done.value


def talked(meter: VirtualMeter, keys: Keys) -> Conversation:
    """An association that is left open, with yesterday's rows read."""
    talk = Conversation(meter, SETTINGS)
    security = Security(keys, b"HEADEND1")
    client = Client(
        mechanism=Mechanism.GMAC, security=security, challenge=bytes(range(16)), next_counter=count(1).__next__
    )
    carried(client.associate(), talk)
    edges = (octets(DateTime.at(NOW - timedelta(minutes=back)).encoded) for back in (24 * 60 - 15, 0))
    rows = carried(client.read_one(PROFILE, selection=Selection(1, structure(structure(), *edges, array([])))), talk)
    assert len(rows) == 96
    return talk


def resident() -> int:
    """Bytes that the process holds now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def measured(meters: int) -> dict[str, Any]:
    clock, plan, chance = ManualClock(NOW), MeterPlan(zone="Europe/Vienna"), np.random.default_rng(1)
    loads = [DayLoad(chance.integers(10, 300, 96)) for _ in range(50)]
    before, begun = resident(), time.perf_counter()
    town, talks = [], []
    for number in range(1, meters + 1):
        keys = Keys(number.to_bytes(16), (number + 1).to_bytes(16))
        installed = epoch(NOW - timedelta(days=40))
        meter = VirtualMeter(
            number=number, clock=clock, load=loads[number % 50], plan=plan, installed=installed, keys=keys
        )
        meter.push_to("127.0.0.1:4060", every=900)
        for _ in range(4):
            meter.show_fault(Fault.MAGNET, shown=Fault.MAGNET not in meter.faults)
        town.append(meter)
        talks.append(talked(meter, keys))
    seconds = time.perf_counter() - begun
    return {
        "meters": meters,
        "rss_mb": round(resident() / 1e6),
        "kb_per_meter": round((resident() - before) / meters / 1e3, 1),
        "seconds": round(seconds, 1),
        "rows_per_second": round(96 * meters / seconds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--meters", type=int, default=5_000)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    figures = measured(told.meters)
    if told.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:<16}{value:>10}")
    sys.exit(figures["rss_mb"] > 1_500)


if __name__ == "__main__":
    main()
