"""What a bill is made of: its lines, its total, and what its readings lacked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal

from wattledger.kernel import Money, Period

LineKind = Literal[
    "energy",
    "export",
    "demand",
    "load",
    "fixed",
    "minimum",
    "percentage",
    "tax",
    "credit",
    "bank",
    "rounding",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeLine:
    """``quantity`` x ``price`` = ``amount``: rounded ``Money``, or an exact ``Decimal`` when asked for.

    ``charge``    the charge's name in the tariff, ``clause`` the path of what applied in its document
    ``period``    the price period, where all of the line is in one; ``season`` likewise
    ``tier``      1 is the first; ``None`` where the charge has no tiers
    ``unit``      of the quantity: kWh, kW, day, month, bill, quarter, year, or the currency for percentages
    ``at``        when the demand of the line was measured (the start of the greatest window)
    ``averaged``  the price is what published prices came to per kWh, to 6 places: their sum is the amount
    """

    charge: str
    kind: LineKind
    period: str | None
    season: str | None
    tier: int | None
    quantity: Decimal
    unit: str
    price: Decimal
    amount: Money | Decimal
    clause: str = ""
    at: datetime | None = None
    averaged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadNotice:
    """A load clause took hold: from when over the threshold, until when, and the highest mean power in kW.

    ``action`` is ``notice`` or ``curtail`` where somebody is to be told or asked, else what was charged.
    """

    charge: str
    action: str
    start: datetime
    end: datetime
    peak_kw: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rated:
    """What a bill and an exact bill have in common.

    ``expected``  how many intervals the time reckoned to has, ``missing`` how many of them have no value; of those with
                  one ``estimated``, ``substituted`` and ``suspect`` are so, and ``crossing`` run across a price change
    ``coarse``    how many intervals were longer than a demand window, and so hide its peaks
    ``notices``   each time that a load clause took hold
    ``banked``    what is left for later bills: kWh by period, money under ``money``
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
    coarse: int = 0
    notices: tuple[LoadNotice, ...] = ()
    banked: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating(_Rated):
    """A bill: its lines, each rounded as the tariff says, and their sum."""

    total: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactRating(_Rated):
    """As :class:`Rating`, its amounts unrounded."""

    total: Decimal
