"""Reads of cumulative registers: what a meter's counter stood at. They bound gaps and prove the intervals.

Reads are few beside intervals (one a day or a month), so each is a row. A read that comes again with another value is a
later version; the earlier one stays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from wattledger.kernel import Period, epoch, from_epoch
from wattledger.readings import _tables as t
from wattledger.readings._batches import BatchRefused, IntervalBatch, PointRegister
from wattledger.store import Transaction, chunked

_WH_MAX = 2**63 - 1
_POINTS_TOGETHER = 500


@dataclass(frozen=True, slots=True, eq=False)
class RegisterReads:
    """The reads of one register, ascending: ``at`` epoch seconds, ``wh`` what it stood at.

    ``meters``  whose register it was, of each read ("" when nobody said)
    ``steps``   watt-hours of its last digit: what a read cannot tell is smaller than that
    """

    at: NDArray[np.int64]
    wh: NDArray[np.int64]
    meters: Sequence[str]
    steps: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.at)

    def runs(self) -> Iterator[slice]:
        """The stretches of two or more reads of one meter of which none is below the one before."""
        cuts = [0]
        cuts += [
            number + 1
            for number, (a, b) in enumerate(pairwise(zip(self.meters, self.wh.tolist(), strict=True)))
            if a[0] != b[0] or b[1] < a[1]
        ]
        for first, last in pairwise([*cuts, len(self)]):
            if last - first > 1:
                yield slice(first, last)


@dataclass(frozen=True, slots=True)
class KeptRegisters:
    """What became of a batch's register reads."""

    stored: int
    duplicate: int
    revised: int


def check_register_reads(batch: IntervalBatch) -> None:
    """Raise :class:`BatchRefused` for reads that no store could take."""
    seen: set[tuple[str, str]] = set()
    for one in batch.registers:
        name = f"{one.service_point_id} {one.channel}, register"
        if (one.service_point_id, one.channel) in seen:
            raise BatchRefused(f"{name}: it stands twice in batch {batch.id}", remedy="send each register once")
        seen.add((one.service_point_id, one.channel))
        if len(one.at) != len(one.wh):
            raise BatchRefused(f"{name}: {len(one.at)} times for {len(one.wh)} values")
        if (np.diff(one.at) <= 0).any():
            raise BatchRefused(f"{name}: reads are not in order, or two are of the same time")
        if len(one.wh) and int(one.wh.min()) < 0:
            raise BatchRefused(f"{name}: it stands below nothing")
        if one.step < 1:
            raise BatchRefused(f"{name}: its last digit stands for {one.step} Wh", remedy="give 1 or more")


def keep_registers(tx: Transaction, *, batch: IntervalBatch, version: int) -> KeptRegisters:
    """Store the reads of a batch; what is known as it is changes nothing. For ``ingest``, under its lock."""
    stored = duplicate = revised = 0
    rows = []
    for of_points in chunked(list(batch.registers), _POINTS_TOGETHER):
        known = _known(tx, of_points)
        for one in of_points:
            before = known.get((one.service_point_id, one.channel), {})
            for at, wh in zip(one.at.tolist(), one.wh.tolist(), strict=True):
                was = before.get(at)
                if was == (wh, one.meter):
                    duplicate += 1
                    continue
                stored += was is None
                revised += was is not None
                rows.append(
                    {
                        "service_point_id": one.service_point_id,
                        "channel": one.channel,
                        "at": from_epoch(at),
                        "version": version,
                        "wh": wh,
                        "step": one.step,
                        "meter": one.meter,
                    }
                )
    if rows:
        tx.execute(t.register_read.insert(), rows)
    return KeptRegisters(stored, duplicate, revised)


def _known(
    tx: Transaction, registers: Sequence[PointRegister]
) -> Mapping[tuple[str, str], Mapping[int, tuple[int, str]]]:
    r = t.register_read.c
    instants = [at for one in registers for at in (one.at[:1].tolist() + one.at[-1:].tolist())]
    if not instants:
        return {}
    points = sorted({one.service_point_id for one in registers})
    select = (
        sa.select(r.service_point_id, r.channel, r.at, r.wh, r.meter)
        .where(
            tx.among(r.service_point_id, points),
            r.at >= from_epoch(min(instants)),
            r.at <= from_epoch(max(instants)),
        )
        .order_by(r.version)
    )
    found: dict[tuple[str, str], dict[int, tuple[int, str]]] = defaultdict(dict)
    for point, channel, at, wh, meter in tx.rows(select):
        found[point, channel][epoch(at)] = (wh, meter)
    return found


def registers_of_points(
    tx: Transaction,
    *,
    service_point_ids: Collection[str],
    channel: str,
    period: Period | None = None,
    as_of: datetime | None = None,
) -> dict[str, RegisterReads]:
    """The register reads of points, those that have any; of a ``period`` both ends included.

    With ``as_of`` as they were known at that instant.
    """
    r, b = t.register_read.c, t.ingest_batch.c
    where = [r.channel == channel]
    if period is not None:
        where += [r.at >= period.start, r.at <= period.end]
    if as_of is not None:
        latest = sa.select(sa.func.coalesce(sa.func.max(b.version), 0)).where(b.received_at <= as_of)
        where.append(r.version <= latest.scalar_subquery())
    columns: dict[str, dict[int, tuple[int, str, int]]] = defaultdict(dict)
    for points in chunked(sorted(set(service_point_ids)), _POINTS_TOGETHER):
        select = (
            sa.select(r.service_point_id, r.at, r.wh, r.meter, r.step)
            .where(tx.among(r.service_point_id, points), *where)
            .order_by(r.service_point_id, r.at, r.version)
        )
        for point, at, wh, meter, step in tx.rows(select):
            columns[point][epoch(at)] = (wh, meter, step)
    return {point: _reads(of) for point, of in columns.items()}


def _reads(of: Mapping[int, tuple[int, str, int]]) -> RegisterReads:
    wh, meters, steps = zip(*of.values(), strict=True)
    return RegisterReads(
        np.fromiter(of, dtype=np.int64), np.array(wh, dtype=np.int64), meters, np.array(steps, dtype=np.int64)
    )


def points_with_registers(tx: Transaction, *, channel: str) -> list[str]:
    """The points of which register reads are stored, in order."""
    r = t.register_read.c
    select = sa.select(r.service_point_id).where(r.channel == channel).distinct().order_by(r.service_point_id)
    return [row[0] for row in tx.rows(select)]


def register_channels(tx: Transaction) -> list[str]:
    """The channels of which register reads are stored, in order."""
    return sorted(row[0] for row in tx.rows(sa.select(t.register_read.c.channel).distinct()))


def register_count(tx: Transaction) -> int:
    """How many register reads are stored, earlier versions included."""
    return int(tx.execute(sa.select(sa.func.count()).select_from(t.register_read)).scalar_one())
