"""A tariff compiled for one period: the calendar laid out, the tiers' limits in whole units, the days counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from math import lcm
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wattledger.kernel import Period
from wattledger.tariffs._exact import as_ratio
from wattledger.tariffs._language import Tariff
from wattledger.tariffs._model import EnergyCharge, FixedCharge
from wattledger.tariffs._segments import check_in_force, month_containing, segments

DECIMALS = 9
UNITS = 10**DECIMALS
"""Units of energy in a kWh, in which everything is counted."""


class Unit(NamedTuple):
    """The cells that share a counter, a line and the same limits. ``bounds`` are the limits in the plan's units."""

    cells: tuple[int, ...]
    line: int
    bounds: tuple[int, ...]


class Price(NamedTuple):
    price: Decimal
    numerator: int
    denominator: int


class EnergyPlan(NamedTuple):
    """An energy charge compiled.

    ``scale``     makes whole numbers of all limits: the plan's units are ``1 / scale`` of the state's
    ``counters``  the units of each tier counter
    ``prices``    for each line the price of each tier, ``labels`` its period and season where it has one
    ``ordered``   whether the tiers fill in the order of time
    ``ordered_tiers``  how many tiers the state has to keep, because they do not follow from the sums
    """

    charge: EnergyCharge
    scale: int
    counters: tuple[tuple[Unit, ...], ...]
    prices: tuple[tuple[Price, ...], ...]
    labels: tuple[tuple[str | None, str | None], ...]
    ordered: bool
    ordered_tiers: int


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """``days`` are the epochs at which the local days of the period begin (the first, when the period does)."""

    tariff: str
    start: int
    end: int
    edges: NDArray[np.int64]
    cells: NDArray[np.int16]
    days: tuple[int, ...]
    days_in_month: int
    energy: Mapping[str, EnergyPlan]
    fixed: Mapping[str, tuple[FixedCharge, Price]]
    ordered_tiers: int


@lru_cache(maxsize=4096)
def plan_of(tariff: Tariff, zone: tzinfo, start: int, end: int) -> Plan:
    """The plan of the period between two epochs; raises ``TariffNotInForce``, and ``ValueError`` beyond one month."""
    period = Period.of_epochs(start, end)
    check_in_force(tariff, zone, period)
    month = month_containing(tariff, zone, period.start)
    if end > month.end:
        msg = f"{period} is more than one calendar month in {zone}"
        raise ValueError(msg)
    laid = segments(tariff, zone, period)
    days = tuple(
        max(day, start) for day, following in zip(month.days, (*month.days[1:], month.end), strict=True)
        if day < end and following > start
    )  # fmt: skip
    energy = {c.name: _energy_plan(tariff, c, days=len(days), days_in_month=len(month.days)) for c in tariff.energy}
    return Plan(
        tariff=tariff.hash[:16],
        start=start,
        end=end,
        edges=laid.edges,
        cells=laid.cells,
        days=days,
        days_in_month=len(month.days),
        energy=energy,
        fixed={charge.name: (charge, Price(charge.price, *as_ratio(charge.price))) for charge in tariff.fixed},
        ordered_tiers=sum(charge.ordered_tiers for charge in energy.values()),
    )


def _energy_plan(tariff: Tariff, charge: EnergyCharge, *, days: int, days_in_month: int) -> EnergyPlan:
    factor = Fraction(UNITS)
    if charge.tiers is not None and charge.tiers.basis == "day":
        factor *= days
    elif charge.tiers is not None and charge.tiers.proration == "days":
        factor *= Fraction(days, days_in_month)
    bounds = [tuple(Fraction(limit) * factor for limit in limits) for limits in charge.limits]
    scale = lcm(*(bound.denominator for cell in bounds for bound in cell))
    units: dict[tuple[int, int, tuple[int, ...]], list[int]] = {}
    for cell, counter in enumerate(charge.counters(tariff.cells)):
        whole = tuple(int(bound * scale) for bound in bounds[cell])
        units.setdefault((counter, charge.lines[cell], whole), []).append(cell)
    counters: dict[int, list[Unit]] = {}
    for (counter, line, whole), cells in units.items():
        counters.setdefault(counter, []).append(Unit(tuple(cells), line, whole))
    lines = [[cell for cell, line in enumerate(charge.lines) if line == n] for n in range(max(charge.lines) + 1)]
    ordered = charge.order_matters(tariff.cells)
    kept = [unit for members in counters.values() if ordered and len(members) > 1 for unit in members]
    return EnergyPlan(
        charge=charge,
        scale=scale,
        counters=tuple(tuple(members) for members in counters.values()),
        prices=tuple(tuple(Price(p, *as_ratio(p)) for p in charge.prices[cells[0]]) for cells in lines),
        labels=tuple(
            (_one({tariff.cells[cell].period for cell in cells}), _one({tariff.cells[cell].season for cell in cells}))
            for cells in lines
        ),
        ordered=ordered,
        ordered_tiers=sum(len(unit.bounds) + 1 for unit in kept),
    )


def _one(names: set[str] | set[str | None]) -> str | None:
    return names.pop() if len(names) == 1 else None
