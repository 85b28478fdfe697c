"""Connections to MQTT brokers: one for all conversations that can share it, gone with the last of them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import aiomqtt

from wattledger.headend.ports import BadKey, KeySet, MeterFault, MeterLink, Secret, Unreachable

Chance = Callable[[int], bytes]

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_OPTIONS = frozenset({"user", "ca", "certificate", "key"})
_TOPIC_MAX = 1_000
_ROOM = 100  # messages that wait for one conversation; who sends more talks to itself
_ROOM_ALL = 10_000  # those that wait to be handed out
_KEEPALIVE = 30  # seconds, within which a dead connection shows
_TOPICS_AT_ONCE = 100  # in one SUBSCRIBE
_PENDING_MAX: Final = 65_535  # packet ids there are
_FAILURE = 0x80
_NOT_ALLOWED = frozenset({0x86, 0x87})  # CONNACK: bad user name or password, not authorised


@dataclass(frozen=True, slots=True)
class Line:
    """Which broker, and who we are to it: conversations for which this is the same share a connection."""

    host: str
    port: int
    tls: bool
    user: str | None
    password: Secret | None
    ca: str | None
    certificate: str | None
    key: str | None


@dataclass(frozen=True, slots=True)
class Plan:
    """A link, read."""

    line: Line
    root: str

    @classmethod
    def of(cls, link: MeterLink, *, keys: KeySet) -> Plan:
        """The broker and the meter's topics."""
        told = dict(link.options)
        try:
            if unknown := sorted(told.keys() - _OPTIONS):
                raise ValueError(f"it has the options {', '.join(unknown)}")  # noqa: TRY301 - told below with the others
            if any(c in "?#" or not c.isprintable() for c in link.address):
                raise ValueError("its address has what no topic of a meter has")  # noqa: TRY301 - as above
            parts = urlsplit(link.address)
            line = Line(
                host=_host(parts),
                port=parts.port or _PORTS[parts.scheme],
                tls=parts.scheme == "mqtts",
                user=told.get("user"),
                password=keys.password if "user" in told else None,
                ca=told.get("ca"),
                certificate=told.get("certificate"),
                key=told.get("key"),
            )
            if not line.tls and (line.ca or line.certificate or line.key):
                raise ValueError("files for TLS where the address says mqtt and not mqtts")  # noqa: TRY301 - as above
            return cls(line, _root(parts.path))
        except ValueError as error:
            # Not the address: whoever wrote a password into it wants it in no log.
            raise Unreachable(
                f"meter {link.meter_id}: its link makes no sense: {error}",
                remedy="the address is mqtt[s]://host[:port]/topic; docs/mqtt.md has the options",
            ) from None


def _host(parts: SplitResult) -> str:
    if parts.scheme not in _PORTS:
        raise ValueError("its address begins with neither mqtt:// nor mqtts://")
    if parts.username is not None:
        raise ValueError("there is a user in its address; that is an option, and the password a key")
    if not parts.hostname:
        raise ValueError("its address names no broker")
    return parts.hostname


def _root(path: str) -> str:
    root = path.strip("/")
    if not root or root.startswith("$") or len(root.encode()) > _TOPIC_MAX:
        raise ValueError("its address has no topic, or one that is no meter's")
    if "+" in root:
        raise ValueError("the topic in its address is a wildcard")
    return root


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message."""

    topic: str
    payload: bytes
    retained: bool


class Lost(Exception):
    """The connection to the broker is gone; its text tells why."""


class Post:
    """What a conversation sends, and what comes for it."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.come: asyncio.Queue[Arrived | None] = asyncio.Queue(_ROOM)

    async def send(self, topic: str, payload: bytes) -> None:
        """Publish, at most once: what nobody is there to hear is gone. Raises :class:`Lost`."""
        await self._broker.publish(topic, payload)

    def waiting(self) -> Arrived | None:
        """What has come already, if anything has."""
        while not self.come.empty():
            arrived = self.come.get_nowait()
            if arrived is not None:
                return arrived
        return None

    async def next(self) -> Arrived:
        """The next that comes; raises :class:`Lost` when nothing can come any more."""
        while True:
            if self.come.empty() and self._broker.gone is not None:
                raise Lost(self._broker.gone)
            arrived = await self.come.get()
            if arrived is not None:
                return arrived

    def put(self, arrived: Arrived | None) -> None:
        """Let this come. What finds no room is dropped; ``None`` only wakes who waits."""
        with suppress(asyncio.QueueFull):
            self.come.put_nowait(arrived)


class Brokers:
    """The connections of one driver."""

    def __init__(self, *, chance: Chance) -> None:
        self._chance = chance
        self._known: dict[tuple[asyncio.AbstractEventLoop, Line], Broker] = {}
        self._closing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def joined(self, line: Line, topics: Sequence[str], *, qos: int, who: str) -> AsyncIterator[Post]:
        """Hear what comes on these topics. Raises :class:`Unreachable`, or :class:`BadKey` where we are not let in."""
        place = asyncio.get_running_loop(), line
        broker = self._known.get(place)
        if broker is None or broker.gone is not None:
            broker = self._known[place] = Broker(line, identifier=f"wl{self._chance(8).hex()}")
        broker.users += 1
        try:
            async with AsyncExitStack() as stack:
                await broker.reached(who)
                yield await stack.enter_async_context(broker.subscribed(topics, qos=qos, who=who))
        finally:
            broker.users -= 1
            if not broker.users:
                if self._known.get(place) is broker:
                    del self._known[place]
                self._closing.add(broker.task)
                broker.task.add_done_callback(self._closing.discard)
                await broker.end()


class _Client(aiomqtt.Client):
    """Does not wait ten seconds for a broker that hung up, nor leave the socket of one open that said nothing."""

    def _on_disconnect(self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None) -> None:  # noqa: ANN401 - as the library calls it
        if not self._connected.done():
            self._connected.set_exception(aiomqtt.MqttError("it hangs up"))
            return
        super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def drop(self) -> None:
        """Close the socket of a connection that was not made."""
        self._client.disconnect()


class Broker:
    """A connection, kept by a task of its own: whoever asked for it first may be cancelled, the others go on."""

    def __init__(self, line: Line, *, identifier: str) -> None:
        self.users = 0
        self.gone: str | None = None
        """Why it is no more."""
        self._line, self._identifier = line, identifier
        self._refused: type[MeterFault] = Unreachable
        self._client: aiomqtt.Client | None = None
        self._settled = asyncio.Event()
        self._posts: dict[str, list[Post]] = {}
        self._calls: set[asyncio.Task[Any]] = set()
        self.task = asyncio.create_task(self._kept())

    # --- The connection

    async def _kept(self) -> None:
        told = "the connection ended"
        try:
            async with self._connection() as client:
                self._client = client
                self._settled.set()
                if self.users:
                    async for message in client.messages:
                        self._hand_out(message)
        except (aiomqtt.MqttError, OSError, ValueError) as error:
            if isinstance(error, aiomqtt.MqttCodeError) and getattr(error.rc, "value", 0) in _NOT_ALLOWED:
                self._refused = BadKey
            told = str(error) or type(error).__name__
        finally:
            self.gone = told
            self._client = None
            self._settled.set()
            for posts in self._posts.values():
                for post in posts:
                    post.put(None)
            for call in self._calls:
                call.cancel()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[aiomqtt.Client]:
        line = self._line
        client = _Client(
            line.host,
            line.port,
            username=line.user,
            password=None if line.password is None else _password(line.password),
            identifier=self._identifier,
            keepalive=_KEEPALIVE,
            clean_session=True,
            max_queued_incoming_messages=_ROOM_ALL,
            tls_context=await asyncio.to_thread(_tls, line) if line.tls else None,
        )
        client.pending_calls_threshold = _PENDING_MAX
        try:
            await client.__aenter__()
        except BaseException:
            client.drop()
            raise
        try:
            yield client
        finally:
            with suppress(aiomqtt.MqttError):
                await client.__aexit__(None, None, None)

    async def reached(self, who: str) -> None:
        """Wait until we are connected; raises what went wrong."""
        await self._settled.wait()
        if self.gone is not None:
            raise self._refused(
                f"{who}: the broker {self._line.host}:{self._line.port} cannot be used: {self.gone}",
                remedy="look at the link's user and its password key" if self._refused is BadKey else None,
            )

    async def end(self) -> None:
        """Let go. A connection that is still being made is let go when it is made: it cannot be stopped before."""
        if self._client is not None:
            self.task.cancel()
            await asyncio.wait({self.task})

    # --- Messages

    def _hand_out(self, message: aiomqtt.Message) -> None:
        topic = message.topic.value
        arrived = Arrived(topic, bytes(message.payload), message.retain)
        for post in self._posts.get(topic, ()):
            post.put(arrived)

    async def publish(self, topic: str, payload: bytes) -> None:
        """At most once. Raises :class:`Lost` when nothing went out."""
        if self._client is None:
            raise Lost(self.gone or "the connection is not made")
        call = await self._done(self._client.publish(topic, payload, qos=0))
        error = None if call.cancelled() else call.exception()
        if isinstance(error, aiomqtt.MqttCodeError):
            raise Lost(str(error)) from None
        # One that waits to go out when its time is over may go yet: whoever waits for an answer sees.
        if error is not None and not isinstance(error, aiomqtt.MqttError):
            raise error

    @asynccontextmanager
    async def subscribed(self, topics: Sequence[str], *, qos: int, who: str) -> AsyncIterator[Post]:
        """Have what comes on these topics put into a post of one's own."""
        post = Post(self)
        for topic in topics:
            self._posts.setdefault(topic, []).append(post)
        try:
            for first in range(0, len(topics), _TOPICS_AT_ONCE):
                await self._subscribe(topics[first : first + _TOPICS_AT_ONCE], qos=qos, who=who)
            yield post
        finally:
            left = []
            for topic in topics:
                self._posts[topic].remove(post)
                if not self._posts[topic]:
                    del self._posts[topic]
                    left.append(topic)
            if left and self._client is not None and self.users > 1:
                # Not waited for: it goes out before anything that is asked for later.
                self._call(self._client.unsubscribe(left))

    async def _subscribe(self, topics: Sequence[str], *, qos: int, who: str) -> None:
        if self._client is None:
            raise Unreachable(f"{who}: the broker is gone: {self.gone}")
        call = await self._done(self._client.subscribe([(topic, qos) for topic in topics]))
        if call.cancelled():
            raise Unreachable(f"{who}: the broker is gone: {self.gone}")
        try:
            granted = call.result()
        except aiomqtt.MqttError as error:
            raise Unreachable(f"{who}: the broker does not let us hear it: {error}") from None
        if any(getattr(code, "value", code) >= _FAILURE for code in granted):
            raise Unreachable(
                f"{who}: the broker refuses us its topics", remedy="let the head-end's user read and write them"
            )

    async def _done(self, call: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Let the library do it, and wait until it is done.

        Not by awaiting the call itself. Cancelled in it, its answer would come to nobody, which the library takes for a
        mistake; and Python 3.11's ``wait_for``, which it uses, may swallow that we were cancelled.
        """
        task = self._call(call)
        await asyncio.wait({task})
        return task

    def _call(self, call: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(call)
        self._calls.add(task)
        task.add_done_callback(self._called)
        return task

    def _called(self, task: asyncio.Task[Any]) -> None:
        self._calls.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited knows; of who left nobody asks


def _password(secret: Secret) -> str:
    try:
        return secret.reveal().decode()
    except UnicodeDecodeError:
        raise ValueError("the password is no text") from None


def _tls(line: Line) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=line.ca)
    if line.certificate is not None:
        context.load_cert_chain(line.certificate, line.key)
    return context
