"""Tables of readings as people write them: a row per interval, or a row per day with a column per interval.

The delimiter, the columns (``_columns``), the form of the times (``_stamps``) and of the numbers are seen from the file
as a whole; what was concluded is told in ``assumptions``.
"""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta, timezone, tzinfo
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from wattledger.kernel import Quality
from wattledger.readings.formats._clock import Column, instants_of
from wattledger.readings.formats._columns import (
    MISSING,
    Layout,
    Name,
    NoLayout,
    Value,
    direction_of,
    layout_of,
)
from wattledger.readings.formats._decimals import pointed
from wattledger.readings.formats._exact import LENGTHS, UNITS, BadNumber, Rows, Unit, exact, remarks, settle
from wattledger.readings.formats._model import (
    Channel,
    Commodity,
    Direction,
    FileFormat,
    ReadingsFile,
    ReadingsFileRefused,
    Refused,
    ZoneNeeded,
)
from wattledger.readings.formats._shapes import Table, reshaped
from wattledger.readings.formats._source import Source, shown
from wattledger.readings.formats._stamps import (
    DAY,
    BadStamp,
    Stamps,
    date_part,
    full_stamps,
    looks_full,
    split_stamps,
)

_DELIMITERS = (";", "\t", "|", ",")
_SAMPLE_LINES = 240
_MOST_COLUMNS = 2000
_LONGEST_RUN = 8
_GRID = 900
_MANY = 48

_METHOD = re.compile(r"([aefsn])[0-9]{1,2}")

# Words of many lands; 220 and 67 are the true and the substitute value of MSCONS, W the German "wahrer Wert".
_QUALITIES = {
    "": Quality.ACTUAL,
    **dict.fromkeys(("a", "act", "actual", "valid", "validated", "ok", "good", "measured", "w", "220"), Quality.ACTUAL),
    **dict.fromkeys(("e", "est", "estimated", "estimate", "forecast"), Quality.ESTIMATED),
    **dict.fromkeys(("s", "sub", "substituted", "substitute", "f", "final", "edited", "67"), Quality.SUBSTITUTED),
    **dict.fromkeys(("n", "null", "missing", "na", "n/a", "no data", "none"), Quality.MISSING),
    **dict.fromkeys(("q", "suspect", "questionable", "bad", "invalid"), Quality.SUSPECT),
}
_ANSWERS = {
    **dict.fromkeys(("y", "yes", "true", "1"), Quality.ESTIMATED),
    **dict.fromkeys(("n", "no", "false", "0", ""), Quality.ACTUAL),
}
_ENERGY_OF = {
    Commodity.ACTIVE_POWER: Unit(Commodity.ACTIVE_ENERGY, "kWh", 0),
    Commodity.REACTIVE_POWER: Unit(Commodity.REACTIVE_ENERGY, "kvarh", 0),
    Commodity.APPARENT_POWER: Unit(Commodity.APPARENT_ENERGY, "kVAh", 0),
}


def read_csv(source: Source, *, zone: tzinfo | None) -> ReadingsFile:
    """The readings of a table; ``zone`` is where the clock of its times stood, if they carry no offset.

    Raises :class:`ReadingsFileRefused` and :class:`ZoneNeeded`.
    """
    lines, note = source.lines()
    delimiter = _delimiter(source, lines, zone)
    table, shape = _cut(source, lines, delimiter, zone)
    try:
        layout = layout_of(table.sample())
    except NoLayout as error:
        line = table.lines[min(error.row, len(table.lines) - 1)]
        raise source.refuse(error.cause, line=line, remedy=error.remedy) from error
    table = Table(table.rows[layout.first :], table.lines[layout.first :])
    _check_widths(source, table, layout)
    said = [*([note] if note else []), *shape, *layout.said]
    return _Reader(source, table, layout, delimiter, said).file(zone)


# --- cutting the text into a table --------------------------------------------------------------------------------


def _delimiter(source: Source, lines: list[str], zone: tzinfo | None) -> str:
    """The delimiter by which the first lines are a table of readings; if none, the one that cuts most."""
    sample = lines[:_SAMPLE_LINES]
    widest, width = ",", 1
    refused: str | None = None
    for delimiter in _DELIMITERS:
        try:
            rows = _cut(source, sample, delimiter, zone)[0].sample()
        except ReadingsFileRefused:
            # A table that is refused for its shape is one, if most of its lines are cut: then that is what is told.
            if refused is None and 2 * sum(delimiter in line for line in sample) > len(sample):
                refused = delimiter
            continue
        try:
            layout_of(rows)
        except NoLayout:
            if len(rows[-1]) > width:
                widest, width = delimiter, len(rows[-1])
        else:
            return delimiter
    return refused or widest


def _cut(source: Source, lines: Sequence[str], delimiter: str, zone: tzinfo | None) -> tuple[Table, list[str]]:
    """The table with a row per interval, and sentences of how it was made that."""
    table = Table([], [])
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        for row in reader:
            # Strings of nothing but spaces are rare: the cheap question first, for it is asked of every row.
            if any(row) and any(map(str.strip, row)):
                table.rows.append(row)
                table.lines.append(reader.line_num)
                if len(row) > _MOST_COLUMNS:
                    raise source.refuse(f"the row has {len(row):,} cells", line=reader.line_num)
    except csv.Error as error:
        raise source.refuse(f"the line is not a row of a table ({error})", line=reader.line_num) from error
    if not table.rows:
        raise source.refuse("the file is empty", line=1)
    return reshaped(source, table, zone)


def _check_widths(source: Source, table: Table, layout: Layout) -> None:
    needed, width = layout.needed, layout.width
    for row, line in zip(table.rows, table.lines, strict=True):
        if len(row) <= needed or (len(row) > width and any(map(str.strip, row[width:]))):
            raise source.refuse(
                f"the row has {len(row)} cells and the table {width} columns",
                line=line,
                remedy="a decimal comma needs another delimiter, or quotes" if len(row) > width else None,
            )


# --- reading the table --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Group:
    """The rows of one point and register: where they are, and how long their intervals."""

    point: str
    register: str
    rows: NDArray[np.int64]
    seconds: int

    @property
    def name(self) -> str:
        return " ".join(part for part in (self.point, self.register) if part)


class _Reader:
    """Reads a table by its layout."""

    def __init__(self, source: Source, table: Table, layout: Layout, delimiter: str, said: list[str]) -> None:
        self._source = source
        self._table = table
        self._layout = layout
        self._delimiter = delimiter
        self._said = said
        self._lines = np.array(table.lines, dtype=np.int64)
        self._registers = table.column(layout.register) if layout.register is not None else None
        self._grades = self._graded()
        self._zone: tzinfo | None = None

    def file(self, zone: tzinfo | None) -> ReadingsFile:
        """The whole of it."""
        stamps = self._stamps(zone)
        groups = self._groups(stamps)
        labels, shift = self._on_grid(stamps, groups)
        if not stamps.instants:
            self._look_like_ends(labels, min(group.seconds for group in groups))
        values = self._layout.values
        columns = [self._table.column(value.index) for value in values]
        missing = [np.array([text.lower() in MISSING for text in texts]) for texts in columns]
        exists = np.ones(len(labels), dtype=np.bool_)
        if not stamps.instants and zone is not None:
            column = Column(self._lines, self._group_numbers(groups), ~np.logical_and.reduce(missing))
            shortest = min(group.seconds for group in groups)
            found = instants_of(self._source, labels, column, zone=zone, length=shortest, ends=self._layout.ends)
            labels, exists = found.seconds, found.exists
            self._said += found.said
        starts = labels - shift
        groups, refused = self._electric(groups, exists)
        channels = [
            self._channel(group, value, texts, absent, starts, exists)
            for value, texts, absent in zip(values, columns, missing, strict=True)
            for group in groups
        ]
        return ReadingsFile(
            path=self._source.path,
            format=FileFormat.CSV,
            channels=tuple(channels),
            readings=len(self._table.rows) * len(values),
            refused=(*self._nowhere(exists), *refused),
            assumptions=tuple(dict.fromkeys(self._said)),
        )

    def _refuse(self, cause: str, row: int, remedy: str | None = None) -> ReadingsFileRefused:
        return self._source.refuse(cause, line=int(self._lines[row]), remedy=remedy)

    def _electric(self, groups: list[_Group], exists: NDArray[np.bool_]) -> tuple[list[_Group], list[Refused]]:
        """The groups whose unit is one of electricity, and those left out by name; refuses a file of only those."""
        if self._layout.unit is None:
            return groups, []
        cells = self._table.column(self._layout.unit)
        kept: list[_Group] = []
        refused: list[Refused] = []
        for group in groups:
            rows = group.rows[exists[group.rows]].tolist()
            row = next((row for row in rows if cells[row] and _unit_named(cells[row]) is None), None)
            if row is None:
                kept.append(group)
                continue
            cause = f"the unit {shown(cells[row])} is not one of electricity"
            if len(groups) == len(refused) + 1:
                raise self._refuse(cause, row)
            count = len(rows) * len(self._layout.values)
            refused.append(Refused(what=group.name, cause=cause, line=int(self._lines[row]), count=count))
        return kept, refused

    def _nowhere(self, exists: NDArray[np.bool_]) -> tuple[Refused, ...]:
        rows = np.flatnonzero(~exists)
        if not len(rows):
            return ()
        cause = "they have no value, and their local time does not exist: the clock skips it in spring"
        line = int(self._lines[rows[0]])
        return (Refused(what="empty readings", cause=cause, line=line, count=len(rows) * len(self._layout.values)),)

    # --- times

    def _stamps(self, zone: tzinfo | None) -> Stamps:
        layout, table = self._layout, self._table
        try:
            if layout.stamp is not None:
                texts = table.column(layout.stamp)
                stamps = full_stamps(texts)
            else:
                dates, times = table.column(layout.date or 0), table.column(layout.time or 0)
                texts = times
                if looks_full(dates[0]):
                    dates = [date_part(text) for text in dates]
                stamps = split_stamps(dates, times)
        except BadStamp as bad:
            raise self._refuse(bad.cause, bad.index, bad.remedy) from bad
        self._said += stamps.said
        if stamps.to_midnight and not layout.starts and not layout.ends:
            layout.ends = True
            self._said.append("Times that reach 24:00 and have no 00:00 were taken as the ends of the intervals.")
        if stamps.instants:
            self._zone = stamps.zone
            return stamps
        if layout.offset is not None:
            self._zone = timezone(timedelta(seconds=layout.offset))
            return Stamps(stamps.seconds - layout.offset, instants=True)
        if zone is None:
            raise ZoneNeeded(path=self._source.path, line=int(self._lines[0]), stamp=texts[0])
        return stamps

    def _groups(self, stamps: Stamps) -> list[_Group]:
        layout, table = self._layout, self._table
        count = len(table.rows)
        rows: dict[tuple[str, str], Sequence[int]] = {("", ""): range(count)}
        if layout.point is not None or self._registers:
            points = table.column(layout.point) if layout.point is not None else [""] * count
            if _are_row_numbers(points, stamps):
                self._said.append("A column that has another value in every row names no points and was not read.")
                points = [""] * count
            found: dict[tuple[str, str], list[int]] = defaultdict(list)
            for index, (point, register) in enumerate(zip(points, self._registers or [""] * count, strict=True)):
                found[point.lstrip("'"), register].append(index)
            rows = dict(found)
        groups = []
        for (point, register), indices in rows.items():
            chosen = np.array(indices, dtype=np.int64)
            groups.append(_Group(point, register, chosen, self._length(stamps.seconds[chosen], chosen)))
        lengths = sorted({group.seconds for group in groups})
        minutes = ", ".join(str(seconds // 60) for seconds in lengths)
        self._said.append(f"Intervals are {minutes} minutes long, as the distances of the times show.")
        return groups

    def _length(self, seconds: NDArray[np.int64], rows: NDArray[np.int64]) -> int:
        """The length of the intervals whose times are ``seconds``, from their distances.

        It is the shortest distance if that is no oddity (one reading in the wrong place) and the others are multiples
        of it, and else the most frequent one; what does not fit that is then refused.
        """
        distinct, firsts = np.unique(seconds, return_index=True)
        steps = np.diff(distinct)
        if not len(steps):
            if self._layout.length in LENGTHS:
                return self._layout.length
            raise self._refuse("one time alone does not tell how long an interval is", int(rows[0]))
        sizes, counts = np.unique(steps, return_counts=True)
        shortest = counts[0] >= max(2, len(steps) // 10) and not (sizes % sizes[0]).any()
        length = int(sizes[0] if shortest else sizes[np.argmax(counts)])
        line = int(rows[firsts[int(np.argmax(steps == length)) + 1]])
        if length not in LENGTHS:
            distance = f"{length // 60} minutes" if length % 60 == 0 else f"{length} seconds"
            what = "a day" if length == DAY else distance
            raise self._refuse(
                f"the times are {what} apart; intervals of 1, 5, 10, 15, 30 or 60 minutes can be read", line
            )
        for other in LENGTHS:
            if other > length:
                begin = _run_of(steps == other, _LONGEST_RUN)
                if begin is not None:
                    raise self._refuse(
                        f"from here on times are {other // 60} minutes apart, and elsewhere {length // 60}",
                        int(rows[firsts[begin]]),
                        "give the two parts as files of their own",
                    )
        return length

    def _group_numbers(self, groups: list[_Group]) -> NDArray[np.int64]:
        numbers = np.zeros(len(self._lines), dtype=np.int64)
        for number, group in enumerate(groups):
            numbers[group.rows] = number
        return numbers

    def _on_grid(self, stamps: Stamps, groups: list[_Group]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The times, and for each what lies between it and the start of its interval; refuses a time off the grid."""
        labels = stamps.seconds.copy()
        shift = np.zeros(len(labels), dtype=np.int64)
        for group in groups:
            phases = labels[group.rows] % group.seconds
            sizes, counts = np.unique(phases, return_counts=True)
            phase = int(sizes[np.argmax(counts)])
            odd = np.flatnonzero(phases != phase)
            if len(odd):
                row = int(group.rows[odd[0]])
                raise self._refuse(f"the time is off the grid of {group.seconds // 60} minutes the others are on", row)
            if self._layout.ends:
                shift[group.rows] = group.seconds
                if group.seconds - phase in {1, 60}:
                    labels[group.rows] += group.seconds - phase
                    self._said.append("The ends of the intervals are written as their last minute or second.")
                    phase = 0
            if phase % _GRID:
                row = int(group.rows[0])
                raise self._refuse(f"intervals of {group.seconds // 60} minutes begin {phase} s after a full one", row)
        return labels, shift

    def _look_like_ends(self, labels: NDArray[np.int64], length: int) -> None:
        """Says so when what counts as starts begins one interval after a midnight and ends at one."""
        layout = self._layout
        if not (layout.ends or layout.starts) and labels.min() % DAY == length and labels.max() % DAY == 0:
            self._said.append(
                f"Times were taken as the starts of the intervals, though they run from {length // 60} minutes after "
                "midnight to midnight; name the column end if they are ends."
            )

    # --- qualities

    def _graded(self) -> tuple[NDArray[np.uint8], list[str]] | None:
        """The quality of every row and its code, if a column tells it in words that are known."""
        layout = self._layout
        if layout.quality is None:
            cells = [cell.lower() for cell in self._registers] if self._registers else []
            # A column of types may hold Actual and Estimated: then it is no register.
            if not cells or not set(cells) <= _QUALITIES.keys() or not any(cells):
                return None
            self._registers = None
        else:
            cells = [cell.lower() for cell in self._table.column(layout.quality)]
        distinct = set(cells)
        if layout.asks_if_estimated and distinct <= _ANSWERS.keys():
            meant = {cell: _ANSWERS[cell] for cell in distinct}
        else:
            meant = {cell: quality for cell in distinct if (quality := _quality_named(cell)) is not None}
            unknown = sorted(distinct - meant.keys())
            if not meant.keys() - {""}:
                if unknown:
                    self._said.append(
                        f"The quality {shown(unknown[0])} is not understood; all readings count as actual."
                    )
                return None
            if unknown:
                self._said.append(f"Readings of the quality {', '.join(map(shown, unknown[:5]))} count as suspect.")
                meant |= dict.fromkeys(unknown, Quality.SUSPECT)
        return np.array([meant[cell] for cell in cells], dtype=np.uint8), cells

    # --- values

    def _channel(
        self,
        group: _Group,
        value: Value,
        texts: list[str],
        absent: NDArray[np.bool_],
        starts: NDArray[np.int64],
        exists: NDArray[np.bool_],
    ) -> Channel:
        rows = group.rows[exists[group.rows]]
        unit, exponent, ratio = self._unit(group, value)
        name = group.name or value.name or "readings"
        chosen = ["0" if absent[row] else texts[row] for row in rows.tolist()]
        try:
            plain, said = pointed(chosen, delimiter=self._delimiter)
            self._said += said
            numbers = exact(plain, exponent=exponent, ratio=ratio)
        except BadNumber as bad:
            where = f"column {shown(value.name)}: " if value.name else ""
            remedy = "write numbers with a decimal point" if "may be" in bad.cause else None
            raise self._refuse(f"{where}{bad.cause}", int(rows[bad.index]), remedy) from bad
        qualities = np.full(len(rows), Quality.ACTUAL, dtype=np.uint8)
        codes: dict[str, int] = {}
        if self._grades is not None:
            qualities = self._grades[0][rows]
            codes = dict(Counter(self._grades[1][row] for row in rows.tolist()))
        qualities[absent[rows]] = Quality.MISSING
        settled = settle(
            self._source, name, Rows(starts[rows], qualities, self._lines[rows]), numbers, seconds=group.seconds
        )
        self._said += remarks(name, settled, numbers)
        self._warn_of_running_total(name, settled.series.values[settled.series.qualities != Quality.MISSING])
        direction = self._direction(group, value, np.flatnonzero((numbers.values < 0) & ~absent[rows]), rows)
        several = len(self._layout.values) > 1 or not group.register
        return Channel(
            point=group.point,
            register=" ".join(part for part in (group.register, value.name if several else "") if part),
            direction=direction,
            commodity=unit.commodity,
            unit=unit.name,
            series=settled.series,
            meter_serial=self._serials(rows),
            zone=self._zone,
            duplicates=settled.duplicates,
            superseded=settled.superseded,
            codes=codes,
        )

    def _serials(self, rows: NDArray[np.int64]) -> str | None:
        if self._layout.serial is None:
            return None
        cells = self._table.column(self._layout.serial)
        return ", ".join(dict.fromkeys(cells[row] for row in rows.tolist() if cells[row])) or None

    def _unit(self, group: _Group, value: Value) -> tuple[Unit, int, Fraction]:
        """What the channel will count, and by which power of ten and ratio the numbers become that."""
        unit = value.unit
        if unit is None and self._layout.unit is not None:
            cells = self._table.column(self._layout.unit)
            unit = self._unit_in(cells, group)
        if unit is None:
            unit = Name.of(group.register).unit
        if unit is None:
            unit = UNITS["kwh"]
            self._said.append("Nothing says the unit of the values; they were taken as kWh.")
        energy = _ENERGY_OF.get(unit.commodity)
        if energy is None:
            return unit, unit.exponent, Fraction(1)
        self._said.append(
            f"Values are {unit.name}, a power; each was taken as the mean over its interval and made {energy.name}."
        )
        return energy, unit.exponent, Fraction(group.seconds, 3600)

    def _unit_in(self, cells: list[str], group: _Group) -> Unit | None:
        named: str | None = None
        for row in group.rows.tolist():
            text = cells[row]
            if text and named is None:
                named = text
            if text and text != named:
                raise self._refuse(f"the unit is {shown(text)} here and {shown(named or '')} before", row)
        return _unit_named(named) if named else None

    def _direction(self, group: _Group, value: Value, below: NDArray[np.intp], rows: NDArray[np.int64]) -> Direction:
        named = [direction_of(group.register), direction_of(value.name)]
        told = [one for one in named if one[0] is not Direction.UNKNOWN] or named
        direction, firm = next((one for one in told if one[1]), told[0])
        if len(below) and direction is not Direction.NET:
            row = int(rows[below[0]])
            if firm:
                raise self._refuse(
                    f"{group.name or value.name}: the value is negative, and it is {direction.value}", row
                )
            self._said.append(
                f"{group.name or value.name or 'readings'}: values below zero, the first in line "
                f"{int(self._lines[row])}, make it net energy (import less export): {len(below):,}."
            )
            return Direction.NET
        if direction is Direction.UNKNOWN:
            self._said.append("Nothing says which way the energy flows; a bill takes it as import.")
        return direction

    def _warn_of_running_total(self, name: str, known: NDArray[np.int64]) -> None:
        steps = np.diff(known)
        if len(known) >= _MANY and bool((steps >= 0).all()) and 2 * int((steps > 0).sum()) > len(steps):
            self._said.append(f"{name}: the values never fall; if they are a running total, they are not intervals.")


def _are_row_numbers(points: Sequence[str], stamps: Stamps) -> bool:
    """Whether every row has a point and a time of its own: then they number the rows."""
    count = len(points)
    return count > 2 and len(set(points)) == count == len(np.unique(stamps.seconds))  # noqa: PLR2004 - a pair may be chance


def _unit_named(cell: str) -> Unit | None:
    return UNITS.get(cell.lower()) or Name.of(cell).unit


def _quality_named(cell: str) -> Quality | None:
    if match := _METHOD.fullmatch(cell):
        cell = match[1]
    return _QUALITIES.get(cell)


def _run_of(where: NDArray[np.bool_], least: int) -> int | None:
    """Where the first run of at least ``least`` true values begins."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], where, [False])).astype(np.int8)))
    begins, ends = edges[::2], edges[1::2]
    long = np.flatnonzero(ends - begins >= least)
    return int(begins[long[0]]) if len(long) else None
