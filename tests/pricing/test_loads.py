from datetime import timedelta
from typing import Any

import pytest
from grid import MARCH, SLOT, ZONE, Grid, intervals

from wattledger import control, notices, registry
from wattledger.kernel import Period
from wattledger.store import RecordedFact, dispatch_outbox, recent_facts
from wattledger.worker._reactions import reactions


def watched(**more: Any) -> dict[str, Any]:  # noqa: ANN401 - a document's members
    return {
        "id": "watched",
        "version": "1",
        "currency": "CNY",
        "zone": ZONE,
        "charges": [
            {"name": "energy", "kind": "energy", "price": "0.5"},
            {"name": "dear", "kind": "load", "over": 10, "window": 15, "adder": "1"},
            {"name": "please reduce", "kind": "load", "over": 10, "window": 15, "duration": 30, "action": "notice"},
            {
                "name": "cut",
                "kind": "load",
                "over": {"percent": 150},
                "window": 15,
                "duration": 45,
                "action": "curtail",
            },
        ],
        **more,
    }


@pytest.fixture(params=["prepay", "postpay"])
def home(grid: Grid, request: pytest.FixtureRequest) -> Grid:
    grid.publish(watched())
    grid.homes(1, mode=request.param, tariff="watched")
    with grid.store.write() as tx:
        registry.tell_fact(tx, contract_id="h0", name="contracted_kw", value=10, valid_from=MARCH, now=MARCH)
    return grid


def told(grid: Grid) -> list[tuple[str, str]]:
    return [(fact.data["clause"], fact.data["action"]) for fact in loads(grid)]


def loads(grid: Grid) -> list[RecordedFact]:
    with grid.store.read() as tx:
        return [fact for fact in reversed(recent_facts(tx, limit=50)) if fact.kind == "LoadExceeded"]


def test_a_load_is_told_once_when_it_has_lasted(home: Grid) -> None:
    for number, wh in enumerate([2000, 3000, 3000, 3000, 3000, 3000, 100]):
        home.deliver(str(number), {"h0": intervals([wh], start=MARCH + number * SLOT)})
        expected = [("please reduce", "notice")] if number >= 2 else []
        assert told(home) == expected
    (fact,) = loads(home)
    assert fact.data["start"] == (MARCH + SLOT).isoformat()
    assert fact.data["peak_kw"] == "12"


def test_a_second_time_is_told_again(home: Grid) -> None:
    home.deliver("a", {"h0": intervals([3000, 3000, 0])})
    home.deliver("b", {"h0": intervals([4000, 4000, 4000, 0], start=MARCH + 3 * SLOT)})
    assert told(home) == [("please reduce", "notice"), ("please reduce", "notice"), ("cut", "curtail")]


def test_a_gap_that_fills_joins_what_was_told(home: Grid) -> None:
    home.deliver("a", {"h0": intervals([3000] * 3)})
    home.deliver("b", {"h0": intervals([3000] * 3, start=MARCH + 4 * SLOT)})
    assert len(told(home)) == 2
    home.deliver("c", {"h0": intervals([3000], start=MARCH + 3 * SLOT)})
    assert len(told(home)) == 2


def test_a_load_over_a_new_version_and_over_midnight_is_told_once(home: Grid) -> None:
    day = MARCH + timedelta(days=4)
    home.deliver("a", {"h0": intervals([3000] * 4, start=day - 4 * SLOT)})
    home.publish(watched(version="2"), valid_from=MARCH + timedelta(days=2))
    home.deliver("b", {"h0": intervals([3000] * 4, start=day)})
    assert told(home) == [("please reduce", "notice")]


def test_people_are_told_in_words(home: Grid) -> None:
    home.deliver("a", {"h0": intervals([4000] * 3, start=MARCH + timedelta(hours=18))})
    dispatch_outbox(home.store, handlers=reactions(control.CutOffPolicy()), now=home.clock.now())
    with home.store.read() as tx:
        kinds = {one.kind: one.text["en"] for one in notices.notices_of(tx, contract_id="h0", limit=9)}
    assert "since 18:00, up to 16.0 kW" in kinds["load_notice"]
    assert "may be limited" in kinds["load_curtail"]


def test_a_load_that_nobody_watches_is_not_told(grid: Grid) -> None:
    grid.publish()
    grid.homes(1, mode="prepay")
    grid.deliver("a", {"h0": intervals([9000] * 8)})
    assert told(grid) == []


def test_a_fact_that_is_missing_holds_nobody_up(grid: Grid) -> None:
    grid.publish(watched())
    grid.publish()
    grid.homes(1, mode="prepay", tariff="watched")
    grid.homes(1, mode="prepay", first=1)
    grid.deliver("a", {"h0": intervals([9000] * 8), "h1": intervals([1000])})
    assert told(grid) == []
    assert grid.wallet("h1").accrued.amount > 0
    with grid.store.read() as tx:
        (segment, *_) = registry.segments(tx, contract_ids=["h0"], period=Period(MARCH, MARCH + SLOT))
    assert segment.facts == {}
