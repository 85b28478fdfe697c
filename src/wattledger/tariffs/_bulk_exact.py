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

_ROOM = 2**62
"""Half of what 64 bits hold, so that two of these may still be added."""


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
    size = np.abs(column.values)
    if column.over is None:
        product, left = times(size, by), None
    else:  # in two steps, so that the product need not be formed: size / over, then what is left of it
        over = column.over
        product, left = _divided(size, over)
        more, left = _divided(times(left, by), over)
        product = plus(times(product, by), more)
    found = narrowed(_rounded(product, under, left, column.over, mode))
    if scale < 0:
        found = -found
    negative = column.values < 0
    return np.where(negative, -found, found) if negative.any() else found


def _divided(values: Whole, by: int | Whole) -> tuple[Whole, Whole]:
    """Quotient and remainder of numbers not below zero."""
    if isinstance(by, int) and by >= _ROOM:
        values = values.astype(object)
    quotient = values // by
    return quotient, values - quotient * by


def _rounded(values: Whole, under: int, left: Whole | None, over: Whole | None, mode: RoundingMode) -> Whole:
    """``(values + left / over) / under`` as whole numbers; ``left`` is less than ``over``."""
    if under == 1 and left is None:
        return values
    size, rest = _divided(values, under)
    if mode == "down":
        return size
    if mode == "up":
        some = rest > 0 if left is None else (rest > 0) | (left > 0)
        return np.asarray(size + some)
    twice = 2 * (rest if under < _ROOM else rest.astype(object))
    beyond = None
    if left is not None and over is not None:
        carry, beyond = _divided(times(left, 2), over)
        twice = twice + carry
    half = twice == under if beyond is None else (twice == under) & (beyond == 0)
    above = twice > under if beyond is None else (twice > under) | ((twice == under) & (beyond > 0))
    if mode == "half_up":
        above = above | half
    elif mode == "half_even":
        above = above | (half & (size % 2 == 1))
    return np.asarray(size + above)
