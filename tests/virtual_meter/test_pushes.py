"""Meters send what is due: rows on schedule, alarms and last gasps when they happen, and they connect in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from wattledger.dlms import (
    AccessResult,
    ActionResult,
    Ciphered,
    Data,
    DataNotification,
    DlmsError,
    ErrorKind,
    Keys,
    Protection,
    SecurityControl,
    WrapperReader,
    enum,
    obis,
    octets,
    read_apdu,
    structure,
    uint8,
)
from wattledger.virtual_meter import Fault, PushLine, device_name, system_title

KEYS = Keys(bytes(range(16)), bytes(range(16, 32)))
SCHEDULED, ALARM, LAST_GASP = "0-0:25.9.0", "0-4:25.9.0", "0-5:25.9.0"
EVERY = 900


@dataclass
class Ear:
    """Listens on a port and keeps the APDUs."""

    where: str = ""
    apdus: list[bytes] = field(default_factory=list)
    ended: list[asyncio.Future[None]] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def heard(self) -> list[bytes]:
        """All that was sent on connections that have been closed."""
        await asyncio.gather(*self.ended)
        return self.apdus


@asynccontextmanager
async def listening() -> AsyncIterator[Ear]:
    ear = Ear()

    async def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        ear.ended.append(done)
        ear.apdus += [packet.apdu for packet in WrapperReader().feed(await reader.read())]
        writer.close()
        ear.news.set()
        done.set_result(None)

    server = await asyncio.start_server(taken, "127.0.0.1", 0)
    ear.where = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield ear


async def until(ear: Ear, count: int) -> list[bytes]:
    """What was heard, once that many notifications are in."""
    async with asyncio.timeout(5):
        while len(ear.apdus) < count:
            await ear.news.wait()
            ear.news.clear()
    return ear.apdus


def body(apdu: bytes) -> Any:  # noqa: ANN401 - any value
    notification, end = read_apdu(apdu)
    assert isinstance(notification, DataNotification)
    assert end == len(apdu)
    return plain(notification.body)


def plain(value: Any) -> Any:  # noqa: ANN401 - any value
    if isinstance(value, Data):
        return plain(value.value)
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value


def run(work: Any) -> Any:  # noqa: ANN401 - any coroutine
    return asyncio.run(work)


def test_rows_are_pushed_when_a_slot_is_over(made: Callable[..., Any]) -> None:
    bench = made(watts=400)

    async def pushed() -> list[list[bytes]]:
        async with listening() as ear:
            line = PushLine([bench.meter])
            bench.meter.push_to(ear.where, every=EVERY)
            assert await line.push_due() == 0
            bench.wait(minutes=15)
            assert await line.push_due() == 1
            assert await line.push_due() == 0
            bench.wait(minutes=31)
            assert await line.push_due() == 1
            return [body(one) for one in await until(ear, 2)]

    first, second = run(pushed())
    assert first[:3] == [obis(SCHEDULED), device_name(bench.meter), obis("1-0:99.1.0")]
    assert [column[1] for column in first[3]] == [
        obis(one) for one in ("0-0:1.0.0", "0-0:96.10.1", "1-0:1.8.0", "1-0:2.8.0")
    ]
    assert [row[2] for row in first[4]] == [100]
    assert [row[2] for row in second[4]] == [200, 300]


@pytest.mark.parametrize("suite", [0, 1])
def test_with_keys_they_are_ciphered(made: Callable[..., Any], suite: int) -> None:
    bench = made(watts=400, keys=KEYS, suite=suite)

    async def pushed() -> list[bytes]:
        async with listening() as ear:
            bench.meter.push_to(ear.where, every=EVERY)
            for _ in range(2):
                bench.wait(minutes=15)
                await PushLine([bench.meter]).push_due()
            return await until(ear, 2)

    protection = Protection(SecurityControl(suite, authenticated=True, encrypted=True), KEYS, b"HEADEND1", lambda: 1)
    counters = []
    for apdu in run(pushed()):
        closed, _ = read_apdu(apdu)
        assert isinstance(closed, Ciphered)
        assert closed.title == system_title(bench.meter)
        assert body(protection.open(closed))[4][0][2] in {100, 200}
        counters.append(protection.heard)
    assert counters == [1, 2]


def test_alarms_and_last_gasps_are_pushed_when_they_happen(made: Callable[..., Any]) -> None:
    bench = made()

    async def pushed() -> list[Any]:
        async with listening() as ear:
            line = PushLine([bench.meter])
            bench.meter.push_to(ear.where, every=EVERY)
            bench.meter.show_fault(Fault.MAGNET)
            bench.meter.show_fault(Fault.COVER_OPENED)
            assert await line.push_due() == 1
            await until(ear, 1)
            bench.wait(minutes=20)
            bench.meter.show_fault(Fault.POWER_DOWN)
            assert await line.push_due() == 1  # the rows have to wait
            await until(ear, 2)
            bench.wait(minutes=20)
            bench.meter.show_fault(Fault.POWER_DOWN, shown=False)
            assert await line.push_due() == 1
            return [body(one) for one in await until(ear, 3)]

    alarm, gasp, rows = run(pushed())
    assert (alarm[0], alarm[2]) == (obis(ALARM), 1 << 14 | 1 << 13)
    assert [code for _, code in alarm[4]] == [42, 44]
    assert (gasp[0], [code for _, code in gasp[3]]) == (obis(LAST_GASP), [1])
    assert (rows[0], len(rows[4])) == (obis(SCHEDULED), 1)


@pytest.mark.parametrize(
    ("fault", "heard"),
    [
        (Fault.DROPPED_PUSH, []),
        (Fault.DUPLICATE_PUSH, [100, 100, 200, 200, 300, 300, 400, 400]),
        (Fault.LATE_PUSH, [200, 100, 400, 300]),
        (Fault.OFFLINE, []),
    ],
)
def test_pushes_get_lost_doubled_and_late(made: Callable[..., Any], fault: Fault, heard: list[int]) -> None:
    bench = made(watts=400)
    bench.meter.show_fault(fault)

    async def pushed() -> list[bytes]:
        async with listening() as ear:
            line = PushLine([bench.meter])
            bench.meter.push_to(ear.where, every=EVERY)
            for number in range(1, 5):
                bench.wait(minutes=15)
                await line.push_due()
                if heard:
                    await until(ear, len(heard) * number // 4 // 2 * 2)
            return await ear.heard()

    assert [body(one)[4][0][2] for one in run(pushed())] == heard


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.CORRUPT, ErrorKind.BAD_TAG),
        (Fault.WRONG_KEY, ErrorKind.BAD_KEY),
        (Fault.WRONG_TITLE, ErrorKind.WRONG_SYSTEM_TITLE),
        (Fault.WRONG_COUNTER, ErrorKind.REPLAY),
    ],
)
def test_pushes_that_nobody_should_believe(made: Callable[..., Any], fault: Fault, kind: ErrorKind) -> None:
    bench = made(keys=KEYS)
    bench.meter.counter = 5

    async def pushed() -> bytes:
        async with listening() as ear:
            bench.meter.push_to(ear.where, every=EVERY)
            bench.meter.show_fault(fault)
            bench.wait(minutes=15)
            await PushLine([bench.meter]).push_due()
            return (await until(ear, 1))[0]

    control = SecurityControl(0, authenticated=True, encrypted=True)
    protection = Protection(control, KEYS, b"HEADEND1", lambda: 1, peer_title=system_title(bench.meter), heard=5)
    closed, _ = read_apdu(run(pushed()))
    assert isinstance(closed, Ciphered)
    with pytest.raises(DlmsError) as refusal:
        protection.open(closed)
    assert refusal.value.kind is kind


def test_what_cannot_be_delivered_is_tried_again_and_then_lost(made: Callable[..., Any]) -> None:
    bench = made(watts=400)

    async def pushed() -> list[bytes]:
        async with listening() as ear:
            line = PushLine([bench.meter])

            def to(where: str) -> None:
                assert bench.write(40, SCHEDULED, 3, structure(enum(0), octets(where.encode()), enum(0))) == 0

            to("a..b:1")
            bench.write(40, SCHEDULED, 6, uint8(1))
            bench.wait(minutes=15)
            assert await line.push_due() == 0
            to(ear.where)
            assert await line.push_due() == 0  # it waits
            bench.wait(minutes=1)
            assert await line.push_due() == 1  # the very rows
            to("127.0.0.1:1")
            for _ in range(2):
                bench.wait(minutes=15)
                assert await line.push_due() == 0
            to(ear.where)
            bench.wait(minutes=2)
            assert await line.push_due() == 0  # the second failure was the last
            bench.wait(minutes=15)
            assert await line.push_due() == 1
            return await until(ear, 2)

    assert [[row[2] for row in body(one)[4]] for one in run(pushed())] == [[100], [400]]


def test_the_setup_is_read_and_written(made: Callable[..., Any]) -> None:
    bench = made()
    to = structure(enum(0), octets(b"127.0.0.1:4060"), enum(0))
    assert bench.write(40, ALARM, 3, to) is AccessResult.SUCCESS
    assert bench.read(40, ALARM, 3) == [0, b"127.0.0.1:4060", 0]
    assert bench.read(40, SCHEDULED, 3) == [0, b"", 0]
    assert [one[:2] for one in bench.read(40, ALARM)][:2] == [[40, obis(ALARM)], [1, obis("0-0:42.0.0")]]
    for service, where in ((1, b"a:1"), (0, b"nowhere"), (0, b"a:99999"), (0, b"a:0")):
        wrong = structure(enum(service), octets(where), enum(0))
        assert bench.write(40, ALARM, 3, wrong) is AccessResult.OTHER_REASON
    assert bench.invoke(40, ALARM, 1) is ActionResult.SUCCESS
    assert [due.setup for due in bench.meter.take_due()] == [obis(ALARM)]
    assert bench.invoke(40, SCHEDULED, 1) is ActionResult.SUCCESS
    assert bench.meter.take_due() == []  # nowhere to send it


def test_meters_spread_their_pushes(made: Callable[..., Any]) -> None:
    bench = made(number=31)
    bench.meter.push_to("127.0.0.1:1", every=EVERY)
    bench.write(40, SCHEDULED, 5, uint8(59))
    bench.wait(minutes=15, seconds=30)
    assert bench.meter.take_due() == []
    bench.wait(seconds=1)
    assert len(bench.meter.take_due()) == 1
