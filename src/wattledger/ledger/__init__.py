"""Double entry, append-only: accounts, transfers, balances, statements. Knows nothing of electricity.

Amounts are micro-units of a currency. A transfer is never changed or deleted (triggers in the database refuse it); a
correction is a further transfer that names what it corrects.
"""

from wattledger.ledger._book import (
    Account,
    AccountUnknown,
    BalanceRuleBroken,
    BookFault,
    Rule,
    Transfer,
    TransferConflict,
    TransferUnknown,
    balance,
    balances,
    check_book,
    open_accounts,
    post,
    total_posted,
    transfer_with_id,
    transfers_of,
    transfers_with_ids,
)

__all__ = [
    "Account",
    "AccountUnknown",
    "BalanceRuleBroken",
    "BookFault",
    "Rule",
    "Transfer",
    "TransferConflict",
    "TransferUnknown",
    "balance",
    "balances",
    "check_book",
    "open_accounts",
    "post",
    "total_posted",
    "transfer_with_id",
    "transfers_of",
    "transfers_with_ids",
]
