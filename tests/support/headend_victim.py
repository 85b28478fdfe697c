"""Collects some meters, switches some off and gives others new keys; starts over at every run, as `serve` does."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from victim import say, thinking_aloud

from wattledger import headend, registry
from wattledger.app._headend import ReadingsSink
from wattledger.app._system import deliver_in
from wattledger.kernel import Clock, SystemClock, epoch, from_epoch
from wattledger.store import Store, Transaction

METERS = range(1, 7)
SWITCHED = (1, 2, 3)
REKEYED = (4, 5, 6)
DAY = 86_400
PROFILE = "1-0:99.1.0"
LIMITS = headend.VisitLimits(opening=5, operation=10, whole=20, read_back=(0, 0))
POLICY = headend.CollectionPolicy(sessions=3, batch=3, limits=LIMITS, registers=("1-0:1.8.0",))


def key(number: int, what: str) -> bytes:
    return f"{what:>10}{number:06d}".encode()


def vault() -> headend.Vault:
    return headend.Vault(
        headend.LocalMasterKey(bytes(range(32)), random=secrets.token_bytes), random=secrets.token_bytes
    )


def yesterday() -> tuple[int, int]:
    today = epoch(datetime.now(UTC)) // DAY * DAY
    return today - DAY, today


class LaterClock:
    """An hour later with each run: the leases of whoever was killed have run out."""

    def __init__(self, hours: int) -> None:
        self._ahead = timedelta(hours=hours)

    def now(self) -> datetime:
        return SystemClock().now() + self._ahead


class Loud:
    """The DLMS driver, which says before and after each operation that it is at it: places to be killed at."""

    name = "dlms"

    def __init__(self) -> None:
        self._driver = headend.driver_named(headend.installed_drivers(), name="dlms")

    @asynccontextmanager
    async def open(self, *arguments: Any, **named: Any) -> AsyncIterator[Any]:  # noqa: ANN401 - handed on
        say("open")
        async with self._driver.open(*arguments, **named) as session:
            yield LoudSession(session)


class LoudSession:
    def __init__(self, session: headend.Session) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever it has
        operation = getattr(self._session, name)

        async def loudly(**named: Any) -> Any:  # noqa: ANN401 - handed on
            say(f"{name}?")
            result = await operation(**named)
            say(f"{name}!")
            return result

        return loudly


def tools(store: Store, clock: Clock, *, drivers: Mapping[str, Any]) -> headend.Tools:
    return headend.Tools(
        store=store, drivers=drivers, sink=ReadingsSink(deliver_in), vault=vault(), clock=clock, jitter=lambda _: 0
    )


def set_up(tx: Transaction, *, port: int, now: datetime) -> None:
    start, end = (from_epoch(at) for at in yesterday())
    for number in METERS:
        meter = f"m{number}"
        registry.add_premise(tx, premise_id=meter, kind="home", address="", zone="UTC")
        registry.add_service_point(tx, service_point_id=meter, premise_id=meter)
        registry.install_meter(tx, meter_id=meter, serial=meter, service_point_id=meter, interval_seconds=900, at=start)
        link = headend.MeterLink(
            meter_id=meter, driver="dlms", address=f"127.0.0.1:{port}", options={"server": str(number)}
        )
        headend.put_meters(tx, links=[link], now=now)
        keys = headend.KeySet(
            unicast=headend.Secret(key(number, "unicast")),
            authentication=headend.Secret(key(number, "auth")),
            master=headend.Secret(key(number, "master")),
        )
        headend.put_keys(tx, meter_id=meter, keys=keys, vault=vault(), now=now)
        plan = headend.ProfilePlan(meter_id=meter, profile=PROFILE, seconds=900, start=start, every=timedelta(hours=6))
        headend.expect(tx, plans=[plan], now=now)
        headend.stop_expecting(tx, meter_id=meter, at=end, now=now)
    for number in SWITCHED:
        request = headend.CommandRequest(
            id=f"off{number}", meter_id=f"m{number}", action="switch_off", actor="test", reason="moved out"
        )
        headend.submit(tx, request=request, now=now)
    for number in REKEYED:
        headend.begin_rotation(tx, meter_id=f"m{number}", vault=vault(), now=now)


def main(url: str, port: str, runs: str) -> None:
    with Path(runs).open("a+") as file:
        file.write(".")
        clock = LaterClock(file.tell())
    store = thinking_aloud(url)
    with store.write() as tx:
        if not headend.meter_statuses(tx, now=clock.now()):
            set_up(tx, port=int(port), now=clock.now())
    hands = tools(store, clock, drivers={"dlms": Loud()})
    while True:
        with store.read() as tx:
            if not headend.work_due(tx, now=clock.now()):
                break
        asyncio.run(headend.collect(tools=hands, policy=POLICY))
    store.close()
    say("done")


if __name__ == "__main__":
    main(*sys.argv[1:])
