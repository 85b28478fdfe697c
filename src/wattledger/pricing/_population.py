"""The customers of a database as a population for ``compare``: their bills' times, readings, facts, what they pay."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from itertools import groupby

from wattledger import registry, tariffs
from wattledger.kernel import Money, Period, zone_named
from wattledger.pricing._counting import counted, settled, stored_readings
from wattledger.pricing._signals import signals
from wattledger.pricing._whatif import Comparison, Customer, NothingToCompare, compare, joined
from wattledger.registry import Segment
from wattledger.store import Transaction, chunked
from wattledger.tariffs import Rating, Tariff

_CONTRACTS_TOGETHER = 200


def compare_contracts(tx: Transaction, *, new: Tariff, old: Tariff | None, within: Period) -> Comparison:
    """What contracts would pay under ``new`` for the bills that begin ``within`` a period, beside ``old``.

    Without ``old``: all contracts, beside what they pay today. With it: the contracts that are on a tariff of its id;
    if none is, all. Raises ``NothingToCompare``.
    """
    found: list[Comparison] = []
    reason: NothingToCompare | None = None
    ids = registry.contract_ids(tx, period=within)
    on_old = set(_on_tariff(tx, ids, old, within)) if old is not None else set()
    ids = [contract for contract in ids if contract in on_old] if on_old else ids
    channels = {*new.channels, *(() if old is None else old.channels)}
    span = Period(_asked_from(new, old, within), within.end)
    told = signals(tx, tariffs=[new] if old is None else [new, old], period=span)
    for piece in chunked(ids, _CONTRACTS_TOGETHER):
        customers = list(_customers(tx, piece, span, within, channels=channels, priced=old is None))
        try:
            found.append(compare(customers=customers, new=new, old=old, within=within, signals=told))
        except NothingToCompare as problem:
            reason = problem
    if not found and reason is not None:
        raise reason
    return joined(found)


def _on_tariff(tx: Transaction, ids: Sequence[str], old: Tariff, within: Period) -> Iterator[str]:
    for piece in chunked(ids, _CONTRACTS_TOGETHER):
        for segment in registry.segments(tx, contract_ids=piece, period=within):
            if segment.tariff.id == old.id:
                yield segment.contract_id


def _asked_from(new: Tariff, old: Tariff | None, within: Period) -> datetime:
    """From when on readings may matter: what a tariff remembers of the time before is priced under it too."""
    first = within.start
    for tariff in (new, *([] if old is None else [old])):
        zone = zone_named(tariff.zone or "UTC")
        back = tariffs.looks_back_to(tariff=tariff, zone=zone, start=within.start)
        # Without a bound (a bank that never expires) a year is as good as any beginning.
        first = min(first, within.start.replace(year=within.start.year - 1, day=1) if back is None else back)
    return first


def _customers(
    tx: Transaction, ids: Sequence[str], span: Period, within: Period, *, channels: Collection[str], priced: bool
) -> Iterator[Customer]:
    segments = [s for s in registry.segments(tx, contract_ids=ids, period=span) if s.bill.start < within.end]
    paid = _paid(tx, [s for s in segments if s.bill.start in within]) if priced else {}
    stored = stored_readings(tx, segments, channels=channels)
    for contract, members in groupby(segments, key=lambda s: s.contract_id):
        parts: dict[Period, list[Segment]] = defaultdict(list)
        for segment in members:
            parts[segment.bill].append(segment)
        point = next(iter(parts.values()))[0].service_point_id
        series = {channel: one for (channel, where), one in stored.items() if where == point}
        used = [any(len(one.within(bill)) for one in series.values()) for bill in parts]
        if not any(flag and bill.start in within for flag, bill in zip(used, parts, strict=True)):
            continue  # nothing was read
        bills = list(parts)[used.index(True) :]
        yield Customer(
            id=contract,
            zone=parts[bills[0]][0].zone,
            series=series,
            bills=bills,
            facts=[parts[bill][0].facts for bill in bills],
            now=[_sum_of(parts[bill], paid) for bill in bills] if priced else None,
        )


def _paid(tx: Transaction, segments: Sequence[Segment]) -> dict[tuple[str, datetime], Money | None]:
    outcomes = counted(tx, segments=segments)
    found: dict[tuple[str, datetime], Money | None] = {}
    for segment in segments:
        rating = settled(segment=segment, outcome=outcomes[segment.key])
        found[segment.key] = rating.total if isinstance(rating, Rating) else None
    return found


def _sum_of(parts: Sequence[Segment], paid: dict[tuple[str, datetime], Money | None]) -> Money | None:
    total = Money.zero(parts[0].currency)
    for part in parts:
        amount = paid.get(part.key, Money.zero(part.currency))  # before the period: not compared
        if amount is None:
            return None
        total += amount
    return total
