"""The job that talks to the meters: a round of the head-end's collection after the other, in a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from wattledger import headend
from wattledger.kernel import Problem

_log = logging.getLogger(__name__)


class Collector:
    """Collects linked meters whenever one is due; one round at a time.

    Nothing is remembered here: what is due, what has come and what was commanded stands in the head-end's tables, and a
    visit that was under way when the process died is due again when its lease runs out. Where no meter is linked it
    only looks. Any number of processes may collect from one database.

    ``door``  a bound socket at which meters connect: to push, or to be read here
    ``wake``  is called after each round: what it committed is looked at now
    ``poll``  how often it is looked whether a meter is due
    """

    def __init__(
        self,
        *,
        tools: headend.Tools,
        policy: headend.CollectionPolicy | None = None,
        wake: Callable[[], None] = lambda: None,
        poll: timedelta = timedelta(seconds=1),
        door: socket.socket | None = None,
    ) -> None:
        self._tools = tools
        self._policy = policy or headend.CollectionPolicy()
        self._wake_worker = wake
        self._door = door
        self._poll_seconds = poll / timedelta(seconds=1)
        self._told: str | None = None
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._look = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to collect."""
        self._thread = threading.Thread(target=self._run, name="wattledger-collector", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """A meter may be due: look now, not at the next poll. From any thread, started or not."""
        with self._lock:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._look.set)

    def stop(self) -> None:
        """End now: conversations that are under way are left, and begun anew by whoever collects next."""
        with self._lock:
            self._stopping.set()
            if self._loop is not None and self._running is not None:
                self._loop.call_soon_threadsafe(self._running.cancel)
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    async def once(self) -> headend.Collected | None:
        """A round, if there is anything to ask of any meter; raises what goes wrong."""
        store, clock = self._tools.store, self._tools.clock
        with store.read() as tx:
            if not headend.work_due(tx, connected=self._tools.connected(), now=clock.now()):
                return None  # the usual case takes no write lock
        with store.write() as tx:
            headend.expire_commands(tx, now=clock.now())
        try:
            return await headend.collect(tools=self._tools, policy=self._policy, steadily=True)
        finally:
            self._wake_worker()

    def _run(self) -> None:
        try:
            with suppress(asyncio.CancelledError):
                asyncio.run(self._rounds())
        finally:
            with self._lock:
                self._loop = self._running = None

    async def _rounds(self) -> None:
        with self._lock:
            self._loop, self._running = asyncio.get_running_loop(), asyncio.current_task()
        async with headend.hearing(tools=self._tools, door=self._door, kept=self._wake_worker, met=self._look.set):
            while not self._stopping.is_set():
                await self._round()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_seconds):
                        await self._look.wait()
                self._look.clear()

    async def _round(self) -> None:
        try:
            await self.once()
        except Problem as problem:
            if str(problem) != self._told:  # every second the same would drown what is new
                _log.warning("meters are not collected: %s", problem)
            self._told = str(problem)
        except Exception:  # noqa: BLE001 - the loop outlives whatever fails in one round
            _log.exception("a round of collection failed; it is tried again")
        else:
            self._told = None
