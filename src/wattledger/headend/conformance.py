"""What every driver has to pass. Usable from outside, with any pytest::

    from wattledger.headend.conformance import DriverConformance

    class TestMyDriver(DriverConformance):
        @asynccontextmanager
        async def rig(self):
            async with my_test_meter() as meter:
                yield MyRig(meter)

The author brings a :class:`Rig`: a meter of theirs to talk to (simulated or on the bench), what is in it, and levers
that make it fail. What a protocol has not (:class:`~wattledger.headend.ports.Unsupported`), and what a rig cannot show,
is skipped.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import fields
from datetime import timedelta
from itertools import pairwise
from typing import Literal, Protocol, TypeAlias, TypeVar
from unittest import SkipTest

from wattledger.headend.ports import (
    BadKey,
    BadTag,
    Driver,
    KeySet,
    LoggedEvent,
    Malformed,
    MeterFault,
    MeterLink,
    MeterTimeout,
    ProfileRows,
    RefusedByMeter,
    Register,
    Replay,
    Secret,
    Session,
    Unreachable,
    Unsupported,
)
from wattledger.kernel import Clock, epoch

_T = TypeVar("_T")

Trouble: TypeAlias = Literal[
    "unreachable",
    "silent",
    "bad_tag",
    "replay",
    "truncated",
    "refusing",
    "stuck_relay",
    "ready_for_reconnection",
]

_LONGEST = 20  # seconds that any healthy conversation may take
_CLOCK_APART_MAX = 2  # seconds between a clock that was set and the same read back


class PlainCounters:
    """Counters that live in memory: for tests of drivers, never for a meter in service."""

    def __init__(self, *, first: int = 0) -> None:
        self.next = first
        self.given: list[int] = []
        self.resynced: list[int] = []
        self._highest: dict[str, int] = {}

    async def reserve(self, count: int = 1) -> None:
        """There are always enough."""

    def outbound(self) -> int:
        """The next number."""
        self.given.append(self.next)
        self.next += 1
        return self.given[-1]

    def heard(self, *, stream: str = "unicast") -> int:
        """The highest so far."""
        return self._highest.get(stream, -1)

    def inbound(self, value: int, *, stream: str = "unicast") -> None:
        """Refuse what does not rise."""
        if value <= self._highest.get(stream, -1):
            raise Replay(f"counter {value} after {self._highest[stream]}")
        self._highest[stream] = value

    async def resync(self, value: int) -> None:
        """Rise to ``value``."""
        self.resynced.append(value)
        self.next = max(self.next, value)


class Rig(Protocol):
    """A meter to talk to, and what is in it."""

    @property
    def driver(self) -> Driver:
        """The driver under test."""
        ...

    @property
    def link(self) -> MeterLink:
        """How it reaches the meter."""
        ...

    @property
    def keys(self) -> KeySet:
        """The keys that are in the meter at first, the master key with them."""
        ...

    @property
    def clock(self) -> Clock:
        """The time by which the meter's own clock is right."""
        ...

    @property
    def registers(self) -> Sequence[Register]:
        """Registers and what they stand at; ``at`` is not looked at."""
        ...

    @property
    def profile(self) -> str:
        """The name of a profile."""
        ...

    @property
    def seconds(self) -> int:
        """The length of its intervals."""
        ...

    @property
    def rows(self) -> ProfileRows:
        """All rows of it: at least four, without a hole."""
        ...

    @property
    def events(self) -> Sequence[LoggedEvent]:
        """All entries of one log, at least two, the first before the last."""
        ...

    def new_keys(self) -> KeySet:
        """Other keys, of the next generation, that the meter could be given."""
        ...

    def show(self, trouble: Trouble) -> bool:
        """Let the meter behave so from now on; False when this rig cannot show it.

        ``unreachable``  nothing answers at its address
        ``silent``       a connection is made, and nothing is answered
        ``bad_tag``      a bit of what it sends is wrong
        ``replay``       it sends an earlier frame again
        ``truncated``    what it sends ends in the middle
        ``refusing``     it denies every read
        ``stuck_relay``  it accepts what is asked of its relay, and does nothing
        ``ready_for_reconnection``  asked to reconnect it accepts, and waits for somebody to press its button
        """
        ...

    def heal(self) -> None:
        """Behave again."""
        ...


_Act: TypeAlias = Callable[[Rig], Awaitable[None]]


def _expect(holds: bool, said: str) -> None:  # noqa: FBT001 - reads as the assert that it is
    if not holds:
        raise AssertionError(said)


def _same_rows(got: ProfileRows, wanted: ProfileRows, said: str) -> None:
    _expect(got.channels == wanted.channels, f"{said}: channels {got.channels}, not {wanted.channels}")
    _expect(got.starts.tolist() == wanted.starts.tolist(), f"{said}: other starts")
    _expect(got.values.tolist() == wanted.values.tolist(), f"{said}: other values")
    _expect(got.status.tolist() == wanted.status.tolist(), f"{said}: other status bits")


async def _or_skip(done: Awaitable[_T]) -> _T:
    try:
        return await done
    except Unsupported as fault:
        raise SkipTest(f"unsupported: {fault}") from fault


def _period(rig: Rig) -> tuple[int, int]:
    return int(rig.rows.starts[0]), int(rig.rows.starts[-1]) + rig.seconds


async def _whole(session: Session, rig: Rig) -> ProfileRows:
    start, end = _period(rig)
    return await session.read_profile(profile=rig.profile, start=start, end=end)


class DriverConformance:
    """Inherit, and say in :meth:`rig` what to talk to. Every test makes a rig of its own."""

    def rig(self) -> AbstractAsyncContextManager[Rig]:
        """A fresh meter."""
        raise NotImplementedError

    def _opened(
        self, rig: Rig, *, keys: KeySet | None = None, counters: PlainCounters | None = None
    ) -> AbstractAsyncContextManager[Session]:
        keys = rig.keys if keys is None else keys
        if counters is None:
            # Ours go on from one generation of keys to the next; the meter's may begin anew.
            first = max((known.next for known in self._counters.values()), default=1)
            counters = self._counters.setdefault(keys.generation, PlainCounters(first=first))
            counters.next = max(counters.next, first)
        return rig.driver.open(rig.link, keys=keys, counters=counters, clock=rig.clock)

    def _run(self, act: _Act) -> None:
        self._counters: dict[int, PlainCounters] = {}

        async def run() -> None:
            async with asyncio.timeout(_LONGEST), self.rig() as rig:
                await act(rig)

        asyncio.run(run())

    def test_a_driver_and_its_links_have_one_name(self) -> None:
        """The driver's name is what links call it."""

        async def act(rig: Rig) -> None:
            _expect(rig.driver.name == rig.link.driver, f"{rig.driver.name} is not {rig.link.driver}")

        self._run(act)

    def test_the_clock_is_read(self) -> None:
        """UTC, whatever zone the meter keeps."""

        async def act(rig: Rig) -> None:
            async with self._opened(rig) as session:
                at = (await session.read_clock()).at
            _expect(abs(at - epoch(rig.clock.now())) <= _CLOCK_APART_MAX, f"the clock was read as {at}")

        self._run(act)

    def test_the_clock_is_set(self) -> None:
        """What was set is read back."""

        async def act(rig: Rig) -> None:
            wanted = rig.clock.now() + timedelta(seconds=40)
            async with self._opened(rig) as session:
                await _or_skip(session.set_clock(at=wanted))
                at = (await session.read_clock()).at
            _expect(abs(at - epoch(wanted)) <= _CLOCK_APART_MAX, f"set to {epoch(wanted)}, read as {at}")

        self._run(act)

    def test_registers_come_in_the_order_asked_and_missing_ones_not_at_all(self) -> None:
        """A meter without a register is no failure."""

        async def act(rig: Rig) -> None:
            names = [register.channel.name for register in reversed(rig.registers)]
            async with self._opened(rig) as session:
                got = await session.read_registers(names=[*names, "1-0:99.99.99"])
            wanted = [(register.channel, register.value) for register in reversed(rig.registers)]
            _expect([(register.channel, register.value) for register in got] == wanted, f"read {got}")

        self._run(act)

    def test_a_profile_is_read_whole(self) -> None:
        """Every row, with its status."""

        async def act(rig: Rig) -> None:
            async with self._opened(rig) as session:
                _same_rows(await _whole(session, rig), rig.rows, "the whole profile")

        self._run(act)

    def test_a_profile_in_pieces_is_the_profile(self) -> None:
        """Periods are half-open: a row is in exactly one of two that meet."""

        async def act(rig: Rig) -> None:
            start, end = _period(rig)
            cuts = [start, int(rig.rows.starts[1]), int(rig.rows.starts[3]), end]
            async with self._opened(rig) as session:
                for a, b in pairwise(cuts):
                    got = await session.read_profile(profile=rig.profile, start=a, end=b)
                    _same_rows(got, rig.rows.within(a, b), f"[{a}, {b})")

        self._run(act)

    def test_a_period_without_rows_is_an_answer(self) -> None:
        """No rows, and no failure."""

        async def act(rig: Rig) -> None:
            start, _ = _period(rig)
            async with self._opened(rig) as session:
                got = await session.read_profile(profile=rig.profile, start=start - 8 * rig.seconds, end=start)
            _expect(len(got) == 0, f"{len(got)} rows from before the first")

        self._run(act)

    def test_events_are_read_since_an_instant(self) -> None:
        """The instant itself belongs to it."""

        async def act(rig: Rig) -> None:
            first, last = rig.events[0], rig.events[-1]
            async with self._opened(rig) as session:
                whole = await _or_skip(session.read_events(log=first.log, since=first.at))
                tail = await session.read_events(log=first.log, since=first.at + 1)
                none = await session.read_events(log=first.log, since=last.at + 1)
            _expect(list(whole) == list(rig.events), f"read {whole}")
            _expect(list(tail) == [one for one in rig.events if one.at > first.at], f"read {tail}")
            _expect(not none, f"read {none}")

        self._run(act)

    def test_the_relay_does_what_it_is_asked(self) -> None:
        """Off and on again, both attributes read back."""

        async def act(rig: Rig) -> None:
            async with self._opened(rig) as session:
                for on, state in ((False, "disconnected"), (True, "connected")):
                    await _or_skip(session.switch(on=on))
                    relay = await session.read_relay()
                    _expect((relay.output_state, relay.control_state) == (on, state), f"on={on}: {relay}")

        self._run(act)

    def test_a_stuck_relay_is_seen(self) -> None:
        """Accepted is not done: the driver neither raises nor makes it up."""

        async def act(rig: Rig) -> None:
            self._shown(rig, "stuck_relay")
            async with self._opened(rig) as session:
                await _or_skip(session.switch(on=False))
                relay = await session.read_relay()
            _expect(relay.output_state and relay.control_state == "connected", f"read back {relay}")

        self._run(act)

    def test_ready_for_reconnection_is_seen(self) -> None:
        """The supply is off until somebody presses the button."""

        async def act(rig: Rig) -> None:
            self._shown(rig, "ready_for_reconnection")
            async with self._opened(rig) as session:
                await _or_skip(session.switch(on=False))
                await session.switch(on=True)
                relay = await session.read_relay()
            _expect(not relay.output_state, f"read back {relay}")
            _expect(relay.control_state == "ready_for_reconnection", f"read back {relay}")

        self._run(act)

    def test_the_limit_is_set(self) -> None:
        """Watts in, watts out."""

        async def act(rig: Rig) -> None:
            async with self._opened(rig) as session:
                for watts in (3_000, 0, 12_345):
                    await _or_skip(session.set_limit(watts=watts))
                    got = await session.read_limit()
                    _expect(got == watts, f"set {watts}, read {got}")

        self._run(act)

    def test_new_keys_open_the_meter_and_old_ones_no_more(self) -> None:
        """What was installed counts from the next conversation on, at the latest."""

        async def act(rig: Rig) -> None:
            old, new = rig.keys, rig.new_keys()
            async with self._opened(rig, keys=old) as session:
                await _or_skip(session.install_keys(keys=new))
            async with self._opened(rig, keys=new) as session:
                await session.read_clock()
            await self._fails(rig, (BadKey, BadTag), keys=old)

        self._run(act)

    def test_a_wrong_key_is_a_bad_key(self) -> None:
        """Told apart from a meter that does not answer."""

        async def act(rig: Rig) -> None:
            if rig.keys == KeySet(generation=rig.keys.generation):
                raise SkipTest("this meter has no keys")
            await self._fails(rig, (BadKey, BadTag), keys=rig.new_keys())

        self._run(act)

    def test_counters_behind_the_meter_are_brought_up_or_told(self) -> None:
        """A counter that was lost never ends in silence."""

        async def act(rig: Rig) -> None:
            ahead = PlainCounters(first=500)
            async with self._opened(rig, counters=ahead) as session:
                await session.read_clock()
            if not ahead.given:
                raise SkipTest("this protocol counts nothing")
            behind = PlainCounters(first=1)
            try:
                async with self._opened(rig, counters=behind) as session:
                    await session.read_clock()
            except MeterFault:
                return
            _expect(bool(behind.resynced), "an old counter was taken, or used without asking the meter")
            _expect(len(set(behind.given)) == len(behind.given), "a counter was used twice")

        self._run(act)

    def test_a_meter_that_nothing_answers_for_is_unreachable(self) -> None:
        """Nothing was said, so nothing can have taken effect."""
        self._troubled("unreachable", (Unreachable,))

    def test_a_changed_frame_is_a_bad_tag(self) -> None:
        """Authentication is looked at."""
        self._troubled("bad_tag", (BadTag,))

    def test_a_repeated_frame_is_a_replay(self) -> None:
        """Counters are looked at."""
        self._troubled("replay", (Replay,))

    def test_a_truncated_answer_is_malformed(self) -> None:
        """Or, where nothing tells that it is over, one that does not come."""
        self._troubled("truncated", (Malformed, MeterTimeout, TimeoutError))

    def test_a_refusal_is_a_refusal(self) -> None:
        """No is an answer."""
        self._troubled("refusing", (RefusedByMeter,))

    def test_a_silent_meter_holds_nobody_up_and_nothing_is_left_behind(self) -> None:
        """Being cancelled is clean: once the meter answers again, so does the driver."""

        async def act(rig: Rig) -> None:
            self._shown(rig, "silent")
            await self._fails(rig, (MeterTimeout, TimeoutError))
            rig.heal()
            async with self._opened(rig) as session:
                await session.read_clock()

        self._run(act)

    def _troubled(self, trouble: Trouble, kinds: tuple[type[Exception], ...]) -> None:
        async def act(rig: Rig) -> None:
            self._shown(rig, trouble)
            await self._fails(rig, kinds)
            rig.heal()
            async with self._opened(rig) as session:
                _same_rows(await _whole(session, rig), rig.rows, f"after {trouble}")

        self._run(act)

    def _shown(self, rig: Rig, trouble: Trouble) -> None:
        if not rig.show(trouble):
            raise SkipTest(f"this rig cannot show {trouble}")

    async def _fails(self, rig: Rig, kinds: tuple[type[Exception], ...], *, keys: KeySet | None = None) -> None:
        """Expect opening, or reading, to fail as one of ``kinds``, without a key in what is told."""
        try:
            async with asyncio.timeout(2), self._opened(rig, keys=keys) as session:
                await session.read_clock()
                await _whole(session, rig)
        except kinds as fault:
            told = "".join(traceback.format_exception(fault)) + repr(fault)
            for one in (rig.keys, keys or rig.keys):
                for name in (f.name for f in fields(one)):
                    secret = getattr(one, name)
                    if isinstance(secret, Secret):
                        plain = secret.reveal()
                        _expect(plain.hex() not in told.lower(), f"the {name} key stands in the error")
                        _expect(repr(plain) not in told, f"the {name} key stands in the error")
        else:
            raise AssertionError(f"nothing failed; expected {' or '.join(kind.__name__ for kind in kinds)}")
