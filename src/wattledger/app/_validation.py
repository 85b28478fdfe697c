"""Validation and decisions with everything that follows from them: the way in is the one of every delivery."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from wattledger import billing, control, prepay, pricing, readings, registry
from wattledger.kernel import Clock, Period, epoch
from wattledger.readings import vee
from wattledger.store import Store, Transaction, chunked

_POINTS_TOGETHER = 2_000
_WATTS_MAX = 10**10  # ten gigawatts: no fuse lets more through, and what says so is not believed
_FUSES = ("fuse_kw", "contracted_kw")
"""The facts of a contract that say what its point can take at most; the first that is told counts."""


def take_in(
    tx: Transaction, /, *, batches: Sequence[readings.IntervalBatch], now: datetime
) -> Sequence[readings.Receipt]:
    """Store batches, note what is late for a bill, charge the wallets once for all of them."""
    receipts = [readings.ingest(tx, batch=batch, now=now) for batch in batches]
    for receipt in receipts:
        billing.note_late(tx, changes=receipt.changes, batch_id=receipt.batch_id, now=now)
    prepay.deduct(tx, changes=[change for receipt in receipts for change in receipt.changes], now=now)
    for receipt in receipts:
        pricing.watch_loads(tx, changes=receipt.changes, now=now)
    return receipts


def beside(tx: Transaction, /, *, service_point_ids: Sequence[str], period: Period, seconds: int) -> vee.Known:
    """The power that contracts tell of; the time in which no contract was in force or the supply was off."""
    rows = {point: row for row, point in enumerate(service_point_ids)}
    watts = np.zeros(len(rows), dtype=np.int64)
    active: NDArray[np.bool_] = np.zeros((len(rows), period.seconds // seconds), dtype=np.bool_)
    for segment in registry.segments_of_points(tx, service_point_ids=service_point_ids, period=period):
        row = rows[segment.service_point_id]
        told = next((segment.facts[name] for name in _FUSES if name in segment.facts), None)
        watts[row] = _watts(told) or watts[row]
        first, last = ((epoch(at) - epoch(period.start)) // seconds for at in (segment.bill.start, segment.bill.end))
        active[row, max(first, 0) : max(last, 0)] = True
    active[~active.any(axis=1)] = True  # of a point without any contract nothing is known
    for point, supply in control.supplies(tx, service_point_ids=service_point_ids).items():
        if supply.state == "off" and supply.since is not None:
            active[rows[point], max(-(-(epoch(supply.since) - epoch(period.start)) // seconds), 0) :] = False
    return vee.Known(watts=watts, active=active)


def _watts(told: str | None) -> int:
    """A power told in kW; 0: not known."""
    try:
        watts = 1000 * Decimal(told or 0)
        return int(watts) if 0 < watts <= _WATTS_MAX else 0
    except ArithmeticError:  # no number, or one beyond all numbers
        return 0


def known_points(tx: Transaction, *, named: Collection[str]) -> list[str]:
    """These points, each once, in order; raises :class:`~wattledger.registry.ServicePointUnknown`."""
    asked = {point for point in named if point.isprintable()}  # no database is asked for others
    unknown = sorted(set(named) - asked | registry.unknown_points(tx, service_point_ids=asked))
    if unknown:
        raise registry.ServicePointUnknown(
            f"no service point is called {unknown[0]!r}"
            + (f", and {len(unknown) - 1} more are not there" if unknown[1:] else ""),
            remedy="name those that the registry has, or none for all",
        )
    return sorted(set(named))


class Desk:
    """Where what is stored is validated and decided about."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        wake: Callable[[], None],
        rules: vee.Rules | None = None,
        policy: readings.DecisionPolicy | None = None,
    ) -> None:
        self._store, self._clock, self._wake = store, clock, wake
        self._rules = rules or vee.shipped_rules()
        self._policy = policy or readings.DecisionPolicy()

    def validate(
        self,
        *,
        period: Period,
        points: Collection[str] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> readings.Validated:
        """Validate a period, some thousand points in one unit of work: what is done stays done.

        Raises :class:`~wattledger.registry.ServicePointUnknown` for points that are named and not there.
        """
        with self._store.read() as tx:
            listed = readings.stored_points(tx) if points is None else known_points(tx, named=points)
        done = 0
        parts = []
        for piece in chunked(listed, _POINTS_TOGETHER) if listed else [[]]:
            with self._store.write() as tx:
                parts.append(
                    readings.validate(
                        tx,
                        period=period,
                        rules=self._rules,
                        now=self._clock.now(),
                        take_in=take_in,
                        worth=pricing.worth_of,
                        beside=beside,
                        service_point_ids=piece,
                    )
                )
            done += len(piece)
            if progress is not None:
                progress(done, len(listed))
        self._wake()
        return readings.Validated.joined(parts)

    def decide(self, *, exception_id: str, decision: readings.Decision, preview: bool = False) -> readings.Decided:
        """Carry out a decision, or tell what it would come to."""
        with self._store.read() if preview else self._store.write() as tx:
            decided = readings.decide(
                tx,
                exception_id=exception_id,
                decision=decision,
                rules=self._rules,
                now=self._clock.now(),
                policy=self._policy,
                take_in=take_in,
                worth=pricing.worth_of,
                preview=preview,
            )
        if not preview:
            self._wake()
        return decided
