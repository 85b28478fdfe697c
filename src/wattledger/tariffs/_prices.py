"""What energy costs when: for screens and pictures."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from wattledger.kernel import IntervalSeries, Period, Quality, epoch, from_epoch
from wattledger.tariffs._exact import as_decimal, exact_sum
from wattledger.tariffs._language import Tariff
from wattledger.tariffs._segments import check_in_force, clock_zone, following, month_containing, segments

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


def price_at(*, tariff: Tariff, instant: datetime, zone: str | tzinfo | None = None) -> PricePoint:
    """What energy costs at ``instant``, and when that changes."""
    clock = clock_zone(tariff, zone)
    check_in_force(tariff, clock, Period(instant, instant))
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


def prices_between(*, tariff: Tariff, period: Period, zone: str | tzinfo | None = None) -> list[PriceSpan]:
    """The contiguous spans of one price that make up ``period``, of any length, in order."""
    clock = clock_zone(tariff, zone)
    check_in_force(tariff, clock, period)
    laid = segments(tariff, clock, period)
    spans = []
    for (begin, end), cell in zip(pairwise(laid.edges.tolist()), laid.cells.tolist(), strict=True):
        prices = _tier_prices(tariff, cell)
        spans.append(
            PriceSpan(
                period=Period.of_epochs(begin, end),
                period_name=tariff.cells[cell].period,
                season=tariff.cells[cell].season,
                price=prices[0],
                tier_prices=prices,
                currency=tariff.currency,
            )
        )
    return spans


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
    of_charges = [charge.prices[cell] for charge in tariff.energy]
    tiered = [prices for prices in of_charges if len(prices) > 1]
    steps = len(tiered[0]) if len(tiered) == 1 else 1
    return tuple(exact_sum([prices[min(step, len(prices) - 1)] for prices in of_charges]) for step in range(steps))
