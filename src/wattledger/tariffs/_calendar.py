"""Which price applies when: seasons, day types and windows compiled into an unbroken row of segments.

Everything is read off the local clock. A window across midnight (``22:00-06:00``) is the two ends of the **same** day's
clock, so a Saturday's windows price Saturday, whatever Friday says. When clocks go back the repeated hour has its
clock time's price twice; when they go forward the skipped hour has none.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from wattledger.kernel import zone_named

DAY_MINUTES = 24 * 60
_DAY_SECONDS = 86_400
LEAP_YEAR = 2024
_OFFSET = re.compile(r"UTC([+-])([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?")


@dataclass(frozen=True, eq=False)
class Calendar:
    """The compiled calendar of a tariff; one is held per tariff, so identity will do for equality.

    ``seasons``   the season's index of each of the 366 days of a leap year
    ``holidays``  the listed days
    ``patterns``  for (season, weekday, holiday): (minute, cell) in order, the first at minute 0; each cell holds until
                  the next. What a cell is, the tariff says.
    """

    seasons: tuple[int, ...]
    holidays: frozenset[date]
    patterns: Mapping[tuple[int, int, bool], tuple[tuple[int, int], ...]]

    def pattern(self, day: date) -> tuple[tuple[int, int], ...]:
        """What applies when on ``day``."""
        season = self.seasons[date(LEAP_YEAR, day.month, day.day).timetuple().tm_yday - 1]
        return self.patterns[season, day.weekday(), day in self.holidays]


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
    begin = _midnight(day, zone)
    while day.month == month:
        following = day + timedelta(days=1)
        end = _midnight(following, zone)
        if begin < end:  # a zone may leave out a whole day
            starts.append(begin)
            pattern = calendar.pattern(day)
            for first, last in _steady(begin, end, zone):
                pieces.extend(_pieces(pattern, first, last, zone))
        day, begin = following, end
    return Month(
        edges=np.array([*(start for start, _ in pieces), begin], dtype=np.int64),
        cells=np.array([cell for _, cell in pieces], dtype=np.int16),
        days=tuple(starts),
    )


def _midnight(day: date, zone: tzinfo) -> int:
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
