"""How much a point used: files, segments and what was just ingested, laid over each other.

A value in a segment is newer than one in a file, a later segment newer than an earlier one. ``as_of`` asks for what was
known at a past instant: the values of the batches that had come by then.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice, pairwise
from typing import TypeVar

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from wattledger.kernel import IntervalSeries, Period, Quality, epoch, from_epoch
from wattledger.readings import _tables as t
from wattledger.readings._batches import IMPORT
from wattledger.readings._files import SHARD, UNSET, FileReader, Superseded
from wattledger.readings._memory import (
    DAY,
    FileEntry,
    Names,
    Tile,
    applied,
    catalogue,
    committed_head,
    head_of_or_nothing,
    pending,
    segments,
    tiles,
)
from wattledger.store import Row, Transaction, chunked

_TOGETHER = 4_096
_AHEAD = 4  # bundles of blocks read before they are asked for
_SERIES_AT_ONCE = 640
_ATTEMPTS = 5
_LONG = 400  # days

Outcome = TypeVar("Outcome")
Ids = NDArray[np.int32]
Values = tuple[NDArray[np.int32], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A channel's intervals of one length within [``first``, ``last``), as one unit of work sees them.

    Good for as long as it is held, in any thread; it asks the database for nothing more.
    """

    seconds: int
    first: int
    last: int
    files: Sequence[FileEntry]
    superseded: Sequence[FileEntry]
    tiles: Sequence[dict[int, Tile]]
    limit: int | None = None

    @property
    def slots(self) -> int:
        return (self.last - self.first) // self.seconds

    def values(self, ids: Ids) -> Values:
        """Watt-hours and qualities of (ids, slots); ``ids`` ascending."""
        with ExitStack() as stack:
            whole = self._whole_group(ids, {}, stack)
        if whole is not None:
            return whole
        wh = np.zeros((len(ids), self.slots), dtype=np.int32)
        quality = np.full((len(ids), self.slots), UNSET, dtype=np.uint8)
        for entry in self._files_of(ids):
            self._from_file(entry, ids, wh, quality)
        for entry in self.superseded if self.limit is not None else ():
            if _shards(ids, entry):
                self._from_superseded(entry.file.superseded(), ids, wh, quality)
        for of_days in self.tiles:
            for day, tile in of_days.items():
                start = max(day * DAY, self.first)
                end = min((day + 1) * DAY, self.last)
                span = slice((start - day * DAY) // self.seconds, (end - day * DAY) // self.seconds)
                here = slice((start - self.first) // self.seconds, (end - self.first) // self.seconds)
                tile.overlay(ids, span, wh[:, here], quality[:, here])
        unset = quality == UNSET
        if unset.any():
            quality[unset] = Quality.MISSING
        return wh, quality

    def values_of(self, pieces: Sequence[Ids]) -> Iterator[Values]:
        """As :meth:`values`, for several pieces in turn; a file of which whole groups are asked for is opened once."""
        with ExitStack() as stack:
            readers: dict[str, FileReader] = {}
            for ids in pieces:
                yield self._whole_group(ids, readers, stack) or self.values(ids)

    def cells(self, series: Ids, starts: NDArray[np.int64]) -> Values:
        """Watt-hours and qualities of single intervals, by day: each row group is read once, however many days."""
        wh = np.zeros(len(series), dtype=np.int32)
        quality = np.full(len(series), Quality.MISSING, dtype=np.uint8)
        for entry in self.files:
            self._cells_from_file(entry, series, starts, wh, quality)
        days = starts // DAY
        cuts = [0, *(np.flatnonzero(np.diff(days)) + 1).tolist(), len(days)]
        for a, b in pairwise(cuts if len(days) else []):
            day = int(days[a])
            slots = ((starts[a:b] - day * DAY) // self.seconds).astype(np.uint16)
            for of_days in self.tiles:
                if day in of_days:
                    said_wh, said = of_days[day].at(series[a:b], slots)
                    is_said = said != UNSET
                    wh[a:b] = np.where(is_said, said_wh, wh[a:b])
                    quality[a:b] = np.where(is_said, said, quality[a:b])
        return wh, quality

    def _cells_from_file(
        self,
        entry: FileEntry,
        series: Ids,
        starts: NDArray[np.int64],
        wh: NDArray[np.int32],
        quality: NDArray[np.uint8],
    ) -> None:
        extent = entry.file.extent
        first = extent.shard * SHARD
        here = (starts >= extent.first) & (starts < extent.last) & (series >= first) & (series < first + SHARD)
        if not here.any():
            return
        footer = entry.file.footer()
        places, rows = footer.rows(series[here])
        cells = np.flatnonzero(here)[places]
        columns = (starts[cells] - extent.first) // self.seconds
        of_group = rows // footer.group
        order = np.argsort(of_group, kind="stable")
        with entry.file.reader() as opened:
            for some in np.split(order, np.flatnonzero(np.diff(of_group[order])) + 1):
                if len(some):
                    group = int(of_group[some[0]])
                    held_wh, held, _ = opened.table(group)
                    at = rows[some] - group * footer.group, columns[some]
                    wh[cells[some]], quality[cells[some]] = held_wh[at], held[at]

    def groups(self, ids: Ids, together: int) -> Iterator[Ids]:
        """``ids`` in pieces of up to ``together``, cut where the files' groups are cut; 0: one group each."""
        for shard in np.unique(ids // SHARD):
            of_shard = ids[ids.searchsorted(shard * SHARD) : ids.searchsorted((shard + 1) * SHARD)]
            files = [entry for entry in self.files if entry.file.extent.shard == shard]
            if not files:
                step = together or _TOGETHER
                yield from (of_shard[at : at + step] for at in range(0, len(of_shard), step))
                continue
            footer = max(files, key=lambda entry: entry.rows).file.footer()
            groups = footer.series[:: footer.group][1:]
            step = together or footer.group
            several = max(1, step // footer.group)
            cuts = [0, *of_shard.searchsorted(groups[several - 1 :: several]).tolist(), len(of_shard)]
            for a, b in pairwise(cuts):
                yield from (of_shard[at : min(at + step, b)] for at in range(a, b, step))

    def _files_of(self, ids: Ids) -> list[FileEntry]:
        return [entry for entry in self.files if _shards(ids, entry)]

    def _whole_group(self, ids: Ids, readers: dict[str, FileReader], stack: ExitStack) -> Values | None:
        """Straight from the file, where one row group is all there is to say of these series."""
        if self.limit is not None or not len(ids) or int(ids[0]) // SHARD != int(ids[-1]) // SHARD:
            return None
        files = self._files_of(ids)
        if len(files) != 1 or any(tile.touches(ids) for of_days in self.tiles for tile in of_days.values()):
            return None
        file = files[0].file
        extent, footer = file.extent, file.footer()
        group, place = divmod(int(footer.series.searchsorted(ids[0])), footer.group)
        same = place == 0 and np.array_equal(footer.series[group * footer.group :][: footer.group], ids)
        if not same or extent.first > self.first or extent.last < self.last:
            return None
        if file.path not in readers:
            readers[file.path] = stack.enter_context(file.reader())
        wh, quality, _ = readers[file.path].table(group)
        if (extent.first, extent.last) != (self.first, self.last):
            a, b = (self.first - extent.first) // self.seconds, (self.last - extent.first) // self.seconds
            wh, quality = wh[:, a:b], quality[:, a:b]
        return wh, quality

    def _from_file(self, entry: FileEntry, ids: Ids, wh: NDArray[np.int32], quality: NDArray[np.uint8]) -> None:
        file, extent = entry.file, entry.file.extent
        footer = file.footer()
        places, rows = footer.rows(ids)
        start, end = max(self.first, extent.first), min(self.last, extent.last)
        span = slice((start - extent.first) // self.seconds, (end - extent.first) // self.seconds)
        here = slice((start - self.first) // self.seconds, (end - self.first) // self.seconds)
        of_group = rows // footer.group
        for group in np.unique(of_group).tolist():
            a, b = of_group.searchsorted((group, group + 1))
            of, to = rows[a:b] - group * footer.group, places[a:b]
            held_wh, held, version = file.table(group, versions=self.limit is not None)
            if self.limit is None:
                wh[to, here], quality[to, here] = held_wh[of, span], held[of, span]
                continue
            known = (version[of, span] > 0) & (version[of, span] <= self.limit)
            wh[to, here] = np.where(known, held_wh[of, span], 0)
            quality[to, here] = np.where(known, held[of, span], np.uint8(UNSET))

    def _from_superseded(self, old: Superseded, ids: Ids, wh: NDArray[np.int32], quality: NDArray[np.uint8]) -> None:
        limit = 0 if self.limit is None else self.limit
        here = (old.version <= limit) & (old.until > limit) & (old.starts >= self.first) & (old.starts < self.last)
        at = np.minimum(ids.searchsorted(old.series), len(ids) - 1)
        here &= ids[at] == old.series
        row, column = at[here], (old.starts[here] - self.first) // self.seconds
        wh[row, column], quality[row, column] = old.wh[here], old.quality[here]


def _shards(ids: Ids, entry: FileEntry) -> bool:
    """Whether a file's stretch of series has some of ``ids``."""
    first = entry.file.extent.shard * SHARD
    a, b = ids.searchsorted((first, first + SHARD))
    return bool(b > a)


class _Moved(Exception):
    """What is stored was folded while it was looked at."""


@contextmanager
def view(tx: Transaction, *, channel: str, seconds: int, period: Period, limit: int | None = None) -> Iterator[View]:
    """The intervals of a channel that start within ``period``; with ``limit`` as of that version."""
    first = -(-epoch(period.start) // seconds) * seconds
    last = max(first, -(-epoch(period.end) // seconds) * seconds)
    days = _with_segments(tx, channel, seconds, range(first // DAY, -(-last // DAY)))
    with ExitStack() as stack:
        for attempt in range(_ATTEMPTS):
            try:
                made = stack.enter_context(_view(tx, channel, seconds, (first, last), days, limit))
            except _Moved:
                if attempt + 1 == _ATTEMPTS:
                    raise
                continue
            break
        yield made


def _with_segments(tx: Transaction, channel: str, seconds: int, days: range) -> range:
    """``days``, or of a very long time those from the first that has a segment to the last."""
    if len(days) <= _LONG:
        return days
    s = t.reading_segment.c
    own = pending(tx)
    listed = sa.select(sa.func.min(s.day), sa.func.max(s.day)).where(s.channel == channel, s.seconds == seconds)
    first, last = tx.execute(listed).one()
    known = [day for day in (first, last) if day is not None]
    known += [key[2] for key in (() if own is None else own.cells) if key[:2] == (channel, seconds)]
    return range(max(days.start, min(known)), min(days.stop, max(known) + 1)) if known else range(0)


@contextmanager
def _view(
    tx: Transaction, channel: str, seconds: int, span: tuple[int, int], days: range, limit: int | None
) -> Iterator[View]:
    head, own = committed_head(tx), pending(tx)
    listed = [
        entry
        for entry in catalogue(tx, head)
        if (entry.file.extent.channel, entry.file.extent.seconds) == (channel, seconds)
        and entry.file.extent.first < span[1]
        and entry.file.extent.last > span[0]
    ]
    with tiles(tx, channel=channel, seconds=seconds, days=days, head=head, limit=limit) as of_days:
        if not tx.snapshot and own is None and head_of_or_nothing(tx).generation != head.generation:
            raise _Moved
        laid = [of_days]
        if own is not None and limit is None:
            laid.append(applied(own.cells, channel=channel, seconds=seconds, days=days))
        yield View(
            seconds,
            *span,
            [entry for entry in listed if entry.file.kind == "current"],
            [entry for entry in listed if entry.file.kind == "superseded"],
            laid,
            limit,
        )


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

    A channel whose interval length changed within the period shows the intervals of the length it has at the end.
    """
    names, limit = Names(tx), _limit(tx, as_of)
    found: dict[str, IntervalSeries] = {}
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
                    other = found.get(point)
                    if len(one) and (other is None or one.starts[-1] > other.starts[-1]):
                        found[point] = one
    return found


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
    numbers: dict[int, Ids]
    if service_point_ids is None:
        numbers = names.of_channel(channel)
    else:
        asked: dict[int, list[int]] = defaultdict(list)
        for point in set(service_point_ids):
            for seconds in names.seconds_of(point, channel):
                number = names.number((point, channel, seconds))
                if number is not None:
                    asked[seconds].append(number)
        numbers = {seconds: np.array(sorted(of), dtype=np.int32) for seconds, of in sorted(asked.items())}
    for seconds, ids in numbers.items():
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
            if not _shards(ids, entry) or not len(rows):
                continue
            group, row = divmod(int(rows[0]), footer.group)
            wh, quality, version = entry.file.table(group, versions=True)
            starts = extent.first + seconds * np.arange(extent.slots, dtype=np.int64)
            said = (version[row] > 0) & (starts >= first) & (starts < last)
            columns = (starts[said], version[row][said], wh[row][said], quality[row][said])
            found += zip(*(column.tolist() for column in columns), strict=True)
        for entry in seen.superseded:
            if _shards(ids, entry):
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
