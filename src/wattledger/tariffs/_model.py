"""What a tariff is made of, once its document was found sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Counter = Literal["all_periods", "per_period"]
Basis = Literal["month", "day"]
Allocation = Literal["chronological", "pro_rata"]
Proration = Literal["days", "none"]
FixedPer = Literal["day", "month", "year"]
RoundingMode = Literal["half_up", "half_even", "half_down", "up", "down"]


@dataclass(frozen=True, slots=True)
class Cell:
    """A period in a season: the smallest thing a price can depend on."""

    season: str | None
    period: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiers:
    """How a charge's tiers are counted. ``proration`` is of the limits in a short bill (a daily basis needs none)."""

    counter: Counter
    basis: Basis
    allocation: Allocation
    proration: Proration


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyCharge:
    """A price per kWh.

    ``prices``  for each cell the price of each tier
    ``limits``  for each cell the upper bound in kWh of each tier but the last, cumulative
    ``lines``   for each cell which of the charge's lines it adds to
    """

    name: str
    prices: tuple[tuple[Decimal, ...], ...]
    limits: tuple[tuple[Decimal, ...], ...]
    lines: tuple[int, ...]
    tiers: Tiers | None

    def counters(self, cells: Sequence[Cell]) -> tuple[int, ...]:
        """For each cell which of the charge's tier counters its energy adds to."""
        if self.tiers is None or self.tiers.counter == "all_periods":
            return (0,) * len(cells)
        names = list(dict.fromkeys(cell.period for cell in cells))
        return tuple(names.index(cell.period) for cell in cells)

    def order_matters(self, cells: Sequence[Cell]) -> bool:
        """Whether the bill depends on when energy was used within a counter, not only on how much."""
        if self.tiers is None or self.tiers.allocation != "chronological":
            return False
        told_apart: dict[int, set[tuple[int, tuple[Decimal, ...]]]] = {}
        for counter, line, limits in zip(self.counters(cells), self.lines, self.limits, strict=True):
            told_apart.setdefault(counter, set()).add((line, limits))
        return any(len(kinds) > 1 for kinds in told_apart.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedCharge:
    """An amount for time, used or not. A year's is billed in twelfths; ``proration`` is of short bills."""

    name: str
    price: Decimal
    per: FixedPer
    proration: Proration


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounding:
    """How each line's amount is rounded: to so many places of the currency."""

    places: int
    mode: RoundingMode
