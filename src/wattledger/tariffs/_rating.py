"""Readings to charge lines, exactly, in one pass or in any number of batches.

* Energy is counted in integers of ``10**-9`` kWh. A line's energy times its price is one product of integers, divided
  once and rounded once, as the tariff says; a bill's total is the sum of its lines. Unrounded (``exact``) amounts are
  the same products; where no decimal can hold one (a pro-rata share, a day of a month's charge) it is given to 18
  places, half to even, line by line.
* An interval belongs to the season and period in which it **starts**. One that runs on across a change of price is
  counted in :attr:`Rating.crossing`, because finer readings might have priced it otherwise; nothing is split by guess.
* An interval that crosses a tier's limit is split there, exactly.
* A missing interval has no price: it is counted, and what to do about it is the caller's to say.
* ``open_state``, any number of ``advance`` and ``settle`` give what ``rate`` gives in one call.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from wattledger.kernel import IntervalSeries, Money, Period, Problem, Quality, epoch, from_epoch
from wattledger.tariffs._calendar import zone_key, zone_of
from wattledger.tariffs._exact import as_decimal, exact_sum, rounded
from wattledger.tariffs._language import Tariff
from wattledger.tariffs._model import FixedCharge
from wattledger.tariffs._plan import DECIMALS, UNITS, EnergyPlan, Plan, Price, Unit, plan_of
from wattledger.tariffs._segments import clock_zone

_INT64_ROOM = 2**62
_ASSUMED_SECONDS = 900  # of an interval of which none was ever seen
_COUNTED = (Quality.ACTUAL, Quality.ESTIMATED, Quality.SUBSTITUTED, Quality.SUSPECT)


class OutOfOrder(Problem):
    """Readings came before ones already counted, under a tariff whose tiers fill in the order of time."""

    slug = "readings-out-of-order"
    title = "These readings come too late to be added"
    status = 409


class NegativeEnergy(Problem):
    """An interval of less than no energy: the tariff has no price for energy given back."""

    slug = "negative-energy"
    title = "Energy given back has no price"
    status = 422


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingState:
    """What has been counted so far in one period: all that the next batch needs, in integers.

    ``tariff`` is the beginning of the version's hash, ``zone`` where its clock stands; ``start`` and ``end`` bound
    the period, ``last`` is the end of the latest interval counted (epoch seconds). ``seconds`` is the shortest interval
    length seen, ``covered`` the sum of all lengths, ``counts`` the intervals by quality (actual, estimated,
    substituted, suspect), ``sums`` the energy of each cell and ``tiers`` of each tier that depends on order.
    """

    tariff: str
    zone: tzinfo
    start: int
    end: int
    seconds: int
    last: int
    covered: int
    crossing: int
    counts: tuple[int, ...]
    sums: tuple[int, ...]
    tiers: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """The state as small JSON: integers, text and lists of integers."""
        return {
            "tariff": self.tariff,
            "zone": zone_key(self.zone),
            "start": self.start,
            "end": self.end,
            "seconds": self.seconds,
            "last": self.last,
            "covered": self.covered,
            "crossing": self.crossing,
            "counts": list(self.counts),
            "sums": list(self.sums),
            "tiers": list(self.tiers),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> RatingState:
        """The state that :meth:`to_json` wrote."""
        return cls(
            tariff=document["tariff"],
            zone=zone_of(document["zone"]),
            start=document["start"],
            end=document["end"],
            seconds=document["seconds"],
            last=document["last"],
            covered=document["covered"],
            crossing=document["crossing"],
            counts=tuple(document["counts"]),
            sums=tuple(document["sums"]),
            tiers=tuple(document["tiers"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeLine:
    """``quantity`` x ``price`` = ``amount``: rounded ``Money``, or an exact ``Decimal`` when asked for.

    ``charge``    the charge's name in the tariff
    ``period``    the price period, where all of the line is in one; ``season`` likewise
    ``tier``      1 is the first; ``None`` where the charge has no tiers
    ``unit``      of the quantity: kWh, day, month or year
    """

    charge: str
    kind: Literal["energy", "fixed"]
    period: str | None
    season: str | None
    tier: int | None
    quantity: Decimal
    unit: str
    price: Decimal
    amount: Money | Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rated:
    """What a bill and an exact bill have in common.

    ``expected``  how many intervals the time reckoned to has, ``missing`` how many of them have no value; of those with
                  one ``estimated``, ``substituted`` and ``suspect`` are so, and ``crossing`` run across a price change
    """

    period: Period
    currency: str
    lines: tuple[ChargeLine, ...]
    expected: int
    missing: int
    estimated: int
    substituted: int
    suspect: int
    crossing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating(_Rated):
    """A bill: its lines, each rounded as the tariff says, and their sum."""

    total: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactRating(_Rated):
    """As :class:`Rating`, its amounts unrounded."""

    total: Decimal


# --- counting --------------------------------------------------------------------------------------------------------


def open_state(*, tariff: Tariff, period: Period, zone: str | tzinfo | None = None) -> RatingState:
    """Nothing counted yet in ``period``, which lies within one local calendar month.

    ``zone`` is where the tariff's clock stands when the tariff itself does not say. Raises ``TariffWithoutZone``,
    ``TariffNotInForce``, and ``ValueError`` for a period of more than one month.
    """
    clock = clock_zone(tariff, zone)
    start, end = epoch(period.start), epoch(period.end)
    plan = plan_of(tariff, clock, start, end)
    return RatingState(
        tariff=plan.tariff,
        zone=clock,
        start=start,
        end=end,
        seconds=0,
        last=start,
        covered=0,
        crossing=0,
        counts=(0,) * len(_COUNTED),
        sums=(0,) * len(tariff.cells),
        tiers=(0,) * plan.ordered_tiers,
    )


def advance(*, tariff: Tariff, state: RatingState, series: IntervalSeries) -> RatingState:
    """``state`` with the intervals of ``series`` counted that start in its period; the others are not this bill's.

    Each interval is to come once. Where ``tariff.order_matters`` they must come in the order of time, batch by batch,
    or :class:`OutOfOrder` is raised; else in any. Raises :class:`NegativeEnergy`.
    """
    plan = _plan_of(tariff, state)
    starts, values, qualities = series.starts, series.values, series.qualities
    if len(starts) and (starts[0] < plan.start or starts[-1] >= plan.end):
        first, last = np.searchsorted(starts, (plan.start, plan.end))
        starts, values, qualities = starts[first:last], values[first:last], qualities[first:last]
    by_quality = np.bincount(qualities, minlength=len(_COUNTED) + 1).tolist()
    if by_quality[Quality.MISSING]:
        known = qualities != Quality.MISSING
        starts, values = starts[known], values[known]
    if not len(starts):
        return state
    if values.min() < 0:
        raise _negative(tariff, starts, values, series.decimals)
    if plan.ordered_tiers and int(starts[0]) < state.last:
        raise OutOfOrder(
            f"the interval from {from_epoch(int(starts[0])).isoformat()} comes after one that ended "
            f"{from_epoch(state.last).isoformat()}, and the tiers of tariff {tariff.id} fill in the order of time",
            remedy="rate the period again from its beginning",
        )
    segment = plan.edges.searchsorted(starts, side="right") - 1
    cells = plan.cells[segment]
    counted = _sums(cells, values, len(state.sums))
    factor = 10 ** (DECIMALS - series.decimals)
    tiers = state.tiers
    if plan.ordered_tiers:
        tiers = _fill_tiers(plan, state, cells, values, counted, factor)
    return RatingState(
        tariff=state.tariff,
        zone=state.zone,
        start=state.start,
        end=state.end,
        seconds=min(state.seconds, series.seconds) if state.seconds else series.seconds,
        last=max(state.last, int(starts[-1]) + series.seconds),
        covered=state.covered + len(starts) * series.seconds,
        crossing=state.crossing + int(np.count_nonzero(starts + series.seconds > plan.edges[segment + 1])),
        counts=tuple(have + by_quality[quality] for have, quality in zip(state.counts, _COUNTED, strict=True)),
        sums=tuple(have + more * factor for have, more in zip(state.sums, counted, strict=True)),
        tiers=tiers,
    )


def _plan_of(tariff: Tariff, state: RatingState) -> Plan:
    plan = plan_of(tariff, state.zone, state.start, state.end)
    if plan.tariff != state.tariff:
        msg = f"the state was counted under another tariff than {tariff.id} version {tariff.version}"
        raise ValueError(msg)
    return plan


def _negative(tariff: Tariff, starts: NDArray[np.int64], values: NDArray[np.int64], decimals: int) -> NegativeEnergy:
    worst = int(np.flatnonzero(values < 0)[0])
    energy = Decimal(int(values[worst])).scaleb(-decimals)
    count = int(np.count_nonzero(values < 0))
    return NegativeEnergy(
        f"the interval from {from_epoch(int(starts[worst])).isoformat()} has {energy} kWh"
        f"{f' and {count - 1} more are below zero' if count > 1 else ''}; "
        f"tariff {tariff.id} has no price for energy given back (clause not supported yet: export)"
    )


def _sums(cells: NDArray[np.int16], values: NDArray[np.int64], count: int) -> list[int]:
    """The sum of the values of each cell, exact whatever their size."""
    if int(values.max()) >= _INT64_ROOM // len(values):
        large = [0] * count
        for cell, value in zip(cells.tolist(), values.tolist(), strict=True):
            large[cell] += value
        return large
    sums = np.zeros(count, dtype=np.int64)
    np.add.at(sums, cells, values)
    whole: list[int] = sums.tolist()
    return whole


def _fill_tiers(
    plan: Plan,
    state: RatingState,
    cells: NDArray[np.int16],
    values: NDArray[np.int64],
    counted: Sequence[int],
    factor: int,
) -> tuple[int, ...]:
    """The tiers of all ordered counters after these intervals, each interval split where it crosses a limit."""
    tiers = list(state.tiers)
    place = 0
    for energy in plan.energy.values():
        for counter in energy.counters if energy.ordered else ():
            if len(counter) == 1:  # its tiers follow from its sums
                continue
            filling = _Filling(state.sums, cells, values, counted, counter, factor * energy.scale, energy.scale)
            for unit in counter:
                lower = 0
                for bound in (*unit.bounds, None):
                    below = filling.below(bound)
                    upper = sum(below[cell] for cell in unit.cells)
                    tiers[place] += upper - lower
                    lower, place = upper, place + 1
    return tuple(tiers)


class _Filling:
    """One counter while a batch is added to it, in the plan's units (``size`` of which are one of the batch's)."""

    def __init__(
        self,
        sums: Sequence[int],
        cells: NDArray[np.int16],
        values: NDArray[np.int64],
        counted: Sequence[int],
        counter: Sequence[Unit],
        size: int,
        scale: int,
    ) -> None:
        members = [cell for unit in counter for cell in unit.cells]
        self.cells, self.values, self.size = cells, values, size
        if len(members) < len(sums):
            ours = np.isin(cells, members)
            self.cells, self.values = cells[ours], values[ours]
        self.base = sum(sums[cell] for cell in members) * scale
        self.end = self.base + sum(counted[cell] for cell in members) * size
        self.all = [amount * size for amount in counted]
        self.nothing = [0] * len(counted)
        self.running: NDArray[Any] | None = None
        self.found: dict[int, list[int]] = {}

    def below(self, bound: int | None) -> list[int]:
        """How much each cell gets while the counter stands below ``bound``."""
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
        counts = _sums(self.cells[:at], self.values[:at], len(self.nothing)) if at else self.nothing
        split = [amount * self.size for amount in counts]
        split[int(self.cells[at])] += room - before
        return split


# --- settling --------------------------------------------------------------------------------------------------------


@overload
def settle(
    *, tariff: Tariff, state: RatingState, until: datetime | None = None, exact: Literal[False] = False
) -> Rating: ...
@overload
def settle(
    *, tariff: Tariff, state: RatingState, until: datetime | None = None, exact: Literal[True]
) -> ExactRating: ...
def settle(
    *, tariff: Tariff, state: RatingState, until: datetime | None = None, exact: bool = False
) -> Rating | ExactRating:
    """The bill of what was counted.

    Fixed charges are those of the local days begun before ``until``, so that running totals end at the bill of the
    whole period (``None``). A charge for a month or a year (billed in twelfths) is that of the whole month, prorated
    by days where the period or the time until ``until`` is shorter, unless the tariff says it is not to be.
    """
    plan = _plan_of(tariff, state)
    reached = plan.end if until is None else min(max(epoch(until), plan.start), plan.end)
    days = bisect_left(plan.days, reached)
    lines: list[ChargeLine] = []
    amounts: list[Decimal] = []
    micro = 0
    places, mode = tariff.rounding.places, tariff.rounding.mode
    for item in _items(tariff, plan, state, days):
        if not item.numerator:
            continue
        numerator, denominator = item.numerator * item.price.numerator, item.denominator * item.price.denominator
        amount: Money | Decimal
        if exact:
            amount = as_decimal(numerator, denominator)
            amounts.append(amount)
        else:
            whole = rounded(numerator * 10**places, denominator, mode) * 10 ** (Money.PLACES - places)
            amount = Money(whole, tariff.currency)
            micro += whole
        lines.append(
            ChargeLine(
                charge=item.charge,
                kind=item.kind,
                period=item.period,
                season=item.season,
                tier=item.tier,
                quantity=as_decimal(item.numerator, item.denominator),
                unit=item.unit,
                price=item.price.price,
                amount=amount,
            )
        )
    seconds = state.seconds or _ASSUMED_SECONDS
    counts = dict(zip(_COUNTED, state.counts, strict=True))
    common: dict[str, Any] = {
        "period": Period.of_epochs(plan.start, plan.end),
        "currency": tariff.currency,
        "lines": tuple(lines),
        "expected": -(-(reached - plan.start) // seconds),
        "missing": max(0, -(-(reached - plan.start - state.covered) // seconds)),
        "estimated": counts[Quality.ESTIMATED],
        "substituted": counts[Quality.SUBSTITUTED],
        "suspect": counts[Quality.SUSPECT],
        "crossing": state.crossing,
    }
    return (
        ExactRating(total=exact_sum(amounts), **common)
        if exact
        else Rating(total=Money(micro, tariff.currency), **common)
    )


class _Item(NamedTuple):
    """A line before its multiplication: the quantity as a ratio, and the price."""

    charge: str
    kind: Literal["energy", "fixed"]
    period: str | None
    season: str | None
    tier: int | None
    numerator: int
    denominator: int
    unit: str
    price: Price


def _items(tariff: Tariff, plan: Plan, state: RatingState, days: int) -> Iterator[_Item]:
    place = 0  # charges of energy stand in both in the same order
    for name in tariff.charge_order:
        energy = plan.energy.get(name)
        if energy is not None:
            yield from _energy_items(energy, state.sums, state.tiers[place : place + energy.ordered_tiers])
            place += energy.ordered_tiers
        else:
            yield _fixed_item(plan, plan.fixed[name], days)


def _energy_items(plan: EnergyPlan, sums: Sequence[int], kept: Sequence[int]) -> Iterator[_Item]:
    found: dict[tuple[int, int], tuple[int, int]] = {}
    place = 0
    for counter in plan.counters:
        whole = sum([sums[cell] for unit in counter for cell in unit.cells])
        for unit in counter:
            used = sum([sums[cell] for cell in unit.cells])
            denominator = plan.scale
            tiers: Sequence[int]
            if not unit.bounds or len(counter) == 1:
                tiers = _tiers_of(used * plan.scale, unit.bounds)
            elif plan.ordered:
                tiers = kept[place : place + len(unit.bounds) + 1]
            else:  # every period has the same shares of the tiers: those of the counter's whole energy
                tiers = [used * share for share in _tiers_of(whole * plan.scale, unit.bounds)]
                denominator *= whole
            if plan.ordered and len(counter) > 1:
                place += len(unit.bounds) + 1
            for tier, numerator in enumerate(tiers):
                if numerator:
                    key, ratio = (unit.line, tier), (numerator, denominator)
                    found[key] = _added(found[key], ratio) if key in found else ratio
    name = plan.charge.name
    for line, tier in sorted(found):
        numerator, denominator = found[line, tier]
        prices, (period, season) = plan.prices[line], plan.labels[line]
        shown = tier + 1 if len(prices) > 1 else None
        yield _Item(name, "energy", period, season, shown, numerator, denominator * UNITS, "kWh", prices[tier])


def _tiers_of(used: int, bounds: Sequence[int]) -> list[int]:
    """``used`` cut at the limits."""
    below = [min(used, bound) for bound in bounds]
    return [upper - lower for lower, upper in zip((0, *below), (*below, used), strict=True)]


def _added(left: tuple[int, int], right: tuple[int, int]) -> tuple[int, int]:
    (a, b), (c, d) = left, right
    return (a + c, b) if b == d else (a * d + c * b, b * d)


def _fixed_item(plan: Plan, fixed: tuple[FixedCharge, Price], days: int) -> _Item:
    charge, price = fixed
    numerator, denominator = days, plan.days_in_month
    if charge.per == "day":
        denominator = 1
    elif charge.proration == "none":
        numerator, denominator = int(days > 0), 1
    if charge.per == "year":
        denominator *= 12
    return _Item(charge.name, "fixed", None, None, None, numerator, denominator, charge.per, price)


@overload
def rate(
    *,
    tariff: Tariff,
    series: IntervalSeries,
    period: Period,
    zone: str | tzinfo | None = None,
    exact: Literal[False] = False,
) -> Rating: ...
@overload
def rate(
    *, tariff: Tariff, series: IntervalSeries, period: Period, zone: str | tzinfo | None = None, exact: Literal[True]
) -> ExactRating: ...
def rate(
    *,
    tariff: Tariff,
    series: IntervalSeries,
    period: Period,
    zone: str | tzinfo | None = None,
    exact: bool = False,
) -> Rating | ExactRating:
    """The bill of ``period``, which lies within one local calendar month: open, advance, settle (see there)."""
    state = advance(tariff=tariff, state=open_state(tariff=tariff, period=period, zone=zone), series=series)
    return settle(tariff=tariff, state=state, exact=True) if exact else settle(tariff=tariff, state=state)
