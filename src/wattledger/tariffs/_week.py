"""A tariff's week, season by season: for pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import gcd

from wattledger.tariffs._calendar import DAY_MINUTES, Pattern, Patterns
from wattledger.tariffs._language import Tariff

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True)
class WeekRow:
    """Some days of the week that are alike, and the period of each step of them."""

    days: str
    periods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WeekGrid:
    """The week of a season, under a schedule (``None``: energy's own periods) and while an event is on.

    ``minutes`` is the step; every change of period falls on one.
    """

    season: str | None
    schedule: str | None
    event: str | None
    minutes: int
    rows: tuple[WeekRow, ...]


def week_grids(tariff: Tariff) -> tuple[WeekGrid, ...]:
    """The weeks of all seasons, schedules and events; an event's only where it changes something."""
    found: list[WeekGrid] = []
    for number, schedule in enumerate((None, *tariff.schedules)):
        for season, name in enumerate(tariff.season_names):
            plain = _grid(tariff, tariff.calendar.patterns, season, number)
            found.append(WeekGrid(name, schedule, None, *plain))
            for event, patterns in tariff.calendar.events.items():
                special = _grid(tariff, patterns, season, number)
                if special != plain:
                    found.append(WeekGrid(name, schedule, event, *special))
    return tuple(found)


def _grid(tariff: Tariff, patterns: Patterns, season: int, schedule: int) -> tuple[int, tuple[WeekRow, ...]]:
    days = list(_days(patterns, season))
    cuts = [minute for _, pattern in days for minute, _ in pattern]
    step = gcd(DAY_MINUTES, 60, *cuts)
    named = [(label, _periods(tariff, pattern, schedule, step)) for label, pattern in days]
    rows: list[WeekRow] = []
    for label, periods in named:
        if rows and rows[-1].periods == periods and "holiday" not in label:
            rows[-1] = WeekRow(f"{rows[-1].days.partition('-')[0]}-{label}", periods)
        else:
            rows.append(WeekRow(label, periods))
    return step, tuple(rows)


def _days(patterns: Patterns, season: int) -> Iterator[tuple[str, Pattern]]:
    """The days of the week, and the holidays that are not like the day that they fall on."""
    for weekday, label in enumerate(_DAYS):
        yield label, patterns[season, weekday, False]
    festive = [(label, patterns.get((season, weekday, True))) for weekday, label in enumerate(_DAYS)]
    unlike = [
        (label, pattern)
        for weekday, (label, pattern) in enumerate(festive)
        if pattern is not None and pattern != patterns[season, weekday, False]
    ]
    if len({pattern for _, pattern in festive}) == 1 and unlike:
        yield "holiday", unlike[0][1]
    else:
        yield from ((f"{label} holiday", pattern) for label, pattern in unlike)


def _periods(tariff: Tariff, pattern: Pattern, schedule: int, step: int) -> tuple[str, ...]:
    names: list[str] = []
    for minute in range(0, DAY_MINUTES, step):
        cell = next(cell for start, cell in reversed(pattern) if start <= minute)
        names.append(tariff.cells[cell].in_schedule(schedule))
    return tuple(names)
