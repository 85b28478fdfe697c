"""Readings to charge lines, exactly, in one pass or in any number of batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Any, Literal, overload

from wattledger.kernel import IntervalSeries, Money, Period, Problem
from wattledger.tariffs._language import Tariff


class OutOfOrder(Problem):
    """Readings came before ones already counted, under a tariff whose tiers fill in the order of time."""

    slug = "readings-out-of-order"
    title = "These readings come too late to be added"
    status = 409


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingState:
    """What has been counted so far in one period, in integers: all that the next batch needs."""

    def to_json(self) -> dict[str, Any]:
        """The state as small JSON: integers, strings and lists of them."""
        raise NotImplementedError

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> RatingState:
        """The state that :meth:`to_json` wrote."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeLine:
    """``quantity`` x ``price`` = ``amount``: rounded ``Money``, or an exact ``Decimal`` when asked for."""

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
    """A bill's lines and their sum. Counts are of intervals."""

    total: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactRating(_Rated):
    """As :class:`Rating`, unrounded."""

    total: Decimal


def open_state(*, tariff: Tariff, period: Period, zone: str | tzinfo | None = None) -> RatingState:
    """Nothing counted yet in ``period``, which lies within one local calendar month."""
    raise NotImplementedError(tariff, period, zone)


def advance(*, tariff: Tariff, state: RatingState, series: IntervalSeries) -> RatingState:
    """``state`` with the intervals of ``series`` counted; raises :class:`OutOfOrder`."""
    raise NotImplementedError(tariff, state, series)


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
    """The lines of what was counted, with fixed charges accrued to ``until`` (the period's end when not given)."""
    raise NotImplementedError(tariff, state, until, exact)


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
    """The bill of ``period``: open, advance, settle."""
    raise NotImplementedError(tariff, series, period, zone, exact)
