"""Readings to a bill in one call."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from typing import Literal, overload

from wattledger.kernel import Period
from wattledger.tariffs._counting import Readings, advance, open_state
from wattledger.tariffs._history import NO_HISTORY, History
from wattledger.tariffs._language import Tariff
from wattledger.tariffs._lines import ExactRating, Rating
from wattledger.tariffs._settling import settle
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
