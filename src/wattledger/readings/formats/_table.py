"""Our own table of readings: one row per reading, every column named, nothing to guess.

``point,register,direction,commodity,unit,meter_serial,start,seconds,value,quality``: ``start`` is the interval's start
in UTC (``2026-03-01T00:00:00Z``), ``seconds`` its length, ``value`` a decimal with a point (empty where no value is
known), ``quality`` one of missing, actual, estimated, substituted, suspect.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from wattledger.kernel import Quality
from wattledger.readings.formats._exact import (
    LENGTHS,
    UNITS,
    BadNumber,
    Rows,
    Unit,
    decimal_text,
    exact,
    remarks,
    settle,
)
from wattledger.readings.formats._model import Channel, Commodity, Direction, FileFormat, ReadingsFile
from wattledger.readings.formats._source import Source, shown

COLUMNS = (
    "point",
    "register",
    "direction",
    "commodity",
    "unit",
    "meter_serial",
    "start",
    "seconds",
    "value",
    "quality",
)
_HEADER = ",".join(COLUMNS)
_WORDS = {quality.name.lower(): quality for quality in Quality}


def looks_like_table(head: str) -> bool:
    """Whether a file that begins with ``head`` is one of ours."""
    return head.startswith(_HEADER) and head[len(_HEADER) : len(_HEADER) + 1] in {"\r", "\n", ""}


def instant_text(start: int) -> str:
    """Epoch seconds as a UTC time."""
    return datetime.fromtimestamp(start, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def table_rows(channels: Sequence[Channel]) -> Iterator[tuple[str, ...]]:
    """The rows under :data:`COLUMNS`, channel by channel in the order of time."""
    for channel in channels:
        series = channel.series
        shared = (channel.point, channel.register, channel.direction.value, channel.commodity.value, channel.unit)
        serial, seconds = channel.meter_serial or "", str(series.seconds)
        for start, value, grade in zip(
            series.starts.tolist(), series.values.tolist(), series.qualities.tolist(), strict=True
        ):
            quality = Quality(grade)
            text = "" if quality is Quality.MISSING else decimal_text(value, series.decimals)
            yield (*shared, serial, instant_text(start), seconds, text, quality.name.lower())


def table_text(channels: Sequence[Channel]) -> str:
    """The whole table, its header first."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(table_rows(channels))
    return out.getvalue()


@dataclass(slots=True)
class _Group:
    """The rows of one point and register, column by column."""

    facts: tuple[str, ...]
    lines: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    values: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    serials: dict[str, None] = field(default_factory=dict)


def read_table(source: Source) -> ReadingsFile:
    """The readings of one of our tables; raises :class:`ReadingsFileRefused` with line and cause."""
    lines, note = source.lines()
    reader = csv.reader((f"{line}\n" for line in lines), strict=True)
    groups: dict[tuple[str, str], _Group] = {}
    count = 0
    try:
        for number, row in enumerate(reader):
            if number and row:
                _on_row(source, groups, row, reader.line_num)
                count += 1
    except csv.Error as error:
        raise source.refuse(f"the line is not a row of a table ({error})", line=reader.line_num) from error
    if not count:
        raise source.refuse("the file holds no readings", line=1)
    said = [note] if note else []
    channels = []
    for (point, register), group in groups.items():
        channel, about = _channel(source, point, register, group)
        channels.append(channel)
        said += about
    return ReadingsFile(
        path=source.path,
        format=FileFormat.CSV,
        channels=tuple(channels),
        readings=count,
        assumptions=tuple(said),
    )


def _on_row(source: Source, groups: dict[tuple[str, str], _Group], row: list[str], line: int) -> None:
    if len(row) != len(COLUMNS):
        raise source.refuse(f"the row has {len(row)} cells and the table {len(COLUMNS)} columns", line=line)
    point, register, direction, commodity, unit, serial, start, seconds, value, word = row
    group = groups.setdefault((point, register), _Group((direction, commodity, unit, seconds)))
    if group.facts != (direction, commodity, unit, seconds):
        raise source.refuse(
            f"{point} {register} is {', '.join(group.facts)} above; here {direction}, {commodity}, {unit}, {seconds}",
            line=line,
        )
    quality = _WORDS.get(word.strip().lower())
    if quality is None:
        raise source.refuse(f"the quality {shown(word)} is none of {', '.join(_WORDS)}", line=line)
    if (quality is Quality.MISSING) != (not value.strip()):
        raise source.refuse(f"the value {shown(value)} of a reading that is {word}", line=line)
    group.starts.append(_instant(source, start, line))
    group.values.append(value.strip() or "0")
    group.words.append(word.strip().lower())
    group.lines.append(line)
    if serial:
        group.serials[serial] = None


def _instant(source: Source, text: str, line: int) -> int:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None and not moment.microsecond and 1970 <= moment.year < 2200:  # noqa: PLR2004 - a meter's
            return int(moment.timestamp())
    except (ValueError, OverflowError):
        pass
    raise source.refuse(f"the start {shown(text)} is not a time with its offset", line=line)


def _channel(source: Source, point: str, register: str, group: _Group) -> tuple[Channel, list[str]]:
    direction, commodity, unit, seconds = group.facts
    line = group.lines[0]
    name = " ".join(part for part in (point, register) if part) or "readings"
    if direction not in list(Direction):
        raise source.refuse(f"the direction {shown(direction)} is none of {', '.join(Direction)}", line=line)
    if commodity not in list(Commodity):
        raise source.refuse(f"the commodity {shown(commodity)} is none of {', '.join(Commodity)}", line=line)
    counted = UNITS.get(unit.lower()) or Unit(Commodity(commodity), unit, 0)
    if counted.commodity is not Commodity(commodity) or (unit and unit.lower() not in UNITS):
        raise source.refuse(f"the unit {shown(unit)} is not one of {commodity}", line=line)
    if seconds not in {str(length) for length in LENGTHS}:
        raise source.refuse(f"an interval length of {shown(seconds)} seconds", line=line)
    try:
        numbers = exact(group.values, exponent=counted.exponent)
    except BadNumber as bad:
        raise source.refuse(f"{name}: {bad.cause}", line=group.lines[bad.index]) from bad
    rows = Rows(
        starts=np.array(group.starts, dtype=np.int64),
        qualities=np.array([_WORDS[word] for word in group.words], dtype=np.uint8),
        lines=np.array(group.lines, dtype=np.int64),
    )
    off = np.flatnonzero((rows.starts - rows.starts[0]) % int(seconds))
    if len(off):
        raise source.refuse(
            f"{name}: the time is off the grid of {int(seconds) // 60} minutes the others are on",
            line=group.lines[int(off[0])],
        )
    if Direction(direction) is not Direction.NET and commodity.endswith("energy") and (numbers.values < 0).any():
        below = int(np.flatnonzero(numbers.values < 0)[0])
        raise source.refuse(f"{name}: the value is negative, and it is {direction}", line=group.lines[below])
    settled = settle(source, name, rows, numbers, seconds=int(seconds))
    channel = Channel(
        point=point,
        register=register,
        direction=Direction(direction),
        commodity=Commodity(commodity),
        unit=counted.name,
        series=settled.series,
        meter_serial=", ".join(group.serials) or None,
        duplicates=settled.duplicates,
        superseded=settled.superseded,
        codes=dict(Counter(group.words)),
    )
    return channel, remarks(name, settled, numbers)
