"""A channel's intervals as one unit of work sees them: files, segments and what it has just ingested itself, in layers.

A value in a segment is newer than one in a file, a later segment newer than an earlier one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from threading import Lock

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from wattledger.kernel import Period, Quality, epoch
from wattledger.readings import _tables as t
from wattledger.readings._files import SHARD, UNSET, FileReader, Superseded
from wattledger.readings._memory import (
    DAY,
    FileEntry,
    Tile,
    applied,
    catalogue,
    committed_head,
    head_of_or_nothing,
    pending,
    tiles,
)
from wattledger.store import Transaction

_TOGETHER = 4_096
_ATTEMPTS = 5
_LONG = 400  # days
_FEW = 32
"""For fewer series than this the cells of tiles are not put in order."""

Ids = NDArray[np.int32]
Values = tuple[NDArray[np.int32], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """What a layer of tiles says: those that are full, by day, and the single cells of all others, by series."""

    full: Sequence[tuple[int, Tile]]
    series: NDArray[np.int32]
    columns: NDArray[np.int32]
    wh: NDArray[np.int32]
    quality: NDArray[np.uint8]

    @classmethod
    def of(cls, of_days: dict[int, Tile], *, seconds: int, first: int, slots: int) -> _Layer:
        """The layer for the table of ``slots`` from ``first``."""
        full: list[tuple[int, Tile]] = []
        parts: list[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.uint8]]] = []
        for day, tile in of_days.items():
            cells = tile.single_cells()
            if cells is None:
                full.append((day, tile))
                continue
            series, slot, wh, quality = cells
            columns = slot + np.int32((day * DAY - first) // seconds)
            here = (columns >= 0) & (columns < slots)
            parts.append((series[here], columns[here], wh[here], quality[here]))
        if not parts:
            nothing = np.empty(0, dtype=np.int32)
            return cls(full, nothing, nothing, nothing, np.empty(0, dtype=np.uint8))
        series, columns, wh, quality = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.argsort(series, kind="stable")
        return cls(full, series[order], columns[order], wh[order], quality[order])

    def cells_of(self, ids: Ids) -> tuple[NDArray[np.int64], NDArray[np.int32], slice]:
        """The single cells of ascending ``ids``: their places in them, their columns, and where they stand here."""
        some = slice(*self.series.searchsorted((ids[0], ids[-1] + 1)).tolist())
        if some.start == some.stop:
            return np.empty(0, dtype=np.int64), self.columns[some], some
        return ids.searchsorted(self.series[some]), self.columns[some], some


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
    _layers: list[_Layer] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

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
            if about_series(ids, entry):
                self._from_superseded(entry.file.superseded(), ids, wh, quality)
        self._lay_over(ids, wh, quality)
        unset = quality == UNSET
        if unset.any():
            quality[unset] = Quality.MISSING
        return wh, quality

    def _lay_over(self, ids: Ids, wh: NDArray[np.int32], quality: NDArray[np.uint8]) -> None:
        """Put what segments say over the tables of ``ids``."""
        if len(ids) < _FEW:
            for of_days in self.tiles:
                self._lay_full(of_days.items(), ids, wh, quality)
            return
        for layer in self._in_layers():
            self._lay_full(layer.full, ids, wh, quality)
            places, columns, some = layer.cells_of(ids)
            if not len(places):
                continue
            said_wh, said = layer.wh[some], layer.quality[some]
            ours = ids[np.minimum(places, len(ids) - 1)] == layer.series[some]
            if not ours.all():
                places, columns, said_wh, said = places[ours], columns[ours], said_wh[ours], said[ours]
            wh[places, columns], quality[places, columns] = said_wh, said

    def _lay_full(
        self, of_days: Iterable[tuple[int, Tile]], ids: Ids, wh: NDArray[np.int32], quality: NDArray[np.uint8]
    ) -> None:
        for day, tile in of_days:
            start = max(day * DAY, self.first)
            end = min((day + 1) * DAY, self.last)
            span = slice((start - day * DAY) // self.seconds, (end - day * DAY) // self.seconds)
            here = slice((start - self.first) // self.seconds, (end - self.first) // self.seconds)
            tile.overlay(ids, span, wh[:, here], quality[:, here])

    def _in_layers(self) -> list[_Layer]:
        """What segments say, put in order once for all who ask for many series."""
        with self._lock:
            if len(self._layers) < len(self.tiles):
                self._layers.extend(
                    _Layer.of(of_days, seconds=self.seconds, first=self.first, slots=self.slots)
                    for of_days in self.tiles
                )
            return self._layers

    def _said(self, ids: Ids) -> bool | None:
        """Whether segments say anything of these series: ``None``: of single cells only."""
        if len(ids) < _FEW:
            return any(tile.touches(ids) for of_days in self.tiles for tile in of_days.values())
        layers = self._in_layers()
        if any(tile.touches(ids) for layer in layers for _, tile in layer.full):
            return True
        return None if any(len(layer.cells_of(ids)[0]) for layer in layers) else False

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
        return [entry for entry in self.files if about_series(ids, entry)]

    def _whole_group(self, ids: Ids, readers: dict[str, FileReader], stack: ExitStack) -> Values | None:
        """Straight from the file, where one row group is all there is to say of these series."""
        if self.limit is not None or not len(ids) or int(ids[0]) // SHARD != int(ids[-1]) // SHARD:
            return None
        files = self._files_of(ids)
        said = self._said(ids) if len(files) == 1 else True
        if said:
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
        if said is None:
            wh, quality = wh.copy(), quality.copy()
            self._lay_over(ids, wh, quality)
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


def about_series(ids: Ids, entry: FileEntry) -> bool:
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
            laid.append(applied(own, channel=channel, seconds=seconds, days=days))
        yield View(
            seconds,
            *span,
            [entry for entry in listed if entry.file.kind == "current"],
            [entry for entry in listed if entry.file.kind == "superseded"],
            laid,
            limit,
        )
