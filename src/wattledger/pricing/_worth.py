"""What energy at stake is worth: so many kilowatt-hours at the mean price of their time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wattledger import registry, tariffs
from wattledger.kernel import Money, Period, epoch
from wattledger.pricing._counting import WAITS
from wattledger.pricing._signals import signals
from wattledger.readings import Stake
from wattledger.registry import Segment
from wattledger.store import Transaction
from wattledger.tariffs import Signals, Tariff

_MICRO = 1_000_000
_KILO = 1_000
_POWER = frozenset({"reactive", "demand"})
"""Channels that do not count kilowatt-hours."""


def worth_of(tx: Transaction, *, stakes: Sequence[Stake]) -> list[Money | None]:
    """What each of some amounts of energy comes to at the price of the first tier, weighted by the time of its stretch.

    A measure of what is at stake, not a bill: steps, minimums and demand do not come into it, and every channel of
    energy is taken at the price of import. ``None`` for what no tariff prices. For thousands at once.
    """
    amounts: list[Money | None] = [None] * len(stakes)
    if not stakes:
        return amounts
    period = Period(min(s.period.start for s in stakes), max(s.period.end for s in stakes))
    by_point: dict[str, list[Segment]] = defaultdict(list)
    points = {stake.service_point_id for stake in stakes if stake.channel not in _POWER}
    for segment in registry.segments_of_points(tx, service_point_ids=points, period=period):
        by_point[segment.service_point_id].append(segment)
    told = signals(tx, tariffs={s.tariff for of in by_point.values() for s in of}, period=period)
    wanted: dict[tuple[Tariff, str], list[tuple[int, int, int]]] = defaultdict(list)
    for number, stake in enumerate(stakes):
        for segment in by_point.get(stake.service_point_id, ()) if stake.channel not in _POWER else ():
            part = segment.period.intersection(stake.period)
            if part is not None:
                wanted[segment.tariff, segment.zone].append((number, epoch(part.start), epoch(part.end)))
    totals = defaultdict[int, list[int]](lambda: [0, 0])
    currencies: dict[int, str] = {}
    for (tariff, zone), asked in wanted.items():
        numbers, starts, ends = (np.array(column, dtype=np.int64) for column in zip(*asked, strict=True))
        paid, seconds = _paid(tariff, zone, starts, ends, told)
        for number, one, length in zip(numbers.tolist(), paid.tolist(), seconds.tolist(), strict=True):
            totals[number][0] += one
            totals[number][1] += length
            currencies[number] = tariff.currency
    for number, (paid_so_far, length) in totals.items():
        if length:
            micro = stakes[number].wh * paid_so_far // (length * _KILO)
            amounts[number] = Money(micro, currencies[number])
    return amounts


def _paid(
    tariff: Tariff, zone: str, starts: NDArray[np.int64], ends: NDArray[np.int64], told: Signals
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The integral of the price (micro-units a kWh) over stretches, and their seconds; both 0 where none is known."""
    try:
        whole = Period.of_epochs(int(starts.min()), int(ends.max()))
        spans = tariffs.prices_between(tariff=tariff, period=whole, zone=zone, signals=told)
    except WAITS:
        spans = []
    if not spans:
        return np.zeros_like(starts), np.zeros_like(starts)
    edges = np.array([epoch(spans[0].period.start), *(epoch(span.period.end) for span in spans)], dtype=np.int64)
    prices = np.array([int(span.price * _MICRO) for span in spans], dtype=np.int64)
    until = np.concatenate(([0], np.cumsum(prices * np.diff(edges))))
    first, last = (np.clip(at, edges[0], edges[-1]) for at in (starts, ends))
    paid = [
        until[step] + prices[step] * (at - edges[step])
        for at in (first, last)
        for step in (np.clip(np.searchsorted(edges, at, side="right") - 1, 0, len(prices) - 1),)
    ]
    return paid[1] - paid[0], last - first
