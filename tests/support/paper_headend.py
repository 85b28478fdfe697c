"""A head-end on paper: a store, a clock, paper meters, and what of theirs reached the readings."""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from paper_meters import ENERGY, PaperDriver, PaperMeter, PowerCut, keys_of, rows_of

from wattledger import headend
from wattledger.headend import (
    Collected,
    CollectionPolicy,
    Delivery,
    KeySet,
    LocalMasterKey,
    MeterLink,
    Metrics,
    ProfilePlan,
    Register,
    Tools,
    Vault,
    VisitLimits,
)
from wattledger.kernel import ManualClock, epoch
from wattledger.store import Fact, Store, Transaction, recent_facts

NOW = datetime(2026, 3, 10, tzinfo=UTC)
SLOT = 900
GRACE = timedelta(minutes=5)
LIMITS = VisitLimits(opening=5, operation=1, whole=20, read_back=(1, 1))
POLICY = CollectionPolicy(limits=LIMITS, linger=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered(Fact):
    meter_id: str
    starts: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistersRead(Fact):
    meter_id: str
    wh: str


class Readings:
    """A sink that writes into the unit of work it is given; refuses what a test says it refuses."""

    def __init__(self) -> None:
        self.refuses: set[str] = set()
        self.taken_together: list[int] = []

    def take(self, tx: Transaction, /, *, deliveries: Sequence[Delivery], now: datetime) -> None:
        self.taken_together.append(len({one.meter_id for one in deliveries}))
        tx.emit_all(
            [
                Delivered(at=now, meter_id=one.meter_id, starts=json.dumps(one.rows.starts.tolist()))
                for one in deliveries
            ]
        )
        for one in deliveries:
            if one.meter_id in self.refuses:
                raise ValueError(f"no place for {one.meter_id}")

    def take_registers(
        self, tx: Transaction, /, *, registers: Sequence[tuple[str, Sequence[Register]]], now: datetime
    ) -> None:
        tx.emit_all(
            [
                RegistersRead(at=now, meter_id=meter_id, wh=json.dumps([one.wh for one in read]))
                for meter_id, read in registers
            ]
        )


class CutStore(Store):
    """A store whose process dies before or after the so-manieth commit; counts them."""

    cut: tuple[int, str] | None = None

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.commits = itertools.count(1)
        self.last = 0

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        self.last = number = next(self.commits)
        with super().write() as tx:
            yield tx
            if self.cut == (number, "before"):
                raise PowerCut
        if self.cut == (number, "after"):
            raise PowerCut


@dataclass
class HeadEnd:
    store: CutStore
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW))
    driver: PaperDriver = field(default_factory=lambda: PaperDriver({}))
    readings: Readings = field(default_factory=Readings)
    metrics: Metrics = field(default_factory=Metrics)
    pauses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.vault = Vault(LocalMasterKey(bytes(range(32)), random=secrets.token_bytes), random=secrets.token_bytes)

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def tools(self) -> Tools:
        return Tools(
            store=self.store,
            drivers={"paper": self.driver},
            sink=self.readings,
            vault=self.vault,
            clock=self.clock,
            jitter=lambda most: most,
            metrics=self.metrics,
            pause=self._pause,
        )

    def add(
        self,
        *names: str,
        slots: int = 8,
        keys: bool = True,
        concentrator: str = "",
        due: bool = True,
        **meter: Any,  # noqa: ANN401 - whatever a paper meter has
    ) -> None:
        """Meters with the rows of the last ``slots`` intervals, all of them due."""
        start = NOW - timedelta(seconds=SLOT * slots) - GRACE
        start -= timedelta(seconds=epoch(start) % SLOT)
        starts = [epoch(start) + SLOT * number for number in range(slots)]
        links = []
        for name in names:
            own = keys_of(1, meter=name) if keys else KeySet()
            self.driver.meters[name] = PaperMeter(
                keys=own,
                rows=rows_of(starts),
                registers=[Register(channel=channel, value=1000, at=0) for channel in ENERGY],
                **meter,
            )
            links.append(MeterLink(meter_id=name, driver="paper", address=name, concentrator=concentrator))
        with self.store.write() as tx:
            headend.put_meters(tx, links=links, now=self.clock.now())
            if keys:
                for name in names:
                    headend.put_keys(
                        tx, meter_id=name, keys=keys_of(1, meter=name), vault=self.vault, now=self.clock.now()
                    )
            if due:
                plans = [
                    ProfilePlan(
                        meter_id=name,
                        profile="load",
                        seconds=SLOT,
                        start=start,
                        every=timedelta(seconds=SLOT),
                        grace=GRACE,
                    )
                    for name in names
                ]
                headend.expect(tx, plans=plans, now=self.clock.now())

    def meter(self, name: str = "m") -> PaperMeter:
        return self.driver.meters[name]

    def collect(self, *, policy: CollectionPolicy = POLICY, only: Sequence[str] | None = None) -> Collected:
        return asyncio.run(headend.collect(tools=self.tools(), policy=policy, only=only))

    def later(self, step: timedelta = timedelta(hours=1)) -> None:
        self.clock.advance(step)

    def gaps(self, *names: str) -> list[headend.Gap]:
        with self.store.read() as tx:
            return headend.gaps(tx, meter_ids=names or None, now=NOW)

    def delivered(self) -> Counter[tuple[str, int]]:
        """How often each row of each meter reached the readings."""
        with self.store.read() as tx:
            facts = recent_facts(tx, limit=100_000)
        found: Counter[tuple[str, int]] = Counter()
        for one in facts:
            if one.kind == "Delivered":
                found.update((one.data["meter_id"], start) for start in json.loads(one.data["starts"]))
        return found

    def facts(self, kind: str) -> list[dict[str, Any]]:
        with self.store.read() as tx:
            return [dict(one.data) for one in reversed(recent_facts(tx, limit=1000)) if one.kind == kind]

    def status(self, name: str = "m") -> headend.MeterStatus:
        with self.store.read() as tx:
            (found,) = headend.meter_statuses(tx, meter_ids=[name], now=self.clock.now())
        return found

    def command(self, command_id: str) -> headend.Command:
        with self.store.read() as tx:
            return headend.command(tx, command_id=command_id)

    def submit(self, command_id: str, action: headend.Action, *, meter: str = "m", **more: Any) -> None:  # noqa: ANN401 - as CommandRequest has it
        request = headend.CommandRequest(
            id=command_id, meter_id=meter, action=action, actor="ada", reason="test", **more
        )
        with self.store.write() as tx:
            headend.submit(tx, request=request, now=self.clock.now())

    def rotate(self, meter: str = "m") -> int:
        with self.store.write() as tx:
            return headend.begin_rotation(tx, meter_id=meter, vault=self.vault, now=self.clock.now())

    def key_states(self, meter: str = "m") -> list[tuple[int, str]]:
        with self.store.read() as tx:
            return [(one.generation, one.state) for one in headend.key_statuses(tx, meter_id=meter)]
