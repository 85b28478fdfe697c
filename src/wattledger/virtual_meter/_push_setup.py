"""What a meter sends unasked: its push setups, and what waits to be sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import final

from wattledger.dlms import Reference, obis

SCHEDULED, ALARM, LAST_GASP = obis("0-0:25.9.0"), obis("0-4:25.9.0"), obis("0-5:25.9.0")
"""Rows of the load profile; entries of the fraud log; that the power is gone."""

_WAITING_MAX = 200
_NAME = Reference(1, obis("0-0:42.0.0"), 2)


@dataclass(frozen=True, slots=True)
class PushSetup:
    """Class 40: ``objects`` to ``destination`` (``host:port``, empty: nothing is sent).

    ``spread``: over how many seconds the meters spread what all of them send at once. What cannot be delivered is tried
    ``retries`` times more, ``delay`` seconds later each, and then lost.
    """

    objects: tuple[Reference, ...]
    destination: str = ""
    spread: int = 0
    retries: int = 3
    delay: int = 60


def _telling(name: bytes, *objects: tuple[int, str, int]) -> PushSetup:
    told = (Reference(kind, obis(one), attribute) for kind, one, attribute in objects)
    return PushSetup((Reference(40, name, 1), _NAME, *told))


ON_WORKS: Mapping[bytes, PushSetup] = MappingProxyType(
    {
        SCHEDULED: _telling(SCHEDULED, (7, "1-0:99.1.0", 1), (7, "1-0:99.1.0", 3), (7, "1-0:99.1.0", 2)),
        ALARM: _telling(ALARM, (1, "0-0:97.98.0", 2), (7, "0-0:99.98.1", 1), (7, "0-0:99.98.1", 2)),
        LAST_GASP: _telling(LAST_GASP, (7, "0-0:99.98.0", 1), (7, "0-0:99.98.0", 2)),
    }
)
"""What a meter leaves the works with: nowhere to send to."""


@dataclass(frozen=True, slots=True)
class Due:
    """Something to be sent now: entries of a log, or rows of the profile stamped in ``(first, last]``."""

    setup: bytes
    entries: tuple[tuple[int, int], ...] = ()
    first: int = 0
    last: int = 0


@final
class Outbox:
    """What one meter has to send; ``shown``, and every other instant here, is epoch seconds by the meter's clock.

    ``number`` spreads what many meters send at once; ``period`` (seconds) is that of the rows where no other is told.
    """

    __slots__ = ("_every", "_number", "_until", "_waiting", "sent", "setups")

    def __init__(self, *, number: int, period: int) -> None:
        self.setups = ON_WORKS
        self.sent = 0
        """Notifications so far."""
        self._number, self._every, self._until = number, period, 0
        self._waiting: dict[bytes, tuple[tuple[int, int], ...]] = {}
        """By setup, the entries that wait."""

    def send_to(self, destination: str, *, every: int, shown: int) -> None:
        """All setups go there from now on, rows every so many seconds."""
        self.setups = {name: replace(setup, destination=destination) for name, setup in self.setups.items()}
        self._every = every
        self._until = self._slot(shown)

    def set(self, name: bytes, setup: PushSetup, *, shown: int) -> None:
        """Take another setup."""
        self.setups = {**self.setups, name: setup}
        self._until = self._until or self._slot(shown)

    def ask(self, name: bytes, *entries: tuple[int, int]) -> None:
        """Have it sent, with these entries, if there is somewhere to send it."""
        if self.setups[name].destination:
            self._waiting[name] = (*self._waiting.get(name, ()), *entries)[-_WAITING_MAX:]

    def has_due(self, *, shown: int) -> bool:
        """Whether anything is to be sent."""
        return bool(self._waiting) or self._rows_due(shown)

    def take(self, *, shown: int) -> list[Due]:
        """What is to be sent."""
        last = self._slot(shown)
        rows = self._waiting.pop(SCHEDULED, None) is not None or self._rows_due(shown)
        found = [Due(name, entries) for name, entries in self._waiting.items()]
        self._waiting.clear()
        if rows:
            found.append(Due(SCHEDULED, first=self._until, last=last))
            self._until = last
        return found

    def put_back(self, due: Due) -> None:
        """It could not be sent."""
        if due.setup == SCHEDULED:
            self._until = min(due.first, self._until)
        else:
            self._waiting[due.setup] = (*due.entries, *self._waiting.get(due.setup, ()))[-_WAITING_MAX:]

    def _rows_due(self, shown: int) -> bool:
        setup = self.setups[SCHEDULED]
        if not setup.destination:
            return False
        last = self._slot(shown)
        return last > self._until and shown >= last + self._number % (setup.spread + 1)

    def _slot(self, shown: int) -> int:
        return shown // self._every * self._every
