"""Corrections of bills, as they are kept: what a bill came to, what it comes to now, line by line, and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Literal, cast

import sqlalchemy as sa

from wattledger.billing._lines import BillPart, LineChange, parts_as_kept
from wattledger.billing._tables import bill, bill_correction
from wattledger.kernel import Money
from wattledger.store import Row, Transaction, chunked

CorrectionPolicy = Literal["next_bill", "rebill"]
"""What becomes of a posted bill that costs something else now.

``next_bill``  it stays; the difference is posted, and stands as lines on the contract's next bill
``rebill``     it is cancelled by exact reversals, and a new bill takes its place
"""

CorrectionWay = Literal["next_bill", "rebill", "wallet"]
"""How a correction was carried out; a statement's difference always goes through the wallet."""

CauseKind = Literal["readings", "fact", "event", "prices"]

_CAUSES_MAX = 40  # a meter that trickles in a month one interval at a time must not make a correction of megabytes


@dataclass(frozen=True, slots=True)
class Cause:
    """What came late: ``about`` names the batch of readings, the fact, the event or the series of published prices.

    ``start`` and ``end`` enclose the time that it is of.

    ``revised`` is true when a value that was known became another one; else it was missing before. ``more`` counts
    further ones that are told together with this one: ``start`` and ``end`` then enclose them all.
    """

    kind: CauseKind
    about: str
    channel: str | None
    start: datetime
    end: datetime
    intervals: int
    revised: bool
    noted_at: datetime
    more: int = 0


@dataclass(frozen=True, slots=True)
class Correction:
    """One correction of one bill or statement.

    ``number``       1 is the bill's first; each begins where the one before it ended
    ``lines``        those that differ; their differences add up to ``difference``
    ``parts``        the whole bill as it comes to now
    ``carried_by``   the later bill that shows it; ``None`` until one is posted
    """

    bill_id: str
    number: int
    contract_id: str
    way: CorrectionWay
    old_total: Money
    new_total: Money
    lines: Sequence[LineChange]
    parts: Sequence[BillPart]
    causes: Sequence[Cause]
    made_at: datetime
    carried_by: str | None = None

    @property
    def difference(self) -> Money:
        """What the bill costs more (or, below zero, less) than before."""
        return self.new_total - self.old_total

    @property
    def transfer_id(self) -> str:
        """The ledger transfer that moved the difference; of a bill only, and only where there is any."""
        return f"bill:{self.bill_id}:correction:{self.number}"


def told_together(causes: Sequence[Cause]) -> list[Cause]:
    """``causes``, in the order they came; beyond some forty the rest is told as one."""
    kept, rest = causes[: _CAUSES_MAX - 1], causes[_CAUSES_MAX - 1 :]
    if len(rest) <= 1:
        return list(causes)
    last = replace(
        rest[-1],
        start=min(cause.start for cause in rest),
        end=max(cause.end for cause in rest),
        intervals=sum(cause.intervals for cause in rest),
        revised=any(cause.revised for cause in rest),
        more=len(rest) - 1,
    )
    return [*kept, last]


def write_corrections(tx: Transaction, *, corrections: Sequence[Correction]) -> None:
    """Write new corrections down."""
    if corrections:
        tx.execute(bill_correction.insert(), [_row(one) for one in corrections])


def corrections_of_bills(tx: Transaction, *, bill_ids: Collection[str]) -> dict[str, list[Correction]]:
    """The corrections of each of these bills that has any, the first one first."""
    return _grouped(tx, bill_correction.c.bill_id, bill_ids, lambda one: one.bill_id)


def corrections_of(tx: Transaction, *, bill_id: str) -> list[Correction]:
    """The corrections of one bill, the first one first."""
    return corrections_of_bills(tx, bill_ids=[bill_id]).get(bill_id, [])


def carried_by(tx: Transaction, *, bill_ids: Collection[str]) -> dict[str, list[Correction]]:
    """The corrections of earlier bills that each of these bills shows."""
    return _grouped(tx, bill_correction.c.carried_by, bill_ids, lambda one: str(one.carried_by))


def _grouped(
    tx: Transaction, column: sa.Column[Any], ids: Collection[str], key: Callable[[Correction], str]
) -> dict[str, list[Correction]]:
    found: dict[str, list[Correction]] = defaultdict(list)
    for piece in chunked(sorted(ids)):
        select = sa.select(bill_correction).join(bill, bill.c.id == bill_correction.c.bill_id).where(column.in_(piece))
        for row in tx.rows(select.order_by(bill_correction.c.made_at, bill.c.start, bill_correction.c.number)):
            one = _correction(row)
            found[key(one)].append(one)
    return found


def carry(tx: Transaction, *, bills: Mapping[str, str]) -> None:
    """Let posted bills (contract to bill) show what was corrected since the bills before them.

    A correction of a bill that was cancelled afterwards went with it and is shown no more.
    """
    kept, cancelled = bill_correction.c, _cancelled()
    waiting = tx.rows(
        sa.select(kept.contract_id)
        .where(
            tx.among(kept.contract_id, bills),
            kept.carried_by.is_(None),
            kept.way != "rebill",
            kept.bill_id.not_in(cancelled),
        )
        .distinct()
    )
    for (contract,) in waiting:
        tx.execute(
            bill_correction.update()
            .where(
                kept.contract_id == contract,
                kept.carried_by.is_(None),
                kept.way != "rebill",
                kept.bill_id.not_in(cancelled),
                kept.bill_id != bills[contract],
            )
            .values(carried_by=bills[contract])
        )


def _cancelled() -> sa.Select[Any]:
    return sa.select(bill.c.replaces).where(bill.c.replaces.is_not(None))


def _row(one: Correction) -> dict[str, object]:
    return {
        "bill_id": one.bill_id,
        "number": one.number,
        "contract_id": one.contract_id,
        "way": one.way,
        "currency": one.old_total.currency,
        "old_total": one.old_total.micro,
        "new_total": one.new_total.micro,
        "lines": [asdict(line) for line in one.lines],
        "parts": [asdict(part) for part in one.parts],
        "causes": [
            {
                **asdict(cause),
                "start": cause.start.isoformat(),
                "end": cause.end.isoformat(),
                "noted_at": cause.noted_at.isoformat(),
            }
            for cause in one.causes
        ],
        "made_at": one.made_at,
        "carried_by": one.carried_by,
    }


def _correction(row: Row) -> Correction:
    return Correction(
        bill_id=row.bill_id,
        number=row.number,
        contract_id=row.contract_id,
        way=cast("CorrectionWay", row.way),
        old_total=Money(row.old_total, row.currency),
        new_total=Money(row.new_total, row.currency),
        lines=[LineChange(**line) for line in row.lines],
        parts=parts_as_kept(row.parts),
        causes=[
            Cause(**{**cause, **{at: datetime.fromisoformat(cause[at]) for at in ("start", "end", "noted_at")}})
            for cause in row.causes
        ],
        made_at=row.made_at,
        carried_by=row.carried_by,
    )
