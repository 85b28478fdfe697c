"""Meters connect: they push, and are believed or not; they wait to be read over the connection that they made."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np
import pytest
from paper_headend import NOW, POLICY, SLOT, HeadEnd

from wattledger import headend
from wattledger.dlms import DataNotification, Keys, Packet, Protection, SecurityControl, octets, structure
from wattledger.headend import CONNECTS_IN, Collected, KeySet, ListenerSettings, MeterLink, ProfilePlan, Secret, Tools
from wattledger.headend.dlms import DlmsDriver
from wattledger.kernel import epoch
from wattledger.virtual_meter import (
    DayLoad,
    Fault,
    LineSettings,
    MeterLine,
    PushLine,
    VirtualMeter,
    device_name,
    system_title,
)

PROFILE, LOG = "1-0:99.1.0", "0-0:99.98.1"
KEYS = Keys(bytes(range(16)), bytes(range(16, 32)))
START = NOW - timedelta(hours=2)
LOAD = DayLoad(np.full(96, 100, dtype=np.int64))


@dataclass
class Field:
    """A meter in the field, and a head-end that it can reach."""

    head: HeadEnd
    tools: Tools
    meter: VirtualMeter
    port: int
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def push(self) -> None:
        """All that is due is sent."""
        await PushLine([self.meter]).push_due()

    async def send(self, *apdus: bytes) -> bytes:
        """Say this at the door; what is answered, once the other side hangs up."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.writelines(Packet(1, 1, one).encoded for one in apdus)
        writer.write_eof()
        said = await reader.read()
        writer.close()
        return said

    async def until(self, seen: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not seen():
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await self.news.wait()
                self.news.clear()

    async def refused(self, kind: str, count: int = 1) -> None:
        await self.until(lambda: self.tools.metrics.pushes_refused[kind] >= count)
        assert self.tools.metrics.pushes_refused[kind] == count

    async def kept(self, count: int) -> None:
        await self.until(lambda: self.tools.metrics.pushes >= count)
        assert self.tools.metrics.pushes == count

    async def collect(self) -> Collected:
        return await headend.collect(tools=self.tools, policy=POLICY)

    def wait(self, **how_long: int) -> None:
        self.head.clock.advance(timedelta(**how_long))

    def gaps(self) -> list[headend.Gap]:
        with self.head.store.read() as tx:
            return headend.gaps(tx, now=self.head.clock.now())

    def events(self) -> list[int]:
        with self.head.store.read() as tx:
            return [one.code for one in headend.events_of(tx, meter_id="m")]

    def relink(self, **options: str) -> None:
        with self.head.store.write() as tx:
            link = headend.linked(tx, meter_ids=["m"])["m"]
            headend.put_meters(
                tx, links=[replace(link, options={**link.options, **options})], now=self.head.clock.now()
            )

    def closed(self, body: bytes, *, keys: Keys = KEYS, counter: int = 1) -> bytes:
        control = SecurityControl(0, authenticated=True, encrypted=True)
        return Protection(control, keys, system_title(self.meter), lambda: counter).close(body, form="general")


@asynccontextmanager
async def a_field(
    head: HeadEnd, *, keys: Keys | None = KEYS, dials: bool = False, settings: ListenerSettings | None = None
) -> AsyncIterator[Field]:
    meter = VirtualMeter(number=7, clock=head.clock, load=LOAD, installed=epoch(START), keys=keys)
    tools = head.tools()
    tools.drivers = {"dlms": DlmsDriver(chance=lambda size: bytes(range(100, 100 + size)))}
    async with MeterLine([meter], settings=LineSettings(chance=bytes)).alone(meter, host="127.0.0.1", port=0) as own:
        options = {"peer": system_title(meter).hex().upper(), "device": device_name(meter).decode(), "server": "1"}
        address = CONNECTS_IN if dials else f"127.0.0.1:{own}"
        link = MeterLink(
            meter_id="m", driver="dlms", address=address, options={**options, "client": "1" if keys else "16"}
        )
        with head.store.write() as tx:
            headend.put_meters(tx, links=[link], now=NOW)
            if keys is not None and keys.authentication is not None:
                known = KeySet(unicast=Secret(keys.encryption), authentication=Secret(keys.authentication))
                headend.put_keys(tx, meter_id="m", keys=known, vault=head.vault, now=NOW)
            plan = ProfilePlan(
                meter_id="m", profile=PROFILE, seconds=SLOT, start=START, every=timedelta(days=1), grace=timedelta()
            )
            headend.expect(tx, plans=[plan], now=NOW)
        door = socket.create_server(("127.0.0.1", 0))
        found = Field(head, tools, meter, door.getsockname()[1])
        async with headend.hearing(tools=tools, door=door, settings=settings, kept=found.news.set, met=found.news.set):
            meter.push_to(f"127.0.0.1:{found.port}", every=SLOT)
            yield found


def rows(head: HeadEnd) -> list[int]:
    """The starts that were delivered, each as often as it was."""
    return sorted(start for (_, start), count in head.delivered().items() for _ in range(count))


@pytest.mark.parametrize("keys", [KEYS, None])
def test_pushed_rows_close_the_gap_that_they_fill(head: HeadEnd, keys: Keys | None) -> None:
    async def story() -> None:
        async with a_field(head, keys=keys) as field_:
            field_.wait(days=1)
            assert (await field_.collect()).reached == 1  # its columns are known from now on
            field_.meter.take_due()
            before = len(rows(head))
            for number in range(3):
                field_.wait(seconds=SLOT)
                await field_.push()
                await field_.kept(number + 1)
            assert len(rows(head)) == before + 3
            assert field_.gaps() == []
            assert (await field_.collect()).reached == 0  # nothing is left to ask for

    asyncio.run(story())


def test_rows_that_come_before_their_scalers_are_asked_for(head: HeadEnd) -> None:
    async def story() -> None:
        async with a_field(head) as field_:
            field_.wait(seconds=SLOT)
            await field_.push()
            await field_.kept(1)
            assert rows(head) == []
            assert head.status().visit_at == head.clock.now()  # a day before it would have been asked
            assert (await field_.collect()).reached == 1
            assert field_.gaps() == []

    asyncio.run(story())


def test_an_alarm_is_known_when_it_comes(head: HeadEnd) -> None:
    async def story() -> None:
        async with a_field(head) as field_:
            field_.meter.show_fault(Fault.MAGNET)
            await field_.push()
            await field_.kept(1)
            assert field_.events() == [42]
            field_.meter.show_fault(Fault.POWER_DOWN)
            await field_.push()
            await field_.kept(2)
            assert sorted(field_.events()) == [1, 42]

    asyncio.run(story())
    (suspected,) = head.facts("TamperSuspected")
    assert suspected["log"] == LOG


def test_what_was_sent_before_is_refused_after_a_restart_as_well(head: HeadEnd) -> None:
    async def story() -> None:
        async with a_field(head) as field_:
            field_.meter.show_fault(Fault.DUPLICATE_PUSH)
            field_.meter.show_fault(Fault.MAGNET)
            await field_.push()
            await field_.kept(1)
            await field_.refused("replay")
            counter = field_.meter.counter
            said = field_.closed(b"\x0f", counter=counter)
        async with a_field(head) as field_:
            await field_.send(said)
            await field_.refused("replay", 2)
            assert field_.tools.metrics.pushes == 1

    asyncio.run(story())


def test_who_is_not_believed_changes_nothing(head: HeadEnd) -> None:
    body = DataNotification(1, None, structure(octets(b"\0\0\x19\x09\0\xff"), octets(b"?"))).encoded

    async def story() -> None:
        async with a_field(head) as field_:
            field_.wait(seconds=SLOT)
            field_.meter.show_fault(Fault.CORRUPT)
            await field_.push()
            await field_.refused("bad_tag")
            await field_.send(field_.closed(body, keys=Keys(bytes(16), bytes(16))))
            await field_.refused("bad_key")
            other = VirtualMeter(number=8, clock=head.clock, load=LOAD, keys=KEYS)
            other.push_to(f"127.0.0.1:{field_.port}", every=SLOT)
            other.show_fault(Fault.MAGNET)
            await PushLine([other]).push_due()
            await field_.refused("unknown_sender")
            mine = device_name(field_.meter)
            plain = DataNotification(1, None, structure(octets(b"\0\0\x19\x09\0\xff"), octets(mine), octets(b"x")))
            await field_.send(plain.encoded)
            await field_.refused("unprotected")
            unread = DataNotification(1, None, structure(octets(mine), octets(mine), octets(mine))).encoded
            await field_.send(field_.closed(unread, counter=900), b"\xc0\x01", b"\xff")
            await field_.refused("malformed", 3)
            await field_.send(field_.closed(field_.closed(body, counter=901), counter=902))
            await field_.refused("malformed", 4)
            half = Packet(1, 1, bytes(40)).encoded[:20]
            _, writer = await asyncio.open_connection("127.0.0.1", field_.port)
            writer.write(half)
            writer.close()
            assert field_.tools.metrics.pushes == 0
            assert rows(head) == field_.events() == []
            field_.meter.show_fault(Fault.CORRUPT, shown=False)
            field_.wait(days=1)
            assert (await field_.collect()).reached == 1  # all of it was still to be had
            assert field_.gaps() == []

    asyncio.run(story())


def test_who_is_linked_later_is_believed_later(head: HeadEnd) -> None:
    async def story() -> None:
        async with a_field(head) as field_:
            field_.relink(peer="00" * 8)
            field_.meter.show_fault(Fault.MAGNET)
            await field_.push()
            await field_.refused("unknown_sender")
            field_.relink(peer=system_title(field_.meter).hex())
            field_.wait(minutes=1)
            field_.meter.show_fault(Fault.COVER_OPENED)
            await field_.push()
            await field_.kept(1)

    asyncio.run(story())


def test_a_meter_that_connects_in_is_read_over_its_connection(head: HeadEnd) -> None:
    async def story() -> None:
        async with a_field(head, dials=True) as field_:
            field_.wait(days=1)
            assert await field_.collect() == Collected(reached=0, failed={}, rows=0, took=timedelta())
            assert head.status().failures == 0  # it is away: nobody could have asked it
            line = MeterLine([field_.meter], settings=LineSettings(chance=bytes))
            staying = asyncio.create_task(line.dial(field_.meter, host="127.0.0.1", port=field_.port))
            await field_.until(field_.tools.connected)
            assert (await field_.collect()).reached == 1
            assert field_.gaps() == []
            head.submit("off", "switch_off")
            assert (await field_.collect()).reached == 1  # over the same connection
            assert head.command("off").state == "confirmed"
            assert not field_.meter.disconnector.closed
            staying.cancel()
            await asyncio.gather(staying, return_exceptions=True)
            await field_.until(lambda: not field_.tools.connected())
            head.submit("on", "switch_on")
            assert (await field_.collect()).reached == 0
            assert head.command("on").state == "queued"
            staying = asyncio.create_task(line.dial(field_.meter, host="127.0.0.1", port=field_.port))
            await field_.until(field_.tools.connected)
            await field_.collect()
            assert head.command("on").state == "confirmed"
            staying.cancel()
            await asyncio.gather(staying, return_exceptions=True)

    asyncio.run(story())


def test_a_stranger_who_says_the_meters_title_takes_nothing_from_it(head: HeadEnd) -> None:
    async def story() -> None:
        async with a_field(head, dials=True) as field_:
            field_.wait(days=1)
            line = MeterLine([field_.meter], settings=LineSettings(chance=bytes))
            staying = asyncio.create_task(line.dial(field_.meter, host="127.0.0.1", port=field_.port))
            await field_.until(field_.tools.connected)
            await field_.collect()
            hello = DataNotification(0, None, structure(octets(system_title(field_.meter)), octets(b"me"))).encoded
            strangers = [await asyncio.open_connection("127.0.0.1", field_.port) for _ in range(6)]
            for _, writer in strangers:
                writer.write(Packet(1, 1, hello).encoded)
            await field_.until(
                lambda: any(reader.at_eof() for reader, _ in strangers)
            )  # the oldest stranger goes, the meter stays
            head.submit("off", "switch_off")
            assert (await field_.collect()).reached == 1
            assert head.command("off").state == "confirmed"
            for _, writer in strangers:
                writer.close()
            staying.cancel()
            await asyncio.gather(staying, return_exceptions=True)

    asyncio.run(story())


def test_callers_are_bounded_in_number_and_time(head: HeadEnd) -> None:
    async def story() -> None:
        async with a_field(head, settings=ListenerSettings(connections=1, idle=0.2)) as field_:
            silent, quiet = await asyncio.open_connection("127.0.0.1", field_.port)
            one_more, writer = await asyncio.open_connection("127.0.0.1", field_.port)
            assert await one_more.read() == b""
            assert await silent.read() == b""  # it said nothing in its time
            for each in (quiet, writer):
                each.close()

    asyncio.run(story())


def test_in_another_event_loop_nobody_is_connected(head: HeadEnd) -> None:
    async def story() -> None:
        async with a_field(head, dials=True) as field_:
            line = MeterLine([field_.meter], settings=LineSettings(chance=bytes))
            staying = asyncio.create_task(line.dial(field_.meter, host="127.0.0.1", port=field_.port))
            await field_.until(field_.tools.connected)

            async def elsewhere() -> int:
                return len(field_.tools.connected())

            assert await asyncio.to_thread(asyncio.run, elsewhere()) == 0
            staying.cancel()
            await asyncio.gather(staying, return_exceptions=True)

    asyncio.run(story())
