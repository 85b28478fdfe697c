"""From the rooms' answers to what travels over HTTP. Reads only; one consistent state per view."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import cast

from wattledger import billing, control, headend, ledger, notices, prepay, pricing, readings, registry, store, tariffs
from wattledger.api import models as m
from wattledger.api.models import RechargeStep
from wattledger.kernel import (
    Energy,
    IntervalSeries,
    Money,
    Period,
    Power,
    Problem,
    Quality,
    epoch,
    from_epoch,
    local_days,
    zone_named,
)
from wattledger.registry import Contract, Segment
from wattledger.store import Transaction
from wattledger.tariffs import Signals

_DAY = timedelta(days=1)
_USUAL_DAYS_MAX = 14
_USUAL_DAYS_MIN = 3
_FORECAST_DAYS_MIN = 3
_NEAR_ZERO_ROWS = 12
_EVENT_ROWS = 40
_USAGE_DAYS_MAX = 400
_ANY_PERIOD = "any time"
"""Energy whose price does not depend on the period."""

_RECHARGE_NEWS = timedelta(days=1)
_SUGGESTED_DAYS = (10, 20, 30)


class PeriodRefused(Problem):
    """A period asked for makes no sense."""

    slug = "period-refused"
    title = "This period cannot be shown"
    status = 422


def _text(value: Decimal) -> str:
    """``value`` as plain digits, without an exponent or trailing zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") or "0" if "." in text else text


def _by_currency(amounts: Mapping[str, Money]) -> dict[str, str]:
    return {currency: money.text for currency, money in sorted(amounts.items())}


def contract_summary(contract: Contract) -> m.ContractSummary:
    """A contract for lists."""
    return m.ContractSummary(
        id=contract.id,
        account_id=contract.account_id,
        account_name=contract.account_name,
        service_point=contract.service_point_id,
        premise_kind=contract.premise_kind,
        mode=contract.mode,
        currency=contract.currency,
        tariff=contract.tariff_id,
    )


def balance_view(wallet: prepay.Wallet, now: datetime) -> m.BalanceView:
    """A wallet."""
    return m.BalanceView(
        contract=wallet.contract_id,
        currency=wallet.available.currency,
        available=wallet.available.text,
        ledger_balance=wallet.ledger_balance.text,
        accrued=wallet.accrued.text,
        state=wallet.state,
        low_threshold=wallet.low_threshold.text,
        days_left=wallet.days_left,
        as_of=now,
    )


def recharge_view(tx: Transaction, recharge: prepay.Recharge) -> m.RechargeView:
    """A recharge with its steps: the meter's part is told by the commands that the recharge caused."""
    steps = [
        RechargeStep(step="paid", state="done", at=recharge.created_at),
        RechargeStep(step="credited", state="done", at=recharge.created_at),
        *_meter_steps(tx, recharge),
    ]
    return m.RechargeView(
        id=recharge.id,
        contract=recharge.contract_id,
        amount=recharge.amount.text,
        currency=recharge.amount.currency,
        method=recharge.method,
        created_at=recharge.created_at,
        balance_after=recharge.balance_after.text,
        steps=steps,
        complete=all(step.state != "pending" for step in steps),
    )


def _meter_steps(tx: Transaction, recharge: prepay.Recharge) -> list[RechargeStep]:
    commands = control.commands_caused_by(tx, cause=recharge.id)
    if commands:
        last = commands[-1]
        on = last.state == "confirmed"
        return [
            RechargeStep(step="sent_to_meter", state="done" if last.sent_at else "pending", at=last.sent_at),
            RechargeStep(step="supply_on", state="done" if on else "pending", at=last.done_at if on else None),
        ]
    # No command yet: either the supply was on all the time, or the recharge's fact has not been told yet.
    contract = registry.contract(tx, contract_id=recharge.contract_id, at=recharge.created_at)
    supply = control.supply_of(tx, service_point_id=contract.service_point_id)
    # What counts is the supply as it was when the money came: a later change says nothing of that.
    changed_later = supply.since is not None and supply.since > recharge.created_at
    was_on = (supply.state == "on") != changed_later
    state: m.StepState = "pending"
    if was_on:
        state = "not_needed"
    elif recharge.balance_after.micro <= 0:
        state = "not_enough"
    return [RechargeStep(step=step, state=state, at=None) for step in ("sent_to_meter", "supply_on")]


def bill_view(bill: billing.Bill) -> m.BillView:
    """A bill or statement with all its lines."""
    newest = bill.parts[-1]
    return m.BillView(
        id=bill.id,
        contract=bill.contract_id,
        kind=bill.kind,
        state=bill.state,
        held_because=bill.held_because,
        start=bill.start,
        end=bill.end,
        currency=bill.total.currency,
        tariff=m.TariffRef(
            id=newest.tariff_id, version=newest.tariff_version, hash=newest.tariff_hash, name=newest.tariff_name
        ),
        lines=[
            m.BillLine(
                charge=line.charge,
                kind=line.kind,
                period=line.period,
                tier=line.tier,
                quantity=line.quantity,
                unit=line.unit,
                price=line.price,
                amount=line.amount,
                season=line.season,
                clause=line.clause,
                at=None if line.at is None else datetime.fromisoformat(line.at),
                averaged=line.averaged,
            )
            for part in bill.parts
            for line in part.lines
        ],
        total=bill.total.text,
        missing=bill.missing,
        estimated=bill.estimated,
        issued_at=bill.issued_at,
        corrected_total=bill.corrected_total.text,
        to_pay=bill.to_pay.text,
        replaces=bill.replaces,
        replaced_by=bill.replaced_by,
        corrections=[_correction_view(one) for one in bill.corrections],
        carried=[_correction_view(one) for one in bill.carried if one.difference.micro],
    )


def _correction_view(one: billing.Correction) -> m.CorrectionView:
    return m.CorrectionView(
        bill=one.bill_id,
        number=one.number,
        way=one.way,
        currency=one.new_total.currency,
        old_total=one.old_total.text,
        new_total=one.new_total.text,
        difference=one.difference.text,
        lines=[m.LineChange(**asdict(line)) for line in one.lines],
        causes=[m.CorrectionCause(**asdict(cause)) for cause in one.causes],
        made_at=one.made_at,
        carried_by=one.carried_by,
    )


def bill_run_view(run: billing.BillRun) -> m.BillRunView:
    """A bill run as far as it has come."""
    return m.BillRunView(
        id=run.id,
        month=run.month,
        state=run.state,
        contracts=run.contracts,
        posted=run.posted,
        held=run.held,
        statements_agreeing=run.statements_agreeing,
        statements=run.statements,
        amounts=_by_currency(run.amounts),
        held_by_reason=dict(run.held_by_reason),
        started_at=run.started_at,
        finished_at=run.finished_at,
    )


def requested_period(start: str | None, end: str | None, *, now: datetime) -> Period:
    """The period of a usage request: ISO 8601 instants with an offset; the last day when nothing is said."""
    try:
        last = datetime.fromisoformat(end) if end else now
        first = datetime.fromisoformat(start) if start else last - _DAY
        period = Period(first, last)
    except ValueError as error:
        raise PeriodRefused(
            f"start={start!r}, end={end!r}: {error}", remedy="use ISO 8601 with an offset: 2026-03-01T00:00:00Z"
        ) from error
    if period.seconds > _USAGE_DAYS_MAX * 86_400:
        raise PeriodRefused(f"the period is longer than {_USAGE_DAYS_MAX} days", remedy="ask for less at a time")
    return period


def usage_view(tx: Transaction, *, contract_id: str, period: Period, now: datetime) -> m.UsageView:
    """A contract's use in a period, priced with the tariff version that was in force at each instant."""
    contract = registry.contract(tx, contract_id=contract_id, at=now)
    meter = registry.meter_at(tx, service_point_id=contract.service_point_id, at=now)
    known = readings.series(tx, service_point_id=contract.service_point_id, period=period)
    segments = registry.segments(tx, contract_ids=[contract_id], period=period)
    told = pricing.signals(tx, tariffs={s.tariff for s in segments}, period=period)
    intervals, use = _intervals(known, segments, period, meter.interval_seconds, told)
    return m.UsageView(
        contract=contract_id,
        start=period.start,
        end=period.end,
        kwh=_text(known.kilowatt_hours),
        by_period=_period_uses(use, _energy_cost(tx, contract, period, segments), contract.currency),
        missing=sum(one.quality == "missing" for one in intervals),
        estimated=sum(one.quality == "estimated" for one in intervals),
        interval_seconds=meter.interval_seconds,
        intervals=intervals,
    )


def _intervals(
    known: IntervalSeries, segments: list[Segment], period: Period, seconds: int, told: Signals
) -> tuple[list[m.IntervalView], dict[str, Decimal]]:
    """Every interval of ``period`` that a segment prices, the missing ones too, and the energy by price period."""
    by_start = {
        int(start): (int(value), int(quality))
        for start, value, quality in zip(known.starts, known.values, known.qualities, strict=True)
    }
    views: list[m.IntervalView] = []
    use: dict[str, Decimal] = {}
    for segment in segments:
        part = segment.period.intersection(period)
        if part is None:
            continue
        for name, span in _named_spans(segment, part, told):
            use.setdefault(name, Decimal(0))
            first = -(-epoch(span.start) // seconds) * seconds
            for start in range(first, epoch(span.end), seconds):
                value, quality = by_start.get(start, (0, int(Quality.MISSING)))
                missing = quality == Quality.MISSING
                if not missing:
                    use[name] += Energy(value).kilowatt_hours
                views.append(
                    m.IntervalView(
                        start=from_epoch(start),
                        kwh=None if missing else _text(Energy(value).kilowatt_hours),
                        period=name,
                        quality=cast("m.QualityName", Quality(quality).name.lower()),
                    )
                )
    return views, use


def _named_spans(segment: Segment, part: Period, told: Signals) -> Iterator[tuple[str, Period]]:
    """The price periods of a stretch of time by name; where no price is published yet, it has none."""
    reached = part.start
    for span in tariffs.prices_between(tariff=segment.tariff, period=part, zone=segment.zone, signals=told):
        yield span.period_name, span.period
        reached = span.period.end
    if reached < part.end:
        yield _ANY_PERIOD, Period(reached, part.end)


def _by_period_cost(before: tariffs.Rating | None, after: tariffs.Rating) -> tuple[dict[str, Money], Money]:
    """What two running bills differ by: energy by price period, and everything fixed."""
    energy: dict[str, Money] = {}
    fixed = Money.zero(after.currency)
    for rating, sign in ((after, 1), *(((before, -1),) if before is not None else ())):
        for line in rating.lines:
            amount = line.amount
            if not isinstance(amount, Money):
                continue
            signed = Money(sign * amount.micro, amount.currency)
            if line.kind == "energy":
                period = line.period or _ANY_PERIOD
                energy[period] = energy.get(period, Money.zero(after.currency)) + signed
            else:
                fixed += signed
    return energy, fixed


def home_view(tx: Transaction, *, contract_id: str, now: datetime, clock_speed: int) -> m.HomeView:
    """All the consumer's Home shows."""
    contract = registry.contract(tx, contract_id=contract_id, at=now)
    zone = zone_named(contract.zone)
    segments = registry.segments(tx, contract_ids=[contract_id], period=Period(now - 15 * _DAY, now + 2 * _DAY))
    segment = next(s for s in segments if now in s.period)
    meter = registry.meter_at(tx, service_point_id=contract.service_point_id, at=now)
    wallet = prepay.wallet(tx, contract_id=contract_id, now=now) if contract.mode == "prepay" else None
    supply = control.supply_of(tx, service_point_id=contract.service_point_id)
    today = next(local_days(Period(now, now + _DAY), zone=zone))
    known = readings.series(
        tx, service_point_id=contract.service_point_id, period=Period(today.start - _USUAL_DAYS_MAX * _DAY, now)
    )
    recharge = prepay.latest_recharge(tx, contract_id=contract_id)
    recharge_shown = None if recharge is None else recharge_view(tx, recharge)
    if recharge is not None and recharge_shown is not None:
        old = recharge.created_at < now - _RECHARGE_NEWS
        recharge_shown = None if old and recharge_shown.complete else recharge_shown
    before, so_far = pricing.running(tx, segment=segment, untils=[max(today.start, segment.period.start), now])
    ahead = Period(now, now + _DAY)
    told = pricing.signals(tx, tariffs={s.tariff for s in segments}, period=ahead)
    spans = _spans_of(segments, ahead, told, tier_of={segment.period: _tier_reached(so_far)})
    if not spans:
        tariffs.price_at(tariff=segment.tariff, instant=now, zone=segment.zone, signals=told)  # says what is missing
    return m.HomeView(
        contract=contract_summary(contract),
        zone=contract.zone,
        tariff=m.TariffRef(
            id=segment.tariff.id,
            version=segment.tariff.version,
            hash=segment.tariff.hash,
            name=segment.tariff.name,
        ),
        now=now,
        clock_speed=clock_speed,
        balance=None if wallet is None else balance_view(wallet, now),
        bill_so_far=_bill_so_far(so_far, segment, now) if wallet is None else None,
        supply=m.SupplyView(state=supply.state, reason=supply.reason, since=supply.since, cut_off_at=supply.cut_off_at),
        use_now=_use_now(known, Decimal(spans[0].price), now),
        price=_price_now(spans),
        prices=spans,
        today=_today(
            tx,
            contract=contract,
            segments=segments,
            before=before if today.start > segment.period.start else None,
            so_far=so_far,
            known=known,
            today=today,
            seconds=meter.interval_seconds,
            now=now,
        ),
        usual=_usual(known, today, now, contract.zone),
        notices=[
            m.NoticeView(at=notice.at, kind=notice.kind, text=dict(notice.text))
            for notice in notices.notices_of(tx, contract_id=contract_id, limit=3)
        ],
        recharge=recharge_shown,
        suggested_recharges=_suggested(wallet),
    )


def _spans_of(
    segments: list[Segment], period: Period, told: Signals, *, tier_of: Mapping[Period, int]
) -> list[m.PriceSpan]:
    """The prices of ``period`` at the tier that each segment has reached, the first one where nothing is known."""
    spans: list[m.PriceSpan] = []
    for segment in segments:
        part = segment.period.intersection(period)
        if part is None:
            continue
        for span in tariffs.prices_between(tariff=segment.tariff, period=part, zone=segment.zone, signals=told):
            price = _text(span.tier_prices[min(tier_of.get(segment.period, 1), len(span.tier_prices)) - 1])
            if spans and (spans[-1].period, spans[-1].price) == (span.period_name, price):
                spans[-1] = spans[-1].model_copy(update={"end": span.period.end})
            else:
                spans.append(
                    m.PriceSpan(start=span.period.start, end=span.period.end, period=span.period_name, price=price)
                )
    return spans


def _tier_reached(rating: tariffs.Rating) -> int:
    """The tier that the next kilowatt-hour falls into, as far as what has been used tells."""
    return max((line.tier for line in rating.lines if line.tier is not None and line.quantity), default=1)


def _price_now(spans: list[m.PriceSpan]) -> m.PriceNow:
    following = spans[1] if len(spans) > 1 else None
    return m.PriceNow(
        period=spans[0].period,
        price=spans[0].price,
        changes_at=None if following is None else following.start,
        next_period=None if following is None else following.period,
        next_price=None if following is None else following.price,
    )


def _use_now(known: IntervalSeries, price: Decimal, now: datetime) -> m.NowView | None:
    if not len(known):
        return None
    start, seconds = int(known.starts[-1]), known.seconds
    power = Power.mean_of(Energy(int(known.values[-1])), seconds=seconds)
    return m.NowView(
        kw=_text(power.kilowatts),
        cost_per_hour=f"{power.kilowatts * price:.4f}",
        interval_start=from_epoch(start),
        interval_seconds=seconds,
        age_seconds=max(0, epoch(now) - start - seconds),
    )


def _today(  # noqa: PLR0913 - what a day's picture is drawn from
    tx: Transaction,
    *,
    contract: Contract,
    segments: list[Segment],
    before: tariffs.Rating | None,
    so_far: tariffs.Rating,
    known: IntervalSeries,
    today: Period,
    seconds: int,
    now: datetime,
) -> m.TodayView:
    elapsed = Period(today.start, max(today.start, from_epoch(epoch(now) // seconds * seconds)))
    used = known.within(today)
    told = pricing.signals(tx, tariffs={s.tariff for s in segments}, period=elapsed)
    intervals, use = _intervals(used, segments, elapsed, seconds, told)
    energy, fixed = _by_period_cost(before, so_far)
    for name in energy:
        if name != _ANY_PERIOD:
            use.setdefault(name, Decimal(0))
    total = sum(energy.values(), start=fixed)
    return m.TodayView(
        start=today.start,
        end=today.end,
        kwh=_text(used.kilowatt_hours),
        cost=total.text,
        fixed=fixed.text,
        by_period=_period_uses(use, energy, contract.currency),
        interval_seconds=seconds,
        intervals=intervals,
    )


def _usual(known: IntervalSeries, today: Period, now: datetime, zone: str) -> m.UsualDay | None:
    """Today beside the mean of the last whole days up to the same local time of day."""
    elapsed = now - today.start
    totals: list[Decimal] = []
    for day in local_days(Period(today.start - _USUAL_DAYS_MAX * _DAY, today.start), zone=zone_named(zone)):
        part = known.within(Period(day.start, min(day.start + elapsed, day.end)))
        if len(part):
            totals.append(part.kilowatt_hours)
    if len(totals) < _USUAL_DAYS_MIN:
        return None
    mean = sum(totals, start=Decimal(0)) / len(totals)
    return m.UsualDay(today_kwh=_text(known.within(today).kilowatt_hours), usual_kwh=f"{mean:.3f}", days=len(totals))


def _bill_so_far(so_far: tariffs.Rating, segment: Segment, now: datetime) -> m.BillSoFar:
    elapsed, whole = epoch(now) - epoch(segment.period.start), segment.period.seconds
    forecast = None
    if elapsed >= _FORECAST_DAYS_MIN * 86_400:
        forecast = f"{so_far.total.amount * whole / elapsed:.2f}"
    return m.BillSoFar(
        amount=so_far.total.text, forecast=forecast, cycle_start=segment.period.start, cycle_end=segment.period.end
    )


def _suggested(wallet: prepay.Wallet | None) -> list[str]:
    if wallet is None or wallet.daily_mean is None or wallet.daily_mean.micro <= 0:
        return [] if wallet is None else ["20", "50", "100"]
    daily = wallet.daily_mean.amount
    return [str(int((daily * days / 5).to_integral_value(ROUND_CEILING)) * 5) for days in _SUGGESTED_DAYS]


def overview_view(tx: Transaction, *, now: datetime, clock_speed: int, zone: str) -> m.OverviewView:
    """All the operator's Overview shows."""
    today = next(local_days(Period(now, now + _DAY), zone=zone_named(zone)))
    counts = control.supply_counts(tx)
    points = len(registry.installations(tx, at=now))
    run = billing.latest_run(tx)
    summary = prepay.wallets_summary(tx, now=now)
    return m.OverviewView(
        now=now,
        clock_speed=clock_speed,
        zone=zone,
        contracts=registry.contract_count(tx, at=now),
        arrivals=_arrivals(tx, today=today, points=points, now=now),
        wallets=m.WalletsOverview(
            count=summary.count,
            low=summary.low,
            empty=summary.empty,
            available=_by_currency(summary.available),
            near_zero=_near_zero(tx, now),
        ),
        supply=m.SupplyOverview(
            on=points - counts.off - counts.disconnecting - counts.reconnecting,
            off=counts.off,
            disconnecting=counts.disconnecting,
            reconnecting=counts.reconnecting,
        ),
        money_today=m.MoneyToday(
            recharged=_by_currency(ledger.total_posted(tx, purpose="recharge", period=today)),
            deducted=_by_currency(ledger.total_posted(tx, purpose="deduction", period=today)),
        ),
        bill_run=None if run is None else bill_run_view(run),
        events=_event_views(tx, now),
    )


def _arrivals(tx: Transaction, *, today: Period, points: int, now: datetime) -> m.Arrivals:
    collected = readings.collected(tx)
    ended = from_epoch(epoch(now) // 900 * 900)
    slots = readings.arrivals(tx, period=Period(min(today.start, ended - _DAY), max(ended, today.start)))
    this_day = [slot for slot in slots if slot.start >= today.start]
    return m.Arrivals(
        stored_total=collected.stored_total,
        expected_today=points * len(this_day),
        arrived_today=sum(slot.count for slot in this_day),
        last_batch_at=collected.last_batch_at,
        last_interval_start=collected.last_interval_start,
        recent=[
            m.ArrivalPoint(start=slot.start, count=slot.count, expected=points)
            for slot in slots
            if slot.start >= ended - _DAY
        ],
    )


def _near_zero(tx: Transaction, now: datetime) -> list[m.WalletRow]:
    rows = []
    lowest = prepay.lowest_wallets(tx, now=now, limit=_NEAR_ZERO_ROWS)
    contracts = {one.contract_id: registry.contract(tx, contract_id=one.contract_id, at=now) for one in lowest}
    states = control.supplies(tx, service_point_ids=[one.service_point_id for one in contracts.values()])
    for one in lowest:
        contract = contracts[one.contract_id]
        rows.append(
            m.WalletRow(
                contract=contract.id,
                account_name=contract.account_name,
                premise_kind=contract.premise_kind,
                available=one.available.text,
                currency=one.available.currency,
                days_left=one.days_left,
                supply=states[contract.service_point_id].state,
            )
        )
    return rows


def _event_views(tx: Transaction, now: datetime) -> list[m.EventView]:
    # What became of a supply is told by the supply control, once; the head-end's command was its means.
    told_by_others = [billing.BillPosted, billing.BillCorrected, headend.CommandSettled]
    facts = store.recent_facts(tx, limit=_EVENT_ROWS, without=told_by_others)
    names = registry.account_names(tx, contract_ids={f.contract_id for f in facts if f.contract_id}, at=now)
    return [
        m.EventView(
            seq=fact.seq,
            at=fact.at,
            kind=fact.kind,
            contract=fact.contract_id,
            account_name=names.get(fact.contract_id or ""),
            data=_event_data(fact.data),
        )
        for fact in facts
    ]


def _event_data(data: Mapping[str, object]) -> dict[str, str]:
    """Amounts in whole units under their plain name: ``available_micro`` becomes ``available``."""
    shown: dict[str, str] = {}
    for name, value in data.items():
        if value is None:
            continue
        if name.endswith("_micro") and isinstance(value, int):
            shown[name.removesuffix("_micro")] = Money(value, str(data.get("currency", ""))).text
        else:
            shown[name] = str(value)
    return shown


def _energy_cost(tx: Transaction, contract: Contract, period: Period, segments: list[Segment]) -> dict[str, Money]:
    """What energy cost within ``period``, by price period: the difference of the running bills at its two ends."""
    cost: dict[str, Money] = {}
    for segment in segments:
        part = segment.period.intersection(period)
        if part is None:
            continue
        before, after = pricing.running(tx, segment=segment, untils=[part.start, part.end])
        energy, _ = _by_period_cost(before if part.start > segment.period.start else None, after)
        for name, amount in energy.items():
            cost[name] = cost.get(name, Money.zero(contract.currency)) + amount
    return cost


def _period_uses(use: Mapping[str, Decimal], cost: Mapping[str, Money], currency: str) -> list[m.PeriodUse]:
    """Energy and cost side by side; all of it together where one price holds in every period."""
    if _ANY_PERIOD in cost and _ANY_PERIOD not in use:
        use = {_ANY_PERIOD: sum(use.values(), start=Decimal(0))}
    return [
        m.PeriodUse(period=name, kwh=_text(kwh), cost=cost.get(name, Money.zero(currency)).text)
        for name, kwh in use.items()
    ]
