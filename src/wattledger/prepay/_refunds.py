"""Money that leaves a wallet again by the way it came."""

from __future__ import annotations

from datetime import datetime

from wattledger import ledger
from wattledger.kernel import Money, Problem
from wattledger.prepay._standing import keep_standing
from wattledger.prepay._wallets import locked_wallets, post_accrual, till_account, wallet_account
from wattledger.store import Transaction


class RefundNotCovered(Problem):
    """A wallet holds less than what is to be given back."""

    slug = "refund-not-covered"
    title = "The wallet does not hold this amount any more"
    status = 409


def take_back(tx: Transaction, *, contract_id: str, amount: Money, method: str, refund_id: str, now: datetime) -> None:
    """Take ``amount`` off a wallet, to be given back by ``method``; the same ``refund_id`` moves nothing again.

    What was used up to now is posted first: only what is left can be given back. Raises :class:`RefundNotCovered`;
    the unit of work is then to be rolled back.
    """
    row = locked_wallets(tx, [contract_id]).get(contract_id)
    if row is None:
        raise RefundNotCovered(f"contract {contract_id} has no wallet", remedy="it never held this money: look again")
    post_accrual(tx, contract_ids=[contract_id], now=now)
    moved = ledger.post(
        tx,
        transfers=[
            ledger.Transfer(
                id=f"refund:{refund_id}",
                debit_account=wallet_account(contract_id),
                credit_account=till_account(method, row.currency),
                amount=amount,
                purpose="refund",
                reference=refund_id,
                posted_at=now,
            )
        ],
    )
    if not moved:
        return
    available = ledger.balance(tx, account_id=wallet_account(contract_id))
    if available.micro < 0:
        raise RefundNotCovered(
            f"{amount} are to be given back, and contract {contract_id} has only {available + amount} left",
            remedy="give back at most that by hand",
        )
    keep_standing(tx, row=row, available=available, now=now, tells=True)


def give_again(tx: Transaction, *, contract_id: str, amount: Money, method: str, refund_id: str, now: datetime) -> None:
    """Put back what :func:`take_back` took for a refund that the provider then refused; once, however often asked."""
    row = locked_wallets(tx, [contract_id])[contract_id]
    post_accrual(tx, contract_ids=[contract_id], now=now)
    ledger.post(
        tx,
        transfers=[
            ledger.Transfer(
                id=f"refund-undone:{refund_id}",
                debit_account=till_account(method, row.currency),
                credit_account=wallet_account(contract_id),
                amount=amount,
                purpose="refund_undone",
                reference=refund_id,
                posted_at=now,
                corrects=f"refund:{refund_id}",
            )
        ],
    )
    available = ledger.balance(tx, account_id=wallet_account(contract_id))
    keep_standing(tx, row=row, available=available, now=now, tells=True)
