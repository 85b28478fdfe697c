"""How much everybody uses: whole watt-hours per quarter of an hour, a pure function of seed, point and slot.

Appliances, opening hours, weather and chance make the load; nothing is remembered from one slot to the next, so any day
of any point can be computed alone, in any order, and comes out the same. Inside, watts are floats: this is physics, not
money. What leaves is integer watt-hours, as a meter counts them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import final

import numpy as np
from numpy.typing import NDArray

from wattledger.demo._noise import bell, noise
from wattledger.demo._town import SLOT_SECONDS, ZONE, Town
from wattledger.kernel import IntervalSeries, epoch, zone_named
from wattledger.virtual_meter import SeriesLoad

Watts = NDArray[np.float64]

DAY_SECONDS = 86_400
SLOTS = DAY_SECONDS // SLOT_SECONDS
_DAYS_KEPT = 10
_SINGLE_MAX = 500
_WATTS_TO_WH = SLOT_SECONDS / 3600
_HOURS = (np.arange(SLOTS) + 0.5) / (3600 / SLOT_SECONDS)  # the middle of each slot, local time
_SATURDAY, _SUNDAY = 5, 6


@dataclass(frozen=True, slots=True)
class DayLoads:
    """One local day: ``imported`` and ``exported`` are (points, 96) int64 watt-hours.

    ``imported_by`` and ``exported_by`` are (points, 97): how much it was by each edge of a slot since midnight.
    """

    imported: NDArray[np.int64]
    exported: NDArray[np.int64]
    imported_by: NDArray[np.int64]
    exported_by: NDArray[np.int64]


class LoadModel:
    """The town's loads by local day, numbered from 1970-01-01 in the town's zone, which never shifts its clock."""

    def __init__(self, town: Town) -> None:
        self._seed = town.plan.seed
        self._town = town
        self._homes = _Households(self._seed, sum(supply.kind == "home" for supply in town.supplies))
        self._days: OrderedDict[int, DayLoads] = OrderedDict()
        self._first = (epoch(town.plan.start) + ZONE_OFFSET) // DAY_SECONDS
        self._before = [np.zeros((2, len(town.supplies)), dtype=np.int64)]
        """What was imported and exported before each day, from the town's first on."""

    def day(self, number: int) -> DayLoads:
        """All points' loads of local day ``number``."""
        if number in self._days:
            self._days.move_to_end(number)
            return self._days[number]
        made = self._made(number)
        self._days[number] = made
        if len(self._days) > _DAYS_KEPT:
            self._days.popitem(last=False)
        return made

    def watt_hours(self, index: int, start: int, end: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Imported and exported energy of one point for the slots that start in ``[start, end)`` (epoch seconds)."""
        imported: list[NDArray[np.int64]] = []
        exported: list[NDArray[np.int64]] = []
        at = start
        while at < end or not imported:
            number, second = divmod(at + ZONE_OFFSET, DAY_SECONDS)
            until = min(end, (number + 1) * DAY_SECONDS - ZONE_OFFSET)
            slots = slice(second // SLOT_SECONDS, second // SLOT_SECONDS + max(0, until - at) // SLOT_SECONDS)
            loads = self.day(number)
            imported.append(loads.imported[index, slots])
            exported.append(loads.exported[index, slots])
            at = until
        if len(imported) == 1:
            return imported[0], exported[0]
        return np.concatenate(imported), np.concatenate(exported)

    def counted(self, index: int, at: NDArray[np.int64], *, exported: bool = False) -> NDArray[np.int64]:
        """What one point imported, or exported, from the town's beginning to each instant (epoch seconds), in Wh.

        Within a slot it flows evenly.
        """
        numbers, seconds = np.divmod(at + ZONE_OFFSET, DAY_SECONDS)
        slots, within = np.divmod(seconds, SLOT_SECONDS)
        total = np.zeros(len(at), dtype=np.int64)
        for number in np.unique(numbers).tolist():
            if number < self._first:
                continue
            of_day, before = numbers == number, int(self._until(number)[int(exported), index])
            loads = self.day(number)
            row = (loads.exported_by if exported else loads.imported_by)[index]
            begun = row[slots[of_day]]
            flowing = row[slots[of_day] + 1] - begun
            total[of_day] = before + begun + flowing * within[of_day] // SLOT_SECONDS
        return total

    def _until(self, number: int) -> NDArray[np.int64]:
        """What all points imported and exported before local day ``number``."""
        while len(self._before) <= number - self._first:
            day = self.day(self._first + len(self._before) - 1)
            self._before.append(self._before[-1] + np.stack([day.imported_by[:, -1], day.exported_by[:, -1]]))
        return self._before[number - self._first]

    def _made(self, number: int) -> DayLoads:
        weather = Weather.of(self._seed, number)
        homes = self._homes.watts(number, weather)
        watts = np.zeros((len(self._town.supplies), SLOTS))
        given = np.zeros_like(watts)
        watts[: len(homes)] = homes
        for supply in self._town.supplies[len(homes) :]:
            used = np.maximum(_NATURES[supply.nature](self._seed, supply.index, number, weather), 0.0)
            solar = _solar(self._seed, supply.index, number, weather) if supply.has_export else np.zeros(SLOTS)
            watts[supply.index] = np.maximum(used - solar, 0.0)
            given[supply.index] = np.maximum(solar - used, 0.0)
        imported, exported = _watt_hours(watts), _watt_hours(given)
        return DayLoads(imported, exported, _by_edge(imported), _by_edge(exported))


@final
class TownLoad:
    """What flows through one supply's meter: :class:`wattledger.virtual_meter.Load`, from the town's beginning on.

    ``measured`` is what is known to have been counted, without gaps from the town's beginning: the meter was off for
    part of it. Behind it, all that is used flows.
    """

    def __init__(
        self, model: LoadModel, index: int, *, exported: bool = False, measured: IntervalSeries | None = None
    ) -> None:
        self._model, self._index, self._exported = model, index, exported
        self._single: dict[int, int] = {}
        self._known: SeriesLoad | None = None
        if measured is not None and len(measured):
            start, self._end = int(measured.starts[0]), int(measured.starts[-1]) + SLOT_SECONDS
            values = np.zeros((self._end - start) // SLOT_SECONDS, dtype=np.int64)
            values[(measured.starts - start) // SLOT_SECONDS] = measured.values
            self._known = SeriesLoad(start=start, seconds=SLOT_SECONDS, values=values)
            self._ahead = int(values.sum()) - int(self._all(np.array([self._end], dtype=np.int64))[0])

    def counted(self, at: NDArray[np.int64]) -> NDArray[np.int64]:
        """Wh by each instant."""
        if not len(at) or (at != at[0]).any():
            return self._counted(at)
        # A meter asks again and again how much it was when its relay was switched, weeks ago.
        instant = int(at[0])
        if instant not in self._single:
            if len(self._single) >= _SINGLE_MAX:
                self._single.clear()
            self._single[instant] = int(self._counted(at[:1])[0])
        return np.full(len(at), self._single[instant], dtype=np.int64)

    def _counted(self, at: NDArray[np.int64]) -> NDArray[np.int64]:
        if self._known is None:
            return self._all(at)
        if len(at) and int(at.min()) >= self._end:  # as good as always
            return self._all(at) + self._ahead
        found: NDArray[np.int64] = np.where(
            at < self._end, self._known.counted(at), self._all(np.maximum(at, self._end)) + self._ahead
        )
        return found

    def _all(self, at: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._model.counted(self._index, at, exported=self._exported)


def _by_edge(slots: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros((len(slots), 1), dtype=np.int64), np.cumsum(slots, axis=1)], axis=1)


def _watt_hours(watts: Watts) -> NDArray[np.int64]:
    return np.rint(watts * _WATTS_TO_WH).astype(np.int64)


def _zone_offset() -> int:
    """Seconds the town's clocks are ahead of UTC; the model relies on the zone being the same all year."""
    offsets = {
        datetime(year, month, 1, tzinfo=UTC).astimezone(zone_named(ZONE)).utcoffset()
        for year in range(2000, 2040)
        for month in (1, 7)
    }
    (offset,) = offsets
    return int((offset or timedelta()).total_seconds())


ZONE_OFFSET = _zone_offset()


# --- weather --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Weather:
    """A local day's weather by slot, with what of it matters to people: ``heat`` and ``cold`` from 0 to 1."""

    weekday: int
    celsius: Watts
    heat: Watts
    cold: Watts
    sun: Watts

    @classmethod
    def of(cls, seed: int, number: int) -> Weather:
        """The weather of day ``number``: a year's wave, spells of some days, a warm afternoon."""
        spell = bell(seed, "spell", np.arange(number // 3 - 1, number // 3 + 3))
        along = (number % 3) / 3
        drift = 6 * float(spell[1] * (1 - along) + spell[2] * along) + 2 * float(bell(seed, "day", number)[0])
        mean = 17.0 + 12.0 * np.cos(2 * np.pi * (number % 365.25 - 203) / 365.25) + drift
        celsius = mean + 4.0 * np.cos(2 * np.pi * (_HOURS - 15) / 24)
        clouds = float(noise(seed, "clouds", number)[0]) ** 2
        passing = 1 - clouds * noise(seed, "passing", number, np.arange(SLOTS))
        height = np.clip(np.cos(2 * np.pi * (_HOURS - 12.2) / 27), 0, None) ** 1.3
        return cls(
            weekday=(number + 3) % 7,
            celsius=celsius,
            heat=np.clip((celsius - 26) / 7, 0, 1),
            cold=np.clip((11 - celsius) / 12, 0, 1),
            sun=height * (1 - 0.6 * clouds) * passing,
        )


def _between(start: Watts | float, end: Watts | float, *, edge: float = 0.35) -> Watts:
    """1 from hour ``start`` to hour ``end``, with soft edges; ``end`` beyond 24 reaches into the next morning."""
    rise = np.clip((_HOURS - start) / edge + 0.5, 0, 1)
    fall = np.clip((end - _HOURS) / edge + 0.5, 0, 1)
    wrapped = np.clip((np.asarray(end) - 24 - _HOURS) / edge + 0.5, 0, 1)
    within: Watts = np.maximum(np.minimum(rise, fall), wrapped)
    return within


def _bump(centre: Watts, hours: float) -> Watts:
    """A block ``hours`` long around ``centre`` whose mean survives the quarter-hour grid."""
    quarter = SLOT_SECONDS / 3600
    low = np.maximum(_HOURS - quarter / 2, centre - hours / 2)
    high = np.minimum(_HOURS + quarter / 2, centre + hours / 2)
    part: Watts = np.clip(high - low, 0, None) / quarter
    return part


# --- homes ----------------------------------------------------------------------------------------------------------


class _Households:
    """All homes at once: traits that stay, habits of the day, the spikes of the quarter-hour."""

    def __init__(self, seed: int, count: int) -> None:
        self._seed = seed
        self._ids = np.arange(count)[:, None]
        self._size = 0.65 + 0.8 * self._trait("size")
        self._standby = 22 + 40 * self._trait("standby")
        self._fridge = 40 + 40 * self._trait("fridge")
        self._wakes = 5.7 + 2.0 * self._trait("wakes")
        self._sleeps = 22.0 + 2.2 * self._trait("sleeps")
        self._stays_in = self._trait("stays-in") < 0.35  # noqa: PLR2004 - a share: the old, the small, the home office
        self._cooling = 550 + 550 * self._trait("cooling")
        self._electric_water = self._trait("water") < 0.55  # noqa: PLR2004 - a share; the others heat with gas

    def _trait(self, label: str) -> Watts:
        return noise(self._seed, f"home/{label}", self._ids)

    def watts(self, number: int, weather: Weather) -> Watts:
        """(homes, 96) mean watts of day ``number``."""
        slots = np.arange(SLOTS)

        def today(label: str) -> Watts:
            return noise(self._seed, f"today/{label}", self._ids, number)

        def at_slot(label: str) -> Watts:
            return noise(self._seed, f"slot/{label}", self._ids, number, slots)

        weekend = weather.weekday >= _SATURDAY
        wakes = self._wakes + 0.6 * (today("wakes") - 0.5) + 0.9 * weekend
        sleeps = self._sleeps + 0.8 * (today("sleeps") - 0.5) + 0.5 * weekend
        awake = _between(wakes, sleeps)
        stays = self._stays_in | (weekend & (today("outing") < 0.7))  # noqa: PLR2004 - a share of weekends
        out = _between(wakes + 1.6, 17.2 + 1.5 * today("returns")) * ~stays
        away = today("away") < 0.02  # noqa: PLR2004 - a share of days
        in_and_awake = awake * (1 - out) * ~away
        in_bed = (1 - awake) * ~away

        dusk = 18.2 + 1.0 * np.clip((float(weather.celsius.mean()) - 10) / 20, 0, 1)
        dark = np.maximum(_between(wakes, wakes + 0.8), _between(dusk, 25.0))
        watts = self._standby + self._fridge * (0.5 + at_slot("fridge"))
        watts = watts + in_and_awake * dark * (70 + 90 * self._size)
        watts += in_and_awake * _between(18.8, 23.0) * (60 + 130 * today("screen"))
        watts += in_and_awake * (at_slot("kettle") < 0.06) * (300 + 180 * at_slot("kettle-size"))  # noqa: PLR2004 - a share
        watts += ~away * _bump(wakes + 0.5, 0.4) * 700 * self._size
        watts += ~away * stays * _bump(11.9 + 0.6 * today("lunch"), 0.6) * 900 * self._size
        watts += ~away * _bump(18.3 + 1.1 * today("dinner"), 0.75) * 1250 * self._size
        watts += ~away * self._electric_water * _bump(20.4 + 1.9 * today("bath"), 0.7) * 1500 * self._size
        watts += (~away & (today("washes") < 0.33)) * _bump(9 + 11 * today("washing"), 1.0) * 480  # noqa: PLR2004 - a share
        cycling = 0.55 + 0.45 * (at_slot("compressor") < 0.7)  # noqa: PLR2004 - a duty cycle
        watts += (in_and_awake + 0.55 * in_bed) * weather.heat * self._cooling * cycling
        watts += (in_and_awake + 0.25 * in_bed) * weather.cold * 900 * self._size * cycling
        return watts


# --- everybody else -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Shop:
    """A shop by its hours and its watts; ``flicker`` is how unsteady the open load is (ovens, dryers)."""

    opens: float
    closes: float
    idle: float
    open: float
    cooling: float
    flicker: float = 0.25
    sundays: bool = True

    def __call__(self, seed: int, index: int, number: int, weather: Weather) -> Watts:
        slots = np.arange(SLOTS)
        late = float(bell(seed, "opens", index, number)[0]) * 0.3
        trading = _between(self.opens + late, self.closes + late / 2)
        if weather.weekday == _SUNDAY and not self.sundays:
            trading = np.zeros(SLOTS)
        busy = 1 + self.flicker * (noise(seed, "busy", index, number, slots) * 2 - 1)
        hum = 0.9 + 0.2 * noise(seed, "hum", index, number, slots)
        return self.idle * hum + trading * (self.open * busy + self.cooling * (weather.heat + 0.5 * weather.cold))


def _dormitory(seed: int, index: int, number: int, weather: Weather) -> Watts:
    """Two shifts of mill hands: evenings and nights, fans, a canteen, lights out at eleven but for the corridors."""
    slots = np.arange(SLOTS)
    people = 110 * (0.9 + 0.2 * float(noise(seed, "sleepers", index, number)[0]))
    weekend = weather.weekday >= _SATURDAY
    rooms = _between(17.5, 23.1) + 0.6 * _between(5.3, 6.9) + (0.45 if weekend else 0.15) * _between(8, 17.5)
    night = np.maximum(_between(23.1, 24.5), _between(0, 5.3))
    canteen = _between(5.0, 6.8) + _between(10.5, 12.5) + _between(16.5, 19.0)
    stir = 0.85 + 0.3 * noise(seed, "stir", index, number, slots)
    cooling = people * (rooms + 0.9 * night) * (35 + 110 * weather.heat + 120 * weather.cold)
    return 1900 + stir * (people * rooms * 65 + people * night * 14 + cooling + 5500 * canteen)


def _building_site(seed: int, index: int, number: int, weather: Weather) -> Watts:
    """Work from half past six to six with a long lunch, six days a week; the tower crane lifts in bursts."""
    slots = np.arange(SLOTS)
    resting = weather.weekday == _SUNDAY or float(noise(seed, "rain", index, number)[0]) < 0.06  # noqa: PLR2004 - a share
    shift = 0.0 if resting else 1.0
    work = shift * np.maximum(_between(6.5, 11.5), _between(13.5, 18.0))
    lifts = noise(seed, "lift", index, number, slots)
    crane = np.where(lifts < 0.45, 9000 + 24_000 * noise(seed, "weight", index, number, slots), 1500)  # noqa: PLR2004 - a share
    tools = 7000 + 5000 * noise(seed, "tools", index, number, slots)
    floodlights = 2400 * np.maximum(_between(18.6, 24.6), _between(0, 5.2))
    huts = 700 + 1800 * weather.heat * np.maximum(_between(11.5, 13.5), _between(18.0, 22.5))
    watts: Watts = work * (crane + tools) + floodlights + huts
    return watts


def _solar(seed: int, index: int, number: int, weather: Weather) -> Watts:
    """Twelve kilowatts of panels on a roof."""
    dust = 0.92 + 0.06 * float(noise(seed, "dust", index, number // 30)[0])
    return 12_000 * 0.82 * dust * weather.sun


_NATURES: dict[str, Callable[[int, int, int, Weather], Watts]] = {
    "grocery": _Shop(6.5, 22.5, idle=950, open=1500, cooling=1600),
    "bakery": _Shop(3.8, 18.0, idle=350, open=4200, cooling=900, flicker=0.5),
    "noodles": _Shop(5.8, 21.0, idle=400, open=2300, cooling=1700, flicker=0.4),
    "hairdresser": _Shop(9.5, 21.5, idle=90, open=1900, cooling=1400, flicker=0.6),
    "pharmacy": _Shop(8.0, 21.0, idle=420, open=900, cooling=1300),
    "clothes": _Shop(9.5, 21.5, idle=80, open=1400, cooling=1500),
    "fruit": _Shop(7.0, 22.0, idle=800, open=800, cooling=500),
    "hotpot": _Shop(10.5, 23.2, idle=900, open=5200, cooling=4200, flicker=0.4),
    "repair": _Shop(8.5, 18.5, idle=60, open=850, cooling=600, flicker=0.7, sundays=False),
    "laundry": _Shop(8.0, 20.0, idle=120, open=5600, cooling=500, flicker=0.7, sundays=False),
    "teahouse": _Shop(9.0, 23.0, idle=260, open=1500, cooling=1700),
    "netcafe": _Shop(9.0, 27.0, idle=900, open=6200, cooling=3000),
    "cafe": _Shop(7.0, 21.5, idle=450, open=2600, cooling=1700, flicker=0.5),
    "dormitory": _dormitory,
    "building_site": _building_site,
}
