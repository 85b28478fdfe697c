"""Values by season and period: one for all, or one a period, or one a season, or one a season and period."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from wattledger.tariffs._calendar_clauses import CalendarClauses
from wattledger.tariffs._document import Clause
from wattledger.tariffs._model import Cell

Key = tuple[str | None, str | None]
"""The season and the period at which an author branched; ``None`` where he did not."""

T = TypeVar("T")
Leaf = Callable[[Clause], tuple[T, Any] | None]
"""Reads one value: what it is and its canonical clause; ``None`` after a fault."""


@dataclass(frozen=True, slots=True)
class ByCell(Generic[T]):
    """A value for each cell, the key of the branch each stands on, and the canonical clause."""

    values: tuple[T, ...]
    keys: tuple[Key, ...]
    document: Any


class CellReader:
    """Reads values by cell against a calendar.

    Without a sound calendar, or of an unknown schedule (``None``), nothing can be said of a value's place: then
    only the values themselves are judged.
    """

    def __init__(self, calendar: CalendarClauses, *, sound: bool) -> None:
        self.sound = sound
        self.cells = calendar.cells
        self.schedules = calendar.schedules
        self._seasons = calendar.season_names
        self._periods = calendar.periods

    def may_be_period(self, name: str, schedule: int | None) -> bool:
        """Whether a schedule has a period of this name, as far as it can be told."""
        return schedule is None or not self.sound or name in self._periods[schedule]

    def same(self, value: T, document: Any = None) -> ByCell[T]:  # noqa: ANN401 - JSON
        """One value for all cells."""
        count = len(self.cells)
        return ByCell((value,) * count, ((None, None),) * count, document)

    def read(
        self,
        clause: Clause | None,
        what: str,
        leaf: Leaf[T],
        *,
        schedule: int | None,
        among: Sequence[Cell] | None = None,
    ) -> ByCell[T] | None:
        """What a clause says for each cell (``among``: for these at least); ``None`` after a fault."""
        if clause is None:
            return None
        before = len(clause.faults.found)
        if schedule is None or not self.sound:
            _judge_values(clause, leaf)
            return None
        branches = _Branches(self, schedule, what, leaf)
        document = branches.read(clause, self.cells if among is None else among, (None, None))
        if len(clause.faults.found) > before:
            return None
        rest = next(iter(branches.found.values()))
        found = [branches.found.get(cell, rest) for cell in self.cells]
        return ByCell(tuple(value for value, _ in found), tuple(key for _, key in found), document)

    def season_in(self, names: Sequence[str]) -> bool:
        """Whether one of the names is a season's."""
        return None not in self._seasons and any(name in self._seasons for name in names)

    def occurs(self, name: str, schedule: int) -> bool:
        """Whether a season or period of this name is known at all."""
        return name in self._seasons or name in self._periods[schedule]


def _judge_values(clause: Clause, leaf: Leaf[T]) -> None:
    for entry in clause.entries().values() if clause.is_mapping else ():
        _judge_values(entry, leaf)
    if not clause.is_mapping:
        leaf(clause)


class _Branches(Generic[T]):
    def __init__(self, reader: CellReader, schedule: int, what: str, leaf: Leaf[T]) -> None:
        self.reader, self.schedule, self.what, self.leaf = reader, schedule, what, leaf
        self.found: dict[Cell, tuple[T, Key]] = {}

    def read(self, clause: Clause, cells: Sequence[Cell], key: Key) -> Any:  # noqa: ANN401 - JSON
        if not clause.is_mapping:
            read = self.leaf(clause)
            self.found.update({} if read is None else dict.fromkeys(cells, (read[0], key)))
            return None if read is None else read[1]
        if key[1] is not None:
            clause.refuse("a number, or a list of them, is expected, not a mapping")
            return None
        entries = clause.entries()
        seasonal = key[0] is None and self.reader.season_in(list(entries))
        groups: dict[str, list[Cell]] = {}
        for cell in cells:
            name = str(cell.season) if seasonal else cell.in_schedule(self.schedule)
            groups.setdefault(name, []).append(cell)
        kind = "season" if seasonal else "period"
        document = {}
        for name, entry in entries.items():
            if name not in groups:
                where = f" in {key[0]}" if key[0] is not None else " here"
                known = self.reader.occurs(name, self.schedule)
                entry.refuse(f"{name} does not occur{where}" if known else f"unknown {kind} {name!r}")
                continue
            document[name] = self.read(entry, groups[name], (name, None) if seasonal else (key[0], name))
        for name in groups:
            if name not in entries:
                clause.refuse(f"no {self.what} for {kind} {name}" + (f" in {key[0]}" if key[0] is not None else ""))
        return document


def joint_keys(*columns: Sequence[Key]) -> tuple[Key, ...]:
    """The keys at which several clauses branched, taken together."""
    return tuple(
        (
            next((season for season, _ in keys if season is not None), None),
            next((period for _, period in keys if period is not None), None),
        )
        for keys in zip(*columns, strict=True)
    )


def numbered(keys: Sequence[Key]) -> tuple[int, ...]:
    """The place of each key among those that differ."""
    order = list(dict.fromkeys(keys))
    return tuple(order.index(key) for key in keys)
