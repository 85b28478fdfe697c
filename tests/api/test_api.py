import json
import socket
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from grid import APRIL, MARCH, Grid, intervals

from wattledger import billing
from wattledger.api import create_api, serve
from wattledger.app._system import System, openapi_document
from wattledger.worker import launch_jobs, stop_jobs

V1 = "/api/v1"


def recharge(http: httpx.Client, amount: str, key: str, contract: str = "h0") -> tuple[int, dict[str, Any]]:
    answer = http.post(
        f"{V1}/contracts/{contract}/recharges", json={"amount": amount}, headers={"Idempotency-Key": key}
    )
    return answer.status_code, answer.json()


def test_prometheus_reads_how_the_head_end_stands(http: httpx.Client) -> None:
    told = http.get(str(http.base_url.copy_with(path="/metrics")))
    assert told.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "wattledger_headend_meters_linked 0\n" in told.text
    assert 'wattledger_headend_rows_missing{state="due"} 0\n' in told.text
    assert "# TYPE wattledger_headend_rows_total counter\n" in told.text


def test_health(http: httpx.Client) -> None:
    assert http.get(f"{V1}/health").json()["status"] == "ok"


def test_contracts_are_found_by_name_and_mode(http: httpx.Client) -> None:
    everyone = http.get(f"{V1}/contracts").json()
    assert everyone["total"] == 3
    assert [one["id"] for one in http.get(f"{V1}/contracts", params={"q": "FAMILY H1"}).json()["items"]] == ["h1"]
    assert [one["id"] for one in http.get(f"{V1}/contracts", params={"mode": "postpay"}).json()["items"]] == ["h2"]
    assert http.get(f"{V1}/contracts", params={"q": "100%"}).json()["total"] == 0


def test_the_balance_follows_use_and_recharge(http: httpx.Client, grid: Grid) -> None:
    grid.deliver("a", {"h0": intervals([1000, 1000])})
    balance = http.get(f"{V1}/contracts/h0/balance").json()
    assert (balance["available"], balance["state"]) == ("-1.10", "empty")
    status, done = recharge(http, "20.00", "k")
    assert (status, done["balance_after"]) == (201, "18.90")
    assert recharge(http, "20.00", "k") == (status, done)
    assert http.get(f"{V1}/recharges/{done['id']}").json() == done
    assert http.get(f"{V1}/contracts/h0/balance").json()["available"] == "18.90"


def test_the_steps_of_a_recharge_go_with_the_light(http: httpx.Client, grid: Grid, system: System) -> None:
    grid.deliver("a", {"h0": intervals([1000])})
    system.worker.settle()
    grid.clock.advance(timedelta(hours=1))
    system.worker.settle()
    home = http.get(f"{V1}/contracts/h0/home").json()
    assert (home["supply"]["state"], home["supply"]["reason"]) == ("off", "balance_exhausted")
    _, done = recharge(http, "20.00", "k")
    assert [step["state"] for step in done["steps"]] == ["done", "done", "pending", "pending"]
    assert done["complete"] is False
    system.worker.settle()
    done = http.get(f"{V1}/recharges/{done['id']}").json()
    assert [step["state"] for step in done["steps"]] == ["done"] * 4
    assert done["complete"] is True
    assert http.get(f"{V1}/contracts/h0/home").json()["supply"]["state"] == "on"


def test_a_recharge_that_does_not_cover_the_debt_says_so(http: httpx.Client, grid: Grid, system: System) -> None:
    grid.deliver("a", {"h0": intervals([1000])})
    system.worker.settle()
    grid.clock.advance(timedelta(hours=1))
    system.worker.settle()
    _, done = recharge(http, "0.30", "k")
    assert [step["state"] for step in done["steps"]] == ["done", "done", "not_enough", "not_enough"]


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "slug"),
    [
        ("GET", "/contracts/nobody/balance", None, {}, 404, "contract-not-found"),
        ("GET", "/contracts/h2/balance", None, {}, 404, "wallet-not-found"),
        ("GET", "/contracts/nobody/home", None, {}, 404, "contract-not-found"),
        ("GET", "/contracts/nobody/home/stream", None, {}, 404, "contract-not-found"),
        ("GET", "/bills/none", None, {}, 404, "bill-not-found"),
        ("GET", "/recharges/none", None, {}, 404, "recharge-not-found"),
        ("GET", "/accounts/none", None, {}, 404, "account-not-found"),
        ("GET", "/nowhere", None, {}, 404, "not-found"),
        ("POST", "/contracts/h0/recharges", {"amount": "5"}, {}, 422, "request-refused"),
        ("POST", "/contracts/h0/recharges", {"amount": "-5"}, {"Idempotency-Key": "k"}, 422, "request-refused"),
        ("POST", "/contracts/h0/recharges", {"amount": 5}, {"Idempotency-Key": "k"}, 422, "request-refused"),
        ("POST", "/contracts/h0/recharges", {"amount": "0"}, {"Idempotency-Key": "k"}, 422, "recharge-refused"),
        ("POST", "/contracts/h2/recharges", {"amount": "5"}, {"Idempotency-Key": "k"}, 404, "wallet-not-found"),
        ("POST", "/bill-runs", {"month": "2026-14"}, {}, 422, "request-refused"),
        ("POST", "/bill-runs", {"month": "2026-03"}, {}, 409, "month-not-over"),
        ("GET", "/contracts/h0/usage?start=yesterday", None, {}, 422, "period-refused"),
        ("GET", "/contracts/h0/usage?start=2026-03-02", None, {}, 422, "period-refused"),
    ],
)
def test_what_cannot_be_is_a_problem_document(
    http: httpx.Client,
    grid: Grid,
    method: str,
    path: str,
    body: object,
    headers: dict[str, str],
    status: int,
    slug: str,
) -> None:
    grid.deliver("a", {"h0": intervals([1000])})
    answer = http.request(method, V1 + path, json=body, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"].endswith("/" + slug)
    assert problem["detail"]
    assert problem["status"] == status


def test_a_key_used_for_another_amount_is_a_conflict(http: httpx.Client, grid: Grid) -> None:
    grid.deliver("a", {"h0": intervals([1000])})
    recharge(http, "20.00", "k")
    status, problem = recharge(http, "21.00", "k")
    assert (status, str(problem["type"]).rpartition("/")[2]) == (409, "idempotency-key-reused")


def test_ten_requests_with_one_key_at_once_credit_once(http: httpx.Client, grid: Grid) -> None:
    grid.deliver("a", {"h0": intervals([1000])})
    answers: list[tuple[int, dict[str, Any]]] = []
    threads = [threading.Thread(target=lambda: answers.append(recharge(http, "20.00", "k"))) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [status for status, _ in answers] == [201] * 10
    assert grid.wallet("h0").ledger_balance.text == "19.40"


def test_usage_shows_every_interval_and_what_is_missing(http: httpx.Client, grid: Grid) -> None:
    grid.deliver("a", {"h0": intervals([1000, 500])})
    grid.clock.advance(timedelta(hours=1))
    usage = http.get(f"{V1}/contracts/h0/usage", params={"start": MARCH.isoformat()}).json()
    assert (usage["kwh"], usage["missing"], len(usage["intervals"])) == ("1.5", 2, 4)
    assert [one["kwh"] for one in usage["intervals"]] == ["1", "0.5", None, None]
    assert sum(float(one["cost"]) for one in usage["by_period"]) == pytest.approx(0.75)


def test_home_of_a_prepaid_and_a_billed_customer(http: httpx.Client, grid: Grid) -> None:
    for day in range(5):
        start = MARCH + timedelta(days=day)
        grid.deliver(f"d{day}", {name: intervals([250] * 96, start=start) for name in ("h0", "h2")})
        grid.clock.move_to(start + timedelta(days=1))
    prepaid = http.get(f"{V1}/contracts/h0/home").json()
    assert prepaid["balance"]["available"] == "-60.50"
    assert prepaid["bill_so_far"] is None
    assert prepaid["use_now"]["kw"] == "1"
    assert prepaid["today"]["kwh"] == "0"
    grid.clock.advance(timedelta(hours=12))
    grid.deliver("noon", {"h2": intervals([250] * 48, start=MARCH + timedelta(days=5))})
    billed = http.get(f"{V1}/contracts/h2/home").json()
    assert billed["balance"] is None
    assert billed["today"]["kwh"] == "12"
    assert billed["today"]["cost"] == "6.10"
    assert billed["usual"] == {"today_kwh": "12", "usual_kwh": "12.000", "days": 5}
    assert billed["bill_so_far"]["amount"] == "66.60"
    assert (billed["price"]["price"], billed["price"]["changes_at"]) == ("0.5", None)
    assert len(billed["today"]["intervals"]) == 48


def test_the_price_now_is_that_of_the_tier_reached(http: httpx.Client, grid: Grid, tou_tariff: dict[str, Any]) -> None:
    grid.publish(tou_tariff)
    grid.homes(1, mode="prepay", tariff=str(tou_tariff["id"]), first=9)
    grid.clock.advance(timedelta(hours=9))
    assert http.get(f"{V1}/contracts/h9/home").json()["price"]["price"] == "0.5683"
    grid.deliver("much", {"h9": intervals([2000] * 36)})  # 72 kWh: past the first 50.5
    assert http.get(f"{V1}/contracts/h9/home").json()["price"]["price"] == "0.6183"


def test_overview_counts_what_is_there(http: httpx.Client, grid: Grid, system: System) -> None:
    grid.deliver("a", {"h0": intervals([1000, 1000]), "h1": intervals([0, 0]), "h2": intervals([7])})
    grid.recharge("h1", "100")
    grid.clock.advance(timedelta(minutes=30))
    system.worker.settle()
    overview = http.get(f"{V1}/overview").json()
    assert overview["contracts"] == 3
    assert overview["arrivals"]["stored_total"] == 5
    assert (overview["arrivals"]["arrived_today"], overview["arrivals"]["expected_today"]) == (5, 6)
    assert [row["contract"] for row in overview["wallets"]["near_zero"]] == ["h0"]
    assert overview["money_today"]["recharged"] == {"CNY": "100.00"}
    assert {event["kind"] for event in overview["events"]} >= {"BalanceExhausted", "RechargeCredited"}
    assert overview["supply"] == {"on": 3, "off": 0, "disconnecting": 0, "reconnecting": 0}


def test_a_bill_run_over_http(http: httpx.Client, grid: Grid, system: System) -> None:
    full = intervals([250] * (31 * 96))
    grid.deliver("a", {"h0": full, "h1": full, "h2": full})
    grid.clock.move_to(APRIL)
    launch_jobs(store=grid.store)
    try:
        begun = http.post(f"{V1}/bill-runs", json={"month": "2026-03"})
        assert begun.status_code == 202
        with grid.store.read() as tx:
            run = billing.bill_run_with_id(tx, run_id=begun.json()["id"])
        system.jobs.wait_for_bill_run(run=run)
    finally:
        stop_jobs()
    done = http.get(f"{V1}/bill-runs/run_2026-03").json()
    assert (done["state"], done["posted"], done["statements_agreeing"]) == ("finished", 3, 2)
    (bill,) = http.get(f"{V1}/contracts/h2/bills").json()["items"]
    assert (bill["kind"], bill["total"]) == ("bill", "375.10")
    assert http.get(f"{V1}/bills/{bill['id']}").json() == bill
    assert http.get(f"{V1}/overview").json()["bill_run"]["amounts"] == {"CNY": "1125.30"}


def test_the_front_end_is_built_from_the_current_contract() -> None:
    committed = Path(__file__).parents[2] / "web" / "openapi.json"
    assert json.loads(committed.read_text(encoding="utf-8")) == json.loads(openapi_document()), (
        "run: wattledger openapi > web/openapi.json"
    )


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_who_stops_while_a_page_looks_on_stops_without_a_word(
    system: System, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    stop = threading.Event()
    server = threading.Thread(
        target=serve, args=(create_api(system.services()),), kwargs={"host": "127.0.0.1", "port": port, "stop": stop}
    )
    server.start()
    transport = httpx.HTTPTransport(retries=10)
    with (
        httpx.Client(transport=transport, timeout=30) as client,
        client.stream("GET", f"http://127.0.0.1:{port}{V1}/overview/stream") as stream,
    ):
        lines = stream.iter_lines()
        while not next(lines).startswith("event: overview"):
            pass
        stop.set()
        assert any(line.startswith("data: ") for line in list(lines))  # it came to its end
    server.join()
    assert capsys.readouterr().err == ""
