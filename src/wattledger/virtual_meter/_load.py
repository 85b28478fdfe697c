"""What is used behind a meter: energy as a function of time, exact and without a memory."""

from __future__ import annotations

from typing import Protocol, final

import numpy as np
from numpy.typing import NDArray

Instants = NDArray[np.int64]
_DAY = 86_400


class Load(Protocol):
    """What flows through a meter.

    ``counted(at)`` is how many Wh have flowed by each instant (int64 epoch seconds) since a beginning of its own: it
    never falls. What a meter counts between two instants is the difference.
    """

    def counted(self, at: Instants) -> Instants:
        """Wh by each instant."""
        ...


@final
class DayLoad:
    """The same every day: ``day`` has the Wh of equal stretches of it, from midnight UTC on."""

    def __init__(self, day: Instants) -> None:
        if not len(day) or _DAY % len(day) or (day < 0).any():
            raise ValueError("a day's load is a number of stretches that divide it, none of them negative")
        self._seconds = _DAY // len(day)
        self._day = np.asarray(day, dtype=np.int64)
        self._until = np.concatenate([[0], np.cumsum(self._day)]).astype(np.int64)

    def counted(self, at: Instants) -> Instants:
        """Wh by each instant; within a stretch they flow evenly."""
        days, within = np.divmod(at, _DAY)
        stretch, seconds = np.divmod(within, self._seconds)
        begun = self._until[stretch] + self._day[stretch] * seconds // self._seconds
        counted: Instants = days * self._until[-1] + begun
        return counted


@final
class SeriesLoad:
    """As in a file of intervals: ``values`` Wh of ``seconds`` each from ``start`` on; nothing before and after."""

    def __init__(self, *, start: int, seconds: int, values: Instants) -> None:
        if seconds <= 0 or (values < 0).any():
            raise ValueError("intervals have a length, and no negative energy")
        self._start, self._seconds = start, seconds
        self._values = np.concatenate([values, [0]]).astype(np.int64)
        self._until = np.concatenate([[0], np.cumsum(values)]).astype(np.int64)

    def counted(self, at: Instants) -> Instants:
        """Wh by each instant; within an interval they flow evenly."""
        last = len(self._values) - 1
        since = np.clip(at - self._start, 0, last * self._seconds)
        interval, seconds = np.divmod(since, self._seconds)
        counted: Instants = self._until[interval] + self._values[interval] * seconds // self._seconds
        return counted


NOTHING = DayLoad(np.zeros(1, dtype=np.int64))
"""No load: what is exported by a home without a roof."""
