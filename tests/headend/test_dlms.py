"""The DLMS driver passes what every driver has to pass, against virtual meters on a real line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import numpy as np
import pytest

from wattledger.dlms import Keys
from wattledger.headend.conformance import DriverConformance, PlainCounters, Rig, Trouble
from wattledger.headend.dlms import DlmsDriver
from wattledger.headend.ports import (
    Channel,
    KeySet,
    LoggedEvent,
    Malformed,
    MeterLink,
    NoData,
    ProfileRows,
    Register,
    Secret,
    Session,
    Unreachable,
)
from wattledger.kernel import Clock, ManualClock, epoch
from wattledger.virtual_meter import DayLoad, Fault, LineSettings, MeterLine, MeterPlan, VirtualMeter

NOW = datetime(2026, 3, 30, 10, 7, 30, tzinfo=UTC)
INSTALLED = NOW - timedelta(days=3)
LOAD = DayLoad(np.arange(10, 106, dtype=np.int64))
SUN = DayLoad(np.concatenate([np.zeros(40), np.full(20, 33), np.zeros(36)]).astype(np.int64))
MASTER = bytes(range(32, 48))
CHANNELS = (Channel(name="1-0:1.8.0"), Channel(name="1-0:2.8.0"))


def key_set(generation: int, *, size: int = 16) -> KeySet:
    fill = [bytes((16 * number + generation,)) * size for number in range(3)]
    unicast, broadcast, authentication = map(Secret, fill)
    return KeySet(
        unicast=unicast,
        broadcast=broadcast,
        authentication=authentication,
        master=Secret(MASTER),
        generation=generation,
    )


class MeterRig:
    """A virtual meter on a port of its own, and a driver that dials it."""

    def __init__(
        self, meter: VirtualMeter, port: int, clock: ManualClock, keys: KeySet, options: dict[str, str]
    ) -> None:
        self.meter, self.port, self.manual, self.keys = meter, port, clock, keys
        self.driver = DlmsDriver(chance=lambda size: bytes(range(100, 100 + size)))
        self.options = options
        self.gone = False
        self.profile, self.seconds = "1-0:99.1.0", 900

    @property
    def clock(self) -> Clock:
        return self.manual

    @property
    def link(self) -> MeterLink:
        address = f"127.0.0.1:{1 if self.gone else self.port}"
        return MeterLink(meter_id="m1", driver="dlms", address=address, options=self.options)

    @property
    def registers(self) -> list[Register]:
        at = np.array([epoch(NOW)], dtype=np.int64)
        values = (int(self.meter.imported(at)[0]), int(self.meter.sent_out(at)[0]))
        return [Register(channel=channel, value=value, at=0) for channel, value in zip(CHANNELS, values, strict=True)]

    @property
    def rows(self) -> ProfileRows:
        edges = np.arange(-(-epoch(INSTALLED) // 900) * 900, epoch(NOW), 900, dtype=np.int64)
        stamps = edges[edges > epoch(INSTALLED)]
        summer = stamps >= epoch(datetime(2026, 3, 29, 1, tzinfo=UTC))
        return ProfileRows(
            channels=CHANNELS,
            starts=stamps - 900,
            values=np.stack([self.meter.imported(stamps), self.meter.sent_out(stamps)], axis=1),
            status=np.where(summer, 0x08, 0).astype(np.uint8),
        )

    @property
    def events(self) -> list[LoggedEvent]:
        return [LoggedEvent(log="0-0:99.98.1", code=code, at=at) for at, code in self.meter.logs[1]]

    def new_keys(self) -> KeySet:
        return key_set(self.keys.generation + 1, size=len((self.keys.unicast or Secret(bytes(16))).reveal()))

    def show(self, trouble: Trouble) -> bool:
        faults: dict[str, Fault] = {
            "silent": Fault.SILENT,
            "bad_tag": Fault.CORRUPT,
            "replay": Fault.REPLAY,
            "truncated": Fault.PARTIAL,
            "refusing": Fault.REFUSING,
            "stuck_relay": Fault.STUCK_RELAY,
        }
        if trouble == "unreachable":
            self.gone = True
        elif trouble == "ready_for_reconnection":
            self.meter.disconnector.mode = 1
        elif self.keys.unicast is None and trouble in {"bad_tag", "replay", "truncated"}:
            return False
        else:
            self.meter.show_fault(faults[trouble])
        return True

    def heal(self) -> None:
        self.gone = False
        for fault in list(self.meter.faults):
            self.meter.show_fault(fault, shown=False)


@asynccontextmanager
async def rig(
    *, keys: KeySet, suite: int = 0, pdu_max: int = 1_024, ahead: int = 0, **options: str
) -> AsyncIterator[MeterRig]:
    clock = ManualClock(INSTALLED)
    known = None
    if keys.unicast is not None and keys.authentication is not None:
        broadcast = None if keys.broadcast is None else keys.broadcast.reveal()
        known = Keys(keys.unicast.reveal(), keys.authentication.reveal(), broadcast)
    meter = VirtualMeter(
        number=7,
        clock=clock,
        load=LOAD,
        exported=SUN,
        plan=MeterPlan(zone="Europe/Vienna"),
        installed=epoch(INSTALLED),
        register_wh=1_234_567,
        keys=known,
        master=MASTER if known else None,
        password=None if keys.password is None else keys.password.reveal(),
        suite=suite,
        ahead=ahead,
    )
    for hours, fault in ((5, Fault.MAGNET), (6, Fault.MAGNET), (30, Fault.COVER_OPENED), (31, Fault.COVER_OPENED)):
        clock.move_to(INSTALLED + timedelta(hours=hours))
        meter.show_fault(fault, shown=fault not in meter.faults)
    clock.move_to(NOW)
    line = MeterLine([meter], settings=LineSettings(chance=bytes, pdu_max=pdu_max))
    async with line.alone(meter, host="127.0.0.1", port=0) as port:
        yield MeterRig(meter, port, clock, keys, {"suite": str(suite), **options})


class _Told(DriverConformance):
    made: ClassVar[Callable[[], AbstractAsyncContextManager[Rig]]]

    def rig(self) -> AbstractAsyncContextManager[Rig]:
        return type(self).made()


class TestSuite0(_Told):
    made = staticmethod(lambda: rig(keys=key_set(0)))


class TestSuite1InSmallBlocks(_Told):
    made = staticmethod(lambda: rig(keys=key_set(0), suite=1, pdu_max=128, form="general"))


class TestSuite2(_Told):
    made = staticmethod(lambda: rig(keys=key_set(0, size=32), suite=2, form="general-ciphering"))


class TestOverHdlc(_Told):
    made = staticmethod(lambda: rig(keys=key_set(0), framing="hdlc"))


class _InTheClear(_Told):
    # Nothing is authenticated and nothing counted: what tells of that does not apply.
    test_new_keys_open_the_meter_and_old_ones_no_more = None  # type: ignore[assignment]
    test_counters_behind_the_meter_are_brought_up_or_told = None  # type: ignore[assignment]
    test_a_changed_frame_is_a_bad_tag = None  # type: ignore[assignment]
    test_a_repeated_frame_is_a_replay = None  # type: ignore[assignment]
    test_a_truncated_answer_is_malformed = None  # type: ignore[assignment]


class TestWithPassword(_InTheClear):
    made = staticmethod(lambda: rig(keys=KeySet(password=Secret(b"12345678")), client="2"))


class TestWithNothing(_InTheClear):
    made = staticmethod(lambda: rig(keys=KeySet(), client="3"))
    test_a_wrong_key_is_a_bad_key = None  # type: ignore[assignment]


def opened(meter: MeterRig, counters: PlainCounters | None = None) -> AbstractAsyncContextManager[Session]:
    return meter.driver.open(meter.link, keys=meter.keys, counters=counters or PlainCounters(), clock=meter.clock)


def test_a_clock_that_is_behind_stamps_its_rows_as_it_takes_them() -> None:
    async def act() -> None:
        async with rig(keys=key_set(0), ahead=-3_600) as meter, opened(meter) as session:
            assert (await session.read_clock()).at == epoch(NOW) - 3_600
            rows = await session.read_profile(
                profile="1-0:99.1.0", start=epoch(NOW) // 900 * 900 - 7_200, end=epoch(NOW)
            )
            assert rows.starts.tolist() == [epoch(NOW) // 900 * 900 - 3_600 - 900 * back for back in range(4, 0, -1)]

    asyncio.run(act())


def test_a_power_failure_is_a_gap_with_its_status() -> None:
    async def act() -> None:
        async with rig(keys=key_set(0)) as meter:
            began = epoch(NOW) // 900 * 900 - 3_600
            meter.meter.fail_power(start=began + 60, end=began + 2_000)
            async with opened(meter) as session:
                rows = await session.read_profile(profile="1-0:99.1.0", start=began - 900, end=began + 3_600)
                events = await session.read_events(log="0-0:99.98.0", since=0)
        assert (rows.starts - began).tolist() == [-900, 1_800, 2_700]
        assert rows.status.tolist() == [0x08, 0x88, 0x08]
        assert [event.code for event in events] == [1, 2]

    asyncio.run(act())


def test_a_column_that_is_asked_for_once_is_remembered() -> None:
    async def act() -> None:
        async with rig(keys=key_set(0)) as meter:
            counters = [PlainCounters(), PlainCounters(first=100)]
            for one in counters:
                async with opened(meter, one) as session:
                    await session.read_profile(profile="1-0:99.1.0", start=epoch(NOW) - 9_000, end=epoch(NOW))
            assert len(counters[0].given) > len(counters[1].given)

    asyncio.run(act())


def test_columns_that_nobody_wants_are_left_out() -> None:
    async def act() -> None:
        async with rig(keys=key_set(0), columns="1-0:2.8.0,1-0:9.8.0") as meter, opened(meter) as session:
            rows = await session.read_profile(profile="1-0:99.1.0", start=epoch(NOW) - 9_000, end=epoch(NOW))
            assert rows.channels == CHANNELS[1:]
            assert rows.values.tolist() == meter.rows.within(epoch(NOW) - 9_000, epoch(NOW)).values[:, 1:].tolist()

    asyncio.run(act())


def test_what_a_meter_does_not_have_is_no_data() -> None:
    async def act() -> None:
        async with rig(keys=key_set(0)) as meter, opened(meter) as session:
            with pytest.raises(NoData, match="object undefined"):
                await session.read_profile(profile="1-0:99.77.0", start=0, end=900)
            with pytest.raises(NoData, match="no OBIS code"):
                await session.read_profile(profile="load", start=0, end=900)

    asyncio.run(act())


@pytest.mark.parametrize("options", [{"framing": "smoke"}, {"suite": "9"}, {"title": "x"}, {"counter": "1.8"}])
def test_a_link_that_makes_no_sense_is_told(options: dict[str, str]) -> None:
    with pytest.raises(Unreachable, match="its link makes no sense"):
        asyncio.run(_dial("127.0.0.1:1", options))


async def _dial(address: str, options: dict[str, str]) -> None:
    link = MeterLink(meter_id="m1", driver="dlms", address=address, options=options)
    async with DlmsDriver().open(link, keys=KeySet(), counters=PlainCounters(), clock=ManualClock(NOW)):
        pass


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:port", "127.0.0.1:1"])
def test_an_address_where_nobody_is_is_unreachable(address: str) -> None:
    with pytest.raises(Unreachable, match=r"m1"):
        asyncio.run(_dial(address, {}))


def test_nonsense_on_the_line_is_malformed() -> None:
    async def act() -> None:
        async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            with suppress(OSError):
                writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                await writer.drain()
            writer.close()

        server = await asyncio.start_server(web, "127.0.0.1", 0)
        async with server:
            with pytest.raises(Malformed):
                await _dial(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", {})

    asyncio.run(act())
