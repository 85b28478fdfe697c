"""Fleets as ``wattledger meter serve`` makes them, and what a meter weighs."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from datetime import UTC, datetime
from itertools import count
from typing import Any

import numpy as np
import pytest

from wattledger.app._meters import virtual_meters
from wattledger.cli import MeterFleet, MeterSecrets
from wattledger.cli._options import OptionRefused, host_and_port
from wattledger.dlms import Client, Exchange, Keys, Mechanism, Reference, Security, obis
from wattledger.kernel import ManualClock
from wattledger.virtual_meter import (
    MANAGEMENT,
    SCHEDULED,
    Conversation,
    DayLoad,
    Fault,
    LineSettings,
    MeterPlan,
    VirtualMeter,
)

NOW = datetime(2026, 3, 10, 6, 0, tzinfo=UTC)
KEYS = Keys(bytes(range(16)), bytes(range(16, 32)))


def fleet(**told: Any) -> MeterFleet:  # noqa: ANN401 - what differs
    usual: dict[str, Any] = {
        "count": 200,
        "host": "127.0.0.1",
        "port": 0,
        "own_ports": False,
        "seed": 1,
        "zone": "Europe/Vienna",
        "load": None,
        "days": 3,
        "drift_ppm": 20,
        "mode": 6,
        "suite": 0,
        "pdu_max": 1_024,
        "secrets": MeterSecrets(),
        "faults": {},
    }
    return MeterFleet(**{**usual, **told})


def test_faults_have_their_shares_and_no_meter_has_two() -> None:
    told = fleet(faults={Fault.OFFLINE: 30, Fault.SLOW: 30, Fault.SILENT: 10})
    meters = virtual_meters(told, clock=ManualClock(NOW))
    assert Counter(fault for meter in meters for fault in meter.faults) == {
        Fault.OFFLINE: 6,
        Fault.SLOW: 6,
        Fault.SILENT: 2,
    }
    assert max(len(meter.faults) for meter in meters) == 1


def test_the_same_seed_gives_the_same_meters() -> None:
    first, second, other = (virtual_meters(fleet(seed=seed), clock=ManualClock(NOW)) for seed in (1, 1, 2))
    at = np.array([int(NOW.timestamp())], dtype=np.int64)
    registers = [[int(meter.imported(at)[0]) for meter in meters] for meters in (first, second, other)]
    assert registers[0] == registers[1] != registers[2]
    assert all(meter.counter == int(NOW.timestamp()) for meter in first)
    assert len({meter.time.shown(10**9 * 2) for meter in first}) > 10


def test_prepaid_meters_push_and_have_credit() -> None:
    told = fleet(vending_key=bytes(range(20)), credit_kwh=10, push="127.0.0.1:4060", push_every=900)
    meters = virtual_meters(told, clock=ManualClock(NOW))
    assert {meter.credit_left() for meter in meters} == {10_000}
    assert len({meter.serial for meter in meters}) == 200
    assert meters[0].serial.startswith("60072700")
    assert meters[0].outbox.setups[SCHEDULED].destination == "127.0.0.1:4060"


@pytest.mark.parametrize("told", ["here", ":4060", "here:", "here:0", "here:70000", "here:x"])
def test_ahost_and_port_that_are_none(told: str) -> None:
    with pytest.raises(OptionRefused, match="names no host and port"):
        host_and_port(told, "--dial")
    assert host_and_port("[::1]:4060", "--dial") == ("::1", 4_060)


def carried(exchange: Exchange[Any], talk: Conversation) -> None:
    asked = next(exchange)
    while True:
        (answer,) = talk.answers(asked or b"", client=MANAGEMENT)
        try:
            asked = exchange.send(answer)
        except StopIteration:
            return


def test_five_thousand_fit_into_a_process_many_times_over() -> None:
    # The bound is 1.5 GB for 5,000; benchmarks/virtual_meters.py measures all of them.
    clock, plan, load = ManualClock(NOW), MeterPlan(), DayLoad(np.full(96, 25, dtype=np.int64))
    settings = LineSettings(chance=lambda size: bytes(range(1, size + 1)))
    kept = []

    def more(number: int) -> None:
        meter = VirtualMeter(number=number, clock=clock, load=load, plan=plan, keys=KEYS)
        meter.push_to("127.0.0.1:4060", every=900)
        talk = Conversation(meter, settings)
        security = Security(KEYS, b"HEADEND1")
        client = Client(
            mechanism=Mechanism.GMAC, security=security, challenge=bytes(range(16)), next_counter=count(1).__next__
        )
        carried(client.associate(), talk)
        carried(client.read_one(Reference(3, obis("1-0:1.8.0"), 2)), talk)
        kept.append(talk)

    more(1)
    tracemalloc.start()
    try:
        for number in range(2, 42):
            more(number)
        weight, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert weight / 40 < 1.5e9 / 5_000 / 10
