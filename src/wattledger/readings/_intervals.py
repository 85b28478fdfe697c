"""The interval store: ingest idempotently, ask by point and period.

A day of one channel is two short arrays, so a batch of thousands of intervals touches few rows and a month of one point
is thirty of them. A value that replaces another one leaves the old one in ``interval_revision``: nothing is lost.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from wattledger.kernel import IntervalSeries, Period, Problem, Quality, epoch, from_epoch
from wattledger.readings import _tables as t
from wattledger.registry import ServicePointUnknown, unknown_points
from wattledger.store import Row, Transaction, chunked

IMPORT = "import"
"""The channel of energy taken from the network."""

EXPORT = "export"
"""The channel of energy given to the network."""

_DAY = 86_400
_INT32_MAX = 2**31 - 1
_LENGTHS = frozenset({60, 300, 600, 900, 1800, 3600})


class BatchRefused(Problem):
    """A batch of intervals cannot be stored; nothing of it was."""

    slug = "batch-refused"
    title = "The batch of intervals was refused"
    status = 422


class BatchConflict(Problem):
    """A batch came again under the same id with other content."""

    slug = "batch-conflict"
    title = "A batch with this id was stored before with other content"
    status = 409


@dataclass(frozen=True, slots=True)
class PointIntervals:
    """New intervals of one channel at one service point, in watt-hours (``series.decimals == 3``)."""

    service_point_id: str
    channel: str
    series: IntervalSeries


@dataclass(frozen=True, slots=True)
class IntervalBatch:
    """What one delivery brings. ``id`` is made by the sender: a repeat of the delivery repeats the id.

    What is not a meter's word says how it was made: the ``method`` and ``rule`` of an estimate, the ``actor`` and
    ``reason`` of an edit.
    """

    id: str
    source: str
    points: Sequence[PointIntervals]
    method: str = ""
    rule: str = ""
    actor: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """What a batch changed in one channel: the intervals that are new or different, with their present values.

    ``revised`` is true when a value that was known before became another one (or was taken back).
    """

    service_point_id: str
    channel: str
    series: IntervalSeries
    revised: bool


@dataclass(frozen=True, slots=True)
class Receipt:
    """How a batch ended: ``stored + duplicate + revised`` is the number of intervals in it."""

    batch_id: str
    stored: int
    duplicate: int
    revised: int
    changes: Sequence[Change]


_Key = tuple[str, str, int]


@dataclass(slots=True)
class _Day:
    seconds: int
    wh: NDArray[np.int32]
    quality: NDArray[np.uint8]


def ingest(tx: Transaction, *, batch: IntervalBatch, now: datetime) -> Receipt:
    """Store a batch's intervals; the same batch again, or the same values in another one, changes nothing.

    Raises :class:`ServicePointUnknown` and :class:`BatchRefused` before anything is written, and
    :class:`BatchConflict` when the id came before with other content.
    """
    _check(tx, batch)
    content_hash = _content_hash(batch)
    earlier = tx.execute(sa.select(t.ingest_batch).where(t.ingest_batch.c.id == batch.id)).one_or_none()
    if earlier is not None:
        return _repeat(batch, content_hash, earlier)

    parts = [(point, day, part) for point in batch.points for day, part in _by_day(point.series)]
    keys = sorted({(point.service_point_id, point.channel, day) for point, day, _ in parts})
    days = _locked_days(tx, keys, {(p.service_point_id, p.channel): p.series.seconds for p in batch.points})

    counts = {"stored": 0, "duplicate": 0, "revised": 0}
    revisions: list[dict[str, object]] = []
    changed: dict[tuple[str, str], list[tuple[IntervalSeries, bool]]] = defaultdict(list)
    touched: set[_Key] = set()
    for point, day, part in parts:
        key = (point.service_point_id, point.channel, day)
        held = days[key]
        if held.seconds != part.seconds:
            raise BatchRefused(
                f"{point.service_point_id} {point.channel} has {held.seconds}-second intervals on that day, "
                f"the batch {batch.id} brings {part.seconds}-second ones",
                remedy="send one interval length per channel and day",
            )
        slots = (part.starts - day * _DAY) // part.seconds
        known = held.quality[slots] != Quality.MISSING
        same = (held.quality[slots] == part.qualities) & (~known | (held.wh[slots] == part.values))
        counts["duplicate"] += int(same.sum())
        counts["stored"] += int((~known & ~same).sum())
        replaced = np.flatnonzero(known & ~same)
        counts["revised"] += len(replaced)
        revisions += [
            {
                "service_point_id": point.service_point_id,
                "channel": point.channel,
                "start": from_epoch(int(part.starts[i])),
                "wh_before": int(held.wh[slots[i]]),
                "quality_before": int(held.quality[slots[i]]),
                "wh_after": int(part.values[i]),
                "quality_after": int(part.qualities[i]),
                "batch_id": batch.id,
                "recorded_at": now,
            }
            for i in replaced
        ]
        if same.all():
            continue
        held.wh[slots] = part.values
        held.quality[slots] = part.qualities
        touched.add(key)
        changed[key[:2]].append((part.picked(~same), bool(len(replaced))))

    _write_days(tx, {key: days[key] for key in touched})
    if revisions:
        tx.execute(t.interval_revision.insert(), revisions)
    last = max((int(point.series.starts[-1]) for point in batch.points if len(point.series)), default=None)
    tx.execute(
        t.ingest_batch.insert().values(
            id=batch.id,
            source=batch.source,
            received_at=now,
            content_hash=content_hash,
            last_start=None if last is None else from_epoch(last),
            **counts,
        )
    )
    changes = [
        Change(point_id, channel, _joined([series for series, _ in parts]), revised=any(flag for _, flag in parts))
        for (point_id, channel), parts in changed.items()
    ]
    return Receipt(batch_id=batch.id, changes=changes, **counts)


def _check(tx: Transaction, batch: IntervalBatch) -> None:
    seen: set[tuple[str, str]] = set()
    for point in batch.points:
        series, name = point.series, f"{point.service_point_id} {point.channel}"
        if (point.service_point_id, point.channel) in seen:
            raise BatchRefused(f"{name} stands twice in batch {batch.id}", remedy="send one series per channel")
        seen.add((point.service_point_id, point.channel))
        if series.seconds not in _LENGTHS:
            raise BatchRefused(
                f"{name}: intervals of {series.seconds} seconds", remedy="use 1, 5, 10, 15, 30 or 60 min"
            )
        if series.decimals != 3:  # noqa: PLR2004 - watt-hours: three places of a kWh
            raise BatchRefused(f"{name}: values are not in watt-hours")
        if len(series) and int(series.values.min()) < 0:
            raise BatchRefused(
                f"{name}: an interval of less than no energy", remedy="send what is given back on the export channel"
            )
        if len(series) and (int(series.values.max()) > _INT32_MAX or bool((series.starts % series.seconds).any())):
            raise BatchRefused(
                f"{name}: a start is off the {series.seconds}-second grid or a value is beyond 2,147,483,647 Wh"
            )
    unknown = unknown_points(tx, service_point_ids=[point.service_point_id for point in batch.points])
    if unknown:
        raise ServicePointUnknown(
            f"batch {batch.id} names service points that do not exist: {', '.join(sorted(unknown)[:5])}",
            remedy="register them first, then send the batch again",
        )


def _content_hash(batch: IntervalBatch) -> str:
    digest = hashlib.sha256()
    for point in sorted(batch.points, key=lambda p: (p.service_point_id, p.channel)):
        digest.update(f"{point.service_point_id}\x1f{point.channel}\x1f{point.series.seconds}\x1f".encode())
        for column in (point.series.starts, point.series.values, point.series.qualities):
            digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()


def _repeat(batch: IntervalBatch, content_hash: str, earlier: Row) -> Receipt:
    if earlier.content_hash != content_hash:
        raise BatchConflict(
            f"batch {batch.id} was stored on {earlier.received_at.isoformat()} with other content",
            remedy="give every delivery an id of its own",
        )
    total = sum(len(point.series) for point in batch.points)
    return Receipt(batch_id=batch.id, stored=0, duplicate=total, revised=0, changes=())


def _by_day(series: IntervalSeries) -> list[tuple[int, IntervalSeries]]:
    if not len(series):
        return []
    days = series.starts // _DAY
    cuts = [0, *(np.flatnonzero(np.diff(days)) + 1).tolist(), len(days)]
    return [(int(days[a]), series.picked(slice(a, b))) for a, b in pairwise(cuts)]


def _joined(parts: Sequence[IntervalSeries]) -> IntervalSeries:
    if len(parts) == 1:
        return parts[0]
    return IntervalSeries(
        np.concatenate([part.starts for part in parts]),
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.qualities for part in parts]),
        parts[0].seconds,
    )


def _locked_days(tx: Transaction, keys: Sequence[_Key], seconds: Mapping[tuple[str, str], int]) -> dict[_Key, _Day]:
    """The day rows of ``keys``, locked; those that were not there yet are begun, all missing."""
    day = t.interval_day
    blank = [
        {
            "service_point_id": point,
            "channel": channel,
            "day": number,
            "interval_seconds": seconds[point, channel],
            "present": 0,
            "wh": bytes(4 * (_DAY // seconds[point, channel])),
            "quality": bytes(_DAY // seconds[point, channel]),
        }
        for point, channel, number in keys
    ]
    tx.insert_new(day, blank)
    points = sorted({point for point, _, _ in keys})
    numbers = [number for _, _, number in keys] or [0]
    found: dict[_Key, _Day] = {}
    for piece in chunked(points):
        select = (
            sa.select(day)
            .where(day.c.service_point_id.in_(piece), day.c.day.between(min(numbers), max(numbers)))
            .order_by(day.c.service_point_id, day.c.channel, day.c.day)
        )
        for row in tx.rows(tx.locked(select)):
            found[row.service_point_id, row.channel, row.day] = _Day(
                seconds=row.interval_seconds,
                wh=np.frombuffer(row.wh, dtype="<i4").copy(),
                quality=np.frombuffer(row.quality, dtype=np.uint8).copy(),
            )
    return found


def _write_days(tx: Transaction, days: Mapping[_Key, _Day]) -> None:
    if not days:
        return
    day = t.interval_day
    statement = (
        day.update()
        .where(
            day.c.service_point_id == sa.bindparam("key_point"),
            day.c.channel == sa.bindparam("key_channel"),
            day.c.day == sa.bindparam("key_day"),
        )
        .values(present=sa.bindparam("new_present"), wh=sa.bindparam("new_wh"), quality=sa.bindparam("new_quality"))
    )
    tx.execute(
        statement,
        [
            {
                "key_point": point,
                "key_channel": channel,
                "key_day": number,
                "new_present": int((held.quality != Quality.MISSING).sum()),
                "new_wh": held.wh.astype("<i4").tobytes(),
                "new_quality": held.quality.tobytes(),
            }
            for (point, channel, number), held in sorted(days.items())
        ],
    )


def series(tx: Transaction, *, service_point_id: str, period: Period, channel: str = IMPORT) -> IntervalSeries:
    """The known intervals of one channel that start within ``period``; those that are missing are not listed."""
    return series_of_points(tx, service_point_ids=[service_point_id], period=period, channel=channel).get(
        service_point_id, IntervalSeries.empty()
    )


def series_of_points(
    tx: Transaction, *, service_point_ids: Collection[str], period: Period, channel: str = IMPORT
) -> dict[str, IntervalSeries]:
    """As :func:`series`, for many points at once; points without any interval are left out."""
    day = t.interval_day
    first, last = epoch(period.start) // _DAY, -(-epoch(period.end) // _DAY)
    rows: dict[str, list[Row]] = defaultdict(list)
    for piece in chunked(sorted(set(service_point_ids))):
        select = (
            sa.select(day)
            .where(day.c.service_point_id.in_(piece), day.c.channel == channel, day.c.day >= first, day.c.day < last)
            .order_by(day.c.service_point_id, day.c.day)
        )
        for row in tx.rows(select):
            rows[row.service_point_id].append(row)
    return {point: _series_of_rows(found).within(period) for point, found in rows.items()}


def _series_of_rows(rows: Sequence[Row]) -> IntervalSeries:
    # A channel whose interval length changed shows the rows of the length it has now; the others are another history.
    seconds = rows[-1].interval_seconds
    rows = [row for row in rows if row.interval_seconds == seconds]
    slots = np.arange(_DAY // seconds, dtype=np.int64) * seconds
    starts = np.concatenate([row.day * _DAY + slots for row in rows])
    wh = np.frombuffer(b"".join(row.wh for row in rows), dtype="<i4").astype(np.int64)
    quality = np.frombuffer(b"".join(row.quality for row in rows), dtype=np.uint8)
    known = quality != Quality.MISSING
    return IntervalSeries(starts, wh, quality, seconds).picked(known)


@dataclass(frozen=True, slots=True)
class ArrivalSlot:
    """How many channels have a value for the interval that starts at ``start``."""

    start: datetime
    count: int


def arrivals(tx: Transaction, *, period: Period, seconds: int = 900, channel: str = IMPORT) -> list[ArrivalSlot]:
    """How many intervals have come for each slot of ``seconds`` in ``period``: the picture of collection."""
    day = t.interval_day
    first, last = epoch(period.start) // _DAY, -(-epoch(period.end) // _DAY)
    counts = np.zeros((last - first, _DAY // seconds), dtype=np.int64)
    for row in tx.rows(
        sa.select(day.c.day, day.c.quality).where(
            day.c.day >= first, day.c.day < last, day.c.channel == channel, day.c.interval_seconds == seconds
        )
    ):
        counts[row.day - first] += np.frombuffer(row.quality, dtype=np.uint8) != Quality.MISSING
    starts = first * _DAY + np.arange(counts.size, dtype=np.int64) * seconds
    return [
        ArrivalSlot(from_epoch(int(start)), int(count))
        for start, count in zip(starts, counts.ravel(), strict=True)
        if epoch(period.start) <= start < epoch(period.end)
    ]


@dataclass(frozen=True, slots=True)
class Collected:
    """How much is in the store and what came last."""

    stored_total: int
    last_batch_at: datetime | None
    last_interval_start: datetime | None


def collected(tx: Transaction) -> Collected:
    """The store's totals."""
    total = tx.execute(sa.select(sa.func.coalesce(sa.func.sum(t.interval_day.c.present), 0))).scalar_one()
    batch = t.ingest_batch
    row = tx.execute(sa.select(sa.func.max(batch.c.received_at), sa.func.max(batch.c.last_start))).one()
    return Collected(stored_total=int(total), last_batch_at=row[0], last_interval_start=row[1])


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


def revisions(tx: Transaction, *, service_point_id: str, period: Period, channel: str = IMPORT) -> list[Revision]:
    """Every value of a channel within ``period`` that was replaced, oldest replacement first."""
    rev = t.interval_revision
    rows = tx.rows(
        sa.select(rev)
        .where(
            rev.c.service_point_id == service_point_id,
            rev.c.channel == channel,
            rev.c.start >= period.start,
            rev.c.start < period.end,
        )
        .order_by(rev.c.id)
    )
    return [
        Revision(
            start=row.start,
            wh_before=row.wh_before,
            quality_before=Quality(row.quality_before),
            wh_after=row.wh_after,
            quality_after=Quality(row.quality_after),
            batch_id=row.batch_id,
            recorded_at=row.recorded_at,
        )
        for row in rows
    ]
