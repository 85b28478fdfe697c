"""What is done once a day is over: its readings are validated, then folded into files. In a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from wattledger import readings
from wattledger.kernel import Clock, Period, Problem
from wattledger.store import Store
from wattledger.worker._compaction import CompactionSettings, compact

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpkeepSettings:
    """How history is kept up.

    ``validation``  days are validated ``day_settles`` after their end (of the compaction's settings), when most of
                    what is late has come
    ``look_every``  of the system's clock: how often it is looked whether something is due
    """

    validation: bool = True
    compaction: CompactionSettings = field(default_factory=CompactionSettings)
    look_every: timedelta = timedelta(hours=1)


class Upkeep:
    """Validates and folds days that are over. A round that fails is told, once, and tried again an hour later.

    ``validate`` validates a period of everything that is stored. It is safe to repeat, as a fold is: what a crash
    left undone is done by the next round, here or on another machine.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        validate: Callable[[Period], object],
        settings: UpkeepSettings | None = None,
        poll: timedelta = timedelta(seconds=1),
    ) -> None:
        self._store = store
        self._clock = clock
        self._validate = validate
        self._settings = settings or UpkeepSettings()
        self._poll_seconds = poll / timedelta(seconds=1)
        self._told: str | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look, at once and then as often as the settings say."""
        self._thread = threading.Thread(target=self._run, name="wattledger-upkeep", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the day, or the stretch of files, that is under way."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def once(self) -> None:
        """Do everything that is due now; raises what goes wrong."""
        if self._settings.validation:
            with self._store.read() as tx:
                due = readings.validation_due(tx, now=self._clock.now(), settles=self._settings.compaction.day_settles)
            for period in due:
                if self._stop.is_set():
                    return
                self._validate(period)
                with self._store.write() as tx:
                    readings.note_validated(tx, period=period, now=self._clock.now())
        if self._due():
            compact(self._store, clock=self._clock, settings=self._settings.compaction, stopped=self._stop.is_set)

    def _due(self) -> bool:
        settings = self._settings.compaction
        with self._store.read() as tx:
            return bool(
                readings.compaction_due(
                    tx,
                    now=self._clock.now(),
                    day_settles=settings.day_settles,
                    month_settles=settings.month_settles,
                )
            )

    def _run(self) -> None:
        looked: datetime | None = None
        while not self._stop.is_set():
            now = self._clock.now()
            if looked is None or now - looked >= self._settings.look_every:
                looked = now
                self._round()
            self._stop.wait(self._poll_seconds)

    def _round(self) -> None:
        try:
            self.once()
        except Problem as problem:
            if str(problem) != self._told:  # every hour the same would drown what is new
                _log.warning("days that are over are not kept up: %s", problem)
            self._told = str(problem)
        except Exception:  # noqa: BLE001 - the loop outlives whatever fails in one round
            _log.exception("a round of upkeep failed; it is tried again")
        else:
            self._told = None
