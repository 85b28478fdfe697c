"""A bill down to its intervals: each line as what it was added up from, with its clause and the hashes of both."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from wattledger.kernel import IntervalSeries, Money, Period, Quality, from_epoch
from wattledger.tariffs._counting import (
    INDEX_PLACES,
    Readings,
    advance,
    base_at,
    by_channel,
    index_price,
    open_state,
    plan_for,
    published,
)
from wattledger.tariffs._demand import measured
from wattledger.tariffs._exact import as_decimal, rounded
from wattledger.tariffs._history import NO_HISTORY, History
from wattledger.tariffs._language import Tariff
from wattledger.tariffs._lines import ChargeLine, ExactRating, Rating
from wattledger.tariffs._model import DemandCharge, EnergyCharge, PercentageCharge
from wattledger.tariffs._plan import DECIMALS, POWER_UNITS, UNITS, CounterPlan, EnergyPlan, Plan
from wattledger.tariffs._settlement import Item, Settlement, tiers_between
from wattledger.tariffs._settling import settlement_of
from wattledger.tariffs._signals import NO_SIGNALS, Fact, Signals


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """``quantity`` x ``price``: one interval's share of a line, or one step of its reckoning.

    ``what``     says what it is: ``interval``, ``netted`` (given back and set against it), ``rounding``, ``window`` (of
                 a demand), or the name of the charge that is a base
    ``start``    of the interval or window; ``end`` likewise; ``quality`` of the reading
    """

    what: str
    quantity: Fraction
    price: Fraction
    start: datetime | None = None
    end: datetime | None = None
    quality: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LineExplanation:
    """A line, the clause that made it (its path and what it says), and the parts whose sum it is, before rounding.

    ``evidence`` are the measured windows of a demand line: quantity in kW.
    """

    line: ChargeLine
    clause: str
    says: Any
    parts: tuple[Part, ...]
    evidence: tuple[Part, ...]
    places: int | None
    mode: str | None

    @property
    def recomputed(self) -> Money | Decimal:
        """The line's amount from its parts: what ``line.amount`` must be."""
        total = sum((part.quantity * part.price for part in self.parts), start=Fraction(0))
        if isinstance(self.line.amount, Decimal) or self.places is None or self.mode is None:
            return as_decimal(total.numerator, total.denominator)
        whole = rounded(total.numerator * 10**self.places, total.denominator, self.mode)  # type: ignore[arg-type]
        return Money(whole * 10 ** (Money.PLACES - self.places), self.line.amount.currency)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A bill and how it came to be. ``readings_hash`` is SHA-256 over channels, starts, values and qualities."""

    tariff_id: str
    tariff_version: str
    tariff_hash: str
    readings_hash: str
    rating: Rating | ExactRating
    lines: tuple[LineExplanation, ...]


def readings_hash(series: Readings) -> str:
    """SHA-256 of readings: the same for the same values, whatever number of places they were given with."""
    digest = hashlib.sha256()
    channels = {"import": series} if isinstance(series, IntervalSeries) else series
    for name in sorted(channels):
        one = channels[name]
        known = one.qualities != Quality.MISSING
        digest.update(f"{name}:{one.seconds}:{int(known.sum())}\n".encode())
        digest.update(one.starts[known].astype("<i8").tobytes())
        units = one.values[known].astype(object) * 10 ** (DECIMALS - one.decimals)
        digest.update(",".join(map(str, units.tolist())).encode())
        digest.update(one.qualities[known].tobytes())
    return digest.hexdigest()


def explain(  # noqa: PLR0913 - as rate
    *,
    tariff: Tariff,
    series: Readings,
    period: Period,
    zone: str | tzinfo | None = None,
    bill: Period | None = None,
    facts: Mapping[str, Fact] | None = None,
    history: History = NO_HISTORY,
    signals: Signals = NO_SIGNALS,
    until: datetime | None = None,
    exact: bool = False,
) -> Explanation:
    """The bill that ``rate`` gives, each line with the intervals, prices and clause that made it."""
    state = open_state(tariff=tariff, period=period, zone=zone, bill=bill, facts=facts, history=history)
    state = advance(tariff=tariff, state=state, series=series, signals=signals)
    settlement = settlement_of(tariff, state, until, exact=exact)
    explainer = _Explainer(tariff, settlement, plan_for(tariff, state, signals), by_channel(tariff, series), signals)
    return Explanation(
        tariff_id=tariff.id,
        tariff_version=tariff.version,
        tariff_hash=tariff.hash,
        readings_hash=readings_hash(series),
        rating=settlement.rating(),
        lines=tuple(explainer.lines()),
    )


@dataclass(frozen=True, slots=True)
class _Interval:
    start: int
    end: int
    slot: int
    units: int
    quality: str


class _Explainer:
    def __init__(
        self,
        tariff: Tariff,
        settlement: Settlement,
        plan: Plan,
        channels: Mapping[str, IntervalSeries],
        signals: Signals,
    ) -> None:
        self.tariff, self.settlement, self.plan, self.signals = tariff, settlement, plan, signals
        self.state = settlement.state
        self.intervals = [
            interval
            for name, series in channels.items()
            for interval in _intervals(plan, tariff.channels.index(name) * plan.width, series)
        ]
        self.charges = {charge.name: charge for charge in tariff.charges}
        self.shares = {name: self._energy_shares(energy) for name, energy in plan.energy.items()}

    def lines(self) -> Iterator[LineExplanation]:
        for number, (item, line) in enumerate(zip(self.settlement.items, self.settlement.lines, strict=True)):
            charge = self.charges.get(item.charge)
            rounding = self.tariff.rounding.line
            if isinstance(charge, PercentageCharge) and charge.kind == "tax" and self.tariff.rounding.tax is not None:
                rounding = self.tariff.rounding.tax
            parts = list(self._parts(item, number))
            yield LineExplanation(
                line=line,
                clause=item.clause,
                says=self._says(item.clause),
                parts=tuple(parts),
                evidence=tuple(self._evidence(item)) if isinstance(charge, DemandCharge) else (),
                places=None if self.settlement.exact else 6 if item.kind == "rounding" else rounding.places,
                mode=None if self.settlement.exact else rounding.mode,
            )

    def _says(self, path: str) -> Any:  # noqa: ANN401 - whatever the document holds there
        node: Any = self.tariff.document
        for part in path.replace("]", "").replace("[", ".").split("."):
            if isinstance(node, list) and part.isdigit() and int(part) < len(node):
                node = node[int(part)]
            elif isinstance(node, Mapping) and part in node:
                node = node[part]
            else:
                break
        return node

    def _parts(self, item: Item, number: int) -> Iterator[Part]:
        if item.again:
            for what, amount in item.again:
                yield Part(what=what, quantity=amount, price=Fraction(1))
            return
        charge = self.charges.get(item.charge)
        price = Fraction(item.price.numerator, item.price.denominator)
        if isinstance(charge, EnergyCharge):
            yield from self._energy_parts(item, charge, price)
        elif isinstance(charge, PercentageCharge):
            bases = [
                (other.charge, amount)
                for other, amount in zip(self.settlement.items[:number], self.settlement.amounts[:number], strict=True)
                if other.charge in charge.of
            ]
            if charge.by_line:
                mine = [n for n, other in enumerate(self.settlement.items[:number]) if other.charge == charge.name]
                bases = [base for base in bases if base[1]][len(mine) : len(mine) + 1]  # what is nothing has no line
            for name, amount in bases:
                yield Part(what=name, quantity=amount, price=price)
        else:
            quantity = Fraction(item.numerator, item.denominator)
            yield Part(what=item.unit, quantity=quantity, price=price)

    # --- energy ------------------------------------------------------------------------------------------------------

    def _energy_parts(self, item: Item, charge: EnergyCharge, price: Fraction) -> Iterator[Part]:
        plan = self.plan.energy[charge.name]
        if plan.market is not None:
            yield from self._index_parts(item, plan)
            return
        total = Fraction(0)
        for interval, units in self.shares[charge.name].get(item.key, ()):
            quantity = units / UNITS
            total += quantity
            if interval is None:
                yield Part(what="netted", quantity=quantity, price=price)
            else:
                yield _part(interval, quantity, price)
        left = Fraction(item.numerator, item.denominator) - total
        if left:
            yield Part(what="rounding", quantity=left, price=price)

    def _index_parts(self, item: Item, plan: EnergyPlan) -> Iterator[Part]:
        index = plan.charge.index
        prices = None if index is None else self.signals.prices.get(index.series)
        sign = -1 if plan.charge.export else 1
        for interval in self.intervals:
            if plan.line_of_slot[interval.slot] == item.key[0] and interval.units:
                cell = interval.slot % len(self.tariff.cells)
                each = index_price(plan, cell, *published(self.tariff, plan, prices, interval.start))
                yield _part(interval, Fraction(interval.units, UNITS), Fraction(sign * each, 10**INDEX_PLACES))

    def _energy_shares(self, plan: EnergyPlan) -> dict[tuple[int, int], list[tuple[_Interval | None, Fraction]]]:
        """For each (line, tier) the intervals that have a share of it, and how much, in units of energy."""
        found: dict[tuple[int, int], list[tuple[_Interval | None, Fraction]]] = {}
        first = self.settlement.first_counter(plan)
        for offset, counter in enumerate(plan.counters):
            slots = {slot for unit in counter.units for slot in unit.slots}
            mine = sorted((i for i in self.intervals if i.slot in slots and i.units), key=lambda i: i.start)
            base = base_at(self.state, first + offset)
            netted = any(self.settlement.net.sums[slot] != self.state.sums[slot] for slot in slots)
            chronological = plan.charge.tiers is not None and plan.charge.tiers.allocation == "chronological"
            if chronological and not netted:
                self._in_order(plan, counter, base, mine, found)
            else:
                self._by_share(plan, counter, base, mine, found)
        return found

    def _in_order(
        self,
        plan: EnergyPlan,
        counter: CounterPlan,
        base: int,
        mine: Sequence[_Interval],
        found: dict[tuple[int, int], list[tuple[_Interval | None, Fraction]]],
    ) -> None:
        unit_of = {slot: unit for unit in counter.units for slot in unit.slots}
        at = base * plan.scale
        for interval in mine:
            unit = unit_of[interval.slot]
            end = at + interval.units * plan.scale
            for tier, part in enumerate(tiers_between(at, end, unit.bounds)):
                if part:
                    found.setdefault((unit.line, tier), []).append((interval, Fraction(part, plan.scale)))
            at = end

    def _by_share(
        self,
        plan: EnergyPlan,
        counter: CounterPlan,
        base: int,
        mine: Sequence[_Interval],
        found: dict[tuple[int, int], list[tuple[_Interval | None, Fraction]]],
    ) -> None:
        """Every interval with its unit's shares of the tiers, and what was netted likewise."""
        tiers = list(self.settlement.counter_tiers(plan, counter, base, None))
        place = 0
        for unit in counter.units:
            size = len(unit.bounds) + 1
            own, place = tiers[place : place + size], place + size
            net = sum(self.settlement.net.sums[slot] for slot in unit.slots)
            raw = sum(self.state.sums[slot] for slot in unit.slots)
            for line, tier, numerator, denominator in own:
                share = Fraction(numerator, denominator) / net if net else Fraction(0)
                if not share:
                    continue
                kept = found.setdefault((line, tier), [])
                kept.extend((i, i.units * share) for i in mine if i.slot in unit.slots)
                if net != raw:
                    kept.append((None, (net - raw) * share))

    # --- demand ------------------------------------------------------------------------------------------------------

    def _evidence(self, item: Item) -> Iterator[Part]:
        """The measured windows behind a demand line."""
        for plan, count in zip(self.plan.demand, self.state.demand, strict=True):
            if plan.charge is None or plan.charge.name != item.charge:
                continue
            for maximum, tops in zip(plan.maxima, measured(self.plan, plan, count), strict=True):
                if (maximum.period, maximum.season) == (item.period, item.season):
                    for power, at in tops:
                        yield Part(
                            what="window",
                            quantity=Fraction(power, POWER_UNITS),
                            price=Fraction(0),
                            start=from_epoch(at),
                            end=from_epoch(at + plan.seconds),
                        )


def _intervals(plan: Plan, base: int, series: IntervalSeries) -> Iterator[_Interval]:
    within = (series.starts >= plan.start) & (series.starts < plan.end) & (series.qualities != Quality.MISSING)
    part = series.picked(np.flatnonzero(within))
    if not len(part):
        return
    slots = plan.slots[plan.edges.searchsorted(part.starts, side="right") - 1]
    factor = 10 ** (DECIMALS - part.decimals)
    columns = (part.starts.tolist(), slots.tolist(), part.values.tolist(), part.qualities.tolist())
    for start, slot, value, quality in zip(*columns, strict=True):
        yield _Interval(start, start + part.seconds, base + slot, value * factor, Quality(quality).name.lower())


def _part(interval: _Interval, quantity: Fraction, price: Fraction) -> Part:
    return Part(
        what="interval",
        quantity=quantity,
        price=price,
        start=from_epoch(interval.start),
        end=from_epoch(interval.end),
        quality=interval.quality,
    )
