"""The activity calendar (classes 20 and 11) as arithmetic: which rate is active when, special days included."""

from __future__ import annotations

import calendar as gregorian
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta, tzinfo
from typing import NamedTuple

RATES = (1, 2, 3, 4)
_OPEN_YEAR, _OPEN = 0xFFFF, 0xFF
_LAST_DAY, _LAST_BUT_ONE = 0xFE, 0xFD


class PartDate(NamedTuple):
    """A date of five octets whose parts may be open: the year, the month, the day, the day of the week (1 Monday)."""

    year: int
    month: int
    day: int
    weekday: int

    @classmethod
    def decode(cls, octets: bytes) -> PartDate:
        """Raises ``ValueError`` for what is no such date."""
        if len(octets) != 5:  # noqa: PLR2004 - the format's
            raise ValueError("a date has five octets")
        found = cls(int.from_bytes(octets[:2]), *octets[2:])
        months, days, weekdays = (
            {*range(1, 13), _OPEN},
            {*range(1, 32), _LAST_BUT_ONE, _LAST_DAY, _OPEN},
            {*range(1, 8)},
        )
        if not (found.year and found.month in months and found.day in days and found.weekday in {*weekdays, _OPEN}):
            raise ValueError(f"{octets.hex()} is no date")
        return found

    @property
    def encoded(self) -> bytes:
        return self.year.to_bytes(2) + bytes(self[1:])

    def matches(self, day: date) -> bool:
        """Whether ``day`` is one of those meant."""
        return (
            self.year in {_OPEN_YEAR, day.year}
            and self.month in {_OPEN, day.month}
            and self.day in {_OPEN, day.day, _from_the_end(day)}
            and self.weekday in {_OPEN, day.isoweekday()}
        )

    def latest(self, until: date) -> date | None:
        """The latest beginning not after ``until``; a date whose month is open began before all others."""
        if self.month == _OPEN:
            return date.min
        years = (until.year, until.year - 1) if self.year == _OPEN_YEAR else (self.year,)
        found = [self._in(year) for year in years]
        return max((day for day in found if day <= until), default=None)

    def _in(self, year: int) -> date:
        last = gregorian.monthrange(year, self.month)[1]
        named = {_OPEN: 1, _LAST_DAY: last, _LAST_BUT_ONE: last - 1}.get(self.day, self.day)
        return date(year, self.month, min(named, last))


def _from_the_end(day: date) -> int:
    left = gregorian.monthrange(day.year, day.month)[1] - day.day
    return {0: _LAST_DAY, 1: _LAST_BUT_ONE}.get(left, day.day)


class Season(NamedTuple):
    """From ``start`` on the week of this name holds."""

    name: bytes
    start: PartDate
    week: bytes


class Week(NamedTuple):
    """Which day table each day of the week has, Monday first."""

    name: bytes
    days: tuple[int, ...]


class DayTable(NamedTuple):
    """From a minute of the day on, a rate (1 to 4); before the first, that of the evening before holds on."""

    number: int
    rates: tuple[tuple[int, int], ...]


class SpecialDay(NamedTuple):
    """A day that has a table of its own, whatever its week says."""

    number: int
    day: PartDate
    table: int


@dataclass(frozen=True, slots=True)
class Calendar:
    """Seasons, weeks and days; shared by all meters that have the same."""

    name: bytes = b""
    seasons: tuple[Season, ...] = ()
    weeks: tuple[Week, ...] = ()
    days: tuple[DayTable, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether everything that is named is there, so that it can be activated."""
        weeks = {week.name: week.days for week in self.weeks}
        tables = {day.number for day in self.days if day.rates}
        named = [table for season in self.seasons for table in weeks.get(season.week, (-1,))]
        return bool(named) and set(named) <= tables

    def table(self, day: date) -> DayTable:
        """What holds on a day, special days aside."""
        begun = [(latest, season) for season in self.seasons if (latest := season.start.latest(day)) is not None]
        season = max(begun, key=lambda one: one[0])[1] if begun else self.seasons[-1]
        week = next(week for week in self.weeks if week.name == season.week)
        return self.numbered(week.days[day.weekday()]) or self.days[0]

    def numbered(self, number: int) -> DayTable | None:
        """The table of this number."""
        return next((day for day in self.days if day.number == number), None)


_ALWAYS = PartDate(_OPEN_YEAR, _OPEN, _OPEN, _OPEN)
TWO_RATES = Calendar(
    b"WLG1",
    (Season(b"1", _ALWAYS, b"1"),),
    (Week(b"1", (1,) * 7),),
    (DayTable(1, ((0, 2), (7 * 60, 1), (22 * 60, 2))),),
)
"""Day and night, what a meter leaves the works with."""


@dataclass(frozen=True, slots=True)
class Timetable:
    """The calendar that is active, the one that waits with its date (epoch seconds), and the special days of both."""

    active: Calendar = TWO_RATES
    passive: Calendar = Calendar()
    activate_at: int | None = None
    special: tuple[SpecialDay, ...] = ()

    def activated(self) -> Timetable:
        """The passive calendar has become active; it stays where it was, as the Blue Book has it."""
        return replace(self, active=self.passive, activate_at=None)

    def rates(self, day: date) -> tuple[tuple[int, int], ...]:
        """The minutes of a day at which a rate begins, and those rates."""
        for special in self.special:
            table = self.active.numbered(special.table) if special.day.matches(day) else None
            if table is not None and table.rates:
                return table.rates
        return self.active.table(day).rates

    def edges(self, *, start: int, end: int, zone: tzinfo) -> tuple[list[int], list[int]]:
        """The instants in ``[start, end)`` at which a rate begins, the first at ``start``, and those rates."""
        edges: list[int] = []
        rates: list[int] = []
        day = datetime.fromtimestamp(start, zone).date() - timedelta(days=1)
        last = datetime.fromtimestamp(max(start, end - 1), zone).date()
        while day <= last:
            for minute, rate in self.rates(day):
                at = int(datetime.combine(day, time(minute // 60, minute % 60), tzinfo=zone).timestamp())
                if at <= start:
                    edges, rates = [start], [rate]
                elif at < end:
                    edges.append(at)
                    rates.append(rate)
            day += timedelta(days=1)
        return edges, rates
