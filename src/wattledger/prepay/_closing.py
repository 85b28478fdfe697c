"""Moving out: the wallet's last charge, what it still owes, and the rest back to the customer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from wattledger import ledger, registry
from wattledger.kernel import Money, Period, Problem, epoch, from_epoch, stable_id
from wattledger.prepay import _tables as t
from wattledger.prepay._debts import close_paid, collect_daily, debt_account, debts_of
from wattledger.prepay._deduction import close_month
from wattledger.prepay._standing import emergency_account, emergency_owed
from wattledger.prepay._wallets import WalletNotFound, locked_wallets, till_account, wallet_account
from wattledger.store import Row, Transaction
from wattledger.tariffs import RatingState

_NEVER = 2**31 - 1  # the day of a daily posting that is never due


class FinalReadingMissing(Problem):
    """A wallet cannot be closed before everything is known that was used."""

    slug = "final-reading-missing"
    title = "The final reading is not there yet"
    status = 409


class DepositRefused(Problem):
    """A deposit cannot be taken as it is asked for."""

    slug = "deposit-refused"
    title = "This deposit cannot be taken"
    status = 422


@dataclass(frozen=True, slots=True)
class Closing:
    """What became of a wallet: ``refund`` is to be paid out to the customer, ``owed`` is left unpaid."""

    contract_id: str
    ended_at: datetime
    deposit: Money
    repaid: Money
    refund: Money
    owed: Money


def deposit_account(contract_id: str) -> str:
    """The ledger account that holds a contract's deposit."""
    return f"deposit:{contract_id}"


def refund_account(contract_id: str) -> str:
    """The ledger account that holds what is to be paid out to whoever moved out."""
    return f"payable:{contract_id}"


def take_deposit(tx: Transaction, *, contract_id: str, amount: Money, method: str, key: str, now: datetime) -> Money:
    """Keep a deposit for a contract, paid by ``method``; returns all that is kept. ``key`` makes a repeat harmless."""
    contract = registry.contract(tx, contract_id=contract_id, at=now)
    if amount.micro <= 0 or amount.currency != contract.currency:
        raise DepositRefused(f"{amount} for contract {contract_id}", remedy=f"more than nothing, {contract.currency}")
    till = till_account(method, amount.currency)
    ledger.post(
        tx,
        transfers=[
            ledger.Transfer(
                id=f"deposit:{stable_id('dep', contract_id, key)}",
                debit_account=till,
                credit_account=deposit_account(contract_id),
                amount=amount,
                purpose="deposit",
                reference=contract_id,
                posted_at=now,
            )
        ],
        opening=[
            ledger.Account(till, "cash", amount.currency),
            ledger.Account(
                deposit_account(contract_id), "deposit", amount.currency, ledger.Rule.DEBITS_NOT_OVER_CREDITS
            ),
        ],
    )
    return deposit_of(tx, contract_id=contract_id, currency=amount.currency)


def deposit_of(tx: Transaction, *, contract_id: str, currency: str) -> Money:
    """What is kept of a contract's deposit."""
    account = deposit_account(contract_id)
    return ledger.balances(tx, account_ids=[account]).get(account, Money.zero(currency))


def close_wallet(tx: Transaction, *, contract_id: str, ended_at: datetime, now: datetime) -> Closing:
    """Charge a wallet up to where its contract ended, pay what it owes, and set the rest aside to be paid out.

    The contract is ended before (:func:`wattledger.registry.end_contract`). In this order the balance and the deposit
    pay emergency credit, then debts, the oldest first; what is left goes to :func:`refund_account`, what lacks is owed
    on the wallet. Done again it moves what came since: a late correction, a payment. Raises
    :class:`FinalReadingMissing` and :class:`~wattledger.prepay.WalletNotFound`.
    """
    row = locked_wallets(tx, [contract_id]).get(contract_id)
    if row is None:
        raise WalletNotFound(f"contract {contract_id} has no wallet", remedy="there is nothing to be closed")
    _charge_to_the_end(tx, row, ended_at, now)
    currency = row.currency
    number = f"{contract_id}:{row.closings}"
    wallet_ = wallet_account(contract_id)
    deposit = deposit_of(tx, contract_id=contract_id, currency=currency)
    left = ledger.balance(tx, account_id=wallet_) + deposit
    transfers: list[ledger.Transfer] = []

    def move(to: str, amount: Money, purpose: str, source: str = wallet_) -> None:
        if amount.micro > 0:
            transfers.append(
                ledger.Transfer(
                    id=f"closing:{number}:{len(transfers)}",
                    debit_account=source,
                    credit_account=to,
                    amount=amount,
                    purpose=purpose,
                    reference=contract_id,
                    posted_at=now,
                )
            )

    move(wallet_, deposit, "deposit_returned", deposit_account(contract_id))
    repaid = Money.zero(currency)
    lent = emergency_owed(tx, contract_id=contract_id, currency=currency)
    debts = [debt for debt in debts_of(tx, contract_id=contract_id) if debt.owed.micro]
    owing = [(emergency_account(contract_id), lent, "emergency_repaid")]
    owing += [(debt_account(debt.id), debt.owed, "debt_closing") for debt in debts]
    unpaid = Money.zero(currency)
    for account, owed, purpose in owing:
        paid = max(min(owed, left), Money.zero(currency))
        move(account, paid, purpose)
        left, repaid, unpaid = left - paid, repaid + paid, unpaid + owed - paid
    refund = max(left, Money.zero(currency))
    move(refund_account(contract_id), refund, "closing_refund")
    ledger.post(tx, transfers=transfers, opening=[ledger.Account(refund_account(contract_id), "payable", currency)])
    close_paid(tx, [debt.id for debt in debts])
    tx.execute(
        t.wallet.update()
        .where(t.wallet.c.contract_id == contract_id)
        .values(closed_at=ended_at, closings=row.closings + 1, posted_day=_NEVER, state="empty", auto_below=None)
    )
    return Closing(contract_id, ended_at, deposit, repaid, refund, unpaid + refund - left)


def _charge_to_the_end(tx: Transaction, row: Row, ended_at: datetime, now: datetime) -> None:
    collect_daily(tx, contract_ids=[row.contract_id], now=min(now, ended_at))
    first = tx.execute(
        sa.select(sa.func.min(t.wallet_segment.c.start)).where(t.wallet_segment.c.contract_id == row.contract_id)
    ).scalar_one()
    period = Period(first or from_epoch(epoch(ended_at) - 1), ended_at)
    segments = registry.segments(tx, contract_ids=[row.contract_id], period=period)
    late = [one.period.end for one in segments if one.period.end > ended_at]
    if late:
        raise FinalReadingMissing(
            f"contract {row.contract_id} is in force beyond {ended_at.isoformat()}", remedy="end the contract first"
        )
    close_month(tx, segments=[one for one in segments if one.mode == "prepay"], now=now)
    for kept in tx.rows(sa.select(t.wallet_segment).where(t.wallet_segment.c.contract_id == row.contract_id)):
        heard = None if kept.waits else max(one.last for one in RatingState.from_json(kept.state).channels)
        if heard is None or heard < epoch(kept.end):
            known = "nothing" if heard is None else f"readings to {from_epoch(heard).isoformat()}"
            raise FinalReadingMissing(
                f"contract {row.contract_id} ended at {ended_at.isoformat()}; there is {known}",
                remedy="read the meter, or let the validation estimate what is missing",
            )
