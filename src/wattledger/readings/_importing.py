"""From a file of readings to batches for the store, and back: every reading of a file is accounted for.

A batch's id is made of its content, so the same readings again are the same batch: a file that is imported twice, or
whose import was broken off, changes nothing that is there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wattledger.kernel import IntervalSeries, Period, Problem, Quality
from wattledger.readings._batches import EXPORT, IMPORT, LENGTHS, IntervalBatch, PointIntervals, content_hash
from wattledger.readings._history import series_of_points
from wattledger.readings.formats import Channel, Commodity, Direction, ReadingsFile, RegisterRead
from wattledger.store import Transaction

_TOGETHER = 100_000  # readings a batch
_WH_DECIMALS = 3
_INT32_MAX = 2**31 - 1
_SOURCE = "file"


class PointNotNamed(Problem):
    """A file does not say of which service point its readings are, and nobody else did."""

    slug = "point-not-named"
    title = "It is not known whose readings these are"
    status = 422


class NothingToExport(Problem):
    """There are no readings of what was asked for."""

    slug = "nothing-to-export"
    title = "There is nothing to export"
    status = 404


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRules:
    """How the names and numbers of a file become the store's.

    ``points``    service points by the file's ``point/register``, ``point`` or ``register``; ``""`` stands for any
    ``channels``  the store's channels by the file's register, for what is not plain import or export
    ``carry``     values finer than a watt-hour are cut so that their running sum never is: what is cut off one interval
                  comes in a later one. Without it they are refused
    """

    points: Mapping[str, str] = field(default_factory=dict)
    channels: Mapping[str, str] = field(default_factory=dict)
    carry: bool = False


@dataclass(frozen=True, slots=True)
class NotTaken:
    """Readings of a file that are not stored: what they are, why, and how many."""

    what: str
    cause: str
    line: int | None
    count: int


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What a file brings: ``taken + duplicate + missing`` and the refused are the readings of the file.

    ``taken``      readings in ``intervals``
    ``duplicate``  those that stand in the file more than once
    ``missing``    those of which the file itself says that there is no value: they take nothing away from the store
    """

    path: Path
    readings: int
    intervals: Sequence[PointIntervals]
    duplicate: int
    missing: int
    refused: Sequence[NotTaken]

    @property
    def taken(self) -> int:
        """Readings to be stored."""
        return sum(len(one.series) for one in self.intervals)

    @property
    def points(self) -> list[str]:
        """The service points it names."""
        return sorted({one.service_point_id for one in self.intervals})

    def batches(self) -> Iterator[IntervalBatch]:
        """What is to be ingested, piece by piece; the same pieces at every call."""
        held: list[PointIntervals] = []
        count = 0
        for one in self.intervals:
            for at in range(0, len(one.series), _TOGETHER):
                piece = one.series.picked(slice(at, at + _TOGETHER))
                if held and (count + len(piece) > _TOGETHER or _has(held, one)):
                    yield _batch(held)
                    held, count = [], 0
                held.append(PointIntervals(one.service_point_id, one.channel, piece))
                count += len(piece)
        if held:
            yield _batch(held)


def _has(held: Sequence[PointIntervals], other: PointIntervals) -> bool:
    return any((one.service_point_id, one.channel) == (other.service_point_id, other.channel) for one in held)


def _batch(points: Sequence[PointIntervals]) -> IntervalBatch:
    unnamed = IntervalBatch(id="", source=_SOURCE, points=tuple(points))
    return IntervalBatch(id=f"{_SOURCE}:{content_hash(unnamed)}", source=_SOURCE, points=unnamed.points)


def plan_import(file: ReadingsFile, *, rules: ImportRules) -> ImportPlan:
    """What of a file can be stored, under which names, and what not. Pure.

    Raises :class:`PointNotNamed` when neither the file nor the rules name a service point.
    """
    refused = [NotTaken(one.what, one.cause, one.line, one.count) for one in file.refused]
    if file.registers:
        refused += _registers(file.registers)
    taken: dict[tuple[str, str], tuple[Channel, IntervalSeries]] = {}
    duplicate, missing = file.registers_again, 0
    for channel in file.channels:
        duplicate += channel.duplicates
        made, cause = _stored_as(channel, rules)
        if cause is not None:
            refused.append(NotTaken(channel.name, cause, None, len(channel.series)))
            continue
        key = (_point(file, channel, rules), made)
        if key in taken:
            other = taken[key][0].name
            cause = f"{other} is taken as {made} of {key[0]} already; give it a channel of its own with --channel"
            refused.append(NotTaken(channel.name, cause, None, len(channel.series)))
            continue
        series, lacking, faults = _in_watt_hours(channel, rules)
        missing += lacking
        refused += faults
        taken[key] = channel, series
    intervals = [
        PointIntervals(point, channel, series) for (point, channel), (_, series) in sorted(taken.items()) if len(series)
    ]
    plan = ImportPlan(file.path, file.readings, intervals, duplicate, missing, refused)
    accounted = plan.taken + duplicate + missing + sum(one.count for one in refused)
    if accounted != file.readings:
        raise AssertionError(f"{file.path}: {file.readings} readings in the file, {accounted} accounted for")
    return plan


def _registers(reads: Sequence[RegisterRead]) -> list[NotTaken]:
    counts: dict[str, int] = defaultdict(int)
    for read in reads:
        counts[f"{read.point} {read.register}".strip() or "a register"] += 1
    cause = "the reads of a register that only grows; intervals are stored, and none are made of these unasked"
    return [NotTaken(name, cause, None, count) for name, count in sorted(counts.items())]


def _point(file: ReadingsFile, channel: Channel, rules: ImportRules) -> str:
    for name in (f"{channel.point}/{channel.register}", channel.point, channel.register, ""):
        if name in rules.points:
            return rules.points[name]
    if not channel.point:
        raise PointNotNamed(
            f"{file.path} does not say of which service point its readings are",
            remedy="name it with --point SERVICE_POINT",
        )
    return channel.point


def _stored_as(channel: Channel, rules: ImportRules) -> tuple[str, str | None]:
    """The store's channel, and why there is none if there is not."""
    plain = EXPORT if channel.direction is Direction.EXPORT else IMPORT
    named = rules.channels.get(channel.register)
    cause = None
    if channel.series.seconds not in LENGTHS:
        cause = f"intervals of {channel.series.seconds} seconds; 1, 5, 10, 15, 30 and 60 minutes are stored"
    elif channel.unit.lower() not in {"kwh", "kvarh"}:
        cause = f"{channel.commodity.value} in {channel.unit}; energy is stored"
    elif named is None and channel.commodity is not Commodity.ACTIVE_ENERGY:
        cause = f"{channel.commodity.value}; name a channel for it with --channel {channel.register}=NAME"
    elif named is None and channel.direction is Direction.NET:
        cause = "import less export in one; the store keeps them apart"
    return named or plain, cause


def _in_watt_hours(channel: Channel, rules: ImportRules) -> tuple[IntervalSeries, int, list[NotTaken]]:
    """The channel's readings as the store takes them, how many have no value, and those that cannot be taken."""
    series = channel.series
    known = series.qualities != Quality.MISSING
    faults: list[NotTaken] = []
    keep = known.copy()

    def refuse(which: NDArray[np.bool_], cause: str) -> None:
        count = int((keep & which).sum())
        if count:
            faults.append(NotTaken(channel.name, cause, None, count))
            keep[which] = False

    refuse(series.starts % series.seconds != 0, f"a start that is off the {series.seconds}-second grid of UTC")
    refuse(series.values < 0, "an interval of less than no energy")
    values = series.values
    if series.decimals > _WH_DECIMALS:
        unit = 10 ** (series.decimals - _WH_DECIMALS)
        if rules.carry:
            whole = np.cumsum(np.where(keep, values, 0)) // unit
            values = np.diff(whole, prepend=0)
        else:
            finer = "finer than a watt-hour, which is what is stored; --carry cuts it so that the sum is right"
            refuse(values % unit != 0, finer)
            values = values // unit
    else:
        values = values * 10 ** (_WH_DECIMALS - series.decimals)
    refuse(values > _INT32_MAX, "more than 2,147,483,647 Wh in one interval")
    stored = IntervalSeries(series.starts[keep], values[keep], series.qualities[keep], series.seconds)
    return stored, int((~known).sum()), faults


def exported_channels(
    tx: Transaction,
    *,
    service_point_ids: Sequence[str],
    period: Period,
    channels: Sequence[str],
    as_of: datetime | None = None,
) -> list[Channel]:
    """What is stored of these points, as channels of a file; raises :class:`NothingToExport`."""
    found: list[Channel] = []
    for channel in channels:
        known = series_of_points(tx, service_point_ids=service_point_ids, period=period, channel=channel, as_of=as_of)
        found += [
            Channel(
                point=point,
                register=_REGISTERS.get(channel, channel),
                direction=Direction.EXPORT if channel == EXPORT else Direction.IMPORT,
                commodity=Commodity.ACTIVE_ENERGY,
                unit="kWh",
                series=series,
            )
            for point, series in sorted(known.items())
        ]
    if not found:
        raise NothingToExport(
            f"nothing is stored of {', '.join(channels)} in that time for what was asked",
            remedy="`wattledger readings stats` tells what there is",
        )
    return sorted(found, key=lambda one: (one.point, one.register))


_REGISTERS = {IMPORT: "E1", EXPORT: "B1"}
"""As the Australian market names them, which other formats do not mind."""
