"""What a recharge pays, in which order: pure, exact, and the same for the preview and for the money.

Each step takes what it is due from what the steps before have left; the wallet gets the rest::

    payment ─► fees ─► debts ─► overdraft ─► emergency ─► wallet      (the order is the policy's)

Shares are rounded down to the micro-unit, so nobody pays more than was agreed. Source of the order: the top-up
sequence of prepayment meters (payment debt by share, accumulated debt, used emergency credit, balance).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from wattledger.kernel import Money
from wattledger.prepay._policy import Fee, Policy, Step

PartKind = Literal["fee", "debt", "overdraft", "emergency", "wallet"]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a recharge: what it went to. ``name`` says it in the policy's or the debt's words."""

    kind: PartKind
    name: str
    amount: Money
    debt_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DebtShare:
    """What a debt takes of a recharge: an ``instalment`` and a ``share`` of the payment, within its caps.

    ``owed`` is what is left of it, ``month_taken`` what this month's recharges have paid of it. All in micro-units.
    """

    debt_id: str
    name: str
    owed: int
    instalment: int = 0
    share: Fraction = Fraction(0)
    recharge_most: int | None = None
    month_most: int | None = None
    month_taken: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What a wallet owes when a payment comes, in micro-units; ``debts`` in the order in which they are served.

    ``month_taken`` is what this month's recharges have paid of all debts, of those too that are paid off by now.
    """

    debts: Sequence[DebtShare] = ()
    month_taken: int = 0
    overdraft: int = 0
    emergency: int = 0


def split(*, amount: Money, method: str, policy: Policy, due: Due) -> tuple[Part, ...]:
    """The parts of a payment in the policy's order, the wallet's last; they add up to ``amount``, none is nothing."""
    left = amount.micro
    parts: list[Part] = []
    for step in policy.order:
        for kind, name, wanted, debt_id in _wanted(step, amount.micro, method, policy, due):
            taken = min(wanted, left)
            if taken > 0:
                left -= taken
                parts.append(Part(kind, name, Money(taken, amount.currency), debt_id))
    if left:
        parts.append(Part("wallet", "wallet", Money(left, amount.currency)))
    return tuple(parts)


def _wanted(
    step: Step, amount: int, method: str, policy: Policy, due: Due
) -> Iterator[tuple[PartKind, str, int, str | None]]:
    match step:
        case "fees":
            for fee in policy.fees:
                if not fee.methods or method in fee.methods:
                    yield "fee", fee.name, _fee(fee, amount), None
        case "debts":
            yield from _debts(amount, policy, due)
        case "overdraft":
            yield "overdraft", "used on account", due.overdraft, None
        case "emergency":
            yield "emergency", "emergency credit", due.emergency, None


def _fee(fee: Fee, amount: int) -> int:
    return _least(fee.fixed + _share(fee.share, amount), fee.most)


def _debts(amount: int, policy: Policy, due: Due) -> Iterator[tuple[PartKind, str, int, str | None]]:
    caps = policy.debts
    month_left = None if caps.month_most is None else max(0, caps.month_most - due.month_taken)
    room = _least(_share(caps.share_most, amount), caps.recharge_most, month_left)
    for debt in due.debts:
        of_month = None if debt.month_most is None else max(0, debt.month_most - debt.month_taken)
        wanted = debt.instalment + _share(debt.share, amount)
        taken = _least(wanted, debt.owed, debt.recharge_most, of_month, room)
        room -= taken
        yield "debt", debt.name, taken, debt.debt_id


def _share(share: Fraction, amount: int) -> int:
    return amount * share.numerator // share.denominator


def _least(wanted: int, *caps: int | None) -> int:
    return min([wanted, *(cap for cap in caps if cap is not None)])
