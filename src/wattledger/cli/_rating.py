"""A file of readings and a tariff into bills: which channels, which months, whose clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from decimal import Decimal, localcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wattledger import tariffs
from wattledger.kernel import IntervalSeries, Money, Problem, Quality, epoch, local_months, zone_named

if TYPE_CHECKING:
    from wattledger.readings import Channel, ReadingsFile

_EXACT_DIGITS = 200  # more than any sum of unrounded amounts has
_KWH = "kWh"


class NothingToRate(Problem):
    """A file of readings has no channel that this tariff can price."""

    slug = "nothing-to-rate"
    title = "There is nothing to rate"
    status = 422


class ClockUnknown(Problem):
    """Neither the tariff nor the readings say in which local time the prices change."""

    slug = "clock-unknown"
    title = "The tariff's time zone is not known"
    status = 422


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """One local calendar month of a point, clipped to its readings. ``partial``: intervals that some register lacks."""

    point: str
    rating: tariffs.Rating | tariffs.ExactRating
    partial: int

    @property
    def missing(self) -> int:
        """Intervals without a value, or without one of their registers'."""
        return self.rating.missing + self.partial


@dataclass(frozen=True, slots=True, kw_only=True)
class Rated:
    """Everything that was rated, and what was not."""

    tariff: tariffs.Tariff
    zone: tzinfo
    exact: bool
    bills: Sequence[Bill]
    series: dict[str, IntervalSeries]
    not_rated: Sequence[tuple[str, str]]
    assumptions: Sequence[str]

    @property
    def total(self) -> Money | Decimal:
        """The sum of all bills: exact ones unrounded."""
        totals = [bill.rating.total for bill in self.bills]
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


def rated(*, path: Path, tariff: tariffs.Tariff, zone: tzinfo | None, exact: bool) -> Rated:
    """The bills of a file's points. Raises the problems of the file, the tariff and their meeting."""
    file, assumptions = _read(path, tariff, zone)
    assumptions = [*file.assumptions, *assumptions, *tariff.remarks]
    channels = [channel for channel in file.consumption if channel.unit == _KWH and len(channel.series)]
    if not channels:
        found = ", ".join(f"{c.name} ({_what(c)})" for c in file.channels) or "none"
        raise NothingToRate(f"{path}: no channel has energy taken from the network; found: {found}")
    clock, told = _clock(tariff, zone, channels)
    assumptions += told
    points = dict.fromkeys(channel.point for channel in channels)
    bills: list[Bill] = []
    series_of: dict[str, IntervalSeries] = {}
    for point in points:
        own = [channel for channel in channels if channel.point == point]
        series, lacking = _summed(own)
        if len(own) > 1:
            registers = ", ".join(channel.register for channel in own)
            assumptions.append(f"{point or 'The point'}: the registers {registers} are taken together.")
        series_of[point] = series
        try:
            bills.extend(_bills(point, series, lacking, tariff, clock, exact=exact))
        except tariffs.NegativeEnergy as problem:
            raise tariffs.NegativeEnergy(f"{path}: {own[0].name}: {problem.detail}", remedy=problem.remedy) from problem
    crossing = sum(bill.rating.crossing for bill in bills)
    if crossing:
        assumptions.append(
            f"{crossing:,} intervals run across a change of price; each is priced at what holds when it starts."
        )
    return Rated(
        tariff=tariff,
        zone=clock,
        exact=exact,
        bills=bills,
        series=series_of,
        not_rated=_not_rated(file, channels),
        assumptions=tuple(dict.fromkeys(assumptions)),
    )


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
    series: IntervalSeries,
    lacking: Sequence[int],
    tariff: tariffs.Tariff,
    clock: tzinfo,
    *,
    exact: bool,
) -> Iterator[Bill]:
    """A bill for each local calendar month that the readings touch, clipped to them."""
    span = series.period
    for month in () if span is None else local_months(span, zone=clock):
        period = month.intersection(span) if span is not None else None
        if period is None:
            continue
        part = series.within(period)
        rating: tariffs.Rating | tariffs.ExactRating
        if exact:
            rating = tariffs.rate(tariff=tariff, series=part, period=period, zone=clock, exact=True)
        else:
            rating = tariffs.rate(tariff=tariff, series=part, period=period, zone=clock)
        first, last = epoch(period.start), epoch(period.end)
        yield Bill(point=point, rating=rating, partial=sum(first <= start < last for start in lacking))


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
        return "energy given back has no price (clause not supported yet: export)"
    if channel.unit != _KWH:
        return f"it counts {channel.unit}, not kWh"
    return "the point has a channel of its own for energy taken"
