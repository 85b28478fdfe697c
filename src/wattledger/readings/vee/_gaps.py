"""The same estimates as of :mod:`._estimates`, for the gaps of a whole block at once: NumPy, no Python per gap.

Registers do not come into it: a gap that reads bound is estimated series by series.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Self

import numpy as np

from wattledger.kernel import IntervalSeries, Period, Quality, epoch, from_epoch
from wattledger.readings.vee._checks import runs_of
from wattledger.readings.vee._estimates import SURE, Method, estimate
from wattledger.readings.vee._findings import Block
from wattledger.readings.vee._rules import ClassRules

if TYPE_CHECKING:
    from datetime import tzinfo

    from numpy.typing import NDArray

_DAY = 86_400
_HOUR = 3600
_SATURDAY = 5
METHODS = tuple(Method)
UNFILLED = len(METHODS)
"""Stands in ``methods`` for a gap that nothing can be said of."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlockEstimates:
    """Every gap of a block with what is to stand in it: a row each, by point and then by time.

    ``points``, ``firsts``, ``lasts``  int64: row of the block, first slot and first slot after it
    ``methods``  uint8: place in :data:`METHODS`, or :data:`UNFILLED`
    ``values``   int64: those of all gaps one after the other, in the units of the block; 0 where unfilled
    """

    points: NDArray[np.int64]
    firsts: NDArray[np.int64]
    lasts: NDArray[np.int64]
    methods: NDArray[np.uint8]
    values: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.points)

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where each gap's values begin in ``values``; one more for the end."""
        return np.concatenate(([0], np.cumsum(self.lasts - self.firsts)))

    @property
    def slots(self) -> NDArray[np.int64]:
        """The slot of each of ``values``."""
        return _stretched(self.firsts, self.lasts - self.firsts)

    def per_value(self, column: NDArray[np.int64] | NDArray[np.uint8]) -> NDArray[np.int64]:
        """A column of the gaps, repeated for each of ``values``."""
        return np.repeat(column.astype(np.int64), self.lasts - self.firsts)

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """Several as one."""
        columns = ("points", "firsts", "lasts", "methods", "values")
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in columns})


def estimate_block(
    block: Block, *, rules: ClassRules, zone: tzinfo | None = None, within: Period | None = None
) -> BlockEstimates:
    """Estimates for every gap (of missing values) that has a slot ``within`` a period, whole gaps always.

    All points of the block lie in ``zone`` (UTC when not given). Equal, to the last unit, to what
    :func:`~wattledger.readings.vee.estimate` says of each point by itself without registers.
    """
    lacking = ~block.known
    if within is not None:
        first, last = ((epoch(at) - block.start) for at in (within.start, within.end))
        concerned = slice(max(first // block.seconds, 0), max(-(-last // block.seconds), 0))
        rows = np.flatnonzero(lacking[:, concerned].any(axis=1))
    else:
        rows, concerned = np.flatnonzero(lacking.any(axis=1)), slice(0, lacking.shape[1])
    few = Block(
        start=block.start,
        seconds=block.seconds,
        values=block.values[rows],
        qualities=block.qualities[rows],
        decimals=block.decimals,
        unit=block.unit,
    )
    points, firsts, lasts = runs_of(lacking[rows])
    asked = (lasts > concerned.start) & (firsts < concerned.stop)
    points, firsts, lasts = points[asked], firsts[asked], lasts[asked]
    clock = zone or UTC
    days = _LocalDays.of(few, clock)
    if days is None:
        return _one_by_one(few, rows, (points, firsts, lasts), rules, clock)
    methods, values = _shapes(few, days, (points, firsts, lasts), rules)
    return BlockEstimates(points=rows[points], firsts=firsts, lasts=lasts, methods=methods, values=values)


_Gaps = tuple["NDArray[np.int64]", "NDArray[np.int64]", "NDArray[np.int64]"]


def _shapes(
    block: Block, days: _LocalDays, gaps: _Gaps, rules: ClassRules
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Method and values of gaps that are as long as they can be: a value, or the block's edge, on both sides."""
    points, firsts, lasts = gaps
    lengths, intervals = lasts - firsts, block.values.shape[1]
    seconds = lengths * block.seconds
    before, after = firsts > 0, lasts < intervals
    long = seconds > int(rules.estimate.linear_hours * _HOUR)
    wanted = np.flatnonzero(long | ~(before & after))
    has_like, like = _like_days(block, days, (points[wanted], firsts[wanted], lasts[wanted]), rules)
    methods = np.full(len(points), UNFILLED, dtype=np.uint8)
    methods[~long & (before | after)] = METHODS.index(Method.FLAT)
    straight = before & after & (seconds <= rules.estimate.reach_days * _DAY)
    methods[straight] = METHODS.index(Method.LINEAR)
    methods[wanted[has_like]] = METHODS.index(Method.LIKE_DAYS)

    slots = _stretched(firsts, lengths)
    low = block.values[points, np.maximum(firsts - 1, 0)].astype(np.int64)
    high = block.values[points, np.minimum(lasts, intervals - 1)].astype(np.int64)
    span, steps = np.repeat(lengths + 1, lengths), slots - np.repeat(firsts - 1, lengths)
    # Rounded half up in whole units: floor((2 a + span) / (2 span)).
    line = np.repeat(low, lengths) + (2 * np.repeat(high - low, lengths) * steps + span) // (2 * span)
    beside = np.repeat(np.where(before, low, high), lengths)
    of_gap = np.repeat(methods, lengths)
    values = np.select(
        [of_gap == METHODS.index(Method.LINEAR), of_gap == METHODS.index(Method.FLAT)], [line, beside], default=0
    )
    places = _stretched(np.cumsum(lengths)[wanted] - lengths[wanted], lengths[wanted])
    taken = of_gap[places] == METHODS.index(Method.LIKE_DAYS)
    values[places[taken]] = like[taken]
    return methods, values


def _like_days(
    block: Block, days: _LocalDays, gaps: _Gaps, rules: ClassRules
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which gaps have like (or near) days throughout, and the mean of those: values of all gaps, one after another.

    A gap is looked at local day by local day: each *piece* has its own nearest days.
    """
    points, firsts, lasts = gaps
    lengths = lasts - firsts
    totals = np.zeros(int(lengths.sum()), dtype=np.int64)
    if not len(points):
        return np.zeros(0, dtype=np.bool_), totals
    rows, place = np.unique(points, return_inverse=True)
    sure, used, known = (_running(block, rows, what) for what in ("sure", "used", "known"))
    ends = np.clip(days.midnights, 0, block.values.shape[1])
    whole = np.diff(sure[:, ends], axis=1) == np.diff(days.midnights)
    good = whole & days.inside & (np.diff(used[:, ends], axis=1) > 0)

    begin_days = days.midnights.searchsorted(firsts, side="right") - 1
    end_days = days.midnights.searchsorted(lasts - 1, side="right")
    counts = end_days - begin_days
    gap = np.repeat(np.arange(len(points)), counts)
    day = _stretched(begin_days, counts)
    first = np.maximum(firsts[gap], days.midnights[day])
    size = np.minimum(lasts[gap], days.midnights[day + 1]) - first
    wall = days.wall(first, day)
    row = place[gap]

    most = rules.estimate.like_days
    found = np.zeros(len(gap), dtype=np.int64)
    alike = np.zeros((len(gap), most), dtype=np.int64)
    for same in (True, False):
        left = np.flatnonzero(found == 0)
        for distance in range(1, rules.estimate.reach_days + 1):
            for step in (-distance, distance):
                left = left[found[left] < most]
                other = day[left] + step
                there = (other >= 0) & (other < len(days))
                these, other = left[there], other[there]
                fits = good[row[these], other]
                if same:
                    fits &= days.weekend[other] == days.weekend[day[these]]
                these, other = these[fits], other[fits]
                at = days.slots[other, wall[these]]
                until = at + size[these]
                inside = (at >= 0) & (until < known.shape[1])
                these, at, until = these[inside], at[inside], until[inside]
                full = known[row[these], until] - known[row[these], at] == size[these]
                these = these[full]
                alike[these, found[these]] = at[full]
                found[these] += 1
            if not len(left):
                break
    begins = np.cumsum(lengths) - lengths
    place_of = begins[gap] + first - firsts[gap]
    for rank in range(most):
        these = np.flatnonzero(found > rank)
        cells = _stretched(alike[these, rank], size[these])
        totals[_stretched(place_of[these], size[these])] += block.values[
            np.repeat(rows[row[these]], size[these]), cells
        ]
    shares = np.ones(len(totals), dtype=np.int64)
    shares[_stretched(place_of, size)] = np.repeat(np.maximum(found, 1), size)
    has = np.ones(len(points), dtype=np.bool_)
    has[gap[found == 0]] = False
    return has, (2 * totals + shares) // (2 * shares)


def _running(block: Block, rows: NDArray[np.int64], what: str) -> NDArray[np.int32]:
    """How many slots before each are sure, used or known: (rows, intervals + 1)."""
    qualities = block.qualities[rows]
    if what == "used":
        mask = block.values[rows] != 0
    elif what == "sure":
        mask = np.isin(qualities, SURE)
    else:
        mask = qualities != Quality.MISSING
    running = np.zeros((len(rows), mask.shape[1] + 1), dtype=np.int32)
    np.cumsum(mask, axis=1, out=running[:, 1:])
    return running


def _stretched(begins: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """``begin, begin + 1 ...`` of each length, one after the other."""
    stops = np.cumsum(lengths)
    count = int(stops[-1]) if len(stops) else 0
    stretched: NDArray[np.int64] = np.arange(count) + np.repeat(begins - (stops - lengths), lengths)
    return stretched


@dataclass(frozen=True, slots=True, eq=False)
class _LocalDays:
    """The local days that a block touches.

    ``midnights``  int64 (days + 1,): the slot that each begins in, the first at or before the block
    ``slots``      int64 (days, intervals a day): where each time of the wall's clock is
    ``inside``     bool (days,): whether the block has all of it
    """

    block: Block
    zone: tzinfo
    midnights: NDArray[np.int64]
    slots: NDArray[np.int64]
    inside: NDArray[np.bool_]
    weekend: NDArray[np.bool_]
    even: NDArray[np.bool_]

    @classmethod
    def of(cls, block: Block, zone: tzinfo) -> Self | None:
        """``None`` when the grid does not go with the clock: days of part intervals, midnights within one."""
        intervals, seconds, per_day = block.values.shape[1], block.seconds, block.per_day
        if not per_day or not intervals:
            return None
        first = from_epoch(block.start).astimezone(zone).date()
        last = from_epoch(block.start + (intervals - 1) * seconds).astimezone(zone).date()
        dates = [first + timedelta(days=number) for number in range((last - first).days + 2)]
        starts = np.array([_instant(day, 0, zone) for day in dates], dtype=np.int64) - block.start
        if (starts % seconds).any():
            return None
        midnights = starts // seconds
        even = np.diff(starts) == _DAY
        slots = midnights[:-1, None] + np.arange(per_day)
        for number in np.flatnonzero(~even).tolist():
            walls = [_instant(dates[number], wall * seconds, zone) for wall in range(per_day)]
            slots[number] = (np.array(walls, dtype=np.int64) - block.start) // seconds
        return cls(
            block,
            zone,
            midnights,
            slots,
            (midnights[:-1] >= 0) & (midnights[1:] <= intervals) & (np.diff(midnights) > 0),
            np.array([day.weekday() >= _SATURDAY for day in dates[:-1]], dtype=np.bool_),
            even,
        )

    def __len__(self) -> int:
        return len(self.even)

    def wall(self, slots: NDArray[np.int64], days: NDArray[np.int64]) -> NDArray[np.int64]:
        """The time of the wall's clock at some slots, which lie on ``days``, in intervals since midnight."""
        walls = slots - self.midnights[days]
        for number in np.flatnonzero(~self.even[days]).tolist():
            local = from_epoch(self.block.start + int(slots[number]) * self.block.seconds).astimezone(self.zone)
            walls[number] = (local.hour * _HOUR + local.minute * 60 + local.second) // self.block.seconds
        return walls


def _instant(day: date, seconds: int, zone: tzinfo) -> int:
    wall = (datetime.min + timedelta(seconds=seconds)).time()  # noqa: DTZ901 - only its time of day is used
    return epoch(datetime.combine(day, time(wall.hour, wall.minute, wall.second), tzinfo=zone))


def _one_by_one(block: Block, rows: NDArray[np.int64], gaps: _Gaps, rules: ClassRules, zone: tzinfo) -> BlockEstimates:
    """The general way, for grids on which a local day has no whole number of intervals."""
    starts = block.start + block.seconds * np.arange(block.values.shape[1], dtype=np.int64)
    points, firsts, lasts = gaps
    methods = np.full(len(points), UNFILLED, dtype=np.uint8)
    pieces = [np.zeros(length, dtype=np.int64) for length in (lasts - firsts).tolist()]
    place = {key: number for number, key in enumerate(zip(points.tolist(), firsts.tolist(), strict=True))}
    for row in np.unique(points).tolist():
        series = IntervalSeries(
            starts, block.values[row].astype(np.int64), block.qualities[row], block.seconds, block.decimals
        )
        for one in estimate(series, rules=rules, zone=zone, unit=block.unit).filled:
            number = place.get((row, (epoch(one.period.start) - block.start) // block.seconds))
            if number is not None:
                methods[number], pieces[number] = METHODS.index(one.method), one.values
    values = np.concatenate([*pieces, np.zeros(0, dtype=np.int64)])
    return BlockEstimates(points=rows[points], firsts=firsts, lasts=lasts, methods=methods, values=values)
