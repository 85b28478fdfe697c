"""Energy given back against energy taken, by day or bill, and the bank of what is left over."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from wattledger.tariffs._counting import RatingState
from wattledger.tariffs._language import Tariff
from wattledger.tariffs._model import EXPORT, IMPORT, EnergyCharge
from wattledger.tariffs._plan import Plan
from wattledger.tariffs._proration import next_month


class Netted(NamedTuple):
    """The energy of each slot once netted, what the bank then holds by period, and what it paid out.

    ``emptied`` says whether the bank expires at the end of this bill.
    """

    sums: Sequence[int]
    bank: dict[str, int]
    cashed: int
    emptied: bool


def netted(tariff: Tariff, plan: Plan, state: RatingState) -> Netted:
    """What is to be priced. Netting by the interval was done when the readings were counted."""
    rule = tariff.netting
    bank = {period: units for period, units in state.history.bank.items() if period != "money"}
    if (rule.per == "none" and rule.bank is None) or not {IMPORT, EXPORT} <= set(tariff.channels):
        return Netted(state.sums, bank, 0, emptied=False)
    sums = list(state.sums)
    taken, given = (tariff.channels.index(name) * plan.width for name in (IMPORT, EXPORT))
    groups = _groups(tariff, plan)
    if rule.per in {"day", "bill"}:
        for slots in groups.values():
            _cancel(sums, [taken + slot for slot in slots], [given + slot for slot in slots])
    if rule.bank is None:
        return Netted(sums, bank, 0, emptied=False)
    emptied = rule.bank.expires is not None and _ends_in_month_before(plan, rule.bank.expires)
    cashed = 0
    if rule.bank.unit == "kwh":
        by_period: dict[str, list[int]] = {}
        for (period, _), slots in groups.items():
            by_period.setdefault(period, []).extend(slots)
        _withdraw(sums, taken, bank, by_period, _dearest(tariff, list(by_period)) if rule.bank.across else ())
        _deposit(sums, given, bank, by_period)
        if emptied:
            cashed, bank = sum(bank.values()), {}
    return Netted(sums, bank, cashed, emptied)


def _withdraw(
    sums: list[int], taken: int, bank: dict[str, int], by_period: dict[str, list[int]], dearest: Sequence[str]
) -> None:
    """Serve each period from its own kWh, then those listed from everything that is left."""
    for period, slots in by_period.items():
        _serve(sums, [taken + slot for slot in slots], bank, period)
    for period in dearest:
        for other in sorted(bank):
            _serve(sums, [taken + slot for slot in by_period[period]], bank, other)


def _deposit(sums: list[int], given: int, bank: dict[str, int], by_period: dict[str, list[int]]) -> None:
    for period, slots in by_period.items():
        bank[period] = bank.get(period, 0) + sum(sums[given + slot] for slot in slots)
        for slot in slots:
            sums[given + slot] = 0


def _groups(tariff: Tariff, plan: Plan) -> dict[tuple[str, int], list[int]]:
    """The slots within which energy is netted: of one period, and of one day where it is by the day."""
    size = len(tariff.cells)
    found: dict[tuple[str, int], list[int]] = {}
    for slot in range(plan.width):
        window = slot // size if tariff.netting.per == "day" else 0
        found.setdefault((tariff.cells[slot % size].period, window), []).append(slot)
    return found


def _cancel(sums: list[int], taken: Sequence[int], given: Sequence[int]) -> None:
    """Take from both sides what they have in common, slot by slot first, then from the first on."""
    for mine, theirs in zip(taken, given, strict=True):
        common = min(sums[mine], sums[theirs])
        sums[mine] -= common
        sums[theirs] -= common
    for mine in taken:
        for theirs in given:
            common = min(sums[mine], sums[theirs])
            sums[mine] -= common
            sums[theirs] -= common


def _serve(sums: list[int], taken: Sequence[int], bank: dict[str, int], period: str) -> None:
    for slot in taken:
        served = min(sums[slot], bank.get(period, 0))
        if served:
            sums[slot] -= served
            bank[period] -= served


def _dearest(tariff: Tariff, periods: Sequence[str]) -> list[str]:
    def price(period: str) -> Decimal:
        of_cells = [n for n, cell in enumerate(tariff.cells) if cell.period == period]
        charges = [c for c in tariff.charges if isinstance(c, EnergyCharge) and IMPORT in c.channels]
        return max((sum((c.prices[n][0] for c in charges), start=Decimal(0)) for n in of_cells), default=Decimal(0))

    return sorted(periods, key=lambda period: (-price(period), period))


def _ends_in_month_before(plan: Plan, month: int) -> bool:
    """Whether the bill ends where the month (1 to 12) begins."""
    if plan.end < plan.bill.end or not plan.part.dates:
        return False
    last = plan.part.dates[-1]
    return plan.part.months[-1][2] <= plan.end and next_month(last.replace(day=1)).month == month
