"""The town alive: concentrators deliver as each quarter-hour ends, people live their evening, months are billed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from wattledger.demo._history import Simulation, month_to_bill
from wattledger.demo._people import Payer, RechargeRejected, pay
from wattledger.demo._town import CONCENTRATORS, SLOT_SECONDS, slot_floor
from wattledger.demo.ports import TownHost
from wattledger.kernel import Problem, epoch, from_epoch
from wattledger.store import RecordedFact

_log = logging.getLogger(__name__)

_CONCENTRATOR_DELAY_SECONDS = 130
_PEOPLE_EVERY_SECONDS = 0.2
_BILLS_EVERY = timedelta(minutes=10)
_LOOK_EVERY = timedelta(hours=6)
_TRY_AGAIN_AFTER = timedelta(minutes=10)
_REST_SECONDS_MAX = 0.25
_JOIN_SECONDS_MAX = 30.0


@dataclass(frozen=True, slots=True)
class Pulse:
    """What the live town tells its watcher: facts in their order, and intervals as they arrive."""

    facts: Callable[[Sequence[RecordedFact]], None]
    intervals: Callable[[int], None]


class LiveTown:
    """Two threads: one delivers readings, one is the people and the clerk who starts the bill runs.

    They end when ``stop`` is set. An error neither of them can mend sets ``stop`` and is raised by :meth:`join`.
    """

    def __init__(
        self, *, host: TownHost, simulation: Simulation, payer: Payer, pulse: Pulse, stop: threading.Event
    ) -> None:
        self._host, self._simulation, self._payer, self._pulse, self._stop = host, simulation, payer, pulse, stop
        self._errors: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), name=f"town-{name}", daemon=True)
            for name, work in (("meters", self._deliver), ("people", self._live))
        ]

    def start(self) -> None:
        """Let the clock run and the town live."""
        self._simulation.clock.run()
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until both have finished what they were at; raises what stopped them, if anything did."""
        for thread in self._threads:
            thread.join(_JOIN_SECONDS_MAX)
        if self._errors:
            raise self._errors[0]

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that joins
            self._errors.append(error)
            self._stop.set()

    def _deliver(self) -> None:
        clock, meters = self._simulation.clock, self._simulation.meters
        first = slot_floor(clock.now()) + SLOT_SECONDS
        due = [first + number * _CONCENTRATOR_DELAY_SECONDS for number in range(CONCENTRATORS)]
        while not self._stop.is_set():
            now = epoch(clock.now())
            for number in range(CONCENTRATORS):
                if due[number] > now or self._stop.is_set():
                    continue
                batch = meters.collect(until=clock.now(), concentrator=number)
                if batch is not None:
                    self._host.deliver(batch=batch)
                    meters.acknowledge(batch)
                    self._pulse.intervals(sum(len(point.series) for point in batch.points))
                # Behind the clock, a concentrator sends several slots at once and then waits for the next to end.
                ended = (now - number * _CONCENTRATOR_DELAY_SECONDS) // SLOT_SECONDS * SLOT_SECONDS
                due[number] = ended + SLOT_SECONDS + number * _CONCENTRATOR_DELAY_SECONDS
            self._stop.wait(min(_REST_SECONDS_MAX, clock.seconds_of_life_until(from_epoch(min(due)))))

    def _live(self) -> None:
        clock, people = self._simulation.clock, self._simulation.people
        bills_at = look_at = clock.now()
        while not self._stop.is_set():
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
