"""The exceptions queue over HTTP: what validation finds, by the money at stake, and what people decide."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import numpy as np
import pytest
from grid import APRIL, MARCH, Grid, intervals

from wattledger import billing, readings, registry
from wattledger.app._system import System
from wattledger.kernel import IntervalSeries, Period, Quality, epoch
from wattledger.worker import WalletDeductions

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


def test_every_decision_closes_it(http: httpx.Client, grid: Grid, system: System) -> None:
    decisions = [
        ("accept", {}, "accepted", "4.000"),
        ("estimate", {}, "estimated", None),
        ("estimate", {"method": "like days"}, "estimated", None),
        ("reject", {}, "rejected", "0.000"),
    ]
    grid.clock.move_to(END)
    points = grid.homes(len(decisions), mode="postpay", first=3)
    system.deliver(batch=grid.batch("spikes", dict.fromkeys(points, history(spike=4_000))))
    http.post(f"{V1}/validations", json={**LAST, "service_points": points})
    for point, (action, said, state, stands) in zip(points, decisions, strict=True):
        one = of(http.get(f"{V1}/exceptions").json(), point)
        told = decide(http, one, action, **said).json()
        assert told["exception"]["state"] == state
        assert told["energy_after"] == stands or (stands is None and Decimal(told["energy_after"]) < 1)
    assert http.get(f"{V1}/exceptions").json()["total"] == 0


def test_much_money_takes_two(http: httpx.Client, grid: Grid, queue: dict[str, Any]) -> None:
    long = of(queue, "h2")
    # 182 quarter-hours of 1,000 kWh at 0.50 a kWh
    values = ["1000"] * len(LONG)
    asked = decide(http, long, "edit", values=values).json()
    assert (asked["waits"], asked["exception"]["state"], asked["effect"]) == (True, "waiting", "91000.00")
    assert asked["exception"]["proposal"]["by"] == "ann"
    for ann in ("ann", " Ann "):  # a second person is not the same name written otherwise
        same = decide(http, long, "edit", values=values, actor=ann)
        assert (same.status_code, same.json()["type"].rpartition("/")[2]) == (409, "second-person-needed")
    other = decide(http, long, "edit", values=["900"] * len(LONG), actor="bob")
    assert (other.status_code, other.json()["type"].rpartition("/")[2]) == (409, "exception-decided")
    assert [one["state"] for one in http.get(f"{V1}/exceptions").json()["items"]] == ["waiting", "open"]
    agreed = decide(http, long, "edit", values=values, actor="bob").json()
    assert (agreed["waits"], agreed["exception"]["state"], agreed["exception"]["decided_by"]) == (
        False,
        "edited",
        "bob",
    )
    with grid.store.read() as tx:
        known = readings.series(tx, service_point_id="h2", period=Period(FIRST, END))
    assert int(known.values[LONG.start : LONG.stop].sum()) == 1_000_000 * len(LONG)


_SAID = {"action": "accept", "actor": "a", "reason": "b"}
_EDIT = {**_SAID, "action": "edit"}
_DECIDE = "/exceptions/{id}/decisions"


def test_what_is_wrong_is_a_problem_document(http: httpx.Client, queue: dict[str, Any]) -> None:
    asked: list[tuple[str, dict[str, Any], int, str, str]] = [
        ("/exceptions/nothing/decisions", _SAID, 404, "exception-not-found", "nothing"),
        ("/exceptions/%00/decisions", _SAID, 404, "exception-not-found", "x00"),
        (_DECIDE, {**_SAID, "action": "forget"}, 422, "request-refused", "action"),
        (_DECIDE, {**_SAID, "reason": " "}, 422, "decision-refused", "reason"),
        (_DECIDE, {**_SAID, "reason": "a\x00"}, 422, "decision-refused", "reason"),
        (_DECIDE, {**_SAID, "actor": "\x00a"}, 422, "decision-refused", "actor"),
        (_DECIDE, {**_SAID, "actor": "VEE"}, 422, "decision-refused", "actor"),  # steps that nobody took have that name
        (_DECIDE, {**_SAID, "revision": 9}, 409, "exception-decided", f"/exceptions/{of(queue, 'h0')['id']} or"),
        (_DECIDE, {**_SAID, "values": ["1"]}, 422, "decision-refused", "values"),
        (_DECIDE, {**_EDIT, "values": ["1"], "method": "linear"}, 422, "decision-refused", "method"),
        (_DECIDE, _EDIT, 422, "decision-refused", "0 values for 1"),
        (_DECIDE, {**_EDIT, "values": ["1", "1"]}, 422, "decision-refused", "2 values for 1"),
        (_DECIDE, {**_EDIT, "values": [1]}, 422, "request-refused", "values"),
        *(
            (_DECIDE, {**_EDIT, "values": [value]}, 422, "decision-refused", "whole number of watt-hours")
            for value in ("x", "", "0.0001", "NaN", "sNaN", "Infinity", "1e999999", "1e9999999999999", "1_0")
        ),
        *((_DECIDE, {**_EDIT, "values": [value]}, 422, "decision-refused", "below") for value in ("-1", "9999999999")),
        ("/validations", {"start": "2026-03-01T00:00:00", "end": "2026-03-02T00:00:00"}, 422, "", "with an offset"),
        ("/validations", {"start": "2026-03-02T00:00:00Z", "end": "2026-03-01T00:00:00Z"}, 422, "", "before it starts"),
        ("/validations", {"start": "2020-03-02T00:00:00Z", "end": "2026-03-01T00:00:00Z"}, 422, "", "400 days"),
        ("/validations", {"start": "0001-01-01T00:00:00+05:00", "end": "0001-01-02T00:00:00Z"}, 422, "", "1970"),
        ("/validations", {"start": "9999-12-31T00:00:00Z", "end": "9999-12-31T23:00:00-05:00"}, 422, "", "9999"),
        ("/validations", {**LAST, "service_points": ["h0", "h9"]}, 404, "service-point-unknown", "h9"),
        ("/validations", {**LAST, "service_points": ["\x00"]}, 422, "request-refused", "service_points"),
    ]
    for path, body, status, slug, cause in asked:
        answer = http.post(V1 + path.format(id=of(queue, "h0")["id"]), json=body)
        assert (answer.status_code, body) == (status, body), answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["type"].endswith("/" + (slug or "validation-refused"))
        assert cause in f"{answer.json()['detail']} {answer.json().get('remedy', '')}", answer.text
        assert slug in {"request-refused", "exception-not-found"} or answer.json()["remedy"]
    for query, cause in (
        ({"state": "lost"}, "state"),
        ({"limit": 0}, "limit"),
        ({"offset": -1}, "offset"),
        ({"offset": 10**30}, "offset"),
        ({"rule": "\x00"}, "rule"),
        ({"service_point": "\x00"}, "service_point"),
        ({"channel": "\x00"}, "channel"),
    ):
        answer = http.get(f"{V1}/exceptions", params=query)
        assert (answer.status_code, query) == (422, query), answer.text
        assert cause in answer.json()["detail"]
    assert http.get(f"{V1}/exceptions/nothing").status_code == 404
    assert http.get(f"{V1}/exceptions").json()["items"] == queue["items"]


def test_of_many_that_decide_at_once_one_does(http: httpx.Client, queue: dict[str, Any]) -> None:
    spike = of(queue, "h0")
    before = Decimal(http.get(f"{V1}/contracts/h0/balance").json()["available"])
    with ThreadPoolExecutor(6) as people:
        answers = list(
            people.map(
                lambda number: decide(http, spike, "edit", values=[f"0.{number}"], actor=f"p{number}"), range(1, 7)
            )
        )
    (done,) = [answer.json() for answer in answers if answer.status_code == 200]
    assert sorted(answer.status_code for answer in answers) == [200, *[409] * 5]
    after = Decimal(http.get(f"{V1}/contracts/h0/balance").json()["available"])
    assert after - before == -Decimal(done["effect"])
    assert Decimal(done["effect"]) == (Decimal(done["energy_after"]) - 4) / 2
    assert len(http.get(f"{V1}/exceptions/{spike['id']}").json()["steps"]) == 2


def test_a_wallet_gets_back_what_an_estimate_took_too_much(
    http: httpx.Client, grid: Grid, system: System, queue: dict[str, Any]
) -> None:
    del queue
    (gap,) = http.get(f"{V1}/exceptions", params={"state": "filled"}).json()["items"]
    values = http.get(f"{V1}/exceptions/{gap['id']}").json()["values"]
    assert [(one["came"], one["came_quality"], one["stands_quality"]) for one in values] == [
        (None, "missing", "estimated")
    ] * 4
    assert [one["start"] for one in values][:2] == ["2026-03-10T10:00:00Z", "2026-03-10T10:15:00Z"]
    before = Decimal(http.get(f"{V1}/contracts/h1/balance").json()["available"])
    known = history().picked(np.isin(np.arange(DAYS * 96), range(GAP, GAP + 4)))
    late = replace(known, values=known.values - 60)
    system.deliver(batch=grid.batch("late", {"h1": late}))
    after = Decimal(http.get(f"{V1}/contracts/h1/balance").json()["available"])
    estimated, came = sum(Decimal(one["stands"]) for one in values), Decimal(int(late.values.sum())) / 1000
    assert estimated - came == Decimal("0.240")
    assert after - before == (estimated - came) / 2
    shown = http.get(f"{V1}/exceptions/{gap['id']}").json()
    assert shown["exception"]["state"] == "superseded"
    assert [one["stands_quality"] for one in shown["values"]] == ["actual"] * 4


def test_a_reading_that_comes_closes_its_exception(
    http: httpx.Client, grid: Grid, system: System, queue: dict[str, Any]
) -> None:
    long = of(queue, "h2")
    system.deliver(batch=grid.batch("late", {"h2": history()}))
    shown = http.get(f"{V1}/exceptions/{long['id']}").json()
    assert (shown["exception"]["state"], [step["actor"] for step in shown["steps"]]) == ("superseded", ["vee", "vee"])
    assert decide(http, long, "estimate").status_code == 409


def test_a_decision_corrects_a_bill_that_is_out(http: httpx.Client, grid: Grid, system: System) -> None:
    march = np.full(31 * 96, 250)
    march[20 * 96 + 60] = 8_250
    system.deliver(batch=grid.batch("march", {"h2": intervals(march.tolist())}))
    grid.clock.move_to(APRIL)
    with grid.store.write() as tx:
        run = billing.start_run(tx, month="2026-03", now=APRIL)
        billing.bill_contracts(tx, run_id=run.id, contract_ids=["h2"], deductions=WalletDeductions(), now=APRIL)
    day = MARCH + timedelta(days=20)
    http.post(f"{V1}/validations", json={"start": day.isoformat(), "end": (day + timedelta(days=1)).isoformat()})
    told = decide(http, of(http.get(f"{V1}/exceptions").json(), "h2"), "edit", values=["0.25"]).json()
    assert (told["effect"], told["exception"]["state"]) == ("-4.00", "edited")
    system.worker.settle()
    (bill,) = http.get(f"{V1}/contracts/h2/bills").json()["items"]
    assert (bill["total"], bill["corrected_total"]) == ("379.10", "375.10")
    (correction,) = bill["corrections"]
    assert correction["difference"] == "-4.00"


def test_who_did_not_see_what_has_come_is_told_how_to(http: httpx.Client, grid: Grid, queue: dict[str, Any]) -> None:
    grid.deliver("other", {"h0": history(spike=5_000)})  # and nobody has looked at it
    late = decide(http, of(queue, "h0"), "accept").json()
    assert late["status"] == 409
    assert "`wattledger readings validate --from 2026-03-10 --to 2026-03-10 --point h0`" in late["remedy"]
    assert http.post(f"{V1}/validations", json=LAST).json()["exceptions_changed"] == 1
    spike = of(http.get(f"{V1}/exceptions").json(), "h0")
    assert decide(http, spike, "accept", revision=2).json()["energy_after"] == "5.000"


def test_what_nobody_prices_goes_by_energy_then_by_age(http: httpx.Client, grid: Grid, system: System) -> None:
    grid.clock.move_to(END)
    spikes = {"z1": 4_000, "z2": 9_000, "z3": 4_000}
    with grid.store.write() as tx:
        for point in spikes:
            registry.add_service_point(tx, service_point_id=point, premise_id="h0")
    for point, spike in spikes.items():
        system.deliver(batch=grid.batch(point, {point: history(spike=spike)}))
        http.post(f"{V1}/validations", json={**LAST, "service_points": [point]})
        grid.clock.advance(timedelta(minutes=1))
    found = http.get(f"{V1}/exceptions").json()["items"]
    assert [(one["service_point"], one["stake"]) for one in found] == [("z2", None), ("z1", None), ("z3", None)]


def test_power_that_no_wire_carries_stops_no_validation(grid: Grid, system: System, http: httpx.Client) -> None:
    grid.clock.move_to(END)
    with grid.store.write() as tx:
        for contract, power in (("h0", "1e30"), ("h1", "1e999999"), ("h2", "5")):
            registry.tell_fact(
                tx, contract_id=contract, name="fuse_kw", value=power, valid_from=MARCH, now=grid.clock.now()
            )
    system.deliver(batch=grid.batch("a", dict.fromkeys(("h0", "h1", "h2"), history(spike=4_000))))
    told = http.post(f"{V1}/validations", json=LAST).json()
    assert told["found"] == {"bound": 1, "spike": 3}
