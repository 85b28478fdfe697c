"""A tariff's text into exact data, and the reader that checks it clause by clause.

No number passes through a float. YAML is read as *text*: what a scalar means is decided by the clause it stands in, so
``16:00`` is never a number in base sixty, ``0.10`` never a binary fraction, ``off`` never a truth value, and a version
``1.10`` never becomes ``1.1``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

import yaml

from wattledger.kernel import Problem

_YAML_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_PLAIN_TAGS = frozenset({"tag:yaml.org,2002:str", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"})
_MAX_NODES = 100_000  # aliases of aliases could otherwise fill the memory
_MAX_DEPTH = 100  # of lists and mappings in each other; the language itself needs about ten
_NUMBER = re.compile(r"[+-]?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?")
_MAX_DIGITS_BEFORE, _MAX_PLACES = 40, 40
_SHOWN_FAULTS = 6


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a document: the clause's path, its line where the text had lines, and the cause."""

    path: str
    line: int | None
    cause: str

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line is not None else ""
        return f"{where}{self.cause}{f' at {self.path}' if self.path else ''}"


class TariffRefused(Problem):
    """A tariff does not say what it must, contradicts itself, or says what is not part of the language.

    ``source`` names the document, ``faults`` are all that were found.
    """

    slug = "tariff-refused"
    title = "The tariff was refused"
    status = 422

    def __init__(self, *, source: str, faults: Sequence[Fault]) -> None:
        shown = "; ".join(str(fault) for fault in faults[:_SHOWN_FAULTS])
        more = f"; and {len(faults) - _SHOWN_FAULTS} more" if len(faults) > _SHOWN_FAULTS else ""
        super().__init__(f"{source}: {shown}{more}", source=source, faults=[str(fault) for fault in faults])
        self.source = source
        self.faults = tuple(faults)


@dataclass(slots=True)
class Faults:
    """Collects what is wrong, so that an author hears of everything at once."""

    source: str
    lines: Mapping[str, int] = field(default_factory=dict)
    found: list[Fault] = field(default_factory=list)

    def add(self, path: str, cause: str) -> None:
        """Note a fault at ``path``; its line is that of the nearest clause around it."""
        around = path
        while around and around not in self.lines:
            around = around[: max(around.rfind("."), around.rfind("["), 0)]
        self.found.append(Fault(path, self.lines.get(around) if self.lines else None, cause))

    def stop(self) -> None:
        """Raise :class:`TariffRefused` if anything was found."""
        if self.found:
            raise TariffRefused(source=self.source, faults=self.found)


def _refused(source: str, cause: str, line: int | None = None) -> TariffRefused:
    return TariffRefused(source=source, faults=[Fault("", line, cause)])


def plain_number(value: Decimal) -> str:
    """The one spelling of a number: no exponent, no trailing zeros, no sign on zero."""
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def read_json(text: str, *, source: str) -> Any:  # noqa: ANN401 - whatever the document holds
    """JSON as data with exact decimals; refuses a key that stands twice, and numbers that are none."""

    def no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise _refused(source, f"the key {key!r} stands twice in one mapping")
            found[key] = value
        return found

    def no_constant(name: str) -> Any:  # noqa: ANN401 - never returns
        raise _refused(source, f"{name} is not a number")

    try:
        return json.loads(text, parse_float=Decimal, parse_constant=no_constant, object_pairs_hook=no_doubles)
    except json.JSONDecodeError as error:
        raise _refused(source, f"not valid JSON: {error.msg} in column {error.colno}", error.lineno) from error
    except RecursionError as error:
        raise _refused(source, "nested too deeply") from error
    except ValueError as error:  # a whole number of thousands of digits
        raise _refused(source, "not valid JSON: a number of thousands of digits") from error


def read_yaml(text: str, *, source: str) -> tuple[Any, dict[str, int]]:
    """YAML as text in lists and mappings, and the line of each path.

    Refuses doubled keys, tags, cycles and what is nested too deeply.
    """
    try:
        _refuse_depth(text, source)
        root = yaml.compose(text, Loader=_YAML_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _refused(
            source, f"not valid YAML: {error.problem or error.context}", mark.line + 1 if mark else None
        ) from error
    except yaml.YAMLError as error:
        raise _refused(source, f"not valid YAML: {' '.join(str(error).split())}") from error
    if root is None:
        raise _refused(source, "the document is empty")
    reader = _YamlReader(source)
    return reader.read(root, "", ()), reader.lines


def _refuse_depth(text: str, source: str) -> None:
    """Before it is composed, for that is done in C and a deep one would break its stack."""
    depth = 0
    for event in yaml.parse(text, Loader=_YAML_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _MAX_DEPTH:
            raise _refused(source, "nested too deeply", event.start_mark.line + 1 if event.start_mark else None)


class _YamlReader:
    def __init__(self, source: str) -> None:
        self.source = source
        self.lines: dict[str, int] = {}
        self._nodes = 0

    def read(self, node: yaml.Node, path: str, around: tuple[int, ...]) -> Any:  # noqa: ANN401 - text, list or dict
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        self._nodes += 1
        if self._nodes > _MAX_NODES or id(node) in around:
            raise _refused(self.source, "an alias repeats itself without end", line)
        if len(around) > _MAX_DEPTH:  # aliases in aliases
            raise _refused(self.source, "nested too deeply", line)
        if node.tag not in _PLAIN_TAGS:
            raise _refused(self.source, f"the tag {node.tag} is not part of the language", line)
        around = (*around, id(node))
        if isinstance(node, yaml.SequenceNode):
            return [self.read(child, f"{path}[{index}]", around) for index, child in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, around)
        plain = isinstance(node, yaml.ScalarNode) and not node.style
        return None if plain and node.value in {"", "~", "null"} else node.value

    def _mapping(self, node: yaml.MappingNode, path: str, around: tuple[int, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise _refused(self.source, "a key must be plain text", line)
            if key.value in found:
                raise _refused(self.source, f"the key {key.value!r} stands twice in one mapping", line)
            inner = f"{path}.{key.value}" if path else key.value
            self.lines[inner] = line
            found[key.value] = self.read(value, inner, around)
        return found


@dataclass(frozen=True, slots=True)
class Clause:
    """A value in a document with its path. Every reading of it either succeeds or notes a fault and gives ``None``."""

    value: Any
    path: str
    faults: Faults

    def refuse(self, cause: str) -> None:
        """Note what is wrong here."""
        self.faults.add(self.path, cause)

    @property
    def is_mapping(self) -> bool:
        """Whether the clause holds keys."""
        return isinstance(self.value, Mapping)

    @property
    def is_list(self) -> bool:
        """Whether the clause holds a list."""
        return isinstance(self.value, list | tuple)

    def entries(self) -> dict[str, Clause]:
        """The members of a mapping with free keys, such as names of periods."""
        if not isinstance(self.value, Mapping):
            self.refuse(f"a mapping is expected, not {shown(self.value)}")
            return {}
        return {
            str(key): Clause(value, f"{self.path}.{key}" if self.path else str(key), self.faults)
            for key, value in self.value.items()
        }

    def fields(self, *, known: Collection[str], required: Collection[str] = ()) -> Fields:
        """The members of a mapping with fixed keys; notes those that are unknown or left out."""
        entries = self.entries()
        for key, clause in entries.items():
            if key not in known:
                clause.refuse(f"unknown key {key!r}")
        for key in required:
            if self.is_mapping and entries.get(key, Clause(None, "", self.faults)).value is None:
                self.refuse(f"{key!r} is missing")
        return Fields({k: c for k, c in entries.items() if k in known and c.value is not None})

    def items(self) -> list[Clause]:
        """The members of a list; a single value counts as a list of one."""
        if not self.is_list:
            return [self]
        return [Clause(value, f"{self.path}[{index}]", self.faults) for index, value in enumerate(self.value)]

    def text(self) -> str | None:
        """Text of one line, as written."""
        exact = isinstance(self.value, int | Decimal) and not isinstance(self.value, bool)
        value = str(self.value) if exact else self.value
        if not isinstance(value, str):
            self.refuse(f"text is expected, not {shown(self.value)}")
            return None
        if not value.strip() or len(value) > 200 or not value.isprintable():  # noqa: PLR2004 - a line a person reads
            self.refuse("a line of up to 200 printable characters is expected")
            return None
        return value.strip()

    def number(self) -> Decimal | None:
        """An exact number; a binary float is refused, for it is not what anybody wrote."""
        value = self.value
        if isinstance(value, float):
            self.refuse("a binary float is not exact: give the number as text or as a Decimal")
            return None
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            value = Decimal(value)
        if isinstance(value, bool) or not isinstance(value, int | Decimal) or not Decimal(value).is_finite():
            self.refuse(f"a number is expected, not {shown(self.value)}")
            return None
        number = Decimal(value)
        exponent = number.as_tuple().exponent
        if number.adjusted() > _MAX_DIGITS_BEFORE or (isinstance(exponent, int) and exponent < -_MAX_PLACES):
            self.refuse(f"the number {shown(self.value)} is out of all proportion")
            return None
        return number

    def date(self) -> date | None:
        """A day, as 2026-03-31."""
        text = str(self.value) if isinstance(self.value, date) else self.value
        try:
            if isinstance(text, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
                return date.fromisoformat(text)
        except ValueError:
            pass
        self.refuse(f"a date such as 2026-03-31 is expected, not {shown(self.value)}")
        return None

    def one_of(self, choices: Collection[str], *, also: str | None = None) -> str | None:
        """One of the words; ``also`` shows the form of what else could stand here."""
        if isinstance(self.value, str) and self.value in choices:
            return self.value
        expected = ", ".join([*choices, *([also] if also is not None else [])])
        self.refuse(f"one of {expected} is expected, not {shown(self.value)}")
        return None

    def whole(self, least: int, most: int) -> int | None:
        """A whole number in these bounds, both included."""
        number = self.number()
        if number is None:
            return None
        if number != int(number) or not least <= number <= most:
            self.refuse(f"a whole number from {least} to {most} is expected, not {plain_number(number)}")
            return None
        return int(number)

    def flag(self) -> bool:
        """Yes or no, as ``true`` or ``false``; a fault counts as no."""
        if self.value is True or self.value == "true":
            return True
        if self.value is not False and self.value != "false":
            self.refuse(f"true or false is expected, not {shown(self.value)}")
        return False


@dataclass(frozen=True, slots=True)
class Fields:
    """The known members of a mapping that were given."""

    given: Mapping[str, Clause]

    def __contains__(self, key: str) -> bool:
        return key in self.given

    def __getitem__(self, key: str) -> Clause:
        return self.given[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.given)

    def __len__(self) -> int:
        return len(self.given)

    def get(self, key: str) -> Clause | None:
        """The member, if it was given."""
        return self.given.get(key)

    def text(self, key: str) -> str | None:
        """The member's text, if it was given and is text."""
        clause = self.given.get(key)
        return None if clause is None else clause.text()

    def number(self, key: str) -> Decimal | None:
        """The member's number, if it was given and is one."""
        clause = self.given.get(key)
        return None if clause is None else clause.number()

    def one_of(self, key: str, choices: Collection[str]) -> str | None:
        """The member's word, if it was given and is one of these."""
        clause = self.given.get(key)
        return None if clause is None else clause.one_of(choices)

    def flag(self, key: str) -> bool:
        """Whether the member was given as true."""
        clause = self.given.get(key)
        return clause is not None and clause.flag()


def shown(value: object) -> str:
    """A value as an author recognises it, short."""
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    text = str(value)
    return repr(text if len(text) <= 40 else text[:37] + "...")  # noqa: PLR2004 - enough to recognise
