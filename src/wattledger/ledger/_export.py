"""The book for other programs: CSV, and the text that beancount reads. Amounts are exact, with six places."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, timedelta

from wattledger.kernel import Money
from wattledger.ledger._book import Account, Transfer

CSV_COLUMNS = (
    "id",
    "posted_at",
    "debit_account",
    "credit_account",
    "amount",
    "currency",
    "purpose",
    "reference",
    "corrects",
)
_ROOTS: Mapping[str, str] = {
    "cash": "Assets",
    "receivable": "Assets",
    "wallet": "Liabilities",
    "payable": "Liabilities",
    "deposit": "Liabilities",
    "float": "Liabilities",
    "debt": "Assets",
    "revenue": "Income",
    "expense": "Expenses",
}
"""What a bookkeeper calls the kinds of accounts; any other is Equity."""
_PLACES = 6


def csv_lines(transfers: Iterable[Transfer]) -> Iterator[str]:
    """The book as CSV, a line each, a head first; instants are UTC."""
    yield _csv_line(CSV_COLUMNS)
    for one in transfers:
        yield _csv_line(
            (
                one.id,
                one.posted_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
                one.debit_account,
                one.credit_account,
                _digits(one.amount),
                one.amount.currency,
                one.purpose,
                one.reference,
                one.corrects or "",
            )
        )


def beancount_lines(accounts: Sequence[Account], transfers: Iterable[Transfer]) -> Iterator[str]:
    """The book as beancount reads it: accounts, a transaction for each transfer, balances at the end.

    Of a part of the book no balances are told: they are of the whole.
    """
    names = _names(accounts)
    first: str | None = None
    last = "1970-01-01"
    sums: dict[str, Money] = {}
    for one in transfers:
        last = max(last, one.posted_at.astimezone(UTC).date().isoformat())
        if first is None:
            first = one.posted_at.astimezone(UTC).date().isoformat()
            yield 'option "title" "Wattledger"'
            yield from (f'option "operating_currency" "{code}"' for code in sorted({a.currency for a in accounts}))
            yield from (f"1970-01-01 open {names[account.id]} {account.currency}" for account in accounts)
        day = one.posted_at.astimezone(UTC).date().isoformat()
        yield ""
        yield f"{day} * {_quoted(one.purpose)} {_quoted(one.reference)}"
        yield f"  id: {_quoted(one.id)}"
        yield f"  posted_at: {_quoted(one.posted_at.astimezone(UTC).isoformat())}"
        if one.corrects is not None:
            yield f"  corrects: {_quoted(one.corrects)}"
        # A debit is above zero in beancount.
        yield f"  {names[one.debit_account]}  {_digits(one.amount)} {one.amount.currency}"
        yield f"  {names[one.credit_account]}  -{_digits(one.amount)} {one.amount.currency}"
        for account, amount in ((one.debit_account, one.amount), (one.credit_account, -one.amount)):
            sums[account] = sums.get(account, Money.zero(amount.currency)) + amount
    if first is not None:
        yield ""
        after = _day_after(last)
        yield from (
            f"{after} balance {names[account]}  {_digits(sums[account])} {sums[account].currency}"
            for account in sorted(sums)
        )


def _names(accounts: Sequence[Account]) -> dict[str, str]:
    """Names that beancount takes: a root, then parts of capital letters, digits and dashes; no two alike."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for one in accounts:
        parts = [re.sub(r"[^A-Za-z0-9-]+", "-", part).strip("-") for part in one.id.split(":")]
        spelled = ":".join(part[:1].upper() + part[1:] if part else "X" for part in parts)
        name = base = f"{_ROOTS.get(one.kind, 'Equity')}:{spelled}"
        number = 2
        while name in taken:
            name, number = f"{base}-{number}", number + 1
        taken.add(name)
        found[one.id] = name
    return found


def _digits(amount: Money) -> str:
    whole, part = divmod(abs(amount.micro), 10**_PLACES)
    return f"{'-' if amount.micro < 0 else ''}{whole}.{part:0{_PLACES}d}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{escaped}"'


def _csv_line(values: Iterable[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(values)
    return out.getvalue()


def _day_after(day: str) -> str:
    return (date.fromisoformat(day) + timedelta(days=1)).isoformat()
