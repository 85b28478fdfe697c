"""From a file of readings to batches for the store, and back: every reading of a file is accounted for.

A batch's id is made of its content, so the same readings again are the same batch: a file that is imported twice, or
whose import was broken off, changes nothing that is there.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wattledger.kernel import IntervalSeries, Period, Problem, Quality, epoch, from_epoch
from wattledger.readings._batches import (
    EXPORT,
    IMPORT,
    LENGTHS,
    IntervalBatch,
    PointIntervals,
    PointRegister,
    content_hash,
    covered,
)
from wattledger.readings._history import series_by_length
from wattledger.readings.formats import Channel, Commodity, Direction, ReadingsFile, RegisterRead
from wattledger.store import Transaction

_TOGETHER = 100_000  # readings a batch
_WH_DECIMALS = 3
_INT32_MAX = 2**31 - 1
_OF_A_RATE = re.compile(r"\.8\.[1-9]")
_SOURCE = "file"
_REACTIVE = "reactive"
_OWN = "channel:"
"""What the register of an exported channel with a name of its own begins with, to come back as that channel."""


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

    ``taken``      readings in ``intervals`` and ``registers``
    ``duplicate``  those that stand in the file more than once
    ``missing``    those of which the file itself says that there is no value: they take nothing away from the store
    ``assumptions``  whole sentences: what was concluded of the file
    """

    path: Path
    readings: int
    intervals: Sequence[PointIntervals]
    registers: Sequence[PointRegister]
    duplicate: int
    missing: int
    refused: Sequence[NotTaken]
    assumptions: Sequence[str] = ()

    @property
    def taken(self) -> int:
        """Readings to be stored."""
        return sum(len(one.series) for one in self.intervals) + sum(len(one.at) for one in self.registers)

    @property
    def points(self) -> list[str]:
        """The service points it names."""
        named = {one.service_point_id for one in self.intervals}
        return sorted(named | {one.service_point_id for one in self.registers})

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
        for one_of_meter in self.registers:  # one register a batch: a point may have had several meters
            for first in range(0, len(one_of_meter.at), _TOGETHER):
                some = slice(first, first + _TOGETHER)
                yield _batch((), [replace(one_of_meter, at=one_of_meter.at[some], wh=one_of_meter.wh[some])])


def _has(held: Sequence[PointIntervals], other: PointIntervals) -> bool:
    return any((one.service_point_id, one.channel) == (other.service_point_id, other.channel) for one in held)


def _batch(points: Sequence[PointIntervals], registers: Sequence[PointRegister] = ()) -> IntervalBatch:
    unnamed = IntervalBatch(id="", source=_SOURCE, points=tuple(points), registers=tuple(registers))
    return replace(unnamed, id=f"{_SOURCE}:{content_hash(unnamed)}")


def plan_import(file: ReadingsFile, *, rules: ImportRules) -> ImportPlan:
    """What of a file can be stored, under which names, and what not. Pure.

    Raises :class:`PointNotNamed` when neither the file nor the rules name a service point.
    """
    refused = [NotTaken(one.what, one.cause, one.line, one.count) for one in file.refused]
    registers, not_taken = _registers(file, rules)
    refused += not_taken
    taken: dict[tuple[str, str], list[tuple[Channel, IntervalSeries]]] = defaultdict(list)
    duplicate, missing = file.registers_again, 0
    for channel in file.channels:
        duplicate += channel.duplicates
        made, cause = _stored_as(channel, rules)
        if cause is not None:
            refused.append(NotTaken(channel.name, cause, None, len(channel.series)))
            continue
        key = (_point(file, channel, rules), made)
        series, lacking, faults = _in_watt_hours(channel, rules)
        beside = next((one for one, held in taken[key] if not _follow(one, held, channel, series)), None)
        if beside is not None:
            cause = f"{beside.name} is taken as {made} of {key[0]} already; give it a channel of its own with --channel"
            refused.append(NotTaken(channel.name, cause, None, len(channel.series)))
            continue
        missing += lacking
        refused += faults
        taken[key].append((channel, series))
    intervals = [
        PointIntervals(point, channel, series)
        for (point, channel), of in sorted(taken.items())
        for _, series in of
        if len(series)
    ]
    plan = ImportPlan(file.path, file.readings, intervals, registers, duplicate, missing, refused, file.assumptions)
    accounted = plan.taken + duplicate + missing + sum(one.count for one in refused)
    if accounted != file.readings:
        raise AssertionError(f"{file.path}: {file.readings} readings in the file, {accounted} accounted for")
    return plan


def _follow(one: Channel, held: IntervalSeries, other: Channel, series: IntervalSeries) -> bool:
    """Whether two channels of a file are one, whose interval length changed: no time stands in both."""
    if _register(one) != _register(other) or one.direction is not other.direction or held.seconds == series.seconds:
        return False
    return not covered(series.starts, series.seconds, others=held.starts, other_seconds=held.seconds).any()


def _register(channel: Channel) -> str:
    """The channel's register, without the length that sets it apart from its other lengths."""
    return channel.register.removesuffix(_length_said(channel.series.seconds))


def _length_said(seconds: int) -> str:
    return f" ({seconds // 60} min)"


def _registers(file: ReadingsFile, rules: ImportRules) -> tuple[list[PointRegister], list[NotTaken]]:
    """The reads of registers that say what a channel counted in all, and why the others are not taken."""
    counts: dict[tuple[str, str], int] = defaultdict(int)
    taken: dict[tuple[str, str], tuple[str, Direction, Commodity]] = {}
    kept: dict[tuple[str, str, str, int], dict[int, int]] = defaultdict(dict)
    for read in file.registers:
        name = f"{read.point} {read.register}".strip() or "a register"
        channel, cause = _register_stored_as(read, rules)
        if cause is None:
            key = _point(file, read, rules), channel
            # Two meters may name their registers alike: both at one point would be one register that jumps.
            whose = name, read.direction, read.commodity
            if taken.setdefault(key, whose) != whose:
                cause = f"register {taken[key][0]} is taken as {channel} of {key[0]} already"
            else:
                exponent = int(read.value.as_tuple().exponent) + _WH_DECIMALS
                step = 10 ** max(exponent, 0)
                kept[*key, read.meter_serial or "", step][epoch(read.at)] = int(read.value.scaleb(_WH_DECIMALS))
                continue
        counts[name, cause] += 1
    found = [
        PointRegister(
            point,
            channel,
            np.array(sorted(of), dtype=np.int64),
            np.array([of[at] for at in sorted(of)], dtype=np.int64),
            meter,
            step,
        )
        for (point, channel, meter, step), of in sorted(kept.items())
    ]
    return found, [NotTaken(name, cause, None, count) for (name, cause), count in sorted(counts.items())]


def _register_stored_as(read: RegisterRead, rules: ImportRules) -> tuple[str, str | None]:
    """The store's channel of which a register counts everything, and why there is none if there is not."""
    plain = EXPORT if read.direction is Direction.EXPORT else IMPORT
    named = _named(read.register, rules)
    cause = None
    if read.unit.lower() not in {"kwh", "kvarh"}:
        cause = f"a register of {read.commodity.value} in {read.unit}; energy is stored"
    elif read.quality not in {Quality.ACTUAL, Quality.SUBSTITUTED}:
        cause = f"a register read that is {read.quality.name.lower()}; it would prove nothing"
    elif read.value < 0 or read.at.microsecond:
        cause = "a register below nothing, or read within a second"
    elif read.quantity is not None and read.previous is not None and read.quantity != read.value - read.previous:
        cause = "a register that counts in units of its own: what was used is not the difference of its reads"
    elif named is None and read.commodity is not Commodity.ACTIVE_ENERGY:
        cause = f"a register of {read.commodity.value}; name a channel for it with --channel {read.register}=NAME"
    elif named is None and _OF_A_RATE.search(read.register):
        cause = (
            "the register of one rate, a part of what was used; the total register x.8.0 is stored. To keep it apart, "
            f"name a channel for it with --channel {read.register}=NAME"
        )
    return named or plain, cause


def _point(file: ReadingsFile, channel: Channel | RegisterRead, rules: ImportRules) -> str:
    register = _register(channel) if isinstance(channel, Channel) else channel.register
    registers = (channel.register, register)
    for name in (*(f"{channel.point}/{one}" for one in registers), channel.point, *registers, ""):
        if name in rules.points:
            return rules.points[name]
    if not channel.point:
        raise PointNotNamed(
            f"{file.path} does not say of which service point its readings are",
            remedy="name it with --point SERVICE_POINT",
        )
    return channel.point


def _named(register: str, rules: ImportRules) -> str | None:
    """The store's channel that the rules, or an export of ours, name for a register of a file."""
    own = register.removeprefix(_OWN) if register.startswith(_OWN) else ""
    return rules.channels.get(register) or own or None


def _stored_as(channel: Channel, rules: ImportRules) -> tuple[str, str | None]:
    """The store's channel, and why there is none if there is not."""
    plain = EXPORT if channel.direction is Direction.EXPORT else IMPORT
    named = _named(channel.register, rules) or _named(_register(channel), rules)
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
        found = np.flatnonzero(keep & which)
        if len(found):
            first = from_epoch(int(series.starts[found[0]]))
            faults.append(
                NotTaken(channel.name, f"{cause}; the first at {first:%Y-%m-%d %H:%M:%S} UTC", None, len(found))
            )
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
        known = series_by_length(tx, service_point_ids=service_point_ids, period=period, channel=channel, as_of=as_of)
        register = _REGISTERS.get(channel, _OWN + channel)
        found += [
            Channel(
                point=point,
                register=register + (_length_said(series.seconds) if len(lengths) > 1 else ""),
                direction=Direction.EXPORT if channel == EXPORT else Direction.IMPORT,
                commodity=Commodity.REACTIVE_ENERGY if channel == _REACTIVE else Commodity.ACTIVE_ENERGY,
                unit="kvarh" if channel == _REACTIVE else "kWh",
                series=series,
            )
            for point, lengths in known.items()
            for series in lengths
        ]
    if not found:
        raise NothingToExport(
            f"nothing is stored of {', '.join(channels)} in that time for what was asked",
            remedy="`wattledger readings stats` tells what there is",
        )
    return sorted(found, key=lambda one: (one.point, _register(one), int(one.series.starts[0])))


_REGISTERS = {IMPORT: "E1", EXPORT: "B1"}
"""As the Australian market names them, which other formats do not mind."""
