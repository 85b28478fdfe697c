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
    balance,
    balances,
    check_book,
    open_accounts,
    post,
    total_posted,
    transfers_of,
)

__all__ = [
    "Account",
    "AccountUnknown",
    "BalanceRuleBroken",
    "BookFault",
    "Rule",
    "Transfer",
    "TransferConflict",
    "balance",
    "balances",
    "check_book",
    "open_accounts",
    "post",
    "total_posted",
    "transfers_of",
]
