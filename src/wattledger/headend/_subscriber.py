"""What meters behind MQTT brokers push: heard for as long as they are linked, kept many at a time."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NoReturn, final

from wattledger.headend._collection import Tools
from wattledger.headend._counters import Block, MeterCounters, Want, heard, remember_heard
from wattledger.headend._gaps import expected_seconds, take_deliveries
from wattledger.headend._keys import KeysSealed, candidates
from wattledger.headend._mqtt_broker import Line, Plan
from wattledger.headend._pushes import Kept, keep_from, kept_together, refuse
from wattledger.headend._queue import RetryPolicy, reschedule, spoken_with
from wattledger.headend.mqtt import MqttDriver, Pushed, PushingMeter
from wattledger.headend.ports import KeySet, MeterFault, MeterLink
from wattledger.store import Transaction

_log = logging.getLogger(__name__)

_QUEUE, _BATCH, _LINGER = 2_000, 250, 0.2


@dataclass(slots=True)
class _Group:
    """Meters behind one broker, heard over one connection."""

    told: list[tuple[MeterLink, int]] = field(default_factory=list)
    """What they were linked with, and under which keys: once it is another they are heard anew."""
    meters: list[PushingMeter] = field(default_factory=list)
    counters: dict[str, MeterCounters] = field(default_factory=dict)
    hearing: asyncio.Task[None] | None = None


@asynccontextmanager
async def subscribing(
    *,
    tools: Tools,
    retry: RetryPolicy,
    kept: Callable[[], None],
    look_every: float,
) -> AsyncIterator[None]:
    """Hear every meter that is linked by MQTT for as long as it is entered; see ``hearing``."""
    driver = tools.drivers.get("mqtt")
    if not isinstance(driver, MqttDriver):
        yield
        return
    subscriber = _Subscriber(tools, driver, retry, kept)
    tasks = [asyncio.create_task(work) for work in (subscriber.keep(), subscriber.look(look_every))]
    try:
        yield
    finally:
        tasks += subscriber.hearing()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@final
class _Subscriber:
    def __init__(self, tools: Tools, driver: MqttDriver, retry: RetryPolicy, kept: Callable[[], None]) -> None:
        self._tools, self._driver, self._retry, self._say_kept = tools, driver, retry, kept
        self._came: asyncio.Queue[tuple[Pushed, MeterCounters]] = asyncio.Queue(_QUEUE)
        self._groups: dict[Line, _Group] = {}

    def hearing(self) -> list[asyncio.Task[None]]:
        """All that is under way."""
        return [group.hearing for group in self._groups.values() if group.hearing is not None]

    async def look(self, every: float) -> NoReturn:
        """Look who is to be heard, again and again."""
        while True:
            wanted = await asyncio.to_thread(self._wanted)
            for line, group in list(self._groups.items()):
                other = line not in wanted or wanted[line].told != group.told
                if group.hearing is not None and (other or group.hearing.done()):
                    group.hearing.cancel()
                    await asyncio.gather(group.hearing, return_exceptions=True)
                    del self._groups[line]
            for line, group in wanted.items():
                if line not in self._groups:
                    group.hearing = asyncio.create_task(self._hear(group))
                    self._groups[line] = group
            await asyncio.sleep(every)

    def _wanted(self) -> dict[Line, _Group]:
        with self._tools.store.read() as tx:
            links = spoken_with(tx, driver=self._driver.name)
            ids = [link.meter_id for link in links]
            keys = candidates(tx, meter_ids=ids, vault=self._tools.vault)
            came = heard(tx, meter_ids=ids)
        found: dict[Line, _Group] = defaultdict(_Group)
        for link in links:
            known = keys.get(link.meter_id, [])
            if isinstance(known, KeysSealed):
                continue  # each visit tells
            its = next((one.keys for one in known if one.standing == "active"), KeySet())
            counters = MeterCounters(
                generation=its.generation, block=Block(0, 0), heard=came.get(link.meter_id, {}), more=_none
            )
            try:
                group = found[Plan.of(link, keys=its).line]
            except MeterFault as fault:
                _log.info("what it pushes cannot be heard: %s", fault)
                continue
            group.told.append((link, its.generation))
            group.meters.append(PushingMeter(link=link, keys=its, counters=counters))
            group.counters[link.meter_id] = counters
        return dict(found)

    async def _hear(self, group: _Group) -> None:
        try:
            async with self._driver.listening(group.meters, clock=self._tools.clock) as pushes:
                async for one in pushes:
                    await self._came.put((one, group.counters[one.meter_id]))
        except MeterFault as fault:
            _log.info("what %d meter(s) push is not heard for now: %s", len(group.meters), fault)

    async def keep(self) -> None:
        """Keep what came, batch by batch, until cancelled."""
        await keep_from(
            self._came,
            keep=lambda batch: kept_together(self._tools.store, batch, self._keep),
            metrics=self._tools.metrics,
            told=self._say_kept,
            batch=_BATCH,
            linger=_LINGER,
        )

    def _keep(self, tx: Transaction, batch: Sequence[tuple[Pushed, MeterCounters]]) -> Kept:
        now, kept = self._tools.clock.now(), Kept()
        senders = {one.meter_id: counters for one, counters in batch}
        seconds = expected_seconds(tx, meter_ids=senders.keys())
        deliveries = []
        for one, _ in batch:
            if one.delivery is None:
                refuse(kept, one.fault.kind if one.fault else "error", str(one.fault))
            elif seconds.get((one.meter_id, one.delivery.profile)) != one.delivery.seconds:
                refuse(kept, "unexpected", f"nobody expects {one.delivery.profile} of {one.meter_id} in such intervals")
            else:
                deliveries.append(one.delivery)
        take_deliveries(tx, deliveries=deliveries, sink=self._tools.sink, retry=self._retry, now=now)
        remember_heard(tx, told={meter_id: counters.risen for meter_id, counters in senders.items()})
        reschedule(tx, meter_ids={one.meter_id for one in deliveries}, now=now)
        kept.pushes, kept.rows = len(deliveries), sum(len(one.rows) for one in deliveries)
        return kept


async def _none(_: Want) -> Block:
    raise RuntimeError("who only listens sends nothing")
