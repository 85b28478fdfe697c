"""States side by side come to what each comes to alone, to the last digit, batch by batch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattledger import tariffs
from wattledger.kernel import IntervalSeries, Period, epoch

MARCH = datetime(2026, 2, 28, 16, tzinfo=UTC)
MONTH = Period(MARCH, datetime(2026, 3, 31, 16, tzinfo=UTC))


def tariff(*, counter: str, allocation: str, limits: list[str], proration: str, places: int) -> tariffs.Tariff:
    return tariffs.parse_tariff(
        {
            "id": "steps",
            "version": "1",
            "name": "Steps",
            "currency": "CNY",
            "zone": "Asia/Shanghai",
            "periods": {"peak": {"times": ["08:00-11:00", "17:00-22:00"]}, "valley": "otherwise"},
            "charges": [
                {
                    "name": "energy",
                    "kind": "energy",
                    "tiers": {
                        "counter": counter,
                        "basis": "month",
                        "allocation": allocation,
                        "limits": limits,
                        "proration": proration,
                    },
                    "price": {"peak": ["0.6183", "0.6683", "0.91831"], "valley": ["0.3083", "0.358377", "0.6"]},
                },
                {"name": "standing", "kind": "fixed", "price": "0.123", "per": "day"},
                {"name": "tax", "kind": "tax", "rate": "13", "of": ["energy", "standing"]},
            ],
            "rounding": {"line": {"places": places, "mode": "half_up"}},
        },
        source="test",
    )


@settings(max_examples=25)
@given(
    counter=st.sampled_from(["all_periods", "per_period"]),
    allocation=st.sampled_from(["chronological", "pro_rata"]),
    limits=st.sampled_from([["3", "7"], ["2.3331", "230"], ["0.001", "0.002"]]),
    proration=st.sampled_from(["none", "days"]),
    places=st.sampled_from([2, 6]),
    cuts=st.lists(st.integers(1, 90), min_size=1, max_size=4),
    seed=st.integers(0, 2**31),
    late=st.integers(0, 40_000),
)
def test_a_tally_is_its_states(
    counter: str,
    allocation: str,
    limits: list[str],
    proration: str,
    places: int,
    cuts: list[int],
    seed: int,
    late: int,
) -> None:
    steps = tariff(counter=counter, allocation=allocation, limits=limits, proration=proration, places=places)
    begun = Period(MARCH + timedelta(minutes=15 * (late // 20)), MONTH.end)
    rng = np.random.default_rng(seed)
    states = [tariffs.open_state(tariff=steps, period=begun) for _ in range(5)]
    rule = tariffs.Tallied(steps, states[0])
    tally = rule.tally(states)
    at = epoch(begun.start)
    for count in cuts:
        starts = at + 900 * np.arange(count, dtype=np.int64)
        wh = rng.integers(0, 700, (5, count)).astype(np.int32)
        quality = rng.integers(1, 3, (5, count)).astype(np.uint8) if seed % 2 else np.ones((5, count), dtype=np.uint8)
        states = [
            tariffs.advance(
                tariff=steps,
                state=state,
                series=IntervalSeries(starts, wh[row].astype(np.int64), quality[row], 900),
            )
            for row, state in enumerate(states)
        ]
        tally = rule.advanced(tally, starts=starts, seconds=900, wh=wh, quality=quality)
        at += 900 * count
        until = MARCH + timedelta(seconds=at - epoch(MARCH))
        alone = [tariffs.settle(tariff=steps, state=state, until=until).total.micro for state in states]
        assert rule.totals(tally, until=until).tolist() == alone
    assert rule.states(tally) == states
    assert rule.states(rule.tally(states)) == states
    assert all(rule.takes(state) for state in states)


def test_what_has_no_column_is_not_tallied() -> None:
    steps = tariff(counter="all_periods", allocation="chronological", limits=["3", "7"], proration="none", places=2)
    state = tariffs.open_state(tariff=steps, period=MONTH)
    assert tariffs.may_be_tallied(tariff=steps, state=state)
    document = dict(steps.document)
    demand = {"name": "kw", "kind": "demand", "price": "1", "window": 15}
    document["charges"] = [*document["charges"], demand]
    demanding = tariffs.parse_tariff(document, source="test")
    other = tariffs.open_state(tariff=demanding, period=MONTH)
    assert not tariffs.may_be_tallied(tariff=demanding, state=other)
    with pytest.raises(ValueError, match="cannot be tallied"):
        tariffs.Tallied(demanding, other)
    part = tariffs.open_state(tariff=steps, period=Period(MARCH, MARCH + timedelta(days=3)), bill=MONTH)
    assert not tariffs.may_be_tallied(tariff=steps, state=part)
