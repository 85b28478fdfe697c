"""A plan laid over the columns of a block, and a batch of its rows counted: ``_counting`` for many at once."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import gcd
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wattledger.tariffs._bulk_numpy import Block, Ints, Kernels, Runs
from wattledger.tariffs._counting import INDEX_PLACES, index_price, published
from wattledger.tariffs._demand import first_of_block
from wattledger.tariffs._language import Tariff
from wattledger.tariffs._model import IMPORT, DemandCharge, EnergyCharge, LoadCharge, MinimumCharge
from wattledger.tariffs._plan import DECIMALS, DemandPlan, EnergyPlan, Plan
from wattledger.tariffs._signals import IndexPriceMissing, Signals

_DAY = 86_400


class NoVectorForm(Exception):
    """Why customers have to be rated one by one."""


class Windows(NamedTuple):
    """Demand windows of more than one interval: their edges among the columns and whose maximum each may be."""

    edges: Ints
    member: Ints


class Published(NamedTuple):
    """Published prices: of each column in ``unit`` of the currency per kWh, and the line it adds to, -1: to none."""

    charge: str
    prices: Ints
    line: Ints
    lines: int
    unit: Fraction


class Layout(NamedTuple):
    """What each column of a block is, under one plan.

    ``columns``  those whose intervals start in the plan's period, ``starts`` their epochs, ``seconds`` their length
    ``factor``   a unit of the block in the plan's units of energy
    ``runs``     the unbroken stretches of one slot, ``slots`` the slot of each
    ``peaks``    by demand plan, for each maximum the groups of ``runs`` it is over; ``None`` where there are windows
    ``windows``  by demand plan; ``None`` where a window is no longer than an interval
    ``market``   by charge with published prices
    """

    plan: Plan
    columns: slice
    starts: Ints
    seconds: int
    factor: int
    runs: Runs
    slots: Ints
    peaks: tuple[tuple[tuple[int, ...], ...] | None, ...]
    windows: tuple[Windows | None, ...]
    market: tuple[Published, ...]

    def power(self, demand: DemandPlan) -> int:
        """What makes a window's energy, in units of the block, the plan's units of power."""
        return self.factor * (_DAY // max(self.seconds, demand.seconds))


class Batch(NamedTuple):
    """Some rows counted: the sum of each run, and by demand plan the greatest window of each maximum, in block units.

    ``market`` is, by charge with published prices, what they come to by line: block units times the unit of the prices.
    ``negative`` are the rows with a value below zero; where there are any, nothing else was counted.
    """

    sums: Ints
    maxima: tuple[Ints, ...]
    market: tuple[Ints, ...]
    negative: Ints


def check_has_vector_form(tariff: Tariff, plan: Plan, seconds: int) -> None:
    """Raise :class:`NoVectorForm` with the first clause that can only be rated row by row."""
    reason = next(iter(_reasons(tariff, plan, seconds)), None)
    if reason is not None:
        raise NoVectorForm(reason)


def _reasons(tariff: Tariff, plan: Plan, seconds: int) -> list[str]:
    found = [] if tariff.channels[0] == IMPORT else ["the tariff prices no energy taken"]
    if tariff.netting.bank is not None:
        found.append("netting.bank")
    for charge in tariff.charges:
        if isinstance(charge, LoadCharge) and charge.action in {"adder", "factor"}:
            found.append(f"{charge.clause}: a load watched")
        elif isinstance(charge, EnergyCharge) and plan.energy[charge.name].by_demand:
            found.append(f"{charge.clause}: limits per kW of demand")
        elif isinstance(charge, MinimumCharge) and charge.per == "year" and charge.proration.rule == "none":
            found.append(f"{charge.clause}: a minimum for a year")
        elif isinstance(charge, DemandCharge) and (charge.sliding or charge.statistic != "max"):
            found.append(f"{charge.clause}: {'sliding windows' if charge.sliding else charge.statistic}")
    for window in [demand.seconds for demand in plan.demand] + [load.charge.window * 60 for load in plan.load]:
        whole, part = (_DAY, seconds) if seconds >= window else (window, seconds)
        if whole % part:
            found.append("intervals that do not fit the demand window")
    return found


def layout_of(
    tariff: Tariff, plan: Plan, signals: Signals, *, start: int, seconds: int, intervals: int, decimals: int
) -> Layout:
    """The columns of a block that begins at an epoch; raises :class:`NoVectorForm` when none is in the period."""
    starts = start + seconds * np.arange(intervals, dtype=np.int64)
    low, high = (int(at) for at in np.searchsorted(starts, (plan.start, plan.end)))
    starts = starts[low:high]
    if not len(starts):
        msg = "no interval starts in the period"
        raise NoVectorForm(msg)
    slots = plan.slots[np.searchsorted(plan.edges, starts, side="right") - 1]
    firsts = np.flatnonzero(np.diff(slots, prepend=-1))
    slot_of_run = slots[firsts]
    plain = [demand for demand in plan.demand if seconds >= demand.seconds]
    kinds = [tuple(int(demand.maximum_of_slot[slot]) for demand in plain) for slot in slot_of_run.tolist()]
    distinct = list(dict.fromkeys(kinds))
    peak = np.array([distinct.index(kind) for kind in kinds], dtype=np.int64)
    peaks: list[tuple[tuple[int, ...], ...] | None] = []
    windows: list[Windows | None] = []
    for demand in plan.demand:
        if seconds >= demand.seconds:
            mine = [kind[plain.index(demand)] for kind in distinct]
            over = (tuple(n for n, of in enumerate(mine) if of == one) for one in range(len(demand.maxima)))
            peaks.append(tuple(over))
            windows.append(None)
        else:
            peaks.append(None)
            windows.append(_windows(plan, demand, starts))
    return Layout(
        plan=plan,
        columns=slice(low, high),
        starts=starts,
        seconds=seconds,
        factor=int(10 ** (DECIMALS - decimals)),
        runs=Runs(np.append(firsts, len(starts)).astype(np.int64), peak, len(distinct)),
        slots=slot_of_run,
        peaks=tuple(peaks),
        windows=tuple(windows),
        market=tuple(
            _published(tariff, plan, energy, signals, starts, slots)
            for energy in plan.energy.values()
            if energy.market is not None
        ),
    )


def _published(
    tariff: Tariff, plan: Plan, energy: EnergyPlan, signals: Signals, starts: Ints, slots: Ints
) -> Published:
    index = energy.charge.index
    series = None if index is None else signals.prices.get(index.series)
    line = np.array(energy.line_of_slot[: plan.width], dtype=np.int64)[slots]  # of energy taken
    prices = [0] * len(starts)
    for column in np.flatnonzero(line >= 0).tolist():
        cell = int(slots[column]) % len(tariff.cells)
        try:
            value = published(tariff, energy, series, int(starts[column]))
        except IndexPriceMissing as problem:  # whether it matters depends on whose readings are missing too
            raise NoVectorForm(problem.detail) from problem
        prices[column] = index_price(energy, cell, *value)
    shared = gcd(*prices) or 1
    if max(abs(price) for price in prices) // shared > np.iinfo(np.int64).max:
        msg = f"{energy.charge.clause}: prices of too many digits"
        raise NoVectorForm(msg)
    whole = np.array([price // shared for price in prices], dtype=np.int64)
    return Published(energy.charge.name, whole, line, len(energy.lines), Fraction(shared, 10**INDEX_PLACES))


def _windows(plan: Plan, demand: DemandPlan, starts: Ints) -> Windows:
    """Windows lie side by side from local midnight; one belongs to the slot in which it begins."""
    zero = first_of_block(plan, demand.seconds)
    number = (starts - zero) // demand.seconds
    firsts = np.flatnonzero(np.diff(number, prepend=number[0] - 1))
    at = np.maximum(number[firsts] * demand.seconds + zero, plan.start)
    slots = plan.slots[np.searchsorted(plan.edges, at, side="right") - 1]
    return Windows(np.append(firsts, len(starts)).astype(np.int64), demand.maximum_of_slot[slots])


def batch_of(layout: Layout, kernels: Kernels, block: Block, missing: NDArray[np.bool_] | None) -> Batch:
    """Rows of a block counted; ``BlockTooLarge`` is raised where 64 bits may not hold a sum."""
    rows = block[:, layout.columns]
    absent = None if missing is None else missing[:, layout.columns]
    if absent is None and rows.dtype in _AS_IT_IS and rows.flags.c_contiguous:
        return _counted(layout, kernels, rows)
    step = max(1, _COPIED // rows.shape[1])
    parts = []
    for low in range(0, len(rows), step):
        piece = np.ascontiguousarray(rows[low : low + step], dtype=_kernel_type(rows.dtype))
        if absent is not None:
            piece = np.where(absent[low : low + step], piece.dtype.type(0), piece)
        part = _counted(layout, kernels, piece)
        if len(part.negative):
            return part._replace(negative=part.negative + low)
        parts.append(part)
    maxima = tuple(np.concatenate(one) for one in zip(*(part.maxima for part in parts), strict=True))
    market = tuple(np.concatenate(one) for one in zip(*(part.market for part in parts), strict=True))
    return Batch(np.concatenate([part.sums for part in parts]), maxima, market, parts[-1].negative)


_AS_IT_IS = (np.dtype(np.int32), np.dtype(np.int64))
_COPIED = 2**22
"""Values copied at a time, where they cannot be read as they are."""


def _kernel_type(given: np.dtype[Any]) -> np.dtype[Any]:
    """32 bits with a sign, where these hold all there may be, else 64."""
    return _AS_IT_IS[0] if np.can_cast(given, np.int32) else _AS_IT_IS[1]


def _counted(layout: Layout, kernels: Kernels, rows: Block) -> Batch:
    sums, groups = kernels.counted(rows, layout.runs)
    negative = np.flatnonzero((groups < 0).any(axis=1))
    if len(negative):
        return Batch(sums, (), (), negative)
    highest = int(groups.max(initial=0))
    maxima = []
    for demand, over, windows in zip(layout.plan.demand, layout.peaks, layout.windows, strict=True):
        count = len(demand.maxima)
        if demand.channel != 0:  # another channel's, of which nothing was read
            maxima.append(np.zeros((len(rows), count), dtype=np.int64))
        elif windows is not None:
            maxima.append(kernels.window_peaks(rows, *windows, count, highest))
        else:
            maxima.append(_over_groups(groups, over or ()))
    market = tuple(kernels.weighed(rows, one.prices, one.line, one.lines, highest) for one in layout.market)
    return Batch(sums, tuple(maxima), market, negative)


def _over_groups(groups: Ints, over: Sequence[tuple[int, ...]]) -> Ints:
    found = np.zeros((len(groups), len(over)), dtype=np.int64)
    for number, members in enumerate(over):
        for member in members:
            np.maximum(found[:, number], groups[:, member], out=found[:, number])
    return found
