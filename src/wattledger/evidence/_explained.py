"""A transfer, taken apart: the charge lines it is the sum of, their clauses, the intervals behind them, the meter.

An amount follows from what was known when it was posted. So it is counted again from the readings as they were known
then, and is called *proved* only if the same amount comes out, to the last micro-unit; what has become known since is
told beside it, as the transfers that corrected it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import numpy as np

from wattledger import billing, ledger, prepay, pricing, registry
from wattledger.billing import BillPart, line_changes, rated_part
from wattledger.evidence._purposes import WORDS
from wattledger.kernel import IntervalSeries, Money, Period, Problem, Quality, epoch, from_epoch
from wattledger.pricing import WAITS, Dossier
from wattledger.registry import Segment
from wattledger.store import Transaction
from wattledger.tariffs import Rating, settle

Told: TypeAlias = dict[str, Any]
"""JSON: text, whole numbers, lists, objects. Money and energy are decimal text."""

_DEDUCTIONS = {"deduction", "deduction_corrected", "deduction_returned"}
_POSTINGS_MAX = 2_000
_DAY = timedelta(days=1)
_TICK = timedelta(microseconds=1)


def explain_transfer(tx: Transaction, *, transfer_id: str) -> Told:
    """What a transfer is and how its amount came to be.

    ``transfer``  as it was posted; ``what`` in words; ``about`` the recharge, debt, bill ... that it belongs to
    ``proof``     for what was priced: whether the same amount comes out again from what was known then, the tariff's
                  version and hash, the charge ``lines`` whose differences add up to the amount, the ``intervals`` that
                  made them with their quality, and the meter
    ``later``     the transfers that corrected it since

    Raises :class:`~wattledger.ledger.TransferUnknown`.
    """
    transfer = ledger.transfer_with_id(tx, transfer_id=transfer_id)
    told: Told = {
        "transfer": {
            "id": transfer.id,
            "debit_account": transfer.debit_account,
            "credit_account": transfer.credit_account,
            "amount": transfer.amount.text,
            "currency": transfer.amount.currency,
            "purpose": transfer.purpose,
            "reference": transfer.reference,
            "posted_at": _at(transfer.posted_at),
            "corrects": transfer.corrects,
        },
        "what": WORDS.get(transfer.purpose, f"a transfer for {transfer.purpose}"),
    }
    if transfer.purpose in _DEDUCTIONS:
        return told | _deduction(tx, transfer)
    teller = _TELLERS.get(transfer.purpose)
    return told | (teller(tx, transfer) if teller is not None else {})


# --- Deductions


def _deduction(tx: Transaction, transfer: ledger.Transfer) -> Told:
    """One posting of a segment: what the segment came to when it was posted, less what it had come to before."""
    stem, _, number_text = transfer.id.rpartition(":")
    number, start = int(number_text), _start_of(stem)
    contract = stem.removeprefix("deduction:")[: -len(":2026-01-01T00:00Z")]
    ids = [f"{stem}:{one}" for one in range(_POSTINGS_MAX)]
    known = ledger.transfers_with_ids(tx, transfer_ids=ids[: number + 1])
    postings = [known[one] for one in ids[: number + 1]]
    later = _later(tx, ids[number + 1 :])
    wallet = prepay.wallet_account(contract)
    totals = [Money.zero(transfer.amount.currency)]
    for one in postings:
        totals.append(totals[-1] + (one.amount if one.debit_account == wallet else -one.amount))
    about: Told = {
        "about": {"contract": contract, "since": _at(start), "number": number},
        "later": [_short(one, wallet) for one in later],
    }
    segment = _segment_at(tx, contract, start)
    if segment is None:
        return about | {"proof": _unproved("the contract has no term in force at that time any more")}
    before_at = postings[-2].posted_at if number else None
    try:
        after = _priced(tx, segment, known_at=transfer.posted_at, total=totals[-1], latest=transfer.posted_at)
        before = None
        if before_at is not None:
            before = _priced(tx, segment, known_at=before_at, total=totals[-2], latest=before_at)
    except WAITS as problem:
        return about | {"proof": _unproved(str(problem))}
    return about | {"proof": _proof(tx, segment, before, after, expected=totals[-1] - totals[-2])}


class _Found:
    """A segment counted again: with which readings, reckoned to when, and whether the total is the one wanted."""

    def __init__(self, dossier: Dossier, rating: Rating, until: datetime, *, fits: bool) -> None:
        self.dossier, self.rating, self.until, self.fits = dossier, rating, until, fits
        self.part = rated_part(dossier.segment, rating.lines)


def _priced(tx: Transaction, segment: Segment, *, known_at: datetime, total: Money, latest: datetime) -> _Found:
    """The segment from what was known then. Charges by the day were reckoned to some day before: which is sought."""
    as_posted = _priced_as_of(tx, segment, known_at, total, latest)
    if as_posted.fits:
        return as_posted
    # What came at the very same instant may have come after the posting.
    just_before = _priced_as_of(tx, segment, known_at - _TICK, total, latest)
    return just_before if just_before.fits else as_posted


def _priced_as_of(tx: Transaction, segment: Segment, known_at: datetime, total: Money, latest: datetime) -> _Found:
    dossier = pricing.dossier(tx, segment=segment, as_of=known_at)
    state = dossier.state()
    heard = max((_end(one) for piece in dossier.readings for one in piece.values() if len(one)), default=0)
    first, last = segment.period.start, min(segment.period.end, max(latest, from_epoch(heard)))
    tried: list[datetime] = [last, min(from_epoch(max(heard, epoch(first))), last)]
    at = last
    while at > first:
        at -= _DAY
        tried.append(max(at, first))
    ratings = ((until, settle(tariff=segment.tariff, state=state, until=until)) for until in dict.fromkeys(tried))
    found: _Found | None = None
    for until, rating in ratings:
        one = _Found(dossier, rating, until, fits=rating.total == total)
        if one.fits:
            return one
        found = found or one
    assert found is not None  # noqa: S101 - something was tried
    return found


def _proof(tx: Transaction, segment: Segment, before: _Found | None, after: _Found, *, expected: Money) -> Told:
    old: list[BillPart] = [] if before is None else [before.part]
    lines = _lines(old, [after.part], expected.currency)
    came = after.rating.total - (Money.zero(expected.currency) if before is None else before.rating.total)
    proved = after.fits and (before is None or before.fits) and came == expected
    because = (
        "counted again from the readings as they were known then, the same amount comes out"
        if proved
        else f"counted again it comes to {came.text} instead of {expected.text}: what it was priced with (an event, a "
        "published price, a fact, the tariff of that time) has been told otherwise since"
    )
    return {
        "proved": proved,
        "because": because,
        "amount": came.text,
        "period": _period(segment.period),
        "until": _at(after.until),
        "tariff": _tariff(segment),
        "lines": lines,
        "intervals": list(_news(before.dossier if before else None, after.dossier)),
        "quality": _qualities(after.dossier),
        "meter": meter_told(tx, segment),
    }


def _unproved(because: str) -> Told:
    return {"proved": False, "because": because, "lines": [], "intervals": []}


def _later(tx: Transaction, ids: Sequence[str]) -> list[ledger.Transfer]:
    known = ledger.transfers_with_ids(tx, transfer_ids=ids[:500])
    return [known[one] for one in ids[:500] if one in known and known[one].corrects is not None]


def _short(one: ledger.Transfer, account: str) -> Told:
    amount = one.amount if one.debit_account == account else -one.amount
    return {"transfer": one.id, "purpose": one.purpose, "amount": amount.text, "posted_at": _at(one.posted_at)}


def _start_of(stem: str) -> datetime:
    return datetime.fromisoformat(stem[-len("2026-01-01T00:00Z") :])


def _segment_at(tx: Transaction, contract_id: str, start: datetime) -> Segment | None:
    period = Period(start, start + timedelta(seconds=1))
    found = [
        one
        for one in registry.segments(tx, contract_ids=[contract_id], period=period)
        if one.period.start <= start < one.period.end
    ]
    return found[0] if found else None


# --- Bills


def _bill(tx: Transaction, transfer: ledger.Transfer) -> Told:
    bill = billing.bill_with_id(tx, bill_id=transfer.reference)
    told: Told = {"about": _bill_told(bill), "later": _corrected(bill)}
    segments = registry.segments(tx, contract_ids=[bill.contract_id], period=Period(bill.start, bill.end))
    segments = [one for one in segments if bill.start <= one.period.start and one.period.end <= bill.end]
    try:
        found = [_priced(tx, one, known_at=bill.issued_at, total=bill.total, latest=one.period.end) for one in segments]
    except WAITS as problem:
        return told | {"proof": _unproved(str(problem)) | {"lines": _lines([], bill.parts, bill.total.currency)}}
    whole = [settle(tariff=one.dossier.segment.tariff, state=one.dossier.state(), until=None) for one in found]
    came = sum((one.total for one in whole), start=Money.zero(bill.total.currency))
    proved = came == bill.total
    return told | {
        "proof": {
            "proved": proved,
            "because": "counted again from the readings as they were known then, the same amount comes out"
            if proved
            else f"counted again it comes to {came.text}: what it was priced with has been told otherwise since",
            "amount": came.text,
            "period": {"start": _at(bill.start), "end": _at(bill.end)},
            "tariff": [_tariff(one) for one in segments],
            "lines": _lines([], bill.parts, bill.total.currency),
            "intervals": [one for each in found for one in _news(None, each.dossier)],
            "quality": dict(sum((Counter(_qualities(one.dossier)) for one in found), start=Counter[str]())),
            "meter": [meter_told(tx, one) for one in segments],
        }
    }


def _bill_correction(tx: Transaction, transfer: ledger.Transfer) -> Told:
    bill = billing.bill_with_id(tx, bill_id=transfer.reference)
    signed = (
        transfer.amount if transfer.debit_account == billing.receivable_account(bill.contract_id) else -transfer.amount
    )
    fitting = [one for one in bill.corrections if one.difference == signed and one.made_at == transfer.posted_at]
    told: Told = {"about": _bill_told(bill)}
    if not fitting:
        return told
    correction = fitting[0]
    return told | {
        "proof": {
            "proved": True,
            "because": "the bill as it was and as it is now differ by these lines",
            "amount": correction.difference.text,
            "lines": [_without_none(asdict(line)) for line in correction.lines],
            "causes": [
                {
                    "kind": one.kind,
                    "about": one.about,
                    "start": _at(one.start),
                    "end": _at(one.end),
                    "intervals": one.intervals,
                    "revised": one.revised,
                }
                for one in correction.causes
            ],
            "intervals": [],
        }
    }


def _bill_told(bill: billing.Bill) -> Told:
    return {
        "bill": bill.id,
        "kind": bill.kind,
        "contract": bill.contract_id,
        "start": _at(bill.start),
        "end": _at(bill.end),
        "total": bill.total.text,
        "edition": bill.edition,
    }


def _corrected(bill: billing.Bill) -> list[Told]:
    return [
        {"number": one.number, "way": one.way, "amount": one.difference.text, "posted_at": _at(one.made_at)}
        for one in bill.corrections
    ]


# --- Recharges and what they pay first


def _recharge(tx: Transaction, transfer: ledger.Transfer) -> Told:
    recharge = prepay.recharge_with_id(tx, recharge_id=transfer.reference)
    return {
        "about": {
            "recharge": recharge.id,
            "contract": recharge.contract_id,
            "method": recharge.method,
            "key": recharge.key,
            "amount": recharge.amount.text,
            "created_at": _at(recharge.created_at),
            "available_after": recharge.balance_after.text,
            "parts": [{"kind": one.kind, "name": one.name, "amount": one.amount.text} for one in recharge.parts],
        }
    }


def _reference(name: str) -> Callable[[Transaction, ledger.Transfer], Told]:
    return lambda _, transfer: {"about": {name: transfer.reference}}


_TELLERS: Mapping[str, Callable[[Transaction, ledger.Transfer], Told]] = {
    "agent_funded": _reference("agent"),
    "agent_lent": _reference("agent"),
    "agent_settled": _reference("agent"),
    "bill": _bill,
    "bill_cancelled": _bill_correction,
    "bill_correction": _bill_correction,
    "closing_refund": _reference("contract"),
    "debt_agreed": _reference("debt"),
    "debt_by_day": _reference("debt"),
    "debt_closing": _reference("contract"),
    "debt_share": _recharge,
    "deposit": _reference("contract"),
    "deposit_returned": _reference("contract"),
    "emergency_credit": _reference("contract"),
    "emergency_repaid": lambda tx, transfer: (
        {"about": {"contract": transfer.reference}} if transfer.id.startswith("closing:") else _recharge(tx, transfer)
    ),
    "recharge": _recharge,
    "recharge_fee": _recharge,
    "refund": _reference("refund"),
    "refund_undone": _reference("refund"),
    "social_units": _reference("grant"),
}


# --- Pieces


def _lines(old: Sequence[BillPart], new: Sequence[BillPart], currency: str) -> list[Told]:
    clauses = {
        (line.charge, line.kind, line.period, line.season, line.tier, line.unit): line.clause
        for part in (*old, *new)
        for line in part.lines
    }
    return [
        _without_none(asdict(one))
        | {"clause": clauses.get((one.charge, one.kind, one.period, one.season, one.tier, one.unit), "")}
        for one in line_changes(old, new, currency=currency)
    ]


def _without_none(told: Told) -> Told:
    return {name: value for name, value in told.items() if value is not None}


def _tariff(segment: Segment) -> Told:
    tariff = segment.tariff
    return {"id": tariff.id, "version": tariff.version, "hash": tariff.hash, "name": tariff.name}


def meter_told(tx: Transaction, segment: Segment) -> Told:
    """The service point, and the meter that hung there when the stretch began."""
    told: Told = {"service_point": segment.service_point_id}
    try:
        installed = registry.meter_at(tx, service_point_id=segment.service_point_id, at=segment.period.start)
    except Problem:
        return told  # readings came from a file, or the meter was hung there later
    return told | {"meter": installed.meter_id, "serial": installed.serial}


def _news(before: Dossier | None, after: Dossier) -> Iterator[Told]:
    """The intervals that came, or became others, between two looks; ``was`` is what was known before."""
    known: dict[tuple[str, int, int], tuple[int, int]] = {}
    if before is not None:
        known = {key: value for key, value, _ in _intervals(before)}
    for (channel, start, seconds), (value, quality), decimals in _intervals(after):
        was = known.get((channel, start, seconds))
        if was != (value, quality):
            told = {
                "channel": channel,
                "start": _at(from_epoch(start)),
                "seconds": seconds,
                "kwh": _kwh(value, decimals),
                "quality": Quality(quality).name.lower(),
            }
            yield (
                told
                if was is None
                else told | {"was": {"kwh": _kwh(was[0], decimals), "quality": Quality(was[1]).name.lower()}}
            )


def _intervals(dossier: Dossier) -> Iterator[tuple[tuple[str, int, int], tuple[int, int], int]]:
    for piece in dossier.readings:
        for channel, series in sorted(piece.items()):
            rows = zip(series.starts.tolist(), series.values.tolist(), series.qualities.tolist(), strict=True)
            for start, value, quality in rows:
                if quality != Quality.MISSING:
                    yield (channel, start, series.seconds), (value, quality), series.decimals


def _kwh(value: int, decimals: int) -> str:
    digits = f"{abs(value):0{decimals + 1}d}"
    whole = f"{digits[:-decimals]}.{digits[-decimals:]}" if decimals else digits
    return f"-{whole}" if value < 0 else whole


def _qualities(dossier: Dossier) -> dict[str, int]:
    found: Counter[str] = Counter()
    for piece in dossier.readings:
        for series in piece.values():
            kinds, counts = np.unique(series.qualities, return_counts=True)
            found.update({Quality(kind).name.lower(): int(count) for kind, count in zip(kinds, counts, strict=True)})
    return dict(found)


def _end(series: IntervalSeries) -> int:
    return int(series.starts[-1]) + series.seconds


def _period(period: Period) -> Told:
    return {"start": _at(period.start), "end": _at(period.end)}


def _at(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
