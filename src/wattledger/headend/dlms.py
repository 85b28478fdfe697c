"""The driver for DLMS/COSEM meters, over TCP: the wrapper, or HDLC in a stream.

What a link may say in its options, all text:

==============  ==========================================================================================
``framing``     ``wrapper`` (default) or ``hdlc``
``client``      our address: 1, the management client, unless told
``server``      the meter's logical device: 1 unless told; its address in the wrapper
``physical``    the meter's lower HDLC address, where it has one
``suite``       security suite: 0 (default), 1 or 2
``form``        how ciphered APDUs are written: ``service`` (default), ``general`` or ``general-ciphering``
``title``       our system title, 16 hexadecimal digits
``public``      the client that needs no key and reads the meter's counter: 16 unless told, ``none`` for nobody
``counter``     the object that counts our frames in the meter: 0-0:43.1.0 unless told
``stamp``       which end of its interval a profile row is stamped with: ``end`` (default) or ``start``
``deviation``   minutes from the meter's local time to UTC, for meters that leave it open
``peer``        the meter's system title, 16 hexadecimal digits: it connects in, and pushes, under this name
``device``      the meter's logical device name: under this it pushes where it has no keys
``columns``     which columns of profiles are handed on, as ``1-0:1.8.0,1-0:2.8.0``: all unless told
==============  ==========================================================================================

With a unicast key the association is HLS-GMAC and everything is authenticated and encrypted; with a password alone it
is LLS in the clear; with neither it is the lowest. Rows whose stamp is on no edge of the profile's period (after a
clock was set, say) are passed over: the registers of the next whole one tell what they would have told.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

import numpy as np

from wattledger.dlms import (
    AccessResult,
    ActionResult,
    Client,
    DateTime,
    DlmsError,
    ErrorKind,
    Keys,
    Mechanism,
    Reference,
    Security,
    Selection,
    array,
    date_time,
    enum,
    int8,
    int32,
    obis,
    obis_text,
    octets,
    structure,
    uint16,
    uint32,
    wrap_key,
)
from wattledger.headend._dlms_line import Plan, Talk, dialled
from wattledger.headend._lines_in import LinesIn
from wattledger.headend.ports import (
    BadKey,
    BadTag,
    Channel,
    ControlState,
    Counters,
    KeySet,
    LoggedEvent,
    Malformed,
    MeterClock,
    MeterFault,
    MeterLink,
    MeterTimeout,
    NoData,
    ProfileRows,
    RefusedByMeter,
    Register,
    Relay,
    Replay,
    Session,
    Unreachable,
    Unsupported,
)
from wattledger.kernel import Clock, epoch

T = TypeVar("T")
Chance = Callable[[int], bytes]

_CLOCK = Reference(8, obis("0-0:1.0.0"), 2)
_RELAY = obis("0-0:96.3.10")
_LIMITER = obis("0-0:17.0.0")
_SECURITY = obis("0-0:43.0.0")
_STATUS = obis("0-0:96.10.1")
_STATES: tuple[ControlState, ...] = ("disconnected", "connected", "ready_for_reconnection")
_UNITS = {27: "W", 28: "VA", 29: "var", 30: "Wh", 31: "VAh", 32: "varh", 33: "A", 35: "V", 44: "Hz"}
_SCALER_AT = {3: 3, 4: 3, 5: 4}
"""Registers by class (3 plain, 4 with extremes, 5 demand), and the attribute that has scaler and unit."""
_BY_RANGE = 1
_CHALLENGE_BYTES = 16
_GUEK, _GBEK, _GAK = 0, 1, 2
_INVALID_CLOCK = 0x01 | 0x02

_FAULTS: dict[ErrorKind, type[MeterFault]] = {
    ErrorKind.BAD_KEY: BadKey,
    ErrorKind.NO_KEY: BadKey,
    ErrorKind.WRONG_SYSTEM_TITLE: BadKey,
    ErrorKind.BAD_TAG: BadTag,
    ErrorKind.REPLAY: Replay,
    ErrorKind.NO_DATA: NoData,
    ErrorKind.REFUSED: RefusedByMeter,
    ErrorKind.TIMEOUT: MeterTimeout,
    ErrorKind.UNSUPPORTED: Unsupported,
}


_SAYS_NO = {ErrorKind.BAD_KEY, ErrorKind.REPLAY, ErrorKind.REFUSED}
"""How an association fails that was answered in full."""


def _fault(error: DlmsError, *, link: MeterLink) -> MeterFault:
    return _FAULTS.get(error.kind, Malformed)(f"meter {link.meter_id}: {error.detail}")


@dataclass(slots=True)
class _Layout:
    """What the columns of a profile are: learned once, asked again where it does not fit."""

    period: int
    clock: int
    status: int | None
    columns: tuple[int, ...]
    channels: tuple[Channel, ...]
    width: int


class DlmsDriver:
    """Speaks DLMS/COSEM with meters that are dialled, or that connected in. ``chance`` gives bytes for challenges."""

    def __init__(self, *, chance: Chance = os.urandom) -> None:  # noqa: TID251 - an entry point is called with nothing
        self._chance = chance
        self.lines = LinesIn()
        """The connections of meters that connected in: whoever listens for them adds them here."""
        # What meters told of themselves and seldom change; a meter that is exchanged has another id.
        self._layouts: dict[tuple[str, str], _Layout] = {}
        self._channels: dict[tuple[str, str], tuple[int, Channel]] = {}

    @property
    def name(self) -> str:
        """``dlms``."""
        return "dlms"

    @asynccontextmanager
    async def open(self, link: MeterLink, *, keys: KeySet, counters: Counters, clock: Clock) -> AsyncIterator[Session]:
        """See the port."""
        plan = Plan.of(link)
        try:
            talk = await self._associated(link, plan, keys, counters)
        except DlmsError as error:
            raise _fault(error, link=link) from None
        session = _DlmsSession(talk, link, plan, clock, layouts=self._layouts, channels=self._channels)
        try:
            yield session
            await talk.leave()
        except DlmsError as error:
            raise _fault(error, link=link) from None
        finally:
            await talk.line.end()

    def pushed_rows(
        self, link: MeterLink, *, profile: str, captured: object, rows: object, period: int, clock: Clock
    ) -> ProfileRows | None:
        """The rows that a meter pushed with the columns it says they have; ``None`` while its scalers are not known.

        They are known once a profile or a register with these columns was read. Raises :class:`Malformed`.
        """
        session = _DlmsSession(None, link, Plan.of(link), clock, layouts=self._layouts, channels=self._channels)
        return session.laid_out(profile, captured, rows, period)

    def pushed_events(self, link: MeterLink, *, log: str, rows: object, clock: Clock) -> list[LoggedEvent]:
        """The entries of an event log that a meter pushed. Raises :class:`Malformed`."""
        session = _DlmsSession(None, link, Plan.of(link), clock, layouts=self._layouts, channels=self._channels)
        return session.entries(log, rows, since=0)

    async def _associated(self, link: MeterLink, plan: Plan, keys: KeySet, counters: Counters) -> Talk:
        try:
            return await self._tried(link, plan, keys, counters)
        except DlmsError as error:
            if keys.unicast is None or error.kind not in {ErrorKind.BAD_KEY, ErrorKind.REPLAY}:
                raise
            # A meter that refuses our keys may refuse our counter: it tells anybody what it has heard of us.
            if not await self._resynced(link, plan, counters):
                raise
        return await self._tried(link, plan, keys, counters)

    async def _tried(self, link: MeterLink, plan: Plan, keys: KeySet, counters: Counters) -> Talk:
        line = await dialled(link, plan, plan.client, lines=self.lines)
        try:
            talk = Talk(line, self._client(plan, keys, counters), counters)
            await talk.run(talk.client.associate())
        except DlmsError as error:
            line.refused = error.kind in _SAYS_NO
            await line.end()
            if error.kind is ErrorKind.TRUNCATED and not line.heard:
                raise Unreachable(f"meter {link.meter_id}: {link.address} hangs up at once") from None
            raise
        except BaseException:
            await line.end()
            raise
        return talk

    async def _resynced(self, link: MeterLink, plan: Plan, counters: Counters) -> bool:
        """Ask the meter for the counter it has heard of us; whether ours had to rise."""
        if plan.public is None:
            return False
        await counters.reserve()
        ours = counters.outbound()
        line = await dialled(link, plan, plan.public, lines=self.lines)
        try:
            talk = Talk(line, Client(), None)
            await talk.run(talk.client.associate())
            heard = await talk.run(talk.client.read_one(Reference(1, plan.counter, 2)))
            await talk.leave()
        except DlmsError:
            return False
        finally:
            await line.end()
        if not isinstance(heard, int) or heard < ours:
            return False
        await counters.resync(heard + 1)
        return True

    def _client(self, plan: Plan, keys: KeySet, counters: Counters) -> Client:
        if keys.unicast is None:
            if keys.password is None:
                return Client()
            return Client(mechanism=Mechanism.LOW, password=keys.password.reveal())
        if keys.authentication is None:
            raise DlmsError(ErrorKind.NO_KEY, "there is a unicast key and no authentication key")
        heard = counters.heard()
        return Client(
            mechanism=Mechanism.GMAC,
            security=Security(
                Keys(
                    keys.unicast.reveal(),
                    keys.authentication.reveal(),
                    None if keys.broadcast is None else keys.broadcast.reveal(),
                ),
                plan.title,
                suite=plan.suite,
                form=plan.form,
            ),
            challenge=self._chance(_CHALLENGE_BYTES),
            next_counter=counters.outbound,
            heard=None if heard < 0 else heard,
        )


class _DlmsSession:
    """A conversation; see the port for what each operation does."""

    def __init__(
        self,
        talk: Talk | None,
        link: MeterLink,
        plan: Plan,
        clock: Clock,
        *,
        layouts: dict[tuple[str, str], _Layout],
        channels: dict[tuple[str, str], tuple[int, Channel]],
    ) -> None:
        self._conversation, self._link, self._plan, self._clock = talk, link, plan, clock
        self._layouts, self._channels = layouts, channels

    @property
    def _talk(self) -> Talk:
        assert self._conversation is not None  # noqa: S101 - what was pushed is laid out without one
        return self._conversation

    async def _told(self, doing: Awaitable[T]) -> T:
        try:
            return await doing
        except DlmsError as error:
            raise _fault(error, link=self._link) from None

    async def _read(self, *wanted: Reference) -> list[Any]:
        """Values that have to be there."""
        answers = await self._told(self._talk.run(self._talk.client.read(*wanted)))
        for (result, _), reference in zip(answers, wanted, strict=True):
            self._need(result, reference)
        return [value for _, value in answers]

    def _need(self, result: AccessResult | ActionResult, reference: Reference) -> None:
        if result.name == "SUCCESS":
            return
        absent = result.name in {"OBJECT_UNDEFINED", "OBJECT_CLASS_INCONSISTENT", "OBJECT_UNAVAILABLE"}
        kind = NoData if absent else RefusedByMeter
        raise kind(f"meter {self._link.meter_id}: {reference}: {result.name.lower().replace('_', ' ')}")

    def _senseless(self, said: str) -> Malformed:
        return Malformed(f"meter {self._link.meter_id}: {said}")

    # --- the clock

    async def read_clock(self) -> MeterClock:
        """The meter's clock."""
        moment = self._moment((await self._read(_CLOCK))[0])
        return MeterClock(at=epoch(self._instant(moment)), valid=not (moment.status or 0) & _INVALID_CLOCK)

    async def set_clock(self, *, at: datetime) -> None:
        """Set it, in the local time that the meter keeps."""
        moment = self._moment((await self._read(_CLOCK))[0])
        deviation = moment.deviation_minutes if moment.deviation_minutes is not None else self._plan.deviation or 0
        local = at.astimezone(timezone(timedelta(minutes=-deviation)))
        told = DateTime.at(local, status=(moment.status or 0) & ~_INVALID_CLOCK & 0xFF)
        result = await self._told(self._talk.run(self._talk.client.write(_CLOCK, date_time(told))))
        self._need(result, _CLOCK)

    def _moment(self, value: object) -> DateTime:
        if isinstance(value, DateTime):
            return value
        if isinstance(value, bytes):
            try:
                return DateTime.decode(value)
            except DlmsError as error:
                raise self._senseless(error.detail) from None
        raise self._senseless(f"a time that is no date-time: {value!r}")

    def _instant(self, moment: DateTime) -> datetime:
        try:
            return moment.instant(deviation_minutes=self._plan.deviation)
        except DlmsError as error:
            raise self._senseless(error.detail) from None

    # --- registers

    async def read_registers(self, *, names: Sequence[str]) -> Sequence[Register]:
        """In the order asked; one that the meter lacks is left out."""
        found: dict[str, Register] = {}
        at = epoch(self._clock.now())
        left = list(dict.fromkeys(names))
        for class_id, scaler_at in _SCALER_AT.items():
            asked = [
                name for name in left if self._channels.get((self._link.meter_id, name), (class_id,))[0] == class_id
            ]
            unscaled = [name for name in asked if (self._link.meter_id, name) not in self._channels]
            wanted = [Reference(class_id, self._name(name), 2) for name in asked]
            wanted += [Reference(class_id, self._name(name), scaler_at) for name in unscaled]
            if not wanted:
                continue
            answers = await self._told(self._talk.run(self._talk.client.read(*wanted)))
            for name, (_, scaler) in zip(unscaled, answers[len(asked) :], strict=True):
                channel = _channel(name, scaler)
                if channel is not None:
                    self._channels[self._link.meter_id, name] = class_id, channel
            for name, (result, value) in zip(asked, answers, strict=False):
                known = self._channels.get((self._link.meter_id, name))
                if result is AccessResult.SUCCESS and known is not None and isinstance(value, int):
                    found[name] = Register(channel=known[1], value=value, at=at)
                elif result is AccessResult.READ_WRITE_DENIED:
                    self._need(result, Reference(class_id, self._name(name), 2))
            left = [name for name in left if name not in found]
        return [found[name] for name in names if name in found]

    def _class_of(self, name: str, unknown: int) -> int:
        known = self._channels.get((self._link.meter_id, name))
        return unknown if known is None else known[0]

    def _name(self, name: str) -> bytes:
        try:
            return obis(name)
        except DlmsError as error:
            raise NoData(f"meter {self._link.meter_id}: {error.detail}") from None

    # --- profiles

    async def read_profile(self, *, profile: str, start: int, end: int) -> ProfileRows:
        """Rows whose interval starts in ``[start, end)``."""
        layout = await self._layout(profile)
        rows = await self._rows(profile, layout, start, end)
        if rows and any(len(row) != layout.width for row in rows):
            self._layouts.pop((self._link.meter_id, profile), None)
            layout = await self._layout(profile)
            rows = await self._rows(profile, layout, start, end)
        return self._laid_out(rows, layout).within(start, end)

    async def _layout(self, profile: str) -> _Layout:
        known = self._layouts.get((self._link.meter_id, profile))
        if known is None:
            known = self._layouts[self._link.meter_id, profile] = await self._asked_layout(profile)
        return known

    async def _asked_layout(self, profile: str) -> _Layout:
        name = self._name(profile)
        captured, period = await self._read(Reference(7, name, 3), Reference(7, name, 4))
        objects, clock, status, columns = self._columns(profile, captured)
        if not isinstance(period, int) or period <= 0:
            raise self._senseless(f"{profile} has no period")
        scalers = [Reference(objects[at][0], objects[at][1], _SCALER_AT[objects[at][0]]) for at in columns]
        told = await self._read(*scalers) if scalers else []
        channels = []
        for at, scaler in zip(columns, told, strict=True):
            channel = _channel(_short(objects[at][1]), scaler)
            if channel is None:
                raise self._senseless(f"{profile}: {obis_text(objects[at][1])} has no scaler and unit")
            channels.append(channel)
        return _Layout(period, clock, status, tuple(columns), tuple(channels), len(objects))

    def _columns(
        self, profile: str, captured: object
    ) -> tuple[list[tuple[int, bytes, int]], int, int | None, list[int]]:
        """The objects that a profile captures, and which of its columns are the clock, the status, and wanted."""
        try:
            objects = [(int(kind), bytes(which), int(attribute)) for kind, which, attribute, *_ in captured]  # type: ignore[attr-defined]
        except (TypeError, ValueError):
            raise self._senseless(f"{profile} says its columns as {captured!r}") from None
        clock = next((at for at, (kind, _, attribute) in enumerate(objects) if kind == 8 and attribute == 2), None)  # noqa: PLR2004
        if clock is None:
            raise self._senseless(f"{profile} has no clock among its columns")
        status = next((at for at, (_, which, _) in enumerate(objects) if which == _STATUS), None)
        wanted = self._plan.columns
        columns = [
            at
            for at, (kind, which, attribute) in enumerate(objects)
            if kind in _SCALER_AT and attribute == 2 and (not wanted or _short(which) in wanted)  # noqa: PLR2004
        ]
        return objects, clock, status, columns

    def laid_out(self, profile: str, captured: object, rows: object, period: int) -> ProfileRows | None:
        """Rows that came with their columns; ``None`` where a scaler is not known."""
        objects, clock, status, columns = self._columns(profile, captured)
        known = self._layouts.get((self._link.meter_id, profile))
        channels = {one.name: one for one in known.channels} if known else {}
        for at in columns:
            name = _short(objects[at][1])
            if name not in channels and (self._link.meter_id, name) in self._channels:
                channels[name] = self._channels[self._link.meter_id, name][1]
        names = [_short(objects[at][1]) for at in columns]
        if any(name not in channels for name in names):
            return None
        if not isinstance(rows, list) or not all(isinstance(row, tuple) for row in rows):
            raise self._senseless(f"{profile} came with rows that are no structures")
        layout = _Layout(period, clock, status, tuple(columns), tuple(channels[name] for name in names), len(objects))
        return self._laid_out(rows, layout)

    async def _rows(self, profile: str, layout: _Layout, start: int, end: int) -> list[tuple[Any, ...]]:
        shift = layout.period if self._plan.stamped_at_end else 0
        rows = await self._selected(profile, start + shift, end - 1 + shift)
        if not all(isinstance(row, tuple) for row in rows):
            raise self._senseless(f"{profile} has rows that are no structures")
        return rows

    async def _selected(self, profile: str, first: int, last: int) -> list[Any]:
        """What a profile stamped from ``first`` to ``last``, both included."""
        buffer = Reference(7, self._name(profile), 2)
        clock = structure(uint16(8), octets(_CLOCK.name), int8(2), uint16(0))
        edges = (date_time(self._stamp(at)) for at in (first, last))
        selection = Selection(_BY_RANGE, structure(clock, *edges, array([])))
        ((result, rows),) = await self._told(self._talk.run(self._talk.client.read((buffer, selection))))
        self._need(result, buffer)
        if not isinstance(rows, list):
            raise self._senseless(f"{profile} is no array")
        return rows

    def _stamp(self, at: int) -> DateTime:
        zone = timezone(timedelta(minutes=-(self._plan.deviation or 0)))
        return DateTime.at(datetime.fromtimestamp(at, zone))

    def _laid_out(self, rows: list[tuple[Any, ...]], layout: _Layout) -> ProfileRows:
        kept: dict[int, tuple[tuple[int | None, ...], int]] = {}
        stamp: int | None = None
        before: tuple[Any, ...] = (None,) * layout.width
        for row in rows:
            if len(row) != layout.width:
                raise self._senseless(f"a row of {len(row)} columns where {layout.width} were announced")
            # What a meter leaves out is as in the row before; a stamp goes on by a period (null-data compression).
            full = tuple(old if new is None else new for old, new in zip(before, row, strict=True))
            said = row[layout.clock]
            if said is not None:
                stamp = epoch(self._instant(self._moment(said)))
            elif stamp is not None:
                stamp += layout.period
            else:
                raise self._senseless("the first row has no time")
            before = full
            if stamp % layout.period:
                continue
            status = full[layout.status] if layout.status is not None else 0
            values = tuple(full[at] for at in layout.columns)
            if not all(value is None or type(value) is int for value in values) or not isinstance(status, int | None):
                raise self._senseless(f"a row with {row!r}")
            begun = stamp - layout.period if self._plan.stamped_at_end else stamp
            kept[begun] = values, (status or 0) & 0xFF
        return _as_rows(kept, layout.channels)

    # --- events

    async def read_events(self, *, log: str, since: int) -> Sequence[LoggedEvent]:
        """Entries at or after ``since``, in the log's order."""
        last = epoch(self._clock.now() + timedelta(days=366))
        return self.entries(log, await self._selected(log, since, last), since=since)

    def entries(self, log: str, rows: object, *, since: int) -> list[LoggedEvent]:
        """The entries that rows of a log are, from ``since`` on."""
        found = []
        for row in rows if isinstance(rows, list) else [rows]:
            if not isinstance(row, tuple) or len(row) < 2 or not isinstance(row[1], int):  # noqa: PLR2004 - time, code
                raise self._senseless(f"an entry of {log} with {row!r}")
            at = epoch(self._instant(self._moment(row[0])))
            if at >= since:
                found.append(LoggedEvent(log=log, code=row[1], at=at))
        return found

    # --- the relay and the limiter

    async def read_relay(self) -> Relay:
        """Attributes 2, 3 and 4 of class 70."""
        output, state, mode = await self._read(*(Reference(70, _RELAY, number) for number in (2, 3, 4)))
        if not isinstance(output, bool) or state not in {0, 1, 2} or not isinstance(mode, int):
            raise self._senseless(f"its disconnector is {output!r}, {state!r}, {mode!r}")
        return Relay(output_state=output, control_state=_STATES[state], control_mode=mode)

    async def switch(self, *, on: bool) -> None:
        """Returns when the meter has accepted it."""
        method = Reference(70, _RELAY, 2 if on else 1)
        result, _ = await self._told(self._talk.run(self._talk.client.invoke(method, int8(0))))
        self._need(result, method)

    async def read_limit(self) -> int:
        """In watts."""
        (threshold,) = await self._read(Reference(71, _LIMITER, 4))
        scale = await self._limit_scale()
        if not isinstance(threshold, int):
            raise self._senseless(f"its limit is {threshold!r}")
        return int(threshold * 10**scale) if scale >= 0 else int(threshold // 10**-scale)

    async def set_limit(self, *, watts: int) -> None:
        """In the type that the meter takes: it has to be that of the monitored value, which is not said."""
        scale = await self._limit_scale()
        value = watts // 10**scale if scale >= 0 else watts * 10**-scale
        reference = Reference(71, _LIMITER, 4)
        result = AccessResult.TYPE_UNMATCHED
        for typed in (uint32, int32, uint16):
            if result is AccessResult.TYPE_UNMATCHED:
                result = await self._told(self._talk.run(self._talk.client.write(reference, typed(value))))
        self._need(result, reference)

    async def _limit_scale(self) -> int:
        (monitored,) = await self._read(Reference(71, _LIMITER, 2))
        try:
            class_id, name, _ = monitored
            (scaler,) = await self._read(Reference(class_id, name, _SCALER_AT[class_id]))
        except (TypeError, ValueError, KeyError, NoData):
            return 0  # a limiter that says nothing of what it watches counts watts
        channel = _channel("limit", scaler)
        return 0 if channel is None else channel.scale

    # --- keys

    async def install_keys(self, *, keys: KeySet) -> None:
        """All in one request, wrapped with the master key."""
        if self._talk.client.protection is None:
            raise Unsupported(f"meter {self._link.meter_id}: this conversation has no keys that could be changed")
        if keys.master is None:
            raise BadKey(f"meter {self._link.meter_id}: without its master key no key can be changed")
        given = ((_GUEK, keys.unicast), (_GBEK, keys.broadcast), (_GAK, keys.authentication))
        parts = [
            structure(enum(number), octets(wrap_key(key.reveal(), master=keys.master.reveal())))
            for number, key in given
            if key is not None
        ]
        method = Reference(64, _SECURITY, 2)
        result, _ = await self._told(self._talk.run(self._talk.client.invoke(method, array(parts))))
        self._need(result, method)


def _channel(name: str, scaler: object) -> Channel | None:
    """A channel of scaler and unit, or ``None`` for what is none."""
    match scaler:
        case (int(scale), int(unit)):
            return Channel(name=name, scale=scale, unit=_UNITS.get(unit, ""))
    return None


def _short(name: bytes) -> str:
    return obis_text(name).removesuffix(".255")


def _as_rows(kept: Mapping[int, tuple[tuple[int | None, ...], int]], channels: tuple[Channel, ...]) -> ProfileRows:
    if not kept:
        return ProfileRows.none(channels)
    starts = sorted(kept)
    values = [kept[start][0] for start in starts]
    missing = any(value is None for row in values for value in row)
    return ProfileRows(
        channels=channels,
        starts=np.array(starts, dtype=np.int64),
        values=np.array([[value or 0 for value in row] for row in values], dtype=np.int64).reshape(len(starts), -1),
        status=np.array([kept[start][1] for start in starts], dtype=np.uint8),
        present=np.array([[value is not None for value in row] for row in values]) if missing else None,
    )
