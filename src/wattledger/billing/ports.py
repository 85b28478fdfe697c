"""What ``billing`` asks of whoever keeps the wallets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from wattledger.kernel import Money, Period
from wattledger.registry import Segment
from wattledger.store import Transaction

Stage = Callable[[str], object]
"""Is told the name of what begins, by work that somebody wants to watch."""


def unwatched(stage: str, /) -> None:
    """Nobody watches."""


class Deductions(Protocol):
    """Tells what prepaid contracts were charged."""

    def close(self, tx: Transaction, *, segments: Sequence[Segment], now: datetime) -> Mapping[str, Money]:
        """Reckon whole segments to their end and return each contract's deductions for them."""
        ...

    def stated(self, tx: Transaction, *, statements: Mapping[str, tuple[str, Period]]) -> None:
        """Remember which statement (by its id) tells a contract what it was deducted for a stretch of time.

        Whatever is deducted or returned for that time from now on is a correction of that statement.
        """
        ...
