"""From an empty wallet back to the light, on the page that a customer sees; and what happens when answers are lost."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

import httpx
from playwright.sync_api import Page, Route, expect

expect.set_options(timeout=20_000)

Visit = Callable[..., Page]
Judge = Callable[[Page], list[tuple[str, str]]]
PAY = re.compile(r"^Pay ")
RECHARGES = "**/api/v1/contracts/*/recharges"


def test_a_recharge_brings_the_supply_back(visit: Visit, dark_home: str, ask: httpx.Client, judge: Judge) -> None:
    page = visit(f"/app/{dark_home}")
    supply = page.get_by_test_id("supply")
    expect(supply).to_contain_text("Supply off")
    expect(page.get_by_text("Recharge any amount that brings the balance above zero")).to_be_visible()

    page.get_by_role("link", name="Recharge").click()
    drawer = page.get_by_role("dialog", name="Recharge")
    expect(drawer.get_by_role("radio").first).to_be_focused()

    # Less than is owed: it is booked, and the page says why the light stays off.
    drawer.get_by_label("Another amount").fill("0,5")
    drawer.get_by_role("button", name="Pay ¥0.50").click()
    expect(drawer.get_by_text("¥0.50 recharged")).to_be_visible()
    expect(drawer.locator('[data-state="not_enough"]')).to_have_count(2)
    expect(drawer.get_by_text("the supply stays off until the balance is above zero")).to_be_visible()
    assert judge(page) == []

    owed = -Decimal(ask.get(f"/contracts/{dark_home}/balance").raise_for_status().json()["available"])
    enough = f"{owed + 20:.2f}"
    drawer.get_by_role("button", name="Recharge again").click()
    drawer.get_by_label("Another amount").fill(enough)
    drawer.get_by_role("button", name=f"Pay ¥{enough}").click()
    expect(drawer.get_by_text(f"¥{enough} recharged")).to_be_visible()
    expect(drawer.get_by_role("listitem")).to_have_count(4)
    for step in ("paid", "credited", "sent_to_meter", "supply_on"):
        done = drawer.locator(f'[data-step="{step}"][data-state="done"]')
        expect(done.locator("time")).to_have_text(re.compile(r"^\d\d:\d\d$"))

    drawer.get_by_role("button", name="Done").click()
    expect(page).to_have_url(re.compile(rf"/app/{dark_home}$"))
    expect(supply).to_have_text("Supply on")
    expect(page.get_by_role("heading", name=re.compile("^Recharge of ¥"))).to_be_visible()
    assert ask.get(f"/contracts/{dark_home}/home").json()["supply"]["state"] == "on"


def test_steps_that_a_lit_home_does_not_need_say_so(visit: Visit, lit_home: str) -> None:
    page = visit(f"/app/{lit_home}/recharge", width=1280)
    drawer = page.get_by_role("dialog")
    drawer.get_by_role("button", name=PAY).click()
    expect(drawer.get_by_text("not needed")).to_have_count(2)
    expect(drawer.get_by_text(re.compile(r"recharged$"))).to_be_visible()


def test_a_lost_answer_is_asked_for_again_under_the_same_key(visit: Visit, lit_home: str, ask: httpx.Client) -> None:
    page = visit(f"/app/{lit_home}/recharge")
    keys: list[str] = []
    made: list[str] = []

    def lose_the_first_answer(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        answer = route.fetch()
        made.append(answer.json()["id"])
        if len(keys) == 1:
            route.abort()  # the town has booked it; the page will never know
        else:
            route.fulfill(response=answer)

    page.route(RECHARGES, lose_the_first_answer)
    before = _ledger_balance(ask, lit_home)
    _pay_own_amount(page, "31")
    expect(page.get_by_role("dialog").get_by_text("¥31.00 recharged")).to_be_visible()
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert len(set(made)) == 1
    assert Decimal(30) < _ledger_balance(ask, lit_home) - before <= 31


def test_an_attempt_without_an_answer_survives_a_reload(
    visit: Visit, lit_home: str, ask: httpx.Client, judge: Judge
) -> None:
    page = visit(f"/app/{lit_home}/recharge")
    keys: list[str] = []

    def no_answer(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        route.abort()

    page.route(RECHARGES, no_answer)
    before = _ledger_balance(ask, lit_home)
    _pay_own_amount(page, "23")
    expect(page.get_by_role("heading", name="We do not know yet whether it went through")).to_be_visible()
    assert len(keys) == 3
    assert judge(page) == []

    page.reload()
    drawer = page.get_by_role("dialog")
    expect(drawer.get_by_text("A recharge of ¥23.00 was sent and no answer came")).to_be_visible()
    page.unroute(RECHARGES)
    with page.expect_request(RECHARGES) as asked:
        drawer.get_by_role("button", name="Ask again").click()
    expect(drawer.get_by_text("¥23.00 recharged")).to_be_visible()
    assert {*keys, asked.value.headers["idempotency-key"]} == {keys[0]}
    assert Decimal(22) < _ledger_balance(ask, lit_home) - before <= 23

    drawer.get_by_role("button", name="Recharge again").click()
    with page.expect_request(RECHARGES) as another:
        drawer.get_by_role("button", name=PAY).click()
    assert another.value.headers["idempotency-key"] != keys[0]


def test_a_refusal_is_told_with_its_remedy(visit: Visit, lit_home: str, judge: Judge) -> None:
    page = visit(f"/app/{lit_home}/recharge")
    _pay_own_amount(page, "5000000")
    alert = page.get_by_role("dialog").get_by_role("alert")
    expect(alert).to_contain_text("The recharge was refused")
    expect(alert).to_contain_text("cannot be put on a wallet")
    expect(alert).to_contain_text("What to do: send more than 0 and up to")
    expect(page.get_by_role("button", name=PAY)).to_be_enabled()
    assert judge(page) == []


def test_an_amount_that_is_none_is_not_sent(visit: Visit, lit_home: str) -> None:
    page = visit(f"/app/{lit_home}/recharge")
    sent: list[str] = []

    def note(route: Route) -> None:
        sent.append(route.request.url)
        route.abort()

    page.route(RECHARGES, note)
    drawer = page.get_by_role("dialog")
    amount = drawer.get_by_label("Another amount")
    for typed, told in (("ten", "Write an amount"), ("0", "more than zero"), ("1.234", "At most 2 decimals")):
        amount.fill(typed)
        amount.press("Enter")
        expect(drawer.get_by_text(told)).to_be_visible()
        expect(amount).to_have_attribute("aria-invalid", "true")
    assert sent == []


def _pay_own_amount(page: Page, amount: str) -> None:
    drawer = page.get_by_role("dialog")
    drawer.get_by_label("Another amount").fill(amount)
    drawer.get_by_role("button", name=PAY).click()


def _ledger_balance(ask: httpx.Client, contract: str) -> Decimal:
    return Decimal(ask.get(f"/contracts/{contract}/balance").raise_for_status().json()["ledger_balance"])
