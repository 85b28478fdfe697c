"""Speaking with the town's meters at hand: no line, no frames, no keys. So sixty days are lived through in a minute.

It is a driver like any other: what is due, what came, what was commanded and read back is the head-end's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from wattledger.demo._meters import TownMeters
from wattledger.demo._town import Supply
from wattledger.headend import (
    Channel,
    ControlState,
    Counters,
    KeySet,
    LoggedEvent,
    MeterClock,
    MeterLink,
    NoData,
    ProfileRows,
    Register,
    Relay,
    RowStatus,
    Session,
    Unreachable,
    Unsupported,
)
from wattledger.kernel import Clock, epoch
from wattledger.virtual_meter import State, VirtualMeter

Instants = NDArray[np.int64]

NEAR = "town"
IMPORT, EXPORT, PROFILE = "1-0:1.8.0", "1-0:2.8.0", "1-0:99.1.0"
_STATES: dict[State, ControlState] = {
    State.DISCONNECTED: "disconnected",
    State.CONNECTED: "connected",
    State.READY: "ready_for_reconnection",
}


class NearDriver:
    """:class:`wattledger.headend.Driver` of meters in this process; links name a meter by its id."""

    def __init__(self, meters: TownMeters) -> None:
        self._meters = meters

    @property
    def name(self) -> str:
        """``town``."""
        return NEAR

    @asynccontextmanager
    async def open(
        self,
        link: MeterLink,
        *,
        keys: KeySet,  # noqa: ARG002 - nobody listens
        counters: Counters,  # noqa: ARG002 - as above
        clock: Clock,
    ) -> AsyncIterator[Session]:
        """See the port."""
        supply = self._meters.town.by_meter.get(link.meter_id)
        if supply is None or not self._meters.in_reach(supply):
            who = "" if supply is None else f" of {supply.name}"
            raise Unreachable(
                f"meter {link.meter_id}{who} does not answer",
                remedy="it is asked again; look at its concentrator if that goes on",
            )
        yield _NearSession(self._meters.at_hand(supply), supply, clock)


class _NearSession:
    """A conversation; see the port for what each operation does."""

    def __init__(self, meter: VirtualMeter, supply: Supply, clock: Clock) -> None:
        self._meter, self._clock = meter, clock
        self._channels = tuple(Channel(name=name) for name in columns(supply))

    async def read_clock(self) -> MeterClock:
        """The meter's clock."""
        return MeterClock(at=self._meter.time.shown(self._meter.now()))

    async def set_clock(self, *, at: datetime) -> None:
        """Set it."""
        self._meter.set_clock(epoch(at))

    async def read_registers(self, *, names: Sequence[str]) -> Sequence[Register]:
        """Those of imported and, where there is one, exported energy."""
        now = self._meter.now()
        known = {channel.name: channel for channel in self._channels}
        stood = {name: int(self._stood(name, np.array([now], dtype=np.int64))[0]) for name in known}
        return [Register(channel=known[name], value=stood[name], at=now) for name in names if name in known]

    async def read_profile(self, *, profile: str, start: int, end: int) -> ProfileRows:
        """Rows whose interval starts in ``[start, end)``: what the registers stood at when it ended."""
        if profile != PROFILE:
            raise NoData(f"meter {self._meter.serial} has no profile {profile}")
        meter, period = self._meter, self._meter.plan.period
        last = meter.time.shown(meter.now()) // period * period
        first = max(-(-(start + 1) // period) * period, last - (meter.plan.entries - 1) * period)
        first = max(first, -(-(meter.time.shown(meter.installed) + 1) // period) * period)
        stamps = np.arange(first, min(last, end) + 1, period, dtype=np.int64)
        at = np.array([meter.time.really(stamp) for stamp in stamps.tolist()], dtype=np.int64)
        return ProfileRows(
            channels=self._channels,
            starts=stamps - period,
            values=np.stack([self._stood(channel.name, at) for channel in self._channels], axis=1),
            status=np.full(len(stamps), RowStatus(0), dtype=np.uint8),
        )

    async def read_events(self, *, log: str, since: int) -> Sequence[LoggedEvent]:
        """The entries of a log since then."""
        self._meter.now()
        number = int(log.rpartition(".")[2]) if log.startswith("0-0:99.98.") else -1
        return [LoggedEvent(log=log, code=code, at=at) for at, code in self._meter.logs.get(number, []) if at >= since]

    async def read_relay(self) -> Relay:
        """The disconnector as it is now."""
        disconnector = self._meter.disconnector
        return Relay(
            output_state=disconnector.closed,
            control_state=_STATES[disconnector.state],
            control_mode=disconnector.mode,
        )

    async def switch(self, *, on: bool) -> None:
        """Let the relay's logic do what its mode makes of it."""
        self._meter.switch("remote reconnect" if on else "remote disconnect")

    async def read_limit(self) -> int:
        """In watts."""
        return self._meter.limiter.normal

    async def set_limit(self, *, watts: int) -> None:
        """In watts."""
        self._meter.limit(watts)

    async def install_keys(self, *, keys: KeySet) -> None:  # noqa: ARG002 - there are none to be changed
        """Not here: nothing that is said at hand is ciphered."""
        raise Unsupported(f"meter {self._meter.serial} is given keys over its line")

    def _stood(self, name: str, at: Instants) -> Instants:
        return self._meter.shown_register(self._meter.imported(at) if name == IMPORT else self._meter.sent_out(at))


def columns(supply: Supply) -> list[str]:
    """The registers of a supply's meter that are of use to anybody."""
    return [IMPORT, EXPORT] if supply.has_export else [IMPORT]
