from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from wattledger.demo import BillRunLine, Chronicle, Town, TownPlan, TownSnapshot, WalletLine
from wattledger.demo._screen import Signpost, bar, hour_line, latin, picture, story_line, told
from wattledger.kernel import Money
from wattledger.store import RecordedFact

NOW = datetime(2026, 7, 31, 11, 42, tzinfo=UTC)
TOWN = Town.of(TownPlan())
PREPAID = TOWN.prepaid


def fact(kind: str, seq: int = 1, **data: object) -> RecordedFact:
    about_all = kind.startswith("BillRun")
    contract = None if about_all else PREPAID[seq % len(PREPAID)].contract_id
    return RecordedFact(seq=seq, at=NOW, kind=kind, contract_id=contract, data=data)


STORY = [
    fact("BalanceLow", available_micro=8_300_000, currency="CNY", days_left=1),
    fact("BalanceExhausted", available_micro=-120_000, currency="CNY"),
    fact("DisconnectPlanned", cut_off_at="2026-07-31T12:40:00+00:00", available_micro=-1, currency="CNY"),
    fact("SupplyDisconnected", service_point_id="x", reason="balance_exhausted"),
    fact("RechargeCredited", recharge_id="r", amount_micro=20_000_000, available_micro=19_000_000, currency="CNY"),
    fact("ReconnectRequested", service_point_id="x", cause="r"),
    fact("SupplyReconnected", service_point_id="x", reason="balance_restored"),
    fact("DisconnectCalledOff", service_point_id="x", reason="balance_restored"),
    fact("SwitchFailed", service_point_id="x", action="reconnect", detail="no answer"),
    fact("BalanceRestored", available_micro=1, currency="CNY"),
    fact("BillRunStarted", run_id="run", month="2026-07", attempt=1, contracts=215),
    fact("BillRunFinished", run_id="run", month="2026-07", attempt=1, posted=213, held=2),
]


def snapshot(*, wallets: int = 12, run: BillRunLine | None = None) -> TownSnapshot:
    return TownSnapshot(
        now=NOW,
        stored_total=1_240_012,
        expected_today=16_985,
        arrived_today=16_870,
        wallets=[
            WalletLine(
                contract_id=supply.contract_id,
                available=Money(number * 900_000 - 1_000_000, "CNY"),
                low_threshold=Money.of(10, "CNY"),
                days_left=number // 4 if number else None,
                supply=("on", "off", "disconnecting", "reconnecting")[number % 4],
            )
            for number, supply in enumerate(PREPAID[:wallets])
        ],
        wallet_count=141,
        wallets_low=wallets,
        wallets_empty=1,
        supplies_off=1,
        bill_run=run,
    )


def run_line(*, running: bool) -> BillRunLine:
    return BillRunLine(
        month="2026-07",
        running=running,
        contracts=215,
        posted=120 if running else 213,
        held=2,
        statements=141,
        statements_agreeing=141,
        amounts={"CNY": Money.of("41234.56", "CNY")},
    )


def drawn(columns: int, lines: int, shown: TownSnapshot, facts: list[RecordedFact]) -> list[str]:
    chronicle = Chronicle(TOWN)
    chronicle.add_facts(facts)
    console = Console(file=io.StringIO(), width=columns, height=lines, force_terminal=True, color_system=None)
    console.print(
        picture(
            snapshot=shown,
            stories=chronicle.newest(lines),
            town=TOWN,
            signpost=Signpost(speed=600, links=("http://127.0.0.1:8321/app", "http://127.0.0.1:8321/console")),
            rate=144,
            size=(columns, lines),
        ),
        end="",
    )
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue().rstrip("\n").split("\n")


@pytest.mark.parametrize("size", [(80, 24), (100, 30), (160, 50)])
@pytest.mark.parametrize("run", [None, run_line(running=True), run_line(running=False)])
def test_the_picture_fits_the_screen_and_tells_the_story(size: tuple[int, int], run: BillRunLine | None) -> None:
    lines = drawn(*size, snapshot(run=run), STORY)
    assert len(lines) == size[1]
    assert all(cell_len(line) <= size[0] for line in lines)
    text = "\n".join(lines)
    for words in ("Wattledger", "19:42", "600x", "/app", "/console", "99%", "1,240,012", "low ▽", "reconnected"):
        assert words in text, words
    assert latin(TOWN.by_contract[PREPAID[0].contract_id].name) in text
    if run is not None:
        assert "2026-07" in text
        assert ("122 of 215" if run.running else "213 posted, 2 held") in text


@given(count=st.integers(0, 60), columns=st.integers(72, 200), lines=st.integers(20, 60))
def test_any_number_of_stories_fits_any_screen(count: int, columns: int, lines: int) -> None:
    facts = [fact(STORY[number % 12].kind, number, **STORY[number % 12].data) for number in range(count)]
    shown = drawn(columns, lines, snapshot(wallets=count % 14), facts)
    assert len(shown) == lines
    assert all(cell_len(line) <= columns for line in shown)


def test_every_step_is_told_in_words_and_not_by_colour_alone() -> None:
    stories = [told(one, TOWN) for one in STORY]
    lines = [story_line(story) for story in stories if story is not None]
    assert len(lines) == len(STORY)
    assert len({line.split("  ", 1)[1] for line in lines}) == len(lines)
    assert "low-balance message at 8.30 CNY, about a day left" in lines[0]
    assert "off at 20:40" in lines[2]
    assert "213 posted, 2 held" in lines[-1]
    assert all(line.startswith("19:42") for line in lines)


def test_what_is_not_worth_telling_is_counted() -> None:
    chronicle = Chronicle(TOWN)
    chronicle.add_facts([fact("BillPosted"), fact("BillPosted"), *STORY])
    chronicle.add_intervals(860)
    assert len(chronicle.newest(100)) == len(STORY)
    assert len(chronicle.take_untold()) == len(STORY)
    assert chronicle.take_untold() == []
    assert "860 intervals arrived" in chronicle.summary()
    assert "2 bills and statements posted" in chronicle.summary()


def test_an_hour_is_one_line() -> None:
    line = hour_line(snapshot())
    assert "\n" not in line
    assert "16,870 of 16,985" in line


@given(part=st.integers(-50, 200), whole=st.integers(1, 100), cells=st.integers(1, 40))
def test_a_bar_is_as_long_as_its_share(part: int, whole: int, cells: int) -> None:
    shown = bar(part, whole, cells)
    assert len(shown) == cells
    assert shown.count("█") == min(max(part, 0), whole) * cells // whole
    assert bar(part + 1, whole, cells).rstrip() >= shown.rstrip() or len(bar(part + 1, whole, cells).rstrip()) >= len(
        shown.rstrip()
    )


def test_time_stands_in_the_towns_zone() -> None:
    story = told(fact("BalanceExhausted", available_micro=0, currency="CNY"), TOWN)
    assert story is not None
    assert story_line(story).startswith("19:42")
    assert story.at + timedelta(0) == NOW
