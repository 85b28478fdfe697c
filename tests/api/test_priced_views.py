"""Screens under tariffs whose prices depend on more than the month's readings."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from grid import APRIL, MARCH, ZONE, Grid, intervals

from wattledger import billing, pricing, tariffs
from wattledger.api import models as m
from wattledger.api._views import bill_view, home_view, usage_view
from wattledger.kernel import Period
from wattledger.worker import WalletDeductions

STEPS: dict[str, Any] = {
    "id": "steps",
    "version": "1",
    "currency": "CNY",
    "zone": ZONE,
    "charges": [
        {
            "name": "energy",
            "kind": "energy",
            "tiers": {
                "counter": "all_periods",
                "basis": "year",
                "allocation": "chronological",
                "limits": ["40", "90"],
                "proration": "none",
            },
            "price": ["0.50", "0.60", "0.90"],
        },
        {"name": "demand", "kind": "demand", "window": 30, "price": "3"},
    ],
}

DYNAMIC: dict[str, Any] = {
    "id": "dynamic",
    "version": "1",
    "currency": "CNY",
    "zone": ZONE,
    "charges": [{"name": "energy", "kind": "energy", "index": {"series": "spot"}}],
}


def home(grid: Grid) -> m.HomeView:
    with grid.store.read() as tx:
        return home_view(tx, contract_id="h0", now=grid.clock.now(), clock_speed=1)


def test_the_price_shown_is_that_of_the_step_that_the_year_has_reached(grid: Grid) -> None:
    grid.publish(STEPS)
    grid.homes(1, mode="prepay", tariff="steps")
    grid.deliver("a", {"h0": intervals([100] * 96 * 33)})  # 297.6 kWh in March
    grid.clock.move_to(APRIL + timedelta(days=2))
    shown = home(grid)
    assert shown.price.price == "0.9"
    with grid.store.read() as tx:
        day = Period(APRIL, APRIL + timedelta(days=1))
        usage = usage_view(tx, contract_id="h0", period=day, now=grid.clock.now())
    assert [(one.kwh, one.cost) for one in usage.by_period] == [("9.6", "8.64")]


def test_a_bill_s_lines_say_which_clause_and_when(grid: Grid) -> None:
    grid.publish(STEPS)
    grid.homes(1, mode="prepay", tariff="steps")
    values = [100] * 96 * 31
    values[2 * 96 + 40 : 2 * 96 + 42] = [2000, 1000]
    grid.deliver("a", {"h0": intervals(values)})
    grid.clock.move_to(APRIL + timedelta(days=2))
    with grid.store.write() as tx:
        run = billing.start_run(tx, month="2026-03", now=grid.clock.now())
        billing.bill_contracts(
            tx, run_id=run.id, contract_ids=["h0"], deductions=WalletDeductions(), now=grid.clock.now()
        )
    with grid.store.read() as tx:
        (bill,) = billing.bills_of(tx, contract_id="h0")
    view = bill_view(bill)
    assert view.state == "posted"
    assert [(line.charge, line.tier, line.clause) for line in view.lines] == [
        ("energy", 1, "charges[0].price[0]"),
        ("energy", 2, "charges[0].price[1]"),
        ("energy", 3, "charges[0].price[2]"),
        ("demand", None, "charges[1].price"),
    ]
    assert view.lines[-1].at == MARCH + timedelta(days=2, hours=10)
    assert view.lines[-1].quantity == "6"


def test_a_published_price_is_shown_and_one_that_is_not_is_said(grid: Grid) -> None:
    grid.publish(DYNAMIC)
    grid.homes(1, mode="prepay", tariff="dynamic")
    grid.deliver("a", {"h0": intervals([1000] * 4)})
    grid.clock.move_to(MARCH + timedelta(minutes=70))
    with pytest.raises(tariffs.IndexPriceMissing):
        home(grid)
    with grid.store.write() as tx:
        prices = [(MARCH + timedelta(hours=n), Decimal(n + 1) / 10) for n in range(5)]
        pricing.publish_prices(tx, series="spot", prices=prices, seconds=3600, now=grid.clock.now())
    shown = home(grid)
    assert (shown.price.price, shown.price.next_price) == ("0.2", "0.3")
    assert shown.today.cost == "0.40"
    assert [(one.start - MARCH) // timedelta(hours=1) for one in shown.prices] == [1, 2, 3, 4]
    with grid.store.read() as tx:
        day = Period(MARCH, MARCH + timedelta(hours=12))
        usage = usage_view(tx, contract_id="h0", period=day, now=grid.clock.now())
    assert usage.kwh == "4"
    assert len(usage.intervals) == 48
