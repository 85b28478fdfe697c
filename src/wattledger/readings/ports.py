"""What validation is handed by those who know more: what energy is worth, what a point may use, where values go."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from wattledger.kernel import Money, Period
from wattledger.readings._batches import IntervalBatch, Receipt
from wattledger.readings._exceptions import Stake
from wattledger.readings._ingest import ingest
from wattledger.readings.vee import Known
from wattledger.store import Transaction


class Worth(Protocol):
    """What energy at stake is worth."""

    def __call__(self, tx: Transaction, /, *, stakes: Sequence[Stake]) -> Sequence[Money | None]:
        """The amount of each, with its sign; ``None`` where no tariff prices it."""
        ...


class TakeIn(Protocol):
    """The way in of every delivery: values are stored and money follows, in this unit of work."""

    def __call__(self, tx: Transaction, /, *, batches: Sequence[IntervalBatch], now: datetime) -> Sequence[Receipt]:
        """Store these batches, in order, and do what follows from them."""
        ...


class Beside(Protocol):
    """What is known of points beside their readings."""

    def __call__(self, tx: Transaction, /, *, service_point_ids: Sequence[str], period: Period, seconds: int) -> Known:
        """For these points, one a row, and the intervals of ``seconds`` in a period."""
        ...


def nothing_beside(_tx: Transaction, /, *, service_point_ids: Sequence[str], period: Period, seconds: int) -> Known:  # noqa: ARG001 - as Beside
    """Nothing is known but the readings."""
    return Known()


def worth_unknown(_tx: Transaction, /, *, stakes: Sequence[Stake]) -> Sequence[Money | None]:
    """Nobody knows what energy is worth."""
    return [None] * len(stakes)


def only_store(tx: Transaction, /, *, batches: Sequence[IntervalBatch], now: datetime) -> Sequence[Receipt]:
    """Store batches; nothing follows."""
    return [ingest(tx, batch=batch, now=now) for batch in batches]
