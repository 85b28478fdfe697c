"""The loop that keeps things moving: facts told, commands begun, notices sent, wallets posted."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta

from wattledger import billing, control, ledger, notices, prepay
from wattledger.kernel import Clock
from wattledger.store import Store, dispatch_outbox
from wattledger.worker._jobs import Jobs
from wattledger.worker._reactions import reactions

_log = logging.getLogger(__name__)


class Worker:
    """Does what is due, again and again, in a thread of its own; or once, when asked."""

    def __init__(  # noqa: PLR0913 - all that the worker works with
        self,
        *,
        store: Store,
        clock: Clock,
        jobs: Jobs,
        channels: Sequence[notices.Channel],
        policy: control.CutOffPolicy,
        delivery: notices.DeliveryRules | None = None,
        poll: timedelta = timedelta(seconds=0.25),
        credit: Mapping[str, prepay.CreditDelivery] | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._jobs = jobs
        self._channels = channels
        self._delivery = delivery
        self._policy = policy
        self._credit = dict(credit or {})
        self._handlers = reactions(policy)
        self._poll_seconds = poll / timedelta(seconds=1)
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin the loop; an interrupted bill run is taken up first."""
        self._take_up_bill_run()
        # Notices go from a thread of their own: a slow gateway must not keep a supply off.
        self._threads = [
            threading.Thread(target=self._run, name="wattledger-worker", daemon=True),
            threading.Thread(target=self._run_notices, name="wattledger-notices", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Something was committed: look now, not at the next poll."""
        self._wake.set()

    def stop(self) -> None:
        """End the loop after what it is doing."""
        self._stop.set()
        self._wake.set()
        for thread in self._threads:
            thread.join()
        self._threads = []

    def settle(self) -> None:
        """Do everything that is due now, commands included, and return when nothing is left to do."""
        while (
            self._facts()
            + self._commands(here=True)
            + self._daily()
            + self._dated()
            + self._reservations()
            + self._deliveries()
            + self._corrections()
        ):
            pass
        self._notices()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(self._poll_seconds)
            self._wake.clear()
            try:
                while self._facts() and not self._stop.is_set():
                    pass
                self._commands(here=False)
                self._daily()
                self._dated()
                self._reservations()
                self._deliveries()
                if self._corrections():
                    self._wake.set()  # a shard at a time, so that commands do not wait for a thousand bills
            except Exception:  # noqa: BLE001 - the loop outlives whatever fails in one round
                _log.exception("a round of the worker failed; it goes on")

    def _run_notices(self) -> None:
        while not self._stop.wait(self._poll_seconds):
            try:
                while self._notices() and not self._stop.is_set():
                    pass
            except Exception:  # noqa: BLE001 - as above
                _log.exception("notices could not be sent; they are tried again")

    def _notices(self) -> int:
        return notices.deliver_due(
            self._store,
            channels=self._channels,
            now=self._clock.now(),
            jitter=lambda most: random.randint(0, most),  # noqa: S311 - spreads retries, keeps no secret
            rules=self._delivery,
        )

    def _facts(self) -> int:
        return dispatch_outbox(self._store, handlers=self._handlers, now=self._clock.now())

    def _commands(self, *, here: bool) -> int:
        with self._store.read() as tx:
            due = control.due_commands(tx, now=self._clock.now())
        for command_id, attempts in due:
            if here:
                self._jobs.switch_now(command_id=command_id)
            else:
                self._jobs.start_switch(command_id=command_id, attempts=attempts)
        return len(due)

    def _daily(self) -> int:
        now = self._clock.now()
        with self._store.read() as tx:
            if not prepay.settlement_due(tx, now=now):
                return 0  # the usual case takes no write lock
        with self._store.write() as tx:
            return prepay.settle_due(tx, now=now)

    def _deliveries(self) -> int:
        if not self._credit:
            return 0
        return prepay.deliver_due(self._store, ways=self._credit, now=self._clock.now())

    def _dated(self) -> int:
        """Temporary supplies that begin, end or can be closed, and protections that are over."""
        now = self._clock.now()
        with self._store.read() as tx:
            if not control.temporary_due(tx, now=now) and not control.protections_lapse(tx, now=now):
                return 0
        with self._store.write() as tx:
            lapsed = control.lapse_protections(tx, policy=self._policy, now=now)
            return lapsed + control.carry_on_temporary(tx, now=now)

    def _reservations(self) -> int:
        """Money that was set aside, and whose time is over."""
        now = self._clock.now()
        with self._store.read() as tx:
            if not ledger.expiry_due(tx, now=now):
                return 0
        with self._store.write() as tx:
            return ledger.expire_due(tx, now=now)

    def _corrections(self) -> int:
        return 0 if self._jobs.correct_bills() is None else 1

    def _take_up_bill_run(self) -> None:
        with self._store.read() as tx:
            run = billing.latest_run(tx)
        if run is not None and run.state == "running":
            self._jobs.take_up_bill_run(run)
