"""What was counted of a batch of customers, into columns of charge lines: as ``_settling``, many customers at once.

A charge makes the same lines for all customers, in the same order; one that a customer does not have is zero for him.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from math import gcd
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from wattledger.kernel import Money
from wattledger.tariffs._bulk_counting import Batch, Layout
from wattledger.tariffs._bulk_exact import (
    Column,
    Whole,
    added,
    common_unit,
    in_unit,
    largest,
    least,
    most,
    narrowed,
    plus,
    rounded,
    times,
)
from wattledger.tariffs._bulk_numpy import BlockTooLarge, Kernels
from wattledger.tariffs._exact import as_decimal, as_ratio
from wattledger.tariffs._language import Tariff
from wattledger.tariffs._lines import LineKind
from wattledger.tariffs._model import (
    Charge,
    Condition,
    CreditCharge,
    DemandCharge,
    EnergyCharge,
    FixedCharge,
    LoadCharge,
    MinimumCharge,
    PercentageCharge,
    Places,
)
from wattledger.tariffs._plan import POWER_UNITS, UNITS, CounterPlan, EnergyPlan, MaximumPlan, Price, priced
from wattledger.tariffs._proration import counted, months_counted, to_places
from wattledger.tariffs._signals import Facts, holds, number_of

_MICRO = 10**Money.PLACES
_MOST = int(np.iinfo(np.int64).max)


class Heading(NamedTuple):
    """What a line is, for all customers; ``price`` is ``None`` where it is each customer's own."""

    charge: str
    kind: LineKind
    period: str | None
    season: str | None
    tier: int | None
    unit: str
    price: Price | None
    clause: str


class Item(NamedTuple):
    """A line before it is rounded; without a price ``amount`` is what it comes to in all, or once (no ``quantity``)."""

    heading: Heading
    quantity: Column | None
    amount: Column | None = None


class Line(NamedTuple):
    """A line of all customers of a batch, its amounts rounded, in micro-units; none is larger than ``most``."""

    heading: Heading
    quantity: Column | None
    amount: Column | None
    amounts: Whole
    most: int


class BatchSettlement:
    """One batch settled: charge by charge, each knowing the lines before it."""

    def __init__(self, tariff: Tariff, layout: Layout, facts: Facts, kernels: Kernels, batch: Batch) -> None:
        self.tariff, self.layout, self.facts, self.kernels, self.batch = tariff, layout, facts, kernels, batch
        self.plan = layout.plan
        self.lines: list[Line] = []
        self.applies: NDArray[np.bool_] | None = None  # to whom the charge under way applies; None: to all
        self.count = len(batch.sums)
        rounding = tariff.rounding
        for charge in tariff.charges:
            if charge.when is None or self._may_apply(charge.when, charge.name):
                tax = isinstance(charge, PercentageCharge) and charge.kind == "tax"
                places = rounding.tax if tax and rounding.tax is not None else rounding.line
                for item in self._items(charge):
                    self._add(item, places)
            self.applies = None
        self.totals = self._sum(self.lines)
        if rounding.bill is not None:
            self._round_bill(rounding.bill)

    def _add(self, item: Item, places: Places) -> None:
        heading, *columns = item
        if self.applies is not None:
            mine = self.applies
            columns = [c and c._replace(values=np.where(mine, c.values, 0)) for c in columns]
        quantity, amount = columns
        price, size = heading.price, Fraction(10**places.places)
        if quantity is not None and price is not None:
            rated = rounded(quantity, size * Fraction(price.numerator, price.denominator), places.mode)
        else:
            rated = rounded(cast("Column", amount), size, places.mode)
        amounts = times(rated, 10 ** (Money.PLACES - places.places))
        self.lines.append(Line(heading, quantity, amount, amounts, largest(amounts)))

    def _sum(self, lines: Sequence[Line]) -> Whole:
        large = sum(line.most for line in lines) > _MOST
        total: Whole = np.zeros(self.count, dtype=object if large else np.int64)
        for line in lines:
            total = total + line.amounts
        return narrowed(total)

    def _round_bill(self, places: Places) -> None:
        size = 10 ** (Money.PLACES - places.places)
        wanted = times(rounded(Column(self.totals, Fraction(1, size)), Fraction(1), places.mode), size)
        off = plus(wanted, -self.totals)
        item = _lump("rounding", "rounding", Column(off, Fraction(1, _MICRO)), "rounding.bill")
        self.lines.append(Line(*item, off, largest(off)))
        self.totals = wanted

    # --- conditions --------------------------------------------------------------------------------------------------

    def _may_apply(self, when: Condition, name: str) -> bool:
        """Whether a charge applies to anybody; a condition on usage is kept in ``applies``."""
        if not all(holds(test, self.facts, wanted_by=f"the charge {name}") for test in when.facts):
            return False
        bill = self.plan.bill
        months = months_counted(when.proration, part=bill, bill=bill, until=bill.end)
        months = Fraction(1) if when.proration.rule == "none" else months
        used = self.batch.sums.sum(axis=1)
        for limit, over in ((when.over, True), (when.up_to, False)):
            if limit is not None:
                bound = Fraction(limit) * months * UNITS // self.layout.factor
                mine = used > min(bound, _MOST) if over else used <= min(bound, _MOST)
                self.applies = mine if self.applies is None else self.applies & mine
        return True

    # --- kinds of charges --------------------------------------------------------------------------------------------

    def _items(self, charge: Charge) -> Iterable[Item]:
        by_kind: dict[type, Callable[[Any], Iterable[Item]]] = {
            EnergyCharge: self._energy,
            DemandCharge: self._demand,
            LoadCharge: lambda _: (),  # of those that have a form for many, none charges anything
            FixedCharge: self._fixed,
            MinimumCharge: self._minimum,
            CreditCharge: self._credit,
            PercentageCharge: self._percentage,
        }
        return by_kind[type(charge)](charge)

    # --- energy ------------------------------------------------------------------------------------------------------

    def _energy(self, charge: EnergyCharge) -> Iterator[Item]:
        plan = self.plan.energy[charge.name]
        if plan.market is not None:
            yield from self._index(plan)
            return
        sign = -1 if charge.export else 1
        for (number, tier), quantity in sorted(self._tiers_of(plan).items(), key=lambda item: item[0]):
            line = plan.lines[number]
            shown = tier + 1 if len(line.prices) > 1 else None
            price = line.prices[tier]
            places = self.tariff.rounding.quantity
            if places is not None:
                size = 10**places.places
                quantity = Column(rounded(quantity, Fraction(size), places.mode), Fraction(1, size))  # noqa: PLW2901
            yield Item(
                Heading(
                    charge.name,
                    "export" if charge.export else "energy",
                    line.period,
                    line.season,
                    shown,
                    "kWh",
                    Price(sign * price.price, sign * price.numerator, price.denominator),
                    f"{line.clause}[{tier}]" if shown else line.clause,
                ),
                quantity,
            )

    def _index(self, plan: EnergyPlan) -> Iterator[Item]:
        number = [one.charge for one in self.layout.market].index(plan.charge.name)
        given, unit = self.layout.market[number], Fraction(self.layout.factor, UNITS)
        used = self.kernels.by_group(self.batch.sums, _lines_of(plan, self.layout), len(plan.lines))
        for place, line in enumerate(plan.lines):
            kind: LineKind = "export" if plan.charge.export else "energy"
            heading = Heading(plan.charge.name, kind, line.period, line.season, None, "kWh", None, line.clause)
            amount = Column(self.batch.market[number][:, place], unit * given.unit)
            yield Item(heading, Column(used[:, place], unit), amount)

    def _tiers_of(self, plan: EnergyPlan) -> dict[tuple[int, int], Column]:
        """The energy of each (line, tier), in kWh."""
        found: dict[tuple[int, int], Column] = {}
        for counter in plan.counters:
            for unit, tiers in zip(counter.units, self._counter_tiers(plan, counter), strict=True):
                for tier, quantity in enumerate(tiers):
                    key = unit.line, tier
                    found[key] = added(found[key], quantity) if key in found else quantity
        return found

    def _counter_tiers(self, plan: EnergyPlan, counter: CounterPlan) -> list[list[Column]]:
        """The tiers of each unit of one counter."""
        member = np.full(self.plan.width * len(self.tariff.channels), -1, dtype=np.int64)
        for number, unit in enumerate(counter.units):
            member[list(unit.slots)] = number
        unit_of_run = member[self.layout.slots]
        used = self.kernels.by_group(self.batch.sums, unit_of_run, len(counter.units))
        block_unit = Fraction(self.layout.factor, UNITS)
        if not any(unit.bounds for unit in counter.units):
            return [[Column(column, block_unit)] for column in used.T]
        # a unit of the counter: the largest that both a unit of the block and all limits are multiples of
        shared = gcd(self.layout.factor * plan.scale, *(bound for unit in counter.units for bound in unit.bounds))
        size, one = self.layout.factor * plan.scale // shared, Fraction(shared, plan.scale * UNITS)
        limits = [tuple(bound // shared for bound in unit.bounds) for unit in counter.units]
        if plan.ordered and len(counter.units) > 1:
            return self._ordered(unit_of_run, limits, size, one)
        whole = used.sum(axis=1)
        if plan.charge.tiers is not None and plan.charge.tiers.allocation == "reached_slab":
            return [
                self._slabs(column, times(whole, size), bounds, block_unit)
                for column, bounds in zip(used.T, limits, strict=True)
            ]
        shares = [_cut(times(whole, size), bounds) for bounds in limits]
        if len(counter.units) == 1:
            return [[Column(share, one) for share in shares[0]]]
        over = np.maximum(whole, 1)
        return [
            [Column(times(column, share), one, over) for share in mine]
            for column, mine in zip(used.T, shares, strict=True)
        ]

    def _ordered(
        self, unit_of_run: NDArray[np.int64], limits: Sequence[tuple[int, ...]], size: int, one: Fraction
    ) -> list[list[Column]]:
        """Tiers that fill in the order of time: what a unit has at one limit, less what at the limit before."""
        ours = np.flatnonzero(unit_of_run >= 0)
        sums = times(np.take(self.batch.sums, ours, axis=1) if len(ours) < len(unit_of_run) else self.batch.sums, size)
        if sums.dtype == object:
            msg = "energy times what makes the limits whole is more than 64 bits hold"
            raise BlockTooLarge(msg)
        bounds = sorted({min(bound, _MOST) for unit in limits for bound in unit})
        units = len(limits)
        below = self.kernels.below_limits(sums, unit_of_run[ours], units, np.array([*bounds, _MOST], dtype=np.int64))
        found = []
        for number, unit in enumerate(limits):
            steps = [below[bounds.index(min(bound, _MOST)), :, number] for bound in unit]
            steps.append(below[-1, :, number])
            found.append([Column(steps[0], one), *(Column(b - a, one) for a, b in pairwise(steps))])
        return found

    def _slabs(self, used: Whole, whole: Whole, bounds: Sequence[int], unit: Fraction) -> list[Column]:
        """All of it in the tier that the whole consumption reaches."""
        reached: Whole = np.zeros(self.count, dtype=np.int64)
        for bound in bounds:
            reached += whole > min(bound, _MOST)
        return [Column(np.where(reached == tier, used, 0), unit) for tier in range(len(bounds) + 1)]

    # --- demand ------------------------------------------------------------------------------------------------------

    def _demand(self, charge: DemandCharge) -> Iterator[Item]:
        names = [None if plan.charge is None else plan.charge.name for plan in self.plan.demand]
        number = names.index(charge.name)
        plan = self.plan.demand[number]
        unit = Fraction(self.layout.power(plan), POWER_UNITS)
        for column, maximum in enumerate(plan.maxima):
            kw = Column(self.batch.maxima[number][:, column], unit)
            if charge.rounding is not None:
                size = 10**charge.rounding.places
                kw = Column(rounded(kw, Fraction(size), charge.rounding.mode), Fraction(1, size))
            yield from self._demand_lines(charge, maximum, kw)

    def _contracted(self, charge: DemandCharge) -> Fraction:
        contracted = charge.contracted
        if contracted is not None and contracted.kw is not None:
            return Fraction(contracted.kw)
        return Fraction(*number_of(self.facts, "contracted_kw", wanted_by=f"the charge {charge.name}"))

    def _demand_lines(self, charge: DemandCharge, maximum: MaximumPlan, kw: Column) -> Iterator[Item]:
        billed = Fraction(charge.minimum or 0)
        if charge.contracted is not None and charge.contracted.billed:
            billed = max(billed, self._contracted(charge))
        billed = to_places(billed, charge.rounding)
        bands = () if charge.contracted is None else charge.contracted.bands
        contracted = self._contracted(charge) if bands else Fraction(0)
        starts = [(Fraction(0), Fraction(1)), *((contracted * Fraction(o) / 100, Fraction(f)) for o, f in bands)]
        cuts = sorted({Fraction(0), *maximum.limits, *(start for start, _ in starts)})
        unit = common_unit(kw.unit, billed, *cuts)
        reached = most(in_unit(kw, unit), int(billed / unit))
        slices: dict[tuple[int, Fraction], Whole] = {}
        for low, high in zip(cuts, [*cuts[1:], None], strict=True):
            part = most(reached, int(low / unit)) - int(low / unit)
            if high is not None:
                part = least(part, int((high - low) / unit))
            tier = sum(low >= limit for limit in maximum.limits)
            factor = next(factor for start, factor in reversed(starts) if low >= start)
            slices[tier, factor] = plus(slices[tier, factor], part) if (tier, factor) in slices else part
        label = "kW" if maximum.months == 1 else "kW" + {"day": "\u00b7day"}.get(charge.per, "\u00b7month")
        for (tier, factor), part in slices.items():
            price = maximum.prices[tier]
            if factor != 1:
                value = Fraction(price.numerator, price.denominator) * factor
                price = priced(as_decimal(value.numerator, value.denominator), self.tariff.rounding.price)
            yield Item(
                Heading(
                    charge.name,
                    "demand",
                    maximum.period,
                    maximum.season,
                    tier + 1 if maximum.limits else None,
                    label,
                    price,
                    f"{maximum.clause}[{tier}]" if maximum.limits else maximum.clause,
                ),
                Column(part, unit * maximum.months),
            )

    # --- time, percentages, minimums, credits ------------------------------------------------------------------------

    def _counted(self, charge: FixedCharge | MinimumCharge | CreditCharge) -> Fraction:
        """How many days, months ... the bill has, times the fact that multiplies them."""
        plan = self.plan
        count = counted(charge.per, charge.proration, part=plan.part, bill=plan.bill, until=plan.end)
        return count * self._times(charge.times, charge.name)

    def _times(self, fact: str | None, name: str) -> Fraction:
        return Fraction(1) if fact is None else Fraction(*number_of(self.facts, fact, wanted_by=f"the charge {name}"))

    def _same(self, number: Fraction) -> Column:
        """One number for all."""
        if not number:
            return Column(np.zeros(self.count, dtype=np.int64), Fraction(1))
        return Column(np.ones(self.count, dtype=np.int64), number)

    def _fixed(self, charge: FixedCharge) -> Iterator[Item]:
        price = priced(charge.price, self.tariff.rounding.price)
        unit = charge.per if charge.times is None else f"{charge.times}\u00b7{charge.per}"
        heading = Heading(charge.name, "fixed", None, None, None, unit, price, f"{charge.clause}.price")
        yield Item(heading, self._same(self._counted(charge)))

    def _of(self, names: Sequence[str]) -> list[Line]:
        return [line for line in self.lines if line.heading.charge in names]

    def _minimum(self, charge: MinimumCharge) -> Iterator[Item]:
        lacking = _less(self._same(Fraction(charge.price) * self._counted(charge)), self._sum(self._of(charge.covers)))
        yield _lump(charge.name, "minimum", lacking, f"{charge.clause}.price")

    def _percentage(self, charge: PercentageCharge) -> Iterator[Item]:
        rate = charge.rate.scaleb(-2)
        price = Price(rate, *as_ratio(rate))
        bases = self._of(charge.of)
        heading = Heading(
            charge.name, charge.kind, None, None, None, self.tariff.currency, price, f"{charge.clause}.rate"
        )
        for base in [line.amounts for line in bases] if charge.by_line else [self._sum(bases)]:
            yield Item(heading, Column(base, Fraction(1, _MICRO)))

    def _credit(self, charge: CreditCharge) -> Iterator[Item]:
        base = most(self._sum(self._of(charge.of)), 0)
        if charge.rate is not None:
            share = Fraction(charge.rate) / 100 * self._times(charge.times, charge.name)
            amount = Column(base, share / _MICRO) if share else self._same(share)
            clause = f"{charge.clause}.rate"
        else:
            amount, clause = self._same(Fraction(charge.price or 0) * self._counted(charge)), f"{charge.clause}.price"
        if charge.most is not None:
            amount = _lesser(amount, self._same(Fraction(charge.most)))
        if charge.of:
            amount = _lesser(amount, Column(base, Fraction(1, _MICRO)))
        yield _lump(charge.name, "credit", amount._replace(values=-amount.values), clause)


def _lump(name: str, kind: LineKind, amount: Column, clause: str) -> Item:
    """One amount: once, at that price."""
    return Item(Heading(name, kind, None, None, None, "bill", None, clause), None, amount)


def _lines_of(plan: EnergyPlan, layout: Layout) -> NDArray[np.int64]:
    """The line of a charge that each run adds to, -1: none."""
    return np.array(plan.line_of_slot, dtype=np.int64)[layout.slots]


def _cut(end: Whole, bounds: Sequence[int]) -> list[Whole]:
    """What lies from 0 to ``end``, cut at the limits."""
    edges = [least(end, bound) for bound in bounds]
    return [high - low for low, high in zip([np.zeros_like(end), *edges], [*edges, end], strict=True)]


def _less(wanted: Column, micro: Whole) -> Column:
    """What amounts lack of what is wanted, 0 at least."""
    unit = common_unit(wanted.unit, Fraction(1, _MICRO))
    got = in_unit(Column(micro, Fraction(1, _MICRO)), unit)
    return Column(most(plus(in_unit(wanted, unit), -got), 0), unit)


def _lesser(left: Column, right: Column) -> Column:
    unit = common_unit(left.unit, right.unit)
    return Column(np.minimum(in_unit(left, unit), in_unit(right, unit)), unit)
