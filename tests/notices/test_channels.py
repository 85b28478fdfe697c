"""The shipped channels pass the suite that every channel has to pass."""

from __future__ import annotations

import itertools
import json
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import EntryPoint
from pathlib import Path
from queue import SimpleQueue
from urllib.parse import unquote

import pytest
from kannel import PASSWORD, USER, Kannel

from wattledger import notices
from wattledger.notices import Message
from wattledger.notices.conformance import CHINESE, ChannelConformance, Rig

# One of Apprise's plug-ins imports it, where there still is one.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

NUMBERS = (f"+8613800{number:06d}" for number in itertools.count(1))
"""A number for each test: what an earlier one sent twice may come late."""


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.said: SimpleQueue[tuple[str, str]] = SimpleQueue()

    def emit(self, record: logging.LogRecord) -> None:
        assert isinstance(record.args, tuple)
        to, _, text = record.args
        self.said.put((str(to), str(text)))


@dataclass
class LogRig:
    kept: _Kept
    channel: notices.Channel = field(default_factory=notices.LogChannel)
    to: str = "+8613800000001"
    nowhere: str | None = None
    secrets: Sequence[str] = ()

    def arrived(self, count: int) -> Sequence[tuple[str, str]]:
        return [self.kept.said.get(timeout=5) for _ in range(count)]

    def break_down(self) -> bool:
        return False

    def mend(self) -> None:
        raise NotImplementedError


class TestLog(ChannelConformance):
    @pytest.fixture
    def rig(self) -> Iterator[Rig]:
        logger, kept = logging.getLogger("wattledger.notices"), _Kept()
        logger.addHandler(kept)
        level = logger.level
        logger.setLevel(logging.INFO)
        yield LogRig(kept)
        logger.setLevel(level)
        logger.removeHandler(kept)


class Desk:
    """A service on loopback that takes what Apprise posts."""

    def __init__(self) -> None:
        self.came: SimpleQueue[tuple[str, dict[str, str]]] = SimpleQueue()
        self.well = True
        desk = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if desk.well:
                    desk.came.put((unquote(self.path.removeprefix("/told/")), body))
                self.send_response(200 if desk.well else 503)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@dataclass
class AppriseRig:
    desk: Desk
    channel: notices.Channel
    to: str = "someone+else@example.org"
    nowhere: str | None = None
    secrets: Sequence[str] = ("hush-hush",)

    def arrived(self, count: int) -> Sequence[tuple[str, str]]:
        came = [self.desk.came.get(timeout=5) for _ in range(count)]
        return [(to, body["message"]) for to, body in came]

    def break_down(self) -> bool:
        self.desk.well = False
        return True

    def mend(self) -> None:
        self.desk.well = True


def by_apprise(port: int, **more: str) -> notices.Channel:
    url = f"json://someone:hush-hush@127.0.0.1:{port}/told/{{to}}"
    return notices.open_channel(use="apprise", name="push", settings={"url": url, **more})


class TestApprise(ChannelConformance):
    @pytest.fixture
    def rig(self) -> Iterator[Rig]:
        with closing(Desk()) as desk:
            yield AppriseRig(desk, by_apprise(desk.port))

    def test_a_title_goes_with_it(self, rig: AppriseRig) -> None:
        rig.channel.send(Message("ntc_1", rig.to, "zh", "outage", CHINESE, "停电通知"))
        assert rig.desk.came.get(timeout=5)[1]["title"] == "停电通知"

    def test_an_address_cannot_change_where_it_goes(self, rig: AppriseRig) -> None:
        rig.channel.send(Message("ntc_1", "x?to=y&z=/../#:@127.0.0.1:1/", "en", "outage", "words"))
        assert rig.arrived(1) == [("x?to=y&z=/../#:@127.0.0.1:1/", "words")]


@dataclass
class KannelRig:
    kannel: Kannel
    channel: notices.Channel
    to: str = field(default_factory=lambda: next(NUMBERS))
    nowhere: str | None = "Family Wang"
    secrets: Sequence[str] = (PASSWORD,)

    def arrived(self, count: int) -> Sequence[tuple[str, str]]:
        came: list[tuple[str, str]] = []
        while len(came) < count:
            came += [one for one in self.kannel.arrived(1) if one[0] == self.to]
        return came

    def break_down(self) -> bool:
        self.kannel.kill_http()
        return True

    def mend(self) -> None:
        self.kannel.start_http()


def by_kannel(kannel: Kannel, **more: str) -> notices.Channel:
    settings = {"url": kannel.url, "user": USER, "password": PASSWORD, **more}
    return notices.open_channel(use="kannel", name="sms", settings=settings)


class TestKannel(ChannelConformance):
    @pytest.fixture
    def rig(self, kannel: Kannel) -> Rig:
        kannel.forget()
        return KannelRig(kannel, by_kannel(kannel))

    def test_a_number_may_be_written_as_people_do(self, rig: KannelRig) -> None:
        number = rig.to
        rig.channel.send(
            Message("ntc_1", f"{number[:3]} {number[3:6]}-{number[6:10]} ({number[10:]})", "en", "outage", "words")
        )
        assert rig.arrived(1) == [(number, "words")]

    def test_a_number_that_the_gateway_denies_is_given_up(self, rig: KannelRig) -> None:
        with pytest.raises(notices.Undeliverable, match="denied"):
            rig.channel.send(Message("ntc_1", "99912345", "en", "outage", "words"))

    def test_a_wrong_password_is_no_fault_of_the_message(self, rig: KannelRig) -> None:
        wrong = by_kannel(rig.kannel, password="no")
        with pytest.raises(notices.ChannelDown, match="Authorization failed"):
            wrong.send(Message("ntc_1", rig.to, "en", "outage", "words"))

    def test_neither_the_password_nor_the_words_come_into_the_log(
        self, rig: KannelRig, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.DEBUG):
            rig.channel.send(Message("ntc_1", rig.to, "en", "outage", "between-us"))
        assert caplog.text
        assert PASSWORD not in caplog.text
        assert "between-us" not in caplog.text


# --- Finding and setting up ---


def test_the_shipped_channels_are_found_as_a_strangers_would() -> None:
    assert {"apprise", "kannel", "log"} <= notices.installed_channels().keys()


def test_a_channel_that_is_not_there_is_told() -> None:
    with pytest.raises(notices.ChannelNotFound, match="pigeon"):
        notices.open_channel(use="pigeon", name="pigeon", settings={})


@pytest.mark.parametrize("value", ["no_such_module:Channel", "wattledger.notices:Message", "builtins:int"])
def test_an_entry_point_that_makes_no_channel_is_told(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("odd", value, "wattledger.notifiers")
    monkeypatch.setattr("wattledger.notices._channels.installed_channels", lambda: {"odd": point})
    with pytest.raises(notices.ChannelBroken, match="odd"):
        notices.open_channel(use="odd", name="odd", settings={})


@pytest.mark.parametrize(
    ("use", "settings"),
    [
        ("log", {"level": "loud"}),
        ("apprise", {}),
        ("apprise", {"url": "mailto://someone@example.org"}),
        ("apprise", {"url": "pigeon://{to}"}),
        ("apprise", {"url": "json://example.org/{to}", "adress": "phone"}),
        ("apprise", {"url": "json://example.org/{to}", "address": "street"}),
        ("kannel", {"url": "http://127.0.0.1:1/", "user": "a"}),
        ("kannel", {"url": "ftp://127.0.0.1/", "user": "a", "password": "b"}),
        ("kannel", {"url": "http://127.0.0.1/", "user": "a", "password": "b", "reports": "http://h/%d"}),
        ("kannel", {"url": "http://127.0.0.1/", "user": "a", "password": "b\r\nX: y"}),
        ("kannel", {"url": "http://127.0.0.1/", "user": "a", "password": "b", "colour": "red"}),
    ],
)
def test_settings_that_cannot_work_are_refused(use: str, settings: dict[str, str]) -> None:
    with pytest.raises(notices.ChannelMisconfigured):
        notices.open_channel(use=use, name="it", settings=settings)


def test_a_file_says_which_channels_there_are(tmp_path: Path) -> None:
    path = tmp_path / "notices.yaml"
    path.write_text(
        "channels:\n"
        "  log: {}\n"
        "  sms: {use: kannel, url: 'http://127.0.0.1:1/cgi-bin/sendsms', user: watt, password: 1234}\n"
        "usual: [sms]\n"
        "quiet: {start: 21:30, end: 08:00}\n"
    )
    outlets = notices.load_outlets(path)
    assert [channel.name for channel in outlets.channels] == ["log", "sms"]
    assert outlets.rules.usual == ("sms",)
    assert outlets.rules.quiet == notices.QuietHours(start="21:30", end="08:00")


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "- log",
        "channels: [log]",
        "channels: {log: {}}\nusual: [sms]",
        "channels: {log: {}}\nquiet: {from: '22:00'}",
        "channels: {log: {}}\nusual: sms",
        "colour: red",
        "",
    ],
)
def test_a_file_that_says_something_else_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "notices.yaml"
    path.write_text(text)
    with pytest.raises(notices.ChannelMisconfigured, match="notices"):
        notices.load_outlets(path)
