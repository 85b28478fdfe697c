"""A whole system: the store with its rooms, the worker, the jobs and the served edges."""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from wattledger import billing, control, evidence, headend, ledger, notices, prepay, pricing, readings, registry, worker
from wattledger.app._headend import LinkedSwitches, MeterDesk, tools_for, vault_in
from wattledger.app._validation import Desk
from wattledger.cli import ServeOptions, SystemOptions, WhatIf
from wattledger.kernel import Clock, Money, Period, Problem, SystemClock, zone_named
from wattledger.store import Store, Transaction

if TYPE_CHECKING:
    from wattledger import api
    from wattledger.worker import Collector

JOBS_NAME = "jobs"
"""By this name an interrupted workflow finds its system again."""


class PortTaken(Problem):
    """Another program listens where this one is to."""

    slug = "port-taken"
    title = "The port is taken"
    status = 409


class System:
    """One running Wattledger. Built once per process: the workflow engine knows only one.

    ``data``    the folder beside the database: the master key of the meters' keys may lie there
    ``switch``  who switches supplies, where that is not the head-end
    ``door``    a bound socket at which meters connect
    ``drivers``, ``collection``  what the head-end speaks beside what is installed, and how it collects
    """

    def __init__(  # noqa: PLR0913 - everything that can differ between two systems
        self,
        *,
        store: Store,
        clock: Clock,
        data: Path,
        switch: control.SwitchPort | None = None,
        drivers: Sequence[headend.Driver] = (),
        collection: headend.CollectionPolicy | None = None,
        door: socket.socket | None = None,
        zone: str = "UTC",
        clock_speed: int = 1,
        policy: control.CutOffPolicy | None = None,
        corrections: billing.CorrectionPolicy = "next_bill",
        executor: str = "threads",
        channels: Sequence[notices.Channel] = (),
        delivery: notices.DeliveryRules | None = None,
        poll: timedelta = timedelta(seconds=0.25),
        rules: readings.vee.Rules | None = None,
        decisions: readings.DecisionPolicy | None = None,
        upkeep: worker.UpkeepSettings | None = None,
    ) -> None:
        self.store = store
        self.clock = clock
        self.zone = zone
        self.channels = channels or (notices.LogChannel(),)
        self.clock_speed = clock_speed
        self._data, self._switch, self._policy = data, switch, policy or control.CutOffPolicy()
        self._drivers, self._collection, self._door = drivers, collection, door
        self._corrections, self._executor = corrections, executor
        self._delivery, self._poll = delivery, poll
        self.desk = Desk(store=store, clock=clock, wake=self.wake, rules=rules, policy=decisions)
        self.upkeep = worker.Upkeep(
            store=store, clock=clock, validate=lambda period: self.desk.validate(period=period), settings=upkeep
        )
        self._api_stop = threading.Event()
        self._api_thread: threading.Thread | None = None

    @cached_property
    def jobs(self) -> worker.Jobs:
        """The workflows; made when they are wanted, for their engine takes a second to load."""
        return worker.Jobs(
            store=self.store,
            clock=self.clock,
            switch=self._switch or LinkedSwitches(self.meters),
            name=JOBS_NAME,
            corrections=self._corrections,
            executor=self._executor,
        )

    @cached_property
    def worker(self) -> worker.Worker:
        """Who does what is due; made when it is wanted."""
        return worker.Worker(
            store=self.store,
            clock=self.clock,
            jobs=self.jobs,
            channels=self.channels,
            delivery=self._delivery,
            policy=self._policy,
            poll=self._poll,
        )

    @cached_property
    def meters(self) -> MeterDesk:
        """Who asks and commands linked meters; made when it is wanted, for it opens the meters' keys."""
        tools = tools_for(
            self.store,
            clock=self.clock,
            deliver=deliver_in,
            vault=vault_in(self._data),
            drivers=self._drivers,
            clock_speed=self.clock_speed,
        )
        return MeterDesk(tools=tools, policy=self._collection)

    @cached_property
    def collector(self) -> Collector:
        """Who talks to linked meters whenever one is due; made when it is wanted."""
        poll = timedelta(seconds=1) if self.clock_speed == 1 else self._poll
        tools, policy = self.meters.tools, self.meters.policy
        return worker.Collector(tools=tools, policy=policy, wake=self.wake, poll=poll, door=self._door)

    def wake(self) -> None:
        """Something was committed: where somebody is at work, they look now."""
        if "worker" in self.__dict__:
            self.worker.wake()

    def deliver(self, *, batch: readings.IntervalBatch) -> readings.Receipt:
        """Store a batch, deduct what it costs, watch its loads, in one transaction: the way in for every head-end.

        What of it is late for a bill is noted; the worker corrects the bill. Exceptions that it settles are closed.
        """
        with self.store.write() as tx:
            receipt = deliver_in(tx, batch, self.clock.now())
        self.wake()
        return receipt

    def start_bill_run(self, month: str) -> billing.BillRun:
        """Begin a month's bill run as a durable job."""
        return self.jobs.start_bill_run(month=month)

    def services(self) -> api.ApiServices:
        """What the HTTP edge works on."""
        from wattledger import api, web  # noqa: PLC0415 - a second of imports that most commands do without

        return api.ApiServices(
            store=self.store,
            clock=self.clock,
            clock_speed=self.clock_speed,
            zone=self.zone,
            start_bill_run=self.start_bill_run,
            wake_worker=self.wake,
            desk=self.desk,
            pages=web.built_pages(),
            channels=self.channels,
            metrics=self._metrics,
            signer=signer_in(self._data),
        )

    def _metrics(self) -> str:
        with self.store.read() as tx:
            stands = headend.standing(tx, now=self.clock.now())
        return self.meters.tools.metrics.text() + stands.text()

    def recharge(self, *, contract_id: str, amount: Decimal, method: str, key: str) -> prepay.Recharge:
        """Put money on a wallet, as the API does."""
        now = self.clock.now()
        with self.store.write() as tx:
            contract = registry.contract(tx, contract_id=contract_id, at=now)
            done = prepay.recharge(
                tx,
                contract_id=contract_id,
                amount=Money.of(amount, contract.currency),
                method=method,
                key=key,
                now=now,
            )
        self.wake()
        return done

    def start_api(self, serve: ServeOptions) -> None:
        """Serve the API and the pages from a thread; raises :class:`PortTaken`."""
        from wattledger import api  # noqa: PLC0415 - as in services

        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((serve.host, serve.port))
            except OSError as error:
                raise PortTaken(
                    f"cannot listen on {serve.host}:{serve.port}: {error.strerror}", remedy="choose another --port"
                ) from error
        self._api_thread = threading.Thread(
            target=api.serve,
            args=(api.create_api(self.services()),),
            kwargs={"host": serve.host, "port": serve.port, "stop": self._api_stop},
            name="wattledger-api",
            daemon=True,
        )
        self._api_thread.start()

    def launch_jobs(self) -> None:
        """Start the workflow engine; interrupted workflows go on, so they have to be known by then."""
        assert self.jobs is not None  # noqa: S101 - made here
        worker.launch_jobs(store=self.store)

    def start_work(self) -> None:
        """Begin to do what is due, again and again."""
        self.worker.start()
        self.upkeep.start()
        if self._switch is None:
            self.collector.start()

    def stop(self) -> None:
        """Stop what was started; everything committed stays, everything under way goes on at the next start."""
        self._api_stop.set()
        if self._api_thread is not None:
            self._api_thread.join(timeout=5)
        if self._switch is None:
            self.collector.stop()
        self.upkeep.stop()
        self.worker.stop()


def signer_in(folder: Path) -> evidence.Signer:
    """Who signs statements: the key in the file that ``WATTLEDGER_STATEMENT_KEY_FILE`` names, or one in ``folder``."""
    named = os.environ.get("WATTLEDGER_STATEMENT_KEY_FILE")
    if named:
        return evidence.signer_from_file(Path(named))
    return evidence.signer_from_file(folder / "statement.key", make=secrets.token_bytes(32))


def deliver_in(tx: Transaction, batch: readings.IntervalBatch, now: datetime) -> readings.Receipt:
    """Store a batch with all that follows from it, within a unit of work of somebody else's."""
    receipt = readings.ingest(tx, batch=batch, now=now)
    readings.note_arrivals(tx, changes=receipt.changes, now=now)
    billing.note_late(tx, changes=receipt.changes, batch_id=batch.id, now=now)
    prepay.deduct(tx, changes=receipt.changes, now=now)
    pricing.watch_loads(tx, changes=receipt.changes, now=now)
    return receipt


def open_store(options: SystemOptions) -> Store:
    """The store that the options name, migrated: the embedded one in the data folder unless another is given."""
    store = Store(options.database or f"sqlite:///{_embedded(options)}")
    store.migrate()
    return store


def _embedded(options: SystemOptions) -> Path:
    return (options.data / "wattledger.db").resolve()


def _file_of(options: SystemOptions) -> Path | None:
    """Where the database lies, if it is a file."""
    if options.database is None:
        return _embedded(options)
    return Path(options.database.removeprefix("sqlite:///")) if options.database.startswith("sqlite:///") else None


def serve_system(options: SystemOptions, serve: ServeOptions) -> None:
    """Serve until SIGINT or SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    stop = stop_on_signals()
    system = system_of(options, door=None if serve.meters is None else _door(*serve.meters))
    system.launch_jobs()
    system.start_api(serve)
    system.start_work()
    sys.stdout.write(f"Wattledger serves http://{serve.host}:{serve.port}/ (Ctrl-C stops)\n")
    if serve.meters is not None:
        sys.stdout.write("Meters connect at {}:{}\n".format(*serve.meters))
    sys.stdout.flush()
    stop.wait()
    system.stop()
    worker.stop_jobs()
    system.store.close()


def _door(host: str, port: int) -> socket.socket:
    """A socket that is bound; raises :class:`PortTaken`."""
    try:
        return socket.create_server((host, port), backlog=1_024)
    except OSError as error:
        raise PortTaken(
            f"meters cannot connect at {host}:{port}: {error.strerror or error}", remedy="choose another --meters"
        ) from error


def stop_on_signals() -> threading.Event:
    """An event that SIGINT and SIGTERM set."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def run_bills(options: SystemOptions, month: str) -> Sequence[str]:
    """Run a month's bills to the end and tell how it went."""
    system = system_of(options)
    system.launch_jobs()
    run = system.jobs.wait_for_bill_run(run=system.start_bill_run(month))
    worker.stop_jobs()
    system.store.close()
    held = ", ".join(f"{count} {reason}" for reason, count in sorted(run.held_by_reason.items()))
    took = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in system.jobs.stages.seconds.items())
    return [
        f"{run.month}: {run.posted} of {run.contracts} posted, {run.held} held" + (f" ({held})" if held else ""),
        f"statements that agree with their wallets: {run.statements_agreeing} of {run.statements}",
        *(f"total {amount}" for _, amount in sorted(run.amounts.items())),
        *([f"time: {took}"] if took else []),
    ]


def correct_bills(options: SystemOptions) -> Sequence[str]:
    """Correct the bills that something came late for, and tell how many still wait for what they lack."""
    system = system_of(options)
    made = system.jobs.correct_all_bills()
    with system.store.read() as tx:
        waiting = billing.corrections_waiting(tx)
    system.store.close()
    lines = [f"{made} corrections of bills and statements"]
    return [*lines, *(f"{count} service points wait: {because}" for because, count in sorted(waiting.items()))]


@contextmanager
def opened(options: SystemOptions) -> Iterator[System]:
    """The system that the options name, closed at the end."""
    system = system_of(options)
    try:
        yield system
    finally:
        system.store.close()


def system_of(options: SystemOptions, *, door: socket.socket | None = None) -> System:
    """The system that the options name, not served and with nobody at work."""
    return System(
        door=door,
        store=open_store(options),
        clock=SystemClock(),
        data=options.data,
        corrections=options.corrections,
        executor=options.executor,
        rules=None if options.rules is None else readings.vee.load_rules(options.rules),
        decisions=readings.DecisionPolicy(second_person_above=options.second_person_above),
        upkeep=worker.UpkeepSettings(
            validation=options.validate, compaction=worker.CompactionSettings(files=options.files)
        ),
    )


def check_ledger(options: SystemOptions) -> Sequence[str]:
    """Audit the book."""
    store = open_store(options)
    with store.read() as tx:
        faults = ledger.check_book(tx)
    store.close()
    return [f"{fault.account_id}: {fault.cause}" for fault in faults]


def compare_tariffs(options: SystemOptions, asked: WhatIf) -> pricing.Comparison:
    """Compare tariffs over the contracts of a database; for no dates, over the last year's whole months of readings."""
    file = _file_of(options)
    if file is not None and not file.exists():  # to open it would make it
        raise pricing.NothingToCompare(
            f"there is no database {file}", remedy="name one with --data or --database, or files with --readings"
        )
    store = open_store(options)
    try:
        with store.read() as tx:
            return pricing.compare_contracts(tx, new=asked.new, old=asked.old, within=_compared(tx, asked))
    finally:
        store.close()


def _compared(tx: Transaction, asked: WhatIf) -> Period:
    latest = readings.collected(tx).last_interval_start
    if latest is None:
        raise pricing.NothingToCompare("the database has no readings", remedy="name one with --data or --database")
    now = latest + timedelta(minutes=15)
    known = registry.contracts(tx, at=now, limit=1)
    clock = zone_named(asked.new.zone or (known[0].zone if known else "UTC"))
    local = now.astimezone(clock)
    last = asked.last or local.date().replace(day=1)
    first = asked.first or last.replace(year=last.year - 1, day=1)
    return Period(*(datetime(day.year, day.month, day.day, tzinfo=clock) for day in (first, last)))


def openapi_document() -> str:
    """The OpenAPI document; it is the same over every system, so it is made over one that does nothing."""
    from wattledger import api  # noqa: PLC0415 - as in services

    with tempfile.TemporaryDirectory() as folder:
        store, clock = Store(f"sqlite:///{folder}/empty.db"), SystemClock()
        services = api.ApiServices(
            store=store,
            clock=clock,
            clock_speed=1,
            zone="UTC",
            start_bill_run=_no_bill_run,
            wake_worker=lambda: None,
            desk=Desk(store=store, clock=clock, wake=lambda: None),
            pages=None,
            signer=evidence.Signer(bytes(32)),  # its routes are in the document; nothing is signed
        )
        document = api.create_api(services).openapi()
    return json.dumps(document, indent=2, ensure_ascii=False)


def _no_bill_run(month: str) -> billing.BillRun:
    raise billing.BillRunNotFound(f"there is no system here that could bill {month}")
