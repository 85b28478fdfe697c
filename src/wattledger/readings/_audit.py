"""Whether what is stored agrees with itself, and how much there is.

Every stored or revised reading of a batch has a version of its own in exactly one place: a segment, a current or a
superseded file. So counting the versions finds what was lost or doubled, wherever it happened.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from wattledger.kernel import Quality, from_epoch
from wattledger.readings import _tables as t
from wattledger.readings._bounded import disagreeing_registers
from wattledger.readings._files import SHARD, FilesUnreadable, Superseded, parquet
from wattledger.readings._memory import DAY, FileEntry, catalogue, folder_of, head_of_or_nothing
from wattledger.readings._registers import register_count
from wattledger.readings._segments import SegmentDamaged, unpacked
from wattledger.store import Transaction

_TOGETHER = 200
_SHOWN = 5


def verify(tx: Transaction, *, progress: Callable[[int, int], None] | None = None) -> list[str]:
    """Audit everything that is stored; returns a line for each fault, none when all is well.

    - every segment can be read, has as many readings as it says, of series that exist;
    - every listed file is there, has the listed size and content, says of itself what the catalogue says, and has its
      rows in order, every slot once; no two current files are about the same intervals;
    - every value that was superseded was so by a later version;
    - between two reads of a register the intervals, where all are known, sum to what it counted;
    - every batch's stored and revised readings are found, each once, and as many intervals have a value as are counted.

    Reads everything once. For one consistent state: call it in a reading unit of work.
    """
    audit = _Audit(tx)
    audit.head()
    entries = catalogue(tx, audit.at)
    for number, entry in enumerate(entries):
        audit.file(entry)
        if progress is not None:
            progress(number + 1, len(entries))
    audit.overlaps(entries)
    audit.segments()
    audit.batches()
    return [*audit.faults, *disagreeing_registers(tx)]


class _Audit:
    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self.at = head_of_or_nothing(tx)
        self.faults: list[str] = []
        self._found: Counter[int] = Counter()
        self._present = 0

    def head(self) -> None:
        """The counts that everything else goes by."""
        s = t.reading_series.c
        count, last = self._tx.execute(sa.select(sa.func.count(), sa.func.max(s.id))).one()
        if (count, -1 if last is None else last) != (self.at.series, self.at.series - 1):
            self.faults.append(f"{count} series up to number {last} are stored, {self.at.series} are counted")
        b = t.ingest_batch.c
        count, last = self._tx.execute(sa.select(sa.func.count(), sa.func.max(b.version))).one()
        if (count, last or 0) != (self.at.version, self.at.version):
            self.faults.append(f"{count} batches up to version {last} are stored, {self.at.version} are counted")

    def file(self, entry: FileEntry) -> None:
        """One listed file."""
        try:
            fault = self._file(entry)
        except (FilesUnreadable, ValueError) as error:
            fault = getattr(error, "detail", str(error))
        if fault is not None:
            self.faults.append(fault if entry.file.path in fault else f"{entry.file.path}: {fault}")

    def _file(self, entry: FileEntry) -> str | None:
        file = entry.file
        with file.folder.opened(file.path) as opened:
            data = opened.read()
        if len(data) != entry.bytes or hashlib.sha256(data).hexdigest() != entry.sha256:
            return f"{len(data)} bytes are not the {entry.bytes} that were written"
        return self._superseded(entry, file.superseded()) if file.kind == "superseded" else self._current(entry)

    def _current(self, entry: FileEntry) -> str | None:
        file, extent = entry.file, entry.file.extent
        footer = file.footer()
        if footer.extent != extent or len(footer.series) != entry.series:
            return "it says of itself another channel, time or version than the catalogue"
        if entry.rows != len(footer.series) * extent.slots or (np.diff(footer.series) <= 0).any():
            return "its series are not in order, or its rows are not one for each slot"
        starts = extent.first + extent.seconds * np.arange(extent.slots, dtype=np.int64)
        for group, at in enumerate(range(0, len(footer.series), footer.group)):
            ids = footer.series[at : at + footer.group]
            wh, quality, version = file.table(group, versions=True)
            with file.folder.opened(file.path) as opened:
                keys = parquet().ParquetFile(opened).read_row_group(group, columns=["point", "start"])
            points = keys.column("point").to_numpy()
            micro = keys.column("start").cast("int64").to_numpy()
            if not np.array_equal(points, np.repeat(ids, extent.slots)) or not np.array_equal(
                micro, np.tile(starts * 1_000_000, len(ids))
            ):
                return f"the rows of group {group} are not in order"
            fault = self._values(ids, wh, quality, version, extent.version)
            if fault is not None:
                return f"group {group}: {fault}"
        return None

    def _values(
        self,
        ids: NDArray[np.int32],
        wh: NDArray[np.int32],
        quality: NDArray[np.uint8],
        version: NDArray[np.int64],
        until: int,
    ) -> str | None:
        known = quality != Quality.MISSING
        self._count(version[version > 0])
        self._present += int(known.sum())
        if int(quality.max()) > max(Quality):
            return f"a flag of {int(quality.max())} means nothing"
        if (known & (version == 0)).any() or int(version.max()) > until or (known & (wh < 0)).any():
            return "a value has no version, a later one than the file, or is negative"
        if int(ids[-1]) >= self.at.series:
            return f"series {int(ids[-1])} does not exist"
        return None

    def _superseded(self, entry: FileEntry, old: Superseded) -> str | None:
        self._count(old.version)
        if len(old) != entry.rows:
            return f"{len(old)} rows and {entry.rows} are listed"
        if (old.until <= old.version).any() or (old.until > entry.file.extent.version).any():
            return "a value ended before it began"
        same = (np.diff(old.series) == 0) & (np.diff(old.starts) == 0)
        if (same & (old.version[1:] != old.until[:-1])).any():
            return "an interval's values do not follow each other"
        return None

    def overlaps(self, entries: Sequence[FileEntry]) -> None:
        """Two current files about the same intervals."""
        lanes: dict[tuple[str, int, int], list[FileEntry]] = defaultdict(list)
        for entry in entries:
            if entry.file.kind == "current":
                extent = entry.file.extent
                lanes[extent.channel, extent.seconds, extent.shard].append(entry)
        for lane in lanes.values():
            lane.sort(key=lambda entry: entry.file.extent.first)
            self.faults += [
                f"{one.file.path} and {other.file.path} are about the same intervals"
                for one, other in pairwise(lane)
                if one.file.extent.last > other.file.extent.first
            ]

    def segments(self) -> None:
        """Every segment."""
        s = t.reading_segment
        select = sa.select(s).order_by(s.c.channel, s.c.seconds, s.c.day, s.c.version)
        day: tuple[str, int, int] | None = None
        values: dict[int, NDArray[np.uint8]] = {}
        for row in self._tx.execute(select.execution_options(yield_per=_TOGETHER)):
            key = row.channel, row.seconds, row.day
            if key != day:
                self._close(day, values)
                day, values = key, {}
            name = f"segment {row.channel} {row.seconds} s day {row.day} version {row.version}"
            try:
                cells = unpacked(row.cells).one_by_one()
            except SegmentDamaged as error:
                self.faults.append(f"{name}: {error}")
                continue
            self._found[row.version] += len(cells)
            width = DAY // row.seconds
            order = cells.series.astype(np.int64) * width + cells.slots
            if len(cells) != row.readings or (np.diff(order) <= 0).any():
                self.faults.append(f"{name}: {len(cells)} readings, {row.readings} listed, or not in order")
            elif int(cells.series[-1]) >= self.at.series or int(cells.slots.max()) >= width:
                self.faults.append(f"{name}: a series or slot that does not exist")
            elif row.version > self.at.version:
                self.faults.append(f"{name}: later than the last batch")
            else:
                for series in np.unique(cells.series).tolist():
                    a, b = cells.series.searchsorted((series, series + 1))
                    of = values.setdefault(series, np.full(width, 255, dtype=np.uint8))
                    of[cells.slots[a:b]] = cells.quality[a:b]
        self._close(day, values)

    def _close(self, day: tuple[str, int, int] | None, values: dict[int, NDArray[np.uint8]]) -> None:
        """Count what the segments of a day make present that is not in files, and absent that is."""
        if day is None:
            return
        channel, seconds, number = day
        ids = np.array(sorted(values), dtype=np.int32)
        said = np.stack([values[series] for series in ids.tolist()]) if len(ids) else np.empty((0, 0), np.uint8)
        below = self._below(channel, seconds, number, ids)
        is_said = said != 255  # noqa: PLR2004 - nothing was said
        self._present += int((is_said & (said != Quality.MISSING)).sum()) - int((is_said & below).sum())

    def _below(self, channel: str, seconds: int, day: int, ids: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Which intervals of a day have a value in files."""
        found = np.zeros((len(ids), DAY // seconds), dtype=np.bool_)
        for entry in catalogue(self._tx, self.at):
            file, extent = entry.file, entry.file.extent
            here = (extent.channel, extent.seconds) == (channel, seconds) and extent.first <= day * DAY < extent.last
            if not here or file.kind != "current" or not np.isin(ids // SHARD, extent.shard).any():
                continue
            try:
                footer = file.footer()
                places, rows = footer.rows(ids)
                column = (day * DAY - extent.first) // seconds
                for group in np.unique(rows // footer.group).tolist():
                    _, quality, _ = file.table(group)
                    which = rows // footer.group == group
                    of_day = quality[rows[which] - group * footer.group, column : column + DAY // seconds]
                    found[places[which]] = of_day != Quality.MISSING
            except FilesUnreadable:
                continue  # said already
        return found

    def batches(self) -> None:
        """What every batch brought."""
        b = t.ingest_batch.c
        wrong = 0
        for row in self._tx.execute(sa.select(b.version, b.id, b.stored, b.revised).order_by(b.version)):
            found = self._found.pop(row.version, 0)
            if found != row.stored + row.revised:
                wrong += 1
                if wrong <= _SHOWN:
                    brought = f"{row.stored} readings were stored and {row.revised} revised"
                    self.faults.append(f"batch {row.id}: {brought}, {found} are found")
        if wrong > _SHOWN:
            self.faults.append(f"and {wrong - _SHOWN} more batches of which readings lack or are doubled")
        for version, found in sorted(self._found.items())[:_SHOWN]:
            self.faults.append(f"{found} readings of version {version}, which no batch has")
        if self._present != self.at.present:
            self.faults.append(f"{self._present} intervals have a value and {self.at.present} are counted")

    def _count(self, version: NDArray[np.int64]) -> None:
        for one, count in zip(*(column.tolist() for column in np.unique(version, return_counts=True)), strict=True):
            self._found[one] += count


@dataclass(frozen=True, slots=True)
class ChannelStats:
    """How much of one channel and interval length is stored, and where."""

    channel: str
    seconds: int
    series: int
    files: int
    file_bytes: int
    file_intervals: int
    superseded: int
    segments: int
    segment_readings: int
    first: datetime | None
    last: datetime | None

    @property
    def bytes_per_interval(self) -> float | None:
        """Of the files of values in force."""
        return self.file_bytes / self.file_intervals if self.file_intervals else None


@dataclass(frozen=True, slots=True)
class StoreStats:
    """How much is stored."""

    present: int
    batches: int
    last_at: datetime | None
    files_at: str | None
    retired_files: int
    registers: int
    channels: Sequence[ChannelStats]


def stats(tx: Transaction) -> StoreStats:
    """How much is stored, and where."""
    head = head_of_or_nothing(tx)
    s, f, n = t.reading_segment.c, t.reading_file.c, t.reading_series.c
    series = {
        (row[0], row[1]): row[2]
        for row in tx.rows(sa.select(n.channel, n.seconds, sa.func.count()).group_by(n.channel, n.seconds))
    }
    waiting = {
        (row[0], row[1]): row[2:]
        for row in tx.rows(
            sa.select(
                s.channel, s.seconds, sa.func.count(), sa.func.sum(s.readings), sa.func.min(s.day), sa.func.max(s.day)
            ).group_by(s.channel, s.seconds)
        )
    }
    entries = catalogue(tx, head)
    channels = []
    for key in sorted(series):
        of = [entry for entry in entries if (entry.file.extent.channel, entry.file.extent.seconds) == key]
        current = [entry for entry in of if entry.file.kind == "current"]
        count, readings, first_day, last_day = waiting.get(key, (0, 0, None, None))
        begins = [entry.file.extent.first for entry in current] + ([] if first_day is None else [first_day * DAY])
        ends = [entry.file.extent.last for entry in current] + ([] if last_day is None else [(last_day + 1) * DAY])
        channels.append(
            ChannelStats(
                channel=key[0],
                seconds=key[1],
                series=series[key],
                files=len(current),
                file_bytes=sum(entry.bytes for entry in current),
                file_intervals=sum(entry.rows for entry in current),
                superseded=sum(entry.rows for entry in of if entry.file.kind == "superseded"),
                segments=count,
                segment_readings=int(readings),
                first=from_epoch(min(begins)) if begins else None,
                last=from_epoch(max(ends)) if ends else None,
            )
        )
    retired = tx.execute(
        sa.select(sa.func.count()).select_from(t.reading_file).where(f.retired_at.is_not(None))
    ).scalar_one()
    return StoreStats(
        present=head.present,
        batches=head.version,
        last_at=head.last_at,
        files_at=folder_of(tx, head).shown if entries or head.files else None,
        retired_files=int(retired),
        registers=register_count(tx),
        channels=channels,
    )
