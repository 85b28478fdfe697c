"""The line to a DLMS meter: how its link reads, how APDUs travel, how an operation is carried to its end."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, TypeVar

from wattledger.dlms import (
    Address,
    Client,
    DlmsError,
    ErrorKind,
    Exchange,
    HdlcLink,
    LinkParameters,
    Packet,
    WrapperReader,
    obis,
)
from wattledger.headend._lines_in import LineIn, LinesIn
from wattledger.headend.ports import CONNECTS_IN, Counters, MeterLink, Unreachable

T = TypeVar("T")

_CHUNK = 8_192
_APDU_MAX = 0xFFFF
_RESERVED = 8  # frames that an operation takes; more come as they are needed
_TITLE = b"WLG\0\0\0\0\0"
_TITLE_BYTES = 8


@dataclass(frozen=True, slots=True)
class Plan:
    """The options of a link, read."""

    host: str
    port: int
    peer: bytes | None
    """The meter's system title, where the link tells it: its connections in and its pushes are known by it."""
    hdlc: bool
    client: int
    server: int
    physical: int | None
    suite: int
    form: Literal["service", "general", "general-ciphering"]
    title: bytes
    public: int | None
    counter: bytes
    stamped_at_end: bool
    deviation: int | None
    columns: frozenset[str]

    @classmethod
    def of(cls, link: MeterLink) -> Plan:
        told = dict(link.options)
        host, colon, port = link.address.rpartition(":")
        form = told.get("form", "service")
        title = told.get("title", _TITLE.hex())
        try:
            if link.address == CONNECTS_IN and "peer" not in told:
                raise ValueError("a meter that connects in is known by its system title: peer=")  # noqa: TRY301 - as below
            if not colon or form not in {"service", "general", "general-ciphering"}:
                raise ValueError(form if colon else link.address)  # noqa: TRY301 - told below with the others
            return cls(
                host=host.strip("[]"),
                port=0 if link.address == CONNECTS_IN else int(port),
                peer=_title_of(told["peer"]) if "peer" in told else None,
                hdlc={"wrapper": False, "hdlc": True}[told.get("framing", "wrapper")],
                client=int(told.get("client", "1")),
                server=int(told.get("server", "1")),
                physical=int(told["physical"]) if "physical" in told else None,
                suite={"0": 0, "1": 1, "2": 2}[told.get("suite", "0")],
                form=form,  # type: ignore[arg-type]
                title=bytes.fromhex(title),
                public=None if told.get("public") == "none" else int(told.get("public", "16")),
                counter=obis(told.get("counter", "0-0:43.1.0")),
                stamped_at_end={"end": True, "start": False}[told.get("stamp", "end")],
                deviation=int(told["deviation"]) if "deviation" in told else None,
                columns=frozenset(filter(None, told.get("columns", "").split(","))),
            )
        except (ValueError, KeyError, DlmsError) as error:
            raise Unreachable(
                f"meter {link.meter_id} at {link.address!r}: its link makes no sense ({error})",
                remedy="the address is host:port; docs/headend.md has the options",
            ) from error


def _title_of(text: str) -> bytes:
    title = bytes.fromhex(text)
    if len(title) != _TITLE_BYTES:
        raise ValueError(f"the system title {text} has no {_TITLE_BYTES} bytes")
    return title


class Line:
    """A connection to a meter that APDUs go through, whatever frames them."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, plan: Plan, client: int) -> None:
        self._reader, self._writer = reader, writer
        self._plan, self._client = plan, client
        self._frames = WrapperReader(apdu_max=_APDU_MAX)
        self._come: list[bytes] = []
        self.heard = False
        """Anything came at all."""
        self.left = False
        """Both sides said good-bye: nothing of this conversation can come any more."""
        self.refused = False
        """The other side said no to an association, and waits for another."""

    async def begin(self) -> None:
        """Nothing to agree on."""

    async def send(self, apdu: bytes) -> None:
        """Send an APDU."""
        self._writer.write(Packet(self._client, self._plan.server, apdu).encoded)
        await self._writer.drain()

    async def receive(self) -> bytes:
        """The next APDU that comes."""
        while not self._come:
            self._take(await self._some())
        return self._come.pop(0)

    def _take(self, some: bytes) -> None:
        self._come += [one.apdu for one in self._frames.feed(some) if one.destination == self._client]

    async def _some(self) -> bytes:
        some = await self._reader.read(_CHUNK)
        self.heard = self.heard or bool(some)
        if not some:
            raise DlmsError(ErrorKind.TRUNCATED, "the connection ended before the answer did")
        return some

    async def end(self) -> None:
        """Let go, whatever the other side does."""
        self._writer.close()
        with suppress(OSError, asyncio.CancelledError):
            await self._writer.wait_closed()


class BorrowedLine(Line):
    """The same over a connection that the meter made; it is kept for the next conversation."""

    def __init__(self, lines: LinesIn, line: LineIn, plan: Plan, client: int) -> None:
        super().__init__(line.reader, line.writer, plan, client)
        self._lines, self._line, self._peer = lines, line, plan.peer or b""

    async def end(self) -> None:
        if (self.left or self.refused) and self._line.is_open:
            self._line.proved = self._line.proved or self.left
            self._lines.add(self._peer, self._line, behind=self.refused)
        else:
            self._line.close()
            await super().end()


class HdlcLine(Line):
    """The same in HDLC frames."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, plan: Plan, client: int) -> None:
        super().__init__(reader, writer, plan, client)
        self._link = HdlcLink(
            role="client",
            own=Address(client),
            other=Address(plan.server, plan.physical),
            parameters=LinkParameters(1_024, 1_024, 1, 1),
        )

    async def begin(self) -> None:
        self._writer.write(self._link.connect())
        while self._link.state != "connected":
            self._take(await self._some())

    async def send(self, apdu: bytes) -> None:
        self._writer.write(self._link.send(apdu))
        await self._writer.drain()

    def _take(self, some: bytes) -> None:
        out = self._link.feed(some)
        if out:
            self._writer.write(out)
        self._come += self._link.received
        self._link.received.clear()

    async def end(self) -> None:
        if self._link.state == "connected" and not self._writer.is_closing():
            with suppress(OSError):
                self._writer.write(self._link.disconnect())
        await super().end()


async def dialled(link: MeterLink, plan: Plan, client: int, *, lines: LinesIn) -> Line:
    if link.address == CONNECTS_IN:
        borrowed = lines.take(plan.peer or b"")
        if borrowed is None:
            raise Unreachable(f"meter {link.meter_id} has not connected in")
        return BorrowedLine(lines, borrowed, plan, client)
    try:
        reader, writer = await asyncio.open_connection(plan.host, plan.port)
    except OSError as error:
        raise Unreachable(
            f"meter {link.meter_id}: nothing answers at {link.address} ({error.strerror or error})"
        ) from error
    line = (HdlcLine if plan.hdlc else Line)(reader, writer, plan, client)
    try:
        await line.begin()
    except BaseException:
        await line.end()
        raise
    return line


class Talk:
    """An association over a line."""

    def __init__(self, line: Line, client: Client, counters: Counters | None) -> None:
        self.line, self.client = line, client
        self._counters = counters

    async def run(self, exchange: Exchange[T]) -> T:
        """Carry an operation to its end."""
        try:
            out = await self._next(exchange, None)
            while True:
                if out is not None:
                    await self.line.send(out)
                answer = await self.line.receive()
                out = await self._next(exchange, answer)
        except StopAsyncIteration as done:
            result: T = done.args[0]
            return result
        except (ConnectionError, OSError) as error:
            raise DlmsError(ErrorKind.TRUNCATED, f"the connection broke: {error}") from None

    async def _next(self, exchange: Exchange[T], answer: bytes | None) -> bytes | None:
        protected = self.client.protection is not None and self._counters is not None
        if protected and self._counters is not None:
            await self._counters.reserve(_RESERVED)
        before = self.client.protection.heard if self.client.protection else None
        try:
            return next(exchange) if answer is None else exchange.send(answer)
        except StopIteration as done:
            raise StopAsyncIteration(done.value) from None
        finally:
            heard = self.client.protection.heard if self.client.protection else None
            if self._counters is not None and heard is not None and heard != before:
                self._counters.inbound(heard)

    async def leave(self) -> None:
        """Close the association; a meter that has gone already has closed it."""
        if self.client.state == "open":
            with suppress(DlmsError):
                await self.run(self.client.release())
                self.line.left = True
