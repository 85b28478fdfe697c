"""Both screens as different people have them: small and large, light and dark, English and Chinese, online and not."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product

import httpx
import pytest
from playwright.sync_api import Page, expect

expect.set_options(timeout=20_000)

Visit = Callable[..., Page]
Judge = Callable[[Page], list[tuple[str, str]]]

_SIZES, _SCHEMES, _LANGUAGES = (390, 1280), ("light", "dark"), ("en-GB", "zh-CN")
_PAIRS = [
    look for look in product(_SIZES, _SCHEMES, _LANGUAGES) if sum(value in look for value in (390, "dark", "zh-CN")) % 2
]
"""Half of all looks: each size with each scheme and each language, each scheme with each language."""
_LOOKS = [
    *((screen, *look) for screen in ("dark home", "console") for look in _PAIRS),
    *((screen, 390, "light", "en-GB") for screen in ("billed home", "recharge", "picker")),
    *((screen, 1280, "dark", "zh-CN") for screen in ("billed home", "recharge", "picker")),
]


@pytest.mark.parametrize(("screen", "width", "scheme", "language"), _LOOKS)
def test_everybody_can_use_it(
    screen: str, width: int, scheme: str, language: str, visit: Visit, judge: Judge, request: pytest.FixtureRequest
) -> None:
    page = visit(_path(screen, request), width=width, scheme=scheme, language=language)
    _settled(page)
    for summary in page.locator("summary").all():
        if screen != "recharge":  # there, the page behind the drawer is not to be touched
            summary.click()
    assert judge(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("html").get_attribute("lang") == ("zh-CN" if language == "zh-CN" else "en")
    assert page.locator("html").get_attribute("data-mantine-color-scheme") == scheme


def _path(screen: str, request: pytest.FixtureRequest) -> str:
    match screen:
        case "console":
            return "/console"
        case "picker":
            return "/app"
        case "recharge":
            return f"/app/{request.getfixturevalue('lit_home')}/recharge"
        case _:
            return f"/app/{request.getfixturevalue(screen.replace(' ', '_'))}"


def _settled(page: Page) -> None:
    """The figures are there and the picture is drawn."""
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
    expect(page.locator("h1")).to_be_visible()
    if page.locator("[role=img]").count():
        expect(page.locator("[role=img] svg").first).to_be_visible()


def test_the_judge_sees_faults(visit: Visit, judge: Judge) -> None:
    page = visit("/app")
    _settled(page)
    page.evaluate("document.querySelector('h1').style.color = '#ccc'")
    assert [rule for rule, _ in judge(page)] == ["color-contrast"]


def test_home_shows_the_figures_of_the_api(visit: Visit, billed_home: str, lit_home: str, ask: httpx.Client) -> None:
    page = visit(f"/app/{lit_home}")
    home = ask.get(f"/contracts/{lit_home}/home").raise_for_status().json()
    expect(page.get_by_role("heading", level=1)).to_have_text(home["contract"]["account_name"])
    today = page.get_by_role("region", name="Today by price period")
    expect(today.get_by_role("row")).to_have_count(len(home["today"]["by_period"]) + 3)
    expect(today.get_by_text("1 interval is estimated")).to_be_visible()
    expect(today.get_by_text("1 interval is missing")).to_be_visible()
    today.get_by_text("Show as a table").click()
    expect(today.get_by_role("row", name=re.compile("estimated"))).to_have_count(1)
    expect(page.get_by_text(f"Priced by {home['tariff']['name']}")).to_be_visible()

    page = visit(f"/app/{billed_home}")
    expect(page.get_by_role("heading", name="Bill so far")).to_be_visible()
    expect(page.get_by_role("link", name="Recharge")).to_have_count(0)


def test_the_overview_leads_to_the_customer(visit: Visit, ask: httpx.Client) -> None:
    page = visit("/console", width=1280)
    row = ask.get("/overview").raise_for_status().json()["wallets"]["near_zero"][0]
    wallets = page.get_by_role("region", name="Wallets near zero")
    wallets.get_by_role("link", name=row["account_name"]).first.click()
    expect(page).to_have_url(re.compile(rf"/app/{row['contract']}$"))
    page.go_back()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def test_a_name_is_found_among_all(visit: Visit, ask: httpx.Client) -> None:
    page = visit("/app")
    wanted = ask.get("/contracts", params={"limit": 500}).raise_for_status().json()["items"][-1]
    search = page.get_by_role("searchbox")
    search.fill("nobody has this name")
    expect(page.get_by_text("Nobody matches")).to_be_visible()
    page.get_by_role("button", name="Clear the search").click()
    search.fill(wanted["account_name"])
    page.get_by_role("link", name=wanted["account_name"]).first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(wanted["account_name"])


def test_language_and_colours_are_chosen_and_kept(visit: Visit) -> None:
    page = visit("/console")
    page.get_by_role("button", name="中文").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("运营总览")
    page.get_by_role("button", name="使用深色").click()
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("运营总览")
    html = page.locator("html")
    expect(html).to_have_attribute("lang", "zh-CN")
    expect(html).to_have_attribute("data-mantine-color-scheme", "dark")


def test_figures_keep_their_time_while_the_town_is_away(visit: Visit, lit_home: str) -> None:
    page = visit(f"/app/{lit_home}")
    status = page.get_by_role("banner").get_by_role("status")
    expect(status).to_have_text(re.compile("Live"))
    page.context.set_offline(True)
    expect(status).to_have_text(re.compile(r"Reconnecting · last update \d\d:\d\d"))
    expect(page.get_by_role("heading", name="Balance")).to_be_visible()
    page.context.set_offline(False)
    expect(status).to_have_text(re.compile("Live"))


def test_what_does_not_exist_is_said(visit: Visit) -> None:
    page = visit("/app/nobody")
    expect(page.get_by_role("alert")).to_contain_text("No such contract")
    page.get_by_role("link", name="Someone else").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Who are you in this town?")
    expect(visit("/console/nothing").get_by_role("heading", level=1)).to_have_text("There is no page here")


def test_the_way_through_is_the_keyboards_too(visit: Visit, lit_home: str) -> None:
    page = visit(f"/app/{lit_home}")
    _settled(page)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.get_by_role("link", name="Recharge").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio").nth(1)).to_be_checked()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
