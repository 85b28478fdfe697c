"""One conversation with one meter: commands, what somebody waits for, its clock, its profiles and logs, its keys.

A visit touches no database but where something has to stand before a frame goes out: a command is *sent* before it is
sent. What it brought is handed back, to be written down together with what other visits brought.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol, TypeVar

from wattledger.headend._asks import Answer, Ask, told_clock, told_events, told_registers, told_relay, told_rows
from wattledger.headend._clocks import ClockPolicy, ClockStep, plan_step
from wattledger.headend._commands import (
    Command,
    CommandEvent,
    CommandUnderWay,
    advance,
    judge_unknown,
    verdict_on_limit,
    verdict_on_relay,
)
from wattledger.headend._counters import MeterCounters
from wattledger.headend._events import LogRead
from wattledger.headend._gaps import RangeRead
from wattledger.headend._keys import Candidate
from wattledger.headend._queue import Lease, Trouble
from wattledger.headend.ports import (
    BadKey,
    BadTag,
    Delivery,
    Driver,
    KeySet,
    LoggedEvent,
    MeterFault,
    MeterTimeout,
    NoData,
    ProfileRows,
    RefusedByMeter,
    Register,
    Relay,
    Session,
    Unsupported,
)
from wattledger.kernel import Clock, Problem, epoch
from wattledger.store import Transaction

_T = TypeVar("_T")
_log = logging.getLogger(__name__)

_ANSWERS_NO = (RefusedByMeter, NoData, Unsupported)
"""What leaves the conversation as it is: the meter said no to one thing."""


class Write(Protocol):
    """Does something in a unit of work of its own, and returns when it is committed."""

    def __call__(self, work: Callable[[Transaction], _T], /) -> Awaitable[_T]:
        """Commit ``work`` and give what it returned."""
        ...


class Pause(Protocol):
    """Waits, as :func:`asyncio.sleep` does."""

    def __call__(self, seconds: float, /) -> Awaitable[object]:
        """Wait for so many seconds."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitLimits:
    """How long a conversation may take, in seconds.

    ``opening``, ``operation``  one step each
    ``whole``                   all of it; a lease lasts longer
    ``read_back``               the waits before a relay or limiter is read back again that has not moved yet
    """

    opening: int = 30
    operation: int = 60
    whole: int = 600
    read_back: tuple[int, ...] = (2, 5, 10)


@dataclass(slots=True, kw_only=True)
class Visit:
    """What a meter is visited for. ``seconds``: the shortest interval of its profiles."""

    lease: Lease
    candidates: Sequence[Candidate]
    counters: MeterCounters
    reads: Sequence[RangeRead] = ()
    asks: Sequence[Ask] = ()
    commands: Sequence[Command] = ()
    logs: Sequence[LogRead] = ()
    registers: Sequence[str] = ()
    seconds: int = 900
    clock_put_off: bool = False


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a visit brought. ``trouble`` tells why it ended early, or what the meter said no to."""

    lease: Lease
    counters: MeterCounters
    deliveries: list[Delivery] = field(default_factory=list)
    registers: list[Register] = field(default_factory=list)
    events: list[LoggedEvent] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    relay: Relay | None = None
    clock_off: int | None = None
    clock_step: ClockStep | None = None
    proved: int | None = None
    """The generation of keys that was new and under which the meter was talked to."""
    unproved: tuple[int, str] | None = None
    """A generation of keys that was sent and is not settled, and why."""
    trouble: Trouble | None = None

    @property
    def meter_id(self) -> str:
        """The meter."""
        return self.lease.link.meter_id

    @property
    def rows(self) -> int:
        """How many profile rows came."""
        return sum(len(one.rows) for one in self.deliveries)


@dataclass(slots=True)
class Visitor:
    """Talks to meters."""

    clock: Clock
    write: Write
    limits: VisitLimits = field(default_factory=VisitLimits)
    clocks: ClockPolicy = field(default_factory=ClockPolicy)
    pause: Pause = asyncio.sleep

    async def visit(self, visit: Visit, *, driver: Driver) -> Outcome:
        """Talk to one meter. Whatever goes wrong is told in the outcome, with what was brought until then."""
        outcome = Outcome(lease=visit.lease, counters=visit.counters)
        try:
            async with asyncio.timeout(self.limits.whole):
                await self._converse(visit, driver, outcome)
        except MeterFault as fault:
            outcome.trouble = (fault.kind, str(fault))
        except TimeoutError:
            outcome.trouble = ("timeout", f"the conversation took more than {self.limits.whole} s")
        except Problem as problem:
            outcome.trouble = ("error", str(problem))
        except Exception as error:  # noqa: BLE001 - a mistake in one driver must not end the round
            # The text of a stranger's error may hold anything, so it is not kept.
            _log.exception("the visit to %s failed", outcome.meter_id)
            outcome.trouble = ("error", f"{driver.name} failed with {type(error).__name__}")
        return outcome

    async def _converse(self, visit: Visit, driver: Driver, outcome: Outcome) -> None:
        new = next((one.keys for one in visit.candidates if one.standing == "new"), None)
        async with AsyncExitStack() as line:
            session, candidate = await self._opened(visit, driver, line)
            if candidate.standing == "new":
                outcome.proved = candidate.keys.generation
            try:
                await self._talk(visit, session, outcome)
                if new is not None and outcome.proved is None:
                    await self._install(session, new, outcome)
            finally:
                await self._left(line)
        if new is not None and outcome.proved is None and outcome.unproved is not None:
            await self._prove(visit, driver, new, outcome)

    async def _opened(
        self, visit: Visit, driver: Driver, line: AsyncExitStack, *, only: KeySet | None = None
    ) -> tuple[Session, Candidate]:
        """Open with the first keys that the meter takes: ACTIVE, then NEW, then half of each."""
        known = visit.candidates or [Candidate(KeySet(), "active")]
        tried = known if only is None else [Candidate(only, "new")]
        refused: MeterFault | None = None
        for candidate in tried:
            keys = candidate.keys
            counters = visit.counters.for_keys(keys.generation)
            try:
                async with asyncio.timeout(self.limits.opening):
                    session = await line.enter_async_context(
                        driver.open(visit.lease.link, keys=keys, counters=counters, clock=self.clock)
                    )
            except (BadKey, BadTag) as fault:
                refused = refused or fault
            except TimeoutError:
                raise MeterTimeout(f"no association within {self.limits.opening} s") from None
            else:
                return session, candidate
        assert refused is not None  # noqa: S101 - at least one candidate was tried
        raise refused

    async def _left(self, line: AsyncExitStack) -> None:
        try:
            async with asyncio.timeout(self.limits.opening):
                await line.aclose()
        except (MeterFault, TimeoutError):
            _log.debug("a meter did not say good-bye")

    async def _within(self, operation: Awaitable[_T]) -> _T:
        try:
            async with asyncio.timeout(self.limits.operation):
                return await operation
        except TimeoutError:
            raise MeterTimeout(f"no answer within {self.limits.operation} s") from None

    async def _talk(self, visit: Visit, session: Session, outcome: Outcome) -> None:
        for command in visit.commands:
            await self._unless_no(self._carry_out(command, session, outcome), outcome)
        for ask in visit.asks:
            await self._answer(ask, session, outcome)
        await self._look_at_clock(visit, session, outcome)
        if visit.registers:
            await self._unless_no(self._read_registers(visit, session, outcome), outcome)
        for read in visit.reads:
            await self._unless_no(self._read_profile(read, session, outcome), outcome)
        for log in visit.logs:
            await self._unless_no(self._read_log(log, session, outcome), outcome)

    async def _unless_no(self, step: Awaitable[object], outcome: Outcome) -> None:
        try:
            await step
        except _ANSWERS_NO as fault:
            outcome.trouble = (fault.kind, str(fault))

    # --- Commands ---

    async def _carry_out(self, command: Command, session: Session, outcome: Outcome) -> None:
        begun = await self._begun(command, session, outcome)
        if begun is None:
            return
        try:
            if begun.action == "set_limit":
                await self._within(session.set_limit(watts=begun.watts or 0))
            else:
                await self._within(session.switch(on=begun.action == "switch_on"))
        except _ANSWERS_NO as fault:
            await self._happened(begun, "refuse", detail=str(fault))
            return
        except MeterFault as fault:
            await self._happened(begun, "lose", detail=str(fault))
            raise
        await self._happened(begun, "accept")
        try:
            event, seen = await self._settled(begun, session, outcome)
        except MeterFault as fault:
            await self._happened(begun, "lose", detail=f"accepted, but not read back: {fault}")
            raise
        await self._happened(begun, event, seen=seen)

    async def _begun(self, command: Command, session: Session, outcome: Outcome) -> Command | None:
        """The command, marked as sent before it is; ``None`` when it is not to be sent."""
        if command.state == "unknown":
            event, seen = await self._seen(command, session, outcome)
            now = self.clock.now()
            command = await self.write(
                lambda tx: judge_unknown(tx, command_id=command.id, event=event, seen=seen, now=now)
            )
        if command.state != "queued":
            return None
        try:
            late = command.expires_at <= self.clock.now()
            command = await self._happened(command, "expire" if late else "send")
        except CommandUnderWay:
            return None  # it was withdrawn meanwhile
        return command if command.state == "sent" else None

    async def _settled(self, command: Command, session: Session, outcome: Outcome) -> tuple[CommandEvent, str]:
        """What is read back: at once, and again while nothing has moved, for a relay takes its time."""
        event, seen = await self._seen(command, session, outcome)
        for wait in self.limits.read_back:
            if event != "see_undone":
                break
            await self.pause(wait)
            event, seen = await self._seen(command, session, outcome)
        return event, seen

    async def _seen(self, command: Command, session: Session, outcome: Outcome) -> tuple[CommandEvent, str]:
        if command.action == "set_limit":
            watts = await self._within(session.read_limit())
            return verdict_on_limit(wanted=command.watts or 0, watts=watts)
        outcome.relay = relay = await self._within(session.read_relay())
        return verdict_on_relay(action=command.action, relay=relay)

    async def _happened(
        self, command: Command, event: CommandEvent, *, detail: str | None = None, seen: str | None = None
    ) -> Command:
        now = self.clock.now()
        return await self.write(
            lambda tx: advance(tx, command_id=command.id, event=event, detail=detail, seen=seen, now=now)
        )

    # --- Reads ---

    async def _answer(self, ask: Ask, session: Session, outcome: Outcome) -> None:
        try:
            content = await self._asked(ask, session, outcome)
        except _ANSWERS_NO as fault:
            outcome.answers[ask.id] = Answer(None, str(fault))
        else:
            outcome.answers[ask.id] = Answer(content)

    async def _asked(self, ask: Ask, session: Session, outcome: Outcome) -> dict[str, object]:
        if ask.what == "clock":
            clock = await self._within(session.read_clock())
            return told_clock(clock, off=clock.at - epoch(self.clock.now()))
        if ask.what == "registers":
            registers = await self._within(session.read_registers(names=ask.arguments["names"]))
            outcome.registers += registers
            return told_registers(registers)
        if ask.what == "relay":
            outcome.relay = await self._within(session.read_relay())
            return told_relay(outcome.relay)
        if ask.what == "limit":
            return {"watts": await self._within(session.read_limit())}
        if ask.what == "events":
            events = await self._within(session.read_events(log=ask.arguments["log"], since=ask.arguments["since"]))
            outcome.events += events
            return told_events(events)
        read = RangeRead(**ask.arguments)
        return told_rows(await self._read_profile(read, session, outcome))

    async def _read_registers(self, visit: Visit, session: Session, outcome: Outcome) -> None:
        outcome.registers += await self._within(session.read_registers(names=visit.registers))

    async def _read_profile(self, read: RangeRead, session: Session, outcome: Outcome) -> ProfileRows:
        got = await self._within(session.read_profile(profile=read.profile, start=read.start, end=read.end))
        rows = got.within(read.start, read.end)
        outcome.deliveries.append(
            Delivery(
                meter_id=outcome.meter_id,
                profile=read.profile,
                seconds=read.seconds,
                start=read.start,
                end=read.end,
                rows=rows,
                read_at=self.clock.now(),
            )
        )
        return rows

    async def _read_log(self, log: LogRead, session: Session, outcome: Outcome) -> None:
        outcome.events += await self._within(session.read_events(log=log.log, since=log.since))
        outcome.logs.append(log.log)

    # --- The clock ---

    async def _look_at_clock(self, visit: Visit, session: Session, outcome: Outcome) -> None:
        try:
            read = await self._within(session.read_clock())
            now = self.clock.now()
            outcome.clock_off = off = read.at - epoch(now)
            step = plan_step(
                off=off, now=now, policy=self.clocks, seconds=visit.seconds, put_off_before=visit.clock_put_off
            )
            if step is None:
                return
            done, crossed = step
            if done == "set":
                await self._within(session.set_clock(at=self.clock.now()))
        except _ANSWERS_NO:
            return  # a meter that keeps its own time, or takes it from its concentrator
        outcome.clock_step = ClockStep(
            meter_id=outcome.meter_id, at=now, off=off, outcome=done, crossed=crossed and done == "set"
        )

    # --- Keys ---

    async def _install(self, session: Session, new: KeySet, outcome: Outcome) -> None:
        """Send new keys, which were stored before; that they were taken is proved by opening with them."""
        outcome.unproved = (new.generation, "sent")
        try:
            await self._within(session.install_keys(keys=new))
        except _ANSWERS_NO as fault:
            outcome.unproved = (new.generation, str(fault))
            raise
        except MeterFault as fault:
            # The answer may be all that was lost.
            outcome.unproved = (new.generation, str(fault))

    async def _prove(self, visit: Visit, driver: Driver, new: KeySet, outcome: Outcome) -> None:
        async with AsyncExitStack() as line:
            try:
                session, _ = await self._opened(visit, driver, line, only=new)
                await self._within(session.read_clock())
            except MeterFault as fault:
                outcome.unproved = (new.generation, f"not proved: {fault}")
                raise
            finally:
                await self._left(line)
        outcome.proved, outcome.unproved = new.generation, None


def lasts(limits: VisitLimits) -> timedelta:
    """How long a lease has to last for a visit within these limits."""
    return timedelta(seconds=2 * limits.whole)
