"""Many points at once: dense blocks of intervals for bulk work."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from wattledger.kernel import Period, Quality, epoch, from_epoch
from wattledger.readings import _tables as t
from wattledger.readings._intervals import IMPORT, series_of_points
from wattledger.store import Transaction

_TOGETHER = 4096


@dataclass(frozen=True, slots=True, eq=False)
class IntervalBlock:
    """The intervals of many points on one grid.

    ``service_point_ids``  one a row
    ``first``              when the first column's interval starts
    ``seconds``            how long every interval is
    ``wh``                 int32 of (points, slots); what is missing is 0
    ``quality``            uint8 of (points, slots), :class:`Quality`
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
    together: int = _TOGETHER,
) -> Iterator[IntervalBlock]:
    """The intervals of a channel that start within ``period``, in blocks of up to ``together`` points.

    Every point comes once, with all its slots of the period, in a block of points of its interval length. Points
    without any interval in the period do not come. ``None`` for the points: all that have the channel.
    """
    if service_point_ids is None:
        select = sa.select(t.interval_day.c.service_point_id).where(t.interval_day.c.channel == channel).distinct()
        service_point_ids = [row[0] for row in tx.rows(select)]
    known = series_of_points(tx, service_point_ids=service_point_ids, period=period, channel=channel)
    for seconds in sorted({series.seconds for series in known.values()}):
        points = sorted(point for point, series in known.items() if series.seconds == seconds and len(series))
        first = -(-epoch(period.start) // seconds) * seconds
        slots = -(-(epoch(period.end) - first) // seconds)
        for at in range(0, len(points), together):
            piece = points[at : at + together]
            wh = np.zeros((len(piece), slots), dtype=np.int32)
            quality = np.full((len(piece), slots), Quality.MISSING, dtype=np.uint8)
            for row, point in enumerate(piece):
                series = known[point]
                column = (series.starts - first) // seconds
                wh[row, column], quality[row, column] = series.values, series.qualities
            whole = bool((quality != Quality.MISSING).all())
            yield IntervalBlock(tuple(piece), from_epoch(first), seconds, wh, quality, whole)
