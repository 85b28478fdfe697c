"""What was counted, into charge lines and a total.

A line's quantity times its price is one product of integers, divided once and rounded once, as the tariff says; a
bill's total is the sum of its lines. Unrounded (``exact``) amounts are the same products; where no decimal can hold
one (a pro-rata share, a day of a month's charge) it is given to 18 places, half to even, line by line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from wattledger.kernel import Money, Period, from_epoch
from wattledger.tariffs._counted import USAGE, counted_energy, energy_taken
from wattledger.tariffs._counting import COUNTED, INDEX_PLACES, RatingState, base_at, plan_for, reckoned_until
from wattledger.tariffs._demand import measured
from wattledger.tariffs._exact import as_decimal, as_ratio, exact_sum, rounded
from wattledger.tariffs._history import EarlierPart, History
from wattledger.tariffs._language import Tariff
from wattledger.tariffs._lines import ChargeLine, ExactRating, LineKind, LoadNotice, Rating
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
from wattledger.tariffs._netting import Netted, netted
from wattledger.tariffs._plan import (
    POWER_UNITS,
    UNITS,
    CounterPlan,
    EnergyPlan,
    LinePlan,
    LoadPlan,
    MaximumPlan,
    Price,
    base_of,
    priced,
)
from wattledger.tariffs._proration import counted, months_counted, next_month, to_places, year_of
from wattledger.tariffs._signals import holds, number_of

_ASSUMED_SECONDS = 900  # of an interval of which none was ever seen
_ONE = Price(Decimal(1), 1, 1)


class Item(NamedTuple):
    """A line before it is rounded: ``numerator / denominator`` of ``unit`` at ``price``, or an ``amount`` of its own.

    ``key`` tells energy lines' place: (line, tier). ``again``: the amounts, each with what it is, of whose sum a line
    consists that prices an earlier part of the bill again; ``at`` is then when that part began.
    """

    charge: str
    kind: LineKind
    period: str | None
    season: str | None
    tier: int | None
    numerator: int
    denominator: int
    unit: str
    price: Price
    clause: str
    at: datetime | None = None
    amount: Fraction | None = None
    key: tuple[int, int] = (0, 0)
    again: tuple[tuple[str, Fraction], ...] = ()


@dataclass(frozen=True, slots=True)
class Among:
    """A part's place in its bill: the parts before it, what those after it counted, which charges they have."""

    earlier: tuple[Settlement, ...] = ()
    later: History | None = None
    later_charges: frozenset[str] = frozenset()

    @property
    def last(self) -> bool:
        """Whether no part comes after it."""
        return self.later is None


_ALONE = Among()


class Settlement:
    """One settling: charge by charge, each knowing the lines before it."""

    def __init__(
        self, tariff: Tariff, state: RatingState, until: datetime | None, *, exact: bool, among: Among = _ALONE
    ) -> None:
        self.tariff, self.state, self.exact, self.among = tariff, state, exact, among
        self.plan = plan_for(tariff, state)
        self.reached = reckoned_until(state, until)
        self.items: list[Item] = []
        self.lines: list[ChargeLine] = []
        self._amounts: list[Fraction | int] = []  # of each line: micro-units, or exact in the currency
        self.least: dict[str, Fraction] = {}  # what minimums ask of this part, in the currency
        self.covered: dict[str, int] = {}  # micro-units that minimums for a year cover
        self.peaks: dict[str, int] = {}  # by key and month, for ratchets to come
        self.net: Netted = netted(tariff, self.plan, state)
        self.money_left = Fraction(state.history.bank.get("money", 0), 10**Money.PLACES)
        self._settle()

    # --- the whole ---------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        rounding = self.tariff.rounding
        for charge in self.tariff.charges:
            if charge.when is None or self._applies(charge.when, charge.name):
                for item in self._items(charge):
                    tax = isinstance(charge, PercentageCharge) and charge.kind == "tax"
                    self._add(item, rounding.tax if tax and rounding.tax is not None else rounding.line)
        for item in self._bank_items():
            self._add(item, rounding.line)
        if rounding.bill is not None and not self.exact and self.among.last:
            total = sum((amount for one in (*self.among.earlier, self) for amount in one.amounts), start=Fraction(0))
            self._add(self._lump("rounding", "rounding", to_places(total, rounding.bill) - total, "rounding.bill"))

    @property
    def amounts(self) -> list[Fraction]:
        """The amount of each line, in the currency."""
        size = 1 if self.exact else 10**Money.PLACES
        return [Fraction(amount, size) for amount in self._amounts]

    def _add(self, item: Item, places: Places | None = None) -> None:
        """Write a line down, its amount rounded to ``places``."""
        if item.numerator == 0 and not item.amount:
            return
        again = bool(item.again)
        if item.amount is None:
            numerator, denominator = item.numerator * item.price.numerator, item.denominator * item.price.denominator
        else:
            numerator, denominator = item.amount.numerator, item.amount.denominator
        amount: Money | Decimal
        if self.exact:
            self._amounts.append(Fraction(numerator, denominator))
            amount = as_decimal(numerator, denominator)
        else:
            to = _MICRO if places is None else places
            micro = rounded(numerator * 10**to.places, denominator, to.mode) * 10 ** (Money.PLACES - to.places)
            self._amounts.append(micro)
            amount = Money(micro, self.tariff.currency)
        averaged = item.amount is not None and item.unit == "kWh" and not again
        price = item.price.price
        if averaged:
            mean = to_places(Fraction(numerator, denominator) / Fraction(item.numerator, item.denominator), _SIX)
            price = as_decimal(mean.numerator, mean.denominator)
        self.items.append(item)
        self.lines.append(
            ChargeLine(
                charge=item.charge,
                kind=item.kind,
                period=item.period,
                season=item.season,
                tier=item.tier,
                quantity=as_decimal(item.numerator, item.denominator),
                unit=item.unit,
                price=price,
                amount=amount,
                clause=item.clause,
                at=item.at,
                averaged=averaged,
            )
        )

    def price_again(self, then: Settlement, now: Settlement) -> None:
        """Write down by how much an earlier part costs something else than it did, line by line."""
        at = from_epoch(now.plan.start)
        lines: dict[tuple[object, ...], list[tuple[int, Item, ChargeLine, Fraction]]] = {}
        for sign, of in ((-1, then), (1, now)):
            for item, line, amount in zip(of.items, of.lines, of.amounts, strict=True):
                price = None if item.unit == "bill" else line.price
                key = (item.charge, item.kind, item.period, item.season, item.tier, item.unit, item.clause, price)
                lines.setdefault(key, []).append((sign, item, line, amount))
        for of_line in lines.values():
            amount = sum((sign * one for sign, _, _, one in of_line), start=Fraction(0))
            quantity = sum((sign * Fraction(line.quantity) for sign, _, line, _ in of_line), start=Fraction(0))
            if not amount and not quantity:
                continue
            item = of_line[-1][1]
            steps = tuple((_STEPS[sign], sign * one) for sign, _, _, one in of_line)
            if item.unit == "bill":
                self._add(self._lump(item.charge, item.kind, amount, item.clause)._replace(at=at, again=steps))
                continue
            changed = item._replace(
                numerator=quantity.numerator, denominator=quantity.denominator, amount=amount, at=at, again=steps
            )
            self._add(changed)

    def rating(self) -> Rating | ExactRating:
        """The lines, their sum, and what the readings lacked."""
        state, plan = self.state, self.plan
        seconds = covered = crossing = 0
        counts = [0] * len(COUNTED)
        missing = expected = 0
        for channel in state.channels:
            if not channel.seconds and channel is not state.channels[0]:
                continue  # a channel of which nothing was ever read is not expected
            seconds = channel.seconds or _ASSUMED_SECONDS
            covered = channel.covered
            missing += max(0, self.reached - plan.start - covered) // seconds
            expected += (self.reached - plan.start) // seconds
            crossing += channel.crossing
            counts = [had + more for had, more in zip(counts, channel.counts, strict=True)]
        by_quality = dict(zip((q.name.lower() for q in COUNTED), counts, strict=True))
        common: dict[str, Any] = {
            "period": Period.of_epochs(plan.start, plan.end),
            "currency": self.tariff.currency,
            "lines": tuple(self.lines),
            "expected": expected,
            "missing": missing,
            "estimated": by_quality["estimated"],
            "substituted": by_quality["substituted"],
            "suspect": by_quality["suspect"],
            "crossing": crossing,
            "coarse": max((count.coarse for count in state.demand), default=0),
            "notices": tuple(self._notices()),
            "banked": self._banked(),
        }
        if self.exact:
            amounts = [line.amount for line in self.lines if isinstance(line.amount, Decimal)]
            return ExactRating(total=exact_sum(amounts), **common)
        micro = sum(line.amount.micro for line in self.lines if isinstance(line.amount, Money))
        return Rating(total=Money(micro, self.tariff.currency), **common)

    def _notices(self) -> Iterator[LoadNotice]:
        for load, count in zip(self.plan.load, self.state.load, strict=True):
            for begin, end, power in count.episodes:
                yield LoadNotice(
                    charge=load.charge.name,
                    action=load.charge.action,
                    start=from_epoch(begin),
                    end=from_epoch(end),
                    peak_kw=as_decimal(power, POWER_UNITS),
                )

    def _banked(self) -> dict[str, Decimal]:
        kept = {period: as_decimal(units, UNITS) for period, units in self.net.bank.items() if units}
        if self.money_left:
            kept["money"] = as_decimal(self.money_left.numerator, self.money_left.denominator)
        return kept

    # --- conditions --------------------------------------------------------------------------------------------------

    def _applies(self, when: Condition, name: str) -> bool:
        if not all(holds(test, self.state.facts, wanted_by=f"the charge {name}") for test in when.facts):
            return False
        if when.over is None and when.up_to is None:
            return True
        bill = self.plan.bill
        months = months_counted(when.proration, part=bill, bill=bill, until=bill.end)
        months = Fraction(1) if when.proration.rule == "none" else months
        used = Fraction(self._usage_of_bill(), UNITS)
        over = when.over is None or used > Fraction(when.over) * months
        return over and (when.up_to is None or used <= Fraction(when.up_to) * months)

    def _usage(self) -> int:
        """The energy taken in the bill up to the end of this part."""
        kept = self.state.history.bill
        before = kept[1].get(USAGE, 0) if kept is not None and kept[0] == self.state.bill[0] else 0
        return before + energy_taken(self.tariff, self.plan, self.net)

    def _usage_of_bill(self) -> int:
        """The energy taken in the whole bill, later parts included."""
        later = self.among.later
        return self._usage() + (0 if later is None or later.bill is None else later.bill[1].get(USAGE, 0))

    # --- kinds of charges --------------------------------------------------------------------------------------------

    def _items(self, charge: Charge) -> Iterable[Item]:
        by_kind: dict[type, Callable[[Any], Iterable[Item]]] = {
            EnergyCharge: self._energy,
            DemandCharge: self._demand,
            LoadCharge: self._load,
            FixedCharge: self._fixed,
            MinimumCharge: self._minimum,
            CreditCharge: self._credit,
            PercentageCharge: self._percentage,
        }
        return by_kind[type(charge)](charge)

    def _energy(self, charge: EnergyCharge) -> Iterator[Item]:
        plan = self.plan.energy[charge.name]
        kind: LineKind = "export" if charge.export else "energy"
        if plan.market is not None:
            yield from self._index(plan, kind)
            return
        sign = -1 if charge.export else 1
        for (number, tier), (numerator, denominator) in sorted(self.tiers_of(plan).items()):
            line = plan.lines[number]
            shown = tier + 1 if len(line.prices) > 1 else None
            price = line.prices[tier]
            quantity = self._quantity(numerator, denominator * UNITS)
            yield Item(
                charge.name,
                kind,
                line.period,
                line.season,
                shown,
                *quantity,
                "kWh",
                Price(sign * price.price, sign * price.numerator, price.denominator),
                f"{line.clause}[{tier}]" if shown else line.clause,
                key=(number, tier),
            )

    def _quantity(self, numerator: int, denominator: int) -> tuple[int, int]:
        places = self.tariff.rounding.quantity
        if places is None:
            return numerator, denominator
        size = 10**places.places
        return rounded(numerator * size, denominator, places.mode), size

    def tiers_of(self, plan: EnergyPlan) -> dict[tuple[int, int], tuple[int, int]]:
        """The energy of each (line, tier) that has any, as a ratio in units of energy."""
        found: dict[tuple[int, int], tuple[int, int]] = {}
        first = self.first_counter(plan)
        place = self._first_tier(plan)
        for offset, counter in enumerate(plan.counters):
            kept = None
            if plan.ordered and len(counter.units) > 1:
                width = sum(len(unit.bounds) + 1 for unit in counter.units)
                kept = self.state.tiers[place : place + width]
                place += width
            base = base_at(self.state, first + offset)
            for line, tier, numerator, denominator in self.counter_tiers(plan, counter, base, kept):
                if numerator:
                    key, ratio = (line, tier), (numerator, denominator)
                    found[key] = _added(found[key], ratio) if key in found else ratio
        return found

    def first_counter(self, plan: EnergyPlan) -> int:
        """The number of the charge's first counter among all."""
        names = [name for name, _ in self.plan.counters]
        return names.index(plan.charge.name) if plan.counters else 0

    def _first_tier(self, plan: EnergyPlan) -> int:
        place = 0
        for other in self.plan.energy.values():
            if other.charge.name == plan.charge.name:
                break
            place += other.ordered_tiers
        return place

    def counter_tiers(
        self, plan: EnergyPlan, counter: CounterPlan, base: int, kept: Sequence[int] | None
    ) -> Iterator[tuple[int, int, int, int]]:
        """(line, tier, numerator, denominator) of one counter; tiers without energy among them."""
        sums, scale = self.net.sums, plan.scale
        whole = sum([sums[slot] for unit in counter.units for slot in unit.slots])
        slab = plan.charge.tiers is not None and plan.charge.tiers.allocation == "reached_slab"
        place = 0
        for unit in counter.units:
            used = sum([sums[slot] for slot in unit.slots])
            bounds = unit.bounds
            if plan.by_demand:
                bounds, scale = self._by_demand(plan, counter, unit.bounds)
            if kept is not None:
                tiers, denominator = kept[place : place + len(bounds) + 1], scale
                place += len(bounds) + 1
            elif not bounds:
                tiers, denominator = [used], 1
            elif slab:
                later = 0 if self.among.later is None else base_of(counter, self.among.later, self.state.bill[0])
                reached = sum((base + whole + later) * scale > bound for bound in bounds)
                tiers, denominator = [used * (n == reached) for n in range(len(bounds) + 1)], 1
            else:
                tiers, denominator = tiers_between(base * scale, (base + whole) * scale, bounds), scale
                if len(counter.units) > 1 and whole:  # every period has the same shares: those of the whole counter
                    tiers, denominator = [used * share for share in tiers], scale * whole
                elif len(counter.units) > 1:
                    tiers = [0] * len(tiers)
            for tier, numerator in enumerate(tiers):
                yield unit.line, tier, numerator, denominator

    def _by_demand(self, plan: EnergyPlan, counter: CounterPlan, bounds: Sequence[int]) -> tuple[tuple[int, ...], int]:
        """Limits per kW times the highest demand of the counter's month (of all, where it counts more than one)."""
        peak = self.plan.demand[-1]
        tops = measured(self.plan, peak, self.state.demand[-1])
        month = counter.window[:7] if counter.window != "bill" else None
        powers = [
            top[0][0]
            for maximum, top in zip(peak.maxima, tops, strict=True)
            if top and (month is None or maximum.month == month)
        ]
        highest = max(powers, default=0)
        return tuple(bound * highest for bound in bounds), plan.scale * POWER_UNITS

    def _index(self, plan: EnergyPlan, kind: LineKind) -> Iterator[Item]:
        charges = [energy.charge.name for energy in self.plan.energy.values() if energy.charge.index is not None]
        amounts = self.state.index[charges.index(plan.charge.name)]
        sign = -1 if plan.charge.export else 1
        for number, line in enumerate(plan.lines):
            slots = [slot for slot, of in enumerate(plan.line_of_slot) if of == number]
            used = sum(self.state.sums[slot] for slot in slots)
            amount = Fraction(sign * amounts[number], UNITS * 10**INDEX_PLACES)
            if used:
                yield Item(
                    plan.charge.name,
                    kind,
                    line.period,
                    line.season,
                    None,
                    used,
                    UNITS,
                    "kWh",
                    _ONE,
                    line.clause,
                    amount=amount,
                    key=(number, 0),
                )

    # --- demand ------------------------------------------------------------------------------------------------------

    def _demand(self, charge: DemandCharge) -> Iterator[Item]:
        number = next(
            n for n, plan in enumerate(self.plan.demand) if plan.charge is not None and plan.charge.name == charge.name
        )
        plan = self.plan.demand[number]
        for maximum, tops in zip(plan.maxima, measured(self.plan, plan, self.state.demand[number]), strict=True):
            found = _mean(tops)
            self._remember_peak(maximum, found)
            billed = self._billed(charge, maximum, found)
            if billed is None:
                continue
            at = from_epoch(tops[0][1]) if tops else None
            yield from self._demand_lines(charge, maximum, billed, at)

    def _remember_peak(self, maximum: MaximumPlan, found: Fraction) -> None:
        key = f"{maximum.month}/{maximum.key}"
        self.peaks[key] = max(self.peaks.get(key, 0), found.numerator // found.denominator)

    def _billed(self, charge: DemandCharge, maximum: MaximumPlan, found: Fraction) -> Fraction | None:
        """The kW to bill, or ``None`` when nothing was measured and nothing is the least."""
        kw = to_places(found / POWER_UNITS, charge.rounding)
        least = Fraction(charge.minimum or 0)
        if charge.ratchet is not None:
            highest = max(self._looked_back(charge, maximum), default=0)
            least = max(least, Fraction(highest, POWER_UNITS) * maximum.percent)
        if charge.contracted is not None and charge.contracted.billed:
            least = max(least, self._contracted(charge))
        kw = max(kw, to_places(least, charge.rounding))
        return kw or None

    def _looked_back(self, charge: DemandCharge, maximum: MaximumPlan) -> Iterator[int]:
        ratchet = charge.ratchet
        year, month = int(maximum.month[:4]), int(maximum.month[5:7])
        for back in range(1, (0 if ratchet is None else ratchet.months) + 1):
            at = year * 12 + month - 1 - back
            if ratchet is not None and at % 12 + 1 in ratchet.of:
                kept = self.state.history.months.get(f"{at // 12:04d}-{at % 12 + 1:02d}", {})
                yield kept.get("demand", {}).get(maximum.key, 0)

    def _contracted(self, charge: DemandCharge) -> Fraction:
        contracted = charge.contracted
        if contracted is not None and contracted.kw is not None:
            return Fraction(contracted.kw)
        return Fraction(*number_of(self.state.facts, "contracted_kw", wanted_by=f"the charge {charge.name}"))

    def _demand_lines(
        self, charge: DemandCharge, maximum: MaximumPlan, billed: Fraction, at: datetime | None
    ) -> Iterator[Item]:
        bands = () if charge.contracted is None else charge.contracted.bands
        contracted = self._contracted(charge) if bands else Fraction(0)
        starts = [(Fraction(0), Fraction(1)), *((contracted * Fraction(o) / 100, Fraction(f)) for o, f in bands)]
        cuts = sorted({Fraction(0), *maximum.limits, *(start for start, _ in starts)})
        unit = "kW" if maximum.months == 1 else "kW" + {"day": "\u00b7day"}.get(charge.per, "\u00b7month")
        slices: dict[tuple[int, Fraction], Fraction] = {}
        for low, high in zip(cuts, [*cuts[1:], billed], strict=True):
            top = min(high, billed)
            if top > low:
                tier = sum(low >= limit for limit in maximum.limits)
                factor = next(factor for start, factor in reversed(starts) if low >= start)
                slices[tier, factor] = slices.get((tier, factor), Fraction(0)) + top - low
        for (tier, factor), kw in slices.items():
            price = maximum.prices[tier]
            if factor != 1:
                value = Fraction(price.numerator, price.denominator) * factor
                price = priced(as_decimal(value.numerator, value.denominator), self.tariff.rounding.price)
            quantity = kw * maximum.months
            yield Item(
                charge.name,
                "demand",
                maximum.period,
                maximum.season,
                tier + 1 if maximum.limits else None,
                quantity.numerator,
                quantity.denominator,
                unit,
                price,
                f"{maximum.clause}[{tier}]" if maximum.limits else maximum.clause,
                at,
            )

    def _load(self, charge: LoadCharge) -> Iterator[Item]:
        if charge.action in {"notice", "curtail"}:
            return
        for plan, count in zip(self.plan.load, self.state.load, strict=True):
            if plan.charge.name == charge.name:
                for line, energy in zip(plan.lines, count.energy, strict=True):
                    if energy:
                        yield self._load_line(plan, line, energy)

    def _load_line(self, plan: LoadPlan, line: LinePlan, energy: int) -> Item:
        numerator, denominator = self._quantity(energy, UNITS)
        return Item(
            plan.charge.name,
            "load",
            line.period,
            line.season,
            None,
            numerator,
            denominator,
            "kWh",
            line.prices[0],
            line.clause,
        )

    # --- time, percentages, minimums, credits ------------------------------------------------------------------------

    def _fixed(self, charge: FixedCharge) -> Iterator[Item]:
        count = counted(
            charge.per, charge.proration, part=self.plan.part, bill=self.plan.bill, until=self.reached
        ) * self._times(charge.times, charge.name)
        price = priced(charge.price, self.tariff.rounding.price)
        clause = f"{charge.clause}.price"
        unit = charge.per if charge.times is None else f"{charge.times}\u00b7{charge.per}"
        yield Item(
            charge.name, "fixed", None, None, None, count.numerator, count.denominator, unit, price, clause
        )  # fmt: skip

    def _times(self, fact: str | None, name: str) -> Fraction:
        if fact is None:
            return Fraction(1)
        return Fraction(*number_of(self.state.facts, fact, wanted_by=f"the charge {name}"))

    def of(self, names: Sequence[str]) -> list[Fraction]:
        """The amounts of these charges' lines."""
        return [a for item, a in zip(self.items, self.amounts, strict=True) if item.charge in names]

    def _minimum(self, charge: MinimumCharge) -> Iterator[Item]:
        got = sum(self.of(charge.covers), start=Fraction(0))
        least = Fraction(charge.price) * self._times(charge.times, charge.name)
        if charge.per == "year" and charge.proration.rule == "none":
            self.covered[charge.name] = int(got * 10**Money.PLACES)
            if not self._ends_year(charge.starts):
                return
            got += Fraction(self._covered_before(charge), 10**Money.PLACES)
        else:
            least *= counted(charge.per, charge.proration, part=self.plan.part, bill=self.plan.bill, until=self.reached)
            self.least[charge.name] = least
            if charge.name in self.among.later_charges:
                return  # once for the whole bill, in the last part that has it
            for one in self.among.earlier:
                if charge.name in one.least:
                    least += one.least[charge.name]
                    got += sum(one.of(charge.covers), start=Fraction(0))
        if got < least:
            yield self._lump(charge.name, "minimum", least - got, f"{charge.clause}.price")

    def _ends_year(self, starts: int) -> bool:
        if self.reached < self.plan.end or self.plan.end < self.plan.bill.end or not self.plan.part.dates:
            return False
        last = self.plan.part.dates[-1]
        following = next_month(last.replace(day=1))
        whole_month = self.plan.part.months[-1][2] <= self.plan.end
        return whole_month and following.month == starts

    def _covered_before(self, charge: MinimumCharge) -> int:
        first = year_of(self.plan.part.dates[-1].replace(day=1), charge.starts)
        months = self.state.history.months
        return sum(
            kept.get("covered", {}).get(charge.name, 0) for month, kept in months.items() if month >= f"{first:%Y-%m}"
        )

    def _percentage(self, charge: PercentageCharge) -> Iterator[Item]:
        rate = charge.rate.scaleb(-2)
        price = Price(rate, *as_ratio(rate))
        bases = self.of(charge.of)
        for base in bases if charge.by_line else [sum(bases, start=Fraction(0))]:
            yield Item(
                charge.name,
                charge.kind,
                None,
                None,
                None,
                base.numerator,
                base.denominator,
                self.tariff.currency,
                price,
                f"{charge.clause}.rate",
            )

    def _credit(self, charge: CreditCharge) -> Iterator[Item]:
        base = sum(self.of(charge.of), start=Fraction(0)) if charge.of else None
        times = self._times(charge.times, charge.name)
        if charge.rate is not None:
            amount = max(base or Fraction(0), Fraction(0)) * Fraction(charge.rate) / 100 * times
            clause = f"{charge.clause}.rate"
        else:
            count = counted(charge.per, charge.proration, part=self.plan.part, bill=self.plan.bill, until=self.reached)
            amount = Fraction(charge.price or 0) * count * times
            clause = f"{charge.clause}.price"
        if charge.most is not None:
            given = -sum((amount for one in self.among.earlier for amount in one.of([charge.name])), start=Fraction(0))
            amount = min(amount, max(Fraction(charge.most) - given, Fraction(0)))
        if base is not None:
            amount = min(amount, max(base, Fraction(0)))
        if amount:
            yield self._lump(charge.name, "credit", -amount, clause)

    def _lump(self, name: str, kind: LineKind, amount: Fraction, clause: str) -> Item:
        """One amount: once, at that price."""
        price = Price(as_decimal(amount.numerator, amount.denominator), amount.numerator, amount.denominator)
        return Item(name, kind, None, None, None, int(bool(amount)), 1, "bill", price, clause)

    # --- bank --------------------------------------------------------------------------------------------------------

    def _bank_items(self) -> Iterator[Item]:
        """An emptied bank of kWh is paid out; a bank of money takes up what falls below zero and gives it back."""
        bank = self.tariff.netting.bank
        if bank is None:
            return
        clause = "netting.bank"
        if bank.unit == "kwh":
            if self.net.cashed and bank.cash_out:
                price = priced(-bank.cash_out, self.tariff.rounding.price)
                yield Item("bank", "bank", None, None, None, self.net.cashed, UNITS, "kWh", price, clause)
            return
        total = sum(self.amounts, start=Fraction(0))
        taken = min(self.money_left, total) if total > 0 else total  # below zero: put in
        if taken:
            self.money_left -= taken
            yield self._lump("bank", "bank", -taken, clause)
        if self.net.emptied and self.money_left:
            if bank.cash_out:
                yield self._lump("bank", "bank", -self.money_left, f"{clause}.cash_out")
            self.money_left = Fraction(0)

    # --- what is left to later bills ---------------------------------------------------------------------------------

    def history(self) -> History:
        """This period's counts beside those before it, as far back as the tariff looks."""
        state, plan = self.state, self.plan
        months = {
            month: {what: dict(kept) for what, kept in parts.items()} for month, parts in state.history.months.items()
        }
        bill: dict[str, int] = {}
        if state.history.bill is not None and state.history.bill[0] == state.bill[0]:
            bill = dict(state.history.bill[1])

        def more(month: str, what: str, key: str, amount: int) -> None:
            kept = months.setdefault(month, {}).setdefault(what, {})
            kept[key] = kept.get(key, 0) + amount

        for month, key, used in counted_energy(self.tariff, plan, self.net):
            if month is None:
                bill[key] = bill.get(key, 0) + used
            else:
                more(month, "energy", key, used)
        bill[USAGE] = self._usage()
        for key, power in self.peaks.items():
            month, _, name = key.partition("/")
            kept = months.setdefault(month, {}).setdefault("demand", {})
            kept[name] = max(kept.get(name, 0), power)
        for name, micro in self.covered.items():
            more(f"{plan.part.dates[-1]:%Y-%m}", "covered", name, micro)
        bank = {period: units for period, units in self.net.bank.items() if units}
        if self.money_left:
            whole = self.money_left * 10**Money.PLACES
            bank["money"] = whole.numerator // whole.denominator
        keep = sorted(months)[-_MONTHS_KEPT:]
        return History(
            since=state.history.since,
            months={month: months[month] for month in keep if months[month]},
            bill=(state.bill[0], bill),
            bank=bank,
            parts=self._parts() if plan.end < state.bill[1] else (),
        )

    def _parts(self) -> tuple[EarlierPart, ...]:
        """The parts of the bill up to this one, for the next."""
        state = self.state
        kept = state.history
        before = kept.parts if kept.bill is not None and kept.bill[0] == state.bill[0] else ()
        return (*before, EarlierPart(self.tariff, replace(state, history=replace(kept, parts=()))))


_STEPS = {-1: "as it was charged", 1: "by the whole bill"}
_SIX = Places(places=6, mode="half_even")
_MICRO = Places(places=Money.PLACES, mode="half_even")
_MONTHS_KEPT = 37


def tiers_between(begin: int, end: int, bounds: Sequence[int]) -> list[int]:
    """What lies from ``begin`` to ``end`` of a counter, cut at the limits."""
    edges = [min(max(bound, begin), end) for bound in bounds]
    return [upper - lower for lower, upper in zip((begin, *edges), (*edges, end), strict=True)]


def _added(left: tuple[int, int], right: tuple[int, int]) -> tuple[int, int]:
    (a, b), (c, d) = left, right
    return (a + c, b) if b == d else (a * d + c * b, b * d)


def _mean(tops: Sequence[tuple[int, int]]) -> Fraction:
    if not tops:
        return Fraction(0)
    return Fraction(sum(power for power, _ in tops), len(tops))
