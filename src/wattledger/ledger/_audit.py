"""Whether the whole book adds up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from wattledger.ledger._book import Rule, content_hash, content_of, shard_sums
from wattledger.ledger._pending import pending_content
from wattledger.ledger._tables import ledger_account, ledger_pending, ledger_resolution, ledger_transfer
from wattledger.store import Row, Transaction

_SHOWN_MAX = 1_000


@dataclass(frozen=True, slots=True)
class BookFault:
    """Something in the book that does not add up; ``account_id`` names the account, or the transfer."""

    account_id: str
    cause: str


def check_book(tx: Transaction) -> list[BookFault]:
    """Audit the whole book.

    Every account's sums, its shards' and what is reserved on it against the transfers and reservations; its bound, with
    what is reserved; each currency against zero; every transfer and reservation against its hash; every reservation
    against how it ended.
    """
    return [*_accounts(tx), *_contents(tx), *_resolutions(tx)]


def _accounts(tx: Transaction) -> Iterator[BookFault]:
    debits, credits_ = (_sums(tx, side) for side in (ledger_transfer.c.debit_account, ledger_transfer.c.credit_account))
    open_ = [_open_sums(tx, side) for side in (ledger_pending.c.debit_account, ledger_pending.c.credit_account)]
    shards = shard_sums(tx)
    totals: dict[str, int] = defaultdict(int)
    for account in tx.rows(sa.select(ledger_account).order_by(ledger_account.c.id)):
        more = shards.get(account.id, (0, 0))
        kept = (account.debits + more[0], account.credits + more[1])
        told = (debits.get(account.id, 0), credits_.get(account.id, 0))
        if kept != told:
            yield BookFault(account.id, f"keeps debits and credits {kept}, its transfers add up to {told}")
        if account.id in shards and not account.shards:
            yield BookFault(account.id, "has sums in shards, and is no account with shards")
        reserved = (account.pending_debits, account.pending_credits)
        waiting = (open_[0].get(account.id, 0), open_[1].get(account.id, 0))
        if reserved != waiting:
            yield BookFault(account.id, f"keeps {reserved} as reserved, its open reservations add up to {waiting}")
        over = kept[0] - kept[1]
        past = {
            Rule.DEBITS_NOT_OVER_CREDITS: over + reserved[0],
            Rule.CREDITS_NOT_OVER_DEBITS: reserved[1] - over,
        }.get(Rule(account.rule), 0)
        if past > 0:
            yield BookFault(account.id, f"is past its bound {account.rule} by {past} micro-units")
        totals[account.currency] += kept[1] - kept[0]
    for currency, total in sorted(totals.items()):
        if total:
            yield BookFault(f"all of {currency}", f"debits and credits differ by {total} micro-units")


def _contents(tx: Transaction) -> Iterator[BookFault]:
    currencies = {row.id: row.currency for row in tx.rows(sa.select(ledger_account.c.id, ledger_account.c.currency))}
    found = 0
    for row in tx.rows(sa.select(ledger_transfer).order_by(ledger_transfer.c.seq)):
        if row.content is not None and bytes(row.content) != content_hash(content_of(row)):
            yield BookFault(row.id, "is not what was posted: its hash does not fit")
            found += 1
        for account_id in (row.debit_account, row.credit_account):
            if currencies.get(account_id) != row.currency:
                yield BookFault(row.id, f"moves {row.currency}, and {account_id} is not kept in it")
                found += 1
        if found > _SHOWN_MAX:
            return


def _resolutions(tx: Transaction) -> Iterator[BookFault]:
    ended = {row.pending_id: row for row in tx.rows(sa.select(ledger_resolution))}
    amounts = dict(_resolved_amounts(tx))
    for row in tx.rows(sa.select(ledger_pending).order_by(ledger_pending.c.id)):
        if bytes(row.content) != content_hash(pending_content(row)):
            yield BookFault(row.id, "is not what was reserved: its hash does not fit")
        end = ended.get(row.id)
        if end is not None and end.state == "posted":
            posted = amounts.get(end.transfer_id)
            if posted is None:
                yield BookFault(row.id, f"ended in the transfer {end.transfer_id}, which is not there")
            elif posted > row.amount:
                yield BookFault(row.id, f"reserved {row.amount}, and {posted} of it was posted")


def _resolved_amounts(tx: Transaction) -> Iterator[tuple[str, int]]:
    select = sa.select(ledger_transfer.c.id, ledger_transfer.c.amount).join(
        ledger_resolution, ledger_resolution.c.transfer_id == ledger_transfer.c.id
    )
    for row in tx.rows(select):
        yield row[0], row[1]


def _sums(tx: Transaction, side: sa.Column[str]) -> dict[str, int]:
    rows: list[Row] = list(tx.rows(sa.select(side, sa.func.sum(ledger_transfer.c.amount)).group_by(side)))
    return {row[0]: int(row[1]) for row in rows}


def _open_sums(tx: Transaction, side: sa.Column[str]) -> dict[str, int]:
    ended = sa.exists().where(ledger_resolution.c.pending_id == ledger_pending.c.id)
    select = sa.select(side, sa.func.sum(ledger_pending.c.amount)).where(~ended).group_by(side)
    return {row[0]: int(row[1]) for row in tx.rows(select)}
