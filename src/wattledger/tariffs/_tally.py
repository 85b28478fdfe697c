"""Many running states of one plan side by side, as columns: counted and settled at once, to the same last digit.

For tariffs whose bill follows from the energy of each slot and tier alone: energy charges with or without steps,
charges for time, percentages. What else a state may hold (demand, published prices, banks, what earlier bills left) has
no column here, and is counted state by state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from fractions import Fraction
from itertools import pairwise
from math import gcd

import numpy as np
from numpy.typing import NDArray

from wattledger.kernel import Quality, epoch
from wattledger.tariffs import _bulk_numpy
from wattledger.tariffs._bulk_counting import Batch, Layout
from wattledger.tariffs._bulk_exact import Column
from wattledger.tariffs._bulk_numpy import Runs
from wattledger.tariffs._bulk_settling import BatchSettlement
from wattledger.tariffs._counting import COUNTED, Counted, RatingState, plan_for
from wattledger.tariffs._history import NO_HISTORY
from wattledger.tariffs._language import Tariff
from wattledger.tariffs._model import (
    IMPORT,
    CreditCharge,
    EnergyCharge,
    FixedCharge,
    MinimumCharge,
    PercentageCharge,
)
from wattledger.tariffs._plan import DECIMALS, UNITS, CounterPlan, EnergyPlan, Plan
from wattledger.tariffs._proration import counted

_WH = 10 ** (DECIMALS - 3)
"""A watt-hour in the plan's units of energy."""

_MOST = 2**31 - 1
"""What a stored column holds."""


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """What was counted of many customers; one row each, int64 unless said.

    ``sums``     (rows, slots) watt-hours
    ``tiers``    (rows, ordered tiers) in the largest unit of which a watt-hour and every limit are multiples
    ``seconds``, ``last``, ``covered``, ``crossing``, ``counts``  as of ``Counted``; counts are (rows, qualities)
    """

    sums: NDArray[np.int64]
    tiers: NDArray[np.int64]
    seconds: NDArray[np.int64]
    last: NDArray[np.int64]
    covered: NDArray[np.int64]
    crossing: NDArray[np.int64]
    counts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.last)

    def picked(self, rows: NDArray[np.intp]) -> Tally:
        """Some rows."""
        return Tally(*(getattr(self, one.name)[rows] for one in fields(self)))

    def put(self, rows: NDArray[np.intp], other: Tally) -> None:
        """Let another's rows stand in the place of these."""
        for one in fields(self):
            getattr(self, one.name)[rows] = getattr(other, one.name)

    @property
    def fits(self) -> NDArray[np.bool_]:
        """Of each row whether 31 bits hold all of it."""
        found = np.maximum(self.sums.max(axis=1, initial=0), self.tiers.max(axis=1, initial=0)) <= _MOST
        return np.asarray(found & (self.counts.max(axis=1, initial=0) < 2**16))


class Tallied:
    """The rule that a tally goes by: a tariff in a period, as one state of it has both.

    Raises ``ValueError`` for a state that has no form for many (see :func:`may_be_tallied`).
    """

    def __init__(self, tariff: Tariff, state: RatingState) -> None:
        self.tariff, self.plan = tariff, plan_for(tariff, state)
        if not _has_form(tariff, self.plan, state):
            msg = f"tariff {tariff.id} cannot be tallied"
            raise ValueError(msg)
        self._like = state
        self._ordered = [
            (energy, counter)
            for energy in self.plan.energy.values()
            for counter in energy.counters
            if energy.ordered and len(counter.units) > 1
        ]
        self._units = [
            gcd(_WH * energy.scale, *(bound for unit in counter.units for bound in unit.bounds))
            for energy, counter in self._ordered
        ]
        self._tier_units = [
            unit
            for (_, counter), unit in zip(self._ordered, self._units, strict=True)
            for one in counter.units
            for _ in range(len(one.bounds) + 1)
        ]
        self._layout = Layout(
            plan=self.plan,
            columns=slice(0, self.plan.width),
            starts=np.empty(0, dtype=np.int64),
            seconds=1,
            factor=_WH,
            runs=Runs(np.arange(self.plan.width + 1, dtype=np.int64), np.zeros(self.plan.width, dtype=np.int64), 1),
            slots=np.arange(self.plan.width, dtype=np.int64),
            peaks=(),
            windows=(),
            market=(),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """How many slots and ordered tiers a row has."""
        return self.plan.width, len(self._tier_units)

    def takes(self, state: RatingState) -> bool:
        """Whether a state goes by this rule and is made of whole watt-hours."""
        like = self._like
        return (
            (state.tariff, state.zone, state.start, state.end, state.bill, state.facts)
            == (like.tariff, like.zone, like.start, like.end, like.bill, like.facts)
            and state.history == NO_HISTORY
            and not state.bases
            and all(amount % _WH == 0 for amount in state.sums)
            and all(amount % unit == 0 for amount, unit in zip(state.tiers, self._tier_units, strict=True))
        )

    def tally(self, states: Sequence[RatingState]) -> Tally:
        """The columns of states that this rule :meth:`takes`."""
        channels = [state.channels[0] for state in states]
        rows = len(states)

        def table(values: Sequence[Sequence[int]], columns: int) -> NDArray[np.int64]:
            return np.array(values, dtype=np.int64).reshape(rows, columns)

        tiers = [
            [amount // unit for amount, unit in zip(state.tiers, self._tier_units, strict=True)] for state in states
        ]
        return Tally(
            sums=table([[amount // _WH for amount in state.sums] for state in states], self.plan.width),
            tiers=table(tiers, len(self._tier_units)),
            seconds=np.array([one.seconds for one in channels], dtype=np.int64),
            last=np.array([one.last for one in channels], dtype=np.int64),
            covered=np.array([one.covered for one in channels], dtype=np.int64),
            crossing=np.array([one.crossing for one in channels], dtype=np.int64),
            counts=table([one.counts for one in channels], len(COUNTED)),
        )

    def states(self, tally: Tally) -> list[RatingState]:
        """The states that the columns stand for."""
        kept = (getattr(tally, one.name).tolist() for one in fields(tally))
        return [
            replace(
                self._like,
                sums=tuple(amount * _WH for amount in sums),
                tiers=tuple(amount * unit for amount, unit in zip(tiers, self._tier_units, strict=True)),
                channels=(Counted(seconds, last, covered, crossing, tuple(counts)),),
            )
            for sums, tiers, seconds, last, covered, crossing, counts in zip(*kept, strict=True)
        ]

    def advanced(
        self,
        tally: Tally,
        *,
        starts: NDArray[np.int64],
        seconds: int,
        wh: NDArray[np.integer],
        quality: NDArray[np.uint8],
    ) -> Tally:
        """The tally with further intervals of every row counted; ``wh`` and ``quality`` are (rows, intervals).

        The intervals start in the plan's period, ascend, are known and come after those counted before.
        """
        plan = self.plan
        segment = plan.edges.searchsorted(starts, side="right") - 1
        slots = plan.slots[segment]
        firsts = np.flatnonzero(np.diff(slots, prepend=-1))
        runs = wh[:, :1].astype(np.int64) if wh.shape[1] == 1 else np.add.reduceat(wh, firsts, axis=1, dtype=np.int64)
        slot_of_run = slots[firsts]
        tiers = tally.tiers.copy()
        self._fill(tally.sums, tiers, runs, slot_of_run)
        sums = tally.sums.copy()
        for run, slot in enumerate(slot_of_run.tolist()):
            sums[:, slot] += runs[:, run]
        count = len(starts)
        crossing = int(np.count_nonzero(starts + seconds > plan.edges[segment + 1]))
        if bool((quality == quality.flat[0]).all()):
            counts = tally.counts.copy()
            counts[:, COUNTED.index(Quality(int(quality.flat[0])))] += count
        else:
            counts = tally.counts + np.stack([np.count_nonzero(quality == one, axis=1) for one in COUNTED], axis=1)
        return Tally(
            sums=sums,
            tiers=tiers,
            seconds=np.where(tally.seconds > 0, np.minimum(tally.seconds, seconds), seconds),
            last=np.maximum(tally.last, int(starts[-1]) + seconds),
            covered=tally.covered + count * seconds,
            crossing=tally.crossing + crossing,
            counts=counts,
        )

    def _fill(
        self,
        sums: NDArray[np.int64],
        tiers: NDArray[np.int64],
        runs: NDArray[np.int64],
        slot_of_run: NDArray[np.int64],
    ) -> None:
        """Add runs to the tiers that fill in the order of time, each split where it crosses a limit.

        A run is of one slot, so where in it a limit is crossed makes no difference.
        """
        place = 0
        for (energy, counter), unit in zip(self._ordered, self._units, strict=True):
            members = [slot for one in counter.units for slot in one.slots]
            step = _WH * energy.scale // unit
            at = sums[:, members].sum(axis=1) * step
            places = []
            for one in counter.units:
                places.append(place)
                place += len(one.bounds) + 1
            unit_of_slot = {slot: number for number, one in enumerate(counter.units) for slot in one.slots}
            for run, slot in enumerate(slot_of_run.tolist()):
                number = unit_of_slot.get(slot)
                if number is None:
                    continue
                end = at + runs[:, run] * step
                bounds = [bound // unit for bound in counter.units[number].bounds]
                lows = [at, *(np.maximum(at, min(bound, 2**62)) for bound in bounds)]
                highs = [*(np.minimum(end, min(bound, 2**62)) for bound in bounds), end]
                for tier, (low, high) in enumerate(zip(lows, highs, strict=True)):
                    tiers[:, places[number] + tier] += np.maximum(high - low, 0)
                at = end

    def totals(self, tally: Tally, *, until: datetime) -> NDArray[np.int64]:
        """What each row comes to in micro-units, reckoned to ``until``, as ``settle`` says it."""
        batch = Batch(tally.sums, (), (), np.empty(0, dtype=np.intp))
        tiers = {}
        place = 0
        for (energy, counter), unit in zip(self._ordered, self._units, strict=True):
            width = sum(len(one.bounds) + 1 for one in counter.units)
            tiers[energy.charge.name, counter.key, counter.window] = (
                tally.tiers[:, place : place + width],
                Fraction(unit, energy.scale * UNITS),
            )
            place += width
        reached = min(max(epoch(until), self.plan.start), self.plan.end)
        return np.asarray(_TallySettlement(self.tariff, self._layout, self._like, batch, tiers, reached).totals)


def may_be_tallied(*, tariff: Tariff, state: RatingState) -> bool:
    """Whether states like this one can be counted side by side."""
    return _has_form(tariff, plan_for(tariff, state), state)


def _has_form(tariff: Tariff, plan: Plan, state: RatingState) -> bool:
    return (
        tariff.channels == (IMPORT,)
        and tariff.netting.per == "none"
        and tariff.netting.bank is None
        and not plan.demand
        and not plan.load
        and not tariff.events
        and state.history == NO_HISTORY
        and not state.bases
        and state.bill == (state.start, state.end)
        and tariff.rounding.bill is None
        and all(isinstance(charge, EnergyCharge | FixedCharge | PercentageCharge) for charge in tariff.charges)
        and all(
            charge.when is None or (charge.when.over, charge.when.up_to) == (None, None) for charge in tariff.charges
        )
        and all(energy.market is None and not energy.by_demand for energy in plan.energy.values())
    )


_Kept = dict[tuple[str, str, str], tuple[NDArray[np.int64], Fraction]]


class _TallySettlement(BatchSettlement):
    """A batch settled of which the tiers are known already, reckoned to an instant within its period."""

    def __init__(
        self, tariff: Tariff, layout: Layout, like: RatingState, batch: Batch, tiers: _Kept, reached: int
    ) -> None:
        self._kept, self._reached = tiers, reached
        super().__init__(tariff, layout, like.facts, _bulk_numpy.KERNELS, batch)

    def _counter_tiers(self, plan: EnergyPlan, counter: CounterPlan) -> list[list[Column]]:
        kept = self._kept.get((plan.charge.name, counter.key, counter.window))
        if kept is None:
            return super()._counter_tiers(plan, counter)
        tiers, unit = kept
        ends = np.cumsum([0, *(len(one.bounds) + 1 for one in counter.units)]).tolist()
        return [[Column(tiers[:, at], unit) for at in range(a, b)] for a, b in pairwise(ends)]

    def _counted(self, charge: FixedCharge | MinimumCharge | CreditCharge) -> Fraction:
        plan = self.plan
        count = counted(charge.per, charge.proration, part=plan.part, bill=plan.bill, until=self._reached)
        return count * self._times(charge.times, charge.name)
