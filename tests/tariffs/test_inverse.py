"""Energy for money: the most that it buys, also where bills rounded line by line fall by a cent as energy rises."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wattledger.kernel import IntervalSeries, Money, Period, Quality, epoch
from wattledger.tariffs import NoEnergyForMoney, RatingState, Tariff, advance, inverse, open_state, parse_tariff, settle

JULY = Period(datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 8, 1, tzinfo=UTC))
NIGHT, DAY = JULY.start, JULY.start + timedelta(hours=12)
MODES = ("half_up", "half_even", "up", "down")
BEYOND = 300  # watt-hours that are tried one by one; more than the cents of these tariffs reach


def tariff(allocation: str, peak: tuple[int, int], off: tuple[int, int], rounding: dict[str, Any]) -> Tariff:
    tiers = {
        "counter": "all_periods",
        "basis": "month",
        "allocation": allocation,
        "limits": ["100"],
        "proration": "none",
    }
    price = {"peak": [f"0.{one}" for one in peak], "off": [f"0.{one}" for one in off]}
    return parse_tariff(
        {
            "id": "t",
            "version": "1",
            "currency": "EUR",
            "zone": "UTC",
            "periods": {"peak": {"times": "08:00-20:00"}, "off": "otherwise"},
            "charges": [
                {"name": "energy", "kind": "energy", "tiers": tiers, "price": price},
                {"name": "vat", "kind": "tax", "rate": "19", "of": ["energy"]},
            ],
            "rounding": rounding,
        },
        source="test",
    )


def used(of: Tariff, at: datetime, wh: int, state: RatingState) -> RatingState:
    starts, quality = np.array([epoch(at)], dtype=np.int64), np.array([Quality.ACTUAL], dtype=np.uint8)
    return advance(
        tariff=of, state=state, series=IntervalSeries(starts, np.array([wh], dtype=np.int64), quality, 3600, 3)
    )


@settings(max_examples=12, deadline=None)
@example(  # 58,268 Wh cost 16.41, the next 16.42, and 58,315 Wh 16.41 again
    allocation="pro_rata",
    peak=(132, 299),
    off=(150, 206),
    rounding={"line": {"places": 2}},
    before=(63_186, 61_609),
    cents=1641,
)
@given(
    allocation=st.sampled_from(["pro_rata", "chronological", "reached_slab"]),
    peak=st.tuples(st.integers(100, 199), st.integers(200, 399)),
    off=st.tuples(st.integers(100, 199), st.integers(200, 399)),
    rounding=st.builds(
        lambda mode, bill: (
            {"line": {"places": 2, "mode": mode}} | ({"bill": {"places": 1, "mode": bill}} if bill else {})
        ),
        st.sampled_from(MODES),
        st.sampled_from([None, *MODES]),
    ),
    before=st.tuples(st.integers(0, 90_000), st.integers(0, 90_000)),
    cents=st.integers(0, 6000),
)
def test_no_more_energy_costs_as_little(
    allocation: str,
    peak: tuple[int, int],
    off: tuple[int, int],
    rounding: dict[str, Any],
    before: tuple[int, int],
    cents: int,
) -> None:
    of = tariff(allocation, peak, off, rounding)
    state = used(of, NIGHT, before[1], open_state(tariff=of, period=JULY))
    state = used(of, DAY, before[0], state)
    at = JULY.start + timedelta(hours=20)
    amount = Money(cents * 10_000, "EUR")
    bought = inverse(tariff=of, state=state, amount=amount, at=at).wh
    now = settle(tariff=of, state=state).total.micro

    def cost(wh: int) -> int:
        return settle(tariff=of, state=used(of, at, wh, state)).total.micro - now

    assert cost(bought) <= amount.micro
    assert not [wh for wh in range(bought + 1, bought + BEYOND) if cost(wh) <= amount.micro]


def test_free_energy_has_no_end() -> None:
    document = {"id": "t", "version": "1", "currency": "EUR", "zone": "UTC"}
    free = parse_tariff({**document, "charges": [{"name": "e", "kind": "energy", "price": "0"}]}, source="test")
    with pytest.raises(NoEnergyForMoney, match="away"):
        inverse(tariff=free, state=open_state(tariff=free, period=JULY), amount=Money.of("1", "EUR"), at=DAY)
