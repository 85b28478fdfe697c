"""Debts that a wallet pays off: by shares of recharges, by days, or both; never more than is owed.

A debt is a ledger account of its own, which the database lets nobody pay past zero. It begins with a transfer from
where the money was owed before (unpaid bills) and ends when its account is even.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache

import sqlalchemy as sa

from wattledger import ledger, registry, tariffs
from wattledger.kernel import Money, Period, Problem, local_months, stable_id, zone_named
from wattledger.prepay import _tables as t
from wattledger.prepay._policy import DebtTerms, policy_named, share_of
from wattledger.prepay._wallets import ensure_wallets, locked_wallets, prepaid_currency, wallet_account
from wattledger.prepay._waterfall import DebtShare
from wattledger.store import Row, Transaction

_NAME_MAX = 60
_WHOLE_PERCENT = 100


class DebtRefused(Problem):
    """A debt cannot be agreed on as it is asked for."""

    slug = "debt-refused"
    title = "This debt cannot be taken on"
    status = 422


class DebtConflict(Problem):
    """A debt came again under the same key with another content."""

    slug = "debt-conflict"
    title = "A debt was agreed on under this key before"
    status = 409


@dataclass(frozen=True, slots=True)
class Debt:
    """A debt of a wallet: how much it was, how much of it is ``owed`` still, and how it is paid off."""

    id: str
    contract_id: str
    name: str
    amount: Money
    owed: Money
    terms: DebtTerms
    agreed_at: datetime


def debt_account(debt_id: str) -> str:
    """The ledger account that holds what is owed of a debt."""
    return f"debt:{debt_id}"


def agree_debt(  # noqa: PLR0913 - what is agreed on, all of it
    tx: Transaction,
    *,
    contract_id: str,
    name: str,
    amount: Money,
    owed_to: str,
    terms: DebtTerms,
    key: str,
    now: datetime,
) -> Debt:
    """Let a wallet pay off ``amount``, which stands as owed on the ledger account ``owed_to`` until now.

    The wallet is opened if it is not. ``key`` makes a repeat harmless. Raises :class:`DebtRefused`,
    :class:`DebtConflict` and :class:`~wattledger.prepay.WalletNotFound`.
    """
    currency = prepaid_currency(tx, contract_id=contract_id, now=now)
    ensure_wallets(tx, contracts={contract_id: currency}, now=now)
    locked_wallets(tx, [contract_id])
    debt_id = stable_id("dbt", contract_id, key)
    earlier = tx.execute(sa.select(t.prepay_debt).where(t.prepay_debt.c.id == debt_id)).one_or_none()
    if earlier is not None:
        if (earlier.name, earlier.amount, earlier.currency, _terms(earlier)) != (
            name,
            amount.micro,
            amount.currency,
            terms,
        ):
            raise DebtConflict(
                f"contract {contract_id} agreed on {Money(earlier.amount, earlier.currency)} for {earlier.name} "
                f"under the key {key!r}",
                remedy="give every debt a key of its own",
            )
        return _debts(tx, [earlier])[0]
    _require_payable(contract_id, name, amount, terms, currency)
    tx.insert(
        t.prepay_debt,
        [
            {
                "id": debt_id,
                "contract_id": contract_id,
                "name": name,
                "currency": currency,
                "amount": amount.micro,
                "percent": str(terms.percent),
                "instalment": terms.instalment,
                "recharge_most": terms.recharge_most,
                "month_most": terms.month_most,
                "per_day": terms.per_day,
                "agreed_at": now,
                "daily_taken": 0,
                "open": True,
            }
        ],
    )
    ledger.post(
        tx,
        transfers=[
            ledger.Transfer(
                id=f"debt:{debt_id}",
                debit_account=debt_account(debt_id),
                credit_account=owed_to,
                amount=amount,
                purpose="debt_agreed",
                reference=debt_id,
                posted_at=now,
            )
        ],
        opening=[
            ledger.Account(debt_account(debt_id), "receivable", currency, ledger.Rule.CREDITS_NOT_OVER_DEBITS),
        ],
    )
    return Debt(debt_id, contract_id, name, amount, amount, terms, now)


def take_over_arrears(tx: Transaction, *, contract_id: str, owed_on: str, cause: str, now: datetime) -> Debt | None:
    """Make a debt of the wallet of what stands as owed on the ledger account ``owed_on``, if the policy has a rule.

    ``None`` when it has none, nothing is owed, or less than the rule's least. ``cause`` makes a repeat harmless.
    """
    owed = -ledger.balances(tx, account_ids=[owed_on]).get(owed_on, Money.zero(""))
    if owed.micro <= 0:
        return None
    currency = prepaid_currency(tx, contract_id=contract_id, now=now)
    ensure_wallets(tx, contracts={contract_id: currency}, now=now)
    row = locked_wallets(tx, [contract_id])[contract_id]
    rule = policy_named(tx, name=row.policy, currency=currency, at=now).arrears
    if rule is None or owed.micro < rule.least:
        return None
    return agree_debt(
        tx,
        contract_id=contract_id,
        name=rule.name,
        amount=owed,
        owed_to=owed_on,
        terms=rule.terms,
        key=f"arrears:{cause}",
        now=now,
    )


def _require_payable(contract_id: str, name: str, amount: Money, terms: DebtTerms, currency: str) -> None:
    least = min(terms.percent, Decimal(terms.instalment), Decimal(terms.per_day))
    if not 0 < len(name) <= _NAME_MAX or amount.micro <= 0 or amount.currency != currency:
        raise DebtRefused(
            f"{amount} for {name!r} cannot be a debt of contract {contract_id}",
            remedy=f"a debt is more than nothing, in {currency}, under a name of up to {_NAME_MAX} characters",
        )
    caps = [cap for cap in (terms.recharge_most, terms.month_most) if cap is not None]
    if not terms.pays or least < 0 or terms.percent > _WHOLE_PERCENT or min(caps, default=0) < 0:
        raise DebtRefused(
            f"the debt of {amount} would never be paid off, or by less than nothing",
            remedy="say a percentage up to 100, an instalment or an amount per day",
        )


def debts_of(tx: Transaction, *, contract_id: str) -> list[Debt]:
    """A contract's debts, those paid off too, the oldest first: the order in which they are served."""
    kept = t.prepay_debt.c
    return _debts(
        tx,
        tx.rows(sa.select(t.prepay_debt).where(kept.contract_id == contract_id).order_by(kept.agreed_at, kept.id)),
    )


def _debts(tx: Transaction, rows: Sequence[Row]) -> list[Debt]:
    balances = ledger.balances(tx, account_ids=[debt_account(row.id) for row in rows])
    return [
        Debt(
            row.id,
            row.contract_id,
            row.name,
            Money(row.amount, row.currency),
            -balances[debt_account(row.id)],
            _terms(row),
            row.agreed_at,
        )
        for row in rows
    ]


def _terms(row: Row) -> DebtTerms:
    return DebtTerms(
        percent=Decimal(row.percent),
        instalment=row.instalment,
        recharge_most=row.recharge_most,
        month_most=row.month_most,
        per_day=row.per_day,
    )


def debt_shares(tx: Transaction, *, contract_id: str, now: datetime) -> tuple[list[DebtShare], int]:
    """What the open debts take of a recharge now, and what this month's recharges have paid of all debts."""
    open_ = [debt for debt in debts_of(tx, contract_id=contract_id) if debt.owed.micro > 0]
    if not open_:
        return [], 0
    zone = zone_named(registry.contract(tx, contract_id=contract_id, at=now).zone)
    month = next(local_months(Period(now, now + timedelta(seconds=1)), zone=zone))
    part = t.recharge_part.c
    taken: dict[str, int] = {
        row.debt_id: int(row.taken)
        for row in tx.rows(
            sa.select(part.debt_id, sa.func.sum(part.amount).label("taken"))
            .where(part.contract_id == contract_id, part.at >= month.start, part.at < month.end, part.kind == "debt")
            .group_by(part.debt_id)
        )
    }
    shares = [
        DebtShare(
            debt_id=debt.id,
            name=debt.name,
            owed=debt.owed.micro,
            instalment=debt.terms.instalment,
            share=share_of(debt.terms.percent),
            recharge_most=debt.terms.recharge_most,
            month_most=debt.terms.month_most,
            month_taken=taken.get(debt.id, 0),
        )
        for debt in open_
    ]
    return shares, sum(taken.values())


def close_paid(tx: Transaction, debt_ids: Collection[str]) -> None:
    """Mark those of these debts of which nothing is owed any more: the days look at them no longer."""
    balances = ledger.balances(tx, account_ids=[debt_account(one) for one in debt_ids])
    paid = [one for one in sorted(debt_ids) if balances[debt_account(one)].micro == 0]
    tx.execute_many(
        t.prepay_debt.update().where(t.prepay_debt.c.id == sa.bindparam("key")).values(open=False),
        [{"key": one} for one in paid],
    )


def collect_daily(tx: Transaction, *, contract_ids: Collection[str], now: datetime) -> Mapping[str, int]:
    """Take off wallets what their debts are paid by day, reckoned to ``now``; returns the micro-units by contract.

    A local calendar day that has begun counts, as it does for a standing charge: it is the rating engine that counts.
    What the days have come to so far, less what they took before, is taken now, and no more than is owed: so it is the
    same however seldom it runs, and whether the supply is on or off. Wallets are locked by the caller.
    """
    kept = t.prepay_debt.c
    rows = tx.rows(
        sa.select(t.prepay_debt)
        .where(kept.open, kept.per_day > 0, tx.among(kept.contract_id, sorted(contract_ids)))
        .order_by(kept.contract_id, kept.agreed_at, kept.id)
    )
    if not rows:
        return {}
    moved: dict[str, int] = defaultdict(int)
    transfers, taken = [], []
    for row, debt in zip(rows, _debts(tx, rows), strict=True):
        zone = registry.contract(tx, contract_id=row.contract_id, at=row.agreed_at).zone
        so_far = _by_day(row.per_day, row.currency, zone, row.agreed_at, now)
        due = min(so_far - row.daily_taken, debt.owed.micro)
        if due <= 0:
            continue
        moved[row.contract_id] += due
        taken.append({"key": row.id, "so_far": row.daily_taken + due})
        transfers.append(
            ledger.Transfer(
                id=f"debt-day:{row.id}:{row.daily_taken}",
                debit_account=wallet_account(row.contract_id),
                credit_account=debt_account(row.id),
                amount=Money(due, row.currency),
                purpose="debt_by_day",
                reference=row.id,
                posted_at=now,
            )
        )
    ledger.post(tx, transfers=transfers)
    tx.execute_many(
        t.prepay_debt.update()
        .where(t.prepay_debt.c.id == sa.bindparam("key"))
        .values(daily_taken=sa.bindparam("so_far")),
        taken,
    )
    close_paid(tx, [one["key"] for one in taken])
    return moved


def _by_day(per_day: int, currency: str, zone: str, since: datetime, until: datetime) -> int:
    """What a charge per local calendar day comes to over the days of ``[since, until)``, by the rating engine."""
    if until <= since:
        return 0
    tariff = _daily(per_day, currency, zone)
    state = tariffs.open_state(tariff=tariff, period=Period(since, until))
    return tariffs.settle(tariff=tariff, state=state).total.micro


@lru_cache(maxsize=1024)
def _daily(per_day: int, currency: str, zone: str) -> tariffs.Tariff:
    return tariffs.Tariff.from_document(
        {
            "id": "debt-by-day",
            "version": "1",
            "name": "Debt by day",
            "currency": currency,
            "zone": zone,
            "rounding": {"line": {"places": 6}},
            "charges": [
                {"name": "energy", "kind": "energy", "price": "0"},
                {"name": "debt", "kind": "fixed", "price": Money(per_day, currency).text, "per": "day"},
            ],
        }
    )
