"""Wallets that recharge themselves: who asked for it, and the port that collects the money."""

from __future__ import annotations

from datetime import datetime

from wattledger.kernel import Money, Problem
from wattledger.prepay import _tables as t
from wattledger.prepay._wallets import ensure_wallets, locked_wallets, prepaid_currency
from wattledger.store import Transaction

_METHOD_MAX = 40


class AutoRechargeRefused(Problem):
    """A wallet cannot recharge itself as it is asked for."""

    slug = "auto-recharge-refused"
    title = "This wallet cannot recharge itself like this"
    status = 422


def set_auto_recharge(
    tx: Transaction, *, contract_id: str, below: Money, amount: Money, method: str, now: datetime
) -> None:
    """Let a wallet ask for ``amount`` by ``method`` whenever less than ``below`` is available.

    It tells :class:`~wattledger.prepay.RechargeWanted` once per crossing and is armed again by a recharge that lifts it
    to ``below`` or more, with no emergency credit left to repay. Raises :class:`AutoRechargeRefused`.
    """
    currency = prepaid_currency(tx, contract_id=contract_id, now=now)
    ensure_wallets(tx, contracts={contract_id: currency}, now=now)
    locked_wallets(tx, [contract_id])
    if {below.currency, amount.currency} != {currency} or below.micro < 0 or amount.micro <= 0:
        raise AutoRechargeRefused(
            f"{amount} below {below} for contract {contract_id}", remedy=f"say more than nothing, in {currency}"
        )
    if not 0 < len(method) <= _METHOD_MAX:
        raise AutoRechargeRefused(f"{method!r} is no way to pay", remedy="name the provider that collects")
    tx.execute(
        t.wallet.update()
        .where(t.wallet.c.contract_id == contract_id)
        .values(auto_below=below.micro, auto_amount=amount.micro, auto_method=method, auto_armed=True)
    )


def stop_auto_recharge(tx: Transaction, *, contract_id: str) -> None:
    """Let a wallet recharge itself no longer."""
    tx.execute(t.wallet.update().where(t.wallet.c.contract_id == contract_id).values(auto_below=None))
