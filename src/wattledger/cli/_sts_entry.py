"""JSON in and out for ``wattledger sts``: entries told apart, their members read without ever repeating a secret."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, auto
from typing import TypeVar

from wattledger.kernel import Problem

_V = TypeVar("_V")
_EXPONENT_MAX = 40  # numbers beyond it are no amounts, and would take long to write out


class EntryRefused(Problem):
    """What came on standard input cannot be understood, or what it asks for may not be done."""

    slug = "sts-entry"
    title = "This entry cannot be used"
    status = 422


class Shape(Enum):
    """How entries came, and so how the answers go."""

    ONE = auto()
    LIST = auto()
    LINES = auto()


@dataclass(frozen=True, slots=True)
class Entry:
    """One JSON object. ``path`` says where it is in the entry, for what has to be said about it."""

    members: Mapping[str, object]
    path: str = ""

    def __contains__(self, name: str) -> bool:
        return self.members.get(name) is not None

    def wanted(self, *names: str) -> EntryRefused:
        """To be raised when none of these members is there."""
        return EntryRefused(f"{' or '.join(self.path + name for name in names)} is missing")

    def inner(self, name: str) -> Entry | None:
        """The object in a member; ``None`` without one."""
        value = self.members.get(name)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise EntryRefused(f"{self.path}{name} is no JSON object")
        return Entry(value, f"{self.path}{name}.")

    def over(self, other: Entry | None) -> Entry:
        """This entry, with the members of ``other`` in place of its own."""
        return self if other is None else Entry({**self.members, **other.members}, self.path)

    def text(self, name: str, *, digits: int | None = None) -> str:
        """A text; a bare number where ``digits`` says how many it has (JSON drops leading zeros)."""
        value = self.members.get(name)
        if digits is not None and type(value) is int and value >= 0:
            return f"{value:0{digits}d}"
        if value is None:
            raise self.wanted(name)
        if not isinstance(value, str):
            raise EntryRefused(f"{self.path}{name} is no text")
        return value.strip()

    def number(self, name: str) -> int:
        """A whole number, bare or in quotes."""
        value = self.decimal(name)
        if value != value.to_integral_value():
            raise EntryRefused(f"{self.path}{name} is no whole number: {value}")
        return int(value)

    def decimal(self, name: str) -> Decimal:
        """A number, bare or in quotes, exactly as written."""
        value = self.members.get(name)
        if value is None:
            raise self.wanted(name)
        if type(value) is int:
            return Decimal(value)
        if isinstance(value, Decimal) and abs(value.adjusted()) <= _EXPONENT_MAX:
            return value
        if isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]{1,30}(\.[0-9]{1,30})?\s*", value):
            return Decimal(value.strip())
        raise EntryRefused(f"{self.path}{name} is no number")

    def octets(self, name: str) -> bytes:
        """Bytes in hexadecimal, in either case. What is wrong is said without repeating them: they may be a key."""
        value = self.text(name)
        try:
            return bytes.fromhex(value)
        except ValueError:
            raise EntryRefused(f"{self.path}{name} is not hexadecimal, two digits a byte") from None

    def instant(self, name: str) -> datetime:
        """A date and time; UTC where it does not say another offset."""
        value = self.text(name)
        try:
            told = datetime.fromisoformat(value)
            return told.replace(tzinfo=UTC) if told.tzinfo is None else told.astimezone(UTC)
        except (ValueError, OverflowError):
            raise EntryRefused(
                f"{self.path}{name} {value!r} is no date and time", remedy="write it as 2026-07-01T14:05:00"
            ) from None

    def one_of(self, name: str, known: Mapping[int, _V]) -> _V:
        """A member that is one of ``known``, as a number or as its digits."""
        value = self.number(name)
        if value not in known:
            raise EntryRefused(f"{self.path}{name} {value} is none of {', '.join(map(str, sorted(known)))}")
        return known[value]


def read_entries(text: str) -> tuple[Shape, Sequence[Entry]]:
    """The entries on standard input: one object, a list, or objects one after another (JSON lines)."""
    decoder = json.JSONDecoder(parse_float=Decimal, parse_constant=_refuse_constant)
    found: list[object] = []
    place, text = 0, text.removeprefix("\ufeff")
    try:
        while place < len(text):
            start = re.compile(r"\s*").match(text, place)
            place = start.end() if start else place
            if place < len(text):
                value, place = decoder.raw_decode(text, place)
                found.append(value)
    except json.JSONDecodeError as broken:
        raise EntryRefused(f"standard input is no JSON: {broken.msg} in line {broken.lineno}") from None
    except (ValueError, RecursionError):
        raise EntryRefused("standard input is no JSON that can be read: a number or a nesting is too large") from None
    if not found:
        raise EntryRefused("standard input is empty", remedy="give one JSON object, a list, or one object a line")
    shape = Shape.LINES if len(found) > 1 else Shape.ONE
    if shape is Shape.ONE and isinstance(found[0], list):
        shape, found = Shape.LIST, found[0]
    return shape, [_entry(value, n, shape) for n, value in enumerate(found, 1)]


def _refuse_constant(name: str) -> object:
    raise EntryRefused(f"standard input holds {name}, which is no JSON")


def _entry(value: object, n: int, shape: Shape) -> Entry:
    if not isinstance(value, dict):
        raise EntryRefused("what came is no JSON object" if shape is Shape.ONE else f"entry {n} is no JSON object")
    return Entry(value)


def answers(text: str, answer: Callable[[Entry], Mapping[str, object]]) -> str:
    """``answer`` to every entry in ``text``, in the shape they came in.

    Nothing is answered if one of them cannot be; the :class:`Problem` then says which.
    """
    shape, entries = read_entries(text)
    made: list[str] = []
    for n, entry in enumerate(entries, 1):
        try:
            made.append(_written(answer(entry)))
        except Problem as problem:
            if shape is Shape.ONE:
                raise
            raise EntryRefused(f"entry {n}: {problem.detail}", remedy=problem.remedy) from problem
    if shape is Shape.LIST:
        return "[" + ",\n ".join(made) + "]\n"
    return "".join(f"{one}\n" for one in made)


def _written(value: object) -> str:
    """JSON, a decimal as a number with just the digits it has (the standard library would want a binary one)."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(name)}: {_written(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_written(one) for one in value) + "]"
    return format(value, "f") if isinstance(value, Decimal) else json.dumps(value)
