"""One bill: rated from the readings, written down with every line, posted to the ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast

import sqlalchemy as sa

from wattledger import ledger, pricing
from wattledger.billing._corrections import Correction, carried_by, carry, corrections_of_bills
from wattledger.billing._lines import BillPart, parts_as_kept, parts_to_keep, rated_part
from wattledger.billing._tables import bill, billed_point
from wattledger.billing.ports import Deductions, Stage, unwatched
from wattledger.kernel import Money, Period, Problem, stable_id
from wattledger.registry import Segment
from wattledger.store import Fact, Row, Transaction, chunked
from wattledger.tariffs import Rating

BillKind = Literal["bill", "statement"]
BillState = Literal["posted", "held", "cancelled"]

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
class Bill:
    """A bill or statement of one contract for one month (or the part of it that the contract was in force).

    ``total``        what the month came to when the bill was made; of a posted bill it never changes
    ``edition``      1, or a later one of a bill that ``replaces`` the one before; that one is ``replaced_by`` it
    ``corrections``  what was corrected of this bill since
    ``carried``      what was corrected of earlier bills and is shown on this one
    """

    id: str
    run_id: str
    contract_id: str
    service_point_id: str
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
    edition: int = 1
    replaces: str | None = None
    replaced_by: str | None = None
    corrections: Sequence[Correction] = ()
    carried: Sequence[Correction] = ()

    @property
    def corrected_total(self) -> Money:
        """What the month comes to by all that is known now."""
        return self.corrections[-1].new_total if self.corrections else self.total

    @property
    def to_pay(self) -> Money:
        """What this document asks for: a bill its total and the corrections it shows, a statement nothing of its own.

        What was corrected on a statement went through the wallet and is not asked for again.
        """
        own = self.total if self.kind == "bill" else Money.zero(self.total.currency)
        return sum((one.difference for one in self.carried if one.way == "next_bill"), start=own)


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
        id=document_id(contract_id=segments[0].contract_id, start=segments[0].period.start, kind=kind),
        run_id=run_id,
        contract_id=segments[0].contract_id,
        service_point_id=segments[0].service_point_id,
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
            rated_part(s, one.lines if isinstance(one, Rating) else ())
            for s, one in zip(segments, settled, strict=True)
        ],
        issued_at=now,
    )


def document_id(*, contract_id: str, start: datetime | str, kind: BillKind, edition: int = 1) -> str:
    """The id of the document of a contract that begins at ``start`` (UTC, or as ISO 8601), always the same."""
    later = () if edition == 1 else (edition,)
    begun = start if isinstance(start, str) else start.isoformat()
    return stable_id("bill", contract_id, begun, kind, *later)


def write_bills(
    tx: Transaction, *, bills: Sequence[Bill], month: str, deductions: Deductions, stage: Stage = unwatched
) -> None:
    """Write bills down and post those that are to be paid; for bills that are not posted yet.

    The bills that are posted show what was corrected before them, and what comes late for their time from now on is
    noted: to be called with the service points locked (``locked_points``) before their readings were counted.
    """
    tx.upsert(
        bill,
        [_row(one) for one in bills],
        update=("run_id", "state", "held_because", "total", "deducted", "missing", "estimated", "parts", "issued_at"),
    )
    posted = [one for one in bills if one.state == "posted"]
    _remember_until(tx, posted)
    carry(tx, bills={one.contract_id: one.id for one in posted})
    deductions.stated(
        tx,
        statements={one.id: (one.contract_id, Period(one.start, one.end)) for one in posted if one.kind == "statement"},
    )
    stage("ledger")
    to_pay = [one for one in posted if one.kind == "bill" and one.total.micro]
    ledger.post(
        tx,
        transfers=[
            receivable_transfer(
                transfer_id=f"bill:{one.id}",
                contract_id=one.contract_id,
                amount=one.total,
                purpose="bill",
                reference=one.id,
                now=one.issued_at,
            )
            for one in to_pay
        ],
        opening=[
            *(ledger.Account(receivable_account(b.contract_id), "receivable", b.total.currency) for b in to_pay),
            *(
                ledger.Account(revenue_account(c), "revenue", c, shards=ledger.BUSY_SHARDS)
                for c in sorted({b.total.currency for b in to_pay})
            ),
        ],
    )
    stage("write")
    tx.emit_all(
        [
            BillPosted(
                at=one.issued_at,
                contract_id=one.contract_id,
                bill_id=one.id,
                kind=one.kind,
                month=month,
                total_micro=one.total.micro,
                currency=one.total.currency,
            )
            for one in posted
        ]
    )


def _remember_until(tx: Transaction, posted: Sequence[Bill]) -> None:
    points: dict[datetime, set[str]] = defaultdict(set)
    for one in posted:
        points[one.end].add(one.service_point_id)
    for end, of in sorted(points.items()):
        tx.execute(
            billed_point.update()
            .where(tx.among(billed_point.c.service_point_id, sorted(of)), billed_point.c.until < end)
            .values(until=end)
        )


def revenue_account(currency: str) -> str:
    """The ledger account of what energy earned."""
    return f"revenue:energy:{currency}"


def revenue(currency: str) -> ledger.Account:
    """That account, to be opened: nearly every posting touches it."""
    return ledger.Account(revenue_account(currency), "revenue", currency, shards=ledger.BUSY_SHARDS)


def receivable_transfer(
    *,
    transfer_id: str,
    contract_id: str,
    amount: Money,
    purpose: str,
    reference: str,
    now: datetime,
    corrects: str | None = None,
) -> ledger.Transfer:
    """The transfer by which a contract owes ``amount`` more, or less where it is below zero."""
    sides = (receivable_account(contract_id), revenue_account(amount.currency))
    debit, credit = sides if amount.micro > 0 else sides[::-1]
    return ledger.Transfer(
        id=transfer_id,
        debit_account=debit,
        credit_account=credit,
        amount=Money(abs(amount.micro), amount.currency),
        purpose=purpose,
        reference=reference,
        posted_at=now,
        corrects=corrects,
    )


def _row(one: Bill) -> dict[str, object]:
    return {
        "id": one.id,
        "run_id": one.run_id,
        "contract_id": one.contract_id,
        "service_point_id": one.service_point_id,
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
        "parts": parts_to_keep(one.parts),
        "issued_at": one.issued_at,
        "edition": one.edition,
        "replaces": one.replaces,
    }


def bills_of(tx: Transaction, *, contract_id: str, limit: int = 36) -> list[Bill]:
    """A contract's bills and statements, newest first; a cancelled one stands after the one that replaced it."""
    return _bills(
        tx,
        tx.rows(
            sa.select(bill)
            .where(bill.c.contract_id == contract_id)
            .order_by(bill.c.start.desc(), bill.c.edition.desc())
            .limit(limit)
        ),
    )


def bill_with_id(tx: Transaction, *, bill_id: str) -> Bill:
    """One bill; raises :class:`BillNotFound`."""
    row = tx.execute(sa.select(bill).where(bill.c.id == bill_id)).one_or_none()
    if row is None:
        raise BillNotFound(f"no bill is called {bill_id!r}")
    return _bills(tx, [row])[0]


def posted_bills(tx: Transaction, *, contract_ids: Sequence[str], after: datetime) -> list[Bill]:
    """The bills and statements of these contracts that are posted, not cancelled and end after ``after``, in order."""
    rows: list[Row] = []
    for piece in chunked(sorted(contract_ids)):
        rows += tx.rows(
            sa.select(bill)
            .where(bill.c.contract_id.in_(piece), bill.c.end > after, bill.c.state == "posted")
            .order_by(bill.c.contract_id, bill.c.start)
        )
    return [one for one in _bills(tx, rows) if one.state == "posted"]


def _bills(tx: Transaction, rows: Sequence[Row]) -> list[Bill]:
    """The bills of these rows with their corrections."""
    ids = [row.id for row in rows]
    replaced: dict[str, str] = {}
    for piece in chunked(sorted(ids)):
        select = sa.select(bill.c.replaces, bill.c.id).where(bill.c.replaces.in_(piece))
        replaced.update((row.replaces, row.id) for row in tx.rows(select))
    # A bill that replaces another shows what that one had shown.
    shown = {row.id: [_edition_id(row, edition) for edition in range(1, row.edition + 1)] for row in rows}
    carried = carried_by(tx, bill_ids={edition for editions in shown.values() for edition in editions})
    corrections = corrections_of_bills(tx, bill_ids=ids)
    return [
        Bill(
            id=row.id,
            run_id=row.run_id,
            contract_id=row.contract_id,
            service_point_id=row.service_point_id,
            kind=cast("BillKind", row.kind),
            state="cancelled" if row.id in replaced else cast("BillState", row.state),
            held_because=row.held_because,
            start=row.start,
            end=row.end,
            total=Money(row.total, row.currency),
            deducted=None if row.deducted is None else Money(row.deducted, row.currency),
            missing=row.missing,
            estimated=row.estimated,
            parts=parts_as_kept(row.parts),
            issued_at=row.issued_at,
            edition=row.edition,
            replaces=row.replaces,
            replaced_by=replaced.get(row.id),
            corrections=corrections.get(row.id, []),
            carried=[one for edition in shown[row.id] for one in carried.get(edition, [])],
        )
        for row in rows
    ]


def _edition_id(row: Row, edition: int) -> str:
    return document_id(contract_id=row.contract_id, start=row.start, kind=cast("BillKind", row.kind), edition=edition)
