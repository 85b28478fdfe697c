"""The simulated town on a real system: the town's clock and meters, everything else as it is in earnest."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from wattledger import demo, readings, store, worker
from wattledger.app._system import System, open_store
from wattledger.cli import ServeOptions, SystemOptions, TownOptions


class _Host:
    """``demo.TownHost`` over a :class:`System`."""

    def __init__(self, system: System, serve: ServeOptions | None) -> None:
        self.store = system.store
        self._system = system
        self._serve = serve
        self._live = False

    def deliver(self, *, batch: readings.IntervalBatch) -> readings.Receipt:
        """Ingest a batch, deduct what it costs and commit."""
        return self._system.deliver(batch=batch)

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
        switch=simulation.meters,
        zone=demo.ZONE,
        clock_speed=town.speed,
        upkeep=worker.UpkeepSettings(validation=False),
    )
    system.launch_jobs()
    try:
        demo.run_demo(host=_Host(system, town.serve), simulation=simulation, options=wanted)
    finally:
        system.stop()
        worker.stop_jobs()
        system.store.close()
