"""Where meters connect: to push rows, events and alarms, or to be read over the connection that they made.

::

    connections ──► wrapper ──► plain hello of who connects in ──► the line waits for a visit (LinesIn)
    (bounded in                 anything else ──► a bounded queue ──► batches ──► one unit of work each:
     number, bytes, time)                                              keys, tag, counter, rows + gaps, events
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from typing import final

from wattledger.dlms import DataNotification, DlmsError, WrapperReader, read_apdu
from wattledger.headend._collection import Tools
from wattledger.headend._lines_in import LineIn, ListenerSettings
from wattledger.headend._pushes import PushKeeper, Senders, gathered, keep_from
from wattledger.headend._queue import RetryPolicy, welcome
from wattledger.headend.dlms import DlmsDriver
from wattledger.headend.ports import CONNECTS_IN

_log = logging.getLogger(__name__)

_CHUNK = 8_192
_TITLE_BYTES = 8
_HELLO_MAX = 200


@asynccontextmanager
async def listening(
    *,
    tools: Tools,
    door: socket.socket,
    settings: ListenerSettings,
    retry: RetryPolicy,
    kept: Callable[[], None],
    met: Callable[[], None],
) -> AsyncIterator[None]:
    """Let meters in at ``door`` for as long as it is entered; see ``hearing``."""
    driver = tools.drivers.get("dlms")
    if not isinstance(driver, DlmsDriver):
        raise TypeError("meters that connect need the DLMS driver")
    listener = _Listener(tools, settings, driver, retry, kept, met)
    server = await asyncio.start_server(listener.taken, sock=door, backlog=1_024)
    workers = [asyncio.create_task(work) for work in (listener.keep(), listener.welcome())]
    before, tools.connected = tools.connected, listener.connected
    try:
        yield
    finally:
        tools.connected = before
        server.close()
        ending = [*workers, *listener.talking]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)


@final
class _Listener:
    def __init__(
        self,
        tools: Tools,
        settings: ListenerSettings,
        driver: DlmsDriver,
        retry: RetryPolicy,
        kept: Callable[[], None],
        met: Callable[[], None],
    ) -> None:
        self._tools, self._settings, self._driver = tools, settings, driver
        self._say_kept, self._say_met = kept, met
        self._senders = Senders()
        self._keeper = PushKeeper(tools=tools, driver=driver, senders=self._senders, retry=retry)
        self._came: asyncio.Queue[bytes] = asyncio.Queue(settings.queue)
        self._hellos: asyncio.Queue[tuple[bytes, asyncio.Future[str | None]]] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[str, bytes] = {}
        """Meters that connected in, and the titles that they said."""
        self.talking: set[asyncio.Task[None]] = set()

    def connected(self) -> Collection[str]:
        """The meters that wait to be read here; none for whoever runs in another event loop."""
        if asyncio.get_running_loop() is not self._loop:
            return ()
        self._waiting = {one: title for one, title in self._waiting.items() if self._driver.lines.has(title)}
        return self._waiting.keys()

    # --- Connections ---

    async def taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Whatever connects."""
        task = asyncio.current_task()
        if task is None or len(self.talking) >= self._settings.connections:
            self._refused("too_many", "a connection is one too many")
            writer.close()
            return
        self.talking.add(task)
        try:
            await self._listen(reader, writer)
        except DlmsError as error:
            self._refused("malformed", error.detail)
        except (OSError, TimeoutError, asyncio.CancelledError):
            pass  # it ends here in any case
        finally:
            self.talking.discard(task)
            writer.close()

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = WrapperReader(apdu_max=self._settings.apdu_max)
        while True:
            async with asyncio.timeout(self._settings.idle):
                some = await reader.read(_CHUNK)
            if not some:
                return
            for packet in frames.feed(some):
                title = hello(packet.apdu)
                if title is None:
                    await self._came.put(packet.apdu)
                else:
                    await self._wait_for_visits(title, LineIn(reader, writer))
                    return

    async def _wait_for_visits(self, title: bytes, line: LineIn) -> None:
        """Lend the connection to visits until one of them, or the meter, ends it."""
        found: asyncio.Future[str | None] = self._loop.create_future()
        self._hellos.put_nowait((title, found))
        meter_id = await found
        if meter_id is None:
            self._refused("unknown_sender", f"no link says address={CONNECTS_IN} and peer={title.hex()}")
            return
        self._driver.lines.add(title, line)
        self._waiting[meter_id] = title
        self._say_met()
        try:
            while line.is_open:
                # A meter that hangs up is seen when somebody looks: asyncio keeps the connection half open.
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._settings.idle):
                        await line.gone.wait()
        finally:
            line.close()

    async def welcome(self) -> None:
        """Look who says hello, many at a time: after a power cut all of them come at once."""
        while True:
            some = await gathered(self._hellos, most=self._settings.batch, linger=self._settings.linger)
            try:
                known = await asyncio.to_thread(self._known, {title.hex() for title, _ in some})
            except Exception:  # noqa: BLE001 - the next who come are looked up all the same
                _log.exception("who connected cannot be looked up: they are to come again")
                known = {}
            for title, found in some:
                if not found.done():
                    found.set_result(known.get(title.hex()))

    def _known(self, titles: Collection[str]) -> dict[str, str]:
        """The meters that connect in, by title; what waited for them waits no longer."""
        now = self._tools.clock.now()
        with self._tools.store.write() as tx:
            links = self._senders.links(tx, option="peer", names=titles, now=now)
            known = {title: link.meter_id for title, link in links.items() if link.address == CONNECTS_IN}
            welcome(tx, meter_ids=known.values(), now=now)
        return known

    # --- Pushes ---

    async def keep(self) -> None:
        """Keep what came, batch by batch, until cancelled."""
        await keep_from(
            self._came,
            keep=self._keeper.keep,
            metrics=self._tools.metrics,
            told=self._say_kept,
            batch=self._settings.batch,
            linger=self._settings.linger,
        )

    def _refused(self, kind: str, words: str) -> None:
        self._tools.metrics.pushes_refused[kind] += 1
        _log.info("who connected is refused (%s): %s", kind, words)


def hello(apdu: bytes) -> bytes | None:
    """The system title that a meter says first when it connects in to be read; ``None`` for anything else.

    A plain notification of two octet strings: system title and logical device name.
    """
    if apdu[:1] != b"\x0f" or len(apdu) > _HELLO_MAX:
        return None
    with suppress(DlmsError):
        said, _ = read_apdu(apdu)
        match said:
            case DataNotification(body=(bytes() as title, bytes())) if len(title) == _TITLE_BYTES:
                return title
    return None
