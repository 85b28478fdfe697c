from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattledger.demo import ZONE, HttpPayer, People, RechargeRejected, RechargeUnanswered, Supply, Town, TownPlan
from wattledger.demo._people import Intention
from wattledger.kernel import Money
from wattledger.prepay import Wallet
from wattledger.store import RecordedFact

NOON = datetime(2026, 7, 20, 4, tzinfo=UTC)  # by the town's clock


@pytest.fixture(scope="module")
def big() -> Town:
    return Town.of(TownPlan())


def fact(kind: str, supply: Supply, *, at: datetime = NOON, seq: int = 7) -> RecordedFact:
    return RecordedFact(seq=seq, at=at, kind=kind, contract_id=supply.contract_id, data={})


def wallet(supply: Supply, available: str, state: str) -> Wallet:
    money = Money.of(available, "CNY")
    return Wallet(
        contract_id=supply.contract_id,
        ledger_balance=money,
        accrued=Money.zero("CNY"),
        available=money,
        state=state,  # type: ignore[arg-type]  # one of the three words
        low_threshold=Money.of(10, "CNY"),
        days_left=None,
        daily_mean=None,
    )


def of_style(town: Town, style: str) -> Supply:
    people = People(town)
    return next(s for s in town.prepaid if s.kind == "home" and people.style(s) == style)


def test_there_are_all_sorts_of_people(big: Town) -> None:
    people = People(big)
    styles = [people.style(supply) for supply in big.prepaid]
    assert styles.count("late") == 3
    assert styles.count("careful") > styles.count("usual") > styles.count("late")


@pytest.mark.parametrize(
    ("style", "kind", "acts"),
    [
        ("careful", "BalanceLow", True),
        ("usual", "BalanceLow", False),
        ("late", "BalanceLow", False),
        ("careful", "DisconnectPlanned", True),
        ("usual", "DisconnectPlanned", True),
        ("late", "DisconnectPlanned", False),
        ("late", "SupplyDisconnected", True),
        ("late", "RechargeCredited", False),
    ],
)
def test_each_acts_on_what_concerns_them(big: Town, style: str, kind: str, *, acts: bool) -> None:
    people = People(big)
    people.hear([fact(kind, of_style(big, style))])
    assert (people.next_due() is not None) == acts


def test_who_is_billed_does_not_recharge(big: Town) -> None:
    people = People(big)
    billed = next(supply for supply in big.supplies if supply.mode == "postpay")
    people.hear([fact("BalanceLow", billed), RecordedFact(1, NOON, "BillRunStarted", None, {})])
    assert people.next_due() is None


def test_the_late_act_twenty_to_ninety_minutes_after_the_dark(big: Town) -> None:
    people = People(big)
    supply = of_style(big, "late")
    people.hear([fact("SupplyDisconnected", supply)])
    due = people.next_due()
    assert due is not None
    assert timedelta(minutes=20) <= due - NOON < timedelta(minutes=90)
    assert people.take_due(NOON + timedelta(minutes=19)) == []
    (meant,) = people.take_due(due)
    assert meant.contract_id == supply.contract_id
    assert people.next_due() is None
    people.again(meant, at=due + timedelta(minutes=10))
    (again,) = people.take_due(due + timedelta(minutes=10))
    assert again.key == meant.key


def test_worse_news_hurries_the_same_recharge(big: Town) -> None:
    people = People(big)
    supply = of_style(big, "careful")
    people.hear([fact("BalanceLow", supply, seq=7)])
    calm = people.next_due()
    people.hear([fact("DisconnectPlanned", supply, seq=9)])
    hurried = people.next_due()
    assert calm is not None
    assert hurried is not None
    assert hurried <= calm
    (meant,) = people.take_due(NOON + timedelta(days=2))
    assert meant.key.endswith(":7")


@given(
    seconds=st.integers(0, 86_400 * 3), kind=st.sampled_from(["BalanceLow", "DisconnectPlanned", "SupplyDisconnected"])
)
def test_nobody_recharges_at_night_and_nobody_before_they_hear(big: Town, seconds: int, kind: str) -> None:
    at = NOON + timedelta(seconds=seconds)
    people = People(big)
    people.hear([fact(kind, supply, at=at) for supply in big.prepaid])
    for meant in people.take_due(at + timedelta(days=3)):
        local = meant.due.astimezone(ZoneInfo(ZONE))
        assert meant.due > at
        assert (6, 30) <= (local.hour, local.minute) < (23, 30)
        assert meant.due - at < timedelta(hours=20)


def test_the_same_news_lead_to_the_same_recharges(big: Town) -> None:
    news = [fact("SupplyDisconnected", supply, seq=number) for number, supply in enumerate(big.prepaid)]
    one, other = People(big), People(big)
    one.hear(news)
    other.hear(reversed(news))
    end = NOON + timedelta(days=2)
    assert one.take_due(end) == other.take_due(end) != []


@given(owed=st.integers(0, 300), style=st.sampled_from(["careful", "usual", "late"]), label=st.text(max_size=5))
def test_a_recharge_always_brings_the_light_back(big: Town, owed: int, style: str, label: str) -> None:
    supply = of_style(big, style)
    intention = Intention(due=NOON, contract_id=supply.contract_id, key=label)
    amount = People(big).amount(intention, wallet=wallet(supply, f"-{owed}", "empty"))
    assert amount is not None
    assert amount > owed
    assert amount % (1 if style == "late" else 10) == 0


def test_nobody_pays_what_somebody_else_has_paid(big: Town) -> None:
    people = People(big)
    for style, available, state, pays in (
        ("careful", "80", "ok", False),
        ("careful", "8", "low", True),
        ("late", "8", "low", False),
        ("usual", "-1", "empty", True),
    ):
        supply = of_style(big, style)
        intention = Intention(due=NOON, contract_id=supply.contract_id, key="k")
        assert (people.amount(intention, wallet=wallet(supply, available, state)) is not None) == pays


def test_the_late_buy_a_day_at_a_time(big: Town) -> None:
    supply = of_style(big, "late")
    looked = replace(wallet(supply, "-0.30", "empty"), daily_mean=Money.of("8.40", "CNY"))
    for number in range(20):
        amount = People(big).amount(Intention(due=NOON, contract_id=supply.contract_id, key=str(number)), wallet=looked)
        assert amount is not None
        assert 6 <= amount <= 10


def test_first_amounts_are_part_of_a_usual_recharge(big: Town) -> None:
    people = People(big)
    amounts = [people.first_amount(supply) for supply in big.prepaid]
    assert all(amount >= 10 for amount in amounts)
    assert len(set(amounts)) > 10


@contextmanager
def api(answers: list[int]) -> Iterator[tuple[str, list[tuple[str, str, dict[str, str]]]]]:
    """A server on loopback that gives these statuses in turn (0 hangs up), and what it was asked."""
    asked: list[tuple[str, str, dict[str, str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((self.path, self.headers["Idempotency-Key"], json.loads(body)))
            status = answers[len(asked) - 1]
            self.close_connection = True
            if status:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_recharge_over_http_is_repeated_with_the_same_key() -> None:
    pauses: list[float] = []
    with api([503, 0, 429, 201]) as (url, asked):
        payer = HttpPayer(base_url=url, pause=pauses.append)
        payer(contract_id="c-home-001", amount=Decimal(20), key="town:1:x")
        payer.close()
    assert (
        asked
        == [("/api/v1/contracts/c-home-001/recharges", "town:1:x", {"amount": "20.00", "method": "simulated"})] * 4
    )
    assert pauses == [0.25, 0.5, 1.0]


def test_a_refusal_is_not_repeated_and_silence_is_told() -> None:
    with api([422, 500, 500, 500, 500]) as (url, asked):
        payer = HttpPayer(base_url=url, pause=lambda _: None)
        with pytest.raises(RechargeRejected, match="HTTP 422"):
            payer(contract_id="c", amount=Decimal(20), key="k1")
        assert len(asked) == 1
        with pytest.raises(RechargeUnanswered, match="HTTP 500"):
            payer(contract_id="c", amount=Decimal(20), key="k2")
        payer.close()
        assert len(asked) == 5
    payer = HttpPayer(base_url=url, pause=lambda _: None)
    with pytest.raises(RechargeUnanswered, match="ConnectError"):
        payer(contract_id="c", amount=Decimal(20), key="k3")
    payer.close()
