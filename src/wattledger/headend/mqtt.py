"""The driver for meters that speak JSON over MQTT. Topics and payloads stand in ``docs/mqtt.md``.

A link's address is ``mqtt://broker[:port]/topic`` or ``mqtts://...``: the broker, and the topic below which the meter
has its own. What it may say in its options, all text:

===============  =========================================================================================
``user``         the user name that the broker knows us by; the password is the ``password`` of the keys
``ca``           a file of the authorities that may have signed the broker's certificate: the system's unless told
``certificate``  a file with our certificate, for brokers that ask for one
``key``          a file with its private key, where it is not in the same file
===============  =========================================================================================

With a ``unicast`` key every message is signed and counted, both ways; without one everything is in the clear. Nothing
is encrypted but by TLS. Meters that are reached through the same broker by the same user share one connection.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import get_args

from wattledger.dlms import wrap_key
from wattledger.headend._mqtt_broker import Arrived, Brokers, Lost, Plan, Post
from wattledger.headend._mqtt_messages import (
    MESSAGE_MAX,
    Fields,
    clipped,
    events,
    joined,
    profile_rows,
    read,
    register,
    written,
)
from wattledger.headend.ports import (
    BadKey,
    ControlState,
    Counters,
    Delivery,
    KeySet,
    LoggedEvent,
    Malformed,
    MeterClock,
    MeterFault,
    MeterLink,
    MeterTimeout,
    NoData,
    ProfileRows,
    RefusedByMeter,
    Register,
    Relay,
    Replay,
    Secret,
    Session,
    Unreachable,
    Unsupported,
)
from wattledger.kernel import Clock, epoch

Chance = Callable[[int], bytes]

VERSION = 1
"""Of the messages: what ``hello`` is answered with."""

_TOKEN_BYTES = 6
_ID = re.compile(r"([0-9a-f]{12})-([1-9]\d{0,8})")
_COUNTER_MAX = 2**32 - 1
_PAGES_MAX = 1_000
_NAMES_AT_ONCE = 100
_MODE_MAX = 6
_SECONDS_MAX = 86_400
_STATES: tuple[ControlState, ...] = get_args(ControlState)
_FAULTS: dict[str, type[MeterFault]] = {
    "bad_key": BadKey,
    "bad_tag": BadKey,  # what it got is what we signed
    "malformed": RefusedByMeter,
    "no_data": NoData,
    "refused": RefusedByMeter,
    "replay": Replay,
    "unsupported": Unsupported,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PushingMeter:
    """A meter that sends rows by itself, and how they are known to be its own."""

    link: MeterLink
    keys: KeySet
    counters: Counters


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What a meter sent by itself: rows, or why they are not taken."""

    meter_id: str
    delivery: Delivery | None = None
    fault: MeterFault | None = None


class MqttDriver:
    """Speaks with meters through MQTT brokers. ``chance`` gives random bytes for names of conversations."""

    def __init__(self, *, chance: Callable[[int], bytes] = os.urandom) -> None:  # noqa: TID251 - an entry point is called with nothing
        self._chance = chance
        self._brokers = Brokers(chance=chance)

    @property
    def name(self) -> str:
        """``mqtt``."""
        return "mqtt"

    @asynccontextmanager
    async def open(self, link: MeterLink, *, keys: KeySet, counters: Counters, clock: Clock) -> AsyncIterator[Session]:
        """See the port."""
        plan, key = Plan.of(link, keys=keys), _signing(link, keys)
        who = f"meter {link.meter_id}"
        topics = [f"{plan.root}/response", f"{plan.root}/status"]
        async with self._brokers.joined(plan.line, topics, qos=0, who=who) as post:
            talk = _Talk(post, plan.root, key, counters, token=self._chance(_TOKEN_BYTES).hex(), who=who)
            await talk.begin()
            yield _MqttSession(talk, clock, who=who)

    @asynccontextmanager
    async def listening(self, meters: Sequence[PushingMeter], *, clock: Clock) -> AsyncIterator[AsyncIterator[Pushed]]:
        """Hear what these meters push, all through one broker.

        What is iterated ends with :class:`Unreachable` when the broker goes away; what was pushed meanwhile is still in
        the meters, and comes with the next read. Raises as :meth:`open` does, and :class:`ValueError` for links that
        cannot share a connection.
        """
        plans = [Plan.of(meter.link, keys=meter.keys) for meter in meters]
        if len({plan.line for plan in plans}) != 1:
            raise ValueError("these meters are not reached through one broker by one user")
        known = {f"{plan.root}/rows": meter for plan, meter in zip(plans, meters, strict=True)}
        who = f"{len(meters)} meter(s)"
        # QoS 1: rows that come twice are told apart by their counter.
        async with self._brokers.joined(plans[0].line, list(known), qos=1, who=who) as post:
            yield _pushes(post, known, clock)


async def _pushes(post: Post, known: dict[str, PushingMeter], clock: Clock) -> AsyncIterator[Pushed]:
    while True:
        try:
            arrived = await post.next()
        except Lost as lost:
            raise Unreachable(f"the broker is gone: {lost}") from None
        meter = known[arrived.topic]
        try:
            delivery = pushed(arrived.payload, topic=arrived.topic, meter=meter, now=clock.now())
        except MeterFault as fault:
            yield Pushed(meter_id=meter.link.meter_id, fault=fault)
        else:
            yield Pushed(meter_id=meter.link.meter_id, delivery=delivery)


def pushed(payload: bytes, *, topic: str, meter: PushingMeter, now: datetime) -> Delivery:
    """What a message on ``.../rows`` delivers.

    Raises :class:`Malformed`, :class:`BadTag`, and :class:`Replay` for what came before: MQTT may bring it twice.
    """
    who = f"meter {meter.link.meter_id}"
    key = _signing(meter.link, meter.keys)
    said = read(payload, topic=topic, key=key, who=who)
    if key is not None:
        meter.counters.inbound(said.whole("counter", most=_COUNTER_MAX), stream="rows")
    rows = profile_rows(said)
    seconds = said.whole("seconds", least=1, most=_SECONDS_MAX)
    if not len(rows):
        raise Malformed(f"{who}: it pushed no rows")
    return Delivery(
        meter_id=meter.link.meter_id,
        profile=said.text("profile"),
        seconds=seconds,
        start=int(rows.starts[0]),
        end=int(rows.starts[-1]) + seconds,
        rows=rows,
        read_at=now,
        pushed=True,
    )


def _signing(link: MeterLink, keys: KeySet) -> Secret | None:
    if keys.unicast is None and keys.authentication is not None:
        raise BadKey(
            f"meter {link.meter_id}: there is an authentication key and no unicast key",
            remedy="messages over MQTT are signed with the unicast key: give it so",
        )
    return keys.unicast


class _Talk:
    """Requests and their answers, one at a time."""

    def __init__(self, post: Post, root: str, key: Secret | None, counters: Counters, *, token: str, who: str) -> None:
        self._post, self._root, self._counters = post, root, counters
        self.key = key
        self._token, self._who = token, who
        self._asked = 0
        self._answered: set[int] = set()
        self._offline = False

    async def begin(self) -> None:
        """Say hello, which proves both sides' keys; where our counter is behind, once more."""
        try:
            hello = await self._greeted()
        except MeterTimeout as fault:
            raise Unreachable(fault.detail) from None  # a greeting changes nothing
        if hello.whole("version") != VERSION:
            raise Unsupported(f"{self._who}: it speaks version {hello.whole('version')} of these messages")

    async def _greeted(self) -> Fields:
        try:
            return await self.ask("hello")
        except Replay as fault:
            heard = fault.members.get("heard")
            if not isinstance(heard, int):
                raise
        await self._counters.resync(heard + 1)  # signed by the meter, unlike in other protocols
        return await self.ask("hello")

    async def ask(self, op: str, **args: object) -> Fields:
        """What the meter answers. Raises any :class:`MeterFault`."""
        while (arrived := self._post.waiting()) is not None:
            self._taken(arrived, None)
        if self._offline:
            raise Unreachable(f"{self._who}: it is offline")
        payload = await self._request(op, args)
        try:
            await self._post.send(f"{self._root}/request", payload)
        except Lost as lost:
            raise Unreachable(f"{self._who}: the broker is gone: {lost}") from None
        while True:
            try:
                arrived = await self._post.next()
            except Lost as lost:
                raise MeterTimeout(f"{self._who}: the broker went away before {op} was answered: {lost}") from None
            answer = self._taken(arrived, op)
            if answer is not None:
                return answer
            if self._offline:
                raise MeterTimeout(f"{self._who}: it went offline before it answered {op}")

    async def _request(self, op: str, args: dict[str, object]) -> bytes:
        self._asked += 1
        content: dict[str, object] = {"id": f"{self._token}-{self._asked}", "op": op, "args": args}
        if self.key is not None:
            await self._counters.reserve()
            content["counter"] = self._counters.outbound()
        payload = written(content, topic=f"{self._root}/request", key=self.key)
        if len(payload) > MESSAGE_MAX:
            raise Unsupported(f"{self._who}: {op} takes a message of {len(payload)} bytes; {MESSAGE_MAX} are allowed")
        return payload

    def _taken(self, arrived: Arrived, op: str | None) -> Fields | None:
        """The answer that was waited for, if this is it. ``op`` is what was asked; nothing is while it is ``None``."""
        if arrived.topic.endswith("/status"):
            if arrived.payload in {b"online", b"offline"}:
                self._offline = arrived.payload == b"offline"
            return None
        if arrived.retained:
            return None  # somebody made the broker keep an answer: it is old
        said = read(arrived.payload, topic=arrived.topic, key=self.key, who=self._who)
        if self.key is not None:
            self._counters.inbound(said.whole("counter", most=_COUNTER_MAX))
        if not self._is_ours(said, op):
            return None
        self._answered.add(self._asked)
        if ("ok" in said.content) == ("error" in said.content):
            raise Malformed(f"{self._who}: its answer has to have either 'ok' or 'error'")
        if "error" in said.content:
            raise self._no(said.part("error"), op or "nothing")
        return said.part("ok")

    def _is_ours(self, said: Fields, op: str | None) -> bool:
        """Whether it answers what was asked last; an answer that comes late is passed over."""
        if said.content.get("id") is None and "error" in said.content and op is not None:
            return True  # it could not read so much as the name of our request
        match = _ID.fullmatch(said.text("id"))
        if match is None:
            raise said.wrong("id", "the name of a request")
        number = int(match[2])
        if match[1] != self._token:
            return False  # of an earlier conversation
        if number in self._answered:
            raise Replay(f"{self._who}: it answered request {number} twice")
        if number > self._asked:
            raise Malformed(f"{self._who}: it answers request {number}; {self._asked} were made")
        return number == self._asked and op is not None

    def _no(self, error: Fields, op: str) -> MeterFault:
        kind = error.text("kind")
        detail = clipped(error.content.get("detail", ""))
        if kind not in _FAULTS:
            return Malformed(f"{self._who}: it refuses {op} in a way that is not known: {clipped(kind)}")
        members: dict[str, object] = {}
        if kind == "replay" and "heard" in error.content and self.key is not None:
            members["heard"] = error.whole("heard", most=_COUNTER_MAX)
        said = f"{self._who}: it answers {op} with {kind}{': ' if detail else ''}{detail}"
        return _FAULTS[kind](said, remedy=None, **members)

    async def pages(self, op: str, **args: object) -> list[Fields]:
        """An answer that may come in pieces, each of which names where the next begins."""
        found = [await self.ask(op, **args)]
        at = -1
        while "next" in found[-1].content:
            following = found[-1].whole("next")
            if following <= at or len(found) >= _PAGES_MAX:
                raise Malformed(f"{self._who}: the pieces of its answer to {op} have no end")
            at = following
            found.append(await self.ask(op, **args, **{"from": at}))
        return found


class _MqttSession:
    """A conversation; see the port for what each operation does."""

    def __init__(self, talk: _Talk, clock: Clock, *, who: str) -> None:
        self._talk, self._clock, self._who = talk, clock, who

    async def read_clock(self) -> MeterClock:
        """The meter's clock."""
        said = await self._talk.ask("read_clock")
        return MeterClock(at=said.instant("at"), valid=said.truth("valid"))

    async def set_clock(self, *, at: datetime) -> None:
        """Set it."""
        await self._talk.ask("set_clock", at=epoch(at))

    async def read_registers(self, *, names: Sequence[str]) -> Sequence[Register]:
        """In the order asked; one that the meter lacks is left out."""
        found: dict[str, Register] = {}
        wanted = list(dict.fromkeys(names))
        for first in range(0, len(wanted), _NAMES_AT_ONCE):
            said = await self._talk.ask("read_registers", names=wanted[first : first + _NAMES_AT_ONCE])
            found |= {one.channel.name: one for one in map(register, said.parts("registers"))}
        return [found[name] for name in names if name in found]

    async def read_profile(self, *, profile: str, start: int, end: int) -> ProfileRows:
        """Rows whose interval starts in ``[start, end)``."""
        pages = await self._talk.pages("read_profile", profile=profile, start=start, end=end)
        return joined([profile_rows(page) for page in pages]).within(start, end)

    async def read_events(self, *, log: str, since: int) -> Sequence[LoggedEvent]:
        """Entries at or after ``since``, in the log's order."""
        pages = await self._talk.pages("read_events", log=log, since=since)
        return [entry for page in pages for entry in events(page, log=log) if entry.at >= since]

    async def read_relay(self) -> Relay:
        """The disconnector as it is now."""
        said = await self._talk.ask("read_relay")
        state = next((one for one in _STATES if one == said.content.get("state")), None)
        if state is None:
            raise said.wrong("state", f"one of {', '.join(_STATES)}")
        return Relay(
            output_state=said.truth("output"), control_state=state, control_mode=said.whole("mode", most=_MODE_MAX)
        )

    async def switch(self, *, on: bool) -> None:
        """Returns when the meter has accepted it."""
        await self._talk.ask("switch", on=on)

    async def read_limit(self) -> int:
        """In watts."""
        return (await self._talk.ask("read_limit")).whole("watts")

    async def set_limit(self, *, watts: int) -> None:
        """In watts."""
        await self._talk.ask("set_limit", watts=watts)

    async def install_keys(self, *, keys: KeySet) -> None:
        """The key that signs, wrapped with the master key (RFC 3394); it counts from the next conversation on."""
        if self._talk.key is None:
            raise Unsupported(f"{self._who}: this conversation has no key that could be changed")
        if keys.master is None or keys.unicast is None:
            raise BadKey(f"{self._who}: without its master key, and a new one, no key can be changed")
        try:
            wrapped = wrap_key(keys.unicast.reveal(), master=keys.master.reveal()).hex()
        except ValueError as error:
            raise BadKey(f"{self._who}: its keys do not fit: {error}") from None
        await self._talk.ask("install_keys", unicast=wrapped)
