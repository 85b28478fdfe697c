"""What if there were another tariff: a population's bills under the one and the other, and who wins and loses. Pure.

Months are priced many customers at a time where nothing of one depends on what was before, else customer by customer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from decimal import Decimal
from statistics import median
from typing import NamedTuple

import numpy as np

from wattledger import tariffs
from wattledger.kernel import IntervalSeries, Money, Period, Problem, Quality, epoch, local_months, zone_named
from wattledger.pricing._counting import WAITS
from wattledger.tariffs import NO_HISTORY, NO_SIGNALS, Signals, Tariff

_IMPORT = "import"
_TOGETHER = 2
"""From how many customers of one month on they are priced at once."""

_UNPRICED = (
    *WAITS,
    tariffs.ChannelWithoutPrice,
    tariffs.NegativeEnergy,
    tariffs.OutOfOrder,
    tariffs.TariffWithoutZone,
)


class NothingToCompare(Problem):
    """Nobody has a bill under both tariffs."""

    slug = "nothing-to-compare"
    title = "There is nothing to compare"
    status = 422


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Whoever gets a bill, and what he used.

    ``series``  by channel
    ``bills``   the time of each bill, in order
    ``facts``   what tariffs may ask, at each bill; the last are those of all after
    ``now``     what each bill comes to today, where that is known; ``None``: no price
    """

    id: str
    zone: str | tzinfo | None
    series: Mapping[str, IntervalSeries]
    bills: Sequence[Period]
    facts: Sequence[Mapping[str, tariffs.Fact]] = ()
    now: Sequence[Money | None] | None = None

    def facts_at(self, bill: int) -> Mapping[str, tariffs.Fact]:
        """What was told of the customer at one of the bills."""
        return self.facts[min(bill, len(self.facts) - 1)] if self.facts else {}


@dataclass(frozen=True, slots=True)
class Change:
    """What one customer pays under both, all months together."""

    customer: str
    old: Money
    new: Money

    @property
    def micro(self) -> int:
        """How much more it is in micro-units; below zero: he wins."""
        return self.new.micro - self.old.micro


@dataclass(frozen=True, slots=True)
class Side:
    """Those who win, or those who lose: how many, the change of the one in the middle and of the most affected.

    ``median`` is in the currency, exact: of an even number, the mean of the two in the middle.
    """

    count: int
    total: Money
    median: Decimal | None
    most: Money | None


class Bin(NamedTuple):
    """How many customers' change lies between two amounts (micro-units, the one further from zero included).

    ``low`` or ``high`` is ``None`` where all that lie beyond are taken in.
    """

    low: int | None
    high: int | None
    customers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two tariffs over one population.

    ``months``    bills compared, ``missing`` intervals of them without a value, which cost nothing under either
    ``unpriced``  customers that have no price under one of the two, and why
    """

    currency: str
    changes: Sequence[Change]
    months: int
    missing: int
    unpriced: Sequence[tuple[str, str]] = field(default=())

    @property
    def old(self) -> Money:
        """The revenue under the old one."""
        return sum((change.old for change in self.changes), start=Money.zero(self.currency))

    @property
    def new(self) -> Money:
        """The revenue under the new one."""
        return sum((change.new for change in self.changes), start=Money.zero(self.currency))

    @property
    def winners(self) -> Side:
        """Those who pay less."""
        return self._side(sorted(c.micro for c in self.changes if c.micro < 0))

    @property
    def losers(self) -> Side:
        """Those who pay more."""
        return self._side(sorted((c.micro for c in self.changes if c.micro > 0), reverse=True))

    def _side(self, micro: Sequence[int]) -> Side:
        def money(amount: int) -> Money:
            return Money(amount, self.currency)

        if not micro:
            return Side(0, money(0), None, None)
        middle = median(Decimal(amount).scaleb(-Money.PLACES) for amount in micro)
        return Side(len(micro), money(sum(micro)), middle, money(micro[0]))

    @property
    def unchanged(self) -> int:
        """How many pay the same to the last micro-unit."""
        return sum(not change.micro for change in self.changes)

    def top(self, count: int = 10, *, losing: bool) -> list[Change]:
        """Those who lose (or win) most, the most affected first."""
        sign = -1 if losing else 1
        ranked = sorted(self.changes, key=lambda change: (sign * change.micro, change.customer))
        return [change for change in ranked[:count] if sign * change.micro < 0]

    def histogram(self, bins: int = 12) -> list[Bin]:
        """How the changes of winners and losers are spread, from the most won to the most lost; round bounds."""
        amounts = sorted(change.micro for change in self.changes if change.micro)
        if not amounts:
            return []
        edge = max(len(amounts) // 50, 0)  # the far ends are taken together
        low, high = min(amounts[edge], 0), max(amounts[-1 - edge], 0)
        step = _round_step(-(-(high - low) // bins))
        first, last = low // step, -(-high // step)
        counts: dict[int, int] = defaultdict(int)
        for amount in amounts:
            place = amount // step if amount < 0 else -(-amount // step) - 1
            counts[min(max(place, first), last - 1)] += 1
        open_low, open_high = amounts[0] < first * step, amounts[-1] > last * step
        return [
            Bin(
                None if open_low and place == first else place * step,
                None if open_high and place == last - 1 else (place + 1) * step,
                counts[place],
            )
            for place in range(first, last)
        ]


def _round_step(least: int) -> int:
    """The least of 1, 2, 5, 10, 20 ... cents that is not less."""
    size = 10_000
    while True:
        for factor in (1, 2, 5):
            if factor * size >= least:
                return factor * size
        size *= 10


def compare(
    *,
    customers: Iterable[Customer],
    new: Tariff,
    old: Tariff | None,
    within: Period | None = None,
    signals: Signals = NO_SIGNALS,
) -> Comparison:
    """The bills of ``customers`` that begin ``within`` a period, under both tariffs.

    ``old`` is ``None`` for what each pays today (:attr:`Customer.now`). Bills before the period are priced only for
    what they leave to the later ones. When the tariffs are valid is set aside: that is what "if" means. Raises
    :class:`NothingToCompare`.
    """
    if old is not None and old.currency != new.currency:
        raise NothingToCompare(f"{old.id} is priced in {old.currency}, {new.id} in {new.currency}")
    population = list(customers)
    of_new = _Prices(_whenever(new), signals, within).of(population)
    of_old = None if old is None else _Prices(_whenever(old), signals, within).of(population)
    changes: list[Change] = []
    unpriced: list[tuple[str, str]] = []
    months = missing = 0
    for number, customer in enumerate(population):
        compared = [n for n, bill in enumerate(customer.bills) if within is None or bill.start in within]
        after = of_new[number]
        before = _today(customer, new.currency) if of_old is None else of_old[number]
        reason = next((one for one in (after, before) if isinstance(one, str)), None)
        if isinstance(after, str) or isinstance(before, str):
            unpriced.append((customer.id, str(reason)))
        elif compared:
            sums = [Money(sum(one[n].micro for n in compared), new.currency) for one in (before, after)]
            changes.append(Change(customer.id, *sums))
            months += len(compared)
            missing += sum(after[n].missing for n in compared)
    if not changes:
        why = f": {unpriced[0][0]}: {unpriced[0][1]}" if unpriced else ""
        raise NothingToCompare(f"nobody has a bill under both{why}", remedy="check the dates and the population")
    return Comparison(currency=new.currency, changes=changes, months=months, missing=missing, unpriced=unpriced)


def _whenever(tariff: Tariff) -> Tariff:
    if tariff.valid_from is None and tariff.valid_to is None:
        return tariff
    return Tariff.from_document({key: part for key, part in tariff.document.items() if key != "valid"})


def joined(parts: Iterable[Comparison]) -> Comparison:
    """Comparisons of parts of a population as one; raises :class:`NothingToCompare` for none."""
    found = list(parts)
    if not found:
        raise NothingToCompare("nobody has a bill under both", remedy="check the dates and the population")
    return Comparison(
        currency=found[0].currency,
        changes=[change for one in found for change in one.changes],
        months=sum(one.months for one in found),
        missing=sum(one.missing for one in found),
        unpriced=[pair for one in found for pair in one.unpriced],
    )


class _Amount(NamedTuple):
    micro: int
    missing: int


def _today(customer: Customer, currency: str) -> list[_Amount] | str:
    now = customer.now or ()
    if len(now) != len(customer.bills) or any(one is None or one.currency != currency for one in now):
        return f"what it costs today is not known, or not in {currency}"
    return [_Amount(one.micro, 0) for one in now if one is not None]


class _Prices:
    """All bills of a population under one tariff."""

    def __init__(self, tariff: Tariff, signals: Signals, within: Period | None) -> None:
        self.tariff, self.signals, self.within = tariff, signals, within
        self._remembering: dict[tuple[object, ...], bool] = {}

    def of(self, population: Sequence[Customer]) -> list[list[_Amount] | str]:
        """For each customer the amount of each bill, or why there is none."""
        found: list[list[_Amount] | str] = [[_Amount(0, 0)] * len(customer.bills) for customer in population]
        for number, bill, amount in self._amounts(population):
            so_far = found[number]
            if isinstance(amount, str):
                found[number] = amount
            elif not isinstance(so_far, str):
                so_far[bill] = amount
        return found

    def _amounts(self, population: Sequence[Customer]) -> Iterator[tuple[int, int, _Amount | str]]:
        together: dict[tuple[object, ...], list[tuple[int, int]]] = defaultdict(list)
        for number, customer in enumerate(population):
            try:
                if self._remembers(customer) or not self._counts_import_only(customer):
                    yield from ((number, n, amount) for n, amount in enumerate(self._one_after_the_other(customer)))
                    continue
            except _UNPRICED as problem:
                yield number, 0, str(problem)
                continue
            for n, bill in enumerate(customer.bills):
                if self.within is None or bill.start in self.within:
                    together[self._group(customer, n, bill)].append((number, n))
        for members in together.values():
            yield from self._group_amounts(population, members)

    def _remembers(self, customer: Customer) -> bool:
        """Whether a bill depends on those before it."""
        key = (customer.zone, *customer.bills)
        if key not in self._remembering:
            self._remembering[key] = bool(customer.bills) and self._looks_back(customer)
        return self._remembering[key]

    def _looks_back(self, customer: Customer) -> bool:
        clock = _clock(self.tariff, customer)
        months = [next(local_months(bill, zone=clock)) for bill in customer.bills]
        back = tariffs.looks_back_to(tariff=self.tariff, zone=clock, start=months[-1].start)
        return len(set(months)) < len(months) or back is None or back < months[-1].start

    def _counts_import_only(self, customer: Customer) -> bool:
        return all(channel == _IMPORT or channel not in customer.series for channel in self.tariff.channels)

    def _group(self, customer: Customer, number: int, bill: Period) -> tuple[object, ...]:
        series = customer.series.get(_IMPORT, _NOTHING)
        facts = tuple(sorted((n, str(v)) for n, v in customer.facts_at(number).items() if n in self.tariff.facts))
        return bill, str(customer.zone), series.seconds, series.decimals, facts

    def _group_amounts(
        self, population: Sequence[Customer], members: Sequence[tuple[int, int]]
    ) -> Iterator[tuple[int, int, _Amount | str]]:
        if len(members) >= _TOGETHER:
            try:
                yield from self._at_once(population, members)
            except _UNPRICED:
                pass  # of some of them: whose, and why, is found one by one
            else:
                return
        for number, n in members:
            try:
                yield number, n, self._alone(population[number], n)
            except _UNPRICED as problem:
                yield number, n, str(problem)

    def _at_once(
        self, population: Sequence[Customer], members: Sequence[tuple[int, int]]
    ) -> list[tuple[int, int, _Amount]]:
        first, n = members[0]
        customer, bill = population[first], population[first].bills[n]
        one = customer.series.get(_IMPORT, _NOTHING)
        start = epoch(bill.start)
        count = (epoch(bill.end) - start) // one.seconds
        if start % one.seconds or (epoch(bill.end) - start) % one.seconds:
            return [(number, at, self._alone(population[number], at)) for number, at in members]
        block = np.zeros((len(members), count), dtype=np.int64)
        missing = np.ones(block.shape, dtype=np.bool_)
        for row, (number, _) in enumerate(members):
            part = population[number].series.get(_IMPORT, _NOTHING).within(bill)
            known = part.qualities != Quality.MISSING
            if len(part) == count and int(part.starts[0]) == start and bool(known.all()):
                block[row], missing[row] = part.values, False
                continue
            places = (part.starts[known] - start) // one.seconds
            if bool(((part.starts - start) % one.seconds).any()):
                return [(number, at, self._alone(population[number], at)) for number, at in members]
            block[row, places] = part.values[known]
            missing[row, places] = False
        rated = tariffs.rate_many(
            tariff=self.tariff,
            block=block,
            start=bill.start,
            seconds=one.seconds,
            decimals=one.decimals,
            zone=customer.zone,
            missing=missing,
            facts=customer.facts_at(n),
            signals=self.signals,
        )
        return [
            (number, at, _Amount(int(rated.totals[row]), int(rated.missing[row])))
            for row, (number, at) in enumerate(members)
        ]

    def _alone(self, customer: Customer, number: int) -> _Amount:
        bill = customer.bills[number]
        rating = tariffs.rate(
            tariff=self.tariff,
            series=self._series(customer, bill),
            period=bill,
            zone=customer.zone,
            facts=customer.facts_at(number),
            signals=self.signals,
        )
        return _Amount(rating.total.micro, rating.missing)

    def _series(self, customer: Customer, bill: Period) -> dict[str, IntervalSeries]:
        priced = {channel: one for channel, one in customer.series.items() if channel in self.tariff.channels}
        return {channel: one.within(bill) for channel, one in priced.items()}

    def _one_after_the_other(self, customer: Customer) -> Iterator[_Amount]:
        since = epoch(customer.bills[0].start) if customer.bills else None
        history = replace(NO_HISTORY, since=since)
        for number, bill in enumerate(customer.bills):
            state = tariffs.open_state(
                tariff=self.tariff,
                period=bill,
                zone=customer.zone,
                facts=customer.facts_at(number),
                history=history,
            )
            state = tariffs.advance(
                tariff=self.tariff, state=state, series=self._series(customer, bill), signals=self.signals
            )
            rating = tariffs.settle(tariff=self.tariff, state=state)
            history = tariffs.history_after(tariff=self.tariff, state=state)
            yield _Amount(rating.total.micro, rating.missing)


_NOTHING = IntervalSeries.empty()


def _clock(tariff: Tariff, customer: Customer) -> tzinfo:
    zone = tariff.zone or customer.zone
    if zone is None:
        raise tariffs.TariffWithoutZone(f"tariff {tariff.id} names no time zone, and nobody told one for {customer.id}")
    return zone_named(zone) if isinstance(zone, str) else zone
