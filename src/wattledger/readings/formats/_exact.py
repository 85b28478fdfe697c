"""From a file's numbers to an exact series: units, decimals, duplicates. No float is ever made.

A value is read as decimal digits and becomes an integer count of ``10**-decimals`` of the house unit (kWh, kvarh, kW,
V ...), with as many decimals as the finest value of the column needs, 3 to 9.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from wattledger.kernel import IntervalSeries, Quality, from_epoch
from wattledger.readings.formats._model import Commodity
from wattledger.readings.formats._source import Source, shown

LENGTHS = (60, 300, 600, 900, 1800, 3600)
"""Interval lengths a channel may have, in seconds."""

FEWEST_DECIMALS, MOST_DECIMALS = 3, 9

_INT64_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Unit:
    """What a file's unit measures; one of it is ``10**exponent`` of the house unit called ``name``."""

    commodity: Commodity
    name: str
    exponent: int


def _units() -> dict[str, Unit]:
    families = (
        ("wh", Commodity.ACTIVE_ENERGY, "kWh"),
        ("varh", Commodity.REACTIVE_ENERGY, "kvarh"),
        ("vah", Commodity.APPARENT_ENERGY, "kVAh"),
        ("w", Commodity.ACTIVE_POWER, "kW"),
        ("var", Commodity.REACTIVE_POWER, "kvar"),
        ("va", Commodity.APPARENT_POWER, "kVA"),
    )
    units = {
        prefix + base: Unit(commodity, name, exponent)
        for base, commodity, name in families
        for prefix, exponent in (("", -3), ("k", 0), ("m", 3), ("g", 6))
    }
    return units | {
        "v": Unit(Commodity.VOLTAGE, "V", 0),
        "kv": Unit(Commodity.VOLTAGE, "V", 3),
        "a": Unit(Commodity.CURRENT, "A", 0),
        "ka": Unit(Commodity.CURRENT, "A", 3),
        "pf": Unit(Commodity.POWER_FACTOR, "", 0),
    }


UNITS = _units()
"""By name in lower case: ``kwh``, ``kvarh``, ``mw`` (mega: nobody meters milliwatts) ..."""

# The lengths are bounded so that a hostile file cannot make an integer of a million digits.
_PLAIN = re.compile(r"-?(?:[0-9]{1,18}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})")
_UNUSUAL = re.compile(r"[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,2})?")


class BadNumber(Exception):
    """The text at ``index`` is not a number, or one too large; turned into a refusal by who knows its line."""

    def __init__(self, index: int, cause: str) -> None:
        super().__init__(cause)
        self.index = index
        self.cause = cause


def is_number(text: str) -> bool:
    """Whether ``text`` is a decimal number with a point."""
    return _UNUSUAL.fullmatch(text) is not None


def _spelled_out(text: str, index: int) -> str:
    """``text`` (a sign, an exponent) as plain digits."""
    if not is_number(text):
        raise BadNumber(index, f"{shown(text)} is not a number")
    return format(Decimal(text), "f")


@dataclass(frozen=True, slots=True)
class Exact:
    """Integers of ``10**-decimals``, and how many of them had to be rounded (half to even)."""

    values: NDArray[np.int64]
    decimals: int
    rounded: int


def exact(texts: Sequence[str], *, exponent: int = 0, ratio: Fraction = Fraction(1)) -> Exact:
    """The numbers ``texts``, times ``10**exponent`` and ``ratio``, exactly.

    Values finer than ``10**-9`` are rounded half to even. Raises :class:`BadNumber`.
    """
    fits = _PLAIN.fullmatch
    pieces = [(text if fits(text) else _spelled_out(text, index)).partition(".") for index, text in enumerate(texts)]
    places = max((len(fraction) for _, _, fraction in pieces), default=0)
    digits = [int(whole + fraction.ljust(places, "0")) for whole, _, fraction in pieces]

    decimals = max(FEWEST_DECIMALS, places - exponent)
    rounded = 0
    if ratio == 1 and decimals <= MOST_DECIMALS:
        factor = 10 ** (decimals + exponent - places)
        whole_units: list[int] = [number * factor for number in digits]
    else:
        decimals = MOST_DECIMALS
        scale = Fraction(10) ** (decimals + exponent - places) * ratio
        whole_units = []
        for number in digits:
            quotient, remainder = divmod(number * scale.numerator, scale.denominator)
            if remainder:
                rounded += 1
                twice = 2 * remainder
                if twice > scale.denominator or (twice == scale.denominator and quotient % 2):
                    quotient += 1
            whole_units.append(quotient)
    return Exact(*_fewest_decimals(_as_int64(whole_units), decimals), rounded)


def _as_int64(numbers: list[int]) -> NDArray[np.int64]:
    # A sum over the series must not overflow either, so that is what has to fit.
    if numbers and max(map(abs, numbers)) * len(numbers) > _INT64_MAX and sum(map(abs, numbers)) > _INT64_MAX:
        largest = max(range(len(numbers)), key=lambda index: abs(numbers[index]))
        raise BadNumber(largest, "the value is larger than can be kept exactly")
    return np.array(numbers, dtype=np.int64)


def _fewest_decimals(values: NDArray[np.int64], decimals: int) -> tuple[NDArray[np.int64], int]:
    while decimals > FEWEST_DECIMALS and not (values % 10).any():
        values, decimals = values // 10, decimals - 1
    return values, decimals


def decimal_text(value: int, decimals: int) -> str:
    """``value`` of ``10**-decimals`` as plain decimal text."""
    with localcontext() as context:
        context.prec = 40
        return format(Decimal(value).scaleb(-decimals), "f")


@dataclass(frozen=True, slots=True)
class Rows:
    """A channel's readings as they stand in the file, one entry each, in file order.

    ``starts`` epoch seconds, ``qualities`` :class:`Quality`, ``lines`` where each stands; of two readings for one start
    the one with the higher ``ranks`` counts, and without ranks two different values are a contradiction.
    """

    starts: NDArray[np.int64]
    qualities: NDArray[np.uint8]
    lines: NDArray[np.int64]
    ranks: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """A channel's series, and what became of the readings that are not in it."""

    series: IntervalSeries
    duplicates: int
    superseded: int
    disordered: int
    """Readings that stood after a later one."""


def settle(source: Source, name: str, rows: Rows, numbers: Exact, *, seconds: int) -> Settled:
    """The channel's readings in order and each once; refuses contradictions and overlaps, naming both lines."""
    count = len(rows.starts)
    values = np.where(rows.qualities == Quality.MISSING, 0, numbers.values)
    order = np.argsort(rows.starts, kind="stable")
    disordered = int((np.diff(rows.starts) < 0).sum())
    starts = rows.starts[order]
    again = np.flatnonzero(np.diff(starts) == 0) + 1
    superseded = 0
    if len(again):
        firsts = np.flatnonzero(np.concatenate(([True], np.diff(starts) != 0)))
        bounds = [*firsts.tolist(), count]
        picked = order[firsts]
        for position, (begin, end) in enumerate(pairwise(bounds)):
            if end - begin > 1:
                kept, worse = _one_of(source, name, rows, values, numbers.decimals, order[begin:end].tolist())
                picked[position] = kept
                superseded += worse
        order = picked
        starts = rows.starts[order]
    overlaps = np.flatnonzero(np.diff(starts) < seconds)
    if len(overlaps):
        first, second = (int(rows.lines[order[overlaps[0] + step]]) for step in (0, 1))
        raise source.refuse(
            f"{name}: the interval that starts at {_clock(starts[overlaps[0] + 1])} overlaps the one of line {first}, "
            f"which is {seconds // 60} minutes long",
            line=second,
        )
    series = IntervalSeries(starts, values[order], rows.qualities[order], seconds, numbers.decimals)
    return Settled(series, count - len(order), superseded, disordered)


def _one_of(
    source: Source, name: str, rows: Rows, values: NDArray[np.int64], decimals: int, same: list[int]
) -> tuple[int, int]:
    """Which of the rows ``same``, all for one start, counts; and how many others said something else."""
    ranks = [0] * len(same) if rows.ranks is None else rows.ranks[same].tolist()
    best = max(ranks)
    highest = [i for i, rank in zip(same, ranks, strict=True) if rank == best]
    known = [i for i in highest if rows.qualities[i] != Quality.MISSING]
    kept = (known or highest)[0]
    for other in known:
        if values[other] != values[kept]:
            first, second = sorted((kept, other), key=lambda i: int(rows.lines[i]))
            raise source.refuse(
                f"{name}: {_clock(rows.starts[kept])} has the value {decimal_text(int(values[second]), decimals)} here "
                f"and {decimal_text(int(values[first]), decimals)} in line {int(rows.lines[first])}",
                line=int(rows.lines[second]),
                remedy="remove the one that is wrong",
            )
    content = _content(rows, values, kept)
    lower = [i for i, rank in zip(same, ranks, strict=True) if rank < best]
    return kept, sum(1 for i in lower if _content(rows, values, i) != content)


def _content(rows: Rows, values: NDArray[np.int64], index: int) -> tuple[int, bool]:
    return int(values[index]), bool(rows.qualities[index] == Quality.MISSING)


def _clock(start: np.int64) -> str:
    return from_epoch(int(start)).strftime("%Y-%m-%d %H:%M UTC")


def remarks(name: str, settled: Settled, numbers: Exact) -> list[str]:
    """What a person should know of how a channel came about, in whole sentences."""
    equal = settled.duplicates - settled.superseded
    told = (
        (numbers.rounded, "values finer than a billionth of a unit were rounded (half to even)"),
        (settled.disordered, "readings stood out of order and were sorted; places where that shows"),
        (equal, "readings that stand in the file again with the same value count once"),
        (settled.superseded, "readings gave way to a later update of the same interval"),
    )
    return [f"{name}: {what}: {count:,}." for count, what in told if count]
