"""Wallets: what is available, when a threshold is crossed, and what goes to the ledger."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast

import sqlalchemy as sa

from wattledger import ledger, registry
from wattledger.kernel import Money, Problem, epoch
from wattledger.prepay import _tables as t
from wattledger.prepay._facts import BalanceExhausted, BalanceLow, BalanceRestored
from wattledger.prepay._policy import DEFAULT, policy_named
from wattledger.prepay._shards import DEDUCTING, charged_beside, take_out, with_charge
from wattledger.store import Fact, Row, Transaction, chunked

WalletState = Literal["ok", "low", "empty"]

WALLET = "wallet"
"""Where the credit of a wallet is kept, unless a meter keeps it."""

_DAY = 86_400
_RECENT_DAYS_MIN = 3

# A wallet that was low is well again only this much above its threshold: a balance that hovers does not chatter.
_REARM_NUMERATOR, _REARM_DENOMINATOR = 6, 5


class WalletNotFound(Problem):
    """A contract has no wallet."""

    slug = "wallet-not-found"
    title = "This contract has no wallet"
    status = 404


@dataclass(frozen=True, slots=True)
class Wallet:
    """A wallet at an instant. ``days_left`` reckons with the mean of the last days' own use.

    ``kept`` is ``wallet``, or the name of the delivery that brings the credit to a meter, which keeps it.
    """

    contract_id: str
    ledger_balance: Money
    accrued: Money
    available: Money
    state: WalletState
    low_threshold: Money
    days_left: int | None
    daily_mean: Money | None
    kept: str = WALLET


@dataclass(frozen=True, slots=True)
class WalletsSummary:
    """All wallets at a glance."""

    count: int
    low: int
    empty: int
    available: Mapping[str, Money]


def wallet_account(contract_id: str) -> str:
    """The ledger account that holds a contract's prepaid money."""
    return f"wallet:{contract_id}"


AGENT = "agent:"
"""What the method of a recharge begins with that an agent with a float sells: ``agent:corner-shop``."""


def till_account(method: str, currency: str) -> str:
    """The ledger account that money comes from by ``method``: a till, or the float of an agent who paid in advance."""
    return f"{'float' if method.startswith(AGENT) else 'cash'}:{method.removeprefix(AGENT)}:{currency}"


def _revenue(currency: str) -> ledger.Account:
    return ledger.Account(_revenue_account(currency), "revenue", currency, shards=ledger.BUSY_SHARDS)


def _revenue_account(currency: str) -> str:
    return f"revenue:energy:{currency}"


def open_wallet(
    tx: Transaction, *, contract_id: str, currency: str, now: datetime, low_threshold: Money | None = None
) -> None:
    """Open a contract's wallet and its ledger account; one that is open stays as it is."""
    low = None if low_threshold is None else low_threshold.micro
    ensure_wallets(tx, contracts={contract_id: currency}, now=now, low_threshold_micro=low)


def ensure_wallets(
    tx: Transaction, *, contracts: Mapping[str, str], now: datetime, low_threshold_micro: int | None = None
) -> None:
    """Open the wallets of ``contracts`` (id to currency) that are not open yet; the policy says when they are low."""
    have: set[str] = set()
    for piece in chunked(sorted(contracts)):
        have.update(
            row[0] for row in tx.rows(sa.select(t.wallet.c.contract_id).where(t.wallet.c.contract_id.in_(piece)))
        )
    missing = {contract: currency for contract, currency in contracts.items() if contract not in have}
    if not missing:
        return
    low = {
        currency: policy_named(tx, name=DEFAULT, currency=currency, at=now).low
        if low_threshold_micro is None
        else low_threshold_micro
        for currency in set(missing.values())
    }
    ledger.open_accounts(
        tx,
        accounts=[
            *(ledger.Account(wallet_account(c), "wallet", currency) for c, currency in missing.items()),
            *(
                ledger.Account(_revenue_account(c), "revenue", c, shards=ledger.BUSY_SHARDS)
                for c in sorted(set(missing.values()))
            ),
        ],
    )
    tx.insert_new(
        t.wallet,
        [
            {
                "contract_id": contract,
                "currency": currency,
                "low_threshold": low[currency],
                "state": "ok",
                "accrued": 0,
                "recent": {},
                "posted_day": epoch(now) // _DAY,
            }
            for contract, currency in sorted(missing.items())
        ],
    )


def prepaid_currency(tx: Transaction, *, contract_id: str, now: datetime) -> str:
    """The currency of a prepaid contract; raises :class:`WalletNotFound` for one that is billed afterwards."""
    contract = registry.contract(tx, contract_id=contract_id, at=now)
    if contract.mode != "prepay":
        raise WalletNotFound(
            f"contract {contract_id} has no wallet", remedy="it is billed afterwards: look at its bills"
        )
    return contract.currency


def choose_policy(tx: Transaction, *, contract_id: str, name: str, now: datetime) -> None:
    """Let a contract's wallet go by the policy called ``name``, and take its low threshold from it.

    Raises :class:`~wattledger.prepay.PolicyNotFound` and :class:`WalletNotFound`.
    """
    currency = prepaid_currency(tx, contract_id=contract_id, now=now)
    ensure_wallets(tx, contracts={contract_id: currency}, now=now)
    policy = policy_named(tx, name=name, currency=currency, at=now)
    locked_wallets(tx, [contract_id])
    tx.execute(
        t.wallet.update().where(t.wallet.c.contract_id == contract_id).values(policy=name, low_threshold=policy.low)
    )


def locked_wallets(tx: Transaction, contract_ids: Collection[str]) -> dict[str, Row]:
    """The wallet rows of these contracts, locked in the order of their ids to the end of the unit of work.

    Their running states stand in rows of their own from here on: see ``_shards``.
    """
    tx.hold(DEDUCTING, shared=True)
    found = _locked(tx, contract_ids)
    return _locked(tx, contract_ids) if take_out(tx, contract_ids=found) else found


def _locked(tx: Transaction, contract_ids: Collection[str]) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for piece in chunked(sorted(set(contract_ids))):
        select = sa.select(t.wallet).where(t.wallet.c.contract_id.in_(piece)).order_by(t.wallet.c.contract_id)
        found.update((row.contract_id, row) for row in tx.rows(tx.locked(select)))
    return found


def daily_mean_micro(recent: Mapping[str, int], *, today: int) -> int | None:
    """The mean charge of the last whole days, or ``None`` before there are three."""
    whole = [micro for day, micro in recent.items() if int(day) < today]
    return sum(whole) // len(whole) if len(whole) >= _RECENT_DAYS_MIN else None


def days_left(available_micro: int, mean_micro: int | None) -> int | None:
    """How many days the available amount lasts at the mean charge; 0 when nothing is left."""
    if available_micro <= 0:
        return 0
    return available_micro // mean_micro if mean_micro else None


def next_state(state: WalletState, *, available_micro: int, threshold_micro: int) -> WalletState:
    """The wallet's state at this available amount, with hysteresis above the threshold."""
    if available_micro <= 0:
        return "empty"
    well = threshold_micro if state == "ok" else threshold_micro * _REARM_NUMERATOR // _REARM_DENOMINATOR
    return "ok" if available_micro >= well else "low"


def crossing(
    *, contract_id: str, before: WalletState, after: WalletState, available: Money, left: int | None, now: datetime
) -> Fact | None:
    """What is to be told when a deduction carried a wallet from one state to another."""
    if after == "empty" and before != "empty":
        return BalanceExhausted(
            at=now, contract_id=contract_id, available_micro=available.micro, currency=available.currency
        )
    if before == "empty" and after != "empty":
        return BalanceRestored(
            at=now, contract_id=contract_id, available_micro=available.micro, currency=available.currency
        )
    if after == "low" and before == "ok":
        return BalanceLow(
            at=now,
            contract_id=contract_id,
            available_micro=available.micro,
            currency=available.currency,
            days_left=left,
        )
    return None


def post_accrual(tx: Transaction, *, contract_ids: Iterable[str], now: datetime) -> int:
    """Post to the ledger what these wallets have accrued; returns the number of transfers. Wallets get locked.

    Every stretch of time has transfers of its own. What moves a stretch that was stated already is posted as a
    correction: its purpose is ``deduction_corrected``, its reference the statement, and it names the transfer before.
    """
    wallets = locked_wallets(tx, list(contract_ids))
    due: list[Row] = []
    for piece in chunked(sorted(wallets)):
        due += tx.rows(
            sa.select(t.wallet_segment)
            .where(t.wallet_segment.c.contract_id.in_(piece), t.wallet_segment.c.total != t.wallet_segment.c.posted)
            .order_by(t.wallet_segment.c.contract_id, t.wallet_segment.c.start)
        )
    grants = _grants_due(tx, wallets)
    if not due and not grants:
        return 0
    currencies = {row.contract_id: row.currency for row in wallets.values()}
    ledger.post(
        tx,
        transfers=[
            *(_posting(row, currencies[row.contract_id], now) for row in due),
            *(_covering(row, currencies[row.contract_id], now) for row in grants),
        ],
        opening=[ledger.Account(_social_account(c), "expense", c) for c in sorted(set(currencies.values()))],
    )
    tx.execute_many(
        t.social_grant.update()
        .where(t.social_grant.c.id == sa.bindparam("key"))
        .values(posted=t.social_grant.c.covered, postings=t.social_grant.c.postings + 1),
        [{"key": row.id} for row in grants],
    )
    tx.execute_many(
        t.wallet_segment.update()
        .where(
            t.wallet_segment.c.contract_id == sa.bindparam("key_contract"),
            t.wallet_segment.c.start == sa.bindparam("key_start"),
        )
        .values(posted=t.wallet_segment.c.total, postings=t.wallet_segment.c.postings + 1),
        [{"key_contract": row.contract_id, "key_start": row.start} for row in due],
    )
    tx.execute(
        t.wallet.update().where(t.wallet.c.contract_id == sa.bindparam("key")).values(accrued=0),
        [{"key": contract} for contract in sorted({row.contract_id for row in (*due, *grants)})],
    )
    return len(due) + len(grants)


def _grants_due(tx: Transaction, contract_ids: Collection[str]) -> list[Row]:
    grant = t.social_grant.c
    return [
        row
        for piece in chunked(sorted(contract_ids))
        for row in tx.rows(
            sa.select(t.social_grant)
            .where(grant.contract_id.in_(piece), grant.covered != grant.posted)
            .order_by(grant.contract_id, grant.month_start, grant.name)
        )
    ]


def _covering(row: Row, currency: str, now: datetime) -> ledger.Transfer:
    """What free units cover of what was deducted, given back to the wallet; or taken again when it cost less."""
    amount = row.covered - row.posted
    sides = (_social_account(currency), wallet_account(row.contract_id))
    debit, credit = sides if amount > 0 else sides[::-1]
    return ledger.Transfer(
        id=f"social:{row.id}:{row.postings}",
        debit_account=debit,
        credit_account=credit,
        amount=Money(abs(amount), currency),
        purpose="social_units",
        reference=row.id,
        posted_at=now,
        corrects=f"social:{row.id}:{row.postings - 1}" if row.postings and amount < 0 else None,
    )


def _social_account(currency: str) -> str:
    return f"social:{currency}"


def _posting(row: Row, currency: str, now: datetime) -> ledger.Transfer:
    amount = row.total - row.posted
    sides = (wallet_account(row.contract_id), _revenue_account(currency))
    debit, credit = sides if amount > 0 else sides[::-1]
    segment = f"{row.contract_id}:{row.start:%Y-%m-%dT%H:%MZ}"
    before = f"deduction:{segment}:{row.postings - 1}" if row.postings else None
    if row.stated is not None:
        purpose, reference, corrects = "deduction_corrected", row.stated, before
    elif amount > 0:
        purpose, reference, corrects = "deduction", segment, None
    else:
        purpose, reference, corrects = "deduction_returned", segment, before
    return ledger.Transfer(
        id=f"deduction:{segment}:{row.postings}",
        debit_account=debit,
        credit_account=credit,
        amount=Money(abs(amount), currency),
        purpose=purpose,
        reference=reference,
        posted_at=now,
        corrects=corrects,
    )


def wallet(tx: Transaction, *, contract_id: str, now: datetime) -> Wallet:
    """A contract's wallet as it stands; one that nothing has moved yet is empty. Raises :class:`WalletNotFound`."""
    row = tx.execute(sa.select(t.wallet).where(t.wallet.c.contract_id == contract_id)).one_or_none()
    if row is None:
        zero = Money.zero(prepaid_currency(tx, contract_id=contract_id, now=now))
        low = policy_named(tx, name=DEFAULT, currency=zero.currency, at=now).low
        return Wallet(contract_id, zero, zero, zero, "empty", Money(low, zero.currency), None, None)
    beside = charged_beside(tx, contract_ids=[contract_id])
    return _wallet(row, ledger.balance(tx, account_id=wallet_account(contract_id)), beside.get(contract_id), now)


def _wallet(row: Row, balance: Money, beside: tuple[int, int] | None, now: datetime) -> Wallet:
    micro, day = beside or (0, 0)
    recent = with_charge(row.recent, day=day, micro=micro) if micro else row.recent
    mean = daily_mean_micro(recent, today=epoch(now) // _DAY)
    accrued = Money(row.accrued + micro, row.currency)
    available = balance - accrued
    return Wallet(
        contract_id=row.contract_id,
        ledger_balance=balance,
        accrued=accrued,
        available=available,
        state=cast("WalletState", row.state),
        low_threshold=Money(row.low_threshold, row.currency),
        days_left=days_left(available.micro, mean),
        daily_mean=None if mean is None else Money(mean, row.currency),
        kept=row.delivery,
    )


def _with_balances(tx: Transaction, rows: Iterable[Row], now: datetime) -> list[Wallet]:
    kept = list(rows)
    balances = ledger.balances(tx, account_ids=[wallet_account(row.contract_id) for row in kept])
    beside = charged_beside(tx, contract_ids=[row.contract_id for row in kept])
    return [_wallet(row, balances[wallet_account(row.contract_id)], beside.get(row.contract_id), now) for row in kept]


def lowest_wallets(tx: Transaction, *, now: datetime, limit: int) -> list[Wallet]:
    """The wallets that are low or empty, the least available first."""
    rows = tx.rows(sa.select(t.wallet).where(t.wallet.c.state != "ok"))
    return sorted(_with_balances(tx, rows, now), key=lambda w: (w.available.micro, w.contract_id))[:limit]


def wallets_summary(tx: Transaction, *, now: datetime) -> WalletsSummary:
    """Counts by state and the sum of what is available, by currency."""
    available: dict[str, Money] = {}
    states = {"ok": 0, "low": 0, "empty": 0}
    for one in _with_balances(tx, tx.rows(sa.select(t.wallet)), now):
        states[one.state] += 1
        currency = one.available.currency
        available[currency] = available.get(currency, Money.zero(currency)) + one.available
    return WalletsSummary(count=sum(states.values()), low=states["low"], empty=states["empty"], available=available)
