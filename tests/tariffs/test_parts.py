"""A bill in parts that several versions price is one bill: what the whole decides does not depend on its cuts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattledger.kernel import IntervalSeries, Money, Period, Quality, epoch
from wattledger.tariffs import (
    NO_HISTORY,
    Rating,
    RatingState,
    advance,
    explain,
    history_after,
    open_state,
    parse_tariff,
    rate,
    settle,
)

JULY = Period(datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 8, 1, tzinfo=UTC))
HOURS = 31 * 24
FINE = {"line": {"places": 6, "mode": "half_up"}}
ENERGY = {"name": "energy", "kind": "energy", "price": "0.1"}
TARIFFS: dict[str, dict[str, Any]] = {
    "slab": {
        "charges": [
            {
                "name": "energy",
                "kind": "energy",
                "tiers": {
                    "counter": "all_periods",
                    "basis": "month",
                    "allocation": "reached_slab",
                    "limits": ["200", "300"],
                    "proration": "none",
                },
                "price": ["0.1", "0.5", "0.7"],
            },
            {"name": "vat", "kind": "tax", "rate": "20", "of": "all"},
        ]
    },
    "usage": {
        "charges": [
            {**ENERGY, "name": "low", "when": {"usage": {"up_to": "200"}}},
            {**ENERGY, "name": "high", "price": "0.5", "when": {"usage": {"over": "200"}}},
            {"name": "small homes", "kind": "fixed", "price": "7", "per": "bill", "when": {"usage": {"up_to": "200"}}},
        ]
    },
    "minimum": {
        "charges": [
            ENERGY,
            {"name": "least", "kind": "minimum", "price": "30", "per": "bill", "covers": ["energy"]},
            {"name": "vat", "kind": "tax", "rate": "20", "of": "all"},
        ]
    },
    "credit": {
        "charges": [ENERGY, {"name": "grant", "kind": "credit", "rate": "50", "of": ["energy"], "most": "10"}],
    },
    "rounding": {"charges": [ENERGY], "rounding": {**FINE, "bill": {"places": 0, "mode": "half_up"}}},
}


def version(name: str, number: int, **other: Any) -> Any:  # noqa: ANN401 - a tariff
    common = {"id": name, "version": str(number), "currency": "EUR", "zone": "UTC", "rounding": FINE}
    document = {**common, **TARIFFS[name], **other}
    return parse_tariff(document, source="test")


def used(wh: Sequence[int]) -> IntervalSeries:
    starts = epoch(JULY.start) + 3600 * np.arange(HOURS, dtype=np.int64)
    return IntervalSeries(starts, np.array(wh, dtype=np.int64), np.full(HOURS, Quality.ACTUAL, np.uint8), 3600)


def in_parts(tariffs: Sequence[Any], cuts: Sequence[datetime], series: IntervalSeries) -> list[Rating]:
    """The parts of July's bill; each state goes through its JSON, as a wallet keeps it."""
    edges = [JULY.start, *cuts, JULY.end]
    history, found = NO_HISTORY, []
    for tariff, begin, end in zip(tariffs, edges, edges[1:], strict=False):
        state = open_state(tariff=tariff, period=Period(begin, end), bill=JULY, history=history)
        state = advance(tariff=tariff, state=state, series=series)
        state = RatingState.from_json(json.loads(json.dumps(state.to_json())))
        found.append(settle(tariff=tariff, state=state))
        history = history_after(tariff=tariff, state=state)
    return found


@pytest.mark.parametrize("name", TARIFFS)
@pytest.mark.parametrize("wh", [500, 100, 260, 300])
def test_two_versions_with_the_same_prices_cost_what_one_costs(name: str, wh: int) -> None:
    series = used([wh] * HOURS)
    whole = rate(tariff=version(name, 1), series=series, period=JULY)
    parts = in_parts([version(name, 1), version(name, 2)], [datetime(2026, 7, 16, tzinfo=UTC)], series)
    assert sum(part.total.micro for part in parts) == whole.total.micro


@given(
    st.sampled_from(sorted(TARIFFS)),
    st.lists(st.integers(1, HOURS - 1), min_size=1, max_size=3, unique=True).map(sorted),
    st.integers(0, 2**32 - 1),
    st.integers(50, 600),
)
def test_wherever_it_is_cut_it_is_the_same_bill(name: str, cuts: list[int], seed: int, most: int) -> None:
    series = used([10 * one for one in np.random.default_rng(seed).integers(0, most // 10, HOURS).tolist()])
    whole = rate(tariff=version(name, 1), series=series, period=JULY, exact=True)
    instants = [JULY.start + timedelta(hours=hour) for hour in cuts]
    parts = in_parts([version(name, number) for number in range(len(cuts) + 1)], instants, series)
    total = Decimal(sum(part.total.micro for part in parts)).scaleb(-Money.PLACES)
    if name == "rounding":
        assert total == rate(tariff=version(name, 1), series=series, period=JULY).total.amount
    else:
        assert abs(total - whole.total) < Decimal("0.001")  # every line of every part is rounded to the micro-unit


def test_the_second_part_says_what_became_of_the_first() -> None:
    series = used([500] * HOURS)
    first, second = in_parts([version("usage", 1), version("usage", 2)], [datetime(2026, 7, 16, tzinfo=UTC)], series)
    assert [(one.charge, str(one.amount)) for one in first.lines] == [("low", "18.00 EUR"), ("small homes", "7.00 EUR")]
    told = [(one.charge, one.at is None, str(one.quantity), str(one.amount)) for one in second.lines]
    assert told == [
        ("high", True, "192", "96.00 EUR"),
        ("low", False, "-180", "-18.00 EUR"),
        ("small homes", False, "1", "-7.00 EUR"),
        ("high", False, "180", "90.00 EUR"),
    ]


def test_a_clause_that_a_later_version_has_no_more_stays_with_its_own_part() -> None:
    series = used([100] * HOURS)
    later = version("minimum", 2, charges=[ENERGY])
    first, second = in_parts([version("minimum", 1), later], [datetime(2026, 7, 16, tzinfo=UTC)], series)
    assert str(first.total) == "36.00 EUR"  # 30 at least, and its tax
    assert str(second.total) == "3.84 EUR"


def test_every_line_explains_itself() -> None:
    series = used([500] * HOURS)
    middle = datetime(2026, 7, 16, tzinfo=UTC)
    one, two = version("slab", 1), version("slab", 2)
    state = advance(
        tariff=one, state=open_state(tariff=one, period=Period(JULY.start, middle), bill=JULY), series=series
    )
    told = explain(
        tariff=two,
        series=series.within(Period(middle, JULY.end)),
        period=Period(middle, JULY.end),
        bill=JULY,
        history=history_after(tariff=one, state=state),
    )
    assert len(told.lines) == len(told.rating.lines) == 5
    for line in told.lines:
        amount = line.line.amount
        assert isinstance(amount, Money)
        parts = sum((part.quantity * part.price for part in line.parts), start=Fraction(0))
        assert round(parts * 10**Money.PLACES) == amount.micro
