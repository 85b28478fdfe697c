"""Local stretches of time, loads made up of energy or power, and what a bill's lines say: for the tests of tariffs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np

from wattledger.kernel import IntervalSeries, Money, Period, Quality, epoch, zone_named
from wattledger.tariffs import ExactRating, Rating


def at(text: str, zone: str = "UTC") -> datetime:
    """A local time."""
    return datetime.fromisoformat(text).replace(tzinfo=zone_named(zone))


def days(first: str, count: int, zone: str = "UTC") -> Period:
    """So many local days from the first on; adding to a local time moves its clock, so they end at midnight."""
    start = at(first, zone)
    return Period(start, start + timedelta(days=count))


def months(first: str, count: int = 1, zone: str = "UTC") -> Period:
    """So many calendar months; ``first`` is the first day."""
    start = at(first, zone)
    after = start.year * 12 + start.month - 1 + count
    return Period(start, start.replace(year=after // 12, month=after % 12 + 1))


def used(period: Period, kwh: Decimal | str | int, *, seconds: int = 3600) -> IntervalSeries:
    """``kwh`` spread over a period, a little unevenly, exact to 1e-9 kWh."""
    starts = np.arange(epoch(period.start), epoch(period.end), seconds, dtype=np.int64)
    whole = int(Decimal(kwh) * 10**9)
    values = np.full(len(starts), whole // len(starts), dtype=np.int64)
    values[: whole - int(values.sum())] += 1
    return IntervalSeries(starts, values, np.full(len(starts), Quality.ACTUAL, dtype=np.uint8), seconds, decimals=9)


def kw(start: datetime, powers: Sequence[Decimal | str | int], *, seconds: int = 900) -> IntervalSeries:
    """Mean powers one after another."""
    values = np.array([int(Decimal(power) * 10**9 * seconds // 3600) for power in powers], dtype=np.int64)
    starts = epoch(start) + seconds * np.arange(len(values))
    return IntervalSeries(starts, values, np.full(len(values), Quality.ACTUAL, dtype=np.uint8), seconds, decimals=9)


def joined(*parts: IntervalSeries) -> IntervalSeries:
    """Series one after another, of equal intervals and decimals."""
    return IntervalSeries(
        np.concatenate([part.starts for part in parts]),
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.qualities for part in parts]),
        parts[0].seconds,
        decimals=parts[0].decimals,
    )


def amounts(bill: Rating | ExactRating, *charges: str) -> list[str]:
    """The amounts of the lines (of these charges), in order."""
    return [
        line.amount.text if isinstance(line.amount, Money) else str(line.amount)
        for line in bill.lines
        if not charges or line.charge in charges
    ]


def quantities(bill: Rating | ExactRating, *charges: str) -> list[Decimal]:
    """The quantities of the lines (of these charges), in order."""
    return [line.quantity for line in bill.lines if not charges or line.charge in charges]
