"""Estimates: what a gap is filled with, by which rule, and exactly what the register says when reads bound it.

Gaps up to some hours become a straight line between their neighbours, longer ones the mean of the nearest like days;
either is scaled so that, with the values that are known, it sums to the register's difference, to the last unit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from wattledger.kernel import IntervalSeries, Period, Quality, epoch, from_epoch
from wattledger.readings.vee._findings import amount, lasting
from wattledger.readings.vee._rules import ClassRules

if TYPE_CHECKING:
    from datetime import tzinfo

    from numpy.typing import NDArray

_SATURDAY = 5
_HOUR = 3600
_DAY = 86_400
SURE = (Quality.ACTUAL, Quality.SUBSTITUTED)


class Method(StrEnum):
    """How the shape of an estimate came about."""

    LINEAR = "linear"
    """A straight line between the values before and after the gap."""
    LIKE_DAYS = "like days"
    """The mean of the nearest days of the same kind."""
    FLAT = "flat"
    """One neighbour's value throughout, or the register's difference spread evenly: nothing else was known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterRead:
    """What a cumulative register stood at: ``at`` epoch seconds, ``value`` in the units of the series.

    Reads on both sides of a rollover are handed in unrolled (add the modulus); those of another meter or of a register
    that was reset are not handed in together.
    """

    at: int
    value: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Estimate:
    """Values for a gap, or for the part of one between two register reads.

    ``values``     int64, one an interval of ``period``, in the units of the series
    ``method``     how their shape came about; ``like`` are the local days it was taken from
    ``scaled_to``  what these values together with the other estimates between the same two reads sum to: the register's
                   difference less what is known between the reads; ``None`` when no reads bound the gap
    ``rule``       why so, in words
    """

    period: Period
    values: NDArray[np.int64]
    method: Method
    rule: str
    like: tuple[date, ...] = ()
    scaled_to: int | None = None
    quality: Quality = Quality.ESTIMATED

    @property
    def total(self) -> int:
        """The sum of the values."""
        return int(self.values.sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfilled:
    """A gap that nothing can be said of, and why."""

    period: Period
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimates:
    """The estimates of a series, in order, and the gaps that have none."""

    filled: tuple[Estimate, ...]
    unfilled: tuple[Unfilled, ...]

    def onto(self, series: IntervalSeries) -> IntervalSeries:
        """The series with the estimates in their places; intervals that were not listed are added."""
        if not self.filled:
            return series
        spans = [(epoch(one.period.start), one.values) for one in self.filled]
        starts = np.concatenate([first + series.seconds * np.arange(len(v), dtype=np.int64) for first, v in spans])
        values = np.concatenate([v for _, v in spans])
        kept = ~np.isin(series.starts, starts)
        every = np.concatenate((series.starts[kept], starts))
        order = np.argsort(every, kind="stable")
        qualities = np.concatenate((series.qualities[kept], np.full(len(starts), Quality.ESTIMATED, dtype=np.uint8)))
        return IntervalSeries(
            starts=every[order],
            values=np.concatenate((series.values[kept], values))[order],
            qualities=qualities[order].astype(np.uint8),
            seconds=series.seconds,
            decimals=series.decimals,
        )


def estimate(
    series: IntervalSeries,
    *,
    rules: ClassRules,
    zone: tzinfo | None = None,
    registers: Sequence[RegisterRead] = (),
    within: Period | None = None,
    unit: str = "kWh",
) -> Estimates:
    """Estimates for every interval that is missing: flagged so, or not listed.

    Looks from the first to the last interval listed, or at ``within``. ``zone`` says whose weekdays and times of day
    like days are alike in (UTC when not given). Reads on the edges of intervals bound gaps; others are left out.
    Deterministic; integers throughout, but for the shape that is scaled.
    """
    grid = _Grid(series, within, zone or UTC, unit)
    reads = sorted({r.at: r for r in registers if grid.on_edge(r.at)}.values(), key=lambda r: r.at)
    edges = {(one.at - grid.start) // series.seconds for one in reads}
    filled: list[Estimate] = []
    unfilled: list[Unfilled] = []
    groups: dict[tuple[int, int] | None, list[Estimate]] = {}
    for first, last, whole in _parts(grid, edges):
        bounds = _bounds(grid, reads, first, last)
        try:
            shaped = _shape(grid, first, last, whole, rules, bounded=bounds is not None)
        except LookupError as reason:
            unfilled.append(Unfilled(period=grid.period(first, last), why=str(reason)))
            continue
        groups.setdefault(bounds, []).append(shaped)
    for bounds, members in groups.items():
        filled += members if bounds is None else _scaled(grid, reads, bounds, members, rules)
    filled.sort(key=lambda one: one.period.start)
    return Estimates(filled=tuple(filled), unfilled=tuple(unfilled))


class _Grid:
    """A series as dense columns: ``values``, where they are ``known``, and where ``sure``: no estimate, no doubt."""

    def __init__(self, series: IntervalSeries, within: Period | None, zone: tzinfo, unit: str) -> None:
        self.unit = unit
        self.seconds, self.decimals, self.zone = series.seconds, series.decimals, zone
        span = series.period
        listed = (epoch(span.start), epoch(span.end)) if span is not None else None
        asked = (epoch(within.start), epoch(within.end)) if within is not None else listed or (0, 0)
        # Intervals outside of what is asked for serve as neighbours and like days, on the same grid.
        base = listed[0] if listed is not None else asked[0]
        low, high = min(base, asked[0]), max(listed[1] if listed is not None else asked[1], asked[1])
        self.start = base + (low - base) // self.seconds * self.seconds
        count = -(-(high - self.start) // self.seconds)
        self.values = np.zeros(count, dtype=np.int64)
        self.known = np.zeros(count, dtype=np.bool_)
        self.sure = np.zeros(count, dtype=np.bool_)
        slots = (series.starts - self.start) // self.seconds
        self.values[slots] = series.values
        self.known[slots] = series.qualities != Quality.MISSING
        self.sure[slots] = np.isin(series.qualities, SURE)
        self.asked = (max(-(-(asked[0] - self.start) // self.seconds), 0), (asked[1] - self.start) // self.seconds)
        self._running = np.concatenate(([0], np.cumsum(np.where(self.known, self.values, 0))))
        self._sure_days: dict[date, bool] = {}

    def __len__(self) -> int:
        return len(self.values)

    def period(self, first: int, last: int) -> Period:
        return Period.of_epochs(self.start + first * self.seconds, self.start + last * self.seconds)

    def on_edge(self, instant: int) -> bool:
        off = instant - self.start
        return off % self.seconds == 0 and 0 <= off <= len(self) * self.seconds

    def known_between(self, first: int, last: int) -> int:
        return int(self._running[last] - self._running[first])

    def local(self, slot: int) -> datetime:
        return from_epoch(self.start + slot * self.seconds).astimezone(self.zone)

    def slot(self, local: datetime) -> int:
        return (epoch(local) - self.start) // self.seconds

    def sure_day(self, day: date) -> bool:
        """Whether a local day lies in the grid, all of it is sure, and something was used: no outage, no estimate."""
        if day not in self._sure_days:
            midnight = datetime(day.year, day.month, day.day, tzinfo=self.zone)
            first, last = self.slot(midnight), self.slot(_next_midnight(midnight))
            inside = 0 <= first < last <= len(self)
            self._sure_days[day] = inside and bool(self.sure[first:last].all()) and bool(self.values[first:last].any())
        return self._sure_days[day]


def _next_midnight(local: datetime) -> datetime:
    following = local.date() + timedelta(days=1)
    return datetime(following.year, following.month, following.day, tzinfo=local.tzinfo)


def _parts(grid: _Grid, edges: set[int]) -> Iterator[tuple[int, int, int]]:
    """The gaps, cut where a register was read: first and last slot, and the length of the whole gap in slots."""
    first, last = grid.asked
    lacking = np.concatenate(([False], ~grid.known[first:last], [False]))
    turns = np.flatnonzero(lacking[1:] != lacking[:-1]) + first
    for begin, end in zip(turns[0::2].tolist(), turns[1::2].tolist(), strict=True):
        cuts = [begin, *sorted(edge for edge in edges if begin < edge < end), end]
        for left, right in pairwise(cuts):
            yield left, right, end - begin


def _bounds(grid: _Grid, reads: Sequence[RegisterRead], first: int, last: int) -> tuple[int, int] | None:
    """The numbers of the nearest reads at or before ``first`` and at or after ``last``."""
    begin, end = grid.start + first * grid.seconds, grid.start + last * grid.seconds
    before = max((number for number, one in enumerate(reads) if one.at <= begin), default=None)
    after = min((number for number, one in enumerate(reads) if one.at >= end), default=None)
    return None if before is None or after is None else (before, after)


# --- the shape of a gap ----------------------------------------------------------------------------------------------


def _shape(grid: _Grid, first: int, last: int, whole: int, rules: ClassRules, *, bounded: bool) -> Estimate:
    long = whole * grid.seconds > rules.estimate.linear_hours * _HOUR
    line = _line(grid, first, last)
    like = _like_days(grid, first, last, rules) if long or line is None else None
    length = lasting(whole * grid.seconds)
    if like is not None:
        values, days, kind = like
        shown = ", ".join(day.isoformat() for day in days[:3]) + (", ..." if len(days) > 3 else "")  # noqa: PLR2004 - brief
        why = f"{length}: the mean of {len(days)} {kind} day{'' if len(days) == 1 else 's'} ({shown})"
        return Estimate(period=grid.period(first, last), values=values, method=Method.LIKE_DAYS, rule=why, like=days)
    if line is not None and (bounded or whole * grid.seconds <= rules.estimate.reach_days * _DAY):
        why = f"{length}: a straight line between its neighbours" + (", as no like day is near" if long else "")
        return Estimate(period=grid.period(first, last), values=line, method=Method.LINEAR, rule=why)
    beside = [slot for slot in (first - 1, last) if 0 <= slot < len(grid) and grid.known[slot]]
    if not bounded and (not beside or long):
        raise LookupError("no like day is near" if beside else "no value before, after or on a like day")
    flat = np.full(last - first, grid.values[beside[0]] if beside else 0, dtype=np.int64)
    why = f"{length}: the one neighbour's value" if beside else f"{length}: nothing is known but the register"
    return Estimate(period=grid.period(first, last), values=flat, method=Method.FLAT, rule=why)


def _line(grid: _Grid, first: int, last: int) -> NDArray[np.int64] | None:
    """The straight line between the values on both sides of the gap that ``first`` to ``last`` is a part of."""
    before, after = first - 1, last
    while before >= 0 and not grid.known[before]:
        before -= 1
    while after < len(grid) and not grid.known[after]:
        after += 1
    if before < 0 or after >= len(grid):
        return None
    low, high, span = int(grid.values[before]), int(grid.values[after]), after - before
    steps = np.arange(first - before, last - before, dtype=np.int64)
    # Rounded half up in whole units: floor((2 a + span) / (2 span)).
    line: NDArray[np.int64] = low + (2 * (high - low) * steps + span) // (2 * span)
    return line


def _like_days(
    grid: _Grid, first: int, last: int, rules: ClassRules
) -> tuple[NDArray[np.int64], tuple[date, ...], str] | None:
    """The mean of the nearest like days, local day by local day, and what they are; ``None`` when a day has none.

    A day that has none of its kind takes the nearest sure days of whatever kind.
    """
    pieces, used, kind = [], list[date](), "like"
    slot = first
    while slot < last:
        local = grid.local(slot)
        until = min(last, max(grid.slot(_next_midnight(local)), slot + 1))
        rows = list(_alike(grid, local, until - slot, rules, same=True))
        if not rows:
            kind = "near"
            rows = list(_alike(grid, local, until - slot, rules, same=False))
        if not rows:
            return None
        total = np.sum([grid.values[at : at + until - slot] for _, at in rows], axis=0, dtype=np.int64)
        pieces.append((2 * total + len(rows)) // (2 * len(rows)))
        used += [day for day, _ in rows]
        slot = until
    return np.concatenate(pieces), tuple(sorted(set(used))), kind


def _alike(grid: _Grid, local: datetime, count: int, rules: ClassRules, *, same: bool) -> Iterator[tuple[date, int]]:
    """The nearest sure days (of two as near the earlier), and the slot of the same time; ``same``: of its kind only."""
    weekend = local.weekday() >= _SATURDAY
    found = 0
    for distance in range(1, rules.estimate.reach_days + 1):
        for day in (local.date() - timedelta(days=distance), local.date() + timedelta(days=distance)):
            if found == rules.estimate.like_days:
                return
            if (same and (day.weekday() >= _SATURDAY) != weekend) or not grid.sure_day(day):
                continue
            at = grid.slot(datetime.combine(day, local.time(), tzinfo=grid.zone))
            if at >= 0 and at + count <= len(grid) and grid.known[at : at + count].all():
                found += 1
                yield day, at


# --- scaled to the register ------------------------------------------------------------------------------------------


def _scaled(
    grid: _Grid, reads: Sequence[RegisterRead], bounds: tuple[int, int], members: list[Estimate], rules: ClassRules
) -> list[Estimate]:
    """All estimates between two reads, scaled together so that everything between the reads sums to the register."""
    before, after = (reads[number] for number in bounds)
    begin, end = ((one.at - grid.start) // grid.seconds for one in (before, after))
    due = after.value - before.value - grid.known_between(begin, end)
    lacking = int(np.count_nonzero(~grid.known[begin:end]))
    if lacking != sum(len(one.values) for one in members):
        why = "not scaled, as some of what lacks between the reads is not estimated"
        return [replace(one, rule=f"{one.rule}; {why}") for one in members]
    if due < 0 and not rules.estimate.negative:
        why = f"not scaled, as the register leaves {amount(due, grid.decimals, grid.unit)} for it"
        return [replace(one, rule=f"{one.rule}; {why}") for one in members]
    shares = apportioned(np.concatenate([one.values for one in members]), due)
    done, at = [], 0
    for one in members:
        values = shares[at : at + len(one.values)]
        at += len(one.values)
        rule = f"{one.rule}, scaled to the register: {amount(due, grid.decimals, grid.unit)}"
        done.append(replace(one, values=values, rule=rule, scaled_to=due))
    return done


def apportioned(shape: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """``shape`` scaled to sum to ``total`` exactly; a shape without anything positive is taken as even.

    Each running sum is rounded down, so every value is within one unit of its exact share.
    """
    weights = [max(int(value), 0) for value in shape.tolist()]
    if not any(weights):
        weights = [1] * len(weights)
    whole = sum(weights)
    shares, running, given = [], 0, 0
    for weight in weights:
        running += weight
        reached = total * running // whole
        shares.append(reached - given)
        given = reached
    return np.array(shares, dtype=np.int64)
