"""What the commands about the book do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from wattledger import ledger
from wattledger.app._system import opened
from wattledger.cli import SystemOptions
from wattledger.kernel import Period, from_epoch


def ledger_accounts(options: SystemOptions, prefix: str) -> Sequence[Mapping[str, Any]]:
    """The accounts that are open, with balances."""
    with opened(options) as system, system.store.read() as tx:
        found = [one for one in ledger.accounts(tx) if one.id.startswith(prefix)]
        balances = ledger.balances(tx, account_ids=[one.id for one in found])
    return [
        {
            "account": one.id,
            "kind": one.kind,
            "currency": one.currency,
            "rule": one.rule.value,
            "balance": balances[one.id].text,
        }
        for one in found
    ]


def ledger_balance(options: SystemOptions, account: str, at: datetime | None) -> Mapping[str, Any]:
    """A balance, now or at an instant."""
    with opened(options) as system, system.store.read() as tx:
        if at is not None:
            balance = ledger.balance_at(tx, account_id=account, at=at)
            return {"account": account, "at": _told(at), "balance": balance.text, "currency": balance.currency}
        balance = ledger.balance(tx, account_id=account)
        reserved = ledger.reserved(tx, account_id=account)
        return {
            "account": account,
            "balance": balance.text,
            "reserved": reserved.text,
            "currency": balance.currency,
        }


def ledger_statement(
    options: SystemOptions, account: str, *, first: datetime | None, last: datetime | None
) -> Mapping[str, Any]:
    """What moved on an account."""
    with opened(options) as system, system.store.read() as tx:
        period = Period(first or from_epoch(0), last or system.clock.now())
        found = ledger.statement(tx, account_id=account, period=period)
    return {
        "account": account,
        "currency": found.opening.currency,
        "start": _told(period.start),
        "end": _told(period.end),
        "opening": found.opening.text,
        "lines": [
            {
                "transfer": line.transfer.id,
                "posted_at": _told(line.transfer.posted_at),
                "purpose": line.transfer.purpose,
                "reference": line.transfer.reference,
                "amount": line.amount.text,
                "balance": line.balance.text,
            }
            for line in found.lines
        ],
        "closing": found.closing.text,
        "through": found.through,
    }


def ledger_export(
    options: SystemOptions,
    *,
    form: Literal["csv", "beancount"],
    account: str | None,
    first: datetime | None,
    last: datetime | None,
) -> Iterator[str]:
    """The book, line by line."""
    with opened(options) as system, system.store.read() as tx:
        whole = first is None and last is None
        period = None if whole else Period(first or from_epoch(0), last or system.clock.now())
        transfers = ledger.book(tx, period=period, account_id=account)
        if form == "csv":
            yield from ledger.csv_lines(transfers)
        else:
            yield from ledger.beancount_lines(ledger.accounts(tx), transfers)


def _told(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
