"""Accounts as they stood: balances at an instant, statements of a period, the whole book written out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from wattledger.kernel import Money, Period
from wattledger.ledger._book import Account, AccountUnknown, Rule, Transfer, transfer_of
from wattledger.ledger._tables import ledger_account, ledger_transfer
from wattledger.store import Transaction

_AT_A_TIME = 5_000


@dataclass(frozen=True, slots=True)
class StatementLine:
    """A transfer as one account sees it: ``amount`` above zero came in, ``balance`` is what stood after it."""

    transfer: Transfer
    amount: Money
    balance: Money


@dataclass(frozen=True, slots=True)
class Statement:
    """What moved on an account in a period. Balances are credits less debits.

    ``through``  the last transfer of the book that was looked at: with it the same statement can be had again whatever
                 was posted since, also with an instant of then (by a machine whose clock was behind)
    """

    account_id: str
    period: Period
    opening: Money
    lines: tuple[StatementLine, ...]
    closing: Money
    through: int


def balance_at(tx: Transaction, *, account_id: str, at: datetime, through: int | None = None) -> Money:
    """Credits less debits of what was posted before ``at``; raises :class:`AccountUnknown`."""
    kept = ledger_transfer.c
    signed = sa.case((kept.credit_account == account_id, kept.amount), else_=-kept.amount)
    select = sa.select(sa.func.coalesce(sa.func.sum(signed), 0)).where(_touches(account_id), kept.posted_at < at)
    if through is not None:
        select = select.where(kept.seq <= through)
    return Money(int(tx.execute(select).scalar_one()), _currency(tx, account_id))


def statement(tx: Transaction, *, account_id: str, period: Period, through: int | None = None) -> Statement:
    """What moved on an account in a period, in the order in which it was posted; raises :class:`AccountUnknown`."""
    kept = ledger_transfer.c
    last = through if through is not None else int(tx.execute(sa.select(sa.func.max(kept.seq))).scalar_one() or 0)
    opening = balance_at(tx, account_id=account_id, at=period.start, through=last)
    select = sa.select(ledger_transfer).where(
        _touches(account_id), kept.posted_at >= period.start, kept.posted_at < period.end, kept.seq <= last
    )
    balance, lines = opening, []
    for row in tx.rows(select.order_by(kept.posted_at, kept.seq)):
        transfer = transfer_of(row)
        amount = transfer.amount if transfer.credit_account == account_id else -transfer.amount
        balance += amount
        lines.append(StatementLine(transfer, amount, balance))
    return Statement(account_id, period, opening, tuple(lines), balance, last)


def accounts(tx: Transaction) -> list[Account]:
    """Every account that is open, by id."""
    rows = tx.rows(sa.select(ledger_account).order_by(ledger_account.c.id))
    return [Account(row.id, row.kind, row.currency, Rule(row.rule), row.shards) for row in rows]


def book(tx: Transaction, *, period: Period | None = None, account_id: str | None = None) -> Iterator[Transfer]:
    """Every transfer, or those of a period or an account, in the order in which they were posted; a few at a time."""
    kept, last = ledger_transfer.c, 0
    select = sa.select(ledger_transfer)
    if period is not None:
        select = select.where(kept.posted_at >= period.start, kept.posted_at < period.end)
    if account_id is not None:
        _currency(tx, account_id)
        select = select.where(_touches(account_id))
    while True:
        rows = tx.rows(select.where(kept.seq > last).order_by(kept.seq).limit(_AT_A_TIME))
        if not rows:
            return
        for row in rows:
            last = row.seq
            yield transfer_of(row)


def _touches(account_id: str) -> sa.ColumnElement[bool]:
    return sa.or_(ledger_transfer.c.debit_account == account_id, ledger_transfer.c.credit_account == account_id)


def _currency(tx: Transaction, account_id: str) -> str:
    found = tx.execute(
        sa.select(ledger_account.c.currency).where(ledger_account.c.id == account_id)
    ).scalar_one_or_none()
    if found is None:
        raise AccountUnknown(f"{account_id!r} is not open", remedy="`wattledger ledger accounts` names those that are")
    return str(found)
