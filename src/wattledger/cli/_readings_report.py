"""A checked file for people: a coverage bar of days, faults by rule with examples, what would be estimated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, tzinfo
from itertools import groupby

from wattledger.cli._readings_check import Checked, CheckedChannel, Day
from wattledger.kernel import Period
from wattledger.readings import vee

_EXAMPLES = 3
_ESTIMATES = 10
_MONTHS = 36
_WHOLE, _MOST, _SOME, _NONE, _OUTSIDE = "█", "▓", "░", "·", " "


def as_text(result: Checked) -> Iterator[str]:
    """The report, line by line."""
    file = result.file
    counts = [f"{file.readings:,} readings", f"{file.stored:,} taken"]
    counts += [f"{file.duplicates:,} duplicate"] if file.duplicates else []
    counts += [f"{result.superseded:,} of them superseded by a later update"] if result.superseded else []
    counts += [f"{file.refused_count:,} refused"] if file.refused_count else []
    yield f"{file.path.name}: {file.format.value}, {', '.join(counts)}"
    for one in result.channels:
        yield ""
        yield from _channel(one)
    yield from _listed(
        "Refused",
        [
            f"{one.what}{f', line {one.line}' if one.line else ''}: {one.cause} ({one.count:,} readings)"
            for one in file.refused
        ],
    )
    yield from _listed("Assumptions", result.assumptions)
    yield ""
    yield (
        f"{result.faults:,} fault{'' if result.faults == 1 else 's'} to look at."
        if result.faults
        else "Nothing lacks and nothing is doubted."
    )


def _listed(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield f"\n{title}"
        yield from (f"  · {line}" for line in lines)


def _channel(one: CheckedChannel) -> Iterator[str]:
    series, channel = one.channel.series, one.channel
    rules = (
        f"rules of class {one.name}" if one.name else f"{channel.commodity.value}: only coverage and clock are checked"
    )
    yield f"{channel.name}: intervals of {vee.lasting(series.seconds)}, {channel.unit}, {one.zone_name}, {rules}"
    lacking = one.expected - one.present
    share = f"{one.present:,} of {one.expected:,} intervals" + (f", {lacking:,} lack" if lacking else ", none lacks")
    yield f"\n  Coverage: {share}   {_WHOLE} whole day  {_MOST} half or more  {_SOME} less  {_NONE} nothing"
    yield from _bars(one.days)
    yield from _faults(one)
    yield from _estimates(one)


def _bars(days: Sequence[Day]) -> Iterator[str]:
    """A line a month, a sign a day; of very long files the months with gaps only."""
    months = [(month, list(within)) for month, within in groupby(days, key=lambda one: (one.day.year, one.day.month))]
    shown = months
    if len(months) > _MONTHS:
        shown = [(m, within) for m, within in months if any(d.present < d.expected for d in within)]
        yield f"  {len(months)} months; those with a gap:" if shown else f"  {len(months)} months, each without a gap"
    empty: list[str] = []
    for (year, month), within in shown:
        if not any(day.present for day in within):
            empty.append(f"{year}-{month:02}")
            continue
        yield from _empty_months(empty)
        empty.clear()
        signs = {day.day.day: _sign(day) for day in within}
        bar = "".join(signs.get(number, _OUTSIDE) for number in range(1, 32))
        gap = sum(day.expected - day.present for day in within)
        yield f"  {year}-{month:02}  {bar}{f'  {gap:,} lack' if gap else ''}".rstrip()
    yield from _empty_months(empty)


def _empty_months(months: Sequence[str]) -> Iterator[str]:
    if months:
        yield f"  {months[0]}  nothing" + (f" until {months[-1]}" if len(months) > 1 else "")


def _sign(day: Day) -> str:
    if day.present >= day.expected:
        return _WHOLE
    if not day.present:
        return _NONE
    return _MOST if day.present * 2 >= day.expected else _SOME


def _faults(one: CheckedChannel) -> Iterator[str]:
    counts = one.findings.counts()
    if not counts:
        return
    yield "\n  Found"
    order = sorted(counts, key=lambda rule: (-int(one.findings.of(rule).severities[0]), rule))
    for rule in order:
        these = one.findings.of(rule)
        severity = vee.Severity(int(these.severities[0])).name.lower()
        yield f"  {rule.value:<16}{severity:<9}{counts[rule]:>6,}"
        # The worst of many, in the order of time: what lacks longest, what is furthest above its limit.
        worst = sorted(range(len(these)), key=lambda number: -_excess(these, number))[:_EXAMPLES]
        for number in sorted(worst):
            finding = these.finding(number)
            yield f"      {span(finding.period, one.zone)}: {finding.words}"
        if len(these) > _EXAMPLES:
            yield f"      and {len(these) - _EXAMPLES:,} more"


def _excess(these: vee.Findings, number: int) -> int:
    return abs(int(these.measured[number]) - int(these.limits[number]))


def _estimates(one: CheckedChannel) -> Iterator[str]:
    filled, left = one.estimates.filled, one.estimates.unfilled
    if not filled and not left:
        return
    intervals = sum(len(each.values) for each in filled)
    total = vee.amount(sum(each.total for each in filled), one.channel.series.decimals, one.channel.unit)
    yield f"\n  Would be estimated: {intervals:,} interval{'' if intervals == 1 else 's'}, {total}"
    for each in filled[:_ESTIMATES]:
        units = vee.amount(each.total, one.channel.series.decimals, one.channel.unit)
        yield f"      {span(each.period, one.zone)}: {each.rule}; {units}"
    if len(filled) > _ESTIMATES:
        yield f"      and {len(filled) - _ESTIMATES:,} more gaps"
    for gap in left[:_ESTIMATES]:
        yield f"      {span(gap.period, one.zone)}: not estimated: {gap.why}"
    if len(left) > _ESTIMATES:
        yield f"      and {len(left) - _ESTIMATES:,} more gaps without an estimate"


def span(period: Period, zone: tzinfo) -> str:
    """Whole days as days, both included; else from moment to moment."""
    start, end = period.start.astimezone(zone), period.end.astimezone(zone)
    if _midnight(start) and _midnight(end):
        last = (end - timedelta(hours=1)).date()
        return f"{start:%Y-%m-%d}" if last == start.date() else f"{start:%Y-%m-%d} to {last}"
    if start.date() == end.date():
        return f"{start:%Y-%m-%d %H:%M} to {end:%H:%M}"
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}"


def _midnight(local: datetime) -> bool:
    return (local.hour, local.minute, local.second) == (0, 0, 0)
