"""The clock is a thing handed in, so that a town can run faster than life and a test can stand still."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the time of the system it is handed to."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        return datetime.now(tz=UTC)


class ManualClock:
    """A clock that stands still until it is moved; never backwards."""

    def __init__(self, start: datetime) -> None:
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        """The instant the clock was last moved to."""
        return self._now

    def move_to(self, instant: datetime) -> None:
        """Move the clock forward to ``instant``; a clock never goes back."""
        if instant < self._now:
            msg = f"the clock stands at {self._now} and cannot go back to {instant}"
            raise ValueError(msg)
        self._now = instant.astimezone(UTC)

    def advance(self, step: timedelta) -> None:
        """Move the clock forward by ``step``."""
        self.move_to(self._now + step)
