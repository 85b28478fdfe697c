"""A provider's list of a day beside our own: what differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Literal, TypeAlias

import sqlalchemy as sa

from wattledger.kernel import Money, zone_named
from wattledger.payments import _tables as t
from wattledger.payments.ports import Provider, StatementLine
from wattledger.store import Row, Store, Transaction

Difference: TypeAlias = Literal["missing_here", "missing_there", "amount_differs", "listed_twice"]


@dataclass(frozen=True, slots=True)
class StatementDifference:
    """One thing that differs: ``here`` is what we have, ``there`` what the provider lists."""

    difference: Difference
    kind: Literal["payment", "refund"]
    id: str
    order_id: str
    here: Money | None
    there: Money | None


@dataclass(frozen=True, slots=True)
class ReconciliationReport:
    """A day of one provider. It agrees when ``differences`` is empty; then the sums are the same as well.

    The sums are of money in less money back, by currency.
    """

    provider: str
    day: date
    payments: int
    refunds: int
    here: tuple[Money, ...]
    there: tuple[Money, ...]
    differences: tuple[StatementDifference, ...]


def reconcile(store: Store, *, provider: Provider, day: date) -> ReconciliationReport:
    """Compare what the provider lists for a day of its zone with what was counted; changes nothing.

    A line that is missing here is looked up by its id on any day, so that midnight does no harm; what is missing there
    is what was paid (or given back) here within that day. What is missing here is brought in by
    :func:`~wattledger.payments.check_order`. Raises what the provider raises.
    """
    listed = list(provider.statement(day))
    zone = zone_named(provider.zone)
    start, end = (datetime.combine(day + timedelta(days=n), time(), tzinfo=zone) for n in (0, 1))
    with store.read() as tx:
        ours = {**_payments(tx, provider.name, listed, start, end), **_refunds(tx, provider.name, listed, start, end)}
    theirs: dict[tuple[str, str], StatementLine] = {}
    differences: list[StatementDifference] = []
    for line in listed:
        here = ours.get((line.kind, line.id))
        if (line.kind, line.id) in theirs:
            difference: Difference = "listed_twice"
        elif here is None:
            difference = "missing_here"
        elif here.amount != line.amount:
            difference = "amount_differs"
        else:
            theirs[line.kind, line.id] = line
            continue
        theirs.setdefault((line.kind, line.id), line)
        differences.append(
            StatementDifference(
                difference, line.kind, line.id, line.order_id, here.amount if here else None, line.amount
            )
        )
    differences += [
        StatementDifference("missing_there", one.kind, one.id, one.order_id, one.amount, None)
        for key, one in ours.items()
        if key not in theirs and start <= one.at < end
    ]
    return ReconciliationReport(
        provider=provider.name,
        day=day,
        payments=sum(line.kind == "payment" for line in listed),
        refunds=sum(line.kind == "refund" for line in listed),
        here=_sums([one for key, one in ours.items() if key in theirs or start <= one.at < end]),
        there=_sums(listed),
        differences=tuple(sorted(differences, key=lambda one: (one.difference, one.kind, one.id))),
    )


def _payments(
    tx: Transaction, provider: str, listed: Sequence[StatementLine], start: datetime, end: datetime
) -> dict[tuple[str, str], StatementLine]:
    c = t.receipt.c
    names = sorted({line.id for line in listed if line.kind == "payment"})
    rows = tx.rows(
        sa.select(t.receipt).where(
            c.provider == provider,
            sa.or_(sa.and_(c.paid_at >= start, c.paid_at < end), tx.among(c.payment_id, names)),
        )
    )
    return {
        ("payment", row.payment_id): StatementLine(
            "payment", row.payment_id, row.order_id, Money(row.amount, row.currency), row.paid_at
        )
        for row in rows
    }


def _refunds(
    tx: Transaction, provider: str, listed: Sequence[StatementLine], start: datetime, end: datetime
) -> dict[tuple[str, str], StatementLine]:
    c = t.refund.c
    names = sorted({line.id for line in listed if line.kind == "refund"})
    rows: Sequence[Row] = tx.rows(
        sa.select(t.refund).where(
            c.provider == provider,
            sa.or_(
                sa.and_(c.state == "done", c.changed_at >= start, c.changed_at < end),
                sa.and_(c.state != "refused", tx.among(c.id, names)),
            ),
        )
    )
    return {
        ("refund", row.id): StatementLine(
            "refund", row.id, row.order_id, Money(row.amount, row.currency), row.changed_at
        )
        for row in rows
    }


def _sums(lines: Sequence[StatementLine]) -> tuple[Money, ...]:
    totals: Counter[str] = Counter()
    for line in lines:
        totals[line.amount.currency] += line.amount.micro if line.kind == "payment" else -line.amount.micro
    return tuple(Money(micro, currency) for currency, micro in sorted(totals.items()))
