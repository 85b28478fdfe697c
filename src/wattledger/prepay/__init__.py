"""Pay before: wallets, running deduction by cumulative difference, recharges.

A wallet's *available* amount is its ledger balance less what has been used and priced but not yet posted. Every batch
of readings moves the accrual in the batch's own transaction; the ledger gets one transfer a day and one at every event.
"""

from wattledger.prepay._deduction import (
    close_month,
    deduct,
    mark_stated,
    reprice,
    reprice_event,
    reprice_series,
    settle_due,
    settlement_due,
)
from wattledger.prepay._facts import BalanceExhausted, BalanceLow, BalanceRestored, RechargeCredited
from wattledger.prepay._recharges import (
    Recharge,
    RechargeConflict,
    RechargeNotFound,
    RechargeRefused,
    latest_recharge,
    recharge,
    recharge_with_id,
)
from wattledger.prepay._refunds import RefundNotCovered, give_again, take_back
from wattledger.prepay._wallets import (
    Wallet,
    WalletNotFound,
    WalletsSummary,
    lowest_wallets,
    open_wallet,
    post_accrual,
    wallet,
    wallet_account,
    wallets_summary,
)

__all__ = [
    "BalanceExhausted",
    "BalanceLow",
    "BalanceRestored",
    "Recharge",
    "RechargeConflict",
    "RechargeCredited",
    "RechargeNotFound",
    "RechargeRefused",
    "RefundNotCovered",
    "Wallet",
    "WalletNotFound",
    "WalletsSummary",
    "close_month",
    "deduct",
    "give_again",
    "latest_recharge",
    "lowest_wallets",
    "mark_stated",
    "open_wallet",
    "post_accrual",
    "recharge",
    "recharge_with_id",
    "reprice",
    "reprice_event",
    "reprice_series",
    "settle_due",
    "settlement_due",
    "take_back",
    "wallet",
    "wallet_account",
    "wallets_summary",
]
