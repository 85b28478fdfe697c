"""Loads over a threshold, told when the readings come: who is to be told, and what is to be curtailed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from wattledger import registry, tariffs
from wattledger.kernel import IntervalSeries, Period, local_days, zone_named
from wattledger.pricing._counting import WAITS, stored_readings
from wattledger.pricing._signals import signals
from wattledger.readings import Change
from wattledger.registry import Segment
from wattledger.store import Fact, Transaction
from wattledger.tariffs import LoadNotice, Signals, Tariff

_TOLD = ("notice", "curtail")
_BEFORE = timedelta(days=2)
"""How far back is measured again: a load that has lasted longer was told long since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadExceeded(Fact):
    """A load clause took hold: the load has been over its threshold for its duration; told once.

    ``action`` is ``notice`` or ``curtail``. ``start`` is when the load went over it, ``end`` until when it is known to
    have stayed (ISO 8601), ``peak_kw`` the highest mean power so far.
    """

    clause: str
    action: str
    start: str
    end: str
    peak_kw: str


def watch_loads(tx: Transaction, *, changes: Sequence[Change], now: datetime) -> int:
    """Tell :class:`LoadExceeded` of what a batch of readings shows for the first time; returns how often.

    For the batch's own unit of work, and for whoever pays, before or after.
    """
    if not changes or not any(_is_watched(tariff) for tariff in registry.published_tariffs(tx)):
        return 0  # the usual case
    fresh: dict[str, dict[str, IntervalSeries]] = defaultdict(dict)
    for change in changes:
        if len(change.series):
            fresh[change.service_point_id][change.channel] = change.series
    spans = [one.period for by_channel in fresh.values() for one in by_channel.values() if one.period is not None]
    if not spans:
        return 0
    period = Period(min(span.start for span in spans), max(span.end for span in spans))
    found = registry.segments_of_points(tx, service_point_ids=list(fresh), period=period)
    watched = [s for s in found if _is_watched(s.tariff)]
    if not watched:
        return 0
    told = signals(tx, tariffs={s.tariff for s in watched}, period=_whole(watched))
    stored = stored_readings(tx, watched)
    count = 0
    for segment in watched:
        known = {channel: stored.get((channel, segment.service_point_id)) for channel in segment.tariff.channels}
        series = {channel: one for channel, one in known.items() if one is not None}
        for notice in _news(segment, series, fresh[segment.service_point_id], told):
            tx.emit(_fact(segment, notice, now))
            count += 1
    return count


def _is_watched(tariff: Tariff) -> bool:
    return any(c["kind"] == "load" and c.get("action") in _TOLD for c in tariff.document["charges"])


def _whole(segments: Sequence[Segment]) -> Period:
    return Period(min(s.period.start for s in segments), max(s.period.end for s in segments))


def _news(
    segment: Segment,
    known: Mapping[str, IntervalSeries],
    fresh: Mapping[str, IntervalSeries],
    told: Signals,
) -> list[LoadNotice]:
    """What took hold with the fresh readings and had not without them."""
    new = [one.within(segment.period).period for one in fresh.values()]
    spans = [span for span in new if span is not None]
    if not spans:
        return []
    since = min(span.start for span in spans) - _BEFORE
    zone = zone_named(segment.tariff.zone or segment.zone)
    midnight = next(local_days(Period(since, since + _BEFORE), zone=zone)).start  # from which windows are laid
    window = Period(max(segment.period.start, midnight), segment.period.end)
    before = {c: _without(one, fresh[c]) if c in fresh else one for c, one in known.items()}
    try:
        had, have = (_notices(segment, window, series, told) for series in (before, known))
    except WAITS:
        return []  # no price is known, so no clause either
    return [one for one in have if not any(_same_episode(one, other) for other in had)]


def _same_episode(one: LoadNotice, other: LoadNotice) -> bool:
    return one.charge == other.charge and one.start < other.end and other.start < one.end


def _without(series: IntervalSeries, fresh: IntervalSeries) -> IntervalSeries:
    return series.picked(~np.isin(series.starts, fresh.starts))


def _notices(segment: Segment, window: Period, series: Mapping[str, IntervalSeries], told: Signals) -> list[LoadNotice]:
    state = tariffs.open_state(
        tariff=segment.tariff, period=window, zone=segment.zone, bill=segment.bill, facts=segment.facts
    )
    parts = {channel: one.within(window) for channel, one in series.items()}
    state = tariffs.advance(tariff=segment.tariff, state=state, series=parts, signals=told)
    rating = tariffs.settle(tariff=segment.tariff, state=state)
    return [one for one in rating.notices if one.action in _TOLD]


def _fact(segment: Segment, notice: LoadNotice, now: datetime) -> LoadExceeded:
    return LoadExceeded(
        at=now,
        contract_id=segment.contract_id,
        clause=notice.charge,
        action=notice.action,
        start=notice.start.isoformat(),
        end=notice.end.isoformat(),
        peak_kw=f"{notice.peak_kw:f}",
    )
