"""Virtual meters in this process: each measures, remembers what it could not deliver, and has a disconnector.

They stand where a head-end and real meters will: downwards they are asked as :class:`wattledger.control.SwitchPort`,
upwards :meth:`VirtualMeters.collect` gives what has come to the concentrators. Nothing else in the room knows that no
radio and no protocol lie between.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from wattledger import readings
from wattledger.control import MeterUnreachable, RelayState
from wattledger.demo._loads import DAY_SECONDS, ZONE_OFFSET, LoadModel
from wattledger.demo._noise import chance, noise, whole
from wattledger.demo._town import SLOT_SECONDS, ZONE, Supply, Town, slot_floor
from wattledger.kernel import Clock, Energy, IntervalSeries, Quality, epoch, from_epoch, zone_named
from wattledger.readings import IntervalBatch, PointIntervals

_HOUR, _MINUTE = 3600, 60

_OUTAGE_SHARE = 0.03
"""So many meters fall silent on any day."""

_OUTAGE_HOURS = (1.5, 9.0)
_OVER_MONTH_END = (timedelta(hours=-3, minutes=-30), timedelta(hours=5, minutes=15))
_ANSWER_MS = (150, 900)
_BUTTON_MINUTES = (2, 15)


@dataclass(frozen=True, slots=True)
class MeterMemory:
    """What a meter is to remember after a restart: what it has delivered, and how its disconnector stands."""

    sent_until: datetime
    sent: Energy
    output_on: bool = True
    since: datetime | None = None


@dataclass(slots=True)
class _Meter:
    supply: Supply
    installed: int
    register_wh: int
    sent_until: int
    output_on: bool = True
    button_at: int | None = None
    on_at_sent: bool = True
    switched: list[tuple[int, bool]] = field(default_factory=list)

    def switch(self, at: int, *, on: bool) -> None:
        if on != self.output_on:
            self.output_on = on
            self.switched.append((at, on))

    def press_if_due(self, now: int) -> None:
        if self.button_at is not None and self.button_at <= now:
            self.switch(self.button_at, on=True)
            self.button_at = None

    def connected_seconds(self, starts: NDArray[np.int64]) -> NDArray[np.int64]:
        """How long the disconnector was closed within each slot that begins at ``starts``."""
        total = np.zeros(len(starts), dtype=np.int64)
        closed_from = self.sent_until if self.on_at_sent else None
        for at, on in [*self.switched, (int(starts[-1]) + SLOT_SECONDS, False)]:
            if closed_from is not None:
                total += np.clip(np.minimum(starts + SLOT_SECONDS, at) - np.maximum(starts, closed_from), 0, None)
            closed_from = at if on else None
        return total


class VirtualMeters:
    """Every meter of a town. Safe to use from several threads.

    ``pause`` is called with the seconds of life that a meter takes to answer a command; it does nothing at first and is
    set when the town goes live.
    """

    def __init__(self, *, town: Town, clock: Clock) -> None:
        self.town = town
        self.pause: Callable[[float], object] = _at_once
        self._clock = clock
        self._loads = LoadModel(town)
        self._outages = Outages(town)
        self._lock = threading.Lock()
        start = epoch(town.plan.start)
        self._meters = {
            supply.meter_id: _Meter(
                supply=supply, installed=start, register_wh=_first_register(town, supply), sent_until=start
            )
            for supply in town.supplies
        }

    # --- commands ---------------------------------------------------------------------------------------------------

    def disconnect(self, *, meter_id: str) -> None:
        """Open the disconnector; raises :class:`MeterUnreachable`."""
        with self._answering(meter_id) as (meter, now):
            meter.button_at = None
            meter.switch(now, on=False)

    def reconnect(self, *, meter_id: str) -> None:
        """Close the disconnector, or make it ready for the button at the meter; raises :class:`MeterUnreachable`."""
        with self._answering(meter_id) as (meter, now):
            if not meter.supply.push_button:
                meter.switch(now, on=True)
            elif not meter.output_on and meter.button_at is None:
                minutes = whole(
                    self.town.plan.seed,
                    "button",
                    meter.supply.index,
                    now,
                    low=_BUTTON_MINUTES[0],
                    high=_BUTTON_MINUTES[1],
                )
                meter.button_at = now + minutes * _MINUTE

    def read_relay(self, *, meter_id: str) -> RelayState:
        """Attributes 2 and 3 of the disconnector; raises :class:`MeterUnreachable`."""
        with self._answering(meter_id) as (meter, _):
            if meter.output_on:
                return RelayState(output_on=True, control_state="connected")
            ready = meter.button_at is not None
            return RelayState(output_on=False, control_state="ready_for_reconnection" if ready else "disconnected")

    def register(self, meter_id: str) -> Energy:
        """What the meter's import register shows at the end of the last whole interval."""
        with self._lock:
            meter = self._meters[meter_id]
            now = self._now(meter)
            imported, _ = self._measured(meter, slot_floor(from_epoch(now)))
            return Energy(meter.register_wh + int(imported.sum()))

    def online(self, meter_id: str) -> bool:
        """Whether the meter can be reached at this instant."""
        return not self._outages.silent(self._meters[meter_id].supply, epoch(self._clock.now()))

    def _answering(self, meter_id: str) -> _Conversation:
        meter = self._meters[meter_id]
        low, high = _ANSWER_MS
        self.pause(whole(self.town.plan.seed, "answer", meter.supply.index, low=low, high=high) / 1000)
        if not self.online(meter_id):
            raise MeterUnreachable(
                f"meter {meter_id} of {meter.supply.name} does not answer",
                remedy="it is asked again; look at its concentrator if that goes on",
            )
        return _Conversation(self._lock, meter, self._now)

    def _now(self, meter: _Meter) -> int:
        now = max(epoch(self._clock.now()), meter.sent_until)
        meter.press_if_due(now)
        return now

    # --- readings ---------------------------------------------------------------------------------------------------

    def collect(self, *, until: datetime, concentrator: int | None = None) -> IntervalBatch | None:
        """All whole intervals before ``until`` that the meters now online have not delivered yet, as one batch.

        Of one concentrator, or of all. ``None`` when there is nothing. The batch stays to be delivered until
        :meth:`acknowledge`; the same intervals always make the same batch id.
        """
        end = slot_floor(until)
        with self._lock:
            now = epoch(self._clock.now())
            silent = self._outages.all_silent(now)
            points: list[PointIntervals] = []
            for meter in self._meters.values():
                if concentrator is not None and meter.supply.concentrator != concentrator:
                    continue
                if meter.sent_until < end and meter.supply.index not in silent:
                    meter.press_if_due(now)
                    points += self._pending(meter, end)
        if not points:
            return None
        return IntervalBatch(id=self._batch_id(points, end, concentrator), source="virtual-town", points=points)

    def acknowledge(self, batch: IntervalBatch) -> None:
        """The batch is stored: its intervals are not offered again."""
        by_point = {meter.supply.service_point_id: meter for meter in self._meters.values()}
        with self._lock:
            for point in batch.points:
                if point.channel != readings.IMPORT or not len(point.series):
                    continue
                meter = by_point[point.service_point_id]
                meter.register_wh += int(point.series.values.sum())
                meter.sent_until = int(point.series.starts[-1]) + SLOT_SECONDS
                past = [on for at, on in meter.switched if at <= meter.sent_until]
                meter.on_at_sent = past[-1] if past else meter.on_at_sent
                meter.switched = [(at, on) for at, on in meter.switched if at > meter.sent_until]

    def restore(self, memories: Mapping[str, MeterMemory]) -> None:
        """Let the meters (by id) remember what was so before the program stopped."""
        with self._lock:
            for meter_id, memory in memories.items():
                meter = self._meters[meter_id]
                meter.register_wh = _first_register(self.town, meter.supply) + memory.sent.wh
                meter.sent_until = max(meter.installed, epoch(memory.sent_until))
                since = meter.sent_until if memory.since is None else epoch(memory.since)
                meter.output_on = memory.output_on
                meter.button_at = None
                within = since > meter.sent_until
                meter.on_at_sent = memory.output_on != within
                meter.switched = [(since, memory.output_on)] if within else []

    def sent_until(self) -> datetime:
        """The end of the newest interval that any meter has delivered."""
        return from_epoch(max(meter.sent_until for meter in self._meters.values()))

    def _pending(self, meter: _Meter, end: int) -> list[PointIntervals]:
        imported, exported = self._measured(meter, end)
        starts, qualities = _columns(meter.sent_until, end)
        channels = (
            {readings.IMPORT: imported, readings.EXPORT: exported}
            if meter.supply.has_export
            else {readings.IMPORT: imported}
        )
        return [
            PointIntervals(
                service_point_id=meter.supply.service_point_id,
                channel=channel,
                series=IntervalSeries(starts, values, qualities, SLOT_SECONDS),
            )
            for channel, values in channels.items()
        ]

    def _measured(self, meter: _Meter, end: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        imported, exported = self._loads.watt_hours(meter.supply.index, meter.sent_until, end)
        if not len(imported) or (meter.on_at_sent and not meter.switched):
            return imported, exported
        connected = meter.connected_seconds(_columns(meter.sent_until, end)[0])
        return imported * connected // SLOT_SECONDS, exported * connected // SLOT_SECONDS

    def _batch_id(self, points: Sequence[PointIntervals], end: int, concentrator: int | None) -> str:
        digest = hashlib.sha256()
        for point in points:
            digest.update(f"{point.service_point_id} {point.channel} {point.series.starts[0]}\n".encode())
        first = min(int(point.series.starts[0]) for point in points)
        where = "all" if concentrator is None else f"c{concentrator + 1}"
        span = f"{from_epoch(first):%Y%m%dT%H%MZ}-{from_epoch(end):%Y%m%dT%H%MZ}"
        return f"town:{self.town.plan.seed}:{where}:{span}:{digest.hexdigest()[:12]}"


class _Conversation:
    """Holds the meters still while one of them answers; gives the meter and its present second."""

    def __init__(self, lock: threading.Lock, meter: _Meter, now: Callable[[_Meter], int]) -> None:
        self._lock, self._meter, self._now = lock, meter, now

    def __enter__(self) -> tuple[_Meter, int]:
        self._lock.acquire()
        try:
            return self._meter, self._now(self._meter)
        except BaseException:
            self._lock.release()
            raise

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class Outages:
    """When which meter cannot be reached. It measures on, and delivers when it is back."""

    def __init__(self, town: Town) -> None:
        self._seed = town.plan.seed
        self._supplies = np.arange(len(town.supplies))
        self._billed = [supply for supply in town.supplies if supply.mode == "postpay"]
        self._begun_on = lru_cache(maxsize=8)(self._outages_of_day)
        self._silent_over = lru_cache(maxsize=8)(self._silent_over_month_end)

    def silent(self, supply: Supply, at: int) -> bool:
        """Whether ``supply``'s meter is out of reach at epoch second ``at``."""
        return supply.index in self.all_silent(at)

    def all_silent(self, at: int) -> set[int]:
        """The indexes of all supplies whose meters are out of reach at epoch second ``at``."""
        today = (at + ZONE_OFFSET) // DAY_SECONDS
        found = set(self._over_month_end(at))
        for day in (today - 1, today):
            found.update(index for index, (begins, ends) in self._begun_on(day).items() if begins <= at < ends)
        return found

    def _outages_of_day(self, day: int) -> dict[int, tuple[int, int]]:
        """The outages that begin on a local day: from when to when, by the supply's index."""
        midnight = day * DAY_SECONDS - ZONE_OFFSET
        chances = noise(self._seed, "outage", self._supplies, day)
        low, high = (int(hours * _HOUR) for hours in _OUTAGE_HOURS)
        found: dict[int, tuple[int, int]] = {}
        for index in np.flatnonzero(chances < _OUTAGE_SHARE).tolist():
            begins = midnight + whole(self._seed, "outage-at", index, day, low=0, high=DAY_SECONDS)
            found[index] = (begins, begins + whole(self._seed, "outage-for", index, day, low=low, high=high))
        return found

    def _over_month_end(self, at: int) -> frozenset[int]:
        """A billed home and a billed shop fall silent over every month's end: their bills have to wait for the data."""
        local = from_epoch(at).astimezone(zone_named(ZONE))
        before, after = _OVER_MONTH_END
        turn = (local - before).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return self._silent_over(turn.year, turn.month) if turn + before <= local < turn + after else frozenset()

    def _silent_over_month_end(self, year: int, month: int) -> frozenset[int]:
        drawn: dict[str, int] = {}
        for supply in sorted(self._billed, key=lambda s: chance(self._seed, "month-end", s.index, year, month)):
            drawn.setdefault(supply.kind, supply.index)
        return frozenset(drawn[kind] for kind in ("home", "shop") if kind in drawn)


@lru_cache(maxsize=64)
def _columns(start: int, end: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """The starts and qualities of the slots in ``[start, end)``; shared by many meters, so not to be written."""
    starts = np.arange(start, end, SLOT_SECONDS, dtype=np.int64)
    qualities = np.full(len(starts), Quality.ACTUAL, dtype=np.uint8)
    for column in (starts, qualities):
        column.flags.writeable = False
    return starts, qualities


def _first_register(town: Town, supply: Supply) -> int:
    """A meter does not begin its life at zero."""
    return whole(town.plan.seed, "register", supply.index, low=50_000, high=9_000_000)


def _at_once(_seconds: float) -> None:
    """No pause."""
