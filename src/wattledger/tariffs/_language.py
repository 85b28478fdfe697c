"""The tariff language: a document, checked clause by clause, becomes a :class:`Tariff` (see docs/tariff-language.md).

A document that is wrong anywhere is refused whole, with everything that is wrong in it. A clause that the language
will have but the engine cannot honour yet is refused by name. What is left out has one meaning, and the canonical
document leaves it out too, so a version's hash stays what it is while the language grows.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Any, cast

from wattledger.kernel import Problem, zone_named
from wattledger.tariffs._calendar import Calendar
from wattledger.tariffs._calendar_clauses import CalendarClauses
from wattledger.tariffs._document import Clause, Faults, Fields, plain_number, read_yaml, shown
from wattledger.tariffs._model import (
    Allocation,
    Basis,
    Cell,
    Counter,
    EnergyCharge,
    FixedCharge,
    FixedPer,
    Proration,
    Rounding,
    RoundingMode,
    Tiers,
)

_HEADER = ("id", "version", "name", "currency", "zone")
_COUNTERS = ("all_periods", "per_period")
_BASES = ("month", "day")
_ALLOCATIONS = ("chronological", "pro_rata")
_PRORATIONS = ("days", "none")
_FIXED_PER = ("day", "month", "year")
_MODES = ("half_up", "half_even", "half_down", "up", "down")

# Clauses of the whole language that the engine cannot honour yet: refused by name, never passed over.
_LATER_HEADER = (
    *("supersedes", "eligible", "eligibility", "events", "index", "indexes", "load_management", "export", "bank"),
    *("demand", "minimum", "tax", "taxes", "credits", "concessions"),
)
_LATER_KINDS = (
    *("demand", "minimum", "percentage", "tax", "credit", "concession", "subsidy", "index", "export", "netting"),
    *("load_management", "reactive", "contracted_power"),
)
_KNOWN_FIELDS = {"energy": ("name", "kind", "price", "tiers"), "fixed": ("name", "kind", "price", "per", "proration")}
_REQUIRED_FIELDS = {"energy": ("name", "price"), "fixed": ("name", "price", "per")}
_LATER_FIELDS = {
    "energy": ("channel", "index", "adder", "cap", "floor", "factor", "when", "from", "to"),
    "fixed": ("when", "per_kw", "standard_days", "from", "to"),
}
_LATER_TIERS = ("rounding", "standard_days", "per_person", "per_kw")
_LATER_ROUNDING = ("quantity", "price", "tax", "bill")

# ISO 4217: the currencies whose minor unit is not a hundredth.
_NO_MINOR_UNIT = frozenset(
    (
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "ISK",
        "JPY",
        "KMF",
        "KRW",
        "PYG",
        "RWF",
        "UGX",
        "UYI",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    )
)
_THOUSANDTHS = frozenset(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"))
_TEN_THOUSANDTHS = frozenset(("CLF", "UYW"))
_MOST_PLACES = 6  # Money counts millionths


@dataclass(frozen=True, eq=False, kw_only=True)
class Tariff:
    """One immutable version of a tariff; two are equal when their content hashes are.

    ``zone``           the IANA zone its clock stands in; ``None``: told when rating
    ``valid_from``     first local day in force, ``valid_to`` first one no longer; ``None``: unbounded
    ``supersedes``     the version that it follows, if it says
    ``eligibility``    what must hold of a contract that has it
    ``season_names``   in the order of the year; ``(None,)`` when there are none
    ``period_names``   the price periods, dearest first
    ``schedules``      the names of the further schedules
    ``channels``       the channels that it prices, ``import`` first
    ``events``         the event days that may be announced, ``index_series`` the published prices it needs
    ``facts``          the facts of a contract that it may ask for
    ``charges``        in the order of the bill
    ``order_matters``  whether readings must be counted in the order of time (chronological tiers over several prices,
                       sliding windows, loads watched for a duration)
    ``hash``           SHA-256 of the canonical document: the same for YAML and JSON, 0.1 and 0.10, any order of keys
    ``document``       the canonical document, JSON-able, numbers as text
    ``remarks``        what an importer had to decide or leave aside, whole sentences; not part of the document
    """

    id: str
    version: str
    name: str
    currency: str
    zone: str | None
    valid_from: date | None
    valid_to: date | None
    supersedes: str | None
    eligibility: tuple[FactTest, ...]
    season_names: tuple[str | None, ...]
    period_names: tuple[str, ...]
    schedules: tuple[str, ...]
    channels: tuple[str, ...]
    events: tuple[str, ...]
    index_series: tuple[str, ...]
    facts: tuple[str, ...]
    order_matters: bool
    hash: str
    document: dict[str, Any] = field(repr=False)
    remarks: tuple[str, ...] = ()
    cells: tuple[Cell, ...] = field(repr=False)
    calendar: Calendar = field(repr=False)
    charges: tuple[Charge, ...] = field(repr=False)
    netting: Netting = field(repr=False)
    rounding: Rounding = field(repr=False)

    @property
    def energy(self) -> tuple[EnergyCharge, ...]:
        """The charges that give energy taken a price."""
        return tuple(c for c in self.charges if isinstance(c, EnergyCharge) and not c.export)

    def __eq__(self, other: object) -> bool:
        return self.hash == other.hash if isinstance(other, Tariff) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.hash)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Tariff:
        """The tariff that a kept :attr:`document` says; it has the same hash."""
        return parse_tariff(document, source=f"tariff {document.get('id', 'without an id')}")


def parse_tariff(
    document: Mapping[str, Any] | str,
    *,
    source: str,
    lines: Mapping[str, int] | None = None,
    remarks: Sequence[str] = (),
) -> Tariff:
    """The tariff that a document says: its YAML (or JSON) text, or its content with exact numbers.

    ``source`` names it in refusals, ``lines`` tells the line of each path when content was read from text. Raises
    :class:`TariffRefused` with all that is wrong.
    """
    if isinstance(document, str):
        content, lines = read_yaml(document, source=source)
    else:
        content = document
    faults = Faults(source, lines or {})
    tariff = _Author(Clause(content, "", faults)).tariff(tuple(remarks))
    faults.stop()
    return cast("Tariff", tariff)  # without faults there is one


def _minor_places(currency: str) -> int:
    if currency in _NO_MINOR_UNIT:
        return 0
    return 3 if currency in _THOUSANDTHS else 4 if currency in _TEN_THOUSANDTHS else 2


def _canonical_hash(document: Mapping[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _ByCell:
    """A value for each cell, the key of the line each cell belongs to, and the canonical clause."""

    values: tuple[Any, ...]
    keys: tuple[tuple[str | None, str | None], ...]
    document: Any


class _Author:
    """Reads one document from top to bottom."""

    def __init__(self, root: Clause) -> None:
        self.faults = root.faults
        self.out: dict[str, Any] = {}
        self.fields = root.fields(
            known=(*_HEADER, "valid", "seasons", "holidays", "day_types", "periods", "charges", "rounding"),
            required=("id", "version", "currency", "charges"),
            later=_LATER_HEADER,
        )

    def tariff(self, remarks: tuple[str, ...]) -> Tariff | None:
        header = self._header()
        currency = header.get("currency") or ""
        valid_from, valid_to = self._valid()
        rounding = self._rounding(currency)
        before = len(self.faults.found)
        self.clauses = CalendarClauses(self.fields, self.faults)
        self.out.update(self.clauses.document)
        if len(self.faults.found) > before:  # prices can only be judged against a sound calendar
            for charge in self._listed_charges():
                self._charge_fields(charge)
            return None
        energy, fixed, order = self._charges()
        if self.faults.found:
            return None
        periods, cells, calendar, energy = self._dearest_first(energy)
        return Tariff(
            id=str(header["id"]),
            version=str(header["version"]),
            name=header.get("name") or str(header["id"]),
            currency=currency,
            zone=header.get("zone"),
            valid_from=valid_from,
            valid_to=valid_to,
            period_names=periods,
            order_matters=any(charge.order_matters(cells) for charge in energy),
            hash=_canonical_hash(self.out),
            document=self.out,
            remarks=remarks,
            cells=cells,
            calendar=calendar,
            energy=tuple(energy),
            fixed=tuple(fixed),
            charge_order=tuple(order),
            rounding=rounding,
        )

    def _dearest_first(
        self, energy: Sequence[EnergyCharge]
    ) -> tuple[tuple[str, ...], tuple[Cell, ...], Calendar, list[EnergyCharge]]:
        """Put the periods in an order that follows from the content, as the order of keys must not matter."""
        old, calendar, seasons = self.clauses.cells, self.clauses.calendar, self.clauses.season_names
        dearest: dict[str, Decimal] = {}
        for cell, prices in zip(old, zip(*(charge.prices for charge in energy), strict=True), strict=True):
            price = sum((tiers[0] for tiers in prices), start=Decimal(0))
            dearest[cell.period] = max(price, dearest.get(cell.period, price))
        periods = tuple(sorted(dearest, key=lambda name: (-dearest[name], name)))
        order = sorted(range(len(old)), key=lambda c: (seasons.index(old[c].season), periods.index(old[c].period)))
        place = {cell: new for new, cell in enumerate(order)}
        patterns = {
            key: tuple((minute, place[cell]) for minute, cell in pattern) for key, pattern in calendar.patterns.items()
        }
        moved = []
        for charge in energy:
            lines = [charge.lines[cell] for cell in order]
            seen = list(dict.fromkeys(lines))
            moved.append(
                replace(
                    charge,
                    prices=tuple(charge.prices[cell] for cell in order),
                    limits=tuple(charge.limits[cell] for cell in order),
                    lines=tuple(seen.index(line) for line in lines),
                )
            )
        return periods, tuple(old[cell] for cell in order), replace(calendar, patterns=patterns), moved

    # --- header ------------------------------------------------------------------------------------------------------

    def _header(self) -> dict[str, str | None]:
        header = {key: self.fields.text(key) for key in _HEADER if key in self.fields}
        self.out.update(header)
        currency, zone = header.get("currency"), header.get("zone")
        if currency is not None and not re.fullmatch(r"[A-Z]{3}", currency):
            self.fields["currency"].refuse(f"an ISO 4217 code such as EUR is expected, not {currency!r}")
        if zone is not None:
            try:
                zone_named(zone)
            except Problem as problem:
                self.fields["zone"].refuse(str(problem))
        return header

    def _valid(self) -> tuple[date | None, date | None]:
        clause = self.fields.get("valid")
        if clause is None:
            return None, None
        given = clause.fields(known=("from", "to"), required=())
        days = {key: given[key].date() for key in given}
        self.out["valid"] = {key: day.isoformat() for key, day in days.items() if day is not None}
        first, last = days.get("from"), days.get("to")
        if first is not None and last is not None and first >= last:
            clause.refuse("'to' is the first day no longer in force and must come after 'from'")
        if not days and clause.is_mapping:
            clause.refuse("'from' or 'to' is missing")
        return first, last

    def _rounding(self, currency: str) -> Rounding:
        places, mode = _minor_places(currency), "half_up"
        standard = Rounding(places=places, mode="half_up")
        clause = self.fields.get("rounding")
        if clause is None:
            return standard
        given = clause.fields(known=("line",), required=("line",), later=_LATER_ROUNDING)
        if "line" not in given:
            return standard
        line = given["line"].fields(known=("places", "mode"), required=())
        wanted = line.number("places")
        if wanted is not None:
            if wanted != int(wanted) or not 0 <= wanted <= _MOST_PLACES:
                line["places"].refuse(
                    f"a whole number from 0 to {_MOST_PLACES} is expected, not {plain_number(wanted)}"
                )
            places = int(wanted)
        mode = (line["mode"].one_of(_MODES) or mode) if "mode" in line else mode
        rounding = Rounding(places=places, mode=cast("RoundingMode", mode))
        if rounding != standard:
            self.out["rounding"] = {"line": {"places": str(places), "mode": mode}}
        return rounding

    # --- charges -----------------------------------------------------------------------------------------------------

    def _charge_fields(self, clause: Clause) -> tuple[str | None, Fields | None]:
        """The charge's kind and its members, as far as its shape is sound."""
        kind = clause.value.get("kind") if isinstance(clause.value, Mapping) else None
        if kind in _LATER_KINDS:
            self.faults.add(clause.path, f"clause not supported yet: {kind}")
            return None, None
        if kind not in _KNOWN_FIELDS:
            if not clause.is_mapping:
                clause.refuse(f"a charge is expected, not {shown(clause.value)}")
            elif kind is None:
                clause.refuse("'kind' is missing")
            else:
                clause.entries()["kind"].refuse(f"unknown kind of charge {shown(kind)}")
            return None, None
        known, required, later = _KNOWN_FIELDS[kind], _REQUIRED_FIELDS[kind], _LATER_FIELDS[kind]
        return kind, clause.fields(known=known, required=required, later=later)

    def _listed_charges(self) -> list[Clause]:
        clause = self.fields.get("charges")
        if clause is None:
            return []
        if not clause.is_list or not clause.value:
            clause.refuse("a list of charges is expected")
            return []
        return clause.items()

    def _shapes_of_charges(self) -> None:
        for clause in self._listed_charges():
            self._charge_fields(clause)

    def _charges(self) -> tuple[list[EnergyCharge], list[FixedCharge], list[str]]:
        energy: list[EnergyCharge] = []
        fixed: list[FixedCharge] = []
        names: list[str] = []
        written: list[dict[str, Any]] = []
        for clause in self._listed_charges():
            kind, given = self._charge_fields(clause)
            name = None if given is None else given.text("name")
            if given is None or name is None:
                continue
            if name in names:
                given["name"].refuse(f"two charges are called {name!r}")
            names.append(name)
            if kind == "energy":
                charge, document = self._energy(name, given)
                energy += [] if charge is None else [charge]
            else:
                standing, document = self._fixed(name, given)
                fixed += [] if standing is None else [standing]
            written.append(document)
        if not energy and not self.faults.found:
            self.faults.add("charges", "no charge gives energy a price")
        self.out["charges"] = written
        return energy, fixed, names

    def _energy(self, name: str, given: Fields) -> tuple[EnergyCharge | None, dict[str, Any]]:
        document: dict[str, Any] = {"name": name, "kind": "energy"}
        tiers, limits = self._tiers(given.get("tiers"), document)
        price = self._by_cell(given.get("price"), "price", lambda leaf: self._prices(leaf, tiered=tiers is not None))
        if price is None or limits is None:
            return None, document
        document["price"] = price.document
        for cell, prices, bounds in zip(self.clauses.cells, price.values, limits, strict=True):
            if len(prices) != len(bounds) + 1:
                where = " ".join(part for part in (cell.season, cell.period) if part is not None)
                given["price"].refuse(
                    f"{len(bounds) + 1} prices are expected for {where}, one a tier; {len(prices)} are given"
                )
                return None, document
        order = list(dict.fromkeys(price.keys))
        charge = EnergyCharge(
            name=name,
            prices=price.values,
            limits=limits,
            lines=tuple(order.index(key) for key in price.keys),
            tiers=tiers,
        )
        return charge, document

    def _prices(self, clause: Clause, *, tiered: bool) -> tuple[tuple[Decimal, ...], Any] | None:
        if clause.is_list and not tiered:
            clause.refuse("several prices need 'tiers'")
            return None
        numbers = [item.number() for item in clause.items()]
        prices = tuple(number for number in numbers if number is not None)
        if len(prices) != len(numbers) or not prices:
            return None
        texts = [plain_number(number) for number in prices]
        return prices, texts if tiered else texts[0]

    def _tiers(
        self, clause: Clause | None, document: dict[str, Any]
    ) -> tuple[Tiers | None, tuple[tuple[Decimal, ...], ...] | None]:
        if clause is None:
            return None, ((),) * len(self.clauses.cells)
        given = clause.fields(
            known=("counter", "basis", "allocation", "limits", "proration"),
            required=("counter", "basis", "allocation", "limits"),
            later=_LATER_TIERS,
        )
        counter = given["counter"].one_of(_COUNTERS, later=("per_channel",)) if "counter" in given else None
        basis = (
            given["basis"].one_of(_BASES, later=("bill", "quarter", "year", "rolling")) if "basis" in given else None
        )
        allocation = (
            given["allocation"].one_of(_ALLOCATIONS, later=("reached_slab", "slab_by_total"))
            if "allocation" in given
            else None
        )
        proration = (
            given["proration"].one_of(_PRORATIONS, later=("standard_days", "exact")) if "proration" in given else None
        )
        if basis == "month" and "proration" not in given:
            clause.refuse("'proration' is missing: are a month's limits cut by 'days' in a short bill, or 'none'?")
        if basis == "day" and "proration" in given:
            given["proration"].refuse("a daily basis is for the days of the bill; it needs no proration")
        limits = self._by_cell(given.get("limits"), "limits", self._limits)
        if counter is None or basis is None or allocation is None or limits is None:
            return None, None
        document["tiers"] = {"counter": counter, "basis": basis, "allocation": allocation, "limits": limits.document}
        if basis == "month":
            document["tiers"]["proration"] = proration
        tiers = Tiers(
            counter=cast("Counter", counter),
            basis=cast("Basis", basis),
            allocation=cast("Allocation", allocation),
            proration=cast("Proration", proration if basis == "month" else "days"),
        )
        return tiers, limits.values

    def _limits(self, clause: Clause) -> tuple[tuple[Decimal, ...], Any] | None:
        numbers = [item.number() for item in clause.items()]
        limits = tuple(number for number in numbers if number is not None)
        if len(limits) != len(numbers):
            return None
        if any(limit <= 0 for limit in limits) or any(low >= high for low, high in pairwise(limits)):
            clause.refuse("limits must be above zero, each higher than the one before")
            return None
        return limits, [plain_number(limit) for limit in limits]

    def _fixed(self, name: str, given: Fields) -> tuple[FixedCharge | None, dict[str, Any]]:
        price = given.number("price")
        per = given["per"].one_of(_FIXED_PER, later=("bill", "quarter", "kw", "kva")) if "per" in given else None
        proration: str | None = "days"
        if "proration" in given:
            proration = given["proration"].one_of(_PRORATIONS, later=("standard_days", "exact"))
            if per == "day":
                given["proration"].refuse("a daily charge is for the days of the bill; it needs no proration")
        if price is not None and price < 0:
            given["price"].refuse("clause not supported yet: credit (a fixed charge below zero)")
        if price is None or per is None or proration is None:
            return None, {}
        document = {"name": name, "kind": "fixed", "price": plain_number(price), "per": per}
        if proration != "days":
            document["proration"] = proration
        charge = FixedCharge(name=name, price=price, per=cast("FixedPer", per), proration=cast("Proration", proration))
        return charge, document

    # --- values by season and period ---------------------------------------------------------------------------------

    def _by_cell(
        self, clause: Clause | None, what: str, leaf: Callable[[Clause], tuple[Any, Any] | None]
    ) -> _ByCell | None:
        """One value for all, or one a period, or one a season, or one a season and period."""
        if clause is None:
            return None
        before = len(self.faults.found)
        values: dict[Cell, tuple[Any, tuple[str | None, str | None]]] = {}
        document = self._branch(clause, what, leaf, list(self.clauses.cells), (None, None), values)
        if len(self.faults.found) > before:
            return None
        found = [values[cell] for cell in self.clauses.cells]
        return _ByCell(tuple(value for value, _ in found), tuple(key for _, key in found), document)

    def _branch(
        self,
        clause: Clause,
        what: str,
        leaf: Callable[[Clause], tuple[Any, Any] | None],
        cells: Sequence[Cell],
        key: tuple[str | None, str | None],
        values: dict[Cell, tuple[Any, tuple[str | None, str | None]]],
    ) -> Any:  # noqa: ANN401 - JSON
        if not clause.is_mapping:
            read = leaf(clause)
            values.update({} if read is None else dict.fromkeys(cells, (read[0], key)))
            return None if read is None else read[1]
        entries = clause.entries()
        seasonal = (
            key[0] is None
            and None not in self.clauses.season_names
            and any(name in self.clauses.season_names for name in entries)
        )
        groups: dict[str, list[Cell]] = {}
        for cell in cells:
            groups.setdefault(str(cell.season) if seasonal else cell.period, []).append(cell)
        kind = "season" if seasonal else "period"
        document = {}
        for name, entry in entries.items():
            if name not in groups:
                there = name in (self.clauses.season_names if seasonal else self.clauses.period_names)
                entry.refuse(f"{name} does not occur in {key[0]}" if there else f"unknown {kind} {name!r}")
                continue
            inner = (name, key[1]) if seasonal else (key[0], name)
            document[name] = self._branch(entry, what, leaf, groups[name], inner, values)
        for name in groups:
            if name not in entries:
                clause.refuse(f"no {what} for {kind} {name}" + (f" in {key[0]}" if key[0] is not None else ""))
        return document
