"""The MQTT driver passes what every driver has to pass, against meters behind a real broker."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mosquitto import USERS, Mosquitto, lacking, running_mosquitto
from mqtt_meter import LOG, PROFILE, SECONDS, Answer, MqttMeter
from paper_headend import POLICY, HeadEnd

from wattledger import headend
from wattledger.headend import ProfilePlan, installed_drivers
from wattledger.headend._mqtt_messages import MESSAGE_MAX, Fields, profile_rows, read
from wattledger.headend.conformance import DriverConformance, PlainCounters, Rig, Trouble
from wattledger.headend.mqtt import MqttDriver, PushingMeter, pushed
from wattledger.headend.ports import (
    BadKey,
    BadTag,
    Channel,
    KeySet,
    LoggedEvent,
    Malformed,
    MeterFault,
    MeterLink,
    MeterTimeout,
    NoData,
    ProfileRows,
    RefusedByMeter,
    Register,
    Replay,
    Secret,
    Session,
    Unreachable,
    Unsupported,
)
from wattledger.kernel import ManualClock, epoch

NOW = datetime(2026, 3, 30, 10, 7, 30, tzinfo=UTC)
BEGAN = epoch(NOW) // 86_400 * 86_400 - 86_400
ROWS: list[tuple[int, int, int, int | None]] = [
    (BEGAN + at * SECONDS, 0x80 if at == 3 else 0, 1_000_000 + 111 * at, 7 * at) for at in range(130)
]
CHANNELS = (Channel(name="1-0:1.8.0"), Channel(name="1-0:2.29.0", scale=-1))
EVENTS = [(BEGAN + 60, 1), (BEGAN + 60, 2), (BEGAN + 7_200, 40)]
MASTER = bytes(range(32))
KEYED = KeySet(unicast=Secret(bytes(range(40, 72))), master=Secret(MASTER), generation=1)
_names = itertools.count(1)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """A real broker; started once for each worker of a test run."""
    reason = lacking()
    if reason is not None:
        pytest.skip(reason)
    with running_mosquitto(tmp_path_factory.mktemp("mosquitto")) as running:
        yield running


class MeterRig:
    """A meter behind a broker, and a driver that knows both."""

    def __init__(self, meter: MqttMeter, address: str, keys: KeySet, options: dict[str, str]) -> None:
        self.meter, self.address, self.keys, self.options = meter, address, keys, options
        self.clock = meter.clock
        self.sizes: list[int] = []
        self.driver = MqttDriver(chance=self._chance)
        self.gone = False
        self.profile, self.seconds = PROFILE, SECONDS

    def _chance(self, size: int) -> bytes:
        self.sizes.append(size)
        return next(_names).to_bytes(size, "big")

    @property
    def link(self) -> MeterLink:
        where = f"{self.address}/{'nowhere' if self.gone else self.meter.root}"
        return MeterLink(meter_id="m1", driver="mqtt", address=where, options=self.options)

    @property
    def registers(self) -> list[Register]:
        values = (value for _, value in self.meter.registers())
        return [Register(channel=channel, value=value, at=0) for channel, value in zip(CHANNELS, values, strict=True)]

    @property
    def rows(self) -> ProfileRows:
        return ProfileRows(
            channels=CHANNELS,
            starts=np.array([row[0] for row in ROWS], dtype=np.int64),
            values=np.array([row[2:] for row in ROWS], dtype=np.int64),
            status=np.array([row[1] for row in ROWS], dtype=np.uint8),
        )

    @property
    def events(self) -> list[LoggedEvent]:
        return [LoggedEvent(log=LOG, code=code, at=at) for at, code in EVENTS]

    def new_keys(self) -> KeySet:
        return KeySet(
            unicast=None if self.keys.unicast is None else Secret(bytes(range(100, 132))),
            password=None if self.keys.password is None else Secret(b"another"),
            master=self.keys.master,
            generation=self.keys.generation + 1,
        )

    def show(self, trouble: Trouble) -> bool:
        if trouble == "unreachable":
            self.gone = True
        elif trouble == "ready_for_reconnection":
            self.meter.disconnector.mode = 1
        elif trouble == "stuck_relay":
            self.meter.disconnector.stuck = True
        else:
            self.meter.faults.add(trouble)
        return True

    def heal(self) -> None:
        self.gone = False
        self.meter.faults.clear()


@asynccontextmanager
async def rig(
    port: int,
    *,
    keys: KeySet = KEYED,
    address: str | None = None,
    clock: ManualClock | None = None,
    line: dict[str, Any] | None = None,
    options: dict[str, str] | None = None,
) -> AsyncIterator[MeterRig]:
    meter = MqttMeter(
        root=f"wattledger/meter{next(_names)}",
        clock=clock or ManualClock(NOW),
        rows=list(ROWS),
        events=EVENTS,
        key=None if keys.unicast is None else keys.unicast.reveal(),
        master=MASTER,
    )
    async with meter.on_line(port, **(line or {})):
        assert meter.client is not None
        await meter.client.publish("nowhere/status", b"offline", qos=1, retain=True)
        yield MeterRig(meter, address or f"mqtt://127.0.0.1:{port}", keys, options or {})


def opened(one: MeterRig, counters: PlainCounters | None = None) -> AbstractAsyncContextManager[Session]:
    return one.driver.open(one.link, keys=one.keys, counters=counters or PlainCounters(), clock=one.clock)


# --- What every driver has to pass


class _Told(DriverConformance):
    made: ClassVar[Callable[..., AbstractAsyncContextManager[Rig]]]

    @pytest.fixture(autouse=True)
    def _behind(self, broker: Mosquitto) -> None:
        self.broker = broker

    def rig(self) -> AbstractAsyncContextManager[Rig]:
        return type(self).made(self.broker)


class TestSigned(_Told):
    made = staticmethod(lambda broker: rig(broker.port))


class _InTheClear(_Told):
    # Nothing is signed and nothing counted: what tells of that does not apply.
    test_new_keys_open_the_meter_and_old_ones_no_more = None  # type: ignore[assignment]
    test_counters_behind_the_meter_are_brought_up_or_told = None  # type: ignore[assignment]
    test_a_changed_frame_is_a_bad_tag = None  # type: ignore[assignment]


class TestWithPassword(_InTheClear):
    made = staticmethod(
        lambda broker: rig(
            broker.guarded,
            keys=KeySet(password=Secret(USERS["headend"].encode())),
            line={"username": "meter", "password": USERS["meter"]},
            options={"user": "headend"},
        )
    )


class TestWithNothing(_InTheClear):
    made = staticmethod(lambda broker: rig(broker.port, keys=KeySet()))
    test_a_wrong_key_is_a_bad_key = None  # type: ignore[assignment]


def test_the_driver_is_found() -> None:
    assert isinstance(installed_drivers()["mqtt"], MqttDriver)


# --- Answers that make no sense


def _whole(content: object) -> Callable[[Answer], Answer | bytes]:
    return lambda answer: {**answer, "ok": content}


def _bytes(payload: bytes) -> Callable[[Answer], Answer | bytes]:
    return lambda _: payload


ROW = [BEGAN, 0, 1, 2]
NAMED = [{"name": "a"}, {"name": "b"}]
BAD_ROWS = [
    [BEGAN, 0, 1],
    [BEGAN, 0, 1, 2, 3],
    [BEGAN, 0, 1, True],
    [BEGAN, 0, 1, 2**63],
    [BEGAN, 0, 1, "2"],
    [BEGAN, 256, 1, 2],
    [BEGAN, None, 1, 2],
    [BEGAN * 1_000, 0, 1, 2],
    ["2026-03-30T10:00:00", 0, 1, 2],
    ["2026-13-30T10:00:00Z", 0, 1, 2],
    ["0001-01-01T00:00:00+14:00", 0, 1, 2],
    [-1, 0, 1, 2],
    "row",
]
NONSENSE: list[tuple[Callable[[Answer], Answer | bytes], type[MeterFault], str]] = [
    (_bytes(b""), Malformed, "no JSON"),
    (_bytes(b"\xff\xfe"), Malformed, "not UTF-8"),
    (_bytes(b"[" * 60_000), Malformed, "nested too deeply"),
    (_bytes(b" " * (MESSAGE_MAX + 1)), Malformed, "65537 bytes"),
    (_bytes(b'{"id": null, "ok": {}}'), BadTag, "without a tag"),
    (_bytes(b'{"id": null, "ok": {}}\n' + b"0" * 64), BadTag, "whose tag is wrong"),
    (lambda answer: {**answer, "id": "x"}, Malformed, "name of a request"),
    (lambda answer: {**answer, "id": 7}, Malformed, "'id' is 7"),
    (lambda answer: {**answer, "id": answer["id"][:-1] + "9"}, Malformed, "answers request 9; 2 were made"),
    (lambda answer: {**answer, "id": answer["id"][:-1] + "1"}, Replay, "answered request 1 twice"),
    (lambda answer: {**answer, "counter": "5"}, Malformed, "'counter'"),
    (lambda answer: {**answer, "counter": 1}, Replay, "counter 1"),
    (lambda answer: {"id": answer["id"]}, Malformed, "either 'ok' or 'error'"),
    (lambda answer: {**answer, "error": {"kind": "refused"}}, Malformed, "either 'ok' or 'error'"),
    (lambda answer: {"id": answer["id"], "error": "no"}, Malformed, "an object"),
    (lambda answer: {"id": answer["id"], "error": {"kind": "tired"}}, Malformed, "in a way that is not known: tired"),
    (lambda answer: {"id": answer["id"], "error": {"kind": "malformed"}}, RefusedByMeter, "with malformed"),
    (lambda _: {"id": None, "error": {"kind": "malformed"}}, RefusedByMeter, "with malformed"),
    (lambda answer: {"id": answer["id"], "error": {"kind": "no_data", "detail": "\x1b[2J" * 99}}, NoData, r"\?\[2J"),
    (_whole([]), Malformed, "'ok' is"),
    (_whole({}), Malformed, "'channels'"),
    (_whole({"channels": [], "rows": {}}), Malformed, "'rows'"),
    (_whole({"channels": [1], "rows": []}), Malformed, "a list of objects"),
    (_whole({"channels": [{"name": "a"}] * 65, "rows": []}), Malformed, "at most 64"),
    (_whole({"channels": [{"name": "a", "unit": "kWh"}], "rows": []}), Malformed, "'unit' is kWh"),
    (_whole({"channels": [{"name": "a", "scale": 99}], "rows": []}), Malformed, "'scale'"),
    (_whole({"channels": NAMED, "rows": [ROW, ROW]}), Malformed, "came twice"),
    (_whole({"channels": NAMED, "rows": [ROW], "next": -1}), Malformed, "'next'"),
    (_whole({"channels": NAMED, "rows": [ROW], "next": 9}), Malformed, "have no end"),
    *((_whole({"channels": NAMED, "rows": [row]}), Malformed, "rows") for row in BAD_ROWS),
]


@pytest.mark.parametrize(("meddle", "kind", "words"), NONSENSE)
def test_an_answer_that_makes_no_sense_is_told(
    broker: Mosquitto, meddle: Callable[[Answer], Answer | bytes], kind: type[MeterFault], words: str
) -> None:
    async def act() -> None:
        async with asyncio.timeout(20), rig(broker.port) as one, opened(one) as session:
            one.meter.meddle = meddle
            with pytest.raises(kind, match=words) as told:
                await session.read_profile(profile=PROFILE, start=BEGAN, end=BEGAN + 900)
            assert told.value.detail.isprintable()

    asyncio.run(act())


@pytest.mark.parametrize("number", ["1.5", "1e3", "NaN", "-Infinity", "9" * 5_000, '1, "at": 2'])
def test_no_float_comes_in_and_nothing_is_said_twice(number: str) -> None:
    with pytest.raises(Malformed):
        read(f'{{"at": {number}}}'.encode(), topic="t", key=None, who="m1").whole("at")


@settings(max_examples=60)
@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,0123456789eE.-\n\\ufabc', max_size=60).map(str.encode))
def test_no_bytes_are_worse_than_a_fault(payload: bytes) -> None:
    for key in (None, KEYED.unicast):
        try:
            read(payload, topic="t", key=key, who="m1")
        except MeterFault:
            continue
        assert key is None


_scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


@settings(max_examples=60)
@given(
    st.fixed_dictionaries(
        {
            "channels": st.lists(st.fixed_dictionaries({"name": st.text(max_size=9)}) | _values, max_size=3) | _values,
            "rows": st.lists(st.lists(_scalars, max_size=5) | _values, max_size=4) | _values,
        }
    )
)
def test_no_json_is_worse_than_a_fault(content: dict[str, object]) -> None:
    try:
        rows = profile_rows(Fields.of(json.dumps(content).encode(), who="m1"))
    except MeterFault:
        return
    assert len(rows) == len(content["rows"])  # type: ignore[arg-type]


def _numbered(answer: Answer, less: int) -> str:
    token, _, number = answer["id"].partition("-")
    return f"{token}-{int(number) - less}"


def test_what_is_late_kept_or_meant_for_others_is_passed_over(broker: Mosquitto) -> None:
    async def act() -> None:
        async with asyncio.timeout(20), rig(broker.port) as one:
            meter, counters = one.meter, PlainCounters()
            assert meter.client is not None
            kept = meter.sealed({"id": "000000000000-1", "ok": {}})
            await meter.client.publish(f"{meter.root}/response", kept, qos=1, retain=True)
            async with opened(one, counters) as session:
                await session.read_clock()
            async with opened(one, counters) as session:  # which hears again what the broker kept
                await meter.client.publish(f"{meter.root}/status", b"what?", qos=1)
                meter.meddle = lambda answer: [{"id": "ffffffffffff-2", "ok": {"watts": 1}}, answer]
                assert await session.read_limit() == 5_000
                meter.faults.add("silent")
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(session.read_limit(), 0.05)
                meter.faults.clear()
                meter.meddle = lambda answer: [{"id": _numbered(answer, 1), "ok": {"watts": 1}}, answer]
                assert await session.read_limit() == 5_000
                meter.meddle = lambda answer: [answer, {"id": _numbered(answer, -10), "ok": {"watts": 1}}]
                assert await session.read_limit() == 5_000
                with pytest.raises(Malformed, match="answers request 15"):
                    await session.read_limit()

    asyncio.run(act())


def test_a_counter_that_is_behind_is_caught_up_with_once(broker: Mosquitto) -> None:
    async def act() -> None:
        async with asyncio.timeout(20), rig(broker.port) as one:
            one.meter.heard = 4_711
            counters = PlainCounters(first=7)
            async with opened(one, counters) as session:
                await session.read_clock()
            assert (counters.resynced, counters.given) == ([4_712], [7, 4_712, 4_713])
            one.meter.meddle = lambda answer: {"id": answer["id"], "error": {"kind": "replay", "heard": 9_999}}
            with pytest.raises(Replay):
                async with opened(one, counters):
                    pass
            assert counters.resynced == [4_712, 10_000]

    asyncio.run(act())


def test_a_message_of_another_topic_or_another_meter_is_a_bad_tag(broker: Mosquitto) -> None:
    async def act() -> None:
        async with asyncio.timeout(20), rig(broker.port) as one, opened(one) as session:
            one.meter.meddle = lambda answer: one.meter.sealed(answer, to="rows")
            with pytest.raises(BadTag, match="whose tag is wrong"):
                await session.read_clock()

    asyncio.run(act())


def test_a_value_that_misses_is_told_from_zero_over_pages(broker: Mosquitto) -> None:
    async def act() -> ProfileRows:
        async with asyncio.timeout(20), rig(broker.port) as one:
            one.meter.page = 2
            one.meter.rows[3] = (*one.meter.rows[3][:3], None)
            async with opened(one) as session:
                return await session.read_profile(profile=PROFILE, start=BEGAN, end=BEGAN + 5 * 900)

    rows = asyncio.run(act())
    assert rows.values[:, 1].tolist() == [0, 7, 14, 0, 28]
    assert rows.present is not None
    assert rows.present.tolist() == [[True, True]] * 3 + [[True, False]] + [[True, True]]


@pytest.mark.parametrize("keys", [KeySet(), KeySet(authentication=Secret(bytes(16)))])
def test_a_meter_with_a_key_takes_nothing_from_who_has_none(broker: Mosquitto, keys: KeySet) -> None:
    async def act() -> None:
        async with asyncio.timeout(20), rig(broker.port) as one:
            one.keys = keys
            with pytest.raises(BadKey):
                async with opened(one):
                    pass
            assert not one.meter.asked

    asyncio.run(act())


def test_another_version_is_unsupported(broker: Mosquitto) -> None:
    async def act() -> None:
        async with asyncio.timeout(20), rig(broker.port) as one:
            one.meter.meddle = _whole({"version": 2})
            with pytest.raises(Unsupported, match="version 2"):
                async with opened(one):
                    pass

    asyncio.run(act())


# --- Lines that break


def test_a_meter_that_drops_off_the_line_is_told_and_then_unreachable(broker: Mosquitto) -> None:
    async def act() -> None:
        async with asyncio.timeout(20), rig(broker.port) as one, opened(one) as session:
            one.meter.before = lambda op: one.meter.hang_up() if op == "switch" else None
            with pytest.raises(MeterTimeout, match="went offline before it answered switch"):
                await session.switch(on=False)
            with pytest.raises(Unreachable, match="it is offline"):
                await session.read_relay()
            with pytest.raises(Unreachable, match=r"(went|is) offline"):
                async with opened(one):
                    pass
            async with one.meter.on_line(broker.port):
                one.meter.before = None
                async with opened(one, PlainCounters(first=100)) as again:
                    assert not (await again.read_relay()).output_state

    asyncio.run(act())


def test_a_broker_that_goes_away_is_told_and_found_again(broker: Mosquitto, tmp_path: Path) -> None:
    async def act(own: Mosquitto) -> None:
        async with asyncio.timeout(20), AsyncExitStack() as stack:
            one = await stack.enter_async_context(rig(own.port))
            counters = PlainCounters()
            async with opened(one, counters) as session:
                one.meter.before = lambda op: own.kill() if op == "read_profile" else None
                with pytest.raises(MeterTimeout, match="the broker went away before read_profile was answered"):
                    await session.read_profile(profile=PROFILE, start=BEGAN, end=BEGAN + 900)
                with pytest.raises(Unreachable, match="the broker is gone"):
                    await session.read_clock()
                with pytest.raises(Unreachable, match="cannot be used"):
                    async with opened(one, counters):
                        pass
                own.start()
                async with one.meter.on_line(own.port), opened(one, counters) as again:
                    await again.read_clock()

    assert broker.port
    own = Mosquitto(tmp_path)
    own.start()
    try:
        asyncio.run(act(own))
    finally:
        own.kill()


def test_a_broker_that_never_answers_holds_nobody_up() -> None:
    async def act() -> None:
        met = asyncio.Event()

        async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            met.set()
            try:
                await reader.read()
            finally:
                writer.close()

        server = await asyncio.start_server(mute, "127.0.0.1", 0)
        async with asyncio.timeout(20), server:
            address = f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}/a/b"
            opening = asyncio.create_task(_dial(address, {}))
            await met.wait()
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening

    asyncio.run(act())


async def _dial(address: str, options: dict[str, str], keys: KeySet | None = None) -> None:
    link = MeterLink(meter_id="m1", driver="mqtt", address=address, options=options)
    async with MqttDriver().open(link, keys=keys or KeySet(), counters=PlainCounters(), clock=ManualClock(NOW)):
        pass


@pytest.mark.parametrize(
    ("address", "options"),
    [
        ("127.0.0.1:1883", {}),
        ("http://127.0.0.1/a", {}),
        ("mqtt:///a", {}),
        ("mqtt://127.0.0.1", {}),
        ("mqtt://127.0.0.1:no/a", {}),
        ("mqtt://127.0.0.1/a/+", {}),
        ("mqtt://127.0.0.1/a/#", {}),
        ("mqtt://127.0.0.1/a\x00b", {}),
        ("mqtt://127.0.0.1/$SYS/a", {}),
        ("mqtt://me:hush@127.0.0.1/a", {}),
        ("mqtt://127.0.0.1/a", {"smoke": "signals"}),
        ("mqtt://127.0.0.1/a", {"ca": "ca.pem"}),
    ],
)
def test_a_link_that_makes_no_sense_is_told(address: str, options: dict[str, str]) -> None:
    with pytest.raises(Unreachable, match="its link makes no sense") as told:
        asyncio.run(_dial(address, options))
    assert "hush" not in str(told.value)


@pytest.mark.parametrize("password", [b"wrong", b"\xff\xfe"])
def test_a_wrong_password_is_in_no_error(broker: Mosquitto, password: bytes) -> None:
    keys = KeySet(password=Secret(password))
    with pytest.raises((BadKey, Unreachable), match=r"Not authorized|the password is no text") as told:
        asyncio.run(_dial(f"mqtt://127.0.0.1:{broker.guarded}/a", {"user": "headend"}, keys))
    assert "wrong" not in str(told.value)


# --- TLS


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves a failed socket to the gc
def test_over_tls_with_certificates_of_both(broker: Mosquitto) -> None:
    folder = broker.folder

    async def act(**options: str) -> None:
        address = f"mqtts://127.0.0.1:{broker.secured}"
        async with (
            asyncio.timeout(20),
            rig(broker.port, address=address, options=options) as one,
            opened(one) as session,
        ):
            await session.read_clock()

    ours = {"certificate": f"{folder}/client.pem", "key": f"{folder}/client.key"}
    asyncio.run(act(ca=f"{folder}/ca.pem", **ours))
    for words, options in (
        ("verify failed", {"ca": f"{folder}/stranger.pem", **ours}),
        ("No such file", {"ca": f"{folder}/none.pem", **ours}),
        ("it hangs up", {"ca": f"{folder}/ca.pem"}),
    ):
        with pytest.raises(Unreachable, match=words):
            asyncio.run(act(**options))
        gc.collect()


# --- Many meters


def test_many_meters_share_one_connection_and_nothing_is_left_behind(broker: Mosquitto) -> None:
    async def act() -> None:
        async with asyncio.timeout(60), AsyncExitStack() as stack:
            one = await stack.enter_async_context(rig(broker.port))
            meters = [MqttMeter(f"town/{at}", one.clock, one.meter.rows, [], one.meter.key) for at in range(50)]
            for meter in meters:
                await stack.enter_async_context(meter.on_line(broker.port))
            meters[7].faults.add("silent")
            meters[8].faults.add("bad_tag")
            everyone = asyncio.Barrier(48)

            async def read_day(meter: MqttMeter) -> int:
                link = MeterLink(meter_id=meter.root, driver="mqtt", address=f"{one.address}/{meter.root}")
                async with one.driver.open(link, keys=one.keys, counters=PlainCounters(), clock=one.clock) as session:
                    await everyone.wait()
                    return len(await session.read_profile(profile=PROFILE, start=BEGAN, end=BEGAN + 86_400))

            reading = [asyncio.create_task(read_day(meter)) for meter in meters]
            healthy = [task for at, task in enumerate(reading) if at not in {7, 8}]
            assert await asyncio.gather(*healthy) == [96] * 48
            reading[7].cancel()
            told = await asyncio.gather(reading[7], reading[8], return_exceptions=True)
            assert [type(one) for one in told] == [asyncio.CancelledError, BadTag]
            assert one.sizes.count(8) == 1  # connections that were named
            assert not one.driver._brokers._known
            assert not any("Broker._kept" in repr(task.get_coro()) for task in asyncio.all_tasks())

    asyncio.run(act())


# --- The head-end over it


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # the line is what is tried here
def test_the_head_end_collects_switches_and_changes_keys_over_it(head: HeadEnd, broker: Mosquitto) -> None:
    head.clock.move_to(NOW)

    async def act() -> headend.Collected:
        async with asyncio.timeout(20), rig(broker.port, clock=head.clock) as one:
            start = datetime.fromtimestamp(BEGAN, UTC)
            plan = ProfilePlan(meter_id="m1", profile=PROFILE, seconds=SECONDS, start=start)
            with head.store.write() as tx:
                headend.put_meters(tx, links=[one.link], now=NOW)
                headend.put_keys(tx, meter_id="m1", keys=one.keys, vault=head.vault, now=NOW)
                headend.expect(tx, plans=[plan], now=NOW)
            head.submit("c1", "switch_off", meter="m1")
            head.rotate("m1")
            tools = replace(head.tools(), drivers={"mqtt": one.driver})
            done = await headend.collect(tools=tools, policy=POLICY)
            assert not one.meter.disconnector.closed
            assert one.meter.key != KEYED.unicast
            return done

    done = asyncio.run(act())
    assert (done.reached, done.failed) == (1, {})
    assert head.gaps("m1") == []
    assert sorted(start for _, start in head.delivered()) == [row[0] for row in ROWS]
    assert head.command("c1").state == "confirmed"
    assert head.key_states("m1") == [(1, "retired"), (2, "active")]


# --- Pushes


def test_pushed_rows_come_once_and_only_from_the_meter(broker: Mosquitto) -> None:
    async def act() -> None:
        async with asyncio.timeout(20), rig(broker.port) as one:
            meter = PushingMeter(link=one.link, keys=one.keys, counters=PlainCounters())
            async with one.driver.listening([meter], clock=one.clock) as pushes:
                await one.meter.push(ROWS[4:6], times=2)
                one.meter.key = bytes(32)
                await one.meter.push(ROWS[6:7])
                first, second, third = [await anext(pushes) for _ in range(3)]
            assert first.delivery is not None
            assert first.delivery.pushed
            assert (first.delivery.start, first.delivery.end) == (ROWS[4][0], ROWS[6][0])
            assert first.delivery.rows.values.tolist() == [list(row[2:]) for row in ROWS[4:6]]
            assert [type(second.fault), type(third.fault)] == [Replay, BadTag]
            assert {first.meter_id, second.meter_id} == {"m1"}

    asyncio.run(act())


def test_whoever_is_linked_is_heard_until_it_is_another(broker: Mosquitto, head: HeadEnd) -> None:
    async def act() -> None:
        kept = asyncio.Event()
        async with asyncio.timeout(20), rig(broker.port) as one:
            tools = replace(head.tools(), drivers={"mqtt": one.driver})
            start = datetime.fromtimestamp(BEGAN, UTC)
            plan = ProfilePlan(meter_id="m1", profile=PROFILE, seconds=SECONDS, start=start)
            with head.store.write() as tx:
                headend.put_meters(tx, links=[one.link], now=NOW)
                headend.put_keys(tx, meter_id="m1", keys=one.keys, vault=head.vault, now=NOW)
                headend.expect(tx, plans=[plan], now=NOW)

            async def until(seen: Callable[[], bool]) -> None:
                while not seen():
                    await one.meter.push(ROWS[4:6], times=2)  # nobody may listen yet
                    with suppress(TimeoutError):
                        async with asyncio.timeout(0.2):
                            await kept.wait()
                    kept.clear()

            async with headend.hearing(tools=tools, kept=kept.set, look_every=0.1):
                await until(lambda: tools.metrics.pushes > 0 and tools.metrics.pushes_refused["replay"] > 0)
                before = tools.metrics.pushes
                with head.store.write() as tx:
                    fresh = replace(one.keys, unicast=Secret(bytes(range(100, 132))))
                    headend.put_keys(tx, meter_id="m1", keys=fresh, vault=head.vault, now=NOW)
                await until(lambda: tools.metrics.pushes_refused["bad_tag"] > 0)
                one.meter.key = bytes(range(100, 132))
                await until(lambda: tools.metrics.pushes > before)

    asyncio.run(act())
    delivered = head.delivered()
    assert sorted({start for _, start in delivered}) == [row[0] for row in ROWS[4:6]]
    missing = {int(gap.period.start.timestamp()) for gap in head.gaps("m1")}
    assert ROWS[4][0] not in missing


def test_listening_ends_with_the_broker(broker: Mosquitto, tmp_path: Path) -> None:
    async def act(own: Mosquitto) -> None:
        async with asyncio.timeout(20), rig(own.port, keys=KeySet()) as one:
            meter = PushingMeter(link=one.link, keys=one.keys, counters=PlainCounters())
            async with one.driver.listening([meter], clock=one.clock) as pushes:
                own.kill()
                with pytest.raises(Unreachable, match="the broker is gone"):
                    await anext(pushes)

    assert broker.port
    own = Mosquitto(tmp_path)
    own.start()
    try:
        asyncio.run(act(own))
    finally:
        own.kill()


def test_a_push_of_nothing_is_malformed_and_two_brokers_are_no_one() -> None:
    links = [MeterLink(meter_id="m", driver="mqtt", address=f"mqtt://b{at}/a") for at in range(2)]
    meters = [PushingMeter(link=link, keys=KeySet(), counters=PlainCounters()) for link in links]
    with pytest.raises(Malformed, match="it pushed no rows"):
        pushed(b'{"profile": "load", "seconds": 900, "channels": [], "rows": []}', topic="t", meter=meters[0], now=NOW)

    async def act() -> None:
        async with MqttDriver().listening(meters, clock=ManualClock(NOW)):
            pass

    with pytest.raises(ValueError, match="not reached through one broker"):
        asyncio.run(act())
