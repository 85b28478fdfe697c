"""Readings collected one by one, in whatever order a message has them, and then made channels and register reads."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np

from wattledger.kernel import Quality
from wattledger.readings.formats._exact import LENGTHS, BadNumber, Rows, Unit, exact, is_number, remarks, settle
from wattledger.readings.formats._model import (
    Channel,
    Commodity,
    Direction,
    FileFormat,
    ReadingsFile,
    Refused,
    RegisterRead,
)
from wattledger.readings.formats._source import Source, shown

_FIRST_YEAR, _YEAR_AFTER = 1970, 2200
_MOST = Decimal(10) ** 15
"""What a register may show, so that a thousand times it (kWh in Wh) fits 64 bits."""
_PRECISION = 120


@dataclass(frozen=True, slots=True)
class Register:
    """Whose readings they are and what they count."""

    point: str
    name: str
    direction: Direction
    unit: Unit

    @property
    def full(self) -> str:
        return " ".join(part for part in (self.point, self.name) if part) or "readings"


@dataclass(frozen=True, slots=True)
class Grade:
    """How sure a reading is, and the file's own code for it."""

    quality: Quality
    code: str


@dataclass(slots=True)
class _Column:
    starts: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    grades: list[Grade] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)


class Gathered:
    """What a reader has found so far. ``count`` is how many readings it has met, whatever became of them."""

    def __init__(self, source: Source, *, zone: tzinfo | None = None) -> None:
        self.said: dict[str, None] = {}
        self.count = 0
        self._source = source
        self._zone = zone
        self._columns: dict[tuple[Register, int], _Column] = {}
        # By everything but the unit: one register may be read in kWh and again in MWh.
        self._reads: dict[tuple[str, str, Direction, Commodity, datetime], tuple[RegisterRead, int]] = {}
        self._again = 0
        self._refused: dict[tuple[str, str], Refused] = {}

    def interval(self, register: Register, *, start: int, seconds: int, text: str, grade: Grade, line: int) -> None:
        """One reading of an interval; an empty ``text`` is a missing value."""
        if seconds not in LENGTHS:
            self.refuse(register.full, f"readings of {seconds} seconds are not intervals of 1 to 60 minutes", line)
            return
        self.count += 1
        column = self._columns.setdefault((register, seconds), _Column())
        column.starts.append(start)
        column.texts.append(text or "0")
        column.grades.append(grade if text else Grade(Quality.MISSING, grade.code))
        column.lines.append(line)

    def read(self, register: Register, *, at: datetime, text: str, grade: Grade, line: int, serial: str = "") -> None:
        """What a register that only grows showed; refuses the file when it showed two things at once."""
        self.add(
            RegisterRead(
                point=register.point,
                register=register.name,
                direction=register.direction,
                commodity=register.unit.commodity,
                unit=register.unit.name,
                at=at.astimezone(UTC),
                value=self.number(text, line, register.unit.exponent),
                quality=grade.quality,
                code=grade.code,
                meter_serial=serial or None,
            ),
            register,
            line,
        )

    def add(self, read: RegisterRead, register: Register, line: int) -> None:
        """A register's read as it is."""
        if not _FIRST_YEAR <= read.at.year < _YEAR_AFTER:
            raise self._source.refuse(f"{register.full}: {read.at:%Y-%m-%d} is no time a meter can mean", line=line)
        self.count += 1
        key = (read.point, read.register, read.direction, read.commodity, read.at)
        before = self._reads.setdefault(key, (read, line))
        if before[0] is not read:
            self._again += 1
            if before[0].value != read.value:
                raise self._source.refuse(
                    f"{register.full}: {read.at:%Y-%m-%d %H:%M UTC} has the value {read.value:f} here and "
                    f"{before[0].value:f} in line {before[1]}",
                    line=line,
                    remedy="remove the one that is wrong",
                )

    def number(self, text: str, line: int, exponent: int = 0) -> Decimal:
        """``text`` times ``10**exponent``, exactly."""
        if not is_number(text):
            raise self._source.refuse(f"{shown(text)} is not a number", line=line)
        with localcontext() as context:
            context.prec = _PRECISION
            value = Decimal(text).scaleb(exponent)
        if abs(value) > _MOST:
            raise self._source.refuse(f"{shown(text)} is larger than can be kept exactly", line=line)
        return value

    def refuse(self, what: str, cause: str, line: int, count: int = 1) -> None:
        """Leaves ``count`` readings out by name."""
        self.count += count
        before = self._refused.get((what, cause))
        first = before.line if before else line
        total = count + (before.count if before else 0)
        self._refused[what, cause] = Refused(what=what, cause=cause, line=first, count=total)

    def file(self, form: FileFormat) -> ReadingsFile:
        """Everything found; raises :class:`ReadingsFileRefused` when that is nothing that can be used."""
        channels = [self._channel(register, seconds, column) for (register, seconds), column in self._columns.items()]
        refused = tuple(self._refused.values())
        if not channels and not self._reads:
            if refused:
                raise self._source.refuse(f"{refused[0].what}: {refused[0].cause}", line=refused[0].line)
            raise self._source.refuse(f"the {form.value} file holds no readings", line=1)
        return ReadingsFile(
            path=self._source.path,
            format=form,
            channels=tuple(channels),
            readings=self.count,
            registers=tuple(read for read, _ in self._reads.values()),
            registers_again=self._again,
            refused=refused,
            assumptions=tuple(self.said),
        )

    def _channel(self, register: Register, seconds: int, column: _Column) -> Channel:
        name, unit = register.full, register.unit
        try:
            numbers = exact(column.texts, exponent=unit.exponent, ratio=Fraction(1))
        except BadNumber as bad:
            raise self._source.refuse(f"{name}: {bad.cause}", line=column.lines[bad.index]) from bad
        below = np.flatnonzero(numbers.values < 0)
        if len(below) and register.direction is not Direction.NET and unit.name.endswith("h"):
            raise self._source.refuse(f"{name}: the value is negative", line=column.lines[int(below[0])])
        rows = Rows(
            starts=np.array(column.starts, dtype=np.int64),
            qualities=np.array([grade.quality for grade in column.grades], dtype=np.uint8),
            lines=np.array(column.lines, dtype=np.int64),
        )
        settled = settle(self._source, name, rows, numbers, seconds=seconds)
        self.said |= dict.fromkeys(remarks(name, settled, numbers))
        several = sum(other == register for other, _ in self._columns) > 1
        return Channel(
            point=register.point,
            register=f"{register.name} ({seconds // 60} min)" if several else register.name,
            direction=register.direction,
            commodity=unit.commodity,
            unit=unit.name,
            series=settled.series,
            zone=self._zone,
            duplicates=settled.duplicates,
            superseded=settled.superseded,
            codes=dict(Counter(grade.code for grade in column.grades)),
        )
