"""Columns of a notebook (pandas, Polars, NumPy, lists) as readings."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattledger.kernel import IntervalSeries, Problem, Quality, epoch
from wattledger.tariffs._document import shown
from wattledger.tariffs._plan import DECIMALS, UNITS

_MOST_KWH = (2**63 - 1) // UNITS


class ColumnsDoNotFit(Problem):
    """Columns that cannot be read as intervals."""

    slug = "columns-do-not-fit"
    title = "These columns are no readings"
    status = 422


def series_of(*, starts: Any, kwh: Any, seconds: int | None = None) -> IntervalSeries:  # noqa: ANN401 - any column
    """Readings from a column of interval starts (aware datetimes, in any order) and one of kWh.

    Columns are pandas or Polars series, NumPy arrays or lists. Energy is exact: integers, ``Decimal``, or floats taken
    for the decimal number of up to nine places that they were written as; what is null or not a number is missing.
    ``seconds`` is the intervals' length, when not given the smallest distance of the starts. Raises
    :class:`ColumnsDoNotFit`.
    """
    if seconds is not None and (type(seconds) is not int or seconds <= 0):
        raise ColumnsDoNotFit(f"intervals of {seconds!r} s: a whole number of seconds above 0 is expected")
    instants, (units, known) = _instants(starts), _units(kwh)
    if len(instants) != len(units):
        raise ColumnsDoNotFit(f"{len(instants)} starts and {len(units)} values")
    order = np.argsort(instants, kind="stable")
    instants, units, known = instants[order], units[order], known[order]
    gaps = np.diff(instants)
    if len(gaps) and gaps.min() <= 0:
        twice = np.datetime64(int(instants[int(np.argmin(gaps))]), "s")
        raise ColumnsDoNotFit(f"two intervals begin at {twice}Z", remedy="keep one value for each interval")
    length = seconds or (int(gaps.min()) if len(gaps) else 900)
    if len(gaps) and gaps.min() < length:
        raise ColumnsDoNotFit(f"intervals of {length} s begin {int(gaps.min())} s apart")
    qualities = np.where(known, Quality.ACTUAL, Quality.MISSING).astype(np.uint8)
    return IntervalSeries(instants, units, qualities, length, DECIMALS)


def _instants(column: Any) -> NDArray[np.int64]:  # noqa: ANN401 - any column
    accessor = getattr(column, "dt", None)
    if accessor is not None and hasattr(accessor, "epoch"):  # Polars
        if getattr(column.dtype, "time_zone", None) is None:
            raise _without_zone()
        _refuse_nulls(int(column.null_count()))
        return np.asarray(accessor.epoch("s").to_numpy(), dtype=np.int64)
    if accessor is not None and hasattr(accessor, "tz_convert"):  # pandas
        if getattr(column.dtype, "tz", None) is None:
            raise _without_zone()
        _refuse_nulls(int(column.isna().sum()))
        return np.asarray(accessor.tz_convert("UTC").dt.tz_localize(None).to_numpy("datetime64[s]"), dtype=np.int64)
    values = list(column)
    if not all(isinstance(value, datetime) and value.tzinfo is not None for value in values):
        raise _without_zone()
    return np.array([epoch(value) for value in values], dtype=np.int64)


def _refuse_nulls(count: int) -> None:
    if count:
        raise ColumnsDoNotFit(f"{count} of the starts are null", remedy="leave rows without a start out")


def _without_zone() -> ColumnsDoNotFit:
    return ColumnsDoNotFit(
        "the starts are not all instants with a time zone",
        remedy="say where their clock stands, in pandas with .dt.tz_localize, in Polars with .dt.replace_time_zone",
    )


def _units(column: Iterable[Any]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Values in 1e-9 kWh, and which of them are known."""
    array = column.to_numpy() if hasattr(column, "to_numpy") else np.asarray(column)
    if array.ndim != 1:
        raise ColumnsDoNotFit(f"one column of kWh is expected, not an array of {array.ndim} dimensions")
    if array.dtype.kind in "iu":
        _refuse_beyond(int(array.max()) if len(array) else 0)
        _refuse_beyond(int(array.min()) if len(array) else 0)
        return array.astype(np.int64) * UNITS, np.ones(len(array), dtype=np.bool_)
    if array.dtype.kind == "f":
        known = ~np.isnan(array)
        values = np.where(known, array, 0)
        _refuse_beyond(np.abs(values).max() if len(array) else 0)
        return np.rint(values * UNITS).astype(np.int64), known
    whole = [_unit(value) for value in array.tolist()]
    known = np.array([value is not None for value in whole], dtype=np.bool_)
    return np.array([value or 0 for value in whole], dtype=np.int64), known


def _unit(value: Any) -> int | None:  # noqa: ANN401 - whatever a column holds
    if value is None or type(value).__name__ == "NAType":  # pandas' null, which is equal to nothing and not unequal
        return None
    if not isinstance(value, Number) or isinstance(value, bool | complex):
        raise ColumnsDoNotFit(
            f"{shown(value)} is no number of kWh", remedy="make the column one of numbers before it is rated"
        )
    if value != value:  # noqa: PLR0124 - NaN
        return None
    _refuse_beyond(value)
    units: int = round(value * UNITS)
    return units


def _refuse_beyond(kwh: Any) -> None:  # noqa: ANN401 - a number of any type
    if abs(kwh) > _MOST_KWH:
        raise ColumnsDoNotFit(
            f"an interval of {shown(kwh)} kWh: at most {_MOST_KWH:,} can be counted", remedy="check the column's unit"
        )
