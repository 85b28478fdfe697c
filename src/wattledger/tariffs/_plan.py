"""A tariff compiled for one period: the calendar laid out, limits in whole units, days and maxima told apart.

Energy is counted in *slots*: one for each channel, window and cell. A window is a calendar month of the period, or a
day where energy is netted by the day.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, tzinfo
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from math import lcm
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wattledger.kernel import Period
from wattledger.tariffs._calendar import midnight
from wattledger.tariffs._exact import as_decimal, as_ratio
from wattledger.tariffs._history import History
from wattledger.tariffs._language import Tariff
from wattledger.tariffs._model import (
    EXPORT,
    IMPORT,
    Cell,
    DemandCharge,
    EnergyCharge,
    LoadCharge,
    Places,
    Tiers,
)
from wattledger.tariffs._proration import Span, months_before, months_counted, quarter_of, span_of, to_places, year_of
from wattledger.tariffs._segments import Occurrences, check_in_force, segments
from wattledger.tariffs._signals import Facts, number_of

DECIMALS = 9
UNITS = 10**DECIMALS
"""Units of energy in a kWh, in which everything is counted."""

POWER_UNITS = 24 * UNITS
"""Units of power in a kW: power is counted as units of energy a day, so that it is whole for every window."""

PEAK = "\N{MIDDLE DOT}peak"
"""The key of the highest demand at any time, which limits per kW ask for."""

_PEAK_WINDOW = 15


class Unit(NamedTuple):
    """The slots that share a counter, a line and the same limits. ``bounds`` are the limits in the plan's units."""

    slots: tuple[int, ...]
    line: int
    bounds: tuple[int, ...]


class CounterPlan(NamedTuple):
    """One tier counter: the units that fill it and, by ``key`` and ``window``, where earlier bills left it."""

    key: str
    window: str
    units: tuple[Unit, ...]


class Price(NamedTuple):
    price: Decimal
    numerator: int
    denominator: int


class LinePlan(NamedTuple):
    """A line of an energy charge: the price of each tier, its period and season where it has one, its clause."""

    prices: tuple[Price, ...]
    period: str | None
    season: str | None
    clause: str


class IndexPlan(NamedTuple):
    """Index prices in whole units of ``10**-places``, by cell: ``scale`` carries ``scale_places`` of them."""

    places: int
    scale_places: int
    scale: tuple[int, ...]
    adder: tuple[int, ...]
    cap: int | None
    floor: int | None


class EnergyPlan(NamedTuple):
    """An energy charge compiled.

    ``scale``          makes whole numbers of all limits: the plan's units are ``1 / scale`` of the state's
    ``ordered``        whether the tiers fill in the order of time
    ``ordered_tiers``  how many tiers the state has to keep, because they do not follow from the sums
    ``by_demand``      whether the limits are still to be multiplied by the highest demand
    ``line_of_slot``   for each slot the line it adds to; -1: another channel's
    ``market``         how published prices become this charge's, if they do
    """

    charge: EnergyCharge
    scale: int
    counters: tuple[CounterPlan, ...]
    lines: tuple[LinePlan, ...]
    ordered: bool
    ordered_tiers: int
    by_demand: bool
    line_of_slot: tuple[int, ...]
    market: IndexPlan | None


class MaximumPlan(NamedTuple):
    """One maximum of a demand charge: a group of cells in one billing month.

    ``part``   this plan's share of the billing month, ``months`` how many months that counts for, price and all
    """

    key: str
    month: str
    period: str | None
    season: str | None
    clause: str
    prices: tuple[Price, ...]
    limits: tuple[Fraction, ...]
    months: Fraction
    percent: Fraction
    days: int


class DemandPlan(NamedTuple):
    """A demand charge (or, without ``charge``, the highest demand of the month) compiled.

    ``seconds``          of the window
    ``keep``             how many of the greatest are kept for each maximum, ``daily``: at most one of a day
    ``maximum_of_slot``  for each slot of its channel the maximum it takes part in, -1: none
    """

    charge: DemandCharge | None
    channel: int
    seconds: int
    sliding: bool
    keep: int
    daily: bool
    maxima: tuple[MaximumPlan, ...]
    maximum_of_slot: NDArray[np.int64]


class LoadPlan(NamedTuple):
    """A load clause compiled: the threshold in units of power, and the prices by cell."""

    charge: LoadCharge
    channel: int
    threshold: int
    lines: tuple[LinePlan, ...]
    line_of_slot: tuple[int, ...]
    watched: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A tariff compiled for ``[start, end)``, which is all or part of a bill.

    ``edges``, ``slots``  the unbroken row of segments and the slot of each in the first channel
    ``width``             slots of a channel: windows times cells
    ``windows``           the calendar month (or day) of each window
    ``part``, ``bill``    the days of this plan and of the whole bill
    """

    tariff: str
    start: int
    end: int
    edges: NDArray[np.int64]
    slots: NDArray[np.int64]
    width: int
    windows: tuple[str, ...]
    part: Span
    bill: Span
    energy: Mapping[str, EnergyPlan]
    demand: tuple[DemandPlan, ...]
    load: tuple[LoadPlan, ...]
    ordered_tiers: int
    ordered: bool
    counters: tuple[tuple[str, CounterPlan], ...]

    @property
    def days(self) -> tuple[int, ...]:
        """Where each local day begins."""
        return self.part.days


@lru_cache(maxsize=4096)
def plan_of(  # noqa: PLR0913, PLR0917 - a cache's key
    tariff: Tariff,
    zone: tzinfo,
    start: int,
    end: int,
    bill: tuple[int, int],
    facts: Facts = (),
    occurrences: Occurrences = (),
    since: int | None = None,
) -> Plan:
    """The plan of the period between two epochs; raises ``TariffNotInForce`` and ``FactUnknown``."""
    period = Period.of_epochs(start, end)
    check_in_force(tariff, zone, period)
    return _Compiler(tariff, zone, period, bill, facts, since).plan(occurrences)


class _Compiler:
    def __init__(
        self, tariff: Tariff, zone: tzinfo, period: Period, bill: tuple[int, int], facts: Facts, since: int | None
    ) -> None:
        self.tariff, self.zone, self.period, self.facts, self.since = tariff, zone, period, facts, since
        self.start, self.end = int(period.start.timestamp()), int(period.end.timestamp())
        self.part = span_of(zone, self.start, self.end)
        self.bill = span_of(zone, *bill)
        self.cells = tariff.cells
        if tariff.netting.per == "day":
            cuts = list(self.part.days)
            self.windows = tuple(day.isoformat() for day in self.part.dates)
        else:
            cuts = [max(begin, self.start) for _, begin, _, _ in self.part.months]
            self.windows = tuple(f"{first:%Y-%m}" for first, _, _, _ in self.part.months)
        if not self.windows:  # an empty period
            cuts, self.windows = [self.start], ("",)
        self.cuts = cuts
        self.width = len(self.windows) * len(self.cells)

    def plan(self, occurrences: Occurrences) -> Plan:
        tariff = self.tariff
        laid = segments(tariff, self.zone, self.period, occurrences)
        edges, slots = laid.edges, laid.cells.astype(np.int64)
        if len(self.windows) > 1:
            edges = np.union1d(edges, np.array(self.cuts, dtype=np.int64))
            slots = laid.cells[np.searchsorted(laid.edges, edges[:-1], side="right") - 1].astype(np.int64)
            window = np.searchsorted(np.array(self.cuts, dtype=np.int64), edges[:-1], side="right") - 1
            slots = window * len(self.cells) + slots
        energy = {c.name: self._energy(c) for c in tariff.charges if isinstance(c, EnergyCharge)}
        demand = [self._demand(c) for c in tariff.charges if isinstance(c, DemandCharge)]
        if any(plan.by_demand for plan in energy.values()):
            demand.append(self._peak())
        ordered_tiers = sum(plan.ordered_tiers for plan in energy.values())
        load = tuple(self._load(c) for c in tariff.charges if isinstance(c, LoadCharge))
        return Plan(
            tariff=tariff.hash[:16],
            start=self.start,
            end=self.end,
            edges=edges,
            slots=slots,
            width=self.width,
            windows=self.windows,
            part=self.part,
            bill=self.bill,
            energy=energy,
            demand=tuple(demand),
            load=load,
            ordered_tiers=ordered_tiers,
            ordered=bool(ordered_tiers or load or any(plan.sliding for plan in demand)),
            counters=tuple((name, counter) for name, plan in energy.items() for counter in plan.counters),
        )

    # --- energy ------------------------------------------------------------------------------------------------------

    def _energy(self, charge: EnergyCharge) -> EnergyPlan:
        bounds = {
            window: [tuple(Fraction(limit) * factor * UNITS for limit in limits) for limits in charge.limits]
            for window, factor in self._limit_factors(charge.tiers).items()
        }
        rounding = None if charge.tiers is None else charge.tiers.rounding
        if rounding is not None:
            kwh = {w: [[to_places(b / UNITS, rounding) for b in cell] for cell in cells] for w, cells in bounds.items()}
            bounds = {w: [tuple(b * UNITS for b in cell) for cell in cells] for w, cells in kwh.items()}
        scale = lcm(*(bound.denominator for cells in bounds.values() for cell in cells for bound in cell))
        units: dict[tuple[str, str], dict[tuple[int, tuple[int, ...]], list[int]]] = {}
        line_of_slot = [-1] * (self.width * len(self.tariff.channels))
        for slot, channel, window, cell in self._slots(charge.channels):
            whole = tuple(int(bound * scale) for bound in bounds[window][cell])
            counter = self._counter_key(charge, channel, cell), self._counter_window(charge.tiers, window)
            units.setdefault(counter, {}).setdefault((charge.lines[cell], whole), []).append(slot)
            line_of_slot[slot] = charge.lines[cell]
        counters = tuple(
            CounterPlan(key, window, tuple(Unit(tuple(slots), line, whole) for (line, whole), slots in members.items()))
            for (key, window), members in units.items()
        )
        ordered = charge.order_matters(self.cells)
        kept = [u for c in counters for u in c.units if ordered and len(c.units) > 1]
        return EnergyPlan(
            charge=charge,
            scale=scale,
            counters=counters,
            lines=self._lines(charge, charge.lines, charge.prices),
            ordered=ordered,
            ordered_tiers=sum(len(unit.bounds) + 1 for unit in kept),
            by_demand=charge.tiers is not None and charge.tiers.per == "demand_kw",
            line_of_slot=tuple(line_of_slot),
            market=_index_plan(charge),
        )

    def _slots(self, channels: Sequence[str]) -> Iterator[tuple[int, str, str, int]]:
        """(slot, channel, window, cell) of all slots of these channels."""
        for channel in channels:
            base = self.tariff.channels.index(channel) * self.width
            for number, window in enumerate(self.windows):
                for cell in range(len(self.cells)):
                    yield base + number * len(self.cells) + cell, channel, window, cell

    def _lines(
        self, charge: EnergyCharge | DemandCharge, lines: Sequence[int], prices: Sequence[Sequence[Decimal]]
    ) -> tuple[LinePlan, ...]:
        found = []
        for number in range(max(lines, default=-1) + 1):
            members = [self.cells[cell] for cell, line in enumerate(lines) if line == number]
            first = lines.index(number)
            season = _one({cell.season for cell in members})
            period = _one({cell.in_schedule(charge.schedule) for cell in members})
            what = "price" if not (isinstance(charge, EnergyCharge) and charge.index) else "index"
            found.append(
                LinePlan(
                    prices=tuple(self._price(p) for p in prices[first]),
                    period=period,
                    season=season,
                    clause=self._clause(charge.clause, what, self.cells[first], charge.schedule),
                )
            )
        return tuple(found)

    def _clause(self, path: str, what: str, cell: Cell, schedule: int) -> str:
        """The path of the price that applies in a cell, as the document branches."""
        node: Any = self.tariff.document
        for part in path.replace("]", "").replace("[", ".").split("."):
            node = node[int(part)] if isinstance(node, list) else node.get(part) if isinstance(node, Mapping) else None
        node = node.get(what) if isinstance(node, Mapping) else None
        path = f"{path}.{what}"
        while isinstance(node, Mapping) and what == "price":
            name = next((n for n in (cell.season, cell.in_schedule(schedule)) if n in node), None)
            if name is None:
                break
            path, node = f"{path}.{name}", node[name]
        return path

    def _price(self, price: Decimal) -> Price:
        return priced(price, self.tariff.rounding.price)

    def _counter_key(self, charge: EnergyCharge, channel: str, cell: int) -> str:
        if charge.tiers is not None and charge.tiers.counter == "per_period":
            return f"{charge.name}|{self.cells[cell].in_schedule(charge.schedule)}"
        if charge.tiers is not None and charge.tiers.counter == "per_channel":
            return f"{charge.name}|{channel}"
        return f"{charge.name}|"

    def _counter_window(self, tiers: Tiers | None, window: str) -> str:
        """What a window's energy is counted together with: its month, quarter, year or the whole bill."""
        if tiers is None or tiers.basis in {"bill", "day"} or not window:
            return "bill"
        first = date(int(window[:4]), int(window[5:7]), 1)
        if tiers.basis == "year":
            return f"{year_of(first, tiers.starts):%Y-%m}+12"
        if tiers.basis == "quarter":
            return f"{quarter_of(first, tiers.starts):%Y-%m}+3"
        if tiers.basis == "rolling":
            return f"{months_before(first, tiers.months - 1):%Y-%m}+{tiers.months}"
        return f"{first:%Y-%m}+1"

    def _limit_factors(self, tiers: Tiers | None) -> dict[str, Fraction]:
        """By what the written limits are multiplied in each window."""
        if tiers is None:
            return dict.fromkeys(self.windows, Fraction(1))
        per = Fraction(1)
        if tiers.per in {"contracted_kw", "person"}:
            name = {"contracted_kw": "contracted_kw", "person": "persons"}[tiers.per]
            per = Fraction(*number_of(self.facts, name, wanted_by=f"tariff {self.tariff.id}"))
        return {window: per * self._limit_factor(tiers, window) for window in self.windows}

    def _limit_factor(self, tiers: Tiers, window: str) -> Fraction:
        bill, rule = self.bill, tiers.proration
        if tiers.basis == "day":
            return Fraction(len(bill.days))
        if rule.rule == "none" or not window:
            return Fraction(1)
        if tiers.basis == "bill":
            return months_counted(rule, part=bill, bill=bill, until=bill.end)
        first = date(int(window[:4]), int(window[5:7]), 1)
        if tiers.basis == "month":
            _, begin, end, _ = span_of(self.zone, *_bounds(bill, first)).months[0]
            within = span_of(self.zone, max(begin, bill.start), min(end, bill.end))
            return months_counted(rule, part=within, bill=within, until=within.end)
        return self._since_start(tiers, first)

    def _since_start(self, tiers: Tiers, first: date) -> Fraction:
        """How much of a year, quarter or rolling stretch the contract has been there for, by days."""
        opened = {"year": year_of, "quarter": quarter_of}.get(tiers.basis)
        length = {"year": 12, "quarter": 3}.get(tiers.basis, tiers.months)
        begin = opened(first, tiers.starts) if opened is not None else months_before(first, tiers.months - 1)
        whole = span_of(self.zone, midnight(begin, self.zone), midnight(months_before(begin, -length), self.zone))
        since = max(whole.start, whole.start if self.since is None else self.since)
        return Fraction(len(whole.days) - max(whole.days_before(since + 1) - 1, 0), len(whole.days))

    # --- demand and load ---------------------------------------------------------------------------------------------

    def _billing_months(self) -> list[tuple[str, list[int], Span, Span]]:
        """(month, its windows, this part of it, all of it): the bill cut where months begin, its head with the next."""
        starts = self.bill.month_starts
        found = []
        for number, begin in enumerate(starts):
            first = self.bill.start if number == 0 else begin
            last = starts[number + 1] if number + 1 < len(starts) else self.bill.end
            low, high = max(first, self.start), min(last, self.end)
            month = next(f"{day:%Y-%m}" for day, a, b, _ in self.bill.months if a <= begin < b)
            windows = [n for n, cut in enumerate(self.cuts) if low <= cut < high]
            if low < high:
                found.append((month, windows, span_of(self.zone, low, high), span_of(self.zone, first, last)))
        return found

    def _demand(self, charge: DemandCharge) -> DemandPlan:
        width = len(self.cells)
        of_slot = np.full(self.width, -1, dtype=np.int64)
        maxima: list[MaximumPlan] = []
        lines = self._lines(charge, charge.groups, charge.prices)
        for month, windows, part, whole in self._billing_months():
            months = months_counted(charge.proration, part=whole, bill=whole, until=whole.end)
            months *= Fraction(len(part.days), len(whole.days))
            if charge.per == "day":
                months = Fraction(len(part.days))
            for group, line in enumerate(lines):
                members = [cell for cell, number in enumerate(charge.groups) if number == group]
                reached = [
                    window * width + cell for window in windows for cell in members
                ]  # fmt: skip
                of_slot[reached] = len(maxima)
                seasons = {self.tariff.season_names.index(self.cells[cell].season) for cell in members}
                days = sum(self.tariff.calendar.season(day) in seasons for day in part.dates)
                percent = charge.ratchet.percent[members[0]] if charge.ratchet is not None else Decimal(0)
                if days:
                    maxima.append(
                        MaximumPlan(
                            key=f"{charge.name}|{line.period or ''}",
                            month=month,
                            period=line.period,
                            season=line.season,
                            clause=line.clause,
                            prices=line.prices,
                            limits=tuple(Fraction(limit) for limit in charge.limits[members[0]]),
                            months=months * Fraction(days, len(part.days)),
                            percent=Fraction(percent) / 100,
                            days=len(part.days),
                        )
                    )
                else:
                    of_slot[reached] = -1
        daily = charge.statistic == "daily_mean" or charge.days_apart
        return DemandPlan(
            charge=charge,
            channel=self.tariff.channels.index(charge.channel),
            seconds=charge.window * 60,
            sliding=charge.sliding,
            keep={"max": 1, "mean_of_highest": charge.highest, "daily_mean": 0}[charge.statistic],
            daily=daily,
            maxima=tuple(maxima),
            maximum_of_slot=of_slot,
        )

    def _peak(self) -> DemandPlan:
        """The highest demand at any time of each billing month."""
        width = len(self.cells)
        of_slot = np.full(self.width, -1, dtype=np.int64)
        maxima: list[MaximumPlan] = []
        for month, windows, part, _ in self._billing_months():
            for window in windows:
                of_slot[window * width : (window + 1) * width] = len(maxima)
            maxima.append(
                MaximumPlan(PEAK, month, None, None, "", (), (), Fraction(1), Fraction(0), len(part.days))
            )  # fmt: skip
        return DemandPlan(None, 0, _PEAK_WINDOW * 60, False, 1, False, tuple(maxima), of_slot)

    def _load(self, charge: LoadCharge) -> LoadPlan:
        if charge.threshold_kw is not None:
            threshold = Fraction(charge.threshold_kw)
        else:
            contracted = number_of(self.facts, "contracted_kw", wanted_by=f"the clause {charge.name}")
            threshold = Fraction(charge.percent or 0) / 100 * Fraction(*contracted)
        prices = [Fraction(price) for price in charge.prices]
        if charge.action == "factor":
            energy = [c for c in self.tariff.energy if charge.channel in c.channels]
            prices = [
                sum((Fraction(c.prices[cell][0]) for c in energy), start=Fraction(0)) * (factor - 1)
                for cell, factor in enumerate(prices)
            ]
        distinct = list(dict.fromkeys(zip([c.season for c in self.cells], [c.period for c in self.cells], strict=True)))
        lines = tuple(
            LinePlan(
                prices=(priced(_decimal(prices[cell]), self.tariff.rounding.price),),
                period=self.cells[cell].period,
                season=self.cells[cell].season,
                clause=charge.clause,
            )
            for cell in (next(n for n, c in enumerate(self.cells) if (c.season, c.period) == pair) for pair in distinct)
        )
        of_cell = [distinct.index((c.season, c.period)) for c in self.cells]
        return LoadPlan(
            charge=charge,
            channel=self.tariff.channels.index(charge.channel),
            threshold=int(threshold * POWER_UNITS // 1),
            lines=lines,
            line_of_slot=tuple(of_cell * len(self.windows)),
            watched=np.array(list(charge.watched) * len(self.windows), dtype=np.bool_),
        )


def priced(price: Decimal, places: Places | None) -> Price:
    """A unit price, rounded where the tariff says so, with its ratio."""
    if places is not None:
        whole = to_places(Fraction(price), places)
        price = as_decimal(whole.numerator, whole.denominator)
    return Price(price, *as_ratio(price))


def _decimal(value: Fraction) -> Decimal:
    return as_decimal(value.numerator, value.denominator)


def _index_plan(charge: EnergyCharge) -> IndexPlan | None:
    """The places that hold scale x value + adder for values of any number of places up to the limits' own."""
    index = charge.index
    if index is None:
        return None
    scale_places = max(-min(int(s.as_tuple().exponent), 0) for s in index.scale)
    others = [*index.adder, *(p for p in (index.cap, index.floor) if p is not None)]
    places = max(-min(int(p.as_tuple().exponent), 0) for p in others)
    size = 10**places
    return IndexPlan(
        places=places,
        scale_places=scale_places,
        scale=tuple(int(s.scaleb(scale_places)) for s in index.scale),
        adder=tuple(int(a * size) for a in index.adder),
        cap=None if index.cap is None else int(index.cap * size),
        floor=None if index.floor is None else int(index.floor * size),
    )


def _one(names: set[str] | set[str | None]) -> str | None:
    return names.pop() if len(names) == 1 else None


def _bounds(bill: Span, first: date) -> tuple[int, int]:
    for begin, start, end, _ in bill.months:
        if begin == first:
            return start, end
    msg = f"{first} is not a month of the bill"
    raise ValueError(msg)


def base_of(counter: CounterPlan, history: History, bill_start: int) -> int:
    """Where earlier bills, or earlier parts of this one, left a counter."""
    if counter.window == "bill":
        return history.bill[1].get(counter.key, 0) if history.bill is not None and history.bill[0] == bill_start else 0
    begin, _, length = counter.window.partition("+")
    first = date(int(begin[:4]), int(begin[5:7]), 1)
    keys = [f"{months_before(first, -n):%Y-%m}" for n in range(int(length))]
    return sum(history.months.get(key, {}).get("energy", {}).get(counter.key, 0) for key in keys)


__all__ = [
    "DECIMALS",
    "EXPORT",
    "IMPORT",
    "PEAK",
    "POWER_UNITS",
    "UNITS",
    "CounterPlan",
    "DemandPlan",
    "EnergyPlan",
    "LinePlan",
    "LoadPlan",
    "MaximumPlan",
    "Plan",
    "Price",
    "Unit",
    "base_of",
    "plan_of",
    "priced",
]
