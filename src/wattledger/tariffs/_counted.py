"""What one part of a bill counted for all of it: tier counters and the bill's usage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from wattledger.tariffs._counting import RatingState, plan_for
from wattledger.tariffs._history import History
from wattledger.tariffs._language import Tariff
from wattledger.tariffs._model import EXPORT
from wattledger.tariffs._netting import Netted, netted
from wattledger.tariffs._plan import Plan

USAGE = "usage|"
"""Beside the keys of counters: the energy taken."""


def counts_of(tariff: Tariff, state: RatingState) -> list[tuple[str | None, str, int]]:
    """(month, key, energy) that a part adds to tier counters, and to the bill's usage."""
    plan = plan_for(tariff, state)
    net = netted(tariff, plan, state)
    return [*counted_energy(tariff, plan, net), (None, USAGE, energy_taken(tariff, plan, net))]


def together(bill: int, counts: Iterable[Iterable[tuple[str | None, str, int]]]) -> History:
    months: dict[str, dict[str, dict[str, int]]] = {}
    whole: dict[str, int] = {}
    for month, key, energy in (one for of_part in counts for one in of_part):
        kept = whole if month is None else months.setdefault(month, {}).setdefault("energy", {})
        kept[key] = kept.get(key, 0) + energy
    return History(months=months, bill=(bill, whole))


def counted_energy(tariff: Tariff, plan: Plan, net: Netted) -> Iterator[tuple[str | None, str, int]]:
    """(month, key, energy) that a period added to tier counters; no month for those of the whole bill."""
    size = len(tariff.cells)
    for name, counter in plan.counters:
        if plan.energy[name].charge.tiers is None:
            continue
        for slot in (slot for unit in counter.units for slot in unit.slots):
            month = plan.windows[slot % plan.width // size][:7]
            yield None if counter.window == "bill" else month, counter.key, net.sums[slot]


def energy_taken(tariff: Tariff, plan: Plan, net: Netted) -> int:
    """The energy taken in a period."""
    return sum(
        sum(net.sums[number * plan.width : (number + 1) * plan.width])
        for number, channel in enumerate(tariff.channels)
        if channel != EXPORT
    )
