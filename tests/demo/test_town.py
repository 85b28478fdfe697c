from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattledger.demo import ZONE, PlanRefused, Town, TownPlan, town_tariffs
from wattledger.demo._town import CURRENCY, DORMITORY_TARIFF, HOME_TARIFF, SHOP_TARIFF, SITE_TARIFF, slot_floor


def test_the_same_plan_gives_the_same_town() -> None:
    assert Town.of(TownPlan(seed=3)).supplies == Town.of(TownPlan(seed=3)).supplies
    assert Town.of(TownPlan(seed=3)).supplies != Town.of(TownPlan(seed=4)).supplies


@settings(max_examples=40)
@given(seed=st.integers(0, 2**40), homes=st.integers(1, 60), more=st.integers(0, 60))
def test_a_bigger_town_has_the_smaller_ones_homes(seed: int, homes: int, more: int) -> None:
    small, big = (Town.of(TownPlan(seed=seed, homes=count)) for count in (homes, homes + more))
    assert list(big.supplies[:homes]) == list(small.supplies[:homes])


def test_the_town_has_what_it_promises() -> None:
    town = Town.of(TownPlan())
    kinds = [supply.kind for supply in town.supplies]
    assert kinds.count("home") == 200
    assert kinds.count("shop") == 12
    assert kinds.count("dormitory") == kinds.count("building_site") == kinds.count("cafe") == 1
    homes = [supply for supply in town.supplies if supply.kind == "home"]
    assert 0.55 < sum(supply.mode == "prepay" for supply in homes) / len(homes) < 0.75
    assert {supply.language for supply in homes} == {"en", "zh"}
    assert [supply.tag for supply in town.supplies if supply.has_export] == ["cafe-1"]
    assert [supply.index for supply in town.supplies] == list(range(len(town.supplies)))


@settings(max_examples=15)
@given(seed=st.integers(0, 2**40))
def test_nothing_and_nobody_is_mixed_up(seed: int) -> None:
    town = Town.of(TownPlan(seed=seed, homes=300))
    for name in ("name", "premise_id", "service_point_id", "meter_id", "account_id", "contract_id", "phone"):
        values = [getattr(supply, name) for supply in town.supplies]
        assert len(set(values)) == len(values), name
    assert len({town.serial(supply) for supply in town.supplies}) == len(town.supplies)
    assert all(len(supply.name) <= 120 and len(supply.address) <= 200 for supply in town.supplies)


def test_more_homes_than_names_still_have_names_of_their_own() -> None:
    names = [supply.name for supply in Town.of(TownPlan(homes=3000)).supplies]
    assert len(set(names)) == len(names)


def test_history_ends_on_the_last_afternoon_of_a_month() -> None:
    plan = TownPlan(days=60)
    zone = ZoneInfo(ZONE)
    assert plan.start == datetime(2026, 6, 1, tzinfo=zone)
    assert plan.live_from.astimezone(zone).date() == date(2026, 7, 31)
    assert (plan.live_from.astimezone(zone) + timedelta(hours=12)).day == 1


@pytest.mark.parametrize(("homes", "days"), [(0, 60), (-1, 60), (10**6, 60), (200, 0), (200, 10**4)])
def test_an_impossible_plan_is_refused(homes: int, days: int) -> None:
    with pytest.raises(PlanRefused, match="choose --"):
        TownPlan(homes=homes, days=days)


def test_every_supply_has_a_tariff_of_its_currency_and_zone() -> None:
    tariffs = {tariff.id: tariff for tariff in town_tariffs()}
    assert set(tariffs) == {HOME_TARIFF, SHOP_TARIFF, SITE_TARIFF, DORMITORY_TARIFF}
    assert {supply.tariff_id for supply in Town.of(TownPlan()).supplies} == set(tariffs)
    assert {tariff.currency for tariff in tariffs.values()} == {CURRENCY}


def test_slots_begin_on_the_quarter_hour() -> None:
    instants = [datetime(2026, 7, 31, 9, minute, 59, tzinfo=UTC) for minute in range(60)]
    floors = [slot_floor(instant) for instant in instants]
    assert len(set(floors)) == 4
    assert all(b - a in (0, 900) for a, b in pairwise(floors))
