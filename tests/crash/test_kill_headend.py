"""``kill -9`` of a head-end in the middle of conversations: no reading lost, every relay and every key known.

The meters live on in this process, and remember what was said to them: real DLMS over TCP, encrypted.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from headend_victim import DAY, METERS, POLICY, REKEYED, SWITCHED, LaterClock, key, tools, yesterday

from wattledger import headend, readings
from wattledger.app._headend import MeterDesk
from wattledger.dlms import Keys
from wattledger.kernel import Period, SystemClock
from wattledger.store import Store
from wattledger.virtual_meter import DayLoad, LineSettings, MeterLine, VirtualMeter

ROUNDS = range(max(1, int(os.environ.get("WATTLEDGER_KILLS", "3")) // 3))
"""Each kills up to three times; ``WATTLEDGER_KILLS=64`` kills that often on each database."""
_FRAUD, _DISCONNECTOR = 1, 2


def meters() -> list[VirtualMeter]:
    return [
        VirtualMeter(
            number=number,
            clock=SystemClock(),
            load=DayLoad(np.random.default_rng(number).integers(0, 300, 96)),
            installed=yesterday()[0] - DAY,
            keys=Keys(key(number, "unicast"), key(number, "auth")),
            master=key(number, "master"),
        )
        for number in METERS
    ]


@contextmanager
def served(fleet: Sequence[VirtualMeter]) -> Iterator[int]:
    """The port of meters that answer from a thread of their own."""
    ready, ports, stops = threading.Event(), list[int](), list[Callable[[], object]]()

    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        stops.append(lambda: loop.call_soon_threadsafe(stop.set))
        line = MeterLine(fleet, settings=LineSettings(chance=secrets.token_bytes))
        async with line.shared(host="127.0.0.1", port=0) as port:
            ports.append(port)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(20)
    try:
        yield ports[0]
    finally:
        stops[0]()
        thread.join()


@pytest.mark.parametrize("seed", ROUNDS)
def test_a_head_end_that_is_killed_keeps_its_word(
    database_url: str, kill_until_done: Callable[..., int], tmp_path: Path, seed: int
) -> None:
    fleet = meters()
    with served(fleet) as port:
        runs = tmp_path / "runs"
        killed = kill_until_done(
            "headend_victim.py", database_url, str(port), str(runs), kills=3, seed=seed, lines_max=90
        )
        assert killed >= 1
        store = Store(database_url)
        clock = LaterClock(len(runs.read_text()) + 1)
        desk = MeterDesk(tools=tools(store, clock, drivers=headend.installed_drivers()), policy=POLICY)
        for meter in fleet:
            relay = desk.ask(headend.AskRequest(id=f"look{meter.number}", meter_id=f"m{meter.number}", what="relay"))
            assert relay.answer is not None, (meter.number, relay.detail)  # it can be reached, under its keys of now
            assert relay.answer["output"] is meter.disconnector.closed is (meter.number not in SWITCHED)
    with store.read() as tx:
        assert headend.gaps(tx, now=clock.now()) == []
        for meter in fleet:
            came = readings.series(tx, service_point_id=f"m{meter.number}", period=Period.of_epochs(*yesterday()))
            edges = np.arange(yesterday()[0] + 900, yesterday()[1] + 1, 900)
            assert came.values.tolist() == np.diff(meter.imported(edges)).tolist()
        for number in SWITCHED:
            command = headend.command(tx, command_id=f"off{number}")
            assert command.state == "confirmed"
            assert command.attempts <= killed + 1  # marked as sent, killed, and seen not to be done
            assert len(fleet[number - 1].logs[_DISCONNECTOR]) == 1  # it took effect once
        for number in REKEYED:
            states = [one.state for one in headend.key_statuses(tx, meter_id=f"m{number}")]
            assert states == ["retired", "active"]
            held = fleet[number - 1].keys
            assert held is not None
            assert held.encryption != key(number, "unicast")
        for meter in fleet:
            # A counter that went back would be in its log as a replay; a key that was tried in vain as well.
            assert _FRAUD not in meter.logs or meter.number in REKEYED
    store.close()
