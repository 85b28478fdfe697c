"""What checks look at and what they find: dense blocks in, columns of findings out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Self

import numpy as np

from wattledger.kernel import IntervalSeries, Period, Quality
from wattledger.readings.vee._rules import Rule, Severity

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DAY = 86_400
_HOUR = 3600
RULES = tuple(Rule)
"""The rules by the numbers that findings have."""

_NUMBER_OF = {rule: number for number, rule in enumerate(RULES)}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """The intervals of many points over one span, dense.

    ``start``      epoch seconds of the first interval; a *day* of the checks is each 24 hours from here
    ``seconds``    length of an interval; what looks at days is left out when it does not divide one
    ``values``     int32 or int64 of shape (points, intervals), in units of ``10**-decimals`` kWh (kvarh)
    ``qualities``  uint8 of the same shape, :class:`~wattledger.kernel.Quality`; a missing one's value means nothing
    """

    start: int
    seconds: int
    values: NDArray[np.int32] | NDArray[np.int64]
    qualities: NDArray[np.uint8]
    decimals: int = 3
    unit: str = "kWh"

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape != self.qualities.shape:  # noqa: PLR2004 - points and intervals
            raise ValueError("values and qualities must both have the shape (points, intervals)")
        if self.seconds <= 0:
            raise ValueError(f"no interval lasts {self.seconds} seconds")

    @classmethod
    def of_series(cls, series: IntervalSeries, *, start: int | None = None, unit: str = "kWh") -> Self:
        """One point's block, from ``start`` (the first interval's when not given); what is not listed is missing.

        An interval off the grid of ``start`` stands in the slot that it begins in.
        """
        first = int(series.starts[0]) if len(series) else 0
        start = first if start is None else start
        slots = (series.starts - start) // series.seconds
        inside = slots >= 0
        count = int(slots[-1]) + 1 if len(series) else 0
        values = np.zeros((1, max(count, 0)), dtype=np.int64)
        qualities = np.zeros((1, max(count, 0)), dtype=np.uint8)
        values[0, slots[inside]] = series.values[inside]
        qualities[0, slots[inside]] = series.qualities[inside]
        return cls(
            start=start,
            seconds=series.seconds,
            values=values,
            qualities=qualities,
            decimals=series.decimals,
            unit=unit,
        )

    @property
    def known(self) -> NDArray[np.bool_]:
        """Where there is a value."""
        known: NDArray[np.bool_] = self.qualities != Quality.MISSING
        return known

    @property
    def per_day(self) -> int:
        """Intervals a day; 0 when they do not fill one."""
        return 0 if _DAY % self.seconds else _DAY // self.seconds

    def units(self, kwh: Decimal) -> int:
        """An amount in kWh as whole units of this block, rounded down."""
        return int(kwh.scaleb(self.decimals).to_integral_value(rounding="ROUND_FLOOR"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a check found.

    ``point``     the row of the block
    ``period``    from the first interval concerned to the end of the last
    ``measured``  and ``limit``: what was measured against which limit, in whole units of the channel (energy) or
                  seconds (missing, calendar, zero_run, clock, length, order, overlap)
    ``words``     both in words
    """

    rule: Rule
    severity: Severity
    point: int
    period: Period
    measured: int
    limit: int
    words: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Findings:
    """Findings as columns: one row each, ordered by point, begin, end and rule. Cheap while nobody reads them.

    ``rules`` uint8 (number of the :class:`Rule`), ``severities`` uint8, ``points`` int64, ``begins`` and ``ends`` int64
    epoch seconds, ``measured`` and ``limits`` int64.
    """

    rules: NDArray[np.uint8]
    severities: NDArray[np.uint8]
    points: NDArray[np.int64]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]
    measured: NDArray[np.int64]
    limits: NDArray[np.int64]
    decimals: int
    seconds: int
    unit: str = "kWh"

    @classmethod
    def none(cls, *, decimals: int = 3, seconds: int = 900, unit: str = "kWh") -> Self:
        """No findings."""
        nothing = np.zeros(0, dtype=np.int64)
        small = np.zeros(0, dtype=np.uint8)
        return cls(
            rules=small,
            severities=small,
            points=nothing,
            begins=nothing,
            ends=nothing,
            measured=nothing,
            limits=nothing,
            decimals=decimals,
            seconds=seconds,
            unit=unit,
        )

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Several as one, in order; all of the same decimals and interval length."""
        if not parts:
            return cls.none()
        columns = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("rules", "severities", "points", "begins", "ends", "measured", "limits")
        }
        order = np.lexsort((columns["rules"], columns["ends"], columns["begins"], columns["points"]))
        return cls(
            **{name: column[order] for name, column in columns.items()},
            decimals=parts[0].decimals,
            seconds=parts[0].seconds,
            unit=parts[0].unit,
        )

    def __len__(self) -> int:
        return len(self.rules)

    def __iter__(self) -> Iterator[Finding]:
        return (self.finding(number) for number in range(len(self)))

    def finding(self, number: int) -> Finding:
        """One of them, in words."""
        rule = RULES[int(self.rules[number])]
        measured, limit = int(self.measured[number]), int(self.limits[number])
        period = Period.of_epochs(int(self.begins[number]), int(self.ends[number]))
        return Finding(
            rule=rule,
            severity=Severity(int(self.severities[number])),
            point=int(self.points[number]),
            period=period,
            measured=measured,
            limit=limit,
            words=in_words(rule, measured, limit, seconds=period.seconds, decimals=self.decimals, unit=self.unit),
        )

    def picked(self, which: NDArray[np.bool_]) -> Self:
        """Those that a mask picks."""
        return type(self)(
            rules=self.rules[which],
            severities=self.severities[which],
            points=self.points[which],
            begins=self.begins[which],
            ends=self.ends[which],
            measured=self.measured[which],
            limits=self.limits[which],
            decimals=self.decimals,
            seconds=self.seconds,
            unit=self.unit,
        )

    def of(self, *rules: Rule) -> Self:
        """Those of some rules."""
        return self.picked(np.isin(self.rules, [_NUMBER_OF[rule] for rule in rules]))

    def at_least(self, severity: Severity) -> Self:
        """Those of at least this severity."""
        return self.picked(self.severities >= severity)

    def counts(self) -> dict[Rule, int]:
        """How many of each rule, in the rules' order; none: not in it."""
        counted = np.bincount(self.rules, minlength=len(RULES)).tolist()
        return {rule: count for rule, count in zip(RULES, counted, strict=True) if count}

    def flagged(self, block: Block) -> NDArray[np.uint8]:
        """The block's qualities after the findings: doubted readings SUSPECT, failed ones MISSING (to be estimated).

        Only values from the meter are touched; what somebody estimated or decided stays.
        """
        qualities = block.qualities.copy()
        actual = np.isin(qualities, (Quality.ACTUAL, Quality.SUSPECT))
        for severity, quality in ((Severity.SUSPECT, Quality.SUSPECT), (Severity.FAIL, Quality.MISSING)):
            these = self.severities == severity
            if these.any():
                edges = np.zeros((block.values.shape[0], block.values.shape[1] + 1), dtype=np.int32)
                begins, ends = (
                    np.clip(edge, 0, block.values.shape[1])
                    for edge in (
                        (self.begins[these] - block.start) // block.seconds,
                        -(-(self.ends[these] - block.start) // block.seconds),
                    )
                )
                np.add.at(edges, (self.points[these], begins), 1)
                np.add.at(edges, (self.points[these], ends), -1)
                qualities[(edges.cumsum(axis=1)[:, :-1] > 0) & actual] = quality
        return qualities


def found(  # noqa: PLR0913 - a finding's columns
    block: Block,
    rule: Rule,
    severity: Severity,
    *,
    points: NDArray[np.int64],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    measured: NDArray[np.int64] | int,
    limits: NDArray[np.int64] | int,
) -> Findings:
    """The findings of one rule; ``begins`` and ``ends`` epoch seconds."""
    count = len(points)
    return Findings(
        rules=np.full(count, _NUMBER_OF[rule], dtype=np.uint8),
        severities=np.full(count, severity, dtype=np.uint8),
        points=points.astype(np.int64),
        begins=begins.astype(np.int64),
        ends=ends.astype(np.int64),
        measured=np.broadcast_to(np.asarray(measured, dtype=np.int64), (count,)),
        limits=np.broadcast_to(np.asarray(limits, dtype=np.int64), (count,)),
        decimals=block.decimals,
        seconds=block.seconds,
        unit=block.unit,
    )


# --- in words --------------------------------------------------------------------------------------------------------


def amount(units: int, decimals: int, unit: str = "kWh") -> str:
    """Whole units as a person reads them: exact, at least three decimals when there are any."""
    text = f"{Decimal(units).scaleb(-decimals):,f}"
    whole, _, places = text.partition(".")
    places = places.rstrip("0").ljust(min(3, decimals), "0")
    return f"{whole}.{places} {unit}" if places else f"{whole} {unit}"


def lasting(seconds: int) -> str:
    """A duration as a person says it."""
    parts, left = [], seconds
    for length, name in ((_DAY, "day"), (_HOUR, "hour"), (60, "minute"), (1, "second")):
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count:,} {name}{'' if count == 1 else 's'}")
    return " ".join(parts) or "no time"


_SCORED = {Rule.SPIKE, Rule.HIGH, Rule.LOW}
_SHOWN_DECIMALS = 3  # of a limit that was worked out from the point's history
_WORDS = {
    Rule.MISSING: "no value for {span}",
    Rule.DUPLICATE: "{energy} stands more than once, always the same",
    Rule.CONFLICTING: "{energy} for an interval that has {allowed} as well",
    Rule.ORDER: "comes {span} before the one written ahead of it",
    Rule.OVERLAP: "begins {span} before the one ahead of it ends",
    Rule.LENGTH: "lasts {span}, where intervals last {usual}",
    Rule.CLOCK: "begins {span} off the grid, where {usual} is tolerated",
    Rule.CALENDAR: "{span} without a value exactly where the clock or the calendar turns",
    Rule.REGISTER_SUM: "intervals and registers differ by {energy}, where {allowed} is tolerated",
    Rule.ROLLOVER: "the register ran over its last digit; {energy} since the read before",
    Rule.RESET: "the register fell from {allowed} to {energy}",
    Rule.EXCHANGE: "another meter's register: {allowed} before, {energy} now",
    Rule.SPIKE: "{energy} in {during}, where {allowed} is the most to be expected of that day and this point",
    Rule.BOUND: "{energy} in {during}, where fuse or contract let {allowed} through",
    Rule.NEGATIVE: "{energy}, where nothing can be below {allowed}",
    Rule.ZERO_RUN: "nothing used for {span}, where less than {usual} is usual",
    Rule.INACTIVE_USE: "{energy} within {during} while the point was inactive or disconnected",
    Rule.REACTIVE_ALONE: "{kvarh} within {during} without active energy",
    Rule.HIGH: "{energy} in a day, where more than {allowed} is unusual for this point",
    Rule.LOW: "no more than {energy} a day for {during}, where less than {allowed} is unusual for this point",
}


def in_words(rule: Rule, measured: int, limit: int, *, seconds: int, decimals: int = 3, unit: str = "kWh") -> str:
    """What a finding says of a stretch of ``seconds``; ``measured`` and ``limit`` as in :class:`Finding`."""
    if rule in _SCORED and decimals > _SHOWN_DECIMALS:
        limit = round(Decimal(limit).scaleb(_SHOWN_DECIMALS - decimals)) * 10 ** (decimals - _SHOWN_DECIMALS)
    return _WORDS[rule].format(
        energy=amount(measured, decimals, unit),
        allowed=amount(limit, decimals, unit),
        kvarh=amount(measured, decimals, "kvarh"),
        during=lasting(seconds),
        span=lasting(measured),
        usual=lasting(limit),
    )
