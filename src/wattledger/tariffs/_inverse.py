"""How much energy an amount of money buys: the rating function searched backwards, never a formula of its own."""

from __future__ import annotations

from datetime import datetime

from wattledger.kernel import Energy, Money, Problem
from wattledger.tariffs._counting import RatingState, energy_added
from wattledger.tariffs._language import Tariff
from wattledger.tariffs._settling import settle
from wattledger.tariffs._signals import NO_SIGNALS, Signals

_MOST_WH = 10**15


class NoEnergyForMoney(Problem):
    """An amount does not tell an amount of energy: it is below zero, or energy costs nothing or less."""

    slug = "no-energy-for-money"
    title = "An amount of energy cannot be told for this money"
    status = 422


def inverse(
    *, tariff: Tariff, state: RatingState, amount: Money, at: datetime, signals: Signals = NO_SIGNALS
) -> Energy:
    """The most whole watt-hours that ``amount`` buys at the prices of ``at``, on top of what ``state`` counted.

    Exactly: the bill with this energy more is at most ``amount`` dearer, and with one watt-hour more it is dearer than
    that. Taxes, steps, minimums and rounding are those of the bill; demand and loads are not, for energy bought has no
    power yet. Raises :class:`NoEnergyForMoney` where that is not one answer.
    """
    if amount.currency != tariff.currency or amount.micro < 0:
        raise NoEnergyForMoney(f"{amount} buys nothing under tariff {tariff.id}, which is priced in {tariff.currency}")
    now = settle(tariff=tariff, state=state).total.micro

    def cost(wh: int) -> int:
        more = energy_added(tariff=tariff, state=state, wh=wh, at=at, signals=signals)
        return settle(tariff=tariff, state=more).total.micro - now

    low, high = 0, 1000
    while cost(high) <= amount.micro:
        if high > _MOST_WH:
            raise NoEnergyForMoney(
                f"tariff {tariff.id} gives energy at {at.isoformat()} away: {amount} buys any amount of it",
                remedy="sell at a time when energy has a price above zero",
            )
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if cost(middle) <= amount.micro else (low, middle)
    return Energy(low)
