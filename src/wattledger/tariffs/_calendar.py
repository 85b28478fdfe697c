"""Which price applies when: seasons, day types and windows compiled into an unbroken row of segments.

Everything is read off the local clock. A window across midnight (``22:00-06:00``) is the two ends of the **same** day's
clock, so a Saturday's windows price Saturday, whatever Friday says. When clocks go back the repeated hour has its
clock time's price twice; when they go forward the skipped hour has none.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from wattledger.kernel import zone_named

DAY_MINUTES = 24 * 60
_DAY_SECONDS = 86_400
LEAP_YEAR = 2024
_AS_EVER = -1  # in place of a cell: an event changes nothing
_OFFSET = re.compile(r"UTC([+-])([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?")


Pattern = tuple[tuple[int, int], ...]
"""(minute of the day, cell) in order, the first at minute 0; each cell holds until the next."""

Patterns = Mapping[tuple[int, int, bool], Pattern]
"""The pattern of each (season, weekday, holiday) that occurs; 0 is Monday."""


@dataclass(frozen=True, eq=False)
class HolidayRule:
    """A country's holidays as the library ``holidays`` has them, and what the tariff adds and takes away."""

    listed: frozenset[date] = frozenset()
    country: str | None = None
    subdivision: str | None = None
    excepted: frozenset[date] = frozenset()

    def __contains__(self, day: date) -> bool:
        if day in self.listed:
            return True
        if self.country is None or day in self.excepted:
            return False
        return day in national_holidays(self.country, self.subdivision, day.year)


@lru_cache(maxsize=512)
def national_holidays(country: str, subdivision: str | None, year: int) -> frozenset[date]:
    """A country's holidays in a year; raises ``NotImplementedError`` for a country or subdivision that is not known."""
    import holidays  # noqa: PLC0415 - most tariffs do without, and it is slow to start

    return frozenset(holidays.country_holidays(country, subdiv=subdivision, years=year).keys())


@dataclass(frozen=True, eq=False)
class Calendar:
    """The compiled calendar of a tariff; one is held per tariff, so identity will do for equality.

    ``seasons``   the season's index of each of the 366 days of a leap year
    ``dated``     (first day, last day, season's index): spans of exact dates, which go before ``seasons``
    ``holidays``  which days are
    ``patterns``  what applies when; what a cell is, the tariff says
    ``events``    for each event's name what applies while it is on
    """

    seasons: tuple[int, ...]
    holidays: HolidayRule
    patterns: Patterns
    dated: tuple[tuple[date, date, int], ...] = ()
    events: Mapping[str, Patterns] = field(default_factory=dict)

    def season(self, day: date) -> int:
        """The season's index of ``day``."""
        for first, last, season in self.dated:
            if first <= day <= last:
                return season
        return self.seasons[date(LEAP_YEAR, day.month, day.day).timetuple().tm_yday - 1]

    def pattern(self, day: date, event: str | None = None) -> Pattern:
        """What applies when on ``day``, ordinarily or while an event is on."""
        patterns = self.patterns if event is None else self.events[event]
        return patterns[self.season(day), day.weekday(), day in self.holidays]


# --- zones -----------------------------------------------------------------------------------------------------------


def zone_key(zone: tzinfo) -> str:
    """The text by which a zone is kept: its IANA name, or ``UTC+10:00`` for a fixed offset.

    Raises ``ValueError`` for a zone with rules of its own and no name: it can be rated in, but not written down.
    """
    name = getattr(zone, "key", None)
    if isinstance(name, str):
        return name
    if not isinstance(zone, timezone):
        msg = f"{zone!r} is neither an IANA zone nor a fixed offset"
        raise ValueError(msg)  # noqa: TRY004 - the type is right, the zone is not
    seconds = int(zone.utcoffset(None).total_seconds())
    sign, size = ("-" if seconds < 0 else "+"), abs(seconds)
    tail = f":{size % 60:02d}" if size % 60 else ""
    return f"UTC{sign}{size // 3600:02d}:{size // 60 % 60:02d}{tail}"


@lru_cache(maxsize=256)
def zone_of(key: str) -> tzinfo:
    """The zone that :func:`zone_key` wrote; raises ``UnknownZone``."""
    match = _OFFSET.fullmatch(key)
    if match is None:
        return zone_named(key)
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]), seconds=int(match[4] or 0))
    return timezone(-offset if match[1] == "-" else offset)


# --- compiling -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Month:
    """One local calendar month as an unbroken row of segments, all in epoch seconds.

    ``edges``  int64, one more than ``cells``: where each segment begins, and the month's end
    ``cells``  int16, the cell of each segment; a day begins with a segment of its own
    ``days``   where each local day begins
    """

    edges: NDArray[np.int64]
    cells: NDArray[np.int16]
    days: tuple[int, ...]

    @property
    def start(self) -> int:
        """The month's first second."""
        return int(self.edges[0])

    @property
    def end(self) -> int:
        """The second after the month's last."""
        return int(self.edges[-1])


def compiled_month(calendar: Calendar, zone: tzinfo, year: int, month: int) -> Month:
    """The segments of a local calendar month, its days 23 to 25 hours long as the zone has it."""
    pieces: list[tuple[int, int]] = []
    starts: list[int] = []
    day = date(year, month, 1)
    begin = midnight(day, zone)
    while day.month == month:
        following = day + timedelta(days=1)
        end = midnight(following, zone)
        if begin < end:  # a zone may leave out a whole day
            starts.append(begin)
            for first, last in _steady(begin, end, zone):
                pieces.extend(_pieces(calendar.pattern(day), first, last, zone))
        day, begin = following, end
    return Month(
        edges=np.array([*(start for start, _ in pieces), begin], dtype=np.int64),
        cells=np.array([cell for _, cell in pieces], dtype=np.int16),
        days=tuple(starts),
    )


def while_on(calendar: Calendar, zone: tzinfo, event: str, begin: int, end: int) -> list[tuple[int, int, int]]:
    """(epoch, to before epoch, cell) in order: what an event changes that is on from ``begin`` to before ``end``."""
    pieces: list[tuple[int, int]] = []
    day = datetime.fromtimestamp(begin, tz=UTC).astimezone(zone).date()
    while begin < end:
        until = min(midnight(day + timedelta(days=1), zone), end)
        if begin < until:
            changes = _changes(calendar.pattern(day), calendar.pattern(day, event))
            for first, following in _steady(begin, until, zone):
                pieces.extend(_pieces(changes, first, following, zone))
            begin = until
        day += timedelta(days=1)
    ends = [*(at for at, _ in pieces[1:]), end]
    return [(at, until, cell) for (at, cell), until in zip(pieces, ends, strict=True) if cell != _AS_EVER]


def _changes(ordinary: Pattern, event: Pattern) -> Pattern:
    """An event's pattern, with a mark in place of the cells that it leaves as they are."""
    minutes = sorted({minute for minute, _ in (*ordinary, *event)})

    def at(pattern: Pattern, minute: int) -> int:
        return pattern[bisect_right(pattern, minute, key=lambda one: one[0]) - 1][1]

    return tuple(
        (minute, _AS_EVER if at(ordinary, minute) == at(event, minute) else at(event, minute)) for minute in minutes
    )


def midnight(day: date, zone: tzinfo) -> int:
    """When the local ``day`` begins; where clocks skip midnight, the instant at which they do."""
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())


def _offset(instant: int, zone: tzinfo) -> int:
    offset = datetime.fromtimestamp(instant, tz=UTC).astimezone(zone).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())


def _steady(begin: int, end: int, zone: tzinfo) -> list[tuple[int, int]]:
    """``[begin, end)`` cut where the zone's offset changes (at most once a day)."""
    if _offset(begin, zone) == _offset(end - 1, zone):
        return [(begin, end)]
    before = _offset(begin, zone)
    change = bisect_right(range(begin, end), x=0, key=lambda instant: _offset(instant, zone) != before)
    return [(begin, begin + change), (begin + change, end)]


def _pieces(pattern: Sequence[tuple[int, int]], first: int, last: int, zone: tzinfo) -> Iterable[tuple[int, int]]:
    clock = (first + _offset(first, zone)) % _DAY_SECONDS
    for index, (minute, cell) in enumerate(pattern):
        until = pattern[index + 1][0] if index + 1 < len(pattern) else DAY_MINUTES
        begin = first + max(0, minute * 60 - clock)
        if until * 60 > clock and begin < last:
            yield begin, cell
