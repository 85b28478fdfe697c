"""One bill: rated from the readings, written down with every line, posted to the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal, cast

import sqlalchemy as sa

from wattledger import ledger, pricing
from wattledger.billing._tables import bill
from wattledger.kernel import Money, Problem, stable_id
from wattledger.registry import Segment
from wattledger.store import Fact, Row, Transaction
from wattledger.tariffs import ChargeLine, Rating

BillKind = Literal["bill", "statement"]
BillState = Literal["posted", "held"]

MISSING_READINGS = "missing_readings"
WALLET_DISAGREES = "wallet_disagrees"
_HELD_BY = {"index-price-missing": "missing_prices", "fact-unknown": "missing_facts"}
_NO_PRICE = "no_price"


class BillNotFound(Problem):
    """There is no such bill."""

    slug = "bill-not-found"
    title = "No such bill"
    status = 404


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
class Bill:
    """A bill or statement of one contract for one month (or the part of it that the contract was in force)."""

    id: str
    run_id: str
    contract_id: str
    kind: BillKind
    state: BillState
    held_because: str | None
    start: datetime
    end: datetime
    total: Money
    deducted: Money | None
    missing: int
    estimated: int
    parts: Sequence[BillPart]
    issued_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BillPosted(Fact):
    """A bill or statement was made final."""

    bill_id: str
    kind: str
    month: str
    total_micro: int
    currency: str


def receivable_account(contract_id: str) -> str:
    """The ledger account of what a contract owes."""
    return f"receivable:{contract_id}"


def rated_bill(
    *,
    run_id: str,
    kind: BillKind,
    segments: Sequence[Segment],
    outcomes: Mapping[tuple[str, datetime], pricing.Outcome],
    deducted: Money | None,
    now: datetime,
) -> Bill:
    """Settle one contract's segments of a month, in order, into a bill that is posted or held. Pure.

    A bill of which a part has no price yet is held and shows the other parts.
    """
    settled = [pricing.settled(segment=s, outcome=outcomes[s.key]) for s in segments]
    ratings = [rating for rating in settled if isinstance(rating, Rating)]
    unpriced = next((problem for problem in settled if not isinstance(problem, Rating)), None)
    currency = segments[0].currency
    total = sum((rating.total for rating in ratings), start=Money.zero(currency))
    missing = sum(rating.missing for rating in ratings)
    held = None
    if missing:
        held = MISSING_READINGS
    elif unpriced is not None:
        held = _HELD_BY.get(unpriced.slug, _NO_PRICE)
    elif deducted is not None and deducted != total:
        held = WALLET_DISAGREES
    return Bill(
        id=stable_id("bill", segments[0].contract_id, segments[0].period.start.isoformat(), kind),
        run_id=run_id,
        contract_id=segments[0].contract_id,
        kind=kind,
        state="held" if held else "posted",
        held_because=held,
        start=segments[0].period.start,
        end=segments[-1].period.end,
        total=total,
        deducted=deducted,
        missing=missing,
        estimated=sum(rating.estimated for rating in ratings),
        parts=[
            _part(s, one.lines if isinstance(one, Rating) else ()) for s, one in zip(segments, settled, strict=True)
        ],
        issued_at=now,
    )


def _part(segment: Segment, lines: Sequence[ChargeLine]) -> BillPart:
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


def write_bills(tx: Transaction, *, bills: Sequence[Bill], month: str) -> None:
    """Write bills down and post those that are to be paid; for bills that are not posted yet."""
    tx.upsert(
        bill,
        [_row(one) for one in bills],
        update=("run_id", "state", "held_because", "total", "deducted", "missing", "estimated", "parts", "issued_at"),
    )
    posted = [one for one in bills if one.state == "posted"]
    to_pay = [one for one in posted if one.kind == "bill" and one.total.micro]
    ledger.open_accounts(
        tx,
        accounts=[
            *(ledger.Account(receivable_account(b.contract_id), "receivable", b.total.currency) for b in to_pay),
            *(ledger.Account(_revenue(c), "revenue", c) for c in sorted({b.total.currency for b in to_pay})),
        ],
    )
    ledger.post(tx, transfers=[_transfer(one) for one in to_pay])
    for one in posted:
        tx.emit(
            BillPosted(
                at=one.issued_at,
                contract_id=one.contract_id,
                bill_id=one.id,
                kind=one.kind,
                month=month,
                total_micro=one.total.micro,
                currency=one.total.currency,
            )
        )


def _revenue(currency: str) -> str:
    return f"revenue:energy:{currency}"


def _transfer(one: Bill) -> ledger.Transfer:
    sides = (receivable_account(one.contract_id), _revenue(one.total.currency))
    debit, credit = sides if one.total.micro > 0 else sides[::-1]
    return ledger.Transfer(
        id=f"bill:{one.id}",
        debit_account=debit,
        credit_account=credit,
        amount=Money(abs(one.total.micro), one.total.currency),
        purpose="bill",
        reference=one.id,
        posted_at=one.issued_at,
    )


def _row(one: Bill) -> dict[str, object]:
    return {
        "id": one.id,
        "run_id": one.run_id,
        "contract_id": one.contract_id,
        "kind": one.kind,
        "state": one.state,
        "held_because": one.held_because,
        "start": one.start,
        "end": one.end,
        "currency": one.total.currency,
        "total": one.total.micro,
        "deducted": None if one.deducted is None else one.deducted.micro,
        "missing": one.missing,
        "estimated": one.estimated,
        "parts": [asdict(part) for part in one.parts],
        "issued_at": one.issued_at,
    }


def bills_of(tx: Transaction, *, contract_id: str, limit: int = 36) -> list[Bill]:
    """A contract's bills and statements, newest first."""
    rows = tx.rows(sa.select(bill).where(bill.c.contract_id == contract_id).order_by(bill.c.start.desc()).limit(limit))
    return [_bill(row) for row in rows]


def bill_with_id(tx: Transaction, *, bill_id: str) -> Bill:
    """One bill; raises :class:`BillNotFound`."""
    row = tx.execute(sa.select(bill).where(bill.c.id == bill_id)).one_or_none()
    if row is None:
        raise BillNotFound(f"no bill is called {bill_id!r}")
    return _bill(row)


def _bill(row: Row) -> Bill:
    return Bill(
        id=row.id,
        run_id=row.run_id,
        contract_id=row.contract_id,
        kind=cast("BillKind", row.kind),
        state=cast("BillState", row.state),
        held_because=row.held_because,
        start=row.start,
        end=row.end,
        total=Money(row.total, row.currency),
        deducted=None if row.deducted is None else Money(row.deducted, row.currency),
        missing=row.missing,
        estimated=row.estimated,
        parts=[
            BillPart(**{**part, "lines": [BillLine(**line) for line in part["lines"]]})  # as asdict wrote it
            for part in row.parts
        ],
        issued_at=row.issued_at,
    )
