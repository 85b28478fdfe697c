"""Post transfers, ask balances, audit the book."""

from __future__ import annotations

import hashlib
import zlib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa

from wattledger.kernel import Money, Period, Problem
from wattledger.ledger._tables import ledger_account, ledger_account_shard, ledger_transfer
from wattledger.store import Row, Transaction, chunked


class TransferConflict(Problem):
    """A transfer's id was used before for something else."""

    slug = "transfer-conflict"
    title = "This transfer id was used before with other content"
    status = 409


class AccountUnknown(Problem):
    """A transfer names a ledger account that is not there, or of another currency."""

    slug = "ledger-account-unknown"
    title = "No such ledger account"
    status = 422


class TransferUnknown(Problem):
    """No transfer has this id."""

    slug = "transfer-unknown"
    title = "No such transfer"
    status = 404


class BalanceRuleBroken(Problem):
    """A transfer would carry an account past its bound."""

    slug = "balance-rule-broken"
    title = "The transfer would carry an account past its bound"
    status = 409


class Rule(StrEnum):
    """Which bound an account keeps. The database enforces it too."""

    NONE = "none"
    DEBITS_NOT_OVER_CREDITS = "debits_not_over_credits"
    CREDITS_NOT_OVER_DEBITS = "credits_not_over_debits"


_RULES = {rule.value: rule for rule in Rule}

BUSY_SHARDS = 16
"""For accounts that nearly every transfer touches."""


@dataclass(frozen=True, slots=True)
class Account:
    """A ledger account to open.

    ``shards``  for accounts that nearly every transfer touches: their sums are kept in so many rows, so that writers do
                not wait for each other. Without a rule only, for a bound needs one row to be kept in.
    """

    id: str
    kind: str
    currency: str
    rule: Rule = Rule.NONE
    shards: int = 0

    def __post_init__(self) -> None:
        if self.shards and self.rule is not Rule.NONE:
            raise ValueError(f"{self.id} has a bound, and is kept in one row")


@dataclass(frozen=True, slots=True)
class Transfer:
    """``amount`` from the debit side to the credit side; ``id`` is made by the caller and makes a repeat harmless.

    ``purpose`` and ``reference`` say what it is for (``recharge`` of ``rch_...``); ``corrects`` names the transfer that
    this one corrects.
    """

    id: str
    debit_account: str
    credit_account: str
    amount: Money
    purpose: str
    reference: str
    posted_at: datetime
    corrects: str | None = None


def open_accounts(tx: Transaction, *, accounts: Sequence[Account]) -> None:
    """Open accounts; those that are open already stay as they are."""
    tx.insert_new(ledger_account, [_row(account) for account in sorted(accounts, key=lambda a: a.id)])


def post(tx: Transaction, *, transfers: Sequence[Transfer], opening: Collection[Account] = ()) -> int:
    """Post ``transfers``, all or none (a call is a chain); returns how many were new.

    One whose id was posted before with the same content is passed over: the first answer stands (its instant is the
    first one's). Accounts that they need and that are not open yet are opened if they are among ``opening``. Raises
    :class:`TransferConflict`, :class:`AccountUnknown` or :class:`BalanceRuleBroken`; the unit of work is then to be
    rolled back.
    """
    fresh = _not_yet_posted(tx, transfers)
    if not fresh:
        return 0
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for transfer in fresh:
        if transfer.amount.micro <= 0 or transfer.debit_account == transfer.credit_account:
            raise TransferConflict(
                f"transfer {transfer.id} moves {transfer.amount} from {transfer.debit_account} "
                f"to {transfer.credit_account}",
                remedy="a transfer moves more than nothing between two different accounts",
            )
        sums[transfer.debit_account][0] += transfer.amount.micro
        sums[transfer.credit_account][1] += transfer.amount.micro
    open_, busy, missing = _checked_accounts(tx, fresh, sums, opening)
    # Accounts in the order of their ids: two postings at once never wait for each other in a circle.
    tx.execute_many(
        ledger_account.update()
        .where(ledger_account.c.id == sa.bindparam("key"))
        .values(
            debits=ledger_account.c.debits + sa.bindparam("more_debits"),
            credits=ledger_account.c.credits + sa.bindparam("more_credits"),
        ),
        [{"key": key, "more_debits": sums[key][0], "more_credits": sums[key][1]} for key in sorted(open_)],
    )
    _open_with(tx, [missing[key] for key in sorted(missing)], sums)
    add_to_shards(tx, accounts=[busy[key] for key in sorted(busy)], sums=sums, by=fresh[0].id)
    tx.insert(
        ledger_transfer,
        [
            {
                "id": transfer.id,
                "debit_account": transfer.debit_account,
                "credit_account": transfer.credit_account,
                "amount": transfer.amount.micro,
                "currency": transfer.amount.currency,
                "purpose": transfer.purpose,
                "reference": transfer.reference,
                "corrects": transfer.corrects,
                "posted_at": transfer.posted_at,
                "content": content_hash(_content(transfer)),
            }
            for transfer in fresh
        ],
    )
    return len(fresh)


def add_to_shards(tx: Transaction, *, accounts: Sequence[Account], sums: Mapping[str, Sequence[int]], by: str) -> None:
    """Add sums (debits, credits) to accounts that have shards; what is posted says to which of them."""
    dice = zlib.crc32(by.encode())
    rows = [
        {
            "account_id": one.id,
            "shard": dice % one.shards,
            "debits": sums[one.id][0],
            "credits": sums[one.id][1],
        }
        for one in accounts
    ]
    tx.add_up(ledger_account_shard, rows, add=("debits", "credits"), same=("account_id",))


def content_hash(content: Sequence[object]) -> bytes:
    """What tells a transfer, or a reservation, from another under the same id; 16 bytes."""
    return hashlib.blake2b("\x1f".join(map(str, content)).encode(), digest_size=16).digest()


def _not_yet_posted(tx: Transaction, transfers: Sequence[Transfer]) -> list[Transfer]:
    known: dict[str, Transfer] = {}
    if transfers:
        ids = sorted({transfer.id for transfer in transfers})
        select = sa.select(ledger_transfer).where(tx.among(ledger_transfer.c.id, ids))
        known.update((row.id, transfer_of(row)) for row in tx.rows(select))
    fresh = []
    for transfer in transfers:
        earlier = known.get(transfer.id)
        if earlier is None:
            known[transfer.id] = transfer
            fresh.append(transfer)
        elif _content(earlier) != _content(transfer):
            raise TransferConflict(
                f"transfer {transfer.id} was posted before as {earlier.amount} from {earlier.debit_account} "
                f"to {earlier.credit_account} for {earlier.purpose} {earlier.reference}",
                remedy="give every transfer an id of its own",
            )
    return fresh


def _content(transfer: Transfer) -> tuple[object, ...]:
    return (
        transfer.id,
        transfer.debit_account,
        transfer.credit_account,
        transfer.amount.micro,
        transfer.amount.currency,
        transfer.purpose,
        transfer.reference,
        transfer.corrects,
    )


def content_of(row: Row) -> tuple[object, ...]:
    """What the hash of a posted transfer is of."""
    return (
        row.id,
        row.debit_account,
        row.credit_account,
        row.amount,
        row.currency,
        row.purpose,
        row.reference,
        row.corrects,
    )


def transfer_of(row: Row) -> Transfer:
    """A transfer from its row."""
    return Transfer(
        id=row.id,
        debit_account=row.debit_account,
        credit_account=row.credit_account,
        amount=Money(row.amount, row.currency),
        purpose=row.purpose,
        reference=row.reference,
        posted_at=row.posted_at,
        corrects=row.corrects,
    )


def _checked_accounts(
    tx: Transaction,
    transfers: Sequence[Transfer],
    sums: Mapping[str, Sequence[int]],
    opening: Collection[Account],
    *,
    reserving: bool = False,
) -> tuple[dict[str, Account], dict[str, Account], dict[str, Account]]:
    """The accounts of ``sums`` that are open, those of them with shards, and those that are to be opened.

    The first are locked, in the order of their ids. ``reserving``: what is promised to an account is not there yet.
    """
    kept = ledger_account.c
    columns = (kept.id, kept.kind, kept.currency, kept.rule, kept.shards)
    reserved = sa.case(
        (kept.rule == Rule.DEBITS_NOT_OVER_CREDITS.value, kept.pending_debits), else_=-kept.pending_credits
    )
    select = sa.select(*columns, kept.debits - kept.credits + reserved).where(kept.shards == 0)
    found: dict[str, Account] = {}
    over: dict[str, int] = {}
    for key, kind, currency, rule, _, above in tx.rows(
        tx.locked(select.where(tx.among(kept.id, sorted(sums))).order_by(kept.id))
    ):
        found[key] = Account(key, kind, currency, _RULES[rule])
        over[key] = above
    others = sorted(sums.keys() - found.keys())
    busy = {
        row[0]: Account(row[0], row[1], row[2], _RULES[row[3]], row[4])
        for row in (tx.rows(sa.select(*columns).where(tx.among(kept.id, others))) if others else ())
        if row[4]
    }
    missing = {one.id: one for one in opening if one.id in sums and one.id not in found and one.id not in busy}
    for transfer in transfers:
        for account_id in (transfer.debit_account, transfer.credit_account):
            account = found.get(account_id) or busy.get(account_id) or missing.get(account_id)
            if account is None:
                raise AccountUnknown(f"transfer {transfer.id} names {account_id!r}, which is not open")
            if account.currency != transfer.amount.currency:
                raise AccountUnknown(
                    f"transfer {transfer.id} moves {transfer.amount.currency}, but {account_id} is kept in "
                    f"{account.currency}"
                )
    _check_bounds([*found.values(), *missing.values()], over, sums, reserving=reserving)
    return found, busy, missing


def _check_bounds(
    accounts: Sequence[Account], over: Mapping[str, int], sums: Mapping[str, Sequence[int]], *, reserving: bool
) -> None:
    """``over``: what each account's debits are above its credits, with what is reserved against its bound."""
    for account in accounts:
        if account.rule is Rule.NONE:
            continue
        debits, credits_ = sums[account.id]
        if reserving and account.rule is Rule.DEBITS_NOT_OVER_CREDITS:
            credits_ = 0
        elif reserving:
            debits = 0
        above = over.get(account.id, 0) + debits - credits_
        if (account.rule is Rule.DEBITS_NOT_OVER_CREDITS and above > 0) or (
            account.rule is Rule.CREDITS_NOT_OVER_DEBITS and above < 0
        ):
            raise BalanceRuleBroken(
                f"{account.id} would pass its bound by {Money(abs(above), account.currency)} ({account.rule})"
            )


def checked_bounds(
    tx: Transaction, *, transfers: Sequence[Transfer], sums: Mapping[str, Sequence[int]], opening: Collection[Account]
) -> None:
    """Lock the accounts of what is to be reserved, open those that are not, and see that no bound is passed."""
    for one in transfers:
        if one.amount.micro <= 0 or one.debit_account == one.credit_account:
            raise TransferConflict(
                f"{one.id} reserves {one.amount} from {one.debit_account} to {one.credit_account}",
                remedy="reserve more than nothing between two different accounts",
            )
    _, busy, missing = _checked_accounts(tx, transfers, sums, opening, reserving=True)
    if busy:
        raise AccountUnknown(f"{next(iter(busy))} has shards: nothing can be reserved on it")
    open_accounts(tx, accounts=list(missing.values()))


def _open_with(tx: Transaction, accounts: Sequence[Account], sums: Mapping[str, Sequence[int]]) -> None:
    """Open ``accounts`` with what is posted to them at once; one that somebody else has just opened gets it added."""
    rows = [{**_row(one), "debits": sums[one.id][0], "credits": sums[one.id][1]} for one in accounts]
    if tx.add_up(ledger_account, rows, add=("debits", "credits"), same=("kind", "currency", "rule", "shards")) != len(
        rows
    ):
        raise AccountUnknown(
            "an account that was to be opened has meanwhile been opened as one of another kind",
            remedy="do it once more: nothing was posted",
        )


def _row(account: Account) -> dict[str, object]:
    return {
        "id": account.id,
        "kind": account.kind,
        "currency": account.currency,
        "rule": account.rule.value,
        "shards": account.shards,
    }


def balance(tx: Transaction, *, account_id: str) -> Money:
    """Credits less debits of one account; raises :class:`AccountUnknown`."""
    found = balances(tx, account_ids=[account_id])
    if account_id not in found:
        raise AccountUnknown(f"{account_id!r} is not open")
    return found[account_id]


def balances(tx: Transaction, *, account_ids: Collection[str]) -> dict[str, Money]:
    """Credits less debits of the open accounts among ``account_ids``."""
    found: dict[str, Money] = {}
    busy: list[str] = []
    for piece in chunked(sorted(set(account_ids))):
        for row in tx.rows(sa.select(ledger_account).where(ledger_account.c.id.in_(piece))):
            found[row.id] = Money(row.credits - row.debits, row.currency)
            if row.shards:
                busy.append(row.id)
    for account_id, (debits, credits_) in shard_sums(tx, account_ids=busy).items():
        found[account_id] += Money(credits_ - debits, found[account_id].currency)
    return found


def shard_sums(tx: Transaction, *, account_ids: Collection[str] | None = None) -> dict[str, tuple[int, int]]:
    """Debits and credits that stand in the shards of these accounts, or of all that have any."""
    if account_ids is not None and not account_ids:
        return {}
    shard = ledger_account_shard.c
    select = sa.select(shard.account_id, sa.func.sum(shard.debits), sa.func.sum(shard.credits))
    if account_ids is not None:
        select = select.where(tx.among(shard.account_id, sorted(account_ids)))
    return {row[0]: (int(row[1]), int(row[2])) for row in tx.rows(select.group_by(shard.account_id))}


def transfer_with_id(tx: Transaction, *, transfer_id: str) -> Transfer:
    """One transfer; raises :class:`TransferUnknown`."""
    found = transfers_with_ids(tx, transfer_ids=[transfer_id])
    if transfer_id not in found:
        raise TransferUnknown(f"no transfer is called {transfer_id!r}")
    return found[transfer_id]


def transfers_with_ids(tx: Transaction, *, transfer_ids: Collection[str]) -> dict[str, Transfer]:
    """Those of these transfers that were posted."""
    rows = tx.rows(sa.select(ledger_transfer).where(tx.among(ledger_transfer.c.id, sorted(set(transfer_ids)))))
    return {row.id: transfer_of(row) for row in rows}


def transfers_of(tx: Transaction, *, account_id: str, limit: int = 100) -> list[Transfer]:
    """An account's newest transfers, newest first."""
    rows = tx.rows(
        sa.select(ledger_transfer)
        .where(sa.or_(ledger_transfer.c.debit_account == account_id, ledger_transfer.c.credit_account == account_id))
        .order_by(ledger_transfer.c.seq.desc())
        .limit(limit)
    )
    return [transfer_of(row) for row in rows]


def total_posted(tx: Transaction, *, purpose: str, period: Period) -> dict[str, Money]:
    """What was moved for a purpose in a period, by currency."""
    rows = tx.rows(
        sa.select(ledger_transfer.c.currency, sa.func.sum(ledger_transfer.c.amount))
        .where(
            ledger_transfer.c.purpose == purpose,
            ledger_transfer.c.posted_at >= period.start,
            ledger_transfer.c.posted_at < period.end,
        )
        .group_by(ledger_transfer.c.currency)
    )
    return {currency: Money(int(total), currency) for currency, total in rows}
