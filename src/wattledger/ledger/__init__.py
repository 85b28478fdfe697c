"""Double entry, append-only: accounts, transfers, what is reserved, balances, statements. Knows nothing of electricity.

Amounts are micro-units of a currency. A transfer is never changed or deleted (triggers in the database refuse it); a
correction is a further transfer that names what it corrects.
"""

from wattledger.ledger._audit import BookFault, check_book
from wattledger.ledger._book import (
    BUSY_SHARDS,
    Account,
    AccountUnknown,
    BalanceRuleBroken,
    Rule,
    Transfer,
    TransferConflict,
    TransferUnknown,
    balance,
    balances,
    open_accounts,
    post,
    total_posted,
    transfer_with_id,
    transfers_of,
    transfers_with_ids,
)
from wattledger.ledger._export import CSV_COLUMNS, beancount_lines, csv_lines
from wattledger.ledger._pending import (
    Pending,
    PendingEnded,
    PendingState,
    PendingStatus,
    PendingUnknown,
    expire_due,
    expiry_due,
    pending_status,
    post_pending,
    reserve,
    reserved,
    void_pending,
)
from wattledger.ledger._statements import Statement, StatementLine, accounts, balance_at, book, statement

__all__ = [
    "BUSY_SHARDS",
    "CSV_COLUMNS",
    "Account",
    "AccountUnknown",
    "BalanceRuleBroken",
    "BookFault",
    "Pending",
    "PendingEnded",
    "PendingState",
    "PendingStatus",
    "PendingUnknown",
    "Rule",
    "Statement",
    "StatementLine",
    "Transfer",
    "TransferConflict",
    "TransferUnknown",
    "accounts",
    "balance",
    "balance_at",
    "balances",
    "beancount_lines",
    "book",
    "check_book",
    "csv_lines",
    "expire_due",
    "expiry_due",
    "open_accounts",
    "pending_status",
    "post",
    "post_pending",
    "reserve",
    "reserved",
    "statement",
    "total_posted",
    "transfer_with_id",
    "transfers_of",
    "transfers_with_ids",
    "void_pending",
]
