"""The clauses of a tariff's calendar, read, and proof that every minute of a year has one season and one period."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby, pairwise, product
from operator import itemgetter
from typing import Any

from wattledger.tariffs._calendar import DAY_MINUTES, LEAP_YEAR, Calendar
from wattledger.tariffs._document import Clause, Faults, Fields
from wattledger.tariffs._model import Cell

ANY_TIME = "any time"
"""The one period of a tariff that names none."""

DayKind = tuple[int, bool]
"""A weekday (0 is Monday) and whether the day is a holiday."""

Pattern = tuple[tuple[int, int], ...]
"""(minute of the day, what applies from there on), in order, the first at minute 0."""

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LONGEST_NAME = 60
_HOLIDAYS = ("included", "excluded", "only")
_MONTH_DAYS = tuple(f"{date(LEAP_YEAR, 1, 1) + timedelta(days=n):%m-%d}" for n in range(366))
_SPAN = re.compile(r"([0-9]{2}-[0-9]{2}) to ([0-9]{2}-[0-9]{2})")
_WINDOW = re.compile(r"([0-9]{2}):([0-9]{2})-([0-9]{2}):([0-9]{2})")


@dataclass(frozen=True, slots=True)
class _Rule:
    """Where a period applies: in these seasons, on these days, in these minutes of the day."""

    period: int
    seasons: frozenset[int]
    days: frozenset[DayKind]
    minutes: tuple[tuple[int, int], ...]


class CalendarClauses:
    """What ``seasons``, ``holidays``, ``day_types`` and ``periods`` say; faults go where the clauses' go.

    ``season_names``  in the order of the year, ``(None,)`` when there are none
    ``period_names``  alphabetical: the order of keys is no content
    ``cells``         every (season, period) that occurs
    ``calendar``      what applies when
    ``document``      the canonical clauses
    """

    def __init__(self, fields: Fields, faults: Faults) -> None:
        self.faults = faults
        self.document: dict[str, Any] = {}
        self.season_names: tuple[str | None, ...] = (None,)
        self.period_names: tuple[str, ...] = (ANY_TIME,)
        season_of = self._seasons(fields.get("seasons"))
        holidays = self._listed_holidays(fields.get("holidays"))
        kinds = list(product(range(7), (False, True) if holidays else (False,)))
        day_types = self._day_types(fields, kinds, holidays)
        patterns = self._periods(fields.get("periods"), kinds, day_types)
        reached = sorted({(key[0], period) for key, pattern in patterns.items() for _, period in pattern})
        for number, name in enumerate(self.period_names):
            if patterns and not faults.found and all(period != number for _, period in reached):
                faults.add(f"periods.{name}", f"no minute of the year is {name}")
        index = {pair: cell for cell, pair in enumerate(reached)}
        self.cells = tuple(Cell(self.season_names[season], self.period_names[period]) for season, period in reached)
        self.calendar = Calendar(
            seasons=season_of,
            holidays=holidays,
            patterns={
                key: tuple((minute, index[key[0], period]) for minute, period in pattern)
                for key, pattern in patterns.items()
            },
        )

    def _seasons(self, clause: Clause | None) -> tuple[int, ...]:
        if clause is None:
            return (0,) * 366
        seasons: dict[str, frozenset[int]] = {}
        written: dict[str, Any] = {}
        before = len(self.faults.found)
        for name, season in named(clause, "season").items():
            spans = [_read_month_days(item) for item in season.items()]
            seasons[name] = frozenset[int]().union(*(span or () for span in spans))
            if len(seasons[name]) != sum(len(span or ()) for span in spans):
                season.refuse(f"{name} has a day twice")
            written[name] = one_or_list([str(item.value).strip() for item in season.items()])
        if len(self.faults.found) > before:
            return (0,) * 366
        names = sorted(seasons, key=lambda name: min(seasons[name]))
        self.season_names = tuple(names)
        self.document["seasons"] = written
        return _proven_seasons(names, [seasons[name] for name in names], self.faults)

    def _listed_holidays(self, clause: Clause | None) -> frozenset[date]:
        if clause is None:
            return frozenset()
        if clause.is_mapping:
            clause.refuse("clause not supported yet: holidays by country rule (list the dates)")
            return frozenset()
        found = [day for item in clause.items() if (day := item.date()) is not None]
        if len(set(found)) != len(found):
            clause.refuse("a holiday is listed twice")
        self.document["holidays"] = sorted(day.isoformat() for day in found)
        return frozenset(found)

    def _day_types(
        self, fields: Fields, kinds: Sequence[DayKind], holidays: frozenset[date]
    ) -> dict[str, frozenset[DayKind]]:
        clause = fields.get("day_types")
        types: dict[str, frozenset[DayKind]] = {}
        written: dict[str, Any] = {}
        rules: set[str] = set()
        for name, kind in {} if clause is None else named(clause, "day type").items():
            weekdays, rule = self._day_type(kind, holidays)
            wanted = {"included": (False, True), "excluded": (False,), "only": (True,)}[rule]
            types[name] = frozenset(kind for kind in kinds if kind[0] in weekdays and kind[1] in wanted)
            names = [_WEEKDAYS[day] for day in sorted(weekdays)]
            written[name] = names if rule == "included" else {"days": names, "holidays": rule}
            rules.add(rule)
        if clause is not None:
            self.document["day_types"] = written
        if holidays and not rules & {"excluded", "only"}:
            fields["holidays"].refuse("no day type says whether these are 'excluded' from it or the 'only' days of it")
        return types

    def _day_type(self, clause: Clause, holidays: frozenset[date]) -> tuple[frozenset[int], str]:
        if not clause.is_mapping:
            return _read_weekdays(clause), "included"
        weekdays, rule = frozenset(range(7)), "included"
        given = clause.fields(known=("days", "holidays"), required=())
        if "days" in given:
            weekdays = _read_weekdays(given["days"])
        if "holidays" in given:
            rule = given["holidays"].one_of(_HOLIDAYS) or rule
            if not holidays:
                given["holidays"].refuse("no holidays are listed")
        if not len(given):
            clause.refuse("'days' or 'holidays' is missing")
        return weekdays, rule

    def _periods(
        self, clause: Clause | None, kinds: Sequence[DayKind], day_types: Mapping[str, frozenset[DayKind]]
    ) -> dict[tuple[int, int, bool], Pattern]:
        if clause is None:
            return {(season, *kind): ((0, 0),) for season in range(len(self.season_names)) for kind in kinds}
        before = len(self.faults.found)
        entries = named(clause, "period")
        self.period_names = tuple(sorted(entries)) or (ANY_TIME,)
        rules: list[_Rule] = []
        written: dict[str, Any] = {}
        rest: list[int] = []
        for name, period in entries.items():
            number = self.period_names.index(name)
            if name in self.season_names:
                period.refuse(f"{name!r} is the name of a season too")
            if period.value == "otherwise":
                rest.append(number)
                written[name] = "otherwise"
                continue
            read = [self._rule(item, number, kinds, day_types) for item in period.items()]
            rules.extend(rule for rule, _ in read)
            written[name] = one_or_list([document for _, document in read])
        if len(rest) > 1:
            clause.refuse("only one period can be 'otherwise'")
        self.document["periods"] = written
        if len(self.faults.found) > before:
            return {}
        return _proven_patterns(
            periods=self.period_names,
            rules=rules,
            otherwise=rest[0] if rest else None,
            seasons=self.season_names,
            days=kinds,
            faults=self.faults,
        )

    def _rule(
        self,
        clause: Clause,
        period: int,
        kinds: Sequence[DayKind],
        day_types: Mapping[str, frozenset[DayKind]],
    ) -> tuple[_Rule, dict[str, Any]]:
        given = clause.fields(known=("seasons", "days", "times"), required=(), later=("events",))
        document: dict[str, Any] = {}
        seasons = frozenset(range(len(self.season_names)))
        days = frozenset(kinds)
        minutes: tuple[tuple[int, int], ...] = ((0, DAY_MINUTES),)
        if "seasons" in given:
            names = _known_names(given["seasons"], [n for n in self.season_names if n is not None], "season")
            seasons = frozenset(self.season_names.index(name) for name in names)
            document["seasons"] = one_or_list(names)
        if "days" in given:
            names = _known_names(given["days"], list(day_types), "day type")
            days = frozenset[DayKind]().union(*(day_types[name] for name in names))
            document["days"] = one_or_list(names)
        if "times" in given:
            minutes = tuple(span for item in given["times"].items() for span in _read_window(item))
            document["times"] = one_or_list([str(item.value).strip() for item in given["times"].items()])
        if clause.is_mapping and not len(given):
            clause.refuse("'seasons', 'days' or 'times' is missing")
        return _Rule(period, seasons, days, minutes), document


def named(clause: Clause, what: str) -> dict[str, Clause]:
    """The members of a mapping whose keys are an author's names; refuses an empty one."""
    entries = clause.entries()
    if clause.is_mapping and not entries:
        clause.refuse(f"at least one {what} is expected")
    for name, entry in entries.items():
        if name != name.strip() or not name.isprintable() or not 0 < len(name) <= _LONGEST_NAME:
            entry.refuse(f"a name of up to {_LONGEST_NAME} printable characters is expected, not {name!r}")
    return entries


def one_or_list(items: Sequence[Any]) -> Any:  # noqa: ANN401 - JSON
    """The canonical spelling of a list: a single member stands alone."""
    return items[0] if len(items) == 1 else list(items)


def _known_names(clause: Clause, names: Sequence[str], what: str) -> list[str]:
    found: list[str] = []
    for item in clause.items():
        name = item.text()
        if name is not None and name not in names:
            item.refuse(f"unknown {what} {name!r}")
        elif name is not None:
            found.append(name)
    if not clause.items():
        clause.refuse(f"at least one {what} is expected")
    return found


def _read_month_days(clause: Clause) -> frozenset[int] | None:
    """Days of a leap year (0 to 365) of ``MM-DD to MM-DD``, both included; may run across New Year's Eve."""
    text = clause.text()
    if text is None:
        return None
    match = _SPAN.fullmatch(text)
    if match is None or match[1] not in _MONTH_DAYS or match[2] not in _MONTH_DAYS:
        clause.refuse(f"first and last day such as '04-01 to 09-30' are expected, not {text!r}")
        return None
    first, last = _MONTH_DAYS.index(match[1]), _MONTH_DAYS.index(match[2])
    return frozenset(range(first, last + 1) if first <= last else {*range(first, 366), *range(last + 1)})


def _read_weekdays(clause: Clause) -> frozenset[int]:
    """Weekdays (0 is Monday) of ``mon-fri``, ``sat`` or a list of either."""
    found: set[int] = set()
    for item in clause.items():
        text = item.text()
        if text is None:
            continue
        first, dash, last = text.partition("-")
        last = last if dash else first
        if first not in _WEEKDAYS or last not in _WEEKDAYS:
            item.refuse(f"weekdays such as 'mon-fri' or 'sun' are expected, not {text!r}")
            continue
        step = (_WEEKDAYS.index(last) - _WEEKDAYS.index(first)) % 7
        days = {(_WEEKDAYS.index(first) + n) % 7 for n in range(step + 1)}
        if days & found:
            item.refuse(f"{text!r} names a weekday twice")
        found |= days
    return frozenset(found)


def _read_window(clause: Clause) -> tuple[tuple[int, int], ...]:
    """Minutes of the day of ``HH:MM-HH:MM``, the end not included; across midnight these are the day's two ends."""
    text = clause.text()
    if text is None:
        return ()
    match = _WINDOW.fullmatch(text)
    if match is None or int(match[2]) >= 60 or int(match[4]) >= 60:  # noqa: PLR2004 - minutes of an hour
        clause.refuse(f"a window such as '16:00-21:00' is expected, not {text!r}")
        return ()
    first, last = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
    if first >= DAY_MINUTES or last > DAY_MINUTES or first == last:
        clause.refuse(f"the window {text!r} has no minute, or one that no day has")
        return ()
    if first < last:
        return ((first, last),)
    return ((0, last), (first, DAY_MINUTES)) if last else ((first, DAY_MINUTES),)


def _proven_seasons(names: Sequence[str], days: Sequence[frozenset[int]], faults: Faults) -> tuple[int, ...]:
    """The season of each day of the year; notes the days that no season or more than one has."""
    having = [[index for index, season in enumerate(days) if day in season] for day in range(366)]
    for owners, run in groupby(range(366), key=lambda day: tuple(having[day])):
        if len(owners) != 1:
            stretch = list(run)
            span = f"{_MONTH_DAYS[stretch[0]]} to {_MONTH_DAYS[stretch[-1]]}"
            faults.add("seasons", _covering([names[index] for index in owners], "season", span))
    return tuple(owners[0] if owners else 0 for owners in having)


def _proven_patterns(
    *,
    periods: Sequence[str],
    rules: Sequence[_Rule],
    otherwise: int | None,
    seasons: Sequence[str | None],
    days: Iterable[DayKind],
    faults: Faults,
) -> dict[tuple[int, int, bool], tuple[tuple[int, int], ...]]:
    """The period of each minute of each kind of day in each season; notes the minutes with none or more than one."""
    patterns: dict[tuple[int, int, bool], tuple[tuple[int, int], ...]] = {}
    wrong: dict[tuple[int, str], list[DayKind]] = {}
    for season, kind in product(range(len(seasons)), days):
        spans = [(*span, r.period) for r in rules if season in r.seasons and kind in r.days for span in r.minutes]
        pattern: list[tuple[int, int]] = []
        for first, last, owners in _runs(spans):
            having = owners or (() if otherwise is None else (otherwise,))
            if len(having) == 1:
                pattern.append((first, having[0]))
            else:
                cause = _covering([periods[p] for p in having], "period", f"{_clock(first)}-{_clock(last)}")
                wrong.setdefault((season, cause), []).append(kind)
        patterns[season, *kind] = tuple(pattern)
    alike: dict[str, list[int]] = {}
    for (season, cause), kinds in wrong.items():
        alike.setdefault(f"{cause} on {_days_text(kinds)}", []).append(season)
    for fault, where in alike.items():
        everywhere = len(where) == len(seasons)
        faults.add("periods", fault if everywhere else f"{fault} in {', '.join(str(seasons[n]) for n in where)}")
    return patterns


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
    return f"{' and '.join(distinct)} both cover {span}"


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def _days_text(kinds: Sequence[DayKind]) -> str:
    plain = {day for day, holiday in kinds if not holiday}
    festive = {day for day, holiday in kinds if holiday}
    parts = []
    if plain:
        parts.append(
            "every day" if len(plain) == len(_WEEKDAYS) else ", ".join(_WEEKDAYS[day] for day in sorted(plain))
        )
    if festive - plain or not plain:
        parts.append("holidays" if len(festive) == len(_WEEKDAYS) else f"holidays on {_names(festive)}")
    return " and ".join(parts)


def _names(days: Iterable[int]) -> str:
    return ", ".join(_WEEKDAYS[day] for day in sorted(days))
