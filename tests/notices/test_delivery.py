"""From a notice written down to a person told, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from typing import Literal
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

import pytest
from grid import ZONE, Grid
from hypothesis import given
from hypothesis import strategies as st
from kannel import PASSWORD, USER, Kannel

from wattledger import notices, registry
from wattledger.kernel import Problem
from wattledger.notices import (
    ChannelDown,
    DeliveryRules,
    Message,
    Preferences,
    QuietHours,
    Report,
    SendFailed,
    Undeliverable,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=ZoneInfo(ZONE))
NIGHT = datetime(2026, 3, 2, 23, 30, tzinfo=ZoneInfo(ZONE))
MORNING = datetime(2026, 3, 3, 7, tzinfo=ZoneInfo(ZONE))
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
LOW = {"available": "4.50", "currency": "CNY"}


@dataclass
class Paper:
    """A channel that writes on paper, and fails as it is told."""

    name: str = "paper"
    reaches: bool = True
    failure: Exception | None = None
    came: list[Message] = field(default_factory=list)
    tried: int = 0

    def default_address(self, *, phone: str | None, name: str) -> str | None:
        return (phone or name) if self.reaches else None

    def send(self, message: Message) -> None:
        self.tried += 1
        if self.failure is not None:
            raise self.failure
        self.came.append(message)


@dataclass
class Desk:
    """What a worker does with notices, one step at a time."""

    grid: Grid
    channels: Sequence[notices.Channel]
    rules: DeliveryRules = field(default_factory=DeliveryRules)

    def tell(self, kind: str, about: str = "it", *, contract: str = "h0", until: datetime | None = None) -> bool:
        values = {"reconnected": {}, "disconnected": {}, "low_balance": LOW}.get(kind, dict.fromkeys(_ALL_VALUES, "7"))
        with self.grid.store.write() as tx:
            return notices.notify(
                tx,
                contract_id=contract,
                kind=kind,
                values=values,
                about=about,
                now=self.grid.clock.now(),
                until=until,
            )

    def send(self, **more: int) -> int:
        return notices.deliver_due(
            self.grid.store,
            channels=self.channels,
            now=self.grid.clock.now(),
            jitter=lambda most: most,
            rules=self.rules,
            **more,
        )

    def report(self, report: Report, channel: str = "paper") -> bool:
        with self.grid.store.write() as tx:
            return notices.take_report(
                tx, channel=channel, report=report, now=self.grid.clock.now(), jitter=lambda most: most
            )

    def prefer(self, **chosen: object) -> None:
        with self.grid.store.write() as tx:
            notices.set_preferences(
                tx,
                preferences=Preferences(account_id="h0", **chosen),  # type: ignore[arg-type]  # told by name
                now=self.grid.clock.now(),
            )

    def fares(self, contract: str = "h0") -> list[notices.Delivery]:
        with self.grid.store.read() as tx:
            return notices.deliveries_of(tx, contract_id=contract, limit=50)

    def states(self) -> list[str]:
        return [one.state for one in self.fares()]


_ALL_VALUES: tuple[str, ...] = (
    "available",
    "currency",
    "days",
    "cut_off_at",
    "amount",
    "since",
    "peak",
    "tariff",
    "month",
    "at",
)
_ALL_VALUES += ("expected", "start", "end", "reward")


@pytest.fixture
def paper() -> Paper:
    return Paper()


@pytest.fixture
def desk(grid: Grid, paper: Paper) -> Desk:
    grid.publish()
    grid.homes(2, mode="prepay")
    grid.clock.move_to(NOON)
    return Desk(grid, [paper])


# --- The way of a notice ---


def test_it_goes_out_once_in_the_persons_language(desk: Desk, paper: Paper) -> None:
    desk.prefer(language="zh")
    assert desk.tell("low_balance")
    assert desk.send() == 1
    assert desk.send() == 0
    (message,) = paper.came
    assert message.text.startswith("您的电费余额为 4.50 CNY")
    assert (message.to, message.language, message.title, message.attempt) == ("+8610", "zh", "余额不足", 1)
    (fares,) = desk.fares()
    assert (fares.state, fares.attempts, fares.next_at) == ("sent", 1, None)
    with desk.grid.store.read() as tx:
        (shown,) = notices.notices_of(tx, contract_id="h0", limit=5)
    assert shown.sent_at == NOON


def test_what_is_rolled_back_is_not_told(desk: Desk, paper: Paper) -> None:
    def fails() -> None:
        with desk.grid.store.write() as tx:
            notices.notify(tx, contract_id="h0", kind="reconnected", values={}, about="a", now=NOON)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert desk.send() == 0
    assert paper.came == []


def test_two_at_work_send_nothing_twice(desk: Desk, paper: Paper) -> None:
    for number in range(30):
        desk.tell("recharge_receipt", str(number))
    threads = [threading.Thread(target=lambda: [desk.send(limit=4) for _ in range(15)]) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while desk.send():
        pass
    assert len(paper.came) == len({message.id for message in paper.came}) == 30


def test_what_a_crash_interrupted_is_sent_when_the_lease_is_over(desk: Desk, paper: Paper) -> None:
    class Killed(BaseException):
        pass

    class Deadly(Paper):
        def send(self, message: Message) -> None:  # noqa: ARG002 - the port's signature
            raise Killed

    desk.tell("reconnected")
    desk.channels = [Deadly()]
    with pytest.raises(Killed):
        desk.send()
    desk.channels = [paper]
    assert desk.send() == 0
    desk.grid.clock.advance(desk.rules.lease)
    assert desk.send() == 1
    assert [message.attempt for message in paper.came] == [2]


# --- Once ---


def test_the_same_is_told_again_after_an_hour(desk: Desk) -> None:
    assert desk.tell("reconnected", "a")
    assert not desk.tell("reconnected", "b")
    desk.grid.clock.advance(HOUR - MINUTE)
    assert not desk.tell("reconnected", "c")
    desk.grid.clock.advance(MINUTE)
    assert not desk.tell("reconnected", "a")
    assert desk.tell("reconnected", "c")


def test_two_payments_have_two_receipts(desk: Desk) -> None:
    assert desk.tell("recharge_receipt", "a")
    assert not desk.tell("recharge_receipt", "a")
    assert desk.tell("recharge_receipt", "b")


def test_a_person_with_two_supplies_hears_of_a_tariff_once_and_of_each_cut_off(desk: Desk) -> None:
    with desk.grid.store.write() as tx:
        registry.open_contract(
            tx,
            contract_id="shop",
            account_id="h0",
            service_point_id="h1",
            mode="prepay",
            tariff_id="flat",
            currency="CNY",
            valid_from=NOON - HOUR,
        )
    assert [desk.tell("tariff_change", contract=contract) for contract in ("h0", "shop", "h1")] == [True, False, True]
    assert [desk.tell("disconnected", contract=contract) for contract in ("h0", "shop")] == [True, True]


def test_two_who_say_the_same_at_once_say_it_once(desk: Desk) -> None:
    said = list[bool]()
    threads = [
        threading.Thread(target=lambda about: said.append(desk.tell("reconnected", about)), args=(str(number),))
        for number in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == [False] * 5 + [True]


def test_what_is_not_true_any_more_is_not_sent(desk: Desk, paper: Paper) -> None:
    paper.failure = ChannelDown("the paper is out")
    desk.tell("low_balance")
    desk.send()
    desk.tell("cut_off_warning")
    desk.grid.clock.advance(MINUTE)
    desk.tell("disconnected")
    desk.send()
    desk.tell("recharge_receipt")
    desk.tell("reconnected")
    paper.failure = None
    desk.grid.clock.advance(HOUR)
    desk.send()
    assert sorted(message.kind for message in paper.came) == ["recharge_receipt", "reconnected"]
    assert [one.detail for one in desk.fares() if one.state == "given_up"][-1] == "overtaken by cut_off_warning"


# --- Quiet hours ---


def test_at_night_what_can_wait_waits_and_what_cannot_goes(desk: Desk, paper: Paper) -> None:
    desk.grid.clock.move_to(NIGHT)
    desk.tell("bill_ready")
    desk.tell("disconnected")
    desk.send()
    assert [message.kind for message in paper.came] == ["disconnected"]
    (waiting,) = [one for one in desk.fares() if one.state == "queued"]
    assert (waiting.next_at, waiting.attempts) == (MORNING, 0)
    desk.grid.clock.move_to(MORNING - timedelta(microseconds=1))
    assert desk.send() == 0
    desk.grid.clock.move_to(MORNING)
    assert desk.send() == 1


def test_the_night_is_the_persons_own(desk: Desk, paper: Paper) -> None:
    desk.grid.clock.move_to(NIGHT)
    desk.prefer(zone="Europe/Berlin")  # afternoon there
    desk.tell("bill_ready", "a")
    desk.send()
    assert len(paper.came) == 1
    desk.prefer(quiet=QuietHours(start="15:00", end="17:30"), zone="Europe/Berlin")
    desk.tell("bill_ready", "b")
    desk.send()
    assert len(paper.came) == 1
    assert desk.fares()[0].next_at == datetime(2026, 3, 2, 17, 30, tzinfo=ZoneInfo("Europe/Berlin"))


def test_what_failed_in_the_evening_does_not_wake_anybody_when_it_is_tried_again(desk: Desk, paper: Paper) -> None:
    desk.grid.clock.move_to(NIGHT - 90 * MINUTE - timedelta(seconds=10))
    paper.failure = SendFailed("no ink")
    desk.tell("bill_ready")
    desk.send()
    paper.failure = None
    desk.grid.clock.advance(MINUTE)
    assert desk.send() == 0
    assert desk.fares()[0].next_at == MORNING


def test_what_is_of_no_use_after_the_night_is_given_up(desk: Desk, paper: Paper) -> None:
    desk.grid.clock.move_to(NIGHT)
    desk.tell("savings_event", until=MORNING - HOUR)
    desk.send()
    desk.grid.clock.move_to(MORNING)
    assert desk.send() == 0
    assert paper.came == []
    assert desk.states() == ["given_up"]


# --- Failing ---


def test_what_fails_is_tried_again_ever_later_and_then_given_up(desk: Desk, paper: Paper) -> None:
    paper.failure = ValueError("a channel may raise anything")
    desk.rules = DeliveryRules(attempts=4, first=MINUTE, longest=3 * MINUTE)
    desk.tell("reconnected")
    waits = []
    while True:
        desk.send()
        (fares,) = desk.fares()
        if fares.next_at is None:
            break
        assert fares.state == "failed"
        waits.append(fares.next_at - desk.grid.clock.now())
        desk.grid.clock.advance(waits[-1] - timedelta(seconds=1))
        assert desk.send() == 0
        assert desk.fares() == [fares]
        desk.grid.clock.advance(timedelta(seconds=1))
    assert waits == [MINUTE, 2 * MINUTE, 3 * MINUTE]
    assert (fares.state, fares.attempts, fares.detail) == ("given_up", 4, str(paper.failure))
    assert paper.tried == 4
    with desk.grid.store.read() as tx:
        assert notices.deliveries_in(tx, state="given_up", limit=5) == [fares]


@given(st.integers(1, 60), st.data())
def test_waits_grow_and_chance_takes_at_most_half(failures: int, data: st.DataObject) -> None:
    rules = DeliveryRules()

    def jitter(most: int) -> int:
        return data.draw(st.integers(0, most))

    wait = rules.wait(failures=failures, jitter=jitter)
    whole = rules.wait(failures=failures, jitter=lambda most: most)
    assert whole / 2 <= wait <= whole <= rules.longest
    assert whole <= rules.wait(failures=failures + 1, jitter=lambda most: most)


def test_what_can_never_arrive_is_given_up_at_once(desk: Desk, paper: Paper) -> None:
    paper.failure = Undeliverable("nobody lives there")
    desk.tell("reconnected")
    desk.send()
    (fares,) = desk.fares()
    assert (fares.state, fares.detail) == ("given_up", "nobody lives there")


def test_a_channel_that_is_down_is_left_in_peace_and_nothing_is_lost(desk: Desk, paper: Paper) -> None:
    paper.failure = ChannelDown("the paper is out")
    for number in range(10):
        desk.tell("recharge_receipt", str(number))
    desk.send()
    assert paper.tried == 1
    for _ in range(40):  # for hours; no attempt is used up
        desk.grid.clock.advance(10 * MINUTE)
        desk.send()
    assert paper.tried < 30
    assert {(one.state, one.attempts) for one in desk.fares()} == {("queued", 0)}
    desk.tell("recharge_receipt", "new")
    tried = paper.tried
    desk.send()
    assert paper.tried == tried  # it rests for what is new, too
    paper.failure = None
    desk.grid.clock.advance(desk.rules.longest)
    assert desk.send() == 11
    assert len({message.id for message in paper.came}) == 11


def test_a_channel_that_came_back_starts_with_short_rests(desk: Desk, paper: Paper) -> None:
    def rest() -> timedelta:
        paper.failure = ChannelDown("the paper is out")
        desk.send()
        (fares,) = [one for one in desk.fares() if one.next_at is not None]
        assert fares.next_at is not None
        return fares.next_at - desk.grid.clock.now()

    desk.tell("recharge_receipt", "a")
    rests = []
    for _ in range(3):
        rests.append(rest())
        desk.grid.clock.advance(rests[-1])
    paper.failure = None
    assert desk.send() == 1
    desk.tell("recharge_receipt", "b")
    assert rests == [timedelta(seconds=30), MINUTE, 2 * MINUTE]
    assert rest() == timedelta(seconds=30)


def test_one_channel_down_does_not_hold_up_another(desk: Desk, paper: Paper) -> None:
    down = Paper("down", failure=ChannelDown("out"))
    desk.channels = [down, paper]
    desk.prefer(channels={"*": ("down", "paper")})
    desk.tell("reconnected")
    assert desk.send() == 1
    assert {one.channel: one.state for one in desk.fares()} == {"down": "queued", "paper": "sent"}


# --- Reports ---


def test_a_report_tells_that_it_arrived_however_often_it_comes(desk: Desk, paper: Paper) -> None:
    desk.tell("reconnected")
    desk.send()
    report = Report(paper.came[0].id, 1, "delivered")
    assert desk.report(report)
    assert not desk.report(report)
    assert not desk.report(Report(paper.came[0].id, 1, "failed", "later"))
    assert not desk.report(Report("ntc_unknown", 1, "delivered"))
    assert desk.states() == ["delivered"]


def test_what_did_not_arrive_is_sent_again(desk: Desk, paper: Paper) -> None:
    desk.tell("reconnected")
    desk.send()
    assert desk.report(Report(paper.came[0].id, 1, "failed", "phone is off"))
    assert not desk.report(Report(paper.came[0].id, 1, "failed", "phone is off"))
    (fares,) = desk.fares()
    assert (fares.state, fares.detail) == ("failed", "phone is off")
    desk.grid.clock.advance(MINUTE)
    assert desk.send() == 1
    assert not desk.report(Report(paper.came[0].id, 1, "failed", "of the first attempt"))
    assert desk.report(Report(paper.came[0].id, 1, "delivered"))  # the first one after all
    assert desk.states() == ["delivered"]


def test_a_report_may_be_faster_than_the_answer(desk: Desk) -> None:
    class Quick(Paper):
        def send(self, message: Message) -> None:
            outcome: Literal["delivered", "failed"] = "delivered" if message.kind == "reconnected" else "failed"
            assert desk.report(Report(message.id, message.attempt, outcome))

    desk.channels = [Quick()]
    desk.tell("reconnected")
    desk.tell("outage")
    desk.send()
    assert sorted(desk.states()) == ["delivered", "failed"]


# --- Preferences ---


def test_a_kind_goes_by_the_channels_that_were_chosen_for_it(desk: Desk, paper: Paper) -> None:
    post = Paper("post", reaches=False)
    desk.channels = [paper, post]
    desk.prefer(channels={"bill_ready": ("post",), "*": ("paper", "post")}, addresses={"post": "1 High Street"})
    desk.tell("bill_ready")
    desk.tell("reconnected")
    desk.send()
    assert [message.kind for message in paper.came] == ["reconnected"]
    assert {(message.kind, message.to) for message in post.came} == {
        ("bill_ready", "1 High Street"),
        ("reconnected", "1 High Street"),
    }


def test_what_is_not_wanted_is_not_sent(desk: Desk) -> None:
    desk.prefer(channels={"savings_event": ()})
    desk.tell("savings_event")
    assert desk.send() == 0
    assert desk.fares() == []


def test_who_cannot_be_reached_as_chosen_is_told_as_usual(desk: Desk, paper: Paper) -> None:
    desk.channels = [Paper("post", reaches=False), paper]
    desk.prefer(channels={"outage": ("pigeon",), "*": ("post",)})
    desk.tell("disconnected")
    desk.tell("outage")
    assert desk.send() == 2
    assert len(paper.came) == 2


def test_the_usual_channels_are_those_of_the_rules(desk: Desk, paper: Paper) -> None:
    post = Paper("post")
    desk.channels = [paper, post]
    desk.rules = DeliveryRules(usual=("post",))
    desk.tell("disconnected")
    desk.send()
    assert (len(paper.came), len(post.came)) == (0, 1)


def test_whom_nothing_reaches_is_on_the_operators_list(desk: Desk) -> None:
    desk.channels = [Paper("post", reaches=False)]
    desk.tell("disconnected")
    desk.send()
    with desk.grid.store.read() as tx:
        (fares,) = notices.deliveries_in(tx, state="given_up", limit=5)
    assert fares.detail == "there is no address for this channel"


def test_preferences_are_kept_as_they_were_told(desk: Desk) -> None:
    told = Preferences(
        account_id="h0",
        language="zh",
        zone="Europe/Berlin",
        quiet=QuietHours(start="20:00", end="08:30"),
        channels={"*": ("sms", "push"), "savings_event": ()},
        addresses={"push": "someone"},
    )
    with desk.grid.store.write() as tx:
        notices.set_preferences(tx, preferences=Preferences(account_id="h0", language="en"), now=NOON)
        notices.set_preferences(tx, preferences=told, now=NOON)
    with desk.grid.store.read() as tx:
        assert notices.preferences_of(tx, account_id="h0") == told
        assert notices.preferences_of(tx, account_id="h1") == Preferences(account_id="h1")


def test_what_cannot_be_kept_is_refused(desk: Desk) -> None:
    refused: list[dict[str, object]] = [
        {"language": "fr"},
        {"zone": "Mars/Olympus"},
        {"channels": {"gossip": ("sms",)}},
        {"channels": {"disconnected": ()}},
        {"channels": {"*": ()}},
        {"addresses": {"sms": ""}},
        {"addresses": {"sms": "1\r\n2"}},
        {"addresses": {"sms": "1" * 201}},
    ]
    for chosen in refused:
        with pytest.raises(Problem):
            desk.prefer(**chosen)
    with pytest.raises(registry.AccountNotFound), desk.grid.store.write() as tx:
        notices.set_preferences(tx, preferences=Preferences(account_id="nobody"), now=NOON)
    with desk.grid.store.read() as tx:
        assert notices.preferences_of(tx, account_id="h0") == Preferences(account_id="h0")


# --- Kannel, for real ---


class CalledBack:
    """Where Kannel calls back."""

    def __init__(self) -> None:
        self.queries: SimpleQueue[dict[str, str]] = SimpleQueue()
        queries = self.queries

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                queries.put(dict(parse_qsl(urlsplit(self.path).query)))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}/reports"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def gateway(kannel: Kannel, desk: Desk) -> Iterator[Callable[[], Report]]:
    """The desk sends by Kannel; called, it waits for the next delivery report."""
    kannel.forget()
    with closing(CalledBack()) as back:
        channel = notices.open_channel(
            use="kannel",
            name="sms",
            settings={"url": kannel.url, "user": USER, "password": PASSWORD, "reports": back.address},
        )
        desk.channels = [channel]
        assert isinstance(channel, notices.ReportingChannel)
        yield lambda: channel.read_report(back.queries.get(timeout=20))


def test_chinese_goes_to_the_phone_and_the_report_comes_back(
    desk: Desk, kannel: Kannel, gateway: Callable[[], Report]
) -> None:
    desk.prefer(language="zh")
    desk.tell("disconnected")
    assert desk.send() == 1
    assert kannel.arrived(1) == [("+8610", "因余额用完，您的供电已断开。充值后一分钟内恢复供电。")]  # noqa: RUF001 - Chinese
    assert desk.states() == ["sent"]
    assert desk.report(gateway(), "sms")
    assert desk.states() == ["delivered"]


def test_a_dead_gateway_is_a_retry_and_not_a_loss(desk: Desk, kannel: Kannel, gateway: Callable[[], Report]) -> None:
    kannel.kill_http()
    try:
        for number in range(3):
            desk.tell("recharge_receipt", str(number))
        assert desk.send() == 0
        assert {(one.state, one.attempts) for one in desk.fares()} == {("queued", 0)}
    finally:
        kannel.start_http()
    assert desk.send() == 0  # it rests
    desk.grid.clock.advance(MINUTE)
    assert desk.send() == 3
    assert len(kannel.arrived(3)) == 3
    for _ in range(3):
        assert desk.report(gateway(), "sms")
    assert desk.states() == ["delivered"] * 3


def test_a_centre_that_is_away_delays_and_does_not_lose(
    desk: Desk, kannel: Kannel, gateway: Callable[[], Report]
) -> None:
    kannel.kill_centre()
    try:
        desk.tell("reconnected")
        assert desk.send() == 1
        assert desk.states() == ["sent"]
    finally:
        kannel.start_centre()
    assert kannel.arrived(1) == [("+8610", "Your electricity supply is on again.")]
    assert desk.report(gateway(), "sms")
    assert desk.states() == ["delivered"]
