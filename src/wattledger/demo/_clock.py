"""The town's clock: moved by hand while history is made, then running faster than life."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from wattledger.kernel import Problem

_NANOSECONDS_A_MICROSECOND = 1000
_SPEED_MAX = 3600


class SpeedRefused(Problem):
    """A town cannot live at this speed."""

    slug = "town-speed-refused"
    title = "The town cannot run at this speed"
    status = 422


class TownClock:
    """A clock that stands still until :meth:`run`, then shows ``speed`` seconds for every second of life.

    ``monotonic_ns`` is the source of real time (``time.monotonic_ns``). Reckoned in integers: it neither drifts nor
    goes back. Safe to ask from any thread.
    """

    def __init__(self, *, start: datetime, speed: int, monotonic_ns: Callable[[], int]) -> None:
        if not 1 <= speed <= _SPEED_MAX:
            raise SpeedRefused(
                f"{speed} seconds of town time a second", remedy=f"choose --speed between 1 and {_SPEED_MAX}"
            )
        self.speed = speed
        self._monotonic_ns = monotonic_ns
        self._lock = threading.Lock()
        self._anchor = start.astimezone(UTC)
        self._anchor_ns: int | None = None

    def now(self) -> datetime:
        """The town's present instant, in UTC."""
        with self._lock:
            return self._shown()

    @property
    def running(self) -> bool:
        """Whether the clock moves by itself."""
        return self._anchor_ns is not None

    def run(self) -> None:
        """Let the clock run from the instant it shows."""
        with self._lock:
            self._anchor, self._anchor_ns = self._shown(), self._monotonic_ns()

    def stand_still(self) -> None:
        """Stop the clock at the instant it shows."""
        with self._lock:
            self._anchor, self._anchor_ns = self._shown(), None

    def move_to(self, instant: datetime) -> None:
        """Move a clock that stands still forward to ``instant``; one that shows a later instant stays."""
        with self._lock:
            if self._anchor_ns is not None:
                msg = "a running clock is not moved by hand"
                raise ValueError(msg)
            self._anchor = max(self._anchor, instant.astimezone(UTC))

    def seconds_of_life_until(self, instant: datetime) -> float:
        """How long somebody who sleeps has to sleep until the clock shows ``instant``; 0 when it has."""
        return max(0.0, (instant - self.now()).total_seconds() / self.speed)

    def _shown(self) -> datetime:
        if self._anchor_ns is None:
            return self._anchor
        passed = (self._monotonic_ns() - self._anchor_ns) * self.speed // _NANOSECONDS_A_MICROSECOND
        return self._anchor + timedelta(microseconds=passed)
