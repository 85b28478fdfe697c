"""Compaction, start to end: one at a time in the whole system, whoever asks for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from wattledger import readings
from wattledger.kernel import Clock
from wattledger.store import Store

_ALONE = "compaction"
_GRACE = timedelta(hours=1)
"""How long a file that another stands for is kept, for who began to read before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactionSettings:
    """When days and months are folded and where files lie; ``files`` is only needed the first time."""

    files: str | None = None
    day_settles: timedelta = timedelta(hours=6)
    month_settles: timedelta = timedelta(days=3)
    late: bool = False
    grace: timedelta = _GRACE


def compact(
    store: Store,
    *,
    clock: Clock,
    settings: CompactionSettings | None = None,
    progress: Callable[[int, int], None] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> readings.Compacted:
    """Fold what is due, publish it if there are tables of it, and delete what nobody reads any more.

    A second compaction at the same time waits for the first. Every piece is a unit of work of its own: what is done
    stays done, whatever breaks; once ``stopped`` says so, the next ones are left for another time.
    """
    settings = settings or CompactionSettings()
    with store.alone(_ALONE):
        with store.write() as tx:
            folder = readings.files_lie_at(tx, url=settings.files)
        with store.read() as tx:
            swept = readings.unlisted_files(tx, folder=folder)
            pieces = readings.compaction_due(
                tx,
                now=clock.now(),
                day_settles=settings.day_settles,
                month_settles=settings.month_settles,
                late=settings.late,
            )
        for path in swept:
            folder.delete(path)
        intervals = size = 0
        for number, piece in enumerate(pieces):
            if stopped():
                break
            with store.read() as tx:
                folded = readings.fold(tx, piece=piece)
            with store.write() as tx:
                readings.publish(tx, folded=folded, now=clock.now())
            intervals += folded.rows
            size += sum(len(one.data) for one in folded.written)
            if progress is not None:
                progress(number + 1, len(pieces))
        if pieces and readings.is_published(folder):  # its tables must not name what is deleted next
            with store.read() as tx:
                readings.publish_delta(tx)
        with store.read() as tx:
            retired = readings.retired_files(tx, before=clock.now() - settings.grace)
        for path in retired:
            folder.delete(path)
        if retired:
            with store.write() as tx:
                readings.forget_files(tx, paths=retired)
    return readings.Compacted(len(pieces), intervals, size, len(swept) + len(retired))
