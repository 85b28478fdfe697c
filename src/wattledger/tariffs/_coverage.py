"""Proof that every day of a year has one season and every minute of a day one period, and where it has not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import chain, groupby, pairwise, product
from operator import itemgetter

from wattledger.tariffs._calendar import DAY_MINUTES, LEAP_YEAR, Pattern, Patterns
from wattledger.tariffs._document import Clause

DayKind = tuple[int, bool]
"""A weekday (0 is Monday) and whether the day is a holiday."""

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MONTH_DAYS = tuple(f"{date(LEAP_YEAR, 1, 1) + timedelta(days=n):%m-%d}" for n in range(366))
"""The days of a leap year, as they are written."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Where a period applies: in these seasons, on these days, in these minutes; always, or while an event is on."""

    period: int
    seasons: frozenset[int]
    days: frozenset[DayKind]
    minutes: tuple[tuple[int, int], ...]
    events: tuple[str, ...] = ()


def period_at(pattern: Pattern, minute: int) -> int:
    """What a pattern says of a minute."""
    return [what for start, what in pattern if start <= minute][-1]


def proven_seasons(
    names: Sequence[str], days: Sequence[frozenset[int]], excused: frozenset[int], clause: Clause
) -> tuple[int, ...]:
    """The season of each day of the year; notes the days that no season or more than one has."""
    having = [tuple(index for index, season in enumerate(days) if day in season) for day in range(366)]
    for (owners, fine), run in groupby(range(366), key=lambda day: (having[day], not having[day] and day in excused)):
        if len(owners) != 1 and not fine:
            stretch = list(run)
            span = f"{MONTH_DAYS[stretch[0]]} to {MONTH_DAYS[stretch[-1]]}"
            clause.refuse(_covering([names[index] for index in owners], "season", span))
    return tuple(owners[0] if owners else 0 for owners in having)


@dataclass(frozen=True, slots=True)
class Coverage:
    """Lays rules out over every kind of day in every season, and notes the minutes with no period or more than one."""

    clause: Clause
    periods: Sequence[str]
    seasons: Sequence[str | None]
    days: Sequence[DayKind]

    def patterns(self, rules: Sequence[Rule], otherwise: int | None) -> Patterns:
        """What applies ordinarily; nothing on a day that is not covered."""
        patterns: dict[tuple[int, int, bool], Pattern] = {}
        wrong: dict[tuple[int, str], list[DayKind]] = {}
        rest = () if otherwise is None else (otherwise,)
        for season, kind in product(range(len(self.seasons)), self.days):
            pattern: list[tuple[int, int]] = []
            runs = _runs(_spans(rules, season, kind))
            for first, last, found in runs:
                owners = found or rest
                if len(owners) == 1:
                    pattern.append((first, owners[0]))
                else:
                    wrong.setdefault((season, self._fault(owners, first, last)), []).append(kind)
            patterns[season, *kind] = tuple(pattern) if len(pattern) == len(runs) else ()
        self._tell(wrong)
        return patterns

    def while_on(self, event: str, rules: Sequence[Rule], ordinary: Patterns) -> Patterns:
        """What applies while an event is on: its own periods, and what is ordinary at other times."""
        patterns: dict[tuple[int, int, bool], Pattern] = {}
        wrong: dict[tuple[int, str], list[DayKind]] = {}
        for season, kind in product(range(len(self.seasons)), self.days):
            usual = ordinary[season, *kind]
            rows: list[tuple[int, int]] = []
            for first, last, owners in _runs(_spans(rules, season, kind)):
                if len(owners) > 1:
                    fault = f"{self._fault(owners, first, last)} while {event} is on"
                    wrong.setdefault((season, fault), []).append(kind)
                elif owners:
                    rows.append((first, owners[0]))
                elif usual:
                    rows.append((first, period_at(usual, first)))
                    rows.extend((minute, period) for minute, period in usual if first < minute < last)
            patterns[season, *kind] = tuple(next(run) for _, run in groupby(rows, key=itemgetter(1)))
        self._tell(wrong)
        return patterns

    def _fault(self, owners: Sequence[int], first: int, last: int) -> str:
        return _covering([self.periods[period] for period in owners], "period", f"{_clock(first)}-{_clock(last)}")

    def _tell(self, wrong: Mapping[tuple[int, str], list[DayKind]]) -> None:
        alike: dict[str, list[int]] = {}
        for (season, cause), kinds in wrong.items():
            alike.setdefault(f"{cause} on {_days_text(kinds)}", []).append(season)
        for fault, where in alike.items():
            everywhere = len(where) == len(self.seasons)
            names = ", ".join(str(self.seasons[season]) for season in where)
            self.clause.refuse(fault if everywhere else f"{fault} in {names}")


def _spans(rules: Sequence[Rule], season: int, kind: DayKind) -> list[tuple[int, int, int]]:
    mine = [rule for rule in rules if season in rule.seasons and kind in rule.days]
    return list(chain.from_iterable(((*span, rule.period) for span in rule.minutes) for rule in mine))


def _runs(spans: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, tuple[int, ...]]]:
    """The day as stretches of minutes, each with all the owners of its minutes; neighbours differ."""
    cuts = sorted({0, DAY_MINUTES, *(cut for first, last, _ in spans for cut in (first, last))})
    pieces = [(a, b, tuple(owner for first, last, owner in spans if first <= a < last)) for a, b in pairwise(cuts)]
    runs: list[tuple[int, int, tuple[int, ...]]] = []
    for owners, group in groupby(pieces, key=itemgetter(2)):
        stretch = list(group)
        runs.append((stretch[0][0], stretch[-1][1], owners))
    return runs


def _covering(owners: Sequence[str], what: str, span: str) -> str:
    distinct = list(dict.fromkeys(owners))
    if not owners:
        return f"no {what} covers {span}"
    if len(distinct) == 1:
        return f"{distinct[0]} covers {span} twice"
    return f"{' and '.join(distinct)} {'both' if len(distinct) == 2 else 'all'} cover {span}"  # noqa: PLR2004 - two


def both_have(one: str, other: str, day: date) -> str:
    """The fault of a day that two spans of exact dates have."""
    owners = f"{one} has {day} twice" if one == other else f"{one} and {other} both have {day}"
    return f"{owners}: spans of exact dates must not overlap"


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def _days_text(kinds: Sequence[DayKind]) -> str:
    plain = {day for day, holiday in kinds if not holiday}
    festive = {day for day, holiday in kinds if holiday}
    parts = []
    if plain:
        parts.append("every day" if len(plain) == len(WEEKDAYS) else ", ".join(WEEKDAYS[day] for day in sorted(plain)))
    if festive - plain or not plain:
        parts.append("holidays" if len(festive) == len(WEEKDAYS) else f"holidays on {_names(festive)}")
    return " and ".join(parts)


def _names(days: Iterable[int]) -> str:
    return ", ".join(WEEKDAYS[day] for day in sorted(days))
