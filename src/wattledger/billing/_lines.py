"""What stands on a bill: parts and lines, and what two versions of the same bill differ by."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from functools import cached_property
from itertools import zip_longest
from typing import Any, overload

from wattledger.kernel import Money
from wattledger.registry import Segment
from wattledger.store import JsonText
from wattledger.tariffs import ChargeLine


@dataclass(frozen=True, slots=True)
class BillLine:
    """``quantity`` x ``price`` = ``amount``, as decimal strings.

    ``clause`` is the path of what applied in the tariff's document, ``at`` when a demand was measured (ISO 8601), and
    with ``averaged`` the price is what published prices came to. Lines of before these were kept have none.
    """

    charge: str
    kind: str
    period: str | None
    tier: int | None
    quantity: str
    unit: str
    price: str
    amount: str
    season: str | None = None
    clause: str = ""
    at: str | None = None
    averaged: bool = False


@dataclass(frozen=True, slots=True)
class BillPart:
    """The lines of one tariff version."""

    tariff_id: str
    tariff_version: str
    tariff_hash: str
    tariff_name: str
    lines: Sequence[BillLine]


@dataclass(frozen=True, slots=True)
class LineChange:
    """One charge of a bill before and after, as decimal strings; ``None`` where it did not stand on the bill.

    ``difference`` is the new amount less the old one. The tariff's version is named, for a bill may have two.
    """

    tariff_version: str
    charge: str
    kind: str
    period: str | None
    season: str | None
    tier: int | None
    unit: str
    old_quantity: str | None
    new_quantity: str | None
    old_price: str | None
    new_price: str | None
    old_amount: str | None
    new_amount: str | None
    difference: str


def rated_part(segment: Segment, lines: Sequence[ChargeLine]) -> BillPart:
    """The part of a bill that a segment with these charge lines is."""
    return BillPart(
        tariff_id=segment.tariff.id,
        tariff_version=segment.tariff.version,
        tariff_hash=segment.tariff.hash,
        tariff_name=segment.tariff.name,
        lines=[
            BillLine(
                charge=line.charge,
                kind=line.kind,
                period=line.period,
                tier=line.tier,
                quantity=f"{line.quantity:f}",
                unit=line.unit,
                price=f"{line.price:f}",
                amount=line.amount.text if isinstance(line.amount, Money) else f"{line.amount:f}",
                season=line.season,
                clause=line.clause,
                at=None if line.at is None else line.at.isoformat(),
                averaged=line.averaged,
            )
            for line in lines
        ],
    )


class WrittenParts(Sequence[BillPart]):
    """The parts of a bill as the text that is kept of them; read when somebody looks."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def _parts(self) -> list[BillPart]:
        return parts_as_kept(json.loads(self.text))

    def __len__(self) -> int:
        return len(self._parts)

    @overload
    def __getitem__(self, index: int) -> BillPart: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[BillPart]: ...
    def __getitem__(self, index: int | slice) -> BillPart | Sequence[BillPart]:
        return self._parts[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as of a list


def parts_to_keep(parts: Sequence[BillPart]) -> object:
    """What the database keeps of the parts of a bill."""
    return JsonText(parts.text) if isinstance(parts, WrittenParts) else [asdict(part) for part in parts]


def parts_as_kept(kept: Sequence[Mapping[str, Any]]) -> list[BillPart]:
    """Parts as ``asdict`` wrote them."""
    return [BillPart(**{**part, "lines": [BillLine(**line) for line in part["lines"]]}) for part in kept]


def line_changes(old: Sequence[BillPart], new: Sequence[BillPart], *, currency: str) -> list[LineChange]:
    """Every line that differs between two versions of a bill; their differences add up to that of the totals.

    What tells a line from the others is the clause that it comes from, its period, season and tier; those that are
    alike in all of it are compared in their order.
    """
    before, after = _by_identity(old), _by_identity(new)
    found: list[LineChange] = []
    for identity in dict.fromkeys((*after, *before)):
        for was, is_now in zip_longest(before.get(identity, ()), after.get(identity, ())):
            found += _change(identity[1], was, is_now, currency)
    return found


_Identity = tuple[str, ...]


def _by_identity(parts: Sequence[BillPart]) -> dict[_Identity, list[BillLine]]:
    found: dict[_Identity, list[BillLine]] = defaultdict(list)
    for part in parts:
        for line in part.lines:
            told = (line.charge, line.kind, line.period, line.season, line.tier, line.unit, line.clause)
            found[(part.tariff_id, part.tariff_version, *map(repr, told))].append(line)
    return found


def _change(version: str, was: BillLine | None, is_now: BillLine | None, currency: str) -> Iterator[LineChange]:
    if was is not None and is_now is not None:
        told = [(Decimal(one.quantity), Decimal(one.price), Decimal(one.amount)) for one in (was, is_now)]
        if told[0] == told[1]:
            return
    line = is_now or was
    if line is None:
        return
    amounts = [Money.of(one.amount, currency) if one else Money.zero(currency) for one in (was, is_now)]
    yield LineChange(
        tariff_version=version,
        charge=line.charge,
        kind=line.kind,
        period=line.period,
        season=line.season,
        tier=line.tier,
        unit=line.unit,
        old_quantity=None if was is None else was.quantity,
        new_quantity=None if is_now is None else is_now.quantity,
        old_price=None if was is None else was.price,
        new_price=None if is_now is None else is_now.price,
        old_amount=None if was is None else was.amount,
        new_amount=None if is_now is None else is_now.amount,
        difference=(amounts[1] - amounts[0]).text,
    )
