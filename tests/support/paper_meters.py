"""Meters on paper, and the driver that speaks to them: everything a meter does or fails to do, without a protocol.

A paper meter keeps its keys, the counter it saw last, a clock, registers, a profile, events, a relay and a limiter.
What goes wrong with it is a set of names that a test puts on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import cast

import numpy as np

from wattledger.headend import (
    BadKey,
    BadTag,
    Channel,
    Counters,
    KeySet,
    LoggedEvent,
    Malformed,
    MeterClock,
    MeterLink,
    MeterTimeout,
    ProfileRows,
    RefusedByMeter,
    Register,
    Relay,
    Secret,
    Session,
    Unreachable,
)
from wattledger.kernel import Clock, epoch


class PowerCut(BaseException):
    """The head-end's process dies here."""


ENERGY = (Channel(name="1-0:1.8.0"), Channel(name="1-0:2.8.0"))


def keys_of(generation: int, *, meter: str = "m") -> KeySet:
    def made(purpose: str) -> Secret:
        return Secret(f"{purpose}-{meter}-{generation}".encode().ljust(16, b".")[:16])

    return KeySet(
        unicast=made("u"), authentication=made("a"), master=Secret(b"the master key.."), generation=generation
    )


def rows_of(starts: Sequence[int], *, seed: int = 0) -> ProfileRows:
    """Rows whose values tell their start, so that any loss or doubling shows."""
    at = np.asarray(starts, dtype=np.int64)
    return ProfileRows(
        channels=ENERGY,
        starts=at,
        values=np.stack([at // 900 % 1000 + seed, at // 900 % 7], axis=1).astype(np.int64),
        status=np.zeros(len(at), dtype=np.uint8),
    )


@dataclass
class PaperMeter:
    keys: KeySet = field(default_factory=KeySet)
    clock_off: timedelta = timedelta()
    rows: ProfileRows = field(default_factory=lambda: rows_of([]))
    registers: list[Register] = field(default_factory=list)
    events: list[LoggedEvent] = field(default_factory=list)
    output: bool = True
    state: str = "connected"
    mode: int = 4
    limit: int = 10_000
    troubles: set[str] = field(default_factory=set)
    """The :data:`Trouble` of the conformance suite, and silent_after_acting, half_keys, lost_keys."""
    counter: int = 0
    """The highest counter it has seen; never forgotten."""
    said: int = 0
    """Its own counter; begins anew with new keys."""
    asked: list[str] = field(default_factory=list)
    tried: list[int] = field(default_factory=list)
    """The counters of all frames that were sent to it, in the order they came."""
    sessions: int = 0
    sessions_most: int = 0
    moving: tuple[bool, str] | None = None
    moves_after: int = 0
    """How often its relay is read back before it moves."""
    cut_at: int | None = None
    """The head-end's power goes at the so-manieth step of its conversations with this meter."""
    steps: int = 0

    def step(self) -> None:
        self.steps += 1
        if self.steps == self.cut_at:
            raise PowerCut

    def press_button(self) -> None:
        if self.state == "ready_for_reconnection":
            self.output, self.state = True, "connected"


class PaperSession:
    def __init__(self, meter: PaperMeter, counters: Counters, clock: Clock) -> None:
        self._meter, self._counters, self._clock = meter, counters, clock

    async def _ask(self, what: str) -> None:
        meter = self._meter
        meter.step()
        await self._counters.reserve()
        number = self._counters.outbound()
        await asyncio.sleep(0)
        if "silent" in meter.troubles:
            await asyncio.get_running_loop().create_future()
        if number <= meter.counter:
            raise RefusedByMeter(f"counter {number} after {meter.counter}")
        meter.counter = number
        meter.tried.append(number)
        meter.asked.append(what)
        if "refusing" in meter.troubles and what.startswith("read"):
            raise RefusedByMeter("access denied")
        if "truncated" in meter.troubles:
            raise Malformed("the frame ends after 3 of 40 bytes")
        if "bad_tag" in meter.troubles:
            raise BadTag("the tag does not fit")
        meter.said += "replay" not in meter.troubles
        self._counters.inbound(meter.said)

    async def _acted(self) -> None:
        """Answer, after what was asked is done."""
        self._meter.step()
        if "silent_after_acting" in self._meter.troubles:
            raise MeterTimeout("no answer")

    async def read_clock(self) -> MeterClock:
        await self._ask("read clock")
        return MeterClock(at=epoch(self._clock.now() + self._meter.clock_off))

    async def set_clock(self, *, at: datetime) -> None:
        await self._ask("set clock")
        self._meter.clock_off = at - self._clock.now()
        await self._acted()

    async def read_registers(self, *, names: Sequence[str]) -> Sequence[Register]:
        await self._ask("read registers")
        known = {register.channel.name: register for register in self._meter.registers}
        return [replace(known[name], at=epoch(self._clock.now())) for name in names if name in known]

    async def read_profile(self, *, profile: str, start: int, end: int) -> ProfileRows:
        await self._ask(f"read {profile} {start} {end}")
        return self._meter.rows.within(start, end)

    async def read_events(self, *, log: str, since: int) -> Sequence[LoggedEvent]:
        await self._ask(f"read events {log} {since}")
        return [event for event in self._meter.events if event.log == log and event.at >= since]

    async def read_relay(self) -> Relay:
        await self._ask("read relay")
        meter = self._meter
        if meter.moving is not None:
            meter.moves_after -= 1
            if meter.moves_after < 0:
                meter.output, meter.state = meter.moving
                meter.moving = None
        return Relay(
            output_state=meter.output,
            control_state=cast("object", meter.state),  # type: ignore[arg-type]
            control_mode=meter.mode,
        )

    async def switch(self, *, on: bool) -> None:
        await self._ask(f"switch {'on' if on else 'off'}")
        meter = self._meter
        if "stuck_relay" not in meter.troubles:
            waits = on and meter.mode in (1, 3, 5, 6) and meter.state != "connected"
            reached = (False, "ready_for_reconnection") if waits else (on, "connected" if on else "disconnected")
            if meter.moves_after:
                meter.moving = reached
            else:
                meter.output, meter.state = reached
        await self._acted()

    async def read_limit(self) -> int:
        await self._ask("read limit")
        return self._meter.limit

    async def set_limit(self, *, watts: int) -> None:
        await self._ask("set limit")
        if "stuck_relay" not in self._meter.troubles:
            self._meter.limit = watts
        await self._acted()

    async def install_keys(self, *, keys: KeySet) -> None:
        await self._ask("install keys")
        meter = self._meter
        if "lost_keys" in meter.troubles:
            return
        if keys.unicast != meter.keys.unicast:
            meter.said = 0
        if "half_keys" in meter.troubles:  # the power went between the two
            meter.keys = replace(meter.keys, unicast=keys.unicast)
            raise MeterTimeout("no answer")
        meter.keys = keys
        await self._acted()


class PaperDriver:
    """Speaks to ``meters`` by their addresses."""

    name = "paper"

    def __init__(self, meters: dict[str, PaperMeter]) -> None:
        self.meters = meters
        self.sessions = 0
        self.sessions_most = 0
        self.noticed: asyncio.Event | None = None
        """Set when a conversation begins."""

    @asynccontextmanager
    async def open(self, link: MeterLink, *, keys: KeySet, counters: Counters, clock: Clock) -> AsyncIterator[Session]:
        meter = self.meters[link.address]
        meter.step()
        await asyncio.sleep(0)
        if "unreachable" in meter.troubles:
            raise Unreachable(f"nothing answers at {link.address}")
        if (keys.unicast, keys.authentication) != (meter.keys.unicast, meter.keys.authentication):
            await counters.reserve()
            meter.tried.append(counters.outbound())
            raise BadKey("the association was rejected")
        self.sessions += 1
        meter.sessions += 1
        if self.noticed is not None:
            self.noticed.set()
        self.sessions_most = max(self.sessions_most, self.sessions)
        meter.sessions_most = max(meter.sessions_most, meter.sessions)
        try:
            session = PaperSession(meter, counters, clock)
            await counters.reserve()
            number = counters.outbound()
            if number <= meter.counter:
                await counters.resync(meter.counter + 1)
                await counters.reserve()
                number = counters.outbound()
            meter.counter = number
            meter.tried.append(number)
            yield session
        finally:
            self.sessions -= 1
            meter.sessions -= 1


__all__ = ["ENERGY", "PaperDriver", "PaperMeter", "PaperSession", "PowerCut", "keys_of", "rows_of"]
