from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from wattledger.demo import ZONE, Town, TownPlan
from wattledger.demo._history import round_instants

ROUNDS = list(round_instants(Town.of(TownPlan()), after=TownPlan().start))


def test_readings_come_in_from_the_first_day_to_the_moment_of_going_live() -> None:
    plan = TownPlan()
    assert plan.start < ROUNDS[0] < plan.start + timedelta(days=1)
    assert ROUNDS[-1] == plan.live_from
    gaps = [later - earlier for earlier, later in pairwise(ROUNDS)]
    assert min(gaps) > timedelta(0)
    assert max(gaps) <= timedelta(days=1)
    assert set(gaps[-20:]) == {timedelta(hours=1)}


def test_a_months_last_readings_are_in_before_its_bills_are_made() -> None:
    turns = [instant for instant in ROUNDS if instant.astimezone(ZoneInfo(ZONE)).strftime("%d %H") == "01 00"]
    assert [f"{turn.astimezone(ZoneInfo(ZONE)):%Y-%m}" for turn in turns] == ["2026-07"]


@given(hours=st.integers(0, 24 * 62))
def test_a_restart_goes_on_with_the_rest_of_the_same_rounds(hours: int) -> None:
    stopped = TownPlan().start + timedelta(hours=hours)
    rest = list(round_instants(Town.of(TownPlan(homes=1)), after=stopped))
    assert rest == [instant for instant in ROUNDS if instant > stopped]
