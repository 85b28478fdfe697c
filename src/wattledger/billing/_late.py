"""What came late for time that was billed: noted with what brought it, worked off bill by bill.

The transaction that brings late readings only notes them; the bills that they touch are priced again soon after, or by
the next bill run at the latest. Pricing a bill again always means pricing all of it from what is known now, so any
number of notes makes one correction, and the same note twice makes none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import cast

import sqlalchemy as sa

from wattledger import ledger, pricing, registry
from wattledger.billing._bills import (
    WALLET_DISAGREES,
    Bill,
    document_id,
    posted_bills,
    rated_bill,
    receivable_account,
    receivable_transfer,
    revenue,
    write_bills,
)
from wattledger.billing._corrections import (
    Cause,
    CauseKind,
    Correction,
    CorrectionPolicy,
    CorrectionWay,
    told_together,
    write_corrections,
)
from wattledger.billing._lines import line_changes
from wattledger.billing._tables import bill_run, billed_point, billing_horizon, late_news
from wattledger.billing.ports import Deductions
from wattledger.kernel import Money, Period, epoch, from_epoch
from wattledger.readings import Change, Changes
from wattledger.registry import Segment
from wattledger.store import Fact, Row, Transaction, chunked
from wattledger.tariffs import Tariff

_NO_TERMS = "no_terms"

_Key = tuple[str, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class BillCorrected(Fact):
    """A posted bill or statement was priced again and came to something else; ``way`` as of the correction."""

    bill_id: str
    number: int
    way: str
    old_micro: int
    new_micro: int
    currency: str


def note_late(tx: Transaction, *, changes: Sequence[Change], batch_id: str, now: datetime) -> int:
    """Note those of a batch's changes that concern time which was billed; for the batch's own unit of work.

    To be called before the wallets are charged (``prepay.deduct``), so that locks are taken in one order. A batch of
    newer readings costs one look at one row. Returns how many notes were made.
    """
    horizon = epoch(_horizon(tx)) if changes else 0
    if isinstance(changes, Changes) and (changes.earliest or 0) >= horizon:
        return 0
    old = [change for change in changes if len(change.series) and change.series.starts[0] < horizon]
    if not old:
        return 0
    until = locked_points(tx, {change.service_point_id for change in old})
    rows = [
        {
            "service_point_id": change.service_point_id,
            "kind": "readings",
            "about": batch_id,
            "channel": change.channel,
            "start": start,
            "end": from_epoch(int(change.series.starts[-1]) + change.series.seconds),
            "intervals": len(change.series),
            "revised": change.revised,
            "noted_at": now,
        }
        for change in old
        if (start := from_epoch(int(change.series.starts[0]))) < until[change.service_point_id]
    ]
    if rows:
        tx.execute(late_news.insert(), rows)
    return len(rows)


def note_fact(tx: Transaction, *, contract_id: str, name: str, since: datetime, now: datetime) -> None:
    """Note that a fact of a contract was told late: it concerns all time from ``since`` until it was told."""
    if since < min(_horizon(tx), now):
        _note_told(tx, "fact", name, Period(since, now), [contract_id], None, now)


def note_event(tx: Transaction, *, event: str, start: datetime, end: datetime, now: datetime) -> None:
    """Note that an event was announced, or called off, that concerns billed time of those whose tariff goes by it."""
    _note_signal(tx, "event", event, Period(start, end), lambda tariff: event in tariff.events, now)


def note_prices(tx: Transaction, *, series: str, start: datetime, end: datetime | None, now: datetime) -> None:
    """Note that prices were published for billed time; ``end``: from when other prices hold."""
    span = Period(start, max(start, _horizon(tx) if end is None else end))
    _note_signal(tx, "prices", series, span, lambda tariff: series in tariff.index_series, now)


def _note_signal(
    tx: Transaction, kind: CauseKind, about: str, span: Period, concerns: Callable[[Tariff], bool], now: datetime
) -> None:
    late = span.intersection(Period(from_epoch(0), _horizon(tx)))
    if late is not None and any(map(concerns, registry.published_tariffs(tx))):
        _note_told(tx, kind, about, span, registry.contract_ids(tx, period=late), concerns, now)


def _note_told(
    tx: Transaction,
    kind: CauseKind,
    about: str,
    span: Period,
    contract_ids: Sequence[str],
    concerns: Callable[[Tariff], bool] | None,
    now: datetime,
) -> None:
    points: set[str] = set()
    for piece in chunked(contract_ids):
        found = registry.segments(tx, contract_ids=piece, period=span)
        points.update(s.service_point_id for s in found if concerns is None or concerns(s.tariff))
    until = locked_points(tx, points)
    rows = [
        {
            "service_point_id": point,
            "kind": kind,
            "about": about,
            "channel": None,
            "start": span.start,
            "end": span.end,
            "intervals": 0,
            "revised": True,
            "noted_at": now,
        }
        for point in sorted(points)
        if span.start < until[point]
    ]
    if rows:
        tx.execute(late_news.insert(), rows)


def _horizon(tx: Transaction) -> datetime:
    # Shared: batches do not wait for each other, only a bill run that begins waits for those under way. SQLite, with
    # its one writer, needs no lock and leaves this one out.
    select = sa.select(billing_horizon.c.until).where(billing_horizon.c.id == 1).with_for_update(read=True)
    return cast("datetime", tx.execute(select).scalar_one())


def raise_horizon(tx: Transaction, *, until: datetime) -> None:
    """From now on readings of time before ``until``, the end of a month, are looked at point by point."""
    tx.execute(
        billing_horizon.update().where(billing_horizon.c.id == 1, billing_horizon.c.until < until).values(until=until)
    )


def locked_points(tx: Transaction, service_point_ids: Collection[str]) -> dict[str, datetime]:
    """Up to where each of these points was billed; their rows are locked to the end of the unit of work."""
    points = sorted(service_point_ids)
    found = _billed_until(tx, points)
    missing = [point for point in points if point not in found]
    if missing:
        never = from_epoch(0)
        new = tx.insert_new(billed_point, [{"service_point_id": point, "until": never} for point in missing])
        # Those that are ours say what was just written; where somebody else brought one meanwhile, all are looked at.
        found.update(dict.fromkeys(missing, never) if new == len(missing) else _billed_until(tx, missing))
    return found


def _billed_until(tx: Transaction, points: Sequence[str]) -> dict[str, datetime]:
    kept = billed_point.c
    select = sa.select(kept.service_point_id, kept.until).where(tx.among(kept.service_point_id, points))
    rows = tx.rows(tx.locked(select.order_by(billed_point.c.service_point_id)))
    return {row[0]: row[1] for row in rows}


def corrections_due(tx: Transaction) -> bool:
    """Whether something came late of which the bills were not looked at yet."""
    select = sa.select(late_news.c.id).where(late_news.c.waits.is_(None)).limit(1)
    return tx.execute(select).one_or_none() is not None


def corrections_waiting(tx: Transaction) -> dict[str, int]:
    """How many service points have bills that cannot be priced again yet, by the cause (``missing_readings`` ...)."""
    points = sa.func.count(late_news.c.service_point_id.distinct())
    select = sa.select(late_news.c.waits, points).where(late_news.c.waits.is_not(None)).group_by(late_news.c.waits)
    return {row[0]: int(row[1]) for row in tx.rows(select)}


def take_up_waiting(tx: Transaction) -> int:
    """Let what waits (for readings, prices, facts) be looked at once more; returns how many notes that are."""
    return int(tx.execute(late_news.update().where(late_news.c.waits.is_not(None)).values(waits=None)).rowcount)


def correct_due(
    tx: Transaction,
    *,
    deductions: Deductions,
    now: datetime,
    policy: CorrectionPolicy = "next_bill",
    limit: int = 200,
) -> list[Correction]:
    """Correct the bills that late news touches, of up to ``limit`` service points; while :func:`corrections_due`.

    A bill is priced again as a whole, from the readings and the tariff versions, facts and signals as they are known
    now, and so are the later ones that remember it. Where that changes a line, a :class:`Correction` is kept; money
    moves by exact transfers as ``policy`` says, a statement's through its wallet. What cannot be priced now waits.
    """
    select = sa.select(late_news.c.service_point_id).where(late_news.c.waits.is_(None)).distinct()
    points = {row[0] for row in tx.rows(select.order_by(late_news.c.service_point_id).limit(limit))}
    return correct_points(tx, service_point_ids=points, deductions=deductions, policy=policy, now=now)


def correct_points(
    tx: Transaction,
    *,
    service_point_ids: Collection[str],
    deductions: Deductions,
    policy: CorrectionPolicy,
    now: datetime,
) -> list[Correction]:
    """As :func:`correct_due`, for these points, which it locks (:func:`locked_points`), and for what waited too."""
    until = locked_points(tx, service_point_ids)
    news: dict[str, list[Row]] = defaultdict(list)
    select = sa.select(late_news).where(tx.among(late_news.c.service_point_id, until)).order_by(late_news.c.id)
    for row in tx.rows(select):
        news[row.service_point_id].append(row)
    if not news:
        return []
    touched, segments = _touched(tx, news, until)
    fresh = _priced_again(tx, touched, segments, now)
    waits = _waits(tx, fresh, segments, deductions, now)
    corrections = [
        correction
        for old, new, causes in fresh
        if new is not None and (correction := _correction(old, new, causes, policy, now)) is not None
        if old.service_point_id not in waits
    ]
    _move_money(tx, corrections, {old.id: (old, new) for old, new, _ in fresh if new is not None}, deductions)
    for one in corrections:
        tx.emit(
            BillCorrected(
                at=now,
                contract_id=one.contract_id,
                bill_id=one.bill_id,
                number=one.number,
                way=one.way,
                old_micro=one.old_total.micro,
                new_micro=one.new_total.micro,
                currency=one.new_total.currency,
            )
        )
    _work_off(tx, news, waits)
    return corrections


def _touched(
    tx: Transaction, news: Mapping[str, Sequence[Row]], until: Mapping[str, datetime]
) -> tuple[list[tuple[Bill, list[Cause]]], dict[str, list[Segment]]]:
    """The posted bills that the news may change, each with what of it does so; and the segments of each bill."""
    first = min(row.start for rows in news.values() for row in rows)
    last = max(until[point] for point in news)
    if first >= last:
        return [], {}
    by_contract: dict[str, list[Segment]] = defaultdict(list)
    for segment in registry.segments_of_points(tx, service_point_ids=news, period=Period(first, last)):
        by_contract[segment.contract_id].append(segment)
    touched: list[tuple[Bill, list[Cause]]] = []
    segments: dict[str, list[Segment]] = {}
    for bill in posted_bills(tx, contract_ids=list(by_contract), after=first):
        members = _members(bill, by_contract[bill.contract_id])
        reached = {
            one.key
            for one in by_contract[bill.contract_id]
            if any(one.key == member.key or pricing.reaches(earlier=one, later=member) for member in members)
        }
        causes = [
            _cause(row)
            for row in news[bill.service_point_id]
            if (not members and row.start < bill.end and row.end > bill.start)
            or any(one.key in reached and _concerns(row, one) for one in by_contract[bill.contract_id])
        ]
        if causes:
            touched.append((bill, causes))
            segments[bill.id] = members
    return touched, segments


def _members(bill: Bill, segments: Iterable[Segment]) -> list[Segment]:
    mode = "prepay" if bill.kind == "statement" else "postpay"
    return [one for one in segments if one.mode == mode and bill.start <= one.period.start < bill.end]


def _concerns(row: Row, segment: Segment) -> bool:
    return (
        row.start < segment.period.end
        and row.end > segment.period.start
        and (row.channel is None or row.channel in segment.tariff.channels)
    )


def _cause(row: Row) -> Cause:
    return Cause(
        kind=cast("CauseKind", row.kind),
        about=row.about,
        channel=row.channel,
        start=row.start,
        end=row.end,
        intervals=row.intervals,
        revised=row.revised,
        noted_at=row.noted_at,
    )


_Fresh = list[tuple[Bill, Bill | None, list[Cause]]]
"""A bill, the same priced from what is known now (``None``: there are no terms for its time any more), and causes."""


def _priced_again(
    tx: Transaction,
    touched: Sequence[tuple[Bill, list[Cause]]],
    segments: Mapping[str, Sequence[Segment]],
    now: datetime,
) -> _Fresh:
    outcomes = pricing.counted(tx, segments=[one for members in segments.values() for one in members])
    return [
        (
            old,
            rated_bill(
                run_id=old.run_id,
                kind=old.kind,
                segments=segments[old.id],
                outcomes=outcomes,
                deducted=None,
                now=now,
            )
            if segments[old.id]
            else None,
            causes,
        )
        for old, causes in touched
    ]


def _waits(
    tx: Transaction,
    fresh: _Fresh,
    segments: Mapping[str, Sequence[Segment]],
    deductions: Deductions,
    now: datetime,
) -> dict[str, str]:
    """Why a point's bills cannot be corrected now; and the wallets of the others' statements are brought up to date."""
    waits: dict[str, str] = {}
    for old, new, _ in fresh:
        because = _NO_TERMS if new is None else new.held_because
        if because is not None:
            waits[old.service_point_id] = because
    owed: dict[str, tuple[str, Money]] = {}
    prepaid: list[Segment] = []
    for old, new, _ in fresh:
        if new is not None and old.kind == "statement" and old.service_point_id not in waits:
            prepaid += segments[old.id]
            _, so_far = owed.get(old.contract_id, ("", Money.zero(new.total.currency)))
            owed[old.contract_id] = old.service_point_id, so_far + new.total
    deducted = deductions.close(tx, segments=prepaid, now=now) if prepaid else {}
    waits.update((point, WALLET_DISAGREES) for contract, (point, total) in owed.items() if deducted[contract] != total)
    return waits


def _correction(
    old: Bill, new: Bill, causes: Sequence[Cause], policy: CorrectionPolicy, now: datetime
) -> Correction | None:
    """What is to be kept of a bill that was priced again; ``None`` where no line changed."""
    known = old.corrections[-1].parts if old.corrections else old.parts
    lines = line_changes(known, new.parts, currency=new.total.currency)
    if not lines:
        return None
    way: CorrectionWay = policy if new.total != old.corrected_total else "next_bill"  # nothing to pay: it is only kept
    return Correction(
        bill_id=old.id,
        number=len(old.corrections) + 1,
        contract_id=old.contract_id,
        way="wallet" if old.kind == "statement" else way,
        old_total=old.corrected_total,
        new_total=new.total,
        lines=lines,
        parts=new.parts,
        causes=told_together(causes),
        made_at=now,
    )


def _move_money(
    tx: Transaction,
    corrections: Sequence[Correction],
    versions: Mapping[str, tuple[Bill, Bill]],
    deductions: Deductions,
) -> None:
    write_corrections(tx, corrections=corrections)
    transfers = [
        transfer for one in corrections if one.way != "wallet" for transfer in _transfers(one, versions[one.bill_id][0])
    ]
    if transfers:
        ledger.open_accounts(
            tx,
            accounts=[
                *(
                    ledger.Account(receivable_account(one.contract_id), "receivable", one.new_total.currency)
                    for one in corrections
                ),
                *(revenue(currency) for currency in sorted({transfer.amount.currency for transfer in transfers})),
            ],
        )
        ledger.post(tx, transfers=transfers)
    again: dict[str, list[Bill]] = defaultdict(list)
    for one in corrections:
        if one.way == "rebill":
            old, new = versions[one.bill_id]
            edition = old.edition + 1
            key = document_id(contract_id=old.contract_id, start=old.start, kind=old.kind, edition=edition)
            again[old.run_id].append(replace(new, id=key, edition=edition, replaces=old.id))
    for run_id, bills in sorted(again.items()):
        month = tx.execute(sa.select(bill_run.c.month).where(bill_run.c.id == run_id)).scalar_one()
        write_bills(tx, bills=bills, month=month, deductions=deductions)


def _transfers(one: Correction, old: Bill) -> list[ledger.Transfer]:
    """The difference; or, where the bill is cancelled, the exact reverse of all that was posted for it."""
    posted = {f"bill:{old.id}": old.total, **{c.transfer_id: c.difference for c in old.corrections}}
    if one.way == "rebill":
        return [
            receivable_transfer(
                transfer_id=f"{transfer_id}:cancelled",
                contract_id=old.contract_id,
                amount=-amount,
                purpose="bill_cancelled",
                reference=old.id,
                now=one.made_at,
                corrects=transfer_id,
            )
            for transfer_id, amount in posted.items()
            if amount.micro
        ]
    if not one.difference.micro:
        return []
    return [
        receivable_transfer(
            transfer_id=one.transfer_id,
            contract_id=old.contract_id,
            amount=one.difference,
            purpose="bill_correction",
            reference=old.id,
            now=one.made_at,
            corrects=f"bill:{old.id}" if old.total.micro else None,
        )
    ]


def _work_off(tx: Transaction, news: Mapping[str, Sequence[Row]], waits: Mapping[str, str]) -> None:
    """Forget the news that took effect; say of the rest why it waits."""
    done = [row.id for point, rows in news.items() if point not in waits for row in rows]
    for piece in chunked(done):
        tx.execute(late_news.delete().where(late_news.c.id.in_(piece)))
    for point, because in sorted(waits.items()):
        tx.execute(late_news.update().where(late_news.c.service_point_id == point).values(waits=because))
