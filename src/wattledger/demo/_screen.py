"""What a person sees in the terminal: a live picture on a screen, plain lines into a pipe."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from wattledger import billing, control, prepay, readings
from wattledger.demo._town import CURRENCY, SLOT_SECONDS, ZONE, Town
from wattledger.demo.ports import BillRunLine, SupplyWord, TownHost, TownSnapshot, WalletLine
from wattledger.kernel import Money, Period, epoch, local_days, zone_named
from wattledger.store import RecordedFact

_WALLETS_SHOWN = 10
_STORIES_KEPT = 200
_WIDE = 96
_HEADER_LINES, _FOOTER_LINES, _ARRIVAL_LINES = 3, 3, 5
_BLOCKS = " ▏▎▍▌▋▊▉█"
_TRACK = "on grey23"  # what a bar has not reached yet

_SUPPLY_SIGNS: dict[SupplyWord, tuple[str, str]] = {
    "on": ("● on", "green"),
    "off": ("✕ off", "bold red"),
    "disconnecting": ("▼ going", "red"),
    "reconnecting": ("▲ coming", "yellow"),
}


@dataclass(frozen=True, slots=True)
class Story:
    """A fact in plain words, about somebody or something."""

    at: datetime
    sign: str
    style: str
    who: str
    words: str


_FEW_DAYS = ("less than a day", "about a day")
_Words = tuple[str, str, str]  # sign, style, words


def _low(data: Mapping[str, Any]) -> _Words:
    days = data["days_left"]
    about = "" if days is None else f", about {days} days left" if days > 1 else f", {_FEW_DAYS[days]} left"
    return "▽", "yellow", f"low-balance message at {_amount(data['available_micro'])}{about}"


def _recharged(data: Mapping[str, Any]) -> _Words:
    paid = Money(data["amount_micro"], CURRENCY).amount
    return "+", "bold green", f"recharged {paid:,.2f}, now {_amount(data['available_micro'])}"


def _planned(data: Mapping[str, Any]) -> _Words:
    cut_off = datetime.fromisoformat(data["cut_off_at"])
    return "!", "bold yellow", f"warned: supply goes off at {_clock_time(cut_off)}"


def _run_started(data: Mapping[str, Any]) -> _Words:
    again = "" if data["attempt"] == 1 else " again"
    return "§", "bold cyan", f"run started{again}: {data['contracts']} contracts"


_TOLD: dict[str, Callable[[Mapping[str, Any]], _Words]] = {
    prepay.BalanceLow.__name__: _low,
    prepay.BalanceExhausted.__name__: lambda d: ("○", "red", f"wallet empty: {_amount(d['available_micro'])}"),
    prepay.BalanceRestored.__name__: lambda d: (
        "●",
        "green",
        f"corrected, in credit again: {_amount(d['available_micro'])}",
    ),
    prepay.RechargeCredited.__name__: _recharged,
    control.DisconnectPlanned.__name__: _planned,
    control.DisconnectCalledOff.__name__: lambda _: ("·", "green", "cut-off called off"),
    control.SupplyDisconnected.__name__: lambda _: ("✕", "bold red", "disconnected (read back)"),
    control.ReconnectRequested.__name__: lambda _: ("▲", "yellow", "reconnect sent to the meter"),
    control.SupplyReconnected.__name__: lambda _: ("●", "bold green", "reconnected (read back)"),
    control.SwitchFailed.__name__: lambda d: ("?", "magenta", f"{d['action']} unproven, asked again"),
    billing.BillRunStarted.__name__: _run_started,
    billing.BillRunFinished.__name__: lambda d: ("§", "bold cyan", f"{d['posted']} posted, {d['held']} held"),
}


def told(fact: RecordedFact, town: Town) -> Story | None:
    """``fact`` as a person would tell it; ``None`` for those that are not worth telling."""
    tell = _TOLD.get(fact.kind)
    if tell is None:
        return None
    supply = town.by_contract.get(fact.contract_id or "")
    who = f"Bills of {fact.data['month']}" if "month" in fact.data else "" if supply is None else supply.name
    sign, style, words = tell(fact.data)
    return Story(at=fact.at, sign=sign, style=style, who=who or (fact.contract_id or "?"), words=words)


def take_snapshot(host: TownHost, *, town: Town, now: datetime) -> TownSnapshot:
    """Look at the whole town at one consistent state of the store."""
    today = next(local_days(Period(now, now + timedelta(seconds=1)), zone=zone_named(ZONE)))
    ended = (epoch(now) - epoch(today.start)) // SLOT_SECONDS
    with host.store.read() as tx:
        arrived = readings.arrivals(tx, period=today)
        near = prepay.lowest_wallets(tx, now=now, limit=_WALLETS_SHOWN)
        summary = prepay.wallets_summary(tx, now=now)
        points = [town.by_contract[wallet.contract_id].service_point_id for wallet in near]
        supplies = control.supplies(tx, service_point_ids=points)
        counts = control.supply_counts(tx)
        run = billing.latest_run(tx)
        stored = readings.collected(tx).stored_total
    return TownSnapshot(
        now=now,
        stored_total=stored,
        expected_today=ended * len(town.supplies),
        arrived_today=sum(slot.count for slot in arrived),
        wallets=[
            WalletLine(
                contract_id=wallet.contract_id,
                available=wallet.available,
                low_threshold=wallet.low_threshold,
                days_left=wallet.days_left,
                supply=supplies[town.by_contract[wallet.contract_id].service_point_id].state,
            )
            for wallet in near
        ],
        wallet_count=summary.count,
        wallets_low=summary.low,
        wallets_empty=summary.empty,
        supplies_off=counts.off + counts.reconnecting,
        bill_run=None if run is None else _bill_run_line(run),
    )


def _bill_run_line(run: billing.BillRun) -> BillRunLine:
    return BillRunLine(
        month=run.month,
        running=run.state == "running",
        contracts=run.contracts,
        posted=run.posted,
        held=run.held,
        statements=run.statements,
        statements_agreeing=run.statements_agreeing,
        amounts=run.amounts,
    )


class Chronicle:
    """What has happened since the town went live: the stories, and how often each kind of fact came. Thread-safe."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self._lock = threading.Lock()
        self._stories: deque[Story] = deque(maxlen=_STORIES_KEPT)
        self._untold: deque[Story] = deque(maxlen=_STORIES_KEPT)
        self.kinds: Counter[str] = Counter()
        self.intervals = 0

    def add_facts(self, facts: Sequence[RecordedFact]) -> None:
        """Take note of facts, oldest first."""
        with self._lock:
            for fact in facts:
                self.kinds[fact.kind] += 1
                story = told(fact, self._town)
                if story is not None:
                    self._stories.append(story)
                    self._untold.append(story)

    def add_intervals(self, count: int) -> None:
        """Take note of intervals that arrived."""
        with self._lock:
            self.intervals += count

    def newest(self, limit: int) -> list[Story]:
        """The last stories, oldest first."""
        with self._lock:
            return list(self._stories)[-limit:]

    def take_untold(self) -> list[Story]:
        """The stories that nobody has read out yet."""
        with self._lock:
            taken = list(self._untold)
            self._untold.clear()
        return taken

    def summary(self) -> str:
        """All of it in one sentence."""
        kinds = self.kinds
        parts = (
            (self.intervals, "intervals arrived"),
            (kinds[prepay.BalanceLow.__name__], "low-balance messages"),
            (kinds[control.DisconnectPlanned.__name__], "warnings"),
            (kinds[control.SupplyDisconnected.__name__], "disconnected"),
            (kinds[prepay.RechargeCredited.__name__], "recharges"),
            (kinds[control.SupplyReconnected.__name__], "reconnected"),
            (kinds[billing.BillPosted.__name__], "bills and statements posted"),
        )
        return ", ".join(f"{count:,} {what}" for count, what in parts)


@dataclass(frozen=True, slots=True)
class Signpost:
    """What stands in the header: how fast the town lives and where else to look."""

    speed: int
    links: Sequence[str]


def picture(
    *,
    snapshot: TownSnapshot,
    stories: Sequence[Story],
    town: Town,
    signpost: Signpost,
    rate: int,
    size: tuple[int, int],
) -> RenderableType:
    """The whole screen, ``size`` being (columns, lines); ``rate`` intervals arrive a second of life."""
    columns, lines = size
    wide = columns >= _WIDE
    body = lines - _HEADER_LINES - _FOOTER_LINES
    left = 49 if wide else 36
    layout = Layout()
    layout.split_column(
        Layout(_header(snapshot, signpost, town), size=_HEADER_LINES, name="header"),
        Layout(name="body", size=body),
        Layout(_bills(snapshot.bill_run), size=_FOOTER_LINES, name="bills"),
    )
    layout["body"].split_row(Layout(name="left", size=left), Layout(name="stories"))
    layout["left"].split_column(
        Layout(_arrivals(snapshot, rate, left - 4), size=_ARRIVAL_LINES),
        Layout(_wallets(snapshot, town, left - 4, body - _ARRIVAL_LINES - 2, wide=wide)),
    )
    layout["stories"].update(_stories(stories, columns - left - 4, body - 2, wide=wide))
    return layout


def story_line(story: Story) -> str:
    """A story as one line of a log."""
    return f"{_clock_time(story.at)}  {story.sign} {story.who}: {story.words}"


def hour_line(snapshot: TownSnapshot) -> str:
    """The town's state as one line of a log."""
    local = snapshot.now.astimezone(zone_named(ZONE))
    return (
        f"{local:%H:%M}  — {local:%a %d %b}: {snapshot.arrived_today:,} of {snapshot.expected_today:,} intervals "
        f"of today are in, {snapshot.stored_total:,} stored; wallets: {snapshot.wallets_low} low, "
        f"{snapshot.wallets_empty} empty; {snapshot.supplies_off} supplies off"
    )


def _header(snapshot: TownSnapshot, signpost: Signpost, town: Town) -> RenderableType:
    local = snapshot.now.astimezone(zone_named(ZONE))
    title = Text.assemble(
        ("Wattledger", "bold"),
        f" · {town.plan.homes} homes and {len(town.supplies) - town.plan.homes} others · ",
        (f"{local:%a %d %b %Y  %H:%M}", "bold cyan"),
        f" · {signpost.speed}x life",
    )
    links = Text("  ".join(signpost.links) if signpost.links else "not served: nothing to open in a browser", "dim")
    for line in (title, links):
        line.no_wrap, line.overflow = True, "ellipsis"
    return Group(title, links, Text("Ctrl-C stops the town; the next start goes on from here", "dim", no_wrap=True))


def _arrivals(snapshot: TownSnapshot, rate: int, width: int) -> RenderableType:
    expected = max(1, snapshot.expected_today)
    share = min(100, snapshot.arrived_today * 100 // expected)
    return Panel(
        Group(
            Text.assemble((bar(snapshot.arrived_today, expected, width - 5), f"cyan {_TRACK}"), f" {share:3d}%"),
            _clipped(f"{snapshot.arrived_today:,} of {snapshot.expected_today:,} today, {rate:,}/s"),
            _clipped(f"{snapshot.stored_total:,} intervals stored"),
        ),
        title="Readings arriving",
        title_align="left",
    )


def _wallets(snapshot: TownSnapshot, town: Town, width: int, rows: int, *, wide: bool) -> RenderableType:
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column(width=8 if wide else 4, no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True, min_width=4)
    table.add_column(width=8 if wide else 1, no_wrap=True)
    shown = snapshot.wallets[: max(0, rows - 1)]
    for wallet in shown:
        supply = town.by_contract[wallet.contract_id]
        words, style = _SUPPLY_SIGNS[wallet.supply]
        colour = "red" if wallet.available.micro <= 0 else "yellow"
        table.add_row(
            supply.name if wide else latin(supply.name),
            Text(
                bar(max(0, wallet.available.micro), wallet.low_threshold.micro, 8 if wide else 4), f"{colour} {_TRACK}"
            ),
            Text(f"{wallet.available.amount:.2f}", colour),
            "" if wallet.days_left is None else f"{wallet.days_left} d",
            Text(words if wide else words[0], style),
        )
    state = f"{snapshot.wallets_low} low ▽, {snapshot.wallets_empty} empty ○, of {snapshot.wallet_count}"
    return Panel(
        Group(_clipped(state), table), title=f"Wallets falling, {CURRENCY}", title_align="left", width=width + 4
    )


def _stories(stories: Sequence[Story], width: int, rows: int, *, wide: bool) -> RenderableType:
    """The newest stories that fit; who and what have a line each when they do not fit on one."""
    lines: list[Text] = []
    for story in reversed(stories):
        who = story.who if wide else latin(story.who)
        head = Text.assemble((_clock_time(story.at), "dim"), " ", (story.sign, story.style), " ")
        block = [Text.assemble(head, (f"{who} ", "bold"), (story.words, story.style))]
        if block[0].cell_len > width:
            block = [Text.assemble(head, (who, "bold")), Text.assemble(" " * 8, (story.words, story.style))]
        if len(lines) + len(block) > rows:
            break
        lines = block + lines
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    body = Group(*lines) if lines else Text("the evening is young", "dim")
    return Panel(body, title="What happens", title_align="left")


def _bills(run: BillRunLine | None) -> RenderableType:
    if run is None:
        return Panel(Text("no bill run yet", "dim"), title="Bills", title_align="left")
    total = ", ".join(str(_cents(amount)) for amount in run.amounts.values())
    if run.running:
        words = Text.assemble(
            (bar(run.done, max(1, run.contracts), 30), f"cyan {_TRACK}"), f" {run.done} of {run.contracts}"
        )
    else:
        agreeing = f"{run.statements_agreeing} of {run.statements} statements = deductions"
        words = _clipped(f"{run.posted} posted, {run.held} held · {total} · {agreeing}")
    state = "running" if run.running else "finished"
    return Panel(words, title=f"Bill run {run.month}, {state}", title_align="left")


def bar(part: int, whole: int, cells: int) -> str:
    """A bar ``cells`` wide, filled to ``part`` of ``whole`` in eighths of a cell.

    >>> bar(5, 10, 4)
    '██  '
    """
    eighths = min(max(part, 0), whole) * cells * 8 // whole
    full, rest = divmod(eighths, 8)
    return (_BLOCKS[8] * full + (_BLOCKS[rest] if rest else "")).ljust(cells)


def latin(name: str) -> str:
    """The first, Latin half of a name in both scripts.

    >>> latin("Li Na 李娜")
    'Li Na'
    """
    return " ".join(word for word in name.split() if ord(word[0]) < 0x2E80)  # noqa: PLR2004 - where CJK begins


def _clipped(words: str) -> Text:
    return Text(words, no_wrap=True, overflow="ellipsis")


def _clock_time(instant: datetime) -> str:
    return f"{instant.astimezone(zone_named(ZONE)):%H:%M}"


def _amount(micro: int) -> str:
    return str(_cents(Money(micro, CURRENCY)))


def _cents(money: Money) -> str:
    return f"{money.amount:,.2f} {money.currency}"
