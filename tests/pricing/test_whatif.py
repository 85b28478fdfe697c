from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from grid import APRIL, FLAT, MARCH, ZONE, Grid, intervals
from hypothesis import given, settings
from hypothesis import strategies as st

from wattledger import pricing, registry, tariffs
from wattledger.kernel import IntervalSeries, Money, Period, Quality
from wattledger.pricing import Change, Comparison, Customer
from wattledger.tariffs import Tariff, parse_tariff

MAY = datetime.fromisoformat("2026-05-01T00:00+08:00")
SPRING = Period(MARCH, MAY)
MONTHS = (Period(MARCH, APRIL), Period(APRIL, MAY))


def tariff(identity: str, *charges: dict[str, Any], **more: Any) -> Tariff:  # noqa: ANN401 - a document's members
    document = {"id": identity, "version": "1", "currency": "CNY", "zone": ZONE, "charges": list(charges), **more}
    return parse_tariff(document, source=identity)


CHEAP = tariff("cheap", {"name": "energy", "kind": "energy", "price": "0.40"})
TIERS: dict[str, Any] = {
    "name": "energy",
    "kind": "energy",
    "tiers": {
        "counter": "all_periods",
        "basis": "month",
        "allocation": "chronological",
        "limits": ["50"],
        "proration": "none",
    },
    "price": ["0.30", "0.70"],
}
STEPS = tariff("steps", TIERS, {"name": "demand", "kind": "demand", "window": 60, "price": "1"})
YEARLY = tariff("yearly", {**TIERS, "tiers": {**TIERS["tiers"], "basis": "year"}})


def customer(name: str, wh: Sequence[int], *, start: datetime = MARCH, **more: Any) -> Customer:  # noqa: ANN401 - as above
    count = (MAY - start) // timedelta(minutes=15)
    series = intervals([wh[n % len(wh)] for n in range(count)], start=start)
    given: dict[str, Any] = {"zone": ZONE, "series": {"import": series}, "bills": MONTHS, **more}
    return Customer(id=name, **given)


def changes(*micro: int) -> Comparison:
    def money(amount: int) -> Money:
        return Money(amount, "CNY")

    listed = [Change(f"c{n}", money(10_000_000), money(10_000_000 + one)) for n, one in enumerate(micro)]
    return Comparison(currency="CNY", changes=listed, months=len(micro), missing=0)


# --- winners and losers ----------------------------------------------------------------------------------------------


def test_winners_losers_and_revenue_add_up() -> None:
    found = changes(-3_000_000, -1_000_000, 0, 2_000_000, -2_000_000)
    assert (found.old.text, found.new.text) == ("50.00", "46.00")
    assert (found.winners.count, found.losers.count, found.unchanged) == (3, 1, 1)
    assert found.winners.median == Decimal(-2)
    assert found.winners.most is not None
    assert found.winners.most.text == "-3.00"
    assert (found.winners.total.text, found.losers.total.text) == ("-6.00", "2.00")
    assert [one.customer for one in found.top(losing=False)] == ["c0", "c4", "c1"]
    assert [one.customer for one in found.top(losing=True)] == ["c3"]
    assert changes(0).losers.median is None


def test_a_histogram_has_round_bounds_that_meet_at_zero() -> None:
    found = changes(*(n * 100_000 for n in range(-30, 71) if n))
    bins = found.histogram(bins=10)
    assert [(one.low, one.high) for one in bins][:4] == [
        (-3_000_000, -2_000_000),
        (-2_000_000, -1_000_000),
        (-1_000_000, 0),
        (0, 1_000_000),
    ]
    assert bins[3].customers == 10  # the bound further from zero is included
    assert sum(one.customers for one in bins) == 100


@given(st.lists(st.integers(-(10**12), 10**12), max_size=300))
def test_everybody_whose_bill_changes_is_in_one_bin(micro: list[int]) -> None:
    bins = changes(*micro).histogram()
    assert sum(one.customers for one in bins) == sum(one != 0 for one in micro)
    for left, right in pairwise(bins):
        assert left.high == right.low
    assert len(bins) <= 14
    for one in bins:
        inside = [m for m in micro if m and _lies(m, one)]
        assert len(inside) == one.customers


def _lies(micro: int, one: pricing.Bin) -> bool:
    low, high = one.low, one.high
    if micro < 0:
        return (low is None or low <= micro) and (high is None or micro < high)
    return (low is None or low < micro) and (high is None or micro <= high)


# --- prices ----------------------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(data=st.data())
def test_many_at_once_are_as_one_by_one(data: st.DataObject) -> None:
    pattern = st.lists(st.integers(0, 900), min_size=1, max_size=6)
    people = [customer(f"c{n}", data.draw(pattern)) for n in range(data.draw(st.integers(1, 5)))]
    gap = data.draw(st.integers(0, 2000))
    people[0] = _without(people[0], gap)
    new, old = data.draw(st.permutations([CHEAP, STEPS, YEARLY]))[:2]
    found = pricing.compare(customers=people, new=new, old=old)
    for person, change in zip(people, found.changes, strict=True):
        for side, one in ((change.old, old), (change.new, new)):
            bills = tariffs.monthly(tariff=one, series=person.series["import"])
            assert side == sum((bill.total for bill in bills), start=Money.zero("CNY"))
    assert (found.missing, found.months) == (4, 2 * len(people))


def _without(person: Customer, at: int) -> Customer:
    """The customer with three intervals less and one of unknown value."""
    series = person.series["import"]
    qualities = series.qualities.copy()
    qualities[at + 20] = Quality.MISSING
    holes = IntervalSeries(series.starts, series.values, qualities, 900)
    kept = np.ones(len(holes), dtype=np.bool_)
    kept[at + 10 : at + 13] = False
    return Customer(id=person.id, zone=ZONE, series={"import": holes.picked(kept)}, bills=MONTHS)


def test_a_year_s_steps_remember_the_months_before_those_compared() -> None:
    person = customer("c", [100])  # 297.60 kWh in March
    found = pricing.compare(customers=[person], new=YEARLY, old=CHEAP, within=MONTHS[1])
    assert found.changes == [Change("c", Money.of("115.20", "CNY"), Money.of("201.60", "CNY"))]  # 288 kWh at 0.40, 0.70
    assert found.months == 1


def test_when_a_tariff_is_valid_is_set_aside() -> None:
    later = tariff("later", {"name": "energy", "kind": "energy", "price": "1"}, valid={"from": "2027-01-01"})
    found = pricing.compare(customers=[customer("c", [100])], new=later, old=CHEAP)
    assert found.new == Money.of("585.60", "CNY")


def test_whoever_has_no_price_is_named_and_left_out() -> None:
    power = {"name": "capacity", "kind": "fixed", "price": "1", "per": "month", "times": "contracted_kw"}
    new = tariff("new", {"name": "energy", "kind": "energy", "price": "1"}, power)
    people = [customer("told", [100], facts=[{"contracted_kw": 6}]), customer("untold", [100])]
    found = pricing.compare(customers=people, new=new, old=CHEAP)
    assert [one.customer for one in found.changes] == ["told"]
    assert found.changes[0].new == Money.of("597.60", "CNY")
    ((who, why),) = found.unpriced
    assert who == "untold"
    assert "contracted_kw" in why
    with pytest.raises(pricing.NothingToCompare, match="untold: nobody told contracted_kw"):
        pricing.compare(customers=people[1:], new=new, old=CHEAP)


def test_currencies_are_not_mixed() -> None:
    euros = parse_tariff({**CHEAP.document, "currency": "EUR"}, source="test")
    with pytest.raises(pricing.NothingToCompare, match="CNY, cheap in EUR"):
        pricing.compare(customers=[customer("c", [1])], new=euros, old=CHEAP)


# --- a database ------------------------------------------------------------------------------------------------------


@pytest.fixture
def street(grid: Grid) -> Grid:
    grid.publish()
    grid.publish({**FLAT, "id": "other", "version": "1"})
    grid.homes(3, mode="prepay")
    grid.homes(1, mode="postpay", tariff="other", first=3)
    months = (MAY - MARCH) // timedelta(minutes=15)
    grid.deliver("a", {f"h{n}": intervals([100 * (n + 1)] * months) for n in range(4)})
    return grid


def asked(grid: Grid, new: Tariff, old: Tariff | None, within: Period = SPRING) -> Comparison:
    with grid.store.read() as tx:
        return pricing.compare_contracts(tx, new=new, old=old, within=within)


def test_everybody_beside_what_they_pay_today(street: Grid) -> None:
    found = asked(street, CHEAP, None)
    kwh = [Decimal("585.6") * (n + 1) for n in range(4)]
    assert [one.customer for one in found.changes] == ["h0", "h1", "h2", "h3"]
    assert [one.old.amount for one in found.changes] == [one / 2 + Decimal("6.1") for one in kwh]
    assert [one.new.amount for one in found.changes] == [one * 2 / 5 for one in kwh]


def test_those_on_a_tariff_beside_it(street: Grid) -> None:
    other = parse_tariff({**FLAT, "id": "other", "version": "2"}, source="test")
    assert [one.customer for one in asked(street, CHEAP, other).changes] == ["h3"]
    assert len(asked(street, CHEAP, STEPS).changes) == 4  # nobody is on it: everybody


def test_a_population_s_steps_remember_too(street: Grid) -> None:
    found = asked(street, YEARLY, CHEAP, MONTHS[1])
    assert found.changes[0] == Change("h0", Money.of("115.20", "CNY"), Money.of("201.60", "CNY"))
    assert found.months == 4


def test_facts_and_versions_of_the_day_are_used(street: Grid) -> None:
    power = {"name": "capacity", "kind": "fixed", "price": "1", "per": "month", "times": "contracted_kw"}
    new = tariff("new", {"name": "energy", "kind": "energy", "price": "1"}, power)
    with street.store.write() as tx:
        for value, since in ((5, MARCH), (7, APRIL)):
            registry.tell_fact(
                tx, contract_id="h0", name="contracted_kw", value=value, valid_from=since, now=street.clock.now()
            )
    found = asked(street, new, None)
    assert [(one.customer, one.new.amount) for one in found.changes] == [("h0", Decimal("597.6"))]
    assert len(found.unpriced) == 3


def test_nobody_is_nothing(street: Grid) -> None:
    year = timedelta(days=365)
    with pytest.raises(pricing.NothingToCompare):
        asked(street, CHEAP, None, Period(MARCH - year, MAY - year))
