"""A file of readings, channel by channel: findings, days and estimates; and the same as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from wattledger.kernel import IntervalSeries, Period, Quality, epoch, local_days
from wattledger.readings import (
    Channel,
    Commodity,
    Direction,
    ReadingsFile,
    ZoneNeeded,
    read_file,
    vee,
)

_ENERGY = {Commodity.ACTIVE_ENERGY, Commodity.REACTIVE_ENERGY, Commodity.APPARENT_ENERGY}
_BY_DIRECTION = {
    Direction.IMPORT: "import",
    Direction.EXPORT: "export",
    Direction.NET: "net",
    Direction.UNKNOWN: "import",
}
_IN_TIME = (vee.Rule.MISSING, vee.Rule.CLOCK, vee.Rule.CALENDAR)
_IN_SECONDS = {
    vee.Rule.MISSING,
    vee.Rule.CALENDAR,
    vee.Rule.CLOCK,
    vee.Rule.ORDER,
    vee.Rule.OVERLAP,
    vee.Rule.LENGTH,
    vee.Rule.ZERO_RUN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A local day of a channel: how many of its intervals should be there (within the file) and have a value."""

    day: date
    expected: int
    present: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CheckedChannel:
    """What became of a channel.

    ``name`` is its class of rules; ``""`` for one that is not energy: only its coverage and clock are looked at.
    """

    channel: Channel
    name: str
    zone: tzinfo
    days: Sequence[Day]
    findings: vee.Findings
    estimates: vee.Estimates

    @property
    def zone_name(self) -> str:
        """What people call the channel's local time."""
        span = self.channel.period
        key = getattr(self.zone, "key", None)
        return str(key or (span.start.astimezone(self.zone).tzname() if span else None) or self.zone)

    @property
    def expected(self) -> int:
        """Intervals between the first and the last listed one, both included."""
        return sum(day.expected for day in self.days)

    @property
    def present(self) -> int:
        """Those that have a value."""
        return sum(day.present for day in self.days)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checked:
    """A whole file, checked."""

    file: ReadingsFile
    rules: vee.Rules
    channels: Sequence[CheckedChannel]
    assumptions: Sequence[str]

    @property
    def superseded(self) -> int:
        """Readings that gave way to the provider's later update of the same interval."""
        return sum(channel.superseded for channel in self.file.channels)

    @property
    def faults(self) -> int:
        """What a person should look at: findings that doubt values, and readings refused."""
        grave = sum(len(one.findings.at_least(vee.Severity.SUSPECT)) for one in self.channels)
        return grave + self.file.refused_count


def checked_file(path: Path, *, rules: Path | None, zone: tzinfo | None) -> Checked:
    """Read and check a file; the refusals of :func:`~wattledger.readings.read_file` and of the rules go through."""
    chosen = vee.shipped_rules() if rules is None else vee.load_rules(rules)
    assumed = []
    try:
        file = read_file(path, zone=zone)
    except ZoneNeeded:
        if zone is not None:
            raise
        file = read_file(path, zone=UTC)
        assumed.append("Times carry no offset and were taken as UTC; --zone says where the meter's clock stands.")
    channels = [
        _checked(channel, chosen, zone, _beside(channel, file.channels))
        for channel in file.channels
        if len(channel.series)
    ]
    return Checked(file=file, rules=chosen, channels=channels, assumptions=(*assumed, *file.assumptions))


def _beside(channel: Channel, channels: Sequence[Channel]) -> Channel | None:
    """The one reactive channel of the same direction beside the one active one of a point, interval for interval."""

    def of(commodity: Commodity) -> list[Channel]:
        return [
            one
            for one in channels
            if (one.point, one.direction, one.commodity) == (channel.point, channel.direction, commodity)
        ]

    active, reactive = of(Commodity.ACTIVE_ENERGY), of(Commodity.REACTIVE_ENERGY)
    if len(active) != 1 or len(reactive) != 1 or active[0] is not channel:
        return None
    ours, theirs = channel.series, reactive[0].series
    alike = ours.seconds == theirs.seconds and ours.decimals == theirs.decimals
    return reactive[0] if alike and np.array_equal(ours.starts, theirs.starts) else None


def _checked(channel: Channel, rules: vee.Rules, zone: tzinfo | None, beside: Channel | None) -> CheckedChannel:
    clock = zone or channel.zone or UTC
    name = _class_of(channel)
    chosen = rules.of(name)
    known = vee.Known()
    if beside is not None:
        block = vee.block_of_series(beside.series, zone=clock)
        known = vee.Known(reactive=np.where(block.known, block.values, 0))
    findings = vee.check_series(channel.series, rules=chosen, zone=clock, known=known, unit=channel.unit)
    estimates = vee.Estimates(filled=(), unfilled=())
    if name:
        sound = vee.flagged(channel.series, findings)
        estimates = vee.estimate(sound, rules=chosen, zone=clock, unit=channel.unit)
    else:
        findings = findings.of(*_IN_TIME)
    return CheckedChannel(
        channel=channel,
        name=name,
        zone=clock,
        days=_days(channel.series, clock),
        findings=findings,
        estimates=estimates,
    )


def _class_of(channel: Channel) -> str:
    if channel.commodity not in _ENERGY:
        return ""
    return "reactive" if channel.commodity is Commodity.REACTIVE_ENERGY else _BY_DIRECTION[channel.direction]


def _days(series: IntervalSeries, zone: tzinfo) -> list[Day]:
    span = series.period
    if span is None:
        return []
    known = series.starts[series.qualities != Quality.MISSING]
    days = [part for day in local_days(span, zone=zone) if (part := day.intersection(span)) is not None]
    first = epoch(span.start)
    edges = np.array([epoch(day.start) for day in days] + [epoch(span.end)], dtype=np.int64)
    # An interval counts to the day that it begins in.
    due = np.diff(-(-(edges - first) // series.seconds))
    having = np.diff(known.searchsorted(edges))
    return [
        Day(day=day.start.astimezone(zone).date(), expected=int(expected), present=int(present))
        for day, expected, present in zip(days, due, having, strict=True)
        if expected
    ]


# --- as JSON ---------------------------------------------------------------------------------------------------------


def as_json(result: Checked) -> dict[str, Any]:
    """The check as JSON: amounts are decimal strings, times have their offset."""
    file = result.file
    return {
        "file": str(file.path),
        "format": file.format.value,
        "rules": result.rules.source,
        "faults": result.faults,
        "readings": {
            "file": file.readings,
            "stored": file.stored,
            "duplicates": file.duplicates,
            "superseded": result.superseded,
            "refused": file.refused_count,
        },
        "channels": [_channel(one) for one in result.channels],
        "refused": [
            {"what": one.what, "cause": one.cause, "line": one.line, "count": one.count} for one in file.refused
        ],
        "assumptions": list(result.assumptions),
    }


def _channel(one: CheckedChannel) -> dict[str, Any]:
    series = one.channel.series
    return {
        "point": one.channel.point,
        "register": one.channel.register,
        "commodity": one.channel.commodity.value,
        "direction": one.channel.direction.value,
        "class": one.name or None,
        "unit": one.channel.unit,
        "seconds": series.seconds,
        "zone": one.zone_name,
        **_span(series.period, one.zone),
        "expected": one.expected,
        "present": one.present,
        "incomplete_days": [
            {"day": day.day.isoformat(), "expected": day.expected, "present": day.present}
            for day in one.days
            if day.present < day.expected
        ],
        "findings": [_finding(finding, one) for finding in one.findings],
        "estimates": [
            {
                **_span(filled.period, one.zone),
                "intervals": len(filled.values),
                "method": filled.method.value,
                "rule": filled.rule,
                "like": [day.isoformat() for day in filled.like],
                "quality": filled.quality.name.lower(),
                "total": plain(filled.total, one),
                "scaled_to": None if filled.scaled_to is None else plain(filled.scaled_to, one),
            }
            for filled in one.estimates.filled
        ],
        "unfilled": [{**_span(left.period, one.zone), "why": left.why} for left in one.estimates.unfilled],
    }


def _finding(finding: vee.Finding, one: CheckedChannel) -> dict[str, Any]:
    timed = finding.rule in _IN_SECONDS
    return {
        "rule": finding.rule.value,
        "severity": finding.severity.name.lower(),
        **_span(finding.period, one.zone),
        "measured": str(finding.measured) if timed else plain(finding.measured, one),
        "limit": str(finding.limit) if timed else plain(finding.limit, one),
        "unit": "s" if timed else one.channel.unit,
        "words": finding.words,
    }


def plain(units: int, one: CheckedChannel) -> str:
    """An amount of a channel as a decimal string."""
    return f"{Decimal(units).scaleb(-one.channel.series.decimals):f}"


def _span(period: Period | None, zone: tzinfo) -> dict[str, str | None]:
    if period is None:
        return {"from": None, "to": None}
    return {"from": period.start.astimezone(zone).isoformat(), "to": period.end.astimezone(zone).isoformat()}
