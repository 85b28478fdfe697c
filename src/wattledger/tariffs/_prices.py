"""What energy costs when: for screens and pictures."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from wattledger.kernel import IntervalSeries, Period
from wattledger.tariffs._language import Tariff


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceSpan:
    """A stretch of time at one price."""

    period: Period
    period_name: str
    season: str | None
    price: Decimal
    tier_prices: tuple[Decimal, ...]
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PricePoint:
    """The price per kWh at an instant (of the first tier) and when it changes to what; ``until`` is None if never."""

    period_name: str
    season: str | None
    price: Decimal
    tier_prices: tuple[Decimal, ...]
    currency: str
    until: datetime | None
    next_period_name: str | None
    next_price: Decimal | None


def price_at(*, tariff: Tariff, instant: datetime, zone: str | tzinfo | None = None) -> PricePoint:
    """What energy costs at ``instant``."""
    raise NotImplementedError(tariff, instant, zone)


def prices_between(*, tariff: Tariff, period: Period, zone: str | tzinfo | None = None) -> list[PriceSpan]:
    """The contiguous spans of one price that make up ``period``, in order."""
    raise NotImplementedError(tariff, period, zone)


def by_period(*, tariff: Tariff, series: IntervalSeries, zone: str | tzinfo | None = None) -> dict[str, Decimal]:
    """The energy in kWh by price period, in the tariff's order, also those without any."""
    raise NotImplementedError(tariff, series, zone)


def period_indexes(*, tariff: Tariff, series: IntervalSeries, zone: str | tzinfo | None = None) -> NDArray[np.int16]:
    """For each interval the index into ``tariff.period_names`` of the period it is priced in."""
    raise NotImplementedError(tariff, series, zone)
