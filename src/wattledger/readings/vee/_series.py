"""Checks of one channel as it came: its rows before they are put in order, and what its gaps have to do with clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from wattledger.kernel import IntervalSeries, Period, Quality, epoch, from_epoch
from wattledger.readings.vee._checks import Known, check_block
from wattledger.readings.vee._findings import Block, Findings, found
from wattledger.readings.vee._rules import ClassRules, Rule, Severity

if TYPE_CHECKING:
    from datetime import tzinfo

    from numpy.typing import NDArray

_DAY = 86_400
_NEAR = timedelta(hours=3)
_LEAP = (2, 29)
_NOTHING_KNOWN = Known()


def check_series(
    series: IntervalSeries,
    *,
    rules: ClassRules,
    zone: tzinfo | None = None,
    known: Known = _NOTHING_KNOWN,
    unit: str = "kWh",
) -> Findings:
    """One channel's findings: all of :func:`~wattledger.readings.vee.check_block`, its grid, its clock and calendar.

    Days are of 24 hours from the local midnight at or before the first interval (UTC without ``zone``). ``known`` has
    one point; what it says by interval begins there too: :func:`block_of_series` is the block.
    """
    if not len(series):
        return Findings.none(decimals=series.decimals, seconds=series.seconds, unit=unit)
    block = block_of_series(series, zone=zone, unit=unit)
    first = int(series.starts[0])
    every = check_block(block, rules=rules, known=known)
    findings = every.picked(every.ends > first)  # what lies between midnight and the first interval is no gap
    early = findings.begins < first
    findings.begins[early] = first
    findings.measured[early] = findings.ends[early] - first
    parts = [findings, _off_grid(block, series, rules)]
    if zone is not None and rules.calendar.severity:
        parts.append(_calendar(block, findings.of(Rule.MISSING), rules, zone))
    return Findings.joined(parts)


def block_of_series(series: IntervalSeries, *, zone: tzinfo | None = None, unit: str = "kWh") -> Block:
    """A series as a block of one point that begins at the local midnight at or before its first interval."""
    if not len(series):
        return Block.of_series(series, unit=unit)
    first = from_epoch(int(series.starts[0])).astimezone(zone or UTC)
    midnight = epoch(datetime(first.year, first.month, first.day, tzinfo=zone or UTC))
    grid = (int(series.starts[0]) - midnight) % series.seconds  # a whole series off the clock keeps its grid
    return Block.of_series(series, start=midnight + grid if grid * 2 < series.seconds else midnight, unit=unit)


def _off_grid(block: Block, series: IntervalSeries, rules: ClassRules) -> Findings:
    off = (series.starts - block.start) % series.seconds
    off = np.minimum(off, series.seconds - off)
    these = np.flatnonzero(off > rules.clock.tolerance_seconds) if rules.clock.severity else off[:0]
    return found(
        block,
        Rule.CLOCK,
        rules.clock.severity,
        points=np.zeros(len(these), dtype=np.int64),
        begins=series.starts[these],
        ends=series.starts[these] + series.seconds,
        measured=off[these],
        limits=rules.clock.tolerance_seconds,
    )


def _calendar(block: Block, missing: Findings, rules: ClassRules, zone: tzinfo) -> Findings:
    gaps = [Period.of_epochs(int(a), int(b)) for a, b in zip(missing.begins, missing.ends, strict=True)]
    turned = np.array([_where_clocks_turn(gap, zone) for gap in gaps], dtype=np.bool_)
    these = missing.picked(turned)
    return found(
        block,
        Rule.CALENDAR,
        rules.calendar.severity,
        points=these.points,
        begins=these.begins,
        ends=these.ends,
        measured=these.ends - these.begins,
        limits=0,
    )


def _where_clocks_turn(gap: Period, zone: tzinfo) -> bool:
    """Whether a gap is as long as a change of the clock near it, or is a whole 29 February."""
    before, after = ((instant.astimezone(zone)).utcoffset() for instant in (gap.start - _NEAR, gap.end + _NEAR))
    if before is not None and after is not None and abs((after - before).total_seconds()) == gap.seconds:
        return True
    start, end = gap.start.astimezone(zone), gap.end.astimezone(zone)
    midnights = (start.hour, start.minute, end.hour, end.minute) == (0, 0, 0, 0)
    return midnights and (start.month, start.day) == _LEAP and gap.seconds == _DAY


def flagged(series: IntervalSeries, findings: Findings) -> IntervalSeries:
    """The series with doubted readings SUSPECT and failed ones MISSING, as ``Findings.flagged`` does for a block."""
    qualities = series.qualities.copy()
    actual = np.isin(qualities, (Quality.ACTUAL, Quality.SUSPECT))
    for severity, quality in ((Severity.SUSPECT, Quality.SUSPECT), (Severity.FAIL, Quality.MISSING)):
        these = findings.severities == severity
        edges = np.zeros(len(series) + 1, dtype=np.int64)
        np.add.at(edges, series.starts.searchsorted(findings.begins[these]), 1)
        np.add.at(edges, series.starts.searchsorted(findings.ends[these]), -1)
        qualities[(edges.cumsum()[:-1] > 0) & actual] = quality
    return IntervalSeries(series.starts, series.values, qualities, series.seconds, series.decimals)


def check_rows(
    starts: NDArray[np.int64],
    values: NDArray[np.int64],
    *,
    rules: ClassRules,
    seconds: int,
    ends: NDArray[np.int64] | None = None,
    decimals: int = 3,
) -> Findings:
    """Readings as they were written, in any order: duplicate, conflicting, order, overlap, length.

    ``starts`` and ``ends`` epoch seconds (each ``seconds`` after its start when not given), ``values`` units.
    Rows that say the same of an interval are duplicates; rows that differ conflict with the first written one. But for
    ``order``, what is found does not depend on the order of the rows; which of two conflicting values is called the
    first one does.
    """
    nothing = np.zeros((1, 0), dtype=np.int64)
    block = Block(start=0, seconds=seconds, values=nothing, qualities=nothing.astype(np.uint8), decimals=decimals)
    starts, values = np.asarray(starts, dtype=np.int64), np.asarray(values, dtype=np.int64)
    stops = starts + seconds if ends is None else np.asarray(ends, dtype=np.int64)

    def told(
        rule: Rule, rows: NDArray[np.int64], measured: NDArray[np.int64], limits: NDArray[np.int64] | int = 0
    ) -> Findings:
        if rules.severity(rule) is Severity.OFF:
            rows = rows[:0]
            measured = measured[:0]
            limits = 0
        return found(
            block,
            rule,
            rules.severity(rule),
            points=np.zeros(len(rows), dtype=np.int64),
            begins=starts[rows],
            ends=np.maximum(stops[rows], starts[rows]),
            measured=measured,
            limits=limits,
        )

    back = np.flatnonzero(np.diff(starts) < 0) + 1
    parts = [told(Rule.ORDER, back, starts[back - 1] - starts[back])]
    wrong = np.flatnonzero(stops - starts != seconds)
    parts.append(told(Rule.LENGTH, wrong, (stops - starts)[wrong], seconds))
    order = np.argsort(starts, kind="stable")
    ordered = starts[order]
    fresh = np.append(True, ordered[1:] != ordered[:-1]) if len(order) else np.zeros(0, dtype=np.bool_)
    firsts = order[np.flatnonzero(fresh)[np.cumsum(fresh) - 1]] if len(order) else order
    differs = values[order] != values[firsts]
    again = order[~fresh & ~differs]
    parts.append(told(Rule.DUPLICATE, again, values[again]))
    conflicting = ~fresh & differs
    parts.append(told(Rule.CONFLICTING, order[conflicting], values[order[conflicting]], values[firsts[conflicting]]))
    kept = order[fresh]
    reach = np.maximum.accumulate(stops[kept]) if len(kept) else stops[kept]
    over = np.flatnonzero(starts[kept][1:] < reach[:-1]) + 1
    parts.append(told(Rule.OVERLAP, kept[over], reach[over - 1] - starts[kept[over]]))
    return Findings.joined(parts)
