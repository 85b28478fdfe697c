"""The rules of validation and estimation: per channel class, from YAML, exact, and refused by line when wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from decimal import Decimal, InvalidOperation
from enum import IntEnum, StrEnum
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from wattledger.kernel import Problem

_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_SHOWN_FAULTS = 6
_MAX_BYTES = 1_000_000
_MAX_DIGITS = 12  # more than any limit needs; what is multiplied with it stays within 64 bits


class Rule(StrEnum):
    """Every check there is; the value is its name in ``rules.yaml``."""

    MISSING = "missing"
    DUPLICATE = "duplicate"
    CONFLICTING = "conflicting"
    ORDER = "order"
    OVERLAP = "overlap"
    LENGTH = "length"
    CLOCK = "clock"
    CALENDAR = "calendar"
    REGISTER_SUM = "register_sum"
    ROLLOVER = "rollover"
    RESET = "reset"
    EXCHANGE = "exchange"
    SPIKE = "spike"
    BOUND = "bound"
    NEGATIVE = "negative"
    ZERO_RUN = "zero_run"
    INACTIVE_USE = "inactive_use"
    REACTIVE_ALONE = "reactive_alone"
    HIGH = "high"
    LOW = "low"


class Severity(IntEnum):
    """What a finding does to the values it is about."""

    OFF = 0
    """The rule is not looked at."""
    INFO = 1
    """Told; the values are not doubted."""
    SUSPECT = 2
    """The values stand, flagged as doubted."""
    FAIL = 3
    """The values cannot stand: they are put aside and estimated."""


@dataclass(frozen=True, slots=True)
class RulesFault:
    """One thing wrong with a file of rules: where (``spike.limit``), on which line, and what."""

    path: str
    line: int
    cause: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.cause} at {self.path}" if self.path else f"line {self.line}: {self.cause}"


class RulesRefused(Problem):
    """A file of validation rules is not what it should be; ``faults`` are all that were found."""

    slug = "rules-refused"
    title = "The validation rules were refused"
    status = 422

    def __init__(self, *, source: str, faults: Sequence[RulesFault], remedy: str | None = None) -> None:
        shown = "; ".join(str(fault) for fault in faults[:_SHOWN_FAULTS])
        more = f"; and {len(faults) - _SHOWN_FAULTS} more" if len(faults) > _SHOWN_FAULTS else ""
        super().__init__(
            f"{source}: {shown}{more}", remedy=remedy, source=source, faults=[str(fault) for fault in faults]
        )
        self.source = source
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """A rule without limits."""

    severity: Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock(Plain):
    """How far an interval may start off its grid."""

    tolerance_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterSum(Plain):
    """How far intervals and registers may differ, in units of the channel's last decimal place."""

    tolerance_units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spike(Plain):
    """``P1 > limit * (P3 * (1 + usual) + share * peak)`` and ``P1 - P3 > guard_kwh``."""

    limit: Decimal
    share: Decimal
    guard_kwh: Decimal
    history_days: int
    min_days: int
    usual_unknown: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound(Plain):
    """What a fuse or a contract lets through."""

    margin_percent: Decimal
    above_kw: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroRun(Plain):
    """How long nothing may be used."""

    hours: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class InactiveUse(Plain):
    """How much an inactive point may use in an interval."""

    above_kwh: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ReactiveAlone(Plain):
    """How much reactive energy an interval without active energy may have."""

    above_kvarh: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class High(Plain):
    """How far above its own usual high a day may be."""

    times: Decimal
    history_days: int
    min_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Low(Plain):
    """How far below its own median day a day may be, and for how many days."""

    share: Decimal
    days: int
    history_days: int
    min_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimation:
    """How a gap is filled."""

    linear_hours: Decimal
    like_days: int
    reach_days: int
    negative: bool
    run_hours: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRules:
    """All rules of one class of channel."""

    missing: Plain
    duplicate: Plain
    conflicting: Plain
    order: Plain
    overlap: Plain
    length: Plain
    clock: Clock
    calendar: Plain
    register_sum: RegisterSum
    rollover: Plain
    reset: Plain
    exchange: Plain
    spike: Spike
    bound: Bound
    negative: Plain
    zero_run: ZeroRun
    inactive_use: InactiveUse
    reactive_alone: ReactiveAlone
    high: High
    low: Low
    estimate: Estimation

    def severity(self, rule: Rule) -> Severity:
        """How grave a finding of ``rule`` is."""
        chosen: Plain = getattr(self, rule.value)
        return chosen.severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """A document of rules. ``source`` names it; ``default`` holds for classes that are not named."""

    source: str
    default: ClassRules
    classes: Mapping[str, ClassRules]

    def of(self, name: str) -> ClassRules:
        """The rules of the class called ``name``, or the defaults."""
        return self.classes.get(name, self.default)

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that change with any rule, whatever the file is called."""
        said = repr((self.default, sorted(self.classes.items())))
        return hashlib.sha256(said.encode()).hexdigest()[:12]


_KINDS: dict[str, type[Any]] = {
    **{rule.value: Plain for rule in Rule},
    "clock": Clock,
    "register_sum": RegisterSum,
    "spike": Spike,
    "bound": Bound,
    "zero_run": ZeroRun,
    "inactive_use": InactiveUse,
    "reactive_alone": ReactiveAlone,
    "high": High,
    "low": Low,
    "estimate": Estimation,
}


_BETWEEN = {
    name: (Decimal(low), Decimal(high))
    for name, (low, high) in {
        "tolerance_seconds": ("0", "43200"),
        "tolerance_units": ("0", "1000000000"),
        "limit": ("0.01", "1000"),
        "share": ("0", "1"),
        "guard_kwh": ("0", "1000000"),
        "history_days": ("1", "366"),
        "min_days": ("1", "366"),
        "usual_unknown": ("0", "1000"),
        "margin_percent": ("0", "1000"),
        "above_kw": ("0.001", "10000000"),
        "hours": ("0.01", "9000"),
        "above_kwh": ("0", "1000000"),
        "above_kvarh": ("0", "1000000"),
        "times": ("0.01", "1000"),
        "days": ("1", "366"),
        "linear_hours": ("0", "8784"),
        "run_hours": ("0", "8784"),
        "like_days": ("1", "60"),
        "reach_days": ("1", "400"),
    }.items()
}
_WHOLE = frozenset(
    {"tolerance_seconds", "tolerance_units", "history_days", "min_days", "days", "like_days", "reach_days"}
)


def load_rules(path: Path) -> Rules:
    """The rules in a file; raises :class:`RulesRefused` with every fault and its line."""
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= _MAX_BYTES else b""
    except OSError as error:
        fault = RulesFault("", 1, f"the file cannot be read: {error.strerror}")
        raise RulesRefused(source=str(path), faults=[fault]) from error
    if size > _MAX_BYTES:
        raise RulesRefused(source=str(path), faults=[RulesFault("", 1, f"{size:,} bytes are no file of rules")])
    try:
        return read_rules(data.decode("utf-8-sig"), source=str(path))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise RulesRefused(source=str(path), faults=[RulesFault("", line, "the text is not UTF-8")]) from error


@cache
def shipped_rules() -> Rules:
    """The rules that come with the package."""
    text = resources.files("wattledger.readings.vee").joinpath("rules.yaml").read_text(encoding="utf-8")
    return read_rules(text, source="rules.yaml")


def read_rules(text: str, *, source: str) -> Rules:
    """Rules from YAML text; raises :class:`RulesRefused` with every fault and its line."""
    reader = _Reader(source)
    rules = reader.rules(text)
    if reader.faults or rules is None:
        raise RulesRefused(
            source=source, faults=reader.faults, remedy="docs/vee.md lists every rule and what it may say"
        )
    return rules


class _Reader:
    """Reads nodes, not values: each keeps its line, and what a scalar means is decided by the rule it stands in."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.faults: list[RulesFault] = []

    def rules(self, text: str) -> Rules | None:
        root = self._root(text)
        if root is None:
            return None
        parts = {key: (node, path) for key, node, path in self._mapping(root, "", ("defaults", "classes"))}
        if "defaults" not in parts:
            if not self.faults:
                self._fault("", root, "defaults are missing")
            return None
        default = self._defaults(*parts["defaults"])
        if default is None:
            return None
        told = self._mapping(*parts["classes"]) if "classes" in parts else ()
        classes = {name: self._class(node, path, default) for name, node, path in told}
        return Rules(source=self.source, default=default, classes=classes)

    def _root(self, text: str) -> yaml.Node | None:
        try:
            root: yaml.Node | None = yaml.compose(text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            cause = f"not valid YAML: {error.problem or error.context}"
            self.faults.append(RulesFault("", mark.line + 1 if mark else 1, cause))
            return None
        except (yaml.YAMLError, RecursionError) as error:
            self.faults.append(RulesFault("", 1, f"not valid YAML: {' '.join(str(error).split())}"))
            return None
        if root is None:
            self.faults.append(RulesFault("", 1, "the document is empty"))
        return root

    def _fault(self, path: str, node: yaml.Node, cause: str) -> None:
        self.faults.append(RulesFault(path, node.start_mark.line + 1, cause))

    def _mapping(self, node: yaml.Node, path: str, known: Collection[str] = ()) -> Iterator[tuple[str, yaml.Node, str]]:
        """Name, value and path of each entry; one that is not ``known`` is a fault, unless any may be."""
        if not isinstance(node, yaml.MappingNode):
            self._fault(path, node, "a mapping is needed")
            return
        seen = set[str]()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._fault(path, key, "a key has to be a word")
                continue
            name = str(key.value)
            below = f"{path}.{name}" if path else name
            if name in seen:
                self._fault(below, key, "stands twice")
                continue
            seen.add(name)
            if known and name not in known:
                self._fault(below, key, f"there is no such clause; there are {', '.join(known)}")
                continue
            yield name, value, below

    def _defaults(self, node: yaml.Node, path: str) -> ClassRules | None:
        found: dict[str, Any] = {}
        before = len(self.faults)
        named = set[str]()
        for name, value, below in self._mapping(node, path, _KINDS):
            named.add(name)
            told = self._told(value, below, _KINDS[name])
            lacking = [one.name for one in fields(_KINDS[name]) if one.name not in told]
            if lacking and len(self.faults) == before:
                self._fault(below, value, f"{', '.join(lacking)} must be said")
            if not lacking:
                found[name] = _KINDS[name](**told)
        lacking = [name for name in _KINDS if name not in named]
        if lacking:
            self._fault(path, node, f"every rule must be said; missing: {', '.join(lacking)}")
        return ClassRules(**found) if len(self.faults) == before else None

    def _class(self, node: yaml.Node, path: str, default: ClassRules) -> ClassRules:
        changed: dict[str, Any] = {}
        for name, value, below in self._mapping(node, path, _KINDS):
            changed[name] = replace(getattr(default, name), **self._told(value, below, _KINDS[name]))
        return replace(default, **changed)

    def _told(self, node: yaml.Node, path: str, kind: type[Any]) -> dict[str, Any]:
        known = [one.name for one in fields(kind)]
        told: dict[str, Any] = {}
        for name, value, below in self._mapping(node, path, known):
            if not isinstance(value, yaml.ScalarNode):
                self._fault(below, value, "a single value is needed")
            else:
                told[name] = self._value(name, str(value.value), value, below)
        return told

    def _value(self, name: str, text: str, node: yaml.Node, path: str) -> Severity | bool | int | Decimal:
        if name == "severity":
            names = {one.name.lower(): one for one in Severity}
            if text not in names:
                self._fault(path, node, f"{text!r} is no severity; there are {', '.join(names)}")
            return names.get(text, Severity.OFF)
        if name == "negative":
            if text not in {"yes", "no"}:
                self._fault(path, node, f"{text!r} is neither yes nor no")
            return text == "yes"
        low, high = _BETWEEN[name]
        value, whole = _decimal(text), name in _WHOLE
        if value is None or (whole and value != int(value)):
            self._fault(path, node, f"{text!r} is no {'whole ' if whole else ''}number")
            value = low
        elif not low <= value <= high:
            self._fault(path, node, f"{text} is not between {low} and {high}")
        return int(value) if whole else value


def _decimal(text: str) -> Decimal | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value if value.is_finite() and len(text) <= _MAX_DIGITS and "_" not in text else None
