"""Many bills at once: from blocks that were priced together to bills with their lines written out.

The lines of a block differ from customer to customer in quantity and amount only. So what they have in common is
written once, and a bill's parts are the text that the database keeps; whoever looks at them gets the same as ever.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import fields
from datetime import datetime
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattledger import pricing
from wattledger.billing._bills import MISSING_READINGS, WALLET_DISAGREES, Bill, BillKind, document_id, rated_bill
from wattledger.billing._lines import BillLine, WrittenParts
from wattledger.billing.ports import Stage
from wattledger.kernel import Money
from wattledger.pricing import PricedBlock
from wattledger.registry import Segment
from wattledger.store import Transaction
from wattledger.tariffs import RatedLine, Tariff

Document = tuple[BillKind, Sequence[Segment]]
"""What is to become of a contract's segments of a month, in order."""

_MICRO = 10**Money.PLACES
_CENT = _MICRO // 100
_OWN = ("quantity", "price", "amount")
"""What a line may have of each customer's own."""

_PLACES_LISTED = 4
"""Up to so many places all that can stand after the point is kept written out."""

_ROOM = 2**62
"""Numbers below it are reckoned with in 64 bits."""

_Texts = Sequence[str]
_Whole = NDArray[Any]
"""Whole numbers: int64, or Python's own."""


def rated_bills(
    tx: Transaction,
    *,
    run_id: str,
    documents: Sequence[Document],
    deducted: Mapping[str, Money],
    now: datetime,
    executor: Executor | None,
    stage: Stage,
) -> list[Bill]:
    """As :func:`rated_bill` for each of ``documents``: many at once where that can be, the others one by one.

    ``deducted`` is what each contract with a statement was deducted for it.
    """
    alone = {group[0].key: kind for kind, group in documents if len(group) == 1}
    found: dict[tuple[str, datetime], Bill] = {}
    for block in pricing.priced_together(
        tx, segments=[group[0] for _, group in documents if len(group) == 1], executor=executor, stage=stage
    ):
        stage("bills")
        for bill in _bills_of(block, run_id=run_id, kinds=alone, deducted=deducted, now=now):
            found[bill.contract_id, bill.start] = bill
    stage("rate")
    outcomes = pricing.counted(tx, segments=[s for _, group in documents if group[0].key not in found for s in group])
    stage("bills")
    return [
        found.get(group[0].key)
        or rated_bill(
            run_id=run_id,
            kind=kind,
            segments=group,
            outcomes=outcomes,
            deducted=deducted[group[0].contract_id] if kind == "statement" else None,
            now=now,
        )
        for kind, group in documents
    ]


def _bills_of(
    block: PricedBlock,
    *,
    run_id: str,
    kinds: Mapping[tuple[str, datetime], BillKind],
    deducted: Mapping[str, Money],
    now: datetime,
) -> Iterator[Bill]:
    rated, currency = block.rated, block.rated.currency
    if not block.members:
        return
    texts = _parts_texts(block.members[0][1].tariff, rated.lines, len(rated.totals))
    totals, missing, estimated = rated.totals.tolist(), rated.missing.tolist(), block.estimated.tolist()
    period = block.members[0][1].period  # everybody's: they are priced by one rule
    begun = period.start.isoformat()
    for row, segment in block.members:
        contract = segment.contract_id
        kind = kinds[segment.key]
        total = Money(totals[row], currency)
        taken = deducted[contract] if kind == "statement" else None
        held = None
        if missing[row]:
            held = MISSING_READINGS
        elif taken is not None and taken != total:
            held = WALLET_DISAGREES
        yield Bill(
            document_id(contract_id=contract, start=begun, kind=kind),
            run_id,
            contract,
            segment.service_point_id,
            kind,
            "held" if held else "posted",
            held,
            period.start,
            period.end,
            total,
            taken,
            missing[row],
            estimated[row],
            WrittenParts(texts[row]),
            now,
        )


def _parts_texts(tariff: Tariff, lines: Sequence[RatedLine], count: int) -> _Texts:
    """Of each row the one part of its bill, as ``json.dumps`` would write it."""
    about = {
        "tariff_id": tariff.id,
        "tariff_version": tariff.version,
        "tariff_hash": tariff.hash,
        "tariff_name": tariff.name,
    }
    before, after = f'[{json.dumps(about)[:-1]}, "lines": [', "]}]"
    if not lines:
        return [before + after] * count
    columns = [_line_texts(line) for line in lines]
    return [before + ", ".join(filter(None, row)) + after for row in zip(*columns, strict=True)]


def _line_texts(line: RatedLine) -> _Texts:
    """Of each row the line as it stands on a bill; nothing for who does not have it."""
    price = None if line.price is None else f"{line.price:f}"
    first, second, third, last = _around(line, price)
    quantities, amounts = _quantities(line), _amounts(line.amounts)
    if price is not None:
        made = [f"{first}{q}{second}{a}{last}" for q, a in zip(quantities, amounts, strict=True)]
    else:
        prices = _prices(line)
        rows = zip(quantities, prices, amounts, strict=True)
        made = [f"{first}{q}{second}{p}{third}{a}{last}" for q, p, a in rows]
    has = line.quantities.values != 0
    return made if has.all() else [text if mine else "" for text, mine in zip(made, has.tolist(), strict=True)]


def _around(line: RatedLine, price: str | None) -> tuple[str, str, str, str]:
    """What a line of a bill is written as, around quantity, price (unless it is the same for all) and amount."""
    known: dict[str, Any] = {
        "charge": line.charge,
        "kind": line.kind,
        "period": line.period,
        "tier": line.tier,
        "unit": line.unit,
        "price": price,
        "season": line.season,
        "clause": line.clause,
        "at": None,
        "averaged": line.averaged,
    }
    pieces, text = list[str](), ""
    for number, field in enumerate(fields(BillLine)):
        text += f'{", " if number else "{"}"{field.name}": '
        if field.name in _OWN and known.get(field.name) is None:
            pieces.append(text + '"')
            text = '"'
        else:
            text += json.dumps(known[field.name])
    first, *between = pieces
    return first, between[0], between[-1], text + "}"


def _quantities(line: RatedLine) -> _Texts:
    column = line.quantities
    values = column.values
    same = column.over is None and len(values) > 0 and bool((values == values[0]).all())
    if same:
        return [f"{column.decimal(0):f}"] * len(values)
    below = column.unit.denominator
    places = next((places for places in range(19) if 10**places % below == 0), None)
    if column.over is not None or places is None:
        return [f"{column.decimal(row):f}" if value else "" for row, value in enumerate(values.tolist())]
    by = column.unit.numerator * (10**places // below)
    if values.dtype != object and int(np.abs(values).max(initial=0)) * by >= _ROOM:
        values = values.astype(object)
    return _plain(values * by, places)


def _prices(line: RatedLine) -> _Texts:
    """Of who has the line, what it costs each; as told by the line itself."""
    has = np.flatnonzero(line.quantities.values).tolist()
    texts = [""] * len(line.quantities.values)
    for row in has:
        one = line.of(row, "XXX")
        texts[row] = "" if one is None else f"{one.price:f}"
    return texts


def _plain(values: _Whole, places: int) -> _Texts:
    """Whole numbers with the point moved by ``places``, without needless zeros."""
    units, rest = _divided(np.abs(values), 10**places)
    after = _after_point(places) if places <= _PLACES_LISTED else None
    if after is not None:
        texts = [f"{unit}{after[more]}" for unit, more in zip(units.tolist(), rest.tolist(), strict=True)]
    else:
        texts = [
            f"{unit}.{more:0{places}d}".rstrip("0") if more else str(unit)
            for unit, more in zip(units.tolist(), rest.tolist(), strict=True)
        ]
    return _signed(texts, values)


@lru_cache(maxsize=_PLACES_LISTED + 1)
def _after_point(places: int) -> _Texts:
    """What stands after a number, the point included, of each number of ``places`` places."""
    return [f".{rest:0{places}d}".rstrip("0") if rest else "" for rest in range(10**places)]


def _amounts(micro: _Whole) -> _Texts:
    """As ``Money.text``."""
    units, rest = _divided(np.abs(micro), _MICRO)
    cents, finer = _divided(rest, _CENT)
    if not finer.any():
        texts = [f"{unit}.{cent:02d}" for unit, cent in zip(units.tolist(), cents.tolist(), strict=True)]
    else:
        texts = [
            f"{unit}.{more:06d}".rstrip("0") if fine else f"{unit}.{more // _CENT:02d}"
            for unit, more, fine in zip(units.tolist(), rest.tolist(), finer.tolist(), strict=True)
        ]
    return _signed(texts, micro)


def _divided(values: _Whole, by: int) -> tuple[_Whole, _Whole]:
    return values // by, values % by  # NumPy's divmod does not take Python's own numbers


def _signed(texts: list[str], values: _Whole) -> _Texts:
    for row in np.flatnonzero(values < 0).tolist():
        texts[row] = "-" + texts[row]
    return texts
