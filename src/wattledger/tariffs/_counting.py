"""Readings counted into a state of integers, in one pass or in any number of batches.

* Energy is counted in integers of ``10**-9`` kWh, power in units of energy a day.
* An interval belongs to the season and period in which it **starts**. One that runs on across a change of price is
  counted as *crossing*, because finer readings might have priced it otherwise; nothing is split by guess.
* An interval that crosses a tier's limit is split there, exactly.
* A missing interval has no price: it is counted, and what to do about it is the caller's to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from decimal import Decimal
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wattledger.kernel import IntervalSeries, Period, Problem, Quality, epoch, from_epoch
from wattledger.tariffs._calendar import zone_key, zone_of
from wattledger.tariffs._demand import DemandCount, LoadCount, demand_counted, load_counted
from wattledger.tariffs._history import NO_HISTORY, EarlierPart, History
from wattledger.tariffs._language import Tariff, parse_tariff
from wattledger.tariffs._model import EXPORT, IMPORT
from wattledger.tariffs._plan import DECIMALS, CounterPlan, EnergyPlan, Plan, base_of, plan_of
from wattledger.tariffs._segments import clock_zone
from wattledger.tariffs._signals import NO_SIGNALS, Fact, Facts, IndexPriceMissing, IndexPrices, Signals, facts_kept

_INT64_ROOM = 2**62
COUNTED = (Quality.ACTUAL, Quality.ESTIMATED, Quality.SUBSTITUTED, Quality.SUSPECT)

INDEX_PLACES = 18
"""Decimal places in which prices of a published series are counted."""

Readings = IntervalSeries | Mapping[str, IntervalSeries]
"""What the channel ``import`` counted, or each channel by its name."""


class OutOfOrder(Problem):
    """Readings came before ones already counted, under a tariff that counts in the order of time."""

    slug = "readings-out-of-order"
    title = "These readings come too late to be added"
    status = 409


class NegativeEnergy(Problem):
    """An interval of less than no energy: the tariff has no price for energy given back."""

    slug = "negative-energy"
    title = "Energy given back has no price"
    status = 422


class ChannelWithoutPrice(Problem):
    """Readings of a channel that the tariff gives no price."""

    slug = "channel-without-price"
    title = "The tariff does not price this channel"
    status = 422


class Counted(NamedTuple):
    """What was counted of a channel.

    ``seconds`` is the shortest interval length seen, ``last`` the end of the latest interval, ``covered`` the sum of
    all lengths, ``counts`` the intervals by quality (actual, estimated, substituted, suspect).
    """

    seconds: int
    last: int
    covered: int
    crossing: int
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingState:
    """What has been counted so far in one period: all that the next batch needs, in integers.

    ``tariff`` is the beginning of the version's hash, ``zone`` where its clock stands; ``start`` and ``end`` bound the
    period, ``bill`` the bill that it is part of (epoch seconds). ``bases`` say where the tier counters began, ``sums``
    the energy of each slot, ``tiers`` of each tier that depends on order, ``index`` what published prices came to.
    """

    tariff: str
    zone: tzinfo
    start: int
    end: int
    bill: tuple[int, int]
    facts: Facts
    history: History
    bases: tuple[int, ...]
    channels: tuple[Counted, ...]
    sums: tuple[int, ...]
    tiers: tuple[int, ...]
    index: tuple[tuple[int, ...], ...]
    demand: tuple[DemandCount, ...]
    load: tuple[LoadCount, ...]

    def to_json(self) -> dict[str, Any]:
        """The state as small JSON: integers, text and lists of integers."""
        document: dict[str, Any] = {
            "tariff": self.tariff,
            "zone": zone_key(self.zone),
            "start": self.start,
            "end": self.end,
            "bill": list(self.bill),
            "channels": [list(channel) for channel in self.channels],
            "sums": list(self.sums),
        }
        if self.facts:
            document["facts"] = [list(fact) for fact in self.facts]
        if self.history != NO_HISTORY:
            document["history"] = self.history.to_json()
        for name in ("bases", "tiers", "index", "demand", "load"):
            kept = getattr(self, name)
            if kept:
                document[name] = kept
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> RatingState:
        """The state that :meth:`to_json` wrote."""
        history = document.get("history")
        first, last = document["bill"]
        return cls(
            tariff=document["tariff"],
            zone=zone_of(document["zone"]),
            start=document["start"],
            end=document["end"],
            bill=(first, last),
            facts=tuple((name, text) for name, text in document.get("facts", ())),
            history=NO_HISTORY if history is None else History.from_json(history, _parts(history)),
            bases=tuple(document.get("bases", ())),
            channels=tuple(Counted(a, b, c, d, tuple(counts)) for a, b, c, d, counts in document["channels"]),
            sums=tuple(document["sums"]),
            tiers=tuple(document.get("tiers", ())),
            index=tuple(tuple(amounts) for amounts in document.get("index", ())),
            demand=tuple(DemandCount.from_json(kept) for kept in document.get("demand", ())),
            load=tuple(LoadCount.from_json(kept) for kept in document.get("load", ())),
        )


def _parts(history: Mapping[str, Any]) -> tuple[EarlierPart, ...]:
    kept = history.get("parts", ())
    return tuple(
        EarlierPart(parse_tariff(tariff, source="a part"), RatingState.from_json(part)) for tariff, part in kept
    )


def open_state(
    *,
    tariff: Tariff,
    period: Period,
    zone: str | tzinfo | None = None,
    bill: Period | None = None,
    facts: Mapping[str, Fact] | None = None,
    history: History = NO_HISTORY,
) -> RatingState:
    """Nothing counted yet in ``period``.

    ``zone`` is where the tariff's clock stands when the tariff itself does not say. ``bill`` is the whole bill where
    ``period`` is only the part of it that this version prices. ``facts`` are those of the contract (only what
    ``tariff.facts`` names is kept), ``history`` what earlier bills left. Raises ``TariffWithoutZone``,
    ``TariffNotInForce`` and ``FactUnknown``.
    """
    clock = clock_zone(tariff, zone)
    start, end = epoch(period.start), epoch(period.end)
    whole = (start, end) if bill is None else (epoch(bill.start), epoch(bill.end))
    if whole[0] > start or whole[1] < end:
        msg = f"{period} is not part of the bill {bill}"
        raise ValueError(msg)
    kept = tuple(fact for fact in facts_kept(facts) if fact[0] in tariff.facts)
    plan = plan_of(tariff, clock, start, end, whole, kept, (), history.since)
    bases = [base_of(counter, history, whole[0]) for _, counter in plan.counters]
    return RatingState(
        tariff=plan.tariff,
        zone=clock,
        start=start,
        end=end,
        bill=whole,
        facts=kept,
        history=history,
        bases=tuple(bases) if any(bases) else (),
        channels=(Counted(0, start, 0, 0, (0,) * len(COUNTED)),) * len(tariff.channels),
        sums=(0,) * (plan.width * len(tariff.channels)),
        tiers=(0,) * plan.ordered_tiers,
        index=tuple((0,) * len(energy.lines) for energy in plan.energy.values() if energy.market is not None),
        demand=tuple(DemandCount.empty(len(demand.maxima)) for demand in plan.demand),
        load=tuple(LoadCount.empty(len(load.lines)) for load in plan.load),
    )


def plan_for(tariff: Tariff, state: RatingState, signals: Signals = NO_SIGNALS) -> Plan:
    """The plan under which a state is counted; raises ``ValueError`` for another tariff's."""
    occurrences = signals.occurrences(tariff.events, state.start, state.end) if tariff.events else ()
    since = state.history.since
    plan = plan_of(tariff, state.zone, state.start, state.end, state.bill, state.facts, occurrences, since)
    if plan.tariff != state.tariff:
        msg = f"the state was counted under another tariff than {tariff.id} version {tariff.version}"
        raise ValueError(msg)
    return plan


def base_at(state: RatingState, number: int) -> int:
    """Where the counter of this number began."""
    return state.bases[number] if state.bases else 0


def advance(*, tariff: Tariff, state: RatingState, series: Readings, signals: Signals = NO_SIGNALS) -> RatingState:
    """``state`` with the intervals of ``series`` counted that start in its period; the others are not this bill's.

    Each interval is to come once. Where ``tariff.order_matters`` they must come in the order of time, batch by batch,
    or :class:`OutOfOrder` is raised; else in any. Where energy is netted by the interval, what was taken and given back
    in it must come in one batch. ``signals`` tell of events and published prices. Raises :class:`NegativeEnergy`,
    :class:`ChannelWithoutPrice` and ``IndexPriceMissing``.
    """
    plan = plan_for(tariff, state, signals)
    for channel, readings in by_channel(tariff, series).items():
        state = _channel_counted(tariff, plan, state, tariff.channels.index(channel), readings, signals)
    return state


def by_channel(tariff: Tariff, series: Readings) -> dict[str, IntervalSeries]:
    """The readings of each channel that the tariff prices, netted where it nets by the interval."""
    channels = {IMPORT: series} if isinstance(series, IntervalSeries) else dict(series)
    for name, readings in channels.items():
        if name not in tariff.channels and len(readings):
            raise ChannelWithoutPrice(
                f"tariff {tariff.id} has no price for the channel {name}; it prices {', '.join(tariff.channels)}",
                remedy="rate the channel with a tariff that has a charge for it, or leave it out",
            )
    channels = {name: readings for name, readings in channels.items() if name in tariff.channels}
    taken = channels.get(IMPORT)
    if taken is not None and EXPORT in tariff.channels and len(taken) and bool((taken.values < 0).any()):
        given = replace(taken, values=np.maximum(-taken.values, 0))
        channels[IMPORT] = replace(taken, values=np.maximum(taken.values, 0))
        channels[EXPORT] = _together(channels[EXPORT], given) if EXPORT in channels else given
    if tariff.netting.per == "interval" and IMPORT in channels and EXPORT in channels:
        channels.update(_netted(channels[IMPORT], channels[EXPORT]))
    return channels


def _together(left: IntervalSeries, right: IntervalSeries) -> IntervalSeries:
    msg = "readings below zero and an export channel cannot both say what was given back"
    if len(left) and bool(left.values.any()):
        raise ValueError(msg)
    return right


def _netted(taken: IntervalSeries, given: IntervalSeries) -> dict[str, IntervalSeries]:
    """Each interval's difference, in the channel of its sign."""
    decimals = max(taken.decimals, given.decimals)
    plus = taken.values * 10 ** (decimals - taken.decimals)
    minus = given.values * 10 ** (decimals - given.decimals)
    _, mine, theirs = np.intersect1d(taken.starts, given.starts, return_indices=True)
    both = (taken.qualities[mine] != Quality.MISSING) & (given.qualities[theirs] != Quality.MISSING)
    mine, theirs = mine[both], theirs[both]
    common = np.minimum(plus[mine], minus[theirs])
    plus, minus = plus.copy(), minus.copy()
    plus[mine] -= common
    minus[theirs] -= common
    return {
        IMPORT: replace(taken, values=plus, decimals=decimals),
        EXPORT: replace(given, values=minus, decimals=decimals),
    }


def _channel_counted(
    tariff: Tariff, plan: Plan, state: RatingState, channel: int, series: IntervalSeries, signals: Signals
) -> RatingState:
    have = state.channels[channel]
    starts, values, qualities = series.starts, series.values, series.qualities
    if len(starts) and (starts[0] < plan.start or starts[-1] >= plan.end):
        first, last = np.searchsorted(starts, (plan.start, plan.end))
        starts, values, qualities = starts[first:last], values[first:last], qualities[first:last]
    by_quality = np.bincount(qualities, minlength=len(COUNTED) + 1).tolist()
    if by_quality[Quality.MISSING]:
        known = qualities != Quality.MISSING
        starts, values = starts[known], values[known]
    if not len(starts):
        return state
    if values.min() < 0:
        raise _negative(tariff, starts, values, series.decimals)
    if plan.ordered and int(starts[0]) < have.last:
        raise OutOfOrder(
            f"the interval from {from_epoch(int(starts[0])).isoformat()} comes after one that ended "
            f"{from_epoch(have.last).isoformat()}, and tariff {tariff.id} counts in the order of time",
            remedy="rate the period again from its beginning",
        )
    segment = plan.edges.searchsorted(starts, side="right") - 1
    slots = plan.slots[segment]
    counted = _sums(slots, values, plan.width)
    factor = 10 ** (DECIMALS - series.decimals)
    base = channel * plan.width
    tiers, index, demand, load = state.tiers, state.index, state.demand, state.load
    if plan.ordered_tiers:
        tiers = _fill_tiers(plan, state, channel, slots, values, counted, factor)
    if index:
        index = _index_counted(tariff, plan, state, channel, starts, slots, values, factor, signals)
    if demand or load:
        batch = (channel, starts, values, factor, series.seconds)
        demand = tuple(demand_counted(plan, p, d, *batch) for p, d in zip(plan.demand, demand, strict=True))
        load = tuple(load_counted(plan, p, c, *batch) for p, c in zip(plan.load, load, strict=True))
    sums = list(state.sums)
    for slot, more in enumerate(counted):
        sums[base + slot] += more * factor
    now = Counted(
        seconds=min(have.seconds, series.seconds) if have.seconds else series.seconds,
        last=max(have.last, int(starts[-1]) + series.seconds),
        covered=have.covered + len(starts) * series.seconds,
        crossing=have.crossing + int(np.count_nonzero(starts + series.seconds > plan.edges[segment + 1])),
        counts=tuple(had + by_quality[quality] for had, quality in zip(have.counts, COUNTED, strict=True)),
    )
    return replace(
        state,
        channels=(*state.channels[:channel], now, *state.channels[channel + 1 :]),
        sums=tuple(sums),
        tiers=tiers,
        index=index,
        demand=demand,
        load=load,
    )


def _negative(tariff: Tariff, starts: NDArray[np.int64], values: NDArray[np.int64], decimals: int) -> NegativeEnergy:
    worst = int(np.flatnonzero(values < 0)[0])
    energy = Decimal(int(values[worst])).scaleb(-decimals)
    count = int(np.count_nonzero(values < 0))
    return NegativeEnergy(
        f"the interval from {from_epoch(int(starts[worst])).isoformat()} has {energy} kWh"
        f"{f' and {count - 1} more are below zero' if count > 1 else ''}; "
        f"tariff {tariff.id} has no price for energy given back",
        remedy="rate it with a tariff that has a charge of the kind export, or correct the reading",
    )


def _sums(slots: NDArray[np.int64], values: NDArray[np.int64], count: int) -> list[int]:
    """The sum of the values of each slot, exact whatever their size."""
    if int(values.max()) >= _INT64_ROOM // len(values):
        large = [0] * count
        for slot, value in zip(slots.tolist(), values.tolist(), strict=True):
            large[slot] += value
        return large
    sums = np.zeros(count, dtype=np.int64)
    np.add.at(sums, slots, values)
    whole: list[int] = sums.tolist()
    return whole


# --- published prices ------------------------------------------------------------------------------------------------


def index_price(energy: EnergyPlan, cell: int, value: int, decimals: int) -> int:
    """The price that a published value makes in a cell, in units of ``10**-18``."""
    plan = energy.market
    assert plan is not None  # noqa: S101 - for the type checker: only asked of index charges
    price: int = value * plan.scale[cell] * 10 ** (INDEX_PLACES - decimals - plan.scale_places)
    size: int = 10 ** (INDEX_PLACES - plan.places)
    price += plan.adder[cell] * size
    if plan.floor is not None:
        price = max(price, plan.floor * size)
    return price if plan.cap is None else min(price, plan.cap * size)


def published(tariff: Tariff, energy: EnergyPlan, prices: IndexPrices | None, instant: int) -> tuple[int, int]:
    """The value in force at an instant and its decimals; raises ``IndexPriceMissing`` where the tariff wants that."""
    index = energy.charge.index
    assert index is not None  # noqa: S101 - for the type checker: only asked of index charges
    at = -1 if prices is None else int(prices.starts.searchsorted(instant, side="right")) - 1
    if prices is not None and at >= 0 and (instant < prices.starts[at] + prices.seconds or index.missing == "last"):
        return prices.values[at], prices.decimals
    if index.missing == "estimate" and index.estimate is not None:
        places = max(-int(index.estimate.as_tuple().exponent), 0)
        return int(index.estimate.scaleb(places)), places
    raise IndexPriceMissing(
        f"no price of {index.series} is known for {from_epoch(instant).isoformat()}, "
        f"and the charge {energy.charge.name} of tariff {tariff.id} guesses none",
        remedy="publish the price, or let the tariff say what to take for a missing one",
    )


def _index_counted(  # noqa: PLR0913, PLR0917 - as _channel_counted
    tariff: Tariff,
    plan: Plan,
    state: RatingState,
    channel: int,
    starts: NDArray[np.int64],
    slots: NDArray[np.int64],
    values: NDArray[np.int64],
    factor: int,
    signals: Signals,
) -> tuple[tuple[int, ...], ...]:
    found = []
    charges = [energy for energy in plan.energy.values() if energy.charge.index is not None]
    for energy, had in zip(charges, state.index, strict=True):
        amounts = list(had)
        index = energy.charge.index
        if index is not None and tariff.channels[channel] in energy.charge.channels:
            prices = signals.prices.get(index.series)
            for start, slot, value in zip(starts.tolist(), slots.tolist(), values.tolist(), strict=True):
                cell = slot % len(tariff.cells)
                price = index_price(energy, cell, *published(tariff, energy, prices, start))
                amounts[energy.charge.lines[cell]] += value * factor * price
        found.append(tuple(amounts))
    return tuple(found)


# --- tiers in the order of time --------------------------------------------------------------------------------------


def _fill_tiers(
    plan: Plan,
    state: RatingState,
    channel: int,
    slots: NDArray[np.int64],
    values: NDArray[np.int64],
    counted: Sequence[int],
    factor: int,
) -> tuple[int, ...]:
    """The tiers of all ordered counters after these intervals, each interval split where it crosses a limit."""
    tiers = list(state.tiers)
    offset = channel * plan.width
    place = number = 0
    for energy in plan.energy.values():
        for counter in energy.counters:
            if energy.ordered and len(counter.units) > 1:  # else its tiers follow from its sums
                width = sum(len(unit.bounds) + 1 for unit in counter.units)
                if offset <= counter.units[0].slots[0] < offset + plan.width:
                    base = base_at(state, number) * energy.scale
                    filling = _Filling(
                        state.sums, offset, slots, values, counted, counter, factor * energy.scale, energy.scale, base
                    )
                    tiers[place : place + width] = filling.filled(tiers[place : place + width])
                place += width
            number += 1
    return tuple(tiers)


class _Filling:
    """One counter while a batch is added to it, in the plan's units (``size`` of which are one of the batch's)."""

    def __init__(  # noqa: PLR0913, PLR0917 - what one pass knows
        self,
        sums: Sequence[int],
        offset: int,
        slots: NDArray[np.int64],
        values: NDArray[np.int64],
        counted: Sequence[int],
        counter: CounterPlan,
        size: int,
        scale: int,
        base: int,
    ) -> None:
        self.units = counter.units
        members = [slot - offset for unit in counter.units for slot in unit.slots]
        self.offset = offset
        self.slots, self.values, self.size = slots, values, size
        if len(members) < len(counted):
            ours = np.isin(slots, members)
            self.slots, self.values = slots[ours], values[ours]
        self.base = base + sum(sums[offset + slot] for slot in members) * scale
        self.end = self.base + sum(counted[slot] for slot in members) * size
        self.all = [amount * size for amount in counted]
        self.nothing = [0] * len(counted)
        self.running: NDArray[Any] | None = None
        self.found: dict[int, list[int]] = {}

    def filled(self, tiers: Sequence[int]) -> list[int]:
        """These tiers, with what the batch adds to each."""
        more = []
        for unit in self.units:
            uppers = [0]
            for bound in (*unit.bounds, None):
                below = self.below(bound)
                uppers.append(sum(below[slot - self.offset] for slot in unit.slots))
            more += [upper - lower for lower, upper in pairwise(uppers)]
        return [had + added for had, added in zip(tiers, more, strict=True)]

    def below(self, bound: int | None) -> list[int]:
        """How much each slot gets while the counter stands below ``bound``."""
        if bound is None or bound >= self.end:
            return self.all
        if bound <= self.base:
            return self.nothing
        if bound not in self.found:
            self.found[bound] = self._split(bound - self.base)
        return self.found[bound]

    def _split(self, room: int) -> list[int]:
        if self.running is None:
            large = int(self.values.max()) >= _INT64_ROOM // len(self.values)
            self.running = np.cumsum(self.values.astype(object) if large else self.values)
        at = int(np.searchsorted(self.running, -(-room // self.size)))  # the interval that reaches the limit
        before = int(self.running[at - 1]) * self.size if at else 0
        counts = _sums(self.slots[:at], self.values[:at], len(self.nothing)) if at else self.nothing
        split = [amount * self.size for amount in counts]
        split[int(self.slots[at])] += room - before
        return split


def reckoned_until(state: RatingState, until: datetime | None) -> int:
    """The instant up to which a bill is reckoned, within the state's period."""
    return state.end if until is None else min(max(epoch(until), state.start), state.end)


def energy_added(*, tariff: Tariff, state: RatingState, wh: int, at: datetime, signals: Signals) -> RatingState:
    """``state`` with energy more of the channel ``import`` at the prices of an instant; power is left as it was."""
    plan = plan_for(tariff, state, signals)
    start = np.array([epoch(at)], dtype=np.int64)
    if not plan.start <= start[0] < plan.end:
        msg = f"{at.isoformat()} is not in the state's period"
        raise ValueError(msg)
    values = np.array([wh], dtype=np.int64)
    slots = plan.slots[plan.edges.searchsorted(start, side="right") - 1]
    channel = tariff.channels.index(IMPORT)
    factor = 10 ** (DECIMALS - 3)
    counted = _sums(slots, values, plan.width)
    tiers = _fill_tiers(plan, state, channel, slots, values, counted, factor) if plan.ordered_tiers else state.tiers
    index = state.index
    if index:
        index = _index_counted(tariff, plan, state, channel, start, slots, values, factor, signals)
    sums = list(state.sums)
    sums[channel * plan.width + int(slots[0])] += wh * factor
    return replace(state, sums=tuple(sums), tiers=tiers, index=index)
