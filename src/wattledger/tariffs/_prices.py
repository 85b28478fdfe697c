"""What energy costs when: for screens and pictures."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from wattledger.kernel import IntervalSeries, Period, Quality, epoch, from_epoch
from wattledger.tariffs._counting import INDEX_PLACES, index_price, published
from wattledger.tariffs._exact import as_decimal, exact_sum
from wattledger.tariffs._language import Tariff
from wattledger.tariffs._model import IMPORT
from wattledger.tariffs._plan import EnergyPlan, plan_of
from wattledger.tariffs._segments import check_in_force, clock_zone, following, month_containing, segments
from wattledger.tariffs._signals import NO_SIGNALS, IndexPriceMissing, Signals

_MONTHS_AHEAD = 13  # a calendar repeats after a year, but for holidays


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceSpan:
    """A stretch of time at one price per kWh: all energy charges together.

    ``price`` is that of the first tier, ``tier_prices`` those of all tiers (one where there are none, or where several
    charges have tiers of their own).
    """

    period: Period
    period_name: str
    season: str | None
    price: Decimal
    tier_prices: tuple[Decimal, ...]
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PricePoint:
    """The price per kWh at an instant, as in :class:`PriceSpan`, until when it holds and what follows.

    ``until``, ``next_period_name`` and ``next_price`` are ``None`` where it does not change within a year.
    """

    period_name: str
    season: str | None
    price: Decimal
    tier_prices: tuple[Decimal, ...]
    currency: str
    until: datetime | None
    next_period_name: str | None
    next_price: Decimal | None


def price_at(
    *, tariff: Tariff, instant: datetime, zone: str | tzinfo | None = None, signals: Signals = NO_SIGNALS
) -> PricePoint:
    """What energy costs at ``instant``, and when that changes. Raises ``IndexPriceMissing``."""
    clock = clock_zone(tariff, zone)
    check_in_force(tariff, clock, Period(instant, instant))
    if tariff.events or tariff.index_series:
        return _changing_price_at(tariff, clock, instant, signals)
    month = month_containing(tariff, clock, instant)
    at = int(np.searchsorted(month.edges, epoch(instant), side="right")) - 1
    cell, after, until = int(month.cells[at]), None, None
    for _ in range(_MONTHS_AHEAD if len(tariff.cells) > 1 else 0):
        changed = np.flatnonzero(month.cells[at:] != cell)
        if len(changed):
            after, until = int(month.cells[at + changed[0]]), from_epoch(int(month.edges[at + changed[0]]))
            break
        month, at = following(tariff, clock, month), 0
    prices = _tier_prices(tariff, cell)
    return PricePoint(
        period_name=tariff.cells[cell].period,
        season=tariff.cells[cell].season,
        price=prices[0],
        tier_prices=prices,
        currency=tariff.currency,
        until=until,
        next_period_name=None if after is None else tariff.cells[after].period,
        next_price=None if after is None else _tier_prices(tariff, after)[0],
    )


def _changing_price_at(tariff: Tariff, clock: tzinfo, instant: datetime, signals: Signals) -> PricePoint:
    """As :func:`price_at`, looking two days ahead over announced events and published prices."""
    last = instant + timedelta(days=2)
    if tariff.valid_to is not None:
        last = min(last, datetime(tariff.valid_to.year, tariff.valid_to.month, tariff.valid_to.day, tzinfo=clock))
    ahead = prices_between(tariff=tariff, period=Period(instant, last), zone=clock, signals=signals)
    if not ahead:  # not even now is the price known: say which
        for energy in _indexed(tariff, clock, instant):
            _index_price(tariff, energy, 0, epoch(instant), signals)
    now = ahead[0]
    following_span = ahead[1] if len(ahead) > 1 else None
    return PricePoint(
        period_name=now.period_name,
        season=now.season,
        price=now.price,
        tier_prices=now.tier_prices,
        currency=tariff.currency,
        until=None if following_span is None else following_span.period.start,
        next_period_name=None if following_span is None else following_span.period_name,
        next_price=None if following_span is None else following_span.price,
    )


def _indexed(tariff: Tariff, clock: tzinfo, instant: datetime) -> list[EnergyPlan]:
    """The plans of the charges that go by published prices."""
    at = epoch(instant)
    facts = tuple((name, "1") for name in tariff.facts)  # a price does not depend on them
    plan = plan_of(tariff, clock, at, at + 1, (at, at + 1), facts)
    return [e for e in plan.energy.values() if e.charge.index is not None and IMPORT in e.charge.channels]


def prices_between(
    *, tariff: Tariff, period: Period, zone: str | tzinfo | None = None, signals: Signals = NO_SIGNALS
) -> list[PriceSpan]:
    """The contiguous spans of one price that make up ``period``, of any length, in order.

    Where a published price is not known they end before it.
    """
    clock = clock_zone(tariff, zone)
    check_in_force(tariff, clock, period)
    start, end = epoch(period.start), epoch(period.end)
    occurrences = signals.occurrences(tariff.events, start, end) if tariff.events else ()
    laid = segments(tariff, clock, period, occurrences)
    indexed = _indexed(tariff, clock, period.start) if tariff.index_series and start < end else []
    edges = laid.edges
    for energy in indexed:
        known = signals.prices.get(energy.charge.index.series)  # type: ignore[union-attr]
        if known is not None:
            cuts = np.concatenate((known.starts, known.starts + known.seconds))
            edges = np.union1d(edges, cuts[(cuts > start) & (cuts < end)])
    cells = laid.cells[np.searchsorted(laid.edges, edges[:-1], side="right") - 1].tolist()
    spans: list[PriceSpan] = []
    for (begin, until), cell in zip(pairwise(edges.tolist()), cells, strict=True):
        prices = _tier_prices(tariff, cell)
        try:
            more = [_index_price(tariff, energy, cell, begin, signals) for energy in indexed]
        except IndexPriceMissing:
            break
        prices = tuple(exact_sum([price, *more]) for price in prices)
        spans.append(
            PriceSpan(
                period=Period.of_epochs(begin, until),
                period_name=tariff.cells[cell].period,
                season=tariff.cells[cell].season,
                price=prices[0],
                tier_prices=prices,
                currency=tariff.currency,
            )
        )
    return spans


def _index_price(tariff: Tariff, energy: EnergyPlan, cell: int, instant: int, signals: Signals) -> Decimal:
    index = energy.charge.index
    prices = None if index is None else signals.prices.get(index.series)
    value, decimals = published(tariff, energy, prices, instant)
    return as_decimal(index_price(energy, cell, value, decimals), 10**INDEX_PLACES)


def by_period(*, tariff: Tariff, series: IntervalSeries, zone: str | tzinfo | None = None) -> dict[str, Decimal]:
    """The energy in kWh by price period, in the order of ``tariff.period_names``, also those without any."""
    indexes = period_indexes(tariff=tariff, series=series, zone=zone)
    known = series.qualities != Quality.MISSING
    sums = [int(series.values[known & (indexes == number)].sum()) for number in range(len(tariff.period_names))]
    size = 10**series.decimals
    return {name: as_decimal(total, size) for name, total in zip(tariff.period_names, sums, strict=True)}


def period_indexes(*, tariff: Tariff, series: IntervalSeries, zone: str | tzinfo | None = None) -> NDArray[np.int16]:
    """For each interval the index into ``tariff.period_names`` of the period in which it starts."""
    clock, period = clock_zone(tariff, zone), series.period
    if period is None:
        return np.array([], dtype=np.int16)
    laid = segments(tariff, clock, period)
    names = np.array([tariff.period_names.index(cell.period) for cell in tariff.cells], dtype=np.int16)
    return names[laid.cells[np.searchsorted(laid.edges, series.starts, side="right") - 1]]


def _tier_prices(tariff: Tariff, cell: int) -> tuple[Decimal, ...]:
    of_charges = [c.prices[cell] for c in tariff.energy if IMPORT in c.channels and c.when is None]
    of_charges = of_charges or [c.prices[cell] for c in tariff.energy][:1]
    tiered = [prices for prices in of_charges if len(prices) > 1]
    steps = len(tiered[0]) if len(tiered) == 1 else 1
    return tuple(exact_sum([prices[min(step, len(prices) - 1)] for prices in of_charges]) for step in range(steps))
