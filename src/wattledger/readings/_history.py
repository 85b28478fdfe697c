"""How much a point used: files, segments and what was just ingested, laid over each other.

A value in a segment is newer than one in a file, a later segment newer than an earlier one. ``as_of`` asks for what was
known at a past instant: the values of the batches that had come by then.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from typing import TypeVar

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from wattledger.kernel import IntervalSeries, Period, Quality, from_epoch
from wattledger.readings import _tables as t
from wattledger.readings._batches import IMPORT
from wattledger.readings._memory import (
    DAY,
    Names,
    segments,
)
from wattledger.readings._view import Ids, View, about_series, view
from wattledger.store import Row, Transaction, chunked

_TOGETHER = 4_096
_AHEAD = 4  # bundles of blocks read before they are asked for
_SERIES_AT_ONCE = 640

Outcome = TypeVar("Outcome")


def version_at(tx: Transaction, *, instant: datetime) -> int:
    """The last version that had come by an instant."""
    batch = t.ingest_batch.c
    found = tx.execute(sa.select(sa.func.max(batch.version)).where(batch.received_at <= instant)).scalar_one()
    return 0 if found is None else int(found)


def _limit(tx: Transaction, as_of: datetime | None) -> int | None:
    return None if as_of is None else version_at(tx, instant=as_of)


# --- Points ---------------------------------------------------------------------------------------------------------


def series(
    tx: Transaction,
    *,
    service_point_id: str,
    period: Period,
    channel: str = IMPORT,
    as_of: datetime | None = None,
) -> IntervalSeries:
    """The known intervals of one channel that start within ``period``; those that are missing are not listed.

    ``as_of``: as they were known at that instant, by what had been received then.
    """
    found = series_of_points(tx, service_point_ids=[service_point_id], period=period, channel=channel, as_of=as_of)
    return found.get(service_point_id, IntervalSeries.empty())


def series_of_points(
    tx: Transaction,
    *,
    service_point_ids: Collection[str],
    period: Period,
    channel: str = IMPORT,
    as_of: datetime | None = None,
) -> dict[str, IntervalSeries]:
    """As :func:`series`, for many points at once; points without any interval are left out.

    A channel whose interval length changed within the period shows the intervals of the length it has at the end;
    :func:`series_by_length` shows all.
    """
    every = series_by_length(tx, service_point_ids=service_point_ids, period=period, channel=channel, as_of=as_of)
    return {point: max(lengths, key=lambda one: int(one.starts[-1])) for point, lengths in every.items()}


def series_by_length(
    tx: Transaction,
    *,
    service_point_ids: Collection[str],
    period: Period,
    channel: str = IMPORT,
    as_of: datetime | None = None,
) -> dict[str, list[IntervalSeries]]:
    """Everything that is known of a channel at some points: a series for each interval length, by their first starts.

    No two of a point's intervals overlap. Points without any interval are left out.
    """
    names, limit = Names(tx), _limit(tx, as_of)
    found: dict[str, list[IntervalSeries]] = defaultdict(list)
    numbered: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for point in set(service_point_ids):
        for seconds in names.seconds_of(point, channel):
            number = names.number((point, channel, seconds))
            if number is not None:
                numbered[seconds].append((number, point))
    for seconds, members in sorted(numbered.items()):
        members.sort()
        with view(tx, channel=channel, seconds=seconds, period=period, limit=limit) as seen:
            for piece in chunked(members, _TOGETHER):
                wh, quality = seen.values(np.array([number for number, _ in piece], dtype=np.int32))
                starts = seen.first + seconds * np.arange(seen.slots, dtype=np.int64)
                for row, (_, point) in enumerate(piece):
                    one = _known(starts, wh[row], quality[row], seconds)
                    if len(one):
                        found[point].append(one)
    for lengths in found.values():
        lengths.sort(key=lambda one: int(one.starts[0]))
    return dict(found)


def _known(
    starts: NDArray[np.int64], wh: NDArray[np.int32], quality: NDArray[np.uint8], seconds: int
) -> IntervalSeries:
    known = quality != Quality.MISSING
    whole = IntervalSeries(starts, wh.astype(np.int64), quality.copy(), seconds)
    return whole if known.all() else whole.picked(known)


# --- Populations ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class IntervalBlock:
    """The intervals of many points on one grid.

    ``service_point_ids``  one a row
    ``first``              when the first column's interval starts
    ``seconds``            how long every interval is
    ``wh``                 int32 of (points, slots), not to be written to; what is missing is 0
    ``quality``            uint8 of (points, slots), likewise; :class:`Quality`
    ``whole``              whether no slot of the block is missing
    """

    service_point_ids: tuple[str, ...]
    first: datetime
    seconds: int
    wh: NDArray[np.int32]
    quality: NDArray[np.uint8]
    whole: bool


def scan(
    tx: Transaction,
    *,
    period: Period,
    channel: str = IMPORT,
    service_point_ids: Collection[str] | None = None,
    as_of: datetime | None = None,
    together: int = _TOGETHER,
    executor: Executor | None = None,
) -> Iterator[IntervalBlock]:
    """The intervals of a channel that start within ``period``, in blocks of up to ``together`` points.

    Every point comes once for each interval length it had, with all its slots of the period. Points without any
    interval in the period do not come. ``None`` for the points: all that have the channel. With an ``executor`` (of
    threads) blocks are read ahead side by side. ``together=0`` gives the files' own row groups, without a copy.
    """
    return scan_each(
        tx,
        _itself,
        period=period,
        channel=channel,
        service_point_ids=service_point_ids,
        as_of=as_of,
        together=together,
        executor=executor,
    )


def scan_each(  # noqa: PLR0913 - as scan, and what is to be done
    tx: Transaction,
    each: Callable[[IntervalBlock], Outcome],
    *,
    period: Period,
    channel: str = IMPORT,
    service_point_ids: Collection[str] | None = None,
    as_of: datetime | None = None,
    together: int = _TOGETHER,
    executor: Executor | None = None,
) -> Iterator[Outcome]:
    """What ``each`` makes of the blocks of :func:`scan`, in their order.

    With an ``executor`` a block is worked on by the thread that read it, while it is in that core's cache. ``each``
    must then be safe in many threads and ask the unit of work for nothing.
    """
    names, limit = Names(tx), _limit(tx, as_of)
    asked = names.of_channel(channel) if service_point_ids is None else names.of_points(channel, service_point_ids)
    for seconds, ids in asked.items():
        with view(tx, channel=channel, seconds=seconds, period=period, limit=limit) as seen:
            work = partial(_worked, names, seen, each)
            pieces = seen.groups(ids, together)
            if executor is None:
                for piece in pieces:
                    yield from work([piece])
            else:
                yield from _ahead(executor, work, _bundles(pieces))


def _itself(block: IntervalBlock) -> IntervalBlock:
    return block


def _worked(names: Names, seen: View, each: Callable[[IntervalBlock], Outcome], pieces: Sequence[Ids]) -> list[Outcome]:
    return [
        each(block)
        for piece, (wh, quality) in zip(pieces, seen.values_of(pieces), strict=True)
        if (block := _block(names, seen, piece, wh, quality)) is not None
    ]


def _ahead(
    executor: Executor, work: Callable[[Sequence[Ids]], list[Outcome]], bundles: Iterator[list[Ids]]
) -> Iterator[Outcome]:
    waiting: deque[Future[list[Outcome]]] = deque()
    try:
        for pieces in bundles:
            waiting.append(executor.submit(work, pieces))
            if len(waiting) > _AHEAD:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        for one in waiting:
            one.cancel()


def _bundles(pieces: Iterator[Ids]) -> Iterator[list[Ids]]:
    """Pieces in lists that are worth a thread's while: to hand them over one by one takes as long as to read them."""
    held: list[Ids] = []
    for piece in pieces:
        held.append(piece)
        if sum(map(len, held)) >= _SERIES_AT_ONCE:
            yield held
            held = []
    if held:
        yield held


def _block(
    names: Names, seen: View, ids: Ids, wh: NDArray[np.int32], quality: NDArray[np.uint8]
) -> IntervalBlock | None:
    if quality.size and not any(quality.strides):  # one value for all, straight from a file's statistics
        whole = int(quality[0, 0]) != Quality.MISSING
    else:
        whole = bool((quality != Quality.MISSING).all())
    if not whole:
        known = quality != Quality.MISSING
        some = known.any(axis=1)
        if not some.all():
            ids, wh, quality, known = ids[some], wh[some], quality[some], known[some]
        if wh.flags.writeable:
            wh[~known] = 0
        else:
            wh = np.where(known, wh, 0)
        whole = bool(known.all())
    if not len(ids):
        return None
    return IntervalBlock(names.points(ids), from_epoch(seen.first), seen.seconds, wh, quality, whole)


def points_with_readings(tx: Transaction, *, channels: Collection[str]) -> list[str]:
    """The service points that have, or had, readings of any of these channels."""
    names = Names(tx)
    ids = [number for channel in channels for of in names.of_channel(channel).values() for number in of.tolist()]
    return sorted({names.name(number)[0] for number in ids})


@dataclass(frozen=True, slots=True)
class ArrivalSlot:
    """How many channels have a value for the interval that starts at ``start``."""

    start: datetime
    count: int


def arrivals(tx: Transaction, *, period: Period, seconds: int = 900, channel: str = IMPORT) -> list[ArrivalSlot]:
    """How many intervals have come for each slot of ``seconds`` in ``period``: the picture of collection."""
    ids = Names(tx).of_channel(channel).get(seconds, np.empty(0, dtype=np.int32))
    with view(tx, channel=channel, seconds=seconds, period=period) as seen:
        counts = np.zeros(seen.slots, dtype=np.int64)
        for piece in seen.groups(ids, _TOGETHER):
            counts += (seen.values(piece)[1] != Quality.MISSING).sum(axis=0)
        starts = seen.first + seconds * np.arange(seen.slots, dtype=np.int64)
    return [
        ArrivalSlot(from_epoch(start), count) for start, count in zip(starts.tolist(), counts.tolist(), strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Collected:
    """How much is in the store and what came last."""

    stored_total: int
    last_batch_at: datetime | None
    last_interval_start: datetime | None


def collected(tx: Transaction) -> Collected:
    """The store's totals."""
    row = tx.execute(sa.select(t.reading_head)).one_or_none()
    return Collected(0, None, None) if row is None else Collected(row.present, row.last_at, row.last_start)


# --- What was before ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Revision:
    """A value that was replaced, and by what."""

    start: datetime
    wh_before: int
    quality_before: Quality
    wh_after: int
    quality_after: Quality
    batch_id: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Version:
    """A value that was given to an interval: what, and by which batch."""

    start: datetime
    wh: int
    quality: Quality
    version: int
    batch_id: str
    source: str
    method: str
    rule: str
    actor: str
    reason: str
    recorded_at: datetime


def versions(tx: Transaction, *, service_point_id: str, period: Period, channel: str = IMPORT) -> list[Version]:
    """Every value that the intervals of a channel within ``period`` were ever given, by interval and then version."""
    names, found = Names(tx), list[tuple[int, int, int, int]]()
    for seconds in names.seconds_of(service_point_id, channel):
        number = names.number((service_point_id, channel, seconds))
        if number is not None:
            found += _versions(tx, number, channel, seconds, period)
    batches = _batches(tx, {version for _, version, _, _ in found})
    return [
        Version(
            start=from_epoch(start),
            wh=wh,
            quality=Quality(quality),
            version=version,
            batch_id=batches[version].id,
            source=batches[version].source,
            method=batches[version].method,
            rule=batches[version].rule,
            actor=batches[version].actor,
            reason=batches[version].reason,
            recorded_at=batches[version].received_at,
        )
        for start, version, wh, quality in sorted(found)
    ]


def _versions(
    tx: Transaction, number: int, channel: str, seconds: int, period: Period
) -> list[tuple[int, int, int, int]]:
    """Start, version, watt-hours and quality of every value of one series."""
    ids, found = np.array([number], dtype=np.int32), list[tuple[int, int, int, int]]()
    with view(tx, channel=channel, seconds=seconds, period=period) as seen:
        first, last = seen.first, seen.last
        for entry in seen.files:
            extent, footer = entry.file.extent, entry.file.footer()
            _, rows = footer.rows(ids)
            if not about_series(ids, entry) or not len(rows):
                continue
            group, row = divmod(int(rows[0]), footer.group)
            wh, quality, version = entry.file.table(group, versions=True)
            starts = extent.first + seconds * np.arange(extent.slots, dtype=np.int64)
            said = (version[row] > 0) & (starts >= first) & (starts < last)
            columns = (starts[said], version[row][said], wh[row][said], quality[row][said])
            found += zip(*(column.tolist() for column in columns), strict=True)
        for entry in seen.superseded:
            if about_series(ids, entry):
                old = entry.file.superseded()
                old = old.picked((old.series == number) & (old.starts >= first) & (old.starts < last))
                found += zip(*(c.tolist() for c in (old.starts, old.version, old.wh, old.quality)), strict=True)
    days = range(first // DAY, -(-last // DAY))
    for day, at, cells in segments(tx, channel=channel, seconds=seconds, days=days):
        one = cells.of_series(number, number + 1).one_by_one()
        starts = day * DAY + seconds * one.slots.astype(np.int64)
        for start, wh_, quality_ in zip(starts.tolist(), one.wh.tolist(), one.quality.tolist(), strict=True):
            if first <= start < last:
                found.append((start, at, wh_, quality_))
    return found


def _batches(tx: Transaction, wanted: Collection[int]) -> dict[int, Row]:
    rows: list[Row] = []
    for piece in chunked(sorted(wanted)):
        rows += tx.rows(sa.select(t.ingest_batch).where(t.ingest_batch.c.version.in_(piece)))
    return {row.version: row for row in rows}


def revisions(tx: Transaction, *, service_point_id: str, period: Period, channel: str = IMPORT) -> list[Revision]:
    """Every value of a channel within ``period`` that was replaced, oldest replacement first."""
    given = versions(tx, service_point_id=service_point_id, period=period, channel=channel)
    pairs = [
        (before, after)
        for before, after in zip(given, islice(given, 1, None), strict=False)
        if before.start == after.start and before.quality is not Quality.MISSING
    ]
    return [
        Revision(
            start=after.start,
            wh_before=before.wh,
            quality_before=before.quality,
            wh_after=after.wh,
            quality_after=after.quality,
            batch_id=after.batch_id,
            recorded_at=after.recorded_at,
        )
        for before, after in sorted(pairs, key=lambda pair: (pair[1].version, pair[1].start))
    ]
