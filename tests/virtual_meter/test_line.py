"""On the line: who is served, connects in, and what every fault looks like from the other end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Any, TypeVar

import pytest

from wattledger.dlms import (
    ActionResult,
    Client,
    DataNotification,
    DlmsError,
    ErrorKind,
    Exchange,
    Keys,
    Mechanism,
    Packet,
    Reference,
    Security,
    WrapperReader,
    array,
    enum,
    obis,
    octets,
    read_apdu,
    structure,
    wrap_key,
)
from wattledger.virtual_meter import (
    MANAGEMENT,
    PUBLIC,
    Fault,
    LineSettings,
    MeterLine,
    PushLine,
    VirtualMeter,
    device_name,
    system_title,
)

T = TypeVar("T")
KEYS = Keys(bytes(range(16)), bytes(range(16, 32)))
MASTER = bytes(range(32, 48))
NAME, REGISTER = Reference(1, obis("0-0:42.0.0"), 2), Reference(3, obis("1-0:1.8.0"), 2)
TITLE = b"HEADEND1"
SETTINGS = LineSettings(chance=lambda size: bytes(range(7, 7 + size)), slow_seconds=0.05)


class Broken(Exception):
    """The other end hung up."""


class Wire:
    """A client's end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, address: int = 1) -> None:
        self.reader, self.writer, self.address = reader, writer, address
        self.packets = WrapperReader()

    async def heard(self) -> bytes:
        while True:
            some = await self.reader.read(4_096)
            if not some:
                raise Broken
            for packet in self.packets.feed(some):
                return packet.apdu

    async def told(self, exchange: Exchange[T], *, client: int = MANAGEMENT) -> T:
        asked = next(exchange)
        try:
            while True:
                if asked is not None:
                    self.writer.write(Packet(client, self.address, asked).encoded)
                asked = exchange.send(await self.heard())
        except StopIteration as done:
            result: T = done.value
            return result


def client(*, keys: Keys = KEYS, title: bytes | None = None, heard: int | None = None, first: int = 1) -> Client:
    return Client(
        mechanism=Mechanism.GMAC,
        security=Security(keys, TITLE),
        challenge=bytes(range(16)),
        next_counter=count(first).__next__,
        meter_title=title,
        heard=heard,
    )


def secured(made: Callable[..., Any]) -> Any:  # noqa: ANN401 - a bench
    return made(watts=400, keys=KEYS, master=MASTER)


async def one_talk(meter: VirtualMeter, who: Client) -> Any:  # noqa: ANN401 - what was read
    """Dial the meter, associate, read twice."""
    line = MeterLine([meter], settings=SETTINGS)
    async with asyncio.timeout(5), line.alone(meter, host="127.0.0.1", port=0) as port:
        wire = Wire(*await asyncio.open_connection("127.0.0.1", port))
        try:
            await wire.told(who.associate())
            return [await wire.told(who.read_one(one)) for one in (NAME, REGISTER)]
        finally:
            wire.writer.close()


def test_a_healthy_meter_answers(made: Callable[..., Any]) -> None:
    bench = secured(made)
    bench.wait(hours=1)
    assert asyncio.run(one_talk(bench.meter, client(title=system_title(bench.meter)))) == [
        device_name(bench.meter),
        400,
    ]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.CORRUPT, ErrorKind.BAD_TAG),
        (Fault.REPLAY, ErrorKind.REPLAY),
        (Fault.WRONG_COUNTER, ErrorKind.REPLAY),
        (Fault.WRONG_KEY, None),
        (Fault.WRONG_TITLE, ErrorKind.WRONG_SYSTEM_TITLE),
        (Fault.REFUSING, ErrorKind.REFUSED),
    ],
)
def test_a_faulty_answer_is_not_taken_for_a_good_one(
    made: Callable[..., Any], fault: Fault, kind: ErrorKind | None
) -> None:
    bench = secured(made)
    bench.meter.show_fault(fault)
    with pytest.raises(DlmsError) as refusal:
        asyncio.run(one_talk(bench.meter, client(title=system_title(bench.meter))))
    assert kind is None or refusal.value.kind is kind


@pytest.mark.parametrize("fault", [Fault.OFFLINE, Fault.POWER_DOWN, Fault.PARTIAL, Fault.REBOOT])
def test_who_hangs_up(made: Callable[..., Any], fault: Fault) -> None:
    bench = secured(made)
    bench.meter.show_fault(fault)
    with pytest.raises((Broken, ConnectionError)):
        asyncio.run(one_talk(bench.meter, client()))


def test_a_reboot_happens_once_and_is_logged(made: Callable[..., Any]) -> None:
    bench = secured(made)
    bench.meter.show_fault(Fault.REBOOT)
    with pytest.raises(Broken):
        asyncio.run(one_talk(bench.meter, client()))
    assert asyncio.run(one_talk(bench.meter, client(first=100)))[0] == device_name(bench.meter)
    assert bench.codes(0) == [15, 2]


def test_a_silent_meter_keeps_the_line_and_says_nothing(made: Callable[..., Any]) -> None:
    bench = secured(made)
    bench.meter.show_fault(Fault.SILENT)

    async def waited() -> None:
        line = MeterLine([bench.meter], settings=SETTINGS)
        async with line.alone(bench.meter, host="127.0.0.1", port=0) as port:
            wire = Wire(*await asyncio.open_connection("127.0.0.1", port))
            wire.writer.write(Packet(PUBLIC, 1, next(Client().associate()) or b"").encoded)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wire.heard(), 0.1)
            bench.meter.show_fault(Fault.SILENT, shown=False)
            await wire.told(Client().associate(), client=PUBLIC)
            wire.writer.close()

    asyncio.run(waited())


def test_a_slow_meter_answers_all_the_same(made: Callable[..., Any]) -> None:
    bench = secured(made)
    bench.meter.show_fault(Fault.SLOW)
    assert asyncio.run(one_talk(bench.meter, client()))[0] == device_name(bench.meter)


def test_power_fails_between_new_keys_and_the_answer(made: Callable[..., Any]) -> None:
    bench = secured(made)
    bench.meter.show_fault(Fault.RESET_IN_KEY_CHANGE)
    new = bytes(range(100, 116))

    async def changed() -> None:
        line, who = MeterLine([bench.meter], settings=SETTINGS), client()
        async with line.alone(bench.meter, host="127.0.0.1", port=0) as port:
            wire = Wire(*await asyncio.open_connection("127.0.0.1", port))
            await wire.told(who.associate())
            parts = array([structure(enum(0), octets(wrap_key(new, master=MASTER)))])
            with pytest.raises(Broken):
                await wire.told(who.invoke(Reference(64, obis("0-0:43.0.0"), 2), parts))
            wire.writer.close()

    asyncio.run(changed())
    with pytest.raises(DlmsError):
        asyncio.run(one_talk(bench.meter, client(first=100)))
    assert asyncio.run(one_talk(bench.meter, client(keys=Keys(new, KEYS.authentication))))[0] == device_name(
        bench.meter
    )


def test_a_replayed_frame_of_a_client_is_refused_and_logged(made: Callable[..., Any]) -> None:
    bench = secured(made)
    asyncio.run(one_talk(bench.meter, client(first=50)))
    with pytest.raises(DlmsError):
        asyncio.run(one_talk(bench.meter, client(first=50)))
    assert bench.read(1, "0-0:43.1.0") >= 50


def test_many_meters_behind_one_port(made: Callable[..., Any]) -> None:
    meters = []
    for number in (3, 4):
        bench = made(watts=400)
        bench.meter.number = number
        meters.append(bench.meter)

    async def names() -> list[bytes]:
        line = MeterLine(meters, settings=SETTINGS)
        async with asyncio.timeout(5), line.shared(host="127.0.0.1", port=0) as port:
            found = []
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for number in (4, 3):
                wire, who = Wire(reader, writer, address=number), Client()
                await wire.told(who.associate())
                found.append(await wire.told(who.read_one(NAME)))
            writer.close()
            return found

    assert asyncio.run(names()) == [device_name(meters[1]), device_name(meters[0])]


def test_a_meter_connects_in_says_who_it_is_and_answers(made: Callable[..., Any]) -> None:
    bench = secured(made)
    bench.wait(hours=1)

    async def dialled() -> tuple[bytes, ActionResult, bool]:
        heard: asyncio.Queue[Wire] = asyncio.Queue()

        async def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.put_nowait(Wire(reader, writer))

        server = await asyncio.start_server(taken, "127.0.0.1", 0)
        line, who = MeterLine([bench.meter], settings=SETTINGS), client()
        async with asyncio.timeout(5), server:
            port = server.sockets[0].getsockname()[1]
            staying = asyncio.create_task(line.keep_dialled(host="127.0.0.1", port=port, pause=0))
            wire = await heard.get()
            hello = await wire.heard()
            await wire.told(who.associate())
            done, _ = await wire.told(who.invoke(Reference(70, obis("0-0:96.3.10"), 1), enum(0)))
            wire.writer.close()
            again = await heard.get()  # hung up upon, it connects in anew
            same = await again.heard() == hello
            again.writer.close()
            staying.cancel()
            await asyncio.gather(staying, return_exceptions=True)
            return hello, done, same

    said, done, same = asyncio.run(dialled())
    notification, _ = read_apdu(said)
    assert isinstance(notification, DataNotification)
    assert list(notification.body) == [system_title(bench.meter), device_name(bench.meter)]
    assert notification.time is None
    assert (done, same) == (ActionResult.SUCCESS, True)
    assert not bench.meter.disconnector.closed


def test_nothing_is_dialled_for_a_push_that_is_not_set_up(made: Callable[..., Any]) -> None:
    bench = secured(made)
    bench.wait(days=1)
    assert asyncio.run(PushLine([bench.meter]).push_due()) == 0
