"""From segments and stored readings to rating states, with what a contract's earlier segments left to the later.

What was left is never kept in a row of its own: it follows from the readings, so it is counted from them again when it
is asked for. A tariff without memory asks for nothing, and what goes on from a kept state carries it along.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

import numpy as np

from wattledger import readings, registry, tariffs
from wattledger.kernel import IntervalSeries, Period, Problem, epoch, zone_named
from wattledger.pricing._signals import signals
from wattledger.registry import Segment
from wattledger.store import Transaction, chunked
from wattledger.tariffs import NO_HISTORY, History, Rating, RatingState, Signals, Tariff

_CONTRACTS_TOGETHER = 100  # a year of quarter hours of so many is some 60 MB

_Key = tuple[str, datetime]
_Stretch = Mapping[str, IntervalSeries]
"""Readings by channel, each of one interval length."""
_NOTHING = IntervalSeries.empty()

WAITS = (
    tariffs.FactUnknown,
    tariffs.IndexPriceMissing,
    tariffs.IntervalsDoNotFit,
    tariffs.TariffNotInForce,
)
"""What can keep a price from being known. It concerns one contract and must not hold up the others'."""

Outcome = RatingState | Problem
"""What was counted of a segment, or why no price can be told: what is missing may come later."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A segment's state from before, still right in what earlier segments left to it.

    ``fresh`` is what has come since, by channel; ``None``: values were corrected, count again from what is stored.
    """

    state: RatingState
    fresh: Mapping[str, IntervalSeries] | None


def fits(*, segment: Segment, state: RatingState) -> bool:
    """Whether a state was counted under the bounds, the version and the facts that the segment has now."""
    facts = tuple(sorted((name, text) for name, text in segment.facts.items() if name in segment.tariff.facts))
    bill = epoch(segment.bill.start), epoch(segment.bill.end)
    bounds = epoch(segment.period.start), epoch(segment.period.end)
    return (
        (state.start, state.end) == bounds
        and state.bill == bill
        and state.facts == facts
        and segment.tariff.hash.startswith(state.tariff)
    )


def reaches(*, earlier: Segment, later: Segment) -> bool:
    """Whether what ``later`` costs may depend on what was used in ``earlier``."""
    return (
        _same_supply(earlier, later)
        and earlier.period.start < later.period.start
        and earlier.period.end > _remembered_from(later)
    )


def counted(
    tx: Transaction, *, segments: Sequence[Segment], kept: Mapping[_Key, Kept] | None = None
) -> dict[_Key, Outcome]:
    """The state of each segment (by :attr:`Segment.key`) with all its stored readings counted.

    Those with a state in ``kept`` go on from it; the others are counted from the beginning, after the contract's
    earlier segments as far as their tariff looks back.
    """
    found: dict[_Key, Outcome] = {}
    contracts: dict[str, list[Segment]] = defaultdict(list)
    for segment in segments:
        contracts[segment.contract_id].append(segment)
    for piece in chunked(sorted(contracts), _CONTRACTS_TOGETHER):
        found.update(_Counting(tx, [s for contract in piece for s in contracts[contract]], kept or {}).outcomes())
    return found


def settled(*, segment: Segment, outcome: Outcome, until: datetime | None = None) -> Rating | Problem:
    """The bill of what was counted, reckoned to ``until`` (or the segment's end), or why there is none."""
    if not isinstance(outcome, RatingState):
        return outcome
    try:
        return tariffs.settle(tariff=segment.tariff, state=outcome, until=until)
    except WAITS as problem:
        return problem


def running(tx: Transaction, *, segment: Segment, untils: Sequence[datetime]) -> list[Rating]:
    """The running bill of one segment as it stood at each of some instants, in their order.

    It counts what was used until then, and what is charged for the days begun before. Raises what keeps a price from
    being known (``FactUnknown``, ``IndexPriceMissing`` ...).
    """
    counting = _Counting(tx, [segment], {})
    state, at = counting.begun(segment), segment.period.start
    known = counting.readings_of(segment)
    ratings: dict[datetime, Rating] = {}
    for until in sorted(set(untils)):
        if until > at:
            for stretch in known:
                fresh = {channel: series.within(Period(at, until)) for channel, series in stretch.items()}
                state = counting.advanced(segment, state, fresh)
            at = until
        ratings[until] = tariffs.settle(tariff=segment.tariff, state=state, until=until)
    return [ratings[until] for until in untils]


@dataclass(frozen=True, slots=True, eq=False)
class Dossier:
    """All that the price of a segment follows from, and nothing else.

    ``opening``   the state before its first interval: what earlier segments left is in it
    ``readings``  what was used, by channel, in the order of time: one piece for each length that intervals had
    ``signals``   the announced events and published prices that its tariff names
    """

    segment: Segment
    opening: RatingState
    readings: Sequence[_Stretch]
    signals: Signals

    def state(self) -> RatingState:
        """The state with everything counted; raises what keeps a price from being known."""
        state = self.opening
        for piece in self.readings:
            priced = {name: one for name, one in piece.items() if len(one)}
            if priced:
                state = tariffs.advance(tariff=self.segment.tariff, state=state, series=priced, signals=self.signals)
        return state


def dossier(tx: Transaction, *, segment: Segment, as_of: datetime | None = None) -> Dossier:
    """What a segment's price follows from: the readings as they were known at ``as_of``, all else as it is now."""
    counting = _Counting(tx, [segment], {}, as_of=as_of)
    return Dossier(
        segment=segment,
        opening=counting.begun(segment),
        readings=counting.readings_of(segment),
        signals=counting.signals_of(segment),
    )


def _same_supply(one: Segment, other: Segment) -> bool:
    """Counters belong to a contract on a tariff: whoever changes to another tariff begins them anew."""
    return (one.contract_id, one.tariff.id, one.since) == (other.contract_id, other.tariff.id, other.since)


def _remembered_from(segment: Segment) -> datetime:
    """From when on what was used may matter to the segment's price; within the contract's time on this tariff."""
    first = looks_back_to(segment)
    return segment.since if first is None else max(min(first, segment.bill.start), segment.since)


def looks_back_to(segment: Segment) -> datetime | None:
    """From when on what was used may matter to the segment's price; ``None``: from the beginning."""
    tariff, zone = segment.tariff, zone_named(segment.tariff.zone or segment.zone)
    first = tariffs.looks_back_to(tariff=tariff, zone=zone, start=segment.bill.start)
    if first is not None and _remembers_amounts(tariff):
        # What an amount came to depends on memories of its own.
        first = tariffs.looks_back_to(tariff=tariff, zone=zone, start=first)
    return first


def _remembers_amounts(tariff: Tariff) -> bool:
    bank = tariff.netting.bank
    yearly = any(c["kind"] == "minimum" and c.get("per") == "year" for c in tariff.document["charges"])
    return yearly or (bank is not None and bank.unit == "money")


def _asks_for_beginning(tariff: Tariff) -> bool:
    """Whether limits are cut by how much of a year (quarter ...) the contract has been there for."""
    return any(
        charge.tiers is not None
        and charge.tiers.basis in {"year", "quarter", "rolling"}
        and charge.tiers.proration.rule != "none"
        for charge in tariff.energy
    )


class _Counting:
    """One counting of some contracts' segments: loads what they need once."""

    def __init__(
        self,
        tx: Transaction,
        segments: Sequence[Segment],
        kept: Mapping[_Key, Kept],
        *,
        as_of: datetime | None = None,
    ) -> None:
        self._segments = segments
        self._kept = kept
        self._from = {s.key: _remembered_from(s) for s in segments if s.key not in kept}
        self._earlier = self._earlier_segments(tx)
        self._after: dict[tuple[_Key, _Key, int | None], History] = {}
        earlier = [one for row in self._earlier.values() for one in row]
        span = Period(
            min(s.period.start for s in (*segments, *earlier)), max(s.period.end for s in (*segments, *earlier))
        )
        self._signals: Signals = signals(tx, tariffs={s.tariff for s in (*segments, *earlier)}, period=span)
        anew = [s for s in segments if s.key not in kept or _counts_anew(s, kept[s.key])]
        self._tx = tx
        self._series = _stored_by_length(tx, [*anew, *earlier], as_of=as_of)

    def _earlier_segments(self, tx: Transaction) -> dict[_Key, list[Segment]]:
        """For each segment that asks for them, those before it that it remembers, in order."""
        asking = [s for s in self._segments if self._from.get(s.key, s.period.start) < s.period.start]
        if not asking:
            return {}
        span = Period(min(self._from[s.key] for s in asking), max(s.period.start for s in asking))
        by_contract: dict[str, list[Segment]] = defaultdict(list)
        for one in registry.segments(tx, contract_ids={s.contract_id for s in asking}, period=span):
            by_contract[one.contract_id].append(one)
        return {
            s.key: [
                one
                for one in sorted(by_contract[s.contract_id], key=lambda e: e.period.start)
                if _same_supply(one, s) and one.period.end > self._from[s.key] and one.period.start < s.period.start
            ]
            for s in asking
        }

    def outcomes(self) -> dict[_Key, Outcome]:
        found: dict[_Key, Outcome] = {}
        for segment in self._segments:
            try:
                found[segment.key] = self._outcome(segment)
            except WAITS as problem:
                found[segment.key] = problem
        return found

    def _outcome(self, segment: Segment) -> RatingState:
        kept = self._kept.get(segment.key)
        if kept is None:
            return self._counted(segment, self.begun(segment), self.readings_of(segment))
        if kept.fresh is not None and not _counts_anew(segment, kept):
            try:
                return self.advanced(segment, kept.state, kept.fresh)
            except tariffs.OutOfOrder:
                known = _stretches(_stored_by_length(self._tx, [segment]), segment)
        else:
            known = self.readings_of(segment)
        return self._counted(segment, self._opened(segment, kept.state.history), known)

    def begun(self, segment: Segment) -> RatingState:
        """Nothing counted yet, after what the earlier segments left."""
        since = epoch(segment.since) if _asks_for_beginning(segment.tariff) else None
        first = looks_back_to(segment)
        if since is not None and first is not None and since <= epoch(first):
            since = None  # it was there all the time: as everybody, so that what is compiled serves all
        history = replace(NO_HISTORY, since=since)
        earlier = self._earlier.get(segment.key, [])
        for one in earlier:
            memo = (earlier[0].key, one.key, since)
            if memo not in self._after:
                state = self._counted(one, self._opened(one, history), self.readings_of(one))
                self._after[memo] = tariffs.history_after(tariff=one.tariff, state=state)
            history = self._after[memo]
        return self._opened(segment, history)

    def _opened(self, segment: Segment, history: History) -> RatingState:
        return tariffs.open_state(
            tariff=segment.tariff,
            period=segment.period,
            zone=segment.zone,
            bill=segment.bill,
            facts=segment.facts,
            history=history,
        )

    def _counted(self, segment: Segment, state: RatingState, known: Sequence[_Stretch]) -> RatingState:
        for stretch in known:
            state = self.advanced(segment, state, stretch)
        return state

    def advanced(self, segment: Segment, state: RatingState, series: Mapping[str, IntervalSeries]) -> RatingState:
        """The state with what came on the channels that the tariff prices."""
        priced = {channel: one for channel, one in series.items() if channel in segment.tariff.channels and len(one)}
        if not priced:
            return state
        return tariffs.advance(tariff=segment.tariff, state=state, series=priced, signals=self._signals)

    def signals_of(self, segment: Segment) -> Signals:
        """What was announced and published of what the segment's tariff names."""
        named = segment.tariff
        return Signals(
            events={name: kept for name, kept in self._signals.events.items() if name in named.events},
            prices={name: kept for name, kept in self._signals.prices.items() if name in named.index_series},
        )

    def readings_of(self, segment: Segment) -> list[_Stretch]:
        """What is stored for the segment, in the order of time."""
        return _stretches(self._series, segment)


def _stretches(stored: Mapping[tuple[str, str], Sequence[IntervalSeries]], segment: Segment) -> list[_Stretch]:
    """The segment's readings by channel; where the length of intervals changes within it, cut there."""
    found = {
        channel: [one.within(segment.period) for one in stored.get((channel, segment.service_point_id), ())]
        for channel in segment.tariff.channels
    }
    cuts = {epoch(segment.period.start), epoch(segment.period.end)}
    for lengths in found.values():
        if len(lengths) > 1:
            starts = np.concatenate([one.starts for one in lengths])
            seconds = np.concatenate([np.full(len(one), one.seconds) for one in lengths])
            order = np.argsort(starts)
            cuts.update(starts[order][1:][np.diff(seconds[order]) != 0].tolist())
    windows = [Period.of_epochs(first, last) for first, last in pairwise(sorted(cuts))]
    return [
        {
            channel: next((part for one in lengths if len(part := one.within(window))), _NOTHING)
            for channel, lengths in found.items()
        }
        for window in windows
    ]


def _stored_by_length(
    tx: Transaction, segments: Sequence[Segment], *, as_of: datetime | None = None
) -> dict[tuple[str, str], list[IntervalSeries]]:
    """What is stored of the time of these segments, in every length that intervals had in it."""
    found: dict[tuple[str, str], list[IntervalSeries]] = {}
    if segments:
        span, points = _asked(segments)
        for channel in sorted({channel for s in segments for channel in s.tariff.channels}):
            known = readings.series_by_length(tx, service_point_ids=points, period=span, channel=channel, as_of=as_of)
            found.update(((channel, point), lengths) for point, lengths in known.items())
    return found


def _asked(segments: Sequence[Segment]) -> tuple[Period, set[str]]:
    span = Period(min(s.period.start for s in segments), max(s.period.end for s in segments))
    return span, {s.service_point_id for s in segments}


def stored_readings(
    tx: Transaction, segments: Sequence[Segment], *, channels: Collection[str] | None = None
) -> dict[tuple[str, str], IntervalSeries]:
    """What is stored of the time of these segments, by channel and service point; all channels that they price.

    Of a channel whose interval length changed within it, what it has in the last one.
    """
    found: dict[tuple[str, str], IntervalSeries] = {}
    if segments:
        span, points = _asked(segments)
        for channel in sorted(channels or {channel for s in segments for channel in s.tariff.channels}):
            series = readings.series_of_points(tx, service_point_ids=points, period=span, channel=channel)
            found.update(((channel, point), one) for point, one in series.items())
    return found


def _counts_anew(segment: Segment, kept: Kept) -> bool:
    """Whether a kept state is of no use but for its history: what is netted by the interval must come together."""
    return kept.fresh is None or (segment.tariff.netting.per == "interval" and bool(kept.fresh))
