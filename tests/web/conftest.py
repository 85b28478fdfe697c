"""A browser, the built pages and a served town; where one of them is missing, the test is skipped and says which."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import httpx
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from wattledger.web import built_pages

_ROOT = Path(__file__).parents[2]
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_QUIET = (
    "--no-sandbox",  # the tests may run as root, and only ever visit pages of their own
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

Scheme = Literal["light", "dark"]
Visit = Callable[..., Page]
Judge = Callable[[Page], list[tuple[str, str]]]

# What fades in has less contrast on its way.
_FADED_IN = """() => Promise.allSettled(
    document.getAnimations()
        .filter((one) => one.effect.getComputedTiming().endTime !== Infinity)
        .map((one) => one.finished)
)"""

_JUDGE = """async () => {
    const { violations } = await axe.run(document, {
        resultTypes: ["violations"],
        rules: { "target-size": { enabled: true } },
    });
    return violations.flatMap(({ id, nodes }) => nodes.map((node) => [id, `${node.html} ${node.failureSummary}`]));
}"""


@pytest.fixture(scope="module")  # no longer: while it lives the thread has a running loop, which others refuse to be in
def browser() -> Iterator[Browser]:
    """Chromium as the system has it."""
    program = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if program is None:
        pytest.skip("there is no Chromium on this machine to drive the pages with")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=list(_QUIET))
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def judge() -> Judge:
    """Tells whom a page as it stands shuts out, as axe-core sees it: the rules that are broken, and where."""
    source = _ROOT / "web/node_modules/axe-core/axe.min.js"
    if not source.is_file():
        pytest.skip("axe-core is not installed: the packages of web/ are missing")
    axe = source.read_text()

    def look(page: Page) -> list[tuple[str, str]]:
        page.evaluate(_FADED_IN)
        page.evaluate(axe)
        return [(rule, place) for rule, place in page.evaluate(_JUDGE)]

    return look


@pytest.fixture(scope="session")
def town_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a small town is served, pages included; home ``h0`` is dark: its wallet is empty.

    Its process is its own: a process has the workflows of one town, and a browser that is driven has its loop in ours.
    """
    if built_pages() is None:
        pytest.skip("the pages are not built")
    script = _ROOT / "tests/support/served_town.py"
    server = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path_factory.mktemp("town"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    assert url, "the town did not start"
    yield url
    server.communicate()


@pytest.fixture
def ask(town_url: str) -> Iterator[httpx.Client]:
    """The town's API."""
    with httpx.Client(base_url=f"{town_url}/api/v1") as client:
        yield client


@pytest.fixture
def visit(browser: Browser, town_url: str) -> Iterator[Visit]:
    """Opens a page of the town as a reader with this screen, these colours and this language has it."""
    mishaps: list[str] = []
    contexts = []

    def open_page(path: str, *, width: int = 390, scheme: Scheme = "light", language: str = "en-GB") -> Page:
        context = browser.new_context(
            base_url=town_url,
            viewport={"width": width, "height": 844 if width < 600 else 860},
            color_scheme=scheme,
            locale=language,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: mishaps.append(str(error)))
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert mishaps == []


@pytest.fixture
def dark_home(ask: httpx.Client) -> str:
    """The contract whose supply is off because its wallet is empty."""
    lowest = ask.get("/overview").raise_for_status().json()["wallets"]["near_zero"]
    return next(str(row["contract"]) for row in lowest if row["supply"] == "off")


@pytest.fixture
def lit_home(ask: httpx.Client) -> str:
    """A prepaid contract with money and light."""
    prepaid = ask.get("/contracts", params={"mode": "prepay"}).raise_for_status().json()["items"]
    homes = (ask.get(f"/contracts/{one['id']}/home").raise_for_status().json() for one in reversed(prepaid))
    return next(str(home["contract"]["id"]) for home in homes if home["supply"]["state"] == "on")


@pytest.fixture
def billed_home(ask: httpx.Client) -> str:
    """A contract that pays by bill."""
    found = ask.get("/contracts", params={"mode": "postpay", "limit": 1}).raise_for_status().json()
    return str(found["items"][0]["id"])
