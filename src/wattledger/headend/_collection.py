"""Collection: many meters at a time, a bounded number of conversations, and one unit of work for many of them.

::

    claim ──► visits under way ──► outcomes ──► keep: readings, gaps, events, counters, what is next
    (one unit of work             (gathered)    (one unit of work for a batch of meters)
     for a batch)

A meter that is slow holds up nobody but its own place. What a process had under way when it died was not kept, so it is
still due: the leases run out, and it is collected again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar, final

from wattledger.headend._asks import keep_answers, waiting_asks
from wattledger.headend._clocks import ClockPolicy, keep_clocks, put_off
from wattledger.headend._commands import expire_commands, note_relay, open_commands
from wattledger.headend._counters import (
    Block,
    MeterCounters,
    Want,
    heard,
    remember_heard,
    reserve_counters,
    spent,
)
from wattledger.headend._drivers import driver_named
from wattledger.headend._events import due_logs, record_events
from wattledger.headend._gaps import shortest_intervals, take_deliveries, wanted_reads
from wattledger.headend._keys import KeysSealed, Vault, candidates, note_rotation, settle_rotation
from wattledger.headend._metrics import Metrics
from wattledger.headend._queue import Jitter, Lease, RetryPolicy, Trouble, lease, release
from wattledger.headend._visit import Outcome, Pause, Visit, VisitLimits, Visitor, lasts
from wattledger.headend.ports import Driver, ReadingSink
from wattledger.kernel import Clock, Problem, new_id
from wattledger.store import Store, Transaction

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionPolicy:
    """How meters are collected.

    ``sessions``          conversations at a time, in this process
    ``per_concentrator``  conversations at a time behind one concentrator, in all processes
    ``batch``             visits that are kept in one unit of work
    ``linger``            seconds that the first of a batch waits for the others, at most
    ``reads_max``         range reads in one visit; what is left is read in the next
    ``registers``         names of registers that are read at each visit
    """

    sessions: int = 200
    per_concentrator: int = 4
    batch: int = 250
    linger: float = 1
    reads_max: int = 8
    registers: tuple[str, ...] = ()
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    limits: VisitLimits = field(default_factory=VisitLimits)
    clocks: ClockPolicy = field(default_factory=ClockPolicy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What a round of collection did. ``failed`` counts visits by the kind of their failure."""

    reached: int
    failed: Mapping[str, int]
    rows: int
    took: timedelta


@dataclass(slots=True, kw_only=True)
class Tools:
    """What collection is handed: where things are kept, who speaks, who takes readings, keys, time and chance.

    ``connected`` tells which of the meters that connect in can be talked to in this event loop.
    ``vault`` may be ``None`` where no meter has keys. ``pause`` waits between read-backs. ``clock_speed`` is how many
    seconds of ``clock`` pass in one of life: a conversation takes its time in life, whatever the clock says.
    """

    store: Store
    drivers: Mapping[str, Driver]
    sink: ReadingSink
    vault: Vault | None
    clock: Clock
    jitter: Jitter
    metrics: Metrics = field(default_factory=Metrics)
    pause: Pause = asyncio.sleep
    clock_speed: int = 1
    connected: Callable[[], Collection[str]] = tuple


async def collect(
    *, tools: Tools, policy: CollectionPolicy, only: Collection[str] | None = None, steadily: bool = False
) -> Collected:
    """Talk to every meter, or to ``only`` these, that there is something to ask now; ends when none is left.

    ``steadily`` is for whoever collects all the time: meters that become due while slow ones are waited for are talked
    to at once, so the round may last as long as there is always one.

    Being cancelled leaves everything true: what was kept is kept, what was not is still due.
    """
    return await _Round(tools, policy, only, steadily=steadily).run()


@final
class _Round:
    def __init__(self, tools: Tools, policy: CollectionPolicy, only: Collection[str] | None, *, steadily: bool) -> None:
        self._tools, self._policy, self._only, self._steadily = tools, policy, only, steadily
        self._holder = new_id("visit")
        self._visitor = Visitor(
            clock=tools.clock,
            write=self._write,
            limits=policy.limits,
            clocks=policy.clocks.at_speed(tools.clock_speed),
            pause=tools.pause,
        )
        self._database = asyncio.Lock()  # one unit of work at a time: SQLite has one writer, and waits by polling
        self._under_way: set[asyncio.Task[None]] = set()
        self._ended: list[Outcome] = []
        self._more = asyncio.Event()  # something ended
        self._broken: BaseException | None = None
        self._reached = self._rows = 0
        self._failed: Counter[str] = Counter()

    async def run(self) -> Collected:
        began = self._tools.clock.now()
        exhausted = False
        try:
            while True:
                free = self._policy.sessions - len(self._under_way)
                if free > 0 and not exhausted and len(self._ended) < 2 * self._policy.batch:
                    visits = await self._claim(free)
                    exhausted = len(visits) == 0
                    for visit in visits:
                        self._begin(visit)
                if not self._under_way and not self._ended:
                    if exhausted:
                        break
                    continue
                await self._gather()
                if self._broken is not None:
                    raise self._broken
                if self._ended:
                    await self._keep_batch()
                exhausted = False  # a meter may be due again, or a place behind its concentrator free
        finally:
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)
        return Collected(
            reached=self._reached,
            failed=dict(self._failed),
            rows=self._rows,
            took=self._tools.clock.now() - began,
        )

    # --- Visits ---

    def _begin(self, visit: Visit | Outcome) -> None:
        if isinstance(visit, Outcome):
            self._ended.append(visit)
            return
        task = asyncio.create_task(self._visit(visit))
        self._under_way.add(task)
        self._tools.metrics.under_way += 1
        task.add_done_callback(self._left)

    def _left(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._tools.metrics.under_way -= 1
        if not task.cancelled() and task.exception() is not None:
            self._broken = task.exception()  # a mistake of ours: a driver's ends one visit only
        self._more.set()

    async def _visit(self, visit: Visit) -> None:
        began = self._tools.clock.now()
        try:
            driver = driver_named(self._tools.drivers, name=visit.lease.link.driver)
        except Problem as problem:
            trouble: Trouble = ("error", str(problem))
            self._ended.append(Outcome(lease=visit.lease, counters=visit.counters, trouble=trouble))
            return
        # Not in one line: while the visit lasts the list of those that ended is made anew.
        outcome = await self._visitor.visit(visit, driver=driver)
        self._ended.append(outcome)
        self._tools.metrics.spent += self._tools.clock.now() - began

    async def _gather(self) -> None:
        """Wait until a batch has ended, or the first of it waited long enough, or nothing is under way.

        Where meters are collected steadily nothing may have ended: it is time to look who else is due.
        """
        try:
            async with asyncio.timeout(self._policy.linger if self._steadily else None):
                while not self._ended and self._under_way:
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            return
        try:
            async with asyncio.timeout(self._policy.linger):
                while self._under_way and len(self._ended) < min(self._policy.batch, self._policy.sessions // 2 or 1):
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            pass

    # --- The database ---

    async def _write(self, work: Callable[[Transaction], _T], /) -> _T:
        async with self._database:
            return await asyncio.to_thread(self._committed, work)

    def _committed(self, work: Callable[[Transaction], _T]) -> _T:
        with self._tools.store.write() as tx:
            return work(tx)

    async def _claim(self, limit: int) -> list[Visit | Outcome]:
        connected = self._tools.connected()
        return await self._write(partial(self._claimed, limit=min(limit, self._policy.batch), connected=connected))

    def _claimed(self, tx: Transaction, *, limit: int, connected: Collection[str]) -> list[Visit | Outcome]:
        """Lease meters, and find all that they are to be asked. One whose visit cannot begin has ended."""
        now = self._tools.clock.now()
        if self._only is None:
            expire_commands(tx, now=now)
        leases = lease(
            tx,
            holder=self._holder,
            limit=limit,
            per_concentrator=self._policy.per_concentrator,
            now=now,
            until=now + lasts(self._policy.limits) * self._tools.clock_speed,
            only=self._only,
            connected=connected,
        )
        ids = [one.link.meter_id for one in leases]
        if not ids:
            return []
        asks = waiting_asks(tx, meter_ids=ids, now=now)
        commands = open_commands(tx, meter_ids=ids, now=now)
        reads = wanted_reads(tx, meter_ids=ids, now=now)
        seconds = shortest_intervals(tx, meter_ids=ids)
        logs = due_logs(tx, meter_ids=ids, now=now)
        keys = candidates(tx, meter_ids=ids, vault=self._tools.vault)
        came = heard(tx, meter_ids=ids)
        clocks = put_off(tx, meter_ids=ids, now=now)
        blocks = reserve_counters(tx, wants=dict.fromkeys(ids, Want()))
        visits: list[Visit | Outcome] = []
        for one in leases:
            meter_id = one.link.meter_id
            known = keys.get(meter_id, [])
            counters = self._counters(meter_id, blocks.get(meter_id), came.get(meter_id, {}))
            if isinstance(known, KeysSealed) or meter_id not in blocks:
                problem = known if isinstance(known, KeysSealed) else spent(meter_id)
                visits.append(_ended_before(one, counters, problem))
                continue
            visits.append(
                Visit(
                    lease=one,
                    candidates=known,
                    counters=counters,
                    reads=reads.get(meter_id, [])[: self._policy.reads_max],
                    asks=asks.get(meter_id, []),
                    commands=commands.get(meter_id, []),
                    logs=logs.get(meter_id, []),
                    registers=self._policy.registers,
                    seconds=seconds.get(meter_id, 900),
                    clock_put_off=meter_id in clocks,
                )
            )
        return visits

    def _counters(self, meter_id: str, block: Block | None, came: Mapping[tuple[int, str], int]) -> MeterCounters:
        async def more(want: Want) -> Block:
            blocks = await self._write(partial(reserve_counters, wants={meter_id: want}))
            if meter_id not in blocks:
                raise spent(meter_id)
            return blocks[meter_id]

        return MeterCounters(generation=0, block=block or Block(0, 0), heard=came, more=more)

    async def _keep_batch(self) -> None:
        batch, self._ended = self._ended[: self._policy.batch], self._ended[self._policy.batch :]
        async with self._database:
            new = await asyncio.to_thread(self._kept, batch)
        metrics = self._tools.metrics
        metrics.batches += 1
        metrics.events += new
        for outcome in batch:
            self._rows += outcome.rows
            metrics.rows += outcome.rows
            if outcome.trouble is None:
                self._reached += 1
                metrics.reached += 1
            else:
                self._failed[outcome.trouble[0]] += 1
                metrics.failed[outcome.trouble[0]] += 1

    def _kept(self, batch: Sequence[Outcome]) -> int:
        """Keep what these visits brought together; where that fails, each for itself: a bad one fails alone."""
        now = self._tools.clock.now()
        try:
            return self._committed(partial(self._keep, batch=batch, now=now))
        except Exception as error:  # noqa: BLE001 - whatever one of them brought, the others go on
            if len(batch) > 1:
                return sum(self._kept([one]) for one in batch)
            _log.exception("what %s brought cannot be kept", batch[0].meter_id)
            (outcome,) = batch
            words = str(error) if isinstance(error, Problem) else type(error).__name__
            bare = Outcome(lease=outcome.lease, counters=outcome.counters, proved=outcome.proved)
            outcome.trouble = bare.trouble = ("error", f"what it brought cannot be kept: {words}")
            outcome.deliveries.clear()
            return self._committed(partial(self._keep, batch=[bare], now=now))

    def _keep(self, tx: Transaction, *, batch: Sequence[Outcome], now: datetime) -> int:
        """Everything that these visits brought, in one unit of work; returns how many log entries were new."""
        sink = self._tools.sink
        deliveries = [one for outcome in batch for one in outcome.deliveries]
        take_deliveries(tx, deliveries=deliveries, sink=sink, retry=self._policy.retry, now=now)
        registers = [(outcome.meter_id, outcome.registers) for outcome in batch if outcome.registers]
        if registers:
            sink.take_registers(tx, registers=registers, now=now)
        new = record_events(
            tx,
            events=[(outcome.meter_id, event) for outcome in batch for event in outcome.events],
            read=[(outcome.meter_id, log) for outcome in batch for log in outcome.logs],
            now=now,
        )
        remember_heard(tx, told={outcome.meter_id: outcome.counters.risen for outcome in batch})
        keep_clocks(
            tx,
            offs={outcome.meter_id: outcome.clock_off for outcome in batch if outcome.clock_off is not None},
            steps=[outcome.clock_step for outcome in batch if outcome.clock_step is not None],
            now=now,
        )
        for outcome in batch:
            if outcome.relay is not None:
                note_relay(tx, meter_id=outcome.meter_id, relay=outcome.relay, now=now)
            if outcome.proved is not None:
                settle_rotation(tx, meter_id=outcome.meter_id, generation=outcome.proved, now=now)
            if outcome.unproved is not None:
                generation, words = outcome.unproved
                note_rotation(tx, meter_id=outcome.meter_id, generation=generation, detail=words, now=now)
        keep_answers(tx, answers={key: answer for one in batch for key, answer in one.answers.items()}, now=now)
        release(
            tx,
            ended={outcome.meter_id: outcome.trouble for outcome in batch},
            holder=self._holder,
            retry=self._policy.retry,
            jitter=self._tools.jitter,
            now=now,
        )
        return new


def _ended_before(one: Lease, counters: MeterCounters, problem: Problem) -> Outcome:
    return Outcome(lease=one, counters=counters, trouble=("error", str(problem)))
