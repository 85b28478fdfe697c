"""The way in: a batch becomes segments, in the unit of work of its effects; a repeat changes nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from wattledger.kernel import Period, Quality, epoch, from_epoch
from wattledger.readings import _tables as t
from wattledger.readings._batches import (
    BatchConflict,
    BatchRefused,
    Changed,
    Changes,
    IntervalBatch,
    PointIntervals,
    Receipt,
    checked,
    content_hash,
    covered,
    total,
)
from wattledger.readings._memory import DAY, Names, Pending, TileKey, begin_pending, head_of
from wattledger.readings._registers import check_register_reads, keep_registers
from wattledger.readings._segments import Cells, packed
from wattledger.readings._view import view
from wattledger.registry import ServicePointUnknown, unknown_points
from wattledger.store import Row, Transaction


@dataclass(frozen=True, slots=True, eq=False)
class _Columns:
    """What a batch has of one channel and interval length, ascending by series and start."""

    channel: str
    seconds: int
    points: Sequence[str]
    series: NDArray[np.int64]  # places in points
    starts: NDArray[np.int64]
    wh: NDArray[np.int32]
    quality: NDArray[np.uint8]


def ingest(tx: Transaction, *, batch: IntervalBatch, now: datetime) -> Receipt:
    """Store a batch's intervals and register reads; the same again, in whatever batch, changes nothing.

    Raises :class:`ServicePointUnknown` and :class:`BatchRefused` before anything is written, and
    :class:`BatchConflict` when the id came before with other content.
    """
    checked(batch)
    check_register_reads(batch)
    hashed = content_hash(batch)
    head = head_of(tx, locked=True)  # whoever ingests goes in turn: versions are in the order of their commits
    earlier = tx.execute(sa.select(t.ingest_batch).where(t.ingest_batch.c.id == batch.id)).one_or_none()
    if earlier is not None:
        return _repeat(batch, hashed, earlier)
    own = begin_pending(tx, head)
    parts = _columns(batch)
    work = _Work(tx, version=head.version + 1, batch=batch)
    for part, numbers in zip(parts, _numbered(tx, batch, parts, own), strict=True):
        work.add(part, numbers)
    registers = keep_registers(tx, batch=batch, version=head.version + 1)
    last = max((int(part.starts.max()) for part in parts if len(part.starts)), default=None)
    received = now if head.last_at is None else max(now, head.last_at)
    receipt = Receipt(
        batch_id=batch.id,
        stored=work.stored,
        duplicate=total(batch) - work.stored - work.revised,
        revised=work.revised,
        changes=Changes(work.changed),
        registers_stored=registers.stored,
        registers_duplicate=registers.duplicate,
        registers_revised=registers.revised,
    )
    tx.execute(
        t.ingest_batch.insert().values(
            id=batch.id,
            version=head.version + 1,
            source=batch.source,
            method=batch.method,
            rule=batch.rule,
            actor=batch.actor,
            reason=batch.reason,
            received_at=received,
            content_hash=hashed,
            stored=receipt.stored,
            duplicate=receipt.duplicate,
            revised=receipt.revised,
            last_start=None if last is None else from_epoch(last),
        )
    )
    work.write(own)
    ends = [at for at in (head.last_start, None if last is None else from_epoch(last)) if at is not None]
    tx.execute(
        t.reading_head.update().values(
            version=head.version + 1,
            series=len(Names(tx)),
            present=head.present + work.stored - work.taken_back,
            last_at=received,
            last_start=max(ends, default=None),
        )
    )
    return receipt


def _repeat(batch: IntervalBatch, hashed: str, earlier: Row) -> Receipt:
    if earlier.content_hash != hashed:
        raise BatchConflict(
            f"batch {batch.id} was stored on {earlier.received_at.isoformat()} with other content",
            remedy="give every delivery an id of its own",
        )
    reads = sum(len(one.at) for one in batch.registers)
    return Receipt(
        batch_id=batch.id, stored=0, duplicate=total(batch), revised=0, changes=(), registers_duplicate=reads
    )


def _columns(batch: IntervalBatch) -> list[_Columns]:
    """The batch by channel and interval length."""
    found = [
        _Columns(
            table.channel,
            table.seconds,
            table.service_point_ids,
            np.repeat(np.arange(table.wh.shape[0], dtype=np.int64), table.wh.shape[1]),
            np.tile(
                epoch(table.first) + table.seconds * np.arange(table.wh.shape[1], dtype=np.int64), table.wh.shape[0]
            ),
            table.wh.astype(np.int32).ravel(),
            np.full(table.wh.size, table.quality, dtype=np.uint8)
            if isinstance(table.quality, Quality)
            else table.quality.ravel(),
        )
        for table in batch.tables
    ]
    grouped: dict[tuple[str, int], list[PointIntervals]] = defaultdict(list)
    for point in batch.points:
        if len(point.series):
            grouped[point.channel, point.series.seconds].append(point)
    for (channel, seconds), members in grouped.items():
        series = [member.series for member in members]
        found.append(
            _Columns(
                channel,
                seconds,
                [member.service_point_id for member in members],
                np.repeat(np.arange(len(members), dtype=np.int64), [len(one) for one in series]),
                np.concatenate([one.starts for one in series]),
                np.concatenate([one.values for one in series]).astype(np.int32),
                np.concatenate([one.qualities for one in series]),
            )
        )
    return found


def _numbered(
    tx: Transaction, batch: IntervalBatch, parts: Sequence[_Columns], own: Pending
) -> list[NDArray[np.int32]]:
    """The numbers of each part's points; series that are new get one."""
    names = Names(tx)
    numbers = [names.numbers(part.channel, part.seconds, part.points) for part in parts]
    new = sorted(
        (part.points[place], part.channel, part.seconds)
        for part, of in zip(parts, numbers, strict=True)
        for place in np.flatnonzero(of < 0).tolist()
    )
    named = sorted({point for point, _, _ in new} | {one.service_point_id for one in batch.registers})
    unknown = unknown_points(tx, service_point_ids=named) if named else set()
    if unknown:
        raise ServicePointUnknown(
            f"batch {batch.id} names service points that do not exist: {', '.join(sorted(unknown)[:5])}",
            remedy="register them first, then send the batch again",
        )
    if not new:
        return numbers
    columns = ("id", "service_point_id", "channel", "seconds")
    first = len(names)
    rows = [dict(zip(columns, (number, *key), strict=True)) for number, key in enumerate(new, first)]
    tx.insert(t.reading_series, rows)
    for number, key in enumerate(new, first):
        own.names.append(key)
        own.numbers[key] = number
        own.lengths[key[:2]].append(key[2])
    return [names.numbers(part.channel, part.seconds, part.points) for part in parts]


class _Work:
    """What a batch changes, told apart from what is stored already."""

    def __init__(self, tx: Transaction, *, version: int, batch: IntervalBatch) -> None:
        self._tx, self._version, self._batch = tx, version, batch
        self._names = Names(tx)
        self._cells: dict[TileKey, Cells] = {}
        self.stored = self.revised = self.taken_back = 0
        self.changed: list[Changed] = []

    def add(self, part: _Columns, numbers: NDArray[np.int32]) -> None:
        """Count the part and keep of it what is new or different."""
        if not len(part.starts):
            return
        channel, seconds = part.channel, part.seconds
        series = numbers[part.series]
        days = part.starts // DAY
        # By day, then by series; within those, intervals ascend already.
        starts, wh, quality, places = part.starts, part.wh, part.quality, part.series
        if not _ascending(days, series):
            order = np.lexsort((starts, series, days))
            series, days, starts = series[order], days[order], starts[order]
            wh, quality, places = wh[order], quality[order], places[order]
        self._refuse_overlaps(part)
        period = Period.of_epochs(int(days[0]) * DAY, (int(days[-1]) + 1) * DAY)
        with view(self._tx, channel=channel, seconds=seconds, period=period) as seen:
            before_wh, before = seen.cells(series, starts)
        known = before != Quality.MISSING
        keep = (quality != before) | (known & (wh != before_wh))
        replaces = known & keep
        for a, b in pairwise([0, *(np.flatnonzero(np.diff(days)) + 1).tolist(), len(days)]):
            at = a + np.flatnonzero(keep[a:b])
            if len(at):
                day = int(days[a])
                slots = ((starts[at] - day * DAY) // seconds).astype(np.uint16)
                self._cells[channel, seconds, day] = Cells.of(series[at], slots, wh[at], quality[at])
        revised = int(replaces.sum())
        self.revised += revised
        self.stored += int(keep.sum()) - revised
        self.taken_back += int((quality[replaces] == Quality.MISSING).sum())
        kept = np.flatnonzero(keep)
        if not _ascending(places[kept], starts[kept]):
            kept = kept[np.lexsort((starts[kept], places[kept]))]
        self.changed.append(
            Changed(channel, seconds, part.points, places[kept], starts[kept], wh[kept], quality[kept], replaces[kept])
        )

    def _refuse_overlaps(self, part: _Columns) -> None:
        """Refuse what lies over intervals of another length: the same time would count twice."""
        several = self._names.several()
        if not several:
            return
        brought = part.quality != Quality.MISSING
        for place, point in enumerate(part.points):
            if (point, part.channel) not in several:
                continue
            mine = part.starts[(part.series == place) & brought]
            for seconds in self._names.seconds_of(point, part.channel):
                other = self._names.number((point, part.channel, seconds))
                if seconds == part.seconds or other is None:
                    continue
                for day in np.unique(mine // DAY).tolist():  # no interval reaches over a day's end
                    period = Period.of_epochs(day * DAY, (day + 1) * DAY)
                    with view(self._tx, channel=part.channel, seconds=seconds, period=period) as seen:
                        _, quality = seen.values(np.array([other], dtype=np.int32))
                    theirs = day * DAY + seconds * np.flatnonzero(quality[0] != Quality.MISSING)
                    own = mine[mine // DAY == day]
                    clash = own[covered(own, part.seconds, others=theirs, other_seconds=seconds)]
                    if len(clash):
                        raise BatchRefused(
                            f"{point} {part.channel} has {seconds}-second intervals at "
                            f"{from_epoch(int(clash[0])).isoformat()}, "
                            f"the batch {self._batch.id} brings {part.seconds}-second ones",
                            remedy="send one interval length for one time; to change it, take the others back first "
                            "(the same intervals, missing)",
                        )

    def write(self, own: Pending) -> None:
        """Put the segments down."""
        if not self._cells:
            return
        self._tx.execute(
            t.reading_segment.insert(),
            [
                {
                    "channel": channel,
                    "seconds": seconds,
                    "day": day,
                    "version": self._version,
                    "readings": len(cells),
                    "cells": packed(cells),
                }
                for (channel, seconds, day), cells in self._cells.items()
            ],
        )
        for key, cells in self._cells.items():
            own.cells[key].append(cells)


def _ascending(first: NDArray[np.integer], then: NDArray[np.integer]) -> bool:
    """Whether rows ascend by two columns already."""
    step = np.diff(first)
    return bool(((step > 0) | ((step == 0) & (np.diff(then) >= 0))).all())
