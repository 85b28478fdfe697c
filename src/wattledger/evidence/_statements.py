"""Statements: a month of a contract with all that its price follows from, for whoever wants to count it again."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from wattledger import pricing, registry
from wattledger.billing import month_period
from wattledger.evidence._explained import Told, meter_told
from wattledger.evidence._lines import line_told
from wattledger.evidence._signing import Signer
from wattledger.kernel import IntervalSeries, Money, Problem, epoch
from wattledger.pricing import Dossier
from wattledger.store import Transaction
from wattledger.tariffs import Signals, settle

FORMAT = "wattledger-statement-1"


class StatementRefused(Problem):
    """There is nothing to state."""

    slug = "statement-refused"
    title = "There is no such statement"
    status = 404


def statement(tx: Transaction, *, contract_id: str, month: str, signer: Signer, now: datetime) -> Told:
    """A contract's local calendar month (``2026-03``), signed; a month that is not over is stated up to ``now``.

    It holds whole numbers and text only: the readings (units of ``10**-decimals`` kWh), the tariff's document,
    announced events, published prices, what earlier months left, and the charge lines. Raises
    :class:`StatementRefused`, and what keeps a price from being known (``FactUnknown``, ``IndexPriceMissing`` ...).
    """
    if not re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", month):
        raise StatementRefused(f"{month!r} is no month", remedy="write it as 2026-03")
    segments = registry.month_segments(
        tx, contract_ids=[contract_id], month_of=lambda zone: month_period(month, zone=zone)
    )
    if not segments or segments[0].period.start >= now:
        registry.contract(tx, contract_id=contract_id, at=now)  # whoever asks for no contract at all is told that
        raise StatementRefused(f"contract {contract_id} has no term in {month}", remedy="ask for another month")
    parts, total = [], Money.zero(segments[0].currency)
    for segment in segments:
        if segment.period.start < now:
            part, amount = _part(tx, pricing.dossier(tx, segment=segment), until=min(segment.period.end, now))
            parts.append(part)
            total += amount
    return signer.signed(
        {
            "format": FORMAT,
            "contract": contract_id,
            "mode": segments[0].mode,
            "month": month,
            "zone": segments[0].zone,
            "currency": segments[0].currency,
            "made_at": epoch(now),
            "parts": parts,
            "total": total.text,
        }
    )


def _part(tx: Transaction, dossier: Dossier, *, until: datetime) -> tuple[Told, Money]:
    segment = dossier.segment
    rating = settle(tariff=segment.tariff, state=dossier.state(), until=until)
    told = {
        "start": epoch(segment.period.start),
        "end": epoch(segment.period.end),
        "until": epoch(until),
        "meter": meter_told(tx, segment),
        "tariff": {"hash": segment.tariff.hash, "document": _plain(segment.tariff.document)},
        "opening": _plain(dossier.opening.to_json()),
        "readings": [
            _readings(channel, series)
            for piece in dossier.readings
            for channel, series in sorted(piece.items())
            if len(series)
        ],
        **_signals(dossier.signals),
        "lines": [line_told(line) for line in rating.lines],
        "missing": rating.missing,
        "total": rating.total.text,
    }
    return told, rating.total


def _readings(channel: str, series: IntervalSeries) -> Told:
    return {
        "channel": channel,
        "seconds": series.seconds,
        "decimals": series.decimals,
        "starts": series.starts.tolist(),
        "values": series.values.tolist(),
        "qualities": series.qualities.tolist(),
    }


def _signals(signals: Signals) -> Told:
    return {
        "events": {
            name: [[epoch(one.start), epoch(one.end)] for one in periods] for name, periods in signals.events.items()
        },
        "prices": {
            name: {
                "starts": prices.starts.tolist(),
                "values": [int(value) for value in prices.values],
                "decimals": prices.decimals,
                "seconds": prices.seconds,
            }
            for name, prices in signals.prices.items()
        },
    }


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON with tuples in it
    """The same with lists for tuples, as JSON gives it back."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(one) for one in value]
    return value
