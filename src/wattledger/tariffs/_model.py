"""What a tariff is made of, once its document was found sound. What each clause means: docs/tariff-language.md.

Whatever a price can depend on is told *by cell*: a tuple with one value for each :class:`Cell` of the tariff.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Counter = Literal["all_periods", "per_period", "per_channel"]
Basis = Literal["month", "day", "bill", "quarter", "year", "rolling"]
Allocation = Literal["chronological", "pro_rata", "reached_slab"]
LimitPer = Literal["demand_kw", "contracted_kw", "person"]
ProrationRule = Literal["none", "days", "exact", "standard_days"]
Per = Literal["day", "month", "bill", "quarter", "year"]
Statistic = Literal["max", "mean_of_highest", "daily_mean"]
RoundingMode = Literal["half_up", "half_even", "half_down", "up", "down"]
MissingPrice = Literal["refuse", "last", "estimate"]
NettingPer = Literal["none", "interval", "day", "bill"]
BankUnit = Literal["kwh", "money"]
LoadAction = Literal["adder", "factor", "notice", "curtail"]

IMPORT = "import"
EXPORT = "export"


@dataclass(frozen=True, slots=True)
class Cell:
    """A period in a season: the smallest thing a price can depend on.

    ``others`` are the periods of the tariff's further schedules, in their order.
    """

    season: str | None
    period: str
    others: tuple[str, ...] = ()

    def in_schedule(self, schedule: int) -> str:
        """The period in schedule ``schedule``; 0 is the tariff's own ``periods``."""
        return self.period if schedule == 0 else self.others[schedule - 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """A rounding: to so many places (of the currency, or of the quantity's unit)."""

    places: int
    mode: RoundingMode


@dataclass(frozen=True, slots=True, kw_only=True)
class Proration:
    """How what is for a month (quarter, year, bill) is cut in a bill of another length.

    ``rule``    ``none``; ``days``: the bill's share of the days of each calendar month it touches, added up;
                ``exact``: the same by seconds; ``standard_days``: the bill's days over ``days`` (``365/12`` is allowed)
    ``unless``  the bill counts as one whole month if it has from so many to so many days, both included
    ``places``  how the fraction is rounded, if it is
    """

    rule: ProrationRule
    days: tuple[int, int] = (30, 1)
    unless: tuple[int, int] | None = None
    places: Places | None = None


WHOLE = Proration(rule="none")
BY_DAYS = Proration(rule="days")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiers:
    """How a charge's tiers are counted.

    ``months``    of a rolling basis: the counter is the energy of so many calendar months, the current one included
    ``starts``    the month (1 to 12) in which a year or its quarters begin
    ``per``       the limits are multiplied by this: a fact of the contract, or the month's highest demand
    ``rounding``  of the limits in kWh, once they are prorated and multiplied
    """

    counter: Counter
    basis: Basis
    allocation: Allocation
    proration: Proration
    months: int = 0
    starts: int = 1
    per: LimitPer | None = None
    rounding: Places | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FactTest:
    """A test of a fact of the contract: a number ``over`` and ``up_to`` (included), or a text ``among`` these."""

    fact: str
    over: Decimal | None = None
    up_to: Decimal | None = None
    among: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """When a charge applies: the bill's energy taken in kWh is over ``over`` and at most ``up_to``, and facts hold.

    ``proration`` cuts the two limits as tiers' limits are cut.
    """

    over: Decimal | None = None
    up_to: Decimal | None = None
    proration: Proration = WHOLE
    facts: tuple[FactTest, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexPrice:
    """A price from a published series: ``min(cap, max(floor, scale * value + adder))``.

    ``scale`` and ``adder`` are by cell. ``estimate`` is the value taken for a missing one where ``missing`` says so.
    """

    series: str
    scale: tuple[Decimal, ...]
    adder: tuple[Decimal, ...]
    cap: Decimal | None
    floor: Decimal | None
    missing: MissingPrice
    estimate: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyCharge:
    """A price per kWh of energy taken, or (``export``) a credit per kWh given back.

    ``channels``  whose energy it prices
    ``prices``    for each cell the price of each tier; with ``index`` one price, 0
    ``limits``    for each cell the upper bound of each tier but the last, cumulative
    ``lines``     for each cell which of the charge's lines it adds to
    ``schedule``  whose periods its prices and counters go by; 0 is the tariff's own
    """

    name: str
    clause: str
    channels: tuple[str, ...]
    export: bool
    schedule: int
    prices: tuple[tuple[Decimal, ...], ...]
    limits: tuple[tuple[Decimal, ...], ...]
    lines: tuple[int, ...]
    tiers: Tiers | None
    index: IndexPrice | None = None
    when: Condition | None = None

    def counters(self, cells: Sequence[Cell]) -> tuple[int, ...]:
        """For each cell which of the charge's tier counters its energy adds to."""
        if self.tiers is None or self.tiers.counter != "per_period":
            return (0,) * len(cells)
        names = list(dict.fromkeys(cell.in_schedule(self.schedule) for cell in cells))
        return tuple(names.index(cell.in_schedule(self.schedule)) for cell in cells)

    def order_matters(self, cells: Sequence[Cell]) -> bool:
        """Whether the bill depends on when energy was used within a counter, not only on how much."""
        if self.tiers is None or self.tiers.allocation != "chronological":
            return False
        told_apart: dict[int, set[tuple[int, tuple[Decimal, ...]]]] = {}
        for counter, line, limits in zip(self.counters(cells), self.lines, self.limits, strict=True):
            told_apart.setdefault(counter, set()).add((line, limits))
        return any(len(kinds) > 1 for kinds in told_apart.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratchet:
    """The billed demand is at least ``percent`` (by cell) of the highest of the last ``months`` calendar months.

    ``of`` are the calendar months (1 to 12) that count; the current month is not among the looked-back ones.
    """

    percent: tuple[Decimal, ...]
    months: int
    of: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contracted:
    """Demand contracted in kW: a number, or the fact ``contracted_kw``.

    The contracted kW are the least that is billed (where ``billed``), and kW above a band's ``over`` percent of the
    contracted are billed at ``factor`` times the price, up to the next band.
    """

    kw: Decimal | None
    billed: bool
    bands: tuple[tuple[Decimal, Decimal], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandCharge:
    """A price per kW of the highest mean power over ``window`` minutes, of each group of cells on its own.

    ``sliding``   the window starts at every interval, not only at multiples of its length
    ``statistic`` ``max``; ``mean_of_highest``: of the ``highest`` greatest (of different days, if ``days_apart``);
                  ``daily_mean``: the mean of the days' maxima
    ``groups``    for each cell which maximum it takes part in; -1: in none
    ``prices``    for each cell the price of each tier per kW and ``per``; equal within a group
    ``limits``    for each cell the kW at which each tier but the last ends
    ``minimum``   the least kW billed
    ``rounding``  of the kW
    """

    name: str
    clause: str
    channel: str
    schedule: int
    window: int
    sliding: bool
    statistic: Statistic
    highest: int
    days_apart: bool
    groups: tuple[int, ...]
    prices: tuple[tuple[Decimal, ...], ...]
    limits: tuple[tuple[Decimal, ...], ...]
    per: Per
    proration: Proration
    minimum: Decimal | None = None
    ratchet: Ratchet | None = None
    contracted: Contracted | None = None
    rounding: Places | None = None
    when: Condition | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadCharge:
    """What happens while the load is over a threshold.

    The mean power over windows of ``window`` minutes is over ``threshold_kw`` (or ``percent`` of the fact
    ``contracted_kw``) for at least ``duration`` minutes on end, in the cells that are ``watched``. From the moment the
    duration is reached until the load falls, an ``adder`` is charged per kWh, or the energy charges' price times
    ``factor - 1``; ``notice`` and ``curtail`` charge nothing.
    """

    name: str
    clause: str
    channel: str
    threshold_kw: Decimal | None
    percent: Decimal | None
    window: int
    duration: int
    watched: tuple[bool, ...]
    action: LoadAction
    prices: tuple[Decimal, ...]
    when: Condition | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedCharge:
    """An amount for time, used or not. ``times`` names a fact of the contract (a number) that multiplies it.

    ``rounding`` is of the quantity (days, months ...).
    """

    name: str
    clause: str
    price: Decimal
    per: Per
    proration: Proration
    times: str | None = None
    when: Condition | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MinimumCharge:
    """What the charges it ``covers`` come to at least; the difference is charged.

    A minimum for a year is settled in the bill in which the tariff's year ends.
    """

    name: str
    clause: str
    price: Decimal
    per: Per
    proration: Proration
    covers: tuple[str, ...]
    starts: int = 1
    times: str | None = None
    when: Condition | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PercentageCharge:
    """A percentage of earlier charges: a tax, a surcharge, or (below zero) a discount.

    ``of`` are the charges, each before this one; ``by_line`` rounds on each of their lines, not on their sum.
    """

    name: str
    clause: str
    kind: Literal["percentage", "tax"]
    rate: Decimal
    of: tuple[str, ...]
    by_line: bool
    when: Condition | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditCharge:
    """A subsidy or concession: ``price`` (above zero) per day, month ... or ``rate`` percent is taken off.

    Never more than the charges ``of`` come to, where these are named; ``most`` bounds the amount of a bill.
    """

    name: str
    clause: str
    price: Decimal | None
    per: Per
    proration: Proration
    rate: Decimal | None
    of: tuple[str, ...]
    most: Decimal | None = None
    times: str | None = None
    when: Condition | None = None


Charge = (
    EnergyCharge
    | DemandCharge
    | LoadCharge
    | FixedCharge
    | MinimumCharge
    | PercentageCharge
    | CreditCharge
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Bank:
    """Where surplus goes: kWh by price period, or money, until ``expires`` (a month: on its first day).

    ``across``    kWh of one period may pay for another's, dearest first, once its own is served
    ``cash_out``  what an expiring kWh is paid; 0 when nothing; money that expires is paid out or lost likewise (0 or 1)
    """

    unit: BankUnit
    expires: int | None
    across: bool
    cash_out: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Netting:
    """How energy given back meets energy taken, and what becomes of the rest."""

    per: NettingPer
    bank: Bank | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounding:
    """``line`` of every amount; ``quantity`` of kWh, ``price`` of a unit price, ``tax`` and ``bill``, where stated."""

    line: Places
    quantity: Places | None = None
    price: Places | None = None
    tax: Places | None = None
    bill: Places | None = None
