import copy
import logging
import pickle
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paper_meters import ENERGY, PaperDriver, PaperMeter, PaperSession, keys_of, rows_of

from wattledger import headend
from wattledger.headend import (
    Channel,
    Counters,
    Delivery,
    KeySet,
    LoggedEvent,
    Malformed,
    MeterFault,
    MeterLink,
    ProfileRows,
    Register,
    Secret,
    Session,
)
from wattledger.headend.conformance import DriverConformance, Trouble
from wattledger.kernel import Clock, ManualClock, epoch

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SECOND = b"\x01\x02\x03 key"


class PaperRig:
    def __init__(self, driver: PaperDriver) -> None:
        self.clock = ManualClock(NOW)
        self.keys = keys_of(1)
        self.registers = [Register(channel=channel, value=1000, at=0) for channel in ENERGY]
        self.rows = rows_of([epoch(NOW) + 900 * n for n in range(9)])
        self.profile, self.seconds = "load", 900
        self.events = [LoggedEvent(log="fraud", code=code, at=epoch(NOW) + code) for code in (40, 41, 42)]
        self.meter = PaperMeter(
            keys=self.keys, rows=self.rows, registers=list(self.registers), events=list(self.events)
        )
        driver.meters["here"] = self.meter
        self.driver = driver
        self.link = MeterLink(meter_id="m", driver="paper", address="here")

    def new_keys(self) -> KeySet:
        return keys_of(2)

    def show(self, trouble: Trouble) -> bool:
        if trouble == "ready_for_reconnection":
            self.meter.mode = 3
        self.meter.troubles.add(trouble)
        return True

    def heal(self) -> None:
        self.meter.troubles.clear()


class TestPaperDriver(DriverConformance):
    @asynccontextmanager
    async def rig(self) -> AsyncIterator[PaperRig]:
        yield PaperRig(PaperDriver({}))


# --- The suite itself has to be able to fail ---


class OffByOne(PaperSession):
    async def read_profile(self, *, profile: str, start: int, end: int) -> ProfileRows:
        return await super().read_profile(profile=profile, start=start, end=end + 1)


class MakesItUp(PaperSession):
    async def switch(self, *, on: bool) -> None:
        await super().switch(on=on)
        self._meter.output, self._meter.state = on, "connected" if on else "disconnected"


class Chatters(PaperSession):
    async def read_events(self, *, log: str, since: int) -> Sequence[LoggedEvent]:
        return await super().read_events(log=log, since=min(since, 0))


class Conceals(PaperSession):
    async def read_profile(self, *, profile: str, start: int, end: int) -> ProfileRows:
        try:
            return await super().read_profile(profile=profile, start=start, end=end)
        except MeterFault:
            return rows_of([])


class WrongDriver(PaperDriver):
    def __init__(self, kind: type[PaperSession]) -> None:
        super().__init__({})
        self.kind = kind

    @asynccontextmanager
    async def open(self, link: MeterLink, *, keys: KeySet, counters: Counters, clock: Clock) -> AsyncIterator[Session]:
        async with super().open(link, keys=keys, counters=counters, clock=clock):
            yield self.kind(self.meters[link.address], counters, clock)


class BlabbingDriver(PaperDriver):
    @asynccontextmanager
    async def open(self, link: MeterLink, *, keys: KeySet, counters: Counters, clock: Clock) -> AsyncIterator[Session]:
        try:
            async with super().open(link, keys=keys, counters=counters, clock=clock) as session:
                yield session
        except headend.BadKey as fault:
            assert keys.unicast
            raise headend.BadKey(f"{keys.unicast.reveal().hex()} is not the key") from fault


@pytest.mark.parametrize(
    ("driver", "test"),
    [
        (lambda: WrongDriver(OffByOne), "test_a_profile_in_pieces_is_the_profile"),
        (lambda: WrongDriver(MakesItUp), "test_a_stuck_relay_is_seen"),
        (lambda: WrongDriver(MakesItUp), "test_ready_for_reconnection_is_seen"),
        (lambda: WrongDriver(Chatters), "test_events_are_read_since_an_instant"),
        (lambda: BlabbingDriver({}), "test_a_wrong_key_is_a_bad_key"),
    ],
)
def test_the_suite_finds_a_wrong_driver(driver: Callable[[], PaperDriver], test: str) -> None:
    class Suite(DriverConformance):
        @asynccontextmanager
        async def rig(self) -> AsyncIterator[PaperRig]:
            yield PaperRig(driver())

    with pytest.raises(AssertionError):
        getattr(Suite(), test)()


# --- Secrets ---


def test_a_secret_shows_itself_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(SECOND)
    keys = KeySet(unicast=secret, password=Secret(SECOND))
    logging.getLogger("x").warning("%s %r", keys, secret)
    shown = f"{secret} {secret!r} {keys} {keys!r} {[secret]} {caplog.text}"
    assert "key" not in shown.replace("KeySet", "")
    assert "010203" not in shown
    for way in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            way(secret)


def test_secrets_are_equal_by_content() -> None:
    assert Secret(SECOND) == Secret(SECOND)
    assert Secret(SECOND) != Secret(b"another")
    assert Secret(SECOND) != SECOND


# --- Rows and registers ---


@pytest.mark.parametrize(
    ("value", "scale", "wh"), [(12, 3, 12_000), (12_345, -1, 1_234), (12_345, 0, 12_345), (9, -1, 0)]
)
def test_a_register_in_watt_hours(value: int, scale: int, wh: int) -> None:
    assert Register(channel=Channel(name="1-0:1.8.0", scale=scale), value=value, at=0).wh == wh


def test_volts_are_no_watt_hours() -> None:
    with pytest.raises(ValueError, match="counts V"):
        _ = Register(channel=Channel(name="1-0:32.7.0", unit="V"), value=230, at=0).wh


def test_rows_out_of_order_are_malformed() -> None:
    for starts in ([900, 0], [0, 0]):
        with pytest.raises(Malformed):
            rows_of(starts)


def test_rows_of_another_shape_are_malformed() -> None:
    with pytest.raises(Malformed):
        ProfileRows(
            channels=ENERGY,
            starts=np.array([0], dtype=np.int64),
            values=np.zeros((1, 1), dtype=np.int64),
            status=np.zeros(1, dtype=np.uint8),
        )


@given(st.sets(st.integers(0, 40)), st.integers(-1, 42), st.integers(-1, 42))
def test_rows_within_a_period(starts: set[int], start: int, end: int) -> None:
    cut = rows_of(sorted(starts)).within(start, end)
    assert cut.starts.tolist() == sorted(at for at in starts if start <= at < end)
    assert len(cut.values) == len(cut.status) == len(cut)


def test_the_same_delivery_has_the_same_id_and_another_has_another() -> None:
    def delivery(rows: ProfileRows, meter: str = "m") -> str:
        return Delivery(meter_id=meter, profile="load", seconds=900, start=0, end=3600, rows=rows, read_at=NOW).id

    same = delivery(rows_of([0, 900]))
    assert same == delivery(rows_of([0, 900]))
    assert (
        len({same, delivery(rows_of([0])), delivery(rows_of([0, 900], seed=1)), delivery(rows_of([0, 900]), "n")}) == 4
    )


def test_a_driver_that_is_not_installed_is_told_with_those_that_are() -> None:
    with pytest.raises(headend.DriverNotFound, match=r"no driver is called 'morse'.*paper"):
        headend.driver_named({"paper": PaperDriver({})}, name="morse")


def test_installed_drivers_have_the_names_of_their_entry_points() -> None:
    assert all(driver.name == name for name, driver in headend.installed_drivers().items())
