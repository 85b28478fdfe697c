"""What a wallet tells the other rooms. Amounts are micro-units."""

from dataclasses import dataclass

from wattledger.store import Fact


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceLow(Fact):
    """The available amount fell below the first or the second threshold; told once until it has risen well above it."""

    available_micro: int
    currency: str
    days_left: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceExhausted(Fact):
    """Nothing is available any more; told once until there is."""

    available_micro: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceRestored(Fact):
    """An exhausted wallet has money again without a recharge: a correction lowered what had been charged."""

    available_micro: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EmergencyCreditLent(Fact):
    """Emergency credit was put on a wallet; the next recharges pay it back before it is there again."""

    amount_micro: int
    available_micro: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RechargeWanted(Fact):
    """A wallet that recharges itself fell below its bound; ``key`` is this crossing's own, told once."""

    key: str
    method: str
    amount_micro: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RechargeCredited(Fact):
    """Money was put on a wallet."""

    recharge_id: str
    amount_micro: int
    available_micro: int
    currency: str
