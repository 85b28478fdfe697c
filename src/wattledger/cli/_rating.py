"""A file of readings and a tariff into bills: which channels, which months, whose clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal, localcontext
from itertools import combinations, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wattledger import tariffs
from wattledger.kernel import IntervalSeries, Money, Period, Problem, Quality, epoch, local_months, zone_named

if TYPE_CHECKING:
    from wattledger.readings import Channel, ReadingsFile

_EXACT_DIGITS = 200  # more than any sum of unrounded amounts has
_KWH = "kWh"


class NothingToRate(Problem):
    """A file of readings has no channel that this tariff can price."""

    slug = "nothing-to-rate"
    title = "There is nothing to rate"
    status = 422


class VersionsDoNotFit(Problem):
    """Several tariffs were given that are not versions of one, or are in force at the same time."""

    slug = "versions-do-not-fit"
    title = "These tariffs are not versions that follow each other"
    status = 422


class ClockUnknown(Problem):
    """Neither the tariff nor the readings say in which local time the prices change."""

    slug = "clock-unknown"
    title = "The tariff's time zone is not known"
    status = 422


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is told beside the file and the tariff.

    ``channels``  the tariff's channel of a register that the file names
    ``bill``      first local day of the one bill, and the first no longer in it; ``None``: calendar months
    """

    facts: Mapping[str, str] = field(default_factory=dict)
    signals: tariffs.Signals = tariffs.NO_SIGNALS
    channels: Mapping[str, str] = field(default_factory=dict)
    bill: tuple[date, date] | None = None
    exact: bool = False
    explain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """One local calendar month of a point (or the part that one version prices), clipped to its readings.

    ``whole`` is the bill that it is, or is part of; ``partial``: intervals that some register lacks.
    """

    point: str
    whole: Period
    tariff: tariffs.Tariff
    rating: tariffs.Rating | tariffs.ExactRating
    partial: int
    explanation: tariffs.Explanation | None = None

    @property
    def missing(self) -> int:
        """Intervals without a value, or without one of their registers'."""
        return self.rating.missing + self.partial

    @property
    def is_part(self) -> bool:
        """Whether other versions price other parts of the same bill."""
        return self.rating.period != self.whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Rated:
    """Everything that was rated, and what was not. ``tariff`` is the last of the versions."""

    tariff: tariffs.Tariff
    zone: tzinfo
    exact: bool
    bills: Sequence[Bill]
    series: dict[str, IntervalSeries]
    not_rated: Sequence[tuple[str, str]]
    assumptions: Sequence[str]

    @property
    def versions(self) -> Sequence[tariffs.Tariff]:
        """Those that priced anything, in the order of time."""
        return sorted({bill.tariff for bill in self.bills}, key=lambda one: one.valid_from or date.min)

    @property
    def count(self) -> int:
        """How many bills there are; several parts are one."""
        return len({(bill.point, bill.whole) for bill in self.bills})

    @property
    def total(self) -> Money | Decimal:
        """The sum of all bills: exact ones unrounded."""
        return self.total_of(self.bills)

    def total_of(self, parts: Sequence[Bill]) -> Money | Decimal:
        """The sum of some bills or parts."""
        totals = [bill.rating.total for bill in parts]
        with localcontext(prec=_EXACT_DIGITS):
            exact = sum((total for total in totals if isinstance(total, Decimal)), start=Decimal(0))
        rounded = (total for total in totals if isinstance(total, Money))
        return exact if self.exact else sum(rounded, start=Money.zero(self.tariff.currency))


def zone_name(zone: tzinfo) -> str:
    """What people call a zone: its IANA name, or its offset."""
    return getattr(zone, "key", None) or zone.tzname(None) or str(zone)


def plain(number: Money | Decimal) -> str:
    """An amount or a number as a decimal string without exponent."""
    if isinstance(number, Money):
        return number.text
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def rated(*, path: Path, versions: Sequence[tariffs.Tariff], zone: tzinfo | None, told: Told) -> Rated:
    """The bills of a file's points. Raises the problems of the file, the tariff and their meeting.

    Of several ``versions`` of a tariff each prices the days on which it is in force.
    """
    tariff = versions[-1]
    file, assumptions = _read(path, tariff, zone)
    assumptions = [*file.assumptions, *assumptions, *(remark for one in versions for remark in one.remarks)]
    channels = _priced_channels(file, versions, told.channels)
    if not channels:
        found = ", ".join(f"{c.name} ({_what(c)})" for c in file.channels) or "none"
        raise NothingToRate(f"{path}: no channel has energy taken from the network; found: {found}")
    clock, how = _clock(tariff, zone, [channel for channel, _ in channels])
    assumptions += how
    bills: list[Bill] = []
    series_of: dict[str, IntervalSeries] = {}
    for point in dict.fromkeys(channel.point for channel, _ in channels):
        series: dict[str, IntervalSeries] = {}
        lacking: list[int] = []
        for name in dict.fromkeys(name for channel, name in channels if channel.point == point):
            own = [channel for channel, of in channels if of == name and channel.point == point]
            series[name], partial = _summed(own)
            lacking += partial
            if len(own) > 1:
                registers = ", ".join(channel.register for channel in own)
                assumptions.append(f"{point or 'The point'}: the registers {registers} are taken together.")
        series_of[point] = next(iter(series.values()))
        try:
            bills.extend(_bills(point, series, lacking, versions, clock, told))
        except tariffs.NegativeEnergy as problem:
            name = next(channel.name for channel, _ in channels if channel.point == point)
            raise tariffs.NegativeEnergy(f"{path}: {name}: {problem.detail}", remedy=problem.remedy) from problem
    assumptions += _nothing_before(bills, clock)
    assumptions += _counted_with(bills)
    assumptions += _charged_by_no_clause(bills, told.facts)
    assumptions += _events_at_once(bills, told.signals, clock)
    return Rated(
        tariff=tariff,
        zone=clock,
        exact=told.exact,
        bills=bills,
        series=series_of,
        not_rated=_not_rated(file, [channel for channel, _ in channels]),
        assumptions=tuple(dict.fromkeys(assumptions)),
    )


def same_version(files: Sequence[tuple[Path, tariffs.Tariff]]) -> Iterator[tuple[Path, str]]:
    """The files that say something else under the id and version of one before them, and how to tell it."""
    first: dict[tuple[str, str], tuple[Path, tariffs.Tariff]] = {}
    for path, tariff in files:
        before, known = first.setdefault((tariff.id, tariff.version), (path, tariff))
        if known != tariff:
            other = f"{before} ({known.hash[:12]}), which says something else"
            yield path, f"{path} ({tariff.hash[:12]}) is {tariff.id} version {tariff.version}, and so is {other}"


def check_versions(files: Sequence[tuple[Path, tariffs.Tariff]]) -> None:
    """Raise :class:`VersionsDoNotFit` unless these are versions of one tariff that follow each other."""
    versions = [tariff for _, tariff in files]
    ids = {one.id for one in versions}
    if len(ids) > 1:
        raise VersionsDoNotFit(f"{' and '.join(sorted(ids))} are different tariffs; give versions of one")
    for _, told in same_version(files):
        raise VersionsDoNotFit(told, remedy="a version never changes: give what changed a version of its own")
    currencies = {one.currency for one in versions}
    if len(currencies) > 1:
        raise VersionsDoNotFit(f"the versions are priced in {' and '.join(sorted(currencies))}: that has no one total")
    spans = sorted(((one.valid_from or date.min), (one.valid_to or date.max), one.version) for one in versions)
    for (_, until, first), (since, _, second) in pairwise(spans):
        if since < until:
            raise VersionsDoNotFit(
                f"the versions {first} and {second} are both in force from {since}",
                remedy="let 'valid' of the earlier end where the later begins",
            )


def _counted_with(bills: Sequence[Bill]) -> Iterator[str]:
    crossing = sum(bill.rating.crossing for bill in bills)
    if crossing:
        yield f"{crossing:,} intervals run across a change of price; each is priced at what holds when it starts."
    coarse = sum(bill.rating.coarse for bill in bills)
    if coarse:
        yield f"{coarse:,} intervals are longer than the demand window and hide its peaks; their own mean is taken."


def _nothing_before(bills: Sequence[Bill], clock: tzinfo) -> Iterator[str]:
    """The charges that look further back than the readings go."""
    seen: set[tuple[str, str]] = set()
    for bill in bills:
        start = bill.rating.period.start
        lacking = tariffs.unknown_before(tariff=bill.tariff, zone=clock, start=start)
        for name, since in lacking.items():
            if (bill.point, name) not in seen:
                rest = "" if since is None else f" since {since.astimezone(clock):%Y-%m-%d}"
                yield (
                    f"{name} looks back{rest}, but begins from nothing on {start.astimezone(clock):%Y-%m-%d}: "
                    "nothing earlier is known."
                )
        seen |= {(bill.point, name) for name in ("bank", *(charge.name for charge in bill.tariff.charges))}


def _charged_by_no_clause(bills: Sequence[Bill], facts: Mapping[str, str]) -> Iterator[str]:
    """The facts that several charges ask for, none of them with this value."""
    for tariff in dict.fromkeys(bill.tariff for bill in bills):
        for name in tariffs.unmatched_facts(tariff=tariff, facts=facts):
            yield f"{name} is {facts[name]}, for which no charge is; the charges that depend on {name} are left out."


def _events_at_once(bills: Sequence[Bill], signals: tariffs.Signals, clock: tzinfo) -> Iterator[str]:
    """Which events were on together, and which of them went before."""
    for bill in bills:
        for first, second in combinations(bill.tariff.events, 2):
            for one in signals.events.get(first, ()):
                for other in signals.events.get(second, ()):
                    both = one.intersection(other)
                    both = None if both is None else both.intersection(bill.rating.period)
                    if both is not None and both.start < both.end:
                        span = " to ".join(f"{at.astimezone(clock):%Y-%m-%d %H:%M}" for at in (both.start, both.end))
                        yield f"{first} and {second} are both on {span}; {first}, which is listed first, goes before."


def _priced_channels(
    file: ReadingsFile, versions: Sequence[tariffs.Tariff], named: Mapping[str, str]
) -> list[tuple[Channel, str]]:
    """The file's channels that are rated, each with the tariff's channel that it is."""
    known = {name for tariff in versions for name in tariff.channels}
    registers = {channel.register for channel in file.channels} | {channel.name for channel in file.channels}
    for register, name in named.items():
        if register not in registers:
            raise NothingToRate(f"no register of the file is called {register}; it has {', '.join(sorted(registers))}")
        if name not in known:
            raise NothingToRate(f"the tariff prices no channel {name}; it prices {', '.join(sorted(known))}")
    usual = [channel for channel in file.consumption if channel.unit == _KWH]
    found: list[tuple[Channel, str]] = []
    for channel in file.channels:
        of = named.get(channel.register) or named.get(channel.name)
        if of is None and any(channel is one for one in usual):
            of = "import"
        elif of is None and _is_export(channel) and "export" in known:
            of = "export"
        if of is not None and len(channel.series):
            found.append((channel, of))
    return found


def _is_export(channel: Channel) -> bool:
    active = channel.commodity.value == "active energy" and channel.unit == _KWH
    return active and channel.direction.value == "export"


def _read(path: Path, tariff: tariffs.Tariff, zone: tzinfo | None) -> tuple[ReadingsFile, list[str]]:
    """The file; times without an offset are in ``zone``, else in the tariff's."""
    from wattledger.readings import ZoneNeeded, read_file  # noqa: PLC0415 - other commands start without them

    try:
        return read_file(path, zone=zone), []
    except ZoneNeeded:
        if tariff.zone is None or zone is not None:
            raise
        file = read_file(path, zone=zone_named(tariff.zone))
        return file, [f"The readings' times have no offset; they were taken in the tariff's zone, {tariff.zone}."]


def _clock(tariff: tariffs.Tariff, zone: tzinfo | None, channels: Sequence[Channel]) -> tuple[tzinfo, list[str]]:
    """Where the tariff's clock stands: as it says, as the caller says, or else as the readings do."""
    if tariff.zone is not None:
        return zone_named(tariff.zone), []
    if zone is not None:
        return zone, [f"The tariff names no zone; its clock is taken to be {zone_name(zone)}'s."]
    declared = {channel.zone for channel in channels}
    own = declared.pop() if len(declared) == 1 else None
    if own is None:
        raise ClockUnknown(
            f"tariff {tariff.id} names no time zone and the readings name none for it",
            remedy="say where its clock stands, for example --zone America/New_York",
        )
    return own, [f"The tariff names no zone; its clock is taken to be the readings' own, {zone_name(own)}."]


def _summed(channels: Sequence[Channel]) -> tuple[IntervalSeries, list[int]]:
    """The channels of a point as one series, and the starts at which some of them have a value and others none.

    An interval of the sum is as sure as the least sure of its values.
    """
    if len(channels) == 1:
        return channels[0].series, []
    lengths = {channel.series.seconds for channel in channels}
    if len(lengths) > 1:
        names = ", ".join(f"{channel.name} ({channel.series.seconds // 60} min)" for channel in channels)
        raise NothingToRate(f"registers with intervals of different lengths cannot be taken together: {names}")
    decimals = max(channel.series.decimals for channel in channels)
    starts = np.unique(np.concatenate([channel.series.starts for channel in channels]))
    values = np.zeros(len(starts), dtype=np.int64)
    having = np.zeros(len(starts), dtype=np.int64)
    doubt = np.zeros(len(starts), dtype=np.uint8)
    for channel in channels:
        series = channel.series
        at = np.searchsorted(starts, series.starts)
        known = series.qualities != Quality.MISSING
        values[at] += np.where(known, series.values, 0) * 10 ** (decimals - series.decimals)
        having[at] += known
        doubt[at] = np.maximum(doubt[at], _DOUBT[series.qualities])
    lacking = starts[(having > 0) & (having < len(channels))].tolist()
    qualities = np.where(having > 0, _BY_DOUBT[doubt], Quality.MISSING).astype(np.uint8)
    return IntervalSeries(starts, values, qualities, lengths.pop(), decimals), lacking


# How much each quality is to be doubted, least first; MISSING does not count.
_BY_DOUBT = np.array(
    [Quality.ACTUAL, Quality.ACTUAL, Quality.SUBSTITUTED, Quality.ESTIMATED, Quality.SUSPECT], dtype=np.uint8
)
_DOUBT = np.array([0, 1, 3, 2, 4], dtype=np.uint8)  # by Quality


def _bills(
    point: str,
    series: Mapping[str, IntervalSeries],
    lacking: Sequence[int],
    versions: Sequence[tariffs.Tariff],
    clock: tzinfo,
    told: Told,
) -> Iterator[Bill]:
    """The bills of a point, each in as many parts as versions price it; counters go on from one to the next."""
    history = tariffs.NO_HISTORY
    for bill in _periods(series, clock, told.bill):
        for tariff, period in _parts(versions, bill, clock):
            facts = {name: text for name, text in told.facts.items() if name in tariff.facts}
            state = tariffs.open_state(
                tariff=tariff, period=period, zone=clock, bill=bill, facts=facts, history=history
            )
            priced = {name: one for name, one in series.items() if name in tariff.channels}
            state = tariffs.advance(tariff=tariff, state=state, series=priced, signals=told.signals)
            rating: tariffs.Rating | tariffs.ExactRating
            if told.exact:
                rating = tariffs.settle(tariff=tariff, state=state, exact=True)
            else:
                rating = tariffs.settle(tariff=tariff, state=state)
            explanation = None
            if told.explain:
                explanation = tariffs.explain(
                    tariff=tariff,
                    series={name: one.within(period) for name, one in priced.items()},
                    period=period,
                    zone=clock,
                    bill=bill,
                    facts=facts,
                    history=history,
                    signals=told.signals,
                    exact=told.exact,
                )
            history = tariffs.history_after(tariff=tariff, state=state, exact=told.exact)
            first, last = epoch(period.start), epoch(period.end)
            partial = sum(first <= start < last for start in lacking)
            yield Bill(point=point, whole=bill, tariff=tariff, rating=rating, partial=partial, explanation=explanation)


def _periods(series: Mapping[str, IntervalSeries], clock: tzinfo, asked: tuple[date, date] | None) -> Iterator[Period]:
    """The one bill that was asked for, or each local calendar month that the readings touch, clipped to them."""
    if asked is not None:
        first, last = (datetime(day.year, day.month, day.day, tzinfo=clock) for day in asked)
        yield Period(first.astimezone(UTC), last.astimezone(UTC))
        return
    spans = [one.period for one in series.values() if one.period is not None]
    span = Period(min(one.start for one in spans), max(one.end for one in spans))
    for month in local_months(span, zone=clock):
        period = month.intersection(span)
        if period is not None:
            yield period


def _parts(versions: Sequence[tariffs.Tariff], bill: Period, clock: tzinfo) -> Iterator[tuple[tariffs.Tariff, Period]]:
    """The parts of a bill that each version prices, in order; days that none does fall to the last, which refuses."""
    cuts = {bill.start, bill.end}
    for day in (day for one in versions for day in (one.valid_from, one.valid_to) if day is not None):
        cut = datetime(day.year, day.month, day.day, tzinfo=clock).astimezone(UTC)
        if bill.start < cut < bill.end:
            cuts.add(cut)
    if len(versions) == 1:
        cuts = {bill.start, bill.end}
    for start, end in pairwise(sorted(cuts)):
        day = start.astimezone(clock).date()
        in_force = [
            one
            for one in versions
            if (one.valid_from is None or one.valid_from <= day) and (one.valid_to is None or day < one.valid_to)
        ]
        yield (in_force or versions)[-1], Period(start, end)


def _not_rated(file: ReadingsFile, rated_channels: Sequence[Channel]) -> list[tuple[str, str]]:
    """What of the file has no part in a bill, and why."""
    left = [(c.name, _why_not(c)) for c in file.channels if not any(c is used for used in rated_channels)]
    for refused in file.refused:
        where = f" from line {refused.line}" if refused.line is not None else ""
        left.append((f"{refused.count:,} {refused.what}{where}", refused.cause))
    return left


def _what(channel: Channel) -> str:
    return " ".join(part for part in (channel.direction.value, channel.commodity.value) if part != "unknown")


def _why_not(channel: Channel) -> str:
    if not len(channel.series):
        return "it has no readings"
    if channel.commodity.value != "active energy":
        return f"{channel.commodity.value} has no price in this tariff"
    if channel.direction.value == "export":
        return "energy given back has no price in this tariff"
    if channel.unit != _KWH:
        return f"it counts {channel.unit}, not kWh"
    return "the point has a channel of its own for energy taken"
