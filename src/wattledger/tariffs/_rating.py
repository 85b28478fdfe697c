"""Readings to a bill, or to the bills of many months, in one call."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from typing import Literal, overload

from wattledger.kernel import IntervalSeries, Period, local_months
from wattledger.tariffs._counting import Readings, advance, open_state
from wattledger.tariffs._history import NO_HISTORY, History
from wattledger.tariffs._language import Tariff
from wattledger.tariffs._lines import ExactRating, Rating
from wattledger.tariffs._segments import clock_zone
from wattledger.tariffs._settling import history_after, settle
from wattledger.tariffs._signals import NO_SIGNALS, Fact, Signals


@overload
def rate(
    *,
    tariff: Tariff,
    series: Readings,
    period: Period,
    zone: str | tzinfo | None = None,
    bill: Period | None = None,
    facts: Mapping[str, Fact] | None = None,
    history: History = NO_HISTORY,
    signals: Signals = NO_SIGNALS,
    exact: Literal[False] = False,
) -> Rating: ...
@overload
def rate(
    *,
    tariff: Tariff,
    series: Readings,
    period: Period,
    zone: str | tzinfo | None = None,
    bill: Period | None = None,
    facts: Mapping[str, Fact] | None = None,
    history: History = NO_HISTORY,
    signals: Signals = NO_SIGNALS,
    exact: Literal[True],
) -> ExactRating: ...
def rate(  # noqa: PLR0913 - all that a price may depend on
    *,
    tariff: Tariff,
    series: Readings,
    period: Period,
    zone: str | tzinfo | None = None,
    bill: Period | None = None,
    facts: Mapping[str, Fact] | None = None,
    history: History = NO_HISTORY,
    signals: Signals = NO_SIGNALS,
    exact: bool = False,
) -> Rating | ExactRating:
    """The bill of ``period``: ``open_state``, ``advance`` and ``settle`` (see there) in one.

    ``series`` is what the channel ``import`` counted, or each channel by name.
    """
    state = open_state(tariff=tariff, period=period, zone=zone, bill=bill, facts=facts, history=history)
    state = advance(tariff=tariff, state=state, series=series, signals=signals)
    return settle(tariff=tariff, state=state, exact=True) if exact else settle(tariff=tariff, state=state)


@overload
def monthly(
    *,
    tariff: Tariff,
    series: Readings,
    zone: str | tzinfo | None = None,
    facts: Mapping[str, Fact] | None = None,
    history: History = NO_HISTORY,
    signals: Signals = NO_SIGNALS,
    exact: Literal[False] = False,
) -> list[Rating]: ...
@overload
def monthly(
    *,
    tariff: Tariff,
    series: Readings,
    zone: str | tzinfo | None = None,
    facts: Mapping[str, Fact] | None = None,
    history: History = NO_HISTORY,
    signals: Signals = NO_SIGNALS,
    exact: Literal[True],
) -> list[ExactRating]: ...
def monthly(
    *,
    tariff: Tariff,
    series: Readings,
    zone: str | tzinfo | None = None,
    facts: Mapping[str, Fact] | None = None,
    history: History = NO_HISTORY,
    signals: Signals = NO_SIGNALS,
    exact: bool = False,
) -> list[Rating] | list[ExactRating]:
    """The bills of all local calendar months that readings touch, the first and last clipped to them.

    Counters of a year, ratchets and banks go on from month to month.
    """
    channels = [series] if isinstance(series, IntervalSeries) else list(series.values())
    periods = [one.period for one in channels if one.period is not None]
    if not periods:
        return []
    whole = Period(min(period.start for period in periods), max(period.end for period in periods))
    rounded_bills: list[Rating] = []
    exact_bills: list[ExactRating] = []
    for month in local_months(whole, zone=clock_zone(tariff, zone)):
        period = month.intersection(whole) or month
        state = open_state(tariff=tariff, period=period, zone=zone, facts=facts, history=history)
        state = advance(tariff=tariff, state=state, series=series, signals=signals)
        if exact:
            exact_bills.append(settle(tariff=tariff, state=state, exact=True))
        else:
            rounded_bills.append(settle(tariff=tariff, state=state))
        history = history_after(tariff=tariff, state=state, exact=exact)
    return exact_bills if exact else rounded_bills
