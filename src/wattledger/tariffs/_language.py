"""The tariff language: a document, checked clause by clause, becomes a :class:`Tariff` (see docs/tariff-language.md).

A document that is wrong anywhere is refused whole, with everything that is wrong in it. What is left out has one
meaning, and the canonical document leaves it out too, so a version's hash stays what it is while the language grows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple, cast

from wattledger.kernel import Problem, zone_named
from wattledger.tariffs._by_cell import CellReader
from wattledger.tariffs._calendar import Calendar
from wattledger.tariffs._calendar_clauses import CalendarClauses
from wattledger.tariffs._charge_clauses import (
    ALL,
    ChargeClause,
    read_credit,
    read_fixed,
    read_minimum,
    read_percentage,
)
from wattledger.tariffs._currencies import MINOR_PLACES
from wattledger.tariffs._document import Clause, Faults, Fields, plain_number, read_yaml, shown
from wattledger.tariffs._energy_clauses import read_energy
from wattledger.tariffs._model import (
    EXPORT,
    IMPORT,
    Bank,
    BankUnit,
    Cell,
    Charge,
    Contracted,
    DemandCharge,
    EnergyCharge,
    FactTest,
    LoadCharge,
    Netting,
    NettingPer,
    Places,
    Rounding,
)
from wattledger.tariffs._power_clauses import read_demand, read_load
from wattledger.tariffs._terms import (
    ENERGY_PLACES,
    MONEY_PLACES,
    PRICE_PLACES,
    read_facts,
    read_first_of_month,
    read_places,
)

_HEADER = ("id", "version", "name", "currency", "zone", "supersedes")
_CALENDAR = ("seasons", "holidays", "day_types", "events", "periods", "schedules")
_NETTING_PER = ("none", "interval", "day", "bill")
_BANK_UNITS = ("kwh", "money")
_PER_KW = {"contracted_kw": "contracted_kw", "person": "persons"}
"""The fact of the contract that limits per something ask for."""


class _Kind(NamedTuple):
    """A kind of charge: the members it has and must have, and what reads it."""

    known: tuple[str, ...]
    required: tuple[str, ...]
    read: Callable[[ChargeClause], Charge | None]


_TIME = ("price", "per", "proration", "times")
_KINDS = {
    "energy": _Kind(("price", "tiers", "index", "channel", "schedule"), (), read_energy),
    "export": _Kind(("price", "tiers", "index", "schedule"), (), read_energy),
    "demand": _Kind(
        (
            *("price", "window", "statistic", "limits", "per", "proration", "ratchet", "minimum", "contracted"),
            *("rounding", "channel", "schedule"),
        ),
        ("price", "window"),
        read_demand,
    ),
    "load": _Kind(
        ("over", "window", "duration", "during", "adder", "factor", "action", "channel", "schedule"),
        ("over", "window"),
        read_load,
    ),
    "fixed": _Kind(_TIME, ("price", "per"), read_fixed),
    "minimum": _Kind((*_TIME, "covers", "starts"), ("price", "per", "covers"), read_minimum),
    "percentage": _Kind(("rate", "of", "on"), ("rate", "of"), read_percentage),
    "tax": _Kind(("rate", "of", "on"), ("rate", "of"), read_percentage),
    "credit": _Kind((*_TIME, "rate", "of", "most"), (), read_credit),
}


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
    ``remarks``        what an importer had to decide or leave aside, and what looks odd but is no fault: whole
                       sentences, not part of the document
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


def _canonical_hash(document: Mapping[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


class _Author:
    """Reads one document from top to bottom."""

    def __init__(self, root: Clause) -> None:
        self.faults = root.faults
        self.out: dict[str, Any] = {}
        self.fields = root.fields(
            known=(*_HEADER, "valid", "eligibility", *_CALENDAR, "netting", "charges", "rounding"),
            required=("id", "version", "currency", "charges"),
        )

    def tariff(self, remarks: tuple[str, ...]) -> Tariff | None:
        header = self._header()
        currency = header.get("currency") or ""
        valid = self._valid()
        eligibility = self._eligibility()
        rounding = self._rounding(currency)
        before = len(self.faults.found)
        calendar = CalendarClauses(self.fields, self.faults, valid=valid)
        self.out.update(calendar.document)
        self.reader = CellReader(calendar, sound=len(self.faults.found) == before)
        charges = self._charges()
        netting = self._netting(charges)
        self._refuse_factors(charges)
        if self.faults.found:
            return None
        order, periods = _dearest_first(calendar, charges)
        cells = tuple(calendar.cells[cell] for cell in order)
        charges = [_reordered(charge, order) for charge in charges]
        return Tariff(
            id=str(header["id"]),
            version=str(header["version"]),
            name=header.get("name") or str(header["id"]),
            currency=currency,
            zone=header.get("zone"),
            valid_from=valid[0],
            valid_to=valid[1],
            supersedes=header.get("supersedes"),
            eligibility=eligibility,
            season_names=calendar.season_names,
            period_names=periods,
            schedules=calendar.schedules,
            channels=_channels(charges, netting),
            events=calendar.events,
            index_series=_index_series(charges),
            facts=_facts(charges),
            order_matters=any(_order_matters(charge, cells) for charge in charges),
            hash=_canonical_hash(self.out),
            document=self.out,
            remarks=tuple(dict.fromkeys((*remarks, *calendar.remarks))),
            cells=cells,
            calendar=_moved(calendar.calendar, order),
            charges=tuple(charges),
            netting=netting,
            rounding=rounding,
        )

    # --- header ------------------------------------------------------------------------------------------------------

    def _header(self) -> dict[str, str | None]:
        header = {key: self.fields.text(key) for key in _HEADER if key in self.fields}
        self.out.update(header)
        currency, zone = header.get("currency"), header.get("zone")
        if currency is not None and currency not in MINOR_PLACES:
            self.fields["currency"].refuse(f"an ISO 4217 code such as EUR is expected, not {currency!r}")
        if zone is not None:
            try:
                zone_named(zone)
            except Problem as problem:
                self.fields["zone"].refuse(str(problem))
        if header.get("supersedes") is not None and header["supersedes"] == header.get("version"):
            self.fields["supersedes"].refuse("a version cannot follow itself")
        return header

    def _valid(self) -> tuple[date | None, date | None]:
        clause = self.fields.get("valid")
        if clause is None:
            return None, None
        given = clause.fields(known=("from", "to"))
        days = {key: given[key].date() for key in given}
        self.out["valid"] = {key: day.isoformat() for key, day in days.items() if day is not None}
        first, last = days.get("from"), days.get("to")
        if first is not None and last is not None and first >= last:
            clause.refuse("'to' is the first day no longer in force and must come after 'from'")
        if not days and clause.is_mapping:
            clause.refuse("'from' or 'to' is missing")
        return first, last

    def _eligibility(self) -> tuple[FactTest, ...]:
        if "eligibility" not in self.fields:
            return ()
        tests, self.out["eligibility"] = read_facts(self.fields["eligibility"])
        return tests

    def _rounding(self, currency: str) -> Rounding:
        usual = MINOR_PLACES.get(currency, 2)
        standard = Rounding(line=Places(places=usual, mode="half_up"))
        clause = self.fields.get("rounding")
        if clause is None:
            return standard
        given = clause.fields(known=("line", "quantity", "price", "tax", "bill"))
        if clause.is_mapping and not len(given):
            clause.refuse("'line', 'quantity', 'price', 'tax' or 'bill' is missing")
        found: dict[str, Places] = {}
        written: dict[str, Any] = {}
        for key, most, default in (
            ("line", MONEY_PLACES, usual),
            ("quantity", ENERGY_PLACES, None),
            ("price", PRICE_PLACES, None),
            ("tax", MONEY_PLACES, usual),
            ("bill", MONEY_PLACES, usual),
        ):
            read = read_places(given[key], most=most, usual=default) if key in given else None
            same = standard.line if key == "line" else found.get("line", standard.line) if key == "tax" else None
            if read is not None and read[0] != same:
                found[key], written[key] = read
        if written:
            self.out["rounding"] = written
        return Rounding(
            line=found.get("line", standard.line),
            quantity=found.get("quantity"),
            price=found.get("price"),
            tax=found.get("tax"),
            bill=found.get("bill"),
        )

    # --- charges -----------------------------------------------------------------------------------------------------

    def _charges(self) -> list[Charge]:
        listed = self._listed_charges()
        all_names = {str(clause.value.get("name")) for clause in listed if isinstance(clause.value, Mapping)}
        charges: list[Charge] = []
        earlier: dict[str, bool] = {}
        priced = False
        written: list[dict[str, Any]] = []
        for clause in listed:
            kind, given = self._members(clause)
            priced = priced or kind in {"energy", None}  # one that is not known has its own fault
            name = None if given is None else given.text("name")
            if given is None or kind is None:
                continue
            if name is not None and name in earlier:
                given["name"].refuse(f"two charges are called {name!r}")
            if name == ALL:
                given["name"].refuse("a charge cannot be called 'all', which stands for all charges")
            charge = ChargeClause(
                name=name or "",
                kind=kind,
                clause=clause,
                given=given,
                reader=self.reader,
                earlier=earlier,
                all_names=all_names,
                document={"name": name, "kind": kind},
            )
            read = _KINDS[kind].read(charge)
            charges += [] if read is None else [read]
            written.append(charge.document)
            if name is not None:
                earlier[name] = kind != "load" or "action" not in given
        if listed and not priced:
            self.fields["charges"].refuse("no charge gives energy a price")
        self.out["charges"] = written
        return charges

    def _listed_charges(self) -> list[Clause]:
        clause = self.fields.get("charges")
        if clause is None:
            return []
        if not clause.is_list or not clause.value:
            clause.refuse("a list of charges is expected")
            return []
        return clause.items()

    def _members(self, clause: Clause) -> tuple[str | None, Fields | None]:
        """A charge's kind and its members, as far as its shape is sound."""
        if not isinstance(clause.value, Mapping):
            clause.refuse(f"a charge is expected, not {shown(clause.value)}")
            return None, None
        word = clause.value.get("kind")
        kind = _KINDS.get(word) if isinstance(word, str) else None
        if kind is None:
            if word is None:
                clause.refuse("'kind' is missing")
            else:
                clause.entries()["kind"].refuse(
                    f"unknown kind of charge {shown(word)}: one of {', '.join(_KINDS)} is expected"
                )
            return None, None
        return word, clause.fields(known=("name", "kind", "when", *kind.known), required=("name", *kind.required))

    # --- what concerns several charges -------------------------------------------------------------------------------

    def _netting(self, charges: Sequence[Charge]) -> Netting:
        clause = self.fields.get("netting")
        if clause is None:
            return Netting(per="none", bank=None)
        given = clause.fields(known=("per", "bank"), required=("per",))
        per = cast("NettingPer", given.one_of("per", _NETTING_PER) or "none")
        exports = [charge["name"] for charge in self.out["charges"] if charge["kind"] == "export"]
        written: dict[str, Any] = {"per": per}
        bank = None
        if "bank" in given:
            bank, written["bank"] = self._bank(given["bank"])
            if bank is not None and bank.unit == "kwh" and exports:
                given["bank"].refuse(f"what is left over goes to the bank or is paid by {exports[0]!r}, not both")
            if bank is not None and bank.unit == "money" and not exports:
                given["bank"].refuse("a bank of money needs a charge of kind export that says what energy is worth")
        if per in {"day", "bill"}:
            for charge in charges:
                if isinstance(charge, EnergyCharge) and charge.index is not None:
                    cause = f"a price that changes with every interval cannot meet energy that is netted by the {per}"
                    self.faults.add(f"{charge.clause}.index", cause)
                if isinstance(charge, EnergyCharge) and charge.order_matters(self.reader.cells):
                    self.faults.add(
                        f"{charge.clause}.tiers",
                        f"chronological tiers depend on the order of time, which netting by the {per} does not have",
                    )
        if written != {"per": "none"}:
            self.out["netting"] = written
        return Netting(per=per, bank=bank)

    def _bank(self, clause: Clause) -> tuple[Bank | None, dict[str, Any]]:
        before = len(self.faults.found)
        given = clause.fields(known=("unit", "expires", "across", "cash_out"), required=("unit",))
        unit = given.one_of("unit", _BANK_UNITS)
        expires = (
            read_first_of_month(given["expires"], "the day on which a bank expires") if "expires" in given else None
        )
        across = given.flag("across")
        cash_out = given.number("cash_out")
        if across and unit == "money":
            given["across"].refuse("money has no periods that kWh could go across")
        if cash_out is not None:
            if "expires" not in given:
                given["cash_out"].refuse("'expires' is missing: when is the bank paid out?")
            if cash_out < 0 or (unit == "money" and cash_out not in {0, 1}):
                given["cash_out"].refuse(
                    "money is paid out (1) or not (0)" if unit == "money" else "must not be below zero"
                )
        written: dict[str, Any] = {"unit": unit}
        if expires is not None:
            written["expires"] = f"{expires:02d}-01"
        if across:
            written["across"] = True
        if cash_out:
            written["cash_out"] = plain_number(cash_out)
        if len(self.faults.found) > before or unit is None:
            return None, written
        return Bank(
            unit=cast("BankUnit", unit), expires=expires, across=across, cash_out=cash_out or Decimal(0)
        ), written

    def _refuse_factors(self, charges: Sequence[Charge]) -> None:
        """A factor multiplies a price of its own period: there must be one, known before the month is over."""
        for load in charges:
            if not isinstance(load, LoadCharge) or load.action != "factor":
                continue
            for charge in charges:
                if (
                    isinstance(charge, EnergyCharge)
                    and load.channel in charge.channels
                    and (charge.tiers is not None or charge.index is not None)
                ):
                    what = "tiers" if charge.tiers is not None else "an index price"
                    self.faults.add(
                        f"{load.clause}.factor", f"a factor needs one price a period, and {charge.name!r} has {what}"
                    )


# --- what follows from the charges -----------------------------------------------------------------------------------


def _dearest_first(calendar: CalendarClauses, charges: Sequence[Charge]) -> tuple[list[int], tuple[str, ...]]:
    """The cells and the periods in an order that follows from the content, as the order of keys must not matter."""
    cells, seasons = calendar.cells, calendar.season_names
    priced = [c for c in charges if isinstance(c, EnergyCharge) and not c.export and c.schedule == 0]
    dearest: dict[str, Decimal] = {}
    for number, cell in enumerate(cells):
        price = Decimal(0)
        for charge in priced:
            price += charge.prices[number][0] if charge.index is None else charge.index.adder[number]
        dearest[cell.period] = max(price, dearest.get(cell.period, price))
    periods = tuple(sorted(dearest, key=lambda name: (-dearest[name], name)))
    order = sorted(
        range(len(cells)),
        key=lambda c: (seasons.index(cells[c].season), periods.index(cells[c].period), cells[c].others),
    )
    return order, periods


def _moved(calendar: Calendar, order: Sequence[int]) -> Calendar:
    place = {cell: new for new, cell in enumerate(order)}

    def moved(patterns: Any) -> Any:  # noqa: ANN401 - patterns
        return {key: tuple((minute, place[cell]) for minute, cell in pattern) for key, pattern in patterns.items()}

    return replace(
        calendar,
        patterns=moved(calendar.patterns),
        events={event: moved(patterns) for event, patterns in calendar.events.items()},
    )


def _reordered(charge: Charge, order: Sequence[int]) -> Charge:
    """The charge with its values by cell in another order; lines and groups are numbered anew."""

    def by_cell(values: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(values[cell] for cell in order)

    def renumbered(values: Sequence[int]) -> tuple[int, ...]:
        seen = list(dict.fromkeys(value for value in by_cell(values) if value >= 0))
        return tuple(seen.index(value) if value >= 0 else -1 for value in by_cell(values))

    if isinstance(charge, EnergyCharge):
        index = charge.index
        if index is not None:
            index = replace(index, scale=by_cell(index.scale), adder=by_cell(index.adder))
        return replace(
            charge,
            prices=by_cell(charge.prices),
            limits=by_cell(charge.limits),
            lines=renumbered(charge.lines),
            index=index,
        )
    if isinstance(charge, DemandCharge):
        ratchet = None if charge.ratchet is None else replace(charge.ratchet, percent=by_cell(charge.ratchet.percent))
        return replace(
            charge,
            groups=renumbered(charge.groups),
            prices=by_cell(charge.prices),
            limits=by_cell(charge.limits),
            ratchet=ratchet,
        )
    if isinstance(charge, LoadCharge):
        return replace(charge, watched=by_cell(charge.watched), prices=by_cell(charge.prices))
    return charge


def _order_matters(charge: Charge, cells: Sequence[Cell]) -> bool:
    if isinstance(charge, EnergyCharge):
        return charge.order_matters(cells)
    return isinstance(charge, LoadCharge) or (isinstance(charge, DemandCharge) and charge.sliding)


def _channels(charges: Sequence[Charge], netting: Netting) -> tuple[str, ...]:
    found = {IMPORT: None}
    for charge in charges:
        if isinstance(charge, EnergyCharge):
            found |= dict.fromkeys(charge.channels)
        elif isinstance(charge, DemandCharge | LoadCharge):
            found[charge.channel] = None
    exports = found.pop(EXPORT, "none") is None or netting.per != "none" or netting.bank is not None
    return (*found, EXPORT) if exports else tuple(found)


def _index_series(charges: Sequence[Charge]) -> tuple[str, ...]:
    found = (c.index.series for c in charges if isinstance(c, EnergyCharge) and c.index is not None)
    return tuple(sorted(set(found)))


def _facts(charges: Sequence[Charge]) -> tuple[str, ...]:
    """The facts that rating may ask for; who may have the tariff is asked elsewhere."""
    found: set[str] = set()
    for charge in charges:
        if charge.when is not None:
            found |= {test.fact for test in charge.when.facts}
        if isinstance(charge, EnergyCharge):
            per = None if charge.tiers is None or charge.tiers.per is None else _PER_KW.get(charge.tiers.per)
            found |= set() if per is None else {per}
        elif isinstance(charge, DemandCharge):
            contracted = charge.contracted
            found |= {"contracted_kw"} if isinstance(contracted, Contracted) and contracted.kw is None else set()
        elif isinstance(charge, LoadCharge):
            found |= set() if charge.percent is None else {"contracted_kw"}
        elif (times := getattr(charge, "times", None)) is not None:
            found.add(times)
    return tuple(sorted(found))
