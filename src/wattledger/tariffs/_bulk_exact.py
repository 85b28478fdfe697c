"""Columns of exact numbers, one for each customer of a block.

Whole numbers are held in 64 bits where it is proved beforehand that these hold the result, else as Python's own whole
numbers: slower, never wrong. The proof is Python's: the largest there is, times the factor.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import gcd, lcm
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wattledger.tariffs._exact import as_decimal
from wattledger.tariffs._model import RoundingMode

Whole = NDArray[Any]
"""Whole numbers: int64, or Python's own (dtype object)."""

_ROOM = 2**60
"""An eighth of what 64 bits hold: twice such a number, and another one, may be added without asking."""


class Column(NamedTuple):
    """Exact numbers: ``values * unit / over``, one for each customer.

    ``over`` is above zero and a customer's own (the whole that is shared out pro rata); ``None`` stands for 1.
    """

    values: Whole
    unit: Fraction
    over: Whole | None = None

    def decimal(self, row: int) -> Decimal:
        """One customer's number; where no decimal can hold it, to 18 places."""
        over = 1 if self.over is None else int(self.over[row])
        return as_decimal(int(self.values[row]) * self.unit.numerator, self.unit.denominator * over)


def largest(values: Whole) -> int:
    """The largest of these, whatever their sign."""
    return max(abs(int(values.max())), abs(int(values.min()))) if len(values) else 0


def narrowed(values: Whole) -> Whole:
    """The same numbers, in 64 bits if these hold them."""
    return values.astype(np.int64) if values.dtype == object and largest(values) < _ROOM else values


def times(values: Whole, by: int | Whole) -> Whole:
    """The products."""
    if isinstance(by, int) and by == 1:
        return values
    most = abs(by) if isinstance(by, int) else largest(by)
    if values.dtype == object or largest(values) * most >= _ROOM or most >= _ROOM:
        return np.asarray(values.astype(object) * by)
    return np.asarray(values * by)


def plus(left: Whole, right: Whole) -> Whole:
    """The sums."""
    if object not in {left.dtype, right.dtype} and largest(left) + largest(right) >= _ROOM:
        left = left.astype(object)
    return np.asarray(left + right)


def least(values: Whole, bound: int) -> Whole:
    """Each of these, ``bound`` at most."""
    return np.minimum(values if abs(bound) < _ROOM else values.astype(object), bound)


def most(values: Whole, bound: int) -> Whole:
    """Each of these, ``bound`` at least."""
    return np.maximum(values if abs(bound) < _ROOM else values.astype(object), bound)


def common_unit(*units: Fraction) -> Fraction:
    """The largest number of which all of these (not all zero) are multiples."""
    below = lcm(*(unit.denominator for unit in units))
    return Fraction(gcd(*(unit.numerator * (below // unit.denominator) for unit in units)), below)


def in_unit(column: Column, unit: Fraction) -> Whole:
    """A column (without ``over``) counted in a unit that divides its own."""
    return times(column.values, int(column.unit / unit))


def added(left: Column, right: Column) -> Column:
    """The sums of two columns."""
    if left.over is None and right.over is None:
        unit = common_unit(left.unit, right.unit)
        return Column(plus(in_unit(left, unit), in_unit(right, unit)), unit)
    ones = np.ones(len(left.values), dtype=np.int64)
    mine, theirs = (ones if over is None else over for over in (left.over, right.over))
    unit = common_unit(left.unit, right.unit)
    values = plus(times(in_unit(left, unit), theirs), times(in_unit(right, unit), mine))
    return Column(values, unit, times(mine, theirs))


def rounded(column: Column, factor: Fraction, mode: RoundingMode) -> Whole:
    """``column * factor`` as whole numbers, divided once, rounded once, as ``_exact.rounded`` does it."""
    scale = column.unit * factor
    by, under = abs(scale.numerator), scale.denominator
    negative = column.values < 0 if len(column.values) and column.values.min() < 0 else None
    size = column.values if negative is None else np.abs(column.values)
    left = beyond = None
    if column.over is None:
        product = times(size, by)
    else:  # in two steps, so that the product need not be formed: size / over, then what is left of it
        product, left = _divided(size, column.over)
        more, left = _divided(times(left, by), column.over)
        product = plus(times(product, by), more)
        more, beyond = _divided(times(left, 2), column.over)
    if under >= _ROOM:
        product = product.astype(object)
    if mode == "down":
        found = product // under
    elif mode == "up":
        found = ((product if left is None else product + (left > 0)) + (under - 1)) // under
    else:  # in halves: so many, and ``beyond`` a little more
        halves = 2 * product if left is None else 2 * product + more
        if mode == "half_down":
            halves = halves - 1 if beyond is None else halves - (beyond == 0)
        found = (halves + under) // (2 * under)
        if mode == "half_even":
            odd = (found % 2 == 1) & (halves + under == found * (2 * under))
            found = found - (odd if beyond is None else odd & (beyond == 0))
    found = narrowed(-found if scale < 0 else found)
    return found if negative is None else np.where(negative, -found, found)


def _divided(values: Whole, by: Whole) -> tuple[Whole, Whole]:
    """Quotient and remainder of numbers not below zero."""
    quotient = values // by
    return quotient, values - quotient * by
