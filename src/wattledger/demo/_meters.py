"""The town's meters: virtual ones, each with the load of a supply, a button here and there, and days out of reach.

What the town knows of them ends at the head-end: it reads and switches them as it would any others. How it speaks with
them is told in ``_links``: near by while history is made, over a real line when the town is alive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

import numpy as np

from wattledger.demo._loads import DAY_SECONDS, ZONE_OFFSET, LoadModel, TownLoad
from wattledger.demo._noise import chance, noise, whole
from wattledger.demo._town import SLOT_SECONDS, ZONE, Supply, Town
from wattledger.dlms import Keys
from wattledger.kernel import Clock, IntervalSeries, epoch, from_epoch, zone_named
from wattledger.virtual_meter import NOTHING, Fault, MeterPlan, State, VirtualMeter

_HOUR, _MINUTE = 3600, 60

_OUTAGE_SHARE = 0.03
"""So many meters fall silent on any day."""

_OUTAGE_HOURS = (1.5, 9.0)
_OVER_MONTH_END = (timedelta(hours=-3, minutes=-30), timedelta(hours=5, minutes=15))
_BUTTON_MINUTES = (2, 15)
_REMOTE, _BUTTON = 4, 3
"""Control modes of disconnectors: switched on from afar; or made ready, and switched on by hand."""
_DISCONNECTOR_LOG, _READY_CODE = 2, 59
_KEY_BYTES = 16


@dataclass(frozen=True, slots=True)
class MeterMemory:
    """What a meter is to remember after a restart: what it counted, and how its disconnector stands since when."""

    imported: IntervalSeries | None = None
    exported: IntervalSeries | None = None
    output_on: bool = True
    since: datetime | None = None


class TownMeters:
    """Every meter of a town, by its id. Whoever speaks with them does so from one thread at a time."""

    def __init__(self, *, town: Town, clock: Clock) -> None:
        self.town = town
        self._clock = clock
        self._loads = LoadModel(town)
        self._outages = Outages(town)
        self._plan = MeterPlan(zone=ZONE)
        self._silent: set[int] = set()
        self._meters = {supply.meter_id: self._made(supply, MeterMemory()) for supply in town.supplies}

    def __iter__(self) -> Iterator[VirtualMeter]:
        return iter(self._meters.values())

    def restore(self, memories: Mapping[str, MeterMemory]) -> None:
        """Let the meters (by id) remember what was so before the program stopped."""
        for meter_id, memory in memories.items():
            self._meters[meter_id] = self._made(self.town.by_meter[meter_id], memory)

    def number(self, supply: Supply) -> int:
        """A meter's address on the town's line."""
        return supply.index + 1

    def at_hand(self, supply: Supply) -> VirtualMeter:
        """The meter as it is now; whoever lives there has pressed the button if they meant to by now."""
        meter = self._meters[supply.meter_id]
        if supply.push_button:
            self._press_if_due(supply, meter)
        return meter

    def in_reach(self, supply: Supply) -> bool:
        """Whether the meter can be spoken with now. When it was hung, somebody stood beside it."""
        now = self._clock.now()
        return now <= self.town.plan.start or not self._outages.silent(supply, epoch(now))

    def tend(self) -> None:
        """Let what is due at the meters happen: buttons are pressed, meters fall silent and come back."""
        silent = self._outages.all_silent(epoch(self._clock.now()))
        for supply in self.town.supplies:
            if supply.push_button:
                self.at_hand(supply)
            if (supply.index in silent) != (supply.index in self._silent):
                self._meters[supply.meter_id].show_fault(Fault.OFFLINE, shown=supply.index in silent)
        self._silent = silent

    def give_keys(self, random: Callable[[int], bytes]) -> dict[str, tuple[Keys, bytes]]:
        """Put new keys and a master key into every meter, as its maker does; they count their frames anew."""
        given: dict[str, tuple[Keys, bytes]] = {}
        for meter_id, meter in self._meters.items():
            keys = Keys(random(_KEY_BYTES), random(_KEY_BYTES))
            meter.keys, meter.master = keys, random(_KEY_BYTES)
            meter.counter = 0
            meter.heard.clear()
            given[meter_id] = keys, meter.master
        return given

    def _made(self, supply: Supply, memory: MeterMemory) -> VirtualMeter:
        exported = TownLoad(self._loads, supply.index, exported=True, measured=memory.exported)
        meter = VirtualMeter(
            number=self.number(supply),
            clock=self._clock,
            load=TownLoad(self._loads, supply.index, measured=memory.imported),
            plan=self._plan,
            serial=self.town.serial(supply),
            exported=exported if supply.has_export else NOTHING,
            installed=epoch(self.town.plan.start),
            register_wh=_first_register(self.town, supply),
            mode=_BUTTON if supply.push_button else _REMOTE,
        )
        self._remember(meter, memory)
        return meter

    def _remember(self, meter: VirtualMeter, memory: MeterMemory) -> None:
        """Where the relay stands. Before the last delivered interval what was counted knows of it."""
        series = memory.imported
        told = meter.installed if series is None or not len(series) else int(series.starts[-1]) + SLOT_SECONDS
        since = told if memory.since is None else max(told, epoch(memory.since))
        if not memory.output_on:
            meter.switch("remote disconnect", at=since)
        elif since > told:
            meter.switch("remote disconnect", at=told)
            meter.switch("remote reconnect", at=since)
            meter.switch("manual reconnect", at=since)

    def _press_if_due(self, supply: Supply, meter: VirtualMeter) -> None:
        if meter.disconnector.state is not State.READY:
            return
        ready = max(at for at, code in meter.logs[_DISCONNECTOR_LOG] if code == _READY_CODE)
        low, high = _BUTTON_MINUTES
        minutes = whole(self.town.plan.seed, "button", supply.index, ready, low=low, high=high)
        if ready + minutes * _MINUTE <= epoch(self._clock.now()):
            meter.switch("manual reconnect", at=ready + minutes * _MINUTE)


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


def _first_register(town: Town, supply: Supply) -> int:
    """A meter does not begin its life at zero."""
    return whole(town.plan.seed, "register", supply.index, low=50_000, high=9_000_000)
