"""What the head-end asks of a protocol, and what it hands on: the plug points.

A :class:`Driver` speaks one protocol. It knows nothing of databases, schedules or retries: it opens a :class:`Session`
with one meter, does what it is asked, and says what went wrong as one kind of :class:`MeterFault`. Register one as an
entry point of the group ``wattledger.drivers`` and prove it with :mod:`wattledger.headend.conformance`.

A :class:`ReadingSink` takes what was read. The head-end does not know who keeps readings.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntFlag
from types import MappingProxyType
from typing import ClassVar, Literal, Protocol, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from wattledger.kernel import Clock, Problem, stable_id
from wattledger.store import Transaction

FaultKind: TypeAlias = Literal[
    "bad_key",
    "bad_tag",
    "replay",
    "no_data",
    "refused",
    "timeout",
    "unreachable",
    "malformed",
    "unsupported",
]
ControlState: TypeAlias = Literal["disconnected", "connected", "ready_for_reconnection"]


CONNECTS_IN = "in:"
"""The address of a meter that connects in: it is talked to where it connected, and nowhere else."""


# --- What can go wrong in a conversation ---


class MeterFault(Problem):
    """A conversation with a meter did not go as it should; ``kind`` tells which way."""

    slug = "meter-fault"
    title = "The conversation with the meter failed"
    status = 502
    kind: ClassVar[FaultKind]


class BadKey(MeterFault):
    """The meter does not accept our key or password, or its challenge was answered with another key."""

    slug = "meter-bad-key"
    title = "The meter does not accept the key"
    kind = "bad_key"


class BadTag(MeterFault):
    """A frame's authentication tag does not fit: it was changed on its way, or made with another key."""

    slug = "meter-bad-tag"
    title = "A frame of the meter is not authentic"
    kind = "bad_tag"


class Replay(MeterFault):
    """An invocation counter did not rise: the frame was sent before."""

    slug = "meter-replay"
    title = "A frame of the meter was sent before"
    kind = "replay"


class NoData(MeterFault):
    """The meter has no such object, or nothing in it."""

    slug = "meter-no-data"
    title = "The meter has no such data"
    status = 404
    kind = "no_data"


class RefusedByMeter(MeterFault):
    """The meter understood and said no: access denied, temporarily busy, not allowed in this mode."""

    slug = "meter-refused"
    title = "The meter refused the request"
    status = 409
    kind = "refused"


class MeterTimeout(MeterFault):
    """The meter was reached and did not answer in time; whether it did what was asked is not known."""

    slug = "meter-timeout"
    title = "The meter did not answer in time"
    status = 504
    kind = "timeout"


class Unreachable(MeterFault):
    """Nothing was said: no connection could be made, so nothing can have taken effect."""

    slug = "meter-not-reached"
    title = "The meter cannot be reached"
    status = 503
    kind = "unreachable"


class Malformed(MeterFault):
    """What the meter sent makes no sense: truncated, oversize, or of another shape than agreed."""

    slug = "meter-malformed"
    title = "The meter's answer cannot be understood"
    kind = "malformed"


class Unsupported(MeterFault):
    """The protocol, or this kind of meter, has no such operation."""

    slug = "meter-unsupported"
    title = "This kind of meter cannot do that"
    status = 422
    kind = "unsupported"


# --- Keys ---


@final
class Secret:
    """Bytes that show themselves only when asked: not when printed, logged, formatted or pickled."""

    __slots__ = ("_bytes",)

    def __init__(self, data: bytes) -> None:
        self._bytes = bytes(data)

    def reveal(self) -> bytes:
        """The bytes themselves."""
        return self._bytes

    def __repr__(self) -> str:
        return f"Secret({len(self._bytes)} bytes)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._bytes, other._bytes)

    def __hash__(self) -> int:
        return hash(Secret)  # nothing of the content; secrets are not put into large sets

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySet:
    """The keys of one meter, of one generation. What a meter has not is ``None``.

    ``unicast``         encrypts what is said to this meter alone (DLMS: GUEK)
    ``broadcast``       encrypts what is said to many (GBEK)
    ``authentication``  goes into every authentication tag (GAK)
    ``master``          wraps the others when they are changed (KEK); rotation leaves it as it is
    ``password``        for meters that are opened with a password, or with a secret of their own
    ``generation``      0 for meters without keys; grows by one with each rotation
    """

    unicast: Secret | None = None
    broadcast: Secret | None = None
    authentication: Secret | None = None
    master: Secret | None = None
    password: Secret | None = None
    generation: int = 0


class Counters(Protocol):
    """The invocation counters of a conversation under one generation of keys.

    A number that was given out is never given out again, whatever is killed when: a block of them is stored as used
    before the first of it is given.
    """

    async def reserve(self, count: int = 1) -> None:
        """Have at least so many numbers at hand; waits for the database only when there are fewer."""
        ...

    def outbound(self) -> int:
        """The counter of the next frame. Reserve before: raises :class:`RuntimeError` when none is at hand."""
        ...

    def heard(self, *, stream: str = "unicast") -> int:
        """The highest counter that came so far; -1 when none did."""
        ...

    def inbound(self, value: int, *, stream: str = "unicast") -> None:
        """The counter of a frame that came, after its tag was found right; raises :class:`Replay` unless it rose.

        ``stream`` tells sequences apart that a meter counts for themselves (pushes under the broadcast key, say).
        """
        ...

    async def resync(self, value: int) -> None:
        """The meter said, unauthenticated, that it expects ``value`` or more.

        Our counter rises to it, or stays if it is higher; it never falls. A leap that would use the counter up is
        :class:`Malformed`: whoever can answer in the meter's place must not be able to burn its keys.
        """
        ...


# --- The meter and what it says ---


def _nothing() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterLink:
    """How a meter is reached.

    ``driver``        name of the driver that speaks to it
    ``address``       in the driver's own spelling: ``host:port``, a topic; :data:`CONNECTS_IN`
    ``concentrator``  what it shares its line with; "" when nothing
    ``companion``     which companion specification its event codes follow (see ``event_kind``)
    ``options``       what else the driver wants to know (for DLMS: client, server, suite); text, as it is kept
    """

    meter_id: str
    driver: str
    address: str
    concentrator: str = ""
    companion: str = "idis"
    options: Mapping[str, str] = field(default_factory=_nothing)


class RowStatus(IntFlag):
    """What a meter says about a profile row: the bits of the AMR profile status of IDIS (0-0:96.10.1).

    A driver whose meters use other bits translates them; those without any say ``RowStatus(0)``.
    """

    CRITICAL = 0x01
    CLOCK_INVALID = 0x02
    NOT_VALID = 0x04
    DST = 0x08
    CLOCK_ADJUSTED = 0x20
    POWER_DOWN = 0x80


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterClock:
    """The meter's clock when it was read.

    ``at``     epoch seconds, UTC
    ``valid``  whether the meter itself trusts it
    """

    at: int
    valid: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """What a value counts: a name, and the unit of its last digit.

    ``name``   OBIS code without the 255 at its end (``1-0:1.8.0``), or the driver's own name
    ``scale``  power of ten: a value of 123 with scale -1 is 12.3 units
    ``unit``   "Wh", "varh", "VAh", "W", "var", "V", "A", "Hz"; "" for a bare number
    """

    name: str
    scale: int = 0
    unit: str = "Wh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """What a register stood at: ``value`` units of its channel's scale, read at ``at`` (epoch seconds)."""

    channel: Channel
    value: int
    at: int

    @property
    def wh(self) -> int:
        """Whole watt-hours; a fraction is left off: a register that counts up will tell it later."""
        if self.channel.unit != "Wh":
            raise ValueError(f"{self.channel.name} counts {self.channel.unit or 'a bare number'}, not Wh")
        if self.channel.scale >= 0:
            return int(self.value * 10**self.channel.scale)
        return int(self.value // 10**-self.channel.scale)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ProfileRows:
    """Rows of a load profile, ascending, each start once.

    ``starts``   int64 (rows): epoch seconds at which the row's interval **starts**. A meter that stamps rows when they
                 end is corrected by its driver.
    ``values``   int64 (rows, channels), units of each channel's scale: as the meter keeps them, counted or cumulative
    ``present``  bool (rows, channels), or ``None`` when no value misses
    ``status``   uint8 (rows): :class:`RowStatus`
    """

    channels: tuple[Channel, ...]
    starts: NDArray[np.int64]
    values: NDArray[np.int64]
    status: NDArray[np.uint8]
    present: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        rows, channels = len(self.starts), len(self.channels)
        if self.values.shape != (rows, channels) or self.status.shape != (rows,):
            raise Malformed(f"{rows} row(s) of {channels} channel(s) came with {self.values.shape} values")
        if self.present is not None and self.present.shape != (rows, channels):
            raise Malformed(f"{rows} row(s) of {channels} channel(s) came with other marks of what misses")
        if (self.starts[1:] <= self.starts[:-1]).any():
            raise Malformed("profile rows are not in order, or one came twice")

    def __len__(self) -> int:
        return len(self.starts)

    @classmethod
    def none(cls, channels: Sequence[Channel] = ()) -> ProfileRows:
        """No rows."""
        return cls(
            channels=tuple(channels),
            starts=np.empty(0, dtype=np.int64),
            values=np.empty((0, len(channels)), dtype=np.int64),
            status=np.empty(0, dtype=np.uint8),
        )

    def within(self, start: int, end: int) -> ProfileRows:
        """The rows whose start lies in ``[start, end)``."""
        first, last = np.searchsorted(self.starts, [start, end])
        if first == 0 and last == len(self.starts):
            return self
        cut = slice(int(first), int(last))
        return replace(
            self,
            starts=self.starts[cut],
            values=self.values[cut],
            status=self.status[cut],
            present=None if self.present is None else self.present[cut],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedEvent:
    """An entry of a meter's event log, untranslated: ``code`` as it came, ``at`` epoch seconds."""

    log: str
    code: int
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """A disconnector read back: attributes 2, 3 and 4 of DLMS class 70.

    In modes 1, 3, 5 and 6 a remote reconnect answers *success* and leaves the supply off until somebody presses a
    button: ``ready_for_reconnection``.
    """

    output_state: bool
    control_state: ControlState
    control_mode: int


# --- The driver ---


class Session(Protocol):
    """A conversation with one meter. One operation at a time; each may raise any :class:`MeterFault`."""

    async def read_clock(self) -> MeterClock:
        """The meter's clock."""
        ...

    async def set_clock(self, *, at: datetime) -> None:
        """Set the meter's clock to this instant."""
        ...

    async def read_registers(self, *, names: Sequence[str]) -> Sequence[Register]:
        """The registers called ``names`` (as :attr:`Channel.name`), in that order; one it lacks is left out."""
        ...

    async def read_profile(self, *, profile: str, start: int, end: int) -> ProfileRows:
        """The rows of a profile whose start lies in ``[start, end)``, epoch seconds; none at all is an answer."""
        ...

    async def read_events(self, *, log: str, since: int) -> Sequence[LoggedEvent]:
        """The entries of an event log at or after ``since`` (epoch seconds), in the order of the log."""
        ...

    async def read_relay(self) -> Relay:
        """The disconnector as it is now."""
        ...

    async def switch(self, *, on: bool) -> None:
        """Ask the meter to close or open its disconnector; returns when the meter has *accepted*, not done, it."""
        ...

    async def read_limit(self) -> int:
        """The normal threshold of the load limiter, in watts."""
        ...

    async def set_limit(self, *, watts: int) -> None:
        """Set the normal threshold of the load limiter."""
        ...

    async def install_keys(self, *, keys: KeySet) -> None:
        """Give the meter new keys, wrapped with its master key: all of them in one request where it can take that."""
        ...


class Driver(Protocol):
    """Speaks one protocol."""

    @property
    def name(self) -> str:
        """What links call it."""
        ...

    def open(
        self, link: MeterLink, *, keys: KeySet, counters: Counters, clock: Clock
    ) -> AbstractAsyncContextManager[Session]:
        """Open a conversation: entering it connects and proves both sides' keys, leaving it lets go of the meter.

        Entering raises :class:`Unreachable` when nothing could be said, :class:`BadKey` when the meter does not take
        these keys. Whoever opens sets the time limits: being cancelled at any point leaves nothing behind.
        """
        ...


# --- Where readings go ---


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Delivery:
    """What one range read, or one push, brought of one profile of one meter.

    ``start``, ``end``  the period that was asked for, epoch seconds; ``rows`` lie in it
    ``read_at``         when it was read
    ``pushed``          whether the meter sent it by itself: rows it does not bring may still be in the meter
    """

    meter_id: str
    profile: str
    seconds: int
    start: int
    end: int
    rows: ProfileRows
    read_at: datetime
    pushed: bool = False

    @property
    def id(self) -> str:
        """The same for the same content: a delivery that is repeated repeats its id."""
        rows = self.rows
        parts = [array.tobytes() for array in (rows.starts, rows.values, rows.status)]
        if rows.present is not None:
            parts.append(rows.present.tobytes())
        content = b"".join(parts).hex()
        return stable_id("dlv", self.meter_id, self.profile, self.start, self.end, rows.channels, content)


class ReadingSink(Protocol):
    """Takes what was read. Called in the unit of work that also closes the gaps: both happen, or neither."""

    def take(self, tx: Transaction, /, *, deliveries: Sequence[Delivery], now: datetime) -> None:
        """Keep the rows of these deliveries; what is known already changes nothing.

        An exception undoes the whole unit of work; the deliveries are then taken one by one, so that a bad one fails
        alone.
        """
        ...

    def take_registers(
        self, tx: Transaction, /, *, registers: Sequence[tuple[str, Sequence[Register]]], now: datetime
    ) -> None:
        """Keep what registers stood at: pairs of a meter's id and its reads."""
        ...
