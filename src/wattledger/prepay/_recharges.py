"""Recharges: money put on a wallet, once per key however often it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from wattledger import ledger
from wattledger.kernel import Money, Problem, stable_id
from wattledger.prepay import _tables as t
from wattledger.prepay._facts import RechargeCredited
from wattledger.prepay._wallets import (
    ensure_wallets,
    locked_wallets,
    next_state,
    post_accrual,
    prepaid_currency,
    wallet_account,
)
from wattledger.store import Row, Transaction

_KEY_LENGTH_MAX = 200
_AMOUNT_MAX = 1_000_000  # whole units; a slip of the finger, not a recharge


class RechargeConflict(Problem):
    """A recharge came again under the same key with another content."""

    slug = "idempotency-key-reused"
    title = "This Idempotency-Key was used before for another recharge"
    status = 409


class RechargeRefused(Problem):
    """A recharge cannot be taken as it is asked for."""

    slug = "recharge-refused"
    title = "This recharge cannot be taken"
    status = 422


class RechargeNotFound(Problem):
    """There is no such recharge."""

    slug = "recharge-not-found"
    title = "No such recharge"
    status = 404


@dataclass(frozen=True, slots=True)
class Recharge:
    """A recharge as it was credited; ``balance_after`` is what was available right then."""

    id: str
    contract_id: str
    key: str
    amount: Money
    method: str
    created_at: datetime
    balance_after: Money


def recharge(tx: Transaction, *, contract_id: str, amount: Money, method: str, key: str, now: datetime) -> Recharge:
    """Put ``amount`` on a wallet and tell :class:`RechargeCredited`.

    ``key`` is made by the payer's side: the same key with the same content gives the first answer again and moves
    nothing. Raises :class:`RechargeConflict`, :class:`RechargeRefused` and :class:`WalletNotFound`.
    """
    if not key or len(key) > _KEY_LENGTH_MAX:
        raise RechargeRefused(
            f"the key has {len(key)} characters", remedy=f"send a key of 1 to {_KEY_LENGTH_MAX} characters"
        )
    # Who moves in pays first: a recharge opens the wallet if no reading has yet.
    currency = prepaid_currency(tx, contract_id=contract_id, now=now)
    ensure_wallets(tx, contracts={contract_id: currency}, now=now)
    # The wallet's lock also puts two requests with one key into a row.
    row = locked_wallets(tx, [contract_id])[contract_id]
    earlier = tx.execute(
        sa.select(t.recharge).where(t.recharge.c.contract_id == contract_id, t.recharge.c.key == key)
    ).one_or_none()
    if earlier is not None:
        return _repeated(_recharge(earlier), amount, method)
    if not 0 < amount.micro <= _AMOUNT_MAX * 10**Money.PLACES:
        raise RechargeRefused(f"{amount} cannot be put on a wallet", remedy=f"send more than 0 and up to {_AMOUNT_MAX}")
    if amount.currency != row.currency:
        raise RechargeRefused(f"the wallet is kept in {row.currency}, not in {amount.currency}")

    recharge_id = stable_id("rch", contract_id, key)
    till = f"cash:{method}:{row.currency}"
    post_accrual(tx, contract_ids=[contract_id], now=now)
    ledger.open_accounts(tx, accounts=[ledger.Account(till, "cash", row.currency)])
    ledger.post(
        tx,
        transfers=[
            ledger.Transfer(
                id=f"recharge:{recharge_id}",
                debit_account=till,
                credit_account=wallet_account(contract_id),
                amount=amount,
                purpose="recharge",
                reference=recharge_id,
                posted_at=now,
            )
        ],
    )
    available = ledger.balance(tx, account_id=wallet_account(contract_id))
    state = next_state(row.state, available_micro=available.micro, threshold_micro=row.low_threshold)
    tx.execute(t.wallet.update().where(t.wallet.c.contract_id == contract_id).values(state=state))
    done = Recharge(
        id=recharge_id,
        contract_id=contract_id,
        key=key,
        amount=amount,
        method=method,
        created_at=now,
        balance_after=available,
    )
    tx.execute(
        t.recharge.insert().values(
            id=done.id,
            contract_id=contract_id,
            key=key,
            amount=amount.micro,
            currency=amount.currency,
            method=method,
            created_at=now,
            balance_after=available.micro,
        )
    )
    tx.emit(
        RechargeCredited(
            at=now,
            contract_id=contract_id,
            recharge_id=recharge_id,
            amount_micro=amount.micro,
            available_micro=available.micro,
            currency=amount.currency,
        )
    )
    return done


def _repeated(earlier: Recharge, amount: Money, method: str) -> Recharge:
    if (earlier.amount, earlier.method) != (amount, method):
        raise RechargeConflict(
            f"the key was used at {earlier.created_at.isoformat()} to recharge {earlier.amount} by {earlier.method}",
            remedy="make a new key for a new recharge",
        )
    return earlier


def recharge_with_id(tx: Transaction, *, recharge_id: str) -> Recharge:
    """One recharge; raises :class:`RechargeNotFound`."""
    row = tx.execute(sa.select(t.recharge).where(t.recharge.c.id == recharge_id)).one_or_none()
    if row is None:
        raise RechargeNotFound(f"no recharge is called {recharge_id!r}")
    return _recharge(row)


def latest_recharge(tx: Transaction, *, contract_id: str) -> Recharge | None:
    """A contract's newest recharge, if it ever had one."""
    row = tx.execute(
        sa.select(t.recharge)
        .where(t.recharge.c.contract_id == contract_id)
        .order_by(t.recharge.c.created_at.desc(), t.recharge.c.id)
        .limit(1)
    ).one_or_none()
    return None if row is None else _recharge(row)


def _recharge(row: Row) -> Recharge:
    return Recharge(
        id=row.id,
        contract_id=row.contract_id,
        key=row.key,
        amount=Money(row.amount, row.currency),
        method=row.method,
        created_at=row.created_at,
        balance_after=Money(row.balance_after, row.currency),
    )
