"""The simulated town on a real system: the town's clock and meters, everything else as it is in earnest."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from wattledger import demo, headend, store, worker
from wattledger.app._system import System, open_store
from wattledger.cli import ServeOptions, SystemOptions, TownOptions

_RETRY = headend.RetryPolicy(
    first=timedelta(minutes=15), longest=timedelta(hours=1), budget=1_000, rest=timedelta(hours=1)
)
_HISTORY = headend.CollectionPolicy(sessions=2_000, batch=2_000, retry=_RETRY)
"""At hand all meters are talked to at once, and what they say is one unit of work."""
_LIVE = headend.CollectionPolicy(
    sessions=32,
    per_concentrator=12,
    batch=100,
    linger=0.2,
    retry=_RETRY,
    limits=headend.VisitLimits(opening=3, operation=10, whole=30, read_back=(1, 2)),
)
"""On a line that is this process's own nothing takes long, unless the meter is silent."""


class _Host:
    """``demo.TownHost`` over a :class:`System`."""

    def __init__(self, system: System, serve: ServeOptions | None) -> None:
        self.store = system.store
        self._system = system
        self._serve = serve
        self._live = False

    @property
    def vault(self) -> headend.Vault:
        """What seals the keys of meters."""
        vault = self._system.meters.tools.vault
        assert vault is not None  # noqa: S101 - a system always has one
        return vault

    def collect(self) -> int:
        """Have the head-end talk to every meter that is due; how many rows came."""
        return asyncio.run(headend.collect(tools=self._system.meters.tools, policy=_HISTORY)).rows

    def rows_brought(self) -> int:
        """How many rows of profiles the head-end has brought."""
        return self._system.meters.tools.metrics.rows

    def settle_town(self) -> None:
        """Do everything that is due by the town's clock."""
        self._system.worker.settle()

    def recharge(self, *, contract_id: str, amount: Decimal, key: str) -> None:
        """Put money on a wallet without HTTP."""
        self._system.recharge(contract_id=contract_id, amount=amount, method="simulated", key=key)

    def run_bills(self, *, month: str) -> None:
        """Start the durable bill run of a month; waits for its end while history is made."""
        run = self._system.start_bill_run(month)
        if not self._live:
            self._system.jobs.wait_for_bill_run(run=run)

    def facts_since(self, seq: int) -> Sequence[store.RecordedFact]:
        """The facts recorded after ``seq``, oldest first."""
        with self.store.read() as tx:
            return store.facts_since(tx, seq=seq)

    def last_fact(self) -> int:
        """The number of the newest fact, 0 when there is none."""
        with self.store.read() as tx:
            newest = store.recent_facts(tx, limit=1)
        return newest[0].seq if newest else 0

    def go_live(self) -> None:
        """Start the workers, and the server if there is to be one."""
        self._live = True
        self._system.start_work()
        if self._serve is not None:
            self._system.start_api(self._serve)


def run_town(options: SystemOptions, town: TownOptions) -> None:
    """Raise the town, or go on with it, and let it live until interrupted."""
    wanted = demo.DemoOptions(
        seed=town.seed,
        homes=town.homes,
        days=town.days,
        speed=town.speed,
        data=options.data,
        fresh=town.fresh,
        port=town.serve.port if town.serve else demo.PORT_DEFAULT,
        serve=town.serve is not None,
        for_seconds=town.for_seconds,
    )
    demo.prepare_data(wanted)
    simulation = demo.simulate(wanted)
    system = System(
        store=open_store(options),
        clock=simulation.clock,
        data=options.data,
        drivers=[demo.NearDriver(simulation.meters)],
        collection=_LIVE,
        zone=demo.ZONE,
        clock_speed=town.speed,
        upkeep=worker.UpkeepSettings(validation=False),
    )
    system.launch_jobs()
    try:
        demo.run_demo(host=_Host(system, town.serve), simulation=simulation, options=wanted, random=secrets.token_bytes)
    finally:
        system.stop()
        worker.stop_jobs()
        system.store.close()
