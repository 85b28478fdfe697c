"""The exceptions queue over HTTP: what validation finds, by the money at stake, and what people decide."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import numpy as np
import pytest
from grid import Grid

from wattledger import readings
from wattledger.app._system import System
from wattledger.kernel import IntervalSeries, Period, Quality, epoch

V1 = "/api/v1"
FIRST = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = 10
END = FIRST + timedelta(days=DAYS)
LAST = {"start": (END - timedelta(days=1)).isoformat(), "end": END.isoformat()}
GAP, SPIKE = 9 * 96 + 40, 9 * 96 + 60
LONG = range(8 * 96 + 4, 9 * 96 + 90)  # longer than a run fills by itself


def history(*, without: range | None = None, spike: int = 0) -> IntervalSeries:
    slot = np.arange(DAYS * 96)
    values = 150 + 2 * np.minimum(slot % 96, 95 - slot % 96) + slot % 7
    if spike:
        values[SPIKE] = spike
    kept = np.ones(len(values), dtype=np.bool_)
    if without is not None:
        kept[without.start : without.stop] = False
    starts = epoch(FIRST) + 900 * slot
    whole = IntervalSeries(starts, values, np.full(len(values), Quality.ACTUAL, np.uint8), 900)
    return whole.picked(kept)


@pytest.fixture
def queue(grid: Grid, system: System, http: httpx.Client) -> dict[str, Any]:
    """A wallet with a spike, one with a short gap, a billed home with a day that lacks; validated, and the queue."""
    grid.clock.move_to(END)
    homes = {"h0": history(spike=4_000), "h1": history(without=range(GAP, GAP + 4)), "h2": history(without=LONG)}
    system.deliver(batch=grid.batch("history", homes))
    validated = http.post(f"{V1}/validations", json=LAST)
    assert validated.status_code == 200, validated.text
    return {"validated": validated.json(), **http.get(f"{V1}/exceptions").json()}


def decide(http: httpx.Client, one: dict[str, Any], action: str, **said: Any) -> httpx.Response:  # noqa: ANN401 - JSON
    body = {"action": action, "actor": "ann", "reason": "looked at it", **said}
    return http.post(f"{V1}/exceptions/{one['id']}/decisions", json=body)


def of(queue: dict[str, Any], point: str) -> dict[str, Any]:
    (one,) = [one for one in queue["items"] if one["service_point"] == point]
    return dict(one)


def test_a_validation_tells_what_it_found_and_the_queue_goes_by_money(
    http: httpx.Client, queue: dict[str, Any]
) -> None:
    told = queue["validated"]
    assert (told["channels"], told["intervals"], told["found"]) == (3, 3 * 96, {"missing": 2, "spike": 1})
    assert (told["exceptions_opened"], told["intervals_estimated"], told["intervals_doubted"]) == (3, 4, 1)
    assert [one["service_point"] for one in queue["items"]] == ["h2", "h0"]  # h1's gap was filled: nobody is asked
    stakes = [Decimal(one["stake"]) for one in queue["items"]]
    assert stakes == sorted(stakes, reverse=True)
    assert queue["total"] == 2
    filled = http.get(f"{V1}/exceptions", params={"state": "filled"}).json()
    assert [(one["service_point"], one["method"]) for one in filled["items"]] == [("h1", "linear")]
    both = http.get(f"{V1}/exceptions", params=[("state", "filled"), ("state", "open"), ("rule", "missing")]).json()
    assert both["total"] == 2
    assert http.get(f"{V1}/exceptions", params={"limit": 1, "offset": 1}).json()["items"] == [of(queue, "h0")]
    assert http.get(f"{V1}/exceptions", params={"service_point": "h9"}).json() == {"items": [], "total": 0}
    again = http.post(f"{V1}/validations", json=LAST).json()
    assert (again["exceptions_opened"], again["intervals_estimated"], again["found"]) == (0, 0, told["found"])


def test_one_shows_its_values_as_they_came_and_as_they_stand(http: httpx.Client, queue: dict[str, Any]) -> None:
    spike = of(queue, "h0")
    shown = http.get(f"{V1}/exceptions/{spike['id']}").json()
    assert shown["exception"] == spike
    (value,) = shown["values"]
    assert (value["came"], value["came_quality"]) == ("4.000", "actual")
    assert (value["stands"], value["stands_quality"]) == ("4.000", "suspect")
    assert [step["action"] for step in shown["steps"]] == ["find"]


def test_an_edit_moves_the_wallet_by_exactly_its_effect(http: httpx.Client, queue: dict[str, Any]) -> None:
    spike = of(queue, "h0")
    before = Decimal(http.get(f"{V1}/contracts/h0/balance").json()["available"])
    preview = decide(http, spike, "edit", values=["0.400"], preview=True).json()
    assert (preview["energy_before"], preview["energy_after"], preview["preview"]) == ("4.000", "0.400", True)
    assert http.get(f"{V1}/exceptions/{spike['id']}").json()["exception"] == spike
    done = decide(http, spike, "edit", values=["0.400"], revision=spike["revision"])
    assert done.status_code == 200, done.text
    told = done.json()
    assert (told["effect"], told["currency"], told["waits"]) == ("-1.80", "CNY", False)
    assert (told["exception"]["state"], told["exception"]["decided_by"]) == ("edited", "ann")
    assert Decimal(http.get(f"{V1}/contracts/h0/balance").json()["available"]) - before == Decimal("1.80")
    steps = http.get(f"{V1}/exceptions/{spike['id']}").json()["steps"]
    assert [(step["action"], step["actor"], step["reason"]) for step in steps][1:] == [("edit", "ann", "looked at it")]
    assert http.get(f"{V1}/exceptions").json()["total"] == 1
    late = decide(http, spike, "accept", actor="bob")
    assert (late.status_code, late.json()["type"].rpartition("/")[2]) == (409, "exception-decided")


@pytest.mark.parametrize(
    ("action", "said", "state", "stands"),
    [
        ("accept", {}, "accepted", "4.000"),
        ("estimate", {}, "estimated", None),
        ("estimate", {"method": "like days"}, "estimated", None),
        ("reject", {}, "rejected", "0.000"),
    ],
)
def test_every_decision_closes_it(
    http: httpx.Client, queue: dict[str, Any], action: str, said: dict[str, Any], state: str, stands: str | None
) -> None:
    told = decide(http, of(queue, "h0"), action, **said).json()
    assert told["exception"]["state"] == state
    assert told["energy_after"] == stands or (stands is None and Decimal(told["energy_after"]) < 1)


def test_much_money_takes_two(http: httpx.Client, grid: Grid, queue: dict[str, Any]) -> None:
    long = of(queue, "h2")
    # 182 quarter-hours of 1,000 kWh at 0.50 a kWh
    values = ["1000"] * len(LONG)
    asked = decide(http, long, "edit", values=values).json()
    assert (asked["waits"], asked["exception"]["state"], asked["effect"]) == (True, "waiting", "91000.00")
    assert asked["exception"]["proposal"]["by"] == "ann"
    same = decide(http, long, "edit", values=values)
    assert (same.status_code, same.json()["type"].rpartition("/")[2]) == (409, "second-person-needed")
    other = decide(http, long, "reject", actor="bob")
    assert other.status_code in {409, 422}
    agreed = decide(http, long, "edit", values=values, actor="bob").json()
    assert (agreed["waits"], agreed["exception"]["state"], agreed["exception"]["decided_by"]) == (
        False,
        "edited",
        "bob",
    )
    with grid.store.read() as tx:
        known = readings.series(tx, service_point_id="h2", period=Period(FIRST, END))
    assert int(known.values[LONG.start : LONG.stop].sum()) == 1_000_000 * len(LONG)


@pytest.mark.parametrize(
    ("path", "body", "status", "cause"),
    [
        ("/exceptions/nothing/decisions", {"action": "accept", "actor": "a", "reason": "b"}, 404, "nothing"),
        ("/exceptions/{id}/decisions", {"action": "forget", "actor": "a", "reason": "b"}, 422, "action"),
        ("/exceptions/{id}/decisions", {"action": "accept", "actor": "a", "reason": " "}, 422, "reason"),
        ("/exceptions/{id}/decisions", {"action": "accept", "actor": "a", "reason": "b", "revision": 9}, 409, "9"),
        ("/exceptions/{id}/decisions", {"action": "edit", "actor": "a", "reason": "b"}, 422, "0 values for 1"),
        ("/exceptions/{id}/decisions", {"action": "edit", "actor": "a", "reason": "b", "values": ["x"]}, 422, "'x'"),
        (
            "/exceptions/{id}/decisions",
            {"action": "edit", "actor": "a", "reason": "b", "values": ["0.0001"]},
            422,
            "whole number of watt-hours",
        ),
        ("/validations", {"start": "2026-03-01T00:00:00", "end": "2026-03-02T00:00:00"}, 422, "offset"),
        ("/validations", {"start": "2026-03-02T00:00:00Z", "end": "2026-03-01T00:00:00Z"}, 422, "end"),
        ("/validations", {"start": "2020-03-02T00:00:00Z", "end": "2026-03-01T00:00:00Z"}, 422, "400 days"),
    ],
)
def test_what_is_wrong_is_a_problem_document(
    http: httpx.Client, queue: dict[str, Any], path: str, body: dict[str, Any], status: int, cause: str
) -> None:
    answer = http.post(V1 + path.format(id=of(queue, "h0")["id"]), json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert cause in answer.text
    assert http.get(f"{V1}/exceptions").json()["total"] == 2


def test_a_reading_that_comes_closes_its_exception(
    http: httpx.Client, grid: Grid, system: System, queue: dict[str, Any]
) -> None:
    long = of(queue, "h2")
    system.deliver(batch=grid.batch("late", {"h2": history()}))
    shown = http.get(f"{V1}/exceptions/{long['id']}").json()
    assert (shown["exception"]["state"], [step["actor"] for step in shown["steps"]]) == ("superseded", ["vee", "vee"])
    assert decide(http, long, "estimate").status_code == 409
