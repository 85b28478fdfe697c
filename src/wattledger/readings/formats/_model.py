"""What a file of readings becomes, and how one is refused.

Every reading in a file goes one of three ways, and the three counts add up to the file's: it is *stored* in a channel,
it is a *duplicate* of a stored one, or it is *refused* by name. A file that cannot be trusted is refused whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

import numpy as np

from wattledger.kernel import IntervalSeries, Period, Problem, Quality


class ReadingsFileRefused(Problem):
    """A file of readings cannot be read as it is; nothing of it is used.

    ``path`` is the file, ``line`` the line the trouble is on (1 is the first; ``None`` when there is none, as in a file
    that does not exist), ``cause`` what is wrong there.
    """

    slug = "readings-file-refused"
    title = "The file of readings was refused"
    status = 422

    def __init__(self, *, path: Path, cause: str, line: int | None = None, remedy: str | None = None) -> None:
        where = f"{path}, line {line}" if line is not None else f"{path}"
        super().__init__(f"{where}: {cause}", remedy=remedy, path=str(path), line=line, cause=cause)
        self.path = path
        self.line = line
        self.cause = cause


class ZoneNeeded(Problem):
    """A file's times carry no offset, and nobody said in which zone its clock stood."""

    slug = "zone-needed"
    title = "The file's time zone is not known"
    status = 422

    def __init__(self, *, path: Path, line: int, stamp: str) -> None:
        super().__init__(
            f"{path}, line {line}: the time {stamp!r} has no offset, so its instant is not known",
            remedy="say where the meter's clock stood, for example --zone Europe/London",
            path=str(path),
            line=line,
        )
        self.path = path
        self.line = line


class NotWritable(Problem):
    """A channel cannot be said in a format; nothing is written. ``cause`` is what stands against it."""

    slug = "readings-not-writable"
    title = "The readings cannot be written in that format"
    status = 422

    def __init__(self, *, path: Path, channel: str, cause: str, remedy: str = "write CSV or Parquet") -> None:
        super().__init__(f"{path}: {channel}: {cause}", remedy=remedy, path=str(path), channel=channel, cause=cause)
        self.path = path
        self.cause = cause


class FileFormat(StrEnum):
    """The kinds of file that are recognised, by content."""

    CSV = "CSV"
    NEM12 = "NEM12"
    ESPI = "Green Button (ESPI)"
    PARQUET = "Parquet"
    NEM13 = "NEM13"
    MSCONS = "MSCONS"
    DSMR = "DSMR P1"
    CIM = "IEC 61968-9"


class Direction(StrEnum):
    """Which way the energy of a channel flows, as far as the file says."""

    IMPORT = "import"
    """Taken from the network."""
    EXPORT = "export"
    """Given to the network."""
    NET = "net"
    """Import less export; values may be negative."""
    UNKNOWN = "unknown"
    """The file does not say; a bill takes it as import."""


class Commodity(StrEnum):
    """What a channel measures. Only energy is billed as energy; power is never turned into it unasked."""

    ACTIVE_ENERGY = "active energy"
    REACTIVE_ENERGY = "reactive energy"
    APPARENT_ENERGY = "apparent energy"
    ACTIVE_POWER = "active power"
    REACTIVE_POWER = "reactive power"
    APPARENT_POWER = "apparent power"
    VOLTAGE = "voltage"
    CURRENT = "current"
    POWER_FACTOR = "power factor"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Channel:
    """One register of one point, as the file has it.

    ``point``         the file's name of the point or meter (NMI, UsagePoint, a column); ``""`` when it names none
    ``register``      the file's name of the register (NEM12 suffix, ESPI title, column name)
    ``unit``          what ``series.values`` count, in units of ``10**-series.decimals``: kWh, kvarh, kVAh, kW, V ...
    ``series``        all intervals the file has, those it calls missing flagged ``MISSING`` (their value is 0)
    ``meter_serial``  as given; several, comma-separated, when the meter was exchanged within the file
    ``zone``          the local time the file itself declares for the point, if it does (not the caller's zone)
    ``duplicates``    readings of this channel that stand in the file more than once and are not in ``series`` again
    ``superseded``    those of the duplicates that had another value and gave way to a later one
    ``codes``         the file's own quality codes and how many readings (duplicates included) carried each
    """

    point: str
    register: str
    direction: Direction
    commodity: Commodity
    unit: str
    series: IntervalSeries
    meter_serial: str | None = None
    zone: tzinfo | None = None
    duplicates: int = 0
    superseded: int = 0
    codes: Mapping[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Point and register, for people."""
        return " ".join(part for part in (self.point, self.register) if part) or "readings"

    @property
    def period(self) -> Period | None:
        """From the first listed interval's start to the last one's end."""
        return self.series.period

    @property
    def expected(self) -> int:
        """How many intervals lie between the first and the last one listed, both included."""
        starts = self.series.starts
        return int((starts[-1] - starts[0]) // self.series.seconds) + 1 if len(starts) else 0

    @property
    def missing(self) -> int:
        """How many of the expected intervals have no value: flagged so by the file, or not listed."""
        return self.expected - int((self.series.qualities != Quality.MISSING).sum())

    def gaps(self) -> tuple[Period, ...]:
        """The spans without a value between the first and the last interval, in order, joined where they meet."""
        series = self.series
        known = series.starts[series.qualities != Quality.MISSING]
        if not len(series):
            return ()
        first, last = int(series.starts[0]), int(series.starts[-1]) + series.seconds
        begins = np.concatenate(([first], known + series.seconds))
        ends = np.concatenate((known, [last]))
        return tuple(
            Period.of_epochs(int(begin), int(end)) for begin, end in zip(begins, ends, strict=True) if end > begin
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterRead:
    """What a register that only grows stood at, as the file has it. It is no interval and never made one unasked.

    ``at``        when it was read
    ``value``     what it showed, in ``unit`` (exact, as written)
    ``since``     when it was read before, if the file says; ``previous`` is what it showed then
    ``quantity``  what the file says was used since then (the difference times the meter's constant)
    ``code``      the file's own quality code
    """

    point: str
    register: str
    direction: Direction
    commodity: Commodity
    unit: str
    at: datetime
    value: Decimal
    quality: Quality = Quality.ACTUAL
    since: datetime | None = None
    previous: Decimal | None = None
    quantity: Decimal | None = None
    meter_serial: str | None = None
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Readings of a file that were left out by name while the rest of it was taken."""

    what: str
    cause: str
    line: int | None
    count: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadingsFile:
    """A file of readings, understood.

    ``readings``     how many readings the file has: always ``stored + duplicates + refused_count``
    ``registers``    reads of registers that only grow, in files of those (NEM13, DSMR P1, some MSCONS and IEC 61968-9)
    ``registers_again``  such reads that repeat one of ``registers``
    ``assumptions``  whole sentences: what was guessed, rounded, reordered or left unread, for a person to check
    """

    path: Path
    format: FileFormat
    channels: tuple[Channel, ...]
    readings: int
    registers: tuple[RegisterRead, ...] = ()
    registers_again: int = 0
    refused: tuple[Refused, ...] = ()
    assumptions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        accounted = self.stored + self.duplicates + self.refused_count
        if accounted != self.readings:
            msg = f"{self.path}: {self.readings} readings in the file, {accounted} accounted for"
            raise ValueError(msg)

    @property
    def stored(self) -> int:
        """Readings that are in a channel's series or among the register reads."""
        return sum(len(channel.series) for channel in self.channels) + len(self.registers)

    @property
    def duplicates(self) -> int:
        """Readings that repeat a stored one (or gave way to it)."""
        return sum(channel.duplicates for channel in self.channels) + self.registers_again

    @property
    def refused_count(self) -> int:
        """Readings that were left out by name."""
        return sum(refused.count for refused in self.refused)

    @property
    def consumption(self) -> tuple[Channel, ...]:
        """The channels a bill for energy used is made from: active energy, import (or not said, or net).

        A net channel counts only at a point that has no import channel beside it.
        """
        active = [channel for channel in self.channels if channel.commodity is Commodity.ACTIVE_ENERGY]
        importing = {channel.point for channel in active if channel.direction is Direction.IMPORT}
        return tuple(
            channel
            for channel in active
            if channel.direction in {Direction.IMPORT, Direction.UNKNOWN}
            or (channel.direction is Direction.NET and channel.point not in importing)
        )
