"""What is told apart from the tariff when it is priced: announced events, published prices, facts of the contract."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

from wattledger.kernel import Period, Problem, epoch
from wattledger.tariffs._document import plain_number
from wattledger.tariffs._exact import as_ratio
from wattledger.tariffs._language import Tariff
from wattledger.tariffs._model import FactTest
from wattledger.tariffs._segments import Occurrences
from wattledger.tariffs._terms import spelled

_MOST_DECIMALS = 9

Fact = str | int | bool | Decimal
"""A fact of a contract: a text, a number, or yes and no."""

Facts = tuple[tuple[str, str], ...]
"""Facts as they are kept: name and text, sorted."""


class FactUnknown(Problem):
    """A tariff asks for a fact of the contract that nobody told, or told in a way that makes no sense."""

    slug = "fact-unknown"
    title = "A fact of the contract is not known"
    status = 422


class IndexPriceMissing(Problem):
    """A published price is missing for a time at which energy was used, and the tariff guesses none."""

    slug = "index-price-missing"
    title = "A published price is missing"
    status = 409


@dataclass(frozen=True, slots=True, eq=False)
class IndexPrices:
    """A published series of prices per kWh.

    ``starts``    int64, epoch seconds from which each price holds, ascending
    ``values``    the prices in units of ``10**-decimals``
    ``seconds``   how long each holds at most; after it nothing is known until the next
    """

    starts: NDArray[np.int64]
    values: tuple[int, ...]
    decimals: int
    seconds: int

    @classmethod
    def of(cls, prices: Iterable[tuple[datetime, Decimal | str | int]], *, seconds: int = 1800) -> Self:
        """A series from (instant, price per kWh) pairs in any order.

        Raises ``ValueError`` for a float, for more than 9 places and for two prices of one instant.
        """
        pairs = sorted((epoch(at), _exact(price)) for at, price in prices)
        if any(a == b for (a, _), (b, _) in pairwise(pairs)):
            msg = "two prices for one instant"
            raise ValueError(msg)
        decimals = max((-min(int(price.as_tuple().exponent), 0) for _, price in pairs), default=0)
        if decimals > _MOST_DECIMALS:
            msg = f"a price with {decimals} places; {_MOST_DECIMALS} are counted"
            raise ValueError(msg)
        return cls(
            starts=np.array([at for at, _ in pairs], dtype=np.int64),
            values=tuple(int(price.scaleb(decimals)) for _, price in pairs),
            decimals=decimals,
            seconds=seconds,
        )


def _exact(price: Decimal | str | int) -> Decimal:
    if isinstance(price, float):
        msg = f"{price!r} is a binary float: give the price as text or as a Decimal"
        raise ValueError(msg)  # noqa: TRY004 - it is the value that is not exact
    return Decimal(price)


@dataclass(frozen=True, slots=True, eq=False)
class Signals:
    """What was announced and published: when each event is on, and the series of prices by name."""

    events: Mapping[str, tuple[Period, ...]] = field(default_factory=dict)
    prices: Mapping[str, IndexPrices] = field(default_factory=dict)

    def occurrences(self, names: Iterable[str], start: int, end: int) -> Occurrences:
        """When the events of these names are on, as far as it touches ``[start, end)``."""
        found = [
            (name, max(epoch(period.start), start), min(epoch(period.end), end))
            for name in names
            for period in self.events.get(name, ())
        ]
        return tuple(sorted(one for one in found if one[1] < one[2]))


NO_SIGNALS = Signals()


def facts_kept(facts: Mapping[str, Fact] | None) -> Facts:
    """Facts in the one form in which they are kept and compared."""
    return tuple(sorted((name, _text(value)) for name, value in (facts or {}).items()))


def _text(value: Fact) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return plain_number(Decimal(value))
    return spelled(value)


def number_of(facts: Facts, name: str, *, wanted_by: str) -> tuple[int, int]:
    """A fact that is a number, as a ratio; raises :class:`FactUnknown`."""
    text = _told(facts, name, wanted_by)
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite() or number < 0:
        raise FactUnknown(f"the fact {name} is {text!r}, and {wanted_by} needs a number not below zero")
    return as_ratio(number)


def holds(test: FactTest, facts: Facts, *, wanted_by: str) -> bool:
    """Whether a fact passes a test; raises :class:`FactUnknown` when it was not told."""
    text = _told(facts, test.fact, wanted_by)
    if test.among:
        return text in test.among
    numerator, denominator = number_of(facts, test.fact, wanted_by=wanted_by)
    number = Decimal(numerator) / Decimal(denominator)
    return (test.over is None or number > test.over) and (test.up_to is None or number <= test.up_to)


def unmatched_facts(*, tariff: Tariff, facts: Mapping[str, Fact]) -> list[str]:
    """The facts of which charges ask for several values, none of which is the one told: most likely a mistake."""
    found: list[str] = []
    kept = facts_kept(facts)
    for name, _ in kept:
        tests = {test for one in tariff.charges if one.when is not None for test in one.when.facts if test.fact == name}
        if len(tests) > 1 and not any(_may_hold(test, kept) for test in tests):
            found.append(name)
    return found


def _may_hold(test: FactTest, facts: Facts) -> bool:
    try:
        return holds(test, facts, wanted_by="a charge")
    except FactUnknown:
        return False


def _told(facts: Facts, name: str, wanted_by: str) -> str:
    for known, text in facts:
        if known == name:
            return text
    raise FactUnknown(
        f"nobody told {name}, which {wanted_by} needs", remedy=f"tell it with the contract, as {name}=..."
    )
