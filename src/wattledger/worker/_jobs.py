"""Durable workflows. A step is one transaction or safe to repeat: one that was under way at a crash runs again."""

from __future__ import annotations

from itertools import count
from typing import Literal, cast

from dbos import DBOS, DBOSConfig, DBOSConfiguredInstance, SetWorkflowID, WorkflowHandle

from wattledger import billing, control
from wattledger.control import RelayState, SwitchPort
from wattledger.kernel import Clock
from wattledger.store import Store, chunked
from wattledger.worker._shards import THREADS, Shard, Shards, StageTimes, WalletDeductions

# Workflows begun by one release are taken up by the next as long as this stays: it changes when their steps do.
_WORKFLOWS_VERSION = "2"
_SHARD_CONTRACTS = 4_000  # some half a second, in which nobody else writes to SQLite
_ROUND_SHARDS = 64
_POLLED_EVERY = 0.2  # seconds
_CORRECTED_TOGETHER = 200
_FAILED = {"ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"}


@DBOS.dbos_class()
class Jobs(DBOSConfiguredInstance):
    """The workflows of one system."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        switch: SwitchPort,
        name: str,
        corrections: billing.CorrectionPolicy = "next_bill",
        executor: str = THREADS,
    ) -> None:
        super().__init__(name)  # by this name an interrupted workflow finds its instance again
        self._store = store
        self._clock = clock
        self._switch = switch
        self._deductions = WalletDeductions()
        self._corrections = corrections
        self._shards = Shards(store, executor=executor)

    @property
    def stages(self) -> StageTimes:
        """Where the time of the bill runs of this process went."""
        return self._shards.stages

    def start_bill_run(self, *, month: str) -> billing.BillRun:
        """Begin (or begin again with what was held) the run of ``month``; raises ``billing.MonthNotOver``."""
        self._shards.check()
        with self._store.write() as tx:
            run = billing.start_run(tx, month=month, now=self._clock.now())
        self.take_up_bill_run(run)
        return run

    def take_up_bill_run(self, run: billing.BillRun) -> None:
        """Make sure that the workflow of a running run exists: the process may have died right after it was begun."""
        self._begun(run)

    def wait_for_bill_run(self, *, run: billing.BillRun) -> billing.BillRun:
        """Wait until a run has come to its end, and return it."""
        self._begun(run).get_result(polling_interval_sec=_POLLED_EVERY)
        with self._store.read() as tx:
            return billing.bill_run_with_id(tx, run_id=run.id)

    def _begun(self, run: billing.BillRun) -> WorkflowHandle[int]:
        """The workflow of a run; where one has failed (a full disk, a cluster that is gone) the next one goes on."""
        for number in count():
            workflow_id = f"{run.id}:{run.attempt}" + (f":{number}" if number else "")
            known = DBOS.get_workflow_status(workflow_id)
            if known is None or known.status not in _FAILED or run.state == "finished":
                with SetWorkflowID(workflow_id):
                    return DBOS.start_workflow(self.bill_run, run.id)
        raise AssertionError

    @DBOS.workflow(name="bill_run")
    def bill_run(self, run_id: str) -> int:
        """Make every bill of a run, shards of contracts at a time."""
        made = 0
        for shards in self.bill_run_rounds(run_id):
            made += self.bill_run_round(run_id, shards)
        self.bill_run_finish(run_id)
        return made

    @DBOS.step(name="bill_run_rounds")
    def bill_run_rounds(self, run_id: str) -> list[list[list[str]]]:
        """The contracts of the run as they were when it began, in shards, and these in rounds."""
        with self._store.read() as tx:
            contracts = billing.run_contracts(tx, run_id=run_id)
        shards = [list(shard) for shard in chunked(contracts, _SHARD_CONTRACTS)]
        return [list(some) for some in chunked(shards, _ROUND_SHARDS)]

    @DBOS.step(name="bill_run_round")
    def bill_run_round(self, run_id: str, shards: list[list[str]]) -> int:
        """Some shards, each in a transaction of its own; bills that are posted already are passed over."""
        now = self._clock.now()
        return self._shards.do([Shard(run_id, contracts, now, self._corrections) for contracts in shards])

    @DBOS.step(name="bill_run_finish")
    def bill_run_finish(self, run_id: str) -> None:
        """Mark the run as finished."""
        with self._store.write() as tx:
            billing.finish_run(tx, run_id=run_id, now=self._clock.now())

    def correct_bills(self) -> int | None:
        """Correct bills that something came late for, of one shard of points; ``None`` when nothing was to be done."""
        with self._store.read() as tx:
            if not billing.corrections_due(tx):
                return None  # the usual case takes no write lock
        with self._store.write() as tx:
            made = billing.correct_due(
                tx,
                deductions=self._deductions,
                now=self._clock.now(),
                policy=self._corrections,
                limit=_CORRECTED_TOGETHER,
            )
        return len(made)

    def correct_all_bills(self) -> int:
        """As :meth:`correct_bills` until nothing is left, and of what waited; returns how many corrections it made."""
        with self._store.write() as tx:
            billing.take_up_waiting(tx)
        return sum(iter(self.correct_bills, None))

    def start_switch(self, *, command_id: str, attempts: int) -> None:
        """Carry out a supply command as a workflow of its own; the same attempt is begun only once."""
        with SetWorkflowID(f"{command_id}:{attempts}"):
            DBOS.start_workflow(self.switch_supply, command_id)

    def switch_now(self, *, command_id: str) -> None:
        """Carry out a supply command here and now, without a workflow."""
        begun = self._begin(command_id)
        if begun is not None:
            self._finish(command_id, *self._act(*begun))

    @DBOS.workflow(name="switch_supply")
    def switch_supply(self, command_id: str) -> None:
        """Ask the meter, read it back, record what it says."""
        begun = self.switch_begin(command_id)
        if begun is not None:
            self.switch_finish(command_id, *self.switch_act(*begun))

    @DBOS.step(name="switch_begin")
    def switch_begin(self, command_id: str) -> tuple[str, str] | None:
        """Look once more whether it is to be done, and mark it as sent."""
        return self._begin(command_id)

    @DBOS.step(name="switch_act")
    def switch_act(self, meter_id: str, action: str) -> tuple[bool | None, str]:
        """Operate the disconnector and read it back; to ask a meter twice for the same does no harm."""
        return self._act(meter_id, action)

    @DBOS.step(name="switch_finish")
    def switch_finish(self, command_id: str, output_on: bool | None, said: str) -> None:  # noqa: FBT001 - as switch_act gives it
        """Record the outcome."""
        self._finish(command_id, output_on, said)

    def _begin(self, command_id: str) -> tuple[str, str] | None:
        with self._store.write() as tx:
            order = control.begin_command(tx, command_id=command_id, now=self._clock.now())
        return None if order is None else (order.meter_id, order.action)

    def _act(self, meter_id: str, action: str) -> tuple[bool | None, str]:
        operate = self._switch.reconnect if action == "reconnect" else self._switch.disconnect
        try:
            operate(meter_id=meter_id)
            relay = self._switch.read_relay(meter_id=meter_id)
        except control.MeterUnreachable as problem:
            return None, str(problem)
        return relay.output_on, relay.control_state

    def _finish(self, command_id: str, output_on: bool | None, said: str) -> None:  # noqa: FBT001 - as _act gives it
        state = cast("Literal['disconnected', 'connected', 'ready_for_reconnection']", said)
        relay = None if output_on is None else RelayState(output_on=output_on, control_state=state)
        with self._store.write() as tx:
            control.finish_command(
                tx,
                command_id=command_id,
                relay=relay,
                detail=said if relay is None else None,
                now=self._clock.now(),
            )


def launch_jobs(*, store: Store) -> None:
    """Start the workflow engine on the store's own database and take up what was interrupted.

    To be called once per process, after :class:`Jobs` was built: recovery needs it.
    """
    url = store.url.render_as_string(hide_password=False)
    config = DBOSConfig(
        name="wattledger",
        system_database_url=url,
        application_version=_WORKFLOWS_VERSION,
        executor_id="local",
        log_level="WARNING",
        use_listen_notify=False,
        notification_listener_polling_interval_sec=_POLLED_EVERY,
    )
    DBOS(config=config)
    DBOS.launch()


def stop_jobs() -> None:
    """Stop the workflow engine; what is under way is taken up at the next start."""
    DBOS.destroy(workflow_completion_timeout_sec=5)
