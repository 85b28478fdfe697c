"""URDB's twelve months of hours, rewritten as seasons, day types and periods."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wattledger.tariffs._document import shown
from wattledger.tariffs._urdb_values import Reading, number_in

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LAST_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_HOURS = 24
_LONGEST_LABEL = 40
_NO_PERIOD = -1  # in place of a number that names no period
_CELLS_SHOWN = 3  # of those that are wrong in one way

Row = tuple[int, ...]
"""The number of the period in each hour of a day."""


@dataclass(frozen=True, slots=True)
class Weeks:
    """For each month the periods of a weekday and of a day of the weekend, and what the periods are called."""

    weekday: tuple[Row, ...]
    weekend: tuple[Row, ...]
    names: Mapping[int, str]

    @property
    def occurring(self) -> tuple[int, ...]:
        """The periods that occur at all."""
        return tuple(self.names)

    def of(self, month: int) -> tuple[Row, Row]:
        """The periods of a month, by hour."""
        return self.weekday[month], self.weekend[month]

    def occurring_in(self, months: Sequence[int]) -> list[int]:
        """The periods that occur in any of the months."""
        return sorted({period for month in months for row in self.of(month) for period in row})


@dataclass(frozen=True, slots=True)
class Seasons:
    """The months that nothing tells apart; one group without a name where all twelve are alike."""

    months: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, told_apart: Sequence[Hashable]) -> Seasons:
        """Seasons of what is told of each of the twelve months."""
        groups: dict[Hashable, list[int]] = {}
        for month, what in enumerate(told_apart):
            groups.setdefault(what, []).append(month)
        if len(groups) == 1:
            return cls({"": tuple(range(12))})
        return cls({_season(group)[0]: tuple(group) for group in groups.values()})

    def clause(self) -> dict[str, Any]:
        """``seasons``, as far as there are any."""
        if len(self.months) == 1:
            return {}
        return {"seasons": {name: _season(group)[1] for name, group in self.months.items()}}

    def by_season(self, values: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
        """One value where it is the same in all seasons, else one a season."""
        first = next(iter(values.values()))
        return first if all(value == first for value in values.values()) else dict(values)

    def day_types(self, *schedules: Weeks | None) -> dict[str, Any]:
        """``day_types``, where a schedule has a weekend of its own."""
        if any(weeks is not None and weeks.weekday != weeks.weekend for weeks in schedules):
            return {"day_types": {"weekday": "mon-fri", "weekend": ["sat", "sun"]}}
        return {}

    def periods(self, weeks: Weeks) -> dict[str, Any]:
        """``periods`` of a schedule: where each applies."""
        alike: dict[tuple[Row, Row], list[str]] = {}
        for name, months in self.months.items():
            alike.setdefault(weeks.of(months[0]), []).append(name)
        applies: dict[int, dict[tuple[str, ...], list[str]]] = {period: {} for period in weeks.occurring}
        for rows, seasons in alike.items():
            for period in sorted({*rows[0], *rows[1]}):
                working, free = (_windows(row, period) for row in rows)
                every = [("", working)] if working == free else [("weekday", working), ("weekend", free)]
                for days, windows in every:
                    if windows:
                        applies[period].setdefault((days, *windows), []).extend(seasons)
        return {
            weeks.names[period]: [self._rule(seasons, *rule) for rule, seasons in found.items()]
            for period, found in applies.items()
        }

    def _rule(self, seasons: Sequence[str], days: str, *windows: str) -> dict[str, Any]:
        """When a period applies, without saying what does not restrict it."""
        when: dict[str, Any] = {"seasons": list(seasons)} if len(seasons) < len(self.months) else {}
        return {**when, **({"days": days} if days else {}), "times": list(windows)}


def read_weeks(
    rate: Mapping[str, Any],
    keys: tuple[str, str],
    paths: tuple[str, str],
    labels: Any,  # noqa: ANN401 - JSON
    count: int,
    reading: Reading,
) -> Weeks | None:
    """The schedule of two fields over ``count`` periods; ``None`` after a fault."""
    read = [_schedule(rate.get(key), path, count, reading) for key, path in zip(keys, paths, strict=True)]
    if read[0] is None or read[1] is None:
        return None
    weekday, weekend = read[0], read[1]
    occurring = sorted({period for row in (*weekday, *weekend) for period in row})
    return Weeks(weekday, weekend, _names(labels, occurring))


def always(labels: Any) -> Weeks:  # noqa: ANN401 - JSON
    """The schedule of one period that always applies."""
    rows = ((0,) * _HOURS,) * len(MONTHS)
    return Weeks(rows, rows, _names(labels, [0]))


def _schedule(schedule: Any, path: str, count: int, reading: Reading) -> tuple[Row, ...] | None:  # noqa: ANN401 - JSON
    if not isinstance(schedule, list) or len(schedule) != len(MONTHS):
        reading.faults.add(path, f"12 months are expected, not {_count(schedule)}")
        return None
    rows: list[Row] = []
    before = len(reading.faults.found)
    for month, row in enumerate(schedule):
        if not isinstance(row, list) or len(row) != _HOURS:
            reading.faults.add(f"{path}[{month}]", f"24 hours are expected, not {_count(row)}")
            continue
        rows.append(tuple(_index_in(value, count) for value in row))
    wrong = [(m, hour) for m, row in enumerate(rows) for hour, number in enumerate(row) if number == _NO_PERIOD]
    if wrong and len(reading.faults.found) == before:
        month, hour = wrong[0]
        others = "".join(f" and [{m}][{h}]" for m, h in wrong[1:_CELLS_SHOWN])
        more = f" and {len(wrong) - _CELLS_SHOWN} more cells" if len(wrong) > _CELLS_SHOWN else ""
        reading.faults.add(f"{path}[{month}][{hour}]{others}{more}", _no_index(schedule[month][hour], count))
    return tuple(rows) if len(reading.faults.found) == before else None


def read_index(value: Any, path: str, count: int, reading: Reading) -> int | None:  # noqa: ANN401 - JSON
    """The number of one of ``count`` periods, however it is written."""
    number = _index_in(value, count)
    if number == _NO_PERIOD:
        reading.faults.add(path, _no_index(value, count))
        return None
    return number


def _index_in(value: Any, count: int) -> int:  # noqa: ANN401 - JSON
    number = number_in(value)
    return _NO_PERIOD if number is None or number != int(number) or not 0 <= number < count else int(number)


def _no_index(value: Any, count: int) -> str:  # noqa: ANN401 - JSON
    return f"a number of a period from 0 to {count - 1} is expected, not {shown(value)}"


def _names(labels: Any, occurring: Sequence[int]) -> dict[int, str]:  # noqa: ANN401 - JSON
    given = [line_of(label)[:_LONGEST_LABEL].strip() for label in labels] if isinstance(labels, list) else []
    names = {period: (given[period] if period < len(given) else "") or f"period-{period}" for period in occurring}
    seen = list(names.values())
    return {
        period: f"{name} (period-{period})" if seen.count(name) > 1 or _could_be_a_season(name) else name
        for period, name in names.items()
    }


def _could_be_a_season(name: str) -> bool:
    return all(part in MONTHS for run in name.split(", ") for part in run.split("-"))


def line_of(value: Any) -> str:  # noqa: ANN401 - JSON
    """A text or number as a line that a person can read; empty when it is neither."""
    text = " ".join(str(value).split()) if isinstance(value, str | int) else ""
    return "".join(character for character in text if character.isprintable())


def _count(value: Any) -> str:  # noqa: ANN401 - JSON
    return str(len(value)) if isinstance(value, list) else shown(value)


def _season(months: Sequence[int]) -> tuple[str, list[str]]:
    """The name and the spans of some months (not all twelve): their unbroken runs, across New Year's Eve too."""
    starts = [month for month in months if (month - 1) % 12 not in months]
    names, spans = [], []
    for first in starts:
        last = first
        while (last + 1) % 12 in months:
            last = (last + 1) % 12
        names.append(MONTHS[first] if first == last else f"{MONTHS[first]}-{MONTHS[last]}")
        spans.append(f"{first + 1:02d}-01 to {last + 1:02d}-{_LAST_DAYS[last]:02d}")
    return ", ".join(names), spans


def _windows(row: Row, period: int) -> list[str]:
    """The windows of the day in which a period applies."""
    starts = [hour for hour in range(_HOURS) if row[hour] == period and (hour == 0 or row[hour - 1] != period)]
    windows = []
    for start in starts:
        end = next((hour for hour in range(start, _HOURS) if row[hour] != period), _HOURS)
        windows.append(f"{start:02d}:00-{end:02d}:00")
    return windows
