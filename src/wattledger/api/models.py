"""What travels over HTTP. Every amount, price and quantity is a decimal string; every instant is ISO 8601 in UTC.

Amounts carry their currency beside them (ISO 4217), energy is in kWh, power in kW.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

PaymentMode = Literal["prepay", "postpay"]
SupplyState = Literal["on", "off", "disconnecting", "reconnecting"]
StepState = Literal["done", "pending", "not_needed", "not_enough"]
ExceptionState = Literal[
    "told", "open", "filled", "waiting", "accepted", "edited", "estimated", "rejected", "superseded"
]
DecisionAction = Literal["accept", "edit", "estimate", "reject"]
QualityName = Literal["missing", "actual", "estimated", "substituted", "suspect"]
BalanceState = Literal["ok", "low", "empty"]

_DECIMAL = r"^-?\d+(\.\d+)?$"
NAME = r"^[^\x00]*$"
"""What may be the name of something: no database is asked for others."""


class Model(BaseModel):
    """Base of all: unknown members are refused, instances are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Health(Model):
    """Is the system up, and what time does it live in?"""

    status: Literal["ok"]
    version: str
    store: Literal["sqlite", "postgresql"]
    now: datetime = Field(description="The system's own clock; a simulated town runs faster than life")
    clock_speed: int = Field(description="Seconds of the system's clock per second of life: 1 but in a simulated town")


class ContractSummary(Model):
    """One supply contract, for lists and pickers."""

    id: str
    account_id: str
    account_name: str
    service_point: str
    premise_kind: str = Field(description="home, shop, dormitory, building_site, cafe ...")
    mode: PaymentMode
    currency: str
    tariff: str


class ContractList(Model):
    """A page of contracts in the order of their ids."""

    items: list[ContractSummary]
    total: int


class AccountView(Model):
    """Who pays, and for which supplies."""

    id: str
    name: str
    language: str
    contracts: list[ContractSummary]


class BalanceView(Model):
    """A prepaid wallet, at this instant."""

    contract: str
    currency: str
    available: str = Field(pattern=_DECIMAL, description="Ledger balance less what has been used and not yet posted")
    ledger_balance: str = Field(pattern=_DECIMAL)
    accrued: str = Field(pattern=_DECIMAL, description="Used, priced, not yet posted to the ledger")
    state: BalanceState
    low_threshold: str = Field(pattern=_DECIMAL)
    days_left: int | None = Field(description="From own recent use; null while there is too little history")
    as_of: datetime


class TariffRef(Model):
    """Exactly which version of which tariff."""

    id: str
    version: str
    hash: str
    name: str


class SupplyView(Model):
    """Is the light on, and if not, why?"""

    state: SupplyState
    reason: str | None = Field(description="balance_exhausted, move_out, emergency ...; null while on without a story")
    since: datetime | None
    cut_off_at: datetime | None = Field(description="Announced: the supply goes off then unless money comes")


class NowView(Model):
    """The newest interval, as power and as cost per hour."""

    kw: str = Field(pattern=_DECIMAL)
    cost_per_hour: str = Field(pattern=_DECIMAL)
    interval_start: datetime
    interval_seconds: int
    age_seconds: int = Field(description="How long ago, by the system's clock, the interval ended")


class PriceSpan(Model):
    """A stretch of time with one price."""

    start: datetime
    end: datetime
    period: str = Field(description="The tariff's own name of the price period: peak, shoulder, off-peak ...")
    price: str = Field(pattern=_DECIMAL, description="Price per kWh at the tier that now applies")


class PriceNow(Model):
    """The price in force and when it changes."""

    period: str
    price: str = Field(pattern=_DECIMAL)
    changes_at: datetime | None
    next_period: str | None
    next_price: str | None


class PeriodUse(Model):
    """Energy and its cost in one price period."""

    period: str
    kwh: str = Field(pattern=_DECIMAL)
    cost: str = Field(pattern=_DECIMAL)


class IntervalView(Model):
    """One interval with its price period and quality."""

    start: datetime
    kwh: str | None = Field(description="null when missing")
    period: str
    quality: Literal["missing", "actual", "estimated", "substituted", "suspect"]


class TodayView(Model):
    """Today so far, by the service point's own calendar."""

    start: datetime
    end: datetime
    kwh: str = Field(pattern=_DECIMAL)
    cost: str = Field(pattern=_DECIMAL, description="Energy and fixed charges of today")
    fixed: str = Field(pattern=_DECIMAL)
    by_period: list[PeriodUse]
    interval_seconds: int
    intervals: list[IntervalView]


class NoticeView(Model):
    """A message that went to the customer, in both languages."""

    at: datetime
    kind: str
    text: dict[str, str] = Field(description="By language: en, zh")


class RechargeStep(Model):
    """One step on money's way to the light: paid, credited, sent_to_meter, supply_on.

    ``not_needed``: the supply was on. ``not_enough``: it stays off, more is owed than was paid.
    """

    step: Literal["paid", "credited", "sent_to_meter", "supply_on"]
    state: StepState
    at: datetime | None


class RechargeView(Model):
    """A recharge and how far it has come."""

    id: str
    contract: str
    amount: str = Field(pattern=_DECIMAL)
    currency: str
    method: str
    created_at: datetime
    balance_after: str = Field(pattern=_DECIMAL, description="Available right after the credit")
    steps: list[RechargeStep]
    complete: bool


class BillSoFar(Model):
    """Post-paid: what the running month has come to, and where it is heading."""

    amount: str = Field(pattern=_DECIMAL)
    forecast: str | None = Field(description="At the cycle's end if the days to come are like the days so far")
    cycle_start: datetime
    cycle_end: datetime


class UsualDay(Model):
    """Today beside the mean of up to the last 14 whole days, up to the same time of day."""

    today_kwh: str
    usual_kwh: str
    days: int


class HomeView(Model):
    """All the consumer's Home shows, in one answer."""

    contract: ContractSummary
    zone: str
    tariff: TariffRef
    now: datetime
    clock_speed: int
    balance: BalanceView | None = Field(description="null for post-paid contracts")
    bill_so_far: BillSoFar | None = Field(description="null for prepaid contracts")
    supply: SupplyView
    use_now: NowView | None
    price: PriceNow
    prices: list[PriceSpan] = Field(description="The next 24 hours")
    today: TodayView
    usual: UsualDay | None
    notices: list[NoticeView] = Field(description="The last three")
    recharge: RechargeView | None = Field(description="The latest, if it is not older than a day or not complete")
    suggested_recharges: list[str] = Field(description="Amounts worth about 10, 20 and 30 days of own use, rounded up")


class UsageView(Model):
    """A contract's use in a period, with the price period of every interval."""

    contract: str
    start: datetime
    end: datetime
    kwh: str = Field(pattern=_DECIMAL)
    by_period: list[PeriodUse]
    missing: int
    estimated: int
    interval_seconds: int
    intervals: list[IntervalView]


class RechargeRequest(Model):
    """Money to put on a wallet."""

    amount: str = Field(pattern=r"^\d+(\.\d{1,6})?$", examples=["20.00"])
    method: Literal["simulated"] = "simulated"


class BillLine(Model):
    """One charge of a bill: quantity x price = amount, rounded as the tariff says.

    ``clause`` is the path of what applied in the tariff's document; ``at`` when the demand of the line was measured;
    with ``averaged`` the price is what published prices came to per kWh.
    """

    charge: str
    kind: str
    period: str | None
    tier: int | None
    quantity: str
    unit: str
    price: str
    amount: str
    season: str | None
    clause: str
    at: datetime | None
    averaged: bool


class LineChange(Model):
    """One charge of a bill before and after; null where it did not stand on the bill."""

    tariff_version: str
    charge: str
    kind: str
    period: str | None
    season: str | None
    tier: int | None
    unit: str
    old_quantity: str | None
    new_quantity: str | None
    old_price: str | None
    new_price: str | None
    old_amount: str | None
    new_amount: str | None
    difference: str = Field(pattern=_DECIMAL)


class CorrectionCause(Model):
    """What came late for a bill, and the time it is of."""

    kind: Literal["readings", "fact", "event", "prices"]
    about: str = Field(description="The batch's id, or the name of the contract's fact, the event, the price series")
    channel: str | None
    start: datetime
    end: datetime
    intervals: int
    revised: bool = Field(description="A value that was known became another one; else it was missing before")
    noted_at: datetime
    more: int = Field(description="How many further causes are told together with this one")


class CorrectionView(Model):
    """A bill (or statement) that came to something else once more was known: old, new, line by line, and why."""

    bill: str
    number: int = Field(description="1 is the bill's first; each begins where the one before it ended")
    way: Literal["next_bill", "rebill", "wallet"] = Field(
        description="A line on the next bill; cancelled and made anew; taken from or given back to the wallet"
    )
    currency: str
    old_total: str = Field(pattern=_DECIMAL)
    new_total: str = Field(pattern=_DECIMAL)
    difference: str = Field(pattern=_DECIMAL)
    lines: list[LineChange]
    causes: list[CorrectionCause]
    made_at: datetime
    carried_by: str | None = Field(description="The later bill that shows it")


class BillView(Model):
    """A bill (to be paid) or a statement (already deducted from a wallet).

    ``total`` and ``lines`` are of the day it was made and never change; ``corrections`` tell what it came to since.
    """

    id: str
    contract: str
    kind: Literal["bill", "statement"]
    state: Literal["posted", "held", "cancelled"]
    held_because: str | None
    start: datetime
    end: datetime
    currency: str
    tariff: TariffRef
    lines: list[BillLine]
    total: str
    missing: int
    estimated: int
    issued_at: datetime
    corrected_total: str = Field(pattern=_DECIMAL, description="What it comes to by all that is known now")
    to_pay: str = Field(
        pattern=_DECIMAL,
        description="What this document asks for: a bill's total with the corrections it carries; of a statement, 0",
    )
    replaces: str | None = Field(description="The cancelled bill in whose place it stands")
    replaced_by: str | None = Field(description="Of a cancelled bill: the one in its place")
    corrections: list[CorrectionView] = Field(description="Of this bill, the first one first")
    carried: list[CorrectionView] = Field(description="Of earlier bills, shown on this one")


class BillList(Model):
    """A contract's bills, newest first."""

    items: list[BillView]


class BillRunRequest(Model):
    """Which month to bill, as YYYY-MM in each contract's own zone."""

    month: str = Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])$", examples=["2026-03"])


class BillRunView(Model):
    """A month's run: how many contracts, how far, what was held back and why."""

    id: str
    month: str
    state: Literal["running", "finished"]
    contracts: int
    posted: int
    held: int
    statements_agreeing: int = Field(description="Prepaid statements equal to the sum of their wallet's deductions")
    statements: int
    amounts: dict[str, str] = Field(description="Posted totals by currency")
    held_by_reason: dict[str, int]
    started_at: datetime
    finished_at: datetime | None


class EventView(Model):
    """Something that happened, in the order it was committed."""

    seq: int
    at: datetime
    kind: str = Field(
        description=(
            "BalanceLow, BalanceExhausted, RechargeCredited, DisconnectRequested, SupplyDisconnected, "
            "ReconnectRequested, SupplyReconnected, BillRunStarted, BillRunFinished ..."
        )
    )
    contract: str | None
    account_name: str | None
    data: dict[str, str]


class WalletRow(Model):
    """A wallet that wants attention."""

    contract: str
    account_name: str
    premise_kind: str
    available: str
    currency: str
    days_left: int | None
    supply: SupplyState


class ArrivalPoint(Model):
    """Intervals that arrived for one quarter of an hour of the system's clock."""

    start: datetime
    count: int
    expected: int


class Arrivals(Model):
    """Is the data coming in?"""

    stored_total: int = Field(description="Intervals in the store")
    expected_today: int
    arrived_today: int
    last_batch_at: datetime | None
    last_interval_start: datetime | None
    recent: list[ArrivalPoint] = Field(description="The last 24 hours of intervals, by quarter of an hour")


class WalletsOverview(Model):
    """The prepaid side at a glance."""

    count: int
    low: int
    empty: int
    available: dict[str, str] = Field(description="Sum by currency")
    near_zero: list[WalletRow] = Field(description="The lowest twelve")


class SupplyOverview(Model):
    """How many are on, off or on their way."""

    on: int
    off: int
    disconnecting: int
    reconnecting: int


class MoneyToday(Model):
    """Money moved today, by currency, by the utility's calendar (UTC day where zones differ)."""

    recharged: dict[str, str]
    deducted: dict[str, str]


class OverviewView(Model):
    """All the operator's Overview shows, in one answer."""

    now: datetime
    clock_speed: int
    zone: str
    contracts: int
    arrivals: Arrivals
    wallets: WalletsOverview
    supply: SupplyOverview
    money_today: MoneyToday
    bill_run: BillRunView | None = Field(description="The running one, else the latest")
    events: list[EventView] = Field(description="The newest forty, newest first")


class ExceptionProposal(Model):
    """A decision that waits for a second person."""

    action: DecisionAction
    by: str
    reason: str
    at: datetime
    effect: str | None = Field(description="On the bill, by the price; in the exception's currency")


class ReadingExceptionView(Model):
    """Something that validation found about a stretch of a channel, and what became of it."""

    id: str
    service_point: str
    channel: str
    unit: str = Field(description="kWh or kvarh")
    interval_seconds: int
    rule: str = Field(description="The check that found it: missing, spike, zero_run ...; docs/vee.md tells of each")
    severity: Literal["info", "suspect", "fail"]
    state: ExceptionState
    start: datetime
    end: datetime
    words: str = Field(description="What was found, in a sentence")
    stake_energy: str = Field(pattern=_DECIMAL, description="What may be wrong, in `unit`")
    stake: str | None = Field(description="What that is worth; null where no tariff prices it")
    currency: str | None
    method: str | None = Field(description="How the values that stand were estimated")
    proposal: ExceptionProposal | None
    revision: int = Field(description="Counts what changed about it: send the one you looked at with a decision")
    decided_by: str | None
    found_at: datetime
    changed_at: datetime
    closed_at: datetime | None


class ReadingExceptionList(Model):
    """A page of the queue: most money at stake first."""

    items: list[ReadingExceptionView]
    total: int


class ExceptionValue(Model):
    """One interval of an exception's stretch: as it came, as it stands."""

    start: datetime
    came: str | None = Field(description="null: no reading came")
    came_quality: QualityName
    stands: str | None = Field(description="null: nothing is known")
    stands_quality: QualityName


class ExceptionStepView(Model):
    """Who did what about an exception, when and why."""

    at: datetime
    actor: str
    action: str
    reason: str
    state_before: ExceptionState | None
    state_after: ExceptionState
    energy_before: str | None = Field(description="The sum of the stretch; null: this step was about no values")
    energy_after: str | None
    effect: str | None = Field(description="On the bill, by the price; null: nothing changed, or no tariff prices it")
    batch: str | None = Field(description="The batch of readings that carried it out")


class ReadingExceptionDetail(Model):
    """An exception with its values and its whole history."""

    exception: ReadingExceptionView
    values: list[ExceptionValue]
    steps: list[ExceptionStepView]


class DecisionRequest(Model):
    """What somebody decides about an exception, and why."""

    action: DecisionAction
    actor: str = Field(min_length=1, max_length=120)
    reason: str = Field(min_length=1, max_length=2_000)
    values: list[str] | None = Field(
        default=None, max_length=40_000, description="Of an edit: one for each interval, in `unit`, in order"
    )
    method: Literal["linear", "like days"] | None = Field(
        default=None, description="Of an estimate; the rules choose when not given"
    )
    revision: int | None = Field(default=None, description="The one that was looked at: another is refused (409)")
    preview: bool = Field(default=False, description="Only tell what it would come to")


class DecisionView(Model):
    """What a decision comes to."""

    exception: ReadingExceptionView
    energy_before: str
    energy_after: str
    effect: str | None = Field(description="On the bill, by the price; null where no tariff prices it")
    currency: str | None
    waits: bool = Field(description="It moves so much money that a second person has to agree")
    preview: bool


class ValidationRequest(Model):
    """Which readings are to be validated: [start, end), of some service points or of all."""

    start: datetime
    end: datetime
    service_points: list[Annotated[str, Field(pattern=NAME)]] | None = Field(
        default=None, description="Those of the registry; all when not given"
    )


class ValidationView(Model):
    """What a validation looked at and found."""

    start: datetime
    end: datetime
    channels: int
    intervals: int
    found: dict[str, int] = Field(description="Findings by rule, new ones and those that were known")
    exceptions_opened: int
    exceptions_changed: int
    exceptions_superseded: int
    intervals_estimated: int
    intervals_doubted: int
    intervals_put_aside: int
    intervals_restored: int


class TransferTold(Model):
    """A transfer of the ledger as it was posted."""

    id: str
    debit_account: str
    credit_account: str
    amount: str
    currency: str
    purpose: str
    reference: str
    posted_at: str
    corrects: str | None


class AmountProof(Model):
    """How an amount came to be; ``lines`` add up to it, ``intervals`` made them."""

    proved: bool = Field(description="Whether the same amount comes out again from what was known when it was posted")
    because: str
    amount: str | None = None
    period: dict[str, str] | None = None
    until: str | None = None
    tariff: dict[str, str] | list[dict[str, str]] | None = Field(
        default=None, description="Id, version, content hash, name"
    )
    lines: list[dict[str, str | int]] = Field(description="Each charge before and after, its clause, the difference")
    intervals: list[dict[str, str | int | dict[str, str]]] = Field(
        description="What came since the posting before, or became another value: `was` is the old one"
    )
    quality: dict[str, int] | None = None
    meter: dict[str, str] | list[dict[str, str]] | None = None
    causes: list[dict[str, str | int | bool]] | None = None


class TransferExplanation(Model):
    """A transfer taken apart."""

    transfer: TransferTold
    what: str
    about: dict[str, str | int | list[dict[str, str]]] = {}
    proof: AmountProof | None = None
    later: list[dict[str, str | int]] = Field(default=[], description="What corrected it since")


class StatementKey(Model):
    """The public key that statements are signed with."""

    algorithm: Literal["Ed25519"]
    key: str = Field(description="64 hexadecimal digits")
    fingerprint: str = Field(description="What people compare of it")


class ProblemView(BaseModel):
    """RFC 9457 problem document; may carry further members."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None
    remedy: str | None = None
