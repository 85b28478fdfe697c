"""Which column of a table holds what, guessed from its name first and from what stands in it second.

A guess is only made where one reading is possible; it is told in ``said`` so that a person can check it. Where two are
possible the file is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta, timezone

from wattledger.readings.formats._exact import UNITS, Unit
from wattledger.readings.formats._model import Direction
from wattledger.readings.formats._source import shown
from wattledger.readings.formats._stamps import looks_dated, looks_full, looks_timed

MISSING = frozenset({"", "nan", "null", "none", "nil", "-", "--", "n/a", "na", "#n/a", "missing", "no data"})
"""What stands where no value is known, in lower case."""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_NUMBER = re.compile(r"[+-]?[0-9][0-9., \u00a0\u202f'\u2019]{0,40}(?:[eE][+-]?[0-9]{1,2})?|[+-]?[.,][0-9]{1,40}")
# kWh and its kin are found even inside a word (ImportkWh); a bare Wh, kW or W only as a word of its own.
_UNIT = re.compile(
    r"[kmg]wh|[km]varh|[km]vah|(?<![^\W\d_])(?:wh|varh|vah|[kmg]?w|[km]?var|[km]?va)(?![^\W\d_])", re.IGNORECASE
)
_DAY = 86_400
_MOST_TOLD = 12
_HUMP = re.compile(r"(?<=[a-zäöüé])(?=[A-Z])")
_WORD = re.compile(r"[^\W\d_]+")

_TIME = _set(
    "date time datetime timestamp stamp zeitstempel datum uhrzeit zeit horodate tstp epoch unixtime start end begin "
    "ending beginning starttime endtime startdate enddate début debut fin fecha data tijd tid dato horodatage "
    "ende einde fim slut anfang beginn inicio inizio"
)
_TIME_ALONE = _set("day hour interval period from to von bis ab ts dt when until utc gmt local read reading and of")
_NOT_TIME = _set(
    "zone timezone use tou tariff revision bill billing update updated created published due next scheduled cost "
    "price days hours minutes offset"
)
_END = _set("end ending endtime enddate to bis until fin ende einde fim slut")
_START = _set("start begin beginning from von ab starttime startdate début debut anfang beginn inicio inizio")
_UTC = frozenset({"utc", "gmt", "zulu"})
_UTC_OFFSET = re.compile(r"(?:utc|gmt)[ _]*([+\-\u2212])[ _]*([0-9]{1,2})(?::?([0-9]{2}))?(?![0-9])", re.IGNORECASE)
# kWh/h is the mean power of an hour, though its letters begin as an energy's.
_PER_HOUR = re.compile(r"\s*/\s*(?:h|hr|hour)(?![^\W\d_])", re.IGNORECASE)

_VALUE = _set(
    "value values consumption consumed usage energy import imported export exported quantity load demand verbrauch "
    "wert valeur generation generated production produced feedin einspeisung bezug delivered received reading readings "
    "use power leistung net consommation energie verbruik consumo kulutus teruglevering prelievo immissione"
)
_NOT_VALUE = _set(
    "cost price charge charges rate tariff eur gbp usd aud pence amount temperature temp flag quality status tax fee "
    "carbon emissions type id number name code unit units uom duration"
)
_RUNNING = _set(
    "cumulative cumulated accumulated index zählerstand zaehlerstand zählerstände stand meterstand odometer counter"
)

_POINT = (
    _set("nmi mpan mprn mpxn ean esid esiid lclid malo melo prm pod cups"),
    frozenset({"point", "zählpunkt"}),
    frozenset({"meter", "zähler", "device", "msn"}),
    _set("household house home customer premise premises site account user participant id"),
)
_QUALITY = _set("quality flag status validity validated estimated actual est qualité qualità kwaliteit calidad")
_UNITS = frozenset({"unit", "units", "uom", "unité", "einheit"})
_REGISTER = _set("type direction flow channel register stream suffix obis")

_IMPORT_FIRM = _set("import imported bezug delivered drawn afname prelievo soutirage uttak")
_IMPORT = _set(
    "consumption consumed usage use demand load verbrauch consommation verbruik consumo kulutus forbruk forbrug"
)
_EXPORT = _set(
    "export exported generation generated production produced feedin einspeisung received surplus returned injection "
    "solar pv teruglevering teruggeleverd immissione vertido excedente excedentes innmating eingespeist"
)
_SUFFIX = {"e": Direction.IMPORT, "q": Direction.IMPORT, "b": Direction.EXPORT, "k": Direction.EXPORT}
_SUFFIXED = re.compile(r"([EQBKeqbk])[0-9]")


@dataclass(frozen=True, slots=True)
class Name:
    """A column's name taken apart."""

    text: str
    words: frozenset[str]
    unit: Unit | None

    @classmethod
    def of(cls, text: str) -> Name:
        """The words and the unit in ``text``."""
        text = text.strip()
        found = _UNIT.search(text)
        rest = f"{text[: found.start()]} {text[found.end() :]}" if found else text
        words = frozenset(_WORD.findall(_HUMP.sub(" ", rest).lower()))
        unit = found[0].lower() if found else ""
        if found and unit.endswith("h") and _PER_HOUR.match(text, found.end()):
            unit = unit.removesuffix("h")
        return cls(text, words, UNITS.get(unit))

    @property
    def is_time(self) -> bool:
        """Whether it names a date, a time or both."""
        if self.unit or self.words & _NOT_TIME:
            return False
        return bool(self.words & _TIME) or bool(self.words and self.words <= _TIME_ALONE)

    @property
    def is_end(self) -> bool:
        """Whether it names the end of an interval."""
        return bool(self.words & _END) and not self.words & _START

    @property
    def offset(self) -> int | None:
        """Seconds east of UTC that it names: 0 for *UTC*, 3600 for *UTC+1*; ``None`` when it names none."""
        if match := _UTC_OFFSET.search(self.text):
            hours, minutes = int(match[2]), int(match[3] or 0)
            return (hours * 3600 + minutes * 60) * (1 if match[1] == "+" else -1)
        return 0 if self.words & _UTC else None

    @property
    def is_running_total(self) -> bool:
        """Whether it names a register that only grows."""
        return bool(self.words & _RUNNING) or ("meter" in self.words and bool(self.words & {"reading", "read"}))

    @property
    def is_value(self) -> bool:
        """Whether it names an energy or a power per interval."""
        if self.is_time or self.is_running_total or self.words & _NOT_VALUE:
            return False
        return self.unit is not None or bool(self.words & _VALUE)


def direction_of(text: str) -> tuple[Direction, bool]:
    """Which way the energy flows by a name or a cell, and whether that is firm (negative values contradict it)."""
    words = set(Name.of(text).words)
    if match := _SUFFIXED.fullmatch(text):
        return _SUFFIX[match[1].lower()], True
    if "net" in words:
        return Direction.NET, True
    if words & _EXPORT or {"to", "grid"} <= words or {"feed", "in"} <= words:
        return Direction.EXPORT, True
    if words & _IMPORT_FIRM or {"from", "grid"} <= words:
        return Direction.IMPORT, True
    return (Direction.IMPORT, False) if words & _IMPORT else (Direction.UNKNOWN, False)


@dataclass(frozen=True, slots=True)
class Value:
    """A column of values; ``unit`` is ``None`` when the name does not say it."""

    index: int
    name: str
    unit: Unit | None


@dataclass(slots=True)
class Layout:
    """What every column is. ``first`` is the first row of data, counted among the rows looked at."""

    width: int
    first: int
    values: list[Value]
    stamp: int | None = None
    """The column of dates with times, or else ``date`` and ``time`` are two."""
    date: int | None = None
    time: int | None = None
    ends: bool = False
    starts: bool = False
    """Whether its name says that the time is a start."""
    offset: int | None = None
    """Seconds east of UTC of the times, if a name says it."""
    length: int | None = None
    """Seconds of an interval, as far as a name says (*per half hour*)."""
    point: int | None = None
    serial: int | None = None
    quality: int | None = None
    asks_if_estimated: bool = False
    """Whether the quality column answers yes or no to its name."""
    unit: int | None = None
    register: int | None = None
    said: list[str] = field(default_factory=list)

    @property
    def needed(self) -> int:
        """The last column that is read."""
        return max(
            index
            for index in (
                *(value.index for value in self.values),
                self.stamp,
                self.date,
                self.time,
                self.point,
                self.serial,
                self.unit,
                self.register,
            )
            if index is not None
        )


class NoLayout(Exception):
    """The rows are no table of readings; ``row`` is where that shows."""

    def __init__(self, cause: str, row: int = 0, remedy: str | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.row = row
        self.remedy = remedy or "give a CSV file with the columns start,kwh"


def is_number(text: str) -> bool:
    """Whether ``text`` looks like a number, be its decimal sign a point or a comma."""
    return _NUMBER.fullmatch(text) is not None


def _is_plain_name(cell: str) -> bool:
    return not is_number(cell) and not looks_full(cell) and not looks_dated(cell)


def _header_row(rows: Sequence[list[str]]) -> int | None:
    """The row of names: the first that names both a time and a value, or else a first row that can only be names."""
    for index, row in enumerate(rows):
        if all(_is_plain_name(cell) for cell in row):
            names = [Name.of(cell) for cell in row]
            if any(name.is_time for name in names) and any(name.is_value for name in names):
                return index
    first = rows[0]
    return 0 if len(first) > 1 and any(first) and all(_is_plain_name(cell) for cell in first) else None


def layout_of(rows: Sequence[list[str]]) -> Layout:
    """What the columns of ``rows`` (stripped, the first ones of a file, none blank) are; raises :class:`NoLayout`."""
    header = _header_row(rows)
    first = 0 if header is None else header + 1
    units = header is not None and first < len(rows) and _is_row_of_units(rows[first])
    first += units
    data = rows[first:]
    if not data:
        raise NoLayout("the file holds no readings")
    width = len(rows[header]) if header is not None else len(data[0])
    names = [Name.of(cell) for cell in rows[header]] if header is not None else [Name.of("")] * width
    if width == 1 and is_number(data[0][0]):
        raise NoLayout("there is one column and no times: when each value was read is not known", first)
    samples = [
        next((row[index] for row in data if index < len(row) and row[index].lower() not in MISSING), "")
        for index in range(width)
    ]
    if units:
        names = _with_units(names, rows[first - 1], samples, first - 1)
    layout = Layout(width=width, first=first, values=[])
    _find_times(layout, names, samples, data)
    _find_others(layout, names)
    _find_values(layout, names, samples)
    if header:
        layout.said.append(f"Rows before the names of the columns, which hold no readings: {header}.")
    if units:
        layout.said.append("Units were taken from the line under the names of the columns.")
    _tell(layout, names, nameless=header is None)
    return layout


def _is_row_of_units(row: list[str]) -> bool:
    return any(Name.of(cell).unit for cell in row) and all(_is_plain_name(cell) for cell in row)


def _with_units(names: list[Name], row: list[str], samples: list[str], number: int) -> list[Name]:
    """The names with the units that stand under them."""
    found = []
    for index, name in enumerate(names):
        unit = Name.of(row[index]).unit if index < len(row) and is_number(samples[index]) else None
        if unit and name.unit and unit != name.unit:
            raise NoLayout(f"{shown(name.text)} has another unit under it: {shown(row[index])}", number)
        found.append(replace(name, unit=name.unit or unit))
    return found


def _find_times(layout: Layout, names: list[Name], samples: list[str], data: Sequence[list[str]]) -> None:
    named = [index for index, name in enumerate(names) if name.is_time]
    full = [index for index in named if looks_full(samples[index])]
    dates = [index for index in named if looks_dated(samples[index])]
    times = [index for index in named if looks_timed(samples[index])]
    if not full and not (dates and times):
        others = [index for index, name in enumerate(names) if index not in named and not name.is_value]
        full = [index for index in others if looks_full(samples[index])][:1]
        dates = dates or [index for index in others if looks_dated(samples[index])][:1]
        times = times or [index for index in others if looks_timed(samples[index]) and index not in dates][:1]

    def best(columns: list[int]) -> int:
        return min(columns, key=lambda index: (names[index].is_end, not names[index].words & _START, index))

    first_two = [row[full[0]] for row in data[:2] if full and full[0] < len(row)]
    if times and len(first_two) == 2 and first_two[0] == first_two[1] and best(times) not in full:  # noqa: PLR2004 - two
        # Excel writes a date as the midnight it begins with; the time of day stands beside it.
        dates, full = full, []
    if full:
        # A column that says the same in every row, such as when the report was made, is not the readings' time.
        varied = [index for index in full if len({row[index] for row in data if index < len(row)}) > 1]
        layout.stamp = best(varied or full)
        used = [layout.stamp]
    elif dates and times:
        layout.date, layout.time = best(dates), best(times)
        used = [layout.date, layout.time]
    elif times:
        raise NoLayout(f"{shown(samples[times[0]])} is a time of day without a date", layout.first)
    elif dates:
        raise NoLayout(f"{shown(samples[dates[0]])} is a date without a time of day", layout.first)
    else:
        raise NoLayout("no column holds dates with times that can be understood", layout.first)
    layout.ends = names[used[-1]].is_end
    layout.starts = bool(names[used[-1]].words & _START)
    layout.offset = next((found for index in used if (found := names[index].offset) is not None), None)
    if layout.offset is not None and abs(layout.offset) >= _DAY:
        raise NoLayout(f"{shown(names[used[-1]].text)} names no offset from UTC that there is")


def _find_others(layout: Layout, names: list[Name]) -> None:
    taken = {layout.stamp, layout.date, layout.time}

    def first(words: frozenset[str]) -> int | None:
        for index, name in enumerate(names):
            if index not in taken and name.unit is None and name.words & words and not name.is_time:
                if name.words & {"cost", "price"} or name.is_running_total:
                    continue
                taken.add(index)
                return index
        return None

    layout.quality = first(_QUALITY)
    if layout.quality is not None:
        layout.asks_if_estimated = bool(names[layout.quality].words & {"estimated", "est"})
    layout.unit = first(_UNITS)
    layout.serial = first(frozenset({"serial"}))
    for words in _POINT:
        if layout.point is None:
            layout.point = first(words)
    layout.register = first(_REGISTER)


def _find_values(layout: Layout, names: list[Name], samples: list[str]) -> None:
    taken = {
        layout.stamp,
        layout.date,
        layout.time,
        layout.quality,
        layout.unit,
        layout.serial,
        layout.point,
        layout.register,
    }
    free = [index for index in range(layout.width) if index not in taken and not names[index].is_time]
    numeric = [index for index in free if is_number(samples[index]) or not samples[index]]
    named = [index for index in numeric if names[index].is_value]
    # A name with its unit is surer than a word, and energy surer than power, from which it would have to be made.
    with_unit = [index for index in named if names[index].unit is not None]
    energy = [index for index in with_unit if names[index].unit in _ENERGIES]
    chosen = energy or with_unit or named
    if not chosen:
        totals = [names[index].text for index in free if names[index].is_running_total]
        chosen = [index for index in numeric if samples[index] and not names[index].is_running_total]
        if not chosen and totals:
            raise NoLayout(
                f"the column {shown(totals[0])} is a running total, not the energy of each interval",
                max(layout.first - 1, 0),
                "name the column kwh if it holds the energy of each interval",
            )
        if not chosen:
            raise NoLayout("no column holds numbers that could be the energy of each interval", layout.first)
        if len(chosen) > 1:
            many = ", ".join(names[index].text or f"column {index + 1}" for index in chosen[:5])
            raise NoLayout(
                f"which column holds the energy is not clear: {many}",
                max(layout.first - 1, 0),
                "name the one that does kwh",
            )
    if layout.register is None:
        # Texas has a column CONSUMPTION_SURPLUSGENERATION: named like a value, it says which way the energy went.
        layout.register = next(
            (
                index
                for index in free
                if names[index].is_value
                and index not in chosen
                and samples[index]
                and direction_of(samples[index])[0] is not Direction.UNKNOWN
            ),
            None,
        )
    layout.values = [Value(index, names[index].text, names[index].unit) for index in chosen]
    for index in chosen:
        layout.length = layout.length or _length_in(names[index].text)


_ENERGIES = frozenset(unit for name, unit in UNITS.items() if name.endswith("h"))
_MINUTES = re.compile(r"([0-9]{1,2})[ _-]?min", re.IGNORECASE)


def _length_in(name: str) -> int | None:
    text = name.lower()
    if match := _MINUTES.search(text):
        return int(match[1]) * 60
    if "half hour" in text or "half-hour" in text or "halfhour" in text:
        return 1800
    return 3600 if "hourly" in text or "per hour" in text else None


def _tell(layout: Layout, names: list[Name], *, nameless: bool) -> None:
    said = layout.said

    def called(index: int) -> str:
        return shown(names[index].text) if names[index].text else f"number {index + 1}"

    used = [index for index in (layout.stamp, layout.date, layout.time) if index is not None]
    if nameless:
        said.append("The columns have no names; which is which was seen from what stands in them.")
    elif any(not names[index].is_time for index in used):
        said.append(f"Times were found in column {' and '.join(called(index) for index in used)}.")
    if layout.ends:
        said.append(f"Times in column {called(used[-1])} are the ends of the intervals.")
    if layout.offset is not None:
        hours = timezone(timedelta(seconds=layout.offset))
        said.append(f"Times in column {called(used[-1])} are in {hours}, as its name says.")
    if not nameless:
        for value in layout.values:
            if not names[value.index].is_value:
                said.append(f"Values were found in column {called(value.index)}.")
        read = {
            *used,
            *(value.index for value in layout.values),
            *(layout.point, layout.serial, layout.quality, layout.unit, layout.register),
        }
        left = [called(index) for index, name in enumerate(names) if index not in read and name.text]
        if left:
            more = f" and {len(left) - _MOST_TOLD} more" if len(left) > _MOST_TOLD else ""
            said.append(f"Not read: column{'s' if len(left) > 1 else ''} {', '.join(left[:_MOST_TOLD])}{more}.")
