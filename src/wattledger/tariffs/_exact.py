"""Exact arithmetic of ratios of integers: one division, one rounding."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from math import gcd

from wattledger.tariffs._model import RoundingMode

EXACT_PLACES = 18
"""Where a ratio that no decimal can hold (a pro-rata share, a third of a month) is rounded, half to even."""


def rounded(numerator: int, denominator: int, mode: RoundingMode) -> int:
    """``numerator / denominator`` as a whole number; ``up`` is away from zero, ``down`` towards it, halves as named.

    >>> [rounded(n, 2, "half_up") for n in (-3, -1, 1, 3)], rounded(5, 2, "half_even"), rounded(5, 2, "half_down")
    ([-2, -1, 1, 2], 2, 2)
    >>> rounded(-7, 3, "up"), rounded(-7, 3, "down"), rounded(6, 3, "up")
    (-3, -2, 2)
    """
    size, rest = divmod(abs(numerator), denominator)
    if mode == "up":
        size += rest > 0
    elif mode != "down":
        twice = 2 * rest - denominator
        size += twice > 0 or (twice == 0 and (mode == "half_up" or (mode == "half_even" and size % 2 == 1)))
    return -size if numerator < 0 else size


def as_decimal(numerator: int, denominator: int) -> Decimal:
    """The ratio as a decimal number: exact when there is one, else to :data:`EXACT_PLACES` places.

    >>> as_decimal(3, 8), as_decimal(2, 3), as_decimal(1200, 100)
    (Decimal('0.375'), Decimal('0.666666666666666667'), Decimal('12'))
    """
    shared = gcd(numerator, denominator)
    numerator, denominator = numerator // shared, denominator // shared
    if denominator == 1:
        return Decimal(numerator)
    twos = (denominator & -denominator).bit_length() - 1
    rest, fives = denominator >> twos, 0
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    if rest != 1:
        return _with_places(rounded(numerator * 10**EXACT_PLACES, denominator, "half_even"), EXACT_PLACES)
    places = max(twos, fives)
    return _with_places(numerator * 10**places // denominator, places)


def _with_places(whole: int, places: int) -> Decimal:
    """``whole`` with the point moved; by text, because arithmetic would round to the context's digits."""
    return Decimal(f"{whole}e-{places}")


def as_ratio(value: Decimal) -> tuple[int, int]:
    """``value`` as integers: numerator and a power of ten (or 1)."""
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        msg = f"{value} is not a number"
        raise TypeError(msg)
    whole = int("".join(map(str, digits))) * (-1 if sign else 1)
    return (whole * 10**exponent, 1) if exponent >= 0 else (whole, 10**-exponent)


def exact_sum(values: Iterable[Decimal]) -> Decimal:
    """The sum with all its digits; ``+`` would round to the context's."""
    numerator, denominator = 0, 1
    for value in values:
        more, size = as_ratio(value)
        numerator, denominator = numerator * size + more * denominator, denominator * size
    return as_decimal(numerator, denominator)
