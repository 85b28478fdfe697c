"""What all charges have in common; charges for time and on other charges: fixed, minimum, percentage, credit."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, cast

from wattledger.tariffs._by_cell import CellReader
from wattledger.tariffs._calendar_clauses import one_or_list
from wattledger.tariffs._document import Clause, Fields, plain_number, shown
from wattledger.tariffs._model import (
    BY_DAYS,
    EXPORT,
    IMPORT,
    WHOLE,
    Condition,
    CreditCharge,
    FixedCharge,
    MinimumCharge,
    Per,
    PercentageCharge,
    Proration,
)
from wattledger.tariffs._terms import (
    read_above_zero,
    read_condition,
    read_fact_name,
    read_first_of_month,
    read_proration,
)

ALL = "all"
"""The word for everything before, where charges are named."""

_MOST_PERCENT = 1000
_PER = ("day", "month", "bill", "quarter", "year")
_UNCUT = ("day", "bill")  # what is not for a month is never cut
_BASED = "charges can only be based on charges before them"
_ONCE = ("line", "sum")


@dataclass(frozen=True, slots=True)
class ChargeClause:
    """A charge that is being read.

    ``given``     its members, ``document`` its canonical clause, which grows
    ``earlier``   the charges before it and whether each of them has an amount
    ``all_names`` the names of all charges
    """

    name: str
    kind: str
    clause: Clause
    given: Fields
    reader: CellReader
    earlier: Mapping[str, bool]
    all_names: Collection[str]
    document: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Where it stands, as ``charges[2]``."""
        return self.clause.path

    def when(self) -> Condition | None:
        """When it applies; ``None``: always."""
        read = read_condition(self.given["when"]) if "when" in self.given else None
        if read is None:
            return None
        self.document["when"] = read[1]
        return read[0]

    def schedule(self) -> int | None:
        """The schedule that it goes by; 0 is the tariff's own; ``None`` after a fault."""
        name = self.given.text("schedule")
        if name is None:
            return 0
        if name not in self.reader.schedules:
            self.given["schedule"].refuse(f"unknown schedule {name!r}")
            return None
        self.document["schedule"] = name
        return 1 + self.reader.schedules.index(name)

    def channels(self) -> tuple[str, ...]:
        """Whose energy it prices: ``import`` when nothing is said."""
        clause = self.given.get("channel")
        if clause is None:
            return (IMPORT,)
        names = [name for item in clause.items() if (name := item.text()) is not None]
        if not clause.items():
            clause.refuse("at least one channel is expected")
        if len(set(names)) != len(names):
            clause.refuse("a channel is named twice")
        if EXPORT in names:
            clause.refuse("what is given back has charges of kind export")
        if names != [IMPORT]:
            self.document["channel"] = one_or_list(names) if names else []
        return tuple(names) or (IMPORT,)

    def one_channel(self) -> str:
        """The one channel whose power it measures."""
        name = self.given.text("channel")
        if name is not None and name != IMPORT:
            self.document["channel"] = name
        return name or IMPORT

    def price(self, *, least: Literal["any", "zero", "above"], below: str = "a price must be above zero") -> Decimal:
        """The one price; ``below`` is the fault of one too low. After a fault, or without one, 0."""
        price = self.given.number("price")
        if price is None:
            return Decimal(0)
        if (least == "zero" and price < 0) or (least == "above" and price <= 0):
            self.given["price"].refuse(below)
        self.document["price"] = plain_number(price)
        return price

    def time(
        self, *, per: Collection[str] = _PER, usual: str | None = None, cut: Proration = BY_DAYS
    ) -> tuple[Per, Proration]:
        """What a price is for, and how that is cut in a bill of another length (``cut`` when nothing is said).

        ``usual`` is what it is for when nothing is said; else it must be.
        """
        word = self.given["per"].one_of(per) if "per" in self.given else usual
        proration = cut
        if "proration" in self.given:
            read = read_proration(self.given["proration"])
            if word in _UNCUT:
                stretch = "a daily charge is for the days of the bill" if word == "day" else "a charge is for the bill"
                self.given["proration"].refuse(f"{stretch}; it needs no proration")
            elif read is not None:
                proration = read[0]
                if proration != cut:
                    self.document["proration"] = read[1]
        if word is not None and word != usual:
            self.document["per"] = word
        return cast("Per", word or "month"), proration

    def times(self) -> str | None:
        """The fact that multiplies it."""
        name = read_fact_name(self.given["times"]) if "times" in self.given else None
        if name is not None:
            self.document["times"] = name
        return name

    def bases(self, key: str) -> tuple[str, ...]:
        """The charges before this one that it names, or ``all`` of them, in their order."""
        clause = self.given.get(key)
        if clause is None:
            return ()
        billed = tuple(name for name, has_amount in self.earlier.items() if has_amount)
        named: list[str] = []
        for item in clause.items():
            name = item.text()
            if name is None:
                continue
            fault = None if name == ALL else self._unfit(name)
            if fault is not None:
                item.refuse(fault)
            elif name in named:
                item.refuse(f"{name!r} is named twice")
            named.append(name)
        if not clause.items():
            clause.refuse("at least one charge, or all, is expected")
        if ALL in named:
            if len(named) > 1:
                clause.refuse("'all' stands for every charge before and needs no others")
            elif not billed:
                clause.refuse(f"no charge stands before this one: {_BASED}")
            self.document[key] = ALL
            return billed
        found = [name for name in billed if name in named]
        self.document[key] = one_or_list(found) if found else []
        return tuple(found)

    def _unfit(self, name: str) -> str | None:
        if name == self.name:
            return f"{name!r} is this charge itself: {_BASED}"
        if name in self.earlier:
            return None if self.earlier[name] else f"{name!r} charges nothing"
        if name in self.all_names:
            return f"{name!r} stands after this charge: {_BASED}"
        return f"no charge is called {name!r}: {_BASED}"


def read_fixed(charge: ChargeClause) -> FixedCharge:
    """An amount for time."""
    price = charge.price(least="zero", below="a fixed charge is not below zero: what is taken off is of kind credit")
    per, proration = charge.time()
    return FixedCharge(
        name=charge.name,
        clause=charge.path,
        price=price,
        per=per,
        proration=proration,
        times=charge.times(),
        when=charge.when(),
    )


def read_minimum(charge: ChargeClause) -> MinimumCharge:
    """What other charges come to at least."""
    price = charge.price(least="above", below="a minimum must be above zero")
    yearly = "per" in charge.given and charge.given["per"].value == "year"
    per, proration = charge.time(cut=WHOLE if yearly else BY_DAYS)
    starts = 1
    if "starts" in charge.given:
        if not yearly:
            charge.given["starts"].refuse("only a minimum for a year has a first month")
        starts = read_first_of_month(charge.given["starts"], "a year's start") or 1
        if starts != 1:
            charge.document["starts"] = f"{starts:02d}-01"
    return MinimumCharge(
        name=charge.name,
        clause=charge.path,
        price=price,
        per=per,
        proration=proration,
        covers=charge.bases("covers"),
        starts=starts,
        times=charge.times(),
        when=charge.when(),
    )


def read_percentage(charge: ChargeClause) -> PercentageCharge:
    """A tax, a surcharge or a discount in percent of charges before."""
    rate = charge.given.number("rate")
    if rate is not None:
        charge.document["rate"] = plain_number(rate)
        if charge.kind == "tax" and rate < 0:
            charge.given["rate"].refuse("a tax is not below zero percent")
        if charge.kind == "percentage" and rate == 0:
            charge.given["rate"].refuse("a percentage must not be zero")
        _refuse_beyond(charge.given["rate"], rate)
    by_line = charge.given.one_of("on", _ONCE) == "line"
    if by_line:
        charge.document["on"] = "line"
    return PercentageCharge(
        name=charge.name,
        clause=charge.path,
        kind="tax" if charge.kind == "tax" else "percentage",
        rate=rate or Decimal(0),
        of=charge.bases("of"),
        by_line=by_line,
        when=charge.when(),
    )


def _refuse_beyond(clause: Clause, rate: Decimal) -> None:
    if abs(rate) > _MOST_PERCENT:
        clause.refuse(f"{shown(plain_number(rate))} percent is out of all proportion: at most {_MOST_PERCENT} are")


def read_credit(charge: ChargeClause) -> CreditCharge:
    """What is taken off: a price for time, or percent of charges before."""
    given = charge.given
    if ("price" in given) == ("rate" in given):
        charge.clause.refuse("either 'price' or 'rate' is expected")
    price = rate = None
    per: Per = "bill"
    proration = WHOLE
    if "price" in given:
        price = charge.price(least="above", below="a credit is written above zero and taken off")
        if "per" not in given:
            charge.clause.refuse("'per' is missing")
        per, proration = charge.time()
    else:
        for key in ("per", "proration", "times"):
            if key in given:
                given[key].refuse(f"a credit in percent has no {key!r}")
        rate = read_above_zero(given.get("rate"), "a credit's percentage")
        if rate is not None:
            charge.document["rate"] = plain_number(rate)
            _refuse_beyond(given["rate"], rate)
        if "of" not in given:
            charge.clause.refuse("'of' is missing: of which charges are these percent?")
    most = read_above_zero(given.get("most"), "the most that a credit takes off")
    if most is not None:
        charge.document["most"] = plain_number(most)
    return CreditCharge(
        name=charge.name,
        clause=charge.path,
        price=price,
        per=per,
        proration=proration,
        rate=rate,
        of=charge.bases("of"),
        most=most,
        times=charge.times() if price is not None else None,
        when=charge.when(),
    )
