"""The running deduction: what a wallet has used so far, priced by the same engine as a bill.

``charged now = total so far - total before``: so the deductions of a month add up to exactly the bill of that month,
to the last micro-unit, whatever the batches were and in whatever order they came.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from wattledger import ledger, readings, registry, tariffs
from wattledger.kernel import IntervalSeries, Money, Period, epoch
from wattledger.prepay import _tables as t
from wattledger.prepay._wallets import (
    crossing,
    daily_mean_micro,
    days_left,
    ensure_wallets,
    locked_wallets,
    next_state,
    post_accrual,
    wallet_account,
    with_charge,
)
from wattledger.readings import Change
from wattledger.registry import Segment
from wattledger.store import Row, Transaction, chunked
from wattledger.tariffs import RatingState

_DAY = 86_400


@dataclass(frozen=True, slots=True)
class _Priced:
    """A segment brought up to date; ``charged`` is by how much its total moved."""

    segment: Segment
    state: RatingState
    until: datetime
    total: int
    charged: int


def deduct(tx: Transaction, *, changes: Sequence[Change], now: datetime) -> None:
    """Price what a batch of readings changed and take it from the wallets; for the batch's own unit of work.

    Tells :class:`BalanceLow`, :class:`BalanceExhausted` and :class:`BalanceRestored` where a wallet crosses its bounds.
    Late and corrected readings re-price the segment they fall into with the tariff version that was in force then.
    """
    relevant = {c.service_point_id: c for c in changes if c.channel == readings.IMPORT and len(c.series)}
    if not relevant:
        return
    spans = [change.series.period for change in relevant.values() if change.series.period is not None]
    period = Period(min(span.start for span in spans), max(span.end for span in spans))
    segments = registry.segments_of_points(tx, service_point_ids=list(relevant), period=period)
    _price(tx, segments=[s for s in segments if s.mode == "prepay"], changes=relevant, until=None, now=now)


def settlement_due(tx: Transaction, *, now: datetime) -> bool:
    """Whether a day has begun for which some wallet was not settled yet."""
    oldest = tx.execute(sa.select(sa.func.min(t.wallet.c.posted_day))).scalar_one_or_none()
    return oldest is not None and oldest < epoch(now) // _DAY


def settle_due(tx: Transaction, *, now: datetime, limit: int = 1000) -> int:
    """The daily work on up to ``limit`` wallets: accrue standing charges to ``now`` and post to the ledger.

    Accrual does not wait for readings: a meter that is silent or switched off still owes its standing charge. Returns
    how many wallets were settled; call again until it is 0.
    """
    today = epoch(now) // _DAY
    due = [
        row[0]
        for row in tx.rows(
            sa.select(t.wallet.c.contract_id)
            .where(t.wallet.c.posted_day < today)
            .order_by(t.wallet.c.contract_id)
            .limit(limit)
        )
    ]
    if not due:
        return 0
    wallets = locked_wallets(tx, due)
    since = min(row.posted_day for row in wallets.values()) * _DAY
    period = Period.of_epochs(since - _DAY, epoch(now))
    segments = [s for s in registry.segments(tx, contract_ids=due, period=period) if s.mode == "prepay"]
    _price(tx, segments=segments, changes={}, until=now, now=now)
    post_accrual(tx, contract_ids=due, now=now)
    for piece in chunked(due):
        tx.execute(t.wallet.update().where(t.wallet.c.contract_id.in_(piece)).values(posted_day=today))
    return len(due)


def close_month(tx: Transaction, *, segments: Sequence[Segment], now: datetime) -> Mapping[str, Money]:
    """Reckon whole segments to their end, post them, and return what each contract was deducted for them."""
    _price(tx, segments=segments, changes={}, until=max((s.period.end for s in segments), default=now), now=now)
    contracts = sorted({segment.contract_id for segment in segments})
    post_accrual(tx, contract_ids=contracts, now=now)
    rows = _segment_rows(tx, contracts)
    totals: dict[str, Money] = {}
    for segment in segments:
        row = rows[segment.contract_id, segment.period.start]
        so_far = totals.get(segment.contract_id, Money.zero(segment.currency))
        totals[segment.contract_id] = so_far + Money(row.total, segment.currency)
    return totals


def _price(
    tx: Transaction,
    *,
    segments: Sequence[Segment],
    changes: Mapping[str, Change],
    until: datetime | None,
    now: datetime,
) -> None:
    """Bring ``segments`` up to date, move the accruals by the difference and tell what was crossed.

    Without ``until`` only those are looked at that have new readings, or that a tariff change has cut anew.
    """
    if not segments:
        return
    ensure_wallets(tx, contracts={s.contract_id: s.currency for s in segments}, now=now)
    wallets = locked_wallets(tx, [segment.contract_id for segment in segments])
    rows = _segment_rows(tx, sorted(wallets))
    kept: dict[str, list[Row]] = defaultdict(list)
    for row in rows.values():
        kept[row.contract_id].append(row)
    priced = [
        _priced(tx, segment, rows.get((segment.contract_id, segment.period.start)), changes, until)
        for segment in segments
        if until is not None or _has_news(segment, changes) or _was_cut_anew(segment, kept[segment.contract_id])
    ]
    charged: dict[str, int] = defaultdict(int)
    for one in priced:
        charged[one.segment.contract_id] += one.charged
    _write_segments(tx, priced)
    _move_accruals(tx, wallets=wallets, charged=charged, now=now)


def _has_news(segment: Segment, changes: Mapping[str, Change]) -> bool:
    change = changes.get(segment.service_point_id)
    return change is not None and bool(len(change.series.within(segment.period)))


def _was_cut_anew(segment: Segment, rows: Iterable[Row]) -> bool:
    """Whether what the wallet keeps of this stretch of time was priced under other bounds or another version."""
    return any(
        row.start < segment.period.end
        and row.end > segment.period.start
        and (row.start, row.end, row.tariff_hash) != (segment.period.start, segment.period.end, segment.tariff.hash)
        for row in rows
    )


def _segment_rows(tx: Transaction, contract_ids: Collection[str]) -> dict[tuple[str, datetime], Row]:
    found: dict[tuple[str, datetime], Row] = {}
    for piece in chunked(sorted(contract_ids)):
        select = sa.select(t.wallet_segment).where(t.wallet_segment.c.contract_id.in_(piece))
        found.update(((row.contract_id, row.start), row) for row in tx.rows(select))
    return found


def _priced(
    tx: Transaction,
    segment: Segment,
    row: Row | None,
    changes: Mapping[str, Change],
    until: datetime | None,
) -> _Priced:
    change = changes.get(segment.service_point_id)
    fresh = None if change is None else change.series.within(segment.period)
    state = None
    if row is not None and row.end == segment.period.end and row.tariff_hash == segment.tariff.hash:
        state = tariffs.RatingState.from_json(row.state)
        if fresh is not None and len(fresh):
            state = None if change is None or change.revised else _advanced(segment, state, fresh)
    if state is None:
        # New, cut anew by a tariff change, corrected, or late where order matters: begin again from what is stored.
        known = readings.series(tx, service_point_id=segment.service_point_id, period=segment.period)
        begun = tariffs.open_state(tariff=segment.tariff, period=segment.period, zone=segment.zone)
        state = tariffs.advance(tariff=segment.tariff, state=begun, series=known)
        fresh = known
    reached = max(
        segment.period.start if row is None else min(row.until, segment.period.end),
        segment.period.start if until is None else min(until, segment.period.end),
        segment.period.start if fresh is None or fresh.period is None else min(fresh.period.end, segment.period.end),
    )
    rating = tariffs.settle(tariff=segment.tariff, state=state, until=reached)
    total = rating.total.micro
    return _Priced(segment, state, reached, total, charged=total - (0 if row is None else row.total))


def _advanced(segment: Segment, state: RatingState, fresh: IntervalSeries) -> RatingState | None:
    try:
        return tariffs.advance(tariff=segment.tariff, state=state, series=fresh)
    except tariffs.OutOfOrder:
        return None


def _write_segments(tx: Transaction, priced: Iterable[_Priced]) -> None:
    tx.upsert(
        t.wallet_segment,
        [
            {
                "contract_id": one.segment.contract_id,
                "start": one.segment.period.start,
                "end": one.segment.period.end,
                "tariff_hash": one.segment.tariff.hash,
                "state": one.state.to_json(),
                "until": one.until,
                "total": one.total,
                "posted": 0,
                "postings": 0,
            }
            for one in priced
        ],
        update=("end", "tariff_hash", "state", "until", "total"),
    )


def _move_accruals(tx: Transaction, *, wallets: Mapping[str, Row], charged: Mapping[str, int], now: datetime) -> None:
    moved = {contract: micro for contract, micro in charged.items() if micro}
    if not moved:
        return
    balances = ledger.balances(tx, account_ids=[wallet_account(contract) for contract in moved])
    today = epoch(now) // _DAY
    updates = []
    for contract, micro in sorted(moved.items()):
        row = wallets[contract]
        accrued = row.accrued + micro
        recent = with_charge(row.recent, day=today, micro=micro)
        available = balances[wallet_account(contract)] - Money(accrued, row.currency)
        state = next_state(row.state, available_micro=available.micro, threshold_micro=row.low_threshold)
        left = days_left(available.micro, daily_mean_micro(recent, today=today))
        fact = crossing(contract_id=contract, before=row.state, after=state, available=available, left=left, now=now)
        if fact is not None:
            tx.emit(fact)
        updates.append({"key": contract, "new_accrued": accrued, "new_recent": recent, "new_state": state})
    tx.execute(
        t.wallet.update()
        .where(t.wallet.c.contract_id == sa.bindparam("key"))
        .values(
            accrued=sa.bindparam("new_accrued"), recent=sa.bindparam("new_recent"), state=sa.bindparam("new_state")
        ),
        updates,
    )
