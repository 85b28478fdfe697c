"""The town alive: people live their evening, months are billed, and what the head-end brings is told."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from wattledger.demo._history import Simulation, month_to_bill
from wattledger.demo._people import Payer, RechargeRejected, pay
from wattledger.demo.ports import TownHost
from wattledger.kernel import Problem
from wattledger.store import RecordedFact

_log = logging.getLogger(__name__)

_PEOPLE_EVERY_SECONDS = 0.2
_BILLS_EVERY = timedelta(minutes=10)
_LOOK_EVERY = timedelta(hours=6)
_TRY_AGAIN_AFTER = timedelta(minutes=10)
_JOIN_SECONDS_MAX = 30.0


@dataclass(frozen=True, slots=True)
class Pulse:
    """What the live town tells its watcher: facts in their order, and how many rows the head-end brought."""

    facts: Callable[[Sequence[RecordedFact]], None]
    rows: Callable[[int], None]


class LiveTown:
    """A thread that is the people and the clerk who starts the bill runs. The meters are the head-end's business.

    It ends when ``stop`` is set. An error that it cannot mend sets ``stop`` and is raised by :meth:`join`.
    """

    def __init__(
        self, *, host: TownHost, simulation: Simulation, payer: Payer, pulse: Pulse, stop: threading.Event
    ) -> None:
        self._host, self._simulation, self._payer, self._pulse, self._stop = host, simulation, payer, pulse, stop
        self._errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._guarded, name="town-people", daemon=True)

    def start(self) -> None:
        """Let the clock run and the town live."""
        self._simulation.clock.run()
        self._thread.start()

    def join(self) -> None:
        """Wait until it has finished what it was at; raises what stopped it, if anything did."""
        self._thread.join(_JOIN_SECONDS_MAX)
        if self._errors:
            raise self._errors[0]

    def _guarded(self) -> None:
        try:
            self._live()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that joins
            self._errors.append(error)
            self._stop.set()

    def _live(self) -> None:
        clock, people = self._simulation.clock, self._simulation.people
        bills_at = look_at = clock.now()
        brought = self._host.rows_brought()
        while not self._stop.is_set():
            before, brought = brought, self._host.rows_brought()
            self._pulse.rows(brought - before)
            facts = self._simulation.listen(self._host)
            if facts:
                self._pulse.facts(facts)
            now = clock.now()
            for intention in people.take_due(now):
                try:
                    pay(people, intention, store=self._host.store, payer=self._payer, now=now)
                except RechargeRejected as refusal:
                    _log.warning("%s", refusal)  # they will look at their wallet again
                except Problem as problem:
                    _log.warning("%s", problem)
                    people.again(intention, at=clock.now() + _TRY_AGAIN_AFTER)
            if now >= bills_at:
                bills_at = now + _BILLS_EVERY
                month = month_to_bill(self._host.store, town=self._simulation.town, now=now)
                if month is not None:
                    self._host.run_bills(month=month)
            if now >= look_at:
                look_at = now + _LOOK_EVERY
                people.look(self._host.store, now=now)
            self._stop.wait(_PEOPLE_EVERY_SECONDS)
