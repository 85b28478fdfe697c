"""Meters on a line: TCP servers for thousands of them in one process, faults of the line included.

On the shared port a meter is reached by its number as destination address of the wrapper, as behind a concentrator. On
a port of its own it is logical device 1, in the wrapper or, where the first byte is a flag, in HDLC.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from wattledger.dlms import (
    Address,
    ClientAccess,
    DlmsError,
    Frame,
    FrameReader,
    HdlcLink,
    Keys,
    LinkParameters,
    Mechanism,
    Packet,
    Server,
    WrapperReader,
)
from wattledger.virtual_meter._access import next_counter, spoken_keys, spoken_title
from wattledger.virtual_meter._faults import Fault
from wattledger.virtual_meter._measures import MANAGEMENT, PUBLIC, READER
from wattledger.virtual_meter._meter import VirtualMeter
from wattledger.virtual_meter._objects import MeterObjects
from wattledger.virtual_meter._pushing import hello

Chance = Callable[[int], bytes]

OWN_ADDRESS = 1
_CHUNK = 8_192
_CHALLENGE_BYTES = 16
_FLAG = 0x7E
_SLOW_SECONDS = 3
_CIPHERED = frozenset({0xC8, 0xC9, 0xCB, 0xCC, 0xCD, 0xCF, 0xD0, 0xD1, 0xD3, 0xD4, 0xD5, 0xD7, 0xDB, 0xDC, 0xDD})
_DECIPHERING_FAILED, _COUNTER_WRONG = 5, 6
_EXCEPTION = 0xD8
_ASSOCIATE = b"\x60"
_AWAY = {Fault.OFFLINE, Fault.POWER_DOWN}
_DUMB = {*_AWAY, Fault.SILENT}
_DIALLED_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class LineSettings:
    """How meters speak: the longest APDU they take, how slow a slow one is, and where their random bytes come from."""

    chance: Chance
    pdu_max: int = 1_024
    slow_seconds: float = _SLOW_SECONDS


class _Gone(Exception):
    """The meter lets go of the line."""


class Conversation:
    """One meter's side of one connection: APDUs in, APDUs out, with what is wrong with the meter."""

    def __init__(self, meter: VirtualMeter, settings: LineSettings) -> None:
        self.meter = meter
        self._settings = settings
        self._objects = MeterObjects(meter)
        self._servers: dict[int, Server] = {}
        self._keys: dict[int, Keys | None] = {}
        self._said: list[bytes] = []

    def answers(self, apdu: bytes, *, client: int) -> list[bytes]:
        """What the meter answers. Raises ``_Gone`` where it breaks off."""
        meter = self.meter
        server = self._servers.get(client)
        if server is None or apdu[:1] == _ASSOCIATE:  # a new association has the keys of now
            server = self._servers[client] = self._server(client)
            self._keys[client] = meter.keys
        keys = meter.keys
        if Fault.REBOOT in meter.faults:
            meter.faults.discard(Fault.REBOOT)
            meter.reboot()
            raise _Gone
        answers = server.receive(apdu)
        self._remember(client, server)
        self._log_attacks(answers)
        if Fault.RESET_IN_KEY_CHANGE in meter.faults and meter.keys is not keys:
            meter.faults.discard(Fault.RESET_IN_KEY_CHANGE)
            raise _Gone
        return [self._faulty(answer) for answer in answers]

    def _remember(self, client: int, server: Server) -> None:
        heard = server.protection.heard if server.protection else None
        if heard is not None and self._keys.get(client) is self.meter.keys:  # under other keys counters mean nothing
            self.meter.heard[client] = max(heard, self.meter.heard.get(client, -1))

    def _log_attacks(self, answers: list[bytes]) -> None:
        for answer in answers:
            if answer[0] == _EXCEPTION and answer[2] in {_DECIPHERING_FAILED, _COUNTER_WRONG}:
                self.meter.not_authentic(replayed=answer[2] == _COUNTER_WRONG)

    def _faulty(self, answer: bytes) -> bytes:
        faults = self.meter.faults
        if answer[0] not in _CIPHERED:
            return answer
        if Fault.CORRUPT in faults:
            return answer[:-1] + bytes((answer[-1] ^ 1,))
        if Fault.REPLAY in faults and self._said:
            return self._said[0]
        self._said = [answer]
        return answer

    def _server(self, client: int) -> Server:
        meter = self.meter
        heard = meter.heard.get(client)
        if client == MANAGEMENT and meter.keys is not None:
            access = ClientAccess(
                Mechanism.GMAC,
                keys=spoken_keys(meter),
                suite=meter.suite,
                authenticated=True,
                encrypted=True,
                heard=heard,
            )
        elif client == READER and meter.password is not None:
            access = ClientAccess(Mechanism.LOW, password=meter.password)
        elif client == PUBLIC or (meter.keys is None and meter.password is None):
            access = ClientAccess()
        else:
            access = ClientAccess(Mechanism.GMAC)  # nobody has keys for this one
        return Server(
            self._objects,
            client=client,
            access=access,
            title=spoken_title(meter),
            challenge=lambda: self._settings.chance(_CHALLENGE_BYTES),
            next_counter=lambda: next_counter(meter),
            pdu_max=self._settings.pdu_max,
        )


class MeterLine:
    """Serves meters. ``meters``: by number, as the wrapper's address on the shared port."""

    def __init__(self, meters: Iterable[VirtualMeter], *, settings: LineSettings) -> None:
        self.meters: Mapping[int, VirtualMeter] = {meter.number: meter for meter in meters}
        self._settings = settings
        self._talking: set[asyncio.Task[None]] = set()
        self._dialling = asyncio.Semaphore(_DIALLED_AT_ONCE)

    @asynccontextmanager
    async def shared(self, *, host: str, port: int) -> AsyncIterator[int]:
        """All meters behind one port; gives that port (0 asks for a free one)."""
        async with self._listening(None, host, port) as bound:
            yield bound

    @asynccontextmanager
    async def alone(self, meter: VirtualMeter, *, host: str, port: int) -> AsyncIterator[int]:
        """One meter behind a port of its own."""
        async with self._listening(meter, host, port) as bound:
            yield bound

    async def dial(self, meter: VirtualMeter, *, host: str, port: int) -> None:
        """Connect in to a head-end, say who is there, and answer on that connection until it ends.

        Raises ``OSError`` where nobody listens.
        """
        async with self._dialling:
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(Packet(OWN_ADDRESS, MANAGEMENT, hello(meter)).encoded)
        try:
            with suppress(ConnectionError, DlmsError, _Gone):
                await writer.drain()
                await self._wrapped(meter, await reader.read(_CHUNK), reader, writer)
        finally:
            writer.close()

    async def keep_dialled(self, *, host: str, port: int, pause: float = 10) -> None:
        """All meters connect in, and again ``pause`` seconds after a connection ended or failed, until cancelled."""

        async def stay(meter: VirtualMeter) -> None:
            while True:
                if not meter.faults & _AWAY:
                    with suppress(OSError):
                        await self.dial(meter, host=host, port=port)
                await asyncio.sleep(pause)

        async with asyncio.TaskGroup() as staying:
            for meter in self.meters.values():
                staying.create_task(stay(meter))

    @asynccontextmanager
    async def _listening(self, meter: VirtualMeter | None, host: str, port: int) -> AsyncIterator[int]:
        async def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            if task is not None:
                self._talking.add(task)
                task.add_done_callback(self._talking.discard)
            with suppress(ConnectionError, DlmsError, _Gone, asyncio.CancelledError):
                await self._talk(meter, reader, writer)
            writer.close()

        server = await asyncio.start_server(taken, host, port, backlog=4_096)
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            server.close()
            for task in list(self._talking):
                task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*self._talking, return_exceptions=True)

    async def _talk(
        self, meter: VirtualMeter | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if meter is not None and meter.faults & _AWAY:
            return
        first = await reader.read(_CHUNK)
        if first[:1] == bytes((_FLAG,)) and meter is not None:
            await self._hdlc(meter, first, reader, writer)
        elif first:
            await self._wrapped(meter, first, reader, writer)

    async def _wrapped(
        self, meter: VirtualMeter | None, some: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        packets = WrapperReader()
        talks: dict[int, Conversation] = {}
        while some:
            for packet in packets.feed(some):
                talk = talks.get(packet.destination)
                if talk is None:
                    asked = self.meters.get(packet.destination) if meter is None else meter
                    if asked is None or (meter is not None and packet.destination != OWN_ADDRESS):
                        continue  # nobody has this address
                    talk = talks[packet.destination] = Conversation(asked, self._settings)
                await self._answer(talk, packet, writer)
            some = await reader.read(_CHUNK)

    async def _answer(self, talk: Conversation, packet: Packet, writer: asyncio.StreamWriter) -> None:
        faults = talk.meter.faults
        if faults & _DUMB:
            return
        if Fault.SLOW in faults:
            await asyncio.sleep(self._settings.slow_seconds)
        for apdu in talk.answers(packet.apdu, client=packet.source):
            encoded = Packet(packet.destination, packet.source, apdu).encoded
            if Fault.PARTIAL in faults and apdu[0] in _CIPHERED:
                writer.write(encoded[: len(encoded) // 2])
                await writer.drain()
                raise _Gone
            writer.write(encoded)
        await writer.drain()

    async def _hdlc(
        self, meter: VirtualMeter, some: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        talk = Conversation(meter, self._settings)
        link, seen = None, FrameReader()
        while some:
            if link is None:
                link = _link_for(seen.feed(some))
            out = bytearray(link.feed(some)) if link is not None else bytearray()
            cut = False
            while link is not None and link.received:
                asked = link.received.pop(0)
                if meter.faults & _DUMB:
                    continue
                if Fault.SLOW in meter.faults:
                    await asyncio.sleep(self._settings.slow_seconds)
                for apdu in talk.answers(asked, client=Address.decode(link.peer).upper):
                    out += link.send(apdu)
                    cut = cut or (Fault.PARTIAL in meter.faults and apdu[0] in _CIPHERED)
            writer.write(bytes(out[: len(out) // 2] if cut else out))
            await writer.drain()
            if cut:
                raise _Gone
            some = await reader.read(_CHUNK)


def _link_for(frames: Iterable[Frame]) -> HdlcLink | None:
    """A link with the address that the first frame was sent to, whichever physical one it names."""
    for frame in frames:
        address = Address.decode(frame.destination)
        if address.upper == OWN_ADDRESS:
            own = Address(address.upper, address.lower, len(frame.destination))
            other = Address(Address.decode(frame.source).upper, None, len(frame.source))
            return HdlcLink(role="server", own=own, other=other, parameters=LinkParameters(1_024, 1_024, 1, 1))
    return None
