"""Cash over the counter, and the four providers as entry points."""

from __future__ import annotations

import json
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import get_type_hints

import pytest
from payments_desk import Desk, yuan

from wattledger import payments
from wattledger.kernel import epoch
from wattledger.payments import OrderState
from wattledger.payments.agent import Agents, agent, tell
from wattledger.store import recent_facts

KEYS = {"corner shop": b"the key of a till", "kiosk": b"the key of a kiosk"}


@pytest.fixture
def agents(tmp_path: Path) -> Agents:
    return Agents(KEYS, tmp_path, "Asia/Shanghai")


def ordered(desk: Desk) -> payments.PaymentOrder:
    wanted = payments.NewOrder(contract_id=desk.home, provider="agent", amount=yuan("50"), key="a")
    with desk.store.write() as tx:
        return payments.place_order(tx, wanted=wanted, now=desk.grid.clock.now())


def take(desk: Desk, agents: Agents, till: str, **content: object) -> payments.Taken:
    callback = tell(till=till, key=KEYS[till], clock=desk.grid.clock, content=content)
    return payments.take_callback(desk.store, provider=agents, callback=callback, now=desk.grid.clock.now())


def test_cash_is_credited_once_and_comes_back_over_the_counter(desk: Desk, agents: Agents) -> None:
    order, now = ordered(desk), desk.grid.clock.now()
    told = {"kind": "payment", "order": order.id, "minor": 5000, "currency": "CNY", "paid_at": epoch(now)}
    assert take(desk, agents, "kiosk", receipt="1", **told).outcome == "credited"
    assert take(desk, agents, "kiosk", receipt="1", **told).outcome == "duplicate"
    # Another till's receipt of the same number is another payment.
    assert take(desk, agents, "corner shop", receipt="1", **told).outcome == "queued"
    assert desk.available() == yuan("50")

    refund = payments.refund_payment(
        desk.store, provider=agents, payment_id="kiosk:1", reason="-", by="Li", now=now
    ).refund
    assert payments.resume_refunds(desk.store, provider=agents, now=now) == 0  # nobody has handed it out yet
    assert take(desk, agents, "kiosk", kind="refund", receipt="2", refund=refund.id).outcome == "refund"
    assert take(desk, agents, "kiosk", kind="refund", receipt="2", refund=refund.id).outcome == "refund"
    assert desk.order(order.id).state is OrderState.REFUNDED
    assert desk.available() == yuan("0")
    with desk.store.read() as tx:
        assert [fact.kind for fact in recent_facts(tx, limit=99)].count("PaymentRefunded") == 1

    lines = ["kind,id,order,minor,currency,at", f"payment,kiosk:1,{order.id},5000,CNY,{epoch(now)}"]
    lines += [f"payment,corner shop:1,{order.id},5000,CNY,{epoch(now)}", f"refund,{refund.id},,5000,CNY,{epoch(now)}"]
    (agents.lists / "2026-03-01.csv").write_text("\n".join(lines))
    day = payments.reconcile(desk.store, provider=agents, day=now.date())
    assert (day.differences, day.here) == ((), (yuan("50"),))


def test_a_till_speaks_for_itself_only(desk: Desk, agents: Agents) -> None:
    callback = tell(till="kiosk", key=KEYS["corner shop"], clock=desk.grid.clock, content={})
    with pytest.raises(payments.TamperedCallback):
        agents.verify(callback)
    with pytest.raises(payments.UnknownCertificate):
        agents.verify(tell(till="stall", key=b"whatever it may be", clock=desk.grid.clock, content={}))


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"kind": "gift", "receipt": "1"},
        {"kind": "payment", "receipt": "1"},
        {"kind": "payment", "receipt": "1", "order": "o", "minor": 1.5, "currency": "CNY", "paid_at": 0},
        {"kind": "payment", "receipt": "1", "order": "o", "minor": 1, "currency": "CNY", "paid_at": 10**20},
        {"kind": "payment", "receipt": "1", "order": "o", "minor": 1, "currency": "CNY", "paid_at": "now"},
    ],
)
def test_what_a_till_tells_has_to_make_sense(desk: Desk, agents: Agents, content: dict[str, object]) -> None:
    with pytest.raises(payments.MalformedCallback):
        agents.verify(tell(till="kiosk", key=KEYS["kiosk"], clock=desk.grid.clock, content=content))


@pytest.mark.parametrize("text", [None, "kind,id\n", "kind,id\npayment,1\n", 'kind,id,"', b"\xff\xfe"])
def test_a_list_that_is_not_there_is_no_empty_day(desk: Desk, agents: Agents, text: str | bytes | None) -> None:
    file = agents.lists / "2026-03-01.csv"
    if text is not None:
        file.write_bytes(text.encode() if isinstance(text, str) else text)
    if text == "kind,id\n":
        assert agents.statement(desk.grid.clock.now().date()) == []
        return
    with pytest.raises(payments.ProviderUnreachable):
        agents.statement(desk.grid.clock.now().date())


def test_settings_make_the_agents(desk: Desk, tmp_path: Path) -> None:
    tills = tmp_path / "tills.json"
    tills.write_text(json.dumps({"kiosk": "the key of a kiosk"}))
    told = {"tills": str(tills), "lists": str(tmp_path), "zone": "Asia/Shanghai"}
    assert agent(told, clock=desk.grid.clock).tills == {"kiosk": b"the key of a kiosk"}
    for content in ('{"kiosk": "short"}', "[]", "{"):
        tills.write_text(content)
        with pytest.raises(payments.SettingsWrong):
            agent(told, clock=desk.grid.clock)
    with pytest.raises(payments.SettingsWrong):
        agent({**told, "lists": ""}, clock=desk.grid.clock)


# --- Entry points ---


def offered(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    points = [EntryPoint(name, value, "wattledger.payments") for name, value in values.items()]
    monkeypatch.setattr("wattledger.payments._providers.entry_points", lambda **_: points)


def test_providers_are_opened_by_their_names(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    offered(monkeypatch, simulated="wattledger.payments.simulated:simulated")
    clock = desk.grid.clock
    opened = payments.open_providers(settings={"simulated": {"key": "k" * 16}}, clock=clock)
    assert [(name, one.name) for name, one in opened.items()] == [("simulated", "simulated")]
    with pytest.raises(payments.SettingsWrong):
        payments.open_providers(settings={"simulated": {}}, clock=clock)
    with pytest.raises(payments.ProviderNotFound, match="installed are: simulated"):
        payments.open_providers(settings={"paypal": {}}, clock=clock)


@pytest.mark.parametrize("value", ["wattledger.payments.nowhere:one", "wattledger.payments.simulated:none"])
def test_a_broken_provider_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    offered(monkeypatch, simulated=value)
    with pytest.raises(payments.ProviderBroken):
        payments.open_providers(settings={"simulated": {"key": "k" * 16}}, clock=desk.grid.clock)


def test_what_is_shipped_is_offered_under_its_own_name() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    offers = project["entry-points"]["wattledger.payments"]
    assert sorted(offers) == ["agent", "simulated", "stripe", "wechat"]
    for name, value in offers.items():
        made = EntryPoint(name, value, "wattledger.payments").load()
        assert get_type_hints(made)["return"].name == name


def test_a_provider_is_called_as_its_entry_point(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    offered(monkeypatch, other="wattledger.payments.simulated:simulated")
    with pytest.raises(payments.ProviderBroken, match="calls itself simulated"):
        payments.open_providers(settings={"other": {"key": "k" * 16}}, clock=desk.grid.clock)
