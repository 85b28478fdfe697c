"""A channel's intervals as columns: the one shape in which readings travel between rooms."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum
from typing import TYPE_CHECKING, Self

import numpy as np

from wattledger.kernel.times import Period, epoch

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from numpy.typing import NDArray


class Quality(IntEnum):
    """How sure a value is. Stored as one byte; the numbers are for ever."""

    MISSING = 0
    """No value is known; the number beside it means nothing."""
    ACTUAL = 1
    """Read from the meter."""
    ESTIMATED = 2
    """Computed from other readings; to be replaced when the actual one arrives."""
    SUBSTITUTED = 3
    """Put in by a person or declared final by the data's provider."""
    SUSPECT = 4
    """Read from the meter but doubted by a check."""


@dataclass(frozen=True, slots=True, eq=False)
class IntervalSeries:
    """One channel's intervals, ascending and without duplicates.

    ``starts``     int64, epoch seconds (UTC) of each interval's start, strictly increasing
    ``values``     int64, energy in units of ``10**-decimals`` kWh (``decimals=3``: watt-hours)
    ``qualities``  uint8, :class:`Quality`
    ``seconds``    length of every interval
    ``decimals``   decimal places of a kWh that one unit stands for, 0 to 9

    Gaps are allowed: an interval that is not listed is missing, just as one flagged MISSING is.
    """

    starts: NDArray[np.int64]
    values: NDArray[np.int64]
    qualities: NDArray[np.uint8]
    seconds: int
    decimals: int = 3

    def __post_init__(self) -> None:
        if not len(self.starts) == len(self.values) == len(self.qualities):
            msg = "starts, values and qualities differ in length"
            raise ValueError(msg)
        if len(self.starts) > 1 and not bool(np.all(np.diff(self.starts) >= self.seconds)):
            msg = "intervals must be ascending and must not overlap"
            raise ValueError(msg)

    @classmethod
    def of(
        cls,
        readings: Iterable[tuple[datetime, int]],
        *,
        seconds: int = 900,
        quality: Quality = Quality.ACTUAL,
        decimals: int = 3,
    ) -> Self:
        """A series from ``(start, value)`` pairs in ascending order, all of one quality."""
        pairs = [(epoch(start), value) for start, value in readings]
        return cls(
            starts=np.array([start for start, _ in pairs], dtype=np.int64),
            values=np.array([value for _, value in pairs], dtype=np.int64),
            qualities=np.full(len(pairs), quality, dtype=np.uint8),
            seconds=seconds,
            decimals=decimals,
        )

    @classmethod
    def empty(cls, *, seconds: int = 900, decimals: int = 3) -> Self:
        """A series without intervals."""
        return cls.of([], seconds=seconds, decimals=decimals)

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def period(self) -> Period | None:
        """From the first interval's start to the last one's end; ``None`` when empty."""
        if not len(self.starts):
            return None
        return Period.of_epochs(int(self.starts[0]), int(self.starts[-1]) + self.seconds)

    @property
    def kilowatt_hours(self) -> Decimal:
        """The exact sum of all values that are not missing."""
        return Decimal(int(self.values[self.qualities != Quality.MISSING].sum())).scaleb(-self.decimals)

    def within(self, period: Period) -> Self:
        """The intervals that start within ``period`` (views, not copies)."""
        first, last = self.starts.searchsorted((epoch(period.start), epoch(period.end)))
        return self if last - first == len(self.starts) else self.picked(slice(first, last))

    def picked(self, which: slice | NDArray[np.bool_] | NDArray[np.int64]) -> Self:
        """The intervals that ``which`` (a slice, a mask, ascending indexes) picks; being in order, not checked anew."""
        part = object.__new__(type(self))
        for name, value in (
            ("starts", self.starts[which]),
            ("values", self.values[which]),
            ("qualities", self.qualities[which]),
            ("seconds", self.seconds),
            ("decimals", self.decimals),
        ):
            object.__setattr__(part, name, value)
        return part
