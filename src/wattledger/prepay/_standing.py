"""How a wallet stands once its money has moved: thresholds, emergency credit, and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from wattledger import ledger
from wattledger.kernel import Money, Problem, epoch
from wattledger.prepay import _tables as t
from wattledger.prepay._facts import BalanceLow, EmergencyCreditLent, RechargeWanted
from wattledger.prepay._policy import Policy, policy_named
from wattledger.prepay._wallets import (
    WALLET,
    WalletState,
    crossing,
    daily_mean_micro,
    days_left,
    locked_wallets,
    next_state,
    post_accrual,
    wallet_account,
)
from wattledger.store import Fact, Row, Transaction

_DAY = 86_400

# What was low is well again only this much above its bound: a balance that hovers does not chatter.
_REARM_NUMERATOR, _REARM_DENOMINATOR = 6, 5


class EmergencyNotOffered(Problem):
    """Emergency credit cannot be had now."""

    slug = "emergency-credit-not-offered"
    title = "There is no emergency credit to be had now"
    status = 409


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A wallet after its money moved: its row from before, and what is so now.

    ``tells`` the customer of a change; ``repaid``: a recharge moved it and nothing is owed of emergency credit.
    """

    row: Row
    available: int
    recent: Mapping[str, int]
    tells: bool = True
    repaid: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a wallet has come to: what is available once emergency credit is lent, and its row's new marks."""

    available: int
    state: WalletState
    emergency_armed: bool
    emergency_loans: int
    second_told: bool
    auto_armed: bool
    auto_crossings: int


def emergency_account(contract_id: str) -> str:
    """The ledger account that holds what a wallet was lent and has not paid back."""
    return f"emergency:{contract_id}"


def policy_of(tx: Transaction, row: Row, *, now: datetime) -> Policy:
    """The policy that a wallet goes by."""
    return policy_named(tx, name=row.policy, currency=row.currency, at=now)


def stand(tx: Transaction, *, moved: Mapping[str, Moved], now: datetime) -> dict[str, Standing]:
    """Lend what is lent by itself, find every wallet's new state and tell what was crossed; writes no wallet row."""
    names = {(one.row.policy, one.row.currency) for one in moved.values()}
    policies = {key: policy_named(tx, name=key[0], currency=key[1], at=now) for key in sorted(names)}
    facts: list[Fact] = []
    found: dict[str, Standing] = {}
    lent: dict[str, Money] = {}
    loans = {contract: one.row.emergency_loans for contract, one in moved.items()}
    rearming = [
        contract
        for contract, one in moved.items()
        if not one.row.emergency_armed
        and one.available > policies[one.row.policy, one.row.currency].emergency.rearm_above
    ]
    owing = ledger.balances(tx, account_ids=[emergency_account(contract) for contract in rearming])
    for contract, one in sorted(moved.items()):
        row, available = one.row, one.available
        policy = policies[row.policy, row.currency]
        account = emergency_account(contract)
        armed = row.emergency_armed or (contract in rearming and (account not in owing or not owing[account].micro))
        terms = policy.emergency
        if (
            armed
            and row.closed_at is None
            and row.delivery == WALLET
            and terms.offer == "automatic"
            and available <= 0 < available + terms.amount
        ):
            lent[contract] = Money(terms.amount, row.currency)
            available, armed = available + terms.amount, False
            loans[contract] += 1
        left = days_left(available, daily_mean_micro(one.recent, today=epoch(now) // _DAY))
        state = next_state(row.state, available_micro=available, threshold_micro=row.low_threshold)
        few = policy.days + (row.state == "low")  # a day more than low began at, to be well again
        if state == "ok" and policy.days and left is not None and left < few:
            state = "low"
        second_told = row.second_told and available * _REARM_DENOMINATOR < policy.second * _REARM_NUMERATOR
        money = Money(available, row.currency)
        auto_armed = row.auto_armed or (one.repaid and one.available >= (row.auto_below or 0))
        auto_crossings = row.auto_crossings
        if one.tells and row.closed_at is None:
            if auto_armed and row.auto_below is not None and one.available < row.auto_below:
                auto_armed, auto_crossings = False, auto_crossings + 1
                facts.append(_wanted(row, auto_crossings, now))
            fact = crossing(contract_id=contract, before=row.state, after=state, available=money, left=left, now=now)
            facts += [fact] if fact is not None else []
            if state == "low" and available < policy.second and not second_told:
                second_told = True
                if not isinstance(fact, BalanceLow):
                    facts.append(_second(contract, money, left, now))
        found[contract] = Standing(
            available=available,
            state=state,
            emergency_armed=armed,
            emergency_loans=loans[contract],
            second_told=second_told,
            auto_armed=auto_armed,
            auto_crossings=auto_crossings,
        )
    _lend(tx, lent, loans, now)
    tx.emit_all([*_told(lent, found, now), *facts])
    return found


def at_rest(row: Row, *, available: int, policy: Policy, now: datetime) -> int | None:
    """How much may be charged to a wallet today before :func:`stand` has anything to tell, lend or remember of it.

    ``None``: it has already. What is charged is not below 0.
    """
    if row.closed_at is not None:
        return None
    mean = daily_mean_micro(row.recent, today=epoch(now) // _DAY)
    left = days_left(available, mean)
    state = next_state(row.state, available_micro=available, threshold_micro=row.low_threshold)
    few = policy.days + (row.state == "low")
    if state == "ok" and policy.days and left is not None and left < few:
        state = "low"
    terms = policy.emergency
    lends = row.emergency_armed and row.delivery == WALLET and terms.offer == "automatic"
    told = row.second_told and available * _REARM_DENOMINATOR < policy.second * _REARM_NUMERATOR
    wanted = row.auto_armed and row.auto_below is not None
    if (
        state != row.state
        or (lends and available <= 0 < available + terms.amount)
        or (not row.emergency_armed and available > terms.rearm_above)
        or told != row.second_told
        or (state == "low" and available < policy.second and not told)
        or (wanted and available < row.auto_below)
    ):
        return None
    bounds = [1, row.low_threshold, policy.second, few * mean if mean else 0, row.auto_below if wanted else 0]
    return min((available - bound for bound in bounds if available >= bound), default=_BOUNDLESS)


_BOUNDLESS = 2**62


def _second(contract_id: str, available: Money, left: int | None, now: datetime) -> BalanceLow:
    return BalanceLow(
        at=now, contract_id=contract_id, available_micro=available.micro, currency=available.currency, days_left=left
    )


def _wanted(row: Row, crossing_: int, now: datetime) -> RechargeWanted:
    return RechargeWanted(
        at=now,
        contract_id=row.contract_id,
        key=f"auto:{row.contract_id}:{crossing_}",
        method=row.auto_method,
        amount_micro=row.auto_amount,
        currency=row.currency,
    )


def _told(lent: Mapping[str, Money], found: Mapping[str, Standing], now: datetime) -> list[Fact]:
    return [
        EmergencyCreditLent(
            at=now,
            contract_id=contract,
            amount_micro=amount.micro,
            available_micro=found[contract].available,
            currency=amount.currency,
        )
        for contract, amount in lent.items()
    ]


def _lend(tx: Transaction, lent: Mapping[str, Money], loans: Mapping[str, int], now: datetime) -> None:
    ledger.post(
        tx,
        transfers=[
            ledger.Transfer(
                id=f"emergency:{contract}:{loans[contract]}",
                debit_account=emergency_account(contract),
                credit_account=wallet_account(contract),
                amount=amount,
                purpose="emergency_credit",
                reference=contract,
                posted_at=now,
            )
            for contract, amount in lent.items()
        ],
        opening=[
            ledger.Account(emergency_account(contract), "receivable", one.currency, ledger.Rule.CREDITS_NOT_OVER_DEBITS)
            for contract, one in lent.items()
        ],
    )


def keep_standing(
    tx: Transaction, *, row: Row, available: Money, now: datetime, tells: bool, repaid: bool = False
) -> Money:
    """Bring one wallet's row in step with its ledger balance, all posted; returns what is available then."""
    moved = Moved(row=row, available=available.micro, recent=row.recent, tells=tells, repaid=repaid)
    one = stand(tx, moved={row.contract_id: moved}, now=now)[row.contract_id]
    _write(tx, row.contract_id, one)
    return Money(one.available, row.currency)


def _write(tx: Transaction, contract_id: str, one: Standing) -> None:
    tx.execute(
        t.wallet.update()
        .where(t.wallet.c.contract_id == contract_id)
        .values(
            state=one.state,
            emergency_armed=one.emergency_armed,
            emergency_loans=one.emergency_loans,
            second_told=one.second_told,
            auto_armed=one.auto_armed,
            auto_crossings=one.auto_crossings,
        )
    )


def take_emergency_credit(tx: Transaction, *, contract_id: str, now: datetime) -> Money:
    """Lend the emergency credit that a customer asks for; returns what is available then.

    Raises :class:`EmergencyNotOffered`: the policy has none, it was not paid back yet, or there is enough without.
    """
    row = locked_wallets(tx, [contract_id]).get(contract_id)
    if row is None:
        raise EmergencyNotOffered(f"contract {contract_id} has no wallet", remedy="a first recharge opens it")
    post_accrual(tx, contract_ids=[contract_id], now=now)
    available = ledger.balance(tx, account_id=wallet_account(contract_id))
    terms = policy_of(tx, row, now=now).emergency
    if not terms.amount:
        raise EmergencyNotOffered(f"the policy {row.policy} of contract {contract_id} knows no emergency credit")
    if not row.emergency_armed:
        owed = -ledger.balance(tx, account_id=emergency_account(contract_id))
        raise EmergencyNotOffered(
            f"contract {contract_id} has had it: {owed} are not paid back yet", remedy="recharge by more than that"
        )
    if available.micro > terms.below:
        raise EmergencyNotOffered(
            f"{available} are available; it is offered up to {Money(terms.below, row.currency)}",
            remedy="use what is there first",
        )
    loan = row.emergency_loans + 1
    amount = Money(terms.amount, row.currency)
    _lend(tx, {contract_id: amount}, {contract_id: loan}, now)
    tx.execute(
        t.wallet.update()
        .where(t.wallet.c.contract_id == contract_id)
        .values(emergency_armed=False, emergency_loans=loan)
    )
    held = locked_wallets(tx, [contract_id])[contract_id]
    after = keep_standing(tx, row=held, available=available + amount, now=now, tells=True)
    tx.emit(
        EmergencyCreditLent(
            at=now,
            contract_id=contract_id,
            amount_micro=amount.micro,
            available_micro=after.micro,
            currency=amount.currency,
        )
    )
    return after


def emergency_owed(tx: Transaction, *, contract_id: str, currency: str) -> Money:
    """What a wallet was lent as emergency credit and has not paid back."""
    account = emergency_account(contract_id)
    return -ledger.balances(tx, account_ids=[account]).get(account, Money.zero(currency))
