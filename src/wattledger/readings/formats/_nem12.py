"""NEM12, the Australian market's file of interval readings (AEMO, Meter Data File Format Specification NEM12 & NEM13).

Records by their first field: 100 header, 200 data stream, 300 one day of it, 400 the quality of a span of that day, 500
transaction detail, 900 end. Times are market time, UTC+10 all year; an interval is named by its number in the day.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
from numpy.typing import NDArray

from wattledger.kernel import Quality
from wattledger.readings.formats._exact import (
    LENGTHS,
    UNITS,
    BadNumber,
    Rows,
    Unit,
    exact,
    is_number,
    remarks,
    settle,
)
from wattledger.readings.formats._model import Channel, Direction, FileFormat, ReadingsFile
from wattledger.readings.formats._source import Source, shown

_MARKET_TIME = timezone(timedelta(hours=10), "AEST")
_DAY_SECONDS = 86_400

# The market's words are the network's view: E is what the network exports to the customer.
_DIRECTIONS = {
    **dict.fromkeys("EDQP", Direction.IMPORT),
    **dict.fromkeys("BAKJ", Direction.EXPORT),
    **dict.fromkeys("NX", Direction.NET),
}
_QUALITIES = {
    "A": Quality.ACTUAL,
    "E": Quality.ESTIMATED,
    "S": Quality.SUBSTITUTED,
    "F": Quality.SUBSTITUTED,
    "N": Quality.MISSING,
}
_FLAG = re.compile(r"([AEFNS])[0-9]{0,2}|V")
_BEGINNING = re.compile(r"\s*\"?(?:100\"?,\s*\"?NEM1|[2-4][05]0\"?,(?:[^,\n]*,){7})", re.IGNORECASE)


def looks_like_nem(text: str) -> bool:
    """Whether ``text`` begins as a NEM file does, or would if its header were there."""
    return _BEGINNING.match(text) is not None


@dataclass(slots=True)
class _Day:
    """One 300 record; ``flags`` are set by its 400 records when its own quality method is V."""

    line: int
    start: int
    texts: list[str]
    flags: list[str]
    rank: tuple[str, str]


@dataclass(slots=True)
class _Stream:
    """What the 200 records of one NMI, suffix, unit and interval length say, and the days under them."""

    nmi: str
    suffix: str
    unit: Unit
    seconds: int
    serials: list[str] = field(default_factory=list)
    days: list[_Day] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.nmi} {self.suffix}".strip()

    @property
    def slots(self) -> int:
        return _DAY_SECONDS // self.seconds


class _Reader:
    """Reads records in order; what it has understood is in ``streams``."""

    def __init__(self) -> None:
        self.streams: dict[tuple[str, str, Unit, int], _Stream] = {}
        self.said: list[str] = []
        self._index_reads = 0
        self._odd_updates = 0
        self._seen: dict[tuple[str, str, int], tuple[_Stream, int]] = {}

    def read(self, source: Source) -> None:
        self._source = source
        self._created = ""
        self._stream: _Stream | None = None
        self._day: _Day | None = None
        self._inside = self._ended = False
        lines, note = source.lines()
        if note:
            self.said.append(note)
        for number, line in enumerate(lines, 1):
            fields = self._fields(line, number)
            if any(fields):
                self._on_record(fields, number)
        if self._inside:
            raise source.refuse(
                "the file ends without its 900 record: it is incomplete",
                line=len(lines) - (not lines[-1]),
                remedy="get the whole file again",
            )

    def _on_record(self, fields: list[str], number: int) -> None:
        kind = fields[0]
        if self._inside == (kind == "100"):
            if self._inside:
                raise self._source.refuse("a 100 record stands before the 900 record that is due", line=number)
            what = "data stands after the 900 record" if self._ended else "there is no 100 record"
            raise self._source.refuse(
                f"{what}: a NEM12 file begins with its header", line=number, remedy="get the whole file again"
            )
        if kind != "400":
            self._close_day()
        match kind:
            case "100":
                self._on_header(fields, number)
                self._inside = True
            case "200":
                self._on_stream(fields, number)
            case "300":
                self._on_day(fields, number)
            case "400":
                self._on_event(fields, number)
            case "500":
                self._on_transaction(fields, number)
            case "900":
                self._stream = None
                self._inside, self._ended = False, True
            case _:
                raise self._source.refuse(f"{shown(kind)} is not a kind of NEM12 record", line=number)

    def _fields(self, line: str, number: int) -> list[str]:
        if '"' not in line:
            return [cell.strip() for cell in line.split(",")]
        try:
            row = next(csv.reader([line], strict=True), [""])
        except csv.Error as error:
            raise self._source.refuse(f"the quotes do not match ({error})", line=number) from error
        return [cell.strip() for cell in row] or [""]

    def _on_header(self, fields: list[str], number: int) -> None:
        version = fields[1].upper() if len(fields) > 1 else ""
        if version == "NEM13":
            raise self._source.refuse(
                "this is NEM13: reads of accumulating registers, without intervals",
                line=number,
                remedy="ask the provider for NEM12",
            )
        if version != "NEM12":
            raise self._source.refuse(f"the header says {shown(version)}, not NEM12", line=number)
        created = fields[2] if len(fields) > 2 else ""  # noqa: PLR2004 - the third field
        self._created = created if created.isdecimal() else ""

    def _on_stream(self, fields: list[str], number: int) -> None:
        if len(fields) < 9:  # noqa: PLR2004 - up to and with IntervalLength
            raise self._source.refuse("the 200 record ends before its interval length", line=number)
        nmi, register, suffix, serial, uom, length = (fields[i] for i in (1, 3, 4, 6, 7, 8))
        unit = UNITS.get(uom.lower())
        if not nmi:
            raise self._source.refuse("the 200 record names no NMI", line=number)
        if unit is None:
            raise self._source.refuse(f"the unit {shown(uom)} is not one of NEM12's", line=number)
        if length not in {str(seconds // 60) for seconds in LENGTHS}:
            raise self._source.refuse(f"an interval length of {shown(length)} minutes", line=number)
        name = suffix or register
        seconds = int(length) * 60
        stream = self.streams.setdefault((nmi, name, unit, seconds), _Stream(nmi, name, unit, seconds))
        if serial and serial not in stream.serials:
            stream.serials.append(serial)
        self._stream = stream

    def _on_day(self, fields: list[str], number: int) -> None:
        stream, source = self._stream, self._source
        if stream is None:
            raise source.refuse("a 300 record stands before any 200 record", line=number)
        start = self._date(fields[1] if len(fields) > 1 else "", number)
        slots = stream.slots
        method = fields[2 + slots] if len(fields) > 2 + slots else ""
        if not _FLAG.fullmatch(method.upper()):
            given = next((i for i, cell in enumerate(fields[2:]) if cell and not is_number(cell)), len(fields) - 2)
            raise source.refuse(
                f"{stream.name}: the day has {given} values, and {stream.seconds // 60}-minute intervals make {slots}"
                if given != slots
                else f"{stream.name}: {shown(method)} is not a quality method",
                line=number,
            )
        updated = fields[5 + slots] if len(fields) > 5 + slots else ""
        if updated and not updated.isdecimal():
            self._odd_updates += 1
            updated = ""
        flag = method.upper()
        self._day = _Day(
            line=number,
            start=start,
            texts=fields[2 : 2 + slots],
            flags=[""] * slots if flag == "V" else [flag] * slots,
            rank=(updated, self._created),
        )
        other = self._seen.setdefault((stream.nmi, stream.suffix, start), (stream, number))
        if other[0] is not stream:
            raise source.refuse(
                f"{stream.name}: the day {fields[1]} stands here and in line {other[1]} with another interval length "
                "or unit",
                line=number,
            )

    def _on_event(self, fields: list[str], number: int) -> None:
        day, source = self._day, self._source
        if day is None:
            raise source.refuse("a 400 record stands before any 300 record", line=number)
        first, last, method = (fields + [""] * 4)[1:4]
        flag = method.upper()
        slots = len(day.flags)
        spelled = first.isdecimal() and last.isdecimal() and len(first) < 5 and len(last) < 5  # noqa: PLR2004 - at most 1440
        if not spelled or not 1 <= int(first) <= int(last) <= slots:
            raise source.refuse(f"intervals {shown(first)} to {shown(last)} of a day that has {slots}", line=number)
        if flag == "V" or not _FLAG.fullmatch(flag):
            raise source.refuse(f"{shown(method)} is not the quality method of a span", line=number)
        span = range(int(first) - 1, int(last))
        if any(day.flags[slot] for slot in span):
            raise source.refuse(f"intervals {first} to {last} have a quality method already", line=number)
        for slot in span:
            day.flags[slot] = flag

    def _on_transaction(self, fields: list[str], number: int) -> None:
        if self._stream is None:
            raise self._source.refuse("a 500 record stands before any 200 record", line=number)
        self._index_reads += bool(len(fields) > 4 and fields[4])  # noqa: PLR2004 - the fifth field

    def _close_day(self) -> None:
        day, stream = self._day, self._stream
        self._day = None
        if day is None or stream is None:
            return
        if "" in day.flags:
            raise self._source.refuse(
                f"{stream.name}: the quality varies (V), but no 400 record covers interval {day.flags.index('') + 1}",
                line=day.line,
            )
        for slot, text in enumerate(day.texts):
            if not text:
                if day.flags[slot][0] != "N":
                    raise self._source.refuse(f"{stream.name}: interval {slot + 1} has no value", line=day.line)
                day.texts[slot] = "0"
        stream.days.append(day)

    def _date(self, text: str, number: int) -> int:
        try:
            if len(text) == 8 and text.isascii() and text.isdecimal():  # noqa: PLR2004 - CCYYMMDD
                day = datetime.strptime(text, "%Y%m%d").replace(tzinfo=_MARKET_TIME)
                if 1970 < day.year < 2200:  # noqa: PLR2004 - the years a meter can mean
                    return int(day.astimezone(UTC).timestamp())
        except ValueError:
            pass
        raise self._source.refuse(f"{shown(text)} is not a date (CCYYMMDD)", line=number)

    def remarks(self) -> list[str]:
        said = ["Times are the Australian market's, UTC+10:00 all year.", *self.said]
        if self._index_reads:
            said.append(
                f"Index reads in 500 records, which are not intervals and were not read: {self._index_reads:,}."
            )
        if self._odd_updates:
            said.append(f"Update times that could not be understood and count as not given: {self._odd_updates:,}.")
        return said


def read_nem12(sources: Sequence[Source]) -> ReadingsFile:
    """The readings of NEM12 files delivered together, as one; of two updates of a day the later one counts."""
    reader = _Reader()
    for source in sources:
        reader.read(source)
    whole = sources[0] if len(sources) == 1 else Source(sources[0].path, b"")
    said = reader.remarks()
    channels: list[Channel] = []
    for stream in reader.streams.values():
        if stream.days:
            channel, about = _channel(whole, stream)
            channels.append(channel)
            said += about
    if not channels:
        raise whole.refuse("the file holds no readings", line=1)
    return ReadingsFile(
        path=whole.path,
        format=FileFormat.NEM12,
        channels=tuple(channels),
        readings=sum(stream.slots * len(stream.days) for stream in reader.streams.values()),
        assumptions=tuple(said),
    )


def _channel(source: Source, stream: _Stream) -> tuple[Channel, list[str]]:
    days, slots = stream.days, stream.slots
    texts = [text for day in days for text in day.texts]
    flags = [flag for day in days for flag in day.flags]
    try:
        numbers = exact(texts, exponent=stream.unit.exponent)
    except BadNumber as bad:
        day, slot = days[bad.index // slots], bad.index % slots
        raise source.refuse(f"{stream.name}: interval {slot + 1}: {bad.cause}", line=day.line) from bad
    direction = _DIRECTIONS.get(stream.suffix[:1].upper(), Direction.UNKNOWN)
    below = np.flatnonzero(numbers.values < 0)
    if len(below) and direction is not Direction.NET and stream.unit.name.endswith("h"):
        day, slot = days[below[0] // slots], int(below[0]) % slots
        raise source.refuse(f"{stream.name}: interval {slot + 1} is negative ({day.texts[slot]})", line=day.line)

    starts: NDArray[np.int64] = np.arange(slots, dtype=np.int64) * stream.seconds
    order = {rank: position for position, rank in enumerate(sorted({day.rank for day in days}))}
    qualities = {flag: _QUALITIES[flag[0]] for flag in set(flags)}
    rows = Rows(
        starts=(np.array([day.start for day in days], dtype=np.int64)[:, None] + starts).ravel(),
        qualities=np.array([qualities[flag] for flag in flags], dtype=np.uint8),
        lines=np.repeat(np.array([day.line for day in days], dtype=np.int64), slots),
        ranks=np.repeat(np.array([order[day.rank] for day in days], dtype=np.int64), slots),
    )
    settled = settle(source, stream.name, rows, numbers, seconds=stream.seconds)
    channel = Channel(
        point=stream.nmi,
        register=stream.suffix,
        direction=direction,
        commodity=stream.unit.commodity,
        unit=stream.unit.name,
        series=settled.series,
        meter_serial=", ".join(stream.serials) or None,
        zone=_MARKET_TIME,
        duplicates=settled.duplicates,
        superseded=settled.superseded,
        codes=dict(Counter(flags)),
    )
    about = remarks(stream.name, settled, numbers)
    if direction is Direction.UNKNOWN and stream.unit.name.endswith("h"):
        about.append(f"{stream.name}: its suffix does not say which way the energy flows.")
    return channel, about
