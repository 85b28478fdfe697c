"""A meter that speaks JSON over MQTT, written from docs/mqtt.md alone: nothing of the driver is in it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiomqtt
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

from wattledger.kernel import Clock, epoch
from wattledger.virtual_meter import Disconnector

Answer = dict[str, Any]
PROFILE, LOG, SECONDS = "load", "standard", 900


class No(Exception):
    """The meter says no: a kind, and whatever goes with it."""

    def __init__(self, kind: str, **more: object) -> None:
        super().__init__(kind)
        self.error = {"kind": kind, **more}


@dataclass
class MqttMeter:
    """What is in the meter. ``page``: rows that fit into one answer. ``rows``: start, status, Wh, tenths of Wh."""

    root: str
    clock: Clock
    rows: list[tuple[int, int, int, int | None]]
    events: list[tuple[int, int]]
    key: bytes | None = None
    master: bytes | None = None
    page: int = 96
    channels: list[dict[str, object]] = field(
        default_factory=lambda: [{"name": "1-0:1.8.0", "unit": "Wh"}, {"name": "1-0:2.29.0", "scale": -1, "unit": "Wh"}]
    )
    disconnector: Disconnector = field(default_factory=Disconnector)
    faults: set[str] = field(default_factory=set)
    meddle: Callable[[Answer], bytes | Answer | list[Answer]] | None = None
    """Puts something else in an answer's place: other content, several answers, or bytes as they are."""
    before: Callable[[str], None] | None = None
    """Told each operation before it is answered."""

    def __post_init__(self) -> None:
        self.ahead = 0
        self.watts = 5_000
        self.heard = -1
        self.counter = 0
        self.asked: list[str] = []
        self._last: bytes | None = None
        self._next_key = self.key
        self.client: aiomqtt.Client | None = None

    # --- On the line

    @asynccontextmanager
    async def on_line(self, port: int, **options: Any) -> AsyncIterator[None]:  # noqa: ANN401 - aiomqtt's own
        will = aiomqtt.Will(f"{self.root}/status", b"offline", qos=1, retain=True)
        async with aiomqtt.Client("127.0.0.1", port, will=will, **options) as self.client:
            await self.client.subscribe(f"{self.root}/request")
            await self.client.publish(f"{self.root}/status", b"online", qos=1, retain=True)
            serving = asyncio.create_task(self._serve(self.client))
            try:
                yield
            finally:
                while not serving.done():  # Python 3.11's wait_for, which aiomqtt uses, may swallow it
                    serving.cancel()
                    await asyncio.wait({serving}, timeout=0.1)

    async def _serve(self, client: aiomqtt.Client) -> None:
        with suppress(aiomqtt.MqttError):
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                for payload in self._answered(message.payload):
                    await client.publish(f"{self.root}/response", payload)

    def hang_up(self) -> None:
        """Drop off the line without a word: the broker tells the will."""
        assert self.client is not None
        line = self.client._client.socket()
        assert isinstance(line, socket.socket)
        line.shutdown(socket.SHUT_RDWR)

    async def push(self, rows: list[tuple[int, int, int, int | None]], *, times: int = 1) -> None:
        assert self.client is not None
        content = {"profile": PROFILE, "seconds": SECONDS, "channels": self.channels, "rows": [*map(list, rows)]}
        payload = self.sealed(content, to="rows")
        for _ in range(times):
            await self.client.publish(f"{self.root}/rows", payload, qos=1)

    # --- Messages

    def _tag(self, body: bytes, topic: str) -> bytes:
        return hmac.new(self.key or b"", topic.encode() + b"\n" + body, hashlib.sha256).hexdigest().encode()

    def sealed(self, content: Answer, *, to: str = "response") -> bytes:
        if self.key is None:
            return json.dumps(content).encode()
        self.counter += 1
        body = json.dumps({"counter": self.counter, **content}, indent=1).encode()  # white space is signed as it stands
        return body + b"\n" + self._tag(body, f"{self.root}/{to}")

    def _opened(self, payload: bytes) -> Answer:
        if self.key is None:
            said = json.loads(payload)
        else:
            body, _, tag = payload.rpartition(b"\n")
            if not hmac.compare_digest(tag, self._tag(body, f"{self.root}/request")):
                raise No("bad_tag")
            said = json.loads(body)
        assert isinstance(said, dict)
        return said

    def _answered(self, payload: bytes) -> list[bytes]:
        if "silent" in self.faults:
            return []
        name = None
        try:
            said = self._opened(payload)
            name, op = said["id"], said["op"]
            if self.key is not None:
                if said["counter"] <= self.heard:
                    raise No("replay", heard=self.heard)  # noqa: TRY301 - answered like any other
                self.heard = said["counter"]
            self.asked.append(op)
            if self.before is not None:
                self.before(op)
            answer: Answer = {"id": name, "ok": self._done(op, said["args"])}
        except No as no:
            answer = {"id": name, "error": no.error}
        meddled = answer if self.meddle is None else self.meddle(answer)
        if isinstance(meddled, bytes):
            return [meddled]
        payloads = [self._spoilt(self.sealed(one)) for one in (meddled if isinstance(meddled, list) else [meddled])]
        self.key = self._next_key
        return payloads

    def _spoilt(self, payload: bytes) -> bytes:
        if "replay" in self.faults and self._last is not None:
            return self._last
        self._last = payload
        if "bad_tag" in self.faults:
            return payload.replace(b"counter", b"countes")
        return payload[: len(payload) // 2] if "truncated" in self.faults else payload

    # --- Operations

    def _done(self, op: str, args: Answer) -> Answer:
        if op == "hello":
            return {"version": 1}
        if "refusing" in self.faults:
            raise No("refused", detail="not today")
        try:
            return getattr(self, f"_{op}")(**({"after": args.pop("from")} if "from" in args else {}), **args) or {}
        except AttributeError:
            raise No("unsupported") from None

    def _read_clock(self) -> Answer:
        return {"at": epoch(self.clock.now()) + self.ahead, "valid": True}

    def _set_clock(self, at: int) -> None:
        self.ahead = at - epoch(self.clock.now())

    def registers(self) -> list[tuple[dict[str, object], int]]:
        last = self.rows[-1]
        return [(self.channels[0], last[2]), (self.channels[1], last[3] or 0)]

    def _read_registers(self, names: list[str]) -> Answer:
        at = self.clock.now().isoformat()  # as RFC 3339: the other way to write an instant
        return {
            "registers": [
                {**channel, "value": value, "at": at} for channel, value in self.registers() if channel["name"] in names
            ]
        }

    def _read_profile(self, profile: str, start: int, end: int, after: int = 0) -> Answer:
        if profile != PROFILE:
            raise No("no_data", detail="no such profile")
        rows = [list(row) for row in self.rows if max(start, after) <= row[0] < end]
        more = {"next": rows[self.page][0]} if len(rows) > self.page else {}
        return {"channels": self.channels, "rows": rows[: self.page], **more}

    def _read_events(self, log: str, since: int, after: int = 0) -> Answer:
        if log != LOG:
            raise No("no_data", detail="no such log")
        entries = [[at, code] for at, code in self.events if at >= since][after:]
        return {"events": entries[:1], **({"next": after + 1} if len(entries) > 1 else {})}

    def _read_relay(self) -> Answer:
        relay = self.disconnector
        names = ("disconnected", "connected", "ready_for_reconnection")
        return {"output": relay.closed, "state": names[relay.state], "mode": relay.mode}

    def _switch(self, *, on: bool) -> None:
        self.disconnector.act("remote reconnect" if on else "remote disconnect")

    def _read_limit(self) -> Answer:
        return {"watts": self.watts}

    def _set_limit(self, watts: int) -> None:
        self.watts = watts

    def _install_keys(self, unicast: str) -> None:
        if self.master is None:
            raise No("unsupported")
        try:
            self._next_key = aes_key_unwrap(self.master, bytes.fromhex(unicast))
        except InvalidUnwrap:
            raise No("refused", detail="wrapped under another key") from None
