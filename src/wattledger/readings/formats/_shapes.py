"""Tables of many shapes made one: a row per interval, with a date and a time of day that can be read.

A day in a row with a column per interval (by its time, or numbered: HH1 ... HH48), hours as whole numbers, a line of
totals under it all. What was concluded is said in sentences; where two readings are possible the file is refused.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from itertools import pairwise

from wattledger.readings.formats._columns import Name
from wattledger.readings.formats._numbered import Shift, shifts
from wattledger.readings.formats._source import Source, shown
from wattledger.readings.formats._stamps import date_part, looks_dated, looks_full, looks_timed

_SAMPLE_ROWS = 60
_SLOTS = (24, 48, 96)
_SPARE = {24: 1, 48: 2, 96: 4}
"""Columns beyond a day's that some tables have for the long day of autumn."""

_NUMBERED = re.compile(r"([^\W\d_]*[^0-9]{0,12}?)[ _-]?0*([0-9]{1,3})([^0-9]{0,12})")
_PLAIN = re.compile(r"[0-9]{1,2}")
_TOTALS = frozenset(
    {"total", "totals", "sum", "summe", "gesamt", "grand total", "subtotal", "totaal", "totale", "somme"}
)
_MIDNIGHTS = frozenset({"00:00", "0:00", "24:00", "00:00:00", "0000", "2400"})
_HOURS = frozenset({"hour", "hr", "he", "stunde", "heure", "hora", "uur", "ora", "hours"})
_ENDING = frozenset({"ending", "end", "he"})
_PERIODS = frozenset({"period", "settlement", "sp", "hh", "slot", "interval"})
_NOT_ONE = frozenset({"start", "date", "length", "id", "minutes", "type", "status"})


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a file that hold something, and the line each ends on."""

    rows: list[list[str]]
    lines: list[int]

    def column(self, index: int) -> list[str]:
        """The cells of a column, stripped; what a short row does not have is empty."""
        return [row[index].strip() if index < len(row) else "" for row in self.rows]

    def sample(self) -> list[list[str]]:
        """The first rows, their cells stripped: enough to see what the columns are."""
        return [[cell.strip() for cell in row] for row in self.rows[:_SAMPLE_ROWS]]


def reshaped(source: Source, table: Table, zone: tzinfo | None) -> tuple[Table, list[str]]:
    """``table`` with a row per interval, and what had to be concluded for that; raises :class:`ReadingsFileRefused`.

    ``zone`` is where the clock of its times stood, if anybody knows.
    """
    table, said = _without_totals(table)
    table, more = _unfolded(source, table, zone)
    if not more:
        table, more = _hours_told(source, table, zone)
    return table, said + more


def _without_totals(table: Table) -> tuple[Table, list[str]]:
    """The table without the lines of totals at its end."""
    kept = len(table.rows)
    while kept > 1 and _is_total(table.rows[kept - 1]):
        kept -= 1
    if kept == len(table.rows):
        return table, []
    lines = ", ".join(map(str, table.lines[kept:]))
    return Table(table.rows[:kept], table.lines[:kept]), [f"Totals at the end, which are no readings: line {lines}."]


def _is_total(row: list[str]) -> bool:
    first = next((cell.strip().rstrip(":").lower() for cell in row if cell.strip()), "")
    return first in _TOTALS


# --- a day in a row -----------------------------------------------------------------------------------------------


def _unfolded(source: Source, table: Table, zone: tzinfo | None) -> tuple[Table, list[str]]:
    """A table with a column per interval of the day as one with a row per interval; any other as it is."""
    for header, row in enumerate(table.sample()):
        if sum(looks_timed(name) and not _PLAIN.fullmatch(name) for name in row) >= _SLOTS[0]:
            return _by_times(source, table, header)
        if len(row) > _SLOTS[0] and (slots := _numbered(row)):
            return _by_numbers(source, table, header, slots, zone)
    return table, []


def _by_times(source: Source, table: Table, header: int) -> tuple[Table, list[str]]:
    names = [name.strip() for name in table.rows[header]]
    slots = [index for index, name in enumerate(names) if looks_timed(name)]
    labels = [names[index] for index in slots]
    # 00:30 to 00:00: the labels are the ends of the intervals, and the last one is the midnight after.
    ends = labels[-1].partition("-")[0].strip() in _MIDNIGHTS
    if ends:
        labels[-1] = "24:00"
    made = _rows(
        source, table, header, dict(zip(slots, labels, strict=True)), ("end time" if ends else "time", "value")
    )
    what = "ends" if ends else "starts"
    return made, [f"Every row is a day with {len(slots)} columns, named by the {what} of the intervals."]


def _numbered(row: Sequence[str]) -> dict[int, int] | None:
    """The columns numbered from 1 (or 0) through a day by one name, and their numbers, if there are such."""
    families: dict[tuple[str, str], dict[int, int]] = {}
    for index, name in enumerate(row):
        if match := _NUMBERED.fullmatch(name):
            families.setdefault((match[1].strip().lower(), match[3].strip().lower()), {})[int(match[2])] = index
    for found in families.values():
        first = min(found)
        count = len(found)
        if first in {0, 1} and max(found) - first == count - 1:
            day = next((slots for slots in _SLOTS if slots <= count <= slots + _SPARE[slots]), None)
            if day:
                return {index: number - first for number, index in sorted(found.items())}
    return None


def _by_numbers(
    source: Source, table: Table, header: int, slots: dict[int, int], zone: tzinfo | None
) -> tuple[Table, list[str]]:
    day = max(count for count in _SLOTS if count <= len(slots))
    minutes = 1440 // day
    first = next(iter(slots))
    unit = Name.of(table.rows[header][first]).unit
    spare = [index for index, number in slots.items() if number >= day]
    dates = _dates(table, header, lambda index: index not in slots)
    counts: dict[str, int] = {}
    for row, text in zip(table.rows[header + 1 :], dates, strict=True):
        count = max((slots[i] + 1 for i in slots if i < len(row) and row[i].strip()), default=day)
        counts[text] = max(count, counts.get(text, 0))
    changed = shifts(counts, usual=day, zone=zone)
    odd: dict[int, dict[int, str]] = {}
    for place, (row, line, text) in enumerate(
        zip(table.rows[header + 1 :], table.lines[header + 1 :], dates, strict=True)
    ):
        if text in changed:
            there = day - changed[text].by // (60 * minutes)
            odd[place] = {
                i: changed[text].label(number * minutes * 60) for i, number in slots.items() if number < there
            }
            continue
        for index in spare:
            if index < len(row) and row[index].strip() and slots[index] >= day:
                raise source.refuse(
                    f"the day has more than {day} values, and nothing says at which hour they were read",
                    line=line,
                    remedy="give every reading's own time, with its offset from UTC, or say where the clock stood, "
                    "for example --zone Europe/London",
                )
    labels = {index: _clock(number * minutes) for index, number in slots.items() if number < day}
    made = _rows(source, table, header, labels, ("time", unit.name if unit else "value"), frozenset(spare), odd)
    names = table.rows[header]
    what = f"{names[first].strip()} being the interval of {minutes} minutes that begins at midnight"
    return made, [f"Every row is a day with {day} columns, {what}.", *_said(changed, counts)]


def _dates(table: Table, header: int, may_be: Callable[[int], bool]) -> list[str]:
    """What stands in the column of dates, row by row below the header; nothing where there is none."""
    row = table.sample()[header + 1] if len(table.rows) > header + 1 else []
    column = next((i for i, cell in enumerate(row) if may_be(i) and (looks_dated(cell) or _is_midnight(cell))), None)
    cells = [] if column is None else table.column(column)[header + 1 :]
    cut = column is not None and _is_midnight(row[column])
    return [date_part(cell) if cut else cell for cell in cells] or [""] * (len(table.rows) - header - 1)


def _said(changed: Mapping[str, Shift], counts: Mapping[str, int]) -> list[str]:
    return [
        f"Clocks are changed on {text}, which has {counts[text]} intervals: they are counted from its midnight."
        for text in changed
    ]


def _rows(
    source: Source,
    table: Table,
    header: int,
    labels: dict[int, str],
    called: tuple[str, str],
    left: frozenset[int] = frozenset(),
    odd: Mapping[int, dict[int, str]] | None = None,
) -> Table:
    """``labels`` are the columns of intervals and their times; ``odd`` those of rows that have others."""
    names = [name.strip() for name in table.rows[header]]
    others = [index for index in range(len(names)) if index not in labels and index not in left]
    rows = [[*(names[index] for index in others), *called]]
    lines = [table.lines[header]]
    for place, (row, line) in enumerate(zip(table.rows[header + 1 :], table.lines[header + 1 :], strict=True)):
        if any(map(str.strip, row[len(names) :])):
            raise source.refuse(f"the row has {len(row)} cells and the table {len(names)} columns", line=line)
        cells = row + [""] * (len(names) - len(row))
        shared = [cells[index] for index in others]
        mine = labels if odd is None else odd.get(place, labels)
        rows += [[*shared, label, cells[index]] for index, label in mine.items()]
        lines += [line] * len(mine)
    return Table(rows, lines)


# --- hours as whole numbers ---------------------------------------------------------------------------------------


def _hours_told(source: Source, table: Table, zone: tzinfo | None) -> tuple[Table, list[str]]:
    """A table whose hours (or half-hours, quarters) are whole numbers beside a date, as one with times of day."""
    for header, names in enumerate(table.sample()[:-1]):
        column = _hour_column(table, header, [Name.of(name) for name in names])
        if column is not None:
            return _with_times(source, table, header, column, zone)
    return table, []


def _hour_column(table: Table, header: int, names: list[Name]) -> int | None:
    """Where the hours are, if the row ``header`` names them and a date stands beside them."""
    row = table.sample()[header + 1]
    dated = any(
        name.is_time and index < len(row) and (looks_dated(row[index]) or _is_midnight(row[index]))
        for index, name in enumerate(names)
    )
    if not dated:
        return None
    for index, name in enumerate(names):
        words = name.words - {"of", "day", "the", "no", "number"}
        if (
            name.unit is None
            and words & (_HOURS | _PERIODS)
            and not words & _NOT_ONE
            and index < len(row)
            and re.fullmatch(r"[0-9]{1,2}", row[index])
        ):
            return index
    return None


def _is_midnight(text: str) -> bool:
    return looks_full(text) and re.search(r"[T ]0?0:00(?::00)?(?:\.0+)?$", text) is not None and bool(date_part(text))


def _with_times(source: Source, table: Table, header: int, column: int, zone: tzinfo | None) -> tuple[Table, list[str]]:
    name = table.rows[header][column].strip()
    words = Name.of(name).words
    numbers: list[int] = []
    for row, line in zip(table.rows[header + 1 :], table.lines[header + 1 :], strict=True):
        text = row[column].strip() if column < len(row) else ""
        if not re.fullmatch(r"[0-9]{1,2}", text):
            raise source.refuse(f"{shown(name)}: {shown(text)} is not a number of an interval of the day", line=line)
        numbers.append(int(text))
    dates = _dates(table, header, lambda index: index != column)
    changed, counts = _changed(dates, numbers, zone)
    plain = [number for number, text in zip(numbers, dates, strict=True) if text not in changed] or numbers
    low, high = min(plain), max(plain)
    hourly = bool(words & _HOURS)
    from_zero = low == 0
    day = next((slots for slots in _SLOTS if high + from_zero <= slots), None) if not hourly else _SLOTS[0]
    known = from_zero or (high == day) or bool(words & _ENDING)
    complete = high + from_zero == day or hourly
    if day is None or high + from_zero > day or not known or not complete:
        odd = numbers.index(high) if (day is None or high + from_zero > day) else 0
        raise source.refuse(
            f"{shown(name)} runs from {low} to {high}: whether it counts from 0 or 1, and through how many intervals "
            "of the day, is not clear",
            line=table.lines[header + 1 + odd],
            remedy="write the time of day, such as 13:00",
        )
    for index, (before, after) in enumerate(pairwise(numbers)):
        if (
            before == high - 1
            and after == low
            and hourly
            and dates[index] not in changed
            and numbers[index + 1 - (high - low) : index + 1] == list(range(low, high))
        ):
            raise source.refuse(
                f"{shown(name)}: this day has {before + from_zero} hours and others {day}: whether they are counted, "
                "as on a day when clocks change, or the last is missing, is not clear",
                line=table.lines[header + 1 + index],
                remedy="write the time of day, such as 13:00",
            )
    minutes = 1440 // day
    rows = [list(row) for row in table.rows]
    rows[header][column] = "time"
    for row, number, text in zip(rows[header + 1 :], numbers, dates, strict=True):
        passed = (number - (not from_zero)) * minutes
        row[column] = changed[text].label(60 * passed) if text in changed else _clock(passed)
    counted = (
        f"0 to {day - 1}, each being the start of its interval"
        if from_zero
        else f"1 to {day}, the first being the interval that begins at midnight"
    )
    return Table(rows, table.lines), [
        f"The numbers in column {shown(name)} count the {minutes} minutes of a day from {counted}.",
        *_said(changed, counts),
    ]


def _changed(
    dates: Sequence[str], numbers: Sequence[int], zone: tzinfo | None
) -> tuple[dict[str, Shift], dict[str, int]]:
    """The days on which clocks are changed and the numbers count on, and how many intervals each day has."""
    from_zero = min(numbers) == 0
    counts: dict[str, int] = {}
    for text, number in zip(dates, numbers, strict=True):
        counts[text] = max(counts.get(text, 0), number + from_zero)
    usual = Counter(counts.values()).most_common(1)[0][0]
    return (shifts(counts, usual=usual, zone=zone) if usual in _SLOTS else {}), counts


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
