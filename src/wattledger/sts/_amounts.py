"""Amounts and power limits in 16 bits: an exponent of 2 bits and a mantissa of 14 (IEC 62055-41)."""

from __future__ import annotations

from wattledger.kernel import Problem

FIELD_MAX = 0xFFFF
_MANTISSAS = 1 << 14
# The least value of each exponent: one above the greatest of the exponent before it.
_UNITS = (1, 10, 100, 1000)
_OFFSETS = tuple(_MANTISSAS * sum(_UNITS[:exponent]) for exponent in range(4))
AMOUNT_MAX = _OFFSETS[3] + (_MANTISSAS - 1) * _UNITS[3]


class AmountRefused(Problem):
    """An amount is negative or does not go into one token."""

    slug = "sts-amount"
    title = "This amount does not go into a token"
    status = 422


def amount_to_field(*, units: int) -> int:
    """The field of ``units`` (0.1 kWh, 0.1 m³, 0.1 min or 1 W), rounded up: to the customer's favour.

    Raises :class:`AmountRefused` below 0 and above 18 201 624.
    """
    if not 0 <= units <= AMOUNT_MAX:
        raise AmountRefused(
            f"{units} units are outside a token's 0 to {AMOUNT_MAX}", remedy="share the amount between several tokens"
        )
    for exponent, (offset, unit) in enumerate(zip(_OFFSETS, _UNITS, strict=True)):
        mantissa = max(0, -((offset - units) // unit))
        if mantissa < _MANTISSAS:
            return exponent << 14 | mantissa
    raise AssertionError("the greatest exponent reaches the greatest amount")


def field_to_amount(*, field: int) -> int:
    """The units that a field stands for."""
    exponent, mantissa = divmod(field, _MANTISSAS)
    return _OFFSETS[exponent] + mantissa * _UNITS[exponent]
