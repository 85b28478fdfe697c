"""Times as people write them, and how a meter's clock becomes instants.

First every text becomes a wall-clock second count (:func:`full_stamps`, :func:`split_stamps`), then, if it carried no
offset, a zone makes it an instant (:func:`instants_of`). Both look at the whole column before they decide: which of two
numbers is the month, whether the clock was changed in spring, is a matter of evidence, and without it of asking.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from wattledger.readings.formats._source import Source, shown

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


# --- reading one text ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Date:
    """A date read; ``day`` counts from 1970, or is ``None`` while day and month may be swapped."""

    day: int | None
    first: int = 0
    second: int = 0
    year: int = 0
    dotted: bool = False


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
            found = _Date(None, int(first), int(second), _year(year), separator == ".")
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
    match = _TIME.fullmatch(text) or _COMPACT_TIME.fullmatch(text)
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


def looks_timed(text: str) -> bool:
    """Whether ``text`` is a time of day alone, or a span of them."""
    return _clock(text) is not None


def _both(text: str) -> tuple[_Date, _Time] | None:
    day, time = _split(text)
    found, moment = _date(day), _time(time)
    return (found, moment) if found and moment else None


def _clock(text: str) -> _Time | None:
    span = _SPAN.fullmatch(text)
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
        if offsets and offsets[0] is not None:
            zone = timezone(timedelta(seconds=offsets[0])) if len(set(offsets)) == 1 else None
            return Stamps(seconds - np.array(offsets, dtype=np.int64)[times], instants=True, said=said, zone=zone)
        return Stamps(seconds, instants=False, said=said)


def _decided_days(dates: list[tuple[_Date, str, int]]) -> tuple[list[int], tuple[str, ...]]:
    """Day numbers of the distinct dates in order of appearance, and how day and month were told apart."""
    undecided = [entry for entry in dates if entry[0].day is None]
    if not undecided:
        return [found.day for found, _, _ in dates if found.day is not None], ()
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


# --- from the wall clock to instants ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Change:
    """A change of a zone's offset at ``instant``; ``low`` to ``high`` is the local time skipped or doubled."""

    instant: int
    before: int
    after: int

    @property
    def low(self) -> int:
        return self.instant + min(self.before, self.after)

    @property
    def high(self) -> int:
        return self.instant + max(self.before, self.after)

    @property
    def skips(self) -> bool:
        return self.after > self.before


def _offset_at(zone: tzinfo, instant: int) -> int:
    offset = datetime.fromtimestamp(instant, UTC).astimezone(zone).utcoffset()
    return int(offset.total_seconds()) if offset is not None else 0


def _changes(zone: tzinfo, first: int, last: int) -> list[_Change]:
    """Every change of offset between two instants."""
    found: list[_Change] = []
    steps = range(first - first % DAY - 2 * DAY, last + 3 * DAY, DAY)
    offsets = [_offset_at(zone, instant) for instant in steps]
    for instant, (before, after) in zip(steps, pairwise(offsets), strict=False):
        if before != after:
            low, high = instant, instant + DAY
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if _offset_at(zone, middle) == before else (low, middle)
            found.append(_Change(high, before, after))
    return found


@dataclass(frozen=True, slots=True)
class Column:
    """What the decision about the clock looks at: of every reading its line, its channel and whether it has a value."""

    lines: NDArray[np.int64]
    channels: NDArray[np.int64]
    known: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Instants:
    """The readings' starts; where ``exists`` is false the local time does not and the instant means nothing."""

    seconds: NDArray[np.int64]
    exists: NDArray[np.bool_]
    said: tuple[str, ...]


def instants_of(
    source: Source, wall: NDArray[np.int64], column: Column, *, zone: tzinfo, length: int, ends: bool
) -> Instants:
    """The instants of wall-clock times ``wall`` (labels of the ends of intervals if ``ends``) in ``zone``.

    In autumn the repeated hour is told apart by the order in the file. A file that has readings in the hour that spring
    skips was written by a clock that is not changed, and is read so, all year.
    """
    exists = np.ones(len(wall), dtype=np.bool_)
    changes = _changes(zone, int(wall.min()), int(wall.max())) if len(wall) else []
    base = changes[0].before if changes else (_offset_at(zone, int(wall[0])) if len(wall) else 0)
    if not changes:
        return Instants(wall - base, exists, ())
    if ends and any(
        (np.unique(column.channels[wall == c.high], return_counts=True)[1] > 1).any() for c in changes if not c.skips
    ):
        # The label after the doubled hour stands twice: labels were made by adding to the start on the wall clock.
        shifted = instants_of(source, wall - length, column, zone=zone, length=length, ends=False)
        return Instants(shifted.seconds + length, shifted.exists, shifted.said)

    evidence = _Evidence(wall, column, changes, length, ends=ends)
    still = evidence.clock_stands_still(source, zone)
    if still:
        offset = min(min(change.before, change.after) for change in changes)
        hours = timezone(timedelta(seconds=offset))
        return Instants(wall - offset, exists, (f"{still}: all times are taken as {hours}, all year.",))

    exists &= ~evidence.skipped
    # At the end of the skipped hour the new offset begins; at the end of the doubled hour likewise (first pass before).
    bounds = np.array([change.high for change in changes], dtype=np.int64)
    offsets = np.array([base, *(change.after for change in changes)], dtype=np.int64)
    seconds = wall - offsets[np.searchsorted(bounds, wall, side="right")]
    for change, second in evidence.second_passes:
        seconds[second] = wall[second] - change.after
    return Instants(seconds, exists, evidence.said(zone))


class _Evidence:
    """What a file says about whether its clock was changed in spring and autumn."""

    def __init__(
        self, wall: NDArray[np.int64], column: Column, changes: list[_Change], length: int, *, ends: bool
    ) -> None:
        self.skipped = np.zeros(len(wall), dtype=np.bool_)
        self.second_passes: list[tuple[_Change, NDArray[np.int64]]] = []
        self._filled: list[tuple[int, int]] = []
        self._heeded: list[tuple[int, int]] = []
        self._doubled: list[int] = []
        self._single: list[int] = []
        self._wall, self._length = wall, length
        self._in_time(column.channels, sum(not change.skips for change in changes))
        present = set(np.unique(wall).tolist())
        for change in changes:
            if not change.skips:
                self._look_for_second_pass(change)
                continue
            # The label of an end may be the very moment that spring skips to; it says nothing.
            inside = (wall > change.low if ends else wall >= change.low) & (wall < change.high)
            self.skipped |= inside
            known = np.flatnonzero(inside & column.known)
            around = {change.low - length, change.low} & present and {change.high, change.high + length} & present
            if len(known):
                self._filled.append((int(column.lines[known[0]]), int(wall[known[0]])))
            elif around:
                after = int(np.flatnonzero(wall >= change.high)[0])
                self._heeded.append((int(column.lines[after]), change.low))

    def _in_time(self, channels: NDArray[np.int64], overlaps: int) -> None:
        """Puts the rows of each channel in the order of time, as far as the file is written so."""
        rows = np.arange(len(channels), dtype=np.int64)
        rows = rows[np.argsort(channels, kind="stable")]
        same = channels[rows][1:] == channels[rows][:-1]
        steps = np.diff(self._wall[rows])[same]
        if int((steps < 0).sum()) > int((steps > 0).sum()):
            rows = rows[::-1]
            same = same[::-1]
        self._rows, self._channels = rows, channels[rows]
        drops = (np.diff(self._wall[rows]) <= 0) & same
        counts = np.bincount(self._channels[1:][drops], minlength=int(channels.max(initial=0)) + 1)
        self._sorted_channels = counts <= overlaps

    def _look_for_second_pass(self, change: _Change) -> None:
        """Finds the rows that stand in the doubled hour when it comes again."""
        labels = self._wall[self._rows]
        near = (labels >= change.low - self._length) & (labels <= change.high)
        rows, channels, labels = self._rows[near], self._channels[near], labels[near]
        for channel in np.unique(channels).tolist():
            mine = channels == channel
            inside = mine & (labels >= change.low) & (labels < change.high)
            if inside.any():
                outside = labels[mine & ~inside]
                second = self._second_pass(
                    change, labels[inside], outside, ordered=bool(self._sorted_channels[channel])
                )
                if second is None:
                    self._single.append(change.low)
                else:
                    self._doubled.append(change.low)
                    self.second_passes.append((change, rows[inside][second]))

    def _second_pass(
        self, change: _Change, labels: NDArray[np.int64], outside: NDArray[np.int64], *, ordered: bool
    ) -> NDArray[np.bool_] | None:
        """Which of ``labels``, all in the doubled hour, come after it began again; ``None`` if it stands once.

        ``outside`` are the labels next to the hour: a file that was copied has those twice as well.
        """
        _, counts = np.unique(labels, return_counts=True)
        usual = int((outside < change.low).sum()) or 1
        drops = np.flatnonzero(np.diff(labels) <= 0)
        position = np.arange(len(labels))
        if len(drops) == 1 and (ordered or counts.max() > usual):
            after: NDArray[np.bool_] = position > drops[0]
            return after
        if counts.max() > usual:
            # Neither in order nor in two passes: every second time a label stands it is the second hour's.
            return np.array([np.count_nonzero(labels[:i] == labels[i]) % 2 == 1 for i in position])
        begins_inside = not (outside < change.low).any() and bool((outside >= change.high).any())
        if begins_inside and int(labels[-1]) + self._length == change.high:
            return np.ones(len(labels), dtype=np.bool_)
        return None

    def clock_stands_still(self, source: Source, zone: tzinfo) -> str | None:
        """Why the clock was not changed, if it was not; refuses a file that says both."""
        if not self._filled:
            return None
        line, moment = self._filled[0]
        if self._heeded or self._doubled:
            other = self._heeded[0][1] if self._heeded else self._doubled[0]
            what = "is skipped" if self._heeded else "stands twice"
            raise source.refuse(
                f"{_wall(moment)} does not exist in {zone}, yet {_wall(other)} {what} as that zone's clocks do",
                line=line,
                remedy="say a zone without summer time, for example --zone Etc/GMT-1 for UTC+1, or mend the file",
            )
        return f"The meter's clock is not changed in summer (line {line} has {_wall(moment)}, which {zone} skips)"

    def said(self, zone: tzinfo) -> tuple[str, ...]:
        """How the clock changes were taken."""
        sentences: list[str] = []
        if self._doubled:
            sentences.append(
                f"Clock changes of {zone} are followed: of an hour that stands twice ({_wall(self._doubled[0])}) "
                "the first is summer time."
            )
        if self._single:
            sentences.append(
                f"The hour that {zone} has twice stands once on {_wall(self._single[0])}; it was taken as the first, "
                "so the second is missing. If the meter's clock is never changed, give a zone that is not either."
            )
        return tuple(sentences)


def _wall(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def date_part(text: str) -> str:
    """The date in a stamp that has a time too."""
    return _split(text)[0]
