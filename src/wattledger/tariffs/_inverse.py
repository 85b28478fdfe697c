"""How much energy an amount of money buys: the rating function searched backwards, never a formula of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from fractions import Fraction

from wattledger.kernel import Energy, Money, Problem
from wattledger.tariffs._counting import RatingState, energy_added
from wattledger.tariffs._language import Tariff
from wattledger.tariffs._lines import Rating
from wattledger.tariffs._model import CreditCharge, PercentageCharge, Places
from wattledger.tariffs._settling import settle
from wattledger.tariffs._signals import NO_SIGNALS, Signals

_MOST_WH = 10**15
_MICRO = Fraction(10) ** Money.PLACES
_MOST_BILLS = 300  # that are tried above the first amount of energy that is found


class NoEnergyForMoney(Problem):
    """An amount does not tell an amount of energy: it is below zero, or energy costs nothing or less."""

    slug = "no-energy-for-money"
    title = "An amount of energy cannot be told for this money"
    status = 422


def inverse(
    *, tariff: Tariff, state: RatingState, amount: Money, at: datetime, signals: Signals = NO_SIGNALS
) -> Energy:
    """The most whole watt-hours that ``amount`` buys at the prices of ``at``, on top of what ``state`` counted.

    Exactly: the bill with this energy more is at most ``amount`` dearer, and with any more it is dearer than that.
    Where lines are rounded one by one a bill may fall by a unit while energy rises; that is searched through. Taxes,
    steps, minimums and rounding are those of the bill; demand and loads are not, for energy bought has no power yet.

    In two cases the energy told is only one at which the bill passes ``amount`` (a watt-hour more is dearer, much more
    need not be): where a tariff lets the *unrounded* bill fall as energy rises, as a condition on usage that makes all
    of it cheaper does, and where three hundred bills do not suffice for the search, as when taxes are rounded far more
    coarsely than lines. Raises :class:`NoEnergyForMoney` where energy has no end.
    """
    if amount.currency != tariff.currency or amount.micro < 0:
        raise NoEnergyForMoney(f"{amount} buys nothing under tariff {tariff.id}, which is priced in {tariff.currency}")

    def with_more(wh: int) -> RatingState:
        return energy_added(tariff=tariff, state=state, wh=wh, at=at, signals=signals)

    def rounded(wh: int) -> Rating:
        return settle(tariff=tariff, state=with_more(wh))

    def exact(wh: int) -> Fraction:
        return Fraction(settle(tariff=tariff, state=with_more(wh), exact=True).total) * _MICRO

    payable = settle(tariff=tariff, state=state).total.micro + amount.micro
    low = _last(lambda wh: rounded(wh).total.micro <= payable, 0)
    if low is not None:
        first = rounded(low + 1)  # too dear
        reach = exact(low + 1) + 2 * _rounding_of(tariff, first)
        top = _last(lambda wh: exact(wh) <= reach, low + 1)
        if top is not None:
            return Energy(_Search(rounded, payable, low, top + 1).most())
    raise NoEnergyForMoney(
        f"tariff {tariff.id} gives energy at {at.isoformat()} away: {amount} buys any amount of it",
        remedy="sell at a time when energy has a price above zero",
    )


def _last(fits: Callable[[int], bool], low: int) -> int | None:
    """An energy from ``low`` on that fits while a watt-hour more does not; ``None`` where there is no end."""
    stride = 1000
    while fits(low + stride):
        low, stride = low + stride, stride * 2
        if low > _MOST_WH:
            return None
    high = low + stride
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


class _Search:
    """For the most energy from ``low`` to before ``top`` that is not too dear; ``low`` is not, ``low + 1`` is.

    Each line rises or falls with energy all the way. So a bill can only fall where one of the falling lines takes a
    step: from the top down, stride by stride between those steps, the lowest bill of a stride is its first.
    """

    def __init__(self, rounded: Callable[[int], Rating], payable: int, low: int, top: int) -> None:
        self.rounded, self.payable, self.low, self.top = rounded, payable, low, top
        self.bills: dict[int, Rating] = {}
        first, last = _amounts(self._bill(low + 1)), _amounts(self._bill(top))
        self.falling = [line for line in {**first, **last} if last.get(line, 0) < first.get(line, 0)]

    def most(self) -> int:
        """That energy."""
        at = self.top
        while self.falling and at > self.low and len(self.bills) < _MOST_BILLS:
            first = self._first_like(at)
            if self._fits(first):
                return self._last_that_fits(first, at)
            at = first - 1
        return self.low

    def _bill(self, wh: int) -> Rating:
        if wh not in self.bills:
            self.bills[wh] = self.rounded(wh)
        return self.bills[wh]

    def _fits(self, wh: int) -> bool:
        return self._bill(wh).total.micro <= self.payable

    def _fallen(self, wh: int) -> list[int]:
        amounts = _amounts(self._bill(wh))
        return [amounts.get(line, 0) for line in self.falling]

    def _first_like(self, at: int) -> int:
        """The least energy above ``low`` at which the falling lines are what they are at ``at``."""
        here, same, stride = self._fallen(at), at, 1
        while same - stride > self.low and self._fallen(same - stride) == here:
            same, stride = same - stride, stride * 2
        different = max(same - stride, self.low)
        while same - different > 1:
            middle = (same + different) // 2
            different, same = (different, middle) if self._fallen(middle) == here else (middle, same)
        return same

    def _last_that_fits(self, first: int, at: int) -> int:
        if self._fits(at):
            return at
        while at - first > 1:
            middle = (first + at) // 2
            first, at = (middle, at) if self._fits(middle) else (first, middle)
        return first


def _amounts(bill: Rating) -> Mapping[tuple[object, ...], int]:
    found: dict[tuple[object, ...], int] = {}
    for line in bill.lines:
        key = (line.charge, line.clause, line.period, line.season, line.tier)
        if line.kind != "rounding" and isinstance(line.amount, Money):  # the bill's own rises with its lines
            found[key] = found.get(key, 0) + line.amount.micro
    return found


def _rounding_of(tariff: Tariff, bill: Rating) -> Fraction:
    """By how much the rounding of lines can change the sum of such a bill at the most, in micro-units."""
    rounding = tariff.rounding
    each = max(_size(one) for one in (rounding.line, rounding.tax) if one is not None)
    error = each * (len(bill.lines) + 4)  # a few lines may begin within what rounding can reach
    if rounding.quantity is not None:
        prices = sum((abs(Fraction(line.price)) for line in bill.lines if line.unit == "kWh"), start=Fraction(0))
        error += 2 * _size(rounding.quantity) * prices
    for charge in tariff.charges:
        if isinstance(charge, PercentageCharge | CreditCharge) and charge.rate is not None:
            error *= 1 + abs(Fraction(charge.rate)) / 100
    return error * _MICRO


def _size(places: Places) -> Fraction:
    """The most that rounding changes a number by."""
    whole = Fraction(1, 10**places.places)
    return whole / 2 if places.mode.startswith("half") else whole
