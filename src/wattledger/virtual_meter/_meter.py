"""What a virtual meter is and does, before anybody speaks with it: it counts, logs, switches, keeps credit.

Nothing runs in a meter. Whatever is asked of it first lets it catch up with the clock: what its limiter, its credit or
a schedule would have done in between is done then, at the instant at which it would have happened. So thousands of
meters cost nothing while nobody asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from wattledger.dlms import Keys
from wattledger.kernel import Clock, epoch
from wattledger.virtual_meter._clock import DriftingClock
from wattledger.virtual_meter._disconnector import Cause, Disconnector
from wattledger.virtual_meter._faults import Fault
from wattledger.virtual_meter._load import NOTHING, Load
from wattledger.virtual_meter._prepayment import Prepayment

Instants = NDArray[np.int64]

PERIOD = 900
ENTRIES = 40 * 96
LOG_MAX = 200
STANDARD, FRAUD, DISCONNECTOR, COMMUNICATION = range(4)
"""The event logs: 0-0:99.98.0, .1, .2 and .5."""
CLOCK_OLD, CLOCK_NEW, POWER_DOWN, POWER_UP = 4, 5, 1, 2
_KEYS_CHANGED, _REPLAYED, _NOT_DECIPHERED = 48, 50, 49
_OVER, _LIMIT_CHANGED = 65, 67
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_WHOLE = 1_000
_STRETCHES_MAX = 256
_CAUGHT_UP_MAX = 31 * 24 * 60  # minutes
_RATES = ((0, 2), (7 * 60, 1), (22 * 60, 2))

_TAMPER: dict[Fault, tuple[int, int | None, int]] = {
    Fault.COVER_OPENED: (44, 45, _WHOLE),
    Fault.MAGNET: (42, 43, 600),
    Fault.BYPASS: (40, 41, 500),
}
"""The codes when a tamper begins and ends, and how many thousandths of the load are counted meanwhile."""


class MeterPlan:
    """What all meters of a kind have in common: kept once for thousands."""

    def __init__(
        self, *, zone: str = "UTC", rollover_wh: int = 10**9, period: int = PERIOD, entries: int = ENTRIES
    ) -> None:
        self.zone = ZoneInfo(zone)
        self.rollover_wh = rollover_wh
        self.period, self.entries = period, entries


@dataclass(slots=True)
class Limiter:
    """Class 71, as far as it acts: over ``normal`` watts for ``min_over`` seconds the relay opens. 0: no limit."""

    normal: int = 0
    emergency: int = 0
    min_over: int = 60
    min_under: int = 60
    emergency_from: int = 0
    emergency_until: int = 0

    def active(self, at: int) -> int:
        """The threshold that holds now."""
        return self.emergency if self.emergency_from <= at < self.emergency_until else self.normal


@final
class VirtualMeter:
    """One meter. ``number`` is its place in a town and its address in the wrapper; ``installed`` epoch seconds."""

    __slots__ = (
        "_caught_up",
        "_clock",
        "_down",
        "_stretches",
        "counter",
        "disconnector",
        "exported",
        "faults",
        "firmware",
        "heard",
        "installed",
        "keys",
        "limiter",
        "load",
        "logs",
        "master",
        "number",
        "password",
        "pending",
        "plan",
        "prepayment",
        "register_wh",
        "scheduled",
        "serial",
        "suite",
        "tamper",
        "time",
    )

    def __init__(  # noqa: PLR0913 - what can differ between two meters
        self,
        *,
        number: int,
        clock: Clock,
        load: Load,
        plan: MeterPlan | None = None,
        serial: str = "",
        exported: Load = NOTHING,
        installed: int = 0,
        register_wh: int = 0,
        keys: Keys | None = None,
        master: bytes | None = None,
        password: bytes | None = None,
        suite: int = 0,
        mode: int = 4,
        drift_ppm: int = 0,
        ahead: int = 0,
        prepayment: Prepayment | None = None,
    ) -> None:
        self.number = number
        self.plan = plan or MeterPlan()
        self.serial = serial or f"{number:08d}"
        self.load, self.exported = load, exported
        self.installed, self.register_wh = installed, register_wh
        self.keys, self.master, self.password, self.suite = keys, master, password, suite
        self.time = DriftingClock(zone=self.plan.zone, ppm=drift_ppm, ahead=ahead, since=installed)
        self.disconnector = Disconnector(mode=mode)
        self.limiter = Limiter()
        self.prepayment = prepayment
        self.faults: set[Fault] = set()
        self.logs: dict[int, list[tuple[int, int]]] = {}
        self.tamper: dict[Fault, list[int]] = {}
        self.heard: dict[int, int] = {}
        """The highest invocation counter of each client."""
        self.counter = 0
        """Of our own last ciphered frame."""
        self.pending: Mapping[str, bytes] = {}
        self.scheduled: tuple[int, Cause] | None = None
        self.firmware = "WLG-VM-1"
        self._clock = clock
        self._stretches = [(installed, _WHOLE)]
        """From when on how many thousandths of the load are counted."""
        self._down: list[tuple[int, int]] = []
        self._caught_up = epoch(clock.now())

    # --- counting

    def now(self) -> int:
        """The real instant, epoch seconds; the meter has caught up with it."""
        at = epoch(self._clock.now())
        self._catch_up(at)
        return at

    def imported(self, at: Instants) -> Instants:
        """The import register in Wh at these real instants, not rolled over."""
        return self._counted(self.load, at) + self.register_wh

    def sent_out(self, at: Instants) -> Instants:
        """The export register in Wh."""
        return self._counted(self.exported, at)

    def shown_register(self, wh: Instants) -> Instants:
        """What the digits show: after the last one the register begins anew."""
        limit = 10**5 if Fault.ROLLOVER in self.faults else self.plan.rollover_wh
        rolled: Instants = wh % limit
        return rolled

    def watts(self, at: int) -> int:
        """The power through the meter now, over the last minute."""
        before, after = self.imported(np.array([at - _MINUTE, at], dtype=np.int64))
        return int(after - before) * (_HOUR // _MINUTE)

    def by_rate(self, at: int) -> dict[int, int]:
        """Wh imported under each rate of the calendar so far; they add up to the register."""
        edges, rates = self._rate_edges(self.installed, at)
        wh = np.diff(self.imported(np.array([*edges, at], dtype=np.int64)))
        found = {rate: int(wh[np.array(rates) == rate].sum()) for rate in (1, 2)} if rates else {1: 0, 2: 0}
        found[2] += self.register_wh
        return found

    def rate(self, at: int) -> int:
        """The rate that is active."""
        return self._rate_edges(at, at + 1)[1][-1]

    def highest_demand(self, at: int) -> tuple[int, int]:
        """The highest average power of a period since the month began, in W, and when that period ended."""
        local = datetime.fromtimestamp(at, self.plan.zone)
        begun = int(local.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp())
        period = self.plan.period
        edges = np.arange(-(-max(begun, self.installed) // period) * period, at + 1, period, dtype=np.int64)
        if len(edges) < 2:  # noqa: PLR2004 - a period has two edges
            return 0, at
        demand = np.diff(self.imported(edges)) * _HOUR // period
        highest = int(demand.argmax())
        return int(demand[highest]), int(edges[highest + 1])

    def _rate_edges(self, start: int, end: int) -> tuple[list[int], list[int]]:
        """The instants at which a rate begins, the first at ``start``, and those rates."""
        edges, rates = [], []
        day = datetime.fromtimestamp(start, self.plan.zone).replace(hour=0, minute=0, second=0, microsecond=0)
        while (begun := int(day.timestamp())) < end:
            for minutes, rate in _RATES:
                at = int(day.replace(hour=minutes // 60, minute=minutes % 60).timestamp())
                if at <= start:
                    edges, rates = [start], [rate]
                elif at < end:
                    edges.append(at)
                    rates.append(rate)
            day = (day.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=self.plan.zone)
            if int(day.timestamp()) <= begun:
                break
        return edges, rates

    def _counted(self, load: Load, at: Instants) -> Instants:
        total = np.zeros(len(at), dtype=np.int64)
        ends = [since for since, _ in self._stretches[1:]]
        for (since, share), end in zip(self._stretches, [*ends, None], strict=True):
            if not share:
                continue
            upper = np.maximum(at, since) if end is None else np.clip(at, since, end)
            flowed = load.counted(upper) - load.counted(np.array([since], dtype=np.int64))[0]
            total += flowed * share // _WHOLE
        return total

    def _share(self) -> int:
        if not self.disconnector.closed:
            return 0
        return min((_TAMPER[fault][2] for fault in self.faults if fault in _TAMPER), default=_WHOLE)

    def _measure_anew(self, at: int) -> None:
        share = self._share()
        if share != self._stretches[-1][1]:
            if self._stretches[-1][0] == at:
                self._stretches[-1] = (at, share)
            else:
                self._stretches.append((at, share))
        if len(self._stretches) > _STRETCHES_MAX:
            half = self._stretches[_STRETCHES_MAX // 2][0]
            self.register_wh += int(self._counted(self.load, np.array([half], dtype=np.int64))[0])
            self._stretches = self._stretches[_STRETCHES_MAX // 2 :]

    # --- events

    def note(self, log: int, code: int, *, at: int) -> None:
        """Write an entry into a log, with the time that the meter takes it for."""
        entries = self.logs.setdefault(log, [])
        entries.append((self.time.shown(at), code))
        del entries[:-LOG_MAX]

    def not_authentic(self, *, replayed: bool) -> None:
        """Somebody sent what was no good: it is logged as such."""
        self.note(FRAUD, _REPLAYED if replayed else _NOT_DECIPHERED, at=self.now())

    def show_fault(self, fault: Fault, *, shown: bool = True) -> None:
        """Let a fault begin, or end."""
        at = self.now()
        if shown == (fault in self.faults):
            return
        self.faults ^= {fault}
        if fault is Fault.STUCK_RELAY:
            self.disconnector.stuck = shown
        if fault in _TAMPER:
            begins, ends, _ = _TAMPER[fault]
            code = begins if shown else ends
            if code is not None:
                self.note(FRAUD, code, at=at)
            if shown:
                self.tamper.setdefault(fault, []).append(self.time.shown(at))
            self._measure_anew(at)

    def alarms(self) -> int:
        """The alarm register: bits of what is wrong now."""
        bits = {Fault.COVER_OPENED: 13, Fault.MAGNET: 14, Fault.BYPASS: 12}
        return sum(1 << bit for fault, bit in bits.items() if fault in self.faults)

    def fail_power(self, *, start: int, end: int) -> None:
        """There was no power between two real instants: nothing was counted, no row was written."""
        self._down.append((start, end))
        self._down = self._down[-50:]
        shares = dict(self._stretches)
        before = [share for since, share in self._stretches if since <= start]
        inside = [share for since, share in self._stretches if since <= end]
        kept = {since: share for since, share in shares.items() if not start <= since <= end}
        kept[start], kept[end] = 0, inside[-1] if inside else _WHOLE
        if not before:
            kept[self.installed] = _WHOLE
        self._stretches = sorted(kept.items())
        self.note(STANDARD, POWER_DOWN, at=start)
        self.note(STANDARD, POWER_UP, at=end)

    def was_down(self, start: int, end: int) -> bool:
        """Whether a power failure touched this stretch."""
        return any(begun < end and start < ended for begun, ended in self._down)

    def was_up_at(self, at: int) -> bool:
        """Whether a row could be written at this instant."""
        return not any(begun < at <= ended for begun, ended in self._down)

    # --- the relay

    def switch(self, cause: Cause, *, at: int | None = None) -> None:
        """Let the relay's logic do what it makes of this."""
        when = self.now() if at is None else at
        for code in self.disconnector.act(cause):
            self.note(DISCONNECTOR, code, at=when)
        self._measure_anew(when)

    def press_button(self) -> None:
        """Somebody at the meter reconnects by hand, where that is possible."""
        self.switch("manual reconnect")

    def limit(self, watts: int) -> None:
        """Set the normal threshold of the limiter."""
        self.now()
        self.limiter.normal = watts
        self.note(DISCONNECTOR, _LIMIT_CHANGED, at=self.now())

    def set_clock(self, shown: int) -> None:
        """Set the clock; both times are logged."""
        at = self.now()
        self.note(STANDARD, CLOCK_OLD, at=at)
        self.time.set(at=at, to=shown)
        self.note(STANDARD, CLOCK_NEW, at=at)

    def clock_was_set(self, first: int, last: int) -> bool:
        """Whether the clock was set in a stretch of what the meter showed."""
        return any(first < shown <= last for shown, code in self.logs.get(STANDARD, ()) if code == CLOCK_NEW)

    # --- keys and credit

    def install_keys(self, keys: Mapping[int, bytes]) -> None:
        """Take new keys: 0 unicast, 1 broadcast, 2 authentication, 3 master. They hold from the next association on."""
        if self.keys is not None:
            self.keys = Keys(
                keys.get(0, self.keys.encryption),
                keys.get(2, self.keys.authentication),
                keys.get(1, self.keys.broadcast),
            )
        self.master = keys.get(3, self.master)
        if 0 in keys:
            self.heard.clear()  # counters count anew with every unicast key
        self.note(STANDARD, _KEYS_CHANGED, at=self.now())

    def enter_token(self, digits: bytes) -> bool:
        """Take a token at the keypad or through the token gateway; False where the meter has no credit or it is bad."""
        at = self.now()
        if self.prepayment is None:
            return False
        counted = int(self.imported(np.array([at], dtype=np.int64))[0])
        good = self.prepayment.enter(digits, at=self.time.shown(at), counted=counted)
        if good and self.prepayment.left(counted) > 0 and not self.disconnector.closed:
            self.switch("local reconnect", at=at)
            if not self.disconnector.closed:
                self.switch("remote reconnect", at=at)
        return good

    def credit_left(self) -> int:
        """Wh of credit."""
        if self.prepayment is None:
            return 0
        return self.prepayment.left(int(self.imported(np.array([self.now()], dtype=np.int64))[0]))

    # --- catching up

    def _catch_up(self, at: int) -> None:
        since, self._caught_up = self._caught_up, max(at, self._caught_up)
        if self.scheduled is not None and self.scheduled[0] <= at:
            due, cause = self.scheduled
            self.scheduled = None
            self.switch(cause, at=max(due, since))
        if at <= since or not self.disconnector.closed:
            return
        watched = self.limiter.normal or self.limiter.emergency
        if not watched and self.prepayment is None:
            return
        first = max(since, at - _CAUGHT_UP_MAX * _MINUTE) // _MINUTE * _MINUTE
        edges = np.arange(first, at + 1, _MINUTE, dtype=np.int64)
        if len(edges) < 2:  # noqa: PLR2004 - nothing has passed yet
            self._caught_up = since
            return
        self._caught_up = int(edges[-1])
        counted = self.imported(edges)
        opened = [found for found in (self._over_limit(edges, counted), self._out_of_credit(edges, counted)) if found]
        if opened:
            when, code = min(opened)
            if code:
                self.note(DISCONNECTOR, code, at=when)
            self.switch("local disconnect", at=when)

    def _over_limit(self, edges: Instants, counted: Instants) -> tuple[int, int] | None:
        """When the load was over its limit for long enough."""
        watts = np.diff(counted) * (_HOUR // _MINUTE)
        limits = np.array([self.limiter.active(int(edge)) for edge in edges[:-1]], dtype=np.int64)
        over = (watts > limits) & (limits > 0)
        needed = max(1, -(-self.limiter.min_over // _MINUTE))
        run = 0
        for place, is_over in enumerate(over.tolist()):
            run = run + 1 if is_over else 0
            if run == needed:
                return int(edges[place + 1]), _OVER
        return None

    def _out_of_credit(self, edges: Instants, counted: Instants) -> tuple[int, int] | None:
        if self.prepayment is None:
            return None
        spent = self.prepayment.since_wh + self.prepayment.credit_wh
        place = int(np.searchsorted(counted, spent, side="left"))
        return (int(edges[place]), 0) if place < len(edges) and counted[-1] >= spent else None


def midnights(plan: MeterPlan, *, last: int, count: int) -> list[int]:
    """The last ``count`` local midnights up to ``last``, epoch seconds, ascending."""
    day = datetime.fromtimestamp(last, plan.zone).replace(hour=0, minute=0, second=0, microsecond=0)
    naive = day.replace(tzinfo=None)
    found = [(naive - timedelta(days=back)).replace(tzinfo=plan.zone) for back in range(count)]
    return [int(one.astimezone(UTC).timestamp()) for one in reversed(found)]


def month_starts(plan: MeterPlan, *, last: int, count: int) -> list[int]:
    """The last ``count`` local month starts up to ``last``, epoch seconds, ascending."""
    day = datetime.fromtimestamp(last, plan.zone).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    found = []
    for _ in range(count):
        found.append(int(day.astimezone(UTC).timestamp()))
        day = (day.replace(tzinfo=None, day=1) - timedelta(days=1)).replace(day=1).replace(tzinfo=plan.zone)
    return found[::-1]
