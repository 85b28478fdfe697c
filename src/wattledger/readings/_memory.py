"""What this process keeps of the store in memory, and what one unit of work may see of it.

The database is the truth. Kept are the numbers of series, the catalogue of files, and *tiles*: for a channel and UTC
day a table (series x slots) of what the segments say, brought up to date with the segments that came since. A unit of
work that looks at an older state than the memory reads its segments from the database instead.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from threading import RLock
from typing import TypeVar

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from wattledger.kernel import Problem, epoch
from wattledger.readings import _tables as t
from wattledger.readings._files import UNSET, DataFile, Extent, Folder, folder_at
from wattledger.readings._segments import Cells, SegmentDamaged, unpacked
from wattledger.store import Row, Transaction

DAY = 86_400
_MOST_BYTES = 2 << 30  # of tiles; those that were asked for longest ago go first
_SEGMENTS_TOGETHER = 500
_WORTH_KEEPING, _LISTS = 100, 64  # points in a list, lists
_NOTE, _HEAD = "readings", "readings head"

_Number = TypeVar("_Number", np.int32, np.uint8)

SeriesKey = tuple[str, str, int]
"""Service point, channel, seconds."""
TileKey = tuple[str, int, int]
"""Channel, seconds, day."""


class FilesNowhere(Problem):
    """Nobody has said where files of history are to lie."""

    slug = "readings-files-nowhere"
    title = "It is not known where files of readings are to lie"
    status = 409


class SegmentUnreadable(Problem):
    """A segment in the database is damaged."""

    slug = "readings-segment-unreadable"
    title = "A segment of readings cannot be read"
    status = 500


@dataclass(frozen=True, slots=True)
class Head:
    """How far the store is, in the state that a unit of work sees."""

    version: int
    series: int
    generation: int
    present: int
    last_start: datetime | None
    last_at: datetime | None
    files: str | None


SingleCells = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.uint8]]

_SINGLE_SHARE = 8
"""A tile of which no more than one cell in so many is set is taken cell by cell."""


class Tile:
    """What segments say of one channel and day: the last value of every cell."""

    __slots__ = ("_singles", "applied", "pins", "quality", "rows", "series", "wh")

    def __init__(self, slots: int) -> None:
        self.applied = 0
        self.pins = 0
        self._singles: SingleCells | None = None
        self.rows = np.full(0, -1, dtype=np.int32)
        self.series = np.empty(0, dtype=np.int32)
        self.wh: NDArray[np.int32] = np.empty((0, slots), dtype=np.int32)
        self.quality: NDArray[np.uint8] = np.empty((0, slots), dtype=np.uint8)

    def __len__(self) -> int:
        return len(self.series)

    @property
    def nbytes(self) -> int:
        return self.rows.nbytes + self.wh.nbytes + self.quality.nbytes

    def copy(self) -> Tile:
        """Another one with the same values."""
        other = Tile(self.wh.shape[1])
        other.applied = self.applied
        for name in ("rows", "series", "wh", "quality"):
            setattr(other, name, getattr(self, name).copy())
        return other

    def apply(self, cells: Cells) -> None:
        """Let the cells' values stand for what was there."""
        self._singles = None
        rows = self._rows(cells.series)
        if cells.table:
            slots = cells.slots
            if len(slots) == int(slots[-1]) - int(slots[0]) + 1:
                at: slice | NDArray[np.uint16] = slice(int(slots[0]), int(slots[-1]) + 1)
                self.wh[rows, at] = cells.wh
                self.quality[rows, at] = cells.quality
                return
            self.wh[rows[:, None], slots] = cells.wh
            self.quality[rows[:, None], slots] = cells.quality
        else:
            self.wh[rows, cells.slots] = cells.wh
            self.quality[rows, cells.slots] = cells.quality

    def _rows(self, series: NDArray[np.int32]) -> NDArray[np.int32]:
        most = int(series[-1])
        if most >= len(self.rows):
            grown = np.full(max(most + 1, len(self.rows) + len(self.rows) // 2), -1, dtype=np.int32)
            grown[: len(self.rows)] = self.rows
            self.rows = grown
        rows = self.rows[series]
        unknown = np.unique(series[rows < 0])
        if len(unknown):
            count = len(self.series)
            self.rows[unknown] = np.arange(count, count + len(unknown), dtype=np.int32)
            self.series = np.concatenate([self.series, unknown])
            if len(self.series) > len(self.wh):
                room = max(len(self.series), len(self.wh) + len(self.wh) // 2)
                self.wh = _grown(self.wh, room, 0)
                self.quality = _grown(self.quality, room, UNSET)
            rows = self.rows[series]
        return rows

    def _known(self, ids: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Of the ids that have a row: their places and their rows."""
        if not len(self.rows):
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int32)
        rows = self.rows[np.minimum(ids, len(self.rows) - 1)]
        rows = np.where(ids < len(self.rows), rows, -1)
        here = np.flatnonzero(rows >= 0)
        return here, rows[here]

    def single_cells(self) -> SingleCells | None:
        """Series, slot, watt-hours and quality of every cell that is set; ``None`` where most are."""
        if self._singles is None:
            count = len(self.series)
            said = self.quality[:count] != UNSET
            if int(np.count_nonzero(said)) * _SINGLE_SHARE > said.size:
                return None
            row, slot = np.nonzero(said)
            self._singles = (self.series[row], slot.astype(np.int32), self.wh[row, slot], self.quality[row, slot])
        return self._singles

    def touches(self, ids: NDArray[np.int32]) -> bool:
        """Whether it says anything of these series."""
        return bool(len(self._known(ids)[0]))

    def overlay(self, ids: NDArray[np.int32], span: slice, wh: NDArray[np.int32], quality: NDArray[np.uint8]) -> None:
        """Put what is said of the slots ``span`` over the tables ``wh`` and ``quality`` of ``ids``."""
        here, rows = self._known(ids)
        if not len(here):
            return
        said_wh, said = self.wh[rows, span], self.quality[rows, span]
        is_said = said != UNSET
        if is_said.all() and len(here) == len(ids):
            wh[:], quality[:] = said_wh, said
            return
        wh[here] = np.where(is_said, said_wh, wh[here])
        quality[here] = np.where(is_said, said, quality[here])

    def at(self, series: NDArray[np.int32], slots: NDArray[np.uint16]) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        """What is said of single cells; UNSET of those of which nothing is."""
        wh = np.zeros(len(series), dtype=np.int32)
        quality = np.full(len(series), UNSET, dtype=np.uint8)
        here, rows = self._known(series)
        if len(here) == len(series):
            return self.wh[rows, slots], self.quality[rows, slots]
        wh[here], quality[here] = self.wh[rows, slots[here]], self.quality[rows, slots[here]]
        return wh, quality


def _grown(table: NDArray[_Number], rows: int, fill: int) -> NDArray[_Number]:
    grown = np.full((rows, table.shape[1]), fill, dtype=table.dtype)
    grown[: len(table)] = table
    return grown


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of the catalogue that stands."""

    id: int
    file: DataFile
    sha256: str
    bytes: int
    series: int
    rows: int


@dataclass(slots=True)
class _Memory:
    lock: RLock = field(default_factory=RLock)
    names: list[SeriesKey] = field(default_factory=list)
    numbers: dict[SeriesKey, int] = field(default_factory=dict)
    lengths: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    several: set[tuple[str, str]] = field(default_factory=set)
    lists: OrderedDict[tuple[str, int, tuple[str, ...]], NDArray[np.int32]] = field(default_factory=OrderedDict)
    of_channel: dict[str, dict[int, list[int]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    generation: int = -1
    catalogue: list[FileEntry] = field(default_factory=list)
    tiles: OrderedDict[TileKey, Tile] = field(default_factory=OrderedDict)


@dataclass(slots=True)
class Pending:
    """What this unit of work has ingested: seen by itself, by others when it is committed."""

    base: Head
    names: list[SeriesKey] = field(default_factory=list)
    numbers: dict[SeriesKey, int] = field(default_factory=dict)
    lengths: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    cells: dict[TileKey, list[Cells]] = field(default_factory=lambda: defaultdict(list))
    tiles: dict[TileKey, tuple[int, Tile]] = field(default_factory=dict)


def memory_of(tx: Transaction) -> _Memory:
    """What this process keeps beside the database of ``tx``."""
    found = tx.memory.get(_NOTE)
    if found is None:
        found = tx.memory.setdefault(_NOTE, _Memory())
    memory: _Memory = found
    return memory


def pending(tx: Transaction) -> Pending | None:
    """What this unit of work has ingested so far."""
    return tx.notes.get(_NOTE)


def begin_pending(tx: Transaction, head: Head) -> Pending:
    """Note that this unit of work ingests; ``head`` is what is committed."""
    note: Pending = tx.notes.setdefault(_NOTE, Pending(head))
    return note


_SELECT_HEAD = sa.select(t.reading_head)


def head_of(tx: Transaction, *, locked: bool = False) -> Head:
    """How far the store is; ``locked``: and stays, until the end of this unit of work."""
    row = tx.execute(tx.locked(_SELECT_HEAD) if locked else _SELECT_HEAD).one_or_none()
    if row is None:
        tx.insert_new(t.reading_head, [{"id": 1, "version": 0, "series": 0, "generation": 0, "present": 0}])
        row = tx.execute(tx.locked(_SELECT_HEAD)).one()
    return _head(row)


def committed_head(tx: Transaction) -> Head:
    """How far the store is without what this unit of work itself has ingested."""
    own = pending(tx)
    if own is not None:
        return own.base
    if not tx.snapshot:
        return head_of_or_nothing(tx)
    found: Head = tx.notes.get(_HEAD) or tx.notes.setdefault(_HEAD, head_of_or_nothing(tx))
    return found


def head_of_or_nothing(tx: Transaction) -> Head:
    """As :func:`head_of`, for a unit of work that may not write."""
    row = tx.execute(_SELECT_HEAD).one_or_none()
    return Head(0, 0, 0, 0, None, None, None) if row is None else _head(row)


def _head(row: Row) -> Head:
    return Head(row.version, row.series, row.generation, row.present, row.last_start, row.last_at, row.files)


# --- Series ---------------------------------------------------------------------------------------------------------


class Names:
    """The numbers of series, as a unit of work sees them."""

    def __init__(self, tx: Transaction) -> None:
        head, self._memory, self._pending = committed_head(tx), memory_of(tx), pending(tx)
        memory = self._memory
        with memory.lock:
            if len(memory.names) < head.series:
                series = t.reading_series.c
                select = sa.select(series.id, series.service_point_id, series.channel, series.seconds)
                wanted = select.where(series.id >= len(memory.names), series.id < head.series).order_by(series.id)
                for number, point, channel, seconds in tx.rows(wanted):
                    key = (point, channel, seconds)
                    memory.names.append(key)
                    memory.numbers[key] = number
                    lengths = memory.lengths[point, channel]
                    lengths.append(seconds)
                    if len(lengths) > 1:
                        memory.several.add((point, channel))
                    memory.of_channel[channel][seconds].append(number)
        self._count = head.series

    def number(self, key: SeriesKey) -> int | None:
        """The series called ``key``."""
        found = self._memory.numbers.get(key)
        if found is not None and found < self._count:
            return found
        return None if self._pending is None else self._pending.numbers.get(key)

    def numbers(self, channel: str, seconds: int, points: Sequence[str]) -> NDArray[np.int32]:
        """The series of many points in their order; -1 for those that have none."""
        memory, key = self._memory, (channel, seconds, tuple(points))
        with memory.lock:
            kept = memory.lists.get(key)
            if kept is not None:
                memory.lists.move_to_end(key)
                if int(kept.max(initial=-1)) < self._count:
                    return kept
        found = np.array(
            [-1 if (number := self.number((point, channel, seconds))) is None else number for point in points],
            dtype=np.int32,
        )
        if len(points) >= _WORTH_KEEPING and found.min() >= 0 and found.max() < self._count:
            with memory.lock:  # collectors deliver the same points again and again
                memory.lists[key] = found
                while len(memory.lists) > _LISTS:
                    memory.lists.popitem(last=False)
        return found

    def several(self) -> set[tuple[str, str]]:
        """Points and channels that have had more than one interval length, and perhaps others."""
        memory = self._memory
        if self._pending is None or not self._pending.lengths:
            return memory.several
        own = self._pending.lengths
        return memory.several | {key for key, of in own.items() if len(of) > 1 or key in memory.lengths}

    def seconds_of(self, point: str, channel: str) -> list[int]:
        """The interval lengths that a channel has, or had."""
        found = [
            s for s in self._memory.lengths.get((point, channel), ()) if self.number((point, channel, s)) is not None
        ]
        if self._pending is not None:
            found += self._pending.lengths.get((point, channel), ())
        return found

    def of_points(self, channel: str, points: Collection[str]) -> dict[int, NDArray[np.int32]]:
        """The series of a channel at these points, ascending, by interval length."""
        found: dict[int, list[int]] = defaultdict(list)
        lengths, numbers, count = self._memory.lengths, self._memory.numbers, self._count
        for point in points:
            for seconds in lengths.get((point, channel), ()):
                number = numbers.get((point, channel, seconds))
                if number is not None and number < count:
                    found[seconds].append(number)
        if self._pending is not None and self._pending.lengths:
            for point in points:
                for seconds in self._pending.lengths.get((point, channel), ()):
                    found[seconds].append(self._pending.numbers[point, channel, seconds])
        return {seconds: np.unique(np.array(of, dtype=np.int32)) for seconds, of in sorted(found.items())}

    def name(self, number: int) -> SeriesKey:
        """What a series is called."""
        if number < self._count or self._pending is None:
            return self._memory.names[number]
        return self._pending.names[number - self._count]

    def points(self, ids: NDArray[np.int32]) -> tuple[str, ...]:
        """The service points of series, ascending by number."""
        first, last = int(ids[0]), int(ids[-1]) + 1
        if last - first == len(ids) and last <= self._count:
            return tuple([key[0] for key in self._memory.names[first:last]])
        return tuple([self.name(number)[0] for number in ids.tolist()])

    def __len__(self) -> int:
        return self._count + (0 if self._pending is None else len(self._pending.names))

    def of_channel(self, channel: str) -> dict[int, NDArray[np.int32]]:
        """All series of a channel, ascending, by interval length."""
        with self._memory.lock:
            listed = {s: np.array(of, dtype=np.int32) for s, of in self._memory.of_channel.get(channel, {}).items()}
        found = {seconds: ids[: ids.searchsorted(self._count)] for seconds, ids in listed.items()}
        for number, (_, of, seconds) in enumerate(() if self._pending is None else self._pending.names, self._count):
            if of == channel:
                before = found.get(seconds, np.empty(0, dtype=np.int32))
                found[seconds] = np.append(before, np.int32(number))
        return {seconds: ids for seconds, ids in sorted(found.items()) if len(ids)}


# --- Files ----------------------------------------------------------------------------------------------------------


def folder_of(tx: Transaction, head: Head) -> Folder:
    """Where files lie; raises :class:`FilesNowhere`."""
    if head.files is not None:
        return folder_at(head.files)
    if tx.folder is None:
        raise FilesNowhere(
            "this database has no folder of its own",
            remedy="say where: wattledger readings compact --files FOLDER_OR_URL",
        )
    return folder_at(str(tx.folder / "readings"))


def catalogue(tx: Transaction, head: Head) -> list[FileEntry]:
    """The files that stand, of both kinds."""
    if not head.generation:
        return []
    memory = memory_of(tx)
    with memory.lock:
        if memory.generation == head.generation:
            return memory.catalogue
    folder = folder_of(tx, head)
    rows = tx.rows(sa.select(t.reading_file).where(t.reading_file.c.retired_at.is_(None)).order_by(t.reading_file.c.id))
    found = [FileEntry(row.id, data_file(folder, row), row.sha256, row.bytes, row.series, row.rows) for row in rows]
    with memory.lock:
        if memory.generation < head.generation:
            memory.generation, memory.catalogue = head.generation, found
            memory.tiles.clear()  # what was folded need not be kept; what was not is read again
    return found


def data_file(folder: Folder, row: Row) -> DataFile:
    """The file that a row of the catalogue lists."""
    first, last = epoch(row.start), epoch(row.end)
    extent = Extent(row.channel, row.seconds, first, (last - first) // row.seconds, row.shard, row.version)
    return DataFile(folder, row.path, extent, row.kind)


# --- Segments -------------------------------------------------------------------------------------------------------


def segments(
    tx: Transaction, *, channel: str, seconds: int, days: range, after: int = 0, until: int | None = None
) -> Iterator[tuple[int, int, Cells]]:
    """Day, version and cells of the segments of some days whose versions are in (``after``, ``until``], in order."""
    s = t.reading_segment.c
    where = [s.channel == channel, s.seconds == seconds, s.day >= days.start, s.day < days.stop, s.version > after]
    if until is not None:
        where.append(s.version <= until)
    select = sa.select(s.day, s.version, s.cells).where(*where).order_by(s.version, s.day)
    for row in tx.execute(select.execution_options(yield_per=_SEGMENTS_TOGETHER)):
        yield row.day, row.version, _cells(row)


def _cells(row: Row) -> Cells:
    try:
        return unpacked(row.cells)
    except SegmentDamaged as error:
        raise SegmentUnreadable(
            f"the segment of version {row.version}, day {row.day} is damaged: {error}",
            remedy="restore the database from a copy; `wattledger readings verify` tells all that is damaged",
        ) from error


@contextmanager
def tiles(
    tx: Transaction, *, channel: str, seconds: int, days: range, head: Head, limit: int | None = None
) -> Iterator[dict[int, Tile]]:
    """What the segments say of some days, by day, in the state of ``head`` or as of the version ``limit``.

    Nobody changes them while they are held.
    """
    if limit is not None:
        yield _read(tx, {}, channel, seconds, days, after=0, until=min(limit, head.version))
        return
    memory = memory_of(tx)
    with memory.lock:
        held = _shared(tx, memory, channel, seconds, days, head)
        if held is not None:
            for tile in held.values():
                tile.pins += 1
    if held is None:
        yield _read(tx, {}, channel, seconds, days, after=0, until=head.version)
        return
    try:
        yield held
    finally:
        with memory.lock:
            for tile in held.values():
                tile.pins -= 1


def _shared(
    tx: Transaction, memory: _Memory, channel: str, seconds: int, days: range, head: Head
) -> dict[int, Tile] | None:
    """The tiles in memory, brought to ``head``; ``None`` when the memory is further than that."""
    if head.generation != max(memory.generation, 0):
        return None
    keys = [(channel, seconds, day) for day in days]
    known = {key[2]: memory.tiles[key] for key in keys if key in memory.tiles}
    if any(tile.applied > head.version for tile in known.values()):
        return None
    if len(known) < len(days) or any(tile.applied < head.version for tile in known.values()):
        for day, tile in known.items():
            if tile.pins and tile.applied < head.version:
                known[day] = memory.tiles[channel, seconds, day] = tile.copy()
        after = min((tile.applied for tile in known.values()), default=0) if len(known) == len(days) else 0
        known = _read(tx, known, channel, seconds, days, after=after, until=head.version)
        memory.tiles.update({(channel, seconds, day): tile for day, tile in known.items()})
    for key in keys:
        memory.tiles.move_to_end(key)
    _shrink(memory, keep=set(keys))
    return {day: tile for day, tile in known.items() if len(tile)}


def _read(
    tx: Transaction, known: dict[int, Tile], channel: str, seconds: int, days: range, *, after: int, until: int
) -> dict[int, Tile]:
    found = {day: known.get(day) or Tile(DAY // seconds) for day in days}
    for day, version, cells in segments(tx, channel=channel, seconds=seconds, days=days, after=after, until=until):
        if version > found[day].applied:
            found[day].apply(cells)
    for tile in found.values():
        tile.applied = until
    return found


def _shrink(memory: _Memory, *, keep: Collection[TileKey]) -> None:
    size = sum(tile.nbytes for tile in memory.tiles.values())
    for key in list(memory.tiles):
        if size <= _MOST_BYTES:
            return
        if key not in keep:
            size -= memory.tiles.pop(key).nbytes


def applied(own: Pending, *, channel: str, seconds: int, days: Iterable[int]) -> dict[int, Tile]:
    """Tiles of what a unit of work itself has ingested; they are kept, for it may look a thousand times."""
    found: dict[int, Tile] = {}
    for day in days:
        key = channel, seconds, day
        cells = own.cells.get(key, ())
        if not cells:
            continue
        count, tile = own.tiles.get(key, (0, Tile(DAY // seconds)))
        if count < len(cells):
            tile = tile.copy()  # somebody may hold the one from before
            for one in cells[count:]:
                tile.apply(one)
            own.tiles[key] = len(cells), tile
        found[day] = tile
    return found
