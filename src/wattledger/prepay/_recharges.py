"""Recharges: money put on a wallet, once per key however often it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from wattledger import ledger
from wattledger.kernel import Money, Problem, stable_id
from wattledger.prepay import _tables as t
from wattledger.prepay._debts import close_paid, debt_account, debt_shares
from wattledger.prepay._delivery import ask_delivery
from wattledger.prepay._facts import RechargeCredited
from wattledger.prepay._policy import DEFAULT, policy_named
from wattledger.prepay._shards import charged_beside
from wattledger.prepay._standing import emergency_account, emergency_owed, keep_standing, policy_of
from wattledger.prepay._wallets import (
    AGENT,
    WALLET,
    ensure_wallets,
    locked_wallets,
    post_accrual,
    prepaid_currency,
    till_account,
    wallet_account,
)
from wattledger.prepay._waterfall import Due, Part, split
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
    """A recharge as it was credited; ``balance_after`` is what was available right then.

    ``parts`` are what it went to, in the order in which they were served; they add up to ``amount``. A recharge from
    before parts were kept has none.
    """

    id: str
    contract_id: str
    key: str
    amount: Money
    method: str
    created_at: datetime
    balance_after: Money
    parts: tuple[Part, ...] = ()


def preview(tx: Transaction, *, contract_id: str, amount: Money, method: str, now: datetime) -> tuple[Part, ...]:
    """What :func:`recharge` would do with ``amount`` now, to be shown before it is paid: the same reckoning.

    What was used since the last batch of readings is not known yet. Raises as :func:`recharge` does.
    """
    currency = prepaid_currency(tx, contract_id=contract_id, now=now)
    row = tx.execute(sa.select(t.wallet).where(t.wallet.c.contract_id == contract_id)).one_or_none()
    _require_payable(amount, currency)
    if row is None:
        policy = policy_named(tx, name=DEFAULT, currency=currency, at=now)
        return split(amount=amount, method=method, policy=policy, due=Due())
    used = row.accrued + charged_beside(tx, contract_ids=[contract_id]).get(contract_id, (0, 0))[0]
    available = ledger.balance(tx, account_id=wallet_account(contract_id)).micro - used
    return _split(tx, row, amount, method, available, now)


def recharge(tx: Transaction, *, contract_id: str, amount: Money, method: str, key: str, now: datetime) -> Recharge:
    """Put ``amount`` on a wallet and tell :class:`RechargeCredited`.

    All of it is credited; what the policy takes first (fees, shares of debts, emergency credit) leaves the wallet in
    the same posting, each part by a transfer of its own that names the recharge.

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
        return _repeated(_recharge(tx, earlier), amount, method)
    _require_payable(amount, row.currency)

    recharge_id = stable_id("rch", contract_id, key)
    till = till_account(method, row.currency)
    post_accrual(tx, contract_ids=[contract_id], now=now)
    before = ledger.balance(tx, account_id=wallet_account(contract_id))
    parts = _split(tx, row, amount, method, before.micro, now)
    paid = ledger.Transfer(
        id=f"recharge:{recharge_id}",
        debit_account=till,
        credit_account=wallet_account(contract_id),
        amount=amount,
        purpose="recharge",
        reference=recharge_id,
        posted_at=now,
    )
    ledger.post(
        tx,
        transfers=[paid, *_taken_off(paid, parts, contract_id)],
        opening=[
            *([] if method.startswith(AGENT) else [ledger.Account(till, "cash", row.currency)]),
            ledger.Account(_fees_account(row.currency), "revenue", row.currency, shards=ledger.BUSY_SHARDS),
        ],
    )
    close_paid(tx, [part.debt_id for part in parts if part.debt_id is not None])
    held = ledger.balance(tx, account_id=wallet_account(contract_id))
    if row.delivery != WALLET:
        for part in parts:
            if part.kind == "wallet":
                ask_delivery(
                    tx, contract_id=contract_id, via=row.delivery, amount=part.amount, cause=recharge_id, now=now
                )
    repaid = not emergency_owed(tx, contract_id=contract_id, currency=row.currency).micro
    available = keep_standing(tx, row=row, available=held, now=now, tells=False, repaid=repaid)
    done = Recharge(
        id=recharge_id,
        contract_id=contract_id,
        key=key,
        amount=amount,
        method=method,
        created_at=now,
        balance_after=available,
        parts=parts,
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
    tx.insert(
        t.recharge_part,
        [
            {
                "recharge_id": recharge_id,
                "number": number,
                "contract_id": contract_id,
                "at": now,
                "kind": part.kind,
                "name": part.name,
                "amount": part.amount.micro,
                "debt_id": part.debt_id,
            }
            for number, part in enumerate(parts)
        ],
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


def _require_payable(amount: Money, currency: str) -> None:
    if not 0 < amount.micro <= _AMOUNT_MAX * 10**Money.PLACES:
        raise RechargeRefused(f"{amount} cannot be put on a wallet", remedy=f"send more than 0 and up to {_AMOUNT_MAX}")
    if amount.currency != currency:
        raise RechargeRefused(f"the wallet is kept in {currency}, not in {amount.currency}")


def _split(tx: Transaction, row: Row, amount: Money, method: str, available: int, now: datetime) -> tuple[Part, ...]:
    debts, month_taken = debt_shares(tx, contract_id=row.contract_id, now=now)
    owed = emergency_owed(tx, contract_id=row.contract_id, currency=row.currency)
    due = Due(debts=debts, month_taken=month_taken, overdraft=max(0, -available), emergency=owed.micro)
    return split(amount=amount, method=method, policy=policy_of(tx, row, now=now), due=due)


def _taken_off(paid: ledger.Transfer, parts: Sequence[Part], contract_id: str) -> list[ledger.Transfer]:
    """A transfer of its own for every part that leaves the wallet again."""
    to = {
        "fee": (_fees_account(paid.amount.currency), "recharge_fee"),
        "emergency": (emergency_account(contract_id), "emergency_repaid"),
    }
    transfers = []
    for number, part in enumerate(parts):
        if part.kind in ("overdraft", "wallet"):
            continue  # it stays: the whole payment was credited to the wallet
        account, purpose = (debt_account(part.debt_id), "debt_share") if part.debt_id else to[part.kind]
        transfers.append(
            ledger.Transfer(
                id=f"{paid.id}:{number}",
                debit_account=paid.credit_account,
                credit_account=account,
                amount=part.amount,
                purpose=purpose,
                reference=paid.reference,
                posted_at=paid.posted_at,
            )
        )
    return transfers


def _fees_account(currency: str) -> str:
    return f"revenue:fees:{currency}"


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
    return _recharge(tx, row)


def latest_recharge(tx: Transaction, *, contract_id: str) -> Recharge | None:
    """A contract's newest recharge, if it ever had one."""
    row = tx.execute(
        sa.select(t.recharge)
        .where(t.recharge.c.contract_id == contract_id)
        .order_by(t.recharge.c.created_at.desc(), t.recharge.c.id)
        .limit(1)
    ).one_or_none()
    return None if row is None else _recharge(tx, row)


def _recharge(tx: Transaction, row: Row) -> Recharge:
    part = t.recharge_part
    parts = tx.rows(sa.select(part).where(part.c.recharge_id == row.id).order_by(part.c.number))
    return Recharge(
        id=row.id,
        contract_id=row.contract_id,
        key=row.key,
        amount=Money(row.amount, row.currency),
        method=row.method,
        created_at=row.created_at,
        balance_after=Money(row.balance_after, row.currency),
        parts=tuple(Part(one.kind, one.name, Money(one.amount, row.currency), one.debt_id) for one in parts),
    )
