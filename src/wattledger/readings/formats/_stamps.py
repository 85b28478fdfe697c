"""Times as people write them: every text of a column becomes a wall-clock time or, if it has an offset, an instant.

The whole column is looked at before anything is decided: which of two numbers is the month is a matter of evidence, and
without it of asking.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta, timezone, tzinfo
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from wattledger.readings.formats._source import shown

DAY = 86_400
_FIRST_YEAR, _LAST_YEAR = 1970, 2199
_UNIX = date(1970, 1, 1).toordinal()
_EPOCH_END = 7_258_118_400

_MONTHS = dict(
    zip(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
        range(1, 13),
        strict=True,
    ),
    mär=3,
    mrz=3,
    mai=5,
    okt=10,
    dez=12,
)

_YEAR_FIRST = re.compile(r"([0-9]{4})([-/.])([0-9]{1,2})\2([0-9]{1,2})|([0-9]{4})([0-9]{2})([0-9]{2})")
_YEAR_LAST = re.compile(r"([0-9]{1,2})([-/.])([0-9]{1,2})\2([0-9]{4}|[0-9]{2})")
_DAY_NAME_YEAR = re.compile(r"([0-9]{1,2})[-/. ]*([^\W\d_]{3,9})[-/., ]*([0-9]{4}|[0-9]{2})")
_NAME_DAY_YEAR = re.compile(r"([^\W\d_]{3,9})[-. ]*([0-9]{1,2}),?[- ]+([0-9]{4})")
_TIME = re.compile(
    r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.,]0+)?)?\s*([AaPp])?(?:\.?[Mm]\.?)?\s*"
    r"(Z|z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
_COMPACT_TIME = re.compile(r"([0-9]{2})([0-9]{2})([0-9]{2})?()(Z|[+-][0-9]{2}:?[0-9]{2})?")
_SPAN = re.compile(r"([0-9]{1,2}:[0-9]{2})\s*(?:-|\u2013|to|bis)\s*[0-9]{1,2}:[0-9]{2}")
_DIGITS = re.compile(r"[0-9]{8,14}(?:\.0+)?")
_HOUR = re.compile(r"(?<![0-9])[0-9]{1,2}:")
_LONGEST = 40

_EPOCH_SECONDS, _EPOCH_MILLIS, _COMPACT_MINUTES, _COMPACT_SECONDS = (9, 10), (12, 13), 12, 14


class BadStamp(Exception):
    """The text at ``index`` is not a time that can be used; turned into a refusal by who knows its line."""

    def __init__(self, index: int, cause: str, remedy: str | None = None) -> None:
        super().__init__(cause)
        self.index = index
        self.cause = cause
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Stamps:
    """A column of times: wall-clock seconds since 1970, or instants if ``instants``.

    ``zone`` is the one offset from UTC that every time carries, if there is one.
    """

    seconds: NDArray[np.int64]
    instants: bool
    said: tuple[str, ...] = ()
    zone: tzinfo | None = None
    to_midnight: bool = False
    """Whether days are written as running to 24:00, and none as beginning at 00:00."""


# --- reading one text ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Date:
    """A date read; ``day`` counts from 1970, or is ``None`` while day and month may be swapped."""

    day: int | None
    first: int = 0
    second: int = 0
    year: int = 0
    dotted: bool = False
    year_first: int | None = None
    """The day if it is year, month, day, where its year has two digits and that is possible."""


def _day_number(year: int, month: int, day: int) -> int:
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        raise ValueError
    return date(year, month, day).toordinal() - _UNIX


def _year(text: str) -> int:
    return int(text) if len(text) == 4 else 2000 + int(text)  # noqa: PLR2004 - a year with its century


def _date(text: str) -> _Date | None:
    """``text`` as a date; ``None`` when it is none."""
    try:
        if match := _YEAR_FIRST.fullmatch(text):
            year, _, month, day, *compact = match.groups()
            return _Date(_day_number(*map(int, compact if year is None else (year, month, day))))
        if match := _YEAR_LAST.fullmatch(text):
            first, separator, second, year = match.groups()
            short = _year_first(first, second, year) if len(year) < 4 else None  # noqa: PLR2004 - as in _year
            found = _Date(None, int(first), int(second), _year(year), separator == ".", short)
            return found if any(_tried(found, swapped=swapped) is not None for swapped in (False, True)) else None
        if match := _DAY_NAME_YEAR.fullmatch(text):
            day, name, year = match.groups()
        elif match := _NAME_DAY_YEAR.fullmatch(text):
            name, day, year = match.groups()
        else:
            return None
        return _Date(_day_number(_year(year), _MONTHS[name[:3].lower()], int(day)))
    except (ValueError, KeyError):
        return None


def _year_first(year: str, month: str, day: str) -> int | None:
    try:
        return _day_number(2000 + int(year), int(month), int(day))
    except ValueError:
        return None


def _tried(found: _Date, *, swapped: bool) -> int | None:
    """The day number of an undecided date read as day/month (``swapped``: month/day), if that is a date."""
    day, month = (found.second, found.first) if swapped else (found.first, found.second)
    try:
        return _day_number(found.year, month, day)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class _Time:
    seconds: int
    offset: int | None = None


def _time(text: str) -> _Time | None:
    """``text`` as a time of day (up to 24:00) with its offset, if it has one; ``None`` when it is none."""
    match = None if len(text) > _LONGEST else _TIME.fullmatch(text) or _COMPACT_TIME.fullmatch(text)
    if match is None:
        return None
    hours, minutes, seconds, half, offset = match.groups()
    hour, rest = int(hours), int(minutes) * 60 + int(seconds or 0)
    if int(minutes) > 59 or int(seconds or 0) > 59:  # noqa: PLR2004 - sixty
        return None
    if half:
        if not 1 <= hour <= 12:  # noqa: PLR2004 - a twelve-hour clock
            return None
        hour = hour % 12 + (12 if half in "Pp" else 0)
    total = hour * 3600 + rest
    east = _offset(offset) if offset else None
    if total > DAY or (offset and east is None):
        return None
    return _Time(total, east)


def _offset(text: str) -> int | None:
    """Seconds east of UTC; ``None`` for what no clock has: that is rather the end of a span of times."""
    if text in {"Z", "z", "UTC", "GMT"}:
        return 0
    digits = text[1:].replace(":", "")
    hours, minutes = int(digits[:2]), int(digits[2:] or 0)
    if hours > 14 or minutes not in {0, 15, 30, 45} or (text[0] == "-" and not hours and minutes):  # noqa: PLR2004 - UTC+14
        return None
    return (hours * 3600 + minutes * 60) * (-1 if text[0] == "-" else 1)


def _split(text: str) -> tuple[str, str]:
    """A stamp cut into its date and its time."""
    if len(text) > _LONGEST:
        return text, ""
    if match := _HOUR.search(text):
        return text[: match.start()].rstrip("T, "), text[match.start() :]
    if text.isdecimal():
        return text[:8], text[8:]
    head, mark, tail = text.partition("T") if "T" in text[6:] else text.rpartition(" ")
    return (head, tail) if mark else (text, "")


def date_part(text: str) -> str:
    """The date in a stamp that has a time too."""
    return _split(text)[0]


def looks_full(text: str) -> bool:
    """Whether ``text`` is a date with a time, or a count of seconds."""
    if _DIGITS.fullmatch(text):
        try:
            return _counted(text) is not None or (len(text) in {12, 14} and _both(text) is not None)
        except ValueError:
            return False
    return _both(text) is not None


def looks_dated(text: str) -> bool:
    """Whether ``text`` is a date alone."""
    return _date(text) is not None


def days_of(text: str) -> set[int]:
    """The days since 1970 that the date ``text`` may be: several where day and month may be swapped."""
    found = _date(text)
    if found is None:
        return set()
    may_be = [found.day] if found.day is not None else [_tried(found, swapped=s) for s in (False, True)]
    return {day for day in (*may_be, found.year_first) if day is not None}


def looks_timed(text: str) -> bool:
    """Whether ``text`` is a time of day alone, or a span of them."""
    return _clock(text) is not None


def _both(text: str) -> tuple[_Date, _Time] | None:
    day, time = _split(text)
    found, moment = _date(day), _time(time)
    return (found, moment) if found and moment else None


def _clock(text: str) -> _Time | None:
    span = None if len(text) > _LONGEST else _SPAN.fullmatch(text)
    return _time(span[1] if span else text) if ":" in text or text.isdecimal() else None


def _counted(text: str) -> int | None:
    """``text`` as a count of seconds or milliseconds since 1970, if it is as long as one of our times."""
    digits = text.partition(".")[0]
    if len(digits) in _EPOCH_SECONDS:
        return int(digits)
    if len(digits) in _EPOCH_MILLIS and not digits.startswith(("19", "20")):
        return int(digits) // 1000 if digits.endswith("000") else None
    return None


# --- reading a column ---------------------------------------------------------------------------------------------


def full_stamps(texts: Sequence[str]) -> Stamps:
    """A column of dates with times; raises :class:`BadStamp`."""
    if texts and _DIGITS.fullmatch(texts[0]) and _counted(texts[0]) is not None:
        return _epoch_stamps(texts)
    column = _Column()
    days, times, day_of, time_of = column.days, column.times, column.day_of, column.time_of
    for index, text in enumerate(texts):
        # Most stamps are ten characters of date and a tail that repeats every day: two look-ups.
        day, time = days.get(text[:10]), times.get(text[10:])
        if day is None or time is None:
            day, time = column.read(index, text)
        day_of.append(day)
        time_of.append(time)
    return column.decided()


def split_stamps(dates: Sequence[str], times: Sequence[str]) -> Stamps:
    """Dates and times of day in two columns; raises :class:`BadStamp`."""
    column = _Column()
    for index, (day_text, time_text) in enumerate(zip(dates, times, strict=True)):
        day, time = column.days.get(day_text), column.times.get(time_text)
        if day is None:
            day = column.days[day_text] = column.day(index, day_text)
        if time is None:
            time = column.times[time_text] = column.time(index, time_text, _clock(time_text))
        column.day_of.append(day)
        column.time_of.append(time)
    return column.decided()


def _epoch_stamps(texts: Sequence[str]) -> Stamps:
    counted: list[int] = []
    for index, text in enumerate(texts):
        seconds = _counted(text) if _DIGITS.fullmatch(text) else None
        if seconds is None or seconds >= _EPOCH_END:
            raise BadStamp(index, f"{shown(text)} is not a time in seconds since 1970, as the others are")
        counted.append(seconds)
    return Stamps(np.array(counted, dtype=np.int64), instants=True, said=("Times are seconds since 1970 in UTC.",))


class _Column:
    """Distinct dates and times of a column, each read once, and which of them every row has."""

    def __init__(self) -> None:
        self.days: dict[str, int] = {}
        self.times: dict[str, int] = {}
        self._odd_days: dict[str, int] = {}
        self._odd_times: dict[str, int] = {}
        self._dates: list[tuple[_Date, str, int]] = []
        self._clocks: list[_Time] = []
        self.day_of: list[int] = []
        self.time_of: list[int] = []

    def day(self, index: int, text: str) -> int:
        """The number of the date ``text``, new."""
        found = _date(text)
        if found is None:
            raise BadStamp(index, f"{shown(text)} is not a date")
        self._dates.append((found, text, index))
        return len(self._dates) - 1

    def time(self, index: int, text: str, found: _Time | None) -> int:
        """The number of the time ``found``, new."""
        if found is None:
            raise BadStamp(index, f"{shown(text)} is not a time of day")
        self._clocks.append(found)
        return len(self._clocks) - 1

    def read(self, index: int, text: str) -> tuple[int, int]:
        """Numbers of the date and the time in ``text``, cut as it needs."""
        day_text, time_text = _split(text)
        moment = _time(time_text)
        if moment is None or _date(day_text) is None:
            raise BadStamp(index, f"{shown(text)} is not a date with a time" if text else "the time is empty")
        # Only a cut after ten characters may be remembered under what the quick look-up will ask for.
        days, times, day_key, time_key = self._odd_days, self._odd_times, day_text, time_text
        if text[:10] == day_text:
            days, times, time_key = self.days, self.times, text[10:]
        if day_key not in days:
            days[day_key] = self.day(index, day_text)
        if time_key not in times:
            times[time_key] = self.time(index, time_text, moment)
        return days[day_key], times[time_key]

    def decided(self) -> Stamps:
        """All rows, once day and month are told apart."""
        numbers, said = _decided_days(self._dates)
        offsets = [time.offset for time in self._clocks]
        times = np.array(self.time_of, dtype=np.int64)
        if len({offset is None for offset in offsets}) > 1:
            naive = np.array([offset is None for offset in offsets])[times]
            odd = int(np.flatnonzero(naive != naive[0])[0])
            raise BadStamp(
                odd,
                "this time has no offset from UTC and others have one"
                if naive[odd]
                else "this time has an offset from UTC and those before it have none",
            )
        seconds = np.array(numbers, dtype=np.int64)[np.array(self.day_of, dtype=np.int64)] * DAY
        seconds += np.array([time.seconds for time in self._clocks], dtype=np.int64)[times]
        clocks = {time.seconds for time in self._clocks}
        midnight = DAY in clocks and 0 not in clocks
        if offsets and offsets[0] is not None:
            zone = timezone(timedelta(seconds=offsets[0])) if len(set(offsets)) == 1 else None
            return Stamps(
                seconds - np.array(offsets, dtype=np.int64)[times],
                instants=True,
                said=said,
                zone=zone,
                to_midnight=midnight,
            )
        return Stamps(seconds, instants=False, said=said, to_midnight=midnight)


def _decided_days(dates: list[tuple[_Date, str, int]]) -> tuple[list[int], tuple[str, ...]]:
    """Day numbers of the distinct dates in order of appearance, and how day and month were told apart."""
    undecided = [entry for entry in dates if entry[0].day is None]
    if not undecided:
        return [found.day for found, _, _ in dates if found.day is not None], ()
    if short := _years_first(undecided):
        days_of = iter(short)
        return [next(days_of) if found.day is None else found.day for found, _, _ in dates], (
            "Dates are year/month/day, which makes the days follow one another.",
        )
    only_day_first = next((e for e in undecided if _tried(e[0], swapped=True) is None), None)
    only_month_first = next((e for e in undecided if _tried(e[0], swapped=False) is None), None)
    if only_day_first and only_month_first:
        late = max(only_day_first, only_month_first, key=lambda e: e[2])
        early = min(only_day_first, only_month_first, key=lambda e: e[2])
        raise BadStamp(late[2], f"the date {late[1]} has day and month the other way round than {early[1]}")
    proof = only_day_first or only_month_first
    if proof:
        swapped, why = proof is only_month_first, f"as {proof[1]} shows"
    else:
        swapped, why = _by_sequence(undecided)
    days = [found.day if found.day is not None else _tried(found, swapped=swapped) for found, _, _ in dates]
    order = "month/day/year" if swapped else "day/month/year"
    return [day for day in days if day is not None], (f"Dates are {order}, {why}.",)


def _years_first(undecided: list[tuple[_Date, str, int]]) -> list[int] | None:
    """The days as year, month, day, if only so they follow one another."""
    short = [found.year_first for found, _, _ in undecided if found.year_first is not None]
    if len(short) < len(undecided) or not any(abs(after - before) == 1 for before, after in pairwise(short)):
        return None
    for swapped in (False, True):
        days = [_tried(found, swapped=swapped) for found, _, _ in undecided]
        if any(a is not None and b is not None and abs(b - a) == 1 for a, b in pairwise(days)):
            return None
    return short


def _by_sequence(undecided: list[tuple[_Date, str, int]]) -> tuple[bool, str]:
    """Which reading makes the dates follow one another day by day; a dot means day first if that tells nothing."""
    runs: list[int] = []
    for swapped in (False, True):
        days = [_tried(found, swapped=swapped) or 0 for found, _, _ in undecided]
        runs.append(sum(1 for before, after in pairwise(days) if abs(after - before) == 1))
    if runs[0] != runs[1]:
        return runs[1] > runs[0], "which makes the days follow one another"
    if all(found.first == found.second for found, _, _ in undecided):
        return False, "which is the same as month/day/year here"
    if all(found.dotted for found, _, _ in undecided):
        return False, "as is usual for dates with dots"
    found, text, index = next(e for e in undecided if e[0].first != e[0].second)
    raise BadStamp(
        index,
        f"{text} may be {found.year}-{found.second:02}-{found.first:02} or {found.year}-{found.first:02}-"
        f"{found.second:02}, and nothing in the file tells which",
        "write dates as YYYY-MM-DD",
    )
