"""Folding: segments of days that are over become files, the days of a month that is over one file.

One piece is a channel, an interval length and a stretch of days. Folding it reads what stands (files and segments),
writes new files beside, and then, in one unit of work, lists these, retires those they stand for, and removes the
segments that are in them. Until then nobody sees the new ones, after it nobody needs the old ones: whatever breaks in
between leaves unlisted files that the next compaction sweeps up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from wattledger.kernel import Problem, epoch, from_epoch
from wattledger.readings import _tables as t
from wattledger.readings._files import (
    SHARD,
    Extent,
    Folder,
    Superseded,
    Table,
    Written,
    current_file,
    folder_at,
    group_of,
    superseded_file,
)
from wattledger.readings._memory import (
    DAY,
    FileEntry,
    catalogue,
    folder_of,
    head_of,
    head_of_or_nothing,
    segments,
)
from wattledger.readings._segments import Cells
from wattledger.store import Transaction, chunked

_SHARDS_TOGETHER = 8  # of which segments are held in memory
_CELLS_TOGETHER = 4_000_000  # of which values, qualities and versions are
_LATE_SHARE = 1_000  # late readings are folded when they are one in so many of what they are laid over


@dataclass(frozen=True, slots=True)
class Compacted:
    """What a compaction did: stretches of days folded, intervals and bytes in them, files deleted."""

    pieces: int
    intervals: int
    bytes: int
    deleted: int


class FilesElsewhere(Problem):
    """Files of history lie somewhere else already."""

    slug = "readings-files-elsewhere"
    title = "The files of readings lie elsewhere"
    status = 409


class CompactionRefused(Problem):
    """What was folded is not what is stored; nothing was removed."""

    slug = "compaction-refused"
    title = "The compaction was refused"
    status = 500


@dataclass(frozen=True, slots=True)
class CompactionPiece:
    """A stretch of days of one channel and interval length that is to be folded. Epoch seconds."""

    channel: str
    seconds: int
    first: int
    last: int

    @property
    def days(self) -> range:
        """The UTC days of it."""
        return range(self.first // DAY, self.last // DAY)


@dataclass(frozen=True, slots=True, eq=False)
class FoldedPiece:
    """A piece of which the files are written and not listed yet."""

    piece: CompactionPiece
    version: int
    written: Sequence[Written]
    replaces: Sequence[int]
    cells: int

    @property
    def rows(self) -> int:
        """Intervals in the new files."""
        return sum(one.rows for one in self.written)


def files_lie_at(tx: Transaction, *, url: str | None) -> Folder:
    """Where files lie from now on; ``None``: where they lie, beside the database if nothing else was said.

    Raises :class:`FilesElsewhere` when there are files in another place, ``FilesNowhere`` when none is known.
    """
    head = head_of(tx, locked=True)
    if url is not None and url != head.files:
        if tx.execute(sa.select(sa.func.count()).select_from(t.reading_file)).scalar_one():
            raise FilesElsewhere(
                f"there are files at {folder_of(tx, head).shown}, and {folder_at(url).shown} is another place",
                remedy="leave out --files, or copy them there and set reading_head.files",
            )
        folder_at(url)
        tx.execute(t.reading_head.update().values(files=url))
        head = head_of(tx)
    return folder_of(tx, head)


def compaction_due(
    tx: Transaction,
    *,
    now: datetime,
    day_settles: timedelta = timedelta(hours=6),
    month_settles: timedelta = timedelta(days=3),
    late: bool = False,
) -> list[CompactionPiece]:
    """What is to be folded: days over for ``day_settles``, months over for ``month_settles``.

    Readings that came late for a month that is folded wait until they are one in a thousand of it, or for ``late``.
    """
    s = t.reading_segment.c
    counted = sa.select(s.channel, s.seconds, s.day, sa.func.sum(s.readings)).group_by(s.channel, s.seconds, s.day)
    over, month_over = epoch(now - day_settles), epoch(now - month_settles)
    waiting: dict[tuple[str, int], dict[int, int]] = defaultdict(dict)
    for channel, seconds, day, count in tx.rows(counted):
        if (day + 1) * DAY <= over:
            waiting[channel, seconds][day] = int(count)
    standing: dict[tuple[str, int], list[FileEntry]] = defaultdict(list)
    for entry in catalogue(tx, head_of_or_nothing(tx)):
        if entry.file.kind == "current":
            standing[entry.file.extent.channel, entry.file.extent.seconds].append(entry)
    pieces: list[CompactionPiece] = []
    for channel, seconds in sorted({*waiting, *standing}):
        spans: set[tuple[int, int]] = set()
        files, days = standing[channel, seconds], waiting[channel, seconds]
        for first in {_month(day * DAY)[0] for day in days} | {_month(e.file.extent.first)[0] for e in files}:
            month = _month(first)
            of_month = [e for e in files if month[0] <= e.file.extent.first < month[1]]
            folded = [e for e in of_month if (e.file.extent.first, e.file.extent.last) == month]
            fresh = {day: count for day, count in days.items() if month[0] <= day * DAY < month[1]}
            if month[1] <= month_over:
                rows = sum(e.rows for e in folded)
                little = folded and len(folded) == len(of_month) and sum(fresh.values()) * _LATE_SHARE < rows
                if len(of_month) > len(folded) or (fresh and (late or not little)):
                    spans.add(month)
            elif not folded:
                spans.update((day * DAY, (day + 1) * DAY) for day in fresh)
        pieces += [CompactionPiece(channel, seconds, *span) for span in sorted(spans)]
    return pieces


def _month(at: int) -> tuple[int, int]:
    first = datetime.fromtimestamp(at, UTC).replace(day=1, hour=0, minute=0, second=0)
    return epoch(first), epoch((first + timedelta(days=31)).replace(day=1))


def fold(tx: Transaction, *, piece: CompactionPiece) -> FoldedPiece:
    """Write the files of a piece, for :func:`publish`; in a unit of work that only looks.

    Raises ``FilesUnreadable``, ``FilesUnwritable`` and ``SegmentUnreadable``; then nothing has changed.
    """
    head = head_of_or_nothing(tx)
    folder = folder_of(tx, head)
    standing: dict[int, list[FileEntry]] = defaultdict(list)
    for entry in catalogue(tx, head):
        extent = entry.file.extent
        if (extent.channel, extent.seconds) == (piece.channel, piece.seconds):
            if piece.first <= extent.first and extent.last <= piece.last:
                standing[extent.shard].append(entry)
            elif extent.first < piece.last and extent.last > piece.first:
                raise CompactionRefused(f"{entry.file.path} reaches over the stretch that is to be folded")
    written: list[Written] = []
    replaces: list[int] = []
    cells = 0
    fresh_shards = _shards_of_segments(tx, piece, head.version)
    shards = sorted({*standing, *fresh_shards})
    for together in chunked(shards, _SHARDS_TOGETHER):
        fresh = _segments_of(tx, piece, head.version, range(together[0] * SHARD, (together[-1] + 1) * SHARD))
        for shard in together:
            of_shard = [
                (day, version, part)
                for day, version, one in fresh
                if len(part := one.of_series(shard * SHARD, (shard + 1) * SHARD))
            ]
            cells += sum(len(part) for _, _, part in of_shard)
            current = [entry for entry in standing[shard] if entry.file.kind == "current"]
            whole = [e for e in current if (e.file.extent.first, e.file.extent.last) == (piece.first, piece.last)]
            if not of_shard and len(whole) == len(current):
                continue
            slots = (piece.last - piece.first) // piece.seconds
            extent = Extent(piece.channel, piece.seconds, piece.first, slots, shard, head.version)
            for one in _Shard(extent, standing[shard], of_shard).files():
                folder.write(one.path, one.data)
                written.append(one)
            replaces += [entry.id for entry in standing[shard]]
    return FoldedPiece(piece, head.version, written, replaces, cells)


def _shards_of_segments(tx: Transaction, piece: CompactionPiece, until: int) -> set[int]:
    found: set[int] = set()
    for _, _, cells in segments(tx, channel=piece.channel, seconds=piece.seconds, days=piece.days, until=until):
        found.update(np.unique(cells.series // SHARD).tolist())
    return found


def _segments_of(tx: Transaction, piece: CompactionPiece, until: int, ids: range) -> list[tuple[int, int, Cells]]:
    found = segments(tx, channel=piece.channel, seconds=piece.seconds, days=piece.days, until=until)
    return [(day, version, part) for day, version, one in found if len(part := one.of_series(ids.start, ids.stop))]


class _Shard:
    """One stretch of series of a piece, being folded."""

    def __init__(self, extent: Extent, standing: Sequence[FileEntry], fresh: Sequence[tuple[int, int, Cells]]) -> None:
        self._extent, self._fresh = extent, fresh
        self._current = [entry.file for entry in standing if entry.file.kind == "current"]
        self._superseded = [entry.file.superseded() for entry in standing if entry.file.kind == "superseded"]
        known = [file.footer().series for file in self._current] + [cells.series for _, _, cells in fresh]
        self._series = np.unique(np.concatenate(known)).astype(np.int32)

    def files(self) -> list[Written]:
        """The new files: the values in force, and those that were before if there are any."""
        current = current_file(self._extent, self._series, self._groups())
        old = Superseded.joined([Superseded.none(), *self._superseded])
        return [current, superseded_file(self._extent, old)] if len(old) else [current]

    def _groups(self) -> Iterator[Table]:
        group = group_of(self._extent.slots)
        several = group * max(1, _CELLS_TOGETHER // (group * self._extent.slots))
        for first in range(0, len(self._series), several):
            ids = self._series[first : first + several]
            wh, quality, version = self._folded(ids)
            for at in range(0, len(ids), group):
                yield wh[at : at + group], quality[at : at + group], version[at : at + group]

    def _folded(self, ids: NDArray[np.int32]) -> Table:
        shape, seconds = (len(ids), self._extent.slots), self._extent.seconds
        wh, quality = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=np.uint8)
        version = np.zeros(shape, dtype=np.int64)
        for file in self._current:
            footer, column = file.footer(), (file.extent.first - self._extent.first) // seconds
            places, rows = footer.rows(ids)
            of_group = rows // footer.group
            for group in np.unique(of_group).tolist():
                a, b = of_group.searchsorted((group, group + 1))
                of, to = rows[a:b] - group * footer.group, places[a:b]
                held_wh, held, held_version = file.table(group, versions=True)
                here = slice(column, column + file.extent.slots)
                wh[to, here], quality[to, here], version[to, here] = held_wh[of], held[of], held_version[of]
        for day, at, whole in self._fresh:
            cells = whole.of_series(int(ids[0]), int(ids[-1]) + 1)
            if len(cells):
                offset = (day * DAY - self._extent.first) // seconds
                self._lay(ids, offset, at, cells, (wh, quality, version))
        return wh, quality, version

    def _lay(self, ids: NDArray[np.int32], offset: int, at: int, cells: Cells, table: Table) -> None:
        """Put a segment over what is there, and keep what was."""
        wh, quality, version = table
        rows = ids.searchsorted(cells.series)
        columns = cells.slots.astype(np.int64) + offset
        if cells.table:
            rows = rows[:, None]
            if len(columns) == int(columns[-1] - columns[0]) + 1 and len(rows) == int(rows[-1, 0] - rows[0, 0]) + 1:
                # A rectangle: nothing to look up.
                where: tuple[slice, slice] | tuple[NDArray[np.int64], NDArray[np.int64]]
                where = (
                    slice(int(rows[0, 0]), int(rows[-1, 0]) + 1),
                    slice(int(columns[0]), int(columns[-1]) + 1),
                )
            else:
                where = (rows, columns)
        else:
            where = (rows, columns)
        before = version[where]
        if before.any():
            had = before > 0
            all_rows, all_columns = np.broadcast_arrays(rows, columns)
            starts = self._extent.first + all_columns[had] * self._extent.seconds
            self._superseded.append(
                Superseded(
                    ids[all_rows[had]],
                    starts.astype(np.int64),
                    wh[where][had],
                    quality[where][had],
                    before[had],
                    np.full(int(had.sum()), at, dtype=np.int64),
                )
            )
        wh[where], quality[where], version[where] = cells.wh, cells.quality, at


def publish(tx: Transaction, *, folded: FoldedPiece, now: datetime) -> None:
    """List the files of a folded piece, retire those they stand for and remove the segments that are in them.

    Raises :class:`CompactionRefused` when those are not what was folded.
    """
    piece, s = folded.piece, t.reading_segment.c
    head = head_of(tx, locked=True)
    gone = [
        s.channel == piece.channel,
        s.seconds == piece.seconds,
        s.day >= piece.days.start,
        s.day < piece.days.stop,
        s.version <= folded.version,
    ]
    stored = tx.execute(sa.select(sa.func.coalesce(sa.func.sum(s.readings), 0)).where(*gone)).scalar_one()
    f = t.reading_file.c
    standing = sum(
        tx.execute(
            sa.select(sa.func.count()).select_from(t.reading_file).where(f.id.in_(ids), f.retired_at.is_(None))
        ).scalar_one()
        for ids in chunked(folded.replaces)
    )
    if int(stored) != folded.cells or standing != len(folded.replaces):
        raise CompactionRefused(
            f"{piece.channel} {piece.seconds} s from {from_epoch(piece.first).date()}: {stored} readings wait and "
            f"{folded.cells} were folded; {standing} of {len(folded.replaces)} files still stand",
            remedy="run it again; if it comes again, `wattledger readings verify` tells what is wrong",
        )
    for ids in chunked(folded.replaces):
        tx.execute(t.reading_file.update().where(f.id.in_(ids)).values(retired_at=now))
    if folded.written:
        tx.execute(t.reading_file.insert(), [_row(one, now) for one in folded.written])
    tx.execute(t.reading_segment.delete().where(*gone))
    tx.execute(t.reading_head.update().values(generation=head.generation + 1))


def _row(one: Written, now: datetime) -> dict[str, object]:
    return {
        "kind": one.kind,
        "channel": one.extent.channel,
        "seconds": one.extent.seconds,
        "start": from_epoch(one.extent.first),
        "end": from_epoch(one.extent.last),
        "shard": one.extent.shard,
        "path": one.path,
        "sha256": one.sha256,
        "bytes": len(one.data),
        "series": one.series,
        "rows": one.rows,
        "version": one.extent.version,
        "created_at": now,
        "retired_at": None,
    }


def retired_files(tx: Transaction, *, before: datetime) -> list[str]:
    """The paths of files that others stand for since before ``before``: nobody reads them any more."""
    f = t.reading_file.c
    return [row[0] for row in tx.rows(sa.select(f.path).where(f.retired_at < before).order_by(f.id))]


def forget_files(tx: Transaction, *, paths: Sequence[str]) -> None:
    """Take deleted files out of the catalogue."""
    for piece in chunked(paths):
        f = t.reading_file.c
        tx.execute(t.reading_file.delete().where(f.path.in_(piece), f.retired_at.is_not(None)))


def listed_files(tx: Transaction) -> list[str]:
    """The paths of all files of the catalogue, those included that are to be deleted."""
    return [row[0] for row in tx.rows(sa.select(t.reading_file.c.path).order_by(t.reading_file.c.path))]


def unlisted_files(tx: Transaction, *, folder: Folder) -> list[str]:
    """Files that lie in the folder and are not listed: left by a compaction that was broken off.

    Only while no other compaction runs: one that is under way has written files that it has not listed yet.
    """
    listed = set(listed_files(tx))
    return sorted(path for path in folder.listed() if path not in listed)
