"""What a virtual meter is and does, before anybody speaks with it: it counts, logs, switches, keeps credit.

Nothing runs in a meter. Whatever is asked of it first lets it catch up with the clock: what its limiter, its credit or
a schedule would have done in between is done then, at the instant at which it would have happened. So thousands of
meters cost nothing while nobody asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from wattledger.dlms import Keys
from wattledger.kernel import Clock, epoch
from wattledger.virtual_meter._calendar import RATES, Calendar, SpecialDay, Timetable
from wattledger.virtual_meter._clock import DriftingClock
from wattledger.virtual_meter._disconnector import MODES, Cause, Disconnector, State
from wattledger.virtual_meter._faults import Fault
from wattledger.virtual_meter._limiter import MINUTE, Limiter
from wattledger.virtual_meter._load import NOTHING, Load
from wattledger.virtual_meter._prepayment import Prepayment, TokenStatus
from wattledger.virtual_meter._push_setup import ALARM, LAST_GASP, Due, Outbox

Instants = NDArray[np.int64]

PERIOD = 900
ENTRIES = 40 * 96
LOG_MAX = 200
STANDARD, FRAUD, DISCONNECTOR, COMMUNICATION = range(4)
"""The event logs: 0-0:99.98.0, .1, .2 and .5."""
CLOCK_OLD, CLOCK_NEW, POWER_DOWN, POWER_UP = 4, 5, 1, 2
_CLOCK_INVALID, _RATES_ACTIVATED, _ALARMS_CLEARED, _WATCHDOG, _RATES_WRITTEN = 6, 9, 11, 15, 19
_KEYS_CHANGED, _REPLAYED, _NOT_DECIPHERED = 48, 50, 49
_OVER, _UNDER, _LIMIT_CHANGED = 65, 66, 67
_HOUR = 3_600
_WHOLE = 1_000
_STRETCHES_MAX = 256
_FAILURES_MAX = 50
_CAUGHT_UP_MAX = 31 * 24 * 60  # minutes
_NOT_YET = 1 << 40
_FIRST_RATE = 2
"""What was counted at the works counts as night."""

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


_ON_WORKS = Timetable()


@final
class VirtualMeter:
    """One meter. ``number`` is its place in a town and its address in the wrapper; ``installed`` epoch seconds."""

    __slots__ = (
        "_armed",
        "_clock",
        "_down",
        "_opened_by_limit",
        "_rates_before",
        "_rates_since",
        "_sent_before",
        "_stretches",
        "_untrusted",
        "_watched",
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
        "outbox",
        "password",
        "plan",
        "prepayment",
        "register_wh",
        "scheduled",
        "serial",
        "suite",
        "tamper",
        "time",
        "timetable",
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
        self.timetable = _ON_WORKS
        self.scheduled: tuple[int, Cause] | None = None
        self.firmware = "WLG-VM-1"
        self.outbox = Outbox(number=number, period=self.plan.period)
        self._clock = clock
        self._stretches = [(installed, _WHOLE)]
        """From when on how many thousandths of the load are counted."""
        self._down: list[tuple[int, int]] = []
        self._untrusted: list[tuple[int, int]] = []
        """When there was no power, and when the clock did not trust itself."""
        self._sent_before = 0
        self._rates_before, self._rates_since = {rate: register_wh * (rate == _FIRST_RATE) for rate in RATES}, installed
        self._watched = self._armed = epoch(clock.now())
        """Up to when the load has been watched, and since when it is: a stuck relay is told to open but once."""
        self._opened_by_limit = _NOT_YET

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
        return self._counted(self.exported, at) + self._sent_before

    def shown_register(self, wh: Instants) -> Instants:
        """What the digits show: after the last one the register begins anew."""
        limit = 10**5 if Fault.ROLLOVER in self.faults else self.plan.rollover_wh
        rolled: Instants = wh % limit
        return rolled

    def watts(self, at: int) -> int:
        """The power through the meter now, over the last minute."""
        before, after = self.imported(np.array([at - MINUTE, at], dtype=np.int64))
        return int(after - before) * (_HOUR // MINUTE)

    def by_rate(self, at: int) -> dict[int, int]:
        """Wh imported under each rate of the calendar so far; they add up to the register."""
        found = dict(self._rates_before)
        if at > self._rates_since:
            edges, rates = self.timetable.edges(start=self._rates_since, end=at, zone=self.plan.zone)
            wh = np.diff(self.imported(np.array([*edges, at], dtype=np.int64)))
            for rate, counted in zip(rates, wh.tolist(), strict=True):
                found[rate] += counted
        return found

    def rate(self, at: int) -> int:
        """The rate that is active."""
        return self.timetable.edges(start=at, end=at + 1, zone=self.plan.zone)[1][-1]

    def _settle_rates(self, at: int) -> None:
        """What was counted so far stays under the rates that it was counted under."""
        self._rates_before, self._rates_since = self.by_rate(at), max(at, self._rates_since)

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
        if not self.disconnector.closed or Fault.POWER_DOWN in self.faults:
            return 0
        return min((_TAMPER[fault][2] for fault in self.faults if fault in _TAMPER), default=_WHOLE)

    def _measure_anew(self, at: int) -> None:
        share, (since, before) = self._share(), self._stretches[-1]
        if share != before:
            if since >= at:
                self._stretches[-1] = (since, share)
            else:
                self._stretches.append((at, share))
        if len(self._stretches) > _STRETCHES_MAX:
            half = self._stretches[_STRETCHES_MAX // 2][0]
            self._settle_rates(half)
            until = np.array([half], dtype=np.int64)
            self.register_wh += int(self._counted(self.load, until)[0])
            self._sent_before += int(self._counted(self.exported, until)[0])
            self._stretches = self._stretches[_STRETCHES_MAX // 2 :]

    # --- events

    def note(self, log: int, code: int, *, at: int) -> None:
        """Write an entry into a log, with the time that the meter takes it for."""
        entries = self.logs.setdefault(log, [])
        entries.append((self.time.shown(at), code))
        del entries[:-LOG_MAX]
        if log == FRAUD:
            self.outbox.ask(ALARM, entries[-1])

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
        if fault is Fault.CLOCK_INVALID:
            self._untrusted = _begun_or_ended(self._untrusted, at, begins=shown)
            if shown:
                self.note(STANDARD, _CLOCK_INVALID, at=at)
        if fault is Fault.POWER_DOWN:
            self._down = _begun_or_ended(self._down, at, begins=shown)
            self.note(STANDARD, POWER_DOWN if shown else POWER_UP, at=at)
            if shown:
                self.outbox.ask(LAST_GASP, (self.time.shown(at), POWER_DOWN))
            self._measure_anew(at)
        if fault in _TAMPER:
            begins, ends, _ = _TAMPER[fault]
            code = begins if shown else ends
            if code is not None:
                self.note(FRAUD, code, at=at)
            if shown:
                self.tamper.setdefault(fault, []).append(self.time.shown(at))
            self._measure_anew(at)

    def reboot(self) -> None:
        """The meter starts anew, as after its watchdog bit."""
        at = self.now()
        self.note(STANDARD, _WATCHDOG, at=at)
        self.note(STANDARD, POWER_UP, at=at)

    def clear_tampers(self) -> None:
        """A token said so: what was opened is closed, and the alarms are off."""
        for fault in [fault for fault in self.faults if fault in _TAMPER]:
            self.show_fault(fault, shown=False)
        self.note(STANDARD, _ALARMS_CLEARED, at=self.now())

    def alarms(self) -> int:
        """The alarm register: bits of what is wrong now."""
        bits = {Fault.COVER_OPENED: 13, Fault.MAGNET: 14, Fault.BYPASS: 12}
        return sum(1 << bit for fault, bit in bits.items() if fault in self.faults)

    def fail_power(self, *, start: int, end: int) -> None:
        """There was no power between two real instants: nothing was counted, no row was written."""
        self._down.append((start, end))
        self._down = self._down[-_FAILURES_MAX:]
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

    @property
    def failures(self) -> list[tuple[int, int]]:
        """The power failures that are over, the latest 50: real instants, ``[begun, ended)``."""
        return [span for span in self._down if span[1] != _NOT_YET]

    def was_down(self, start: int, end: int) -> bool:
        """Whether a power failure touched this stretch."""
        return any(begun < end and start < ended for begun, ended in self._down)

    def was_up_at(self, at: int) -> bool:
        """Whether a row could be written at this instant."""
        return not any(begun < at <= ended for begun, ended in self._down)

    def was_trusted(self, at: int) -> bool:
        """Whether the clock trusted itself at this instant."""
        return not any(begun <= at < ended for begun, ended in self._untrusted)

    # --- what is sent unasked

    def push_to(self, destination: str, *, every: int) -> None:
        """Send everything to ``host:port`` from now on, and the rows of the load profile every so many seconds."""
        self.outbox.send_to(destination, every=every, shown=self.time.shown(self.now()))

    @property
    def has_due(self) -> bool:
        """Whether anything is to be sent now; the meter is not disturbed for it."""
        return self.outbox.has_due(shown=self.time.shown(epoch(self._clock.now())))

    def take_due(self) -> list[Due]:
        """What is to be sent now; who cannot send it puts it back into the outbox."""
        return self.outbox.take(shown=self.time.shown(self.now()))

    # --- the relay

    def switch(self, cause: Cause, *, at: int | None = None) -> None:
        """Let the relay's logic do what it makes of this."""
        when = self.now() if at is None else at
        was_closed = self.disconnector.closed
        for code in self.disconnector.act(cause):
            self.note(DISCONNECTOR, code, at=when)
        if self.disconnector.closed != was_closed:
            self._opened_by_limit = _NOT_YET
            self._armed = when
        self._measure_anew(when)

    def press_button(self) -> None:
        """Somebody at the meter reconnects by hand: where that is possible, and not without credit."""
        self.now()
        if self._has_credit():
            self.switch("manual reconnect")

    def limit(self, watts: int) -> None:
        """Set the normal threshold of the limiter."""
        self.set_limiter(normal=watts)
        self.note(DISCONNECTOR, _LIMIT_CHANGED, at=self.now())

    def set_limiter(self, **told: int) -> None:
        """Set what the limiter goes by; it watches anew from now on."""
        at = self.now()
        self.limiter = replace(self.limiter, **told)
        self._armed = at

    def set_clock(self, shown: int) -> None:
        """Set the clock; both times are logged."""
        at = self.now()
        self.note(STANDARD, CLOCK_OLD, at=at)
        self.time.set(at=at, to=shown)
        self.note(STANDARD, CLOCK_NEW, at=at)

    def clock_was_set(self, first: int, last: int) -> bool:
        """Whether the clock was set in a stretch of what the meter showed."""
        return any(first < shown <= last for shown, code in self.logs.get(STANDARD, ()) if code == CLOCK_NEW)

    # --- tariff, keys and credit

    def plan_rates(self, passive: Calendar, *, activate_at: int | None) -> None:
        """Take a calendar that waits, and when it becomes active (epoch seconds, by the meter's clock)."""
        self.note(STANDARD, _RATES_WRITTEN, at=self.now())
        self.timetable = replace(self.timetable, passive=passive, activate_at=activate_at)

    def set_special_days(self, days: tuple[SpecialDay, ...]) -> None:
        """These days have tables of their own, from now on."""
        self._settle_rates(self.now())
        self.timetable = replace(self.timetable, special=days)

    def activate_rates(self, at: int | None = None) -> bool:
        """The waiting calendar becomes active; False where it is not whole."""
        when = self.now() if at is None else at
        if not self.timetable.passive.complete:
            self.timetable = replace(self.timetable, activate_at=None)
            return False
        self._settle_rates(when)
        self.timetable = self.timetable.activated()
        self.note(STANDARD, _RATES_ACTIVATED, at=when)
        return True

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
        """Take a token at the keypad or through the token gateway; False where the meter has no credit or it is bad.

        With credit again, a relay that had opened for want of it closes, where its mode has a local reconnection. A
        supply that was switched off from afar stays off.
        """
        at = self.now()
        if self.prepayment is None:
            return False
        typed = self.prepayment.enter(digits, at=self.time.shown(at), counted=self._register(at))
        if typed.status is not TokenStatus.EXECUTION_OK:
            return False
        if typed.limit_watts is not None:
            self.limit(typed.limit_watts)
        if typed.clears_tamper:
            self.clear_tampers()
        self.credit_changed()
        return True

    def credit_changed(self) -> None:
        """With credit, the relay may close; without, it is watched anew."""
        at = self.now()
        self._armed = at
        if self._has_credit() and self._opened_by_limit == _NOT_YET:
            self.switch("local reconnect", at=at)

    def credit_left(self) -> int:
        """Wh of credit."""
        return 0 if self.prepayment is None else self.prepayment.left(self._register(self.now()))

    def set_credit(self, wh: int) -> None:
        """This much credit is left from now on."""
        at = self.now()
        if self.prepayment is not None:
            self.prepayment.set(wh, counted=self._register(at))
            self.credit_changed()

    def _has_credit(self) -> bool:
        return self.prepayment is None or self.credit_left() > 0

    def _register(self, at: int) -> int:
        return int(self.imported(np.array([at], dtype=np.int64))[0])

    # --- catching up

    def _catch_up(self, at: int) -> None:
        while (due := min(self._due(at), default=None, key=lambda one: one[0])) is not None:
            when, act = max(due[0], self._watched), due[1]
            self._watched = when
            act(when)
        self._watched = max(self._watched, at)

    def _due(self, until: int) -> Iterator[tuple[int, Callable[[int], object]]]:
        """What happens next by itself, each with its instant; whatever is done is not due again."""
        if self.scheduled is not None and self.scheduled[0] <= until:
            yield self.scheduled[0], self._switch_as_scheduled
        if self.timetable.activate_at is not None:
            activate = self.time.really(self.timetable.activate_at)
            if activate <= until:
                yield activate, self.activate_rates
        if self.disconnector.closed:
            yield from self._local_disconnections(until)
        elif self._opened_by_limit + self.limiter.min_under <= until:
            yield self._opened_by_limit + self.limiter.min_under, self._reconnect

    def _local_disconnections(self, until: int) -> Iterator[tuple[int, Callable[[int], object]]]:
        if self._armed == _NOT_YET or not (self.limiter.watches or self.prepayment):
            return
        first = max(
            -(-self._armed // MINUTE),
            self._watched // MINUTE - self.limiter.minutes_over,
            until // MINUTE - _CAUGHT_UP_MAX,
        )
        edges = np.arange(first * MINUTE, until + 1, MINUTE, dtype=np.int64)
        if len(edges) < 2:  # noqa: PLR2004 - not a whole minute yet
            return
        counted = self.imported(edges)
        if self.prepayment is not None and counted[-1] >= self.prepayment.spent_at:
            place = max(int(np.searchsorted(counted, self.prepayment.spent_at, side="left")), 1)
            yield int(edges[place]), self._disconnect
        if self.limiter.watches:
            passed = self.limiter.passed(edges, counted)
            if passed is not None:
                yield passed, self._disconnect_over_limit

    def _switch_as_scheduled(self, at: int) -> None:
        if self.scheduled is not None:
            cause, self.scheduled = self.scheduled[1], None
            self.switch(cause, at=at)

    def _disconnect(self, at: int) -> None:
        self.switch("local disconnect", at=at)
        if self.disconnector.closed:
            self._armed = _NOT_YET

    def _disconnect_over_limit(self, at: int) -> None:
        self.note(DISCONNECTOR, _OVER, at=at)
        self._disconnect(at)
        if self.disconnector.state is State.READY and "h" in MODES[self.disconnector.mode]:
            self._opened_by_limit = at

    def _reconnect(self, at: int) -> None:
        self._opened_by_limit = _NOT_YET
        self.note(DISCONNECTOR, _UNDER, at=at)
        if self.prepayment is None or self.prepayment.left(self._register(at)) > 0:
            self.switch("local reconnect", at=at)


def _begun_or_ended(spans: list[tuple[int, int]], at: int, *, begins: bool) -> list[tuple[int, int]]:
    if begins:
        return [*spans[1 - _FAILURES_MAX :], (at, _NOT_YET)]
    return [(begun, min(ended, at)) for begun, ended in spans]
