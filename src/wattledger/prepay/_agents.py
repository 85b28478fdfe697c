"""Agents who sell recharges from a float: money that they paid in before, and never sell more of than is there.

The float is a ledger account that the database holds at zero or above. A recharge by the method ``agent:NAME`` moves
money from the agent's float to the wallet, so what an agent sold is the account's own transfers. An agent on credit is
lent a float, from an account that says how much.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from wattledger import ledger
from wattledger.kernel import Money, Problem
from wattledger.prepay._wallets import AGENT, till_account
from wattledger.store import Transaction

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,33}", re.ASCII)  # with the prefix it is a method of 40 characters


class AgentRefused(Problem):
    """An agent cannot be taken on or funded as it is asked for."""

    slug = "agent-refused"
    title = "This agent cannot be taken on or funded like this"
    status = 422


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent: what can still be sold, and how much of it was lent."""

    name: str
    left: Money
    lent: Money


def fund_agent(tx: Transaction, *, agent: str, amount: Money, paid_by: str, key: str, now: datetime) -> Agent:
    """Add what an agent paid in (``paid_by`` a method: ``bank``) to the float; ``key`` makes a repeat harmless.

    A first payment opens the float. Raises :class:`AgentRefused`.
    """
    return _add(tx, agent, amount, f"cash:{paid_by}:{amount.currency}", "cash", f"agent-funded:{agent}:{key}", now)


def lend_float(tx: Transaction, *, agent: str, amount: Money, key: str, now: datetime) -> Agent:
    """Let an agent sell ``amount`` before paying it in, once per ``key``. Raises :class:`AgentRefused`."""
    lent = _lent_account(agent, amount.currency)
    return _add(tx, agent, amount, lent, "receivable", f"agent-lent:{agent}:{key}", now)


def settle_float(tx: Transaction, *, agent: str, amount: Money, paid_by: str, key: str, now: datetime) -> Agent:
    """Take what an agent pays back of a lent float; never more than was lent. Raises :class:`AgentRefused`."""
    found = agent_named(tx, agent=agent, currency=amount.currency)
    transfer_id = f"agent-settled:{agent}:{key}"
    _post(tx, f"cash:{paid_by}:{amount.currency}", _lent_account(agent, amount.currency), amount, transfer_id, now)
    return agent_named(tx, agent=found.name, currency=amount.currency)


def agent_named(tx: Transaction, *, agent: str, currency: str) -> Agent:
    """An agent's float now; raises :class:`AgentRefused` if there is none."""
    accounts = till_account(AGENT + agent, currency), _lent_account(agent, currency)
    balances = ledger.balances(tx, account_ids=accounts)
    if accounts[0] not in balances:
        raise AgentRefused(f"no agent called {agent!r} has a float in {currency}", remedy="fund the agent first")
    return Agent(agent, balances[accounts[0]], -balances.get(accounts[1], Money.zero(currency)))


def agent_sales(tx: Transaction, *, agent: str, currency: str, limit: int = 100) -> Sequence[ledger.Transfer]:
    """The newest transfers of an agent's float: sales, what was given back, what was paid in; newest first."""
    return ledger.transfers_of(tx, account_id=till_account(AGENT + agent, currency), limit=limit)


def _lent_account(agent: str, currency: str) -> str:
    return f"float-lent:{agent}:{currency}"


def _add(tx: Transaction, agent: str, amount: Money, source: str, kind: str, transfer_id: str, now: datetime) -> Agent:
    if not _NAME.fullmatch(agent) or amount.micro <= 0:
        raise AgentRefused(
            f"{amount} for agent {agent!r}", remedy="more than nothing, for a name of small letters, digits, - and _"
        )
    held = till_account(AGENT + agent, amount.currency)
    rule = ledger.Rule.CREDITS_NOT_OVER_DEBITS if kind == "receivable" else ledger.Rule.NONE
    opening = [
        ledger.Account(held, "float", amount.currency, ledger.Rule.DEBITS_NOT_OVER_CREDITS),
        ledger.Account(source, kind, amount.currency, rule),
    ]
    _post(tx, source, held, amount, transfer_id, now, opening)
    return agent_named(tx, agent=agent, currency=amount.currency)


def _post(
    tx: Transaction,
    debit: str,
    credit: str,
    amount: Money,
    transfer_id: str,
    now: datetime,
    opening: Sequence[ledger.Account] = (),
) -> None:
    purpose, _, rest = transfer_id.partition(":")
    transfer = ledger.Transfer(
        id=transfer_id,
        debit_account=debit,
        credit_account=credit,
        amount=amount,
        purpose=purpose.replace("-", "_"),
        reference=rest.partition(":")[0],
        posted_at=now,
    )
    tills = [ledger.Account(debit, "cash", amount.currency)]
    ledger.post(tx, transfers=[transfer], opening=opening or tills)
