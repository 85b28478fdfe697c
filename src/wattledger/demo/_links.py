"""What the head-end is told of the town's meters: how each is reached, and what is collected from it.

While history is made they are at hand; in life they sit on a line, an address each, with keys, and speak DLMS/COSEM.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from wattledger import headend
from wattledger.demo._meters import TownMeters
from wattledger.demo._near import EXPORT, IMPORT, NEAR, PROFILE, columns
from wattledger.demo._town import SLOT_SECONDS, Supply, Town
from wattledger.kernel import Problem
from wattledger.store import Transaction
from wattledger.virtual_meter import LineSettings, MeterLine

Random = Callable[[int], bytes]

_log = logging.getLogger(__name__)

_SLOT = timedelta(seconds=SLOT_SECONDS)
_VISITS_A_SECOND = 40
"""So many conversations a second of life leave the process time for everything else."""
_HOUR_SECONDS = 3_600
_SLOTS_AT_A_TIME = (3, 4, 5)
"""Meters are read about every hour; not all at once, and the load evens out."""
_GRACE_FIRST = timedelta(minutes=1)
_HOST = "127.0.0.1"
_TENDED_EVERY = 0.1
_PDU_MAX = 4_096
_STARTS_IN = 30.0


class LineRefused(Problem):
    """The town's meters cannot listen."""

    slug = "town-line-refused"
    title = "The town's meters cannot be reached"
    status = 409


def link_at_hand(tx: Transaction, *, town: Town, now: datetime) -> None:
    """Have the meters asked near by, for all that there is since the town began. Nobody else speaks with them."""
    headend.drop_leases(tx, now=now)
    links = [
        headend.MeterLink(meter_id=supply.meter_id, driver=NEAR, address=supply.meter_id) for supply in town.supplies
    ]
    headend.put_meters(tx, links=links, now=now)
    plans = [_plan(town, supply, every=_SLOT, grace=timedelta()) for supply in town.supplies]
    headend.expect(tx, plans=plans, now=now)


def ask_first_registers(tx: Transaction, *, town: Town, now: datetime) -> None:
    """What the meters stood at when they were hung: what is used first is counted from there."""
    for supply in town.supplies:
        request = headend.AskRequest(
            id=f"town:{town.plan.seed}:{supply.tag}:hung",
            meter_id=supply.meter_id,
            what="registers",
            names=(IMPORT, EXPORT) if supply.has_export else (IMPORT,),
        )
        headend.ask(tx, request=request, now=now)


def link_by_line(
    tx: Transaction,
    *,
    meters: TownMeters,
    address: str,
    vault: headend.Vault,
    random: Random,
    speed: int,
    now: datetime,
) -> None:
    """Have the meters read over their line, with keys made for them now, about every hour of the town."""
    town = meters.town
    links = [
        headend.MeterLink(
            meter_id=supply.meter_id,
            driver="dlms",
            address=address,
            concentrator=f"street-{supply.concentrator + 1}",
            options={"server": str(meters.number(supply)), "columns": ",".join(columns(supply))},
        )
        for supply in town.supplies
    ]
    headend.put_meters(tx, links=links, now=now)
    for meter_id, (keys, master) in meters.give_keys(random).items():
        authentication = keys.authentication
        assert authentication is not None  # noqa: S101 - just made
        given = headend.KeySet(
            unicast=headend.Secret(keys.encryption),
            authentication=headend.Secret(authentication),
            master=headend.Secret(master),
        )
        try:
            headend.put_keys(tx, meter_id=meter_id, keys=given, vault=vault, now=now)
        except headend.RotationUnderWay as problem:
            _log.warning("%s", problem)  # the town was stopped in the middle; that meter stays out of reach
    times = -(-len(town.supplies) * speed // (_HOUR_SECONDS * _VISITS_A_SECOND))
    plans = [
        _plan(
            town,
            supply,
            every=times * _SLOTS_AT_A_TIME[supply.index % len(_SLOTS_AT_A_TIME)] * _SLOT,
            grace=_GRACE_FIRST + (_SLOT - _GRACE_FIRST) * supply.index / len(town.supplies),
        )
        for supply in town.supplies
    ]
    headend.expect(tx, plans=plans, now=now)


def _plan(town: Town, supply: Supply, *, every: timedelta, grace: timedelta) -> headend.ProfilePlan:
    return headend.ProfilePlan(
        meter_id=supply.meter_id,
        profile=PROFILE,
        seconds=SLOT_SECONDS,
        start=town.plan.start,
        every=every,
        grace=grace,
    )


@contextmanager
def on_line(meters: TownMeters, *, random: Random) -> Iterator[str]:
    """Let the meters listen, in a thread of their own; gives ``host:port``. Raises :class:`LineRefused`."""
    line = _Line(meters, random)
    line.start()
    try:
        yield line.address
    finally:
        line.stop()


class _Line:
    def __init__(self, meters: TownMeters, random: Random) -> None:
        self.address = ""
        self._meters, self._random = meters, random
        self._listening = threading.Event()
        self._refused: OSError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="town-line", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._listening.wait(_STARTS_IN)
        if self._refused is not None or not self.address:
            raise LineRefused(f"the meters cannot listen on {_HOST}: {self._refused}")

    def stop(self) -> None:
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_STARTS_IN)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except OSError as error:
            self._refused = error
        finally:
            self._listening.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        line = MeterLine(self._meters, settings=LineSettings(chance=self._random, pdu_max=_PDU_MAX))
        async with line.shared(host=_HOST, port=0) as port:
            self.address = f"{_HOST}:{port}"
            self._listening.set()
            while not self._stop.is_set():
                self._meters.tend()
                try:
                    async with asyncio.timeout(_TENDED_EVERY):
                        await self._stop.wait()
                except TimeoutError:
                    pass
