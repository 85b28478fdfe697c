"""Power measured: the maxima that demand charges ask for, and loads watched over a threshold.

The mean power over a window is its energy times the windows of a day, so it is a whole number of the plan's units of
power. Windows lie side by side from local midnight, or slide from interval to interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wattledger.kernel import Problem
from wattledger.tariffs._plan import DemandPlan, LoadPlan, Plan

_DAY = 86_400
_INT64_ROOM = 2**62


class IntervalsDoNotFit(Problem):
    """Intervals cannot make up the window over which a tariff measures power."""

    slug = "intervals-do-not-fit"
    title = "The readings' intervals do not fit the demand window"
    status = 422


Top = tuple[int, int]
"""(power, start of its window)."""

Block = tuple[int, int, int]
"""(start, energy, seconds counted) of a window that is not complete yet."""


class DemandCount(NamedTuple):
    """What was measured for one demand charge.

    ``tops`` are the greatest of each maximum, the greatest and earliest first; ``open`` the windows that are not
    complete, ``tail`` the last intervals of sliding ones, ``coarse`` how many intervals were longer than the window.
    """

    tops: tuple[tuple[Top, ...], ...]
    open: tuple[Block, ...]
    tail: tuple[tuple[int, int], ...]
    coarse: int

    @classmethod
    def empty(cls, maxima: int) -> DemandCount:
        """Nothing measured yet."""
        return cls(((),) * maxima, (), (), 0)

    @classmethod
    def from_json(cls, kept: Sequence[Any]) -> DemandCount:
        """The count that JSON made lists of."""
        tops, blocks, tail, coarse = kept
        return cls(
            tuple(tuple((p, at) for p, at in one) for one in tops),
            tuple((start, energy, seconds) for start, energy, seconds in blocks),
            tuple((start, energy) for start, energy in tail),
            coarse,
        )


class LoadCount(NamedTuple):
    """What was measured for one load clause.

    ``run`` is the stretch over the threshold that is under way (begin, end), ``energy`` what is charged by line,
    ``episodes`` (begin, end, highest power) of each time that the clause took hold.
    """

    open: tuple[Block, ...]
    run: tuple[int, int]
    energy: tuple[int, ...]
    episodes: tuple[tuple[int, int, int], ...]

    @classmethod
    def empty(cls, lines: int) -> LoadCount:
        """Nothing measured yet."""
        return cls((), (0, 0), (0,) * lines, ())

    @classmethod
    def from_json(cls, kept: Sequence[Any]) -> LoadCount:
        """The count that JSON made lists of."""
        blocks, run, energy, episodes = kept
        return cls(
            tuple((start, block, seconds) for start, block, seconds in blocks),
            (run[0], run[1]),
            tuple(energy),
            tuple((begin, end, power) for begin, end, power in episodes),
        )


def demand_counted(  # noqa: PLR0913, PLR0917 - a batch's columns
    plan: Plan,
    demand: DemandPlan,
    count: DemandCount,
    channel: int,
    starts: NDArray[np.int64],
    values: NDArray[np.int64],
    factor: int,
    seconds: int,
) -> DemandCount:
    """``count`` with a batch measured: ``values`` times ``factor`` are units of energy."""
    if channel != demand.channel:
        return count
    coarse = count.coarse
    blocks, tail = count.open, count.tail
    if seconds >= demand.seconds:
        _must_divide(_DAY, seconds)
        coarse += len(starts) if seconds > demand.seconds else 0
        at, powers = starts, times(values, factor * (_DAY // seconds))
    else:
        _must_divide(demand.seconds, seconds)
        if demand.sliding:
            at, energies, tail = _slid(demand, tail, starts, values, factor, seconds)
        else:
            at, energies, blocks = _blocks(plan, demand.seconds, blocks, starts, values, factor, seconds)
        powers = times(energies, _DAY // demand.seconds)
    tops = _with_tops(plan, demand, count.tops, at, powers)
    return DemandCount(tops, blocks, tail, coarse)


def times(values: NDArray[Any], by: int) -> NDArray[Any]:
    """Whole numbers times one, exact whatever their size."""
    large = values.dtype != np.int64 or (len(values) and int(values.max()) >= _INT64_ROOM // by)
    return values.astype(object) * by if large else values * by


def whole(numbers: Sequence[int]) -> NDArray[Any]:
    """Whole numbers as an array, of Python's own where they are too large for 64 bits."""
    large = bool(numbers) and max(numbers) >= _INT64_ROOM
    return np.array(numbers, dtype=object if large else np.int64)


def _must_divide(whole: int, part: int) -> None:
    if whole % part:
        raise IntervalsDoNotFit(
            f"intervals of {part} s cannot make up {whole // 60} minutes",
            remedy="rate readings whose intervals divide the tariff's demand window",
        )


def first_of_block(plan: Plan, seconds: int) -> int:
    """An instant from which blocks of so many seconds are counted: the local midnight before the period."""
    days = plan.part.days
    if len(days) > 1:
        return days[1] - _DAY
    return plan.start - plan.start % seconds


def _blocks(
    plan: Plan,
    window: int,
    blocks: Sequence[Block],
    starts: NDArray[np.int64],
    values: NDArray[np.int64],
    factor: int,
    seconds: int,
) -> tuple[NDArray[np.int64], NDArray[Any], tuple[Block, ...]]:
    """The blocks that these intervals complete (start and energy, in order) and those still open."""
    zero = first_of_block(plan, window)
    of_interval = (starts - zero) // window * window + zero
    first = np.flatnonzero(np.concatenate(([True], of_interval[1:] != of_interval[:-1])))
    counts = np.diff(np.append(first, len(starts)))
    sums = np.add.reduceat(values.astype(object) if int(values.max()) > 2**40 else values, first)
    found = {start: (energy, counted) for start, energy, counted in blocks}
    for start, energy, count in zip(of_interval[first].tolist(), sums.tolist(), counts.tolist(), strict=True):
        had, counted = found.get(start, (0, 0))
        found[start] = had + int(energy) * factor, counted + count * seconds
    done = sorted((start, energy) for start, (energy, counted) in found.items() if counted >= window)
    left = tuple(sorted((start, energy, counted) for start, (energy, counted) in found.items() if counted < window))
    return np.array([start for start, _ in done], dtype=np.int64), whole([energy for _, energy in done]), left


def _slid(
    demand: DemandPlan,
    tail: Sequence[tuple[int, int]],
    starts: NDArray[np.int64],
    values: NDArray[np.int64],
    factor: int,
    seconds: int,
) -> tuple[NDArray[np.int64], NDArray[Any], tuple[tuple[int, int], ...]]:
    """The windows without a gap that these intervals end, and the intervals that later windows need."""
    size = demand.seconds // seconds
    all_starts = [start for start, _ in tail] + starts.tolist()
    energies = [energy for _, energy in tail] + [int(value) * factor for value in values.tolist()]
    at: list[int] = []
    found: list[int] = []
    total = sum(energies[: size - 1])
    for end in range(size - 1, len(energies)):
        total += energies[end]
        begin = end - size + 1
        if all_starts[end] - all_starts[begin] == (size - 1) * seconds:
            at.append(all_starts[begin])
            found.append(total)
        total -= energies[begin]
    keep = max(len(energies) - size + 1, 0)
    return np.array(at, dtype=np.int64), whole(found), tuple(zip(all_starts[keep:], energies[keep:], strict=True))


def _with_tops(
    plan: Plan, demand: DemandPlan, tops: Sequence[tuple[Top, ...]], at: NDArray[np.int64], power: NDArray[Any]
) -> tuple[tuple[Top, ...], ...]:
    if not len(at):
        return tuple(tops)
    maximum = demand.maximum_of_slot[plan.slots[_segments_of(plan, at)]]
    found = []
    for number, had in enumerate(tops):
        mine = np.flatnonzero(maximum == number)
        new = list(_candidates(plan, demand, at[mine], power[mine])) if len(mine) else []
        found.append(_best(plan, demand, [*had, *new]) if new else had)
    return tuple(found)


def _segments_of(plan: Plan, at: NDArray[np.int64]) -> NDArray[np.int64]:
    inside = np.maximum(at, plan.start)  # a window may begin before the period does
    return np.asarray(plan.edges.searchsorted(inside, side="right") - 1)


def _candidates(plan: Plan, demand: DemandPlan, at: NDArray[np.int64], power: NDArray[Any]) -> Iterator[Top]:
    """Those of a batch that can be among the kept: few."""
    if demand.daily:
        days = np.searchsorted(np.array(plan.part.days), at, side="right")
        for day in np.unique(days):
            mine = np.flatnonzero(days == day)
            best = mine[int(np.argmax(power[mine]))]
            yield int(power[best]), int(at[best])
    elif demand.keep == 1:
        best = int(np.argmax(power))
        yield int(power[best]), int(at[best])
    else:
        order = sorted(range(len(at)), key=lambda n: (-int(power[n]), int(at[n])))
        for n in order[: demand.keep]:
            yield int(power[n]), int(at[n])


def _best(plan: Plan, demand: DemandPlan, tops: Sequence[Top]) -> tuple[Top, ...]:
    ranked = sorted(tops, key=lambda top: (-top[0], top[1]))
    if demand.daily:
        of_day: dict[int, Top] = {}
        for top in ranked:
            of_day.setdefault(plan.part.days_before(top[1] + 1), top)
        ranked = list(of_day.values())
    return tuple(ranked[: demand.keep] if demand.keep else ranked)


def measured(plan: Plan, demand: DemandPlan, count: DemandCount) -> tuple[tuple[Top, ...], ...]:
    """The tops with the windows that were never completed taken for what is known of them."""
    if not count.open or demand.sliding:
        return count.tops
    at = np.array([start for start, _, _ in count.open], dtype=np.int64)
    power = times(whole([energy for _, energy, _ in count.open]), _DAY // demand.seconds)
    return _with_tops(plan, demand, count.tops, at, power)


def load_counted(  # noqa: PLR0913, PLR0917 - a batch's columns
    plan: Plan,
    load: LoadPlan,
    count: LoadCount,
    channel: int,
    starts: NDArray[np.int64],
    values: NDArray[np.int64],
    factor: int,
    seconds: int,
) -> LoadCount:
    """``count`` with a batch, which comes after all before it, watched."""
    if channel != load.channel:
        return count
    window = load.charge.window * 60
    blocks = count.open
    if seconds >= window:
        _must_divide(_DAY, seconds)
        window, at, energies = seconds, starts, times(values, factor)
    else:
        _must_divide(window, seconds)
        at, energies, blocks = _blocks(plan, window, blocks, starts, values, factor, seconds)
    if not len(at):
        return count._replace(open=blocks)
    slots = plan.slots[_segments_of(plan, at)]
    begin, end = count.run
    charged, episodes = list(count.energy), list(count.episodes)
    for start, energy, slot in zip(at.tolist(), energies.tolist(), slots.tolist(), strict=True):
        power = energy * (_DAY // window)
        if power <= load.threshold or not load.watched[slot]:
            begin = end = 0
            continue
        begin, end = (begin, start + window) if begin and end == start else (start, start + window)
        if end - begin < load.charge.duration * 60:
            continue
        charged[load.line_of_slot[slot]] += energy
        if episodes and episodes[-1][0] == begin:
            episodes[-1] = begin, end, max(power, episodes[-1][2])
        else:
            episodes.append((begin, end, power))
    return LoadCount(blocks, (begin, end), tuple(charged), tuple(episodes))
