"""The clauses of a tariff's calendar, read: seasons, holidays, day types, events, periods and further schedules."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from itertools import groupby, pairwise, product
from operator import itemgetter
from typing import Any

from wattledger.tariffs._calendar import DAY_MINUTES, LEAP_YEAR, Calendar, HolidayRule, Patterns, national_holidays
from wattledger.tariffs._coverage import (
    MONTH_DAYS,
    WEEKDAYS,
    Coverage,
    DayKind,
    Rule,
    both_have,
    period_at,
    proven_seasons,
)
from wattledger.tariffs._document import Clause, Faults, Fields
from wattledger.tariffs._model import Cell

ANY_TIME = "any time"
"""The one period of a tariff that names none."""

Dated = tuple[date, date]
"""The first and the last day of a span of exact dates."""

Validity = tuple[date | None, date | None]
"""The first day in force and the first no longer."""

_LONGEST_NAME = 60
_HOLIDAYS = ("included", "excluded", "only")
_SPAN = re.compile(r"([0-9]{2}-[0-9]{2}) to ([0-9]{2}-[0-9]{2})")
_DATED = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}) to ([0-9]{4}-[0-9]{2}-[0-9]{2})")
_WINDOW = re.compile(r"([0-9]{2}):([0-9]{2})-([0-9]{2}):([0-9]{2})")
_LONGEST_VALIDITY = 50  # years within which exact dates may stand in for month and day


@dataclass(frozen=True, slots=True)
class _Schedule:
    """Periods and what applies when: ordinarily and, for the events that they know, while one is on."""

    periods: tuple[str, ...]
    patterns: Patterns
    events: Mapping[str, Patterns]


class CalendarClauses:
    """What ``seasons``, ``holidays``, ``day_types``, ``events``, ``periods`` and ``schedules`` say.

    Faults go where the clauses' go. ``valid`` is the tariff's validity: within it exact dates may be all a season has.

    ``season_names``  in the order of the year, ``(None,)`` when there are none
    ``schedules``     the names of the further schedules, alphabetical
    ``periods``       for each schedule, the tariff's own first, its periods: alphabetical: order of keys says nothing
    ``events``        the events that may be announced, the one that goes before first
    ``cells``         every (season, period, other schedules' periods) that occurs
    ``calendar``      what applies when
    ``document``      the canonical clauses
    ``remarks``       what looks odd but is no fault, whole sentences
    """

    def __init__(self, fields: Fields, faults: Faults, *, valid: Validity = (None, None)) -> None:
        self.faults = faults
        self.document: dict[str, Any] = {}
        self.remarks: list[str] = []
        before = len(faults.found)
        self.season_names: tuple[str | None, ...] = (None,)
        season_of, dated = self._seasons(fields.get("seasons"), valid)
        holidays = self._holidays(fields.get("holidays"))
        self._kinds = list(product(range(7), (False,) if holidays is None else (False, True)))
        self._day_types = self._read_day_types(fields, has_holidays=holidays is not None)
        self.events = self._events(fields.get("events"))
        self._days_are_sound = len(faults.found) == before
        own, written = self._schedule(fields.get("periods"))
        if written is not None:
            self.document["periods"] = written
        further = self._further_schedules(fields.get("schedules"))
        self.schedules = tuple(sorted(further))
        all_schedules = (own, *(further[name] for name in self.schedules))
        self.periods = tuple(schedule.periods for schedule in all_schedules)
        self.cells: tuple[Cell, ...] = ()
        self.calendar = Calendar(seasons=season_of, holidays=holidays or HolidayRule(), patterns={}, dated=dated)
        if len(faults.found) == before:
            self._refuse_unused(fields, all_schedules)
        if len(faults.found) == before:
            self._lay_out(season_of, dated, holidays or HolidayRule(), all_schedules)

    # --- seasons and days --------------------------------------------------------------------------------------------

    def _seasons(
        self, clause: Clause | None, valid: Validity
    ) -> tuple[tuple[int, ...], tuple[tuple[date, date, int], ...]]:
        if clause is None:
            return (0,) * 366, ()
        days: dict[str, frozenset[int]] = {}
        exact: dict[str, list[Dated]] = {}
        written: dict[str, Any] = {}
        before = len(self.faults.found)
        for name, season in named(clause, "season").items():
            spans = [_read_span(item) for item in season.items()]
            every_year = [span for span in spans if isinstance(span, frozenset)]
            days[name] = frozenset[int]().union(*every_year)
            exact[name] = [span for span in spans if isinstance(span, tuple)]
            if len(days[name]) != sum(len(span) for span in every_year):
                season.refuse(f"{name} has a day twice")
            if not spans:
                season.refuse("at least one span of days is expected")
            written[name] = one_or_list([str(item.value).strip() for item in season.items()])
        if len(self.faults.found) > before or not days:
            self.season_names = tuple(days) or (None,)  # known by name, so that no other clause is blamed
            return (0,) * 366, ()
        names = sorted(days, key=lambda name: (_first_day(days[name], exact[name]), name))
        self.season_names = tuple(names)
        self.document["seasons"] = written
        dated = sorted((first, last, names.index(name)) for name, spans in exact.items() for first, last in spans)
        for (_, last, one), (first, _, other) in pairwise(dated):
            if first <= last:
                clause.refuse(both_have(names[one], names[other], first))
        excused = _days_dated(valid, [(first, last) for first, last, _ in dated])
        return proven_seasons(names, [days[name] for name in names], excused, clause), tuple(dated)

    def _holidays(self, clause: Clause | None) -> HolidayRule | None:
        if clause is None:
            return None
        if not clause.is_mapping:
            found = _read_dates(clause)
            self.document["holidays"] = [day.isoformat() for day in found]
            return HolidayRule(listed=frozenset(found)) if found else None
        given = clause.fields(known=("country", "subdivision", "also", "except"), required=("country",))
        country, subdivision = given.text("country"), given.text("subdivision")
        also = _read_dates(given["also"]) if "also" in given else []
        without = _read_dates(given["except"]) if "except" in given else []
        for day in sorted(set(also) & set(without)):
            given["except"].refuse(f"{day.isoformat()} is in 'also' too")
        before = len(self.faults.found)
        if country is not None:
            self._known_country(given, country, subdivision)
            if len(self.faults.found) == before:
                self._remark_needless(country, subdivision, without)
        written = {"country": country, "subdivision": subdivision}
        self.document["holidays"] = {key: text for key, text in written.items() if text is not None} | {
            key: one_or_list([day.isoformat() for day in days])
            for key, days in (("also", also), ("except", without))
            if days
        }
        return HolidayRule(
            listed=frozenset(also), country=country, subdivision=subdivision, excepted=frozenset(without)
        )

    def _remark_needless(self, country: str, subdivision: str | None, without: Sequence[date]) -> None:
        """Not a fault: what a country's holidays are may change after a version was published."""
        where = country if subdivision is None else f"{country}-{subdivision}"
        for day in without:
            if day not in national_holidays(country, subdivision, day.year):
                self.remarks.append(f"'holidays' excepts {day.isoformat()}, which is no holiday of {where} anyway.")

    def _known_country(self, given: Fields, country: str, subdivision: str | None) -> None:
        countries = _countries()
        if country not in countries:
            given["country"].refuse(f"an ISO 3166 code such as DE with known holidays is expected, not {country!r}")
        elif subdivision is not None and subdivision not in countries[country]:
            choice = f"one of {', '.join(sorted(countries[country]))}" if countries[country] else "none"
            given["subdivision"].refuse(f"unknown subdivision {subdivision!r} of {country}: {choice} is expected")

    def _read_day_types(self, fields: Fields, *, has_holidays: bool) -> dict[str, frozenset[DayKind]]:
        clause = fields.get("day_types")
        types: dict[str, frozenset[DayKind]] = {}
        written: dict[str, Any] = {}
        rules: set[str] = set()
        for name, kind in {} if clause is None else named(clause, "day type").items():
            weekdays, rule = self._day_type(kind, has_holidays=has_holidays)
            wanted = {"included": (False, True), "excluded": (False,), "only": (True,)}[rule]
            types[name] = frozenset(kind for kind in self._kinds if kind[0] in weekdays and kind[1] in wanted)
            names = [WEEKDAYS[day] for day in sorted(weekdays)]
            written[name] = names if rule == "included" else {"days": names, "holidays": rule}
            rules.add(rule)
        if clause is not None:
            self.document["day_types"] = written
        if has_holidays and not rules & {"excluded", "only"}:
            fields["holidays"].refuse("no day type says whether these are 'excluded' from it or the 'only' days of it")
        return types

    def _day_type(self, clause: Clause, *, has_holidays: bool) -> tuple[frozenset[int], str]:
        if not clause.is_mapping:
            return _read_weekdays(clause), "included"
        weekdays, rule = frozenset(range(7)), "included"
        given = clause.fields(known=("days", "holidays"))
        if "days" in given:
            weekdays = _read_weekdays(given["days"])
        if "holidays" in given:
            rule = given["holidays"].one_of(_HOLIDAYS) or rule
            if not has_holidays:
                given["holidays"].refuse("no holidays are listed")
        if not len(given):
            clause.refuse("'days' or 'holidays' is missing")
        return weekdays, rule

    def _events(self, clause: Clause | None) -> tuple[str, ...]:
        if clause is None:
            return ()
        if clause.is_mapping:
            clause.refuse("a list of names of events is expected, not a mapping")
            return tuple(clause.entries())
        names: list[str] = []
        for item in clause.items():
            name = item.text()
            if name in names:
                item.refuse(f"the event {name!r} is named twice")
            elif name is not None:
                names.append(name)
        if not clause.items():
            clause.refuse("at least one event is expected")
        self.document["events"] = one_or_list(names) if names else []
        return tuple(names)

    # --- periods -----------------------------------------------------------------------------------------------------

    def _further_schedules(self, clause: Clause | None) -> dict[str, _Schedule]:
        if clause is None:
            return {}
        found: dict[str, _Schedule] = {}
        written: dict[str, Any] = {}
        for name, schedule in named(clause, "schedule").items():
            given = schedule.fields(known=("periods",), required=("periods",))
            found[name], periods = self._schedule(given.get("periods"))
            written[name] = {"periods": periods}
        self.document["schedules"] = written
        return found

    def _schedule(self, clause: Clause | None) -> tuple[_Schedule, Any]:
        if clause is None:
            keys = product(range(len(self.season_names)), self._kinds)
            return _Schedule((ANY_TIME,), {(season, *kind): ((0, 0),) for season, kind in keys}, {}), None
        before = len(self.faults.found)
        entries = named(clause, "period")
        periods = tuple(sorted(entries)) or (ANY_TIME,)
        rules, rest, written = self._rules(clause, entries, periods)
        if len(self.faults.found) > before or not self._days_are_sound:
            return _Schedule(periods, {}, {}), written
        proof = Coverage(clause, periods, self.season_names, self._kinds)
        patterns = proof.patterns([rule for rule in rules if not rule.events], rest[0] if rest else None)
        events = {
            event: proof.while_on(event, [rule for rule in rules if event in rule.events], patterns)
            for event in self.events
            if any(event in rule.events for rule in rules)
        }
        if len(self.faults.found) == before:
            reached = _reached(patterns).union(*(_reached(found) for found in events.values()))
            for number, name in enumerate(periods):
                if number not in reached:
                    entries[name].refuse(f"no minute of the year is {name}")
        return _Schedule(periods, patterns, events), written

    def _rules(
        self, clause: Clause, entries: Mapping[str, Clause], periods: Sequence[str]
    ) -> tuple[list[Rule], list[int], dict[str, Any]]:
        """The rules of all periods, the periods that are ``otherwise``, and the canonical clause."""
        rules: list[Rule] = []
        rest: list[int] = []
        written: dict[str, Any] = {}
        for name, period in entries.items():
            number = periods.index(name)
            if name in self.season_names:
                period.refuse(f"{name!r} is the name of a season too")
            if period.value == "otherwise":
                rest.append(number)
                written[name] = "otherwise"
                continue
            read = [self._rule(item, number) for item in period.items()]
            if not read:
                period.refuse("'otherwise', a rule or a list of rules is expected")
            rules.extend(rule for rule, _ in read)
            written[name] = one_or_list([document for _, document in read]) if read else []
        if len(rest) > 1:
            clause.refuse("only one period can be 'otherwise'")
        return rules, rest, written

    def _rule(self, clause: Clause, period: int) -> tuple[Rule, dict[str, Any]]:
        given = clause.fields(known=("seasons", "days", "times", "events"))
        document: dict[str, Any] = {}
        seasons = frozenset(range(len(self.season_names)))
        days = frozenset(self._kinds)
        minutes: tuple[tuple[int, int], ...] = ((0, DAY_MINUTES),)
        events: list[str] = []
        if "seasons" in given:
            names = _known_names(given["seasons"], [n for n in self.season_names if n is not None], "season")
            seasons = frozenset(self.season_names.index(name) for name in names)
            document["seasons"] = one_or_list(names)
        if "days" in given:
            names = _known_names(given["days"], list(self._day_types), "day type")
            days = frozenset[DayKind]().union(*(self._day_types[name] for name in names))
            document["days"] = one_or_list(names)
        if "times" in given:
            minutes = tuple(span for item in given["times"].items() for span in _read_window(item))
            document["times"] = one_or_list([str(item.value).strip() for item in given["times"].items()])
            if not given["times"].items():
                given["times"].refuse("at least one window is expected")
        if "events" in given:
            events = _known_names(given["events"], self.events, "event")
            document["events"] = one_or_list(events)
        if clause.is_mapping and not len(given):
            clause.refuse("'seasons', 'days' or 'times' is missing")
        return Rule(period, seasons, days, minutes, tuple(events)), document

    # --- all of it together ------------------------------------------------------------------------------------------

    def _refuse_unused(self, fields: Fields, schedules: Sequence[_Schedule]) -> None:
        for event in self.events:
            if not any(event in schedule.events for schedule in schedules):
                fields["events"].refuse(f"no period says what applies while {event!r} is on")

    def _lay_out(
        self,
        season_of: tuple[int, ...],
        dated: tuple[tuple[date, date, int], ...],
        holidays: HolidayRule,
        schedules: Sequence[_Schedule],
    ) -> None:
        """All schedules as one row of cells, ordinarily and while each event is on."""
        ordinary = _together([schedule.patterns for schedule in schedules])
        on = {
            event: _together([schedule.events.get(event, schedule.patterns) for schedule in schedules])
            for event in self.events
        }
        reached = sorted(
            {
                (key[0], periods)
                for found in (ordinary, *on.values())
                for key, pattern in found.items()
                for _, periods in pattern
            }
        )
        index = {pair: cell for cell, pair in enumerate(reached)}
        names = [
            tuple(names[period] for names, period in zip(self.periods, periods, strict=True)) for _, periods in reached
        ]
        self.cells = tuple(
            Cell(self.season_names[season], own, tuple(others))
            for (season, _), (own, *others) in zip(reached, names, strict=True)
        )

        def cells(found: Mapping[tuple[int, int, bool], _Joint]) -> Patterns:
            return {
                key: tuple((minute, index[key[0], periods]) for minute, periods in pattern)
                for key, pattern in found.items()
            }

        self.calendar = Calendar(
            seasons=season_of,
            holidays=holidays,
            patterns=cells(ordinary),
            dated=dated,
            events={event: cells(found) for event, found in on.items()},
        )


_Joint = tuple[tuple[int, tuple[int, ...]], ...]
"""(minute of the day, the period of each schedule from there on)."""


def _together(schedules: Sequence[Patterns]) -> dict[tuple[int, int, bool], _Joint]:
    """The patterns of several schedules cut at all their minutes."""
    joint: dict[tuple[int, int, bool], _Joint] = {}
    for key in schedules[0]:
        minutes = sorted({minute for schedule in schedules for minute, _ in schedule[key]})
        rows = [(minute, tuple(period_at(schedule[key], minute) for schedule in schedules)) for minute in minutes]
        joint[key] = tuple(next(run) for _, run in groupby(rows, key=itemgetter(1)))
    return joint


def _reached(patterns: Patterns) -> set[int]:
    return {period for pattern in patterns.values() for _, period in pattern}


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
        elif name is not None and name in found:
            item.refuse(f"{name!r} is named twice")
        elif name is not None:
            found.append(name)
    if not clause.items():
        clause.refuse(f"at least one {what} is expected")
    return found


def _read_span(clause: Clause) -> frozenset[int] | Dated | None:
    """Days of a leap year (0 to 365) of ``MM-DD to MM-DD``, perhaps across New Year's Eve, or a span of exact dates.

    The last day is included.
    """
    text = clause.text()
    if text is None:
        return None
    if match := _DATED.fullmatch(text):
        try:
            first_date, last_date = date.fromisoformat(match[1]), date.fromisoformat(match[2])
        except ValueError:
            first_date = last_date = date.min
        if first_date == date.min or first_date > last_date:
            clause.refuse(f"first and last date such as '2026-04-03 to 2026-04-06' are expected, not {text!r}")
            return None
        return first_date, last_date
    match = _SPAN.fullmatch(text)
    if match is None or match[1] not in MONTH_DAYS or match[2] not in MONTH_DAYS:
        clause.refuse(f"first and last day such as '04-01 to 09-30' are expected, not {text!r}")
        return None
    first, last = MONTH_DAYS.index(match[1]), MONTH_DAYS.index(match[2])
    return frozenset(range(first, last + 1) if first <= last else {*range(first, 366), *range(last + 1)})


def _read_dates(clause: Clause) -> list[date]:
    found = [day for item in clause.items() if (day := item.date()) is not None]
    if len(set(found)) != len(found):
        clause.refuse("a holiday is listed twice")
    return sorted(found)


@lru_cache(maxsize=1)
def _countries() -> dict[str, frozenset[str]]:
    """The countries whose holidays are known by rule, and the subdivisions of each."""
    import holidays  # noqa: PLC0415 - most tariffs do without, and it is slow to start

    known = holidays.list_supported_countries()
    return {code: frozenset(parts) for code, parts in known.items() if re.fullmatch("[A-Z]{2}", code)}


def _read_weekdays(clause: Clause) -> frozenset[int]:
    """Weekdays (0 is Monday) of ``mon-fri``, ``sat`` or a list of either."""
    found: set[int] = set()
    for item in clause.items():
        text = item.text()
        if text is None:
            continue
        first, dash, last = text.partition("-")
        last = last if dash else first
        if first not in WEEKDAYS or last not in WEEKDAYS:
            item.refuse(f"weekdays such as 'mon-fri' or 'sun' are expected, not {text!r}")
            continue
        step = (WEEKDAYS.index(last) - WEEKDAYS.index(first)) % 7
        days = {(WEEKDAYS.index(first) + n) % 7 for n in range(step + 1)}
        if days & found:
            item.refuse(f"{text!r} names a weekday twice")
        found |= days
    if not clause.items():
        clause.refuse("at least one weekday is expected")
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


def _first_day(days: frozenset[int], exact: Sequence[Dated]) -> int:
    """The day of a leap year by which a season has its place in the order of the year."""
    if days:
        return min(days)
    return min(date(LEAP_YEAR, first.month, first.day).timetuple().tm_yday - 1 for first, _ in exact)


def _days_dated(valid: Validity, spans: Sequence[Dated]) -> frozenset[int]:
    """Days of a leap year that have no need of a season by month and day: exact dates cover all of them in force."""
    first, until = valid
    if not spans or first is None or until is None or until.year - first.year > _LONGEST_VALIDITY:
        return frozenset()
    within = {first + timedelta(days=n) for n in range((until - first).days)}
    for begin, end in spans:
        within -= {max(begin, first) + timedelta(days=n) for n in range((min(end, until) - max(begin, first)).days + 1)}
    return frozenset(range(366)) - {MONTH_DAYS.index(f"{day:%m-%d}") for day in within}
