"""What meters send by themselves: which pushes are believed, and what they bring.

A push is believed when its tag fits the keys of the meter that it names and its counter is higher than that of every
push before; the counter is stored in the unit of work that keeps what it brought. One that is not ciphered is believed
of a meter without keys only. Rows that are refused, or come before the meter's scalers are known, are not lost: they
stay due, and the meter is asked for them.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias, TypeVar, final

from wattledger.dlms import Ciphered, DataNotification, DlmsError, ErrorKind, Keys, obis_text, read_apdu, unprotect
from wattledger.headend._collection import Tools
from wattledger.headend._counters import heard, remember_heard
from wattledger.headend._events import record_events
from wattledger.headend._gaps import expected_seconds, take_deliveries
from wattledger.headend._keys import Candidate, KeysSealed, candidates
from wattledger.headend._metrics import Metrics
from wattledger.headend._queue import RetryPolicy, hurry, linked_by, reschedule
from wattledger.headend.dlms import DlmsDriver
from wattledger.headend.ports import Delivery, LoggedEvent, MeterFault, MeterLink
from wattledger.kernel import Problem
from wattledger.store import Store, Transaction

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_STREAM = "push"
_STRANGERS_MAX = 10_000
_A_STRANGER_FOR = timedelta(seconds=10)
_NAME_BYTES = 6
_KINDS = {
    ErrorKind.BAD_KEY: "bad_key",
    ErrorKind.NO_KEY: "bad_key",
    ErrorKind.WRONG_SYSTEM_TITLE: "bad_key",
    ErrorKind.BAD_TAG: "bad_tag",
    ErrorKind.REPLAY: "replay",
}

_Heard: TypeAlias = dict[tuple[int, str], int]
_Known: TypeAlias = dict[str, list[Candidate] | KeysSealed]


class PushRefused(Problem):
    """What was pushed is not kept; ``kind`` tells why."""

    slug = "push-refused"
    title = "The push is not believed"
    status = 403

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


@dataclass(slots=True)
class Kept:
    """What a batch of pushes brought; ``refused`` counts those that are not kept, by kind."""

    pushes: int = 0
    rows: int = 0
    events: int = 0
    refused: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _Push:
    """One that is believed."""

    link: MeterLink
    body: object
    counter: tuple[int, int] | None
    """Generation of the keys, and number."""
    deliveries: list[Delivery] = field(default_factory=list)
    events: list[LoggedEvent] = field(default_factory=list)
    ask: bool = False
    """It did not tell all: the meter is to be asked."""


@final
class Senders:
    """Whose name this is: meters that were heard before are found at once, strangers are looked up once in a while."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str] = {}
        self._strangers: dict[tuple[str, str], datetime] = {}

    def links(self, tx: Transaction, *, option: str, names: Collection[str], now: datetime) -> dict[str, MeterLink]:
        """The links that say so in this option: ``peer`` for a system title (hex), ``device`` for a device's name.

        Names are lower case.
        """
        asked = {name for name in names if self._strangers.get((option, name), now) <= now}
        ids = {self._known[option, name] for name in asked if (option, name) in self._known}
        found = linked_by(tx, option=option, meter_ids=ids)
        missing = asked - found.keys()
        found |= linked_by(tx, option=option, values=missing)
        self._known.update({(option, name): link.meter_id for name, link in found.items()})
        if len(self._strangers) > _STRANGERS_MAX:
            self._strangers.clear()
        self._strangers.update({(option, name): now + _A_STRANGER_FOR for name in missing - found.keys()})
        return {name: link for name, link in found.items() if name in asked}


@final
class PushKeeper:
    """Keeps pushes, a batch in a unit of work."""

    def __init__(self, *, tools: Tools, driver: DlmsDriver, senders: Senders, retry: RetryPolicy) -> None:
        self._tools, self._driver, self._senders, self._retry = tools, driver, senders, retry

    def keep(self, batch: Sequence[bytes]) -> Kept:
        """Keep what these APDUs bring."""
        return kept_together(self._tools.store, batch, self._keep)

    def _keep(self, tx: Transaction, batch: Sequence[bytes]) -> Kept:
        now, kept = self._tools.clock.now(), Kept()
        read = [_apdu(one) for one in batch]
        titles = {one.title.hex() for one in read if isinstance(one, Ciphered) and one.title}
        names = {name for one in read if isinstance(one, DataNotification) and (name := _device(one.body))}
        by_title = self._senders.links(tx, option="peer", names=titles, now=now)
        by_name = self._senders.links(tx, option="device", names=names, now=now)
        ids = {link.meter_id for link in (*by_title.values(), *by_name.values())}
        keys = candidates(tx, meter_ids=ids, vault=self._tools.vault)
        told: dict[str, _Heard] = heard(tx, meter_ids=ids)
        seconds = expected_seconds(tx, meter_ids=ids)
        pushes: list[_Push] = []
        for one in read:
            try:
                if isinstance(one, DlmsError):
                    raise one
                push = _opened(one, by_title, keys, told) if isinstance(one, Ciphered) else _plain(one, by_name, keys)
                self._read(push, seconds, now)
            except DlmsError as error:
                refuse(kept, _KINDS.get(error.kind, "malformed"), error.detail)
            except (MeterFault, PushRefused) as refusal:
                refuse(kept, refusal.kind, str(refusal))
            else:
                pushes.append(push)
                if push.counter is not None:
                    generation, number = push.counter
                    told.setdefault(push.link.meter_id, {})[generation, _STREAM] = number
        deliveries = [delivery for push in pushes for delivery in push.deliveries]
        take_deliveries(tx, deliveries=deliveries, sink=self._tools.sink, retry=self._retry, now=now)
        events = [(push.link.meter_id, event) for push in pushes for event in push.events]
        kept.events = record_events(tx, events=events, now=now)
        senders = {push.link.meter_id for push in pushes}
        remember_heard(tx, told={meter_id: told[meter_id] for meter_id in senders if meter_id in told})
        reschedule(tx, meter_ids=senders, now=now)
        hurry(tx, meter_ids={push.link.meter_id for push in pushes if push.ask}, now=now)
        kept.pushes, kept.rows = len(pushes), sum(len(one.rows) for one in deliveries)
        return kept

    def _read(self, push: _Push, seconds: dict[tuple[str, str], int], now: datetime) -> None:
        """What a body holds: the name of its setup, the meter's name, and then the setup's objects."""
        match push.body:
            case (bytes(), _, bytes() as name, list() as captured, list() as rows) if len(name) == _NAME_BYTES:
                profile = obis_text(name).removesuffix(".255")
                length = seconds.get((push.link.meter_id, profile))
                if length is None:
                    raise PushRefused("unexpected", f"nobody expects the profile {profile} of {push.link.meter_id}")
                self._read_rows(push, profile, captured, rows, length, now)
            case (bytes(), _, bytes() as name, list() as rows) | (
                bytes(),
                _,
                int(),
                bytes() as name,
                list() as rows,
            ) if len(name) == _NAME_BYTES:
                log = obis_text(name).removesuffix(".255")
                push.events = self._driver.pushed_events(push.link, log=log, rows=rows, clock=self._tools.clock)
                push.ask = not rows  # an alarm that tells no entry
            case _:
                raise PushRefused("malformed", f"{push.link.meter_id} pushed {push.body!r:.200}")

    def _read_rows(
        self, push: _Push, profile: str, captured: object, rows: object, seconds: int, now: datetime
    ) -> None:
        laid_out = self._driver.pushed_rows(
            push.link, profile=profile, captured=captured, rows=rows, period=seconds, clock=self._tools.clock
        )
        if laid_out is None:
            push.ask = True
        elif len(laid_out):
            first, last = int(laid_out.starts[0]), int(laid_out.starts[-1])
            push.deliveries = [
                Delivery(
                    meter_id=push.link.meter_id,
                    profile=profile,
                    seconds=seconds,
                    start=first,
                    end=last + seconds,
                    rows=laid_out,
                    read_at=now,
                    pushed=True,
                )
            ]


def kept_together(store: Store, batch: Sequence[_T], keep: Callable[[Transaction, Sequence[_T]], Kept]) -> Kept:
    """Keep a batch in a unit of work; where that fails, each of it in one of its own: a bad one fails alone."""
    try:
        with store.write() as tx:
            return keep(tx, batch)
    except Exception as error:  # noqa: BLE001 - whatever one of them brought, the others are kept
        if len(batch) > 1:
            return _all([kept_together(store, [one], keep) for one in batch])
        words = str(error) if isinstance(error, Problem) else type(error).__name__
        _log.exception("a push cannot be kept: %s", words)
        return Kept(refused=Counter(error=1))


async def keep_from(
    came: asyncio.Queue[_T],
    *,
    keep: Callable[[Sequence[_T]], Kept],
    metrics: Metrics,
    told: Callable[[], None],
    batch: int,
    linger: float,
) -> None:
    """Keep what comes, many at a time, until cancelled; ``told`` is called when something was kept."""
    while True:
        some = await gathered(came, most=batch, linger=linger)
        done = await asyncio.to_thread(keep, some)
        metrics.pushes += done.pushes
        metrics.pushes_refused.update(done.refused)
        metrics.rows += done.rows
        metrics.events += done.events
        if done.pushes:
            told()


async def gathered(came: asyncio.Queue[_T], *, most: int, linger: float) -> list[_T]:
    """The next that comes, and what comes within ``linger`` seconds after it."""
    some = [await came.get()]
    with suppress(TimeoutError):
        async with asyncio.timeout(linger):
            while len(some) < most:
                some.append(await came.get())
    return some


def _all(parts: Sequence[Kept]) -> Kept:
    whole = Kept()
    for one in parts:
        whole.pushes += one.pushes
        whole.rows += one.rows
        whole.events += one.events
        whole.refused += one.refused
    return whole


def refuse(kept: Kept, kind: str, words: str) -> None:
    """Count and tell one that is not kept."""
    kept.refused[kind] += 1
    _log.info("a push is refused (%s): %s", kind, words)


def _apdu(data: bytes) -> Ciphered | DataNotification | DlmsError:
    try:
        apdu, end = read_apdu(data)
    except DlmsError as error:
        return error
    if end != len(data) or not isinstance(apdu, Ciphered | DataNotification):
        return DlmsError(ErrorKind.MALFORMED, f"no push: {type(apdu).__name__}, {len(data) - end} bytes after it")
    return apdu


def _device(body: object) -> str | None:
    """The logical device name in a push that is not ciphered."""
    match body:
        case (_, bytes() as name, *_):
            return name.decode("ascii", "replace").lower().lower()
    return None


def _opened(one: Ciphered, links: dict[str, MeterLink], known: _Known, told: dict[str, _Heard]) -> _Push:
    title = one.title or b""
    link = links.get(title.hex())
    if link is None:
        raise PushRefused("unknown_sender", f"no link says peer={title.hex()}")
    keys = known.get(link.meter_id, [])
    if isinstance(keys, KeysSealed):
        raise PushRefused("error", str(keys))
    problem = DlmsError(ErrorKind.NO_KEY, f"{link.meter_id} pushes ciphered, and its keys are not known")
    for candidate in keys:
        its = candidate.keys
        if its.unicast is None:
            continue
        try:
            opened = unprotect(
                one.protected,
                title=title,
                keys=Keys(
                    its.unicast.reveal(),
                    None if its.authentication is None else its.authentication.reveal(),
                    None if its.broadcast is None else its.broadcast.reveal(),
                ),
                context=one.context,
            )
        except DlmsError as error:
            problem = error
            continue
        if not opened.control.authenticated:
            raise PushRefused("bad_tag", f"a push of {link.meter_id} has no tag: anybody can have changed it")
        highest = told.get(link.meter_id, {}).get((its.generation, _STREAM), -1)
        if opened.counter <= highest:
            raise PushRefused("replay", f"a push of {link.meter_id} came with counter {opened.counter} after {highest}")
        inner = _apdu(opened.text)
        if isinstance(inner, DlmsError):
            raise inner
        if not isinstance(inner, DataNotification):
            raise PushRefused("malformed", f"a push of {link.meter_id} is ciphered twice")
        return _Push(link, inner.body, (its.generation, opened.counter))
    raise problem


def _plain(one: DataNotification, links: dict[str, MeterLink], known: _Known) -> _Push:
    name = _device(one.body)
    link = links.get(name or "")
    if link is None:
        raise PushRefused("unknown_sender", f"no link says device={name}")
    if known.get(link.meter_id):
        raise PushRefused("unprotected", f"{link.meter_id} has keys, and a push in its name came without them")
    return _Push(link, one.body, None)
