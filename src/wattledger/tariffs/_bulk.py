"""Rating a population: one tariff, one period, a block of readings with one customer a row.

All customers' intervals lie on one grid, so the calendar is laid over the columns once. What is counted and settled is
the same as by ``rate()``, to the last digit; only the loop over customers is gone. A clause that has no form for many
at once is rated customer by customer, slowly, and :attr:`RatedBlock.one_by_one` says which clause it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from fractions import Fraction
from math import lcm
from typing import Any, Literal, NamedTuple, cast, get_args

import numpy as np
from numpy.typing import NDArray

from wattledger.kernel import IntervalSeries, Money, Period, Problem, Quality, epoch
from wattledger.tariffs import _bulk_numba, _bulk_numpy
from wattledger.tariffs._bulk_counting import Layout, NoVectorForm, batch_of, check_has_vector_form, layout_of
from wattledger.tariffs._bulk_exact import Column, Whole, narrowed
from wattledger.tariffs._bulk_numpy import Block, BlockTooLarge, Ints, Kernels
from wattledger.tariffs._bulk_settling import BatchSettlement, Line
from wattledger.tariffs._counting import NegativeEnergy
from wattledger.tariffs._exact import as_decimal
from wattledger.tariffs._language import Tariff
from wattledger.tariffs._lines import ChargeLine, LineKind, Rating
from wattledger.tariffs._model import EXPORT, Places
from wattledger.tariffs._plan import DECIMALS, plan_of
from wattledger.tariffs._proration import to_places
from wattledger.tariffs._rating import rate
from wattledger.tariffs._segments import clock_zone
from wattledger.tariffs._signals import NO_SIGNALS, Fact, Facts, Signals, facts_kept

Engine = Literal["auto", "numpy", "numba"]

_ROWS = 16_384
"""Customers settled at a time: enough to make little of what is done once for all, and one giant slows no more."""

_MEAN = Places(places=6, mode="half_even")
"""How the mean of published prices is shown."""

_WORTH_COMPILING = 2**28
"""Values from which on ``auto`` takes Numba: below, loading what was compiled takes longer than it saves."""


class BlockDoesNotFit(Problem):
    """A block that is no table of whole numbers with one customer a row."""

    slug = "block-does-not-fit"
    title = "This block is no readings of many customers"
    status = 422


class EngineNotInstalled(Problem):
    """Numba was asked for and is not there."""

    slug = "engine-not-installed"
    title = "The engine is not installed"
    status = 422


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RatedLine:
    """One line of all customers; whoever does not have it has the amount and the quantity 0.

    The members are those of ``ChargeLine``. ``price`` is ``None`` where it is each customer's own (a minimum, a credit,
    a rounding, the mean of published prices): then ``unrounded`` are the amounts before they are rounded. ``amounts``
    are micro-units, int64 (or Python's whole numbers where these are too small).
    """

    charge: str
    kind: LineKind
    period: str | None
    season: str | None
    tier: int | None
    unit: str
    price: Decimal | None
    clause: str
    quantities: Column
    unrounded: Column | None
    amounts: Whole
    averaged: bool = False

    def of(self, row: int, currency: str) -> ChargeLine | None:
        """The line of one customer (without ``at``); ``None`` if he has none."""
        if not self.quantities.values[row]:
            return None
        quantity = self.quantities.decimal(row)
        return ChargeLine(
            charge=self.charge,
            kind=self.kind,
            period=self.period,
            season=self.season,
            tier=self.tier,
            quantity=quantity,
            unit=self.unit,
            price=self._price(row, quantity) if self.price is None else self.price,
            amount=Money(int(self.amounts[row]), currency),
            clause=self.clause,
            averaged=self.averaged,
        )

    def _price(self, row: int, quantity: Decimal) -> Decimal:
        amount = Decimal(0) if self.unrounded is None else self.unrounded.decimal(row)
        if not self.averaged:
            return amount
        mean = to_places(Fraction(amount) / Fraction(quantity), _MEAN)
        return as_decimal(mean.numerator, mean.denominator)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RatedBlock:
    """The bills of a population.

    ``totals``      micro-units for each customer, int64 (or Python's whole numbers where these are too small)
    ``lines``       all lines that anybody has, in the order of the bill
    ``expected``    how many intervals the period has, ``missing`` how many of them each customer lacks
    ``one_by_one``  why customers had to be rated one by one; ``None`` if they were rated all at once
    """

    period: Period
    currency: str
    totals: Whole
    lines: tuple[RatedLine, ...]
    expected: int
    missing: Ints
    one_by_one: str | None = None

    @property
    def vectorised(self) -> bool:
        """Whether all customers were rated at once."""
        return self.one_by_one is None

    def lines_of(self, row: int) -> tuple[ChargeLine, ...]:
        """The bill of one customer: what ``rate()`` says, but when a demand was measured."""
        found = (line.of(row, self.currency) for line in self.lines)
        return tuple(line for line in found if line is not None)


class _Request(NamedTuple):
    """What was asked, checked."""

    tariff: Tariff
    block: Block
    starts: Ints
    seconds: int
    decimals: int
    missing: NDArray[np.bool_] | None
    period: Period
    zone: tzinfo
    facts: Mapping[str, Fact] | None
    signals: Signals


def rate_many(  # noqa: PLR0913 - as rate(), and what a block does not say of itself
    *,
    tariff: Tariff,
    block: NDArray[Any],
    start: datetime,
    seconds: int,
    decimals: int = 3,
    period: Period | None = None,
    zone: str | tzinfo | None = None,
    missing: NDArray[np.bool_] | None = None,
    facts: Mapping[str, Fact] | None = None,
    signals: Signals = NO_SIGNALS,
    engine: Engine = "auto",
) -> RatedBlock:
    """The bills of all rows of ``block``: whole numbers of ``10**-decimals`` kWh, (customers, intervals).

    The first column starts at ``start``, each next one ``seconds`` later; ``period`` is all of them when not given.
    ``missing`` marks values that are not known: they count as nothing, and how many there are is told. ``facts`` and
    ``signals`` are the same for all. The block may be of any type of whole numbers; int32 is read fastest. ``engine``
    is ``numpy``, ``numba`` (an extra) or whichever is there and pays; all give the same. What ``rate()`` raises is
    raised for the first row that it is true of; further :class:`BlockDoesNotFit` and :class:`EngineNotInstalled`.
    """
    _check(block, missing, decimals, seconds)
    first = epoch(start)
    starts = first + seconds * np.arange(block.shape[1], dtype=np.int64)
    whole = Period.of_epochs(first, first + seconds * block.shape[1]) if period is None else period
    clock = clock_zone(tariff, zone)
    asked = _Request(tariff, block, starts, seconds, decimals, missing, whole, clock, facts, signals)
    kernels = _kernels(engine, block.size)
    kept = tuple(fact for fact in facts_kept(facts) if fact[0] in tariff.facts)
    begin, end = epoch(whole.start), epoch(whole.end)
    occurrences = signals.occurrences(tariff.events, begin, end) if tariff.events else ()
    plan = plan_of(tariff, clock, begin, end, (begin, end), kept, occurrences)
    try:
        check_has_vector_form(tariff, plan, seconds)
        layout = layout_of(
            tariff, plan, signals, start=first, seconds=seconds, intervals=block.shape[1], decimals=decimals
        )
        return _at_once(asked, layout, kept, kernels)
    except NoVectorForm as reason:
        return _one_by_one(asked, str(reason))
    except BlockTooLarge as reason:
        return _one_by_one(asked, str(reason))


def _check(block: object, missing: object, decimals: int, seconds: int) -> None:
    for what, given in (("block", block), ("missing", missing)):
        if not isinstance(given, np.ndarray) and not (what == "missing" and given is None):
            raise BlockDoesNotFit(
                f"'{what}' is a {type(given).__name__}, not a NumPy array",
                remedy="make it one with numpy.asarray; each row is a customer",
            )
    _check_arrays(cast("NDArray[Any]", block), cast("NDArray[Any] | None", missing), decimals, seconds)


def _check_arrays(block: NDArray[Any], missing: NDArray[Any] | None, decimals: int, seconds: int) -> None:
    if block.ndim != 2 or block.dtype.kind not in "iu" or block.dtype == np.uint64:  # noqa: PLR2004 - a table
        raise BlockDoesNotFit(
            f"a table of whole numbers is expected, not {block.ndim} dimensions of {block.dtype}",
            remedy="give one row for each customer, in whole watt-hours for example",
        )
    if missing is not None and (missing.shape != block.shape or missing.dtype != np.bool_):
        raise BlockDoesNotFit(f"'missing' is {missing.shape} of {missing.dtype}, the block {block.shape}")
    if not 0 <= decimals <= DECIMALS or seconds <= 0:
        raise BlockDoesNotFit(
            f"{decimals} decimals and intervals of {seconds} s: 0 to {DECIMALS} and above 0 are expected"
        )


def _kernels(engine: Engine, values: int) -> Kernels:
    if engine not in get_args(Engine):
        raise EngineNotInstalled(f"there is no engine {engine!r}; there are {', '.join(get_args(Engine))}")
    if engine == "numpy" or (engine == "auto" and values < _WORTH_COMPILING):
        return _bulk_numpy.KERNELS
    try:
        return _bulk_numba.kernels()
    except ModuleNotFoundError as error:
        if engine == "auto":
            return _bulk_numpy.KERNELS
        raise EngineNotInstalled(
            "the engine numba needs the package numba", remedy="install wattledger[fast], or use the engine numpy"
        ) from error


def _missing(asked: _Request) -> Ints:
    """How many intervals of the period each row has no value for."""
    low, high = np.searchsorted(asked.starts, (epoch(asked.period.start), epoch(asked.period.end)))
    known = np.full(len(asked.block), high - low, dtype=np.int64)
    if asked.missing is not None:
        known -= np.count_nonzero(asked.missing[:, low:high], axis=1)
    return np.maximum(asked.period.seconds - known * asked.seconds, 0) // asked.seconds


# --- all at once -----------------------------------------------------------------------------------------------------


def _at_once(asked: _Request, layout: Layout, facts: Facts, kernels: Kernels) -> RatedBlock:
    settled: list[BatchSettlement] = []
    for low in range(0, len(asked.block), _ROWS):
        rows = slice(low, low + _ROWS)
        missing = None if asked.missing is None else asked.missing[rows]
        batch = batch_of(layout, kernels, asked.block[rows], missing)
        if len(batch.negative):
            _refuse_negative(asked, low + int(batch.negative[0]))
        settled.append(BatchSettlement(asked.tariff, layout, facts, kernels, batch))
    lines = [_joined(parts) for parts in zip(*(one.lines for one in settled), strict=True)]
    return RatedBlock(
        period=asked.period,
        currency=asked.tariff.currency,
        totals=narrowed(_stacked([one.totals for one in settled])),
        lines=tuple(line for line in lines if line.quantities.values.any()),
        expected=asked.period.seconds // asked.seconds,
        missing=_missing(asked),
    )


def _refuse_negative(asked: _Request, row: int) -> None:
    if EXPORT in asked.tariff.channels:
        msg = "energy given back in the same column as energy taken"
        raise NoVectorForm(msg)
    try:
        _rated(asked, row)
    except NegativeEnergy as problem:
        raise NegativeEnergy(f"row {row}: {problem.detail}", remedy=problem.remedy) from None


def _joined(parts: Sequence[Line]) -> RatedLine:
    heading = parts[0].heading
    amount = _joined_columns([part.amount for part in parts])
    quantity = _joined_columns([part.quantity for part in parts])
    averaged = quantity is not None and amount is not None
    if quantity is None:  # an amount of its own: once, at that price
        quantity = Column((cast("Column", amount).values != 0).astype(np.int64), Fraction(1))
    return RatedLine(
        charge=heading.charge,
        kind=heading.kind,
        period=heading.period,
        season=heading.season,
        tier=heading.tier,
        unit=heading.unit,
        price=None if heading.price is None else heading.price.price,
        clause=heading.clause,
        quantities=quantity,
        unrounded=amount,
        amounts=narrowed(_stacked([part.amounts for part in parts])),
        averaged=averaged,
    )


def _joined_columns(columns: Sequence[Column | None]) -> Column | None:
    found = [column for column in columns if column is not None]
    if not found:
        return None
    over = [column.over for column in found if column.over is not None]
    return Column(_stacked([column.values for column in found]), found[0].unit, _stacked(over) if over else None)


def _stacked(columns: Sequence[Whole]) -> Whole:
    return columns[0] if len(columns) == 1 else np.concatenate(columns) if columns else np.zeros(0, dtype=np.int64)


# --- one by one ------------------------------------------------------------------------------------------------------


def _rated(asked: _Request, row: int) -> Rating:
    qualities = np.full(len(asked.starts), Quality.ACTUAL, dtype=np.uint8)
    if asked.missing is not None:
        qualities[asked.missing[row]] = Quality.MISSING
    values = asked.block[row].astype(np.int64)
    return rate(
        tariff=asked.tariff,
        series=IntervalSeries(asked.starts, values, qualities, asked.seconds, asked.decimals),
        period=asked.period,
        zone=asked.zone,
        facts=asked.facts,
        signals=asked.signals,
    )


def _one_by_one(asked: _Request, reason: str) -> RatedBlock:
    bills = [_rated(asked, row) for row in range(len(asked.block))]
    kept: list[list[tuple[_Key, ChargeLine]]] = [_keyed(bill.lines) for bill in bills]
    order: list[_Key] = []
    for lines in kept:
        place = 0
        for key, _ in lines:
            if key in order:
                place = order.index(key) + 1
            else:
                order.insert(place, key)
                place += 1
    found = [dict(lines) for lines in kept]
    return RatedBlock(
        period=asked.period,
        currency=asked.tariff.currency,
        totals=_whole([bill.total.micro for bill in bills]),
        lines=tuple(_gathered(key, [lines.get(key) for lines in found]) for key in order),
        expected=asked.period.seconds // asked.seconds,
        missing=_missing(asked),
        one_by_one=reason,
    )


_Key = tuple[Any, ...]


def _keyed(lines: Sequence[ChargeLine]) -> list[tuple[_Key, ChargeLine]]:
    """Each line with what tells it apart, but amount, quantity and a price of its own."""
    keyed: list[tuple[_Key, ChargeLine]] = []
    seen: dict[_Key, int] = {}
    for line in lines:
        own = line.averaged or (line.unit == "bill" and line.kind != "fixed")
        key = (
            line.charge,
            line.kind,
            line.period,
            line.season,
            line.tier,
            line.unit,
            line.clause,
            None if own else line.price,
        )
        seen[key] = seen.get(key, 0) + 1
        keyed.append(((*key, seen[key]), line))
    return keyed


def _gathered(key: _Key, lines: Sequence[ChargeLine | None]) -> RatedLine:
    one = next(line for line in lines if line is not None)
    own = key[7] is None
    return RatedLine(
        charge=one.charge,
        kind=one.kind,
        period=one.period,
        season=one.season,
        tier=one.tier,
        unit=one.unit,
        price=None if own else one.price,
        clause=one.clause,
        quantities=_column([Fraction(0 if line is None else line.quantity) for line in lines]),
        unrounded=_column([_unrounded(line) for line in lines]) if own else None,
        amounts=_whole(
            [line.amount.micro if line is not None and isinstance(line.amount, Money) else 0 for line in lines]
        ),
        averaged=one.averaged,
    )


def _unrounded(line: ChargeLine | None) -> Fraction:
    return Fraction(0) if line is None else Fraction(line.quantity) * Fraction(line.price)


def _column(numbers: Sequence[Fraction]) -> Column:
    below = lcm(*(number.denominator for number in numbers))
    return Column(_whole([int(number * below) for number in numbers]), Fraction(1, below))


def _whole(numbers: Sequence[int]) -> Whole:
    return narrowed(np.array(numbers, dtype=object))
