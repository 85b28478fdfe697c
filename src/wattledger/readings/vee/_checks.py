"""The checks over whole populations: NumPy over blocks of (points, intervals), no Python per point.

Every check looks at all values by itself: passing one exempts nothing from the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from wattledger.readings.vee._findings import Block, Findings, found
from wattledger.readings.vee._rules import ClassRules, Rule, Severity

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CELLS = 1_000_000  # intervals looked at together: what a check needs beside them stays in tens of megabytes
_USUAL, _PEAK, _MIDDLE, _HIGH = 0.80, 0.95, 0.50, 0.95
_PERCENT = 100
_HOUR = 3600
_DAY = 86_400
_LEAST_KNOWN = 3  # the spike rule needs a third highest


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Known:
    """What is known of the points beside their readings; what is ``None`` is not known and not checked.

    ``watts``     int64 (points,): fuse or contracted power, 0 for a point of which it is not known
    ``active``    bool (points,) or (points, intervals): whether the point was active and connected
    ``reactive``  int (points, intervals): reactive energy beside the block's active one, in the same units
    """

    watts: NDArray[np.int64] | None = None
    active: NDArray[np.bool_] | None = None
    reactive: NDArray[np.int64] | NDArray[np.int32] | None = None

    def rows(self, rows: slice) -> Known:
        """The same of some points."""
        return Known(
            watts=None if self.watts is None else self.watts[rows],
            active=None if self.active is None else self.active[rows],
            reactive=None if self.reactive is None else self.reactive[rows],
        )


_NOTHING_KNOWN = Known()


def check_block(block: Block, *, rules: ClassRules, known: Known = _NOTHING_KNOWN) -> Findings:
    """All checks that intervals allow: missing, spike, bound, negative, zero run, inactive use, reactive, high, low.

    Work is done some thousand points at a time and holds no lock of the interpreter while NumPy computes, so that
    blocks can be handed to threads or to other machines. Registers: :func:`check_registers`.
    """
    points, intervals = block.values.shape
    step = max(_CELLS // max(intervals, 1), 1)
    parts = []
    for first in range(0, points, step):
        rows = slice(first, first + step)
        part = Block(
            start=block.start,
            seconds=block.seconds,
            values=block.values[rows],
            qualities=block.qualities[rows],
            decimals=block.decimals,
            unit=block.unit,
        )
        for one in _checked(part, rules, known.rows(rows)):
            one.points[:] += first
            parts.append(one)
    return (
        Findings.joined(parts)
        if parts
        else Findings.none(decimals=block.decimals, seconds=block.seconds, unit=block.unit)
    )


def _checked(block: Block, rules: ClassRules, about: Known) -> list[Findings]:
    known = block.known
    missing = _runs(block, ~known)
    parts = [_run_findings(block, Rule.MISSING, rules, missing, measured=missing.seconds, limits=0)]
    if rules.negative.severity:
        negative = _runs(block, (block.values < 0) & known)
        least = negative.least(np.where(known, block.values, 0))
        parts.append(_run_findings(block, Rule.NEGATIVE, rules, negative, measured=least, limits=0))
    if rules.bound.severity:
        parts.append(_bound(block, rules, known, about.watts))
    idle = (block.values == 0) & known
    if about.active is not None:
        active = about.active if about.active.ndim > 1 else about.active[:, None]
        if rules.inactive_use.severity:
            used = (block.values > block.units(rules.inactive_use.above_kwh)) & known & ~active
            runs = _runs(block, used)
            together = runs.totals(block.values)
            limit = block.units(rules.inactive_use.above_kwh)
            parts.append(_run_findings(block, Rule.INACTIVE_USE, rules, runs, measured=together, limits=limit))
        idle &= active
    if rules.zero_run.severity:
        limit = int(rules.zero_run.hours * _HOUR)
        runs = _runs(block, idle).lasting(limit)
        parts.append(_run_findings(block, Rule.ZERO_RUN, rules, runs, measured=runs.seconds, limits=limit))
    if about.reactive is not None and rules.reactive_alone.severity:
        limit = block.units(rules.reactive_alone.above_kvarh)
        runs = _runs(block, (block.values == 0) & known & (np.abs(about.reactive) > limit))
        together = runs.totals(np.abs(about.reactive))
        parts.append(_run_findings(block, Rule.REACTIVE_ALONE, rules, runs, measured=together, limits=limit))
    days = _Days(block, known)
    if days.count and days.per_day > _LEAST_KNOWN and rules.spike.severity:
        parts.append(_spikes(block, rules, days))
    if days.count and (rules.high.severity or rules.low.severity):
        parts += _totals(block, rules, days)
    return [part for part in parts if len(part)]


# --- runs of intervals -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Runs:
    """Unbroken runs of intervals: point, first and (not included) last."""

    points: NDArray[np.int64]
    firsts: NDArray[np.int64]
    lasts: NDArray[np.int64]
    length: int
    """Seconds of an interval."""

    @property
    def seconds(self) -> NDArray[np.int64]:
        return (self.lasts - self.firsts) * self.length

    def lasting(self, seconds: int) -> _Runs:
        """Those of at least so many seconds."""
        long = self.seconds >= seconds
        return _Runs(self.points[long], self.firsts[long], self.lasts[long], self.length)

    def totals(self, values: NDArray[np.int64] | NDArray[np.int32]) -> NDArray[np.int64]:
        """The sum of ``values`` over each run."""
        return self._reduced(np.add, values)

    def least(self, values: NDArray[np.int64] | NDArray[np.int32]) -> NDArray[np.int64]:
        """The least of ``values`` in each run."""
        return self._reduced(np.minimum, values)

    def _reduced(self, how: np.ufunc, values: NDArray[np.int64] | NDArray[np.int32]) -> NDArray[np.int64]:
        """``how`` over each run: only the intervals within the runs are read."""
        if not len(self.points):
            return np.zeros(0, dtype=np.int64)
        lengths = self.lasts - self.firsts
        begins = np.cumsum(lengths) - lengths
        within = np.arange(int(lengths.sum())) - np.repeat(begins - self.firsts, lengths)
        cells = values[np.repeat(self.points, lengths), within].astype(np.int64)
        reduced: NDArray[np.int64] = how.reduceat(cells, begins)
        return reduced


def _runs(block: Block, mask: NDArray[np.bool_]) -> _Runs:
    return _Runs(*runs_of(mask), block.seconds)


def runs_of(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The unbroken runs of a mask of (points, intervals): point, first interval, first one after it."""
    points, intervals = mask.shape
    nothing = np.zeros(0, dtype=np.int64)
    if not mask.any():
        return nothing, nothing, nothing
    edged = np.zeros((points, intervals + 1), dtype=np.bool_)  # a column that is never in a run keeps rows apart
    edged[:, 1:] = mask
    flat = np.append(edged.ravel(), False)
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    firsts, lasts = edges[0::2] + 1, edges[1::2] + 1
    rows = firsts // (intervals + 1)
    return rows, firsts - rows * (intervals + 1) - 1, lasts - rows * (intervals + 1) - 1


def _run_findings(
    block: Block,
    rule: Rule,
    rules: ClassRules,
    runs: _Runs,
    *,
    measured: NDArray[np.int64] | int,
    limits: NDArray[np.int64] | int,
) -> Findings:
    severity = rules.severity(rule)
    if severity is Severity.OFF:
        return Findings.none(decimals=block.decimals, seconds=block.seconds, unit=block.unit)
    return found(
        block,
        rule,
        severity,
        points=runs.points,
        begins=block.start + runs.firsts * block.seconds,
        ends=block.start + runs.lasts * block.seconds,
        measured=measured,
        limits=limits,
    )


def bound_units(block: Block, rules: ClassRules, watts: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """The most that each point (points,) may use in one interval, in whole units: power x time, with the margin."""
    factor = (_PERCENT + rules.bound.margin_percent) / _PERCENT
    ratio = (factor * block.seconds).scaleb(block.decimals - 3) / _HOUR  # units of an interval at one watt
    top, bottom = ratio.as_integer_ratio()
    unknown = int(rules.bound.above_kw * 1000 * ratio / factor)
    if watts is None:
        return np.full(block.values.shape[0], unknown, dtype=np.int64)
    distinct, places = np.unique(watts, return_inverse=True)
    limits = [int(w) * top // bottom if w > 0 else unknown for w in distinct.tolist()]
    return np.array(limits, dtype=np.int64)[places]


def _bound(block: Block, rules: ClassRules, known: NDArray[np.bool_], watts: NDArray[np.int64] | None) -> Findings:
    limits = bound_units(block, rules, watts)
    points, intervals = np.nonzero((block.values > limits[:, None]) & known)
    return found(
        block,
        Rule.BOUND,
        rules.bound.severity,
        points=points,
        begins=block.start + intervals * block.seconds,
        ends=block.start + (intervals + 1) * block.seconds,
        measured=block.values[points, intervals].astype(np.int64),
        limits=limits[points],
    )


# --- days and the home's own history ---------------------------------------------------------------------------------


class _Days:
    """The block's whole days: values of shape (points, days, intervals a day)."""

    def __init__(self, block: Block, known: NDArray[np.bool_]) -> None:
        self.per_day = block.per_day
        self.count = block.values.shape[1] // self.per_day if self.per_day else 0
        whole = (block.values.shape[0], self.count, self.per_day)
        self.values = block.values[:, : self.count * self.per_day].reshape(whole)
        self.known = known[:, : self.count * self.per_day].reshape(whole)
        self.having = np.count_nonzero(self.known, axis=2)


class _Around:
    """The days around each day of each point, within ``reach`` before and after, the day itself left out.

    ``days`` (points, days), NaN where a day does not count.
    """

    def __init__(self, days: NDArray[np.float32], reach: int, least: int) -> None:
        points, count = days.shape
        reach = max(min(reach, count - 1), 0)
        padded = np.full((points, count + 2 * reach), np.nan, dtype=np.float32)
        padded[:, reach : reach + count] = days
        windows = sliding_window_view(padded, 2 * reach + 1, axis=1)
        self._days = np.concatenate((windows[..., :reach], windows[..., reach + 1 :]), axis=2)
        self._counted = np.count_nonzero(~np.isnan(self._days), axis=2)
        self._days.sort(axis=2)  # NaN last
        self._enough = (self._counted >= max(least, 1)) & (reach > 0)

    def quantile(self, share: float) -> NDArray[np.float64]:
        """The ``share`` quantile (the lower of two), NaN where too few days count."""
        if not self._enough.any():
            return np.full(self._enough.shape, np.nan)
        at = np.floor(share * np.maximum(self._counted - 1, 0)).astype(np.int64)
        picked = np.take_along_axis(self._days, at[..., None], axis=2)[..., 0].astype(np.float64)
        return np.where(self._enough, picked, np.nan)


def _spikes(block: Block, rules: ClassRules, days: _Days) -> Findings:
    limits, third = spike_limits(block, rules)
    guard = block.units(rules.spike.guard_kwh)
    allowed = np.maximum(limits, third + guard)
    # Only days whose highest is above are looked into, interval by interval.
    values = np.where(days.known, days.values, np.iinfo(days.values.dtype).min)
    points, numbers = np.nonzero(values.max(axis=2) > allowed)
    rows, slots = np.nonzero(values[points, numbers] > allowed[points, numbers][:, None])
    points, numbers = points[rows], numbers[rows]
    begins = block.start + numbers * _DAY + slots * block.seconds
    return found(
        block,
        Rule.SPIKE,
        rules.spike.severity,
        points=points,
        begins=begins,
        ends=begins + block.seconds,
        measured=values[points, numbers, slots].astype(np.int64),
        limits=allowed[points, numbers],
    )


def spike_limits(block: Block, rules: ClassRules) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Per point and day (points, days): the spike rule's limit without its guard, and the day's third highest.

    A day counts, to be judged and as history, when at least half of its intervals have a value; one that does not has
    a limit that nothing is above. A day must have more than three intervals.
    """
    if block.per_day <= _LEAST_KNOWN:
        raise ValueError(f"days of intervals of {block.seconds} seconds have no third highest")
    days = _Days(block, block.known)
    expected, third, counts = expected_peaks(block, rules, days)
    never = np.iinfo(np.int64).max // 2
    limits = np.where(counts, np.minimum(float(rules.spike.limit) * expected, never), never)
    return np.floor(limits).astype(np.int64), third


def expected_peaks(
    block: Block, rules: ClassRules, days: _Days
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]:
    """What the highest interval of each day could be expected to be, the third highest, and whether the day counts."""
    spike = rules.spike
    values = np.where(days.known, days.values, 0)
    values.partition((days.per_day - _LEAST_KNOWN, days.per_day - 1), axis=2)
    highest, third = (values[..., -back].astype(np.int64) for back in (1, _LEAST_KNOWN))
    counts = (days.having * 2 >= days.per_day) & (days.having >= _LEAST_KNOWN)
    base = np.maximum(third, max(block.units(spike.guard_kwh), 1)).astype(np.float64)
    excess = np.where(counts, (highest - base) / base, np.nan).astype(np.float32)
    usual = _Around(excess, spike.history_days, spike.min_days).quantile(_USUAL)
    usual = np.where(np.isnan(usual), float(spike.usual_unknown), np.maximum(usual, 0))
    peaks = np.where(counts, highest, np.nan).astype(np.float32)
    peak = np.nan_to_num(_Around(peaks, spike.history_days, spike.min_days).quantile(_PEAK))
    return base * (1 + usual) + float(spike.share) * peak, third, counts


def _totals(block: Block, rules: ClassRules, days: _Days) -> list[Findings]:
    """High and low days against the home's own; only days with every value are judged and counted."""
    totals = np.where(days.known, days.values, 0).sum(axis=2, dtype=np.int64)
    whole = days.having == days.per_day
    own = np.where(whole, totals, np.nan).astype(np.float32)
    highs = _Around(own, rules.high.history_days, rules.high.min_days)
    same = (rules.low.history_days, rules.low.min_days) == (rules.high.history_days, rules.high.min_days)
    lows = highs if same else _Around(own, rules.low.history_days, rules.low.min_days)
    parts = []
    if rules.high.severity:
        limits = float(rules.high.times) * highs.quantile(_HIGH)
        with np.errstate(invalid="ignore"):
            points, numbers = np.nonzero(whole & (own > limits) & (limits > 0))
        parts.append(
            found(
                block,
                Rule.HIGH,
                rules.high.severity,
                points=points,
                begins=block.start + numbers * _DAY,
                ends=block.start + (numbers + 1) * _DAY,
                measured=totals[points, numbers],
                limits=np.floor(limits[points, numbers]).astype(np.int64),
            )
        )
    if rules.low.severity:
        limits = float(rules.low.share) * lows.quantile(_MIDDLE)
        with np.errstate(invalid="ignore"):
            low = whole & (own < limits)
        daily = Block(start=block.start, seconds=_DAY, values=totals, qualities=low.astype(np.uint8))
        runs = _runs(daily, low).lasting(rules.low.days * _DAY)
        most = -runs.least(-totals)
        floors = np.floor(np.where(low, limits, 0)).astype(np.int64)
        parts.append(
            found(
                block,
                Rule.LOW,
                rules.low.severity,
                points=runs.points,
                begins=block.start + runs.firsts * _DAY,
                ends=block.start + runs.lasts * _DAY,
                measured=most,
                limits=floors[runs.points, runs.firsts],
            )
        )
    return parts
